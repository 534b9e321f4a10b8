// The CRI (runtime.v1 over gRPC) as typed calls: the only way in which the kubelet touches containers and images.
#ifndef CORACLE_KUBELET_CRI_H
#define CORACLE_KUBELET_CRI_H

#include "base/error.h"
#include "net/grpc.h"
#include "schema/schema.h"
#include "schema_gen.h"

struct cri {
	struct grpc_client *runtime; // RuntimeService
	struct grpc_client *image;   // ImageService (often the same)
};

// Sends the request, returns the decoded answer; NULL: err holds the gRPC code (err->sys) and its message alone.
void *cri_call(struct grpc_client *c, struct arena *a, const char *method, const void *request, int timeout_ms, struct error *err);
// CRI(k->cri.runtime, a, RunPodSandbox, &request, 60000, err) -> struct cri_v1_RunPodSandboxResponse *
#define CRI(c, a, method, request, timeout_ms, err) \
	((struct cri_v1_##method##Response *)cri_call((c)->runtime, (a), cri_v1_RuntimeService_##method##_path, (request), (timeout_ms), (err)))
#define CRI_IMAGE(c, a, method, request, timeout_ms, err) \
	((struct cri_v1_##method##Response *)cri_call((c)->image, (a), cri_v1_ImageService_##method##_path, (request), (timeout_ms), (err)))
// "rpc error: code = NotFound desc = ...": how Go prints such an error, and so what users know from events.
str cri_error_text(struct arena *a, const struct error *err);
static inline bool cri_not_found(const struct error *err) { return err->sys == GRPC_NOT_FOUND; }

// "unix:///run/x.sock" or a path -> the path; NULL when it is something else.
const char *cri_socket_path(const char *endpoint);

#endif
