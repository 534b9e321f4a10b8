// The door: what a URL means, who asks, whether they may, and which handler it is for.
#include "apiserver/apiserver.h"

#include "base/encode.h"

void call_hold(struct call *c) { c->holds++; }

void call_release(struct call *c)
{
	if (--c->holds > 0 || !c->over)
		return;
	arena_free(c->r.arena);
}

static void on_close(struct http_exchange *x, void *data)
{
	struct call *c = data;
	(void)x;
	call_hold(c);
	c->over = true;
	metrics_count(c);
	if (c->on_over)
		c->on_over(c);
	c->r.x = NULL;
	c->r.in = NULL;
	call_release(c);
}

// Rule: apiserver pkg/endpoints/request/requestinfo.go.
static bool read_request_info(struct call *c, struct api_status *s)
{
	struct request *r = &c->r;
	struct request_info *info = &r->info;
	struct arena *a = r->arena;
	static const struct { str method, verb; } verbs[] = {
		{ S_INIT("POST"), S_INIT("create") }, { S_INIT("GET"), S_INIT("get") }, { S_INIT("HEAD"), S_INIT("get") },
		{ S_INIT("PUT"), S_INIT("update") }, { S_INIT("PATCH"), S_INIT("patch") }, { S_INIT("DELETE"), S_INIT("delete") },
	};
	if (!percent_decode(a, r->in->path, false, &info->path))
		return status_bad_request(a, s, "invalid URL escape");
	if (!http_query_parse(a, r->in->query, &r->params))
		return status_bad_request(a, s, "invalid URL escape");
	char *lower = arena_cstr(a, r->in->method);
	for (char *p = lower; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p + 32);
	info->verb = str_c(lower);
	struct str_list parts = { 0 };
	for (str rest = info->path, part; str_next(&rest, '/', &part);)
		if (part.n)
			*LIST_ADD(a, &parts) = part;
	bool core = parts.n && str_eq(parts.v[0], S("api"));
	if (parts.n < 3 || !(core || str_eq(parts.v[0], S("apis"))))
		return true;
	info->api_prefix = parts.v[0];
	size_t i = 1;
	if (!core) {
		if (parts.n < 4)
			return true;
		info->group = parts.v[i++];
	}
	info->is_resource = true;
	info->version = parts.v[i++];
	info->verb = S("");
	for (size_t k = 0; k < ARRAY_LEN(verbs); k++)
		if (str_eq(verbs[k].method, r->in->method))
			info->verb = verbs[k].verb;
	bool old_watch = false;
	if (str_eq(parts.v[i], S("watch")) && i + 1 < parts.n) {
		info->verb = S("watch");
		old_watch = true;
		i++;
	}
	if (str_eq(parts.v[i], S("namespaces")) && i + 1 < parts.n) {
		info->ns = parts.v[i + 1];
		if (i + 2 < parts.n && !str_eq(parts.v[i + 2], S("status")) && !str_eq(parts.v[i + 2], S("finalize")))
			i += 2;
	}
	info->resource = parts.v[i++];
	if (i < parts.n)
		info->name = parts.v[i++];
	if (i < parts.n)
		info->subresource = parts.v[i++];
	str v;
	if (info->name.n == 0 && (str_eq(info->verb, S("get")) || old_watch)) {
		bool watch = old_watch;
		if (!watch && http_param_get(&r->params, S("watch"), &v))
			watch = !(str_eq_nocase(v, S("false")) || str_eq(v, S("0")));
		info->verb = watch ? S("watch") : S("list");
		struct field_selector f = { 0 };
		struct error err = { 0 };
		if (http_param_get(&r->params, S("fieldSelector"), &v) && field_selector_parse(a, v, &f, &err))
			for (size_t k = 0; k < f.n; k++)
				if (str_eq(f.v[k].path, S("metadata.name")) && !f.v[k].not_equal)
					info->field_selector_name = f.v[k].value;
	}
	if (info->name.n == 0 && str_eq(info->verb, S("delete")))
		info->verb = S("deletecollection");
	return true;
}

