#include "store/cache.h"

#include <pthread.h>

#include "base/heap.h"
#include "base/log.h"
#include "base/map.h"

enum { RING_MIN = 100, RING_MAX = 16384, REPLAY = 2000 };
#define RING_BYTES ((size_t)16 << 20)
#define RING_FRESH (75 * NS_PER_SEC) // events younger than this stay when there is room, as upstream keeps them

struct cache_node {
	_Atomic uint32_t refs;
	uint32_t count; // of the subtree
	uint64_t priority;
	struct cache_entry *entry;
	struct cache_node *left, *right;
};

struct cache_resource {
	struct cache *cache;
	void *owner;
	bool namespaced;
	_Atomic size_t bytes; // of the JSON of all entries

	pthread_mutex_t mutex; // held for a few instructions: the published root and the ring
	struct cache_node *root;
	int64_t revision; // of the last change
	struct cache_event **ring;
	size_t cap, n;
	int64_t first_seq; // of ring[first_seq % cap]
	int64_t floor;     // events up to this revision are gone
	size_t ring_bytes;
};

struct cache {
	const struct clock *clock;
	struct map resources;
	struct store_watch *watch;
	_Atomic int64_t revision;
	void (*on_change)(struct cache_resource *r, void *ctx);
	void *on_change_ctx;
};

static const char registry_prefix[] = "/registry/";

// --- Entries --------------------------------------------------------------------------------------------------------------

struct cache_entry *cache_entry_ref(struct cache_entry *e)
{
	atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
	return e;
}

static void sides_free(struct cache_side *s)
{
	for (struct cache_side *next; s; s = next) {
		next = s->next;
		free(s);
	}
}

void cache_entry_unref(struct cache_entry *e)
{
	if (!e || atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) != 1)
		return;
	sides_free(atomic_load(&e->sides));
	free(e);
}

const struct cache_side *cache_side_find(_Atomic(struct cache_side *) *sides, const void *tag, int kind)
{
	for (struct cache_side *s = atomic_load_explicit(sides, memory_order_acquire); s; s = s->next)
		if (s->tag == tag && s->kind == kind)
			return s;
	return NULL;
}

const struct cache_side *cache_side_add(_Atomic(struct cache_side *) *sides, const void *tag, int kind, str bytes)
{
	struct cache_side *s = heap_alloc(sizeof(*s) + bytes.n);
	char *to = (char *)(s + 1);
	if (bytes.n)
		memcpy(to, bytes.p, bytes.n);
	*s = (struct cache_side){ .tag = tag, .kind = kind, .bytes = str_n(to, bytes.n) };
	struct cache_side *first = atomic_load_explicit(sides, memory_order_acquire);
	do {
		for (struct cache_side *x = first; x; x = x->next) {
			if (x->tag == tag && x->kind == kind) {
				free(s);
				return x;
			}
		}
		s->next = first;
	} while (!atomic_compare_exchange_weak_explicit(sides, &first, s, memory_order_acq_rel, memory_order_acquire));
	return s;
}

static const char *skip_string(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\')
			p++;
	return p < end ? p + 1 : NULL;
}

bool cache_splice(struct buf *to, str json, int64_t revision, size_t *rest, size_t *rv_at, size_t *rv_n)
{
	static const str before[] = { S_INIT("name"), S_INIT("generateName"), S_INIT("namespace"), S_INIT("selfLink"), S_INIT("uid") };
	const char *p = json.p, *end = json.p + json.n;
	if (json.n < 2 || *p != '{')
		return false;
	// kind and apiVersion
	p++;
	static const str meta = S_INIT("\"metadata\":{");
	while (p < end && !str_has_prefix(str_n(p, (size_t)(end - p)), meta)) {
		if (*p != '"' || !(p = skip_string(p, end)) || p >= end || *p++ != ':' || p >= end || *p != '"' || !(p = skip_string(p, end)) || p >= end)
			return false;
		if (*p != ',')
			return false;
		p++;
	}
	if (p >= end)
		return false;
	size_t rest_at = (size_t)(p - json.p);
	p += meta.n;
	bool comma = false; // one member was passed: put a comma before ours
	const char *at = p;
	while (p < end && *p == '"') {
		const char *q = skip_string(p, end);
		if (!q)
			return false;
		str name = str_n(p + 1, (size_t)(q - p) - 2);
		bool is_before = false;
		for (size_t i = 0; i < ARRAY_LEN(before); i++)
			is_before |= str_eq(name, before[i]);
		if (!is_before)
			break;
		if (q + 1 >= end || q[0] != ':' || q[1] != '"' || !(q = skip_string(q + 1, end)) || q >= end)
			return false;
		at = q;
		comma = true;
		p = q;
		if (*p == ',')
			p++;
		else
			break;
	}
	if (at >= end)
		return false;
	// Behind a member there is another one or the end, before the first one any.
	if (comma ? *at != ',' && *at != '}' : *at != '"' && *at != '}')
		return false;
	bool more = *at != '}';
	size_t start = to->n, cut = (size_t)(at - json.p);
	buf_reserve(to, json.n + 48);
	buf_add(to, str_n(json.p, cut));
	if (comma)
		buf_add_char(to, ',');
	buf_add(to, S("\"resourceVersion\":\""));
	size_t digits = to->n;
	buf_add_i64(to, revision);
	if (rv_at)
		*rv_at = digits - start;
	if (rv_n)
		*rv_n = to->n - digits;
	buf_add_char(to, '"');
	if (more && *at != ',')
		buf_add_char(to, ',');
	buf_add(to, str_n(at, json.n - cut));
	if (rest)
		*rest = rest_at;
	return true;
}

