#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "net/test_server.h"
#include "net/websocket.h"
#include "net/ws_internal.h"

#define assert_str(s, text) assert_true(str_eqc((s), (text)))

struct fixture {
	struct arena *a;
	struct http_server *s;
	struct tls_context *server_tls, *client_tls;
	struct test_pki pki;
	int port;
	struct http_client *c;
	atomic_int closed, messages, drained;
};

static void on_message(struct ws_server *w, void *ctx, enum ws_opcode op, str m)
{
	struct fixture *f = ctx;
	atomic_fetch_add(&f->messages, 1);
	if (str_eq(m, S("close me")))
		ws_close(w, 1000, S("as you wish"));
	else if (str_eq(m, S("drop me")))
		http_tunnel_close(ws_exchange(w));
	else if (str_eq(m, S("ping me")))
		ws_send(w, WS_PING, S("p"));
	else
		ws_send(w, op, m);
}

static void on_close(struct ws_server *w, void *ctx)
{
	struct fixture *f = ctx;
	(void)w;
	atomic_fetch_add(&f->closed, 1);
}

static void on_drain(struct ws_server *w, void *ctx)
{
	struct fixture *f = ctx;
	(void)w;
	atomic_fetch_add(&f->drained, 1);
}

static void handle(struct http_exchange *x, void *ctx)
{
	static const struct ws_callbacks cb = { on_message, on_close, on_drain };
	static const str supported[] = { S_INIT("v5.channel.k8s.io"), S_INIT("v4.channel.k8s.io") };
	struct http_request_in *r = http_request(x);
	struct error err = { 0 };
	if (str_eq(r->path, S("/forbidden"))) {
		http_reply(x, 403, NULL, S("{\"kind\":\"Status\"}"));
		return;
	}
	if (!ws_accept(x, ws_choose_protocol(r, supported, 2), &cb, ctx, &err))
		http_reply(x, err.code, NULL, error_str(&err));
}

static int start(void **state, bool tls)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err = { 0 };
	f->a = arena_new(0);
	struct http_server_opts o = { .address = "127.0.0.1", .loops = 1, .handle = handle, .ctx = f };
	struct http_client_opts c = { .timeout_ms = 5000 };
	if (tls) {
		test_pki_make(f->a, &f->pki);
		struct tls_server_opts so = { .cert_file = f->pki.cert, .key_file = f->pki.key, .http2 = true };
		struct tls_client_opts co = { .ca_pem = f->pki.ca_pem };
		o.tls = f->server_tls = tls_server_new(&so, &err);
		c.tls = f->client_tls = tls_client_new(&co, &err);
	}
	f->s = http_server_start(&o, &err);
	f->port = http_server_port(f->s);
	c.base_url = arena_printf(f->a, "%s://127.0.0.1:%d", tls ? "https" : "http", f->port);
	f->c = http_client_new(&c, &err);
	*state = f;
	return f->c ? 0 : -1;
}

static int setup(void **state)
{
	return start(state, false);
}

static int setup_tls(void **state)
{
	return start(state, true);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	http_client_free(f->c);
	http_server_stop(f->s, 0);
	tls_unref(f->server_tls);
	tls_unref(f->client_tls);
	if (f->server_tls)
		test_pki_remove(&f->pki);
	arena_free(f->a);
	free(f);
	return 0;
}

static struct ws_client *dial(struct fixture *f, const char *path, const char *protocols, str *chosen,
                              struct http_answer *refused, struct error *err)
{
	return ws_connect(f->c, f->a, &(struct http_call){ .path = str_c(path) }, str_c(protocols), chosen, refused,
	                  err);
}

static void talks(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	struct http_answer refused;
	enum ws_opcode op;
	str chosen, m;
	int code;
	struct ws_client *w = dial(f, "/", "v4.channel.k8s.io, v5.channel.k8s.io", &chosen, &refused, &err);
	assert_non_null(w);
	assert_str(chosen, "v5.channel.k8s.io");
	for (size_t n = 0; n <= 3000000; n = n ? n * 5 : 1) {
		char *big = malloc(n + 1);
		memset(big, 'b', n + 1);
		assert_true(ws_write(w, n % 2 ? WS_TEXT : WS_BINARY, str_n(big, n), &err));
		assert_true(ws_read(w, f->a, &op, &m, &code, 5000, &err));
		assert_int_equal(op, n % 2 ? WS_TEXT : WS_BINARY);
		assert_int_equal(m.n, n);
		assert_memory_equal(m.p, big, n);
		free(big);
	}
	assert_true(atomic_load(&f->drained) > 0);
	// A ping is answered inside; nothing comes of it.
	assert_true(ws_write(w, WS_TEXT, S("ping me"), &err));
	assert_false(ws_read(w, f->a, &op, &m, &code, 100, &err));
	assert_int_equal(err.sys, ETIMEDOUT);
	assert_true(ws_write(w, WS_TEXT, S("close me"), &err));
	assert_false(ws_read(w, f->a, &op, &m, &code, 5000, &err));
	assert_int_equal(err.code, 0);
	assert_int_equal(code, 1000);
	assert_str(m, "as you wish");
	assert_false(ws_write(w, WS_TEXT, S("x"), &err));
	assert_true(test_reaches(&f->closed, 1));
	ws_free(w);
	// An end without a goodbye is an error.
	w = dial(f, "/", "", &chosen, &refused, &err);
	assert_int_equal(chosen.n, 0);
	assert_true(ws_write(w, WS_TEXT, S("drop me"), &err));
	assert_false(ws_read(w, f->a, &op, &m, &code, 5000, &err));
	assert_int_equal(code, 1006);
	assert_int_not_equal(err.code, 0);
	ws_free(w);
	// A client that just goes.
	w = dial(f, "/", "", &chosen, &refused, &err);
	ws_free(w);
	assert_true(test_reaches(&f->closed, 3));
}

