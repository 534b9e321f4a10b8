// /exec/NAMESPACE/POD[/UID]/CONTAINER: the runtime gives an address for the session, and bytes go both ways between it and the peer,
// whatever protocol (WebSocket v4 and v5 channels, SPDY) the two of them speak.
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/io.h"
#include "kubelet/server.h"
#include "kubelet/worker.h"
#include "net/http.h"

#define CHUNK 32768
#define TO_RUNTIME_MAX (1024 * 1024)
#define HEAD_MAX 65536
#define HEAD_MS 30000

struct tunnel {
	int fd, wake;       // to the runtime; rung when there is something to send
	struct buf out;     // under the call's lock
	bool closed, paused;
};

static void refuse(struct call *c, int status, str text)
{
	call_reply(c, status, S("text/plain; charset=utf-8"), text);
}

static int dial(str host, int port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
	_cleanup_free_ char *name = heap_cstr(host);
	char service[16];
	snprintf(service, sizeof(service), "%d", port);
	if (getaddrinfo(name, service, &hints, &list) != 0)
		return -1;
	int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, list->ai_addr, list->ai_addrlen) < 0) {
		close(fd);
		fd = -1;
	}
	freeaddrinfo(list);
	return fd;
}

// The same request as came in, for the runtime's path.
static void request_text(struct call *c, const struct http_url *url, struct buf *out)
{
	static const char *const own[] = { "host", "authorization", "content-length", "transfer-encoding", "x-forwarded-for" };
	buf_printf(out, STR_FMT " " STR_FMT "%s" STR_FMT " HTTP/1.1\r\nHost: " STR_FMT ":%d\r\n", STR_ARG(c->method), STR_ARG(url->path),
	           url->query.n ? "?" : "", STR_ARG(url->query), STR_ARG(url->host), url->port);
	for (size_t i = 0; i < c->headers.n; i++) {
		bool skip = false;
		for (size_t k = 0; k < ARRAY_LEN(own); k++)
			skip |= str_eqc(c->headers.v[i].name, own[k]);
		if (!skip)
			buf_printf(out, STR_FMT ": " STR_FMT "\r\n", STR_ARG(c->headers.v[i].name), STR_ARG(c->headers.v[i].value));
	}
	buf_add(out, S("\r\n"));
}

// Reads up to the end of the head; what came behind it stays in `in`.
static bool read_head(int fd, struct buf *in, size_t *head)
{
	for (;;) {
		ptrdiff_t at = str_find(buf_str(in), S("\r\n\r\n"));
		struct pollfd p = { .fd = fd, .events = POLLIN };
		if (at >= 0) {
			*head = (size_t)at + 4;
			return true;
		}
		if (in->n > HEAD_MAX || poll(&p, 1, HEAD_MS) <= 0)
			return false;
		ssize_t n = recv(fd, buf_reserve(in, 4096), 4096, 0);
		if (n <= 0)
			return false;
		in->n += (size_t)n;
	}
}

static int parse_head(struct arena *a, str head, struct http_headers *out)
{
	str line, rest = head, name, value;
	int64_t status = 0;
	bool first = true;
	while (str_next(&rest, '\n', &line)) {
		str_cut_suffix(&line, S("\r"));
		if (first && str_split(line, ' ', &name, &value))
			str_to_i64(str_sub(value, 0, 3), &status);
		else if (!first && str_split(line, ':', &name, &value)) {
			char *lower = arena_cstr(a, name);
			for (char *p = lower; *p; p++)
				*p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
			http_header_add(a, out, str_c(lower), arena_dup(a, str_trim(value)));
		}
		first = false;
	}
	return (int)status;
}

// --- On the loop ---

static bool on_data(struct http_exchange *x, void *data, str bytes)
{
	struct call *c = data;
	struct tunnel *t = c->tunnel;
	uint64_t one = 1;
	pthread_mutex_lock(&c->lock);
	buf_add(&t->out, bytes);
	bool more = t->out.n < TO_RUNTIME_MAX;
	t->paused = !more;
	pthread_mutex_unlock(&c->lock);
	if (write(t->wake, &one, sizeof(one)) < 0)
		log_debug("eventfd: %d", errno);
	return more;
}

