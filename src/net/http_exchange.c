#include "base/heap.h"
#include "net/http_server_internal.h"

// --- The output queue ---

static struct http_chunk *chunk_new(struct http_out *q, size_t cap)
{
	struct http_chunk *k = heap_alloc(sizeof(*k) + cap);
	*k = (struct http_chunk){ .cap = cap };
	k->p = k->data;
	if (q->tail)
		q->tail->next = k;
	else
		q->head = k;
	q->tail = k;
	return k;
}

void http_out_add(struct http_out *q, str bytes)
{
	if (bytes.n == 0)
		return;
	struct http_chunk *k = q->tail;
	if (!k || k->cap - (k->cap ? k->n : 0) < bytes.n) {
		// The first piece gets what it needs (most answers have one); further ones are gathered in larger pieces.
		size_t cap = k ? MAX(bytes.n, (size_t)4096 - sizeof(*k)) : bytes.n;
		k = chunk_new(q, cap);
	}
	memcpy(k->data + k->n, bytes.p, bytes.n);
	k->n += bytes.n;
	q->bytes += bytes.n;
}

void http_out_add_ref(struct http_out *q, str bytes, void (*release)(void *), void *ctx)
{
	if (bytes.n == 0) {
		if (release)
			release(ctx);
		return;
	}
	struct http_chunk *k = chunk_new(q, 0);
	k->p = bytes.p;
	k->n = bytes.n;
	k->release = release;
	k->ctx = ctx;
	q->bytes += bytes.n;
}

static void drop_head(struct http_out *q)
{
	struct http_chunk *k = q->head;
	q->head = k->next;
	if (!q->head)
		q->tail = NULL;
	q->off = 0;
	if (k->release)
		k->release(k->ctx);
	free(k);
}

size_t http_out_take(struct http_out *q, struct buf *to, size_t n)
{
	size_t done = 0;
	while (q->head && done < n) {
		struct http_chunk *k = q->head;
		str part = str_n(k->p + q->off, MIN(k->n - q->off, n - done));
		buf_add(to, part);
		done += part.n;
		q->off += part.n;
		q->bytes -= part.n;
		if (q->off == k->n)
			drop_head(q);
	}
	return done;
}

void http_out_clear(struct http_out *q)
{
	while (q->head)
		drop_head(q);
	q->bytes = 0;
}

// --- Life of an exchange ---

struct http_exchange *http_exchange_new(struct http_conn *c)
{
	struct http_loop *l = c->loop;
	struct arena *a = l->nspare ? l->spare[--l->nspare] : arena_new(HTTP_ARENA);
	struct http_exchange *x = ARENA_NEW(a, struct http_exchange);
	x->in.arena = a;
	x->in.peer = c->peer;
	x->in.remote_address = str_c(c->remote);
	x->conn = c;
	x->announced = UINT64_MAX;
	x->dl.exchange = true;
	x->dl.kind = HTTP_DL_NONE;
	x->next = c->exchanges;
	if (x->next)
		x->next->prev = x;
	c->exchanges = x;
	c->nexchanges++;
	return x;
}

void http_exchange_free(struct http_exchange *x)
{
	struct http_conn *c = x->conn;
	struct http_loop *l = c->loop;
	struct arena *a = x->in.arena;
	http_deadline_set(l, &x->dl, HTTP_DL_NONE, false);
	if (x->prev)
		x->prev->next = x->next;
	else
		c->exchanges = x->next;
	if (x->next)
		x->next->prev = x->prev;
	c->nexchanges--;
	// From here on the handler's calls on it do nothing.
	x->ended = x->answered = true;
	if (x->on_close)
		x->on_close(x, x->data);
	http_out_clear(&x->out);
	buf_free(&x->body);
	if (l->nspare < HTTP_SPARE_ARENAS) {
		arena_reset(a);
		l->spare[l->nspare++] = a;
	} else {
		arena_free(a);
	}
}

bool http_exchange_target(struct http_exchange *x, str target)
{
	x->in.target = target;
	if (str_has_prefix(target, S("http://")) || str_has_prefix(target, S("https://"))) {
		target = str_from(target, (size_t)str_find(target, S("://")) + 3);
		ptrdiff_t slash = str_find_char(target, '/');
		target = slash >= 0 ? str_from(target, (size_t)slash) : S("/");
	}
	str_split(target, '?', &x->in.path, &x->in.query);
	for (size_t i = 0; i < target.n; i++)
		if ((unsigned char)target.p[i] <= ' ' || target.p[i] == 0x7f || target.p[i] == '#')
			return false;
	return str_has_prefix(x->in.path, S("/")) || (str_eq(target, S("*")) && str_eq(x->in.method, S("OPTIONS")));
}

void http_exchange_dispatch(struct http_exchange *x)
{
	struct http_server *s = x->conn->loop->server;
	x->dispatched = true;
	x->head_only = str_eq(x->in.method, S("HEAD"));
	x->in.body = buf_str(&x->body);
	http_deadline_set(x->conn->loop, &x->dl, HTTP_DL_NONE, false);
	s->o.handle(x, s->o.ctx);
}

// A deadline of an HTTP/2 stream has passed: its request did not come to an end, or its answer is not taken.
void http_exchange_expired(struct http_exchange *x)
{
	if (x->dl.kind == HTTP_DL_HEAD && !x->answered) {
		http_deadline_set(x->conn->loop, &x->dl, HTTP_DL_NONE, false);
		http_reply(x, 408, NULL, S("408 Request Timeout"));
	} else {
		http_h2_reset(x, NGHTTP2_CANCEL);
	}
}

// --- For handlers ---

