// The queue keeps one item per key that is queued, being worked on, delayed or backing off; an item that is none of these
// is freed. Ready keys stand in a list, delayed ones in a heap by due time.
#include "client/workqueue.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/heap.h"
#include "base/log.h"
#include "base/map.h"
#include "client/thread.h"

enum { BASE_MS = 5, MAX_MS = 1000 * 1000, IDLE_WORKER_S = 20 };
#define NOT_DELAYED SIZE_MAX

struct item {
	char *key;
	size_t key_n;
	bool dirty;      // is to be handed out (again)
	bool processing; // is with a worker
	unsigned failures;
	int64_t due; // monotonic, while heap_at != NOT_DELAYED
	size_t heap_at;
	struct item *next;
};

struct workqueue {
	const struct clock *clock;
	int64_t base_ms, max_ms;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct map items;
	struct item *head, *tail; // ready
	size_t ready;
	struct item **heap;
	size_t nheap, heap_cap;
	bool timer_kept; // one waiter waits for the first delayed key, the others only for a signal
	bool down;
	int waiting;
	// workqueue_run
	int workers, max_workers;
	const char *name;
	reconcile_fn fn;
	void *ctx;
	pthread_cond_t worker_left;
};

struct workqueue *workqueue_new(const struct clock *clock, int64_t base_ms, int64_t max_ms)
{
	struct workqueue *q = HEAP_NEW(struct workqueue);
	q->clock = clock;
	q->base_ms = base_ms > 0 ? base_ms : BASE_MS;
	q->max_ms = max_ms > 0 ? max_ms : MAX_MS;
	pthread_mutex_init(&q->lock, NULL);
	thread_cond_init(&q->cond);
	thread_cond_init(&q->worker_left);
	return q;
}

static void item_free(struct item *it)
{
	free(it->key);
	free(it);
}

void workqueue_free(struct workqueue *q)
{
	if (!q)
		return;
	for (struct map_slot *s = NULL; (s = map_each(&q->items, s));)
		item_free(s->value);
	map_free(&q->items);
	free(q->heap);
	pthread_mutex_destroy(&q->lock);
	pthread_cond_destroy(&q->cond);
	pthread_cond_destroy(&q->worker_left);
	free(q);
}

// --- The heap of delayed items ---

static void heap_set(struct workqueue *q, size_t at, struct item *it)
{
	q->heap[at] = it;
	it->heap_at = at;
}

static void heap_up(struct workqueue *q, size_t at)
{
	struct item *it = q->heap[at];
	for (; at > 0 && q->heap[(at - 1) / 2]->due > it->due; at = (at - 1) / 2)
		heap_set(q, at, q->heap[(at - 1) / 2]);
	heap_set(q, at, it);
}

static void heap_down(struct workqueue *q, size_t at)
{
	struct item *it = q->heap[at];
	for (size_t child; (child = at * 2 + 1) < q->nheap; at = child) {
		if (child + 1 < q->nheap && q->heap[child + 1]->due < q->heap[child]->due)
			child++;
		if (it->due <= q->heap[child]->due)
			break;
		heap_set(q, at, q->heap[child]);
	}
	heap_set(q, at, it);
}

static void heap_remove(struct workqueue *q, struct item *it)
{
	size_t at = it->heap_at;
	if (at == NOT_DELAYED)
		return;
	it->heap_at = NOT_DELAYED;
	struct item *last = q->heap[--q->nheap];
	if (last == it)
		return;
	heap_set(q, at, last);
	heap_up(q, at);
	heap_down(q, last->heap_at);
}

static void heap_add(struct workqueue *q, struct item *it)
{
	if (q->nheap == q->heap_cap) {
		q->heap_cap = q->heap_cap ? q->heap_cap * 2 : 16;
		q->heap = heap_realloc(q->heap, q->heap_cap * sizeof(struct item *));
	}
	heap_set(q, q->nheap++, it);
	heap_up(q, it->heap_at);
}

