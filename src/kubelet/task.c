#include "kubelet/task.h"

#include <pthread.h>
#include <time.h>

#include "base/heap.h"
#include "base/log.h"

#define STACK_BYTES (256 * 1024)
#define IDLE_NS (5 * NS_PER_SEC)
#define NEVER INT64_MAX

struct task {
	struct tasks *owner;
	task_fn fn;
	void *ctx;
	int64_t due;   // NEVER: not wanted
	size_t at;     // place in the heap, SIZE_MAX: not in it
	bool running, freed;
};

struct tasks {
	const struct clock *clock;
	pthread_mutex_t lock;
	pthread_cond_t leader_cond; // the one idle thread that waits for the next time
	pthread_cond_t idle_cond;   // the others
	pthread_cond_t gone_cond;   // a thread ended
	struct task **heap;
	size_t n, cap;
	int threads, idle, max;
	bool leader, stop;
};

static void heap_swap(struct tasks *t, size_t x, size_t y)
{
	struct task *k = t->heap[x];
	t->heap[x] = t->heap[y];
	t->heap[y] = k;
	t->heap[x]->at = x;
	t->heap[y]->at = y;
}

static void heap_up(struct tasks *t, size_t i)
{
	while (i > 0 && t->heap[i]->due < t->heap[(i - 1) / 2]->due) {
		heap_swap(t, i, (i - 1) / 2);
		i = (i - 1) / 2;
	}
}

static void heap_down(struct tasks *t, size_t i)
{
	for (;;) {
		size_t least = i;
		for (size_t c = 2 * i + 1; c <= 2 * i + 2 && c < t->n; c++)
			if (t->heap[c]->due < t->heap[least]->due)
				least = c;
		if (least == i)
			return;
		heap_swap(t, i, least);
		i = least;
	}
}

static void heap_remove(struct tasks *t, struct task *k)
{
	size_t i = k->at;
	if (i == SIZE_MAX)
		return;
	heap_swap(t, i, t->n - 1);
	t->n--;
	k->at = SIZE_MAX;
	if (i < t->n) {
		heap_up(t, i);
		heap_down(t, i);
	}
}

static void heap_put(struct tasks *t, struct task *k)
{
	if (k->at == SIZE_MAX) {
		if (t->n == t->cap) {
			t->cap = t->cap ? 2 * t->cap : 64;
			t->heap = heap_realloc(t->heap, t->cap * sizeof(*t->heap));
		}
		k->at = t->n;
		t->heap[t->n++] = k;
	}
	heap_up(t, k->at);
	heap_down(t, k->at);
}

static void wait_until(struct tasks *t, pthread_cond_t *cond, int64_t mono)
{
	if (mono == NEVER) {
		pthread_cond_wait(cond, &t->lock);
		return;
	}
	struct timespec ts = { mono / NS_PER_SEC, mono % NS_PER_SEC };
	pthread_cond_timedwait(cond, &t->lock, &ts);
}

static void *thread_main(void *arg);

static void spawn(struct tasks *t)
{
	pthread_attr_t attr;
	pthread_t id;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	t->threads++;
	t->idle++;
	if (pthread_create(&id, &attr, thread_main, t) != 0) {
		t->threads--;
		t->idle--;
		log_error("cannot start a thread");
	}
	pthread_attr_destroy(&attr);
}

// Runs the task at the top of the heap. Called and left with the lock held, by a thread that was idle.
static void run_top(struct tasks *t)
{
	struct task *k = t->heap[0];
	heap_remove(t, k);
	k->due = NEVER;
	k->running = true;
	t->idle--;
	if (t->idle > 0)
		pthread_cond_signal(&t->idle_cond); // somebody else waits for the next time now
	else if (t->threads < t->max && !t->stop)
		spawn(t);
	pthread_mutex_unlock(&t->lock);
	k->fn(k->ctx);
	pthread_mutex_lock(&t->lock);
	t->idle++;
	k->running = false;
	if (k->freed) {
		free(k);
	} else if (k->due != NEVER) {
		heap_put(t, k);
		if (k->at == 0 && t->leader)
			pthread_cond_signal(&t->leader_cond); // it waits for a later time
	}
}

