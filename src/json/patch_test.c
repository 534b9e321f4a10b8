#include "json/patch.h"

#include "base/test.h"

static struct value *parse(struct arena *a, const char *text)
{
	struct error err;
	struct value *v = json_parse(a, str_c(text), NULL, &err);
	assert_non_null(v);
	return v;
}

static void operations(void **state)
{
	static const struct {
		const char *doc, *patch, *want;
	} cases[] = {
		{ "{\"a\":1}", "[]", "{\"a\":1}" },
		{ "{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b\",\"value\":2}]", "{\"a\":1,\"b\":2}" },
		{ "{\"a\":[1,2]}", "[{\"op\":\"add\",\"path\":\"/a/1\",\"value\":9}]", "{\"a\":[1,9,2]}" },
		{ "{\"a\":[1,2]}", "[{\"op\":\"add\",\"path\":\"/a/-\",\"value\":9}]", "{\"a\":[1,2,9]}" },
		{ "{\"a\":[1,2]}", "[{\"op\":\"add\",\"path\":\"/a/-1\",\"value\":9}]", "{\"a\":[1,2,9]}" },
		{ "{\"a\":[1,2]}", "[{\"op\":\"remove\",\"path\":\"/a/-1\"}]", "{\"a\":[1]}" },
		{ "{\"a\":1,\"b\":2}", "[{\"op\":\"remove\",\"path\":\"/a\"}]", "{\"b\":2}" },
		{ "{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"/zz\",\"value\":2}]",
		  "{\"a\":1,\"zz\":2}" }, // upstream lets it
		{ "{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"\",\"value\":{\"b\":1}}]", "{\"b\":1}" },
		{ "{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"\",\"value\":5}]", "{\"a\":1}" },
		{ "{\"a\":1,\"b\":2}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/c\"}]", "{\"b\":2,\"c\":1}" },
		{ "{\"a\":{\"x\":1}}",
		  "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/c\"},{\"op\":\"add\",\"path\":\"/c/x\",\"value\":2}]",
		  "{\"a\":{\"x\":1},\"c\":{\"x\":2}}" },
		{ "{\"a\":1}", "[{\"op\":\"copy\",\"from\":\"/none\",\"path\":\"/c\"}]", "{\"a\":1,\"c\":null}" },
		{ "{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":1.0}]", "{\"a\":1}" },
		{ "{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/zz\",\"value\":null}]", "{\"a\":1}" },
		{ "{\"a\":1}", "[{\"op\":\"test\",\"path\":\"\",\"value\":{\"a\":1}}]", "{\"a\":1}" },
		{ "{\"a/b\":{\"c~d\":1}}", "[{\"op\":\"add\",\"path\":\"/a~1b/c~0d\",\"value\":2}]",
		  "{\"a/b\":{\"c~d\":2}}" },
		{ "{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b\"}]", "{\"a\":1,\"b\":null}" },
		{ "{\"\":1}", "[{\"op\":\"remove\",\"path\":\"/\"}]", "{}" },
		{ "{\"l\":[]}",
		  "[{\"op\":\"add\",\"path\":\"/l/0\",\"value\":{\"x\":[]}},{\"op\":\"add\",\"path\":\"/l/0/x/"
		  "-\",\"value\":7}]",
		  "{\"l\":[{\"x\":[7]}]}" },
	};
	_cleanup_arena_ struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = { 0 };
		struct value *doc = parse(a, cases[i].doc), *patch = parse(a, cases[i].patch);
		struct value *out = json_patch_apply(a, doc, patch, &err);
		if (!out)
			print_error("%s: %s\n", cases[i].patch, err.text);
		assert_non_null(out);
		assert_text(json_text(a, out, 0), cases[i].want);
		assert_text(json_text(a, doc, 0), cases[i].doc); // untouched
	}
}

