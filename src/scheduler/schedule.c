#include "scheduler/schedule.h"

#include <stdlib.h>

enum { MIN_FEASIBLE = 100 };

const struct plugin *const plugins[] = {
	&plugin_unsupported,     &plugin_node_unschedulable,    &plugin_node_name,           &plugin_taint_toleration,  &plugin_node_affinity,
	&plugin_node_ports,      &plugin_node_resources_fit,    &plugin_pod_topology_spread, &plugin_balanced_allocation,
};
const size_t nplugins = ARRAY_LEN(plugins);

struct tally_entry { str reason; size_t n; };
struct tally { struct tally_entry *v; size_t n; };

static void count_reason(struct arena *a, struct tally *t, str reason)
{
	for (size_t i = 0; i < t->n; i++)
		if (str_eq(t->v[i].reason, reason)) {
			t->v[i].n++;
			return;
		}
	*LIST_ADD(a, t) = (struct tally_entry){ reason, 1 };
}

// "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable." The parts are sorted as text, number first.
static str fit_message(struct arena *a, size_t all, const struct tally *t)
{
	str *parts = ARENA_ARRAY(a, str, t->n);
	_cleanup_buf_ struct buf b = { 0 };
	for (size_t i = 0; i < t->n; i++)
		parts[i] = arena_printf(a, "%zu " STR_FMT, t->v[i].n, STR_ARG(t->v[i].reason));
	qsort(parts, t->n, sizeof(*parts), str_cmp_qsort);
	buf_printf(&b, "0/%zu nodes are available:", all);
	for (size_t i = 0; i < t->n; i++)
		buf_printf(&b, "%s" STR_FMT, i ? ", " : " ", STR_ARG(parts[i]));
	buf_add_char(&b, '.');
	return arena_dup(a, buf_str(&b));
}

// Whether the filters let the pod onto the node.
static bool fits(struct cycle *c, const struct node_info *n, struct verdict *v, size_t *by)
{
	for (size_t i = 0; i < nplugins; i++)
		if (plugins[i]->filter && !plugins[i]->filter(c, i, n, v)) {
			*by = i;
			return false;
		}
	return true;
}

static bool pre_filters(struct cycle *c, struct verdict *v, size_t *by)
{
	for (size_t i = 0; i < nplugins; i++)
		if (plugins[i]->pre_filter && !plugins[i]->pre_filter(c, i, v)) {
			*by = i;
			return false;
		}
	return true;
}

// In a large cluster a part of the feasible nodes is enough (upstream: percentageOfNodesToScore, adaptive).
static size_t enough(size_t nodes)
{
	if (nodes <= MIN_FEASIBLE)
		return nodes;
	size_t percent = nodes / 125 < 45 ? 50 - nodes / 125 : 5;
	return MAX(nodes * percent / 100, (size_t)MIN_FEASIBLE);
}

static void normalize(const struct plugin *p, struct cycle *c, size_t self, struct node_info *const *feasible, int64_t *scores, size_t n)
{
	if (p->normalize == NORM_OWN) {
		p->normalize_own(c, self, feasible, scores, n);
		return;
	}
	if (p->normalize == NORM_NONE)
		return;
	int64_t most = 0;
	for (size_t i = 0; i < n; i++)
		most = MAX(most, scores[i]);
	for (size_t i = 0; i < n; i++) {
		int64_t share = most ? scores[i] * 100 / most : 0;
		scores[i] = p->normalize == NORM_MAX_REVERSED ? 100 - share : share;
	}
}

static struct node_info *best(struct cycle *c, struct node_info *const *feasible, size_t n, const struct rng *rng)
{
	if (n == 1)
		return feasible[0];
	int64_t *total = ARENA_ARRAY(c->arena, int64_t, n), *scores = ARENA_ARRAY(c->arena, int64_t, n);
	for (size_t i = 0; i < nplugins; i++) {
		const struct plugin *p = plugins[i];
		if (!p->score || (p->pre_score && !p->pre_score(c, i, feasible, n)))
			continue;
		for (size_t k = 0; k < n; k++)
			scores[k] = p->score(c, i, feasible[k]);
		normalize(p, c, i, feasible, scores, n);
		for (size_t k = 0; k < n; k++)
			total[k] += scores[k] * p->weight;
	}
	size_t choice = 0, equals = 1; // among equals each has the same chance
	for (size_t k = 1; k < n; k++) {
		if (total[k] > total[choice]) {
			choice = k;
			equals = 1;
		} else if (total[k] == total[choice] && rng_below(rng, ++equals) == 0) {
			choice = k;
		}
	}
	return feasible[choice];
}

// --- Preemption (upstream: DefaultPreemption, without disruption budgets) ---

static int by_importance(const void *a, const void *b)
{
	const struct pod_info *x = *(struct pod_info *const *)a, *y = *(struct pod_info *const *)b;
	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	const struct api_time *s = x->pod->status.startTime, *t = y->pod->status.startTime;
	int64_t i = s ? s->sec : INT64_MAX, k = t ? t->sec : INT64_MAX;
	return i < k ? -1 : i > k;
}

struct victims { struct pod_info **v; size_t n; };

