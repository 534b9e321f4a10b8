// Protobuf: the wire format of the API (gogo's habits, proto2 presence) and of the gRPC contracts (proto3).
//
// API messages: a field that is not a pointer is written even when zero, except lists, maps and nil bytes; lists of numbers are
// not packed; TypeMeta is not in the message. gRPC messages: zero values are left out unless they have presence; lists of
// numbers are packed. Both forms of lists are read. Fields stand in order of their numbers, maps in order of their keys.
#include "schema/codec.h"

#include "schema/gotime.h"
#include "schema/pb_write.h"
#include "schema/quantity.h"

static const struct field_desc *pb_field(const struct message_desc *m, size_t i)
{
	return schema_field(m, schema_pb_order[m->first_pb + i]);
}

// --- Writing ----------------------------------------------------------------------------------------------------------

static void put_fields(struct buf *to, const struct message_desc *m, const char *obj);
static void put_value(struct buf *to, const struct field_desc *f, uint32_t number, const char *x);

static void put_schema_or(struct buf *to, const struct field_desc *f, const char *x)
{
	// The generated message has the same members: it is written like any other, except that upstream's "allows" comes first.
	put_fields(to, &schema_messages[f->message], x);
}

static bool is_scalar(const struct field_desc *f)
{
	return f->type <= FT_DOUBLE || f->type == FT_ENUM;
}

static void put_scalar(struct buf *to, const struct field_desc *f, const char *x)
{
	switch (f->type) {
	case FT_BOOL:
		pb_varint(to, *(const bool *)x);
		break;
	case FT_INT32:
	case FT_ENUM:
		pb_varint(to, (uint64_t)(int64_t) * (const int32_t *)x);
		break;
	case FT_INT64:
	case FT_UINT64:
		pb_varint(to, *(const uint64_t *)x);
		break;
	case FT_UINT32:
		pb_varint(to, *(const uint32_t *)x);
		break;
	default: {
		uint64_t bits;
		memcpy(&bits, x, 8);
		char b[8];
		for (int i = 0; i < 8; i++)
			b[i] = (char)(bits >> 8 * i);
		buf_add(to, str_n(b, 8));
	}
	}
}

static void put_value(struct buf *to, const struct field_desc *f, uint32_t number, const char *x)
{
	if (is_scalar(f)) {
		pb_tag(to, number, f->type == FT_DOUBLE ? WIRE_FIXED64 : WIRE_VARINT);
		put_scalar(to, f, x);
		return;
	}
	if (f->type == FT_STRING || f->type == FT_BYTES) {
		pb_bytes(to, number, *(const str *)x);
		return;
	}
	size_t at = pb_open(to, number);
	switch (f->type) {
	case FT_MESSAGE:
		put_fields(to, &schema_messages[f->message], x);
		break;
	case FT_TIME:
	case FT_MICROTIME: {
		const struct api_time *t = (const void *)x;
		if (t->set) {
			pb_int(to, 1, t->sec);
			pb_int(to, 2, f->type == FT_TIME ? 0 : t->nsec / 1000 * 1000);
		}
		break;
	}
	case FT_DURATION:
		pb_int(to, 1, ((const struct api_duration *)x)->ns);
		break;
	case FT_QUANTITY:
		pb_bytes(to, 1, ((const str *)x)->n ? *(const str *)x : S("0"));
		break;
	case FT_INTORSTRING: {
		const struct int_or_string *v = (const void *)x;
		pb_int(to, 1, v->is_string);
		pb_int(to, 2, v->i);
		pb_bytes(to, 3, v->s);
		break;
	}
	case FT_RAW:
	case FT_FIELDSV1:
	case FT_JSON:
		if (((const str *)x)->p)
			pb_bytes(to, 1, *(const str *)x);
		break;
	case FT_STRINGS: {
		const struct str_list *l = (const void *)x;
		for (size_t i = 0; i < l->n; i++)
			pb_bytes(to, 1, l->v[i]);
		break;
	}
	default:
		put_schema_or(to, f, x);
	}
	pb_close(to, at);
}

// proto3: a plain value that is zero is left out.
static bool left_out(const struct field_desc *f, const char *x)
{
	if (f->type == FT_STRING || f->type == FT_BYTES)
		return ((const str *)x)->n == 0;
	size_t n = schema_field_value_size(f);
	while (n && x[n - 1] == 0)
		n--;
	return n == 0;
}

static void put_list(struct buf *to, const struct message_desc *m, const struct field_desc *f, const struct any_list *l)
{
	size_t size = schema_field_value_size(f);
	if (l->n && m->flags & MF_GRPC && is_scalar(f)) {
		size_t at = pb_open(to, f->number);
		for (size_t i = 0; i < l->n; i++)
			put_scalar(to, f, l->v + i * size);
		pb_close(to, at);
		return;
	}
	for (size_t i = 0; i < l->n; i++)
		put_value(to, f, f->number, l->v + i * size);
}

