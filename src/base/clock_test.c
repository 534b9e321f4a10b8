#include "base/clock.h"
#include "base/test.h"

static const struct {
	const char *text;
	int64_t sec;
} times[] = {
	{ "1970-01-01T00:00:00Z", 0 },
	{ "2024-02-29T12:34:56Z", 1709210096 },
	{ "1969-12-31T23:59:59Z", -1 },
	{ "2000-03-01T00:00:00Z", 951868800 },
	{ "0001-01-01T00:00:00Z", -62135596800 },
	{ "9999-12-31T23:59:59Z", 253402300799 },
};

static void both_ways(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		int64_t sec;
		int32_t nsec;
		assert_text(time_format(a, times[i].sec, 0, 0), times[i].text);
		assert_true(time_parse(str_c(times[i].text), &sec, &nsec));
		assert_true(sec == times[i].sec);
		assert_int_equal(nsec, 0);
	}
	assert_text(time_format(a, 1, 123456789, 6), "1970-01-01T00:00:01.123456Z");
	assert_text(time_format(a, 1, 5, 9), "1970-01-01T00:00:01.000000005Z");
}

static void offsets_and_fractions(void **state)
{
	int64_t sec;
	int32_t nsec;
	assert_true(time_parse(S("1970-01-01T02:00:00.5+02:00"), &sec, &nsec));
	assert_int_equal(sec, 0);
	assert_int_equal(nsec, 500000000);
	assert_true(time_parse(S("1969-12-31T23:30:00-00:30"), &sec, &nsec));
	assert_int_equal(sec, 0);
	assert_true(time_parse(S("1970-01-01T00:00:00.1234567891234Z"), &sec, &nsec));
	assert_int_equal(nsec, 123456789);
}

static void refuses(void **state)
{
	static const char *const bad[] = { "",
		                           "1970-01-01",
		                           "1970-01-01T00:00:00",
		                           "1970-13-01T00:00:00Z",
		                           "1970-02-29T00:00:00Z",
		                           "1970-01-01T24:00:00Z",
		                           "1970-01-01T00:60:00Z",
		                           "1970-01-01 00:00:00Z",
		                           "1970-01-01T00:00:00.Z",
		                           "1970-01-01T00:00:00Zx",
		                           "1970-01-01T00:00:00+0200",
		                           "1970-01-01T00:00:00+24:00",
		                           "x970-01-01T00:00:00Z",
		                           "1970-00-01T00:00:00Z" };
	int64_t sec;
	int32_t nsec;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(time_parse(str_c(bad[i]), &sec, &nsec));
}

static int64_t fake_now(const struct clock *c)
{
	return *(int64_t *)c->ctx;
}

static void fake_sleep(const struct clock *c, int64_t ns)
{
	*(int64_t *)c->ctx += ns;
}

static void clocks_are_passed_in(void **state)
{
	int64_t now = 42;
	const struct clock c = { .wall = fake_now, .mono = fake_now, .sleep = fake_sleep, .ctx = &now };
	clock_sleep(&c, 8);
	assert_int_equal(clock_wall(&c), 50);
	assert_int_equal(clock_mono(&c), 50);
	int64_t before = clock_mono(NULL);
	clock_sleep(NULL, NS_PER_MS);
	assert_true(clock_mono(NULL) - before >= NS_PER_MS);
	assert_true(clock_wall(NULL) > INT64_C(1600000000) * NS_PER_SEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways),
		cmocka_unit_test(offsets_and_fractions),
		cmocka_unit_test(refuses),
		cmocka_unit_test(clocks_are_passed_in),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
