// Events. Rules (client-go tools/record): the same event again only raises the count of the first (PATCH); ten similar ones
// within ten minutes are folded into one "(combined from similar events): ..."; an object that says too much (25 events at
// once, one more every five minutes) is silenced.
#include "client/recorder.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include "base/heap.h"
#include "base/log.h"
#include "base/map.h"
#include "client/client_internal.h"
#include "client/thread.h"
#include "schema_gen.h"

enum {
	MAX_WAITING = 1000,
	MAX_KNOWN = 2048, // aggregation records; all are forgotten when there are more
	BURST = 25,
	REFILL_S = 300,
	SIMILAR = 10,
	SIMILAR_S = 600,
	FLUSH_MS = 2000,
	MAX_MESSAGE = 1024,
	TRIES = 12,
};

struct waiting {
	struct waiting *next;
	struct arena *arena;
	struct core_v1_Event event;
};

// What was said before: under the whole event's key its name and count; under the object's key its allowance; under the
// similarity's key how many different messages came.
struct known {
	char *name, *ns, *version;
	int32_t count;
	int64_t first; // wall seconds
	double tokens;
	int64_t refilled; // mono ns
	int64_t last;     // mono ns
	struct map messages;
};

struct recorder {
	struct client *client;
	char *component, *host;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct waiting *head, *tail;
	size_t n;
	bool stop;
	int64_t stop_by;
	// The thread's own.
	struct map same, objects, similar;
};

static const struct resource_desc *events(void)
{
	return schema_resource(S(""), S("v1"), S("events"));
}

static void forget(struct map *m)
{
	for (struct map_slot *s = NULL; (s = map_each(m, s));) {
		struct known *k = s->value;
		free(k->name);
		free(k->ns);
		free(k->version);
		map_free(&k->messages);
		free(k);
	}
	map_free(m);
}

static struct known *known_of(struct map *m, str key)
{
	struct known *k = map_get(m, key);
	if (k)
		return k;
	if (m->n >= MAX_KNOWN)
		forget(m);
	k = HEAP_NEW(struct known);
	map_put(m, key, k);
	return k;
}

static str object_key(struct arena *a, const struct core_v1_Event *e)
{
	const struct core_v1_ObjectReference *o = &e->involvedObject;
	return arena_concat(a, e->source.component, S("\n"), o->kind, S("\n"), o->namespace, S("\n"), o->name, S("\n"),
	                    o->uid, S("\n"), o->apiVersion);
}

// Whether the object may still speak.
static bool allowed(struct recorder *r, str object)
{
	struct known *k = known_of(&r->objects, object);
	int64_t now = clock_mono(client_clock(r->client));
	if (!k->refilled)
		k->tokens = BURST;
	else
		k->tokens = MIN((double)BURST, k->tokens + (double)(now - k->refilled) / (double)NS_PER_SEC / REFILL_S);
	k->refilled = now;
	if (k->tokens < 1)
		return false;
	k->tokens -= 1;
	return true;
}

static void write_event(struct recorder *r, struct arena *a, struct core_v1_Event *e, str key, struct error *err)
{
	struct known *k = known_of(&r->same, key);
	if (k->name) {
		struct api_time last = e->lastTimestamp;
		str patch =
		        arena_printf(a, "{\"count\":%d,\"lastTimestamp\":\"" STR_FMT "\",\"message\":", k->count + 1,
		                     STR_ARG(time_format(a, last.sec, 0, 0)));
		_cleanup_buf_ struct buf b = { 0 };
		buf_add(&b, patch);
		json_write_string(&b, e->message, true);
		buf_add(&b, S("}"));
		if (client_patch(r->client, a, events(), NULL, str_c(k->ns), str_c(k->name), PATCH_STRATEGIC,
		                 buf_str(&b), err)) {
			k->count++;
			return;
		}
		if (err->code != 404)
			return;
		*err = (struct error){ 0 }; // it has expired: a new one
		e->count = k->count + 1;
	}
	const struct core_v1_Event *made = client_create(r->client, a, events(), e->metadata.namespace, e, err);
	if (!made)
		return;
	free(k->name);
	free(k->ns);
	k->name = heap_cstr(made->metadata.name);
	k->ns = heap_cstr(made->metadata.namespace);
	k->count = made->count;
	k->first = made->firstTimestamp.sec;
}

static void send_event(struct recorder *r, struct arena *a, struct core_v1_Event *e)
{
	str object = object_key(a, e);
	if (!allowed(r, object))
		return;
	str group = arena_concat(a, object, S("\n"), e->type, S("\n"), e->reason, S("\n"), e->involvedObject.fieldPath);
	str key = arena_concat(a, group, S("\n"), e->message);
	int64_t now = clock_mono(client_clock(r->client));
	struct known *s = known_of(&r->similar, group);
	if (s->last && now - s->last > SIMILAR_S * NS_PER_SEC)
		map_free(&s->messages);
	s->last = now;
	map_put(&s->messages, e->message, NULL);
	if (s->messages.n >= SIMILAR) {
		key = group;
		e->message = arena_concat(a, S("(combined from similar events): "), e->message);
	}
	for (int try = 0; try < TRIES; try++) {
		struct error err = { 0 };
		write_event(r, a, e, key, &err);
		if (!err.code)
			return;
		// The server's no is final; where it did not answer, it is asked again.
		if (err.code != 500 || !err.sys) {
			log_debug("event: %s", err.text);
			return;
		}
		THREAD_LOCKED(&r->lock);
		if (r->stop)
			return;
		thread_cond_wait(&r->cond, &r->lock, MIN(200 * NS_PER_MS << MIN(try, 6), 10 * NS_PER_SEC));
	}
}

