// DaemonSets: one pod on each node that fits. Rule: upstream pkg/controller/daemon.
#include <stdlib.h>

#include "base/heap.h"
#include "base/log.h"
#include "controllers/history.h"
#include "controllers/node_util.h"

#define COMPONENT "daemonset-controller"
#define GENERATION_ANNOTATION S("deprecated.daemonset.template.generation")
#define GENERATION_LABEL S("pod-template-generation")

enum { BURST = 250, FAILED_BACKOFF_S = 1, FAILED_BACKOFF_MAX_S = 900 };

struct daemonset {
	struct manager *m;
	struct informer *sets, *pods, *nodes, *revisions;
	struct workqueue *queue;
	struct expectations *expectations;
	pthread_mutex_t lock;
	struct map backoff; // "uid/generation/node" -> struct backoff
};

struct backoff {
	int64_t seconds, last;
};

// --- Handlers ---

static void set_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct daemonset *c = ctx;
	queue_object(c->queue, changed_object(old, obj));
}

static str controller_key(struct daemonset *c, struct arena *a, const struct meta_v1_ObjectMeta *m)
{
	const struct meta_v1_OwnerReference *r = meta_controller(m);
	if (!r || !str_eq(r->kind, S("DaemonSet")))
		return S("");
	const any_object *ds = held_get(a, c->sets, m->namespace, r->name);
	return ds && str_eq(ds->metadata.uid, r->uid) ? key_of(a, m->namespace, r->name) : S("");
}

static void pod_changed(struct object_ref *old_ref, struct object_ref *new_ref, void *ctx)
{
	struct daemonset *c = ctx;
	_cleanup_arena_ struct arena *a = arena_new(1024);
	const struct core_v1_Pod *old = old_ref ? object_of(old_ref) : NULL, *p = new_ref ? object_of(new_ref) : NULL;
	str old_key = old ? controller_key(c, a, &old->metadata) : S(""),
	    key = p ? controller_key(c, a, &p->metadata) : S("");
	if (old_key.n && !str_eq(old_key, key)) {
		if (!p)
			deletion_observed(c->expectations, old_key, &old->metadata);
		workqueue_add(c->queue, old_key);
	}
	if (key.n) {
		if (!old)
			creation_observed(c->expectations, key);
		if (p->metadata.deletionTimestamp)
			deletion_observed(c->expectations, key, &p->metadata);
		workqueue_add(c->queue, key);
	} else if (p && !meta_controller(&p->metadata) && !old) {
		struct held all = held_by_index(a, c->sets, INDEX_NAMESPACE, p->metadata.namespace);
		for (size_t i = 0; i < all.n; i++)
			queue_object(c->queue, all.v[i]);
	}
}

static void node_changed(struct object_ref *old_ref, struct object_ref *new_ref, void *ctx)
{
	struct daemonset *c = ctx;
	if (old_ref && new_ref) {
		// Heartbeats change neither where daemons may run nor where they must.
		const struct core_v1_Node *x = object_of(old_ref), *y = object_of(new_ref);
		struct core_v1_Node sx = { .metadata.labels = x->metadata.labels,
			                   .spec = { .taints = x->spec.taints,
			                             .unschedulable = x->spec.unschedulable } };
		struct core_v1_Node sy = { .metadata.labels = y->metadata.labels,
			                   .spec = { .taints = y->spec.taints,
			                             .unschedulable = y->spec.unschedulable } };
		if (schema_equal(core_v1_Node_desc, &sx, &sy))
			return;
	}
	_cleanup_arena_ struct arena *a = arena_new(512);
	struct held all = held_list(a, c->sets);
	for (size_t i = 0; i < all.n; i++)
		queue_object(c->queue, all.v[i]);
}

// --- Where it runs ---

static void tolerate(struct arena *a, struct core_v1_PodSpec *spec, const char *key, const char *effect)
{
	struct core_v1_Toleration want = { .key = str_c(key), .operator= S("Exists"), .effect = str_c(effect) };
	for (size_t i = 0; i < spec->tolerations.n; i++) {
		const struct core_v1_Toleration *t = &spec->tolerations.v[i];
		if (str_eq(t->key, want.key) && str_eq(t->effect, want.effect) && str_eq(t->operator, want.operator) &&
		    str_empty(t->value)) {
			spec->tolerations.v[i].tolerationSeconds = NULL;
			return;
		}
	}
	*LIST_ADD(a, &spec->tolerations) = want;
}

