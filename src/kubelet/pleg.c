#include "kubelet/pleg.h"

#include <stdio.h>

#include "kubelet/worker.h"

#define NO_EVENTS_RELIST_MS 1000
#define SILENCE_NS (30 * NS_PER_SEC)

struct pleg {
	struct kubelet *k;
	struct task *relist;
	atomic_bool events;   // the stream is open
};

static bool on_event(str message, void *ctx)
{
	struct pleg *p = ctx;
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct cri_v1_ContainerEventResponse *e = schema_from_pb(a, cri_v1_ContainerEventResponse_desc, message, &err);
	str uid = S("");
	p->k->counters[COUNT_EVENTS]++;
	atomic_store(&p->events, true);
	if (e && e->pod_sandbox_status && e->pod_sandbox_status->metadata)
		uid = e->pod_sandbox_status->metadata->uid;
	if (!uid.n && e && e->containers_statuses.n)
		uid = str_map_get(&e->containers_statuses.v[0].labels, S(LABEL_POD_UID));
	if (uid.n)
		worker_runtime_changed(p->k, uid, e->created_at > 0 ? e->created_at : clock_wall(p->k->clock));
	else
		task_after(p->relist, 20);
	return !atomic_load(&p->k->stop);
}

static void *events_main(void *arg)
{
	struct pleg *p = arg;
	struct kubelet *k = p->k;
	while (!atomic_load(&k->stop)) {
		struct error err = { 0 };
		_cleanup_buf_ struct buf empty = { 0 };
		int64_t from = clock_mono(k->clock);
		// The call itself says nothing when it succeeds; while it lasts the stream counts as open.
		atomic_store(&p->events, true);
		if (!grpc_call_stream(k->events, cri_v1_RuntimeService_GetContainerEvents_path, buf_str(&empty), on_event, p, 0, &err) &&
		    !atomic_load(&k->stop))
			log_debug("container events: %s", err.text);
		atomic_store(&p->events, false);
		task_now(p->relist);
		bool unsupported = err.sys == GRPC_UNIMPLEMENTED;
		if (unsupported || clock_mono(k->clock) - from < NS_PER_SEC)
			clock_sleep(k->clock, unsupported ? 60 * NS_PER_SEC : NS_PER_SEC / 5);
	}
	return NULL;
}

static void relist(void *ctx)
{
	struct pleg *p = ctx;
	struct kubelet *k = p->k;
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct rt_summary_list list;
	bool synced = atomic_load(&k->ready);
	if (rt_list(&k->cri, a, &list, &err)) {
		_cleanup_map_ struct map prints = { 0 };
		for (size_t i = 0; i < list.n; i++)
			map_put(&prints, list.v[i].uid, &list.v[i]);
		pthread_mutex_lock(&k->lock);
		k->runtime_seen_mono = clock_mono(k->clock);
		for (struct map_slot *s = NULL; (s = map_each(&k->workers, s));) {
			struct worker *w = s->value;
			const struct rt_summary *r = map_get(&prints, str_c(w->uid));
			uint64_t print = r ? r->print : 0;
			if (print != w->print && w->phase == PHASE_SYNC && w->task)
				task_now(w->task);
			w->print = print;
		}
		pthread_mutex_unlock(&k->lock);
		for (size_t i = 0; synced && i < list.n; i++) {
			struct worker *w = worker_find(k, list.v[i].uid);
			if (!w && list.v[i].running == 0 && !list.v[i].ready)
				continue; // nothing of it runs; garbage collection removes it
			if (!w)
				orphan_remove(k, list.v[i].uid);
			worker_unref(w);
		}
	} else {
		log_warn("relist: %s", err.text);
	}
	task_after(p->relist, atomic_load(&p->events) ? k->cfg.relist_ms : NO_EVENTS_RELIST_MS);
}

bool runtime_check(struct kubelet *k)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct cri_v1_StatusRequest r = { 0 };
	struct cri_v1_StatusResponse *s = CRI(&k->cri, a, Status, &r, 5000, &err);
	bool runtime = false, network = false;
	str runtime_why = S("container runtime is down"), network_why = S("container runtime status check may not have completed yet");
	if (!s || !s->status) {
		runtime_why = arena_concat(a, S("container runtime is down: "), error_str(&err));
	} else {
		for (size_t i = 0; i < s->status->conditions.n; i++) {
			const struct cri_v1_RuntimeCondition *c = &s->status->conditions.v[i];
			str why = arena_concat(a, c->type, S("=false reason:"), c->reason, S(" message:"), c->message);
			if (str_eqc(c->type, "RuntimeReady")) {
				runtime = c->status;
				runtime_why = arena_concat(a, S("container runtime not ready: "), why);
			} else if (str_eqc(c->type, "NetworkReady")) {
				network = c->status;
				network_why = arena_concat(a, S("container runtime network not ready: "), why);
			}
		}
	}
	LOCKED(&k->lock);
	// A runtime that is started anew is silent for a moment: that says nothing about the node.
	if (!s && k->runtime_seen_mono && clock_mono(k->clock) - k->runtime_seen_mono < SILENCE_NS)
		return false;
	bool changed = runtime != k->runtime_ready || network != k->network_ready;
	k->runtime_ready = runtime;
	k->network_ready = network;
	snprintf(k->runtime_problem, sizeof(k->runtime_problem), STR_FMT, STR_ARG(runtime_why));
	snprintf(k->network_problem, sizeof(k->network_problem), STR_FMT, STR_ARG(network_why));
	if (runtime)
		k->runtime_seen_mono = clock_mono(k->clock);
	return changed;
}

bool pleg_start(struct kubelet *k, struct error *err)
{
	struct pleg *p = ARENA_NEW(k->arena, struct pleg);
	pthread_t id;
	pthread_attr_t attr;
	p->k = k;
	k->pleg = p;
	p->relist = task_new(k->tasks, relist, p);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	int rc = pthread_create(&id, &attr, events_main, p);
	pthread_attr_destroy(&attr);
	if (rc != 0)
		return error_set(err, "cannot start the thread of container events");
	task_now(p->relist);
	return true;
}

void pleg_relist(struct kubelet *k)
{
	task_now(k->pleg->relist);
}
