// PodTopologySpread: constraints of the pod, or, for pods of a Service or a controller that name none, the system's defaults (zones with
// a skew of 3, hosts with 5, both only scored). Rule: API reference TopologySpreadConstraint, KEP-895, KEP-3094.
#include <math.h>

#include "base/map.h"
#include "scheduler/framework.h"

struct constraint {
	str key;
	int64_t max_skew, min_domains;
	bool hard;                       // DoNotSchedule
	bool honor_affinity, honor_taints;
	struct selector selector;
	struct map counts;               // topology value -> matching pods + 1, so that an empty domain is an entry, too
	int64_t minimum;                 // over the domains
};

struct state {
	struct { struct constraint *v; size_t n; } constraints;
	bool own;                        // the pod's own constraints, not the defaults
};

static void state_free(void *ctx)
{
	struct state *s = ctx;
	for (size_t i = 0; i < s->constraints.n; i++)
		map_free(&s->constraints.v[i].counts);
}

static void read_constraints(struct cycle *c, struct state *s)
{
	const struct core_v1_Pod *pod = c->pod->pod;
	for (size_t i = 0; i < pod->spec.topologySpreadConstraints.n; i++) {
		const struct core_v1_TopologySpreadConstraint *t = &pod->spec.topologySpreadConstraints.v[i];
		struct constraint *k = LIST_ADD(c->arena, &s->constraints);
		struct error err = { 0 };
		k->key = t->topologyKey;
		k->max_skew = t->maxSkew;
		k->min_domains = t->minDomains ? *t->minDomains : 1;
		k->hard = str_eqc(t->whenUnsatisfiable, "DoNotSchedule");
		k->honor_affinity = !t->nodeAffinityPolicy || !str_eqc(*t->nodeAffinityPolicy, "Ignore");
		k->honor_taints = t->nodeTaintsPolicy && str_eqc(*t->nodeTaintsPolicy, "Honor");
		if (!selector_from_label_selector(c->arena, t->labelSelector, &k->selector, &err))
			k->selector = (struct selector){ .nothing = true };
		for (size_t m = 0; m < t->matchLabelKeys.n; m++) {
			str value;
			if (!str_map_find(&pod->metadata.labels, t->matchLabelKeys.v[m], &value))
				continue;
			struct requirement *r = LIST_ADD(c->arena, &k->selector);
			*r = (struct requirement){ .key = t->matchLabelKeys.v[m], .op = SEL_EQ };
			*LIST_ADD(c->arena, &r->values) = value;
		}
		s->own = true;
	}
	struct selector owner;
	if (s->constraints.n || !scheduler_owner_selector(c, &owner))
		return;
	static const struct { str key; int64_t skew; } defaults[] = { { S_INIT("topology.kubernetes.io/zone"), 3 }, { S_INIT("kubernetes.io/hostname"), 5 } };
	for (size_t i = 0; i < ARRAY_LEN(defaults); i++)
		*LIST_ADD(c->arena, &s->constraints) = (struct constraint){
			.key = defaults[i].key, .max_skew = defaults[i].skew, .min_domains = 1, .honor_affinity = true, .selector = owner };
}

// Whether a node's pods count for a constraint.
static bool counts(struct cycle *c, const struct constraint *k, const struct core_v1_Node *n)
{
	const struct core_v1_Taint *t;
	return (!k->honor_affinity || node_affinity_matches(c->arena, c->pod, n)) && (!k->honor_taints || tolerates_taints(c->pod->pod, n, false, &t));
}

static bool has_all_keys(const struct state *s, const struct core_v1_Node *n, bool hard)
{
	str value;
	for (size_t i = 0; i < s->constraints.n; i++)
		if (s->constraints.v[i].hard == hard && !str_map_find(&n->metadata.labels, s->constraints.v[i].key, &value))
			return false;
	return true;
}

static int64_t matching(struct cycle *c, const struct constraint *k, const struct node_info *n)
{
	int64_t sum = 0;
	for (size_t i = 0; i < n->pods.n; i++) {
		const struct core_v1_Pod *p = n->pods.v[i]->pod;
		sum += !p->metadata.deletionTimestamp && str_eq(p->metadata.namespace, c->pod->pod->metadata.namespace) &&
		       selector_matches(&k->selector, &p->metadata.labels);
	}
	return sum;
}

static int64_t domain_count(const struct constraint *k, str value)
{
	intptr_t n = (intptr_t)map_get(&k->counts, value);
	return n ? n - 1 : 0;
}

