#include "cni/cni.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/encode.h"
#include "base/io.h"
#include "cni/ipam.h"
#include "cni/nat.h"
#include "cni/netlink.h"
#include "json/json.h"

// Codes of the specification; 100 and above are this plugin's own.
enum {
	CNI_INCOMPATIBLE = 1, CNI_UNSUPPORTED_FIELD = 2, CNI_UNKNOWN_CONTAINER = 3, CNI_INVALID_ENV = 4, CNI_IO = 5, CNI_DECODE = 6,
	CNI_INVALID_CONFIG = 7, CNI_TRY_AGAIN = 11, CNI_NOT_AVAILABLE = 50, CNI_FAILED = 100,
};

static const char *const versions[] = { "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0" };

struct call {
	struct arena *a;
	str version, command, container, ifname, netns;
	struct value *conf;
	str network, bridge;
	int mtu;
	bool hairpin;
	struct ipam ipam;
	struct nat nat;
	struct { struct route *v; size_t n; } routes;
	struct { struct port_mapping *v; size_t n; } ports;
	char host[IFNAMSIZ];       // the node's end of the pair; follows from container and interface, so DEL needs no memory
};

static int fail(const struct call *c, int code, const char *msg, const char *details)
{
	struct value *v = value_object(c->a);
	value_set(c->a, v, S("cniVersion"), value_string(c->a, c->version.n ? c->version : S("1.0.0")));
	value_set(c->a, v, S("code"), value_int(c->a, code));
	value_set(c->a, v, S("msg"), value_string(c->a, str_c(msg)));
	if (details && *details)
		value_set(c->a, v, S("details"), value_string(c->a, str_c(details)));
	_cleanup_buf_ struct buf b = { 0 };
	json_write(&b, v, JSON_COMPACT);
	buf_add_char(&b, '\n');
	struct error ignored = { 0 };
	io_write_all(STDOUT_FILENO, buf_str(&b), &ignored);
	return 1;
}

static int print(struct call *c, struct value *v)
{
	_cleanup_buf_ struct buf b = { 0 };
	json_write(&b, v, JSON_COMPACT);
	buf_add_char(&b, '\n');
	struct error err = { 0 };
	return io_write_all(STDOUT_FILENO, buf_str(&b), &err) ? 0 : 1;
}

// --- Configuration ---

static bool name_valid(str s, size_t max)
{
	if (s.n == 0 || s.n > max)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char ch = s.p[i];
		if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || (i && strchr("_.-", ch))))
			return false;
	}
	return true;
}

static bool read_nets(struct call *c, const struct value *v, struct ip_net **out, size_t *n, struct error *err)
{
	struct { struct ip_net *v; size_t n; } l = { 0 };
	for (size_t i = 0; value_is(v, V_ARRAY) && i < v->a.n; i++)
		if (!ip_net_parse(value_str(v->a.v[i]), LIST_ADD(c->a, &l)))
			return error_set(err, "clusterCIDRs: invalid prefix \"" STR_FMT "\"", STR_ARG(value_str(v->a.v[i])));
	*out = l.v;
	*n = l.n;
	return true;
}

static bool read_routes(struct call *c, struct error *err)
{
	const struct value *v = value_path(c->conf, S("ipam"), S("routes"));
	for (size_t i = 0; value_is(v, V_ARRAY) && i < v->a.n; i++) {
		struct route *r = LIST_ADD(c->a, &c->routes);
		str dst = value_get_str(v->a.v[i], S("dst")), gw = value_get_str(v->a.v[i], S("gw"));
		if (!ip_net_parse(dst, &r->dst))
			return error_set(err, "ipam: invalid route \"" STR_FMT "\"", STR_ARG(dst));
		if (gw.n && !ip_read(gw, &r->via))
			return error_set(err, "ipam: invalid gateway \"" STR_FMT "\"", STR_ARG(gw));
	}
	if (c->routes.n)
		return true;
	bool seen[2] = { false, false };
	for (size_t i = 0; i < c->ipam.sets.n; i++) {
		int family = c->ipam.sets.v[i].v[0].subnet.ip.family;
		if (!seen[family == AF_INET6])
			LIST_ADD(c->a, &c->routes)->dst.ip.family = family;
		seen[family == AF_INET6] = true;
	}
	return true;
}

