// What leads to a kubelet: logs are read by a thread of the pool and streamed; exec, attach and port-forward are an upgraded connection whose
// bytes go through unread, both ways. A thread reads from the kubelet, a second one writes to it; the loop never waits.
#include <pthread.h>
#include <stdlib.h>

#include "apiserver/apiserver.h"
#include "apiserver/kubelet.h"
#include "base/encode.h"
#include "base/heap.h"
#include "base/io.h"
#include "net/http_client.h"
#include "net/transport.h"
#include "net/websocket.h"
#include "object/names.h"

enum { CHUNK = 32 << 10, AHEAD = 1 << 20, HEAD_MAX = 64 << 10, CONNECT_MS = 10000 };

struct kubelets { struct tls_context *tls; struct http_client *http; };

static bool read_pem(struct arena *a, const char *path, str *out, struct error *err)
{
	*out = (str){ 0 };
	return !path || io_read_file(a, path, 1 << 20, out, err);
}

struct kubelets *kubelets_new(const struct config *c, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct tls_client_opts o = { 0 };
	if (!read_pem(a, c->kubelet_ca, &o.ca_pem, err) || !read_pem(a, c->kubelet_cert, &o.cert_pem, err) || !read_pem(a, c->kubelet_key, &o.key_pem, err))
		return NULL;
	// As upstream: without a CA the kubelet's certificate is not verified.
	o.insecure = !c->kubelet_ca;
	struct kubelets *k = HEAP_NEW(struct kubelets);
	k->tls = tls_client_new(&o, err);
	if (k->tls) {
		struct http_client_opts h = { .base_url = S("https://127.0.0.1:10250"), .tls = k->tls, .connect_timeout_ms = CONNECT_MS, .timeout_ms = -1, .user_agent = S("kube-apiserver") };
		k->http = http_client_new(&h, err);
	}
	if (!k->http) {
		kubelets_free(k);
		return NULL;
	}
	return k;
}

void kubelets_free(struct kubelets *k)
{
	if (!k)
		return;
	http_client_free(k->http);
	tls_unref(k->tls);
	free(k);
}

// --- Where to ---------------------------------------------------------------------------------------------------------------

static bool node_address(struct call *c, str node, str *host, int *port, struct api_status *s)
{
	const struct core_v1_Node *n = registry_get(&c->r, S(""), S("nodes"), S(""), node);
	if (!n)
		return status_not_found(c->r.arena, s, S(""), S("nodes"), node);
	static const char *const order[] = { "InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS" };
	*host = (str){ 0 };
	for (size_t i = 0; i < ARRAY_LEN(order) && !host->n; i++)
		for (size_t k = 0; k < n->status.addresses.n && !host->n; k++)
			if (str_eqc(n->status.addresses.v[k].type, order[i]))
				*host = n->status.addresses.v[k].address;
	if (!host->n)
		return status_internal(c->r.arena, s, "no preferred addresses found; known addresses: []");
	*port = n->status.daemonEndpoints.kubeletEndpoint.Port ? n->status.daemonEndpoints.kubeletEndpoint.Port : 10250;
	return true;
}

static void add_names(struct arena *a, struct str_list *l, str name) { *LIST_ADD(a, l) = name; }

