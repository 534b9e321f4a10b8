// Keeps the newest status of each pod and brings it to the API: one patch at a time per pod, the newest wins.
#include "kubelet/status.h"
#include "kubelet/worker.h"

// A status that only says "on its way" waits this long, so that a pod that starts quickly costs one write and not three.
#define CALM_MS 100

static bool just_starting(const struct core_v1_PodStatus *s)
{
	if (!str_eqc(s->phase, "Pending"))
		return false;
	for (int init = 0; init < 2; init++) {
		const struct core_v1_ContainerStatus_list *l = init ? &s->initContainerStatuses : &s->containerStatuses;
		for (size_t i = 0; i < l->n; i++) {
			const struct core_v1_ContainerState *c = &l->v[i].state;
			if (!c->waiting || (!str_eqc(c->waiting->reason, "ContainerCreating") && !str_eqc(c->waiting->reason, "PodInitializing")))
				return false;
		}
	}
	return true;
}

struct core_v1_PodStatus *status_current(struct worker *w, struct arena *a, const struct core_v1_Pod *pod)
{
	LOCKED(&w->k->lock);
	return schema_clone(a, core_v1_PodStatus_desc, w->status ? w->status : &pod->status);
}

void status_store(struct worker *w, const struct core_v1_Pod *pod, struct core_v1_PodStatus *s)
{
	struct kubelet *k = w->k;
	struct arena *a = arena_new(2048);
	struct core_v1_PodStatus *copy = schema_clone(a, core_v1_PodStatus_desc, s);
	pthread_mutex_lock(&k->lock);
	status_settle(a, pod, w->status ? w->status : &pod->status, copy, clock_wall(k->clock));
	if (w->status && schema_equal(core_v1_PodStatus_desc, w->status, copy)) {
		pthread_mutex_unlock(&k->lock);
		arena_free(a);
		return;
	}
	struct arena *old = w->status_arena;
	// Parts that were taken over from the status before must outlive it.
	struct arena *fresh = arena_new(2048);
	w->status = schema_clone(fresh, core_v1_PodStatus_desc, copy);
	w->status_arena = fresh;
	w->status_version++;
	task_after(w->status_task, just_starting(copy) ? CALM_MS : 0);
	pthread_mutex_unlock(&k->lock);
	arena_free(old);
	arena_free(a);
}

static int64_t version_of(const struct core_v1_Pod *pod)
{
	int64_t v = 0;
	str_to_i64(pod->metadata.resourceVersion, &v);
	return v;
}

static bool send(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_PodStatus *status, bool may_run,
                 struct error *err)
{
	struct kubelet *k = w->k;
	const struct core_v1_PodStatus *base = &pod->status;
	if (w->sent && w->sent_version > version_of(pod)) {
		base = w->sent;
	} else if (w->sent_arena) {
		arena_free(w->sent_arena);
		w->sent_arena = NULL;
		w->sent = NULL;
	}
	struct core_v1_PodStatus *merged = status_merge(a, base, status, may_run);
	str patch = status_patch(a, pod->metadata.uid, base, merged);
	if (!patch.n)
		return true;
	int64_t from = clock_mono(k->clock);
	k->counters[COUNT_PATCHES]++;
	struct core_v1_Pod *answer = client_patch(k->client, a, k->r_pods, "status", pod->metadata.namespace, pod->metadata.name, PATCH_STRATEGIC,
	                                          patch, err);
	if (!answer)
		return false;
	log_debug("pod %s: status %.*s sent in %lld us", w->name, STR_ARG(merged->phase), (long long)(clock_mono(k->clock) - from) / 1000);
	arena_free(w->sent_arena);
	w->sent_arena = arena_new(2048);
	w->sent = schema_clone(w->sent_arena, core_v1_PodStatus_desc, &answer->status);
	w->sent_version = version_of(answer);
	return true;
}

void status_task(void *ctx)
{
	struct worker *w = ctx;
	struct kubelet *k = w->k;
	_cleanup_arena_ struct arena *a = arena_new(8192);
	struct error err = { 0 };
	pthread_mutex_lock(&k->lock);
	if (!w->task) { // the worker has ended
		struct task *own = w->status_task;
		pthread_mutex_unlock(&k->lock);
		task_free(own);
		worker_unref(w);
		return;
	}
	struct object_ref *ref = object_ref(w->pod);
	bool gone = w->gone, may_run = w->may_run, finished = w->phase == PHASE_FINISHED;
	uint64_t version = w->status_version;
	struct core_v1_PodStatus *status = w->status ? schema_clone(a, core_v1_PodStatus_desc, w->status) : NULL;
	pthread_mutex_unlock(&k->lock);
	const struct core_v1_Pod *pod = object_of(ref);
	bool ok = true;
	if (!gone && status)
		ok = send(w, a, pod, status, may_run, &err);
	if (ok && !gone && finished && pod->metadata.deletionTimestamp) {
		struct delete_opts o = { .grace_seconds = 0, .uid = pod->metadata.uid };
		ok = client_delete(k->client, k->r_pods, pod->metadata.namespace, pod->metadata.name, &o, &err);
	}
	pthread_mutex_lock(&k->lock);
	if (ok)
		w->status_sent = version;
	pthread_mutex_unlock(&k->lock);
	// A pod that is gone, or is another one by now: the informer will say so.
	if (!ok && err.code != 404 && err.code != 409) {
		log_warn("pod %s/%s: status: %s", w->ns, w->name, err.text);
		task_after(w->status_task, 1000);
	}
	object_unref(ref);
}
