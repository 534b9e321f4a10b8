// The scheduling queue: active pods by priority, pods that wait out their back-off, and pods that no node fits until something in the
// cluster changes. Rule: upstream's scheduling_queue (back-off 1 s doubling to 10 s; unschedulable pods get another
// chance after 5 minutes in any case). Guarded by the scheduler's lock.
#ifndef CORACLE_SCHEDULER_QUEUE_H
#define CORACLE_SCHEDULER_QUEUE_H

#include "scheduler/framework.h"

struct pod_heap {
	struct pod_info **v;
	size_t n, cap;
	bool (*before)(const struct pod_info *x, const struct pod_info *y);
};

struct queue {
	struct pod_heap active, backoff;
	struct { struct pod_info **v; size_t n, cap; } unschedulable; // pod->heap_slot is the index here, too
};

void queue_init(struct queue *q);
void queue_free(struct queue *q);
void queue_add(struct queue *q, struct pod_info *p, int64_t now_ns);
void queue_remove(struct queue *q, struct pod_info *p);
// The next pod to try (taken out), or NULL; then *wait_ns is when to look again (-1: when something is added).
struct pod_info *queue_pop(struct queue *q, int64_t now_ns, int64_t *wait_ns);
// After a failed attempt.
void queue_put_back(struct queue *q, struct pod_info *p, bool unschedulable, int64_t now_ns);
// Something changed: unschedulable pods whose rejecting plugins care move on. Returns whether any did.
bool queue_move(struct queue *q, uint32_t events, int64_t now_ns);

#endif