static bool read_ports(struct call *c, struct error *err)
{
	const struct value *v = value_path(c->conf, S("runtimeConfig"), S("portMappings"));
	for (size_t i = 0; value_is(v, V_ARRAY) && i < v->a.n; i++) {
		const struct value *e = v->a.v[i];
		int64_t host = 0, inside = 0;
		value_to_i64(value_get(e, S("hostPort")), &host);
		value_to_i64(value_get(e, S("containerPort")), &inside);
		if (host == 0)
			continue;
		if (host < 0 || host > 65535 || inside <= 0 || inside > 65535)
			return error_set(err, "portMappings: invalid port");
		struct port_mapping *p = LIST_ADD(c->a, &c->ports);
		*p = (struct port_mapping){ .protocol = S("tcp"), .host_port = (int)host, .container_port = (int)inside };
		str protocol = value_get_str(e, S("protocol")), ip = value_get_str(e, S("hostIP"));
		if (str_eq_nocase(protocol, S("udp")))
			p->protocol = S("udp");
		else if (str_eq_nocase(protocol, S("sctp")))
			p->protocol = S("sctp");
		else if (protocol.n && !str_eq_nocase(protocol, S("tcp")))
			return error_set(err, "portMappings: invalid protocol \"" STR_FMT "\"", STR_ARG(protocol));
		if (ip.n && !ip_read(ip, &p->host_ip))
			return error_set(err, "portMappings: invalid hostIP \"" STR_FMT "\"", STR_ARG(ip));
		// "0.0.0.0" and "::" are every address, as no address is.
		if (p->host_ip.family && ip_eq(&p->host_ip, &(struct ip){ .family = p->host_ip.family }))
			p->host_ip.family = 0;
	}
	return true;
}

static bool read_config(struct call *c, struct error *err)
{
	c->network = value_get_str(c->conf, S("name"));
	if (!name_valid(c->network, 200))
		return error_set(err, "invalid network name \"" STR_FMT "\"", STR_ARG(c->network));
	c->bridge = value_get_str(c->conf, S("bridge"));
	if (c->bridge.n == 0)
		c->bridge = S("coracle0");
	if (!name_valid(c->bridge, IFNAMSIZ - 1))
		return error_set(err, "invalid bridge name \"" STR_FMT "\"", STR_ARG(c->bridge));
	int64_t mtu = 0;
	value_to_i64(value_get(c->conf, S("mtu")), &mtu);
	if (mtu < 0 || mtu > 65535)
		return error_set(err, "invalid mtu");
	c->mtu = (int)mtu;
	const struct value *hairpin = value_get(c->conf, S("hairpinMode")), *masq = value_get(c->conf, S("ipMasq"));
	c->hairpin = value_is(hairpin, V_BOOL) ? hairpin->b : true;
	if (!ipam_parse(c->a, value_get(c->conf, S("ipam")), c->network, &c->ipam, err) || !read_routes(c, err) || !read_ports(c, err))
		return false;
	struct { struct ip_net *v; size_t n; } subnets = { 0 };
	for (size_t i = 0; i < c->ipam.sets.n; i++)
		for (size_t k = 0; k < c->ipam.sets.v[i].n; k++)
			*LIST_ADD(c->a, &subnets) = c->ipam.sets.v[i].v[k].subnet;
	struct ip_net *cluster = NULL;
	size_t ncluster = 0;
	if (!read_nets(c, value_get(c->conf, S("clusterCIDRs")), &cluster, &ncluster, err))
		return false;
	c->nat = (struct nat){
		.bridge = c->bridge, .subnets = subnets.v, .nsubnets = subnets.n, .cluster = cluster, .ncluster = ncluster,
		.masquerade = value_is(masq, V_BOOL) && masq->b, .dir = c->ipam.dir,
	};
	return true;
}

static void host_name(char out[IFNAMSIZ], str container, str ifname)
{
	uint64_t h = str_hash(container) * 31 + str_hash(ifname);
	snprintf(out, IFNAMSIZ, "veth%011" PRIx64, h >> 20);
}