struct http_request_in *http_request(struct http_exchange *x)
{
	return &x->in;
}

struct http_loop *http_exchange_loop(struct http_exchange *x)
{
	return x->conn->loop;
}

void *http_exchange_data(struct http_exchange *x)
{
	return x->data;
}

void http_exchange_set(struct http_exchange *x, void *data, void (*on_close)(struct http_exchange *x, void *data))
{
	x->data = data;
	x->on_close = on_close;
}

static bool has_body(int status)
{
	return status >= 200 && status != 204 && status != 304;
}

static void send_head(struct http_exchange *x, int status, const struct http_headers *headers, int64_t length)
{
	static const struct http_headers none = { 0 };
	x->answered = true;
	if (!headers)
		headers = &none;
	if (x->conn->state == HTTP_H2)
		http_h2_head(x, status, headers, length);
	else
		http_h1_head(x, status, headers, length);
	http_conn_dirty(x->conn);
}

void http_reply(struct http_exchange *x, int status, const struct http_headers *headers, str body)
{
	if (x->answered || x->conn->dead)
		return;
	bool sends = has_body(status) && !x->head_only;
	x->ended = true;
	if (x->conn->state == HTTP_H2 && sends)
		http_out_add(&x->out, body); // before the head: nghttp2 then knows whether anything follows it
	send_head(x, status, headers, has_body(status) ? (int64_t)body.n : -1);
	if (x->conn->state != HTTP_H2 && sends)
		http_out_add(&x->out, body);
}

void http_reply_ref(struct http_exchange *x, int status, const struct http_headers *headers, str body,
                    void (*release)(void *), void *ctx)
{
	if (x->answered || x->conn->dead || !has_body(status) || x->head_only) {
		if (!x->answered && !x->conn->dead) {
			x->ended = true;
			send_head(x, status, headers, has_body(status) ? (int64_t)body.n : -1);
		}
		if (release)
			release(ctx);
		return;
	}
	x->ended = true;
	if (x->conn->state == HTTP_H2)
		http_out_add_ref(&x->out, body, release, ctx);
	send_head(x, status, headers, (int64_t)body.n);
	if (x->conn->state != HTTP_H2)
		http_out_add_ref(&x->out, body, release, ctx);
}

void http_stream_start(struct http_exchange *x, int status, const struct http_headers *headers)
{
	if (!x->answered && !x->conn->dead)
		send_head(x, status, headers, -1);
}

// Whether a body is to be sent at all; else its bytes go nowhere.
static bool takes_bytes(const struct http_exchange *x)
{
	return x->answered && !x->ended && !x->conn->dead && !x->head_only;
}

static void chunk_begin(struct http_exchange *x, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	if (!x->chunked)
		return;
	char line[20], *p = line + sizeof(line);
	*--p = '\n';
	*--p = '\r';
	do
		*--p = digits[n & 15];
	while (n >>= 4);
	http_out_add(&x->out, str_n(p, (size_t)(line + sizeof(line) - p)));
}

static void wrote(struct http_exchange *x)
{
	if (x->chunked)
		http_out_add(&x->out, S("\r\n"));
	if (x->conn->state == HTTP_H2)
		http_h2_more(x);
	http_conn_dirty(x->conn);
}

size_t http_stream_write(struct http_exchange *x, str bytes)
{
	if (!takes_bytes(x) || bytes.n == 0)
		return x->out.bytes;
	chunk_begin(x, bytes.n);
	http_out_add(&x->out, bytes);
	wrote(x);
	return x->out.bytes;
}

size_t http_stream_write_ref(struct http_exchange *x, str bytes, void (*release)(void *), void *ctx)
{
	if (!takes_bytes(x) || bytes.n == 0) {
		if (release)
			release(ctx);
		return x->out.bytes;
	}
	chunk_begin(x, bytes.n);
	http_out_add_ref(&x->out, bytes, release, ctx);
	wrote(x);
	return x->out.bytes;
}

size_t http_stream_pending(const struct http_exchange *x)
{
	return x->out.bytes;
}

void http_stream_on_drain(struct http_exchange *x, void (*on_drain)(struct http_exchange *x, void *data))
{
	x->on_drain = on_drain;
}

void http_stream_end(struct http_exchange *x)
{
	if (x->ended || x->conn->dead)
		return;
	if (x->chunked)
		http_out_add(&x->out, S("0\r\n\r\n"));
	x->ended = true;
	if (x->conn->state == HTTP_H2)
		http_h2_more(x);
	http_conn_dirty(x->conn);
}

void http_stream_abort(struct http_exchange *x)
{
	if (x->conn->dead)
		return;
	x->ended = true;
	http_out_clear(&x->out);
	if (x->conn->state == HTTP_H2)
		http_h2_reset(x, NGHTTP2_INTERNAL_ERROR);
	else
		http_conn_kill(x->conn);
}

bool http_tunnel_start(struct http_exchange *x, const struct http_headers *headers,
                       bool (*on_data)(struct http_exchange *x, void *data, str bytes))
{
	if (x->conn->state != HTTP_H1 || !x->upgrade || x->answered || x->conn->dead)
		return false;
	x->tunnel = true;
	x->on_data = on_data;
	send_head(x, 101, headers, -1);
	return true;
}

void http_tunnel_resume(struct http_exchange *x)
{
	if (!x->tunnel || !x->paused || x->ended)
		return;
	x->paused = false;
	http_conn_dirty(x->conn); // what is held is delivered at the end of the round
}

void http_tunnel_close(struct http_exchange *x)
{
	if (!x->tunnel || x->ended)
		return;
	x->ended = true;
	http_conn_dirty(x->conn);
}
