// Images from files: OCI image layouts (a directory, or packed as tar) and what `docker save` writes.
#ifndef CORACLE_RUNTIME_IMPORT_H
#define CORACLE_RUNTIME_IMPORT_H

#include "runtime/image.h"

struct imported { str id; struct str_list names; };
struct imported_list { struct imported *v; size_t n; };

// Imports every image of the archive for this machine's platform. Names come from the archive; `name` (when not empty)
// replaces them, and is needed where an archive has none. Blobs are checked against their digests; nothing is named
// before all of its layers are unpacked. May run beside a server that uses the same store.
bool image_import(const struct image_store *s, struct arena *a, const char *path, str name, struct imported_list *out, struct error *err);
// The same for a packed archive on a descriptor.
bool image_import_fd(const struct image_store *s, struct arena *a, int fd, str name, struct imported_list *out, struct error *err);

#endif
