// Validation of where pods go: node selectors, affinity, tolerations, spreading. Rule: pkg/apis/core/validation.
#include "apiserver/kinds/valid.h"

static void requirement(struct field_errors *e, const struct fpath *p, const struct core_v1_NodeSelectorRequirement *q, bool check_values)
{
	struct fpath values = fp(p, "values"), op = fp(p, "operator"), key = fp(p, "key");
	if (v_one_of(q->operator, LIST("In", "NotIn"))) {
		if (!q->values.n)
			fe_required(e, &values, "must be specified when `operator` is 'In' or 'NotIn'");
	} else if (v_one_of(q->operator, LIST("Exists", "DoesNotExist"))) {
		if (q->values.n)
			fe_forbidden(e, &values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
	} else if (v_one_of(q->operator, LIST("Gt", "Lt"))) {
		if (q->values.n != 1)
			fe_required(e, &values, "must be specified single value when `operator` is 'Lt' or 'Gt'");
	} else {
		fe_invalid(e, &op, q->operator, "not a valid selector operator");
	}
	v_label_name(e, &key, q->key);
	for (size_t i = 0; check_values && i < q->values.n; i++) {
		struct fpath at = fp_index(e->arena, &values, i);
		v_name(e, &at, q->values.v[i], name_is_label_value);
	}
}

static void field_requirement(struct field_errors *e, const struct fpath *p, const struct core_v1_NodeSelectorRequirement *q)
{
	struct fpath values = fp(p, "values"), op = fp(p, "operator"), key = fp(p, "key");
	if (v_one_of(q->operator, LIST("In", "NotIn"))) {
		if (q->values.n != 1)
			fe_required(e, &values, "must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
	} else {
		fe_invalid(e, &op, q->operator, "not a valid selector operator");
	}
	if (!str_eq(q->key, S("metadata.name"))) {
		fe_invalid(e, &key, q->key, "not a valid field selector key");
		return;
	}
	EACH (v, q->values) {
		struct fpath at = fp_index(e->arena, &values, INDEX(v, q->values));
		v_dns_subdomain(e, &at, *v);
	}
}

static void term(struct field_errors *e, const struct fpath *p, const struct core_v1_NodeSelectorTerm *t, bool check_values)
{
	struct fpath expressions = fp(p, "matchExpressions"), fields = fp(p, "matchFields");
	EACH (q, t->matchExpressions) {
		struct fpath at = fp_index(e->arena, &expressions, INDEX(q, t->matchExpressions));
		requirement(e, &at, q, check_values);
	}
	EACH (q, t->matchFields) {
		struct fpath at = fp_index(e->arena, &fields, INDEX(q, t->matchFields));
		field_requirement(e, &at, q);
	}
}

void v_node_selector(struct field_errors *e, const struct fpath *p, const struct core_v1_NodeSelector *s)
{
	struct fpath terms = fp(p, "nodeSelectorTerms");
	if (!s->nodeSelectorTerms.n)
		fe_required(e, &terms, "must have at least one node selector term");
	EACH (t, s->nodeSelectorTerms) {
		struct fpath at = fp_index(e->arena, &terms, INDEX(t, s->nodeSelectorTerms));
		term(e, &at, t, true);
	}
}

// --- Pod affinity ---

static bool selector_has_key(const struct meta_v1_LabelSelector *s, str key)
{
	str ignored;
	if (str_map_find(&s->matchLabels, key, &ignored))
		return true;
	EACH (q, s->matchExpressions)
		if (str_eq(q->key, key))
			return true;
	return false;
}

static void label_keys(struct field_errors *e, const struct fpath *p, const char *name, const struct str_list *keys, const struct meta_v1_LabelSelector *s)
{
	struct fpath at = fp(p, name);
	if (!keys->n)
		return;
	if (!s) {
		fe_forbidden(e, &at, "must not be specified when labelSelector is not set");
		return;
	}
	EACH (k, *keys) {
		struct fpath one = fp_index(e->arena, &at, INDEX(k, *keys));
		v_label_name(e, &one, *k);
	}
}

static void both_label_keys(struct field_errors *e, const struct fpath *p, const struct str_list *match, const struct str_list *mismatch, const struct meta_v1_LabelSelector *s)
{
	struct fpath at = fp(p, "matchLabelKeys");
	label_keys(e, p, "matchLabelKeys", match, s);
	label_keys(e, p, "mismatchLabelKeys", mismatch, s);
	EACH (k, *match) {
		struct fpath one = fp_index(e->arena, &at, INDEX(k, *match));
		if (str_list_has(mismatch, *k))
			fe_invalid(e, &one, *k, "exists in both matchLabelKeys and mismatchLabelKeys");
	}
}

static void pod_term(struct field_errors *e, const struct fpath *p, const struct core_v1_PodAffinityTerm *t)
{
	struct fpath labels = fp(p, "labelSelector"), namespaces = fp(p, "namespaceSelector"), ns = fp(p, "namespace"), key = fp(p, "topologyKey");
	v_label_selector(e, &labels, t->labelSelector);
	v_label_selector(e, &namespaces, t->namespaceSelector);
	EACH (n, t->namespaces)
		v_dns_label(e, &ns, *n);
	both_label_keys(e, p, &t->matchLabelKeys, &t->mismatchLabelKeys, t->labelSelector);
	if (!t->topologyKey.n)
		fe_required(e, &key, "can not be empty");
	v_label_name(e, &key, t->topologyKey);
}

static void weight(struct field_errors *e, const struct fpath *p, int32_t w)
{
	struct fpath at = fp(p, "weight");
	if (w <= 0 || w > 100)
		fe_invalid_int(e, &at, w, "must be in the range 1-100");
}

static void pod_affinity(struct field_errors *e, const struct fpath *p, const struct core_v1_PodAffinityTerm_list *required,
                         const struct core_v1_WeightedPodAffinityTerm_list *preferred)
{
	struct fpath req = fp(p, "requiredDuringSchedulingIgnoredDuringExecution"), pref = fp(p, "preferredDuringSchedulingIgnoredDuringExecution");
	EACH (t, *required) {
		struct fpath at = fp_index(e->arena, &req, INDEX(t, *required));
		pod_term(e, &at, t);
	}
	EACH (t, *preferred) {
		struct fpath at = fp_index(e->arena, &pref, INDEX(t, *preferred)), inner = fp(&at, "podAffinityTerm");
		weight(e, &at, t->weight);
		pod_term(e, &inner, &t->podAffinityTerm);
	}
}

void v_affinity(struct pod_check *c, const struct fpath *p)
{
	const struct core_v1_Affinity *a = c->spec->affinity;
	if (!a)
		return;
	struct fpath node = fp(p, "nodeAffinity"), pod = fp(p, "podAffinity"), anti = fp(p, "podAntiAffinity"),
		req = fp(&node, "requiredDuringSchedulingIgnoredDuringExecution"), pref = fp(&node, "preferredDuringSchedulingIgnoredDuringExecution");
	if (a->nodeAffinity && a->nodeAffinity->requiredDuringSchedulingIgnoredDuringExecution)
		v_node_selector(c->e, &req, a->nodeAffinity->requiredDuringSchedulingIgnoredDuringExecution);
	if (a->nodeAffinity)
		EACH (t, a->nodeAffinity->preferredDuringSchedulingIgnoredDuringExecution) {
			struct fpath at = fp_index(c->a, &pref, INDEX(t, a->nodeAffinity->preferredDuringSchedulingIgnoredDuringExecution)), inner = fp(&at, "preference");
			weight(c->e, &at, t->weight);
			term(c->e, &inner, &t->preference, false);
		}
	if (a->podAffinity)
		pod_affinity(c->e, &pod, &a->podAffinity->requiredDuringSchedulingIgnoredDuringExecution, &a->podAffinity->preferredDuringSchedulingIgnoredDuringExecution);
	if (a->podAntiAffinity)
		pod_affinity(c->e, &anti, &a->podAntiAffinity->requiredDuringSchedulingIgnoredDuringExecution,
		             &a->podAntiAffinity->preferredDuringSchedulingIgnoredDuringExecution);
}

void v_topology_spread(struct pod_check *c, const struct fpath *p)
{
	static const struct str_list none;
	__typeof__(&c->spec->topologySpreadConstraints) l = &c->spec->topologySpreadConstraints;
	EACH (t, *l) {
		struct fpath at = fp_index(c->a, p, INDEX(t, *l)), key = fp(&at, "topologyKey"), when = fp(&at, "whenUnsatisfiable"),
			pair = fp(&at, "{topologyKey, whenUnsatisfiable}"), domains = fp(&at, "minDomains"), affinity = fp(&at, "nodeAffinityPolicy"),
			taints = fp(&at, "nodeTaintsPolicy"), labels = fp(&at, "labelSelector"), keys = fp(&at, "matchLabelKeys");
		v_positive(c->e, &at, "maxSkew", t->maxSkew);
		if (!t->topologyKey.n)
			fe_required(c->e, &key, "can not be empty");
		v_enum(c->e, &when, t->whenUnsatisfiable, LIST("DoNotSchedule", "ScheduleAnyway"));
		for (size_t i = INDEX(t, *l) + 1; i < l->n; i++)
			if (str_eq(l->v[i].topologyKey, t->topologyKey) && str_eq(l->v[i].whenUnsatisfiable, t->whenUnsatisfiable)) {
				fe_duplicate(c->e, &pair, arena_concat(c->a, S("{"), t->topologyKey, S(", "), t->whenUnsatisfiable, S("}")));
				break;
			}
		if (t->minDomains) {
			v_positive(c->e, &at, "minDomains", *t->minDomains);
			if (!str_eq(t->whenUnsatisfiable, S("DoNotSchedule")))
				fe_invalid_int(c->e, &domains, *t->minDomains, "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not " STR_FMT, STR_ARG(t->whenUnsatisfiable));
		}
		if (t->nodeAffinityPolicy)
			v_enum(c->e, &affinity, *t->nodeAffinityPolicy, LIST("Honor", "Ignore"));
		if (t->nodeTaintsPolicy)
			v_enum(c->e, &taints, *t->nodeTaintsPolicy, LIST("Honor", "Ignore"));
		// Pods have the keys merged into the selector already; in templates they must not stand twice.
		both_label_keys(c->e, &at, &t->matchLabelKeys, &none, t->labelSelector);
		for (size_t i = 0; !c->o->is_pod && t->labelSelector && i < t->matchLabelKeys.n; i++) {
			struct fpath one = fp_index(c->a, &keys, i);
			if (selector_has_key(t->labelSelector, t->matchLabelKeys.v[i]))
				fe_invalid(c->e, &one, t->matchLabelKeys.v[i], "exists in both matchLabelKeys and labelSelector");
		}
		v_label_selector(c->e, &labels, t->labelSelector);
	}
}

void v_taint_effect(struct field_errors *e, const struct fpath *p, str effect, bool may_be_empty)
{
	if (!effect.n && may_be_empty)
		return;
	v_enum_required(e, p, effect, LIST("NoSchedule", "PreferNoSchedule", "NoExecute"));
}

void v_tolerations(struct field_errors *e, const struct fpath *p, const struct core_v1_Toleration_list *l)
{
	EACH (t, *l) {
		struct fpath at = fp_index(e->arena, p, INDEX(t, *l)), key = fp(&at, "key"), op = fp(&at, "operator"), effect = fp(&at, "effect");
		if (t->key.n)
			v_label_name(e, &key, t->key);
		else if (!str_eq(t->operator, S("Exists")))
			fe_invalid(e, &op, t->operator, "operator must be Exists when `key` is empty, which means \"match all values and all keys\"");
		if (t->tolerationSeconds && !str_eq(t->effect, S("NoExecute")))
			fe_invalid(e, &effect, t->effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
		if (!t->operator.n || str_eq(t->operator, S("Equal"))) {
			struct str_list why = { 0 };
			name_is_label_value(e->arena, t->value, &why);
			if (why.n)
				fe_invalid(e, &op, t->value, "%s", arena_cstr(e->arena, str_list_join(e->arena, &why, ";")));
		} else if (str_eq(t->operator, S("Exists"))) {
			if (t->value.n)
				fe_invalid(e, &op, t->value, "value must be empty when `operator` is 'Exists'");
		} else if (v_one_of(t->operator, LIST("Lt", "Gt"))) {
			str all[] = { S("Equal"), S("Exists"), S("Lt"), S("Gt") };
			fe_not_supported(e, &op, t->operator, all, ARRAY_LEN(all));
		} else {
			v_enum(e, &op, t->operator, LIST("Equal", "Exists"));
		}
		v_taint_effect(e, &effect, t->effect, true);
	}
}
