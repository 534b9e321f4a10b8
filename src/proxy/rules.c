#include "proxy/rules.h"

#include <stdlib.h>


enum { MAX_ENDPOINTS = 10000 };

struct endpoint {
	str ip;
	int32_t port;
	bool local;
};
struct endpoints { struct endpoint *v; size_t n; };

static const char *family(const struct rules_opts *o)
{
	return o->ipv6 ? "ip6" : "ip";
}

void rules_delete(struct buf *to)
{
	// "add" first: deleting what is not there would fail the transaction.
	buf_printf(to, "add table ip " PROXY_TABLE "\ndelete table ip " PROXY_TABLE "\nadd table ip6 " PROXY_TABLE "\ndelete table ip6 " PROXY_TABLE "\n");
}

void rules_base(struct buf *to, const struct rules_opts *o, str service_cidr)
{
	const char *f = family(o), *addr = o->ipv6 ? "ipv6_addr" : "ipv4_addr";
	buf_printf(to, "add table %s " PROXY_TABLE "\ndelete table %s " PROXY_TABLE "\n", f, f);
	buf_printf(to, "table %s " PROXY_TABLE " {\n", f);
	buf_printf(to, "map service-ips { type %s . inet_proto . inet_service : verdict; }\n", addr);
	buf_printf(to, "map service-nodeports { type inet_proto . inet_service : verdict; }\n");
	buf_printf(to, "map no-endpoint-services { type %s . inet_proto . inet_service : verdict; }\n", addr);
	buf_printf(to, "map no-endpoint-nodeports { type inet_proto . inet_service : verdict; }\n");
	buf_printf(to, "set hairpin-connections { type %s . %s; }\n", addr, addr); // a pod that reaches itself through its Service
	buf_printf(to, "chain mark-for-masquerade { meta mark set meta mark or 0x4000; }\n");
	buf_printf(to, "chain masquerading { meta mark and 0x4000 == 0 return; meta mark set meta mark xor 0x4000; masquerade fully-random; }\n");
	// A reset for TCP: the kernel sends no ICMP for its own packets to addresses that lead to the loopback link.
	buf_printf(to, "chain reject-chain { meta l4proto tcp reject with tcp reset; reject; }\n");
	buf_printf(to, "chain drop-chain { drop; }\n");
	buf_printf(to, "chain services { %s daddr . meta l4proto . th dport vmap @service-ips; fib daddr type local %s daddr != %s meta l4proto . th dport vmap @service-nodeports; }\n",
	           f, f, o->ipv6 ? "::1" : "127.0.0.0/8");
	buf_printf(to, "chain service-endpoints-check { %s daddr . meta l4proto . th dport vmap @no-endpoint-services; fib daddr type local meta l4proto . th dport vmap @no-endpoint-nodeports; ", f);
	if (service_cidr.n) // an address of the range that no Service has, or a port that its Service has not
		buf_printf(to, "%s daddr " STR_FMT " jump reject-chain; ", f, STR_ARG(service_cidr));
	buf_printf(to, "}\n");
	buf_printf(to, "chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }\n");
	buf_printf(to, "chain nat-output { type nat hook output priority -100; jump services; }\n");
	buf_printf(to, "chain nat-postrouting { type nat hook postrouting priority srcnat; jump masquerading; %s saddr . %s daddr @hairpin-connections masquerade fully-random; }\n", f, f);
	buf_printf(to, "chain filter-input { type filter hook input priority -110; ct state new jump service-endpoints-check; }\n");
	buf_printf(to, "chain filter-forward { type filter hook forward priority -110; ct state new jump service-endpoints-check; }\n");
	buf_printf(to, "chain filter-output { type filter hook output priority -90; ct state new jump service-endpoints-check; }\n");
	buf_printf(to, "}\n");
}

static bool is_ipv6(str address)
{
	return str_find_char(address, ':') >= 0;
}

