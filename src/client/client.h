// The API client of every component: typed, blocking, thread-safe. Objects travel as structs of the schema; which
// resource is meant is a constant resource_desc (schema_resource(S("apps"), S("v1"), S("deployments"))).
#ifndef CORACLE_CLIENT_CLIENT_H
#define CORACLE_CLIENT_CLIENT_H

#include "base/clock.h"
#include "base/random.h"
#include "net/http_client.h"
#include "schema/schema.h"

struct client;

// From a kubeconfig file (current context: server, CA, client certificate, token, tokenFile; data or files).
// user_agent becomes the field manager too ("kubelet").
struct client *client_from_kubeconfig(const char *path, const char *user_agent, const struct clock *clock,
                                      const struct rng *rng, struct error *err);
// The same server in the name of a ServiceAccount: its token is asked for with the first call (and the account made, if it
// is not there) and renewed in time. `base` must outlive it and be allowed to create both. Free it before `base`.
struct client *client_as_service_account(struct client *base, str ns, str name, struct error *err);
void client_free(struct client *c);
const struct clock *client_clock(const struct client *c);
const struct rng *client_rng(const struct client *c);
struct http_client *client_http(const struct client *c);
// The namespace of the kubeconfig's context, "default" when it names none.
str client_namespace(const struct client *c);

// All of them: namespace empty for cluster-scoped resources; the answer (in the arena) is the object as stored; a Status
// that says failure becomes err (code, reason, message). NULL / false on failure. A 429 with Retry-After is waited for
// and tried again (at most 10 times), as client-go does.
void *client_get(struct client *c, struct arena *a, const struct resource_desc *r, str ns, str name, struct error *err);
void *client_create(struct client *c, struct arena *a, const struct resource_desc *r, str ns, const void *obj,
                    struct error *err);
// Namespace and name are taken from the object. subresource: NULL, "status", "scale", "binding", "token", ...
void *client_update(struct client *c, struct arena *a, const struct resource_desc *r, const char *subresource,
                    const void *obj, struct error *err);
enum patch_type { PATCH_JSON, PATCH_MERGE, PATCH_STRATEGIC };
void *client_patch(struct client *c, struct arena *a, const struct resource_desc *r, const char *subresource, str ns,
                   str name, enum patch_type type, str patch, struct error *err);
struct delete_opts {
	int64_t grace_seconds;   // -1: the object's default
	const char *propagation; // NULL, "Background", "Foreground", "Orphan"
	str uid;                 // precondition; empty: none
	str resource_version;
};
bool client_delete(struct client *c, const struct resource_desc *r, str ns, str name, const struct delete_opts *o,
                   struct error *err);
// Creates a subresource of an object with a body of its own kind (pods/binding, pods/eviction, serviceaccounts/token).
void *client_create_sub(struct client *c, struct arena *a, const struct resource_desc *sub, str ns, str name,
                        const void *body, struct error *err);
// A list object (struct core_v1_PodList): selectors empty: all; limit 0: everything (in pages of 500 inside).
struct list_opts {
	str ns, label_selector, field_selector;
};
void *client_list(struct client *c, struct arena *a, const struct resource_desc *r, const struct list_opts *o,
                  struct error *err);

// Any resource as value trees (garbage collector, namespace controller): path as in the API, body and answer generic.
struct value *client_raw(struct client *c, struct arena *a, const char *method, str path, str content_type, str body,
                         struct error *err);

// The metadata of any object of a kind with TypeMeta and metadata (all resources that are stored).
struct meta_v1_ObjectMeta *object_meta(const struct message_desc *m, void *obj);

#endif
