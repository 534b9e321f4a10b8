#include "net/transport.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/io.h"
#include "net/tls_internal.h"

struct transport {
	struct tls_io io; // first: the TLS session finds us by it
	int fd;
	SSL *ssl;
	struct tls_context *tls;
	pthread_mutex_t lock; // an SSL object serves one thread at a time; never held while waiting
	atomic_bool aborted;
	int failed; // errno of the last recv or send below TLS
};

int64_t transport_deadline(int ms)
{
	return ms > 0 ? clock_mono(NULL) + ms * NS_PER_MS : 0;
}

// Waits for the events; false (err->sys ETIMEDOUT) after the deadline.
static bool wait_for(int fd, short events, int64_t deadline, struct error *err)
{
	for (;;) {
		int ms = -1;
		if (deadline) {
			int64_t left = deadline - clock_mono(NULL);
			if (left <= 0) {
				errno = ETIMEDOUT;
				return error_errno(err, events == POLLIN ? "read" : "write");
			}
			ms = (int)MIN((left + NS_PER_MS - 1) / NS_PER_MS, INT64_C(1000000));
		}
		struct pollfd p = { .fd = fd, .events = events };
		int n = poll(&p, 1, ms);
		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			return error_errno(err, "poll");
	}
}

// "dial tcp 127.0.0.1:6443: connect: connection refused", as Go says it; tools look for these words.
static void dial_error(struct error *err, const char *net, const char *where, int sys)
{
	char text[128];
	const char *why = strerror_r(sys, text, sizeof(text));
	error_set(err, "dial %s %s: connect: %c%s", net, where, tolower((unsigned char)why[0]), why + 1);
	err->sys = sys;
}

static int connect_to(const struct sockaddr *addr, socklen_t len, const char *net, const char *where, int64_t deadline,
                      struct error *err)
{
	// A non-blocking connect to a Unix socket with a full queue fails at once, so that one waits in the kernel.
	bool local = addr->sa_family == AF_UNIX;
	_cleanup_close_ int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC | (local ? 0 : SOCK_NONBLOCK), 0);
	if (fd < 0) {
		error_errno(err, "socket");
		return -1;
	}
	if (local && deadline) {
		int64_t left = MAX(deadline - clock_mono(NULL), NS_PER_MS);
		struct timeval tv = { .tv_sec = left / NS_PER_SEC, .tv_usec = left % NS_PER_SEC / 1000 };
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	}
	if (connect(fd, addr, len) < 0) {
		if (errno != EINPROGRESS) {
			dial_error(err, net, where, errno);
			return -1;
		}
		int sys = 0;
		socklen_t n = sizeof(sys);
		if (!wait_for(fd, POLLOUT, deadline, err))
			sys = err->sys ? err->sys : EIO;
		else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &sys, &n) < 0)
			sys = errno;
		if (sys) {
			if (sys == ETIMEDOUT) {
				error_set(err, "dial %s %s: i/o timeout", net, where);
				err->sys = sys;
			} else {
				dial_error(err, net, where, sys);
			}
			return -1;
		}
	}
	if (local) {
		if (!io_set_nonblock(fd, true)) {
			error_errno(err, "fcntl");
			return -1;
		}
	} else {
		int one = 1, idle = 15;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
		setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof(idle));
	}
	return transport_take(&fd);
}

static int dial_tcp(str host, int port, int64_t deadline, struct error *err)
{
	char name[256], service[12], where[300];
	if (host.n == 0 || host.n >= sizeof(name)) {
		error_set(err, "dial tcp: invalid host name");
		return -1;
	}
	snprintf(name, sizeof(name), STR_FMT, STR_ARG(host));
	snprintf(service, sizeof(service), "%d", port);
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *list = NULL;
	int rc = getaddrinfo(name, service, &hints, &list);
	if (rc != 0) {
		bool unknown = rc == EAI_NONAME || rc == EAI_NODATA;
		error_set(err, "dial tcp: lookup %s: %s", name, unknown ? "no such host" : gai_strerror(rc));
		err->sys = EHOSTUNREACH;
		return -1;
	}
	int fd = -1;
	for (struct addrinfo *i = list; i && fd < 0; i = i->ai_next) {
		char text[INET6_ADDRSTRLEN] = "";
		if (i->ai_family == AF_INET6) {
			inet_ntop(AF_INET6, &((struct sockaddr_in6 *)(void *)i->ai_addr)->sin6_addr, text,
			          sizeof(text));
			snprintf(where, sizeof(where), "[%s]:%d", text, port);
		} else {
			inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)i->ai_addr)->sin_addr, text, sizeof(text));
			snprintf(where, sizeof(where), "%s:%d", text, port);
		}
		fd = connect_to(i->ai_addr, i->ai_addrlen, "tcp", where, deadline, err);
	}
	freeaddrinfo(list);
	return fd;
}

