// One step for a pod: look at the runtime, say how things are, do what is to be done, look again.
#include <sys/stat.h>

#include "base/io.h"
#include "kubelet/cgroups.h"
#include "kubelet/kill.h"
#include "kubelet/probes.h"
#include "kubelet/start.h"
#include "kubelet/status.h"
#include "kubelet/volumes.h"
#include "kubelet/worker.h"
#include "object/meta.h"

#define RETRY_MS 10000
#define NETWORK_RETRY_MS 1000
#define PULL_LOOK_MS 2000 // when ErrImagePull becomes ImagePullBackOff
#define VOLUME_FIRST_MS 500
#define VOLUME_MOST_MS (2 * 60 * 1000 + 2000)
#define REMOVE_MS (2 * 60 * 1000)

static bool failure_of(void *ctx, str container, str *reason, str *message)
{
	struct worker *w = ctx;
	struct note *n = worker_note(w, container);
	if (!n->reason)
		return false;
	*reason = str_c(n->reason);
	*message = str_c(n->message);
	return true;
}

static struct core_v1_PodStatus *report(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, const struct rt_pod *rt, bool terminal)
{
	struct kubelet *k = w->k;
	struct probe_view probes = { probe_last, w };
	struct status_input in = {
		.pod = pod, .old = status_current(w, a, pod), .rt = rt, .probes = &probes, .failure = failure_of, .failure_ctx = w,
		.runtime_name = k->runtime_name, .host_ips = k->host_ips, .prefer_v6 = k->prefer_v6, .terminal = terminal,
		.now_ns = clock_wall(k->clock),
	};
	pthread_mutex_lock(&k->lock);
	if (w->forced_reason) {
		in.forced_reason = arena_dup(a, str_c(w->forced_reason));
		in.forced_message = arena_dup(a, str_c(w->forced_message));
	}
	bool admitted = w->admitted;
	pthread_mutex_unlock(&k->lock);
	struct core_v1_PodStatus *s = status_make(a, &in);
	if (!admitted) {
		// Nothing was ever tried: there is nothing to say about containers.
		struct core_v1_PodStatus bare = { .phase = S("Failed"), .reason = in.forced_reason, .message = in.forced_message,
		                                  .qosClass = s->qosClass, .observedGeneration = s->observedGeneration };
		*s = bare;
	}
	status_store(w, pod, s);
	return s;
}

static bool fetch(struct worker *w, struct arena *a, struct rt_pod *rt)
{
	struct error err = { 0 };
	if (w->own.known_new) {
		*rt = (struct rt_pod){ .uid = str_c(w->uid), .name = str_c(w->name), .ns = str_c(w->ns) };
		return true;
	}
	int64_t now = clock_wall(w->k->clock);
	if (rt_pod_fetch(&w->k->cri, a, str_c(w->uid), rt, &err)) {
		LOCKED(&w->k->lock);
		w->fetched_wall = now;
		return true;
	}
	log_warn("pod %s/%s: %s", w->ns, w->name, err.text);
	task_after(w->task, 1000);
	return false;
}

static void set_phase(struct worker *w, enum phase phase)
{
	LOCKED(&w->k->lock);
	if (w->phase < phase)
		w->phase = phase;
}


// --- Running -------------------------------------------------------------------------------------------------------------

// Whether the pod has used up its time; if not, comes back when it will have.
static bool past_deadline(struct worker *w, const struct core_v1_Pod *pod, const struct core_v1_PodStatus *s)
{
	struct kubelet *k = w->k;
	if (!pod->spec.activeDeadlineSeconds || !s->startTime || !s->startTime->set)
		return false;
	int64_t left = s->startTime->sec * NS_PER_SEC + *pod->spec.activeDeadlineSeconds * NS_PER_SEC - clock_wall(k->clock);
	if (left > 0) {
		task_after(w->task, left / NS_PER_MS + 1);
		return false;
	}
	pod_event(k, pod, "Normal", "DeadlineExceeded", "Pod was active on the node longer than the specified deadline");
	LOCKED(&k->lock);
	if (w->forced_reason)
		return true;
	w->forced_reason = heap_cstr(S("DeadlineExceeded"));
	w->forced_message = heap_cstr(S("Pod was active on the node longer than the specified deadline"));
	return true;
}

static bool make_dirs(struct worker *w, struct arena *a, const struct core_v1_Pod *pod)
{
	struct error err = { 0 };
	str uid = pod->metadata.uid;
	if (io_mkdirs(pod_dir(w->k, a, uid, NULL), 0750, &err) && io_mkdirs(pod_dir(w->k, a, uid, "volumes"), 0750, &err) &&
	    io_mkdirs(pod_dir(w->k, a, uid, "plugins"), 0750, &err))
		return true;
	pod_event(w->k, pod, "Warning", "Failed", "error making pod data directories: %s", err.text);
	return false;
}

