// Hooks: postStart and preStop (exec, httpGet, sleep). Rule: upstream lifecycle/handlers.go.
#ifndef CORACLE_KUBELET_LIFECYCLE_H
#define CORACLE_KUBELET_LIFECYCLE_H

#include "kubelet/state.h"

// Runs it to its end, at most `limit_ms` (0: none). False: *message is what a container's status shows.
bool hook_run(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Container *c,
              const struct core_v1_LifecycleHandler *h, str container_id, str pod_ip, int limit_ms, str *message);

#endif
