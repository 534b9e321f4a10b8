#include "kubelet/probe_run.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/io.h"
#include "kubelet/env.h"
#include "net/http_client.h"

#define BODY_MAX 10240
#define HEAD_MAX 65536

enum check exec_check(struct kubelet *k, struct arena *a, str container_id, const struct str_list *command, int timeout_ms, str *text)
{
	struct error err = { 0 };
	int seconds = timeout_ms > 0 ? (timeout_ms + 999) / 1000 : 0;
	struct cri_v1_ExecSyncRequest r = { .container_id = container_id, .cmd = *command, .timeout = seconds };
	// The runtime ends the command in time; ours is only for a runtime that hangs.
	struct cri_v1_ExecSyncResponse *e = CRI(&k->cri, a, ExecSync, &r, timeout_ms > 0 ? timeout_ms + 5000 : 0, &err);
	if (e) {
		str all = arena_concat(a, e->stdout, e->stderr);
		*text = utf8_clean(a, str_sub(all, 0, BODY_MAX));
		return e->exit_code == 0 ? CHECK_OK : CHECK_FAILED;
	}
	if (err.sys == GRPC_DEADLINE_EXCEEDED) {
		str words = S("");
		for (size_t i = 0; i < command->n; i++)
			words = i ? arena_concat(a, words, S(" "), command->v[i]) : command->v[i];
		*text = arena_printf(a, "command timed out: \"" STR_FMT "\" timed out after %ds", STR_ARG(words), seconds);
		return CHECK_FAILED;
	}
	*text = cri_error_text(a, &err);
	return CHECK_ERROR;
}

static int64_t now_ms(void)
{
	return clock_mono(NULL) / NS_PER_MS;
}

static str dial_error(struct arena *a, str host, int port, int error)
{
	const char *brackets = ip_is_v6(host) ? "[" : "";
	if (error == ETIMEDOUT)
		return arena_printf(a, "dial tcp %s" STR_FMT "%s:%d: i/o timeout", brackets, STR_ARG(host), *brackets ? "]" : "", port);
	// Go prints errno in lower case.
	char *text = arena_cstr(a, str_c(strerrordesc_np(error) ? strerrordesc_np(error) : "unknown error"));
	if (text[0] >= 'A' && text[0] <= 'Z')
		text[0] = (char)(text[0] - 'A' + 'a');
	return arena_printf(a, "dial tcp %s" STR_FMT "%s:%d: connect: %s", brackets, STR_ARG(host), *brackets ? "]" : "", port, text);
}

// A connected socket; -1: *text says why not.
static int dial(struct arena *a, str host, int port, int64_t deadline_ms, str *text)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
	char service[16];
	snprintf(service, sizeof(service), "%d", port);
	if (ip_valid(host))
		hints.ai_flags = AI_NUMERICHOST;
	int rc = getaddrinfo(arena_cstr(a, host), service, &hints, &list);
	if (rc != 0) {
		*text = arena_printf(a, "dial tcp: lookup " STR_FMT ": %s", STR_ARG(host), gai_strerror(rc));
		return -1;
	}
	int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = fd < 0 ? errno : 0;
	if (fd >= 0) {
		// Probed ports must not stay in TIME_WAIT by the thousand.
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1, .l_linger = 1 }, sizeof(struct linger));
		if (connect(fd, list->ai_addr, list->ai_addrlen) < 0)
			error = errno;
		if (error == EINPROGRESS) {
			struct pollfd p = { .fd = fd, .events = POLLOUT };
			socklen_t len = sizeof(error);
			int64_t left = deadline_ms - now_ms();
			if (poll(&p, 1, left > 0 ? (int)left : 0) <= 0)
				error = ETIMEDOUT;
			else
				getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
		}
	}
	freeaddrinfo(list);
	if (!error)
		return fd;
	if (fd >= 0)
		close(fd);
	*text = dial_error(a, host, port, error);
	return -1;
}

