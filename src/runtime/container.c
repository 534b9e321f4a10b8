#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "json/json.h"
#include "runtime/cgroup.h"
#include "runtime/digest.h"
#include "runtime/overlay.h"
#include "runtime/server.h"
#include "runtime/spec.h"
#include "runtime/user.h"

enum { STOP_KILL_WAIT_S = 120, LOG_REOPEN_WAIT_MS = 5000 };

// --- Creation ---

// Creation works in an arena of its own (a); what the container keeps for its life is copied into its own.
static void keep_list(struct container *c, struct str_list *to, const struct str_list *from)
{
	for (size_t i = 0; i < from->n; i++)
		*LIST_ADD(c->arena, to) = arena_dup(c->arena, from->v[i]);
}

static bool find_image(struct runtime *rt, struct arena *a, struct container *c, struct image_config *config, struct error *err)
{
	str ref = c->config->image ? c->config->image->image : (str){ 0 };
	struct image *image;
	if (!image_find(&rt->images, a, ref, &image, err))
		return false;
	if (!image)
		return rpc_error(err, GRPC_NOT_FOUND, "failed to resolve image \"" STR_FMT "\": not found", STR_ARG(ref));
	c->image_id = arena_dup(c->arena, image->id);
	c->image_ref = arena_dup(c->arena, image->digests.n ? image->digests.v[0] : image->names.n ? image->names.v[0] : image->id);
	str name = image->names.n ? image->names.v[0] : ref;
	// Of several names the one that the pod's author wrote.
	struct image_ref asked;
	struct error ignored = { 0 };
	str written = c->config->image ? c->config->image->user_specified_image : (str){ 0 };
	if (image_ref_parse(a, written.n ? written : ref, &asked, &ignored) && asked.tag.n) {
		str full = image_ref_tagged(a, &asked);
		for (size_t i = 0; i < image->names.n; i++)
			if (str_eq(image->names.v[i], full))
				name = full;
	}
	c->image_name = arena_dup(c->arena, name);
	keep_list(c, &c->chains, &image->chains);
	return image_read_config(&rt->images, a, image->id, config, err);
}

// What an overlay shows as its root is the upper directory: it takes after the image's.
static void copy_root(const char *from, const char *to)
{
	struct stat st;
	if (stat(from, &st) == 0 && (chown(to, st.st_uid, st.st_gid) < 0 || chmod(to, st.st_mode & 07777) < 0))
		log_warn("%s: %s", to, strerror(errno));
}

static bool mount_root(struct runtime *rt, struct arena *a, struct container *c, const char *rootfs, struct error *err)
{
	const char *upper = arena_printf(a, "%s/upper", c->dir).p, *work = arena_printf(a, "%s/work", c->dir).p;
	size_t n;
	const char **lower = image_lower_dirs(&rt->images, a, &c->chains, &n);
	if (mkdir(upper, 0755) < 0 || mkdir(work, 0700) < 0 || mkdir(rootfs, 0755) < 0)
		return error_errno(err, "mkdir %s", rootfs);
	copy_root(lower[0], upper);
	return overlay_mount(a, lower, n, upper, work, rootfs, err);
}