// --- The node's side ---

static bool ensure_bridge(struct call *c, struct netlink *nl, struct link *bridge, struct error *err)
{
	char name[IFNAMSIZ];
	snprintf(name, sizeof(name), STR_FMT, STR_ARG(c->bridge));
	struct error missing = { 0 };
	bool made = false;
	if (!link_get(nl, name, bridge, &missing)) {
		if (missing.sys != ENODEV) {
			*err = missing;
			return false;
		}
		if ((!link_add(nl, name, "bridge", c->mtu, err) && err->sys != EEXIST) || !link_get(nl, name, bridge, err))
			return false;
		// A bridge takes the lowest address of its ports unless it is told one: that would change under its neighbours.
		if (!link_set_mac(nl, bridge->index, bridge->mac, err))
			return false;
		made = true;
	}
	if (strcmp(bridge->kind, "bridge") != 0)
		return error_set(err, "link %s exists and is no bridge", name);
	bool v6 = false, v4 = false;
	struct ip_net *have;
	size_t nhave;
	if (!addr_list(nl, c->a, bridge->index, &have, &nhave, err))
		return false;
	for (size_t i = 0; i < c->ipam.sets.n; i++)
		for (size_t k = 0; k < c->ipam.sets.v[i].n; k++) {
			const struct ipam_range *r = &c->ipam.sets.v[i].v[k];
			struct ip_net gw = { r->gateway, r->subnet.len };
			*(gw.ip.family == AF_INET ? &v4 : &v6) = true;
			bool there = false;
			for (size_t h = 0; h < nhave; h++)
				there |= have[h].len == gw.len && ip_eq(&have[h].ip, &gw.ip);
			if (!there && !addr_add(nl, bridge->index, &gw, err))
				return false;
		}
	struct error no_v6 = { 0 };
	if (made && v6) // its link-local address is needed for the first packet, not a second later
		net_sysctl(arena_printf(c->a, "ipv6/conf/%s/accept_dad", name).p, "0", &no_v6);
	if (!(bridge->flags & IFF_UP) && !link_up(nl, bridge->index, true, err))
		return false;
	if (v4 && !net_sysctl("ipv4/ip_forward", "1", err))
		return false;
	if (v6 && !net_sysctl("ipv6/conf/all/forwarding", "1", err))
		return false;
	if (made || c->ports.n) {
		// Pods meet on the bridge but talk through the gateway: without this it would keep telling them to talk directly.
		struct error ignored = { 0 };
		net_sysctl("ipv4/conf/all/send_redirects", "0", &ignored);
		net_sysctl(arena_printf(c->a, "ipv4/conf/%s/send_redirects", name).p, "0", &ignored);
		// Host ports on 127.0.0.1.
		net_sysctl(arena_printf(c->a, "ipv4/conf/%s/route_localnet", name).p, "1", &ignored);
	}
	return true;
}

// --- The pod's side ---

struct inside {
	struct call *c;
	const struct ipam_address *ips;
	size_t nips;
	struct link link;
};

static bool set_up_inside(void *ctx, struct error *err)
{
	struct inside *in = ctx;
	struct call *c = in->c;
	_cleanup_netlink_ struct netlink *nl = netlink_open(err);
	char name[IFNAMSIZ];
	snprintf(name, sizeof(name), STR_FMT, STR_ARG(c->ifname));
	struct link lo;
	struct error ignored = { 0 };
	if (!nl || !link_get(nl, name, &in->link, err))
		return false;
	if (link_get(nl, "lo", &lo, &ignored) && !(lo.flags & IFF_UP) && !link_up(nl, lo.index, true, err))
		return false;
	for (size_t i = 0; i < in->nips; i++)
		if (in->ips[i].ip.ip.family == AF_INET6) {
			net_sysctl("ipv6/conf/all/disable_ipv6", "0", &ignored);
			net_sysctl(arena_printf(c->a, "ipv6/conf/%s/disable_ipv6", name).p, "0", &ignored);
			net_sysctl(arena_printf(c->a, "ipv6/conf/%s/accept_dad", name).p, "0", &ignored);
			net_sysctl(arena_printf(c->a, "ipv6/conf/%s/accept_ra", name).p, "0", &ignored);
		}
	if (!link_up(nl, in->link.index, true, err))
		return false;
	for (size_t i = 0; i < in->nips; i++) {
		struct ip_net host = { in->ips[i].ip.ip, ip_bits(&in->ips[i].ip.ip) };
		struct route gw = { .dst = { in->ips[i].gateway, ip_bits(&in->ips[i].gateway) }, .index = in->link.index };
		if (!addr_add(nl, in->link.index, &host, err) || !route_set(nl, &gw, err))
			return false;
	}
	for (size_t i = 0; i < c->routes.n; i++) {
		struct route r = c->routes.v[i];
		r.index = in->link.index;
		r.onlink = true;
		for (size_t k = 0; k < in->nips && !r.via.family; k++)
			if (in->ips[k].gateway.family == r.dst.ip.family)
				r.via = in->ips[k].gateway;
		if (r.via.family && !route_set(nl, &r, err))
			return false;
	}
	return true;
}

