#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "object/selector.h"

static struct str_map labels(struct str_entry *e, size_t n) { return (struct str_map){ e, n }; }

static void parses_and_prints(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	static const char *const cases[][2] = {
		{ "", "" }, { "a=b", "a=b" }, { "a==b", "a=b" }, { "x in (c,a,b),y!=z", "x in (a,b,c),y!=z" }, { "!h", "!h" }, { "h", "h" },
		{ "x in ()", "x in ()" }, { "x in (,a)", "x in (,a)" }, { "x>5,y<3", "x>5,y<3" }, { "value in (in)", "value in (in)" },
		{ "z=1, a = 2", "a=2,z=1" }, { "x=", "x=" }, { "x=,z= ", "x=,z=" }, { "example.com/a notin (b)", "example.com/a notin (b)" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct selector s;
		struct error err = { 0 };
		assert_true(selector_parse(a, str_c(cases[i][0]), &s, &err));
		assert_string_equal(arena_cstr(a, selector_text(a, &s)), cases[i][1]);
	}
}

static void refuses_in_words(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	static const char *const cases[][2] = {
		{ ",", "found ',', expected: !, identifier, or 'end of string'" },
		{ "x=a,", "found '', expected: identifier after ','" },
		{ "x in a", "unable to parse requirement: found 'a' expected: '('" },
		{ "x in (a", "unable to parse requirement: found '', expected: ',' or ')'" },
		{ "x=a b", "found 'b', expected: ',' or 'end of string'" },
		{ "x y", "unable to parse requirement: found 'y', expected: in, notin, =, ==, !=, gt, lt" },
		{ "x>a", "unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value must be an integer" },
		{ "a/b/c=d", "unable to parse requirement: <nil>: Invalid value: \"a/b/c\": a valid label key must consist of alphanumeric characters, "
		             "'-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', "
		             "regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' "
		             "(e.g. 'example.com/MyName')" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct selector s;
		struct error err = { 0 };
		assert_false(selector_parse(a, str_c(cases[i][0]), &s, &err));
		assert_string_equal(err.text, cases[i][1]);
	}
}

static void matches(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct str_entry e[] = { { S("a"), S("b") }, { S("n"), S("7") } };
	struct str_map l = labels(e, 2);
	static const struct { const char *text; bool want; } cases[] = {
		{ "", true }, { "a=b", true }, { "a=c", false }, { "a!=c", true }, { "x!=c", true }, { "x", false }, { "!x", true }, { "a in (b,c)", true },
		{ "a notin (b)", false }, { "n>6", true }, { "n<7", false }, { "a>1", false }, { "a=b,n=8", false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct selector s;
		struct error err = { 0 };
		assert_true(selector_parse(a, str_c(cases[i].text), &s, &err));
		assert_int_equal(selector_matches(&s, &l), cases[i].want);
	}
	struct selector nothing;
	struct error err = { 0 };
	assert_true(selector_from_label_selector(a, NULL, &nothing, &err));
	assert_false(selector_matches(&nothing, &l));
}

static void fields(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct field_selector f;
	struct error err = { 0 };
	assert_true(field_selector_parse(a, S("metadata.name=x,status.phase!=Running,a==b\\,c\\=d"), &f, &err));
	assert_int_equal(f.n, 3);
	assert_true(str_eq(f.v[0].path, S("a")) && str_eq(f.v[0].value, S("b,c=d")));
	assert_true(str_eq(f.v[2].path, S("status.phase")) && f.v[2].not_equal);
	assert_false(field_selector_parse(a, S("abc"), &f, &err));
	assert_string_equal(err.text, "invalid selector: 'abc'; can't understand 'abc'");
	assert_false(field_selector_parse(a, S("a=b\\"), &f, &err));
	assert_string_equal(err.text, "invalid field selector: invalid escape sequence: \\");
	assert_true(field_selector_parse(a, S(""), &f, &err));
	assert_int_equal(f.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_and_prints), cmocka_unit_test(refuses_in_words), cmocka_unit_test(matches), cmocka_unit_test(fields),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
