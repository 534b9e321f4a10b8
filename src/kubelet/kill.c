#include "kubelet/kill.h"

#include "kubelet/lifecycle.h"

#define SHORTEST 2       // seconds: always a moment to end in an orderly way
#define STOP_SLACK 15000 // ms on top of the grace period for the runtime's own work
#define SANDBOX_MS (2 * 60 * 1000)

static int64_t grace_of(const struct core_v1_Pod *pod, const struct core_v1_Container *c, enum kill_reason reason)
{
	if (pod->metadata.deletionGracePeriodSeconds)
		return *pod->metadata.deletionGracePeriodSeconds;
	const struct core_v1_Probe *p = reason == KILL_STARTUP_PROBE ? c->startupProbe : reason == KILL_LIVENESS_PROBE ? c->livenessProbe : NULL;
	if (p && p->terminationGracePeriodSeconds)
		return *p->terminationGracePeriodSeconds;
	return pod->spec.terminationGracePeriodSeconds ? *pod->spec.terminationGracePeriodSeconds : SHORTEST;
}

static bool stop(struct kubelet *k, struct arena *a, str id, int64_t seconds, struct error *err)
{
	struct cri_v1_StopContainerRequest r = { .container_id = id, .timeout = seconds };
	struct error why = { 0 };
	if (CRI(&k->cri, a, StopContainer, &r, (int)MIN(seconds * 1000 + STOP_SLACK, INT32_MAX), &why) || cri_not_found(&why))
		return true;
	return error_set(err, STR_FMT, STR_ARG(cri_error_text(a, &why)));
}

bool container_kill(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod, const struct rt_container *c, str message,
                    enum kill_reason reason, int64_t grace, struct error *err)
{
	const struct core_v1_Container *spec = pod ? find_container(pod, c->name) : NULL;
	const struct core_v1_LifecycleHandler *pre_stop = spec && spec->lifecycle ? spec->lifecycle->preStop : NULL;
	struct core_v1_Container bare = { .name = c->name };
	struct core_v1_Pod bare_pod = { 0 };
	struct error ignored = { 0 };
	if (!spec && c->pre_stop.n)
		pre_stop = schema_from_json(a, core_v1_LifecycleHandler_desc, c->pre_stop, NULL, &ignored);
	if (grace < 0)
		grace = spec ? grace_of(pod, spec, reason) : c->pod_grace >= 0 ? c->pod_grace : SHORTEST;
	if (pod)
		container_event(k, a, pod, c->name, "Normal", "Killing", STR_FMT,
		                STR_ARG(message.n ? message : arena_concat(a, S("Stopping container "), c->name)));
	if (pre_stop && grace > 0) {
		int64_t from = clock_mono(k->clock);
		str text, ip = S("");
		struct worker *w = pod ? worker_find(k, pod->metadata.uid) : NULL;
		if (w) {
			LOCKED(&k->lock);
			if (w->status)
				ip = arena_dup(a, w->status->podIP);
		}
		if (w)
			worker_unref(w);
		if (!hook_run(k, a, pod ? pod : &bare_pod, spec ? spec : &bare, pre_stop, c->id, ip, (int)MIN(grace * 1000, INT32_MAX), &text) && pod)
			container_event(k, a, pod, c->name, "Warning", "FailedPreStopHook", "PreStopHook failed");
		grace -= (clock_mono(k->clock) - from) / NS_PER_SEC;
	}
	return stop(k, a, c->id, MAX(grace, SHORTEST), err);
}

// --- All containers of a pod ---------------------------------------------------------------------------------------------

struct killing {
	struct kubelet *k;
	const struct core_v1_Pod *pod;
	pthread_mutex_t lock;
	pthread_cond_t done;
	int left;
	bool failed;
	struct error err;
	int64_t grace;
};
struct victim {
	struct killing *all;
	const struct rt_container *c;
};