// Daemons stay where others leave.
static void add_tolerations(struct arena *a, struct core_v1_PodSpec *spec)
{
	tolerate(a, spec, "node.kubernetes.io/not-ready", "NoExecute");
	tolerate(a, spec, "node.kubernetes.io/unreachable", "NoExecute");
	tolerate(a, spec, "node.kubernetes.io/disk-pressure", "NoSchedule");
	tolerate(a, spec, "node.kubernetes.io/memory-pressure", "NoSchedule");
	tolerate(a, spec, "node.kubernetes.io/pid-pressure", "NoSchedule");
	tolerate(a, spec, "node.kubernetes.io/unschedulable", "NoSchedule");
	if (spec->hostNetwork)
		tolerate(a, spec, "node.kubernetes.io/network-unavailable", "NoSchedule");
}

struct fit {
	bool run, stay;
};

static struct fit fits(struct arena *a, const struct core_v1_PodSpec *spec, const struct core_v1_Node *n)
{
	if ((spec->nodeName.n && !str_eq(spec->nodeName, n->metadata.name)) || !node_selected(a, spec, n))
		return (struct fit){ 0 };
	struct fit f = { true, true };
	for (size_t i = 0; i < n->spec.taints.n; i++) {
		const struct core_v1_Taint *t = &n->spec.taints.v[i];
		bool tolerated = str_eq(t->effect, S("PreferNoSchedule"));
		for (size_t k = 0; k < spec->tolerations.n && !tolerated; k++)
			tolerated = toleration_tolerates(&spec->tolerations.v[k], t);
		if (!tolerated) {
			f.run = false;
			f.stay &= !str_eq(t->effect, S("NoExecute"));
		}
	}
	return f;
}

// The node that a daemon's pod is made for: bound to it, or by the affinity that it was made with.
static str target_node(const struct core_v1_Pod *p)
{
	if (p->spec.nodeName.n)
		return p->spec.nodeName;
	const struct core_v1_NodeSelector *s =
	        p->spec.affinity && p->spec.affinity->nodeAffinity
	                ? p->spec.affinity->nodeAffinity->requiredDuringSchedulingIgnoredDuringExecution
	                : NULL;
	for (size_t i = 0; s && i < s->nodeSelectorTerms.n; i++)
		for (size_t k = 0; k < s->nodeSelectorTerms.v[i].matchFields.n; k++) {
			const struct core_v1_NodeSelectorRequirement *r = &s->nodeSelectorTerms.v[i].matchFields.v[k];
			if (str_eq(r->key, S("metadata.name")) && str_eq(r->operator, S("In")) && r->values.n == 1)
				return r->values.v[0];
		}
	return S("");
}

static struct core_v1_Pod *pod_for(struct arena *a, const struct core_v1_Pod *model, str node)
{
	struct core_v1_Pod *p = schema_clone(a, core_v1_Pod_desc, model);
	if (!p->spec.affinity)
		p->spec.affinity = ARENA_NEW(a, struct core_v1_Affinity);
	if (!p->spec.affinity->nodeAffinity)
		p->spec.affinity->nodeAffinity = ARENA_NEW(a, struct core_v1_NodeAffinity);
	struct core_v1_NodeSelector *s = ARENA_NEW(a, struct core_v1_NodeSelector);
	struct core_v1_NodeSelectorTerm *t = LIST_ADD(a, &s->nodeSelectorTerms);
	struct core_v1_NodeSelectorRequirement *r = LIST_ADD(a, &t->matchFields);
	r->key = S("metadata.name");
	r->operator= S("In");
	*LIST_ADD(a, &r->values) = node;
	p->spec.affinity->nodeAffinity->requiredDuringSchedulingIgnoredDuringExecution = s;
	return p;
}

// --- One round ---

struct on_node {
	const struct core_v1_Node *node;
	struct fit fit;
	struct held pods; // of this DaemonSet, oldest first, running before others
};

