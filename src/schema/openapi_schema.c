// The schemas of types in OpenAPI documents.
#include "schema/openapi_util.h"
#include "schema/tables.h"

#define META "io.k8s.apimachinery.pkg.apis.meta.v1."
#define EXT "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."

// Types with a form of their own, and one that exists only in these documents.
static const struct own_form {
	const char *name, *v2, *v3;
} own_forms[] = {
	{ META "Time", "{\"format\":\"date-time\",\"type\":\"string\"}", NULL },
	{ META "MicroTime", "{\"format\":\"date-time\",\"type\":\"string\"}", NULL },
	{ META "Duration", "{\"type\":\"string\"}", NULL },
	{ META "FieldsV1", "{\"type\":\"object\"}", NULL },
	{ META "Patch", "{\"type\":\"object\"}", NULL },
	{ "io.k8s.apimachinery.pkg.api.resource.Quantity", "{\"type\":\"string\"}",
	  "{\"oneOf\":[{\"type\":\"string\"},{\"type\":\"number\"}]}" },
	{ "io.k8s.apimachinery.pkg.util.intstr.IntOrString", "{\"format\":\"int-or-string\",\"type\":\"string\"}",
	  "{\"format\":\"int-or-string\",\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}]}" },
	{ "io.k8s.apimachinery.pkg.runtime.RawExtension", "{\"type\":\"object\"}", NULL },
	{ EXT "JSON", "{}", NULL },
	{ EXT "JSONSchemaPropsOrArray", "{}", NULL },
	{ EXT "JSONSchemaPropsOrBool", "{}", NULL },
	{ EXT "JSONSchemaPropsOrStringArray", "{}", NULL },
	{ "io.k8s.apimachinery.pkg.version.Info",
	  "{\"properties\":{\"buildDate\":{\"type\":\"string\"},\"compiler\":{\"type\":\"string\"},\"emulationMajor\":{"
	  "\"type\":\"string\"},"
	  "\"emulationMinor\":{\"type\":\"string\"},\"gitCommit\":{\"type\":\"string\"},\"gitTreeState\":{\"type\":"
	  "\"string\"},"
	  "\"gitVersion\":{\"type\":\"string\"},\"goVersion\":{\"type\":\"string\"},\"major\":{\"type\":\"string\"},"
	  "\"minCompatibilityMajor\":{\"type\":\"string\"},\"minCompatibilityMinor\":{\"type\":\"string\"},\"minor\":{"
	  "\"type\":\"string\"},"
	  "\"platform\":{\"type\":\"string\"}},\"required\":[\"major\",\"minor\",\"gitVersion\",\"gitCommit\","
	  "\"gitTreeState\",\"buildDate\","
	  "\"goVersion\",\"compiler\",\"platform\"],\"type\":\"object\"}",
	  "{\"properties\":{\"buildDate\":{\"default\":\"\",\"type\":\"string\"},\"compiler\":{\"default\":\"\","
	  "\"type\":\"string\"},"
	  "\"emulationMajor\":{\"type\":\"string\"},\"emulationMinor\":{\"type\":\"string\"},\"gitCommit\":{"
	  "\"default\":\"\",\"type\":\"string\"},"
	  "\"gitTreeState\":{\"default\":\"\",\"type\":\"string\"},\"gitVersion\":{\"default\":\"\",\"type\":"
	  "\"string\"},"
	  "\"goVersion\":{\"default\":\"\",\"type\":\"string\"},\"major\":{\"default\":\"\",\"type\":\"string\"},"
	  "\"minCompatibilityMajor\":{\"type\":\"string\"},\"minCompatibilityMinor\":{\"type\":\"string\"},"
	  "\"minor\":{\"default\":\"\",\"type\":\"string\"},\"platform\":{\"default\":\"\",\"type\":\"string\"}},"
	  "\"required\":[\"major\",\"minor\","
	  "\"gitVersion\",\"gitCommit\",\"gitTreeState\",\"buildDate\",\"goVersion\",\"compiler\",\"platform\"],"
	  "\"type\":\"object\"}" },
};

