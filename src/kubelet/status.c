#include "kubelet/status.h"

#include <stdlib.h>

#include "base/clock.h"
#include "kubelet/util.h"
#include "object/meta.h"

#define MESSAGES_MAX (12 * 1024) // of all containers of a pod together

static const char *const owned[] = { "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled",
                                     "PodResizePending", "PodResizeInProgress", "AllContainersRestarting" };

bool status_owns_condition(str type)
{
	for (size_t i = 0; i < ARRAY_LEN(owned); i++)
		if (str_eqc(type, owned[i]))
			return true;
	return false;
}

static bool terminal_phase(str phase)
{
	return str_eqc(phase, "Failed") || str_eqc(phase, "Succeeded");
}

static struct api_time time_of(int64_t ns)
{
	return ns > 0 ? api_time_now(ns) : (struct api_time){ 0 };
}

static struct core_v1_ContainerStateWaiting *waiting(struct arena *a, str reason, str message)
{
	struct core_v1_ContainerStateWaiting *w = ARENA_NEW(a, struct core_v1_ContainerStateWaiting);
	*w = (struct core_v1_ContainerStateWaiting){ .reason = reason, .message = message };
	return w;
}

static struct core_v1_ContainerStateTerminated *terminated(struct arena *a, int code, str reason, str message)
{
	struct core_v1_ContainerStateTerminated *t = ARENA_NEW(a, struct core_v1_ContainerStateTerminated);
	*t = (struct core_v1_ContainerStateTerminated){ .exitCode = code, .reason = reason, .message = message };
	return t;
}

// --- One container -----------------------------------------------------------------------------------------------------

static struct core_v1_ContainerStatus of_runtime(struct arena *a, const struct status_input *in, const struct core_v1_Container *spec,
                                                 const struct rt_container *c, const struct core_v1_ContainerStatus *old)
{
	struct core_v1_ContainerStatus s = {
		.name = c->name,
		.restartCount = c->restart_count,
		.image = c->image,
		.imageID = c->image_ref,
		.containerID = arena_concat(a, in->runtime_name, S("://"), c->id),
	};
	if (old) {
		s.volumeMounts = old->volumeMounts;
		s.restartCount = MAX(s.restartCount, old->restartCount);
		if (!str_eq(old->containerID, s.containerID) && old->state.terminated)
			s.lastState.terminated = old->state.terminated;
		else if (old->lastState.terminated)
			s.lastState.terminated = old->lastState.terminated;
	}
	switch (c->state) {
	case RT_RUNNING:
		s.state.running = ARENA_NEW(a, struct core_v1_ContainerStateRunning);
		s.state.running->startedAt = time_of(c->started_at);
		if (old && old->started && str_eq(old->containerID, s.containerID))
			s.started = old->started;
		break;
	case RT_EXITED:
		s.state.terminated = terminated(a, c->exit_code, c->reason, c->message);
		// One that could not be started "started" in 1970, as upstream says it.
		s.state.terminated->startedAt = (struct api_time){ .sec = c->started_at / NS_PER_SEC, .set = true };
		s.state.terminated->finishedAt = time_of(c->finished_at);
		s.state.terminated->containerID = s.containerID;
		// Its last words stood in the pod's directory, which may be gone by now.
		if (!c->message.n && old && old->state.terminated && str_eq(old->containerID, s.containerID))
			s.state.terminated->message = old->state.terminated->message;
		break;
	case RT_UNKNOWN:
		if (old && old->state.running) {
			s.state.terminated = terminated(a, 137, S("ContainerStatusUnknown"),
			                                S("The container could not be located when the pod was terminated"));
			s.restartCount = old->restartCount + 1;
			break;
		}
		s.state.waiting = waiting(a, S(""), S(""));
		break;
	case RT_CREATED:
		s.state.waiting = waiting(a, S(""), S(""));
		break;
	}
	s.resources = schema_clone(a, core_v1_ResourceRequirements_desc, &spec->resources);
	s.allocatedResources = spec->resources.requests;
	if (c->user && c->user->linux_) {
		s.user = ARENA_NEW(a, struct core_v1_ContainerUser);
		s.user->linux_ = ARENA_NEW(a, struct core_v1_LinuxContainerUser);
		s.user->linux_->uid = c->user->linux_->uid;
		s.user->linux_->gid = c->user->linux_->gid;
		s.user->linux_->supplementalGroups = c->user->linux_->supplemental_groups;
	}
	return s;
}

