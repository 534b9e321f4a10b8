// Types, errors and lists of strategic merge patches. Rule: apimachinery pkg/util/strategicpatch (patch.go, meta.go).
#include "schema/strategic_util.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/heap.h"
#include "schema/tables.h"

// --- Types --------------------------------------------------------------------------------------------------------------

struct patch_type smp_type_of(const struct message_desc *m)
{
	return (struct patch_type){ .kind = PT_MESSAGE, .message = m };
}

static struct patch_type item_type(const struct field_desc *f)
{
	switch (f->type) {
	case FT_MESSAGE:
	case FT_SCHEMA_OR_BOOL:
	case FT_SCHEMA_OR_ARRAY:
	case FT_SCHEMA_OR_STRINGS:
		return smp_type_of(&schema_messages[f->message]);
	default:
		return (struct patch_type){ .kind = PT_OTHER, .field = f };
	}
}

static const char *own_type_name(const struct field_desc *f)
{
	switch (f->type) {
	case FT_RAW:
		return "RawExtension";
	case FT_FIELDSV1:
		return "FieldsV1";
	case FT_JSON:
		return "JSON";
	case FT_QUANTITY:
		return "Quantity";
	case FT_INTORSTRING:
		return "IntOrString";
	case FT_TIME:
		return "Time";
	case FT_MICROTIME:
		return "MicroTime";
	case FT_DURATION:
		return "Duration";
	default:
		return NULL;
	}
}

static const char *scalar_name(const struct field_desc *f)
{
	switch (f->type) {
	case FT_BOOL:
		return "bool";
	case FT_INT32:
		return "int32";
	case FT_INT64:
		return "int64";
	case FT_DOUBLE:
		return "float64";
	case FT_BYTES:
	case FT_STRINGS:
		return "slice";
	default:
		return "string";
	}
}

bool smp_lookup_struct(struct patch_type t, str key, struct patch_meta *out, struct error *err)
{
	*out = (struct patch_meta){ .type = { .kind = PT_OTHER } };
	if (t.kind == PT_MAP) {
		out->type = item_type(t.field);
		return true;
	}
	if (t.kind != PT_MESSAGE) {
		const char *own = t.field && t.kind == PT_OTHER ? own_type_name(t.field) : NULL;
		if (own)
			return smp_error(err,
			                 "unable to find api field in struct %s for the json field \"" STR_FMT "\"",
			                 own, STR_ARG(key));
		return smp_error(err, "merging an object in json but data type is not struct, instead is: %s",
		                 t.kind == PT_LIST ? "slice"
		                 : t.field         ? scalar_name(t.field)
		                                   : "string");
	}
	const struct field_desc *f = schema_field_named(t.message, key);
	if (!f)
		return smp_error(err,
		                 "unable to find api field in struct " STR_FMT " for the json field \"" STR_FMT "\"",
		                 STR_ARG(schema_text(t.message->name)), STR_ARG(key));
	out->type = f->label == FL_ONE
	                    ? item_type(f)
	                    : (struct patch_type){ .kind = f->label == FL_LIST ? PT_LIST : PT_MAP, .field = f };
	out->replace = f->flags & FF_PATCH_REPLACE;
	out->merge = f->flags & FF_PATCH_MERGE;
	out->retain_keys = f->flags & FF_PATCH_RETAIN_KEYS;
	out->merge_key = schema_text(f->merge_key);
	return true;
}

bool smp_lookup_slice(struct patch_type t, str key, struct patch_meta *out, struct error *err)
{
	if (!smp_lookup_struct(t, key, out, err))
		return false;
	if (out->type.kind == PT_LIST)
		out->type = item_type(out->type.field);
	else if (out->type.kind != PT_OTHER || !out->type.field ||
	         (out->type.field->type != FT_STRINGS && out->type.field->type != FT_BYTES))
		return smp_error(err, "expected slice or array type, but got: %s", t.kind == PT_MAP ? "map" : "struct");
	return true;
}

// --- Errors -------------------------------------------------------------------------------------------------------------

