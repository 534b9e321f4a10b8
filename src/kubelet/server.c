#include "kubelet/server.h"

#include <stdlib.h>

#include "base/encode.h"
#include "base/io.h"
#include "kubelet/node.h"

#define PENDING_MAX (256 * 1024) // a slow reader of logs makes us wait, not grow

struct server {
	struct http_server *https, *healthz;
	struct tls_context *tls;
};

struct call *call_ref(struct call *c)
{
	pthread_mutex_lock(&c->lock);
	c->refs++;
	pthread_mutex_unlock(&c->lock);
	return c;
}

void call_unref(struct call *c)
{
	pthread_mutex_lock(&c->lock);
	bool last = --c->refs == 0;
	pthread_mutex_unlock(&c->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->changed);
	arena_free(c->arena);
}

bool call_gone(struct call *c)
{
	LOCKED(&c->lock);
	return !c->x;
}

// --- From threads to the loop --------------------------------------------------------------------------------------------

enum post_kind { POST_REPLY, POST_START, POST_WRITE, POST_END, POST_FN };
struct post {
	struct call *c;
	enum post_kind kind;
	int status;
	struct buf type, body;
	void (*fn)(struct call *c, void *ctx);
	void *ctx;
};

static void on_drain(struct http_exchange *x, void *data)
{
	struct call *c = data;
	LOCKED(&c->lock);
	c->pending = http_stream_pending(x);
	pthread_cond_broadcast(&c->changed);
}

static void deliver(void *ctx)
{
	struct post *p = ctx;
	struct call *c = p->c;
	struct http_exchange *x = c->x; // only this loop changes it
	struct http_headers h = { 0 };
	if (p->kind == POST_REPLY || p->kind == POST_START)
		http_header_add(c->arena, &h, S("content-type"), buf_str(&p->type));
	if (x && p->kind == POST_REPLY) {
		http_reply(x, p->status, &h, buf_str(&p->body));
	} else if (x && p->kind == POST_START) {
		http_stream_start(x, p->status, &h);
		http_stream_on_drain(x, on_drain);
	} else if (p->kind == POST_WRITE) {
		size_t waiting = x ? http_stream_write(x, buf_str(&p->body)) : 0;
		pthread_mutex_lock(&c->lock);
		c->pending = waiting;
		pthread_cond_broadcast(&c->changed);
		pthread_mutex_unlock(&c->lock);
	} else if (x && p->kind == POST_END) {
		http_stream_end(x);
	} else if (p->kind == POST_FN) {
		p->fn(c, p->ctx);
		if (c->tunnel && c->x) // a tunnel is written to as a stream is
			http_stream_on_drain(c->x, on_drain);
	}
	buf_free(&p->type);
	buf_free(&p->body);
	free(p);
	call_unref(c);
}

static struct post *post_new(struct call *c, enum post_kind kind)
{
	struct post *p = HEAP_NEW(struct post);
	p->c = call_ref(c);
	p->kind = kind;
	return p;
}

void call_reply(struct call *c, int status, str content_type, str body)
{
	struct post *p = post_new(c, POST_REPLY);
	p->status = status;
	buf_add(&p->type, content_type);
	buf_add(&p->body, body);
	http_loop_post(c->loop, deliver, p);
}

void call_stream_start(struct call *c, int status, str content_type)
{
	struct post *p = post_new(c, POST_START);
	p->status = status;
	buf_add(&p->type, content_type);
	c->started = true;
	http_loop_post(c->loop, deliver, p);
}

bool call_stream_write(struct call *c, str bytes)
{
	pthread_mutex_lock(&c->lock);
	while (c->x && c->pending > PENDING_MAX)
		pthread_cond_wait(&c->changed, &c->lock);
	bool here = c->x != NULL;
	c->pending += bytes.n;
	pthread_mutex_unlock(&c->lock);
	if (!here)
		return false;
	struct post *p = post_new(c, POST_WRITE);
	buf_add(&p->body, bytes);
	http_loop_post(c->loop, deliver, p);
	return true;
}

void call_stream_end(struct call *c)
{
	http_loop_post(c->loop, deliver, post_new(c, POST_END));
}

void call_on_loop(struct call *c, void (*fn)(struct call *c, void *ctx), void *ctx)
{
	struct post *p = post_new(c, POST_FN);
	p->fn = fn;
	p->ctx = ctx;
	http_loop_post(c->loop, deliver, p);
}

str call_param(const struct call *c, const char *key)
{
	str v = S("");
	http_param_get(&c->params, str_c(key), &v);
	return v;
}

bool call_param_true(const struct call *c, const char *key)
{
	str v = call_param(c, key);
	return str_eqc(v, "1") || str_eqc(v, "true") || str_eqc(v, "True") || str_eqc(v, "TRUE") || str_eqc(v, "t") || str_eqc(v, "T");
}

// --- Requests --------------------------------------------------------------------------------------------------------------

static void healthz(struct call *c)
{
	struct kubelet *k = c->k;
	pthread_mutex_lock(&k->lock);
	bool ok = k->runtime_ready;
	pthread_mutex_unlock(&k->lock);
	call_reply(c, ok ? 200 : 500, S("text/plain; charset=utf-8"), ok ? S("ok") : S("container runtime is not ready"));
}

static bool bearer_of(const struct call *c, str *token)
{
	*token = http_header(&c->headers, S("authorization"));
	str_cut_prefix(token, S("Bearer "));
	return token->n > 0;
}

