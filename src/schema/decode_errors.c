// What the JSON decoder says about fields that are unknown, stand twice or are of the wrong type.
#include "schema/decode.h"

#include <stdio.h>

// "spec.containers[0].image": the path from the outside in.
static void put_path(struct buf *to, const struct place *at, bool everything)
{
	const struct place *chain[64];
	size_t n = 0;
	for (; at && n < ARRAY_LEN(chain); at = at->up)
		if (everything || at->field)
			chain[n++] = at;
	while (n--) {
		const struct place *x = chain[n];
		if (!x->field && !x->key.p) {
			buf_printf(to, "[%zu]", x->index);
			continue;
		}
		if (to->n && to->p[to->n - 1] != '"')
			buf_add_char(to, '.');
		buf_add(to, x->field ? schema_text(x->field->json_name) : x->key);
	}
}

void decode_complain(struct reader *r, const char *what, const struct place *at)
{
	if (!r->strict || r->strict->n >= MAX_STRICT)
		return;
	_cleanup_buf_ struct buf b = { 0 };
	buf_printf(&b, "%s field \"", what);
	put_path(&b, at, true);
	buf_add_char(&b, '"');
	for (size_t i = 0; i < r->strict->n; i++)
		if (str_eq(r->strict->v[i], buf_str(&b)))
			return;
	*LIST_ADD(r->a, r->strict) = arena_dup(r->a, buf_str(&b));
}

// "json: cannot unmarshal X into Go struct field Pod.spec.containers of type []v1.Container". The first one counts.
void decode_wrong_type(struct reader *r, str got, const char *type, const struct place *at)
{
	if (r->saved)
		return;
	r->saved = true;
	if (r->fixed)
		at = r->type_place;
	const struct place *inner = at;
	while (inner && !inner->field)
		inner = inner->up;
	if (!inner) {
		error_api(r->err, 400, "BadRequest", "json: cannot unmarshal " STR_FMT " into Go value of type %s",
		          STR_ARG(got), type);
		return;
	}
	_cleanup_buf_ struct buf path = { 0 };
	put_path(&path, inner, false);
	error_api(r->err, 400, "BadRequest",
	          "json: cannot unmarshal " STR_FMT " into Go struct field " STR_FMT "." STR_FMT " of type %s",
	          STR_ARG(got), STR_ARG(schema_text(inner->owner->name)), STR_ARG(buf_str(&path)), type);
}

void decode_go_message(const struct message_desc *m, char *to, size_t size)
{
	str package = schema_text(m->package);
	package = str_from(package, (size_t)(str_rfind_char(package, '.') + 1));
	snprintf(to, size, STR_FMT "." STR_FMT, STR_ARG(package), STR_ARG(schema_text(m->name)));
}

// What Go calls the type of the field (whole) or of its items and values.
void decode_go_type(const struct field_desc *f, bool whole, char *to, size_t size)
{
	str named = schema_text(f->go_type);
	if (named.n && (whole || f->label == FL_ONE)) {
		snprintf(to, size, STR_FMT, STR_ARG(named));
		return;
	}
	if (named.n && str_has_prefix(named, S("[]"))) {
		snprintf(to, size, STR_FMT, STR_ARG(str_from(named, named.p[2] == '*' ? 3 : 2)));
		return;
	}
	ptrdiff_t end = str_find_char(named, ']');
	if (named.n && str_has_prefix(named, S("map[")) && end > 0) {
		snprintf(to, size, STR_FMT, STR_ARG(str_from(named, (size_t)end + 1)));
		return;
	}
	char elem[200];
	switch (f->type) {
	case FT_BOOL:
		snprintf(elem, sizeof(elem), "bool");
		break;
	case FT_INT32:
	case FT_ENUM:
		snprintf(elem, sizeof(elem), "int32");
		break;
	case FT_INT64:
		snprintf(elem, sizeof(elem), "int64");
		break;
	case FT_UINT32:
		snprintf(elem, sizeof(elem), "uint32");
		break;
	case FT_UINT64:
		snprintf(elem, sizeof(elem), "uint64");
		break;
	case FT_DOUBLE:
		snprintf(elem, sizeof(elem), "float64");
		break;
	case FT_BYTES:
		snprintf(elem, sizeof(elem), "[]uint8");
		break;
	case FT_QUANTITY:
		snprintf(elem, sizeof(elem), "resource.Quantity");
		break;
	case FT_TIME:
		snprintf(elem, sizeof(elem), whole && f->label != FL_ONE ? "v1.Time" : "string");
		break;
	case FT_INTORSTRING:
		snprintf(elem, sizeof(elem), "intstr.IntOrString");
		break;
	case FT_RAW:
		snprintf(elem, sizeof(elem), "runtime.RawExtension");
		break;
	case FT_JSON:
		snprintf(elem, sizeof(elem), "v1.JSON");
		break;
	case FT_STRINGS:
		snprintf(elem, sizeof(elem), "v1.ExtraValue");
		break;
	case FT_MESSAGE:
	case FT_SCHEMA_OR_BOOL:
	case FT_SCHEMA_OR_ARRAY:
	case FT_SCHEMA_OR_STRINGS:
		decode_go_message(&schema_messages[f->message], elem, sizeof(elem));
		break;
	default:
		snprintf(elem, sizeof(elem), "string");
	}
	snprintf(to, size, "%s%s",
	         !whole || f->label == FL_ONE ? ""
	         : f->label == FL_LIST        ? "[]"
	                                      : "map[string]",
	         elem);
}
