// WATCH: a watcher is a cursor into the event ring of its resource.
//
// Each loop keeps its own watchers, sorted by what they can match: a node's name, an object's name, a namespace, or anything. When the
// committing thread has published a change it posts one wake-up to every loop that watches the resource; the loop reads the new events
// once and offers each to those watchers that it can concern. The bytes of an event are made once and shared by all. A watcher
// whose peer reads too slowly is left alone until its queue has drained, and then catches up from the ring by itself; when the ring has
// gone on without it, it is told so (410) and ended.
#include <pthread.h>

#include "apiserver/apiserver.h"
#include "base/heap.h"
#include "json/json.h"

enum { SLOW = 1 << 20, TAKE = 64, BOOKMARK_EVERY_MS = 10000, CROWD = 32, TOGETHER_MS = 4, BIG_CROWD = 150, BIG_TOGETHER_MS = 15 };
#define BOOKMARK_NS (55 * NS_PER_SEC)

struct watcher {
	struct watcher *prev, *next;   // within its list
	struct watcher **list;
	struct watcher *all_prev, *all_next;
	struct call *c;
	struct kind *k;
	struct resource_watch *rw;
	struct matcher m;
	str ns;
	int64_t next_seq, min_revision;
	bool lagging, bookmarks, head_sent, initial, initial_bookmark, ended;
	struct cache_view view;        // initial events
	struct buf last;
	enum include_object include;
	struct http_timer *timeout;
	int64_t last_bookmark;
};

struct list_head { struct watcher *first; };

struct resource_watch {
	struct kind *k;               // as stored
	int64_t cursor;
	struct watcher *everything, *all;
	struct map by_ns, by_name, by_node; // -> struct list_head *
	_Atomic size_t n;
	size_t broad;                 // of them: those that look at a whole namespace, or at everything
	_Atomic bool dirty;
	struct loop_state *ls;
	int64_t last;                 // when events were handed out
	struct http_timer *later;
};

struct loop_state {
	struct apiserver *s;
	struct http_loop *loop;
	_Atomic bool posted;
	struct resource_watch *resources; // by the stored kind's index
	struct http_timer *timer;
	size_t n;
};

// --- Bytes of an event ------------------------------------------------------------------------------------------------------

static const char *const type_names[] = { "ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR" };
enum { T_BOOKMARK = 3, T_ERROR = 4 };

static void pb_bytes(struct buf *to, unsigned field, str s)
{
	buf_add_char(to, (char)(field << 3 | 2));
	size_t n = s.n;
	for (; n >= 0x80; n >>= 7)
		buf_add_char(to, (char)(n | 0x80));
	buf_add_char(to, (char)n);
	buf_add(to, s);
}

// A frame around the object's bytes.
static void frame(struct buf *to, enum media media, int type, str object)
{
	if (media != MEDIA_PROTOBUF) {
		buf_printf(to, "{\"type\":\"%s\",\"object\":", type_names[type]);
		buf_add(to, object);
		buf_add(to, S("}\n"));
		return;
	}
	struct buf raw = { 0 }, event = { 0 };
	pb_bytes(&raw, 1, object);
	pb_bytes(&event, 1, str_c(type_names[type]));
	pb_bytes(&event, 2, buf_str(&raw));
	unsigned char length[4] = { (unsigned char)(event.n >> 24), (unsigned char)(event.n >> 16), (unsigned char)(event.n >> 8), (unsigned char)event.n };
	buf_add(to, str_n((const char *)length, 4));
	buf_add(to, buf_str(&event));
	buf_free(&raw);
	buf_free(&event);
}

