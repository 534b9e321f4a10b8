#include "net/fuzz_server.h"

#include <stdlib.h>

#include "base/heap.h"
#include "net/http_server_internal.h"
#include "net/websocket.h"

enum { MAX_PENDING = 16, MAX_BODY = 4096 };

struct fuzz {
	struct http_server server;
	struct http_loop loop;
	struct http_exchange *pending[MAX_PENDING]; // to be answered in a later round
	size_t npending;
	size_t open; // exchanges that have begun and not ended
};

static struct fuzz *fuzz_of(struct http_exchange *x)
{
	return http_exchange_loop(x)->server->o.ctx;
}

static void on_close(struct http_exchange *x, void *data)
{
	struct fuzz *f = data;
	f->open--;
	for (size_t i = 0; i < f->npending; i++)
		if (f->pending[i] == x)
			f->pending[i--] = f->pending[--f->npending];
}

static void on_drain(struct http_exchange *x, void *data)
{
	(void)data;
	http_stream_end(x);
}

static bool on_data(struct http_exchange *x, void *data, str bytes)
{
	(void)data;
	http_stream_write(x, bytes);
	return bytes.n % 7 != 0;
}

static void on_message(struct ws_server *w, void *ctx, enum ws_opcode op, str m)
{
	(void)ctx;
	if (m.n % 5 == 4)
		ws_close(w, 1000, S("enough"));
	else
		ws_send(w, op, m);
}

static void on_ws_close(struct ws_server *w, void *ctx)
{
	struct fuzz *f = ctx;
	(void)w;
	f->open--;
}

static void answer(struct http_exchange *x)
{
	static const struct ws_callbacks ws = { .on_message = on_message, .on_close = on_ws_close };
	struct http_request_in *r = http_request(x);
	struct fuzz *f = fuzz_of(x);
	struct error err = { 0 };
	struct http_header h = { S("x-echo"), r->query };
	struct http_headers headers = { &h, 1 };
	switch (str_hash(r->path) % 7) {
	case 0:
		http_reply_ref(x, 200, &headers, r->body, NULL, NULL);
		break;
	case 1:
		http_stream_start(x, 200, &headers);
		http_stream_on_drain(x, on_drain);
		http_stream_write(x, r->target);
		break;
	case 2:
		if (ws_is_upgrade(r) && ws_accept(x, S(""), &ws, f, &err))
			break;
		if (!http_tunnel_start(x, &headers, on_data))
			http_reply(x, 400, NULL, S(""));
		break;
	case 3:
		http_stream_start(x, 200, NULL);
		http_stream_abort(x);
		break;
	case 4:
		http_stream_start(x, 200, NULL);
		http_stream_write_ref(x, r->body, NULL, NULL);
		http_stream_end(x);
		break;
	default:
		http_reply(x, 200, &headers, r->body);
	}
}

static void handle(struct http_exchange *x, void *ctx)
{
	struct fuzz *f = ctx;
	struct http_request_in *r = http_request(x);
	f->open++;
	http_exchange_set(x, f, on_close);
	if (r->body.n > MAX_BODY)
		abort();
	if (str_hash(r->target) % 3 == 0 && f->npending < MAX_PENDING)
		f->pending[f->npending++] = x;
	else
		answer(x);
}

static void round_of(struct fuzz *f, bool late)
{
	while (late && f->npending)
		answer(f->pending[--f->npending]);
	http_loop_round(&f->loop);
	for (struct http_conn *c = f->loop.conns; c; c = c->next)
		if (c->current && c->current->paused)
			http_tunnel_resume(c->current);
	uv_run(&f->loop.uv, UV_RUN_NOWAIT);
}

void fuzz_server_feed(str first, str rest)
{
	struct fuzz *f = HEAP_NEW(struct fuzz);
	struct error err = { 0 };
	f->server.o = (struct http_server_opts){ .max_body = MAX_BODY,
		                                 .header_timeout_ms = 1000,
		                                 .idle_timeout_ms = 1000,
		                                 .write_timeout_ms = 1000,
		                                 .handle = handle,
		                                 .ctx = f };
	if (!http_loop_init(&f->loop, &f->server, 0, &err))
		abort();
	atomic_store(&f->loop.nconns, 1);
	struct http_conn *c = http_conn_new(&f->loop, -1, "fuzz");
	if (first.n)
		http_conn_input(c, first);
	size_t piece = rest.n ? (size_t)(unsigned char)rest.p[0] * 4 + 1 : 1;
	rest = str_from(rest, 1);
	for (int i = 0; rest.n && f->loop.conns; i++) {
		str part = str_sub(rest, 0, piece);
		rest = str_from(rest, part.n);
		if (!c->dead)
			http_conn_input(c, part);
		round_of(f, i % 3 == 2);
	}
	for (int i = 0; i < 3; i++)
		round_of(f, true);
	if (f->loop.conns)
		http_conn_kill(f->loop.conns);
	round_of(f, false);
	if (f->open || f->loop.conns)
		abort(); // each exchange ends exactly once
	http_loop_close(&f->loop);
	free(f);
}
