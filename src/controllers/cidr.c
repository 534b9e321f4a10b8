#include "controllers/cidr.h"

#include <arpa/inet.h>

enum { MAX_BITS = 16 };

// Address bytes (4 or 16) and prefix length.
static bool parse(str s, uint8_t *bytes, bool *v6, int *bits)
{
	str address, prefix;
	char text[INET6_ADDRSTRLEN];
	int64_t n;
	if (!str_split(s, '/', &address, &prefix) || address.n >= sizeof(text) || !str_to_i64(prefix, &n))
		return false;
	memcpy(text, address.p, address.n);
	text[address.n] = 0;
	memset(bytes, 0, 16);
	*v6 = str_find_char(address, ':') >= 0;
	if (inet_pton(*v6 ? AF_INET6 : AF_INET, text, bytes) != 1 || n < 0 || n > (*v6 ? 128 : 32))
		return false;
	*bits = (int)n;
	return true;
}

bool cidr_pool_init(struct arena *a, str range, int subnet_bits, struct cidr_pool *out, struct error *err)
{
	*out = (struct cidr_pool){ .subnet_bits = subnet_bits };
	if (!parse(range, out->base, &out->v6, &out->range_bits))
		return error_set(err, "\"" STR_FMT "\" is no address range", STR_ARG(range));
	for (int i = out->range_bits; i < 128; i++)
		out->base[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
	int free_bits = subnet_bits - out->range_bits;
	if (free_bits < 0 || free_bits > MAX_BITS || subnet_bits > (out->v6 ? 128 : 32))
		return error_set(
		        err, "\"" STR_FMT "\" cannot be divided into subnets of %d bits (up to %d more than its own)",
		        STR_ARG(range), subnet_bits, MAX_BITS);
	out->count = 1u << free_bits;
	out->used = arena_alloc(a, out->count / 8 + 1);
	return true;
}

// The subnets that a range touches.
static bool touched(const struct cidr_pool *p, str subnet, uint32_t *from, uint32_t *n)
{
	uint8_t bytes[16];
	bool v6;
	int bits;
	if (!parse(subnet, bytes, &v6, &bits) || v6 != p->v6 || bits < p->range_bits)
		return false;
	for (int i = 0; i < p->range_bits; i++)
		if ((bytes[i / 8] ^ p->base[i / 8]) & (0x80 >> i % 8))
			return false;
	*from = 0;
	for (int i = p->range_bits; i < p->subnet_bits; i++)
		*from = *from << 1 | (i < bits && bytes[i / 8] & (0x80 >> i % 8) ? 1u : 0u);
	*n = bits >= p->subnet_bits ? 1 : 1u << (p->subnet_bits - bits);
	return true;
}

bool cidr_pool_take(struct cidr_pool *p, str subnet)
{
	uint32_t from, n;
	if (!touched(p, subnet, &from, &n))
		return false;
	for (uint32_t i = from; i < from + n; i++)
		p->used[i / 8] |= (uint8_t)(1 << i % 8);
	return true;
}

void cidr_pool_release(struct cidr_pool *p, str subnet)
{
	uint32_t from, n;
	if (!touched(p, subnet, &from, &n))
		return;
	for (uint32_t i = from; i < from + n; i++)
		p->used[i / 8] &= (uint8_t) ~(1 << i % 8);
}

str cidr_pool_next(struct arena *a, struct cidr_pool *p)
{
	for (uint32_t k = 0; k < p->count; k++) {
		uint32_t i = (p->next + k) % p->count;
		if (p->used[i / 8] & (1 << i % 8))
			continue;
		p->used[i / 8] |= (uint8_t)(1 << i % 8);
		p->next = (i + 1) % p->count;
		uint8_t bytes[16];
		memcpy(bytes, p->base, sizeof(bytes));
		for (int b = 0; b < p->subnet_bits - p->range_bits; b++)
			if (i & (1u << b)) {
				int at = p->subnet_bits - 1 - b;
				bytes[at / 8] |= (uint8_t)(0x80 >> at % 8);
			}
		char text[INET6_ADDRSTRLEN];
		inet_ntop(p->v6 ? AF_INET6 : AF_INET, bytes, text, sizeof(text));
		return arena_printf(a, "%s/%d", text, p->subnet_bits);
	}
	return S("");
}
