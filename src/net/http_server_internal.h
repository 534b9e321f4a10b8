// How http_server is made: what its files share.
//
//   http_server.c    listening, loops, posts, timers, start and stop
//   http_pool.c      the threads behind http_loop_work
//   http_conn.c      a connection: socket, TLS, deadlines, gathering output
//   http_exchange.c  the public functions on an exchange
//   http_h1.c        HTTP/1.1    http_h2.c  HTTP/2
//
// Nothing is sent at once: whoever has output marks the connection dirty, and at the end of the loop's round all dirty
// connections are flushed, each with as few TLS records and system calls as its bytes need. Likewise a connection is
// only ever torn down there, so no function below has to fear that its connection or exchange vanishes under it.
#ifndef CORACLE_NET_HTTP_SERVER_INTERNAL_H
#define CORACLE_NET_HTTP_SERVER_INTERNAL_H

#include <nghttp2/nghttp2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "base/buf.h"
#include "net/http1.h"
#include "net/http_server.h"
#include "net/tls_internal.h"

enum {
	HTTP_READ_SIZE = 64 * 1024,     // one recv
	HTTP_GATHER = 48 * 1024,        // plaintext per round of encryption
	HTTP_WIRE = 256 * 1024,         // bytes per send
	HTTP_TURN = 2 * 1024 * 1024,    // bytes that one connection sends before others get their turn
	HTTP_HELD = 64 * 1024,          // input that waits behind an unanswered request before reading stops
	HTTP_MAX_STREAMS = 250,         // per connection, as upstream
	HTTP_BODIES = 32 * 1024 * 1024, // request bodies of one HTTP/2 connection before its window closes
	HTTP_ARENA = 2048,
	HTTP_SPARE_ARENAS = 256,
	HTTP_LINGER_MS = 2000,
};

// --- Output: a queue of pieces, copied or referenced ---

struct http_chunk {
	struct http_chunk *next;
	const char *p;
	size_t n, cap; // cap: of `data`, where the bytes were copied
	void (*release)(void *);
	void *ctx;
	char data[];
};

struct http_out {
	struct http_chunk *head, *tail;
	size_t off;   // bytes of head that are done
	size_t bytes; // that wait
};

void http_out_add(struct http_out *q, str bytes);
void http_out_add_ref(struct http_out *q, str bytes, void (*release)(void *), void *ctx);
// Moves up to n bytes to the end of `to`; returns how many.
size_t http_out_take(struct http_out *q, struct buf *to, size_t n);
void http_out_clear(struct http_out *q);

// --- Deadlines: one list per kind; all of a kind last equally long, so each list is in order of time ---

enum http_deadline_kind { HTTP_DL_HEAD, HTTP_DL_IDLE, HTTP_DL_WRITE, HTTP_DL_LINGER, HTTP_DL_KINDS, HTTP_DL_NONE };

struct http_deadline {
	struct http_deadline *prev, *next;
	uint64_t at; // uv_now
	enum http_deadline_kind kind;
	bool exchange; // it stands in an exchange, else in a connection
};

// Sets the kind; the same kind again changes nothing unless `afresh`.
void http_deadline_set(struct http_loop *l, struct http_deadline *d, enum http_deadline_kind kind, bool afresh);

// --- Exchanges ---

struct http_exchange {
	struct http_request_in in;
	struct http_conn *conn;
	struct http_exchange *prev, *next; // of the connection's
	int32_t stream;
	void *data;
	void (*on_close)(struct http_exchange *x, void *data);
	void (*on_drain)(struct http_exchange *x, void *data);
	bool (*on_data)(struct http_exchange *x, void *data, str bytes);
	struct http_out out;
	struct buf body;
	struct http_deadline dl;
	uint64_t announced; // content-length; UINT64_MAX: not known
	size_t head_bytes, header_cap;
	uint32_t empty_frames;
	bool dispatched; // the handler has it
	bool answered;   // its head has been sent or queued
	bool ended;      // nothing follows what is queued
	bool head_only;  // HEAD
	bool chunked;
	bool tunnel, paused;
	bool deferred; // HTTP/2: nghttp2 waits for more
	bool drained;  // on_drain is due
	bool bad_head; // HTTP/2: too large
	bool complete; // the request has arrived to its end
	bool upgrade;  // the client asked for another protocol
};

// --- Connections ---

enum http_conn_state { HTTP_HANDSHAKE, HTTP_SNIFF, HTTP_H1, HTTP_H2, HTTP_LINGER };