// Group versions that upstream's scheme knows, whether served or not: DeleteOptions and WatchEvent are registered in each.
static const char *const registered[] = {
	"v1",
	"admission.k8s.io/v1",
	"admission.k8s.io/v1beta1",
	"admissionregistration.k8s.io/v1",
	"admissionregistration.k8s.io/v1alpha1",
	"admissionregistration.k8s.io/v1beta1",
	"apiextensions.k8s.io/v1",
	"apiextensions.k8s.io/v1beta1",
	"apiregistration.k8s.io/v1",
	"apiregistration.k8s.io/v1beta1",
	"apps/v1",
	"apps/v1beta1",
	"apps/v1beta2",
	"authentication.k8s.io/v1",
	"authentication.k8s.io/v1alpha1",
	"authentication.k8s.io/v1beta1",
	"authorization.k8s.io/v1",
	"authorization.k8s.io/v1beta1",
	"autoscaling/v1",
	"autoscaling/v2",
	"batch/v1",
	"batch/v1beta1",
	"certificates.k8s.io/v1",
	"certificates.k8s.io/v1alpha1",
	"certificates.k8s.io/v1beta1",
	"coordination.k8s.io/v1",
	"coordination.k8s.io/v1alpha2",
	"coordination.k8s.io/v1beta1",
	"discovery.k8s.io/v1",
	"discovery.k8s.io/v1beta1",
	"events.k8s.io/v1",
	"events.k8s.io/v1beta1",
	"extensions/v1beta1",
	"flowcontrol.apiserver.k8s.io/v1",
	"flowcontrol.apiserver.k8s.io/v1beta1",
	"flowcontrol.apiserver.k8s.io/v1beta2",
	"flowcontrol.apiserver.k8s.io/v1beta3",
	"imagepolicy.k8s.io/v1alpha1",
	"internal.apiserver.k8s.io/v1alpha1",
	"networking.k8s.io/v1",
	"networking.k8s.io/v1beta1",
	"node.k8s.io/v1",
	"node.k8s.io/v1alpha1",
	"node.k8s.io/v1beta1",
	"policy/v1",
	"policy/v1beta1",
	"rbac.authorization.k8s.io/v1",
	"rbac.authorization.k8s.io/v1alpha1",
	"rbac.authorization.k8s.io/v1beta1",
	"resource.k8s.io/v1",
	"resource.k8s.io/v1alpha3",
	"resource.k8s.io/v1beta1",
	"resource.k8s.io/v1beta2",
	"scheduling.k8s.io/v1",
	"scheduling.k8s.io/v1alpha2",
	"scheduling.k8s.io/v1beta1",
	"storage.k8s.io/v1",
	"storage.k8s.io/v1alpha1",
	"storage.k8s.io/v1beta1",
	"storagemigration.k8s.io/v1beta1",
};

void oa_put(struct arena *a, struct value *object, str key, struct value *v)
{
	struct member *m = LIST_ADD(a, &object->o);
	*m = (struct member){ key, v };
}

void oa_put_str(struct arena *a, struct value *object, str key, str v)
{
	oa_put(a, object, key, value_string(a, v));
}

static struct value *typed(struct arena *a, const char *type, const char *format)
{
	struct value *v = value_object(a);
	if (format)
		oa_put_str(a, v, S("format"), str_c(format));
	oa_put_str(a, v, S("type"), str_c(type));
	return v;
}

// k8s.io.kube_aggregator.x.v1 -> io.k8s.kube-aggregator.x.v1
str openapi_name(struct arena *a, const struct message_desc *m)
{
	str package = schema_text(m->package);
	char *name = arena_cstr(
	        a, arena_concat(a, S("io.k8s"), str_from(package, sizeof("k8s.io") - 1), S("."), schema_text(m->name)));
	for (char *p = name; *p; p++)
		if (*p == '_')
			*p = '-';
	return str_c(name);
}

struct value *openapi_ref(struct openapi *o, str name, const struct message_desc *message)
{
	if (!map_has(&o->seen, name)) {
		map_put(&o->seen, name, NULL);
		*LIST_ADD(o->a, o) = (struct pending){ name, message };
	}
	struct value *v = value_object(o->a);
	oa_put_str(o->a, v, S("$ref"),
	           arena_concat(o->a, o->v3 ? S("#/components/schemas/") : S("#/definitions/"), name));
	return v;
}

struct value *openapi_ref_message(struct openapi *o, const struct message_desc *m)
{
	return openapi_ref(o, openapi_name(o->a, m), m);
}

