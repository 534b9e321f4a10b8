#include "json/json.h"

#include <math.h>
#include <stdlib.h>

#include "base/test.h"

static struct value *must(struct arena *a, const char *text)
{
	struct error err = { 0 };
	struct value *v = json_parse(a, str_c(text), NULL, &err);
	if (!v)
		print_error("%s: %s\n", text, err.text);
	assert_non_null(v);
	return v;
}

// Texts that come back as they are, or as the second text.
static void round_trips(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "null", NULL },
		{ "true", NULL },
		{ "false", NULL },
		{ "0", NULL },
		{ "-0", "0" },
		{ "-17", NULL },
		{ "9223372036854775807", NULL },
		{ "-9223372036854775808", NULL },
		{ "9223372036854775808", "9223372036854776000" },
		{ "1.5", NULL },
		{ "1e3", "1000" },
		{ "1E-7", "1e-7" },
		{ "1e21", "1e+21" },
		{ "1e20", "100000000000000000000" },
		{ "0.000001", NULL },
		{ "0.1", NULL },
		{ "-2.50", "-2.5" },
		{ "5e-324", NULL },
		{ "1.7976931348623157e308", "1.7976931348623157e+308" },
		{ "123456789.125", NULL },
		{ "0.30000000000000004", NULL },
		{ "[]", NULL },
		{ "{}", NULL },
		{ " [ 1 , [ ] , { } ] ", "[1,[],{}]" },
		{ "{\"a\":{\"b\":[1,2,{\"c\":null}]}}", NULL },
		{ "{\"b\":1,\"a\":2}", NULL },
		{ "{\"\":\"\"}", NULL },
		{ "\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"", "\"A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"" },
		{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\"" },
		{ "\"\\u0000\\u001f\\u007f\"", "\"\\u0000\\u001f\x7f\"" },
		{ "\"\\ud800\"", "\"\xef\xbf\xbd\"" },
		{ "\"\\ud800\\u0041\"", "\"\xef\xbf\xbd"
		                        "A\"" },
		{ "\"\\udc00x\"", "\"\xef\xbf\xbdx\"" },
		{ "\"a\xff\xfe"
		  "b\"",
		  "\"a\xef\xbf\xbd\xef\xbf\xbd"
		  "b\"" },
		{ "\"\\n\xff\"", "\"\\n\xef\xbf\xbd\"" },
		{ "\"\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa\"", "\"\\u2028\\u2029\xe2\x80\xaa\"" },
		{ "\"0123456789abcdef0123456789abcdef\\u00e9!\"", "\"0123456789abcdef0123456789abcdef\xc3\xa9!\"" },
		{ "{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":3,\"b\":2}" },
	};
	_cleanup_arena_ struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_text(json_text(a, must(a, cases[i].in), JSON_COMPACT),
		            cases[i].out ? cases[i].out : cases[i].in);
}

static void errors_in_the_words_of_go(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "", "unexpected end of JSON input" },
		{ " ", "unexpected end of JSON input" },
		{ "{", "unexpected end of JSON input" },
		{ "{\"a\"", "unexpected end of JSON input" },
		{ "{\"a\":", "unexpected end of JSON input" },
		{ "{\"a\":1", "unexpected end of JSON input" },
		{ "[1,", "unexpected end of JSON input" },
		{ "\"abc", "unexpected end of JSON input" },
		{ "\"abc\\", "unexpected end of JSON input" },
		{ "\"\\u12", "unexpected end of JSON input" },
		{ "tru", "unexpected end of JSON input" },
		{ "-", "unexpected end of JSON input" },
		{ "1.", "unexpected end of JSON input" },
		{ "1e", "unexpected end of JSON input" },
		{ "x", "invalid character 'x' looking for beginning of value" },
		{ "[1,]", "invalid character ']' looking for beginning of value" },
		{ "{,}", "invalid character ',' looking for beginning of object key string" },
		{ "{\"a\":1,}", "invalid character '}' looking for beginning of object key string" },
		{ "{a:1}", "invalid character 'a' looking for beginning of object key string" },
		{ "{\"a\" 1}", "invalid character '1' after object key" },
		{ "{\"a\":1 \"b\"", "invalid character '\"' after object key:value pair" },
		{ "[1 2]", "invalid character '2' after array element" },
		{ "[1}", "invalid character '}' after array element" },
		{ "1 x", "invalid character 'x' after top-level value" },
		{ "{} {}", "invalid character '{' after top-level value" },
		{ "01", "invalid character '1' after top-level value" },
		{ "-x", "invalid character 'x' in numeric literal" },
		{ "1.x", "invalid character 'x' after decimal point in numeric literal" },
		{ "1ex", "invalid character 'x' in exponent of numeric literal" },
		{ "trux", "invalid character 'x' in literal true (expecting 'e')" },
		{ "nul\n", "invalid character '\\n' in literal null (expecting 'l')" },
		{ "\"a\nb\"", "invalid character '\\n' in string literal" },
		{ "\"\x01\"", "invalid character '\\x01' in string literal" },
		{ "\"\\x\"", "invalid character 'x' in string escape code" },
		{ "\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape" },
		{ "'", "invalid character '\\'' looking for beginning of value" },
		{ "\xc3", "invalid character '\xc3\x83' looking for beginning of value" },
		{ "\x80", "invalid character '\\u0080' looking for beginning of value" },
		{ "1e999", "json: cannot unmarshal number 1e999 into Go value of type float64" },
	};
	_cleanup_arena_ struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = { 0 };
		assert_null(json_parse(a, str_c(cases[i].text), NULL, &err));
		assert_text(error_str(&err), cases[i].error);
		assert_int_equal(err.code, 400);
	}
	struct error err = { 0 };
	assert_null(json_parse(a, str_n("\"a\0b\"", 5), NULL, &err));
	assert_string_equal(err.text, "invalid character '\\x00' in string literal");
	assert_null(json_parse(a, str_n("\"\\\0", 3), NULL, &err));
}

