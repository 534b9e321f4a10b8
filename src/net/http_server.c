#include "net/http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/io.h"
#include "base/log.h"
#include "net/http_server_internal.h"
#include "net/transport.h"

enum { BACKLOG = 4096, ACCEPTS_PER_ROUND = 64, RETRY_MS = 50, NOTICE_MS = 100 };

// --- Posts and timers ---

void http_loop_post(struct http_loop *l, void (*fn)(void *ctx), void *ctx)
{
	struct http_post *p = heap_alloc(sizeof(*p));
	*p = (struct http_post){ .fn = fn, .ctx = ctx };
	pthread_mutex_lock(&l->lock);
	bool closing = l->closing, first = l->posts == NULL;
	if (!closing) {
		*l->posts_tail = p;
		l->posts_tail = &p->next;
		if (first)
			uv_async_send(&l->async);
	}
	pthread_mutex_unlock(&l->lock);
	if (closing)
		free(p);
}

static void run_posts(struct http_loop *l)
{
	pthread_mutex_lock(&l->lock);
	struct http_post *p = l->posts;
	l->posts = NULL;
	l->posts_tail = &l->posts;
	pthread_mutex_unlock(&l->lock);
	while (p) {
		struct http_post *next = p->next;
		p->fn(p->ctx);
		free(p);
		p = next;
	}
}

static void on_async(uv_async_t *h)
{
	run_posts(h->data);
}

void http_loop_work(struct http_loop *l, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx)
{
	http_pool_run(l->server->pool, l, work, done, ctx);
}

struct http_timer {
	uv_timer_t t;
	void (*fn)(void *);
	void *ctx;
};

static void on_timer(uv_timer_t *h)
{
	struct http_timer *t = h->data;
	t->fn(t->ctx);
}

static void on_timer_closed(uv_handle_t *h)
{
	free(h->data);
}

struct http_timer *http_timer_start(struct http_loop *l, int64_t after_ms, int64_t repeat_ms, void (*fn)(void *ctx),
                                    void *ctx)
{
	struct http_timer *t = HEAP_NEW(struct http_timer);
	t->fn = fn;
	t->ctx = ctx;
	uv_timer_init(&l->uv, &t->t);
	t->t.data = t;
	uv_timer_start(&t->t, on_timer, (uint64_t)MAX(after_ms, INT64_C(0)), (uint64_t)MAX(repeat_ms, INT64_C(0)));
	return t;
}

void http_timer_cancel(struct http_timer *t)
{
	if (t)
		uv_close((uv_handle_t *)&t->t, on_timer_closed);
}

size_t http_loop_index(const struct http_loop *l)
{
	return l->index;
}

