// UDP has no connections that end: the kernel goes on sending a client's packets to an endpoint that is gone. So flows to endpoints
// that a Service has lost are forgotten, and flows to an address that had no endpoint (upstream: conntrack cleanup).
#ifndef CORACLE_PROXY_CONNTRACK_H
#define CORACLE_PROXY_CONNTRACK_H

#include "proxy/rules.h"

struct udp_flow { str address; uint16_t port; }; // of the endpoint that answered; IPv4 text
struct udp_flows { struct udp_flow *v; size_t n; };

// Adds the UDP endpoints that stand in `had` and no more in `want`.
void conntrack_stale(struct arena *a, const struct rule_objects *had, const struct rule_objects *want, struct udp_flows *out);
// Deletes the flows whose answers come from one of these.
bool conntrack_forget(const struct udp_flows *flows, struct error *err);

#endif