static bool not_found(struct api_status *s)
{
	*s = (struct api_status){ .code = 404, .reason = S("NotFound"), .message = S("the server could not find the requested resource") };
	return false;
}

static bool not_allowed(struct api_status *s)
{
	*s = (struct api_status){ .code = 405, .reason = S("MethodNotAllowed"), .message = S("the server does not allow this method on the requested resource") };
	return false;
}

static bool dispatch_resource(struct call *c, struct api_status *s)
{
	struct request_info *info = &c->r.info;
	struct apiserver *srv = c->s;
	c->kind = kind_find(srv, info->group, info->version, info->resource);
	if (!c->kind && info->group.n && !map_has(&srv->discovery, arena_concat(c->r.arena, S("/apis/"), info->group))) {
		reply_text(c, 404, S("text/plain; charset=utf-8"), S("404 page not found\n"));
		return true;
	}
	if (!c->kind)
		return not_found(s);
	// More parts than a subresource has (proxy paths apart) name nothing.
	size_t parts = 0;
	for (str rest = info->path, part; str_next(&rest, '/', &part);)
		parts += part.n > 0;
	size_t expected = (str_eq(info->api_prefix, S("api")) ? 3 : 4) + (info->ns.n && !str_eq(info->resource, S("namespaces")) ? 2 : 0) +
	                  (info->name.n > 0) + (info->subresource.n > 0) + (str_has_prefix(info->path, S("/api/v1/watch/")) || str_find(info->path, S("/watch/")) >= 0);
	if (info->subresource.n) {
		struct str_list none = { 0 };
		(void)none;
		str path = arena_concat(c->r.arena, info->resource, S("/"), info->subresource);
		c->sub = schema_resource(info->group, info->version, path);
		if (!c->sub || (parts > expected && !str_eq(info->subresource, S("proxy"))))
			return not_found(s);
	}
	if (c->kind->namespaced && info->ns.n == 0 && (info->name.n || !(str_eq(info->verb, S("list")) || str_eq(info->verb, S("watch")) || str_eq(info->verb, S("deletecollection")))))
		return str_eq(info->verb, S("create")) || info->name.n == 0 ? not_allowed(s) : not_found(s);
	if (c->kind->namespaced && info->ns.n == 0 && str_eq(info->verb, S("deletecollection")))
		return not_allowed(s);
	if (!c->kind->namespaced && info->ns.n && !str_eq(info->resource, S("namespaces")))
		return not_found(s);
	static const struct { str verb; unsigned bit; bool named; void (*handler)(struct call *); } handlers[] = {
		{ S_INIT("get"), V_GET, true, do_get },          { S_INIT("list"), V_LIST, false, do_list },
		{ S_INIT("watch"), V_WATCH, false, do_watch },   { S_INIT("create"), V_CREATE, false, do_create },
		{ S_INIT("update"), V_UPDATE, true, do_update }, { S_INIT("patch"), V_PATCH, true, do_patch },
		{ S_INIT("delete"), V_DELETE, true, do_delete }, { S_INIT("deletecollection"), V_DELETECOLLECTION, false, do_delete_collection },
	};
	if (c->sub) {
		bool verb_known = false;
		for (str rest = schema_text(c->sub->verbs), part; str_next(&rest, ',', &part);)
			verb_known |= str_eq(part, info->verb);
		if (!verb_known)
			return not_allowed(s);
		if (do_subresource(c))
			return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(handlers); i++) {
		if (!str_eq(info->verb, handlers[i].verb))
			continue;
		if (!c->sub && !(c->kind->verbs & handlers[i].bit))
			return not_allowed(s);
		bool named = info->name.n > 0;
		if (!c->sub && named != handlers[i].named && handlers[i].bit != V_WATCH)
			return not_allowed(s);
		// Kinds that upstream has grown out of.
		if (str_eq(c->kind->key_prefix, S("core/endpoints")))
			request_warn(&c->r, "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice");
		else if (!info->group.n && str_eq(info->resource, S("componentstatuses")))
			request_warn(&c->r, "v1 ComponentStatus is deprecated in v1.19+");
		handlers[i].handler(c);
		return true;
	}
	return not_allowed(s);
}