str http_loop_date(struct http_loop *l)
{
	time_t now = (time_t)(clock_wall(NULL) / NS_PER_SEC);
	if (now != l->date_second || !l->date[0]) {
		struct tm tm;
		gmtime_r(&now, &tm);
		strftime(l->date, sizeof(l->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		l->date_second = now;
	}
	return str_n(l->date, 29);
}

// --- Loops ---

static void on_prepare(uv_prepare_t *h)
{
	http_loop_round(h->data);
}

bool http_loop_init(struct http_loop *l, struct http_server *s, size_t index, struct error *err)
{
	*l = (struct http_loop){ .server = s, .index = index };
	int rc = uv_loop_init(&l->uv);
	if (rc != 0)
		return error_set(err, "event loop: %s", uv_strerror(rc));
	pthread_mutex_init(&l->lock, NULL);
	l->posts_tail = &l->posts;
	l->dirty_tail = &l->dirty;
	atomic_init(&l->nconns, 0);
	for (int i = 0; i < HTTP_DL_KINDS; i++)
		l->lists[i].prev = l->lists[i].next = &l->lists[i];
	l->timeouts[HTTP_DL_HEAD] = (uint64_t)s->o.header_timeout_ms;
	l->timeouts[HTTP_DL_IDLE] = (uint64_t)s->o.idle_timeout_ms;
	l->timeouts[HTTP_DL_WRITE] = (uint64_t)s->o.write_timeout_ms;
	l->timeouts[HTTP_DL_LINGER] = HTTP_LINGER_MS;
	buf_reserve(&l->in, HTTP_READ_SIZE);
	uv_prepare_init(&l->uv, &l->prepare);
	uv_idle_init(&l->uv, &l->idle);
	uv_timer_init(&l->uv, &l->timer);
	uv_timer_init(&l->uv, &l->stop_timer);
	l->prepare.data = l->idle.data = l->timer.data = l->stop_timer.data = l->async.data = l;
	uv_prepare_start(&l->prepare, on_prepare);
	rc = uv_async_init(&l->uv, &l->async, on_async);
	if (rc != 0) {
		uv_close((uv_handle_t *)&l->prepare, NULL);
		uv_close((uv_handle_t *)&l->idle, NULL);
		uv_close((uv_handle_t *)&l->timer, NULL);
		uv_close((uv_handle_t *)&l->stop_timer, NULL);
		uv_run(&l->uv, UV_RUN_DEFAULT);
		uv_loop_close(&l->uv);
		buf_free(&l->in);
		return error_set(err, "event loop: %s", uv_strerror(rc));
	}
	l->async.data = l;
	return true;
}

static void close_handle(uv_handle_t *h, void *arg)
{
	struct http_loop *l = arg;
	if (uv_is_closing(h))
		return;
	bool ours = h == (uv_handle_t *)&l->timer || h == (uv_handle_t *)&l->stop_timer || h->type != UV_TIMER;
	uv_close(h, ours ? NULL : on_timer_closed);
}

void http_loop_close(struct http_loop *l)
{
	pthread_mutex_lock(&l->lock);
	l->closing = true;
	pthread_mutex_unlock(&l->lock);
	run_posts(l);
	for (struct http_conn *c = l->conns; c; c = c->next)
		http_conn_kill(c); // came in while we stopped
	while (l->dirty)
		http_loop_round(l);
	uv_walk(&l->uv, close_handle, l);
	uv_run(&l->uv, UV_RUN_DEFAULT);
	uv_loop_close(&l->uv);
	pthread_mutex_destroy(&l->lock);
	while (l->nspare)
		arena_free(l->spare[--l->nspare]);
	nghttp2_session_callbacks_del(l->h2_callbacks);
	nghttp2_option_del(l->h2_options);
	buf_free(&l->in);
	buf_free(&l->plain);
	buf_free(&l->wire);
	buf_free(&l->scratch);
}

static void *loop_run(void *arg)
{
	struct http_loop *l = arg;
	char name[16];
	snprintf(name, sizeof(name), "http-%zu", l->index);
	pthread_setname_np(pthread_self(), name);
	uv_run(&l->uv, UV_RUN_DEFAULT);
	http_loop_close(l);
	return NULL;
}

// --- Accepting ---

struct arrival {
	struct http_loop *loop;
	int fd;
	char remote[64];
};

static void adopt(void *ctx)
{
	struct arrival *a = ctx;
	http_conn_new(a->loop, a->fd, a->remote);
	free(a);
}

static void describe(const struct sockaddr_storage *from, char *to, size_t n)
{
	char text[INET6_ADDRSTRLEN] = "";
	if (from->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)from;
		inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
		snprintf(to, n, "%s:%d", text, ntohs(in->sin_port));
	} else if (from->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
		bool mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
		if (mapped)
			inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], text, sizeof(text));
		else
			inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
		snprintf(to, n, mapped ? "%s:%d" : "[%s]:%d", text, ntohs(in6->sin6_port));
	} else {
		snprintf(to, n, "@");
	}
}

static struct http_loop *least_busy(struct http_server *s, int *total)
{
	struct http_loop *best = NULL;
	int fewest = 0;
	*total = 0;
	for (size_t i = 0; i < s->nloops; i++) {
		struct http_loop *l = &s->loops[(s->next_loop + i) % s->nloops];
		int n = atomic_load_explicit(&l->nconns, memory_order_relaxed);
		*total += n;
		if (!best || n < fewest) {
			best = l;
			fewest = n;
		}
	}
	s->next_loop++;
	return best;
}

static void on_accept(uv_poll_t *p, int status, int events);

static void on_retry(uv_timer_t *t)
{
	struct http_server *s = t->data;
	if (s->reserve < 0)
		s->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (s->listening)
		uv_poll_start(&s->accept, UV_READABLE, on_accept);
}

