#include "scheduler/cache.h"

#include "base/heap.h"

enum { DEFAULT_SCORE_CPU = 100 };
#define DEFAULT_SCORE_MEMORY (INT64_C(200) << 20)

int64_t *resources_scalar(struct arena *a, struct resources *r, str name)
{
	for (size_t i = 0; i < r->scalars.n; i++)
		if (str_eq(r->scalars.v[i].name, name))
			return &r->scalars.v[i].value;
	struct scalar *s = LIST_ADD(a, &r->scalars);
	s->name = arena_dup(a, name);
	return &s->value;
}

int64_t resources_scalar_get(const struct resources *r, str name)
{
	for (size_t i = 0; i < r->scalars.n; i++)
		if (str_eq(r->scalars.v[i].name, name))
			return r->scalars.v[i].value;
	return 0;
}

static struct resources resources_of(struct arena *a, const struct quantity_map *m)
{
	struct resources r = { 0 };
	for (size_t i = 0; i < m->n; i++) {
		str name = m->v[i].key;
		struct quantity q = m->v[i].value;
		if (str_eqc(name, "cpu"))
			r.cpu = quantity_milli(q);
		else if (str_eqc(name, "memory"))
			r.memory = quantity_value(q);
		else if (str_eqc(name, "ephemeral-storage"))
			r.storage = quantity_value(q);
		else if (str_eqc(name, "pods"))
			r.pods = quantity_value(q);
		else
			*resources_scalar(a, &r, name) = quantity_value(q);
	}
	return r;
}

// Requests for scoring: a container that asks for nothing still uses something (upstream: GetNonzeroRequests).
static void score_requests(struct pod_info *p)
{
	const struct core_v1_PodSpec *s = &p->pod->spec;
	p->score_cpu = p->request.cpu;
	p->score_memory = p->request.memory;
	for (size_t i = 0; i < s->containers.n; i++) {
		const struct quantity_map *q = &s->containers.v[i].resources.requests;
		struct quantity ignored;
		if (!quantity_map_get(q, S("cpu"), &ignored))
			p->score_cpu += DEFAULT_SCORE_CPU;
		if (!quantity_map_get(q, S("memory"), &ignored))
			p->score_memory += DEFAULT_SCORE_MEMORY;
	}
}

static void host_ports(struct pod_info *p, const struct core_v1_Container *c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < c[i].ports.n; k++) {
			const struct core_v1_ContainerPort *port = &c[i].ports.v[k];
			if (port->hostPort > 0)
				*LIST_ADD(p->arena, &p->ports) = (struct host_port){
					.ip = port->hostIP.n ? port->hostIP : S("0.0.0.0"),
					.protocol = port->protocol.n ? port->protocol : S("TCP"),
					.port = port->hostPort,
				};
		}
}

struct pod_info *pod_info_new(struct object_ref *ref)
{
	struct arena *a = arena_new(1024);
	struct pod_info *p = ARENA_NEW(a, struct pod_info);
	struct quantity_map requests = { 0 };
	p->arena = a;
	p->ref = object_ref(ref);
	p->pod = object_of(ref);
	p->key = arena_printf(a, STR_FMT "/" STR_FMT, STR_ARG(p->pod->metadata.namespace), STR_ARG(p->pod->metadata.name));
	p->priority = p->pod->spec.priority ? *p->pod->spec.priority : 0;
	pod_requests(a, p->pod, &requests);
	p->request = resources_of(a, &requests);
	p->node_selector = selector_from_map(a, &p->pod->spec.nodeSelector);
	score_requests(p);
	host_ports(p, p->pod->spec.containers.v, p->pod->spec.containers.n);
	host_ports(p, p->pod->spec.initContainers.v, p->pod->spec.initContainers.n);
	return p;
}

void pod_info_free(struct pod_info *p)
{
	object_unref(p->ref);
	arena_free(p->arena);
}

static struct node_info *node_get(struct node_cache *c, str name)
{
	struct node_info *n = map_get(&c->nodes, name);
	if (n)
		return n;
	n = HEAP_NEW(struct node_info);
	n->arena = arena_new(1024);
	n->name = str_n(heap_cstr(name), name.n);
	map_put(&c->nodes, name, n);
	if (c->list.n == c->list.cap) {
		c->list.cap = c->list.cap ? c->list.cap * 2 : 16;
		c->list.v = heap_realloc(c->list.v, c->list.cap * sizeof(struct node_info *));
	}
	n->slot = c->list.n;
	c->list.v[c->list.n++] = n;
	return n;
}

static void node_drop(struct node_cache *c, struct node_info *n)
{
	map_del(&c->nodes, n->name);
	c->list.v[n->slot] = c->list.v[--c->list.n];
	c->list.v[n->slot]->slot = n->slot;
	object_unref(n->ref);
	arena_free(n->arena);
	free((char *)n->name.p);
	free(n->pods.v);
	free(n);
}

