// JSON bytes -> C structs, in one pass, guided by descriptors.
//
// Behaviour and words are those of sigs.k8s.io/json (Go's encoding/json, case-sensitive): a value of the wrong type is
// skipped and the first such error is reported at the end; a type with a form of its own (Time, Quantity, ...) that
// cannot be read ends the pass at once; null leaves a plain value alone; strict complaints are collected in the order of the
// document. A malformed document is given to json_parse, whose messages are Go's.
#include "schema/decode.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/encode.h"
#include "schema/gotime.h"
#include "schema/quantity.h"

// --- Tokens -----------------------------------------------------------------------------------------------------------

static bool malformed(struct reader *r)
{
	r->malformed = true;
	return false;
}

static inline char peek(struct reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\t' || *r->p == '\r'))
		r->p++;
	return r->p < r->end ? *r->p : 0;
}

static bool skip(struct reader *r)
{
	return scan_value(&r->p, r->end) || malformed(r);
}

// A string token. Without escapes and with good UTF-8 it stays where it is.
static bool read_string(struct reader *r, str *out)
{
	const char *first = r->p + 1, *p = first;
	unsigned char high = 0;
	while (p < r->end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
		high |= (unsigned char)*p++;
	if (p < r->end && *p == '"') {
		*out = str_n(first, (size_t)(p - first));
		r->p = p + 1;
		if (high < 0x80 || str_utf8_valid(*out))
			return true;
	} else if (!scan_string(&r->p, r->end)) {
		return malformed(r);
	}
	*out = scan_unescape(r->a, first, r->p - 1);
	return true;
}

// --- Values that do not fit ---

// The value at hand does not fit: says so (once) and skips it.
static bool wrong_type(struct reader *r, const struct field_desc *f, bool whole, const struct place *at)
{
	const char *got = "number";
	switch (*r->p) {
	case '{':
		got = "object";
		break;
	case '[':
		got = "array";
		break;
	case '"':
		got = "string";
		break;
	case 't':
	case 'f':
		got = "bool";
		break;
	default:
		break;
	}
	char type[256];
	decode_go_type(f, whole, type, sizeof(type));
	if (!skip(r))
		return false;
	decode_wrong_type(r, str_c(got), type, at);
	return true;
}

// --- Values -------------------------------------------------------------------------------------------------------------

static bool read_message(struct reader *r, const struct message_desc *m, char *to, const struct place *at);

static bool read_integer(struct reader *r, const struct field_desc *f, char *to, const struct place *at)
{
	if (*r->p != '-' && (*r->p < '0' || *r->p > '9'))
		return wrong_type(r, f, false, at);
	const char *first = r->p;
	if (!scan_number(&r->p, r->end))
		return malformed(r);
	str text = str_n(first, (size_t)(r->p - first));
	int64_t v = 0;
	uint64_t u = 0;
	bool ok = f->type == FT_UINT64 || f->type == FT_UINT32 ? str_to_u64(text, &u) : str_to_i64(text, &v);
	if (f->type == FT_INT32 || f->type == FT_ENUM)
		ok = ok && v >= INT32_MIN && v <= INT32_MAX;
	if (f->type == FT_UINT32)
		ok = ok && u <= UINT32_MAX;
	if (!ok) {
		char type[256], got[80];
		decode_go_type(f, false, type, sizeof(type));
		snprintf(got, sizeof(got), "number " STR_FMT, STR_ARG(str_sub(text, 0, 60)));
		decode_wrong_type(r, str_c(got), f->type == FT_INTORSTRING ? "int32" : type, at);
		return true;
	}
	switch (f->type) {
	case FT_INT64:
		*(int64_t *)to = v;
		break;
	case FT_UINT64:
		*(uint64_t *)to = u;
		break;
	case FT_UINT32:
		*(uint32_t *)to = (uint32_t)u;
		break;
	default:
		*(int32_t *)to = (int32_t)v;
	}
	return true;
}

static bool read_double(struct reader *r, const struct field_desc *f, double *to, const struct place *at)
{
	if (*r->p != '-' && (*r->p < '0' || *r->p > '9'))
		return wrong_type(r, f, false, at);
	const char *first = r->p;
	if (!scan_number(&r->p, r->end))
		return malformed(r);
	size_t n = (size_t)(r->p - first);
	char text[400];
	if (n < sizeof(text)) {
		memcpy(text, first, n);
		text[n] = 0;
		double d = strtod(text, NULL);
		if (d - d == 0) {
			*to = d;
			return true;
		}
	}
	char got[80];
	snprintf(got, sizeof(got), "number " STR_FMT, STR_ARG(str_sub(str_n(first, n), 0, 60)));
	decode_wrong_type(r, str_c(got), "float64", at);
	return true;
}

// Where Go's decoder says that standard base64 goes wrong.
static size_t base64_bad_byte(str s)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t i = 0;
	for (;;) {
		int j = 0;
		while (j < 4) {
			if (i == s.n)
				return j == 0 ? s.n : i - (size_t)j;
			char c = s.p[i++];
			if (c == '\n' || c == '\r')
				continue;
			if (c != '=' && memchr(alphabet, c, 64)) {
				j++;
				continue;
			}
			if (c != '=' || j < 2)
				return i - 1;
			while (i < s.n && (s.p[i] == '\n' || s.p[i] == '\r'))
				i++;
			if (j == 2) {
				if (i == s.n)
					return s.n;
				if (s.p[i] != '=')
					return i - 1;
				i++;
			}
			while (i < s.n && (s.p[i] == '\n' || s.p[i] == '\r'))
				i++;
			return i;
		}
	}
}

