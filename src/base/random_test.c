#include "base/random.h"

#include "base/test.h"

static void count_up(const struct rng *r, void *to, size_t n)
{
	unsigned char *next = r->ctx;
	for (size_t i = 0; i < n; i++)
		((unsigned char *)to)[i] = (*next)++;
}

static void repeats_from_a_seed(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	unsigned char x = 0, y = 0;
	const struct rng r = { .fill = count_up, .ctx = &x }, s = { .fill = count_up, .ctx = &y };
	assert_str_equal(rng_uuid(&r, a), rng_uuid(&s, a));
	assert_str_equal(rng_name_suffix(&r, a, 5), rng_name_suffix(&s, a, 5));
	assert_true(rng_u64(&r) == rng_u64(&s));
}

static void shapes(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	for (int i = 0; i < 200; i++) {
		str id = rng_uuid(NULL, a), name = rng_name_suffix(NULL, a, 5);
		assert_int_equal(id.n, 36);
		assert_int_equal(id.p[14], '4');
		assert_true(strchr("89ab", id.p[19]) != NULL);
		assert_true(id.p[8] == '-' && id.p[13] == '-' && id.p[18] == '-' && id.p[23] == '-');
		assert_int_equal(name.n, 5);
		assert_int_equal(strspn(arena_cstr(a, name), "bcdfghjklmnpqrstvwxz2456789"), 5);
	}
	assert_false(str_eq(rng_uuid(NULL, a), rng_uuid(NULL, a)));
}

static void stays_below(void **state)
{
	int seen[7] = { 0 };
	for (int i = 0; i < 7000; i++)
		seen[rng_below(NULL, 7)]++;
	for (int i = 0; i < 7; i++)
		assert_in_range(seen[i], 700, 1300);
	assert_int_equal(rng_below(NULL, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(repeats_from_a_seed), cmocka_unit_test(shapes),
		                            cmocka_unit_test(stays_below) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
