#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/io.h"
#include "store/store.h"

struct fixture { struct arena *a; char dir[64]; };

static int setup(void **state)
{
	struct fixture *f = HEAP_NEW(struct fixture);
	f->a = arena_new(0);
	snprintf(f->dir, sizeof(f->dir), "/tmp/store-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct error err;
	io_remove_tree(f->dir, &err);
	arena_free(f->a);
	free(f);
	return 0;
}

static struct store *open_store(struct fixture *f)
{
	struct error err = { 0 };
	struct store_opts o = { .location = arena_printf(f->a, "lmdb:%s/s", f->dir), .map_size = INT64_C(1) << 30 };
	struct store *s = store_open(&o, &err);
	if (!s)
		fail_msg("%s", err.text);
	return s;
}

static int64_t put(struct store *s, const char *key, const char *value, int64_t if_mod)
{
	struct store_op op = { .kind = STORE_PUT, .key = str_c(key), .value = str_c(value), .if_mod_revision = if_mod };
	struct store_result r = store_commit_wait(s, &op, 1);
	return r.ok ? r.revision : r.err.code ? -2 : -1;
}

static int64_t del(struct store *s, const char *key, int64_t if_mod)
{
	struct store_op op = { .kind = STORE_DELETE, .key = str_c(key), .if_mod_revision = if_mod };
	struct store_result r = store_commit_wait(s, &op, 1);
	return r.ok ? r.revision : -1;
}

static void compare_and_swap(void **state)
{
	struct fixture *f = *state;
	struct store *s = open_store(f);
	struct store_entry e;
	struct error err = { 0 };
	int64_t r1 = put(s, "/a", "1", 0);
	assert_int_equal(r1, 2);
	assert_int_equal(put(s, "/a", "2", 0), -1);
	assert_int_equal(put(s, "/a", "2", r1 + 7), -1);
	int64_t r2 = put(s, "/a", "2", r1);
	assert_int_equal(r2, r1 + 1);
	assert_true(store_get(s, f->a, S("/a"), 0, &e, &err));
	assert_true(str_eq(e.value, S("2")) && e.create_revision == r1 && e.mod_revision == r2);
	assert_true(store_get(s, f->a, S("/a"), r1, &e, &err));
	assert_true(str_eq(e.value, S("1")));
	int64_t r3 = del(s, "/a", -1);
	assert_false(store_get(s, f->a, S("/a"), 0, &e, &err));
	assert_int_equal(err.code, 404);
	assert_true(store_get(s, f->a, S("/a"), r2, &e, &err));
	assert_int_equal(put(s, "/a", "3", 0), r3 + 1);
	assert_true(store_get(s, f->a, S("/a"), 0, &e, &err));
	assert_int_equal(e.create_revision, r3 + 1);
	// A batch is all or nothing.
	struct store_op ops[] = { { STORE_PUT, S("/b"), S("x"), -1, 0 }, { STORE_CHECK, S("/a"), S(""), 1, 0 } };
	struct store_result r = store_commit_wait(s, ops, 2);
	assert_false(r.ok);
	assert_int_equal(r.failed, 1);
	assert_false(store_get(s, f->a, S("/b"), 0, &e, &err));
	store_close(s);
	s = open_store(f);
	assert_int_equal(store_revision(s), r3 + 1);
	assert_true(store_get(s, f->a, S("/a"), 0, &e, &err) && str_eq(e.value, S("3")));
	store_close(s);
}

// Keys 0..15 over 400 revisions against a table of every revision's state.
enum { KEYS = 16, STEPS = 400 };
static int model[STEPS + 3][KEYS];

static int number(str s)
{
	char text[16];
	snprintf(text, sizeof(text), "%.*s", STR_ARG(s));
	return atoi(text);
}

struct seen { int state[KEYS]; int64_t last; size_t events; _Atomic int64_t revision; };

static void on_events(const struct store_event *ev, size_t n, int64_t revision, void *ctx)
{
	struct seen *seen = ctx;
	assert_true(revision > seen->last);
	seen->last = revision;
	for (size_t i = 0; i < n; i++) {
		if (ev[i].entry.key.p[0] != 'k')
			continue;
		int key = number(str_from(ev[i].entry.key, 2));
		assert_int_equal(seen->state[key], ev[i].previous.n ? number(ev[i].previous) : 0);
		seen->state[key] = ev[i].deleted ? 0 : number(ev[i].entry.value);
		seen->events++;
	}
	atomic_store(&seen->revision, revision);
}

struct ranged { int state[KEYS]; size_t n; str last; struct arena *a; };
static bool ranged_each(const struct store_entry *e, void *ctx)
{
	struct ranged *r = ctx;
	assert_true(str_cmp(r->last, e->key) < 0);
	r->last = arena_dup(r->a, e->key);
	r->state[number(str_from(e->key, 2))] = number(e->value);
	r->n++;
	return true;
}

static void check_range(struct fixture *f, struct store *s, int64_t revision)
{
	struct ranged r = { .a = f->a };
	struct error err = { 0 };
	if (!store_range(s, S("k-"), S("k."), revision, 0, ranged_each, &r, NULL, &err))
		fail_msg("%s", err.text);
	assert_memory_equal(r.state, model[revision], sizeof(r.state));
}

static void random_model(void **state)
{
	struct fixture *f = *state;
	struct store *s = open_store(f);
	srand(7);
	struct seen live = { 0 };
	struct error err = { 0 };
	struct store_watch *w = store_watch(s, 0, on_events, &live, &err);
	assert_non_null(w);
	for (int64_t rev = 1; rev < STEPS + 1;) {
		char key[16], value[16];
		int k = rand() % KEYS;
		snprintf(key, sizeof(key), "k-%02d", k);
		snprintf(value, sizeof(value), "%d", 1 + rand() % 1000);
		memcpy(model[rev + 1], model[rev], sizeof(model[0]));
		int64_t got;
		if (model[rev][k] && rand() % 3 == 0) {
			got = del(s, key, -1);
			model[rev + 1][k] = 0;
		} else {
			got = put(s, key, value, -1);
			model[rev + 1][k] = atoi(value);
		}
		assert_int_equal(got, ++rev);
		if (rev % 100 == 0) {
			store_watch_stop(w);
			store_close(s);
			s = open_store(f);
			assert_int_equal(store_revision(s), rev);
			w = store_watch(s, rev, on_events, &live, &err);
			assert_non_null(w);
		}
	}
	assert_memory_equal(live.state, model[STEPS + 1], sizeof(live.state));
	for (int64_t rev = 1; rev <= STEPS + 1; rev += 7)
		check_range(f, s, rev);
	// The past replayed is the same as the past watched.
	struct seen again = { 0 };
	struct store_watch *w2 = store_watch(s, 0, on_events, &again, &err);
	assert_int_equal(again.events, live.events);
	store_watch_stop(w2);
	assert_true(store_compact(s, 250, &err));
	struct store_op op = { .kind = STORE_PUT, .key = S("z"), .value = S("z"), .if_mod_revision = -1 };
	store_commit_wait(s, &op, 1);
	usleep(50000);
	for (int64_t rev = 250; rev <= STEPS + 1; rev += 3)
		check_range(f, s, rev);
	struct ranged r = { .a = f->a };
	assert_false(store_range(s, S("k-"), S("k."), 249, 0, ranged_each, &r, NULL, &err));
	assert_int_equal(err.code, 410);
	assert_null(store_watch(s, 249, on_events, &again, &err));
	assert_int_equal(err.code, 410);
	store_watch_stop(w);
	store_close(s);
	s = open_store(f);
	check_range(f, s, STEPS + 1);
	store_close(s);
}

static void limits(void **state)
{
	struct fixture *f = *state;
	struct store *s = open_store(f);
	char key[16];
	for (int i = 0; i < 10; i++) {
		snprintf(key, sizeof(key), "k-%02d", i);
		put(s, key, "5", 0);
	}
	struct ranged r = { .a = f->a };
	struct error err = { 0 };
	bool more = false;
	assert_true(store_range(s, S("k-03"), S("k-09"), 0, 4, ranged_each, &r, &more, &err));
	assert_int_equal(r.n, 4);
	assert_true(more);
	char *big = heap_calloc(1, 600);
	memset(big, 'k', 599);
	assert_int_equal(put(s, big, "x", 0), -2);
	free(big);
	store_close(s);
}

static void expiry(void **state)
{
	struct fixture *f = *state;
	struct store *s = open_store(f);
	struct store_op op = { .kind = STORE_PUT, .key = S("e"), .value = S("v"), .if_mod_revision = 0, .ttl_s = 1 };
	assert_true(store_commit_wait(s, &op, 1).ok);
	struct store_entry e;
	struct error err = { 0 };
	assert_true(store_get(s, f->a, S("e"), 0, &e, &err) && e.expires > 0);
	store_close(s);
	s = open_store(f);
	bool gone = false;
	for (int i = 0; i < 80 && !gone; i++) {
		usleep(100000);
		gone = !store_get(s, f->a, S("e"), 0, &e, &err);
	}
	assert_true(gone);
	store_close(s);
}

// A child writes as fast as it can and notes each acknowledged counter in shared memory; it is killed, again and again. Whatever was
// acknowledged must be there, and what is there must be whole.
struct shared { _Atomic int acked[4]; };

struct writer { struct store *s; struct shared *shared; int id; };
static void *write_loop(void *ctx)
{
	struct writer *w = ctx;
	char key[24], value[4000];
	for (int i = atomic_load(&w->shared->acked[w->id]) + 1;; i++) {
		int n = snprintf(value, sizeof(value), "%d:", i);
		memset(value + n, 'a' + i % 26, 3000);
		struct store_op ops[2] = { { STORE_PUT, S(""), str_n(value, n + 3000), -1, 0 }, { STORE_PUT, S(""), str_n(value, n + 10), -1, 0 } };
		snprintf(key, sizeof(key), "w%d", w->id);
		char key2[24];
		snprintf(key2, sizeof(key2), "x%d/%d", w->id, i);
		ops[0].key = str_c(key);
		ops[1].key = str_c(key2);
		if (!store_commit_wait(w->s, ops, 2).ok)
			_exit(3);
		atomic_store(&w->shared->acked[w->id], i);
	}
	return NULL;
}

static void killed(void **state)
{
	struct fixture *f = *state;
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int64_t revision = 0;
	for (int round = 0; round < 8; round++) {
		pid_t pid = fork();
		if (pid == 0) {
			struct store *s = open_store(f);
			struct writer w[4];
			pthread_t t;
			for (int i = 0; i < 4; i++) {
				w[i] = (struct writer){ s, shared, i };
				pthread_create(&t, NULL, write_loop, &w[i]);
			}
			pause();
			_exit(0);
		}
		usleep(60000 + round * 45000);
		kill(pid, SIGKILL);
		int status;
		waitpid(pid, &status, 0);
		assert_true(WIFSIGNALED(status));
		struct store *s = open_store(f);
		assert_true(store_revision(s) >= revision);
		revision = store_revision(s);
		for (int i = 0; i < 4; i++) {
			int acked = atomic_load(&shared->acked[i]);
			char key[24];
			snprintf(key, sizeof(key), "w%d", i);
			struct store_entry e;
			struct error err = { 0 };
			if (acked == 0)
				continue;
			assert_true(store_get(s, f->a, str_c(key), 0, &e, &err));
			int found = atoi(e.value.p);
			assert_in_range(found, acked, acked + 1);
			for (size_t k = e.value.n - 3000; k < e.value.n; k++)
				assert_int_equal(e.value.p[k], 'a' + found % 26);
			for (int n = 1; n <= found; n++) {
				char key2[24];
				snprintf(key2, sizeof(key2), "x%d/%d", i, n);
				assert_true(store_get(s, f->a, str_c(key2), 0, &e, &err));
			}
			atomic_store(&shared->acked[i], found);
		}
		store_close(s);
	}
	munmap(shared, sizeof(*shared));
}

// A store without room refuses, loses nothing that it acknowledged, and goes on when there is room again.
static void full(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	struct store_opts o = { .location = arena_printf(f->a, "lmdb:%s/s", f->dir), .map_size = 1 << 20 };
	struct store *s = store_open(&o, &err);
	assert_non_null(s);
	char key[24];
	char *value = heap_calloc(1, 5001);
	memset(value, 'v', 5000);
	int acked = 0, refused = 0;
	for (int i = 0; i < 600; i++) {
		snprintf(key, sizeof(key), "k%04d", i);
		struct store_op op = { .kind = STORE_PUT, .key = str_c(key), .value = str_c(value), .if_mod_revision = 0 };
		struct store_result r = store_commit_wait(s, &op, 1);
		if (r.ok) {
			assert_int_equal(refused, 0);
			acked = i + 1;
		} else {
			assert_int_equal(r.err.code, 500);
			if (++refused > 3)
				break;
		}
	}
	assert_true(refused > 3 && acked > 20);
	int64_t revision = store_revision(s);
	store_close(s);
	o.map_size = 64 << 20;
	s = store_open(&o, &err);
	assert_non_null(s);
	assert_int_equal(store_revision(s), revision);
	struct store_entry e;
	for (int i = 0; i < acked; i++) {
		snprintf(key, sizeof(key), "k%04d", i);
		assert_true(store_get(s, f->a, str_c(key), 0, &e, &err));
	}
	assert_true(put(s, "more", "x", 0) > revision);
	store_close(s);
	free(value);
}

static void one_owner(void **state)
{
	struct fixture *f = *state;
	struct store *s = open_store(f);
	struct error err = { 0 };
	struct store_opts o = { .location = arena_printf(f->a, "lmdb:%s/s", f->dir) };
	assert_null(store_open(&o, &err));
	assert_true(str_contains(error_str(&err), S("another process")));
	store_close(s);
	o.location = S("etcd:localhost");
	assert_null(store_open(&o, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(compare_and_swap, setup, teardown),
		cmocka_unit_test_setup_teardown(random_model, setup, teardown),
		cmocka_unit_test_setup_teardown(limits, setup, teardown),
		cmocka_unit_test_setup_teardown(expiry, setup, teardown),
		cmocka_unit_test_setup_teardown(killed, setup, teardown),
		cmocka_unit_test_setup_teardown(full, setup, teardown),
		cmocka_unit_test_setup_teardown(one_owner, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
