#include "net/http_client.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/heap.h"
#include "net/http1.h"
#include "net/http_stream.h"
#include "net/proxy_env.h"

enum { MAX_IDLE = 32, IDLE_SECONDS = 90, FIRST_READ = 4096, FULL_READ = 65536 };

struct idle {
	struct transport *t;
	char key[300];
	int64_t since;
};

struct http_client {
	struct http_url base;
	char *host; // of base, owned
	char *base_path;
	char *unix_path;
	struct tls_context *tls;
	char *user_agent;
	struct http_client_opts o;
	pthread_mutex_t lock;
	struct idle idle[MAX_IDLE];
	size_t nidle;
};

// Where one request goes.
struct target {
	bool tls, own; // own: the client's own server, which gets its token
	const char *unix_path;
	str host;
	int port;
	str path; // path and query
	bool proxied;
	struct http_proxy proxy;
	char key[300];
};

struct http_client *http_client_new(const struct http_client_opts *o, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct http_url u;
	if (!http_url_parse(a, o->base_url, &u, err))
		return NULL;
	struct http_client *c = HEAP_NEW(struct http_client);
	c->o = *o;
	c->base = u;
	c->host = heap_cstr(u.host);
	c->base.host = str_c(c->host);
	str_cut_suffix(&u.path, S("/"));
	c->base_path = heap_cstr(u.path);
	c->unix_path = o->unix_path ? heap_cstr(str_c(o->unix_path)) : NULL;
	c->user_agent = heap_cstr(o->user_agent.n ? o->user_agent : S("coracle/" CORACLE_VERSION));
	if (o->tls) {
		c->tls = tls_ref(o->tls);
	} else {
		struct tls_client_opts none = { 0 }; // the system's authorities
		c->tls = u.tls || o->use_proxy_env ? tls_client_new(&none, err) : NULL;
		if (!c->tls && (u.tls || o->use_proxy_env)) {
			http_client_free(c);
			return NULL;
		}
	}
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->nidle; i++)
		transport_close(c->idle[i].t);
	tls_unref(c->tls);
	pthread_mutex_destroy(&c->lock);
	free(c->host);
	free(c->base_path);
	free(c->unix_path);
	free(c->user_agent);
	free(c);
}

// --- Kept-alive connections ---

static struct transport *idle_take(struct http_client *c, const char *key)
{
	struct transport *found = NULL, *dead[MAX_IDLE];
	size_t ndead = 0;
	int64_t now = clock_mono(NULL);
	pthread_mutex_lock(&c->lock);
	// The newest first: it is the least likely to be closed at any moment by the server.
	for (size_t i = c->nidle; i-- > 0 && !found;) {
		struct idle *e = &c->idle[i];
		bool old = now - e->since > IDLE_SECONDS * NS_PER_SEC;
		if (!old && strcmp(e->key, key) != 0)
			continue;
		if (!old && transport_alive(e->t))
			found = e->t;
		else
			dead[ndead++] = e->t;
		memmove(e, e + 1, (c->nidle - i - 1) * sizeof(*e));
		c->nidle--;
	}
	pthread_mutex_unlock(&c->lock);
	for (size_t i = 0; i < ndead; i++)
		transport_close(dead[i]);
	return found;
}

static void idle_put(struct http_client *c, struct transport *t, const char *key)
{
	struct transport *oldest = NULL;
	pthread_mutex_lock(&c->lock);
	if (c->nidle == MAX_IDLE) {
		oldest = c->idle[0].t;
		memmove(c->idle, c->idle + 1, (MAX_IDLE - 1) * sizeof(*c->idle));
		c->nidle--;
	}
	struct idle *e = &c->idle[c->nidle++];
	e->t = t;
	e->since = clock_mono(NULL);
	snprintf(e->key, sizeof(e->key), "%s", key);
	pthread_mutex_unlock(&c->lock);
	transport_close(oldest);
}

// --- Making a connection ---

static void host_header(struct buf *b, const struct target *g)
{
	bool v6 = str_find_char(g->host, ':') >= 0;
	buf_printf(b, v6 ? "[" STR_FMT "]" : STR_FMT, STR_ARG(g->host));
	if (g->port != (g->tls ? 443 : 80))
		buf_printf(b, ":%d", g->port);
}

