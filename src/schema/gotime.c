// Times and durations in Go's forms. Rules: package time of the Go standard library (format.go, time.go).
#include "schema/gotime.h"

#include <stdio.h>

#define NS_PER_S INT64_C(1000000000)
#define LAYOUT "2006-01-02T15:04:05Z07:00"
#define LAYOUT_MICRO "2006-01-02T15:04:05.000000Z07:00"

struct parser {
	str whole, rest;
	const char *layout;
	const char *range; // name of the part that is out of range
};

static bool digit(str s, size_t i)
{
	return i < s.n && s.p[i] >= '0' && s.p[i] <= '9';
}

// Quotes as package time does: backslash and quote escaped, other bytes outside ASCII and control characters as \xNN.
static void quoted(str s, char *to, size_t size)
{
	size_t n = 0;
	to[n++] = '"';
	for (size_t i = 0; i < s.n && n + 6 < size; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '"' || c == '\\') {
			to[n++] = '\\';
			to[n++] = (char)c;
		} else if (c < ' ' || c >= 0x80) {
			n += (size_t)snprintf(to + n, size - n, "\\x%02x", c);
		} else {
			to[n++] = (char)c;
		}
	}
	to[n++] = '"';
	to[n] = 0;
}

static bool cannot(struct parser *p, str at, const char *elem, struct error *err)
{
	char whole[400], part[400];
	quoted(p->whole, whole, sizeof(whole));
	quoted(at, part, sizeof(part));
	return error_api(err, 400, "BadRequest", "parsing time %s as \"%s\": cannot parse %s as \"%s\"", whole,
	                 p->layout, part, elem);
}

// A number of exactly `width` digits.
static bool number(struct parser *p, size_t width, const char *elem, int *out, struct error *err)
{
	int v = 0;
	for (size_t i = 0; i < width; i++) {
		if (!digit(p->rest, i))
			return cannot(p, p->rest, elem, err);
		v = v * 10 + (p->rest.p[i] - '0');
	}
	p->rest = str_from(p->rest, width);
	*out = v;
	return true;
}

static bool literal(struct parser *p, const char *c, struct error *err)
{
	if (!str_has_prefix(p->rest, str_c(c)))
		return cannot(p, p->rest, c, err);
	p->rest = str_from(p->rest, 1);
	return true;
}

// Days since 1970-01-01 in the proleptic Gregorian calendar.
static int64_t days_from_civil(int64_t y, int m, int d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	return era * 146097 + doe - 719468;
}

static int days_in(int year, int month)
{
	static const char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	return month == 2 && leap ? 29 : days[month - 1];
}

static void out_of_range(struct parser *p, bool bad, const char *what)
{
	if (bad && !p->range)
		p->range = what;
}

static bool fraction(struct parser *p, bool micro, int32_t *nsec, struct error *err)
{
	size_t n = 0;
	if (micro) {
		n = 7;
		bool ok = p->rest.n >= n && (p->rest.p[0] == '.' || p->rest.p[0] == ',');
		for (size_t i = 1; ok && i < n; i++)
			ok = digit(p->rest, i);
		if (!ok)
			return cannot(p, p->rest, ".000000", err);
	} else if (p->rest.n >= 2 && (p->rest.p[0] == '.' || p->rest.p[0] == ',') && digit(p->rest, 1)) {
		for (n = 2; digit(p->rest, n); n++)
			continue;
	}
	int32_t v = 0;
	for (size_t i = 1; i < 10; i++)
		v = v * 10 + (i < n ? p->rest.p[i] - '0' : 0);
	*nsec = v;
	p->rest = str_from(p->rest, n);
	return true;
}

static bool zone(struct parser *p, int *offset, struct error *err)
{
	*offset = 0;
	if (p->rest.n && p->rest.p[0] == 'Z') {
		p->rest = str_from(p->rest, 1);
		return true;
	}
	str r = p->rest;
	if (r.n < 6 || r.p[3] != ':' || !digit(r, 1) || !digit(r, 2) || !digit(r, 4) || !digit(r, 5) ||
	    (r.p[0] != '+' && r.p[0] != '-'))
		return cannot(p, r, "Z07:00", err);
	int h = (r.p[1] - '0') * 10 + r.p[2] - '0', m = (r.p[4] - '0') * 10 + r.p[5] - '0';
	out_of_range(p, h > 24, "time zone offset hour");
	out_of_range(p, m > 60, "time zone offset minute");
	*offset = (h * 60 + m) * 60 * (r.p[0] == '-' ? -1 : 1);
	p->rest = str_from(r, 6);
	return true;
}

