#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/heap.h"

enum { DEFAULT_FIRST = 4096, ALIGN = 16, MAX_BLOCK = 1 << 20 };

struct block {
	struct block *prev;
	size_t size; // usable bytes after the header
	size_t used;
	_Alignas(ALIGN) char data[];
};

struct hook {
	struct hook *prev;
	void (*fn)(void *);
	void *ctx;
};

struct arena {
	struct block *block; // the newest; older ones behind it
	struct hook *hooks;
	size_t total;
};

static struct block *block_new(struct block *prev, size_t size)
{
	if (size > SIZE_MAX / 2)
		heap_exhausted(size);
	struct block *b = heap_alloc(sizeof(*b) + size);
	b->prev = prev;
	b->size = size;
	b->used = 0;
	return b;
}

struct arena *arena_new(size_t first)
{
	struct block *b = block_new(NULL, MAX(first ? first : (size_t)DEFAULT_FIRST, sizeof(struct arena) + (size_t)ALIGN));
	struct arena *a = (struct arena *)(void *)b->data;
	b->used = (sizeof(*a) + ALIGN - 1) / ALIGN * ALIGN;
	*a = (struct arena){ .block = b };
	return a;
}

void arena_reset(struct arena *a)
{
	for (struct hook *h = a->hooks; h; h = h->prev)
		h->fn(h->ctx);
	struct block *b = a->block;
	while (b->prev) {
		struct block *prev = b->prev;
		free(b);
		b = prev;
	}
	b->used = (sizeof(*a) + ALIGN - 1) / ALIGN * ALIGN;
	*a = (struct arena){ .block = b };
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	arena_reset(a);
	free(a->block); // the arena itself lives in its first block
}

void *arena_alloc(struct arena *a, size_t n)
{
	if (n > SIZE_MAX / 4)
		heap_exhausted(n);
	n = (n + ALIGN - 1) / ALIGN * ALIGN;
	struct block *b = a->block;
	if (b->size - b->used < n) {
		size_t size = MIN(b->size * 2, (size_t)MAX_BLOCK);
		b = a->block = block_new(b, MAX(size, n));
	}
	void *p = b->data + b->used;
	b->used += n;
	a->total += n;
	return n ? memset(p, 0, n) : p;
}

void *arena_calloc(struct arena *a, size_t count, size_t size)
{
	size_t n;
	if (__builtin_mul_overflow(count, size, &n))
		heap_exhausted(SIZE_MAX);
	return arena_alloc(a, n);
}

size_t arena_used(const struct arena *a)
{
	return a->total;
}

void arena_on_free(struct arena *a, void (*fn)(void *ctx), void *ctx)
{
	struct hook *h = ARENA_NEW(a, struct hook);
	*h = (struct hook){ .prev = a->hooks, .fn = fn, .ctx = ctx };
	a->hooks = h;
}

char *arena_cstr(struct arena *a, str s)
{
	char *p = arena_alloc(a, s.n + 1);
	if (s.n)
		memcpy(p, s.p, s.n);
	return p;
}

str arena_dup(struct arena *a, str s)
{
	return (str){ arena_cstr(a, s), s.n };
}

str arena_vprintf(struct arena *a, const char *fmt, va_list ap)
{
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		return S("(format error)");
	char *p = arena_alloc(a, (size_t)n + 1);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	return (str){ p, (size_t)n };
}

str arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	str s = arena_vprintf(a, fmt, ap);
	va_end(ap);
	return s;
}

str arena_concat_n(struct arena *a, const str *parts, size_t n)
{
	size_t total = 0;
	for (size_t i = 0; i < n; i++)
		total += parts[i].n;
	char *p = arena_alloc(a, total + 1), *to = p;
	for (size_t i = 0; i < n; i++) {
		if (parts[i].n)
			memcpy(to, parts[i].p, parts[i].n);
		to += parts[i].n;
	}
	return (str){ p, total };
}

void *list_add_raw(struct arena *a, void **v, size_t *n, size_t size)
{
	// Full exactly when n is 0 or a power of two: the capacity needs no field of its own.
	if ((*n & (*n - 1)) == 0) {
		void *more = arena_calloc(a, *n ? *n * 2 : 1, size);
		if (*n)
			memcpy(more, *v, *n * size);
		*v = more;
	}
	void *item = (char *)*v + *n * size;
	memset(item, 0, size);
	(*n)++;
	return item;
}
