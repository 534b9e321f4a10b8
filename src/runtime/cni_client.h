// The runtime's side of CNI: network configuration lists from a directory, plugins run in their order (specification 1.1.0,
// sections 2 and 3). What was used for a pod is kept with the pod, so that it is removed as it was added.
#ifndef CORACLE_RUNTIME_CNI_CLIENT_H
#define CORACLE_RUNTIME_CNI_CLIENT_H

#include "base/arena.h"
#include "base/error.h"
#include "json/value.h"
#include "schema/schema.h"

struct cni_network {
	str name, version;
	str text;               // the list as JSON
	struct value *list;
};
struct cni_attachment {
	const char *id, *netns, *ifname;     // ifname: "eth0"
	str pod_name, pod_namespace, pod_uid;
	struct value *port_mappings;         // for plugins with that capability; NULL: none
	struct value *bandwidth;
};

// The first (by file name) valid .conflist, .conf or .json of the directory. Error 503 "cni plugin not initialized" without one.
bool cni_load(struct arena *a, const char *dir, struct cni_network *out, struct error *err);
// From text that cni_load gave earlier.
bool cni_parse(struct arena *a, str text, bool is_list, struct cni_network *out, struct error *err);
// Runs ADD for each plugin; *result is the last one's result as JSON. After a failure the caller runs cni_del.
bool cni_add(struct arena *a, const struct cni_network *n, const char *bin_dirs, const struct cni_attachment *t, str *result, struct error *err);
// Runs DEL in reverse. `result` may be empty (an ADD that failed).
bool cni_del(struct arena *a, const struct cni_network *n, const char *bin_dirs, const struct cni_attachment *t, str result, struct error *err);
// Runs CHECK, where the list's version (0.4.0 and later) and "disableCheck" allow it.
bool cni_check(struct arena *a, const struct cni_network *n, const char *bin_dirs, const struct cni_attachment *t, str result, struct error *err);
// The addresses of a result, without prefix lengths, IPv4 first.
bool cni_result_ips(struct arena *a, str result, struct str_list *out, struct error *err);

#endif
