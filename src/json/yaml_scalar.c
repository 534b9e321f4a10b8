#include "json/yaml_scalar.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
	const char *text;
	enum yaml_type type;
	int value; // of a boolean; the sign of an infinity, 0: NaN
} words[] = {
	{ "y", YAML_BOOL, 1 },       { "Y", YAML_BOOL, 1 },       { "yes", YAML_BOOL, 1 },
	{ "Yes", YAML_BOOL, 1 },     { "YES", YAML_BOOL, 1 },     { "true", YAML_BOOL, 1 },
	{ "True", YAML_BOOL, 1 },    { "TRUE", YAML_BOOL, 1 },    { "on", YAML_BOOL, 1 },
	{ "On", YAML_BOOL, 1 },      { "ON", YAML_BOOL, 1 },      { "n", YAML_BOOL, 0 },
	{ "N", YAML_BOOL, 0 },       { "no", YAML_BOOL, 0 },      { "No", YAML_BOOL, 0 },
	{ "NO", YAML_BOOL, 0 },      { "false", YAML_BOOL, 0 },   { "False", YAML_BOOL, 0 },
	{ "FALSE", YAML_BOOL, 0 },   { "off", YAML_BOOL, 0 },     { "Off", YAML_BOOL, 0 },
	{ "OFF", YAML_BOOL, 0 },     { "", YAML_NULL, 0 },        { "~", YAML_NULL, 0 },
	{ "null", YAML_NULL, 0 },    { "Null", YAML_NULL, 0 },    { "NULL", YAML_NULL, 0 },
	{ ".nan", YAML_FLOAT, 0 },   { ".NaN", YAML_FLOAT, 0 },   { ".NAN", YAML_FLOAT, 0 },
	{ ".inf", YAML_FLOAT, 1 },   { ".Inf", YAML_FLOAT, 1 },   { ".INF", YAML_FLOAT, 1 },
	{ "+.inf", YAML_FLOAT, 1 },  { "+.Inf", YAML_FLOAT, 1 },  { "+.INF", YAML_FLOAT, 1 },
	{ "-.inf", YAML_FLOAT, -1 }, { "-.Inf", YAML_FLOAT, -1 }, { "-.INF", YAML_FLOAT, -1 },
};

enum { LONGEST_WORD = 5, LONGEST_NUMBER = 400 };

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool lookup(str text, struct yaml_scalar *out)
{
	if (text.n > LONGEST_WORD)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!str_eqc(text, words[i].text))
			continue;
		out->type = words[i].type;
		out->b = words[i].value;
		out->d = words[i].value == 0 ? NAN : words[i].value * INFINITY;
		return true;
	}
	return false;
}

// One or two digits with a value in [min, max].
static bool take_number(str *s, int min, int max, int *out)
{
	size_t n = 0;
	int v = 0;
	while (n < 2 && n < s->n && is_digit(s->p[n]))
		v = v * 10 + (s->p[n++] - '0');
	*s = str_from(*s, n);
	*out = v;
	return n > 0 && v >= min && v <= max;
}

static bool take_char(str *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = str_from(*s, 1);
	return true;
}

static int days_in(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	return month == 2 && leap ? 29 : days[month - 1];
}

// 2006-1-2, 2006-1-2T15:4:5.9Z07:00 (or with a small t), 2006-1-2 15:4:5.9
static bool is_timestamp(str s)
{
	int year = 0, month, day, hour, minute, second;
	if (s.n < 8 || s.p[4] != '-')
		return false;
	for (int i = 0; i < 4; i++) {
		if (!is_digit(s.p[i]))
			return false;
		year = year * 10 + (s.p[i] - '0');
	}
	s = str_from(s, 5);
	if (!take_number(&s, 1, 12, &month) || !take_char(&s, '-') || !take_number(&s, 1, days_in(year, month), &day))
		return false;
	if (s.n == 0)
		return true;
	bool space = s.p[0] == ' ';
	if (!space && s.p[0] != 'T' && s.p[0] != 't')
		return false;
	s = str_from(s, 1);
	if (!take_number(&s, 0, 23, &hour) || !take_char(&s, ':') || !take_number(&s, 0, 59, &minute) ||
	    !take_char(&s, ':') || !take_number(&s, 0, 59, &second))
		return false;
	if (s.n >= 2 && (s.p[0] == '.' || s.p[0] == ',') && is_digit(s.p[1])) {
		s = str_from(s, 1);
		while (s.n && is_digit(s.p[0]))
			s = str_from(s, 1);
	}
	if (space)
		return s.n == 0;
	if (take_char(&s, 'Z'))
		return s.n == 0;
	if (s.n != 6 || (s.p[0] != '+' && s.p[0] != '-') || s.p[3] != ':')
		return false;
	return is_digit(s.p[1]) && is_digit(s.p[2]) && is_digit(s.p[4]) && is_digit(s.p[5]);
}

