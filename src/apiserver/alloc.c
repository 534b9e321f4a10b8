#include "apiserver/alloc.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/heap.h"
#include "base/log.h"
#include "object/meta.h"
#include "object/names.h"

struct alloc {
	pthread_mutex_t mutex;
	bool v6;
	unsigned char base[16];
	int bits;
	uint64_t size;      // addresses in the range; at most 2^32
	struct map ips;     // text -> NULL
	int first, last;
	uint8_t *ports;     // users of a port
};

static bool is(str type, const char *what) { return str_eqc(type, what); }
static bool needs_ip(const struct core_v1_Service *s) { return !is(s->spec.type, "ExternalName"); }
static bool headless(const struct core_v1_Service *s) { return str_eq(s->spec.clusterIP, S("None")); }
static bool needs_ports(const struct core_v1_Service *s)
{
	return is(s->spec.type, "NodePort") ||
	       (is(s->spec.type, "LoadBalancer") && (!s->spec.allocateLoadBalancerNodePorts || *s->spec.allocateLoadBalancerNodePorts));
}
static bool needs_health(const struct core_v1_Service *s) { return is(s->spec.type, "LoadBalancer") && is(s->spec.externalTrafficPolicy, "Local"); }

static str nth(struct arena *a, const struct alloc *al, uint64_t n)
{
	unsigned char ip[16];
	memcpy(ip, al->base, 16);
	int len = al->v6 ? 16 : 4;
	for (int i = len - 1; i >= 0 && n; i--) {
		n += ip[i];
		ip[i] = (unsigned char)n;
		n >>= 8;
	}
	return ip_text(a, ip, al->v6);
}

static bool in_range(const struct alloc *al, str text, uint64_t *index)
{
	unsigned char ip[16];
	bool v6;
	if (!ip_parse(text, ip, &v6) || v6 != al->v6)
		return false;
	int len = al->v6 ? 16 : 4;
	uint64_t n = 0;
	for (int i = 0; i < len; i++) {
		int high = (i + 1) * 8 <= al->bits ? 8 : i * 8 >= al->bits ? 0 : al->bits - i * 8;
		unsigned char mask = (unsigned char)(0xff << (8 - high));
		if ((ip[i] & mask) != (al->base[i] & mask))
			return false;
		n = n << 8 | (unsigned char)(ip[i] & ~mask);
	}
	*index = n;
	return true;
}

static bool invalid(struct call *c, struct api_status *s, const struct core_v1_Service *svc, struct field_errors *e)
{
	return status_invalid(c->r.arena, s, S(""), S("Service"), svc->metadata.name, e);
}

void alloc_keep(struct core_v1_Service *svc, const struct core_v1_Service *old)
{
	if (needs_ip(old) && needs_ip(svc)) {
		if (!svc->spec.clusterIP.n && !(svc->spec.clusterIPs.n && !str_eq(svc->spec.clusterIPs.v[0], old->spec.clusterIP)))
			svc->spec.clusterIP = old->spec.clusterIP;
		if (!svc->spec.clusterIPs.n)
			svc->spec.clusterIPs = old->spec.clusterIPs;
	}
	if (needs_ports(old) && needs_ports(svc)) {
		for (size_t i = 0; i < svc->spec.ports.n; i++) {
			struct core_v1_ServicePort *p = &svc->spec.ports.v[i];
			int32_t was = 0;
			for (size_t k = 0; k < old->spec.ports.n; k++)
				if (str_eq(old->spec.ports.v[k].name, p->name))
					was = old->spec.ports.v[k].nodePort;
			bool used = false;
			for (size_t k = 0; k < svc->spec.ports.n; k++)
				used |= svc->spec.ports.v[k].nodePort == was;
			if (!p->nodePort && was && !used)
				p->nodePort = was;
		}
	}
	if (needs_health(old) && needs_health(svc) && !svc->spec.healthCheckNodePort)
		svc->spec.healthCheckNodePort = old->spec.healthCheckNodePort;
}

static bool dual(const struct core_v1_ServiceSpec *s) { return s->ipFamilyPolicy && !str_eq(*s->ipFamilyPolicy, S("SingleStack")); }

