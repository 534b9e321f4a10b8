// Scanning JSON text without making values of it.
#include "schema/codec.h"

bool scan_word(const char **p, const char *end, const char *w, size_t n)
{
	if ((size_t)(end - *p) < n || memcmp(*p, w, n) != 0)
		return false;
	*p += n;
	return true;
}

bool scan_number(const char **at, const char *end)
{
	const char *p = *at;
	if (p < end && *p == '-')
		p++;
	if (p == end || *p < '0' || *p > '9')
		return false;
	if (*p == '0')
		p++;
	else
		while (p < end && *p >= '0' && *p <= '9')
			p++;
	if (p < end && *p == '.') {
		const char *first = ++p;
		while (p < end && *p >= '0' && *p <= '9')
			p++;
		if (p == first)
			return false;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		const char *first = p;
		while (p < end && *p >= '0' && *p <= '9')
			p++;
		if (p == first)
			return false;
	}
	*at = p;
	return true;
}

bool scan_string(const char **at, const char *end)
{
	const char *p = *at + 1;
	for (; p < end && *p != '"'; p++) {
		if ((unsigned char)*p < 0x20)
			return false;
		if (*p != '\\')
			continue;
		if (++p == end)
			return false;
		if (*p == 'u') {
			for (int i = 0; i < 4; i++)
				if (++p == end || !((*p >= '0' && *p <= '9') || ((*p | 32) >= 'a' && (*p | 32) <= 'f')))
					return false;
		} else if (!memchr("\"\\/bfnrt", *p, 8)) {
			return false;
		}
	}
	if (p >= end)
		return false;
	*at = p + 1;
	return true;
}

// Go's limit on nesting.
#define MAX_NESTING 10000

// A value that is neither object nor array.
static bool scan_scalar(const char **at, const char *end)
{
	switch (**at) {
	case '"':
		return scan_string(at, end);
	case 't':
		return scan_word(at, end, "true", 4);
	case 'f':
		return scan_word(at, end, "false", 5);
	case 'n':
		return scan_word(at, end, "null", 4);
	default:
		return scan_number(at, end);
	}
}

static bool scan_nested(const char **at, const char *end)
{
	unsigned char object[MAX_NESTING / 8 + 1] = { 0 }; // a bit per open level: object or array
	int depth = 0;
	const char *p = *at;
	bool want_value = true, first = false;
	for (;;) {
		while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
			p++;
		if (p == end)
			return false;
		bool in_object = depth > 0 && (object[(depth - 1) / 8] >> ((depth - 1) % 8) & 1);
		if (!want_value || (first && (*p == ']' || *p == '}'))) {
			if (*p == (in_object ? '}' : ']')) {
				p++;
				depth--;
			} else if (*p == ',' && !first) {
				p++;
				want_value = true;
				first = false;
				continue;
			} else {
				return false;
			}
		} else {
			if (in_object) {
				if (*p != '"' || !scan_string(&p, end))
					return false;
				while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
					p++;
				if (p == end || *p++ != ':')
					return false;
				while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
					p++;
				if (p == end)
					return false;
			}
			if (*p == '{' || *p == '[') {
				if (depth == MAX_NESTING)
					return false;
				unsigned char bit = (unsigned char)(1u << depth % 8);
				object[depth / 8] = (unsigned char)((depth % 8 ? object[depth / 8] & ~bit : 0) |
				                                    (*p == '{' ? bit : 0));
				depth++;
				p++;
				want_value = first = true;
				continue;
			}
			if (!scan_scalar(&p, end))
				return false;
		}
		first = want_value = false;
		if (depth == 0) {
			*at = p;
			return true;
		}
	}
}

bool scan_value(const char **at, const char *end)
{
	while (*at < end && (**at == ' ' || **at == '\n' || **at == '\t' || **at == '\r'))
		(*at)++;
	if (*at == end)
		return false;
	return **at == '{' || **at == '[' ? scan_nested(at, end) : scan_scalar(at, end);
}

bool scan_is_json(str text)
{
	const char *p = text.p, *end = text.p + text.n;
	if (!text.n || !scan_value(&p, end))
		return false;
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
		p++;
	return p == end;
}

static int hex4(const char *p)
{
	int v = 0;
	for (int i = 0; i < 4; i++) {
		char c = p[i];
		v = v * 16 + (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
	}
	return v;
}

static char *put_rune(char *to, uint32_t c)
{
	if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
		*to++ = (char)(0x80 | (c & 63));
	} else if (c < 0x10000) {
		*to++ = (char)(0xe0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 63));
		*to++ = (char)(0x80 | (c & 63));
	} else {
		*to++ = (char)(0xf0 | c >> 18);
		*to++ = (char)(0x80 | (c >> 12 & 63));
		*to++ = (char)(0x80 | (c >> 6 & 63));
		*to++ = (char)(0x80 | (c & 63));
	}
	return to;
}

// Bytes of the UTF-8 sequence at p, 0 when there is no valid one.
static size_t sequence(const char *p, const char *end)
{
	for (size_t n = 1; n <= 4 && n <= (size_t)(end - p); n++)
		if (str_utf8_valid(str_n(p, n)))
			return n;
	return 0;
}

// The inside of a string (already checked by skip_string) with escapes undone and bad UTF-8 replaced.
str scan_unescape(struct arena *a, const char *p, const char *end)
{
	size_t n = (size_t)(end - p);
	char *out = arena_alloc(a, n * 3 + 1), *to = out;
	while (p < end) {
		if (*p != '\\') {
			if ((unsigned char)*p < 0x80) {
				*to++ = *p++;
				continue;
			}
			size_t k = sequence(p, end);
			if (!k) {
				to = put_rune(to, 0xfffd);
				p++;
			} else {
				memcpy(to, p, k);
				to += k;
				p += k;
			}
			continue;
		}
		char c = p[1];
		p += 2;
		switch (c) {
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
			uint32_t u = (uint32_t)hex4(p);
			p += 4;
			if (u >= 0xd800 && u < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
				uint32_t low = (uint32_t)hex4(p + 2);
				if (low >= 0xdc00 && low < 0xe000) {
					u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
					p += 6;
				}
			}
			to = put_rune(to, u >= 0xd800 && u < 0xe000 ? 0xfffd : u);
			break;
		}
		default:
			*to++ = c;
		}
	}
	return str_n(out, (size_t)(to - out));
}

void scan_compact(struct buf *to, str text, bool escape_html)
{
	static const char hex[] = "0123456789abcdef";
	bool in_string = false;
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		if (!in_string && (c == ' ' || c == '\n' || c == '\t' || c == '\r'))
			continue;
		if (c == '"') {
			in_string = !in_string;
		} else if (in_string && c == '\\' && i + 1 < text.n) {
			buf_add_char(to, '\\');
			c = (unsigned char)text.p[++i];
		} else if (escape_html && (c == '<' || c == '>' || c == '&')) {
			buf_add(to, S("\\u00"));
			buf_add_char(to, hex[c >> 4]);
			buf_add_char(to, hex[c & 15]);
			continue;
		} else if (escape_html && c == 0xe2 && i + 2 < text.n && (unsigned char)text.p[i + 1] == 0x80 &&
		           ((unsigned char)text.p[i + 2] & ~1) == 0xa8) {
			buf_add(to, S("\\u202"));
			buf_add_char(to, hex[(unsigned char)text.p[i + 2] & 15]);
			i += 2;
			continue;
		}
		buf_add_char(to, (char)c);
	}
}
