#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "runtime/digest.h"
#include "runtime/ref.h"
#include "runtime/registry.h"

#define D "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void parses(void **state)
{
	(void)state;
	static const struct { const char *in, *name, *tag, *digest; } good[] = {
		{ "nginx", "docker.io/library/nginx", "latest", "" },
		{ "nginx:1.29", "docker.io/library/nginx", "1.29", "" },
		{ "team/app", "docker.io/team/app", "latest", "" },
		{ "docker.io/nginx", "docker.io/library/nginx", "latest", "" },
		{ "index.docker.io/library/nginx:x", "docker.io/library/nginx", "x", "" },
		{ "localhost/app", "localhost/app", "latest", "" },
		{ "localhost:5000/app:v1", "localhost:5000/app", "v1", "" },
		{ "quay.io/a/b/c@" D, "quay.io/a/b/c", "", D },
		{ "quay.io/a:t@" D, "quay.io/a", "t", D },
		{ "[::1]:5000/a", "[::1]:5000/a", "latest", "" },
		{ "a__b/c-d.e_f", "docker.io/a__b/c-d.e_f", "latest", "" },
	};
	static const char *const bad[] = { "", "Nginx", "a/B", "nginx:", "nginx@", "nginx@sha256:12", "a//b", "/a", "a/", "a:b:c", "a..b", "a___b", "-a", "a b", "a:\x01",
		                           "a.b:70000000/x", "a@md5:11" };
	struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct error err = { 0 };
		struct image_ref r;
		if (!image_ref_parse(a, str_c(good[i].in), &r, &err))
			fail_msg("%s: %s", good[i].in, err.text);
		assert_true(str_eqc(image_ref_name(a, &r), good[i].name));
		assert_true(str_eqc(r.tag, good[i].tag));
		assert_true(str_eqc(r.digest, good[i].digest));
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct error err = { 0 };
		struct image_ref r;
		if (image_ref_parse(a, str_c(bad[i]), &r, &err))
			fail_msg("%s was taken for a reference", bad[i]);
		assert_int_equal(err.code, 400);
	}
	arena_free(a);
}

static void digests(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	assert_true(str_eqc(digest_of(a, S("")), D));
	assert_false(digest_valid(S("sha256:E3B0C44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")));
	assert_true(str_eqc(digest_chain(a, (str){ 0 }, S(D)), D));
	assert_true(str_eq(digest_chain(a, S(D), S(D)), digest_of(a, S(D " " D))));
	arena_free(a);
}

static void challenges(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct challenge c;
	assert_true(challenge_parse(a, S("Bearer realm=\"https://auth.docker.io/token\",service=\"registry, \\\"x\\\"\", scope=\"repository:a/b:pull\""), &c));
	assert_true(c.bearer && str_eqc(c.realm, "https://auth.docker.io/token") && str_eqc(c.service, "registry, \"x\"") && str_eqc(c.scope, "repository:a/b:pull"));
	assert_true(challenge_parse(a, S("basic realm=x"), &c));
	assert_true(c.basic);
	assert_false(challenge_parse(a, S("Bearer realm=\"unterminated"), &c));
	assert_false(challenge_parse(a, S("Negotiate"), &c));
	assert_false(challenge_parse(a, S(""), &c));
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(parses), cmocka_unit_test(digests), cmocka_unit_test(challenges) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
