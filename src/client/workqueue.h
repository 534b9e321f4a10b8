// A work queue of keys: each key once, never handed to two workers at a time, with delays and per-key exponential back-off
// (client-go workqueue: 5 ms doubling to 1000 s).
#ifndef CORACLE_CLIENT_WORKQUEUE_H
#define CORACLE_CLIENT_WORKQUEUE_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"

struct workqueue;
struct workqueue *workqueue_new(const struct clock *clock, int64_t base_ms, int64_t max_ms); // 0, 0: client-go's
void workqueue_free(struct workqueue *q);
void workqueue_add(struct workqueue *q, str key);
void workqueue_add_after(struct workqueue *q, str key, int64_t ms);
void workqueue_add_rate_limited(struct workqueue *q, str key);
void workqueue_forget(struct workqueue *q, str key); // resets the key's back-off
int workqueue_requeues(struct workqueue *q, str key);
// Blocks for a key (copied into the arena). False when the queue is shut down. Call workqueue_done afterwards.
bool workqueue_get(struct workqueue *q, struct arena *a, str *key);
void workqueue_done(struct workqueue *q, str key);
void workqueue_shutdown(struct workqueue *q);
size_t workqueue_len(struct workqueue *q);

// Runs `workers` threads that take keys and call reconcile: true forgets the key, false requeues it with back-off and logs
// err. A reconcile gets an arena of its own. Returns when the queue is shut down.
typedef bool (*reconcile_fn)(void *ctx, struct arena *a, str key, struct error *err);
void workqueue_run(struct workqueue *q, const char *name, int workers, reconcile_fn fn, void *ctx);

// "ns/name" keys.
str key_of(struct arena *a, str ns, str name);
void key_split(str key, str *ns, str *name);

#endif
