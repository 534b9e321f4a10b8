#include "base/clock.h"
#include "base/encode.h"
#include "kubectl/cmd.h"

// Marks errors that are a Status of the server's (see from_server).
enum { SERVER_ERROR = -1 };
enum { MAX_LINE = 64 << 20, MAX_RETRIES = 10 };

bool kc_from_server(const struct error *err)
{
	return err->sys == SERVER_ERROR;
}

void api_headers(struct kctl *k, struct arena *a, struct http_headers *h)
{
	if (k->as.n)
		http_header_add(a, h, S("impersonate-user"), k->as);
	for (size_t i = 0; i < k->as_groups.n; i++)
		http_header_add(a, h, S("impersonate-group"), k->as_groups.v[i]);
}

bool api_fail(struct kctl *k, struct arena *a, int status, str body, struct error *err)
{
	struct error ignored;
	struct value *v = json_parse(k->a, arena_dup(k->a, body), NULL, &ignored);
	if (str_eqc(value_get_str(v, S("kind")), "Status")) {
		str reason = value_get_str(v, S("reason")), message = value_get_str(v, S("message"));
		k->status = v;
		error_api(err, (int)kc_value_i64(value_get(v, S("code")), status), arena_cstr(k->a, reason), STR_FMT,
		          STR_ARG(message));
	} else {
		str text = str_trim(str_sub(body, 0, 500));
		k->status = NULL;
		if (status == 401)
			error_api(err, 401, "Unauthorized",
			          "the server has asked for the client to provide credentials");
		else if (status == 404)
			error_api(err, 404, "NotFound", "the server could not find the requested resource");
		else
			error_api(err, status, status >= 500 ? "InternalError" : "",
			          "an error on the server (\"" STR_FMT "\") has prevented the request from succeeding",
			          STR_ARG(text));
	}
	err->sys = SERVER_ERROR;
	return false;
}

bool http_connect_error(struct kctl *k, struct error *err)
{
	str text = error_str(err), host = k->server;
	if (kc_from_server(err))
		return false;
	if (str_contains(text, S("connection refused"))) {
		str_cut_prefix(&host, S("https://"));
		str_cut_prefix(&host, S("http://"));
		return error_api(err, 503, "Connection",
		                 "The connection to the server " STR_FMT
		                 " was refused - did you specify the right host or port?",
		                 STR_ARG(host));
	}
	char copy[sizeof(err->text)];
	memcpy(copy, err->text, sizeof(copy));
	return error_api(err, 503, "Connection", "Unable to connect to the server: %s", copy);
}

// Warning headers: 299 - "text" (RFC 7234, 5.5).
static void show_warnings(struct kctl *k, const struct http_headers *h)
{
	for (size_t i = 0; i < h->n; i++) {
		if (!str_eqc(h->v[i].name, "warning"))
			continue;
		str text = h->v[i].value;
		ptrdiff_t open = str_find_char(text, '"');
		if (open < 0)
			continue;
		_cleanup_buf_ struct buf b = { 0 };
		for (size_t at = (size_t)open + 1; at < text.n && text.p[at] != '"'; at++) {
			if (text.p[at] == '\\' && at + 1 < text.n)
				at++;
			buf_add_char(&b, text.p[at]);
		}
		kc_warn(k, STR_FMT, STR_ARG(buf_str(&b)));
	}
}

bool api_call(struct kctl *k, struct arena *a, const char *method, str path, str content_type, str body, str accept,
              str *answer, struct error *err)
{
	for (int attempt = 0;; attempt++) {
		struct http_call call = { .method = method, .path = path, .body = body };
		struct http_answer out = { 0 };
		http_header_add(a, &call.headers, S("accept"), accept);
		if (content_type.n)
			http_header_add(a, &call.headers, S("content-type"), content_type);
		api_headers(k, a, &call.headers);
		if (!http_client_do(k->http, a, &call, &out, err))
			return http_connect_error(k, err);
		int64_t seconds;
		str later = http_header(&out.headers, S("retry-after"));
		if ((out.status == 429 || out.status >= 500) && attempt < MAX_RETRIES && str_to_i64(later, &seconds) &&
		    seconds >= 0) {
			clock_sleep(NULL, MIN(seconds, INT64_C(30)) * NS_PER_SEC);
			continue;
		}
		show_warnings(k, &out.headers);
		if (out.status >= 400)
			return api_fail(k, a, out.status, out.body, err);
		*answer = out.body;
		return true;
	}
}

