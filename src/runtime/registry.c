#include "runtime/registry.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/heap.h"
#include "json/json.h"
#include "net/http_client.h"
#include "runtime/digest.h"

enum { BLOB_TRIES = 4, BLOB_IDLE_MS = 60 * 1000, TOKEN_MAX = 64 * 1024, REDIRECTS = 5 };

struct registry {
	struct http_client *client;
	struct arena *arena;
	str base, repository;
	struct registry_auth auth;
	pthread_mutex_t lock;
	struct buf authorization; // [lock] the header's value; empty: none
};

struct registry *registry_new(const struct registry_opts *o, const struct image_ref *ref, struct error *err)
{
	struct arena *a = arena_new(4096);
	struct tls_context *tls = NULL;
	if (str_has_prefix(o->url, S("https://"))) {
		struct tls_client_opts t = { .ca_pem = o->ca_pem };
		if (!(tls = tls_client_new(&t, err))) {
			arena_free(a);
			return NULL;
		}
	}
	struct http_client_opts h = {
		.base_url = arena_dup(a, o->url), .tls = tls, .user_agent = S("coracle/" CORACLE_VERSION), .max_body = 8 << 20, .use_proxy_env = true,
		.timeout_ms = 60 * 1000,
	};
	struct http_client *c = http_client_new(&h, err);
	tls_unref(tls);
	if (!c) {
		arena_free(a);
		return NULL;
	}
	struct registry *r = HEAP_NEW(struct registry);
	r->client = c;
	r->arena = a;
	r->base = h.base_url;
	r->repository = arena_dup(a, ref->path);
	if (o->auth)
		r->auth = (struct registry_auth){ arena_dup(a, o->auth->username), arena_dup(a, o->auth->password),
			                          arena_dup(a, o->auth->identity_token), arena_dup(a, o->auth->registry_token) };
	pthread_mutex_init(&r->lock, NULL);
	if (r->auth.registry_token.n)
		buf_printf(&r->authorization, "Bearer " STR_FMT, STR_ARG(r->auth.registry_token));
	return r;
}

void registry_free(struct registry *r)
{
	if (!r)
		return;
	http_client_free(r->client);
	pthread_mutex_destroy(&r->lock);
	buf_free(&r->authorization);
	arena_free(r->arena);
	free(r);
}

// --- Authentication ---

// key=value or key="quoted \"value\"", separated by commas.
static bool next_parameter(struct arena *a, str *rest, str *key, str *value)
{
	while (rest->n && (rest->p[0] == ' ' || rest->p[0] == ',' || rest->p[0] == '\t'))
		*rest = str_from(*rest, 1);
	ptrdiff_t eq = str_find_char(*rest, '=');
	if (eq <= 0)
		return false;
	*key = str_trim(str_sub(*rest, 0, (size_t)eq));
	*rest = str_from(*rest, (size_t)eq + 1);
	if (rest->n && rest->p[0] == '"') {
		char *out = arena_alloc(a, rest->n);
		size_t n = 0, i = 1;
		for (; i < rest->n && rest->p[i] != '"'; i++) {
			if (rest->p[i] == '\\' && i + 1 < rest->n)
				i++;
			out[n++] = rest->p[i];
		}
		if (i == rest->n)
			return false;
		*value = str_n(out, n);
		*rest = str_from(*rest, i + 1);
		return true;
	}
	ptrdiff_t comma = str_find_char(*rest, ',');
	size_t end = comma < 0 ? rest->n : (size_t)comma;
	*value = str_trim(str_sub(*rest, 0, end));
	*rest = str_from(*rest, end);
	return true;
}

bool challenge_parse(struct arena *a, str header, struct challenge *out)
{
	*out = (struct challenge){ 0 };
	str scheme, rest;
	str_split(str_trim(header), ' ', &scheme, &rest);
	out->basic = str_eq_nocase(scheme, S("Basic"));
	out->bearer = str_eq_nocase(scheme, S("Bearer"));
	str key, value;
	while (next_parameter(a, &rest, &key, &value)) {
		if (str_eq_nocase(key, S("realm")))
			out->realm = value;
		else if (str_eq_nocase(key, S("service")))
			out->service = value;
		else if (str_eq_nocase(key, S("scope")))
			out->scope = value;
	}
	return out->basic || (out->bearer && out->realm.n);
}

static str basic(struct arena *a, const struct registry_auth *auth)
{
	return arena_concat(a, S("Basic "), base64_encode(a, arena_concat(a, auth->username, S(":"), auth->password)));
}

