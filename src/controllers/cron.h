// Cron schedules (robfig/cron v3 standard format): minute, hour, day of month, month, day of week; names, ranges, lists, steps; the
// macros @yearly ... @hourly and "@every 1h30m".
#ifndef CORACLE_CONTROLLERS_CRON_H
#define CORACLE_CONTROLLERS_CRON_H

#include "base/arena.h"
#include "base/error.h"

struct cron {
	uint64_t minute, hour, dom, month, dow; // bits
	bool dom_star, dow_star;
	int64_t every_s; // > 0: a fixed interval instead
};

bool cron_parse(str text, struct cron *out, struct error *err);
// The first time after `after` (seconds since 1970, UTC) that fits; 0: none within five years.
int64_t cron_next(const struct cron *c, int64_t after);

#endif
