// Each node gets a part of the cluster's pod addresses (spec.podCIDRs). Rule: upstream pkg/controller/nodeipam/ipam/range_allocator.go.
#include "base/log.h"
#include "controllers/cidr.h"
#include "controllers/common.h"

#define COMPONENT "cidrAllocator"

enum { MAX_RANGES = 2 };

struct node_ipam {
	struct manager *m;
	struct informer *nodes;
	struct workqueue *queue;
	struct cidr_pool pools[MAX_RANGES];
	size_t npools;
	struct map taken; // node -> struct str_list of heap texts, to be given back; the worker's own
	struct arena *texts;
};

static void node_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct node_ipam *c = ctx;
	const struct core_v1_Node *n = changed_object(old, obj);
	if (!obj || !old || n->spec.podCIDRs.n == 0)
		queue_object(c->queue, n);
}

static void occupy(struct node_ipam *c, const struct core_v1_Node *n)
{
	if (map_has(&c->taken, n->metadata.name) || n->spec.podCIDRs.n == 0)
		return;
	struct str_list *l = ARENA_NEW(c->texts, struct str_list);
	for (size_t i = 0; i < n->spec.podCIDRs.n; i++) {
		bool inside = false;
		for (size_t p = 0; p < c->npools; p++)
			inside |= cidr_pool_take(&c->pools[p], n->spec.podCIDRs.v[i]);
		if (!inside)
			log_warn("node " STR_FMT ": its address range " STR_FMT " lies outside of the cluster's",
			         STR_ARG(n->metadata.name), STR_ARG(n->spec.podCIDRs.v[i]));
		*LIST_ADD(c->texts, l) = arena_dup(c->texts, n->spec.podCIDRs.v[i]);
	}
	map_put(&c->taken, n->metadata.name, l);
}

static void give_back(struct node_ipam *c, str name)
{
	const struct str_list *l = map_del(&c->taken, name);
	for (size_t i = 0; l && i < l->n; i++)
		for (size_t p = 0; p < c->npools; p++)
			cidr_pool_release(&c->pools[p], l->v[i]);
}

static bool reconcile(void *ctx, struct arena *a, str key, struct error *err)
{
	struct node_ipam *c = ctx;
	const struct core_v1_Node *n = held_get(a, c->nodes, S(""), key);
	if (!n) {
		give_back(c, key);
		return true;
	}
	if (n->spec.podCIDRs.n) {
		occupy(c, n);
		return true;
	}
	// What other nodes have is marked first: they may not have come through the queue yet.
	struct held all = held_list(a, c->nodes);
	for (size_t i = 0; i < all.n; i++)
		occupy(c, all.v[i]);
	if (map_has(&c->taken, key)) {
		// It was given one and the cache is behind, or it was deleted and made again.
		n = client_get(c->m->client, a, c->m->r.nodes, S(""), key, err);
		if (!n)
			return err->code == 404;
		if (n->spec.podCIDRs.n)
			return true;
		give_back(c, key);
	}
	struct value *list = value_array(a), *spec = value_object(a), *root = value_object(a);
	struct str_list got = { 0 };
	for (size_t p = 0; p < c->npools; p++) {
		str cidr = cidr_pool_next(a, &c->pools[p]);
		if (str_empty(cidr)) {
			for (size_t i = 0; i < got.n; i++)
				cidr_pool_release(&c->pools[i], got.v[i]);
			EVENT(c->m, COMPONENT, c->m->r.nodes, &n->metadata, "Normal", "CIDRNotAvailable",
			      "Node " STR_FMT " status is now: CIDRNotAvailable", STR_ARG(key));
			return error_set(err,
			                 "failed to allocate cidr from cluster cidr at idx:%zu: CIDR allocation "
			                 "failed; there are no remaining CIDRs left to allocate in the accepted range",
			                 p);
		}
		*LIST_ADD(a, &got) = cidr;
		value_append(a, list, value_string(a, cidr));
	}
	if (got.n == 0)
		return true; // there is no range at all
	value_set(a, spec, S("podCIDR"), value_string(a, got.v[0]));
	value_set(a, spec, S("podCIDRs"), list);
	value_set(a, root, S("spec"), spec);
	const struct core_v1_Node *now = client_patch(c->m->client, a, c->m->r.nodes, NULL, S(""), key, PATCH_MERGE,
	                                              json_text(a, root, JSON_COMPACT), err);
	if (now) {
		occupy(c, now);
		return true;
	}
	// Whether it was written is not known when nobody answered: the ranges stay taken until the node shows what it has.
	if (err->code != 500)
		for (size_t i = 0; i < got.n; i++)
			cidr_pool_release(&c->pools[i], got.v[i]);
	return err->code == 404;
}

void *node_ipam_setup(struct manager *m)
{
	if (!m->options->allocate_node_cidrs)
		return NULL;
	struct node_ipam *c = ARENA_NEW(m->arena, struct node_ipam);
	*c = (struct node_ipam){ .m = m, .texts = m->arena };
	for (str rest = str_c(m->options->cluster_cidr), one; str_next(&rest, ',', &one);) {
		struct error err = { 0 };
		bool v6 = str_find_char(one, ':') >= 0;
		if (c->npools == MAX_RANGES ||
		    !cidr_pool_init(m->arena, str_trim(one),
		                    (int)(v6 ? m->options->node_mask_v6 : m->options->node_mask_v4),
		                    &c->pools[c->npools], &err)) {
			log_error("node-ipam-controller does not run: --cluster-cidr: %s",
			          err.code ? err.text : "two ranges are the most");
			return NULL;
		}
		c->npools++;
	}
	c->nodes = manager_informer(m, m->r.nodes);
	c->queue = manager_queue(m);
	informer_add_handler(c->nodes, &(struct informer_handler){ node_changed, c });
	return c;
}

void node_ipam_run(void *self)
{
	struct node_ipam *c = self;
	workqueue_run(c->queue, "node-ipam", 1, reconcile, c);
}
