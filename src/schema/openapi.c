// The paths of OpenAPI documents, and the documents.
#include "schema/openapi.h"

#include "schema/openapi_util.h"

#define META "io.k8s.apimachinery.pkg.apis.meta.v1."

// --- Resources ----------------------------------------------------------------------------------------------------------

static str capital(struct arena *a, str s)
{
	char *c = arena_cstr(a, s);
	if (*c >= 'a' && *c <= 'z')
		*c = (char)(*c - 32);
	return str_c(c);
}

// "rbac.authorization.k8s.io" -> "RbacAuthorization", "" -> "Core"; the tag begins with a small letter.
static str group_word(struct arena *a, str group, bool tag)
{
	if (!group.n)
		return tag ? S("core") : S("Core");
	str_cut_suffix(&group, S(".k8s.io"));
	str out = S(""), part;
	for (str rest = group; str_next(&rest, '.', &part);)
		out = arena_concat(a, out, tag && !out.n ? part : capital(a, part));
	return out;
}

struct resource_paths {
	struct openapi *o;
	const struct group_desc *g;
	const struct resource_desc *r;
	str word;    // CoreV1
	str tag;     // core_v1
	str root;    // /api/v1
	str plural;  // pods
	str sub;     // "/log" or empty
	str scope;   // Namespaced or empty
	str kind;    // of the resource itself: Pod
	str subword; // Log or empty
	const struct message_desc *body;
};

static bool verb(const struct resource_desc *r, const char *name)
{
	str part;
	for (str rest = schema_text(r->verbs); str_next(&rest, ',', &part);)
		if (str_eqc(part, name))
			return true;
	return false;
}

static void set_kind(struct resource_paths *p, struct operation *op)
{
	struct arena *a = p->o->a;
	struct value *v = value_object(a);
	str group = schema_text(p->g->group), version = schema_text(p->g->version),
	    body = schema_text(p->r->body_group_version);
	if (body.n && !str_split(body, '/', &group, &version)) {
		version = group;
		group = S("");
	}
	oa_put_str(a, v, S("group"), group);
	oa_put_str(a, v, S("kind"), schema_text(p->r->kind));
	oa_put_str(a, v, S("version"), version);
	oa_put(a, op->v, S("x-kubernetes-group-version-kind"), v);
}

static const char *const list_names[] = {
	"allowWatchBookmarks",  "continue",          "fieldSelector", "labelSelector",  "limit", "resourceVersion",
	"resourceVersionMatch", "sendInitialEvents", "shardSelector", "timeoutSeconds", "watch", NULL
};
static const char *const collection_names[] = { "continue",
	                                        "dryRun",
	                                        "fieldSelector",
	                                        "gracePeriodSeconds",
	                                        "ignoreStoreReadErrorWithClusterBreakingPotential",
	                                        "labelSelector",
	                                        "limit",
	                                        "orphanDependents",
	                                        "propagationPolicy",
	                                        "resourceVersion",
	                                        "resourceVersionMatch",
	                                        "sendInitialEvents",
	                                        "shardSelector",
	                                        "timeoutSeconds",
	                                        NULL };
static const char *const delete_names[] = {
	"dryRun",           "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential",
	"orphanDependents", "propagationPolicy",  NULL
};
static const char *const write_names[] = { "dryRun", "fieldManager", "fieldValidation", NULL };
static const char *const log_names[] = { "follow",
	                                 "insecureSkipTLSVerifyBackend",
	                                 "limitBytes",
	                                 "previous",
	                                 "sinceSeconds",
	                                 "stream",
	                                 "tailLines",
	                                 "timestamps",
	                                 NULL };

static struct operation *resource_operation(struct resource_paths *p, struct path_item *item, struct shape *s,
                                            bool named, bool namespaced)
{
	s->tag = p->tag;
	if (!s->consumes)
		s->consumes = oa_media_any;
	if (!s->produces)
		s->produces = oa_media_cbor;
	struct operation *op = oa_operation(item, s);
	set_kind(p, op);
	oa_take(op, "pretty", NULL);
	if (named)
		oa_take(op, "name", NULL);
	if (namespaced)
		oa_take(op, "namespace", NULL);
	return op;
}

static str path_of(struct resource_paths *p, const char *before, bool namespaced, bool named)
{
	struct arena *a = p->o->a;
	return arena_concat(a, p->root, str_c(before), namespaced ? S("/namespaces/{namespace}/") : S("/"), p->plural,
	                    named ? S("/{name}") : S(""), p->sub);
}

