// Chance is passed in, as time is. NULL means the system's generator (getrandom).
#ifndef CORACLE_BASE_RANDOM_H
#define CORACLE_BASE_RANDOM_H

#include "base/arena.h"

struct rng {
	void (*fill)(const struct rng *r, void *to, size_t n);
	void *ctx;
};

void rng_fill(const struct rng *r, void *to, size_t n);
uint64_t rng_u64(const struct rng *r);
// Uniform in [0, below); below > 0.
uint64_t rng_below(const struct rng *r, uint64_t below);
// A random UUID (RFC 9562, version 4) as text.
str rng_uuid(const struct rng *r, struct arena *a);
// `n` characters of the alphabet that Kubernetes uses for generated names (bcdfghjklmnpqrstvwxz2456789).
str rng_name_suffix(const struct rng *r, struct arena *a, size_t n);

#endif