static void lower(struct arena *a, str *s)
{
	char *p = arena_cstr(a, *s);
	for (size_t i = 0; i < s->n; i++)
		if (p[i] >= 'A' && p[i] <= 'Z')
			p[i] = (char)(p[i] - 'A' + 'a');
	s->p = p;
}

static int by_address(const void *a, const void *b)
{
	const struct endpoint *x = a, *y = b;
	int c = str_cmp(x->ip, y->ip);
	return c ? c : x->port - y->port;
}

// The usable endpoints of a service port: the ready ones, or, when there is none, those that still serve while they terminate
// (KEP-1669). `only_local`: of this node.
static struct endpoints endpoints_of(struct arena *a, const struct rules_opts *o, const struct core_v1_ServicePort *port,
                                     const struct discovery_v1_EndpointSlice *const *slices, size_t nslices, bool only_local)
{
	struct endpoints ready = { 0 }, serving = { 0 };
	for (size_t i = 0; i < nslices; i++) {
		const struct discovery_v1_EndpointSlice *s = slices[i];
		if (str_eqc(s->addressType, o->ipv6 ? "IPv6" : "IPv4") == false)
			continue;
		for (size_t p = 0; p < s->ports.n; p++) {
			const struct discovery_v1_EndpointPort *ep = &s->ports.v[p];
			str name = ep->name ? *ep->name : S(""), protocol = ep->protocol ? *ep->protocol : S("TCP");
			if (!str_eq(name, port->name) || !str_eq(protocol, port->protocol.n ? port->protocol : S("TCP")) || !ep->port)
				continue;
			for (size_t e = 0; e < s->endpoints.n; e++) {
				const struct discovery_v1_Endpoint *x = &s->endpoints.v[e];
				bool local = x->nodeName && str_eq(*x->nodeName, o->node_name);
				bool is_ready = !x->conditions.ready || *x->conditions.ready;
				bool is_serving = x->conditions.serving ? *x->conditions.serving : is_ready;
				bool terminating = x->conditions.terminating && *x->conditions.terminating;
				if (x->addresses.n == 0 || (only_local && !local) || ready.n + serving.n >= MAX_ENDPOINTS)
					continue;
				struct endpoint one = { .ip = x->addresses.v[0], .port = *ep->port, .local = local };
				if (is_ready)
					*LIST_ADD(a, &ready) = one;
				else if (is_serving && terminating)
					*LIST_ADD(a, &serving) = one;
			}
		}
	}
	struct endpoints *use = ready.n ? &ready : &serving;
	if (use->n > 1)
		qsort(use->v, use->n, sizeof(*use->v), by_address);
	size_t n = 0;
	for (size_t i = 0; i < use->n; i++) // an endpoint may stand in two slices for a moment
		if (n == 0 || by_address(&use->v[n - 1], &use->v[i]) != 0)
			use->v[n++] = use->v[i];
	use->n = n;
	return *use;
}

static void element(struct arena *a, struct rule_objects *out, const char *map, str key, str value)
{
	for (size_t i = 0; i < out->n; i++)
		if (out->v[i].kind == RULE_ELEMENT && str_eqc(out->v[i].name, map) && str_eq(out->v[i].key, key))
			return;
	*LIST_ADD(a, out) = (struct rule_object){ .kind = RULE_ELEMENT, .name = str_c(map), .key = key, .body = value };
}

static str address_text(struct arena *a, const struct rules_opts *o, const struct endpoint *e)
{
	return o->ipv6 ? arena_printf(a, "[" STR_FMT "]:%d", STR_ARG(e->ip), (int)e->port) : arena_printf(a, STR_FMT ":%d", STR_ARG(e->ip), (int)e->port);
}