static void collection(struct resource_paths *p)
{
	struct arena *a = p->o->a;
	const struct resource_desc *r = p->r;
	bool namespaced = r->namespaced;
	struct path_item item = { .o = p->o, .path = path_of(p, "", namespaced, false) };
	const struct message_desc *list = schema_message_at(r->list_message);
	if (verb(r, "list") && list) {
		struct shape s = { .method = "get",
			           .action = "list",
			           .id = arena_concat(a, S("list"), p->word, p->scope, p->kind),
			           .produces = oa_media_watch,
			           .result = oa_message_result,
			           .ctx = list };
		oa_take_all(resource_operation(p, &item, &s, false, namespaced), list_names);
	}
	if (verb(r, "create")) {
		struct shape s = { .method = "post",
			           .action = "post",
			           .id = arena_concat(a, S("create"), p->word, p->scope, p->kind),
			           .result = oa_message_result,
			           .ctx = p->body,
			           .created = true,
			           .accepted = true };
		struct operation *op = resource_operation(p, &item, &s, false, namespaced);
		oa_take_all(op, write_names);
		oa_set_body(&item, op, openapi_ref_message(p->o, p->body), NULL, true, s.consumes);
	}
	if (verb(r, "deletecollection")) {
		const struct message_desc *status = oa_meta_message("Status");
		struct shape s = { .method = "delete",
			           .action = "deletecollection",
			           .id = arena_concat(a, S("delete"), p->word, S("Collection"), p->scope, p->kind),
			           .result = oa_message_result,
			           .ctx = status };
		struct operation *op = resource_operation(p, &item, &s, false, namespaced);
		oa_take_all(op, collection_names);
		oa_set_body(&item, op, openapi_ref_message(p->o, oa_meta_message("DeleteOptions")), BODY_DELETE, false,
		            s.consumes);
	}
	if (item.n)
		oa_finish_path(&item);
	if (namespaced && verb(r, "list") && list) {
		struct path_item all = { .o = p->o, .path = path_of(p, "", false, false) };
		struct shape s = { .method = "get",
			           .action = "list",
			           .id = arena_concat(a, S("list"), p->word, p->kind, S("ForAllNamespaces")),
			           .produces = oa_media_watch,
			           .result = oa_message_result,
			           .ctx = list };
		oa_take_all(resource_operation(p, &all, &s, false, false), list_names);
		oa_finish_path(&all);
	}
}

static void one_object(struct resource_paths *p)
{
	struct arena *a = p->o->a;
	const struct resource_desc *r = p->r;
	bool namespaced = r->namespaced;
	struct path_item item = { .o = p->o, .path = path_of(p, "", namespaced, true) };
	str tail = arena_concat(a, p->word, p->scope, p->kind, p->subword);
	bool log = str_eq(p->sub, S("/log"));
	if (verb(r, "get")) {
		struct shape s = { .method = "get",
			           .action = "get",
			           .id = arena_concat(a, S("read"), tail),
			           .produces = log ? oa_media_log : NULL,
			           .result = log ? oa_string_result : oa_message_result,
			           .ctx = p->body };
		struct operation *op = resource_operation(p, &item, &s, true, namespaced);
		if (log) {
			oa_take(op, "container", "1GeXxFDC");
			oa_take_all(op, log_names);
		}
	}
	if (verb(r, "update")) {
		struct shape s = { .method = "put",
			           .action = "put",
			           .id = arena_concat(a, S("replace"), tail),
			           .result = oa_message_result,
			           .ctx = p->body,
			           .created = true };
		struct operation *op = resource_operation(p, &item, &s, true, namespaced);
		oa_take_all(op, write_names);
		oa_set_body(&item, op, openapi_ref_message(p->o, p->body), NULL, true, s.consumes);
	}
	if (p->sub.n && verb(r, "create")) {
		struct shape s = { .method = "post",
			           .action = "post",
			           .id = arena_concat(a, S("create"), tail),
			           .result = oa_message_result,
			           .ctx = p->body,
			           .created = true,
			           .accepted = true };
		struct operation *op = resource_operation(p, &item, &s, true, namespaced);
		oa_take_all(op, write_names);
		oa_set_body(&item, op, openapi_ref_message(p->o, p->body), NULL, true, s.consumes);
	}
	if (verb(r, "delete")) {
		struct shape s = { .method = "delete",
			           .action = "delete",
			           .id = arena_concat(a, S("delete"), tail),
			           .result = oa_message_result,
			           .ctx = r->returns_deleted ? p->body : oa_meta_message("Status"),
			           .accepted = true };
		struct operation *op = resource_operation(p, &item, &s, true, namespaced);
		oa_take_all(op, delete_names);
		oa_set_body(&item, op, openapi_ref_message(p->o, oa_meta_message("DeleteOptions")), BODY_DELETE, false,
		            s.consumes);
	}
	if (verb(r, "patch")) {
		struct shape s = { .method = "patch",
			           .action = "patch",
			           .id = arena_concat(a, S("patch"), tail),
			           .consumes = oa_media_patch,
			           .result = oa_message_result,
			           .ctx = p->body,
			           .created = true };
		struct operation *op = resource_operation(p, &item, &s, true, namespaced);
		oa_take(op, "dryRun", NULL);
		oa_take(op, "fieldManager", "7c6nTn1T");
		oa_take(op, "fieldValidation", NULL);
		oa_take(op, "force", NULL);
		oa_set_body(&item, op, openapi_ref(p->o, S(META "Patch"), NULL), BODY_PATCH, true, s.consumes);
	}
	if (item.n)
		oa_finish_path(&item);
}