struct round {
	struct daemonset *c;
	const struct apps_v1_DaemonSet *ds;
	struct owner owner;
	str key, hash;
	struct core_v1_PodSpec spec; // of the template, with tolerations
	struct {
		struct on_node *v;
		size_t n;
	} nodes;
	struct str_list create; // nodes
	struct {
		const struct core_v1_Pod **v;
		size_t n;
	} remove;
	int64_t now;
	struct error err;
	pthread_mutex_t lock;
	const struct core_v1_Pod *model;
};

static bool has_surge(const struct round *r)
{
	const struct apps_v1_RollingUpdateDaemonSet *u = r->ds->spec.updateStrategy.rollingUpdate;
	int32_t n = 0;
	return str_eq(r->ds->spec.updateStrategy.type, S("RollingUpdate")) && u && u->maxSurge &&
	       int_or_percent(u->maxSurge, 100, true, &n) && n > 0;
}

static bool is_updated(const struct round *r, const struct core_v1_Pod *p)
{
	str generation = str_map_get(&r->ds->metadata.annotations, GENERATION_ANNOTATION);
	return (r->hash.n && str_eq(str_map_get(&p->metadata.labels, REVISION_HASH_LABEL), r->hash)) ||
	       (generation.n && str_eq(str_map_get(&p->metadata.labels, GENERATION_LABEL), generation));
}

static bool available(const struct round *r, const struct core_v1_Pod *p)
{
	return pod_is_available(p, r->ds->spec.minReadySeconds, r->now);
}

static int by_age(const void *x, const void *y)
{
	const struct core_v1_Pod *a = *(const struct core_v1_Pod *const *)x, *b = *(const struct core_v1_Pod *const *)y;
	bool na = a->spec.nodeName.n > 0, nb = b->spec.nodeName.n > 0;
	if (na != nb)
		return na ? -1 : 1; // bound ones first
	int64_t ta = a->metadata.creationTimestamp.sec, tb = b->metadata.creationTimestamp.sec;
	return ta != tb ? (ta < tb ? -1 : 1) : str_cmp(a->metadata.name, b->metadata.name);
}

static void remove_later(struct arena *a, struct round *r, const struct core_v1_Pod *p)
{
	for (size_t i = 0; i < r->remove.n; i++)
		if (r->remove.v[i] == p)
			return;
	*LIST_ADD(a, &r->remove) = p;
}

// Whether a failed pod may be replaced now; otherwise the set comes back when it may.
static bool may_replace(struct round *r, struct arena *a, str node)
{
	struct daemonset *c = r->c;
	str key = arena_printf(a, STR_FMT "/%lld/" STR_FMT, STR_ARG(r->ds->metadata.uid),
	                       (long long)r->ds->status.observedGeneration, STR_ARG(node));
	int64_t now = clock_mono(c->m->clock);
	pthread_mutex_lock(&c->lock);
	struct backoff *b = map_get(&c->backoff, key);
	if (!b)
		map_put(&c->backoff, key, b = HEAP_NEW(struct backoff));
	int64_t left = b->last ? b->last + b->seconds * NS_PER_SEC - now : 0;
	if (left <= 0) {
		bool calm = b->last && now - b->last > 2 * FAILED_BACKOFF_MAX_S * NS_PER_SEC;
		b->seconds =
		        !b->seconds || calm ? FAILED_BACKOFF_S : MIN(b->seconds * 2, (int64_t)FAILED_BACKOFF_MAX_S);
		b->last = now;
	}
	pthread_mutex_unlock(&c->lock);
	if (left > 0)
		workqueue_add_after(c->queue, r->key, left / NS_PER_MS + 1);
	return left <= 0;
}

