// The paths of OpenAPI documents, and the documents.
#include "schema/openapi.h"

#include "schema/openapi_util.h"

#define META "io.k8s.apimachinery.pkg.apis.meta.v1."

// --- Parameters ---------------------------------------------------------------------------------------------------------

// v2 shares parameters under names whose tails are hashes of the texts that upstream gives them.
static const struct parameter { const char *name, *type, *shared; bool in_path; } parameters[] = {
	{ "allowWatchBookmarks", "boolean", "HC2hJt-J", false }, { "command", "string", "Py3eQybp", false }, { "continue", "string", "QfD61s0i", false },
	{ "dryRun", "string", NULL, false }, { "fieldManager", "string", "Qy4HdaTW", false }, { "fieldManager", "string", "7c6nTn1T", false },
	{ "fieldSelector", "string", "xIcQKXFG", false }, { "fieldValidation", "string", NULL, false }, { "follow", "boolean", "9OIXh_2R", false },
	{ "force", "boolean", "tOGGb0Yi", false }, { "gracePeriodSeconds", "integer", "-K5HaBOS", false },
	{ "ignoreStoreReadErrorWithClusterBreakingPotential", "boolean", "QbNkfIqj", false }, { "insecureSkipTLSVerifyBackend", "boolean", "gM00jVbe", false },
	{ "labelSelector", "string", "5Zw57w4C", false }, { "limit", "integer", "1NfNmdNH", false }, { "limitBytes", "integer", "zwd1RXuc", false },
	{ "logpath", "string", "Noq7euwC", true }, { "name", "string", NULL, true }, { "namespace", "string", "vgWSWtn3", true },
	{ "orphanDependents", "boolean", "uRB25kX5", false }, { "ports", "integer", "91KROJmm", false }, { "pretty", "string", "tJGM1-ng", false },
	{ "previous", "boolean", "1jxDPu3y", false }, { "propagationPolicy", "string", "6jk3prlO", false }, { "resourceVersion", "string", "5WAnf1kx", false },
	{ "resourceVersionMatch", "string", "t8XhRHeC", false }, { "sendInitialEvents", "boolean", "rLXlEK_k", false },
	{ "shardSelector", "string", "Kgyki_3_", false }, { "sinceSeconds", "integer", "vE2NLdnP", false }, { "stream", "string", "l-48cgXv", false },
	{ "tailLines", "integer", "9xQLWHMV", false }, { "timeoutSeconds", "integer", "yvYezaOC", false }, { "timestamps", "boolean", "c17fW1w_", false },
	{ "watch", "boolean", "XNNPZGbK", false },
	// The same names with other texts: options of attach, exec and log, and of the three kinds of proxies.
	{ "container", "string", "_Q-EJ3nR", false }, { "stderr", "boolean", "26jJhFUR", false }, { "stdin", "boolean", "sEFnN3IS", false },
	{ "stdout", "boolean", "005YMKE6", false }, { "tty", "boolean", "g7MlET_l", false },
	{ "container", "string", "i5dOmRiM", false }, { "stderr", "boolean", "W_1TNlWc", false }, { "stdin", "boolean", "PSzNhyUC", false },
	{ "stdout", "boolean", "-EZLRwV1", false }, { "tty", "boolean", "s0flW37O", false },
	{ "container", "string", "1GeXxFDC", false },
	{ "path", "string", "z6Ciiujn", true }, { "path", "string", "oPbzgLUj", false }, { "path", "string", "QCf0eosM", false }, { "path", "string", "rFDtV0x9", false },
};
#define BODY_DELETE "body-2Y1dVQaQ"
#define BODY_PATCH "body-78PwaGsr"

static const struct parameter *find_parameter(const char *name, const char *shared)
{
	for (size_t i = 0; i < ARRAY_LEN(parameters); i++)
		if (strcmp(parameters[i].name, name) == 0 && (!shared || (parameters[i].shared && strcmp(parameters[i].shared, shared) == 0)))
			return &parameters[i];
	return NULL;
}