// What the value of a field, an item or a map value is.
static struct value *value_schema(struct openapi *o, const struct field_desc *f)
{
	switch (f->type) {
	case FT_BOOL:
		return typed(o->a, "boolean", NULL);
	case FT_INT32:
		return typed(o->a, "integer", "int32");
	case FT_INT64:
		return typed(o->a, "integer", "int64");
	case FT_DOUBLE:
		return typed(o->a, "number", "double");
	case FT_BYTES:
		return typed(o->a, "string", "byte");
	case FT_TIME:
		return openapi_ref(o, S(META "Time"), NULL);
	case FT_MICROTIME:
		return openapi_ref(o, S(META "MicroTime"), NULL);
	case FT_DURATION:
		return openapi_ref(o, S(META "Duration"), NULL);
	case FT_QUANTITY:
		return openapi_ref(o, S("io.k8s.apimachinery.pkg.api.resource.Quantity"), NULL);
	case FT_INTORSTRING:
		return openapi_ref(o, S("io.k8s.apimachinery.pkg.util.intstr.IntOrString"), NULL);
	case FT_RAW:
		return openapi_ref(o, S("io.k8s.apimachinery.pkg.runtime.RawExtension"), NULL);
	case FT_FIELDSV1:
		return openapi_ref(o, S(META "FieldsV1"), NULL);
	case FT_JSON:
		return openapi_ref(o, S(EXT "JSON"), NULL);
	case FT_SCHEMA_OR_BOOL:
		return openapi_ref(o, S(EXT "JSONSchemaPropsOrBool"), NULL);
	case FT_SCHEMA_OR_ARRAY:
		return openapi_ref(o, S(EXT "JSONSchemaPropsOrArray"), NULL);
	case FT_SCHEMA_OR_STRINGS:
		return openapi_ref(o, S(EXT "JSONSchemaPropsOrStringArray"), NULL);
	case FT_MESSAGE:
		return openapi_ref_message(o, schema_field_message(f));
	case FT_STRINGS: {
		struct value *v = typed(o->a, "array", NULL);
		oa_put(o->a, v, S("items"), typed(o->a, "string", NULL));
		return v;
	}
	default:
		return typed(o->a, "string", NULL);
	}
}

// The default that v3 shows: a marked one, or the zero value of what is always written.
static struct value *default_of(struct openapi *o, const struct field_desc *f)
{
	struct arena *a = o->a;
	if (f->default_) {
		struct error err;
		return json_parse(a, schema_text(f->default_), NULL, &err);
	}
	if (f->label != FL_ONE || f->flags & FF_POINTER)
		return NULL;
	if (f->type == FT_MESSAGE)
		return value_object(a);
	if (f->flags & FF_OMITEMPTY)
		return NULL;
	switch (f->type) {
	case FT_BOOL:
		return value_bool(a, false);
	case FT_INT32:
	case FT_INT64:
	case FT_DOUBLE:
		return value_int(a, 0);
	case FT_STRING:
		return value_string(a, S(""));
	default:
		return NULL;
	}
}

static struct value *comma_list(struct arena *a, str text)
{
	struct value *v = value_array(a);
	str part;
	for (str rest = text; rest.n && str_next(&rest, ',', &part);)
		value_append(a, v, value_string(a, part));
	return v;
}

static struct value *property(struct openapi *o, const struct field_desc *f)
{
	struct arena *a = o->a;
	struct value *inner = value_schema(o, f), *v = inner;
	if (f->label != FL_ONE) {
		v = typed(a, f->label == FL_LIST ? "array" : "object", NULL);
		oa_put(a, v, f->label == FL_LIST ? S("items") : S("additionalProperties"), inner);
	} else if (o->v3 && value_get(inner, S("$ref"))) {
		// A reference takes no siblings in v3.
		v = value_object(a);
		oa_put(a, v, S("allOf"), value_array(a));
		value_append(a, value_get(v, S("allOf")), inner);
	}
	struct value *def = o->v3 ? default_of(o, f) : NULL;
	if (def)
		oa_put(a, v, S("default"), def);
	bool list = f->label == FL_LIST || f->type == FT_BYTES;
	if (list && f->flags & (FF_ATOMIC | FF_SET | FF_MAP_LIST)) {
		if (f->list_keys)
			oa_put(a, v, S("x-kubernetes-list-map-keys"), comma_list(a, schema_text(f->list_keys)));
		oa_put_str(a, v, S("x-kubernetes-list-type"),
		           f->flags & FF_ATOMIC ? S("atomic")
		           : f->flags & FF_SET  ? S("set")
		                                : S("map"));
	}
	if (f->flags & FF_GRANULAR)
		oa_put_str(a, v, S("x-kubernetes-map-type"), S("granular"));
	else if (f->label == FL_MAP && f->flags & FF_ATOMIC)
		oa_put_str(a, v, S("x-kubernetes-map-type"), S("atomic"));
	if (f->merge_key)
		oa_put_str(a, v, S("x-kubernetes-patch-merge-key"), schema_text(f->merge_key));
	str strategy = f->flags & FF_PATCH_REPLACE ? S("replace")
	               : f->flags & FF_PATCH_MERGE
	                       ? (f->flags & FF_PATCH_RETAIN_KEYS ? S("merge,retainKeys") : S("merge"))
	               : f->flags & FF_PATCH_RETAIN_KEYS ? S("retainKeys")
	                                                 : S("");
	if (strategy.n)
		oa_put_str(a, v, S("x-kubernetes-patch-strategy"), strategy);
	return v;
}

