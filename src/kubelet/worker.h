// Pod workers: from what the API says about a pod to what is done for it.
#ifndef CORACLE_KUBELET_WORKER_H
#define CORACLE_KUBELET_WORKER_H

#include "kubelet/state.h"

// Handler of the informer of pods.
void worker_pod_changed(struct object_ref *old, struct object_ref *obj, void *ctx);
// Something of the pod changed in the runtime at that time (wall clock). What a sync has seen already wakes nobody.
void worker_runtime_changed(struct kubelet *k, str uid, int64_t wall_ns);
// Removes a pod that only the runtime knows.
void orphan_remove(struct kubelet *k, str uid);
// All workers; references that the caller gives back (NULL-terminated, in the arena).
struct worker **workers_list(struct kubelet *k, struct arena *a);
// Ends all tasks (at the end of the process); containers go on running.
void workers_stop(struct kubelet *k);

// sync.c: one step for the pod in its phase. Returns true when the next phase can be done at once.
bool sync_running(struct worker *w, struct arena *a, const struct core_v1_Pod *pod);
bool sync_terminating(struct worker *w, struct arena *a, const struct core_v1_Pod *pod);
bool sync_terminated(struct worker *w, struct arena *a, const struct core_v1_Pod *pod);

// status_send.c
void status_store(struct worker *w, const struct core_v1_Pod *pod, struct core_v1_PodStatus *s);
void status_task(void *ctx); // ctx: the worker
// The newest status that is known of the pod, a copy.
struct core_v1_PodStatus *status_current(struct worker *w, struct arena *a, const struct core_v1_Pod *pod);

// admission.c: whether a new pod can run here beside the others; under kubelet.lock. False: reason and message of its failure.
bool pod_admit(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod, str *reason, str *message);

#endif
