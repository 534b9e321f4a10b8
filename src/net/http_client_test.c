#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "net/http_client.h"
#include "net/proxy_env.h"
#include "net/test_util.h"

#define assert_str(s, text) assert_true(str_eqc((s), (text)))

struct fixture {
	struct arena *a;
	struct test_script s;
	struct http_client *c;
};

static void start(struct fixture *f, const char *const (*connections)[8], size_t n)
{
	struct error err = { 0 };
	*f = (struct fixture){ .a = arena_new(0), .s = { .connections = connections, .n = n } };
	test_script_start(&f->s);
	struct http_client_opts o = { .base_url = arena_printf(f->a, "http://127.0.0.1:%d", f->s.port),
		                      .timeout_ms = 3000,
		                      .max_body = 1 << 20 };
	f->c = http_client_new(&o, &err);
	assert_non_null(f->c);
}

static void stop(struct fixture *f)
{
	http_client_free(f->c);
	test_script_join(&f->s);
	arena_free(f->a);
}

static void keeps_connections(void **state)
{
	(void)state;
	struct fixture f;
	static const char *const script[][8] = { {
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Mixed-Case:  a b \r\n\r\nhello",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nTransfer-Encoding: "
		"chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n",
		"HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\nuntil the end",
	} };
	start(&f, script, 1);
	struct error err = { 0 };
	struct http_answer an;
	assert_true(http_client_do(f.c, f.a, &(struct http_call){ .method = "GET", .path = S("/api?x=1") }, &an, &err));
	assert_int_equal(an.status, 200);
	assert_str(an.body, "hello");
	assert_str(http_header(&an.headers, S("x-mixed-case")), "a b");
	assert_true(http_client_do(
	        f.c, f.a, &(struct http_call){ .method = "POST", .path = S("/api"), .body = S("{}") }, &an, &err));
	assert_int_equal(an.status, 201);
	assert_str(an.body, "abcdefg");
	assert_true(http_client_do(f.c, f.a, &(struct http_call){ .method = "HEAD", .path = S("/h") }, &an, &err));
	assert_int_equal(an.body.n, 0);
	assert_true(http_client_do(f.c, f.a, &(struct http_call){ .method = "DELETE", .path = S("/d") }, &an, &err));
	assert_int_equal(an.status, 204);
	assert_true(http_client_do(f.c, f.a, &(struct http_call){ .method = "GET", .path = S("/e") }, &an, &err));
	assert_str(an.body, "until the end");
	assert_int_equal(f.s.nrequests, 5);
	assert_true(str_has_prefix(f.s.requests[0], S("GET /api?x=1 HTTP/1.1\r\nHost: 127.0.0.1:")));
	assert_true(str_contains(f.s.requests[1], S("Content-Length: 2\r\n\r\n{}")));
	stop(&f);
}

static void retries_only_what_is_safe(void **state)
{
	(void)state;
	struct fixture f;
	// The first connection closes after one answer, without saying so in its head.
	static const char *const script[][8] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2", "" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n3", "" },
	};
	start(&f, script, 3);
	struct error err = { 0 };
	struct http_answer an;
	assert_true(http_client_do(f.c, f.a, &(struct http_call){ .method = "GET", .path = S("/") }, &an, &err));
	assert_str(an.body, "1");
	clock_sleep(NULL, 50 * NS_PER_MS);
	// Seen closed before it is used: even a POST goes to a fresh one.
	assert_true(http_client_do(f.c, f.a, &(struct http_call){ .method = "POST", .path = S("/") }, &an, &err));
	assert_str(an.body, "2");
	// Closes after it has read the request: a GET is repeated, on the third connection.
	assert_true(http_client_do(f.c, f.a, &(struct http_call){ .method = "GET", .path = S("/") }, &an, &err));
	assert_str(an.body, "3");
	// A POST is not.
	assert_false(http_client_do(f.c, f.a, &(struct http_call){ .method = "POST", .path = S("/") }, &an, &err));
	assert_true(str_contains(error_str(&err), S("EOF")));
	assert_true(str_has_prefix(error_str(&err), S("Post \"http://127.0.0.1:")));
	stop(&f);
}