static void watch_path(struct resource_paths *p, bool namespaced, bool named, str id)
{
	struct path_item item = { .o = p->o, .path = path_of(p, "/watch", namespaced, named) };
	struct shape s = { .method = "get",
		           .action = named ? "watch" : "watchlist",
		           .id = id,
		           .produces = oa_media_watch,
		           .result = oa_message_result,
		           .ctx = oa_meta_message("WatchEvent") };
	oa_take_all(resource_operation(p, &item, &s, named, namespaced), list_names);
	oa_finish_path(&item);
}

static void watches(struct resource_paths *p)
{
	struct arena *a = p->o->a;
	bool namespaced = p->r->namespaced;
	if (!verb(p->r, "watch"))
		return;
	watch_path(p, namespaced, false, arena_concat(a, S("watch"), p->word, p->scope, p->kind, S("List")));
	watch_path(p, namespaced, true, arena_concat(a, S("watch"), p->word, p->scope, p->kind));
	if (namespaced)
		watch_path(p, false, false, arena_concat(a, S("watch"), p->word, p->kind, S("ListForAllNamespaces")));
}

static void connect_path(struct resource_paths *p, bool with_path)
{
	static const char *const proxy_methods[] = { "get", "post", "delete", "head", "options", "patch", "put", NULL };
	static const char *const stream_methods[] = { "get", "post", NULL };
	struct arena *a = p->o->a;
	bool proxy = str_eq(p->sub, S("/proxy")), exec = str_eq(p->sub, S("/exec"));
	struct path_item item = { .o = p->o,
		                  .path = arena_concat(a, path_of(p, "", p->r->namespaced, true),
		                                       with_path ? S("/{path}") : S("")) };
	for (const char *const *m = proxy ? proxy_methods : stream_methods; *m; m++) {
		struct shape s = { .method = *m,
			           .action = "connect",
			           .tag = p->tag,
			           .consumes = oa_media_any,
			           .produces = oa_media_any,
			           .result = oa_string_result,
			           .id = arena_concat(a, S("connect"), p->word, capital(a, str_c(*m)), p->scope,
			                              p->kind, p->subword, with_path ? S("WithPath") : S("")) };
		struct operation *op = oa_operation(&item, &s);
		set_kind(p, op);
		oa_take(op, "name", NULL);
		if (p->r->namespaced)
			oa_take(op, "namespace", NULL);
		if (with_path)
			oa_take(op, "path", "z6Ciiujn");
		if (proxy) {
			oa_take(op, "path",
			        str_eq(p->kind, S("Pod"))       ? "oPbzgLUj"
			        : str_eq(p->kind, S("Service")) ? "QCf0eosM"
			                                        : "rFDtV0x9");
		} else if (str_eq(p->sub, S("/portforward"))) {
			oa_take(op, "ports", NULL);
		} else {
			if (exec)
				oa_take(op, "command", NULL);
			oa_take(op, "container", exec ? "i5dOmRiM" : "_Q-EJ3nR");
			oa_take(op, "stderr", exec ? "W_1TNlWc" : "26jJhFUR");
			oa_take(op, "stdin", exec ? "PSzNhyUC" : "sEFnN3IS");
			oa_take(op, "stdout", exec ? "-EZLRwV1" : "005YMKE6");
			oa_take(op, "tty", exec ? "s0flW37O" : "g7MlET_l");
		}
	}
	oa_finish_path(&item);
}

// GET /api/v1/ and its like: what discovery answers there.
static void discovery_path(struct openapi *o, str path, str id, str tag, const char *message, bool cbor)
{
	struct path_item item = { .o = o, .path = path };
	struct shape s = { .method = "get",
		           .id = id,
		           .tag = tag,
		           .consumes = cbor ? oa_media_cbor : oa_media_plain,
		           .produces = cbor ? oa_media_cbor : oa_media_plain,
		           .result = oa_message_result,
		           .ctx = oa_meta_message(message) };
	oa_operation(&item, &s);
	oa_finish_path(&item);
}