// The status before anything is known from the runtime.
static struct core_v1_ContainerStatus at_first(struct arena *a, const struct core_v1_Container *spec, const char *reason,
                                               const struct core_v1_ContainerStatus *old)
{
	struct core_v1_ContainerStatus s = { .name = spec->name, .image = spec->image };
	s.state.waiting = waiting(a, str_c(reason), S(""));
	for (size_t i = 0; i < spec->volumeMounts.n; i++) {
		const struct core_v1_VolumeMount *m = &spec->volumeMounts.v[i];
		struct core_v1_VolumeMountStatus *v = LIST_ADD(a, &s.volumeMounts);
		*v = (struct core_v1_VolumeMountStatus){ .name = m->name, .mountPath = m->mountPath, .readOnly = m->readOnly };
		if (m->readOnly) {
			v->recursiveReadOnly = ARENA_NEW(a, str);
			*v->recursiveReadOnly = m->recursiveReadOnly && str_eqc(*m->recursiveReadOnly, "Enabled") ? S("Enabled") : S("Disabled");
		}
	}
	if (old && old->state.terminated)
		return *old;
	if (old) {
		s.restartCount = old->restartCount;
		s.lastState = old->lastState;
	}
	return s;
}

// It ran, and now the runtime does not know it: it must not look as if it had never been.
static void lost_container(struct arena *a, const struct status_input *in, struct core_v1_ContainerStatus *s,
                           const struct core_v1_ContainerStatus *old)
{
	if (!old || old->state.terminated || !old->state.running || !s->state.waiting || s->lastState.terminated)
		return;
	s->lastState.terminated = terminated(a, 137, S("ContainerStatusUnknown"),
	                                     S("The container could not be located when the pod was deleted.  The container used to be Running"));
	if (!in->pod->metadata.deletionTimestamp)
		s->restartCount++;
}

static int by_name(const void *x, const void *y)
{
	return str_cmp(((const struct core_v1_ContainerStatus *)x)->name, ((const struct core_v1_ContainerStatus *)y)->name);
}

static struct core_v1_ContainerStatus_list containers_of(struct arena *a, const struct status_input *in, bool init)
{
	const struct core_v1_Container_list *specs = init ? &in->pod->spec.initContainers : &in->pod->spec.containers;
	const struct core_v1_ContainerStatus_list *olds = init ? &in->old->initContainerStatuses : &in->old->containerStatuses;
	const char *first = in->pod->spec.initContainers.n ? "PodInitializing" : "ContainerCreating";
	struct core_v1_ContainerStatus_list list = { 0 };
	for (size_t i = 0; i < specs->n; i++) {
		const struct core_v1_Container *spec = &specs->v[i];
		const struct core_v1_ContainerStatus *old = find_status(olds, spec->name);
		struct core_v1_ContainerStatus s = at_first(a, spec, first, old);
		size_t seen = 0;
		for (size_t k = 0; k < in->rt->containers.n && seen < 2; k++) {
			const struct rt_container *c = &in->rt->containers.v[k];
			if (!str_eq(c->name, spec->name))
				continue;
			if (seen++ == 0) {
				struct core_v1_VolumeMountStatus_list mounts = s.volumeMounts;
				s = of_runtime(a, in, spec, c, old);
				if (!s.volumeMounts.n)
					s.volumeMounts = mounts;
			} else {
				s.lastState = of_runtime(a, in, spec, c, old).state;
			}
		}
		if (!seen)
			lost_container(a, in, &s, old);
		const struct rt_container *now = rt_find(in->rt, spec->name);
		bool done = init && now && now->state == RT_EXITED && now->exit_code == 0;
		if (init && !now && !is_sidecar(spec) && s.state.waiting && any_regular_created(in->pod, in->rt)) {
			s.state = (struct core_v1_ContainerState){ 0 };
			s.state.terminated = terminated(a, 0, S("Completed"), S("Unable to get init container status from container runtime and pod "
			                                                        "has been initialized, treat it as exited normally"));
			done = true;
		}
		str reason, message;
		if (!done && container_wanted(in->pod, spec, in->rt) && in->failure &&
		    in->failure(in->failure_ctx, spec->name, &reason, &message)) {
			if (s.state.terminated)
				s.lastState = s.state;
			s.state = (struct core_v1_ContainerState){ .waiting = waiting(a, reason, message) };
		}
		*LIST_ADD(a, &list) = s;
	}
	if (!init && list.n > 1)
		qsort(list.v, list.n, sizeof(*list.v), by_name);
	return list;
}