static void refuses_bad_answers(void **state)
{
	(void)state;
	struct fixture f;
	static const char *const script[][8] = {
		{ "SSH-2.0-OpenSSH\r\n" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort" },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\nlie" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd" },
	};
	start(&f, script, 5);
	struct error err = { 0 };
	struct http_answer an;
	for (int i = 0; i < 5; i++)
		assert_false(
		        http_client_do(f.c, f.a, &(struct http_call){ .method = "GET", .path = S("/") }, &an, &err));
	// Nothing that would let a caller's text make headers of its own.
	struct http_header evil = { S("x"), S("1\r\nAuthorization: me") };
	assert_false(http_client_do(
	        f.c, f.a, &(struct http_call){ .method = "GET", .path = S("/"), .headers = { &evil, 1 } }, &an, &err));
	assert_false(http_client_do(f.c, f.a, &(struct http_call){ .method = "GET", .path = S("/ HTTP/1.1\r\nX: y") },
	                            &an, &err));
	stop(&f);
}

static void limits_bodies(void **state)
{
	(void)state;
	struct fixture f;
	static char big[(1 << 20) + 200];
	int n = snprintf(big, sizeof(big), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
	memset(big + n, 'x', sizeof(big) - (size_t)n - 1);
	static const char *script[1][8];
	script[0][0] = big;
	start(&f, (const char *const(*)[8])script, 1);
	struct error err = { 0 };
	struct http_answer an;
	assert_false(http_client_do(f.c, f.a, &(struct http_call){ .method = "GET", .path = S("/") }, &an, &err));
	assert_int_equal(err.code, 413);
	stop(&f);
}

static void follows_redirects(void **state)
{
	(void)state;
	struct fixture f;
	static const char *const script[][8] = { {
		"HTTP/1.1 307 Temporary Redirect\r\nLocation: /next\r\nContent-Length: 2\r\n\r\nno",
		"HTTP/1.1 302 Found\r\nLocation: last?x=y\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone",
		"HTTP/1.1 302 Found\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 302 Found\r\nLocation: /c\r\nContent-Length: 0\r\n\r\n",
	} };
	start(&f, script, 1);
	struct error err = { 0 };
	struct http_answer an;
	struct http_call call = { .method = "POST", .path = S("/dir/first"), .body = S("data"), .max_redirects = 3 };
	assert_true(http_client_do(f.c, f.a, &call, &an, &err));
	assert_str(an.body, "done");
	assert_true(str_has_prefix(f.s.requests[1], S("POST /next ")));
	assert_true(str_has_suffix(f.s.requests[1], S("data")));
	assert_true(str_has_prefix(f.s.requests[2], S("GET /last?x=y ")));
	call.max_redirects = 2;
	assert_false(http_client_do(f.c, f.a, &call, &an, &err));
	assert_true(str_contains(error_str(&err), S("stopped after 2 redirects")));
	stop(&f);
}

static void *abort_soon(void *arg)
{
	clock_sleep(NULL, 100 * NS_PER_MS);
	http_stream_in_abort(arg);
	return NULL;
}

static void streams(void **state)
{
	(void)state;
	struct fixture f;
	static const char *const script[][8] = {
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nline1\n\r\n6\r\nline2\n\r\n", "x" }
	};
	start(&f, script, 1);
	struct error err = { 0 };
	struct http_answer an;
	struct http_stream_in *s =
	        http_client_open(f.c, f.a, &(struct http_call){ .method = "GET", .path = S("/watch") }, &an, &err);
	assert_non_null(s);
	char text[64];
	size_t n = 0;
	while (n < 12) {
		ssize_t r = http_stream_read(s, text + n, sizeof(text) - n, 1000, &err);
		assert_true(r > 0);
		n += (size_t)r;
	}
	assert_memory_equal(text, "line1\nline2\n", 12);
	// A time-out leaves the stream usable; an abort ends it.
	assert_int_equal(http_stream_read(s, text, sizeof(text), 50, &err), -1);
	assert_int_equal(err.sys, ETIMEDOUT);
	pthread_t t;
	pthread_create(&t, NULL, abort_soon, s);
	int64_t before = clock_mono(NULL);
	assert_int_equal(http_stream_read(s, text, sizeof(text), 0, &err), -1);
	assert_int_equal(err.sys, ECANCELED);
	assert_true(clock_mono(NULL) - before < 2 * NS_PER_SEC);
	pthread_join(t, NULL);
	http_stream_in_close(s);
	stop(&f);
}

static void explains_failures(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct error err = { 0 };
	int port, fd = test_listen(&port);
	struct http_client_opts o = { .base_url = arena_printf(a, "http://127.0.0.1:%d/base/", port),
		                      .timeout_ms = 100 };
	struct http_client *c = http_client_new(&o, &err);
	struct http_answer an;
	assert_false(http_client_do(c, a, &(struct http_call){ .method = "GET", .path = S("/x") }, &an,
	                            &err)); // nobody answers
	assert_int_equal(err.sys, ETIMEDOUT);
	assert_true(str_contains(error_str(&err), S("context deadline exceeded")));
	assert_true(str_contains(error_str(&err), S("/base/x\"")));
	close(fd);
	assert_false(http_client_do(c, a, &(struct http_call){ .method = "GET", .path = S("/x") }, &an, &err));
	assert_int_equal(err.sys, ECONNREFUSED);
	assert_str(error_str(&err),
	           arena_printf(
	                   a, "Get \"http://127.0.0.1:%d/base/x\": dial tcp 127.0.0.1:%d: connect: connection refused",
	                   port, port)
	                   .p);
	http_client_free(c);
	o = (struct http_client_opts){ .base_url = S("http://localhost"), .unix_path = "/nonexistent/x.sock" };
	c = http_client_new(&o, &err);
	assert_false(http_client_do(c, a, &(struct http_call){ .method = "GET", .path = S("/x") }, &an, &err));
	assert_str(error_str(&err),
	           "Get \"http://localhost/x\": dial unix /nonexistent/x.sock: connect: no such file or directory");
	http_client_free(c);
	assert_null(http_client_new(&(struct http_client_opts){ .base_url = S("ftp://x") }, &err));
	arena_free(a);
}

static const char *test_env(const char *name, void *ctx)
{
	const char *const *v = ctx;
	for (; *v; v += 2)
		if (strcmp(*v, name) == 0)
			return v[1];
	return NULL;
}

static void obeys_proxies(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	static const char *const env[] = { "HTTPS_PROXY", "http://me:s%40cret@proxy.example:3128",
		                           "http_proxy",  "plain.example:8080",
		                           "NO_PROXY",    "10.0.0.0/8, .svc,example.org,only.port:444,fd00::/8",
		                           NULL };
	void *ctx = (void *)(uintptr_t)env;
	struct http_proxy p;
	assert_true(http_proxy_for(a, test_env, ctx, true, S("registry.example.com"), 443, &p));
	assert_str(p.url.host, "proxy.example");
	assert_int_equal(p.url.port, 3128);
	assert_str(p.authorization, "Basic bWU6c0BjcmV0");
	assert_true(http_proxy_for(a, test_env, ctx, false, S("registry.example.com"), 80, &p));
	assert_str(p.url.host, "plain.example");
	assert_false(http_proxy_for(a, test_env, ctx, true, S("10.2.3.4"), 443, &p));
	assert_true(http_proxy_for(a, test_env, ctx, true, S("11.2.3.4"), 443, &p));
	assert_false(http_proxy_for(a, test_env, ctx, true, S("fd12::1"), 443, &p));
	assert_false(http_proxy_for(a, test_env, ctx, true, S("a.svc"), 443, &p));
	assert_true(http_proxy_for(a, test_env, ctx, true, S("svc"), 443, &p));
	assert_false(http_proxy_for(a, test_env, ctx, true, S("example.org"), 443, &p));
	assert_false(http_proxy_for(a, test_env, ctx, true, S("x.example.org"), 443, &p));
	assert_true(http_proxy_for(a, test_env, ctx, true, S("badexample.org"), 443, &p));
	assert_false(http_proxy_for(a, test_env, ctx, true, S("only.port"), 444, &p));
	assert_true(http_proxy_for(a, test_env, ctx, true, S("only.port"), 443, &p));
	assert_false(http_proxy_for(a, test_env, ctx, true, S("127.0.0.1"), 443, &p));
	assert_false(http_proxy_for(a, test_env, ctx, true, S("::1"), 443, &p));
	assert_false(http_proxy_for(a, test_env, ctx, true, S("localhost"), 443, &p));
	arena_free(a);
}

static void parses_urls(void **state)
{
	(void)state;
	struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct http_url u;
	assert_true(http_url_parse(a, S("https://[::1]:6443/a/b?x=1&y#frag"), &u, &err));
	assert_true(u.tls);
	assert_str(u.host, "::1");
	assert_int_equal(u.port, 6443);
	assert_str(u.path, "/a/b");
	assert_str(u.query, "x=1&y");
	assert_true(http_url_parse(a, S("http://host?q"), &u, &err));
	assert_int_equal(u.port, 80);
	assert_str(u.path, "/");
	assert_str(u.query, "q");
	static const char *const bad[] = {
		"",           "host",        "http://",       "http://:80/", "http://h:0",    "http://h:65536",
		"http://h:x", "http://[::1", "http://[::1]x", "http://a b/", "http://h/\r\nx"
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(http_url_parse(a, str_c(bad[i]), &u, &err));
	struct http_params p;
	str v;
	assert_true(http_query_parse(a, S("a=1&b=x%20y+z&&a=2&c"), &p));
	assert_int_equal(p.n, 4);
	assert_true(http_param_get(&p, S("b"), &v));
	assert_str(v, "x y z");
	assert_true(http_param_get(&p, S("a"), &v));
	assert_str(v, "1");
	assert_false(http_param_get(&p, S("d"), &v));
	assert_false(http_query_parse(a, S("a=%2"), &p));
	assert_false(http_query_parse(a, S("a=1;b=2"), &p));
	_cleanup_buf_ struct buf many = { 0 };
	for (int i = 0; i < 1001; i++)
		buf_add(&many, S("a&"));
	assert_false(http_query_parse(a, buf_str(&many), &p));
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_connections),   cmocka_unit_test(retries_only_what_is_safe),
		cmocka_unit_test(refuses_bad_answers), cmocka_unit_test(limits_bodies),
		cmocka_unit_test(follows_redirects),   cmocka_unit_test(streams),
		cmocka_unit_test(explains_failures),   cmocka_unit_test(obeys_proxies),
		cmocka_unit_test(parses_urls),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