bool api_time_parse(str text, bool micro, struct api_time *out, struct error *err)
{
	struct parser p = { text, text, micro ? LAYOUT_MICRO : LAYOUT, NULL };
	int year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0, offset = 0;
	int32_t nsec = 0;
	if (!number(&p, 4, "2006", &year, err) || !literal(&p, "-", err) || !number(&p, 2, "01", &month, err))
		return false;
	out_of_range(&p, month < 1 || month > 12, "month");
	if (!p.range && (!literal(&p, "-", err) || !number(&p, 2, "02", &day, err) || !literal(&p, "T", err) ||
	                 !number(&p, 2, "15", &hour, err)))
		return false;
	if (!p.range)
		out_of_range(&p, hour > 23, "hour");
	if (!p.range && (!literal(&p, ":", err) || !number(&p, 2, "04", &minute, err)))
		return false;
	if (!p.range)
		out_of_range(&p, minute > 59, "minute");
	if (!p.range && (!literal(&p, ":", err) || !number(&p, 2, "05", &second, err)))
		return false;
	if (!p.range)
		out_of_range(&p, second > 59, "second");
	if (!p.range && (!fraction(&p, micro, &nsec, err) || !zone(&p, &offset, err)))
		return false;
	char whole[400];
	if (!p.range && p.rest.n) {
		char part[400];
		quoted(text, whole, sizeof(whole));
		quoted(p.rest, part, sizeof(part));
		return error_api(err, 400, "BadRequest", "parsing time %s: extra text: %s", whole, part);
	}
	if (!p.range)
		out_of_range(&p, day < 1 || day > days_in(year, month), "day");
	if (p.range) {
		quoted(text, whole, sizeof(whole));
		return error_api(err, 400, "BadRequest", "parsing time %s: %s out of range", whole, p.range);
	}
	*out = (struct api_time){
		days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset, nsec, true
	};
	// Go's zero time (year 1) is "not set".
	if (out->sec == INT64_C(-62135596800) && nsec == 0)
		*out = (struct api_time){ 0 };
	return true;
}

static char *two(char *to, int v)
{
	*to++ = (char)('0' + v / 10 % 10);
	*to++ = (char)('0' + v % 10);
	return to;
}

size_t api_time_format(struct api_time t, bool micro, char *to)
{
	int64_t days = t.sec / 86400, left = t.sec % 86400;
	if (left < 0) {
		left += 86400;
		days--;
	}
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	int day = (int)(doy - (153 * mp + 2) / 5 + 1), month = (int)(mp < 10 ? mp + 3 : mp - 9);
	int64_t year = yoe + era * 400 + (month <= 2);
	char *p = to;
	if (year >= 0 && year <= 9999) {
		p = two(p, (int)(year / 100));
		p = two(p, (int)(year % 100));
	} else {
		p += snprintf(p, 14, "%lld", (long long)(year % 100000000000));
	}
	*p++ = '-';
	p = two(p, month);
	*p++ = '-';
	p = two(p, day);
	*p++ = 'T';
	p = two(p, (int)(left / 3600));
	*p++ = ':';
	p = two(p, (int)(left / 60 % 60));
	*p++ = ':';
	p = two(p, (int)(left % 60));
	if (micro) {
		*p++ = '.';
		int us = t.nsec / 1000;
		p = two(p, us / 10000);
		p = two(p, us / 100);
		p = two(p, us);
	}
	*p++ = 'Z';
	return (size_t)(p - to);
}

int api_time_cmp(struct api_time x, struct api_time y)
{
	if (!x.set || !y.set)
		return (int)x.set - (int)y.set;
	if (x.sec != y.sec)
		return x.sec < y.sec ? -1 : 1;
	return x.nsec < y.nsec ? -1 : x.nsec > y.nsec;
}

static bool bad_duration(str text, const char *what, str unit, struct error *err)
{
	char whole[300], u[100];
	quoted(text, whole, sizeof(whole));
	if (!unit.p)
		return error_api(err, 400, "BadRequest", "time: %s duration %s", what, whole);
	quoted(unit, u, sizeof(u));
	return error_api(err, 400, "BadRequest", "time: %s %s in duration %s", what, u, whole);
}

static const struct {
	const char *name;
	int64_t ns;
} units[] = {
	{ "ns", 1 },       { "us", 1000 },    { "\xc2\xb5s", 1000 },  { "\xce\xbcs", 1000 },
	{ "ms", 1000000 }, { "s", NS_PER_S }, { "m", 60 * NS_PER_S }, { "h", 3600 * NS_PER_S },
};