static void put_map(struct buf *to, const struct field_desc *f, const struct any_list *l)
{
	size_t step = schema_field_entry_size(f), value = schema_field_entry_value(f);
	for (size_t i = 0; i < l->n; i++) {
		const char *entry = l->v + i * step;
		size_t at = pb_open(to, f->number);
		pb_bytes(to, 1, *(const str *)entry);
		if (f->type != FT_BYTES || ((const str *)(entry + value))->p)
			put_value(to, f, 2, entry + value);
		pb_close(to, at);
	}
}

static void put_fields(struct buf *to, const struct message_desc *m, const char *obj)
{
	for (size_t i = 0; i < m->npb; i++) {
		const struct field_desc *f = pb_field(m, i);
		const char *x = obj + f->offset;
		if (f->label == FL_LIST) {
			put_list(to, m, f, (const struct any_list *)(const void *)x);
		} else if (f->label == FL_MAP) {
			put_map(to, f, (const struct any_list *)(const void *)x);
		} else if (f->flags & FF_POINTER) {
			if (*(char *const *)x)
				put_value(to, f, f->number, *(char *const *)x);
		} else if (m->flags & MF_GRPC ? !left_out(f, x) : f->type != FT_BYTES || ((const str *)x)->p) {
			put_value(to, f, f->number, x);
		}
	}
}

void schema_to_pb(struct buf *to, const struct message_desc *m, const void *obj)
{
	put_fields(to, m, obj);
}

void schema_wrap_pb(struct buf *to, str api_version, str kind, str raw)
{
	buf_add(to, str_n("k8s\0", 4));
	size_t at = pb_open(to, 1);
	pb_bytes(to, 1, api_version);
	pb_bytes(to, 2, kind);
	pb_close(to, at);
	pb_bytes(to, 2, raw);
	pb_bytes(to, 3, S(""));
	pb_bytes(to, 4, S(""));
}

// --- Reading ----------------------------------------------------------------------------------------------------------

struct in {
	const unsigned char *p, *end;
	struct arena *a;
	struct error *err;
	int depth;
};

// Reads these bytes. (No arithmetic on NULL, which an empty slice may hold.)
static void over(struct in *in, str bytes)
{
	in->p = (const unsigned char *)(bytes.p ? bytes.p : "");
	in->end = in->p + bytes.n;
}

static bool bad(struct in *in, const char *what)
{
	return error_api(in->err, 400, "BadRequest", "proto: %s", what);
}

static bool get_varint(struct in *in, uint64_t *out)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		if (in->p == in->end)
			return bad(in, "unexpected EOF");
		unsigned char b = *in->p++;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (b < 0x80) {
			*out = v;
			return true;
		}
	}
	return bad(in, "integer overflow");
}

static bool get_bytes(struct in *in, str *out)
{
	uint64_t n = 0;
	if (!get_varint(in, &n))
		return false;
	if (n > (uint64_t)(in->end - in->p))
		return bad(in, "unexpected EOF");
	*out = str_n((const char *)in->p, (size_t)n);
	in->p += n;
	return true;
}

static bool skip_field(struct in *in, unsigned wire)
{
	uint64_t v = 0;
	str s;
	switch (wire) {
	case WIRE_VARINT:
		return get_varint(in, &v);
	case WIRE_BYTES:
		return get_bytes(in, &s);
	case WIRE_FIXED64:
	case WIRE_FIXED32: {
		size_t n = wire == WIRE_FIXED64 ? 8 : 4;
		if ((size_t)(in->end - in->p) < n)
			return bad(in, "unexpected EOF");
		in->p += n;
		return true;
	}
	default:
		return bad(in, "illegal wire type"); // groups are not used by any of these contracts
	}
}

static bool get_tag(struct in *in, uint32_t *number, unsigned *wire)
{
	uint64_t v = 0;
	if (!get_varint(in, &v))
		return false;
	if (v >> 3 == 0 || v >> 3 > 0x1fffffff)
		return bad(in, "illegal tag");
	*number = (uint32_t)(v >> 3);
	*wire = v & 7;
	return true;
}

// What stands in the small messages of types with a form of their own.
struct small {
	uint64_t n[4]; // numbers by field
	str s[4];      // text by field
	bool has[4];
};

static bool get_small(struct in *in, str bytes, struct small *out)
{
	struct in x = *in;
	over(&x, bytes);
	*out = (struct small){ 0 };
	while (x.p < x.end) {
		uint32_t number = 0;
		unsigned wire = 0;
		if (!get_tag(&x, &number, &wire))
			return false;
		if (number < 4 && wire == WIRE_VARINT) {
			if (!get_varint(&x, &out->n[number]))
				return false;
		} else if (number < 4 && wire == WIRE_BYTES) {
			if (!get_bytes(&x, &out->s[number]))
				return false;
			out->has[number] = true;
		} else if (!skip_field(&x, wire)) {
			return false;
		}
	}
	return true;
}

