// Walks over C structs: making, copying, comparing; and the small maps.
#include "schema/codec.h"
#include "schema/gotime.h"
#include "schema/quantity.h"

static const uint8_t value_sizes[] = {
	[FT_BOOL] = sizeof(bool),
	[FT_INT32] = 4,
	[FT_INT64] = 8,
	[FT_UINT32] = 4,
	[FT_UINT64] = 8,
	[FT_DOUBLE] = 8,
	[FT_STRING] = sizeof(str),
	[FT_BYTES] = sizeof(str),
	[FT_ENUM] = 4,
	[FT_MESSAGE] = 0,
	[FT_TIME] = sizeof(struct api_time),
	[FT_MICROTIME] = sizeof(struct api_time),
	[FT_DURATION] = sizeof(struct api_duration),
	[FT_QUANTITY] = sizeof(struct quantity),
	[FT_INTORSTRING] = sizeof(struct int_or_string),
	[FT_RAW] = sizeof(struct raw_json),
	[FT_FIELDSV1] = sizeof(struct raw_json),
	[FT_JSON] = sizeof(struct raw_json),
	[FT_SCHEMA_OR_BOOL] = sizeof(struct or_bool),
	[FT_SCHEMA_OR_ARRAY] = sizeof(struct or_array),
	[FT_SCHEMA_OR_STRINGS] = sizeof(struct or_strings),
	[FT_STRINGS] = sizeof(struct str_list),
};

size_t schema_field_value_size(const struct field_desc *f)
{
	return f->type == FT_MESSAGE ? schema_messages[f->message].size : value_sizes[f->type];
}

// Every C type of the schema is aligned to at most 8 bytes, and a key takes 16: the value follows it at once.
size_t schema_field_entry_value(const struct field_desc *f)
{
	return sizeof(str);
}
size_t schema_field_entry_size(const struct field_desc *f)
{
	return (sizeof(str) + schema_field_value_size(f) + 7) & ~(size_t)7;
}

bool schema_field_is_text(const struct field_desc *f)
{
	switch (f->type) {
	case FT_STRING:
	case FT_BYTES:
	case FT_QUANTITY:
	case FT_RAW:
	case FT_FIELDSV1:
	case FT_JSON:
		return true;
	default:
		return false;
	}
}

void *schema_new(struct arena *a, const struct message_desc *m)
{
	return arena_alloc(a, m->size);
}

// --- Copy -------------------------------------------------------------------------------------------------------------

// A copy that keeps nil (p == NULL) and empty apart.
static str dup_text(struct arena *a, str s)
{
	if (!s.p)
		return (str){ 0 };
	return s.n ? arena_dup(a, s) : S("");
}

static void clone_fields(struct arena *a, const struct message_desc *m, const char *from, char *to);

// The message JSONSchemaProps behind a JSONSchemaPropsOrX.
static const struct message_desc *or_schema(const struct field_desc *f)
{
	const struct message_desc *m = &schema_messages[f->message];
	for (size_t i = 0; i < m->n; i++)
		if (schema_field(m, i)->type == FT_MESSAGE)
			return schema_field_message(schema_field(m, i));
	return NULL;
}

static void *clone_message(struct arena *a, const struct message_desc *m, const void *from)
{
	if (!from)
		return NULL;
	char *to = arena_alloc(a, m->size);
	clone_fields(a, m, from, to);
	return to;
}

static struct any_list clone_messages(struct arena *a, const struct message_desc *m, struct any_list from)
{
	struct any_list to = { 0 };
	if (!from.v)
		return to;
	to = (struct any_list){ arena_calloc(a, list_capacity(from.n), m->size), from.n };
	for (size_t i = 0; i < from.n; i++)
		clone_fields(a, m, from.v + i * m->size, to.v + i * m->size);
	return to;
}

static struct str_list clone_strings(struct arena *a, struct str_list from)
{
	struct str_list to = { 0 };
	if (!from.v)
		return to;
	to = (struct str_list){ ARENA_ARRAY(a, str, list_capacity(from.n)), from.n };
	for (size_t i = 0; i < from.n; i++)
		to.v[i] = dup_text(a, from.v[i]);
	return to;
}

