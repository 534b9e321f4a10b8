// Threads with small stacks: a component has dozens of them that mostly wait, and a stack page once touched stays.
#ifndef CORACLE_CLIENT_THREAD_H
#define CORACLE_CLIENT_THREAD_H

#include <pthread.h>

#include "base/error.h"

// Starts fn(ctx) on a thread with a 256 KiB stack, named (at most 15 characters, NULL: unnamed), all signals blocked.
bool thread_start(pthread_t *t, const char *name, void *(*fn)(void *), void *ctx, struct error *err);
// Gives back the pages of this thread's stack that are not in use (a TLS handshake leaves dozens of KiB behind). Called before a
// long wait.
void thread_rest(void);
// A condition variable that waits by the monotonic clock.
void thread_cond_init(pthread_cond_t *c);
// Waits until signalled, at most `ns` nanoseconds (< 0: without end). The mutex is held.
void thread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m, int64_t ns);

static inline void thread_unlockp(pthread_mutex_t **m)
{
	pthread_mutex_unlock(*m);
}
// Holds the mutex until the end of the block.
#define THREAD_LOCKED(m) \
	pthread_mutex_t *held_lock_ __attribute__((cleanup(thread_unlockp), unused)) = (pthread_mutex_lock(m), (m))

#endif
