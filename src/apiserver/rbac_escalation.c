// Nobody grants by RBAC what he does not hold, unless he may "escalate" (roles) or "bind" (bindings).
// Rule: pkg/registry/rbac/*/policybased, pkg/registry/rbac/validation.
#include <stdlib.h>

#include "apiserver/kinds/kinds.h"
#include "apiserver/policy_internal.h"

#define GROUP S("rbac.authorization.k8s.io")

static bool has_all(const struct str_list *l, str s)
{
	return str_list_has(l, S("*")) || str_list_has(l, s);
}

static bool covers_url(const struct str_list *urls, str want)
{
	EACH (u, *urls) {
		str prefix = *u;
		if (str_eq(*u, want) || (str_cut_suffix(&prefix, S("*")) && str_has_prefix(want, prefix)))
			return true;
	}
	return false;
}

// Whether one rule holds an atom (one group, resource, verb and at most one name; or one URL and verb).
static bool covers(const struct rbac_v1_PolicyRule *own, const struct rbac_v1_PolicyRule *atom)
{
	if (!has_all(&own->verbs, atom->verbs.v[0]))
		return false;
	if (atom->nonResourceURLs.n)
		return covers_url(&own->nonResourceURLs, atom->nonResourceURLs.v[0]);
	if (!has_all(&own->apiGroups, atom->apiGroups.v[0]))
		return false;
	str resource = atom->resources.v[0], before, sub;
	bool resource_ok = has_all(&own->resources, resource);
	if (!resource_ok && str_split(resource, '/', &before, &sub))
		EACH (r, own->resources) {
			str any = *r;
			resource_ok = resource_ok || (str_cut_prefix(&any, S("*/")) && str_eq(any, sub));
		}
	if (!resource_ok)
		return false;
	if (own->resourceNames.n == 0)
		return true;
	return atom->resourceNames.n && str_list_has(&own->resourceNames, atom->resourceNames.v[0]);
}

static struct str_list one(struct arena *a, const str *s)
{
	struct str_list l = { 0 };
	if (s)
		*LIST_ADD(a, &l) = *s;
	return l;
}

struct missing { struct rbac_v1_PolicyRule *v; size_t n; };

static void check_atom(struct arena *a, const struct rbac_v1_PolicyRule_list *own, struct rbac_v1_PolicyRule atom, struct missing *missing)
{
	EACH (rule, *own)
		if (covers(rule, &atom))
			return;
	// Atoms that differ in the verb only are told as one rule.
	EACH (m, *missing)
		if (!m->nonResourceURLs.n && !atom.nonResourceURLs.n && str_eq(m->apiGroups.v[0], atom.apiGroups.v[0]) &&
		    str_eq(m->resources.v[0], atom.resources.v[0]) && m->resourceNames.n == atom.resourceNames.n &&
		    (!atom.resourceNames.n || str_eq(m->resourceNames.v[0], atom.resourceNames.v[0]))) {
			if (!str_list_has(&m->verbs, atom.verbs.v[0]))
				*LIST_ADD(a, &m->verbs) = atom.verbs.v[0];
			return;
		}
	if (missing->n < 10000)
		*LIST_ADD(a, missing) = atom;
}

static void check_rule(struct arena *a, const struct rbac_v1_PolicyRule_list *own, const struct rbac_v1_PolicyRule *rule, struct missing *missing)
{
	EACH (group, rule->apiGroups)
		EACH (resource, rule->resources)
			EACH (verb, rule->verbs)
				for (size_t i = 0; i < MAX(rule->resourceNames.n, (size_t)1); i++)
					check_atom(a, own, (struct rbac_v1_PolicyRule){ .apiGroups = one(a, group), .resources = one(a, resource), .verbs = one(a, verb),
					           .resourceNames = one(a, rule->resourceNames.n ? &rule->resourceNames.v[i] : NULL) }, missing);
	EACH (url, rule->nonResourceURLs)
		EACH (verb, rule->verbs)
			check_atom(a, own, (struct rbac_v1_PolicyRule){ .nonResourceURLs = one(a, url), .verbs = one(a, verb) }, missing);
}

// ["a" "b"]
static str quoted_list(struct arena *a, const struct str_list *l)
{
	struct str_list q = { 0 };
	EACH (s, *l)
		*LIST_ADD(a, &q) = go_quote(a, *s);
	return arena_concat(a, S("["), str_list_join(a, &q, " "), S("]"));
}

static str describe(struct arena *a, const struct rbac_v1_PolicyRule *r)
{
	struct str_list parts = { 0 };
	if (r->apiGroups.n)
		*LIST_ADD(a, &parts) = arena_concat(a, S("APIGroups:"), quoted_list(a, &r->apiGroups));
	if (r->resources.n)
		*LIST_ADD(a, &parts) = arena_concat(a, S("Resources:"), quoted_list(a, &r->resources));
	if (r->nonResourceURLs.n)
		*LIST_ADD(a, &parts) = arena_concat(a, S("NonResourceURLs:"), quoted_list(a, &r->nonResourceURLs));
	if (r->resourceNames.n)
		*LIST_ADD(a, &parts) = arena_concat(a, S("ResourceNames:"), quoted_list(a, &r->resourceNames));
	if (r->verbs.n)
		*LIST_ADD(a, &parts) = arena_concat(a, S("Verbs:"), quoted_list(a, &r->verbs));
	return arena_concat(a, S("{"), str_list_join(a, &parts, ", "), S("}"));
}

