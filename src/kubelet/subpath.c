#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/io.h"
#include "kubelet/volumes.h"

// Opens below `dir`; links may be followed only as long as they stay there.
static int open_below(int dir, const char *path, int flags)
{
	struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC), .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

// The directories that are missing, each with the mode and owner of the volume itself.
static bool make_below(struct arena *a, int root, str sub, struct error *err)
{
	struct stat st;
	if (fstat(root, &st) < 0)
		return error_errno(err, "stat");
	int at = dup(root);
	for (str rest = sub, part; str_next(&rest, '/', &part);) {
		const char *name = arena_cstr(a, part);
		if (!part.n || str_eqc(part, "."))
			continue;
		bool made = mkdirat(at, name, st.st_mode & 07777) == 0;
		int next = open_below(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
		if (next >= 0 && made && (fchmodat(at, name, st.st_mode & 07777, 0) < 0 || fchownat(at, name, (uid_t)-1, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)) {
			close(next);
			next = -1;
		}
		close(at);
		at = next;
		if (at < 0)
			return error_errno(err, "mkdir");
	}
	close(at);
	return true;
}

bool subpath_prepare(struct kubelet *k, struct arena *a, str uid, str volume, str container, size_t index, str volume_path, str sub,
                     str *out, struct error *err)
{
	struct stat st;
	if (sub.p[0] == '/')
		return error_set(err, "error SubPath `" STR_FMT "` must not be an absolute path", STR_ARG(sub));
	for (str rest = sub, part; str_next(&rest, '/', &part);)
		if (str_eqc(part, ".."))
			return error_set(err, "unable to provision SubPath `" STR_FMT "`: must not contain '..'", STR_ARG(sub));
	_cleanup_close_ int root = open(arena_cstr(a, volume_path), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return error_errno(err, "failed to prepare subPath for volumeMount of container \"" STR_FMT "\"", STR_ARG(container));
	const char *path = arena_cstr(a, sub);
	_cleanup_close_ int fd = open_below(root, path, O_PATH);
	if (fd < 0 && errno == ENOENT) {
		struct error why = { 0 };
		if (!make_below(a, root, sub, &why))
			return error_set(err, "failed to create subPath directory for volumeMount \"" STR_FMT "\" of container \"" STR_FMT "\"",
			                 STR_ARG(volume), STR_ARG(container));
		fd = open_below(root, path, O_PATH);
	}
	// Why is not said: it would tell a pod about the host's files.
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(err, "failed to prepare subPath for volumeMount \"" STR_FMT "\" of container \"" STR_FMT "\"", STR_ARG(volume),
		                 STR_ARG(container));
	char *dir = pod_dir(k, a, uid, arena_cstr(a, arena_printf(a, "volume-subpaths/" STR_FMT "/" STR_FMT, STR_ARG(volume), STR_ARG(container))));
	const char *target = arena_cstr(a, arena_printf(a, "%s/%zu", dir, index));
	if (!io_mkdirs(dir, 0750, err))
		return false;
	while (is_mount(target) && umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	if (S_ISDIR(st.st_mode)) {
		unlink(target);
		if (mkdir(target, 0750) < 0 && errno != EEXIST)
			return error_errno(err, "mkdir %s", target);
	} else {
		rmdir(target);
		_cleanup_close_ int file = open(target, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0640);
		if (file < 0)
			return error_errno(err, "create %s", target);
	}
	if (mount(arena_cstr(a, arena_printf(a, "/proc/self/fd/%d", fd)), target, NULL, MS_BIND, NULL) < 0)
		return error_errno(err, "failed to prepare subPath for volumeMount \"" STR_FMT "\" of container \"" STR_FMT "\"", STR_ARG(volume),
		                   STR_ARG(container));
	*out = str_c(target);
	return true;
}

static void cleanup_dir(struct arena *a, const char *dir, int depth)
{
	_cleanup_closedir_ DIR *d = opendir(dir);
	struct dirent *e;
	while (d && (e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		const char *path = arena_cstr(a, arena_printf(a, "%s/%s", dir, e->d_name));
		if (depth < 2) {
			cleanup_dir(a, path, depth + 1);
			continue;
		}
		while (is_mount(path) && umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
			;
		// Only an empty thing is removed: what was mounted there is the volume's.
		if (!is_mount(path) && unlink(path) < 0)
			rmdir(path);
	}
	rmdir(dir);
}

void subpath_cleanup(struct kubelet *k, struct arena *a, str uid)
{
	cleanup_dir(a, pod_dir(k, a, uid, "volume-subpaths"), 0);
}