struct cache_entry *cache_entry_new(const struct cache_resource *r, str key, str json, int64_t revision, int64_t create_revision)
{
	struct buf b = { 0 };
	size_t rest = 0, rv_at = 0, rv_n = 0;
	if (!cache_splice(&b, json, revision, &rest, &rv_at, &rv_n)) {
		// Not an object of ours; it is still shown as it is.
		buf_clear(&b);
		buf_add(&b, json);
		rest = MIN(json.n, (size_t)1);
	}
	struct cache_entry *e = heap_alloc(sizeof(*e) + key.n + b.n + 1);
	char *to = (char *)(e + 1);
	memcpy(to, key.p, key.n);
	memcpy(to + key.n, b.p, b.n);
	to[key.n + b.n] = '\n';
	ptrdiff_t slash = r->namespaced ? str_find_char(key, '/') : 0;
	*e = (struct cache_entry){ .refs = 1, .ns_n = slash > 0 ? (uint32_t)slash : 0, .key = str_n(to, key.n), .json = str_n(to + key.n, b.n),
		                   .revision = revision, .create_revision = create_revision, .rest = rest, .rv_at = rv_at, .rv_n = rv_n };
	buf_free(&b);
	return e;
}

// --- The tree -------------------------------------------------------------------------------------------------------------

static uint32_t count_of(const struct cache_node *n) { return n ? n->count : 0; }

static struct cache_node *node_ref(struct cache_node *n)
{
	if (n)
		atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed);
	return n;
}

static void node_unref(struct cache_node *n)
{
	while (n && atomic_fetch_sub_explicit(&n->refs, 1, memory_order_acq_rel) == 1) {
		struct cache_node *right = n->right;
		node_unref(n->left);
		cache_entry_unref(n->entry);
		free(n);
		n = right;
	}
}

// Takes over the references of its arguments.
static struct cache_node *node_new(struct cache_entry *e, uint64_t priority, struct cache_node *left, struct cache_node *right)
{
	struct cache_node *n = heap_alloc(sizeof(*n));
	*n = (struct cache_node){ .refs = 1, .count = 1 + count_of(left) + count_of(right), .priority = priority, .entry = e, .left = left, .right = right };
	return n;
}

// Everything below `key` and everything above it, as new trees; the entry with that key is left out.
static void split(struct cache_node *n, str key, struct cache_node **low, struct cache_node **high)
{
	if (!n) {
		*low = *high = NULL;
		return;
	}
	int c = str_cmp(key, n->entry->key);
	if (c == 0) {
		*low = node_ref(n->left);
		*high = node_ref(n->right);
	} else if (c < 0) {
		struct cache_node *rest;
		split(n->left, key, low, &rest);
		*high = node_new(cache_entry_ref(n->entry), n->priority, rest, node_ref(n->right));
	} else {
		struct cache_node *rest;
		split(n->right, key, &rest, high);
		*low = node_new(cache_entry_ref(n->entry), n->priority, node_ref(n->left), rest);
	}
}

