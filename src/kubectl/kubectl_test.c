// The parts of kubectl that need no server: columns, flags, JSONPath, durations, descriptions.
#include "base/test.h"

#include <stdlib.h>

#include "kubectl/cmd.h"
#include "kubectl/describe.h"

static str layout(struct arena *a, struct table *t)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	kc_table_flush(t, f);
	fclose(f);
	str out = arena_dup(a, str_n(text, n));
	free(text);
	return out;
}

static void columns(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct table t;
	kc_table_init(&t);
	static const char *const rows[][3] = { { "NAME", "READY", "AGE" },
		                               { "a-long-name", "1/1", "5m" },
		                               { "\xc3\xa9", "", "1h" } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		kc_table_row(&t);
		for (size_t j = 0; j < 3; j++)
			kc_table_cell(&t, str_c(rows[i][j]));
	}
	assert_text(layout(a, &t),
	            "NAME          READY   AGE\na-long-name   1/1     5m\n\xc3\xa9                     1h\n");
	kc_table_row(&t); // widths are remembered
	kc_table_cell(&t, S("b"));
	kc_table_cell(&t, S("0/1"));
	kc_table_cell(&t, S("1s"));
	assert_text(layout(a, &t), "b             0/1     1s\n");
	kc_table_free(&t);
}

// Blocks of lines that share a column are laid out on their own.
static void elastic_columns(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct table t;
	kc_table_init(&t);
	t.min_width = 0;
	t.padding = 2;
	t.remember = false;
	buf_add(&t.text, S("Name:\tx\nA longer name:\ty\nContainers:\n  c:\n    Image:\ti\n    P:\t1\t2\nEnd:\tz\n"));
	assert_text(layout(a, &t), "Name:           x\nA longer name:  y\nContainers:\n  c:\n    Image:  i\n    P:     "
	                           " 1  2\nEnd:        z\n");
	kc_table_free(&t);
}

static const struct flag test_flags[] = {
	FLAG_TEXT("output", 'o', ""),  FLAG_BOOL("watch", 'w'),    FLAG_BOOL("stdin", 'i'),
	FLAG_BOOL("tty", 't'),         FLAG_LIST("filename", 'f'), FLAG_TRUE("wait"),
	FLAG_TEXT("timeout", 0, "0s"), FLAG_TEXT("tail", 0, "-1"),
};
static const struct command test_command = { .name = "get", COMMAND_FLAGS(test_flags) };

static bool parse(struct kctl *k, struct arena *a, struct error *err, const char *const *args)
{
	char *argv[20];
	int n = 0;
	for (; args[n]; n++)
		argv[n] = (char *)args[n];
	*k = (struct kctl){ .a = a, .program = "kubectl", .command = S("get"), .cmd = &test_command };
	return flags_parse(k, n, argv, err);
}

static void flags(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct kctl k;
	int64_t i;
	assert_true(parse(&k, a, &err,
	                  (const char *const[]){ "pods", "-o", "wide", "-itw", "--wait=false", "-fa,b", "--filename",
	                                         "c", "x", "--", "-l", NULL }));
	assert_text(flag_text(&k, "output"), "wide");
	assert_true(flag_bool(&k, "stdin") && flag_bool(&k, "tty") && flag_bool(&k, "watch"));
	assert_false(flag_bool(&k, "wait"));
	assert_int_equal(flag_list(&k, "filename")->n, 3);
	assert_text(flag_list(&k, "filename")->v[1], "b");
	assert_int_equal(k.args.n, 3);
	assert_int_equal(k.dash, 2);
	assert_text(k.args.v[2], "-l");
	assert_false(flag_set(&k, "timeout"));
	assert_true(parse(&k, a, &err,
	                  (const char *const[]){ "-ojson", "-o=yaml", "-", "--timeout=1m30s", "--tail=5", NULL }));
	assert_text(flag_text(&k, "output"), "yaml");
	assert_text(k.args.v[0], "-");
	assert_true(flag_int(&k, "tail", &i, &err) && i == 5);
	assert_true(flag_duration(&k, "timeout", &i, &err) && i == 90000000000);
	static const struct {
		const char *args[3], *error;
	} bad[] = {
		{ { "--bogus" }, "unknown flag: --bogus\nSee 'kubectl get --help' for usage." },
		{ { "-z" }, "unknown shorthand flag: 'z' in -z\nSee 'kubectl get --help' for usage." },
		{ { "-o" }, "flag needs an argument: 'o' in -o\nSee 'kubectl get --help' for usage." },
		{ { "--output" }, "flag needs an argument: --output\nSee 'kubectl get --help' for usage." },
		{ { "--watch=maybe" },
		  "invalid argument \"maybe\" for \"--watch\" flag: strconv.ParseBool: parsing \"maybe\": invalid "
		  "syntax" },
	};
	for (size_t b = 0; b < ARRAY_LEN(bad); b++) {
		assert_false(parse(&k, a, &err, bad[b].args));
		assert_text(error_str(&err), bad[b].error);
	}
}

