// Who owns whom: the garbage collector's picture of all objects, by UID (upstream: garbagecollector/graph.go and
// graph_builder.go). Thread-safe. The graph decides nothing: it says which objects deserve a look, and what it knows of them.
#ifndef CORACLE_CONTROLLERS_GC_GRAPH_H
#define CORACLE_CONTROLLERS_GC_GRAPH_H

#include "base/arena.h"
#include "schema_gen.h"

struct gc_graph;
// Called with the graph's lock held: it only notes the UID.
struct gc_hooks {
	void (*look)(void *ctx, str uid);   // it may have to be deleted, or to let go of its finalizer
	void (*orphan)(void *ctx, str uid); // its dependents are to lose their reference to it
	void *ctx;
};
struct gc_graph *gc_graph_new(const struct gc_hooks *hooks);
void gc_graph_free(struct gc_graph *g);

// An object as its informer shows it. kind and api_version as references to it would say.
void gc_graph_observe(struct gc_graph *g, str api_version, str kind, const struct meta_v1_ObjectMeta *m);
// It is gone (its informer said so, or the server answered that there is no such object).
void gc_graph_gone(struct gc_graph *g, str uid);

struct gc_identity {
	str api_version, kind, ns, name, uid;
};
struct gc_dependent {
	struct gc_identity id;
	bool blocks; // its reference says blockOwnerDeletion
	bool deleting_dependents;
};
struct gc_view {
	struct gc_identity id;
	bool is_virtual; // known only from references to it
	bool being_deleted, deleting_dependents;
	bool owners_present; // it has owners, all of them are in the graph, in reach and not waiting for their dependents
	size_t owners;
	struct {
		struct gc_dependent *v;
		size_t n;
	} dependents;
};
// What the graph knows of an object, copied into the arena. False: nothing.
bool gc_graph_view(struct gc_graph *g, struct arena *a, str uid, struct gc_view *out);
size_t gc_graph_size(struct gc_graph *g);

#endif
