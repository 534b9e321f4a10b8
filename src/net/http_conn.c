#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/heap.h"
#include "net/http_server_internal.h"

#define H2_PREFACE S("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

// --- Deadlines ---

static void on_deadline(uv_timer_t *t);

static void timer_at(struct http_loop *l, uint64_t at)
{
	uint64_t now = uv_now(&l->uv);
	if (l->timer_due && l->timer_due <= at)
		return;
	l->timer_due = at;
	uv_timer_start(&l->timer, on_deadline, at > now ? at - now : 0, 0);
}

void http_deadline_set(struct http_loop *l, struct http_deadline *d, enum http_deadline_kind kind, bool afresh)
{
	if (d->kind == kind && (!afresh || kind == HTTP_DL_NONE))
		return;
	if (d->kind != HTTP_DL_NONE) {
		d->prev->next = d->next;
		d->next->prev = d->prev;
	}
	d->kind = kind;
	if (kind == HTTP_DL_NONE)
		return;
	struct http_deadline *list = &l->lists[kind];
	d->at = uv_now(&l->uv) + l->timeouts[kind];
	d->prev = list->prev;
	d->next = list;
	list->prev->next = d;
	list->prev = d;
	timer_at(l, d->at);
}

static void on_deadline(uv_timer_t *t)
{
	struct http_loop *l = t->data;
	uint64_t now = uv_now(&l->uv);
	l->timer_due = 0;
	for (int kind = 0; kind < HTTP_DL_KINDS; kind++) {
		struct http_deadline *list = &l->lists[kind];
		while (list->next != list && list->next->at <= now) {
			struct http_deadline *d = list->next;
			if (d->exchange) {
				struct http_exchange *x =
				        (struct http_exchange *)(void *)((char *)d -
				                                         offsetof(struct http_exchange, dl));
				http_exchange_expired(x);
			} else {
				http_conn_expired(
				        (struct http_conn *)(void *)((char *)d - offsetof(struct http_conn, dl)));
			}
			if (list->next == d) // nobody had a better idea
				http_deadline_set(l, d, HTTP_DL_NONE, false);
		}
		if (list->next != list)
			timer_at(l, list->next->at);
	}
}

void http_conn_expired(struct http_conn *c)
{
	if (c->dl.kind == HTTP_DL_HEAD && c->state == HTTP_H1 && c->current && !c->current->dispatched) {
		http_deadline_set(c->loop, &c->dl, HTTP_DL_NONE, false);
		http_h1_refuse(c, 408);
	} else if (c->dl.kind == HTTP_DL_IDLE && c->state == HTTP_H2) {
		http_deadline_set(c->loop, &c->dl, HTTP_DL_WRITE, false);
		nghttp2_session_terminate_session(c->h2, NGHTTP2_NO_ERROR);
		http_conn_dirty(c);
	} else {
		http_conn_kill(c);
	}
}

// --- The stream below ---

static ssize_t wire_recv(struct tls_io *io, char *to, size_t n)
{
	struct http_conn *c = (struct http_conn *)(void *)io;
	if (c->wire.n == 0)
		return -1;
	n = MIN(n, c->wire.n);
	memcpy(to, c->wire.p, n);
	c->wire = str_from(c->wire, n);
	return (ssize_t)n;
}

static ssize_t wire_send(struct tls_io *io, const char *from, size_t n)
{
	struct http_conn *c = (struct http_conn *)(void *)io;
	buf_add(c->loop->gathering == c ? &c->loop->wire : &c->stash, str_n(from, n));
	return (ssize_t)n;
}

void http_conn_dirty(struct http_conn *c)
{
	struct http_loop *l = c->loop;
	if (c->dirty)
		return;
	c->dirty = true;
	c->next_dirty = NULL;
	*l->dirty_tail = c;
	l->dirty_tail = &c->next_dirty;
}

void http_conn_kill(struct http_conn *c)
{
	c->dead = true;
	http_conn_dirty(c);
}

static void on_closed(uv_handle_t *h)
{
	free(h->data);
}