// Volumes that are images: each mounted read-only; what the OCI runtime binds is a directory in it.
static bool mount_images(struct runtime *rt, struct arena *a, struct container *c, struct str_map *paths, struct error *err)
{
	for (size_t i = 0; i < c->config->mounts.n; i++) {
		const struct cri_v1_Mount *m = &c->config->mounts.v[i];
		if (!m->image || m->image->image.n == 0)
			continue;
		struct image *image;
		if (!image_find(&rt->images, a, m->image->image, &image, err))
			return false;
		if (!image)
			return rpc_error(err, GRPC_NOT_FOUND, "failed to resolve image \"" STR_FMT "\": not found", STR_ARG(m->image->image));
		size_t n;
		const char **dirs = image_lower_dirs(&rt->images, a, &image->chains, &n);
		const char **lower = ARENA_ARRAY(a, const char *, n + 1);
		memcpy(lower, dirs, n * sizeof(*dirs));
		lower[n] = arena_printf(a, "%s/empty", rt->images.dir).p; // without an upper directory an overlay wants two
		const char *at = arena_printf(a, "%s/volume-%zu", c->bundle, i).p;
		if (mkdir(at, 0755) < 0)
			return error_errno(err, "mkdir %s", at);
		if (!overlay_mount(a, lower, n + 1, NULL, NULL, at, err))
			return false;
		keep_list(c, &c->volumes_images, &image->chains);
		str path = str_c(at);
		if (m->image_sub_path.n) {
			_cleanup_close_ int root = open(at, O_PATH | O_DIRECTORY | O_CLOEXEC);
			_cleanup_close_ int fd = root >= 0 ? root_open(root, arena_cstr(a, m->image_sub_path), O_PATH, 0) : -1;
			char real[4096];
			ssize_t len = fd >= 0 ? readlink(arena_printf(a, "/proc/self/fd/%d", fd).p, real, sizeof(real)) : -1;
			if (len <= 0)
				return error_api(err, 400, "BadRequest", "image volume " STR_FMT ": no " STR_FMT " in the image", STR_ARG(m->container_path), STR_ARG(m->image_sub_path));
			path = arena_dup(a, str_n(real, (size_t)len));
		}
		str_map_set(a, paths, m->container_path, path);
	}
	return true;
}

static bool resolve_user(struct arena *a, struct container *c, int root_fd, const struct image_config *image, struct user *user, struct error *err)
{
	const struct cri_v1_LinuxContainerSecurityContext *sc = c->config->linux_ ? c->config->linux_->security_context : NULL;
	struct user_request r = { .image_user = image->user };
	if (sc) {
		r.uid = sc->run_as_user ? &sc->run_as_user->value : NULL;
		r.gid = sc->run_as_group ? &sc->run_as_group->value : NULL;
		r.name = sc->run_as_username;
		r.groups = sc->supplemental_groups.v;
		r.ngroups = sc->supplemental_groups.n;
		r.strict = sc->supplemental_groups_policy == cri_v1_SupplementalGroupsPolicy_Strict;
	}
	if (!user_resolve(a, root_fd, &r, user, err))
		return false;
	c->uid = user->uid;
	c->gid = user->gid;
	for (size_t i = 0; i < user->groups.n; i++)
		*LIST_ADD(c->arena, &c->groups) = user->groups.v[i];
	return true;
}

// The PID namespace to join: of the pod, of another container, or (NULL) a new one.
static bool pid_namespace(struct runtime *rt, struct arena *a, struct container *c, struct sandbox *s, struct spec_input *in, struct error *err)
{
	const struct cri_v1_LinuxContainerSecurityContext *sc = c->config->linux_ ? c->config->linux_->security_context : NULL;
	const struct cri_v1_NamespaceOption *ns = sc ? sc->namespace_options : NULL;
	int mode = ns ? ns->pid : cri_v1_NamespaceMode_CONTAINER;
	struct process p = { 0 };
	if (mode == cri_v1_NamespaceMode_NODE) {
		in->host_pid = true;
		return true;
	}
	if (mode == cri_v1_NamespaceMode_POD && s->pod_pid) {
		lock(rt);
		p = s->pause;
		unlock(rt);
	} else if (mode == cri_v1_NamespaceMode_TARGET) {
		struct container *target = container_get(rt, ns->target_id, err);
		if (!target)
			return false;
		lock(rt);
		p = target->process;
		bool ours = strcmp(target->sandbox_id, s->id) == 0 && target->state == cri_v1_ContainerState_CONTAINER_RUNNING;
		unlock(rt);
		container_put(rt, target);
		if (!ours)
			return rpc_error(err, GRPC_FAILED_PRECONDITION, "target container " STR_FMT " does not run in this pod", STR_ARG(ns->target_id));
	} else {
		return true;
	}
	if (!process_alive(&p))
		return rpc_error(err, GRPC_FAILED_PRECONDITION, "the PID namespace to join is gone");
	in->pid_ns = arena_printf(a, "/proc/%d/ns/pid", (int)p.pid).p;
	return true;
}

