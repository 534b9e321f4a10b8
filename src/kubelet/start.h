// Sandboxes and containers: from the pod's spec to the CRI's configuration, and their start.
#ifndef CORACLE_KUBELET_START_H
#define CORACLE_KUBELET_START_H

#include "kubelet/state.h"

struct cri_v1_PodSandboxConfig *sandbox_config(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod, uint32_t attempt);
// Makes and starts a sandbox. On failure err has the text of the FailedCreatePodSandBox event.
bool sandbox_start(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod, struct cri_v1_PodSandboxConfig *config, str *id,
                   struct error *err);
// Pulls, creates, starts, runs postStart. False: why is noted with the worker (and in an event).
bool pod_container_start(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Container *c,
                     const struct rt_pod *rt, str sandbox_id, struct cri_v1_PodSandboxConfig *sandbox, const struct str_list *ips);
struct cri_v1_LinuxSandboxSecurityContext *sandbox_security(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod);
// False and upstream's words when the image's user breaks runAsNonRoot. uid < 0: not known.
bool check_non_root(struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Container *c, int64_t uid, str user,
                    struct error *err);
struct cri_v1_LinuxContainerSecurityContext *container_security(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod,
                                                                const struct core_v1_Container *c, int64_t uid, str user);

#endif
