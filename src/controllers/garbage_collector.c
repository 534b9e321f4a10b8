// The garbage collector: what has lost all its owners goes; who is deleted in the foreground waits for its dependents; who is
// deleted as an orphan leaves them behind. Rule: upstream pkg/controller/garbagecollector. The picture is gc_graph.c.
#include "base/heap.h"
#include "base/log.h"
#include "client/thread.h"
#include "controllers/common.h"
#include "controllers/discovery.h"
#include "controllers/gc_graph.h"

enum {
	REDISCOVER_S = 600, // besides whenever a CustomResourceDefinition changes
	SETTLE_MS = 500,    // after such a change, until its resource is served
	SYNC_TIMEOUT_MS = 30 * 1000,
	START_DELAY_MS = 300, // the informers of others come first
	MAX_ABSENT = 4096,
};

// A resource that is watched. Never freed: informers' handlers point at it.
struct monitor {
	struct gc *gc;
	str group, version, resource, kind, api_version;
	bool namespaced, shared; // shared: another controller's informer tells us
	bool served;             // as of the last discovery
	struct informer *informer;
	struct monitor *next;
};

struct gc {
	struct manager *m;
	struct workqueue *look, *orphan, *discovery;
	struct gc_graph *graph;
	struct informer *crds;
	pthread_mutex_t lock; // what follows
	struct monitor *monitors;
	struct map kinds;  // "group/version/kind" -> struct monitor (of the preferred version)
	struct map absent; // UIDs that are known to be gone
};

// --- Events ---

static void object_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct monitor *mon = ctx;
	if (obj)
		gc_graph_observe(mon->gc->graph, mon->api_version, mon->kind, object_ref_meta(obj));
	else
		gc_graph_gone(mon->gc->graph, object_ref_meta(old)->uid);
}

static void note_look(void *ctx, str uid)
{
	workqueue_add(((struct gc *)ctx)->look, uid);
}
static void note_orphan(void *ctx, str uid)
{
	workqueue_add(((struct gc *)ctx)->orphan, uid);
}

static void crd_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct gc *c = ctx;
	if (old && obj && object_ref_meta(old)->generation == object_ref_meta(obj)->generation &&
	    ((const struct apiextensions_v1_CustomResourceDefinition *)object_of(old))->status.conditions.n ==
	            ((const struct apiextensions_v1_CustomResourceDefinition *)object_of(obj))->status.conditions.n)
		return;
	workqueue_add_after(c->discovery, S("discovery"), SETTLE_MS);
}

// --- Monitors ---

// What the collector does not look at: events are many, own nothing and go by themselves (upstream: DefaultIgnoredResources).
static bool ignored(const struct discovered *d)
{
	return str_eq(d->resource, S("events")) && (str_empty(d->group) || str_eq(d->group, S("events.k8s.io")));
}

static void drop_labels(void *obj)
{
	any_object *o = obj;
	o->metadata.labels = o->metadata.annotations = (struct str_map){ 0 };
}

static struct monitor *find_monitor(struct gc *c, str group, str resource)
{
	for (struct monitor *m = c->monitors; m; m = m->next)
		if (str_eq(m->group, group) && str_eq(m->resource, resource))
			return m;
	return NULL;
}

static struct monitor *monitor_new(struct gc *c, str group, str version, str resource, str kind, bool namespaced)
{
	struct monitor *mon = HEAP_NEW(struct monitor);
	struct arena *a = arena_new(256);
	*mon = (struct monitor){ .gc = c,
		                 .group = arena_dup(a, group),
		                 .version = arena_dup(a, version),
		                 .resource = arena_dup(a, resource),
		                 .kind = arena_dup(a, kind),
		                 .namespaced = namespaced,
		                 .served = true };
	mon->api_version = group.n ? arena_concat(a, group, S("/"), version) : mon->version;
	mon->next = c->monitors;
	c->monitors = mon;
	return mon;
}

static void map_kind(struct gc *c, struct arena *a, const struct discovered *d, struct monitor *mon)
{
	map_put(&c->kinds, arena_concat(a, d->group, S("/"), d->version, S("/"), d->kind), mon);
}