static void manage_node(struct round *r, struct arena *a, const struct on_node *n)
{
	struct daemonset *c = r->c;
	if (n->fit.run && n->pods.n == 0) {
		*LIST_ADD(a, &r->create) = n->node->metadata.name;
		return;
	}
	if (!n->fit.stay) {
		for (size_t i = 0; i < n->pods.n; i++)
			if (!((const struct core_v1_Pod *)n->pods.v[i])->metadata.deletionTimestamp)
				remove_later(a, r, n->pods.v[i]);
		return;
	}
	const struct core_v1_Pod *new_pod = NULL, *old_pod = NULL, *first = NULL;
	for (size_t i = 0; i < n->pods.n; i++) {
		const struct core_v1_Pod *p = n->pods.v[i];
		if (p->metadata.deletionTimestamp)
			continue;
		if (pod_is_terminal(p)) {
			bool failed = str_eq(p->status.phase, S("Failed"));
			if (failed && !may_replace(r, a, n->node->metadata.name))
				continue;
			EVENT(c->m, COMPONENT, c->m->r.daemonsets, &r->ds->metadata, failed ? "Warning" : "Normal",
			      failed ? "FailedDaemonPod" : "SucceededDaemonPod",
			      failed ? "Found failed daemon pod " STR_FMT "/" STR_FMT " on node " STR_FMT
			               ", will try to kill it"
			             : "Found succeeded daemon pod " STR_FMT "/" STR_FMT " on node " STR_FMT
			               ", will try to delete it",
			      STR_ARG(p->metadata.namespace), STR_ARG(p->metadata.name),
			      STR_ARG(n->node->metadata.name));
			remove_later(a, r, p);
			continue;
		}
		// One per node; in a surge one old and one new.
		const struct core_v1_Pod **slot = !has_surge(r) ? &first : is_updated(r, p) ? &new_pod : &old_pod;
		if (*slot)
			remove_later(a, r, p);
		else
			*slot = p;
	}
	if (new_pod && old_pod && (!pod_is_ready(old_pod) || available(r, new_pod)))
		remove_later(a, r, old_pod);
}

static void create_one(void *ctx, size_t i)
{
	struct round *r = ctx;
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	if (pod_create(r->c->m, a, &r->owner, pod_for(a, r->model, r->create.v[i]), &err))
		return;
	creation_observed(r->c->expectations, r->key);
	if (error_namespace_terminating(&err))
		return;
	pthread_mutex_lock(&r->lock);
	r->err = err;
	pthread_mutex_unlock(&r->lock);
}

static void delete_one(void *ctx, size_t i)
{
	struct round *r = ctx;
	struct error err = { 0 };
	if (pod_delete(r->c->m, &r->owner, r->remove.v[i], &err))
		return;
	deletion_observed(r->c->expectations, r->key, &r->remove.v[i]->metadata);
	if (err.code == 404)
		return;
	pthread_mutex_lock(&r->lock);
	r->err = err;
	pthread_mutex_unlock(&r->lock);
}

// Carries out what the round has decided.
static bool sync_nodes(struct round *r, struct arena *a, struct error *err)
{
	r->create.n = MIN(r->create.n, (size_t)BURST);
	r->remove.n = MIN(r->remove.n, (size_t)BURST);
	if (r->create.n == 0 && r->remove.n == 0)
		return true;
	expect(r->c->expectations, r->key, (int)r->create.n, r->remove.v, r->remove.n);
	struct core_v1_PodTemplateSpec template = r->ds->spec.template;
	template.spec = r->spec;
	struct core_v1_Pod *model = schema_clone(a, core_v1_Pod_desc, pod_from_template(a, &template, &r->owner));
	str generation = str_map_get(&r->ds->metadata.annotations, GENERATION_ANNOTATION);
	if (generation.n)
		str_map_set(a, &model->metadata.labels, GENERATION_LABEL, generation);
	if (r->hash.n)
		str_map_set(a, &model->metadata.labels, REVISION_HASH_LABEL, r->hash);
	r->model = model;
	pthread_mutex_init(&r->lock, NULL);
	// The first alone: what forbids one forbids all.
	if (r->create.n)
		create_one(r, 0);
	if (r->create.n > 1) {
		if (r->err.code) {
			for (size_t i = 1; i < r->create.n; i++)
				creation_observed(r->c->expectations, r->key);
		} else {
			struct str_list all = r->create;
			r->create = (struct str_list){ all.v + 1, all.n - 1 };
			in_parallel(r->create.n, create_one, r);
		}
	}
	in_parallel(r->remove.n, delete_one, r);
	pthread_mutex_destroy(&r->lock);
	r->create = (struct str_list){ 0 };
	r->remove.n = 0;
	r->remove.v = NULL;
	if (!r->err.code)
		return true;
	*err = r->err;
	return false;
}

// --- Rolling update ---