static void refusals(void **state)
{
	static const struct {
		const char *patch, *error;
		int code;
	} cases[] = {
		{ "[{\"op\":\"remove\",\"path\":\"/zz\"}]",
		  "error in remove for path: '/zz': Unable to remove nonexistent key: zz: missing value", 422 },
		{ "[{\"op\":\"add\",\"path\":\"/no/x\",\"value\":1}]",
		  "add operation does not apply: doc is missing path: \"/no/x\": missing value", 422 },
		{ "[{\"op\":\"remove\",\"path\":\"\"}]",
		  "remove operation does not apply: doc is missing path: \"\": missing value", 422 },
		{ "[{\"op\":\"add\",\"path\":\"/l/9\",\"value\":1}]",
		  "error in add for path: '/l/9': Unable to access invalid index: 9: invalid index referenced", 422 },
		{ "[{\"op\":\"add\",\"path\":\"/l/x\",\"value\":1}]",
		  "error in add for path: '/l/x': value was not a proper array index: 'x': strconv.Atoi: parsing "
		  "\"x\": invalid syntax",
		  422 },
		{ "[{\"op\":\"replace\",\"path\":\"/l/2\",\"value\":1}]",
		  "replace operation does not apply: doc is missing key: /l/2: missing value", 422 },
		{ "[{\"op\":\"test\",\"path\":\"/a\",\"value\":2}]", "testing value /a failed: test failed", 422 },
		{ "[{\"op\":\"test\",\"path\":\"/zz\",\"value\":2}]", "testing value /zz failed: test failed", 422 },
		{ "[{\"op\":\"move\",\"from\":\"/zz\",\"path\":\"/b\"}]",
		  "error in move for path: 'zz': Unable to remove nonexistent key: zz: missing value", 422 },
		{ "[{\"op\":\"move\",\"path\":\"/b\"}]",
		  "move operation failed to decode from: operation, missing from field: missing value", 422 },
		{ "[{\"op\":\"odd\",\"path\":\"/a\"}]", "Unexpected kind: odd", 422 },
		{ "[{\"path\":\"/a\"}]", "Unexpected kind: unknown", 422 },
		{ "[{\"op\":\"add\",\"value\":1}]", "add operation failed to decode path: missing value", 422 },
		{ "{\"op\":\"add\"}",
		  "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
		  400 },
		{ "[1]",
		  "error decoding patch: json: cannot unmarshal number into Go value of type handlers.jsonPatchOp",
		  400 },
		{ "[{\"op\":1}]",
		  "error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.op of type "
		  "string",
		  400 },
	};
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct value *doc = parse(a, "{\"a\":1,\"l\":[1,2]}");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = { 0 };
		assert_null(json_patch_apply(a, doc, parse(a, cases[i].patch), &err));
		assert_text(error_str(&err), cases[i].error);
		assert_int_equal(err.code, cases[i].code);
	}
}

static void limits(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct value *doc = parse(a, "{\"a\":1}"), *op = parse(a, "{\"op\":\"test\",\"path\":\"/a\",\"value\":1}"),
	             *patch = value_array(a);
	struct error err = { 0 };
	for (int i = 0; i < 10000; i++)
		value_append(a, patch, op);
	assert_non_null(json_patch_apply(a, doc, patch, &err));
	value_append(a, patch, op);
	assert_null(json_patch_apply(a, doc, patch, &err));
	assert_string_equal(
	        err.text,
	        "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001");
	assert_int_equal(err.code, 413);
	// Copies that double each time end early.
	struct value *doubling = value_array(a),
	             *copy = parse(a, "{\"op\":\"copy\",\"from\":\"/l\",\"path\":\"/l/-\"}");
	for (int i = 0; i < 40; i++)
		value_append(a, doubling, copy);
	assert_null(json_patch_apply(a, parse(a, "{\"l\":[\"0123456789\"]}"), doubling, &err));
	assert_true(str_has_prefix(error_str(&err),
	                           S("Unable to complete the copy, the accumulated size increase of copy is ")));
}

// RFC 7396, appendix A, where the document is an object.
static void merges(void **state)
{
	static const struct {
		const char *doc, *patch, *want;
	} cases[] = {
		{ "{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
		{ "{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}" },
		{ "{\"a\":\"b\"}", "{\"a\":null}", "{}" },
		{ "{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}" },
		{ "{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
		{ "{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}" },
		{ "{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}" },
		{ "{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}" },
		{ "{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}" },
		{ "{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}" },
		{ "{\"a\":1}", "{\"a\":{\"b\":null,\"c\":[{\"d\":null}]}}", "{\"a\":{\"c\":[{}]}}" },
	};
	_cleanup_arena_ struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct value *doc = parse(a, cases[i].doc);
		assert_text(json_text(a, merge_patch_apply(a, doc, parse(a, cases[i].patch)), 0), cases[i].want);
		assert_text(json_text(a, doc, 0), cases[i].doc);
	}
}

static void made_patches_lead_there(void **state)
{
	static const char *const docs[] = { "{}", "{\"a\":1}", "{\"a\":{\"b\":1,\"c\":[1,2]}}",
		                            "{\"a\":{\"c\":[1]},\"z\":\"s\"}", "{\"a\":[{\"x\":1}],\"z\":false}" };
	_cleanup_arena_ struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(docs); i++)
		for (size_t j = 0; j < ARRAY_LEN(docs); j++) {
			struct value *from = parse(a, docs[i]), *to = parse(a, docs[j]),
			             *patch = merge_patch_make(a, from, to);
			assert_true(value_equal(merge_patch_apply(a, from, patch), to));
			if (i == j)
				assert_text(json_text(a, patch, 0), "{}");
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(operations),
		cmocka_unit_test(refusals),
		cmocka_unit_test(limits),
		cmocka_unit_test(merges),
		cmocka_unit_test(made_patches_lead_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
