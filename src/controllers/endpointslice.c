// EndpointSlices: which addresses stand behind a Service. Rule: upstream pkg/controller/endpointslice; the lay-out is slices.c.
#include "base/heap.h"
#include "base/log.h"
#include "client/thread.h"
#include "controllers/service_util.h"
#include "controllers/slices.h"

#define COMPONENT "endpoint-slice-controller"
#define SERVICE_LABEL S("kubernetes.io/service-name")
#define MANAGED_LABEL S("endpointslice.kubernetes.io/managed-by")
#define MANAGED_VALUE S("endpointslice-controller.k8s.io")
#define INDEX_SERVICE "service"

enum { PENDING_S = 10 };

struct endpointslice {
	struct manager *m;
	struct informer *services, *pods, *nodes, *slices;
	struct workqueue *queue;
	// Slices that were written and that the informer has not shown yet: a Service that has some waits for them, otherwise it
	// would be reconciled against its own past.
	pthread_mutex_t lock;
	struct map pending; // "namespace/service" -> struct pending
};

struct pending {
	struct map slices; // name -> resourceVersion as text, NULL for a deletion
	int64_t since;
};

static bool is_ours(const slice *s)
{
	return str_eq(str_map_get(&s->metadata.labels, MANAGED_LABEL), MANAGED_VALUE);
}

static void pending_free(struct pending *p)
{
	for (struct map_slot *s = NULL; (s = map_each(&p->slices, s));)
		free(s->value);
	map_free(&p->slices);
	free(p);
}

static void expect_slice(struct endpointslice *c, str key, str name, str version)
{
	THREAD_LOCKED(&c->lock);
	struct pending *p = map_get(&c->pending, key);
	if (!p)
		map_put(&c->pending, key, p = HEAP_NEW(struct pending));
	free(map_put(&p->slices, name, version.n ? heap_cstr(version) : NULL));
	p->since = clock_mono(c->m->clock);
}

// Whether everything written for the Service has been seen (or is so long ago that it does not matter).
static bool caught_up(struct endpointslice *c, str key)
{
	_cleanup_arena_ struct arena *a = arena_new(512);
	THREAD_LOCKED(&c->lock);
	struct pending *p = map_get(&c->pending, key);
	if (!p)
		return true;
	str ns, service;
	key_split(key, &ns, &service);
	bool late = clock_mono(c->m->clock) - p->since > PENDING_S * NS_PER_SEC;
	for (struct map_slot *s = NULL; !late && (s = map_each(&p->slices, s));) {
		const any_object *seen = held_get(a, c->slices, ns, s->key);
		int64_t have, want;
		if (s->value ? !seen || !str_to_i64(seen->metadata.resourceVersion, &have) ||
		                       !str_to_i64(str_c(s->value), &want) || have < want
		             : seen != NULL)
			return false;
	}
	map_del(&c->pending, key);
	pending_free(p);
	return true;
}

// --- Handlers ---

static void service_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct endpointslice *c = ctx;
	queue_object(c->queue, changed_object(old, obj));
}

static void pod_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct endpointslice *c = ctx;
	service_pod_changed(c->services, c->queue, old, obj);
}

static void slice_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct endpointslice *c = ctx;
	const slice *s = changed_object(old, obj);
	str service = str_map_get(&s->metadata.labels, SERVICE_LABEL);
	if (!is_ours(s) || str_empty(service))
		return;
	_cleanup_arena_ struct arena *a = arena_new(512);
	workqueue_add(c->queue, key_of(a, s->metadata.namespace, service));
}

static str zone_of(const struct core_v1_Node *n)
{
	return str_map_get(&n->metadata.labels, S("topology.kubernetes.io/zone"));
}

// Zones are written into endpoints: a node that gets one late touches its Services.
static void node_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct endpointslice *c = ctx;
	if (!obj || str_eq(old ? zone_of(object_of(old)) : S(""), zone_of(object_of(obj))))
		return;
	_cleanup_arena_ struct arena *a = arena_new(1024);
	struct held all = held_list(a, c->services);
	for (size_t i = 0; i < all.n; i++)
		if (service_selects(all.v[i]))
			queue_object(c->queue, all.v[i]);
}

