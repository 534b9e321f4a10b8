#include "kubelet/worker.h"

#include <errno.h>
#include <stdlib.h>

#include "base/io.h"
#include "kubelet/cgroups.h"
#include "kubelet/kill.h"
#include "kubelet/probes.h"
#include "kubelet/volumes.h"
#include "object/meta.h"

#define REMOVE_MS (2 * 60 * 1000)
#define EVENT_MS 2 // what belongs together arrives together

struct worker *worker_ref(struct worker *w)
{
	atomic_fetch_add(&w->refs, 1);
	return w;
}

void worker_unref(struct worker *w)
{
	if (!w || atomic_fetch_sub(&w->refs, 1) != 1)
		return;
	for (struct note *n = w->own.notes; n; n = n->next) {
		free(n->reason);
		free(n->message);
		free(n->pull_error);
	}
	pod_tokens_free(w);
	arena_free(w->own.arena);
	arena_free(w->status_arena);
	arena_free(w->sent_arena);
	object_unref(w->pod);
	pthread_cond_destroy(&w->grace_cond);
	free(w->forced_reason);
	free(w->forced_message);
	free(w->uid);
	free(w->ns);
	free(w->name);
	free(w);
}

struct worker *worker_find(struct kubelet *k, str uid)
{
	LOCKED(&k->lock);
	struct worker *w = map_get(&k->workers, uid);
	return w ? worker_ref(w) : NULL;
}

struct worker *worker_find_name(struct kubelet *k, str ns, str name)
{
	struct worker *found = NULL;
	LOCKED(&k->lock);
	for (struct map_slot *s = NULL; (s = map_each(&k->workers, s));) {
		struct worker *w = s->value;
		// Where one was deleted and made again, the one that the API has counts.
		if (str_eqc(ns, w->ns) && str_eqc(name, w->name) && (!found || found->gone))
			found = w;
	}
	return found ? worker_ref(found) : NULL;
}

struct worker **workers_list(struct kubelet *k, struct arena *a)
{
	LOCKED(&k->lock);
	struct worker **list = ARENA_ARRAY(a, struct worker *, k->workers.n + 1);
	size_t n = 0;
	for (struct map_slot *s = NULL; (s = map_each(&k->workers, s));)
		list[n++] = worker_ref(s->value);
	return list;
}

void worker_wake(struct worker *w)
{
	LOCKED(&w->k->lock);
	if (w->task)
		task_now(w->task);
}

struct object_ref *worker_pod(struct worker *w)
{
	LOCKED(&w->k->lock);
	return w->pod ? object_ref(w->pod) : NULL;
}

bool worker_must_end(struct worker *w)
{
	LOCKED(&w->k->lock);
	return w->phase != PHASE_SYNC;
}

struct note *worker_note(struct worker *w, str container)
{
	for (struct note *n = w->own.notes; n; n = n->next)
		if (str_eq(n->name, container))
			return n;
	struct note *n = ARENA_NEW(w->own.arena, struct note);
	n->name = arena_dup(w->own.arena, container);
	n->next = w->own.notes;
	w->own.notes = n;
	return n;
}

void worker_clear_failure(struct worker *w, str container)
{
	struct note *n = worker_note(w, container);
	free(n->reason);
	free(n->message);
	n->reason = n->message = NULL;
}

void worker_fail(struct worker *w, str container, str reason, str message)
{
	struct note *n = worker_note(w, container);
	worker_clear_failure(w, container);
	n->reason = heap_cstr(reason);
	n->message = heap_cstr(message);
}

char *pod_dir(struct kubelet *k, struct arena *a, str uid, const char *rest)
{
	return arena_cstr(a, arena_concat(a, str_c(k->cfg.root_dir), S("/pods/"), uid, rest ? S("/") : S(""), str_c(rest)));
}