static bool make_volumes(struct worker *w, struct arena *a, const struct core_v1_Pod *pod)
{
	struct kubelet *k = w->k;
	struct error err = { 0 };
	int64_t now = clock_mono(k->clock);
	if (pod->spec.volumes.n == 0)
		return true;
	if (w->own.volumes && now - w->own.volumes_mono < k->cfg.volume_refresh_ms * NS_PER_MS) {
		task_at(w->task, w->own.volumes_mono + k->cfg.volume_refresh_ms * NS_PER_MS);
		return true;
	}
	bool ok = volumes_setup(w, a, pod, !w->own.volumes, &err);
	if (ok) {
		w->own.volumes = true;
		w->own.failures = 0;
	} else if (!w->own.volumes) {
		int64_t wait = (int64_t)VOLUME_FIRST_MS << MIN(w->own.failures, 8);
		w->own.failures++;
		task_after(w->task, MIN(wait, VOLUME_MOST_MS));
		return false;
	}
	// What is mounted stays as it is when it cannot be brought up to date.
	w->own.volumes_mono = now;
	task_at(w->task, now + k->cfg.volume_refresh_ms * NS_PER_MS);
	return true;
}

static void remove_container(struct worker *w, struct arena *a, str id)
{
	struct cri_v1_RemoveContainerRequest r = { .container_id = id };
	struct error err = { 0 };
	if (!CRI(&w->k->cri, a, RemoveContainer, &r, REMOVE_MS, &err) && !cri_not_found(&err))
		log_warn("pod %s/%s: remove container: %s", w->ns, w->name, err.text);
}

// Of ended init containers only the newest stays; none at all when the pod begins anew.
static void prune_init(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, const struct rt_pod *rt, bool all)
{
	for (size_t i = 0; i < pod->spec.initContainers.n; i++) {
		size_t seen = 0;
		for (size_t c = 0; c < rt->containers.n; c++) {
			const struct rt_container *one = &rt->containers.v[c];
			if (!str_eq(one->name, pod->spec.initContainers.v[i].name) || (!all && one->state != RT_EXITED && one->state != RT_UNKNOWN))
				continue;
			if (all || seen++ > 0)
				remove_container(w, a, one->id);
		}
	}
}

// A new sandbox where one is needed. False: it failed, and was told.
static bool make_sandbox(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, struct cri_v1_PodSandboxConfig *config, struct rt_pod *rt,
                         str *id)
{
	struct kubelet *k = w->k;
	struct error err = { 0 };
	w->own.known_new = false;
	if (!sandbox_start(k, a, pod, config, id, &err)) {
		if (!worker_must_end(w))
			pod_event(k, pod, "Warning", "FailedCreatePodSandBox", "Failed to create pod sandbox: %s", err.text);
		log_warn("pod %s/%s: sandbox: %s", w->ns, w->name, err.text);
		return false;
	}
	struct cri_v1_PodSandboxStatusRequest r = { .pod_sandbox_id = *id };
	struct cri_v1_PodSandboxStatusResponse *s = CRI(&k->cri, a, PodSandboxStatus, &r, REMOVE_MS, &err);
	if (!s || !s->status) {
		pod_event(k, pod, "Warning", "FailedPodSandBoxStatus", "Unable to get pod sandbox status: %s", err.text);
		return false;
	}
	// The view that the rest of this sync works with: the new sandbox first.
	struct rt_pod with = *rt;
	with.sandboxes.v = NULL;
	with.sandboxes.n = 0;
	*LIST_ADD(a, &with.sandboxes) = rt_sandbox_of(a, s->status);
	for (size_t i = 0; i < rt->sandboxes.n; i++) {
		struct rt_sandbox *old = LIST_ADD(a, &with.sandboxes);
		*old = rt->sandboxes.v[i];
		old->ready = false;
	}
	*rt = with;
	report(w, a, pod, rt, false);
	return true;
}

