#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>

#include "apiserver/apiserver.h"
#include "apiserver/fieldset.h"

static str text_of(struct arena *a, const struct fieldset *s)
{
	struct buf b = { 0 };
	fieldset_write(&b, s);
	str out = arena_dup(a, buf_str(&b));
	buf_free(&b);
	return out;
}

static void same(struct arena *a, const struct fieldset *s, const char *want)
{
	str got = text_of(a, s);
	if (!str_eqc(got, want))
		fail_msg("got " STR_FMT ", want %s", STR_ARG(got), want);
}

static struct fieldset set(struct arena *a, const char *json)
{
	struct fieldset s;
	assert_true(fieldset_read(a, str_c(json), &s));
	return s;
}

static void text(void **state)
{
	(void)state;
	_cleanup_arena_ struct arena *a = arena_new(0);
	static const char *const texts[] = { "{}", "{\"f:data\":{\".\":{},\"f:k\":{}}}", "{\"f:spec\":{\"f:ports\":{\"k:{\\\"port\\\":80}\":{\".\":{},\"f:name\":{}}}}}",
		                             "{\"f:metadata\":{\"f:finalizers\":{\"v:\\\"a\\\"\":{},\"v:\\\"b\\\"\":{}}}}" };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct fieldset s = set(a, texts[i]);
		same(a, &s, texts[i]);
	}
	// Names come before keys, keys before values; broken text is empty.
	struct fieldset s = set(a, "{\"v:1\":{},\"k:{}\":{},\"f:b\":{},\"f:a\":{},\"odd\":{}}");
	same(a, &s, "{\"f:a\":{},\"f:b\":{},\"k:{}\":{},\"v:1\":{}}");
	assert_false(fieldset_read(a, S("{"), &s));
	same(a, &s, "{}");
}

static void algebra(void **state)
{
	(void)state;
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct fieldset x = set(a, "{\"f:a\":{},\"f:m\":{\".\":{},\"f:x\":{},\"f:y\":{}}}"), y = set(a, "{\"f:m\":{\"f:y\":{},\"f:z\":{}}}");
	assert_true(fieldset_intersects(&x, &y));
	struct fieldset both = { 0 };
	fieldset_merge(a, &both, &x);
	fieldset_merge(a, &both, &y);
	same(a, &both, "{\"f:a\":{},\"f:m\":{\".\":{},\"f:x\":{},\"f:y\":{},\"f:z\":{}}}");
	fieldset_subtract(&both, &x, false);
	same(a, &both, "{\"f:m\":{\"f:z\":{}}}");
	assert_false(fieldset_intersects(&both, &x));
	same(a, &x, "{\"f:a\":{},\"f:m\":{\".\":{},\"f:x\":{},\"f:y\":{}}}"); // merging copies
	struct fieldset gone = set(a, "{\"f:m\":{}}");
	fieldset_subtract(&x, &gone, true);
	same(a, &x, "{\"f:a\":{}}");
}

static struct value *tree(struct arena *a, const char *json)
{
	struct error err = { 0 };
	struct value *v = json_parse(a, str_c(json), NULL, &err);
	if (!v)
		fail_msg("%s", err.text);
	return v;
}

// What changed between two pods, in terms of owners.
static void compare(void **state)
{
	(void)state;
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct value *before = tree(a, "{\"metadata\":{\"name\":\"x\",\"labels\":{\"a\":\"1\",\"b\":\"1\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"},{\"name\":\"d\",\"image\":\"i\"}]}}");
	struct value *after = tree(a, "{\"metadata\":{\"name\":\"y\",\"labels\":{\"a\":\"2\",\"c\":\"1\"},\"annotations\":{\"n\":\"1\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"j\",\"command\":[\"x\"]}]}}");
	struct fieldset changed, removed;
	managed_compare(a, core_v1_Pod_desc, before, after, &changed, &removed);
	same(a, &changed, "{\"f:metadata\":{\"f:annotations\":{\".\":{},\"f:n\":{}},\"f:labels\":{\"f:a\":{},\"f:c\":{}}},\"f:spec\":{\"f:containers\":{\"k:{\\\"name\\\":\\\"c\\\"}\":{\"f:command\":{},\"f:image\":{}}}}}");
	same(a, &removed, "{\"f:metadata\":{\"f:labels\":{\"f:b\":{}}},\"f:spec\":{\"f:containers\":{\"k:{\\\"name\\\":\\\"d\\\"}\":{\".\":{},\"f:image\":{},\"f:name\":{}}}}}");
}

static void scanning(void **state)
{
	(void)state;
	str json = S("{\"kind\":\"P\\\"}\",\"metadata\":{\"name\":\"x\",\"labels\":{\"a\":\"b\"}},\"n\":-1.5e3,\"l\":[1,{\"z\":\"]\"}],\"t\":true,\"spec\":{\"nodeName\":\"n\"}}");
	assert_true(str_eq(scan(json, S("metadata"), S("name")), S("\"x\"")));
	assert_true(str_eq(scan(json, S("metadata"), S("labels")), S("{\"a\":\"b\"}")));
	assert_true(str_eq(scan(json, S("spec"), S("nodeName")), S("\"n\"")));
	assert_true(str_eq(scan(json, S("n")), S("-1.5e3")));
	assert_true(str_eq(scan(json, S("l")), S("[1,{\"z\":\"]\"}]")));
	assert_true(str_empty(scan(json, S("nothing"))));
	assert_true(str_empty(scan(json, S("t"), S("x"))));
	assert_true(str_empty(scan(S("{}"), S("x"))));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(text), cmocka_unit_test(algebra), cmocka_unit_test(compare), cmocka_unit_test(scanning) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
