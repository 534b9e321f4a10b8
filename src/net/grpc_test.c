#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/io.h"
#include "net/grpc.h"
#include "net/grpc_conn.h"
#include "net/test_util.h"
#include "net/transport.h"

#define assert_str(s, text) assert_true(str_eqc((s), (text)))

struct fixture {
	char dir[64], path[96];
	struct grpc_server *server;
	struct grpc_client *client;
	struct arena *a;
	atomic_int cancelled, sent;
};

static bool echo(struct grpc_server_call *call, struct arena *a, str request, struct buf *response, void *ctx,
                 struct error *err)
{
	(void)call, (void)a, (void)ctx, (void)err;
	buf_add(response, request);
	return true;
}

static bool blow_up(struct grpc_server_call *call, struct arena *a, str request, struct buf *response, void *ctx,
                    struct error *err)
{
	(void)call, (void)a, (void)ctx, (void)request, (void)response;
	size_t n = strtoul(request.p, NULL, 10);
	char *p = buf_reserve(response, n);
	memset(p, 'z', n);
	response->n = n;
	(void)err;
	return true;
}

static bool not_found(struct grpc_server_call *call, struct arena *a, str request, struct buf *response, void *ctx,
                      struct error *err)
{
	(void)call, (void)a, (void)ctx, (void)request, (void)response;
	return grpc_error(err, GRPC_NOT_FOUND, "100%% gone: “a/b”\nline two");
}

static bool plain_error(struct grpc_server_call *call, struct arena *a, str request, struct buf *response, void *ctx,
                        struct error *err)
{
	(void)call, (void)a, (void)ctx, (void)request, (void)response;
	return error_set(err, "no code");
}

static bool linger(struct grpc_server_call *call, struct arena *a, str request, struct buf *response, void *ctx,
                   struct error *err)
{
	struct fixture *f = ctx;
	(void)a, (void)request, (void)response;
	for (int i = 0; i < 500 && !grpc_cancelled(call); i++)
		clock_sleep(NULL, 10 * NS_PER_MS);
	if (grpc_cancelled(call))
		atomic_fetch_add(&f->cancelled, 1);
	return grpc_error(err, GRPC_ABORTED, "too late");
}

static bool count(struct grpc_server_call *call, struct arena *a, str request, void *ctx, struct error *err)
{
	struct fixture *f = ctx;
	int n = atoi(arena_cstr(a, request));
	for (int i = 0; i < n; i++) {
		char text[1000];
		memset(text, ' ', sizeof(text));
		snprintf(text, sizeof(text), "%d", i);
		if (!grpc_send(call, str_n(text, sizeof(text)))) {
			atomic_fetch_add(&f->cancelled, 1);
			return grpc_error(err, GRPC_CANCELLED, "gone");
		}
		atomic_fetch_add(&f->sent, 1);
	}
	return n != 7 || grpc_error(err, GRPC_DATA_LOSS, "seven");
}

static const struct grpc_method *methods(size_t *n)
{
	static const struct grpc_method m[] = {
		{ "/test.v1.Echo/Echo", echo, NULL },          { "/test.v1.Echo/Big", blow_up, NULL },
		{ "/test.v1.Echo/NotFound", not_found, NULL }, { "/test.v1.Echo/Plain", plain_error, NULL },
		{ "/test.v1.Echo/Linger", linger, NULL },      { "/test.v1.Echo/Count", NULL, count },
	};
	*n = ARRAY_LEN(m);
	return m;
}

static void start_server(struct fixture *f)
{
	struct error err = { 0 };
	struct grpc_server_opts o = { .unix_path = f->path, .ctx = f };
	o.methods = methods(&o.nmethods);
	f->server = grpc_server_start(&o, &err);
	assert_non_null(f->server);
}

static int setup(void **state)
{
	struct fixture *f = HEAP_NEW(struct fixture);
	*state = f;
	snprintf(f->dir, sizeof(f->dir), "/tmp/coracle-grpc-test-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/s.sock", f->dir);
	f->a = arena_new(0);
	f->client = grpc_client_new(f->path);
	start_server(f);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	grpc_client_free(f->client);
	grpc_server_stop(f->server);
	io_remove_tree(f->dir, &err);
	arena_free(f->a);
	free(f);
	return 0;
}

static void unary(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	struct stat st;
	str r;
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(grpc_call(f->client, f->a, "/test.v1.Echo/Echo", S("hello"), &r, 0, &err));
	assert_str(r, "hello");
	assert_true(grpc_call(f->client, f->a, "/test.v1.Echo/Echo", S(""), &r, 5000, &err));
	assert_int_equal(r.n, 0);
	assert_true(grpc_call(f->client, f->a, "/test.v1.Echo/Big", S("30000000"), &r, 20000, &err));
	assert_int_equal(r.n, 30000000);
	char *big = calloc(1, 20 << 20);
	assert_true(grpc_call(f->client, f->a, "/test.v1.Echo/Echo", str_n(big, 10 << 20), &r, 20000, &err));
	assert_int_equal(r.n, 10 << 20);
	assert_false(grpc_call(f->client, f->a, "/test.v1.Echo/Echo", str_n(big, 20 << 20), &r, 20000, &err));
	assert_int_equal(err.sys, GRPC_RESOURCE_EXHAUSTED);
	free(big);
	assert_false(grpc_call(f->client, f->a, "/test.v1.Echo/Big", S("70000000"), &r, 20000, &err));
	assert_int_equal(err.sys, GRPC_RESOURCE_EXHAUSTED);
	assert_true(grpc_call(f->client, f->a, "/test.v1.Echo/Echo", S("still"), &r, 0, &err));
	assert_str(r, "still");
}

