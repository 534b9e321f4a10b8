// The server that the tests of http_server talk to: its handlers, and what they have counted.
#ifndef CORACLE_NET_TEST_SERVER_H
#define CORACLE_NET_TEST_SERVER_H

#include <stdatomic.h>

#include "net/http_server.h"
#include "net/test_util.h"

struct test_server {
	struct http_server *s;
	int port;
	struct arena *a;
	struct test_pki pki;
	struct tls_context *tls;
	struct http_server_opts o;
	char *big;
	atomic_int handled, closed, released, drained, waiting;
	atomic_long ticks;
};

enum { TEST_BIG = 5 * 1000 * 1000 };

// /echo: method, path, query, body   /big: 5 MB by reference   /wait: never answered   /later: from a timer
// /work: from a pool thread   /count?N: N lines streamed with back-pressure   /ticks: a line each 20 ms   /abort: a broken stream
// /who: the client certificate   /headers: what came   /tunnel: bytes back in capitals   /status?N
void test_server_start(struct test_server *t, bool tls, void (*adjust)(struct http_server_opts *o));
void test_server_stop(struct test_server *t);
// Waits until the counter has that value (5 s).
bool test_reaches(atomic_int *counter, int value);

#endif