enum check tcp_check(struct arena *a, str host, int port, int timeout_ms, str *text)
{
	_cleanup_close_ int fd = dial(a, host, port, now_ms() + timeout_ms, text);
	return fd >= 0 ? CHECK_OK : CHECK_FAILED;
}

// Reads an answer as far as it matters. False: *text says why.
static bool read_answer(struct arena *a, int fd, int64_t deadline_ms, const char *url, int *status, str *body, str *text)
{
	_cleanup_buf_ struct buf in = { 0 };
	ptrdiff_t head = -1;
	for (;;) {
		char *to = buf_reserve(&in, 4096);
		ssize_t n = recv(fd, to, 4096, 0);
		if (n < 0 && errno == EAGAIN) {
			struct pollfd p = { .fd = fd, .events = POLLIN };
			int64_t left = deadline_ms - now_ms();
			if (left > 0 && poll(&p, 1, (int)left) > 0)
				continue;
			if (head >= 0)
				break; // the head is enough to judge by
			*text = arena_printf(a, "Get \"%s\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)", url);
			return false;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (head >= 0)
				break;
			*text = n < 0 ? arena_printf(a, "Get \"%s\": read tcp: connection reset by peer", url) : arena_printf(a, "Get \"%s\": EOF", url);
			return false;
		}
		in.n += (size_t)n;
		if (head < 0)
			head = str_find(buf_str(&in), S("\r\n\r\n"));
		if (head >= 0 && (in.n > (size_t)head + BODY_MAX))
			break;
		if (head < 0 && in.n > HEAD_MAX) {
			*text = arena_printf(a, "Get \"%s\": net/http: HTTP/1.x transport connection broken: malformed HTTP response", url);
			return false;
		}
	}
	str all = buf_str(&in), version, rest, code;
	int64_t number;
	str_split(str_sub(all, 0, (size_t)head), ' ', &version, &rest);
	code = str_sub(rest, 0, 3);
	if (!str_has_prefix(version, S("HTTP/")) || !str_to_i64(code, &number)) {
		*text = arena_printf(a, "Get \"%s\": net/http: HTTP/1.x transport connection broken: malformed HTTP response", url);
		return false;
	}
	*status = (int)number;
	*body = arena_dup(a, str_sub(all, (size_t)head + 4, (size_t)head + 4 + BODY_MAX));
	return true;
}

static bool plain_http(struct arena *a, str host, int port, str request, int64_t deadline_ms, const char *url, int *status, str *body,
                       str *text)
{
	struct error err = { 0 };
	_cleanup_close_ int fd = dial(a, host, port, deadline_ms, text);
	if (fd < 0) {
		*text = arena_printf(a, "Get \"%s\": " STR_FMT, url, STR_ARG(*text));
		return false;
	}
	if (!io_write_all(fd, request, &err)) {
		*text = arena_printf(a, "Get \"%s\": write tcp: %s", url, err.text);
		return false;
	}
	return read_answer(a, fd, deadline_ms, url, status, body, text);
}

static bool tls_http(struct arena *a, const struct http_headers *headers, const char *base, str path, int timeout_ms, const char *url,
                     int *status, str *body, str *text)
{
	struct error err = { 0 };
	struct tls_client_opts to = { .insecure = true };
	struct tls_context *tls = tls_client_new(&to, &err);
	struct http_client_opts o = { .base_url = str_c(base), .tls = tls, .connect_timeout_ms = timeout_ms, .timeout_ms = timeout_ms,
	                              .max_body = 1 << 20 };
	struct http_client *c = tls ? http_client_new(&o, &err) : NULL;
	struct http_call call = { .method = "GET", .path = path, .headers = *headers, .timeout_ms = timeout_ms };
	struct http_answer answer;
	bool ok = c && http_client_do(c, a, &call, &answer, &err);
	if (ok) {
		*status = answer.status;
		*body = str_sub(answer.body, 0, BODY_MAX);
	} else {
		*text = arena_printf(a, "Get \"%s\": %s", url, err.text);
	}
	http_client_free(c);
	tls_unref(tls);
	return ok;
}