static struct value *parameter_value(struct arena *a, const struct parameter *p, bool v3)
{
	struct value *v = value_object(a), *type = v3 ? value_object(a) : v;
	put_str(a, v, S("in"), p->in_path ? S("path") : S("query"));
	put_str(a, v, S("name"), str_c(p->name));
	if (p->in_path)
		put(a, v, S("required"), value_bool(a, true));
	if (v3)
		put(a, v, S("schema"), type);
	put_str(a, type, S("type"), str_c(p->type));
	put(a, type, S("uniqueItems"), value_bool(a, true));
	return v;
}

static struct value *body_value(struct arena *a, str ref, bool required)
{
	struct value *v = value_object(a), *schema = value_object(a);
	put_str(a, v, S("in"), S("body"));
	put_str(a, v, S("name"), S("body"));
	if (required)
		put(a, v, S("required"), value_bool(a, true));
	put(a, v, S("schema"), schema);
	put_str(a, schema, S("$ref"), ref);
	return v;
}

struct value *openapi_v2_parameters(struct arena *a)
{
	struct value *v = value_object(a);
	put(a, v, S(BODY_DELETE), body_value(a, S("#/definitions/" META "DeleteOptions"), false));
	put(a, v, S(BODY_PATCH), body_value(a, S("#/definitions/" META "Patch"), true));
	for (size_t i = 0; i < ARRAY_LEN(parameters); i++)
		if (parameters[i].shared)
			put(a, v, arena_printf(a, "%s-%s", parameters[i].name, parameters[i].shared), parameter_value(a, &parameters[i], false));
	value_sort(v);
	return v;
}

// --- One path -----------------------------------------------------------------------------------------------------------

struct operation {
	const char *method;
	struct value *v;
	const struct parameter *p[24]; // sorted by name; without the body
	size_t n;
	struct value *body;            // v2: the parameter
};

struct path_item {
	struct openapi *o;
	str path;
	struct operation ops[8];
	size_t n;
};

// In order of the names, as upstream sorts them.
static void take(struct operation *op, const char *name, const char *shared)
{
	const struct parameter *p = find_parameter(name, shared);
	size_t i = op->n;
	if (!p || op->n == ARRAY_LEN(op->p))
		return;
	while (i > 0 && strcmp(op->p[i - 1]->name, p->name) > 0) {
		op->p[i] = op->p[i - 1];
		i--;
	}
	op->p[i] = p;
	op->n++;
}

static void take_all(struct operation *op, const char *const *names)
{
	for (; *names; names++)
		take(op, *names, NULL);
}

static struct value *ref_of(struct path_item *item, const struct parameter *p)
{
	struct arena *a = item->o->a;
	if (item->o->v3 || !p->shared)
		return parameter_value(a, p, item->o->v3);
	struct value *v = value_object(a);
	put_str(a, v, S("$ref"), arena_printf(a, "#/parameters/%s-%s", p->name, p->shared));
	return v;
}

static bool has(const struct operation *op, const struct parameter *p)
{
	for (size_t i = 0; i < op->n; i++)
		if (op->p[i] == p)
			return true;
	return false;
}

// Parameters that all operations have stand at the path itself.
static void finish_path(struct path_item *item)
{
	struct arena *a = item->o->a;
	struct value *v = value_object(a), *common = value_array(a);
	for (size_t i = 0; item->n && i < item->ops[0].n; i++) {
		bool everywhere = true;
		for (size_t k = 1; k < item->n; k++)
			everywhere = everywhere && has(&item->ops[k], item->ops[0].p[i]);
		if (everywhere)
			value_append(a, common, ref_of(item, item->ops[0].p[i]));
	}
	for (size_t k = 0; k < item->n; k++) {
		struct operation *op = &item->ops[k];
		struct value *own = value_array(a);
		if (op->body)
			value_append(a, own, op->body);
		for (size_t i = 0; i < op->n; i++) {
			bool everywhere = true;
			for (size_t j = 0; j < item->n; j++)
				everywhere = everywhere && has(&item->ops[j], op->p[i]);
			if (!everywhere)
				value_append(a, own, ref_of(item, op->p[i]));
		}
		if (own->a.n)
			put(a, op->v, S("parameters"), own);
		value_sort(op->v);
		put(a, v, str_c(op->method), op->v);
	}
	if (common->a.n)
		put(a, v, S("parameters"), common);
	value_sort(v);
	put(a, item->o->paths, item->path, v);
}

