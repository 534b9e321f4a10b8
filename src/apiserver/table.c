// Tables and bare metadata: the forms in which kubectl and controllers ask for any kind.
#include "apiserver/apiserver.h"

#include "json/json.h"

bool include_object_of(struct call *c, enum include_object *out, struct api_status *s)
{
	str v = { 0 };
	http_param_get(&c->r.params, S("includeObject"), &v);
	*out = INCLUDE_METADATA;
	if (v.n == 0 || str_eq(v, S("Metadata")))
		return true;
	if (str_eq(v, S("None")))
		*out = INCLUDE_NONE;
	else if (str_eq(v, S("Object")))
		*out = INCLUDE_OBJECT;
	else
		return status_bad_request(c->r.arena, s, "Unable to convert to Table as requested: includeObject: Invalid value: \"" STR_FMT
		                                         "\": must be 'Metadata', 'Object', 'None', or empty", STR_ARG(v));
	return true;
}

void table_head(struct buf *to, const struct kind *k, str resource_version, str token, int64_t remaining, bool columns)
{
	buf_add(to, S("{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{"));
	if (resource_version.n)
		buf_printf(to, "\"resourceVersion\":\"" STR_FMT "\"", STR_ARG(resource_version));
	if (token.n)
		buf_printf(to, ",\"continue\":\"" STR_FMT "\"", STR_ARG(token));
	if (remaining > 0)
		buf_printf(to, ",\"remainingItemCount\":%lld", (long long)remaining);
	buf_add(to, S("},\"columnDefinitions\":"));
	if (!columns) {
		buf_add(to, S("null,\"rows\":["));
		return;
	}
	const struct resource_desc *d = k->stored->desc;
	buf_add_char(to, '[');
	for (size_t i = 0; i < d->ncolumns; i++) {
		const struct column_desc *col = schema_column(d, i);
		buf_add(to, i ? S(",{\"name\":") : S("{\"name\":"));
		json_write_string(to, schema_text(col->name), true);
		buf_add(to, S(",\"type\":"));
		json_write_string(to, schema_text(col->type), true);
		buf_add(to, S(",\"format\":"));
		json_write_string(to, schema_text(col->format), true);
		buf_printf(to, ",\"description\":\"\",\"priority\":%d}", col->priority);
	}
	if (d->ncolumns == 0)
		buf_add(to, S("{\"name\":\"Name\",\"type\":\"string\",\"format\":\"name\",\"description\":\"\",\"priority\":0},"
		              "{\"name\":\"Created At\",\"type\":\"date\",\"format\":\"\",\"description\":\"\",\"priority\":0}"));
	buf_add(to, S("],\"rows\":["));
}

void partial_object(struct buf *to, struct cache_entry *e, bool with_type, str version)
{
	str meta = scan(e->json, S("metadata"));
	if (with_type)
		buf_printf(to, "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/" STR_FMT "\",", STR_ARG(version));
	else
		buf_add_char(to, '{');
	buf_add(to, S("\"metadata\":"));
	buf_add(to, meta.n ? meta : S("{}"));
	buf_add_char(to, '}');
}

static str age(struct arena *a, struct api_time t, int64_t now_ns)
{
	if (!t.set)
		return S("<unknown>");
	int64_t s = now_ns / NS_PER_SEC - t.sec;
	// Rule: apimachinery util/duration HumanDuration.
	if (s < -1)
		return S("<invalid>");
	if (s < 0)
		return S("0s");
	if (s < 120)
		return arena_printf(a, "%llds", (long long)s);
	long long m = s / 60, h = m / 60, d = h / 24;
	if (m < 10)
		return s % 60 ? arena_printf(a, "%lldm%llds", m, (long long)(s % 60)) : arena_printf(a, "%lldm", m);
	if (m < 180)
		return arena_printf(a, "%lldm", m);
	if (h < 8)
		return m % 60 ? arena_printf(a, "%lldh%lldm", h, m % 60) : arena_printf(a, "%lldh", h);
	if (h < 48)
		return arena_printf(a, "%lldh", h);
	if (h < 24 * 8)
		return h % 24 ? arena_printf(a, "%lldd%lldh", d, h % 24) : arena_printf(a, "%lldd", d);
	if (d < 365 * 2)
		return arena_printf(a, "%lldd", d);
	if (d < 365 * 8)
		return d / 365 && d % 365 ? arena_printf(a, "%lldy%lldd", d / 365, d % 365) : arena_printf(a, "%lldy", d / 365);
	return arena_printf(a, "%lldy", d / 365);
}

void table_row(struct arena *a, struct buf *to, const struct kind *k, struct cache_entry *e, void *obj, enum include_object include, int64_t now_ns, str version)
{
	const struct resource_desc *d = k->stored->desc;
	struct meta_v1_ObjectMeta *meta = meta_of(k, obj);
	buf_add(to, S("{\"cells\":["));
	if (d->ncolumns == 0) {
		json_write_string(to, meta->name, true);
		buf_add_char(to, ',');
		json_write_string(to, time_format(a, meta->creationTimestamp.sec, 0, 0), true);
	} else {
		struct cell *cells = ARENA_ARRAY(a, struct cell, d->ncolumns);
		if (k->strategy->cells) {
			k->strategy->cells(a, obj, cells, now_ns);
		} else {
			for (size_t i = 0; i < d->ncolumns; i++) {
				str name = schema_text(schema_column(d, i)->name);
				if (str_eq(name, S("Name")))
					cells[i].text = meta->name;
				else if (str_eq(name, S("Age")))
					cells[i].text = age(a, meta->creationTimestamp, now_ns);
				else if (str_eq(name, S("Created At")))
					cells[i].text = time_format(a, meta->creationTimestamp.sec, 0, 0);
				else
					cells[i].text = S("<none>");
			}
		}
		for (size_t i = 0; i < d->ncolumns; i++) {
			if (i)
				buf_add_char(to, ',');
			switch (cells[i].kind) {
			case CELL_INT: buf_add_i64(to, cells[i].i); break;
			case CELL_NULL: buf_add(to, S("null")); break;
			case CELL_RAW: buf_add(to, cells[i].text); break;
			case CELL_TEXT: json_write_string(to, cells[i].text, true); break;
			}
		}
	}
	if (str_eq(k->key_prefix, S("core/pods"))) {
		str phase = ((const struct core_v1_Pod *)obj)->status.phase;
		if (str_eq(phase, S("Succeeded")))
			buf_add(to, S("],\"conditions\":[{\"type\":\"Completed\",\"status\":\"True\",\"reason\":\"Succeeded\",\"message\":\"The pod has completed successfully.\"}"));
		else if (str_eq(phase, S("Failed")))
			buf_add(to, S("],\"conditions\":[{\"type\":\"Completed\",\"status\":\"True\",\"reason\":\"Failed\",\"message\":\"The pod failed.\"}"));
	}
	buf_add(to, S("],\"object\":"));
	if (include == INCLUDE_NONE)
		buf_add(to, S("null"));
	else if (include == INCLUDE_OBJECT)
		buf_add(to, e->json);
	else
		partial_object(to, e, true, version);
	buf_add_char(to, '}');
}
