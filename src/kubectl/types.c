// What kinds there are. The built-in ones are known from the schema, so that common commands need no extra request;
// anything else is looked up in the server's discovery documents.
#include "base/encode.h"
#include "kubectl/cmd.h"

static bool has_word(str list, str word)
{
	for (str rest = list, part; str_next(&rest, ',', &part);)
		if (part.n && str_eq(part, word))
			return true;
	return false;
}

static struct rtype *from_schema(struct kctl *k, const struct resource_desc *r)
{
	struct rtype *t = ARENA_NEW(k->a, struct rtype);
	*t = (struct rtype){
		.group = schema_text(r->group),
		.version = schema_text(r->version),
		.resource = schema_text(r->resource),
		.singular = schema_text(r->singular),
		.kind = schema_text(r->kind),
		.short_names = schema_text(r->short_names),
		.categories = schema_text(r->categories),
		.verbs = schema_text(r->verbs),
		.namespaced = r->namespaced,
		.message = schema_message_at(r->message),
	};
	if (!t->singular.n)
		t->singular = kc_lower(k->a, t->kind);
	return t;
}

static bool matches(struct kctl *k, const struct rtype *t, str word, str version, str group)
{
	if (version.n && !str_eq(t->version, version))
		return false;
	if (group.n && !str_eq(t->group, group))
		return false;
	return str_eq(t->resource, word) || str_eq(t->singular, word) || str_eq_nocase(t->kind, word) ||
	       has_word(t->short_names, word);
}

static const struct rtype *builtin(struct kctl *k, str word, str version, str group)
{
	const struct resource_desc *best = NULL;
	for (size_t i = 0; i < schema_resource_count(); i++) {
		const struct resource_desc *r = schema_resource_at(i);
		str resource = schema_text(r->resource);
		if (str_find_char(resource, '/') >= 0)
			continue;
		struct rtype t = { .group = schema_text(r->group),
			           .version = schema_text(r->version),
			           .resource = resource,
			           .singular = schema_text(r->singular),
			           .kind = schema_text(r->kind),
			           .short_names = schema_text(r->short_names) };
		// A version that is preferred in its group comes before the others.
		if (matches(k, &t, word, version, group) &&
		    (!best || (r->preferred && !best->preferred && r->group == best->group)))
			best = r;
	}
	return best ? from_schema(k, best) : NULL;
}

static str joined(struct kctl *k, const struct value *list)
{
	str parts[64];
	size_t n = 0;
	for (size_t i = 0; value_is(list, V_ARRAY) && i < list->a.n && n < ARRAY_LEN(parts); i++)
		parts[n++] = value_str(list->a.v[i]);
	return kc_join(k->a, parts, n, S(","));
}

static bool discover_version(struct kctl *k, str group, str version, struct error *err)
{
	str path = group.n ? arena_concat(k->a, S("/apis/"), group, S("/"), version)
	                   : arena_concat(k->a, S("/api/"), version);
	struct value *doc = api_get(k, path, err);
	if (!doc)
		return false;
	const struct value *list = value_get(doc, S("resources"));
	for (size_t i = 0; value_is(list, V_ARRAY) && i < list->a.n; i++) {
		const struct value *r = list->a.v[i];
		str name = value_get_str(r, S("name"));
		if (str_find_char(name, '/') >= 0)
			continue;
		struct rtype *t = ARENA_NEW(k->a, struct rtype);
		*t = (struct rtype){
			.group = group,
			.version = version,
			.resource = name,
			.singular = value_get_str(r, S("singularName")),
			.kind = value_get_str(r, S("kind")),
			.short_names = joined(k, value_get(r, S("shortNames"))),
			.categories = joined(k, value_get(r, S("categories"))),
			.verbs = joined(k, value_get(r, S("verbs"))),
			.namespaced = kc_value_true(value_get(r, S("namespaced"))),
		};
		if (!t->singular.n)
			t->singular = kc_lower(k->a, t->kind);
		const struct resource_desc *known = schema_resource(group, version, name);
		t->message = known ? schema_message_at(known->message) : NULL;
		*LIST_ADD(k->a, &k->types) = t;
	}
	return true;
}

bool kc_types_discover(struct kctl *k, struct error *err)
{
	if (k->discovered)
		return true;
	if (!discover_version(k, S(""), S("v1"), err))
		return false;
	struct value *groups = api_get(k, S("/apis"), err);
	if (!groups)
		return false;
	const struct value *list = value_get(groups, S("groups"));
	for (size_t i = 0; value_is(list, V_ARRAY) && i < list->a.n; i++) {
		str group = value_get_str(list->a.v[i], S("name"));
		str preferred = value_str(value_path(list->a.v[i], S("preferredVersion"), S("version")));
		const struct value *versions = value_get(list->a.v[i], S("versions"));
		struct error partial = { 0 };
		// The preferred version first; one group that fails does not hide the others.
		if (!discover_version(k, group, preferred, &partial))
			continue;
		for (size_t j = 0; value_is(versions, V_ARRAY) && j < versions->a.n; j++) {
			str version = value_get_str(versions->a.v[j], S("version"));
			if (!str_eq(version, preferred))
				discover_version(k, group, version, &partial);
		}
	}
	k->discovered = true;
	return true;
}

