// Discovery: which groups, versions and resources there are. The documents are made once from the schema's tables.
#include <stdlib.h>

#include "apiserver/apiserver.h"

#include "json/json.h"
#include "json/yaml.h"

static void add_list(struct buf *b, const char *key, str text)
{
	buf_printf(b, ",\"%s\":[", key);
	size_t n = 0;
	for (str rest = text, part; str_next(&rest, ',', &part);)
		buf_printf(b, "%s\"" STR_FMT "\"", n++ ? "," : "", STR_ARG(part));
	buf_add_char(b, ']');
}

static void body_kind(const struct resource_desc *d, str *group, str *version)
{
	*group = schema_text(d->group);
	*version = schema_text(d->version);
	str gv = schema_text(d->body_group_version);
	if (gv.n && !str_split(gv, '/', group, version)) {
		*version = gv;
		*group = S("");
	}
}

// What clients compare to find out whether the stored form changed: any stable text will do.
static str storage_hash(struct arena *a, const struct kind *k)
{
	uint64_t h = str_hash(arena_concat(a, k->storage_api_version, S("/"), k->name));
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *out = arena_alloc(a, 13);
	for (int i = 0; i < 11; i++, h /= 61)
		out[i] = digits[h % 61];
	out[11] = '=';
	return str_n(out, 12);
}

static void resource_entry(struct apiserver *s, struct buf *b, const struct resource_desc *d)
{
	str group, version, resource = schema_text(d->resource);
	body_kind(d, &group, &version);
	buf_printf(b, "{\"name\":\"" STR_FMT "\",\"singularName\":\"" STR_FMT "\",\"namespaced\":%s", STR_ARG(resource), STR_ARG(schema_text(d->singular)), d->namespaced ? "true" : "false");
	if (d->body_group_version) {
		if (group.n)
			buf_printf(b, ",\"group\":\"" STR_FMT "\"", STR_ARG(group));
		buf_printf(b, ",\"version\":\"" STR_FMT "\"", STR_ARG(version));
	}
	buf_printf(b, ",\"kind\":\"" STR_FMT "\"", STR_ARG(schema_text(d->kind)));
	add_list(b, "verbs", schema_text(d->verbs));
	if (schema_text(d->short_names).n)
		add_list(b, "shortNames", schema_text(d->short_names));
	if (schema_text(d->categories).n)
		add_list(b, "categories", schema_text(d->categories));
	struct kind *k = kind_find(s, schema_text(d->group), schema_text(d->version), resource);
	if (k && k->cache)
		buf_printf(b, ",\"storageVersionHash\":\"" STR_FMT "\"", STR_ARG(storage_hash(s->arena, k)));
	buf_add_char(b, '}');
}

static void keep(struct apiserver *s, str path, struct buf *b)
{
	str *text = ARENA_NEW(s->arena, str);
	*text = arena_dup(s->arena, buf_str(b));
	map_put(&s->discovery, path, text);
	buf_clear(b);
}

static str group_version(struct arena *a, const struct group_desc *g)
{
	str group = schema_text(g->group), version = schema_text(g->version);
	return group.n ? arena_concat(a, group, S("/"), version) : version;
}

static void add_group(struct apiserver *s, struct buf *b, str name)
{
	buf_printf(b, "\"name\":\"" STR_FMT "\",\"versions\":[", STR_ARG(name));
	size_t n = 0;
	const struct group_desc *preferred = NULL;
	for (size_t i = 0; i < schema_group_count(); i++) {
		const struct group_desc *g = schema_group_at(i);
		if (!str_eq(schema_text(g->group), name))
			continue;
		buf_printf(b, "%s{\"groupVersion\":\"" STR_FMT "\",\"version\":\"" STR_FMT "\"}", n++ ? "," : "", STR_ARG(group_version(s->arena, g)), STR_ARG(schema_text(g->version)));
		if (g->preferred || !preferred)
			preferred = g;
	}
	if (preferred)
		buf_printf(b, "],\"preferredVersion\":{\"groupVersion\":\"" STR_FMT "\",\"version\":\"" STR_FMT "\"}", STR_ARG(group_version(s->arena, preferred)), STR_ARG(schema_text(preferred->version)));
}

