// Text is a slice: a pointer and a length, not terminated, never owned by the slice itself.
//
// A `struct str` says where bytes are, never who frees them: the bytes live in an arena, in a constant, or in
// a buffer that the caller keeps. Copying a slice copies two words. The empty slice has n == 0; its p may be NULL.
#ifndef CORACLE_BASE_STR_H
#define CORACLE_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct str {
	const char *p;
	size_t n;
} str;

// A slice over a string literal: S("pods").
#define S(literal) ((str){ "" literal, sizeof(literal) - 1 })
// The same for static initialisers.
#define S_INIT(literal) { "" literal, sizeof(literal) - 1 }
// printf support: printf(STR_FMT, STR_ARG(s)).
#define STR_FMT "%.*s"
#define STR_ARG(s) ((int)(s).n), ((s).p ? (s).p : "")

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

// A slice over a C string; NULL gives the empty slice.
static inline str str_c(const char *c) { return (str){ c, c ? strlen(c) : 0 }; }
static inline str str_n(const char *p, size_t n) { return (str){ p, n }; }
static inline bool str_empty(str s) { return s.n == 0; }
static inline bool str_eq(str a, str b) { return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0); }
static inline bool str_eqc(str a, const char *c) { return str_eq(a, str_c(c)); }

// Byte order, as memcmp; a prefix sorts before what it begins.
int str_cmp(str a, str b);
// The same for qsort over an array of slices.
int str_cmp_qsort(const void *a, const void *b);
// ASCII letters without regard to case.
bool str_eq_nocase(str a, str b);
bool str_has_prefix(str s, str prefix);
bool str_has_suffix(str s, str suffix);
bool str_contains(str s, str part);
// Index of the first (last) occurrence, or -1.
ptrdiff_t str_find(str s, str part);
ptrdiff_t str_find_char(str s, char c);
ptrdiff_t str_rfind_char(str s, char c);
// The part from byte `from` up to, not including, `to`; both are clamped to the slice.
str str_sub(str s, size_t from, size_t to);
static inline str str_from(str s, size_t from) { return str_sub(s, from, s.n); }
// Without leading and trailing ASCII white space.
str str_trim(str s);
// If s begins with (ends with) the part, cuts it off and returns true.
bool str_cut_prefix(str *s, str prefix);
bool str_cut_suffix(str *s, str suffix);
// Splits at the first `sep`: *before and *after are the parts; without one *before is s, *after empty, returns false.
bool str_split(str s, char sep, str *before, str *after);
// Iteration over the parts between separators: for (str rest = s, part; str_next(&rest, ',', &part);)
// A NULL slice has no parts, S("") has one (empty), "a,,b" has three.
bool str_next(str *rest, char sep, str *part);
// The whole slice as a decimal number with optional sign; false when it is none or does not fit.
bool str_to_i64(str s, int64_t *out);
bool str_to_u64(str s, uint64_t *out);
// A 64-bit hash (FNV-1a with a final mix; seedless: never for tables that an attacker fills without bound).
uint64_t str_hash(str s);
// Whether the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms).
bool str_utf8_valid(str s);

#endif
