// The RuntimeService of CRI v1: messages in, messages out; the work is done elsewhere.
#include "base/log.h"
#include "runtime/server.h"

#define REQUEST(T) \
	struct cri_v1_##T *req = schema_from_pb(a, cri_v1_##T##_desc, request, err); \
	if (!req) \
	return rpc_error(err, GRPC_INTERNAL, "grpc: failed to unmarshal the received message: %s", err->text)
#define RESPONSE(T, r) schema_to_pb(response, cri_v1_##T##_desc, (r))
#define HANDLER(name) \
	static bool name(struct grpc_server_call *call, struct arena *a, str request, struct buf *response, void *ctx, struct error *err)
#define UNUSED (void)call, (void)a, (void)request, (void)response, (void)ctx, (void)err

HANDLER(version)
{
	UNUSED;
	struct cri_v1_VersionResponse r = {
		.version = S("0.1.0"), .runtime_name = S("coracle"), .runtime_version = S(CORACLE_VERSION), .runtime_api_version = S("v1"),
	};
	RESPONSE(VersionResponse, &r);
	return true;
}

HANDLER(runtime_status)
{
	UNUSED;
	struct runtime *rt = ctx;
	REQUEST(StatusRequest);
	struct cri_v1_StatusResponse r = { .status = ARENA_NEW(a, struct cri_v1_RuntimeStatus) };
	*LIST_ADD(a, &r.status->conditions) = (struct cri_v1_RuntimeCondition){ .type = S("RuntimeReady"), .status = true };
	struct cri_v1_RuntimeCondition *net = LIST_ADD(a, &r.status->conditions);
	*net = (struct cri_v1_RuntimeCondition){ .type = S("NetworkReady"), .status = true };
	struct cni_network n;
	struct error why = { 0 };
	if (!cni_load(a, rt->opts.cni_conf_dir, &n, &why)) {
		net->status = false;
		net->reason = S("NetworkPluginNotReady");
		net->message = arena_printf(a, "Network plugin returns error: %s", why.text);
	}
	static const char *const handlers[] = { "", "crun" };
	for (size_t i = 0; i < ARRAY_LEN(handlers); i++) {
		struct cri_v1_RuntimeHandler *h = LIST_ADD(a, &r.runtime_handlers);
		h->name = str_c(handlers[i]);
		h->features = ARENA_NEW(a, struct cri_v1_RuntimeHandlerFeatures);
		h->features->recursive_read_only_mounts = rt->recursive_read_only;
	}
	r.features = ARENA_NEW(a, struct cri_v1_RuntimeFeatures);
	r.features->supplemental_groups_policy = true;
	if (req->verbose) {
		str_map_set(a, &r.info, S("root"), str_c(rt->opts.root));
		str_map_set(a, &r.info, S("cgroup"), rt->cgroup_v2 ? S("v2") : S("v1"));
		str_map_set(a, &r.info, S("cni"), n.text);
	}
	RESPONSE(StatusResponse, &r);
	return true;
}

HANDLER(runtime_config)
{
	UNUSED;
	struct cri_v1_LinuxRuntimeConfiguration l = { .cgroup_driver = cri_v1_CgroupDriver_CGROUPFS };
	struct cri_v1_RuntimeConfigResponse r = { .linux_ = &l };
	RESPONSE(RuntimeConfigResponse, &r);
	return true;
}

HANDLER(update_runtime_config)
{
	UNUSED;
	REQUEST(UpdateRuntimeConfigRequest); // the pod range reaches the CNI configuration through whoever writes it
	struct cri_v1_UpdateRuntimeConfigResponse r = { 0 };
	RESPONSE(UpdateRuntimeConfigResponse, &r);
	return true;
}

// --- Sandboxes ---

HANDLER(run_sandbox)
{
	UNUSED;
	struct runtime *rt = ctx;
	REQUEST(RunPodSandboxRequest);
	struct sandbox *s = sandbox_run(rt, req, err);
	if (!s)
		return error_wrap(err, "failed to create sandbox"), rpc_end(err);
	struct cri_v1_RunPodSandboxResponse r = { .pod_sandbox_id = str_c(s->id) };
	RESPONSE(RunPodSandboxResponse, &r);
	sandbox_put(rt, s);
	return true;
}

