// The heap, where an arena does not fit (long-lived objects with an end of their own). Like arenas, these never
// return NULL: out of memory ends the process with a message.
#ifndef CORACLE_BASE_HEAP_H
#define CORACLE_BASE_HEAP_H

#include <stddef.h>
#include <stdlib.h>
#include "base/str.h"

void *heap_alloc(size_t n) __attribute__((malloc, returns_nonnull));               // not zeroed
void *heap_calloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull)); // zeroed
void *heap_realloc(void *p, size_t n) __attribute__((returns_nonnull));
char *heap_cstr(str s) __attribute__((returns_nonnull)); // a terminated copy; free it
_Noreturn void heap_exhausted(size_t wanted);

#define HEAP_NEW(T) ((T *)heap_calloc(1, sizeof(T)))

static inline void heap_freep(void *p) { free(*(void **)p); }
#define _cleanup_free_ __attribute__((cleanup(heap_freep)))

#endif