static void encode_entry(struct watcher *w, struct buf *to, struct cache_entry *e, bool columns)
{
	struct call *c = w->c;
	struct kind *k = w->k;
	str version = c->accept.v1beta1 ? S("v1beta1") : S("v1");
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	if (c->accept.as == AS_PARTIAL && c->accept.media == MEDIA_JSON) {
		partial_object(to, e, true, version);
		return;
	}
	if (c->accept.as == AS_OBJECT && c->accept.media == MEDIA_JSON && k->stored == k && !k->strategy->decorate) {
		buf_add(to, e->json);
		return;
	}
	void *obj = entry_decode(a, k, e, &err);
	if (!obj)
		return;
	struct core_v1_Pod *head = obj;
	if (c->accept.as == AS_TABLE) {
		table_head(to, k, meta_of(k, obj)->resourceVersion, S(""), 0, columns);
		table_row(a, to, k, e, obj, w->include, clock_wall(c->r.clock), version);
		buf_add(to, S("]}"));
		return;
	}
	const struct message_desc *m = k->message;
	if (c->accept.as == AS_PARTIAL) {
		struct meta_v1_PartialObjectMetadata *p = ARENA_NEW(a, struct meta_v1_PartialObjectMetadata);
		p->metadata = *meta_of(k, obj);
		p->kind = S("PartialObjectMetadata");
		p->apiVersion = arena_concat(a, S("meta.k8s.io/"), version);
		obj = p;
		head = obj;
		m = meta_v1_PartialObjectMetadata_desc;
	} else {
		obj = convert_from_stored(a, k, obj, &err);
		if (!obj)
			return;
		head = obj;
		head->kind = k->name;
		head->apiVersion = k->api_version;
	}
	if (c->accept.media == MEDIA_PROTOBUF) {
		struct buf raw = { 0 };
		schema_to_pb(&raw, m, obj);
		schema_wrap_pb(to, head->apiVersion, head->kind, buf_str(&raw));
		buf_free(&raw);
	} else {
		schema_to_json(to, m, obj);
	}
}

static void unref_event(void *e) { cache_event_unref(e); }

static void send_entry(struct watcher *w, int type, struct cache_entry *e)
{
	struct buf object = { 0 }, b = { 0 };
	encode_entry(w, &object, e, !w->head_sent);
	w->head_sent = true;
	frame(&b, w->c->accept.media, type, buf_str(&object));
	http_stream_write(w->c->r.x, buf_str(&b));
	buf_free(&object);
	buf_free(&b);
}

// An object that fell out of a selector: what it was, at the version of the change.
static struct cache_entry *fallen(const struct kind *k, struct cache_event *ev)
{
	struct cache_entry *p = ev->previous;
	struct buf json = { 0 };
	if (p->rv_n) {
		// Cut the version out again; entry_new puts the new one in.
		size_t from = p->rv_at - sizeof("\"resourceVersion\":\"") + 1, to = p->rv_at + p->rv_n + 1;
		if (p->json.p[from - 1] == ',')
			from--;
		else if (p->json.p[to] == ',')
			to++;
		buf_add(&json, str_sub(p->json, 0, from));
		buf_add(&json, str_from(p->json, to));
	} else {
		buf_add(&json, p->json);
	}
	struct cache_entry *e = cache_entry_new(k->cache, p->key, buf_str(&json), ev->revision, p->create_revision);
	buf_free(&json);
	return e;
}

static void deliver(struct watcher *w, struct cache_event *ev)
{
	if (ev->seq < w->next_seq || w->ended)
		return;
	w->next_seq = ev->seq + 1;
	if (ev->revision <= w->min_revision)
		return;
	if (w->ns.n && !str_eq(cache_entry_ns(ev->entry), w->ns))
		return;
	bool now = ev->type != CACHE_DELETED && matcher_matches(&w->m, ev->entry);
	bool before = ev->previous && matcher_matches(&w->m, ev->previous);
	int type;
	if (now)
		type = before ? CACHE_MODIFIED : CACHE_ADDED;
	else if (before)
		type = CACHE_DELETED;
	else
		return;
	struct call *c = w->c;
	if (c->accept.as == AS_TABLE && !w->head_sent) {
		send_entry(w, type, type == CACHE_DELETED && ev->type != CACHE_DELETED ? ev->previous : ev->entry);
		return;
	}
	int key = type | (int)c->accept.as << 3 | (int)c->accept.media << 6 | (int)c->accept.v1beta1 << 9 | (int)w->include << 10;
	const struct cache_side *side = cache_side_find(&ev->sides, w->k, key);
	if (!side) {
		struct buf object = { 0 }, b = { 0 };
		struct cache_entry *e = ev->entry;
		if (type == CACHE_DELETED && ev->type != CACHE_DELETED)
			e = fallen(w->k, ev);
		encode_entry(w, &object, e, false);
		frame(&b, c->accept.media, type, buf_str(&object));
		side = cache_side_add(&ev->sides, w->k, key, buf_str(&b));
		if (e != ev->entry)
			cache_entry_unref(e);
		buf_free(&object);
		buf_free(&b);
	}
	atomic_fetch_add_explicit(&ev->refs, 1, memory_order_relaxed);
	if (http_stream_write_ref(c->r.x, side->bytes, unref_event, ev) > SLOW)
		w->lagging = true;
}

