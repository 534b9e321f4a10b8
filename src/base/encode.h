// Text encodings: hexadecimal, base64 (RFC 4648), percent (RFC 3986).
#ifndef CORACLE_BASE_ENCODE_H
#define CORACLE_BASE_ENCODE_H

#include "base/arena.h"

str hex_encode(struct arena *a, str bytes); // lower case
bool hex_decode(struct arena *a, str text, str *out);
str base64_encode(struct arena *a, str bytes);    // standard alphabet, padded
str base64url_encode(struct arena *a, str bytes); // URL alphabet, without padding (JWT)
// Strict: right alphabet, right padding (standard) or none (URL), no white space except CR and LF (as Go).
bool base64_decode(struct arena *a, str text, str *out);
bool base64url_decode(struct arena *a, str text, str *out);
// %XX is undone; with `plus`, '+' is a space (query strings). False on a broken escape.
bool percent_decode(struct arena *a, str text, bool plus, str *out);
// Everything but unreserved characters is escaped.
str percent_encode(struct arena *a, str text);

#endif