static void clone_value(struct arena *a, const struct field_desc *f, const char *from, char *to)
{
	if (schema_field_is_text(f)) {
		*(str *)to = dup_text(a, *(const str *)from);
		return;
	}
	switch (f->type) {
	case FT_MESSAGE:
		clone_fields(a, &schema_messages[f->message], from, to);
		break;
	case FT_INTORSTRING:
		*(struct int_or_string *)to = *(const struct int_or_string *)from;
		((struct int_or_string *)to)->s = dup_text(a, ((const struct int_or_string *)from)->s);
		break;
	case FT_STRINGS:
		*(struct str_list *)to = clone_strings(a, *(const struct str_list *)from);
		break;
	case FT_SCHEMA_OR_BOOL: {
		const struct or_bool *x = (const void *)from;
		*(struct or_bool *)to = (struct or_bool){ x->allows, clone_message(a, or_schema(f), x->schema) };
		break;
	}
	case FT_SCHEMA_OR_ARRAY: {
		const struct or_array *x = (const void *)from;
		*(struct or_array *)to = (struct or_array){ clone_message(a, or_schema(f), x->schema),
			                                    clone_messages(a, or_schema(f), x->items) };
		break;
	}
	case FT_SCHEMA_OR_STRINGS: {
		const struct or_strings *x = (const void *)from;
		*(struct or_strings *)to =
		        (struct or_strings){ clone_message(a, or_schema(f), x->schema), clone_strings(a, x->property) };
		break;
	}
	default:
		memcpy(to, from, schema_field_value_size(f));
	}
}

static void clone_fields(struct arena *a, const struct message_desc *m, const char *from, char *to)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct field_desc *f = schema_field(m, i);
		const char *x = from + f->offset;
		char *y = to + f->offset;
		size_t size = schema_field_value_size(f);
		if (f->label == FL_ONE && !(f->flags & FF_POINTER)) {
			clone_value(a, f, x, y);
		} else if (f->label == FL_ONE) {
			if (*(char *const *)x) {
				*(char **)y = arena_alloc(a, size);
				clone_value(a, f, *(char *const *)x, *(char **)y);
			}
		} else {
			const struct any_list *l = (const void *)x;
			if (!l->v)
				continue;
			bool map = f->label == FL_MAP;
			size_t step = map ? schema_field_entry_size(f) : size,
			       at = map ? schema_field_entry_value(f) : 0;
			char *v = arena_calloc(a, list_capacity(l->n), step);
			for (size_t k = 0; k < l->n; k++) {
				if (map)
					*(str *)(v + k * step) = dup_text(a, *(str *)(l->v + k * step));
				clone_value(a, f, l->v + k * step + at, v + k * step + at);
			}
			*(struct any_list *)y = (struct any_list){ v, l->n };
		}
	}
}

void *schema_clone(struct arena *a, const struct message_desc *m, const void *obj)
{
	return clone_message(a, m, obj);
}

// --- Comparison -------------------------------------------------------------------------------------------------------

static bool equal_fields(const struct message_desc *m, const char *x, const char *y);

static bool equal_strings(struct str_list x, struct str_list y)
{
	if (x.n != y.n)
		return false;
	for (size_t i = 0; i < x.n; i++)
		if (!str_eq(x.v[i], y.v[i]))
			return false;
	return true;
}

static bool equal_messages(const struct message_desc *m, const void *x, const void *y)
{
	return x && y ? equal_fields(m, x, y) : !x && !y;
}

