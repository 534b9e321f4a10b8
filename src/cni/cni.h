// The CNI plugin of Coracle (type "coracle"): a bridge, addresses, routes, masquerading and host ports, by the CNI
// specification 1.1.0 (and back to 0.3.0).
//
// Configuration, beside what the specification defines:
//
//     "type": "coracle",
//     "bridge": "coracle0",                     name of the bridge (default "coracle0"), made on demand
//     "mtu": 1450,                              0: the kernel's default
//     "ipMasq": true,                           traffic of pods that leaves "clusterCIDRs" gets the node's address
//     "clusterCIDRs": ["10.244.0.0/16"],        default: the ranges themselves
//     "hairpinMode": true,                      default true
//     "ipam": {
//         "ranges": [[{"subnet": "10.244.1.0/24", "rangeStart": "", "rangeEnd": "", "gateway": ""}], [...]],
//         "routes": [{"dst": "0.0.0.0/0"}],     default: a default route for each family
//         "dataDir": "/var/lib/coracle/cni"     default
//     },
//     "capabilities": {"portMappings": true}    host ports come in runtimeConfig.portMappings
//
// A pod gets its address as a host route (/32, /128) and reaches everything, its neighbours on the bridge too, through the
// gateway. So answers always pass the node's connection tracking, and Services work without br_netfilter.
#ifndef CORACLE_CNI_CNI_H
#define CORACLE_CNI_CNI_H

// One invocation: reads CNI_COMMAND and the other variables, the configuration on standard input, and writes a result or an
// error object on standard output. Returns the exit status.
int cni_main(int argc, char **argv);

#endif
