// What control groups say about a container or pod: version 1 (also the version 1 part of a hybrid host) and version 2.
#ifndef CORACLE_RUNTIME_CGROUP_H
#define CORACLE_RUNTIME_CGROUP_H

#include <sys/types.h>

#include "base/arena.h"

// Whether /sys/fs/cgroup is the unified hierarchy.
bool cgroup_is_v2(void);
// Whether this kernel and hierarchy can limit swap.
bool cgroup_has_swap(bool v2);
bool cgroup_has_hugetlb(bool v2);

struct cgroup_stats {
	bool found;
	uint64_t cpu_ns;
	uint64_t memory, working_set, rss, page_faults, major_faults;
	uint64_t memory_limit;      // 0: none
	uint64_t swap;
	bool has_swap;
	uint64_t pids;
};
// `path` as given to the OCI runtime ("/kubepods/...").
void cgroup_read(struct arena *a, bool v2, str path, struct cgroup_stats *out);
// How many processes of the group the kernel has killed for memory. 0 when the group is gone.
uint64_t cgroup_oom_kills(struct arena *a, bool v2, str path);
bool cgroup_exists(struct arena *a, bool v2, str path);
// Puts a process into the group, which is made (in every hierarchy), if its parent exists; and removes the group.
void cgroup_join(struct arena *a, bool v2, const char *path, pid_t pid);
void cgroup_remove(struct arena *a, bool v2, const char *path);

#endif