// One rule that gives the endpoints their turns.
static str balance(struct arena *a, const struct rules_opts *o, str protocol, const struct endpoints *eps)
{
	_cleanup_buf_ struct buf b = { 0 };
	const char *f = family(o);
	if (eps->n == 1) {
		buf_printf(&b, "meta l4proto " STR_FMT " dnat %s to " STR_FMT "\n", STR_ARG(protocol), f, STR_ARG(address_text(a, o, &eps->v[0])));
		return arena_dup(a, buf_str(&b));
	}
	buf_printf(&b, "meta l4proto " STR_FMT " dnat %s to numgen inc mod %zu map { ", STR_ARG(protocol), f, eps->n);
	for (size_t i = 0; i < eps->n; i++)
		buf_printf(&b, "%s%zu : " STR_FMT " . %d", i ? ", " : "", i, STR_ARG(eps->v[i].ip), (int)eps->v[i].port);
	buf_printf(&b, " }\n");
	return arena_dup(a, buf_str(&b));
}

// With ClientIP affinity each endpoint has a chain that remembers its clients, and clients that one remembers go there first.
static str balance_with_affinity(struct arena *a, const struct rules_opts *o, str protocol, const struct endpoints *eps, str chain, int32_t seconds,
                                 struct rule_objects *out)
{
	_cleanup_buf_ struct buf first = { 0 }, then = { 0 };
	const char *f = family(o);
	buf_printf(&then, "numgen inc mod %zu vmap { ", eps->n);
	for (size_t i = 0; i < eps->n; i++) {
		str set = arena_printf(a, "affinity-" STR_FMT "/" STR_FMT "/%d", STR_ARG(chain), STR_ARG(eps->v[i].ip), (int)eps->v[i].port);
		str ep = arena_printf(a, "endpoint-" STR_FMT "/" STR_FMT "/%d", STR_ARG(chain), STR_ARG(eps->v[i].ip), (int)eps->v[i].port);
		for (char *p = (char *)set.p; *p; p++)
			*p = *p == ':' ? '_' : *p;
		for (char *p = (char *)ep.p; *p; p++)
			*p = *p == ':' ? '_' : *p;
		*LIST_ADD(a, out) = (struct rule_object){ .kind = RULE_SET, .name = set,
			.body = arena_printf(a, "type %s; flags dynamic,timeout; timeout %ds;", o->ipv6 ? "ipv6_addr" : "ipv4_addr", (int)seconds) };
		*LIST_ADD(a, out) = (struct rule_object){ .kind = RULE_CHAIN, .name = ep,
			.body = arena_printf(a, "update @" STR_FMT " { %s saddr }\nmeta l4proto " STR_FMT " dnat %s to " STR_FMT "\n", STR_ARG(set), f,
			                     STR_ARG(protocol), f, STR_ARG(address_text(a, o, &eps->v[i]))) };
		buf_printf(&first, "%s saddr @" STR_FMT " goto " STR_FMT "\n", f, STR_ARG(set), STR_ARG(ep));
		buf_printf(&then, "%s%zu : goto " STR_FMT, i ? ", " : "", i, STR_ARG(ep));
	}
	buf_printf(&then, " }\n");
	return arena_concat(a, buf_str(&first), buf_str(&then));
}

