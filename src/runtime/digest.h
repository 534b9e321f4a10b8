// SHA-256 digests in the form that OCI uses ("sha256:" and 64 hexadecimal digits).
#ifndef CORACLE_RUNTIME_DIGEST_H
#define CORACLE_RUNTIME_DIGEST_H

#include "base/arena.h"

struct digest;
struct digest *digest_new(void);
void digest_add(struct digest *d, const void *p, size_t n);
// The digest as text in the arena. The object stays usable only for digest_free.
str digest_end(struct digest *d, struct arena *a);
void digest_free(struct digest *d);
str digest_of(struct arena *a, str bytes);
// Whether the text is a digest that the store accepts: sha256, 64 lower-case hexadecimal digits.
bool digest_valid(str text);
// The hexadecimal part of a valid digest.
static inline str digest_hex(str digest) { return str_from(digest, 7); }
// The chain of layers up to and including `diff_id` (image-spec, "Layer ChainID"); parent is empty for the first.
str digest_chain(struct arena *a, str parent, str diff_id);

static inline void digest_freep(struct digest **d) { digest_free(*d); }
#define _cleanup_digest_ __attribute__((cleanup(digest_freep)))

#endif