static bool read_bytes(struct reader *r, const struct field_desc *f, str *to, const struct place *at)
{
	if (*r->p != '"')
		return wrong_type(r, f, false, at);
	str text, bytes;
	if (!read_string(r, &text))
		return false;
	if (!base64_decode(r->a, text, &bytes)) {
		if (!r->saved)
			error_api(r->err, 400, "BadRequest", "illegal base64 data at input byte %zu",
			          base64_bad_byte(text));
		r->saved = true;
		return true;
	}
	*to = bytes.n ? bytes : S("");
	return true;
}

// The text of a type that stands as a string in JSON. *done is set when the value was something else (an error is saved).
static bool read_own_text(struct reader *r, const char *type, str *text, const struct place *at)
{
	if (*r->p == '"')
		return read_string(r, text);
	char first = *r->p;
	if (!skip(r))
		return false;
	r->saved = false; // ends the pass: comes before a type error that was put aside
	decode_wrong_type(r,
	                  first == '{'                   ? S("object")
	                  : first == '['                 ? S("array")
	                  : first == 't' || first == 'f' ? S("bool")
	                                                 : S("number"),
	                  type, at);
	return false;
}

static bool read_time(struct reader *r, bool micro, struct api_time *to, const struct place *at)
{
	str text;
	return read_own_text(r, "string", &text, at) && api_time_parse(text, micro, to, r->err);
}

static bool read_duration(struct reader *r, struct api_duration *to, const struct place *at)
{
	str text;
	return read_own_text(r, "string", &text, at) && duration_parse(text, &to->ns, r->err);
}

static bool read_quantity(struct reader *r, struct quantity *to)
{
	const char *first = r->p;
	if (!skip(r))
		return false;
	str text = str_n(first, (size_t)(r->p - first));
	if (text.p[0] == '"')
		text = str_sub(text, 1, text.n - 1);
	if (quantity_canonical(r->a, str_trim(text), to, r->err))
		return true;
	r->err->code = 400;
	r->err->reason = "BadRequest";
	return false;
}