static void *recorder_main(void *ctx)
{
	struct recorder *r = ctx;
	for (;;) {
		pthread_mutex_lock(&r->lock);
		while (!r->head && !r->stop)
			thread_cond_wait(&r->cond, &r->lock, -1);
		struct waiting *w = r->head;
		if (!w || (r->stop && clock_mono(NULL) > r->stop_by)) {
			pthread_mutex_unlock(&r->lock);
			return NULL;
		}
		r->head = w->next;
		if (!r->head)
			r->tail = NULL;
		r->n--;
		pthread_mutex_unlock(&r->lock);
		send_event(r, w->arena, &w->event);
		arena_free(w->arena);
	}
}

struct recorder *recorder_new(struct client *c, str component, str host)
{
	struct recorder *r = HEAP_NEW(struct recorder);
	r->client = c;
	r->component = heap_cstr(component);
	r->host = heap_cstr(host);
	pthread_mutex_init(&r->lock, NULL);
	thread_cond_init(&r->cond);
	struct error err = { 0 };
	if (!thread_start(&r->thread, "events", recorder_main, r, &err)) {
		log_error("%s: no events will be written", err.text);
		r->stop = true;
		r->stop_by = -1;
	}
	return r;
}

void recorder_free(struct recorder *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	bool runs = r->stop_by == 0;
	r->stop = true;
	r->stop_by = clock_mono(NULL) + FLUSH_MS * NS_PER_MS;
	pthread_cond_broadcast(&r->cond);
	pthread_mutex_unlock(&r->lock);
	if (runs)
		pthread_join(r->thread, NULL);
	for (struct waiting *w = r->head, *next; w; w = next) {
		next = w->next;
		arena_free(w->arena);
	}
	forget(&r->same);
	forget(&r->objects);
	forget(&r->similar);
	pthread_mutex_destroy(&r->lock);
	pthread_cond_destroy(&r->cond);
	free(r->component);
	free(r->host);
	free(r);
}

__attribute__((format(printf, 8, 0))) static void note(struct recorder *r, const char *component,
                                                       const struct resource_desc *resource,
                                                       const struct meta_v1_ObjectMeta *about, str field_path,
                                                       const char *type, const char *reason, const char *fmt,
                                                       va_list ap)
{
	struct arena *a = arena_new(2048);
	str message = arena_vprintf(a, fmt, ap);
	str source = component ? arena_dup(a, str_c(component)) : str_c(r->component);
	if (message.n > MAX_MESSAGE)
		message = arena_concat(a, str_sub(message, 0, MAX_MESSAGE - 3), S("..."));
	int64_t wall = clock_wall(client_clock(r->client));
	struct api_time now = { .sec = wall / NS_PER_SEC, .set = true };
	str group = schema_text(resource->group), version = schema_text(resource->version);
	struct waiting *w = ARENA_NEW(a, struct waiting);
	w->arena = a;
	w->event = (struct core_v1_Event){
		.metadata = {
			.name = arena_printf(a, STR_FMT ".%" PRIx64, STR_ARG(about->name), (uint64_t)wall),
			.namespace = about->namespace.n ? arena_dup(a, about->namespace) : S("default"),
		},
		.involvedObject = {
			.kind = schema_text(resource->kind),
			.apiVersion = group.n ? arena_concat(a, group, S("/"), version) : version,
			.namespace = arena_dup(a, about->namespace),
			.name = arena_dup(a, about->name),
			.uid = arena_dup(a, about->uid),
			.resourceVersion = arena_dup(a, about->resourceVersion),
			.fieldPath = arena_dup(a, field_path),
		},
		.type = arena_dup(a, str_c(type)),
		.reason = arena_dup(a, str_c(reason)),
		.message = message,
		.source = { .component = source, .host = str_c(r->host) },
		.reportingComponent = source,
		.reportingInstance = str_c(r->host),
		.firstTimestamp = now,
		.lastTimestamp = now,
		.count = 1,
	};
	pthread_mutex_lock(&r->lock);
	bool taken = !r->stop && r->n < MAX_WAITING;
	if (taken) {
		if (r->tail)
			r->tail->next = w;
		else
			r->head = w;
		r->tail = w;
		r->n++;
		pthread_cond_signal(&r->cond);
	}
	pthread_mutex_unlock(&r->lock);
	if (!taken)
		arena_free(a);
}

void recorder_event(struct recorder *r, const struct resource_desc *resource, const struct meta_v1_ObjectMeta *about,
                    str field_path, const char *type, const char *reason, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	note(r, NULL, resource, about, field_path, type, reason, fmt, ap);
	va_end(ap);
}

void recorder_event_as(struct recorder *r, const char *component, const struct resource_desc *resource,
                       const struct meta_v1_ObjectMeta *about, str field_path, const char *type, const char *reason,
                       const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	note(r, component, resource, about, field_path, type, reason, fmt, ap);
	va_end(ap);
}