// --- Special events ----------------------------------------------------------------------------------------------------------

static void send_bookmark(struct watcher *w, int64_t revision, bool end_of_initial)
{
	struct call *c = w->c;
	_cleanup_arena_ struct arena *a = arena_new(0);
	void *obj = schema_new(a, w->k->message);
	struct core_v1_Pod *head = obj;
	head->kind = w->k->name;
	head->apiVersion = w->k->api_version;
	struct meta_v1_ObjectMeta *meta = meta_of(w->k, obj);
	meta->resourceVersion = arena_printf(a, "%lld", (long long)revision);
	if (end_of_initial)
		str_map_set(a, &meta->annotations, S("k8s.io/initial-events-end"), S("true"));
	const struct message_desc *m = w->k->message;
	if (c->accept.as != AS_OBJECT) {
		struct meta_v1_PartialObjectMetadata *p = ARENA_NEW(a, struct meta_v1_PartialObjectMetadata);
		p->metadata = *meta;
		p->kind = S("PartialObjectMetadata");
		p->apiVersion = c->accept.v1beta1 ? S("meta.k8s.io/v1beta1") : S("meta.k8s.io/v1");
		obj = p;
		head = obj;
		m = meta_v1_PartialObjectMetadata_desc;
	}
	struct buf object = { 0 }, b = { 0 };
	if (c->accept.media == MEDIA_PROTOBUF) {
		struct buf raw = { 0 };
		schema_to_pb(&raw, m, obj);
		schema_wrap_pb(&object, head->apiVersion, head->kind, buf_str(&raw));
		buf_free(&raw);
	} else if (c->accept.as == AS_TABLE) {
		table_head(&object, w->k, meta->resourceVersion, S(""), 0, !w->head_sent);
		buf_add(&object, S("{\"cells\":[],\"object\":"));
		schema_to_json(&object, m, obj);
		buf_add(&object, S("}]}"));
		w->head_sent = true;
	} else {
		schema_to_json(&object, m, obj);
	}
	frame(&b, c->accept.media, T_BOOKMARK, buf_str(&object));
	http_stream_write(c->r.x, buf_str(&b));
	buf_free(&object);
	buf_free(&b);
	w->last_bookmark = clock_mono(c->r.clock);
}

static void end_with_error(struct watcher *w, const struct api_status *s)
{
	struct call *c = w->c;
	struct buf object = { 0 }, b = { 0 };
	encode_message(c, &object, meta_v1_Status_desc, status_message(c->r.arena, s));
	frame(&b, c->accept.media, T_ERROR, buf_str(&object));
	http_stream_write(c->r.x, buf_str(&b));
	buf_free(&object);
	buf_free(&b);
	w->ended = true;
	http_stream_end(c->r.x);
}

static void end_too_old(struct watcher *w, int64_t asked, int64_t oldest)
{
	struct api_status s = { .code = 410, .reason = S("Expired"),
		                .message = arena_printf(w->c->r.arena, "too old resource version: %lld (%lld)", (long long)asked, (long long)oldest) };
	end_with_error(w, &s);
}

// --- Catching up ---------------------------------------------------------------------------------------------------------------

static bool initial_entry(struct cache_entry *e, void *ctx)
{
	struct watcher *w = ctx;
	if (w->ns.n && !str_eq(cache_entry_ns(e), w->ns)) {
		// Namespaces stand together: behind ours there is nothing more.
		return str_cmp(e->key, w->ns) < 0;
	}
	if (matcher_matches(&w->m, e))
		send_entry(w, CACHE_ADDED, e);
	buf_clear(&w->last);
	buf_add(&w->last, e->key);
	return http_stream_pending(w->c->r.x) < SLOW;
}