// Started and Ready of each container.
static void apply_probes(struct arena *a, const struct status_input *in, struct core_v1_ContainerStatus_list *list,
                         const struct core_v1_ContainerStatus_list *olds, bool init)
{
	for (size_t i = 0; i < list->n; i++) {
		struct core_v1_ContainerStatus *s = &list->v[i];
		const struct core_v1_Container *spec = find_container(in->pod, s->name);
		const struct core_v1_ContainerStatus *old = find_status(olds, s->name);
		bool same = old && str_eq(old->containerID, s->containerID) && s->containerID.n;
		bool *started = ARENA_NEW(a, bool);
		str kind, id;
		ptrdiff_t at = str_find(s->containerID, S("://"));
		str_split(s->containerID, ':', &kind, &id);
		id = at >= 0 ? str_from(s->containerID, (size_t)at + 3) : S("");
		if (s->state.running) {
			enum probe_result r = in->probes ? in->probes->get(in->probes->ctx, PROBE_STARTUP, id) : PROBE_NONE;
			*started = !spec || !spec->startupProbe || r == PROBE_SUCCESS || (same && old->started && *old->started);
		}
		s->started = started;
		s->ready = false;
		if (init && spec && !is_sidecar(spec)) {
			s->ready = s->state.terminated && s->state.terminated->exitCode == 0;
			continue;
		}
		if (!*started || !s->state.running)
			continue;
		enum probe_result r = in->probes ? in->probes->get(in->probes->ctx, PROBE_READINESS, id) : PROBE_NONE;
		// A kubelet that has just started has no result yet: what was ready stays so until a probe says otherwise.
		s->ready = !spec || !spec->readinessProbe || r == PROBE_SUCCESS || (r == PROBE_NONE && same && old->ready);
	}
}

// --- The pod -----------------------------------------------------------------------------------------------------------

static str phase_of(const struct status_input *in, const struct core_v1_PodStatus *s)
{
	const struct core_v1_Pod *pod = in->pod;
	size_t pending = 0, pending_sidecars = 0, failed_for_good = 0;
	size_t unknown = 0, running = 0, waits = 0, stopped = 0, stopped_for_good = 0, succeeded = 0;
	for (size_t i = 0; i < pod->spec.initContainers.n; i++) {
		const struct core_v1_Container *c = &pod->spec.initContainers.v[i];
		const struct core_v1_ContainerStatus *st = find_status(&s->initContainerStatuses, c->name);
		if (is_sidecar(c)) {
			if (!st) {
				unknown++;
			} else if (st->state.running) {
				pending_sidecars += !st->started || !*st->started;
				running++;
			} else if (st->state.waiting && !st->lastState.terminated) {
				pending_sidecars++;
				waits++;
			}
			continue;
		}
		const struct core_v1_ContainerStateTerminated *end = NULL;
		if (st)
			end = st->state.terminated ? st->state.terminated : st->state.waiting ? st->lastState.terminated : NULL;
		if (!end)
			pending++;
		else if (end->exitCode != 0 && !container_restarts(pod, c, end->exitCode))
			failed_for_good++;
	}
	bool initialized = false; // a container of the present sandbox has run
	for (size_t i = 0; i < in->rt->containers.n && in->rt->sandboxes.n; i++) {
		const struct rt_container *c = &in->rt->containers.v[i];
		if (str_eq(c->sandbox_id, in->rt->sandboxes.v[0].id) && (c->state == RT_RUNNING || c->state == RT_EXITED))
			initialized |= !is_init_container(pod, c->name);
	}
	for (size_t i = 0; i < pod->spec.containers.n; i++) {
		const struct core_v1_Container *c = &pod->spec.containers.v[i];
		const struct core_v1_ContainerStatus *st = find_status(&s->containerStatuses, c->name);
		if (!st) {
			unknown++;
		} else if (st->state.running) {
			running++;
		} else if (st->state.terminated) {
			stopped++;
			stopped_for_good += !container_restarts(pod, c, st->state.terminated->exitCode);
			succeeded += st->state.terminated->exitCode == 0;
		} else if (st->state.waiting && st->lastState.terminated) {
			stopped++;
			stopped_for_good += !container_restarts(pod, c, st->lastState.terminated->exitCode);
		} else if (st->state.waiting) {
			waits++;
		} else {
			unknown++;
		}
	}
	if (failed_for_good)
		return S("Failed");
	if (pending || (pending_sidecars && !initialized) || waits)
		return S("Pending");
	if (running && !unknown)
		return S("Running");
	if (!running && stopped && !unknown) {
		if (!in->terminal && stopped != stopped_for_good)
			return S("Running");
		return stopped == succeeded ? S("Succeeded") : S("Failed");
	}
	return S("Pending");
}

