#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/io.h"
#include "base/log.h"
#include "net/grpc.h"
#include "net/grpc_conn.h"
#include "net/transport.h"

enum {
	MAX_REQUEST = 16 << 20,
	MAX_CONNECTIONS = 256,
	MAX_STREAMS = 250,
	IDLE_WORKER_S = 10,
	SEND_AHEAD = 1 << 20, // a streaming handler waits while more than this is unsent
};

struct grpc_server_call {
	struct grpc_server *server;
	struct grpc_conn *conn;
	int32_t stream;
	atomic_int refs; // the stream's and the worker's
	const struct grpc_method *method;
	struct arena *arena;
	struct buf path, in;
	bool refused; // answered without its handler
	bool got_post, got_type;
	int64_t deadline;
	atomic_bool gone;                       // the stream is closed
	struct grpc_server_call *newer, *older; // of the connection's open streams; guarded by conn->lock
	struct grpc_server_call *next;          // in the queue of calls that wait for a worker
	// Guarded by conn->lock.
	struct buf out;
	size_t out_at;
	bool answering; // the answer's head is submitted
	bool finished;
	int status;
	struct buf message;
};

struct connection { // on conn->owner
	struct grpc_server *server;
	struct connection *next;
	struct grpc_conn *conn;
	struct grpc_server_call *calls; // open streams, the newest first
	bool ended;
};

struct grpc_server {
	struct grpc_server_opts o;
	char *path;
	int fd, wake;
	pthread_t acceptor;
	pthread_mutex_t lock;
	pthread_cond_t work, quiet;
	struct connection *connections;
	size_t nconnections;
	struct grpc_server_call *head, **tail; // calls that wait
	int threads, idle;
	bool stopping;
};

static void call_unref(struct grpc_server_call *k)
{
	if (atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) != 1)
		return;
	buf_free(&k->path);
	buf_free(&k->in);
	buf_free(&k->out);
	buf_free(&k->message);
	arena_free(k->arena);
	grpc_conn_unref(k->conn);
	free(k);
}

// --- Answers; with the connection's lock ---

static ssize_t read_answer(nghttp2_session *session, int32_t stream, uint8_t *to, size_t n, uint32_t *flags,
                           nghttp2_data_source *source, void *user);

#define NV(name_, value_) \
	{ \
		(uint8_t *)(uintptr_t)(name_), (uint8_t *)(uintptr_t)(value_).p, sizeof(name_) - 1, (value_).n, \
		        NGHTTP2_NV_FLAG_NONE \
	}

static void submit_head(struct grpc_server_call *k)
{
	const nghttp2_nv nv[] = { NV(":status", S("200")), NV("content-type", S("application/grpc")) };
	nghttp2_data_provider body = { .read_callback = read_answer };
	if (!k->answering && !atomic_load(&k->gone) && !k->conn->dead)
		nghttp2_submit_response(k->conn->session, k->stream, nv, ARRAY_LEN(nv), &body);
	k->answering = true;
}

static void submit_end(struct grpc_server_call *k, bool only)
{
	char status[12];
	snprintf(status, sizeof(status), "%d", k->status);
	_cleanup_buf_ struct buf message = { 0 };
	grpc_message_encode(&message, buf_str(&k->message));
	const nghttp2_nv nv[] = {
		NV(":status", S("200")),
		NV("content-type", S("application/grpc")),
		NV("grpc-status", str_c(status)),
		NV("grpc-message", buf_str(&message)),
	};
	size_t n = k->message.n ? 4 : 3;
	if (only)
		nghttp2_submit_response(k->conn->session, k->stream, nv, n, NULL);
	else
		nghttp2_submit_trailer(k->conn->session, k->stream, nv + 2, n - 2);
}

static ssize_t read_answer(nghttp2_session *session, int32_t stream, uint8_t *to, size_t n, uint32_t *flags,
                           nghttp2_data_source *source, void *user)
{
	struct grpc_server_call *k = nghttp2_session_get_stream_user_data(session, stream);
	(void)source;
	(void)user;
	if (!k)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	size_t have = MIN(n, k->out.n - k->out_at);
	if (have)
		memcpy(to, k->out.p + k->out_at, have);
	k->out_at += have;
	if (k->out_at == k->out.n) {
		k->out.n = k->out_at = 0;
		if (k->finished) {
			*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
			submit_end(k, false);
		} else if (have == 0) {
			return NGHTTP2_ERR_DEFERRED;
		}
	}
	if (have && k->out.n - k->out_at < SEND_AHEAD)
		pthread_cond_broadcast(&k->conn->changed);
	return (ssize_t)have;
}

