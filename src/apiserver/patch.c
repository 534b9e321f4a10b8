// PATCH: JSON patch, merge patch, strategic merge patch. The patch is applied to the current object as this version serves it, the result
// is decoded like a body, and goes the way of an update. Server-side apply is in apply.c.
#include "apiserver/apiserver.h"

#include "json/json.h"
#include "json/patch.h"
#include "json/yaml.h"
#include "schema/strategic.h"

enum patch_form { FORM_JSON, FORM_MERGE, FORM_STRATEGIC };
enum { MAX_OPS = 10000 };

struct patch { enum patch_form form; struct value *doc; struct str_list duplicates; };

static str type_name(const struct value *v)
{
	return str_c(value_is(v, V_NULL) ? "null" : value_kind_name(v->kind));
}

static bool read_patch(struct call *c, struct patch *p, struct api_status *s)
{
	struct arena *a = c->r.arena;
	struct json_duplicates dups = { 0 };
	struct json_opts opts = { .duplicates = &dups };
	struct error err = { 0 };
	str body = arena_dup(a, c->r.in->body);
	p->doc = json_parse(a, body, &opts, &err);
	if (!p->doc)
		return status_bad_request(a, s, "error decoding patch: %s", err.text);
	for (size_t i = 0; i < dups.n; i++)
		*LIST_ADD(a, &p->duplicates) = arena_concat(a, S("duplicate field \""), dups.v[i], S("\""));
	if (p->form == FORM_JSON) {
		if (!value_is(p->doc, V_ARRAY))
			return status_bad_request(a, s, "error decoding patch: json: cannot unmarshal " STR_FMT " into Go value of type []handlers.jsonPatchOp", STR_ARG(type_name(p->doc)));
		if (p->doc->a.n > MAX_OPS) {
			*s = (struct api_status){ .code = 413, .reason = S("RequestEntityTooLarge"),
				                  .message = arena_printf(a, "Request entity too large: The allowed maximum operations in a JSON patch is %d, got %zu", MAX_OPS, p->doc->a.n) };
			return false;
		}
		p->duplicates = (struct str_list){ 0 };
		static const str known[] = { S_INIT("op"), S_INIT("path"), S_INIT("value"), S_INIT("from") };
		for (size_t i = 0; i < p->doc->a.n; i++) {
			struct value *op = p->doc->a.v[i];
			if (!value_is(op, V_OBJECT))
				return status_bad_request(a, s, "error decoding patch: json: cannot unmarshal " STR_FMT " into Go value of type handlers.jsonPatchOp", STR_ARG(type_name(op)));
			for (size_t k = 0; k < op->o.n; k++) {
				bool is_known = false;
				for (size_t n = 0; n < ARRAY_LEN(known); n++)
					is_known |= str_eq(op->o.v[k].key, known[n]);
				if (!is_known)
					*LIST_ADD(a, &p->duplicates) = arena_printf(a, "json patch unknown field \"[%zu]." STR_FMT "\"", i, STR_ARG(op->o.v[k].key));
			}
		}
		return true;
	}
	if (value_is(p->doc, V_NULL))
		return status_bad_request(a, s, "Invalid JSON Patch");
	if (!value_is(p->doc, V_OBJECT))
		return status_bad_request(a, s, "error decoding patch: json: cannot unmarshal " STR_FMT " into Go value of type map[string]interface {}", STR_ARG(type_name(p->doc)));
	return true;
}

// Upstream's patch library writes objects that a patch went through with sorted keys, all others as they were; the text shows in errors.
static void sort_touched(struct value *v, const struct value *patch)
{
	if (!value_is(v, V_OBJECT) || !value_is(patch, V_OBJECT))
		return;
	value_sort(v);
	for (size_t i = 0; i < patch->o.n; i++)
		sort_touched(value_get(v, patch->o.v[i].key), patch->o.v[i].value);
}

// As Go prints a map[string]interface{} with %v.
static void go_text(struct buf *to, struct value *v)
{
	switch (v->kind) {
	case V_OBJECT:
		value_sort(v);
		buf_add(to, S("map["));
		for (size_t i = 0; i < v->o.n; i++) {
			buf_printf(to, "%s" STR_FMT ":", i ? " " : "", STR_ARG(v->o.v[i].key));
			go_text(to, v->o.v[i].value);
		}
		buf_add_char(to, ']');
		break;
	case V_ARRAY:
		buf_add_char(to, '[');
		for (size_t i = 0; i < v->a.n; i++) {
			if (i)
				buf_add_char(to, ' ');
			go_text(to, v->a.v[i]);
		}
		buf_add_char(to, ']');
		break;
	case V_STRING: buf_add(to, v->s); break;
	case V_NULL: buf_add(to, S("<nil>")); break;
	default: json_write(to, v, JSON_COMPACT);
	}
}

