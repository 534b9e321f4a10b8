// Rules as text, and the differences between them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "proxy/conntrack.h"
#include "proxy/rules.h"

static const struct rules_opts OPTS = { .node_name = S_INIT("n1"), .cluster_cidr = S_INIT("10.244.0.0/16") };

static void *decode(struct arena *a, const struct message_desc *m, const char *json)
{
	struct error err = { 0 };
	void *obj = schema_from_json(a, m, str_c(json), NULL, &err);
	if (!obj)
		fail_msg("%s", err.text);
	return obj;
}

static struct rule_objects rules(struct arena *a, const char *service, const char *slice)
{
	struct rule_objects o = { 0 };
	const struct discovery_v1_EndpointSlice *s = decode(a, discovery_v1_EndpointSlice_desc, slice);
	rules_of_service(a, &OPTS, decode(a, core_v1_Service_desc, service), &s, 1, &o);
	return o;
}

static str diff(struct arena *a, const struct rule_objects *from, const struct rule_objects *want, struct map *shared)
{
	_cleanup_buf_ struct buf b = { 0 };
	rules_diff(&b, from, want, shared, &OPTS);
	return arena_dup(a, buf_str(&b));
}

static void has(str text, const char *part)
{
	if (!str_contains(text, str_c(part)))
		fail_msg("no \"%s\" in:\n" STR_FMT, part, STR_ARG(text));
}

#define SERVICE(more) "{\"metadata\":{\"namespace\":\"d\",\"name\":\"web\"},\"spec\":{" more "\"type\":\"NodePort\",\"clusterIP\":\"10.96.0.7\",\"clusterIPs\":[\"10.96.0.7\"],\"ports\":[{\"name\":\"http\",\"port\":80,\"protocol\":\"TCP\",\"nodePort\":30080}]}}"
#define SLICE(endpoints) "{\"addressType\":\"IPv4\",\"ports\":[{\"name\":\"http\",\"protocol\":\"TCP\",\"port\":8080}],\"endpoints\":[" endpoints "]}"
#define READY(ip, node) "{\"addresses\":[\"" ip "\"],\"nodeName\":\"" node "\",\"conditions\":{\"ready\":true,\"serving\":true,\"terminating\":false}}"
#define ENDING(ip, node) "{\"addresses\":[\"" ip "\"],\"nodeName\":\"" node "\",\"conditions\":{\"ready\":false,\"serving\":true,\"terminating\":true}}"

static void endpoints_take_turns(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	_cleanup_map_ struct map shared = { 0 };
	const struct rule_objects none = { 0 };
	struct rule_objects o = rules(a, SERVICE(""), SLICE(READY("10.244.2.9", "n2") "," READY("10.244.1.5", "n1") "," ENDING("10.244.1.6", "n1")));
	str text = diff(a, &none, &o, &shared);
	has(text, "dnat ip to numgen inc mod 2 map { 0 : 10.244.1.5 . 8080, 1 : 10.244.2.9 . 8080 }");
	has(text, "add element ip kube-proxy service-ips { 10.96.0.7 . tcp . 80 : goto service-");
	has(text, "add element ip kube-proxy service-nodeports { tcp . 30080 : goto external-");
	has(text, "ip saddr != 10.244.0.0/16 jump mark-for-masquerade");
	has(text, "hairpin-connections { 10.244.1.5 . 10.244.1.5 }");
	assert_false(str_contains(text, S("10.244.1.6")));
	assert_int_equal(diff(a, &o, &o, &shared).n, 0); // nothing changed, nothing done

	str gone = diff(a, &o, &none, &shared);
	has(gone, "delete element ip kube-proxy service-ips { 10.96.0.7 . tcp . 80");
	has(gone, "delete chain ip kube-proxy service-");
	has(gone, "delete element ip kube-proxy hairpin-connections");
}

static void only_what_changed_is_written(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	_cleanup_map_ struct map shared = { 0 };
	const struct rule_objects none = { 0 };
	struct rule_objects one = rules(a, SERVICE(""), SLICE(READY("10.244.2.9", "n2"))), two = rules(a, SERVICE(""), SLICE(READY("10.244.2.8", "n2")));
	diff(a, &none, &one, &shared);
	str text = diff(a, &one, &two, &shared);
	has(text, "flush chain ip kube-proxy service-");
	has(text, "dnat ip to 10.244.2.8:8080");
	assert_false(str_contains(text, S("element")));
}