static void call_run(void *ctx)
{
	struct call *c = ctx;
	str path = c->path, token = S("");
	bearer_of(c, &token);
	if (!call_authenticate(c, token) || !call_authorize(c)) {
		call_unref(c);
		return;
	}
	if (str_eqc(path, "/healthz") || str_eqc(path, "/healthz/ping") || str_eqc(path, "/healthz/syncloop"))
		healthz(c);
	else if (str_eqc(path, "/pods") || str_eqc(path, "/pods/") || str_eqc(path, "/runningpods/") || str_eqc(path, "/runningpods"))
		serve_pods(c);
	else if (str_eqc(path, "/stats/summary"))
		serve_stats(c);
	else if (str_eqc(path, "/metrics"))
		serve_metrics(c);
	else if (str_cut_prefix(&path, S("/containerLogs/")))
		serve_logs(c, path);
	else if (str_cut_prefix(&path, S("/exec/")))
		serve_exec(c, path);
	else if (str_has_prefix(path, S("/attach/")))
		call_reply(c, 501, S("text/plain; charset=utf-8"), S("attach is not supported by this kubelet"));
	else if (str_has_prefix(path, S("/portForward/")))
		call_reply(c, 501, S("text/plain; charset=utf-8"), S("port forwarding is not supported by this kubelet"));
	else if (str_has_prefix(path, S("/run/")) || str_has_prefix(path, S("/checkpoint/")))
		call_reply(c, 501, S("text/plain; charset=utf-8"), S("not supported by this kubelet"));
	else
		call_reply(c, 404, S("text/plain; charset=utf-8"), S("404 page not found\n"));
	call_unref(c);
}

static void on_close(struct http_exchange *x, void *data)
{
	struct call *c = data;
	pthread_mutex_lock(&c->lock);
	c->x = NULL;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	call_unref(c);
}

static void handle(struct http_exchange *x, void *ctx)
{
	struct kubelet *k = ctx;
	struct http_request_in *r = http_request(x);
	struct arena *a = arena_new(0);
	struct call *c = ARENA_NEW(a, struct call);
	c->arena = a;
	c->k = k;
	c->x = x;
	c->loop = http_exchange_loop(x);
	c->refs = 2; // the exchange and the thread
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->changed, NULL);
	http_exchange_set(x, c, on_close);
	c->method = arena_dup(a, r->method);
	c->query = arena_dup(a, r->query);
	for (size_t i = 0; i < r->headers.n; i++)
		http_header_add(a, &c->headers, arena_dup(a, r->headers.v[i].name), arena_dup(a, r->headers.v[i].value));
	if (r->peer && r->peer->verified) {
		c->user = arena_dup(a, r->peer->common_name);
		for (size_t i = 0; i < r->peer->norganizations; i++)
			*LIST_ADD(a, &c->groups) = arena_dup(a, r->peer->organizations[i]);
	}
	if (!percent_decode(a, r->path, false, &c->path) || !http_query_parse(a, c->query, &c->params)) {
		http_reply(x, 400, NULL, S("Bad Request"));
		call_unref(c);
		return;
	}
	task_run(k->tasks, call_run, c);
}

// The port for probes of the kubelet itself: no TLS, nothing but its health.
static void handle_healthz(struct http_exchange *x, void *ctx)
{
	struct kubelet *k = ctx;
	bool known = str_has_prefix(http_request(x)->path, S("/healthz"));
	bool ok = known && node_registered(k);
	http_reply(x, ok ? 200 : known ? 500 : 404, NULL, ok ? S("ok") : known ? S("not registered yet") : S("404 page not found\n"));
}

bool server_start(struct kubelet *k, struct error *err)
{
	struct server *s = ARENA_NEW(k->arena, struct server);
	const char *cert = k->cfg.tls_cert, *key = k->cfg.tls_key;
	k->server = s;
	if (!cert || !key) {
		cert = arena_cstr(k->arena, arena_concat(k->arena, str_c(k->cfg.cert_dir), S("/kubelet.crt")));
		key = arena_cstr(k->arena, arena_concat(k->arena, str_c(k->cfg.cert_dir), S("/kubelet.key")));
	}
	if (!io_exists(cert))
		return error_set(err, "no serving certificate: pass --tls-cert-file and --tls-private-key-file, or put kubelet.crt and kubelet.key into %s",
		                 k->cfg.cert_dir);
	struct tls_server_opts t = { .cert_file = cert, .key_file = key, .client_ca_file = k->cfg.client_ca };
	s->tls = tls_server_new(&t, err);
	if (!s->tls)
		return error_wrap(err, "serving certificate");
	struct http_server_opts o = { .address = k->cfg.address, .port = k->cfg.port, .loops = 1, .tls = s->tls, .handle = handle, .ctx = k };
	s->https = http_server_start(&o, err);
	if (!s->https)
		return error_wrap(err, "listen on %s:%d", k->cfg.address, k->cfg.port);
	if (k->cfg.healthz_port > 0) {
		struct http_server_opts h = { .address = "127.0.0.1", .port = k->cfg.healthz_port, .loops = 1, .handle = handle_healthz, .ctx = k };
		s->healthz = http_server_start(&h, err);
		if (!s->healthz)
			return error_wrap(err, "--healthz-port");
	}
	return true;
}

void server_stop(struct kubelet *k)
{
	if (k->server && k->server->https)
		http_server_stop(k->server->https, 0);
	if (k->server && k->server->healthz)
		http_server_stop(k->server->healthz, 0);
}
