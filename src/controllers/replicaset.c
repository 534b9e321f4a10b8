// ReplicaSets: as many pods as the spec says. ReplicationControllers are ReplicaSets under an older name and go the same way.
// Rule: upstream pkg/controller/replicaset.
#include "base/log.h"
#include "controllers/common.h"

enum { BURST = 500, SLOW_START = 1, STATUS_RETRIES = 1 };

struct kind {
	const char *component, *api_version, *name;
	const struct resource_desc *resource;
	const struct message_desc *message;
	bool replication; // a ReplicationController
};

struct replicaset {
	struct manager *m;
	struct kind kind;
	struct informer *sets, *pods;
	struct workqueue *queue;
	struct expectations *expectations;
};

// The object as a ReplicaSet. A ReplicationController's parts are shared, its selector is put into the newer form.
static struct apps_v1_ReplicaSet *as_set(const struct kind *k, struct arena *a, const void *obj)
{
	if (!k->replication)
		return schema_clone(a, apps_v1_ReplicaSet_desc, obj);
	const struct core_v1_ReplicationController *rc = obj;
	struct apps_v1_ReplicaSet *rs = ARENA_NEW(a, struct apps_v1_ReplicaSet);
	rs->metadata = rc->metadata;
	rs->spec.replicas = rc->spec.replicas;
	rs->spec.minReadySeconds = rc->spec.minReadySeconds;
	rs->spec.selector = ARENA_NEW(a, struct meta_v1_LabelSelector);
	rs->spec.selector->matchLabels = rc->spec.selector;
	if (rc->spec.template)
		rs->spec.template = *rc->spec.template;
	rs->status.replicas = rc->status.replicas;
	rs->status.fullyLabeledReplicas = rc->status.fullyLabeledReplicas;
	rs->status.readyReplicas = rc->status.readyReplicas;
	rs->status.availableReplicas = rc->status.availableReplicas;
	rs->status.observedGeneration = rc->status.observedGeneration;
	for (size_t i = 0; i < rc->status.conditions.n; i++) {
		const struct core_v1_ReplicationControllerCondition *c = &rc->status.conditions.v[i];
		*LIST_ADD(a, &rs->status.conditions) =
		        (struct apps_v1_ReplicaSetCondition){ .type = c->type,
			                                      .status = c->status,
			                                      .lastTransitionTime = c->lastTransitionTime,
			                                      .reason = c->reason,
			                                      .message = c->message };
	}
	return rs;
}

static void *with_status(const struct kind *k, struct arena *a, void *obj, const struct apps_v1_ReplicaSetStatus *s)
{
	if (!k->replication) {
		((struct apps_v1_ReplicaSet *)obj)->status = *s;
		return obj;
	}
	struct core_v1_ReplicationController *rc = obj;
	rc->status = (struct core_v1_ReplicationControllerStatus){ .replicas = s->replicas,
		                                                   .fullyLabeledReplicas = s->fullyLabeledReplicas,
		                                                   .readyReplicas = s->readyReplicas,
		                                                   .availableReplicas = s->availableReplicas,
		                                                   .observedGeneration = s->observedGeneration };
	for (size_t i = 0; i < s->conditions.n; i++) {
		const struct apps_v1_ReplicaSetCondition *c = &s->conditions.v[i];
		*LIST_ADD(a, &rc->status.conditions) =
		        (struct core_v1_ReplicationControllerCondition){ .type = c->type,
			                                                 .status = c->status,
			                                                 .lastTransitionTime = c->lastTransitionTime,
			                                                 .reason = c->reason,
			                                                 .message = c->message };
	}
	return rc;
}

// --- Handlers ---

static void set_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct replicaset *c = ctx;
	const any_object *o = changed_object(old, obj);
	if (!obj) {
		_cleanup_arena_ struct arena *a = arena_new(512);
		expectations_forget(c->expectations, key_of(a, o->metadata.namespace, o->metadata.name));
	}
	queue_object(c->queue, o);
}