static void kill_one(void *ctx)
{
	struct victim *v = ctx;
	struct killing *all = v->all;
	struct error err = { 0 };
	struct arena *a = arena_new(0);
	bool ok = container_kill(all->k, a, all->pod, v->c, S(""), KILL_OTHER, all->grace, &err);
	arena_free(a);
	pthread_mutex_lock(&all->lock);
	if (!ok && !all->failed) {
		all->failed = true;
		all->err = err;
	}
	all->left--;
	pthread_cond_signal(&all->done);
	pthread_mutex_unlock(&all->lock);
}

static bool sidecar_named(const struct core_v1_Pod *pod, str name)
{
	for (size_t i = 0; pod && i < pod->spec.initContainers.n; i++)
		if (str_eq(pod->spec.initContainers.v[i].name, name))
			return is_sidecar(&pod->spec.initContainers.v[i]);
	return false;
}

// Kills one group at the same time, and again with less grace when that is wanted meanwhile.
static bool kill_group(struct kubelet *k, struct worker *w, struct arena *a, const struct core_v1_Pod *pod, const struct rt_pod *rt,
                       bool sidecars, int64_t grace, struct error *err)
{
	struct killing all = { .k = k, .pod = pod, .grace = grace };
	struct victim *victims = ARENA_ARRAY(a, struct victim, rt->containers.n + 1);
	pthread_condattr_t attr;
	int n = 0;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&all.lock, NULL);
	pthread_cond_init(&all.done, &attr);
	pthread_condattr_destroy(&attr);
	for (size_t i = 0; i < rt->containers.n; i++) {
		const struct rt_container *c = &rt->containers.v[i];
		if (c->state != RT_RUNNING && c->state != RT_UNKNOWN)
			continue;
		if (sidecar_named(pod, c->name) == sidecars)
			victims[n++] = (struct victim){ &all, c };
	}
	all.left = n;
	for (int i = 0; i < n; i++)
		task_run(k->tasks, kill_one, &victims[i]);
	int64_t applied = grace;
	pthread_mutex_lock(&all.lock);
	while (all.left > 0) {
		int64_t at = clock_mono(k->clock) + 200 * NS_PER_MS, wanted = -1;
		struct timespec ts = { at / NS_PER_SEC, at % NS_PER_SEC };
		pthread_cond_timedwait(&all.done, &all.lock, &ts);
		if (!w || all.left == 0)
			continue;
		pthread_mutex_unlock(&all.lock);
		pthread_mutex_lock(&k->lock);
		wanted = w->grace;
		pthread_mutex_unlock(&k->lock);
		if (wanted >= 0 && applied >= 0 && wanted < applied) {
			applied = wanted;
			for (int i = 0; i < n; i++) {
				struct error ignored = { 0 };
				stop(k, a, victims[i].c->id, wanted, &ignored);
			}
		}
		pthread_mutex_lock(&all.lock);
	}
	pthread_mutex_unlock(&all.lock);
	pthread_mutex_destroy(&all.lock);
	pthread_cond_destroy(&all.done);
	if (all.failed)
		*err = all.err;
	return !all.failed;
}

bool pod_kill(struct kubelet *k, struct worker *w, struct arena *a, const struct core_v1_Pod *pod, const struct rt_pod *rt, int64_t grace,
              struct error *err)
{
	bool ok = kill_group(k, w, a, pod, rt, false, grace, err);
	ok = kill_group(k, w, a, pod, rt, true, grace, err) && ok;
	for (size_t i = 0; i < rt->sandboxes.n; i++) {
		struct cri_v1_StopPodSandboxRequest r = { .pod_sandbox_id = rt->sandboxes.v[i].id };
		struct error why = { 0 };
		if (!rt->sandboxes.v[i].ready && i > 0)
			continue;
		if (!CRI(&k->cri, a, StopPodSandbox, &r, SANDBOX_MS, &why) && !cri_not_found(&why) && ok)
			ok = error_set(err, "failed to \"KillPodSandbox\" for \"" STR_FMT "\" with KillPodSandboxError: " STR_FMT, STR_ARG(rt->uid),
			               STR_ARG(cri_error_text(a, &why)));
	}
	return ok;
}
