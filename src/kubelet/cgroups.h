// The pods' part of the cgroup tree, named as upstream's cgroupfs driver names it: <root>/kubepods/{burstable,besteffort}/pod<uid>.
// Works on v2, on v1 and, where the unified hierarchy has no controllers, on hybrid hosts.
#ifndef CORACLE_KUBELET_CGROUPS_H
#define CORACLE_KUBELET_CGROUPS_H

#include "kubelet/state.h"

// Finds out what the host has and makes the tree down to the QoS level.
bool cgroups_init(struct kubelet *k, struct error *err);
// "/kubepods/burstable/pod<uid>": the CRI's cgroup_parent.
str cgroup_pod_path(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod);
// Makes the pod's cgroup and writes its limits.
bool cgroup_pod_ensure(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod, struct error *err);
// Kills what is left in it and removes it. For a pod whose spec is unknown, all places are tried.
void cgroup_pod_remove(struct kubelet *k, struct arena *a, str uid);
// Uids of all pods that have a cgroup.
void cgroup_pods(struct kubelet *k, struct arena *a, struct str_list *uids);
struct cgroup_usage { uint64_t cpu_ns, memory, working_set, rss; };
bool cgroup_usage(struct kubelet *k, struct arena *a, str path, struct cgroup_usage *out);

// Rules of upstream's cm/helpers_linux.go.
int64_t cpu_shares(int64_t milli);
int64_t cpu_quota(int64_t milli, int64_t period_us); // 0: none
int64_t cpu_weight(int64_t shares);                  // v2's form of shares
int oom_score_adj(struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Container *c, int64_t capacity);
// CRI's resources of one container.
struct cri_v1_LinuxContainerResources *container_resources(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod,
                                                           const struct core_v1_Container *c);
struct cri_v1_LinuxContainerResources *linux_resources(struct kubelet *k, struct arena *a, bool has_request, int64_t cpu_request,
                                                       int64_t cpu_limit, int64_t memory_limit);
#define CPU_PERIOD_US 100000

#endif
