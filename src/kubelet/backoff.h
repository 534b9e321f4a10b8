// Back-off of restarts and image pulls: 10 s doubling to 5 min, forgotten after 10 min without trouble. Rule: client-go
// flowcontrol.Backoff as the kubelet uses it. Times are nanoseconds of one clock; the caller locks.
#ifndef CORACLE_KUBELET_BACKOFF_H
#define CORACLE_KUBELET_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

struct backoff {
	int64_t delay_ns;   // 0: none yet
	int64_t updated_ns; // when `delay` was set
};
// Something happened at `event` and is tried again now: the next failure waits longer.
void backoff_next(struct backoff *b, int64_t event_ns, int64_t now_ns);
// Whether what ended at `event` must still wait.
bool backoff_since(const struct backoff *b, int64_t event_ns, int64_t now_ns);
// Whether the delay that began when it was last set still runs (image pulls).
bool backoff_since_update(const struct backoff *b, int64_t now_ns);

#endif
