// The small parts: back-off, names of images, logs, files of volumes, tasks, flags.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "kubelet/backoff.h"
#include "kubelet/cgroups.h"
#include "kubelet/config.h"
#include "kubelet/images.h"
#include "kubelet/log_rotate.h"
#include "kubelet/logs.h"
#include "kubelet/task.h"
#include "kubelet/util.h"
#include "kubelet/volumes.h"

static void backoff_doubles_and_forgets(void **state)
{
	struct backoff b = { 0 };
	int64_t now = 1000 * NS_PER_SEC;
	assert_false(backoff_since(&b, now, now));
	static const int64_t delays[] = { 10, 20, 40, 80, 160, 300, 300 };
	for (size_t i = 0; i < ARRAY_LEN(delays); i++) {
		backoff_next(&b, now, now);
		assert_int_equal(b.delay_ns, delays[i] * NS_PER_SEC);
		assert_true(backoff_since(&b, now, now + b.delay_ns - 1));
		assert_false(backoff_since(&b, now, now + b.delay_ns));
		now += b.delay_ns;
	}
	now += 601 * NS_PER_SEC;
	backoff_next(&b, now, now);
	assert_int_equal(b.delay_ns, 10 * NS_PER_SEC);
	assert_true(backoff_since_update(&b, now + 9 * NS_PER_SEC));
	assert_false(backoff_since_update(&b, now + 10 * NS_PER_SEC));
}

static void image_names(void **state)
{
	struct arena *a = arena_new(0);
	struct error err = { 0 };
	str out;
	static const struct { const char *in, *out; } good[] = {
		{ "nginx", "nginx:latest" }, { "nginx:1.27", "nginx:1.27" }, { "localhost:5000/team/app", "localhost:5000/team/app:latest" },
		{ "r.example.com/a/b_c:v1", "r.example.com/a/b_c:v1" },
		{ "x@sha256:0123456789012345678901234567890123456789012345678901234567890123",
		  "x@sha256:0123456789012345678901234567890123456789012345678901234567890123" },
	};
	static const char *const bad[] = { "", "Nginx", "a//b", "a:b c", ":tag", "a@sha256:12", "-a", "a b", "a:-x" };
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		if (!image_name(a, str_c(good[i].in), &out, &err) || !str_eqc(out, good[i].out))
			fail_msg("%s: " STR_FMT, good[i].in, STR_ARG(out));
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (image_name(a, str_c(bad[i]), &out, &err))
			fail_msg("%s is no image name", bad[i]);
	image_name(a, S("Nginx"), &out, &err);
	assert_string_equal(err.text, "couldn't parse image name \"Nginx\": invalid reference format: repository name (library/Nginx) must be lowercase");
	arena_free(a);
}

static void credentials_by_registry(void **state)
{
	struct arena *a = arena_new(0);
	struct auth_list l = { 0 };
	str config = S("{\"auths\":{\"https://r.example.com/v1/\":{\"username\":\"u\",\"password\":\"p\"},"
	               "\"r.example.com/team\":{\"auth\":\"dGVhbTpzZWNyZXQ=\"},\"*.example.org\":{\"username\":\"w\"},"
	               "\"docker.io\":{\"username\":\"hub\"}}}");
	image_auth(a, config, S("r.example.com/team/app:1"), &l);
	assert_int_equal(l.n, 2);
	assert_true(str_eqc(l.v[0].username, "team"));
	assert_true(str_eqc(l.v[0].password, "secret"));
	l = (struct auth_list){ 0 };
	image_auth(a, config, S("r.example.com/teamwork"), &l);
	assert_int_equal(l.n, 1);
	l = (struct auth_list){ 0 };
	image_auth(a, config, S("x.example.org/a"), &l);
	assert_int_equal(l.n, 1);
	l = (struct auth_list){ 0 };
	image_auth(a, config, S("nginx"), &l);
	assert_int_equal(l.n, 1);
	assert_true(str_eqc(l.v[0].username, "hub"));
	l = (struct auth_list){ 0 };
	image_auth(a, config, S("evil.com/r.example.com"), &l);
	assert_int_equal(l.n, 0);
	arena_free(a);
}

