#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "base/io.h"
#include "cni/ipam.h"
#include "json/json.h"

static void addresses(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct ip ip;
	struct ip_net n;
	static const char *const bad[] = { "", "1.2.3", "1.2.3.4.5", "256.1.1.1", "::g", "1.2.3.4/24" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(ip_read(str_c(bad[i]), &ip));
	static const char *const bad_nets[] = { "", "1.2.3.4", "1.2.3.4/33", "::/129", "1.2.3.4/-1", "1.2.3.4/" };
	for (size_t i = 0; i < ARRAY_LEN(bad_nets); i++)
		assert_false(ip_net_parse(str_c(bad_nets[i]), &n));
	assert_true(ip_net_parse(S("10.1.2.77/20"), &n));
	struct ip first = ip_net_first(&n), last = ip_net_last(&n);
	assert_true(str_eqc(ip_write(a, &first), "10.1.0.0"));
	assert_true(str_eqc(ip_write(a, &last), "10.1.15.255"));
	assert_true(ip_next(&last));
	assert_true(str_eqc(ip_write(a, &last), "10.1.16.0"));
	assert_false(ip_net_has(&n, &last));
	assert_true(ip_prev(&last));
	assert_true(ip_net_has(&n, &last));
	assert_true(ip_net_parse(S("fd00:1::/64"), &n) && ip_read(S("fd00:1::ffff"), &ip) && ip_net_has(&n, &ip));
	ip_next(&ip);
	assert_true(str_eqc(ip_write(a, &ip), "fd00:1::1:0"));
	arena_free(a);
}

static bool count(str container, str ifname, void *ctx, struct error *err)
{
	(void)container, (void)ifname, (void)err;
	++*(int *)ctx;
	return true;
}

static void ipam(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct error err = { 0 };
	char dir[] = "/tmp/coracle-ipam.XXXXXX";
	assert_non_null(mkdtemp(dir));
	str conf = arena_printf(a, "{\"ranges\":[[{\"subnet\":\"10.9.8.0/29\"}],[{\"subnet\":\"fd00::/120\"}]],\"dataDir\":\"%s\"}", dir);
	struct ipam m;
	assert_true(ipam_parse(a, json_parse(a, conf, NULL, &err), S("net"), &m, &err));
	int lock = ipam_lock(a, &m, &err);
	assert_true(lock >= 0);
	// .1 is the gateway, .7 the broadcast: five are left.
	struct ipam_address *got;
	size_t n;
	for (int i = 0; i < 5; i++) {
		assert_true(ipam_take(a, &m, arena_printf(a, "c%d", i), S("eth0"), &got, &n, &err));
		assert_int_equal(n, 2);
		assert_true(str_eq(ip_write(a, &got[0].ip.ip), arena_printf(a, "10.9.8.%d", i + 2)));
		assert_true(str_eqc(ip_write(a, &got[0].gateway), "10.9.8.1"));
	}
	assert_false(ipam_take(a, &m, S("c5"), S("eth0"), &got, &n, &err));
	assert_int_equal(err.code, 503);
	// The same again for who has one; none is given twice.
	assert_true(ipam_take(a, &m, S("c3"), S("eth0"), &got, &n, &err));
	assert_true(str_eqc(ip_write(a, &got[0].ip.ip), "10.9.8.5"));
	assert_true(ipam_release(a, &m, S("c1"), S("eth0"), &err));
	assert_true(ipam_release(a, &m, S("c1"), S("eth0"), &err));
	assert_true(ipam_take(a, &m, S("c6"), S("eth0"), &got, &n, &err));
	assert_true(str_eqc(ip_write(a, &got[0].ip.ip), "10.9.8.3"));
	int used = 0;
	assert_true(ipam_each(a, &m, count, &used, &err));
	assert_int_equal(used, 10);
	close(lock);
	static const char *const bad[] = {
		"{}", "{\"subnet\":\"10.0.0.0/31\"}", "{\"subnet\":\"10.0.0.0/24\",\"gateway\":\"10.0.1.1\"}", "{\"ranges\":[]}", "{\"ranges\":[[]]}", "{\"ranges\":[{}]}",
		"{\"subnet\":\"10.0.0.0/24\",\"rangeStart\":\"10.0.0.9\",\"rangeEnd\":\"10.0.0.8\"}", "{\"type\":\"dhcp\",\"subnet\":\"10.0.0.0/24\"}",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(ipam_parse(a, json_parse(a, str_c(bad[i]), NULL, &err), S("net"), &m, &err));
	assert_true(io_remove_tree(dir, &err));
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(addresses), cmocka_unit_test(ipam) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
