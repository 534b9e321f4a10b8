// The scheduling framework: what a plugin sees and says. Rule: KEP-624 (scheduling framework), reduced to the points that are used:
// pre-filter, filter, pre-score, score (with normalisation).
//
// Scheduling runs on one thread under the cache's lock, so a plugin reads nodes and pods freely and keeps nothing.
#ifndef CORACLE_SCHEDULER_FRAMEWORK_H
#define CORACLE_SCHEDULER_FRAMEWORK_H

#include "client/informer.h"
#include "object/meta.h"
#include "object/selector.h"
#include "schema/quantity.h"
#include "schema_gen.h"

struct scalar { str name; int64_t value; };
struct resources {
	int64_t cpu;               // thousandths
	int64_t memory, storage;   // bytes
	int64_t pods;
	struct { struct scalar *v; size_t n; } scalars; // extended resources and hugepages
};

struct host_port { str ip, protocol; int32_t port; };

enum pod_place { POD_NOWHERE, POD_ACTIVE, POD_BACKOFF, POD_UNSCHEDULABLE };

// A pod that the scheduler knows: waiting in the queue, or placed on a node (assumed or bound).
struct pod_info {
	struct arena *arena;       // holds this very struct
	struct object_ref *ref;
	const struct core_v1_Pod *pod;
	str key;                   // ns/name
	int32_t priority;
	struct resources request;
	int64_t score_cpu, score_memory; // requests for scoring: containers that ask for nothing count 100m and 200 MiB
	struct { struct host_port *v; size_t n; } ports;
	struct selector node_selector;   // of spec.nodeSelector
	// Placement.
	struct node_info *node;    // NULL: on none
	size_t node_slot;          // index in node->pods
	bool assumed;              // placed by us, not yet seen bound
	// Queue.
	enum pod_place place;
	size_t heap_slot;
	int64_t queued_ns;         // when it entered the queue first, and when it came to this part of it
	int64_t since_ns;
	int64_t backoff_until_ns;
	int attempts;
	uint32_t rejected_by;      // plugins (bit: index in the list) that said no last time
};

struct node_info {
	struct arena *arena;       // of what is derived from the node; made anew when it changes
	struct object_ref *ref;
	const struct core_v1_Node *node;
	str name;
	struct resources allocatable, requested;
	int64_t score_cpu, score_memory;
	struct { struct pod_info **v; size_t n, cap; } pods;
	size_t slot;               // index in the cache's list
};

struct node_cache;
struct scheduler;

// What changed in the cluster; a plugin names the changes that may make it change its mind.
enum cluster_event {
	EV_NODE_ADD = 1, EV_NODE_ALLOCATABLE = 2, EV_NODE_LABEL = 4, EV_NODE_TAINT = 8, EV_POD_DELETE = 16, EV_POD_ADD = 32, EV_POD_UPDATE = 64,
};

// One attempt to place one pod. Plugins keep what they compute for it in its arena.
struct cycle {
	struct arena *arena;
	struct scheduler *scheduler;
	const struct pod_info *pod;
	struct node_info *const *nodes;
	size_t nnodes;
	void *state[16];           // per plugin
	int64_t now_ns;
};

struct verdict {
	str reason;                // empty: the node fits. Several reasons are separated by '\n'
	bool unresolvable;         // removing other pods would not help
};

struct plugin {
	const char *name;
	uint32_t events;
	int weight;
	// Rejects the pod whatever the node (fills v), or prepares the state.
	bool (*pre_filter)(struct cycle *c, size_t self, struct verdict *v);
	bool (*filter)(struct cycle *c, size_t self, const struct node_info *n, struct verdict *v);
	// Before scoring the feasible nodes; false: nothing to score.
	bool (*pre_score)(struct cycle *c, size_t self, struct node_info *const *feasible, size_t n);
	int64_t (*score)(struct cycle *c, size_t self, const struct node_info *n); // any number, normalised to 0..100 below
	enum { NORM_NONE, NORM_MAX, NORM_MAX_REVERSED, NORM_OWN } normalize;
	void (*normalize_own)(struct cycle *c, size_t self, struct node_info *const *feasible, int64_t *scores, size_t n);
};

extern const struct plugin plugin_node_unschedulable, plugin_node_name, plugin_taint_toleration, plugin_node_affinity, plugin_node_ports,
	plugin_node_resources_fit, plugin_balanced_allocation, plugin_pod_topology_spread, plugin_unsupported;
extern const struct plugin *const plugins[];
extern const size_t nplugins;

static inline bool reject(struct verdict *v, str reason, bool unresolvable)
{
	*v = (struct verdict){ reason, unresolvable };
	return false;
}

// Whether a node matches the pod's nodeSelector and required node affinity (also used by topology spread).
bool node_affinity_matches(struct arena *a, const struct pod_info *p, const struct core_v1_Node *n);
// Whether the pod tolerates all taints of these effects.
bool tolerates_taints(const struct core_v1_Pod *p, const struct core_v1_Node *n, bool prefer_no_schedule, const struct core_v1_Taint **which);
// Selector of the Services and of the controller that the pod belongs to (default topology spread); false: none.
bool scheduler_owner_selector(struct cycle *c, struct selector *out);

#endif
