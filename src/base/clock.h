// Time is passed in. Code that needs to know the time or to wait takes a `const struct clock *`; main gives it the
// system's, a test or a simulation gives its own. NULL means the system's clock everywhere.
#ifndef CORACLE_BASE_CLOCK_H
#define CORACLE_BASE_CLOCK_H

#include "base/arena.h"

#define NS_PER_SEC INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

struct clock {
	int64_t (*wall)(const struct clock *c);  // nanoseconds since 1970, UTC
	int64_t (*mono)(const struct clock *c);  // nanoseconds since some start, never goes back
	void (*sleep)(const struct clock *c, int64_t ns);
	void *ctx;
};

int64_t clock_wall(const struct clock *c);
int64_t clock_mono(const struct clock *c);
void clock_sleep(const struct clock *c, int64_t ns);

// RFC 3339 in UTC. `digits` of the fraction: 0 (meta/v1 Time), 6 (MicroTime), 9.
str time_format(struct arena *a, int64_t sec, int32_t nsec, int digits);
// Any RFC 3339 time (with offset and fraction). False when it is none.
bool time_parse(str s, int64_t *sec, int32_t *nsec);

#endif