static void errors(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	str r;
	assert_false(grpc_call(f->client, f->a, "/test.v1.Echo/NotFound", S("x"), &r, 0, &err));
	assert_int_equal(err.sys, GRPC_NOT_FOUND);
	assert_str(error_str(&err), "100% gone: “a/b”\nline two");
	assert_false(grpc_call(f->client, f->a, "/test.v1.Echo/Plain", S("x"), &r, 0, &err));
	assert_int_equal(err.sys, GRPC_UNKNOWN);
	assert_false(grpc_call(f->client, f->a, "/test.v1.Echo/Nope", S("x"), &r, 0, &err));
	assert_int_equal(err.sys, GRPC_UNIMPLEMENTED);
	assert_str(error_str(&err), "unknown method Nope for service test.v1.Echo");
	assert_false(grpc_call(f->client, f->a, "/test.v2.Echo/Nope", S("x"), &r, 0, &err));
	assert_int_equal(err.sys, GRPC_UNIMPLEMENTED);
	assert_str(error_str(&err), "unknown service test.v2.Echo");
	struct grpc_client *nobody = grpc_client_new("/nonexistent/x.sock");
	assert_false(grpc_call(nobody, f->a, "/test.v1.Echo/Echo", S("x"), &r, 0, &err));
	assert_int_equal(err.sys, GRPC_UNAVAILABLE);
	assert_str(error_str(&err), "connection error: desc = \"transport: Error while dialing: dial unix "
	                            "/nonexistent/x.sock: connect: no such file or directory\"");
	grpc_client_free(nobody);
	assert_string_equal(grpc_code_name(GRPC_NOT_FOUND), "NotFound");
}

static void deadlines(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	str r;
	int64_t before = clock_mono(NULL);
	assert_false(grpc_call(f->client, f->a, "/test.v1.Echo/Linger", S("x"), &r, 100, &err));
	assert_int_equal(err.sys, GRPC_DEADLINE_EXCEEDED);
	assert_true(clock_mono(NULL) - before < 2 * NS_PER_SEC);
	for (int i = 0; i < 200 && atomic_load(&f->cancelled) == 0; i++)
		clock_sleep(NULL, 10 * NS_PER_MS);
	assert_int_equal(atomic_load(&f->cancelled), 1); // the handler learned of it
	assert_int_equal(grpc_timeout_parse(S("100m")), 100);
	assert_int_equal(grpc_timeout_parse(S("2S")), 2000);
	assert_int_equal(grpc_timeout_parse(S("1H")), 3600000);
	assert_int_equal(grpc_timeout_parse(S("1500u")), 2);
	assert_int_equal(grpc_timeout_parse(S("-1S")), -1);
	assert_int_equal(grpc_timeout_parse(S("S")), -1);
	assert_int_equal(grpc_timeout_parse(S("1x")), -1);
	assert_int_equal(grpc_timeout_parse(S("123456789S")), -1);
}

struct seen {
	int n, stop_at;
	int64_t slow;
};

static bool see(str m, void *ctx)
{
	struct seen *s = ctx;
	char text[12];
	snprintf(text, sizeof(text), "%.10s", m.p);
	assert_int_equal(m.n, 1000);
	assert_int_equal(atoi(text), s->n);
	s->n++;
	if (s->slow)
		clock_sleep(NULL, s->slow);
	return s->n != s->stop_at;
}

static void server_streaming(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	struct seen s = { 0 };
	assert_true(grpc_call_stream(f->client, "/test.v1.Echo/Count", S("20000"), see, &s, 30000, &err));
	assert_int_equal(s.n, 20000);
	s = (struct seen){ 0 };
	assert_false(grpc_call_stream(f->client, "/test.v1.Echo/Count", S("7"), see, &s, 5000, &err));
	assert_int_equal(s.n, 7);
	assert_int_equal(err.sys, GRPC_DATA_LOSS);
	// The client cancels; the handler's next send fails.
	s = (struct seen){ .stop_at = 10 };
	assert_false(grpc_call_stream(f->client, "/test.v1.Echo/Count", S("100000"), see, &s, 30000, &err));
	assert_int_equal(err.sys, GRPC_CANCELLED);
	assert_int_equal(s.n, 10);
	for (int i = 0; i < 200 && atomic_load(&f->cancelled) == 0; i++)
		clock_sleep(NULL, 10 * NS_PER_MS);
	assert_int_equal(atomic_load(&f->cancelled), 1);
	// A slow reader holds the sender back: it does not run more than the windows ahead.
	atomic_store(&f->sent, 0);
	s = (struct seen){ .slow = 10 * NS_PER_MS };
	assert_false(grpc_call_stream(f->client, "/test.v1.Echo/Count", S("1000000"), see, &s, 500, &err));
	assert_int_equal(err.sys, GRPC_DEADLINE_EXCEEDED);
	assert_true(atomic_load(&f->sent) < 20000);
}