struct value *api_json(struct kctl *k, struct arena *a, const char *method, str path, str content_type, str body,
                       struct error *err)
{
	str answer = { 0 };
	if (!api_call(k, a, method, path, content_type, body, S(JSON_TYPE), &answer, err))
		return NULL;
	return json_parse(a, answer, NULL, err);
}

struct value *api_get(struct kctl *k, str path, struct error *err)
{
	return api_json(k, k->a, "GET", path, (str){ 0 }, (str){ 0 }, err);
}

bool api_lines(struct kctl *k, struct arena *a, str path, str accept, int64_t until, bool (*line)(void *ctx, str text),
               void *ctx, struct error *err)
{
	struct http_call call = { .method = "GET", .path = path, .timeout_ms = -1 };
	struct http_answer head = { 0 };
	http_header_add(a, &call.headers, S("accept"), accept);
	api_headers(k, a, &call.headers);
	struct http_stream_in *s = http_client_open(k->http, a, &call, &head, err);
	if (!s)
		return http_connect_error(k, err);
	_cleanup_buf_ struct buf b = { 0 };
	size_t scanned = 0;
	bool go = true, ok = true;
	while (go) {
		int64_t left = until ? MAX((until - clock_mono(NULL)) / NS_PER_MS, INT64_C(1)) : -1;
		ssize_t n = http_stream_read(s, buf_reserve(&b, 16384), 16384, (int)MIN(left, INT64_C(86400000)), err);
		if (n <= 0) {
			ok = n == 0;
			if (!ok && until && clock_mono(NULL) >= until)
				error_api(err, 504, "Timeout", "timed out waiting for the condition");
			break;
		}
		b.n += (size_t)n;
		if (head.status >= 400)
			continue;
		char *end;
		while (go && (end = memchr(b.p + scanned, '\n', b.n - scanned))) {
			size_t length = (size_t)(end - b.p);
			go = line(ctx, str_n(b.p, length));
			buf_consume(&b, length + 1);
			scanned = 0;
		}
		scanned = b.n;
		if (b.n > MAX_LINE) {
			ok = error_set(err, "a line of the answer is longer than %d bytes", MAX_LINE);
			break;
		}
	}
	http_stream_in_close(s);
	if (head.status >= 400)
		return api_fail(k, a, head.status, buf_str(&b), err);
	if (ok && go && b.n)
		line(ctx, buf_str(&b));
	return ok;
}

// --- One object over time ---

struct watching {
	struct kctl *k;
	bool (*seen)(void *ctx, struct value *obj, struct error *err);
	void *ctx;
	struct error *err;
	bool done, broken;
};

static bool on_event(void *ctx, str text)
{
	struct watching *w = ctx;
	struct error ignored;
	struct value *event = json_parse(w->k->a, arena_dup(w->k->a, text), NULL, &ignored),
	             *obj = value_get(event, S("object"));
	str type = value_get_str(event, S("type"));
	if (str_eqc(type, "BOOKMARK"))
		return true;
	if (!obj || str_eqc(type, "ERROR")) {
		w->broken = true;
		return false;
	}
	w->done = w->seen(w->ctx, str_eqc(type, "DELETED") ? NULL : obj, w->err);
	return !w->done;
}

bool kc_watch_object(struct kctl *k, const struct rtype *t, str ns, str name, int64_t until,
                     bool (*seen)(void *ctx, struct value *obj, struct error *err), void *ctx, struct error *err)
{
	struct watching w = { .k = k, .seen = seen, .ctx = ctx, .err = err };
	str selector = arena_concat(k->a, S("?fieldSelector=metadata.name%3D"), percent_encode(k->a, name));
	for (;;) {
		str path = arena_concat(k->a, kc_type_path(k, t, ns, (str){ 0 }), selector);
		struct value *list = api_get(k, path, err), *items = value_get(list, S("items"));
		if (!list)
			return false;
		str version = value_str(value_path(list, S("metadata"), S("resourceVersion")));
		err->code = 0;
		if (seen(ctx, value_is(items, V_ARRAY) && items->a.n ? items->a.v[0] : NULL, err))
			return err->code == 0;
		if (until && clock_mono(NULL) >= until)
			return error_api(err, 504, "Timeout", "timed out waiting for the condition");
		path = arena_concat(k->a, path, S("&watch=true&resourceVersion="), version);
		struct error why = { 0 };
		bool ok = api_lines(k, k->a, path, S(JSON_TYPE), until, on_event, &w, &why);
		if (w.done)
			return err->code == 0;
		if (!ok && (error_is(&why, "Timeout") || kc_from_server(&why))) {
			*err = why;
			return false;
		}
		clock_sleep(NULL, 200 * NS_PER_MS); // the watch ended: look again
	}
}