static void index_service(const void *obj, struct arena *a, struct str_list *keys)
{
	const slice *s = obj;
	if (is_ours(s))
		*LIST_ADD(a, keys) = key_of(a, s->metadata.namespace, str_map_get(&s->metadata.labels, SERVICE_LABEL));
}

// --- Reconcile ---

struct family {
	struct endpointslice *c;
	const struct core_v1_Service *service;
	const char *type;
	struct str_map labels;
	str trigger;
};

static slice *fresh_slice(struct arena *a, void *ctx)
{
	const struct family *f = ctx;
	slice *s = ARENA_NEW(a, slice);
	struct owner o = { f->c->m->r.services, S("v1"), S("Service"), &f->service->metadata, COMPONENT };
	s->metadata.generateName = arena_concat(a, str_sub(f->service->metadata.name, 0, 252), S("-"));
	s->metadata.namespace = f->service->metadata.namespace;
	s->metadata.labels = f->labels;
	*LIST_ADD(a, &s->metadata.ownerReferences) = owner_reference(a, &o);
	s->addressType = str_c(f->type);
	return s;
}

static bool *flag(struct arena *a, bool v)
{
	bool *p = ARENA_NEW(a, bool);
	*p = v;
	return p;
}

static str *text(struct arena *a, str v)
{
	str *p = ARENA_NEW(a, str);
	*p = v;
	return p;
}

static struct discovery_v1_Endpoint endpoint_of(struct endpointslice *c, struct arena *a,
                                                const struct core_v1_Service *s, const struct core_v1_Pod *p,
                                                str address)
{
	struct discovery_v1_Endpoint e = { .targetRef = pod_reference(a, p) };
	bool serving = pod_is_ready(p), terminating = p->metadata.deletionTimestamp != NULL;
	*LIST_ADD(a, &e.addresses) = address;
	e.conditions.ready = flag(a, s->spec.publishNotReadyAddresses || (serving && !terminating));
	e.conditions.serving = flag(a, serving);
	e.conditions.terminating = flag(a, terminating);
	if (p->spec.nodeName.n) {
		e.nodeName = text(a, p->spec.nodeName);
		const struct core_v1_Node *node = held_get(a, c->nodes, S(""), p->spec.nodeName);
		if (node && zone_of(node).n)
			e.zone = text(a, zone_of(node));
	}
	if (pod_has_own_name(p, s))
		e.hostname = text(a, p->spec.hostname);
	return e;
}

static struct discovery_v1_EndpointPort_list ports_of(struct arena *a, const struct core_v1_Service *s,
                                                      const struct core_v1_Pod *p)
{
	struct discovery_v1_EndpointPort_list ports = { 0 };
	for (size_t i = 0; i < s->spec.ports.n; i++) {
		const struct core_v1_ServicePort *sp = &s->spec.ports.v[i];
		int32_t number;
		if (!pod_port(p, sp, &number))
			continue; // this pod does not serve it
		int32_t *port = ARENA_NEW(a, int32_t);
		*port = number;
		*LIST_ADD(a, &ports) =
		        (struct discovery_v1_EndpointPort){ .name = text(a, sp->name),
			                                    .protocol =
			                                            text(a, sp->protocol.n ? sp->protocol : S("TCP")),
			                                    .port = port,
			                                    .appProtocol = sp->appProtocol };
	}
	return ports;
}

static struct port_groups groups_of(struct endpointslice *c, struct arena *a, const struct core_v1_Service *s,
                                    struct held pods, bool ipv6)
{
	struct port_groups groups = { 0 };
	for (size_t i = 0; i < pods.n; i++) {
		const struct core_v1_Pod *p = pods.v[i];
		str address = pod_address(p, ipv6);
		if (!pod_has_endpoint(p, true) || str_empty(address))
			continue;
		struct discovery_v1_EndpointPort_list ports = ports_of(a, s, p);
		size_t g = 0;
		while (g < groups.n && !ports_equal(&groups.v[g].ports, &ports))
			g++;
		if (g == groups.n)
			LIST_ADD(a, &groups)->ports = ports;
		*LIST_ADD(a, &groups.v[g].endpoints) = endpoint_of(c, a, s, p, address);
	}
	return groups;
}