// The key of the set that controls the pod; empty: none of ours.
static str controller_key(struct replicaset *c, struct arena *a, const struct core_v1_Pod *p)
{
	const struct meta_v1_OwnerReference *r = meta_controller(&p->metadata);
	if (!r || !str_eqc(r->kind, c->kind.name))
		return S("");
	const any_object *owner = held_get(a, c->sets, p->metadata.namespace, r->name);
	return owner && str_eq(owner->metadata.uid, r->uid) ? key_of(a, p->metadata.namespace, r->name) : S("");
}

// Wakes the sets that might adopt an orphan.
static void wake_adopters(struct replicaset *c, struct arena *a, const struct core_v1_Pod *p)
{
	if (p->metadata.labels.n == 0)
		return;
	struct held all = held_by_index(a, c->sets, INDEX_NAMESPACE, p->metadata.namespace);
	for (size_t i = 0; i < all.n; i++) {
		struct selector s;
		struct error ignored = { 0 };
		const struct apps_v1_ReplicaSet *rs = as_set(&c->kind, a, all.v[i]);
		if (label_selector(a, rs->spec.selector, &s, &ignored) && !selector_empty(&s) &&
		    selector_matches(&s, &p->metadata.labels))
			queue_object(c->queue, all.v[i]);
	}
}

static void pod_changed(struct object_ref *old_ref, struct object_ref *new_ref, void *ctx)
{
	struct replicaset *c = ctx;
	_cleanup_arena_ struct arena *a = arena_new(1024);
	const struct core_v1_Pod *old = old_ref ? object_of(old_ref) : NULL, *p = new_ref ? object_of(new_ref) : NULL;
	str key, old_key = old ? controller_key(c, a, old) : S("");
	if (!p) {
		if (old_key.n) {
			deletion_observed(c->expectations, old_key, &old->metadata);
			workqueue_add(c->queue, old_key);
		}
		return;
	}
	key = controller_key(c, a, p);
	if (old_key.n && !str_eq(old_key, key))
		workqueue_add(c->queue, old_key); // it was released
	if (p->metadata.deletionTimestamp && key.n) {
		// Its deletion has begun: for the set it is gone.
		if (!old)
			creation_observed(c->expectations, key);
		deletion_observed(c->expectations, key, &p->metadata);
		workqueue_add(c->queue, key);
		return;
	}
	if (key.n) {
		if (!old)
			creation_observed(c->expectations, key);
		workqueue_add(c->queue, key);
		// Availability comes with time, not with an event.
		if (old && !pod_is_ready(old) && pod_is_ready(p)) {
			str ns, name;
			key_split(key, &ns, &name);
			const void *obj = held_get(a, c->sets, ns, name);
			int32_t wait = obj ? as_set(&c->kind, a, obj)->spec.minReadySeconds : 0;
			if (wait > 0)
				workqueue_add_after(c->queue, key, (int64_t)wait * 1000 + 1000);
		}
		return;
	}
	if (!meta_controller(&p->metadata) &&
	    (!old || old_key.n ||
	     !schema_equal(meta_v1_LabelSelector_desc,
	                   &(struct meta_v1_LabelSelector){ .matchLabels = old->metadata.labels },
	                   &(struct meta_v1_LabelSelector){ .matchLabels = p->metadata.labels })))
		wake_adopters(c, a, p);
}

// --- Conditions ---

static const struct apps_v1_ReplicaSetCondition *condition_of(const struct apps_v1_ReplicaSetStatus *s, str type)
{
	for (size_t i = 0; i < s->conditions.n; i++)
		if (str_eq(s->conditions.v[i].type, type))
			return &s->conditions.v[i];
	return NULL;
}

static void set_failure(struct arena *a, struct apps_v1_ReplicaSetStatus *s,
                        const struct apps_v1_ReplicaSetCondition *c)
{
	struct apps_v1_ReplicaSetCondition_list kept = { 0 };
	for (size_t i = 0; i < s->conditions.n; i++)
		if (!str_eq(s->conditions.v[i].type, S("ReplicaFailure")))
			*LIST_ADD(a, &kept) = s->conditions.v[i];
	if (c)
		*LIST_ADD(a, &kept) = *c;
	s->conditions = kept;
}

// --- Creating and deleting ---

