// Which pods go first when there are too many (upstream: controller_utils.go, ActivePodsWithRanks).
#include <stdlib.h>

#include "controllers/common.h"

struct ranked {
	const struct core_v1_Pod *pod;
	int rank, cost;
	size_t at; // keeps the sort stable
};

static int phase_order(str phase)
{
	return str_eq(phase, S("Pending")) ? 0 : str_eq(phase, S("Unknown")) ? 1 : str_eq(phase, S("Running")) ? 2 : 0;
}

// controller.kubernetes.io/pod-deletion-cost; anything that is no 32-bit number in plain form counts as 0.
static int deletion_cost(const struct core_v1_Pod *p)
{
	str v;
	int64_t n;
	if (!str_map_find(&p->metadata.annotations, S("controller.kubernetes.io/pod-deletion-cost"), &v) ||
	    !str_to_i64(v, &n))
		return 0;
	bool plain = v.n > 0 && v.p[0] != '+' && (v.p[0] != '0' || v.n == 1);
	return plain && n >= INT32_MIN && n <= INT32_MAX ? (int)n : 0;
}

static struct api_time ready_since(const struct core_v1_Pod *p)
{
	const struct core_v1_PodCondition *c = pod_condition(p, S("Ready"));
	return c ? c->lastTransitionTime : (struct api_time){ 0 };
}

static void restarts(const struct core_v1_Pod *p, int *regular, int *sidecar)
{
	*regular = *sidecar = 0;
	for (size_t i = 0; i < p->status.containerStatuses.n; i++)
		*regular = MAX(*regular, p->status.containerStatuses.v[i].restartCount);
	for (size_t i = 0; i < p->status.initContainerStatuses.n; i++)
		for (size_t c = 0; c < p->spec.initContainers.n; c++) {
			const struct core_v1_Container *ic = &p->spec.initContainers.v[c];
			if (ic->restartPolicy && str_eq(*ic->restartPolicy, S("Always")) &&
			    str_eq(ic->name, p->status.initContainerStatuses.v[i].name))
				*sidecar = MAX(*sidecar, p->status.initContainerStatuses.v[i].restartCount);
		}
}

// The exponent of two of an age in nanoseconds, -1 for none: pods of about the same age are equals.
static int age_rank(struct api_time t, int64_t now_ns)
{
	int64_t age = now_ns - (t.sec * NS_PER_SEC + t.nsec);
	return age > 0 ? 63 - __builtin_clzll((unsigned long long)age) : -1;
}

// Younger first; a time that is not set comes first of all.
static int younger(struct api_time x, struct api_time y, int64_t now_ns, const struct core_v1_Pod *px,
                   const struct core_v1_Pod *py)
{
	if (!x.set || !y.set)
		return x.set == y.set ? 0 : !x.set ? -1 : 1;
	if (x.sec == y.sec && x.nsec == y.nsec)
		return 0;
	if (now_ns == 0)
		return x.sec > y.sec || (x.sec == y.sec && x.nsec > y.nsec) ? -1 : 1;
	int rx = age_rank(x, now_ns), ry = age_rank(y, now_ns);
	return rx != ry ? (rx < ry ? -1 : 1) : str_cmp(px->metadata.uid, py->metadata.uid);
}

static int compare(const void *a, const void *b, void *ctx)
{
	const struct ranked *x = a, *y = b;
	const struct core_v1_Pod *px = x->pod, *py = y->pod;
	int64_t now_ns = *(int64_t *)ctx;
	bool ax = px->spec.nodeName.n > 0, ay = py->spec.nodeName.n > 0;
	if (ax != ay)
		return ax ? 1 : -1;
	int d = phase_order(px->status.phase) - phase_order(py->status.phase);
	if (d)
		return d;
	bool rx = pod_is_ready(px), ry = pod_is_ready(py);
	if (rx != ry)
		return rx ? 1 : -1;
	if (x->cost != y->cost)
		return x->cost < y->cost ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank > y->rank ? -1 : 1;
	if (rx && (d = younger(ready_since(px), ready_since(py), now_ns, px, py)))
		return d;
	int nx, sx, ny, sy;
	restarts(px, &nx, &sx);
	restarts(py, &ny, &sy);
	if (nx != ny)
		return nx > ny ? -1 : 1;
	if (sx != sy)
		return sx > sy ? -1 : 1;
	if ((d = younger(px->metadata.creationTimestamp, py->metadata.creationTimestamp, now_ns, px, py)))
		return d;
	return x->at < y->at ? -1 : x->at > y->at;
}

void pods_rank_for_deletion(struct arena *a, const struct core_v1_Pod **pods, size_t n, const int *ranks,
                            int64_t now_ns)
{
	struct ranked *r = arena_calloc(a, n + 1, sizeof(*r));
	for (size_t i = 0; i < n; i++)
		r[i] = (struct ranked){ pods[i], ranks ? ranks[i] : 0, deletion_cost(pods[i]), i };
	qsort_r(r, n, sizeof(*r), compare, &now_ns);
	for (size_t i = 0; i < n; i++)
		pods[i] = r[i].pod;
}
