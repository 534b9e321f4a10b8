// The reflector: lists a resource, then watches it from the list's revision, for ever.
//
// The watch goes on from the last revision seen (objects and bookmarks) when a connection ends, for whatever reason; only a
// revision that the server no longer has (410) makes a new list. After a failure the first try comes at once, so that a
// restart of the server is over for us when it is over; later tries back off with jitter.
#include "client/informer_internal.h"

#include <inttypes.h>

#include "base/encode.h"
#include "base/log.h"

enum {
	PAGE = 500,
	MAX_LINE = 64 << 20, // of one watch event
	WATCH_S = 300,       // a watch lasts 300 to 600 s, as client-go's
	GRACE_S = 15,        // and the server may be so late to end it
	FIRST_RETRY_MS = 50,
	MAX_RETRY_MS = 30 * 1000,
	MAX_RECONNECT_MS = 2 * 1000, // while nobody answers at all, trying is cheap
	READ_STEP = 4096,
	LOUD = 4,
};

struct reflector {
	struct informer *i;
	struct arena *scratch;
	struct buf in;
	char version[64]; // where to watch from
	bool have_list;   // version holds
	bool expired;     // the next list must be of the newest state
	int failures;
};

static bool stopped(struct informer *i)
{
	THREAD_LOCKED(&i->lock);
	return i->stop;
}

static void set_version(struct reflector *r, str v)
{
	if (v.n == 0 || v.n >= sizeof(r->version))
		return;
	memcpy(r->version, v.p, v.n);
	r->version[v.n] = 0;
}

// Waits after the r->failures-th failure in a row. `unreachable`: there was no answer.
static void back_off(struct reflector *r, bool unreachable)
{
	int64_t ms = FIRST_RETRY_MS, most = unreachable ? MAX_RECONNECT_MS : MAX_RETRY_MS;
	for (int n = 1; n < r->failures && ms < most; n++)
		ms *= 2;
	ms = MIN(ms, most);
	ms += (int64_t)rng_below(client_rng(r->i->client), (uint64_t)ms / 2 + 1);
	int64_t end = clock_mono(NULL) + ms * NS_PER_MS;
	THREAD_LOCKED(&r->i->lock);
	while (!r->i->stop) {
		int64_t left = end - clock_mono(NULL);
		if (left <= 0)
			return;
		thread_cond_wait(&r->i->cond, &r->i->lock, left);
	}
}

static str selectors(struct arena *a, const struct informer *i)
{
	str q = S("");
	if (!str_empty(i->label_selector))
		q = arena_concat(a, S("&labelSelector="), percent_encode(a, i->label_selector));
	if (!str_empty(i->field_selector))
		q = arena_concat(a, q, S("&fieldSelector="), percent_encode(a, i->field_selector));
	return q;
}

// Nobody here reads managedFields, and they are half of an object.
static void trim(const struct informer *i, void *obj, struct meta_v1_ObjectMeta *meta)
{
	meta->managedFields = (struct meta_v1_ManagedFieldsEntry_list){ 0 };
	if (i->trim)
		i->trim(obj);
}

// An object as the server sent it into the cache.
static void take(struct reflector *r, void *obj)
{
	struct informer *i = r->i;
	struct meta_v1_ObjectMeta *meta = object_meta(i->item, obj);
	trim(i, obj, meta);
	_cleanup_object_ struct object_ref *have = informer_get(i, meta->namespace, meta->name);
	if (have && str_eq(have->meta->resourceVersion, meta->resourceVersion) && str_eq(have->meta->uid, meta->uid))
		return;
	// Deleted and made again while we did not look: both are told.
	if (have && !str_eq(have->meta->uid, meta->uid)) {
		char key[320];
		cache_delete(i, cache_key(key, sizeof(key), meta->namespace, meta->name), NULL);
	}
	cache_put(i, object_ref_new(i->item, obj));
}

// Removes what is in the cache and was not in the list.
static void drop_missing(struct reflector *r, const struct map *seen)
{
	_cleanup_list_ struct object_list all = informer_list(r->i);
	for (size_t n = 0; n < all.n; n++) {
		char small[320];
		str key = cache_key(small, sizeof(small), all.v[n]->meta->namespace, all.v[n]->meta->name);
		if (!map_has(seen, key))
			cache_delete(r->i, key, NULL);
	}
}

static bool list_page(struct reflector *r, str token, struct http_answer *answer, struct error *err)
{
	struct informer *i = r->i;
	struct arena *a = r->scratch;
	// resourceVersion=0 lets the server answer from its cache; after 410 the newest state is wanted.
	str path = arena_concat(a, i->path, arena_printf(a, "?limit=%d", PAGE), selectors(a, i));
	if (!str_empty(token))
		path = arena_concat(a, path, S("&continue="), percent_encode(a, token));
	else if (!r->expired)
		path = arena_concat(a, path, S("&resourceVersion=0"));
	struct http_call call = { .method = "GET", .path = path };
	http_header_add(a, &call.headers, S("accept"), str_empty(i->list_accept) ? i->accept : i->list_accept);
	if (!http_client_do(client_http(i->client), a, &call, answer, err))
		return false;
	return answer->status < 400 || client_error_of(a, answer, err);
}

