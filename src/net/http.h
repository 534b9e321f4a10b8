// What servers and clients of HTTP share.
#ifndef CORACLE_NET_HTTP_H
#define CORACLE_NET_HTTP_H

#include "base/arena.h"
#include "base/error.h"

struct http_header {
	str name, value;
}; // names in lower case
struct http_headers {
	struct http_header *v;
	size_t n;
};

// The first header of that (lower-case) name, else the empty slice.
str http_header(const struct http_headers *h, str name);
void http_header_add(struct arena *a, struct http_headers *h, str name, str value);
const char *http_status_text(int status);

// One query parameter: decoded; repeated keys stay repeated, in order.
struct http_param {
	str key, value;
};
struct http_params {
	struct http_param *v;
	size_t n;
};
// False on a broken escape. At most 1,000 parameters.
bool http_query_parse(struct arena *a, str query, struct http_params *out);
bool http_param_get(const struct http_params *p, str key, str *value); // the first one
// scheme://host[:port]/path?query; host without brackets for IPv6.
struct http_url {
	bool tls;
	str host;
	int port;
	str path;
	str query;
};
bool http_url_parse(struct arena *a, str url, struct http_url *out, struct error *err);

#endif
