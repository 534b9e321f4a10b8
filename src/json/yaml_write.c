// The writer: block style, and for each scalar the style that go-yaml v2 would choose, so that its output and ours are
// the same text. The rules for what may stand plain, quoted or as a block, and where long lines are folded, are those
// of libyaml's emitter, which go-yaml is a translation of.
#include <stdio.h>
#include <stdlib.h>

#include "base/heap.h"
#include "json/yaml.h"
#include "json/yaml_scalar.h"

enum { INDENT = 2, WIDTH = 80, LONGEST_KEY = 128 };

enum style { PLAIN, SINGLE, DOUBLE, LITERAL };

struct writer {
	struct buf *to;
	struct arena *a;
	int column;      // characters since the last line break
	int indent;      // of the current block; -1 at the root
	bool whitespace; // the last character was a space or a break
	bool fresh;      // only indentation, "-", "?" or ":" stand on this line
};

// --- characters ---

static bool is_space(str s, size_t i)
{
	return i < s.n && s.p[i] == ' ';
}

static size_t width(str s, size_t i)
{
	unsigned char c = (unsigned char)s.p[i];
	size_t w = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	return MIN(w, s.n - i);
}

static unsigned char byte_at(str s, size_t i)
{
	return i < s.n ? (unsigned char)s.p[i] : 0;
}

// CR, LF, NEL, LS, PS
static bool is_break(str s, size_t i)
{
	unsigned char c = byte_at(s, i);
	if (c == '\r' || c == '\n')
		return true;
	if (c == 0xc2)
		return byte_at(s, i + 1) == 0x85;
	return c == 0xe2 && byte_at(s, i + 1) == 0x80 && (byte_at(s, i + 2) & 0xfe) == 0xa8;
}

static bool is_blankz(str s, size_t i)
{
	return i >= s.n || s.p[i] == ' ' || s.p[i] == '\t' || is_break(s, i);
}

static bool is_bom(str s, size_t i)
{
	return byte_at(s, i) == 0xef && byte_at(s, i + 1) == 0xbb && byte_at(s, i + 2) == 0xbf;
}

// What YAML 1.1 calls printable, without characters above U+FFFF (the emitter never allowed them).
static bool is_printable(str s, size_t i)
{
	unsigned char c = byte_at(s, i), d = byte_at(s, i + 1), e = byte_at(s, i + 2);
	if (c < 0x80)
		return c == '\n' || (c >= 0x20 && c <= 0x7e);
	if (c == 0xc2)
		return d >= 0xa0;
	if (c == 0xed)
		return d < 0xa0;
	if (c == 0xef)
		return !is_bom(s, i) && !(d == 0xbf && (e == 0xbe || e == 0xbf));
	return c > 0xc2 && c < 0xef;
}

// --- output ---

static void put(struct writer *w, char c)
{
	buf_add_char(w->to, c);
	w->column++;
}

static void put_break(struct writer *w)
{
	buf_add_char(w->to, '\n');
	w->column = 0;
}

// Copies one character.
static void copy(struct writer *w, str s, size_t *i)
{
	size_t n = width(s, *i);
	buf_add(w->to, str_n(s.p + *i, n));
	*i += n;
	w->column++;
}

static void copy_break(struct writer *w, str s, size_t *i)
{
	copy(w, s, i);
	w->column = 0;
}

static void write_indent(struct writer *w)
{
	int indent = MAX(w->indent, 0);
	if (!w->fresh || w->column > indent || (w->column == indent && !w->whitespace))
		put_break(w);
	while (w->column < indent)
		put(w, ' ');
	w->whitespace = w->fresh = true;
}

// "-", "?" and the space before it where needed; the line stays fresh.
static void write_marker(struct writer *w, char c)
{
	if (!w->whitespace)
		put(w, ' ');
	put(w, c);
	w->whitespace = false;
}

static void space_before(struct writer *w)
{
	if (!w->whitespace)
		put(w, ' ');
}

// --- scalars ---

struct shape {
	bool multiline, plain, single, block; // has line breaks; which styles can hold it
};

