// Inside the CRI server: what it knows about sandboxes and containers, and who may touch it when.
//
// `lock` guards the tables and every field marked [lock]; it is never held across a system call that may block. `op` of an object
// is held through an operation on it (start, stop, remove), so that these come one after the other; it is taken before
// `lock`. Fields without a mark do not change once the object is in its table. Objects are counted references: the table
// has one, whoever works with an object has another.
#ifndef CORACLE_RUNTIME_SERVER_H
#define CORACLE_RUNTIME_SERVER_H

#include <pthread.h>
#include <signal.h>

#include "base/map.h"
#include "base/random.h"
#include "net/grpc.h"
#include "runtime/cni_client.h"
#include "runtime/image.h"
#include "runtime/ref.h"
#include "schema_gen.h"

struct runtime_opts {
	const char *root, *state, *socket;
	const char *cni_conf_dir, *cni_bin_dirs;
	const char *oci_runtime, *conmon;
	struct { str *v; size_t n; } insecure;   // registries that are spoken to in plain HTTP
	struct { str *v; size_t n; } mirrors;    // "docker.io=http://mirror:5000"
	const char *registry_ca;                 // further CA certificates (PEM), NULL: none
	const char *streaming_address;           // of the exec server; "127.0.0.1"
};

struct process { pid_t pid; uint64_t start; };   // start tells a process from a later one of the same number; pid 0: none

struct sandbox {
	int refs;                        // [lock]
	pthread_mutex_t op;
	struct arena *arena;
	const char *id;
	const struct cri_v1_PodSandboxConfig *config;
	str handler;
	int64_t created;
	bool host_network, host_ipc, host_pid, pod_pid;
	const char *dir;                 // STATE/sandboxes/ID
	const char *net_ns, *uts_ns, *ipc_ns;  // NULL: the node's
	str network;                     // CNI list in use; empty: none
	str hostname;
	// [lock]
	bool complete, ready, removed;   // not complete: not to be seen yet
	bool network_up;                 // DEL is owed
	str result;                      // of CNI
	struct str_list ips;
	struct process pause;
	struct cri_v1_LinuxContainerResources *resources, *overhead;
};

struct container {
	int refs;                        // [lock]
	pthread_mutex_t op;
	struct arena *arena;
	const char *id, *sandbox_id;
	const struct cri_v1_ContainerConfig *config;
	str image_id, image_ref, image_name; // digest of the configuration; "repo@sha256:..."; "docker.io/library/nginx:1.29"
	struct str_list chains;          // layers that must stay
	struct str_list volumes_images;  // images mounted as volumes: their layers, too
	const char *log_path;            // NULL: none
	str cgroup;
	int stop_signal;
	int64_t uid, gid;
	struct int64_list groups;
	const char *bundle;              // STATE/containers/ID
	const char *dir;                 // ROOT/containers/ID
	int64_t created;
	// [lock]
	int state;                       // enum cri_v1_ContainerState
	bool starting, removed;
	int64_t started, finished;
	int exit_code;
	const char *reason;
	str message;
	struct process process, monitor; // the container's first process, and conmon
	uint64_t oom_kills;
	struct cri_v1_LinuxContainerResources *resources;
};

struct pull;
struct subscriber;
struct streaming;

struct runtime {
	struct runtime_opts opts;
	struct image_store images;
	bool cgroup_v2, has_swap, has_hugetlb, recursive_read_only;
	uint64_t caps;
	int oom_score_adj_min;
	int epoll, inotify;              // of the monitor thread
	struct streaming *streaming;
	pthread_mutex_t lock;
	pthread_cond_t changed;          // [lock] some container's state, some pull: waiters look again
	struct map sandboxes, containers;// [lock] id -> object
	struct map reserved;             // [lock] "s:name_namespace_uid_attempt" -> id, names in use
	struct map pulls;                // [lock] reference -> struct pull
	struct subscriber *subscribers;  // [lock]
	uint64_t usage_bytes, usage_inodes; // [lock] of images
	int64_t usage_at;                // [lock]
};

static inline void lock(struct runtime *rt) { pthread_mutex_lock(&rt->lock); }
static inline void unlock(struct runtime *rt) { pthread_mutex_unlock(&rt->lock); }

