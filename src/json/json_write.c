// The writer. Its bytes are those of Go's encoding/json, because clients compare and hash them.
#include "json/json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/heap.h"

static const char hex[] = "0123456789abcdef";

// Whether one of the eight bytes must be looked at: control characters, quotes, backslashes, what is not ASCII, and
// with `html` also <, > and & (and the few that share their bits; they are looked at for nothing).
static bool special8(const char *p, bool html)
{
	uint64_t w, ones = UINT64_C(0x0101010101010101), high = ones << 7;
	memcpy(&w, p, sizeof(w));
	uint64_t quote = w ^ ones * '"', slash = w ^ ones * '\\';
	uint64_t hits = ((quote - ones) & ~quote) | ((slash - ones) & ~slash) | (w - ones * 0x20) | w;
	if (html) {
		uint64_t amp = w ^ ones * '&', angle = (w | ones * 2) ^ ones * '>'; // < and > differ in one bit
		hits |= ((amp - ones) & ~amp) | ((angle - ones) & ~angle);
	}
	return hits & high;
}

static bool plain(unsigned char c, bool escape_html)
{
	if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\')
		return false;
	return !escape_html || (c != '<' && c != '>' && c != '&');
}

static size_t utf8_len(const char *p, size_t left)
{
	unsigned char c = (unsigned char)*p;
	size_t n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	return n <= left && str_utf8_valid(str_n(p, n)) ? n : 0;
}

void json_write_string(struct buf *to, str s, bool escape_html)
{
	buf_reserve(to, s.n + 2);
	buf_add_char(to, '"');
	size_t from = 0, i = 0;
	while (i < s.n) {
		if (s.n - i >= 8 && !special8(s.p + i, escape_html)) {
			i += 8;
			continue;
		}
		unsigned char c = (unsigned char)s.p[i];
		if (plain(c, escape_html)) {
			i++;
			continue;
		}
		size_t len = c < 0x80 ? 1 : utf8_len(s.p + i, s.n - i);
		bool separator =
		        len == 3 && memcmp(s.p + i, "\xe2\x80", 2) == 0 && ((unsigned char)s.p[i + 2] & 0xfe) == 0xa8;
		if (len > 1 && !separator) {
			i += len;
			continue;
		}
		buf_add(to, str_n(s.p + from, i - from));
		if (len == 0) {
			buf_add(to, S("\\ufffd"));
			len = 1;
		} else if (separator) {
			buf_add(to, S("\\u202"));
			buf_add_char(to, hex[s.p[i + 2] & 0xf]);
		} else {
			switch (c) {
			case '"':
				buf_add(to, S("\\\""));
				break;
			case '\\':
				buf_add(to, S("\\\\"));
				break;
			case '\b':
				buf_add(to, S("\\b"));
				break;
			case '\f':
				buf_add(to, S("\\f"));
				break;
			case '\n':
				buf_add(to, S("\\n"));
				break;
			case '\r':
				buf_add(to, S("\\r"));
				break;
			case '\t':
				buf_add(to, S("\\t"));
				break;
			default:
				buf_add(to, S("\\u00"));
				buf_add_char(to, hex[c >> 4]);
				buf_add_char(to, hex[c & 0xf]);
			}
		}
		i += len;
		from = i;
	}
	buf_add(to, str_n(s.p + from, s.n - from));
	buf_add_char(to, '"');
}

// The shortest digits that read back as the same number, as d.ddde[+-]x. Every decimal of up to 15 digits survives
// a normal double, so there the search can begin at 15 (the zeros at the end are cut off later).
static void shortest(double d, char *text, size_t size)
{
	for (int digits = fabs(d) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
		snprintf(text, size, "%.*e", digits - 1, d);
		if (strtod(text, NULL) == d)
			return;
	}
}