static bool write_bundle(struct runtime *rt, struct arena *a, struct container *c, struct sandbox *s, const struct image_config *image, struct error *err)
{
	const char *rootfs = arena_printf(a, "%s/rootfs", c->bundle).p;
	struct spec_input in = {
		.id = c->id, .config = c->config, .sandbox = s->config, .image = image, .rootfs = rootfs, .net_ns = s->net_ns, .uts_ns = s->uts_ns,
		.ipc_ns = s->ipc_ns, .shm = s->host_ipc ? "/dev/shm" : arena_printf(a, "%s/shm", s->dir).p,
		.resolv_conf = arena_printf(a, "%s/resolv.conf", s->dir).p, .hostname = arena_printf(a, "%s/hostname", s->dir).p,
		.hostname_text = s->hostname, .cgroup = c->cgroup, .cgroup_v2 = rt->cgroup_v2, .has_swap = rt->has_swap, .has_hugetlb = rt->has_hugetlb,
		.caps_available = rt->caps, .oom_score_adj_min = rt->oom_score_adj_min, .recursive_read_only = rt->recursive_read_only,
	};
	if (!mount_root(rt, a, c, rootfs, err) || !mount_images(rt, a, c, &in.image_mounts, err))
		return false;
	_cleanup_close_ int root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return error_errno(err, "%s", rootfs);
	struct user user;
	if (!resolve_user(a, c, root, image, &user, err) || !pid_namespace(rt, a, c, s, &in, err))
		return false;
	in.root_fd = root;
	in.user = &user;
	for (size_t i = 0; i < image->volumes.n; i++)
		if (!root_mkdirs(a, root, image->volumes.v[i], err))
			return error_wrap(err, "volume of the image");
	str cwd = c->config->working_dir.n ? c->config->working_dir : image->working_dir;
	if (cwd.n && !root_mkdirs(a, root, cwd, err))
		return error_wrap(err, "working directory");
	struct value *spec = spec_build(a, &in, err);
	if (!spec)
		return error_wrap(err, "failed to generate container \"%s\" spec", c->id);
	_cleanup_buf_ struct buf b = { 0 };
	json_write(&b, spec, JSON_COMPACT);
	const char *path = arena_printf(a, "%s/config.json", c->bundle).p;
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return fd < 0 ? error_errno(err, "create %s", path) : io_write_all(fd, buf_str(&b), err);
}

static bool prepare(struct runtime *rt, struct container *c, struct sandbox *s, struct error *err)
{
	struct image_config image = { 0 };
	_cleanup_arena_ struct arena *scratch = arena_new(64 * 1024);
	_cleanup_close_ int hold = image_hold(&rt->images, err);
	if (hold < 0 || !find_image(rt, scratch, c, &image, err))
		return false;
	const struct cri_v1_PodSandboxConfig *sc = s->config;
	struct arena *a = c->arena;
	if (sc->log_directory.n && c->config->log_path.n) {
		c->log_path = arena_printf(a, STR_FMT "/" STR_FMT, STR_ARG(sc->log_directory), STR_ARG(c->config->log_path)).p;
		const char *slash = strrchr(c->log_path, '/');
		if (!io_mkdirs(arena_cstr(a, str_n(c->log_path, (size_t)(slash - c->log_path))), 0755, err))
			return false;
	}
	str parent = sc->linux_ ? sc->linux_->cgroup_parent : (str){ 0 };
	c->cgroup = arena_printf(a, STR_FMT "%s/%s", STR_ARG(parent), parent.n ? "" : "/coracle", c->id);
	c->stop_signal = c->config->stop_signal ? signal_from_cri(c->config->stop_signal) : signal_parse(image.stop_signal);
	if (!c->stop_signal)
		c->stop_signal = SIGTERM;
	c->resources = c->config->linux_ ? c->config->linux_->resources : NULL;
	c->state = cri_v1_ContainerState_CONTAINER_CREATED;
	c->created = now();
	if (!io_mkdirs(c->dir, 0711, err) || !container_save(rt, c, false, err) || !io_mkdirs(c->bundle, 0711, err))
		return false;
	return write_bundle(rt, scratch, c, s, &image, err) && container_save(rt, c, true, err) && container_insert(rt, c, err);
}