// The aggregated form (apidiscovery.k8s.io): subresources stand within their resource.
static void aggregated(struct apiserver *s, struct buf *b, bool legacy, const char *version)
{
	struct arena *a = s->arena;
	buf_printf(b, "{\"kind\":\"APIGroupDiscoveryList\",\"apiVersion\":\"apidiscovery.k8s.io/%s\",\"metadata\":{},\"items\":[", version);
	struct str_list done = { 0 };
	size_t groups = 0;
	for (size_t i = 0; i < schema_group_count(); i++) {
		str name = schema_text(schema_group_at(i)->group);
		bool seen = false;
		for (size_t k = 0; k < done.n; k++)
			seen |= str_eq(done.v[k], name);
		if (seen || legacy != (name.n == 0))
			continue;
		*LIST_ADD(a, &done) = name;
		buf_add(b, groups++ ? S(",{\"metadata\":{") : S("{\"metadata\":{"));
		if (name.n)
			buf_printf(b, "\"name\":\"" STR_FMT "\",", STR_ARG(name));
		buf_add(b, S("\"creationTimestamp\":null},\"versions\":["));
		size_t versions = 0;
		for (size_t v = 0; v < schema_group_count(); v++) {
			const struct group_desc *g = schema_group_at(v);
			if (!str_eq(schema_text(g->group), name))
				continue;
			buf_printf(b, "%s{\"version\":\"" STR_FMT "\",\"resources\":[", versions++ ? "," : "", STR_ARG(schema_text(g->version)));
			size_t n = 0;
			for (size_t r = g->first; r < g->first + g->n; r++) {
				const struct resource_desc *d = schema_resource_at(r);
				str resource = schema_text(d->resource);
				if (str_find_char(resource, '/') >= 0)
					continue;
				buf_printf(b, "%s{\"resource\":\"" STR_FMT "\",\"responseKind\":{\"group\":\"\",\"version\":\"\",\"kind\":\"" STR_FMT "\"},\"scope\":\"%s\",\"singularResource\":\"" STR_FMT "\"",
				           n++ ? "," : "", STR_ARG(resource), STR_ARG(schema_text(d->kind)), d->namespaced ? "Namespaced" : "Cluster", STR_ARG(schema_text(d->singular)));
				add_list(b, "verbs", schema_text(d->verbs));
				if (schema_text(d->short_names).n)
					add_list(b, "shortNames", schema_text(d->short_names));
				if (schema_text(d->categories).n)
					add_list(b, "categories", schema_text(d->categories));
				size_t subs = 0;
				for (size_t q = g->first; q < g->first + g->n; q++) {
					const struct resource_desc *sub = schema_resource_at(q);
					str sn = schema_text(sub->resource);
					if (!str_has_prefix(sn, arena_concat(a, resource, S("/"))))
						continue;
					str bg, bv;
					body_kind(sub, &bg, &bv);
					if (!sub->body_group_version)
						bg = bv = S("");
					buf_printf(b, "%s{\"subresource\":\"" STR_FMT "\",\"responseKind\":{\"group\":\"" STR_FMT "\",\"version\":\"" STR_FMT "\",\"kind\":\"" STR_FMT "\"}",
					           subs++ ? "," : ",\"subresources\":[", STR_ARG(str_from(sn, resource.n + 1)), STR_ARG(bg), STR_ARG(bv), STR_ARG(schema_text(sub->kind)));
					add_list(b, "verbs", schema_text(sub->verbs));
					buf_add_char(b, '}');
				}
				buf_add(b, subs ? S("]}") : S("}"));
			}
			buf_add(b, S("],\"freshness\":\"Current\"}"));
		}
		buf_add(b, S("]}"));
	}
	buf_add(b, S("]}\n"));
}

