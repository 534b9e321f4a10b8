// An HTTP server: HTTP/1.1 and HTTP/2 (ALPN, or prior knowledge on plain text) on one port, one event loop per thread.
//
// A connection lives on one loop for ever. `handle` is called on the loop's thread when a request and its whole body
// are there; it must not block. It answers at once, or later from the same thread (http_loop_post brings work from
// other threads back to a loop). Every exchange ends with exactly one of http_reply, http_stream_end, http_tunnel_close,
// or because the peer went away: then on_close is called, and after it the exchange must not be touched.
//
// Limits: header 1 MiB in all (as Go's), `max_body`, slow clients (header_timeout_ms for a request's head and body,
// write_timeout_ms without progress), connections and streams per connection (250, as upstream). A request that breaks
// one is answered (400, 408, 413, 431) where HTTP allows it and the connection is closed.
#ifndef CORACLE_NET_HTTP_SERVER_H
#define CORACLE_NET_HTTP_SERVER_H

#include "net/http.h"
#include "net/tls.h"

struct http_server;
struct http_loop;
struct http_exchange;

struct http_request_in {
	struct arena *arena; // lives until the exchange is over
	str method;          // "GET"
	str target;          // as sent
	str path;            // still percent-encoded, without query
	str query;           // without '?'
	struct http_headers headers;
	str body;
	bool body_too_large;         // body was cut: more than max_body arrived (the handler answers 413 in API words)
	const struct tls_peer *peer; // NULL without TLS or without a client certificate
	str remote_address;          // "127.0.0.1:4242"
	int http_version;            // 1 or 2
	bool http10;
};

struct http_server_opts {
	const char *address;     // "0.0.0.0", "::", ... ; NULL: none
	int port;                // 0: the system chooses; http_server_port tells
	const char *unix_path;   // instead of address
	int listen_fd;           // an inherited listening socket; 0: none (socket passing by the supervisor)
	int loops;               // threads; 0: one per core (at most 16)
	struct tls_context *tls; // NULL: plain text
	size_t max_body;         // 0: 3 MiB, as upstream
	int header_timeout_ms;   // 0: 32 s
	int idle_timeout_ms;     // 0: 180 s
	int write_timeout_ms;    // 0: 60 s
	int max_connections;     // 0: 20,000
	void (*handle)(struct http_exchange *x, void *ctx);
	void *ctx;
};

struct http_server *http_server_start(const struct http_server_opts *o, struct error *err);
int http_server_port(const struct http_server *s);
size_t http_server_loop_count(const struct http_server *s);
struct http_loop *http_server_loop(struct http_server *s, size_t i);
// Stops listening, lets exchanges in flight end for at most `grace_ms`, then closes everything and joins the threads.
void http_server_stop(struct http_server *s, int grace_ms);

struct http_request_in *http_request(struct http_exchange *x);
struct http_loop *http_exchange_loop(struct http_exchange *x);
void *http_exchange_data(struct http_exchange *x);
// Sets the handler's own pointer and what to call when the exchange is over, for whatever reason (also after a reply).
void http_exchange_set(struct http_exchange *x, void *data, void (*on_close)(struct http_exchange *x, void *data));

// The whole answer. Body bytes are copied. Content-Length and Date are added. HEAD sends no body.
void http_reply(struct http_exchange *x, int status, const struct http_headers *headers, str body);
// The same without a copy: `body` stays valid until release(ctx) is called (from this loop).
void http_reply_ref(struct http_exchange *x, int status, const struct http_headers *headers, str body,
                    void (*release)(void *), void *ctx);

// A streamed answer (chunked, or HTTP/2 DATA).
void http_stream_start(struct http_exchange *x, int status, const struct http_headers *headers);
// Queues bytes (copied). Returns the bytes that wait to be sent now: a caller that sees this grow holds back until
// on_drain, or ends the stream.
size_t http_stream_write(struct http_exchange *x, str bytes);
// Queues bytes without a copy.
size_t http_stream_write_ref(struct http_exchange *x, str bytes, void (*release)(void *), void *ctx);
size_t http_stream_pending(const struct http_exchange *x);
void http_stream_on_drain(struct http_exchange *x, void (*on_drain)(struct http_exchange *x, void *data));
void http_stream_end(struct http_exchange *x);
// Ends it as broken (RST_STREAM; connection closed): the client must not take what it has for everything.
void http_stream_abort(struct http_exchange *x);

// 101 Switching Protocols (HTTP/1.1 only): from then on the connection carries bytes both ways. on_data gets what the
// peer sends (false: stop reading until http_tunnel_resume); http_stream_write sends; http_tunnel_close ends.
bool http_tunnel_start(struct http_exchange *x, const struct http_headers *headers,
                       bool (*on_data)(struct http_exchange *x, void *data, str bytes));
void http_tunnel_resume(struct http_exchange *x);
void http_tunnel_close(struct http_exchange *x);

// --- Loops ---
// Runs fn(ctx) on the loop's thread, soon; may be called from any thread.
void http_loop_post(struct http_loop *l, void (*fn)(void *ctx), void *ctx);
// Runs work(ctx) on a thread of a pool, then done(ctx) on the loop. For what blocks (a request to a kubelet, a webhook).
void http_loop_work(struct http_loop *l, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx);
// A timer on the loop; only from its thread. repeat_ms 0: once. Every timer ends with http_timer_cancel, also one that has
// fired; it may be called from within fn, and frees it.
struct http_timer *http_timer_start(struct http_loop *l, int64_t after_ms, int64_t repeat_ms, void (*fn)(void *ctx),
                                    void *ctx);
void http_timer_cancel(struct http_timer *t);
// Stable index of this loop (0..count-1), for per-loop data.
size_t http_loop_index(const struct http_loop *l);

#endif