struct container *container_create(struct runtime *rt, const struct cri_v1_CreateContainerRequest *req, struct error *err)
{
	if (!req->config || !req->config->metadata || req->config->metadata->name.n == 0) {
		rpc_error(err, GRPC_INVALID_ARGUMENT, "container config must include metadata");
		return NULL;
	}
	struct sandbox *s = sandbox_get(rt, req->pod_sandbox_id, err);
	if (!s)
		return NULL;
	pthread_mutex_lock(&s->op);
	lock(rt);
	bool ready = s->ready && !s->removed;
	unlock(rt);
	struct container *c = NULL;
	if (!ready) {
		rpc_error(err, GRPC_UNKNOWN, "failed to get sandbox container task: no running task found: sandbox \"%s\" is not ready", s->id);
	} else {
		struct arena *a = arena_new(4096);
		c = container_new(rt, a, new_id(a));
		c->sandbox_id = arena_cstr(a, str_c(s->id));
		c->config = schema_clone(a, cri_v1_ContainerConfig_desc, req->config);
		if (!prepare(rt, c, s, err)) {
			struct error cleaning = { 0 };
			if (!container_clean(rt, c, &cleaning))
				log_warn("container %s: %s", c->id, cleaning.text);
			container_put(rt, c);
			c = NULL;
		}
	}
	pthread_mutex_unlock(&s->op);
	sandbox_put(rt, s);
	if (c)
		event_container(rt, c, cri_v1_ContainerEventType_CONTAINER_CREATED_EVENT);
	return c;
}

// --- Start ---

bool container_start(struct runtime *rt, struct container *c, struct error *err)
{
	static const char *const states[] = { "CONTAINER_CREATED", "CONTAINER_RUNNING", "CONTAINER_EXITED", "CONTAINER_UNKNOWN" };
	_cleanup_arena_ struct arena *a = arena_new(8192);
	struct sandbox *s = sandbox_get(rt, str_c(c->sandbox_id), err);
	if (!s)
		return false;
	pthread_mutex_lock(&c->op);
	lock(rt);
	int state = c->removed ? cri_v1_ContainerState_CONTAINER_UNKNOWN : c->state;
	bool ready = s->ready;
	if (state == cri_v1_ContainerState_CONTAINER_CREATED && ready)
		c->starting = true;
	unlock(rt);
	sandbox_put(rt, s);
	bool ok = false;
	if (state != cri_v1_ContainerState_CONTAINER_CREATED) {
		rpc_error(err, GRPC_UNKNOWN, "failed to set starting state for container \"%s\": container is in %s state", c->id, states[state]);
	} else if (!ready) {
		rpc_error(err, GRPC_UNKNOWN, "sandbox container \"%s\" is not running", c->sandbox_id);
	} else {
		ok = oci_create(rt, a, c, err) && oci_start(rt, a, c->id, err);
		if (!ok) {
			error_wrap(err, "failed to start containerd task \"" STR_FMT "\"", STR_ARG(c->config->metadata->name));
			struct error ignored = { 0 };
			oci_delete(rt, a, c->id, &ignored);
			unlink(arena_printf(a, "%s/exits/%s", rt->opts.state, c->id).p);
		}
		lock(rt);
		c->starting = false;
		c->started = ok ? now() : 0;
		c->state = ok ? cri_v1_ContainerState_CONTAINER_RUNNING : cri_v1_ContainerState_CONTAINER_EXITED;
		if (!ok) {
			c->finished = now();
			c->exit_code = 128;
			c->reason = "StartError";
			c->message = arena_dup(c->arena, str_c(err->text));
			c->process = c->monitor = (struct process){ 0 };
		}
		pthread_cond_broadcast(&rt->changed);
		unlock(rt);
		struct error save = { 0 };
		if (!container_save(rt, c, true, &save))
			log_warn("container %s: %s", c->id, save.text);
	}
	pthread_mutex_unlock(&c->op);
	if (ok) {
		event_container(rt, c, cri_v1_ContainerEventType_CONTAINER_STARTED_EVENT);
		monitor_watch(rt, c);
		monitor_check(rt, c); // it may have ended already
	}
	return ok;
}

