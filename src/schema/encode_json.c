// C structs -> JSON bytes, as Go's encoding/json writes the same objects.
#include "base/encode.h"
#include "schema/codec.h"
#include "schema/gotime.h"

static void write_message(struct buf *to, const struct message_desc *m, const char *obj);

// Names are identifiers, "$schema" or "x-kubernetes-...": nothing to escape.
static void write_name(struct buf *to, str name)
{
	char *p = buf_reserve(to, name.n + 3);
	*p = '"';
	memcpy(p + 1, name.p, name.n);
	p[name.n + 1] = '"';
	p[name.n + 2] = ':';
	to->n += name.n + 3;
}

static void write_base64(struct buf *to, str bytes)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *s = (const unsigned char *)bytes.p;
	char *p = buf_reserve(to, (bytes.n + 2) / 3 * 4 + 2), *first = p;
	*p++ = '"';
	size_t i = 0;
	for (; i + 2 < bytes.n; i += 3) {
		*p++ = alphabet[s[i] >> 2];
		*p++ = alphabet[(s[i] & 3) << 4 | s[i + 1] >> 4];
		*p++ = alphabet[(s[i + 1] & 15) << 2 | s[i + 2] >> 6];
		*p++ = alphabet[s[i + 2] & 63];
	}
	if (i < bytes.n) {
		bool two = i + 1 < bytes.n;
		*p++ = alphabet[s[i] >> 2];
		*p++ = alphabet[(s[i] & 3) << 4 | (two ? s[i + 1] >> 4 : 0)];
		*p++ = two ? alphabet[(s[i + 1] & 15) << 2] : '=';
		*p++ = '=';
	}
	*p++ = '"';
	to->n += (size_t)(p - first);
}

static void write_raw(struct buf *to, str raw)
{
	if (raw.n)
		scan_compact(to, raw, true);
	else
		buf_add(to, S("null"));
}

static void write_strings(struct buf *to, const struct str_list *l)
{
	if (!l->v) {
		buf_add(to, S("null"));
		return;
	}
	buf_add_char(to, '[');
	for (size_t i = 0; i < l->n; i++) {
		if (i)
			buf_add_char(to, ',');
		json_write_string(to, l->v[i], true);
	}
	buf_add_char(to, ']');
}

static const struct message_desc *props_of(const struct field_desc *f)
{
	const struct message_desc *m = &schema_messages[f->message];
	for (size_t i = 0; i < m->n; i++)
		if (schema_field(m, i)->type == FT_MESSAGE)
			return schema_field_message(schema_field(m, i));
	return NULL;
}

static void write_schema_or(struct buf *to, const struct field_desc *f, const char *x)
{
	void *schema = NULL;
	if (f->type == FT_SCHEMA_OR_BOOL) {
		const struct or_bool *b = (const void *)x;
		if (!b->schema) {
			buf_add(to, b->allows ? S("true") : S("false"));
			return;
		}
		schema = b->schema;
	} else if (f->type == FT_SCHEMA_OR_STRINGS) {
		const struct or_strings *s = (const void *)x;
		if (s->property.n) {
			write_strings(to, &s->property);
			return;
		}
		schema = s->schema;
	} else {
		const struct or_array *l = (const void *)x;
		if (l->items.n) {
			const struct message_desc *m = props_of(f);
			for (size_t i = 0; i < l->items.n; i++) {
				buf_add_char(to, i ? ',' : '[');
				write_message(to, m, l->items.v + i * m->size);
			}
			buf_add_char(to, ']');
			return;
		}
		schema = l->schema;
	}
	if (schema)
		write_message(to, props_of(f), schema);
	else
		buf_add(to, S("null"));
}

static void write_value(struct buf *to, const struct field_desc *f, const char *x)
{
	char text[72];
	switch (f->type) {
	case FT_BOOL:
		buf_add(to, *(const bool *)x ? S("true") : S("false"));
		break;
	case FT_INT32:
	case FT_ENUM:
		buf_add_i64(to, *(const int32_t *)x);
		break;
	case FT_INT64:
		buf_add_i64(to, *(const int64_t *)x);
		break;
	case FT_UINT32:
		buf_add_i64(to, *(const uint32_t *)x);
		break;
	case FT_UINT64:
		buf_printf(to, "%llu", (unsigned long long)*(const uint64_t *)x);
		break;
	case FT_DOUBLE:
		json_write_double(to, *(const double *)(const void *)x);
		break;
	case FT_STRING:
		json_write_string(to, *(const str *)x, true);
		break;
	case FT_BYTES:
		if (((const str *)x)->p)
			write_base64(to, *(const str *)x);
		else
			buf_add(to, S("null"));
		break;
	case FT_MESSAGE:
		write_message(to, &schema_messages[f->message], x);
		break;
	case FT_TIME:
	case FT_MICROTIME: {
		const struct api_time *t = (const void *)x;
		if (!t->set) {
			buf_add(to, S("null"));
			break;
		}
		size_t n = api_time_format(*t, f->type == FT_MICROTIME, text + 1);
		text[0] = text[n + 1] = '"';
		buf_add(to, str_n(text, n + 2));
		break;
	}
	case FT_DURATION: {
		size_t n = duration_format(((const struct api_duration *)x)->ns, text + 1);
		text[0] = text[n + 1] = '"';
		buf_add(to, str_n(text, n + 2));
		break;
	}
	case FT_QUANTITY: {
		str q = *(const str *)x;
		buf_add_char(to, '"');
		buf_add(to, q.n ? q : S("0"));
		buf_add_char(to, '"');
		break;
	}
	case FT_INTORSTRING: {
		const struct int_or_string *v = (const void *)x;
		if (v->is_string)
			json_write_string(to, v->s, true);
		else
			buf_add_i64(to, v->i);
		break;
	}
	case FT_RAW:
	case FT_FIELDSV1:
	case FT_JSON:
		write_raw(to, *(const str *)x);
		break;
	case FT_STRINGS:
		write_strings(to, (const struct str_list *)(const void *)x);
		break;
	default:
		write_schema_or(to, f, x);
	}
}