#define MEDIA "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
static const char *const media_plain[] = { MEDIA, NULL };
static const char *const media_cbor[] = { MEDIA, "application/cbor", NULL };
static const char *const media_watch[] = { MEDIA, "application/cbor", "application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch", "application/cbor-seq", NULL };
static const char *const media_log[] = { "text/plain", MEDIA, "application/cbor", NULL };
static const char *const media_patch[] = { "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json",
	                                   "application/apply-patch+yaml", "application/apply-patch+cbor", NULL };
static const char *const media_any[] = { "*/*", NULL };
static const char *const media_json[] = { "application/json", NULL };
static const char *const media_jwks[] = { "application/jwk-set+json", NULL };

static struct value *names_value(struct arena *a, const char *const *names)
{
	struct value *v = value_array(a);
	for (; *names; names++)
		value_append(a, v, value_string(a, str_c(*names)));
	return v;
}

struct shape {
	const char *method, *action; // action NULL: none
	str id, tag;
	const char *const *consumes, *const *produces;
	struct value *(*result)(struct path_item *item, const void *ctx); // NULL: no 200
	const void *ctx;
	bool created, accepted;
};

static struct value *response(struct path_item *item, const struct shape *s, const char *description)
{
	struct arena *a = item->o->a;
	struct value *v = value_object(a);
	put_str(a, v, S("description"), str_c(description));
	if (!item->o->v3) {
		put(a, v, S("schema"), s->result(item, s->ctx));
		return v;
	}
	struct value *content = value_object(a);
	for (const char *const *media = s->produces; *media; media++) {
		struct value *one = value_object(a);
		put(a, one, S("schema"), s->result(item, s->ctx));
		put(a, content, str_c(*media), one);
	}
	value_sort(content);
	put(a, v, S("content"), content);
	return v;
}

static struct operation *add_operation(struct path_item *item, const struct shape *s)
{
	struct arena *a = item->o->a;
	struct operation *op = &item->ops[item->n++];
	*op = (struct operation){ .method = s->method, .v = value_object(a) };
	if (!item->o->v3) {
		struct value *schemes = value_array(a);
		value_append(a, schemes, value_string(a, S("https")));
		if (s->consumes)
			put(a, op->v, S("consumes"), names_value(a, s->consumes));
		if (s->produces)
			put(a, op->v, S("produces"), names_value(a, s->produces));
		put(a, op->v, S("schemes"), schemes);
	}
	put_str(a, op->v, S("operationId"), s->id);
	struct value *tags = value_array(a), *responses = value_object(a), *unauthorized = value_object(a);
	value_append(a, tags, value_string(a, s->tag));
	put(a, op->v, S("tags"), tags);
	if (s->result)
		put(a, responses, S("200"), response(item, s, "OK"));
	if (s->created)
		put(a, responses, S("201"), response(item, s, "Created"));
	if (s->accepted)
		put(a, responses, S("202"), response(item, s, "Accepted"));
	put_str(a, unauthorized, S("description"), S("Unauthorized"));
	put(a, responses, S("401"), unauthorized);
	put(a, op->v, S("responses"), responses);
	if (s->action)
		put_str(a, op->v, S("x-kubernetes-action"), str_c(s->action));
	return op;
}