static void depth_is_bounded(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	_cleanup_buf_ struct buf b = { 0 };
	struct error err = { 0 };
	for (int i = 0; i < 10000; i++)
		buf_add_char(&b, '[');
	size_t open = b.n;
	for (int i = 0; i < 10000; i++)
		buf_add_char(&b, ']');
	assert_non_null(json_parse(a, buf_str(&b), NULL, &err));
	memmove(b.p + 1, b.p, b.n - 1);
	b.p[open] = '[';
	assert_null(json_parse(a, buf_str(&b), NULL, &err));
	assert_string_equal(err.text, "exceeded max depth");
	struct json_opts shallow = { .max_depth = 2 };
	assert_non_null(json_parse(a, S("[{}]"), &shallow, &err));
	assert_null(json_parse(a, S("[{\"a\":[]}]"), &shallow, &err));
}

static void duplicates_are_listed(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct json_duplicates found = { 0 };
	struct json_opts opts = { .duplicates = &found };
	struct value *v = json_parse(a,
	                             S("{\"a\":1,\"a\":2,\"spec\":{\"x\":[0,{\"b\":1,\"b\":2,\"b\":3}],\"x\":5},\"l\":["
	                               "[{\"q\":1,\"\\u0071\":2}]]}"),
	                             &opts, &err);
	assert_non_null(v);
	assert_int_equal(found.n, 4);
	assert_text(found.v[0], "a");
	assert_text(found.v[1], "spec.x[1].b");
	assert_text(found.v[2], "spec.x");
	assert_text(found.v[3], "l[0][0].q");
	assert_text(json_text(a, v, 0), "{\"a\":2,\"spec\":{\"x\":5},\"l\":[[{\"q\":2}]]}");

	// Many members: found through sorting, and still in the order of the text.
	_cleanup_buf_ struct buf b = { 0 };
	buf_add_char(&b, '{');
	for (int i = 0; i < 5000; i++)
		buf_printf(&b, "\"k%d\":%d,", i % 4998, i);
	buf_add(&b, S("\"z\":0}"));
	found = (struct json_duplicates){ 0 };
	v = json_parse(a, buf_str(&b), &opts, &err);
	assert_non_null(v);
	assert_int_equal(v->o.n, 4999);
	assert_int_equal(found.n, 2);
	assert_text(found.v[0], "k0");
	assert_text(found.v[1], "k1");
	assert_int_equal(value_get(v, S("k1"))->i, 4999);
	assert_int_equal(value_get(v, S("k2"))->i, 2);
	assert_text(v->o.v[1].key, "k1");
}

static void strings_are_slices_of_the_text(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	static const char text[] = "{\"key\":\"value\"}";
	struct value *v = json_parse(a, str_c(text), NULL, &err);
	assert_ptr_equal(v->o.v[0].key.p, text + 2);
	assert_ptr_equal(v->o.v[0].value->s.p, text + 8);
}

static void styles(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct value *v = must(a, "{\"b\":[1,{}],\"a\":\"<&>\"}");
	assert_text(json_text(a, v, JSON_ESCAPE_HTML), "{\"b\":[1,{}],\"a\":\"\\u003c\\u0026\\u003e\"}");
	assert_text(json_text(a, v, JSON_SORT), "{\"a\":\"<&>\",\"b\":[1,{}]}");
	assert_text(json_text(a, v, JSON_INDENT4 | JSON_SORT),
	            "{\n    \"a\": \"<&>\",\n    \"b\": [\n        1,\n        {}\n    ]\n}");
	assert_text(json_text(a, must(a, "[]"), JSON_INDENT4), "[]");
	assert_text(json_text(a, value_double(a, NAN), 0), "null");
}

// What a tree from the reader promises: lists can be grown in place.
static void trees_can_grow(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	for (int n = 0; n < 20; n++) {
		_cleanup_buf_ struct buf b = { 0 };
		buf_add_char(&b, '[');
		for (int i = 0; i < n; i++)
			buf_printf(&b, i ? ",%d" : "%d", i);
		buf_add_char(&b, ']');
		struct error err;
		struct value *v = json_parse(a, buf_str(&b), NULL, &err), *c = value_clone(a, v);
		for (int i = n; i < 40; i++) {
			value_append(a, v, value_int(a, i));
			value_append(a, c, value_int(a, i));
		}
		for (int i = 0; i < 40; i++)
			assert_int_equal(v->a.v[i]->i, i);
		assert_true(value_equal(v, c));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trips),
		cmocka_unit_test(errors_in_the_words_of_go),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(duplicates_are_listed),
		cmocka_unit_test(strings_are_slices_of_the_text),
		cmocka_unit_test(styles),
		cmocka_unit_test(trees_can_grow),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