int transport_dial(const char *unix_path, str host, int port, int64_t deadline, struct error *err)
{
	if (!unix_path)
		return dial_tcp(host, port, deadline, err);
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t n = strlen(unix_path);
	if (n >= sizeof(un.sun_path)) {
		dial_error(err, "unix", unix_path, ENAMETOOLONG);
		return -1;
	}
	memcpy(un.sun_path, unix_path, n);
	return connect_to((const struct sockaddr *)&un, sizeof(un), "unix", unix_path, deadline, err);
}

struct transport *transport_connect(const char *unix_path, str host, int port, int64_t deadline, struct error *err)
{
	int fd = transport_dial(unix_path, host, port, deadline, err);
	if (fd < 0)
		return NULL;
	struct transport *t = HEAP_NEW(struct transport);
	t->fd = fd;
	pthread_mutex_init(&t->lock, NULL);
	atomic_init(&t->aborted, false);
	return t;
}

static ssize_t raw_recv(struct tls_io *io, char *to, size_t n)
{
	struct transport *t = (struct transport *)(void *)io;
	ssize_t r;
	do
		r = recv(t->fd, to, n, 0);
	while (r < 0 && errno == EINTR);
	t->failed = r < 0 ? errno : 0;
	return r;
}

static ssize_t raw_send(struct tls_io *io, const char *from, size_t n)
{
	struct transport *t = (struct transport *)(void *)io;
	ssize_t r;
	do
		r = send(t->fd, from, n, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	t->failed = r < 0 ? errno : 0;
	return r;
}

enum step { STEP_DONE, STEP_END, STEP_READ, STEP_WRITE, STEP_FAILED };

// What to do after an SSL call that returned r.
static enum step tls_step(struct transport *t, int r, const char *what, struct error *err)
{
	if (r > 0)
		return STEP_DONE;
	int e = SSL_get_error(t->ssl, r);
	if ((e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) && (t->failed == 0 || t->failed == EAGAIN))
		return e == SSL_ERROR_WANT_READ ? STEP_READ : STEP_WRITE;
	if (e == SSL_ERROR_ZERO_RETURN)
		return STEP_END;
	if (t->failed && t->failed != EAGAIN) {
		ERR_clear_error();
		errno = t->failed;
		error_errno(err, "%s", what);
		return STEP_FAILED;
	}
	char why[300];
	bool eof =
	        e == SSL_ERROR_SYSCALL || ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
	tls_reason(t->ssl, why, sizeof(why));
	error_set(err, "%s", eof ? "unexpected EOF" : why);
	err->sys = eof ? ECONNRESET : EPROTO;
	return STEP_FAILED;
}

static bool aborted(struct transport *t, struct error *err)
{
	if (!atomic_load(&t->aborted))
		return false;
	error_set(err, "the connection was aborted");
	err->sys = ECANCELED;
	return true;
}

bool transport_start_tls(struct transport *t, struct tls_context *tls, str host, int port, int64_t deadline,
                         struct error *err)
{
	SSL *ssl = tls_client_session(tls, host, port, err);
	if (!ssl)
		return false;
	t->io = (struct tls_io){ raw_recv, raw_send };
	t->tls = tls_ref(tls);
	tls_attach(tls, ssl, &t->io);
	t->ssl = ssl;
	for (;;) {
		ERR_clear_error();
		t->failed = 0;
		enum step s = tls_step(t, SSL_do_handshake(ssl), "TLS handshake", err);
		if (s == STEP_DONE)
			return true;
		if (s == STEP_END)
			return error_set(err, "TLS handshake: unexpected EOF");
		if (s == STEP_FAILED)
			return false;
		if (!wait_for(t->fd, s == STEP_READ ? POLLIN : POLLOUT, deadline, err)) {
			error_set(err, "net/http: TLS handshake timeout");
			err->sys = ETIMEDOUT;
			return false;
		}
		if (aborted(t, err))
			return false;
	}
}

void transport_remember(struct transport *t, str host, int port)
{
	if (!t->ssl)
		return;
	pthread_mutex_lock(&t->lock);
	tls_client_remember(t->tls, t->ssl, host, port);
	pthread_mutex_unlock(&t->lock);
}

ssize_t transport_read(struct transport *t, char *to, size_t n, int64_t deadline, struct error *err)
{
	for (;;) {
		if (aborted(t, err))
			return -1;
		ssize_t r;
		enum step s;
		if (t->ssl) {
			pthread_mutex_lock(&t->lock);
			ERR_clear_error();
			t->failed = 0;
			int got = SSL_read(t->ssl, to, (int)MIN(n, (size_t)INT32_MAX));
			s = tls_step(t, got, "read", err);
			pthread_mutex_unlock(&t->lock);
			r = got;
		} else {
			do
				r = recv(t->fd, to, n, 0);
			while (r < 0 && errno == EINTR);
			s = r > 0 ? STEP_DONE : r == 0 ? STEP_END : errno == EAGAIN ? STEP_READ : STEP_FAILED;
			if (s == STEP_FAILED)
				error_errno(err, "read");
		}
		if (s == STEP_DONE)
			return r;
		if (s == STEP_END)
			return aborted(t, err) ? -1 : 0;
		if (s == STEP_FAILED) {
			aborted(t, err);
			return -1;
		}
		if (!wait_for(t->fd, s == STEP_READ ? POLLIN : POLLOUT, deadline, err))
			return -1;
	}
}

bool transport_write(struct transport *t, str bytes, int64_t deadline, struct error *err)
{
	while (bytes.n) {
		if (aborted(t, err))
			return false;
		ssize_t r;
		enum step s;
		if (t->ssl) {
			pthread_mutex_lock(&t->lock);
			ERR_clear_error();
			t->failed = 0;
			int put = SSL_write(t->ssl, bytes.p, (int)MIN(bytes.n, (size_t)INT32_MAX));
			s = tls_step(t, put, "write", err);
			pthread_mutex_unlock(&t->lock);
			r = put;
		} else {
			do
				r = send(t->fd, bytes.p, bytes.n, MSG_NOSIGNAL);
			while (r < 0 && errno == EINTR);
			s = r >= 0 ? STEP_DONE : errno == EAGAIN ? STEP_WRITE : STEP_FAILED;
			if (s == STEP_FAILED)
				error_errno(err, "write");
		}
		if (s == STEP_DONE) {
			bytes = str_from(bytes, (size_t)r);
			continue;
		}
		if (s == STEP_END) {
			error_set(err, "write: the connection is closed");
			err->sys = EPIPE;
			return false;
		}
		if (s == STEP_FAILED || !wait_for(t->fd, s == STEP_READ ? POLLIN : POLLOUT, deadline, err)) {
			aborted(t, err);
			return false;
		}
	}
	return true;
}

bool transport_alive(struct transport *t)
{
	char c;
	if (atomic_load(&t->aborted))
		return false;
	if (!t->ssl)
		return recv(t->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
	// Session tickets may lie unread; reading through them is right, application data or the end is not.
	pthread_mutex_lock(&t->lock);
	ERR_clear_error();
	t->failed = 0;
	int r = SSL_peek(t->ssl, &c, 1);
	bool ok = r <= 0 && SSL_get_error(t->ssl, r) == SSL_ERROR_WANT_READ && t->failed == EAGAIN;
	ERR_clear_error();
	pthread_mutex_unlock(&t->lock);
	return ok;
}

void transport_abort(struct transport *t)
{
	atomic_store(&t->aborted, true);
	shutdown(t->fd, SHUT_RDWR);
}

void transport_close(struct transport *t)
{
	if (!t)
		return;
	if (t->ssl) {
		if (!atomic_load(&t->aborted) && SSL_is_init_finished(t->ssl))
			SSL_shutdown(t->ssl); // says goodbye where the socket takes it; waits for no answer
		ERR_clear_error();
		SSL_free(t->ssl);
		tls_unref(t->tls);
	}
	close(t->fd);
	pthread_mutex_destroy(&t->lock);
	free(t);
}
