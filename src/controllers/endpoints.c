// Endpoints, the older view of what stands behind a Service. Rule: upstream pkg/controller/endpoint.
#include <stdlib.h>

#include "base/log.h"
#include "controllers/service_util.h"

#define COMPONENT "endpoint-controller"
#define MANAGED_LABEL S("endpoints.kubernetes.io/managed-by")
#define OVER_CAPACITY S("endpoints.kubernetes.io/over-capacity")

enum { MAX_ADDRESSES = 1000 };

struct endpoints {
	struct manager *m;
	struct informer *services, *pods, *endpoints;
	struct workqueue *queue;
};

static void service_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct endpoints *c = ctx;
	queue_object(c->queue, changed_object(old, obj));
}

static void pod_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct endpoints *c = ctx;
	service_pod_changed(c->services, c->queue, old, obj);
}

static void endpoints_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct endpoints *c = ctx;
	const struct core_v1_Endpoints *e = changed_object(old, obj);
	// What somebody else deleted, or left behind without a Service.
	if (!obj || (!old && str_eq(str_map_get(&e->metadata.labels, MANAGED_LABEL), S(COMPONENT))))
		queue_object(c->queue, e);
}

static bool port_equal(const struct core_v1_EndpointPort *x, const struct core_v1_EndpointPort *y)
{
	return str_eq(x->name, y->name) && x->port == y->port && str_eq(x->protocol, y->protocol) &&
	       (!x->appProtocol || !y->appProtocol ? x->appProtocol == y->appProtocol
	                                           : str_eq(*x->appProtocol, *y->appProtocol));
}

static bool ports_equal(const struct core_v1_EndpointPort_list *x, const struct core_v1_EndpointPort_list *y)
{
	if (x->n != y->n)
		return false;
	for (size_t i = 0; i < x->n; i++)
		if (!port_equal(&x->v[i], &y->v[i]))
			return false;
	return true;
}

static int by_address(const void *x, const void *y)
{
	const struct core_v1_EndpointAddress *a = x, *b = y;
	int d = str_cmp(a->ip, b->ip);
	return d ? d : a->targetRef && b->targetRef ? str_cmp(a->targetRef->uid, b->targetRef->uid) : 0;
}

// The first family of the Service is the only one that Endpoints show.
static bool first_family_v6(const struct core_v1_Service *s)
{
	if (s->spec.ipFamilies.n)
		return str_eq(s->spec.ipFamilies.v[0], S("IPv6"));
	return !service_headless(s) && address_is_ipv6(s->spec.clusterIP);
}

static struct core_v1_EndpointPort_list ports_of(struct arena *a, const struct core_v1_Service *s,
                                                 const struct core_v1_Pod *p)
{
	struct core_v1_EndpointPort_list ports = { 0 };
	for (size_t i = 0; i < s->spec.ports.n; i++) {
		const struct core_v1_ServicePort *sp = &s->spec.ports.v[i];
		int32_t number;
		if (pod_port(p, sp, &number))
			*LIST_ADD(a, &ports) =
			        (struct core_v1_EndpointPort){ .name = sp->name,
				                               .port = number,
				                               .protocol = sp->protocol.n ? sp->protocol : S("TCP"),
				                               .appProtocol = sp->appProtocol };
	}
	return ports;
}

// Pods with the same ports share a subset.
static struct core_v1_EndpointSubset_list subsets_of(struct arena *a, const struct core_v1_Service *s, struct held pods)
{
	struct core_v1_EndpointSubset_list subsets = { 0 };
	bool v6 = first_family_v6(s);
	for (size_t i = 0; i < pods.n; i++) {
		const struct core_v1_Pod *p = pods.v[i];
		str ip = pod_address(p, v6);
		if (!pod_has_endpoint(p, s->spec.publishNotReadyAddresses) || str_empty(ip))
			continue;
		struct core_v1_EndpointPort_list ports = ports_of(a, s, p);
		if (ports.n == 0 && (s->spec.ports.n > 0 || !str_eq(s->spec.clusterIP, S("None"))))
			continue;
		struct core_v1_EndpointAddress address = { .ip = ip, .targetRef = pod_reference(a, p) };
		if (p->spec.nodeName.n) {
			address.nodeName = ARENA_NEW(a, str);
			*address.nodeName = p->spec.nodeName;
		}
		if (pod_has_own_name(p, s))
			address.hostname = p->spec.hostname;
		size_t g = 0;
		while (g < subsets.n && !ports_equal(&subsets.v[g].ports, &ports))
			g++;
		if (g == subsets.n)
			LIST_ADD(a, &subsets)->ports = ports;
		bool ready = s->spec.publishNotReadyAddresses || pod_is_ready(p);
		*LIST_ADD(a, ready ? &subsets.v[g].addresses : &subsets.v[g].notReadyAddresses) = address;
	}
	for (size_t g = 0; g < subsets.n; g++) {
		sort_items(subsets.v[g].addresses.v, subsets.v[g].addresses.n, sizeof(*subsets.v[g].addresses.v),
		           by_address);
		sort_items(subsets.v[g].notReadyAddresses.v, subsets.v[g].notReadyAddresses.n,
		           sizeof(*subsets.v[g].notReadyAddresses.v), by_address);
	}
	return subsets;
}

