// Authentication: client certificates, static tokens, ServiceAccount tokens, bootstrap tokens; anonymous; impersonation.
#include "apiserver/policy_internal.h"

#include "base/encode.h"
#include "base/heap.h"
#include "base/io.h"
#include "base/log.h"
#include "json/json.h"

bool user_in_group(const struct user_info *u, str group)
{
	return str_list_has(&u->groups, group);
}

bool user_is_node(const struct user_info *u, str *node)
{
	*node = u->name;
	return str_cut_prefix(node, S("system:node:")) && user_in_group(u, S("system:nodes"));
}

void user_add_extra(struct arena *a, struct user_info *u, str key, str value)
{
	for (size_t i = 0; i < u->extra.n; i++)
		if (str_eq(u->extra.v[i].key, key)) {
			*LIST_ADD(a, &u->extra.v[i].values) = value;
			return;
		}
	struct extra_entry *e = LIST_ADD(a, &u->extra);
	e->key = key;
	*LIST_ADD(a, &e->values) = value;
}

bool service_account_split(str username, str *ns, str *name)
{
	if (!str_cut_prefix(&username, S("system:serviceaccount:")) || !str_split(username, ':', ns, name))
		return false;
	return str_find_char(*name, ':') < 0 && is_dns1123_label(*ns) && is_dns1123_subdomain(*name);
}

str service_account_username(struct arena *a, str ns, str name)
{
	return arena_concat(a, S("system:serviceaccount:"), ns, S(":"), name);
}

// --- Configuration ---

// One CSV field at *s: bare, or in quotes with "" for a quote (RFC 4180).
static str csv_field(struct arena *a, str *s)
{
	*s = str_trim(*s);
	if (!str_cut_prefix(s, S("\""))) {
		str field, rest;
		str_split(*s, ',', &field, &rest);
		*s = rest;
		return str_trim(field);
	}
	char *to = arena_alloc(a, s->n + 1);
	size_t n = 0, i = 0;
	for (; i < s->n; i++) {
		if (s->p[i] == '"') {
			if (i + 1 >= s->n || s->p[i + 1] != '"')
				break;
			i++;
		}
		to[n++] = s->p[i];
	}
	*s = str_from(*s, i + 1);
	str_cut_prefix(s, S(","));
	return str_n(to, n);
}

static bool load_tokens(struct policy *p, const char *path, struct error *err)
{
	str text;
	if (!io_read_file(p->arena, path, 16 << 20, &text, err))
		return false;
	str line;
	for (int no = 1; str_next(&text, '\n', &line); no++) {
		line = str_trim(line);
		if (line.n == 0 || line.p[0] == '#')
			continue;
		str token = csv_field(p->arena, &line);
		struct user_info *u = ARENA_NEW(p->arena, struct user_info);
		u->name = csv_field(p->arena, &line);
		u->uid = csv_field(p->arena, &line);
		if (token.n == 0 || u->name.n == 0)
			return error_set(err, "%s:%d: token file must have at least 3 columns (token, user name, user uid)", path, no);
		str groups = line.n ? csv_field(p->arena, &line) : (str){ NULL, 0 }, group;
		while (str_next(&groups, ',', &group))
			if (str_trim(group).n)
				*LIST_ADD(p->arena, &u->groups) = str_trim(group);
		map_put(&p->tokens, token, u);
	}
	return true;
}

static bool load_keys(struct policy *p, const char *path, bool sign, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	str pem;
	if (!io_read_file(a, path, 1 << 20, &pem, err))
		return false;
	return jwt_keys_add(p->keys, pem, sign, err) || error_wrap(err, "%s", path);
}

