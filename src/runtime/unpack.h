// Layers to directories. The work is done by a process of its own (this binary again, `runtime unpack-layer`), which
// mounts the layers below and the new directory as one overlay in a private mount namespace, makes that its root, drops
// what it does not need and only then looks at the first byte of the archive. So the kernel itself resolves every path
// inside the image, turns removals into overlayfs whiteouts, and keeps the process where it belongs.
#ifndef CORACLE_RUNTIME_UNPACK_H
#define CORACLE_RUNTIME_UNPACK_H

#include "base/arena.h"
#include "base/error.h"

// Bounds of one layer.
enum { UNPACK_MAX_ENTRIES = 4 * 1000 * 1000 };
#define UNPACK_MAX_BYTES (INT64_C(256) << 30)

// Unpacks the blob (tar; plain, gzip or zstd) to WORKDIR/diff. `work` is an existing, empty directory on the file system
// of the layers. lower: directories of the layers below, top first. Fails when the uncompressed bytes do not have the
// digest diff_id; what is in `work` then is to be removed.
bool unpack_layer(struct arena *a, const char *blob, const char *work, str diff_id, const char *const *lower, size_t nlower,
                  struct error *err);
// The process: argv = { "unpack-layer", WORKDIR, DIFF_ID, LOWER... }, the blob on standard input.
int unpack_main(int argc, char **argv);

// What unpack_main does inside its root: applies the tar stream on fd to the current root directory. For tests.
bool unpack_apply(struct arena *a, int fd, str *diff_id, struct error *err);

#endif