struct caller {
	struct fixture *f;
	int id, ok;
};

static void *call_often(void *arg)
{
	struct caller *c = arg;
	struct arena *a = arena_new(0);
	for (int i = 0; i < 200; i++) {
		struct error err = { 0 };
		str r, q = arena_printf(a, "%d/%d", c->id, i);
		if (grpc_call(c->f->client, a, "/test.v1.Echo/Echo", q, &r, 10000, &err) && str_eq(q, r))
			c->ok++;
	}
	arena_free(a);
	return NULL;
}

static void many_callers(void **state)
{
	struct fixture *f = *state;
	pthread_t t[16];
	struct caller c[16];
	for (int i = 0; i < 16; i++) {
		c[i] = (struct caller){ .f = f, .id = i };
		pthread_create(&t[i], NULL, call_often, &c[i]);
	}
	for (int i = 0; i < 16; i++) {
		pthread_join(t[i], NULL);
		assert_int_equal(c[i].ok, 200);
	}
}

static void *call_linger(void *arg)
{
	struct fixture *f = arg;
	struct arena *a = arena_new(0);
	struct error err = { 0 };
	str r;
	bool ok = grpc_call(f->client, a, "/test.v1.Echo/Linger", S("x"), &r, 10000, &err);
	arena_free(a);
	return (void *)(intptr_t)(ok ? -1 : err.sys);
}

static void server_restarts(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	str r;
	void *code;
	pthread_t t;
	assert_true(grpc_call(f->client, f->a, "/test.v1.Echo/Echo", S("1"), &r, 1000, &err));
	pthread_create(&t, NULL, call_linger, f);
	clock_sleep(NULL, 100 * NS_PER_MS);
	grpc_server_stop(f->server);
	pthread_join(t, &code);
	assert_int_equal((intptr_t)code, GRPC_UNAVAILABLE);
	assert_false(grpc_call(f->client, f->a, "/test.v1.Echo/Echo", S("2"), &r, 1000, &err));
	assert_int_equal(err.sys, GRPC_UNAVAILABLE);
	start_server(f);
	assert_true(grpc_call(f->client, f->a, "/test.v1.Echo/Echo", S("3"), &r, 1000, &err));
	assert_str(r, "3");
}

static void bad_peers(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	str r;
	static const char *const junk[] = { "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		                            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff", "",
		                            "P" };
	for (size_t i = 0; i < ARRAY_LEN(junk); i++) {
		int fd = transport_dial(f->path, S(""), 0, 0, &err);
		assert_true(fd >= 0);
		test_send(fd, str_c(junk[i]));
		if (i < 2)
			test_recv(f->a, fd, NULL); // ends: the server closes
		close(fd);
	}
	assert_true(grpc_call(f->client, f->a, "/test.v1.Echo/Echo", S("alive"), &r, 1000, &err));
}

static void framing(void **state)
{
	(void)state;
	struct error err = { 0 };
	struct buf b = { 0 };
	size_t at = 0;
	str m;
	buf_add(&b, S("\0\0\0\0\x02hi\0\0\0\0\0\0\0\0\0\x05wo"));
	assert_int_equal(grpc_next_message(&b, &at, 100, &m, &err), 1);
	assert_str(m, "hi");
	assert_int_equal(grpc_next_message(&b, &at, 100, &m, &err), 1);
	assert_int_equal(m.n, 0);
	assert_int_equal(grpc_next_message(&b, &at, 100, &m, &err), 0);
	assert_int_equal(grpc_next_message(&b, &at, 4, &m, &err), -1);
	assert_int_equal(err.sys, GRPC_RESOURCE_EXHAUSTED);
	buf_clear(&b);
	at = 0;
	buf_add(&b, S("\1\0\0\0\x02hi"));
	assert_int_equal(grpc_next_message(&b, &at, 100, &m, &err), -1);
	assert_int_equal(err.sys, GRPC_UNIMPLEMENTED);
	buf_clear(&b);
	grpc_message_decode(&b, S("a%20b%4x%"));
	assert_str(buf_str(&b), "a b%4x%");
	buf_clear(&b);
	grpc_message_encode(&b, S("a%b\n\xc3\xa4"));
	assert_str(buf_str(&b), "a%25b%0A%C3%A4");
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(unary, setup, teardown),
		cmocka_unit_test_setup_teardown(errors, setup, teardown),
		cmocka_unit_test_setup_teardown(deadlines, setup, teardown),
		cmocka_unit_test_setup_teardown(server_streaming, setup, teardown),
		cmocka_unit_test_setup_teardown(many_callers, setup, teardown),
		cmocka_unit_test_setup_teardown(server_restarts, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_peers, setup, teardown),
		cmocka_unit_test(framing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