static void *apply_patch(struct call *c, struct kind *k, void *current, struct cache_entry *entry, struct api_status *s)
{
	struct arena *a = c->r.arena;
	struct patch patch = { 0 };
	str type = http_header(&c->r.in->headers, S("content-type")), rest;
	str_split(type, ';', &type, &rest);
	type = str_trim(type);
	patch.form = str_eq(type, S("application/json-patch+json")) ? FORM_JSON : str_eq(type, S("application/merge-patch+json")) ? FORM_MERGE : FORM_STRATEGIC;
	if (!read_patch(c, &patch, s))
		return NULL;
	struct error err = { 0 };
	struct core_v1_Pod *head = current;
	head->kind = k->name;
	head->apiVersion = k->api_version;
	meta_of(k, current)->resourceVersion = arena_printf(a, "%lld", (long long)entry->revision);
	// managedFields stay as they are unless the patch speaks of them.
	struct value *doc = schema_to_value(a, k->message, current);
	struct value *result;
	switch (patch.form) {
	case FORM_JSON: result = json_patch_apply(a, doc, patch.doc, &err); break;
	case FORM_MERGE: result = merge_patch_apply(a, doc, patch.doc); break;
	default: result = strategic_apply(a, k->message, doc, patch.doc, &err); break;
	}
	if (!result) {
		if (patch.form == FORM_STRATEGIC) {
			*s = (struct api_status){ .code = err.code == 400 ? 400 : 500, .reason = err.code == 400 ? S("BadRequest") : S(""), .message = arena_dup(a, error_str(&err)) };
			return NULL;
		}
		if (err.code == 422) {
			*s = (struct api_status){ .code = 422, .reason = S("Invalid"), .message = S("the server rejected our request due to an error in our request") };
			return NULL;
		}
		status_from_error(a, s, &err);
		return NULL;
	}
	enum field_validation fv;
	if (!field_validation_of(c, &fv, s))
		return NULL;
	struct str_list problems = { 0 };
	struct decode_opts opts = { .strict = fv == FV_IGNORE ? NULL : &problems };
	value_sort(result);
	if (patch.form == FORM_MERGE)
		sort_touched(result, patch.doc);
	void *obj = schema_from_value(a, k->message, result, &opts, &err);
	if (!obj) {
		// Upstream words this as an invalid patch.
		struct field_errors e = { .arena = a };
		struct fpath path = fp(NULL, "patch");
		if (patch.form == FORM_STRATEGIC) {
			status_bad_request(a, s, "%s", err.text);
			return NULL;
		}
		fe_invalid(&e, &path, json_text(a, result, JSON_ESCAPE_HTML), "%s", err.text);
		status_invalid(a, s, S(""), S(""), S(""), &e);
		return NULL;
	}
	struct str_list all = patch.duplicates;
	for (size_t i = 0; i < problems.n; i++)
		*LIST_ADD(a, &all) = problems.v[i];
	if (fv != FV_IGNORE && !field_problems(c, fv, &all, s)) {
		struct buf b = { 0 };
		buf_add(&b, S("strict decoding error: "));
		for (size_t i = 0; i < all.n; i++) {
			if (i)
				buf_add(&b, S(", "));
			buf_add(&b, all.v[i]);
		}
		struct field_errors e = { .arena = a };
		struct fpath path = fp(NULL, "patch");
		if (patch.form == FORM_STRATEGIC) {
			struct buf text = { 0 };
			go_text(&text, patch.doc);
			fe_invalid(&e, &path, arena_dup(a, buf_str(&text)), STR_FMT, STR_ARG(buf_str(&b)));
			buf_free(&text);
		} else {
			fe_invalid(&e, &path, json_text(a, result, JSON_ESCAPE_HTML), STR_FMT, STR_ARG(buf_str(&b)));
		}
		buf_free(&b);
		status_invalid(a, s, S(""), S(""), S(""), &e);
		return NULL;
	}
	head = obj;
	if (!body_check_kind(c, head->apiVersion, head->kind, k->api_version, k->name, s))
		return NULL;
	return obj;
}

void do_patch(struct call *c)
{
	struct api_status s = { 0 };
	str type = http_header(&c->r.in->headers, S("content-type")), rest;
	str_split(type, ';', &type, &rest);
	type = str_trim(type);
	bool known = str_eq(type, S("application/json-patch+json")) || str_eq(type, S("application/merge-patch+json")) || str_eq(type, S("application/strategic-merge-patch+json"));
	if (!negotiate(c, true, &s)) {
		reply_status(c, &s);
		return;
	}
	str v;
	if (str_eq(type, S("application/apply-patch+yaml"))) {
		do_apply(c);
		return;
	}
	if (known && http_param_get(&c->r.params, S("force"), &v)) {
		struct field_errors e = { .arena = c->r.arena };
		struct fpath p = fp(NULL, "force");
		fe_forbidden(&e, &p, "may not be specified for non-apply patch");
		status_invalid(c->r.arena, &s, S("meta.k8s.io"), S("PatchOptions"), S(""), &e);
		reply_status(c, &s);
		return;
	}
	if (!known) {
		s = (struct api_status){ .code = 415, .reason = S("UnsupportedMediaType"), .message = S("415: Unsupported Media Type") };
		reply_status(c, &s);
		return;
	}
	if (!write_options(c, &s)) {
		reply_status(c, &s);
		return;
	}
	struct update u = { .transform = apply_patch, .ns = c->r.info.ns, .name = c->r.info.name, .target = UPDATE_SPEC, .retry = true };
	if (c->sub)
		u.target = str_eq(c->r.info.subresource, S("status")) ? UPDATE_STATUS : UPDATE_SUBRESOURCE;
	update_object(c, c->kind, &u);
}