// The container that is meant, as upstream's LogLocation and streamLocation choose it.
static bool choose_container(struct call *c, const struct core_v1_Pod *pod, str *name, struct api_status *s)
{
	struct arena *a = c->r.arena;
	struct str_list all = { 0 }, init = { 0 }, ephemeral = { 0 };
	for (size_t i = 0; i < pod->spec.containers.n; i++)
		add_names(a, &all, pod->spec.containers.v[i].name);
	for (size_t i = 0; i < pod->spec.initContainers.n; i++)
		add_names(a, &init, pod->spec.initContainers.v[i].name);
	for (size_t i = 0; i < pod->spec.ephemeralContainers.n; i++)
		add_names(a, &ephemeral, pod->spec.ephemeralContainers.v[i].ephemeralContainerCommon.name);
	*name = (str){ 0 };
	http_param_get(&c->r.params, S("container"), name);
	if (name->n) {
		if (str_list_has(&all, *name) || str_list_has(&init, *name) || str_list_has(&ephemeral, *name))
			return true;
		return status_bad_request(a, s, "container " STR_FMT " is not valid for pod " STR_FMT, STR_ARG(*name), STR_ARG(pod->metadata.name));
	}
	if (all.n == 1) {
		*name = all.v[0];
		return true;
	}
	str text = arena_concat(a, S("a container name must be specified for pod "), pod->metadata.name);
	if (all.n)
		text = arena_concat(a, text, S(", choose one of: ["), str_list_join(a, &all, " "), S("]"));
	if (init.n)
		text = arena_concat(a, text, S(" or one of the init containers: ["), str_list_join(a, &init, " "), S("]"));
	return status_bad_request(a, s, STR_FMT, STR_ARG(text));
}

static str bracketed(struct arena *a, str host) { return str_find_char(host, ':') >= 0 ? arena_concat(a, S("["), host, S("]")) : host; }

static str pass_query(struct call *c, const char *const *keys)
{
	struct arena *a = c->r.arena;
	str q = S("");
	for (size_t i = 0; i < c->r.params.n; i++)
		for (const char *const *k = keys; *k; k++)
			if (str_eqc(c->r.params.v[i].key, *k))
				q = arena_concat(a, q, q.n ? S("&") : S("?"), str_c(*k), S("="), percent_encode(a, c->r.params.v[i].value));
	return q;
}

// --- Between a thread and the loop ---------------------------------------------------------------------------------------------

struct session {
	struct call *c;
	pthread_mutex_t mutex;
	pthread_cond_t moved;
	bool over;               // the client is gone, or the kubelet is
	size_t ahead;            // bytes on their way to the client
	// logs
	str url;
	struct http_stream_in *in;
	int status;
	str content_type, refusal;
	bool started;
	// tunnels
	str host, request;
	int port;
	struct transport *t;
	struct http_headers answer;
	struct buf out;          // bytes for the kubelet
	bool paused, writer_runs, writer_done, reader_done;
	struct error err;
};

struct chunk { struct session *s; size_t n; char p[]; };

static void session_over(struct call *c)
{
	struct session *s = c->data;
	pthread_mutex_lock(&s->mutex);
	s->over = true;
	if (s->in)
		http_stream_in_abort(s->in);
	if (s->t)
		transport_abort(s->t);
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->mutex);
}

static void session_free(void *ctx)
{
	struct session *s = ctx;
	buf_free(&s->out);
	if (s->t)
		transport_close(s->t);
	pthread_cond_destroy(&s->moved);
	pthread_mutex_destroy(&s->mutex);
}

static struct session *session_new(struct call *c)
{
	struct session *s = ARENA_NEW(c->r.arena, struct session);
	s->c = c;
	pthread_mutex_init(&s->mutex, NULL);
	pthread_cond_init(&s->moved, NULL);
	arena_on_free(c->r.arena, session_free, s);
	c->data = s;
	c->on_over = session_over;
	return s;
}

static void settle(struct session *s)
{
	size_t pending = s->c->over ? 0 : http_stream_pending(s->c->r.x);
	pthread_mutex_lock(&s->mutex);
	s->ahead = pending;
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->mutex);
}

static void drained(struct http_exchange *x, void *data)
{
	(void)x;
	settle(((struct call *)data)->data);
}

static void deliver(void *ctx)
{
	struct chunk *k = ctx;
	struct session *s = k->s;
	if (!s->c->over)
		http_stream_write(s->c->r.x, str_n(k->p, k->n));
	free(k);
	settle(s);
}

// From the thread: bytes towards the client; waits while too many are on their way. False: the client is gone.
static bool forward(struct session *s, const char *p, size_t n)
{
	struct chunk *k = heap_alloc(sizeof(*k) + n);
	k->s = s;
	k->n = n;
	memcpy(k->p, p, n);
	pthread_mutex_lock(&s->mutex);
	s->ahead += n;
	bool over = s->over;
	pthread_mutex_unlock(&s->mutex);
	http_loop_post(s->c->loop, deliver, k);
	pthread_mutex_lock(&s->mutex);
	while (!s->over && s->ahead > AHEAD)
		pthread_cond_wait(&s->moved, &s->mutex);
	over = s->over;
	pthread_mutex_unlock(&s->mutex);
	return !over;
}