static bool families(struct call *c, const struct alloc *al, struct core_v1_Service *svc, const struct core_v1_Service *old, struct api_status *s)
{
	struct arena *a = c->r.arena;
	struct core_v1_ServiceSpec *spec = &svc->spec;
	str ours = al->v6 ? S("IPv6") : S("IPv4"), other = al->v6 ? S("IPv4") : S("IPv6");
	if (!needs_ip(svc))
		return true;
	if (!spec->ipFamilyPolicy) {
		spec->ipFamilyPolicy = ARENA_NEW(a, str);
		if (old && old->spec.ipFamilyPolicy)
			*spec->ipFamilyPolicy = *old->spec.ipFamilyPolicy;
		else if (headless(svc) && !spec->selector.n)
			*spec->ipFamilyPolicy = S("RequireDualStack");
		else
			*spec->ipFamilyPolicy = S("SingleStack");
	}
	if (!spec->clusterIPs.n && spec->clusterIP.n)
		*LIST_ADD(a, &spec->clusterIPs) = spec->clusterIP;
	if (!spec->clusterIP.n && spec->clusterIPs.n)
		spec->clusterIP = spec->clusterIPs.v[0];
	struct field_errors e = { .arena = a };
	struct fpath sp = fp(NULL, "spec"), policy = fp(&sp, "ipFamilyPolicy"), fam = fp(&sp, "ipFamilies"), ips = fp(&sp, "clusterIPs");
	if (!dual(spec)) {
		if (spec->clusterIPs.n == 2)
			fe_invalid(&e, &policy, *spec->ipFamilyPolicy, "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified");
		if (spec->ipFamilies.n == 2)
			fe_invalid(&e, &policy, *spec->ipFamilyPolicy, "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified");
	}
	for (size_t i = spec->ipFamilies.n; i < spec->clusterIPs.n; i++) {
		unsigned char ip[16];
		bool v6;
		if (str_eq(spec->clusterIPs.v[i], S("None")) || !ip_parse(spec->clusterIPs.v[i], ip, &v6))
			break;
		str family = v6 ? S("IPv6") : S("IPv4");
		struct fpath at = fp_index(a, &ips, i);
		if (!str_eq(family, ours))
			fe_invalid_raw(&e, &at, arena_concat(a, S("[\""), str_list_join(a, &spec->clusterIPs, "\",\""), S("\"]")), STR_FMT " is not configured on this cluster", STR_ARG(family));
		else
			*LIST_ADD(a, &spec->ipFamilies) = family;
	}
	if (e.n)
		return invalid(c, s, svc, &e);
	if (headless(svc) && !spec->selector.n) {
		if (!spec->ipFamilies.n)
			*LIST_ADD(a, &spec->ipFamilies) = ours;
		if (spec->ipFamilies.n < 2 && dual(spec))
			*LIST_ADD(a, &spec->ipFamilies) = str_eq(spec->ipFamilies.v[0], S("IPv4")) ? S("IPv6") : S("IPv4");
		return true;
	}
	if (str_eq(*spec->ipFamilyPolicy, S("RequireDualStack")))
		fe_invalid(&e, &policy, *spec->ipFamilyPolicy, "this cluster is not configured for dual-stack services");
	for (size_t i = 0; i < spec->ipFamilies.n; i++) {
		struct fpath at = fp_index(a, &fam, i);
		if (str_eq(spec->ipFamilies.v[i], other))
			fe_invalid(&e, &at, other, "not configured on this cluster");
	}
	if (e.n)
		return invalid(c, s, svc, &e);
	if (!spec->ipFamilies.n)
		*LIST_ADD(a, &spec->ipFamilies) = ours;
	return true;
}

// With the mutex held, as all below.
static bool ip_taken(struct call *c, const struct alloc *al, str ip)
{
	if (map_has(&al->ips, ip))
		return true;
	// Somebody may have made an IPAddress object by hand.
	struct kind *k = kind_stored(c->s, S("networking.k8s.io"), S("ipaddresses"));
	struct cache_entry *e = k ? cache_get(k->cache, S(""), ip) : NULL;
	cache_entry_unref(e);
	return e != NULL;
}

