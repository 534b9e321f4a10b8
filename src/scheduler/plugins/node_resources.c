// NodeResourcesFit (filter; score LeastAllocated) and NodeResourcesBalancedAllocation.
#include <math.h>

#include "scheduler/cache.h"

static bool fit_filter(struct cycle *c, size_t self, const struct node_info *n, struct verdict *v)
{
	const struct resources *want = &c->pod->request, *have = &n->allocatable, *used = &n->requested;
	_cleanup_buf_ struct buf why = { 0 };
	bool unresolvable = false; // more than the whole node has: no removal helps
#define LACK(wanted, capacity, in_use, ...) \
	if ((wanted) > 0 && (wanted) > (capacity) - (in_use)) { \
		buf_printf(&why, "%s", why.n ? "\n" : ""); \
		buf_printf(&why, __VA_ARGS__); \
		unresolvable = unresolvable || (wanted) > (capacity); \
	}
	if ((int64_t)n->pods.n + 1 > have->pods)
		buf_printf(&why, "Too many pods");
	LACK(want->cpu, have->cpu, used->cpu, "Insufficient cpu")
	LACK(want->memory, have->memory, used->memory, "Insufficient memory")
	LACK(want->storage, have->storage, used->storage, "Insufficient ephemeral-storage")
	for (size_t i = 0; i < want->scalars.n; i++) {
		str name = want->scalars.v[i].name;
		LACK(want->scalars.v[i].value, resources_scalar_get(have, name), resources_scalar_get(used, name), "Insufficient " STR_FMT, STR_ARG(name))
	}
#undef LACK
	return why.n == 0 ? true : reject(v, arena_dup(c->arena, buf_str(&why)), unresolvable);
}

// Share of a resource that stays free with the pod there, 0 to 100; a node without it gets 0.
static int64_t least(int64_t requested, int64_t capacity)
{
	return capacity <= 0 || requested > capacity ? 0 : (capacity - requested) * 100 / capacity;
}

static int64_t fit_score(struct cycle *c, size_t self, const struct node_info *n)
{
	int64_t cpu = least(n->score_cpu + c->pod->score_cpu, n->allocatable.cpu);
	int64_t memory = least(n->score_memory + c->pod->score_memory, n->allocatable.memory);
	return (cpu + memory) / 2;
}

const struct plugin plugin_node_resources_fit = {
	.name = "NodeResourcesFit",
	.events = EV_NODE_ADD | EV_NODE_ALLOCATABLE | EV_POD_DELETE | EV_POD_UPDATE,
	.weight = 1,
	.filter = fit_filter,
	.score = fit_score,
};

// The less the used shares of CPU and memory differ, the better (upstream: 1 - standard deviation; of two values it is half of
// the difference).
static int64_t balanced_score(struct cycle *c, size_t self, const struct node_info *n)
{
	if (n->allocatable.cpu <= 0 || n->allocatable.memory <= 0)
		return 0;
	double cpu = fmin((double)(n->requested.cpu + c->pod->request.cpu) / (double)n->allocatable.cpu, 1);
	double memory = fmin((double)(n->requested.memory + c->pod->request.memory) / (double)n->allocatable.memory, 1);
	return (int64_t)((1 - fabs(cpu - memory) / 2) * 100);
}

// A pod that asks for nothing changes no balance (upstream skips it, too).
static bool balanced_pre_score(struct cycle *c, size_t self, struct node_info *const *feasible, size_t n)
{
	return c->pod->request.cpu > 0 || c->pod->request.memory > 0;
}

const struct plugin plugin_balanced_allocation = {
	.name = "NodeResourcesBalancedAllocation",
	.weight = 1,
	.pre_score = balanced_pre_score,
	.score = balanced_score,
};
