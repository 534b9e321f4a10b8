// Quantities: parsing, canonical text and arithmetic. Rule: apimachinery pkg/api/resource (quantity.go, amount.go, suffix.go),
// down to the cases where the text that came in is kept although it is not canonical ("1.500", "+5").
#include "schema/quantity.h"

#include <math.h>
#include <stdio.h>

typedef __int128 i128;

enum format { DECIMAL_SI, DECIMAL_EXPONENT, BINARY_SI };

// v * 10^e
struct amount {
	i128 v;
	int32_t e;
	enum format format;
};

#define MAX_TEXT 256
#define MAX_DIGITS 36 // so that two more fit when the exponent is made a multiple of three

static const struct suffix {
	const char *text;
	int base, exponent;
} suffixes[] = {
	{ "", 10, 0 },   { "m", 10, -3 }, { "k", 10, 3 },  { "M", 10, 6 },  { "G", 10, 9 },  { "T", 10, 12 },
	{ "P", 10, 15 }, { "E", 10, 18 }, { "n", 10, -9 }, { "u", 10, -6 }, { "Ki", 2, 10 }, { "Mi", 2, 20 },
	{ "Gi", 2, 30 }, { "Ti", 2, 40 }, { "Pi", 2, 50 }, { "Ei", 2, 60 },
};

static i128 pow10_i128(int n)
{
	i128 v = 1;
	while (n-- > 0)
		v *= 10;
	return v;
}

static i128 magnitude(i128 v)
{
	return v < 0 ? -v : v;
}