static void take_ip(struct call *c, struct alloc *al, str ip, struct alloc_change *ch)
{
	map_put(&al->ips, ip, NULL);
	*LIST_ADD(c->r.arena, &ch->taken_ips) = ip;
}

static bool next_ip(struct call *c, struct alloc *al, str *out)
{
	// The lower part is for addresses that are asked for by name (KEP 3070).
	uint64_t reserved = MIN(MAX(al->size / 16, 16), 256);
	if (al->size < 64)
		reserved = 0;
	uint64_t last = al->size - (al->v6 ? 1 : 2);
	for (int pass = 0; pass < 2; pass++) {
		uint64_t from = pass ? 1 : MAX(reserved, 1), to = pass ? MAX(reserved, 1) : last + 1;
		if (to <= from)
			continue;
		uint64_t span = to - from, start = rng_below(c->r.rng, span);
		for (uint64_t i = 0; i < span && i < 1 << 20; i++) {
			str ip = nth(c->r.arena, al, from + (start + i) % span);
			if (!ip_taken(c, al, ip)) {
				*out = ip;
				return true;
			}
		}
	}
	return false;
}

static bool addresses(struct call *c, struct alloc *al, struct core_v1_Service *svc, const struct core_v1_Service *old, struct alloc_change *ch, struct api_status *s)
{
	struct arena *a = c->r.arena;
	struct core_v1_ServiceSpec *spec = &svc->spec;
	bool had = old && needs_ip(old) && !headless(old) && old->spec.clusterIP.n;
	if (!needs_ip(svc)) {
		for (size_t i = 0; had && i < old->spec.clusterIPs.n; i++)
			*LIST_ADD(a, &ch->freed_ips) = old->spec.clusterIPs.v[i];
		return true;
	}
	if (headless(svc))
		return true;
	if (had)
		return true; // cannot change; validation says so
	if (spec->clusterIP.n) {
		struct field_errors e = { .arena = a };
		struct fpath sp = fp(NULL, "spec"), ips = fp(&sp, "clusterIPs");
		uint64_t index;
		str list = arena_concat(a, S("[\""), spec->clusterIP, S("\"]"));
		unsigned char raw[16];
		bool v6;
		if (!ip_parse(spec->clusterIP, raw, &v6))
			return true; // validation has the words for it
		str ip = ip_text(a, raw, v6);
		if (!in_range(al, ip, &index))
			fe_invalid_raw(&e, &ips, list, "failed to allocate IP " STR_FMT ": the provided network does not match the current range", STR_ARG(ip));
		else if (index == 0 || index > al->size - (al->v6 ? 1 : 2))
			fe_invalid_raw(&e, &ips, list, "failed to allocate IP " STR_FMT ": provided IP is not in the valid range", STR_ARG(ip));
		else if (ip_taken(c, al, ip))
			fe_invalid_raw(&e, &ips, list, "failed to allocate IP " STR_FMT ": provided IP is already allocated", STR_ARG(ip));
		if (e.n)
			return invalid(c, s, svc, &e);
		take_ip(c, al, ip, ch);
		return true;
	}
	str ip;
	if (!next_ip(c, al, &ip))
		return status_internal(a, s, "failed to allocate a serviceIP: range is full");
	take_ip(c, al, ip, ch);
	spec->clusterIP = ip;
	spec->clusterIPs = (struct str_list){ 0 };
	*LIST_ADD(a, &spec->clusterIPs) = ip;
	return true;
}

static bool had_port(const struct core_v1_Service *old, int32_t port)
{
	for (size_t i = 0; old && i < old->spec.ports.n; i++)
		if (old->spec.ports.v[i].nodePort == port)
			return true;
	return old && old->spec.healthCheckNodePort == port;
}

static const char *take_port(struct call *c, struct alloc *al, int32_t port, struct alloc_change *ch)
{
	if (port < al->first || port > al->last)
		return arena_printf(c->r.arena, "provided port is not in the valid range. The range of valid ports is %d-%d", al->first, al->last).p;
	if (al->ports[port])
		return "provided port is already allocated";
	al->ports[port] = 1;
	*LIST_ADD(c->r.arena, &ch->taken_ports) = port;
	return NULL;
}

