// The apiserver's own declarations: what its files share. Who asks is in request.h, what is particular to a kind in strategy.h.
//
// The way of a request: server.c (URL, who, may they, which handler) -> read.c, watch.c (bytes from the cache), or create.c, update.c,
// patch.c, delete.c (decode, default, admit, validate, commit; the store calls back, reply on the same loop) -> reply.c (the form that
// the client accepts). A handler runs on the loop of its connection and never blocks.
#ifndef CORACLE_APISERVER_APISERVER_H
#define CORACLE_APISERVER_APISERVER_H

#include <stdatomic.h>

#include "apiserver/policy.h"
#include "apiserver/strategy.h"
#include "base/map.h"
#include "object/selector.h"
#include "store/cache.h"
#include "store/store.h"

// The program: `coracle apiserver FLAGS`. Returns its exit status.
int apiserver_main(int argc, char **argv);

enum verb { V_GET = 1, V_LIST = 2, V_WATCH = 4, V_CREATE = 8, V_UPDATE = 16, V_PATCH = 32, V_DELETE = 64, V_DELETECOLLECTION = 128 };

// One resource in one version (not a subresource).
struct kind {
	const struct resource_desc *desc, *storage; // as served here; as stored (the same, but for resources of several versions)
	const struct message_desc *message, *list_message, *storage_message;
	const struct strategy *strategy;            // never NULL
	struct cache_resource *cache;               // NULL: never stored (reviews, bindings)
	struct kind *stored;                        // the kind of the version that is stored (may be itself)
	str group, version, resource, name, list_name, api_version, storage_api_version, key_prefix; // name: "Pod"; key_prefix: "core/pods"
	bool namespaced;
	unsigned verbs;
	const struct field_desc *spec, *status;     // NULL: there is none
	size_t index;                               // in apiserver.kinds
};

struct config;
struct loop_state;
struct alloc;
struct metrics;
struct kubelets;

struct apiserver {
	const struct config *config;
	const struct clock *clock;
	const struct rng *rng;
	struct arena *arena;          // for what lives as long as the server
	struct store *store;
	struct cache *cache;
	struct policy *policy;
	struct door *doors;           // the listening sockets; the first one is that of --secure-port
	size_t ndoors;
	struct kind *kinds;
	size_t nkinds;
	struct map by_path;           // "group/version/resource" -> struct kind *
	struct map by_resource;       // "group/resource" -> the kind that is stored
	struct loop_state **loops;    // one per loop of all doors (watch.c)
	size_t nloops;
	struct alloc *alloc;          // cluster addresses and node ports (alloc.c)
	struct metrics *metrics;
	struct kubelets *kubelets;    // how kubelets are reached (kubelet.c)
	_Atomic bool ready, stopping;
	int64_t started_ns;
	struct map discovery;         // path -> str *: documents that are made once
	str root_paths;
	struct documents *documents;  // OpenAPI, as far as they were asked for
	struct pinned *pinned;        // views that paged lists go on with (read.c)
};

// One listening socket with its loops.
struct door { struct apiserver *s; struct http_server *http; size_t first_loop; };

enum { LISTEN_FDS = 64 };
struct config {
	const char *bind_address, *cert_file, *key_file, *client_ca_file, *store, *advertise_address, *service_cidr, *kubelet_cert, *kubelet_key, *kubelet_ca,
		*external_hostname;
	int port, loops;
	int listen_fds[LISTEN_FDS]; // inherited sockets that are served too (the loopback addresses of other network namespaces)
	int nlisten_fds;
	int node_port_first, node_port_last;
	int64_t event_ttl_s, retention_s;
	struct policy_opts policy;
	bool insecure_plain; // tests only
};

// --- A request on its way ---
enum media { MEDIA_JSON, MEDIA_YAML, MEDIA_PROTOBUF };
enum as { AS_OBJECT, AS_TABLE, AS_PARTIAL };
struct accept { enum media media; enum as as; bool v1beta1, pretty; };

struct call {
	struct request r;             // first: what strategies and admission see
	struct apiserver *s;
	struct http_loop *loop;
	struct loop_state *state;     // of that loop
	struct kind *kind;            // NULL: no resource
	const struct resource_desc *sub; // of a subresource
	struct accept accept;
	bool applied;                 // managedFields are made already (apply.c)
	bool over;                    // the exchange has ended: nobody waits for the answer
	int holds;                    // work under way (a commit, a request to a kubelet) that needs the arena
	int64_t started;              // monotonic
	int status;                   // of the answer
	void *data;                   // the handler's own
	void (*on_over)(struct call *c);
};
static inline struct call *call_of(struct request *r) { return (struct call *)(void *)r; }
void call_hold(struct call *c);
void call_release(struct call *c);

