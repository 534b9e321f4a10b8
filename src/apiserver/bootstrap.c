// The objects that every cluster has: made when the server starts and they are not there; RBAC roles are brought up to date.
#include "apiserver/alloc.h"

#include "base/log.h"
#include "json/json.h"
#include "object/meta.h"

// Brings a role or binding of an older release up to date: what is missing is added, what others added stays (upstream's reconciler);
// the annotation rbac.authorization.kubernetes.io/autoupdate: "false" leaves it alone.
static bool add_missing(struct arena *a, const struct kind *k, void *now, const void *want)
{
	bool changed = false;
	const struct meta_v1_ObjectMeta *m = meta_of(k, now);
	if (str_eq(str_map_get(&m->annotations, S("rbac.authorization.kubernetes.io/autoupdate")), S("false")))
		return false;
	struct rbac_v1_PolicyRule_list *rules = NULL;
	const struct rbac_v1_PolicyRule_list *want_rules = NULL;
	struct rbac_v1_Subject_list *subjects = NULL;
	const struct rbac_v1_Subject_list *want_subjects = NULL;
	if (str_eq(k->resource, S("clusterroles"))) {
		// Aggregated roles are made of others.
		if (((const struct rbac_v1_ClusterRole *)want)->aggregationRule)
			return false;
		rules = &((struct rbac_v1_ClusterRole *)now)->rules;
		want_rules = &((const struct rbac_v1_ClusterRole *)want)->rules;
	} else if (str_eq(k->resource, S("roles"))) {
		rules = &((struct rbac_v1_Role *)now)->rules;
		want_rules = &((const struct rbac_v1_Role *)want)->rules;
	} else if (str_eq(k->resource, S("clusterrolebindings"))) {
		subjects = &((struct rbac_v1_ClusterRoleBinding *)now)->subjects;
		want_subjects = &((const struct rbac_v1_ClusterRoleBinding *)want)->subjects;
	} else if (str_eq(k->resource, S("rolebindings"))) {
		subjects = &((struct rbac_v1_RoleBinding *)now)->subjects;
		want_subjects = &((const struct rbac_v1_RoleBinding *)want)->subjects;
	}
	for (size_t i = 0; rules && i < want_rules->n; i++) {
		bool there = false;
		for (size_t n = 0; n < rules->n && !there; n++)
			there = schema_equal(rbac_v1_PolicyRule_desc, &rules->v[n], &want_rules->v[i]);
		if (!there) {
			*LIST_ADD(a, rules) = want_rules->v[i];
			changed = true;
		}
	}
	for (size_t i = 0; subjects && i < want_subjects->n; i++) {
		bool there = false;
		for (size_t n = 0; n < subjects->n && !there; n++)
			there = str_eq(subjects->v[n].kind, want_subjects->v[i].kind) && str_eq(subjects->v[n].name, want_subjects->v[i].name) &&
			        str_eq(subjects->v[n].namespace, want_subjects->v[i].namespace);
		if (!there) {
			*LIST_ADD(a, subjects) = want_subjects->v[i];
			changed = true;
		}
	}
	return changed;
}

static bool reconcile(struct apiserver *s, struct arena *a, struct kind *k, struct cache_entry *e, const void *want, struct error *err)
{
	if (!str_eq(k->group, S("rbac.authorization.k8s.io")))
		return true;
	void *now = entry_decode(a, k, e, err);
	if (!now)
		return false;
	if (!add_missing(a, k, now, want))
		return true;
	struct buf b = { 0 };
	encode_stored(&b, k, now);
	struct store_op op = { .kind = STORE_PUT, .key = storage_key(a, k, cache_entry_ns(e), cache_entry_name(e)), .value = buf_str(&b), .if_mod_revision = e->revision };
	struct store_result r = store_commit_wait(s->store, &op, 1);
	buf_free(&b);
	*err = r.err;
	return r.err.code == 0;
}

// The bootstrap objects know no clock and no chance: uid and creation time are added here.
static bool put_new(struct apiserver *s, struct arena *a, struct kind *k, void *obj, struct error *err)
{
	struct meta_v1_ObjectMeta *m = meta_of(k, obj);
	struct cache_entry *e = cache_get(k->cache, m->namespace, m->name);
	if (e) {
		bool ok = reconcile(s, a, k, e, obj, err);
		arena_on_free(a, (void (*)(void *))(void *)cache_entry_unref, e);
		return ok;
	}
	m->uid = rng_uuid(s->rng, a);
	m->creationTimestamp = api_time_now(clock_wall(s->clock));
	m->resourceVersion = S("");
	if (k->strategy->generation && !m->generation)
		m->generation = 1;
	if (k->strategy->defaults)
		k->strategy->defaults(a, obj);
	struct buf b = { 0 };
	encode_stored(&b, k, obj);
	struct store_op op = { .kind = STORE_PUT, .key = storage_key(a, k, m->namespace, m->name), .value = buf_str(&b) };
	struct store_result r = store_commit_wait(s->store, &op, 1);
	buf_free(&b);
	if (r.err.code) {
		*err = r.err;
		return false;
	}
	return true;
}

