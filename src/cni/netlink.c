#include "cni/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "base/heap.h"
#include "base/io.h"
#include "base/log.h"

enum { MESSAGE_MAX = 8192 };

struct netlink {
	struct mnl_socket *s;
	uint32_t seq;
	unsigned port;
};

// --- Sockets and namespaces ---

struct netlink *netlink_open(struct error *err)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!s || mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0) {
		error_errno(err, "netlink");
		if (s)
			mnl_socket_close(s);
		return NULL;
	}
	struct netlink *nl = HEAP_NEW(struct netlink);
	nl->s = s;
	nl->port = mnl_socket_get_portid(s);
	return nl;
}

void netlink_close(struct netlink *nl)
{
	if (!nl)
		return;
	mnl_socket_close(nl->s);
	free(nl);
}

bool netns_run(int ns_fd, bool (*fn)(void *ctx, struct error *err), void *ctx, struct error *err)
{
	_cleanup_close_ int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0)
		return error_errno(err, "/proc/thread-self/ns/net");
	if (setns(ns_fd, CLONE_NEWNET) < 0)
		return error_errno(err, "enter network namespace");
	bool ok = fn(ctx, err);
	if (setns(home, CLONE_NEWNET) < 0) {
		// Going on in a foreign namespace would change a pod's network for the node's.
		log_error("cannot return to the network namespace");
		abort();
	}
	return ok;
}

static bool open_here(void *ctx, struct error *err)
{
	return (*(struct netlink **)ctx = netlink_open(err)) != NULL;
}

struct netlink *netlink_open_at(int ns_fd, struct error *err)
{
	struct netlink *nl = NULL;
	return netns_run(ns_fd, open_here, &nl, err) ? nl : NULL;
}

struct make_ctx {
	const char *path;
	struct error *err;
	bool ok;
};

static void *make_thread(void *arg)
{
	struct make_ctx *m = arg;
	m->ok = true;
	if (unshare(CLONE_NEWNET) < 0)
		m->ok = error_errno(m->err, "new network namespace");
	else if (mount("/proc/thread-self/ns/net", m->path, NULL, MS_BIND, NULL) < 0)
		m->ok = error_errno(m->err, "mount network namespace on %s", m->path);
	return NULL;
}

bool netns_make(const char *path, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (fd < 0)
		return error_errno(err, "create %s", path);
	close(fd);
	struct make_ctx m = { path, err, false };
	pthread_t t;
	int rc = pthread_create(&t, NULL, make_thread, &m);
	if (rc != 0) {
		errno = rc;
		error_errno(err, "thread");
	} else {
		pthread_join(t, NULL);
	}
	if (!m.ok)
		unlink(path);
	return m.ok;
}

bool netns_remove(const char *path, struct error *err)
{
	while (umount2(path, MNT_DETACH) == 0)
		;
	return unlink(path) == 0 || errno == ENOENT || error_errno(err, "remove %s", path);
}

bool net_sysctl(const char *name, const char *value, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	const char *path = arena_printf(a, "/proc/sys/net/%s", name).p;
	str now;
	struct error ignored = { 0 };
	if (io_read_file(a, path, 4096, &now, &ignored) && str_eqc(str_trim(now), value))
		return true;
	return io_write_existing(path, str_c(value), err);
}

// --- Messages ---

static struct nlmsghdr *begin(char *buf, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	return h;
}

// Sends and reads until the end of the answer (of a dump), or the acknowledgement.
static bool talk(struct netlink *nl, struct nlmsghdr *h, mnl_cb_t cb, void *ctx, struct error *err, const char *what)
{
	h->nlmsg_seq = ++nl->seq;
	if (mnl_socket_sendto(nl->s, h, h->nlmsg_len) < 0)
		return error_errno(err, "%s", what);
	char buf[32 * 1024];
	for (;;) {
		ssize_t n = mnl_socket_recvfrom(nl->s, buf, sizeof(buf));
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return error_errno(err, "%s", what);
		}
		int rc = mnl_cb_run(buf, (size_t)n, nl->seq, nl->port, cb, ctx);
		if (rc < 0)
			return error_errno(err, "%s", what);
		if (rc == MNL_CB_STOP)
			return true;
	}
}

static bool change(struct netlink *nl, struct nlmsghdr *h, struct error *err, const char *what)
{
	h->nlmsg_flags |= NLM_F_ACK;
	return talk(nl, h, NULL, NULL, err, what);
}