bool smp_error(struct error *err, const char *fmt, ...)
{
	char text[sizeof(err->text)];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return error_api(err, 500, "", "%s", text);
}

bool smp_bad_request(struct error *err, const char *text)
{
	return error_api(err, 400, "BadRequest", "%s", text);
}

// Upstream hides what was wrong ("lists of lists are not supported") behind the general message of its status.
bool smp_unprocessable(struct error *err)
{
	return error_api(err, 422, "Invalid", "the server rejected our request due to an error in our request");
}

static const char *go_kind(const struct value *v)
{
	switch (v->kind) {
	case V_NULL:
		return "%!s(<nil>)";
	case V_BOOL:
		return "bool";
	case V_INT:
		return "int64";
	case V_DOUBLE:
		return "float64";
	case V_STRING:
		return "string";
	case V_ARRAY:
		return "[]interface {}";
	default:
		return "map[string]interface {}";
	}
}

bool smp_bad_arg(struct error *err, const char *expected, const struct value *got)
{
	return smp_error(err, "expected a %s, but received a %s", expected, go_kind(got));
}

bool smp_no_merge_key(struct error *err, const struct value *item, str key)
{
	_cleanup_buf_ struct buf b = { 0 };
	smp_print(&b, item);
	return smp_error(err, "map: " STR_FMT " does not contain declared merge key: " STR_FMT, STR_ARG(buf_str(&b)),
	                 STR_ARG(key));
}

static int member_cmp(const void *x, const void *y)
{
	return str_cmp((*(const struct member *const *)x)->key, (*(const struct member *const *)y)->key);
}

void smp_print(struct buf *to, const struct value *v)
{
	switch (v->kind) {
	case V_NULL:
		buf_add(to, S("<nil>"));
		break;
	case V_BOOL:
		buf_add(to, v->b ? S("true") : S("false"));
		break;
	case V_INT:
		buf_add_i64(to, v->i);
		break;
	case V_DOUBLE: {
		// %v takes the shortest digits that read back; exponents below -4 and from 21 on are written as such.
		char text[64];
		double size = v->d < 0 ? -v->d : v->d;
		bool plain = size == 0 || (size >= 1e-4 && size < 1e21);
		for (int digits = 0; digits <= 21; digits++) {
			snprintf(text, sizeof(text), plain ? "%.*f" : "%.*e", digits, v->d);
			if (strtod(text, NULL) == v->d)
				break;
		}
		buf_add(to, str_c(text));
		break;
	}
	case V_STRING:
		buf_add(to, v->s);
		break;
	case V_ARRAY:
		buf_add_char(to, '[');
		for (size_t i = 0; i < v->a.n; i++) {
			if (i)
				buf_add_char(to, ' ');
			smp_print(to, v->a.v[i]);
		}
		buf_add_char(to, ']');
		break;
	default: {
		const struct member **sorted = heap_calloc(v->o.n + 1, sizeof(*sorted));
		buf_add(to, S("map["));
		for (size_t i = 0; i < v->o.n; i++)
			sorted[i] = &v->o.v[i];
		qsort(sorted, v->o.n, sizeof(*sorted), member_cmp);
		for (size_t i = 0; i < v->o.n; i++) {
			if (i)
				buf_add_char(to, ' ');
			buf_add(to, sorted[i]->key);
			buf_add_char(to, ':');
			smp_print(to, sorted[i]->value);
		}
		buf_add_char(to, ']');
		free(sorted);
	}
	}
}

str smp_text(struct arena *a, const struct value *v)
{
	if (v->kind == V_STRING)
		return v->s;
	_cleanup_buf_ struct buf b = { 0 };
	smp_print(&b, v);
	return arena_dup(a, buf_str(&b));
}

// --- Equality -----------------------------------------------------------------------------------------------------------

bool smp_scalar_equal(const struct value *x, const struct value *y)
{
	if (x->kind != y->kind)
		return false;
	switch (x->kind) {
	case V_NULL:
		return true;
	case V_BOOL:
		return x->b == y->b;
	case V_INT:
		return x->i == y->i;
	case V_DOUBLE:
		return x->d == y->d;
	case V_STRING:
		return str_eq(x->s, y->s);
	default:
		return false;
	}
}

