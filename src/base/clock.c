#include "base/clock.h"

#include <errno.h>
#include <time.h>

static int64_t now(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

int64_t clock_wall(const struct clock *c)
{
	return c ? c->wall(c) : now(CLOCK_REALTIME);
}

int64_t clock_mono(const struct clock *c)
{
	return c ? c->mono(c) : now(CLOCK_MONOTONIC);
}

void clock_sleep(const struct clock *c, int64_t ns)
{
	if (c) {
		c->sleep(c, ns);
		return;
	}
	if (ns <= 0)
		return;
	struct timespec ts = { .tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC };
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts) == EINTR)
		;
}

// Days since 1970-01-01 of a date in the proleptic Gregorian calendar, and back (eras of 400 years, years that
// begin in March, so that the leap day comes last).
static int64_t days_from_date(int64_t y, int m, int d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void date_from_days(int64_t z, int64_t *y, int *m, int *d)
{
	z += 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	*d = (int)(doy - (153 * mp + 2) / 5 + 1);
	*m = (int)(mp < 10 ? mp + 3 : mp - 9);
	*y = yoe + era * 400 + (*m <= 2);
}

str time_format(struct arena *a, int64_t sec, int32_t nsec, int digits)
{
	int64_t days = sec / 86400, rest = sec % 86400, y;
	int m, d;
	if (rest < 0)
		rest += 86400, days--;
	date_from_days(days, &y, &m, &d);
	int hh = (int)(rest / 3600), mm = (int)(rest / 60 % 60), ss = (int)(rest % 60);
	if (digits == 0)
		return arena_printf(a, "%04lld-%02d-%02dT%02d:%02d:%02dZ", (long long)y, m, d, hh, mm, ss);
	int32_t frac = nsec;
	for (int i = digits; i < 9; i++)
		frac /= 10;
	return arena_printf(a, "%04lld-%02d-%02dT%02d:%02d:%02d.%0*dZ", (long long)y, m, d, hh, mm, ss, digits, (int)frac);
}

static bool digits_at(str s, size_t at, size_t n, int *out)
{
	if (at + n > s.n)
		return false;
	int v = 0;
	for (size_t i = at; i < at + n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		v = v * 10 + (s.p[i] - '0');
	}
	*out = v;
	return true;
}

bool time_parse(str s, int64_t *sec, int32_t *nsec)
{
	static const int month_days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int y, mo, d, h, mi, se;
	if (s.n < 20 || !digits_at(s, 0, 4, &y) || s.p[4] != '-' || !digits_at(s, 5, 2, &mo) || s.p[7] != '-' ||
	    !digits_at(s, 8, 2, &d) || s.p[10] != 'T' || !digits_at(s, 11, 2, &h) || s.p[13] != ':' ||
	    !digits_at(s, 14, 2, &mi) || s.p[16] != ':' || !digits_at(s, 17, 2, &se))
		return false;
	if (mo < 1 || mo > 12 || h > 23 || mi > 59 || se > 59)
		return false;
	bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
	if (d < 1 || d > month_days[mo - 1] + (mo == 2 && leap))
		return false;
	size_t at = 19;
	int32_t frac = 0;
	if (s.p[at] == '.') {
		int32_t unit = 100000000;
		size_t first = ++at;
		for (; at < s.n && s.p[at] >= '0' && s.p[at] <= '9'; at++, unit /= 10)
			frac += unit * (s.p[at] - '0');
		if (at == first)
			return false;
	}
	int64_t offset = 0;
	if (at < s.n && s.p[at] == 'Z' && at + 1 == s.n) {
		offset = 0;
	} else if (at + 6 == s.n && (s.p[at] == '+' || s.p[at] == '-') && s.p[at + 3] == ':') {
		int oh, om;
		if (!digits_at(s, at + 1, 2, &oh) || !digits_at(s, at + 4, 2, &om) || oh > 23 || om > 59)
			return false;
		offset = (s.p[at] == '-' ? -1 : 1) * (oh * 3600 + om * 60);
	} else {
		return false;
	}
	*sec = days_from_date(y, mo, d) * 86400 + h * 3600 + mi * 60 + se - offset;
	*nsec = frac;
	return true;
}
