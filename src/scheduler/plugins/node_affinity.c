// NodeAffinity: spec.nodeSelector and spec.affinity.nodeAffinity.
#include "scheduler/framework.h"

static bool requirement_matches(const struct core_v1_NodeSelectorRequirement *r, bool have, str value)
{
	bool in = false;
	for (size_t i = 0; have && i < r->values.n; i++)
		in = in || str_eq(r->values.v[i], value);
	if (str_eqc(r->operator, "In"))
		return in;
	if (str_eqc(r->operator, "NotIn"))
		return !in;
	if (str_eqc(r->operator, "Exists"))
		return have;
	if (str_eqc(r->operator, "DoesNotExist"))
		return !have;
	int64_t x, y; // Gt, Lt
	if (!have || r->values.n != 1 || !str_to_i64(value, &x) || !str_to_i64(r->values.v[0], &y))
		return false;
	return str_eqc(r->operator, "Gt") ? x > y : str_eqc(r->operator, "Lt") && x < y;
}

static bool term_matches(const struct core_v1_NodeSelectorTerm *t, const struct core_v1_Node *n)
{
	if (t->matchExpressions.n == 0 && t->matchFields.n == 0)
		return false; // an empty term selects nothing (API reference: NodeSelectorTerm)
	for (size_t i = 0; i < t->matchExpressions.n; i++) {
		str value = { 0 };
		bool have = str_map_find(&n->metadata.labels, t->matchExpressions.v[i].key, &value);
		if (!requirement_matches(&t->matchExpressions.v[i], have, value))
			return false;
	}
	for (size_t i = 0; i < t->matchFields.n; i++)
		if (!str_eqc(t->matchFields.v[i].key, "metadata.name") || !requirement_matches(&t->matchFields.v[i], true, n->metadata.name))
			return false;
	return true;
}

bool node_affinity_matches(struct arena *a, const struct pod_info *p, const struct core_v1_Node *n)
{
	const struct core_v1_Affinity *af = p->pod->spec.affinity;
	if (p->pod->spec.nodeSelector.n && !selector_matches(&p->node_selector, &n->metadata.labels))
		return false;
	if (!af || !af->nodeAffinity || !af->nodeAffinity->requiredDuringSchedulingIgnoredDuringExecution)
		return true;
	const struct core_v1_NodeSelector *s = af->nodeAffinity->requiredDuringSchedulingIgnoredDuringExecution;
	for (size_t i = 0; i < s->nodeSelectorTerms.n; i++)
		if (term_matches(&s->nodeSelectorTerms.v[i], n))
			return true;
	return false;
}

static bool filter(struct cycle *c, size_t self, const struct node_info *n, struct verdict *v)
{
	return node_affinity_matches(c->arena, c->pod, n->node) ? true : reject(v, S("node(s) didn't match Pod's node affinity/selector"), true);
}

static bool pre_score(struct cycle *c, size_t self, struct node_info *const *feasible, size_t n)
{
	const struct core_v1_Affinity *af = c->pod->pod->spec.affinity;
	return af && af->nodeAffinity && af->nodeAffinity->preferredDuringSchedulingIgnoredDuringExecution.n;
}

static int64_t score(struct cycle *c, size_t self, const struct node_info *n)
{
	const struct core_v1_NodeAffinity *na = c->pod->pod->spec.affinity->nodeAffinity;
	int64_t sum = 0;
	for (size_t i = 0; i < na->preferredDuringSchedulingIgnoredDuringExecution.n; i++) {
		const struct core_v1_PreferredSchedulingTerm *t = &na->preferredDuringSchedulingIgnoredDuringExecution.v[i];
		bool everything = t->preference.matchExpressions.n == 0 && t->preference.matchFields.n == 0; // here an empty term prefers all
		if (everything || term_matches(&t->preference, n->node))
			sum += t->weight;
	}
	return sum;
}

const struct plugin plugin_node_affinity = {
	.name = "NodeAffinity",
	.events = EV_NODE_ADD | EV_NODE_LABEL,
	.weight = 2,
	.filter = filter,
	.pre_score = pre_score,
	.score = score,
	.normalize = NORM_MAX,
};
