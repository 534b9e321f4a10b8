// kube-scheduler: finds a node for every pod that has none, and binds it. One file per plugin in plugins/.
#ifndef CORACLE_SCHEDULER_SCHEDULER_H
#define CORACLE_SCHEDULER_SCHEDULER_H

// Flags in upstream's names: --kubeconfig, --leader-elect, --scheduler-name, -v. Returns an exit status.
int scheduler_main(int argc, char **argv);

#endif
