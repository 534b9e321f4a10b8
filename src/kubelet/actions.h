// What to do next for a pod that shall run: pure decisions over its spec and what the runtime says. Rule: upstream
// kuberuntime computePodActions, computeInitContainerActions.
#ifndef CORACLE_KUBELET_ACTIONS_H
#define CORACLE_KUBELET_ACTIONS_H

#include "kubelet/rt.h"

enum probe_kind { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS, PROBE_KINDS };
enum probe_result { PROBE_NONE, PROBE_UNKNOWN, PROBE_SUCCESS, PROBE_FAILURE };
// Asks for the last result of a probe of a container (by its id in the runtime).
struct probe_view {
	enum probe_result (*get)(void *ctx, enum probe_kind kind, str container_id);
	void *ctx;
};

enum kill_reason { KILL_OTHER, KILL_STARTUP_PROBE, KILL_LIVENESS_PROBE, KILL_POST_START };
struct kill_item {
	str id, name, message;
	enum kill_reason reason;
};
struct int_list { int *v; size_t n; };
struct pod_actions {
	bool kill_pod;          // stop all containers and the sandbox
	bool create_sandbox;
	str sandbox_id;         // the one to use, or the one that is replaced
	uint32_t attempt;       // of the sandbox
	struct int_list init_start, start; // places in the spec's lists
	struct { struct kill_item *v; size_t n; } kill;
};

void pod_actions_compute(struct arena *a, const struct core_v1_Pod *pod, const struct rt_pod *rt, const struct probe_view *probes,
                         struct pod_actions *out);
// Whether a new sandbox is needed, and with which attempt number.
bool pod_sandbox_changed(const struct core_v1_Pod *pod, const struct rt_pod *rt, uint32_t *attempt, str *id);
// Whether a container that ended with this code is started again (pod and container restart policy and rules).
bool container_restarts(const struct core_v1_Pod *pod, const struct core_v1_Container *c, int exit_code);
// Whether the next sync starts it (again).
bool container_wanted(const struct core_v1_Pod *pod, const struct core_v1_Container *c, const struct rt_pod *rt);
// What identifies the parts of a container that may change: a restart follows when it does.
str container_hash(struct arena *a, const struct core_v1_Container *c);
bool any_regular_created(const struct core_v1_Pod *pod, const struct rt_pod *rt);

#endif
