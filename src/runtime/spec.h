// From CRI to OCI: the config.json of a container (runtime-spec 1.0).
#ifndef CORACLE_RUNTIME_SPEC_H
#define CORACLE_RUNTIME_SPEC_H

#include "json/value.h"
#include "runtime/manifest.h"
#include "runtime/user.h"
#include "schema_gen.h"

struct spec_input {
	const char *id;
	const struct cri_v1_ContainerConfig *config;
	const struct cri_v1_PodSandboxConfig *sandbox;
	const struct image_config *image;
	const struct user *user;
	const char *rootfs;             // absolute path of the mounted root file system
	int root_fd;                    // the same, open
	// Namespaces to join; NULL: the node's.
	const char *net_ns, *uts_ns, *ipc_ns;
	const char *pid_ns;             // NULL: a new one, unless host_pid
	bool host_pid;
	// Files that the sandbox keeps for its containers; NULL: not mounted.
	const char *shm, *resolv_conf, *hostname;
	str hostname_text;
	str cgroup;                     // cgroupsPath
	bool cgroup_v2, has_swap, has_hugetlb;
	uint64_t caps_available;
	int oom_score_adj_min;          // lower values cannot be set by this process; INT32_MIN: any can
	bool recursive_read_only;       // the OCI runtime and kernel can
	struct str_map image_mounts;    // host paths of mounts that come from images, by container path
};

// The whole object. Fails with code 400 for what cannot be (and says what), and refuses what is not built.
struct value *spec_build(struct arena *a, const struct spec_input *in, struct error *err);
// The command line: entry point and arguments of config and image (CRI: command replaces both of the image's, args only cmd).
bool spec_args(struct arena *a, const struct cri_v1_ContainerConfig *c, const struct image_config *image, struct str_list *out, struct error *err);
// "linux.resources" for creation (devices come from elsewhere) and for an update.
struct value *spec_resources(struct arena *a, const struct cri_v1_LinuxContainerResources *r, bool v2, bool has_swap, bool has_hugetlb);
// The process object of an exec in the container: that of the container with another command line.
struct value *spec_exec_process(struct arena *a, const struct value *spec, const struct str_list *cmd, bool tty);

#endif
