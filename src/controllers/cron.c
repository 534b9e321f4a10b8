#include "controllers/cron.h"

#include <time.h>

enum { YEARS = 5 };

static const char *const months[] = {
	"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"
};
static const char *const days[] = { "sun", "mon", "tue", "wed", "thu", "fri", "sat" };

static bool parse_number(str s, const char *const *names, size_t nnames, int base, int *out)
{
	for (size_t i = 0; i < nnames; i++)
		if (str_eq_nocase(s, str_c(names[i]))) {
			*out = (int)i + base;
			return true;
		}
	int64_t n;
	if (s.n == 0 || s.p[0] == '+' || s.p[0] == '-' || !str_to_i64(s, &n) || n > 1000)
		return false;
	*out = (int)n;
	return true;
}

struct field {
	int min, max;
	const char *const *names;
	size_t nnames;
	int base;
};

// One of the comma-separated parts: "*", "5", "1-5", "*/15", "10/5", "mon-fri".
static bool parse_part(str part, const struct field *f, uint64_t *bits, bool *star, struct error *err)
{
	str range, step_text, first, last;
	int from, to, step = 1;
	bool has_step = str_split(part, '/', &range, &step_text), is_range = str_split(range, '-', &first, &last);
	if (str_eq(first, S("*")) || str_eq(first, S("?"))) {
		if (is_range)
			return error_set(err, "too many hyphens: " STR_FMT, STR_ARG(part));
		from = f->min;
		to = f->max;
		*star |= !has_step || str_eq(step_text, S("1"));
	} else {
		if (!parse_number(first, f->names, f->nnames, f->base, &from))
			return error_set(err,
			                 "failed to parse int from " STR_FMT ": strconv.Atoi: parsing \"" STR_FMT
			                 "\": invalid syntax",
			                 STR_ARG(first), STR_ARG(first));
		to = from;
		if (is_range && !parse_number(last, f->names, f->nnames, f->base, &to))
			return error_set(err,
			                 "failed to parse int from " STR_FMT ": strconv.Atoi: parsing \"" STR_FMT
			                 "\": invalid syntax",
			                 STR_ARG(last), STR_ARG(last));
		if (!is_range && has_step)
			to = f->max;
	}
	if (has_step && (!parse_number(step_text, NULL, 0, 0, &step) || step == 0))
		return error_set(err, "step of range should be a positive number: " STR_FMT, STR_ARG(part));
	if (from < f->min)
		return error_set(err, "beginning of range (%d) below minimum (%d): " STR_FMT, from, f->min,
		                 STR_ARG(part));
	if (to > f->max)
		return error_set(err, "end of range (%d) above maximum (%d): " STR_FMT, to, f->max, STR_ARG(part));
	if (from > to)
		return error_set(err, "beginning of range (%d) beyond end of range (%d): " STR_FMT, from, to,
		                 STR_ARG(part));
	for (int i = from; i <= to; i += step)
		*bits |= UINT64_C(1) << i;
	return true;
}

static bool parse_field(str text, const struct field *f, uint64_t *bits, bool *star, struct error *err)
{
	*bits = 0;
	*star = false;
	for (str rest = text, part; str_next(&rest, ',', &part);)
		if (!parse_part(part, f, bits, star, err))
			return false;
	return true;
}

static bool parse_every(str s, int64_t *seconds)
{
	static const struct {
		str unit;
		int64_t ms;
	} units[] = { { S_INIT("ms"), 1 }, { S_INIT("h"), 3600000 }, { S_INIT("m"), 60000 }, { S_INIT("s"), 1000 } };
	int64_t ms = 0;
	while (s.n) {
		size_t digits = 0, u = 0;
		int64_t n;
		while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
			digits++;
		if (digits > 9 || !str_to_i64(str_sub(s, 0, digits), &n))
			return false;
		s = str_from(s, digits);
		while (u < ARRAY_LEN(units) && !str_cut_prefix(&s, units[u].unit))
			u++;
		if (u == ARRAY_LEN(units))
			return false;
		ms += n * units[u].ms;
	}
	*seconds = ms < 1000 ? 1 : ms / 1000;
	return ms > 0;
}