static void add_fields(struct openapi *o, const struct message_desc *m, struct value *properties,
                       struct value *required)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct field_desc *f = schema_field(m, i);
		if (f->flags & FF_INLINE) {
			add_fields(o, schema_field_message(f), properties, required);
			continue;
		}
		if (f->flags & FF_NOT_IN_OPENAPI)
			continue;
		oa_put(o->a, properties, schema_text(f->json_name), property(o, f));
		if (f->flags & FF_REQUIRED)
			value_append(o->a, required, value_string(o->a, schema_text(f->json_name)));
	}
}

static void add_kind(struct arena *a, struct value *list, str group, str version, str kind)
{
	struct value *v = value_object(a);
	oa_put_str(a, v, S("group"), group);
	oa_put_str(a, v, S("kind"), kind);
	oa_put_str(a, v, S("version"), version);
	value_append(a, list, v);
}

// x-kubernetes-group-version-kind: where the type is registered as a kind.
static struct value *kinds_of(struct openapi *o, const struct message_desc *m)
{
	struct arena *a = o->a;
	struct value *list = value_array(a);
	str name = schema_text(m->name), package = schema_text(m->package);
	if (str_eq(package, S("k8s.io.apimachinery.pkg.apis.meta.v1"))) {
		if (str_eq(name, S("DeleteOptions")) || str_eq(name, S("WatchEvent"))) {
			if (o->v3) {
				add_kind(a, list, S(""), S("v1"), name);
				if (o->group.n)
					add_kind(a, list, o->group, o->version, name);
			}
			for (size_t i = 0; !o->v3 && i < ARRAY_LEN(registered); i++) {
				str group, version;
				if (!str_split(str_c(registered[i]), '/', &group, &version)) {
					version = group;
					group = S("");
				}
				add_kind(a, list, group, version, name);
			}
		} else if (m->flags & MF_TYPEMETA) {
			add_kind(a, list, S(""), S("v1"), name);
		}
		return list;
	}
	for (size_t i = 0; m->flags & MF_TYPEMETA && i < schema_n_packages; i++)
		if (schema_packages[i].package == m->package)
			add_kind(a, list, schema_text(schema_packages[i].group),
			         schema_text(schema_packages[i].version), name);
	return list;
}

static struct value *message_schema(struct openapi *o, const struct message_desc *m)
{
	struct arena *a = o->a;
	struct value *v = value_object(a), *properties = value_object(a), *required = value_array(a);
	add_fields(o, m, properties, required);
	if (properties->o.n)
		oa_put(a, v, S("properties"), properties);
	if (required->a.n)
		oa_put(a, v, S("required"), required);
	oa_put_str(a, v, S("type"), S("object"));
	struct value *kinds = kinds_of(o, m);
	if (kinds->a.n)
		oa_put(a, v, S("x-kubernetes-group-version-kind"), kinds);
	if (m->flags & MF_ATOMIC)
		oa_put_str(a, v, S("x-kubernetes-map-type"), S("atomic"));
	if (m->unions) {
		struct error err;
		oa_put(a, v, S("x-kubernetes-unions"), json_parse(a, schema_text(m->unions), NULL, &err));
	}
	return v;
}

void openapi_close(struct openapi *o)
{
	struct error err;
	// The list grows while it is walked.
	for (size_t i = 0; i < o->n; i++) {
		struct pending p = o->v[i];
		struct value *v = NULL;
		for (size_t k = 0; !p.message && k < ARRAY_LEN(own_forms); k++)
			if (str_eqc(p.name, own_forms[k].name))
				v = json_parse(o->a,
				               str_c(o->v3 && own_forms[k].v3 ? own_forms[k].v3 : own_forms[k].v2),
				               NULL, &err);
		if (p.message)
			v = message_schema(o, p.message);
		oa_put(o->a, o->schemas, p.name, v ? v : value_object(o->a));
	}
	map_free(&o->seen);
	value_sort(o->schemas);
}

struct value *openapi_schema(struct arena *a, const struct message_desc *m, bool v3)
{
	struct openapi o = { .a = a, .v3 = v3 };
	struct value *v = message_schema(&o, m);
	map_free(&o.seen);
	return v;
}