// --- Logs -----------------------------------------------------------------------------------------------------------------------

static void log_begins(void *ctx)
{
	struct session *s = ctx;
	struct call *c = s->c;
	if (c->over)
		return;
	struct http_headers h = reply_headers(c, s->content_type.n ? s->content_type : S("text/plain"));
	c->status = 200;
	http_stream_start(c->r.x, 200, &h);
	http_stream_on_drain(c->r.x, drained);
}

static void read_log(void *ctx)
{
	struct session *s = ctx;
	struct arena *a = arena_new(0);
	struct http_answer head;
	struct error err = { 0 };
	struct http_call call = { .method = "GET", .path = s->url, .timeout_ms = -1 };
	struct http_stream_in *in = http_client_open(s->c->s->kubelets->http, a, &call, &head, &err);
	if (!in) {
		s->err = err;
		arena_free(a);
		return;
	}
	pthread_mutex_lock(&s->mutex);
	s->in = in;
	bool over = s->over;
	pthread_mutex_unlock(&s->mutex);
	char *buf = heap_alloc(CHUNK);
	s->status = head.status;
	if (head.status == 200) {
		s->content_type = arena_dup(s->c->r.arena, http_header(&head.headers, S("content-type")));
		s->started = true;
		http_loop_post(s->c->loop, log_begins, s);
		ssize_t n;
		while (!over && (n = http_stream_read(in, buf, CHUNK, -1, &err)) > 0)
			over = !forward(s, buf, (size_t)n);
	} else {
		struct buf text = { 0 };
		ssize_t n;
		while (text.n < 2000 && (n = http_stream_read(in, buf, CHUNK, CONNECT_MS, &err)) > 0)
			buf_add(&text, str_n(buf, (size_t)n));
		s->refusal = str_trim(arena_dup(s->c->r.arena, str_sub(buf_str(&text), 0, 2000)));
		buf_free(&text);
	}
	free(buf);
	pthread_mutex_lock(&s->mutex);
	s->in = NULL;
	pthread_mutex_unlock(&s->mutex);
	http_stream_in_close(in);
	arena_free(a);
}

// What the kubelet refused, in the words of the API. Rule: genericrest.GenericHttpResponseChecker.
static void refused(struct call *c, const struct session *s)
{
	struct arena *a = c->r.arena;
	struct api_status st = { 0 };
	if (s->err.code && !s->status)
		status_internal(a, &st, str_has_prefix(error_str(&s->err), S("Get ")) ? "%.0s%s" : "Get \"%s\": %s", arena_cstr(a, s->url), s->err.text);
	else if (s->status == 400)
		status_bad_request(a, &st, STR_FMT, STR_ARG(s->refusal));
	else if (s->status == 404)
		st = (struct api_status){ .code = 404, .reason = S("NotFound"), .kind = S("pods/log"), .name = c->r.info.name,
			                  .message = arena_concat(a, S("the server could not find the requested resource ( pods/log "), c->r.info.name, S(")")) };
	else
		status_internal(a, &st, "an error on the server (\"" STR_FMT "\") has prevented the request from succeeding", STR_ARG(s->refusal));
	reply_status(c, &st);
}

static void log_ended(void *ctx)
{
	struct session *s = ctx;
	struct call *c = s->c;
	if (!c->over) {
		if (s->started)
			http_stream_end(c->r.x);
		else
			refused(c, s);
	}
	call_release(c);
}