static void without_endpoints_it_is_refused(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	_cleanup_map_ struct map shared = { 0 };
	const struct rule_objects none = { 0 };
	struct rule_objects o = rules(a, SERVICE(""), SLICE(""));
	str text = diff(a, &none, &o, &shared);
	has(text, "no-endpoint-services { 10.96.0.7 . tcp . 80 : goto reject-chain }");
	has(text, "no-endpoint-nodeports { tcp . 30080 : goto reject-chain }");
	struct rule_objects ending = rules(a, SERVICE(""), SLICE(ENDING("10.244.1.6", "n1")));
	has(diff(a, &o, &ending, &shared), "dnat ip to 10.244.1.6:8080"); // better a terminating one than none
}

static void local_policy(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	_cleanup_map_ struct map shared = { 0 };
	const struct rule_objects none = { 0 };
	struct rule_objects o = rules(a, SERVICE("\"externalTrafficPolicy\":\"Local\","), SLICE(READY("10.244.2.9", "n2") "," READY("10.244.1.5", "n1")));
	str text = diff(a, &none, &o, &shared);
	has(text, "goto local-");
	has(text, "dnat ip to 10.244.1.5:8080"); // ours alone, from outside
	struct rule_objects far = rules(a, SERVICE("\"externalTrafficPolicy\":\"Local\","), SLICE(READY("10.244.2.9", "n2")));
	has(diff(a, &none, &far, &shared), "no-endpoint-nodeports { tcp . 30080 : goto drop-chain }");
}

static void affinity_remembers(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	_cleanup_map_ struct map shared = { 0 };
	const struct rule_objects none = { 0 };
	struct rule_objects o = rules(a, SERVICE("\"sessionAffinity\":\"ClientIP\",\"sessionAffinityConfig\":{\"clientIP\":{\"timeoutSeconds\":60}},"), SLICE(READY("10.244.2.9", "n2")));
	str text = diff(a, &none, &o, &shared);
	has(text, "flags dynamic,timeout; timeout 60s;");
	has(text, "ip saddr @affinity-");
	has(text, "update @affinity-");
	has(diff(a, &o, &none, &shared), "delete set ip kube-proxy affinity-");
}

static void headless_and_foreign_services_want_nothing(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	assert_int_equal(rules(a, "{\"spec\":{\"clusterIP\":\"None\",\"ports\":[{\"port\":80}]}}", SLICE("")).n, 0);
	assert_int_equal(rules(a, "{\"metadata\":{\"labels\":{\"service.kubernetes.io/service-proxy-name\":\"x\"}},\"spec\":{\"clusterIP\":\"10.96.0.1\",\"ports\":[{\"port\":80}]}}", SLICE("")).n, 0);
	assert_int_equal(rules(a, "{\"spec\":{\"type\":\"ExternalName\",\"ports\":[{\"port\":80}]}}", SLICE("")).n, 0);
}

static void udp_endpoints_that_went_are_stale(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	static const char service[] = "{\"spec\":{\"clusterIP\":\"10.96.0.9\",\"ports\":[{\"port\":53,\"protocol\":\"UDP\"}]}}";
	static const char two[] = "{\"addressType\":\"IPv4\",\"ports\":[{\"name\":\"\",\"protocol\":\"UDP\",\"port\":53}],\"endpoints\":[{\"addresses\":[\"10.244.1.1\"]},{\"addresses\":[\"10.244.1.2\"]}]}";
	static const char one[] = "{\"addressType\":\"IPv4\",\"ports\":[{\"name\":\"\",\"protocol\":\"UDP\",\"port\":53}],\"endpoints\":[{\"addresses\":[\"10.244.1.2\"]}]}";
	struct rule_objects had = rules(a, service, two), want = rules(a, service, one);
	struct udp_flows stale = { 0 };
	conntrack_stale(a, &had, &want, &stale);
	assert_int_equal(stale.n, 1);
	assert_true(str_eqc(stale.v[0].address, "10.244.1.1"));
	assert_int_equal(stale.v[0].port, 53);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(endpoints_take_turns), cmocka_unit_test(only_what_changed_is_written), cmocka_unit_test(without_endpoints_it_is_refused),
		cmocka_unit_test(local_policy), cmocka_unit_test(affinity_remembers), cmocka_unit_test(headless_and_foreign_services_want_nothing),
		cmocka_unit_test(udp_endpoints_that_went_are_stale),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
