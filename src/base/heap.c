#include "base/heap.h"

#include <stdio.h>

void heap_exhausted(size_t wanted)
{
	fprintf(stderr, "fatal: out of memory (%zu bytes wanted)\n", wanted);
	abort();
}

void *heap_alloc(size_t n)
{
	void *p = malloc(n ? n : 1);
	if (!p)
		heap_exhausted(n);
	return p;
}

void *heap_calloc(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size ? size : 1);
	if (!p)
		heap_exhausted(count * size);
	return p;
}

void *heap_realloc(void *p, size_t n)
{
	p = realloc(p, n ? n : 1);
	if (!p)
		heap_exhausted(n);
	return p;
}

char *heap_cstr(str s)
{
	char *p = heap_alloc(s.n + 1);
	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = 0;
	return p;
}
