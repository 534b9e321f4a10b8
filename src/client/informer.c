// The cache: a map from "namespace/name" to references, and one map per index from its keys to buckets of references. The
// reflector (reflector.c) is its only writer; readers take the lock for the time of a look-up.
#include "client/informer.h"

#include "base/heap.h"
#include "base/log.h"
#include "client/informer_internal.h"

enum { SYNC_FOREVER = -1 };

// --- References ---

struct object_ref *object_ref_new(const struct message_desc *m, const void *obj)
{
	// Cloned twice: the first time to learn how much room it takes, so that the second arena fits and is one block.
	struct arena *probe = arena_new(16 << 10);
	schema_clone(probe, m, obj);
	size_t size = arena_used(probe);
	arena_free(probe);
	struct arena *a = arena_new(size + sizeof(struct object_ref) + 128);
	struct object_ref *r = ARENA_NEW(a, struct object_ref);
	r->arena = a;
	r->obj = schema_clone(a, m, obj);
	r->meta = object_meta(m, r->obj);
	atomic_init(&r->refs, 1);
	return r;
}

const void *object_of(const struct object_ref *o)
{
	return o->obj;
}
const struct meta_v1_ObjectMeta *object_ref_meta(const struct object_ref *o)
{
	return o->meta;
}

struct object_ref *object_ref(struct object_ref *o)
{
	if (o)
		atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
	return o;
}

void object_unref(struct object_ref *o)
{
	if (o && atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) == 1)
		arena_free(o->arena);
}

// --- Set-up ---

static struct informer *new_informer(struct client *c, str group, str version, str resource, const struct list_opts *o)
{
	struct arena *a = arena_new(1024);
	struct informer *i = ARENA_NEW(a, struct informer);
	i->arena = a;
	i->client = c;
	i->resource = arena_dup(a, resource);
	i->path = client_path(a, group, version, resource, o ? o->ns : S(""));
	if (o) {
		i->label_selector = arena_dup(a, o->label_selector);
		i->field_selector = arena_dup(a, o->field_selector);
	}
	pthread_mutex_init(&i->lock, NULL);
	thread_cond_init(&i->cond);
	return i;
}

struct informer *informer_new(struct client *c, const struct resource_desc *r, const struct list_opts *o)
{
	struct informer *i =
	        new_informer(c, schema_text(r->group), schema_text(r->version), schema_text(r->resource), o);
	i->item = schema_message_at(r->message);
	i->list = r->list_message == UINT32_MAX ? NULL : schema_message_at(r->list_message);
	i->accept = S("application/json");
	return i;
}

struct informer *informer_new_metadata(struct client *c, str group, str version, str resource,
                                       const struct list_opts *o)
{
	struct informer *i = new_informer(c, group, version, resource, o);
	i->item = meta_v1_PartialObjectMetadata_desc;
	i->list = meta_v1_PartialObjectMetadataList_desc;
	i->accept = S("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json");
	i->list_accept = S("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json");
	return i;
}

void informer_add_index(struct informer *i, const char *name, index_fn fn)
{
	struct index **at = &i->indexes;
	for (; *at; at = &(*at)->next)
		if (strcmp((*at)->name, name) == 0)
			return;
	*at = ARENA_NEW(i->arena, struct index);
	(*at)->name = name;
	(*at)->fn = fn;
}

void informer_set_trim(struct informer *i, void (*fn)(void *obj))
{
	i->trim = fn;
}

void informer_add_handler(struct informer *i, const struct informer_handler *h)
{
	struct handler **at = &i->handlers;
	while (*at)
		at = &(*at)->next;
	*at = ARENA_NEW(i->arena, struct handler);
	(*at)->h = *h;
}

bool informer_start(struct informer *i, struct error *err)
{
	if (!i->list)
		return error_set(err, STR_FMT " cannot be listed", STR_ARG(i->resource));
	char name[16];
	snprintf(name, sizeof(name), STR_FMT, STR_ARG(i->resource));
	if (!thread_start(&i->thread, name, reflector_main, i, err))
		return false;
	i->started = true;
	return true;
}

bool informer_synced(const struct informer *i)
{
	return atomic_load_explicit(&i->synced, memory_order_acquire);
}

bool informer_wait_synced(struct informer *i, int timeout_ms)
{
	THREAD_LOCKED(&i->lock);
	int64_t end = clock_mono(NULL) + timeout_ms * NS_PER_MS;
	while (!informer_synced(i) && !i->stop) {
		int64_t left = timeout_ms == SYNC_FOREVER ? -1 : end - clock_mono(NULL);
		if (timeout_ms != SYNC_FOREVER && left <= 0)
			return false;
		thread_cond_wait(&i->cond, &i->lock, left);
	}
	return informer_synced(i);
}

