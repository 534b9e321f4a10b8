// Plugins that look at one fact of a node: NodeUnschedulable, NodeName, NodePorts.
#include "scheduler/framework.h"

static bool unschedulable_filter(struct cycle *c, size_t self, const struct node_info *n, struct verdict *v)
{
	static const struct core_v1_Taint taint = { .key = S_INIT("node.kubernetes.io/unschedulable"), .effect = S_INIT("NoSchedule") };
	if (!n->node->spec.unschedulable)
		return true;
	for (size_t i = 0; i < c->pod->pod->spec.tolerations.n; i++)
		if (toleration_tolerates(&c->pod->pod->spec.tolerations.v[i], &taint))
			return true;
	return reject(v, S("node(s) were unschedulable"), true);
}

const struct plugin plugin_node_unschedulable = {
	.name = "NodeUnschedulable",
	.events = EV_NODE_ADD | EV_NODE_TAINT | EV_POD_UPDATE,
	.filter = unschedulable_filter,
};

static bool name_filter(struct cycle *c, size_t self, const struct node_info *n, struct verdict *v)
{
	str wanted = c->pod->pod->spec.nodeName;
	return str_empty(wanted) || str_eq(wanted, n->name) ? true : reject(v, S("node(s) didn't match the requested node name"), true);
}

const struct plugin plugin_node_name = { .name = "NodeName", .events = EV_NODE_ADD, .filter = name_filter };

// The same port and protocol collide when the addresses are equal or one of them is every address.
static bool collide(const struct host_port *x, const struct host_port *y)
{
	return x->port == y->port && str_eq(x->protocol, y->protocol) &&
	       (str_eq(x->ip, y->ip) || str_eqc(x->ip, "0.0.0.0") || str_eqc(y->ip, "0.0.0.0"));
}

static bool ports_filter(struct cycle *c, size_t self, const struct node_info *n, struct verdict *v)
{
	const struct pod_info *p = c->pod;
	for (size_t i = 0; p->ports.n && i < n->pods.n; i++)
		for (size_t k = 0; k < n->pods.v[i]->ports.n; k++)
			for (size_t m = 0; m < p->ports.n; m++)
				if (collide(&n->pods.v[i]->ports.v[k], &p->ports.v[m]))
					return reject(v, S("node(s) didn't have free ports for the requested pod ports"), false);
	return true;
}

const struct plugin plugin_node_ports = { .name = "NodePorts", .events = EV_NODE_ADD | EV_POD_DELETE, .filter = ports_filter };