static void finish(struct grpc_server_call *k, int status, str message)
{
	k->finished = true;
	k->status = status;
	buf_add(&k->message, str_sub(message, 0, 8192));
	if (atomic_load(&k->gone) || k->conn->dead)
		return;
	if (!k->answering && k->out.n == 0) {
		k->answering = true;
		submit_end(k, true);
	} else {
		submit_head(k);
		nghttp2_session_resume_data(k->conn->session, k->stream);
	}
}

bool grpc_cancelled(const struct grpc_server_call *k)
{
	return atomic_load(&k->gone) || (k->deadline && clock_mono(NULL) > k->deadline);
}

bool grpc_send(struct grpc_server_call *k, str message)
{
	char prefix[GRPC_PREFIX];
	grpc_prefix(prefix, message.n);
	pthread_mutex_lock(&k->conn->lock);
	while (k->out.n - k->out_at > SEND_AHEAD && !k->conn->dead && !grpc_cancelled(k)) {
		int64_t until = clock_mono(NULL) + NS_PER_SEC; // the deadline is looked at now and then
		struct timespec ts = { .tv_sec = until / NS_PER_SEC, .tv_nsec = until % NS_PER_SEC };
		pthread_cond_timedwait(&k->conn->changed, &k->conn->lock, &ts);
	}
	bool ok = !k->conn->dead && !grpc_cancelled(k);
	if (ok) {
		if (k->out_at) {
			buf_consume(&k->out, k->out_at);
			k->out_at = 0;
		}
		buf_add(&k->out, str_n(prefix, sizeof(prefix)));
		buf_add(&k->out, message);
		submit_head(k);
		nghttp2_session_resume_data(k->conn->session, k->stream);
		grpc_conn_flush(k->conn);
	}
	pthread_mutex_unlock(&k->conn->lock);
	return ok;
}

// --- Workers ---

static void serve(struct grpc_server_call *k)
{
	struct error err = { 0 };
	_cleanup_buf_ struct buf response = { 0 };
	str request;
	size_t at = 0;
	bool ok, unary = k->method->unary != NULL;
	k->arena = arena_new(0);
	int r = grpc_next_message(&k->in, &at, MAX_REQUEST, &request, &err);
	if (r == 0)
		grpc_error(&err, GRPC_INTERNAL,
		           "cardinality violation: received no request message from non-client-streaming RPC");
	if (grpc_cancelled(k))
		ok = grpc_error(&err, GRPC_DEADLINE_EXCEEDED,
		                "context deadline exceeded"); // it has waited for too long
	else if (r <= 0)
		ok = false;
	else if (unary)
		ok = k->method->unary(k, k->arena, request, &response, k->server->o.ctx, &err);
	else
		ok = k->method->stream(k, k->arena, request, k->server->o.ctx, &err);
	if (!ok && err.sys <= 0)
		err.sys = GRPC_UNKNOWN;
	if (!ok && err.sys > GRPC_UNAUTHENTICATED)
		err.sys = GRPC_UNKNOWN; // an errno that went astray
	pthread_mutex_lock(&k->conn->lock);
	if (ok && unary) {
		char prefix[GRPC_PREFIX];
		grpc_prefix(prefix, response.n);
		buf_reserve(&k->out, GRPC_PREFIX + response.n);
		buf_add(&k->out, str_n(prefix, sizeof(prefix)));
		buf_add(&k->out, buf_str(&response));
	}
	if (ok)
		submit_head(k);
	finish(k, ok ? GRPC_OK : err.sys, ok ? S("") : error_str(&err));
	grpc_conn_flush(k->conn);
	pthread_mutex_unlock(&k->conn->lock);
	call_unref(k);
}

