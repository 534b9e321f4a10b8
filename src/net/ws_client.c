#include <errno.h>
#include <pthread.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/heap.h"
#include "base/random.h"
#include "net/http1.h"
#include "net/http_stream.h"
#include "net/ws_internal.h"

enum { MAX_MESSAGE = 16 << 20, MAX_REFUSAL = 1 << 20, WRITE_MS = 60000, READ_SIZE = 16384 };

struct message {
	struct message *next;
	enum ws_opcode op;
	size_t n;
	char bytes[];
};

struct ws_client {
	struct transport *t;
	pthread_mutex_t lock;       // guards everything of wslay's and the queues
	pthread_mutex_t write_lock; // held while bytes go out, so that they go in order
	wslay_event_context_ptr ws;
	str in;
	struct buf out;
	struct buf first; // what came with the answer's head
	struct message *head, **tail;
	size_t fragments;
	bool closed, shut; // the peer has said goodbye; we have
	int code;
	struct buf reason;
	char data[READ_SIZE]; // the reader's
};

static ssize_t on_recv(wslay_event_context_ptr ws, uint8_t *to, size_t n, int flags, void *user)
{
	struct ws_client *w = user;
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
	struct ws_client *w = user;
	(void)ws;
	(void)flags;
	buf_add(&w->out, str_n((const char *)from, n));
	return (ssize_t)n;
}

static int on_mask(wslay_event_context_ptr ws, uint8_t *to, size_t n, void *user)
{
	(void)ws;
	(void)user;
	rng_fill(NULL, to, n);
	return 0;
}

static void on_frame(wslay_event_context_ptr ws, const struct wslay_event_on_frame_recv_start_arg *f, void *user)
{
	struct ws_client *w = user;
	if (f->opcode == WSLAY_CONTINUATION_FRAME && ++w->fragments > WS_MAX_FRAGMENTS)
		wslay_event_shutdown_read(ws);
	else if (f->opcode == WSLAY_TEXT_FRAME || f->opcode == WSLAY_BINARY_FRAME)
		w->fragments = 0;
}

static void on_msg(wslay_event_context_ptr ws, const struct wslay_event_on_msg_recv_arg *m, void *user)
{
	struct ws_client *w = user;
	(void)ws;
	if (m->opcode == WSLAY_CONNECTION_CLOSE) {
		w->closed = true;
		w->code = m->status_code ? m->status_code : WSLAY_CODE_NO_STATUS_RCVD;
		if (m->msg_length > 2)
			buf_add(&w->reason, str_n((const char *)m->msg + 2, m->msg_length - 2));
	} else if (m->opcode == WSLAY_TEXT_FRAME || m->opcode == WSLAY_BINARY_FRAME) {
		struct message *k = heap_alloc(sizeof(*k) + m->msg_length);
		*k = (struct message){ .op = (enum ws_opcode)m->opcode, .n = m->msg_length };
		if (k->n)
			memcpy(k->bytes, m->msg, k->n);
		*w->tail = k;
		w->tail = &k->next;
	}
}

static struct ws_client *client_new(struct transport *t)
{
	static const struct wslay_event_callbacks callbacks = {
		.recv_callback = on_recv,
		.send_callback = on_send,
		.genmask_callback = on_mask,
		.on_frame_recv_start_callback = on_frame,
		.on_msg_recv_callback = on_msg,
	};
	struct ws_client *w = HEAP_NEW(struct ws_client);
	w->t = t;
	w->tail = &w->head;
	pthread_mutex_init(&w->lock, NULL);
	pthread_mutex_init(&w->write_lock, NULL);
	if (wslay_event_context_client_init(&w->ws, &callbacks, w) != 0)
		heap_exhausted(sizeof(*w));
	wslay_event_config_set_max_recv_msg_length(w->ws, MAX_MESSAGE);
	return w;
}

// Reads the body of an answer that is no 101, for its words.
static void read_refusal(struct http_stream_in *s, struct arena *a, struct http_answer *refused)
{
	_cleanup_buf_ struct buf b = { 0 };
	struct error ignored = { 0 };
	ssize_t n;
	while (b.n < MAX_REFUSAL && (n = http_stream_read(s, buf_reserve(&b, 4096), 4096, 5000, &ignored)) > 0)
		b.n += (size_t)n;
	refused->body = arena_dup(a, buf_str(&b));
}

struct ws_client *ws_connect(struct http_client *c, struct arena *a, const struct http_call *call, str protocols,
                             str *chosen, struct http_answer *refused, struct error *err)
{
	char random[16];
	rng_fill(NULL, random, sizeof(random));
	str key = base64_encode(a, str_n(random, sizeof(random)));
	struct http_call up = *call;
	struct http_headers headers = { 0 };
	for (size_t i = 0; i < call->headers.n; i++)
		http_header_add(a, &headers, call->headers.v[i].name, call->headers.v[i].value);
	http_header_add(a, &headers, S("Connection"), S("Upgrade"));
	http_header_add(a, &headers, S("Upgrade"), S("websocket"));
	http_header_add(a, &headers, S("Sec-WebSocket-Version"), S("13"));
	http_header_add(a, &headers, S("Sec-WebSocket-Key"), key);
	if (protocols.n)
		http_header_add(a, &headers, S("Sec-WebSocket-Protocol"), protocols);
	up.headers = headers;
	up.method = "GET";
	up.body = (str){ 0 };
	struct http_answer head;
	struct http_stream_in *s = http_client_open(c, a, &up, &head, err);
	if (!s)
		return NULL;
	if (head.status != 101) {
		read_refusal(s, a, &head);
		*refused = head;
		error_api(err, head.status, "UpgradeFailure", "websocket: bad handshake (%d %s)", head.status,
		          http_status_text(head.status));
		http_stream_in_close(s);
		return NULL;
	}
	str protocol = http_header(&head.headers, S("sec-websocket-protocol"));
	bool offered = protocol.n == 0;
	for (str rest = protocols, part; str_next(&rest, ',', &part);)
		offered |= str_eq(str_trim(part), protocol);
	if (!str_eq(http_header(&head.headers, S("sec-websocket-accept")), ws_accept_key(a, key)) || !offered ||
	    !http1_has_token(http_header(&head.headers, S("upgrade")), S("websocket"))) {
		http_stream_in_abort(s);
		http_stream_in_close(s);
		error_set(err, "websocket: the server's handshake is not an answer to ours");
		return NULL;
	}
	struct buf rest = { 0 };
	struct transport *t = http_stream_take(s, &rest);
	http_stream_in_close(s);
	struct ws_client *w = client_new(t);
	w->first = rest;
	*chosen = arena_dup(a, protocol);
	return w;
}

