// What is particular to a kind. The machinery (registry.c: decode, default, admit, validate, store, answer) is the same for
// all; a strategy is a table of functions over the typed struct, each may be NULL. One file per group in src/apiserver/kinds/.
//
// Order on create: decode -> defaults -> mutating admission -> prepare_create -> metadata checks -> validate -> validating
// admission -> canonicalize -> store. On update: decode -> defaults -> admission -> prepare_update -> metadata checks
// -> validate_update -> store if changed.
#ifndef CORACLE_APISERVER_STRATEGY_H
#define CORACLE_APISERVER_STRATEGY_H

#include "apiserver/request.h"

enum update_target { UPDATE_SPEC, UPDATE_STATUS, UPDATE_SUBRESOURCE };

struct cell { enum { CELL_TEXT, CELL_INT, CELL_NULL, CELL_RAW } kind; str text; int64_t i; }; // RAW: JSON
struct strategy {
	const char *group, *resource;     // "" for core; the main resource
	bool create_on_update;            // PUT of a name that does not exist creates it (upstream: AllowCreateOnUpdate)
	bool conditional_update;          // an update must carry a resourceVersion (upstream: !AllowUnconditionalUpdate)
	bool has_status;                  // status is cleared on create and kept on spec updates; /status updates only it
	bool generation;                  // metadata.generation is kept by the default prepare functions: 1, +1 when spec changes
	void (*validate_name)(struct arena *a, str name, bool prefix, struct str_list *why); // NULL: DNS-1123 subdomain
	// Fills defaults (upstream: SetObjectDefaults of the version); must be idempotent. Also for objects from the store.
	void (*defaults)(struct arena *a, void *obj);
	void (*prepare_create)(struct request *r, void *obj);
	void (*prepare_update)(struct request *r, enum update_target t, void *obj, const void *old);
	void (*validate)(struct request *r, struct field_errors *e, const void *obj);
	void (*validate_update)(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *old);
	void (*warnings)(struct request *r, const void *obj, const void *old);
	// Selectable fields besides metadata.name and metadata.namespace: value of a path; false: no such field.
	bool (*field)(struct arena *a, const void *obj, str path, str *value);
	const char *const *field_paths;   // NULL-terminated list of the paths that `field` knows
	// Table cells in the order of columns.tsv (all priorities). Ages are made from `now`.
	void (*cells)(struct arena *a, const void *obj, struct cell *cells, int64_t now_ns);
	// Side effects outside the object (address allocation): runs before the store; undo runs when the write fails, or for dry runs.
	bool (*begin_create)(struct request *r, void *obj, struct api_status *s);
	bool (*begin_update)(struct request *r, void *obj, const void *old, struct api_status *s);
	void (*undo)(struct request *r, const void *obj, const void *old);
	void (*after_delete)(struct request *r, const void *obj);
	// Graceful deletion: may change *grace (seconds) by what the object says; returns false when the object goes at once.
	bool (*graceful)(struct request *r, void *obj, int64_t *grace);
	// After decoding from the store, before answering (upstream: Decorator).
	void (*decorate)(struct arena *a, void *obj);
};
// All strategies, for the machinery: strategies.c lists them. Unknown resources use the general one (metadata checks only).
const struct strategy *strategy_of(str group, str resource);

// --- Reading other objects from within strategies and admission: the apiserver's own cache; the typed struct in r->arena, NULL: not there ---
const void *registry_get(struct request *r, str group, str resource, str ns, str name);
// Calls each for every object of a resource (ns empty: all).
void registry_each(struct request *r, str group, str resource, str ns, bool (*each)(const void *obj, void *ctx), void *ctx);

// --- Admission (built-in plug-ins, in upstream's order) ---
enum admit_op { ADMIT_CREATE, ADMIT_UPDATE, ADMIT_DELETE, ADMIT_CONNECT };
struct admission {
	struct request *r;
	enum admit_op op;
	const struct resource_desc *resource; // the main resource; r->info.subresource tells the rest
	const struct message_desc *message;   // of obj
	void *obj;                            // typed; may be changed by mutating plug-ins; NULL for deletes
	const void *old;                      // typed; NULL for creates
};
bool admission_mutate(const struct admission *ad, struct api_status *s);
bool admission_validate(const struct admission *ad, struct api_status *s);

// --- Who and may they ---
// Fills r->user from client certificate, bearer token, ... False and 401 when credentials are wrong; anonymous when there are none.
bool authenticate(struct request *r, struct api_status *s);
// RBAC, Node authorizer, system:masters. False and 403 with upstream's message
// (`pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "default"`).
bool authorize(struct request *r, struct api_status *s);
// The same question for an arbitrary user and attributes (SubjectAccessReview, impersonation, escalation checks).
bool authorized(struct request *r, const struct user_info *u, const struct request_info *what, str *reason);

#endif
