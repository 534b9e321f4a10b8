// The read cache: for each resource an ordered tree of entries that readers take as it is, and a ring of the latest events.
//
// The tree is a persistent treap: a change copies the path from the root to it and publishes a new root, so a reader that holds a
// root (a view) sees one moment for as long as it likes and waits for nobody. Entries are immutable and reference-counted; the
// JSON in them is complete (resourceVersion included), so that answers are made of bytes that lie ready. What else is derived
// from an entry (parsed labels, other encodings) is made on first demand and kept with it as a "side".
//
// One thread changes the cache: the store's committing thread, before it acknowledges the commit. So whoever was told that a write
// happened finds it here. All other functions may be called from any thread.
#ifndef CORACLE_STORE_CACHE_H
#define CORACLE_STORE_CACHE_H

#include <stdatomic.h>

#include "base/buf.h"
#include "store/store.h"

struct cache;
struct cache_resource;

// Something derived from an entry or an event, one malloc block, found by its tag (any address and number).
struct cache_side {
	struct cache_side *next;
	const void *tag;
	int kind;
	str bytes;
};

struct cache_entry {
	_Atomic uint32_t refs;
	uint32_t ns_n;         // the key is "namespace/name", or "name" (ns_n == 0)
	str key;
	int64_t revision, create_revision;
	str json;              // the object as a GET answers it; a newline stands behind it (json.p[json.n])
	size_t rest;           // where "metadata": begins: what follows kind and apiVersion, as items of a list have it
	size_t rv_at, rv_n;    // the digits of resourceVersion
	_Atomic(struct cache_side *) sides;
};
static inline str cache_entry_ns(const struct cache_entry *e) { return str_n(e->key.p, e->ns_n); }
static inline str cache_entry_name(const struct cache_entry *e) { return e->ns_n ? str_from(e->key, e->ns_n + 1) : e->key; }
struct cache_entry *cache_entry_ref(struct cache_entry *e);
void cache_entry_unref(struct cache_entry *e);

// An entry that is not in the cache (a state of the past). `key` is what stands behind "/registry/group/resource/".
struct cache_entry *cache_entry_new(const struct cache_resource *r, str key, str json, int64_t revision, int64_t create_revision);

// The side with that tag and kind, or NULL.
const struct cache_side *cache_side_find(_Atomic(struct cache_side *) *sides, const void *tag, int kind);
// Adds a copy of `bytes`; when another thread was quicker, its side is what is returned.
const struct cache_side *cache_side_add(_Atomic(struct cache_side *) *sides, const void *tag, int kind, str bytes);

// Canonical JSON (kind, apiVersion, metadata in upstream's order, without resourceVersion) with the revision put in where
// upstream has it. *rest, *rv_at, *rv_n as in struct cache_entry; any may be NULL. False when it does not begin so.
bool cache_splice(struct buf *to, str canonical, int64_t revision, size_t *rest, size_t *rv_at, size_t *rv_n);

enum cache_event_type { CACHE_ADDED, CACHE_MODIFIED, CACHE_DELETED };
struct cache_event {
	_Atomic uint32_t refs;
	enum cache_event_type type;
	int64_t seq, revision;
	struct cache_entry *entry;    // of a deletion: the last state with the deletion's resourceVersion
	struct cache_entry *previous; // NULL when added
	int64_t when;                 // monotonic
	_Atomic(struct cache_side *) sides;
};
void cache_event_unref(struct cache_event *e);

struct cache *cache_new(const struct clock *clock);
// Before cache_start. `prefix` is what stands behind "/registry/": "core/pods".
struct cache_resource *cache_add(struct cache *c, str prefix, bool namespaced, void *owner);
void *cache_resource_owner(const struct cache_resource *r);
// Called on the committing thread after a change was published.
void cache_on_change(struct cache *c, void (*fn)(struct cache_resource *r, void *ctx), void *ctx);
// Loads everything and follows the store from then on. The latest history becomes events, so that watchers can go on over a restart.
bool cache_start(struct cache *c, struct store *s, struct error *err);
// The store must outlive this.
void cache_free(struct cache *c);

// Everything up to this revision is in the cache.
int64_t cache_revision(const struct cache *c);
size_t cache_count(struct cache_resource *r);
size_t cache_bytes(struct cache_resource *r);

// The entry (give it back with cache_entry_unref), or NULL.
struct cache_entry *cache_get(struct cache_resource *r, str ns, str name);

// One moment of a resource.
struct cache_node;
struct cache_view {
	struct cache_node *root;
	int64_t revision; // of the moment
	int64_t next_seq; // the first event after it
	size_t n;
};
struct cache_view cache_view_take(struct cache_resource *r);
void cache_view_done(struct cache_view *v);
// Entries with key >= from (exclusive: > from), ascending, until `each` returns false. The view keeps the entries alive.
void cache_view_each(const struct cache_view *v, str from, bool exclusive, bool (*each)(struct cache_entry *e, void *ctx), void *ctx);
// How many entries have a key < `key`.
size_t cache_view_rank(const struct cache_view *v, str key);

// Where to begin after a revision; false when events after it are gone already (*oldest: from where they are kept).
bool cache_events_after(struct cache_resource *r, int64_t revision, int64_t *seq, int64_t *oldest);
// Up to `max` events from *seq on (each with a reference for the caller), *seq moves behind them. -1: they fell off the ring.
int cache_events_take(struct cache_resource *r, int64_t *seq, struct cache_event **out, size_t max);

#endif
