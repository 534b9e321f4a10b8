// The proxy variables of the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY and their lower-case forms), as Go obeys them.
#ifndef CORACLE_NET_PROXY_ENV_H
#define CORACLE_NET_PROXY_ENV_H

#include "net/http.h"

struct http_proxy {
	struct http_url url; // where it listens
	str authorization;   // "Basic ...", empty: none
};

// Whether a request to that host goes through a proxy, and through which. `env` is getenv or a test's own.
bool http_proxy_for(struct arena *a, const char *(*env)(const char *name, void *ctx), void *ctx, bool tls, str host,
                    int port, struct http_proxy *out);
const char *http_proxy_getenv(const char *name, void *ctx);

#endif
