// Errors: one object, filled where something fails and passed up; it gains context on its way.
//
// A function that can fail returns bool or a pointer and fills `struct error *err` (never NULL) when it fails.
// On success err is left alone. Code and reason are those of the API (HTTP status; meta/v1 StatusReason), so that
// an error that reaches the door of the apiserver, or comes from it, needs no translation.
#ifndef CORACLE_BASE_ERROR_H
#define CORACLE_BASE_ERROR_H

#include <stdarg.h>
#include "base/str.h"

struct error {
	int code;           // HTTP status, 500 where nothing better fits; 0: no error
	int sys;            // errno, where a system call failed
	const char *reason; // StatusReason, a constant: "NotFound", "Conflict", "InternalError", ...
	char text[1000];    // the message, terminated; cut (at a character) when too long
};

// Sets code 500, reason InternalError. Returns false, so that `return error_set(err, ...)` reads well.
bool error_set(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// Sets code and reason too.
bool error_api(struct error *err, int code, const char *reason, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
// From errno: "what: strerror".
bool error_errno(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// Puts "context: " before the message.
bool error_wrap(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline str error_str(const struct error *err) { return str_c(err->text); }
static inline bool error_is(const struct error *err, const char *reason)
{
	return err->reason && strcmp(err->reason, reason) == 0;
}

#endif
