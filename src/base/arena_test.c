#include "base/arena.h"
#include "base/test.h"

static void aligned_and_zeroed(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(64);
	for (size_t n = 0; n < 300; n++) {
		unsigned char *p = arena_alloc(a, n);
		assert_int_equal((uintptr_t)p % 16, 0);
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(p[i], 0);
			p[i] = 0xff;
		}
	}
	char *large = arena_alloc(a, 5 << 20);
	large[(5 << 20) - 1] = 1;
	assert_true(arena_used(a) >= 5 << 20);
}

static void text(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	char local[] = "abc";
	str copy = arena_dup(a, str_c(local));
	local[0] = 'x';
	assert_text(copy, "abc");
	assert_int_equal(copy.p[3], 0);
	assert_string_equal(arena_cstr(a, (str){ NULL, 0 }), "");
	assert_text(arena_printf(a, "%s-%d", "n", 7), "n-7");
	assert_text(arena_concat(a, S("/api/"), S(""), S("v1")), "/api/v1");
}

static void count(void *ctx)
{
	int *n = ctx;
	n[0] = n[0] * 10 + n[1]++;
}

static void hooks_run_newest_first_and_once(void **state)
{
	int order[2] = { 0, 1 }, other[2] = { 0, 5 };
	struct arena *a = arena_new(0);
	arena_on_free(a, count, order);
	arena_on_free(a, count, order);
	arena_reset(a);
	assert_int_equal(order[0], 12);
	arena_on_free(a, count, other);
	arena_free(a);
	assert_int_equal(order[0], 12);
	assert_int_equal(other[0], 5);
	arena_free(NULL);
}

static void reset_keeps_it_usable(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 100; i++)
			memset(arena_alloc(a, 1000), 1, 1000);
		arena_reset(a);
		assert_int_equal(arena_used(a), 0);
	}
}

static void lists_grow(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct {
		int *v;
		size_t n;
	} list = { 0 };
	for (int i = 0; i < 1000; i++)
		*LIST_ADD(a, &list) = i;
	assert_int_equal(list.n, 1000);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(list.v[i], i);
	assert_true(arena_used(a) < 20000); // doubling, not a copy for each
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(aligned_and_zeroed),
		cmocka_unit_test(text),
		cmocka_unit_test(hooks_run_newest_first_and_once),
		cmocka_unit_test(reset_keeps_it_usable),
		cmocka_unit_test(lists_grow),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
