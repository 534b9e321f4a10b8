// What `kubectl get pods` shows. Rule: pkg/printers/internalversion, printPod.
#include "apiserver/kinds/kinds.h"

struct pod_state {
	str reason;
	int64_t restarts;
	size_t ready, total;
	struct api_time last_restart;
};

static bool earlier(struct api_time x, struct api_time y)
{
	return !x.set ? y.set : y.set && (x.sec < y.sec || (x.sec == y.sec && x.nsec < y.nsec));
}

static void note_restart(struct api_time *last, const struct core_v1_ContainerStatus *c)
{
	if (c->lastState.terminated && earlier(*last, c->lastState.terminated->finishedAt))
		*last = c->lastState.terminated->finishedAt;
}

static bool restartable(const struct core_v1_Pod *p, str name)
{
	EACH (c, p->spec.initContainers)
		if (str_eq(c->name, name))
			return c->restartPolicy && str_eq(*c->restartPolicy, S("Always"));
	return false;
}

static str end_reason(struct arena *a, const struct core_v1_ContainerStateTerminated *t, const char *prefix)
{
	if (t->reason.n)
		return arena_concat(a, str_c(prefix), t->reason);
	if (t->signal)
		return arena_printf(a, "%sSignal:%d", prefix, t->signal);
	return arena_printf(a, "%sExitCode:%d", prefix, t->exitCode);
}

// True while init containers are at work (or failed).
static bool initializing(struct arena *a, const struct core_v1_Pod *p, struct pod_state *s, int64_t *sidecar_restarts, struct api_time *sidecar_last)
{
	EACH (c, p->status.initContainerStatuses) {
		bool sidecar = restartable(p, c->name);
		s->restarts += c->restartCount;
		note_restart(&s->last_restart, c);
		if (sidecar) {
			*sidecar_restarts += c->restartCount;
			note_restart(sidecar_last, c);
		}
		if (c->state.terminated && c->state.terminated->exitCode == 0)
			continue;
		if (sidecar && c->started && *c->started) {
			s->ready += c->ready;
			continue;
		}
		if (c->state.terminated)
			s->reason = end_reason(a, c->state.terminated, "Init:");
		else if (c->state.waiting && c->state.waiting->reason.n && !str_eq(c->state.waiting->reason, S("PodInitializing")))
			s->reason = arena_concat(a, S("Init:"), c->state.waiting->reason);
		else
			s->reason = arena_printf(a, "Init:%zu/%zu", INDEX(c, p->status.initContainerStatuses), p->spec.initContainers.n);
		return true;
	}
	return false;
}

static void running(struct arena *a, const struct core_v1_Pod *p, struct pod_state *s)
{
	bool has_running = false;
	str error = S("");
	for (size_t i = p->status.containerStatuses.n; i-- > 0;) {
		const struct core_v1_ContainerStatus *c = &p->status.containerStatuses.v[i];
		s->restarts += c->restartCount;
		note_restart(&s->last_restart, c);
		if (c->state.waiting && c->state.waiting->reason.n) {
			s->reason = c->state.waiting->reason;
		} else if (c->state.terminated) {
			s->reason = end_reason(a, c->state.terminated, "");
			if (c->state.terminated->exitCode)
				error = s->reason;
		} else if (c->ready && c->state.running) {
			has_running = true;
			s->ready++;
		}
	}
	if (!str_eq(s->reason, S("Completed")))
		return;
	if (has_running && pod_is_ready(p))
		s->reason = S("Running");
	else if (error.n)
		s->reason = error;
	else if (has_running)
		s->reason = S("NotReady");
}

static struct pod_state pod_state(struct arena *a, const struct core_v1_Pod *p)
{
	struct pod_state s = { .reason = p->status.reason.n ? p->status.reason : p->status.phase, .total = p->spec.containers.n };
	const struct core_v1_PodCondition *scheduled = pod_condition(p, S("PodScheduled")), *initialized = pod_condition(p, S("Initialized"));
	if (scheduled && str_eq(scheduled->reason, S("SchedulingGated")))
		s.reason = S("SchedulingGated");
	EACH (c, p->spec.initContainers)
		s.total += c->restartPolicy && str_eq(*c->restartPolicy, S("Always"));
	int64_t sidecar_restarts = 0;
	struct api_time sidecar_last = { 0 };
	if (!initializing(a, p, &s, &sidecar_restarts, &sidecar_last) || (initialized && str_eq(initialized->status, S("True")))) {
		s.restarts = sidecar_restarts;
		s.last_restart = sidecar_last;
		running(a, p, &s);
	}
	if (p->metadata.deletionTimestamp && str_eq(p->status.reason, S("NodeLost")))
		s.reason = S("Unknown");
	else if (p->metadata.deletionTimestamp && !pod_is_terminal(p))
		s.reason = S("Terminating");
	return s;
}

static str readiness_gates(struct arena *a, const struct core_v1_Pod *p)
{
	size_t met = 0;
	EACH (g, p->spec.readinessGates) {
		const struct core_v1_PodCondition *c = pod_condition(p, g->conditionType);
		met += c && str_eq(c->status, S("True"));
	}
	return p->spec.readinessGates.n ? arena_printf(a, "%zu/%zu", met, p->spec.readinessGates.n) : S("<none>");
}

CELLS(pod, core_v1_Pod)
{
	struct pod_state s = pod_state(r->a, o);
	row_text(r, o->metadata.name);
	row_text(r, arena_printf(r->a, "%zu/%zu", s.ready, s.total));
	row_text(r, s.reason);
	if (s.restarts && s.last_restart.set) {
		str ago = since_text(r->a, s.last_restart, r->now);
		row_text(r, arena_printf(r->a, "%lld (" STR_FMT " ago)", (long long)s.restarts, STR_ARG(ago)));
	} else {
		row_text(r, arena_printf(r->a, "%lld", (long long)s.restarts));
	}
	row_since(r, o->metadata.creationTimestamp);
	row_text(r, or_none(o->status.podIPs.n ? o->status.podIPs.v[0].ip : S("")));
	row_text(r, or_none(o->spec.nodeName));
	row_text(r, or_none(o->status.nominatedNodeName));
	row_text(r, readiness_gates(r->a, o));
}
