#include "main/teardown.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/log.h"
#include "base/proc.h"
#include "net/grpc.h"
#include "schema/schema.h"
#include "schema_gen.h"

enum { CALL_MS = 15000 };

static bool call_pod(struct grpc_client *g, struct arena *a, const char *method, str id, struct error *err)
{
	// StopPodSandboxRequest and RemovePodSandboxRequest are the same message but for the name (CRI v1: field 1, the id).
	struct cri_v1_StopPodSandboxRequest q = { .pod_sandbox_id = id };
	_cleanup_buf_ struct buf b = { 0 };
	str answer;
	schema_to_pb(&b, cri_v1_StopPodSandboxRequest_desc, &q);
	return grpc_call(g, a, method, buf_str(&b), &answer, CALL_MS, err);
}

bool teardown_pods(const struct node_config *c, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	str answer;
	struct grpc_client *g = grpc_client_new(arena_printf(a, "%s/runtime.sock", c->run_dir).p);
	bool ok = grpc_call(g, a, "/runtime.v1.RuntimeService/ListPodSandbox", S(""), &answer, CALL_MS, err);
	struct cri_v1_ListPodSandboxResponse *list = ok ? schema_from_pb(a, cri_v1_ListPodSandboxResponse_desc, answer, err) : NULL;
	ok = list != NULL;
	for (size_t i = 0; list && i < list->items.n; i++) {
		str id = list->items.v[i].id;
		struct error e = { 0 };
		if (!call_pod(g, a, "/runtime.v1.RuntimeService/StopPodSandbox", id, &e) ||
		    !call_pod(g, a, "/runtime.v1.RuntimeService/RemovePodSandbox", id, &e)) {
			*err = e;
			ok = false;
		}
	}
	grpc_client_free(g);
	return ok;
}

// Unmounts everything below a directory, the deepest (latest) first.
static void unmount_below(const char *dir)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	str text;
	struct str_list found = { 0 };
	if (!io_read_file(a, "/proc/self/mountinfo", 16 << 20, &text, &err)) {
		log_warn("%s", err.text);
		return;
	}
	for (str rest = text, line; str_next(&rest, '\n', &line);) {
		str field = { 0 };
		for (int i = 0; i < 5 && str_next(&line, ' ', &field); i++)
			;
		if (str_has_prefix(field, str_c(dir)) && field.n > strlen(dir) && field.p[strlen(dir)] == '/')
			*LIST_ADD(a, &found) = field;
	}
	for (size_t i = found.n; i-- > 0;)
		if (umount2(arena_cstr(a, found.v[i]), MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			log_warn("unmount " STR_FMT ": %m", STR_ARG(found.v[i]));
}

static void run(const char *const *argv)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct proc_result r;
	if (!proc_run(a, argv, NULL, S(""), 1 << 20, 5000, &r, &err))
		log_warn("%s", err.text);
}

// Removes a cgroup and those below it: rmdir from the leaves up; files in a cgroup go with it.
static void remove_cgroup(struct arena *a, const char *path)
{
	_cleanup_closedir_ DIR *d = opendir(path);
	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_type == DT_DIR && strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			remove_cgroup(a, arena_printf(a, "%s/%s", path, e->d_name).p);
	if (rmdir(path) < 0 && errno != ENOENT)
		log_warn("remove cgroup %s: %m", path);
}

static void remove_pod_cgroups(void)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	remove_cgroup(a, "/sys/fs/cgroup/kubepods");
	_cleanup_closedir_ DIR *d = opendir("/sys/fs/cgroup");
	for (struct dirent *e; d && (e = readdir(d));) // v1: one hierarchy per controller
		if (e->d_name[0] != '.')
			remove_cgroup(a, arena_printf(a, "/sys/fs/cgroup/%s/kubepods", e->d_name).p);
}

void teardown_host(const struct node_config *c)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	unmount_below(c->kubelet_dir);
	unmount_below(arena_printf(a, "%s/runtime", c->data_dir).p);
	unmount_below(arena_printf(a, "%s/runtime", c->run_dir).p);
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[MAX(n, 0)] = 0;
	const char *const cleanup[] = { self, "proxy", "--cleanup", NULL };
	run(cleanup);
	const char *const bridge[] = { "ip", "link", "delete", "coracle0", NULL };
	if (io_exists("/sys/class/net/coracle0"))
		run(bridge);
	remove_pod_cgroups();
}