static void pump(struct watcher *w)
{
	struct call *c = w->c;
	struct cache_event *events[TAKE];
	while (!w->ended && http_stream_pending(c->r.x) < SLOW) {
		if (w->initial) {
			struct buf from = { 0 };
			bool exclusive = w->last.n > 0;
			buf_add(&from, exclusive ? buf_str(&w->last) : w->ns);
			cache_view_each(&w->view, buf_str(&from), exclusive, initial_entry, w);
			buf_free(&from);
			if (http_stream_pending(c->r.x) >= SLOW)
				return;
			w->initial = false;
			if (w->initial_bookmark)
				send_bookmark(w, w->view.revision, true);
			cache_view_done(&w->view);
			continue;
		}
		int64_t asked = w->next_seq;
		int64_t seq = asked;
		int n = cache_events_take(w->k->cache, &seq, events, TAKE);
		if (n < 0) {
			end_too_old(w, asked, seq);
			return;
		}
		if (n == 0) {
			w->lagging = false;
			return;
		}
		for (int i = 0; i < n; i++) {
			deliver(w, events[i]);
			cache_event_unref(events[i]);
		}
	}
}

static void on_drain(struct http_exchange *x, void *data)
{
	struct call *c = data;
	struct watcher *w = c->data;
	(void)x;
	call_hold(c);
	if (w->lagging && !c->over)
		pump(w);
	call_release(c);
}

// --- Waking up ------------------------------------------------------------------------------------------------------------------

static void offer(struct watcher *list, struct cache_event *ev)
{
	for (struct watcher *w = list, *next; w; w = next) {
		next = w->next;
		if (!w->lagging)
			deliver(w, ev);
	}
}

static void offer_named(struct map *m, str key, struct cache_event *ev)
{
	struct list_head *l = m->n ? map_get(m, key) : NULL;
	if (l)
		offer(l->first, ev);
}

static str node_of(struct cache_entry *e)
{
	str raw = scan(e->json, S("spec"), S("nodeName"));
	return raw.n >= 2 ? str_sub(raw, 1, raw.n - 1) : (str){ "", 0 };
}

static void dispatch(struct resource_watch *rw)
{
	struct cache_event *events[TAKE];
	for (;;) {
		int n = cache_events_take(rw->k->cache, &rw->cursor, events, TAKE);
		if (n < 0) {
			// This loop was asleep for longer than the ring is: each watcher finds out by itself.
			int64_t oldest;
			cache_events_after(rw->k->cache, INT64_MAX, &rw->cursor, &oldest);
			for (struct watcher *w = rw->all, *next; w; w = next) {
				next = w->all_next;
				if (!w->lagging) {
					w->lagging = true;
					pump(w);
				}
			}
			continue;
		}
		if (n == 0)
			return;
		for (int i = 0; i < n; i++) {
			struct cache_event *ev = events[i];
			offer(rw->everything, ev);
			offer_named(&rw->by_ns, cache_entry_ns(ev->entry), ev);
			offer_named(&rw->by_name, cache_entry_name(ev->entry), ev);
			if (rw->by_node.n) {
				str node = node_of(ev->entry), before = ev->previous ? node_of(ev->previous) : node;
				offer_named(&rw->by_node, node, ev);
				if (!str_eq(node, before))
					offer_named(&rw->by_node, before, ev);
			}
			cache_event_unref(ev);
		}
	}
}

// With many watchers each hand-out costs a record and a system call per watcher: events that come close together go together.
static void dispatch_later(void *ctx)
{
	struct resource_watch *rw = ctx;
	rw->later = NULL;
	rw->last = clock_mono(rw->ls->s->clock);
	dispatch(rw);
}

static void dispatch_soon(struct resource_watch *rw)
{
	int64_t now = clock_mono(rw->ls->s->clock);
	if (rw->later)
		return;
	int64_t ms = rw->broad < CROWD ? 0 : rw->broad < BIG_CROWD ? TOGETHER_MS : BIG_TOGETHER_MS;
	if (now - rw->last >= ms * NS_PER_MS) {
		rw->last = now;
		dispatch(rw);
	} else {
		rw->later = http_timer_start(rw->ls->loop, ms, 0, dispatch_later, rw);
	}
}

