// Cluster addresses and node ports. What is given out is known from the stored Services alone (read when the server starts) and kept in memory;
// each cluster address also has an IPAddress object, written and deleted in the same batch as its Service.
#ifndef CORACLE_APISERVER_ALLOC_H
#define CORACLE_APISERVER_ALLOC_H

#include "apiserver/apiserver.h"

// What one write took and what it gives back when it succeeds.
struct alloc_change {
	struct str_list taken_ips, freed_ips;
	struct { int32_t *v; size_t n; } taken_ports, freed_ports;
};

// Before a Service is prepared for an update: what the client left out is as it was.
void alloc_keep(struct core_v1_Service *svc, const struct core_v1_Service *old);
// Fills families, addresses and ports. False with *s: nothing is taken then.
bool alloc_service(struct call *c, struct core_v1_Service *svc, const struct core_v1_Service *old, struct alloc_change *ch, struct api_status *s);
// The Service is deleted.
void alloc_release(struct call *c, const struct core_v1_Service *old, struct alloc_change *ch);
void alloc_done(struct call *c, struct alloc_change *ch, bool success);
// The operations on IPAddress objects that belong to the write; `json` keeps their bytes.
size_t alloc_ops(struct call *c, const struct core_v1_Service *svc, const struct alloc_change *ch, struct store_op *ops, size_t max);
static inline bool alloc_concerns(const struct kind *k) { return str_eq(k->key_prefix, S("core/services")); }
void alloc_free(struct alloc *al);
str alloc_first(struct apiserver *s, struct arena *a);

#endif
