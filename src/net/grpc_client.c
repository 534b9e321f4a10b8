#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/heap.h"
#include "net/grpc.h"
#include "net/grpc_conn.h"
#include "net/http.h"
#include "net/transport.h"

enum { MAX_MESSAGE = 64 << 20, CONNECT_MS = 10000, AHEAD = 4 << 20 };

struct grpc_client {
	char *unix_path, *host;
	int port;
	pthread_mutex_t lock;
	struct grpc_conn *conn;
};

// A call while it runs; on the stack of its caller, known to its stream until that is closed. Guarded by conn->lock.
struct call {
	struct call *next; // of the connection's calls, which begin at its `owner`
	struct grpc_conn *conn;
	int32_t stream;
	char prefix[GRPC_PREFIX];
	str request;
	size_t sent;       // of prefix and request together
	bool streaming;    // a slow reader of such a call slows the server: at most AHEAD bytes wait for it
	struct buf in;     // received and not yet handed on, from at
	size_t at, taken;  // taken: bytes that the caller's thread holds meanwhile
	size_t owed;       // bytes whose window has not been given back to the server
	bool done, failed; // failed: we gave up; the stream is reset
	int http_status;
	bool is_grpc;
	int status;         // grpc-status; -1: none came
	struct buf message; // grpc-message, decoded
	uint32_t reset;     // error code that the stream was closed with
	bool lost;          // the connection broke
	struct error err;
};

struct grpc_client *grpc_client_new(const char *unix_path)
{
	struct grpc_client *c = HEAP_NEW(struct grpc_client);
	c->unix_path = heap_cstr(str_c(unix_path));
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

struct grpc_client *grpc_client_new_tcp(const char *host, int port)
{
	struct grpc_client *c = HEAP_NEW(struct grpc_client);
	c->host = heap_cstr(str_c(host));
	c->port = port;
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

static void conn_drop(struct grpc_conn *c, bool now)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	if (now || c->dead) {
		grpc_conn_kill(c);
		pthread_mutex_unlock(&c->lock);
		pthread_join(c->thread, NULL);
	} else {
		// Calls still run on it; it ends when the last one does.
		nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0);
		grpc_conn_flush(c);
		grpc_conn_wake(c);
		pthread_detach(c->thread);
		pthread_mutex_unlock(&c->lock);
	}
	grpc_conn_unref(c);
}

void grpc_client_free(struct grpc_client *c)
{
	if (!c)
		return;
	conn_drop(c->conn, true);
	pthread_mutex_destroy(&c->lock);
	free(c->unix_path);
	free(c->host);
	free(c);
}

// --- nghttp2's callbacks; all run with the connection's lock ---

static struct call *stream_call(nghttp2_session *session, int32_t stream)
{
	return stream > 0 ? nghttp2_session_get_stream_user_data(session, stream) : NULL;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t namelen,
                     const uint8_t *value, size_t valuelen, uint8_t flags, void *user)
{
	struct call *k = stream_call(session, frame->hd.stream_id);
	str n = str_n((const char *)name, namelen), v = str_n((const char *)value, valuelen);
	uint64_t number;
	(void)flags;
	(void)user;
	if (!k)
		return 0;
	if (str_eq(n, S(":status")) && str_to_u64(v, &number)) {
		k->http_status = (int)number;
	} else if (str_eq(n, S("content-type"))) {
		k->is_grpc = str_has_prefix(v, S("application/grpc"));
	} else if (str_eq(n, S("grpc-status")) && str_to_u64(v, &number)) {
		k->status = number <= GRPC_UNAUTHENTICATED ? (int)number : GRPC_UNKNOWN;
	} else if (str_eq(n, S("grpc-message"))) {
		buf_clear(&k->message);
		grpc_message_decode(&k->message, str_sub(v, 0, 16384));
	}
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t len, void *user)
{
	struct call *k = stream_call(session, stream);
	(void)flags;
	(void)user;
	nghttp2_session_consume_connection(session, len);
	if (!k || k->failed) {
		nghttp2_session_consume_stream(session, stream, len);
		return 0;
	}
	buf_add(&k->in, str_n((const char *)data, len));
	if (!k->streaming || k->taken + k->in.n - k->at < AHEAD)
		nghttp2_session_consume_stream(session, stream, len);
	else
		k->owed += len;
	if (!k->streaming && k->in.n > MAX_MESSAGE + GRPC_PREFIX) {
		k->failed = true;
		grpc_error(&k->err, GRPC_RESOURCE_EXHAUSTED, "grpc: received message larger than max (%zu vs. %d)",
		           k->in.n, MAX_MESSAGE);
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
	}
	if (k->streaming)
		pthread_cond_broadcast(&k->conn->changed);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t code, void *user)
{
	struct call *k = stream_call(session, stream);
	(void)user;
	if (!k)
		return 0;
	k->done = true;
	k->reset = code;
	nghttp2_session_set_stream_user_data(session, stream, NULL);
	pthread_cond_broadcast(&k->conn->changed);
	return 0;
}

