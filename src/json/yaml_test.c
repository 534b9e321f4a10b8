#include "json/yaml.h"

#include <dirent.h>
#include <stdlib.h>

#include "base/io.h"
#include "base/test.h"

static void reads(void **state)
{
	static const struct {
		const char *yaml, *json;
	} cases[] = {
		{ "", "null" },
		{ "# only a comment\n", "null" },
		{ "a: 1\nb:\n- x\n- w: z\n", "{\"a\":1,\"b\":[\"x\",{\"w\":\"z\"}]}" },
		{ "[1, 0x1F, 0o17, 017, 0b101, -0b11, +5, 1_000, 08]", "[1,31,15,15,5,-3,5,1000,8]" },
		{ "[1.5, .5, 1e3, -1.5e-3, 1., 0.0]", "[1.5,0.5,1000,-0.0015,1,0]" },
		{ "[9223372036854775807, 9223372036854775808, 18446744073709551615, 1e30]",
		  "[9223372036854775807,9223372036854776000,18446744073709552000,1e+30]" },
		{ "[yes, No, on, OFF, true, False, y, n]", "[true,false,true,false,true,false,true,false]" },
		{ "[tRUE, yEs, \"yes\", 'no', !!str yes]", "[\"tRUE\",\"yEs\",\"yes\",\"no\",\"yes\"]" },
		{ "[~, null, Null, nULL, ]", "[null,null,null,\"nULL\"]" },
		{ "a:\nb: \"\"\n", "{\"a\":null,\"b\":\"\"}" },
		{ "[2001-01-01, 2001-01-01T00:00:00Z, 12:30:45, 1.2.3, 0x, -, ., 1e999]",
		  "[\"2001-01-01\",\"2001-01-01T00:00:00Z\",\"12:30:45\",\"1.2.3\",\"0x\",\"-\",\".\",\"1e999\"]" },
		{ "[!!int \"7\", !!float 3, !!binary aGk=, !custom x]", "[7,3,\"hi\",\"x\"]" },
		{ "1: a\ntrue: b\n1.5: c\nx: d\n", "{\"1\":\"a\",\"true\":\"b\",\"1.5\":\"c\",\"x\":\"d\"}" },
		{ "a: |\n  x\n   y\n\nb: >-\n  x\n  y\n", "{\"a\":\"x\\n y\\n\",\"b\":\"x y\"}" },
		{ "a: &x {k: 1}\nb: *x\nc: [*x, *x]\n",
		  "{\"a\":{\"k\":1},\"b\":{\"k\":1},\"c\":[{\"k\":1},{\"k\":1}]}" },
		{ "base: &b {k: 1, l: 2}\nd:\n  <<: *b\n  k: 3\n",
		  "{\"base\":{\"k\":1,\"l\":2},\"d\":{\"k\":3,\"l\":2}}" },
		{ "d:\n  <<: [{a: 1, b: 1}, {b: 2, c: 2}]\n", "{\"d\":{\"b\":1,\"c\":2,\"a\":1}}" },
		{ "\"<<\": 1", "{\"<<\":1}" },
		{ "a: 1\na: 2\n", "{\"a\":2}" },
		{ "{\"a\": [1, {\"b\": \"\\u00e9\"}]}", "{\"a\":[1,{\"b\":\"\xc3\xa9\"}]}" },
		{ "a: 1 # comment\nb: 'it''s'\n", "{\"a\":1,\"b\":\"it's\"}" },
		{ "--- \na: 1\n...\n", "{\"a\":1}" },
		{ "x: \"\\x41\\n\"", "{\"x\":\"A\\n\"}" },
	};
	_cleanup_arena_ struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = { 0 };
		struct value *v = yaml_parse(a, str_c(cases[i].yaml), NULL, &err);
		if (!v)
			print_error("%s: %s\n", cases[i].yaml, err.text);
		assert_non_null(v);
		assert_text(json_text(a, v, 0), cases[i].json);
	}
}

