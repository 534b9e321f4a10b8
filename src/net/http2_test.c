// The server's HTTP/2: what it does with honest clients, and with others.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/test_h2.h"
#include "net/test_server.h"

#define assert_str(s, text) assert_true(str_eqc((s), (text)))
#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static int setup(void **state)
{
	struct test_server *t = malloc(sizeof(*t));
	test_server_start(t, false, NULL);
	*state = t;
	return 0;
}

static void hurry(struct http_server_opts *o)
{
	o->header_timeout_ms = 200;
	o->idle_timeout_ms = 300;
	o->write_timeout_ms = 300;
}

static int setup_hurried(void **state)
{
	struct test_server *t = malloc(sizeof(*t));
	test_server_start(t, false, hurry);
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	test_server_stop(*state);
	free(*state);
	return 0;
}

// The server still serves others, and at once.
static void assert_serves(struct test_server *t)
{
	struct test_h2 h;
	int64_t before = clock_mono(NULL);
	test_h2_open(&h, t->port);
	size_t i = test_h2_request(&h, "GET", "/echo?alive", S(""));
	test_h2_run(&h, 1, 5000);
	assert_str(buf_str(&h.answers[i].body), "GET /echo alive 0 ");
	assert_true(clock_mono(NULL) - before < 2 * NS_PER_SEC);
	test_h2_close(&h);
}

static void answers(void **state)
{
	struct test_server *t = *state;
	struct test_h2 h;
	test_h2_open(&h, t->port);
	size_t get = test_h2_request(&h, "GET", "/echo?q", S("")),
	       post = test_h2_request(&h, "POST", "/echo", S("hello"));
	size_t head = test_h2_request(&h, "HEAD", "/echo", S("")), later = test_h2_request(&h, "GET", "/later", S(""));
	size_t work = test_h2_request(&h, "GET", "/work", S("")), big = test_h2_request(&h, "GET", "/big", S(""));
	size_t count = test_h2_request(&h, "GET", "/count?100000", S("")),
	       none = test_h2_request(&h, "GET", "/status?204", S(""));
	size_t abort_ = test_h2_request(&h, "GET", "/abort", S("")),
	       host = test_h2_request(&h, "GET", "/headers", S(""));
	size_t split = test_h2_request(&h, "GET", "/split", S("")),
	       tunnel = test_h2_request(&h, "GET", "/tunnel", S(""));
	test_h2_run(&h, h.n, 10000);
	assert_str(buf_str(&h.answers[get].body), "GET /echo q 0 ");
	assert_str(buf_str(&h.answers[post].body), "POST /echo  5 hello");
	assert_int_equal(h.answers[head].status, 200);
	assert_int_equal(h.answers[head].body.n, 0);
	assert_str(buf_str(&h.answers[later].body), "later");
	assert_str(buf_str(&h.answers[work].body), "worked");
	assert_int_equal(h.answers[big].body.n, TEST_BIG);
	assert_memory_equal(h.answers[big].body.p, t->big, TEST_BIG);
	assert_true(str_has_suffix(buf_str(&h.answers[count].body), S("\n99999\n")) && h.answers[count].ended);
	assert_int_equal(h.answers[none].status, 204);
	assert_true(h.answers[none].ended);
	assert_true(h.answers[abort_].reset && !h.answers[abort_].ended);
	assert_str(buf_str(&h.answers[host].body), "host=test\n");
	assert_str(buf_str(&h.answers[split].body), "ok");
	assert_int_equal(h.answers[tunnel].status, 400);
	assert_true(test_reaches(&t->closed, (int)h.n));
	for (int i = 0; i < 400; i++)
		test_h2_request(&h, "GET", "/echo", S(""));
	test_h2_run(&h, h.n, 10000);
	for (size_t i = 0; i < h.n; i++)
		assert_true(h.answers[i].closed);
	test_h2_close(&h);
}

