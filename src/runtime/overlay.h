// Overlay mounts with any number of layers.
#ifndef CORACLE_RUNTIME_OVERLAY_H
#define CORACLE_RUNTIME_OVERLAY_H

#include "base/arena.h"
#include "base/error.h"

// Mounts the layers (directories, top first) with `upper` and `work` at `target`. upper NULL: read-only; at least one
// lower layer is needed. Nothing in the upper directory is synced (it never outlives its container), where the kernel can.
bool overlay_mount(struct arena *a, const char *const *lower, size_t nlower, const char *upper, const char *work,
                   const char *target, struct error *err);

#endif
