// Field errors and the 422 that is made of them. Rule: apimachinery util/validation/field.
#include "apiserver/request.h"

#include "base/map.h"
#include "object/names.h"

static const struct { const char *reason, *text; } types[] = {
	[FE_NOT_FOUND] = { "FieldValueNotFound", "Not found" },
	[FE_REQUIRED] = { "FieldValueRequired", "Required value" },
	[FE_DUPLICATE] = { "FieldValueDuplicate", "Duplicate value" },
	[FE_INVALID] = { "FieldValueInvalid", "Invalid value" },
	[FE_NOT_SUPPORTED] = { "FieldValueNotSupported", "Unsupported value" },
	[FE_FORBIDDEN] = { "FieldValueForbidden", "Forbidden" },
	[FE_TOO_LONG] = { "FieldValueTooLong", "Too long" },
	[FE_TOO_MANY] = { "FieldValueTooMany", "Too many" },
	[FE_INTERNAL] = { "InternalError", "Internal error" },
	[FE_TYPE_INVALID] = { "FieldValueTypeInvalid", "Invalid value" },
	[FE_TOO_FEW] = { "FieldValueTooFew", "Too few" },
};

struct fpath fp_index(struct arena *a, const struct fpath *parent, size_t i)
{
	return (struct fpath){ parent, arena_printf(a, "%zu", i), true };
}

struct fpath fp_key(struct arena *a, const struct fpath *parent, str key)
{
	return (struct fpath){ parent, key, true };
}

str fp_text(struct arena *a, const struct fpath *p)
{
	if (!p)
		return S("<nil>");
	size_t n = 0;
	for (const struct fpath *q = p; q; q = q->parent)
		n += q->name.n + 2;
	char *to = arena_alloc(a, n + 1), *end = to + n, *at = end;
	for (const struct fpath *q = p; q; q = q->parent) {
		if (q->index)
			*--at = ']';
		at -= q->name.n;
		if (q->name.n)
			memcpy(at, q->name.p, q->name.n);
		if (q->index)
			*--at = '[';
		else if (q->parent)
			*--at = '.';
	}
	return str_n(at, (size_t)(end - at));
}

static void add(struct field_errors *e, enum field_error_type type, const struct fpath *p, str value, str detail)
{
	// Nobody reads ten thousand complaints about one object; upstream has no bound, a server wants one.
	if (e->n >= 10000)
		return;
	*LIST_ADD(e->arena, e) = (struct field_error){ type, fp_text(e->arena, p), value, detail };
}

#define FORMAT(to, e, fmt) \
	str to; \
	do { \
		va_list ap; \
		va_start(ap, fmt); \
		to = arena_vprintf((e)->arena, fmt, ap); \
		va_end(ap); \
	} while (0)

void fe_required(struct field_errors *e, const struct fpath *p, const char *detail)
{
	add(e, FE_REQUIRED, p, S(""), detail ? arena_dup(e->arena, str_c(detail)) : S(""));
}

void fe_invalid(struct field_errors *e, const struct fpath *p, str value, const char *fmt, ...)
{
	FORMAT(detail, e, fmt);
	add(e, FE_INVALID, p, go_quote(e->arena, value), detail);
}

void fe_invalid_int(struct field_errors *e, const struct fpath *p, int64_t value, const char *fmt, ...)
{
	FORMAT(detail, e, fmt);
	add(e, FE_INVALID, p, arena_printf(e->arena, "%lld", (long long)value), detail);
}

void fe_invalid_raw(struct field_errors *e, const struct fpath *p, str value, const char *fmt, ...)
{
	FORMAT(detail, e, fmt);
	add(e, FE_INVALID, p, value, detail);
}

void fe_duplicate(struct field_errors *e, const struct fpath *p, str value)
{
	add(e, FE_DUPLICATE, p, go_quote(e->arena, value), S(""));
}

void fe_not_supported(struct field_errors *e, const struct fpath *p, str value, const str *supported, size_t n)
{
	struct str_list quoted = { 0 };
	for (size_t i = 0; i < n; i++)
		*LIST_ADD(e->arena, &quoted) = go_quote(e->arena, supported[i]);
	str detail = n ? arena_concat(e->arena, S("supported values: "), str_list_join(e->arena, &quoted, ", ")) : S("");
	add(e, FE_NOT_SUPPORTED, p, go_quote(e->arena, value), detail);
}

void fe_forbidden(struct field_errors *e, const struct fpath *p, const char *fmt, ...)
{
	FORMAT(detail, e, fmt);
	add(e, FE_FORBIDDEN, p, S(""), detail);
}

void fe_too_long(struct field_errors *e, const struct fpath *p, size_t max)
{
	add(e, FE_TOO_LONG, p, S(""), arena_printf(e->arena, "may not be more than %zu byte%s", max, max == 1 ? "" : "s"));
}

void fe_too_many(struct field_errors *e, const struct fpath *p, size_t actual, size_t max)
{
	add(e, FE_TOO_MANY, p, arena_printf(e->arena, "%zu", actual), arena_printf(e->arena, "must have at most %zu item%s", max, max == 1 ? "" : "s"));
}

void fe_not_found(struct field_errors *e, const struct fpath *p, str value)
{
	add(e, FE_NOT_FOUND, p, go_quote(e->arena, value), S(""));
}

// What stands after the field's name: `Invalid value: "x": must be ...`.
static str body(struct arena *a, const struct field_error *f)
{
	str text = str_c(types[f->type].text);
	bool value = f->type != FE_REQUIRED && f->type != FE_FORBIDDEN && f->type != FE_TOO_LONG && f->type != FE_INTERNAL;
	if (value)
		text = arena_concat(a, text, S(": "), f->bad_value);
	if (f->detail.n)
		text = arena_concat(a, text, S(": "), f->detail);
	return text;
}

bool status_invalid(struct arena *a, struct api_status *s, str group, str kind, str name, const struct field_errors *e)
{
	*s = (struct api_status){ .code = 422, .reason = S("Invalid"), .group = group, .kind = kind, .name = name };
	_cleanup_map_ struct map seen = { 0 };
	struct str_list texts = { 0 };
	for (size_t i = 0; i < e->n; i++) {
		str b = body(a, &e->v[i]);
		str text = arena_concat(a, e->v[i].field, S(": "), b);
		if (!map_has(&seen, text)) { // the message says everything once, the causes list all
			map_put(&seen, text, NULL);
			*LIST_ADD(a, &texts) = text;
		}
		*LIST_ADD(a, &s->causes) = (struct status_cause){ str_c(types[e->v[i].type].reason), b, e->v[i].field };
	}
	str all = str_list_join(a, &texts, ", ");
	if (texts.n > 1)
		all = arena_concat(a, S("["), all, S("]"));
	s->message = arena_concat(a, kind, group.n ? S(".") : S(""), group, S(" "), go_quote(a, name), S(" is invalid"),
	                          texts.n ? S(": ") : S(""), all);
	return false;
}
