#include "schema/gotime.h"

#include "schema/test_util.h"

#define LAYOUT "2006-01-02T15:04:05Z07:00"
#define MICRO "2006-01-02T15:04:05.000000Z07:00"

static void reads(const char *text, bool micro, int64_t sec, int32_t nsec, const char *printed)
{
	struct error err = { 0 };
	struct api_time t;
	if (!api_time_parse(str_c(text), micro, &t, &err))
		fail_msg("%s: %s", text, err.text);
	assert_int_equal(t.sec, sec);
	assert_int_equal(t.nsec, nsec);
	char out[40];
	assert_text(str_n(out, api_time_format(t, micro, out)), printed);
}

static void refuses(const char *text, bool micro, const char *want)
{
	struct error err = { 0 };
	struct api_time t;
	assert_false(api_time_parse(str_c(text), micro, &t, &err));
	assert_text(error_str(&err), want);
}

static void test_times(void **state)
{
	(void)state;
	reads("1970-01-01T00:00:00Z", false, 0, 0, "1970-01-01T00:00:00Z");
	reads("2024-02-29T23:59:59Z", false, 1709251199, 0, "2024-02-29T23:59:59Z");
	reads("2024-02-29T23:59:59.25Z", false, 1709251199, 250000000, "2024-02-29T23:59:59Z");
	reads("2024-03-01T01:59:59+02:00", false, 1709251199, 0, "2024-02-29T23:59:59Z");
	reads("2024-02-29T18:29:59-05:30", false, 1709251199, 0, "2024-02-29T23:59:59Z");
	reads("0001-01-01T00:00:01Z", false, INT64_C(-62135596799), 0, "0001-01-01T00:00:01Z");
	reads("9999-12-31T23:59:59Z", false, INT64_C(253402300799), 0, "9999-12-31T23:59:59Z");
	reads("1969-12-31T23:59:59Z", false, -1, 0, "1969-12-31T23:59:59Z");
	reads("2024-01-02T03:04:05.123456Z", true, 1704164645, 123456000, "2024-01-02T03:04:05.123456Z");
	// Every day of four centuries, there and back.
	for (int64_t day = -146097; day < 146097; day += 7) {
		struct api_time t = { day * 86400 + 3723, 0, true }, back;
		char out[40];
		struct error err = { 0 };
		assert_true(api_time_parse(str_n(out, api_time_format(t, false, out)), false, &back, &err));
		assert_int_equal(back.sec, t.sec);
	}
	struct api_time zero;
	struct error err = { 0 };
	assert_true(api_time_parse(S("0001-01-01T00:00:00Z"), false, &zero, &err));
	assert_false(zero.set);
	refuses("yesterday", false,
	        "parsing time \"yesterday\" as \"" LAYOUT "\": cannot parse \"yesterday\" as \"2006\"");
	refuses("", false, "parsing time \"\" as \"" LAYOUT "\": cannot parse \"\" as \"2006\"");
	refuses("2024", false, "parsing time \"2024\" as \"" LAYOUT "\": cannot parse \"\" as \"-\"");
	refuses("2024-1-01T00:00:00Z", false,
	        "parsing time \"2024-1-01T00:00:00Z\" as \"" LAYOUT "\": cannot parse \"1-01T00:00:00Z\" as \"01\"");
	refuses("2024-13-01T00:00:00Z", false, "parsing time \"2024-13-01T00:00:00Z\": month out of range");
	refuses("2023-02-29T00:00:00Z", false, "parsing time \"2023-02-29T00:00:00Z\": day out of range");
	refuses("2024-01-01T24:00:00Z", false, "parsing time \"2024-01-01T24:00:00Z\": hour out of range");
	refuses("2024-01-01 00:00:00Z", false,
	        "parsing time \"2024-01-01 00:00:00Z\" as \"" LAYOUT "\": cannot parse \" 00:00:00Z\" as \"T\"");
	refuses("2024-01-01T00:00:00", false,
	        "parsing time \"2024-01-01T00:00:00\" as \"" LAYOUT "\": cannot parse \"\" as \"Z07:00\"");
	refuses("2024-01-01T00:00:00Zx", false, "parsing time \"2024-01-01T00:00:00Zx\": extra text: \"x\"");
	refuses("2024-01-01T00:00:00Z", true,
	        "parsing time \"2024-01-01T00:00:00Z\" as \"" MICRO "\": cannot parse \"Z\" as \".000000\"");
	assert_true(api_time_cmp((struct api_time){ 1, 0, true }, (struct api_time){ 1, 5, true }) < 0);
	assert_true(api_time_cmp((struct api_time){ 0 }, (struct api_time){ -5, 0, true }) < 0);
	assert_true(api_time_cmp((struct api_time){ 9, 9, false }, (struct api_time){ 0 }) == 0);
}

static void duration(const char *text, int64_t ns, const char *printed)
{
	struct error err = { 0 };
	int64_t got;
	if (!duration_parse(str_c(text), &got, &err))
		fail_msg("%s", err.text);
	assert_int_equal(got, ns);
	char out[40];
	assert_text(str_n(out, duration_format(ns, out)), printed);
}

static void no_duration(const char *text, const char *want)
{
	struct error err = { 0 };
	int64_t got;
	assert_false(duration_parse(str_c(text), &got, &err));
	assert_text(error_str(&err), want);
}

static void test_durations(void **state)
{
	(void)state;
	const int64_t s = 1000000000;
	duration("0", 0, "0s");
	duration("90s", 90 * s, "1m30s");
	duration("1h", 3600 * s, "1h0m0s");
	duration("1h15m30.918s", 4530 * s + 918000000, "1h15m30.918s");
	duration("-1.5h", -5400 * s, "-1h30m0s");
	duration("100ms", s / 10, "100ms");
	duration("1.5us", 1500, "1.5\xc2\xb5s");
	duration("1\xc2\xb5s", 1000, "1\xc2\xb5s");
	duration("1.000000001s", s + 1, "1.000000001s");
	duration("5ns", 5, "5ns");
	duration(".5s", s / 2, "500ms");
	duration("9223372036854775807ns", INT64_MAX, "2562047h47m16.854775807s");
	duration("-9223372036854775808ns", INT64_MIN, "-2562047h47m16.854775808s");
	no_duration("", "time: invalid duration \"\"");
	no_duration("3", "time: missing unit in duration \"3\"");
	no_duration("3d", "time: unknown unit \"d\" in duration \"3d\"");
	no_duration(".", "time: invalid duration \".\"");
	no_duration("9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\"");
	no_duration("1h-5m", "time: unknown unit \"h-\" in duration \"1h-5m\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_times), cmocka_unit_test(test_durations) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