static bool read_int_or_string(struct reader *r, struct int_or_string *to, const struct place *at)
{
	if (*r->p == '"') {
		*to = (struct int_or_string){ .is_string = true };
		return read_string(r, &to->s);
	}
	const char *first = r->p;
	if (*first != '-' && (*first < '0' || *first > '9')) {
		str text;
		return read_own_text(r, "int32", &text, at);
	}
	if (!scan_number(&r->p, r->end))
		return malformed(r);
	str text = str_n(first, (size_t)(r->p - first));
	int64_t v;
	if (!str_to_i64(text, &v) || v < INT32_MIN || v > INT32_MAX) {
		char got[80];
		snprintf(got, sizeof(got), "number " STR_FMT, STR_ARG(str_sub(text, 0, 60)));
		r->saved = false;
		decode_wrong_type(r, str_c(got), "int32", at);
		return false;
	}
	*to = (struct int_or_string){ .i = (int32_t)v };
	return true;
}

// The raw text of the value, without white space: so that raw values of two writers compare equal.
static bool read_raw(struct reader *r, str *to)
{
	const char *first = r->p;
	if (!skip(r))
		return false;
	*to = str_n(first, (size_t)(r->p - first));
	bool in_string = false;
	for (size_t i = 0; i < to->n; i++) {
		char c = to->p[i];
		if (c == '"')
			in_string = !in_string;
		else if (c == '\\')
			i++;
		else if (!in_string && (c == ' ' || c == '\n' || c == '\t' || c == '\r')) {
			_cleanup_buf_ struct buf b = { 0 };
			scan_compact(&b, *to, false);
			*to = arena_dup(r->a, buf_str(&b));
			break;
		}
	}
	return true;
}

static bool read_list(struct reader *r, const struct field_desc *f, bool strings, struct any_list *to,
                      const struct place *at);

// Types that are read by a decoder of their own upstream: it knows nothing of strictness, and its errors carry the place of
// the whole value and end the pass.
static bool read_schema_or(struct reader *r, const struct field_desc *f, char *to, const struct place *at)
{
	const struct message_desc *m = &schema_messages[f->message], *props = NULL;
	const struct field_desc *items = NULL;
	for (size_t i = 0; i < m->n; i++) {
		const struct field_desc *x = schema_field(m, i);
		if (x->label == FL_LIST)
			items = x;
		else if (x->type == FT_MESSAGE)
			props = schema_field_message(x);
	}
	struct reader outer = *r;
	if (!r->fixed)
		r->type_place = at;
	r->fixed = true;
	r->strict = NULL;
	r->saved = false;
	bool ok = true;
	memset(to, 0, schema_field_value_size(f));
	char c = *r->p;
	if (c == '{') {
		void *props_at = arena_alloc(r->a, props->size);
		if (f->type == FT_SCHEMA_OR_BOOL)
			*(struct or_bool *)to = (struct or_bool){ true, props_at };
		else
			*(void **)to = props_at;
		ok = read_message(r, props, props_at, at);
	} else if (f->type == FT_SCHEMA_OR_BOOL) {
		if (c == 't' || c == 'f') {
			((struct or_bool *)to)->allows = c == 't';
			ok = skip(r);
		} else {
			ok = skip(r) && error_api(r->err, 400, "BadRequest", "boolean or JSON schema expected");
		}
	} else if (c == '[' && (r->end - r->p > 1)) {
		struct any_list *list = f->type == FT_SCHEMA_OR_ARRAY
		                                ? &((struct or_array *)to)->items
		                                : (struct any_list *)&((struct or_strings *)to)->property;
		ok = read_list(r, items, false, list, at);
	} else {
		ok = skip(r);
	}
	bool failed = r->saved;
	r->strict = outer.strict;
	r->fixed = outer.fixed;
	r->type_place = outer.type_place;
	r->saved = outer.saved;
	return ok && !failed;
}

