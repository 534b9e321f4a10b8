#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "object/names.h"

static size_t complaints(void (*f)(struct arena *, str, struct str_list *), const char *s)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct str_list why = { 0 };
	f(a, str_c(s), &why);
	return why.n;
}

static void names(void **state)
{
	assert_int_equal(complaints(name_is_dns1123_label, "web-0"), 0);
	assert_int_equal(complaints(name_is_dns1123_label, "web_0"), 1);
	assert_int_equal(complaints(name_is_dns1123_label, "a.b"), 1);
	assert_int_equal(complaints(name_is_dns1123_label, ""), 1);
	assert_int_equal(complaints(name_is_dns1123_subdomain, "a.b-c.d"), 0);
	assert_int_equal(complaints(name_is_dns1123_subdomain, "a..b"), 1);
	assert_int_equal(complaints(name_is_dns1123_subdomain, "a."), 1);
	assert_int_equal(complaints(name_is_dns1035_label, "0a"), 1);
	assert_int_equal(complaints(name_is_qualified, "example.com/Name_1"), 0);
	assert_int_equal(complaints(name_is_qualified, "/x"), 1);
	assert_int_equal(complaints(name_is_qualified, "a/"), 2);
	assert_int_equal(complaints(name_is_label_value, ""), 0);
	assert_int_equal(complaints(name_is_label_value, "-"), 1);
	assert_int_equal(complaints(name_is_port_name, "http"), 0);
	assert_int_equal(complaints(name_is_port_name, "-1-"), 2);
	assert_int_equal(complaints(name_is_config_key, "..x"), 1);
	assert_int_equal(complaints(name_is_wildcard_subdomain, "*.a.b"), 0);
	assert_int_equal(complaints(name_is_wildcard_subdomain, "*a.b"), 1);
}

static void words(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct str_list why = { 0 };
	name_is_dns1123_label(a, S("A"), &why);
	assert_string_equal(arena_cstr(a, why.v[0]), "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
	                    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
	                    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')");
	assert_string_equal(arena_cstr(a, go_quote(a, S("a\"b\n"))), "\"a\\\"b\\n\"");
}

static void addresses(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	unsigned char b[16];
	bool v6;
	int bits;
	assert_true(ip_parse(S("10.0.0.1"), b, &v6) && !v6 && b[3] == 1);
	assert_true(ip_parse(S("010.0.0.1"), b, &v6) && b[0] == 10);
	assert_false(ip_parse(S("10.0.0"), b, &v6));
	assert_false(ip_parse(S("10.0.0.256"), b, &v6));
	assert_true(ip_parse(S("2001:db8::1"), b, &v6) && v6);
	assert_true(cidr_parse(S("10.0.0.0/8"), b, &v6, &bits) && bits == 8);
	assert_false(cidr_parse(S("10.0.0.0/33"), b, &v6, &bits));
	assert_false(ip_is_canonical(a, S("2001:DB8::1")));
	assert_true(ip_is_canonical(a, S("2001:db8::1")));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(names), cmocka_unit_test(words), cmocka_unit_test(addresses) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