static void make_documents(struct policy *p, const char *external)
{
	if (jwt_keys_count(p->keys) == 0)
		return;
	p->jwks = jwt_jwks(p->arena, p->keys);
	str uri = external ? arena_concat(p->arena, S("https://"), str_c(external), S("/openid/v1/jwks")) : arena_concat(p->arena, p->issuer, S("/openid/v1/jwks"));
	struct buf b = { 0 };
	buf_add(&b, S("{\"issuer\":"));
	json_write_string(&b, p->issuer, true);
	buf_add(&b, S(",\"jwks_uri\":"));
	json_write_string(&b, uri, true);
	buf_add(&b, S(",\"response_types_supported\":[\"id_token\"],\"subject_types_supported\":[\"public\"],\"id_token_signing_alg_values_supported\":["));
	buf_add(&b, jwt_algorithms(p->arena, p->keys));
	buf_add(&b, S("]}"));
	p->openid_configuration = arena_dup(p->arena, buf_str(&b));
	buf_free(&b);
}

static void load_node_rules(struct policy *p)
{
	struct error ignored = { 0 };
	struct value *list = json_parse(p->arena, schema_bootstrap(S("clusterroles")), NULL, &ignored);
	struct value *items = value_is(list, V_ARRAY) ? list : value_get(list, S("items"));
	for (size_t i = 0; value_is(items, V_ARRAY) && i < items->a.n; i++) {
		if (!str_eq(value_str(value_path(items->a.v[i], S("metadata"), S("name"))), S("system:node")))
			continue;
		const struct rbac_v1_ClusterRole *role = schema_from_value(p->arena, rbac_v1_ClusterRole_desc, items->a.v[i], NULL, &ignored);
		if (role)
			p->node_rules = role->rules;
	}
}

struct policy *policy_new(const struct policy_opts *o, struct error *err)
{
	struct policy *p = HEAP_NEW(struct policy);
	p->arena = arena_new(0);
	p->keys = jwt_keys_new();
	p->rbac = rbac_new();
	p->anonymous = !o->no_anonymous;
	p->issuer = arena_dup(p->arena, o->issuer ? str_c(o->issuer) : S("https://kubernetes.default.svc.cluster.local"));
	for (size_t i = 0; i < o->naudiences; i++)
		*LIST_ADD(p->arena, &p->audiences) = arena_dup(p->arena, str_c(o->audiences[i]));
	if (p->audiences.n == 0)
		*LIST_ADD(p->arena, &p->audiences) = p->issuer;
	bool ok = (!o->token_file || load_tokens(p, o->token_file, err)) && (!o->signing_key_file || load_keys(p, o->signing_key_file, true, err));
	for (size_t i = 0; ok && i < o->nverify_key_files; i++)
		ok = load_keys(p, o->verify_key_files[i], false, err);
	if (!ok) {
		policy_free(p);
		return NULL;
	}
	make_documents(p, o->external_address);
	load_node_rules(p);
	return p;
}

str policy_openid_configuration(const struct policy *p) { return p->openid_configuration; }
str policy_jwks(const struct policy *p) { return p->jwks; }

// --- ServiceAccount tokens ---

// A signature costs 30 to 100 microseconds to check and a client sends the same token with each request. What was found good once
// is found good again until the slot is taken; time, account and bound object are looked at each time.
enum { CACHE_SLOTS = 64 };
struct token_cache {
	struct cached { char *token; size_t n; } v[CACHE_SLOTS];
};

static struct token_cache *cache_of(struct request *r, struct policy *p)
{
	if (!r->x)
		return NULL;
	size_t loop = r->loop;
	if (loop >= MAX_LOOPS)
		return NULL;
	if (!p->caches[loop])
		p->caches[loop] = HEAP_NEW(struct token_cache);
	return p->caches[loop];
}

