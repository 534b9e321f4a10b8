#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/heap.h"
#include "base/io.h"
#include "store/cache.h"

static void spliced(const char *in, const char *want)
{
	struct buf b = { 0 };
	size_t rest, at, n;
	bool ok = cache_splice(&b, str_c(in), 42, &rest, &at, &n);
	if (!want) {
		assert_false(ok);
	} else {
		assert_true(ok);
		assert_int_equal(b.n, strlen(want));
		assert_memory_equal(b.p, want, b.n);
		assert_true(str_eq(str_n(b.p + at, n), S("42")));
		assert_true(str_has_prefix(str_from(buf_str(&b), rest), S("\"metadata\":{")));
	}
	buf_free(&b);
}

static void splice(void **state)
{
	(void)state;
	spliced("{\"kind\":\"A\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"x\",\"uid\":\"u\",\"labels\":{}},\"spec\":{}}",
	        "{\"kind\":\"A\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"x\",\"uid\":\"u\",\"resourceVersion\":\"42\",\"labels\":{}},\"spec\":{}}");
	spliced("{\"metadata\":{\"creationTimestamp\":null}}", "{\"metadata\":{\"resourceVersion\":\"42\",\"creationTimestamp\":null}}");
	spliced("{\"metadata\":{}}", "{\"metadata\":{\"resourceVersion\":\"42\"}}");
	spliced("{\"metadata\":{\"name\":\"a\\\"uid\\\"\"}}", "{\"metadata\":{\"name\":\"a\\\"uid\\\"\",\"resourceVersion\":\"42\"}}");
	spliced("{\"kind\":\"metadata\",\"metadata\":{\"uid\":\"u\"}}", "{\"kind\":\"metadata\",\"metadata\":{\"uid\":\"u\",\"resourceVersion\":\"42\"}}");
	static const char *const broken[] = { "", "{", "{}", "[]", "{\"metadata\":{", "{\"metadata\":{\"name", "{\"metadata\":{\"name\":", "{\"metadata\":{\"name\":\"x", "{\"kind\":1}",
		                              "{\"kind\":\"x\"", "{\"kind\"" };
	for (size_t i = 0; i < ARRAY_LEN(broken); i++)
		spliced(broken[i], NULL);
}

struct fixture { char dir[64]; struct store *s; struct cache *c; struct cache_resource *r; };

static void open_all(struct fixture *f)
{
	char location[100];
	snprintf(location, sizeof(location), "lmdb:%s/s", f->dir);
	struct store_opts o = { .location = str_c(location), .map_size = INT64_C(1) << 30 };
	struct error err = { 0 };
	f->s = store_open(&o, &err);
	if (!f->s)
		fail_msg("%s", err.text);
	f->c = cache_new(NULL);
	f->r = cache_add(f->c, S("core/things"), true, f);
	if (!cache_start(f->c, f->s, &err))
		fail_msg("%s", err.text);
}

static void close_all(struct fixture *f)
{
	cache_free(f->c);
	store_close(f->s);
}