static void refuses(void **state)
{
	static const struct {
		const char *yaml, *error;
	} cases[] = {
		{ "a: b: c\n", "yaml: mapping values are not allowed in this context" },
		{ "a: 1\nb: c: d\n", "yaml: line 2: mapping values are not allowed in this context" },
		{ "a:\n\tb: 1\n", "yaml: line 2: found character that cannot start any token" },
		{ "x: 1\na: [1,\nb: 2\n", "yaml: line 3: did not find expected ',' or ']'" },
		{ "a: *nope\n", "yaml: unknown anchor 'nope' referenced" },
		{ "a: &x [*x]\n", "yaml: anchor 'x' value contains itself" },
		{ "{{ name }}: 1\n",
		  "yaml: invalid map key: map[interface {}]interface {}{\"name\":interface {}(nil)}" },
		{ "<<: 1\n", "yaml: map merge requires map or sequence of maps as the value" },
		{ "a: !!int x\n", "yaml: cannot decode !!str `x` as a !!int" },
		{ "a: !!binary \"*\"\n", "yaml: !!binary value contains invalid base64 data" },
		{ "a: .nan\n", "json: unsupported value: NaN" },
		{ "a: \"x\n", "yaml: line 2: found unexpected end of stream" },
		{ "a: \xff\n", "yaml: invalid leading UTF-8 octet" },
		{ "a: \x01\n", "yaml: control characters are not allowed" },
	};
	_cleanup_arena_ struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = { 0 };
		assert_null(yaml_parse(a, str_c(cases[i].yaml), NULL, &err));
		str text = error_str(&err);
		assert_true(str_cut_prefix(&text, S("error converting YAML to JSON: ")));
		assert_text(text, cases[i].error);
		assert_int_equal(err.code, 400);
	}
}

static void duplicates_are_listed(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct json_duplicates found = { 0 };
	struct json_opts opts = { .duplicates = &found };
	struct error err = { 0 };
	assert_non_null(yaml_parse(a, S("a: 1\nb:\n  c: 1\n  c: 2\na: 2\n5: x\n5:\n  y\n"), &opts, &err));
	assert_int_equal(found.n, 3);
	assert_text(found.v[0], "line 4: key \"c\" already set in map");
	assert_text(found.v[1], "line 5: key \"a\" already set in map");
	assert_text(found.v[2], "line 8: key 5 already set in map");
}

static void expansion_is_bounded(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	_cleanup_buf_ struct buf b = { 0 };
	struct error err = { 0 };
	buf_add(&b, S("a0: &a0 [x, x, x, x, x, x, x, x, x]\n"));
	for (int i = 1; i < 10; i++) {
		buf_printf(&b, "a%d: &a%d [", i, i);
		for (int j = 0; j < 9; j++)
			buf_printf(&b, "%s*a%d", j ? ", " : "", i - 1);
		buf_add(&b, S("]\n"));
	}
	assert_null(yaml_parse(a, buf_str(&b), NULL, &err));
	assert_string_equal(err.text, "error converting YAML to JSON: yaml: document contains excessive aliasing");
	buf_clear(&b);
	for (int i = 0; i < 2000; i++)
		buf_add_char(&b, '[');
	assert_null(yaml_parse(a, buf_str(&b), NULL, &err));
	buf_clear(&b);
	buf_add(&b, S("- &a0 [x]\n")); // a chain of aliases, each one level deeper
	for (int i = 1; i < 5000; i++)
		buf_printf(&b, "- &a%d [*a%d]\n", i, i - 1);
	assert_null(yaml_parse(a, buf_str(&b), NULL, &err));
}

