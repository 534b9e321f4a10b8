// What informer.c (the cache) and reflector.c (list and watch) share.
#ifndef CORACLE_CLIENT_INFORMER_INTERNAL_H
#define CORACLE_CLIENT_INFORMER_INTERNAL_H

#include <stdatomic.h>
#include <stdio.h>

#include "base/map.h"
#include "client/client_internal.h"
#include "client/informer.h"
#include "client/thread.h"
#include "schema_gen.h"

struct object_ref { // lives in its own arena
	struct arena *arena;
	void *obj;
	const struct meta_v1_ObjectMeta *meta;
	atomic_uint refs;
};

struct bucket {
	struct object_ref **v; // not counted: an indexed object is in the cache
	size_t n, cap;
};

struct index {
	const char *name;
	index_fn fn;
	struct map buckets;
	struct index *next;
};

struct handler {
	struct informer_handler h;
	struct handler *next;
};

struct informer {
	struct arena *arena;
	struct client *client;
	str resource, path, label_selector, field_selector;
	str accept, list_accept; // list_accept empty: the same
	const struct message_desc *item, *list;
	struct index *indexes;
	struct handler *handlers;
	void (*trim)(void *obj); // NULL: nothing
	pthread_t thread;
	bool started;
	atomic_bool synced;
	pthread_mutex_t lock; // what follows, and the indexes' buckets
	pthread_cond_t cond;
	struct map objects;
	bool stop;
	struct http_stream_in *stream; // the watch that the reflector reads
};

void *reflector_main(void *informer);

// A reference to a compact copy of the object.
struct object_ref *object_ref_new(const struct message_desc *m, const void *obj);
// Takes over the reference, tells the handlers.
void cache_put(struct informer *i, struct object_ref *o);
// Removes the object and tells the handlers; `final` is its last state where that is known.
void cache_delete(struct informer *i, str key, struct object_ref *final);
str cache_key(char *to, size_t n, str ns, str name);

#endif