static bool read_value(struct reader *r, const struct field_desc *f, char *to, const struct place *at)
{
	char c = *r->p;
	switch (f->type) {
	case FT_BOOL:
		if (c != 't' && c != 'f')
			return wrong_type(r, f, false, at);
		*(bool *)to = c == 't';
		return (c == 't' ? scan_word(&r->p, r->end, "true", 4) : scan_word(&r->p, r->end, "false", 5)) ||
		       malformed(r);
	case FT_STRING:
		return c == '"' ? read_string(r, (str *)to) : wrong_type(r, f, false, at);
	case FT_DOUBLE:
		return read_double(r, f, (double *)(void *)to, at);
	case FT_BYTES:
		return read_bytes(r, f, (str *)to, at);
	case FT_MESSAGE:
		return c == '{' ? read_message(r, &schema_messages[f->message], to, at) : wrong_type(r, f, false, at);
	case FT_TIME:
	case FT_MICROTIME:
		return read_time(r, f->type == FT_MICROTIME, (struct api_time *)to, at);
	case FT_DURATION:
		return read_duration(r, (struct api_duration *)to, at);
	case FT_QUANTITY:
		return read_quantity(r, (struct quantity *)to);
	case FT_INTORSTRING:
		return read_int_or_string(r, (struct int_or_string *)to, at);
	case FT_RAW:
	case FT_FIELDSV1:
	case FT_JSON:
		return read_raw(r, (str *)to);
	case FT_STRINGS:
		return c == '[' ? read_list(r, f, true, (struct any_list *)to, at) : wrong_type(r, f, false, at);
	case FT_SCHEMA_OR_BOOL:
	case FT_SCHEMA_OR_ARRAY:
	case FT_SCHEMA_OR_STRINGS:
		return read_schema_or(r, f, to, at);
	default:
		return read_integer(r, f, to, at);
	}
}

// null: lists, maps and types with a form of their own become zero, other plain values stay as they are.
static bool read_null(struct reader *r, const struct field_desc *f, bool strings, char *to)
{
	if (!scan_word(&r->p, r->end, "null", 4))
		return malformed(r);
	if (strings)
		return true;
	switch (f->type) {
	case FT_BYTES:
	case FT_STRINGS:
	case FT_TIME:
	case FT_MICROTIME:
	case FT_QUANTITY:
		memset(to, 0, schema_field_value_size(f));
		return true;
	default:
		return true;
	}
}

// The items of an array. `strings`: f is of type FT_STRINGS and its items are text.
static bool read_list(struct reader *r, const struct field_desc *f, bool strings, struct any_list *to,
                      const struct place *at)
{
	size_t size = strings ? sizeof(str) : schema_field_value_size(f);
	struct any_list list = { 0 };
	r->p++;
	char c = peek(r);
	while (c != ']') {
		if (!c)
			return malformed(r);
		char *item = list_add_raw(r->a, (void **)&list.v, &list.n, size);
		struct place here = { .up = at, .index = list.n - 1 };
		bool ok;
		if (c == 'n')
			ok = read_null(r, f, strings, item);
		else if (strings && c == '"')
			ok = read_string(r, (str *)item);
		else if (strings)
			ok = skip(r) && (decode_wrong_type(r,
			                                   c == '{'               ? S("object")
			                                   : c == '['             ? S("array")
			                                   : c == 't' || c == 'f' ? S("bool")
			                                                          : S("number"),
			                                   "string", &here),
			                 true);
		else
			ok = read_value(r, f, item, &here);
		if (!ok)
			return false;
		c = peek(r);
		if (c == ',') {
			r->p++;
			c = peek(r);
			if (c == ']')
				return malformed(r);
		} else if (c != ']') {
			return malformed(r);
		}
	}
	r->p++;
	if (!list.v)
		list.v = arena_alloc(r->a, size); // empty, but not nil
	*to = list;
	return true;
}

struct key_at {
	str key;
	size_t index;
};

