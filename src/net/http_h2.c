// HTTP/2 on a server's connection, by nghttp2.

#include "base/heap.h"
#include "net/http_server_internal.h"

enum { MAX_EMPTY_FRAMES = 1000, STREAM_WINDOW = 256 * 1024, CONNECTION_WINDOW = 1024 * 1024 };

static struct http_exchange *exchange_of(nghttp2_session *session, int32_t stream)
{
	return stream > 0 ? nghttp2_session_get_stream_user_data(session, stream) : NULL;
}

// --- Requests ---

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct http_conn *c = user;
	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	struct http_exchange *x = http_exchange_new(c);
	x->stream = frame->hd.stream_id;
	x->in.http_version = 2;
	x->header_cap = 16;
	x->in.headers.v = ARENA_ARRAY(x->in.arena, struct http_header, x->header_cap);
	nghttp2_session_set_stream_user_data(session, x->stream, x);
	http_deadline_set(c->loop, &x->dl, HTTP_DL_HEAD, true);
	return 0;
}

static str keep(struct arena *a, nghttp2_rcbuf *b)
{
	nghttp2_vec v = nghttp2_rcbuf_get_buf(b);
	str s = str_n((const char *)v.base, v.len);
	return nghttp2_rcbuf_is_static(b) ? s : arena_dup(a, s);
}

