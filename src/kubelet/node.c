#include "kubelet/node.h"

#include "kubelet/pleg.h"
#include "kubelet/status.h"
#include "object/meta.h"
#include "schema/quantity.h"

#define RETRY_MS 200        // until the node is registered
#define CHECK_FAST_MS 100   // while the runtime or its network is not ready
#define CHECK_MS 5000
#define IMAGES_NS (60 * NS_PER_SEC)

struct node_state {
	struct task *status, *lease, *check;
	bool registered;
	struct arena *arena;                // of `known`
	struct core_v1_Node *known;         // as the API has it after the last write
	int64_t sent_mono;
	struct arena *images_arena;
	struct core_v1_ContainerImage_list images;
	int64_t images_mono;
	struct arena *lease_arena;
	struct coordination_v1_Lease *held; // after the last write; NULL: to be looked up
	bool told_ready;
	atomic_bool is_registered;
	bool pod_cidr_told;
};

static void label(struct arena *a, struct str_map *m, const char *key, str value)
{
	str_map_set(a, m, str_c(key), value);
}

static void labels_of(struct kubelet *k, struct arena *a, const struct core_v1_NodeSystemInfo *info, struct str_map *out)
{
	label(a, out, "beta.kubernetes.io/arch", info->architecture);
	label(a, out, "beta.kubernetes.io/os", info->operatingSystem);
	label(a, out, "kubernetes.io/arch", info->architecture);
	label(a, out, "kubernetes.io/hostname", k->node_name);
	label(a, out, "kubernetes.io/os", info->operatingSystem);
	for (size_t i = 0; i < k->cfg.node_labels.n; i++)
		str_map_set(a, out, k->cfg.node_labels.v[i].key, k->cfg.node_labels.v[i].value);
}

static void condition(struct arena *a, struct core_v1_NodeStatus *s, const struct core_v1_NodeStatus *old, struct api_time now, const char *type,
                      bool status, const char *reason, str message)
{
	struct core_v1_NodeCondition *c = LIST_ADD(a, &s->conditions);
	*c = (struct core_v1_NodeCondition){ .type = str_c(type), .status = status ? S("True") : S("False"), .reason = str_c(reason),
	                                     .message = message, .lastHeartbeatTime = now, .lastTransitionTime = now };
	for (size_t i = 0; old && i < old->conditions.n; i++)
		if (str_eqc(old->conditions.v[i].type, type) && str_eq(old->conditions.v[i].status, c->status))
			c->lastTransitionTime = old->conditions.v[i].lastTransitionTime;
}

static void refresh_images(struct kubelet *k)
{
	struct node_state *n = k->node_state;
	int64_t now = clock_mono(k->clock);
	if (n->images_arena && now - n->images_mono < IMAGES_NS)
		return;
	arena_free(n->images_arena);
	n->images_arena = arena_new(1024);
	n->images = (struct core_v1_ContainerImage_list){ 0 };
	n->images_mono = now;
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct core_v1_NodeStatus s = { 0 };
	node_images(k, a, &s.images);
	n->images = ((struct core_v1_NodeStatus *)schema_clone(n->images_arena, core_v1_NodeStatus_desc, &s))->images;
}