static struct shape analyze(str s)
{
	if (s.n == 0)
		return (struct shape){ .plain = true, .single = true };
	bool indicators = str_has_prefix(s, S("---")) || str_has_prefix(s, S("..."));
	bool special = false, breaks = false, space_break = false, break_space = false;
	bool leading = false, trailing_space = false, trailing_break = false;
	bool after_space = false, after_break = false, after_white = true;
	for (size_t i = 0, n; i < s.n; i += n) {
		n = width(s, i);
		char c = s.p[i];
		bool last = i + n >= s.n, white_next = last || s.p[i + n] == ' ' || s.p[i + n] == '\t';
		if (i == 0 && strchr("#,[]{}&*!|>'\"%@`", c) && c)
			indicators = true;
		else if ((i == 0 && (c == '?' || c == '-') && white_next) || (c == ':' && white_next))
			indicators = true;
		else if (i > 0 && c == '#' && after_white)
			indicators = true;
		if (!is_printable(s, i))
			special = true;
		if (c == ' ') {
			leading = leading || i == 0;
			trailing_space = last;
			break_space = break_space || after_break;
			after_space = true;
			after_break = false;
		} else if (is_break(s, i)) {
			breaks = true;
			leading = leading || i == 0;
			trailing_break = last;
			space_break = space_break || after_space;
			after_space = false;
			after_break = true;
		} else {
			after_space = after_break = false;
		}
		after_white = is_blankz(s, i);
	}
	return (struct shape){
		.multiline = breaks,
		.plain = !indicators && !special && !breaks && !leading && !trailing_space && !trailing_break,
		.single = !special && !space_break && !break_space,
		.block = !special && !space_break && !trailing_space,
	};
}

static enum style choose_style(str s, const struct shape *shape, bool is_text, bool key)
{
	enum style style = PLAIN;
	if (is_text && memchr(s.p ? s.p : "", '\n', s.n))
		style = LITERAL;
	else if (is_text && (yaml_resolve(s, true).type != YAML_STR || yaml_is_base60(s)))
		style = DOUBLE;
	if (key && shape->multiline)
		style = DOUBLE;
	if (style == PLAIN && (!shape->plain || (s.n == 0 && key)))
		style = SINGLE;
	if (style == SINGLE && !shape->single)
		style = DOUBLE;
	if (style == LITERAL && (!shape->block || key))
		style = DOUBLE;
	return style;
}

// Plain and single-quoted text; long lines are folded at single spaces.
static void write_flowing(struct writer *w, str s, bool quoted, bool fold)
{
	bool spaces = false, breaks = false;
	space_before(w);
	if (quoted) {
		put(w, '\'');
		w->fresh = false;
	}
	for (size_t i = 0; i < s.n;) {
		if (is_space(s, i)) {
			bool inside = !quoted || (i > 0 && i < s.n - 1);
			if (fold && !spaces && w->column > WIDTH && inside && !is_space(s, i + 1)) {
				write_indent(w);
				i++;
			} else {
				copy(w, s, &i);
			}
			spaces = true;
		} else if (is_break(s, i)) {
			if (!breaks && s.p[i] == '\n')
				put_break(w);
			copy_break(w, s, &i);
			w->fresh = breaks = true;
		} else {
			if (breaks)
				write_indent(w);
			if (quoted && s.p[i] == '\'')
				put(w, '\'');
			copy(w, s, &i);
			w->fresh = spaces = breaks = false;
		}
	}
	if (quoted)
		put(w, '\'');
	w->whitespace = w->fresh = false;
}

static void write_escape(struct writer *w, str s, size_t *i)
{
	size_t n = width(s, *i);
	unsigned char first = byte_at(s, *i);
	unsigned c = n == 1 ? first : first & (0xffu >> (n + 1));
	for (size_t k = 1; k < n; k++)
		c = c << 6 | (byte_at(s, *i + k) & 0x3f);
	*i += n;
	char text[12];
	switch (c) {
	case 0x00:
		snprintf(text, sizeof(text), "\\0");
		break;
	case 0x07:
		snprintf(text, sizeof(text), "\\a");
		break;
	case 0x08:
		snprintf(text, sizeof(text), "\\b");
		break;
	case 0x09:
		snprintf(text, sizeof(text), "\\t");
		break;
	case 0x0a:
		snprintf(text, sizeof(text), "\\n");
		break;
	case 0x0b:
		snprintf(text, sizeof(text), "\\v");
		break;
	case 0x0c:
		snprintf(text, sizeof(text), "\\f");
		break;
	case 0x0d:
		snprintf(text, sizeof(text), "\\r");
		break;
	case 0x1b:
		snprintf(text, sizeof(text), "\\e");
		break;
	case 0x22:
		snprintf(text, sizeof(text), "\\\"");
		break;
	case 0x5c:
		snprintf(text, sizeof(text), "\\\\");
		break;
	case 0x85:
		snprintf(text, sizeof(text), "\\N");
		break;
	case 0xa0:
		snprintf(text, sizeof(text), "\\_");
		break;
	case 0x2028:
		snprintf(text, sizeof(text), "\\L");
		break;
	case 0x2029:
		snprintf(text, sizeof(text), "\\P");
		break;
	default:
		snprintf(text, sizeof(text), c <= 0xff ? "\\x%02X" : c <= 0xffff ? "\\u%04X" : "\\U%08X", c);
	}
	for (const char *p = text; *p; p++)
		put(w, *p);
}