HANDLER(stop_sandbox)
{
	UNUSED;
	struct runtime *rt = ctx;
	REQUEST(StopPodSandboxRequest);
	struct error gone = { 0 };
	struct sandbox *s = sandbox_get(rt, req->pod_sandbox_id, &gone);
	bool ok = !s || sandbox_stop(rt, s, err); // one that is not there is stopped
	if (s)
		sandbox_put(rt, s);
	struct cri_v1_StopPodSandboxResponse r = { 0 };
	RESPONSE(StopPodSandboxResponse, &r);
	return ok || rpc_end(err);
}

HANDLER(remove_sandbox)
{
	UNUSED;
	struct runtime *rt = ctx;
	REQUEST(RemovePodSandboxRequest);
	struct error gone = { 0 };
	struct sandbox *s = sandbox_get(rt, req->pod_sandbox_id, &gone);
	bool ok = !s || sandbox_remove(rt, s, err);
	if (s)
		sandbox_put(rt, s);
	struct cri_v1_RemovePodSandboxResponse r = { 0 };
	RESPONSE(RemovePodSandboxResponse, &r);
	return ok || rpc_end(err);
}

static void statuses_of(struct runtime *rt, struct arena *a, const char *sandbox_id, struct cri_v1_ContainerStatus_list *out)
{
	for (struct map_slot *slot = NULL; (slot = map_each(&rt->containers, slot));) {
		const struct container *c = slot->value;
		if (strcmp(c->sandbox_id, sandbox_id) == 0)
			container_status(a, c, LIST_ADD(a, out));
	}
}

HANDLER(sandbox_status_call)
{
	UNUSED;
	struct runtime *rt = ctx;
	REQUEST(PodSandboxStatusRequest);
	struct sandbox *s = sandbox_get(rt, req->pod_sandbox_id, err);
	if (!s)
		return rpc_end(err);
	struct cri_v1_PodSandboxStatusResponse r = { .status = ARENA_NEW(a, struct cri_v1_PodSandboxStatus), .timestamp = now() };
	if (req->verbose) {
		struct cni_network n;
		struct cni_attachment t;
		struct error why = { 0 };
		lock(rt);
		str network = s->network_up ? s->network : (str){ 0 }, result = s->result;
		unlock(rt);
		str_map_set(a, &r.info, S("cniResult"), result);
		if (network.n && cni_parse(a, network, true, &n, &why)) {
			sandbox_attachment(a, s, &t);
			bool fine = cni_check(a, &n, rt->opts.cni_bin_dirs, &t, result, &why);
			str_map_set(a, &r.info, S("cniCheck"), fine ? S("ok") : arena_dup(a, error_str(&why)));
		}
		str_map_set(a, &r.info, S("netns"), str_c(s->net_ns));
	}
	lock(rt);
	sandbox_status(a, s, r.status);
	statuses_of(rt, a, s->id, &r.containers_statuses);
	RESPONSE(PodSandboxStatusResponse, &r);
	unlock(rt);
	sandbox_put(rt, s);
	return true;
}

static bool labels_match(const struct str_map *have, const struct str_map *want)
{
	for (size_t i = 0; i < want->n; i++) {
		str value;
		if (!str_map_find(have, want->v[i].key, &value) || !str_eq(value, want->v[i].value))
			return false;
	}
	return true;
}

static bool id_matches(const char *id, str want)
{
	return want.n == 0 || str_has_prefix(str_c(id), want);
}

static void list_sandboxes_into(struct runtime *rt, struct arena *a, const struct cri_v1_PodSandboxFilter *f, struct cri_v1_PodSandbox_list *out)
{
	for (struct map_slot *slot = NULL; (slot = map_each(&rt->sandboxes, slot));) {
		const struct sandbox *s = slot->value;
		int state = s->ready ? cri_v1_PodSandboxState_SANDBOX_READY : cri_v1_PodSandboxState_SANDBOX_NOTREADY;
		if (!s->complete)
			continue;
		if (f && (!id_matches(s->id, f->id) || (f->state && f->state->state != state) || !labels_match(&s->config->labels, &f->label_selector)))
			continue;
		*LIST_ADD(a, out) = (struct cri_v1_PodSandbox){
			.id = str_c(s->id), .metadata = s->config->metadata, .state = state, .created_at = s->created, .labels = s->config->labels,
			.annotations = s->config->annotations, .runtime_handler = s->handler,
		};
	}
}