// What the status is now; conditions that others wrote (NetworkUnavailable) are kept.
static void make_status(struct kubelet *k, struct arena *a, const struct core_v1_NodeStatus *old, struct core_v1_NodeStatus *s)
{
	struct error err = { 0 };
	struct api_time now = api_time_now(clock_wall(k->clock));
	bool memory, disk, pids;
	*s = (struct core_v1_NodeStatus){ 0 };
	if (old)
		*s = *old;
	s->conditions = (struct core_v1_NodeCondition_list){ 0 };
	s->addresses = (struct core_v1_NodeAddress_list){ 0 };
	for (size_t i = 0; i < k->host_ips.n; i++)
		*LIST_ADD(a, &s->addresses) = (struct core_v1_NodeAddress){ S("InternalIP"), k->host_ips.v[i] };
	*LIST_ADD(a, &s->addresses) = (struct core_v1_NodeAddress){ S("Hostname"), k->node_name };
	s->daemonEndpoints.kubeletEndpoint.Port = k->cfg.port;
	node_capacity(k, a, &s->capacity, &s->allocatable, &err);
	node_system_info(k, a, &s->nodeInfo);
	s->images = k->node_state->images;
	s->features = ARENA_NEW(a, struct core_v1_NodeFeatures);
	s->features->supplementalGroupsPolicy = ARENA_NEW(a, bool);
	*s->features->supplementalGroupsPolicy = true; // both runtimes that this kubelet is tested with keep the policy

	node_pressure(k, &memory, &disk, &pids);
	for (size_t i = 0; old && i < old->conditions.n; i++) {
		str t = old->conditions.v[i].type;
		if (!str_eqc(t, "MemoryPressure") && !str_eqc(t, "DiskPressure") && !str_eqc(t, "PIDPressure") && !str_eqc(t, "Ready"))
			*LIST_ADD(a, &s->conditions) = old->conditions.v[i];
	}
	condition(a, s, old, now, "MemoryPressure", memory, memory ? "KubeletHasInsufficientMemory" : "KubeletHasSufficientMemory",
	          memory ? S("kubelet has insufficient memory available") : S("kubelet has sufficient memory available"));
	condition(a, s, old, now, "DiskPressure", disk, disk ? "KubeletHasDiskPressure" : "KubeletHasNoDiskPressure",
	          disk ? S("kubelet has disk pressure") : S("kubelet has no disk pressure"));
	condition(a, s, old, now, "PIDPressure", pids, pids ? "KubeletHasInsufficientPID" : "KubeletHasSufficientPID",
	          pids ? S("kubelet has insufficient PID available") : S("kubelet has sufficient PID available"));
	pthread_mutex_lock(&k->lock);
	bool ready = k->runtime_ready && k->network_ready;
	str why = arena_dup(a, str_c(!k->runtime_ready ? k->runtime_problem : k->network_problem));
	pthread_mutex_unlock(&k->lock);
	condition(a, s, old, now, "Ready", ready, ready ? "KubeletReady" : "KubeletNotReady",
	          ready ? S("kubelet is posting ready status") : why);
	if (ready != k->node_state->told_ready) {
		struct meta_v1_ObjectMeta about = { .name = k->node_name, .uid = k->node_name };
		recorder_event(k->recorder, k->r_nodes, &about, S(""), "Normal", ready ? "NodeReady" : "NodeNotReady",
		               "Node " STR_FMT " status is now: %s", STR_ARG(k->node_name), ready ? "NodeReady" : "NodeNotReady");
		k->node_state->told_ready = ready;
	}
}

static void keep(struct kubelet *k, const struct core_v1_Node *node)
{
	struct node_state *n = k->node_state;
	struct arena *fresh = arena_new(2048);
	struct core_v1_Node *copy = schema_clone(fresh, core_v1_Node_desc, node);
	arena_free(n->arena);
	n->arena = fresh;
	n->known = copy;
	n->sent_mono = clock_mono(k->clock);
}

// A node that was there before keeps its spec; labels that are ours are made right.
static bool adopt(struct kubelet *k, struct arena *a, const struct str_map *labels, struct error *err)
{
	struct core_v1_Node *node = client_get(k->client, a, k->r_nodes, S(""), k->node_name, err);
	if (!node)
		return false;
	struct value *patch = value_object(a), *meta = value_object(a), *changed = value_object(a);
	for (size_t i = 0; i < labels->n; i++) {
		str value;
		if (!str_map_find(&node->metadata.labels, labels->v[i].key, &value) || !str_eq(value, labels->v[i].value))
			value_set(a, changed, labels->v[i].key, value_string(a, labels->v[i].value));
	}
	if (changed->o.n) {
		value_set(a, meta, S("labels"), changed);
		value_set(a, patch, S("metadata"), meta);
		node = client_patch(k->client, a, k->r_nodes, NULL, S(""), k->node_name, PATCH_STRATEGIC, json_text(a, patch, JSON_COMPACT), err);
		if (!node)
			return false;
	}
	keep(k, node);
	k->node_state->sent_mono = 0; // its status is from before
	return true;
}

