// kube-controller-manager: the loops that bring the state of the cluster towards what its objects ask for.
#ifndef CORACLE_CONTROLLERS_CONTROLLERS_H
#define CORACLE_CONTROLLERS_CONTROLLERS_H

// Runs until SIGTERM or SIGINT (0), or until the leader's lease is lost (1). Flags are upstream's (--flag=value or
// --flag value): --kubeconfig, --leader-elect, --leader-elect-lease-duration, --leader-elect-renew-deadline,
// --leader-elect-retry-period, --service-account-private-key-file, --root-ca-file, --cluster-cidr,
// --allocate-node-cidrs, --node-cidr-mask-size, --node-monitor-grace-period, --node-monitor-period, --controllers,
// --terminated-pod-gc-threshold, --concurrent-*-syncs, --bind-address, --secure-port, --v; --help lists them.
int controller_manager_main(int argc, char **argv);

#endif