// The new and the old pod of a node; false: there are several of a kind, the next round cleans up.
static bool pair_of(const struct round *r, const struct on_node *n, const struct core_v1_Pod **new_pod,
                    const struct core_v1_Pod **old_pod)
{
	*new_pod = *old_pod = NULL;
	for (size_t i = 0; i < n->pods.n; i++) {
		const struct core_v1_Pod *p = n->pods.v[i], **slot = is_updated(r, p) ? new_pod : old_pod;
		if (p->metadata.deletionTimestamp)
			continue;
		if (*slot)
			return false;
		*slot = p;
	}
	return true;
}

static void limits(const struct round *r, int32_t *surge, int32_t *unavailable)
{
	const struct apps_v1_RollingUpdateDaemonSet *u = r->ds->spec.updateStrategy.rollingUpdate;
	int32_t desired = 0;
	for (size_t i = 0; i < r->nodes.n; i++)
		desired += r->nodes.v[i].fit.run;
	*surge = 0;
	*unavailable = 0;
	if (u && u->maxSurge)
		int_or_percent(u->maxSurge, desired, true, surge);
	if (!u || !u->maxUnavailable)
		*unavailable = 1;
	else
		int_or_percent(u->maxUnavailable, desired, true, unavailable);
	if (desired > 0 && *surge == 0 && *unavailable == 0)
		*unavailable = 1;
}

static void replace_old(struct round *r, struct arena *a, int32_t unavailable)
{
	int32_t down = 0;
	struct {
		const struct core_v1_Pod **v;
		size_t n;
	} candidates = { 0 };
	for (size_t i = 0; i < r->nodes.n; i++) {
		const struct core_v1_Pod *new_pod, *old_pod;
		const struct on_node *n = &r->nodes.v[i];
		if (!n->fit.run && n->pods.n == 0)
			continue;
		if (!pair_of(r, n, &new_pod, &old_pod) || (!new_pod && !old_pod)) {
			down++;
		} else if (new_pod) {
			down += !available(r, new_pod);
		} else if (!available(r, old_pod)) {
			remove_later(a, r, old_pod);
			down++;
		} else {
			*LIST_ADD(a, &candidates) = old_pod;
		}
	}
	for (size_t i = 0; i < candidates.n && down < unavailable; i++, down++)
		remove_later(a, r, candidates.v[i]);
}

static void surge_over_old(struct round *r, struct arena *a, int32_t surge)
{
	int32_t extra = 0;
	struct str_list candidates = { 0 };
	for (size_t i = 0; i < r->nodes.n; i++) {
		const struct core_v1_Pod *new_pod, *old_pod;
		const struct on_node *n = &r->nodes.v[i];
		if (n->pods.n == 0)
			continue;
		if (!pair_of(r, n, &new_pod, &old_pod)) {
			extra++;
		} else if (!old_pod) {
			continue; // manage_node makes one where it is missing
		} else if (new_pod) {
			if (available(r, new_pod))
				remove_later(a, r, old_pod);
			else
				extra++;
		} else if (!n->fit.run) {
			continue;
		} else if (!available(r, old_pod)) {
			*LIST_ADD(a, &r->create) = n->node->metadata.name;
		} else {
			*LIST_ADD(a, &candidates) = n->node->metadata.name;
		}
	}
	for (size_t i = 0; i < candidates.n && extra < surge; i++, extra++)
		*LIST_ADD(a, &r->create) = candidates.v[i];
}

// --- Status ---

