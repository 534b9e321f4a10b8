// The health of nodes: who has not been heard of is Unknown, conditions become taints, pods on silent nodes are not ready.
// Rule: upstream pkg/controller/nodelifecycle. One worker does all of it: a node is looked at when it changes, and every
// monitor period, because silence is no event.
#include "base/heap.h"
#include "base/log.h"
#include "controllers/node_util.h"

#define COMPONENT "node-controller"
#define TICK S("//tick")

enum { STARTUP_GRACE_S = 60, LARGE_CLUSTER = 50, RETRIES = 5 };
static const double eviction_rate = 0.1, secondary_rate = 0.01; // nodes a second, per zone
static const double unhealthy_zone = 0.55;

enum zone_state { ZONE_INITIAL, ZONE_NORMAL, ZONE_PARTIAL, ZONE_FULL };
struct zone {
	enum zone_state state;
	int ready, not_ready; // counted in each tick
	double rate, tokens;  // of NoExecute taints
	int64_t refilled;     // monotonic
};

struct health {
	char *uid;
	int64_t probed;           // monotonic: when it was last heard of
	int64_t lease, heartbeat; // renewTime of the lease and heartbeat of Ready, as last seen
	bool seen_this_tick;
};

struct node_lifecycle {
	struct manager *m;
	struct informer *nodes, *pods, *leases;
	struct workqueue *queue;
	// The worker's own.
	struct map health; // node -> struct health
	struct map zones;  // region and zone -> struct zone
	bool all_disrupted;
};

static void node_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct node_lifecycle *c = ctx;
	queue_object(c->queue, changed_object(old, obj));
}

static str zone_key(struct arena *a, const struct core_v1_Node *n)
{
	return arena_concat(a, str_map_get(&n->metadata.labels, S("topology.kubernetes.io/region")), S(":"),
	                    str_map_get(&n->metadata.labels, S("topology.kubernetes.io/zone")));
}

static struct zone *zone_of(struct node_lifecycle *c, struct arena *a, const struct core_v1_Node *n)
{
	str key = zone_key(a, n);
	struct zone *z = map_get(&c->zones, key);
	if (!z) {
		map_put(&c->zones, key, z = HEAP_NEW(struct zone));
		z->rate = eviction_rate;
		z->tokens = 1;
		z->refilled = clock_mono(c->m->clock);
	}
	return z;
}

static bool zone_allows(struct node_lifecycle *c, struct zone *z)
{
	int64_t now = clock_mono(c->m->clock);
	z->tokens = MIN(1.0, z->tokens + (double)(now - z->refilled) / (double)NS_PER_SEC * z->rate);
	z->refilled = now;
	if (z->rate <= 0 || z->tokens < 1)
		return false;
	z->tokens -= 1;
	return true;
}

static void node_event(struct node_lifecycle *c, const struct core_v1_Node *n, const char *reason, str message)
{
	struct meta_v1_ObjectMeta ref = { .name = n->metadata.name, .uid = n->metadata.uid };
	EVENT(c->m, COMPONENT, c->m->r.nodes, &ref, "Normal", reason, STR_FMT, STR_ARG(message));
}

// --- Heartbeats ---

static int64_t time_ns(struct api_time t)
{
	return t.sec * NS_PER_SEC + t.nsec;
}

// When the node was last heard of: by its status or by its lease.
static struct health *update_health(struct node_lifecycle *c, struct arena *a, const struct core_v1_Node *n)
{
	struct health *h = map_get(&c->health, n->metadata.name);
	int64_t now = clock_mono(c->m->clock);
	if (h && !str_eqc(n->metadata.uid, h->uid)) {
		map_del(&c->health, n->metadata.name);
		free(h->uid);
		free(h);
		h = NULL;
	}
	const struct core_v1_NodeCondition *ready = node_condition(n, S("Ready"));
	int64_t heartbeat = ready ? time_ns(ready->lastHeartbeatTime) : 0;
	if (!h) {
		map_put(&c->health, n->metadata.name, h = HEAP_NEW(struct health));
		h->uid = heap_cstr(n->metadata.uid);
		h->probed = now;
		h->heartbeat = heartbeat;
		node_event(c, n, "RegisteredNode",
		           arena_printf(a, "Node " STR_FMT " event: Registered Node " STR_FMT " in Controller",
		                        STR_ARG(n->metadata.name), STR_ARG(n->metadata.name)));
	} else if (heartbeat != h->heartbeat) {
		h->heartbeat = heartbeat;
		h->probed = now;
	}
	const struct coordination_v1_Lease *lease = held_get(a, c->leases, S("kube-node-lease"), n->metadata.name);
	if (lease && lease->spec.renewTime && time_ns(*lease->spec.renewTime) > h->lease) {
		h->lease = time_ns(*lease->spec.renewTime);
		h->probed = now;
	}
	return h;
}

