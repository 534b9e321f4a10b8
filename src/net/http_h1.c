// HTTP/1.1 on a server's connection: one request at a time; what follows it (pipelining) is held until it is answered.

#include <sys/socket.h>

#include "base/heap.h"
#include "net/http_server_internal.h"

enum { MAX_DISCARD = 64 << 20 };

static struct http_conn *conn_of(http_parser *p)
{
	return p->data;
}

// Makes the parser stop; the request is refused with that status.
static int bad(struct http_conn *c, int status)
{
	if (!c->bad)
		c->bad = status;
	return -1;
}

static int on_begin(http_parser *p)
{
	struct http_conn *c = conn_of(p);
	c->current = http_exchange_new(c);
	c->bad = 0;
	http_deadline_set(c->loop, &c->dl, HTTP_DL_HEAD, c->dl.kind != HTTP_DL_HEAD);
	return 0;
}

static int on_url(http_parser *p, const char *at, size_t n)
{
	return http1_target(&conn_of(p)->head, at, n) ? 0 : bad(conn_of(p), 431);
}

static int on_name(http_parser *p, const char *at, size_t n)
{
	return http1_name(&conn_of(p)->head, at, n) ? 0 : bad(conn_of(p), 431);
}

static int on_value(http_parser *p, const char *at, size_t n)
{
	return http1_value(&conn_of(p)->head, at, n) ? 0 : bad(conn_of(p), 431);
}

static int on_headers_complete(http_parser *p)
{
	struct http_conn *c = conn_of(p);
	struct http_exchange *x = c->current;
	struct http_request_in *in = &x->in;
	str target;
	http1_finish(&c->head, in->arena, &target, &in->headers);
	in->method = str_c(http_method_str((enum http_method)p->method));
	in->http_version = 1;
	if (p->http_major != 1 || p->http_minor > 1)
		return bad(c, 505);
	in->http10 = p->http_minor == 0;
	if (p->method == HTTP_CONNECT)
		return bad(c, 405);
	if (!http_exchange_target(x, target))
		return bad(c, 400);
	size_t hosts = 0;
	str expect = { 0 }, upgrade = { 0 };
	for (size_t i = 0; i < in->headers.n; i++) {
		const struct http_header *h = &in->headers.v[i];
		if (!http1_token_ok(h->name))
			return bad(c, 400);
		if (str_eq(h->name, S("host")))
			hosts++;
		else if (str_eq(h->name, S("expect")))
			expect = h->value;
		else if (str_eq(h->name, S("upgrade")))
			upgrade = h->value;
		else if (str_eq(h->name, S("transfer-encoding")) && in->http10)
			return bad(c, 400); // RFC 9112, section 6.1: a message whose framing is not to be trusted
	}
	if (hosts > 1 || (hosts == 0 && !in->http10))
		return bad(c, 400);
	if (!http_should_keep_alive(p))
		c->close_after = true;
	// An offer of HTTP/2 on plain text (h2c) may be ignored, and is; other protocols are up to the handler.
	if (p->upgrade && str_eq_nocase(upgrade, S("h2c")))
		p->upgrade = 0;
	bool has_body = p->flags & F_CHUNKED || (p->content_length > 0 && p->content_length != UINT64_MAX);
	if (has_body)
		p->upgrade = 0;
	x->upgrade = p->upgrade;
	if (has_body && !(p->flags & F_CHUNKED)) {
		x->announced = p->content_length;
		if (p->content_length > c->loop->server->o.max_body)
			in->body_too_large = true;
	}
	if (expect.n && !in->http10) {
		if (!str_eq_nocase(expect, S("100-continue")))
			return bad(c, 417);
		if (has_body && !in->body_too_large) {
			http_out_add(&x->out, S("HTTP/1.1 100 Continue\r\n\r\n"));
			http_conn_dirty(c);
		}
	}
	return 0;
}

static int on_body(http_parser *p, const char *at, size_t n)
{
	struct http_conn *c = conn_of(p);
	struct http_exchange *x = c->current;
	if (x->in.body_too_large)
		return 0;
	size_t max = c->loop->server->o.max_body;
	if (n > max - x->body.n) {
		x->in.body_too_large = true;
		n = max - x->body.n;
	}
	// A body whose length is known gets its memory at once, but never more than a few times what has come of it.
	if (x->announced != UINT64_MAX && x->body.n + n > x->body.cap)
		buf_reserve(&x->body, MIN(x->announced - x->body.n, (x->body.n + n) * 4));
	buf_add(&x->body, str_n(at, n));
	return 0;
}

