// Parts of spec_build.
#ifndef CORACLE_RUNTIME_SPEC_INTERNAL_H
#define CORACLE_RUNTIME_SPEC_INTERNAL_H

#include "runtime/spec.h"

bool spec_capabilities(const struct cri_v1_LinuxContainerSecurityContext *sc, uint64_t available, uint64_t *out, struct error *err);
// Sets "mounts" of the spec and "rootfsPropagation" of its linux object.
bool spec_mounts(struct arena *a, const struct spec_input *in, struct value *spec, struct value *linux_value, struct error *err);
// Sets "devices" of the linux object and the device rules of the resources.
bool spec_devices(struct arena *a, const struct spec_input *in, struct value *linux_value, struct value *resources, struct error *err);

#endif
