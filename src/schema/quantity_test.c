#include "schema/quantity.h"

#include "schema/test_util.h"

static str canonical(struct arena *a, const char *text)
{
	struct quantity q;
	struct error err = { 0 };
	if (!quantity_canonical(a, str_c(text), &q, &err))
		fail_msg("%s: %s", text, err.text);
	return q.s;
}

static struct quantity q(struct arena *a, const char *text)
{
	return (struct quantity){ canonical(a, text) };
}

static void test_canonical(void **state)
{
	(void)state;
	static const char *const table[][2] = {
		// canonical already
		{ "1Gi", "1Gi" },
		{ "300Mi", "300Mi" },
		{ "6Ki", "6Ki" },
		{ "1001Gi", "1001Gi" },
		{ "1Ti", "1Ti" },
		{ "5", "5" },
		{ "500m", "500m" },
		{ "1G", "1G" },
		{ "80m", "80m" },
		{ "1080m", "1080m" },
		{ "1234567M", "1234567M" },
		{ "3k", "3k" },
		{ "1025", "1025" },
		{ "0", "0" },
		{ "1e9", "1e9" },
		{ "1e-3", "1e-3" },
		{ "1e-9", "1e-9" },
		{ "80e-3", "80e-3" },
		{ "1n", "1n" },
		{ "1080u", "1080u" },
		{ "3Ei", "3Ei" },
		{ "1E", "1E" },
		// other ways to write them
		{ "1024Mi", "1Gi" },
		{ "307200Ki", "300Mi" },
		{ "1025024Mi", "1001Gi" },
		{ "1024Gi", "1Ti" },
		{ "5000m", "5" },
		{ "0.5", "500m" },
		{ "1000M", "1G" },
		{ "0.001T", "1G" },
		{ "1000u", "1m" },
		{ "1.08", "1080m" },
		{ "1080000000n", "1080m" },
		{ ".001e12", "1e9" },
		{ "0.001e0", "1e-3" },
		{ "1000e-12", "1e-9" },
		{ "00", "0" },
		{ "-0", "0" },
		{ "1E-3", "1E-3" },
		{ "1e14", "100e12" },
		{ "1e13", "10e12" },
		{ "1.7E18", "1700e15" },
		{ "1.3E+6", "1300e3" },
		{ "50k", "50k" },
		{ "100.035k", "100.035k" },
		{ "0.5Mi", "512Ki" },
		{ "0.05Gi", "53687091200m" },
		{ "100.035Ki", "102435840m" },
		{ "1.", "1." },
		{ "1.G", "1.G" },
		{ ".0001k", "100m" },
		{ "8Ki", "8Ki" },
		{ "8192", "8192" },
		// rounded up to nano, or capped
		{ ".001Ki", "1024m" },
		{ ".000001Ki", "1024u" },
		{ ".000000001Ki", "1024n" },
		{ ".000000000001Ki", "2n" },
		{ "3.001n", "4n" },
		{ "1.1E-9", "2e-9" },
		{ "0.9n", "1n" },
		{ "0.00000012345", "124n" },
		{ "9Ei", "9223372036854775807" },
		{ "9223372036854775807Ki", "9223372036854775807" },
		{ "12E", "12E" },
		{ "1e-400", "1e-9" },
		// kept though not canonical, as upstream does
		{ "1.500", "1.500" },
		{ "+5", "+5" },
		{ "05", "05" },
		{ "007k", "007k" },
		// beyond 64 bits
		{ "12345678901234567890", "12345678901234567890" },
		{ "100000000000000000000", "100E" },
		{ "1000E", "1000E" },
		{ "12345678901234567890123000E", "12345678901234567890123000E" },
		{ "1e30", "1e30" },
		{ "0.1234567890123456789", "123456790n" },
	};
	_cleanup_arena_ struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		assert_text(canonical(a, table[i][0]), table[i][1]);
		// What is printed reads back as the same quantity.
		assert_int_equal(quantity_cmp(q(a, table[i][0]), q(a, table[i][1])), 0);
	}
}

static void test_invalid(void **state)
{
	(void)state;
	static const char *const table[] = { "",       "1.1.M",   "1+1.0M", "0.1mi",
		                             "0.1am",  "aoeu",    ".5i",    "1i",
		                             "-3.01i", "-3.01e-", " 1",     "1 ",
		                             "1Kib",   "1e",      "--1",    "1e99999999999999999999",
		                             "0x10",   "\xff" };
	_cleanup_arena_ struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct quantity out;
		struct error err = { 0 };
		if (quantity_canonical(a, str_c(table[i]), &out, &err))
			fail_msg("'%s' is accepted", table[i]);
		assert_int_equal(err.code, 400);
	}
	struct error err = { 0 };
	struct quantity out;
	assert_false(quantity_canonical(a, S("0.1mi"), &out, &err));
	assert_text(error_str(&err), "unable to parse quantity's suffix");
	assert_false(quantity_canonical(a, S("aoeu"), &out, &err));
	assert_text(error_str(&err),
	            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
	// Longer than any number that counts something.
	char digits[400];
	memset(digits, '9', sizeof(digits));
	assert_false(quantity_canonical(a, str_n(digits, 400), &out, &err));
	assert_false(quantity_canonical(a, str_n(digits, 60), &out, &err));
	assert_text(error_str(&err), "unable to parse numeric part of quantity");
}