static void teardown(struct http_conn *c)
{
	struct http_loop *l = c->loop;
	http_deadline_set(l, &c->dl, HTTP_DL_NONE, false);
	while (c->exchanges) {
		struct http_exchange *x = c->exchanges;
		http_exchange_free(x);
	}
	http_h1_free(c);
	http_h2_free(c);
	if (c->ssl) {
		ERR_clear_error();
		if (c->fd >= 0 && c->stash.n == c->stash_at && SSL_is_init_finished(c->ssl)) {
			buf_clear(&c->stash);
			c->stash_at = 0;
			SSL_shutdown(c->ssl); // says goodbye, waits for nothing
			ssize_t n = c->stash.n ? send(c->fd, c->stash.p, c->stash.n, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
			(void)n;
			ERR_clear_error();
		}
		SSL_free(c->ssl);
	}
	buf_free(&c->stash);
	buf_free(&c->held);
	arena_free(c->arena);
	if (c->prev)
		c->prev->next = c->next;
	else
		l->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	atomic_fetch_sub_explicit(&l->nconns, 1, memory_order_relaxed);
	if (c->fd < 0) {
		free(c);
		return;
	}
	uv_close((uv_handle_t *)&c->poll, on_closed);
	close(c->fd);
}

// Sends what is stashed; false when some of it remains.
static bool send_stash(struct http_conn *c)
{
	while (c->stash.n > c->stash_at) {
		size_t left = c->stash.n - c->stash_at;
		ssize_t n = c->fd < 0 ? (ssize_t)left
		                      : send(c->fd, c->stash.p + c->stash_at, left, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			if (errno != EAGAIN)
				http_conn_kill(c);
			return false;
		}
		c->stash_at += (size_t)n;
		c->progress = true;
	}
	buf_free(&c->stash); // an idle connection keeps no memory for this
	c->stash_at = 0;
	return true;
}

static void encrypt(struct http_conn *c, str plain)
{
	while (plain.n && !c->dead) {
		int n = SSL_write(c->ssl, plain.p, (int)MIN(plain.n, (size_t)1 << 20));
		if (n <= 0) { // our side of the stream always takes everything
			http_conn_kill(c);
			break;
		}
		plain = str_from(plain, (size_t)n);
	}
}

// Encrypts and sends what the protocol has to say, in large pieces.
static void send_output(struct http_conn *c)
{
	struct http_loop *l = c->loop;
	size_t sent = 0;
	while (!c->dead && send_stash(c)) {
		buf_clear(&l->wire);
		l->gathering = c;
		while (l->wire.n < HTTP_WIRE && !c->dead) {
			struct buf *to = c->ssl ? &l->plain : &l->wire;
			size_t before = to->n = c->ssl ? 0 : to->n;
			if (c->state == HTTP_H2)
				http_h2_pull(c, to);
			else if (c->state == HTTP_H1)
				http_h1_pull(c, to);
			if (to->n == before)
				break;
			if (c->ssl)
				encrypt(c, buf_str(to));
		}
		l->gathering = NULL;
		if (l->wire.n == 0 || c->dead)
			break;
		ssize_t n =
		        c->fd < 0 ? (ssize_t)l->wire.n : send(c->fd, l->wire.p, l->wire.n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			http_conn_kill(c);
			break;
		}
		if (n > 0) {
			c->progress = true;
			sent += (size_t)n;
		}
		buf_add(&c->stash, str_from(buf_str(&l->wire), n > 0 ? (size_t)n : 0));
		if (c->stash.n)
			break;
		if (sent > HTTP_TURN) {
			http_conn_dirty(c); // go on in the next round, after the others
			break;
		}
	}
	l->gathering = NULL;
	if (l->plain.cap > 4 * HTTP_WIRE)
		buf_free(&l->plain);
	if (l->wire.cap > 4 * HTTP_WIRE)
		buf_free(&l->wire);
}

void http_conn_flush(struct http_conn *c)
{
	if (c->state == HTTP_H2 || c->state == HTTP_H1)
		send_output(c);
	else
		send_stash(c);
	if (c->any_drained && !c->dead) {
		c->any_drained = false;
		for (struct http_exchange *x = c->exchanges; x; x = x->next) {
			if (!x->drained)
				continue;
			x->drained = false;
			if (x->on_drain && !x->ended && x->out.bytes == 0)
				x->on_drain(x, x->data);
		}
	}
	if (c->dead)
		return;
	bool waits = c->stash.n > c->stash_at;
	if (c->state == HTTP_H1)
		http_h1_after_flush(c);
	else if (c->state == HTTP_H2)
		http_h2_after_flush(c);
	if (c->dead)
		return;
	if (waits)
		http_deadline_set(c->loop, &c->dl, HTTP_DL_WRITE, c->progress);
	c->progress = false;
	http_conn_watch(c);
}

// --- Input ---

static void protocol_start(struct http_conn *c, bool h2)
{
	c->state = h2 ? HTTP_H2 : HTTP_H1;
	if (h2)
		http_h2_start(c);
	else
		http_h1_start(c);
	if (c->draining && h2)
		http_h2_drain(c, false);
}

void http_conn_input(struct http_conn *c, str bytes)
{
	if (c->state == HTTP_SNIFF) {
		// Plain text: HTTP/2 with prior knowledge begins with its preface, which no request of HTTP/1.1 does.
		buf_add(&c->held, bytes);
		str have = buf_str(&c->held);
		bool maybe = memcmp(have.p, H2_PREFACE.p, MIN(have.n, H2_PREFACE.n)) == 0;
		if (maybe && have.n < H2_PREFACE.n)
			return;
		struct buf first = c->held;
		c->held = (struct buf){ 0 };
		protocol_start(c, maybe);
		http_conn_input(c, buf_str(&first));
		buf_free(&first);
		return;
	}
	if (c->state == HTTP_H1)
		http_h1_input(c, bytes);
	else if (c->state == HTTP_H2)
		http_h2_input(c, bytes);
	else if (c->state == HTTP_LINGER && (c->lingered += bytes.n) > 64 << 20)
		http_conn_kill(c);
}

static bool looks_like_http(str s)
{
	return str_has_prefix(s, S("GET /")) || str_has_prefix(s, S("HEAD ")) || str_has_prefix(s, S("POST ")) ||
	       str_has_prefix(s, S("PUT /")) || str_has_prefix(s, S("OPTIO"));
}

static bool handshake(struct http_conn *c)
{
	str first = c->wire;
	ERR_clear_error();
	int r = SSL_do_handshake(c->ssl);
	if (r == 1) {
		c->arena = arena_new(512);
		c->peer = tls_peer_of(c->ssl, c->arena);
		if (!c->peer) {
			arena_free(c->arena);
			c->arena = NULL;
		}
		protocol_start(c, tls_is_http2(c->ssl));
		return true;
	}
	int e = SSL_get_error(c->ssl, r);
	if (e != SSL_ERROR_WANT_READ) {
		if (SSL_in_before(c->ssl) || looks_like_http(first)) {
			if (looks_like_http(first)) { // as Go's server answers it
				buf_clear(&c->stash);
				buf_add(&c->stash, S("HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to "
				                     "an HTTPS server.\n"));
			}
		}
		send_stash(c); // the alert
		http_conn_kill(c);
	}
	ERR_clear_error();
	return false;
}

static void tls_input(struct http_conn *c, str bytes)
{
	char plain[16384];
	c->wire = bytes;
	if (c->state == HTTP_HANDSHAKE && !handshake(c)) {
		c->wire = (str){ 0 };
		return;
	}
	ERR_clear_error();
	while (!c->dead) {
		int n = SSL_read(c->ssl, plain, sizeof(plain));
		if (n > 0) {
			http_conn_input(c, str_n(plain, (size_t)n));
			continue;
		}
		int e = SSL_get_error(c->ssl, n);
		if (e == SSL_ERROR_ZERO_RETURN)
			c->eof = true;
		else if (e != SSL_ERROR_WANT_READ)
			http_conn_kill(c);
		ERR_clear_error();
		break;
	}
	c->wire = (str){ 0 };
}

// The peer sends no more. Whoever waits for an answer that does not exist yet is gone; an answer under way is finished.
static void at_eof(struct http_conn *c)
{
	struct http_exchange *x = c->current;
	c->eof = true;
	if (c->state == HTTP_H1 && x && x->answered && x->ended && !x->tunnel)
		c->close_after = true;
	else
		http_conn_kill(c);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
	struct http_conn *c = p->data;
	struct http_loop *l = c->loop;
	if (c->dead)
		return;
	if (status < 0) {
		http_conn_kill(c);
		return;
	}
	http_conn_dirty(c);
	if (!(events & UV_READABLE))
		return;
	ssize_t n = recv(c->fd, l->in.p, HTTP_READ_SIZE, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		http_conn_kill(c);
		return;
	}
	if (n == 0) {
		at_eof(c);
		return;
	}
	str bytes = str_n(l->in.p, (size_t)n);
	if (c->ssl)
		tls_input(c, bytes);
	else
		http_conn_input(c, bytes);
	if (c->eof && !c->dead)
		at_eof(c);
}

void http_conn_watch(struct http_conn *c)
{
	if (c->fd < 0)
		return;
	bool full = c->eof || c->held.n > HTTP_HELD || (c->current && c->current->paused);
	// A peer that does not read what we send need not be heard either: its pings and requests would only add to it.
	bool jammed = c->stash.n - c->stash_at > HTTP_WIRE && c->state == HTTP_H2;
	int events = (full || jammed ? 0 : UV_READABLE) | (c->stash.n > c->stash_at ? UV_WRITABLE : 0);
	if (events == c->events)
		return;
	c->events = events;
	if (events)
		uv_poll_start(&c->poll, events, on_poll);
	else
		uv_poll_stop(&c->poll);
}

struct http_conn *http_conn_new(struct http_loop *l, int fd, const char *remote)
{
	struct http_conn *c = HEAP_NEW(struct http_conn);
	c->io = (struct tls_io){ wire_recv, wire_send };
	c->loop = l;
	c->fd = fd;
	c->dl.kind = HTTP_DL_NONE;
	snprintf(c->remote, sizeof(c->remote), "%s", remote);
	c->next = l->conns;
	if (c->next)
		c->next->prev = c;
	l->conns = c;
	c->state = HTTP_SNIFF;
	c->draining = l->stopping;
	if (l->server->tls && fd >= 0) {
		c->state = HTTP_HANDSHAKE;
		c->ssl = tls_server_session(l->server->tls);
		tls_attach(l->server->tls, c->ssl, &c->io);
	}
	http_deadline_set(l, &c->dl, HTTP_DL_HEAD, true);
	if (fd < 0)
		return c;
	if (uv_poll_init(&l->uv, &c->poll, fd) != 0) {
		c->fd = -1; // never polled: torn down without a handle
		close(fd);
		http_conn_kill(c);
		return c;
	}
	c->poll.data = c;
	http_conn_watch(c);
	return c;
}

void http_conn_drain(struct http_conn *c)
{
	bool again = c->draining && c->state == HTTP_H2;
	c->draining = true;
	if (c->state == HTTP_H2)
		http_h2_drain(c, again);
	else if (c->state != HTTP_H1 || !c->current)
		http_conn_kill(c);
	else
		c->close_after = true;
}

static void on_idle(uv_idle_t *h)
{
	(void)h;
}

void http_loop_round(struct http_loop *l)
{
	struct http_conn *c = l->dirty;
	l->dirty = NULL;
	l->dirty_tail = &l->dirty;
	for (struct http_conn *next; c; c = next) {
		next = c->next_dirty;
		c->dirty = false;
		if (c->dead)
			teardown(c);
		else
			http_conn_flush(c);
	}
	// What became dirty meanwhile waits for the next round, which then comes without waiting for events.
	if (l->dirty)
		uv_idle_start(&l->idle, on_idle);
	else
		uv_idle_stop(&l->idle);
}