static bool reserved_label(str key)
{
	return str_eq(key, SERVICE_LABEL) || str_eq(key, MANAGED_LABEL) || str_eq(key, HEADLESS_LABEL);
}

static struct str_map labels_of(struct arena *a, const struct core_v1_Service *s)
{
	struct str_map labels = { 0 };
	for (size_t i = 0; i < s->metadata.labels.n; i++)
		if (!reserved_label(s->metadata.labels.v[i].key))
			str_map_set(a, &labels, s->metadata.labels.v[i].key, s->metadata.labels.v[i].value);
	str_map_set(a, &labels, SERVICE_LABEL, s->metadata.name);
	str_map_set(a, &labels, MANAGED_LABEL, MANAGED_VALUE);
	if (service_headless(s))
		str_map_set(a, &labels, HEADLESS_LABEL, S(""));
	return labels;
}

static bool same_map(const struct str_map *x, const struct str_map *y)
{
	return schema_equal(meta_v1_LabelSelector_desc, &(struct meta_v1_LabelSelector){ .matchLabels = *x },
	                    &(struct meta_v1_LabelSelector){ .matchLabels = *y });
}

static bool write_slices(struct family *f, struct arena *a, str key, struct slice_list have, struct slice_plan *plan,
                         struct error *err)
{
	struct endpointslice *c = f->c;
	for (size_t i = 0; i < plan->create.n; i++) {
		slice *s = plan->create.v[i];
		str_map_set(a, &s->metadata.annotations, TRIGGER_TIME_ANNOTATION, f->trigger);
		const slice *made =
		        client_create(c->m->client, a, c->m->r.endpointslices, s->metadata.namespace, s, err);
		if (!made)
			return error_namespace_terminating(err);
		expect_slice(c, key, made->metadata.name, made->metadata.resourceVersion);
	}
	for (size_t i = 0; i < plan->update.n; i++)
		str_map_set(a, &plan->update.v[i]->metadata.annotations, TRIGGER_TIME_ANNOTATION, f->trigger);
	// The Service's labels may have changed where endpoints have not.
	for (size_t i = 0; i < have.n; i++) {
		bool planned = false;
		for (size_t k = 0; k < plan->update.n; k++)
			planned |= plan->update.v[k] == have.v[i];
		for (size_t k = 0; k < plan->remove.n; k++)
			planned |= plan->remove.v[k] == have.v[i];
		if (!planned && !same_map(&have.v[i]->metadata.labels, &f->labels))
			*LIST_ADD(a, &plan->update) = have.v[i];
	}
	for (size_t i = 0; i < plan->update.n; i++) {
		slice *s = plan->update.v[i];
		s->metadata.labels = f->labels;
		const slice *now = client_update(c->m->client, a, c->m->r.endpointslices, NULL, s, err);
		if (!now)
			return false;
		expect_slice(c, key, now->metadata.name, now->metadata.resourceVersion);
	}
	for (size_t i = 0; i < plan->remove.n; i++) {
		const slice *s = plan->remove.v[i];
		if (!client_delete(c->m->client, c->m->r.endpointslices, s->metadata.namespace, s->metadata.name, NULL,
		                   err)) {
			if (err->code != 404)
				return false;
			*err = (struct error){ 0 };
		}
		expect_slice(c, key, s->metadata.name, S(""));
	}
	return true;
}