static bool get_fields(struct in *in, const struct message_desc *m, str bytes, char *to);

static bool get_scalar(struct in *in, const struct field_desc *f, char *to)
{
	if (f->type == FT_DOUBLE) {
		if (in->end - in->p < 8)
			return bad(in, "unexpected EOF");
		uint64_t bits = 0;
		for (int i = 7; i >= 0; i--)
			bits = bits << 8 | in->p[i];
		in->p += 8;
		memcpy(to, &bits, 8);
		return true;
	}
	uint64_t v = 0;
	if (!get_varint(in, &v))
		return false;
	switch (f->type) {
	case FT_BOOL:
		*(bool *)to = v != 0;
		break;
	case FT_INT64:
	case FT_UINT64:
		*(uint64_t *)to = v;
		break;
	default:
		*(uint32_t *)to = (uint32_t)v;
	}
	return true;
}

static bool get_text(struct in *in, str s, str *out)
{
	// Text is kept well-formed everywhere, as JSON needs it.
	if (!str_utf8_valid(s))
		return bad(in, "invalid UTF-8");
	*out = s.n ? s : S("");
	return true;
}

static bool get_strings(struct in *in, str bytes, struct str_list *to)
{
	struct in x = *in;
	over(&x, bytes);
	while (x.p < x.end) {
		uint32_t number = 0;
		unsigned wire = 0;
		str s;
		if (!get_tag(&x, &number, &wire))
			return false;
		if (number != 1 || wire != WIRE_BYTES) {
			if (!skip_field(&x, wire))
				return false;
		} else if (!get_bytes(&x, &s) || !get_text(&x, s, LIST_ADD(in->a, to))) {
			return false;
		}
	}
	return true;
}

// A value of any type but a number.
static bool get_delimited(struct in *in, const struct field_desc *f, str bytes, char *to)
{
	struct small s;
	switch (f->type) {
	case FT_STRING:
		return get_text(in, bytes, (str *)to);
	case FT_BYTES:
		*(str *)to = bytes.n ? bytes : S("");
		return true;
	case FT_MESSAGE:
	case FT_SCHEMA_OR_BOOL:
	case FT_SCHEMA_OR_ARRAY:
	case FT_SCHEMA_OR_STRINGS:
		return get_fields(in, &schema_messages[f->message], bytes, to);
	case FT_STRINGS:
		return get_strings(in, bytes, (struct str_list *)to);
	default:
		break;
	}
	if (!get_small(in, bytes, &s))
		return false;
	switch (f->type) {
	case FT_TIME:
		*(struct api_time *)to = (struct api_time){ (int64_t)s.n[1], 0, bytes.n > 0 };
		break;
	case FT_MICROTIME:
		if (s.n[2] > 999999999)
			return bad(in, "nanoseconds out of range");
		*(struct api_time *)to =
		        (struct api_time){ (int64_t)s.n[1], (int32_t)s.n[2] / 1000 * 1000, bytes.n > 0 };
		break;
	case FT_DURATION:
		((struct api_duration *)to)->ns = (int64_t)s.n[1];
		break;
	case FT_QUANTITY:
		*(struct quantity *)to = (struct quantity){ 0 };
		if (s.has[1])
			return quantity_canonical(in->a, s.s[1], (struct quantity *)to, in->err);
		break;
	case FT_INTORSTRING: {
		struct int_or_string v = { s.n[1] == 1, (int32_t)s.n[2], { 0 } };
		if (!get_text(in, s.s[3], &v.s))
			return false;
		*(struct int_or_string *)to = v;
		break;
	}
	default:
		// Raw JSON leaves as it came in, so it has to be JSON.
		if (s.s[1].n && !(str_utf8_valid(s.s[1]) && scan_is_json(s.s[1])))
			return bad(in, "raw value is not JSON");
		*(str *)to = s.s[1].n ? s.s[1] : s.has[1] ? S("") : (str){ 0 };
	}
	return true;
}

static bool get_value(struct in *in, const struct field_desc *f, unsigned wire, char *to)
{
	if (is_scalar(f)) {
		if (wire != (f->type == FT_DOUBLE ? WIRE_FIXED64 : WIRE_VARINT))
			return bad(in, "wrong wireType for a field");
		return get_scalar(in, f, to);
	}
	str bytes;
	if (wire != WIRE_BYTES)
		return bad(in, "wrong wireType for a field");
	return get_bytes(in, &bytes) && get_delimited(in, f, bytes, to);
}

