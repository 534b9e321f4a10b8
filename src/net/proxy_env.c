#include "net/proxy_env.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/encode.h"

const char *http_proxy_getenv(const char *name, void *ctx)
{
	(void)ctx;
	return getenv(name);
}

struct address {
	uint8_t b[16];
	size_t n;
};

static bool parse_address(str text, struct address *out)
{
	char c[64];
	if (text.n >= sizeof(c))
		return false;
	snprintf(c, sizeof(c), STR_FMT, STR_ARG(text));
	if (inet_pton(AF_INET, c, out->b) == 1)
		out->n = 4;
	else if (inet_pton(AF_INET6, c, out->b) == 1)
		out->n = 16;
	else
		return false;
	return true;
}

static bool in_network(const struct address *ip, str cidr)
{
	str base, bits;
	struct address net;
	uint64_t n;
	if (!str_split(cidr, '/', &base, &bits) || !parse_address(base, &net) || !str_to_u64(bits, &n) ||
	    net.n != ip->n || n > net.n * 8)
		return false;
	if (memcmp(ip->b, net.b, n / 8) != 0)
		return false;
	unsigned mask = n % 8 ? 0xffu << (8 - n % 8) & 0xff : 0;
	return !mask || (ip->b[n / 8] & mask) == (net.b[n / 8] & mask);
}

static bool bypassed(str list, str host, int port)
{
	struct address ip;
	bool is_ip = parse_address(host, &ip);
	if (str_eq_nocase(host, S("localhost")))
		return true;
	if (is_ip && (ip.n == 4 ? ip.b[0] == 127 : memcmp(ip.b, (const uint8_t[16]){ [15] = 1 }, 16) == 0))
		return true;
	for (str rest = list, item; str_next(&rest, ',', &item);) {
		item = str_trim(item);
		if (str_eq(item, S("*")))
			return true;
		if (is_ip && in_network(&ip, item))
			return true;
		str name, item_port;
		uint64_t n;
		struct address other;
		if (!parse_address(item, &other) && str_split(item, ':', &name, &item_port)) {
			if (!str_to_u64(item_port, &n) || (int)n != port)
				continue;
			item = name;
		}
		if (item.n == 0)
			continue;
		if (str_eq_nocase(item, host))
			return true;
		if (is_ip)
			continue;
		// "example.com" names the domain and everything below it, ".example.com" only what is below.
		str_cut_prefix(&item, S("*"));
		str tail = str_from(host, host.n > item.n ? host.n - item.n : host.n);
		if (item.n && tail.n && str_eq_nocase(tail, item) &&
		    (item.p[0] == '.' || host.p[host.n - item.n - 1] == '.'))
			return true;
	}
	return false;
}

bool http_proxy_for(struct arena *a, const char *(*env)(const char *name, void *ctx), void *ctx, bool tls, str host,
                    int port, struct http_proxy *out)
{
	const char *value = env(tls ? "HTTPS_PROXY" : "HTTP_PROXY", ctx);
	if (!value || !*value)
		value = env(tls ? "https_proxy" : "http_proxy", ctx);
	if (!value || !*value)
		return false;
	const char *no = env("NO_PROXY", ctx);
	if (!no || !*no)
		no = env("no_proxy", ctx);
	if (bypassed(str_c(no ? no : ""), host, port))
		return false;
	str text = str_c(value);
	struct error err = { 0 };
	if (str_find(text, S("://")) < 0)
		text = arena_concat(a, S("http://"), text);
	*out = (struct http_proxy){ 0 };
	if (!http_url_parse(a, text, &out->url, &err))
		return false;
	ptrdiff_t scheme = str_find(text, S("://"));
	str rest = str_from(text, (size_t)scheme + 3);
	ptrdiff_t slash = str_find_char(rest, '/');
	if (slash >= 0)
		rest = str_sub(rest, 0, (size_t)slash);
	ptrdiff_t at = str_rfind_char(rest, '@');
	str user;
	if (at >= 0 && percent_decode(a, str_sub(rest, 0, (size_t)at), false, &user))
		out->authorization = arena_concat(a, S("Basic "), base64_encode(a, user));
	return true;
}