static void *worker(void *arg)
{
	struct grpc_server *s = arg;
	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (!s->head && !s->stopping) {
			int64_t until = clock_mono(NULL) + IDLE_WORKER_S * NS_PER_SEC;
			struct timespec ts = { .tv_sec = until / NS_PER_SEC, .tv_nsec = until % NS_PER_SEC };
			s->idle++;
			int rc = pthread_cond_timedwait(&s->work, &s->lock, &ts);
			s->idle--;
			if (rc == ETIMEDOUT && !s->head)
				goto end;
		}
		struct grpc_server_call *k = s->head;
		if (!k)
			break;
		s->head = k->next;
		if (!s->head)
			s->tail = &s->head;
		pthread_mutex_unlock(&s->lock);
		serve(k);
		pthread_mutex_lock(&s->lock);
	}
end:
	if (--s->threads == 0)
		pthread_cond_broadcast(&s->quiet);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void enqueue(struct grpc_server_call *k)
{
	struct grpc_server *s = k->server;
	struct error err = { 0 };
	pthread_t t;
	pthread_mutex_lock(&s->lock);
	size_t waiting = 1;
	for (struct grpc_server_call *q = s->head; q; q = q->next)
		waiting++;
	k->next = NULL;
	*s->tail = k;
	s->tail = &k->next;
	if (waiting > (size_t)s->idle && s->threads < s->o.max_threads) {
		s->threads++;
		if (grpc_thread(&t, worker, s, &err)) {
			pthread_detach(t);
		} else {
			s->threads--;
			log_warn("grpc: %s", err.text); // the threads that there are will come to it
		}
	}
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->lock);
}

// The stream is gone: whoever works on the call sees it.
static void let_go(struct grpc_server_call *k)
{
	struct connection *n = k->conn->owner;
	if (k->newer)
		k->newer->older = k->older;
	else
		n->calls = k->older;
	if (k->older)
		k->older->newer = k->newer;
	nghttp2_session_set_stream_user_data(k->conn->session, k->stream, NULL);
	atomic_store(&k->gone, true);
	pthread_cond_broadcast(&k->conn->changed);
	call_unref(k); // never the connection's last reference: its thread has one
}

// --- Requests; nghttp2's callbacks run with the connection's lock ---

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct grpc_conn *c = user;
	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	struct grpc_server_call *k = HEAP_NEW(struct grpc_server_call);
	atomic_init(&k->refs, 1);
	atomic_init(&k->gone, false);
	struct connection *n = c->owner;
	k->server = n->server;
	k->older = n->calls;
	if (n->calls)
		n->calls->newer = k;
	n->calls = k;
	k->conn = grpc_conn_ref(c);
	k->stream = frame->hd.stream_id;
	nghttp2_session_set_stream_user_data(session, k->stream, k);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t namelen,
                     const uint8_t *value, size_t valuelen, uint8_t flags, void *user)
{
	struct grpc_server_call *k = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	str n = str_n((const char *)name, namelen), v = str_n((const char *)value, valuelen);
	(void)flags;
	(void)user;
	if (!k || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	if (str_eq(n, S(":path"))) {
		buf_add(&k->path, str_sub(v, 0, 1024));
	} else if (str_eq(n, S(":method"))) {
		k->got_post = str_eq(v, S("POST"));
	} else if (str_eq(n, S("content-type"))) {
		k->got_type = str_has_prefix(v, S("application/grpc"));
	} else if (str_eq(n, S("grpc-timeout"))) {
		int64_t ms = grpc_timeout_parse(v);
		if (ms >= 0)
			k->deadline = clock_mono(NULL) + MIN(ms, INT64_C(1) << 40) * NS_PER_MS;
	}
	return 0;
}

static void refuse(struct grpc_server_call *k, enum grpc_code code, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));
static void refuse(struct grpc_server_call *k, enum grpc_code code, const char *fmt, ...)
{
	va_list ap;
	_cleanup_buf_ struct buf text = { 0 };
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	k->refused = true;
	finish(k, (int)code, buf_str(&text));
}

