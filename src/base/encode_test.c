#include "base/encode.h"
#include "base/test.h"

static void base64(void **state)
{
	static const char *const pairs[][2] = { { "", "" },        { "f", "Zg==" },          { "fo", "Zm8=" },
		                                { "foo", "Zm9v" }, { "foobar", "Zm9vYmFy" }, { "\xfb\xff", "+/8=" } };
	_cleanup_arena_ struct arena *a = arena_new(0);
	str out;
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		assert_text(base64_encode(a, str_c(pairs[i][0])), pairs[i][1]);
		assert_true(base64_decode(a, str_c(pairs[i][1]), &out));
		assert_text(out, pairs[i][0]);
	}
	assert_text(base64url_encode(a, S("\xfb\xff")), "-_8");
	assert_true(base64url_decode(a, S("-_8"), &out));
	assert_text(out, "\xfb\xff");
	assert_true(base64_decode(a, S("Zm9v\r\nYmFy\n"), &out));
	assert_text(out, "foobar");
	static const char *const bad[] = { "Z", "Zg", "Zg=", "Zg===", "Zm9v=", "Z*==", "=Zg=", "Zm 9v", "-_8=" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(base64_decode(a, str_c(bad[i]), &out));
	assert_false(base64url_decode(a, S("+/8"), &out));
	assert_false(base64url_decode(a, S("Zg=="), &out));
}

static void hex(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	str out;
	assert_text(hex_encode(a, str_n("\x00\xff\x1a", 3)), "00ff1a");
	assert_true(hex_decode(a, S("00fF1A"), &out));
	assert_str_equal(out, str_n("\x00\xff\x1a", 3));
	assert_false(hex_decode(a, S("0"), &out));
	assert_false(hex_decode(a, S("0g"), &out));
}

static void percent(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	str out;
	assert_text(percent_encode(a, S("a-b_c.d~/ \xe2")), "a-b_c.d~%2F%20%E2");
	assert_true(percent_decode(a, S("a%2Fb+c"), false, &out));
	assert_text(out, "a/b+c");
	assert_true(percent_decode(a, S("a%2fb+c"), true, &out));
	assert_text(out, "a/b c");
	static const char *const bad[] = { "%", "%2", "%2g", "a%" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(percent_decode(a, str_c(bad[i]), false, &out));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(base64), cmocka_unit_test(hex),
		                            cmocka_unit_test(percent) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