// Rule: pkg/apis/core/validation ValidatePodLogOptions.
static bool log_options(struct call *c, struct api_status *s)
{
	static const struct { const char *name; int64_t least; } numbers[] = { { "tailLines", 0 }, { "limitBytes", 1 }, { "sinceSeconds", 1 } };
	struct field_errors e = { .arena = c->r.arena };
	str v;
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		int64_t n;
		struct fpath p = fp(NULL, numbers[i].name);
		if (!http_param_get(&c->r.params, str_c(numbers[i].name), &v))
			continue;
		if (!str_to_i64(v, &n))
			return status_bad_request(c->r.arena, s, "strconv.ParseInt: parsing \"" STR_FMT "\": invalid syntax", STR_ARG(v));
		if (n < numbers[i].least)
			fe_invalid_int(&e, &p, n, "must be greater than%s 0", numbers[i].least ? "" : " or equal to");
	}
	struct fpath whole = fp(NULL, "[]"); // upstream's words for "the options as a whole"
	if (http_param_get(&c->r.params, S("sinceSeconds"), &v) && http_param_get(&c->r.params, S("sinceTime"), &v))
		fe_forbidden(&e, &whole, "at most one of `sinceTime` or `sinceSeconds` may be specified");
	return e.n == 0 || status_invalid(c->r.arena, s, S(""), S("PodLogOptions"), c->r.info.name, &e);
}

void do_pod_log(struct call *c)
{
	struct arena *a = c->r.arena;
	struct api_status s = { 0 };
	static const char *const keys[] = { "follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes", "stream", NULL };
	const struct core_v1_Pod *pod = registry_get(&c->r, S(""), S("pods"), c->r.info.ns, c->r.info.name);
	str container, host;
	int port;
	if (!pod) {
		status_not_found(a, &s, S(""), S("pods"), c->r.info.name);
	} else if (log_options(c, &s) && choose_container(c, pod, &container, &s)) {
		if (!pod->spec.nodeName.n) {
			reply_text(c, 204, S(""), S(""));
			return;
		}
		node_address(c, pod->spec.nodeName, &host, &port, &s);
	}
	if (s.code) {
		reply_status(c, &s);
		return;
	}
	struct session *x = session_new(c);
	x->url = arena_concat(a, S("https://"), bracketed(a, host), arena_printf(a, ":%d/containerLogs/", port), pod->metadata.namespace, S("/"), pod->metadata.name, S("/"), container,
	                      pass_query(c, keys));
	call_hold(c);
	http_loop_work(c->loop, read_log, log_ended, x);
}

// --- Tunnels ----------------------------------------------------------------------------------------------------------------------

static void resume(void *ctx)
{
	struct session *s = ctx;
	pthread_mutex_lock(&s->mutex);
	bool ready = s->paused && s->out.n < AHEAD / 2;
	if (ready)
		s->paused = false;
	pthread_mutex_unlock(&s->mutex);
	if (ready && !s->c->over)
		http_tunnel_resume(s->c->r.x);
}

static void write_tunnel(void *ctx)
{
	struct session *s = ctx;
	for (;;) {
		pthread_mutex_lock(&s->mutex);
		while (!s->over && !s->out.n)
			pthread_cond_wait(&s->moved, &s->mutex);
		struct buf b = s->out;
		s->out = (struct buf){ 0 };
		bool waiting = s->paused;
		bool over = s->over && !b.n;
		pthread_mutex_unlock(&s->mutex);
		if (waiting) // there is room again; the writer's hold on the call lasts until after this
			http_loop_post(s->c->loop, resume, s);
		struct error err;
		bool ok = !over && transport_write(s->t, buf_str(&b), 0, &err);
		buf_free(&b);
		if (!ok)
			return;
	}
}

static void writer_ended(void *ctx)
{
	struct session *s = ctx;
	call_release(s->c);
}

static bool from_client(struct http_exchange *x, void *data, str bytes)
{
	struct session *s = ((struct call *)data)->data;
	(void)x;
	pthread_mutex_lock(&s->mutex);
	buf_add(&s->out, bytes);
	s->paused = s->out.n > AHEAD;
	bool more = !s->paused;
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->mutex);
	return more;
}

