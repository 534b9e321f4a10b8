// ConfigMaps and Secrets that pods on this node use: fetched on demand, kept for a moment so that fifty pods with the same one do
// not ask fifty times. A pod's first use is never answered from before the pod was seen.
#ifndef CORACLE_KUBELET_OBJECTS_H
#define CORACLE_KUBELET_OBJECTS_H

#include "kubelet/state.h"

struct object_cache *object_cache_new(struct kubelet *k);
void object_cache_free(struct object_cache *c);
// A copy in the arena. not_before: an answer kept from before that time (clock_mono) is too old. Errors as the API words them:
// code 404 for one that is not there. Only what was found is kept.
const struct core_v1_ConfigMap *config_map_get(struct kubelet *k, struct arena *a, str ns, str name, int64_t not_before, struct error *err);
const struct core_v1_Secret *secret_get(struct kubelet *k, struct arena *a, str ns, str name, int64_t not_before, struct error *err);
// Drops what has not been used for a while.
void object_cache_trim(struct kubelet *k);

#endif
