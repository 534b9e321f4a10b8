// The small parsers: URLs, query strings, proxy variables, gRPC's texts and framing.
#include <stdlib.h>

#include "base/buf.h"
#include "net/grpc_conn.h"
#include "net/proxy_env.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *env(const char *name, void *ctx)
{
	(void)name;
	return ctx;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct http_url u;
	struct http_params p;
	struct http_proxy proxy;
	struct buf in = { 0 }, decoded = { 0 }, encoded = { 0 };
	str s = str_n((const char *)data, size), m;
	if (http_url_parse(a, s, &u, &err) &&
	    (u.port < 1 || u.port > 65535 || u.host.n == 0 || u.path.n == 0 || u.path.p[0] != '/'))
		abort();
	if (http_query_parse(a, s, &p) && p.n > 1000)
		abort();
	http_proxy_for(a, env, arena_cstr(a, s), size % 2, S("10.1.2.3"), 443, &proxy);
	http_proxy_for(a, env, arena_cstr(a, s), size % 2, S("a.example"), 443, &proxy);
	grpc_timeout_parse(s);
	buf_add(&in, s);
	size_t at = 0;
	while (grpc_next_message(&in, &at, 1000, &m, &err) > 0)
		if (m.n > 1000 || m.p + m.n > in.p + in.n)
			abort();
	grpc_message_encode(&encoded, s);
	grpc_message_decode(&decoded, buf_str(&encoded));
	if (!str_eq(buf_str(&decoded), s))
		abort();
	buf_free(&in);
	buf_free(&encoded);
	buf_free(&decoded);
	arena_free(a);
	return 0;
}