static bool put_all(struct apiserver *s, const char *name, const char *group, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	str text = schema_bootstrap(str_c(name));
	struct kind *k = kind_stored(s, str_c(group), str_c(name));
	if (!text.n || !k)
		return true;
	struct value *list = json_parse(a, text, NULL, err);
	if (!list)
		return error_wrap(err, "bootstrap %s", name);
	struct value *items = value_is(list, V_ARRAY) ? list : value_get(list, S("items"));
	for (size_t i = 0; items && i < items->a.n; i++) {
		void *obj = schema_from_value(a, k->storage_message, items->a.v[i], NULL, err);
		if (!obj)
			return error_wrap(err, "bootstrap %s[%zu]", name, i);
		if (!put_new(s, a, k, obj, err))
			return error_wrap(err, "bootstrap %s[%zu]", name, i);
	}
	return true;
}

// --- The service `kubernetes`: this server, by the first address of the range ---------------------------------------------------

// Writes the object unless what is there says the same (uid, times and what others added to the metadata apart).
static bool put_same(struct apiserver *s, struct arena *a, struct kind *k, void *obj, bool (*same)(const void *x, const void *y), struct error *err)
{
	struct meta_v1_ObjectMeta *m = meta_of(k, obj);
	struct cache_entry *e = cache_get(k->cache, m->namespace, m->name);
	if (!e)
		return put_new(s, a, k, obj, err);
	void *old = entry_decode(a, k, e, err);
	int64_t revision = e->revision;
	if (old && !same(old, obj)) {
		*m = *meta_of(k, old);
		struct buf b = { 0 };
		if (k->strategy->defaults)
			k->strategy->defaults(a, obj);
		encode_stored(&b, k, obj);
		struct store_op op = { .kind = STORE_PUT, .key = storage_key(a, k, m->namespace, m->name), .value = buf_str(&b), .if_mod_revision = revision };
		struct store_result r = store_commit_wait(s->store, &op, 1);
		buf_free(&b);
		if (r.err.code) {
			*err = r.err;
			cache_entry_unref(e);
			return false;
		}
	}
	arena_on_free(a, (void (*)(void *))(void *)cache_entry_unref, e);
	return old != NULL;
}

static bool same_endpoints(const void *x, const void *y)
{
	const struct core_v1_Endpoints *p = x, *q = y;
	return p->subsets.n == 1 && p->subsets.v[0].addresses.n == 1 && p->subsets.v[0].ports.n == 1 &&
	       str_eq(p->subsets.v[0].addresses.v[0].ip, q->subsets.v[0].addresses.v[0].ip) && p->subsets.v[0].ports.v[0].port == q->subsets.v[0].ports.v[0].port;
}

static bool same_slice(const void *x, const void *y)
{
	const struct discovery_v1_EndpointSlice *p = x, *q = y;
	return p->endpoints.n == 1 && p->endpoints.v[0].addresses.n == 1 && p->ports.n == 1 && str_eq(p->addressType, q->addressType) &&
	       str_eq(p->endpoints.v[0].addresses.v[0], q->endpoints.v[0].addresses.v[0]) && p->ports.v[0].port && *p->ports.v[0].port == *q->ports.v[0].port;
}

static bool same_cidr(const void *x, const void *y)
{
	(void)x, (void)y;
	return true; // what was set first stays, as upstream keeps it
}