HANDLER(list_sandboxes)
{
	UNUSED;
	struct runtime *rt = ctx;
	REQUEST(ListPodSandboxRequest);
	struct cri_v1_ListPodSandboxResponse r = { 0 };
	lock(rt);
	list_sandboxes_into(rt, a, req->filter, &r.items);
	RESPONSE(ListPodSandboxResponse, &r);
	unlock(rt);
	return true;
}

HANDLER(update_sandbox_resources)
{
	UNUSED;
	struct runtime *rt = ctx;
	REQUEST(UpdatePodSandboxResourcesRequest);
	struct sandbox *s = sandbox_get(rt, req->pod_sandbox_id, err);
	if (!s)
		return rpc_end(err);
	// The pod's group is the kubelet's own; the runtime only keeps what it was told.
	lock(rt);
	if (req->resources)
		s->resources = schema_clone(s->arena, cri_v1_LinuxContainerResources_desc, req->resources);
	if (req->overhead)
		s->overhead = schema_clone(s->arena, cri_v1_LinuxContainerResources_desc, req->overhead);
	unlock(rt);
	bool ok = sandbox_save(rt, s, true, err);
	sandbox_put(rt, s);
	struct cri_v1_UpdatePodSandboxResourcesResponse r = { 0 };
	RESPONSE(UpdatePodSandboxResourcesResponse, &r);
	return ok || rpc_end(err);
}

// --- Containers ---

HANDLER(create_container)
{
	UNUSED;
	struct runtime *rt = ctx;
	REQUEST(CreateContainerRequest);
	struct container *c = container_create(rt, req, err);
	if (!c)
		return error_wrap(err, "failed to create container"), rpc_end(err);
	struct cri_v1_CreateContainerResponse r = { .container_id = str_c(c->id) };
	RESPONSE(CreateContainerResponse, &r);
	container_put(rt, c);
	return true;
}

HANDLER(start_container)
{
	UNUSED;
	struct runtime *rt = ctx;
	REQUEST(StartContainerRequest);
	struct container *c = container_get(rt, req->container_id, err);
	if (!c)
		return rpc_end(err);
	bool ok = container_start(rt, c, err);
	container_put(rt, c);
	struct cri_v1_StartContainerResponse r = { 0 };
	RESPONSE(StartContainerResponse, &r);
	return ok || rpc_end(err);
}

HANDLER(stop_container)
{
	UNUSED;
	struct runtime *rt = ctx;
	REQUEST(StopContainerRequest);
	struct error gone = { 0 };
	struct container *c = container_get(rt, req->container_id, &gone);
	bool ok = !c || container_stop(rt, c, req->timeout, err);
	if (c)
		container_put(rt, c);
	struct cri_v1_StopContainerResponse r = { 0 };
	RESPONSE(StopContainerResponse, &r);
	return ok || rpc_end(err);
}

HANDLER(remove_container)
{
	UNUSED;
	struct runtime *rt = ctx;
	REQUEST(RemoveContainerRequest);
	struct error gone = { 0 };
	struct container *c = container_get(rt, req->container_id, &gone);
	bool ok = !c || container_remove(rt, c, err);
	if (c)
		container_put(rt, c);
	struct cri_v1_RemoveContainerResponse r = { 0 };
	RESPONSE(RemoveContainerResponse, &r);
	return ok || rpc_end(err);
}

HANDLER(list_containers)
{
	UNUSED;
	struct runtime *rt = ctx;
	REQUEST(ListContainersRequest);
	const struct cri_v1_ContainerFilter *f = req->filter;
	struct cri_v1_ListContainersResponse r = { 0 };
	lock(rt);
	for (struct map_slot *slot = NULL; (slot = map_each(&rt->containers, slot));) {
		const struct container *c = slot->value;
		if (f && (!id_matches(c->id, f->id) || !id_matches(c->sandbox_id, f->pod_sandbox_id) || (f->state && f->state->state != c->state) ||
		          !labels_match(&c->config->labels, &f->label_selector)))
			continue;
		*LIST_ADD(a, &r.containers) = (struct cri_v1_Container){
			.id = str_c(c->id), .pod_sandbox_id = str_c(c->sandbox_id), .metadata = c->config->metadata, .image = c->config->image,
			.image_ref = c->image_id, .image_id = c->image_id, .state = c->state, .created_at = c->created, .labels = c->config->labels,
			.annotations = c->config->annotations,
		};
	}
	RESPONSE(ListContainersResponse, &r);
	unlock(rt);
	return true;
}