// Sends what wslay has put into `out`.
static bool flush(struct ws_client *w, struct error *err)
{
	pthread_mutex_lock(&w->write_lock);
	pthread_mutex_lock(&w->lock);
	wslay_event_send(w->ws);
	struct buf out = w->out;
	w->out = (struct buf){ 0 };
	pthread_mutex_unlock(&w->lock);
	bool ok = transport_write(w->t, buf_str(&out), transport_deadline(WRITE_MS), err);
	pthread_mutex_unlock(&w->write_lock);
	buf_free(&out);
	return ok;
}

static bool closed_now(struct ws_client *w, struct arena *a, str *message, int *close_code, struct error *err)
{
	*err = (struct error){ 0 };
	*message = arena_dup(a, buf_str(&w->reason));
	*close_code = w->code;
	return false;
}

bool ws_read(struct ws_client *w, struct arena *a, enum ws_opcode *op, str *message, int *close_code, int timeout_ms,
             struct error *err)
{
	int64_t deadline = transport_deadline(timeout_ms);
	*close_code = 0;
	for (;;) {
		pthread_mutex_lock(&w->lock);
		struct message *m = w->head;
		if (m) {
			w->head = m->next;
			if (!w->head)
				w->tail = &w->head;
		}
		bool over = !m && (w->closed || w->shut);
		pthread_mutex_unlock(&w->lock);
		if (m) {
			*op = m->op;
			*message = arena_dup(a, str_n(m->bytes, m->n));
			free(m);
			return true;
		}
		if (over)
			return closed_now(w, a, message, close_code, err);
		str bytes = buf_str(&w->first);
		if (bytes.n == 0) {
			ssize_t n = transport_read(w->t, w->data, sizeof(w->data), deadline, err);
			pthread_mutex_lock(&w->lock);
			bool shut = w->shut;
			pthread_mutex_unlock(&w->lock);
			if (n <= 0 && shut)
				return closed_now(w, a, message, close_code, err);
			if (n < 0)
				return false;
			if (n == 0) {
				*close_code = WSLAY_CODE_ABNORMAL_CLOSURE;
				return error_set(err, "websocket: close 1006 (abnormal closure): unexpected EOF");
			}
			bytes = str_n(w->data, (size_t)n);
		}
		pthread_mutex_lock(&w->lock);
		w->in = bytes;
		bool ok = wslay_event_recv(w->ws) == 0;
		w->in = (str){ 0 };
		bool answer = wslay_event_want_write(w->ws), reading = wslay_event_get_read_enabled(w->ws);
		int sent = wslay_event_get_status_code_sent(w->ws);
		bool closed = w->closed;
		pthread_mutex_unlock(&w->lock);
		buf_free(&w->first);
		struct error ignored = { 0 };
		if (answer)
			flush(w, closed ? &ignored : err);
		if (!ok || (!reading && !closed)) {
			*close_code = sent ? sent : WSLAY_CODE_PROTOCOL_ERROR;
			return error_set(err, "websocket: the server broke the protocol");
		}
	}
}

bool ws_write(struct ws_client *w, enum ws_opcode op, str message, struct error *err)
{
	struct wslay_event_msg m = { .opcode = (uint8_t)op,
		                     .msg = (const uint8_t *)message.p,
		                     .msg_length = message.n };
	pthread_mutex_lock(&w->lock);
	bool ok = !w->closed && !w->shut && wslay_event_queue_msg(w->ws, &m) == 0;
	pthread_mutex_unlock(&w->lock);
	if (!ok)
		return error_set(err, "websocket: close sent");
	return flush(w, err);
}

void ws_shutdown(struct ws_client *w, int code, str reason)
{
	struct error ignored = { 0 };
	pthread_mutex_lock(&w->lock);
	if (!w->shut && !w->closed) {
		wslay_event_queue_close(w->ws, (uint16_t)code, (const uint8_t *)reason.p, MIN(reason.n, (size_t)123));
		w->code = code;
		buf_clear(&w->reason);
		buf_add(&w->reason, reason);
	}
	w->shut = true;
	pthread_mutex_unlock(&w->lock);
	flush(w, &ignored);
	transport_abort(w->t);
}

void ws_free(struct ws_client *w)
{
	if (!w)
		return;
	for (struct message *m = w->head, *next; m; m = next) {
		next = m->next;
		free(m);
	}
	wslay_event_context_free(w->ws);
	transport_close(w->t);
	buf_free(&w->out);
	buf_free(&w->first);
	buf_free(&w->reason);
	pthread_mutex_destroy(&w->lock);
	pthread_mutex_destroy(&w->write_lock);
	free(w);
}