void openapi_add_group_version(struct openapi *o, const struct group_desc *g)
{
	struct arena *a = o->a;
	str group = schema_text(g->group), version = schema_text(g->version);
	str root =
	        group.n ? arena_concat(a, S("/apis/"), group, S("/"), version) : arena_concat(a, S("/api/"), version);
	str word = arena_concat(a, group_word(a, group, false), capital(a, version)),
	    tag = arena_concat(a, group_word(a, group, true), S("_"), version);
	o->group = group;
	o->version = version;
	discovery_path(o, arena_concat(a, root, S("/")), arena_concat(a, S("get"), word, S("APIResources")), tag,
	               "APIResourceList", true);
	str kind = S("");
	for (size_t i = 0; i < g->n; i++) {
		const struct resource_desc *r = schema_resource_at(g->first + i);
		struct resource_paths p = { .o = o,
			                    .g = g,
			                    .r = r,
			                    .word = word,
			                    .tag = tag,
			                    .root = root,
			                    .scope = r->namespaced ? S("Namespaced") : S(""),
			                    .body = schema_message_at(r->message) };
		str sub = S("");
		bool is_sub = str_split(schema_text(r->resource), '/', &p.plural, &sub);
		if (!is_sub)
			kind = schema_text(r->kind);
		p.kind = kind;
		if (is_sub) {
			p.sub = arena_concat(a, S("/"), sub);
			p.subword = str_eq(sub, S("portforward")) ? S("Portforward") : capital(a, sub);
		}
		bool connects = str_eq(sub, S("proxy")) || str_eq(sub, S("exec")) || str_eq(sub, S("attach")) ||
		                str_eq(sub, S("portforward"));
		if (connects) {
			connect_path(&p, false);
			if (str_eq(sub, S("proxy")))
				connect_path(&p, true);
			continue;
		}
		if (!is_sub)
			collection(&p);
		if (is_sub || verb(r, "get"))
			one_object(&p);
		if (!is_sub)
			watches(&p);
	}
}

static void group_path(struct openapi *o, str group)
{
	struct arena *a = o->a;
	discovery_path(o, arena_concat(a, S("/apis/"), group, S("/")),
	               arena_concat(a, S("get"), group_word(a, group, false), S("APIGroup")),
	               group_word(a, group, true), "APIGroup", false);
}

static struct value *version_result(struct path_item *item, const void *ctx)
{
	return openapi_ref(item->o, S("io.k8s.apimachinery.pkg.version.Info"), NULL);
}

static void simple_path(struct openapi *o, const char *path, const char *id, const char *tag,
                        const char *const *consumes, const char *const *produces,
                        struct value *(*result)(struct path_item *, const void *), const char *parameter)
{
	struct path_item item = { .o = o, .path = str_c(path) };
	struct shape s = { .method = "get",
		           .id = str_c(id),
		           .tag = str_c(tag),
		           .consumes = consumes,
		           .produces = produces,
		           .result = result };
	struct operation *op = oa_operation(&item, &s);
	if (parameter)
		oa_take(op, parameter, NULL);
	oa_finish_path(&item);
}

bool openapi_add_other(struct openapi *o, str which)
{
	if (str_eq(which, S("api")))
		discovery_path(o, S("/api/"), S("getCoreAPIVersions"), S("core"), "APIVersions", false);
	else if (str_eq(which, S("apis")))
		discovery_path(o, S("/apis/"), S("getAPIVersions"), S("apis"), "APIGroupList", false);
	else if (str_eq(which, S("version")))
		simple_path(o, "/version/", "getCodeVersion", "version", oa_media_json, oa_media_json, version_result,
		            NULL);
	else if (str_eq(which, S(".well-known/openid-configuration")))
		simple_path(o, "/.well-known/openid-configuration/", "getServiceAccountIssuerOpenIDConfiguration",
		            "WellKnown", NULL, oa_media_json, oa_string_result, NULL);
	else if (str_eq(which, S("openid/v1/jwks")))
		simple_path(o, "/openid/v1/jwks/", "getServiceAccountIssuerOpenIDKeyset", "openid", NULL, oa_media_jwks,
		            oa_string_result, NULL);
	else if (str_eq(which, S("logs"))) {
		simple_path(o, "/logs/", "logFileListHandler", "logs", NULL, NULL, NULL, NULL);
		simple_path(o, "/logs/{logpath}", "logFileHandler", "logs", NULL, NULL, NULL, "logpath");
	} else
		return false;
	return true;
}