struct creation {
	struct replicaset *c;
	const struct owner *owner;
	const struct core_v1_Pod *pod;
	pthread_mutex_t lock;
	size_t made;
	struct error err;
};

static void create_one(void *ctx, size_t i)
{
	struct creation *b = ctx;
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	bool ok = pod_create(b->c->m, a, b->owner, b->pod, &err) != NULL || error_namespace_terminating(&err);
	pthread_mutex_lock(&b->lock);
	if (ok)
		b->made++;
	else
		b->err = err;
	pthread_mutex_unlock(&b->lock);
}

// In batches that double while all goes well, so that a quota that is used up sees one call and not hundreds.
static bool create_pods(struct replicaset *c, struct arena *a, const struct owner *o,
                        const struct apps_v1_ReplicaSet *rs, str key, size_t n, struct error *err)
{
	struct creation b = { .c = c, .owner = o, .pod = pod_from_template(a, &rs->spec.template, o) };
	pthread_mutex_init(&b.lock, NULL);
	expect_creations(c->expectations, key, (int)n);
	size_t tried = 0;
	for (size_t batch = MIN(n, (size_t)SLOW_START); batch > 0 && !b.err.code; batch = MIN(2 * batch, n - tried)) {
		in_parallel(batch, create_one, &b);
		tried += batch;
	}
	pthread_mutex_destroy(&b.lock);
	for (size_t i = b.made; i < n; i++)
		creation_observed(c->expectations, key); // nobody will see these
	if (!b.err.code)
		return true;
	*err = b.err;
	return false;
}

struct removal {
	struct replicaset *c;
	const struct owner *owner;
	const struct core_v1_Pod **pods;
	str key;
	pthread_mutex_t lock;
	struct error err;
};

static void delete_one(void *ctx, size_t i)
{
	struct removal *b = ctx;
	struct error err = { 0 };
	if (pod_delete(b->c->m, b->owner, b->pods[i], &err))
		return;
	deletion_observed(b->c->expectations, b->key, &b->pods[i]->metadata);
	if (err.code == 404)
		return;
	pthread_mutex_lock(&b->lock);
	b->err = err;
	pthread_mutex_unlock(&b->lock);
}

// For each pod the number of active pods on its node that belong to any set with the same controller as this one.
static int *same_node_ranks(struct replicaset *c, struct arena *a, const struct apps_v1_ReplicaSet *rs,
                            const struct core_v1_Pod **pods, size_t n)
{
	int *ranks = arena_calloc(a, n, sizeof(int));
	const struct meta_v1_OwnerReference *ref = meta_controller(&rs->metadata);
	struct held sets = held_by_index(a, c->sets, INDEX_NAMESPACE, rs->metadata.namespace);
	_cleanup_map_ struct map seen = { 0 }, nodes = { 0 };
	for (size_t i = 0; i < sets.n; i++) {
		const any_object *other = sets.v[i];
		const struct meta_v1_OwnerReference *r = meta_controller(&other->metadata);
		if (!str_eq(other->metadata.uid, rs->metadata.uid) && (!ref || !r || !str_eq(r->uid, ref->uid)))
			continue;
		struct held related = held_by_index(a, c->pods, INDEX_CONTROLLER, other->metadata.uid);
		for (size_t p = 0; p < related.n; p++) {
			const struct core_v1_Pod *pod = related.v[p];
			if (!pod_active(pod) || map_has(&seen, pod->metadata.uid))
				continue;
			map_put(&seen, pod->metadata.uid, NULL);
			map_put(&nodes, pod->spec.nodeName, (char *)map_get(&nodes, pod->spec.nodeName) + 1);
		}
	}
	for (size_t i = 0; i < n; i++)
		ranks[i] = (int)(uintptr_t)map_get(&nodes, pods[i]->spec.nodeName);
	return ranks;
}

