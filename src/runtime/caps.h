// Capabilities by name, as bit sets.
#ifndef CORACLE_RUNTIME_CAPS_H
#define CORACLE_RUNTIME_CAPS_H

#include "base/arena.h"
#include "base/error.h"
#include "json/value.h"
#include "schema/schema.h"

// What a container has when nobody asks for anything else (the set of containerd and Docker).
uint64_t caps_default(void);
// What this process could give away (its bounding set).
uint64_t caps_available(void);
// "NET_ADMIN" or "CAP_NET_ADMIN", any case. False when it is none.
bool caps_parse(str name, int *bit);
// `start` with the lists applied as CRI says: "ALL" first, then single names; what is dropped is dropped.
bool caps_apply(uint64_t start, const struct str_list *add, const struct str_list *drop, uint64_t *out, struct error *err);
static inline bool caps_has(uint64_t set, int bit) { return set >> bit & 1; }
// ["CAP_CHOWN", ...]
struct value *caps_value(struct arena *a, uint64_t set);

#endif