static bool write_unknown(struct node_lifecycle *c, struct arena *a, const struct core_v1_Node *n,
                          const struct core_v1_Node **out, struct error *err)
{
	static const str types[] = { S_INIT("Ready"), S_INIT("MemoryPressure"), S_INIT("DiskPressure"),
		                     S_INIT("PIDPressure") };
	struct core_v1_Node *copy = schema_clone(a, core_v1_Node_desc, n);
	bool changed = false;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct core_v1_NodeCondition *have = (struct core_v1_NodeCondition *)node_condition(copy, types[i]);
		if (!have) {
			*LIST_ADD(a, &copy->status.conditions) =
			        (struct core_v1_NodeCondition){ .type = types[i],
				                                .status = S("Unknown"),
				                                .reason = S("NodeStatusNeverUpdated"),
				                                .message = S("Kubelet never posted node status."),
				                                .lastHeartbeatTime = n->metadata.creationTimestamp,
				                                .lastTransitionTime = now_time(c->m) };
			changed = true;
		} else if (!str_eq(have->status, S("Unknown"))) {
			have->status = S("Unknown");
			have->reason = S("NodeStatusUnknown");
			have->message = S("Kubelet stopped posting node status.");
			have->lastTransitionTime = now_time(c->m);
			changed = true;
		}
	}
	*out = n;
	if (!changed)
		return true;
	*out = client_update(c->m->client, a, c->m->r.nodes, "status", copy, err);
	return *out != NULL;
}

static bool mark_pods_not_ready(struct node_lifecycle *c, struct arena *a, str node, struct error *err)
{
	struct held pods = held_by_index(a, c->pods, INDEX_NODE, node);
	bool ok = true;
	for (size_t i = 0; i < pods.n; i++) {
		const struct core_v1_Pod *p = pods.v[i];
		if (!pod_is_ready(p))
			continue;
		struct core_v1_Pod *copy = schema_clone(a, core_v1_Pod_desc, p);
		struct core_v1_PodCondition *ready = (struct core_v1_PodCondition *)pod_condition(copy, S("Ready"));
		ready->status = S("False");
		ready->lastTransitionTime = now_time(c->m);
		struct error e = { 0 };
		if (!client_update(c->m->client, a, c->m->r.pods, "status", copy, &e)) {
			if (e.code == 404)
				continue;
			*err = e;
			ok = false;
		}
		EVENT(c->m, COMPONENT, c->m->r.pods, &p->metadata, "Warning", "NodeNotReady", "Node is not ready");
	}
	return ok;
}

// --- Taints ---