static const struct rtype *discovered(struct kctl *k, str word, str version, str group)
{
	for (size_t i = 0; i < k->types.n; i++)
		if (matches(k, k->types.v[i], word, version, group))
			return k->types.v[i];
	return NULL;
}

const struct rtype *kc_type_find(struct kctl *k, str word, struct error *err)
{
	str name, rest, version = { 0 }, group = { 0 };
	word = kc_lower(k->a, word);
	bool dotted = str_split(word, '.', &name, &rest);
	const struct rtype *t = NULL;
	for (int pass = 0; pass < 2 && !t; pass++) {
		const struct rtype *(*find)(struct kctl *, str, str, str) = pass ? discovered : builtin;
		if (pass && !kc_types_discover(k, err))
			return NULL;
		// deployments.v1.apps, deployments.apps, or a plain name
		if (dotted && str_split(rest, '.', &version, &group))
			t = find(k, name, version, group);
		else if (dotted && rest.n > 1 && rest.p[0] == 'v' && rest.p[1] >= '0' && rest.p[1] <= '9')
			t = find(k, name, rest, (str){ 0 });
		if (!t && dotted)
			t = find(k, name, (str){ 0 }, rest);
		if (!t && !dotted)
			t = find(k, word, (str){ 0 }, (str){ 0 });
	}
	if (t)
		return t;
	if (dotted)
		error_set(err, "the server doesn't have a resource type \"" STR_FMT "\" in group \"" STR_FMT "\"",
		          STR_ARG(name), STR_ARG(rest));
	else
		error_set(err, "the server doesn't have a resource type \"" STR_FMT "\"", STR_ARG(word));
	return NULL;
}

const struct rtype *kc_type_of_kind(struct kctl *k, str gv, str kind, struct error *err)
{
	str group, version;
	if (!str_split(gv, '/', &group, &version)) {
		version = gv;
		group = S("");
	}
	const struct resource_desc *r = schema_resource_of_kind(group, version, kind);
	if (r && str_find_char(schema_text(r->resource), '/') < 0)
		return from_schema(k, r);
	struct error why = { 0 };
	if (!k->discovered && !discover_version(k, group, version, &why) && !kc_from_server(&why)) {
		*err = why;
		return NULL;
	}
	for (size_t i = 0; i < k->types.n; i++)
		if (str_eq(k->types.v[i]->group, group) && str_eq(k->types.v[i]->version, version) &&
		    str_eq(k->types.v[i]->kind, kind))
			return k->types.v[i];
	error_set(err, "no matches for kind \"" STR_FMT "\" in version \"" STR_FMT "\"", STR_ARG(kind), STR_ARG(gv));
	return NULL;
}

bool kc_types_of_category(struct kctl *k, str category, const struct rtype ***types, size_t *n)
{
	struct {
		const struct rtype **v;
		size_t n;
	} found = { 0 };
	for (size_t i = 0; i < schema_resource_count(); i++) {
		const struct resource_desc *r = schema_resource_at(i);
		if (r->preferred && str_find_char(schema_text(r->resource), '/') < 0 &&
		    has_word(schema_text(r->categories), category))
			*LIST_ADD(k->a, &found) = from_schema(k, r);
	}
	*types = found.v;
	*n = found.n;
	return *n > 0;
}

str kc_type_name(struct kctl *k, const struct rtype *t)
{
	str kind = kc_lower(k->a, t->kind);
	return t->group.n ? arena_concat(k->a, kind, S("."), t->group) : kind;
}

str kc_api_version(struct kctl *k, const struct rtype *t)
{
	return t->group.n ? arena_concat(k->a, t->group, S("/"), t->version) : t->version;
}

str kc_type_path(struct kctl *k, const struct rtype *t, str ns, str name)
{
	_cleanup_buf_ struct buf b = { 0 };
	if (t->group.n)
		buf_printf(&b, "/apis/" STR_FMT "/" STR_FMT, STR_ARG(t->group), STR_ARG(t->version));
	else
		buf_printf(&b, "/api/" STR_FMT, STR_ARG(t->version));
	if (t->namespaced && ns.n)
		buf_printf(&b, "/namespaces/" STR_FMT, STR_ARG(percent_encode(k->a, ns)));
	buf_printf(&b, "/" STR_FMT, STR_ARG(t->resource));
	if (name.n)
		buf_printf(&b, "/" STR_FMT, STR_ARG(percent_encode(k->a, name)));
	return arena_dup(k->a, buf_str(&b));
}
