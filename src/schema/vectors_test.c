// Round trips of objects that another implementation encoded (shared/vectors/api): every file must come back bit by bit, and each
// form must lead to every other.
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/io.h"
#include "json/yaml.h"
#include "schema/schema.h"

static const char *shared_dir(void)
{
	const char *dir = getenv("CORACLE_SHARED");
	return dir && *dir ? dir : "../shared";
}

static const struct message_desc *message_of(str api_version, str kind)
{
	str group, version;
	if (!str_split(api_version, '/', &group, &version)) {
		version = group;
		group = S("");
	}
	return schema_kind(group, version, kind);
}

static str encode_json(struct arena *a, const struct message_desc *m, const void *obj)
{
	_cleanup_buf_ struct buf b = { 0 };
	schema_to_json(&b, m, obj);
	return arena_dup(a, buf_str(&b));
}

static str encode_pb(struct arena *a, const struct message_desc *m, const void *obj, str api_version, str kind)
{
	_cleanup_buf_ struct buf raw = { 0 }, b = { 0 };
	schema_to_pb(&raw, m, obj);
	schema_wrap_pb(&b, api_version, kind, buf_str(&raw));
	return arena_dup(a, buf_str(&b));
}

static void *decode_pb(struct arena *a, const char *stem, str bytes, const struct message_desc **m, struct error *err)
{
	str api_version, kind, raw;
	if (!schema_unwrap_pb(bytes, &api_version, &kind, &raw, err))
		return NULL;
	// WatchEvent alone has no apiVersion and kind.
	bool event = str_eqc(str_c(stem), "core.v1.WatchEvent");
	*m = event ? schema_message(S("k8s.io.apimachinery.pkg.apis.meta.v1.WatchEvent"))
	           : message_of(api_version, kind);
	if (!*m) {
		error_set(err, "no message for " STR_FMT " " STR_FMT, STR_ARG(api_version), STR_ARG(kind));
		return NULL;
	}
	void *obj = schema_from_pb(a, *m, raw, err);
	if (obj && !event) {
		((str *)obj)[0] = api_version;
		((str *)obj)[1] = kind;
	}
	return obj;
}

static int differs(const char *name, const char *what, str got, str want)
{
	size_t i = 0;
	while (i < got.n && i < want.n && got.p[i] == want.p[i])
		i++;
	if (i == got.n && i == want.n)
		return 0;
	size_t from = i > 60 ? i - 60 : 0;
	fprintf(stderr, "%s: %s differs at byte %zu:\n  got  ...%.*s\n  want ...%.*s\n", name, what, i,
	        (int)MIN(got.n - from, 140), got.p + from, (int)MIN(want.n - from, 140), want.p + from);
	return 1;
}

static str load(struct arena *a, const char *stem, const char *suffix)
{
	str text, path = arena_printf(a, "%s/vectors/api/%s.%s", shared_dir(), stem, suffix);
	struct error err = { 0 };
	if (!io_read_file(a, path.p, 16 << 20, &text, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return (str){ 0 };
	}
	return text;
}

// Number of things that are wrong with one vector.
static int check(const char *stem)
{
	_cleanup_arena_ struct arena *a = arena_new(1 << 16);
	struct error err = { 0 };
	int bad = 0;
	str json = load(a, stem, "json"), yaml = load(a, stem, "yaml"), pb = load(a, stem, "pb");
	const struct message_desc *m = NULL;
	void *from_pb = decode_pb(a, stem, pb, &m, &err);
	if (!from_pb) {
		fprintf(stderr, "%s: pb: %s\n", stem, err.text);
		return 1;
	}
	str api_version, kind, raw;
	schema_unwrap_pb(pb, &api_version, &kind, &raw, &err);
	// The file is indented for people; its values are what the encoder must write.
	struct value *tree = json_parse(a, json, NULL, &err);
	if (!tree) {
		fprintf(stderr, "%s: %s\n", stem, err.text);
		return 1;
	}
	str compact = json_text(a, tree, JSON_ESCAPE_HTML);
	struct str_list strict = { 0 };
	struct decode_opts opts = { .strict = &strict };
	void *from_json = schema_from_json(a, m, json, &opts, &err);
	if (!from_json) {
		fprintf(stderr, "%s: json: %s\n", stem, err.text);
		return bad + 1;
	}
	for (size_t i = 0; i < strict.n; i++, bad++)
		fprintf(stderr, "%s: " STR_FMT "\n", stem, STR_ARG(strict.v[i]));
	bad += differs(stem, "json -> json", encode_json(a, m, from_json), compact);
	bad += differs(stem, "json -> pb", encode_pb(a, m, from_json, api_version, kind), pb);
	bad += differs(stem, "pb -> pb", encode_pb(a, m, from_pb, api_version, kind), pb);
	bad += differs(stem, "pb -> json", encode_json(a, m, from_pb), compact);
	bad += differs(stem, "copy -> json", encode_json(a, m, schema_clone(a, m, from_json)), compact);
	struct value *doc = yaml_parse(a, yaml, NULL, &err);
	if (!doc) {
		fprintf(stderr, "%s: yaml: %s\n", stem, err.text);
		return bad + 1;
	}
	void *from_yaml = schema_from_value(a, m, doc, &opts, &err);
	if (!from_yaml) {
		fprintf(stderr, "%s: yaml: %s\n", stem, err.text);
		return bad + 1;
	}
	bad += differs(stem, "yaml -> json", encode_json(a, m, from_yaml), compact);
	if (!value_equal(doc, schema_to_value(a, m, from_yaml))) {
		fprintf(stderr, "%s: yaml: another document\n", stem);
		bad++;
	}
	_cleanup_buf_ struct buf out = { 0 };
	struct value *sorted = json_parse(a, encode_json(a, m, from_yaml), NULL, &err);
	yaml_write(&out, sorted);
	bad += differs(stem, "yaml -> yaml", buf_str(&out), yaml);
	if (!schema_equal(m, from_json, from_pb) || !schema_equal(m, from_json, from_yaml)) {
		fprintf(stderr, "%s: the three forms are not equal\n", stem);
		bad++;
	}
	return bad;
}

static void test_vectors(void **state)
{
	(void)state;
	char path[1000];
	snprintf(path, sizeof(path), "%s/vectors/api", shared_dir());
	_cleanup_closedir_ DIR *dir = opendir(path);
	if (!dir) {
		print_message("%s is not there: skipped\n", path);
		skip();
	}
	int n = 0, bad = 0;
	for (struct dirent *e; (e = readdir(dir));) {
		str name = str_c(e->d_name);
		if (!str_cut_suffix(&name, S(".json")))
			continue;
		char stem[300];
		snprintf(stem, sizeof(stem), STR_FMT, STR_ARG(name));
		n++;
		bad += check(stem) != 0;
	}
	print_message("%d of %d vectors pass\n", n - bad, n);
	assert_int_equal(bad, 0);
	assert_true(n > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_vectors) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
