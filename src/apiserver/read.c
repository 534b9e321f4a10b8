// GET and LIST: bytes from the cache. A list is written in chunks as the client takes them; it holds one view, so it shows one
// moment. Paged lists go on with the view of their first page while it is kept, else with the store's history.
#include <pthread.h>

#include "apiserver/apiserver.h"
#include "base/encode.h"
#include "base/heap.h"
#include "json/json.h"

enum { PINNED = 32, CHUNK = 256 << 10, HELD_BACK = 1 << 20 };

#define PIN_NS (300 * NS_PER_SEC) // how long a paged list may pause; as long as upstream's compaction interval

struct pin { struct cache_view view; struct cache_resource *resource; int64_t used; };
struct pinned { pthread_mutex_t mutex; struct pin v[PINNED]; };

struct pinned *pinned_new(struct arena *a)
{
	struct pinned *p = ARENA_NEW(a, struct pinned);
	pthread_mutex_init(&p->mutex, NULL);
	return p;
}

void cache_drop(struct apiserver *s)
{
	for (size_t i = 0; s->pinned && i < PINNED; i++)
		cache_view_done(&s->pinned->v[i].view);
	cache_free(s->cache);
	s->cache = NULL;
}

void pins_expire(struct apiserver *s)
{
	int64_t now = clock_mono(s->clock);
	struct cache_view drop[PINNED] = { 0 };
	size_t n = 0;
	pthread_mutex_lock(&s->pinned->mutex);
	for (size_t i = 0; i < PINNED; i++) {
		struct pin *p = &s->pinned->v[i];
		if (p->resource && now - p->used > PIN_NS) {
			drop[n++] = p->view;
			*p = (struct pin){ 0 };
		}
	}
	pthread_mutex_unlock(&s->pinned->mutex);
	for (size_t i = 0; i < n; i++)
		cache_view_done(&drop[i]);
}

static void pin(struct apiserver *s, struct cache_resource *r, const struct cache_view *v)
{
	// One more reference for the table, taken by asking for the same moment again where nothing changed since.
	struct cache_view again = cache_view_take(r);
	if (again.root != v->root) {
		cache_view_done(&again);
		return;
	}
	again.revision = v->revision;
	struct cache_view drop = { 0 };
	pthread_mutex_lock(&s->pinned->mutex);
	struct pin *oldest = &s->pinned->v[0];
	for (size_t i = 0; i < PINNED; i++) {
		struct pin *p = &s->pinned->v[i];
		if (p->resource == r && p->view.revision == v->revision) {
			oldest = p;
			break;
		}
		if (p->used < oldest->used)
			oldest = p;
	}
	drop = oldest->view;
	*oldest = (struct pin){ again, r, clock_mono(s->clock) };
	pthread_mutex_unlock(&s->pinned->mutex);
	cache_view_done(&drop);
}

// --- Versions in the query ------------------------------------------------------------------------------------------------

static bool too_large(struct call *c, struct api_status *s, uint64_t asked)
{
	*s = (struct api_status){ .code = 504, .reason = S("Timeout"),
		                  .message = arena_printf(c->r.arena, "Timeout: Too large resource version: %llu, current: %lld", (unsigned long long)asked,
		                                          (long long)cache_revision(c->s->cache)) };
	*LIST_ADD(c->r.arena, &s->causes) = (struct status_cause){ .reason = S("ResourceVersionTooLarge"), .message = S("Too large resource version") };
	return false;
}

static bool parse_version(struct call *c, str text, uint64_t *out, struct api_status *s)
{
	*out = 0;
	if (text.n == 0 || str_to_u64(text, out))
		return true;
	*s = (struct api_status){ .code = 500, .message = arena_printf(c->r.arena, "resourceVersion: Invalid value: \"" STR_FMT "\": strconv.ParseUint: parsing \"" STR_FMT "\": invalid syntax",
	                                                               STR_ARG(text), STR_ARG(text)) };
	return false;
}