static bool verify_token(struct request *r, struct policy *p, str token, str *payload, struct error *err)
{
	struct token_cache *cache = cache_of(r, p);
	struct cached *slot = cache ? &cache->v[str_hash(token) % CACHE_SLOTS] : NULL;
	if (slot && slot->token && str_eq(str_n(slot->token, slot->n), token))
		return jwt_peek(r->arena, token, payload);
	if (!jwt_verify(r->arena, p->keys, token, payload, err))
		return false;
	if (slot) {
		free(slot->token);
		slot->token = heap_cstr(token);
		slot->n = token.n;
	}
	return true;
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < MAX_LOOPS; i++) {
		for (size_t j = 0; p->caches[i] && j < CACHE_SLOTS; j++)
			free(p->caches[i]->v[j].token);
		free(p->caches[i]);
	}
	rbac_free(p->rbac);
	jwt_keys_free(p->keys);
	map_free(&p->tokens);
	arena_free(p->arena);
	free(p);
}

static bool claim_time(const struct value *claims, str name, int64_t *out)
{
	const struct value *v = value_get(claims, name);
	if (value_is(v, V_DOUBLE) && v->d > -1e15 && v->d < 1e15) {
		*out = (int64_t)v->d;
		return true;
	}
	return value_to_i64(v, out);
}

// An object is as good as gone when its deletion began a minute ago (upstream's leeway).
static bool gone(const struct meta_v1_ObjectMeta *m, int64_t now)
{
	return m->deletionTimestamp && m->deletionTimestamp->sec < now - 60;
}

static int check_service_account(struct request *r, const struct value *claims, struct user_info *u, struct error *err)
{
	enum { LEEWAY = 60 };
	int64_t now = clock_wall(r->clock) / NS_PER_SEC, t;
	if (claim_time(claims, S("exp"), &t) && now - LEEWAY > t)
		return error_set(err, "service account token has expired"), -1;
	if (claim_time(claims, S("nbf"), &t) && now + LEEWAY < t)
		return error_set(err, "service account token is not valid yet"), -1;
	if (claim_time(claims, S("iat"), &t) && now + LEEWAY < t)
		return error_set(err, "service account token is issued in the future"), -1;
	const struct value *k = value_get(claims, S("kubernetes.io")), *account = value_get(k, S("serviceaccount"));
	str ns = value_get_str(k, S("namespace")), name = value_get_str(account, S("name")), uid = value_get_str(account, S("uid"));
	const struct core_v1_ServiceAccount *sa = registry_get(r, S(""), S("serviceaccounts"), ns, name);
	if (!sa)
		return error_set(err, "serviceaccounts \"" STR_FMT "\" not found", STR_ARG(name)), -1;
	if (!str_eq(sa->metadata.uid, uid))
		return error_set(err, "service account UID (" STR_FMT ") does not match claim (" STR_FMT ")", STR_ARG(sa->metadata.uid), STR_ARG(uid)), -1;
	if (gone(&sa->metadata, now))
		return error_set(err, "service account " STR_FMT "/" STR_FMT " has been deleted", STR_ARG(ns), STR_ARG(name)), -1;
	const struct value *pod_ref = value_get(k, S("pod")), *node_ref = value_get(k, S("node")), *secret_ref = value_get(k, S("secret"));
	static const char invalidated[] = "service account token has been invalidated";
	if (secret_ref) {
		const struct core_v1_Secret *secret = registry_get(r, S(""), S("secrets"), ns, value_get_str(secret_ref, S("name")));
		if (!secret || gone(&secret->metadata, now))
			return error_set(err, invalidated), -1;
		if (!str_eq(secret->metadata.uid, value_get_str(secret_ref, S("uid"))))
			return error_set(err, "secret UID (" STR_FMT ") does not match service account secret ref claim (" STR_FMT ")", STR_ARG(secret->metadata.uid),
			                 STR_ARG(value_get_str(secret_ref, S("uid")))), -1;
	}
	if (pod_ref) {
		const struct core_v1_Pod *pod = registry_get(r, S(""), S("pods"), ns, value_get_str(pod_ref, S("name")));
		if (!pod || gone(&pod->metadata, now))
			return error_set(err, invalidated), -1;
		if (!str_eq(pod->metadata.uid, value_get_str(pod_ref, S("uid"))))
			return error_set(err, "pod UID (" STR_FMT ") does not match service account pod ref claim (" STR_FMT ")", STR_ARG(pod->metadata.uid),
			                 STR_ARG(value_get_str(pod_ref, S("uid")))), -1;
	} else if (node_ref) {
		const struct core_v1_Node *node = registry_get(r, S(""), S("nodes"), S(""), value_get_str(node_ref, S("name")));
		if (!node || gone(&node->metadata, now))
			return error_set(err, invalidated), -1;
		if (!str_eq(node->metadata.uid, value_get_str(node_ref, S("uid"))))
			return error_set(err, "node UID (" STR_FMT ") does not match service account node ref claim (" STR_FMT ")", STR_ARG(node->metadata.uid),
			                 STR_ARG(value_get_str(node_ref, S("uid")))), -1;
	}
	*u = (struct user_info){ .name = service_account_username(r->arena, ns, name), .uid = uid };
	*LIST_ADD(r->arena, &u->groups) = S("system:serviceaccounts");
	*LIST_ADD(r->arena, &u->groups) = arena_concat(r->arena, S("system:serviceaccounts:"), ns);
	str jti = value_get_str(claims, S("jti"));
	if (jti.n)
		user_add_extra(r->arena, u, S("authentication.kubernetes.io/credential-id"), arena_concat(r->arena, S("JTI="), jti));
	if (node_ref) {
		user_add_extra(r->arena, u, S("authentication.kubernetes.io/node-name"), value_get_str(node_ref, S("name")));
		if (value_get_str(node_ref, S("uid")).n)
			user_add_extra(r->arena, u, S("authentication.kubernetes.io/node-uid"), value_get_str(node_ref, S("uid")));
	}
	if (pod_ref) {
		user_add_extra(r->arena, u, S("authentication.kubernetes.io/pod-name"), value_get_str(pod_ref, S("name")));
		user_add_extra(r->arena, u, S("authentication.kubernetes.io/pod-uid"), value_get_str(pod_ref, S("uid")));
	}
	return 1;
}