static void write_list(struct buf *to, const struct field_desc *f, const struct any_list *l)
{
	bool map = f->label == FL_MAP;
	size_t step = map ? schema_field_entry_size(f) : schema_field_value_size(f),
	       at = map ? schema_field_entry_value(f) : 0;
	if (!l->v) {
		buf_add(to, S("null"));
		return;
	}
	buf_add_char(to, map ? '{' : '[');
	for (size_t i = 0; i < l->n; i++) {
		if (i)
			buf_add_char(to, ',');
		if (map) {
			json_write_string(to, *(str *)(l->v + i * step), true);
			buf_add_char(to, ':');
		}
		write_value(to, f, l->v + i * step + at);
	}
	buf_add_char(to, map ? '}' : ']');
}

// What omitempty leaves out: false, 0, empty text, empty lists; never a struct or a type with a form of its own.
static bool is_empty(const struct field_desc *f, const char *x)
{
	switch (f->type) {
	case FT_BOOL:
		return !*(const bool *)x;
	case FT_INT32:
	case FT_ENUM:
	case FT_UINT32:
		return *(const int32_t *)x == 0;
	case FT_INT64:
	case FT_UINT64:
		return *(const int64_t *)x == 0;
	case FT_DOUBLE:
		return *(const double *)(const void *)x == 0;
	case FT_STRING:
	case FT_BYTES:
		return ((const str *)x)->n == 0;
	case FT_STRINGS:
		return ((const struct str_list *)x)->n == 0;
	default:
		return false;
	}
}

// Whether Go's IsZero method or zero test holds, for omitzero.
static bool is_zero(const struct field_desc *f, const char *x)
{
	if (f->type == FT_MESSAGE)
		return schema_is_zero(&schema_messages[f->message], x);
	if (f->type == FT_TIME || f->type == FT_MICROTIME)
		return !((const struct api_time *)x)->set;
	return is_empty(f, x);
}

// The members of the struct, without braces; inlined ones stand among them.
static void write_fields(struct buf *to, const struct message_desc *m, const char *obj, bool *comma)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct field_desc *f = schema_field(m, i);
		const char *x = obj + f->offset;
		unsigned flags = f->flags;
		if (m->flags & MF_GRPC)
			flags |= FF_OMITEMPTY;
		if (flags & FF_INLINE) {
			write_fields(to, &schema_messages[f->message], x, comma);
			continue;
		}
		if (f->label != FL_ONE) {
			if (flags & (FF_OMITEMPTY | FF_OMITZERO) && ((const struct any_list *)(const void *)x)->n == 0)
				continue;
		} else if (flags & FF_POINTER) {
			x = *(char *const *)x;
			if (!x && flags & (FF_OMITEMPTY | FF_OMITZERO))
				continue;
		} else if ((flags & FF_OMITEMPTY && is_empty(f, x)) || (flags & FF_OMITZERO && is_zero(f, x))) {
			continue;
		}
		if (*comma)
			buf_add_char(to, ',');
		*comma = true;
		write_name(to, schema_text(f->json_name));
		if (f->label != FL_ONE)
			write_list(to, f, (const struct any_list *)(const void *)x);
		else if (x)
			write_value(to, f, x);
		else
			buf_add(to, S("null"));
	}
}

static void write_message(struct buf *to, const struct message_desc *m, const char *obj)
{
	bool comma = false;
	buf_add_char(to, '{');
	write_fields(to, m, obj, &comma);
	buf_add_char(to, '}');
}

void schema_to_json(struct buf *to, const struct message_desc *m, const void *obj)
{
	write_message(to, m, obj);
}

struct value *schema_to_value(struct arena *a, const struct message_desc *m, const void *obj)
{
	_cleanup_buf_ struct buf b = { 0 };
	schema_to_json(&b, m, obj);
	struct error err = { 0 };
	struct value *v = json_parse(a, arena_dup(a, buf_str(&b)), NULL, &err);
	return v ? v : value_null(a);
}