static void refuses(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	struct http_answer refused;
	str chosen;
	assert_null(dial(f, "/forbidden", "v5.channel.k8s.io", &chosen, &refused, &err));
	assert_int_equal(err.code, 403);
	assert_int_equal(refused.status, 403);
	assert_str(refused.body, "{\"kind\":\"Status\"}");
	static const char *const bad[] = {
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: "
		"8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: "
		"13\r\nSec-WebSocket-Key: short\r\n\r\n",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int fd = test_dial(f->port);
		test_send(fd, str_c(bad[i]));
		assert_true(str_has_prefix(test_recv(f->a, fd, "\r\n\r\n"), S("HTTP/1.1 400 ")));
		close(fd);
	}
	assert_str(ws_accept_key(f->a, S("dGhlIHNhbXBsZSBub25jZQ==")),
	           "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); // RFC 6455, section 1.3
	// Frames against the rules: without mask; a reserved bit; too large; text that is no UTF-8; fragments without end.
	struct buf many = { 0 };
	buf_add(&many, S("\x01\x81\0\0\0\0a"));
	for (int i = 0; i < 20000; i++)
		buf_add(&many, S("\x00\x81\0\0\0\0a"));
	const str frames[] = { S("\x81\x02hi"), S("\xc1\x82\0\0\0\0hi"), S("\x82\xff\0\0\0\0\x7f\0\0\0\0\0\0\0first"),
		               S("\x81\x82\0\0\0\0\xff\xff"), buf_str(&many) };
	int messages = atomic_load(&f->messages);
	for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
		int fd = test_dial(f->port);
		test_send(fd, S("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: "
		                "websocket\r\nSec-WebSocket-Version: 13\r\n"
		                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"));
		test_recv(f->a, fd, "\r\n\r\n");
		test_send(fd, frames[i]);
		int64_t before = clock_mono(NULL);
		test_recv(f->a, fd, NULL);
		if (clock_mono(NULL) - before > 4 * NS_PER_SEC)
			fail_msg("frame %zu: not closed", i);
		close(fd);
	}
	assert_int_equal(atomic_load(&f->messages), messages);
	buf_free(&many);
}

struct reader {
	struct ws_client *w;
	int code, count;
	bool orderly;
};

static void *read_all(void *arg)
{
	struct reader *r = arg;
	struct arena *a = arena_new(0);
	struct error err = { 0 };
	enum ws_opcode op;
	str m;
	while (ws_read(r->w, a, &op, &m, &r->code, 10000, &err)) {
		r->count++;
		arena_reset(a);
	}
	r->orderly = err.code == 0;
	arena_free(a);
	return NULL;
}

static void reads_and_writes_at_once(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	struct http_answer refused;
	str chosen;
	char text[10000];
	memset(text, 't', sizeof(text));
	struct reader r = { .w = dial(f, "/", "", &chosen, &refused, &err) };
	pthread_t t;
	pthread_create(&t, NULL, read_all, &r);
	for (int i = 0; i < 1000; i++)
		assert_true(ws_write(r.w, WS_BINARY, str_n(text, sizeof(text)), &err));
	for (int i = 0; i < 500 && atomic_load(&f->messages) < 1000; i++)
		clock_sleep(NULL, 10 * NS_PER_MS);
	clock_sleep(NULL, 100 * NS_PER_MS);
	ws_shutdown(r.w, 1001, S("bye"));
	pthread_join(t, NULL);
	assert_int_equal(r.count, 1000);
	assert_true(r.orderly);
	assert_int_equal(r.code, 1001);
	ws_free(r.w);
	assert_true(test_reaches(&f->closed, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(talks, setup, teardown),
		cmocka_unit_test_setup_teardown(talks, setup_tls, teardown),
		cmocka_unit_test_setup_teardown(refuses, setup, teardown),
		cmocka_unit_test_setup_teardown(reads_and_writes_at_once, setup_tls, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
