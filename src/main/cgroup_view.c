#include "main/cgroup_view.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"

#define CGROUP_ROOT "/sys/fs/cgroup"
enum { REMOVE_MS = 2000, PROC_LIMIT = 1 << 20 };

// Calls each with the controllers of a hierarchy ("cpu,cpuacct"; empty for v2) and the caller's cgroup in it.
static bool each_hierarchy(bool (*each)(struct arena *a, str controllers, str path, void *ctx, struct error *err), void *ctx, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	str text;
	if (!io_read_file(a, "/proc/self/cgroup", PROC_LIMIT, &text, err))
		return false;
	for (str rest = text, line; str_next(&rest, '\n', &line);) {
		str id, controllers, path;
		if (!str_split(line, ':', &id, &line) || !str_split(line, ':', &controllers, &path))
			continue;
		if (str_has_prefix(controllers, S("name=")))
			continue;
		if (!each(a, controllers, path, ctx, err))
			return false;
	}
	return true;
}

static bool is_v1(struct arena *a, str controllers, str path, void *ctx, struct error *err)
{
	if (controllers.n)
		*(bool *)ctx = true;
	return true;
}

enum cgroup_mode cgroup_mode(void)
{
	struct error ignored = { 0 };
	bool v1 = false;
	each_hierarchy(is_v1, &v1, &ignored); // of the kernel, not of what happens to be mounted here
	return !v1 ? CGROUP_V2 : io_exists(CGROUP_ROOT "/unified") ? CGROUP_HYBRID : CGROUP_V1;
}

struct listing {
	struct arena *arena;
	const char *name;
	struct path_list *paths;
	bool v2;
};

static bool list_path(struct arena *a, str controllers, str path, void *ctx, struct error *err)
{
	struct listing *l = ctx;
	if (controllers.n == 0 && !l->v2) // in a hybrid set-up v2 holds what v1 does not; pods have no use for it
		return true;
	const char *hierarchy = controllers.n ? arena_printf(a, CGROUP_ROOT "/" STR_FMT, STR_ARG(controllers)).p : CGROUP_ROOT;
	if (!io_exists(hierarchy))
		return true; // known to the kernel, mounted nowhere
	if (str_eqc(path, "/"))
		path = S("");
	*LIST_ADD(l->arena, l->paths) = arena_printf(l->arena, "%s" STR_FMT "/%s", hierarchy, STR_ARG(path), l->name).p;
	return true;
}

bool cgroup_paths(struct arena *a, const char *name, struct path_list *paths, struct error *err)
{
	struct listing l = { .arena = a, .name = name, .paths = paths, .v2 = cgroup_mode() == CGROUP_V2 };
	return each_hierarchy(list_path, &l, err);
}

// v1: an empty cpuset lets nobody in, so a new one takes its parent's; its children take its own by themselves.
static void fill_cpuset(struct arena *a, const char *dir)
{
	static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };
	struct error ignored = { 0 };
	io_write_existing(arena_printf(a, "%s/cgroup.clone_children", dir).p, S("1"), &ignored);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		str value;
		if (io_read_file(a, arena_printf(a, "%s/../%s", dir, files[i]).p, 4096, &value, &ignored))
			io_write_existing(arena_printf(a, "%s/%s", dir, files[i]).p, str_trim(value), &ignored);
	}
}

bool cgroup_enter_new(const char *name, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct path_list paths = { 0 };
	if (!cgroup_paths(a, name, &paths, err))
		return false;
	for (size_t i = 0; i < paths.n; i++) {
		const char *dir = paths.v[i];
		if (mkdir(dir, 0755) < 0 && errno != EEXIST)
			return error_errno(err, "mkdir %s", dir);
		if (io_exists(arena_printf(a, "%s/cpuset.cpus", dir).p) && cgroup_mode() != CGROUP_V2)
			fill_cpuset(a, dir);
		if (!io_write_existing(arena_printf(a, "%s/cgroup.procs", dir).p, S("0"), err))
			return false;
	}
	return true;
}

static bool remove_tree(struct arena *a, const char *path)
{
	_cleanup_closedir_ DIR *d = opendir(path);
	if (!d)
		return errno == ENOENT;
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_type == DT_DIR && strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			remove_tree(a, arena_printf(a, "%s/%s", path, e->d_name).p);
	return rmdir(path) == 0 || errno == ENOENT;
}

void cgroup_view_remove(const char *path)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	for (int64_t until = clock_mono(NULL) + REMOVE_MS * NS_PER_MS; !remove_tree(a, path) && clock_mono(NULL) < until;)
		clock_sleep(NULL, 5 * NS_PER_MS);
}

static bool mount_v1(struct arena *a, str controllers, str path, void *ctx, struct error *err)
{
	(void)path;
	(void)ctx;
	if (controllers.n == 0)
		return true;
	const char *names = arena_cstr(a, controllers), *dir = arena_printf(a, CGROUP_ROOT "/%s", names).p;
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return error_errno(err, "mkdir %s", dir);
	if (mount("cgroup", dir, "cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, names) < 0) {
		// A controller that the kernel knows but that is mounted nowhere on this host belongs to v2.
		int why = errno;
		rmdir(dir);
		if (why == EBUSY || why == EINVAL || why == ENOENT)
			return true;
		errno = why;
		return error_errno(err, "mount cgroup %s", names);
	}
	// Co-mounted controllers are found under each one's name, as on every distribution.
	for (str rest = controllers, one; controllers.n != 0 && str_next(&rest, ',', &one);)
		if (!str_eq(one, controllers) && symlink(names, arena_printf(a, CGROUP_ROOT "/" STR_FMT, STR_ARG(one)).p) < 0 && errno != EEXIST)
			return error_errno(err, "symlink " STR_FMT, STR_ARG(one));
	return true;
}

// v2 lets processes live only in leaves: the first process moves into one, so that pods can have controllers.
static bool delegate_v2(struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	str controllers;
	if (mkdir(CGROUP_ROOT "/init", 0755) < 0 && errno != EEXIST)
		return error_errno(err, "mkdir " CGROUP_ROOT "/init");
	if (!io_write_existing(CGROUP_ROOT "/init/cgroup.procs", S("0"), err) ||
	    !io_read_file(a, CGROUP_ROOT "/cgroup.controllers", 4096, &controllers, err))
		return false;
	for (str rest = str_trim(controllers), one; str_next(&rest, ' ', &one);)
		if (one.n && !io_write_existing(CGROUP_ROOT "/cgroup.subtree_control", arena_concat(a, S("+"), one), err))
			return false;
	return true;
}

bool cgroup_mount_view(struct error *err)
{
	if (cgroup_mode() == CGROUP_V2) {
		if (mount("cgroup2", CGROUP_ROOT, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
			return error_errno(err, "mount cgroup2");
		return delegate_v2(err);
	}
	if (mount("tmpfs", CGROUP_ROOT, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=1m") < 0)
		return error_errno(err, "mount tmpfs at " CGROUP_ROOT);
	return each_hierarchy(mount_v1, NULL, err);
}
