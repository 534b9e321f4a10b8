// Addresses of one network on one node, kept as files: DIR/ADDRESS holds the container and interface that has it, DIR/last.N
// the last address given out of range set N. A lock file makes concurrent invocations take turns.
#ifndef CORACLE_CNI_IPAM_H
#define CORACLE_CNI_IPAM_H

#include "base/error.h"
#include "cni/ip.h"
#include "json/value.h"

struct ipam_range { struct ip_net subnet; struct ip first, last, gateway; };
struct ipam_set { struct ipam_range *v; size_t n; };   // one address comes from each set
struct ipam {
	str dir;
	struct { struct ipam_set *v; size_t n; } sets;
};
struct ipam_address { struct ip_net ip; struct ip gateway; };

// Reads "ranges" (or "subnet" alone) of the plugin's "ipam" object. Errors are for the user.
bool ipam_parse(struct arena *a, const struct value *conf, str network, struct ipam *out, struct error *err);
// Locks the directory (made on demand) until the descriptor is closed.
int ipam_lock(struct arena *a, const struct ipam *m, struct error *err);
// With the lock: one address per set; addresses that this container and interface has are given again. Error 503 when a set is exhausted.
bool ipam_take(struct arena *a, const struct ipam *m, str container, str ifname, struct ipam_address **out, size_t *n, struct error *err);
// Releases what the container's interface has; nothing is fine.
bool ipam_release(struct arena *a, const struct ipam *m, str container, str ifname, struct error *err);
// Calls fn for every address in use.
bool ipam_each(struct arena *a, const struct ipam *m, bool (*fn)(str container, str ifname, void *ctx, struct error *err), void *ctx,
               struct error *err);

#endif
