#include "proxy/routes.h"

#include <linux/rtnetlink.h>
#include <stdio.h>

#include "base/heap.h"
#include "base/io.h"
#include "base/log.h"
#include "cni/netlink.h"
#include "schema_gen.h"

enum { ROUTE_METRIC = 77 }; // marks the routes that are ours

struct routes {
	struct routes_opts o;
	bool service_range;   // its route is there
};

struct routes *routes_new(const struct routes_opts *o)
{
	struct routes *r = HEAP_NEW(struct routes);
	r->o = *o;
	return r;
}

static str internal_ip(const struct core_v1_Node *n, bool ipv6)
{
	for (size_t i = 0; i < n->status.addresses.n; i++) {
		const struct core_v1_NodeAddress *x = &n->status.addresses.v[i];
		if (str_eqc(x->type, "InternalIP") && (str_find_char(x->address, ':') >= 0) == ipv6)
			return x->address;
	}
	return S("");
}

// The service range leads to the loopback link: what no rule translates ends there.
static bool hold_service_range(struct routes *r, struct netlink *nl, str node_ip, struct error *err)
{
	struct link link;
	struct route route = { .metric = ROUTE_METRIC };
	if (r->service_range || !r->o.service_cidr || node_ip.n == 0)
		return true;
	if (!ip_net_parse(str_c(r->o.service_cidr), &route.dst))
		return error_set(err, "service range %s", r->o.service_cidr);
	if (!link_get(nl, "lo", &link, err))
		return false;
	route.index = link.index;
	ip_read(node_ip, &route.src); // else the kernel would choose 127.0.0.1, which no pod can answer
	if (!route_set(nl, &route, err))
		return error_wrap(err, "route to the service range");
	return r->service_range = true;
}

static bool same_net(const struct ip_net *x, const struct ip_net *y)
{
	return x->len == y->len && ip_eq(&x->ip, &y->ip);
}

struct wanted { struct route *v; size_t n; };

static void want_routes(struct arena *a, const struct core_v1_Node *n, struct wanted *out)
{
	size_t count = n->spec.podCIDRs.n ? n->spec.podCIDRs.n : n->spec.podCIDR.n ? 1 : 0;
	for (size_t i = 0; i < count; i++) {
		str cidr = n->spec.podCIDRs.n ? n->spec.podCIDRs.v[i] : n->spec.podCIDR;
		struct route route = { .metric = ROUTE_METRIC };
		str via = internal_ip(n, str_find_char(cidr, ':') >= 0);
		if (via.n && ip_net_parse(cidr, &route.dst) && ip_read(via, &route.via))
			*LIST_ADD(a, out) = route;
	}
}

// `everything`: also the route to the service range goes.
static bool sync_routes(struct arena *a, struct netlink *nl, const struct wanted *want, bool everything, struct error *err)
{
	static const int families[] = { AF_INET, AF_INET6 };
	bool ok = true;
	for (size_t i = 0; i < want->n; i++)
		if (!route_set(nl, &want->v[i], err)) // a node on another network cannot be reached this way; the others can
			ok = error_wrap(err, "route to a node's pods");
	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		struct route *have;
		size_t n;
		struct error ignored = { 0 };
		if (!route_list(nl, a, families[f], 0, &have, &n, &ignored))
			continue;
		for (size_t i = 0; i < n; i++) {
			bool wanted = have[i].metric != ROUTE_METRIC || (have[i].via.family == 0 && !everything);
			for (size_t k = 0; !wanted && k < want->n; k++)
				wanted = same_net(&have[i].dst, &want->v[k].dst);
			if (!wanted && !route_del(nl, &have[i], &ignored))
				log_warn("remove a route: %s", ignored.text);
		}
	}
	return ok;
}

// The CNI configuration for this node's pod ranges. Written once they are known, and again when they differ.
static bool write_conflist(struct routes *r, struct arena *a, const struct core_v1_Node *self, struct error *err)
{
	if (!r->o.cni_conf_dir || (self->spec.podCIDR.n == 0 && self->spec.podCIDRs.n == 0))
		return true;
	_cleanup_buf_ struct buf b = { 0 };
	buf_printf(&b, "{\n  \"cniVersion\": \"1.0.0\",\n  \"name\": \"coracle\",\n  \"plugins\": [\n    {\n      \"type\": \"coracle\",\n      \"bridge\": \"coracle0\",\n      \"ipMasq\": true,\n");
	if (r->o.cluster_cidr)
		buf_printf(&b, "      \"clusterCIDRs\": [\"%s\"],\n", r->o.cluster_cidr);
	buf_printf(&b, "      \"capabilities\": {\"portMappings\": true},\n      \"ipam\": {\n        \"ranges\": [");
	size_t n = self->spec.podCIDRs.n ? self->spec.podCIDRs.n : 1;
	for (size_t i = 0; i < n; i++) {
		str cidr = self->spec.podCIDRs.n ? self->spec.podCIDRs.v[i] : self->spec.podCIDR;
		buf_printf(&b, "%s[{\"subnet\": \"" STR_FMT "\"}]", i ? ", " : "", STR_ARG(cidr));
	}
	buf_printf(&b, "]\n      }\n    }\n  ]\n}\n");
	const char *path = arena_printf(a, "%s/10-coracle.conflist", r->o.cni_conf_dir).p;
	struct error ignored = { 0 };
	str have;
	if (io_read_file(a, path, 1 << 20, &have, &ignored) && str_eq(have, buf_str(&b)))
		return true;
	return io_mkdirs(r->o.cni_conf_dir, 0755, err) && io_write_file(path, buf_str(&b), 0644, err);
}

bool routes_sync(struct routes *r, struct informer *nodes, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	_cleanup_list_ struct object_list list = informer_list(nodes);
	_cleanup_netlink_ struct netlink *nl = netlink_open(err);
	struct wanted want = { 0 };
	const struct core_v1_Node *self = NULL;
	if (!nl)
		return false;
	for (size_t i = 0; i < list.n; i++) {
		const struct core_v1_Node *n = object_of(list.v[i]);
		if (str_eqc(n->metadata.name, r->o.node_name))
			self = n;
		else
			want_routes(a, n, &want);
	}
	bool v6 = r->o.service_cidr && strchr(r->o.service_cidr, ':');
	if (self && (!hold_service_range(r, nl, internal_ip(self, v6), err) || !write_conflist(r, a, self, err)))
		return false;
	return sync_routes(a, nl, &want, false, err);
}

void routes_cleanup(const struct routes_opts *o)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	_cleanup_netlink_ struct netlink *nl = netlink_open(&err);
	const struct wanted none = { 0 };
	if (!nl) {
		log_warn("%s", err.text);
		return;
	}
	sync_routes(a, nl, &none, true, &err);
	if (o->cni_conf_dir)
		unlink(arena_printf(a, "%s/10-coracle.conflist", o->cni_conf_dir).p);
}