static void add_condition(struct arena *a, const struct status_input *in, struct core_v1_PodStatus *s, const char *type, bool status,
                          str reason, str message)
{
	*LIST_ADD(a, &s->conditions) = (struct core_v1_PodCondition){
		.type = str_c(type),
		.status = status ? S("True") : S("False"),
		.reason = reason,
		.message = message,
		.observedGeneration = in->pod->metadata.generation,
	};
}

static str join(struct arena *a, str x, str y)
{
	return x.n && y.n ? arena_concat(a, x, S(", "), y) : x.n ? x : y;
}

static str named(struct arena *a, const char *what, const struct str_list *names)
{
	return names->n ? arena_concat(a, S("containers with "), str_c(what), S(" status: "), names_text(a, names)) : S("");
}

static void initialized_condition(struct arena *a, const struct status_input *in, struct core_v1_PodStatus *s)
{
	struct str_list unknown = { 0 }, incomplete = { 0 };
	bool any_started = false;
	for (size_t i = 0; i < in->pod->spec.initContainers.n; i++) {
		const struct core_v1_Container *c = &in->pod->spec.initContainers.v[i];
		const struct core_v1_ContainerStatus *st = find_status(&s->initContainerStatuses, c->name);
		if (!st)
			*LIST_ADD(a, &unknown) = c->name;
		else if (is_sidecar(c) ? !st->started || !*st->started : !st->ready)
			*LIST_ADD(a, &incomplete) = c->name;
	}
	for (size_t i = 0; i < s->containerStatuses.n; i++) {
		const struct core_v1_ContainerStatus *st = &s->containerStatuses.v[i];
		any_started |= st->state.running || st->state.terminated || st->lastState.terminated || (st->started && *st->started);
	}
	str message = join(a, named(a, "unknown", &unknown), named(a, "incomplete", &incomplete));
	if (str_eqc(s->phase, "Succeeded") && !unknown.n)
		add_condition(a, in, s, "Initialized", true, S("PodCompleted"), S(""));
	else if (any_started || str_empty(message))
		add_condition(a, in, s, "Initialized", true, S(""), S(""));
	else
		add_condition(a, in, s, "Initialized", false, S("ContainersNotInitialized"), message);
}

// Whether all containers are ready; why not, otherwise.
static bool containers_ready(struct arena *a, const struct status_input *in, const struct core_v1_PodStatus *s, str *reason, str *message)
{
	struct str_list unknown = { 0 }, unready = { 0 };
	for (int init = 1; init >= 0; init--) {
		const struct core_v1_Container_list *specs = init ? &in->pod->spec.initContainers : &in->pod->spec.containers;
		for (size_t i = 0; i < specs->n; i++) {
			const struct core_v1_ContainerStatus *st =
				find_status(init ? &s->initContainerStatuses : &s->containerStatuses, specs->v[i].name);
			if (init && !is_sidecar(&specs->v[i]))
				continue;
			if (!st)
				*LIST_ADD(a, &unknown) = specs->v[i].name;
			else if (!st->ready)
				*LIST_ADD(a, &unready) = specs->v[i].name;
		}
	}
	*reason = *message = S("");
	if (str_eqc(s->phase, "Succeeded") && !unknown.n) {
		*reason = S("PodCompleted");
		return false;
	}
	if (str_eqc(s->phase, "Failed")) {
		*reason = S("PodFailed");
		return false;
	}
	*message = join(a, named(a, "unknown", &unknown), named(a, "unready", &unready));
	if (message->n)
		*reason = S("ContainersNotReady");
	return !message->n;
}