static int32_t next_port(struct call *c, struct alloc *al, struct alloc_change *ch)
{
	uint64_t size = (uint64_t)(al->last - al->first + 1), reserved = size < 32 ? 0 : MIN(MAX(size / 32, 16), 128);
	for (int pass = 0; pass < 2; pass++) {
		uint64_t from = pass ? 0 : reserved, to = pass ? reserved : size;
		if (to <= from)
			continue;
		uint64_t start = rng_below(c->r.rng, to - from);
		for (uint64_t i = 0; i < to - from; i++) {
			int32_t port = al->first + (int32_t)(from + (start + i) % (to - from));
			if (!take_port(c, al, port, ch))
				return port;
		}
	}
	return 0;
}

static bool taken_now(const struct alloc_change *ch, int32_t port)
{
	for (size_t i = 0; i < ch->taken_ports.n; i++)
		if (ch->taken_ports.v[i] == port)
			return true;
	return false;
}

static bool node_ports(struct call *c, struct alloc *al, struct core_v1_Service *svc, const struct core_v1_Service *old, struct alloc_change *ch, struct api_status *s)
{
	struct arena *a = c->r.arena;
	struct core_v1_ServiceSpec *spec = &svc->spec;
	struct field_errors e = { .arena = a };
	struct fpath sp = fp(NULL, "spec"), ports = fp(&sp, "ports");
	bool wanted = needs_ports(svc);
	for (size_t i = 0; wanted && i < spec->ports.n; i++) {
		struct core_v1_ServicePort *p = &spec->ports.v[i];
		struct fpath at = fp_index(a, &ports, i), np = fp(&at, "nodePort");
		if (!p->nodePort) {
			// TCP and UDP of one port share a node port.
			for (size_t k = 0; k < i; k++)
				if (spec->ports.v[k].port == p->port && !str_eq(spec->ports.v[k].protocol, p->protocol))
					p->nodePort = spec->ports.v[k].nodePort;
			if (!p->nodePort)
				p->nodePort = next_port(c, al, ch);
			if (!p->nodePort)
				return status_internal(a, s, "failed to allocate a nodePort: range is full");
			continue;
		}
		if (had_port(old, p->nodePort) && old && needs_ports(old))
			continue;
		bool shared = false;
		for (size_t k = 0; k < i; k++)
			shared |= spec->ports.v[k].nodePort == p->nodePort && !str_eq(spec->ports.v[k].protocol, p->protocol);
		if (shared && taken_now(ch, p->nodePort))
			continue;
		const char *why = take_port(c, al, p->nodePort, ch);
		if (why)
			fe_invalid_int(&e, &np, p->nodePort, "%s", why);
	}
	if (needs_health(svc) && !e.n) {
		if (!spec->healthCheckNodePort)
			spec->healthCheckNodePort = next_port(c, al, ch);
		else if (!(old && old->spec.healthCheckNodePort == spec->healthCheckNodePort)) {
			const char *why = take_port(c, al, spec->healthCheckNodePort, ch);
			if (why)
				return status_internal(a, s, "failed to allocate requested HealthCheck NodePort %d: %s", spec->healthCheckNodePort, why);
		}
	}
	if (e.n)
		return invalid(c, s, svc, &e);
	// What the old state had and the new one has not.
	for (size_t i = 0; old && i <= old->spec.ports.n; i++) {
		int32_t was = i < old->spec.ports.n ? old->spec.ports.v[i].nodePort : old->spec.healthCheckNodePort;
		if (was && !had_port(svc, was))
			*LIST_ADD(a, &ch->freed_ports) = was;
	}
	return true;
}

static void give_back(struct alloc *al, const struct str_list *ips, const int32_t *ports, size_t nports)
{
	for (size_t i = 0; i < ips->n; i++)
		map_del(&al->ips, ips->v[i]);
	for (size_t i = 0; i < nports; i++)
		al->ports[ports[i]] = 0;
}

bool alloc_service(struct call *c, struct core_v1_Service *svc, const struct core_v1_Service *old, struct alloc_change *ch, struct api_status *s)
{
	struct alloc *al = c->s->alloc;
	*ch = (struct alloc_change){ 0 };
	if (!families(c, al, svc, old, s))
		return false;
	pthread_mutex_lock(&al->mutex);
	bool ok = addresses(c, al, svc, old, ch, s) && node_ports(c, al, svc, old, ch, s);
	if (!ok)
		give_back(al, &ch->taken_ips, ch->taken_ports.v, ch->taken_ports.n);
	pthread_mutex_unlock(&al->mutex);
	if (!ok)
		*ch = (struct alloc_change){ 0 };
	return ok;
}

