// One path of an OpenAPI document: its operations, their parameters, bodies and answers.
#include "schema/openapi_util.h"

#define META "io.k8s.apimachinery.pkg.apis.meta.v1."

// --- Parameters ---------------------------------------------------------------------------------------------------------

// v2 shares parameters under names whose tails are hashes of the texts that upstream gives them.
static const struct parameter {
	const char *name, *type, *shared;
	bool in_path;
} parameters[] = {
	{ "allowWatchBookmarks", "boolean", "HC2hJt-J", false },
	{ "command", "string", "Py3eQybp", false },
	{ "continue", "string", "QfD61s0i", false },
	{ "dryRun", "string", NULL, false },
	{ "fieldManager", "string", "Qy4HdaTW", false },
	{ "fieldManager", "string", "7c6nTn1T", false },
	{ "fieldSelector", "string", "xIcQKXFG", false },
	{ "fieldValidation", "string", NULL, false },
	{ "follow", "boolean", "9OIXh_2R", false },
	{ "force", "boolean", "tOGGb0Yi", false },
	{ "gracePeriodSeconds", "integer", "-K5HaBOS", false },
	{ "ignoreStoreReadErrorWithClusterBreakingPotential", "boolean", "QbNkfIqj", false },
	{ "insecureSkipTLSVerifyBackend", "boolean", "gM00jVbe", false },
	{ "labelSelector", "string", "5Zw57w4C", false },
	{ "limit", "integer", "1NfNmdNH", false },
	{ "limitBytes", "integer", "zwd1RXuc", false },
	{ "logpath", "string", "Noq7euwC", true },
	{ "name", "string", NULL, true },
	{ "namespace", "string", "vgWSWtn3", true },
	{ "orphanDependents", "boolean", "uRB25kX5", false },
	{ "ports", "integer", "91KROJmm", false },
	{ "pretty", "string", "tJGM1-ng", false },
	{ "previous", "boolean", "1jxDPu3y", false },
	{ "propagationPolicy", "string", "6jk3prlO", false },
	{ "resourceVersion", "string", "5WAnf1kx", false },
	{ "resourceVersionMatch", "string", "t8XhRHeC", false },
	{ "sendInitialEvents", "boolean", "rLXlEK_k", false },
	{ "shardSelector", "string", "Kgyki_3_", false },
	{ "sinceSeconds", "integer", "vE2NLdnP", false },
	{ "stream", "string", "l-48cgXv", false },
	{ "tailLines", "integer", "9xQLWHMV", false },
	{ "timeoutSeconds", "integer", "yvYezaOC", false },
	{ "timestamps", "boolean", "c17fW1w_", false },
	{ "watch", "boolean", "XNNPZGbK", false },
	// The same names with other texts: options of attach, exec and log, and of the three kinds of proxies.
	{ "container", "string", "_Q-EJ3nR", false },
	{ "stderr", "boolean", "26jJhFUR", false },
	{ "stdin", "boolean", "sEFnN3IS", false },
	{ "stdout", "boolean", "005YMKE6", false },
	{ "tty", "boolean", "g7MlET_l", false },
	{ "container", "string", "i5dOmRiM", false },
	{ "stderr", "boolean", "W_1TNlWc", false },
	{ "stdin", "boolean", "PSzNhyUC", false },
	{ "stdout", "boolean", "-EZLRwV1", false },
	{ "tty", "boolean", "s0flW37O", false },
	{ "container", "string", "1GeXxFDC", false },
	{ "path", "string", "z6Ciiujn", true },
	{ "path", "string", "oPbzgLUj", false },
	{ "path", "string", "QCf0eosM", false },
	{ "path", "string", "rFDtV0x9", false },
};

static const struct parameter *find_parameter(const char *name, const char *shared)
{
	for (size_t i = 0; i < ARRAY_LEN(parameters); i++)
		if (strcmp(parameters[i].name, name) == 0 &&
		    (!shared || (parameters[i].shared && strcmp(parameters[i].shared, shared) == 0)))
			return &parameters[i];
	return NULL;
}