static bool reconcile_taints(struct node_lifecycle *c, struct arena *a, const struct core_v1_Node *n, struct error *err)
{
	const struct core_v1_NodeCondition *ready = node_condition(n, S("Ready"));
	str status = ready ? ready->status : S("");
	struct api_time now = now_time(c->m);
	struct core_v1_Taint_list want = { 0 }, out = { 0 };
	wanted_no_schedule(a, n, now, &want);
	// NoExecute follows Ready: an opposite taint is swapped at once, a first one is subject to the zone's rate.
	bool not_ready = has_taint(&n->spec.taints, TAINT_NOT_READY, S("NoExecute")),
	     unreachable = has_taint(&n->spec.taints, TAINT_UNREACHABLE, S("NoExecute"));
	str no_execute = str_eq(status, S("False"))     ? TAINT_NOT_READY
	                 : str_eq(status, S("Unknown")) ? TAINT_UNREACHABLE
	                                                : S("");
	if (c->all_disrupted)
		no_execute = S(""); // when nobody is well it is rather we who are not
	if (no_execute.n && !not_ready && !unreachable && !zone_allows(c, zone_of(c, a, n)))
		no_execute = S("");
	bool changed = false;
	for (size_t i = 0; i < n->spec.taints.n; i++) {
		const struct core_v1_Taint *t = &n->spec.taints.v[i];
		bool drop = false;
		if (is_condition_taint(t))
			drop = !has_taint(&want, t->key, t->effect);
		else if (taint_is(t, TAINT_NOT_READY, S("NoExecute")) || taint_is(t, TAINT_UNREACHABLE, S("NoExecute")))
			drop = status.n && !str_eq(t->key, no_execute);
		if (drop)
			changed = true;
		else
			*LIST_ADD(a, &out) = *t;
	}
	for (size_t i = 0; i < want.n; i++)
		if (!has_taint(&n->spec.taints, want.v[i].key, want.v[i].effect)) {
			*LIST_ADD(a, &out) = want.v[i];
			changed = true;
		}
	if (no_execute.n && !has_taint(&out, no_execute, S("NoExecute"))) {
		struct core_v1_Taint *t = LIST_ADD(a, &out);
		t->key = no_execute;
		t->effect = S("NoExecute");
		t->timeAdded = ARENA_NEW(a, struct api_time);
		*t->timeAdded = now;
		changed = true;
	}
	return !changed || write_taints(c->m, a, n, &out, err);
}

// The beta labels of architecture and system follow the ones that replaced them.
static bool reconcile_labels(struct node_lifecycle *c, struct arena *a, const struct core_v1_Node *n, struct error *err)
{
	static const struct {
		str from, to;
	} pairs[] = { { S_INIT("kubernetes.io/os"), S_INIT("beta.kubernetes.io/os") },
		      { S_INIT("kubernetes.io/arch"), S_INIT("beta.kubernetes.io/arch") } };
	struct value *labels = value_object(a);
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		str v;
		if (str_map_find(&n->metadata.labels, pairs[i].from, &v) &&
		    !str_eq(str_map_get(&n->metadata.labels, pairs[i].to), v))
			value_set(a, labels, pairs[i].to, value_string(a, v));
	}
	if (labels->o.n == 0)
		return true;
	struct value *meta = value_object(a), *root = value_object(a);
	value_set(a, meta, S("labels"), labels);
	value_set(a, root, S("metadata"), meta);
	return client_patch(c->m->client, a, c->m->r.nodes, NULL, S(""), n->metadata.name, PATCH_MERGE,
	                    json_text(a, root, JSON_COMPACT), err) != NULL;
}

// --- Reconcile ---

static void forget(struct node_lifecycle *c, struct arena *a, str name)
{
	struct health *h = map_del(&c->health, name);
	if (!h)
		return;
	struct core_v1_Node gone = { .metadata = { .name = name, .uid = str_c(h->uid) } };
	node_event(c, &gone, "RemovingNode",
	           arena_printf(a, "Node " STR_FMT " event: Removing Node " STR_FMT " from Controller", STR_ARG(name),
	                        STR_ARG(name)));
	free(h->uid);
	free(h);
}

static bool reconcile_node(struct node_lifecycle *c, struct arena *a, str name, struct error *err)
{
	const struct core_v1_Node *n = held_get(a, c->nodes, S(""), name);
	if (!n) {
		forget(c, a, name);
		return true;
	}
	const struct health *h = update_health(c, a, n);
	const struct core_v1_NodeCondition *ready = node_condition(n, S("Ready"));
	int64_t grace = ready ? c->m->options->node_monitor_grace_s : STARTUP_GRACE_S;
	if (clock_mono(c->m->clock) - h->probed > grace * NS_PER_SEC) {
		bool was_ready = ready && str_eq(ready->status, S("True"));
		if (!write_unknown(c, a, n, &n, err))
			return false;
		if (was_ready) {
			node_event(c, n, "NodeNotReady",
			           arena_printf(a, "Node " STR_FMT " status is now: NodeNotReady", STR_ARG(name)));
			struct error e = { 0 };
			if (!mark_pods_not_ready(c, a, name, &e))
				log_warn("node " STR_FMT ": %s", STR_ARG(name), e.text);
		}
	}
	return reconcile_taints(c, a, n, err) && reconcile_labels(c, a, n, err);
}