static void service_port(struct arena *a, const struct rules_opts *o, const struct core_v1_Service *s, const struct core_v1_ServicePort *port,
                         const struct discovery_v1_EndpointSlice *const *slices, size_t nslices, struct rule_objects *out)
{
	str protocol = port->protocol.n ? port->protocol : S("TCP");
	lower(a, &protocol);
	bool internal_local = s->spec.internalTrafficPolicy && str_eqc(*s->spec.internalTrafficPolicy, "Local");
	bool external_local = str_eqc(s->spec.externalTrafficPolicy, "Local");
	bool affinity = str_eqc(s->spec.sessionAffinity, "ClientIP");
	int32_t seconds = 10800;
	if (affinity && s->spec.sessionAffinityConfig && s->spec.sessionAffinityConfig->clientIP && s->spec.sessionAffinityConfig->clientIP->timeoutSeconds)
		seconds = *s->spec.sessionAffinityConfig->clientIP->timeoutSeconds;
	struct endpoints all = endpoints_of(a, o, port, slices, nslices, false);
	struct endpoints local = internal_local || external_local ? endpoints_of(a, o, port, slices, nslices, true) : all;
	// Names that nft takes; the hash keeps them apart, whatever the names' characters were cut to.
	str id = arena_printf(a, STR_FMT "/" STR_FMT "/" STR_FMT "/" STR_FMT, STR_ARG(s->metadata.namespace), STR_ARG(s->metadata.name), STR_ARG(protocol), STR_ARG(port->name));
	str chain = arena_printf(a, "%08x-" STR_FMT, (unsigned)str_hash(id), STR_ARG(str_sub(id, 0, 180)));

	struct { const char *prefix; const struct endpoints *eps; } kinds[2] = { { "service-", internal_local ? &local : &all }, { "local-", &local } };
	for (int k = 0; k < (external_local ? 2 : 1); k++) {
		if (kinds[k].eps->n == 0)
			continue;
		str name = arena_printf(a, "%s" STR_FMT, kinds[k].prefix, STR_ARG(chain));
		str body = affinity ? balance_with_affinity(a, o, protocol, kinds[k].eps, name, seconds, out) : balance(a, o, protocol, kinds[k].eps);
		if (k == 0 && o->cluster_cidr.n) // who is no pod would get the answer from an address it never asked
			body = arena_concat(a, arena_printf(a, "%s saddr != " STR_FMT " jump mark-for-masquerade\n", family(o), STR_ARG(o->cluster_cidr)), body);
		*LIST_ADD(a, out) = (struct rule_object){ .kind = RULE_CHAIN, .name = name, .body = body };
	}
	for (size_t i = 0; str_eqc(protocol, "udp") && i < all.n; i++)
		*LIST_ADD(a, out) = (struct rule_object){ .kind = RULE_UDP_ENDPOINT, .key = all.v[i].ip, .body = arena_printf(a, "%d", (int)all.v[i].port) };
	for (size_t i = 0; i < all.n; i++)
		if (all.v[i].local)
			element(a, out, "hairpin-connections", arena_printf(a, STR_FMT " . " STR_FMT, STR_ARG(all.v[i].ip), STR_ARG(all.v[i].ip)), S(""));

	// Cluster addresses.
	size_t nips = s->spec.clusterIPs.n ? s->spec.clusterIPs.n : 1;
	for (size_t i = 0; i < nips; i++) {
		str ip = s->spec.clusterIPs.n ? s->spec.clusterIPs.v[i] : s->spec.clusterIP;
		if (ip.n == 0 || str_eqc(ip, "None") || is_ipv6(ip) != o->ipv6)
			continue;
		str key = arena_printf(a, STR_FMT " . " STR_FMT " . %d", STR_ARG(ip), STR_ARG(protocol), (int)port->port);
		if (kinds[0].eps->n)
			element(a, out, "service-ips", key, arena_printf(a, "goto service-" STR_FMT, STR_ARG(chain)));
		else
			element(a, out, "no-endpoint-services", key, internal_local && all.n ? S("goto drop-chain") : S("goto reject-chain"));
	}

	// Addresses from outside: node port, external and load balancer addresses.
	const struct endpoints *outside = external_local ? &local : &all;
	str target = S(""), none = external_local && all.n ? S("goto drop-chain") : S("goto reject-chain");
	bool wanted = port->nodePort > 0 || s->spec.externalIPs.n || s->status.loadBalancer.ingress.n;
	if (wanted && outside->n) {
		str name = arena_printf(a, "external-" STR_FMT, STR_ARG(chain));
		str body = external_local ? arena_printf(a, "%s%sgoto local-" STR_FMT "\n",
		                                         o->cluster_cidr.n ? arena_printf(a, "%s saddr " STR_FMT " goto service-" STR_FMT "\n", family(o), STR_ARG(o->cluster_cidr), STR_ARG(chain)).p : "",
		                                         arena_printf(a, "fib saddr type local jump mark-for-masquerade\n").p, STR_ARG(chain))
		                          : arena_printf(a, "jump mark-for-masquerade\ngoto service-" STR_FMT "\n", STR_ARG(chain));
		*LIST_ADD(a, out) = (struct rule_object){ .kind = RULE_CHAIN, .name = name, .body = body };
		target = arena_printf(a, "goto " STR_FMT, STR_ARG(name));
	}
	if (port->nodePort > 0) {
		str key = arena_printf(a, STR_FMT " . %d", STR_ARG(protocol), (int)port->nodePort);
		element(a, out, target.n ? "service-nodeports" : "no-endpoint-nodeports", key, target.n ? target : none);
	}
	for (size_t i = 0; i < s->spec.externalIPs.n + s->status.loadBalancer.ingress.n; i++) {
		bool lb = i >= s->spec.externalIPs.n;
		str ip = lb ? s->status.loadBalancer.ingress.v[i - s->spec.externalIPs.n].ip : s->spec.externalIPs.v[i];
		if (ip.n == 0 || is_ipv6(ip) != o->ipv6)
			continue;
		str key = arena_printf(a, STR_FMT " . " STR_FMT " . %d", STR_ARG(ip), STR_ARG(protocol), (int)port->port), value = target;
		if (lb && target.n && s->spec.loadBalancerSourceRanges.n) {
			_cleanup_buf_ struct buf b = { 0 };
			str name = arena_printf(a, "firewall-" STR_FMT, STR_ARG(chain));
			buf_printf(&b, "%s saddr { ", family(o));
			for (size_t k = 0; k < s->spec.loadBalancerSourceRanges.n; k++)
				buf_printf(&b, "%s" STR_FMT, k ? ", " : "", STR_ARG(str_trim(s->spec.loadBalancerSourceRanges.v[k])));
			buf_printf(&b, " } " STR_FMT "\ndrop\n", STR_ARG(target));
			*LIST_ADD(a, out) = (struct rule_object){ .kind = RULE_CHAIN, .name = name, .body = arena_dup(a, buf_str(&b)) };
			value = arena_printf(a, "goto " STR_FMT, STR_ARG(name));
		}
		element(a, out, target.n ? "service-ips" : "no-endpoint-services", key, target.n ? value : none);
	}
}

