// From Services to the pods behind them: what endpoints.c and endpointslice.c share (upstream: k8s.io/endpointslice/util).
#ifndef CORACLE_CONTROLLERS_SERVICE_UTIL_H
#define CORACLE_CONTROLLERS_SERVICE_UTIL_H

#include "controllers/common.h"

#define TRIGGER_TIME_ANNOTATION S("endpoints.kubernetes.io/last-change-trigger-time")
#define HEADLESS_LABEL S("service.kubernetes.io/headless")

// Queues the Services whose selector matches the pod before or after the change, if something changed that endpoints show.
void service_pod_changed(struct informer *services, struct workqueue *q, struct object_ref *old,
                         struct object_ref *obj);
// Whether this controller makes endpoints for it: it has a selector and is no ExternalName.
bool service_selects(const struct core_v1_Service *s);
bool service_headless(const struct core_v1_Service *s);
// The pods that it selects, by name. Needs INDEX_NAMESPACE on pods.
struct held service_pods(struct arena *a, struct informer *pods, const struct core_v1_Service *s);
// It has an address, is not terminal and (unless `terminating`) not being deleted.
bool pod_has_endpoint(const struct core_v1_Pod *p, bool terminating);
// The pod's address of a family; empty: none.
str pod_address(const struct core_v1_Pod *p, bool ipv6);
bool address_is_ipv6(str s);
// The number behind the Service's port in this pod; false: the pod names no such port.
bool pod_port(const struct core_v1_Pod *p, const struct core_v1_ServicePort *port, int32_t *out);
bool pod_has_own_name(const struct core_v1_Pod *p, const struct core_v1_Service *s);
struct core_v1_ObjectReference *pod_reference(struct arena *a, const struct core_v1_Pod *p);
// When the newest of the pods became ready or the Service was made: RFC 3339.
str trigger_time(struct arena *a, const struct core_v1_Service *s, struct held pods);

#endif