static bool own_service(struct apiserver *s, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	const struct config *c = s->config;
	struct kind *services = kind_stored(s, S(""), S("services")), *endpoints = kind_stored(s, S(""), S("endpoints")),
	            *slices = kind_stored(s, S("discovery.k8s.io"), S("endpointslices")), *cidrs = kind_stored(s, S("networking.k8s.io"), S("servicecidrs")),
	            *addresses = kind_stored(s, S("networking.k8s.io"), S("ipaddresses"));
	struct networking_v1_ServiceCIDR *range = ARENA_NEW(a, struct networking_v1_ServiceCIDR);
	range->metadata.name = S("kubernetes");
	*LIST_ADD(a, &range->spec.cidrs) = str_c(c->service_cidr);
	struct meta_v1_Condition *ready = LIST_ADD(a, &range->status.conditions);
	*ready = (struct meta_v1_Condition){ .type = S("Ready"), .status = S("True"), .message = S("Kubernetes Service CIDR is ready"), .lastTransitionTime = api_time_now(clock_wall(s->clock)) };
	*LIST_ADD(a, &range->metadata.finalizers) = S("networking.k8s.io/service-cidr-finalizer");
	if (!put_same(s, a, cidrs, range, same_cidr, err))
		return false;
	str ip = alloc_first(s, a);
	bool v6 = str_find_char(ip, ':') >= 0;
	struct core_v1_Service *svc = ARENA_NEW(a, struct core_v1_Service);
	svc->metadata.name = S("kubernetes");
	svc->metadata.namespace = S("default");
	str_map_set(a, &svc->metadata.labels, S("component"), S("apiserver"));
	str_map_set(a, &svc->metadata.labels, S("provider"), S("kubernetes"));
	svc->spec.clusterIP = ip;
	*LIST_ADD(a, &svc->spec.clusterIPs) = ip;
	svc->spec.type = S("ClusterIP");
	*LIST_ADD(a, &svc->spec.ipFamilies) = v6 ? S("IPv6") : S("IPv4");
	svc->spec.ipFamilyPolicy = ARENA_NEW(a, str);
	*svc->spec.ipFamilyPolicy = S("SingleStack");
	struct core_v1_ServicePort *sp = LIST_ADD(a, &svc->spec.ports);
	*sp = (struct core_v1_ServicePort){ .name = S("https"), .protocol = S("TCP"), .port = 443, .targetPort = { .i = c->port } };
	struct cache_entry *there = cache_get(services->cache, S("default"), S("kubernetes"));
	if (there)
		cache_entry_unref(there);
	else if (!put_new(s, a, services, svc, err))
		return false;
	struct networking_v1_IPAddress *address = ARENA_NEW(a, struct networking_v1_IPAddress);
	address->metadata.name = ip;
	str_map_set(a, &address->metadata.labels, S("ipaddress.kubernetes.io/ip-family"), v6 ? S("IPv6") : S("IPv4"));
	str_map_set(a, &address->metadata.labels, S("ipaddress.kubernetes.io/managed-by"), S("ipallocator.k8s.io"));
	address->spec.parentRef = ARENA_NEW(a, struct networking_v1_ParentReference);
	*address->spec.parentRef = (struct networking_v1_ParentReference){ .resource = S("services"), .namespace = S("default"), .name = S("kubernetes") };
	if (!put_new(s, a, addresses, address, err))
		return false;
	if (!c->advertise_address)
		return true;
	str own = str_c(c->advertise_address);
	struct core_v1_Endpoints *ep = ARENA_NEW(a, struct core_v1_Endpoints);
	ep->metadata.name = S("kubernetes");
	ep->metadata.namespace = S("default");
	str_map_set(a, &ep->metadata.labels, S("endpointslice.kubernetes.io/skip-mirror"), S("true"));
	struct core_v1_EndpointSubset *subset = LIST_ADD(a, &ep->subsets);
	LIST_ADD(a, &subset->addresses)->ip = own;
	*LIST_ADD(a, &subset->ports) = (struct core_v1_EndpointPort){ .name = S("https"), .port = c->port, .protocol = S("TCP") };
	struct discovery_v1_EndpointSlice *slice = ARENA_NEW(a, struct discovery_v1_EndpointSlice);
	slice->metadata.name = S("kubernetes");
	slice->metadata.namespace = S("default");
	str_map_set(a, &slice->metadata.labels, S("kubernetes.io/service-name"), S("kubernetes"));
	slice->addressType = str_find_char(own, ':') >= 0 ? S("IPv6") : S("IPv4");
	struct discovery_v1_Endpoint *one = LIST_ADD(a, &slice->endpoints);
	*LIST_ADD(a, &one->addresses) = own;
	one->conditions.ready = ARENA_NEW(a, bool);
	*one->conditions.ready = true;
	struct discovery_v1_EndpointPort *port = LIST_ADD(a, &slice->ports);
	port->name = ARENA_NEW(a, str);
	*port->name = S("https");
	port->protocol = ARENA_NEW(a, str);
	*port->protocol = S("TCP");
	port->port = ARENA_NEW(a, int32_t);
	*port->port = c->port;
	return put_same(s, a, endpoints, ep, same_endpoints, err) && put_same(s, a, slices, slice, same_slice, err);
}

bool bootstrap(struct apiserver *s, struct error *err)
{
	static const struct { const char *name, *group; } all[] = {
		{ "namespaces", "" }, { "priorityclasses", "scheduling.k8s.io" }, { "prioritylevelconfigurations", "flowcontrol.apiserver.k8s.io" },
		{ "flowschemas", "flowcontrol.apiserver.k8s.io" }, { "clusterroles", "rbac.authorization.k8s.io" },
		{ "clusterrolebindings", "rbac.authorization.k8s.io" }, { "roles", "rbac.authorization.k8s.io" }, { "rolebindings", "rbac.authorization.k8s.io" },
		{ "apiservices", "apiregistration.k8s.io" },
	};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (!put_all(s, all[i].name, all[i].group, err))
			return false;
	return own_service(s, err) || error_wrap(err, "bootstrap");
}