static int setup(void **state)
{
	struct fixture *f = HEAP_NEW(struct fixture);
	snprintf(f->dir, sizeof(f->dir), "/tmp/cache-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	open_all(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct error err;
	close_all(f);
	io_remove_tree(f->dir, &err);
	free(f);
	return 0;
}

static int64_t put(struct fixture *f, int ns, int name, int value)
{
	char key[64], json[200];
	snprintf(key, sizeof(key), "/registry/core/things/ns%d/n%03d", ns, name);
	snprintf(json, sizeof(json), "{\"kind\":\"Thing\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"n%03d\",\"namespace\":\"ns%d\"},\"v\":%d}", name, ns, value);
	struct store_op op = { .kind = value ? STORE_PUT : STORE_DELETE, .key = str_c(key), .value = str_c(json), .if_mod_revision = -1 };
	struct store_result r = store_commit_wait(f->s, &op, 1);
	assert_true(r.ok);
	return r.revision;
}

enum { NS = 3, NAMES = 40 };
struct walked { int seen[NS][NAMES]; struct cache_entry *last; size_t n; };
static bool walk(struct cache_entry *e, void *ctx)
{
	struct walked *w = ctx;
	if (w->last)
		assert_true(str_cmp(w->last->key, e->key) < 0);
	w->last = e;
	char text[300];
	snprintf(text, sizeof(text), "%.*s", STR_ARG(e->json));
	int ns = atoi(cache_entry_ns(e).p + 2), name = atoi(cache_entry_name(e).p + 1);
	w->seen[ns][name] = atoi(strstr(text, "\"v\":") + 4);
	char rv[40];
	snprintf(rv, sizeof(rv), "\"resourceVersion\":\"%lld\"", (long long)e->revision);
	assert_non_null(strstr(text, rv));
	assert_int_equal(e->json.p[e->json.n], '\n');
	w->n++;
	return true;
}

static void model(void **state)
{
	struct fixture *f = *state;
	int now[NS][NAMES] = { 0 }, kept[NS][NAMES] = { 0 };
	struct cache_view old = { 0 };
	srand(3);
	int64_t seq = 0, oldest, first = cache_revision(f->c);
	for (int step = 1; step <= 1500; step++) {
		int ns = rand() % NS, name = rand() % NAMES, value = rand() % 4 ? 1 + rand() % 1000 : 0;
		put(f, ns, name, value);
		now[ns][name] = value;
		if (step == 700) {
			old = cache_view_take(f->r);
			memcpy(kept, now, sizeof(now));
		}
		if (step % 100)
			continue;
		struct cache_view v = cache_view_take(f->r);
		struct walked w = { 0 };
		cache_view_each(&v, S(""), false, walk, &w);
		assert_int_equal(w.n, v.n);
		assert_memory_equal(w.seen, now, sizeof(now));
		// Beginning in the middle, and the count of what is before.
		struct walked tail = { 0 };
		cache_view_each(&v, S("ns1/n020"), true, walk, &tail);
		size_t before = cache_view_rank(&v, S("ns1/n020"));
		assert_int_equal(before + tail.n + (now[1][20] ? 1 : 0), v.n);
		cache_view_done(&v);
	}
	// A view shows its moment, whatever came after.
	struct walked w = { 0 };
	cache_view_each(&old, S(""), false, walk, &w);
	assert_memory_equal(w.seen, kept, sizeof(kept));
	cache_view_done(&old);
	// The events lead from the empty state to the present one.
	int from_events[NS][NAMES] = { 0 };
	assert_true(cache_events_after(f->r, first, &seq, &oldest));
	struct cache_event *ev[50];
	int n;
	int64_t last = first;
	while ((n = cache_events_take(f->r, &seq, ev, 50)) > 0) {
		for (int i = 0; i < n; i++) {
			assert_true(ev[i]->revision > last);
			last = ev[i]->revision;
			struct walked one = { 0 };
			walk(ev[i]->entry, &one);
			int ns = atoi(cache_entry_ns(ev[i]->entry).p + 2), name = atoi(cache_entry_name(ev[i]->entry).p + 1);
			assert_int_equal(ev[i]->previous != NULL, from_events[ns][name] != 0);
			from_events[ns][name] = ev[i]->type == CACHE_DELETED ? 0 : one.seen[ns][name];
			cache_event_unref(ev[i]);
		}
	}
	assert_memory_equal(from_events, now, sizeof(now));
	// A restart shows the same, and the latest events are there again.
	close_all(f);
	open_all(f);
	struct cache_view v = cache_view_take(f->r);
	struct walked again = { 0 };
	cache_view_each(&v, S(""), false, walk, &again);
	assert_memory_equal(again.seen, now, sizeof(now));
	cache_view_done(&v);
	assert_true(cache_events_after(f->r, last - 100, &seq, &oldest));
	assert_false(cache_events_after(f->r, oldest - 1, &seq, &oldest));
}

struct reader { struct fixture *f; _Atomic bool *stop; size_t reads; };
static void *read_loop(void *ctx)
{
	struct reader *r = ctx;
	int64_t seq = 0, oldest;
	cache_events_after(r->f->r, INT64_MAX, &seq, &oldest);
	static const char tag;
	while (!*r->stop) {
		struct cache_view v = cache_view_take(r->f->r);
		struct walked w = { 0 };
		cache_view_each(&v, S("ns1/"), false, walk, &w);
		cache_view_done(&v);
		struct cache_entry *e = cache_get(r->f->r, S("ns0"), S("n001"));
		if (e) {
			const struct cache_side *side = cache_side_add(&e->sides, &tag, 1, e->key);
			assert_true(str_eq(side->bytes, e->key));
			assert_ptr_equal(cache_side_find(&e->sides, &tag, 1), side);
		}
		cache_entry_unref(e);
		struct cache_event *ev[20];
		int n = cache_events_take(r->f->r, &seq, ev, 20);
		for (int i = 0; i < n; i++)
			cache_event_unref(ev[i]);
		r->reads++;
	}
	return NULL;
}

static void concurrent(void **state)
{
	struct fixture *f = *state;
	_Atomic bool stop = false;
	pthread_t t[2];
	struct reader r[2] = { { f, &stop, 0 }, { f, &stop, 0 } };
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, read_loop, &r[i]);
	for (int step = 0; step < 800; step++)
		put(f, step % NS, step * 7 % NAMES, step % 5);
	stop = true;
	for (int i = 0; i < 2; i++) {
		pthread_join(t[i], NULL);
		assert_true(r[i].reads > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(splice),
		cmocka_unit_test_setup_teardown(model, setup, teardown),
		cmocka_unit_test_setup_teardown(concurrent, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