static void wake(void *ctx)
{
	struct loop_state *ls = ctx;
	atomic_store(&ls->posted, false);
	for (size_t i = 0; i < ls->s->nkinds; i++)
		if (atomic_load(&ls->resources[i].n) && atomic_exchange(&ls->resources[i].dirty, false))
			dispatch_soon(&ls->resources[i]);
}

void watch_changed(struct cache_resource *r, void *server)
{
	struct apiserver *s = server;
	struct kind *k = cache_resource_owner(r);
	policy_changed(s->policy, k->group, k->resource);
	for (size_t i = 0; i < s->nloops; i++) {
		struct loop_state *ls = s->loops[i];
		struct resource_watch *rw = &ls->resources[k->index];
		if (!atomic_load(&rw->n))
			continue;
		atomic_store(&rw->dirty, true);
		if (!atomic_exchange(&ls->posted, true))
			http_loop_post(ls->loop, wake, ls);
	}
}

static void bookmark_timer(void *ctx)
{
	struct loop_state *ls = ctx;
	int64_t now = clock_mono(ls->s->clock);
	pins_expire(ls->s);
	for (size_t i = 0; i < ls->s->nkinds; i++) {
		struct resource_watch *rw = &ls->resources[i];
		if (!atomic_load(&rw->n))
			continue;
		int64_t revision = cache_revision(ls->s->cache);
		dispatch(rw);
		for (struct watcher *w = rw->all, *next; w; w = next) {
			next = w->all_next;
			if (w->bookmarks && !w->lagging && !w->ended && now - w->last_bookmark > BOOKMARK_NS)
				send_bookmark(w, revision, false);
		}
	}
}

bool watch_start(struct apiserver *s, struct error *err)
{
	(void)err;
	size_t n = 0;
	for (size_t i = 0; i < s->ndoors; i++) {
		s->doors[i].first_loop = n;
		n += http_server_loop_count(s->doors[i].http);
	}
	struct loop_state **loops = ARENA_ARRAY(s->arena, struct loop_state *, n);
	for (size_t i = 0, d = 0; i < n; i++) {
		while (d + 1 < s->ndoors && i >= s->doors[d + 1].first_loop)
			d++;
		struct loop_state *ls = ARENA_NEW(s->arena, struct loop_state);
		ls->s = s;
		ls->loop = http_server_loop(s->doors[d].http, i - s->doors[d].first_loop);
		ls->resources = ARENA_ARRAY(s->arena, struct resource_watch, s->nkinds);
		for (size_t k = 0; k < s->nkinds; k++) {
			ls->resources[k].k = &s->kinds[k];
			ls->resources[k].ls = ls;
		}
		loops[i] = ls;
	}
	s->loops = loops;
	s->nloops = n;
	return true;
}

static void end_all(void *ctx)
{
	struct loop_state *ls = ctx;
	for (size_t i = 0; i < ls->s->nkinds; i++) {
		for (struct watcher *w = ls->resources[i].all, *next; w; w = next) {
			next = w->all_next;
			if (!w->ended) {
				w->ended = true;
				http_stream_end(w->c->r.x);
			}
		}
	}
}

void watch_end(struct apiserver *s)
{
	for (size_t i = 0; i < s->nloops; i++)
		http_loop_post(s->loops[i]->loop, end_all, s->loops[i]);
}

void watch_stop(struct apiserver *s)
{
	for (size_t i = 0; i < s->nloops; i++) {
		for (size_t k = 0; k < s->nkinds; k++) {
			struct map *maps[] = { &s->loops[i]->resources[k].by_ns, &s->loops[i]->resources[k].by_name, &s->loops[i]->resources[k].by_node };
			for (size_t m = 0; m < ARRAY_LEN(maps); m++) {
				for (struct map_slot *it = NULL; (it = map_each(maps[m], it));)
					free(it->value);
				map_free(maps[m]);
			}
		}
	}
}

// --- A watcher's life ------------------------------------------------------------------------------------------------------------

static void put_in(struct watcher *w, struct watcher **list)
{
	w->list = list;
	w->next = *list;
	w->prev = NULL;
	if (w->next)
		w->next->prev = w;
	*list = w;
}