static void durations(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = { { "0", 0 },
		     { "5s", 5000000000 },
		     { "1h2m", 3720000000000 },
		     { "1.5s", 1500000000 },
		     { "-1s", -1000000000 },
		     { "10ms", 10000000 } };
	static const char *const bad[] = { "", "5", "s", "1x", "1h2", "1.2.3s" };
	static const struct {
		int64_t s;
		const char *text;
	} human[] = {
		{ 5, "5s" },        { 119, "119s" },   { 120, "2m" },         { 330, "5m30s" }, { 600, "10m" },
		{ 7300, "121m" },   { 10800, "3h" },   { 12000, "3h20m" },    { 30000, "8h" },  { 172800, "2d" },
		{ 180000, "2d2h" }, { 864000, "10d" }, { 70000000, "2y80d" }, { 0, "0s" },      { -5, "<invalid>" },
	};
	_cleanup_arena_ struct arena *a = arena_new(0);
	int64_t ns;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(kc_duration_parse(str_c(good[i].text), &ns) && ns == good[i].ns);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(kc_duration_parse(str_c(bad[i]), &ns));
	for (size_t i = 0; i < ARRAY_LEN(human); i++)
		assert_text(kc_human_duration(a, human[i].s), human[i].text);
}

static str run_path(struct kctl *k, const char *template, const struct value *obj, struct error *err)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	bool ok = jsonpath_print(k, f, str_c(template), obj, err);
	fclose(f);
	str out = ok ? arena_dup(k->a, str_n(text, n)) : S("(error)");
	free(text);
	return out;
}

static void paths(void **state)
{
	static const struct {
		const char *template, *want;
	} cases[] = {
		{ "{.a.b}", "1" },
		{ "{.none.x}", "" },
		{ "{.l[0].n}", "x" },
		{ "{.l[-1].n}", "z" },
		{ "{.l[*].n}", "x y z" },
		{ "{.l[0:2].n}", "x y" },
		{ "{.l[?(@.v>1)].n}", "y z" },
		{ "{.l[?(@.n==\"y\")].v}", "2" },
		{ "{.l[?(@.n=='z')].v}", "3" },
		{ "{range .l[*]}{.n}={.v}{\"\\n\"}{end}", "x=1\ny=2\nz=3\n" },
		{ "{.a}", "{\"b\":1}" },
		{ "{.a.*}", "1" },
		{ "{..n}", "x y z" },
		{ "{.d['e.f/g']}", "dotted" },
		{ "{.d.e\\.f/g}", "dotted" },
		{ "name: {.a.b}!", "name: 1!" },
		{ "a.b", "1" },
		{ "{$.a.b}", "1" },
		{ "{.t}", "true" },
		{ "{.l[0,2].n}", "x z" },
		{ "{range .l[*]}{$.a.b}{end}", "111" },
		{ "{.a", "(error)" },
		{ "{range .l[*]}x", "(error)" },
		{ "{.l[x]}", "(error)" },
	};
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct kctl k = { .a = a };
	struct value *obj = json_parse(a,
	                               S("{\"a\":{\"b\":1},\"l\":[{\"n\":\"x\",\"v\":1},{\"n\":\"y\",\"v\":2},{\"n\":"
	                                 "\"z\",\"v\":3}],\"d\":{\"e.f/g\":\"dotted\"},\"t\":true}"),
	                               NULL, &err);
	assert_non_null(obj);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_text(run_path(&k, cases[i].template, obj, &err), cases[i].want);
}

static void selectors(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct value *s =
	        json_parse(a,
	                   S("{\"matchLabels\":{\"b\":\"2\",\"a\":\"1\"},\"matchExpressions\":[{\"key\":\"k\","
	                     "\"operator\":\"In\",\"values\":[\"x\",\"y\"]},"
	                     "{\"key\":\"e\",\"operator\":\"Exists\"},{\"key\":\"n\",\"operator\":\"DoesNotExist\"}]}"),
	                   NULL, &err);
	assert_text(kc_selector_text(a, s), "a=1,b=2,k in (x,y),e,!n");
	assert_text(kc_selector_text(a, NULL), "<none>");
	assert_text(kc_labels_text(a, value_get(s, S("matchLabels"))), "a=1,b=2");
}

static void kinds(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct kctl k = { .a = a, .discovered = true };
	static const struct {
		const char *word, *name, *path;
	} cases[] = {
		{ "po", "pod", "/api/v1/namespaces/n/pods/x" },
		{ "Deployment", "deployment.apps", "/apis/apps/v1/namespaces/n/deployments/x" },
		{ "no", "node", "/api/v1/nodes/x" },
		{ "deploy.apps", "deployment.apps", "/apis/apps/v1/namespaces/n/deployments/x" },
		{ "deployments.v1.apps", "deployment.apps", "/apis/apps/v1/namespaces/n/deployments/x" },
		{ "pods.v1", "pod", "/api/v1/namespaces/n/pods/x" },
		{ "events", "event", "/api/v1/namespaces/n/events/x" },
		{ "sa", "serviceaccount", "/api/v1/namespaces/n/serviceaccounts/x" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct rtype *t = kc_type_find(&k, str_c(cases[i].word), &err);
		assert_non_null(t);
		assert_text(kc_type_name(&k, t), cases[i].name);
		assert_text(kc_type_path(&k, t, S("n"), S("x")), cases[i].path);
	}
	assert_null(kc_type_find(&k, S("foos"), &err));
	assert_string_equal(err.text, "the server doesn't have a resource type \"foos\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns),   cmocka_unit_test(elastic_columns), cmocka_unit_test(flags),
		cmocka_unit_test(durations), cmocka_unit_test(paths),           cmocka_unit_test(selectors),
		cmocka_unit_test(kinds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