static bool int_param(struct call *c, str key, int64_t *out, struct api_status *s)
{
	str v;
	*out = 0;
	if (!http_param_get(&c->r.params, key, &v) || str_to_i64(v, out))
		return true;
	return status_bad_request(c->r.arena, s, "strconv.ParseInt: parsing \"" STR_FMT "\": invalid syntax", STR_ARG(v));
}

void do_get(struct call *c)
{
	struct api_status s = { 0 };
	struct kind *k = c->kind;
	str v = { 0 };
	uint64_t rv;
	http_param_get(&c->r.params, S("resourceVersion"), &v);
	if (http_param_get(&c->r.params, S("export"), &(str){ 0 })) {
		str x;
		http_param_get(&c->r.params, S("export"), &x);
		if (str_eq(x, S("true")) || str_eq(x, S("1"))) {
			status_bad_request(c->r.arena, &s, "the export parameter, deprecated since v1.14, is no longer supported");
			reply_status(c, &s);
			return;
		}
	}
	if (!negotiate(c, true, &s) || !parse_version(c, v, &rv, &s) || ((int64_t)rv > cache_revision(c->s->cache) && !too_large(c, &s, rv))) {
		reply_status(c, &s);
		return;
	}
	if (!k->cache) {
		status_method_not_supported(c->r.arena, &s, k->group, k->resource, S("get"));
		reply_status(c, &s);
		return;
	}
	struct cache_entry *e = cache_get(k->cache, c->r.info.ns, c->r.info.name);
	if (!e) {
		status_not_found(c->r.arena, &s, k->group, k->resource, c->r.info.name);
		reply_status(c, &s);
		return;
	}
	reply_entry(c, 200, k, e);
	cache_entry_unref(e);
}

// --- LIST -----------------------------------------------------------------------------------------------------------------

struct list {
	struct call *c;
	struct kind *k;
	struct matcher m;
	struct cache_view view;
	struct cache_entry **past; // a moment that only the store knows
	size_t npast, at_past;
	int64_t revision, limit;
	str from;                  // where to go on; the last key that was written
	bool exclusive, done, more;
	str prefix;                // "ns/", or empty
	size_t written, stop_at;   // stop_at: a chunk is full at this many bytes
	struct buf out;
	enum include_object include;
	struct arena *scratch;     // for items that are decoded
	int64_t now;
	struct buf last;           // key of the last item
	struct error err;
};

static void list_free(void *ctx)
{
	struct list *l = ctx;
	cache_view_done(&l->view);
	for (size_t i = 0; i < l->npast; i++)
		cache_entry_unref(l->past[i]);
	free(l->past);
	buf_free(&l->out);
	buf_free(&l->last);
	arena_free(l->scratch);
}

static void write_item(struct list *l, struct cache_entry *e)
{
	struct buf *b = &l->out;
	struct call *c = l->c;
	if (c->accept.as == AS_TABLE) {
		void *obj = entry_decode(l->scratch, l->k->stored, e, &l->err);
		if (!obj)
			return;
		if (l->written)
			buf_add_char(b, ',');
		table_row(l->scratch, b, l->k, e, obj, l->include, l->now, c->accept.v1beta1 ? S("v1beta1") : S("v1"));
		arena_reset(l->scratch);
	} else if (c->accept.as == AS_PARTIAL) {
		if (l->written)
			buf_add_char(b, ',');
		partial_object(b, e, true, c->accept.v1beta1 ? S("v1beta1") : S("v1"));
	} else if (c->accept.media == MEDIA_PROTOBUF) {
		// Field 2 of every list is its items.
		str bytes = entry_protobuf(l->k, e);
		buf_add_char(b, 2 << 3 | 2);
		size_t n = bytes.n;
		for (; n >= 0x80; n >>= 7)
			buf_add_char(b, (char)(n | 0x80));
		buf_add_char(b, (char)n);
		buf_add(b, bytes);
	} else if (l->k->stored == l->k && !l->k->strategy->decorate) {
		buf_add(b, l->written ? S(",{") : S("{"));
		buf_add(b, str_from(e->json, e->rest));
	} else {
		void *obj = entry_decode(l->scratch, l->k, e, &l->err);
		if (obj)
			obj = convert_from_stored(l->scratch, l->k, obj, &l->err);
		if (!obj)
			return;
		struct core_v1_Pod *head = obj;
		head->kind = head->apiVersion = S("");
		if (l->written)
			buf_add_char(b, ',');
		schema_to_json(b, l->k->message, obj);
		arena_reset(l->scratch);
	}
	l->written++;
}