static str mac_text(struct arena *a, const uint8_t m[6])
{
	return arena_printf(a, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

static struct value *interface_value(struct call *c, const struct link *l, str sandbox)
{
	struct value *v = value_object(c->a);
	value_set(c->a, v, S("name"), value_string(c->a, arena_dup(c->a, str_c(l->name))));
	value_set(c->a, v, S("mac"), value_string(c->a, mac_text(c->a, l->mac)));
	if (c->mtu && str_eqc(c->version, "1.1.0"))
		value_set(c->a, v, S("mtu"), value_int(c->a, l->mtu));
	if (sandbox.n)
		value_set(c->a, v, S("sandbox"), value_string(c->a, sandbox));
	return v;
}

static struct value *result_value(struct call *c, const struct link *bridge, const struct link *host, const struct link *pod,
                                  const struct ipam_address *ips, size_t nips)
{
	struct arena *a = c->a;
	struct value *v = value_object(a), *links = value_array(a), *addrs = value_array(a), *routes = value_array(a);
	value_set(a, v, S("cniVersion"), value_string(a, c->version));
	value_append(a, links, interface_value(c, bridge, (str){ 0 }));
	value_append(a, links, interface_value(c, host, (str){ 0 }));
	value_append(a, links, interface_value(c, pod, c->netns));
	for (size_t i = 0; i < nips; i++) {
		struct value *ip = value_object(a);
		struct ip_net addr = { ips[i].ip.ip, ip_bits(&ips[i].ip.ip) };
		if (c->version.p[0] == '0')
			value_set(a, ip, S("version"), value_string(a, addr.ip.family == AF_INET ? S("4") : S("6")));
		value_set(a, ip, S("interface"), value_int(a, 2));
		value_set(a, ip, S("address"), value_string(a, ip_net_text(a, &addr)));
		value_set(a, ip, S("gateway"), value_string(a, ip_write(a, &ips[i].gateway)));
		value_append(a, addrs, ip);
	}
	for (size_t i = 0; i < c->routes.n; i++) {
		struct value *r = value_object(a);
		value_set(a, r, S("dst"), value_string(a, ip_net_text(a, &c->routes.v[i].dst)));
		if (c->routes.v[i].via.family)
			value_set(a, r, S("gw"), value_string(a, ip_write(a, &c->routes.v[i].via)));
		value_append(a, routes, r);
	}
	value_set(a, v, S("interfaces"), links);
	value_set(a, v, S("ips"), addrs);
	value_set(a, v, S("routes"), routes);
	value_set(a, v, S("dns"), value_object(a));
	return v;
}

// --- Commands ---

static void undo(struct call *c, struct netlink *nl)
{
	struct error ignored = { 0 };
	link_del(nl, c->host, &ignored);
	nat_ports_del(c->a, &c->nat, c->container, c->ifname, &ignored);
	ipam_release(c->a, &c->ipam, c->container, c->ifname, &ignored);
}

static bool add(struct call *c, struct netlink *nl, int ns, struct value **result, struct error *err)
{
	struct ipam_address *ips;
	size_t nips;
	struct link bridge, host;
	if (!ensure_bridge(c, nl, &bridge, err) || !nat_ensure(c->a, &c->nat, err) ||
	    !ipam_take(c->a, &c->ipam, c->container, c->ifname, &ips, &nips, err))
		return false;
	char name[IFNAMSIZ];
	snprintf(name, sizeof(name), STR_FMT, STR_ARG(c->ifname));
	struct error stale = { 0 };
	if (link_get(nl, c->host, &host, &stale)) // of an ADD that was cut short
		link_del(nl, c->host, &stale);
	if (!link_add_veth(nl, c->host, name, ns, c->mtu, err) || !link_get(nl, c->host, &host, err) ||
	    !link_set_master(nl, host.index, bridge.index, err) || (c->hairpin && !bridge_port_set(nl, host.index, true, err)) ||
	    !link_up(nl, host.index, true, err))
		return false;
	struct inside in = { .c = c, .ips = ips, .nips = nips };
	if (!netns_run(ns, set_up_inside, &in, err))
		return error_wrap(err, "container interface");
	struct { struct ip_net *v; size_t n; } addrs = { 0 };
	for (size_t i = 0; i < nips; i++)
		*LIST_ADD(c->a, &addrs) = ips[i].ip;
	if (c->ports.n && !nat_ports_add(c->a, &c->nat, c->container, c->ifname, c->ports.v, c->ports.n, addrs.v, addrs.n, err))
		return false;
	*result = result_value(c, &bridge, &host, &in.link, ips, nips);
	return true;
}

static int command_add(struct call *c)
{
	struct error err = { 0 };
	_cleanup_close_ int ns = open(arena_cstr(c->a, c->netns), O_RDONLY | O_CLOEXEC);
	if (ns < 0)
		return fail(c, CNI_UNKNOWN_CONTAINER, "cannot open the network namespace", strerror(errno));
	_cleanup_netlink_ struct netlink *nl = netlink_open(&err);
	_cleanup_close_ int lock = nl ? ipam_lock(c->a, &c->ipam, &err) : -1;
	if (lock < 0)
		return fail(c, CNI_IO, "cannot begin", err.text);
	struct value *result = NULL;
	if (add(c, nl, ns, &result, &err))
		return print(c, result);
	undo(c, nl);
	return fail(c, err.code == 503 ? CNI_TRY_AGAIN : CNI_FAILED, "cannot add the container to the network", err.text);
}

static int command_del(struct call *c)
{
	struct error err = { 0 }, gone = { 0 };
	_cleanup_netlink_ struct netlink *nl = netlink_open(&err);
	_cleanup_close_ int lock = nl ? ipam_lock(c->a, &c->ipam, &err) : -1;
	if (lock < 0)
		return fail(c, CNI_IO, "cannot begin", err.text);
	// The pair goes as a whole when either end does; with the namespace it may have gone already.
	if (!link_del(nl, c->host, &gone) && gone.sys != ENODEV)
		err = gone;
	if (!err.code)
		nat_ports_del(c->a, &c->nat, c->container, c->ifname, &err);
	if (!err.code)
		ipam_release(c->a, &c->ipam, c->container, c->ifname, &err);
	return err.code ? fail(c, CNI_FAILED, "cannot remove the container from the network", err.text) : 0;
}

static bool check_inside(void *ctx, struct error *err)
{
	struct inside *in = ctx;
	struct call *c = in->c;
	_cleanup_netlink_ struct netlink *nl = netlink_open(err);
	char name[IFNAMSIZ];
	snprintf(name, sizeof(name), STR_FMT, STR_ARG(c->ifname));
	if (!nl || !link_get(nl, name, &in->link, err))
		return false;
	if (!(in->link.flags & IFF_UP))
		return error_set(err, "interface %s is down", name);
	struct ip_net *have;
	size_t n;
	if (!addr_list(nl, c->a, in->link.index, &have, &n, err))
		return false;
	const struct value *prev = value_get(c->conf, S("prevResult")), *ips = value_get(prev, S("ips")), *links = value_get(prev, S("interfaces"));
	for (size_t i = 0; value_is(ips, V_ARRAY) && i < ips->a.n; i++) {
		// Only addresses of this interface: a later plugin of the chain may have added others.
		int64_t at = -1;
		if (value_to_i64(value_get(ips->a.v[i], S("interface")), &at) && value_is(links, V_ARRAY) && at >= 0 && (size_t)at < links->a.n &&
		    !str_eq(value_get_str(links->a.v[at], S("name")), c->ifname))
			continue;
		struct ip_net want;
		str text = value_get_str(ips->a.v[i], S("address"));
		bool found = false;
		for (size_t k = 0; ip_net_parse(text, &want) && k < n; k++)
			found |= ip_eq(&have[k].ip, &want.ip);
		if (!found)
			return error_set(err, "interface %s has no address " STR_FMT, name, STR_ARG(text));
	}
	struct route *routes;
	size_t nroutes;
	for (size_t i = 0; i < c->routes.n; i++) {
		bool found = false;
		if (!route_list(nl, c->a, c->routes.v[i].dst.ip.family, 0, &routes, &nroutes, err))
			return false;
		for (size_t k = 0; k < nroutes; k++)
			found |= routes[k].dst.len == c->routes.v[i].dst.len && (routes[k].dst.len == 0 || ip_eq(&routes[k].dst.ip, &c->routes.v[i].dst.ip));
		if (!found)
			return error_set(err, "route " STR_FMT " is missing", STR_ARG(ip_net_text(c->a, &c->routes.v[i].dst)));
	}
	return true;
}

static int command_check(struct call *c)
{
	if (!value_is(value_get(c->conf, S("prevResult")), V_OBJECT))
		return fail(c, CNI_INVALID_CONFIG, "CHECK needs prevResult", NULL);
	struct error err = { 0 };
	_cleanup_close_ int ns = open(arena_cstr(c->a, c->netns), O_RDONLY | O_CLOEXEC);
	if (ns < 0)
		return fail(c, CNI_UNKNOWN_CONTAINER, "cannot open the network namespace", strerror(errno));
	_cleanup_netlink_ struct netlink *nl = netlink_open(&err);
	struct link bridge, host;
	char name[IFNAMSIZ];
	snprintf(name, sizeof(name), STR_FMT, STR_ARG(c->bridge));
	struct inside in = { .c = c };
	bool ok = nl && link_get(nl, name, &bridge, &err) && link_get(nl, c->host, &host, &err);
	if (ok && host.master != bridge.index)
		ok = error_set(&err, "link %s is not on bridge %s", c->host, name);
	ok = ok && netns_run(ns, check_inside, &in, &err);
	return ok ? 0 : fail(c, CNI_FAILED, "the container's network is not as it should be", err.text);
}

struct gc_ctx {
	struct call *c;
	struct netlink *nl;
};

static bool gc_one(str container, str ifname, void *ctx, struct error *err)
{
	struct gc_ctx *g = ctx;
	struct call *c = g->c;
	const struct value *valid = value_get(c->conf, S("cni.dev/valid-attachments"));
	for (size_t i = 0; value_is(valid, V_ARRAY) && i < valid->a.n; i++)
		if (str_eq(value_get_str(valid->a.v[i], S("containerID")), container) && str_eq(value_get_str(valid->a.v[i], S("ifname")), ifname))
			return true;
	struct call old = *c;
	old.container = container;
	old.ifname = ifname;
	host_name(old.host, container, ifname);
	undo(&old, g->nl);
	return true;
}

static int command_gc(struct call *c)
{
	if (!value_is(value_get(c->conf, S("cni.dev/valid-attachments")), V_ARRAY))
		return fail(c, CNI_INVALID_CONFIG, "GC needs cni.dev/valid-attachments", NULL);
	struct error err = { 0 };
	_cleanup_netlink_ struct netlink *nl = netlink_open(&err);
	_cleanup_close_ int lock = nl ? ipam_lock(c->a, &c->ipam, &err) : -1;
	struct gc_ctx g = { c, nl };
	if (lock < 0 || !ipam_each(c->a, &c->ipam, gc_one, &g, &err))
		return fail(c, CNI_FAILED, "cannot collect garbage", err.text);
	return 0;
}

static int command_status(struct call *c)
{
	struct error err = { 0 };
	_cleanup_close_ int lock = ipam_lock(c->a, &c->ipam, &err);
	return lock < 0 ? fail(c, CNI_NOT_AVAILABLE, "the plugin is not available", err.text) : 0;
}

static int command_version(struct call *c)
{
	struct value *v = value_object(c->a), *l = value_array(c->a);
	for (size_t i = 0; i < ARRAY_LEN(versions); i++)
		value_append(c->a, l, value_string(c->a, str_c(versions[i])));
	value_set(c->a, v, S("cniVersion"), value_string(c->a, c->version.n ? c->version : S("1.1.0")));
	value_set(c->a, v, S("supportedVersions"), l);
	return print(c, v);
}

static bool version_known(str v)
{
	for (size_t i = 0; i < ARRAY_LEN(versions); i++)
		if (str_eqc(v, versions[i]))
			return true;
	return false;
}

int cni_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	_cleanup_arena_ struct arena *a = arena_new(16 * 1024);
	struct call c = {
		.a = a, .command = str_c(getenv("CNI_COMMAND")), .container = str_c(getenv("CNI_CONTAINERID")), .ifname = str_c(getenv("CNI_IFNAME")),
		.netns = str_c(getenv("CNI_NETNS")),
	};
	if (c.command.n == 0) {
		fprintf(stderr, "CNI plugin coracle %s: to be run by a container runtime (CNI_COMMAND is not set)\n", CORACLE_VERSION);
		return 1;
	}
	static const struct { const char *name; bool container, ifname, netns; int (*run)(struct call *); const char *since; } commands[] = {
		{ "ADD", true, true, true, command_add, "0" },   { "DEL", true, true, false, command_del, "0" },
		{ "CHECK", true, true, true, command_check, "0.4.0" }, { "GC", false, false, false, command_gc, "1.1.0" },
		{ "STATUS", false, false, false, command_status, "1.1.0" }, { "VERSION", false, false, false, command_version, "0" },
	};
	size_t at = 0;
	while (at < ARRAY_LEN(commands) && !str_eqc(c.command, commands[at].name))
		at++;
	if (at == ARRAY_LEN(commands))
		return fail(&c, CNI_INVALID_ENV, "unknown CNI_COMMAND", NULL);
	struct error err = { 0 };
	str text;
	if (!io_read_fd(a, STDIN_FILENO, 4 << 20, &text, &err))
		return fail(&c, CNI_IO, "cannot read the configuration", err.text);
	if (!(c.conf = json_parse(a, text, &(struct json_opts){ .max_depth = 64 }, &err)) || c.conf->kind != V_OBJECT)
		return commands[at].run == command_version ? command_version(&c) : fail(&c, CNI_DECODE, "cannot decode the configuration", err.text);
	c.version = value_get_str(c.conf, S("cniVersion"));
	if (commands[at].run == command_version)
		return command_version(&c);
	if (!version_known(c.version))
		return fail(&c, CNI_INCOMPATIBLE, "incompatible CNI version", arena_cstr(a, arena_concat(a, S("cniVersion \""), c.version, S("\" is not supported"))));
	if (str_cmp(c.version, str_c(commands[at].since)) < 0)
		return fail(&c, CNI_INCOMPATIBLE, "the command is not in this CNI version", NULL);
	if (commands[at].container && !name_valid(c.container, 255))
		return fail(&c, CNI_INVALID_ENV, "CNI_CONTAINERID is missing or invalid", NULL);
	if (commands[at].ifname && (!name_valid(c.ifname, IFNAMSIZ - 1) || str_eqc(c.ifname, ".") || str_eqc(c.ifname, "..")))
		return fail(&c, CNI_INVALID_ENV, "CNI_IFNAME is missing or invalid", NULL);
	if (commands[at].netns && c.netns.n == 0)
		return fail(&c, CNI_INVALID_ENV, "CNI_NETNS is missing", NULL);
	if (!read_config(&c, &err))
		return fail(&c, CNI_INVALID_CONFIG, "invalid network configuration", err.text);
	host_name(c.host, c.container, c.ifname);
	return commands[at].run(&c);
}