static bool write_status(struct round *r, struct arena *a, bool observed, struct error *err)
{
	struct apps_v1_DaemonSet *copy = schema_clone(a, apps_v1_DaemonSet_desc, r->ds);
	struct apps_v1_DaemonSetStatus *s = &copy->status;
	s->desiredNumberScheduled = s->currentNumberScheduled = s->numberMisscheduled = s->numberReady =
	        s->updatedNumberScheduled = s->numberAvailable = 0;
	for (size_t i = 0; i < r->nodes.n; i++) {
		const struct on_node *n = &r->nodes.v[i];
		if (!n->fit.run) {
			s->numberMisscheduled += n->pods.n > 0;
			continue;
		}
		s->desiredNumberScheduled++;
		if (n->pods.n == 0)
			continue;
		const struct core_v1_Pod *p = n->pods.v[0];
		s->currentNumberScheduled++;
		s->numberReady += pod_is_ready(p);
		s->numberAvailable += available(r, p);
		s->updatedNumberScheduled += is_updated(r, p);
	}
	s->numberUnavailable = s->desiredNumberScheduled - s->numberAvailable;
	if (observed)
		s->observedGeneration = r->ds->metadata.generation;
	if (r->ds->spec.minReadySeconds > 0 && s->numberReady != s->numberAvailable)
		workqueue_add_after(r->c->queue, r->key, (int64_t)r->ds->spec.minReadySeconds * 1000);
	if (schema_equal(apps_v1_DaemonSetStatus_desc, s, &r->ds->status))
		return true;
	return client_update(r->c->m->client, a, r->c->m->r.daemonsets, "status", copy, err) || err->code == 404;
}

// --- Reconcile ---

static bool lives_on(const struct apps_v1_ControllerRevision *rev, void *ctx)
{
	const struct round *r = ctx;
	str hash = str_map_get(&rev->metadata.labels, REVISION_HASH_LABEL);
	for (size_t i = 0; i < r->nodes.n; i++)
		for (size_t k = 0; k < r->nodes.v[i].pods.n; k++)
			if (str_eq(str_map_get(&((const any_object *)r->nodes.v[i].pods.v[k])->metadata.labels,
			                       REVISION_HASH_LABEL),
			           hash))
				return true;
	return false;
}

// The revision of the present template (made when it is new) and the others.
static bool find_revision(struct round *r, struct arena *a, const struct selector *s, struct revisions *old,
                          struct error *err)
{
	struct daemonset *c = r->c;
	struct revisions all;
	if (!history_of(c->m, a, &r->owner, s, c->revisions, &all, err))
		return false;
	const struct apps_v1_ControllerRevision *now = history_find(a, all, &r->ds->spec.template);
	int64_t latest = 0;
	*old = (struct revisions){ .v = arena_calloc(a, all.n + 1, sizeof(*all.v)) };
	for (size_t i = 0; i < all.n; i++)
		if (all.v[i] != now) {
			old->v[old->n++] = all.v[i];
			latest = MAX(latest, all.v[i]->revision);
		}
	if (!now) {
		int32_t *collisions = r->ds->status.collisionCount, *before = collisions;
		now = history_create(c->m, a, &r->owner, &r->ds->spec.template.metadata.labels, &r->ds->spec.template,
		                     latest + 1, &collisions, false, err);
		if (!now && collisions != before) {
			struct apps_v1_DaemonSet *copy = schema_clone(a, apps_v1_DaemonSet_desc, r->ds);
			struct error ignored = { 0 };
			copy->status.collisionCount = collisions;
			client_update(c->m->client, a, c->m->r.daemonsets, "status", copy, &ignored);
		}
	} else if (now->revision <= latest) {
		now = history_renumber(c->m, a, now, latest + 1, err);
	}
	if (now)
		r->hash = str_map_get(&now->metadata.labels, REVISION_HASH_LABEL);
	return now != NULL;
}

static bool place_pods(struct round *r, struct arena *a, const struct selector *s, struct error *err)
{
	struct daemonset *c = r->c;
	struct held mine, nodes = held_list(a, c->nodes);
	if (!claim(c->m, a, &r->owner, s, c->m->r.pods,
	           held_candidates(a, c->pods, r->ds->metadata.namespace, r->ds->metadata.uid), NULL, &mine, err))
		return false;
	r->nodes.n = 0;
	r->nodes.v = NULL;
	for (size_t i = 0; i < nodes.n; i++) {
		struct on_node *n = LIST_ADD(a, &r->nodes);
		n->node = nodes.v[i];
		n->fit = fits(a, &r->spec, n->node);
		for (size_t k = 0; k < mine.n; k++)
			if (str_eq(target_node(mine.v[k]), n->node->metadata.name))
				*LIST_ADD(a, &n->pods) = mine.v[k];
		sort_items(n->pods.v, n->pods.n, sizeof(*n->pods.v), by_age);
	}
	// Pods that wait for a node that is gone.
	for (size_t k = 0; k < mine.n; k++) {
		const struct core_v1_Pod *p = mine.v[k];
		if (!p->spec.nodeName.n && !p->metadata.deletionTimestamp &&
		    !held_get(a, c->nodes, S(""), target_node(p)))
			remove_later(a, r, p);
	}
	return true;
}

