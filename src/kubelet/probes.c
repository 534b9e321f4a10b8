#include "kubelet/probes.h"

#include <stdlib.h>

#include "kubelet/probe_run.h"
#include "object/meta.h"

struct probe {
	struct worker *w;           // a reference
	struct task *task;
	enum probe_kind kind;
	char *container;
	char *id;                   // of the container that the results are about; NULL: none yet
	enum probe_result result;   // what counts, after thresholds
	enum probe_result last;     // of the last run
	int run;                    // how often in a row `last` came
	int runs;                   // for this container
	bool on_hold, stopped;
	struct probe *next;
};

static const char *const kind_names[] = { "Startup", "Liveness", "Readiness" };

static const struct core_v1_Probe *spec_of(const struct core_v1_Container *c, enum probe_kind kind)
{
	return kind == PROBE_STARTUP ? c->startupProbe : kind == PROBE_LIVENESS ? c->livenessProbe : c->readinessProbe;
}

static str raw_id(str id)
{
	ptrdiff_t at = str_find(id, S("://"));
	return at >= 0 ? str_from(id, (size_t)at + 3) : id;
}

enum probe_result probe_last(void *ctx, enum probe_kind kind, str container_id)
{
	struct worker *w = ctx;
	LOCKED(&w->k->lock);
	for (struct probe *p = w->probes; p; p = p->next)
		if (p->kind == kind && p->id && str_eqc(container_id, p->id))
			return p->result;
	return PROBE_NONE;
}

// Under the lock. Wakes the worker when the result is another one.
static void set_result(struct probe *p, enum probe_result r)
{
	if (p->result == r)
		return;
	p->result = r;
	if (p->w->task)
		task_now(p->w->task);
}

// What a run needs to know, copied out of the state under the lock.
struct look {
	str id, pod_ip;
	const struct core_v1_Container *c;
	const struct core_v1_Probe *spec;
};

enum next { NEXT_RUN, NEXT_WAIT, NEXT_END };

// Under the lock: the same decisions as upstream's doProbe before it probes.
static enum next prepare(struct probe *p, struct arena *a, const struct core_v1_Pod *pod, struct look *out, int64_t *wait_ms)
{
	struct worker *w = p->w;
	const struct core_v1_PodStatus *s = w->status;
	str name = str_c(p->container);
	out->c = find_container(pod, name);
	out->spec = out->c ? spec_of(out->c, p->kind) : NULL;
	if (!out->spec)
		return NEXT_END;
	*wait_ms = MAX(out->spec->periodSeconds, 1) * 1000;
	if (!s)
		return NEXT_WAIT;
	if (str_eqc(s->phase, "Failed") || str_eqc(s->phase, "Succeeded"))
		return NEXT_END;
	const struct core_v1_ContainerStatus *c = find_status(&s->containerStatuses, name);
	if (!c)
		c = find_status(&s->initContainerStatuses, name);
	str id = c ? raw_id(c->containerID) : S("");
	if (!id.n)
		return NEXT_WAIT;
	if (!p->id || !str_eqc(id, p->id)) {
		free(p->id);
		p->id = heap_cstr(id);
		p->on_hold = false;
		p->run = p->runs = 0;
		p->last = PROBE_NONE;
		p->result = PROBE_NONE;
		// A container from before this kubelet keeps what it was until a probe has said something.
		bool old = c->state.running && c->state.running->startedAt.set &&
		           c->state.running->startedAt.sec < w->k->started_wall / NS_PER_SEC - 10;
		if (!old)
			p->result = p->kind == PROBE_READINESS ? PROBE_FAILURE : p->kind == PROBE_LIVENESS ? PROBE_SUCCESS : PROBE_UNKNOWN;
		else if (p->kind == PROBE_STARTUP && c->started && *c->started)
			p->result = PROBE_SUCCESS;
	}
	if (p->on_hold)
		return NEXT_WAIT;
	if (!c->state.running) {
		set_result(p, PROBE_FAILURE);
		if (c->state.terminated && !container_restarts(pod, out->c, c->state.terminated->exitCode) && !is_sidecar(out->c))
			return NEXT_END;
		return NEXT_WAIT;
	}
	if (pod->metadata.deletionTimestamp && p->kind != PROBE_READINESS) {
		set_result(p, PROBE_SUCCESS);
		return NEXT_END;
	}
	int64_t up_ms = clock_wall(w->k->clock) / NS_PER_MS - c->state.running->startedAt.sec * 1000;
	if (up_ms < (int64_t)out->spec->initialDelaySeconds * 1000) {
		*wait_ms = (int64_t)out->spec->initialDelaySeconds * 1000 - up_ms;
		return NEXT_WAIT;
	}
	bool started = c->started && *c->started;
	if (started == (p->kind == PROBE_STARTUP))
		return NEXT_WAIT;
	out->id = arena_dup(a, id);
	out->pod_ip = arena_dup(a, s->podIP);
	return NEXT_RUN;
}