// Tokens of Secrets of type kubernetes.io/service-account-token: no expiry, good as long as the Secret holds the same text.
static int check_legacy(struct request *r, str token, const struct value *claims, struct user_info *u, struct error *err)
{
	str ns = value_get_str(claims, S("kubernetes.io/serviceaccount/namespace"));
	str name = value_get_str(claims, S("kubernetes.io/serviceaccount/service-account.name"));
	str uid = value_get_str(claims, S("kubernetes.io/serviceaccount/service-account.uid"));
	str secret_name = value_get_str(claims, S("kubernetes.io/serviceaccount/secret.name"));
	if (!ns.n || !name.n || !uid.n || !secret_name.n)
		return error_set(err, "sub claim is invalid"), -1;
	const struct core_v1_Secret *secret = registry_get(r, S(""), S("secrets"), ns, secret_name);
	if (!secret || secret->metadata.deletionTimestamp)
		return error_set(err, "Token has been invalidated"), -1;
	bool same = false;
	for (size_t i = 0; i < secret->data.n; i++)
		if (str_eq(secret->data.v[i].key, S("token")))
			same = str_eq(secret->data.v[i].value, token);
	if (!same)
		return error_set(err, "Token does not match server's copy"), -1;
	const struct core_v1_ServiceAccount *sa = registry_get(r, S(""), S("serviceaccounts"), ns, name);
	if (!sa || sa->metadata.deletionTimestamp)
		return error_set(err, "ServiceAccount " STR_FMT "/" STR_FMT " has been deleted", STR_ARG(ns), STR_ARG(name)), -1;
	if (!str_eq(sa->metadata.uid, uid))
		return error_set(err, "ServiceAccount UID (" STR_FMT ") does not match claim (" STR_FMT ")", STR_ARG(sa->metadata.uid), STR_ARG(uid)), -1;
	*u = (struct user_info){ .name = service_account_username(r->arena, ns, name), .uid = uid };
	*LIST_ADD(r->arena, &u->groups) = S("system:serviceaccounts");
	*LIST_ADD(r->arena, &u->groups) = arena_concat(r->arena, S("system:serviceaccounts:"), ns);
	return 1;
}