static void judge_zones(struct node_lifecycle *c, struct arena *a, struct held nodes)
{
	for (struct map_slot *s = NULL; (s = map_each(&c->zones, s));)
		((struct zone *)s->value)->ready = ((struct zone *)s->value)->not_ready = 0;
	for (size_t i = 0; i < nodes.n; i++) {
		const struct core_v1_Node *n = nodes.v[i];
		const struct core_v1_NodeCondition *ready = node_condition(n, S("Ready"));
		struct zone *z = zone_of(c, a, n);
		if (str_map_find(&n->metadata.labels, S("node.kubernetes.io/exclude-disruption"), &(str){ 0 }))
			continue;
		*(ready && str_eq(ready->status, S("True")) ? &z->ready : &z->not_ready) += 1;
	}
	bool all = nodes.n > 0;
	for (struct map_slot *s = NULL; (s = map_each(&c->zones, s));) {
		struct zone *z = s->value;
		int total = z->ready + z->not_ready;
		enum zone_state now = z->ready == 0 && z->not_ready > 0 ? ZONE_FULL
		                      : z->not_ready > 2 && (double)z->not_ready / total >= unhealthy_zone
		                              ? ZONE_PARTIAL
		                              : ZONE_NORMAL;
		all &= now == ZONE_FULL || total == 0;
		if (now != z->state && total > 0)
			z->rate = now == ZONE_PARTIAL ? (total > LARGE_CLUSTER ? secondary_rate : 0) : eviction_rate;
		z->state = now;
	}
	if (all != c->all_disrupted && nodes.n > 0)
		log_info("node lifecycle: %s",
		         all ? "all nodes are not ready; no evictions until one is" : "some nodes are ready again");
	if (c->all_disrupted && !all)
		for (struct map_slot *s = NULL; (s = map_each(&c->health, s));)
			((struct health *)s->value)->probed =
			        clock_mono(c->m->clock); // nobody is to blame for the silence
	c->all_disrupted = all;
}

static bool reconcile(void *ctx, struct arena *a, str key, struct error *err)
{
	struct node_lifecycle *c = ctx;
	if (!str_eq(key, TICK))
		return reconcile_node(c, a, key, err) || err->code == 404;
	struct held nodes = held_list(a, c->nodes);
	judge_zones(c, a, nodes);
	for (size_t i = 0; i < nodes.n; i++) {
		struct error e = { 0 };
		str name = ((const any_object *)nodes.v[i])->metadata.name;
		if (!reconcile_node(c, a, name, &e) && e.code != 404)
			workqueue_add_rate_limited(c->queue, name);
	}
	workqueue_add_after(c->queue, TICK, c->m->options->node_monitor_period_s * 1000);
	return true;
}

void *node_lifecycle_setup(struct manager *m)
{
	struct node_lifecycle *c = ARENA_NEW(m->arena, struct node_lifecycle);
	*c = (struct node_lifecycle){ .m = m,
		                      .nodes = manager_informer(m, m->r.nodes),
		                      .pods = manager_informer(m, m->r.pods),
		                      .leases = manager_informer(m, m->r.leases),
		                      .queue = manager_queue(m) };
	informer_add_index(c->pods, INDEX_NODE, index_node);
	informer_add_handler(c->nodes, &(struct informer_handler){ node_changed, c });
	workqueue_add_after(c->queue, TICK, m->options->node_monitor_period_s * 1000);
	return c;
}

void node_lifecycle_run(void *self)
{
	struct node_lifecycle *c = self;
	workqueue_run(c->queue, "node-lifecycle", 1, reconcile, c);
}
