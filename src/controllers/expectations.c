#include "base/heap.h"
#include "client/thread.h"
#include "controllers/common.h"

enum { TIMEOUT_S = 300 };

struct expected {
	int creations;
	struct map deletions; // keys of pods
	int64_t at;           // monotonic
};

struct expectations {
	const struct clock *clock;
	pthread_mutex_t lock;
	struct map by_key;
};

struct expectations *expectations_new(struct manager *m)
{
	struct expectations *e = HEAP_NEW(struct expectations);
	e->clock = m->clock;
	pthread_mutex_init(&e->lock, NULL);
	return e;
}

static struct expected *renewed(struct expectations *e, str key)
{
	struct expected *x = map_get(&e->by_key, key);
	if (!x)
		map_put(&e->by_key, key, x = HEAP_NEW(struct expected));
	x->creations = 0;
	map_free(&x->deletions);
	x->at = clock_mono(e->clock);
	return x;
}

static str pod_key(char *to, size_t n, const struct meta_v1_ObjectMeta *pod)
{
	int len = snprintf(to, n, STR_FMT "/" STR_FMT, STR_ARG(pod->namespace), STR_ARG(pod->name));
	return str_n(to, MIN((size_t)len, n - 1));
}

void expect(struct expectations *e, str key, int creations, const struct core_v1_Pod **deletions, size_t n)
{
	THREAD_LOCKED(&e->lock);
	struct expected *x = renewed(e, key);
	char k[320];
	x->creations = creations;
	for (size_t i = 0; i < n; i++)
		map_put(&x->deletions, pod_key(k, sizeof(k), &deletions[i]->metadata), NULL);
}

void expect_creations(struct expectations *e, str key, int n)
{
	expect(e, key, n, NULL, 0);
}

void expect_deletions(struct expectations *e, str key, const struct core_v1_Pod **pods, size_t n)
{
	expect(e, key, 0, pods, n);
}

void creation_observed(struct expectations *e, str key)
{
	THREAD_LOCKED(&e->lock);
	struct expected *x = map_get(&e->by_key, key);
	if (x && x->creations > 0)
		x->creations--;
}

void deletion_observed(struct expectations *e, str key, const struct meta_v1_ObjectMeta *pod)
{
	THREAD_LOCKED(&e->lock);
	struct expected *x = map_get(&e->by_key, key);
	char k[320];
	if (x)
		map_del(&x->deletions, pod_key(k, sizeof(k), pod));
}

bool expectations_met(struct expectations *e, str key)
{
	THREAD_LOCKED(&e->lock);
	const struct expected *x = map_get(&e->by_key, key);
	return !x || (x->creations <= 0 && x->deletions.n == 0) ||
	       clock_mono(e->clock) - x->at > TIMEOUT_S * NS_PER_SEC;
}

void expectations_forget(struct expectations *e, str key)
{
	THREAD_LOCKED(&e->lock);
	struct expected *x = map_del(&e->by_key, key);
	if (!x)
		return;
	map_free(&x->deletions);
	free(x);
}