// --- Documents ----------------------------------------------------------------------------------------------------------

static struct value *info(struct arena *a)
{
	struct value *v = value_object(a);
	oa_put_str(a, v, S("title"), S("Kubernetes"));
	oa_put_str(a, v, S("version"), S("v1.36.0"));
	return v;
}

static struct value *bearer_token(struct arena *a)
{
	struct value *v = value_object(a), *token = value_object(a);
	oa_put_str(a, token, S("description"), S("Bearer Token authentication"));
	oa_put_str(a, token, S("in"), S("header"));
	oa_put_str(a, token, S("name"), S("authorization"));
	oa_put_str(a, token, S("type"), S("apiKey"));
	oa_put(a, v, S("BearerToken"), token);
	return v;
}

static struct openapi open_document(struct arena *a, bool v3)
{
	return (struct openapi){ .a = a, .v3 = v3, .paths = value_object(a), .schemas = value_object(a) };
}

static const char *const others[] = { "api",           "apis", "version", "logs", ".well-known/openid-configuration",
	                              "openid/v1/jwks" };

// Whether no earlier group version has the same group.
static bool first_of_group(size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (schema_group_at(k)->group == schema_group_at(i)->group)
			return false;
	return true;
}

struct value *openapi_v2(struct arena *a)
{
	struct openapi o = open_document(a, false);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		openapi_add_other(&o, str_c(others[i]));
	for (size_t i = 0; i < schema_group_count(); i++) {
		if (schema_group_at(i)->group && first_of_group(i))
			group_path(&o, schema_text(schema_group_at(i)->group));
		openapi_add_group_version(&o, schema_group_at(i));
	}
	openapi_close(&o);
	value_sort(o.paths);
	struct value *doc = value_object(a), *security = value_array(a), *one = value_object(a);
	oa_put(a, doc, S("definitions"), o.schemas);
	oa_put(a, doc, S("info"), info(a));
	oa_put(a, doc, S("parameters"), openapi_v2_parameters(a));
	oa_put(a, doc, S("paths"), o.paths);
	oa_put(a, one, S("BearerToken"), value_array(a));
	value_append(a, security, one);
	oa_put(a, doc, S("security"), security);
	oa_put(a, doc, S("securityDefinitions"), bearer_token(a));
	oa_put_str(a, doc, S("swagger"), S("2.0"));
	return doc;
}

struct str_list openapi_v3_paths(struct arena *a)
{
	struct str_list out = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		*LIST_ADD(a, &out) = str_c(others[i]);
	for (size_t i = 0; i < schema_group_count(); i++) {
		str group = schema_text(schema_group_at(i)->group), version = schema_text(schema_group_at(i)->version);
		if (group.n && first_of_group(i))
			*LIST_ADD(a, &out) = arena_concat(a, S("apis/"), group);
		*LIST_ADD(a, &out) = group.n ? arena_concat(a, S("apis/"), group, S("/"), version)
		                             : arena_concat(a, S("api/"), version);
	}
	return out;
}

static bool add_v3(struct openapi *o, str path)
{
	if (openapi_add_other(o, path))
		return true;
	for (size_t i = 0; i < schema_group_count(); i++) {
		const struct group_desc *g = schema_group_at(i);
		str group = schema_text(g->group), version = schema_text(g->version), rest = path;
		if (group.n && str_cut_prefix(&rest, S("apis/")) && str_eq(rest, group)) {
			group_path(o, group);
			return true;
		}
		rest = path;
		bool here = group.n ? str_cut_prefix(&rest, S("apis/")) && str_cut_prefix(&rest, group) &&
		                              str_cut_prefix(&rest, S("/"))
		                    : str_cut_prefix(&rest, S("api/"));
		if (here && str_eq(rest, version)) {
			openapi_add_group_version(o, g);
			return true;
		}
	}
	return false;
}

struct value *openapi_v3(struct arena *a, str path)
{
	struct openapi o = open_document(a, true);
	if (!add_v3(&o, path))
		return NULL;
	openapi_close(&o);
	value_sort(o.paths);
	struct value *doc = value_object(a), *components = value_object(a);
	if (o.schemas->o.n)
		oa_put(a, components, S("schemas"), o.schemas);
	oa_put(a, components, S("securitySchemes"), bearer_token(a));
	oa_put(a, doc, S("components"), components);
	oa_put(a, doc, S("info"), info(a));
	oa_put_str(a, doc, S("openapi"), S("3.0.0"));
	oa_put(a, doc, S("paths"), o.paths);
	return doc;
}
