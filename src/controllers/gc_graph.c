#include "controllers/gc_graph.h"

#include <pthread.h>

#include "base/heap.h"
#include "base/map.h"
#include "client/thread.h"

struct ref {
	char *uid;
	bool blocks;
};

struct node {
	char *api_version, *kind, *ns, *name, *uid;
	struct ref *owners;
	size_t nowners;
	struct map dependents; // uid -> node
	bool is_virtual, being_deleted, foreground, orphan, deleting_dependents;
};

struct gc_graph {
	pthread_mutex_t lock;
	struct gc_hooks hooks;
	struct map nodes;
};

struct gc_graph *gc_graph_new(const struct gc_hooks *hooks)
{
	struct gc_graph *g = HEAP_NEW(struct gc_graph);
	g->hooks = *hooks;
	pthread_mutex_init(&g->lock, NULL);
	return g;
}

static void free_owners(struct node *n)
{
	for (size_t i = 0; i < n->nowners; i++)
		free(n->owners[i].uid);
	free(n->owners);
	n->owners = NULL;
	n->nowners = 0;
}

static void free_node(struct node *n)
{
	free_owners(n);
	map_free(&n->dependents);
	free(n->api_version);
	free(n->kind);
	free(n->ns);
	free(n->name);
	free(n->uid);
	free(n);
}