// Asks the proxy for a tunnel (RFC 9110, section 9.3.6). The peer behind it speaks TLS, where the client begins, so
// nothing follows the proxy's answer until we write.
static bool proxy_connect(struct transport *t, const struct target *g, int64_t deadline, struct error *err)
{
	_cleanup_buf_ struct buf b = { 0 };
	bool v6 = str_find_char(g->host, ':') >= 0;
	buf_printf(&b, v6 ? "CONNECT [" STR_FMT "]:%d HTTP/1.1\r\n" : "CONNECT " STR_FMT ":%d HTTP/1.1\r\n",
	           STR_ARG(g->host), g->port);
	buf_printf(&b, v6 ? "Host: [" STR_FMT "]:%d\r\n" : "Host: " STR_FMT ":%d\r\n", STR_ARG(g->host), g->port);
	if (g->proxy.authorization.n)
		buf_printf(&b, "Proxy-Authorization: " STR_FMT "\r\n", STR_ARG(g->proxy.authorization));
	buf_add(&b, S("\r\n"));
	if (!transport_write(t, buf_str(&b), deadline, err))
		return error_wrap(err, "proxyconnect tcp");
	buf_clear(&b);
	while (str_find(buf_str(&b), S("\r\n\r\n")) < 0) {
		ssize_t n = b.n < 16384 ? transport_read(t, buf_reserve(&b, 4096), 4096, deadline, err) : 0;
		if (n == 0)
			return error_set(err, "proxyconnect tcp: no answer from the proxy");
		if (n < 0)
			return error_wrap(err, "proxyconnect tcp");
		b.n += (size_t)n;
	}
	str line = str_sub(buf_str(&b), 0, (size_t)str_find(buf_str(&b), S("\r\n"))), version, status;
	str_split(line, ' ', &version, &status);
	if (!str_has_prefix(version, S("HTTP/1.")) || !str_has_prefix(status, S("2")))
		return error_set(err, "proxyconnect tcp: " STR_FMT, STR_ARG(str_sub(status, 0, 200)));
	return true;
}

static struct transport *connect_target(struct http_client *c, const struct target *g, int64_t deadline,
                                        struct error *err)
{
	int64_t limit = transport_deadline(c->o.connect_timeout_ms > 0 ? c->o.connect_timeout_ms : 10000);
	if (deadline && deadline < limit)
		limit = deadline;
	struct transport *t = g->proxied ? transport_connect(NULL, g->proxy.url.host, g->proxy.url.port, limit, err)
	                                 : transport_connect(g->unix_path, g->host, g->port, limit, err);
	if (!t)
		return NULL;
	bool ok = true;
	if (g->proxied && g->tls)
		ok = proxy_connect(t, g, limit, err);
	if (ok && g->tls)
		ok = c->tls ? transport_start_tls(t, c->tls, g->host, g->port, limit, err)
		            : error_set(err, "https is not set up for this client");
	if (!ok) {
		transport_close(t);
		return NULL;
	}
	return t;
}

// --- Reading an answer ---

struct http_stream_in {
	struct http_client *c;
	struct transport *t;
	http_parser parser;
	struct http1_head head;
	struct arena *arena;
	struct http_answer *answer;
	bool is_head; // the request was HEAD
	bool have_head, done, broken, upgraded, too_large;
	bool reused, got_bytes;
	char *in; // bytes read and not yet parsed: in[at..end)
	size_t cap, at, end;
	str body; // the part of `in` that the parser has just found to be body
	char key[300];
	bool aborted;
	pthread_mutex_t lock; // guards aborted and t against http_stream_in_abort
};

static struct http_stream_in *self(http_parser *p)
{
	return p->data;
}

static int on_name(http_parser *p, const char *at, size_t n)
{
	return http1_name(&self(p)->head, at, n) ? 0 : (self(p)->too_large = true, 1);
}

static int on_value(http_parser *p, const char *at, size_t n)
{
	return http1_value(&self(p)->head, at, n) ? 0 : (self(p)->too_large = true, 1);
}

static int on_headers_complete(http_parser *p)
{
	struct http_stream_in *s = self(p);
	if (p->status_code >= 100 && p->status_code < 200 && p->status_code != 101) {
		http1_clear(&s->head); // an interim answer: the real one follows
		return 0;
	}
	str none;
	s->answer->status = p->status_code;
	http1_finish(&s->head, s->arena, &none, &s->answer->headers);
	s->have_head = true;
	return s->is_head ? 1 : 0;
}

