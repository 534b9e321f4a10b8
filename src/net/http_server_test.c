#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "net/http_client.h"
#include "net/test_server.h"

#define assert_str(s, text) assert_true(str_eqc((s), (text)))

static int setup(void **state)
{
	struct test_server *t = malloc(sizeof(*t));
	test_server_start(t, false, NULL);
	*state = t;
	return 0;
}

static int setup_tls(void **state)
{
	struct test_server *t = malloc(sizeof(*t));
	test_server_start(t, true, NULL);
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

// Sends raw bytes, returns everything that comes until the server closes (or `until` has come).
static str talk(struct test_server *t, const char *send, const char *until)
{
	int fd = test_dial(t->port);
	test_send(fd, str_c(send));
	str r = test_recv(t->a, fd, until);
	close(fd);
	return r;
}

static size_t occurrences(str s, const char *what)
{
	size_t n = 0;
	for (ptrdiff_t at; (at = str_find(s, str_c(what))) >= 0; n++)
		s = str_from(s, (size_t)at + strlen(what));
	return n;
}

static void answers(void **state)
{
	struct test_server *t = *state;
	str r = talk(t, "GET /echo?a=b%20c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL);
	assert_true(str_has_prefix(r, S("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: ")));
	assert_true(str_contains(r, S("GMT\r\nContent-Length: 20\r\nConnection: close\r\n\r\n")));
	assert_true(str_has_suffix(r, S("\r\n\r\nGET /echo a=b%20c 0 ")));
	r = talk(t, "HEAD /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL);
	assert_true(str_contains(r, S("Content-Length: 14\r\n")) && str_has_suffix(r, S("\r\n\r\n")));
	r = talk(t, "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", NULL);
	assert_true(str_has_suffix(r, S("POST /echo  5 hello")));
	r = talk(t,
	         "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: "
	         "chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: 1\r\n\r\n",
	         NULL);
	assert_true(str_has_suffix(r, S("POST /echo  5 abcde")));
	// HTTP/1.0: closes by itself, unless asked; a stream's end is the connection's.
	r = talk(t, "GET /echo HTTP/1.0\r\n\r\n", NULL);
	assert_true(str_contains(r, S("Connection: close\r\n")) && str_has_suffix(r, S("GET /echo  0 ")));
	r = talk(t, "GET /count?3 HTTP/1.0\r\n\r\n", NULL);
	assert_true(str_has_suffix(r, S("\r\n\r\n0\n1\n2\n")) && !str_contains(r, S("chunked")));
	r = talk(t, "GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET /echo");
	assert_true(str_contains(r, S("Connection: keep-alive\r\n")));
	r = talk(t, "GET /count?3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL);
	assert_true(str_contains(r, S("Transfer-Encoding: chunked\r\n")) &&
	            str_has_suffix(r, S("\r\n\r\n2\r\n0\n\r\n2\r\n1\n\r\n2\r\n2\n\r\n0\r\n\r\n")));
	r = talk(t, "GET http://x/echo?q HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL);
	assert_true(str_has_suffix(r, S("GET /echo q 0 ")));
	r = talk(t, "GET /status?204 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL);
	assert_true(str_has_prefix(r, S("HTTP/1.1 204 No Content\r\n")) && !str_contains(r, S("Content-Length")) &&
	            str_has_suffix(r, S("\r\n\r\n")));
	r = talk(t, "GET /split HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL);
	assert_false(str_contains(r, S("\nset-cookie")));
	r = talk(t, "GET /headers HTTP/1.1\r\nHost: x\r\nX-One:  two three \r\nConnection: close\r\n\r\n", NULL);
	assert_true(str_has_suffix(r, S("\r\n\r\nhost=x\nx-one=two three\nconnection=close\n")));
	// An offer of h2c is ignored.
	r = talk(t,
	         "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: "
	         "h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
	         "GET /echo");
	assert_true(str_has_prefix(r, S("HTTP/1.1 200 OK\r\n")));
}

static void keeps_alive_and_pipelines(void **state)
{
	struct test_server *t = *state;
	int fd = test_dial(t->port);
	test_send(
	        fd,
	        S("GET /echo?1 HTTP/1.1\r\nHost: x\r\n\r\nGET /later HTTP/1.1\r\nHost: x\r\n\r\nPOST /echo?3 "
	          "HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
	          "GET /work HTTP/1.1\r\nHost: x\r\n\r\nGET /echo?5 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
	str r = test_recv(t->a, fd, NULL);
	close(fd);
	ptrdiff_t at[5] = { str_find(r, S("GET /echo 1")), str_find(r, S("later")),
		            str_find(r, S("POST /echo 3 3 abc")), str_find(r, S("worked")),
		            str_find(r, S("GET /echo 5")) };
	for (int i = 0; i < 5; i++)
		assert_true(at[i] > 0 && (i == 0 || at[i] > at[i - 1]));
	// Byte by byte.
	fd = test_dial(t->port);
	str request = S("POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\nwxyz");
	for (size_t i = 0; i < request.n; i++) {
		test_send(fd, str_sub(request, i, i + 1));
		if (i % 8 == 0)
			clock_sleep(NULL, NS_PER_MS / 2);
	}
	r = test_recv(t->a, fd, NULL);
	assert_true(str_has_suffix(r, S("POST /echo  4 wxyz")));
	close(fd);
	// A thousand in one go.
	_cleanup_buf_ struct buf b = { 0 };
	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "GET /echo?%d HTTP/1.1\r\nHost: x\r\n%s\r\n", i,
		           i == 999 ? "Connection: close\r\n" : "");
	fd = test_dial(t->port);
	test_send(fd, buf_str(&b));
	r = test_recv(t->a, fd, NULL);
	assert_int_equal(occurrences(r, "HTTP/1.1 200 OK"), 1000);
	close(fd);
}

static void refuses_bad_requests(void **state)
{
	struct test_server *t = *state;
	static const struct {
		const char *request;
		int status;
	} bad[] = {
		{ "GET /echo HTTP/1.1\r\n\r\n", 400 }, // no Host
		{ "GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400 },
		{ "GET /echo HTTP/2.0\r\nHost: a\r\n\r\n", 505 },
		{ "GET /echo HTTP/0.9\r\nHost: a\r\n\r\n", 505 },
		{ "GET echo HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405 },
		{ "BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
		{ "GET /echo HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n", 400 },
		{ "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400 },
		{ "GET /echo HTTP/1.1\r\nHost: a\r\nX: a\x01z\r\n\r\n", 400 },
		{ "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400 },
		{ "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400 },
		{ "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		  400 },
		{ "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n", 400 },
		{ "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400 },
		{ "POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 },
		{ "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\n", 400 },
		{ "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400 },
		{ "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400 },
		{ "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\n", 417 },
		{ "\x16\x03\x01\x02\x01\x01\xfc\x03\x03", 400 }, // TLS on a plain port
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		str r = talk(t, bad[i].request, NULL);
		char want[32];
		snprintf(want, sizeof(want), "HTTP/1.1 %d ", bad[i].status);
		if (!str_has_prefix(r, str_c(want)) || !str_contains(r, S("Connection: close\r\n")))
			fail_msg("%s -> " STR_FMT, bad[i].request, STR_ARG(r));
	}
	assert_int_equal(atomic_load(&t->handled), 0);
	// Bad input behind a good request: the good one is answered, then the connection ends.
	str r = talk(t, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\nrubbish\r\n\r\n", NULL);
	assert_int_equal(occurrences(r, "HTTP/1.1 200 OK"), 1);
	assert_int_equal(occurrences(r, "HTTP/1.1 400 Bad Request"), 1);
}

static void limits_sizes(void **state)
{
	struct test_server *t = *state;
	_cleanup_buf_ struct buf b = { 0 };
	buf_add(&b, S("GET /echo HTTP/1.1\r\nHost: x\r\nX-Big: "));
	memset(buf_reserve(&b, 2 << 20), 'a', 2 << 20);
	b.n += 2 << 20;
	buf_add(&b, S("\r\n\r\n"));
	int fd = test_dial(t->port);
	test_send(fd, buf_str(&b));
	str r = test_recv(t->a, fd, NULL);
	assert_true(str_has_prefix(r, S("HTTP/1.1 431 Request Header Fields Too Large\r\n")));
	close(fd);
	buf_clear(&b);
	buf_add(&b, S("GET /echo HTTP/1.1\r\nHost: x\r\n"));
	for (int i = 0; i < 3000; i++)
		buf_printf(&b, "X-%d: y\r\n", i);
	buf_add(&b, S("\r\n"));
	fd = test_dial(t->port);
	test_send(fd, buf_str(&b));
	r = test_recv(t->a, fd, NULL);
	assert_true(str_has_prefix(r, S("HTTP/1.1 431 ")));
	close(fd);
	// A body that announces too much, one that turns out to be too much, and one that waits for a word.
	buf_clear(&b);
	buf_add(&b, S("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n"));
	memset(buf_reserve(&b, 200000), 'a', 200000);
	b.n += 200000;
	fd = test_dial(t->port);
	test_send(fd, buf_str(&b));
	r = test_recv(t->a, fd, NULL);
	assert_true(str_has_prefix(r, S("HTTP/1.1 413 ")) && str_has_suffix(r, S("too large")));
	close(fd);
	buf_clear(&b);
	buf_add(&b, S("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n30d40\r\n"));
	memset(buf_reserve(&b, 200000), 'a', 200000);
	b.n += 200000;
	fd = test_dial(t->port);
	test_send(fd, buf_str(&b));
	r = test_recv(t->a, fd, NULL);
	assert_true(str_has_prefix(r, S("HTTP/1.1 413 ")));
	close(fd);
	r = talk(t, "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 200000\r\n\r\n", NULL);
	assert_true(str_has_prefix(r, S("HTTP/1.1 413 ")));
	fd = test_dial(t->port);
	test_send(fd, S("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: "
	                "close\r\n\r\n"));
	assert_str(test_recv(t->a, fd, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
	test_send(fd, S("abc"));
	r = test_recv(t->a, fd, NULL);
	assert_true(str_has_prefix(r, S("HTTP/1.1 200 OK\r\n")) && str_has_suffix(r, S(" 3 abc")));
	close(fd);
	// Just within the limit.
	buf_clear(&b);
	buf_add(&b, S("POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n"));
	memset(buf_reserve(&b, 100000), 'a', 100000);
	b.n += 100000;
	fd = test_dial(t->port);
	test_send(fd, buf_str(&b));
	r = test_recv(t->a, fd, NULL);
	assert_true(str_contains(r, S("POST /echo  100000 aaa")));
	close(fd);
}

static void loses_patience(void **state)
{
	struct test_server *t = *state;
	int64_t before = clock_mono(NULL);
	str r = talk(t, "GET /echo HTTP/1.1\r\nHost", NULL);
	assert_true(str_has_prefix(r, S("HTTP/1.1 408 Request Timeout\r\n")));
	r = talk(t, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc", NULL);
	assert_true(str_has_prefix(r, S("HTTP/1.1 408 Request Timeout\r\n")));
	assert_int_equal(talk(t, "", NULL).n, 0);
	r = talk(t, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n", NULL); // idle
	assert_int_equal(occurrences(r, "HTTP/1.1 200 OK"), 1);
	assert_true(clock_mono(NULL) - before < 4 * NS_PER_SEC);
	// One that does not take its answer.
	int fd = test_dial(t->port);
	test_send(fd, S("GET /big HTTP/1.1\r\nHost: x\r\n\r\nGET /big HTTP/1.1\r\nHost: x\r\n\r\nGET /big "
	                "HTTP/1.1\r\nHost: x\r\n\r\n"));
	int closed = atomic_load(&t->closed);
	for (int i = 0; i < 300 && atomic_load(&t->released) < atomic_load(&t->handled) - 2; i++)
		clock_sleep(NULL, 10 * NS_PER_MS);
	assert_true(test_reaches(&t->closed, atomic_load(&t->handled)));
	assert_true(closed <= atomic_load(&t->closed));
	close(fd);
	// A stream that has nothing to say is not impatience's business.
	before = clock_mono(NULL);
	fd = test_dial(t->port);
	test_send(fd, S("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"));
	struct timeval tv = { .tv_usec = 900000 };
	char c;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	assert_int_equal(recv(fd, &c, 1, 0), -1); // no end within 900 ms
	close(fd);
}

static void sees_clients_leave(void **state)
{
	struct test_server *t = *state;
	int fd[10];
	for (int i = 0; i < 10; i++) {
		fd[i] = test_dial(t->port);
		test_send(fd[i], i % 2 ? S("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
		                       : S("GET /ticks HTTP/1.1\r\nHost: x\r\n\r\n"));
	}
	assert_true(test_reaches(&t->handled, 10));
	assert_int_equal(atomic_load(&t->closed), 0);
	for (int i = 0; i < 10; i++)
		close(fd[i]);
	assert_true(test_reaches(&t->closed, 10));
}

static void streams_with_back_pressure(void **state)
{
	struct test_server *t = *state;
	int fd = test_dial(t->port);
	test_send(fd, S("GET /count?2000000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
	int drained = -1;
	for (int i = 0; i < 50 && drained != atomic_load(&t->drained); i++) { // comes to a stand while nobody reads
		drained = atomic_load(&t->drained);
		clock_sleep(NULL, 100 * NS_PER_MS);
	}
	assert_int_equal(atomic_load(&t->drained), drained);
	assert_int_equal(atomic_load(&t->closed), 0);
	str r = test_recv(t->a, fd, NULL);
	assert_true(str_has_suffix(r, S("1999999\n\r\n0\r\n\r\n")));
	close(fd);
	r = talk(t, "GET /abort HTTP/1.1\r\nHost: x\r\n\r\n", NULL);
	assert_true(str_contains(r, S("half of it")) &&
	            !str_contains(r, S("\r\n0\r\n\r\n"))); // no end that looks like one
	r = talk(t, "GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL);
	assert_memory_equal(r.p + r.n - TEST_BIG, t->big, TEST_BIG);
	assert_true(test_reaches(&t->released, 1));
}

static void tunnels(void **state)
{
	struct test_server *t = *state;
	int fd = test_dial(t->port);
	test_send(fd, S("GET /tunnel HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nearly "));
	str r = test_recv(t->a, fd, "EARLY ");
	assert_true(str_has_prefix(r, S("HTTP/1.1 101 Switching Protocols\r\nUpgrade: shout\r\n")) &&
	            str_contains(r, S("Connection: Upgrade\r\n")));
	test_send(fd, S("hello"));
	assert_str(test_recv(t->a, fd, "HELLO"), "HELLO");
	test_send(fd, S("."));
	assert_str(test_recv(t->a, fd, NULL), ""); // closed
	close(fd);
	assert_true(test_reaches(&t->closed, 1));
	r = talk(t, "GET /tunnel HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL);
	assert_true(str_has_suffix(r, S("no upgrade")));
	// A refused upgrade leaves a connection of HTTP.
	r = talk(t,
	         "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nGET /echo?2 "
	         "HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
	         NULL);
	assert_int_equal(occurrences(r, "HTTP/1.1 200 OK"), 2);
}

static void half_open_harm_nobody(void **state)
{
	struct test_server *t = *state;
	struct rlimit lim;
	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	enum { N = 1000 };
	static int fd[N];
	for (int i = 0; i < N; i++) {
		fd[i] = test_dial(t->port);
		if (i % 3)
			test_send(fd[i], i % 3 == 1 ? S("GET /echo HTTP/1.1\r\nHo") : S("PRI * HTTP/2.0\r\n"));
	}
	int64_t before = clock_mono(NULL);
	for (int i = 0; i < 10; i++)
		assert_true(str_has_prefix(talk(t, "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL),
		                           S("HTTP/1.1 200 OK")));
	assert_true(clock_mono(NULL) - before < NS_PER_SEC);
	for (int i = 0; i < N; i++)
		close(fd[i]);
}

static void survives_without_descriptors(void **state)
{
	(void)state;
	int pipefd[2];
	assert_int_equal(pipe(pipefd), 0);
	pid_t pid = fork();
	if (pid == 0) { // a server of its own with few descriptors
		struct test_server t;
		struct rlimit lim = { 40, 40 };
		setrlimit(RLIMIT_NOFILE, &lim);
		test_server_start(&t, false, NULL);
		if (write(pipefd[1], &t.port, sizeof(t.port)) != sizeof(t.port))
			_exit(1);
		pause();
		_exit(0);
	}
	struct test_server t = { .a = arena_new(0) };
	assert_int_equal(read(pipefd[0], &t.port, sizeof(t.port)), sizeof(t.port));
	int fd[100];
	for (int i = 0; i < 100; i++)
		fd[i] = test_dial(t.port);
	clock_sleep(NULL, 100 * NS_PER_MS);
	for (int i = 0; i < 100; i++)
		close(fd[i]);
	clock_sleep(NULL, 100 * NS_PER_MS);
	for (int i = 0; i < 3; i++)
		assert_true(str_has_prefix(talk(&t, "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL),
		                           S("HTTP/1.1 200 OK")));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(pipefd[0]);
	close(pipefd[1]);
	arena_free(t.a);
}

static struct http_client *client(struct test_server *t, str cert, str key, struct tls_context **keep)
{
	struct error err = { 0 };
	struct tls_client_opts o = { .ca_pem = t->pki.ca_pem, .cert_pem = cert, .key_pem = key };
	*keep = tls_client_new(&o, &err);
	assert_non_null(*keep);
	struct http_client_opts c = { .base_url = arena_printf(t->a, "https://127.0.0.1:%d", t->port),
		                      .tls = *keep,
		                      .timeout_ms = 5000 };
	return http_client_new(&c, &err);
}

static void tls_says_who(void **state)
{
	struct test_server *t = *state;
	struct error err = { 0 };
	struct http_answer an;
	struct http_call call = { .method = "GET", .path = S("/who") };
	struct {
		str cert, key;
		const char *want;
	} cases[] = {
		{ t->pki.client_cert_pem, t->pki.client_key_pem, "verified h1 alice 2 admins devs 64 3" },
		{ t->pki.other_cert_pem, t->pki.other_key_pem, "unverified h1 mallory 1 system:masters  64 3" },
		{ { 0 }, { 0 }, "nobody" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tls_context *ctx;
		struct http_client *c = client(t, cases[i].cert, cases[i].key, &ctx);
		for (int k = 0; k < 3;
		     k++) { // the second connection resumes the first one's session, and is the same person
			call.headers = (struct http_headers){ &(struct http_header){ S("connection"), S("close") }, 1 };
			assert_true(http_client_do(c, t->a, &call, &an, &err));
			assert_str(an.body, cases[i].want);
		}
		call.path = S("/big");
		call.headers = (struct http_headers){ 0 };
		assert_true(http_client_do(c, t->a, &call, &an, &err));
		assert_int_equal(an.body.n, TEST_BIG);
		assert_memory_equal(an.body.p, t->big, TEST_BIG);
		call.path = S("/who");
		http_client_free(c);
		tls_unref(ctx);
	}
	// A client that does not know the authority, and one that finds another name than it asked for.
	struct tls_client_opts o = { .ca_pem = t->pki.other_cert_pem };
	for (int i = 0; i < 2; i++) {
		struct tls_context *ctx = tls_client_new(&o, &err);
		struct http_client_opts co = { .base_url = arena_printf(t->a, "https://127.0.0.1:%d", t->port),
			                       .tls = ctx,
			                       .timeout_ms = 5000 };
		struct http_client *c = http_client_new(&co, &err);
		assert_false(http_client_do(c, t->a, &call, &an, &err));
		assert_true(str_contains(error_str(&err), i ? S("IP address mismatch")
		                                            : S("tls: failed to verify certificate: x509: certificate "
		                                                "signed by unknown authority")) ||
		            str_contains(error_str(&err), S("hostname mismatch")));
		http_client_free(c);
		tls_unref(ctx);
		o = (struct tls_client_opts){ .ca_pem = t->pki.ca_pem, .server_name = "other.example" };
	}
	str r = talk(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", NULL);
	assert_str(r, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n");
}

struct poster {
	struct test_server *t;
	atomic_int done;
};

static void posted(void *ctx)
{
	struct poster *p = ctx;
	atomic_fetch_add(&p->done, 1);
}

static void *post_many(void *ctx)
{
	struct poster *p = ctx;
	for (int i = 0; i < 1000; i++)
		http_loop_post(http_server_loop(p->t->s, (size_t)i % 2), posted, p);
	return NULL;
}

static void posts_from_threads(void **state)
{
	struct poster p = { .t = *state };
	pthread_t t[4];
	assert_int_equal(http_server_loop_count(p.t->s), 2);
	assert_int_equal(http_loop_index(http_server_loop(p.t->s, 1)), 1);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, post_many, &p);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_true(test_reaches(&p.done, 4000));
}

static void *get_later(void *arg)
{
	struct test_server *t = arg;
	struct arena *a = arena_new(0);
	int fd = test_dial(t->port);
	test_send(fd, S("GET /ticks?30 HTTP/1.1\r\nHost: x\r\n\r\n"));
	str r = test_recv(a, fd, NULL);
	bool whole = str_has_suffix(r, S("0\r\n\r\n"));
	close(fd);
	arena_free(a);
	return (void *)(intptr_t)whole;
}

static void stops_gracefully(void **state)
{
	(void)state;
	struct test_server t;
	void *whole;
	pthread_t th;
	test_server_start(&t, false, NULL);
	pthread_create(&th, NULL, get_later, &t);
	assert_true(test_reaches(&t.handled, 1));
	int idle = test_dial(t.port), wait = test_dial(t.port);
	int64_t before = clock_mono(NULL);
	http_server_stop(t.s, 10000); // lets the stream come to its end (600 ms), waits for no idle connection
	assert_true(clock_mono(NULL) - before < 3 * NS_PER_SEC);
	pthread_join(th, &whole);
	assert_true(whole != NULL);
	assert_int_equal(test_recv(t.a, idle, NULL).n, 0);
	close(idle);
	close(wait);
	// Without grace, what runs is cut off and its handler told.
	struct error err = { 0 };
	t.o.port = 0;
	t.s = http_server_start(&t.o, &err);
	t.port = http_server_port(t.s);
	wait = test_dial(t.port);
	test_send(wait, S("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"));
	assert_true(test_reaches(&t.waiting, 1));
	before = clock_mono(NULL);
	http_server_stop(t.s, 0);
	assert_true(clock_mono(NULL) - before < NS_PER_SEC);
	assert_int_equal(atomic_load(&t.closed), 2);
	close(wait);
	t.s = http_server_start(&t.o, &err);
	test_server_stop(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(survives_without_descriptors), // first: it forks, before there are threads
		cmocka_unit_test_setup_teardown(answers, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_alive_and_pipelines, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_bad_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(limits_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(loses_patience, setup_hurried, teardown),
		cmocka_unit_test_setup_teardown(sees_clients_leave, setup, teardown),
		cmocka_unit_test_setup_teardown(streams_with_back_pressure, setup, teardown),
		cmocka_unit_test_setup_teardown(tunnels, setup, teardown),
		cmocka_unit_test_setup_teardown(half_open_harm_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(tls_says_who, setup_tls, teardown),
		cmocka_unit_test_setup_teardown(posts_from_threads, setup, teardown),
		cmocka_unit_test(stops_gracefully),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
