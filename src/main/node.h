// One machine of a cluster: where its files are, who it is, which components run on it.
//
// `coracle up` makes what is missing (PKI, kubeconfigs, directories), then becomes the supervisor of the components; the
// same code runs on a real host and as first process of a sandbox node.
#ifndef CORACLE_MAIN_NODE_H
#define CORACLE_MAIN_NODE_H

#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"

enum component { C_APISERVER, C_CONTROLLER_MANAGER, C_SCHEDULER, C_RUNTIME, C_KUBELET, C_PROXY, C_COUNT };
extern const char *const component_names[C_COUNT]; // "apiserver", ...
// Also takes upstream's names ("kube-scheduler"). C_COUNT: unknown.
enum component component_of(const char *name);

// The users of the components that need no root: a range that systemd keeps for dynamic users, so nobody else has them.
enum { UID_APISERVER = 64701, UID_CONTROLLER_MANAGER = 64702, UID_SCHEDULER = 64703 };

struct node_config {
	const char *data_dir;       // /var/lib/coracle: what must last
	const char *run_dir;        // /run/coracle: sockets, locks
	const char *kubelet_dir;    // /var/lib/kubelet
	const char *name, *ip;
	const char *server;         // of the API; NULL: this machine's own (https://127.0.0.1:port)
	const char *service_cidr, *cluster_cidr;
	const char *cluster_domain;
	int port;
	bool run[C_COUNT];
	int listen_fds[64];         // further listening sockets for the apiserver
	size_t nlisten_fds;
	const char *insecure_registry; // host:port that is spoken to without TLS; NULL: none
	const char *node_monitor_grace; // NULL: upstream's 50s
	const char *node_labels;        // NULL: none
	const char *token_auth_file;    // static tokens; NULL: none
};

// Defaults: this host's name, its first global address, every component.
void node_config_default(struct arena *a, struct node_config *c);
// Makes directories, the authority, certificates and kubeconfigs that this machine needs. With a `server` only those
// that join or the sandbox have not put there already are missing, and that is an error.
bool node_prepare(struct arena *a, const struct node_config *c, struct error *err);
// Issues what a worker needs from the authority in `pki_dir` into the worker's directories (sandbox; join does it by CSR).
bool node_issue_worker(struct arena *a, const char *pki_dir, const struct node_config *worker, const char *file_prefix, struct error *err);
// The command line of a component, NULL-terminated, and the user it runs as (0: root).
const char *const *node_component_argv(struct arena *a, const struct node_config *c, enum component which, uid_t *user);

// The command that imports the archives in data_dir/images that are new since the last time; NULL: there are none.
const char *const *node_import_argv(struct arena *a, const struct node_config *c);

// Runs until SIGTERM or SIGINT, restarting what ends; then stops the components, pods first. `ready_fd` (-1: none) gets a byte
// when everything has been started once. Returns the exit status.
int supervise(const struct node_config *c, int ready_fd);

// Waits until the API answers /readyz, and if `nodes` > 0 until that many nodes are Ready. kubeconfig: an admin's.
// `alive` is asked now and then; false (it fills err) ends the wait.
bool wait_ready(const char *kubeconfig, int nodes, int timeout_ms, bool (*alive)(void *ctx, struct error *err), void *ctx, struct error *err);

int up_main(int argc, char **argv);
int down_main(int argc, char **argv);
int join_main(int argc, char **argv);
int token_main(int argc, char **argv);
int sandbox_main(int argc, char **argv);

#endif