static bool equal_value(const struct field_desc *f, const char *x, const char *y)
{
	switch (f->type) {
	case FT_MESSAGE:
		return equal_fields(&schema_messages[f->message], x, y);
	case FT_QUANTITY:
		return quantity_cmp(*(const struct quantity *)x, *(const struct quantity *)y) == 0;
	case FT_STRING:
	case FT_BYTES:
	case FT_RAW:
	case FT_FIELDSV1:
	case FT_JSON:
		return str_eq(*(const str *)x, *(const str *)y);
	case FT_BOOL:
		return *(const bool *)x == *(const bool *)y;
	case FT_DOUBLE:
		return *(const double *)x == *(const double *)y;
	case FT_TIME:
	case FT_MICROTIME:
		return api_time_cmp(*(const struct api_time *)x, *(const struct api_time *)y) == 0;
	case FT_INTORSTRING: {
		const struct int_or_string *p = (const void *)x, *q = (const void *)y;
		return p->is_string == q->is_string && p->i == q->i && str_eq(p->s, q->s);
	}
	case FT_STRINGS:
		return equal_strings(*(const struct str_list *)x, *(const struct str_list *)y);
	case FT_SCHEMA_OR_BOOL: {
		const struct or_bool *p = (const void *)x, *q = (const void *)y;
		return p->allows == q->allows && equal_messages(or_schema(f), p->schema, q->schema);
	}
	case FT_SCHEMA_OR_ARRAY: {
		const struct or_array *p = (const void *)x, *q = (const void *)y;
		const struct message_desc *m = or_schema(f);
		if (p->items.n != q->items.n || !equal_messages(m, p->schema, q->schema))
			return false;
		for (size_t i = 0; i < p->items.n; i++)
			if (!equal_fields(m, p->items.v + i * m->size, q->items.v + i * m->size))
				return false;
		return true;
	}
	case FT_SCHEMA_OR_STRINGS: {
		const struct or_strings *p = (const void *)x, *q = (const void *)y;
		return equal_messages(or_schema(f), p->schema, q->schema) && equal_strings(p->property, q->property);
	}
	default:
		return memcmp(x, y, schema_field_value_size(f)) == 0;
	}
}

// Entries of both maps by key; the tables of a decoder are sorted, but a caller's need not be.
static bool equal_maps(const struct field_desc *f, const struct any_list *x, const struct any_list *y)
{
	size_t step = schema_field_entry_size(f), at = schema_field_entry_value(f);
	for (size_t i = 0; i < x->n; i++) {
		str key = *(str *)(x->v + i * step);
		size_t k = i;
		if (!str_eq(key, *(str *)(y->v + k * step)))
			for (k = 0; k < y->n && !str_eq(key, *(str *)(y->v + k * step)); k++)
				continue;
		if (k == y->n || !equal_value(f, x->v + i * step + at, y->v + k * step + at))
			return false;
	}
	return true;
}

static bool equal_fields(const struct message_desc *m, const char *x, const char *y)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct field_desc *f = schema_field(m, i);
		const char *p = x + f->offset, *q = y + f->offset;
		if (f->label == FL_ONE) {
			if (f->flags & FF_POINTER) {
				p = *(char *const *)p;
				q = *(char *const *)q;
				if (!p || !q) {
					if (p != q)
						return false;
					continue;
				}
			}
			if (!equal_value(f, p, q))
				return false;
			continue;
		}
		const struct any_list *l = (const void *)p, *k = (const void *)q;
		if (l->n != k->n)
			return false;
		if (f->label == FL_MAP) {
			if (!equal_maps(f, l, k))
				return false;
			continue;
		}
		size_t size = schema_field_value_size(f);
		for (size_t j = 0; j < l->n; j++)
			if (!equal_value(f, l->v + j * size, k->v + j * size))
				return false;
	}
	return true;
}

bool schema_equal(const struct message_desc *m, const void *x, const void *y)
{
	return equal_messages(m, x, y);
}