static void on_accept(uv_poll_t *p, int status, int events)
{
	struct http_server *s = p->data;
	(void)status;
	(void)events;
	for (int i = 0; i < ACCEPTS_PER_ROUND; i++) {
		struct sockaddr_storage from = { 0 };
		socklen_t n = sizeof(from);
		int fd = accept4(s->fd, (struct sockaddr *)&from, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
			// One client is told the truth (its connection closes) with the descriptor kept for this; then a pause.
			if (s->reserve >= 0) {
				close(s->reserve);
				s->reserve = -1;
				fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
				if (fd >= 0)
					close(fd);
			}
			log_warn("http: out of descriptors");
			uv_poll_stop(&s->accept);
			uv_timer_start(&s->retry, on_retry, RETRY_MS, 0);
			return;
		}
		if (fd < 0 && (errno == ENOBUFS || errno == ENOMEM)) {
			uv_poll_stop(&s->accept);
			uv_timer_start(&s->retry, on_retry, RETRY_MS, 0);
			return;
		}
		if (fd < 0)
			return;
		int total;
		struct http_loop *l = least_busy(s, &total);
		if (total >= s->o.max_connections) {
			close(fd);
			continue;
		}
		if (from.ss_family != AF_UNIX) {
			int one = 1, idle = 15;
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
			setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
			setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof(idle));
		}
		atomic_fetch_add_explicit(&l->nconns, 1, memory_order_relaxed);
		struct arrival *a = HEAP_NEW(struct arrival);
		a->loop = l;
		a->fd = fd;
		describe(&from, a->remote, sizeof(a->remote));
		if (l == &s->loops[0])
			adopt(a);
		else
			http_loop_post(l, adopt, a);
	}
}

static int listen_unix(const char *path, struct error *err)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	if (n >= sizeof(un.sun_path)) {
		error_set(err, "%s: the path of a Unix socket has at most %zu bytes", path, sizeof(un.sun_path) - 1);
		return -1;
	}
	memcpy(un.sun_path, path, n);
	struct stat st;
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0 || chmod(path, 0600) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		error_errno(err, "listen unix %s", path);
		return -1;
	}
	return transport_take(&fd);
}

static int listen_tcp(const char *address, int port, struct error *err)
{
	char service[12];
	snprintf(service, sizeof(service), "%d", port);
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		                  .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE },
	                *list;
	int rc = getaddrinfo(address, service, &hints, &list);
	if (rc != 0) {
		error_set(err, "listen tcp %s:%d: %s", address, port, gai_strerror(rc));
		return -1;
	}
	int one = 1, zero = 0;
	_cleanup_close_ int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0;
	if (ok && list->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero)); // "::" serves both, as in Go
	ok = ok && bind(fd, list->ai_addr, list->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0;
	if (!ok)
		error_errno(err, "listen tcp %s:%d", address, port);
	freeaddrinfo(list);
	if (!ok)
		return -1;
	return transport_take(&fd);
}

static int port_of(int fd)
{
	struct sockaddr_storage at = { 0 };
	socklen_t n = sizeof(at);
	if (getsockname(fd, (struct sockaddr *)&at, &n) < 0)
		return 0;
	if (at.ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)&at)->sin_port);
	if (at.ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)&at)->sin6_port);
	return 0;
}

// --- Start and stop ---

static int or_default(int value, int otherwise)
{
	return value > 0 ? value : otherwise;
}

