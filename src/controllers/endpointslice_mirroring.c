// Endpoints that a user keeps for a Service without a selector are shown as EndpointSlices, too: that is what proxies read.
// Rule: upstream pkg/controller/endpointslicemirroring.
#include "controllers/service_util.h"
#include "controllers/slices.h"

#define COMPONENT "endpoint-slice-mirroring-controller"
#define SERVICE_LABEL S("kubernetes.io/service-name")
#define MANAGED_LABEL S("endpointslice.kubernetes.io/managed-by")
#define MANAGED_VALUE S("endpointslicemirroring-controller.k8s.io")
#define SKIP_LABEL S("endpointslice.kubernetes.io/skip-mirror")
#define INDEX_MIRRORED "mirrored"

enum { MAX_PER_SUBSET = 1000 };

struct mirroring {
	struct manager *m;
	struct informer *endpoints, *slices, *services;
	struct workqueue *queue;
};

static void named_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct mirroring *c = ctx;
	queue_object(c->queue, changed_object(old, obj));
}

static bool is_ours(const slice *s)
{
	return str_eq(str_map_get(&s->metadata.labels, MANAGED_LABEL), MANAGED_VALUE);
}

static void slice_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct mirroring *c = ctx;
	const slice *s = changed_object(old, obj);
	if (!is_ours(s) || (obj && !old))
		return;
	_cleanup_arena_ struct arena *a = arena_new(512);
	workqueue_add(c->queue, key_of(a, s->metadata.namespace, str_map_get(&s->metadata.labels, SERVICE_LABEL)));
}

static void index_mirrored(const void *obj, struct arena *a, struct str_list *keys)
{
	const slice *s = obj;
	if (is_ours(s))
		*LIST_ADD(a, keys) = key_of(a, s->metadata.namespace, str_map_get(&s->metadata.labels, SERVICE_LABEL));
}

// Endpoints of a Service with a selector are another controller's; some ask not to be mirrored.
static bool mirrored(const struct core_v1_Endpoints *e, const struct core_v1_Service *s)
{
	return e && s && !e->metadata.deletionTimestamp && s->spec.selector.n == 0 &&
	       !str_eq(str_map_get(&e->metadata.labels, SKIP_LABEL), S("true")) &&
	       !str_map_find(&e->metadata.annotations, S("control-plane.alpha.kubernetes.io/leader"), &(str){ 0 });
}

static void add_addresses(struct arena *a, const struct core_v1_EndpointAddress_list *from, bool ready, bool ipv6,
                          size_t *left, struct discovery_v1_Endpoint_list *to)
{
	for (size_t i = 0; i < from->n && *left; i++) {
		const struct core_v1_EndpointAddress *address = &from->v[i];
		if (address_is_ipv6(address->ip) != ipv6)
			continue;
		struct discovery_v1_Endpoint *e = LIST_ADD(a, to);
		*LIST_ADD(a, &e->addresses) = address->ip;
		e->conditions.ready = ARENA_NEW(a, bool);
		*e->conditions.ready = ready;
		e->targetRef = address->targetRef;
		e->nodeName = address->nodeName;
		if (address->hostname.n) {
			e->hostname = ARENA_NEW(a, str);
			*e->hostname = address->hostname;
		}
		(*left)--;
	}
}

static struct port_groups groups_of(struct arena *a, const struct core_v1_Endpoints *e, bool ipv6)
{
	struct port_groups groups = { 0 };
	for (size_t i = 0; i < e->subsets.n; i++) {
		const struct core_v1_EndpointSubset *s = &e->subsets.v[i];
		struct port_group g = { 0 };
		size_t left = MAX_PER_SUBSET;
		for (size_t k = 0; k < s->ports.n; k++) {
			// The texts stay where they are: the Endpoints are held until the round is over.
			struct core_v1_EndpointPort *p = &s->ports.v[k];
			*LIST_ADD(a, &g.ports) = (struct discovery_v1_EndpointPort){ .name = &p->name,
				                                                     .port = &p->port,
				                                                     .protocol = &p->protocol,
				                                                     .appProtocol = p->appProtocol };
		}
		add_addresses(a, &s->addresses, true, ipv6, &left, &g.endpoints);
		add_addresses(a, &s->notReadyAddresses, false, ipv6, &left, &g.endpoints);
		if (g.endpoints.n)
			*LIST_ADD(a, &groups) = g;
	}
	return groups;
}

struct family {
	const struct mirroring *c;
	const struct core_v1_Endpoints *endpoints;
	const char *type;
	struct str_map labels, annotations;
};

static slice *fresh_slice(struct arena *a, void *ctx)
{
	const struct family *f = ctx;
	slice *s = ARENA_NEW(a, slice);
	struct owner o = { f->c->m->r.endpoints, S("v1"), S("Endpoints"), &f->endpoints->metadata, COMPONENT };
	s->metadata.generateName = arena_concat(a, str_sub(f->endpoints->metadata.name, 0, 252), S("-"));
	s->metadata.namespace = f->endpoints->metadata.namespace;
	s->metadata.labels = f->labels;
	s->metadata.annotations = f->annotations;
	*LIST_ADD(a, &s->metadata.ownerReferences) = owner_reference(a, &o);
	s->addressType = str_c(f->type);
	return s;
}

