#include "net/test_server.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/heap.h"

struct state { // of one exchange, in its arena
	struct test_server *t;
	struct http_exchange *x;
	struct http_timer *timer;
	long left, next;
	bool gone, working;
};

static void on_close(struct http_exchange *x, void *data)
{
	struct state *s = data;
	(void)x;
	atomic_fetch_add(&s->t->closed, 1);
	http_timer_cancel(s->timer);
}

static struct state *state_new(struct http_exchange *x, struct test_server *t)
{
	struct state *s = ARENA_NEW(http_request(x)->arena, struct state);
	s->t = t;
	s->x = x;
	http_exchange_set(x, s, on_close);
	return s;
}

static void reply_later(void *ctx)
{
	struct state *s = ctx;
	http_reply(s->x, 200, NULL, S("later"));
}

static void tick(void *ctx)
{
	struct state *s = ctx;
	atomic_fetch_add(&s->t->ticks, 1);
	http_stream_write(s->x, S("tick\n"));
	if (--s->left == 0)
		http_stream_end(s->x);
}

static void count_on(struct http_exchange *x, void *data)
{
	struct state *s = data;
	char line[32];
	atomic_fetch_add(&s->t->drained, 1);
	while (s->next < s->left) {
		int n = snprintf(line, sizeof(line), "%ld\n", s->next++);
		if (http_stream_write(x, str_n(line, (size_t)n)) > 100000)
			return;
	}
	http_stream_end(x);
}

static void release(void *ctx)
{
	struct test_server *t = ctx;
	atomic_fetch_add(&t->released, 1);
}

// Work that outlives its exchange: it owns itself.
struct work {
	struct state *s;
	struct test_server *t;
	bool gone;
	char text[16];
};

static void do_work(void *ctx)
{
	struct work *w = ctx;
	clock_sleep(NULL, 5 * NS_PER_MS);
	snprintf(w->text, sizeof(w->text), "worked");
}

static void work_done(void *ctx)
{
	struct work *w = ctx;
	if (!w->gone) {
		http_exchange_set(w->s->x, w->s, on_close);
		http_reply(w->s->x, 200, NULL, str_c(w->text));
	}
	free(w);
}

static void work_gone(struct http_exchange *x, void *data)
{
	struct work *w = data;
	(void)x;
	w->gone = true; // its result comes to nobody
}

static bool shout(struct http_exchange *x, void *data, str bytes)
{
	char c;
	(void)data;
	for (size_t i = 0; i < bytes.n; i++) {
		c = bytes.p[i];
		if (c == '.') {
			http_tunnel_close(x);
			return true;
		}
		c = (char)(c >= 'a' && c <= 'z' ? c - 32 : c);
		http_stream_write(x, str_n(&c, 1));
	}
	return true;
}