// Requested scalars live in the node's arena, which is made anew with the node: sum them again.
static void recount_scalars(struct node_info *n)
{
	n->requested.scalars.v = NULL;
	n->requested.scalars.n = 0;
	for (size_t i = 0; i < n->pods.n; i++) {
		const struct resources *r = &n->pods.v[i]->request;
		for (size_t k = 0; k < r->scalars.n; k++)
			*resources_scalar(n->arena, &n->requested, r->scalars.v[k].name) += r->scalars.v[k].value;
	}
}

static bool same_map(const struct str_map *x, const struct str_map *y)
{
	if (x->n != y->n)
		return false;
	for (size_t i = 0; i < x->n; i++)
		if (!str_eq(x->v[i].key, y->v[i].key) || !str_eq(x->v[i].value, y->v[i].value))
			return false;
	return true;
}

static uint32_t node_changes(const struct core_v1_Node *old, const struct core_v1_Node *new)
{
	uint32_t e = 0;
	if (!same_map(&old->metadata.labels, &new->metadata.labels))
		e |= EV_NODE_LABEL;
	if (old->spec.unschedulable != new->spec.unschedulable ||
	    old->spec.taints.n != new->spec.taints.n)
		e |= EV_NODE_TAINT;
	else
		for (size_t i = 0; i < old->spec.taints.n; i++)
			if (!schema_equal(core_v1_Taint_desc, &old->spec.taints.v[i], &new->spec.taints.v[i]))
				e |= EV_NODE_TAINT;
	const struct quantity_map *x = &old->status.allocatable, *y = &new->status.allocatable;
	bool same = x->n == y->n;
	for (size_t i = 0; same && i < x->n; i++)
		same = str_eq(x->v[i].key, y->v[i].key) && quantity_cmp(x->v[i].value, y->v[i].value) == 0;
	return same ? e : e | EV_NODE_ALLOCATABLE;
}

uint32_t node_cache_set(struct node_cache *c, struct object_ref *ref)
{
	const struct core_v1_Node *node = object_of(ref);
	struct node_info *n = node_get(c, node->metadata.name);
	uint32_t events = n->node ? node_changes(n->node, node) : EV_NODE_ADD;
	struct object_ref *old = n->ref;
	n->ref = object_ref(ref);
	n->node = node;
	object_unref(old);
	if (events) {
		struct arena *before = n->arena;
		n->arena = arena_new(1024);
		n->allocatable = resources_of(n->arena, &node->status.allocatable);
		recount_scalars(n);
		arena_free(before);
	}
	return events;
}

void node_cache_remove(struct node_cache *c, str name)
{
	struct node_info *n = map_get(&c->nodes, name);
	if (!n)
		return;
	object_unref(n->ref);
	n->ref = NULL;
	n->node = NULL;
	n->allocatable = (struct resources){ 0 };
	if (n->pods.n == 0)
		node_drop(c, n);
}

static void count(struct node_info *n, const struct pod_info *p, int64_t sign)
{
	n->requested.cpu += sign * p->request.cpu;
	n->requested.memory += sign * p->request.memory;
	n->requested.storage += sign * p->request.storage;
	n->score_cpu += sign * p->score_cpu;
	n->score_memory += sign * p->score_memory;
	for (size_t i = 0; i < p->request.scalars.n; i++)
		*resources_scalar(n->arena, &n->requested, p->request.scalars.v[i].name) += sign * p->request.scalars.v[i].value;
}

void node_cache_place(struct node_cache *c, struct pod_info *p, str node)
{
	struct node_info *n = node_get(c, node);
	if (n->pods.n == n->pods.cap) {
		n->pods.cap = n->pods.cap ? n->pods.cap * 2 : 8;
		n->pods.v = heap_realloc(n->pods.v, n->pods.cap * sizeof(struct pod_info *));
	}
	p->node = n;
	p->node_slot = n->pods.n;
	n->pods.v[n->pods.n++] = p;
	count(n, p, 1);
}

void node_cache_unplace(struct node_cache *c, struct pod_info *p)
{
	struct node_info *n = p->node;
	if (!n)
		return;
	count(n, p, -1);
	n->pods.v[p->node_slot] = n->pods.v[--n->pods.n];
	n->pods.v[p->node_slot]->node_slot = p->node_slot;
	p->node = NULL;
	if (!n->node && n->pods.n == 0)
		node_drop(c, n);
}

void node_cache_free(struct node_cache *c)
{
	while (c->list.n)
		node_drop(c, c->list.v[c->list.n - 1]);
	free(c->list.v);
	map_free(&c->nodes);
}