void alloc_release(struct call *c, const struct core_v1_Service *old, struct alloc_change *ch)
{
	struct arena *a = c->r.arena;
	*ch = (struct alloc_change){ 0 };
	for (size_t i = 0; i < old->spec.clusterIPs.n; i++)
		if (!str_eq(old->spec.clusterIPs.v[i], S("None")))
			*LIST_ADD(a, &ch->freed_ips) = old->spec.clusterIPs.v[i];
	for (size_t i = 0; i < old->spec.ports.n; i++)
		if (old->spec.ports.v[i].nodePort > 0 && old->spec.ports.v[i].nodePort < 65536)
			*LIST_ADD(a, &ch->freed_ports) = old->spec.ports.v[i].nodePort;
	if (old->spec.healthCheckNodePort > 0 && old->spec.healthCheckNodePort < 65536)
		*LIST_ADD(a, &ch->freed_ports) = old->spec.healthCheckNodePort;
}

void alloc_done(struct call *c, struct alloc_change *ch, bool success)
{
	struct alloc *al = c->s->alloc;
	pthread_mutex_lock(&al->mutex);
	if (success)
		give_back(al, &ch->freed_ips, ch->freed_ports.v, ch->freed_ports.n);
	else
		give_back(al, &ch->taken_ips, ch->taken_ports.v, ch->taken_ports.n);
	pthread_mutex_unlock(&al->mutex);
	*ch = (struct alloc_change){ 0 };
}

static str address_json(struct apiserver *srv, struct arena *a, str ip, str ns, str name)
{
	struct kind *k = kind_stored(srv, S("networking.k8s.io"), S("ipaddresses"));
	struct networking_v1_IPAddress *o = ARENA_NEW(a, struct networking_v1_IPAddress);
	o->metadata.name = ip;
	o->metadata.uid = rng_uuid(srv->rng, a);
	o->metadata.creationTimestamp = api_time_now(clock_wall(srv->clock));
	str_map_set(a, &o->metadata.labels, S("ipaddress.kubernetes.io/ip-family"), str_find_char(ip, ':') >= 0 ? S("IPv6") : S("IPv4"));
	str_map_set(a, &o->metadata.labels, S("ipaddress.kubernetes.io/managed-by"), S("ipallocator.k8s.io"));
	o->spec.parentRef = ARENA_NEW(a, struct networking_v1_ParentReference);
	o->spec.parentRef->resource = S("services");
	o->spec.parentRef->namespace = ns;
	o->spec.parentRef->name = name;
	struct buf b = { 0 };
	encode_stored(&b, k, o);
	str json = arena_dup(a, buf_str(&b));
	buf_free(&b);
	return json;
}

static str address_key(struct apiserver *srv, struct arena *a, str ip)
{
	return storage_key(a, kind_stored(srv, S("networking.k8s.io"), S("ipaddresses")), S(""), ip);
}

size_t alloc_ops(struct call *c, const struct core_v1_Service *svc, const struct alloc_change *ch, struct store_op *ops, size_t max)
{
	struct arena *a = c->r.arena;
	size_t n = 0;
	for (size_t i = 0; i < ch->taken_ips.n && n < max; i++)
		ops[n++] = (struct store_op){ .kind = STORE_PUT, .key = address_key(c->s, a, ch->taken_ips.v[i]), .if_mod_revision = -1,
			                      .value = address_json(c->s, a, ch->taken_ips.v[i], svc->metadata.namespace, svc->metadata.name) };
	for (size_t i = 0; i < ch->freed_ips.n && n < max; i++)
		ops[n++] = (struct store_op){ .kind = STORE_DELETE, .key = address_key(c->s, a, ch->freed_ips.v[i]), .if_mod_revision = -1 };
	return n;
}

// --- At the start -----------------------------------------------------------------------------------------------------------

struct loading { struct apiserver *s; struct arena *a; struct kind *services, *addresses; };

