#include "runtime/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/heap.h"
#include "base/io.h"
#include "base/log.h"
#include "base/map.h"
#include "base/proc.h"
#include "runtime/tar.h"
#include "runtime/overlay.h"

struct dir_time {
	str path;
	struct timespec mtime;
};

struct unpacker {
	struct arena *arena;
	const struct archive_lib *l;
	struct tar_stream *tar;
	struct map made; // paths of this layer: an opaque mark hides only what lies below it
	struct { struct dir_time *v; size_t n; } dirs;
	int64_t bytes, entries;
};

static bool is_dir(const char *path)
{
	struct stat st;
	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

// The directory that holds `path`, with all above it. Existing ones may be reached through symbolic links: the kernel
// keeps those inside the root.
static bool make_parents(struct unpacker *u, str path, struct error *err)
{
	ptrdiff_t slash = str_rfind_char(path, '/');
	if (slash <= 0)
		return true;
	char *dir = arena_cstr(u->arena, str_sub(path, 0, (size_t)slash));
	struct stat st;
	if (stat(dir, &st) == 0)
		return S_ISDIR(st.st_mode) || error_api(err, 400, "BadRequest", "%s: not a directory", dir);
	for (char *p = dir; *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		if (mkdir(dir, 0755) < 0 && errno != EEXIST)
			return error_errno(err, "mkdir %s", dir);
		*p = '/';
	}
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return error_errno(err, "mkdir %s", dir);
	return true;
}

static bool remove_path(const char *path, struct error *err)
{
	if (unlink(path) == 0 || errno == ENOENT || errno == ENOTDIR)
		return true;
	if (errno == EISDIR || errno == EPERM)
		return io_remove_tree(path, err);
	return error_errno(err, "remove %s", path);
}

// ".wh..wh..opq": what the layers below have in this directory is gone.
static bool apply_opaque(struct unpacker *u, str dir, struct error *err)
{
	const char *path = dir.n ? arena_cstr(u->arena, dir) : ".";
	_cleanup_closedir_ DIR *d = opendir(path);
	if (!d)
		return errno == ENOENT || error_errno(err, "%s", path);
	// Names first: removing while reading a directory may hide entries.
	struct { str *v; size_t n; } names = { 0 };
	for (struct dirent *e; (e = readdir(d));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			*LIST_ADD(u->arena, &names) = arena_dup(u->arena, str_c(e->d_name));
	for (size_t i = 0; i < names.n; i++) {
		str child = dir.n ? arena_concat(u->arena, dir, S("/"), names.v[i]) : names.v[i];
		if (map_has(&u->made, child)) {
			// A directory that this layer also has: what is below it may still be from below.
			if (is_dir(arena_cstr(u->arena, child)) && !apply_opaque(u, child, err))
				return false;
			continue;
		}
		if (!remove_path(arena_cstr(u->arena, child), err))
			return false;
	}
	return true;
}

static bool whiteout(struct unpacker *u, str path, str base, bool *done, struct error *err)
{
	*done = false;
	if (!str_has_prefix(base, S(".wh.")))
		return true;
	*done = true;
	str dir = str_sub(path, 0, path.n - base.n);
	str_cut_suffix(&dir, S("/"));
	if (str_eqc(base, ".wh..wh..opq"))
		return apply_opaque(u, dir, err);
	if (str_has_prefix(base, S(".wh..wh."))) // aufs's own bookkeeping
		return true;
	str name = str_from(base, 4);
	if (name.n == 0 || str_eqc(name, ".") || str_eqc(name, ".."))
		return error_api(err, 400, "BadRequest", "invalid whiteout " STR_FMT, STR_ARG(path));
	str victim = dir.n ? arena_concat(u->arena, dir, S("/"), name) : name;
	return remove_path(arena_cstr(u->arena, victim), err);
}

static bool copy_data(struct unpacker *u, int fd, const char *path, struct error *err)
{
	const void *p;
	size_t n;
	la_int64_t at, end = 0;
	int rc;
	while ((rc = u->l->archive_read_data_block(tar_archive(u->tar), &p, &n, &at)) == ARCHIVE_OK) {
		u->bytes += (int64_t)n;
		if (u->bytes > UNPACK_MAX_BYTES || at > UNPACK_MAX_BYTES)
			return error_api(err, 413, "RequestEntityTooLarge", "layer has more than %" PRId64 " bytes", UNPACK_MAX_BYTES);
		for (size_t done = 0; done < n;) {
			ssize_t w = pwrite(fd, (const char *)p + done, n - done, at + (la_int64_t)done);
			if (w < 0 && errno == EINTR)
				continue;
			if (w < 0)
				return error_errno(err, "write %s", path);
			done += (size_t)w;
		}
		end = at + (la_int64_t)n;
	}
	if (rc != ARCHIVE_EOF)
		return error_api(err, 400, "BadRequest", "%s: %s", path, u->l->archive_error_string(tar_archive(u->tar)));
	struct stat st;
	if (fstat(fd, &st) == 0 && st.st_size < end && ftruncate(fd, end) < 0)
		return error_errno(err, "truncate %s", path);
	return true;
}

static bool make_file(struct unpacker *u, struct archive_entry *e, const char *path, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(err, "create %s", path);
	if (!copy_data(u, fd, path, err))
		return false;
	// A file that ends in a hole has no last block.
	if (u->l->archive_entry_size_is_set(e)) {
		la_int64_t size = u->l->archive_entry_size(e);
		struct stat st;
		if (size > UNPACK_MAX_BYTES)
			return error_api(err, 413, "RequestEntityTooLarge", "%s is too large", path);
		if (fstat(fd, &st) == 0 && st.st_size < size && ftruncate(fd, size) < 0)
			return error_errno(err, "truncate %s", path);
	}
	return true;
}

static bool set_xattrs(struct unpacker *u, struct archive_entry *e, const char *path, struct error *err)
{
	const char *name;
	const void *value;
	size_t n;
	u->l->archive_entry_xattr_reset(e);
	while (u->l->archive_entry_xattr_next(e, &name, &value, &n) == ARCHIVE_OK) {
		// The rest is for the host's own bookkeeping (overlayfs, labels); an image has no say in it.
		if (strncmp(name, "user.", 5) != 0 && strcmp(name, "security.capability") != 0 &&
		    strncmp(name, "system.posix_acl_", 17) != 0)
			continue;
		if (lsetxattr(path, name, value, n, 0) < 0 && errno != EOPNOTSUPP && errno != EPERM)
			return error_errno(err, "set %s of %s", name, path);
	}
	return true;
}

static bool apply_entry(struct unpacker *u, struct archive_entry *e, struct error *err)
{
	str path;
	const char *raw = u->l->archive_entry_pathname(e);
	if (!tar_path_clean(u->arena, raw, &path))
		return error_api(err, 400, "BadRequest", "invalid path \"%.200s\" in layer", raw ? raw : "");
	mode_t type = u->l->archive_entry_filetype(e);
	const char *link = u->l->archive_entry_hardlink(e);
	ptrdiff_t slash = str_rfind_char(path, '/');
	str base = slash >= 0 ? str_from(path, (size_t)slash + 1) : path;
	const char *p = path.n ? path.p : ".";
	bool done;
	if (!make_parents(u, path, err) || !whiteout(u, path, base, &done, err))
		return false;
	if (done)
		return true;
	struct stat st;
	bool exists = lstat(p, &st) == 0;
	if (exists && !(S_ISDIR(st.st_mode) && type == AE_IFDIR && !link)) {
		if (path.n == 0)
			return error_api(err, 400, "BadRequest", "the root of a layer must be a directory");
		if (!remove_path(p, err))
			return false;
		exists = false;
	}
	if (link) {
		str to;
		if (!tar_path_clean(u->arena, link, &to) || to.n == 0)
			return error_api(err, 400, "BadRequest", "invalid link target \"%.200s\" in layer", link);
		if (linkat(AT_FDCWD, to.p, AT_FDCWD, p, 0) < 0)
			return error_errno(err, "link %s to %s", p, to.p);
		map_put(&u->made, path, NULL);
		return true;
	}
	int rc = 0;
	switch (type) {
	case AE_IFREG:
		if (!make_file(u, e, p, err))
			return false;
		break;
	case AE_IFDIR:
		rc = exists ? 0 : mkdir(p, 0700);
		break;
	case AE_IFLNK: {
		const char *target = u->l->archive_entry_symlink(e);
		rc = symlink(target ? target : "", p);
		break;
	}
	case AE_IFCHR:
	case AE_IFBLK: {
		dev_t dev = makedev((unsigned)u->l->archive_entry_rdevmajor(e), (unsigned)u->l->archive_entry_rdevminor(e));
		if (type == AE_IFCHR && dev == 0) // that would be a whiteout in disguise
			return error_api(err, 400, "BadRequest", "%s: a device 0:0 cannot be unpacked", p);
		rc = mknod(p, (type == AE_IFCHR ? S_IFCHR : S_IFBLK) | 0600, dev);
		break;
	}
	case AE_IFIFO:
		rc = mkfifo(p, 0600);
		break;
	default: // sockets: meaningless in an image
		return true;
	}
	if (rc < 0)
		return error_errno(err, "make %s", p);
	if (lchown(p, (uid_t)u->l->archive_entry_uid(e), (gid_t)u->l->archive_entry_gid(e)) < 0)
		return error_errno(err, "chown %s", p);
	// After chown, which clears the set-id bits and file capabilities.
	if (type != AE_IFLNK && chmod(p, u->l->archive_entry_perm(e)) < 0)
		return error_errno(err, "chmod %s", p);
	if (!set_xattrs(u, e, p, err))
		return false;
	if (path.n)
		map_put(&u->made, path, NULL);
	if (u->l->archive_entry_mtime_is_set(e)) {
		struct timespec t = { u->l->archive_entry_mtime(e), u->l->archive_entry_mtime_nsec(e) };
		if (type == AE_IFDIR) // at the end: each entry made inside changes it again
			*LIST_ADD(u->arena, &u->dirs) = (struct dir_time){ str_c(p), t };
		else
			utimensat(AT_FDCWD, p, (struct timespec[2]){ t, t }, AT_SYMLINK_NOFOLLOW);
	}
	return true;
}

static bool apply_with(struct arena *a, const struct archive_lib *l, int fd, str *diff_id, struct error *err)
{
	struct unpacker u = { .arena = a, .l = l, .tar = tar_open(l, fd, err) };
	if (!u.tar)
		return false;
	bool ok = true, end = false;
	for (struct archive_entry *e; ok && (e = tar_next(u.tar, &end, err));) {
		if (++u.entries > UNPACK_MAX_ENTRIES)
			ok = error_api(err, 413, "RequestEntityTooLarge", "layer has more than %d entries", UNPACK_MAX_ENTRIES);
		else
			ok = apply_entry(&u, e, err);
	}
	ok = ok && end && tar_finish(u.tar, a, diff_id, err);
	for (size_t i = u.dirs.n; i-- > 0;)
		utimensat(AT_FDCWD, u.dirs.v[i].path.p, (struct timespec[2]){ u.dirs.v[i].mtime, u.dirs.v[i].mtime }, AT_SYMLINK_NOFOLLOW);
	map_free(&u.made);
	tar_close(u.tar);
	return ok;
}

bool unpack_apply(struct arena *a, int fd, str *diff_id, struct error *err)
{
	struct archive_lib l;
	return archive_lib_load(&l, err) && apply_with(a, &l, fd, diff_id, err);
}

static bool drop_capabilities(struct error *err)
{
	const unsigned keep[] = { CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_MKNOD, CAP_SETFCAP };
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(keep); i++) {
		data[keep[i] / 32].effective |= 1u << (keep[i] % 32);
		data[keep[i] / 32].permitted |= 1u << (keep[i] % 32);
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_capset, &head, data) < 0)
		return error_errno(err, "drop capabilities");
	return true;
}

