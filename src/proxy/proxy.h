// kube-proxy: makes the addresses of Services answer on this node (nftables), and is the node's part of the Pod network: routes to
// the pods of other nodes and the CNI configuration for its own. Flags in upstream's names: --kubeconfig, --hostname-override,
// --cluster-cidr; and --service-cidr, --cni-conf-dir, --cleanup (removes what a former run left and returns).
#ifndef CORACLE_PROXY_PROXY_H
#define CORACLE_PROXY_PROXY_H

int proxy_main(int argc, char **argv);

#endif
