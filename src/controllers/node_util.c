#include "controllers/node_util.h"

static const struct {
	str type, status, taint;
} by_condition[] = {
	{ S_INIT("Ready"), S_INIT("False"), S_INIT("node.kubernetes.io/not-ready") },
	{ S_INIT("Ready"), S_INIT("Unknown"), S_INIT("node.kubernetes.io/unreachable") },
	{ S_INIT("MemoryPressure"), S_INIT("True"), S_INIT("node.kubernetes.io/memory-pressure") },
	{ S_INIT("DiskPressure"), S_INIT("True"), S_INIT("node.kubernetes.io/disk-pressure") },
	{ S_INIT("NetworkUnavailable"), S_INIT("True"), S_INIT("node.kubernetes.io/network-unavailable") },
	{ S_INIT("PIDPressure"), S_INIT("True"), S_INIT("node.kubernetes.io/pid-pressure") },
};
#define TAINT_UNSCHEDULABLE S("node.kubernetes.io/unschedulable")

const struct core_v1_NodeCondition *node_condition(const struct core_v1_Node *n, str type)
{
	for (size_t i = 0; i < n->status.conditions.n; i++)
		if (str_eq(n->status.conditions.v[i].type, type))
			return &n->status.conditions.v[i];
	return NULL;
}

bool taint_is(const struct core_v1_Taint *t, str key, str effect)
{
	return str_eq(t->key, key) && str_eq(t->effect, effect);
}

bool has_taint(const struct core_v1_Taint_list *l, str key, str effect)
{
	for (size_t i = 0; i < l->n; i++)
		if (taint_is(&l->v[i], key, effect))
			return true;
	return false;
}

static void add_taint(struct arena *a, struct core_v1_Taint_list *l, str key, str effect, struct api_time now)
{
	struct core_v1_Taint *t = LIST_ADD(a, l);
	t->key = key;
	t->effect = effect;
	t->timeAdded = ARENA_NEW(a, struct api_time);
	*t->timeAdded = now;
}

void wanted_no_schedule(struct arena *a, const struct core_v1_Node *n, struct api_time now,
                        struct core_v1_Taint_list *out)
{
	for (size_t i = 0; i < n->status.conditions.n; i++)
		for (size_t k = 0; k < ARRAY_LEN(by_condition); k++)
			if (str_eq(n->status.conditions.v[i].type, by_condition[k].type) &&
			    str_eq(n->status.conditions.v[i].status, by_condition[k].status))
				add_taint(a, out, by_condition[k].taint, S("NoSchedule"), now);
	if (n->spec.unschedulable)
		add_taint(a, out, TAINT_UNSCHEDULABLE, S("NoSchedule"), now);
}

bool is_condition_taint(const struct core_v1_Taint *t)
{
	if (!str_eq(t->effect, S("NoSchedule")))
		return false;
	for (size_t k = 0; k < ARRAY_LEN(by_condition); k++)
		if (str_eq(t->key, by_condition[k].taint))
			return true;
	return str_eq(t->key, TAINT_UNSCHEDULABLE);
}

bool write_taints(struct manager *m, struct arena *a, const struct core_v1_Node *n,
                  const struct core_v1_Taint_list *taints, struct error *err)
{
	struct value *list = value_array(a), *spec = value_object(a), *meta = value_object(a), *root = value_object(a);
	for (size_t i = 0; i < taints->n; i++)
		value_append(a, list, schema_to_value(a, core_v1_Taint_desc, &taints->v[i]));
	value_set(a, meta, S("resourceVersion"), value_string(a, n->metadata.resourceVersion));
	value_set(a, spec, S("taints"), list->a.n ? list : value_null(a));
	value_set(a, root, S("metadata"), meta);
	value_set(a, root, S("spec"), spec);
	return client_patch(m->client, a, m->r.nodes, NULL, S(""), n->metadata.name, PATCH_MERGE,
	                    json_text(a, root, JSON_COMPACT), err) != NULL;
}

