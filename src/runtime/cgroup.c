#include "runtime/cgroup.h"

#include <dirent.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/io.h"

bool cgroup_is_v2(void)
{
	struct statfs st;
	return statfs("/sys/fs/cgroup", &st) == 0 && (uint64_t)st.f_type == CGROUP2_SUPER_MAGIC;
}

bool cgroup_has_swap(bool v2)
{
	// The root group of version 2 has no limit files to look for; a kernel with swap has this one.
	if (v2)
		return io_exists("/proc/swaps");
	return io_exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes");
}

bool cgroup_has_hugetlb(bool v2)
{
	struct error ignored = { 0 };
	_cleanup_arena_ struct arena *a = arena_new(0);
	str text;
	if (!v2)
		return io_exists("/sys/fs/cgroup/hugetlb");
	return io_read_file(a, "/sys/fs/cgroup/cgroup.controllers", 4096, &text, &ignored) && str_contains(text, S("hugetlb"));
}

static bool read_file(struct arena *a, bool v2, const char *controller, str path, const char *file, str *out)
{
	struct error ignored = { 0 };
	const char *name = v2 ? arena_printf(a, "/sys/fs/cgroup" STR_FMT "/%s", STR_ARG(path), file).p
	                      : arena_printf(a, "/sys/fs/cgroup/%s" STR_FMT "/%s", controller, STR_ARG(path), file).p;
	return io_read_file(a, name, 64 * 1024, out, &ignored);
}

static bool read_u64(struct arena *a, bool v2, const char *controller, str path, const char *file, uint64_t *out)
{
	str text;
	return read_file(a, v2, controller, path, file, &text) && str_to_u64(str_trim(text), out);
}

// "name value" lines.
static uint64_t field(str text, const char *name)
{
	for (str rest = text, line; str_next(&rest, '\n', &line);) {
		str key, value;
		uint64_t n;
		if (str_split(line, ' ', &key, &value) && str_eqc(key, name) && str_to_u64(str_trim(value), &n))
			return n;
	}
	return 0;
}

void cgroup_read(struct arena *a, bool v2, str path, struct cgroup_stats *out)
{
	*out = (struct cgroup_stats){ 0 };
	str text;
	uint64_t n;
	if (v2) {
		if (read_file(a, true, NULL, path, "cpu.stat", &text)) {
			out->found = true;
			out->cpu_ns = field(text, "usage_usec") * 1000;
		}
		read_u64(a, true, NULL, path, "memory.current", &out->memory);
		if (read_u64(a, true, NULL, path, "memory.max", &n))
			out->memory_limit = n;
		out->has_swap = read_u64(a, true, NULL, path, "memory.swap.current", &out->swap);
	} else {
		out->found = read_u64(a, false, "cpuacct", path, "cpuacct.usage", &out->cpu_ns);
		read_u64(a, false, "memory", path, "memory.usage_in_bytes", &out->memory);
		if (read_u64(a, false, "memory", path, "memory.limit_in_bytes", &n) && n < INT64_MAX / 2)
			out->memory_limit = n;
		if (read_u64(a, false, "memory", path, "memory.memsw.usage_in_bytes", &n)) {
			out->has_swap = true;
			out->swap = n > out->memory ? n - out->memory : 0;
		}
	}
	if (read_file(a, v2, "memory", path, "memory.stat", &text)) {
		uint64_t inactive = field(text, v2 ? "inactive_file" : "total_inactive_file");
		out->working_set = out->memory > inactive ? out->memory - inactive : 0;
		out->rss = field(text, v2 ? "anon" : "total_rss");
		out->page_faults = field(text, v2 ? "pgfault" : "total_pgfault");
		out->major_faults = field(text, v2 ? "pgmajfault" : "total_pgmajfault");
	}
	read_u64(a, v2, "pids", path, "pids.current", &out->pids);
}

uint64_t cgroup_oom_kills(struct arena *a, bool v2, str path)
{
	str text;
	return read_file(a, v2, "memory", path, v2 ? "memory.events" : "memory.oom_control", &text) ? field(text, "oom_kill") : 0;
}

bool cgroup_exists(struct arena *a, bool v2, str path)
{
	return io_exists(v2 ? arena_printf(a, "/sys/fs/cgroup" STR_FMT, STR_ARG(path)).p
	                    : arena_printf(a, "/sys/fs/cgroup/memory" STR_FMT, STR_ARG(path)).p);
}

static void each_hierarchy(struct arena *a, bool v2, const char *path, void (*fn)(struct arena *a, const char *dir, pid_t pid), pid_t pid)
{
	if (v2) {
		fn(a, arena_printf(a, "/sys/fs/cgroup%s", path).p, pid);
		return;
	}
	_cleanup_closedir_ DIR *d = opendir("/sys/fs/cgroup");
	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.' && e->d_type != DT_LNK)
			fn(a, arena_printf(a, "/sys/fs/cgroup/%s%s", e->d_name, path).p, pid);
}

static void join(struct arena *a, const char *dir, pid_t pid)
{
	struct error ignored = { 0 };
	if (mkdir(dir, 0755) == 0 || io_exists(dir))
		io_write_existing(arena_printf(a, "%s/cgroup.procs", dir).p, arena_printf(a, "%d", (int)pid), &ignored);
}

static void leave(struct arena *a, const char *dir, pid_t pid)
{
	(void)a, (void)pid;
	rmdir(dir);
}

void cgroup_join(struct arena *a, bool v2, const char *path, pid_t pid)
{
	each_hierarchy(a, v2, path, join, pid);
}

void cgroup_remove(struct arena *a, bool v2, const char *path)
{
	each_hierarchy(a, v2, path, leave, 0);
}