static void streams(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		const char *last;
	} cases[] = {
		{ "", 0, NULL },
		{ "a: 1\n---\nb: 2\n---\n# nothing\n---\nc: 3\n", 3, "{\"c\":3}" },
		{ "---\na: 1\n", 1, "{\"a\":1}" },
		{ "a: |\n  --- not\nb: 1\n", 1, "{\"a\":\"--- not\\n\",\"b\":1}" },
		{ "{\"a\":1}\n{\"b\":\"}\"} {\"c\":[{}]}", 3, "{\"c\":[{}]}" },
		{ "{\"a\":1}\n---\n{\"b\":2}\n", 2, "{\"b\":2}" },
		{ "{a: 1}\n", 1, "{\"a\":1}" },
		{ "--- # first\na: 1\n--- # second\nb: 2", 2, "{\"b\":2}" },
	};
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct value **docs;
	size_t n;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool ok = yaml_parse_all(a, str_c(cases[i].text), NULL, &docs, &n, &err);
		if (!ok)
			print_error("%s: %s\n", cases[i].text, err.text);
		assert_true(ok);
		assert_int_equal(n, cases[i].n);
		if (n)
			assert_text(json_text(a, docs[n - 1], 0), cases[i].last);
	}
	assert_false(yaml_parse_all(a, S("{\"a\":1"), NULL, &docs, &n, &err));
	assert_string_equal(err.text, "unexpected EOF");
	assert_false(yaml_parse_all(a, S("\n{\"a\":: 1}"), NULL, &docs, &n, &err));
	assert_string_equal(err.text, "json: offset 7: invalid character ':' looking for beginning of value");
	assert_false(yaml_parse_all(a, S("a: 1\n---\nb: c: d\n"), NULL, &docs, &n, &err));
	assert_string_equal(err.text,
	                    "error converting YAML to JSON: yaml: mapping values are not allowed in this context");
	assert_false(yaml_parse_all(a, S("a: 1\n--- x\n"), NULL, &docs, &n, &err));
	assert_string_equal(err.text, "invalid Yaml document separator: x");
}

static void writes(void **state)
{
	static const struct {
		const char *json, *yaml;
	} cases[] = {
		{ "{\"b\":[1,{\"x\":null,\"y\":[]}],\"a\":{}}", "a: {}\nb:\n- 1\n- x: null\n  \"y\": []\n" },
		{ "[[1,[2]],{\"a\":[{\"b\":1}]}]", "- - 1\n  - - 2\n- a:\n  - b: 1\n" },
		{ "\"text\"", "text\n" },
		{ "5", "5\n" },
		{ "{}", "{}\n" },
		{ "{\"s\":[\"yes\",\"1\",\"1.5\",\"null\",\"\",\"~\",\"0x1\",\"2001-01-01\",\"12:30:45\",\"1e3\"]}",
		  "s:\n- \"yes\"\n- \"1\"\n- \"1.5\"\n- \"null\"\n- \"\"\n- \"~\"\n- \"0x1\"\n- \"2001-01-01\"\n- "
		  "\"12:30:45\"\n- \"1e3\"\n" },
		{ "[\"a: b\",\" a\",\"a \",\"#x\",\"a #x\",\"a#x\",\"- "
		  "a\",\"-a\",\"*x\",\"it's\",\"a:\",\"'q'\",\"!x\",\"?\",\"{a\",\"a{\",\"---\"]",
		  "- 'a: b'\n- ' a'\n- 'a '\n- '#x'\n- 'a #x'\n- a#x\n- '- a'\n- -a\n- '*x'\n- it's\n- 'a:'\n- "
		  "'''q'''\n- '!x'\n- '?'\n- '{a'\n- a{\n- '---'\n" },
		{ "{\"t\":\"a\\nb\\n\",\"u\":\"a\\nb\",\"v\":\"a\\n\\n\",\"w\":\" a\\nb\\n\",\"x\":\"a "
		  "\\nb\",\"z\":\"\\ta\\n\"}",
		  "t: |\n  a\n  b\nu: |-\n  a\n  b\nv: |+\n  a\n\nw: |2\n   a\n  b\nx: \"a \\nb\"\nz: \"\\ta\\n\"\n" },
		{ "[\"tab\\there\",\"bell\\u0007\",\"\xc3\xa9\",\"\xf0\x9f\x98\x80\",\"\\u00a0\"]",
		  "- \"tab\\there\"\n- \"bell\\a\"\n- \xc3\xa9\n- \"\\U0001F600\"\n- \xc2\xa0\n" },
		{ "[1.5,1234567.5,1e-7,18446744073709551615,1e30,0.1]",
		  "- 1.5\n- 1.2345675e+06\n- 1e-07\n- 1.8446744073709552e+19\n- 1e+30\n- 0.1\n" },
		{ "{\"k10\":1,\"k9\":2,\"k\":3,\"B\":4,\"a\":5,\".x\":6,\"1\":7}",
		  ".x: 6\n\"1\": 7\nB: 4\na: 5\nk: 3\nk9: 2\nk10: 1\n" },
	};
	_cleanup_arena_ struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = { 0 };
		_cleanup_buf_ struct buf b = { 0 };
		struct value *v = json_parse(a, str_c(cases[i].json), NULL, &err);
		assert_non_null(v);
		yaml_write(&b, v);
		assert_text(buf_str(&b), cases[i].yaml);
		assert_true(value_equal(yaml_parse(a, buf_str(&b), NULL, &err), v));
	}
}

