// The reader: one pass over the text, no recursion. Finished values wait on a scratch stack until their container
// closes and its size is known, so arrays and objects are allocated once, at their size.
#include "json/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/heap.h"

enum { DEFAULT_DEPTH = 10000, MAX_DUPLICATES = 100, SEARCH_LIMIT = 16 };

struct item {
	str key; // of a member; unused in arrays
	struct value *value;
	const char *at; // where the key stands in the text
};

struct frame {
	struct value *container;
	size_t start; // its first item on the scratch stack
	str key;      // the member that is being read
	const char *key_at;
};

struct found {
	str path;
	const char *at;
};

struct reader {
	struct arena *a;
	const char *start, *p, *end;
	struct error *err;
	size_t *error_offset;
	struct item *items;
	size_t nitems, items_cap;
	struct frame *frames;
	size_t nframes, frames_cap;
	struct value *pool; // values are handed out from small blocks
	size_t pool_left, pool_next;
	struct json_duplicates *duplicates;
	struct {
		struct found *v;
		size_t n;
	} found;
};

static bool fail(struct reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool fail(struct reader *r, const char *fmt, ...)
{
	char text[200];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return error_api(r->err, 400, "BadRequest", "%s", text);
}

static bool fail_end(struct reader *r)
{
	if (r->error_offset)
		*r->error_offset = (size_t)(r->end - r->start);
	return fail(r, "unexpected end of JSON input");
}

// As Go quotes the byte: bytes above 0x7f are taken for the characters of the same number.
static bool fail_char(struct reader *r, const char *at, const char *where)
{
	unsigned c = (unsigned char)*at;
	char quoted[12];
	if (r->error_offset)
		*r->error_offset = (size_t)(at - r->start) + 1;
	switch (c) {
	case '\'':
		snprintf(quoted, sizeof(quoted), "'\\''");
		break;
	case '"':
		snprintf(quoted, sizeof(quoted), "'\"'");
		break;
	case '\\':
		snprintf(quoted, sizeof(quoted), "'\\\\'");
		break;
	case '\a':
		snprintf(quoted, sizeof(quoted), "'\\a'");
		break;
	case '\b':
		snprintf(quoted, sizeof(quoted), "'\\b'");
		break;
	case '\f':
		snprintf(quoted, sizeof(quoted), "'\\f'");
		break;
	case '\n':
		snprintf(quoted, sizeof(quoted), "'\\n'");
		break;
	case '\r':
		snprintf(quoted, sizeof(quoted), "'\\r'");
		break;
	case '\t':
		snprintf(quoted, sizeof(quoted), "'\\t'");
		break;
	case '\v':
		snprintf(quoted, sizeof(quoted), "'\\v'");
		break;
	default:
		if (c < 0x20 || c == 0x7f)
			snprintf(quoted, sizeof(quoted), "'\\x%02x'", c);
		else if (c < 0x7f)
			snprintf(quoted, sizeof(quoted), "'%c'", (int)c);
		else if (c <= 0xa0 || c == 0xad)
			snprintf(quoted, sizeof(quoted), "'\\u%04x'", c);
		else
			snprintf(quoted, sizeof(quoted), "'%c%c'", (int)(0xc0 | c >> 6), (int)(0x80 | (c & 0x3f)));
	}
	return fail(r, "invalid character %s %s", quoted, where);
}

static struct value *new_value(struct reader *r, enum value_kind kind)
{
	if (r->pool_left == 0) {
		r->pool = ARENA_ARRAY(r->a, struct value, r->pool_next);
		r->pool_left = r->pool_next;
		r->pool_next = MIN(r->pool_next * 2, (size_t)256);
	}
	struct value *v = r->pool++;
	r->pool_left--;
	v->kind = kind;
	return v;
}

static void skip_space(struct reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t'))
		r->p++;
}

// --- strings ---

static unsigned hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? (unsigned)(c - '0')
	       : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
	       : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
	                              : 16;
}

// The number after \u at p (checked before to be four digits).
static unsigned hex4(const char *p)
{
	return hex_digit(p[0]) << 12 | hex_digit(p[1]) << 8 | hex_digit(p[2]) << 4 | hex_digit(p[3]);
}

static char *put_utf8(char *to, unsigned c)
{
	if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
		*to++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*to++ = (char)(0xe0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	} else {
		*to++ = (char)(0xf0 | c >> 18);
		*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	}
	return to;
}

// Length of the well-formed UTF-8 sequence at p, 0 when there is none.
static size_t utf8_len(const char *p, const char *end)
{
	unsigned c = (unsigned char)*p;
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	return n <= (size_t)(end - p) && str_utf8_valid(str_n(p, n)) ? n : 0;
}