bool cron_parse(str text, struct cron *out, struct error *err)
{
	static const struct {
		str name, spec;
	} macros[] = {
		{ S_INIT("@yearly"), S_INIT("0 0 1 1 *") },  { S_INIT("@annually"), S_INIT("0 0 1 1 *") },
		{ S_INIT("@monthly"), S_INIT("0 0 1 * *") }, { S_INIT("@weekly"), S_INIT("0 0 * * 0") },
		{ S_INIT("@daily"), S_INIT("0 0 * * *") },   { S_INIT("@midnight"), S_INIT("0 0 * * *") },
		{ S_INIT("@hourly"), S_INIT("0 * * * *") },
	};
	*out = (struct cron){ 0 };
	str s = str_trim(text), rest = s;
	if (s.n == 0)
		return error_set(err, "empty spec string");
	if (str_cut_prefix(&rest, S("@every ")))
		return parse_every(str_trim(rest), &out->every_s) ||
		       error_set(err, "failed to parse duration " STR_FMT, STR_ARG(s));
	for (size_t i = 0; i < ARRAY_LEN(macros); i++)
		if (str_eq(s, macros[i].name))
			s = macros[i].spec;
	if (s.p[0] == '@')
		return error_set(err, "unrecognized descriptor: " STR_FMT, STR_ARG(s));
	str fields[6];
	size_t n = 0;
	rest = s;
	for (str one; str_next(&rest, ' ', &one);)
		if (one.n && n < ARRAY_LEN(fields))
			fields[n++] = one;
	if (n != 5)
		return error_set(err, "expected exactly 5 fields, found %zu: [" STR_FMT "]", n, STR_ARG(s));
	const struct field shapes[] = { { 0, 59, NULL, 0, 0 },
		                        { 0, 23, NULL, 0, 0 },
		                        { 1, 31, NULL, 0, 0 },
		                        { 1, 12, months, 12, 1 },
		                        { 0, 6, days, 7, 0 } };
	uint64_t *const bits[] = { &out->minute, &out->hour, &out->dom, &out->month, &out->dow };
	for (size_t i = 0; i < 5; i++) {
		bool star;
		if (!parse_field(fields[i], &shapes[i], bits[i], &star, err))
			return false;
		if (i == 2)
			out->dom_star = star;
		if (i == 4)
			out->dow_star = star;
	}
	return true;
}

// A day fits when both its numbers do; where both are restricted, one is enough (as cron has it).
static bool day_fits(const struct cron *c, const struct tm *t)
{
	bool dom = c->dom & UINT64_C(1) << t->tm_mday, dow = c->dow & UINT64_C(1) << t->tm_wday;
	return c->dom_star || c->dow_star ? dom && dow : dom || dow;
}

int64_t cron_next(const struct cron *c, int64_t after)
{
	if (c->every_s > 0)
		return after + c->every_s;
	struct tm t;
	time_t at = (time_t)(after - after % 60 + 60);
	gmtime_r(&at, &t);
	for (int last = t.tm_year + YEARS; t.tm_year <= last;) {
		if (!(c->month & UINT64_C(1) << (t.tm_mon + 1))) {
			t = (struct tm){ .tm_year = t.tm_year, .tm_mon = t.tm_mon + 1, .tm_mday = 1 };
		} else if (!day_fits(c, &t)) {
			t = (struct tm){ .tm_year = t.tm_year, .tm_mon = t.tm_mon, .tm_mday = t.tm_mday + 1 };
		} else if (!(c->hour & UINT64_C(1) << t.tm_hour)) {
			t.tm_hour++;
			t.tm_min = 0;
		} else if (!(c->minute & UINT64_C(1) << t.tm_min)) {
			t.tm_min++;
		} else {
			t.tm_sec = 0;
			return (int64_t)timegm(&t);
		}
		at = timegm(&t);
		gmtime_r(&at, &t);
	}
	return 0;
}
