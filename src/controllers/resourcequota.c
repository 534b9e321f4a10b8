// What of a ResourceQuota is used (status.used). Rule: upstream pkg/controller/resourcequota and pkg/quota/v1/evaluator.
#include "base/log.h"
#include "controllers/common.h"
#include "controllers/discovery.h"
#include "schema/quantity.h"

enum { SETTLE_MS = 300, RECOUNT_S = 30 };

struct quota {
	struct manager *m;
	struct informer *quotas, *pods, *services, *claims;
	struct workqueue *queue;
};

static void quota_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct quota *c = ctx;
	if (obj)
		queue_object(c->queue, object_of(obj));
}

// Something that is counted came, went or changed: the namespace's quotas are counted again, soon.
static void counted_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct quota *c = ctx;
	_cleanup_arena_ struct arena *a = arena_new(512);
	struct held all = held_by_index(a, c->quotas, INDEX_NAMESPACE, object_ref_meta(obj ? obj : old)->namespace);
	for (size_t i = 0; i < all.n; i++)
		queue_object_after(c->queue, all.v[i], SETTLE_MS);
}

static void pod_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	if (old && obj && pod_is_terminal(object_of(old)) == pod_is_terminal(object_of(obj)) &&
	    object_ref_meta(old)->generation == object_ref_meta(obj)->generation)
		return;
	counted_changed(old, obj, ctx);
}

// --- Scopes ---

static bool priority_matches(const struct core_v1_ScopedResourceSelectorRequirement *r, const struct core_v1_Pod *p)
{
	str class = p->spec.priorityClassName;
	bool in = false;
	for (size_t i = 0; i < r->values.n; i++)
		in |= str_eq(r->values.v[i], class);
	return str_eq(r->operator, S("In"))       ? in
	       : str_eq(r->operator, S("NotIn"))  ? !in
	       : str_eq(r->operator, S("Exists")) ? class.n > 0
	                                          : str_eq(r->operator, S("DoesNotExist")) && class.n == 0;
}

static bool in_scope(struct arena *a, const struct core_v1_Pod *p, str scope,
                     const struct core_v1_ScopedResourceSelectorRequirement *r)
{
	bool limited = p->spec.activeDeadlineSeconds && *p->spec.activeDeadlineSeconds >= 0;
	bool best_effort = str_eq(pod_qos_class(a, p), S("BestEffort"));
	if (str_eq(scope, S("Terminating")))
		return limited;
	if (str_eq(scope, S("NotTerminating")))
		return !limited;
	if (str_eq(scope, S("BestEffort")))
		return best_effort;
	if (str_eq(scope, S("NotBestEffort")))
		return !best_effort;
	if (str_eq(scope, S("PriorityClass")))
		return r ? priority_matches(r, p) : p->spec.priorityClassName.n > 0;
	return false;
}

static bool pod_counts(struct arena *a, const struct core_v1_ResourceQuota *q, const struct core_v1_Pod *p)
{
	if (pod_is_terminal(p))
		return false;
	for (size_t i = 0; i < q->spec.scopes.n; i++)
		if (!in_scope(a, p, q->spec.scopes.v[i], NULL))
			return false;
	for (size_t i = 0; q->spec.scopeSelector && i < q->spec.scopeSelector->matchExpressions.n; i++) {
		const struct core_v1_ScopedResourceSelectorRequirement *r =
		        &q->spec.scopeSelector->matchExpressions.v[i];
		if (!in_scope(a, p, r->scopeName, r))
			return false;
	}
	return true;
}

// --- Counting ---

static struct quantity count_of(struct arena *a, int64_t n)
{
	return quantity_of(a, n, false);
}

