// What the runtime says about one pod: its sandboxes and containers, newest first. Everything the kubelet must remember about
// them stands in CRI labels and annotations (the names are upstream's), so a kubelet that starts anew knows it all.
#ifndef CORACLE_KUBELET_RT_H
#define CORACLE_KUBELET_RT_H

#include "kubelet/cri.h"

#define LABEL_POD_NAME "io.kubernetes.pod.name"
#define LABEL_POD_NAMESPACE "io.kubernetes.pod.namespace"
#define LABEL_POD_UID "io.kubernetes.pod.uid"
#define LABEL_CONTAINER_NAME "io.kubernetes.container.name"
#define NOTE_HASH "io.kubernetes.container.hash"
#define NOTE_RESTARTS "io.kubernetes.container.restartCount"
#define NOTE_MESSAGE_PATH "io.kubernetes.container.terminationMessagePath"
#define NOTE_MESSAGE_POLICY "io.kubernetes.container.terminationMessagePolicy"
#define NOTE_PRE_STOP "io.kubernetes.container.preStopHandler"
#define NOTE_PORTS "io.kubernetes.container.ports"
#define NOTE_POD_GRACE "io.kubernetes.pod.terminationGracePeriod"
#define NOTE_POD_DELETION_GRACE "io.kubernetes.pod.deletionGracePeriod"

enum rt_state { RT_CREATED, RT_RUNNING, RT_EXITED, RT_UNKNOWN };

struct rt_container {
	str id, name, sandbox_id;
	str image, image_ref;
	str hash;             // NOTE_HASH
	int restart_count;
	enum rt_state state;
	int64_t created_at, started_at, finished_at; // ns since 1970; 0: not yet
	int exit_code;
	str reason, message;  // of an exit
	str log_path;
	const struct cri_v1_ContainerUser *user;
	int64_t pod_grace;    // NOTE_POD_GRACE; -1: none
	str pre_stop;         // NOTE_PRE_STOP
};
struct rt_sandbox {
	str id;
	bool ready, host_network;
	int64_t created_at;
	uint32_t attempt;
	struct str_list ips;
};
struct rt_pod {
	str uid, name, ns;
	struct { struct rt_sandbox *v; size_t n; } sandboxes;
	struct { struct rt_container *v; size_t n; } containers;
};

// Asks the runtime. A pod that it does not know has no sandboxes and no containers.
bool rt_pod_fetch(const struct cri *c, struct arena *a, str uid, struct rt_pod *out, struct error *err);
// The newest container of that name, NULL: none.
const struct rt_container *rt_find(const struct rt_pod *p, str name);
// Addresses of the newest sandbox, where it is ready.
struct str_list rt_pod_ips(const struct rt_pod *p);
struct rt_container rt_container_of(struct arena *a, const struct cri_v1_ContainerStatus *s);
struct rt_sandbox rt_sandbox_of(struct arena *a, const struct cri_v1_PodSandboxStatus *s);

// One entry for each pod that the runtime has something of. `print` changes when any sandbox or container of the pod does.
struct rt_summary {
	str uid, name, ns;
	uint64_t print;
	int running;      // containers
	bool ready;       // a sandbox
};
struct rt_summary_list { struct rt_summary *v; size_t n; };
bool rt_list(const struct cri *c, struct arena *a, struct rt_summary_list *out, struct error *err);

#endif