bool duration_parse(str text, int64_t *ns, struct error *err)
{
	str s = text;
	bool negative = false;
	uint64_t total = 0;
	const uint64_t limit = UINT64_C(1) << 63;
	if (s.n && (s.p[0] == '-' || s.p[0] == '+')) {
		negative = s.p[0] == '-';
		s = str_from(s, 1);
	}
	if (str_eq(s, S("0"))) {
		*ns = 0;
		return true;
	}
	if (s.n == 0)
		return bad_duration(text, "invalid", (str){ 0 }, err);
	while (s.n) {
		uint64_t v = 0, f = 0;
		double scale = 1;
		if (s.p[0] != '.' && !digit(s, 0))
			return bad_duration(text, "invalid", (str){ 0 }, err);
		size_t whole_digits = 0, frac_digits = 0;
		for (; digit(s, 0); s = str_from(s, 1), whole_digits++) {
			if (v > limit / 10 || (v = v * 10 + (uint64_t)(s.p[0] - '0')) > limit)
				return bad_duration(text, "invalid", (str){ 0 }, err);
		}
		if (s.n && s.p[0] == '.') {
			s = str_from(s, 1);
			bool full = false;
			for (; digit(s, 0); s = str_from(s, 1), frac_digits++) {
				uint64_t more;
				if (full || f > (limit - 1) / 10 ||
				    (more = f * 10 + (uint64_t)(s.p[0] - '0')) > limit) {
					full = true; // more digits than can count
					continue;
				}
				f = more;
				scale *= 10;
			}
		}
		if (!whole_digits && !frac_digits)
			return bad_duration(text, "invalid", (str){ 0 }, err);
		size_t i = 0;
		while (i < s.n && s.p[i] != '.' && !digit(s, i))
			i++;
		if (i == 0)
			return bad_duration(text, "missing unit in", (str){ 0 }, err);
		str name = str_sub(s, 0, i);
		s = str_from(s, i);
		uint64_t unit = 0;
		for (size_t k = 0; k < ARRAY_LEN(units); k++)
			if (str_eqc(name, units[k].name))
				unit = (uint64_t)units[k].ns;
		if (!unit)
			return bad_duration(text, "unknown unit", name, err);
		if (v > limit / unit)
			return bad_duration(text, "invalid", (str){ 0 }, err);
		v *= unit;
		if (f)
			v += (uint64_t)((double)f * ((double)unit / scale));
		if (v > limit || (total += v) > limit)
			return bad_duration(text, "invalid", (str){ 0 }, err);
	}
	if (!negative && total > limit - 1)
		return bad_duration(text, "invalid", (str){ 0 }, err);
	*ns = negative ? (int64_t)(~total + 1) : (int64_t)total;
	return true;
}

// v as a decimal with `places` digits after the point, trailing zeros left out.
static size_t decimal(char *to, uint64_t v, int places)
{
	uint64_t unit = 1;
	for (int i = 0; i < places; i++)
		unit *= 10;
	size_t n = (size_t)snprintf(to, 24, "%llu", (unsigned long long)(v / unit));
	uint64_t rest = v % unit;
	if (!rest)
		return n;
	n += (size_t)snprintf(to + n, 12, ".%0*llu", places, (unsigned long long)rest);
	while (to[n - 1] == '0')
		n--;
	return n;
}

size_t duration_format(int64_t ns, char *to)
{
	if (ns == 0) {
		memcpy(to, "0s", 2);
		return 2;
	}
	uint64_t u = ns < 0 ? ~(uint64_t)ns + 1 : (uint64_t)ns;
	size_t n = 0;
	char out[64];
	if (ns < 0)
		out[n++] = '-';
	if (u < (uint64_t)NS_PER_S) {
		int places = u < 1000 ? 0 : u < 1000000 ? 3 : 6;
		n += decimal(out + n, u, places);
		str unit = places == 0 ? S("ns") : places == 3 ? S("\xc2\xb5s") : S("ms");
		memcpy(out + n, unit.p, unit.n);
		n += unit.n;
	} else {
		uint64_t minutes = u / (uint64_t)(60 * NS_PER_S), left = u % (uint64_t)(60 * NS_PER_S);
		if (minutes >= 60)
			n += (size_t)snprintf(out + n, 16, "%lluh", (unsigned long long)(minutes / 60));
		if (minutes)
			n += (size_t)snprintf(out + n, 8, "%llum", (unsigned long long)(minutes % 60));
		n += decimal(out + n, left, 9);
		out[n++] = 's';
	}
	memcpy(to, out, n);
	return n;
}
