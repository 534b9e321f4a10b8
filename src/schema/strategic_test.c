#include <dirent.h>

#include "schema/strategic.h"
#include "schema/test_util.h"

static const struct message_desc *message(const char *name)
{
	const struct message_desc *m = schema_message(str_c(name));
	assert_non_null(m);
	return m;
}

static str sorted(struct arena *a, const struct value *v)
{
	return json_text(a, v, JSON_SORT);
}

static void apply(const char *type, const char *doc, const char *patch, const char *want)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct value *d = parse(a, doc), *p = parse(a, patch);
	str before = json_text(a, d, 0), patch_before = json_text(a, p, 0);
	struct value *got = strategic_apply(a, message(type), d, p, &err);
	if (!got)
		fail_msg("%s: %s", patch, err.text);
	assert_text(sorted(a, got), arena_cstr(a, sorted(a, parse(a, want))));
	assert_text(json_text(a, d, 0), arena_cstr(a, before));
	assert_text(json_text(a, p, 0), arena_cstr(a, patch_before));
}

static void refuse(const char *type, const char *doc, const char *patch, int code, const char *want)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	assert_null(strategic_apply(a, message(type), parse(a, doc), parse(a, patch), &err));
	assert_text(error_str(&err), want);
	assert_int_equal(err.code, code);
}

#define POD "k8s.io.api.core.v1.Pod"
#define SPEC "k8s.io.api.core.v1.PodSpec"
#define META "k8s.io.apimachinery.pkg.apis.meta.v1.ObjectMeta"
#define DEPLOY "k8s.io.api.apps.v1.DeploymentSpec"

static void test_maps(void **state)
{
	(void)state;
	apply(META, "{'labels':{'a':'1','b':'2'}}", "{'labels':{'a':null,'c':'3'}}", "{'labels':{'b':'2','c':'3'}}");
	apply(META, "{'name':'x'}", "{'labels':{'a':null,'c':'3'}}", "{'name':'x','labels':{'c':'3'}}");
	apply(META, "{'labels':{'a':'1'}}", "{'labels':{'$patch':'replace','z':'9'}}", "{'labels':{'z':'9'}}");
	apply(META, "{'labels':{'a':'1'}}", "{'labels':{'$patch':'delete'}}", "{'labels':{}}");
	apply(META, "{'labels':{'a':'1'}}", "{'labels':null}", "{}");
	apply(META, "{'labels':{'a':'1'}}", "{'labels':{'a':null}}", "{'labels':{}}");
}

static void test_lists_of_objects(void **state)
{
	(void)state;
	apply(SPEC, "{'containers':[{'name':'a','image':'x'},{'name':'b','image':'y'}]}",
	      "{'containers':[{'name':'b','image':'z'},{'name':'c'}]}",
	      "{'containers':[{'name':'a','image':'x'},{'name':'b','image':'z'},{'name':'c'}]}");
	apply(SPEC, "{'containers':[{'name':'a'},{'name':'b'}]}", "{'containers':[{'name':'a','$patch':'delete'}]}",
	      "{'containers':[{'name':'b'}]}");
	apply(SPEC, "{'containers':[{'name':'a'},{'name':'b'}]}", "{'containers':[{'name':'z'},{'$patch':'replace'}]}",
	      "{'containers':[{'name':'z'}]}");
	// Without a strategy a list is replaced.
	apply(SPEC, "{'tolerations':[{'key':'a'}]}", "{'tolerations':[{'key':'b'}]}", "{'tolerations':[{'key':'b'}]}");
	apply(SPEC, "{'containers':[{'name':'a'},{'name':'b'},{'name':'c'}]}",
	      "{'$setElementOrder/containers':[{'name':'c'},{'name':'a'}],'containers':[{'name':'c','image':'i'}]}",
	      "{'containers':[{'name':'b'},{'name':'c','image':'i'},{'name':'a'}]}");
	refuse(SPEC, "{'containers':[{'name':'a'}]}", "{'containers':[{'image':'x'}]}", 500,
	       "map: map[image:x] does not contain declared merge key: name");
	refuse(SPEC, "{'containers':[{'name':'a'}]}", "{'containers':[{'$patch':'odd'}]}", 500,
	       "unknown patch type: odd in map: map[$patch:odd]");
	refuse(SPEC, "{'containers':[{'name':'a'}]}", "{'containers':['a']}", 500,
	       "list element types are not identical: [[map[name:a]] [a]]");
	// An unknown member is taken as it is, unless there is something to merge it with.
	apply(SPEC, "{'containers':[{'name':'a'}]}", "{'nosuch':{'a':1}}",
	      "{'containers':[{'name':'a'}],'nosuch':{'a':1}}");
	refuse(SPEC, "{'nosuch':{'a':1}}", "{'nosuch':{'b':2}}", 500,
	       "unable to find api field in struct PodSpec for the json field \"nosuch\"");
}

