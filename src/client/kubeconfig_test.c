#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "client/client_internal.h"

#define CONTEXT "current-context: a\ncontexts: [{name: a, context: {cluster: b, user: c, namespace: here}}]\n"

static void refuses(const char *text, const char *why)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct kubeconfig k;
	struct error err = { 0 };
	assert_false(kubeconfig_parse(a, str_c(text), S("/etc"), &k, &err));
	assert_string_equal(err.text, why);
}

static void reads_what_counts(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct kubeconfig k;
	struct error err = { 0 };
	assert_true(kubeconfig_parse(a,
	                             str_c(CONTEXT "clusters: [{name: x, cluster: {server: \"https://x\"}}, {name: b, "
	                                           "cluster: {server: \"https://h:6443/\", "
	                                           "certificate-authority-data: QUJD, tls-server-name: api}}]\n"
	                                           "users: [{name: c, user: {client-certificate-data: Q0VSVA==, "
	                                           "client-key-data: S0VZ, tokenFile: tok}}]\n"),
	                             S("/etc"), &k, &err));
	assert_true(str_eq(k.server, S("https://h:6443")));
	assert_true(str_eq(k.ca_pem, S("ABC")) && str_eq(k.cert_pem, S("CERT")) && str_eq(k.key_pem, S("KEY")));
	assert_true(str_eq(k.token_file, S("/etc/tok")) && str_eq(k.ns, S("here")));
	assert_string_equal(k.server_name, "api");
	assert_false(k.insecure);
}

static void refuses_what_is_wrong(void **state)
{
	refuses("{}", "current-context is not set");
	refuses("current-context: z\n", "context \"z\" does not exist");
	refuses(CONTEXT, "cluster \"b\" does not exist");
	refuses(CONTEXT "clusters: [{name: b, cluster: {}}]\n", "cluster \"b\" has no server");
	refuses(CONTEXT "clusters: [{name: b, cluster: {server: h}}]\n", "user \"c\" does not exist");
	refuses(CONTEXT "clusters: [{name: b, cluster: {server: h}}]\nusers: [{name: c, user: {exec: {command: x}}}]\n",
	        "user \"c\": credential plug-ins are not supported");
	refuses(CONTEXT "clusters: [{name: b, cluster: {server: h, certificate-authority-data: \"%%\"}}]\n",
	        "certificate-authority-data: not base64");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(reads_what_counts),
		                            cmocka_unit_test(refuses_what_is_wrong) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