static void ready_conditions(struct arena *a, const struct status_input *in, struct core_v1_PodStatus *s)
{
	str reason, message, gates = S("");
	bool all = containers_ready(a, in, s, &reason, &message);
	for (size_t i = 0; all && i < in->pod->spec.readinessGates.n; i++) {
		str type = in->pod->spec.readinessGates.v[i].conditionType;
		const struct core_v1_PodCondition *c = NULL;
		for (size_t k = 0; k < s->conditions.n; k++)
			if (str_eq(s->conditions.v[k].type, type))
				c = &s->conditions.v[k];
		if (!c)
			gates = join(a, gates, arena_concat(a, S("corresponding condition of pod readiness gate "), quoted(a, type), S(" does not exist.")));
		else if (!str_eqc(c->status, "True"))
			gates = join(a, gates, arena_concat(a, S("the status of pod readiness gate "), quoted(a, type), S(" is not \"True\", but "), c->status));
	}
	if (!all)
		add_condition(a, in, s, "Ready", false, reason, message);
	else if (gates.n)
		add_condition(a, in, s, "Ready", false, S("ReadinessGatesNotReady"), gates);
	else
		add_condition(a, in, s, "Ready", true, S(""), S(""));
	add_condition(a, in, s, "ContainersReady", all, reason, message);
}

// The node's address family first, one address of each.
static void pod_addresses(struct arena *a, const struct status_input *in, struct core_v1_PodStatus *s)
{
	struct str_list ips = rt_pod_ips(in->rt);
	for (int want = 0; want < 2; want++) {
		bool v6 = (want == 0) == in->prefer_v6;
		for (size_t i = 0; i < ips.n; i++) {
			if (ip_is_v6(ips.v[i]) != v6)
				continue;
			LIST_ADD(a, &s->podIPs)->ip = ips.v[i];
			break;
		}
	}
	for (size_t i = 0; i < in->host_ips.n && i < 2; i++) {
		LIST_ADD(a, &s->hostIPs)->ip = in->host_ips.v[i];
		if (host_network(in->pod) && s->podIPs.n == i)
			LIST_ADD(a, &s->podIPs)->ip = in->host_ips.v[i];
	}
	s->podIP = s->podIPs.n ? s->podIPs.v[0].ip : S("");
	s->hostIP = s->hostIPs.n ? s->hostIPs.v[0].ip : S("");
}

struct core_v1_PodStatus *status_make(struct arena *a, const struct status_input *in)
{
	const struct core_v1_Pod *pod = in->pod;
	struct core_v1_PodStatus *s = ARENA_NEW(a, struct core_v1_PodStatus);
	uint32_t attempt;
	str sandbox;
	s->observedGeneration = pod->metadata.generation;
	s->qosClass = pod_qos_class(a, pod);
	s->containerStatuses = containers_of(a, in, false);
	s->initContainerStatuses = containers_of(a, in, true);
	s->ephemeralContainerStatuses = pod->status.ephemeralContainerStatuses;
	s->resourceClaimStatuses = pod->status.resourceClaimStatuses;
	s->nominatedNodeName = pod->status.nominatedNodeName;
	pod_requests(a, pod, &s->allocatedResources);
	s->resources = ARENA_NEW(a, struct core_v1_ResourceRequirements);
	s->resources->requests = s->allocatedResources;
	pod_limits(a, pod, &s->resources->limits);
	apply_probes(a, in, &s->containerStatuses, &in->old->containerStatuses, false);
	apply_probes(a, in, &s->initContainerStatuses, &in->old->initContainerStatuses, true);

	s->phase = phase_of(in, s);
	if (!terminal_phase(s->phase) && terminal_phase(in->old->phase))
		s->phase = in->old->phase;
	if (terminal_phase(pod->status.phase))
		s->phase = pod->status.phase;
	if (str_eq(s->phase, in->old->phase)) {
		s->reason = in->old->reason.n ? in->old->reason : pod->status.reason;
		s->message = in->old->message.n ? in->old->message : pod->status.message;
	}
	if (in->forced_reason.n && !terminal_phase(pod->status.phase)) {
		s->phase = S("Failed");
		s->reason = in->forced_reason;
		s->message = in->forced_message;
	}
	for (size_t i = 0; i < pod->status.conditions.n; i++)
		if (!status_owns_condition(pod->status.conditions.v[i].type))
			*LIST_ADD(a, &s->conditions) = pod->status.conditions.v[i];
	add_condition(a, in, s, "PodReadyToStartContainers", !pod_sandbox_changed(pod, in->rt, &attempt, &sandbox), S(""), S(""));
	initialized_condition(a, in, s);
	ready_conditions(a, in, s);
	add_condition(a, in, s, "PodScheduled", true, S(""), S(""));
	pod_addresses(a, in, s);
	return s;
}