static int on_body(http_parser *p, const char *at, size_t n)
{
	self(p)->body = str_n(at, n);
	http_parser_pause(p, 1);
	return 0;
}

static int on_message_complete(http_parser *p)
{
	struct http_stream_in *s = self(p);
	if (!s->have_head)
		return 0;
	s->done = true;
	s->upgraded = p->upgrade;
	http_parser_pause(p, 1);
	return 0;
}

static const http_parser_settings *settings(void)
{
	static const http_parser_settings s = {
		.on_header_field = on_name,
		.on_header_value = on_value,
		.on_headers_complete = on_headers_complete,
		.on_body = on_body,
		.on_message_complete = on_message_complete,
	};
	return &s;
}

// Parses what has been read, reading more when there is nothing; returns after one step of progress.
static bool advance(struct http_stream_in *s, int64_t deadline, struct error *err)
{
	bool end = false;
	if (s->at == s->end) {
		if (!s->in || (s->end == s->cap && s->cap < FULL_READ)) {
			s->cap = s->in ? FULL_READ
			               : FIRST_READ; // an answer that fills the small buffer gets the large one
			s->in = heap_realloc(s->in, s->cap);
		}
		s->at = s->end = 0;
		ssize_t n = transport_read(s->t, s->in, s->cap, deadline, err);
		if (n < 0)
			return false;
		s->end = (size_t)n;
		end = n == 0;
		s->got_bytes |= n > 0;
	}
	if (!s->have_head && end) {
		error_set(err, "%s", s->got_bytes ? "unexpected EOF" : "EOF");
		err->sys = ECONNRESET;
		return false;
	}
	size_t used = http_parser_execute(&s->parser, settings(), s->in + s->at, s->end - s->at);
	if (HTTP_PARSER_ERRNO(&s->parser) == HPE_PAUSED)
		http_parser_pause(&s->parser, 0);
	else if (HTTP_PARSER_ERRNO(&s->parser) != HPE_OK || (end && !s->done)) {
		if (s->too_large)
			return error_set(err, "net/http: server response headers exceeded %d bytes; aborted",
			                 HTTP1_MAX_HEAD);
		if (end)
			error_set(err, "unexpected EOF");
		else
			error_set(err, "malformed HTTP response: %s",
			          http_errno_description(HTTP_PARSER_ERRNO(&s->parser)));
		err->sys = end ? ECONNRESET : EPROTO;
		return false;
	}
	s->at += used;
	return true;
}

ssize_t http_stream_read(struct http_stream_in *s, char *to, size_t n, int timeout_ms, struct error *err)
{
	int64_t deadline = transport_deadline(timeout_ms);
	while (s->body.n == 0) {
		if (s->done)
			return 0;
		if (s->broken) {
			error_set(err, "the answer has failed before");
			return -1;
		}
		if (!advance(s, deadline, err)) {
			s->broken = err->sys != ETIMEDOUT; // after a time-out the caller may read on
			return -1;
		}
	}
	n = MIN(n, s->body.n);
	if (n)
		memcpy(to, s->body.p, n);
	s->body = str_from(s->body, n);
	return (ssize_t)n;
}

void http_stream_in_abort(struct http_stream_in *s)
{
	pthread_mutex_lock(&s->lock);
	s->aborted = true;
	if (s->t)
		transport_abort(s->t);
	pthread_mutex_unlock(&s->lock);
}

static void drop_connection(struct http_stream_in *s)
{
	pthread_mutex_lock(&s->lock);
	struct transport *t = s->t;
	s->t = NULL;
	bool keep = t && s->done && !s->broken && !s->aborted && !s->upgraded && s->at == s->end && s->body.n == 0 &&
	            http_should_keep_alive(&s->parser);
	pthread_mutex_unlock(&s->lock);
	if (keep)
		idle_put(s->c, t, s->key);
	else
		transport_close(t);
}

void http_stream_in_close(struct http_stream_in *s)
{
	if (!s)
		return;
	drop_connection(s);
	http1_free(&s->head);
	pthread_mutex_destroy(&s->lock);
	free(s->in);
	free(s);
}

struct transport *http_stream_take(struct http_stream_in *s, struct buf *rest)
{
	buf_add(rest, str_n(s->in + s->at, s->end - s->at));
	pthread_mutex_lock(&s->lock);
	struct transport *t = s->t;
	s->t = NULL;
	pthread_mutex_unlock(&s->lock);
	return t;
}