static void put_ip(struct nlmsghdr *h, uint16_t type, const struct ip *ip)
{
	mnl_attr_put(h, type, ip->family == AF_INET ? 4 : 16, ip->b);
}

static void get_ip(const struct nlattr *attr, int family, struct ip *out)
{
	size_t want = family == AF_INET ? 4 : 16;
	if (mnl_attr_get_payload_len(attr) < want)
		return;
	*out = (struct ip){ .family = family };
	memcpy(out->b, mnl_attr_get_payload(attr), want);
}

// --- Links ---

struct links {
	struct arena *a;
	struct link *v;
	size_t n;
};

static void read_link(const struct nlmsghdr *h, struct link *l)
{
	const struct ifinfomsg *i = mnl_nlmsg_get_payload(h);
	*l = (struct link){ .index = i->ifi_index, .flags = i->ifi_flags };
	const struct nlattr *attr;
	mnl_attr_for_each(attr, h, sizeof(*i))
	{
		size_t n = mnl_attr_get_payload_len(attr);
		switch (mnl_attr_get_type(attr)) {
		case IFLA_IFNAME:
			memcpy(l->name, mnl_attr_get_payload(attr), MIN(n, sizeof(l->name) - 1));
			break;
		case IFLA_MTU:
			l->mtu = (int)mnl_attr_get_u32(attr);
			break;
		case IFLA_MASTER:
			l->master = (int)mnl_attr_get_u32(attr);
			break;
		case IFLA_ADDRESS:
			memcpy(l->mac, mnl_attr_get_payload(attr), MIN(n, sizeof(l->mac)));
			break;
		case IFLA_LINKINFO: {
			const struct nlattr *in;
			mnl_attr_for_each_nested(in, attr)
			{
				if (mnl_attr_get_type(in) == IFLA_INFO_KIND) {
					memcpy(l->kind, mnl_attr_get_payload(in), MIN(mnl_attr_get_payload_len(in), sizeof(l->kind) - 1));
				} else if (mnl_attr_get_type(in) == IFLA_INFO_SLAVE_DATA) {
					const struct nlattr *port;
					mnl_attr_for_each_nested(port, in)
						if (mnl_attr_get_type(port) == IFLA_BRPORT_MODE)
							l->hairpin = mnl_attr_get_u8(port) != 0;
				}
			}
			break;
		}
		}
	}
}

static int on_link(const struct nlmsghdr *h, void *ctx)
{
	struct links *ls = ctx;
	if (h->nlmsg_type == RTM_NEWLINK)
		read_link(h, LIST_ADD(ls->a, ls));
	return MNL_CB_OK;
}

static int on_one_link(const struct nlmsghdr *h, void *ctx)
{
	if (h->nlmsg_type == RTM_NEWLINK)
		read_link(h, ctx);
	return MNL_CB_OK;
}

static bool get_link(struct netlink *nl, const char *name, int index, struct link *out, struct error *err)
{
	char buf[MESSAGE_MAX];
	struct nlmsghdr *h = begin(buf, RTM_GETLINK, NLM_F_ACK);
	struct ifinfomsg *i = mnl_nlmsg_put_extra_header(h, sizeof(*i));
	i->ifi_index = index;
	if (name)
		mnl_attr_put_strz(h, IFLA_IFNAME, name);
	*out = (struct link){ 0 };
	char what[64];
	snprintf(what, sizeof(what), "link %s", name ? name : "by index");
	return talk(nl, h, on_one_link, out, err, what);
}

bool link_get(struct netlink *nl, const char *name, struct link *out, struct error *err)
{
	return get_link(nl, name, 0, out, err);
}

bool link_get_index(struct netlink *nl, int index, struct link *out, struct error *err)
{
	return get_link(nl, NULL, index, out, err);
}

bool link_list(struct netlink *nl, struct arena *a, struct link **out, size_t *n, struct error *err)
{
	char buf[MESSAGE_MAX];
	struct nlmsghdr *h = begin(buf, RTM_GETLINK, NLM_F_DUMP);
	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	struct links ls = { .a = a };
	if (!talk(nl, h, on_link, &ls, err, "list links"))
		return false;
	*out = ls.v;
	*n = ls.n;
	return true;
}