static bool fail(struct error *err, const char *what)
{
	return error_api(err, 400, "BadRequest", "%s", what);
}
static bool bad_format(struct error *err)
{
	return fail(err, "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
}

// --- Unbounded arithmetic for odd texts: as many limbs as MAX_TEXT digits and a binary suffix need ----------------------

struct big {
	uint32_t limb[32];
};

static void big_mul_add(struct big *b, uint32_t factor, uint32_t add)
{
	uint64_t carry = add;
	for (size_t i = 0; i < ARRAY_LEN(b->limb); i++) {
		carry += (uint64_t)b->limb[i] * factor;
		b->limb[i] = (uint32_t)carry;
		carry >>= 32;
	}
}

static uint32_t big_div(struct big *b, uint32_t by)
{
	uint64_t rest = 0;
	for (size_t i = ARRAY_LEN(b->limb); i-- > 0;) {
		rest = rest << 32 | b->limb[i];
		b->limb[i] = (uint32_t)(rest / by);
		rest %= by;
	}
	return (uint32_t)rest;
}

static bool big_is_zero(const struct big *b)
{
	for (size_t i = 0; i < ARRAY_LEN(b->limb); i++)
		if (b->limb[i])
			return false;
	return true;
}

static bool big_to_i128(const struct big *b, i128 *out)
{
	for (size_t i = 4; i < ARRAY_LEN(b->limb); i++)
		if (b->limb[i])
			return false;
	if (b->limb[3] >> 31)
		return false;
	*out = (i128)b->limb[3] << 96 | (i128)b->limb[2] << 64 | (i128)b->limb[1] << 32 | b->limb[0];
	return true;
}

// --- Parsing ------------------------------------------------------------------------------------------------------------

struct parts {
	bool negative;
	str num, denom, suffix; // num without leading zeros, at least "0"
};

static size_t digits(str s)
{
	size_t i = 0;
	while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
		i++;
	return i;
}

static bool split(str s, struct parts *out, struct error *err)
{
	*out = (struct parts){ .num = S("0") };
	if (s.n && (s.p[0] == '-' || s.p[0] == '+')) {
		out->negative = s.p[0] == '-';
		s = str_from(s, 1);
	}
	while (s.n && s.p[0] == '0')
		s = str_from(s, 1);
	if (!s.n)
		return true;
	size_t n = digits(s);
	if (n)
		out->num = str_sub(s, 0, n);
	s = str_from(s, n);
	if (s.n && s.p[0] == '.') {
		s = str_from(s, 1);
		n = digits(s);
		out->denom = str_sub(s, 0, n);
		s = str_from(s, n);
	}
	size_t i = 0;
	while (i < s.n && memchr("eEinumkKMGTP", s.p[i], 12))
		i++;
	if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
		i++;
	i += digits(str_from(s, i));
	if (i < s.n)
		return bad_format(err);
	out->suffix = s;
	return true;
}

static bool interpret(str suffix, int *base, int32_t *exponent, enum format *format)
{
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
		if (str_eqc(suffix, suffixes[i].text)) {
			*base = suffixes[i].base;
			*exponent = suffixes[i].exponent;
			*format = *base == 2 ? BINARY_SI : DECIMAL_SI;
			return true;
		}
	int64_t v;
	if (suffix.n < 2 || (suffix.p[0] | 32) != 'e' || !str_to_i64(str_from(suffix, 1), &v))
		return false;
	*base = 10;
	*exponent = (int32_t)v;
	*format = DECIMAL_EXPONENT;
	return true;
}

static void strip_zeros(struct amount *x)
{
	while (x->v != 0 && x->v % 10 == 0) {
		x->v /= 10;
		x->e++;
	}
	if (x->v == 0)
		x->e = 0;
}

// What does not fit 18 digits or is finer than nano: exact, then rounded up to nano, binary ones capped at the largest int64.
static bool parse_big(const struct parts *p, int base, int32_t exponent, enum format format, struct amount *out,
                      struct error *err)
{
	struct big b = { 0 };
	bool lost = false;
	for (size_t i = 0; i < p->num.n; i++)
		big_mul_add(&b, 10, (uint32_t)(p->num.p[i] - '0'));
	for (size_t i = 0; i < p->denom.n; i++)
		big_mul_add(&b, 10, (uint32_t)(p->denom.p[i] - '0'));
	int64_t e = -(int64_t)p->denom.n;
	if (base == 10)
		e += exponent;
	else
		for (int i = 0; i < exponent; i += 10)
			big_mul_add(&b, 1024, 0);
	for (; e < -9 && !big_is_zero(&b); e++)
		lost |= big_div(&b, 10) != 0;
	if (e < -9)
		e = -9;
	if (lost)
		big_mul_add(&b, 1, 1);
	struct big small = b;
	while (!big_is_zero(&small)) { // zeros at the end go into the exponent
		struct big shorter = small;
		if (big_div(&shorter, 10) != 0)
			break;
		small = shorter;
		e++;
	}
	i128 v;
	bool fits = big_to_i128(&small, &v);
	if (format == BINARY_SI) {
		const i128 max = INT64_MAX;
		bool more = !fits || (e >= 0 ? e > 19 || v > max / pow10_i128((int)e) : v > max * pow10_i128((int)-e));
		if (more) {
			v = max;
			e = 0;
		}
		fits = true;
		if (v != 0 && e < 0 && v < pow10_i128((int)-e))
			format = DECIMAL_SI;
	}
	if (!fits || v >= pow10_i128(MAX_DIGITS))
		return fail(err, "unable to parse numeric part of quantity");
	*out = (struct amount){ p->negative ? -v : v, v ? (int32_t)e : 0, format };
	return true;
}

// *keep: the text is taken as canonical.
static bool parse(str text, struct amount *out, bool *keep, struct error *err)
{
	*keep = false;
	if (text.n == 0)
		return bad_format(err);
	if (str_eq(text, S("0"))) {
		*out = (struct amount){ 0 };
		*keep = true;
		return true;
	}
	if (text.n > MAX_TEXT)
		return fail(err, "unable to parse numeric part of quantity");
	struct parts p;
	int base;
	int32_t exponent;
	enum format format;
	if (!split(text, &p, err))
		return false;
	if (!interpret(p.suffix, &base, &exponent, &format))
		return fail(err, "unable to parse quantity's suffix");
	int precision, places = (int)(p.num.n + p.denom.n);
	int64_t scale = 0;
	if (base == 10) {
		scale = (int64_t)exponent - (int64_t)p.denom.n;
		precision = 18 - places;
	} else {
		precision = p.denom.n ? -1 : 15 - (int)p.num.n - exponent * 3 / 10 - 1;
	}
	if (precision < 0 || scale < -9 || scale > INT32_MAX)
		return parse_big(&p, base, exponent, format, out, err);
	int64_t v = 0;
	for (size_t i = 0; i < p.num.n; i++)
		v = v * 10 + (p.num.p[i] - '0');
	for (size_t i = 0; i < p.denom.n; i++)
		v = v * 10 + (p.denom.p[i] - '0');
	int64_t with_suffix = base == 2 ? (int64_t)((uint64_t)v << exponent) : v;
	*out = (struct amount){ p.negative ? -with_suffix : with_suffix, (int32_t)scale, format };
	if (base == 2) {
		*keep = exponent % 10 == 0 && (v & 7) != 0;
	} else {
		size_t zeros = 0;
		while (zeros < p.denom.n && p.denom.p[p.denom.n - 1 - zeros] == '0')
			zeros++;
		if (zeros == p.denom.n)
			for (size_t i = p.num.n; i-- > 0 && p.num.p[i] == '0';)
				zeros++;
		*keep = scale % 3 == 0 && zeros < 3 && p.num.p[0] != '0';
	}
	return true;
}

// --- Printing -----------------------------------------------------------------------------------------------------------

static size_t put_i128(i128 v, char *to)
{
	char rev[48];
	size_t n = 0, k = 0;
	bool negative = v < 0;
	v = magnitude(v);
	do
		rev[n++] = (char)('0' + (int)(v % 10));
	while ((v /= 10) != 0);
	if (negative)
		to[k++] = '-';
	while (n)
		to[k++] = rev[--n];
	return k;
}

// Whether x is a whole number of at most 37 digits; then *out is it.
static bool whole(struct amount x, i128 *out)
{
	strip_zeros(&x);
	if (x.e < 0 || x.e > MAX_DIGITS || magnitude(x.v) > pow10_i128(37 - x.e))
		return false;
	*out = x.v * pow10_i128(x.e);
	return true;
}

static str suffix_text(int base, int exponent)
{
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
		if (suffixes[i].base == base && suffixes[i].exponent == exponent)
			return str_c(suffixes[i].text);
	return S("");
}

static str print(struct arena *a, struct amount x)
{
	char text[80];
	if (x.v == 0)
		return S("0");
	i128 v;
	if (x.format == BINARY_SI && whole(x, &v) && magnitude(v) >= 1024) {
		int exponent = 0;
		for (; v % 1024 == 0; v /= 1024)
			exponent += 10;
		size_t n = put_i128(v, text);
		return arena_concat(a, str_n(text, n), exponent ? suffix_text(2, exponent) : S(""));
	}
	strip_zeros(&x);
	for (; x.e % 3 != 0; x.e--)
		x.v *= 10;
	// There is nothing above E. (Upstream then drops the suffix, and with it the value.)
	for (; x.format != DECIMAL_EXPONENT && x.e > 18 && magnitude(x.v) < pow10_i128(MAX_DIGITS - 3); x.e -= 3)
		x.v *= 1000;
	size_t n = put_i128(x.v, text);
	if (x.format == DECIMAL_EXPONENT || x.e > 18) {
		if (x.e)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "e%d", x.e);
		return arena_dup(a, str_n(text, n));
	}
	return arena_concat(a, str_n(text, n), suffix_text(10, x.e));
}