static int check_jwt(struct request *r, struct policy *p, str token, const struct str_list *audiences, struct user_info *u, struct str_list *granted,
                     struct error *err)
{
	str payload;
	struct error ignored = { 0 };
	struct json_opts opts = { .max_depth = 32 };
	if (jwt_keys_count(p->keys) == 0 || !jwt_peek(r->arena, token, &payload))
		return 0;
	const struct value *claims = json_parse(r->arena, payload, &opts, &ignored);
	str issuer = value_get_str(claims, S("iss"));
	bool legacy = str_eq(issuer, S("kubernetes/serviceaccount"));
	if (!legacy && !str_eq(issuer, p->issuer))
		return 0;
	if (!verify_token(r, p, token, &payload, err))
		return -1;
	struct str_list own = { 0 };
	const struct value *aud = value_get(claims, S("aud"));
	if (value_is(aud, V_STRING))
		*LIST_ADD(r->arena, &own) = aud->s;
	for (size_t i = 0; value_is(aud, V_ARRAY) && i < aud->a.n; i++)
		*LIST_ADD(r->arena, &own) = value_str(aud->a.v[i]);
	if (own.n == 0)
		own = p->audiences; // legacy tokens are for this API
	for (size_t i = 0; i < own.n; i++)
		if (str_list_has(audiences, own.v[i]))
			*LIST_ADD(r->arena, granted) = own.v[i];
	if (granted->n == 0) {
		str have = str_list_join(r->arena, &own, "\" \""), want = str_list_join(r->arena, audiences, "\" \"");
		error_set(err, "token audiences [\"" STR_FMT "\"] is invalid for the target audiences [\"" STR_FMT "\"]", STR_ARG(have), STR_ARG(want));
		return -1;
	}
	return legacy ? check_legacy(r, token, claims, u, err) : check_service_account(r, claims, u, err);
}

// --- Bootstrap tokens (a node's first, short-lived credential): ID.SECRET, kept in kube-system/bootstrap-token-ID ---

static bool lower_num(str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9')))
			return false;
	return true;
}

static str secret_field(const struct core_v1_Secret *s, str key)
{
	for (size_t i = 0; i < s->data.n; i++)
		if (str_eq(s->data.v[i].key, key))
			return s->data.v[i].value;
	return S("");
}

static int check_bootstrap(struct request *r, str token, struct user_info *u)
{
	str id, secret;
	if (token.n != 23 || !str_split(token, '.', &id, &secret) || id.n != 6 || !lower_num(id) || !lower_num(secret))
		return 0;
	const struct core_v1_Secret *s = registry_get(r, S(""), S("secrets"), S("kube-system"), arena_concat(r->arena, S("bootstrap-token-"), id));
	if (!s || s->metadata.deletionTimestamp || !str_eq(s->type, S("bootstrap.kubernetes.io/token")))
		return 0;
	str want = secret_field(s, S("token-secret"));
	unsigned differs = want.n != secret.n;
	for (size_t i = 0; i < MIN(want.n, secret.n); i++)
		differs |= (unsigned char)want.p[i] ^ (unsigned char)secret.p[i];
	if (differs || !str_eq(secret_field(s, S("token-id")), id) || !str_eq(secret_field(s, S("usage-bootstrap-authentication")), S("true")))
		return 0;
	str expiration = secret_field(s, S("expiration"));
	int64_t sec;
	int32_t nsec;
	if (expiration.n && (!time_parse(expiration, &sec, &nsec) || sec < clock_wall(r->clock) / NS_PER_SEC))
		return 0;
	*u = (struct user_info){ .name = arena_concat(r->arena, S("system:bootstrap:"), id) };
	*LIST_ADD(r->arena, &u->groups) = S("system:bootstrappers");
	str groups = secret_field(s, S("auth-extra-groups")), group;
	while (groups.n && str_next(&groups, ',', &group))
		if (str_has_prefix(str_trim(group), S("system:bootstrappers:")))
			*LIST_ADD(r->arena, &u->groups) = str_trim(group);
	return 1;
}