static void write_double_quoted(struct writer *w, str s, bool fold)
{
	bool spaces = false;
	space_before(w);
	put(w, '"');
	w->fresh = false;
	for (size_t i = 0; i < s.n;) {
		if (!is_printable(s, i) || is_break(s, i) || s.p[i] == '"' || s.p[i] == '\\') {
			write_escape(w, s, &i);
			spaces = false;
		} else if (is_space(s, i)) {
			if (fold && !spaces && w->column > WIDTH && i > 0 && i < s.n - 1) {
				write_indent(w);
				if (is_space(s, i + 1))
					put(w, '\\');
				i++;
			} else {
				copy(w, s, &i);
			}
			spaces = true;
		} else {
			copy(w, s, &i);
			spaces = false;
		}
	}
	put(w, '"');
	w->whitespace = w->fresh = false;
}

// |, with a hint at the indentation where the text begins with a space, and - or + where it ends without or with
// more than one line break.
static void write_literal(struct writer *w, str s)
{
	space_before(w);
	put(w, '|');
	if (is_space(s, 0) || is_break(s, 0))
		put(w, '0' + INDENT);
	size_t last = s.n - 1;
	while (last > 0 && (byte_at(s, last) & 0xc0) == 0x80)
		last--;
	if (!is_break(s, last)) {
		put(w, '-');
	} else if (last == 0) {
		put(w, '+');
	} else {
		last--;
		while (last > 0 && (byte_at(s, last) & 0xc0) == 0x80)
			last--;
		if (is_break(s, last))
			put(w, '+');
	}
	put_break(w);
	w->fresh = w->whitespace = true;
	bool breaks = true;
	for (size_t i = 0; i < s.n;) {
		if (is_break(s, i)) {
			copy_break(w, s, &i);
			w->fresh = breaks = true;
		} else {
			if (breaks)
				write_indent(w);
			copy(w, s, &i);
			w->fresh = breaks = false;
		}
	}
}

// `is_text`: a string, which must not be taken for anything else; otherwise the text of a number, boolean or null.
static void write_scalar(struct writer *w, str s, const struct shape *shape, bool is_text, bool key)
{
	enum style style = choose_style(s, shape, is_text, key);
	int outer = w->indent;
	w->indent = outer < 0 ? INDENT : outer + INDENT;
	if (style == LITERAL)
		write_literal(w, s);
	else if (style == DOUBLE)
		write_double_quoted(w, s, !key);
	else
		write_flowing(w, s, style == SINGLE, !key);
	w->indent = outer;
}

static void write_text(struct writer *w, str s, bool key)
{
	if (!str_utf8_valid(s)) { // JSON has none; text from elsewhere is mended as JSON would
		str quoted = json_text(w->a, value_string(w->a, s), JSON_COMPACT);
		struct error ignored;
		struct value *v = json_parse(w->a, quoted, NULL, &ignored);
		s = value_str(v);
	}
	struct shape shape = analyze(s);
	write_scalar(w, s, &shape, true, key);
}

// --- collections ---

static bool is_letter(unsigned char c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z' ? true : c >= 0x80;
}

static bool is_digit(str s, size_t i)
{
	return i < s.n && s.p[i] >= '0' && s.p[i] <= '9';
}