static bool list(struct reflector *r, struct error *err)
{
	struct informer *i = r->i;
	_cleanup_map_ struct map seen = { 0 };
	char token[2048] = "";
	do {
		if (stopped(i))
			return true;
		arena_reset(r->scratch);
		struct http_answer answer = { 0 };
		if (!list_page(r, str_c(token), &answer, err))
			return error_wrap(err, "list " STR_FMT, STR_ARG(i->resource));
		void *page = schema_from_json(r->scratch, i->list, answer.body, NULL, err);
		if (!page)
			return error_wrap(err, "list " STR_FMT, STR_ARG(i->resource));
		const struct field_desc *meta_field = schema_field_named(i->list, S("metadata"));
		const struct field_desc *items_field = schema_field_named(i->list, S("items"));
		const struct meta_v1_ListMeta *meta = (void *)((char *)page + meta_field->offset);
		const struct {
			char *v;
			size_t n;
		} *items = (void *)((char *)page + items_field->offset);
		for (size_t n = 0; n < items->n; n++) {
			void *obj = items->v + n * i->item->size;
			const struct meta_v1_ObjectMeta *m = object_meta(i->item, obj);
			char key[320];
			map_put(&seen, cache_key(key, sizeof(key), m->namespace, m->name), NULL);
			take(r, obj);
		}
		if (meta->continue_.n >= sizeof(token))
			return error_set(err, "list " STR_FMT ": continue token of %zu bytes", STR_ARG(i->resource),
			                 meta->continue_.n);
		memcpy(token, meta->continue_.p ? meta->continue_.p : "", meta->continue_.n);
		token[meta->continue_.n] = 0;
		if (!*token)
			set_version(r, meta->resourceVersion);
	} while (*token);
	drop_missing(r, &seen);
	r->have_list = true;
	r->expired = false;
	arena_reset(r->scratch);
	if (!informer_synced(i)) {
		THREAD_LOCKED(&i->lock);
		atomic_store_explicit(&i->synced, true, memory_order_release);
		pthread_cond_broadcast(&i->cond);
	}
	return true;
}

// Cuts {"type":"T","object":O} into T and O. Servers write it in just this form; any other goes through the JSON reader.
static bool cut_event(struct arena *a, str line, str *type, str *object, struct error *err)
{
	str rest = str_trim(line);
	if (str_cut_prefix(&rest, S("{\"type\":\"")) && str_cut_suffix(&rest, S("}"))) {
		ptrdiff_t end = str_find_char(rest, '"');
		if (end > 0) {
			*type = str_sub(rest, 0, (size_t)end);
			*object = str_from(rest, (size_t)end + 1);
			if (str_cut_prefix(object, S(",\"object\":")))
				return true;
		}
	}
	struct value *v = json_parse(a, line, NULL, err);
	if (!v)
		return false;
	*type = value_get_str(v, S("type"));
	const struct value *o = value_get(v, S("object"));
	*object = o ? json_text(a, o, JSON_COMPACT) : S("");
	return true;
}

static bool event(struct reflector *r, str line, struct error *err)
{
	struct informer *i = r->i;
	struct arena *a = r->scratch;
	str type, json;
	if (!cut_event(a, line, &type, &json, err))
		return false;
	if (str_eq(type, S("ERROR"))) {
		struct http_answer answer = { .status = 500, .body = json };
		return client_error_of(a, &answer, err);
	}
	void *obj = schema_from_json(a, i->item, json, NULL, err);
	if (!obj)
		return false;
	struct meta_v1_ObjectMeta *meta = object_meta(i->item, obj);
	set_version(r, meta->resourceVersion);
	if (str_eq(type, S("ADDED")) || str_eq(type, S("MODIFIED"))) {
		take(r, obj);
	} else if (str_eq(type, S("DELETED"))) {
		char key[320];
		trim(i, obj, meta);
		_cleanup_object_ struct object_ref *final = object_ref_new(i->item, obj);
		cache_delete(i, cache_key(key, sizeof(key), meta->namespace, meta->name), final);
	} else if (!str_eq(type, S("BOOKMARK"))) {
		return error_set(err, "unknown event type " STR_FMT, STR_ARG(type));
	}
	return true;
}