enum check http_check(struct kubelet *k, struct arena *a, const struct core_v1_Container *c, const struct core_v1_HTTPGetAction *h, str pod_ip,
                      const char *agent, int timeout_ms, int *status, str *text)
{
	bool https = str_eq_nocase(h->scheme, S("HTTPS"));
	int port = container_port(c, h->port);
	str host = h->host.n ? h->host : pod_ip, path = h->path.n ? h->path : S("/"), body = S(""), host_header = S("");
	struct http_headers headers = { 0 };
	bool has_agent = false, has_accept = false;
	if (port < 0) {
		*text = h->port.is_string ? arena_printf(a, "couldn't find port: %s in %s", arena_cstr(a, quoted(a, h->port.s)), arena_cstr(a, c->name))
		                          : arena_printf(a, "invalid port number: %d", h->port.i);
		return CHECK_ERROR;
	}
	if (path.p[0] != '/')
		path = arena_concat(a, S("/"), path);
	str authority = arena_printf(a, ip_is_v6(host) ? "[" STR_FMT "]:%d" : STR_FMT ":%d", STR_ARG(host), port);
	char *base = arena_cstr(a, arena_concat(a, https ? S("https://") : S("http://"), authority));
	char *url = arena_cstr(a, arena_concat(a, str_c(base), path));
	_cleanup_buf_ struct buf q = { 0 };
	buf_printf(&q, "GET " STR_FMT " HTTP/1.1\r\n", STR_ARG(path));
	for (size_t i = 0; i < h->httpHeaders.n; i++) {
		const struct core_v1_HTTPHeader *x = &h->httpHeaders.v[i];
		char *name = arena_cstr(a, x->name);
		for (char *p = name; *p; p++)
			*p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
		if (strpbrk(name, "\r\n: ") || memchr(x->value.p ? x->value.p : "", '\n', x->value.n) || memchr(x->value.p ? x->value.p : "", '\r', x->value.n))
			continue;
		if (strcmp(name, "host") == 0) {
			host_header = x->value;
			continue;
		}
		has_agent |= strcmp(name, "user-agent") == 0;
		has_accept |= strcmp(name, "accept") == 0;
		// An empty value takes a default header away.
		if (!x->value.n && (strcmp(name, "user-agent") == 0 || strcmp(name, "accept") == 0))
			continue;
		buf_printf(&q, STR_FMT ": " STR_FMT "\r\n", STR_ARG(x->name), STR_ARG(x->value));
		http_header_add(a, &headers, str_c(name), x->value);
	}
	if (!has_agent) {
		buf_printf(&q, "User-Agent: kube-%s/1.36\r\n", agent);
		http_header_add(a, &headers, S("user-agent"), arena_printf(a, "kube-%s/1.36", agent));
	}
	if (!has_accept) {
		buf_add(&q, S("Accept: */*\r\n"));
		http_header_add(a, &headers, S("accept"), S("*/*"));
	}
	if (host_header.n)
		http_header_add(a, &headers, S("host"), host_header);
	buf_printf(&q, "Host: " STR_FMT "\r\nConnection: close\r\n\r\n", STR_ARG(host_header.n ? host_header : authority));
	*status = 0;
	bool ok = https ? tls_http(a, &headers, base, path, timeout_ms, url, status, &body, text)
	                : plain_http(a, host, port, buf_str(&q), now_ms() + timeout_ms, url, status, &body, text);
	if (!ok)
		return CHECK_FAILED;
	if (*status >= 300 && *status < 400) {
		*text = arena_concat(a, S("Probe terminated redirects, Response body: "), utf8_clean(a, body));
		return CHECK_WARNING;
	}
	if (*status >= 200 && *status < 300)
		return CHECK_OK;
	*text = arena_printf(a, "HTTP probe failed with statuscode: %d", *status);
	return CHECK_FAILED;
}