static void limits_bodies(void **state)
{
	struct test_server *t = *state;
	struct test_h2 h;
	static char big[400000];
	memset(big, 'a', sizeof(big));
	test_h2_open(&h, t->port);
	size_t fits = test_h2_request(&h, "POST", "/echo", str_n(big, 100000)),
	       over = test_h2_request(&h, "POST", "/echo", str_n(big, sizeof(big)));
	test_h2_run(&h, 2, 5000);
	assert_true(str_has_prefix(buf_str(&h.answers[fits].body), S("POST /echo  100000 aaa")));
	assert_int_equal(h.answers[over].status, 413);
	assert_str(buf_str(&h.answers[over].body), "too large");
	assert_true(h.answers[over].closed);
	size_t after = test_h2_request(&h, "GET", "/echo", S(""));
	test_h2_run(&h, 3, 5000);
	assert_int_equal(h.answers[after].status, 200);
	test_h2_close(&h);
}

static void sees_clients_leave(void **state)
{
	struct test_server *t = *state;
	struct test_h2 h;
	test_h2_open(&h, t->port);
	for (int i = 0; i < 20; i++)
		test_h2_request(&h, "GET", i % 2 ? "/wait" : "/ticks", S(""));
	test_h2_run(&h, 1, 300);
	assert_int_equal(atomic_load(&t->handled), 20);
	for (int i = 0; i < 10; i++)
		nghttp2_submit_rst_stream(h.session, 0, h.answers[i].stream, NGHTTP2_CANCEL);
	test_h2_run(&h, 11, 300);
	assert_true(test_reaches(&t->closed, 10));
	assert_false(h.over);
	test_h2_close(&h);
	assert_true(test_reaches(&t->closed, 20));
}

static void loses_patience(void **state)
{
	struct test_server *t = *state;
	struct test_h2 h;
	// A request without an end gets 408; others on the connection live on.
	test_h2_open(&h, t->port);
	size_t ticks = test_h2_request(&h, "GET", "/ticks?50", S(""));
	const nghttp2_nv nv[] = {
		{ (uint8_t *)(uintptr_t) ":method", (uint8_t *)(uintptr_t) "POST", 7, 4, 0 },
		{ (uint8_t *)(uintptr_t) ":scheme", (uint8_t *)(uintptr_t) "http", 7, 4, 0 },
		{ (uint8_t *)(uintptr_t) ":path", (uint8_t *)(uintptr_t) "/echo", 5, 5, 0 },
		{ (uint8_t *)(uintptr_t) ":authority", (uint8_t *)(uintptr_t) "x", 10, 1, 0 },
	};
	h.answers[h.n].stream = nghttp2_submit_headers(h.session, 0, -1, NULL, nv, 4, NULL); // no END_STREAM
	size_t slow = h.n++;
	test_h2_run(&h, 2, 5000);
	assert_int_equal(h.answers[slow].status, 408);
	assert_true(h.answers[ticks].ended);
	// Then it is idle, and is told so.
	test_h2_run(&h, h.n + 1, 2000);
	assert_true(h.goaway && h.over);
	assert_int_equal(h.goaway_error, NGHTTP2_NO_ERROR);
	test_h2_close(&h);
	// One that never opens its window for what it has asked for.
	test_h2_open(&h, t->port);
	nghttp2_settings_entry e = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 10 };
	nghttp2_submit_settings(h.session, 0, &e, 1);
	nghttp2_session_set_local_window_size(h.session, 0, 0, 65535);
	size_t big = test_h2_request(&h, "GET", "/big", S(""));
	test_h2_send(&h);
	nghttp2_session_set_local_window_size(h.session, 0, h.answers[big].stream, 0);
	char in[4096];
	int64_t end = clock_mono(NULL) + 5 * NS_PER_SEC;
	bool gone = false;
	while (!gone && clock_mono(NULL) < end) { // reads, acknowledges nothing
		struct pollfd p = { .fd = h.fd, .events = POLLIN };
		if (poll(&p, 1, 50) > 0 && recv(h.fd, in, sizeof(in), 0) <= 0)
			break;
		gone = atomic_load(&t->released) == 1;
	}
	assert_true(gone);
	test_h2_close(&h);
}

static void frame(struct buf *b, size_t n, int type, int flags, int32_t stream)
{
	const char head[9] = { (char)(n >> 16),      (char)(n >> 8),      (char)n,
		               (char)type,           (char)flags,         (char)(stream >> 24),
		               (char)(stream >> 16), (char)(stream >> 8), (char)stream };
	buf_add(b, str_n(head, 9));
}