// --- Sending a request ---

static bool has_header(const struct http_headers *h, str name)
{
	for (size_t i = 0; i < h->n; i++)
		if (str_eq_nocase(h->v[i].name, name))
			return true;
	return false;
}

static bool build_head(struct http_client *c, const struct http_call *call, const struct target *g, const char *method,
                       struct buf *b, struct error *err)
{
	for (size_t i = 0; i < g->path.n; i++)
		if ((unsigned char)g->path.p[i] <= ' ' || g->path.p[i] == 0x7f)
			return error_set(err, "the request path has characters that must be escaped");
	buf_printf(b, "%s ", method);
	if (g->proxied && !g->tls) {
		buf_add(b, S("http://"));
		host_header(b, g);
	}
	buf_add(b, g->path);
	buf_add(b, S(" HTTP/1.1\r\nHost: "));
	host_header(b, g);
	buf_add(b, S("\r\n"));
	if (!has_header(&call->headers, S("user-agent")))
		buf_printf(b, "User-Agent: %s\r\n", c->user_agent);
	if (g->proxied && !g->tls && g->proxy.authorization.n)
		buf_printf(b, "Proxy-Authorization: " STR_FMT "\r\n", STR_ARG(g->proxy.authorization));
	for (size_t i = 0; i < call->headers.n; i++) {
		const struct http_header *h = &call->headers.v[i];
		if (!http1_value_ok(h->value) || !http1_token_ok(h->name))
			return error_set(err, "net/http: invalid header field value for \"" STR_FMT "\"",
			                 STR_ARG(h->name));
		buf_add(b, h->name);
		buf_add(b, S(": "));
		buf_add(b, h->value);
		buf_add(b, S("\r\n"));
	}
	if (g->own && c->o.token && !has_header(&call->headers, S("authorization"))) {
		_cleanup_arena_ struct arena *a = arena_new(0);
		str token = str_trim(c->o.token(a, c->o.token_ctx));
		if (token.n && http1_value_ok(token))
			buf_printf(b, "Authorization: Bearer " STR_FMT "\r\n", STR_ARG(token));
	}
	bool sends = strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
	if (call->body.n || sends)
		buf_printf(b, "Content-Length: %zu\r\n", call->body.n);
	buf_add(b, S("\r\n"));
	return true;
}

static bool idempotent(const char *method)
{
	return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 || strcmp(method, "OPTIONS") == 0;
}

// One exchange on one connection up to the end of the answer's head.
static bool exchange(struct http_stream_in *s, const struct http_call *call, str head, int64_t deadline,
                     struct error *err)
{
	// Small requests go out in one piece: one TLS record, one segment.
	struct error write_err = { 0 };
	bool sent;
	if (call->body.n && call->body.n <= 16384) {
		_cleanup_buf_ struct buf b = { 0 };
		buf_add(&b, head);
		buf_add(&b, call->body);
		sent = transport_write(s->t, buf_str(&b), deadline, &write_err);
	} else {
		sent = transport_write(s->t, head, deadline, &write_err) &&
		       transport_write(s->t, call->body, deadline, &write_err);
	}
	if (!sent && write_err.sys == ETIMEDOUT) {
		*err = write_err;
		return false;
	}
	// A server may refuse a large body before it has read all of it: its answer counts, not our failed write.
	while (!s->have_head) {
		if (!advance(s, deadline, err)) {
			if (!sent)
				*err = write_err;
			return false;
		}
	}
	if (!sent)
		s->broken = s->broken || !s->done; // the body may follow; the connection is not used again
	return true;
}