// Starts informers for what is new and stops those of what is served no more.
static bool rediscover(void *ctx, struct arena *a, str key, struct error *err)
{
	struct gc *c = ctx;
	struct discovered_list all;
	bool complete = discover(c->m, a, &all, err);
	struct monitor **fresh = arena_calloc(a, all.n + 1, sizeof(*fresh)), *gone = NULL;
	size_t nfresh = 0;
	pthread_mutex_lock(&c->lock);
	for (struct monitor *m = c->monitors; m && complete; m = m->next)
		m->served = m->shared;
	for (size_t i = 0; i < all.n; i++) {
		const struct discovered *d = &all.v[i];
		struct monitor *mon = find_monitor(c, d->group, d->resource);
		if (d->preferred && !ignored(d) && discovered_verb(d, S("delete")) && discovered_verb(d, S("list")) &&
		    discovered_verb(d, S("watch"))) {
			if (!mon)
				mon = monitor_new(c, d->group, d->version, d->resource, d->kind, d->namespaced);
			if (!mon->shared && !mon->informer)
				fresh[nfresh++] = mon;
			mon->served = true;
		}
		if (mon)
			map_kind(c, a, d, mon);
	}
	for (struct monitor **at = &c->monitors, *m; (m = *at);) {
		if (m->served) {
			at = &m->next;
			continue;
		}
		*at = m->next;
		m->next = gone;
		gone = m;
		for (size_t i = 0; i < c->kinds.cap; i++) // its kinds are unknown from now on
			if (c->kinds.slots[i].key.p && c->kinds.slots[i].value == m)
				c->kinds.slots[i].value = NULL;
	}
	pthread_mutex_unlock(&c->lock);
	for (struct monitor *m; (m = gone); gone = m->next) {
		// Its objects went with it: for the graph they are gone, too.
		struct held left = held_list(a, m->informer);
		informer_stop(m->informer);
		m->informer = NULL;
		for (size_t i = 0; i < left.n; i++)
			gc_graph_gone(c->graph, ((const any_object *)left.v[i])->metadata.uid);
	}
	for (size_t i = 0; i < nfresh; i++) {
		fresh[i]->informer = informer_new_metadata(c->m->root->client, fresh[i]->group, fresh[i]->version,
		                                           fresh[i]->resource, NULL);
		informer_set_trim(fresh[i]->informer, drop_labels);
		informer_add_handler(fresh[i]->informer, &(struct informer_handler){ object_changed, fresh[i] });
		if (!informer_start(fresh[i]->informer, err))
			return false;
	}
	for (size_t i = 0; i < nfresh; i++)
		if (!informer_wait_synced(fresh[i]->informer, SYNC_TIMEOUT_MS))
			log_warn("garbage collector: " STR_FMT " is not in sync", STR_ARG(fresh[i]->resource));
	workqueue_add_after(c->discovery, S("discovery"), REDISCOVER_S * 1000);
	return complete;
}

// --- The server's view ---

// The collection of a kind; false when the server does not know it.
static bool resource_of(struct gc *c, struct arena *a, str api_version, str kind, struct discovered *out,
                        struct error *err)
{
	str group, version;
	if (!str_split(api_version, '/', &group, &version)) {
		version = group;
		group = S("");
	}
	THREAD_LOCKED(&c->lock);
	const struct monitor *m = map_get(&c->kinds, arena_concat(a, group, S("/"), version, S("/"), kind));
	if (!m)
		return error_set(err, "no matches for kind \"" STR_FMT "\" in version \"" STR_FMT "\"", STR_ARG(kind),
		                 STR_ARG(api_version));
	*out = (struct discovered){ .group = m->group,
		                    .version = m->version,
		                    .resource = m->resource,
		                    .kind = m->kind,
		                    .namespaced = m->namespaced };
	return true;
}

static bool path_of(struct gc *c, struct arena *a, const struct gc_identity *id, str *path, struct error *err)
{
	struct discovered d;
	if (!resource_of(c, a, id->api_version, id->kind, &d, err))
		return false;
	*path = discovered_path(a, &d, id->ns, id->name);
	return true;
}

