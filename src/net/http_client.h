// A blocking HTTP/1.1 client with kept-alive connections: what controllers, kubelet, scheduler, proxy, kubectl and the
// image puller use. Thread-safe: several threads may call one client; each request takes a connection of its own.
#ifndef CORACLE_NET_HTTP_CLIENT_H
#define CORACLE_NET_HTTP_CLIENT_H

#include <sys/types.h>

#include "net/http.h"
#include "net/tls.h"

struct http_client;

struct http_client_opts {
	str base_url; // "https://127.0.0.1:6443"; or unix_path with base_url "http://localhost"
	const char *unix_path;
	struct tls_context *tls; // a reference is taken
	int connect_timeout_ms;  // 0: 10 s
	int timeout_ms;          // for a whole unstreamed exchange; 0: 60 s
	str user_agent;
	size_t max_body; // of an unstreamed answer; 0: 512 MiB
	// Adds "authorization: Bearer" with what this writes (empty: none); asked for each request (tokens rotate).
	str (*token)(struct arena *a, void *ctx);
	void *token_ctx;
	bool use_proxy_env; // obey HTTPS_PROXY, HTTP_PROXY, NO_PROXY (CONNECT for https); image pulls do
};

struct http_client *http_client_new(const struct http_client_opts *o, struct error *err);
void http_client_free(struct http_client *c);

struct http_call {
	const char *method;
	str path; // path and query, as sent; or a whole URL (http:// or https://) to go elsewhere
	struct http_headers headers;
	str body;
	int timeout_ms;    // 0: the client's; < 0: none
	int max_redirects; // 0: redirects are not followed; authorization is dropped on another host
};
struct http_answer {
	int status;
	struct http_headers headers;
	str body; // in the arena
};
// True when an answer came, whatever its status. Idempotent calls (and any call on a connection that the server had
// closed before it read a byte) are tried again once on a fresh connection.
bool http_client_do(struct http_client *c, struct arena *a, const struct http_call *call, struct http_answer *out,
                    struct error *err);

// A streamed answer: read returns bytes as they come (0: end; < 0: error, in err). abort may be called from another
// thread and makes a blocked read return with an error.
struct http_stream_in;
struct http_stream_in *http_client_open(struct http_client *c, struct arena *a, const struct http_call *call,
                                        struct http_answer *head, struct error *err);
ssize_t http_stream_read(struct http_stream_in *s, char *to, size_t n, int timeout_ms, struct error *err);
void http_stream_in_abort(struct http_stream_in *s);
void http_stream_in_close(struct http_stream_in *s);

#endif
