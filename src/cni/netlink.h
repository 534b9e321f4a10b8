// Links, addresses, routes and network namespaces through rtnetlink (libmnl). What a call changes belongs to the network
// namespace in which its socket was opened.
//
// All functions return false and fill err (err->sys is the kernel's errno: EEXIST, ENODEV, ESRCH, ...) on failure.
#ifndef CORACLE_CNI_NETLINK_H
#define CORACLE_CNI_NETLINK_H

#include <net/if.h>

#include "base/error.h"
#include "cni/ip.h"

struct netlink;

// A socket in the calling thread's network namespace, or in that of the descriptor (of /proc/PID/ns/net or a mount of it).
struct netlink *netlink_open(struct error *err);
struct netlink *netlink_open_at(int ns_fd, struct error *err);
void netlink_close(struct netlink *nl);
static inline void netlink_closep(struct netlink **nl) { netlink_close(*nl); }
#define _cleanup_netlink_ __attribute__((cleanup(netlink_closep)))

// Runs fn on the calling thread inside the namespace, then comes back (the process ends where that is impossible).
bool netns_run(int ns_fd, bool (*fn)(void *ctx, struct error *err), void *ctx, struct error *err);
// Makes a network namespace and pins it as a mount on `path` (the file is made; its directory exists).
bool netns_make(const char *path, struct error *err);
// Unmounts and removes it; absent is fine.
bool netns_remove(const char *path, struct error *err);

struct link {
	int index, mtu, master;  // master 0: none
	unsigned flags;          // IFF_UP, ...
	char name[IFNAMSIZ];
	uint8_t mac[6];
	char kind[16];           // "bridge", "veth", ...; empty for physical ones
	bool hairpin;            // of a bridge port
};
// err->sys is ENODEV when there is none.
bool link_get(struct netlink *nl, const char *name, struct link *out, struct error *err);
bool link_get_index(struct netlink *nl, int index, struct link *out, struct error *err);
bool link_list(struct netlink *nl, struct arena *a, struct link **out, size_t *n, struct error *err);
// kind: "bridge", "dummy", ...; mtu 0: the default. *index (when not NULL) gets its number.
bool link_add(struct netlink *nl, const char *name, const char *kind, int mtu, struct error *err);
bool link_add_vxlan(struct netlink *nl, const char *name, uint32_t vni, int port, const struct ip *local, int mtu, struct error *err);
// A pair; the peer is made inside peer_ns (-1: here).
bool link_add_veth(struct netlink *nl, const char *name, const char *peer, int peer_ns, int mtu, struct error *err);
bool link_del(struct netlink *nl, const char *name, struct error *err);
bool link_up(struct netlink *nl, int index, bool up, struct error *err);
bool link_set_master(struct netlink *nl, int index, int master, struct error *err); // 0: none
bool link_set_mac(struct netlink *nl, int index, const uint8_t mac[6], struct error *err);
bool link_rename(struct netlink *nl, int index, const char *name, struct error *err);
bool link_move(struct netlink *nl, int index, int ns_fd, struct error *err);
bool bridge_port_set(struct netlink *nl, int index, bool hairpin, struct error *err);

// An address that is there already is fine. IPv6 addresses skip duplicate detection.
bool addr_add(struct netlink *nl, int index, const struct ip_net *addr, struct error *err);
bool addr_del(struct netlink *nl, int index, const struct ip_net *addr, struct error *err);
bool addr_list(struct netlink *nl, struct arena *a, int index, struct ip_net **out, size_t *n, struct error *err);

struct route {
	struct ip_net dst;    // len 0 is the default route; family from here
	struct ip via;        // family 0: the link itself
	int index;            // link, 0: found by the kernel
	struct ip src;        // preferred source; family 0: none
	bool onlink;          // via is on the link though no route says so
	uint8_t type;         // RTN_UNICAST (0 stands for it), RTN_BLACKHOLE, RTN_LOCAL, ...
	uint32_t table;       // 0: main
	uint32_t metric;      // 0: the kernel's
};
// Adds or replaces.
bool route_set(struct netlink *nl, const struct route *r, struct error *err);
// Absent is fine.
bool route_del(struct netlink *nl, const struct route *r, struct error *err);
// The routes of a table and family.
bool route_list(struct netlink *nl, struct arena *a, int family, uint32_t table, struct route **out, size_t *n, struct error *err);
// A permanent neighbour (ARP, NDP) and, on a VXLAN link, a forwarding entry.
bool neigh_set(struct netlink *nl, int index, const struct ip *ip, const uint8_t mac[6], struct error *err);
bool fdb_set(struct netlink *nl, int index, const uint8_t mac[6], const struct ip *remote, struct error *err);

// Writes /proc/sys/net/... of the calling thread's namespace; a value that is there already counts as written (read-only /proc).
bool net_sysctl(const char *name, const char *value, struct error *err);

#endif