// Executes the actions. Returns whether something changed in the runtime.
static bool act(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, struct rt_pod *rt, const struct pod_actions *do_it, bool *ok)
{
	struct kubelet *k = w->k;
	struct error err = { 0 };
	str sandbox_id = do_it->sandbox_id;
	bool changed = false;
	*ok = true;
	if (do_it->create_sandbox && sandbox_id.n)
		pod_event(k, pod, "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.");
	if (do_it->kill_pod && (rt->containers.n || rt->sandboxes.n)) {
		changed = true;
		if (!pod_kill(k, w, a, pod, rt, -1, &err)) {
			log_warn("pod %s/%s: %s", w->ns, w->name, err.text);
			*ok = false;
			return true;
		}
		if (do_it->create_sandbox)
			prune_init(w, a, pod, rt, true);
	}
	for (size_t i = 0; !do_it->kill_pod && i < do_it->kill.n; i++) {
		const struct kill_item *v = &do_it->kill.v[i];
		changed = true;
		for (size_t c = 0; c < rt->containers.n; c++)
			if (str_eq(rt->containers.v[c].id, v->id) &&
			    !container_kill(k, a, pod, &rt->containers.v[c], v->message, v->reason, -1, &err)) {
				log_warn("pod %s/%s: %s", w->ns, w->name, err.text);
				*ok = false;
				return true;
			}
	}
	if (worker_must_end(w))
		return changed;
	prune_init(w, a, pod, rt, false);
	if (!do_it->create_sandbox && do_it->init_start.n == 0 && do_it->start.n == 0)
		return changed;
	struct cri_v1_PodSandboxConfig *config = sandbox_config(k, a, pod, do_it->attempt);
	if (do_it->create_sandbox) {
		changed = true;
		if (!make_sandbox(w, a, pod, config, rt, &sandbox_id)) {
			*ok = false;
			return true;
		}
	}
	struct str_list ips = host_network(pod) ? k->host_ips : rt_pod_ips(rt);
	if (do_it->kill.n && rt_pod_fetch(&k->cri, a, str_c(w->uid), rt, &err))
		ips = host_network(pod) ? k->host_ips : rt_pod_ips(rt); // what was killed has ended: its back-off counts from then
	for (size_t i = 0; i < do_it->init_start.n && !worker_must_end(w); i++) {
		const struct core_v1_Container *c = &pod->spec.initContainers.v[do_it->init_start.v[i]];
		changed = true;
		if (!pod_container_start(w, a, pod, c, rt, sandbox_id, config, &ips)) {
			*ok = false;
			if (!is_sidecar(c))
				return true;
		}
	}
	for (size_t i = 0; i < do_it->start.n && !worker_must_end(w); i++) {
		changed = true;
		if (!pod_container_start(w, a, pod, &pod->spec.containers.v[do_it->start.v[i]], rt, sandbox_id, config, &ips))
			*ok = false;
	}
	return changed;
}

// When containers wait for something: the moment at which it is tried again.
static void retry_later(struct worker *w)
{
	struct kubelet *k = w->k;
	int64_t now = clock_mono(k->clock);
	bool other = true;
	for (struct note *n = w->own.notes; n; n = n->next) {
		if (!n->reason)
			continue;
		if (strcmp(n->reason, "ErrImagePull") == 0) {
			task_after(w->task, PULL_LOOK_MS);
			other = false;
		} else if (strcmp(n->reason, "ImagePullBackOff") == 0 && n->pull.delay_ns) {
			task_at(w->task, MAX(n->pull.updated_ns + n->pull.delay_ns, now) + NS_PER_MS);
			other = false;
		} else if (strcmp(n->reason, "CrashLoopBackOff") == 0) {
			other = false; // pod_container_start has set the time
		}
	}
	if (other)
		task_after(w->task, RETRY_MS);
}

