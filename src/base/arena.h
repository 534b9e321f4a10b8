// Arenas: memory with one owner and one end.
//
// Everything made while answering a request, running a reconcile or a sync comes from one arena and is freed
// with it, all at once; nothing in it is freed alone. An arena belongs to one thread at a time. Allocation never
// returns NULL: when the system has no memory the process ends with a message, and its supervisor starts it again.
#ifndef CORACLE_BASE_ARENA_H
#define CORACLE_BASE_ARENA_H

#include <stdarg.h>
#include "base/str.h"

struct arena;

// A new arena. `first` is the size of its first block in bytes; 0 takes the default (4 KiB).
struct arena *arena_new(size_t first);
// Runs the on-free hooks, newest first, and gives all memory back. NULL is fine.
void arena_free(struct arena *a);
// As arena_free, but the arena itself (and its first block) stays for reuse.
void arena_reset(struct arena *a);
// `n` bytes, aligned for any type, zeroed.
void *arena_alloc(struct arena *a, size_t n);
// `count` items of `size` bytes, zeroed; the product is checked.
void *arena_calloc(struct arena *a, size_t count, size_t size);
// Bytes handed out so far (for limits and metrics).
size_t arena_used(const struct arena *a);
// Calls fn(ctx) when the arena is freed or reset.
void arena_on_free(struct arena *a, void (*fn)(void *ctx), void *ctx);

#define ARENA_NEW(a, T) ((T *)arena_alloc((a), sizeof(T)))
#define ARENA_ARRAY(a, T, n) ((T *)arena_calloc((a), (n), sizeof(T)))

// A copy of the slice in the arena (with a NUL after it, not counted).
str arena_dup(struct arena *a, str s);
// The same as a C string.
char *arena_cstr(struct arena *a, str s);
// Formatted text in the arena.
str arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
str arena_vprintf(struct arena *a, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
// The slices one after the other: arena_concat(a, S("/api/v1/"), name).
#define arena_concat(a, ...) \
	arena_concat_n((a), (str[]){ __VA_ARGS__ }, sizeof((str[]){ __VA_ARGS__ }) / sizeof(str))
str arena_concat_n(struct arena *a, const str *parts, size_t n);

// Growing a {v, n} array in an arena (the shape of all lists of the schema): makes room for one more item and
// returns its address, zeroed. Capacity is the next power of two, so a list grows in amortised constant time.
//     *LIST_ADD(a, &names) = S("x");
// `list` is evaluated several times: it must not hold another LIST_ADD.
#ifdef __cppcheck__ // its parser gives the whole file up over a cast to __typeof__
#define LIST_ADD(a, list) ((list)->v + (list)->n)
#else
#define LIST_ADD(a, list) \
	((__typeof__((list)->v))list_add_raw((a), (void **)&(list)->v, &(list)->n, sizeof(*(list)->v)))
#endif
void *list_add_raw(struct arena *a, void **v, size_t *n, size_t size);

static inline void arena_freep(struct arena **a) { arena_free(*a); }
#define _cleanup_arena_ __attribute__((cleanup(arena_freep)))

#endif