// --- Items; the lock is held ---

static struct item *item_of(struct workqueue *q, str key)
{
	struct item *it = map_get(&q->items, key);
	if (it)
		return it;
	it = HEAP_NEW(struct item);
	it->key = heap_cstr(key);
	it->key_n = key.n;
	it->heap_at = NOT_DELAYED;
	map_put(&q->items, key, it);
	return it;
}

static void item_settle(struct workqueue *q, struct item *it)
{
	if (it->dirty || it->processing || it->failures || it->heap_at != NOT_DELAYED)
		return;
	map_del(&q->items, str_n(it->key, it->key_n));
	item_free(it);
}

static void *worker(void *ctx);

static void push(struct workqueue *q, struct item *it)
{
	it->next = NULL;
	if (q->tail)
		q->tail->next = it;
	else
		q->head = it;
	q->tail = it;
	q->ready++;
	// Workers are started as they are needed: an idle controller has one.
	if (q->waiting == 0 && q->workers > 0 && q->workers < q->max_workers) {
		pthread_t t;
		struct error err = { 0 };
		if (thread_start(&t, q->name, worker, q, &err)) {
			pthread_detach(t);
			q->workers++;
		}
	}
	pthread_cond_signal(&q->cond);
}

static void make_dirty(struct workqueue *q, struct item *it)
{
	if (it->dirty)
		return;
	it->dirty = true;
	if (!it->processing)
		push(q, it);
}

static void delay(struct workqueue *q, struct item *it, int64_t ms)
{
	if (ms <= 0) {
		make_dirty(q, it);
		return;
	}
	int64_t due = clock_mono(q->clock) + ms * NS_PER_MS;
	if (it->heap_at != NOT_DELAYED) {
		if (it->due <= due)
			return;
		heap_remove(q, it);
	}
	it->due = due;
	heap_add(q, it);
	if (it->heap_at == 0)
		pthread_cond_broadcast(&q->cond); // the keeper of the timer must look again
}

void workqueue_add(struct workqueue *q, str key)
{
	THREAD_LOCKED(&q->lock);
	if (!q->down)
		make_dirty(q, item_of(q, key));
}

void workqueue_add_after(struct workqueue *q, str key, int64_t ms)
{
	THREAD_LOCKED(&q->lock);
	if (!q->down)
		delay(q, item_of(q, key), ms);
}

void workqueue_add_rate_limited(struct workqueue *q, str key)
{
	THREAD_LOCKED(&q->lock);
	if (q->down)
		return;
	struct item *it = item_of(q, key);
	int64_t ms = q->base_ms;
	for (unsigned i = 0; i < it->failures && ms < q->max_ms; i++)
		ms *= 2;
	it->failures++;
	delay(q, it, MIN(ms, q->max_ms));
}

void workqueue_forget(struct workqueue *q, str key)
{
	THREAD_LOCKED(&q->lock);
	struct item *it = map_get(&q->items, key);
	if (!it)
		return;
	it->failures = 0;
	item_settle(q, it);
}

int workqueue_requeues(struct workqueue *q, str key)
{
	THREAD_LOCKED(&q->lock);
	struct item *it = map_get(&q->items, key);
	return it ? (int)it->failures : 0;
}

// Moves what is due into the ready list. Returns nanoseconds until the next delayed key, -1: there is none.
static int64_t collect_due(struct workqueue *q)
{
	if (q->nheap == 0)
		return -1;
	int64_t now = clock_mono(q->clock);
	while (q->nheap > 0) {
		struct item *it = q->heap[0];
		if (it->due > now)
			return it->due - now;
		heap_remove(q, it);
		make_dirty(q, it);
	}
	return -1;
}