static bool serve(struct call *c, struct api_status *s)
{
	struct request *r = &c->r;
	if (!read_request_info(c, s))
		return false;
	if (!authenticate(r, s))
		return false;
	if (!authorize(r, s))
		return false;
	if (r->in->body_too_large) {
		*s = (struct api_status){ .code = 413, .reason = S("RequestEntityTooLarge"), .message = S("Request entity too large: limit is 3145728") };
		return false;
	}
	if (r->info.is_resource)
		return dispatch_resource(c, s);
	if (!do_non_resource(c))
		reply_text(c, 404, S("text/plain; charset=utf-8"), S("404 page not found\n"));
	return true;
}

void handle_request(struct http_exchange *x, void *ctx)
{
	struct door *door = ctx;
	struct apiserver *srv = door->s;
	if (!atomic_load_explicit(&srv->ready, memory_order_acquire)) {
		struct http_headers none = { 0 };
		http_reply(x, 503, &none, S("the apiserver is starting\n"));
		return;
	}
	struct arena *a = arena_new(8192);
	struct call *c = ARENA_NEW(a, struct call);
	c->s = srv;
	c->loop = http_exchange_loop(x);
	c->state = srv->loops[door->first_loop + http_loop_index(c->loop)];
	c->started = clock_mono(srv->clock);
	c->r = (struct request){ .server = srv, .x = x, .in = http_request(x), .arena = a, .clock = srv->clock, .rng = srv->rng,
		              .loop = door->first_loop + http_loop_index(c->loop) };
	http_exchange_set(x, c, on_close);
	call_hold(c);
	struct api_status s = { 0 };
	if (!serve(c, &s) && !c->over)
		reply_status(c, &s);
	call_release(c);
}

bool do_non_resource(struct call *c)
{
	str path = c->r.info.path;
	if (str_eq(path, S("/version")) || str_eq(path, S("/version/"))) {
		if (!str_eq(c->r.in->method, S("GET")) && !str_eq(c->r.in->method, S("HEAD"))) {
			struct api_status s;
			not_allowed(&s);
			reply_status(c, &s);
			return true;
		}
		reply_text(c, 200, S("application/json"), S("{\n  \"major\": \"1\",\n  \"minor\": \"36\",\n  \"emulationMajor\": \"1\",\n  \"emulationMinor\": \"36\",\n  \"minCompatibilityMajor\": \"1\",\n  \"minCompatibilityMinor\": \"35\",\n"
		                                            "  \"gitVersion\": \"v1.36.2+coracle." CORACLE_VERSION "\",\n  \"gitCommit\": \"\",\n  \"gitTreeState\": \"clean\",\n  \"buildDate\": \"1970-01-01T00:00:00Z\",\n"
		                                            "  \"goVersion\": \"none\",\n  \"compiler\": \"gcc\",\n  \"platform\": \"linux/amd64\"\n}"));
		return true;
	}
	if (str_eq(path, S("/metrics"))) {
		struct buf b = { 0 };
		metrics_text(c->s, &b);
		reply_text(c, 200, S("text/plain; version=0.0.4; charset=utf-8"), buf_str(&b));
		buf_free(&b);
		return true;
	}
	if (str_eq(path, S("/.well-known/openid-configuration")) || str_eq(path, S("/openid/v1/jwks"))) {
		bool config = path.p[1] == '.';
		str text = config ? policy_openid_configuration(c->s->policy) : policy_jwks(c->s->policy);
		if (!text.n)
			return false;
		struct http_headers h = { 0 };
		http_header_add(c->r.arena, &h, S("cache-control"), S("public, max-age=3600"));
		http_header_add(c->r.arena, &h, S("content-type"), config ? S("application/json") : S("application/jwk-set+json"));
		c->status = 200;
		http_reply(c->r.x, 200, &h, text);
		return true;
	}
	return health(c) || openapi(c) || discovery(c);
}