static void log_records(void **state)
{
	struct log_record r;
	assert_true(log_parse(S("2016-10-06T00:17:09.669794202Z stdout F hello world"), &r));
	assert_true(str_eqc(r.content, "hello world"));
	assert_false(r.partial);
	assert_int_equal(r.time_ns % NS_PER_SEC, 669794202);
	assert_true(log_parse(S("2016-10-06T00:17:09Z stderr P:tag x"), &r));
	assert_true(r.partial);
	assert_true(r.stderr_);
	assert_true(log_parse(S("2016-10-06T00:17:09Z stdout F "), &r));
	assert_int_equal(r.content.n, 0);
	static const char *const bad[] = { "", "x", "2016-10-06T00:17:09Z", "2016-10-06T00:17:09Z stdin F x", "yesterday stdout F x",
	                                   "2016-10-06T00:17:09Z stdout Q x", "2016-10-06T00:17:09Z stdout" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(log_parse(str_c(bad[i]), &r));
}

static str read_log(struct arena *a, const char *path, const struct log_opts *o)
{
	struct error err = { 0 };
	struct buf b = { 0 };
	struct log_reader *r = log_open(path, o, &err);
	assert_non_null(r);
	while (log_read(r, &b, &err) == 1)
		;
	log_close(r);
	str s = arena_dup(a, buf_str(&b));
	buf_free(&b);
	return s;
}

static void logs_as_asked_for(void **state)
{
	struct arena *a = arena_new(0);
	char path[] = "/tmp/kubelet-test-XXXXXX";
	struct error err = { 0 };
	int fd = mkstemp(path);
	assert_true(io_write_all(fd, S("2020-01-01T00:00:01Z stdout F one\n2020-01-01T00:00:02Z stderr F two\n"
	                               "2020-01-01T00:00:03Z stdout P thr\n2020-01-01T00:00:03.5Z stdout F ee\nbroken\n"), &err));
	close(fd);
	struct log_opts all = { .tail = -1, .limit = -1 }, o = all;
	assert_true(str_eqc(read_log(a, path, &all), "one\ntwo\nthree\n"));
	o.tail = 3;
	assert_true(str_eqc(read_log(a, path, &o), "three\n"));
	o.tail = 0;
	assert_true(str_eqc(read_log(a, path, &o), ""));
	o = all;
	o.timestamps = true;
	assert_true(str_eqc(read_log(a, path, &o), "2020-01-01T00:00:01.000000000Z one\n2020-01-01T00:00:02.000000000Z two\n"
	                                          "2020-01-01T00:00:03.000000000Z three\n"));
	o = all;
	o.limit = 5;
	assert_true(str_eqc(read_log(a, path, &o), "one\nt"));
	o = all;
	o.since_ns = 1577836802 * NS_PER_SEC;
	assert_true(str_eqc(read_log(a, path, &o), "two\nthree\n"));
	assert_true(str_eqc(log_last_lines(a, path, 80, 4), "ree\n"));
	unlink(path);
	arena_free(a);
}

static void old_logs_are_compressed_and_removed(void **state)
{
	struct arena *a = arena_new(0);
	struct error err = { 0 };
	char dir[] = "/tmp/kubelet-test-XXXXXX";
	static const char *const names[] = { "0.log", "0.log.20200101-000001", "0.log.20200101-000002", "0.log.20200101-000003",
	                                     "0.log.20200101-000000.tmp", "1.log.20200101-000001" };
	static const struct { const char *name; bool there; } after[] = {
		{ "0.log", true }, { "0.log.20200101-000001", false }, { "0.log.20200101-000002", false }, { "0.log.20200101-000002.gz", true },
		{ "0.log.20200101-000003", true }, { "0.log.20200101-000000.tmp", false }, { "1.log.20200101-000001", true },
	};
	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		assert_true(io_write_file(arena_cstr(a, arena_printf(a, "%s/%s", dir, names[i])), S("some text"), 0600, &err));
	log_rotate_tidy(a, arena_cstr(a, arena_printf(a, "%s/0.log", dir)), 2);
	for (size_t i = 0; i < ARRAY_LEN(after); i++)
		if (io_exists(arena_cstr(a, arena_printf(a, "%s/%s", dir, after[i].name))) != after[i].there)
			fail_msg("%s", after[i].name);
	io_remove_tree(dir, &err);
	arena_free(a);
}

static str file(struct arena *a, const char *dir, const char *name)
{
	struct error err = { 0 };
	str text = S("(none)");
	io_read_file(a, arena_cstr(a, arena_printf(a, "%s/%s", dir, name)), 1000, &text, &err);
	return text;
}

static void volumes_are_replaced_at_once(void **state)
{
	struct arena *a = arena_new(0);
	struct error err = { 0 };
	char dir[] = "/tmp/kubelet-test-XXXXXX", before[256] = "", after[256] = "";
	const char *link;
	assert_non_null(mkdtemp(dir));
	link = arena_cstr(a, arena_printf(a, "%s/..data", dir));
	struct volume_file first[] = { { S("a"), S("1"), 0644, -1 }, { S("d/b"), S("2"), 0600, -1 } };
	struct volume_payload p = { first, 2 };
	assert_true(volume_write(dir, &p, -1, NULL, &err));
	assert_true(str_eqc(file(a, dir, "a"), "1"));
	assert_true(str_eqc(file(a, dir, "d/b"), "2"));
	assert_true(readlink(link, before, sizeof(before) - 1) > 0);
	assert_true(volume_write(dir, &p, -1, NULL, &err));
	assert_true(readlink(link, after, sizeof(after) - 1) > 0);
	assert_string_equal(before, after); // nothing changed, nothing was touched
	struct volume_file second[] = { { S("a"), S("3"), 0644, -1 } };
	p = (struct volume_payload){ second, 1 };
	assert_true(volume_write(dir, &p, -1, NULL, &err));
	assert_true(str_eqc(file(a, dir, "a"), "3"));
	assert_true(str_eqc(file(a, dir, "d/b"), "(none)"));
	assert_false(io_exists(arena_cstr(a, arena_printf(a, "%s/%s", dir, before))));
	static const char *const bad[] = { "../x", "/x", "a/../b", "..x", "" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct volume_file evil[] = { { str_c(bad[i]), S("x"), 0644, -1 } };
		p = (struct volume_payload){ evil, 1 };
		assert_false(volume_write(dir, &p, -1, NULL, &err));
	}
	io_remove_tree(dir, &err);
	arena_free(a);
}

static void count(void *ctx)
{
	atomic_fetch_add((atomic_int *)ctx, 1);
}

struct slow { atomic_int runs, at_once, most; };
static void slowly(void *ctx)
{
	struct slow *s = ctx;
	int n = atomic_fetch_add(&s->at_once, 1) + 1;
	if (n > atomic_load(&s->most))
		atomic_store(&s->most, n);
	usleep(20000);
	atomic_fetch_sub(&s->at_once, 1);
	atomic_fetch_add(&s->runs, 1);
}

static void tasks_run_on_demand(void **state)
{
	struct tasks *t = tasks_new(NULL, 16);
	atomic_int n = 0;
	struct slow s = { 0 };
	struct task *k = task_new(t, count, &n), *l = task_new(t, slowly, &s);
	task_after(k, 20);
	task_now(l);
	usleep(5000);
	task_now(l); // while it runs: once more afterwards
	for (int i = 0; i < 8; i++)
		task_run(t, slowly, &s);
	for (int i = 0; i < 2000 && (atomic_load(&n) < 1 || atomic_load(&s.runs) < 10); i++)
		usleep(5000);
	assert_int_equal(atomic_load(&n), 1);
	assert_int_equal(atomic_load(&s.runs), 10);
	assert_true(atomic_load(&s.most) > 1);
	task_free(k);
	task_free(l);
	tasks_stop(t);
}

static void flags(void **state)
{
	struct arena *a = arena_new(0);
	struct kubelet_config c;
	struct error err = { 0 };
	const char *good[] = { "kubelet", "--kubeconfig=/k", "--cluster-dns", "10.96.0.10", "--node-labels=a=b,c=d", "--register-with-taints=x=y:NoSchedule",
	                 "--max-pods=5", "--register-node=false" };
	assert_true(kubelet_config_load(a, (int)ARRAY_LEN(good), (char **)(uintptr_t)good, &c, &err));
	assert_int_equal(c.max_pods, 5);
	assert_false(c.register_node);
	assert_true(str_eqc(c.cluster_dns.v[0], "10.96.0.10"));
	assert_true(str_eqc(str_map_get(&c.node_labels, S("c")), "d"));
	assert_true(str_eqc(c.taints.v[0].effect, "NoSchedule"));
	const char *unknown[] = { "kubelet", "--kubeconfig=/k", "--fly" };
	assert_false(kubelet_config_load(a, 3, (char **)(uintptr_t)unknown, &c, &err));
	assert_string_equal(err.text, "unknown flag: --fly");
	const char *statics[] = { "kubelet", "--kubeconfig=/k", "--pod-manifest-path=/x" };
	assert_false(kubelet_config_load(a, 3, (char **)(uintptr_t)statics, &c, &err));
	arena_free(a);
}

static void configuration_file(void **state)
{
	struct arena *a = arena_new(0);
	struct kubelet_config c;
	struct error err = { 0 };
	char path[] = "/tmp/kubelet-test-XXXXXX";
	close(mkstemp(path));
	assert_true(io_write_file(path, S("apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nclusterDNS: [10.0.0.10, 10.0.0.11]\n"
	                                  "clusterDomain: example.org\nmaxPods: 20\nnodeStatusUpdateFrequency: 1m30s\nregisterNode: false\n"
	                                  "authentication: {x509: {clientCAFile: /ca}, webhook: {enabled: false}}\n"
	                                  "systemReserved: {cpu: 100m, memory: 1Gi}\nkubeReserved: {cpu: 200m}\ncontainerLogMaxSize: 5Mi\n"), 0600, &err));
	const char *args[] = { "kubelet", "--config", path, "--kubeconfig=/k", "--max-pods=30" };
	if (!kubelet_config_load(a, (int)ARRAY_LEN(args), (char **)(uintptr_t)args, &c, &err))
		fail_msg("%s", err.text);
	assert_int_equal(c.max_pods, 30); // the flag wins
	assert_int_equal(c.cluster_dns.n, 2);
	assert_string_equal(c.cluster_domain, "example.org");
	assert_string_equal(c.client_ca, "/ca");
	assert_int_equal(c.status_ms, 90000);
	assert_int_equal(c.log_max_size, 5 << 20);
	assert_false(c.register_node);
	assert_false(c.webhook_authn);
	assert_int_equal(c.reserved.n, 2);
	assert_true(str_eqc(c.reserved.v[0].value.s, "300m"));
	assert_true(io_write_file(path, S("kind: KubeletConfiguration\nwings: 2\n"), 0600, &err));
	assert_false(kubelet_config_load(a, (int)ARRAY_LEN(args), (char **)(uintptr_t)args, &c, &err));
	assert_true(str_contains(str_c(err.text), S("field wings is not supported")));
	unlink(path);
	arena_free(a);
}

static void small_things(void **state)
{
	struct arena *a = arena_new(0);
	assert_true(str_eqc(duration_text(a, 10 * NS_PER_SEC), "10s"));
	assert_true(str_eqc(duration_text(a, 80 * NS_PER_SEC), "1m20s"));
	assert_true(str_eqc(duration_text(a, 300 * NS_PER_SEC), "5m0s"));
	assert_true(str_eqc(duration_text(a, 1234 * NS_PER_MS), "1.234s"));
	assert_true(str_eqc(duration_text(a, 56 * NS_PER_MS), "56ms"));
	assert_int_equal(cpu_shares(0), 2);
	assert_int_equal(cpu_shares(1000), 1024);
	assert_int_equal(cpu_shares(100), 102);
	assert_int_equal(cpu_quota(500, 100000), 50000);
	assert_int_equal(cpu_quota(1, 100000), 1000);
	assert_int_equal(cpu_weight(1024), 39);
	assert_int_equal(cpu_weight(2), 1);
	assert_true(str_eqc(utf8_clean(a, S("a\xff" "b")), "a\xef\xbf\xbd" "b"));
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backoff_doubles_and_forgets), cmocka_unit_test(image_names), cmocka_unit_test(credentials_by_registry),
		cmocka_unit_test(log_records), cmocka_unit_test(logs_as_asked_for), cmocka_unit_test(old_logs_are_compressed_and_removed),
		cmocka_unit_test(volumes_are_replaced_at_once),
		cmocka_unit_test(tasks_run_on_demand), cmocka_unit_test(flags), cmocka_unit_test(configuration_file), cmocka_unit_test(small_things),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