static struct cache_node *insert(const struct cache_node *n, struct cache_entry *e, uint64_t priority)
{
	if (!n)
		return node_new(cache_entry_ref(e), priority, NULL, NULL);
	int c = str_cmp(e->key, n->entry->key);
	if (c == 0)
		return node_new(cache_entry_ref(e), n->priority, node_ref(n->left), node_ref(n->right));
	if (priority > n->priority) {
		struct cache_node *low, *high;
		split((struct cache_node *)n, e->key, &low, &high);
		return node_new(cache_entry_ref(e), priority, low, high);
	}
	if (c < 0)
		return node_new(cache_entry_ref(n->entry), n->priority, insert(n->left, e, priority), node_ref(n->right));
	return node_new(cache_entry_ref(n->entry), n->priority, node_ref(n->left), insert(n->right, e, priority));
}

// All of `low` before all of `high`; new references.
static struct cache_node *join(struct cache_node *low, struct cache_node *high)
{
	if (!low)
		return node_ref(high);
	if (!high)
		return node_ref(low);
	if (low->priority > high->priority)
		return node_new(cache_entry_ref(low->entry), low->priority, node_ref(low->left), join(low->right, high));
	return node_new(cache_entry_ref(high->entry), high->priority, join(low, high->left), node_ref(high->right));
}

static struct cache_node *without(struct cache_node *n, str key)
{
	if (!n)
		return NULL;
	int c = str_cmp(key, n->entry->key);
	if (c == 0)
		return join(n->left, n->right);
	if (c < 0)
		return node_new(cache_entry_ref(n->entry), n->priority, without(n->left, key), node_ref(n->right));
	return node_new(cache_entry_ref(n->entry), n->priority, node_ref(n->left), without(n->right, key));
}

static struct cache_entry *find(const struct cache_node *n, str key)
{
	while (n) {
		int c = str_cmp(key, n->entry->key);
		if (c == 0)
			return n->entry;
		n = c < 0 ? n->left : n->right;
	}
	return NULL;
}

// --- Events ---------------------------------------------------------------------------------------------------------------

void cache_event_unref(struct cache_event *e)
{
	if (!e || atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) != 1)
		return;
	cache_entry_unref(e->entry);
	cache_entry_unref(e->previous);
	sides_free(atomic_load(&e->sides));
	free(e);
}

static struct cache_event **slot(struct cache_resource *r, int64_t seq) { return &r->ring[(uint64_t)seq % r->cap]; }

// With the mutex held. Returns the events that fell off, to be given back outside of it (at most `max`).
static size_t ring_add(struct cache_resource *r, struct cache_event *e, struct cache_event **dropped, size_t max)
{
	size_t n = 0;
	if (r->n == r->cap && r->cap < RING_MAX) {
		size_t cap = r->cap ? r->cap * 2 : 16;
		struct cache_event **ring = heap_calloc(cap, sizeof(struct cache_event *));
		for (size_t i = 0; i < r->n; i++) {
			int64_t seq = r->first_seq + (int64_t)i;
			ring[(uint64_t)seq % cap] = *slot(r, seq);
		}
		free(r->ring);
		r->ring = ring;
		r->cap = cap;
	}
	while (r->n > 0 && n < max) {
		struct cache_event *old = *slot(r, r->first_seq);
		bool full = r->n == r->cap || (r->ring_bytes > RING_BYTES && r->n > RING_MIN);
		bool stale = r->n >= RING_MIN && e->when - old->when > RING_FRESH;
		if (!full && !stale)
			break;
		r->floor = old->revision;
		r->ring_bytes -= old->entry->json.n;
		*slot(r, r->first_seq) = NULL;
		r->first_seq++;
		r->n--;
		dropped[n++] = old;
	}
	e->seq = r->first_seq + (int64_t)r->n;
	*slot(r, e->seq) = e;
	r->n++;
	r->ring_bytes += e->entry->json.n;
	return n;
}

bool cache_events_after(struct cache_resource *r, int64_t revision, int64_t *seq, int64_t *oldest)
{
	pthread_mutex_lock(&r->mutex);
	*oldest = r->floor;
	bool ok = revision >= r->floor;
	int64_t low = r->first_seq, high = r->first_seq + (int64_t)r->n;
	while (low < high) {
		int64_t mid = low + (high - low) / 2;
		if ((*slot(r, mid))->revision > revision)
			high = mid;
		else
			low = mid + 1;
	}
	*seq = low;
	pthread_mutex_unlock(&r->mutex);
	return ok;
}