// Handles the whole lines that are in the buffer. *scanned: bytes in which no line ends.
static bool events(struct reflector *r, size_t *scanned, struct error *err)
{
	size_t from = 0;
	for (;;) {
		const char *end = r->in.n > from + *scanned
		                          ? memchr(r->in.p + from + *scanned, '\n', r->in.n - from - *scanned)
		                          : NULL;
		if (!end)
			break;
		str line = str_n(r->in.p + from, (size_t)(end - r->in.p) - from);
		from += line.n + 1;
		*scanned = 0;
		if (str_empty(str_trim(line)))
			continue;
		bool ok = event(r, line, err);
		arena_reset(r->scratch);
		if (!ok)
			return false;
	}
	if (from == r->in.n)
		buf_clear(&r->in);
	else
		buf_consume(&r->in, from);
	*scanned = r->in.n;
	if (r->in.n == 0 && r->in.cap > 2 * READ_STEP)
		buf_free(&r->in); // most watches are silent most of the time
	return r->in.n <= MAX_LINE || error_set(err, "an event of more than %d bytes", MAX_LINE);
}

static struct http_stream_in *open_watch(struct reflector *r, struct arena *a, int64_t seconds, struct error *err)
{
	struct informer *i = r->i;
	struct http_call call = { .method = "GET", .timeout_ms = -1 };
	call.path =
	        arena_concat(a, i->path, S("?watch=true&allowWatchBookmarks=true&resourceVersion="), str_c(r->version),
	                     arena_printf(a, "&timeoutSeconds=%" PRId64, seconds), selectors(a, i));
	http_header_add(a, &call.headers, S("accept"), i->accept);
	struct http_answer head = { 0 };
	struct http_stream_in *s = http_client_open(client_http(i->client), a, &call, &head, err);
	if (!s)
		return NULL;
	if (head.status < 400)
		return s;
	char text[4096];
	struct buf body = { 0 };
	struct error ignored = { 0 };
	for (ssize_t n; body.n < sizeof(text) * 4 && (n = http_stream_read(s, text, sizeof(text), 5000, &ignored)) > 0;)
		buf_add(&body, str_n(text, (size_t)n));
	head.body = arena_dup(a, buf_str(&body));
	buf_free(&body);
	client_error_of(a, &head, err);
	http_stream_in_close(s);
	return NULL;
}

// One watch until it ends. True: the server ended it in peace.
static bool watch(struct reflector *r, struct error *err)
{
	struct informer *i = r->i;
	_cleanup_arena_ struct arena *a = arena_new(1024);
	int64_t seconds = WATCH_S + (int64_t)rng_below(client_rng(i->client), WATCH_S);
	struct http_stream_in *s = open_watch(r, a, seconds, err);
	if (!s)
		return error_wrap(err, "watch " STR_FMT, STR_ARG(i->resource));
	pthread_mutex_lock(&i->lock);
	i->stream = s;
	bool ok = true, stop = i->stop;
	pthread_mutex_unlock(&i->lock);
	buf_clear(&r->in);
	size_t scanned = 0;
	int64_t end = clock_mono(NULL) + (seconds + GRACE_S) * NS_PER_SEC;
	thread_rest();
	while (ok && !stop) {
		// The end of a watch that nobody ends: a peer that is gone without a word.
		int64_t left = (end - clock_mono(NULL)) / NS_PER_MS;
		if (left <= 0)
			break;
		char *to = buf_reserve(&r->in, READ_STEP);
		ssize_t n = http_stream_read(s, to, r->in.cap - r->in.n, (int)left, err);
		if (n <= 0) {
			ok = n == 0;
			break;
		}
		r->in.n += (size_t)n;
		r->failures = 0;
		ok = events(r, &scanned, err);
	}
	pthread_mutex_lock(&i->lock);
	i->stream = NULL;
	pthread_mutex_unlock(&i->lock);
	http_stream_in_close(s);
	return ok || error_wrap(err, "watch " STR_FMT, STR_ARG(i->resource));
}

void *reflector_main(void *informer)
{
	struct informer *i = informer;
	struct reflector r = { .i = i, .scratch = arena_new(0) };
	while (!stopped(i)) {
		struct error err = { 0 };
		int64_t began = clock_mono(NULL);
		bool watching = r.have_list;
		bool ok = watching ? watch(&r, &err) : list(&r, &err);
		if (stopped(i))
			break;
		if (ok && (!watching || clock_mono(NULL) - began > NS_PER_SEC)) {
			r.failures = 0;
			continue;
		}
		r.failures++;
		if (ok) { // a server that ends every watch at once is not to be asked in a circle
			back_off(&r, false);
			continue;
		}
		// Also where the server's history is younger than what was seen of it (it was restored from a copy).
		if (err.code == 410 || str_contains(error_str(&err), S("Too large resource version"))) {
			log_debug("%s; listing again", err.text);
			r.have_list = false;
			r.expired = true;
			if (r.failures == 1)
				continue;
		} else if (r.failures >= LOUD && (r.failures & (r.failures - 1)) == 0) {
			log_warn("%s", err.text); // at 4, 8, 16, ...: a server that is started again is no news
		} else {
			log_debug("%s", err.text);
		}
		back_off(&r, err.code == 500 && err.sys != 0);
	}
	buf_free(&r.in);
	arena_free(r.scratch);
	return NULL;
}
