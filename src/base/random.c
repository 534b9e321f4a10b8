#include "base/random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

void rng_fill(const struct rng *r, void *to, size_t n)
{
	if (r) {
		r->fill(r, to, n);
		return;
	}
	for (size_t have = 0; have < n;) {
		ssize_t got = getrandom((char *)to + have, n - have, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			perror("fatal: getrandom");
			abort();
		}
		have += (size_t)got;
	}
}

uint64_t rng_u64(const struct rng *r)
{
	uint64_t v;
	rng_fill(r, &v, sizeof(v));
	return v;
}

uint64_t rng_below(const struct rng *r, uint64_t below)
{
	uint64_t skip = (0 - below) % below, v; // the first 2^64 mod below values would make small results likelier
	do
		v = rng_u64(r);
	while (v < skip);
	return v % below;
}

str rng_uuid(const struct rng *r, struct arena *a)
{
	unsigned char b[16];
	rng_fill(r, b, sizeof(b));
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	return arena_printf(a, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3], b[4],
	                    b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

str rng_name_suffix(const struct rng *r, struct arena *a, size_t n)
{
	static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
	char *p = arena_alloc(a, n + 1);
	for (size_t i = 0; i < n; i++)
		p[i] = alphabet[rng_below(r, sizeof(alphabet) - 1)];
	return str_n(p, n);
}
