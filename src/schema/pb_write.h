// Writing the protobuf wire format. Internal to this folder.
#ifndef CORACLE_SCHEMA_PB_WRITE_H
#define CORACLE_SCHEMA_PB_WRITE_H

#include "base/buf.h"

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static inline void pb_varint(struct buf *to, uint64_t v)
{
	char *p = buf_reserve(to, 10);
	size_t n = 0;
	while (v >= 0x80) {
		p[n++] = (char)(v | 0x80);
		v >>= 7;
	}
	p[n++] = (char)v;
	to->n += n;
}

static inline void pb_tag(struct buf *to, uint32_t number, unsigned wire)
{
	pb_varint(to, (uint64_t)number << 3 | wire);
}

static inline void pb_bytes(struct buf *to, uint32_t number, str s)
{
	pb_tag(to, number, WIRE_BYTES);
	pb_varint(to, s.n);
	buf_add(to, s);
}

static inline void pb_int(struct buf *to, uint32_t number, int64_t v)
{
	pb_tag(to, number, WIRE_VARINT);
	pb_varint(to, (uint64_t)v);
}

// A length-delimited field whose length is known once it is written: one byte is kept for the length, and what was written moves
// up in the rare case that it takes more.
static inline size_t pb_open(struct buf *to, uint32_t number)
{
	pb_tag(to, number, WIRE_BYTES);
	buf_add_char(to, 0);
	return to->n;
}

static inline void pb_close(struct buf *to, size_t start)
{
	size_t n = to->n - start, extra = 0;
	for (size_t v = n; v >= 0x80; v >>= 7)
		extra++;
	if (extra) {
		buf_reserve(to, extra);
		memmove(to->p + start + extra, to->p + start, n);
		to->n += extra;
	}
	char *p = to->p + start - 1;
	for (; n >= 0x80; n >>= 7)
		*p++ = (char)(n | 0x80);
	*p = (char)n;
}

#endif