static void run_now(struct probe *p, struct arena *a, const struct core_v1_Pod *pod, const struct look *l)
{
	struct kubelet *k = p->w->k;
	enum check r = CHECK_ERROR;
	str text = S("");
	k->counters[COUNT_PROBES]++;
	for (int i = 0; i < 3 && r == CHECK_ERROR; i++)
		r = probe_run(k, a, l->c, &l->spec->handler, l->id, l->pod_ip, MAX(l->spec->timeoutSeconds, 1) * 1000, &text);
	bool stopped;
	pthread_mutex_lock(&k->lock);
	stopped = p->stopped || !p->id || !str_eq(str_c(p->id), l->id);
	pthread_mutex_unlock(&k->lock);
	if (stopped) // the container was stopped meanwhile: that it does not answer says nothing
		return;
	if (r == CHECK_ERROR) {
		container_event(k, a, pod, l->c->name, "Warning", "Unhealthy", "%s probe errored and resulted in unknown state: " STR_FMT,
		                kind_names[p->kind], STR_ARG(text));
		return;
	}
	if (r == CHECK_WARNING)
		container_event(k, a, pod, l->c->name, "Warning", "ProbeWarning", "%s probe warning: " STR_FMT, kind_names[p->kind], STR_ARG(text));
	if (r == CHECK_FAILED)
		container_event(k, a, pod, l->c->name, "Warning", "Unhealthy", "%s probe failed: " STR_FMT, kind_names[p->kind], STR_ARG(text));
	enum probe_result result = r == CHECK_FAILED ? PROBE_FAILURE : PROBE_SUCCESS;
	LOCKED(&k->lock);
	if (p->stopped || !p->id || !str_eq(str_c(p->id), l->id))
		return;
	p->runs++;
	p->run = p->last == result ? p->run + 1 : 1;
	p->last = result;
	if (p->run < (result == PROBE_FAILURE ? l->spec->failureThreshold : l->spec->successThreshold))
		return;
	set_result(p, result);
	if ((p->kind == PROBE_LIVENESS && result == PROBE_FAILURE) || p->kind == PROBE_STARTUP) {
		// Nothing more until there is another container.
		p->on_hold = true;
		p->run = 0;
	}
}

static void probe_task(void *ctx)
{
	struct probe *p = ctx;
	struct kubelet *k = p->w->k;
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct look look = { 0 };
	int64_t wait_ms = 1000, began = clock_mono(k->clock);
	pthread_mutex_lock(&k->lock);
	if (p->stopped) {
		pthread_mutex_unlock(&k->lock);
		task_free(p->task);
		worker_unref(p->w);
		free(p->id);
		free(p->container);
		free(p);
		return;
	}
	_cleanup_object_ struct object_ref *ref = object_ref(p->w->pod);
	const struct core_v1_Pod *pod = object_of(ref);
	enum next next = prepare(p, a, pod, &look, &wait_ms);
	pthread_mutex_unlock(&k->lock);
	if (next == NEXT_RUN)
		run_now(p, a, pod, &look);
	if (next != NEXT_END)
		task_at(p->task, began + wait_ms * NS_PER_MS);
}

void probes_start(struct worker *w, const struct core_v1_Pod *pod)
{
	LOCKED(&w->k->lock);
	for (size_t i = 0; i < pod->spec.containers.n + pod->spec.initContainers.n; i++) {
		bool init = i >= pod->spec.containers.n;
		const struct core_v1_Container *c = init ? &pod->spec.initContainers.v[i - pod->spec.containers.n] : &pod->spec.containers.v[i];
		if (init && !is_sidecar(c))
			continue;
		for (enum probe_kind kind = 0; kind < PROBE_KINDS; kind++) {
			struct probe *have = NULL;
			for (struct probe *p = w->probes; p && !have; p = p->next)
				if (p->kind == kind && str_eqc(c->name, p->container))
					have = p;
			if (!spec_of(c, kind) || have)
				continue;
			struct probe *p = HEAP_NEW(struct probe);
			p->w = worker_ref(w);
			p->kind = kind;
			p->container = heap_cstr(c->name);
			p->task = task_new(w->k->tasks, probe_task, p);
			p->next = w->probes;
			w->probes = p;
			// After a restart of the kubelet not all at the same moment.
			int64_t period = MAX(spec_of(c, kind)->periodSeconds, 1) * 1000, spread = 0;
			if (clock_mono(w->k->clock) - w->k->started_mono < period * NS_PER_MS && !w->own.known_new && w->status)
				spread = (int64_t)rng_below(w->k->rng, (uint64_t)period);
			task_after(p->task, spread);
		}
	}
}

void probes_stop(struct worker *w, bool all)
{
	LOCKED(&w->k->lock);
	for (struct probe **at = &w->probes, *p; (p = *at);) {
		if (!all && p->kind == PROBE_READINESS) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		p->stopped = true;
		task_now(p->task); // it ends itself
	}
}

void probes_hurry(struct worker *w)
{
	LOCKED(&w->k->lock);
	for (struct probe *p = w->probes; p; p = p->next) {
		const struct core_v1_ContainerStatus *c = w->status ? find_status(&w->status->containerStatuses, str_c(p->container)) : NULL;
		if (!c && w->status)
			c = find_status(&w->status->initContainerStatuses, str_c(p->container));
		if (!c || !c->state.running)
			continue;
		bool new_one = !p->id || !str_eq(raw_id(c->containerID), str_c(p->id));
		bool started = c->started && *c->started;
		if (new_one || (p->runs == 0 && started && p->kind != PROBE_STARTUP))
			task_now(p->task);
	}
}
