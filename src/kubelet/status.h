// The status of a pod as the API shall have it: pure computation from the spec, the last status and what the runtime says.
// Rule: upstream kubelet_pods.go (convertToAPIContainerStatuses, getPhase, generateAPIPodStatus), status/generate.go.
#ifndef CORACLE_KUBELET_STATUS_H
#define CORACLE_KUBELET_STATUS_H

#include "kubelet/actions.h"

struct status_input {
	const struct core_v1_Pod *pod;        // as the API has it
	const struct core_v1_PodStatus *old;  // the last that was computed, or the API's
	const struct rt_pod *rt;
	const struct probe_view *probes;
	// Why a container could not be started ("ErrImagePull", text); false: it was not tried, or it could.
	bool (*failure)(void *ctx, str container, str *reason, str *message);
	void *failure_ctx;
	str runtime_name;                     // "coracle" in "coracle://id"
	struct str_list host_ips;
	bool prefer_v6;
	bool terminal;                        // all containers have been stopped for good
	str forced_reason, forced_message;    // the pod has failed for this reason (deadline)
	int64_t now_ns;
};
// In the arena; parts may be shared with the input.
struct core_v1_PodStatus *status_make(struct arena *a, const struct status_input *in);
// Sets what depends on the status before: times of transitions, start time; cuts messages to what the API keeps.
void status_settle(struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_PodStatus *old, struct core_v1_PodStatus *s,
                   int64_t now_ns);
// Whether a condition type is the kubelet's own.
bool status_owns_condition(str type);
// What is sent: a merge with what others wrote, and the phase held back while containers may run.
struct core_v1_PodStatus *status_merge(struct arena *a, const struct core_v1_PodStatus *api, const struct core_v1_PodStatus *mine,
                                       bool may_run);
// A strategic merge patch {"metadata":{"uid":...},"status":{...}}; empty when nothing differs.
str status_patch(struct arena *a, str uid, const struct core_v1_PodStatus *from, const struct core_v1_PodStatus *to);
// The same for any status. Lists that merge by a key name it; key "$replace": such a list is sent whole all the same.
struct merge_key { const char *field, *key; };
str status_diff(struct arena *a, str uid, const struct message_desc *m, const void *from, const void *to, const struct merge_key *keys,
                size_t nkeys);

#endif