void container_adopt(struct runtime *rt, struct container *c)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	if (!io_exists(arena_printf(a, "%s/oci/%s", rt->opts.state, c->id).p))
		return;
	struct error err = { 0 };
	if (!str_eqc(oci_status(rt, a, c->id), "running")) {
		// Created, and never told to go on: as if nobody had begun.
		oci_delete(rt, a, c->id, &err);
		unlink(arena_printf(a, "%s/exits/%s", rt->opts.state, c->id).p);
		return;
	}
	str text;
	int64_t pid = 0, monitor = 0;
	if (io_read_file(a, arena_printf(a, "%s/pidfile", c->bundle).p, 64, &text, &err))
		str_to_i64(str_trim(text), &pid);
	if (io_read_file(a, arena_printf(a, "%s/conmon.pid", c->bundle).p, 64, &text, &err))
		str_to_i64(str_trim(text), &monitor);
	c->process = process_of((pid_t)pid);
	c->monitor = process_of((pid_t)monitor);
	c->state = cri_v1_ContainerState_CONTAINER_RUNNING;
	c->started = now();
	container_save(rt, c, true, &err);
}

// --- Stop ---

static bool has_ended(const struct container *c)
{
	return c->state == cri_v1_ContainerState_CONTAINER_EXITED || c->removed;
}

// With `lock` held: until it has ended or the time has come; false then.
static bool wait_end(struct runtime *rt, struct container *c, int64_t seconds)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)MIN(seconds, (int64_t)365 * 24 * 3600);
	while (!has_ended(c))
		if (pthread_cond_timedwait(&rt->changed, &rt->lock, &until) == ETIMEDOUT)
			return has_ended(c);
	return true;
}

static void send(const struct process *p, int sig)
{
	int fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	// Checked after the descriptor is open: the number cannot pass to another process any more.
	if (fd >= 0 && process_alive(p))
		syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0);
	if (fd >= 0)
		close(fd);
}

static bool own_pid_namespace(const struct container *c)
{
	const struct cri_v1_LinuxContainerSecurityContext *sc = c->config->linux_ ? c->config->linux_->security_context : NULL;
	return !sc || !sc->namespace_options || sc->namespace_options->pid == cri_v1_NamespaceMode_CONTAINER;
}

