// IP addresses and prefixes of both families.
#ifndef CORACLE_CNI_IP_H
#define CORACLE_CNI_IP_H

#include <sys/socket.h>

#include "base/arena.h"

struct ip {
	int family;        // AF_INET, AF_INET6; 0: none
	uint8_t b[16];     // network order; 4 or 16 bytes
};
struct ip_net {
	struct ip ip;      // may have host bits
	int len;
};

static inline int ip_bits(const struct ip *i) { return i->family == AF_INET ? 32 : 128; }
bool ip_read(str s, struct ip *out);
bool ip_net_parse(str s, struct ip_net *out);   // "10.0.0.0/24"
str ip_write(struct arena *a, const struct ip *i);
str ip_net_text(struct arena *a, const struct ip_net *n);
bool ip_eq(const struct ip *x, const struct ip *y);
int ip_cmp(const struct ip *x, const struct ip *y);
bool ip_net_has(const struct ip_net *n, const struct ip *i);
struct ip ip_net_first(const struct ip_net *n); // host bits zero
struct ip ip_net_last(const struct ip_net *n);  // host bits one
bool ip_next(struct ip *i);                     // adds one; false when it wraps
bool ip_prev(struct ip *i);

#endif