static bool take_item(struct list *l, struct cache_entry *e)
{
	if (l->prefix.n && !str_has_prefix(e->key, l->prefix)) {
		l->done = true;
		return false;
	}
	if (!matcher_matches(&l->m, e))
		return true;
	if (l->limit && (int64_t)l->written == l->limit) {
		l->more = true;
		l->done = true;
		return false;
	}
	write_item(l, e);
	buf_clear(&l->last);
	buf_add(&l->last, e->key);
	return l->out.n < l->stop_at;
}

static bool each_item(struct cache_entry *e, void *ctx) { return take_item(ctx, e); }

// Fills l->out up to a chunk.
static void fill(struct list *l)
{
	l->stop_at = l->out.n + CHUNK;
	if (l->npast) {
		while (l->at_past < l->npast)
			if (!take_item(l, l->past[l->at_past++]))
				break;
		if (l->at_past == l->npast)
			l->done = true;
		return;
	}
	str from = l->from;
	struct buf key = { 0 };
	if (l->last.n) {
		buf_add(&key, buf_str(&l->last));
		from = buf_str(&key);
		l->exclusive = true;
	}
	cache_view_each(&l->view, from, l->exclusive, each_item, l);
	buf_free(&key);
	if (l->out.n < l->stop_at)
		l->done = true;
}

static str continue_token(struct list *l)
{
	// Upstream's form: the revision and where to go on, relative to the collection.
	struct arena *a = l->c->r.arena;
	str key = str_from(buf_str(&l->last), l->prefix.n);
	str text = arena_concat(a, S("{\"v\":\"meta.k8s.io/v1\",\"rv\":"), arena_printf(a, "%lld", (long long)l->revision), S(",\"start\":\""), key,
	                        S("\\u0000\"}"));
	return base64url_encode(a, text);
}

static int64_t remaining_of(struct list *l)
{
	// Only where the count is known without a look at each object.
	if (!l->m.all || l->npast)
		return 0;
	struct cache_view *v = &l->view;
	size_t end = l->prefix.n ? cache_view_rank(v, arena_concat(l->c->r.arena, str_sub(l->prefix, 0, l->prefix.n - 1), S("0"))) : v->n;
	return (int64_t)end - (int64_t)cache_view_rank(v, buf_str(&l->last)) - 1;
}

static void head(struct list *l, struct buf *b, str token, int64_t remaining)
{
	struct call *c = l->c;
	str version = arena_printf(c->r.arena, "%lld", (long long)l->revision);
	if (c->accept.as == AS_TABLE) {
		table_head(b, l->k, version, token, remaining, true);
		return;
	}
	if (c->accept.as == AS_PARTIAL)
		buf_printf(b, "{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/%s\",", c->accept.v1beta1 ? "v1beta1" : "v1");
	else
		buf_printf(b, "{\"kind\":\"" STR_FMT "\",\"apiVersion\":\"" STR_FMT "\",", STR_ARG(l->k->list_name), STR_ARG(l->k->api_version));
	buf_printf(b, "\"metadata\":{\"resourceVersion\":\"" STR_FMT "\"", STR_ARG(version));
	if (token.n)
		buf_printf(b, ",\"continue\":\"" STR_FMT "\"", STR_ARG(token));
	if (remaining > 0)
		buf_printf(b, ",\"remainingItemCount\":%lld", (long long)remaining);
	buf_add(b, S("},\"items\":["));
}

static void free_chunk(void *p) { free(p); }

// Hands the buffer over to the exchange without a copy.
static size_t send_chunk(struct list *l)
{
	char *p = l->out.p;
	size_t n = l->out.n;
	l->out = (struct buf){ 0 };
	if (n == 0)
		return http_stream_pending(l->c->r.x);
	return http_stream_write_ref(l->c->r.x, str_n(p, n), free_chunk, p);
}

