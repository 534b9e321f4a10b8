#include "client/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>

#include "base/clock.h"

enum { STACK_SIZE = 256 << 10 };

bool thread_start(pthread_t *t, const char *name, void *(*fn)(void *), void *ctx, struct error *err)
{
	pthread_attr_t attr;
	pthread_attr_init(&attr);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	pthread_attr_setstacksize(&attr, STACK_SIZE); // sanitizers need far more room per frame
#endif
	// Signals belong to the main thread; a new thread inherits the mask of the one that starts it.
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(t, &attr, fn, ctx);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (rc != 0) {
		errno = rc;
		return error_errno(err, "thread %s", name ? name : "");
	}
	if (name) {
		char text[16];
		size_t n = MIN(strlen(name), sizeof(text) - 1);
		memcpy(text, name, n);
		text[n] = 0;
		pthread_setname_np(*t, text);
	}
	return true;
}

void thread_rest(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	enum { PAGE = 4096, KEPT = 2 * PAGE }; // below this frame: what the calls of the wait itself need
	pthread_attr_t attr;
	void *low;
	size_t size;
	if (pthread_getattr_np(pthread_self(), &attr) != 0)
		return;
	bool known = pthread_attr_getstack(&attr, &low, &size) == 0;
	pthread_attr_destroy(&attr);
	uintptr_t from = (uintptr_t)low, to = ((uintptr_t)__builtin_frame_address(0) - KEPT) / PAGE * PAGE;
	if (known && size <= STACK_SIZE + 64 * PAGE && from % PAGE == 0 && to > from && to - from < size)
		madvise(low, to - from, MADV_DONTNEED);
#endif
}

void thread_cond_init(pthread_cond_t *c)
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
}

void thread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m, int64_t ns)
{
	if (ns < 0) {
		pthread_cond_wait(c, m);
		return;
	}
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	int64_t at = (int64_t)ts.tv_nsec + ns % NS_PER_SEC;
	ts.tv_sec += ns / NS_PER_SEC + at / NS_PER_SEC;
	ts.tv_nsec = at % NS_PER_SEC;
	pthread_cond_timedwait(c, m, &ts);
}
