// OpenAPI v2 in protobuf. Rule: the messages of openapiv2/OpenAPIv2.proto of gnostic (package openapi.v2); numbers are its fields'.
// Only what Coracle's documents have is written; what the format keeps as "any value" is written as JSON, which is YAML.
#include "schema/openapi.h"
#include "schema/pb_write.h"

static void put_text(struct buf *to, uint32_t number, str s)
{
	if (s.n)
		pb_bytes(to, number, s);
}

static void put_member(struct buf *to, uint32_t number, const struct value *v, str key)
{
	put_text(to, number, value_get_str(v, key));
}

static void put_bool(struct buf *to, uint32_t number, const struct value *v, str key)
{
	const struct value *b = value_get(v, key);
	if (value_is(b, V_BOOL) && b->b)
		pb_int(to, number, 1);
}

static void put_texts(struct buf *to, uint32_t number, const struct value *v, str key)
{
	const struct value *list = value_get(v, key);
	for (size_t i = 0; value_is(list, V_ARRAY) && i < list->a.n; i++)
		pb_bytes(to, number, value_str(list->a.v[i]));
}

// Any: the text of the value as YAML.
static void put_any(struct buf *to, uint32_t number, const struct value *v)
{
	if (!v)
		return;
	size_t at = pb_open(to, number), text = pb_open(to, 2);
	json_write(to, v, 0);
	pb_close(to, text);
	pb_close(to, at);
}

static void put_extensions(struct buf *to, uint32_t number, const struct value *v)
{
	for (size_t i = 0; i < v->o.n; i++) {
		if (!str_has_prefix(v->o.v[i].key, S("x-")))
			continue;
		size_t at = pb_open(to, number);
		pb_bytes(to, 1, v->o.v[i].key);
		put_any(to, 2, v->o.v[i].value);
		pb_close(to, at);
	}
}

// Messages that stand for maps: a list of {name, value}.
static void put_named(struct buf *to, uint32_t number, const struct value *map,
                      void (*put)(struct buf *to, const struct value *v))
{
	for (size_t i = 0; value_is(map, V_OBJECT) && i < map->o.n; i++) {
		size_t at = pb_open(to, number);
		pb_bytes(to, 1, map->o.v[i].key);
		size_t value = pb_open(to, 2);
		put(to, map->o.v[i].value);
		pb_close(to, value);
		pb_close(to, at);
	}
}

static void put_schema(struct buf *to, const struct value *v);

static void put_number(struct buf *to, uint32_t number, const struct value *v, str key)
{
	int64_t n;
	if (value_to_i64(value_get(v, key), &n) && n)
		pb_int(to, number, n);
}

static void put_schema_list(struct buf *to, uint32_t number, const struct value *list)
{
	for (size_t i = 0; value_is(list, V_ARRAY) && i < list->a.n; i++) {
		size_t at = pb_open(to, number);
		put_schema(to, list->a.v[i]);
		pb_close(to, at);
	}
}

static void put_schema(struct buf *to, const struct value *v)
{
	size_t at, inner;
	if (!value_is(v, V_OBJECT))
		return;
	put_member(to, 1, v, S("$ref"));
	put_member(to, 2, v, S("format"));
	put_member(to, 3, v, S("title"));
	put_member(to, 4, v, S("description"));
	put_any(to, 5, value_get(v, S("default")));
	put_number(to, 11, v, S("maxLength"));
	put_number(to, 12, v, S("minLength"));
	put_member(to, 13, v, S("pattern"));
	put_number(to, 14, v, S("maxItems"));
	put_number(to, 15, v, S("minItems"));
	put_bool(to, 16, v, S("uniqueItems"));
	put_number(to, 17, v, S("maxProperties"));
	put_number(to, 18, v, S("minProperties"));
	put_texts(to, 19, v, S("required"));
	const struct value *list = value_get(v, S("enum"));
	for (size_t i = 0; value_is(list, V_ARRAY) && i < list->a.n; i++)
		put_any(to, 20, list->a.v[i]);
	const struct value *more = value_get(v, S("additionalProperties"));
	if (value_is(more, V_OBJECT)) {
		at = pb_open(to, 21);
		inner = pb_open(to, 1);
		put_schema(to, more);
		pb_close(to, inner);
		pb_close(to, at);
	} else if (value_is(more, V_BOOL)) {
		at = pb_open(to, 21);
		pb_int(to, 2, more->b);
		pb_close(to, at);
	}
	if (value_get(v, S("type"))) {
		at = pb_open(to, 22);
		put_member(to, 1, v, S("type"));
		put_texts(to, 1, v, S("type"));
		pb_close(to, at);
	}
	if (value_get(v, S("items"))) {
		at = pb_open(to, 23);
		inner = pb_open(to, 1);
		put_schema(to, value_get(v, S("items")));
		pb_close(to, inner);
		pb_close(to, at);
	}
	put_schema_list(to, 24, value_get(v, S("allOf")));
	if (value_get(v, S("properties"))) {
		at = pb_open(to, 25);
		put_named(to, 1, value_get(v, S("properties")), put_schema);
		pb_close(to, at);
	}
	put_any(to, 30, value_get(v, S("example")));
	put_extensions(to, 31, v);
}