void rules_of_service(struct arena *a, const struct rules_opts *o, const struct core_v1_Service *s,
                      const struct discovery_v1_EndpointSlice *const *slices, size_t nslices, struct rule_objects *out)
{
	str proxy; // a Service that another proxy serves
	if (str_eqc(s->spec.type, "ExternalName") || str_eqc(s->spec.clusterIP, "None") || s->spec.clusterIP.n == 0 ||
	    str_map_find(&s->metadata.labels, S("service.kubernetes.io/service-proxy-name"), &proxy))
		return;
	for (size_t i = 0; i < s->spec.ports.n; i++)
		service_port(a, o, s, &s->spec.ports.v[i], slices, nslices, out);
}

// --- Differences ----------------------------------------------------------------------------------------------------------------

static const struct rule_object *find(const struct rule_objects *in, const struct rule_object *x)
{
	for (size_t i = 0; i < in->n; i++)
		if (in->v[i].kind == x->kind && str_eq(in->v[i].name, x->name) && str_eq(in->v[i].key, x->key))
			return &in->v[i];
	return NULL;
}

static str rules_text(struct arena *a, const char *verb, const struct rules_opts *o, const struct rule_object *x)
{
	return x->body.n ? arena_printf(a, "%s element %s " PROXY_TABLE " " STR_FMT " { " STR_FMT " : " STR_FMT " }\n", verb, family(o), STR_ARG(x->name), STR_ARG(x->key), STR_ARG(x->body))
	                 : arena_printf(a, "%s element %s " PROXY_TABLE " " STR_FMT " { " STR_FMT " }\n", verb, family(o), STR_ARG(x->name), STR_ARG(x->key));
}