static void tally(struct cycle *c, struct state *s, bool hard, struct node_info *const *nodes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		// The pod's own constraints count a node only if it is in a domain of each; the defaults take each for itself.
		if (!nodes[i]->node || (s->own && !has_all_keys(s, nodes[i]->node, hard)))
			continue;
		for (size_t m = 0; m < s->constraints.n; m++) {
			struct constraint *k = &s->constraints.v[m];
			str value;
			if (k->hard != hard || !str_map_find(&nodes[i]->node->metadata.labels, k->key, &value) || !counts(c, k, nodes[i]->node))
				continue;
			map_put(&k->counts, value, (void *)(intptr_t)(domain_count(k, value) + matching(c, k, nodes[i]) + 1));
		}
	}
	for (size_t m = 0; m < s->constraints.n; m++) {
		struct constraint *k = &s->constraints.v[m];
		if (k->hard != hard)
			continue;
		int64_t least = INT64_MAX;
		for (struct map_slot *d = NULL; (d = map_each(&k->counts, d));)
			least = MIN(least, (int64_t)(intptr_t)d->value - 1);
		k->minimum = least == INT64_MAX || (int64_t)k->counts.n < k->min_domains ? 0 : least;
	}
}

static bool pre_filter(struct cycle *c, size_t self, struct verdict *v)
{
	struct state *s = ARENA_NEW(c->arena, struct state);
	read_constraints(c, s);
	arena_on_free(c->arena, state_free, s);
	tally(c, s, true, c->nodes, c->nnodes);
	c->state[self] = s;
	return true;
}

static bool filter(struct cycle *c, size_t self, const struct node_info *n, struct verdict *v)
{
	const struct state *s = c->state[self];
	for (size_t i = 0; i < s->constraints.n; i++) {
		const struct constraint *k = &s->constraints.v[i];
		str value;
		if (!k->hard)
			continue;
		if (!str_map_find(&n->node->metadata.labels, k->key, &value))
			return reject(v, S("node(s) didn't match pod topology spread constraints (missing required label)"), true);
		int64_t self_match = selector_matches(&k->selector, &c->pod->pod->metadata.labels);
		if (domain_count(k, value) + self_match - k->minimum > k->max_skew)
			return reject(v, S("node(s) didn't match pod topology spread constraints"), false);
	}
	return true;
}

static bool pre_score(struct cycle *c, size_t self, struct node_info *const *feasible, size_t n)
{
	struct state *s = c->state[self];
	bool soft = false;
	for (size_t i = 0; i < s->constraints.n; i++)
		soft = soft || !s->constraints.v[i].hard;
	if (soft)
		tally(c, s, false, c->nodes, c->nnodes);
	return soft;
}

static int64_t score(struct cycle *c, size_t self, const struct node_info *n)
{
	const struct state *s = c->state[self];
	double sum = 0;
	if (s->own && !has_all_keys(s, n->node, false))
		return -1; // not in any domain: the worst
	for (size_t i = 0; i < s->constraints.n; i++) {
		const struct constraint *k = &s->constraints.v[i];
		str value;
		if (k->hard || !str_map_find(&n->node->metadata.labels, k->key, &value))
			continue;
		// Domains weigh by the logarithm of their number, so that few zones and many hosts can be compared.
		sum += (double)domain_count(k, value) * log((double)k->counts.n + 2) + (double)(k->max_skew - 1);
	}
	return (int64_t)llround(sum);
}

static void normalize(struct cycle *c, size_t self, struct node_info *const *feasible, int64_t *scores, size_t n)
{
	int64_t least = INT64_MAX, most = 0;
	for (size_t i = 0; i < n; i++) {
		if (scores[i] < 0)
			continue;
		least = MIN(least, scores[i]);
		most = MAX(most, scores[i]);
	}
	for (size_t i = 0; i < n; i++)
		scores[i] = scores[i] < 0 ? 0 : most == 0 ? 100 : 100 * (most + least - scores[i]) / most;
}

const struct plugin plugin_pod_topology_spread = {
	.name = "PodTopologySpread",
	.events = EV_NODE_ADD | EV_NODE_LABEL | EV_NODE_TAINT | EV_POD_DELETE | EV_POD_ADD | EV_POD_UPDATE,
	.weight = 2,
	.pre_filter = pre_filter,
	.filter = filter,
	.pre_score = pre_score,
	.score = score,
	.normalize = NORM_OWN,
	.normalize_own = normalize,
};