void informer_stop(struct informer *i)
{
	if (!i)
		return;
	pthread_mutex_lock(&i->lock);
	i->stop = true;
	if (i->stream)
		http_stream_in_abort(i->stream);
	pthread_cond_broadcast(&i->cond);
	pthread_mutex_unlock(&i->lock);
	if (i->started)
		pthread_join(i->thread, NULL);
	for (struct map_slot *s = NULL; (s = map_each(&i->objects, s));)
		object_unref(s->value);
	map_free(&i->objects);
	for (struct index *x = i->indexes; x; x = x->next) {
		for (struct map_slot *s = NULL; (s = map_each(&x->buckets, s));) {
			free(((struct bucket *)s->value)->v);
			free(s->value);
		}
		map_free(&x->buckets);
	}
	pthread_mutex_destroy(&i->lock);
	pthread_cond_destroy(&i->cond);
	arena_free(i->arena);
}

// --- Writing: the reflector only ---

// Takes the object out of (into) the buckets of every index.
static void index_change(struct informer *i, struct object_ref *o, bool add)
{
	if (!i->indexes)
		return;
	_cleanup_arena_ struct arena *a = arena_new(1024);
	for (struct index *x = i->indexes; x; x = x->next) {
		struct str_list keys = { 0 };
		x->fn(o->obj, a, &keys);
		for (size_t k = 0; k < keys.n; k++) {
			struct bucket *b = map_get(&x->buckets, keys.v[k]);
			if (add) {
				if (!b)
					map_put(&x->buckets, keys.v[k], b = HEAP_NEW(struct bucket));
				if (b->n > 0 && b->v[b->n - 1] == o)
					continue; // the same key twice
				if (b->n == b->cap) {
					b->cap = b->cap ? b->cap * 2 : 2;
					b->v = heap_realloc(b->v, b->cap * sizeof(struct object_ref *));
				}
				b->v[b->n++] = o;
				continue;
			}
			for (size_t n = 0; b && n < b->n; n++)
				if (b->v[n] == o) {
					b->v[n] = b->v[--b->n];
					break;
				}
			if (b && b->n == 0) {
				map_del(&x->buckets, keys.v[k]);
				free(b->v);
				free(b);
			}
		}
	}
}

static void notify(struct informer *i, struct object_ref *old, struct object_ref *obj)
{
	for (struct handler *h = i->handlers; h; h = h->next)
		h->h.changed(old, obj, h->h.ctx);
}

void cache_put(struct informer *i, struct object_ref *o)
{
	char small[320];
	str key = cache_key(small, sizeof(small), o->meta->namespace, o->meta->name);
	pthread_mutex_lock(&i->lock);
	struct object_ref *old = map_put(&i->objects, key, o);
	if (old)
		index_change(i, old, false);
	index_change(i, o, true);
	pthread_mutex_unlock(&i->lock);
	notify(i, old, o);
	object_unref(old);
}

void cache_delete(struct informer *i, str key, struct object_ref *final)
{
	pthread_mutex_lock(&i->lock);
	struct object_ref *old = map_del(&i->objects, key);
	if (old)
		index_change(i, old, false);
	pthread_mutex_unlock(&i->lock);
	if (old)
		notify(i, final ? final : old, NULL);
	object_unref(old);
}

str cache_key(char *to, size_t n, str ns, str name)
{
	int len = ns.n ? snprintf(to, n, STR_FMT "/" STR_FMT, STR_ARG(ns), STR_ARG(name))
	               : snprintf(to, n, STR_FMT, STR_ARG(name));
	return str_n(to, MIN((size_t)len, n - 1)); // names have at most 253 and 63 bytes
}

// --- Reading ---

struct object_ref *informer_get(struct informer *i, str ns, str name)
{
	char small[320];
	str key = cache_key(small, sizeof(small), ns, name);
	THREAD_LOCKED(&i->lock);
	return object_ref(map_get(&i->objects, key));
}

struct object_list informer_list(struct informer *i)
{
	THREAD_LOCKED(&i->lock);
	struct object_list l = { .v = heap_calloc(i->objects.n + 1, sizeof(struct object_ref *)) };
	for (struct map_slot *s = NULL; (s = map_each(&i->objects, s));)
		l.v[l.n++] = object_ref(s->value);
	return l;
}

struct object_list informer_by_index(struct informer *i, const char *index, str key)
{
	THREAD_LOCKED(&i->lock);
	struct object_list l = { 0 };
	struct index *x = i->indexes;
	while (x && strcmp(x->name, index) != 0)
		x = x->next;
	struct bucket *b = x ? map_get(&x->buckets, key) : NULL;
	size_t n = b ? b->n : 0;
	l.v = heap_calloc(n + 1, sizeof(struct object_ref *));
	for (; l.n < n; l.n++)
		l.v[l.n] = object_ref(b->v[l.n]);
	return l;
}

void informer_list_free(struct object_list *l)
{
	for (size_t n = 0; n < l->n; n++)
		object_unref(l->v[n]);
	free(l->v);
	*l = (struct object_list){ 0 };
}
