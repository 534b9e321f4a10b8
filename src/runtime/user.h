// Who a container runs as: the security context and the image decide, /etc/passwd and /etc/group of the image give names
// their numbers. Files are opened inside the root file system only, whatever links they go through.
#ifndef CORACLE_RUNTIME_USER_H
#define CORACLE_RUNTIME_USER_H

#include "base/arena.h"
#include "base/error.h"
#include "schema/schema.h"

struct user {
	int64_t uid, gid;
	struct { int64_t *v; size_t n; } groups;  // supplemental; without duplicates
	str home;                                 // empty: not known
};
struct user_request {
	const int64_t *uid, *gid;    // NULL: not asked for
	str name;                    // run_as_username
	str image_user;              // "nginx", "101", "nginx:nginx", "101:101"
	const int64_t *groups;       // supplemental
	size_t ngroups;
	bool strict;                 // groups of /etc/group are not added
};

// root_fd: the root file system (O_PATH will do). Missing files are empty. At most 1 MiB of each file is read.
bool user_resolve(struct arena *a, int root_fd, const struct user_request *r, struct user *out, struct error *err);
// Opens a path inside the root; the last component may be created by flags. Symbolic links stay inside.
int root_open(int root_fd, const char *path, int flags, unsigned mode);
// mkdir -p inside the root.
bool root_mkdirs(struct arena *a, int root_fd, str path, struct error *err);

#endif
