// From Services and their EndpointSlices to nftables: pure text, no effects. What a Service wants is a set of objects (chains, sets,
// map elements); the difference between two such sets is a transaction.
#ifndef CORACLE_PROXY_RULES_H
#define CORACLE_PROXY_RULES_H

#include "base/buf.h"
#include "base/map.h"
#include "schema_gen.h"

#define PROXY_TABLE "kube-proxy"

enum rule_kind {
	RULE_SET,      // name, body: the declaration between braces
	RULE_CHAIN,    // name, body: rules, one per line
	RULE_ELEMENT,  // name: of the map or set; key; body: the value (empty for sets)
	RULE_UDP_ENDPOINT, // nothing in the kernel's tables: key: address, body: port of an endpoint (see conntrack.h)
};
struct rule_object {
	enum rule_kind kind;
	str name, key, body;
};
struct rule_objects { struct rule_object *v; size_t n; };

struct rules_opts {
	str node_name;
	str cluster_cidr;   // pods: who is outside gets masqueraded; empty: nobody
	bool ipv6;
};

// The table's fixed part: base chains, maps, the reject of unused service addresses. Replaces a table that is there.
void rules_base(struct buf *to, const struct rules_opts *o, str service_cidr);
void rules_delete(struct buf *to);
// What one Service wants, given its slices. `slices` may hold slices of the other address family.
void rules_of_service(struct arena *a, const struct rules_opts *o, const struct core_v1_Service *s,
                      const struct discovery_v1_EndpointSlice *const *slices, size_t nslices, struct rule_objects *out);
// Writes the commands that lead from one set of objects to another. `shared` counts elements that several Services want.
void rules_diff(struct buf *to, const struct rule_objects *from, const struct rule_objects *want, struct map *shared, const struct rules_opts *o);

#endif
