#include "base/buf.h"
#include "base/test.h"

static void appends(void **state)
{
	_cleanup_buf_ struct buf b = { 0 };
	assert_text(buf_str(&b), "");
	buf_add(&b, S("abc"));
	buf_add(&b, (str){ NULL, 0 });
	buf_add_char(&b, '-');
	buf_printf(&b, "%s/%d", "x", 5);
	assert_text(buf_str(&b), "abc-x/5");
	buf_clear(&b);
	buf_add_i64(&b, INT64_MIN);
	buf_add_char(&b, ' ');
	buf_add_i64(&b, INT64_MAX);
	buf_add_char(&b, ' ');
	buf_add_i64(&b, 0);
	assert_text(buf_str(&b), "-9223372036854775808 9223372036854775807 0");
}

static void grows_and_consumes(void **state)
{
	_cleanup_buf_ struct buf b = { 0 };
	for (int i = 0; i < 100000; i++)
		buf_add_char(&b, (char)('a' + i % 26));
	assert_int_equal(b.n, 100000);
	for (int i = 0; i < 100000; i++)
		assert_int_equal(b.p[i], 'a' + i % 26);
	buf_consume(&b, 99999);
	assert_int_equal(b.n, 1);
	assert_int_equal(b.p[0], 'a' + 99999 % 26);
	buf_consume(&b, 50);
	assert_int_equal(b.n, 0);
	memcpy(buf_reserve(&b, 3), "xyz", 3);
	b.n += 3;
	assert_text(buf_str(&b), "xyz");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(appends), cmocka_unit_test(grows_and_consumes) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
