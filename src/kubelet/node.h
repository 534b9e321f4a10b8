// The Node object and its lease: registration, status, heartbeat. Rule: upstream kubelet_node_status.go, nodestatus/setters.go.
#ifndef CORACLE_KUBELET_NODE_H
#define CORACLE_KUBELET_NODE_H

#include "kubelet/state.h"

#define KUBELET_VERSION "v1.36.0"

// Facts about the machine: capacity, allocatable, addresses. Before anything else is started.
bool node_probe(struct kubelet *k, struct error *err);
// Registers the node (again and again until the API takes it) and starts the tasks of status and lease.
void node_start(struct kubelet *k);
// The status is looked at now: the runtime became ready, or is no longer.
void node_hurry(struct kubelet *k);
// Whether the node is registered (for /healthz).
bool node_registered(struct kubelet *k);

// node_info.c: the parts of a status that describe the machine.
void node_system_info(struct kubelet *k, struct arena *a, struct core_v1_NodeSystemInfo *out);
bool node_capacity(struct kubelet *k, struct arena *a, struct quantity_map *capacity, struct quantity_map *allocatable, struct error *err);
bool node_addresses(struct kubelet *k, struct arena *a, struct str_list *ips, struct error *err);
// The images that are there, greatest first, at most 50.
void node_images(struct kubelet *k, struct arena *a, struct core_v1_ContainerImage_list *out);
// Free memory, disk and process ids; true: under pressure.
void node_pressure(struct kubelet *k, bool *memory, bool *disk, bool *pids);

#endif
