#include "scheduler/queue.h"

#include "base/heap.h"

enum { INITIAL_BACKOFF_S = 1, MAX_BACKOFF_S = 10, UNSCHEDULABLE_S = 300 };

static bool active_before(const struct pod_info *x, const struct pod_info *y)
{
	return x->priority != y->priority ? x->priority > y->priority : x->since_ns < y->since_ns;
}

static bool backoff_before(const struct pod_info *x, const struct pod_info *y)
{
	return x->backoff_until_ns < y->backoff_until_ns;
}

void queue_init(struct queue *q)
{
	*q = (struct queue){ .active.before = active_before, .backoff.before = backoff_before };
}

void queue_free(struct queue *q)
{
	free(q->active.v);
	free(q->backoff.v);
	free(q->unschedulable.v);
}

static void heap_set(struct pod_heap *h, size_t i, struct pod_info *p)
{
	h->v[i] = p;
	p->heap_slot = i;
}

static void heap_up(struct pod_heap *h, size_t i)
{
	struct pod_info *p = h->v[i];
	for (; i > 0 && h->before(p, h->v[(i - 1) / 2]); i = (i - 1) / 2)
		heap_set(h, i, h->v[(i - 1) / 2]);
	heap_set(h, i, p);
}

static void heap_down(struct pod_heap *h, size_t i)
{
	struct pod_info *p = h->v[i];
	for (size_t child; (child = 2 * i + 1) < h->n; i = child) {
		if (child + 1 < h->n && h->before(h->v[child + 1], h->v[child]))
			child++;
		if (!h->before(h->v[child], p))
			break;
		heap_set(h, i, h->v[child]);
	}
	heap_set(h, i, p);
}

static void heap_push(struct pod_heap *h, struct pod_info *p)
{
	if (h->n == h->cap) {
		h->cap = h->cap ? h->cap * 2 : 64;
		h->v = heap_realloc(h->v, h->cap * sizeof(struct pod_info *));
	}
	h->v[h->n++] = p;
	heap_up(h, h->n - 1);
}

static void heap_remove(struct pod_heap *h, size_t i)
{
	struct pod_info *last = h->v[--h->n];
	if (i == h->n)
		return;
	h->v[i] = last;
	heap_down(h, i);
	heap_up(h, last->heap_slot);
}

static void activate(struct queue *q, struct pod_info *p, int64_t now_ns)
{
	p->place = POD_ACTIVE;
	p->since_ns = now_ns;
	heap_push(&q->active, p);
}

void queue_add(struct queue *q, struct pod_info *p, int64_t now_ns)
{
	p->queued_ns = now_ns;
	activate(q, p, now_ns);
}

static void drop_unschedulable(struct queue *q, struct pod_info *p)
{
	struct pod_info *last = q->unschedulable.v[--q->unschedulable.n];
	q->unschedulable.v[p->heap_slot] = last;
	last->heap_slot = p->heap_slot;
}

void queue_remove(struct queue *q, struct pod_info *p)
{
	if (p->place == POD_ACTIVE)
		heap_remove(&q->active, p->heap_slot);
	else if (p->place == POD_BACKOFF)
		heap_remove(&q->backoff, p->heap_slot);
	else if (p->place == POD_UNSCHEDULABLE)
		drop_unschedulable(q, p);
	p->place = POD_NOWHERE;
}

// Moves a pod on: to the active heap, or to the back-off heap while it has not waited out its time.
static void requeue(struct queue *q, struct pod_info *p, int64_t now_ns)
{
	if (p->backoff_until_ns <= now_ns) {
		activate(q, p, now_ns);
		return;
	}
	p->place = POD_BACKOFF;
	heap_push(&q->backoff, p);
}

struct pod_info *queue_pop(struct queue *q, int64_t now_ns, int64_t *wait_ns)
{
	while (q->backoff.n && q->backoff.v[0]->backoff_until_ns <= now_ns) {
		struct pod_info *p = q->backoff.v[0];
		heap_remove(&q->backoff, 0);
		activate(q, p, now_ns);
	}
	for (size_t i = q->unschedulable.n; i-- > 0;) {
		struct pod_info *p = q->unschedulable.v[i];
		if (now_ns - p->since_ns >= UNSCHEDULABLE_S * NS_PER_SEC) {
			drop_unschedulable(q, p);
			requeue(q, p, now_ns);
		}
	}
	*wait_ns = -1;
	if (q->active.n) {
		struct pod_info *p = q->active.v[0];
		heap_remove(&q->active, 0);
		p->place = POD_NOWHERE;
		p->attempts++;
		return p;
	}
	if (q->backoff.n)
		*wait_ns = q->backoff.v[0]->backoff_until_ns;
	for (size_t i = 0; i < q->unschedulable.n; i++) {
		int64_t due = q->unschedulable.v[i]->since_ns + UNSCHEDULABLE_S * NS_PER_SEC;
		if (*wait_ns < 0 || due < *wait_ns)
			*wait_ns = due;
	}
	return NULL;
}

static bool cares(const struct pod_info *p, uint32_t events)
{
	if (p->rejected_by == 0) // no plugin, but an error: any change is a chance
		return true;
	for (size_t i = 0; i < nplugins; i++)
		if ((p->rejected_by & (1u << i)) && (plugins[i]->events & events))
			return true;
	return false;
}

void queue_put_back(struct queue *q, struct pod_info *p, bool unschedulable, int64_t now_ns)
{
	int64_t wait = INITIAL_BACKOFF_S;
	for (int i = 1; i < p->attempts && wait < MAX_BACKOFF_S; i++)
		wait *= 2;
	p->backoff_until_ns = now_ns + MIN(wait, (int64_t)MAX_BACKOFF_S) * NS_PER_SEC;
	p->since_ns = now_ns;
	if (!unschedulable) {
		requeue(q, p, now_ns);
		return;
	}
	p->place = POD_UNSCHEDULABLE;
	if (q->unschedulable.n == q->unschedulable.cap) {
		q->unschedulable.cap = q->unschedulable.cap ? q->unschedulable.cap * 2 : 64;
		q->unschedulable.v = heap_realloc(q->unschedulable.v, q->unschedulable.cap * sizeof(struct pod_info *));
	}
	p->heap_slot = q->unschedulable.n;
	q->unschedulable.v[q->unschedulable.n++] = p;
}

bool queue_move(struct queue *q, uint32_t events, int64_t now_ns)
{
	bool any = false;
	for (size_t i = q->unschedulable.n; i-- > 0;) {
		struct pod_info *p = q->unschedulable.v[i];
		if (!cares(p, events))
			continue;
		drop_unschedulable(q, p);
		requeue(q, p, now_ns);
		any = true;
	}
	return any;
}