static bool load_service(struct cache_entry *e, void *ctx)
{
	struct loading *l = ctx;
	struct alloc *al = l->s->alloc;
	struct error err = { 0 };
	struct core_v1_Service *svc = entry_decode(l->a, l->services, e, &err);
	if (!svc)
		return true;
	for (size_t i = 0; i < svc->spec.clusterIPs.n; i++) {
		str ip = svc->spec.clusterIPs.v[i];
		if (str_eq(ip, S("None")))
			continue;
		map_put(&al->ips, ip, NULL);
		struct cache_entry *address = cache_get(l->addresses->cache, S(""), ip);
		if (address) {
			cache_entry_unref(address);
			continue;
		}
		struct store_op op = { .kind = STORE_PUT, .key = address_key(l->s, l->a, ip), .value = address_json(l->s, l->a, ip, svc->metadata.namespace, svc->metadata.name) };
		store_commit_wait(l->s->store, &op, 1);
	}
	for (size_t i = 0; i <= svc->spec.ports.n; i++) {
		int32_t port = i < svc->spec.ports.n ? svc->spec.ports.v[i].nodePort : svc->spec.healthCheckNodePort;
		if (port > 0 && port < 65536)
			al->ports[port] = 1;
	}
	return true;
}

// An address whose Service is gone (a crash of another server's controller, a restored store).
static bool drop_orphan(struct cache_entry *e, void *ctx)
{
	struct loading *l = ctx;
	struct error err = { 0 };
	struct networking_v1_IPAddress *o = entry_decode(l->a, l->addresses, e, &err);
	if (!o || !str_eq(str_map_get(&o->metadata.labels, S("ipaddress.kubernetes.io/managed-by")), S("ipallocator.k8s.io")) || map_has(&l->s->alloc->ips, o->metadata.name))
		return true;
	struct store_op op = { .kind = STORE_DELETE, .key = address_key(l->s, l->a, o->metadata.name), .if_mod_revision = e->revision };
	store_commit_wait(l->s->store, &op, 1);
	return true;
}

bool alloc_load(struct apiserver *s, struct error *err)
{
	struct alloc *al = HEAP_NEW(struct alloc);
	s->alloc = al;
	pthread_mutex_init(&al->mutex, NULL);
	al->ports = heap_calloc(65536, 1);
	al->first = s->config->node_port_first;
	al->last = s->config->node_port_last;
	if (!cidr_parse(str_c(s->config->service_cidr), al->base, &al->v6, &al->bits))
		return error_set(err, "--service-cluster-ip-range: \"%s\" is not one range (IPv4 or IPv6; two ranges are not available)", s->config->service_cidr);
	int host = (al->v6 ? 128 : 32) - al->bits;
	if (host < 3 || host > 24)
		host = host < 3 ? host : 24;
	al->size = UINT64_C(1) << host;
	if (host < 3)
		return error_set(err, "--service-cluster-ip-range: %s is too small", s->config->service_cidr);
	// Host bits of the range are cleared.
	for (int i = 0; i < 16; i++) {
		int high = (i + 1) * 8 <= al->bits ? 8 : i * 8 >= al->bits ? 0 : al->bits - i * 8;
		al->base[i] &= (unsigned char)(0xff << (8 - high));
	}
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct loading l = { s, a, kind_stored(s, S(""), S("services")), kind_stored(s, S("networking.k8s.io"), S("ipaddresses")) };
	struct cache_view v = cache_view_take(l.services->cache);
	cache_view_each(&v, S(""), false, load_service, &l);
	cache_view_done(&v);
	v = cache_view_take(l.addresses->cache);
	cache_view_each(&v, S(""), false, drop_orphan, &l);
	cache_view_done(&v);
	return true;
}

void alloc_free(struct alloc *al)
{
	if (!al)
		return;
	map_free(&al->ips);
	free(al->ports);
	pthread_mutex_destroy(&al->mutex);
	free(al);
}

// The first address of the range: the service `kubernetes`.
str alloc_first(struct apiserver *s, struct arena *a)
{
	str ip = nth(a, s->alloc, 1);
	map_put(&s->alloc->ips, ip, NULL);
	return ip;
}