// Elements of sets may be wanted by several Services (an address that serves two): only the first adds, only the last removes.
static bool first_user(struct map *shared, const struct rule_object *x)
{
	intptr_t n = (intptr_t)map_get(shared, x->key);
	map_put(shared, x->key, (void *)(n + 1));
	return n == 0;
}

static bool last_user(struct map *shared, const struct rule_object *x)
{
	intptr_t n = (intptr_t)map_get(shared, x->key);
	if (n > 1) {
		map_put(shared, x->key, (void *)(n - 1));
		return false;
	}
	map_del(shared, x->key);
	return true;
}

void rules_diff(struct buf *to, const struct rule_objects *from, const struct rule_objects *want, struct map *shared, const struct rules_opts *o)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	const char *f = family(o);
	// Sets and empty chains first, so that rules may name them in any order; elements away before they come again with another value.
	for (size_t i = 0; i < want->n; i++) {
		const struct rule_object *x = &want->v[i];
		if (x->kind == RULE_SET && !find(from, x))
			buf_printf(to, "add set %s " PROXY_TABLE " " STR_FMT " { " STR_FMT " }\n", f, STR_ARG(x->name), STR_ARG(x->body));
		else if (x->kind == RULE_CHAIN && !find(from, x))
			buf_printf(to, "add chain %s " PROXY_TABLE " " STR_FMT "\n", f, STR_ARG(x->name));
	}
	for (size_t i = 0; i < want->n; i++) {
		const struct rule_object *x = &want->v[i], *had = find(from, x);
		if (x->kind != RULE_CHAIN || (had && str_eq(had->body, x->body)))
			continue;
		if (had)
			buf_printf(to, "flush chain %s " PROXY_TABLE " " STR_FMT "\n", f, STR_ARG(x->name));
		for (str rest = x->body, line; str_next(&rest, '\n', &line);)
			if (line.n)
				buf_printf(to, "add rule %s " PROXY_TABLE " " STR_FMT " " STR_FMT "\n", f, STR_ARG(x->name), STR_ARG(line));
	}
	for (size_t i = 0; i < from->n; i++) {
		const struct rule_object *x = &from->v[i], *now = find(want, x);
		if (x->kind != RULE_ELEMENT || (now && str_eq(now->body, x->body)))
			continue;
		if (x->body.n || last_user(shared, x))
			buf_add(to, rules_text(a, "delete", o, x));
	}
	for (size_t i = 0; i < want->n; i++) {
		const struct rule_object *x = &want->v[i], *had = find(from, x);
		if (x->kind != RULE_ELEMENT || (had && str_eq(had->body, x->body)))
			continue;
		if (x->body.n || first_user(shared, x))
			buf_add(to, rules_text(a, "add", o, x));
	}
	// What is gone: chains are emptied first, because they may refer to each other and to sets.
	for (size_t i = 0; i < from->n; i++)
		if (from->v[i].kind == RULE_CHAIN && !find(want, &from->v[i]))
			buf_printf(to, "flush chain %s " PROXY_TABLE " " STR_FMT "\n", f, STR_ARG(from->v[i].name));
	for (size_t i = 0; i < from->n; i++)
		if (from->v[i].kind == RULE_CHAIN && !find(want, &from->v[i]))
			buf_printf(to, "delete chain %s " PROXY_TABLE " " STR_FMT "\n", f, STR_ARG(from->v[i].name));
	for (size_t i = 0; i < from->n; i++)
		if (from->v[i].kind == RULE_SET && !find(want, &from->v[i]))
			buf_printf(to, "delete set %s " PROXY_TABLE " " STR_FMT "\n", f, STR_ARG(from->v[i].name));
}
