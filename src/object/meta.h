// What all components know about objects in general: names, owners, pods in the eyes of controllers.
#ifndef CORACLE_OBJECT_META_H
#define CORACLE_OBJECT_META_H

#include "schema/schema.h"
#include "schema_gen.h"

// Name rules (RFC 1123 label and subdomain, RFC 1035 label, qualified names, label values). When the name is wrong the texts
// of upstream's validators are added to `why` (apimachinery util/validation), otherwise nothing.
void name_is_dns1123_label(struct arena *a, str s, struct str_list *why);
void name_is_dns1123_subdomain(struct arena *a, str s, struct str_list *why);
void name_is_dns1035_label(struct arena *a, str s, struct str_list *why);
void name_is_qualified(struct arena *a, str s, struct str_list *why);
void name_is_label_value(struct arena *a, str s, struct str_list *why);

// The owner that controls the object (controller: true); NULL: none.
const struct meta_v1_OwnerReference *meta_controller(const struct meta_v1_ObjectMeta *m);
bool meta_controlled_by(const struct meta_v1_ObjectMeta *m, str uid);
struct meta_v1_OwnerReference meta_owner_ref(struct arena *a, str api_version, str kind, str name, str uid); // controller and blockOwnerDeletion true
bool meta_has_finalizer(const struct meta_v1_ObjectMeta *m, str finalizer);

// Pods.
const struct core_v1_PodCondition *pod_condition(const struct core_v1_Pod *p, str type);
bool pod_is_ready(const struct core_v1_Pod *p);
bool pod_is_available(const struct core_v1_Pod *p, int32_t min_ready_seconds, int64_t now_sec);
bool pod_is_terminal(const struct core_v1_Pod *p); // Succeeded or Failed
// Sum over containers, the greatest init container, overhead, pod-level resources: what the scheduler counts (upstream: PodRequests).
void pod_requests(struct arena *a, const struct core_v1_Pod *p, struct quantity_map *out);
void pod_limits(struct arena *a, const struct core_v1_Pod *p, struct quantity_map *out);
str pod_qos_class(struct arena *a, const struct core_v1_Pod *p); // "Guaranteed", "Burstable", "BestEffort"
bool toleration_tolerates(const struct core_v1_Toleration *t, const struct core_v1_Taint *taint);
// The hash that names ReplicaSets (pod-template-hash): stable text of a pod template and collision count.
str pod_template_hash(struct arena *a, const struct core_v1_PodTemplateSpec *t, const int32_t *collision_count);
// meta/v1 times.
struct api_time api_time_now(int64_t wall_ns);             // whole seconds, as meta/v1 Time is kept
struct api_time api_microtime_now(int64_t wall_ns);
int64_t api_time_ns(struct api_time t);

#endif