static void describe(struct arena *a, struct family *f)
{
	const struct meta_v1_ObjectMeta *m = &f->endpoints->metadata;
	for (size_t i = 0; i < m->labels.n; i++)
		if (!str_eq(m->labels.v[i].key, SKIP_LABEL) && !str_eq(m->labels.v[i].key, HEADLESS_LABEL))
			str_map_set(a, &f->labels, m->labels.v[i].key, m->labels.v[i].value);
	str_map_set(a, &f->labels, SERVICE_LABEL, m->name);
	str_map_set(a, &f->labels, MANAGED_LABEL, MANAGED_VALUE);
	for (size_t i = 0; i < m->annotations.n; i++)
		if (!str_eq(m->annotations.v[i].key, S("kubectl.kubernetes.io/last-applied-configuration")) &&
		    !str_eq(m->annotations.v[i].key, TRIGGER_TIME_ANNOTATION))
			str_map_set(a, &f->annotations, m->annotations.v[i].key, m->annotations.v[i].value);
}

static bool delete_slice(struct mirroring *c, const slice *s, struct error *err)
{
	if (!client_delete(c->m->client, c->m->r.endpointslices, s->metadata.namespace, s->metadata.name, NULL, err) &&
	    err->code != 404)
		return false;
	*err = (struct error){ 0 };
	return true;
}

static bool reconcile_family(struct mirroring *c, struct arena *a, const struct core_v1_Endpoints *e,
                             struct held cached, bool ipv6, struct error *err)
{
	struct family f = { .c = c, .endpoints = e, .type = ipv6 ? "IPv6" : "IPv4" };
	struct slice_list have = { 0 };
	struct slice_plan plan;
	describe(a, &f);
	for (size_t i = 0; i < cached.n; i++) {
		const slice *s = cached.v[i];
		if (str_eqc(s->addressType, f.type) && !s->metadata.deletionTimestamp)
			*LIST_ADD(a, &have) = schema_clone(a, discovery_v1_EndpointSlice_desc, s);
	}
	struct port_groups want = groups_of(a, e, ipv6);
	if (want.n == 0) { // nothing is mirrored by nothing
		for (size_t i = 0; i < have.n; i++)
			if (!delete_slice(c, have.v[i], err))
				return false;
		return true;
	}
	slices_plan(a, want, have, fresh_slice, &f, &plan);
	for (size_t i = 0; i < plan.create.n; i++)
		if (!client_create(c->m->client, a, c->m->r.endpointslices, e->metadata.namespace, plan.create.v[i],
		                   err))
			return error_namespace_terminating(err);
	for (size_t i = 0; i < plan.update.n; i++) {
		plan.update.v[i]->metadata.labels = f.labels;
		if (!client_update(c->m->client, a, c->m->r.endpointslices, NULL, plan.update.v[i], err))
			return false;
	}
	for (size_t i = 0; i < plan.remove.n; i++)
		if (!delete_slice(c, plan.remove.v[i], err))
			return false;
	return true;
}

static bool reconcile(void *ctx, struct arena *a, str key, struct error *err)
{
	struct mirroring *c = ctx;
	str ns, name;
	key_split(key, &ns, &name);
	const struct core_v1_Endpoints *e = held_get(a, c->endpoints, ns, name);
	struct held slices = held_by_index(a, c->slices, INDEX_MIRRORED, key);
	if (!mirrored(e, held_get(a, c->services, ns, name))) {
		for (size_t i = 0; i < slices.n; i++)
			if (!delete_slice(c, slices.v[i], err))
				return false;
		return true;
	}
	// What was written a moment ago may not have come back yet: a new slice would be made twice. Such rounds are rare, so
	// the server is asked instead of the cache.
	const struct discovery_v1_EndpointSliceList *live =
	        client_list(c->m->client, a, c->m->r.endpointslices,
	                    &(struct list_opts){ .ns = ns,
	                                         .label_selector = arena_concat(a, SERVICE_LABEL, S("="), name, S(","),
	                                                                        MANAGED_LABEL, S("="), MANAGED_VALUE) },
	                    err);
	if (!live)
		return false;
	struct held now = { .v = arena_calloc(a, live->items.n + 1, sizeof(void *)), .n = live->items.n };
	for (size_t i = 0; i < live->items.n; i++)
		now.v[i] = &live->items.v[i];
	return reconcile_family(c, a, e, now, false, err) && reconcile_family(c, a, e, now, true, err);
}

void *endpointslice_mirroring_setup(struct manager *m)
{
	struct mirroring *c = ARENA_NEW(m->arena, struct mirroring);
	*c = (struct mirroring){ .m = m,
		                 .endpoints = manager_informer(m, m->r.endpoints),
		                 .slices = manager_informer(m, m->r.endpointslices),
		                 .services = manager_informer(m, m->r.services),
		                 .queue = manager_queue(m) };
	informer_add_index(c->slices, INDEX_MIRRORED, index_mirrored);
	informer_add_handler(c->endpoints, &(struct informer_handler){ named_changed, c });
	informer_add_handler(c->services, &(struct informer_handler){ named_changed, c });
	informer_add_handler(c->slices, &(struct informer_handler){ slice_changed, c });
	return c;
}

void endpointslice_mirroring_run(void *self)
{
	struct mirroring *c = self;
	workqueue_run(c->queue, "slice-mirroring", 1, reconcile, c);
}