// Undoes escapes and mends UTF-8 in text that was scanned before. The result is at most three times as long (each
// byte that is no UTF-8 becomes U+FFFD).
static str unescape(struct reader *r, const char *p, const char *end, bool mend)
{
	char *out = arena_alloc(r->a, (size_t)(end - p) * (mend ? 3 : 1) + 1), *to = out;
	while (p < end) {
		if (*p != '\\') {
			size_t n = (unsigned char)*p < 0x80 || !mend ? 1 : utf8_len(p, end);
			if (n == 0) {
				to = put_utf8(to, 0xfffd);
				p++;
			}
			while (n--)
				*to++ = *p++;
			continue;
		}
		p += 2;
		switch (p[-1]) {
		case 'b':
			*to++ = '\b';
			break;
		case 'f':
			*to++ = '\f';
			break;
		case 'n':
			*to++ = '\n';
			break;
		case 'r':
			*to++ = '\r';
			break;
		case 't':
			*to++ = '\t';
			break;
		case 'u': {
			unsigned c = hex4(p);
			p += 4;
			if (c >= 0xd800 && c < 0xe000) {
				unsigned low = end - p >= 6 && p[0] == '\\' && p[1] == 'u' ? hex4(p + 2) : 0;
				if (c < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
					c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
					p += 6;
				} else {
					c = 0xfffd; // half a pair
				}
			}
			to = put_utf8(to, c);
			break;
		}
		default:
			*to++ = p[-1];
		}
	}
	return str_n(out, (size_t)(to - out));
}

// Whether one of the eight bytes is a quote, a backslash, a control character or not ASCII.
static bool special8(const char *p)
{
	uint64_t w, ones = UINT64_C(0x0101010101010101), high = ones << 7;
	memcpy(&w, p, sizeof(w));
	uint64_t quote = w ^ ones * '"', slash = w ^ ones * '\\';
	return (((quote - ones) & ~quote) | ((slash - ones) & ~slash) | (w - ones * 0x20) | w) & high;
}

// The string whose opening quote is at r->p.
static bool read_string(struct reader *r, str *out)
{
	const char *start = ++r->p, *p = start, *end = r->end;
	bool escapes = false, ascii = true;
	for (;;) {
		while (end - p >= 8 && !special8(p))
			p += 8;
		while (p < end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\') {
			if ((unsigned char)*p >= 0x80)
				ascii = false;
			p++;
			if (end - p >= 8 && !special8(p))
				break;
		}
		if (p == end)
			return fail_end(r);
		if (*p == '"')
			break;
		if ((unsigned char)*p >= 0x20 && *p != '\\')
			continue;
		if (*p != '\\')
			return fail_char(r, p, "in string literal");
		escapes = true;
		if (++p == end)
			return fail_end(r);
		if (!*p || !strchr("bfnrt\\/\"u", *p))
			return fail_char(r, p, "in string escape code");
		if (*p++ != 'u')
			continue;
		for (int i = 0; i < 4; i++, p++) {
			if (p == end)
				return fail_end(r);
			if (hex_digit(*p) > 15)
				return fail_char(r, p, "in \\u hexadecimal character escape");
		}
	}
	r->p = p + 1;
	*out = str_n(start, (size_t)(p - start));
	bool mend = !ascii && !str_utf8_valid(*out);
	if (escapes || mend)
		*out = unescape(r, start, p, mend);
	return true;
}

// --- numbers and literals ---

static bool digit(const char *p, const char *end)
{
	return p < end && *p >= '0' && *p <= '9';
}

static bool need_digit(struct reader *r, const char *p, const char *where)
{
	if (digit(p, r->end))
		return true;
	return p == r->end ? fail_end(r) : fail_char(r, p, where);
}

static bool read_number(struct reader *r, struct value **out)
{
	const char *start = r->p, *p = start, *end = r->end;
	bool integer = true;
	if (*p == '-')
		p++;
	if (!need_digit(r, p, "in numeric literal"))
		return false;
	if (*p == '0')
		p++;
	else
		while (digit(p, end))
			p++;
	if (p < end && *p == '.') {
		integer = false;
		if (!need_digit(r, ++p, "after decimal point in numeric literal"))
			return false;
		while (digit(p, end))
			p++;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		integer = false;
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		if (!need_digit(r, p, "in exponent of numeric literal"))
			return false;
		while (digit(p, end))
			p++;
	}
	r->p = p;
	str text = str_n(start, (size_t)(p - start));
	int64_t i;
	if (integer && str_to_i64(text, &i)) {
		*out = new_value(r, V_INT);
		(*out)->i = i;
		return true;
	}
	char small[64];
	_cleanup_free_ char *large = text.n < sizeof(small) ? NULL : heap_cstr(text);
	if (!large) {
		memcpy(small, text.p, text.n);
		small[text.n] = 0;
	}
	double d = strtod(large ? large : small, NULL);
	if (!isfinite(d))
		return fail(r, "json: cannot unmarshal number %.*s into Go value of type float64",
		            (int)MIN(text.n, (size_t)100), text.p);
	*out = new_value(r, V_DOUBLE);
	(*out)->d = d;
	return true;
}