static bool requirement_holds(const struct core_v1_NodeSelectorRequirement *r, bool there, str value)
{
	bool in = false;
	for (size_t i = 0; i < r->values.n; i++)
		in |= there && str_eq(r->values.v[i], value);
	if (str_eq(r->operator, S("In")))
		return in;
	if (str_eq(r->operator, S("NotIn")))
		return !in;
	if (str_eq(r->operator, S("Exists")))
		return there;
	if (str_eq(r->operator, S("DoesNotExist")))
		return !there;
	int64_t have, want;
	if (!there || r->values.n != 1 || !str_to_i64(value, &have) || !str_to_i64(r->values.v[0], &want))
		return false;
	return str_eq(r->operator, S("Gt")) ? have > want : str_eq(r->operator, S("Lt")) && have < want;
}

static bool term_holds(const struct core_v1_NodeSelectorTerm *t, const struct core_v1_Node *n)
{
	if (t->matchExpressions.n == 0 && t->matchFields.n == 0)
		return false; // an empty term selects nothing
	for (size_t i = 0; i < t->matchExpressions.n; i++) {
		str v = S("");
		bool there = str_map_find(&n->metadata.labels, t->matchExpressions.v[i].key, &v);
		if (!requirement_holds(&t->matchExpressions.v[i], there, v))
			return false;
	}
	for (size_t i = 0; i < t->matchFields.n; i++)
		if (!str_eq(t->matchFields.v[i].key, S("metadata.name")) ||
		    !requirement_holds(&t->matchFields.v[i], true, n->metadata.name))
			return false;
	return true;
}

bool node_selected(struct arena *a, const struct core_v1_PodSpec *spec, const struct core_v1_Node *n)
{
	for (size_t i = 0; i < spec->nodeSelector.n; i++) {
		str v;
		if (!str_map_find(&n->metadata.labels, spec->nodeSelector.v[i].key, &v) ||
		    !str_eq(v, spec->nodeSelector.v[i].value))
			return false;
	}
	const struct core_v1_NodeSelector *required =
	        spec->affinity && spec->affinity->nodeAffinity
	                ? spec->affinity->nodeAffinity->requiredDuringSchedulingIgnoredDuringExecution
	                : NULL;
	bool any = !required;
	for (size_t i = 0; required && i < required->nodeSelectorTerms.n; i++)
		any |= term_holds(&required->nodeSelectorTerms.v[i], n);
	return any;
}

int64_t toleration_seconds(const struct core_v1_Taint_list *taints, const struct core_v1_Pod *p)
{
	int64_t least = -1;
	for (size_t i = 0; i < taints->n; i++) {
		if (!str_eq(taints->v[i].effect, S("NoExecute")))
			continue;
		const struct core_v1_Toleration *match = NULL;
		for (size_t k = 0; k < p->spec.tolerations.n && !match; k++)
			if (toleration_tolerates(&p->spec.tolerations.v[k], &taints->v[i]))
				match = &p->spec.tolerations.v[k];
		if (!match)
			return 0;
		if (match->tolerationSeconds) {
			int64_t s = MAX(*match->tolerationSeconds, 0);
			least = least < 0 ? s : MIN(least, s);
		}
	}
	return least;
}

bool pod_mark(struct manager *m, struct arena *a, const struct core_v1_Pod *p, str phase, const char *reason,
              const char *message, struct error *err)
{
	struct core_v1_Pod *copy = schema_clone(a, core_v1_Pod_desc, p);
	if (phase.n)
		copy->status.phase = phase;
	if (reason) {
		struct core_v1_PodCondition want = { .type = S("DisruptionTarget"),
			                             .status = S("True"),
			                             .reason = str_c(reason),
			                             .message = str_c(message),
			                             .lastTransitionTime = now_time(m),
			                             .observedGeneration = p->metadata.generation };
		struct core_v1_PodCondition *have = (struct core_v1_PodCondition *)pod_condition(copy, want.type);
		if (have && str_eq(have->status, want.status))
			want.lastTransitionTime = have->lastTransitionTime;
		if (have)
			*have = want;
		else
			*LIST_ADD(a, &copy->status.conditions) = want;
	}
	return client_update(m->client, a, m->r.pods, "status", copy, err) != NULL;
}
