// A growing byte buffer on the heap (zero-initialise it; free with buf_free) with the appends that encoders need.
#ifndef CORACLE_BASE_BUF_H
#define CORACLE_BASE_BUF_H

#include <stdarg.h>
#include "base/str.h"

struct buf {
	char *p;
	size_t n, cap;
};

void buf_free(struct buf *b);
static inline void buf_clear(struct buf *b) { b->n = 0; }
static inline str buf_str(const struct buf *b) { return (str){ b->p, b->n }; }
// Room for `n` more bytes after the ones in use; returns where they begin. The caller adds to b->n what it wrote.
char *buf_reserve(struct buf *b, size_t n);
void buf_add(struct buf *b, str s);
void buf_add_char(struct buf *b, char c);
void buf_add_i64(struct buf *b, int64_t v);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
// Removes the first `n` bytes.
void buf_consume(struct buf *b, size_t n);

#define _cleanup_buf_ __attribute__((cleanup(buf_free)))

#endif
