// WebSocket (RFC 6455) over wslay: a blocking client, and a server side on an exchange of http_server.
#ifndef CORACLE_NET_WEBSOCKET_H
#define CORACLE_NET_WEBSOCKET_H

#include "net/http_client.h"
#include "net/http_server.h"

enum ws_opcode { WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

// --- Client (blocking; one thread may read while another writes) ---
struct ws_client;
// Upgrades GET path, offering `protocols` (comma-separated). When the server answers something else than 101, fails with
// its status in err->code and fills `refused` (headers, body) for the caller to read a Status from.
struct ws_client *ws_connect(struct http_client *c, struct arena *a, const struct http_call *call, str protocols,
                             str *chosen, struct http_answer *refused, struct error *err);
// The next message (pings are answered inside). False with err->code 0 on an orderly close (code and text of the close
// frame in *close_code and *message). Messages up to 16 MiB.
bool ws_read(struct ws_client *w, struct arena *a, enum ws_opcode *op, str *message, int *close_code, int timeout_ms,
             struct error *err);
// Waits until the socket has taken it (60 s at most).
bool ws_write(struct ws_client *w, enum ws_opcode op, str message, struct error *err);
// Sends a close frame and wakes a blocked reader, who gets an orderly close with this code and text.
void ws_shutdown(struct ws_client *w, int code, str reason);
void ws_free(struct ws_client *w);

// --- Server ---
struct ws_server;
struct ws_callbacks {
	void (*on_message)(struct ws_server *w, void *ctx, enum ws_opcode op,
	                   str message);                  // TEXT or BINARY, at most 4 MiB
	void (*on_close)(struct ws_server *w, void *ctx); // the last call; frees nothing of ctx
	void (*on_drain)(struct ws_server *w, void *ctx); // optional: nothing waits to be sent any more
};
bool ws_is_upgrade(const struct http_request_in *r);
// Of the protocols that the client offers, the first that is in `supported` (in the server's order); empty when none is.
str ws_choose_protocol(const struct http_request_in *r, const str *supported, size_t n);
// Accepts the upgrade (101) and takes over the exchange (its data and on_close too). A handshake that is none fails, and
// the exchange is still the caller's to answer (400). Pings are answered inside, an orderly close by the peer too.
struct ws_server *ws_accept(struct http_exchange *x, str protocol, const struct ws_callbacks *cb, void *ctx,
                            struct error *err);
// Queues a message; returns bytes waiting. Only on the exchange's loop.
size_t ws_send(struct ws_server *w, enum ws_opcode op, str message);
size_t ws_pending(const struct ws_server *w);
void ws_pause(struct ws_server *w, bool paused); // stops reading from the peer; what has been read still comes
// Sends a close frame after what is queued; on_close comes when the peer has answered it, or after 5 s.
void ws_close(struct ws_server *w, int code, str reason);
struct http_exchange *ws_exchange(struct ws_server *w);

#endif
