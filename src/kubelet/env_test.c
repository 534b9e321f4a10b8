#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kubelet/env.h"

static void expansion(void **state)
{
	struct arena *a = arena_new(0);
	struct str_map m = { 0 };
	str_map_set(a, &m, S("A"), S("1"));
	str_map_set(a, &m, S("EMPTY"), S(""));
	static const struct { const char *in, *out; } cases[] = {
		{ "$(A)", "1" }, { "x$(A)y", "x1y" }, { "$(B)", "$(B)" }, { "$$(A)", "$(A)" }, { "$$$(A)", "$1" }, { "$A", "$A" }, { "$(A", "$(A" },
		{ "$", "$" }, { "$(EMPTY)", "" }, { "$(A)$(A)", "11" }, { "foo$", "foo$" }, { "$()", "$()" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		str out = env_expand(a, str_c(cases[i].in), &m);
		if (!str_eqc(out, cases[i].out))
			fail_msg("%s -> " STR_FMT ", not %s", cases[i].in, STR_ARG(out), cases[i].out);
	}
	struct error err = { 0 };
	str out;
	assert_false(env_expand_strict(a, S("$(B)"), &m, &out, &err));
	assert_string_equal(err.text, "missing value for \"B\"");
	arena_free(a);
}

static void service_links(void **state)
{
	struct arena *a = arena_new(0);
	struct core_v1_Service s = { .metadata = { .name = S("my-web") }, .spec = { .clusterIP = S("10.1.2.3") } };
	struct str_map m = { 0 };
	*LIST_ADD(a, &s.spec.ports) = (struct core_v1_ServicePort){ .name = S("http-main"), .port = 80, .protocol = S("TCP") };
	env_of_service(a, &s, &m);
	assert_true(str_eqc(str_map_get(&m, S("MY_WEB_SERVICE_HOST")), "10.1.2.3"));
	assert_true(str_eqc(str_map_get(&m, S("MY_WEB_SERVICE_PORT")), "80"));
	assert_true(str_eqc(str_map_get(&m, S("MY_WEB_SERVICE_PORT_HTTP_MAIN")), "80"));
	assert_true(str_eqc(str_map_get(&m, S("MY_WEB_PORT")), "tcp://10.1.2.3:80"));
	assert_true(str_eqc(str_map_get(&m, S("MY_WEB_PORT_80_TCP_ADDR")), "10.1.2.3"));
	assert_true(str_eqc(str_map_get(&m, S("MY_WEB_PORT_80_TCP_PROTO")), "tcp"));
	m = (struct str_map){ 0 };
	s.spec.clusterIP = S("None");
	env_of_service(a, &s, &m);
	assert_int_equal(m.n, 0);
	arena_free(a);
}

static const struct core_v1_ConfigMap *config_map(void *ctx, struct arena *a, str name, struct error *err)
{
	if (!str_eqc(name, "there")) {
		error_api(err, 404, "NotFound", "configmap \"" STR_FMT "\" not found", STR_ARG(name));
		return NULL;
	}
	struct core_v1_ConfigMap *m = ARENA_NEW(a, struct core_v1_ConfigMap);
	str_map_set(a, &m->data, S("KEY"), S("value"));
	return m;
}

static void sources(void **state)
{
	struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct core_v1_Pod pod = { .metadata = { .name = S("p"), .namespace = S("ns") }, .spec = { .nodeName = S("n1") } };
	struct core_v1_Container c = { .name = S("c") };
	struct env_source s = { .pod = &pod, .container = &c, .pod_ip = S("10.0.0.1"), .config_map = config_map };
	struct core_v1_ConfigMapEnvSource from = { .localObjectReference = { S("there") } };
	struct core_v1_ObjectFieldSelector field = { .fieldPath = S("metadata.labels['app']") };
	struct core_v1_EnvVarSource by_field = { .fieldRef = &field };
	struct core_v1_ResourceFieldSelector resource = { .resource = S("limits.cpu"), .divisor = { S("1m") } };
	struct core_v1_EnvVarSource by_resource = { .resourceFieldRef = &resource };
	struct core_v1_ConfigMapKeySelector key = { .localObjectReference = { S("there") }, .key = S("NOPE") };
	struct core_v1_EnvVarSource by_key = { .configMapKeyRef = &key };
	struct str_map out = { 0 };
	bool yes = true;
	str_map_set(a, &pod.metadata.labels, S("app"), S("web"));
	*LIST_ADD(a, &c.resources.limits) = (struct quantity_entry){ S("cpu"), { S("1500m") } };
	*LIST_ADD(a, &c.envFrom) = (struct core_v1_EnvFromSource){ .prefix = S("P_"), .configMapRef = &from };
	*LIST_ADD(a, &c.env) = (struct core_v1_EnvVar){ .name = S("X"), .value = S("<$(P_KEY)>") };
	*LIST_ADD(a, &c.env) = (struct core_v1_EnvVar){ .name = S("APP"), .valueFrom = &by_field };
	*LIST_ADD(a, &c.env) = (struct core_v1_EnvVar){ .name = S("CPU"), .valueFrom = &by_resource };
	assert_true(env_make(a, &s, &out, &err));
	assert_true(str_eqc(str_map_get(&out, S("P_KEY")), "value"));
	assert_true(str_eqc(str_map_get(&out, S("X")), "<value>"));
	assert_true(str_eqc(str_map_get(&out, S("APP")), "web"));
	assert_true(str_eqc(str_map_get(&out, S("CPU")), "1500"));
	*LIST_ADD(a, &c.env) = (struct core_v1_EnvVar){ .name = S("K"), .valueFrom = &by_key };
	assert_false(env_make(a, &s, &out, &err));
	assert_string_equal(err.text, "couldn't find key NOPE in ConfigMap ns/there");
	key.optional = &yes;
	assert_true(env_make(a, &s, &out, &err));
	key.localObjectReference.name = S("gone");
	assert_true(env_make(a, &s, &out, &err));
	key.optional = NULL;
	assert_false(env_make(a, &s, &out, &err));
	assert_string_equal(err.text, "configmap \"gone\" not found");
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(expansion), cmocka_unit_test(service_links), cmocka_unit_test(sources) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