static void set_body(struct path_item *item, struct operation *op, struct value *ref, const char *shared, bool required, const char *const *consumes)
{
	struct arena *a = item->o->a;
	if (!item->o->v3) {
		if (shared) {
			op->body = value_object(a);
			put_str(a, op->body, S("$ref"), arena_printf(a, "#/parameters/%s", shared));
		} else {
			op->body = body_value(a, value_get_str(ref, S("$ref")), required);
		}
		return;
	}
	struct value *body = value_object(a), *content = value_object(a);
	for (; *consumes; consumes++) {
		struct value *one = value_object(a);
		put(a, one, S("schema"), ref);
		put(a, content, str_c(*consumes), one);
	}
	value_sort(content);
	put(a, body, S("content"), content);
	if (required)
		put(a, body, S("required"), value_bool(a, true));
	put(a, op->v, S("requestBody"), body);
}

static struct value *string_result(struct path_item *item, const void *ctx)
{
	struct value *v = value_object(item->o->a);
	put_str(item->o->a, v, S("type"), S("string"));
	return v;
}

static struct value *message_result(struct path_item *item, const void *ctx) { return openapi_ref_message(item->o, ctx); }

static const struct message_desc *meta_message(const char *name)
{
	char full[100] = "k8s.io.apimachinery.pkg.apis.meta.v1.";
	strncat(full, name, sizeof(full) - strlen(full) - 1);
	return schema_message(str_c(full));
}

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
	str group = schema_text(p->g->group), version = schema_text(p->g->version), body = schema_text(p->r->body_group_version);
	if (body.n && !str_split(body, '/', &group, &version)) {
		version = group;
		group = S("");
	}
	put_str(a, v, S("group"), group);
	put_str(a, v, S("kind"), schema_text(p->r->kind));
	put_str(a, v, S("version"), version);
	put(a, op->v, S("x-kubernetes-group-version-kind"), v);
}

static const char *const list_names[] = { "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion", "resourceVersionMatch",
	                                  "sendInitialEvents", "shardSelector", "timeoutSeconds", "watch", NULL };
static const char *const collection_names[] = { "continue", "dryRun", "fieldSelector", "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential",
	                                        "labelSelector", "limit", "orphanDependents", "propagationPolicy", "resourceVersion", "resourceVersionMatch",
	                                        "sendInitialEvents", "shardSelector", "timeoutSeconds", NULL };
static const char *const delete_names[] = { "dryRun", "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential", "orphanDependents", "propagationPolicy", NULL };
static const char *const write_names[] = { "dryRun", "fieldManager", "fieldValidation", NULL };
static const char *const log_names[] = { "follow", "insecureSkipTLSVerifyBackend", "limitBytes", "previous", "sinceSeconds", "stream", "tailLines", "timestamps", NULL };

static struct operation *resource_operation(struct resource_paths *p, struct path_item *item, struct shape *s, bool named, bool namespaced)
{
	s->tag = p->tag;
	if (!s->consumes)
		s->consumes = media_any;
	if (!s->produces)
		s->produces = media_cbor;
	struct operation *op = add_operation(item, s);
	set_kind(p, op);
	take(op, "pretty", NULL);
	if (named)
		take(op, "name", NULL);
	if (namespaced)
		take(op, "namespace", NULL);
	return op;
}

static str path_of(struct resource_paths *p, const char *before, bool namespaced, bool named)
{
	struct arena *a = p->o->a;
	return arena_concat(a, p->root, str_c(before), namespaced ? S("/namespaces/{namespace}/") : S("/"), p->plural, named ? S("/{name}") : S(""), p->sub);
}