int authenticate_token(struct request *r, str token, const struct str_list *audiences, struct user_info *user, struct str_list *granted,
                       struct error *err)
{
	struct policy *p = apiserver_policy(r->server);
	const struct user_info *known = map_get(&p->tokens, token);
	if (known) {
		*user = *known;
		user->groups = (struct str_list){ 0 };
		for (size_t i = 0; i < known->groups.n; i++)
			*LIST_ADD(r->arena, &user->groups) = known->groups.v[i];
		*granted = *audiences;
		return 1;
	}
	int found = check_bootstrap(r, token, user);
	if (found == 1) {
		*granted = *audiences;
		return 1;
	}
	return check_jwt(r, p, token, audiences, user, granted, err);
}

// --- Requests ---

// "Bearer x"; for WebSockets also a subprotocol base64url.bearer.authorization.k8s.io.X.
static str bearer(struct request *r)
{
	str header = str_trim(http_header(&r->in->headers, S("authorization"))), scheme, rest, token, more;
	if (header.n && str_split(header, ' ', &scheme, &rest) && str_eq_nocase(scheme, S("bearer"))) {
		str_split(rest, ' ', &token, &more);
		return token;
	}
	str protocols = http_header(&r->in->headers, S("sec-websocket-protocol")), protocol;
	while (protocols.n && str_next(&protocols, ',', &protocol)) {
		protocol = str_trim(protocol);
		if (str_cut_prefix(&protocol, S("base64url.bearer.authorization.k8s.io.")) && base64url_decode(r->arena, protocol, &token) && str_utf8_valid(token))
			return token;
	}
	return S("");
}

static void add_group(struct request *r, str group)
{
	if (!user_in_group(&r->user, group))
		*LIST_ADD(r->arena, &r->user.groups) = group;
}

static bool check_impersonation(struct request *r, str group, str version, str resource, str subresource, str ns, str name, struct api_status *s)
{
	struct attributes at = { .user = &r->user, .is_resource = true, .verb = S("impersonate"), .group = group, .version = version,
		.resource = resource, .subresource = subresource, .ns = ns, .name = name };
	str reason = S("");
	if (decide(r, &at, &reason) == ALLOW)
		return true;
	return forbid(r, &at, reason, s);
}