// grpc.health.v1.Health/Check: request {1: service}, response {1: status}, where 1 is SERVING.
static enum check grpc_check(struct arena *a, str host, const struct core_v1_GRPCAction *g, int timeout_ms, str *text)
{
	struct error err = { 0 };
	_cleanup_buf_ struct buf q = { 0 };
	str answer = S("");
	if (g->service && g->service->n) {
		buf_add_char(&q, 0x0a);
		for (size_t n = g->service->n; ; n >>= 7) {
			buf_add_char(&q, (char)((n & 0x7f) | (n > 0x7f ? 0x80 : 0)));
			if (n <= 0x7f)
				break;
		}
		buf_add(&q, *g->service);
	}
	struct grpc_client *c = grpc_client_new_tcp(arena_cstr(a, host), g->port);
	bool ok = grpc_call(c, a, "/grpc.health.v1.Health/Check", buf_str(&q), &answer, timeout_ms, &err);
	grpc_client_free(c);
	if (ok && answer.n >= 2 && answer.p[0] == 0x08 && answer.p[1] == 1)
		return CHECK_OK;
	static const char *const names[] = { "UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN" };
	if (ok) {
		unsigned s = answer.n >= 2 && answer.p[0] == 0x08 ? (unsigned char)answer.p[1] : 0;
		*text = arena_printf(a, "service unhealthy (responded with \"%s\")", s < ARRAY_LEN(names) ? names[s] : "UNKNOWN");
	} else if (err.sys == GRPC_UNIMPLEMENTED) {
		*text = arena_printf(a, "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): %s", err.text);
	} else if (err.sys == GRPC_DEADLINE_EXCEEDED || err.sys == GRPC_UNAVAILABLE) {
		*text = arena_printf(a, "timeout: failed to connect service \"" STR_FMT ":%d\" within %s: %s", STR_ARG(host), g->port,
		                     arena_cstr(a, duration_text(a, timeout_ms * NS_PER_MS)), err.text);
	} else {
		*text = arena_printf(a, "error: health rpc probe failed: %s", err.text);
	}
	return CHECK_FAILED;
}

enum check probe_run(struct kubelet *k, struct arena *a, const struct core_v1_Container *c, const struct core_v1_ProbeHandler *h,
                     str container_id, str pod_ip, int timeout_ms, str *text)
{
	int status;
	if (h->exec) {
		struct str_list command = { 0 };
		struct str_map vars = { 0 };
		for (size_t i = 0; i < c->env.n; i++)
			str_map_set(a, &vars, c->env.v[i].name, env_expand(a, c->env.v[i].value, &vars));
		for (size_t i = 0; i < h->exec->command.n; i++)
			*LIST_ADD(a, &command) = env_expand(a, h->exec->command.v[i], &vars);
		return exec_check(k, a, container_id, &command, timeout_ms, text);
	}
	if (h->httpGet)
		return http_check(k, a, c, h->httpGet, pod_ip, "probe", timeout_ms, &status, text);
	if (h->tcpSocket) {
		int port = container_port(c, h->tcpSocket->port);
		if (port < 0) {
			*text = arena_printf(a, "couldn't find port: \"" STR_FMT "\" in " STR_FMT, STR_ARG(h->tcpSocket->port.s), STR_ARG(c->name));
			return CHECK_ERROR;
		}
		return tcp_check(a, h->tcpSocket->host.n ? h->tcpSocket->host : pod_ip, port, timeout_ms, text);
	}
	if (h->grpc)
		return grpc_check(a, pod_ip, h->grpc, timeout_ms, text);
	*text = S("missing probe handler");
	return CHECK_ERROR;
}
