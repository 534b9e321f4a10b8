#include <errno.h>

#include "base/test.h"

static void sets_and_wraps(void **state)
{
	struct error err = { 0 };
	assert_false(error_api(&err, 404, "NotFound", "pods \"%s\" not found", "x"));
	assert_int_equal(err.code, 404);
	assert_true(error_is(&err, "NotFound"));
	assert_false(error_is(&err, "Conflict"));
	assert_false(error_wrap(&err, "sync %s", "a/b"));
	assert_string_equal(err.text, "sync a/b: pods \"x\" not found");
	assert_int_equal(err.code, 404);
	error_set(&err, "plain");
	assert_int_equal(err.code, 500);
	assert_true(error_is(&err, "InternalError"));
	errno = ENOENT;
	error_errno(&err, "open %s", "f");
	assert_string_equal(err.text, "open f: No such file or directory");
	assert_int_equal(err.sys, ENOENT);
	assert_false(error_is(&(struct error){ 0 }, "NotFound"));
}

static void long_text_is_cut_at_a_character(void **state)
{
	struct error err = { 0 };
	char text[3000];
	for (size_t shift = 0; shift < 3; shift++) {
		memset(text, 'x', shift);
		for (size_t i = shift; i + 3 < sizeof(text); i += 3)
			memcpy(text + i, "\xe2\x82\xac", 3);
		text[2990 + shift] = 0;
		error_set(&err, "%s", text);
		assert_true(strlen(err.text) < sizeof(err.text));
		assert_true(strlen(err.text) > sizeof(err.text) - 8);
		assert_true(str_utf8_valid(error_str(&err)));
		error_wrap(&err, "%s", text);
		assert_true(str_utf8_valid(error_str(&err)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(sets_and_wraps),
		                            cmocka_unit_test(long_text_is_cut_at_a_character) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