static void collection(struct resource_paths *p)
{
	struct arena *a = p->o->a;
	const struct resource_desc *r = p->r;
	bool namespaced = r->namespaced;
	struct path_item item = { .o = p->o, .path = path_of(p, "", namespaced, false) };
	const struct message_desc *list = schema_message_at(r->list_message);
	if (verb(r, "list") && list) {
		struct shape s = { .method = "get", .action = "list", .id = arena_concat(a, S("list"), p->word, p->scope, p->kind), .produces = media_watch, .result = message_result, .ctx = list };
		take_all(resource_operation(p, &item, &s, false, namespaced), list_names);
	}
	if (verb(r, "create")) {
		struct shape s = { .method = "post", .action = "post", .id = arena_concat(a, S("create"), p->word, p->scope, p->kind), .result = message_result, .ctx = p->body, .created = true, .accepted = true };
		struct operation *op = resource_operation(p, &item, &s, false, namespaced);
		take_all(op, write_names);
		set_body(&item, op, openapi_ref_message(p->o, p->body), NULL, true, s.consumes);
	}
	if (verb(r, "deletecollection")) {
		const struct message_desc *status = meta_message("Status");
		struct shape s = { .method = "delete", .action = "deletecollection", .id = arena_concat(a, S("delete"), p->word, S("Collection"), p->scope, p->kind), .result = message_result, .ctx = status };
		struct operation *op = resource_operation(p, &item, &s, false, namespaced);
		take_all(op, collection_names);
		set_body(&item, op, openapi_ref_message(p->o, meta_message("DeleteOptions")), BODY_DELETE, false, s.consumes);
	}
	if (item.n)
		finish_path(&item);
	if (namespaced && verb(r, "list") && list) {
		struct path_item all = { .o = p->o, .path = path_of(p, "", false, false) };
		struct shape s = { .method = "get", .action = "list", .id = arena_concat(a, S("list"), p->word, p->kind, S("ForAllNamespaces")), .produces = media_watch, .result = message_result, .ctx = list };
		take_all(resource_operation(p, &all, &s, false, false), list_names);
		finish_path(&all);
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
		struct shape s = { .method = "get", .action = "get", .id = arena_concat(a, S("read"), tail), .produces = log ? media_log : NULL, .result = log ? string_result : message_result, .ctx = p->body };
		struct operation *op = resource_operation(p, &item, &s, true, namespaced);
		if (log) {
			take(op, "container", "1GeXxFDC");
			take_all(op, log_names);
		}
	}
	if (verb(r, "update")) {
		struct shape s = { .method = "put", .action = "put", .id = arena_concat(a, S("replace"), tail), .result = message_result, .ctx = p->body, .created = true };
		struct operation *op = resource_operation(p, &item, &s, true, namespaced);
		take_all(op, write_names);
		set_body(&item, op, openapi_ref_message(p->o, p->body), NULL, true, s.consumes);
	}
	if (p->sub.n && verb(r, "create")) {
		struct shape s = { .method = "post", .action = "post", .id = arena_concat(a, S("create"), tail), .result = message_result, .ctx = p->body, .created = true, .accepted = true };
		struct operation *op = resource_operation(p, &item, &s, true, namespaced);
		take_all(op, write_names);
		set_body(&item, op, openapi_ref_message(p->o, p->body), NULL, true, s.consumes);
	}
	if (verb(r, "delete")) {
		struct shape s = { .method = "delete", .action = "delete", .id = arena_concat(a, S("delete"), tail), .result = message_result, .ctx = r->returns_deleted ? p->body : meta_message("Status"), .accepted = true };
		struct operation *op = resource_operation(p, &item, &s, true, namespaced);
		take_all(op, delete_names);
		set_body(&item, op, openapi_ref_message(p->o, meta_message("DeleteOptions")), BODY_DELETE, false, s.consumes);
	}
	if (verb(r, "patch")) {
		struct shape s = { .method = "patch", .action = "patch", .id = arena_concat(a, S("patch"), tail), .consumes = media_patch, .result = message_result, .ctx = p->body, .created = true };
		struct operation *op = resource_operation(p, &item, &s, true, namespaced);
		take(op, "dryRun", NULL);
		take(op, "fieldManager", "7c6nTn1T");
		take(op, "fieldValidation", NULL);
		take(op, "force", NULL);
		set_body(&item, op, openapi_ref(p->o, S(META "Patch"), NULL), BODY_PATCH, true, s.consumes);
	}
	if (item.n)
		finish_path(&item);
}

