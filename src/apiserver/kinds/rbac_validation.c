// Validation of RBAC kinds and leases. Rule: pkg/apis/rbac/validation, pkg/apis/coordination/validation.
#include "apiserver/kinds/valid.h"
#include "apiserver/kinds/validation.h"

#define GROUP "rbac.authorization.k8s.io"

static void rules(struct field_errors *e, const struct rbac_v1_PolicyRule_list *l, bool namespaced)
{
	struct fpath p = fp(NULL, "rules");
	EACH (r, *l) {
		struct fpath at = fp_index(e->arena, &p, INDEX(r, *l)), verbs = fp(&at, "verbs"), urls = fp(&at, "nonResourceURLs"), groups = fp(&at, "apiGroups"), resources = fp(&at, "resources");
		if (!r->verbs.n)
			fe_required(e, &verbs, "verbs must contain at least one value");
		if (r->nonResourceURLs.n) {
			if (namespaced)
				fe_invalid_raw(e, &urls, json_of_list(e->arena, &r->nonResourceURLs), "namespaced rules cannot apply to non-resource URLs");
			if (r->apiGroups.n || r->resources.n || r->resourceNames.n)
				fe_invalid_raw(e, &urls, json_of_list(e->arena, &r->nonResourceURLs), "rules cannot apply to both regular resources and non-resource URLs");
			continue;
		}
		if (!r->apiGroups.n)
			fe_required(e, &groups, "resource rules must supply at least one api group");
		if (!r->resources.n)
			fe_required(e, &resources, "resource rules must supply at least one resource");
	}
}

void role_validate(struct request *r, struct field_errors *e, const void *obj)
{
	(void)r;
	rules(e, &((const struct rbac_v1_Role *)obj)->rules, true);
}

void role_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	(void)t, (void)was;
	role_validate(r, e, obj);
}

void clusterrole_validate(struct request *r, struct field_errors *e, const void *obj)
{
	const struct rbac_v1_ClusterRole *o = obj;
	struct fpath rule = fp(NULL, "aggregationRule"), selectors = fp(&rule, "clusterRoleSelectors");
	(void)r;
	rules(e, &o->rules, false);
	if (o->aggregationRule && !o->aggregationRule->clusterRoleSelectors.n)
		fe_required(e, &selectors, "at least one clusterRoleSelector required if aggregationRule is non-nil");
	for (size_t i = 0; o->aggregationRule && i < o->aggregationRule->clusterRoleSelectors.n; i++) {
		struct fpath at = fp_index(e->arena, &selectors, i);
		size_t before = e->n;
		v_label_selector(e, &at, &o->aggregationRule->clusterRoleSelectors.v[i]);
		if (e->n > before)
			fe_invalid_raw(e, &at, S("null"), "invalid label selector.");
	}
}

void clusterrole_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	(void)t, (void)was;
	clusterrole_validate(r, e, obj);
}

static void subjects(struct field_errors *e, const struct rbac_v1_Subject_list *l, bool namespaced)
{
	struct fpath p = fp(NULL, "subjects");
	EACH (s, *l) {
		struct fpath at = fp_index(e->arena, &p, INDEX(s, *l)), name = fp(&at, "name"), group = fp(&at, "apiGroup"), ns = fp(&at, "namespace"), kind = fp(&at, "kind");
		if (!s->name.n)
			fe_required(e, &name, "");
		if (str_eq(s->kind, S("ServiceAccount"))) {
			if (s->name.n)
				v_dns_subdomain(e, &name, s->name);
			if (s->apiGroup.n)
				v_enum(e, &group, s->apiGroup, LIST(""));
			if (!namespaced && !s->namespace.n)
				fe_required(e, &ns, "");
		} else if (v_one_of(s->kind, LIST("User", "Group"))) {
			v_enum(e, &group, s->apiGroup, LIST(GROUP));
		} else {
			v_enum(e, &kind, s->kind, LIST("ServiceAccount", "User", "Group"));
		}
	}
}