bool discovery_load(struct apiserver *s, struct error *err)
{
	(void)err;
	struct arena *a = s->arena;
	struct buf b = { 0 };
	buf_printf(&b, "{\"kind\":\"APIVersions\",\"versions\":[\"v1\"],\"serverAddressByClientCIDRs\":[{\"clientCIDR\":\"0.0.0.0/0\",\"serverAddress\":\"%s:%d\"}]}\n",
	           s->config->advertise_address ? s->config->advertise_address : "127.0.0.1", http_server_port(s->doors[0].http));
	keep(s, S("/api"), &b);
	struct str_list names = { 0 };
	for (size_t i = 0; i < schema_group_count(); i++) {
		const struct group_desc *g = schema_group_at(i);
		str name = schema_text(g->group), gv = group_version(a, g);
		buf_printf(&b, "{\"kind\":\"APIResourceList\",%s\"groupVersion\":\"" STR_FMT "\",\"resources\":[", name.n ? "\"apiVersion\":\"v1\"," : "", STR_ARG(gv));
		for (size_t r = g->first; r < g->first + g->n; r++) {
			if (r > g->first)
				buf_add_char(&b, ',');
			resource_entry(s, &b, schema_resource_at(r));
		}
		buf_add(&b, S("]}\n"));
		keep(s, arena_concat(a, name.n ? S("/apis/") : S("/api/"), gv), &b);
		bool seen = name.n == 0;
		for (size_t k = 0; k < names.n; k++)
			seen |= str_eq(names.v[k], name);
		if (seen)
			continue;
		*LIST_ADD(a, &names) = name;
		buf_add(&b, S("{\"kind\":\"APIGroup\",\"apiVersion\":\"v1\","));
		add_group(s, &b, name);
		buf_add(&b, S("}\n"));
		keep(s, arena_concat(a, S("/apis/"), name), &b);
	}
	buf_add(&b, S("{\"kind\":\"APIGroupList\",\"apiVersion\":\"v1\",\"groups\":["));
	for (size_t i = 0; i < names.n; i++) {
		buf_add(&b, i ? S(",{") : S("{"));
		add_group(s, &b, names.v[i]);
		buf_add_char(&b, '}');
	}
	buf_add(&b, S("]}\n"));
	keep(s, S("/apis"), &b);
	static const char *const versions[] = { "v2", "v2beta1" };
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		aggregated(s, &b, true, versions[i]);
		keep(s, arena_concat(a, str_c(versions[i]), S("/api")), &b);
		aggregated(s, &b, false, versions[i]);
		keep(s, arena_concat(a, str_c(versions[i]), S("/apis")), &b);
	}
	// The root's list.
	struct str_list paths = { 0 };
	for (struct map_slot *i = NULL; (i = map_each(&s->discovery, i));)
		if (i->key.n && i->key.p[0] == '/')
			*LIST_ADD(a, &paths) = i->key;
	static const char *const more[] = { "/.well-known/openid-configuration", "/apis/", "/healthz", "/healthz/etcd", "/healthz/log", "/healthz/ping", "/livez", "/livez/log",
		                            "/livez/ping", "/metrics", "/openapi/v2", "/openapi/v3", "/openapi/v3/", "/openid/v1/jwks", "/readyz", "/readyz/log", "/readyz/ping", "/version" };
	for (size_t i = 0; i < ARRAY_LEN(more); i++)
		*LIST_ADD(a, &paths) = str_c(more[i]);
	qsort(paths.v, paths.n, sizeof(str), str_cmp_qsort);
	buf_add(&b, S("{\"paths\":["));
	for (size_t i = 0; i < paths.n; i++)
		buf_printf(&b, "%s\"" STR_FMT "\"", i ? "," : "", STR_ARG(paths.v[i]));
	buf_add(&b, S("]}\n"));
	s->root_paths = arena_dup(a, buf_str(&b));
	buf_free(&b);
	return true;
}