static void watch_path(struct resource_paths *p, bool namespaced, bool named, str id)
{
	struct path_item item = { .o = p->o, .path = path_of(p, "/watch", namespaced, named) };
	struct shape s = { .method = "get", .action = named ? "watch" : "watchlist", .id = id, .produces = media_watch, .result = message_result, .ctx = meta_message("WatchEvent") };
	take_all(resource_operation(p, &item, &s, named, namespaced), list_names);
	finish_path(&item);
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
	struct path_item item = { .o = p->o, .path = arena_concat(a, path_of(p, "", p->r->namespaced, true), with_path ? S("/{path}") : S("")) };
	for (const char *const *m = proxy ? proxy_methods : stream_methods; *m; m++) {
		struct shape s = { .method = *m, .action = "connect", .tag = p->tag, .consumes = media_any, .produces = media_any, .result = string_result,
			           .id = arena_concat(a, S("connect"), p->word, capital(a, str_c(*m)), p->scope, p->kind, p->subword, with_path ? S("WithPath") : S("")) };
		struct operation *op = add_operation(&item, &s);
		set_kind(p, op);
		take(op, "name", NULL);
		if (p->r->namespaced)
			take(op, "namespace", NULL);
		if (with_path)
			take(op, "path", "z6Ciiujn");
		if (proxy) {
			take(op, "path", str_eq(p->kind, S("Pod")) ? "oPbzgLUj" : str_eq(p->kind, S("Service")) ? "QCf0eosM" : "rFDtV0x9");
		} else if (str_eq(p->sub, S("/portforward"))) {
			take(op, "ports", NULL);
		} else {
			if (exec)
				take(op, "command", NULL);
			take(op, "container", exec ? "i5dOmRiM" : "_Q-EJ3nR");
			take(op, "stderr", exec ? "W_1TNlWc" : "26jJhFUR");
			take(op, "stdin", exec ? "PSzNhyUC" : "sEFnN3IS");
			take(op, "stdout", exec ? "-EZLRwV1" : "005YMKE6");
			take(op, "tty", exec ? "s0flW37O" : "g7MlET_l");
		}
	}
	finish_path(&item);
}

// GET /api/v1/ and its like: what discovery answers there.
static void discovery_path(struct openapi *o, str path, str id, str tag, const char *message, bool cbor)
{
	struct path_item item = { .o = o, .path = path };
	struct shape s = { .method = "get", .id = id, .tag = tag, .consumes = cbor ? media_cbor : media_plain, .produces = cbor ? media_cbor : media_plain, .result = message_result, .ctx = meta_message(message) };
	add_operation(&item, &s);
	finish_path(&item);
}