int cache_events_take(struct cache_resource *r, int64_t *seq, struct cache_event **out, size_t max)
{
	size_t n = 0;
	pthread_mutex_lock(&r->mutex);
	if (*seq < r->first_seq) {
		pthread_mutex_unlock(&r->mutex);
		return -1;
	}
	for (int64_t end = r->first_seq + (int64_t)r->n; n < max && *seq < end; (*seq)++) {
		out[n] = *slot(r, *seq);
		atomic_fetch_add_explicit(&out[n]->refs, 1, memory_order_relaxed);
		n++;
	}
	pthread_mutex_unlock(&r->mutex);
	return (int)n;
}

// --- Following the store --------------------------------------------------------------------------------------------------

// Splits "/registry/core/pods/default/web-0" into its resource and the rest.
static struct cache_resource *resource_of(struct cache *c, str key, str *rest)
{
	if (!str_cut_prefix(&key, str_n(registry_prefix, sizeof(registry_prefix) - 1)))
		return NULL;
	ptrdiff_t a = str_find_char(key, '/');
	if (a < 0)
		return NULL;
	ptrdiff_t b = str_find_char(str_from(key, (size_t)a + 1), '/');
	if (b < 0)
		return NULL;
	size_t n = (size_t)a + 1 + (size_t)b;
	*rest = str_from(key, n + 1);
	return map_get(&c->resources, str_n(key.p, n));
}

static void apply(struct cache_resource *r, str key, const struct store_event *ev)
{
	struct cache_entry *previous = find(r->root, key);
	struct cache_event *e = HEAP_NEW(struct cache_event);
	e->refs = 1;
	e->revision = ev->entry.mod_revision;
	e->when = clock_mono(r->cache->clock);
	struct cache_node *root;
	if (ev->deleted) {
		if (!previous) {
			free(e);
			return;
		}
		e->type = CACHE_DELETED;
		e->entry = cache_entry_new(r, key, ev->entry.value, e->revision, ev->entry.create_revision);
		root = without(r->root, key);
		r->bytes -= previous->json.n;
	} else {
		e->type = previous ? CACHE_MODIFIED : CACHE_ADDED;
		e->entry = cache_entry_new(r, key, ev->entry.value, e->revision, ev->entry.create_revision);
		root = insert(r->root, e->entry, str_hash(key));
		r->bytes += e->entry->json.n - (previous ? previous->json.n : 0);
	}
	e->previous = previous ? cache_entry_ref(previous) : NULL;
	struct cache_event *dropped[64];
	pthread_mutex_lock(&r->mutex);
	struct cache_node *old = r->root;
	r->root = root;
	r->revision = e->revision;
	size_t n = ring_add(r, e, dropped, ARRAY_LEN(dropped));
	pthread_mutex_unlock(&r->mutex);
	node_unref(old);
	for (size_t i = 0; i < n; i++)
		cache_event_unref(dropped[i]);
}

static void on_events(const struct store_event *events, size_t n, int64_t revision, void *ctx)
{
	struct cache *c = ctx;
	struct cache_resource *last = NULL;
	for (size_t i = 0; i < n; i++) {
		str rest;
		struct cache_resource *r = resource_of(c, events[i].entry.key, &rest);
		if (r)
			apply(r, rest, &events[i]);
	}
	atomic_store_explicit(&c->revision, revision, memory_order_release);
	for (size_t i = 0; i < n && c->on_change; i++) {
		str rest;
		struct cache_resource *r = resource_of(c, events[i].entry.key, &rest);
		if (r && r != last)
			c->on_change(r, c->on_change_ctx);
		last = r;
	}
}

static bool load(const struct store_entry *e, void *ctx)
{
	struct cache *c = ctx;
	str rest;
	struct cache_resource *r = resource_of(c, e->key, &rest);
	if (!r) {
		log_warn("store: nothing knows what " STR_FMT " is", STR_ARG(e->key));
		return true;
	}
	struct cache_entry *entry = cache_entry_new(r, rest, e->value, e->mod_revision, e->create_revision);
	struct cache_node *root = insert(r->root, entry, str_hash(rest));
	r->bytes += entry->json.n;
	r->revision = MAX(r->revision, e->mod_revision);
	node_unref(r->root);
	r->root = root;
	cache_entry_unref(entry);
	return true;
}

struct cache *cache_new(const struct clock *clock)
{
	struct cache *c = HEAP_NEW(struct cache);
	c->clock = clock;
	return c;
}

struct cache_resource *cache_add(struct cache *c, str prefix, bool namespaced, void *owner)
{
	struct cache_resource *r = HEAP_NEW(struct cache_resource);
	r->cache = c;
	r->owner = owner;
	r->namespaced = namespaced;
	pthread_mutex_init(&r->mutex, NULL);
	map_put(&c->resources, prefix, r);
	return r;
}