static void role_ref(struct field_errors *e, const struct rbac_v1_RoleRef *r, bool namespaced)
{
	struct fpath p = fp(NULL, "roleRef"), group = fp(&p, "apiGroup"), kind = fp(&p, "kind"), name = fp(&p, "name");
	v_enum(e, &group, r->apiGroup, LIST(GROUP));
	if (namespaced)
		v_enum(e, &kind, r->kind, LIST("Role", "ClusterRole"));
	else
		v_enum(e, &kind, r->kind, LIST("ClusterRole"));
	if (!r->name.n) {
		fe_required(e, &name, "");
		return;
	}
	struct str_list why = { 0 };
	name_is_path_segment(e->arena, r->name, false, &why);
	EACH (w, why)
		fe_invalid(e, &name, r->name, STR_FMT, STR_ARG(*w));
}

static void same_ref(struct field_errors *e, const struct rbac_v1_RoleRef *now, const struct rbac_v1_RoleRef *was)
{
	struct fpath p = fp(NULL, "roleRef");
	if (!schema_equal(rbac_v1_RoleRef_desc, now, was))
		fe_invalid_raw(e, &p, arena_printf(e->arena, "{\"APIGroup\":%s,\"Kind\":%s,\"Name\":%s}", arena_cstr(e->arena, go_quote(e->arena, now->apiGroup)),
		                                   arena_cstr(e->arena, go_quote(e->arena, now->kind)), arena_cstr(e->arena, go_quote(e->arena, now->name))), "cannot change roleRef");
}

void rolebinding_validate(struct request *r, struct field_errors *e, const void *obj)
{
	const struct rbac_v1_RoleBinding *o = obj;
	(void)r;
	role_ref(e, &o->roleRef, true);
	subjects(e, &o->subjects, true);
}

void rolebinding_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	(void)t;
	rolebinding_validate(r, e, obj);
	same_ref(e, &((const struct rbac_v1_RoleBinding *)obj)->roleRef, &((const struct rbac_v1_RoleBinding *)was)->roleRef);
}

void clusterrolebinding_validate(struct request *r, struct field_errors *e, const void *obj)
{
	const struct rbac_v1_ClusterRoleBinding *o = obj;
	(void)r;
	role_ref(e, &o->roleRef, false);
	subjects(e, &o->subjects, false);
}

void clusterrolebinding_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	(void)t;
	clusterrolebinding_validate(r, e, obj);
	same_ref(e, &((const struct rbac_v1_ClusterRoleBinding *)obj)->roleRef, &((const struct rbac_v1_ClusterRoleBinding *)was)->roleRef);
}

void lease_validate(struct request *r, struct field_errors *e, const void *obj)
{
	const struct coordination_v1_LeaseSpec *s = &((const struct coordination_v1_Lease *)obj)->spec;
	struct fpath spec = fp(NULL, "spec"), duration = fp(&spec, "leaseDurationSeconds"), holder = fp(&spec, "preferredHolder"), strategy = fp(&spec, "strategy");
	(void)r;
	if (s->leaseDurationSeconds && *s->leaseDurationSeconds <= 0)
		fe_invalid_int(e, &duration, *s->leaseDurationSeconds, "must be greater than 0");
	if (s->leaseTransitions)
		v_not_negative(e, &spec, "leaseTransitions", *s->leaseTransitions);
	if (s->strategy && !str_eq(*s->strategy, S("OldestEmulationVersion")))
		v_name(e, &strategy, *s->strategy, name_is_qualified);
	if (s->preferredHolder && s->preferredHolder->n && (!s->strategy || !s->strategy->n))
		fe_forbidden(e, &holder, "may only be specified if `strategy` is defined");
}

void lease_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	(void)t, (void)was;
	lease_validate(r, e, obj);
}
