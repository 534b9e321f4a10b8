#include "net/http.h"

#include "base/encode.h"

enum { MAX_PARAMS = 1000 };

str http_header(const struct http_headers *h, str name)
{
	for (size_t i = 0; i < h->n; i++)
		if (str_eq(h->v[i].name, name))
			return h->v[i].value;
	return (str){ 0 };
}

void http_header_add(struct arena *a, struct http_headers *h, str name, str value)
{
	*LIST_ADD(a, h) = (struct http_header){ name, value };
}

const char *http_status_text(int status)
{
	switch (status) {
	case 100:
		return "Continue";
	case 101:
		return "Switching Protocols";
	case 200:
		return "OK";
	case 201:
		return "Created";
	case 202:
		return "Accepted";
	case 204:
		return "No Content";
	case 206:
		return "Partial Content";
	case 301:
		return "Moved Permanently";
	case 302:
		return "Found";
	case 303:
		return "See Other";
	case 304:
		return "Not Modified";
	case 307:
		return "Temporary Redirect";
	case 308:
		return "Permanent Redirect";
	case 400:
		return "Bad Request";
	case 401:
		return "Unauthorized";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 406:
		return "Not Acceptable";
	case 408:
		return "Request Timeout";
	case 409:
		return "Conflict";
	case 410:
		return "Gone";
	case 411:
		return "Length Required";
	case 412:
		return "Precondition Failed";
	case 413:
		return "Request Entity Too Large";
	case 414:
		return "Request URI Too Long";
	case 415:
		return "Unsupported Media Type";
	case 416:
		return "Requested Range Not Satisfiable";
	case 417:
		return "Expectation Failed";
	case 421:
		return "Misdirected Request";
	case 422:
		return "Unprocessable Entity";
	case 423:
		return "Locked";
	case 426:
		return "Upgrade Required";
	case 428:
		return "Precondition Required";
	case 429:
		return "Too Many Requests";
	case 431:
		return "Request Header Fields Too Large";
	case 500:
		return "Internal Server Error";
	case 501:
		return "Not Implemented";
	case 502:
		return "Bad Gateway";
	case 503:
		return "Service Unavailable";
	case 504:
		return "Gateway Timeout";
	case 505:
		return "HTTP Version Not Supported";
	case 507:
		return "Insufficient Storage";
	default:
		return "Unknown";
	}
}

bool http_query_parse(struct arena *a, str query, struct http_params *out)
{
	*out = (struct http_params){ 0 };
	if (query.n == 0)
		return true;
	for (str rest = query, part; str_next(&rest, '&', &part);) {
		if (part.n == 0)
			continue;
		// A semicolon is no separator: what it should mean differs between servers (as in Go since 1.17).
		if (out->n == MAX_PARAMS || str_find_char(part, ';') >= 0)
			return false;
		str key, value;
		struct http_param p;
		str_split(part, '=', &key, &value);
		if (!percent_decode(a, key, true, &p.key) || !percent_decode(a, value, true, &p.value))
			return false;
		*LIST_ADD(a, out) = p;
	}
	return true;
}

bool http_param_get(const struct http_params *p, str key, str *value)
{
	for (size_t i = 0; i < p->n; i++) {
		if (str_eq(p->v[i].key, key)) {
			*value = p->v[i].value;
			return true;
		}
	}
	return false;
}

static bool host_ok(str host, bool v6)
{
	if (host.n == 0 || host.n > 255)
		return false;
	for (size_t i = 0; i < host.n; i++) {
		char c = host.p[i];
		bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
		          c == '-' || c == '_';
		if (!ok && !(v6 && (c == ':' || c == '%')))
			return false;
	}
	return true;
}

bool http_url_parse(struct arena *a, str url, struct http_url *out, struct error *err)
{
	struct http_url u = { 0 };
	str rest = url;
	for (size_t i = 0; i < url.n; i++)
		if ((unsigned char)url.p[i] <= ' ' || url.p[i] == 0x7f)
			return error_set(err, "parse \"" STR_FMT "\": net/url: invalid character in URL",
			                 STR_ARG(str_sub(url, 0, 500)));
	if (str_cut_prefix(&rest, S("https://")))
		u.tls = true;
	else if (!str_cut_prefix(&rest, S("http://")))
		return error_set(err, "parse \"" STR_FMT "\": the scheme must be http or https",
		                 STR_ARG(str_sub(url, 0, 500)));
	ptrdiff_t fragment = str_find_char(rest, '#');
	if (fragment >= 0)
		rest = str_sub(rest, 0, (size_t)fragment);
	size_t end = 0;
	while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?')
		end++;
	str authority = str_sub(rest, 0, end), target = str_from(rest, end);
	ptrdiff_t at = str_rfind_char(authority, '@');
	if (at >= 0) // user information in a URL is not used for anything here
		authority = str_from(authority, (size_t)at + 1);
	str port = { 0 };
	bool v6 = authority.n && authority.p[0] == '[';
	if (v6) {
		ptrdiff_t close = str_find_char(authority, ']');
		if (close < 0)
			return error_set(err, "parse \"" STR_FMT "\": missing ']' in host",
			                 STR_ARG(str_sub(url, 0, 500)));
		u.host = str_sub(authority, 1, (size_t)close);
		port = str_from(authority, (size_t)close + 1);
		if (port.n && !str_cut_prefix(&port, S(":")))
			return error_set(err, "parse \"" STR_FMT "\": invalid port", STR_ARG(str_sub(url, 0, 500)));
	} else {
		str_split(authority, ':', &u.host, &port);
	}
	if (!host_ok(u.host, v6))
		return error_set(err, "parse \"" STR_FMT "\": invalid host name", STR_ARG(str_sub(url, 0, 500)));
	u.port = u.tls ? 443 : 80;
	if (port.n) {
		uint64_t n;
		if (!str_to_u64(port, &n) || n == 0 || n > 65535)
			return error_set(err, "parse \"" STR_FMT "\": invalid port", STR_ARG(str_sub(url, 0, 500)));
		u.port = (int)n;
	}
	str_split(target, '?', &u.path, &u.query);
	u.host = arena_dup(a, u.host);
	u.path = u.path.n ? arena_dup(a, u.path) : S("/");
	u.query = arena_dup(a, u.query);
	*out = u;
	return true;
}
