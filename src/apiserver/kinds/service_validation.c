// Validation of services, endpoints and endpoint slices. Rule: pkg/apis/core/validation, pkg/apis/discovery/validation.
#include "apiserver/kinds/valid.h"
#include "apiserver/kinds/validation.h"

static bool is(const struct core_v1_Service *o, const char *type) { return str_eqc(o->spec.type, type); }
static bool headless(const struct core_v1_Service *o) { return o->spec.clusterIPs.n == 1 && str_eq(o->spec.clusterIPs.v[0], S("None")); }

static bool external(const struct core_v1_Service *o)
{
	return is(o, "LoadBalancer") || is(o, "NodePort") || (is(o, "ClusterIP") && o->spec.externalIPs.n);
}

static bool needs_health(const struct core_v1_Service *o)
{
	return is(o, "LoadBalancer") && str_eq(o->spec.externalTrafficPolicy, S("Local"));
}

// Addresses that no endpoint can have.
static void endpoint_ip(struct field_errors *e, const struct fpath *p, str ip)
{
	unsigned char b[16];
	bool v6;
	static const unsigned char zero[16], one[16] = { [15] = 1 };
	if (!ip_parse(ip, b, &v6)) {
		fe_invalid(e, p, ip, "must be a valid IP address");
		return;
	}
	size_t n = v6 ? 16 : 4;
	if (memcmp(b, zero, n) == 0)
		fe_invalid(e, p, ip, "may not be unspecified (" STR_FMT ")", STR_ARG(ip));
	if (v6 ? memcmp(b, one, 16) == 0 : b[0] == 127)
		fe_invalid(e, p, ip, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
	if (v6 ? b[0] == 0xfe && (b[1] & 0xc0) == 0x80 : b[0] == 169 && b[1] == 254)
		fe_invalid(e, p, ip, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
	if (v6 ? b[0] == 0xff && (b[1] & 0x0f) == 2 : b[0] == 224 && b[1] == 0 && b[2] == 0)
		fe_invalid(e, p, ip, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
}

static void service_ports(struct field_errors *e, const struct fpath *spec, const struct core_v1_Service *o)
{
	struct fpath ports = fp(spec, "ports");
	EACH (s, o->spec.ports) {
		struct fpath p = fp_index(e->arena, &ports, INDEX(s, o->spec.ports)), name = fp(&p, "name"), port = fp(&p, "port"), protocol = fp(&p, "protocol"),
			target = fp(&p, "targetPort"), app = fp(&p, "appProtocol");
		if (o->spec.ports.n > 1 && !s->name.n) {
			fe_required(e, &name, "");
		} else if (s->name.n) {
			v_dns_label(e, &name, s->name);
			for (size_t i = 0; i < INDEX(s, o->spec.ports); i++)
				if (str_eq(o->spec.ports.v[i].name, s->name)) {
					fe_duplicate(e, &name, s->name);
					break;
				}
		}
		v_port(e, &port, s->port);
		v_enum_required(e, &protocol, s->protocol, LIST("SCTP", "TCP", "UDP"));
		v_port_or_name(e, &target, &s->targetPort);
		if (s->appProtocol)
			v_qualified(e, &app, *s->appProtocol);
	}
}

static void ip_fields(struct field_errors *e, const struct fpath *spec, const struct core_v1_Service *o)
{
	struct fpath ips = fp(spec, "clusterIPs"), families = fp(spec, "ipFamilies"), policy = fp(spec, "ipFamilyPolicy");
	const struct core_v1_ServiceSpec *s = &o->spec;
	if (is(o, "ExternalName"))
		return;
	if (s->clusterIP.n && !s->clusterIPs.n)
		fe_required(e, &ips, "");
	else if (s->clusterIP.n && !str_eq(s->clusterIPs.v[0], s->clusterIP))
		fe_invalid_raw(e, &ips, json_of_list(e->arena, &s->clusterIPs), "first value must match `clusterIP`");
	else if (!s->clusterIP.n && s->clusterIPs.n)
		fe_invalid_raw(e, &ips, json_of_list(e->arena, &s->clusterIPs), "must be empty when `clusterIP` is not specified");
	EACH (f, s->ipFamilies) {
		struct fpath at = fp_index(e->arena, &families, INDEX(f, s->ipFamilies));
		v_enum(e, &at, *f, LIST("IPv4", "IPv6"));
		for (size_t i = 0; i < INDEX(f, s->ipFamilies); i++)
			if (str_eq(s->ipFamilies.v[i], *f))
				fe_duplicate(e, &at, *f);
	}
	if (s->ipFamilyPolicy)
		v_enum(e, &policy, *s->ipFamilyPolicy, LIST("PreferDualStack", "RequireDualStack", "SingleStack"));
	bool bad = false;
	EACH (ip, s->clusterIPs) {
		struct fpath at = fp_index(e->arena, &ips, INDEX(ip, s->clusterIPs));
		if (INDEX(ip, s->clusterIPs) == 0 && str_eq(*ip, S("None"))) {
			if (s->clusterIPs.n > 1) {
				bad = true;
				fe_invalid_raw(e, &ips, json_of_list(e->arena, &s->clusterIPs), "'None' must be the first and only value");
				break;
			}
			continue;
		}
		size_t before = e->n;
		v_ip_legacy(e, &at, *ip, NULL);
		bad = bad || e->n > before;
	}
	if (s->clusterIPs.n > 2)
		fe_invalid_raw(e, &ips, json_of_list(e->arena, &s->clusterIPs), "may only hold up to 2 values");
	if (bad)
		return;
	if (s->clusterIPs.n > 1 && (str_find_char(s->clusterIPs.v[0], ':') >= 0) == (str_find_char(s->clusterIPs.v[1], ':') >= 0))
		fe_invalid_raw(e, &ips, json_of_list(e->arena, &s->clusterIPs), "may specify no more than one IP for each IP family");
	for (size_t i = 0; !headless(o) && i < MIN(s->clusterIPs.n, s->ipFamilies.n); i++) {
		struct fpath at = fp_index(e->arena, &ips, i);
		bool v6 = str_find_char(s->clusterIPs.v[i], ':') >= 0;
		if (str_eq(s->ipFamilies.v[i], S("IPv4")) && v6)
			fe_invalid(e, &at, s->clusterIPs.v[i], "expected an IPv4 value as indicated by `ipFamilies[%zu]`", i);
		if (str_eq(s->ipFamilies.v[i], S("IPv6")) && !v6)
			fe_invalid(e, &at, s->clusterIPs.v[i], "expected an IPv6 value as indicated by `ipFamilies[%zu]`", i);
	}
}

static void session_affinity(struct field_errors *e, const struct fpath *spec, const struct core_v1_Service *o)
{
	struct fpath affinity = fp(spec, "sessionAffinity"), config = fp(spec, "sessionAffinityConfig"), client = fp(&config, "clientIP"), timeout = fp(&client, "timeoutSeconds");
	const struct core_v1_SessionAffinityConfig *c = o->spec.sessionAffinityConfig;
	v_enum_required(e, &affinity, o->spec.sessionAffinity, LIST("ClientIP", "None"));
	if (str_eq(o->spec.sessionAffinity, S("ClientIP"))) {
		static const char why[] = "when session affinity type is ClientIP";
		if (!c)
			fe_required(e, &config, why);
		else if (!c->clientIP)
			fe_required(e, &client, why);
		else if (!c->clientIP->timeoutSeconds)
			fe_required(e, &timeout, why);
		else if (*c->clientIP->timeoutSeconds <= 0 || *c->clientIP->timeoutSeconds > 86400)
			fe_invalid_int(e, &timeout, *c->clientIP->timeoutSeconds, "must be greater than 0 and less than 86400");
	} else if (str_eq(o->spec.sessionAffinity, S("None")) && c) {
		fe_forbidden(e, &config, "must not be set when session affinity is None");
	}
}

static void repeated_ports(struct field_errors *e, const struct fpath *spec, const struct core_v1_Service *o)
{
	struct fpath ports = fp(spec, "ports");
	EACH (s, o->spec.ports) {
		struct fpath p = fp_index(e->arena, &ports, INDEX(s, o->spec.ports)), node = fp(&p, "nodePort");
		if (is(o, "ClusterIP") && s->nodePort)
			fe_forbidden(e, &node, "may not be used when `type` is 'ClusterIP'");
	}
	EACH (s, o->spec.ports) {
		struct fpath p = fp_index(e->arena, &ports, INDEX(s, o->spec.ports)), node = fp(&p, "nodePort");
		for (size_t i = 0; s->nodePort && i < INDEX(s, o->spec.ports); i++)
			if (o->spec.ports.v[i].nodePort == s->nodePort && str_eq(o->spec.ports.v[i].protocol, s->protocol)) {
				fe_duplicate(e, &node, S(""));
				e->v[e->n - 1].bad_value = arena_printf(e->arena, "%d", s->nodePort);
				break;
			}
	}
	EACH (s, o->spec.ports) {
		struct fpath p = fp_index(e->arena, &ports, INDEX(s, o->spec.ports));
		for (size_t i = 0; i < INDEX(s, o->spec.ports); i++)
			if (o->spec.ports.v[i].port == s->port && str_eq(o->spec.ports.v[i].protocol, s->protocol)) {
				fe_duplicate(e, &p, S(""));
				e->v[e->n - 1].bad_value = arena_printf(e->arena, "{\"Name\":\"\",\"Protocol\":\"" STR_FMT "\",\"AppProtocol\":null,\"Port\":%d,\"TargetPort\":0,\"NodePort\":0}",
				                                        STR_ARG(s->protocol), s->port);
				break;
			}
	}
}

static void load_balancer(struct field_errors *e, const struct fpath *spec, const struct core_v1_Service *o)
{
	struct fpath ranges = fp(spec, "LoadBalancerSourceRanges"), allocate = fp(spec, "allocateLoadBalancerNodePorts"), class = fp(spec, "loadBalancerClass"), root = fp(NULL, "allocateLoadBalancerNodePorts");
	bool balancer = is(o, "LoadBalancer");
	if (o->spec.loadBalancerSourceRanges.n && !balancer)
		fe_forbidden(e, &ranges, "may only be used when `type` is 'LoadBalancer'");
	EACH (c, o->spec.loadBalancerSourceRanges) {
		struct fpath at = fp_index(e->arena, &ranges, INDEX(c, o->spec.loadBalancerSourceRanges));
		v_cidr_legacy(e, &at, str_trim(*c), NULL);
	}
	if (o->spec.allocateLoadBalancerNodePorts && !balancer)
		fe_forbidden(e, &allocate, "may only be used when `type` is 'LoadBalancer'");
	if (balancer && !o->spec.allocateLoadBalancerNodePorts)
		fe_required(e, &root, "");
	if (o->spec.loadBalancerClass) {
		if (!balancer)
			fe_forbidden(e, &class, "may only be used when `type` is 'LoadBalancer'");
		else
			v_qualified(e, &class, *o->spec.loadBalancerClass);
	}
}

static void traffic(struct field_errors *e, const struct fpath *spec, const struct core_v1_Service *o)
{
	struct fpath ext = fp(spec, "externalTrafficPolicy"), health = fp(spec, "healthCheckNodePort"), internal = fp(spec, "internalTrafficPolicy"), dist = fp(spec, "trafficDistribution");
	if (!external(o)) {
		if (o->spec.externalTrafficPolicy.n)
			fe_invalid(e, &ext, o->spec.externalTrafficPolicy, "may only be set for externally-accessible services");
	} else {
		v_enum_required(e, &ext, o->spec.externalTrafficPolicy, LIST("Cluster", "Local"));
	}
	if (!needs_health(o)) {
		if (o->spec.healthCheckNodePort)
			fe_invalid_int(e, &health, o->spec.healthCheckNodePort, "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'");
	} else if (o->spec.healthCheckNodePort) {
		v_port(e, &health, o->spec.healthCheckNodePort);
	}
	if (!o->spec.internalTrafficPolicy) {
		if (!is(o, "ExternalName") && v_one_of(o->spec.type, LIST("NodePort", "LoadBalancer", "ClusterIP")))
			fe_required(e, &internal, "");
	} else {
		v_enum(e, &internal, *o->spec.internalTrafficPolicy, LIST("Cluster", "Local"));
	}
	if (o->spec.trafficDistribution)
		v_enum(e, &dist, *o->spec.trafficDistribution, LIST("PreferClose", "PreferSameZone", "PreferSameNode"));
}

void service_validate(struct request *r, struct field_errors *e, const void *obj)
{
	const struct core_v1_Service *o = obj;
	struct fpath spec = fp(NULL, "spec"), ports = fp(&spec, "ports"), ips = fp(&spec, "clusterIPs"), first = fp_index(e->arena, &ips, 0), families = fp(&spec, "ipFamilies"),
		policy = fp(&spec, "ipFamilyPolicy"), name = fp(&spec, "externalName"), selector = fp(&spec, "selector"), externals = fp(&spec, "externalIPs"), type = fp(&spec, "type");
	(void)r;
	if (!o->spec.ports.n && !headless(o) && !is(o, "ExternalName"))
		fe_required(e, &ports, "");
	if ((is(o, "LoadBalancer") || is(o, "NodePort")) && headless(o))
		fe_invalid(e, &first, o->spec.clusterIPs.v[0], "may not be set to 'None' for %s services", is(o, "NodePort") ? "NodePort" : "LoadBalancer");
	if (is(o, "ExternalName")) {
		if (o->spec.clusterIPs.n)
			fe_forbidden(e, &ips, "may not be set for ExternalName services");
		if (o->spec.ipFamilies.n)
			fe_forbidden(e, &families, "may not be set for ExternalName services");
		if (o->spec.ipFamilyPolicy)
			fe_forbidden(e, &policy, "may not be set for ExternalName services");
		str cname = o->spec.externalName;
		str_cut_suffix(&cname, S("."));
		if (cname.n)
			v_dns_subdomain(e, &name, cname);
		else
			fe_required(e, &name, "");
	}
	service_ports(e, &spec, o);
	v_labels(e, &selector, &o->spec.selector);
	session_affinity(e, &spec, o);
	ip_fields(e, &spec, o);
	EACH (ip, o->spec.externalIPs) {
		struct fpath at = fp_index(e->arena, &externals, INDEX(ip, o->spec.externalIPs));
		size_t before = e->n;
		v_ip_legacy(e, &at, *ip, NULL);
		if (e->n == before)
			endpoint_ip(e, &at, *ip);
	}
	v_enum_required(e, &type, o->spec.type, LIST("ClusterIP", "ExternalName", "LoadBalancer", "NodePort"));
	repeated_ports(e, &spec, o);
	load_balancer(e, &spec, o);
	traffic(e, &spec, o);
}

// A cluster address stays as it is while the service has one.
static void list_updates(struct field_errors *e, const char *field, const struct str_list *now, const struct str_list *was, const struct core_v1_Service *o, bool families)
{
	struct fpath spec = fp(NULL, "spec"), p = fp(&spec, field), first = fp_index(e->arena, &p, 0), policy = fp(&spec, "ipFamilyPolicy");
	str shown = json_of_list(e->arena, now);
	if (now->n == was->n) {
		for (size_t i = 0; i < now->n; i++) {
			struct fpath at = fp_index(e->arena, &p, families ? 0 : i);
			if (!str_eq(now->v[i], was->v[i]))
				fe_invalid_raw(e, &at, shown, "may not change once set");
		}
		return;
	}
	bool changed = was->n && now->n && !str_eq(now->v[0], was->v[0]);
	if (was->n > now->n) {
		if (!now->n)
			fe_invalid_raw(e, &first, shown, families ? "primary ipFamily can not be unset" : "primary clusterIP can not be unset");
		if (changed)
			fe_invalid_raw(e, &first, shown, "may not change once set");
		if (now->n == 1 && (!o->spec.ipFamilyPolicy || !str_eq(*o->spec.ipFamilyPolicy, S("SingleStack"))))
			fe_invalid_raw(e, &policy, o->spec.ipFamilyPolicy ? go_quote(e->arena, *o->spec.ipFamilyPolicy) : S("null"),
			               "must be set to 'SingleStack' when releasing the secondary %s", families ? "ipFamily" : "clusterIP");
	} else if (changed) {
		fe_invalid_raw(e, &first, shown, "may not change once set");
	}
}

void service_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	const struct core_v1_Service *o = obj, *old = was;
	struct fpath spec = fp(NULL, "spec"), health = fp(&spec, "healthCheckNodePort"), class = fp(&spec, "loadBalancerClass"), status = fp(NULL, "status"),
		lb = fp(&status, "loadBalancer"), ingress = fp(&lb, "ingress");
	if (t == UPDATE_STATUS) {
		EACH (i, o->status.loadBalancer.ingress) {
			struct fpath at = fp_index(e->arena, &ingress, INDEX(i, o->status.loadBalancer.ingress)), ip = fp(&at, "ip"), mode = fp(&at, "ipMode"), host = fp(&at, "hostname");
			if (i->ip.n)
				v_ip_legacy(e, &ip, i->ip, NULL);
			if (i->ip.n && !i->ipMode)
				fe_required(e, &mode, "must be specified when `ip` is set");
			if (i->ipMode && !i->ip.n)
				fe_forbidden(e, &mode, "may not be specified when `ip` is not set");
			else if (i->ipMode)
				v_enum(e, &mode, *i->ipMode, LIST("Proxy", "VIP"));
			if (i->hostname.n) {
				v_dns_subdomain(e, &host, i->hostname);
				if (ip_is_canonical(e->arena, i->hostname))
					fe_invalid(e, &host, i->hostname, "must be a DNS name, not an IP address");
			}
		}
		if (!is(o, "LoadBalancer") && o->status.loadBalancer.ingress.n)
			fe_forbidden(e, &ingress, "may only be used when `spec.type` is \"LoadBalancer\"");
		return;
	}
	if (!is(o, "ExternalName") && !is(old, "ExternalName")) {
		if (!(headless(o) && headless(old)))
			list_updates(e, "clusterIPs", &o->spec.clusterIPs, &old->spec.clusterIPs, o, false);
		if (!headless(o) && !headless(old))
			list_updates(e, "ipFamilies", &o->spec.ipFamilies, &old->spec.ipFamilies, o, true);
	}
	if (needs_health(o) && needs_health(old) && o->spec.healthCheckNodePort != old->spec.healthCheckNodePort)
		fe_forbidden(e, &health, IMMUTABLE);
	if (is(o, "LoadBalancer") && is(old, "LoadBalancer") && !same_str_ptr(o->spec.loadBalancerClass, old->spec.loadBalancerClass))
		fe_invalid_raw(e, &class, o->spec.loadBalancerClass ? go_quote(e->arena, *o->spec.loadBalancerClass) : S("null"), "may not change once set");
	service_validate(r, e, obj);
}

void service_warnings(struct request *r, const void *obj, const void *old)
{
	const struct core_v1_Service *o = obj;
	bool none = is(o, "ClusterIP") && str_eq(o->spec.clusterIP, S("None"));
	(void)old;
	str hints;
	if (str_map_find(&o->metadata.annotations, S("service.kubernetes.io/topology-aware-hints"), &hints))
		request_warn(r, "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use service.kubernetes.io/topology-mode instead");
	if (none) {
		if (o->spec.loadBalancerIP.n)
			request_warn(r, "spec.loadBalancerIP is ignored for headless services");
		if (o->spec.externalIPs.n)
			request_warn(r, "spec.externalIPs is ignored for headless services");
		if (!str_eq(o->spec.sessionAffinity, S("None")))
			request_warn(r, "spec.SessionAffinity is ignored for headless services");
	}
	if (o->spec.externalIPs.n && !none && !is(o, "ExternalName"))
		request_warn(r, "spec.externalIPs is deprecated and may no longer be implemented in some clusters");
	if (is(o, "ExternalName") && o->spec.externalIPs.n)
		request_warn(r, "spec.externalIPs is ignored when spec.type is \"ExternalName\"");
	if (!is(o, "ExternalName") && o->spec.externalName.n)
		request_warn(r, "spec.externalName is ignored when spec.type is not \"ExternalName\"");
	if (o->spec.trafficDistribution && str_eq(*o->spec.trafficDistribution, S("PreferClose")))
		request_warn(r, "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"");
}

// --- Endpoints ---

static void address(struct field_errors *e, const struct fpath *p, const struct core_v1_EndpointAddress *a)
{
	struct fpath ip = fp(p, "ip"), host = fp(p, "hostname"), node = fp(p, "nodeName");
	v_ip_legacy(e, &ip, a->ip, NULL);
	if (a->hostname.n)
		v_dns_label(e, &host, a->hostname);
	if (a->nodeName)
		v_dns_subdomain(e, &node, *a->nodeName);
	endpoint_ip(e, &ip, a->ip);
}

void endpoints_validate(struct request *r, struct field_errors *e, const void *obj)
{
	const struct core_v1_Endpoints *o = obj;
	struct fpath subsets = fp(NULL, "subsets");
	(void)r;
	EACH (s, o->subsets) {
		struct fpath p = fp_index(e->arena, &subsets, INDEX(s, o->subsets)), ready = fp(&p, "addresses"), other = fp(&p, "notReadyAddresses"), ports = fp(&p, "ports");
		if (!s->addresses.n && !s->notReadyAddresses.n)
			fe_required(e, &p, "must specify `addresses` or `notReadyAddresses`");
		EACH (a, s->addresses) {
			struct fpath at = fp_index(e->arena, &ready, INDEX(a, s->addresses));
			address(e, &at, a);
		}
		EACH (a, s->notReadyAddresses) {
			struct fpath at = fp_index(e->arena, &other, INDEX(a, s->notReadyAddresses));
			address(e, &at, a);
		}
		EACH (x, s->ports) {
			struct fpath at = fp_index(e->arena, &ports, INDEX(x, s->ports)), name = fp(&at, "name"), port = fp(&at, "port"), protocol = fp(&at, "protocol"), app = fp(&at, "appProtocol");
			if (s->ports.n > 1 && !x->name.n)
				fe_required(e, &name, "");
			else if (x->name.n)
				v_dns_label(e, &name, x->name);
			v_port(e, &port, x->port);
			v_enum_required(e, &protocol, x->protocol, LIST("SCTP", "TCP", "UDP"));
			if (x->appProtocol)
				v_qualified(e, &app, *x->appProtocol);
		}
	}
}

void endpoints_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	struct core_v1_Endpoints x = { .subsets = ((const struct core_v1_Endpoints *)obj)->subsets }, y = { .subsets = ((const struct core_v1_Endpoints *)was)->subsets };
	(void)t;
	if (!schema_equal(core_v1_Endpoints_desc, &x, &y)) // what was there may stay
		endpoints_validate(r, e, obj);
}

void endpoints_warnings(struct request *r, const void *obj, const void *old)
{
	(void)obj, (void)old;
	// Components of the control plane keep Endpoints for old clients and need no telling.
	if (!str_has_prefix(r->user.name, S("system:serviceaccount:kube-system:")) && !str_has_prefix(r->user.name, S("system:kube-")))
		request_warn(r, "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice");
}

// --- Endpoint slices ---

static void fqdn(struct field_errors *e, const struct fpath *p, str name)
{
	struct str_list why = { 0 };
	str rest = name;
	if (!name.n) {
		fe_required(e, p, "");
		return;
	}
	str_cut_suffix(&rest, S("."));
	name_is_dns1123_subdomain(e->arena, rest, &why);
	if (why.n)
		fe_invalid(e, p, rest, "%s", arena_cstr(e->arena, str_list_join(e->arena, &why, ",")));
	else if (str_find_char(rest, '.') < 0)
		fe_invalid(e, p, rest, "should be a domain with at least two segments separated by dots");
}

static void slice_endpoints(struct field_errors *e, const struct discovery_v1_EndpointSlice *o)
{
	struct fpath endpoints = fp(NULL, "endpoints");
	if (o->endpoints.n > 1000) {
		fe_too_many(e, &endpoints, o->endpoints.n, 1000);
		return;
	}
	EACH (x, o->endpoints) {
		struct fpath p = fp_index(e->arena, &endpoints, INDEX(x, o->endpoints)), addresses = fp(&p, "addresses"), node = fp(&p, "nodeName"), topology = fp(&p, "deprecatedTopology"),
			host = fp(&p, "hostname"), hints = fp(&p, "hints"), zones = fp(&hints, "forZones"), nodes = fp(&hints, "forNodes");
		if (!x->addresses.n)
			fe_required(e, &addresses, "must contain at least 1 address");
		else if (x->addresses.n > 100)
			fe_too_many(e, &addresses, x->addresses.n, 100);
		EACH (a, x->addresses) {
			struct fpath at = fp_index(e->arena, &addresses, INDEX(a, x->addresses));
			bool v6 = str_find_char(*a, ':') >= 0, want6 = str_eq(o->addressType, S("IPv6"));
			size_t before = e->n;
			if (str_eq(o->addressType, S("FQDN"))) {
				fqdn(e, &at, *a);
				continue;
			}
			if (!want6 && !str_eq(o->addressType, S("IPv4")))
				continue;
			if (want6)
				v_ip(e, &at, *a);
			else
				v_ip_legacy(e, &at, *a, NULL);
			if (e->n > before)
				continue;
			if (v6 != want6)
				fe_invalid(e, &addresses, *a, want6 ? "must be an IPv6 address" : "must be an IPv4 address");
			endpoint_ip(e, &at, *a);
		}
		if (x->nodeName)
			v_dns_subdomain(e, &node, *x->nodeName);
		if (x->deprecatedTopology.n > 16)
			fe_too_many(e, &topology, x->deprecatedTopology.n, 16);
		v_labels(e, &topology, &x->deprecatedTopology);
		if (x->hostname)
			v_dns_label(e, &host, *x->hostname);
		if (x->hints && x->hints->forZones.n > 8)
			fe_too_many(e, &zones, x->hints->forZones.n, 8);
		else if (x->hints && x->hints->forNodes.n > 8)
			fe_too_many(e, &nodes, x->hints->forNodes.n, 8);
	}
}

void endpointslice_validate(struct request *r, struct field_errors *e, const void *obj)
{
	const struct discovery_v1_EndpointSlice *o = obj;
	struct fpath type = fp(NULL, "addressType"), ports = fp(NULL, "ports");
	(void)r;
	v_enum_required(e, &type, o->addressType, LIST("FQDN", "IPv4", "IPv6"));
	if (o->ports.n > 20000)
		fe_too_many(e, &ports, o->ports.n, 20000);
	for (size_t i = 0; o->ports.n <= 20000 && i < o->ports.n; i++) {
		const struct discovery_v1_EndpointPort *x = &o->ports.v[i];
		struct fpath p = fp_index(e->arena, &ports, i), name = fp(&p, "name"), protocol = fp(&p, "protocol"), app = fp(&p, "appProtocol");
		str own = x->name ? *x->name : S("");
		if (own.n)
			v_dns_label(e, &name, own);
		for (size_t j = 0; j < i; j++)
			if (str_eq(o->ports.v[j].name ? *o->ports.v[j].name : S(""), own)) {
				fe_duplicate(e, &name, own);
				break;
			}
		if (!x->protocol)
			fe_required(e, &protocol, "");
		else
			v_enum(e, &protocol, *x->protocol, LIST("SCTP", "TCP", "UDP"));
		if (x->appProtocol)
			v_qualified(e, &app, *x->appProtocol);
	}
	slice_endpoints(e, o);
}

void endpointslice_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	const struct discovery_v1_EndpointSlice *o = obj, *old = was;
	struct fpath type = fp(NULL, "addressType");
	(void)t;
	endpointslice_validate(r, e, obj);
	v_immutable_str(e, &type, o->addressType, old->addressType);
}

void endpointslice_warnings(struct request *r, const void *obj, const void *old)
{
	const struct discovery_v1_EndpointSlice *o = obj;
	(void)old;
	if (str_eq(o->addressType, S("FQDN")))
		request_warn(r, "spec.addressType: FQDN endpoints are deprecated");
}
