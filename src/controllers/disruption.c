// PodDisruptionBudgets: how many pods may be evicted now. Rule: upstream pkg/controller/disruption.
#include "base/log.h"
#include "controllers/common.h"

#define COMPONENT "controllermanager"

enum { DELETION_TIMEOUT_S = 120 };

struct disruption {
	struct manager *m;
	struct informer *budgets, *pods, *sets, *deployments, *statefulsets, *controllers;
	struct workqueue *queue;
};

static bool selects(struct arena *a, const struct policy_v1_PodDisruptionBudget *b, const struct core_v1_Pod *p)
{
	struct selector s;
	struct error ignored = { 0 };
	return label_selector(a, b->spec.selector, &s, &ignored) && selector_matches(&s, &p->metadata.labels);
}

static void budget_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct disruption *c = ctx;
	if (obj)
		queue_object(c->queue, object_of(obj));
}

static bool looks_the_same(const struct core_v1_Pod *x, const struct core_v1_Pod *y)
{
	return pod_is_ready(x) == pod_is_ready(y) && !x->metadata.deletionTimestamp == !y->metadata.deletionTimestamp &&
	       str_eq(x->status.phase, y->status.phase) && x->metadata.labels.n == y->metadata.labels.n;
}

static void pod_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct disruption *c = ctx;
	if (old && obj && looks_the_same(object_of(old), object_of(obj)))
		return;
	_cleanup_arena_ struct arena *a = arena_new(512);
	const struct core_v1_Pod *p = changed_object(old, obj);
	struct held all = held_by_index(a, c->budgets, INDEX_NAMESPACE, p->metadata.namespace);
	for (size_t i = 0; i < all.n; i++)
		if (selects(a, all.v[i], p))
			queue_object(c->queue, all.v[i]);
}

// A controller's size is a part of the count.
static void owner_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct disruption *c = ctx;
	if (!obj || (old && object_ref_meta(old)->generation == object_ref_meta(obj)->generation))
		return;
	_cleanup_arena_ struct arena *a = arena_new(512);
	struct held all = held_by_index(a, c->budgets, INDEX_NAMESPACE, object_ref_meta(obj)->namespace);
	for (size_t i = 0; i < all.n; i++)
		queue_object(c->queue, all.v[i]);
}

static bool is_controller(const any_object *o, const struct meta_v1_OwnerReference *r)
{
	return o && str_eq(o->metadata.uid, r->uid);
}

// The size that the pod's controller (for a Deployment's ReplicaSet: the Deployment) is meant to have, under its UID.
static bool scale_of(struct disruption *c, struct arena *a, str ns, const struct meta_v1_OwnerReference *r, str *uid,
                     int32_t *scale)
{
	*uid = r->uid;
	if (str_eq(r->kind, S("ReplicaSet"))) {
		const struct apps_v1_ReplicaSet *rs = held_get(a, c->sets, ns, r->name);
		if (!is_controller((const any_object *)rs, r))
			return false;
		*scale = rs->spec.replicas ? *rs->spec.replicas : 1;
		const struct meta_v1_OwnerReference *d = meta_controller(&rs->metadata);
		const struct apps_v1_Deployment *dep =
		        d && str_eq(d->kind, S("Deployment")) ? held_get(a, c->deployments, ns, d->name) : NULL;
		if (dep && is_controller((const any_object *)dep, d)) {
			*uid = d->uid;
			*scale = dep->spec.replicas ? *dep->spec.replicas : 1;
		}
		return true;
	}
	if (str_eq(r->kind, S("StatefulSet"))) {
		const struct apps_v1_StatefulSet *s = held_get(a, c->statefulsets, ns, r->name);
		*scale = s && s->spec.replicas ? *s->spec.replicas : 1;
		return is_controller((const any_object *)s, r);
	}
	if (str_eq(r->kind, S("ReplicationController"))) {
		const struct core_v1_ReplicationController *rc = held_get(a, c->controllers, ns, r->name);
		*scale = rc && rc->spec.replicas ? *rc->spec.replicas : 1;
		return is_controller((const any_object *)rc, r);
	}
	return false;
}

struct count {
	int32_t expected, desired, healthy;
	bool unmanaged;
};

