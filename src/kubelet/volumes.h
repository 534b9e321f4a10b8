// Volumes of a pod: configMap, secret, downwardAPI, projected (with service account tokens), emptyDir (disk and memory) and
// hostPath. Directories are upstream's: <root>/pods/<uid>/volumes/kubernetes.io~<kind>/<name>.
#ifndef CORACLE_KUBELET_VOLUMES_H
#define CORACLE_KUBELET_VOLUMES_H

#include "kubelet/env.h"
#include "kubelet/state.h"

// Makes all volumes of the pod, or brings their contents up to date. fresh: nothing kept from before now counts. Errors are those
// of the FailedMount event.
bool volumes_setup(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, bool fresh, struct error *err);
// Unmounts and removes everything below the pod's directory.
bool volumes_teardown(struct kubelet *k, struct arena *a, str uid, struct error *err);
// Where a volume of the pod is on the host; empty: no such volume.
str volume_host_path(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod, str name, bool *read_only);
// Name of the source that is set ("persistentVolumeClaim") when it is one that is not supported; empty otherwise.
str volume_unsupported(struct arena *a, const struct core_v1_Volume *v);

// --- Files of a volume (volume_files.c) ---
struct volume_file {
	str path; // relative
	str data;
	uint32_t mode;
	int64_t owner; // -1: root
};
struct volume_payload { struct volume_file *v; size_t n; };
// Replaces the contents of a directory at once, through the symbolic link ..data. Nothing is touched when nothing changed.
bool volume_write(const char *dir, const struct volume_payload *p, int64_t fs_group, const struct clock *clock, struct error *err);

// --- What goes into them (volume_data.c) ---
bool volume_data(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Volume *v, int64_t not_before,
                 struct volume_payload *out, struct error *err);
// A service account token for the pod, from the last request or a new one when that nears its end.
bool pod_token(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, str audience, int64_t seconds, str *token,
               struct error *err);
void pod_tokens_free(struct worker *w);
// The source of fields of a pod, with its addresses as they are known now.
struct env_source pod_env_source(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Container *c,
                                 const struct str_list *ips);

// --- subPath (subpath.c) ---
// A path for a bind mount of `sub` within the volume that cannot lead out of it, whatever links a container made there. The
// directory is made when it is missing.
bool subpath_prepare(struct kubelet *k, struct arena *a, str uid, str volume, str container, size_t index, str volume_path, str sub,
                     str *out, struct error *err);
// Takes back the mounts of all sub paths of a pod.
void subpath_cleanup(struct kubelet *k, struct arena *a, str uid);

bool is_mount(const char *path);

#endif