static int key_at_cmp(const void *x, const void *y)
{
	const struct key_at *a = x, *b = y;
	int c = str_cmp(a->key, b->key);
	return c ? c : a->index < b->index ? -1 : a->index > b->index;
}

static int size_cmp(const void *x, const void *y)
{
	size_t a = *(const size_t *)x, b = *(const size_t *)y;
	return a < b ? -1 : a > b;
}

// Names the keys that stand twice, in the order in which they are met again.
static void complain_duplicates(struct reader *r, const struct any_list *list, size_t step, const struct place *at)
{
	struct key_at *keys = ARENA_ARRAY(r->a, struct key_at, list->n);
	size_t *again = ARENA_ARRAY(r->a, size_t, list->n), n = 0;
	for (size_t i = 0; i < list->n; i++)
		keys[i] = (struct key_at){ *(str *)(list->v + i * step), i };
	qsort(keys, list->n, sizeof(*keys), key_at_cmp);
	for (size_t i = 1; i < list->n; i++)
		if (str_eq(keys[i].key, keys[i - 1].key))
			again[n++] = keys[i].index;
	qsort(again, n, sizeof(*again), size_cmp);
	for (size_t i = 0; i < n && r->strict->n < MAX_STRICT; i++) {
		str key = *(str *)(list->v + again[i] * step);
		struct place here = { .up = at, .key = key.p ? key : S("") };
		decode_complain(r, "duplicate", &here);
	}
}

static bool read_map(struct reader *r, const struct field_desc *f, struct any_list *to, const struct place *at)
{
	size_t step = schema_field_entry_size(f), value = schema_field_entry_value(f);
	struct any_list list = { 0 };
	bool sorted = true;
	r->p++;
	char c = peek(r);
	while (c != '}') {
		str key;
		if (c != '"')
			return malformed(r);
		if (!read_string(r, &key))
			return false;
		if (peek(r) != ':')
			return malformed(r);
		r->p++;
		c = peek(r);
		if (!c)
			return malformed(r);
		struct place here = { .up = at, .key = key.p ? key : S("") };
		char *entry = list_add_raw(r->a, (void **)&list.v, &list.n, step);
		if (list.n > 1 && str_cmp(*(str *)(entry - step), key) >= 0)
			sorted = false;
		*(str *)entry = key;
		if (!(c == 'n' ? read_null(r, f, false, entry + value) : read_value(r, f, entry + value, &here)))
			return false;
		c = peek(r);
		if (c == ',') {
			r->p++;
			c = peek(r);
			if (c == '}')
				return malformed(r);
		} else if (c != '}') {
			return malformed(r);
		}
	}
	r->p++;
	if (!list.v)
		list.v = arena_alloc(r->a, step);
	if (!sorted) {
		if (r->strict)
			complain_duplicates(r, &list, step, at);
		schema_map_settle(r->a, &list, step);
	}
	// A second map of the same name adds to the first, as in Go.
	if (to->n) {
		for (size_t i = 0; i < list.n; i++)
			memcpy(list_add_raw(r->a, (void **)&to->v, &to->n, step), list.v + i * step, step);
		schema_map_settle(r->a, to, step);
	} else {
		*to = list;
	}
	return true;
}

static bool read_field(struct reader *r, const struct field_desc *f, char *to, const struct place *at)
{
	char c = peek(r);
	if (f->label == FL_LIST || f->label == FL_MAP) {
		if (c == 'n') {
			*(struct any_list *)to = (struct any_list){ 0 };
			return scan_word(&r->p, r->end, "null", 4) || malformed(r);
		}
		if (c != (f->label == FL_LIST ? '[' : '{'))
			return wrong_type(r, f, true, at);
		return f->label == FL_LIST ? read_list(r, f, false, (struct any_list *)to, at)
		                           : read_map(r, f, (struct any_list *)to, at);
	}
	if (f->flags & FF_POINTER) {
		if (c == 'n') {
			*(void **)to = NULL;
			return scan_word(&r->p, r->end, "null", 4) || malformed(r);
		}
		if (!*(void **)to)
			*(void **)to = arena_alloc(r->a, schema_field_value_size(f));
		return read_value(r, f, *(char **)to, at);
	}
	return c == 'n' ? read_null(r, f, false, to) : read_value(r, f, to, at);
}