// Sum over pods: "requests.cpu", "cpu" and "limits.memory" name a resource of requests or limits.
static struct quantity sum_pods(struct quota *c, struct arena *a, const struct core_v1_ResourceQuota *q, str name)
{
	struct held pods = held_by_index(a, c->pods, INDEX_NAMESPACE, q->metadata.namespace);
	bool limits = str_cut_prefix(&name, S("limits."));
	if (!limits)
		str_cut_prefix(&name, S("requests."));
	struct quantity sum = { .s = S("0") };
	for (size_t i = 0; i < pods.n; i++) {
		struct quantity_map m = { 0 };
		struct quantity v;
		if (!pod_counts(a, q, pods.v[i]))
			continue;
		if (limits)
			pod_limits(a, pods.v[i], &m);
		else
			pod_requests(a, pods.v[i], &m);
		if (quantity_map_get(&m, name, &v))
			sum = quantity_add(a, sum, v);
	}
	return sum;
}

static int64_t count_pods(struct quota *c, struct arena *a, const struct core_v1_ResourceQuota *q)
{
	struct held pods = held_by_index(a, c->pods, INDEX_NAMESPACE, q->metadata.namespace);
	int64_t n = 0;
	for (size_t i = 0; i < pods.n; i++)
		n += pod_counts(a, q, pods.v[i]);
	return n;
}

static int64_t count_services(struct quota *c, struct arena *a, str ns, str what)
{
	struct held all = held_by_index(a, c->services, INDEX_NAMESPACE, ns);
	int64_t n = 0;
	for (size_t i = 0; i < all.n; i++) {
		const struct core_v1_Service *s = all.v[i];
		bool balancer = str_eq(s->spec.type, S("LoadBalancer")),
		     ports = str_eq(s->spec.type, S("NodePort")) || balancer;
		if (str_eq(what, S("services")))
			n++;
		else if (str_eq(what, S("services.loadbalancers")))
			n += balancer;
		else
			for (size_t k = 0; ports && k < s->spec.ports.n; k++)
				n += s->spec.ports.v[k].nodePort > 0 || !balancer;
	}
	return n;
}

static struct quantity sum_storage(struct quota *c, struct arena *a, str ns, str class)
{
	struct held all = held_by_index(a, c->claims, INDEX_NAMESPACE, ns);
	struct quantity sum = { .s = S("0") }, v;
	for (size_t i = 0; i < all.n; i++) {
		const struct core_v1_PersistentVolumeClaim *k = all.v[i];
		if (class.n && (!k->spec.storageClassName || !str_eq(*k->spec.storageClassName, class)))
			continue;
		if (quantity_map_get(&k->spec.resources.requests, S("storage"), &v))
			sum = quantity_add(a, sum, v);
	}
	return sum;
}

// Objects that nobody watches here are counted by the server: one item and how many more there are.
static bool count_objects(struct quota *c, struct arena *a, str ns, str group, str resource, int64_t *n,
                          struct error *err)
{
	struct discovered_list all;
	const struct discovered *found = NULL;
	if (!discover(c->m, a, &all, err))
		return false;
	for (size_t i = 0; i < all.n && !found; i++)
		if (all.v[i].preferred && str_eq(all.v[i].group, group) && str_eq(all.v[i].resource, resource))
			found = &all.v[i];
	*n = 0;
	if (!found || !found->namespaced)
		return true;
	const struct value *list =
	        client_raw(c->m->client, a, "GET", arena_concat(a, discovered_path(a, found, ns, S("")), S("?limit=1")),
	                   S(""), S(""), err);
	if (!list)
		return false;
	const struct value *items = value_get(list, S("items"));
	int64_t more = 0;
	value_to_i64(value_path(list, S("metadata"), S("remainingItemCount")), &more);
	*n = (value_is(items, V_ARRAY) ? (int64_t)items->a.n : 0) + more;
	return true;
}

