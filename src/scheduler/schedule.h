// One attempt to place one pod: filter, score, choose; and preemption when nothing fits. Called under the scheduler's lock.
#ifndef CORACLE_SCHEDULER_SCHEDULE_H
#define CORACLE_SCHEDULER_SCHEDULE_H

#include "base/random.h"
#include "scheduler/cache.h"

struct placement {
	struct node_info *node;     // NULL: no node fits
	str message;                // then: why, in upstream's words ("0/3 nodes are available: ...")
	uint32_t rejected_by;       // plugins that said no
	struct { struct pod_info **v; size_t n; } victims; // of preemption, on `nominated`
	struct node_info *nominated;
};

// Everything of the answer is in the arena or the cache's.
struct placement schedule_pod(struct scheduler *s, struct arena *a, struct node_cache *cache, const struct pod_info *p, const struct rng *rng,
                              int64_t now_ns);

#endif