// A document in the form the client accepts: JSON as it is, YAML, or protobuf by way of the typed message.
static void reply_document(struct call *c, str json)
{
	struct api_status s = { 0 };
	if (!negotiate(c, false, &s)) {
		reply_status(c, &s);
		return;
	}
	if (c->accept.media == MEDIA_JSON) {
		reply_text(c, 200, S("application/json"), json);
		return;
	}
	struct error err = { 0 };
	struct value *v = json_parse(c->r.arena, json, NULL, &err);
	str kind = value_get_str(v, S("kind"));
	const struct message_desc *m = schema_message(arena_concat(c->r.arena, S("k8s.io.apimachinery.pkg.apis.meta.v1."), kind));
	void *obj = m ? schema_from_value(c->r.arena, m, v, NULL, &err) : NULL;
	if (!obj) {
		reply_text(c, 200, S("application/json"), json);
		return;
	}
	struct core_v1_Pod *head = obj;
	head->apiVersion = S("v1");
	reply_message(c, 200, m, obj);
}

// The first acceptable form of aggregated discovery that the client asks for; empty: the plain one.
static str wants_aggregated(struct call *c, str *type)
{
	str accept = http_header(&c->r.in->headers, S("accept"));
	for (str rest = accept, part; str_next(&rest, ',', &part);) {
		bool as = str_contains(part, S("as=APIGroupDiscoveryList")), g = str_contains(part, S("g=apidiscovery.k8s.io"));
		bool json = str_has_prefix(str_trim(part), S("application/json"));
		if (as && g && json && str_contains(part, S("v=v2beta1"))) {
			*type = S("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList");
			return S("v2beta1");
		}
		if (as && g && json && str_contains(part, S("v=v2")) ) {
			*type = S("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
			return S("v2");
		}
		if (!as && json)
			break;
	}
	return (str){ 0 };
}

bool discovery(struct call *c)
{
	struct apiserver *s = c->s;
	str path = c->r.info.path;
	bool root = str_eq(path, S("/")) || str_eq(path, S("/index.html"));
	if (path.n > 1)
		str_cut_suffix(&path, S("/"));
	str *text = map_get(&s->discovery, path);
	bool known_version = str_has_prefix(path, S("/api/")) || (str_has_prefix(path, S("/apis/")) && str_find_char(str_from(path, 6), '/') > 0);
	if (!text && !root) {
		// An unknown version of a known group answers in the API's words, an unknown group does not.
		str group = str_from(path, 6), version;
		str_split(group, '/', &group, &version);
		bool group_known = str_has_prefix(path, S("/api/")) || map_has(&s->discovery, arena_concat(c->r.arena, S("/apis/"), group));
		if (!known_version || !group_known)
			return false;
		struct api_status st = { .code = 404, .reason = S("NotFound"), .message = S("the server could not find the requested resource") };
		reply_status(c, &st);
		return true;
	}
	bool top = str_eq(path, S("/api")) || str_eq(path, S("/apis"));
	if (!str_eq(c->r.in->method, S("GET")) && !str_eq(c->r.in->method, S("HEAD")) && !(str_eq(path, S("/apis")) && str_eq(c->r.in->method, S("POST")))) {
		struct api_status st = { .code = 405, .reason = S("MethodNotAllowed"), .message = S("the server does not allow this method on the requested resource") };
		reply_status(c, &st);
		return true;
	}
	if (root) {
		reply_text(c, 200, S("application/json"), s->root_paths);
		return true;
	}
	str type, version = top ? wants_aggregated(c, &type) : (str){ 0 };
	if (version.n) {
		str *doc = map_get(&s->discovery, arena_concat(c->r.arena, version, path));
		reply_text(c, 200, type, *doc);
		return true;
	}
	reply_document(c, *text);
	return true;
}