static void go_on(struct http_exchange *x, void *data)
{
	struct call *c = data;
	struct list *l = c->data;
	(void)x;
	call_hold(c);
	while (!c->over && !l->done) {
		fill(l);
		if (send_chunk(l) > HELD_BACK && !l->done) {
			call_release(c);
			return;
		}
	}
	if (!c->over) {
		http_stream_on_drain(c->r.x, NULL);
		buf_add(&l->out, S("]}\n"));
		send_chunk(l);
		http_stream_end(c->r.x);
	}
	call_release(c);
}

// ListMeta is field 1 of every list, the items (in l->out already) are field 2.
static void list_protobuf(struct list *l, str token)
{
	struct call *c = l->c;
	struct meta_v1_ListMeta meta = { .resourceVersion = arena_printf(c->r.arena, "%lld", (long long)l->revision), .continue_ = token };
	int64_t remaining = l->more ? remaining_of(l) : 0;
	if (remaining > 0)
		meta.remainingItemCount = &remaining;
	struct buf m = { 0 }, raw = { 0 }, b = { 0 };
	schema_to_pb(&m, meta_v1_ListMeta_desc, &meta);
	buf_add_char(&raw, 1 << 3 | 2);
	size_t n = m.n;
	for (; n >= 0x80; n >>= 7)
		buf_add_char(&raw, (char)(n | 0x80));
	buf_add_char(&raw, (char)n);
	buf_add(&raw, buf_str(&m));
	buf_add(&raw, buf_str(&l->out));
	buf_clear(&l->out);
	schema_wrap_pb(&b, l->k->api_version, l->k->list_name, buf_str(&raw));
	reply_text(c, 200, media_type(MEDIA_PROTOBUF), buf_str(&b));
	buf_free(&m);
	buf_free(&raw);
	buf_free(&b);
}

// A list in an encoding that is made of typed objects (protobuf), or YAML: all at once.
static void list_whole(struct list *l)
{
	struct call *c = l->c;
	while (!l->done)
		fill(l);
	struct buf b = { 0 };
	str token = l->more ? continue_token(l) : S("");
	if (c->accept.media == MEDIA_PROTOBUF && c->accept.as == AS_OBJECT) {
		list_protobuf(l, token);
		return;
	}
	head(l, &b, token, l->more ? remaining_of(l) : 0);
	buf_add(&b, buf_str(&l->out));
	buf_add(&b, S("]}"));
	if (c->accept.media == MEDIA_JSON) {
		buf_add_char(&b, '\n');
		reply_text(c, 200, S("application/json"), buf_str(&b));
	} else {
		const struct message_desc *m = c->accept.as == AS_PARTIAL ? meta_v1_PartialObjectMetadataList_desc : l->k->list_message;
		struct error err = { 0 };
		void *obj = c->accept.as == AS_TABLE ? NULL : schema_from_json(c->r.arena, m, buf_str(&b), NULL, &err);
		if (obj) {
			reply_message(c, 200, m, obj);
		} else {
			struct api_status s;
			status_internal(c->r.arena, &s, "encoding a list: %s", err.text);
			reply_status(c, &s);
		}
	}
	buf_free(&b);
}

// --- A moment of the past ---------------------------------------------------------------------------------------------------

struct past { struct list *l; struct cache_entry **v; size_t n, cap; size_t prefix; };
static bool past_entry(const struct store_entry *e, void *ctx)
{
	struct past *p = ctx;
	if (p->n == p->cap) {
		p->cap = p->cap ? p->cap * 2 : 64;
		p->v = heap_realloc(p->v, p->cap * sizeof(*p->v));
	}
	p->v[p->n++] = cache_entry_new(p->l->k->cache, str_from(e->key, p->prefix), e->value, e->mod_revision, e->create_revision);
	return true;
}