static void test_lists_of_scalars(void **state)
{
	(void)state;
	apply(META, "{'finalizers':['a','b']}", "{'finalizers':['c','a']}", "{'finalizers':['c','a','b']}");
	apply(META, "{'finalizers':['a','b','c']}", "{'$deleteFromPrimitiveList/finalizers':['b']}",
	      "{'finalizers':['a','c']}");
	apply(META, "{'finalizers':['a','b','c']}", "{'$setElementOrder/finalizers':['c','a']}",
	      "{'finalizers':['b','c','a']}");
	refuse(META, "{'finalizers':['a']}", "{'$deleteFromPrimitiveList':['a']}", 400,
	       "invalid patch format of primitive list");
}

static void test_retain_keys(void **state)
{
	(void)state;
	apply(DEPLOY, "{'strategy':{'type':'RollingUpdate','rollingUpdate':{'maxSurge':1}}}",
	      "{'strategy':{'$retainKeys':['type'],'type':'Recreate'}}", "{'strategy':{'type':'Recreate'}}");
	apply(SPEC, "{'volumes':[{'name':'v','emptyDir':{}}]}",
	      "{'volumes':[{'name':'v','$retainKeys':['name','hostPath'],'hostPath':{'path':'/x'}}]}",
	      "{'volumes':[{'name':'v','hostPath':{'path':'/x'}}]}");
	refuse(DEPLOY, "{'strategy':{'type':'RollingUpdate'}}",
	       "{'strategy':{'$retainKeys':['type'],'rollingUpdate':{}}}", 400, "invalid patch format of retainKeys");
}

static void three_way(const char *type, const char *original, const char *modified, const char *current,
                      const char *want)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct value *m = parse(a, modified), *c = parse(a, current);
	struct value *patch = strategic_make_three_way(a, message(type), parse(a, original), m, c, &err);
	if (!patch)
		fail_msg("%s", err.text);
	assert_text(sorted(a, patch), arena_cstr(a, sorted(a, parse(a, want))));
}

static void test_three_way(void **state)
{
	(void)state;
	three_way(META, "{'labels':{'a':'1','b':'2'}}", "{'labels':{'a':'1'}}",
	          "{'labels':{'a':'0','b':'2','server':'x'}}", "{'labels':{'a':'1','b':null}}");
	three_way(META, "{}", "{'labels':{'a':'1'}}", "{'labels':{'a':'1','server':'x'}}", "{}");
	three_way(SPEC, "{'containers':[{'name':'a','image':'1'},{'name':'b','image':'1'}]}",
	          "{'containers':[{'name':'a','image':'2'}]}",
	          "{'containers':[{'name':'a','image':'1','imagePullPolicy':'Always'},{'name':'b','image':'1'},{'name':"
	          "'injected'}]}",
	          "{'$setElementOrder/"
	          "containers':[{'name':'a'}],'containers':[{'image':'2','name':'a'},{'$patch':'delete','name':'b'}]}");
	three_way(META, "{'finalizers':['a','b']}", "{'finalizers':['b','c']}", "{'finalizers':['a','b']}",
	          "{'$deleteFromPrimitiveList/finalizers':['a'],'$setElementOrder/"
	          "finalizers':['b','c'],'finalizers':['c']}");
	three_way(DEPLOY, "{'strategy':{'type':'RollingUpdate'}}", "{'strategy':{'type':'Recreate'}}",
	          "{'strategy':{'type':'RollingUpdate','rollingUpdate':{'maxSurge':1}}}",
	          "{'strategy':{'$retainKeys':['type'],'type':'Recreate'}}");
	three_way(SPEC, "{'tolerations':[{'key':'a'}]}", "{'tolerations':[{'key':'b'}]}",
	          "{'tolerations':[{'key':'a'}]}", "{'tolerations':[{'key':'b'}]}");
}