bool smp_deep_equal(const struct value *x, const struct value *y)
{
	if (x->kind != y->kind)
		return false;
	if (x->kind == V_ARRAY) {
		if (x->a.n != y->a.n)
			return false;
		for (size_t i = 0; i < x->a.n; i++)
			if (!smp_deep_equal(x->a.v[i], y->a.v[i]))
				return false;
		return true;
	}
	if (x->kind != V_OBJECT)
		return smp_scalar_equal(x, y);
	if (x->o.n != y->o.n)
		return false;
	bool same_order = true;
	for (size_t i = 0; same_order && i < x->o.n; i++)
		same_order = str_eq(x->o.v[i].key, y->o.v[i].key);
	struct arena *scratch = NULL;
	struct dict d = { 0 };
	if (!same_order) {
		scratch = arena_new(0);
		smp_dict_open(&d, scratch, (struct value *)y);
	}
	bool equal = true;
	for (size_t i = 0; equal && i < x->o.n; i++) {
		const struct value *other = same_order ? y->o.v[i].value : smp_dict_get(&d, x->o.v[i].key);
		equal = other && smp_deep_equal(x->o.v[i].value, other);
	}
	if (!same_order) {
		smp_dict_close(&d);
		arena_free(scratch);
	}
	return equal;
}

// --- Objects with an index ----------------------------------------------------------------------------------------------

void smp_dict_open(struct dict *d, struct arena *a, struct value *object)
{
	*d = (struct dict){ .a = a, .v = object, .indexed = object->o.n >= 32 };
	for (size_t i = 0; d->indexed && i < object->o.n; i++)
		map_put(&d->index, object->o.v[i].key, (void *)(uintptr_t)(i + 1));
}

static struct member *dict_find(struct dict *d, str key)
{
	if (d->indexed) {
		size_t at = (size_t)(uintptr_t)map_get(&d->index, key);
		return at ? &d->v->o.v[at - 1] : NULL;
	}
	for (size_t i = 0; i < d->v->o.n; i++)
		if (d->v->o.v[i].value && str_eq(d->v->o.v[i].key, key))
			return &d->v->o.v[i];
	return NULL;
}

struct value *smp_dict_get(struct dict *d, str key)
{
	struct member *m = dict_find(d, key);
	return m ? m->value : NULL;
}

void smp_dict_set(struct dict *d, str key, struct value *v)
{
	struct member *m = dict_find(d, key);
	if (!m) {
		m = LIST_ADD(d->a, &d->v->o);
		m->key = key;
		if (d->indexed)
			map_put(&d->index, key, (void *)(uintptr_t)d->v->o.n);
	}
	m->value = v;
}

void smp_dict_del(struct dict *d, str key)
{
	struct member *m = dict_find(d, key);
	if (!m)
		return;
	m->value = NULL;
	d->holes = true;
	if (d->indexed)
		map_del(&d->index, key);
}

void smp_dict_close(struct dict *d)
{
	map_free(&d->index);
	if (!d->holes)
		return;
	size_t n = 0;
	for (size_t i = 0; i < d->v->o.n; i++)
		if (d->v->o.v[i].value)
			d->v->o.v[n++] = d->v->o.v[i];
	d->v->o.n = n;
}

// --- Places in lists ----------------------------------------------------------------------------------------------------

static const struct value *place_key(const struct places *p, const struct value *item)
{
	return p->merge_key.n ? value_get(item, p->merge_key) : item;
}

// Scalars of different kinds are different keys. Objects and lists have none.
static bool key_text(const struct value *v, struct buf *b)
{
	if (v->kind == V_ARRAY || v->kind == V_OBJECT)
		return false;
	buf_add_char(b, (char)('0' + v->kind));
	if (v->kind == V_DOUBLE)
		buf_add(b, str_n((const char *)&v->d, sizeof(v->d)));
	else
		smp_print(b, v);
	return true;
}