// Which pods of lower priority would have to go from a node; false: even without all of them the pod does not fit.
static bool victims_on(struct cycle *c, struct node_cache *cache, struct node_info *n, struct victims *out)
{
	struct victims lower = { 0 };
	struct verdict v;
	size_t by;
	for (size_t i = 0; i < n->pods.n; i++)
		if (n->pods.v[i]->priority < c->pod->priority)
			*LIST_ADD(c->arena, &lower) = n->pods.v[i];
	if (lower.n == 0)
		return false;
	str name = n->name;
	for (size_t i = 0; i < lower.n; i++)
		node_cache_unplace(cache, lower.v[i]);
	bool possible = pre_filters(c, &v, &by) && fits(c, n, &v, &by);
	qsort(lower.v, lower.n, sizeof(*lower.v), by_importance);
	for (size_t i = 0; i < lower.n; i++) { // take back whoever can stay, the most important first
		node_cache_place(cache, lower.v[i], name);
		if (possible && !(pre_filters(c, &v, &by) && fits(c, n, &v, &by))) {
			node_cache_unplace(cache, lower.v[i]);
			*LIST_ADD(c->arena, out) = lower.v[i];
		}
	}
	for (size_t i = 0; i < out->n; i++)
		node_cache_place(cache, out->v[i], name);
	return possible && out->n;
}

// Whether one set of victims is the lesser evil: lowest highest priority, then lowest sum, then fewest.
static bool lesser(const struct victims *x, const struct victims *y)
{
	if (x->v[0]->priority != y->v[0]->priority)
		return x->v[0]->priority < y->v[0]->priority;
	int64_t sum_x = 0, sum_y = 0;
	for (size_t i = 0; i < x->n; i++)
		sum_x += (int64_t)x->v[i]->priority - INT32_MIN;
	for (size_t i = 0; i < y->n; i++)
		sum_y += (int64_t)y->v[i]->priority - INT32_MIN;
	return sum_x != sum_y ? sum_x < sum_y : x->n < y->n;
}

static str preempt(struct cycle *c, struct node_cache *cache, struct node_info *const *resolvable, size_t n, size_t all, struct placement *out)
{
	struct tally why = { 0 };
	const struct core_v1_PodSpec *spec = &c->pod->pod->spec;
	if (spec->preemptionPolicy && str_eqc(*spec->preemptionPolicy, "Never"))
		return S("not eligible due to preemptionPolicy=Never.");
	struct victims chosen = { 0 };
	for (size_t i = 0; i < n; i++) {
		struct victims v = { 0 };
		struct node_info *node = resolvable[i];
		if (!victims_on(c, cache, node, &v)) {
			count_reason(c->arena, &why, S("No preemption victims found for incoming pod"));
			continue;
		}
		if (!out->nominated || lesser(&v, &chosen)) {
			out->nominated = node;
			chosen = v;
		}
	}
	out->victims.v = chosen.v;
	out->victims.n = chosen.n;
	if (out->nominated)
		return S("");
	for (size_t i = n; i < all; i++)
		count_reason(c->arena, &why, S("Preemption is not helpful for scheduling"));
	return fit_message(c->arena, all, &why);
}

struct placement schedule_pod(struct scheduler *s, struct arena *a, struct node_cache *cache, const struct pod_info *p, const struct rng *rng,
                              int64_t now_ns)
{
	struct placement out = { 0 };
	struct cycle c = { .arena = a, .scheduler = s, .pod = p, .nodes = cache->list.v, .nnodes = cache->list.n, .now_ns = now_ns };
	struct verdict v = { 0 };
	size_t by = 0, all = 0;
	for (size_t i = 0; i < cache->list.n; i++)
		all += cache->list.v[i]->node != NULL;
	if (all == 0) {
		out.message = S("no nodes available to schedule pods");
		out.rejected_by = UINT32_MAX; // whatever comes may help
		return out;
	}
	if (!pre_filters(&c, &v, &by)) {
		out.rejected_by = 1u << by;
		out.message = arena_printf(a, "0/%zu nodes are available: " STR_FMT ". preemption: 0/%zu nodes are available: %zu Preemption is not helpful for scheduling.",
		                           all, STR_ARG(v.reason), all, all);
		return out;
	}

	struct node_info **feasible = ARENA_ARRAY(a, struct node_info *, cache->list.n), **resolvable = ARENA_ARRAY(a, struct node_info *, cache->list.n);
	size_t nfeasible = 0, nresolvable = 0, want = enough(all), looked = 0;
	struct tally why = { 0 };
	for (; looked < cache->list.n && nfeasible < want; looked++) {
		struct node_info *n = cache->list.v[(cache->next + looked) % cache->list.n];
		if (!n->node)
			continue;
		if (fits(&c, n, &v, &by)) {
			feasible[nfeasible++] = n;
			continue;
		}
		out.rejected_by |= 1u << by;
		if (!v.unresolvable)
			resolvable[nresolvable++] = n;
		for (str rest = v.reason, one; str_next(&rest, '\n', &one);)
			count_reason(a, &why, one);
	}
	cache->next = (cache->next + looked) % cache->list.n;
	if (nfeasible) {
		out.node = best(&c, feasible, nfeasible, rng);
		return out;
	}
	str first = fit_message(a, all, &why), then = preempt(&c, cache, resolvable, nresolvable, all, &out);
	out.message = then.n ? arena_printf(a, STR_FMT " no new claims to deallocate, preemption: " STR_FMT, STR_ARG(first), STR_ARG(then)) : first;
	return out;
}
