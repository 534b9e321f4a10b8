#include "controllers/discovery.h"

static str group_path(struct arena *a, str group, str version)
{
	return str_empty(group) ? arena_concat(a, S("/api/"), version)
	                        : arena_concat(a, S("/apis/"), group, S("/"), version);
}

static bool seen_before(const struct discovered_list *l, str group, str resource)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->v[i].group, group) && str_eq(l->v[i].resource, resource))
			return true;
	return false;
}

// Versions are read in order of preference: the first that has a resource is the preferred one.
static bool read_version(struct manager *m, struct arena *a, str group, str version, struct discovered_list *out,
                         struct error *err)
{
	const struct value *list = client_raw(m->client, a, "GET", group_path(a, group, version), S(""), S(""), err);
	if (!list)
		return false;
	const struct value *resources = value_get(list, S("resources"));
	for (size_t i = 0; value_is(resources, V_ARRAY) && i < resources->a.n; i++) {
		const struct value *r = resources->a.v[i], *namespaced = value_get(r, S("namespaced")),
		                   *verbs = value_get(r, S("verbs"));
		str name = value_get_str(r, S("name"));
		if (str_empty(name) || str_find_char(name, '/') >= 0)
			continue;
		bool preferred = !seen_before(out, group, name);
		struct discovered *d = LIST_ADD(a, out);
		*d = (struct discovered){ .group = group,
			                  .version = version,
			                  .resource = name,
			                  .kind = value_get_str(r, S("kind")),
			                  .preferred = preferred,
			                  .namespaced = value_is(namespaced, V_BOOL) && namespaced->b };
		for (size_t v = 0; value_is(verbs, V_ARRAY) && v < verbs->a.n; v++)
			*LIST_ADD(a, &d->verbs) = value_str(verbs->a.v[v]);
	}
	return true;
}

bool discover(struct manager *m, struct arena *a, struct discovered_list *out, struct error *err)
{
	*out = (struct discovered_list){ 0 };
	bool ok = read_version(m, a, S(""), S("v1"), out, err);
	const struct value *groups = client_raw(m->client, a, "GET", S("/apis"), S(""), S(""), err);
	if (!groups)
		return false;
	const struct value *list = value_get(groups, S("groups"));
	for (size_t i = 0; value_is(list, V_ARRAY) && i < list->a.n; i++) {
		const struct value *g = list->a.v[i], *versions = value_get(g, S("versions"));
		str name = value_get_str(g, S("name")),
		    preferred = value_get_str(value_get(g, S("preferredVersion")), S("version"));
		if (preferred.n)
			ok &= read_version(m, a, name, preferred, out, err);
		for (size_t v = 0; value_is(versions, V_ARRAY) && v < versions->a.n; v++) {
			str version = value_get_str(versions->a.v[v], S("version"));
			if (!str_eq(version, preferred))
				ok &= read_version(m, a, name, version, out, err);
		}
	}
	return ok;
}

bool discovered_verb(const struct discovered *d, str verb)
{
	for (size_t i = 0; i < d->verbs.n; i++)
		if (str_eq(d->verbs.v[i], verb))
			return true;
	return false;
}

str discovered_path(struct arena *a, const struct discovered *d, str ns, str name)
{
	bool in_ns = d->namespaced && !str_empty(ns);
	return arena_concat(a, group_path(a, d->group, d->version), in_ns ? S("/namespaces/") : S(""),
	                    in_ns ? ns : S(""), S("/"), d->resource, str_empty(name) ? S("") : S("/"), name);
}