bool quantity_canonical(struct arena *a, str text, struct quantity *out, struct error *err)
{
	struct amount x;
	bool keep;
	if (!parse(text, &x, &keep, err))
		return false;
	out->s = keep ? text : print(a, x);
	return true;
}

// --- Use ----------------------------------------------------------------------------------------------------------------

// Text that was never canonical counts as zero, as an unset quantity does.
static struct amount amount_of(struct quantity q)
{
	struct amount x;
	struct error ignored;
	bool keep;
	return parse(q.s, &x, &keep, &ignored) ? x : (struct amount){ 0 };
}

// ceil(|x| / 10^scale) with the sign of x, clamped.
static int64_t scaled(struct amount x, int scale)
{
	int64_t shift = (int64_t)x.e - scale;
	i128 v = magnitude(x.v);
	const i128 max = INT64_MAX;
	for (; shift > 0 && v != 0 && v <= max; shift--)
		v *= 10;
	bool rest = false;
	for (; shift < 0 && v != 0; shift++) {
		rest |= v % 10 != 0;
		v /= 10;
	}
	v += rest;
	if (v > max)
		v = max;
	return x.v < 0 ? -(int64_t)v : (int64_t)v;
}

int64_t quantity_value(struct quantity q)
{
	return scaled(amount_of(q), 0);
}
int64_t quantity_milli(struct quantity q)
{
	return scaled(amount_of(q), -3);
}