static bool delete_pods(struct replicaset *c, struct arena *a, const struct owner *o,
                        const struct apps_v1_ReplicaSet *rs, str key, const struct core_v1_Pod **pods, size_t n,
                        size_t remove, struct error *err)
{
	if (remove < n)
		pods_rank_for_deletion(a, pods, n, same_node_ranks(c, a, rs, pods, n), clock_wall(c->m->clock));
	struct removal b = { .c = c, .owner = o, .pods = pods, .key = key };
	pthread_mutex_init(&b.lock, NULL);
	expect_deletions(c->expectations, key, pods, remove);
	in_parallel(remove, delete_one, &b);
	pthread_mutex_destroy(&b.lock);
	if (!b.err.code)
		return true;
	*err = b.err;
	return false;
}

static bool manage(struct replicaset *c, struct arena *a, const struct owner *o, const struct apps_v1_ReplicaSet *rs,
                   str key, struct held active, struct error *err)
{
	int64_t want = rs->spec.replicas ? *rs->spec.replicas : 1, have = (int64_t)active.n;
	if (have < want)
		return create_pods(c, a, o, rs, key, (size_t)MIN(want - have, (int64_t)BURST), err);
	if (have > want)
		return delete_pods(c, a, o, rs, key, (const struct core_v1_Pod **)active.v, active.n,
		                   (size_t)MIN(have - want, (int64_t)BURST), err);
	return true;
}

// --- Status ---

static struct apps_v1_ReplicaSetStatus status_of(struct replicaset *c, struct arena *a,
                                                 const struct apps_v1_ReplicaSet *rs, struct held active,
                                                 size_t terminating, const struct error *failed, int64_t now)
{
	struct apps_v1_ReplicaSetStatus s = rs->status;
	struct selector template = selector_from_map(a, &rs->spec.template.metadata.labels);
	s.replicas = (int32_t)active.n;
	s.fullyLabeledReplicas = s.readyReplicas = s.availableReplicas = 0;
	for (size_t i = 0; i < active.n; i++) {
		const struct core_v1_Pod *p = active.v[i];
		s.fullyLabeledReplicas += selector_matches(&template, &p->metadata.labels);
		s.readyReplicas += pod_is_ready(p);
		s.availableReplicas += pod_is_available(p, rs->spec.minReadySeconds, now);
	}
	s.terminatingReplicas = NULL;
	if (!c->kind.replication) {
		s.terminatingReplicas = ARENA_NEW(a, int32_t);
		*s.terminatingReplicas = (int32_t)terminating;
	}
	const struct apps_v1_ReplicaSetCondition *failure = condition_of(&rs->status, S("ReplicaFailure"));
	if (failed->code && !failure) {
		int64_t diff = (int64_t)active.n - (rs->spec.replicas ? *rs->spec.replicas : 1);
		set_failure(a, &s,
		            &(struct apps_v1_ReplicaSetCondition){ .type = S("ReplicaFailure"),
		                                                   .status = S("True"),
		                                                   .lastTransitionTime = now_time(c->m),
		                                                   .reason = diff < 0   ? S("FailedCreate")
		                                                             : diff > 0 ? S("FailedDelete")
		                                                                        : S(""),
		                                                   .message = arena_dup(a, error_str(failed)) });
	} else if (!failed->code && failure) {
		set_failure(a, &s, NULL);
	}
	return s;
}

static bool write_status(struct replicaset *c, struct arena *a, const void *cached, const struct apps_v1_ReplicaSet *rs,
                         struct apps_v1_ReplicaSetStatus *s, struct error *err)
{
	int64_t observed = s->observedGeneration;
	if (schema_equal(apps_v1_ReplicaSetStatus_desc, &rs->status, s) && observed == rs->metadata.generation)
		return true;
	s->observedGeneration = rs->metadata.generation;
	void *obj = schema_clone(a, c->kind.message, cached);
	for (int try = 0;; try++) {
		*err = (struct error){ 0 };
		if (client_update(c->m->client, a, c->kind.resource, "status", with_status(&c->kind, a, obj, s), err))
			return true;
		if (try >= STATUS_RETRIES || err->code != 409)
			return false;
		obj = client_get(c->m->client, a, c->kind.resource, rs->metadata.namespace, rs->metadata.name, err);
		if (!obj)
			return false;
	}
}

// --- Reconcile ---

