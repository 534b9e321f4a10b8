// ClusterRoles with an aggregation rule get the rules of all that match it. Rule: upstream pkg/controller/clusterroleaggregation.
#include <stdlib.h>

#include "controllers/common.h"

struct aggregation {
	struct manager *m;
	struct informer *roles;
	struct workqueue *queue;
};

static void role_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct aggregation *c = ctx;
	_cleanup_arena_ struct arena *a = arena_new(512);
	struct held all = held_list(a, c->roles);
	for (size_t i = 0; i < all.n; i++)
		if (((const struct rbac_v1_ClusterRole *)all.v[i])->aggregationRule)
			queue_object(c->queue, all.v[i]);
}

static int by_name(const void *x, const void *y)
{
	return str_cmp((*(const any_object *const *)x)->metadata.name, (*(const any_object *const *)y)->metadata.name);
}

static bool has_rule(const struct rbac_v1_PolicyRule_list *l, const struct rbac_v1_PolicyRule *r)
{
	for (size_t i = 0; i < l->n; i++)
		if (schema_equal(rbac_v1_PolicyRule_desc, &l->v[i], r))
			return true;
	return false;
}

static bool reconcile(void *ctx, struct arena *a, str key, struct error *err)
{
	struct aggregation *c = ctx;
	const struct rbac_v1_ClusterRole *role = held_get(a, c->roles, S(""), key);
	if (!role || !role->aggregationRule)
		return true;
	struct rbac_v1_PolicyRule_list rules = { 0 };
	struct held all = held_list(a, c->roles);
	sort_items(all.v, all.n, sizeof(*all.v), by_name);
	for (size_t s = 0; s < role->aggregationRule->clusterRoleSelectors.n; s++) {
		struct selector selector;
		if (!label_selector(a, &role->aggregationRule->clusterRoleSelectors.v[s], &selector, err))
			return false;
		for (size_t i = 0; i < all.n; i++) {
			const struct rbac_v1_ClusterRole *one = all.v[i];
			if (str_eq(one->metadata.name, key) || !selector_matches(&selector, &one->metadata.labels))
				continue;
			for (size_t k = 0; k < one->rules.n; k++)
				if (!has_rule(&rules, &one->rules.v[k]))
					*LIST_ADD(a, &rules) = one->rules.v[k];
		}
	}
	struct rbac_v1_ClusterRole want = { .rules = rules }, have = { .rules = role->rules };
	if (schema_equal(rbac_v1_ClusterRole_desc, &want, &have))
		return true;
	struct rbac_v1_ClusterRole *copy = schema_clone(a, rbac_v1_ClusterRole_desc, role);
	copy->rules = rules;
	return client_update(c->m->client, a, c->m->r.clusterroles, NULL, copy, err) || err->code == 404;
}

void *clusterrole_aggregation_setup(struct manager *m)
{
	struct aggregation *c = ARENA_NEW(m->arena, struct aggregation);
	*c = (struct aggregation){ .m = m, .roles = manager_informer(m, m->r.clusterroles), .queue = manager_queue(m) };
	informer_add_handler(c->roles, &(struct informer_handler){ role_changed, c });
	return c;
}

void clusterrole_aggregation_run(void *self)
{
	struct aggregation *c = self;
	workqueue_run(c->queue, "clusterrole-aggregation", 1, reconcile, c);
}