// The metadata of the live object. NULL with code 404 when it, or this very one of its name, is not there.
static const struct meta_v1_ObjectMeta *live(struct gc *c, struct arena *a, const struct gc_identity *id,
                                             struct error *err)
{
	str path;
	if (!path_of(c, a, id, &path, err))
		return NULL;
	const struct value *v = client_raw(c->m->client, a, "GET", path, S(""), S(""), err);
	if (!v)
		return NULL;
	const any_object *o = schema_from_value(a, meta_v1_PartialObjectMetadata_desc, v, NULL, err);
	if (o && !str_eq(o->metadata.uid, id->uid)) {
		error_api(err, 404, "NotFound", "another object has the name");
		return NULL;
	}
	return o ? &o->metadata : NULL;
}

static bool patch(struct gc *c, struct arena *a, const struct gc_identity *id, str body, struct error *err)
{
	str path;
	return path_of(c, a, id, &path, err) &&
	       client_raw(c->m->client, a, "PATCH", path, S("application/merge-patch+json"), body, err);
}

// A merge patch that leaves only the references for which keep says so; it holds for this version of the object only.
static str references_patch(struct arena *a, const struct meta_v1_ObjectMeta *m,
                            bool (*keep)(const struct meta_v1_OwnerReference *r, void *ctx), void *ctx, bool unblock)
{
	struct value *list = value_array(a), *meta = value_object(a), *root = value_object(a);
	for (size_t i = 0; i < m->ownerReferences.n; i++) {
		struct meta_v1_OwnerReference r = m->ownerReferences.v[i];
		bool no = false;
		if (!keep(&r, ctx))
			continue;
		if (unblock && r.blockOwnerDeletion)
			r.blockOwnerDeletion = &no;
		value_append(a, list, schema_to_value(a, meta_v1_OwnerReference_desc, &r));
	}
	value_set(a, meta, S("ownerReferences"), list->a.n ? list : value_null(a));
	value_set(a, meta, S("uid"), value_string(a, m->uid));
	value_set(a, meta, S("resourceVersion"), value_string(a, m->resourceVersion));
	value_set(a, root, S("metadata"), meta);
	return json_text(a, root, JSON_COMPACT);
}

static bool drop_finalizer(struct gc *c, struct arena *a, const struct gc_identity *id, str finalizer,
                           struct error *err)
{
	const struct meta_v1_ObjectMeta *m = live(c, a, id, err);
	if (!m)
		return err->code == 404;
	if (!meta_has_finalizer(m, finalizer))
		return true;
	struct value *list = value_array(a), *meta = value_object(a), *root = value_object(a);
	for (size_t i = 0; i < m->finalizers.n; i++)
		if (!str_eq(m->finalizers.v[i], finalizer))
			value_append(a, list, value_string(a, m->finalizers.v[i]));
	value_set(a, meta, S("resourceVersion"), value_string(a, m->resourceVersion));
	value_set(a, meta, S("finalizers"), list->a.n ? list : value_null(a));
	value_set(a, root, S("metadata"), meta);
	return patch(c, a, id, json_text(a, root, JSON_COMPACT), err) || err->code == 404;
}

// --- Owners ---

enum owner_state { SOLID, DANGLING, WAITING };
struct classified {
	const struct meta_v1_ObjectMeta *meta;
	enum owner_state *states;
	size_t solid, dangling, waiting;
};

static bool known_absent(struct gc *c, str uid)
{
	THREAD_LOCKED(&c->lock);
	return map_has(&c->absent, uid);
}

static void note_absent(struct gc *c, str uid)
{
	THREAD_LOCKED(&c->lock);
	if (c->absent.n >= MAX_ABSENT)
		map_free(&c->absent);
	map_put(&c->absent, uid, NULL);
}

static bool classify(struct gc *c, struct arena *a, const struct meta_v1_ObjectMeta *m, struct classified *out,
                     struct error *err)
{
	*out = (struct classified){ .meta = m,
		                    .states = arena_calloc(a, m->ownerReferences.n + 1, sizeof(enum owner_state)) };
	for (size_t i = 0; i < m->ownerReferences.n; i++) {
		const struct meta_v1_OwnerReference *r = &m->ownerReferences.v[i];
		struct gc_identity id = { r->apiVersion, r->kind, m->namespace, r->name, r->uid };
		struct error e = { 0 };
		const struct meta_v1_ObjectMeta *owner = NULL;
		bool absent = known_absent(c, r->uid);
		if (!absent) {
			owner = live(c, a, &id, &e);
			absent = !owner && e.code == 404;
			if (absent)
				note_absent(c, r->uid);
		}
		if (!owner && !absent) {
			*err = e;
			return false;
		}
		out->states[i] = absent ? DANGLING
		                 : owner->deletionTimestamp && meta_has_finalizer(owner, S("foregroundDeletion"))
		                         ? WAITING
		                         : SOLID;
		size_t *count[] = { &out->solid, &out->dangling, &out->waiting };
		(*count[out->states[i]])++;
	}
	return true;
}

