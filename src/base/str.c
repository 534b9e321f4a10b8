#include "base/str.h"

int str_cmp(str a, str b)
{
	size_t n = MIN(a.n, b.n);
	int c = n ? memcmp(a.p, b.p, n) : 0;
	if (c)
		return c;
	return a.n < b.n ? -1 : a.n > b.n;
}

int str_cmp_qsort(const void *a, const void *b)
{
	return str_cmp(*(const str *)a, *(const str *)b);
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool str_eq_nocase(str a, str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	return true;
}

bool str_has_prefix(str s, str prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool str_has_suffix(str s, str suffix)
{
	return s.n >= suffix.n && (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

ptrdiff_t str_find(str s, str part)
{
	if (part.n == 0)
		return 0;
	if (s.n < part.n)
		return -1;
	const char *hit = memmem(s.p, s.n, part.p, part.n);
	return hit ? hit - s.p : -1;
}

bool str_contains(str s, str part)
{
	return str_find(s, part) >= 0;
}

ptrdiff_t str_find_char(str s, char c)
{
	const char *hit = s.n ? memchr(s.p, c, s.n) : NULL;
	return hit ? hit - s.p : -1;
}

ptrdiff_t str_rfind_char(str s, char c)
{
	const char *hit = s.n ? memrchr(s.p, c, s.n) : NULL;
	return hit ? hit - s.p : -1;
}

str str_sub(str s, size_t from, size_t to)
{
	to = MIN(to, s.n);
	from = MIN(from, to);
	return (str){ s.p ? s.p + from : NULL, to - from };
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

str str_trim(str s)
{
	while (s.n && is_space(s.p[0]))
		s.p++, s.n--;
	while (s.n && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool str_cut_prefix(str *s, str prefix)
{
	if (!str_has_prefix(*s, prefix))
		return false;
	*s = str_from(*s, prefix.n);
	return true;
}

bool str_cut_suffix(str *s, str suffix)
{
	if (!str_has_suffix(*s, suffix))
		return false;
	s->n -= suffix.n;
	return true;
}

bool str_split(str s, char sep, str *before, str *after)
{
	ptrdiff_t at = str_find_char(s, sep);
	if (at < 0) {
		*before = s;
		*after = (str){ NULL, 0 };
		return false;
	}
	*before = str_sub(s, 0, (size_t)at);
	*after = str_from(s, (size_t)at + 1);
	return true;
}

// An empty slice with a pointer, as S("") or what follows a last separator, is one empty part.
bool str_next(str *rest, char sep, str *part)
{
	if (!rest->p) // all parts are taken; str_split leaves a pointer as long as a separator was there
		return false;
	str_split(*rest, sep, part, rest);
	return true;
}

bool str_to_u64(str s, uint64_t *out)
{
	if (s.n == 0)
		return false;
	uint64_t v = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		uint64_t digit = (uint64_t)(s.p[i] - '0');
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
			return false;
	}
	*out = v;
	return true;
}

bool str_to_i64(str s, int64_t *out)
{
	bool minus = str_cut_prefix(&s, S("-"));
	if (!minus)
		str_cut_prefix(&s, S("+"));
	uint64_t v;
	if (!str_to_u64(s, &v))
		return false;
	if (v > (uint64_t)INT64_MAX + (minus ? 1 : 0))
		return false;
	*out = minus ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

uint64_t str_hash(str s)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < s.n; i++) {
		h ^= (unsigned char)s.p[i];
		h *= 0x100000001b3u;
	}
	h ^= h >> 32;
	h *= 0x9e3779b97f4a7c15u;
	return h ^ (h >> 29);
}

bool str_utf8_valid(str s)
{
	const unsigned char *p = (const unsigned char *)s.p, *end = p + s.n;
	while (p < end) {
		unsigned c = *p++;
		if (c < 0x80)
			continue;
		unsigned more = c >= 0xc2 && c <= 0xdf ? 1 : (c & 0xf0) == 0xe0 ? 2 : c >= 0xf0 && c <= 0xf4 ? 3 : 0;
		if (more == 0 || (size_t)(end - p) < more)
			return false;
		unsigned min = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80, max = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
		if (*p < min || *p > max)
			return false;
		for (p++, more--; more; p++, more--)
			if ((*p & 0xc0) != 0x80)
				return false;
	}
	return true;
}
