// The head of an HTTP/1.1 message, put together from http-parser's callbacks, which may cut text anywhere. Used by the
// client (answers) and the server (requests).
#ifndef CORACLE_NET_HTTP1_H
#define CORACLE_NET_HTTP1_H

#include <http_parser.h>

#include "base/buf.h"
#include "net/http.h"

enum { HTTP1_MAX_HEAD = 1 << 20, HTTP1_MAX_HEADERS = 2000 };

struct http1_mark {
	uint32_t name, value;
}; // lengths; the texts stand one after another

struct http1_head {
	struct buf text;
	struct buf marks;
	size_t target; // length of the request target, which stands first
	bool in_value;
};

// Each returns false when the head is larger than the limits above.
bool http1_target(struct http1_head *h, const char *p, size_t n);
bool http1_name(struct http1_head *h, const char *p, size_t n);
bool http1_value(struct http1_head *h, const char *p, size_t n);
// Copies everything into the arena (names in lower case, values trimmed) and empties the head for the next message.
void http1_finish(struct http1_head *h, struct arena *a, str *target, struct http_headers *headers);
void http1_clear(struct http1_head *h); // keeps a little memory for the next message
void http1_free(struct http1_head *h);

// Whether a comma-separated header value names the token, without regard to case.
bool http1_has_token(str value, str token);
// Whether text is a token (RFC 9110, section 5.6.2), as header names must be; http-parser lets spaces pass.
bool http1_token_ok(str name);
// Whether text may stand in a header value (no CR, LF, NUL).
bool http1_value_ok(str value);

#endif