// Whatever the documents: applying the two-way patch to one gives the other.
static void test_two_way(void **state)
{
	(void)state;
	static const char *const docs[] = {
		"{'metadata':{'name':'x'},'spec':{'containers':[{'name':'a','image':'1','env':[{'name':'E','value':'1'}"
		"]},{'name':'b'}],'nodeSelector':{'k':'v'}}}",
		"{'metadata':{'name':'x','labels':{'l':'m'}},'spec':{'containers':[{'name':'b','ports':[{'"
		"containerPort':80}]},{'name':'a','image':'2'}]}}",
		"{'spec':{'containers':[{'name':'c'}],'volumes':[{'name':'v','emptyDir':{}}],'tolerations':[{'key':'q'}"
		"]}}",
		"{'metadata':{'finalizers':['a','b']},'spec':{'volumes':[{'name':'w'},{'name':'v','hostPath':{'path':'/"
		"'}}],'hostAliases':[{'ip':'1.1.1.1','hostnames':['a']}]}}",
		"{'metadata':{'finalizers':['c','b']},'spec':{'hostAliases':[{'ip':'1.1.1.1','hostnames':['b']}]}}",
	};
	for (size_t i = 0; i < ARRAY_LEN(docs); i++)
		for (size_t k = 0; k < ARRAY_LEN(docs); k++) {
			_cleanup_arena_ struct arena *a = arena_new(0);
			struct error err = { 0 };
			struct value *from = parse(a, docs[i]), *to = parse(a, docs[k]);
			struct value *patch = strategic_make(a, message(POD), from, to, &err);
			struct value *got = patch ? strategic_apply(a, message(POD), from, patch, &err) : NULL;
			if (!got)
				fail_msg("%zu -> %zu: %s", i, k, err.text);
			if (!value_equal(got, to))
				fail_msg("%zu -> %zu: patch " STR_FMT "\n got  " STR_FMT "\n want " STR_FMT, i, k,
				         STR_ARG(sorted(a, patch)), STR_ARG(sorted(a, got)), STR_ARG(sorted(a, to)));
		}
}

// Large maps must not take quadratic time.
static void test_large(void **state)
{
	(void)state;
	_cleanup_arena_ struct arena *a = arena_new(1 << 20);
	struct value *doc = parse(a, "{'data':{}}"), *patch = parse(a, "{'data':{}}");
	struct value *x = value_get(doc, S("data")), *y = value_get(patch, S("data"));
	for (int i = 0; i < 60000; i++) {
		struct member *m = LIST_ADD(a, &x->o);
		*m = (struct member){ arena_printf(a, "k%d", i), value_string(a, S("1")) };
		m = LIST_ADD(a, &y->o);
		*m = (struct member){ arena_printf(a, "k%d", 2 * i), i % 3 ? value_string(a, S("2")) : value_null(a) };
	}
	struct error err = { 0 };
	struct value *got = strategic_apply(a, message("k8s.io.api.core.v1.ConfigMap"), doc, patch, &err);
	assert_non_null(got);
	assert_int_equal(value_get(got, S("data"))->o.n, 70000);
}

static bool path_get(const struct value *doc, str path, const struct value **out)
{
	str part;
	const struct value *v = doc;
	for (str rest = path; str_next(&rest, '.', &part);) {
		ptrdiff_t at = str_find_char(part, '[');
		v = value_get(v, at < 0 ? part : str_sub(part, 0, (size_t)at));
		if (at >= 0 && v) {
			if (str_contains(part, S("[*]")))
				return false;
			int64_t i = 0;
			str_to_i64(str_sub(part, (size_t)at + 1, part.n - 1), &i);
			v = value_is(v, V_ARRAY) && (size_t)i < v->a.n ? v->a.v[i] : NULL;
		}
	}
	*out = v;
	return true;
}