// True when the user holds all of it; else what he lacks, in *why.
static bool holds(struct request *r, str ns, const struct rbac_v1_PolicyRule_list *rules, str *why)
{
	struct arena *a = r->arena;
	struct rbac_v1_PolicyRule_list own = { 0 };
	struct missing missing = { 0 };
	str errors;
	rbac_rules_for(r, &r->user, ns, &own, &errors);
	EACH (rule, *rules)
		check_rule(a, &own, rule, &missing);
	if (!missing.n)
		return true;
	struct str_list lines = { 0 };
	EACH (m, missing)
		*LIST_ADD(a, &lines) = describe(a, m);
	qsort(lines.v, lines.n, sizeof(*lines.v), str_cmp_qsort);
	*why = arena_concat(a, S("user "), go_quote(a, r->user.name), S(" (groups="), quoted_list(a, &r->user.groups),
	                    S(") is attempting to grant RBAC permissions not currently held:\n"), str_list_join(a, &lines, "\n"));
	if (errors.n)
		*why = arena_concat(a, *why, S("; resolution errors: ["), errors, S("]"));
	return false;
}

static bool may(struct request *r, const char *verb, const char *resource, str ns, str name)
{
	str reason;
	struct attributes at = { .user = &r->user, .is_resource = true, .verb = str_c(verb), .group = GROUP, .version = S("*"), .resource = str_c(resource),
		.ns = ns, .name = name };
	return decide(r, &at, &reason) == ALLOW;
}

// The garbage collector may change owners and finalizers of whatever it sees.
static bool same_but_owners(const struct message_desc *m, const void *obj, const void *old, struct arena *a)
{
	if (!old)
		return false;
	// All kinds of this group begin with TypeMeta and metadata.
	struct rbac_v1_Role *copy = schema_clone(a, m, obj);
	const struct rbac_v1_Role *was = old;
	copy->metadata.ownerReferences = was->metadata.ownerReferences;
	copy->metadata.finalizers = was->metadata.finalizers;
	copy->metadata.selfLink = was->metadata.selfLink;
	copy->metadata.managedFields = was->metadata.managedFields;
	copy->apiVersion = was->apiVersion;
	copy->kind = was->kind;
	return schema_equal(m, copy, old);
}

static bool check_role(struct request *r, str resource, const struct meta_v1_ObjectMeta *m, const struct rbac_v1_PolicyRule_list *rules, bool aggregated,
                       struct api_status *s)
{
	str why;
	if (may(r, "escalate", arena_cstr(r->arena, resource), r->info.ns, r->info.name))
		return true;
	if (!holds(r, r->info.ns, rules, &why))
		return status_forbidden(r->arena, s, GROUP, resource, m->name, why);
	if (!aggregated)
		return true;
	struct str_list all = one(r->arena, &S("*"));
	struct rbac_v1_PolicyRule full[] = { { .verbs = all, .apiGroups = all, .resources = all }, { .verbs = all, .nonResourceURLs = all } };
	if (!holds(r, r->info.ns, &(struct rbac_v1_PolicyRule_list){ full, 2 }, &why))
		return status_forbidden(r->arena, s, GROUP, resource, m->name, S("must have cluster-admin privileges to use the aggregationRule"));
	return true;
}

static bool check_binding(struct request *r, str resource, const struct meta_v1_ObjectMeta *m, const struct rbac_v1_RoleRef *ref, str ns, struct api_status *s)
{
	bool cluster = str_eq(ref->kind, S("ClusterRole"));
	if (may(r, "bind", cluster ? "clusterroles" : "roles", ns, ref->name))
		return true;
	struct rbac_v1_PolicyRule_list rules;
	if (cluster) {
		const struct rbac_v1_ClusterRole *role = registry_get(r, GROUP, S("clusterroles"), S(""), ref->name);
		if (!role)
			return status_not_found(r->arena, s, GROUP, resource, ref->name);
		rules = role->rules;
	} else if (str_eq(ref->kind, S("Role"))) {
		const struct rbac_v1_Role *role = registry_get(r, GROUP, S("roles"), ns, ref->name);
		if (!role)
			return status_not_found(r->arena, s, GROUP, resource, ref->name);
		rules = role->rules;
	} else {
		return true; // validation says what is wrong
	}
	str why;
	return holds(r, ns, &rules, &why) || status_forbidden(r->arena, s, GROUP, resource, m->name, why);
}

bool rbac_check_escalation(struct request *r, str resource, const void *obj, const void *old, struct api_status *s)
{
	if (user_in_group(&r->user, S("system:masters")))
		return true;
	struct arena *a = r->arena;
	if (str_eq(resource, S("roles"))) {
		const struct rbac_v1_Role *o = obj;
		return same_but_owners(rbac_v1_Role_desc, obj, old, a) || check_role(r, resource, &o->metadata, &o->rules, false, s);
	}
	if (str_eq(resource, S("clusterroles"))) {
		const struct rbac_v1_ClusterRole *o = obj, *was = old;
		bool aggregated = (o->aggregationRule && o->aggregationRule->clusterRoleSelectors.n) ||
		                  (was && was->aggregationRule && was->aggregationRule->clusterRoleSelectors.n);
		return same_but_owners(rbac_v1_ClusterRole_desc, obj, old, a) || check_role(r, resource, &o->metadata, &o->rules, aggregated, s);
	}
	if (str_eq(resource, S("rolebindings"))) {
		const struct rbac_v1_RoleBinding *o = obj;
		return same_but_owners(rbac_v1_RoleBinding_desc, obj, old, a) || check_binding(r, resource, &o->metadata, &o->roleRef, r->info.ns, s);
	}
	const struct rbac_v1_ClusterRoleBinding *o = obj;
	return same_but_owners(rbac_v1_ClusterRoleBinding_desc, obj, old, a) || check_binding(r, resource, &o->metadata, &o->roleRef, S(""), s);
}