struct http_server *http_server_start(const struct http_server_opts *o, struct error *err)
{
	struct http_server *s = HEAP_NEW(struct http_server);
	s->o = *o;
	s->o.max_body = o->max_body ? o->max_body : (size_t)3 << 20;
	s->o.header_timeout_ms = or_default(o->header_timeout_ms, 32000);
	s->o.idle_timeout_ms = or_default(o->idle_timeout_ms, 180000);
	s->o.write_timeout_ms = or_default(o->write_timeout_ms, 60000);
	s->o.max_connections = or_default(o->max_connections, 20000);
	s->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (o->listen_fd > 0) {
		s->fd = o->listen_fd;
		io_set_nonblock(s->fd, true);
		io_set_cloexec(s->fd, true);
	} else if (o->unix_path) {
		s->unix_path = heap_cstr(str_c(o->unix_path));
		s->fd = listen_unix(o->unix_path, err);
	} else {
		s->fd = listen_tcp(o->address ? o->address : "127.0.0.1", o->port, err);
	}
	if (s->fd < 0)
		goto failed;
	s->port = port_of(s->fd);
	s->tls = o->tls ? tls_ref(o->tls) : NULL;
	s->pool = http_pool_new();
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	s->nloops = (size_t)(o->loops > 0 ? o->loops : (int)MIN(MAX(cores, 1L), 16L));
	s->loops = heap_calloc(s->nloops, sizeof(*s->loops));
	uv_sem_init(&s->quiet, 0);
	size_t made = 0;
	bool ok = true;
	while (ok && made < s->nloops) {
		ok = http_loop_init(&s->loops[made], s, made, err);
		made += ok;
	}
	if (!ok) {
		while (made)
			http_loop_close(&s->loops[--made]);
		goto failed;
	}
	struct http_loop *first = &s->loops[0];
	uv_timer_init(&first->uv, &s->retry);
	uv_poll_init(&first->uv, &s->accept, s->fd);
	s->retry.data = s->accept.data = s;
	s->listening = true;
	uv_poll_start(&s->accept, UV_READABLE, on_accept);
	// Signals are the main thread's business.
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	size_t started = 0;
	int rc = 0;
	while (rc == 0 && started < s->nloops) {
		rc = pthread_create(&s->loops[started].thread, NULL, loop_run, &s->loops[started]);
		started += rc == 0;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0) { // a system without room for a thread at start has room for nothing
		errno = rc;
		error_errno(err, "pthread_create");
		log_error("http: %s", err->text);
		abort();
	}
	return s;
failed:
	if (s->reserve >= 0)
		close(s->reserve);
	if (s->fd >= 0)
		close(s->fd);
	if (s->pool)
		http_pool_free(s->pool);
	tls_unref(s->tls);
	free(s->loops);
	free(s->unix_path);
	free(s);
	return NULL;
}

int http_server_port(const struct http_server *s)
{
	return s->port;
}

size_t http_server_loop_count(const struct http_server *s)
{
	return s->nloops;
}

struct http_loop *http_server_loop(struct http_server *s, size_t i)
{
	return &s->loops[i];
}

static void drain_all(struct http_loop *l)
{
	for (struct http_conn *c = l->conns; c; c = c->next)
		if (!c->dead)
			http_conn_drain(c);
}

static void on_stop_timer(uv_timer_t *t)
{
	struct http_loop *l = t->data;
	uint64_t now = uv_now(&l->uv);
	if (now >= l->stop_at) {
		for (struct http_conn *c = l->conns; c; c = c->next)
			http_conn_kill(c);
	}
	if (!l->quiet && now + (uint64_t)l->grace_ms >= l->stop_at + NOTICE_MS) {
		l->quiet = true; // the second notice has been given
		drain_all(l);
	}
	if (l->conns)
		return;
	uv_timer_stop(t);
	uv_sem_post(&l->server->quiet);
}

static void stop_loop(void *ctx)
{
	struct http_loop *l = ctx;
	struct http_server *s = l->server;
	if (l->index == 0) {
		s->listening = false;
		uv_close((uv_handle_t *)&s->accept, NULL);
		uv_close((uv_handle_t *)&s->retry, NULL);
	}
	l->stopping = true;
	l->stop_at = uv_now(&l->uv) + (uint64_t)l->grace_ms;
	drain_all(l);
	uv_timer_start(&l->stop_timer, on_stop_timer, 1, 10);
}

static void end_loop(void *ctx)
{
	struct http_loop *l = ctx;
	uv_stop(&l->uv);
}

void http_server_stop(struct http_server *s, int grace_ms)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->nloops; i++) {
		s->loops[i].grace_ms = MAX(grace_ms, 0);
		http_loop_post(&s->loops[i], stop_loop, &s->loops[i]);
	}
	for (size_t i = 0; i < s->nloops; i++)
		uv_sem_wait(&s->quiet);
	http_pool_free(s->pool); // its last results still come to the loops
	for (size_t i = 0; i < s->nloops; i++)
		http_loop_post(&s->loops[i], end_loop, &s->loops[i]);
	for (size_t i = 0; i < s->nloops; i++)
		pthread_join(s->loops[i].thread, NULL);
	close(s->fd);
	if (s->reserve >= 0)
		close(s->reserve);
	if (s->unix_path)
		unlink(s->unix_path);
	uv_sem_destroy(&s->quiet);
	tls_unref(s->tls);
	free(s->loops);
	free(s->unix_path);
	free(s);
}