static bool read_literal(struct reader *r, const char *word, struct value **out)
{
	for (size_t i = 0; word[i]; i++) {
		if (r->p + i == r->end)
			return fail_end(r);
		if (r->p[i] != word[i]) {
			char where[60];
			snprintf(where, sizeof(where), "in literal %s (expecting '%c')", word, word[i]);
			return fail_char(r, r->p + i, where);
		}
	}
	r->p += strlen(word);
	*out = new_value(r, word[0] == 'n' ? V_NULL : V_BOOL);
	if (word[0] == 't')
		(*out)->b = true;
	return true;
}

// --- containers ---

static struct item *push_item(struct reader *r)
{
	if (r->nitems == r->items_cap) {
		r->items_cap = r->items_cap ? r->items_cap * 2 : 64;
		r->items = heap_realloc(r->items, r->items_cap * sizeof(*r->items));
	}
	return &r->items[r->nitems++];
}

static struct frame *push_frame(struct reader *r)
{
	if (r->nframes == r->frames_cap) {
		r->frames_cap = r->frames_cap ? r->frames_cap * 2 : 16;
		r->frames = heap_realloc(r->frames, r->frames_cap * sizeof(*r->frames));
	}
	return &r->frames[r->nframes++];
}

// The lists of a value are taken to be full exactly at powers of two (LIST_ADD), so each gets room up to the next.
static size_t room(size_t n)
{
	size_t cap = 1;
	while (cap < n)
		cap *= 2;
	return cap;
}

// Notes that the key at `at` stands twice in the innermost open object.
static void note_duplicate(struct reader *r, str key, const char *at)
{
	if (!r->duplicates)
		return;
	_cleanup_buf_ struct buf path = { 0 };
	for (size_t i = 0; i < r->nframes; i++) {
		const struct frame *f = &r->frames[i];
		bool innermost = i + 1 == r->nframes;
		if (f->container->kind == V_ARRAY) {
			// Items of the array itself that are done stand between it and its child.
			buf_printf(&path, "[%zu]", r->frames[i + 1].start - f->start);
		} else {
			if (path.n)
				buf_add_char(&path, '.');
			buf_add(&path, innermost ? key : f->key);
		}
	}
	*LIST_ADD(r->a, &r->found) = (struct found){ arena_dup(r->a, buf_str(&path)), at };
}

static int by_key_then_place(const void *x, const void *y)
{
	const struct item *i = *(struct item *const *)x, *j = *(struct item *const *)y;
	int c = str_cmp(i->key, j->key);
	return c ? c : i->at < j->at ? -1 : i->at > j->at;
}

// Among the members from `start` on, lets the last of equal keys win (in the place of the first).
static void drop_duplicates(struct reader *r, size_t start)
{
	struct item *m = r->items + start;
	size_t n = r->nitems - start, kept = 0;
	if (n > SEARCH_LIMIT) {
		_cleanup_free_ struct item **sorted = heap_alloc(n * sizeof(struct item *));
		bool any = false;
		for (size_t i = 0; i < n; i++)
			sorted[i] = &m[i];
		qsort(sorted, n, sizeof(struct item *), by_key_then_place);
		for (size_t i = 0, j; i < n; i = j) {
			for (j = i + 1; j < n && str_eq(sorted[i]->key, sorted[j]->key); j++) {
				any = true;
				note_duplicate(r, sorted[j]->key, sorted[j]->at);
				sorted[i]->value = sorted[j]->value;
				sorted[j]->value = NULL;
			}
		}
		if (!any)
			return;
		for (size_t i = 0; i < n; i++)
			if (m[i].value)
				m[kept++] = m[i];
	} else {
		for (size_t i = 0; i < n; i++) {
			size_t j = 0;
			while (j < kept && !str_eq(m[j].key, m[i].key))
				j++;
			if (j < kept) {
				note_duplicate(r, m[i].key, m[i].at);
				m[j].value = m[i].value;
			} else {
				if (kept != i)
					m[kept] = m[i];
				kept++;
			}
		}
	}
	r->nitems = start + kept;
}

