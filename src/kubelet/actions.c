#include "kubelet/actions.h"

#include "kubelet/util.h"

static void add_int(struct arena *a, struct int_list *l, int i)
{
	for (size_t k = 0; k < l->n; k++)
		if (l->v[k] == i)
			return;
	*LIST_ADD(a, l) = i;
}

str container_hash(struct arena *a, const struct core_v1_Container *c)
{
	return arena_printf(a, "%llx", (unsigned long long)str_hash(arena_concat(a, c->name, S("\n"), c->image)));
}

bool pod_sandbox_changed(const struct core_v1_Pod *pod, const struct rt_pod *rt, uint32_t *attempt, str *id)
{
	size_t ready = 0;
	*attempt = 0;
	*id = S("");
	if (rt->sandboxes.n == 0)
		return true;
	for (size_t i = 0; i < rt->sandboxes.n; i++)
		ready += rt->sandboxes.v[i].ready;
	const struct rt_sandbox *s = &rt->sandboxes.v[0];
	*attempt = s->attempt + 1;
	*id = s->id;
	if (ready > 1 || !s->ready)
		return true;
	if (s->host_network != host_network(pod)) {
		*id = S("");
		return true;
	}
	if (!host_network(pod) && s->ips.n == 0)
		return true;
	*attempt = s->attempt;
	return false;
}

bool container_restarts(const struct core_v1_Pod *pod, const struct core_v1_Container *c, int exit_code)
{
	str policy = c->restartPolicy ? *c->restartPolicy : pod->spec.restartPolicy;
	for (size_t i = 0; c->restartPolicy && i < c->restartPolicyRules.n; i++) {
		const struct core_v1_ContainerRestartRule *r = &c->restartPolicyRules.v[i];
		bool in = false;
		if (!r->exitCodes)
			continue;
		for (size_t k = 0; k < r->exitCodes->values.n; k++)
			in |= r->exitCodes->values.v[k] == exit_code;
		if (in == str_eqc(r->exitCodes->operator, "In"))
			return true;
	}
	if (str_eqc(policy, "Never"))
		return false;
	return !str_eqc(policy, "OnFailure") || exit_code != 0;
}

bool container_wanted(const struct core_v1_Pod *pod, const struct core_v1_Container *c, const struct rt_pod *rt)
{
	if (pod->metadata.deletionTimestamp)
		return false;
	const struct rt_container *s = rt_find(rt, c->name);
	if (!s || s->state == RT_UNKNOWN || s->state == RT_CREATED)
		return true;
	if (s->state == RT_RUNNING)
		return false;
	return container_restarts(pod, c, s->exit_code);
}

bool any_regular_created(const struct core_v1_Pod *pod, const struct rt_pod *rt)
{
	for (size_t i = 0; i < pod->spec.containers.n; i++) {
		const struct rt_container *s = rt_find(rt, pod->spec.containers.v[i].name);
		if (s && s->state != RT_UNKNOWN)
			return true;
	}
	return false;
}

static void add_kill(struct arena *a, struct pod_actions *out, const struct rt_container *s, enum kill_reason reason, str message)
{
	*LIST_ADD(a, &out->kill) = (struct kill_item){ .id = s->id, .name = s->name, .reason = reason, .message = message };
}

static enum probe_result probe_of(const struct probe_view *v, enum probe_kind kind, str id)
{
	return v && v->get ? v->get(v->ctx, kind, id) : PROBE_NONE;
}

// A running init container that shall go on running beside the pod. False: it has not started up yet.
static void running_sidecar(struct arena *a, const struct core_v1_Pod *pod, size_t i, const struct rt_container *s,
                            const struct probe_view *probes, bool previously, bool *initialized, struct pod_actions *out)
{
	const struct core_v1_Container *c = &pod->spec.initContainers.v[i];
	if (c->startupProbe) {
		enum probe_result r = probe_of(probes, PROBE_STARTUP, s->id);
		if (r == PROBE_FAILURE) {
			add_kill(a, out, s, KILL_STARTUP_PROBE, arena_concat(a, S("Init container "), c->name, S(" failed startup probe")));
			add_int(a, &out->init_start, (int)i);
		}
		if (r != PROBE_SUCCESS)
			return;
	}
	if (i == pod->spec.initContainers.n - 1)
		*initialized = true;
	else if (!previously)
		add_int(a, &out->init_start, (int)i + 1);
	if (!str_eq(s->hash, container_hash(a, c))) {
		add_kill(a, out, s, KILL_OTHER, arena_concat(a, S("Init container "), c->name, S(" definition changed")));
		add_int(a, &out->init_start, (int)i);
		return;
	}
	if (c->livenessProbe && probe_of(probes, PROBE_LIVENESS, s->id) == PROBE_FAILURE) {
		add_kill(a, out, s, KILL_LIVENESS_PROBE, arena_concat(a, S("Init container "), c->name, S(" failed liveness probe")));
		add_int(a, &out->init_start, (int)i);
	}
}