static struct nlmsghdr *new_link(char *buf, const char *name, int mtu)
{
	struct nlmsghdr *h = begin(buf, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	if (mtu > 0)
		mnl_attr_put_u32(h, IFLA_MTU, (uint32_t)mtu);
	return h;
}

bool link_add(struct netlink *nl, const char *name, const char *kind, int mtu, struct error *err)
{
	char buf[MESSAGE_MAX], what[64];
	struct nlmsghdr *h = new_link(buf, name, mtu);
	struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, kind);
	mnl_attr_nest_end(h, info);
	snprintf(what, sizeof(what), "add link %s", name);
	return change(nl, h, err, what);
}

bool link_add_vxlan(struct netlink *nl, const char *name, uint32_t vni, int port, const struct ip *local, int mtu, struct error *err)
{
	char buf[MESSAGE_MAX], what[64];
	struct nlmsghdr *h = new_link(buf, name, mtu);
	struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "vxlan");
	struct nlattr *data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	mnl_attr_put_u32(h, IFLA_VXLAN_ID, vni);
	mnl_attr_put_u16(h, IFLA_VXLAN_PORT, htons((uint16_t)port));
	mnl_attr_put_u8(h, IFLA_VXLAN_LEARNING, 0);
	if (local && local->family)
		put_ip(h, local->family == AF_INET ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6, local);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	snprintf(what, sizeof(what), "add link %s", name);
	return change(nl, h, err, what);
}

bool link_add_veth(struct netlink *nl, const char *name, const char *peer, int peer_ns, int mtu, struct error *err)
{
	char buf[MESSAGE_MAX], what[64];
	struct nlmsghdr *h = new_link(buf, name, mtu);
	struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
	struct nlattr *data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	struct nlattr *p = mnl_attr_nest_start(h, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(h, IFLA_IFNAME, peer);
	if (mtu > 0)
		mnl_attr_put_u32(h, IFLA_MTU, (uint32_t)mtu);
	if (peer_ns >= 0)
		mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)peer_ns);
	mnl_attr_nest_end(h, p);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	snprintf(what, sizeof(what), "add link %s", name);
	return change(nl, h, err, what);
}

bool link_del(struct netlink *nl, const char *name, struct error *err)
{
	char buf[MESSAGE_MAX], what[64];
	struct nlmsghdr *h = begin(buf, RTM_DELLINK, 0);
	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	snprintf(what, sizeof(what), "delete link %s", name);
	return change(nl, h, err, what);
}

static struct nlmsghdr *set_link(char *buf, int index)
{
	struct nlmsghdr *h = begin(buf, RTM_NEWLINK, 0);
	struct ifinfomsg *i = mnl_nlmsg_put_extra_header(h, sizeof(*i));
	i->ifi_index = index;
	return h;
}

bool link_up(struct netlink *nl, int index, bool up, struct error *err)
{
	char buf[MESSAGE_MAX];
	struct nlmsghdr *h = set_link(buf, index);
	struct ifinfomsg *i = mnl_nlmsg_get_payload(h);
	i->ifi_change = IFF_UP;
	i->ifi_flags = up ? IFF_UP : 0;
	return change(nl, h, err, up ? "set link up" : "set link down");
}

bool link_set_master(struct netlink *nl, int index, int master, struct error *err)
{
	char buf[MESSAGE_MAX];
	struct nlmsghdr *h = set_link(buf, index);
	mnl_attr_put_u32(h, IFLA_MASTER, (uint32_t)master);
	return change(nl, h, err, "set master of link");
}

bool link_set_mac(struct netlink *nl, int index, const uint8_t mac[6], struct error *err)
{
	char buf[MESSAGE_MAX];
	struct nlmsghdr *h = set_link(buf, index);
	mnl_attr_put(h, IFLA_ADDRESS, 6, mac);
	return change(nl, h, err, "set address of link");
}

bool link_rename(struct netlink *nl, int index, const char *name, struct error *err)
{
	char buf[MESSAGE_MAX];
	struct nlmsghdr *h = set_link(buf, index);
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	return change(nl, h, err, "rename link");
}

bool link_move(struct netlink *nl, int index, int ns_fd, struct error *err)
{
	char buf[MESSAGE_MAX];
	struct nlmsghdr *h = set_link(buf, index);
	mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)ns_fd);
	return change(nl, h, err, "move link");
}