// One resource of the quota. *slow: it is counted by asking, so it has to be asked again now and then.
static bool used_of(struct quota *c, struct arena *a, const struct core_v1_ResourceQuota *q, str name,
                    struct quantity *out, bool *slow, struct error *err)
{
	static const str core[] = { S_INIT("configmaps"), S_INIT("secrets"), S_INIT("resourcequotas"),
		                    S_INIT("replicationcontrollers"), S_INIT("persistentvolumeclaims") };
	str ns = q->metadata.namespace, rest = name, resource, group, class;
	if (str_eq(name, S("pods")) || str_eq(name, S("count/pods"))) {
		*out = count_of(a, count_pods(c, a, q));
		return true;
	}
	if (str_eq(name, S("services")) || str_eq(name, S("services.nodeports")) ||
	    str_eq(name, S("services.loadbalancers"))) {
		*out = count_of(a, count_services(c, a, ns, name));
		return true;
	}
	if (str_eq(name, S("requests.storage"))) {
		*out = sum_storage(c, a, ns, S(""));
		return true;
	}
	class = name;
	if (str_cut_suffix(&class, S(".storageclass.storage.k8s.io/requests.storage"))) {
		*out = sum_storage(c, a, ns, class);
		return true;
	}
	bool counted = str_cut_prefix(&rest, S("count/"));
	for (size_t i = 0; i < ARRAY_LEN(core); i++)
		counted |= str_eq(name, core[i]);
	if (!counted) {
		*out = sum_pods(c, a, q, name);
		return true;
	}
	int64_t n;
	str_split(rest, '.', &resource, &group);
	*slow = true;
	if (!count_objects(c, a, ns, group, resource, &n, err))
		return false;
	*out = count_of(a, n);
	return true;
}

static bool reconcile(void *ctx, struct arena *a, str key, struct error *err)
{
	struct quota *c = ctx;
	str ns, name;
	key_split(key, &ns, &name);
	const struct core_v1_ResourceQuota *q = held_get(a, c->quotas, ns, name);
	if (!q || q->metadata.deletionTimestamp)
		return true;
	struct core_v1_ResourceQuota *copy = schema_clone(a, core_v1_ResourceQuota_desc, q);
	bool slow = false;
	copy->status.hard = copy->spec.hard;
	copy->status.used = (struct quantity_map){ 0 };
	for (size_t i = 0; i < q->spec.hard.n; i++) {
		struct quantity used;
		if (!used_of(c, a, q, q->spec.hard.v[i].key, &used, &slow, err))
			return false;
		quantity_map_set(a, &copy->status.used, q->spec.hard.v[i].key, used);
	}
	if (slow)
		workqueue_add_after(c->queue, key, RECOUNT_S * 1000);
	if (schema_equal(core_v1_ResourceQuotaStatus_desc, &copy->status, &q->status))
		return true;
	return client_update(c->m->client, a, c->m->r.resourcequotas, "status", copy, err) || err->code == 404;
}

void *resourcequota_setup(struct manager *m)
{
	struct quota *c = ARENA_NEW(m->arena, struct quota);
	*c = (struct quota){ .m = m,
		             .quotas = manager_informer(m, m->r.resourcequotas),
		             .pods = manager_informer(m, m->r.pods),
		             .services = manager_informer(m, m->r.services),
		             .claims = manager_informer(m, m->r.persistentvolumeclaims),
		             .queue = manager_queue(m) };
	struct informer *const all[] = { c->quotas, c->pods, c->services, c->claims };
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		informer_add_index(all[i], INDEX_NAMESPACE, index_namespace);
	informer_add_handler(c->quotas, &(struct informer_handler){ quota_changed, c });
	informer_add_handler(c->pods, &(struct informer_handler){ pod_changed, c });
	informer_add_handler(c->services, &(struct informer_handler){ counted_changed, c });
	informer_add_handler(c->claims, &(struct informer_handler){ counted_changed, c });
	return c;
}

void resourcequota_run(void *self)
{
	struct quota *c = self;
	workqueue_run(c->queue, "resourcequota", 1, reconcile, c);
}