// Returns whether all init containers are done, so that the others may start.
static bool init_actions(struct arena *a, const struct core_v1_Pod *pod, const struct rt_pod *rt, const struct probe_view *probes,
                         struct pod_actions *out)
{
	bool initialized = false;
	size_t n = pod->spec.initContainers.n;
	if (n == 0)
		return true;
	for (size_t i = 0; i < pod->spec.containers.n; i++) {
		const struct rt_container *s = rt_find(rt, pod->spec.containers.v[i].name);
		initialized |= s && (s->state == RT_CREATED || s->state == RT_RUNNING);
	}
	bool previously = initialized;
	// From the last to the first: finished ones may be gone from the runtime, so the last known one tells where we are.
	for (size_t i = n; i-- > 0;) {
		const struct core_v1_Container *c = &pod->spec.initContainers.v[i];
		const struct rt_container *s = rt_find(rt, c->name);
		bool sidecar = is_sidecar(c);
		if (!s) {
			if (previously && sidecar)
				add_int(a, &out->init_start, (int)i);
			continue;
		}
		if (previously && !sidecar)
			continue;
		switch (s->state) {
		case RT_CREATED: // it could not be started
			add_int(a, &out->init_start, (int)i);
			break;
		case RT_RUNNING:
			if (sidecar)
				running_sidecar(a, pod, i, s, probes, previously, &initialized, out);
			break;
		case RT_EXITED:
			if (sidecar) {
				add_int(a, &out->init_start, (int)i);
			} else if (s->exit_code != 0) {
				if (!container_wanted(pod, c, rt)) {
					out->kill_pod = true;
					out->init_start.n = 0;
					return false;
				}
				add_int(a, &out->init_start, (int)i);
			} else if (i == n - 1) {
				initialized = true;
			} else {
				add_int(a, &out->init_start, (int)i + 1);
			}
			break;
		case RT_UNKNOWN:
			if (!sidecar && str_eqc(c->restartPolicy ? *c->restartPolicy : pod->spec.restartPolicy, "Never")) {
				out->kill_pod = true;
				out->init_start.n = 0;
				return false;
			}
			add_kill(a, out, s, KILL_OTHER, S("Init container is in \"unknown\" state, try killing it before restart"));
			add_int(a, &out->init_start, (int)i);
			break;
		}
		previously = true;
	}
	if (!previously)
		add_int(a, &out->init_start, 0);
	for (size_t i = 0; i < out->init_start.n / 2; i++) {
		int x = out->init_start.v[i];
		out->init_start.v[i] = out->init_start.v[out->init_start.n - 1 - i];
		out->init_start.v[out->init_start.n - 1 - i] = x;
	}
	return initialized;
}

static void new_sandbox_actions(struct arena *a, const struct core_v1_Pod *pod, const struct rt_pod *rt, struct pod_actions *out)
{
	struct int_list start = { 0 };
	bool restarts = !str_eqc(pod->spec.restartPolicy, "Never");
	out->kill_pod = out->create_sandbox = true;
	if (!restarts && out->attempt != 0 && rt->containers.n != 0) {
		out->create_sandbox = false; // it ran once, and that was it
		return;
	}
	for (size_t i = 0; i < pod->spec.containers.n; i++) {
		const struct core_v1_Container *c = &pod->spec.containers.v[i];
		const struct rt_container *s = rt_find(rt, c->name);
		str policy = c->restartPolicy ? *c->restartPolicy : pod->spec.restartPolicy;
		if (str_eqc(policy, "OnFailure") && s && s->state == RT_EXITED && s->exit_code == 0)
			continue;
		*LIST_ADD(a, &start) = (int)i;
	}
	if (start.n == 0 && any_regular_created(pod, rt)) {
		out->create_sandbox = false;
		return;
	}
	if (pod->spec.initContainers.n)
		add_int(a, &out->init_start, 0);
	else
		out->start = start;
}

void pod_actions_compute(struct arena *a, const struct core_v1_Pod *pod, const struct rt_pod *rt, const struct probe_view *probes,
                         struct pod_actions *out)
{
	*out = (struct pod_actions){ 0 };
	if (pod_sandbox_changed(pod, rt, &out->attempt, &out->sandbox_id)) {
		new_sandbox_actions(a, pod, rt, out);
		return;
	}
	if (!init_actions(a, pod, rt, probes, out) || out->kill_pod)
		return;
	size_t keep = 0;
	for (size_t i = 0; i < pod->spec.containers.n; i++) {
		const struct core_v1_Container *c = &pod->spec.containers.v[i];
		const struct rt_container *s = rt_find(rt, c->name);
		enum kill_reason reason = KILL_OTHER;
		str message;
		if (!s || s->state != RT_RUNNING) {
			if (!container_wanted(pod, c, rt))
				continue;
			add_int(a, &out->start, (int)i);
			if (s && s->state == RT_UNKNOWN)
				add_kill(a, out, s, KILL_OTHER, S("Container is in \"unknown\" state, try killing it before restart"));
			continue;
		}
		bool restart = !str_eqc(c->restartPolicy ? *c->restartPolicy : pod->spec.restartPolicy, "Never");
		if (!str_eq(s->hash, container_hash(a, c))) {
			message = arena_concat(a, S("Container "), c->name, S(" definition changed"));
			restart = true;
		} else if (probe_of(probes, PROBE_LIVENESS, s->id) == PROBE_FAILURE) {
			message = arena_concat(a, S("Container "), c->name, S(" failed liveness probe"));
			reason = KILL_LIVENESS_PROBE;
		} else if (probe_of(probes, PROBE_STARTUP, s->id) == PROBE_FAILURE) {
			message = arena_concat(a, S("Container "), c->name, S(" failed startup probe"));
			reason = KILL_STARTUP_PROBE;
		} else {
			keep++;
			continue;
		}
		if (restart) {
			message = arena_concat(a, message, S(", will be restarted"));
			add_int(a, &out->start, (int)i);
		}
		add_kill(a, out, s, reason, message);
	}
	if (keep == 0 && out->start.n == 0) {
		out->kill_pod = true;
		out->init_start.n = 0;
	}
}