static void settle_state(struct core_v1_ContainerState *s, size_t most)
{
	if (s->terminated && s->terminated->message.n > most) {
		size_t n = most;
		while (n > 0 && ((unsigned char)s->terminated->message.p[n] & 0xc0) == 0x80)
			n--;
		s->terminated->message.n = n;
	}
}

void status_settle(struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_PodStatus *old, struct core_v1_PodStatus *s,
                   int64_t now_ns)
{
	size_t n = pod->spec.containers.n + pod->spec.initContainers.n + pod->spec.ephemeralContainers.n;
	struct api_time now = api_time_now(now_ns);
	for (size_t i = 0; i < s->conditions.n; i++) {
		struct core_v1_PodCondition *c = &s->conditions.v[i];
		if (!status_owns_condition(c->type))
			continue;
		c->lastTransitionTime = now;
		for (size_t k = 0; k < old->conditions.n; k++)
			if (str_eq(old->conditions.v[k].type, c->type) && str_eq(old->conditions.v[k].status, c->status))
				c->lastTransitionTime = old->conditions.v[k].lastTransitionTime;
	}
	if (old->startTime && old->startTime->set) {
		s->startTime = old->startTime;
	} else if (!s->startTime) {
		s->startTime = ARENA_NEW(a, struct api_time);
		*s->startTime = now;
	}
	s->observedGeneration = MAX(s->observedGeneration, old->observedGeneration);
	for (size_t i = 0; i < s->containerStatuses.n; i++) {
		settle_state(&s->containerStatuses.v[i].state, MESSAGES_MAX / n);
		settle_state(&s->containerStatuses.v[i].lastState, MESSAGES_MAX / n);
	}
	for (size_t i = 0; i < s->initContainerStatuses.n; i++) {
		settle_state(&s->initContainerStatuses.v[i].state, MESSAGES_MAX / n);
		settle_state(&s->initContainerStatuses.v[i].lastState, MESSAGES_MAX / n);
	}
}

struct core_v1_PodStatus *status_merge(struct arena *a, const struct core_v1_PodStatus *api, const struct core_v1_PodStatus *mine,
                                       bool may_run)
{
	struct core_v1_PodStatus *s = ARENA_NEW(a, struct core_v1_PodStatus);
	*s = *mine;
	s->conditions = (struct core_v1_PodCondition_list){ 0 };
	for (size_t i = 0; i < api->conditions.n; i++)
		if (!status_owns_condition(api->conditions.v[i].type))
			*LIST_ADD(a, &s->conditions) = api->conditions.v[i];
	for (size_t i = 0; i < mine->conditions.n; i++)
		if (status_owns_condition(mine->conditions.v[i].type))
			*LIST_ADD(a, &s->conditions) = mine->conditions.v[i];
	s->resourceClaimStatuses = api->resourceClaimStatuses;
	s->extendedResourceClaimStatus = api->extendedResourceClaimStatus;
	s->nodeAllocatableResourceClaimStatuses = api->nodeAllocatableResourceClaimStatuses;
	s->ephemeralContainerStatuses = api->ephemeralContainerStatuses;
	s->nominatedNodeName = api->nominatedNodeName;
	s->resize = api->resize;
	// A pod must not look ended while something of it may still run and use what it was given.
	if (!terminal_phase(api->phase) && terminal_phase(s->phase) && may_run) {
		s->phase = api->phase;
		s->reason = api->reason;
		s->message = api->message;
	}
	for (size_t i = 0; terminal_phase(s->phase) && i < s->conditions.n; i++) {
		struct core_v1_PodCondition *c = &s->conditions.v[i];
		if ((str_eqc(c->type, "Ready") || str_eqc(c->type, "ContainersReady")) && str_eqc(c->status, "True")) {
			c->status = S("False");
			c->reason = str_eqc(s->phase, "Failed") ? S("PodFailed") : S("PodCompleted");
		}
	}
	return s;
}

