#include "json/value.h"

#include "base/test.h"
#include "json/json.h"

static struct value *parse(struct arena *a, const char *text)
{
	struct error err;
	struct value *v = json_parse(a, str_c(text), NULL, &err);
	assert_non_null(v);
	return v;
}

static void looks_up(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct value *v = parse(a, "{\"m\":{\"name\":\"x\",\"n\":2.0,\"big\":1e30,\"f\":1.5}}");
	int64_t i;
	assert_text(value_str(value_path(v, S("m"), S("name"))), "x");
	assert_null(value_path(v, S("m"), S("none"), S("deeper")));
	assert_text(value_get_str(value_get(v, S("m")), S("n")), "");
	assert_null(value_get(NULL, S("m")));
	assert_true(value_to_i64(value_path(v, S("m"), S("n")), &i));
	assert_int_equal(i, 2);
	assert_false(value_to_i64(value_path(v, S("m"), S("big")), &i));
	assert_false(value_to_i64(value_path(v, S("m"), S("f")), &i));
	assert_false(value_to_i64(NULL, &i));
	assert_string_equal(value_kind_name(V_DOUBLE), "number");
	assert_false(value_is(NULL, V_NULL));
}

static void changes(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct value *v = parse(a, "{\"a\":1,\"b\":2,\"c\":3}"), *list = parse(a, "[1,2]");
	value_set(a, v, S("b"), value_null(a));
	value_set(a, v, S("d"), value_bool(a, true));
	assert_true(value_del(v, S("a")));
	assert_false(value_del(v, S("a")));
	assert_text(json_text(a, v, 0), "{\"b\":null,\"c\":3,\"d\":true}");
	value_insert(a, list, 0, value_int(a, 0));
	value_insert(a, list, 99, value_int(a, 9));
	value_insert(a, list, 2, value_string(a, S("s")));
	value_remove_at(list, 1);
	value_remove_at(list, 50);
	assert_text(json_text(a, list, 0), "[0,\"s\",2,9]");
	value_set(a, v, S("a"), value_double(a, 0.5));
	value_sort(v);
	assert_text(json_text(a, v, 0), "{\"a\":0.5,\"b\":null,\"c\":3,\"d\":true}");
}

static void equality(void **state)
{
	static const struct {
		const char *x, *y;
		bool equal;
	} cases[] = {
		{ "{\"a\":1,\"b\":[1,2]}", "{\"b\":[1,2],\"a\":1}", true },
		{ "[1,2]", "[2,1]", false },
		{ "1", "1.0", true },
		{ "1", "1.5", false },
		{ "{}", "[]", false },
		{ "null", "false", false },
		{ "{\"a\":null}", "{}", false },
		{ "\"a\"", "\"\\u0061\"", true },
		{ "9223372036854775807", "9223372036854775808", false },
		{ "1e30", "1e30", true },
	};
	_cleanup_arena_ struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(value_equal(parse(a, cases[i].x), parse(a, cases[i].y)), cases[i].equal);
		assert_int_equal(value_equal(parse(a, cases[i].y), parse(a, cases[i].x)), cases[i].equal);
	}
	struct value *x = value_object(a), *y = value_object(a);
	for (int i = 0; i < 300; i++) { // large objects in opposite order
		value_set(a, x, arena_printf(a, "k%d", i), value_int(a, i));
		value_set(a, y, arena_printf(a, "k%d", 299 - i), value_int(a, 299 - i));
	}
	assert_true(value_equal(x, y));
	value_set(a, y, S("k7"), value_int(a, 8));
	assert_false(value_equal(x, y));
}

static void clones_are_independent(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct value *v = parse(a, "{\"a\":[1,{\"b\":\"text\"}],\"c\":null}"), *c = value_clone(a, v);
	assert_true(value_equal(v, c));
	value_set(a, value_get(c, S("a"))->a.v[1], S("b"), value_int(a, 5));
	assert_text(json_text(a, v, 0), "{\"a\":[1,{\"b\":\"text\"}],\"c\":null}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(looks_up),
		cmocka_unit_test(changes),
		cmocka_unit_test(equality),
		cmocka_unit_test(clones_are_independent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
