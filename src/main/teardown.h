// What stopping a node takes away: its pods (through CRI, as a kubelet would), and what its components left in the kernel:
// mounts, links, routes, nftables tables, cgroups. Data on disk stay.
#ifndef CORACLE_MAIN_TEARDOWN_H
#define CORACLE_MAIN_TEARDOWN_H

#include "main/node.h"

// Stops and removes every pod sandbox that the runtime knows. False when some could not be (the rest is stopped all the same).
bool teardown_pods(const struct node_config *c, struct error *err);
// Best effort, logged: mounts below the kubelet's and the runtime's directories, the bridge, the tables, pod cgroups.
void teardown_host(const struct node_config *c);

#endif