static bool expected_scale(struct disruption *c, struct arena *a, struct held pods, struct count *n, struct error *err)
{
	_cleanup_map_ struct map seen = { 0 };
	for (size_t i = 0; i < pods.n; i++) {
		const struct core_v1_Pod *p = pods.v[i];
		const struct meta_v1_OwnerReference *r = meta_controller(&p->metadata);
		str uid;
		int32_t scale;
		if (!r) {
			n->unmanaged = true;
			continue;
		}
		if (!scale_of(c, a, p->metadata.namespace, r, &uid, &scale))
			return error_set(err, "found no controllers for pod \"" STR_FMT "\"",
			                 STR_ARG(p->metadata.name));
		if (map_has(&seen, uid))
			continue;
		map_put(&seen, uid, NULL);
		n->expected += scale;
	}
	return true;
}

static bool count_pods(struct disruption *c, struct arena *a, const struct policy_v1_PodDisruptionBudget *b,
                       struct held pods, struct count *n, struct error *err)
{
	const struct int_or_string *most = b->spec.maxUnavailable, *least = b->spec.minAvailable;
	int32_t v = 0;
	if (most) {
		if (!expected_scale(c, a, pods, n, err))
			return false;
		if (!int_or_percent(most, n->expected, true, &v))
			return error_set(err,
			                 "invalid value for IntOrString: invalid type: string is not a percentage");
		n->desired = MAX(n->expected - v, 0);
	} else if (least && !least->is_string) {
		n->desired = least->i;
		n->expected = (int32_t)pods.n;
	} else if (least) {
		if (!expected_scale(c, a, pods, n, err))
			return false;
		if (!int_or_percent(least, n->expected, true, &n->desired))
			return error_set(err,
			                 "invalid value for IntOrString: invalid type: string is not a percentage");
	}
	return true;
}

static void set_condition(struct disruption *c, struct arena *a, struct policy_v1_PodDisruptionBudgetStatus *s,
                          str status, str reason, str message)
{
	struct meta_v1_Condition want = { .type = S("DisruptionAllowed"),
		                          .status = status,
		                          .reason = reason,
		                          .message = message,
		                          .observedGeneration = s->observedGeneration,
		                          .lastTransitionTime = now_time(c->m) };
	for (size_t i = 0; i < s->conditions.n; i++)
		if (str_eq(s->conditions.v[i].type, want.type)) {
			if (str_eq(s->conditions.v[i].status, status))
				want.lastTransitionTime = s->conditions.v[i].lastTransitionTime;
			s->conditions.v[i] = want;
			return;
		}
	*LIST_ADD(a, &s->conditions) = want;
}

// Pods that an eviction was allowed for and that are not being deleted yet. Looks again when one of these is late.
static void keep_disrupted(struct disruption *c, struct arena *a, struct policy_v1_PodDisruptionBudget *b,
                           struct held pods, str key)
{
	struct api_time_map kept = { 0 };
	int64_t now = now_sec(c->m);
	for (size_t i = 0; i < b->status.disruptedPods.n; i++) {
		const struct api_time_entry *e = &b->status.disruptedPods.v[i];
		const struct core_v1_Pod *p = NULL;
		for (size_t k = 0; k < pods.n && !p; k++)
			if (str_eq(((const any_object *)pods.v[k])->metadata.name, e->key))
				p = pods.v[k];
		if (!p || p->metadata.deletionTimestamp)
			continue;
		int64_t left = e->value.sec + DELETION_TIMEOUT_S - now;
		if (left < 0) {
			EVENT(c->m, COMPONENT, c->m->r.pods, &p->metadata, "Warning", "NotDeleted",
			      "Pod was expected by PDB " STR_FMT "/" STR_FMT " to be deleted but it wasn't",
			      STR_ARG(b->metadata.namespace), STR_ARG(b->metadata.namespace));
			continue;
		}
		workqueue_add_after(c->queue, key, (left + 1) * 1000);
		*LIST_ADD(a, &kept) = *e;
	}
	b->status.disruptedPods = kept;
}

static bool is_disrupted(const struct policy_v1_PodDisruptionBudget *b, str pod)
{
	for (size_t i = 0; i < b->status.disruptedPods.n; i++)
		if (str_eq(b->status.disruptedPods.v[i].key, pod))
			return true;
	return false;
}