static struct watcher **named_list(struct map *m, str key)
{
	struct list_head *l = map_get(m, key);
	if (!l) {
		l = HEAP_NEW(struct list_head);
		map_put(m, key, l);
	}
	return &l->first;
}

static bool by_node(const struct watcher *w) { return w->m.node.n && str_eq(w->k->key_prefix, S("core/pods")); }
static bool watcher_is_broad(const struct watcher *w) { return !by_node(w) && !w->m.name.n; }

static void enlist(struct loop_state *ls, struct watcher *w)
{
	struct resource_watch *rw = &ls->resources[w->k->stored->index];
	w->rw = rw;
	if (atomic_load(&rw->n) == 0) {
		int64_t oldest;
		cache_events_after(rw->k->cache, INT64_MAX, &rw->cursor, &oldest);
	}
	atomic_fetch_add(&rw->n, 1);
	rw->broad += watcher_is_broad(w);
	if (by_node(w))
		put_in(w, named_list(&rw->by_node, w->m.node));
	else if (w->m.name.n)
		put_in(w, named_list(&rw->by_name, w->m.name));
	else if (w->ns.n)
		put_in(w, named_list(&rw->by_ns, w->ns));
	else
		put_in(w, &rw->everything);
	w->all_next = rw->all;
	if (rw->all)
		rw->all->all_prev = w;
	rw->all = w;
	if (ls->n++ == 0)
		ls->timer = http_timer_start(ls->loop, BOOKMARK_EVERY_MS, BOOKMARK_EVERY_MS, bookmark_timer, ls);
}

static void drop_empty(struct map *m, str key)
{
	struct list_head *l = map_get(m, key);
	if (l && !l->first)
		free(map_del(m, key));
}

static void watcher_over(struct call *c)
{
	struct watcher *w = c->data;
	struct loop_state *ls = c->state;
	struct resource_watch *rw = w->rw;
	w->ended = true;
	if (w->timeout)
		http_timer_cancel(w->timeout);
	if (w->prev)
		w->prev->next = w->next;
	else
		*w->list = w->next;
	if (w->next)
		w->next->prev = w->prev;
	if (w->all_prev)
		w->all_prev->all_next = w->all_next;
	else
		rw->all = w->all_next;
	if (w->all_next)
		w->all_next->all_prev = w->all_prev;
	drop_empty(&rw->by_node, w->m.node);
	drop_empty(&rw->by_name, w->m.name);
	drop_empty(&rw->by_ns, w->ns);
	cache_view_done(&w->view);
	buf_free(&w->last);
	atomic_fetch_sub(&rw->n, 1);
	rw->broad -= watcher_is_broad(w);
	if (--ls->n == 0) {
		http_timer_cancel(ls->timer);
		ls->timer = NULL;
	}
}

static void time_is_up(void *ctx)
{
	struct watcher *w = ctx;
	w->timeout = NULL;
	if (w->ended)
		return;
	call_hold(w->c);
	w->ended = true;
	struct call *c = w->c;
	http_stream_end(c->r.x);
	call_release(c);
}