// Sends the preface and the flood; true when the server closes the connection within 10 s. What it says is thrown away.
static bool flood(struct test_server *t, str bytes)
{
	int fd = test_dial(t->port);
	char in[65536];
	int64_t end = clock_mono(NULL) + 10 * NS_PER_SEC;
	bool closed = false;
	test_send(fd, S(PREFACE "\0\0\0\4\0\0\0\0\0"));
	while (!closed && clock_mono(NULL) < end) {
		struct pollfd p = { .fd = fd, .events = (short)(POLLIN | (bytes.n ? POLLOUT : 0)) };
		if (poll(&p, 1, 100) <= 0)
			continue;
		if (p.revents & POLLIN) {
			ssize_t n = recv(fd, in, sizeof(in), MSG_DONTWAIT);
			closed = n == 0 || (n < 0 && p.revents & (POLLERR | POLLHUP));
		}
		if (!closed && p.revents & POLLOUT) {
			ssize_t n = send(fd, bytes.p, MIN(bytes.n, (size_t)65536), MSG_NOSIGNAL | MSG_DONTWAIT);
			if (n > 0)
				bytes = str_from(bytes, (size_t)n);
			else if (p.revents & (POLLERR | POLLHUP))
				closed = true;
		}
	}
	close(fd);
	return closed;
}

#define GET_WAIT "\x82\x86\x04\x05/wait\x41\x01x" // :method GET, :scheme http, :path /wait, :authority x

static void resists_floods(void **state)
{
	struct test_server *t = *state;
	_cleanup_buf_ struct buf b = { 0 };
	// Rapid reset (CVE-2023-44487).
	for (int i = 0; i < 20000; i++) {
		frame(&b, sizeof(GET_WAIT) - 1, 1, 5, 2 * i + 1);
		buf_add(&b, S(GET_WAIT));
		frame(&b, 4, 3, 0, 2 * i + 1);
		buf_add(&b, S("\0\0\0\x08"));
	}
	assert_true(flood(t, buf_str(&b)));
	assert_true(atomic_load(&t->handled) < 5000);
	assert_true(test_reaches(&t->closed, atomic_load(&t->handled)));
	assert_serves(t);
	// SETTINGS and PING: their acknowledgements pile up when nobody reads them, and here faster than they are read.
	buf_clear(&b);
	for (int i = 0; i < 200000; i++)
		frame(&b, 0, 4, 0, 0);
	flood(t, buf_str(&b));
	assert_serves(t);
	buf_clear(&b);
	for (int i = 0; i < 200000; i++) {
		frame(&b, 8, 6, 0, 0);
		buf_add(&b, S("12345678"));
	}
	flood(t, buf_str(&b));
	assert_serves(t);
	// CONTINUATION without an end.
	buf_clear(&b);
	frame(&b, sizeof(GET_WAIT) - 1, 1, 1, 1);
	buf_add(&b, S(GET_WAIT));
	for (int i = 0; i < 100000; i++) {
		frame(&b, 6, 9, 0, 1);
		buf_add(&b, S("\x00\x01x\x02yz"));
	}
	assert_true(flood(t, buf_str(&b)));
	assert_serves(t);
	// A bomb: one large entry of the compressor's table, named ever again.
	buf_clear(&b);
	struct buf head = { 0 };
	buf_add(&head, S(GET_WAIT "\x40\x01x\x7f\xa1\x1e")); // a literal with indexing, 4000 bytes
	for (int i = 0; i < 4000; i++)
		buf_add_char(&head, 'v');
	for (int i = 0; i < 12000; i++)
		buf_add_char(&head, '\xbe'); // index 62
	frame(&b, head.n, 1, 5, 1);
	buf_add(&b, buf_str(&head));
	buf_free(&head);
	int handled = atomic_load(&t->handled);
	int fd = test_dial(t->port);
	test_send(fd, S(PREFACE "\0\0\0\4\0\0\0\0\0"));
	test_send(fd, buf_str(&b));
	str rst = S("\0\0\4\3\0\0\0\0\1");
	assert_true(str_find(test_recv_until(t->a, fd, rst), rst) >= 0);
	close(fd);
	assert_int_equal(atomic_load(&t->handled), handled); // no handler saw it
	assert_serves(t);
	// Empty DATA frames.
	buf_clear(&b);
	frame(&b, sizeof(GET_WAIT) - 1, 1, 4, 1);
	buf_add(&b, S(GET_WAIT));
	for (int i = 0; i < 5000; i++)
		frame(&b, 0, 0, 0, 1);
	assert_true(flood(t, buf_str(&b)));
	assert_serves(t);
}