void gc_graph_free(struct gc_graph *g)
{
	if (!g)
		return;
	for (struct map_slot *s = NULL; (s = map_each(&g->nodes, s));)
		free_node(s->value);
	map_free(&g->nodes);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

static void set_text(char **to, str s)
{
	if (*to && str_eqc(s, *to))
		return;
	free(*to);
	*to = heap_cstr(s);
}

static struct node *node_new(struct gc_graph *g, str api_version, str kind, str ns, str name, str uid)
{
	struct node *n = HEAP_NEW(struct node);
	n->api_version = heap_cstr(api_version);
	n->kind = heap_cstr(kind);
	n->ns = heap_cstr(ns);
	n->name = heap_cstr(name);
	n->uid = heap_cstr(uid);
	map_put(&g->nodes, uid, n);
	return n;
}

static void look(struct gc_graph *g, const struct node *n)
{
	g->hooks.look(g->hooks.ctx, str_c(n->uid));
}

static bool owned_by(const struct node *n, str uid, bool *blocks)
{
	for (size_t i = 0; i < n->nowners; i++)
		if (str_eqc(uid, n->owners[i].uid)) {
			*blocks = n->owners[i].blocks;
			return true;
		}
	return false;
}

// A namespaced owner owns nothing outside of its namespace.
static bool out_of_reach(const struct node *owner, const struct node *n)
{
	return !owner->is_virtual && *owner->ns && strcmp(owner->ns, n->ns) != 0;
}

static bool has(const struct meta_v1_ObjectMeta *m, str finalizer)
{
	for (size_t i = 0; i < m->finalizers.n; i++)
		if (str_eq(m->finalizers.v[i], finalizer))
			return true;
	return false;
}

// Owners that are no more, or do not block any more: those that wait for this dependent look again.
static void leave_owners(struct gc_graph *g, struct node *n, const struct meta_v1_ObjectMeta *m)
{
	for (size_t i = 0; i < n->nowners; i++) {
		struct node *owner = map_get(&g->nodes, str_c(n->owners[i].uid));
		const struct meta_v1_OwnerReference *now = NULL;
		for (size_t k = 0; m && k < m->ownerReferences.n && !now; k++)
			if (str_eqc(m->ownerReferences.v[k].uid, n->owners[i].uid))
				now = &m->ownerReferences.v[k];
		bool blocks = now && now->blockOwnerDeletion && *now->blockOwnerDeletion;
		if (!owner)
			continue;
		if (!now)
			map_del(&owner->dependents, str_c(n->uid));
		if (owner->deleting_dependents && (!now || (n->owners[i].blocks && !blocks)))
			look(g, owner);
	}
}

static void join_owners(struct gc_graph *g, struct node *n, const struct meta_v1_ObjectMeta *m)
{
	free_owners(n);
	n->owners = m->ownerReferences.n ? heap_calloc(m->ownerReferences.n, sizeof(struct ref)) : NULL;
	for (size_t i = 0; i < m->ownerReferences.n; i++) {
		const struct meta_v1_OwnerReference *r = &m->ownerReferences.v[i];
		n->owners[n->nowners++] =
		        (struct ref){ heap_cstr(r->uid), r->blockOwnerDeletion && *r->blockOwnerDeletion };
		struct node *owner = map_get(&g->nodes, r->uid);
		if (!owner) {
			// Nobody has shown it yet. Whether it is there at all will be asked; until then it stands for itself.
			owner = node_new(g, r->apiVersion, r->kind, m->namespace, r->name, r->uid);
			owner->is_virtual = true;
			look(g, owner);
		} else if (out_of_reach(owner, n)) {
			look(g, n);
		}
		map_put(&owner->dependents, str_c(n->uid), n);
	}
}

static bool owners_equal(const struct node *n, const struct meta_v1_ObjectMeta *m)
{
	if (n->nowners != m->ownerReferences.n)
		return false;
	for (size_t i = 0; i < n->nowners; i++) {
		const struct meta_v1_OwnerReference *r = &m->ownerReferences.v[i];
		if (!str_eqc(r->uid, n->owners[i].uid) ||
		    n->owners[i].blocks != (r->blockOwnerDeletion && *r->blockOwnerDeletion))
			return false;
	}
	return true;
}

void gc_graph_observe(struct gc_graph *g, str api_version, str kind, const struct meta_v1_ObjectMeta *m)
{
	THREAD_LOCKED(&g->lock);
	struct node *n = map_get(&g->nodes, m->uid);
	bool was_deleted = false, was_foreground = false, was_orphan = false;
	if (!n) {
		n = node_new(g, api_version, kind, m->namespace, m->name, m->uid);
	} else if (n->is_virtual) {
		n->is_virtual = false;
		set_text(&n->api_version, api_version);
		set_text(&n->kind, kind);
		set_text(&n->ns, m->namespace);
		set_text(&n->name, m->name);
		for (struct map_slot *s = NULL; (s = map_each(&n->dependents, s));)
			if (out_of_reach(n, s->value))
				look(g, s->value);
	} else {
		was_deleted = n->being_deleted;
		was_foreground = n->foreground;
		was_orphan = n->orphan;
	}
	if (!owners_equal(n, m)) {
		leave_owners(g, n, m);
		join_owners(g, n, m);
	}
	n->being_deleted = m->deletionTimestamp != NULL;
	n->foreground = has(m, S("foregroundDeletion"));
	n->orphan = has(m, S("orphan"));
	if (n->being_deleted && n->orphan && !(was_deleted && was_orphan))
		g->hooks.orphan(g->hooks.ctx, str_c(n->uid));
	if (n->being_deleted && n->foreground && !(was_deleted && was_foreground)) {
		n->deleting_dependents = true;
		for (struct map_slot *s = NULL; (s = map_each(&n->dependents, s));)
			look(g, s->value);
		look(g, n);
	}
}

void gc_graph_gone(struct gc_graph *g, str uid)
{
	THREAD_LOCKED(&g->lock);
	struct node *n = map_del(&g->nodes, uid);
	if (!n)
		return;
	leave_owners(g, n, NULL);
	for (struct map_slot *s = NULL; (s = map_each(&n->dependents, s));)
		look(g, s->value);
	free_node(n);
}

static struct gc_identity identity(struct arena *a, const struct node *n)
{
	return (struct gc_identity){ arena_dup(a, str_c(n->api_version)), arena_dup(a, str_c(n->kind)),
		                     arena_dup(a, str_c(n->ns)), arena_dup(a, str_c(n->name)),
		                     arena_dup(a, str_c(n->uid)) };
}

bool gc_graph_view(struct gc_graph *g, struct arena *a, str uid, struct gc_view *out)
{
	THREAD_LOCKED(&g->lock);
	const struct node *n = map_get(&g->nodes, uid);
	if (!n)
		return false;
	*out = (struct gc_view){ .id = identity(a, n),
		                 .is_virtual = n->is_virtual,
		                 .being_deleted = n->being_deleted,
		                 .deleting_dependents = n->deleting_dependents,
		                 .owners = n->nowners,
		                 .owners_present = n->nowners > 0 };
	for (size_t i = 0; i < n->nowners; i++) {
		const struct node *owner = map_get(&g->nodes, str_c(n->owners[i].uid));
		if (!owner || owner->is_virtual || owner->deleting_dependents || out_of_reach(owner, n))
			out->owners_present = false;
	}
	for (struct map_slot *s = NULL; (s = map_each(&n->dependents, s));) {
		const struct node *d = s->value;
		bool blocks = false;
		if (!owned_by(d, uid, &blocks))
			continue;
		*LIST_ADD(a, &out->dependents) = (struct gc_dependent){ .id = identity(a, d),
			                                                .blocks = blocks,
			                                                .deleting_dependents = d->deleting_dependents };
	}
	return true;
}

size_t gc_graph_size(struct gc_graph *g)
{
	THREAD_LOCKED(&g->lock);
	return g->nodes.n;
}