bool sync_running(struct worker *w, struct arena *a, const struct core_v1_Pod *pod)
{
	struct kubelet *k = w->k;
	struct error err = { 0 };
	struct rt_pod rt;
	struct pod_actions actions;
	bool ok, more = false;
	int64_t began = clock_mono(k->clock);
	task_after(w->task, k->cfg.sync_ms + (int64_t)rng_below(k->rng, (uint64_t)k->cfg.sync_ms / 2 + 1));
	if (!fetch(w, a, &rt))
		return false;
	struct core_v1_PodStatus *s = report(w, a, pod, &rt, false);
	if (str_eqc(s->phase, "Failed") || str_eqc(s->phase, "Succeeded") || past_deadline(w, pod, status_current(w, a, pod))) {
		set_phase(w, PHASE_TERMINATING);
		return true;
	}
	if (worker_must_end(w))
		return true;
	pthread_mutex_lock(&k->lock);
	bool network = k->network_ready, runtime = k->runtime_ready;
	str problem = arena_dup(a, str_c(runtime ? k->network_problem : k->runtime_problem));
	pthread_mutex_unlock(&k->lock);
	if (!runtime || (!network && !host_network(pod))) {
		if (runtime)
			pod_event(k, pod, "Warning", "NetworkNotReady", "network is not ready: " STR_FMT, STR_ARG(problem));
		task_after(w->task, NETWORK_RETRY_MS);
		return false;
	}
	if (!w->own.cgroup) {
		if (!cgroup_pod_ensure(k, a, pod, &err)) {
			pod_event(k, pod, "Warning", "FailedCreatePodContainer", "unable to ensure pod container exists: %s", err.text);
			task_after(w->task, RETRY_MS);
			return false;
		}
		w->own.cgroup = make_dirs(w, a, pod);
		if (!w->own.cgroup) {
			task_after(w->task, RETRY_MS);
			return false;
		}
	}
	if (!make_volumes(w, a, pod))
		return false;
	log_debug("pod %s: ready to start after %lld us", w->name, (long long)(clock_mono(k->clock) - began) / 1000);
	probes_start(w, pod);
	struct probe_view probes = { probe_last, w };
	pod_actions_compute(a, pod, &rt, &probes, &actions);
	if (act(w, a, pod, &rt, &actions, &ok)) {
		if (!fetch(w, a, &rt))
			return false;
		s = report(w, a, pod, &rt, false);
		if (str_eqc(s->phase, "Failed") || str_eqc(s->phase, "Succeeded"))
			set_phase(w, PHASE_TERMINATING);
		// A container may have ended already, or be what the next one waited for: no event will say so again.
		pod_actions_compute(a, pod, &rt, &probes, &actions);
		more = ok && (actions.create_sandbox || actions.kill.n || actions.init_start.n || actions.start.n);
		for (struct note *n = w->own.notes; n; n = n->next) {
			const struct rt_container *c = rt_find(&rt, n->name);
			// It could not be started and counts as ended: from now on the back-off of restarts decides.
			more |= n->reason && c && c->state == RT_EXITED &&
			        (strcmp(n->reason, "RunContainerError") == 0 || strcmp(n->reason, "PostStartHookError") == 0);
		}
	}
	log_debug("pod %s: sync took %lld us", w->name, (long long)(clock_mono(k->clock) - began) / 1000);
	probes_hurry(w);
	if (!ok) {
		k->counters[COUNT_SYNC_ERRORS]++;
		retry_later(w);
	}
	return more || worker_must_end(w);
}

// --- Ending --------------------------------------------------------------------------------------------------------------

bool sync_terminating(struct worker *w, struct arena *a, const struct core_v1_Pod *pod)
{
	struct kubelet *k = w->k;
	struct error err = { 0 };
	struct rt_pod rt;
	if (!fetch(w, a, &rt))
		return false;
	report(w, a, pod, &rt, false);
	probes_stop(w, false);
	pthread_mutex_lock(&k->lock);
	int64_t grace = w->grace;
	w->stopping = true;
	pthread_mutex_unlock(&k->lock);
	bool ok = pod_kill(k, w, a, pod, &rt, grace, &err);
	pthread_mutex_lock(&k->lock);
	w->stopping = false;
	pthread_mutex_unlock(&k->lock);
	if (!ok) {
		pod_event(k, pod, "Warning", "FailedKillPod", "error killing pod: %s", err.text);
		log_warn("pod %s/%s: %s", w->ns, w->name, err.text);
		task_after(w->task, RETRY_MS / 5);
		return false;
	}
	probes_stop(w, true);
	if (!fetch(w, a, &rt))
		return false;
	for (size_t i = 0; i < rt.containers.n; i++)
		if (rt.containers.v[i].state == RT_RUNNING) {
			log_warn("pod %s/%s: container " STR_FMT " still runs after it was stopped", w->ns, w->name, STR_ARG(rt.containers.v[i].id));
			task_after(w->task, 1000);
			return false;
		}
	pthread_mutex_lock(&k->lock);
	w->may_run = false;
	pthread_mutex_unlock(&k->lock);
	report(w, a, pod, &rt, true);
	// What was held back while containers ran may go out now, even where it did not change.
	task_now(w->status_task);
	set_phase(w, PHASE_TERMINATED);
	return true;
}

bool sync_terminated(struct worker *w, struct arena *a, const struct core_v1_Pod *pod)
{
	struct kubelet *k = w->k;
	struct error err = { 0 };
	if (!volumes_teardown(k, a, str_c(w->uid), &err)) {
		log_warn("pod %s/%s: volumes: %s", w->ns, w->name, err.text);
		task_after(w->task, RETRY_MS / 5);
		return false;
	}
	cgroup_pod_remove(k, a, str_c(w->uid));
	set_phase(w, PHASE_FINISHED);
	task_now(w->status_task);
	return true;
}