static struct value *parameter_value(struct arena *a, const struct parameter *p, bool v3)
{
	struct value *v = value_object(a), *type = v3 ? value_object(a) : v;
	oa_put_str(a, v, S("in"), p->in_path ? S("path") : S("query"));
	oa_put_str(a, v, S("name"), str_c(p->name));
	if (p->in_path)
		oa_put(a, v, S("required"), value_bool(a, true));
	if (v3)
		oa_put(a, v, S("schema"), type);
	oa_put_str(a, type, S("type"), str_c(p->type));
	oa_put(a, type, S("uniqueItems"), value_bool(a, true));
	return v;
}

static struct value *body_value(struct arena *a, str ref, bool required)
{
	struct value *v = value_object(a), *schema = value_object(a);
	oa_put_str(a, v, S("in"), S("body"));
	oa_put_str(a, v, S("name"), S("body"));
	if (required)
		oa_put(a, v, S("required"), value_bool(a, true));
	oa_put(a, v, S("schema"), schema);
	oa_put_str(a, schema, S("$ref"), ref);
	return v;
}

struct value *openapi_v2_parameters(struct arena *a)
{
	struct value *v = value_object(a);
	oa_put(a, v, S(BODY_DELETE), body_value(a, S("#/definitions/" META "DeleteOptions"), false));
	oa_put(a, v, S(BODY_PATCH), body_value(a, S("#/definitions/" META "Patch"), true));
	for (size_t i = 0; i < ARRAY_LEN(parameters); i++)
		if (parameters[i].shared)
			oa_put(a, v, arena_printf(a, "%s-%s", parameters[i].name, parameters[i].shared),
			       parameter_value(a, &parameters[i], false));
	value_sort(v);
	return v;
}

// --- One path -----------------------------------------------------------------------------------------------------------

// In order of the names, as upstream sorts them.
void oa_take(struct operation *op, const char *name, const char *shared)
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

void oa_take_all(struct operation *op, const char *const *names)
{
	for (; *names; names++)
		oa_take(op, *names, NULL);
}

static struct value *ref_of(struct path_item *item, const struct parameter *p)
{
	struct arena *a = item->o->a;
	if (item->o->v3 || !p->shared)
		return parameter_value(a, p, item->o->v3);
	struct value *v = value_object(a);
	oa_put_str(a, v, S("$ref"), arena_printf(a, "#/parameters/%s-%s", p->name, p->shared));
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
void oa_finish_path(struct path_item *item)
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
			oa_put(a, op->v, S("parameters"), own);
		value_sort(op->v);
		oa_put(a, v, str_c(op->method), op->v);
	}
	if (common->a.n)
		oa_put(a, v, S("parameters"), common);
	value_sort(v);
	oa_put(a, item->o->paths, item->path, v);
}

#define MEDIA "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
const char *const oa_media_plain[] = { MEDIA, NULL };
const char *const oa_media_cbor[] = { MEDIA, "application/cbor", NULL };
const char *const oa_media_watch[] = { MEDIA,
	                               "application/cbor",
	                               "application/json;stream=watch",
	                               "application/vnd.kubernetes.protobuf;stream=watch",
	                               "application/cbor-seq",
	                               NULL };
const char *const oa_media_log[] = { "text/plain", MEDIA, "application/cbor", NULL };
const char *const oa_media_patch[] = {
	"application/json-patch+json",  "application/merge-patch+json", "application/strategic-merge-patch+json",
	"application/apply-patch+yaml", "application/apply-patch+cbor", NULL
};
const char *const oa_media_any[] = { "*/*", NULL };
const char *const oa_media_json[] = { "application/json", NULL };
const char *const oa_media_jwks[] = { "application/jwk-set+json", NULL };