// go-yaml's order of keys: letters after other characters, numbers within by their value.
static int key_order(const void *x, const void *y)
{
	str a = (*(const struct member *const *)x)->key, b = (*(const struct member *const *)y)->key;
	size_t i = 0;
	while (i < a.n && i < b.n && a.p[i] == b.p[i])
		i++;
	if (i == a.n || i == b.n)
		return a.n < b.n ? -1 : a.n > b.n;
	unsigned char ac = byte_at(a, i), bc = byte_at(b, i);
	bool al = is_letter(ac), bl = is_letter(bc);
	if (al || bl)
		return al && bl ? (ac < bc ? -1 : 1) : bl ? -1 : 1;
	uint64_t an = 0, bn = 0;
	if (ac == '0' || bc == '0')
		for (size_t j = i; j > 0 && is_digit(a, j - 1); j--)
			if (a.p[j - 1] != '0') {
				an = bn = 1;
				break;
			}
	size_t ai = i, bi = i;
	for (; is_digit(a, ai); ai++)
		an = an * 10 + (uint64_t)(a.p[ai] - '0');
	for (; is_digit(b, bi); bi++)
		bn = bn * 10 + (uint64_t)(b.p[bi] - '0');
	if (an != bn)
		return (int64_t)an < (int64_t)bn ? -1 : 1; // overflow wraps, there as here
	if (ai != bi)
		return ai < bi ? -1 : 1;
	return ac < bc ? -1 : 1;
}

static void write_node(struct writer *w, const struct value *v, bool in_mapping);

static void write_empty(struct writer *w, const char *brackets)
{
	space_before(w);
	put(w, brackets[0]);
	put(w, brackets[1]);
	w->whitespace = w->fresh = false;
}

static void write_mapping(struct writer *w, const struct value *v)
{
	if (v->o.n == 0) {
		write_empty(w, "{}");
		return;
	}
	_cleanup_free_ const struct member **order = heap_alloc(v->o.n * sizeof(*order));
	for (size_t i = 0; i < v->o.n; i++)
		order[i] = &v->o.v[i];
	qsort(order, v->o.n, sizeof(*order), key_order);
	int outer = w->indent;
	w->indent = outer < 0 ? 0 : outer + INDENT;
	for (size_t i = 0; i < v->o.n; i++) {
		str key = order[i]->key;
		write_indent(w);
		bool simple = key.n <= LONGEST_KEY && !analyze(key).multiline;
		if (!simple)
			write_marker(w, '?');
		write_text(w, key, simple);
		if (simple) {
			put(w, ':');
			w->whitespace = w->fresh = false;
		} else {
			write_indent(w);
			write_marker(w, ':');
		}
		write_node(w, order[i]->value, true);
	}
	w->indent = outer;
}

static void write_sequence(struct writer *w, const struct value *v, bool in_mapping)
{
	if (v->a.n == 0) {
		write_empty(w, "[]");
		return;
	}
	int outer = w->indent;
	if (!(in_mapping && !w->fresh)) // below "key:" the dashes stand under the key
		w->indent = outer < 0 ? 0 : outer + INDENT;
	for (size_t i = 0; i < v->a.n; i++) {
		write_indent(w);
		write_marker(w, '-');
		write_node(w, v->a.v[i], false);
	}
	w->indent = outer;
}

static void write_node(struct writer *w, const struct value *v, bool in_mapping)
{
	static const struct shape word = { .plain = true, .single = true };
	_cleanup_buf_ struct buf number = { 0 };
	int64_t i;
	switch (v->kind) {
	case V_NULL:
		write_scalar(w, S("null"), &word, false, false);
		break;
	case V_BOOL:
		write_scalar(w, v->b ? S("true") : S("false"), &word, false, false);
		break;
	case V_INT:
		buf_add_i64(&number, v->i);
		write_scalar(w, buf_str(&number), &word, false, false);
		break;
	case V_DOUBLE:
		if (value_to_i64(v, &i)) {
			buf_add_i64(&number, i);
			write_scalar(w, buf_str(&number), &word, false, false);
		} else if (v->d >= 0x1p63 && v->d < 0x1p64) {
			buf_printf(&number, "%llu", (unsigned long long)v->d);
			write_scalar(w, buf_str(&number), &word, false, false);
		} else {
			write_scalar(w, yaml_float_text(w->a, v->d, false), &word, false, false);
		}
		break;
	case V_STRING:
		write_text(w, v->s, false);
		break;
	case V_ARRAY:
		write_sequence(w, v, in_mapping);
		break;
	case V_OBJECT:
		write_mapping(w, v);
		break;
	}
}

void yaml_write(struct buf *to, const struct value *v)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct writer w = { .to = to, .a = a, .indent = -1, .whitespace = true, .fresh = true };
	write_node(&w, v, false);
	write_indent(&w);
}
