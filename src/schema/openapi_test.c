// The documents against the recorded structure of upstream's (shared/facts/swagger-structure.json), which leaves out descriptions
// and has the alpha and beta group versions too.
#include "schema/openapi.h"

#include "schema/test_util.h"

static int problems;

static void report(str path, const char *what, const struct value *got, const struct value *want, struct arena *a)
{
	if (problems++ < 20)
		print_message(STR_FMT ": %s\n  got  %.300s\n  want %.300s\n", STR_ARG(path), what,
		              got ? arena_cstr(a, json_text(a, got, 0)) : "-",
		              want ? arena_cstr(a, json_text(a, want, 0)) : "-");
}

static void compare(struct arena *a, str path, const struct value *got, const struct value *want)
{
	if (got->kind != want->kind) {
		report(path, "another type", got, want, a);
	} else if (got->kind == V_OBJECT) {
		for (size_t i = 0; i < want->o.n; i++) {
			const struct value *v = value_get(got, want->o.v[i].key);
			str inner = arena_concat(a, path, S("."), want->o.v[i].key);
			if (v)
				compare(a, inner, v, want->o.v[i].value);
			else
				report(inner, "missing", NULL, want->o.v[i].value, a);
		}
		for (size_t i = 0; i < got->o.n; i++)
			if (!value_get(want, got->o.v[i].key) &&
			    !(str_eq(got->o.v[i].key, S("description")) && value_is(got->o.v[i].value, V_STRING)))
				report(arena_concat(a, path, S("."), got->o.v[i].key), "too much", got->o.v[i].value,
				       NULL, a);
	} else if (got->kind == V_ARRAY && got->a.n == want->a.n) {
		for (size_t i = 0; i < got->a.n; i++)
			compare(a, arena_printf(a, STR_FMT "[%zu]", STR_ARG(path), i), got->a.v[i], want->a.v[i]);
	} else if (!value_equal(got, want)) {
		report(path, "differs", got, want, a);
	}
}

static bool not_served(str name)
{
	return str_contains(name, S("alpha")) || str_contains(name, S("beta")) ||
	       str_contains(name, S("internal.apiserver")) || str_contains(name, S("storagemigration")) ||
	       str_has_suffix(name, S("meta.v1.GroupResource")); // only storage migration refers to it
}

static void test_v2(void **state)
{
	(void)state;
	_cleanup_arena_ struct arena *a = arena_new(1 << 20);
	struct error err = { 0 };
	str text;
	if (!io_read_file(a, arena_printf(a, "%s/facts/swagger-structure.json", shared_dir()).p, 1 << 26, &text,
	                  &err)) {
		print_message("%s: skipped\n", err.text);
		skip();
	}
	struct value *want = json_parse(a, text, NULL, &err), *got = openapi_v2(a);
	assert_non_null(want);
	problems = 0;
	static const str parts[] = { S_INIT("paths"), S_INIT("definitions") };
	for (size_t p = 0; p < ARRAY_LEN(parts); p++) {
		struct value *w = value_get(want, parts[p]), *g = value_get(got, parts[p]);
		assert_true(g->o.n > 300);
		for (size_t i = 0; i < w->o.n; i++) {
			const struct value *v = value_get(g, w->o.v[i].key);
			if (v)
				compare(a, w->o.v[i].key, v, w->o.v[i].value);
			else if (!not_served(w->o.v[i].key))
				report(w->o.v[i].key, "missing", NULL, NULL, a);
		}
		for (size_t i = 0; i < g->o.n; i++)
			if (!value_get(w, g->o.v[i].key))
				report(g->o.v[i].key, "too much", NULL, NULL, a);
	}
	compare(a, S("parameters"), value_get(got, S("parameters")), value_get(want, S("parameters")));
	compare(a, S("security"), value_get(got, S("security")), value_get(want, S("security")));
	compare(a, S("securityDefinitions"), value_get(got, S("securityDefinitions")),
	        value_get(want, S("securityDefinitions")));
	assert_int_equal(problems, 0);
}