void openapi_add_group_version(struct openapi *o, const struct group_desc *g)
{
	struct arena *a = o->a;
	str group = schema_text(g->group), version = schema_text(g->version);
	str root = group.n ? arena_concat(a, S("/apis/"), group, S("/"), version) : arena_concat(a, S("/api/"), version);
	str word = arena_concat(a, group_word(a, group, false), capital(a, version)), tag = arena_concat(a, group_word(a, group, true), S("_"), version);
	o->group = group;
	o->version = version;
	discovery_path(o, arena_concat(a, root, S("/")), arena_concat(a, S("get"), word, S("APIResources")), tag, "APIResourceList", true);
	str kind = S("");
	for (size_t i = 0; i < g->n; i++) {
		const struct resource_desc *r = schema_resource_at(g->first + i);
		struct resource_paths p = { .o = o, .g = g, .r = r, .word = word, .tag = tag, .root = root, .scope = r->namespaced ? S("Namespaced") : S(""), .body = schema_message_at(r->message) };
		str sub = S("");
		bool is_sub = str_split(schema_text(r->resource), '/', &p.plural, &sub);
		if (!is_sub)
			kind = schema_text(r->kind);
		p.kind = kind;
		if (is_sub) {
			p.sub = arena_concat(a, S("/"), sub);
			p.subword = str_eq(sub, S("portforward")) ? S("Portforward") : capital(a, sub);
		}
		bool connects = str_eq(sub, S("proxy")) || str_eq(sub, S("exec")) || str_eq(sub, S("attach")) || str_eq(sub, S("portforward"));
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
	discovery_path(o, arena_concat(a, S("/apis/"), group, S("/")), arena_concat(a, S("get"), group_word(a, group, false), S("APIGroup")), group_word(a, group, true), "APIGroup", false);
}

static struct value *version_result(struct path_item *item, const void *ctx) { return openapi_ref(item->o, S("io.k8s.apimachinery.pkg.version.Info"), NULL); }

static void simple_path(struct openapi *o, const char *path, const char *id, const char *tag, const char *const *consumes, const char *const *produces,
                        struct value *(*result)(struct path_item *, const void *), const char *parameter)
{
	struct path_item item = { .o = o, .path = str_c(path) };
	struct shape s = { .method = "get", .id = str_c(id), .tag = str_c(tag), .consumes = consumes, .produces = produces, .result = result };
	struct operation *op = add_operation(&item, &s);
	if (parameter)
		take(op, parameter, NULL);
	finish_path(&item);
}

bool openapi_add_other(struct openapi *o, str which)
{
	if (str_eq(which, S("api")))
		discovery_path(o, S("/api/"), S("getCoreAPIVersions"), S("core"), "APIVersions", false);
	else if (str_eq(which, S("apis")))
		discovery_path(o, S("/apis/"), S("getAPIVersions"), S("apis"), "APIGroupList", false);
	else if (str_eq(which, S("version")))
		simple_path(o, "/version/", "getCodeVersion", "version", media_json, media_json, version_result, NULL);
	else if (str_eq(which, S(".well-known/openid-configuration")))
		simple_path(o, "/.well-known/openid-configuration/", "getServiceAccountIssuerOpenIDConfiguration", "WellKnown", NULL, media_json, string_result, NULL);
	else if (str_eq(which, S("openid/v1/jwks")))
		simple_path(o, "/openid/v1/jwks/", "getServiceAccountIssuerOpenIDKeyset", "openid", NULL, media_jwks, string_result, NULL);
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
	put_str(a, v, S("title"), S("Kubernetes"));
	put_str(a, v, S("version"), S("v1.36.0"));
	return v;
}

static struct value *bearer_token(struct arena *a)
{
	struct value *v = value_object(a), *token = value_object(a);
	put_str(a, token, S("description"), S("Bearer Token authentication"));
	put_str(a, token, S("in"), S("header"));
	put_str(a, token, S("name"), S("authorization"));
	put_str(a, token, S("type"), S("apiKey"));
	put(a, v, S("BearerToken"), token);
	return v;
}

static struct openapi open_document(struct arena *a, bool v3)
{
	return (struct openapi){ .a = a, .v3 = v3, .paths = value_object(a), .schemas = value_object(a) };
}

static const char *const others[] = { "api", "apis", "version", "logs", ".well-known/openid-configuration", "openid/v1/jwks" };

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
	put(a, doc, S("definitions"), o.schemas);
	put(a, doc, S("info"), info(a));
	put(a, doc, S("parameters"), openapi_v2_parameters(a));
	put(a, doc, S("paths"), o.paths);
	put(a, one, S("BearerToken"), value_array(a));
	value_append(a, security, one);
	put(a, doc, S("security"), security);
	put(a, doc, S("securityDefinitions"), bearer_token(a));
	put_str(a, doc, S("swagger"), S("2.0"));
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
		*LIST_ADD(a, &out) = group.n ? arena_concat(a, S("apis/"), group, S("/"), version) : arena_concat(a, S("api/"), version);
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
		bool here = group.n ? str_cut_prefix(&rest, S("apis/")) && str_cut_prefix(&rest, group) && str_cut_prefix(&rest, S("/")) : str_cut_prefix(&rest, S("api/"));
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
		put(a, components, S("schemas"), o.schemas);
	put(a, components, S("securitySchemes"), bearer_token(a));
	put(a, doc, S("components"), components);
	put(a, doc, S("info"), info(a));
	put_str(a, doc, S("openapi"), S("3.0.0"));
	put(a, doc, S("paths"), o.paths);
	return doc;
}