// Digits of a base that a prefix names (0x, 0o, 0b, 0); false when there are others or the number is above 64 bits.
static bool parse_magnitude(str s, uint64_t *out)
{
	unsigned base = 10;
	if (s.n > 1 && s.p[0] == '0') {
		char c = s.p[1] | 0x20;
		base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
		s = str_from(s, c == 'x' || c == 'b' || c == 'o' ? 2 : 1);
	}
	uint64_t v = 0;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i], low = c | 0x20;
		unsigned digit = is_digit(c)                ? (unsigned)(c - '0')
		                 : low >= 'a' && low <= 'f' ? (unsigned)(low - 'a') + 10
		                                            : 99;
		if (digit >= base || __builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, digit, &v))
			return false;
	}
	*out = v;
	return s.n > 0;
}

static bool parse_int(str s, struct yaml_scalar *out)
{
	bool minus = false, sign = s.n && (s.p[0] == '-' || s.p[0] == '+');
	if (sign) {
		minus = s.p[0] == '-';
		s = str_from(s, 1);
	}
	uint64_t v;
	if (!parse_magnitude(s, &v))
		return false;
	out->type = YAML_INT;
	if (v <= (uint64_t)INT64_MAX + (minus ? 1 : 0)) {
		out->i = minus ? (int64_t)(0 - v) : (int64_t)v;
		return true;
	}
	out->is_unsigned = true;
	out->u = v;
	return !sign;
}

// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
static bool parse_float(str s, struct yaml_scalar *out)
{
	char text[LONGEST_NUMBER + 1];
	if (s.n > LONGEST_NUMBER)
		return false;
	size_t i = 0, digits = 0;
	if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
		i++;
	for (; i < s.n && is_digit(s.p[i]); i++)
		digits++;
	if (i < s.n && s.p[i] == '.') {
		size_t before = digits;
		for (i++; i < s.n && is_digit(s.p[i]); i++)
			digits++;
		if (before == 0 && digits == 0)
			return false;
	}
	if (digits == 0)
		return false;
	if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
		i++;
		if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
			i++;
		if (i == s.n || !is_digit(s.p[i]))
			return false;
		while (i < s.n && is_digit(s.p[i]))
			i++;
	}
	if (i < s.n)
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = 0;
	out->d = strtod(text, NULL);
	out->type = YAML_FLOAT;
	return isfinite(out->d); // beyond the range it stays text
}

struct yaml_scalar yaml_resolve(str text, bool implicit)
{
	struct yaml_scalar v = { .type = YAML_STR };
	char c = text.n ? text.p[0] : 'N';
	if (c != '+' && c != '-' && c != '.' && !is_digit(c)) {
		if (text.n && !strchr("yYnNtTfFoO~", c))
			return v;
		lookup(text, &v);
		return v;
	}
	if (lookup(text, &v))
		return v;
	if (c == '.')
		return parse_float(text, &v) ? v : (struct yaml_scalar){ .type = YAML_STR };
	if (implicit && is_timestamp(text)) {
		v.type = YAML_TIMESTAMP;
		return v;
	}
	// Underscores may stand anywhere in a number.
	char plain[LONGEST_NUMBER];
	size_t n = 0;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '_')
			continue;
		if (n == sizeof(plain))
			return v;
		plain[n++] = text.p[i];
	}
	if (parse_int(str_n(plain, n), &v))
		return v;
	v = (struct yaml_scalar){ .type = YAML_STR };
	return parse_float(str_n(plain, n), &v) ? v : (struct yaml_scalar){ .type = YAML_STR };
}

// [-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?
bool yaml_is_base60(str s)
{
	size_t i = 0, groups = 0;
	if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
		i++;
	if (i == s.n || !is_digit(s.p[i]))
		return false;
	while (i < s.n && (is_digit(s.p[i]) || s.p[i] == '_'))
		i++;
	for (; i < s.n && s.p[i] == ':'; groups++) {
		i++;
		if (i + 1 < s.n && s.p[i] >= '0' && s.p[i] <= '5' && is_digit(s.p[i + 1]))
			i++;
		if (i == s.n || !is_digit(s.p[i]))
			return false;
		i++;
	}
	if (i < s.n && s.p[i] == '.')
		for (i++; i < s.n && (is_digit(s.p[i]) || s.p[i] == '_');)
			i++;
	return groups > 0 && i == s.n;
}

str yaml_float_text(struct arena *a, double d, bool single)
{
	if (isnan(d))
		return S(".nan");
	if (isinf(d))
		return d > 0 ? S(".inf") : S("-.inf");
	if (d == 0)
		return signbit(d) ? S("-0") : S("0");
	char text[40];
	for (int digits = 0; digits < 17; digits++) {
		snprintf(text, sizeof(text), "%.*e", digits, d);
		if (single ? strtof(text, NULL) == (float)d : strtod(text, NULL) == d)
			break;
	}
	str mantissa, exponent;
	str_split(str_c(text), 'e', &mantissa, &exponent);
	int64_t e = 0;
	str_to_i64(exponent, &e);
	if (e < -4 || e >= 6) // Go's exponents have two digits at least, as C's
		return arena_dup(a, str_c(text));
	size_t digits = mantissa.n - (mantissa.p[0] == '-') - (str_find_char(mantissa, '.') >= 0);
	int decimals = (int)MAX((int64_t)digits - 1 - e, INT64_C(0));
	return arena_printf(a, "%.*f", decimals, d);
}