static void *thread_main(void *arg)
{
	struct tasks *t = arg;
	pthread_mutex_lock(&t->lock);
	int64_t idle_since = clock_mono(t->clock);
	while (!t->stop) {
		int64_t now = clock_mono(t->clock);
		if (t->n && t->heap[0]->due <= now) {
			run_top(t);
			idle_since = clock_mono(t->clock);
			continue;
		}
		if (!t->leader) {
			t->leader = true;
			wait_until(t, &t->leader_cond, t->n ? t->heap[0]->due : NEVER);
			t->leader = false;
			idle_since = clock_mono(t->clock);
			continue;
		}
		if (now - idle_since >= IDLE_NS)
			break;
		wait_until(t, &t->idle_cond, idle_since + IDLE_NS);
	}
	t->threads--;
	t->idle--;
	pthread_cond_signal(&t->gone_cond);
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

struct tasks *tasks_new(const struct clock *clock, int max_threads)
{
	struct tasks *t = HEAP_NEW(struct tasks);
	t->clock = clock;
	t->max = max_threads;
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->leader_cond, &attr);
	pthread_cond_init(&t->idle_cond, &attr);
	pthread_cond_init(&t->gone_cond, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_lock(&t->lock);
	spawn(t);
	pthread_mutex_unlock(&t->lock);
	return t;
}

void tasks_stop(struct tasks *t)
{
	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_broadcast(&t->leader_cond);
	pthread_cond_broadcast(&t->idle_cond);
	while (t->threads > 0)
		pthread_cond_wait(&t->gone_cond, &t->lock);
	pthread_mutex_unlock(&t->lock);
	pthread_mutex_destroy(&t->lock);
	pthread_cond_destroy(&t->leader_cond);
	pthread_cond_destroy(&t->idle_cond);
	pthread_cond_destroy(&t->gone_cond);
	free(t->heap);
	free(t);
}

struct task *task_new(struct tasks *t, task_fn fn, void *ctx)
{
	struct task *k = HEAP_NEW(struct task);
	*k = (struct task){ .owner = t, .fn = fn, .ctx = ctx, .due = NEVER, .at = SIZE_MAX };
	return k;
}

void task_at(struct task *k, int64_t mono_ns)
{
	struct tasks *t = k->owner;
	pthread_mutex_lock(&t->lock);
	if (!k->freed && !t->stop && mono_ns < k->due) {
		k->due = mono_ns;
		if (!k->running) {
			heap_put(t, k);
			if (k->at == 0) {
				if (t->leader)
					pthread_cond_signal(&t->leader_cond);
				else if (t->idle == 0 && t->threads < t->max)
					spawn(t);
				else
					pthread_cond_signal(&t->idle_cond);
			}
		}
	}
	pthread_mutex_unlock(&t->lock);
}

void task_after(struct task *k, int64_t ms)
{
	task_at(k, clock_mono(k->owner->clock) + ms * NS_PER_MS);
}

void task_now(struct task *k)
{
	task_at(k, 0);
}

void task_cancel(struct task *k)
{
	struct tasks *t = k->owner;
	pthread_mutex_lock(&t->lock);
	heap_remove(t, k);
	k->due = NEVER;
	pthread_mutex_unlock(&t->lock);
}

void task_free(struct task *k)
{
	if (!k)
		return;
	struct tasks *t = k->owner;
	pthread_mutex_lock(&t->lock);
	heap_remove(t, k);
	k->due = NEVER;
	k->freed = true;
	if (!k->running)
		free(k);
	pthread_mutex_unlock(&t->lock);
}

struct once {
	struct task *task;
	task_fn fn;
	void *ctx;
};

static void run_once(void *ctx)
{
	struct once *o = ctx;
	o->fn(o->ctx);
	task_free(o->task);
	free(o);
}

void task_run(struct tasks *t, task_fn fn, void *ctx)
{
	struct once *o = HEAP_NEW(struct once);
	o->fn = fn;
	o->ctx = ctx;
	o->task = task_new(t, run_once, o);
	task_now(o->task);
}

int tasks_threads(struct tasks *t)
{
	pthread_mutex_lock(&t->lock);
	int n = t->threads;
	pthread_mutex_unlock(&t->lock);
	return n;
}