static void put_parameter(struct buf *to, const struct value *v)
{
	str in = value_get_str(v, S("in"));
	size_t at, inner;
	if (str_eq(in, S("body"))) {
		at = pb_open(to, 1);
		put_member(to, 1, v, S("description"));
		put_member(to, 2, v, S("name"));
		put_member(to, 3, v, S("in"));
		put_bool(to, 4, v, S("required"));
		inner = pb_open(to, 5);
		put_schema(to, value_get(v, S("schema")));
		pb_close(to, inner);
		put_extensions(to, 6, v);
		pb_close(to, at);
		return;
	}
	// Parameters of the query may be empty (a field of their own), those of the path not: later numbers differ by one.
	bool query = !str_eq(in, S("path"));
	at = pb_open(to, 2);
	inner = pb_open(to, query ? 3 : 4);
	put_bool(to, 1, v, S("required"));
	put_member(to, 2, v, S("in"));
	put_member(to, 3, v, S("description"));
	put_member(to, 4, v, S("name"));
	put_member(to, query ? 6 : 5, v, S("type"));
	put_member(to, query ? 7 : 6, v, S("format"));
	put_bool(to, query ? 20 : 19, v, S("uniqueItems"));
	put_extensions(to, query ? 23 : 22, v);
	pb_close(to, inner);
	pb_close(to, at);
}

static void put_parameters(struct buf *to, uint32_t number, const struct value *list)
{
	for (size_t i = 0; value_is(list, V_ARRAY) && i < list->a.n; i++) {
		const struct value *v = list->a.v[i];
		size_t at = pb_open(to, number), inner;
		if (value_get(v, S("$ref"))) {
			inner = pb_open(to, 2);
			put_member(to, 1, v, S("$ref"));
		} else {
			inner = pb_open(to, 1);
			put_parameter(to, v);
		}
		pb_close(to, inner);
		pb_close(to, at);
	}
}

static void put_response(struct buf *to, const struct value *v)
{
	size_t at = pb_open(to, 1);
	put_member(to, 1, v, S("description"));
	if (value_get(v, S("schema"))) {
		size_t item = pb_open(to, 2), schema = pb_open(to, 1);
		put_schema(to, value_get(v, S("schema")));
		pb_close(to, schema);
		pb_close(to, item);
	}
	put_extensions(to, 5, v);
	pb_close(to, at);
}

static void put_operation(struct buf *to, uint32_t number, const struct value *v)
{
	if (!value_is(v, V_OBJECT))
		return;
	size_t at = pb_open(to, number);
	put_texts(to, 1, v, S("tags"));
	put_member(to, 2, v, S("summary"));
	put_member(to, 3, v, S("description"));
	put_member(to, 5, v, S("operationId"));
	put_texts(to, 6, v, S("produces"));
	put_texts(to, 7, v, S("consumes"));
	put_parameters(to, 8, value_get(v, S("parameters")));
	size_t responses = pb_open(to, 9);
	put_named(to, 1, value_get(v, S("responses")), put_response);
	pb_close(to, responses);
	put_texts(to, 10, v, S("schemes"));
	put_bool(to, 11, v, S("deprecated"));
	put_extensions(to, 13, v);
	pb_close(to, at);
}

static void put_path(struct buf *to, const struct value *v)
{
	put_operation(to, 2, value_get(v, S("get")));
	put_operation(to, 3, value_get(v, S("put")));
	put_operation(to, 4, value_get(v, S("post")));
	put_operation(to, 5, value_get(v, S("delete")));
	put_operation(to, 6, value_get(v, S("options")));
	put_operation(to, 7, value_get(v, S("head")));
	put_operation(to, 8, value_get(v, S("patch")));
	put_parameters(to, 9, value_get(v, S("parameters")));
}

static void put_api_key(struct buf *to, const struct value *v)
{
	size_t at = pb_open(to, 2);
	put_member(to, 1, v, S("type"));
	put_member(to, 2, v, S("name"));
	put_member(to, 3, v, S("in"));
	put_member(to, 4, v, S("description"));
	pb_close(to, at);
}

static void put_scopes(struct buf *to, const struct value *v)
{
	for (size_t i = 0; value_is(v, V_ARRAY) && i < v->a.n; i++)
		pb_bytes(to, 1, value_str(v->a.v[i]));
}

void openapi_v2_to_pb(struct buf *to, const struct value *doc)
{
	const struct value *info = value_get(doc, S("info")), *security = value_get(doc, S("security"));
	put_member(to, 1, doc, S("swagger"));
	size_t at = pb_open(to, 2);
	put_member(to, 1, info, S("title"));
	put_member(to, 2, info, S("version"));
	pb_close(to, at);
	at = pb_open(to, 8);
	put_named(to, 2, value_get(doc, S("paths")), put_path);
	pb_close(to, at);
	at = pb_open(to, 9);
	put_named(to, 1, value_get(doc, S("definitions")), put_schema);
	pb_close(to, at);
	at = pb_open(to, 10);
	put_named(to, 1, value_get(doc, S("parameters")), put_parameter);
	pb_close(to, at);
	for (size_t i = 0; value_is(security, V_ARRAY) && i < security->a.n; i++) {
		at = pb_open(to, 12);
		put_named(to, 1, security->a.v[i], put_scopes);
		pb_close(to, at);
	}
	at = pb_open(to, 13);
	put_named(to, 1, value_get(doc, S("securityDefinitions")), put_api_key);
	pb_close(to, at);
}
