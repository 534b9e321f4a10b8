// What the tests of this folder share: certificates made on the spot, and a server that answers from a script.
#ifndef CORACLE_NET_TEST_UTIL_H
#define CORACLE_NET_TEST_UTIL_H

#include "base/arena.h"
#include "net/tls.h"

struct test_pki {
	char dir[64];
	char ca[96], cert[96], key[96];              // files: the authority; the server's, for 127.0.0.1 and localhost
	str ca_pem, client_cert_pem, client_key_pem; // the client's: CN alice, O admins and O devs
	str other_cert_pem, other_key_pem;           // a client's from an authority that nobody knows
};
void test_pki_make(struct arena *a, struct test_pki *p);
void test_pki_remove(struct test_pki *p);

// A listening socket on 127.0.0.1 and its port.
int test_listen(int *port);
// Connects and returns the descriptor.
int test_dial(int port);
// Sends all; receives until the peer closes or `until` has been seen or 20 s have passed.
void test_send(int fd, str s);
str test_recv(struct arena *a, int fd, const char *until);
str test_recv_until(struct arena *a, int fd, str until);

// Answers the n-th request on the k-th connection with script[k][n]; after the last of a connection (NULL) it closes.
// A request ends with its head plus `content-length` bytes. Requests are kept, one after another.
struct test_script {
	const char *const (*connections)[8];
	size_t n;
	int fd, port;
	struct arena *arena;
	str requests[64];
	size_t nrequests;
	unsigned long thread;
};
void test_script_start(struct test_script *s);
void test_script_join(struct test_script *s);

#endif
