#include "base/test.h"

static void compares(void **state)
{
	assert_true(str_cmp(S("a"), S("b")) < 0);
	assert_true(str_cmp(S("a"), S("ab")) < 0);
	assert_true(str_cmp(S("ab"), S("a")) > 0);
	assert_int_equal(str_cmp(S(""), (str){ NULL, 0 }), 0);
	assert_true(str_cmp(S("\xff"), S("a")) > 0); // bytes are unsigned
	assert_true(str_eq(S(""), (str){ NULL, 0 }));
	assert_false(str_eq(S("a"), S("b")));
	assert_true(str_eq_nocase(S("Content-Type"), S("content-tYPE")));
	assert_false(str_eq_nocase(S("a"), S("ab")));
	assert_false(str_eq_nocase(S("@"), S("`"))); // not letters, though 32 apart
}

static void finds(void **state)
{
	assert_int_equal(str_find(S("hello"), S("l")), 2);
	assert_int_equal(str_find(S("hello"), S("")), 0);
	assert_int_equal(str_find(S("hello"), S("hellos")), -1);
	assert_int_equal(str_find_char(S("a/b/c"), '/'), 1);
	assert_int_equal(str_rfind_char(S("a/b/c"), '/'), 3);
	assert_int_equal(str_find_char((str){ NULL, 0 }, '/'), -1);
	assert_true(str_contains(S("abc"), S("bc")));
	assert_true(str_has_prefix(S("abc"), S("ab")));
	assert_true(str_has_prefix(S(""), S("")));
	assert_false(str_has_suffix(S("bc"), S("abc")));
}

static void cuts(void **state)
{
	assert_text(str_sub(S("hello"), 1, 3), "el");
	assert_text(str_sub(S("hello"), 4, 99), "o");
	assert_text(str_sub(S("hello"), 9, 2), "");
	assert_text(str_trim(S(" \t a b\r\n")), "a b");
	assert_text(str_trim(S("  ")), "");
	str s = S("prefix-body");
	assert_true(str_cut_prefix(&s, S("prefix-")));
	assert_text(s, "body");
	assert_false(str_cut_suffix(&s, S("x")));
	assert_true(str_cut_suffix(&s, S("dy")));
	assert_text(s, "bo");
}

static void splits(void **state)
{
	str before, after, rest, part;
	assert_true(str_split(S("k=v=w"), '=', &before, &after));
	assert_text(before, "k");
	assert_text(after, "v=w");
	assert_false(str_split(S("kv"), '=', &before, &after));
	assert_text(before, "kv");
	static const struct {
		str text;
		size_t parts;
	} cases[] = {
		{ S_INIT("a,,b"), 3 }, { S_INIT(""), 1 }, { S_INIT(","), 2 }, { S_INIT("a"), 1 }, { { NULL, 0 }, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t n = 0;
		for (rest = cases[i].text; str_next(&rest, ',', &part);)
			n++;
		assert_int_equal(n, cases[i].parts);
	}
}

static void numbers(void **state)
{
	int64_t i;
	uint64_t u;
	assert_true(str_to_i64(S("-9223372036854775808"), &i));
	assert_true(i == INT64_MIN);
	assert_true(str_to_i64(S("9223372036854775807"), &i));
	assert_true(i == INT64_MAX);
	assert_false(str_to_i64(S("9223372036854775808"), &i));
	assert_true(str_to_i64(S("+7"), &i));
	assert_int_equal(i, 7);
	static const char *const bad[] = { "", "-", "+", "--1", "1 ", "0x1", "1.0", "-9223372036854775809" };
	for (size_t k = 0; k < ARRAY_LEN(bad); k++)
		assert_false(str_to_i64(str_c(bad[k]), &i));
	assert_true(str_to_u64(S("18446744073709551615"), &u));
	assert_true(u == UINT64_MAX);
	assert_false(str_to_u64(S("18446744073709551616"), &u));
	assert_false(str_to_u64(S("-1"), &u));
}

static void utf8(void **state)
{
	static const char *const good[] = {
		"", "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"
	};
	static const char *const bad[] = { "\x80",         "\xc3",         "\xc0\x80",         "\xc1\xbf",
		                           "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
		                           "\xff",         "\xe2\x82",     "\xe2\x28\xa1",     "\xf0\x82\x82\xac" };
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(str_utf8_valid(str_c(good[i])));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(str_utf8_valid(str_c(bad[i])));
}

static void hashes(void **state)
{
	assert_true(str_hash(S("a")) != str_hash(S("b")));
	assert_true(str_hash(S("")) == str_hash((str){ NULL, 0 }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compares), cmocka_unit_test(finds), cmocka_unit_test(cuts),   cmocka_unit_test(splits),
		cmocka_unit_test(numbers),  cmocka_unit_test(utf8),  cmocka_unit_test(hashes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
