// /openapi/v2 and /openapi/v3: documents that the schema makes, built on a thread of the pool when they are first asked for, and kept.
// Only JSON: the protobuf form of gnostic is refused (406), clients then take JSON.
#include <pthread.h>
#include <stdlib.h>

#include "apiserver/apiserver.h"
#include "base/heap.h"
#include "json/json.h"
#include "schema/openapi.h"

struct documents { pthread_mutex_t mutex; struct map by_path; }; // path -> struct text *
struct text { size_t n; char p[]; };

struct documents *documents_new(struct arena *a)
{
	struct documents *d = ARENA_NEW(a, struct documents);
	pthread_mutex_init(&d->mutex, NULL);
	return d;
}

void documents_free(struct documents *d)
{
	if (!d)
		return;
	for (struct map_slot *i = NULL; (i = map_each(&d->by_path, i));)
		free(i->value);
	map_free(&d->by_path);
	pthread_mutex_destroy(&d->mutex);
}

static struct text *find(struct documents *d, str path)
{
	pthread_mutex_lock(&d->mutex);
	struct text *t = map_get(&d->by_path, path);
	pthread_mutex_unlock(&d->mutex);
	return t;
}

// What a document depends on is compiled in, so its version is its hash.
static str hash_of(struct arena *a, str path)
{
	uint64_t h = str_hash(arena_concat(a, S(CORACLE_VERSION " " __DATE__ " " __TIME__ " "), path));
	return arena_printf(a, "%016llX%016llX", (unsigned long long)h, (unsigned long long)(h * UINT64_C(0x9e3779b97f4a7c15)));
}

static void answer(struct call *c, str path, const struct text *t)
{
	struct arena *a = c->r.arena;
	str etag = arena_concat(a, S("\""), hash_of(a, path), S("\"")), v;
	struct http_headers h = { 0 };
	bool named = http_param_get(&c->r.params, S("hash"), &v) && str_eq(v, hash_of(a, path));
	http_header_add(a, &h, S("cache-control"), named ? S("public, immutable") : S("no-cache, private"));
	http_header_add(a, &h, S("content-type"), S("application/json"));
	http_header_add(a, &h, S("etag"), etag);
	http_header_add(a, &h, S("vary"), S("Accept"));
	if (str_contains(http_header(&c->r.in->headers, S("if-none-match")), hash_of(a, path))) {
		c->status = 304;
		http_reply(c->r.x, 304, &h, S(""));
		return;
	}
	c->status = 200;
	// The text stays as long as the server does.
	http_reply_ref(c->r.x, 200, &h, str_n(t->p, t->n), NULL, NULL);
}

struct work { struct call *c; str path; struct text *text; };

static void build(void *ctx)
{
	struct work *w = ctx;
	_cleanup_arena_ struct arena *a = arena_new(1 << 16);
	str rest = w->path;
	struct value *doc = str_cut_prefix(&rest, S("v3/")) ? openapi_v3(a, rest) : openapi_v2(a);
	if (!doc)
		return;
	struct buf b = { 0 };
	json_write(&b, doc, JSON_COMPACT | JSON_ESCAPE_HTML);
	w->text = heap_alloc(sizeof(struct text) + b.n);
	w->text->n = b.n;
	memcpy(w->text->p, b.p, b.n);
	buf_free(&b);
}

static void built(void *ctx)
{
	struct work *w = ctx;
	struct call *c = w->c;
	struct documents *d = c->s->documents;
	if (w->text) {
		pthread_mutex_lock(&d->mutex);
		struct text *other = map_get(&d->by_path, w->path);
		if (!other)
			map_put(&d->by_path, w->path, w->text);
		pthread_mutex_unlock(&d->mutex);
		if (other)
			free(w->text);
		if (!c->over)
			answer(c, w->path, other ? other : w->text);
	} else if (!c->over) {
		reply_text(c, 404, S("text/plain; charset=utf-8"), S("404 page not found\n"));
	}
	call_release(c);
}

bool openapi(struct call *c)
{
	struct arena *a = c->r.arena;
	str path = c->r.info.path;
	if (!str_cut_prefix(&path, S("/openapi/")))
		return false;
	str_cut_suffix(&path, S("/"));
	if (str_eq(path, S("v3"))) {
		struct str_list paths = openapi_v3_paths(a);
		struct buf b = { 0 };
		buf_add(&b, S("{\"paths\":{"));
		for (size_t i = 0; i < paths.n; i++) {
			str full = arena_concat(a, S("v3/"), paths.v[i]);
			buf_printf(&b, "%s\"" STR_FMT "\":{\"serverRelativeURL\":\"/openapi/" STR_FMT "?hash=" STR_FMT "\"}", i ? "," : "", STR_ARG(paths.v[i]), STR_ARG(full),
			           STR_ARG(hash_of(a, full)));
		}
		buf_add(&b, S("}}\n"));
		reply_text(c, 200, S("application/json"), buf_str(&b));
		buf_free(&b);
		return true;
	}
	if (!str_eq(path, S("v2")) && !str_has_prefix(path, S("v3/")))
		return false;
	str accept = http_header(&c->r.in->headers, S("accept"));
	if (accept.n && !str_contains(accept, S("json")) && !str_contains(accept, S("*/*"))) {
		reply_text(c, 406, S("text/plain; charset=utf-8"), S("only application/json is available\n"));
		return true;
	}
	struct text *t = find(c->s->documents, path);
	if (t) {
		answer(c, path, t);
		return true;
	}
	struct work *w = ARENA_NEW(a, struct work);
	*w = (struct work){ .c = c, .path = path };
	call_hold(c);
	http_loop_work(c->loop, build, built, w);
	return true;
}
