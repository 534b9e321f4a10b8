// The kubelet's own state, shared by its files.
//
// One worker per pod (by uid). A worker's task does one sync at a time; only that task touches the worker's `own` part. All else
// is under kubelet.lock, which is held for moments only, never across a call to the API or the runtime.
#ifndef CORACLE_KUBELET_STATE_H
#define CORACLE_KUBELET_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/heap.h"
#include "base/log.h"
#include "base/map.h"
#include "client/client.h"
#include "client/informer.h"
#include "client/recorder.h"
#include "kubelet/actions.h"
#include "kubelet/backoff.h"
#include "kubelet/config.h"
#include "kubelet/cri.h"
#include "kubelet/task.h"
#include "kubelet/util.h"

struct object_cache; // ConfigMaps and Secrets
struct node_state;
struct pleg;
struct server;

enum cgroup_mode { CGROUP_NONE, CGROUP_V1, CGROUP_V2 };

struct kubelet {
	struct kubelet_config cfg;
	struct arena *arena;          // lives as long as the process does
	const struct clock *clock;
	const struct rng *rng;
	str node_name;
	struct str_list host_ips;
	bool prefer_v6;
	str runtime_name;             // "coracle"
	str runtime_version;
	int64_t started_wall, started_mono;

	struct client *client;
	struct recorder *recorder;
	struct cri cri;
	struct grpc_client *events;   // a connection of its own for the stream of container events
	struct tasks *tasks;
	struct informer *pods, *services, *node;
	struct object_cache *objects;
	struct node_state *node_state;
	struct server *server;
	struct pleg *pleg;
	const struct resource_desc *r_pods, *r_nodes, *r_leases, *r_tokens, *r_configmaps, *r_secrets, *r_sar, *r_token_reviews;

	enum cgroup_mode cgroups;
	const char *cgroup_v1_cpu, *cgroup_v1_memory, *cgroup_v1_cpuacct; // mount points; NULL: there is none
	struct str_list cgroup_mounts; // all of them (v2: the one)
	int64_t capacity_memory, capacity_cpu_milli;
	struct quantity_map allocatable;

	pthread_mutex_t lock;
	struct map workers;           // uid -> struct worker *
	bool runtime_ready, network_ready;
	char runtime_problem[256], network_problem[256];
	int64_t runtime_seen_mono;    // when the runtime last answered; 0: never
	atomic_bool stop;
	atomic_bool ready;            // the first listing of pods has been taken in
	_Atomic uint64_t counters[8]; // enum counter
};
enum counter { COUNT_SYNCS, COUNT_SYNC_ERRORS, COUNT_SANDBOXES, COUNT_CONTAINERS, COUNT_PULLS, COUNT_PATCHES, COUNT_PROBES, COUNT_EVENTS };

// Why a container could not be started, and how long it waits.
struct note {
	str name;
	char *reason, *message;       // NULL: nothing is wrong
	struct backoff restart, pull;
	char *pull_error;             // the last one, shown during the back-off
	struct note *next;
};

enum phase { PHASE_SYNC, PHASE_TERMINATING, PHASE_TERMINATED, PHASE_FINISHED };

struct probe;
struct worker {
	struct kubelet *k;
	char *uid, *ns, *name;
	atomic_int refs;
	struct task *task, *status_task;

	// Under kubelet.lock.
	struct object_ref *pod;       // the newest from the API
	enum phase phase;
	bool gone;                    // no longer in the API
	bool in_sync;                 // its task is at work
	int64_t event_wall, fetched_wall; // the last event of the runtime; when it was last asked
	bool admitted;
	bool stopping;                // a sync of the terminating phase is under way
	int64_t grace;                // seconds for a termination, -1: the spec's
	char *forced_reason, *forced_message; // why the kubelet itself ends it
	pthread_cond_t grace_cond;    // grace became shorter
	struct arena *status_arena;
	struct core_v1_PodStatus *status; // the newest that was computed
	uint64_t status_version, status_sent;
	bool may_run;                 // containers may be running
	struct probe *probes;
	uint64_t print;               // of the last relist

	// Only the status task: what the API had after the last patch, until the informer has it too.
	struct arena *sent_arena;
	struct core_v1_PodStatus *sent;
	int64_t sent_version;         // its resourceVersion

	// Only the worker's task.
	struct {
		bool known_new;       // the runtime cannot know this pod yet
		bool cgroup;
		bool volumes;
		int64_t volumes_mono; // last refresh
		int failures;         // in a row
		struct note *notes;
		struct arena *arena;  // of what lives as long as the worker
		void *tokens;         // see pod_token
	} own;
};

// A worker's reference; the last one frees it.
struct worker *worker_ref(struct worker *w);
void worker_unref(struct worker *w);
struct worker *worker_find(struct kubelet *k, str uid); // a reference, NULL: none
struct worker *worker_find_name(struct kubelet *k, str ns, str name);
void worker_wake(struct worker *w);
// The pod as the API has it; a reference.
struct object_ref *worker_pod(struct worker *w);
// Whether the pod shall run no longer (deleted, past its deadline, rejected).
bool worker_must_end(struct worker *w);
struct note *worker_note(struct worker *w, str container);
void worker_fail(struct worker *w, str container, str reason, str message); // remembers why
void worker_clear_failure(struct worker *w, str container);

// Events in upstream's words.
#define pod_event(k, pod, type, reason, ...) \
	recorder_event((k)->recorder, (k)->r_pods, &(pod)->metadata, S(""), (type), (reason), __VA_ARGS__)
#define container_event(k, a, pod, name, type, reason, ...) \
	recorder_event((k)->recorder, (k)->r_pods, &(pod)->metadata, container_field_path((a), (pod), (name)), (type), (reason), __VA_ARGS__)

// Directories of a pod: <root>/pods/<uid>[/rest], logs: <logs>/<ns>_<name>_<uid>[/rest].
char *pod_dir(struct kubelet *k, struct arena *a, str uid, const char *rest);
char *pod_log_dir(struct kubelet *k, struct arena *a, const struct meta_v1_ObjectMeta *m, str rest);

#endif