bool bridge_port_set(struct netlink *nl, int index, bool hairpin, struct error *err)
{
	char buf[MESSAGE_MAX];
	struct nlmsghdr *h = begin(buf, RTM_SETLINK, 0);
	struct ifinfomsg *i = mnl_nlmsg_put_extra_header(h, sizeof(*i));
	i->ifi_family = AF_BRIDGE;
	i->ifi_index = index;
	struct nlattr *nest = mnl_attr_nest_start(h, IFLA_PROTINFO);
	mnl_attr_put_u8(h, IFLA_BRPORT_MODE, hairpin);
	mnl_attr_nest_end(h, nest);
	return change(nl, h, err, "set hairpin mode");
}

// --- Addresses ---

static struct nlmsghdr *addr_message(char *buf, uint16_t type, uint16_t flags, int index, const struct ip_net *addr)
{
	struct nlmsghdr *h = begin(buf, type, flags);
	struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->ifa_family = (uint8_t)addr->ip.family;
	m->ifa_prefixlen = (uint8_t)addr->len;
	m->ifa_index = (unsigned)index;
	m->ifa_flags = addr->ip.family == AF_INET6 ? IFA_F_NODAD : 0;
	put_ip(h, IFA_LOCAL, &addr->ip);
	put_ip(h, IFA_ADDRESS, &addr->ip);
	return h;
}

bool addr_add(struct netlink *nl, int index, const struct ip_net *addr, struct error *err)
{
	char buf[MESSAGE_MAX];
	struct error mine = { 0 };
	struct nlmsghdr *h = addr_message(buf, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, addr);
	if (change(nl, h, &mine, "add address") || mine.sys == EEXIST)
		return true;
	*err = mine;
	return false;
}

bool addr_del(struct netlink *nl, int index, const struct ip_net *addr, struct error *err)
{
	char buf[MESSAGE_MAX];
	return change(nl, addr_message(buf, RTM_DELADDR, 0, index, addr), err, "delete address");
}

struct addrs {
	struct arena *a;
	struct ip_net *v;
	size_t n;
	int index;
};

static int on_addr(const struct nlmsghdr *h, void *ctx)
{
	struct addrs *l = ctx;
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
	if (h->nlmsg_type != RTM_NEWADDR || (int)m->ifa_index != l->index || (m->ifa_family != AF_INET && m->ifa_family != AF_INET6))
		return MNL_CB_OK;
	struct ip_net found = { .len = m->ifa_prefixlen };
	const struct nlattr *attr;
	mnl_attr_for_each(attr, h, sizeof(*m))
		if (mnl_attr_get_type(attr) == (m->ifa_family == AF_INET ? IFA_LOCAL : IFA_ADDRESS))
			get_ip(attr, m->ifa_family, &found.ip);
	if (found.ip.family)
		*LIST_ADD(l->a, l) = found;
	return MNL_CB_OK;
}

bool addr_list(struct netlink *nl, struct arena *a, int index, struct ip_net **out, size_t *n, struct error *err)
{
	char buf[MESSAGE_MAX];
	struct nlmsghdr *h = begin(buf, RTM_GETADDR, NLM_F_DUMP);
	mnl_nlmsg_put_extra_header(h, sizeof(struct ifaddrmsg));
	struct addrs l = { .a = a, .index = index };
	if (!talk(nl, h, on_addr, &l, err, "list addresses"))
		return false;
	*out = l.v;
	*n = l.n;
	return true;
}

// --- Routes and neighbours ---

static struct nlmsghdr *route_message(char *buf, uint16_t type, uint16_t flags, const struct route *r)
{
	struct nlmsghdr *h = begin(buf, type, flags);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->rtm_family = (uint8_t)r->dst.ip.family;
	m->rtm_dst_len = (uint8_t)r->dst.len;
	m->rtm_table = r->table && r->table < 256 ? (uint8_t)r->table : r->table ? RT_TABLE_UNSPEC : RT_TABLE_MAIN;
	m->rtm_type = r->type ? r->type : RTN_UNICAST;
	m->rtm_protocol = RTPROT_STATIC;
	m->rtm_scope = m->rtm_type == RTN_LOCAL ? RT_SCOPE_HOST
	               : m->rtm_type == RTN_UNICAST && !r->via.family && r->dst.ip.family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	m->rtm_flags = r->onlink ? RTNH_F_ONLINK : 0;
	if (type == RTM_DELROUTE)
		m->rtm_scope = RT_SCOPE_NOWHERE;
	if (r->dst.len)
		put_ip(h, RTA_DST, &r->dst.ip);
	if (r->via.family)
		put_ip(h, RTA_GATEWAY, &r->via);
	if (r->src.family)
		put_ip(h, RTA_PREFSRC, &r->src);
	if (r->index)
		mnl_attr_put_u32(h, RTA_OIF, (uint32_t)r->index);
	if (r->table)
		mnl_attr_put_u32(h, RTA_TABLE, r->table);
	if (r->metric)
		mnl_attr_put_u32(h, RTA_PRIORITY, r->metric);
	return h;
}