// Nothing that unpacking needs, all that code smuggled in by an archive would.
static bool drop_calls(struct error *err)
{
	static const char *const refused[] = {
		"execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "mount", "umount2", "pivot_root", "chroot",
		"fsopen", "fsmount", "move_mount", "open_tree", "mount_setattr", "setns", "unshare", "clone", "clone3", "fork", "vfork",
		"socket", "socketpair", "connect", "bind", "bpf", "keyctl", "add_key", "request_key", "kexec_load", "kexec_file_load",
		"init_module", "finit_module", "delete_module", "open_by_handle_at", "perf_event_open", "userfaultfd", "io_uring_setup",
		"kill", "tkill", "pidfd_open", "pidfd_getfd", "pidfd_send_signal", "reboot", "swapon", "swapoff", "acct", "quotactl",
	};
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	if (!f)
		return error_set(err, "seccomp");
	int rc = 0;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		int nr = seccomp_syscall_resolve_name(refused[i]);
		if (nr != __NR_SCMP_ERROR)
			rc |= seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), nr, 0);
	}
	rc |= seccomp_load(f);
	seccomp_release(f);
	return rc == 0 || error_set(err, "seccomp: the filter cannot be loaded");
}

static bool enter_root(struct arena *a, const char *work, char **lower, size_t nlower, struct error *err)
{
	const char *diff = arena_printf(a, "%s/diff", work).p, *root = diff;
	if (mkdir(diff, 0755) < 0 || chmod(diff, 0755) < 0)
		return error_errno(err, "mkdir %s", diff);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_errno(err, "private mount namespace");
	if (nlower) {
		const char *overlay_work = arena_printf(a, "%s/work", work).p;
		root = arena_printf(a, "%s/merged", work).p;
		if (mkdir(overlay_work, 0700) < 0 || mkdir(root, 0755) < 0)
			return error_errno(err, "mkdir %s", root);
		if (!overlay_mount(a, (const char *const *)lower, nlower, diff, overlay_work, root, err))
			return false;
	}
	if (chroot(root) < 0 || chdir("/") < 0)
		return error_errno(err, "enter %s", root);
	return true;
}