static bool any_reference(const struct meta_v1_OwnerReference *r, void *ctx)
{
	return true;
}

static bool not_this_uid(const struct meta_v1_OwnerReference *r, void *ctx)
{
	return !str_eq(r->uid, *(const str *)ctx);
}

static bool keep_solid(struct gc *c, struct arena *a, const struct gc_view *v, struct classified *k, struct error *err)
{
	struct meta_v1_ObjectMeta solid = *k->meta;
	solid.ownerReferences = (struct meta_v1_OwnerReference_list){ 0 };
	for (size_t i = 0; i < k->meta->ownerReferences.n; i++)
		if (k->states[i] == SOLID)
			*LIST_ADD(a, &solid.ownerReferences) = k->meta->ownerReferences.v[i];
	return patch(c, a, &v->id, references_patch(a, &solid, any_reference, NULL, false), err) || err->code == 404;
}

static bool delete_object(struct gc *c, struct arena *a, const struct gc_identity *id,
                          const struct meta_v1_ObjectMeta *m, const char *policy, struct error *err)
{
	str path;
	if (!path_of(c, a, id, &path, err))
		return false;
	str body =
	        arena_printf(a,
	                     "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"preconditions\":{\"uid\":\"" STR_FMT
	                     "\",\"resourceVersion\":\"" STR_FMT "\"},\"propagationPolicy\":\"%s\"}",
	                     STR_ARG(id->uid), STR_ARG(m->resourceVersion), policy);
	log_debug("garbage collector: delete " STR_FMT " (%s)", STR_ARG(path), policy);
	return client_raw(c->m->client, a, "DELETE", path, S("application/json"), body, err) || err->code == 404;
}

// --- One object ---

// Deleted in the foreground: it goes when nobody blocks that any more.
static bool look_at_waiting(struct gc *c, struct arena *a, const struct gc_view *v, struct error *err)
{
	bool blocked = false;
	for (size_t i = 0; i < v->dependents.n; i++) {
		const struct gc_dependent *d = &v->dependents.v[i];
		if (!d->blocks)
			continue;
		blocked = true;
		if (!d->deleting_dependents)
			workqueue_add(c->look, d->id.uid);
	}
	return blocked || drop_finalizer(c, a, &v->id, S("foregroundDeletion"), err);
}

static bool look_at_owners(struct gc *c, struct arena *a, const struct gc_view *v, const struct meta_v1_ObjectMeta *m,
                           struct error *err)
{
	struct classified k;
	if (!classify(c, a, m, &k, err))
		return false;
	if (k.solid > 0)
		return (k.dangling == 0 && k.waiting == 0) || keep_solid(c, a, v, &k, err);
	if (k.waiting > 0 && v->dependents.n > 0) {
		// It waits for its dependents before its owner may go. Where they wait, too, nobody would ever go: a circle is broken.
		for (size_t i = 0; i < v->dependents.n; i++)
			if (v->dependents.v[i].deleting_dependents) {
				if (!patch(c, a, &v->id, references_patch(a, m, any_reference, NULL, true), err) &&
				    err->code != 404)
					return false;
				m = live(c, a, &v->id, err);
				if (!m)
					return err->code == 404;
				break;
			}
		return delete_object(c, a, &v->id, m, "Foreground", err);
	}
	const char *policy = meta_has_finalizer(m, S("orphan"))               ? "Orphan"
	                     : meta_has_finalizer(m, S("foregroundDeletion")) ? "Foreground"
	                                                                      : "Background";
	return delete_object(c, a, &v->id, m, policy, err);
}

