// Informers: a local copy of a resource, kept up by list and watch, with handlers that are told of every change.
//
// An object in the cache is immutable and reference-counted: hold it as long as you like, never change it (clone it with
// schema_clone). A reflector thread per informer lists (streaming where the server can), watches, and lists again when the
// watch is too old (410) with back-off and jitter; handlers run on that thread, so they only note a key in a work queue.
#ifndef CORACLE_CLIENT_INFORMER_H
#define CORACLE_CLIENT_INFORMER_H

#include "client/client.h"

struct informer;
struct object_ref; // a counted reference to a cached object

struct informer_handler {
	// old is NULL for an add, obj is NULL for a delete. Valid during the call; take a reference to keep one.
	void (*changed)(struct object_ref *old, struct object_ref *obj, void *ctx);
	void *ctx;
};
// An index: keys under which an object is found (namespace, node name, owner uid, ...). The key text is copied.
typedef void (*index_fn)(const void *obj, struct arena *a, struct str_list *keys);

// Not started yet. Selectors may be empty.
struct informer *informer_new(struct client *c, const struct resource_desc *r, const struct list_opts *o);
// Only the metadata of a resource that need not be in the schema: objects are struct meta_v1_PartialObjectMetadata. The
// server is asked for the short form and may send whole objects; the rest is dropped. Texts are copied.
struct informer *informer_new_metadata(struct client *c, str group, str version, str resource,
                                       const struct list_opts *o);
void informer_add_index(struct informer *i, const char *name,
                        index_fn fn); // before the start; a name that is there already is left alone
// Lets fn take out of an object, before it is cached, what nobody will ask for (managedFields always go). Before the start.
void informer_set_trim(struct informer *i, void (*fn)(void *obj));
void informer_add_handler(struct informer *i, const struct informer_handler *h); // before the start
bool informer_start(struct informer *i, struct error *err);
// Waits until the first list is complete; false on time-out.
bool informer_wait_synced(struct informer *i, int timeout_ms);
bool informer_synced(const struct informer *i);
void informer_stop(struct informer *i); // joins the thread and frees

struct object_ref *informer_get(struct informer *i, str ns, str name); // NULL: not there; unref it
// All, or those under an index key; a NULL-terminated view that is freed by informer_list_free.
struct object_list {
	struct object_ref **v;
	size_t n;
};
struct object_list informer_list(struct informer *i);
struct object_list informer_by_index(struct informer *i, const char *index, str key);
void informer_list_free(struct object_list *l);
#define _cleanup_list_ __attribute__((cleanup(informer_list_free)))

const void *object_of(const struct object_ref *o); // the struct: const struct core_v1_Pod *
const struct meta_v1_ObjectMeta *object_ref_meta(const struct object_ref *o);
struct object_ref *object_ref(struct object_ref *o);
void object_unref(struct object_ref *o);
static inline void object_unrefp(struct object_ref **o)
{
	object_unref(*o);
}
#define _cleanup_object_ __attribute__((cleanup(object_unrefp)))

#endif