static bool register_node(struct kubelet *k, struct arena *a, struct error *err)
{
	struct core_v1_Node node = { .metadata = { .name = k->node_name } };
	make_status(k, a, NULL, &node.status);
	labels_of(k, a, &node.status.nodeInfo, &node.metadata.labels);
	str_map_set(a, &node.metadata.annotations, S("volumes.kubernetes.io/controller-managed-attach-detach"), S("true"));
	node.spec.taints = k->cfg.taints;
	if (k->cfg.pod_cidr) {
		node.spec.podCIDR = str_c(k->cfg.pod_cidr);
		*LIST_ADD(a, &node.spec.podCIDRs) = node.spec.podCIDR;
	}
	if (!k->cfg.register_node)
		return adopt(k, a, &node.metadata.labels, err);
	struct core_v1_Node *made = client_create(k->client, a, k->r_nodes, S(""), &node, err);
	if (made) {
		keep(k, made);
		log_info("node " STR_FMT " is registered", STR_ARG(k->node_name));
		return true;
	}
	return err->code == 409 && adopt(k, a, &node.metadata.labels, err);
}

// Whether anything but heartbeats differs.
static bool differs(struct arena *a, const struct core_v1_NodeStatus *old, const struct core_v1_NodeStatus *s)
{
	struct core_v1_NodeStatus x = *old, y = *s;
	struct core_v1_NodeCondition_list *lists[] = { &x.conditions, &y.conditions };
	for (size_t l = 0; l < 2; l++) {
		struct core_v1_NodeCondition *v = ARENA_ARRAY(a, struct core_v1_NodeCondition, lists[l]->n + 1);
		for (size_t i = 0; i < lists[l]->n; i++) {
			v[i] = lists[l]->v[i];
			v[i].lastHeartbeatTime = (struct api_time){ 0 };
		}
		lists[l]->v = v;
	}
	return !schema_equal(core_v1_NodeStatus_desc, &x, &y);
}

// The range of pod addresses reaches the runtime's network configuration this way where it comes from the API.
static void tell_pod_cidr(struct kubelet *k, struct arena *a)
{
	struct node_state *n = k->node_state;
	_cleanup_object_ struct object_ref *ref = k->node ? informer_get(k->node, S(""), k->node_name) : NULL;
	const struct core_v1_Node *node = ref ? object_of(ref) : n->known;
	struct error err = { 0 };
	if (n->pod_cidr_told || !node || !node->spec.podCIDR.n)
		return;
	struct cri_v1_NetworkConfig network = { .pod_cidr = node->spec.podCIDR };
	struct cri_v1_RuntimeConfig config = { .network_config = &network };
	struct cri_v1_UpdateRuntimeConfigRequest r = { .runtime_config = &config };
	n->pod_cidr_told = CRI(&k->cri, a, UpdateRuntimeConfig, &r, 5000, &err) || err.sys == GRPC_UNIMPLEMENTED;
}

static bool send_status(struct kubelet *k, struct arena *a, struct error *err)
{
	static const struct merge_key keys[] = { { "conditions", "type" }, { "addresses", "$replace" } };
	struct node_state *n = k->node_state;
	struct core_v1_NodeStatus now;
	_cleanup_object_ struct object_ref *ref = k->node ? informer_get(k->node, S(""), k->node_name) : NULL;
	int64_t known_version = 0, version = 0;
	// The informer's copy, where it is newer than our own last write: others write conditions, too.
	str_to_i64(n->known->metadata.resourceVersion, &known_version);
	if (ref && str_to_i64(object_ref_meta(ref)->resourceVersion, &version) && version > known_version) {
		int64_t sent = n->sent_mono;
		keep(k, object_of(ref));
		n->sent_mono = sent;
	}
	refresh_images(k);
	make_status(k, a, &n->known->status, &now);
	bool due = clock_mono(k->clock) - n->sent_mono >= k->cfg.status_report_ms * NS_PER_MS;
	if (!due && !differs(a, &n->known->status, &now))
		return true;
	str patch = status_diff(a, S(""), core_v1_NodeStatus_desc, &n->known->status, &now, keys, ARRAY_LEN(keys));
	if (!patch.n)
		return true;
	struct core_v1_Node *node = client_patch(k->client, a, k->r_nodes, "status", S(""), k->node_name, PATCH_STRATEGIC, patch, err);
	if (!node)
		return false;
	keep(k, node);
	return true;
}