static void refuses_nonsense(void **state)
{
	struct test_server *t = *state;
	static const str junk[] = {
		S_INIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), // a frame that is too large
		S_INIT("\0\0\4\3\0\0\0\0\1\0\0\0\0"),                       // RST_STREAM of an idle stream
		S_INIT("\0\0\1\1\5\0\0\0\1\xff"),                           // broken HPACK
		S_INIT("\0\0\5\0\1\0\0\0\1hello"),                          // DATA on an idle stream
		S_INIT("\0\0\4\x08\0\0\0\0\0\0\0\0\0"),                     // WINDOW_UPDATE by nothing
		S_INIT("\0\0\4\x08\0\0\0\0\0\x7f\xff\xff\xff"),             // and by too much
		S_INIT("\0\0\1\1\5\0\0\0\2\x82"),                           // an even stream
	};
	for (size_t i = 0; i < ARRAY_LEN(junk); i++) {
		if (!flood(t, junk[i]))
			fail_msg("junk %zu", i);
	}
	// Requests that are none: reset, without a handler. No :path; a header in capitals; two :method; Connection.
	static const str heads[] = {
		S_INIT("\x82\x86\x41\x01x"),
		S_INIT(GET_WAIT "\x00\x01X\x01y"),
		S_INIT("\x82\x82\x86\x84\x41\x01x"),
		S_INIT("\x82\x86\x84\x41\x01x\x00\x0a"
		       "connection\x05"
		       "close"),
	};
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		_cleanup_buf_ struct buf b = { 0 };
		frame(&b, heads[i].n, 1, 5, 1);
		buf_add(&b, heads[i]);
		int fd = test_dial(t->port);
		test_send(fd, S(PREFACE "\0\0\0\4\0\0\0\0\0"));
		test_send(fd, buf_str(&b));
		// RST_STREAM with PROTOCOL_ERROR; the connection may stay.
		str rst = S("\0\0\4\3\0\0\0\0\1\0\0\0\1");
		if (str_find(test_recv_until(t->a, fd, rst), rst) < 0)
			fail_msg("head %zu", i);
		close(fd);
	}
	assert_int_equal(atomic_load(&t->handled), 0);
	assert_serves(t);
}

static void *stop(void *server)
{
	http_server_stop(server, 5000);
	return NULL;
}

static void says_goodbye(void **state)
{
	struct test_server *t = *state;
	struct test_h2 h;
	pthread_t th;
	test_h2_open(&h, t->port);
	size_t i = test_h2_request(&h, "GET", "/ticks?30", S(""));
	test_h2_run(&h, 1, 100);
	struct http_server *s = t->s;
	t->s = NULL;
	pthread_create(&th, NULL, stop, s); // takes until the stream has ended
	test_h2_run(&h, 2, 4000);
	assert_true(h.goaway && h.over);
	assert_int_equal(h.goaway_error, NGHTTP2_NO_ERROR);
	assert_true(h.answers[i].ended);
	pthread_join(th, NULL);
	test_h2_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers, setup, teardown),
		cmocka_unit_test_setup_teardown(limits_bodies, setup, teardown),
		cmocka_unit_test_setup_teardown(sees_clients_leave, setup, teardown),
		cmocka_unit_test_setup_teardown(loses_patience, setup_hurried, teardown),
		cmocka_unit_test_setup_teardown(resists_floods, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_nonsense, setup, teardown),
		cmocka_unit_test_setup_teardown(says_goodbye, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