static bool take_moment(struct list *l, int64_t revision, str from, struct api_status *s)
{
	struct call *c = l->c;
	struct cache_view v = cache_view_take(l->k->cache);
	int64_t seq, oldest;
	if (revision == 0 || v.revision == revision || (cache_events_after(l->k->cache, revision, &seq, &oldest) && seq == v.next_seq)) {
		// Nothing changed since: now is then.
		l->view = v;
		l->revision = revision ? revision : v.revision;
		return true;
	}
	cache_view_done(&v);
	l->revision = revision;
	pthread_mutex_lock(&c->s->pinned->mutex);
	for (size_t i = 0; i < PINNED; i++) {
		struct pin *p = &c->s->pinned->v[i];
		if (p->resource == l->k->cache && p->view.revision == revision) {
			// The reference in the table moves to this list; the next page pins it again.
			l->view = p->view;
			*p = (struct pin){ 0 };
			pthread_mutex_unlock(&c->s->pinned->mutex);
			return true;
		}
	}
	pthread_mutex_unlock(&c->s->pinned->mutex);
	struct past p = { .l = l };
	str prefix = arena_concat(c->r.arena, S("/registry/"), l->k->key_prefix, S("/"));
	p.prefix = prefix.n;
	str low = arena_concat(c->r.arena, prefix, from.n ? from : l->prefix);
	if (from.n)
		low = arena_concat(c->r.arena, low, str_n("\0", 1));
	str high = arena_concat(c->r.arena, prefix, l->prefix);
	high = arena_concat(c->r.arena, str_sub(high, 0, high.n - 1), S("0"));
	struct error err = { 0 };
	bool ok = store_range(c->s->store, low, high, revision, l->limit && l->m.all ? (size_t)l->limit + 1 : 0, past_entry, &p, NULL, &err);
	l->past = p.v;
	l->npast = p.n;
	if (ok && p.n == 0)
		l->done = true;
	if (ok)
		return true;
	if (err.code == 410) {
		*s = (struct api_status){ .code = 410, .reason = S("Expired"), .message = S("The resourceVersion for the provided list is too old.") };
		if (from.n)
			s->message = S("The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.");
		return false;
	}
	return status_from_error(c->r.arena, s, &err);
}

