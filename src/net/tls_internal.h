// What the transports of this folder need of TLS beyond tls.h.
#ifndef CORACLE_NET_TLS_INTERNAL_H
#define CORACLE_NET_TLS_INTERNAL_H

#include <openssl/ssl.h>
#include <sys/types.h>

#include "net/tls.h"

// What a session reads from and writes to. Both return what they moved; -1: not now (or failed: the owner knows);
// recv returns 0 at the end.
struct tls_io {
	ssize_t (*recv)(struct tls_io *io, char *to, size_t n);
	ssize_t (*send)(struct tls_io *io, const char *from, size_t n);
};
void tls_attach(struct tls_context *t, SSL *ssl, struct tls_io *io);
// Why OpenSSL failed just now, in words (Go's, where there are such); empties the queue of errors.
void tls_reason(SSL *ssl, char *to, size_t n);
// A new client session to `host` (its name is sent and verified unless the context says otherwise), ALPN http/1.1,
// resuming the last session with that host and port if there was one.
SSL *tls_client_session(struct tls_context *t, str host, int port, struct error *err);
// Keeps the session for resumption; called when an exchange has worked.
void tls_client_remember(struct tls_context *t, SSL *ssl, str host, int port);
SSL *tls_server_session(struct tls_context *t);
// Whether the server chose HTTP/2 with this client.
bool tls_is_http2(const SSL *ssl);
// What the client's certificate says; NULL when it sent none.
struct tls_peer *tls_peer_of(SSL *ssl, struct arena *a);

#endif