static int on_complete(http_parser *p)
{
	struct http_conn *c = conn_of(p);
	http1_clear(&c->head); // trailers
	if (c->current)
		c->current->complete = true;
	http_parser_pause(p, 1);
	return 0;
}

static const http_parser_settings *settings(void)
{
	static const http_parser_settings s = {
		.on_message_begin = on_begin,
		.on_url = on_url,
		.on_header_field = on_name,
		.on_header_value = on_value,
		.on_headers_complete = on_headers_complete,
		.on_body = on_body,
		.on_message_complete = on_complete,
	};
	return &s;
}

void http_h1_start(struct http_conn *c)
{
	http_parser_init(&c->parser, HTTP_REQUEST);
	c->parser.data = c;
}

void http_h1_free(struct http_conn *c)
{
	http1_free(&c->head);
	c->current = NULL;
}

// Answers without the handler and ends the connection. The words are those of Go's server.
void http_h1_refuse(struct http_conn *c, int status)
{
	char text[400];
	if (!c->current)
		c->current = http_exchange_new(c);
	struct http_exchange *x = c->current;
	c->close_after = c->discard = true;
	http_conn_dirty(c);
	if (x->dispatched) // its handler answers; what came after it was bad
		return;
	x->dispatched = x->answered = x->ended = true;
	int n = snprintf(text, sizeof(text),
	                 "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n%d %s",
	                 status, http_status_text(status), status, http_status_text(status));
	http_out_add(&x->out, str_n(text, (size_t)n));
	http1_clear(&c->head);
	http_deadline_set(c->loop, &c->dl, HTTP_DL_NONE, false);
}

static void dispatch(struct http_conn *c)
{
	struct http_exchange *x = c->current;
	if (x->in.body_too_large)
		c->close_after = c->discard = true; // the rest of the body is thrown away
	http_deadline_set(c->loop, &c->dl, HTTP_DL_NONE, false);
	http_exchange_dispatch(x);
}

static void parse(struct http_conn *c, str bytes)
{
	while (bytes.n && !c->dead && !c->discard) {
		if (c->current && c->current->dispatched) {
			buf_add(&c->held, bytes);
			return;
		}
		size_t used = http_parser_execute(&c->parser, settings(), bytes.p, bytes.n);
		enum http_errno e = HTTP_PARSER_ERRNO(&c->parser);
		if (e == HPE_PAUSED) {
			http_parser_pause(&c->parser, 0);
		} else if (e != HPE_OK) {
			http_h1_refuse(c, c->bad                     ? c->bad
			                  : e == HPE_HEADER_OVERFLOW ? 431
			                  : e == HPE_INVALID_VERSION ? 505
			                                             : 400);
			return;
		}
		bytes = str_from(bytes, used);
		struct http_exchange *x = c->current;
		if (x && !x->dispatched && (x->complete || x->in.body_too_large))
			dispatch(c);
	}
}

static void deliver(struct http_exchange *x, str bytes)
{
	if (!x->ended && !x->on_data(x, x->data, bytes))
		x->paused = true;
}

void http_h1_input(struct http_conn *c, str bytes)
{
	struct http_exchange *x = c->current;
	if (c->discard) {
		if ((c->lingered += bytes.n) > MAX_DISCARD)
			http_conn_kill(c);
	} else if (x && x->tunnel) {
		if (x->paused || c->held.n)
			buf_add(&c->held, bytes);
		else
			deliver(x, bytes);
	} else {
		parse(c, bytes);
	}
}

void http_h1_pull(struct http_conn *c, struct buf *to)
{
	struct http_exchange *x = c->current;
	if (!x || !x->out.bytes)
		return;
	http_out_take(&x->out, to, HTTP_GATHER);
	if (x->out.bytes == 0 && x->on_drain && !x->ended)
		x->drained = c->any_drained = true;
}

static void finish(struct http_conn *c)
{
	if (!c->discard || c->eof || c->fd < 0) {
		http_conn_kill(c);
		return;
	}
	// The peer may still be sending what we do not want. Closing now would make its system drop our answer unread
	// (RFC 9112, section 9.6), so only our side is closed, and what comes is thrown away for a moment.
	if (c->ssl)
		SSL_shutdown(c->ssl);
	if (c->stash.n > c->stash_at)
		http_conn_dirty(c);
	else
		shutdown(c->fd, SHUT_WR);
	c->state = HTTP_LINGER;
	http_deadline_set(c->loop, &c->dl, HTTP_DL_LINGER, false);
}

