// Names: a pod's host name, its /etc/hosts, its resolver configuration.
#ifndef CORACLE_KUBELET_DNS_H
#define CORACLE_KUBELET_DNS_H

#include "kubelet/state.h"

// Host name and, with a subdomain, the domain behind it.
void pod_host_name(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod, str *name, str *domain);
struct cri_v1_DNSConfig *pod_dns(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod);
// Tells the user when the pod wants the cluster's DNS and there is none.
void dns_warn(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod);
// The text of /etc/hosts for a pod.
str hosts_text(struct arena *a, const struct core_v1_Pod *pod, const struct str_list *ips, str name, str domain);
// Writes it into the pod's directory and returns the path; NULL and err otherwise.
const char *hosts_file(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod, const struct str_list *ips, struct error *err);

#endif