static bool watch_options(struct call *c, struct watcher *w, int64_t *revision, bool *send_initial, int64_t *timeout, struct api_status *s)
{
	struct arena *a = c->r.arena;
	str version = { 0 }, match = { 0 }, initial = { 0 }, token = { 0 }, v;
	*timeout = 0;
	if (http_param_get(&c->r.params, S("timeoutSeconds"), &v) && !str_to_i64(v, timeout))
		return status_bad_request(a, s, "strconv.ParseInt: parsing \"" STR_FMT "\": invalid syntax", STR_ARG(v));
	http_param_get(&c->r.params, S("resourceVersion"), &version);
	http_param_get(&c->r.params, S("resourceVersionMatch"), &match);
	http_param_get(&c->r.params, S("continue"), &token);
	bool has_initial = http_param_get(&c->r.params, S("sendInitialEvents"), &initial);
	query_bool(c, S("allowWatchBookmarks"), &w->bookmarks, s);
	bool want_initial;
	query_bool(c, S("sendInitialEvents"), &want_initial, s);
	struct field_errors e = { .arena = a };
	struct fpath path = fp(NULL, "resourceVersionMatch");
	bool not_older = str_eq(match, S("NotOlderThan"));
	if (has_initial && !not_older)
		fe_forbidden(&e, &path, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
	if (match.n) {
		if (!has_initial)
			fe_forbidden(&e, &path, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
		static const str known[] = { S_INIT("NotOlderThan") };
		if (!not_older)
			fe_not_supported(&e, &path, match, known, 1);
		if (token.n)
			fe_forbidden(&e, &path, "resourceVersionMatch is forbidden when continue is provided");
	}
	if (e.n)
		return status_invalid(a, s, S("meta.k8s.io"), S("ListOptions"), S(""), &e);
	uint64_t rv = 0;
	if (version.n && !str_to_u64(version, &rv))
		return status_bad_request(a, s, "Invalid value: \"" STR_FMT "\": strconv.ParseUint: parsing \"" STR_FMT "\": invalid syntax", STR_ARG(version), STR_ARG(version));
	*revision = (int64_t)rv;
	if (has_initial) {
		*send_initial = want_initial;
		w->initial_bookmark = want_initial && w->bookmarks;
	} else {
		*send_initial = rv == 0;
	}
	return true;
}

void do_watch(struct call *c)
{
	struct api_status s = { 0 };
	struct arena *a = c->r.arena;
	struct kind *k = c->kind;
	struct watcher *w = ARENA_NEW(a, struct watcher);
	w->c = c;
	w->k = k;
	int64_t revision = 0, timeout = 0;
	bool send_initial = false;
	if (!negotiate(c, true, &s)) {
		if (s.code == 406)
			s.message = S("406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf, "
			              "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch");
		reply_status(c, &s);
		return;
	}
	if (c->accept.media == MEDIA_YAML || (c->accept.as == AS_TABLE && c->accept.media != MEDIA_JSON)) {
		s = (struct api_status){ .code = 406, .reason = S("NotAcceptable"),
			                 .message = S("only the following media types are accepted: application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch") };
		reply_status(c, &s);
		return;
	}
	if (!matcher_read(c, k, &w->m, &s) || !watch_options(c, w, &revision, &send_initial, &timeout, &s) ||
	    (c->accept.as == AS_TABLE && !include_object_of(c, &w->include, &s))) {
		reply_status(c, &s);
		return;
	}
	if (c->r.info.name.n) {
		// The old path for one object.
		w->m.name = c->r.info.name;
		w->m.all = false;
		*LIST_ADD(a, &w->m.fields) = (struct field_term){ .path = S("metadata.name"), .value = w->m.name };
	}
	if (k->namespaced)
		w->ns = c->r.info.ns.n ? c->r.info.ns : w->m.ns;
	c->status = 200;
	c->data = w;
	struct loop_state *ls = c->state;
	struct http_headers h = reply_headers(c, c->accept.media == MEDIA_PROTOBUF ? S("application/vnd.kubernetes.protobuf;stream=watch") : S("application/json"));
	w->lagging = true;
	w->last_bookmark = clock_mono(c->r.clock);
	int64_t oldest = 0;
	bool too_old = false;
	if (send_initial) {
		w->view = cache_view_take(k->cache);
		w->initial = true;
		w->next_seq = w->view.next_seq;
	} else if (revision == 0) {
		cache_events_after(k->cache, INT64_MAX, &w->next_seq, &oldest);
	} else {
		too_old = !cache_events_after(k->cache, revision, &w->next_seq, &oldest);
		w->min_revision = revision;
	}
	enlist(ls, w);
	c->on_over = watcher_over;
	http_stream_start(c->r.x, 200, &h);
	if (too_old) {
		end_too_old(w, revision, oldest);
		return;
	}
	// Upstream's default: somewhere between half an hour and an hour, so that clients spread out again.
	int64_t ms = timeout > 0 ? timeout * 1000 : 1800000 + (int64_t)rng_below(c->r.rng, 1800000);
	w->timeout = http_timer_start(c->loop, ms, 0, time_is_up, w);
	http_stream_on_drain(c->r.x, on_drain);
	pump(w);
}