void json_write_double(struct buf *to, double d)
{
	if (!isfinite(d)) { // JSON has none; the readers never make one
		buf_add(to, S("null"));
		return;
	}
	if (d == 0) {
		buf_add(to, signbit(d) ? S("-0") : S("0"));
		return;
	}
	char text[40], digits[24] = "";
	shortest(d, text, sizeof(text));
	int n = 0, exponent = 0;
	char *p = text;
	if (*p == '-')
		buf_add_char(to, *p++);
	for (; *p && *p != 'e'; p++)
		if (*p != '.' && n < (int)sizeof(digits) - 1)
			digits[n++] = *p;
	if (*p == 'e')
		exponent = (int)strtol(p + 1, NULL, 10);
	while (n > 1 && digits[n - 1] == '0')
		n--;
	double magnitude = fabs(d);
	if (magnitude < 1e-6 || magnitude >= 1e21) {
		buf_add_char(to, digits[0]);
		if (n > 1) {
			buf_add_char(to, '.');
			buf_add(to, str_n(digits + 1, (size_t)n - 1));
		}
		// Go writes e+21 and e-7: the sign always, no leading zero.
		buf_printf(to, "e%c%d", exponent < 0 ? '-' : '+', abs(exponent));
		return;
	}
	if (exponent < 0) {
		buf_add(to, S("0."));
		for (int i = -1; i > exponent; i--)
			buf_add_char(to, '0');
		buf_add(to, str_n(digits, (size_t)n));
		return;
	}
	for (int i = 0; i < MAX(n, exponent + 1); i++) {
		if (i == exponent + 1)
			buf_add_char(to, '.');
		buf_add_char(to, i < n ? digits[i] : '0');
	}
}

static int by_key(const void *x, const void *y)
{
	return str_cmp((*(struct member *const *)x)->key, (*(struct member *const *)y)->key);
}

static void new_line(struct buf *to, unsigned style, int depth)
{
	if (!(style & JSON_INDENT4))
		return;
	buf_add_char(to, '\n');
	memset(buf_reserve(to, (size_t)depth * 4), ' ', (size_t)depth * 4);
	to->n += (size_t)depth * 4;
}

static void write_value(struct buf *to, const struct value *v, unsigned style, int depth);

static void write_object(struct buf *to, const struct value *v, unsigned style, int depth)
{
	bool sorted = true;
	for (size_t i = 1; (style & JSON_SORT) && sorted && i < v->o.n; i++)
		sorted = str_cmp(v->o.v[i - 1].key, v->o.v[i].key) <= 0;
	_cleanup_free_ const struct member **order = NULL;
	if (!sorted) {
		order = heap_alloc(v->o.n * sizeof(*order));
		for (size_t i = 0; i < v->o.n; i++)
			order[i] = &v->o.v[i];
		qsort(order, v->o.n, sizeof(*order), by_key);
	}
	buf_add_char(to, '{');
	for (size_t i = 0; i < v->o.n; i++) {
		const struct member *m = order ? order[i] : &v->o.v[i];
		if (i)
			buf_add_char(to, ',');
		new_line(to, style, depth + 1);
		json_write_string(to, m->key, style & JSON_ESCAPE_HTML);
		buf_add(to, style & JSON_INDENT4 ? S(": ") : S(":"));
		write_value(to, m->value, style, depth + 1);
	}
	if (v->o.n)
		new_line(to, style, depth);
	buf_add_char(to, '}');
}

static void write_value(struct buf *to, const struct value *v, unsigned style, int depth)
{
	switch (v->kind) {
	case V_NULL:
		buf_add(to, S("null"));
		break;
	case V_BOOL:
		buf_add(to, v->b ? S("true") : S("false"));
		break;
	case V_INT:
		buf_add_i64(to, v->i);
		break;
	case V_DOUBLE:
		json_write_double(to, v->d);
		break;
	case V_STRING:
		json_write_string(to, v->s, style & JSON_ESCAPE_HTML);
		break;
	case V_ARRAY:
		buf_add_char(to, '[');
		for (size_t i = 0; i < v->a.n; i++) {
			if (i)
				buf_add_char(to, ',');
			new_line(to, style, depth + 1);
			write_value(to, v->a.v[i], style, depth + 1);
		}
		if (v->a.n)
			new_line(to, style, depth);
		buf_add_char(to, ']');
		break;
	case V_OBJECT:
		write_object(to, v, style, depth);
		break;
	}
}

void json_write(struct buf *to, const struct value *v, unsigned style)
{
	write_value(to, v, style, 0);
}

str json_text(struct arena *a, const struct value *v, unsigned style)
{
	_cleanup_buf_ struct buf b = { 0 };
	json_write(&b, v, style);
	return arena_dup(a, buf_str(&b));
}