static bool read_continue(struct call *c, str text, int64_t *revision, str *start, struct api_status *s)
{
	struct arena *a = c->r.arena;
	str json;
	while (text.n && text.p[text.n - 1] == '=')
		text.n--;
	if (!base64url_decode(a, text, &json))
		return status_bad_request(a, s, "invalid continue token: continue key is not valid: illegal base64 data at input byte %zu", text.n);
	struct error err = { 0 };
	struct value *v = json_parse(a, json, NULL, &err);
	if (!v)
		return status_bad_request(a, s, "invalid continue token: continue key is not valid: %s", err.text);
	str version = value_get_str(v, S("v"));
	if (!str_eq(version, S("meta.k8s.io/v1")))
		return status_bad_request(a, s, "invalid continue token: continue key is not valid: server does not recognize this encoded version " STR_FMT, STR_ARG(version));
	*start = value_get_str(v, S("start"));
	if (start->n == 0)
		return status_bad_request(a, s, "invalid continue token: continue key is not valid: encoded start key empty (version meta.k8s.io/v1)");
	if (!value_to_i64(value_get(v, S("rv")), revision) || *revision == 0)
		return status_bad_request(a, s, "invalid continue token: continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
	// "name\0": everything behind that name.
	if (start->p[start->n - 1] == '\0')
		start->n--;
	return true;
}

static bool list_options(struct call *c, struct list *l, str *start, int64_t *revision, struct api_status *s)
{
	struct arena *a = c->r.arena;
	str version = { 0 }, match = { 0 }, token = { 0 }, v;
	int64_t timeout;
	if (!int_param(c, S("timeoutSeconds"), &timeout, s) || !int_param(c, S("limit"), &l->limit, s))
		return false;
	l->limit = MAX(l->limit, 0);
	http_param_get(&c->r.params, S("resourceVersion"), &version);
	http_param_get(&c->r.params, S("resourceVersionMatch"), &match);
	http_param_get(&c->r.params, S("continue"), &token);
	struct field_errors e = { .arena = a };
	struct fpath path = fp(NULL, "resourceVersionMatch");
	if (match.n) {
		if (!version.n)
			fe_forbidden(&e, &path, "resourceVersionMatch is forbidden unless resourceVersion is provided");
		if (token.n)
			fe_forbidden(&e, &path, "resourceVersionMatch is forbidden when continue is provided");
		static const str known[] = { S_INIT("Exact"), S_INIT("NotOlderThan"), S_INIT("") };
		if (!str_eq(match, known[0]) && !str_eq(match, known[1]))
			fe_not_supported(&e, &path, match, known, 3);
		if (str_eq(match, known[0]) && str_eq(version, S("0")))
			fe_forbidden(&e, &path, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
	}
	if (http_param_get(&c->r.params, S("sendInitialEvents"), &v)) {
		struct fpath p = fp(NULL, "sendInitialEvents");
		fe_forbidden(&e, &p, "sendInitialEvents is forbidden for list");
	}
	if (e.n)
		return status_invalid(a, s, S("meta.k8s.io"), S("ListOptions"), S(""), &e);
	uint64_t rv;
	if (!parse_version(c, version, &rv, s))
		return false;
	*revision = 0;
	if (token.n) {
		if (version.n && !str_eq(version, S("0")))
			return status_bad_request(a, s, "specifying resource version is not allowed when using continue");
		return read_continue(c, token, revision, start, s);
	}
	if ((int64_t)rv > cache_revision(c->s->cache))
		return too_large(c, s, rv);
	// A limit with a version and no match means that very version, as upstream reads it.
	if (rv && (str_eq(match, S("Exact")) || (l->limit && !match.n)))
		*revision = (int64_t)rv;
	return true;
}

void do_list(struct call *c)
{
	struct api_status s = { 0 };
	struct kind *k = c->kind;
	struct arena *a = c->r.arena;
	struct list *l = ARENA_NEW(a, struct list);
	l->c = c;
	l->k = k;
	l->scratch = arena_new(0);
	l->now = clock_wall(c->r.clock);
	arena_on_free(a, list_free, l);
	str start = { 0 };
	int64_t revision;
	if (!k->cache) {
		// Component statuses are gone upstream, too: an empty list.
		c->accept = (struct accept){ 0 };
		reply_text(c, 200, S("application/json"), arena_printf(a, "{\"kind\":\"" STR_FMT "\",\"apiVersion\":\"" STR_FMT "\",\"metadata\":{},\"items\":[]}\n", STR_ARG(k->list_name), STR_ARG(k->api_version)));
		return;
	}
	if (!negotiate(c, true, &s) || !matcher_read(c, k, &l->m, &s) || !list_options(c, l, &start, &revision, &s) ||
	    (c->accept.as == AS_TABLE && !include_object_of(c, &l->include, &s))) {
		reply_status(c, &s);
		return;
	}
	if (k->namespaced && c->r.info.ns.n)
		l->prefix = arena_concat(a, c->r.info.ns, S("/"));
	else if (k->namespaced && l->m.ns.n)
		l->prefix = arena_concat(a, l->m.ns, S("/"));
	l->from = l->prefix;
	if (start.n) {
		l->from = arena_concat(a, l->prefix, start);
		l->exclusive = true;
	}
	if (!take_moment(l, revision, start.n ? l->from : S(""), &s)) {
		reply_status(c, &s);
		return;
	}
	// What is asked for by name is one look-up away.
	if (l->m.name.n && !start.n && !l->npast && (l->prefix.n || !k->namespaced))
		l->from = arena_concat(a, l->prefix, l->m.name);
	if (c->accept.media != MEDIA_JSON || l->limit) {
		list_whole(l);
		if (l->more && l->view.root)
			pin(c->s, k->cache, &l->view);
		return;
	}
	head(l, &l->out, S(""), 0);
	fill(l);
	if (l->done) {
		buf_add(&l->out, S("]}\n"));
		reply_text(c, 200, S("application/json"), buf_str(&l->out));
		return;
	}
	c->status = 200;
	c->data = l;
	struct http_headers h = reply_headers(c, S("application/json"));
	http_stream_start(c->r.x, 200, &h);
	http_stream_on_drain(c->r.x, go_on);
	if (send_chunk(l) < HELD_BACK)
		go_on(c->r.x, c);
}
