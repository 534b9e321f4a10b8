// The REST client: paths, bodies and answers of the API over net/http_client.h.
#include "client/client.h"

#include <pthread.h>

#include "base/buf.h"
#include "base/encode.h"
#include "base/heap.h"
#include "base/log.h"
#include "client/client_internal.h"
#include "client/thread.h"
#include "schema_gen.h"

enum {
	LIST_PAGE = 500,
	MAX_RETRIES = 10,
	MAX_RETRY_AFTER_S = 60,
	TOKEN_AGE_S = 10,
	MAX_TOKEN = 64 << 10,
	ACCOUNT_TOKEN_S = 3600
};

struct client {
	struct arena *arena;
	const struct clock *clock;
	const struct rng *rng;
	struct http_client *http;
	str ns;
	// Tokens rotate: the file is read again every few seconds.
	pthread_mutex_t lock;
	str token;
	const char *token_file;
	char *file_token;
	int64_t file_token_at;
	// In the name of a ServiceAccount.
	struct client *base;
	str account_ns, account;
	char *account_token;
	int64_t account_token_until; // monotonic; renewed after that
	// Connections without a client certificate, for those who come with tokens of their own; made on first use.
	struct http_client_opts bearer_opts;
	struct tls_client_opts bearer_tls;
	struct http_client *bearer;
};

static str current_token(struct arena *a, void *ctx)
{
	struct client *c = ctx;
	if (!c->token_file)
		return c->token;
	THREAD_LOCKED(&c->lock);
	int64_t now = clock_mono(c->clock);
	if (!c->file_token || now - c->file_token_at > TOKEN_AGE_S * NS_PER_SEC) {
		str text;
		struct error err = { 0 };
		if (io_read_file(a, c->token_file, MAX_TOKEN, &text, &err)) {
			free(c->file_token);
			c->file_token = heap_cstr(str_trim(text));
		} else {
			log_warn("token: %s", err.text);
		}
		c->file_token_at = now;
	}
	return arena_dup(a, str_c(c->file_token));
}

struct client *client_from_kubeconfig(const char *path, const char *user_agent, const struct clock *clock,
                                      const struct rng *rng, struct error *err)
{
	struct arena *a = arena_new(0);
	struct kubeconfig k;
	if (!kubeconfig_read(a, path, &k, err)) {
		arena_free(a);
		return NULL;
	}
	struct client *c = ARENA_NEW(a, struct client);
	*c = (struct client){ .arena = a, .clock = clock, .rng = rng, .token = k.token, .ns = k.ns };
	pthread_mutex_init(&c->lock, NULL);
	if (!str_empty(k.token_file))
		c->token_file = arena_cstr(a, k.token_file);
	struct http_client_opts o = { .base_url = k.server,
		                      .user_agent = arena_dup(a, str_c(user_agent)),
		                      .token_ctx = c };
	if (c->token_file || !str_empty(c->token))
		o.token = current_token;
	if (str_has_prefix(k.server, S("https://"))) {
		struct tls_client_opts t = { .ca_pem = k.ca_pem,
			                     .cert_pem = k.cert_pem,
			                     .key_pem = k.key_pem,
			                     .insecure = k.insecure,
			                     .server_name = k.server_name };
		o.tls = tls_client_new(&t, err);
		if (!o.tls) {
			client_free(c);
			error_wrap(err, "%s", path);
			return NULL;
		}
	}
	c->http = http_client_new(&o, err);
	if (o.tls)
		tls_unref(o.tls);
	c->bearer_opts = (struct http_client_opts){ .base_url = o.base_url, .user_agent = o.user_agent };
	c->bearer_tls =
	        (struct tls_client_opts){ .ca_pem = k.ca_pem, .insecure = k.insecure, .server_name = k.server_name };
	if (!c->http) {
		client_free(c);
		return NULL;
	}
	return c;
}

// --- ServiceAccounts ---

