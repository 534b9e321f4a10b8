// Pods leave nodes with NoExecute taints that they do not tolerate, or not for so long. Rule: upstream pkg/controller/tainteviction.
#include "base/heap.h"
#include "base/log.h"
#include "controllers/node_util.h"

#define COMPONENT "taint-eviction-controller"

struct scheduled {
	int64_t began, due;
}; // monotonic

struct taint_eviction {
	struct manager *m;
	struct informer *nodes, *pods;
	struct workqueue *queue;
	struct map scheduled; // pod -> struct scheduled; the worker's own
};

static bool same_taints(const struct core_v1_Node *x, const struct core_v1_Node *y)
{
	struct core_v1_NodeSpec sx = { .taints = x->spec.taints }, sy = { .taints = y->spec.taints };
	return schema_equal(core_v1_NodeSpec_desc, &sx, &sy);
}

static void node_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct taint_eviction *c = ctx;
	if (!obj || (old && same_taints(object_of(old), object_of(obj))))
		return;
	if (!old && ((const struct core_v1_Node *)object_of(obj))->spec.taints.n == 0)
		return;
	_cleanup_arena_ struct arena *a = arena_new(512);
	struct held pods = held_by_index(a, c->pods, INDEX_NODE, object_ref_meta(obj)->name);
	for (size_t i = 0; i < pods.n; i++)
		queue_object(c->queue, pods.v[i]);
}

static void pod_changed(struct object_ref *old_ref, struct object_ref *new_ref, void *ctx)
{
	struct taint_eviction *c = ctx;
	const struct core_v1_Pod *old = old_ref ? object_of(old_ref) : NULL, *p = new_ref ? object_of(new_ref) : NULL;
	if ((!old && !p) || (old && p && str_eq(old->spec.nodeName, p->spec.nodeName) &&
	                     old->spec.tolerations.n == p->spec.tolerations.n))
		return;
	if ((p ? p : old)->spec.nodeName.n)
		queue_object(c->queue, p ? p : old);
}

static void cancel(struct taint_eviction *c, str key, const struct core_v1_Pod *p)
{
	struct scheduled *s = map_del(&c->scheduled, key);
	if (s && p)
		EVENT(c->m, COMPONENT, c->m->r.pods, &p->metadata, "Normal", "TaintManagerEviction",
		      "Cancelling deletion of Pod " STR_FMT, STR_ARG(key));
	free(s);
}

static bool evict(struct taint_eviction *c, struct arena *a, str key, const struct core_v1_Pod *p, struct error *err)
{
	EVENT(c->m, COMPONENT, c->m->r.pods, &p->metadata, "Normal", "TaintManagerEviction",
	      "Marking for deletion Pod " STR_FMT, STR_ARG(key));
	const struct core_v1_Pod *now =
	        client_get(c->m->client, a, c->m->r.pods, p->metadata.namespace, p->metadata.name, err);
	if (!now || !str_eq(now->metadata.uid, p->metadata.uid))
		return now || err->code == 404;
	if (!pod_mark(c->m, a, now, S(""), "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint",
	              err) &&
	    err->code != 404)
		return false;
	return client_delete(c->m->client, c->m->r.pods, p->metadata.namespace, p->metadata.name,
	                     &(struct delete_opts){ .grace_seconds = -1, .uid = p->metadata.uid }, err) ||
	       err->code == 404 || err->code == 409;
}

static bool reconcile(void *ctx, struct arena *a, str key, struct error *err)
{
	struct taint_eviction *c = ctx;
	str ns, name;
	key_split(key, &ns, &name);
	const struct core_v1_Pod *p = held_get(a, c->pods, ns, name);
	const struct core_v1_Node *n = p && p->spec.nodeName.n ? held_get(a, c->nodes, S(""), p->spec.nodeName) : NULL;
	if (!p || p->metadata.deletionTimestamp || pod_is_terminal(p)) {
		cancel(c, key, NULL);
		return true;
	}
	int64_t seconds = n ? toleration_seconds(&n->spec.taints, p) : -1, now = clock_mono(c->m->clock);
	if (seconds < 0) {
		cancel(c, key, p);
		return true;
	}
	struct scheduled *s = map_get(&c->scheduled, key);
	if (!s) {
		map_put(&c->scheduled, key, s = HEAP_NEW(struct scheduled));
		s->began = now;
	}
	s->due = s->began + seconds * NS_PER_SEC;
	if (s->due > now) {
		workqueue_add_after(c->queue, key, (s->due - now) / NS_PER_MS + 1);
		return true;
	}
	if (!evict(c, a, key, p, err))
		return false;
	free(map_del(&c->scheduled, key));
	return true;
}

void *taint_eviction_setup(struct manager *m)
{
	struct taint_eviction *c = ARENA_NEW(m->arena, struct taint_eviction);
	*c = (struct taint_eviction){ .m = m,
		                      .nodes = manager_informer(m, m->r.nodes),
		                      .pods = manager_informer(m, m->r.pods),
		                      .queue = manager_queue(m) };
	informer_add_index(c->pods, INDEX_NODE, index_node);
	informer_add_handler(c->nodes, &(struct informer_handler){ node_changed, c });
	informer_add_handler(c->pods, &(struct informer_handler){ pod_changed, c });
	return c;
}

void taint_eviction_run(void *self)
{
	struct taint_eviction *c = self;
	workqueue_run(c->queue, "taint-eviction", 1, reconcile, c);
}
