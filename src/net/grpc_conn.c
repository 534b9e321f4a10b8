#include "net/grpc_conn.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/heap.h"

enum { STACK = 256 * 1024, READ_SIZE = 32 * 1024, GATHER = 64 * 1024 };

struct grpc_conn *grpc_conn_new(int fd)
{
	struct grpc_conn *c = HEAP_NEW(struct grpc_conn);
	atomic_init(&c->refs, 1);
	c->fd = fd;
	c->wake = -1;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->changed, &attr);
	pthread_condattr_destroy(&attr);
	return c;
}

struct grpc_conn *grpc_conn_ref(struct grpc_conn *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void grpc_conn_unref(struct grpc_conn *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	nghttp2_session_del(c->session);
	buf_free(&c->out);
	close(c->fd);
	if (c->wake >= 0)
		close(c->wake);
	pthread_cond_destroy(&c->changed);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

void grpc_conn_wake(struct grpc_conn *c)
{
	uint64_t one = 1;
	ssize_t n = write(c->wake, &one, sizeof(one));
	(void)n; // a full counter wakes as well
}

void grpc_conn_kill(struct grpc_conn *c)
{
	if (c->dead)
		return;
	c->dead = true;
	shutdown(c->fd, SHUT_RDWR);
	grpc_conn_wake(c);
}

void grpc_conn_flush(struct grpc_conn *c)
{
	while (!c->dead) {
		while (c->out.n - c->out_at < GATHER) {
			const uint8_t *p;
			ssize_t n = nghttp2_session_mem_send(c->session, &p);
			if (n < 0) {
				grpc_conn_kill(c);
				return;
			}
			if (n == 0)
				break;
			buf_add(&c->out, str_n((const char *)p, (size_t)n));
		}
		if (c->out.n == c->out_at)
			break;
		ssize_t n = send(c->fd, c->out.p + c->out_at, c->out.n - c->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			grpc_conn_wake(c); // the thread waits for room
			return;
		}
		if (n < 0) {
			grpc_conn_kill(c);
			return;
		}
		c->out_at += (size_t)n;
		if (c->out_at == c->out.n) {
			c->out.n = c->out_at = 0;
			if (c->out.cap > 2 * GATHER)
				buf_free(&c->out);
		}
	}
}

static void *run(void *arg)
{
	struct grpc_conn *c = arg;
	char in[READ_SIZE];
	for (;;) {
		pthread_mutex_lock(&c->lock);
		bool more = c->out.n > c->out_at;
		bool over = c->dead || (!more && !nghttp2_session_want_read(c->session) &&
		                        !nghttp2_session_want_write(c->session));
		pthread_mutex_unlock(&c->lock);
		if (over)
			break;
		struct pollfd p[2] = { { .fd = c->fd, .events = (short)(POLLIN | (more ? POLLOUT : 0)) },
			               { .fd = c->wake, .events = POLLIN } };
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		if (p[1].revents) {
			uint64_t count;
			ssize_t n = read(c->wake, &count, sizeof(count));
			(void)n;
		}
		if (!p[0].revents)
			continue;
		ssize_t n = 0;
		bool end = false;
		if (p[0].revents & ~POLLOUT) {
			n = recv(c->fd, in, sizeof(in), MSG_DONTWAIT);
			end = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
		}
		pthread_mutex_lock(&c->lock);
		if (c->dead || (n > 0 && nghttp2_session_mem_recv(c->session, (const uint8_t *)in, (size_t)n) < 0))
			end = true;
		if (!end)
			grpc_conn_flush(c);
		pthread_mutex_unlock(&c->lock);
		if (end)
			break;
	}
	pthread_mutex_lock(&c->lock);
	grpc_conn_kill(c);
	if (c->on_dead)
		c->on_dead(c);
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	if (c->on_end)
		c->on_end(c);
	grpc_conn_unref(c); // the thread's own reference
	return NULL;
}

bool grpc_thread(pthread_t *t, void *(*fn)(void *), void *arg, struct error *err)
{
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	int rc = pthread_create(t, &attr, fn, arg);
	pthread_attr_destroy(&attr);
	errno = rc;
	return rc == 0 || error_errno(err, "pthread_create");
}

bool grpc_conn_start(struct grpc_conn *c, struct error *err)
{
	c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->wake < 0)
		return error_errno(err, "eventfd");
	pthread_mutex_lock(&c->lock); // the thread waits until we are done
	bool ok = grpc_thread(&c->thread, run, grpc_conn_ref(c), err);
	if (ok)
		grpc_conn_flush(c);
	else
		atomic_fetch_sub(&c->refs, 1);
	pthread_mutex_unlock(&c->lock);
	return ok;
}
