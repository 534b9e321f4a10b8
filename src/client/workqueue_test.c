#include "client/workqueue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

// A clock that stands still until it is told to go on.
static int64_t fake_now(const struct clock *c)
{
	return atomic_load((atomic_llong *)c->ctx);
}
static void fake_sleep(const struct clock *c, int64_t ns)
{
	atomic_fetch_add((atomic_llong *)c->ctx, ns);
}

static str take(struct workqueue *q, struct arena *a)
{
	str key = S("");
	assert_true(workqueue_get(q, a, &key));
	return key;
}

static void keys_stand_once_and_in_order(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct workqueue *q = workqueue_new(NULL, 0, 0);
	workqueue_add(q, S("a"));
	workqueue_add(q, S("b"));
	workqueue_add(q, S("a"));
	assert_int_equal(workqueue_len(q), 2);
	assert_true(str_eq(take(q, a), S("a")));
	assert_true(str_eq(take(q, a), S("b")));
	assert_int_equal(workqueue_len(q), 0);
	workqueue_free(q);
}

static void a_key_in_work_waits(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct workqueue *q = workqueue_new(NULL, 0, 0);
	workqueue_add(q, S("a"));
	take(q, a);
	workqueue_add(q, S("a"));
	assert_int_equal(workqueue_len(q), 0); // not handed out to a second worker
	workqueue_done(q, S("a"));
	assert_int_equal(workqueue_len(q), 1);
	assert_true(str_eq(take(q, a), S("a")));
	workqueue_done(q, S("a"));
	assert_int_equal(workqueue_len(q), 0);
	workqueue_free(q);
}

static void back_off_doubles_and_is_forgotten(void **state)
{
	atomic_llong now = 1000;
	struct clock clock = { fake_now, fake_now, fake_sleep, &now };
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct workqueue *q = workqueue_new(&clock, 10, 35);
	static const int64_t waits[] = { 10, 20, 35, 35 };
	for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
		assert_int_equal(workqueue_requeues(q, S("a")), (int)i);
		workqueue_add_rate_limited(q, S("a"));
		workqueue_add(q, S("probe"));
		now += waits[i] * NS_PER_MS - 1;
		assert_true(str_eq(take(q, a), S("probe")));
		workqueue_done(q, S("probe"));
		assert_int_equal(workqueue_len(q), 0); // not yet
		now += 1;
		assert_true(str_eq(take(q, a), S("a")));
		workqueue_done(q, S("a"));
	}
	workqueue_forget(q, S("a"));
	assert_int_equal(workqueue_requeues(q, S("a")), 0);
	workqueue_free(q);
}

static void the_earlier_delay_holds(void **state)
{
	atomic_llong now = 0;
	struct clock clock = { fake_now, fake_now, fake_sleep, &now };
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct workqueue *q = workqueue_new(&clock, 0, 0);
	for (int i = 0; i < 50; i++) { // the heap in some disorder
		char key[8];
		snprintf(key, sizeof(key), "k%02d", (i * 37) % 50);
		workqueue_add_after(q, str_c(key), 1000 + (i * 37) % 50);
	}
	workqueue_add_after(q, S("k49"), 10);
	workqueue_add_after(q, S("k00"), 5000); // later than what stands: nothing changes
	now = 2000 * NS_PER_MS;
	assert_true(str_eq(take(q, a), S("k49")));
	for (int i = 0; i < 49; i++) {
		char key[8];
		snprintf(key, sizeof(key), "k%02d", i);
		assert_true(str_eq(take(q, a), str_c(key)));
	}
	workqueue_free(q);
}

struct job {
	struct workqueue *q;
	atomic_int runs, now, most, failed;
};

static bool reconcile(void *ctx, struct arena *a, str key, struct error *err)
{
	struct job *j = ctx;
	int now = atomic_fetch_add(&j->now, 1) + 1, most = atomic_load(&j->most);
	while (now > most && !atomic_compare_exchange_weak(&j->most, &most, now))
		;
	usleep(2000);
	atomic_fetch_sub(&j->now, 1);
	if (str_eq(key, S("k7")) && atomic_fetch_add(&j->failed, 1) < 2)
		return error_set(err, "not today");
	if (atomic_fetch_add(&j->runs, 1) + 1 == 20)
		workqueue_shutdown(j->q);
	return true;
}

static void workers_run_to_the_end(void **state)
{
	struct job j = { .q = workqueue_new(NULL, 0, 0) };
	for (int i = 0; i < 20; i++) {
		char key[8];
		snprintf(key, sizeof(key), "k%d", i);
		workqueue_add(j.q, str_c(key));
	}
	workqueue_run(j.q, "test", 4, reconcile, &j);
	assert_int_equal(j.runs, 20);
	assert_int_equal(j.failed, 3); // two failures, and then it went well
	assert_true(j.most <= 4);
	workqueue_free(j.q);
}

static void *late_add(void *ctx)
{
	usleep(20000);
	workqueue_add_after(ctx, S("late"), 10);
	return NULL;
}

static void a_waiting_worker_sees_a_later_delay(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct workqueue *q = workqueue_new(NULL, 0, 0);
	pthread_t t;
	pthread_create(&t, NULL, late_add, q);
	assert_true(str_eq(take(q, a), S("late")));
	pthread_join(t, NULL);
	workqueue_shutdown(q);
	str key;
	assert_false(workqueue_get(q, a, &key));
	workqueue_free(q);
}

static void keys_split(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	str ns, name;
	key_split(key_of(a, S("ns"), S("web")), &ns, &name);
	assert_true(str_eq(ns, S("ns")) && str_eq(name, S("web")));
	key_split(key_of(a, S(""), S("node-1")), &ns, &name);
	assert_true(str_empty(ns) && str_eq(name, S("node-1")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_stand_once_and_in_order),
		cmocka_unit_test(a_key_in_work_waits),
		cmocka_unit_test(back_off_doubles_and_is_forgotten),
		cmocka_unit_test(the_earlier_delay_holds),
		cmocka_unit_test(workers_run_to_the_end),
		cmocka_unit_test(a_waiting_worker_sees_a_later_delay),
		cmocka_unit_test(keys_split),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