double quantity_double(struct quantity q)
{
	struct amount x = amount_of(q);
	return (double)x.v * pow(10, x.e);
}

// Brings both to one exponent. False when the larger one has no room for it; its sign then decides everything.
static bool align(struct amount *x, struct amount *y)
{
	strip_zeros(x);
	strip_zeros(y);
	if (x->v == 0)
		x->e = y->e;
	if (y->v == 0)
		y->e = x->e;
	struct amount *high = x->e > y->e ? x : y;
	int64_t by = (int64_t)MAX(x->e, y->e) - MIN(x->e, y->e);
	if (by > 37 || magnitude(high->v) > pow10_i128(37 - (int)by))
		return false;
	high->v *= pow10_i128((int)by);
	high->e -= (int32_t)by;
	return true;
}

int quantity_cmp(struct quantity p, struct quantity q)
{
	if (str_eq(p.s, q.s))
		return 0;
	struct amount x = amount_of(p), y = amount_of(q);
	if (!align(&x, &y)) {
		bool x_high = x.e > y.e;
		int sign = (x_high ? x.v : y.v) < 0 ? -1 : 1;
		return x_high ? sign : -sign;
	}
	return x.v < y.v ? -1 : x.v > y.v;
}

int quantity_sign(struct quantity q)
{
	struct amount x = amount_of(q);
	return x.v < 0 ? -1 : x.v > 0;
}

bool quantity_is_zero(struct quantity q)
{
	return quantity_sign(q) == 0;
}

static struct quantity sum(struct arena *a, struct amount x, struct amount y)
{
	enum format format = x.v == 0 ? y.format : x.format;
	struct amount z;
	if (!align(&x, &y)) {
		z = x.e > y.e ? x : y; // the other one is below its last digit
	} else {
		z = (struct amount){ x.v + y.v, x.e, format };
		while (magnitude(z.v) >= pow10_i128(MAX_DIGITS)) { // keeps the leading digits
			z.v /= 10;
			z.e++;
		}
	}
	z.format = format;
	return (struct quantity){ print(a, z) };
}

struct quantity quantity_add(struct arena *a, struct quantity x, struct quantity y)
{
	return sum(a, amount_of(x), amount_of(y));
}

struct quantity quantity_sub(struct arena *a, struct quantity x, struct quantity y)
{
	struct amount minus = amount_of(y);
	minus.v = -minus.v;
	return sum(a, amount_of(x), minus);
}

struct quantity quantity_of(struct arena *a, int64_t value, bool binary)
{
	return (struct quantity){ print(a, (struct amount){ value, 0, binary ? BINARY_SI : DECIMAL_SI }) };
}

struct quantity quantity_of_milli(struct arena *a, int64_t milli)
{
	return (struct quantity){ print(a, (struct amount){ milli, -3, DECIMAL_SI }) };
}

bool quantity_map_get(const struct quantity_map *m, str key, struct quantity *out)
{
	for (size_t i = 0; i < m->n; i++)
		if (str_eq(m->v[i].key, key)) {
			*out = m->v[i].value;
			return true;
		}
	return false;
}

void quantity_map_set(struct arena *a, struct quantity_map *m, str key, struct quantity q)
{
	size_t i = 0;
	while (i < m->n && str_cmp(m->v[i].key, key) < 0)
		i++;
	if (i == m->n || !str_eq(m->v[i].key, key)) {
		LIST_ADD(a, m);
		memmove(&m->v[i + 1], &m->v[i], (m->n - 1 - i) * sizeof(*m->v));
		m->v[i].key = key;
	}
	m->v[i].value = q;
}
