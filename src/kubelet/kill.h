// Stopping containers: preStop hooks, grace periods, in parallel for the containers of a pod (sidecars last).
#ifndef CORACLE_KUBELET_KILL_H
#define CORACLE_KUBELET_KILL_H

#include "kubelet/state.h"

// One container. pod may be NULL (a pod that is gone): then the notes of the container itself tell how. message: of the Killing
// event, empty for the usual one. grace < 0: what spec and reason say.
bool container_kill(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod, const struct rt_container *c, str message,
                    enum kill_reason reason, int64_t grace, struct error *err);
// All running containers, then the sandboxes. With a worker, a grace period that becomes shorter meanwhile is obeyed.
bool pod_kill(struct kubelet *k, struct worker *w, struct arena *a, const struct core_v1_Pod *pod, const struct rt_pod *rt, int64_t grace,
              struct error *err);

#endif