static void start_call(struct grpc_server_call *k)
{
	if (!k->got_post || !k->got_type) {
		const nghttp2_nv post[] = { NV(":status", S("405")) }, type[] = { NV(":status", S("415")) };
		k->refused = true;
		nghttp2_submit_response(k->conn->session, k->stream, k->got_post ? type : post, 1, NULL);
		return;
	}
	const struct grpc_server_opts *o = &k->server->o;
	str path = buf_str(&k->path);
	for (size_t i = 0; i < o->nmethods; i++)
		if (str_eqc(path, o->methods[i].path))
			k->method = &o->methods[i];
	if (k->method)
		return;
	ptrdiff_t slash = str_rfind_char(path, '/');
	if (slash <= 0 || path.p[0] != '/') {
		refuse(k, GRPC_UNIMPLEMENTED, "malformed method name: \"" STR_FMT "\"", STR_ARG(path));
		return;
	}
	str service = str_sub(path, 1, (size_t)slash), method = str_from(path, (size_t)slash + 1);
	for (size_t i = 0; i < o->nmethods; i++) {
		str p = str_c(o->methods[i].path);
		if (str_eq(str_sub(p, 1, (size_t)str_rfind_char(p, '/')), service)) {
			refuse(k, GRPC_UNIMPLEMENTED, "unknown method " STR_FMT " for service " STR_FMT,
			       STR_ARG(method), STR_ARG(service));
			return;
		}
	}
	refuse(k, GRPC_UNIMPLEMENTED, "unknown service " STR_FMT, STR_ARG(service));
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	bool head = frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
	if (frame->hd.type == NGHTTP2_GOAWAY)
		((struct grpc_conn *)user)->goaway = true;
	if (!head && frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	struct grpc_server_call *k = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	if (!k)
		return 0;
	if (head)
		start_call(k);
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM && !k->refused && k->method) {
		atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
		enqueue(k);
	}
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t len, void *user)
{
	struct grpc_server_call *k = nghttp2_session_get_stream_user_data(session, stream);
	(void)flags;
	(void)user;
	if (!k || k->refused)
		return 0;
	if (k->in.n + len > MAX_REQUEST + GRPC_PREFIX) {
		refuse(k, GRPC_RESOURCE_EXHAUSTED, "grpc: received message larger than max (%zu vs. %d)",
		       k->in.n + len - GRPC_PREFIX, MAX_REQUEST);
		buf_free(&k->in);
		return 0;
	}
	buf_add(&k->in, str_n((const char *)data, len));
	return 0;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	(void)user;
	// A call that was refused before its request had ended: nobody wants the rest of it.
	if (frame->hd.type == NGHTTP2_HEADERS && frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
		struct grpc_server_call *k = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
		if (k && k->refused && !nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id))
			nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
	}
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t code, void *user)
{
	struct grpc_server_call *k = nghttp2_session_get_stream_user_data(session, stream);
	(void)code;
	(void)user;
	if (k)
		let_go(k);
	return 0;
}

// --- Connections ---

static void on_dead(struct grpc_conn *c)
{
	struct connection *n = c->owner;
	for (struct grpc_server_call *k = n->calls, *older; k; k = older) {
		older = k->older;
		let_go(k);
	}
}

static void on_end(struct grpc_conn *c)
{
	struct connection *n = c->owner;
	struct grpc_server *s = n->server;
	uint64_t one = 1;
	pthread_mutex_lock(&s->lock);
	n->ended = true;
	pthread_mutex_unlock(&s->lock);
	ssize_t r = write(s->wake, &one, sizeof(one)); // the acceptor buries it
	(void)r;
}

static void bury(struct grpc_server *s, bool all)
{
	pthread_mutex_lock(&s->lock);
	for (struct connection **at = &s->connections; *at;) {
		struct connection *n = *at;
		if (!n->ended && !all) {
			at = &n->next;
			continue;
		}
		*at = n->next;
		s->nconnections--;
		pthread_mutex_unlock(&s->lock);
		if (all) {
			pthread_mutex_lock(&n->conn->lock);
			grpc_conn_kill(n->conn);
			pthread_mutex_unlock(&n->conn->lock);
		}
		pthread_join(n->conn->thread, NULL);
		grpc_conn_unref(n->conn);
		free(n);
		pthread_mutex_lock(&s->lock);
		at = &s->connections;
	}
	pthread_mutex_unlock(&s->lock);
}