void http_h1_after_flush(struct http_conn *c)
{
	struct http_exchange *x = c->current;
	if (x && x->tunnel && !x->paused && c->held.n && !x->ended) {
		struct buf held = c->held;
		c->held = (struct buf){ 0 };
		deliver(x, buf_str(&held));
		buf_free(&held);
	}
	if (c->stash.n > c->stash_at)
		return;
	if (x && x->dispatched && x->ended && x->out.bytes == 0) {
		bool close = c->close_after || x->tunnel || !x->complete || c->draining;
		c->current = NULL;
		http_exchange_free(x);
		if (close) {
			finish(c);
			return;
		}
		if (c->held.n) {
			struct buf held = c->held;
			c->held = (struct buf){ 0 };
			http_deadline_set(c->loop, &c->dl, HTTP_DL_HEAD, true);
			parse(c, buf_str(&held));
			buf_free(&held);
			http_conn_dirty(c);
		}
	}
	if (c->dead)
		return;
	if (!c->current)
		http_deadline_set(c->loop, &c->dl, c->dl.kind == HTTP_DL_HEAD ? HTTP_DL_HEAD : HTTP_DL_IDLE, false);
	else if (c->current->dispatched)
		http_deadline_set(c->loop, &c->dl, HTTP_DL_NONE, false);
	else
		http_deadline_set(c->loop, &c->dl, HTTP_DL_HEAD, false);
}

// --- Answers ---

static void add_name(struct buf *b, str name)
{
	bool upper = true; // Content-Type, as Go writes it
	char *p = buf_reserve(b, name.n);
	for (size_t i = 0; i < name.n; i++) {
		char ch = name.p[i];
		p[i] = (char)(upper && ch >= 'a' && ch <= 'z' ? ch - 32 : ch);
		upper = ch == '-';
	}
	b->n += name.n;
}

static void add_value(struct buf *b, str value)
{
	size_t from = b->n;
	buf_add(b, value);
	for (size_t i = from; i < b->n; i++)
		if (b->p[i] == '\r' || b->p[i] == '\n' || b->p[i] == 0)
			b->p[i] = ' '; // no text from elsewhere begins a line of its own
}

void http_h1_head(struct http_exchange *x, int status, const struct http_headers *headers, int64_t length)
{
	struct http_conn *c = x->conn;
	struct buf *b = &c->loop->scratch;
	bool own_length = false, connection = false, date = false, upgrade = status == 101;
	buf_clear(b);
	buf_printf(b, "HTTP/1.1 %d %s\r\n", status, http_status_text(status));
	for (size_t i = 0; i < headers->n; i++) {
		str name = headers->v[i].name, value = headers->v[i].value;
		if (str_eq_nocase(name, S("transfer-encoding")))
			continue;
		if (str_eq_nocase(name, S("content-length"))) {
			if (length >= 0 && !x->head_only)
				continue;
			own_length = true;
		} else if (str_eq_nocase(name, S("connection"))) {
			connection = true;
			if (http1_has_token(value, S("close")))
				c->close_after = true;
		} else if (str_eq_nocase(name, S("date"))) {
			date = true;
		}
		add_name(b, name);
		buf_add(b, S(": "));
		add_value(b, value);
		buf_add(b, S("\r\n"));
	}
	if (!date) {
		buf_add(b, S("Date: "));
		buf_add(b, http_loop_date(c->loop));
		buf_add(b, S("\r\n"));
	}
	bool body = status >= 200 && status != 204 && status != 304;
	if (c->draining)
		c->close_after = true;
	if (body && length >= 0 && !own_length) {
		buf_add(b, S("Content-Length: "));
		buf_add_i64(b, length);
		buf_add(b, S("\r\n"));
	} else if (body && length < 0 && !own_length) {
		if (x->in.http10) {
			c->close_after = true; // its end is the connection's end
		} else {
			buf_add(b, S("Transfer-Encoding: chunked\r\n"));
			x->chunked = !x->head_only;
		}
	}
	if (upgrade && !connection)
		buf_add(b, S("Connection: Upgrade\r\n"));
	else if (!upgrade && !connection && c->close_after)
		buf_add(b, S("Connection: close\r\n"));
	else if (!upgrade && !connection && x->in.http10)
		buf_add(b, S("Connection: keep-alive\r\n"));
	buf_add(b, S("\r\n"));
	http_out_add(&x->out, buf_str(b));
}