#define EXTRA_PREFIX S("impersonate-extra-")
static bool impersonate(struct request *r, struct api_status *s)
{
	const struct http_headers *h = &r->in->headers;
	str user = http_header(h, S("impersonate-user")), uid = http_header(h, S("impersonate-uid"));
	struct user_info u = { .name = user, .uid = uid };
	bool any = user.n || uid.n, groups = false;
	for (size_t i = 0; i < h->n; i++) {
		if (str_eq(h->v[i].name, S("impersonate-group")))
			any = groups = true;
		else if (str_has_prefix(h->v[i].name, EXTRA_PREFIX))
			any = true;
	}
	if (!any)
		return true;
	if (!user.n) {
		// Upstream prints its struct as Go does.
		str groups_text = S("nil");
		if (groups) {
			groups_text = S("");
			for (size_t i = 0; i < h->n; i++)
				if (str_eq(h->v[i].name, S("impersonate-group")))
					groups_text = arena_concat(r->arena, groups_text, groups_text.n ? S(", ") : S("{"), go_quote(r->arena, h->v[i].value));
			groups_text = arena_concat(r->arena, groups_text, S("}"));
		}
		return status_bad_request(r->arena, s, "requested &user.DefaultInfo{Name:\"\", UID:" STR_FMT ", Groups:[]string" STR_FMT
		                          ", Extra:map[string][]string(nil)} without impersonating a user name", STR_ARG(go_quote(r->arena, uid)),
		                          STR_ARG(groups ? groups_text : S("(nil)")));
	}
	str ns, name;
	if (service_account_split(user, &ns, &name)) {
		if (!check_impersonation(r, S(""), S(""), S("serviceaccounts"), S(""), ns, name, s))
			return false;
		if (!groups) {
			*LIST_ADD(r->arena, &u.groups) = S("system:serviceaccounts");
			*LIST_ADD(r->arena, &u.groups) = arena_concat(r->arena, S("system:serviceaccounts:"), ns);
		}
	} else if (!check_impersonation(r, S(""), S(""), S("users"), S(""), S(""), user, s)) {
		return false;
	}
	for (size_t i = 0; i < h->n; i++) {
		if (!str_eq(h->v[i].name, S("impersonate-group")))
			continue;
		if (!check_impersonation(r, S(""), S(""), S("groups"), S(""), S(""), h->v[i].value, s))
			return false;
		*LIST_ADD(r->arena, &u.groups) = h->v[i].value;
	}
	for (size_t i = 0; i < h->n; i++) {
		str key = h->v[i].name;
		if (!str_cut_prefix(&key, EXTRA_PREFIX))
			continue;
		str decoded;
		if (percent_decode(r->arena, key, false, &decoded))
			key = decoded;
		if (!check_impersonation(r, S("authentication.k8s.io"), S("v1"), S("userextras"), key, S(""), h->v[i].value, s))
			return false;
		user_add_extra(r->arena, &u, key, h->v[i].value);
	}
	if (uid.n && !check_impersonation(r, S("authentication.k8s.io"), S("v1"), S("uids"), S(""), S(""), uid, s))
		return false;
	bool anonymous = str_eq(u.name, S("system:anonymous"));
	r->user = u;
	if (anonymous)
		add_group(r, S("system:unauthenticated"));
	else if (!user_in_group(&u, S("system:unauthenticated")))
		add_group(r, S("system:authenticated"));
	return true;
}

bool authenticate(struct request *r, struct api_status *s)
{
	struct policy *p = apiserver_policy(r->server);
	const struct tls_peer *peer = r->in->peer;
	r->user = (struct user_info){ 0 };
	if (peer && peer->verified && peer->common_name.n) {
		r->user.name = peer->common_name;
		for (size_t i = 0; i < peer->norganizations; i++)
			*LIST_ADD(r->arena, &r->user.groups) = peer->organizations[i];
		if (peer->fingerprint.n)
			user_add_extra(r->arena, &r->user, S("authentication.kubernetes.io/credential-id"), arena_concat(r->arena, S("X509SHA256="), peer->fingerprint));
		add_group(r, S("system:authenticated"));
		return impersonate(r, s);
	}
	str token = bearer(r);
	if (token.n) {
		struct error err = { 0 };
		struct str_list granted = { 0 };
		int found = authenticate_token(r, token, &p->audiences, &r->user, &granted, &err);
		if (found != 1) {
			if (found < 0)
				log_debug("unable to authenticate the request: %s", err.text);
			return status_unauthorized(r->arena, s);
		}
		add_group(r, S("system:authenticated"));
		return impersonate(r, s);
	}
	if (peer && !peer->verified)
		return status_unauthorized(r->arena, s);
	if (!p->anonymous)
		return status_unauthorized(r->arena, s);
	r->user.name = S("system:anonymous");
	*LIST_ADD(r->arena, &r->user.groups) = S("system:unauthenticated");
	return impersonate(r, s);
}