// At most 1,000 addresses, those that are ready first. True: some were cut off.
static bool cut_to_capacity(struct core_v1_EndpointSubset_list *s)
{
	size_t left = MAX_ADDRESSES;
	bool cut = false;
	for (int ready = 1; ready >= 0; ready--)
		for (size_t i = 0; i < s->n; i++) {
			struct core_v1_EndpointAddress_list *l =
			        ready ? &s->v[i].addresses : &s->v[i].notReadyAddresses;
			cut |= l->n > left;
			l->n = MIN(l->n, left);
			left -= l->n;
		}
	return cut;
}

static bool remove_endpoints(struct endpoints *c, struct arena *a, str ns, str name, struct error *err)
{
	const struct core_v1_Endpoints *e = held_get(a, c->endpoints, ns, name);
	if (!e || str_map_find(&e->metadata.annotations, S("control-plane.alpha.kubernetes.io/leader"), &(str){ 0 }))
		return true;
	return client_delete(c->m->client, c->m->r.endpoints, ns, name, NULL, err) || err->code == 404;
}

static bool reconcile(void *ctx, struct arena *a, str key, struct error *err)
{
	struct endpoints *c = ctx;
	str ns, name;
	key_split(key, &ns, &name);
	const struct core_v1_Service *s = held_get(a, c->services, ns, name);
	if (!s)
		return remove_endpoints(c, a, ns, name, err);
	if (!service_selects(s) || s->metadata.deletionTimestamp)
		return true;
	struct held pods = service_pods(a, c->pods, s);
	const struct core_v1_Endpoints *have = held_get(a, c->endpoints, ns, name);
	struct core_v1_Endpoints e = { .metadata = { .name = name, .namespace = ns },
		                       .subsets = subsets_of(a, s, pods) };
	if (have)
		e.metadata = ((struct core_v1_Endpoints *)schema_clone(a, core_v1_Endpoints_desc, have))->metadata;
	bool cut = cut_to_capacity(&e.subsets);
	e.metadata.labels = (struct str_map){ 0 };
	for (size_t i = 0; i < s->metadata.labels.n; i++)
		str_map_set(a, &e.metadata.labels, s->metadata.labels.v[i].key, s->metadata.labels.v[i].value);
	str_map_del(&e.metadata.labels, HEADLESS_LABEL);
	if (service_headless(s))
		str_map_set(a, &e.metadata.labels, HEADLESS_LABEL, S(""));
	str_map_set(a, &e.metadata.labels, MANAGED_LABEL, S(COMPONENT));
	if (cut)
		str_map_set(a, &e.metadata.annotations, OVER_CAPACITY, S("truncated"));
	else
		str_map_del(&e.metadata.annotations, OVER_CAPACITY);
	if (have) {
		struct core_v1_Endpoints before = *have;
		before.apiVersion = e.apiVersion;
		before.kind = e.kind;
		if (schema_equal(core_v1_Endpoints_desc, &before, &e))
			return true;
	}
	str_map_set(a, &e.metadata.annotations, TRIGGER_TIME_ANNOTATION, trigger_time(a, s, pods));
	const void *done = have ? client_update(c->m->client, a, c->m->r.endpoints, NULL, &e, err)
	                        : client_create(c->m->client, a, c->m->r.endpoints, ns, &e, err);
	if (done || error_namespace_terminating(err))
		return true;
	if (err->code != 409)
		EVENT(c->m, COMPONENT, c->m->r.endpoints, &e.metadata, "Warning",
		      have ? "FailedToUpdateEndpoint" : "FailedToCreateEndpoint",
		      have ? "Failed to update endpoint " STR_FMT "/" STR_FMT ": %s"
		           : "Failed to create endpoint for service " STR_FMT "/" STR_FMT ": %s",
		      STR_ARG(ns), STR_ARG(name), err->text);
	return false;
}

void *endpoints_setup(struct manager *m)
{
	struct endpoints *c = ARENA_NEW(m->arena, struct endpoints);
	*c = (struct endpoints){ .m = m,
		                 .services = manager_informer(m, m->r.services),
		                 .pods = manager_informer(m, m->r.pods),
		                 .endpoints = manager_informer(m, m->r.endpoints),
		                 .queue = manager_queue(m) };
	informer_add_index(c->services, INDEX_NAMESPACE, index_namespace);
	informer_add_index(c->pods, INDEX_NAMESPACE, index_namespace);
	informer_add_handler(c->services, &(struct informer_handler){ service_changed, c });
	informer_add_handler(c->pods, &(struct informer_handler){ pod_changed, c });
	informer_add_handler(c->endpoints, &(struct informer_handler){ endpoints_changed, c });
	return c;
}

void endpoints_run(void *self)
{
	struct endpoints *c = self;
	workqueue_run(c->queue, "endpoints", (int)c->m->options->concurrent_syncs, reconcile, c);
}
