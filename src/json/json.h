// JSON (RFC 8259): a bounded reader into a value tree, and a writer whose bytes equal those of Go's encoding/json.
#ifndef CORACLE_JSON_JSON_H
#define CORACLE_JSON_JSON_H

#include "base/buf.h"
#include "base/error.h"
#include "json/value.h"

struct json_opts {
	int max_depth;           // 0: 10000, as Go's decoder
	struct json_duplicates { // when not NULL: paths of members that stand twice ("spec.replicas", "a[0].b"), the last wins
		str *v;
		size_t n;
	} *duplicates;
	size_t *error_offset;    // when not NULL: bytes up to and including the one that an error is about (Go's Offset)
};

// Parses one document; anything but white space behind it is an error. Text is copied into the arena when `copy`
// semantics are needed (escapes); otherwise strings are slices of `text`, which must outlive the tree.
// Invalid UTF-8 becomes U+FFFD, as in Go. Errors are in Go's words ("invalid character '}' looking for beginning of
// object key string", "unexpected end of JSON input"), code 400, reason BadRequest.
struct value *json_parse(struct arena *a, str text, const struct json_opts *opts, struct error *err);

enum json_style {
	JSON_COMPACT = 0,
	JSON_ESCAPE_HTML = 1, // <, > and & as \u00XX, as Go's Marshal does (U+2028 and U+2029 are escaped in any style)
	JSON_INDENT4 = 2,     // four spaces, as kubectl -o json prints
	JSON_SORT = 4,        // members by key, at every depth
};
void json_write(struct buf *to, const struct value *v, unsigned style);
// A string with its quotes.
void json_write_string(struct buf *to, str s, bool escape_html);
// A double as Go writes float64.
void json_write_double(struct buf *to, double d);
str json_text(struct arena *a, const struct value *v, unsigned style);

#endif