static void folds_long_lines(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	_cleanup_buf_ struct buf b = { 0 }, text = { 0 };
	for (int i = 0; i < 30; i++)
		buf_printf(&text, i ? " word%d" : "word%d", i);
	struct value *v = value_object(a), *inner = value_object(a);
	value_set(a, v, S("m"), inner);
	value_set(a, inner, S("message"), value_string(a, buf_str(&text)));
	yaml_write(&b, v);
	assert_text(buf_str(&b),
	            "m:\n  message: word0 word1 word2 word3 word4 word5 word6 word7 word8 word9 word10 word11\n"
	            "    word12 word13 word14 word15 word16 word17 word18 word19 word20 word21 word22 word23\n"
	            "    word24 word25 word26 word27 word28 word29\n");
	struct error err = { 0 };
	assert_true(value_equal(yaml_parse(a, buf_str(&b), NULL, &err), v));
}

// Upstream's own objects, where a folder with them is given: the YAML text is the JSON document, and is written so.
static void vectors(void **state)
{
	const char *dir = getenv("CORACLE_VECTORS");
	_cleanup_closedir_ DIR *d = dir ? opendir(dir) : NULL;
	if (!d)
		skip();
	for (struct dirent *e; (e = readdir(d));) {
		str name = str_c(e->d_name);
		if (!str_cut_suffix(&name, S(".json")))
			continue;
		_cleanup_arena_ struct arena *a = arena_new(0);
		_cleanup_buf_ struct buf b = { 0 };
		struct error err = { 0 };
		str json, yaml;
		assert_true(io_read_file(a, arena_printf(a, "%s/" STR_FMT ".json", dir, STR_ARG(name)).p, 1 << 24,
		                         &json, &err));
		assert_true(io_read_file(a, arena_printf(a, "%s/" STR_FMT ".yaml", dir, STR_ARG(name)).p, 1 << 24,
		                         &yaml, &err));
		struct value *from_json = json_parse(a, json, NULL, &err), *from_yaml = yaml_parse(a, yaml, NULL, &err);
		assert_true(from_json && from_yaml && value_equal(from_json, from_yaml));
		yaml_write(&b, from_json);
		assert_str_equal(buf_str(&b), yaml);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads),
		cmocka_unit_test(refuses),
		cmocka_unit_test(duplicates_are_listed),
		cmocka_unit_test(expansion_is_bounded),
		cmocka_unit_test(streams),
		cmocka_unit_test(writes),
		cmocka_unit_test(folds_long_lines),
		cmocka_unit_test(vectors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
