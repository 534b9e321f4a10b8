// Times and durations as Go reads and writes them, error texts included.
#ifndef CORACLE_SCHEMA_GOTIME_H
#define CORACLE_SCHEMA_GOTIME_H

#include "schema/schema.h"

// time.Parse with the layout of meta/v1 Time (RFC3339) or, with `micro`, of MicroTime (six digits of fraction needed).
// Errors are Go's: parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006" (400, BadRequest).
bool api_time_parse(str text, bool micro, struct api_time *out, struct error *err);
// Seconds with "Z" (Time) or six digits (MicroTime) into `to`, which has room for 40 bytes; returns the length. set must be true.
size_t api_time_format(struct api_time t, bool micro, char *to);
// Negative, zero or positive, as x is before, equal to or after y. Unset times are the oldest.
int api_time_cmp(struct api_time x, struct api_time y);

// time.ParseDuration: "1h15m30.918s", "-1.5h", "0". Errors: time: invalid duration "x".
bool duration_parse(str text, int64_t *ns, struct error *err);
// time.Duration.String: "1m30s", "100ms", "0s". At most 32 bytes into `to`; returns the length.
size_t duration_format(int64_t ns, char *to);

#endif
