#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "base/heap.h"
#include "runtime/server.h"

enum { EVENTS_MAX = 1024 };

// One listener: a ring of encoded events. One that does not read fast enough loses the oldest; the kubelet lists again every
// now and then, so it catches up.
struct subscriber {
	struct subscriber *next;
	struct buf ring[EVENTS_MAX];
	size_t first, n;
};

static void publish(struct runtime *rt, const struct cri_v1_ContainerEventResponse *e)
{
	struct buf b = { 0 };
	schema_to_pb(&b, cri_v1_ContainerEventResponse_desc, e);
	for (struct subscriber *s = rt->subscribers; s; s = s->next) {
		size_t at = (s->first + s->n) % EVENTS_MAX;
		if (s->n == EVENTS_MAX) {
			buf_clear(&s->ring[at]);
			s->first = (s->first + 1) % EVENTS_MAX;
		} else {
			s->n++;
		}
		buf_clear(&s->ring[at]);
		buf_add(&s->ring[at], buf_str(&b));
	}
	buf_free(&b);
	pthread_cond_broadcast(&rt->changed);
}

// The state of the whole pod goes along, so that the kubelet need not ask.
static void describe(struct runtime *rt, struct arena *a, const struct sandbox *s, struct cri_v1_ContainerEventResponse *e)
{
	e->created_at = now();
	if (!s)
		return;
	e->pod_sandbox_status = ARENA_NEW(a, struct cri_v1_PodSandboxStatus);
	sandbox_status(a, s, e->pod_sandbox_status);
	for (struct map_slot *slot = NULL; (slot = map_each(&rt->containers, slot));) {
		const struct container *c = slot->value;
		if (strcmp(c->sandbox_id, s->id) == 0)
			container_status(a, c, LIST_ADD(a, &e->containers_statuses));
	}
}

void event_container(struct runtime *rt, struct container *c, int type)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct cri_v1_ContainerEventResponse e = { .container_id = str_c(c->id), .container_event_type = type };
	lock(rt);
	if (rt->subscribers) {
		describe(rt, a, map_get(&rt->sandboxes, str_c(c->sandbox_id)), &e);
		publish(rt, &e);
	}
	unlock(rt);
}

void event_sandbox(struct runtime *rt, struct sandbox *s, int type)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct cri_v1_ContainerEventResponse e = { .container_id = str_c(s->id), .container_event_type = type };
	lock(rt);
	if (rt->subscribers) {
		describe(rt, a, s, &e);
		publish(rt, &e);
	}
	unlock(rt);
}

bool events_stream(struct grpc_server_call *call, struct arena *a, str request, void *ctx, struct error *err)
{
	(void)a, (void)request, (void)err;
	struct runtime *rt = ctx;
	struct subscriber *s = HEAP_NEW(struct subscriber);
	lock(rt);
	s->next = rt->subscribers;
	rt->subscribers = s;
	bool alive = true;
	while (alive) {
		if (s->n) {
			// Sent without the lock: a client that does not read must not hold up the server.
			struct buf b = s->ring[s->first];
			s->ring[s->first] = (struct buf){ 0 };
			s->first = (s->first + 1) % EVENTS_MAX;
			s->n--;
			unlock(rt);
			alive = grpc_send(call, buf_str(&b));
			buf_free(&b);
			lock(rt);
			continue;
		}
		struct timespec until;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += 1; // a client that left is noticed without an event
		pthread_cond_timedwait(&rt->changed, &rt->lock, &until);
		alive = !grpc_cancelled(call);
	}
	for (struct subscriber **p = &rt->subscribers; *p; p = &(*p)->next)
		if (*p == s) {
			*p = s->next;
			break;
		}
	unlock(rt);
	for (size_t i = 0; i < EVENTS_MAX; i++)
		buf_free(&s->ring[i]);
	free(s);
	return true;
}