// An error with a gRPC code; all others reach the client as UNKNOWN (or what their API code means). rpc_end makes err fit for
// net/grpc.h when a call has failed.
bool rpc_error(struct error *err, enum grpc_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool rpc_end(struct error *err);

// --- objects.c: tables, references, files ---
// A reference, or NULL and a gRPC NOT_FOUND. Ids may be cut short where that is unambiguous.
struct sandbox *sandbox_get(struct runtime *rt, str id, struct error *err);
struct container *container_get(struct runtime *rt, str id, struct error *err);
void sandbox_put(struct runtime *rt, struct sandbox *s);     // takes the lock
void container_put(struct runtime *rt, struct container *c); // takes the lock
// Gives the reference back when the arena ends.
void container_put_later(struct runtime *rt, struct arena *a, struct container *c);
struct sandbox *sandbox_new(struct runtime *rt, struct arena *arena, const char *id);
struct container *container_new(struct runtime *rt, struct arena *arena, const char *id);
// Into the table, which takes a reference of its own; and out again.
bool sandbox_insert(struct runtime *rt, struct sandbox *s, struct error *err);   // fails when the name is taken
bool container_insert(struct runtime *rt, struct container *c, struct error *err);
void sandbox_forget(struct runtime *rt, struct sandbox *s);
void container_forget(struct runtime *rt, struct container *c);
// References to all containers of a sandbox; the array is in the arena.
struct container **sandbox_containers(struct runtime *rt, struct arena *a, const char *sandbox_id, size_t *n);
const char *new_id(struct arena *a);
int64_t now(void);
// Whether the process is still the one that was meant.
bool process_alive(const struct process *p);
struct process process_of(pid_t pid);
// State files: replaced atomically, not synced (nothing of them outlives a crash of the machine).
bool sandbox_save(struct runtime *rt, struct sandbox *s, bool complete, struct error *err);
bool container_save(struct runtime *rt, struct container *c, bool complete, struct error *err);
// Reads everything back and cleans up what was half done.
bool objects_load(struct runtime *rt, struct error *err);

// --- sandbox.c ---
struct sandbox *sandbox_run(struct runtime *rt, const struct cri_v1_RunPodSandboxRequest *req, struct error *err);
bool sandbox_stop(struct runtime *rt, struct sandbox *s, struct error *err);
bool sandbox_remove(struct runtime *rt, struct sandbox *s, struct error *err);
// Tears down what a sandbox has on the machine, as far as it is there (also of one that never became whole).
bool sandbox_clean(struct runtime *rt, struct sandbox *s, struct error *err);
bool sandbox_usable(const struct sandbox *s);  // its namespaces are still mounted
void sandbox_attachment(struct arena *a, const struct sandbox *s, struct cni_attachment *out);

// --- container.c ---
struct container *container_create(struct runtime *rt, const struct cri_v1_CreateContainerRequest *req, struct error *err);
bool container_start(struct runtime *rt, struct container *c, struct error *err);
bool container_stop(struct runtime *rt, struct container *c, int64_t timeout_s, struct error *err);
bool container_remove(struct runtime *rt, struct container *c, struct error *err);
// Of a container that was not started when its state was saved: it may have been since, or half.
void container_adopt(struct runtime *rt, struct container *c);
bool container_clean(struct runtime *rt, struct container *c, struct error *err);
bool container_update(struct runtime *rt, struct container *c, const struct cri_v1_LinuxContainerResources *r, struct error *err);
bool container_reopen_log(struct runtime *rt, struct container *c, struct error *err);
// Whether a container uses the layer (a name of image_gc).
bool layer_used(str name, void *rt);

// --- oci.c: conmon and the OCI runtime ---
bool oci_create(struct runtime *rt, struct arena *a, struct container *c, struct error *err);
bool oci_start(struct runtime *rt, struct arena *a, const char *id, struct error *err);
bool oci_delete(struct runtime *rt, struct arena *a, const char *id, struct error *err); // by force; absent is fine
bool oci_update(struct runtime *rt, struct arena *a, const char *id, str resources, struct error *err);
// "created", "running", "stopped"; empty when the OCI runtime does not know it.
str oci_status(struct runtime *rt, struct arena *a, const char *id);
// Kills every process of the container's group.
bool oci_kill_all(struct runtime *rt, struct arena *a, const char *id, struct error *err);
// Command line of the OCI runtime, to which more is added; NULL-terminated by the caller.
size_t oci_argv(struct runtime *rt, struct arena *a, const char **argv);
// Runs it to the end; its message on failure.
bool oci_run(struct runtime *rt, struct arena *a, const char *const *argv, struct error *err);
// A signal by CRI, OCI or number: "SIGTERM", "TERM", "15", "RTMIN+3". 0: none.
int signal_parse(str name);
int signal_from_cri(int value);
int signal_to_cri(int sig);

// --- monitor.c: ends of containers ---
bool monitor_start(struct runtime *rt, struct error *err);
// Watches the monitor process of a container that runs.
void monitor_watch(struct runtime *rt, struct container *c);
// Takes the container for exited if its exit file is there (or nothing of it lives); true when it has exited.
bool monitor_check(struct runtime *rt, struct container *c);

// --- status.c: objects as CRI messages, with `lock` held ---
void sandbox_status(struct arena *a, const struct sandbox *s, struct cri_v1_PodSandboxStatus *out);
void container_status(struct arena *a, const struct container *c, struct cri_v1_ContainerStatus *out);

// --- events.c ---
// Tells all who listen; takes the lock.
void event_container(struct runtime *rt, struct container *c, int type);
void event_sandbox(struct runtime *rt, struct sandbox *s, int type);
bool events_stream(struct grpc_server_call *call, struct arena *a, str request, void *ctx, struct error *err);

// --- exec.c ---
bool exec_sync(struct runtime *rt, struct arena *a, const struct cri_v1_ExecSyncRequest *req, struct cri_v1_ExecSyncResponse *out, struct error *err);
// Writes the process file of an exec and returns its path; the caller removes it.
const char *exec_process_file(struct runtime *rt, struct arena *a, struct container *c, const struct str_list *cmd, bool tty, struct error *err);

// --- streaming.c ---
struct streaming *streaming_start(struct runtime *rt, struct error *err);
bool streaming_exec_url(struct runtime *rt, struct arena *a, const struct cri_v1_ExecRequest *req, str *url, struct error *err);
void streaming_stop(struct streaming *s);

// --- stats.c ---
void container_stats(struct runtime *rt, struct arena *a, struct container *c, struct cri_v1_ContainerStats *out);
void sandbox_stats(struct runtime *rt, struct arena *a, struct sandbox *s, struct cri_v1_PodSandboxStats *out);

// --- pull.c ---
bool image_pull(struct runtime *rt, struct arena *a, str ref, const struct cri_v1_AuthConfig *auth, str *id, struct error *err);

// --- cri_runtime.c, cri_image.c ---
extern const struct grpc_method *const cri_runtime_methods;
extern const size_t cri_runtime_method_count;
extern const struct grpc_method *const cri_image_methods;
extern const size_t cri_image_method_count;

#endif
