#include "net/grpc.h"

#include <stdio.h>

#include "net/grpc_conn.h"

bool grpc_error(struct error *err, enum grpc_code code, const char *fmt, ...)
{
	char text[sizeof(err->text)];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	error_set(err, "%s", text);
	err->sys = (int)code;
	return false;
}

const char *grpc_code_name(enum grpc_code code)
{
	static const char *const names[] = {
		"OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
		"NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
		"Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
		"DataLoss", "Unauthenticated"
	};
	return (unsigned)code < ARRAY_LEN(names) ? names[code] : "Unknown";
}

int grpc_next_message(const struct buf *in, size_t *at, size_t limit, str *message, struct error *err)
{
	if (in->n - *at < GRPC_PREFIX)
		return 0;
	const unsigned char *p = (const unsigned char *)in->p + *at;
	size_t n = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
	if (p[0] != 0) {
		grpc_error(err, p[0] == 1 ? GRPC_UNIMPLEMENTED : GRPC_INTERNAL,
		           p[0] == 1 ? "grpc: compressed messages are not supported"
		                     : "grpc: received unexpected payload format %d",
		           p[0]);
		return -1;
	}
	if (n > limit) {
		grpc_error(err, GRPC_RESOURCE_EXHAUSTED, "grpc: received message larger than max (%zu vs. %zu)", n,
		           limit);
		return -1;
	}
	if (in->n - *at - GRPC_PREFIX < n)
		return 0;
	*message = str_n(in->p + *at + GRPC_PREFIX, n);
	*at += GRPC_PREFIX + n;
	return 1;
}

void grpc_prefix(char to[GRPC_PREFIX], size_t n)
{
	to[0] = 0;
	to[1] = (char)(n >> 24);
	to[2] = (char)(n >> 16);
	to[3] = (char)(n >> 8);
	to[4] = (char)n;
}

void grpc_message_encode(struct buf *to, str text)
{
	static const char digits[] = "0123456789ABCDEF";
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		if (c >= 0x20 && c <= 0x7e && c != '%')
			buf_add_char(to, (char)c);
		else
			buf_add(to, str_n((const char[]){ '%', digits[c >> 4], digits[c & 15] }, 3));
	}
}

static int digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	                              : -1;
}

void grpc_message_decode(struct buf *to, str text)
{
	for (size_t i = 0; i < text.n; i++) {
		int high = i + 2 < text.n ? digit(text.p[i + 1]) : -1, low = high >= 0 ? digit(text.p[i + 2]) : -1;
		if (text.p[i] == '%' && low >= 0) {
			buf_add_char(to, (char)(high << 4 | low));
			i += 2;
		} else {
			buf_add_char(to, text.p[i]); // a broken escape stands for itself, as the specification asks
		}
	}
}

int64_t grpc_timeout_parse(str text)
{
	int64_t n;
	if (text.n < 2 || text.n > 9 || !str_to_i64(str_sub(text, 0, text.n - 1), &n) || n < 0 || text.p[0] == '+')
		return -1;
	switch (text.p[text.n - 1]) {
	case 'H':
		return n * 3600000;
	case 'M':
		return n * 60000;
	case 'S':
		return n * 1000;
	case 'm':
		return n;
	case 'u':
		return (n + 999) / 1000;
	case 'n':
		return (n + 999999) / 1000000;
	default:
		return -1;
	}
}