// Every reference leads somewhere.
static void check_refs(struct arena *a, const struct value *doc, const struct value *v)
{
	if (v->kind == V_ARRAY)
		for (size_t i = 0; i < v->a.n; i++)
			check_refs(a, doc, v->a.v[i]);
	if (v->kind != V_OBJECT)
		return;
	for (size_t i = 0; i < v->o.n; i++) {
		str ref = value_str(v->o.v[i].value);
		if (str_eq(v->o.v[i].key, S("$ref")) && ref.n) {
			assert_true(str_cut_prefix(&ref, S("#/components/schemas/")));
			if (!value_get(value_path(doc, S("components"), S("schemas")), ref))
				fail_msg("no schema " STR_FMT, STR_ARG(ref));
		}
		check_refs(a, doc, v->o.v[i].value);
	}
}

static void test_v3(void **state)
{
	(void)state;
	_cleanup_arena_ struct arena *a = arena_new(1 << 20);
	struct str_list paths = openapi_v3_paths(a);
	assert_true(paths.n > 40);
	for (size_t i = 0; i < paths.n; i++) {
		struct value *doc = openapi_v3(a, paths.v[i]);
		assert_non_null(doc);
		assert_true(value_get(doc, S("paths"))->o.n > 0);
		check_refs(a, doc, doc);
	}
	assert_null(openapi_v3(a, S("apis/nosuch")));
	assert_null(openapi_v3(a, S("api/v2")));
	struct value *core = openapi_v3(a, S("api/v1")), *schemas = value_path(core, S("components"), S("schemas"));
	assert_text(
	        json_text(a, value_path(schemas, S("io.k8s.api.core.v1.ContainerPort"), S("properties")), JSON_SORT),
	        "{\"containerPort\":{\"default\":0,\"format\":\"int32\",\"type\":\"integer\"},\"hostIP\":{\"type\":"
	        "\"string\"},"
	        "\"hostPort\":{\"format\":\"int32\",\"type\":\"integer\"},\"name\":{\"type\":\"string\"},\"protocol\":{"
	        "\"default\":\"TCP\",\"type\":\"string\"}}");
	assert_text(
	        json_text(a, value_path(schemas, S("io.k8s.api.core.v1.Pod"), S("properties"), S("spec")), JSON_SORT),
	        "{\"allOf\":[{\"$ref\":\"#/components/schemas/io.k8s.api.core.v1.PodSpec\"}],\"default\":{}}");
	// kubectl asks here whether the server validates fields.
	struct value *patch = value_path(core, S("paths"), S("/api/v1/namespaces/{namespace}/pods/{name}"), S("patch"));
	bool found = false;
	struct value *parameters = value_get(patch, S("parameters"));
	for (size_t i = 0; i < parameters->a.n; i++)
		found |= str_eq(value_get_str(parameters->a.v[i], S("name")), S("fieldValidation"));
	assert_true(found);
}

static void test_v2_pb(void **state)
{
	(void)state;
	_cleanup_arena_ struct arena *a = arena_new(1 << 20);
	_cleanup_buf_ struct buf b = { 0 };
	struct value *doc = parse(
	        a, "{'swagger':'2.0','info':{'title':'t','version':'v'},'definitions':{'a':{'type':'string','x-k':[1],"
	           "'items':{'$ref':'r'}}}}");
	openapi_v2_to_pb(&b, doc);
	str got = buf_str(&b);
	assert_true(str_has_prefix(got, S("\x0a\x03"
	                                  "2.0\x12\x06\x0a\x01t\x12\x01v\x42\x00\x4a")));
	// TypeItem, ItemsItem with a reference, and an extension as YAML.
	assert_true(str_contains(got, S("\xb2\x01\x08\x0a\x06string\xba\x01\x05\x0a\x03\x0a\x01r\xfa\x01\x0c\x0a\x03x-"
	                                "k\x12\x05\x12\x03[1]")));
	buf_clear(&b);
	openapi_v2_to_pb(&b, openapi_v2(a));
	assert_true(b.n > 500000);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_v2), cmocka_unit_test(test_v3),
		                            cmocka_unit_test(test_v2_pb) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