static bool stop(struct runtime *rt, struct container *c, int64_t timeout_s, struct error *err)
{
	lock(rt);
	bool running = c->state == cri_v1_ContainerState_CONTAINER_RUNNING && !c->removed;
	struct process p = c->process;
	unlock(rt);
	if (!running || monitor_check(rt, c))
		return true;
	bool ended = false;
	if (timeout_s > 0) {
		send(&p, c->stop_signal);
		lock(rt);
		ended = wait_end(rt, c, timeout_s);
		unlock(rt);
	}
	if (ended)
		return true;
	if (!own_pid_namespace(c)) { // its children would live on in the pod's or the node's namespace
		_cleanup_arena_ struct arena *a = arena_new(0);
		struct error ignored = { 0 };
		oci_kill_all(rt, a, c->id, &ignored);
	}
	send(&p, SIGKILL);
	lock(rt);
	ended = wait_end(rt, c, STOP_KILL_WAIT_S);
	unlock(rt);
	return ended || rpc_error(err, GRPC_DEADLINE_EXCEEDED, "container \"%s\" does not end after SIGKILL", c->id);
}

bool container_stop(struct runtime *rt, struct container *c, int64_t timeout_s, struct error *err)
{
	// Not under `op`: a second stop with a shorter time must not wait for the first.
	return stop(rt, c, timeout_s, err);
}

// --- Removal ---

static bool unmount(const char *path, struct error *err)
{
	while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	return errno == EINVAL || errno == ENOENT || error_errno(err, "unmount %s", path);
}

bool container_clean(struct runtime *rt, struct container *c, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	if (!oci_delete(rt, a, c->id, err) || !unmount(arena_printf(a, "%s/rootfs", c->bundle).p, err))
		return false;
	_cleanup_closedir_ DIR *d = opendir(c->bundle);
	for (struct dirent *e; d && (e = readdir(d));)
		if (strncmp(e->d_name, "volume-", 7) == 0 && !unmount(arena_printf(a, "%s/%s", c->bundle, e->d_name).p, err))
			return false;
	unlink(arena_printf(a, "%s/exits/%s", rt->opts.state, c->id).p);
	unlink(arena_printf(a, "%s/attach/%.16s", rt->opts.state, c->id).p);
	return io_remove_tree(c->bundle, err) && io_remove_tree(c->dir, err);
}

bool container_remove(struct runtime *rt, struct container *c, struct error *err)
{
	if (!stop(rt, c, 0, err))
		return false;
	pthread_mutex_lock(&c->op);
	lock(rt);
	bool first = !c->removed;
	c->removed = true;
	unlock(rt);
	bool ok = container_clean(rt, c, err);
	if (ok) {
		container_forget(rt, c);
	} else if (first) {
		lock(rt);
		c->removed = false;
		unlock(rt);
	}
	pthread_mutex_unlock(&c->op);
	if (ok && first)
		event_container(rt, c, cri_v1_ContainerEventType_CONTAINER_DELETED_EVENT);
	return ok;
}

static bool uses(const struct str_list *chains, str name)
{
	for (size_t i = 0; i < chains->n; i++)
		if (str_has_prefix(digest_hex(chains->v[i]), name))
			return true;
	return false;
}

bool layer_used(str name, void *ctx)
{
	struct runtime *rt = ctx;
	bool found = false;
	lock(rt);
	for (struct map_slot *s = NULL; !found && (s = map_each(&rt->containers, s));) {
		const struct container *c = s->value;
		found = uses(&c->chains, name) || uses(&c->volumes_images, name);
	}
	unlock(rt);
	return found;
}

// --- Changes ---

#define TAKE(field) if (r->field) to->field = r->field
#define TAKE_TEXT(field) if (r->field.n) to->field = arena_dup(c->arena, r->field)

// What an update leaves out stays.
static struct cri_v1_LinuxContainerResources *merged(struct container *c, const struct cri_v1_LinuxContainerResources *r)
{
	struct cri_v1_LinuxContainerResources *to = c->resources ? schema_clone(c->arena, cri_v1_LinuxContainerResources_desc, c->resources)
	                                                         : schema_new(c->arena, cri_v1_LinuxContainerResources_desc);
	TAKE(cpu_period);
	TAKE(cpu_quota);
	TAKE(cpu_shares);
	TAKE(memory_limit_in_bytes);
	TAKE(memory_swap_limit_in_bytes);
	TAKE(oom_score_adj);
	TAKE_TEXT(cpuset_cpus);
	TAKE_TEXT(cpuset_mems);
	for (size_t i = 0; i < r->unified.n; i++)
		str_map_set(c->arena, &to->unified, arena_dup(c->arena, r->unified.v[i].key), arena_dup(c->arena, r->unified.v[i].value));
	return to;
}

