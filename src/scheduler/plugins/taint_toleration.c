// TaintToleration: a pod goes only where it tolerates the taints; nodes with fewer taints that would rather not have it come first.
#include "scheduler/framework.h"

bool tolerates_taints(const struct core_v1_Pod *p, const struct core_v1_Node *n, bool prefer_no_schedule, const struct core_v1_Taint **which)
{
	for (size_t i = 0; i < n->spec.taints.n; i++) {
		const struct core_v1_Taint *t = &n->spec.taints.v[i];
		if (str_eqc(t->effect, "PreferNoSchedule") != prefer_no_schedule)
			continue;
		bool tolerated = false;
		for (size_t k = 0; !tolerated && k < p->spec.tolerations.n; k++)
			tolerated = toleration_tolerates(&p->spec.tolerations.v[k], t);
		if (!tolerated) {
			*which = t;
			return false;
		}
	}
	return true;
}

static bool filter(struct cycle *c, size_t self, const struct node_info *n, struct verdict *v)
{
	const struct core_v1_Taint *t;
	return tolerates_taints(c->pod->pod, n->node, false, &t) ? true : reject(v, S("node(s) had untolerated taint(s)"), true);
}

static int64_t score(struct cycle *c, size_t self, const struct node_info *n)
{
	int64_t bad = 0;
	const struct core_v1_PodSpec *s = &c->pod->pod->spec;
	for (size_t i = 0; i < n->node->spec.taints.n; i++) {
		const struct core_v1_Taint *t = &n->node->spec.taints.v[i];
		if (!str_eqc(t->effect, "PreferNoSchedule"))
			continue;
		bool tolerated = false;
		for (size_t k = 0; !tolerated && k < s->tolerations.n; k++)
			tolerated = toleration_tolerates(&s->tolerations.v[k], t);
		bad += !tolerated;
	}
	return bad;
}

const struct plugin plugin_taint_toleration = {
	.name = "TaintToleration",
	.events = EV_NODE_ADD | EV_NODE_TAINT | EV_POD_UPDATE,
	.weight = 3,
	.filter = filter,
	.score = score,
	.normalize = NORM_MAX_REVERSED,
};