static bool read_members(struct reader *r, const struct message_desc *m, char *to, const struct place *at)
{
	uint64_t seen[4] = {
		0
	}; // by entry of the name table; tools/schemac.py refuses messages with more than 256 names
	r->p++;
	char c = peek(r);
	while (c != '}') {
		str key;
		if (c != '"')
			return malformed(r);
		if (!read_string(r, &key))
			return false;
		if (peek(r) != ':')
			return malformed(r);
		r->p++;
		if (!peek(r))
			return malformed(r);
		const struct name_entry *e = schema_name(m, key);
		if (!e) {
			struct place here = { .up = at, .key = key.p ? key : S("") };
			decode_complain(r, "unknown", &here);
			if (!skip(r))
				return false;
		} else {
			const struct field_desc *f = &schema_fields[e->field];
			struct place here = { .up = at, .owner = m, .field = f };
			size_t bit = (size_t)(e - &schema_names[m->first_name]);
			if (seen[bit / 64] >> bit % 64 & 1)
				decode_complain(r, "duplicate", &here);
			seen[bit / 64] |= UINT64_C(1) << bit % 64;
			if (!read_field(r, f, to + e->base + f->offset, &here))
				return false;
		}
		c = peek(r);
		if (c == ',') {
			r->p++;
			c = peek(r);
			if (c == '}')
				return malformed(r);
		} else if (c != '}') {
			return malformed(r);
		}
	}
	r->p++;
	return true;
}

static bool read_message(struct reader *r, const struct message_desc *m, char *to, const struct place *at)
{
	if (r->depth == SCHEMA_MAX_DEPTH)
		return error_api(r->err, 400, "BadRequest", "exceeded max depth");
	r->depth++;
	bool ok = read_members(r, m, to, at);
	r->depth--;
	return ok;
}

void *schema_from_json(struct arena *a, const struct message_desc *m, str json, const struct decode_opts *o,
                       struct error *err)
{
	if (!json.p)
		json = S("");
	struct reader r = { .a = a, .p = json.p, .end = json.p + json.n, .strict = o ? o->strict : NULL, .err = err };
	void *obj = schema_new(a, m);
	bool ok;
	char c = peek(&r);
	if (c == '{') {
		ok = read_message(&r, m, obj, NULL);
	} else if (c == 'n') {
		ok = scan_word(&r.p, r.end, "null", 4) || malformed(&r);
	} else if (c == 0) {
		ok = malformed(&r);
	} else {
		ok = skip(&r);
		if (ok) {
			char type[256];
			decode_go_message(m, type, sizeof(type));
			decode_wrong_type(&r,
			                  c == '['               ? S("array")
			                  : c == '"'             ? S("string")
			                  : c == 't' || c == 'f' ? S("bool")
			                                         : S("number"),
			                  type, NULL);
		}
	}
	if (ok && (peek(&r) || r.p != r.end))
		ok = malformed(&r);
	if (!ok) {
		// Go checks the whole document first, so a syntax error anywhere comes before any other.
		struct error syntax = { 0 };
		struct arena *scratch = arena_new(0);
		bool parses = json_parse(scratch, json, NULL, &syntax) != NULL;
		arena_free(scratch);
		if (!parses)
			*err = syntax;
		else if (r.malformed)
			error_api(err, 400, "BadRequest", "invalid JSON");
		return NULL;
	}
	return r.saved ? NULL : obj;
}

void *schema_from_value(struct arena *a, const struct message_desc *m, const struct value *v,
                        const struct decode_opts *o, struct error *err)
{
	return schema_from_json(a, m, json_text(a, v, 0), o, err);
}
