#include "base/encode.h"
#include "base/heap.h"
#include "net/http1.h"
#include "net/ws_internal.h"

enum { MAX_MESSAGE = 4 << 20, CLOSE_WAIT_MS = 5000 };

struct ws_server {
	struct http_exchange *x;
	const struct ws_callbacks *cb;
	void *ctx;
	wslay_event_context_ptr ws;
	str in; // bytes that wslay has not taken yet
	bool paused, closing, busy;
	size_t fragments;
	struct http_timer *timer;
};

bool ws_is_upgrade(const struct http_request_in *r)
{
	return http1_has_token(http_header(&r->headers, S("connection")), S("upgrade")) &&
	       http1_has_token(http_header(&r->headers, S("upgrade")), S("websocket"));
}

str ws_choose_protocol(const struct http_request_in *r, const str *supported, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < r->headers.n; k++)
			if (str_eq(r->headers.v[k].name, S("sec-websocket-protocol")))
				for (str rest = r->headers.v[k].value, part; str_next(&rest, ',', &part);)
					if (str_eq(str_trim(part), supported[i]))
						return supported[i];
	return (str){ 0 };
}

static ssize_t on_recv(wslay_event_context_ptr ws, uint8_t *to, size_t n, int flags, void *user)
{
	struct ws_server *w = user;
	(void)flags;
	if (w->in.n == 0) {
		wslay_event_set_error(ws, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	n = MIN(n, w->in.n);
	memcpy(to, w->in.p, n);
	w->in = str_from(w->in, n);
	return (ssize_t)n;
}

static ssize_t on_send(wslay_event_context_ptr ws, const uint8_t *from, size_t n, int flags, void *user)
{
	struct ws_server *w = user;
	(void)ws;
	(void)flags;
	http_stream_write(w->x, str_n((const char *)from, n));
	return (ssize_t)n;
}

static void on_frame(wslay_event_context_ptr ws, const struct wslay_event_on_frame_recv_start_arg *f, void *user)
{
	struct ws_server *w = user;
	if (f->opcode == WSLAY_CONTINUATION_FRAME && ++w->fragments > WS_MAX_FRAGMENTS)
		wslay_event_shutdown_read(ws); // tiny pieces cost us many times their size
	else if (f->opcode == WSLAY_TEXT_FRAME || f->opcode == WSLAY_BINARY_FRAME)
		w->fragments = 0;
}

static void on_msg(wslay_event_context_ptr ws, const struct wslay_event_on_msg_recv_arg *m, void *user)
{
	struct ws_server *w = user;
	(void)ws;
	if ((m->opcode == WSLAY_TEXT_FRAME || m->opcode == WSLAY_BINARY_FRAME) && !w->closing)
		w->cb->on_message(w, w->ctx, (enum ws_opcode)m->opcode, str_n((const char *)m->msg, m->msg_length));
}

static void give_up(void *ctx)
{
	struct ws_server *w = ctx;
	http_tunnel_close(w->x);
}

// Sends what is queued, and ends the tunnel when both sides have said goodbye.
static void pump(struct ws_server *w)
{
	if (w->busy)
		return;
	w->busy = true; // wslay is not to be entered again from its own callbacks
	bool ok = wslay_event_send(w->ws) == 0;
	w->busy = false;
	bool sent = wslay_event_get_close_sent(w->ws), received = wslay_event_get_close_received(w->ws);
	if (!ok ||
	    (sent && (received || !w->closing))) // a goodbye that is not ours tells of a broken rule: no more is read
		http_tunnel_close(w->x);
	else if (sent && !w->timer)
		w->timer = http_timer_start(http_exchange_loop(w->x), CLOSE_WAIT_MS, 0, give_up, w);
}

static bool on_data(struct http_exchange *x, void *data, str bytes)
{
	struct ws_server *w = data;
	w->in = bytes;
	w->busy = true;
	// A frame against the rules has queued a close frame of its own and read no further; both are seen below.
	bool ok = wslay_event_recv(w->ws) == 0;
	w->busy = false;
	w->in = (str){ 0 };
	pump(w);
	if (!ok || (!wslay_event_want_read(w->ws) && !wslay_event_want_write(w->ws)))
		http_tunnel_close(x);
	return !w->paused;
}

static void on_drain(struct http_exchange *x, void *data)
{
	struct ws_server *w = data;
	(void)x;
	if (w->cb->on_drain && !w->closing)
		w->cb->on_drain(w, w->ctx);
}

static void on_close(struct http_exchange *x, void *data)
{
	struct ws_server *w = data;
	(void)x;
	w->closing = true;
	http_timer_cancel(w->timer);
	if (w->cb->on_close)
		w->cb->on_close(w, w->ctx);
	wslay_event_context_free(w->ws);
	free(w);
}

struct ws_server *ws_accept(struct http_exchange *x, str protocol, const struct ws_callbacks *cb, void *ctx,
                            struct error *err)
{
	struct http_request_in *r = http_request(x);
	str key = http_header(&r->headers, S("sec-websocket-key")), raw;
	if (!str_eq(r->method, S("GET")) || !ws_is_upgrade(r)) {
		error_api(err, 400, "BadRequest", "websocket: the client is not using the websocket protocol");
		return NULL;
	}
	if (!str_eq(http_header(&r->headers, S("sec-websocket-version")), S("13"))) {
		error_api(err, 400, "BadRequest",
		          "websocket: unsupported version: 13 not found in 'Sec-Websocket-Version' header");
		return NULL;
	}
	if (!base64_decode(r->arena, key, &raw) || raw.n != 16) {
		error_api(err, 400, "BadRequest",
		          "websocket: 'Sec-WebSocket-Key' header must be Base64 encoded value of 16-byte in length");
		return NULL;
	}
	struct http_header h[4] = {
		{ S("upgrade"), S("websocket") },
		{ S("connection"), S("Upgrade") },
		{ S("sec-websocket-accept"), ws_accept_key(r->arena, key) },
		{ S("sec-websocket-protocol"), protocol },
	};
	struct ws_server *w = HEAP_NEW(struct ws_server);
	static const struct wslay_event_callbacks callbacks = {
		.recv_callback = on_recv,
		.send_callback = on_send,
		.on_frame_recv_start_callback = on_frame,
		.on_msg_recv_callback = on_msg,
	};
	w->x = x;
	w->cb = cb;
	w->ctx = ctx;
	if (wslay_event_context_server_init(&w->ws, &callbacks, w) != 0)
		heap_exhausted(sizeof(*w));
	wslay_event_config_set_max_recv_msg_length(w->ws, MAX_MESSAGE);
	if (!http_tunnel_start(x, &(struct http_headers){ h, protocol.n ? 4 : 3 }, on_data)) {
		wslay_event_context_free(w->ws);
		free(w);
		error_api(err, 400, "BadRequest", "websocket: the connection cannot be upgraded");
		return NULL;
	}
	http_exchange_set(x, w, on_close);
	http_stream_on_drain(x, on_drain);
	return w;
}

size_t ws_send(struct ws_server *w, enum ws_opcode op, str message)
{
	struct wslay_event_msg m = { .opcode = (uint8_t)op,
		                     .msg = (const uint8_t *)message.p,
		                     .msg_length = message.n };
	if (!w->closing && wslay_event_queue_msg(w->ws, &m) == 0)
		pump(w); // from within on_message: sent when wslay has returned
	return ws_pending(w);
}

size_t ws_pending(const struct ws_server *w)
{
	return http_stream_pending(w->x) + wslay_event_get_queued_msg_length(w->ws);
}

void ws_pause(struct ws_server *w, bool paused)
{
	bool resume = w->paused && !paused;
	w->paused = paused;
	if (resume)
		http_tunnel_resume(w->x);
}

void ws_close(struct ws_server *w, int code, str reason)
{
	if (w->closing)
		return;
	w->closing = true;
	wslay_event_queue_close(w->ws, (uint16_t)code, (const uint8_t *)reason.p, MIN(reason.n, (size_t)123));
	ws_pause(w, false); // the peer's goodbye must come through
	pump(w);
}

struct http_exchange *ws_exchange(struct ws_server *w)
{
	return w->x;
}