HANDLER(container_status_call)
{
	UNUSED;
	struct runtime *rt = ctx;
	REQUEST(ContainerStatusRequest);
	struct container *c = container_get(rt, req->container_id, err);
	if (!c)
		return rpc_end(err);
	struct cri_v1_ContainerStatusResponse r = { .status = ARENA_NEW(a, struct cri_v1_ContainerStatus) };
	lock(rt);
	container_status(a, c, r.status);
	if (req->verbose) {
		str_map_set(a, &r.info, S("bundle"), str_c(c->bundle));
		str_map_set(a, &r.info, S("cgroup"), c->cgroup);
		str_map_set(a, &r.info, S("pid"), arena_printf(a, "%d", (int)c->process.pid));
		str_map_set(a, &r.info, S("sandboxID"), str_c(c->sandbox_id));
	}
	RESPONSE(ContainerStatusResponse, &r);
	unlock(rt);
	container_put(rt, c);
	return true;
}

HANDLER(update_container_resources)
{
	UNUSED;
	struct runtime *rt = ctx;
	REQUEST(UpdateContainerResourcesRequest);
	struct container *c = container_get(rt, req->container_id, err);
	if (!c)
		return rpc_end(err);
	bool ok = !req->linux_ || container_update(rt, c, req->linux_, err);
	container_put(rt, c);
	struct cri_v1_UpdateContainerResourcesResponse r = { 0 };
	RESPONSE(UpdateContainerResourcesResponse, &r);
	return ok || rpc_end(err);
}

HANDLER(reopen_log)
{
	UNUSED;
	struct runtime *rt = ctx;
	REQUEST(ReopenContainerLogRequest);
	struct container *c = container_get(rt, req->container_id, err);
	if (!c)
		return rpc_end(err);
	bool ok = container_reopen_log(rt, c, err);
	container_put(rt, c);
	struct cri_v1_ReopenContainerLogResponse r = { 0 };
	RESPONSE(ReopenContainerLogResponse, &r);
	return ok || rpc_end(err);
}

HANDLER(exec_sync_call)
{
	UNUSED;
	REQUEST(ExecSyncRequest);
	struct cri_v1_ExecSyncResponse r = { 0 };
	if (!exec_sync(ctx, a, req, &r, err))
		return rpc_end(err);
	RESPONSE(ExecSyncResponse, &r);
	return true;
}

HANDLER(exec_call)
{
	UNUSED;
	REQUEST(ExecRequest);
	struct cri_v1_ExecResponse r = { 0 };
	if (!streaming_exec_url(ctx, a, req, &r.url, err))
		return rpc_end(err);
	RESPONSE(ExecResponse, &r);
	return true;
}

HANDLER(attach_call)
{
	UNUSED;
	return rpc_error(err, GRPC_UNIMPLEMENTED, "attach is not supported");
}

HANDLER(port_forward_call)
{
	UNUSED;
	return rpc_error(err, GRPC_UNIMPLEMENTED, "port-forward is not supported");
}

// --- Statistics ---

HANDLER(container_stats_call)
{
	UNUSED;
	struct runtime *rt = ctx;
	REQUEST(ContainerStatsRequest);
	struct container *c = container_get(rt, req->container_id, err);
	if (!c)
		return rpc_end(err);
	container_put_later(rt, a, c);
	struct cri_v1_ContainerStatsResponse r = { .stats = ARENA_NEW(a, struct cri_v1_ContainerStats) };
	container_stats(rt, a, c, r.stats);
	RESPONSE(ContainerStatsResponse, &r);
	return true;
}