// A stream that cannot be begun (the server is going away) never gets as far as being closed.
static int on_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int why, void *user)
{
	(void)session;
	(void)why;
	if (frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	for (struct call *k = ((struct grpc_conn *)user)->owner; k; k = k->next) {
		if (k->stream != frame->hd.stream_id)
			continue;
		k->done = true;
		k->reset = NGHTTP2_REFUSED_STREAM;
		pthread_cond_broadcast(&k->conn->changed);
	}
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	(void)session;
	if (frame->hd.type == NGHTTP2_GOAWAY)
		((struct grpc_conn *)user)->goaway = true;
	return 0;
}

static ssize_t read_request(nghttp2_session *session, int32_t stream, uint8_t *to, size_t n, uint32_t *flags,
                            nghttp2_data_source *source, void *user)
{
	struct call *k = stream_call(session, stream);
	(void)source;
	(void)user;
	if (!k)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	size_t done = 0;
	if (k->sent < GRPC_PREFIX) {
		done = MIN(n, GRPC_PREFIX - k->sent);
		memcpy(to, k->prefix + k->sent, done);
		k->sent += done;
	}
	if (k->sent >= GRPC_PREFIX) {
		str rest = str_sub(str_from(k->request, k->sent - GRPC_PREFIX), 0, n - done);
		if (rest.n)
			memcpy(to + done, rest.p, rest.n);
		k->sent += rest.n;
		done += rest.n;
	}
	if (k->sent == GRPC_PREFIX + k->request.n)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)done;
}

// --- Connections ---

static struct grpc_conn *connect_server(struct grpc_client *c, int64_t deadline, struct error *err)
{
	int64_t limit = transport_deadline(CONNECT_MS);
	if (deadline && deadline < limit)
		limit = deadline;
	struct error why = { 0 };
	int fd = transport_dial(c->unix_path, str_c(c->host), c->port, limit, &why);
	if (fd < 0) {
		grpc_error(err, GRPC_UNAVAILABLE, "connection error: desc = \"transport: Error while dialing: %s\"",
		           why.text);
		return NULL;
	}
	struct grpc_conn *conn = grpc_conn_new(fd);
	nghttp2_session_callbacks *cb;
	nghttp2_option *option;
	if (nghttp2_session_callbacks_new(&cb) != 0 || nghttp2_option_new(&option) != 0)
		heap_exhausted(sizeof(*conn));
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_not_sent);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_option_set_no_auto_window_update(option, 1);
	if (nghttp2_session_client_new2(&conn->session, cb, conn, option) != 0)
		heap_exhausted(sizeof(*conn));
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(option);
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, GRPC_STREAM_WINDOW },
	};
	nghttp2_submit_settings(conn->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
	nghttp2_session_set_local_window_size(conn->session, NGHTTP2_FLAG_NONE, 0, GRPC_CONNECTION_WINDOW);
	if (!grpc_conn_start(conn, &why)) {
		grpc_conn_unref(conn);
		grpc_error(err, GRPC_UNAVAILABLE, "%s", why.text);
		return NULL;
	}
	return conn;
}

// A reference to a connection that takes new calls.
static struct grpc_conn *conn_get(struct grpc_client *c, int64_t deadline, struct error *err)
{
	pthread_mutex_lock(&c->lock);
	if (c->conn) {
		pthread_mutex_lock(&c->conn->lock);
		bool good =
		        !c->conn->dead && !c->conn->goaway && nghttp2_session_check_request_allowed(c->conn->session);
		pthread_mutex_unlock(&c->conn->lock);
		if (!good) {
			conn_drop(c->conn, false);
			c->conn = NULL;
		}
	}
	if (!c->conn)
		c->conn = connect_server(c, deadline, err);
	struct grpc_conn *conn = c->conn ? grpc_conn_ref(c->conn) : NULL;
	pthread_mutex_unlock(&c->lock);
	return conn;
}

// --- Calls ---

#define NV(name_, value_) \
	{ \
		(uint8_t *)(uintptr_t)(name_), (uint8_t *)(uintptr_t)(value_).p, sizeof(name_) - 1, (value_).n, \
		        NGHTTP2_NV_FLAG_NONE \
	}

