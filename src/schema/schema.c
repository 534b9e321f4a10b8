// Look-ups in the schema's tables.
#include "schema/tables.h"

str schema_text(uint32_t offset)
{
	if (offset == 0)
		return S("");
	const unsigned char *p = (const unsigned char *)schema_pool + offset;
	return str_n((const char *)p, (size_t)p[-2] | (size_t)p[-1] << 8);
}

const struct field_desc *schema_field(const struct message_desc *m, size_t i)
{
	return &schema_fields[m->first + i];
}

const struct message_desc *schema_field_message(const struct field_desc *f)
{
	return f->message == UINT32_MAX ? NULL : &schema_messages[f->message];
}

static uint32_t name_hash(str s)
{
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 16777619u;
	return h;
}

const struct name_entry *schema_name(const struct message_desc *m, str json_name)
{
	const struct name_entry *t = &schema_names[m->first_name];
	uint32_t h = name_hash(json_name);
	size_t lo = 0, hi = m->nnames;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (t[mid].hash < h)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < m->nnames && t[lo].hash == h; lo++)
		if (str_eq(schema_text(schema_fields[t[lo].field].json_name), json_name))
			return &t[lo];
	return NULL;
}

const struct field_desc *schema_field_named(const struct message_desc *m, str json_name)
{
	const struct name_entry *e = schema_name(m, json_name);
	return e ? &schema_fields[e->field] : NULL;
}

// Compares "package.name" with a full name, without building it. The order is that of the full names' bytes.
static int full_name_cmp(const struct message_desc *m, str full)
{
	str package = schema_text(m->package), name = schema_text(m->name);
	int c = str_cmp(package, str_sub(full, 0, package.n));
	if (c)
		return c;
	c = str_cmp(S("."), str_sub(full, package.n, package.n + 1));
	return c ? c : str_cmp(name, str_from(full, package.n + 1));
}

const struct message_desc *schema_message(str full_name)
{
	size_t lo = 0, hi = schema_n_messages;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = full_name_cmp(&schema_messages[mid], full_name);
		if (c == 0)
			return &schema_messages[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const struct message_desc *schema_message_at(uint32_t index)
{
	return index < schema_n_messages ? &schema_messages[index] : NULL;
}

size_t schema_resource_count(void)
{
	return schema_n_resources;
}
const struct resource_desc *schema_resource_at(size_t i)
{
	return i < schema_n_resources ? &schema_resources[i] : NULL;
}
size_t schema_group_count(void)
{
	return schema_n_groups;
}
const struct group_desc *schema_group_at(size_t i)
{
	return i < schema_n_groups ? &schema_groups[i] : NULL;
}

static const struct group_desc *find_group(str group, str version)
{
	for (size_t i = 0; i < schema_n_groups; i++)
		if (str_eq(schema_text(schema_groups[i].version), version) &&
		    str_eq(schema_text(schema_groups[i].group), group))
			return &schema_groups[i];
	return NULL;
}

const struct resource_desc *schema_resource(str group, str version, str resource)
{
	const struct group_desc *g = find_group(group, version);
	for (size_t i = 0; g && i < g->n; i++)
		if (str_eq(schema_text(schema_resources[g->first + i].resource), resource))
			return &schema_resources[g->first + i];
	return NULL;
}

const struct resource_desc *schema_resource_of_kind(str group, str version, str kind)
{
	const struct group_desc *g = find_group(group, version);
	for (size_t i = 0; g && i < g->n; i++) {
		const struct resource_desc *r = &schema_resources[g->first + i];
		if (r->singular && str_eq(schema_text(r->kind), kind))
			return r;
	}
	return NULL;
}

const struct column_desc *schema_column(const struct resource_desc *r, size_t i)
{
	return i < r->ncolumns ? &schema_columns[r->first_column + i] : NULL;
}

static const struct message_desc *message_in(str package, str name)
{
	char full[256];
	if (package.n + 1 + name.n > sizeof(full))
		return NULL;
	memcpy(full, package.p, package.n);
	full[package.n] = '.';
	if (name.n)
		memcpy(full + package.n + 1, name.p, name.n);
	return schema_message(str_n(full, package.n + 1 + name.n));
}

const struct message_desc *schema_kind(str group, str version, str kind)
{
	for (size_t i = 0; i < schema_n_packages; i++) {
		const struct package_desc *p = &schema_packages[i];
		if (!str_eq(schema_text(p->group), group) || !str_eq(schema_text(p->version), version))
			continue;
		const struct message_desc *m = message_in(schema_text(p->package), kind);
		if (m)
			return m->flags & MF_TYPEMETA ? m : NULL;
		break;
	}
	static const str everywhere[] = { S_INIT("ListOptions"),   S_INIT("GetOptions"),    S_INIT("DeleteOptions"),
		                          S_INIT("CreateOptions"), S_INIT("UpdateOptions"), S_INIT("PatchOptions") };
	static const str unversioned[] = { S_INIT("Status"), S_INIT("APIVersions"), S_INIT("APIGroupList"),
		                           S_INIT("APIGroup"), S_INIT("APIResourceList") };
	bool ok = str_eq(group, S("meta.k8s.io"));
	for (size_t i = 0; !ok && i < ARRAY_LEN(everywhere); i++)
		ok = str_eq(everywhere[i], kind);
	for (size_t i = 0; !ok && group.n == 0 && str_eq(version, S("v1")) && i < ARRAY_LEN(unversioned); i++)
		ok = str_eq(unversioned[i], kind);
	if (!ok)
		return NULL;
	const struct message_desc *m = NULL;
	if (str_eq(group, S("meta.k8s.io")) && str_eq(version, S("v1beta1")))
		m = message_in(S("k8s.io.apimachinery.pkg.apis.meta.v1beta1"), kind);
	if (!m)
		m = message_in(S("k8s.io.apimachinery.pkg.apis.meta.v1"), kind);
	return m && m->flags & MF_TYPEMETA ? m : NULL;
}

const struct method_desc *schema_method(str path)
{
	size_t lo = 0, hi = schema_n_methods;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = str_cmp(schema_text(schema_methods[mid].path), path);
		if (c == 0)
			return &schema_methods[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}
