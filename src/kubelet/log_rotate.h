// Rotation of container logs: a log that has grown too large is set aside under a name with the time, the runtime opens a new
// one, older ones are compressed, the oldest removed. Rule: upstream logs/container_log_manager.go.
#ifndef CORACLE_KUBELET_LOG_ROTATE_H
#define CORACLE_KUBELET_LOG_ROTATE_H

#include "kubelet/state.h"

// Starts the task that looks every ten seconds.
void log_rotate_start(struct kubelet *k);
// Brings the old logs of `path` (PATH.20060102-150405[.gz]) down to `keep`, compresses all but the newest one, which is left for
// readers that have it open.
void log_rotate_tidy(struct arena *a, const char *path, int keep);

#endif
