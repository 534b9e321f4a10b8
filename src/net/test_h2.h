// A small HTTP/2 client for tests: plain text with prior knowledge, blocking.
#ifndef CORACLE_NET_TEST_H2_H
#define CORACLE_NET_TEST_H2_H

#include <nghttp2/nghttp2.h>

#include "base/buf.h"

struct test_h2_answer {
	int32_t stream;
	int status;
	struct buf body;
	bool ended; // END_STREAM came
	bool closed;
	uint32_t error; // of RST_STREAM
	bool head, reset;
	void *source; // of the request's body
};

struct test_h2 {
	int fd;
	nghttp2_session *session;
	struct test_h2_answer answers[600];
	size_t n;
	bool goaway, over; // over: the server closed the connection
	uint32_t goaway_error;
	size_t pings;
};

void test_h2_open(struct test_h2 *h, int port);
// Returns the answer's index. A body is sent when there is one.
size_t test_h2_request(struct test_h2 *h, const char *method, const char *path, str body);
void test_h2_send(struct test_h2 *h); // what is queued
// Sends and receives until `done` answers are closed, the connection is over, or ms have passed.
void test_h2_run(struct test_h2 *h, size_t done, int ms);
void test_h2_close(struct test_h2 *h);

#endif
