// How endpoints are laid out in EndpointSlices so that few slices change (upstream: k8s.io/endpointslice/reconciler.go).
#ifndef CORACLE_CONTROLLERS_SLICES_H
#define CORACLE_CONTROLLERS_SLICES_H

#include "controllers/common.h"

enum { SLICE_MAX = 100 };

typedef struct discovery_v1_EndpointSlice slice;
struct slice_list {
	slice **v;
	size_t n;
};

// Endpoints that have the same ports.
struct port_group {
	struct discovery_v1_EndpointPort_list ports;
	struct discovery_v1_Endpoint_list endpoints;
};
struct port_groups {
	struct port_group *v;
	size_t n;
};

struct slice_plan {
	struct slice_list create, update, remove;
};

// Plans one address family. `have` are writable copies of the slices that are there; those to be updated are changed in
// place. `fresh` makes a new empty slice (metadata and addressType). Without any endpoint one empty slice stays.
void slices_plan(struct arena *a, struct port_groups want, struct slice_list have,
                 slice *(*fresh)(struct arena *a, void *ctx), void *ctx, struct slice_plan *out);
bool ports_equal(const struct discovery_v1_EndpointPort_list *x, const struct discovery_v1_EndpointPort_list *y);

#endif
