// Probes of running containers: startup, liveness, readiness. Rule: upstream prober/worker.go.
#ifndef CORACLE_KUBELET_PROBES_H
#define CORACLE_KUBELET_PROBES_H

#include "kubelet/state.h"

// Starts a task for each probe in the pod's spec that has none yet.
void probes_start(struct worker *w, const struct core_v1_Pod *pod);
// Ends them: all, or only startup and liveness (a pod that is being stopped stays in or out of Services by readiness).
void probes_stop(struct worker *w, bool all);
// Looks for readiness now: a container has just started.
void probes_hurry(struct worker *w);
// For actions.h and status.h; ctx: the worker.
enum probe_result probe_last(void *ctx, enum probe_kind kind, str container_id);

#endif
