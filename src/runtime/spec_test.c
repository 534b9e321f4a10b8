#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "json/json.h"
#include "runtime/caps.h"
#include "runtime/cni_client.h"
#include "runtime/manifest.h"
#include "runtime/spec.h"

static struct value *build(struct arena *a, const char *config, const char *image, struct error *err)
{
	struct error e = { 0 };
	struct cri_v1_ContainerConfig *c = schema_from_json(a, cri_v1_ContainerConfig_desc, str_c(config), NULL, &e);
	struct image_config i;
	if (!c || !image_config_parse(a, str_c(image), &i, &e))
		fail_msg("%s", e.text);
	struct user user = { 0 };
	struct spec_input in = {
		.id = "id", .config = c, .image = &i, .user = &user, .rootfs = "/bundle/rootfs", .net_ns = "/ns/net", .uts_ns = "/ns/uts", .ipc_ns = "/ns/ipc",
		.shm = "/shm", .hostname_text = S("host"), .cgroup = S("/pod/id"), .caps_available = ~UINT64_C(0), .oom_score_adj_min = -500, .recursive_read_only = true,
	};
	return spec_build(a, &in, err);
}

static str joined(struct arena *a, const struct value *list)
{
	str out = { 0 };
	for (size_t i = 0; value_is(list, V_ARRAY) && i < list->a.n; i++)
		out = arena_concat(a, out, i ? S(" ") : S(""), value_str(list->a.v[i]));
	return out;
}

static void commands(void **state)
{
	(void)state;
	static const char image[] = "{\"config\":{\"Entrypoint\":[\"/entry\"],\"Cmd\":[\"cmd\",\"arg\"],\"Env\":[\"A=image\",\"PATH=/bin\"],\"WorkingDir\":\"/work\"}}";
	static const struct { const char *config, *args; } cases[] = {
		{ "{}", "/entry cmd arg" },
		{ "{\"args\":[\"x\"]}", "/entry x" },
		{ "{\"command\":[\"c\"]}", "c" },
		{ "{\"command\":[\"c\"],\"args\":[\"x\",\"y\"]}", "c x y" },
	};
	struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = { 0 };
		struct value *s = build(a, cases[i].config, image, &err);
		assert_non_null(s);
		assert_true(str_eqc(joined(a, value_path(s, S("process"), S("args"))), cases[i].args));
	}
	struct error err = { 0 };
	struct value *s = build(a, "{\"envs\":[{\"key\":\"A\",\"value\":\"bWluZQ==\"}],\"tty\":true}", image, &err);
	assert_true(str_eqc(joined(a, value_path(s, S("process"), S("env"))), "PATH=/bin TERM=xterm HOSTNAME=host A=mine HOME=/"));
	assert_true(str_eqc(value_str(value_path(s, S("process"), S("cwd"))), "/work"));
	assert_null(build(a, "{}", "{}", &err));
	assert_string_equal(err.text, "no command specified");
	arena_free(a);
}