// Everything in x is in y (which may have defaults besides). Directives that a replaced list brought along are dropped later, as
// unknown fields.
static bool within(const struct value *x, const struct value *y)
{
	if (!y || x->kind != y->kind)
		return false;
	if (x->kind == V_ARRAY) {
		if (x->a.n != y->a.n)
			return false;
		for (size_t i = 0; i < x->a.n; i++)
			if (!within(x->a.v[i], y->a.v[i]))
				return false;
		return true;
	}
	if (x->kind != V_OBJECT)
		return value_equal(x, y);
	for (size_t i = 0; i < x->o.n; i++)
		if (!str_has_prefix(x->o.v[i].key, S("$")) && !within(x->o.v[i].value, value_get(y, x->o.v[i].key)))
			return false;
	return true;
}

// Patches with recorded answers.
static void test_golden(void **state)
{
	(void)state;
	char path[1000];
	snprintf(path, sizeof(path), "%s/golden/patch", shared_dir());
	_cleanup_closedir_ DIR *dir = opendir(path);
	if (!dir) {
		print_message("%s is not there: skipped\n", path);
		skip();
	}
	int n = 0;
	for (struct dirent *e; (e = readdir(dir));) {
		if (!str_has_prefix(str_c(e->d_name), S("smp-")))
			continue;
		_cleanup_arena_ struct arena *a = arena_new(1 << 16);
		struct error err = { 0 };
		str text;
		assert_true(io_read_file(a, arena_printf(a, "%s/%s", path, e->d_name).p, 1 << 24, &text, &err));
		struct value *steps = value_get(json_parse(a, text, NULL, &err), S("steps")), *now = NULL;
		const struct message_desc *m = NULL;
		for (size_t i = 0; i < steps->a.n; i++) {
			struct value *todo = value_get(steps->a.v[i], S("do")),
			             *want = value_path(steps->a.v[i], S("want"), S("body")),
			             *only = value_get(steps->a.v[i], S("only"));
			struct value *body = value_get(todo, S("body"));
			if (str_eq(value_get_str(todo, S("method")), S("POST"))) {
				now = body;
				m = schema_kind(S(""), value_get_str(body, S("apiVersion")),
				                value_get_str(body, S("kind")));
				assert_non_null(m);
			} else if (body && m &&
			           str_contains(value_str(value_path(todo, S("headers"), S("Content-Type"))),
			                        S("strategic"))) {
				int64_t status = 200;
				value_to_i64(value_path(steps->a.v[i], S("want"), S("status")), &status);
				struct value *got = strategic_apply(a, m, now, body, &err);
				if (status == 500) {
					assert_null(got);
					assert_text(error_str(&err), arena_cstr(a, value_get_str(want, S("message"))));
					n++;
				}
				if (status != 200)
					continue;
				if (!got)
					fail_msg("%s: %s", e->d_name, err.text);
				for (size_t k = 0; only && k < only->a.n; k++) {
					const struct value *mine, *theirs = value_get(want, value_str(only->a.v[k]));
					if (!path_get(got, value_str(only->a.v[k]), &mine))
						continue;
					// The answer lists what the path selects; an empty object is not sent.
					theirs = value_is(theirs, V_ARRAY) && theirs->a.n ? theirs->a.v[0] : NULL;
					if (mine && value_is(mine, V_OBJECT) && !mine->o.n)
						mine = NULL;
					if (mine ? !within(mine, theirs) : theirs != NULL)
						fail_msg("%s, step %zu: " STR_FMT "\n got  " STR_FMT "\n want " STR_FMT,
						         e->d_name, i, STR_ARG(value_str(only->a.v[k])),
						         STR_ARG(mine ? json_text(a, mine, 0) : S("")),
						         STR_ARG(theirs ? json_text(a, theirs, 0) : S("")));
					n++;
				}
				now = got;
			}
		}
	}
	assert_true(n > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_maps),
		cmocka_unit_test(test_lists_of_objects),
		cmocka_unit_test(test_lists_of_scalars),
		cmocka_unit_test(test_retain_keys),
		cmocka_unit_test(test_three_way),
		cmocka_unit_test(test_two_way),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_golden),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