HANDLER(list_container_stats)
{
	UNUSED;
	struct runtime *rt = ctx;
	REQUEST(ListContainerStatsRequest);
	const struct cri_v1_ContainerStatsFilter *f = req->filter;
	struct { struct container **v; size_t n; } l = { 0 };
	lock(rt);
	for (struct map_slot *slot = NULL; (slot = map_each(&rt->containers, slot));) {
		struct container *c = slot->value;
		if (c->state != cri_v1_ContainerState_CONTAINER_RUNNING ||
		    (f && (!id_matches(c->id, f->id) || !id_matches(c->sandbox_id, f->pod_sandbox_id) || !labels_match(&c->config->labels, &f->label_selector))))
			continue;
		c->refs++;
		*LIST_ADD(a, &l) = c;
	}
	unlock(rt);
	struct cri_v1_ListContainerStatsResponse r = { 0 };
	for (size_t i = 0; i < l.n; i++) {
		container_put_later(rt, a, l.v[i]);
		container_stats(rt, a, l.v[i], LIST_ADD(a, &r.stats));
	}
	RESPONSE(ListContainerStatsResponse, &r);
	return true;
}

HANDLER(sandbox_stats_call)
{
	UNUSED;
	struct runtime *rt = ctx;
	REQUEST(PodSandboxStatsRequest);
	struct sandbox *s = sandbox_get(rt, req->pod_sandbox_id, err);
	if (!s)
		return rpc_end(err);
	struct cri_v1_PodSandboxStatsResponse r = { .stats = ARENA_NEW(a, struct cri_v1_PodSandboxStats) };
	sandbox_stats(rt, a, s, r.stats);
	RESPONSE(PodSandboxStatsResponse, &r);
	sandbox_put(rt, s);
	return true;
}

HANDLER(list_sandbox_stats)
{
	UNUSED;
	struct runtime *rt = ctx;
	REQUEST(ListPodSandboxStatsRequest);
	const struct cri_v1_PodSandboxStatsFilter *f = req->filter;
	struct { struct sandbox **v; size_t n; } l = { 0 };
	lock(rt);
	for (struct map_slot *slot = NULL; (slot = map_each(&rt->sandboxes, slot));) {
		struct sandbox *s = slot->value;
		if (!s->ready || (f && (!id_matches(s->id, f->id) || !labels_match(&s->config->labels, &f->label_selector))))
			continue;
		s->refs++;
		*LIST_ADD(a, &l) = s;
	}
	unlock(rt);
	struct cri_v1_ListPodSandboxStatsResponse r = { 0 };
	for (size_t i = 0; i < l.n; i++)
		sandbox_stats(rt, a, l.v[i], LIST_ADD(a, &r.stats));
	RESPONSE(ListPodSandboxStatsResponse, &r);
	for (size_t i = 0; i < l.n; i++)
		sandbox_put(rt, l.v[i]);
	return true;
}

// Every method is here; those of the contract that are not built answer UNIMPLEMENTED by not being in the list.
#define RT(name, fn) { "/runtime.v1.RuntimeService/" name, fn, NULL }
static const struct grpc_method methods[] = {
	RT("Version", version),
	RT("Status", runtime_status),
	RT("RuntimeConfig", runtime_config),
	RT("UpdateRuntimeConfig", update_runtime_config),
	RT("RunPodSandbox", run_sandbox),
	RT("StopPodSandbox", stop_sandbox),
	RT("RemovePodSandbox", remove_sandbox),
	RT("PodSandboxStatus", sandbox_status_call),
	RT("ListPodSandbox", list_sandboxes),
	RT("UpdatePodSandboxResources", update_sandbox_resources),
	RT("CreateContainer", create_container),
	RT("StartContainer", start_container),
	RT("StopContainer", stop_container),
	RT("RemoveContainer", remove_container),
	RT("ListContainers", list_containers),
	RT("ContainerStatus", container_status_call),
	RT("UpdateContainerResources", update_container_resources),
	RT("ReopenContainerLog", reopen_log),
	RT("ExecSync", exec_sync_call),
	RT("Exec", exec_call),
	RT("Attach", attach_call),
	RT("PortForward", port_forward_call),
	RT("ContainerStats", container_stats_call),
	RT("ListContainerStats", list_container_stats),
	RT("PodSandboxStats", sandbox_stats_call),
	RT("ListPodSandboxStats", list_sandbox_stats),
	{ "/runtime.v1.RuntimeService/GetContainerEvents", NULL, events_stream },
};
const struct grpc_method *const cri_runtime_methods = methods;
const size_t cri_runtime_method_count = ARRAY_LEN(methods);
