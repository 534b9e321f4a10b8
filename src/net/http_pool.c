#include <errno.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "net/http_server_internal.h"

// Threads for work that blocks. As many as there is work at a time (a followed log keeps one busy for hours), so the bound
// is high; they end after a while without work.
enum { MAX_THREADS = 512, IDLE_S = 10, STACK = 512 * 1024 };

struct job {
	struct job *next;
	struct http_loop *loop;
	void (*work)(void *), (*done)(void *);
	void *ctx;
};

struct http_pool {
	pthread_mutex_t lock;
	pthread_cond_t work, quiet;
	struct job *head, **tail;
	size_t waiting, idle, threads;
	bool stopping;
};

struct http_pool *http_pool_new(void)
{
	struct http_pool *p = HEAP_NEW(struct http_pool);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, &attr);
	pthread_cond_init(&p->quiet, &attr);
	pthread_condattr_destroy(&attr);
	p->tail = &p->head;
	return p;
}

static void *worker(void *arg)
{
	struct http_pool *p = arg;
	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (!p->head && !p->stopping) {
			int64_t until = clock_mono(NULL) + IDLE_S * NS_PER_SEC;
			struct timespec ts = { .tv_sec = until / NS_PER_SEC, .tv_nsec = until % NS_PER_SEC };
			p->idle++;
			int rc = pthread_cond_timedwait(&p->work, &p->lock, &ts);
			p->idle--;
			if (rc == ETIMEDOUT && !p->head)
				goto end;
		}
		struct job *j = p->head;
		if (!j)
			break;
		p->head = j->next;
		if (!p->head)
			p->tail = &p->head;
		p->waiting--;
		pthread_mutex_unlock(&p->lock);
		j->work(j->ctx);
		if (j->done)
			http_loop_post(j->loop, j->done, j->ctx);
		free(j);
		pthread_mutex_lock(&p->lock);
	}
end:
	if (--p->threads == 0)
		pthread_cond_broadcast(&p->quiet);
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

void http_pool_run(struct http_pool *p, struct http_loop *l, void (*work)(void *), void (*done)(void *), void *ctx)
{
	struct job *j = HEAP_NEW(struct job);
	*j = (struct job){ .loop = l, .work = work, .done = done, .ctx = ctx };
	pthread_mutex_lock(&p->lock);
	*p->tail = j;
	p->tail = &j->next;
	p->waiting++;
	if (p->waiting > p->idle && p->threads < MAX_THREADS) {
		pthread_t t;
		pthread_attr_t attr;
		pthread_attr_init(&attr);
		pthread_attr_setstacksize(&attr, STACK);
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
		int rc = pthread_create(&t, &attr, worker, p);
		pthread_attr_destroy(&attr);
		if (rc == 0)
			p->threads++;
		else
			log_warn("http: cannot start a thread: %s",
			         strerrordesc_np(rc)); // those that there are will come to it
	}
	pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->lock);
}

void http_pool_free(struct http_pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->work);
	while (p->threads)
		pthread_cond_wait(&p->quiet, &p->lock);
	pthread_mutex_unlock(&p->lock);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->quiet);
	free(p);
}
