// A blocking byte stream to a server: TCP or a Unix socket, with or without TLS. Deadlines are on the monotonic clock in
// nanoseconds; 0: none. One thread may read while another writes.
#ifndef CORACLE_NET_TRANSPORT_H
#define CORACLE_NET_TRANSPORT_H

#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"
#include "net/tls.h"

struct transport;

// Now plus ms; 0 (no deadline) when ms <= 0.
int64_t transport_deadline(int ms);

// Connects. `host` may be a name or an address; unix_path wins over it.
struct transport *transport_connect(const char *unix_path, str host, int port, int64_t deadline, struct error *err);
// For results that leave a _cleanup_close_ variable: the descriptor is the caller's now.
static inline int transport_take(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}
// The same, without waiting for data and without TLS: a plain connected descriptor (non-blocking, close-on-exec).
int transport_dial(const char *unix_path, str host, int port, int64_t deadline, struct error *err);
bool transport_start_tls(struct transport *t, struct tls_context *tls, str host, int port, int64_t deadline,
                         struct error *err);
// Keeps the TLS session for the next connection to that host.
void transport_remember(struct transport *t, str host, int port);
// Bytes read; 0 at the end; -1 on an error (err->sys ETIMEDOUT after the deadline, ECANCELED after transport_abort).
ssize_t transport_read(struct transport *t, char *to, size_t n, int64_t deadline, struct error *err);
bool transport_write(struct transport *t, str bytes, int64_t deadline, struct error *err);
// Whether a kept-alive connection is still good: open, and nothing to read.
bool transport_alive(struct transport *t);
// From any thread: readers and writers fail from now on.
void transport_abort(struct transport *t);
void transport_close(struct transport *t);

#endif