// With the connection's lock.
static bool begin(struct grpc_client *c, struct call *k, const char *method, int64_t deadline, struct error *err)
{
	char timeout[24] = "", authority[300] = "localhost";
	if (c->host)
		snprintf(authority, sizeof(authority), strchr(c->host, ':') ? "[%s]:%d" : "%s:%d", c->host, c->port);
	if (deadline) {
		int64_t ms = MAX((deadline - clock_mono(NULL) + NS_PER_MS - 1) / NS_PER_MS, INT64_C(1));
		if (ms < 100000000)
			snprintf(timeout, sizeof(timeout), "%dm", (int)ms);
		else
			snprintf(timeout, sizeof(timeout), "%dS", (int)MIN(ms / 1000, INT64_C(99999999)));
	}
	const nghttp2_nv nv[] = {
		NV(":method", S("POST")),
		NV(":scheme", S("http")),
		NV(":path", str_c(method)),
		NV(":authority", str_c(authority)),
		NV("content-type", S("application/grpc")),
		NV("user-agent", S("grpc-coracle/" CORACLE_VERSION)),
		NV("te", S("trailers")),
		NV("grpc-timeout", str_c(timeout)), // last: left out when there is none
	};
	nghttp2_data_provider body = { .read_callback = read_request };
	int32_t id = nghttp2_submit_request(k->conn->session, NULL, nv, ARRAY_LEN(nv) - (timeout[0] ? 0 : 1), &body, k);
	if (id < 0)
		return grpc_error(err, GRPC_UNAVAILABLE, "cannot begin a stream: %s", nghttp2_strerror(id));
	k->stream = id;
	grpc_conn_flush(k->conn);
	return true;
}

// Waits for a change; false after the deadline.
static bool await(struct call *k, int64_t deadline)
{
	if (!deadline)
		return pthread_cond_wait(&k->conn->changed, &k->conn->lock) == 0;
	struct timespec ts = { .tv_sec = deadline / NS_PER_SEC, .tv_nsec = deadline % NS_PER_SEC };
	return pthread_cond_timedwait(&k->conn->changed, &k->conn->lock, &ts) != ETIMEDOUT;
}

static void give_up(struct call *k)
{
	if (!k->done && !k->conn->dead) {
		nghttp2_session_set_stream_user_data(k->conn->session, k->stream, NULL);
		nghttp2_submit_rst_stream(k->conn->session, NGHTTP2_FLAG_NONE, k->stream, NGHTTP2_CANCEL);
		grpc_conn_flush(k->conn);
	}
	k->done = true;
}

static enum grpc_code of_http(int status)
{
	switch (status) {
	case 400:
		return GRPC_INTERNAL;
	case 401:
		return GRPC_UNAUTHENTICATED;
	case 403:
		return GRPC_PERMISSION_DENIED;
	case 404:
		return GRPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return GRPC_UNAVAILABLE;
	default:
		return GRPC_UNKNOWN;
	}
}

static enum grpc_code of_reset(uint32_t code)
{
	switch (code) {
	case NGHTTP2_REFUSED_STREAM:
		return GRPC_UNAVAILABLE;
	case NGHTTP2_CANCEL:
		return GRPC_CANCELLED;
	case NGHTTP2_ENHANCE_YOUR_CALM:
		return GRPC_RESOURCE_EXHAUSTED;
	case NGHTTP2_INADEQUATE_SECURITY:
		return GRPC_PERMISSION_DENIED;
	default:
		return GRPC_INTERNAL;
	}
}

// The outcome of a call whose stream is closed.
static bool outcome(struct call *k, struct error *err)
{
	if (k->failed) {
		*err = k->err;
		return false;
	}
	if (k->status == GRPC_OK)
		return true;
	if (k->status > 0)
		return grpc_error(err, (enum grpc_code)k->status, STR_FMT, STR_ARG(buf_str(&k->message)));
	if (k->lost)
		return grpc_error(err, GRPC_UNAVAILABLE, "error reading from server: EOF");
	if (k->http_status && k->http_status != 200)
		return grpc_error(err, of_http(k->http_status),
		                  "unexpected HTTP status code received from server: %d (%s)", k->http_status,
		                  http_status_text(k->http_status));
	if (k->reset != NGHTTP2_NO_ERROR)
		return grpc_error(err, of_reset(k->reset), "stream terminated by RST_STREAM with error code: %s",
		                  nghttp2_http2_strerror(k->reset));
	if (k->http_status && !k->is_grpc)
		return grpc_error(err, GRPC_UNKNOWN, "malformed header: missing HTTP content-type");
	return grpc_error(err, GRPC_INTERNAL, "server closed the stream without sending trailers");
}

static void pay_back(struct call *k)
{
	if (k->owed && !k->done && !k->conn->dead) {
		nghttp2_session_consume_stream(k->conn->session, k->stream, k->owed);
		grpc_conn_flush(k->conn);
	}
	k->owed = 0;
}

