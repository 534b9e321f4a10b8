// One HTTP/2 connection of gRPC, on either side: a socket, nghttp2's session, and a thread that reads. Whoever has
// something to send takes the lock, submits it and sends at once, so that a call costs one change of threads, not two.
#ifndef CORACLE_NET_GRPC_CONN_H
#define CORACLE_NET_GRPC_CONN_H

#include <nghttp2/nghttp2.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/error.h"
#include "net/grpc.h"

enum {
	GRPC_PREFIX = 5, // compressed flag, length
	GRPC_STREAM_WINDOW = 1 << 20,
	GRPC_CONNECTION_WINDOW = 16 << 20,
};

struct grpc_conn {
	atomic_int refs;
	int fd, wake; // wake: an eventfd that makes the thread look again
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed; // waited for with the monotonic clock
	nghttp2_session *session;
	struct buf out; // what the socket did not take, from out_at
	size_t out_at;
	bool dead;   // nothing is read or sent any more
	bool goaway; // no new calls
	void *owner;
	// Called by the thread, with the lock, when the connection has died; and without it, as the thread's last act.
	void (*on_dead)(struct grpc_conn *c);
	void (*on_end)(struct grpc_conn *c);
};

// Takes over the (non-blocking) descriptor. The session is set up by the caller afterwards, before grpc_conn_start.
struct grpc_conn *grpc_conn_new(int fd);
bool grpc_conn_start(struct grpc_conn *c, struct error *err);
struct grpc_conn *grpc_conn_ref(struct grpc_conn *c);
void grpc_conn_unref(struct grpc_conn *c);
// With the lock: sends what is there to send.
void grpc_conn_flush(struct grpc_conn *c);
// With the lock: no more reading and sending; the thread ends soon.
void grpc_conn_kill(struct grpc_conn *c);
void grpc_conn_wake(struct grpc_conn *c); // makes the thread look again
// A thread with a small stack.
bool grpc_thread(pthread_t *t, void *(*run)(void *), void *arg, struct error *err);

// The next whole message in `in` from *at: 1 and the message, 0: not yet whole; -1: err is filled.
int grpc_next_message(const struct buf *in, size_t *at, size_t limit, str *message, struct error *err);
void grpc_prefix(char to[GRPC_PREFIX], size_t n);
// grpc-message: everything but printable ASCII, and '%', is escaped.
void grpc_message_encode(struct buf *to, str text);
void grpc_message_decode(struct buf *to, str text);
// grpc-timeout ("100m"): milliseconds, -1 when it is malformed.
int64_t grpc_timeout_parse(str text);

#endif
