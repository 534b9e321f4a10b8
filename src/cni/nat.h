// Address translation for pods: one nftables table per bridge with masquerading and host ports. It is written when it is not
// there or says something else, so that the usual invocation only asks the kernel whether it is there.
#ifndef CORACLE_CNI_NAT_H
#define CORACLE_CNI_NAT_H

#include "base/error.h"
#include "cni/ip.h"

struct nat {
	str bridge;
	const struct ip_net *subnets;   // of the pods on this node
	size_t nsubnets;
	const struct ip_net *cluster;   // not masqueraded
	size_t ncluster;
	bool masquerade;
	str dir;                        // where host ports are remembered: DIR/ports/CONTAINER-IFNAME
};
struct port_mapping {
	str protocol;                   // "tcp", "udp", "sctp"
	int host_port, container_port;
	struct ip host_ip;              // family 0: every address of the node
};

// Makes the table as wanted. ports: whether host ports are in use (or about to be).
bool nat_ensure(struct arena *a, const struct nat *n, struct error *err);
bool nat_ports_add(struct arena *a, const struct nat *n, str container, str ifname, const struct port_mapping *ports, size_t nports,
                   const struct ip_net *ips, size_t nips, struct error *err);
bool nat_ports_del(struct arena *a, const struct nat *n, str container, str ifname, struct error *err);

#endif