// --- reply.c ---
// Reads the Accept header. `convertible`: Table and PartialObjectMetadata are possible.
bool negotiate(struct call *c, bool convertible, struct api_status *s);
void reply_status(struct call *c, const struct api_status *s);
void reply_text(struct call *c, int code, str content_type, str body);
// A typed object (kind and apiVersion are set already).
void reply_message(struct call *c, int code, const struct message_desc *m, void *obj);
// A stored object in the form asked for: `obj` typed, of c->kind's version.
void reply_object(struct call *c, int code, struct kind *k, void *obj);
void reply_entry(struct call *c, int code, struct kind *k, struct cache_entry *e);
void reply_success(struct call *c, const struct api_status *details); // Status "Success"
struct http_headers reply_headers(struct call *c, str content_type);
str media_type(enum media m);
// The bytes of an object in the form asked for, behind `to` (JSON without the newline).
void encode_message(struct call *c, struct buf *to, const struct message_desc *m, void *obj);
struct meta_v1_Status *status_message(struct arena *a, const struct api_status *s);
bool query_bool(struct call *c, str key, bool *out, struct api_status *s); // absent: false

// --- kinds.c ---
bool kinds_load(struct apiserver *s, struct error *err);
struct kind *kind_find(struct apiserver *s, str group, str version, str resource);
struct kind *kind_stored(struct apiserver *s, str group, str resource);
struct meta_v1_ObjectMeta *meta_of(const struct kind *k, const void *obj);
str storage_key(struct arena *a, const struct kind *k, str ns, str name);
// From the stored bytes to the struct of the stored version, defaults filled in; resourceVersion set.
void *entry_decode(struct arena *a, const struct kind *k, const struct cache_entry *e, struct error *err);
// Between the served version and the stored one; the same object when there is nothing to do (convert.c).
void *convert_to_stored(struct arena *a, const struct kind *k, void *obj, struct error *err);
void *convert_from_stored(struct arena *a, const struct kind *k, void *obj, struct error *err);
// The object's protobuf bytes in the version of k (no envelope), made once and kept with the entry. Empty: it could not be made.
str entry_protobuf(const struct kind *k, struct cache_entry *e);
str qualified_resource(struct arena *a, const struct kind *k); // "deployments.apps"

// --- match.c: selectors against entries ---
struct matcher { struct selector labels; struct field_selector fields; struct kind *kind; bool all; str name, ns, node; };
bool matcher_read(struct call *c, struct kind *k, struct matcher *m, struct api_status *s); // from the query
bool matcher_matches(const struct matcher *m, struct cache_entry *e);
const struct str_map *entry_labels(struct cache_entry *e);
// The raw value at a path of members in compact JSON; empty when it is not there.
str scan_path(str json, const str *path, size_t n);
#define scan(json, ...) scan_path((json), (str[]){ __VA_ARGS__ }, sizeof((str[]){ __VA_ARGS__ }) / sizeof(str))

// --- The handlers ---
void handle_request(struct http_exchange *x, void *door); // server.c
void do_get(struct call *c);
void do_list(struct call *c);
void do_watch(struct call *c);
void do_create(struct call *c);
void do_update(struct call *c);
void do_patch(struct call *c);
void do_delete(struct call *c);
void do_delete_collection(struct call *c);
bool do_subresource(struct call *c); // subresources.c: false when it is none that has a handler of its own
bool do_non_resource(struct call *c);
bool health(struct call *c);
bool discovery(struct call *c);
bool openapi(struct call *c);
bool discovery_load(struct apiserver *s, struct error *err);
void health_text(struct call *c, str path);

struct documents *documents_new(struct arena *a); // openapi.c
void documents_free(struct documents *d);
struct pinned *pinned_new(struct arena *a); // read.c
void pins_expire(struct apiserver *s);
void cache_drop(struct apiserver *s);       // gives the pinned views and the cache back

// --- registry.c: what all writes share ---
// The body as a typed object of version k (strict field validation as the query asks; warnings are added). Defaults are filled in.
bool body_decode(struct call *c, const struct message_desc *m, str group_version, str kind_name, void **out, struct api_status *s);
bool body_check_kind(struct call *c, str api_version, str kind, str want_version, str want_kind, struct api_status *s);
enum field_validation { FV_IGNORE, FV_WARN, FV_STRICT };
bool field_validation_of(struct call *c, enum field_validation *out, struct api_status *s);
bool write_options(struct call *c, struct api_status *s); // dryRun, fieldManager, fieldValidation of the query
bool field_problems(struct call *c, enum field_validation fv, const struct str_list *problems, struct api_status *s);
// Encodes for the store: kind and apiVersion of the stored version, no resourceVersion.
void encode_stored(struct buf *to, const struct kind *k, void *obj);
void object_meta_validate(struct request *r, const struct kind *k, struct field_errors *e, const void *obj, const void *old);
void object_meta_validate_update(struct request *r, const struct kind *k, struct field_errors *e, const void *obj, const void *old);