static void test_values(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t value, milli;
	} table[] = {
		{ "0", 0, 0 },
		{ "100m", 1, 100 },
		{ "1", 1, 1000 },
		{ "1500m", 2, 1500 },
		{ "-1500m", -2, -1500 },
		{ "1n", 1, 1 },
		{ "1k", 1000, 1000000 },
		{ "1Ki", 1024, 1024000 },
		{ "1.1", 2, 1100 },
		{ "10E", INT64_MAX, INT64_MAX },
		{ "-10E", -INT64_MAX, -INT64_MAX },
		{ "9223372036854775807", INT64_MAX, INT64_MAX },
		{ "1e3", 1000, 1000000 },
		{ "1e2000000000", INT64_MAX, INT64_MAX },
	};
	_cleanup_arena_ struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		assert_int_equal(quantity_value(q(a, table[i].text)), table[i].value);
		assert_int_equal(quantity_milli(q(a, table[i].text)), table[i].milli);
	}
	assert_int_equal(quantity_value((struct quantity){ 0 }), 0);
	assert_true(quantity_double(q(a, "1500m")) == 1.5);
	assert_int_equal(quantity_sign(q(a, "-1m")), -1);
	assert_true(quantity_is_zero(q(a, "0Ki")));
	assert_true(quantity_is_zero((struct quantity){ 0 }));
}

static void test_cmp(void **state)
{
	(void)state;
	// In ascending order.
	static const char *const table[] = { "-1e3000", "-100E",
		                             "-1Gi",    "-1",
		                             "-1n",     "0",
		                             "1n",      "1u",
		                             "999u",    "1m",
		                             "0.5",     "1",
		                             "1001m",   "1k",
		                             "1Ki",     "1M",
		                             "1Mi",     "9223372036854775807",
		                             "10E",     "12345678901234567890123",
		                             "1e3000" };
	_cleanup_arena_ struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		for (size_t k = 0; k < ARRAY_LEN(table); k++)
			assert_int_equal(quantity_cmp(q(a, table[i]), q(a, table[k])), i < k ? -1 : i > k);
	assert_int_equal(quantity_cmp(q(a, "1024Mi"), q(a, "1Gi")), 0);
	assert_int_equal(quantity_cmp(q(a, "1000m"), (struct quantity){ S("1") }), 0);
	assert_int_equal(quantity_cmp((struct quantity){ 0 }, (struct quantity){ S("0") }), 0);
}

static void sums(const char *x, const char *y, const char *sum, const char *difference)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	assert_text(quantity_add(a, q(a, x), q(a, y)).s, sum);
	assert_text(quantity_sub(a, q(a, x), q(a, y)).s, difference);
}

static void test_arithmetic(void **state)
{
	(void)state;
	sums("10", "10", "20", "0");
	sums("100m", "1", "1100m", "-900m");
	sums("1Gi", "1Gi", "2Gi", "0");
	sums("1Gi", "512Mi", "1536Mi", "512Mi");
	sums("1Gi", "500m", "1073741824500m", "1073741823500m");
	sums("0", "1Ki", "1Ki", "-1Ki"); // zero takes the other's format
	sums("1k", "1Ki", "2024", "-24");
	sums("1e3", "1", "1001", "999");
	sums("12E", "12E", "24E", "0");
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct quantity total = { 0 };
	uint64_t seed = 1;
	for (int i = 0; i < 400; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		struct quantity part = { arena_printf(a, "%llue%d", (unsigned long long)(seed >> 30),
			                              (int)(seed % 19) - 9) };
		total = quantity_add(a, total, q(a, arena_cstr(a, part.s)));
	}
	seed = 1;
	for (int i = 0; i < 400; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		struct quantity part = { arena_printf(a, "%llue%d", (unsigned long long)(seed >> 30),
			                              (int)(seed % 19) - 9) };
		total = quantity_sub(a, total, q(a, arena_cstr(a, part.s)));
	}
	assert_true(quantity_is_zero(total));
	assert_text(quantity_of(a, 1073741824, true).s, "1Gi");
	assert_text(quantity_of(a, 1000, false).s, "1k");
	assert_text(quantity_of(a, 512, true).s, "512");
	assert_text(quantity_of_milli(a, 1500).s, "1500m");
	assert_text(quantity_of_milli(a, INT64_MIN).s, "-9223372036854775808m");
}

static void test_map(void **state)
{
	(void)state;
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct quantity_map m = { 0 };
	struct quantity v;
	quantity_map_set(a, &m, S("memory"), q(a, "1Gi"));
	quantity_map_set(a, &m, S("cpu"), q(a, "1"));
	quantity_map_set(a, &m, S("cpu"), q(a, "2"));
	assert_int_equal(m.n, 2);
	assert_text(m.v[0].key, "cpu");
	assert_true(quantity_map_get(&m, S("cpu"), &v));
	assert_text(v.s, "2");
	assert_false(quantity_map_get(&m, S("pods"), &v));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_canonical),  cmocka_unit_test(test_invalid),
		                            cmocka_unit_test(test_values),     cmocka_unit_test(test_cmp),
		                            cmocka_unit_test(test_arithmetic), cmocka_unit_test(test_map) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