char *pod_log_dir(struct kubelet *k, struct arena *a, const struct meta_v1_ObjectMeta *m, str rest)
{
	return arena_cstr(a, arena_concat(a, str_c(k->cfg.log_dir), S("/"), m->namespace, S("_"), m->name, S("_"), m->uid,
	                                  rest.n ? S("/") : S(""), rest));
}

// --- The end of a worker -----------------------------------------------------------------------------------------------

// Removes all that the runtime has of the pod.
static bool remove_runtime(struct kubelet *k, struct arena *a, const struct rt_pod *rt)
{
	bool ok = true;
	for (size_t i = 0; i < rt->containers.n; i++) {
		struct cri_v1_RemoveContainerRequest r = { .container_id = rt->containers.v[i].id };
		struct error err = { 0 };
		if (!CRI(&k->cri, a, RemoveContainer, &r, REMOVE_MS, &err) && !cri_not_found(&err)) {
			log_warn("remove container " STR_FMT ": %s", STR_ARG(rt->containers.v[i].id), err.text);
			ok = false;
		}
	}
	for (size_t i = 0; i < rt->sandboxes.n; i++) {
		struct cri_v1_RemovePodSandboxRequest r = { .pod_sandbox_id = rt->sandboxes.v[i].id };
		struct error err = { 0 };
		if (!CRI(&k->cri, a, RemovePodSandbox, &r, REMOVE_MS, &err) && !cri_not_found(&err)) {
			log_warn("remove sandbox " STR_FMT ": %s", STR_ARG(rt->sandboxes.v[i].id), err.text);
			ok = false;
		}
	}
	return ok;
}

static void remove_logs(struct kubelet *k, struct arena *a, str ns, str name, str uid)
{
	struct meta_v1_ObjectMeta m = { .name = name, .namespace = ns, .uid = uid };
	struct error err = { 0 };
	if (!name.n || !io_remove_tree(pod_log_dir(k, a, &m, S("")), &err))
		log_debug("logs of " STR_FMT ": %s", STR_ARG(name), err.text);
}

// The pod is finished and no longer in the API: nothing of it stays.
static bool clean_up(struct worker *w, struct arena *a)
{
	struct kubelet *k = w->k;
	struct error err = { 0 };
	struct rt_pod rt;
	if (!rt_pod_fetch(&k->cri, a, str_c(w->uid), &rt, &err) || !remove_runtime(k, a, &rt)) {
		task_after(w->task, 5000);
		return false;
	}
	if (!volumes_teardown(k, a, str_c(w->uid), &err))
		log_warn("pod %s/%s: %s", w->ns, w->name, err.text);
	remove_logs(k, a, str_c(w->ns), str_c(w->name), str_c(w->uid));
	return true;
}

static void worker_end(struct worker *w)
{
	struct kubelet *k = w->k;
	probes_stop(w, true);
	pthread_mutex_lock(&k->lock);
	map_del(&k->workers, str_c(w->uid));
	struct task *own = w->task, *status = w->status_task;
	w->task = NULL;
	pthread_mutex_unlock(&k->lock);
	task_free(own);
	// The status task may run now: it ends itself, and with it its reference.
	task_now(status);
	worker_unref(w);
}

static void worker_task(void *ctx)
{
	struct worker *w = ctx;
	struct kubelet *k = w->k;
	bool again = true;
	while (again && !atomic_load(&k->stop)) {
		struct arena *a = arena_new(16 * 1024);
		pthread_mutex_lock(&k->lock);
		struct object_ref *ref = object_ref(w->pod);
		enum phase phase = w->phase;
		bool gone = w->gone;
		w->in_sync = true;
		pthread_mutex_unlock(&k->lock);
		const struct core_v1_Pod *pod = object_of(ref);
		again = false;
		k->counters[COUNT_SYNCS]++;
		switch (phase) {
		case PHASE_SYNC:
			again = sync_running(w, a, pod);
			break;
		case PHASE_TERMINATING:
			again = sync_terminating(w, a, pod);
			break;
		case PHASE_TERMINATED:
			again = sync_terminated(w, a, pod);
			break;
		case PHASE_FINISHED:
			if (!gone) {
				task_now(w->status_task);
			} else if (clean_up(w, a)) {
				object_unref(ref);
				arena_free(a);
				worker_end(w);
				return;
			}
			break;
		}
		object_unref(ref);
		arena_free(a);
	}
	LOCKED(&k->lock);
	w->in_sync = false;
	if (w->phase == PHASE_SYNC && w->event_wall > w->fetched_wall)
		task_after(w->task, EVENT_MS);
}

