// What the kubelet is told at its start: flags, and a KubeletConfiguration file under them (flags win).
#ifndef CORACLE_KUBELET_CONFIG_H
#define CORACLE_KUBELET_CONFIG_H

#include "base/arena.h"
#include "base/error.h"
#include "schema/schema.h"
#include "schema_gen.h"

struct kubelet_config {
	const char *kubeconfig, *hostname, *runtime_endpoint, *image_endpoint, *root_dir, *log_dir, *cgroup_root;
	const char *node_ip;                 // "10.0.0.1" or "10.0.0.1,fd00::1"; NULL: found out
	const char *address;                 // where the server listens
	const char *tls_cert, *tls_key, *client_ca, *cert_dir;
	const char *pod_cidr, *cluster_domain, *resolv_conf;
	struct str_list cluster_dns;
	struct str_map node_labels;
	struct core_v1_Taint_list taints;
	struct quantity_map reserved;        // system-reserved and kube-reserved together
	int port;
	int healthz_port;                    // 0: off
	int max_pods;
	int64_t status_ms, status_report_ms; // node status: computed, and sent at least every
	int lease_seconds;
	int64_t sync_ms;                     // each pod is looked at again at least this often
	int64_t volume_refresh_ms;
	int64_t relist_ms;
	int image_gc_high, image_gc_low;     // percent of the image file system
	int64_t image_min_age_ms;
	int64_t log_max_size;
	int log_max_files;
	int log_level;
	bool register_node, webhook_authn, anonymous, always_allow, seccomp_default, cgroups_per_qos, cfs_quota;
};

// Parses the command line (argv[0] is skipped) and the file it names. All texts are in the arena.
bool kubelet_config_load(struct arena *a, int argc, char **argv, struct kubelet_config *out, struct error *err);

#endif
