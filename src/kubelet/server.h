// The kubelet's HTTPS server: logs, exec, pods, statistics, health. Rule: upstream pkg/kubelet/server.
#ifndef CORACLE_KUBELET_SERVER_H
#define CORACLE_KUBELET_SERVER_H

#include "kubelet/state.h"
#include "net/http_server.h"

bool server_start(struct kubelet *k, struct error *err);
void server_stop(struct kubelet *k);

// --- Between the server's files ---

// One request on its way. It lives until the exchange is closed and no thread works on it any more.
struct call {
	struct kubelet *k;
	struct http_exchange *x;      // NULL: the peer is gone (under the call's lock)
	struct http_loop *loop;
	struct arena *arena;          // the call's own
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int refs;
	str method, path, query;      // copies
	struct http_params params;
	struct http_headers headers;
	str user;
	struct str_list groups;
	size_t pending;               // bytes that wait to be sent
	bool started;                 // the head of the answer is out
	struct tunnel *tunnel;        // server_exec.c
};
struct call *call_ref(struct call *c);
void call_unref(struct call *c);
bool call_gone(struct call *c);
// From any thread: the whole answer; the beginning of a stream, a piece (waits while the peer is slow; false: it is gone), its end.
void call_reply(struct call *c, int status, str content_type, str body);
void call_stream_start(struct call *c, int status, str content_type);
bool call_stream_write(struct call *c, str bytes);
void call_stream_end(struct call *c);
// Runs fn(c, ctx) on the call's loop, if the peer is still there.
void call_on_loop(struct call *c, void (*fn)(struct call *c, void *ctx), void *ctx);
str call_param(const struct call *c, const char *key); // the first, empty when absent
bool call_param_true(const struct call *c, const char *key);

// Handlers, each on a thread of its own. `rest`: the path behind the handler's own part.
void serve_logs(struct call *c, str rest);   // /containerLogs/NS/POD/CONTAINER
void serve_exec(struct call *c, str rest);   // /exec/NS/POD[/UID]/CONTAINER
void serve_stats(struct call *c);            // /stats/summary
void serve_metrics(struct call *c);
void serve_pods(struct call *c);

// server_auth.c. Who asks: from the certificate or a bearer token. False: answered with 401.
bool call_authenticate(struct call *c, str bearer);
// May they? False: answered with 403.
bool call_authorize(struct call *c);

#endif
