// Pods that nobody takes care of any more. Rule: upstream pkg/controller/podgc.
#include <stdlib.h>

#include "base/heap.h"
#include "base/log.h"
#include "controllers/node_util.h"

#define TICK S("tick")

enum { PERIOD_S = 20, QUARANTINE_S = 40 };

struct pod_gc {
	struct manager *m;
	struct informer *pods, *nodes;
	struct workqueue *queue;
	struct map missing; // node -> int64_t *: since when (monotonic)
};

static bool remove_pod(struct pod_gc *c, struct arena *a, const struct core_v1_Pod *p, const char *reason,
                       const char *message, struct error *err)
{
	log_info("pod gc: deletes " STR_FMT "/" STR_FMT, STR_ARG(p->metadata.namespace), STR_ARG(p->metadata.name));
	if (!pod_is_terminal(p) && !pod_mark(c->m, a, p, S("Failed"), reason, message, err) && err->code != 404)
		return false;
	*err = (struct error){ 0 };
	return client_delete(c->m->client, c->m->r.pods, p->metadata.namespace, p->metadata.name,
	                     &(struct delete_opts){ .grace_seconds = 0 }, err) ||
	       err->code == 404;
}

static int by_age(const void *x, const void *y)
{
	const struct core_v1_Pod *a = *(const struct core_v1_Pod *const *)x, *b = *(const struct core_v1_Pod *const *)y;
	bool ea = str_eq(a->status.reason, S("Evicted")), eb = str_eq(b->status.reason, S("Evicted"));
	if (ea != eb)
		return ea ? -1 : 1;
	int64_t ta = a->metadata.creationTimestamp.sec, tb = b->metadata.creationTimestamp.sec;
	return ta != tb ? (ta < tb ? -1 : 1) : str_cmp(a->metadata.name, b->metadata.name);
}

// Whether the node has been missing for long enough, in the cache and on the server.
static bool is_gone(struct pod_gc *c, struct arena *a, str node)
{
	int64_t now = clock_mono(c->m->clock), *since = map_get(&c->missing, node);
	if (held_get(a, c->nodes, S(""), node)) {
		free(map_del(&c->missing, node));
		return false;
	}
	if (!since) {
		since = heap_alloc(sizeof(*since));
		*since = now;
		map_put(&c->missing, node, since);
	}
	struct error err = { 0 };
	return now - *since >= QUARANTINE_S * NS_PER_SEC &&
	       !client_get(c->m->client, a, c->m->r.nodes, S(""), node, &err) && err.code == 404;
}

static bool out_of_service(struct pod_gc *c, struct arena *a, const struct core_v1_Pod *p)
{
	const struct core_v1_Node *n = held_get(a, c->nodes, S(""), p->spec.nodeName);
	const struct core_v1_NodeCondition *ready = n ? node_condition(n, S("Ready")) : NULL;
	bool tainted = false;
	for (size_t i = 0; n && i < n->spec.taints.n; i++)
		tainted |= str_eq(n->spec.taints.v[i].key, S("node.kubernetes.io/out-of-service"));
	return tainted && !(ready && str_eq(ready->status, S("True")));
}

static bool reconcile(void *ctx, struct arena *a, str key, struct error *err)
{
	struct pod_gc *c = ctx;
	struct held pods = held_list(a, c->pods);
	const struct core_v1_Pod **terminated = arena_calloc(a, pods.n + 1, sizeof(*terminated));
	size_t n = 0;
	for (size_t i = 0; i < pods.n; i++) {
		const struct core_v1_Pod *p = pods.v[i];
		struct error e = { 0 };
		bool ok = true;
		if (pod_is_terminal(p))
			terminated[n++] = p;
		if (p->spec.nodeName.n && is_gone(c, a, p->spec.nodeName))
			ok = remove_pod(c, a, p, "DeletionByPodGC", "PodGC: node no longer exists", &e);
		else if (p->metadata.deletionTimestamp && (!p->spec.nodeName.n || out_of_service(c, a, p)))
			ok = remove_pod(c, a, p, NULL, NULL, &e);
		if (!ok)
			log_warn("pod gc: %s", e.text);
	}
	int64_t surplus = (int64_t)n - c->m->options->terminated_pod_threshold;
	if (c->m->options->terminated_pod_threshold > 0 && surplus > 0) {
		sort_items(terminated, n, sizeof(*terminated), by_age);
		for (int64_t i = 0; i < surplus; i++) {
			struct error e = { 0 };
			if (!remove_pod(c, a, terminated[i], NULL, NULL, &e))
				log_warn("pod gc: %s", e.text);
		}
	}
	workqueue_add_after(c->queue, TICK, PERIOD_S * 1000);
	return true;
}

void *pod_gc_setup(struct manager *m)
{
	struct pod_gc *c = ARENA_NEW(m->arena, struct pod_gc);
	*c = (struct pod_gc){ .m = m,
		              .pods = manager_informer(m, m->r.pods),
		              .nodes = manager_informer(m, m->r.nodes),
		              .queue = manager_queue(m) };
	workqueue_add_after(c->queue, TICK, PERIOD_S * 1000);
	return c;
}

void pod_gc_run(void *self)
{
	struct pod_gc *c = self;
	workqueue_run(c->queue, "pod-gc", 1, reconcile, c);
}
