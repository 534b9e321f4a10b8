// What the scheduler knows of nodes and placed pods. Guarded by the scheduler's lock.
#ifndef CORACLE_SCHEDULER_CACHE_H
#define CORACLE_SCHEDULER_CACHE_H

#include "base/map.h"
#include "scheduler/framework.h"

struct node_cache {
	struct map nodes;                  // name -> struct node_info
	struct { struct node_info **v; size_t n, cap; } list;
	size_t next;                       // where the next search begins, so that all nodes get their turn
};

struct pod_info *pod_info_new(struct object_ref *ref);
void pod_info_free(struct pod_info *p);
// Adds or replaces a node; returns which cluster events this is.
uint32_t node_cache_set(struct node_cache *c, struct object_ref *ref);
void node_cache_remove(struct node_cache *c, str name);
// Counts a pod on a node. A node that is not known yet gets an entry without a Node object; nothing is placed there.
void node_cache_place(struct node_cache *c, struct pod_info *p, str node);
void node_cache_unplace(struct node_cache *c, struct pod_info *p);
void node_cache_free(struct node_cache *c);

int64_t *resources_scalar(struct arena *a, struct resources *r, str name);
int64_t resources_scalar_get(const struct resources *r, str name);

#endif