static bool reconcile(void *ctx, struct arena *a, str key, struct error *err)
{
	struct disruption *c = ctx;
	str ns, name;
	key_split(key, &ns, &name);
	const struct policy_v1_PodDisruptionBudget *cached = held_get(a, c->budgets, ns, name);
	if (!cached)
		return true;
	struct policy_v1_PodDisruptionBudget *b = schema_clone(a, policy_v1_PodDisruptionBudget_desc, cached);
	struct held pods = held_by_index(a, c->pods, INDEX_NAMESPACE, ns);
	size_t n = 0;
	for (size_t i = 0; i < pods.n; i++)
		if (selects(a, b, pods.v[i]) && !pod_is_terminal(pods.v[i]))
			pods.v[n++] = pods.v[i];
	pods.n = n;
	if (n == 0)
		EVENT(c->m, COMPONENT, c->m->r.poddisruptionbudgets, &b->metadata, "Normal", "NoPods",
		      "No matching pods found");
	struct count count = { 0 };
	struct error why = { 0 };
	struct policy_v1_PodDisruptionBudgetStatus *s = &b->status;
	if (!count_pods(c, a, b, pods, &count, &why)) {
		EVENT(c->m, COMPONENT, c->m->r.poddisruptionbudgets, &b->metadata, "Warning",
		      "CalculateExpectedPodCountFailed", "Failed to calculate the number of expected pods: %s",
		      why.text);
		s->disruptionsAllowed = 0; // what cannot be counted is not allowed
		set_condition(c, a, s, S("False"), S("SyncFailed"), arena_dup(a, error_str(&why)));
	} else {
		if (count.unmanaged)
			EVENT(c->m, COMPONENT, c->m->r.poddisruptionbudgets, &b->metadata, "Warning", "UnmanagedPods",
			      "Pods selected by this PodDisruptionBudget (selector: " STR_FMT
			      ") were found to be unmanaged. As a result, the status of the PDB cannot be calculated "
			      "correctly, which may result in undefined behavior. To "
			      "account for these pods please set \".spec.minAvailable\" field of the PDB to an integer "
			      "value.",
			      STR_ARG(json_text(a, schema_to_value(a, meta_v1_LabelSelector_desc, b->spec.selector),
			                        JSON_COMPACT)));
		keep_disrupted(c, a, b, pods, key);
		for (size_t i = 0; i < pods.n; i++) {
			const struct core_v1_Pod *p = pods.v[i];
			count.healthy +=
			        !p->metadata.deletionTimestamp && !is_disrupted(b, p->metadata.name) && pod_is_ready(p);
		}
		s->currentHealthy = count.healthy;
		s->desiredHealthy = count.desired;
		s->expectedPods = count.expected;
		s->disruptionsAllowed = count.expected > 0 ? MAX(count.healthy - count.desired, 0) : 0;
		s->observedGeneration = b->metadata.generation;
		if (s->disruptionsAllowed > 0)
			set_condition(c, a, s, S("True"), S("SufficientPods"), S(""));
		else
			set_condition(c, a, s, S("False"), S("InsufficientPods"), S(""));
	}
	if (schema_equal(policy_v1_PodDisruptionBudgetStatus_desc, s, &cached->status))
		return true;
	return client_update(c->m->client, a, c->m->r.poddisruptionbudgets, "status", b, err) || err->code == 404;
}

void *disruption_setup(struct manager *m)
{
	struct disruption *c = ARENA_NEW(m->arena, struct disruption);
	*c = (struct disruption){ .m = m,
		                  .budgets = manager_informer(m, m->r.poddisruptionbudgets),
		                  .pods = manager_informer(m, m->r.pods),
		                  .sets = manager_informer(m, m->r.replicasets),
		                  .deployments = manager_informer(m, m->r.deployments),
		                  .statefulsets = manager_informer(m, m->r.statefulsets),
		                  .controllers = manager_informer(m, m->r.replicationcontrollers),
		                  .queue = manager_queue(m) };
	informer_add_index(c->budgets, INDEX_NAMESPACE, index_namespace);
	informer_add_index(c->pods, INDEX_NAMESPACE, index_namespace);
	informer_add_handler(c->budgets, &(struct informer_handler){ budget_changed, c });
	informer_add_handler(c->pods, &(struct informer_handler){ pod_changed, c });
	struct informer *const owners[] = { c->sets, c->deployments, c->statefulsets, c->controllers };
	for (size_t i = 0; i < ARRAY_LEN(owners); i++)
		informer_add_handler(owners[i], &(struct informer_handler){ owner_changed, c });
	return c;
}

void disruption_run(void *self)
{
	struct disruption *c = self;
	workqueue_run(c->queue, "disruption", 1, reconcile, c);
}