// As workqueue_get; with idle_ns >= 0 it gives up after so long.
static bool get(struct workqueue *q, struct arena *a, str *key, int64_t idle_ns)
{
	THREAD_LOCKED(&q->lock);
	int64_t give_up = idle_ns >= 0 ? clock_mono(q->clock) + idle_ns : INT64_MAX;
	for (;;) {
		if (q->down)
			return false;
		int64_t next = collect_due(q);
		if (q->head)
			break;
		int64_t wait = -1;
		bool keeper = !q->timer_kept;
		if (keeper) {
			q->timer_kept = true;
			wait = next;
		}
		if (idle_ns >= 0) {
			int64_t left = give_up - clock_mono(q->clock);
			if (left <= 0) {
				if (keeper) {
					q->timer_kept = false;
					pthread_cond_signal(&q->cond);
				}
				return false;
			}
			wait = wait < 0 ? left : MIN(wait, left);
		}
		q->waiting++;
		if (q->workers > 0)
			thread_rest();
		thread_cond_wait(&q->cond, &q->lock, wait);
		q->waiting--;
		if (keeper)
			q->timer_kept = false;
	}
	struct item *it = q->head;
	q->head = it->next;
	if (!q->head)
		q->tail = NULL;
	q->ready--;
	it->dirty = false;
	it->processing = true;
	*key = arena_dup(a, str_n(it->key, it->key_n));
	if (q->head || (q->nheap > 0 && !q->timer_kept))
		pthread_cond_signal(&q->cond); // there is more, or somebody else must keep the timer
	return true;
}

bool workqueue_get(struct workqueue *q, struct arena *a, str *key)
{
	return get(q, a, key, -1);
}

void workqueue_done(struct workqueue *q, str key)
{
	THREAD_LOCKED(&q->lock);
	struct item *it = map_get(&q->items, key);
	if (!it)
		return;
	it->processing = false;
	if (it->dirty)
		push(q, it);
	else
		item_settle(q, it);
}

void workqueue_shutdown(struct workqueue *q)
{
	THREAD_LOCKED(&q->lock);
	q->down = true;
	pthread_cond_broadcast(&q->cond);
}

size_t workqueue_len(struct workqueue *q)
{
	THREAD_LOCKED(&q->lock);
	return q->ready;
}

// --- Workers ---

static void work(struct workqueue *q, bool may_leave)
{
	struct arena *a = arena_new(0);
	str key;
	while (get(q, a, &key, may_leave ? IDLE_WORKER_S * NS_PER_SEC : -1)) {
		struct error err = { 0 };
		if (q->fn(q->ctx, a, key, &err)) {
			workqueue_forget(q, key);
		} else {
			// A conflict means that the cache was behind; the next try sees what is there.
			if (error_is(&err, "Conflict"))
				log_debug("%s: " STR_FMT ": %s", q->name, STR_ARG(key), err.text);
			else
				log_warn("%s: " STR_FMT ": %s", q->name, STR_ARG(key), err.text);
			workqueue_add_rate_limited(q, key);
		}
		workqueue_done(q, key);
		arena_reset(a);
	}
	arena_free(a);
}

static void *worker(void *ctx)
{
	struct workqueue *q = ctx;
	work(q, true);
	THREAD_LOCKED(&q->lock);
	q->workers--;
	pthread_cond_broadcast(&q->worker_left);
	return NULL;
}

void workqueue_run(struct workqueue *q, const char *name, int workers, reconcile_fn fn, void *ctx)
{
	pthread_mutex_lock(&q->lock);
	q->name = name;
	q->fn = fn;
	q->ctx = ctx;
	q->max_workers = workers;
	q->workers = 1;
	pthread_mutex_unlock(&q->lock);
	work(q, false);
	THREAD_LOCKED(&q->lock);
	q->max_workers = 0;
	while (q->workers > 1)
		thread_cond_wait(&q->worker_left, &q->lock, -1);
	q->workers = 0;
}

str key_of(struct arena *a, str ns, str name)
{
	return ns.n ? arena_concat(a, ns, S("/"), name) : arena_dup(a, name);
}

void key_split(str key, str *ns, str *name)
{
	if (!str_split(key, '/', ns, name)) {
		*ns = S("");
		*name = key;
	}
}