void *cache_resource_owner(const struct cache_resource *r) { return r->owner; }

void cache_on_change(struct cache *c, void (*fn)(struct cache_resource *r, void *ctx), void *ctx)
{
	c->on_change = fn;
	c->on_change_ctx = ctx;
}

bool cache_start(struct cache *c, struct store *s, struct error *err)
{
	int64_t from = MAX(MAX(store_compacted(s), store_revision(s) - REPLAY), 1);
	if (!store_range(s, S("/registry/"), S("/registry0"), from, 0, load, c, NULL, err))
		return error_wrap(err, "cache");
	for (struct map_slot *i = NULL; (i = map_each(&c->resources, i));)
		((struct cache_resource *)i->value)->floor = from;
	atomic_store(&c->revision, from);
	c->watch = store_watch(s, from, on_events, c, err);
	store_trim(s);
	atomic_store(&c->revision, MAX(atomic_load(&c->revision), store_revision(s)));
	return c->watch != NULL;
}

void cache_free(struct cache *c)
{
	if (!c)
		return;
	if (c->watch)
		store_watch_stop(c->watch);
	for (struct map_slot *i = NULL; (i = map_each(&c->resources, i));) {
		struct cache_resource *r = i->value;
		for (size_t k = 0; k < r->n; k++)
			cache_event_unref(*slot(r, r->first_seq + (int64_t)k));
		node_unref(r->root);
		pthread_mutex_destroy(&r->mutex);
		free(r->ring);
		free(r);
	}
	map_free(&c->resources);
	free(c);
}

// --- Reading --------------------------------------------------------------------------------------------------------------

int64_t cache_revision(const struct cache *c) { return atomic_load_explicit(&c->revision, memory_order_acquire); }

struct cache_view cache_view_take(struct cache_resource *r)
{
	struct cache_view v = { .revision = cache_revision(r->cache) };
	pthread_mutex_lock(&r->mutex);
	v.root = node_ref(r->root);
	v.revision = MAX(v.revision, r->revision);
	v.next_seq = r->first_seq + (int64_t)r->n;
	pthread_mutex_unlock(&r->mutex);
	v.n = count_of(v.root);
	return v;
}

void cache_view_done(struct cache_view *v)
{
	node_unref(v->root);
	v->root = NULL;
}

struct cache_entry *cache_get(struct cache_resource *r, str ns, str name)
{
	char key[512];
	size_t n = 0;
	if (r->namespaced) {
		if (ns.n + name.n + 1 > sizeof(key))
			return NULL;
		memcpy(key, ns.p, ns.n);
		key[ns.n] = '/';
		n = ns.n + 1;
	}
	if (n + name.n > sizeof(key))
		return NULL;
	memcpy(key + n, name.p, name.n);
	struct cache_view v = cache_view_take(r);
	struct cache_entry *e = find(v.root, str_n(key, n + name.n));
	if (e)
		cache_entry_ref(e);
	cache_view_done(&v);
	return e;
}

size_t cache_count(struct cache_resource *r)
{
	pthread_mutex_lock(&r->mutex);
	size_t n = count_of(r->root);
	pthread_mutex_unlock(&r->mutex);
	return n;
}

size_t cache_bytes(struct cache_resource *r) { return r->bytes; }

static bool walk(const struct cache_node *n, str from, bool exclusive, bool (*each)(struct cache_entry *e, void *ctx), void *ctx)
{
	while (n) {
		int c = from.n ? str_cmp(from, n->entry->key) : -1;
		if (c < 0) {
			if (!walk(n->left, from, exclusive, each, ctx))
				return false;
		}
		if ((c < 0 || (c == 0 && !exclusive)) && !each(n->entry, ctx))
			return false;
		n = n->right;
	}
	return true;
}

void cache_view_each(const struct cache_view *v, str from, bool exclusive, bool (*each)(struct cache_entry *e, void *ctx), void *ctx)
{
	walk(v->root, from, exclusive, each, ctx);
}

size_t cache_view_rank(const struct cache_view *v, str key)
{
	size_t rank = 0;
	for (const struct cache_node *n = v->root; n;) {
		if (str_cmp(key, n->entry->key) <= 0) {
			n = n->left;
		} else {
			rank += 1 + count_of(n->left);
			n = n->right;
		}
	}
	return rank;
}