static void start_tunnel(struct call *c, void *ctx)
{
	struct http_headers *h = ctx, pass = { 0 };
	bool ok = false;
	// Connection and Upgrade are the server's to write where it does so; the rest is the runtime's answer.
	for (size_t i = 0; i < h->n; i++)
		http_header_add(c->arena, &pass, h->v[i].name, h->v[i].value);
	if (c->x)
		ok = http_tunnel_start(c->x, &pass, on_data);
	pthread_mutex_lock(&c->lock);
	c->started = ok;
	if (!ok)
		c->tunnel->closed = true;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

static void close_tunnel(struct call *c, void *ctx)
{
	if (c->x && c->started)
		http_tunnel_close(c->x);
}

static void resume_tunnel(struct call *c, void *ctx)
{
	if (c->x && c->started)
		http_tunnel_resume(c->x);
}

// --- On the call's thread ---

// Sends what waits; false: the runtime has closed.
static bool flush(struct call *c, struct tunnel *t, bool *more)
{
	pthread_mutex_lock(&c->lock);
	ssize_t n = t->out.n ? send(t->fd, t->out.p, t->out.n, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
	bool ok = n >= 0 || errno == EAGAIN || errno == EINTR;
	if (n > 0)
		buf_consume(&t->out, (size_t)n);
	*more = t->out.n > 0;
	bool resume = t->paused && t->out.n < TO_RUNTIME_MAX / 2;
	if (resume)
		t->paused = false;
	pthread_mutex_unlock(&c->lock);
	if (resume)
		call_on_loop(c, resume_tunnel, NULL);
	return ok;
}

static void pump(struct call *c, struct tunnel *t, str early)
{
	_cleanup_free_ char *chunk = heap_alloc(CHUNK);
	bool more = false;
	uint64_t count;
	if (early.n && !call_stream_write(c, early))
		return;
	while (!call_gone(c)) {
		struct pollfd p[2] = { { .fd = t->fd, .events = (short)(POLLIN | (more ? POLLOUT : 0)) }, { .fd = t->wake, .events = POLLIN } };
		if (poll(p, 2, 1000) < 0 && errno != EINTR)
			return;
		if (p[1].revents && read(t->wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
			return;
		if (!flush(c, t, &more))
			return;
		if (!(p[0].revents & (POLLIN | POLLHUP | POLLERR)))
			continue;
		ssize_t n = recv(t->fd, chunk, CHUNK, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return;
		if (n > 0 && !call_stream_write(c, str_n(chunk, (size_t)n)))
			return;
	}
}

static void tunnel_to(struct call *c, const struct http_url *url)
{
	struct arena *a = c->arena;
	struct tunnel *t = ARENA_NEW(a, struct tunnel);
	struct error err = { 0 };
	_cleanup_buf_ struct buf out = { 0 }, in = { 0 };
	struct http_headers head = { 0 };
	size_t head_len;
	_cleanup_close_ int fd = dial(url->host, url->port);
	if (fd < 0)
		return refuse(c, 502, S("the runtime's streaming server does not answer"));
	request_text(c, url, &out);
	if (!io_write_all(fd, buf_str(&out), &err) || !read_head(fd, &in, &head_len))
		return refuse(c, 502, S("the runtime's streaming server broke off"));
	int status = parse_head(a, str_sub(buf_str(&in), 0, head_len), &head);
	str early = str_from(buf_str(&in), head_len);
	if (status != 101)
		return refuse(c, status >= 400 ? status : 502, arena_dup(a, early));
	_cleanup_close_ int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	t->fd = fd;
	t->wake = wake;
	c->tunnel = t;
	call_on_loop(c, start_tunnel, &head);
	pthread_mutex_lock(&c->lock);
	while (!c->started && !t->closed && c->x)
		pthread_cond_wait(&c->changed, &c->lock);
	bool ok = c->started;
	pthread_mutex_unlock(&c->lock);
	if (ok)
		pump(c, t, early);
	call_on_loop(c, close_tunnel, NULL);
	// The loop uses the tunnel until the exchange is closed.
	pthread_mutex_lock(&c->lock);
	while (c->x)
		pthread_cond_wait(&c->changed, &c->lock);
	buf_free(&t->out);
	pthread_mutex_unlock(&c->lock);
}

void serve_exec(struct call *c, str rest)
{
	struct arena *a = c->arena;
	struct kubelet *k = c->k;
	struct error err = { 0 };
	struct cri_v1_ExecRequest r = { 0 };
	struct http_url url;
	str ns, name, container, uid_or_container, tail, id = S("");
	if (!str_split(rest, '/', &ns, &rest) || !str_split(rest, '/', &name, &uid_or_container))
		return refuse(c, 400, S("Missing container name"));
	container = str_split(uid_or_container, '/', &uid_or_container, &tail) ? tail : uid_or_container;
	for (size_t i = 0; i < c->params.n; i++)
		if (str_eqc(c->params.v[i].key, "command"))
			*LIST_ADD(a, &r.cmd) = c->params.v[i].value;
	r.tty = call_param_true(c, "tty");
	r.stdin = call_param_true(c, "input") || call_param_true(c, "stdin");
	r.stdout = call_param_true(c, "output") || call_param_true(c, "stdout");
	r.stderr = (call_param_true(c, "error") || call_param_true(c, "stderr")) && !r.tty;
	if (!r.stdin && !r.stdout && !r.stderr)
		return refuse(c, 400, S("you must specify at least 1 of stdin, stdout, stderr"));
	struct worker *w = worker_find_name(k, ns, name);
	if (!w)
		return refuse(c, 404, S("pod does not exist"));
	struct object_ref *ref = worker_pod(w);
	struct core_v1_PodStatus *s = status_current(w, a, object_of(ref));
	object_unref(ref);
	worker_unref(w);
	const struct core_v1_ContainerStatus *cs = find_status(&s->containerStatuses, container);
	if (!cs)
		cs = find_status(&s->initContainerStatuses, container);
	if (cs && cs->state.running) {
		ptrdiff_t at = str_find(cs->containerID, S("://"));
		id = at >= 0 ? str_from(cs->containerID, (size_t)at + 3) : S("");
	}
	if (!id.n)
		return refuse(c, 500, arena_printf(a, "container not found (\"" STR_FMT "\")", STR_ARG(container)));
	r.container_id = id;
	struct cri_v1_ExecResponse *e = CRI(&k->cri, a, Exec, &r, 30000, &err);
	if (!e)
		return refuse(c, 500, cri_error_text(a, &err));
	if (!http_url_parse(a, e->url, &url, &err))
		return refuse(c, 500, arena_dup(a, error_str(&err)));
	if (url.tls)
		return refuse(c, 500, S("the runtime's streaming server wants TLS, which is not supported"));
	if (!str_eqc(http_header(&c->headers, S("connection")), "") && http_header(&c->headers, S("upgrade")).n)
		return tunnel_to(c, &url);
	refuse(c, 400, S("Upgrade request required"));
}
