// The node's part of the Pod network, kept up to date from the Node objects: a route to every other node's pod ranges (via its internal
// address), the service range on the loopback link (so that no packet to an unused address leaves the node), and the CNI configuration
// for this node's own range.
#ifndef CORACLE_PROXY_ROUTES_H
#define CORACLE_PROXY_ROUTES_H

#include "client/informer.h"

struct routes_opts {
	const char *node_name;
	const char *cluster_cidr, *service_cidr;
	const char *cni_conf_dir;   // NULL: the configuration is somebody else's
};
struct routes;
struct routes *routes_new(const struct routes_opts *o);
// Brings everything in line with the nodes that the informer holds. True when all is as it should be.
bool routes_sync(struct routes *r, struct informer *nodes, struct error *err);
// Removes what routes_sync made.
void routes_cleanup(const struct routes_opts *o);

#endif
