#include "base/error.h"

#include <errno.h>
#include <stdio.h>

// Cuts text that filled its buffer back to a whole UTF-8 character.
static void whole_chars(char *text, size_t size)
{
	size_t n = strlen(text);
	if (n + 1 < size)
		return;
	size_t i = n;
	while (i > 0 && ((unsigned char)text[i - 1] & 0xc0) == 0x80)
		i--;
	if (i > 0 && ((unsigned char)text[i - 1] & 0x80))
		text[i - 1] = 0;
}

static void set(struct error *err, int code, const char *reason, const char *fmt, va_list ap)
{
	err->code = code;
	err->reason = reason;
	err->sys = 0;
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	whole_chars(err->text, sizeof(err->text));
}

bool error_set(struct error *err, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	set(err, 500, "InternalError", fmt, ap);
	va_end(ap);
	return false;
}

bool error_api(struct error *err, int code, const char *reason, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	set(err, code, reason, fmt, ap);
	va_end(ap);
	return false;
}

bool error_errno(struct error *err, const char *fmt, ...)
{
	int sys = errno;
	char what[sizeof(err->text)], why[128];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	const char *text = strerror_r(sys, why, sizeof(why)); // GNU: returns the text
	error_set(err, "%s: %s", what, text);
	err->sys = sys;
	return false;
}

bool error_wrap(struct error *err, const char *fmt, ...)
{
	char before[sizeof(err->text)], after[sizeof(err->text)];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(before, sizeof(before), fmt, ap);
	va_end(ap);
	memcpy(after, err->text, sizeof(after));
	size_t n = strnlen(before, sizeof(before) - 1);
	memcpy(err->text, before, n);
	snprintf(err->text + n, sizeof(err->text) - n, ": %s", after);
	whole_chars(err->text, sizeof(err->text));
	return false;
}