static void security(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct value *s = build(a, "{\"command\":[\"c\"],\"linux\":{\"resources\":{\"oom_score_adj\":-997,\"cpu_quota\":5000,\"cpu_period\":100000,\"memory_limit_in_bytes\":4096}}}", "{}", &err);
	assert_int_equal(value_path(s, S("process"), S("capabilities"), S("bounding"))->a.n, 14);
	assert_int_equal(value_path(s, S("process"), S("oomScoreAdj"))->i, -500); // no lower than this process may go
	assert_int_equal(value_path(s, S("linux"), S("resources"), S("cpu"), S("quota"))->i, 5000);
	assert_null(value_path(s, S("linux"), S("resources"), S("memory"), S("swap")));
	assert_null(value_path(s, S("linux"), S("seccomp")));
	assert_true(str_eqc(value_str(value_path(s, S("linux"), S("cgroupsPath"))), "/pod/id"));
	// The first rule for devices refuses them all.
	const struct value *rule = value_path(s, S("linux"), S("resources"), S("devices"))->a.v[0];
	assert_false(value_get(rule, S("allow"))->b);
	s = build(a, "{\"command\":[\"c\"],\"linux\":{\"security_context\":{\"seccomp\":{\"profile_type\":0},\"masked_paths\":[\"/m\"],\"capabilities\":{\"add_capabilities\":[\"sys_admin\"],\"drop_capabilities\":[\"CAP_CHOWN\"]}}}}", "{}", &err);
	assert_true(str_eqc(value_str(value_path(s, S("linux"), S("seccomp"), S("defaultAction"))), "SCMP_ACT_ERRNO"));
	assert_true(str_contains(joined(a, value_path(s, S("process"), S("capabilities"), S("effective"))), S("CAP_SYS_ADMIN")));
	assert_false(str_contains(joined(a, value_path(s, S("process"), S("capabilities"), S("effective"))), S("CAP_CHOWN")));
	s = build(a, "{\"command\":[\"c\"],\"linux\":{\"security_context\":{\"privileged\":true,\"masked_paths\":[\"/m\"],\"seccomp\":{\"profile_type\":0}}}}", "{}", &err);
	assert_null(value_path(s, S("linux"), S("maskedPaths")));
	assert_null(value_path(s, S("linux"), S("seccomp")));
	static const char *const refused[] = {
		"{\"command\":[\"c\"],\"linux\":{\"security_context\":{\"capabilities\":{\"add_capabilities\":[\"NOSUCH\"]}}}}",
		"{\"command\":[\"c\"],\"linux\":{\"security_context\":{\"apparmor\":{\"profile_type\":2,\"localhost_ref\":\"p\"}}}}",
		"{\"command\":[\"c\"],\"linux\":{\"security_context\":{\"seccomp\":{\"profile_type\":2,\"localhost_ref\":\"/nosuch\"}}}}",
		"{\"command\":[\"c\"],\"mounts\":[{\"container_path\":\"/a\",\"host_path\":\"/\",\"recursive_read_only\":true}]}",
		"{\"command\":[\"c\"],\"mounts\":[{\"container_path\":\"a\",\"host_path\":\"/\"}]}",
		"{\"command\":[\"c\"],\"devices\":[{\"container_path\":\"/dev/x\",\"host_path\":\"/dev/null\",\"permissions\":\"x\"}]}",
		"{\"command\":[\"c\"],\"CDI_devices\":[{\"name\":\"v/c=d\"}]}",
	};
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		assert_null(build(a, refused[i], "{}", &err));
	arena_free(a);
}

static void capabilities(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct error err = { 0 };
	str all[] = { S("ALL") }, chown[] = { S("chown") };
	uint64_t set;
	assert_true(caps_apply(caps_default(), &(struct str_list){ 0 }, &(struct str_list){ all, 1 }, &set, &err));
	assert_int_equal(set, 0);
	assert_true(caps_apply(caps_default(), &(struct str_list){ chown, 1 }, &(struct str_list){ all, 1 }, &set, &err));
	assert_int_equal(set, 1);
	assert_true(caps_apply(0, &(struct str_list){ all, 1 }, &(struct str_list){ chown, 1 }, &set, &err));
	assert_int_equal(set, ((UINT64_C(1) << 41) - 1) & ~UINT64_C(1));
	arena_free(a);
}

static void cni_results(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct str_list ips;
	assert_true(cni_result_ips(a, S("{\"ips\":[{\"address\":\"fd00::2/64\"},{\"address\":\"10.0.0.2/24\"}]}"), &ips, &err));
	assert_true(ips.n == 2 && str_eqc(ips.v[0], "10.0.0.2") && str_eqc(ips.v[1], "fd00::2"));
	assert_true(cni_result_ips(a, S("{\"ip4\":{\"ip\":\"10.0.0.9/24\"}}"), &ips, &err));
	assert_true(ips.n == 1);
	static const char *const bad[] = { "", "[]", "{}", "{\"ips\":[]}", "{\"ips\":[{\"address\":\"x\"}]}", "{\"ips\":[{}]}" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(cni_result_ips(a, str_c(bad[i]), &ips, &err));
	struct cni_network n;
	assert_true(cni_parse(a, S("{\"cniVersion\":\"0.4.0\",\"name\":\"one\",\"type\":\"bridge\"}"), false, &n, &err));
	assert_int_equal(value_get(n.list, S("plugins"))->a.n, 1);
	assert_false(cni_parse(a, S("{\"name\":\"x\",\"plugins\":[{\"type\":\"../evil\"}]}"), true, &n, &err));
	assert_false(cni_parse(a, S("{\"name\":\"x\",\"plugins\":[]}"), true, &n, &err));
	assert_false(cni_parse(a, S("{\"plugins\":[{\"type\":\"a\"}]}"), true, &n, &err));
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(commands), cmocka_unit_test(security), cmocka_unit_test(capabilities), cmocka_unit_test(cni_results) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