static void adopt(struct grpc_server *s, int fd)
{
	struct error err = { 0 };
	struct grpc_conn *c = grpc_conn_new(fd);
	struct connection *n = HEAP_NEW(struct connection);
	n->server = s;
	n->conn = c;
	c->owner = n;
	c->on_dead = on_dead;
	c->on_end = on_end;
	nghttp2_session_callbacks *cb;
	if (nghttp2_session_callbacks_new(&cb) != 0)
		heap_exhausted(sizeof(*c));
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	if (nghttp2_session_server_new(&c->session, cb, c) != 0)
		heap_exhausted(sizeof(*c));
	nghttp2_session_callbacks_del(cb);
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, MAX_STREAMS },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, GRPC_STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 65536 },
	};
	nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
	nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, GRPC_CONNECTION_WINDOW);
	pthread_mutex_lock(&s->lock);
	bool full = s->nconnections >= MAX_CONNECTIONS;
	if (!full) {
		n->next = s->connections;
		s->connections = n;
		s->nconnections++;
	}
	pthread_mutex_unlock(&s->lock);
	if (full) {
		log_warn("grpc: more than %d connections", MAX_CONNECTIONS);
	} else if (!grpc_conn_start(c, &err)) {
		log_warn("grpc: %s", err.text);
		pthread_mutex_lock(&s->lock);
		s->connections = n->next; // only this thread adds, so it is still the first
		s->nconnections--;
		pthread_mutex_unlock(&s->lock);
		full = true;
	}
	if (full) {
		grpc_conn_unref(c);
		free(n);
	}
}

static void *acceptor(void *arg)
{
	struct grpc_server *s = arg;
	for (;;) {
		struct pollfd p[2] = { { .fd = s->fd, .events = POLLIN }, { .fd = s->wake, .events = POLLIN } };
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		uint64_t count;
		if (p[1].revents && read(s->wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
			break;
		bury(s, false);
		pthread_mutex_lock(&s->lock);
		bool stopping = s->stopping;
		pthread_mutex_unlock(&s->lock);
		if (stopping)
			break;
		if (!p[0].revents)
			continue;
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			adopt(s, fd);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
			clock_sleep(NULL, 50 * NS_PER_MS); // the client waits in the queue until a descriptor is free
	}
	return NULL;
}

struct grpc_server *grpc_server_start(const struct grpc_server_opts *o, struct error *err)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t n = strlen(o->unix_path);
	if (n >= sizeof(un.sun_path)) {
		error_set(err, "%s: the path of a Unix socket has at most %zu bytes", o->unix_path,
		          sizeof(un.sun_path) - 1);
		return NULL;
	}
	memcpy(un.sun_path, o->unix_path, n);
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	_cleanup_close_ int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct stat st;
	if (lstat(o->unix_path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(o->unix_path);
	// Nobody can connect before listen, so the mode is right from the first moment.
	if (fd < 0 || wake < 0 || bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0 || chmod(o->unix_path, 0600) < 0 ||
	    listen(fd, 128) < 0) {
		error_errno(err, "listen unix %s", o->unix_path);
		return NULL;
	}
	struct grpc_server *s = HEAP_NEW(struct grpc_server);
	s->o = *o;
	s->o.max_threads = o->max_threads > 0 ? o->max_threads : 64;
	s->path = heap_cstr(str_c(o->unix_path));
	s->tail = &s->head;
	s->fd = transport_take(&fd);
	s->wake = transport_take(&wake);
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->work, &attr);
	pthread_cond_init(&s->quiet, &attr);
	pthread_condattr_destroy(&attr);
	if (!grpc_thread(&s->acceptor, acceptor, s, err)) {
		s->stopping = true;
		close(s->fd);
		close(s->wake);
		free(s->path);
		free(s);
		return NULL;
	}
	return s;
}

void grpc_server_stop(struct grpc_server *s)
{
	uint64_t one = 1;
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_broadcast(&s->work);
	pthread_mutex_unlock(&s->lock);
	ssize_t r = write(s->wake, &one, sizeof(one));
	(void)r;
	pthread_join(s->acceptor, NULL);
	unlink(s->path);
	close(s->fd);
	bury(s, true); // handlers see that their clients are gone
	pthread_mutex_lock(&s->lock);
	while (s->threads)
		pthread_cond_wait(&s->quiet, &s->lock);
	struct grpc_server_call *k = s->head;
	pthread_mutex_unlock(&s->lock);
	while (k) {
		struct grpc_server_call *next = k->next;
		call_unref(k);
		k = next;
	}
	close(s->wake);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->work);
	pthread_cond_destroy(&s->quiet);
	free(s->path);
	free(s);
}