struct client *client_as_service_account(struct client *base, str ns, str name, struct error *err)
{
	THREAD_LOCKED(&base->lock);
	if (!base->bearer) {
		struct http_client_opts o = base->bearer_opts;
		if (str_has_prefix(o.base_url, S("https://")) && !(o.tls = tls_client_new(&base->bearer_tls, err)))
			return NULL;
		base->bearer = http_client_new(&o, err);
		if (o.tls)
			tls_unref(o.tls);
		if (!base->bearer)
			return NULL;
	}
	struct arena *a = arena_new(512);
	struct client *c = ARENA_NEW(a, struct client);
	*c = (struct client){ .arena = a,
		              .clock = base->clock,
		              .rng = base->rng,
		              .http = base->bearer,
		              .base = base,
		              .account_ns = arena_dup(a, ns),
		              .account = arena_dup(a, name) };
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

static const struct authentication_v1_TokenRequest *request_token(struct client *c, struct arena *a, struct error *err)
{
	const struct resource_desc *token = schema_resource(S(""), S("v1"), S("serviceaccounts/token"));
	int64_t seconds = ACCOUNT_TOKEN_S;
	struct authentication_v1_TokenRequest body = { .spec = { .expirationSeconds = &seconds } };
	const struct authentication_v1_TokenRequest *made =
	        client_create_sub(c->base, a, token, c->account_ns, c->account, &body, err);
	if (made || err->code != 404)
		return made;
	*err = (struct error){ 0 };
	struct core_v1_ServiceAccount account = { .metadata = { .name = c->account, .namespace = c->account_ns } };
	if (!client_create(c->base, a, schema_resource(S(""), S("v1"), S("serviceaccounts")), c->account_ns, &account,
	                   err) &&
	    !error_is(err, "AlreadyExists"))
		return NULL;
	*err = (struct error){ 0 };
	return client_create_sub(c->base, a, token, c->account_ns, c->account, &body, err);
}

// The authorization header of a ServiceAccount's client. fresh: the token that is kept is not taken any more.
static bool authorization(struct client *c, struct arena *a, bool fresh, str *out, struct error *err)
{
	THREAD_LOCKED(&c->lock);
	int64_t now = clock_mono(c->clock);
	if (fresh || !c->account_token || now > c->account_token_until) {
		const struct authentication_v1_TokenRequest *t = request_token(c, a, err);
		if (!t)
			return error_wrap(err, "token of service account " STR_FMT "/" STR_FMT, STR_ARG(c->account_ns),
			                  STR_ARG(c->account));
		free(c->account_token);
		c->account_token = heap_cstr(t->status.token);
		int64_t lives = t->status.expirationTimestamp.sec - clock_wall(c->clock) / NS_PER_SEC;
		c->account_token_until = now + MAX(lives, INT64_C(60)) * NS_PER_SEC / 10 * 8;
	}
	*out = arena_concat(a, S("Bearer "), str_c(c->account_token));
	return true;
}

void client_free(struct client *c)
{
	if (!c)
		return;
	if (!c->base)
		http_client_free(c->http);
	http_client_free(c->bearer);
	free(c->account_token);
	pthread_mutex_destroy(&c->lock);
	free(c->file_token);
	arena_free(c->arena);
}

const struct clock *client_clock(const struct client *c)
{
	return c->clock;
}
const struct rng *client_rng(const struct client *c)
{
	return c->rng;
}
struct http_client *client_http(const struct client *c)
{
	return c->http;
}
str client_namespace(const struct client *c)
{
	return str_empty(c->ns) ? S("default") : c->ns;
}

// --- Errors ---

static const struct {
	const char *reason;
	int code;
} reasons[] = {
	// The first of a code is taken where the text is unknown.
	{ "BadRequest", 400 },
	{ "Unauthorized", 401 },
	{ "Forbidden", 403 },
	{ "NotFound", 404 },
	{ "MethodNotAllowed", 405 },
	{ "NotAcceptable", 406 },
	{ "Conflict", 409 },
	{ "AlreadyExists", 409 },
	{ "Expired", 410 },
	{ "Gone", 410 },
	{ "RequestEntityTooLarge", 413 },
	{ "UnsupportedMediaType", 415 },
	{ "Invalid", 422 },
	{ "TooManyRequests", 429 },
	{ "InternalError", 500 },
	{ "ServerTimeout", 500 },
	{ "ServiceUnavailable", 503 },
	{ "Timeout", 504 },
	{ "StoreReadError", 500 },
	{ "Unknown", 0 },
};

const char *client_reason(str reason, int code)
{
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (str_eqc(reason, reasons[i].reason))
			return reasons[i].reason;
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (reasons[i].code == code)
			return reasons[i].reason;
	return code >= 500 ? "InternalError" : "Unknown";
}

bool client_error_of(struct arena *a, const struct http_answer *answer, struct error *err)
{
	struct error ignored = { 0 };
	if (!str_empty(answer->body) && answer->body.p[0] == '{') {
		const struct meta_v1_Status *s = schema_from_json(a, meta_v1_Status_desc, answer->body, NULL, &ignored);
		if (s && str_eq(s->kind, S("Status")) && (s->code || !str_empty(s->message))) {
			int code = s->code ? s->code : answer->status;
			return error_api(err, code, client_reason(s->reason, code), STR_FMT, STR_ARG(s->message));
		}
	}
	str text = str_trim(answer->body);
	return error_api(err, answer->status, client_reason(S(""), answer->status),
	                 "the server answered %d %s%s" STR_FMT, answer->status, http_status_text(answer->status),
	                 text.n ? ": " : "", STR_ARG(str_sub(text, 0, 300)));
}

int64_t client_retry_after(const struct http_answer *answer)
{
	int64_t s;
	if (!str_to_i64(http_header(&answer->headers, S("retry-after")), &s) || s < 0)
		return -1;
	return MIN(s, (int64_t)MAX_RETRY_AFTER_S);
}

// --- Calls ---

str client_path(struct arena *a, str group, str version, str resource, str ns)
{
	return arena_concat(a, str_empty(group) ? S("/api/") : S("/apis/"), group, str_empty(group) ? S("") : S("/"),
	                    version, str_empty(ns) ? S("") : S("/namespaces/"), ns, S("/"), resource);
}

static str object_path(struct arena *a, const struct resource_desc *r, str ns, str name, str subresource)
{
	str resource = schema_text(r->resource), main_resource, sub;
	if (str_split(resource, '/', &main_resource, &sub) && str_empty(subresource))
		subresource = sub;
	str path = client_path(a, schema_text(r->group), schema_text(r->version), main_resource,
	                       r->namespaced ? ns : S(""));
	return arena_concat(a, path, str_empty(name) ? S("") : S("/"), name, str_empty(subresource) ? S("") : S("/"),
	                    subresource);
}

// One call; waits and tries again where the server asks for it (429, or 5xx with Retry-After).
static bool call(struct client *c, struct arena *a, const char *method, str path, str content_type, str accept,
                 str body, struct http_answer *answer, struct error *err)
{
	struct http_call h = { .method = method, .path = path, .body = body };
	http_header_add(a, &h.headers, S("accept"), accept);
	if (!str_empty(body))
		http_header_add(a, &h.headers, S("content-type"), content_type);
	struct http_headers headers = h.headers;
	bool renewed = false;
	for (int try = 0;; try++) {
		*answer = (struct http_answer){ 0 };
		if (c->base) {
			str bearer = S("");
			if (!authorization(c, a, renewed && try == 1, &bearer, err))
				return false;
			h.headers = headers;
			http_header_add(a, &h.headers, S("authorization"), bearer);
		}
		if (!http_client_do(c->http, a, &h, answer, err))
			return error_wrap(err, "%s " STR_FMT, method, STR_ARG(path));
		if (answer->status < 400)
			return true;
		// The account was made anew, or the server's key changed: once more with a new token.
		if (c->base && answer->status == 401 && !renewed && try == 0) {
			renewed = true;
			continue;
		}
		int64_t wait = answer->status == 429 || answer->status >= 500 ? client_retry_after(answer) : -1;
		if (wait < 0 || try == MAX_RETRIES)
			return client_error_of(a, answer, err);
		clock_sleep(c->clock, MAX(wait * NS_PER_SEC, 100 * NS_PER_MS));
	}
}

static const struct message_desc *body_of(const struct resource_desc *r)
{
	return schema_message_at(r->message);
}

// The object as JSON; apiVersion and kind are filled in where the caller left them out (the copy is shallow).
static void encode(struct arena *a, struct buf *to, const struct resource_desc *r, const struct message_desc *m,
                   const void *obj)
{
	struct {
		str api_version, kind;
	} * head;
	const void *whole = obj;
	if (m->flags & MF_TYPEMETA) {
		head = arena_alloc(a, m->size);
		memcpy(head, obj, m->size);
		if (str_empty(head->kind)) {
			str group = schema_text(r->group), version = schema_text(r->version);
			head->kind = schema_text(r->kind);
			if (r->body_group_version)
				head->api_version = schema_text(r->body_group_version);
			else
				head->api_version =
				        str_empty(group) ? version : arena_concat(a, group, S("/"), version);
		}
		whole = head;
	}
	schema_to_json(to, m, whole);
}

static void *send_object(struct client *c, struct arena *a, const char *method, const struct resource_desc *r,
                         const struct message_desc *m, str path, const void *obj, struct error *err)
{
	_cleanup_buf_ struct buf body = { 0 };
	encode(a, &body, r, m, obj);
	struct http_answer answer;
	if (!call(c, a, method, path, S("application/json"), S("application/json"), buf_str(&body), &answer, err))
		return NULL;
	return schema_from_json(a, m, answer.body, NULL, err);
}

void *client_get(struct client *c, struct arena *a, const struct resource_desc *r, str ns, str name, struct error *err)
{
	struct http_answer answer;
	if (!call(c, a, "GET", object_path(a, r, ns, name, S("")), S(""), S("application/json"), S(""), &answer, err))
		return NULL;
	return schema_from_json(a, body_of(r), answer.body, NULL, err);
}

void *client_create(struct client *c, struct arena *a, const struct resource_desc *r, str ns, const void *obj,
                    struct error *err)
{
	return send_object(c, a, "POST", r, body_of(r), object_path(a, r, ns, S(""), S("")), obj, err);
}

void *client_update(struct client *c, struct arena *a, const struct resource_desc *r, const char *subresource,
                    const void *obj, struct error *err)
{
	const struct meta_v1_ObjectMeta *meta = object_meta(body_of(r), (void *)(uintptr_t)obj);
	if (!meta) {
		error_set(err, "client_update: " STR_FMT " has no metadata", STR_ARG(schema_text(r->kind)));
		return NULL;
	}
	return send_object(c, a, "PUT", r, body_of(r),
	                   object_path(a, r, meta->namespace, meta->name, str_c(subresource)), obj, err);
}

void *client_patch(struct client *c, struct arena *a, const struct resource_desc *r, const char *subresource, str ns,
                   str name, enum patch_type type, str patch, struct error *err)
{
	static const char *const types[] = { "application/json-patch+json", "application/merge-patch+json",
		                             "application/strategic-merge-patch+json" };
	struct http_answer answer;
	if (!call(c, a, "PATCH", object_path(a, r, ns, name, str_c(subresource)), str_c(types[type]),
	          S("application/json"), patch, &answer, err))
		return NULL;
	return schema_from_json(a, body_of(r), answer.body, NULL, err);
}

bool client_delete(struct client *c, const struct resource_desc *r, str ns, str name, const struct delete_opts *o,
                   struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	_cleanup_buf_ struct buf body = { 0 };
	if (o) {
		struct meta_v1_DeleteOptions d = { .apiVersion = S("v1"), .kind = S("DeleteOptions") };
		struct meta_v1_Preconditions p = { 0 };
		int64_t grace = o->grace_seconds;
		str propagation = str_c(o->propagation), uid = o->uid, version = o->resource_version;
		if (grace >= 0)
			d.gracePeriodSeconds = &grace;
		if (o->propagation)
			d.propagationPolicy = &propagation;
		if (!str_empty(uid))
			p.uid = &uid;
		if (!str_empty(version))
			p.resourceVersion = &version;
		if (p.uid || p.resourceVersion)
			d.preconditions = &p;
		schema_to_json(&body, meta_v1_DeleteOptions_desc, &d);
	}
	struct http_answer answer;
	return call(c, a, "DELETE", object_path(a, r, ns, name, S("")), S("application/json"), S("application/json"),
	            buf_str(&body), &answer, err);
}

void *client_create_sub(struct client *c, struct arena *a, const struct resource_desc *sub, str ns, str name,
                        const void *body, struct error *err)
{
	_cleanup_buf_ struct buf text = { 0 };
	encode(a, &text, sub, body_of(sub), body);
	struct http_answer answer;
	if (!call(c, a, "POST", object_path(a, sub, ns, name, S("")), S("application/json"), S("application/json"),
	          buf_str(&text), &answer, err))
		return NULL;
	// Some subresources (binding, eviction) answer with a Status: the body of the call stands for it.
	struct error ignored = { 0 };
	const struct meta_v1_PartialObjectMetadata *head =
	        schema_from_json(a, meta_v1_PartialObjectMetadata_desc, answer.body, NULL, &ignored);
	if (!head || (str_eq(head->kind, S("Status")) && !str_eq(schema_text(sub->kind), S("Status"))))
		return schema_clone(a, body_of(sub), body);
	return schema_from_json(a, body_of(sub), answer.body, NULL, err);
}

// The list's {v, n} of items and its metadata, by descriptor.
struct list_view {
	struct meta_v1_ListMeta *meta;
	struct {
		char *v;
		size_t n;
	} * items;
	size_t item_size;
};
static bool view_list(const struct message_desc *m, void *list, struct list_view *out)
{
	const struct field_desc *meta = schema_field_named(m, S("metadata")),
	                        *items = schema_field_named(m, S("items"));
	if (!meta || !items || items->label != FL_LIST)
		return false;
	out->meta = (void *)((char *)list + meta->offset);
	out->items = (void *)((char *)list + items->offset);
	out->item_size = schema_field_message(items)->size;
	return true;
}

void *client_list(struct client *c, struct arena *a, const struct resource_desc *r, const struct list_opts *o,
                  struct error *err)
{
	const struct message_desc *m = r->list_message == UINT32_MAX ? NULL : schema_message_at(r->list_message);
	struct list_view whole = { 0 }, page;
	if (!m) {
		error_set(err, STR_FMT " cannot be listed", STR_ARG(schema_text(r->resource)));
		return NULL;
	}
	str base = object_path(a, r, o ? o->ns : S(""), S(""), S(""));
	str query = arena_printf(a, "?limit=%d", LIST_PAGE);
	if (o && !str_empty(o->label_selector))
		query = arena_concat(a, query, S("&labelSelector="), percent_encode(a, o->label_selector));
	if (o && !str_empty(o->field_selector))
		query = arena_concat(a, query, S("&fieldSelector="), percent_encode(a, o->field_selector));
	void *first = NULL;
	str token = S("");
	for (int restarts = 0;;) {
		str path = arena_concat(a, base, query, str_empty(token) ? S("") : S("&continue="),
		                        percent_encode(a, token));
		struct http_answer answer;
		if (!call(c, a, "GET", path, S(""), S("application/json"), S(""), &answer, err)) {
			// The snapshot of the first page is gone: once more, from the start.
			if (err->code == 410 && first && restarts++ < 3) {
				first = NULL;
				token = S("");
				*err = (struct error){ 0 };
				continue;
			}
			return NULL;
		}
		void *list = schema_from_json(a, m, answer.body, NULL, err);
		if (!list)
			return NULL;
		if (!view_list(m, list, &page)) {
			error_set(err, STR_FMT ": no list", STR_ARG(schema_text(m->name)));
			return NULL;
		}
		if (!first) {
			first = list;
			whole = page;
		} else if (page.items->n > 0) {
			size_t n = whole.items->n + page.items->n;
			char *v = arena_calloc(a, n, page.item_size);
			if (whole.items->n)
				memcpy(v, whole.items->v, whole.items->n * page.item_size);
			memcpy(v + whole.items->n * page.item_size, page.items->v, page.items->n * page.item_size);
			whole.items->v = v;
			whole.items->n = n;
		}
		token = page.meta->continue_;
		if (str_empty(token)) {
			whole.meta->continue_ = S("");
			whole.meta->remainingItemCount = NULL;
			return first;
		}
	}
}

struct value *client_raw(struct client *c, struct arena *a, const char *method, str path, str content_type, str body,
                         struct error *err)
{
	struct http_answer answer;
	if (!call(c, a, method, path, content_type, S("application/json"), body, &answer, err))
		return NULL;
	if (str_empty(str_trim(answer.body)))
		return value_null(a);
	return json_parse(a, answer.body, NULL, err);
}

struct meta_v1_ObjectMeta *object_meta(const struct message_desc *m, void *obj)
{
	const struct field_desc *f = schema_field_named(m, S("metadata"));
	if (!f || f->type != FT_MESSAGE || f->label != FL_ONE || schema_field_message(f) != meta_v1_ObjectMeta_desc)
		return NULL;
	return (void *)((char *)obj + f->offset);
}