static bool reconcile(void *ctx, struct arena *a, str key, struct error *err)
{
	struct daemonset *c = ctx;
	str ns, name;
	key_split(key, &ns, &name);
	const struct apps_v1_DaemonSet *ds = held_get(a, c->sets, ns, name);
	if (!ds) {
		expectations_forget(c->expectations, key);
		return true;
	}
	if (ds->spec.selector && ds->spec.selector->matchLabels.n == 0 && ds->spec.selector->matchExpressions.n == 0) {
		EVENT(c->m, COMPONENT, c->m->r.daemonsets, &ds->metadata, "Warning", "SelectingAll",
		      "This daemon set is selecting all pods. A non-empty selector is required.");
		return true;
	}
	if (ds->metadata.deletionTimestamp)
		return true;
	struct selector selector;
	if (!label_selector(a, ds->spec.selector, &selector, err))
		return false;
	struct round r = { .c = c,
		           .ds = ds,
		           .key = key,
		           .now = now_sec(c->m),
		           .owner = { c->m->r.daemonsets, S("apps/v1"), S("DaemonSet"), &ds->metadata, COMPONENT } };
	struct core_v1_PodTemplateSpec *t = schema_clone(a, core_v1_PodTemplateSpec_desc, &ds->spec.template);
	r.spec = t->spec;
	add_tolerations(a, &r.spec);
	struct revisions old;
	if (!find_revision(&r, a, &selector, &old, err) || !place_pods(&r, a, &selector, err))
		return error_namespace_terminating(err);
	if (!expectations_met(c->expectations, key))
		return write_status(&r, a, false, err);
	for (size_t i = 0; i < r.nodes.n; i++)
		manage_node(&r, a, &r.nodes.v[i]);
	bool acted = r.create.n || r.remove.n;
	struct error failed = { 0 };
	sync_nodes(&r, a, &failed);
	if (!failed.code && !acted && str_eq(ds->spec.updateStrategy.type, S("RollingUpdate"))) {
		int32_t surge, unavailable;
		limits(&r, &surge, &unavailable);
		if (surge > 0)
			surge_over_old(&r, a, surge);
		else
			replace_old(&r, a, unavailable);
		sync_nodes(&r, a, &failed);
	}
	if (!failed.code &&
	    !history_truncate(c->m, old, ds->spec.revisionHistoryLimit ? *ds->spec.revisionHistoryLimit : 10, lives_on,
	                      &r, &failed))
		log_debug("daemonset " STR_FMT ": %s", STR_ARG(key), failed.text);
	if (!write_status(&r, a, true, err))
		return false;
	if (failed.code)
		*err = failed;
	return !failed.code;
}

void *daemonset_setup(struct manager *m)
{
	struct daemonset *c = ARENA_NEW(m->arena, struct daemonset);
	*c = (struct daemonset){ .m = m,
		                 .sets = manager_informer(m, m->r.daemonsets),
		                 .pods = manager_informer(m, m->r.pods),
		                 .nodes = manager_informer(m, m->r.nodes),
		                 .revisions = manager_informer(m, m->r.controllerrevisions),
		                 .queue = manager_queue(m),
		                 .expectations = expectations_new(m) };
	pthread_mutex_init(&c->lock, NULL);
	informer_add_index(c->sets, INDEX_NAMESPACE, index_namespace);
	informer_add_index(c->pods, INDEX_CONTROLLER, index_controller);
	informer_add_index(c->revisions, INDEX_CONTROLLER, index_controller);
	informer_add_handler(c->sets, &(struct informer_handler){ set_changed, c });
	informer_add_handler(c->pods, &(struct informer_handler){ pod_changed, c });
	informer_add_handler(c->nodes, &(struct informer_handler){ node_changed, c });
	return c;
}

void daemonset_run(void *self)
{
	struct daemonset *c = self;
	workqueue_run(c->queue, "daemonset", (int)c->m->options->concurrent_syncs, reconcile, c);
}