static struct value *close_container(struct reader *r)
{
	struct frame *f = &r->frames[r->nframes - 1];
	struct value *v = f->container;
	if (v->kind == V_OBJECT && r->nitems - f->start > 1)
		drop_duplicates(r, f->start);
	const struct item *items = r->items + f->start;
	size_t n = r->nitems - f->start;
	if (v->kind == V_OBJECT) {
		v->o.n = n;
		v->o.v = n ? ARENA_ARRAY(r->a, struct member, room(n)) : NULL;
		for (size_t i = 0; i < n; i++)
			v->o.v[i] = (struct member){ items[i].key, items[i].value };
	} else {
		v->a.n = n;
		v->a.v = n ? ARENA_ARRAY(r->a, struct value *, room(n)) : NULL;
		for (size_t i = 0; i < n; i++)
			v->a.v[i] = items[i].value;
	}
	r->nitems = f->start;
	r->nframes--;
	return v;
}

// The key of a member and the colon.
static bool read_key(struct reader *r, struct frame *f)
{
	skip_space(r);
	if (r->p == r->end)
		return fail_end(r);
	if (*r->p != '"')
		return fail_char(r, r->p, "looking for beginning of object key string");
	f->key_at = r->p;
	if (!read_string(r, &f->key))
		return false;
	skip_space(r);
	if (r->p == r->end)
		return fail_end(r);
	if (*r->p != ':')
		return fail_char(r, r->p, "after object key");
	r->p++;
	return true;
}

static bool read_document(struct reader *r, size_t max_depth, struct value **root)
{
	for (;;) {
		struct value *v = NULL;
		skip_space(r);
		if (r->p == r->end)
			return fail_end(r);
		char c = *r->p;
		if (c == '{' || c == '[') {
			if (r->nframes == max_depth)
				return fail(r, "exceeded max depth");
			v = new_value(r, c == '{' ? V_OBJECT : V_ARRAY);
			struct frame *f = push_frame(r);
			*f = (struct frame){ .container = v, .start = r->nitems };
			r->p++;
			skip_space(r);
			bool empty = r->p < r->end && *r->p == (c == '{' ? '}' : ']');
			if (!empty) {
				if (c == '{' && !read_key(r, f))
					return false;
				continue;
			}
			r->p++;
			r->nframes--;
		} else if (c == '"') {
			v = new_value(r, V_STRING);
			if (!read_string(r, &v->s))
				return false;
		} else if (c == '-' || (c >= '0' && c <= '9')) {
			if (!read_number(r, &v))
				return false;
		} else if (c == 't' || c == 'f' || c == 'n') {
			if (!read_literal(r, c == 't' ? "true" : c == 'f' ? "false" : "null", &v))
				return false;
		} else {
			return fail_char(r, r->p, "looking for beginning of value");
		}
		// v is complete: hand it to its container, and close all containers that end here.
		for (;;) {
			skip_space(r);
			if (r->nframes == 0) {
				*root = v;
				return r->p == r->end || fail_char(r, r->p, "after top-level value");
			}
			struct frame *f = &r->frames[r->nframes - 1];
			bool object = f->container->kind == V_OBJECT;
			*push_item(r) = (struct item){ f->key, v, f->key_at };
			if (r->p == r->end)
				return fail_end(r);
			if (*r->p == ',') {
				r->p++;
				if (object && !read_key(r, f))
					return false;
				break;
			}
			if (*r->p != (object ? '}' : ']'))
				return fail_char(r, r->p,
				                 object ? "after object key:value pair" : "after array element");
			r->p++;
			v = close_container(r);
		}
	}
}

static int by_place(const void *x, const void *y)
{
	const struct found *f = x, *g = y;
	return f->at < g->at ? -1 : f->at > g->at;
}

// In the order of the text, each path once.
static void report_duplicates(struct reader *r)
{
	if (!r->found.n)
		return;
	qsort(r->found.v, r->found.n, sizeof(*r->found.v), by_place);
	for (size_t i = 0; i < r->found.n && r->duplicates->n < MAX_DUPLICATES; i++) {
		bool seen = false;
		for (size_t j = 0; j < r->duplicates->n && !seen; j++)
			seen = str_eq(r->duplicates->v[j], r->found.v[i].path);
		if (!seen)
			*LIST_ADD(r->a, r->duplicates) = r->found.v[i].path;
	}
}

struct value *json_parse(struct arena *a, str text, const struct json_opts *opts, struct error *err)
{
	if (!text.p)
		text = S("");
	struct reader r = {
		.a = a,
		.start = text.p,
		.p = text.p,
		.error_offset = opts ? opts->error_offset : NULL,
		.end = text.p + text.n,
		.err = err,
		.pool_next = MAX(MIN(text.n / 32, (size_t)256), (size_t)4),
		.duplicates = opts ? opts->duplicates : NULL,
	};
	size_t max_depth = opts && opts->max_depth > 0 ? (size_t)opts->max_depth : DEFAULT_DEPTH;
	struct value *root = NULL;
	bool ok = read_document(&r, max_depth, &root);
	free(r.items);
	free(r.frames);
	if (!ok)
		return NULL;
	report_duplicates(&r);
	return root;
}