// --- From the API --------------------------------------------------------------------------------------------------------

static bool same_map(const struct str_map *x, const struct str_map *y)
{
	if (x->n != y->n)
		return false;
	for (size_t i = 0; i < x->n; i++)
		if (!str_eq(x->v[i].key, y->v[i].key) || !str_eq(x->v[i].value, y->v[i].value))
			return false;
	return true;
}

// Whether there is something to do; our own status coming back is not.
static bool needs_sync(const struct core_v1_Pod *old, const struct core_v1_Pod *pod)
{
	return old->metadata.generation != pod->metadata.generation || !old->metadata.deletionTimestamp != !pod->metadata.deletionTimestamp ||
	       !same_map(&old->metadata.labels, &pod->metadata.labels) || !same_map(&old->metadata.annotations, &pod->metadata.annotations) ||
	       pod->spec.readinessGates.n > 0;
}

static struct worker *worker_new(struct kubelet *k, struct object_ref *ref)
{
	const struct meta_v1_ObjectMeta *m = object_ref_meta(ref);
	struct worker *w = HEAP_NEW(struct worker);
	pthread_condattr_t attr;
	w->k = k;
	w->uid = heap_cstr(m->uid);
	w->ns = heap_cstr(m->namespace);
	w->name = heap_cstr(m->name);
	w->pod = object_ref(ref);
	w->grace = -1;
	w->may_run = true;
	w->own.arena = arena_new(512);
	// A pod that came after the first listing, and whose status nobody has written, cannot have been started by a kubelet before
	// this one: the runtime need not be asked.
	w->own.known_new = atomic_load(&k->ready) && !((const struct core_v1_Pod *)object_of(ref))->status.startTime;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->grace_cond, &attr);
	pthread_condattr_destroy(&attr);
	atomic_init(&w->refs, 2);
	w->task = task_new(k->tasks, worker_task, w);
	w->status_task = task_new(k->tasks, status_task, w);
	map_put(&k->workers, str_c(w->uid), w);
	return w;
}

// The pod shall end: with this many seconds, fewer than before if it was ending already.
static void end_with(struct worker *w, int64_t grace)
{
	if (w->phase == PHASE_SYNC)
		w->phase = PHASE_TERMINATING;
	if (grace >= 0 && (w->grace < 0 || grace < w->grace))
		w->grace = MAX(grace, 1);
}

static void pod_added(struct kubelet *k, struct object_ref *ref)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	const struct core_v1_Pod *pod = object_of(ref);
	str reason, message;
	log_debug("pod " STR_FMT " is new", STR_ARG(pod->metadata.name));
	pthread_mutex_lock(&k->lock);
	// One that has a start time was let in by a kubelet before.
	bool admitted = pod->status.startTime || pod->metadata.deletionTimestamp || pod_admit(k, a, pod, &reason, &message);
	struct worker *w = worker_new(k, ref);
	w->admitted = admitted;
	if (str_eqc(pod->status.phase, "Failed") && pod->status.containerStatuses.n == 0) {
		// A kubelet before this one rejected it: it stays as it is.
		w->admitted = false;
		w->forced_reason = heap_cstr(pod->status.reason);
		w->forced_message = heap_cstr(pod->status.message);
		w->phase = PHASE_TERMINATING;
	}
	if (!admitted) {
		w->forced_reason = heap_cstr(reason);
		w->forced_message = heap_cstr(arena_concat(a, S("Pod was rejected: "), message));
		w->phase = PHASE_TERMINATING;
	}
	if (pod->metadata.deletionTimestamp)
		end_with(w, pod->metadata.deletionGracePeriodSeconds ? *pod->metadata.deletionGracePeriodSeconds : -1);
	task_now(w->task);
	pthread_mutex_unlock(&k->lock);
	if (!admitted)
		pod_event(k, pod, "Warning", arena_cstr(a, reason), STR_FMT, STR_ARG(message));
}