static void handle(struct http_exchange *x, void *ctx)
{
	struct test_server *t = ctx;
	struct http_request_in *r = http_request(x);
	struct arena *a = r->arena;
	struct http_header type = { S("content-type"), S("text/plain") };
	struct http_headers h = { &type, 1 };
	struct state *s = state_new(x, t);
	uint64_t n = 0;
	str_to_u64(r->query, &n);
	atomic_fetch_add(&t->handled, 1);
	if (r->body_too_large) {
		http_reply(x, 413, &h, S("too large"));
	} else if (str_eq(r->path, S("/big"))) {
		http_reply_ref(x, 200, &h, str_n(t->big, TEST_BIG), release, t);
	} else if (str_eq(r->path, S("/wait"))) {
		atomic_fetch_add(&t->waiting, 1);
	} else if (str_eq(r->path, S("/later"))) {
		s->timer = http_timer_start(http_exchange_loop(x), 20, 0, reply_later, s);
	} else if (str_eq(r->path, S("/work"))) {
		struct work *w = HEAP_NEW(struct work);
		w->s = s;
		w->t = t;
		http_exchange_set(x, w, work_gone);
		http_loop_work(http_exchange_loop(x), do_work, work_done, w);
	} else if (str_eq(r->path, S("/count"))) {
		s->left = (long)n;
		http_stream_start(x, 200, &h);
		http_stream_on_drain(x, count_on);
		count_on(x, s);
	} else if (str_eq(r->path, S("/ticks"))) {
		s->left = n ? (long)n : -1;
		http_stream_start(x, 200, &h);
		s->timer = http_timer_start(http_exchange_loop(x), 0, 20, tick, s);
	} else if (str_eq(r->path, S("/abort"))) {
		http_stream_start(x, 200, &h);
		http_stream_write(x, S("half of it"));
		s->timer = http_timer_start(http_exchange_loop(x), 50, 0, (void (*)(void *))http_stream_abort, x);
	} else if (str_eq(r->path, S("/who"))) {
		const struct tls_peer *p = r->peer;
		http_reply(x, 200, &h,
		           !p ? S("nobody")
		              : arena_printf(a, "%s %s " STR_FMT " %zu " STR_FMT " " STR_FMT " %zu " STR_FMT,
		                             p->verified ? "verified" : "unverified",
		                             r->http_version == 2 ? "h2" : "h1", STR_ARG(p->common_name),
		                             p->norganizations,
		                             STR_ARG(p->norganizations ? p->organizations[0] : S("")),
		                             STR_ARG(p->norganizations > 1 ? p->organizations[1] : S("")),
		                             p->fingerprint.n, STR_ARG(p->serial)));
	} else if (str_eq(r->path, S("/headers"))) {
		str all = S("");
		for (size_t i = 0; i < r->headers.n; i++)
			all = arena_concat(a, all, r->headers.v[i].name, S("="), r->headers.v[i].value, S("\n"));
		http_reply(x, 200, &h, all);
	} else if (str_eq(r->path, S("/tunnel"))) {
		struct http_header up = { S("upgrade"), S("shout") };
		if (!http_tunnel_start(x, &(struct http_headers){ &up, 1 }, shout))
			http_reply(x, 400, &h, S("no upgrade"));
	} else if (str_eq(r->path, S("/status"))) {
		http_reply(x, (int)n, &h, S("body"));
	} else if (str_eq(r->path, S("/split"))) {
		struct http_header evil = { S("x-evil"), S("1\r\nset-cookie: a=b") };
		http_reply(x, 200, &(struct http_headers){ &evil, 1 }, S("ok"));
	} else {
		http_reply(x, 200, &h,
		           arena_printf(a, STR_FMT " " STR_FMT " " STR_FMT " %zu " STR_FMT, STR_ARG(r->method),
		                        STR_ARG(r->path), STR_ARG(r->query), r->body.n,
		                        STR_ARG(str_sub(r->body, 0, 1000))));
	}
}

void test_server_start(struct test_server *t, bool tls, void (*adjust)(struct http_server_opts *o))
{
	struct error err = { 0 };
	*t = (struct test_server){ .a = arena_new(0) };
	t->big = heap_alloc(TEST_BIG);
	for (size_t i = 0; i < TEST_BIG; i++)
		t->big[i] = (char)('a' + i * 7 % 26);
	t->o = (struct http_server_opts){
		.address = "127.0.0.1", .loops = 2, .handle = handle, .ctx = t, .max_body = 100000
	};
	if (tls) {
		test_pki_make(t->a, &t->pki);
		struct tls_server_opts o = {
			.cert_file = t->pki.cert, .key_file = t->pki.key, .client_ca_file = t->pki.ca, .http2 = true
		};
		t->tls = t->o.tls = tls_server_new(&o, &err);
		if (!t->tls)
			abort();
	}
	if (adjust)
		adjust(&t->o);
	t->s = http_server_start(&t->o, &err);
	if (!t->s)
		abort();
	t->port = http_server_port(t->s);
}

void test_server_stop(struct test_server *t)
{
	http_server_stop(t->s, 0);
	tls_unref(t->tls);
	if (t->tls)
		test_pki_remove(&t->pki);
	free(t->big);
	arena_free(t->a);
}

bool test_reaches(atomic_int *counter, int value)
{
	for (int i = 0; i < 500 && atomic_load(counter) < value; i++)
		clock_sleep(NULL, 10 * NS_PER_MS);
	return atomic_load(counter) == value;
}
