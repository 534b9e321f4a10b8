#include "cni/ip.h"

#include <arpa/inet.h>

static size_t bytes(const struct ip *i)
{
	return i->family == AF_INET ? 4 : 16;
}

bool ip_read(str s, struct ip *out)
{
	char text[INET6_ADDRSTRLEN];
	if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, 0, s.n))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = 0;
	*out = (struct ip){ .family = strchr(text, ':') ? AF_INET6 : AF_INET };
	return inet_pton(out->family, text, out->b) == 1;
}

bool ip_net_parse(str s, struct ip_net *out)
{
	str addr, len;
	uint64_t n;
	if (!str_split(s, '/', &addr, &len) || len.n > 3 || !str_to_u64(len, &n) || !ip_read(addr, &out->ip) || n > (uint64_t)ip_bits(&out->ip))
		return false;
	out->len = (int)n;
	return true;
}

str ip_write(struct arena *a, const struct ip *i)
{
	char text[INET6_ADDRSTRLEN];
	return i->family && inet_ntop(i->family, i->b, text, sizeof(text)) ? arena_dup(a, str_c(text)) : (str){ 0 };
}

str ip_net_text(struct arena *a, const struct ip_net *n)
{
	return arena_printf(a, STR_FMT "/%d", STR_ARG(ip_write(a, &n->ip)), n->len);
}

int ip_cmp(const struct ip *x, const struct ip *y)
{
	if (x->family != y->family)
		return x->family - y->family;
	return memcmp(x->b, y->b, bytes(x));
}

bool ip_eq(const struct ip *x, const struct ip *y)
{
	return ip_cmp(x, y) == 0;
}

static struct ip masked(const struct ip_net *n, bool ones)
{
	struct ip i = n->ip;
	for (int bit = n->len; bit < ip_bits(&i); bit++) {
		uint8_t m = (uint8_t)(0x80 >> (bit % 8));
		if (ones)
			i.b[bit / 8] |= m;
		else
			i.b[bit / 8] &= (uint8_t)~m;
	}
	return i;
}

struct ip ip_net_first(const struct ip_net *n)
{
	return masked(n, false);
}

struct ip ip_net_last(const struct ip_net *n)
{
	return masked(n, true);
}

bool ip_net_has(const struct ip_net *n, const struct ip *i)
{
	struct ip_net other = { *i, n->len };
	struct ip x = ip_net_first(n), y = ip_net_first(&other);
	return n->ip.family == i->family && ip_eq(&x, &y);
}

bool ip_next(struct ip *i)
{
	for (size_t k = bytes(i); k-- > 0;)
		if (++i->b[k] != 0)
			return true;
	return false;
}

bool ip_prev(struct ip *i)
{
	for (size_t k = bytes(i); k-- > 0;)
		if (i->b[k]-- != 0)
			return true;
	return false;
}
