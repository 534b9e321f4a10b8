// A hash table from text to pointers, insertion-ordered iteration not promised. Zero-initialise; map_free gives
// its table back. Keys are copied; values are the caller's. Open addressing, linear probing, no tombstones.
#ifndef CORACLE_BASE_MAP_H
#define CORACLE_BASE_MAP_H

#include "base/str.h"

struct map_slot {
	str key; // p == NULL: free
	void *value;
};

struct map {
	struct map_slot *slots;
	size_t n, cap;
};

void map_free(struct map *m);
// The value, or NULL when the key is not there.
void *map_get(const struct map *m, str key);
bool map_has(const struct map *m, str key);
// Sets the value and returns the one it replaced (NULL: none). value may be NULL (a set).
void *map_put(struct map *m, str key, void *value);
// Removes and returns the value, NULL when the key is not there.
void *map_del(struct map *m, str key);
// Iteration; no change of the table meanwhile: for (struct map_slot *s = NULL; (s = map_each(&m, s));)
struct map_slot *map_each(const struct map *m, struct map_slot *after);

#define _cleanup_map_ __attribute__((cleanup(map_free)))

#endif
