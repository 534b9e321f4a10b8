// A server with trivial handlers, to measure src/net alone with h2load and curl:
//     http_server_bench PORT [CERT KEY]      /1k: 1 KiB    /big: 52 MB by reference    /hold: a stream that stays open
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/heap.h"
#include "net/http_server.h"

struct content {
	str small, big;
};

static void handle(struct http_exchange *x, void *ctx)
{
	const struct content *c = ctx;
	const struct http_request_in *r = http_request(x);
	struct http_header h[] = { { S("content-type"), S("application/json") },
		                   { S("cache-control"), S("no-cache, private") } };
	struct http_headers headers = { h, ARRAY_LEN(h) };
	if (str_eq(r->path, S("/big"))) {
		http_reply_ref(x, 200, &headers, c->big, NULL, NULL);
	} else if (str_eq(r->path, S("/hold"))) {
		http_stream_start(x, 200, &headers);
		http_stream_write(x, S("{}\n"));
	} else if (str_eq(r->path, S("/echo"))) {
		http_reply(x, 200, &headers, r->body);
	} else {
		http_reply(x, 200, &headers, c->small);
	}
}

int main(int argc, char **argv)
{
	struct error err = { 0 };
	struct content c = { { heap_calloc(1, 1024), 1024 }, { heap_calloc(1, 52000000), 52000000 } };
	memset((char *)(uintptr_t)c.small.p, 'x', c.small.n);
	memset((char *)(uintptr_t)c.big.p, 'y', c.big.n);
	struct http_server_opts o = { .address = "127.0.0.1",
		                      .port = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0,
		                      .handle = handle,
		                      .ctx = &c,
		                      .max_connections = 100000 };
	if (argc > 3) {
		struct tls_server_opts t = { .cert_file = argv[2], .key_file = argv[3], .http2 = true };
		o.tls = tls_server_new(&t, &err);
	}
	struct http_server *s = err.code ? NULL : http_server_start(&o, &err);
	if (!s) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	printf("%d\n", http_server_port(s));
	fflush(stdout);
	int sig;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigwait(&set, &sig);
	http_server_stop(s, 1000);
	tls_unref(o.tls);
	free((char *)(uintptr_t)c.small.p);
	free((char *)(uintptr_t)c.big.p);
	return 0;
}
