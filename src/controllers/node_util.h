// Taints and conditions of nodes: what node_lifecycle.c and taint_eviction.c share.
#ifndef CORACLE_CONTROLLERS_NODE_UTIL_H
#define CORACLE_CONTROLLERS_NODE_UTIL_H

#include "controllers/common.h"

const struct core_v1_NodeCondition *node_condition(const struct core_v1_Node *n, str type);
bool taint_is(const struct core_v1_Taint *t, str key, str effect);
bool has_taint(const struct core_v1_Taint_list *l, str key, str effect);
// The NoSchedule taints that the node's conditions and spec.unschedulable ask for.
void wanted_no_schedule(struct arena *a, const struct core_v1_Node *n, struct api_time now,
                        struct core_v1_Taint_list *out);
// Whether this NoSchedule taint is one that conditions make.
bool is_condition_taint(const struct core_v1_Taint *t);
// Writes the list into the node (only onto this version of it).
bool write_taints(struct manager *m, struct arena *a, const struct core_v1_Node *n,
                  const struct core_v1_Taint_list *taints, struct error *err);

// Whether the pod's nodeSelector and required node affinity let it run on the node.
bool node_selected(struct arena *a, const struct core_v1_PodSpec *spec, const struct core_v1_Node *n);
// How long the pod may stay on a node with these taints, in seconds: 0 not at all, -1 for ever.
int64_t toleration_seconds(const struct core_v1_Taint_list *taints, const struct core_v1_Pod *p);
// Sets a condition of the pod through /status (DisruptionTarget) and, where phase is not empty, its phase.
bool pod_mark(struct manager *m, struct arena *a, const struct core_v1_Pod *p, str phase, const char *reason,
              const char *message, struct error *err);

#define TAINT_NOT_READY S("node.kubernetes.io/not-ready")
#define TAINT_UNREACHABLE S("node.kubernetes.io/unreachable")

#endif