static bool fetch_token(struct registry *r, struct arena *a, const struct challenge *c, str *token, struct error *err)
{
	if (!str_has_prefix(c->realm, S("https://")) && !str_has_prefix(c->realm, S("http://")))
		return error_set(err, "invalid token realm \"" STR_FMT "\"", STR_ARG(c->realm));
	// A registry that is spoken to over TLS has no business sending passwords elsewhere in the clear.
	if (str_has_prefix(r->base, S("https://")) && !str_has_prefix(c->realm, S("https://")))
		return error_set(err, "token realm \"" STR_FMT "\" is not encrypted", STR_ARG(c->realm));
	str scope = c->scope.n ? c->scope : arena_concat(a, S("repository:"), r->repository, S(":pull"));
	struct http_call call = { .method = "GET" };
	if (r->auth.identity_token.n) {
		call.method = "POST";
		call.path = c->realm;
		call.body = arena_concat(a, S("grant_type=refresh_token&client_id=coracle&service="), percent_encode(a, c->service), S("&scope="),
		                         percent_encode(a, scope), S("&refresh_token="), percent_encode(a, r->auth.identity_token));
		http_header_add(a, &call.headers, S("content-type"), S("application/x-www-form-urlencoded"));
	} else {
		call.path = arena_concat(a, c->realm, str_find_char(c->realm, '?') >= 0 ? S("&") : S("?"), S("service="), percent_encode(a, c->service),
		                         S("&scope="), percent_encode(a, scope));
		if (r->auth.username.n)
			http_header_add(a, &call.headers, S("authorization"), basic(a, &r->auth));
	}
	struct http_answer ans;
	if (!http_client_do(r->client, a, &call, &ans, err))
		return error_wrap(err, "failed to fetch token");
	if (ans.status != 200)
		return error_api(err, ans.status == 401 || ans.status == 403 ? 403 : 500, "Forbidden",
		                 "failed to authorize: failed to fetch anonymous token: unexpected status from GET request to " STR_FMT ": %d %s", STR_ARG(call.path), ans.status, http_status_text(ans.status));
	struct value *v = ans.body.n <= TOKEN_MAX ? json_parse(a, ans.body, &(struct json_opts){ .max_depth = 16 }, err) : NULL;
	*token = value_get_str(v, S("token"));
	if (token->n == 0)
		*token = value_get_str(v, S("access_token"));
	for (size_t i = 0; i < token->n; i++)
		if (token->p[i] <= ' ' || token->p[i] == 127)
			return error_set(err, "the token server sent no usable token");
	return token->n > 0 || error_set(err, "the token server sent no token");
}

// What to do about a 401: get credentials that the challenge asks for. False when there is nothing more to try.
static bool authenticate(struct registry *r, struct arena *a, str used, const struct http_answer *ans, struct error *err)
{
	bool ok = false;
	pthread_mutex_lock(&r->lock);
	// Another thread may have been here since the request was sent.
	if (!str_eq(buf_str(&r->authorization), used)) {
		pthread_mutex_unlock(&r->lock);
		return true;
	}
	str value = { 0 };
	for (size_t i = 0; i < ans->headers.n && !ok; i++) {
		struct challenge c;
		if (!str_eqc(ans->headers.v[i].name, "www-authenticate") || !challenge_parse(a, ans->headers.v[i].value, &c))
			continue;
		if (c.basic && r->auth.username.n) {
			value = basic(a, &r->auth);
			ok = !str_eq(value, used); // not the same again
		} else if (c.bearer) {
			str token;
			if (!fetch_token(r, a, &c, &token, err)) {
				pthread_mutex_unlock(&r->lock);
				return false;
			}
			value = arena_concat(a, S("Bearer "), token);
			ok = true;
		}
	}
	if (ok) {
		buf_clear(&r->authorization);
		buf_add(&r->authorization, value);
	}
	pthread_mutex_unlock(&r->lock);
	return ok || error_api(err, 403, "Forbidden", "pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials");
}

static str authorization(struct registry *r, struct arena *a)
{
	pthread_mutex_lock(&r->lock);
	str s = arena_dup(a, buf_str(&r->authorization));
	pthread_mutex_unlock(&r->lock);
	return s;
}

static bool status_error(struct registry *r, const struct http_call *call, int status, struct error *err)
{
	if (status == 404)
		return error_api(err, 404, "NotFound", "not found");
	if (status == 401 || status == 403)
		return error_api(err, 403, "Forbidden", "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed");
	return error_api(err, 500, "InternalError", "unexpected status from %s request to " STR_FMT STR_FMT ": %d %s", call->method, STR_ARG(r->base), STR_ARG(call->path), status,
	                 http_status_text(status));
}

// --- Manifests ---

