#include "net/test_h2.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/test_util.h"

static struct test_h2_answer *find(struct test_h2 *h, int32_t stream)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->answers[i].stream == stream)
			return &h->answers[i];
	return NULL;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name, size_t nn,
                     const uint8_t *value, size_t nv, uint8_t flags, void *user)
{
	struct test_h2_answer *a = find(user, frame->hd.stream_id);
	(void)s, (void)flags, (void)nv;
	if (a && nn == 7 && memcmp(name, ":status", 7) == 0)
		a->status = (int)strtol((const char *)value, NULL, 10);
	return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t stream, const uint8_t *data, size_t n, void *user)
{
	struct test_h2_answer *a = find(user, stream);
	(void)s, (void)flags;
	if (a)
		buf_add(&a->body, str_n((const char *)data, n));
	return 0;
}

static int on_frame(nghttp2_session *s, const nghttp2_frame *frame, void *user)
{
	struct test_h2 *h = user;
	struct test_h2_answer *a = find(h, frame->hd.stream_id);
	(void)s;
	if (a && (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
	    frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		a->ended = true;
	if (a && frame->hd.type == NGHTTP2_HEADERS)
		a->head = true;
	if (frame->hd.type == NGHTTP2_GOAWAY) {
		h->goaway = true;
		h->goaway_error = frame->goaway.error_code;
	}
	if (frame->hd.type == NGHTTP2_PING && frame->hd.flags & NGHTTP2_FLAG_ACK)
		h->pings++;
	if (a && frame->hd.type == NGHTTP2_RST_STREAM) {
		a->reset = true;
		a->error = frame->rst_stream.error_code;
	}
	return 0;
}

static int on_close(nghttp2_session *s, int32_t stream, uint32_t code, void *user)
{
	struct test_h2_answer *a = find(user, stream);
	(void)s, (void)code;
	if (a)
		a->closed = true;
	return 0;
}

void test_h2_open(struct test_h2 *h, int port)
{
	nghttp2_session_callbacks *cb;
	*h = (struct test_h2){ .fd = test_dial(port) };
	nghttp2_session_callbacks_new(&cb);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	nghttp2_session_client_new(&h->session, cb, h);
	nghttp2_session_callbacks_del(cb);
	nghttp2_submit_settings(h->session, 0, NULL, 0);
}

struct source {
	str left;
	char bytes[];
};

static ssize_t read_body(nghttp2_session *s, int32_t stream, uint8_t *to, size_t n, uint32_t *flags,
                         nghttp2_data_source *source, void *user)
{
	struct source *b = source->ptr;
	(void)s, (void)stream, (void)user;
	n = MIN(n, b->left.n);
	memcpy(to, b->left.p, n);
	b->left = str_from(b->left, n);
	if (b->left.n == 0)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

size_t test_h2_request(struct test_h2 *h, const char *method, const char *path, str body)
{
	const nghttp2_nv nv[] = {
		{ (uint8_t *)(uintptr_t) ":method", (uint8_t *)(uintptr_t)method, 7, strlen(method), 0 },
		{ (uint8_t *)(uintptr_t) ":scheme", (uint8_t *)(uintptr_t) "http", 7, 4, 0 },
		{ (uint8_t *)(uintptr_t) ":path", (uint8_t *)(uintptr_t)path, 5, strlen(path), 0 },
		{ (uint8_t *)(uintptr_t) ":authority", (uint8_t *)(uintptr_t) "test", 10, 4, 0 },
	};
	nghttp2_data_provider p = { .read_callback = read_body };
	if (body.n) {
		struct source *b = malloc(sizeof(*b) + body.n);
		memcpy(b->bytes, body.p, body.n);
		b->left = str_n(b->bytes, body.n);
		p.source.ptr = b;
	}
	size_t i = h->n++;
	h->answers[i] = (struct test_h2_answer){ 0 };
	h->answers[i].stream = nghttp2_submit_request(h->session, NULL, nv, 4, body.n ? &p : NULL, NULL);
	h->answers[i].source = p.source.ptr;
	return i;
}

void test_h2_send(struct test_h2 *h)
{
	const uint8_t *p;
	ssize_t n;
	while (!h->over && (n = nghttp2_session_mem_send(h->session, &p)) > 0)
		if (send(h->fd, p, (size_t)n, MSG_NOSIGNAL) != n)
			h->over = true;
}

void test_h2_run(struct test_h2 *h, size_t done, int ms)
{
	int64_t end = clock_mono(NULL) + ms * NS_PER_MS;
	char in[65536];
	while (!h->over && clock_mono(NULL) < end) {
		test_h2_send(h);
		size_t closed = 0;
		for (size_t i = 0; i < h->n; i++)
			closed += h->answers[i].closed;
		if (closed >= done)
			return;
		struct pollfd p = { .fd = h->fd, .events = POLLIN };
		if (poll(&p, 1, 20) <= 0)
			continue;
		ssize_t n = recv(h->fd, in, sizeof(in), 0);
		if (n <= 0 || nghttp2_session_mem_recv(h->session, (const uint8_t *)in, (size_t)n) < 0)
			h->over = true;
	}
}

void test_h2_close(struct test_h2 *h)
{
	for (size_t i = 0; i < h->n; i++) {
		buf_free(&h->answers[i].body);
		free(h->answers[i].source);
	}
	nghttp2_session_del(h->session);
	close(h->fd);
}