bool route_set(struct netlink *nl, const struct route *r, struct error *err)
{
	char buf[MESSAGE_MAX];
	struct route own = *r;
	own.dst.ip = ip_net_first(&r->dst);
	return change(nl, route_message(buf, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &own), err, "set route");
}

bool route_del(struct netlink *nl, const struct route *r, struct error *err)
{
	char buf[MESSAGE_MAX];
	struct route own = *r;
	own.dst.ip = ip_net_first(&r->dst);
	struct error mine = { 0 };
	if (change(nl, route_message(buf, RTM_DELROUTE, 0, &own), &mine, "delete route") || mine.sys == ESRCH || mine.sys == ENODEV)
		return true;
	*err = mine;
	return false;
}

struct routes {
	struct arena *a;
	struct route *v;
	size_t n;
	uint32_t table;
};

static int on_route(const struct nlmsghdr *h, void *ctx)
{
	struct routes *l = ctx;
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	struct route r = { .dst = { { .family = m->rtm_family }, m->rtm_dst_len }, .type = m->rtm_type, .table = m->rtm_table,
	                   .onlink = m->rtm_flags & RTNH_F_ONLINK };
	const struct nlattr *attr;
	mnl_attr_for_each(attr, h, sizeof(*m))
	{
		switch (mnl_attr_get_type(attr)) {
		case RTA_DST:
			get_ip(attr, m->rtm_family, &r.dst.ip);
			break;
		case RTA_GATEWAY:
			get_ip(attr, m->rtm_family, &r.via);
			break;
		case RTA_PREFSRC:
			get_ip(attr, m->rtm_family, &r.src);
			break;
		case RTA_OIF:
			r.index = (int)mnl_attr_get_u32(attr);
			break;
		case RTA_TABLE:
			r.table = mnl_attr_get_u32(attr);
			break;
		case RTA_PRIORITY:
			r.metric = mnl_attr_get_u32(attr);
			break;
		}
	}
	if (h->nlmsg_type == RTM_NEWROUTE && r.table == l->table)
		*LIST_ADD(l->a, l) = r;
	return MNL_CB_OK;
}

bool route_list(struct netlink *nl, struct arena *a, int family, uint32_t table, struct route **out, size_t *n, struct error *err)
{
	char buf[MESSAGE_MAX];
	struct nlmsghdr *h = begin(buf, RTM_GETROUTE, NLM_F_DUMP);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->rtm_family = (uint8_t)family;
	struct routes l = { .a = a, .table = table ? table : RT_TABLE_MAIN };
	if (!talk(nl, h, on_route, &l, err, "list routes"))
		return false;
	*out = l.v;
	*n = l.n;
	return true;
}

static struct nlmsghdr *neigh_message(char *buf, int family, int index, uint8_t flags)
{
	struct nlmsghdr *h = begin(buf, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
	struct ndmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->ndm_family = (uint8_t)family;
	m->ndm_ifindex = index;
	m->ndm_state = NUD_PERMANENT;
	m->ndm_flags = flags;
	return h;
}

bool neigh_set(struct netlink *nl, int index, const struct ip *ip, const uint8_t mac[6], struct error *err)
{
	char buf[MESSAGE_MAX];
	struct nlmsghdr *h = neigh_message(buf, ip->family, index, 0);
	put_ip(h, NDA_DST, ip);
	mnl_attr_put(h, NDA_LLADDR, 6, mac);
	return change(nl, h, err, "set neighbour");
}

bool fdb_set(struct netlink *nl, int index, const uint8_t mac[6], const struct ip *remote, struct error *err)
{
	char buf[MESSAGE_MAX];
	struct nlmsghdr *h = neigh_message(buf, AF_BRIDGE, index, NTF_SELF);
	put_ip(h, NDA_DST, remote);
	mnl_attr_put(h, NDA_LLADDR, 6, mac);
	return change(nl, h, err, "set forwarding entry");
}
