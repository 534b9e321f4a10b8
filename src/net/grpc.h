// gRPC over HTTP/2 (nghttp2), on Unix sockets or TCP, plain text: unary calls and server streaming. Messages are bytes
// here; schema/schema.h turns them into structs. Rules: gRPC over HTTP2 (PROTOCOL-HTTP2.md), status codes of gRPC.
#ifndef CORACLE_NET_GRPC_H
#define CORACLE_NET_GRPC_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

enum grpc_code {
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_ALREADY_EXISTS = 6,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_FAILED_PRECONDITION = 9,
	GRPC_ABORTED = 10,
	GRPC_OUT_OF_RANGE = 11,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_DATA_LOSS = 15,
	GRPC_UNAUTHENTICATED = 16,
};
// A failed call fills err: err->sys is the grpc_code, err->text the message alone.
bool grpc_error(struct error *err, enum grpc_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
const char *grpc_code_name(enum grpc_code code); // "NotFound", as Go prints it

// --- Client: blocking, thread-safe; many calls at a time over one connection, made and remade on demand ---
struct grpc_client;
struct grpc_client *grpc_client_new(const char *unix_path); // not connected yet; never fails
struct grpc_client *grpc_client_new_tcp(const char *host, int port);
void grpc_client_free(struct grpc_client *c);
// `method`: "/runtime.v1.RuntimeService/Version". timeout_ms <= 0: none. Response bytes in the arena (at most 64 MiB).
bool grpc_call(struct grpc_client *c, struct arena *a, const char *method, str request, str *response, int timeout_ms,
               struct error *err);
// Server streaming: on_message is called for each response; returning false cancels the call.
bool grpc_call_stream(struct grpc_client *c, const char *method, str request,
                      bool (*on_message)(str message, void *ctx), void *ctx, int timeout_ms, struct error *err);

// --- Server: each call runs on a thread of its own pool, so handlers may block ---
struct grpc_server;
struct grpc_server_call;
// Unary handler: fills `response`; false and err (err->sys a grpc_code; 0 counts as UNKNOWN) on failure.
typedef bool (*grpc_unary_fn)(struct grpc_server_call *call, struct arena *a, str request, struct buf *response,
                              void *ctx, struct error *err);
// Streaming handler: sends with grpc_send; the call ends when it returns.
typedef bool (*grpc_stream_fn)(struct grpc_server_call *call, struct arena *a, str request, void *ctx,
                               struct error *err);
struct grpc_method {
	const char *path;
	grpc_unary_fn unary;
	grpc_stream_fn stream;
};
struct grpc_server_opts {
	const char *unix_path; // removed and made anew, mode 0600
	const struct grpc_method
	        *methods; // constant; other paths answer UNIMPLEMENTED "unknown method X for service Y"
	size_t nmethods;
	void *ctx;
	int max_threads; // 0: 64; further calls wait
};
struct grpc_server *grpc_server_start(const struct grpc_server_opts *o, struct error *err);
bool grpc_send(struct grpc_server_call *call, str message); // false: the client is gone
bool grpc_cancelled(const struct grpc_server_call *call);   // the client is gone or its deadline has passed
void grpc_server_stop(struct grpc_server *s);

#endif