static void tunnel_begins(void *ctx)
{
	struct session *s = ctx;
	struct call *c = s->c;
	if (c->over)
		return;
	c->status = 101;
	if (!http_tunnel_start(c->r.x, &s->answer, from_client))
		return;
	http_stream_on_drain(c->r.x, drained);
	call_hold(c);
	http_loop_work(c->loop, write_tunnel, writer_ended, s);
}

static bool read_head(struct session *s, struct buf *b, size_t *body, struct error *err)
{
	for (;;) {
		ptrdiff_t end = str_find(buf_str(b), S("\r\n\r\n"));
		if (end >= 0) {
			*body = (size_t)end + 4;
			return true;
		}
		if (b->n > HEAD_MAX)
			return error_set(err, "the kubelet's answer is too long");
		ssize_t n = transport_read(s->t, buf_reserve(b, CHUNK), CHUNK, transport_deadline(CONNECT_MS * 3), err);
		if (n <= 0)
			return n < 0 ? false : error_set(err, "the kubelet closed the connection");
		b->n += (size_t)n;
	}
}

static void run_tunnel(void *ctx)
{
	struct session *s = ctx;
	struct arena *a = s->c->r.arena; // only headers are put there, before the loop sees them
	struct error err = { 0 };
	int64_t deadline = transport_deadline(CONNECT_MS);
	struct transport *t = transport_connect(NULL, s->host, s->port, deadline, &err);
	if (t && !transport_start_tls(t, s->c->s->kubelets->tls, s->host, s->port, deadline, &err)) {
		transport_close(t);
		t = NULL;
	}
	if (!t) {
		s->err = err;
		return;
	}
	pthread_mutex_lock(&s->mutex);
	s->t = t;
	bool over = s->over;
	pthread_mutex_unlock(&s->mutex);
	struct buf b = { 0 };
	size_t body = 0;
	if (over || !transport_write(t, s->request, deadline, &err) || !read_head(s, &b, &body, &err)) {
		s->err = err;
		buf_free(&b);
		return;
	}
	str head = str_sub(buf_str(&b), 0, body), line, rest = head;
	ptrdiff_t eol = str_find(rest, S("\r\n"));
	line = str_sub(rest, 0, (size_t)eol);
	rest = str_from(rest, (size_t)eol + 2);
	str version, code;
	int64_t status = 0;
	str_split(line, ' ', &version, &code);
	str_to_i64(str_sub(code, 0, 3), &status);
	s->status = (int)status;
	if (status != 101) {
		// The rest of what it says, as far as it comes quickly.
		while (b.n - body < 2000) {
			struct error ignored;
			ssize_t n = transport_read(t, buf_reserve(&b, CHUNK), CHUNK, transport_deadline(500), &ignored);
			if (n <= 0)
				break;
			b.n += (size_t)n;
		}
		s->refusal = str_trim(arena_dup(a, str_sub(buf_str(&b), body, body + 2000)));
		buf_free(&b);
		return;
	}
	while ((eol = str_find(rest, S("\r\n"))) > 0) {
		str name, value;
		str_split(str_sub(rest, 0, (size_t)eol), ':', &name, &value);
		rest = str_from(rest, (size_t)eol + 2);
		char *lower = arena_cstr(a, name);
		for (char *p = lower; *p; p++)
			if (*p >= 'A' && *p <= 'Z')
				*p = (char)(*p + 32);
		if (!str_eqc(str_c("date"), lower))
			http_header_add(a, &s->answer, str_c(lower), arena_dup(a, str_trim(value)));
	}
	s->started = true;
	http_loop_post(s->c->loop, tunnel_begins, s);
	bool going = b.n == body || forward(s, b.p + body, b.n - body);
	while (going) {
		buf_clear(&b);
		ssize_t n = transport_read(t, buf_reserve(&b, CHUNK), CHUNK, 0, &err);
		going = n > 0 && forward(s, b.p, (size_t)n);
	}
	buf_free(&b);
}

static void tunnel_ended(void *ctx)
{
	struct session *s = ctx;
	struct call *c = s->c;
	pthread_mutex_lock(&s->mutex);
	s->over = true;
	if (s->t)
		transport_abort(s->t);
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->mutex);
	if (!c->over) {
		if (s->started)
			http_tunnel_close(c->r.x);
		else
			refused(c, s);
	}
	call_release(c);
}

