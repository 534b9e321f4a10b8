// The kubelet: the agent of a node. It registers the node, runs the pods that are bound to it through a CRI runtime, tells the
// API what became of them and serves their logs and exec sessions.
#ifndef CORACLE_KUBELET_KUBELET_H
#define CORACLE_KUBELET_KUBELET_H

// Runs until SIGTERM or SIGINT; containers go on running. Returns the exit status. Flags have upstream's names; an unknown one
// is refused (status 2).
int kubelet_main(int argc, char **argv);

#endif