#define RECONCILE_MS 100 // our own writes come back within this time and find nothing to do

void worker_pod_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct kubelet *k = ctx;
	struct object_ref *ref = obj ? obj : old;
	if (obj && old && !str_eq(object_ref_meta(old)->uid, object_ref_meta(obj)->uid))
		worker_pod_changed(old, NULL, ctx); // deleted and made again between two looks
	pthread_mutex_lock(&k->lock);
	struct worker *w = map_get(&k->workers, object_ref_meta(ref)->uid);
	if (!w) {
		pthread_mutex_unlock(&k->lock);
		if (obj)
			pod_added(k, obj);
		return;
	}
	bool wake = !obj || needs_sync(object_of(w->pod), object_of(obj));
	if (!obj) {
		w->gone = true;
		end_with(w, -1);
	} else {
		const struct core_v1_Pod *pod = object_of(obj);
		object_unref(w->pod);
		w->pod = object_ref(obj);
		if (pod->metadata.deletionTimestamp)
			end_with(w, pod->metadata.deletionGracePeriodSeconds ? *pod->metadata.deletionGracePeriodSeconds : -1);
		// Somebody else may have written our part of the status (Ready=False while the node was silent): look, and say it again.
		if (w->task && w->status && w->status_sent == w->status_version)
			task_after(w->status_task, RECONCILE_MS);
	}
	if (wake && w->task)
		task_now(w->task);
	pthread_mutex_unlock(&k->lock);
}

void worker_runtime_changed(struct kubelet *k, str uid, int64_t wall_ns)
{
	LOCKED(&k->lock);
	struct worker *w = map_get(&k->workers, uid);
	if (!w || !w->task || wall_ns <= w->fetched_wall)
		return;
	w->event_wall = MAX(w->event_wall, wall_ns);
	if (w->phase == PHASE_SYNC && !w->in_sync)
		task_after(w->task, EVENT_MS);
}

void workers_stop(struct kubelet *k)
{
	pthread_mutex_lock(&k->lock);
	for (struct map_slot *s = NULL; (s = map_each(&k->workers, s));) {
		struct worker *w = s->value;
		task_cancel(w->task);
		task_cancel(w->status_task);
	}
	pthread_mutex_unlock(&k->lock);
}

// --- Orphans -------------------------------------------------------------------------------------------------------------

struct orphan {
	struct kubelet *k;
	char *uid;
};

static void orphan_run(void *ctx)
{
	struct orphan *o = ctx;
	struct kubelet *k = o->k;
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct rt_pod rt;
	str uid = str_c(o->uid);
	if (rt_pod_fetch(&k->cri, a, uid, &rt, &err)) {
		log_info("pod " STR_FMT "/" STR_FMT " (%s) is no longer in the API, removing it", STR_ARG(rt.ns), STR_ARG(rt.name), o->uid);
		if (!pod_kill(k, NULL, a, NULL, &rt, -1, &err))
			log_warn("orphaned pod %s: %s", o->uid, err.text);
		else
			remove_runtime(k, a, &rt);
		if (!volumes_teardown(k, a, uid, &err))
			log_warn("orphaned pod %s: %s", o->uid, err.text);
		cgroup_pod_remove(k, a, uid);
		remove_logs(k, a, rt.ns, rt.name, uid);
	}
	free(o->uid);
	free(o);
}

void orphan_remove(struct kubelet *k, str uid)
{
	struct orphan *o = HEAP_NEW(struct orphan);
	o->k = k;
	o->uid = heap_cstr(uid);
	task_run(k->tasks, orphan_run, o);
}