struct http_conn {
	struct tls_io io; // first: the TLS session finds us by it
	struct http_loop *loop;
	struct http_conn *prev, *next; // of the loop's
	struct http_conn *next_dirty;
	uv_poll_t poll;
	int fd; // -1: none (fuzzing)
	int events;
	enum http_conn_state state;
	SSL *ssl;
	str wire;         // received bytes that TLS has not taken yet
	struct buf stash; // bytes for the socket, from stash_at
	size_t stash_at;
	struct http_deadline dl;
	struct arena *arena; // peer
	struct tls_peer *peer;
	char remote[64];
	struct http_exchange *exchanges; // the newest first
	size_t nexchanges;
	bool dirty, dead, progress, draining;
	bool any_drained; // an on_drain is due
	bool eof;         // the peer has closed its side; what is queued is still sent
	// HTTP/1.1
	http_parser parser;
	struct http1_head head;
	struct http_exchange *current;
	struct buf held; // input that waits
	bool close_after, discard;
	int bad; // status to refuse the request with
	size_t lingered;
	// HTTP/2
	nghttp2_session *h2;
	size_t bodies, unconsumed;
	bool early; // an answer began before its request had ended
};

// A connection on a socket (fd -1: none). Takes over the descriptor.
struct http_conn *http_conn_new(struct http_loop *l, int fd, const char *remote);
// What has come from the peer, after TLS.
void http_conn_input(struct http_conn *c, str bytes);
// Output, an end or a death is to be dealt with at the end of the round.
void http_conn_dirty(struct http_conn *c);
void http_conn_kill(struct http_conn *c);
void http_conn_flush(struct http_conn *c);
// No new requests; ends when the exchanges have ended. Called twice, a moment apart.
void http_conn_drain(struct http_conn *c);
void http_conn_expired(struct http_conn *c);
// Says which events the socket is watched for.
void http_conn_watch(struct http_conn *c);

struct http_exchange *http_exchange_new(struct http_conn *c);
void http_exchange_free(struct http_exchange *x); // calls on_close
void http_exchange_dispatch(struct http_exchange *x);
// Splits the target into path and query; false when it is none that a server can serve.
bool http_exchange_target(struct http_exchange *x, str target);
void http_exchange_expired(struct http_exchange *x);

// --- HTTP/1.1 ---
void http_h1_start(struct http_conn *c);
void http_h1_input(struct http_conn *c, str bytes);
void http_h1_pull(struct http_conn *c, struct buf *to);
void http_h1_after_flush(struct http_conn *c);
void http_h1_head(struct http_exchange *x, int status, const struct http_headers *headers, int64_t length);
void http_h1_refuse(struct http_conn *c, int status);
void http_h1_free(struct http_conn *c);

// --- HTTP/2 ---
void http_h2_start(struct http_conn *c);
void http_h2_input(struct http_conn *c, str bytes);
void http_h2_pull(struct http_conn *c, struct buf *to);
void http_h2_after_flush(struct http_conn *c);
void http_h2_head(struct http_exchange *x, int status, const struct http_headers *headers, int64_t length);
void http_h2_more(struct http_exchange *x);
void http_h2_reset(struct http_exchange *x, uint32_t code);
void http_h2_drain(struct http_conn *c, bool last);
void http_h2_free(struct http_conn *c);

// --- Loops ---

struct http_post {
	struct http_post *next;
	void (*fn)(void *);
	void *ctx;
};

struct http_loop {
	struct http_server *server;
	size_t index;
	uv_loop_t uv;
	uv_async_t async;
	uv_prepare_t prepare;
	uv_idle_t idle; // running while dirty connections wait for the next round
	uv_timer_t timer;
	uint64_t timer_due; // 0: not running
	pthread_t thread;
	pthread_mutex_t lock;
	struct http_post *posts, **posts_tail; // guarded by lock
	bool closing;                          // guarded by lock: posts are refused
	atomic_int nconns;
	struct http_conn *conns;
	struct http_conn *dirty, **dirty_tail;
	struct http_deadline lists[HTTP_DL_KINDS];
	uint64_t timeouts[HTTP_DL_KINDS];
	struct buf in, plain, wire;
	struct http_conn *gathering; // whose TLS output goes to `wire`
	struct arena *spare[HTTP_SPARE_ARENAS];
	size_t nspare;
	char date[40];
	int64_t date_second;
	struct buf scratch;
	nghttp2_session_callbacks *h2_callbacks;
	nghttp2_option *h2_options;
	bool stopping, quiet;
	int grace_ms;
	uint64_t stop_at;
	uv_timer_t stop_timer;
};

struct http_pool;

struct http_server {
	struct http_server_opts o;
	char *unix_path;
	int fd, reserve; // reserve: a descriptor to give up when there are none left
	int port;
	struct tls_context *tls;
	size_t nloops;
	struct http_loop *loops;
	uv_poll_t accept;
	uv_timer_t retry;
	bool listening;
	size_t next_loop;
	struct http_pool *pool;
	uv_sem_t quiet; // posted by each loop that has no connections left
};

bool http_loop_init(struct http_loop *l, struct http_server *s, size_t index, struct error *err);
void http_loop_close(struct http_loop *l); // runs what is left and frees
void http_loop_round(struct http_loop *l); // flushes dirty connections
str http_loop_date(struct http_loop *l);

struct http_pool *http_pool_new(void);
void http_pool_run(struct http_pool *p, struct http_loop *l, void (*work)(void *), void (*done)(void *), void *ctx);
void http_pool_free(struct http_pool *p); // waits for what runs

#endif
