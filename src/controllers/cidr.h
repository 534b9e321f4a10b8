// Subnets of a range, handed out one by one.
#ifndef CORACLE_CONTROLLERS_CIDR_H
#define CORACLE_CONTROLLERS_CIDR_H

#include "base/arena.h"
#include "base/error.h"

struct cidr_pool {
	uint8_t base[16];
	bool v6;
	int range_bits, subnet_bits;
	uint32_t count, next; // subnets in all; where the search goes on
	uint8_t *used;        // one bit each
};
// "10.244.0.0/16" in subnets of `subnet_bits`; at most 2^16 of them.
bool cidr_pool_init(struct arena *a, str range, int subnet_bits, struct cidr_pool *out, struct error *err);
// Marks a subnet, or what a wider or narrower range covers, as taken; false: it lies outside or is none.
bool cidr_pool_take(struct cidr_pool *p, str subnet);
void cidr_pool_release(struct cidr_pool *p, str subnet);
// The next free one; empty: all are taken.
str cidr_pool_next(struct arena *a, struct cidr_pool *p);

#endif