// A write that ends with a commit of one object (and what goes with it). Runs `again` when another write came between and
// that is allowed; else answers.
struct commit {
	struct call *call;
	struct kind *kind;
	struct store_op ops[4];
	size_t nops;
	void *obj;                    // what is answered with (of the stored version)
	const void *old;
	int code;                     // 200, 201
	int attempts;
	void (*again)(struct call *c);        // on conflict; NULL: 409
	void (*done)(struct commit *m, const struct store_result *r); // NULL: reply with obj
	bool undo;                    // strategy->begin_* ran
	struct store_result result;
};
void commit_start(struct commit *m);
void commit_finish(struct commit *m); // the usual answer after success

// Creates an object that is typed and of the stored version: everything after decoding (also for other handlers). Replies.
void create_object(struct call *c, struct kind *k, void *obj, str ns);
// Brings an object from `old` to what transform makes of it and replies. transform gets a fresh decoded copy of the current state (of
// the served version) and returns the new state (of the served version), or NULL with *s filled.
typedef void *(*transform_fn)(struct call *c, struct kind *k, void *current, struct cache_entry *entry, struct api_status *s);
struct update {
	transform_fn transform;
	enum update_target target;
	str ns, name;
	bool retry;                   // on conflict try again with the new state
	bool allow_create;
	bool from_body;               // a PUT: a uid in the new state is a precondition
	void (*reply)(struct call *c, int code, struct kind *k, void *obj); // NULL: reply_object
	void *ctx;                    // transform's and reply's: call_update(c)->ctx
	bool internal;                // the server's own change: no admission, no preparation, no validation of the kind
	int attempts;
};
void update_object(struct call *c, struct kind *k, const struct update *u);
void *update_ctx(struct call *c);
// Deletes one object (`change`, when not NULL, may note something on it that shows while it terminates); `done` is told what came of it (s->code 0: it is gone or marked) instead of an answer being sent.
void delete_object(struct call *c, struct kind *k, str ns, str name, const struct meta_v1_DeleteOptions *o,
                   void (*change)(struct call *c, void *obj), void (*done)(struct call *c, const struct api_status *s));
void do_pod_binding(struct call *c); // POST bindings: the pod's name is in the body
// log, exec, attach, portforward of a pod, proxied to its kubelet (kubelet.c).
void do_pod_log(struct call *c);
void do_pod_stream(struct call *c);

// --- managed.c ---
// Keeps metadata.managedFields: what manager set with this write (operation Update).
void managed_update(struct request *r, const struct kind *k, void *obj, const void *old, str subresource);
str field_manager_of(struct call *c);

struct fieldset;
void managed_strip(struct fieldset *s);                                          // metadata that only the server says
void managed_reset(const struct kind *k, str subresource, struct fieldset *s);   // fields that this way of writing cannot change
void managed_compare(struct arena *a, const struct message_desc *m, const struct value *before, const struct value *after, struct fieldset *changed,
                     struct fieldset *removed);
void do_apply(struct call *c); // apply.c

// --- watch.c ---
bool watch_start(struct apiserver *s, struct error *err); // makes the loops' state
void watch_changed(struct cache_resource *r, void *server); // cache_on_change
void watch_end(struct apiserver *s);  // ends every watch, so that the server can stop
void watch_stop(struct apiserver *s);

// --- table.c ---
void table_head(struct buf *to, const struct kind *k, str resource_version, str continue_token, int64_t remaining, bool columns);
enum include_object { INCLUDE_METADATA, INCLUDE_NONE, INCLUDE_OBJECT };
bool include_object_of(struct call *c, enum include_object *out, struct api_status *s);
void table_row(struct arena *a, struct buf *to, const struct kind *k, struct cache_entry *e, void *obj, enum include_object include, int64_t now_ns, str version);
void partial_object(struct buf *to, struct cache_entry *e, bool with_type, str version);

// --- bootstrap.c, alloc.c, metrics.c ---
bool bootstrap(struct apiserver *s, struct error *err);
bool alloc_load(struct apiserver *s, struct error *err);
void metrics_count(struct call *c);
void metrics_text(struct apiserver *s, struct buf *to);

#endif
