// One probe of one container: exec, HTTP, TCP or gRPC. Rule: upstream pkg/probe.
#ifndef CORACLE_KUBELET_PROBE_RUN_H
#define CORACLE_KUBELET_PROBE_RUN_H

#include "kubelet/state.h"

enum check { CHECK_OK, CHECK_WARNING, CHECK_FAILED, CHECK_ERROR };
// CHECK_FAILED: *text says why, as in the Unhealthy event. CHECK_ERROR: the probe itself could not be done.
enum check probe_run(struct kubelet *k, struct arena *a, const struct core_v1_Container *c, const struct core_v1_ProbeHandler *h,
                     str container_id, str pod_ip, int timeout_ms, str *text);
enum check http_check(struct kubelet *k, struct arena *a, const struct core_v1_Container *c, const struct core_v1_HTTPGetAction *h, str pod_ip,
                      const char *agent, int timeout_ms, int *status, str *text);
enum check tcp_check(struct arena *a, str host, int port, int timeout_ms, str *text);
// Runs a command. CHECK_FAILED: it failed, or did not end in time (*text: output, or why); CHECK_ERROR: the runtime could not run it.
enum check exec_check(struct kubelet *k, struct arena *a, str container_id, const struct str_list *command, int timeout_ms, str *text);

#endif