static bool reconcile(void *ctx, struct arena *a, str key, struct error *err)
{
	struct replicaset *c = ctx;
	str ns, name;
	key_split(key, &ns, &name);
	const void *cached = held_get(a, c->sets, ns, name);
	if (!cached) {
		expectations_forget(c->expectations, key);
		return true;
	}
	const struct apps_v1_ReplicaSet *rs = as_set(&c->kind, a, cached);
	bool needs_sync = expectations_met(c->expectations, key);
	struct selector selector;
	if (!label_selector(a, rs->spec.selector, &selector, err)) {
		log_error("%s " STR_FMT ": %s", c->kind.name, STR_ARG(key), err->text);
		return true;
	}
	struct owner o = { c->kind.resource, str_c(c->kind.api_version), str_c(c->kind.name), &rs->metadata,
		           c->kind.component };
	struct held candidates = held_candidates(a, c->pods, ns, rs->metadata.uid), active;
	size_t terminating = 0, n = 0;
	for (size_t i = 0; i < candidates.n; i++) {
		const struct core_v1_Pod *p = candidates.v[i];
		if (pod_terminating(p) && meta_controlled_by(&p->metadata, rs->metadata.uid) &&
		    selector_matches(&selector, &p->metadata.labels))
			terminating++;
		if (pod_active(p))
			candidates.v[n++] = p;
	}
	candidates.n = n;
	if (!claim(c->m, a, &o, &selector, c->m->r.pods, candidates, NULL, &active, err))
		return false;
	struct error failed = { 0 };
	if (needs_sync && !rs->metadata.deletionTimestamp)
		manage(c, a, &o, rs, key, active, &failed);
	int64_t now = now_sec(c->m);
	struct apps_v1_ReplicaSetStatus s = status_of(c, a, rs, active, terminating, &failed, now);
	if (!write_status(c, a, cached, rs, &s, err))
		return err->code == 404; // deleted meanwhile
	if (failed.code) {
		*err = failed;
		return false;
	}
	if (rs->spec.minReadySeconds > 0 && s.readyReplicas != s.availableReplicas) {
		int64_t wait = rs->spec.minReadySeconds;
		for (size_t i = 0; i < active.n; i++) {
			const struct core_v1_PodCondition *r =
			        pod_is_ready(active.v[i]) ? pod_condition(active.v[i], S("Ready")) : NULL;
			int64_t left = r ? r->lastTransitionTime.sec + rs->spec.minReadySeconds - now : 0;
			if (left > 0)
				wait = MIN(wait, left);
		}
		workqueue_add_after(c->queue, key, wait * 1000);
	}
	return true;
}

static void *setup(struct manager *m, struct kind kind)
{
	struct replicaset *c = ARENA_NEW(m->arena, struct replicaset);
	*c = (struct replicaset){ .m = m,
		                  .kind = kind,
		                  .sets = manager_informer(m, kind.resource),
		                  .pods = manager_informer(m, m->r.pods),
		                  .queue = manager_queue(m),
		                  .expectations = expectations_new(m) };
	informer_add_index(c->pods, INDEX_CONTROLLER, index_controller);
	informer_add_index(c->sets, INDEX_NAMESPACE, index_namespace);
	informer_add_handler(c->sets, &(struct informer_handler){ set_changed, c });
	informer_add_handler(c->pods, &(struct informer_handler){ pod_changed, c });
	return c;
}

void *replicaset_setup(struct manager *m)
{
	return setup(m, (struct kind){ "replicaset-controller", "apps/v1", "ReplicaSet", m->r.replicasets,
	                               apps_v1_ReplicaSet_desc, false });
}

void *replication_setup(struct manager *m)
{
	return setup(m, (struct kind){ "replication-controller", "v1", "ReplicationController",
	                               m->r.replicationcontrollers, core_v1_ReplicationController_desc, true });
}

void replicaset_run(void *self)
{
	struct replicaset *c = self;
	workqueue_run(c->queue, c->kind.replication ? "replication" : "replicaset",
	              (int)c->m->options->concurrent_syncs, reconcile, c);
}

void replication_run(void *self)
{
	replicaset_run(self);
}