int unpack_main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "unpack-layer WORKDIR DIFF_ID [LOWER...]\n");
		return 2;
	}
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct archive_lib l;
	str got;
	umask(0);
	bool ok = archive_lib_load(&l, &err) && enter_root(a, argv[1], argv + 3, (size_t)(argc - 3), &err) &&
	          drop_capabilities(&err) && drop_calls(&err) && apply_with(a, &l, STDIN_FILENO, &got, &err);
	if (ok && !str_eqc(got, argv[2]))
		ok = error_api(&err, 400, "BadRequest", "layer has diff ID " STR_FMT ", its image says %s", STR_ARG(got), argv[2]);
	if (!ok)
		fprintf(stderr, "%s\n", err.text);
	// Without what libraries do at exit: most of it is out of reach here.
	_exit(ok ? 0 : 1);
}

bool unpack_layer(struct arena *a, const char *blob, const char *work, str diff_id, const char *const *lower, size_t nlower,
                  struct error *err)
{
	_cleanup_close_ int in = open(blob, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return error_errno(err, "open %s", blob);
	int report[2];
	if (pipe2(report, O_CLOEXEC) < 0)
		return error_errno(err, "pipe");
	const char **argv = ARENA_ARRAY(a, const char *, nlower + 6);
	size_t n = 0;
	argv[n++] = "/proc/self/exe";
	argv[n++] = "runtime";
	argv[n++] = "unpack-layer";
	argv[n++] = work;
	argv[n++] = arena_cstr(a, diff_id);
	for (size_t i = 0; i < nlower; i++)
		argv[n++] = lower[i];
	const char *env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	struct proc_opts o = { .argv = argv, .env = env, .in = in, .out = -1, .err = report[1], .die_with_parent = false };
	pid_t pid;
	bool started = proc_start(&o, &pid, err);
	close(report[1]);
	_cleanup_close_ int from = report[0];
	if (!started)
		return false;
	str said = { 0 };
	struct error ignored = { 0 };
	io_read_fd(a, from, 64 * 1024, &said, &ignored);
	int status;
	if (!proc_wait(pid, &status, err))
		return false;
	if (status != 0)
		return error_set(err, "unpack layer: " STR_FMT, STR_ARG(str_trim(said.n ? said : S("the process died"))));
	return true;
}