static bool zero_value(const struct field_desc *f, const char *x)
{
	switch (f->type) {
	case FT_MESSAGE:
		return schema_is_zero(&schema_messages[f->message], x);
	case FT_QUANTITY:
		return quantity_is_zero(*(const struct quantity *)x);
	case FT_STRING:
	case FT_BYTES:
	case FT_RAW:
	case FT_FIELDSV1:
	case FT_JSON:
		return ((const str *)x)->n == 0;
	case FT_TIME:
	case FT_MICROTIME:
		return !((const struct api_time *)x)->set;
	case FT_DOUBLE:
		return *(const double *)x == 0;
	case FT_INTORSTRING:
		return !((const struct int_or_string *)x)->is_string && ((const struct int_or_string *)x)->i == 0;
	case FT_STRINGS:
		return ((const struct str_list *)x)->n == 0;
	default: {
		size_t n = schema_field_value_size(f);
		while (n && x[n - 1] == 0)
			n--;
		return n == 0;
	}
	}
}

bool schema_is_zero(const struct message_desc *m, const void *obj)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct field_desc *f = schema_field(m, i);
		const char *x = (const char *)obj + f->offset;
		bool zero = f->label != FL_ONE      ? ((const struct any_list *)(const void *)x)->n == 0
		            : f->flags & FF_POINTER ? *(char *const *)x == NULL
		                                    : zero_value(f, x);
		if (!zero)
			return false;
	}
	return true;
}

// --- Maps -------------------------------------------------------------------------------------------------------------

// Stable merge sort over the entries' bytes.
static void sort_entries(struct arena *a, struct any_list *list, size_t step)
{
	char *from = list->v, *to = arena_calloc(a, list_capacity(list->n), step);
	for (size_t width = 1; width < list->n; width *= 2) {
		for (size_t lo = 0; lo < list->n; lo += 2 * width) {
			size_t i = lo, mid = MIN(lo + width, list->n), k = mid, end = MIN(lo + 2 * width, list->n);
			for (size_t out = lo; out < end; out++) {
				bool left = i < mid && (k >= end || str_cmp(*(str *)(from + i * step),
				                                            *(str *)(from + k * step)) <= 0);
				memcpy(to + out * step, from + (left ? i++ : k++) * step, step);
			}
		}
		char *t = from;
		from = to;
		to = t;
	}
	list->v = from;
}

void schema_map_settle(struct arena *a, struct any_list *map, size_t step)
{
	size_t i = 1;
	while (i < map->n && str_cmp(*(str *)(map->v + (i - 1) * step), *(str *)(map->v + i * step)) < 0)
		i++;
	if (i >= map->n)
		return;
	sort_entries(a, map, step);
	size_t n = 0;
	for (i = 0; i < map->n; i++) {
		if (n && str_eq(*(str *)(map->v + (n - 1) * step), *(str *)(map->v + i * step)))
			n--;
		if (n != i)
			memcpy(map->v + n * step, map->v + i * step, step);
		n++;
	}
	map->n = n;
}

// --- Maps of text -----------------------------------------------------------------------------------------------------

// Where the key is or belongs in a map sorted by key.
static size_t map_place(const struct str_map *m, str key, bool *found)
{
	size_t lo = 0, hi = m->n;
	*found = false;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = str_cmp(m->v[mid].key, key);
		if (c == 0) {
			*found = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool str_map_find(const struct str_map *m, str key, str *value)
{
	bool found;
	size_t i = map_place(m, key, &found);
	if (found)
		*value = m->v[i].value;
	return found;
}

str str_map_get(const struct str_map *m, str key)
{
	str v = S("");
	str_map_find(m, key, &v);
	return v;
}

void str_map_set(struct arena *a, struct str_map *m, str key, str value)
{
	bool found;
	size_t i = map_place(m, key, &found);
	if (!found) {
		LIST_ADD(a, m);
		memmove(&m->v[i + 1], &m->v[i], (m->n - 1 - i) * sizeof(*m->v));
		m->v[i].key = key;
	}
	m->v[i].value = value;
}

bool str_map_del(struct str_map *m, str key)
{
	bool found;
	size_t i = map_place(m, key, &found);
	if (!found)
		return false;
	memmove(&m->v[i], &m->v[i + 1], (m->n - 1 - i) * sizeof(*m->v));
	m->n--;
	return true;
}