bool registry_manifest(struct registry *r, struct arena *a, str tag_or_digest, str *bytes, str *digest, struct error *err)
{
	for (int tries = 0;; tries++) {
		struct http_call call = {
			.method = "GET", .path = arena_concat(a, S("/v2/"), r->repository, S("/manifests/"), tag_or_digest), .max_redirects = REDIRECTS,
		};
		http_header_add(a, &call.headers, S("accept"),
		                S("application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, "
		                  "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, */*"));
		str auth = authorization(r, a);
		if (auth.n)
			http_header_add(a, &call.headers, S("authorization"), auth);
		struct http_answer ans;
		if (!http_client_do(r->client, a, &call, &ans, err))
			return error_wrap(err, "failed to do request");
		if (ans.status == 401 && tries < 2) {
			if (!authenticate(r, a, auth, &ans, err))
				return false;
			continue;
		}
		if (ans.status != 200)
			return status_error(r, &call, ans.status, err);
		if (ans.body.n > MANIFEST_MAX_BYTES)
			return error_api(err, 413, "RequestEntityTooLarge", "manifest has more than %d bytes", MANIFEST_MAX_BYTES);
		*bytes = ans.body;
		*digest = digest_of(a, ans.body);
		if (digest_valid(tag_or_digest) && !str_eq(*digest, tag_or_digest))
			return error_set(err, "manifest has digest " STR_FMT ", expected " STR_FMT, STR_ARG(*digest), STR_ARG(tag_or_digest));
		return true;
	}
}

// --- Blobs ---

// One request; *again is set when another may do better.
static bool blob_once(struct registry *r, struct arena *a, struct blob_writer *w, const struct descriptor *d, bool *again, struct error *err)
{
	struct http_call call = {
		.method = "GET", .path = arena_concat(a, S("/v2/"), r->repository, S("/blobs/"), d->digest), .max_redirects = REDIRECTS, .timeout_ms = -1,
	};
	str auth = authorization(r, a);
	if (auth.n)
		http_header_add(a, &call.headers, S("authorization"), auth);
	if (w->n > 0 && w->n < d->size)
		http_header_add(a, &call.headers, S("range"), arena_printf(a, "bytes=%" PRId64 "-", w->n));
	else if (w->n > 0 && !blob_restart(w, err))
		return false;
	struct http_answer head;
	struct http_stream_in *in = http_client_open(r->client, a, &call, &head, err);
	*again = true;
	if (!in)
		return error_wrap(err, "failed to do request");
	bool ok = true;
	if (head.status == 401) {
		http_stream_in_close(in);
		*again = authenticate(r, a, auth, &head, err);
		if (*again)
			error_api(err, 403, "Forbidden", "authorization failed");
		return false;
	}
	if (head.status == 200 && w->n > 0)
		ok = blob_restart(w, err); // the server does not go on in the middle
	else if (head.status == 416)
		ok = blob_restart(w, err) && error_set(err, "the server refuses the range");
	else if (head.status != 200 && !(head.status == 206 && w->n > 0)) {
		*again = head.status >= 500 || head.status == 429;
		ok = status_error(r, &call, head.status, err);
	}
	_cleanup_free_ char *block = heap_alloc(128 * 1024);
	while (ok) {
		ssize_t n = http_stream_read(in, block, 128 * 1024, BLOB_IDLE_MS, err);
		if (n == 0)
			break;
		ok = n > 0;
		if (ok && w->n + n > d->size) {
			*again = false;
			ok = error_set(err, "blob " STR_FMT " has more than the %" PRId64 " bytes of its descriptor", STR_ARG(d->digest), d->size);
		}
		if (ok && !(ok = blob_write(w, block, (size_t)n, err)))
			*again = false;
	}
	http_stream_in_close(in);
	return ok && (w->n == d->size || error_set(err, "the connection ended after %" PRId64 " of %" PRId64 " bytes", w->n, d->size));
}

bool registry_blob(struct registry *r, struct arena *a, const struct image_store *s, const struct descriptor *d, struct error *err)
{
	if (blob_exists(s, a, d->digest))
		return true;
	struct blob_writer w;
	bool have;
	if (!blob_begin(s, a, d->digest, &w, &have, err))
		return false;
	if (have)
		return true;
	bool ok = d->size == 0 || w.n == d->size, again = true;
	for (int tries = 0; !ok && again && tries < BLOB_TRIES; tries++) {
		if (tries > 1)
			clock_sleep(NULL, (int64_t)250 * NS_PER_MS << tries);
		*err = (struct error){ 0 };
		ok = blob_once(r, a, &w, d, &again, err);
	}
	if (!ok) {
		blob_abort(&w, true);
		return error_wrap(err, "failed to copy");
	}
	return blob_commit(s, a, &w, d->digest, d->size, NULL, err);
}