static bool resolve(struct http_client *c, struct arena *a, str path, struct target *g, struct error *err)
{
	*g = (struct target){ 0 };
	if (str_has_prefix(path, S("http://")) || str_has_prefix(path, S("https://"))) {
		struct http_url u;
		if (!http_url_parse(a, path, &u, err))
			return false;
		g->tls = u.tls;
		g->host = u.host;
		g->port = u.port;
		g->path = u.query.n ? arena_concat(a, u.path, S("?"), u.query) : u.path;
		g->own = u.tls == c->base.tls && u.port == c->base.port && str_eq_nocase(u.host, c->base.host);
	} else {
		g->tls = c->base.tls;
		g->host = c->base.host;
		g->port = c->base.port;
		g->own = true;
		str slash = str_has_prefix(path, S("/")) ? S("") : S("/");
		g->path = arena_concat(a, str_c(c->base_path), slash, path);
	}
	if (g->own)
		g->unix_path = c->unix_path;
	if (c->o.use_proxy_env && !g->unix_path)
		g->proxied = http_proxy_for(a, http_proxy_getenv, NULL, g->tls, g->host, g->port, &g->proxy);
	snprintf(g->key, sizeof(g->key), "%d %d %d " STR_FMT, g->tls, g->port, g->proxied, STR_ARG(g->host));
	return true;
}

static void explain(struct error *err, const char *method, const struct target *g)
{
	if (err->sys == ETIMEDOUT && str_has_prefix(error_str(err), S("read")))
		snprintf(err->text, sizeof(err->text),
		         "context deadline exceeded (Client.Timeout exceeded while awaiting headers)");
	char name[16] = "";
	for (size_t i = 0; i < sizeof(name) - 1 && method[i]; i++)
		name[i] = (char)(i && method[i] >= 'A' && method[i] <= 'Z' ? method[i] | 0x20 : method[i]);
	_cleanup_buf_ struct buf host = { 0 };
	host_header(&host, g);
	int sys = err->sys;
	error_wrap(err, "%s \"%s://" STR_FMT STR_FMT "\"", name, g->tls ? "https" : "http", STR_ARG(buf_str(&host)),
	           STR_ARG(str_sub(g->path, 0, 400)));
	err->sys = sys;
}

// One request to one target; a connection that was kept alive and turns out to be dead is replaced once.
static struct http_stream_in *open_once(struct http_client *c, struct arena *a, const struct http_call *call,
                                        const char *method, const struct target *g, int64_t deadline,
                                        struct http_answer *answer, struct error *err)
{
	_cleanup_buf_ struct buf head = { 0 };
	if (!build_head(c, call, g, method, &head, err))
		return NULL;
	for (int attempt = 0;; attempt++) {
		struct transport *t = attempt == 0 ? idle_take(c, g->key) : NULL;
		bool reused = t != NULL;
		if (!t && !(t = connect_target(c, g, deadline, err))) {
			explain(err, method, g);
			return NULL;
		}
		struct http_stream_in *s = HEAP_NEW(struct http_stream_in);
		pthread_mutex_init(&s->lock, NULL);
		s->c = c;
		s->t = t;
		s->arena = a;
		s->answer = answer;
		s->is_head = strcmp(method, "HEAD") == 0;
		s->reused = reused;
		memcpy(s->key, g->key, sizeof(s->key));
		http_parser_init(&s->parser, HTTP_RESPONSE);
		s->parser.data = s;
		if (exchange(s, call, buf_str(&head), deadline, err)) {
			if (g->tls && !reused)
				transport_remember(t, g->host, g->port);
			return s;
		}
		bool again = reused && !s->got_bytes && err->sys != ETIMEDOUT && idempotent(method);
		s->broken = true;
		http_stream_in_close(s);
		if (!again) {
			explain(err, method, g);
			return NULL;
		}
	}
}

// Where a redirect leads; relative references are resolved against the target (RFC 3986, the forms that servers use).
static str redirect_url(struct arena *a, const struct target *g, str location)
{
	if (str_has_prefix(location, S("http://")) || str_has_prefix(location, S("https://")))
		return location;
	_cleanup_buf_ struct buf b = { 0 };
	buf_add(&b, g->tls ? S("https:") : S("http:"));
	if (!str_has_prefix(location, S("//"))) {
		buf_add(&b, S("//"));
		host_header(&b, g);
		if (!str_has_prefix(location, S("/"))) {
			str path, query;
			str_split(g->path, '?', &path, &query);
			ptrdiff_t slash = str_rfind_char(path, '/');
			if (str_has_prefix(location, S("?")))
				buf_add(&b, path);
			else
				buf_add(&b, slash >= 0 ? str_sub(path, 0, (size_t)slash + 1) : S("/"));
		}
	}
	buf_add(&b, location);
	return arena_dup(a, buf_str(&b));
}