void smp_places_add(struct places *p, const struct value *item, size_t at)
{
	const struct value *key = place_key(p, item);
	_cleanup_buf_ struct buf b = { 0 };
	if (key && key_text(key, &b) && !map_has(&p->index, buf_str(&b)))
		map_put(&p->index, buf_str(&b), (void *)(uintptr_t)(at + 1));
}

void smp_places_open(struct places *p, const struct value *list, str merge_key)
{
	*p = (struct places){ .merge_key = merge_key };
	for (size_t i = 0; list && i < list->a.n; i++)
		smp_places_add(p, list->a.v[i], i);
}

ptrdiff_t smp_places_find_key(const struct places *p, const struct value *key)
{
	_cleanup_buf_ struct buf b = { 0 };
	if (!key || !key_text(key, &b))
		return -1;
	return (ptrdiff_t)(uintptr_t)map_get(&p->index, buf_str(&b)) - 1;
}

ptrdiff_t smp_places_find(const struct places *p, const struct value *item)
{
	return smp_places_find_key(p, place_key(p, item));
}
void smp_places_close(struct places *p)
{
	map_free(&p->index);
}

// --- Lists --------------------------------------------------------------------------------------------------------------

bool smp_element_kind(const struct value *x, const struct value *y, enum value_kind *kind, struct error *err)
{
	const struct value *lists[] = { x, y };
	bool any = false;
	for (size_t i = 0; i < 2; i++)
		for (size_t k = 0; lists[i] && k < lists[i]->a.n; k++) {
			const struct value *v = lists[i]->a.v[k];
			if (!any) {
				if (v->kind == V_ARRAY)
					return smp_unprocessable(err);
				*kind = v->kind;
				any = true;
			} else if (v->kind != *kind) {
				_cleanup_buf_ struct buf b = { 0 };
				buf_add_char(&b, '[');
				for (size_t j = 0; j < 2; j++) {
					if (j && y)
						buf_add_char(&b, ' ');
					if (lists[j])
						smp_print(&b, lists[j]);
				}
				buf_add_char(&b, ']');
				return smp_error(err, "list element types are not identical: " STR_FMT,
				                 STR_ARG(buf_str(&b)));
			}
		}
	return any || smp_error(err, "no elements in any of the given slices");
}

struct ranked {
	struct value *v;
	ptrdiff_t rank;
	size_t at;
};

static int ranked_cmp(const void *x, const void *y)
{
	const struct ranked *a = x, *b = y;
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	return a->at < b->at ? -1 : a->at > b->at;
}

static bool need_merge_keys(const struct value *list, str merge_key, struct error *err)
{
	for (size_t i = 0; list && i < list->a.n; i++) {
		if (list->a.v[i]->kind != V_OBJECT)
			return smp_bad_arg(err, "map[string]interface {}", list->a.v[i]);
		if (!value_get(list->a.v[i], merge_key))
			return smp_no_merge_key(err, list->a.v[i], merge_key);
	}
	return true;
}

bool smp_order_items(struct arena *a, struct value *list, const struct value *order, str merge_key,
                     enum value_kind kind, struct error *err)
{
	if (kind == V_OBJECT && (!need_merge_keys(list, merge_key, err) || !need_merge_keys(order, merge_key, err)))
		return false;
	struct places places;
	smp_places_open(&places, order, kind == V_OBJECT ? merge_key : S(""));
	struct ranked *ranked = ARENA_ARRAY(a, struct ranked, list->a.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < list->a.n; i++) {
		struct value *v = list->a.v[i];
		bool deletion = kind == V_OBJECT && str_eq(value_get_str(v, DIRECTIVE), S("delete"));
		ranked[n++] = (struct ranked){ v, deletion ? PTRDIFF_MAX : smp_places_find(&places, v), i };
	}
	smp_places_close(&places);
	qsort(ranked, n, sizeof(*ranked), ranked_cmp);
	for (size_t i = 0; i < n; i++)
		list->a.v[i] = ranked[i].v;
	return true;
}