static struct value *names_value(struct arena *a, const char *const *names)
{
	struct value *v = value_array(a);
	for (; *names; names++)
		value_append(a, v, value_string(a, str_c(*names)));
	return v;
}

static struct value *response(struct path_item *item, const struct shape *s, const char *description)
{
	struct arena *a = item->o->a;
	struct value *v = value_object(a);
	oa_put_str(a, v, S("description"), str_c(description));
	if (!item->o->v3) {
		oa_put(a, v, S("schema"), s->result(item, s->ctx));
		return v;
	}
	struct value *content = value_object(a);
	for (const char *const *media = s->produces; *media; media++) {
		struct value *one = value_object(a);
		oa_put(a, one, S("schema"), s->result(item, s->ctx));
		oa_put(a, content, str_c(*media), one);
	}
	value_sort(content);
	oa_put(a, v, S("content"), content);
	return v;
}

struct operation *oa_operation(struct path_item *item, const struct shape *s)
{
	struct arena *a = item->o->a;
	struct operation *op = &item->ops[item->n++];
	*op = (struct operation){ .method = s->method, .v = value_object(a) };
	if (!item->o->v3) {
		struct value *schemes = value_array(a);
		value_append(a, schemes, value_string(a, S("https")));
		if (s->consumes)
			oa_put(a, op->v, S("consumes"), names_value(a, s->consumes));
		if (s->produces)
			oa_put(a, op->v, S("produces"), names_value(a, s->produces));
		oa_put(a, op->v, S("schemes"), schemes);
	}
	oa_put_str(a, op->v, S("operationId"), s->id);
	struct value *tags = value_array(a), *responses = value_object(a), *unauthorized = value_object(a);
	value_append(a, tags, value_string(a, s->tag));
	oa_put(a, op->v, S("tags"), tags);
	if (s->result)
		oa_put(a, responses, S("200"), response(item, s, "OK"));
	if (s->created)
		oa_put(a, responses, S("201"), response(item, s, "Created"));
	if (s->accepted)
		oa_put(a, responses, S("202"), response(item, s, "Accepted"));
	oa_put_str(a, unauthorized, S("description"), S("Unauthorized"));
	oa_put(a, responses, S("401"), unauthorized);
	oa_put(a, op->v, S("responses"), responses);
	if (s->action)
		oa_put_str(a, op->v, S("x-kubernetes-action"), str_c(s->action));
	return op;
}

void oa_set_body(struct path_item *item, struct operation *op, struct value *ref, const char *shared, bool required,
                 const char *const *consumes)
{
	struct arena *a = item->o->a;
	if (!item->o->v3) {
		if (shared) {
			op->body = value_object(a);
			oa_put_str(a, op->body, S("$ref"), arena_printf(a, "#/parameters/%s", shared));
		} else {
			op->body = body_value(a, value_get_str(ref, S("$ref")), required);
		}
		return;
	}
	struct value *body = value_object(a), *content = value_object(a);
	for (; *consumes; consumes++) {
		struct value *one = value_object(a);
		oa_put(a, one, S("schema"), ref);
		oa_put(a, content, str_c(*consumes), one);
	}
	value_sort(content);
	oa_put(a, body, S("content"), content);
	if (required)
		oa_put(a, body, S("required"), value_bool(a, true));
	oa_put(a, op->v, S("requestBody"), body);
}

struct value *oa_string_result(struct path_item *item, const void *ctx)
{
	struct value *v = value_object(item->o->a);
	oa_put_str(item->o->a, v, S("type"), S("string"));
	return v;
}

struct value *oa_message_result(struct path_item *item, const void *ctx)
{
	return openapi_ref_message(item->o, ctx);
}

const struct message_desc *oa_meta_message(const char *name)
{
	char full[100] = "k8s.io.apimachinery.pkg.apis.meta.v1.";
	strncat(full, name, sizeof(full) - strlen(full) - 1);
	return schema_message(str_c(full));
}