// Items of a list that merges by `key`: those that are new or differ; those that are gone as deletions.
static struct value *merged_list(struct arena *a, const struct value *from, const struct value *to, str key)
{
	struct value *out = value_array(a);
	for (size_t i = 0; to && i < to->a.n; i++) {
		const struct value *old = NULL;
		for (size_t k = 0; from && k < from->a.n; k++)
			if (str_eq(value_get_str(from->a.v[k], key), value_get_str(to->a.v[i], key)))
				old = from->a.v[k];
		if (old && value_equal(old, to->a.v[i]))
			continue;
		struct value *item = value_clone(a, to->a.v[i]);
		for (size_t k = 0; old && k < old->o.n; k++)
			if (!value_get(item, old->o.v[k].key))
				value_set(a, item, old->o.v[k].key, value_null(a));
		value_append(a, out, item);
	}
	for (size_t i = 0; from && i < from->a.n; i++) {
		str name = value_get_str(from->a.v[i], key);
		bool kept = false;
		for (size_t k = 0; to && k < to->a.n; k++)
			kept |= str_eq(value_get_str(to->a.v[k], key), name);
		if (kept)
			continue;
		struct value *gone = value_object(a);
		value_set(a, gone, S("$patch"), value_string(a, S("delete")));
		value_set(a, gone, key, value_string(a, name));
		value_append(a, out, gone);
	}
	return out;
}

// Objects merge member by member, so what is gone is set to null, at every depth.
static struct value *merged_object(struct arena *a, const struct value *from, const struct value *to)
{
	if (!from || from->kind != V_OBJECT || to->kind != V_OBJECT)
		return value_clone(a, to);
	struct value *out = value_object(a);
	for (size_t i = 0; i < to->o.n; i++)
		value_set(a, out, to->o.v[i].key, merged_object(a, value_get(from, to->o.v[i].key), to->o.v[i].value));
	for (size_t i = 0; i < from->o.n; i++)
		if (!value_get(to, from->o.v[i].key))
			value_set(a, out, from->o.v[i].key, value_null(a));
	return out;
}

str status_diff(struct arena *a, str uid, const struct message_desc *m, const void *from, const void *to, const struct merge_key *keys,
                size_t nkeys)
{
	struct value *old = schema_to_value(a, m, from), *now = schema_to_value(a, m, to);
	struct value *status = value_object(a);
	for (size_t i = 0; i < now->o.n; i++) {
		str key = now->o.v[i].key, by = S("");
		const struct value *before = value_get(old, key), *after = now->o.v[i].value;
		if (before && value_equal(before, after))
			continue;
		for (size_t k = 0; k < nkeys; k++)
			if (str_eqc(key, keys[k].field))
				by = str_c(keys[k].key);
		if (str_eqc(by, "$replace") && value_is(after, V_ARRAY)) {
			struct value *all = value_clone(a, after), *replace = value_object(a);
			value_set(a, replace, S("$patch"), value_string(a, S("replace")));
			value_insert(a, all, 0, replace);
			value_set(a, status, key, all);
			continue;
		}
		if (by.n && value_is(after, V_ARRAY)) {
			struct value *changes = merged_list(a, value_is(before, V_ARRAY) ? before : NULL, after, by);
			if (changes->a.n)
				value_set(a, status, key, changes);
			continue;
		}
		value_set(a, status, key, merged_object(a, before, after));
	}
	for (size_t i = 0; i < old->o.n; i++)
		if (!value_get(now, old->o.v[i].key))
			value_set(a, status, old->o.v[i].key, value_null(a));
	if (status->o.n == 0)
		return S("");
	struct value *meta = value_object(a), *patch = value_object(a);
	if (uid.n) {
		value_set(a, meta, S("uid"), value_string(a, uid));
		value_set(a, patch, S("metadata"), meta);
	}
	value_set(a, patch, S("status"), status);
	return json_text(a, patch, JSON_COMPACT);
}

str status_patch(struct arena *a, str uid, const struct core_v1_PodStatus *from, const struct core_v1_PodStatus *to)
{
	static const struct merge_key keys[] = { { "conditions", "type" }, { "podIPs", "ip" }, { "hostIPs", "ip" } };
	return status_diff(a, uid, core_v1_PodStatus_desc, from, to, keys, ARRAY_LEN(keys));
}