static void add_header(struct http_exchange *x, str name, str value)
{
	struct http_headers *h = &x->in.headers;
	if (h->n == x->header_cap) {
		struct http_header *more = ARENA_ARRAY(x->in.arena, struct http_header, x->header_cap * 2);
		memcpy(more, h->v, h->n * sizeof(*more));
		h->v = more;
		x->header_cap *= 2;
	}
	h->v[h->n++] = (struct http_header){ name, value };
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name, nghttp2_rcbuf *value,
                     uint8_t flags, void *user)
{
	struct http_exchange *x = exchange_of(session, frame->hd.stream_id);
	(void)flags;
	(void)user;
	if (!x || frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	x->head_bytes += nghttp2_rcbuf_get_buf(name).len + nghttp2_rcbuf_get_buf(value).len + 32;
	if (x->head_bytes > 2 * HTTP1_MAX_HEAD) // no use in talking to this one
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (x->head_bytes > HTTP1_MAX_HEAD || x->in.headers.n >= HTTP1_MAX_HEADERS)
		x->bad_head = true;
	if (x->bad_head || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0; // trailers mean nothing here
	struct arena *a = x->in.arena;
	str n = keep(a, name), v = keep(a, value);
	if (n.n && n.p[0] == ':') {
		if (str_eq(n, S(":method")))
			x->in.method = v;
		else if (str_eq(n, S(":path")))
			x->in.target = v;
		else if (str_eq(n, S(":authority")))
			add_header(x, S("host"), v);
		return 0;
	}
	add_header(x, n, v);
	return 0;
}

static void refuse(struct http_exchange *x, int status)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%d %s", status, http_status_text(status));
	struct http_header type = { S("content-type"), S("text/plain; charset=utf-8") };
	x->dispatched = true; // by us
	http_deadline_set(x->conn->loop, &x->dl, HTTP_DL_NONE, false);
	http_reply(x, status, &(struct http_headers){ &type, 1 }, str_n(text, (size_t)n));
}

static void head_arrived(nghttp2_session *session, struct http_exchange *x)
{
	if (x->bad_head) {
		refuse(x, 431);
		return;
	}
	if (str_eq(x->in.method, S("CONNECT"))) {
		refuse(x, 405);
		return;
	}
	if (!http_exchange_target(x, x->in.target)) {
		refuse(x, 400);
		return;
	}
	if (x->complete)
		return;
	uint64_t n;
	if (str_to_u64(http_header(&x->in.headers, S("content-length")), &n)) {
		x->announced = n;
		x->in.body_too_large = n > x->conn->loop->server->o.max_body;
	}
	if (!x->in.body_too_large && str_eq_nocase(http_header(&x->in.headers, S("expect")), S("100-continue"))) {
		nghttp2_nv nv = { (uint8_t *)(uintptr_t) ":status", (uint8_t *)(uintptr_t) "100", 7, 3,
			          NGHTTP2_NV_FLAG_NONE };
		nghttp2_submit_headers(session, NGHTTP2_FLAG_NONE, x->stream, NULL, &nv, 1, NULL);
	}
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct http_conn *c = user;
	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	struct http_exchange *x = exchange_of(session, frame->hd.stream_id);
	if (!x)
		return 0;
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		x->complete = true;
	if (frame->hd.type == NGHTTP2_DATA && frame->hd.length == 0 && !x->complete &&
	    ++x->empty_frames > MAX_EMPTY_FRAMES) {
		nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM);
		return 0;
	}
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		head_arrived(session, x);
	if (!x->dispatched && (x->complete || x->in.body_too_large) && !c->dead)
		http_exchange_dispatch(x);
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t len, void *user)
{
	struct http_conn *c = user;
	struct http_exchange *x = exchange_of(session, stream);
	(void)flags;
	size_t max = c->loop->server->o.max_body;
	if (!x || x->dispatched) {
		nghttp2_session_consume_connection(session, len); // the stream's window stays closed: nobody wants more
		return 0;
	}
	size_t take = MIN(len, max - x->body.n);
	buf_add(&x->body, str_n((const char *)data, take));
	c->bodies += take;
	nghttp2_session_consume_stream(session, stream, len);
	if (c->bodies > HTTP_BODIES)
		c->unconsumed += len; // until some of these requests are answered
	else
		nghttp2_session_consume_connection(session, len);
	if (take < len) {
		x->in.body_too_large = true;
		http_exchange_dispatch(x);
	}
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t code, void *user)
{
	struct http_conn *c = user;
	struct http_exchange *x = exchange_of(session, stream);
	(void)code;
	if (!x)
		return 0;
	nghttp2_session_set_stream_user_data(session, stream, NULL);
	c->bodies -= x->body.n;
	http_exchange_free(x);
	if (c->unconsumed && c->bodies <= HTTP_BODIES) {
		nghttp2_session_consume_connection(session, c->unconsumed);
		c->unconsumed = 0;
		http_conn_dirty(c);
	}
	return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct http_conn *c = user;
	// Answered before the request had ended: the client is told to stop sending the rest (RFC 9113, section 8.1).
	if (c->early && frame->hd.flags & NGHTTP2_FLAG_END_STREAM &&
	    (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0)
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
	return 0;
}

// --- Answers ---

static ssize_t on_read(nghttp2_session *session, int32_t stream, uint8_t *to, size_t n, uint32_t *flags,
                       nghttp2_data_source *source, void *user)
{
	struct http_exchange *x = source->ptr;
	(void)session, (void)stream, (void)to, (void)user;
	if (x->out.bytes == 0 && !x->ended) {
		x->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	n = MIN(n, x->out.bytes);
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (x->ended && n == x->out.bytes)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t n,
                        nghttp2_data_source *source, void *user)
{
	struct http_conn *c = user;
	struct http_exchange *x = source->ptr;
	struct buf *to = c->ssl ? &c->loop->plain : &c->loop->wire;
	(void)session;
	(void)frame; // never padded
	buf_add(to, str_n((const char *)head, 9));
	http_out_take(&x->out, to, n);
	if (x->out.bytes == 0) {
		http_deadline_set(c->loop, &x->dl, HTTP_DL_NONE, false);
		if (x->on_drain && !x->ended)
			x->drained = c->any_drained = true;
	} else {
		http_deadline_set(c->loop, &x->dl, HTTP_DL_WRITE, true);
	}
	// What has been gathered goes out before more is asked for: other streams and connections want their turn.
	return to->n >= HTTP_GATHER ? NGHTTP2_ERR_PAUSE : 0;
}

static void wait_for_peer(struct http_exchange *x)
{
	if (x->out.bytes)
		http_deadline_set(x->conn->loop, &x->dl, HTTP_DL_WRITE, false);
}

void http_h2_more(struct http_exchange *x)
{
	wait_for_peer(x);
	if (x->deferred) {
		x->deferred = false;
		nghttp2_session_resume_data(x->conn->h2, x->stream);
	}
}

void http_h2_reset(struct http_exchange *x, uint32_t code)
{
	http_deadline_set(x->conn->loop, &x->dl, HTTP_DL_NONE, false);
	nghttp2_submit_rst_stream(x->conn->h2, NGHTTP2_FLAG_NONE, x->stream, code);
	http_conn_dirty(x->conn);
}

static nghttp2_nv pair(str name, str value, uint8_t flags)
{
	return (nghttp2_nv){ (uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p, name.n, value.n, flags };
}

// Headers that belong to one connection of HTTP/1.1 (RFC 9113, section 8.2.2).
static bool hop_by_hop(str name)
{
	return str_eq_nocase(name, S("connection")) || str_eq_nocase(name, S("transfer-encoding")) ||
	       str_eq_nocase(name, S("keep-alive")) || str_eq_nocase(name, S("upgrade")) ||
	       str_eq_nocase(name, S("proxy-connection"));
}

void http_h2_head(struct http_exchange *x, int status, const struct http_headers *headers, int64_t length)
{
	struct http_conn *c = x->conn;
	nghttp2_nv few[32],
	        *nv = headers->n + 4 <= ARRAY_LEN(few) ? few : ARENA_ARRAY(x->in.arena, nghttp2_nv, headers->n + 4);
	size_t n = 0;
	bool date = false;
	const uint8_t constant = NGHTTP2_NV_FLAG_NO_COPY_NAME;
	char code[4] = { (char)('0' + status / 100 % 10), (char)('0' + status / 10 % 10), (char)('0' + status % 10) },
	     digits[24];
	nv[n++] = pair(S(":status"), str_n(code, 3), constant);
	for (size_t i = 0; i < headers->n; i++) {
		str name = headers->v[i].name, value = headers->v[i].value;
		if (hop_by_hop(name) || (length >= 0 && !x->head_only && str_eq_nocase(name, S("content-length"))))
			continue;
		date |= str_eq_nocase(name, S("date"));
		// An audit id is another one each time: in the compressor's table it would only push out what comes again.
		uint8_t flags = str_eq_nocase(name, S("audit-id")) ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
		if (!nghttp2_check_header_value((const uint8_t *)value.p, value.n)) {
			char *clean = arena_cstr(x->in.arena, value);
			for (size_t k = 0; k < value.n; k++)
				if ((unsigned char)clean[k] < ' ' || clean[k] == 0x7f)
					clean[k] = ' ';
			value = str_trim(str_n(clean, value.n));
		}
		nv[n++] = pair(name, value, flags); // nghttp2 makes names lower case
		if (x->head_only && str_eq_nocase(name, S("content-length")))
			length = -1; // the handler knows better
	}
	if (!date)
		nv[n++] = pair(S("date"), http_loop_date(c->loop), constant);
	if (length >= 0) {
		char *p = digits + sizeof(digits);
		uint64_t v = (uint64_t)length;
		do
			*--p = (char)('0' + v % 10);
		while (v /= 10);
		nv[n++] = pair(S("content-length"), str_n(p, (size_t)(digits + sizeof(digits) - p)), constant);
	}
	bool empty = (x->ended && x->out.bytes == 0) || x->head_only || status == 204 || status == 304;
	nghttp2_data_provider body = { .source.ptr = x, .read_callback = on_read };
	if (empty)
		x->ended = true;
	if (!x->complete)
		c->early = true;
	wait_for_peer(x);
	if (nghttp2_submit_response(c->h2, x->stream, nv, n, empty ? NULL : &body) != 0)
		http_h2_reset(x, NGHTTP2_INTERNAL_ERROR);
}

// --- The connection ---

static void callbacks(struct http_loop *l)
{
	if (l->h2_callbacks)
		return;
	if (nghttp2_session_callbacks_new(&l->h2_callbacks) != 0 || nghttp2_option_new(&l->h2_options) != 0)
		heap_exhausted(sizeof(void *));
	nghttp2_session_callbacks_set_on_begin_headers_callback(l->h2_callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback2(l->h2_callbacks, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(l->h2_callbacks, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(l->h2_callbacks, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(l->h2_callbacks, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(l->h2_callbacks, on_frame_send);
	nghttp2_session_callbacks_set_send_data_callback(l->h2_callbacks, on_send_data);
	nghttp2_option_set_no_auto_window_update(l->h2_options, 1);
	nghttp2_option_set_no_closed_streams(l->h2_options, 1);
	// A head of 1 MiB is 64 frames of the size we accept. Resets beyond this rate end the connection (CVE-2023-44487):
	// an honest client that cancels watches or times out stays far below.
	nghttp2_option_set_max_continuations(l->h2_options, 66);
	nghttp2_option_set_stream_reset_rate_limit(l->h2_options, 1000, 100);
	nghttp2_option_set_max_outbound_ack(l->h2_options, 1000);
}

void http_h2_start(struct http_conn *c)
{
	callbacks(c->loop);
	if (nghttp2_session_server_new2(&c->h2, c->loop->h2_callbacks, c, c->loop->h2_options) != 0)
		heap_exhausted(sizeof(void *));
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HTTP_MAX_STREAMS },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP1_MAX_HEAD },
	};
	nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
	nghttp2_session_set_local_window_size(c->h2, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW);
	http_conn_dirty(c);
}

void http_h2_free(struct http_conn *c)
{
	nghttp2_session_del(c->h2);
	c->h2 = NULL;
}

void http_h2_input(struct http_conn *c, str bytes)
{
	if (c->discard)
		return;
	ssize_t n = nghttp2_session_mem_recv(c->h2, (const uint8_t *)bytes.p, bytes.n);
	if (n < 0) {
		// Protocol errors have queued a GOAWAY and do not come here; this is a flood, or no HTTP/2 at all.
		nghttp2_session_terminate_session(c->h2, n == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM
		                                                                  : NGHTTP2_PROTOCOL_ERROR);
		c->discard = true;
	}
	http_conn_dirty(c);
}

void http_h2_pull(struct http_conn *c, struct buf *to)
{
	size_t from = to->n;
	while (to->n - from < HTTP_GATHER) {
		const uint8_t *p;
		ssize_t n = nghttp2_session_mem_send(c->h2, &p); // DATA comes through on_send_data meanwhile
		if (n < 0)
			http_conn_kill(c);
		if (n <= 0)
			return;
		buf_add(to, str_n((const char *)p, (size_t)n));
	}
}

void http_h2_after_flush(struct http_conn *c)
{
	if (c->stash.n > c->stash_at)
		return;
	if (c->discard || (!nghttp2_session_want_read(c->h2) && !nghttp2_session_want_write(c->h2))) {
		http_conn_kill(c);
		return;
	}
	if (c->nexchanges == 0)
		http_deadline_set(c->loop, &c->dl, HTTP_DL_IDLE, false);
	else
		http_deadline_set(c->loop, &c->dl, HTTP_DL_NONE, false);
}

// Two steps (RFC 9113, section 6.8): requests that are on their way when the first notice arrives are still served.
void http_h2_drain(struct http_conn *c, bool last)
{
	if (last)
		nghttp2_submit_goaway(c->h2, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(c->h2),
		                      NGHTTP2_NO_ERROR, NULL, 0);
	else
		nghttp2_submit_shutdown_notice(c->h2);
	http_conn_dirty(c);
}
