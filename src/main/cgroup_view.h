// A plain view of cgroups for a node. crun (1.8) refuses a hybrid host whose unified hierarchy has controllers; such a host, and
// every sandbox node, gets a mount namespace of its own in which /sys/fs/cgroup shows either v1 controllers alone or v2.
#ifndef CORACLE_MAIN_CGROUP_VIEW_H
#define CORACLE_MAIN_CGROUP_VIEW_H

#include "base/arena.h"
#include "base/error.h"

struct path_list { const char **v; size_t n; };
enum cgroup_mode { CGROUP_V1, CGROUP_V2, CGROUP_HYBRID };
// What this mount namespace shows at /sys/fs/cgroup.
enum cgroup_mode cgroup_mode(void);

// Where a cgroup of that name below the caller's own one is, in every hierarchy (paths below this mount namespace's mounts).
bool cgroup_paths(struct arena *a, const char *name, struct path_list *paths, struct error *err);
// Makes those cgroups and moves the caller into them.
bool cgroup_enter_new(const char *name, struct error *err);
// Removes cgroups with everything below them (all processes gone). Tries for up to two seconds: the kernel lets go late.
void cgroup_view_remove(const char *path);
// In a mount namespace of its own (and a cgroup namespace, if the view shall begin at the caller's cgroup): mounts the plain view.
bool cgroup_mount_view(struct error *err);

#endif