void do_pod_stream(struct call *c)
{
	struct arena *a = c->r.arena;
	struct api_status s = { 0 };
	str what = c->r.info.subresource, container = S(""), host = { 0 };
	int port = 0;
	static const char *const keys[] = { "stdin", "stdout", "stderr", "tty", "command", NULL };
	static const char *const port_keys[] = { "ports", NULL };
	bool forward_ports = str_eq(what, S("portforward"));
	const struct core_v1_Pod *pod = registry_get(&c->r, S(""), S("pods"), c->r.info.ns, c->r.info.name);
	if (!pod)
		status_not_found(a, &s, S(""), S("pods"), c->r.info.name);
	else if (forward_ports || choose_container(c, pod, &container, &s)) {
		if (!pod->spec.nodeName.n)
			status_bad_request(a, &s, "pod " STR_FMT " does not have a host assigned", STR_ARG(pod->metadata.name));
		else
			node_address(c, pod->spec.nodeName, &host, &port, &s);
	}
	if (!s.code && !ws_is_upgrade(c->r.in)) {
		// SPDY is an upgrade, too, but not one that is spoken here.
		if (http_header(&c->r.in->headers, S("upgrade")).n)
			status_bad_request(a, &s, "unable to upgrade: only WebSocket connections (v5.channel.k8s.io) are available");
		else
			status_bad_request(a, &s, "Upgrade request required");
	}
	if (s.code) {
		reply_status(c, &s);
		return;
	}
	struct session *x = session_new(c);
	str path = arena_concat(a, S("/"), forward_ports ? S("portForward") : what, S("/"), pod->metadata.namespace, S("/"), pod->metadata.name);
	if (!forward_ports)
		path = arena_concat(a, path, S("/"), container);
	// The kubelet's names of the streams are input, output and error.
	str q = pass_query(c, forward_ports ? port_keys : keys);
	struct buf fixed = { 0 };
	for (str rest = q.n ? str_from(q, 1) : (str){ 0 }, part; str_next(&rest, '&', &part);) {
		str k, v;
		str_split(part, '=', &k, &v);
		if (str_eq(k, S("stdin")))
			k = S("input");
		else if (str_eq(k, S("stdout")))
			k = S("output");
		else if (str_eq(k, S("stderr")))
			k = S("error");
		if (!str_eq(k, S("command")) && !str_eq(k, S("ports")))
			v = str_eq(v, S("true")) || str_eq(v, S("1")) ? S("1") : S("0");
		if (str_eq(v, S("0")) && !str_eq(k, S("command")))
			continue;
		buf_printf(&fixed, "%s" STR_FMT "=" STR_FMT, fixed.n ? "&" : "?", STR_ARG(k), STR_ARG(v));
	}
	path = arena_concat(a, path, buf_str(&fixed));
	buf_clear(&fixed);
	buf_printf(&fixed, "GET " STR_FMT " HTTP/1.1\r\nhost: " STR_FMT ":%d\r\nuser-agent: kube-apiserver\r\nconnection: Upgrade\r\nupgrade: websocket\r\n", STR_ARG(path),
	           STR_ARG(bracketed(a, host)), port);
	static const char *const pass[] = { "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol", "origin" };
	for (size_t i = 0; i < c->r.in->headers.n; i++)
		for (size_t k = 0; k < ARRAY_LEN(pass); k++)
			if (str_eqc(c->r.in->headers.v[i].name, pass[k]))
				buf_printf(&fixed, "%s: " STR_FMT "\r\n", pass[k], STR_ARG(c->r.in->headers.v[i].value));
	buf_add(&fixed, S("\r\n"));
	x->request = arena_dup(a, buf_str(&fixed));
	buf_free(&fixed);
	x->host = host;
	x->port = port;
	x->url = arena_concat(a, S("https://"), bracketed(a, host), arena_printf(a, ":%d", port), path);
	call_hold(c);
	http_loop_work(c->loop, run_tunnel, tunnel_ended, x);
}