static bool rewrite_spec(struct container *c, struct arena *a, const struct value *resources, struct error *err)
{
	const char *path = arena_printf(a, "%s/config.json", c->bundle).p;
	str text;
	if (!io_read_file(a, path, 64 << 20, &text, err))
		return false;
	struct value *spec = json_parse(a, text, NULL, err), *old = value_path(spec, S("linux"), S("resources"));
	if (!old)
		return error_wrap(err, "%s", path);
	for (size_t i = 0; i < resources->o.n; i++)
		value_set(a, old, resources->o.v[i].key, resources->o.v[i].value);
	return io_write_file(path, json_text(a, spec, JSON_COMPACT), 0600, err);
}

bool container_update(struct runtime *rt, struct container *c, const struct cri_v1_LinuxContainerResources *r, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	pthread_mutex_lock(&c->op);
	struct cri_v1_LinuxContainerResources *all = merged(c, r);
	lock(rt);
	int state = c->state;
	unlock(rt);
	struct value *resources = spec_resources(a, state == cri_v1_ContainerState_CONTAINER_RUNNING ? r : all, rt->cgroup_v2, rt->has_swap, rt->has_hugetlb);
	bool ok;
	if (state == cri_v1_ContainerState_CONTAINER_RUNNING)
		ok = resources->o.n == 0 || oci_update(rt, a, c->id, json_text(a, resources, JSON_COMPACT), err);
	else if (state == cri_v1_ContainerState_CONTAINER_CREATED)
		ok = rewrite_spec(c, a, resources, err);
	else
		ok = rpc_error(err, GRPC_FAILED_PRECONDITION, "container \"%s\" has ended", c->id);
	if (ok) {
		lock(rt);
		c->resources = all;
		unlock(rt);
		ok = container_save(rt, c, true, err);
	}
	pthread_mutex_unlock(&c->op);
	return ok;
}

bool container_reopen_log(struct runtime *rt, struct container *c, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	lock(rt);
	bool running = c->state == cri_v1_ContainerState_CONTAINER_RUNNING;
	unlock(rt);
	if (!running)
		return rpc_error(err, GRPC_FAILED_PRECONDITION, "container is not running");
	if (!c->log_path)
		return true;
	const char *slash = strrchr(c->log_path, '/');
	_cleanup_close_ int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (watch < 0 || inotify_add_watch(watch, arena_cstr(a, str_n(c->log_path, (size_t)(slash - c->log_path))), IN_CREATE | IN_MOVED_TO) < 0)
		return error_errno(err, "watch the log directory");
	bool was_there = io_exists(c->log_path);
	const char *ctl = arena_printf(a, "%s/ctl", c->bundle).p;
	_cleanup_close_ int fd = open(ctl, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, "open %s", ctl);
	if (!io_write_all(fd, S("2 0 0\n"), err))
		return false;
	// conmon answers nothing: the new file is the answer. (One that is there already was opened again, or soon will be.)
	int64_t until = clock_mono(NULL) + LOG_REOPEN_WAIT_MS * NS_PER_MS;
	while (!was_there && !io_exists(c->log_path)) {
		int64_t left = (until - clock_mono(NULL)) / NS_PER_MS;
		struct pollfd p = { .fd = watch, .events = POLLIN };
		if (left <= 0 || poll(&p, 1, (int)left) < 0)
			return error_set(err, "conmon does not reopen the log of container %s", c->id);
		char events[4096];
		(void)!read(watch, events, sizeof(events));
	}
	return true;
}