// Hands on what is there. False when the call is over for us (err filled, or *stop).
static bool hand_on(struct call *k, bool (*on_message)(str, void *), void *ctx, int64_t deadline, bool *stop,
                    struct error *err)
{
	str m;
	int r;
	while ((r = grpc_next_message(&k->in, &k->at, MAX_MESSAGE, &m, err)) > 0) {
		// The callback runs without the lock: what came is taken out of the other thread's reach first.
		struct buf mine = k->in;
		size_t at = k->at;
		k->in = (struct buf){ 0 };
		k->at = 0;
		k->taken = mine.n - at;
		pthread_mutex_unlock(&k->conn->lock);
		bool go_on = on_message(m, ctx);
		pthread_mutex_lock(&k->conn->lock);
		if (at > AHEAD / 16) {
			buf_consume(&mine, at);
			at = 0;
		}
		buf_add(&mine, buf_str(&k->in));
		buf_free(&k->in);
		k->in = mine;
		k->at = at;
		k->taken = 0;
		if (!go_on) {
			*stop = true;
			return false;
		}
		if (deadline && clock_mono(NULL) > deadline)
			return grpc_error(err, GRPC_DEADLINE_EXCEEDED, "context deadline exceeded");
		if (k->in.n - k->at < AHEAD / 2)
			pay_back(k);
	}
	if (k->at) {
		buf_consume(&k->in, k->at);
		k->at = 0;
	}
	if (r == 0)
		pay_back(k); // everything whole has been handed on; a large message needs its window to become whole
	return r >= 0;
}

static bool run_call(struct grpc_client *c, struct arena *a, const char *method, str request, str *response,
                     bool (*on_message)(str, void *), void *ctx, int timeout_ms, struct error *err)
{
	int64_t deadline = transport_deadline(timeout_ms);
	if (request.n > UINT32_MAX)
		return grpc_error(err, GRPC_RESOURCE_EXHAUSTED, "the request is too large");
	for (int attempt = 0;; attempt++) {
		struct call k = { .status = -1, .request = request, .streaming = on_message != NULL };
		grpc_prefix(k.prefix, request.n);
		k.conn = conn_get(c, deadline, err);
		if (!k.conn)
			return false;
		bool ok = true, stop = false, started = false;
		pthread_mutex_lock(&k.conn->lock);
		k.next = k.conn->owner;
		k.conn->owner = &k;
		if (k.conn->dead || k.conn->goaway)
			k.reset = NGHTTP2_REFUSED_STREAM;
		else
			started = ok = begin(c, &k, method, deadline, err);
		while (ok && !stop && started) {
			if (on_message && !hand_on(&k, on_message, ctx, deadline, &stop, err)) {
				ok = stop;
				break;
			}
			if (k.done || k.failed)
				break;
			if (k.conn->dead) {
				k.lost = k.done = true;
				continue;
			}
			if (!await(&k, deadline))
				ok = grpc_error(err, GRPC_DEADLINE_EXCEEDED, "context deadline exceeded");
		}
		if (started)
			give_up(&k);
		for (struct call **at = (struct call **)(void *)&k.conn->owner;; at = &(*at)->next) {
			if (*at == &k) {
				*at = k.next;
				break;
			}
		}
		if (k.conn->goaway)
			grpc_conn_wake(k.conn); // this may have been the last call
		// A stream that the server never looked at is tried once more, on another connection.
		bool again = ok && !stop && attempt == 0 && k.status < 0 &&
		             (k.reset == NGHTTP2_REFUSED_STREAM || (k.lost && k.sent == 0));
		if (again)
			k.conn->goaway = true;
		pthread_mutex_unlock(&k.conn->lock);
		if (ok && stop)
			ok = grpc_error(err, GRPC_CANCELLED, "context canceled");
		else if (ok && !again)
			ok = outcome(&k, err);
		if (ok && !again && response) {
			int r = grpc_next_message(&k.in, &k.at, MAX_MESSAGE, response, err);
			if (r == 0)
				grpc_error(err, GRPC_INTERNAL,
				           "cardinality violation: received no response message from "
				           "non-server-streaming RPC");
			ok = r > 0;
			if (ok)
				*response = arena_dup(a, *response);
		}
		buf_free(&k.in);
		buf_free(&k.message);
		grpc_conn_unref(k.conn);
		if (!again)
			return ok;
	}
}

bool grpc_call(struct grpc_client *c, struct arena *a, const char *method, str request, str *response, int timeout_ms,
               struct error *err)
{
	return run_call(c, a, method, request, response, NULL, NULL, timeout_ms, err);
}

bool grpc_call_stream(struct grpc_client *c, const char *method, str request,
                      bool (*on_message)(str message, void *ctx), void *ctx, int timeout_ms, struct error *err)
{
	return run_call(c, NULL, method, request, NULL, on_message, ctx, timeout_ms, err);
}