static struct http_stream_in *open_following(struct http_client *c, struct arena *a, const struct http_call *call,
                                             int64_t deadline, struct http_answer *answer, struct error *err)
{
	struct http_call now = *call;
	const char *method = call->method ? call->method : "GET";
	for (int left = MAX(call->max_redirects, 0);; left--) {
		struct target g;
		if (!resolve(c, a, now.path, &g, err))
			return NULL;
		*answer = (struct http_answer){ 0 };
		struct http_stream_in *s = open_once(c, a, &now, method, &g, deadline, answer, err);
		if (!s)
			return NULL;
		int status = answer->status;
		str location = http_header(&answer->headers, S("location"));
		bool redirect = status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
		if (!redirect || call->max_redirects <= 0 || location.n == 0)
			return s;
		if (left == 0) {
			http_stream_in_close(s);
			error_set(err, "%s \"" STR_FMT "\": stopped after %d redirects", method,
			          STR_ARG(str_sub(location, 0, 400)), call->max_redirects);
			return NULL;
		}
		str next = redirect_url(a, &g, location);
		struct target to;
		char rest[4096];
		struct error ignored = { 0 };
		// A short rest is read, so that the connection can be kept.
		for (int i = 0; i < 4 && http_stream_read(s, rest, sizeof(rest), 1000, &ignored) > 0; i++)
			;
		http_stream_in_close(s);
		if (!resolve(c, a, next, &to, err))
			return NULL;
		if (!str_eq_nocase(to.host, g.host) || to.port != g.port || to.tls != g.tls) {
			struct http_headers kept = { 0 }; // credentials are meant for the host they were given for
			for (size_t i = 0; i < now.headers.n; i++)
				if (!str_eq_nocase(now.headers.v[i].name, S("authorization")) &&
				    !str_eq_nocase(now.headers.v[i].name, S("cookie")))
					http_header_add(a, &kept, now.headers.v[i].name, now.headers.v[i].value);
			now.headers = kept;
		}
		now.path = next;
		if (status != 307 && status != 308 && strcmp(method, "HEAD") != 0) {
			method = "GET";
			now.body = (str){ 0 };
		}
	}
}

static int64_t call_deadline(const struct http_client *c, const struct http_call *call)
{
	if (call->timeout_ms < 0)
		return 0;
	int ms = call->timeout_ms ? call->timeout_ms : c->o.timeout_ms;
	return transport_deadline(ms > 0 ? ms : 60000);
}

struct http_stream_in *http_client_open(struct http_client *c, struct arena *a, const struct http_call *call,
                                        struct http_answer *head, struct error *err)
{
	return open_following(c, a, call, call_deadline(c, call), head, err);
}

bool http_client_do(struct http_client *c, struct arena *a, const struct http_call *call, struct http_answer *out,
                    struct error *err)
{
	int64_t deadline = call_deadline(c, call);
	size_t limit = c->o.max_body ? c->o.max_body : (size_t)512 << 20;
	struct http_stream_in *s = open_following(c, a, call, deadline, out, err);
	if (!s)
		return false;
	struct buf body = { 0 };
	bool ok = true;
	uint64_t announced;
	if (str_to_u64(http_header(&out->headers, S("content-length")), &announced) && !s->is_head)
		buf_reserve(&body,
		            MIN(announced + 1, (uint64_t)1 << 20)); // more grows as it comes, whatever was announced
	while (ok && !(s->done && s->body.n == 0)) {
		if (s->body.n == 0 && !advance(s, deadline, err)) {
			s->broken = true;
			int sys = err->sys;
			if (sys == ETIMEDOUT)
				error_set(err, "context deadline exceeded (Client.Timeout or context cancellation "
				               "while reading body)");
			ok = error_wrap(err, "reading the answer's body");
			err->sys = sys;
		}
		if (body.n + s->body.n > limit)
			ok = error_api(err, 413, "RequestEntityTooLarge", "the answer's body exceeds %zu bytes", limit);
		else if (ok)
			buf_add(&body, s->body);
		s->body = (str){ 0 };
	}
	if (!ok)
		s->broken = true;
	http_stream_in_close(s);
	if (!ok || body.n == 0) {
		buf_free(&body);
	} else if (body.n < 65536) {
		out->body = arena_dup(a, buf_str(&body));
		buf_free(&body);
	} else {
		out->body = buf_str(&body); // too large to copy once more: it goes with the arena
		arena_on_free(a, free, body.p);
	}
	return ok;
}