static bool look(void *ctx, struct arena *a, str uid, struct error *err)
{
	struct gc *c = ctx;
	struct gc_view v;
	if (!gc_graph_view(c->graph, a, uid, &v))
		return true;
	if (!v.is_virtual) {
		if (v.being_deleted && !v.deleting_dependents)
			return true; // it is on its way
		if (v.deleting_dependents)
			return look_at_waiting(c, a, &v, err);
		if (v.owners == 0 || v.owners_present)
			return true;
	}
	const struct meta_v1_ObjectMeta *m = live(c, a, &v.id, err);
	if (!m && err->code == 404) {
		note_absent(c, uid);
		gc_graph_gone(c->graph, uid);
		return true;
	}
	// A kind that the server does not know (yet): asked again with back-off.
	if (!m)
		return false;
	if (v.is_virtual || m->ownerReferences.n == 0 ||
	    (m->deletionTimestamp && !meta_has_finalizer(m, S("foregroundDeletion"))))
		return true; // it is there; its informer will show it
	return look_at_owners(c, a, &v, m, err);
}

// --- Orphans ---

static bool orphan(void *ctx, struct arena *a, str uid, struct error *err)
{
	struct gc *c = ctx;
	struct gc_view v;
	if (!gc_graph_view(c->graph, a, uid, &v))
		return true;
	struct error first = { 0 };
	for (size_t i = 0; i < v.dependents.n; i++) {
		struct error e = { 0 };
		const struct gc_identity *id = &v.dependents.v[i].id;
		const struct meta_v1_ObjectMeta *m = live(c, a, id, &e);
		if (m && !patch(c, a, id, references_patch(a, m, not_this_uid, &uid, false), &e) && e.code != 404)
			first = e;
		else if (!m && e.code != 404)
			first = e;
	}
	if (first.code) {
		*err = first;
		return false;
	}
	return drop_finalizer(c, a, &v.id, S("orphan"), err);
}

// --- Set-up ---

void *garbage_collector_setup(struct manager *m)
{
	struct gc *c = ARENA_NEW(m->arena, struct gc);
	*c = (struct gc){ .m = m, .look = manager_queue(m), .orphan = manager_queue(m), .discovery = manager_queue(m) };
	c->graph = gc_graph_new(&(struct gc_hooks){ note_look, note_orphan, c });
	pthread_mutex_init(&c->lock, NULL);
	c->crds = manager_informer(m, m->r.customresourcedefinitions);
	informer_add_handler(c->crds, &(struct informer_handler){ crd_changed, c });
	// What others watch anyway is not watched again. (This is the last controller to be set up.)
	for (struct informer *i = NULL; (i = manager_next_informer(m, i));) {
		const struct resource_desc *r = manager_informer_resource(m, i);
		if (!r)
			continue;
		struct monitor *mon = monitor_new(c, schema_text(r->group), schema_text(r->version),
		                                  schema_text(r->resource), schema_text(r->kind), r->namespaced);
		mon->shared = true;
		informer_add_handler(i, &(struct informer_handler){ object_changed, mon });
	}
	return c;
}

static void *orphan_main(void *ctx)
{
	struct gc *c = ctx;
	workqueue_run(c->orphan, "gc-orphan", (int)c->m->options->concurrent_syncs, orphan, c);
	return NULL;
}

static void *discovery_main(void *ctx)
{
	struct gc *c = ctx;
	workqueue_run(c->discovery, "gc-discovery", 1, rediscover, c);
	return NULL;
}

void garbage_collector_run(void *self)
{
	struct gc *c = self;
	clock_sleep(c->m->clock, START_DELAY_MS * NS_PER_MS);
	_cleanup_arena_ struct arena *a = arena_new(0);
	for (int64_t wait = 500;; wait = MIN(wait * 2, INT64_C(30000))) {
		struct error err = { 0 };
		arena_reset(a);
		if (rediscover(c, a, S(""), &err))
			break;
		log_warn("garbage collector: discovery: %s", err.text);
		clock_sleep(c->m->clock, wait * NS_PER_MS);
	}
	arena_reset(a);
	struct error err = { 0 };
	pthread_t t;
	if (!thread_start(&t, "gc-orphan", orphan_main, c, &err) ||
	    !thread_start(&t, "gc-discovery", discovery_main, c, &err)) {
		log_error("garbage collector: %s", err.text);
		return;
	}
	workqueue_run(c->look, "gc", (int)c->m->options->concurrent_syncs, look, c);
}