static bool get_packed(struct in *in, const struct field_desc *f, struct any_list *to)
{
	str bytes;
	if (!get_bytes(in, &bytes))
		return false;
	struct in x = *in;
	over(&x, bytes);
	while (x.p < x.end)
		if (!get_scalar(&x, f, list_add_raw(in->a, (void **)&to->v, &to->n, schema_field_value_size(f))))
			return false;
	return true;
}

static bool get_entry(struct in *in, const struct field_desc *f, unsigned wire, struct any_list *to)
{
	str bytes;
	if (wire != WIRE_BYTES)
		return bad(in, "wrong wireType for a field");
	if (!get_bytes(in, &bytes))
		return false;
	struct in x = *in;
	over(&x, bytes);
	size_t step = schema_field_entry_size(f);
	char *entry = list_add_raw(in->a, (void **)&to->v, &to->n, step);
	*(str *)entry = S("");
	if (f->type == FT_STRING || f->type == FT_BYTES)
		*(str *)(entry + schema_field_entry_value(f)) = S("");
	while (x.p < x.end) {
		uint32_t number = 0;
		unsigned w = 0;
		str key;
		if (!get_tag(&x, &number, &w))
			return false;
		if (number == 1 && w == WIRE_BYTES) {
			if (!get_bytes(&x, &key) || !get_text(&x, key, (str *)entry))
				return false;
		} else if (number == 2) {
			if (!get_value(&x, f, w, entry + schema_field_entry_value(f)))
				return false;
		} else if (!skip_field(&x, w)) {
			return false;
		}
	}
	return true;
}

static const struct field_desc *field_by_number(const struct message_desc *m, uint32_t number, size_t *hint)
{
	// Fields mostly come in order, so the next one is tried first.
	if (*hint < m->npb && pb_field(m, *hint)->number == number)
		return pb_field(m, *hint);
	size_t lo = 0, hi = m->npb;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (pb_field(m, mid)->number < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == m->npb || pb_field(m, lo)->number != number)
		return NULL;
	*hint = lo;
	return pb_field(m, lo);
}

static bool get_fields(struct in *in, const struct message_desc *m, str bytes, char *to)
{
	if (in->depth == 100)
		return bad(in, "exceeded max depth");
	struct in x = *in;
	x.depth++;
	over(&x, bytes);
	size_t hint = 0;
	while (x.p < x.end) {
		uint32_t number = 0;
		unsigned wire = 0;
		if (!get_tag(&x, &number, &wire))
			return false;
		const struct field_desc *f = field_by_number(m, number, &hint);
		if (!f) {
			if (!skip_field(&x, wire))
				return false;
			continue;
		}
		char *at = to + f->offset;
		bool ok;
		if (f->label == FL_MAP) {
			ok = get_entry(&x, f, wire, (struct any_list *)at);
		} else if (f->label == FL_LIST && is_scalar(f) && wire == WIRE_BYTES) {
			ok = get_packed(&x, f, (struct any_list *)at);
		} else {
			if (f->label == FL_LIST) {
				struct any_list *l = (struct any_list *)at;
				at = list_add_raw(x.a, (void **)&l->v, &l->n, schema_field_value_size(f));
			} else {
				hint++;
				if (f->oneof) // the last one of a oneof wins
					for (size_t i = 0; i < m->n; i++)
						if (schema_field(m, i)->oneof == f->oneof && schema_field(m, i) != f)
							*(void **)(to + schema_field(m, i)->offset) = NULL;
				if (f->flags & FF_POINTER) {
					if (!*(void **)at)
						*(void **)at = arena_alloc(x.a, schema_field_value_size(f));
					at = *(char **)at;
				}
			}
			ok = get_value(&x, f, wire, at);
		}
		if (!ok)
			return false;
	}
	// Maps are kept in order of their keys; of equal keys the last wins.
	for (size_t i = 0; i < m->npb; i++) {
		const struct field_desc *f = pb_field(m, i);
		if (f->label == FL_MAP)
			schema_map_settle(x.a, (struct any_list *)(to + f->offset), schema_field_entry_size(f));
	}
	return true;
}

void *schema_from_pb(struct arena *a, const struct message_desc *m, str bytes, struct error *err)
{
	struct in in = { .a = a, .err = err };
	void *obj = schema_new(a, m);
	return get_fields(&in, m, bytes, obj) ? obj : NULL;
}

bool schema_unwrap_pb(str bytes, str *api_version, str *kind, str *raw, struct error *err)
{
	struct in in = { .err = err };
	struct small outer, type;
	*api_version = *kind = *raw = S("");
	if (!str_cut_prefix(&bytes, str_n("k8s\0", 4)))
		return error_api(
		        err, 400, "BadRequest",
		        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
	if (!get_small(&in, bytes, &outer) || !get_small(&in, outer.s[1], &type))
		return false;
	*api_version = type.s[1];
	*kind = type.s[2];
	*raw = outer.s[2];
	return true;
}