static void status_run(void *ctx)
{
	struct kubelet *k = ctx;
	struct node_state *n = k->node_state;
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	bool ok = n->registered ? send_status(k, a, &err) : register_node(k, a, &err);
	if (!ok) {
		log_warn("node " STR_FMT ": %s", STR_ARG(k->node_name), err.text);
		if (err.code == 404)
			n->registered = false; // somebody deleted it
		task_after(n->status, n->registered ? 2000 : RETRY_MS);
		return;
	}
	bool first = !n->registered;
	n->registered = true;
	atomic_store(&n->is_registered, true);
	tell_pod_cidr(k, a);
	task_after(n->status, first ? 0 : k->cfg.status_ms);
}

// --- The lease -----------------------------------------------------------------------------------------------------------

static bool renew(struct kubelet *k, struct arena *a, struct error *err)
{
	struct node_state *n = k->node_state;
	struct api_time now = api_microtime_now(clock_wall(k->clock));
	int32_t seconds = k->cfg.lease_seconds;
	struct coordination_v1_Lease *lease = n->held, *answer;
	if (!lease) {
		lease = client_get(k->client, a, k->r_leases, S("kube-node-lease"), k->node_name, err);
		if (!lease && err->code != 404)
			return false;
	}
	bool fresh = !lease;
	struct coordination_v1_Lease body = { .metadata = { .name = k->node_name, .namespace = S("kube-node-lease") } };
	if (!fresh)
		body = *lease;
	body.spec.holderIdentity = &k->node_name;
	body.spec.leaseDurationSeconds = &seconds;
	body.spec.renewTime = &now;
	if (body.metadata.ownerReferences.n == 0 && n->known && n->known->metadata.uid.n)
		*LIST_ADD(a, &body.metadata.ownerReferences) = (struct meta_v1_OwnerReference){ .apiVersion = S("v1"), .kind = S("Node"),
		                                                                               .name = k->node_name, .uid = n->known->metadata.uid };
	answer = fresh ? client_create(k->client, a, k->r_leases, S("kube-node-lease"), &body, err)
	               : client_update(k->client, a, k->r_leases, NULL, &body, err);
	struct arena *old = n->lease_arena;
	n->lease_arena = answer ? arena_new(512) : NULL;
	n->held = answer ? schema_clone(n->lease_arena, coordination_v1_Lease_desc, answer) : NULL;
	arena_free(old);
	return answer != NULL;
}

static void lease_run(void *ctx)
{
	struct kubelet *k = ctx;
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	bool ok = renew(k, a, &err);
	if (!ok)
		log_warn("lease: %s", err.text);
	task_after(k->node_state->lease, ok ? k->cfg.lease_seconds * 1000 / 4 : RETRY_MS);
}

// --- The runtime's health --------------------------------------------------------------------------------------------------

static void check_run(void *ctx)
{
	struct kubelet *k = ctx;
	if (runtime_check(k))
		task_now(k->node_state->status);
	pthread_mutex_lock(&k->lock);
	bool ready = k->runtime_ready && k->network_ready;
	pthread_mutex_unlock(&k->lock);
	bool young = clock_mono(k->clock) - k->started_mono < 60 * NS_PER_SEC;
	task_after(k->node_state->check, ready ? CHECK_MS : young ? CHECK_FAST_MS : CHECK_MS / 5);
}

bool node_probe(struct kubelet *k, struct error *err)
{
	struct quantity_map capacity;
	if (!node_capacity(k, k->arena, &capacity, &k->allocatable, err) || !node_addresses(k, k->arena, &k->host_ips, err))
		return false;
	k->prefer_v6 = ip_is_v6(k->host_ips.v[0]);
	return true;
}

void node_start(struct kubelet *k)
{
	struct node_state *n = ARENA_NEW(k->arena, struct node_state);
	k->node_state = n;
	atomic_init(&n->is_registered, false);
	n->status = task_new(k->tasks, status_run, k);
	n->lease = task_new(k->tasks, lease_run, k);
	n->check = task_new(k->tasks, check_run, k);
	struct meta_v1_ObjectMeta about = { .name = k->node_name, .uid = k->node_name };
	recorder_event(k->recorder, k->r_nodes, &about, S(""), "Normal", "Starting", "Starting kubelet.");
	task_now(n->status);
	task_now(n->lease);
	task_after(n->check, CHECK_FAST_MS);
}

void node_hurry(struct kubelet *k)
{
	task_now(k->node_state->status);
}

bool node_registered(struct kubelet *k)
{
	return k->node_state && atomic_load(&k->node_state->is_registered);
}