static bool reconcile_family(struct endpointslice *c, struct arena *a, str key, const struct core_v1_Service *s,
                             struct held pods, struct held cached, bool ipv6, struct error *err)
{
	struct family f = { .c = c,
		            .service = s,
		            .type = ipv6 ? "IPv6" : "IPv4",
		            .labels = labels_of(a, s),
		            .trigger = trigger_time(a, s, pods) };
	struct slice_list have = { 0 };
	for (size_t i = 0; i < cached.n; i++) {
		const slice *one = cached.v[i];
		if (str_eqc(one->addressType, f.type) && !one->metadata.deletionTimestamp)
			*LIST_ADD(a, &have) = schema_clone(a, discovery_v1_EndpointSlice_desc, one);
	}
	struct slice_plan plan;
	slices_plan(a, groups_of(c, a, s, pods, ipv6), have, fresh_slice, &f, &plan);
	return write_slices(&f, a, key, have, &plan, err);
}

static bool has_family(const struct core_v1_Service *s, bool ipv6)
{
	for (size_t i = 0; i < s->spec.ipFamilies.n; i++)
		if (str_eq(s->spec.ipFamilies.v[i], ipv6 ? S("IPv6") : S("IPv4")))
			return true;
	if (s->spec.ipFamilies.n)
		return false;
	return service_headless(s) ? !ipv6 : address_is_ipv6(s->spec.clusterIP) == ipv6;
}

static bool reconcile(void *ctx, struct arena *a, str key, struct error *err)
{
	struct endpointslice *c = ctx;
	str ns, name;
	key_split(key, &ns, &name);
	const struct core_v1_Service *s = held_get(a, c->services, ns, name);
	if (!s || !service_selects(s) || s->metadata.deletionTimestamp)
		return true;
	if (!caught_up(c, key)) {
		workqueue_add_after(c->queue, key, 1000); // the slice's own event comes sooner
		return true;
	}
	struct held pods = service_pods(a, c->pods, s), slices = held_by_index(a, c->slices, INDEX_SERVICE, key);
	for (int v6 = 0; v6 < 2; v6++) {
		if (has_family(s, v6)) {
			if (!reconcile_family(c, a, key, s, pods, slices, v6, err)) {
				if (err->code != 409)
					EVENT(c->m, COMPONENT, c->m->r.services, &s->metadata, "Warning",
					      "FailedToUpdateEndpointSlices",
					      "Error updating Endpoint Slices for Service " STR_FMT "/" STR_FMT ": %s",
					      STR_ARG(ns), STR_ARG(name), err->text);
				return false;
			}
			continue;
		}
		// A family that the Service has no more.
		for (size_t i = 0; i < slices.n; i++) {
			const slice *one = slices.v[i];
			if (str_eq(one->addressType, v6 ? S("IPv6") : S("IPv4")) && !one->metadata.deletionTimestamp &&
			    !client_delete(c->m->client, c->m->r.endpointslices, ns, one->metadata.name, NULL, err) &&
			    err->code != 404)
				return false;
		}
	}
	return true;
}

void *endpointslice_setup(struct manager *m)
{
	struct endpointslice *c = ARENA_NEW(m->arena, struct endpointslice);
	*c = (struct endpointslice){ .m = m,
		                     .services = manager_informer(m, m->r.services),
		                     .pods = manager_informer(m, m->r.pods),
		                     .nodes = manager_informer(m, m->r.nodes),
		                     .slices = manager_informer(m, m->r.endpointslices),
		                     .queue = manager_queue(m) };
	pthread_mutex_init(&c->lock, NULL);
	informer_add_index(c->services, INDEX_NAMESPACE, index_namespace);
	informer_add_index(c->pods, INDEX_NAMESPACE, index_namespace);
	informer_add_index(c->slices, INDEX_SERVICE, index_service);
	informer_add_handler(c->services, &(struct informer_handler){ service_changed, c });
	informer_add_handler(c->pods, &(struct informer_handler){ pod_changed, c });
	informer_add_handler(c->slices, &(struct informer_handler){ slice_changed, c });
	informer_add_handler(c->nodes, &(struct informer_handler){ node_changed, c });
	return c;
}

void endpointslice_run(void *self)
{
	struct endpointslice *c = self;
	workqueue_run(c->queue, "endpointslice", (int)c->m->options->concurrent_syncs, reconcile, c);
}
