#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/buf.h"

bool io_read_fd(struct arena *a, int fd, size_t limit, str *out, struct error *err)
{
	_cleanup_buf_ struct buf b = { 0 };
	for (;;) {
		char *to = buf_reserve(&b, 16384);
		ssize_t n = read(fd, to, 16384);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(err, "read");
		if (n == 0)
			break;
		b.n += (size_t)n;
		if (b.n > limit)
			return error_api(err, 413, "RequestEntityTooLarge", "more than %zu bytes", limit);
	}
	*out = arena_dup(a, buf_str(&b));
	return true;
}

bool io_read_file(struct arena *a, const char *path, size_t limit, str *out, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		error_errno(err, "open %s", path);
		if (err->sys == ENOENT)
			err->code = 404, err->reason = "NotFound";
		return false;
	}
	if (!io_read_fd(a, fd, limit, out, err))
		return error_wrap(err, "%s", path);
	return true;
}

bool io_write_all(int fd, str data, struct error *err)
{
	while (data.n) {
		ssize_t n = write(fd, data.p, data.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(err, "write");
		data = str_from(data, (size_t)n);
	}
	return true;
}

bool io_write_file(const char *path, str data, mode_t mode, struct error *err)
{
	char temp[PATH_MAX];
	if (snprintf(temp, sizeof(temp), "%s.XXXXXX", path) >= (int)sizeof(temp))
		return error_set(err, "path too long: %s", path);
	_cleanup_close_ int fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, "create %s", temp);
	if (fchmod(fd, mode) < 0)
		error_errno(err, "chmod %s", temp);
	else if (!io_write_all(fd, data, err))
		error_wrap(err, "%s", temp);
	else if (fsync(fd) < 0)
		error_errno(err, "fsync %s", temp);
	else if (rename(temp, path) < 0)
		error_errno(err, "rename %s to %s", temp, path);
	else
		return true;
	unlink(temp);
	return false;
}

bool io_write_existing(const char *path, str data, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, "open %s", path);
	ssize_t n = write(fd, data.p, data.n);
	if (n != (ssize_t)data.n)
		return error_errno(err, "write %s", path);
	return true;
}

bool io_mkdirs(const char *path, mode_t mode, struct error *err)
{
	char part[PATH_MAX];
	size_t n = strlen(path);
	if (n >= sizeof(part))
		return error_set(err, "path too long: %s", path);
	for (size_t i = 1; i <= n; i++) {
		if (path[i] != '/' && path[i] != 0)
			continue;
		memcpy(part, path, i);
		part[i] = 0;
		if (mkdir(part, mode) < 0 && errno != EEXIST)
			return error_errno(err, "mkdir %s", part);
	}
	return true;
}

static bool remove_at(int dir, const char *name, dev_t dev, struct error *err)
{
	struct stat st;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? true : error_errno(err, "stat %s", name);
	if (!S_ISDIR(st.st_mode))
		return unlinkat(dir, name, 0) == 0 || errno == ENOENT ? true : error_errno(err, "unlink %s", name);
	if (st.st_dev != dev)
		return error_set(err, "%s is a mount point", name);
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, "open %s", name);
	_cleanup_closedir_ DIR *d = fdopendir(fd);
	if (!d) {
		close(fd);
		return error_errno(err, "open %s", name);
	}
	for (struct dirent *e; (e = readdir(d));) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (!remove_at(fd, e->d_name, dev, err))
			return error_wrap(err, "%s", name);
	}
	return unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? true : error_errno(err, "rmdir %s", name);
}

bool io_remove_tree(const char *path, struct error *err)
{
	struct stat st;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? true : error_errno(err, "stat %s", path);
	return remove_at(AT_FDCWD, path, st.st_dev, err);
}

bool io_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static bool set_flag(int fd, int get, int put, int flag, bool on)
{
	int flags = fcntl(fd, get);
	return flags >= 0 && fcntl(fd, put, on ? flags | flag : flags & ~flag) == 0;
}

bool io_set_cloexec(int fd, bool on)
{
	return set_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

bool io_set_nonblock(int fd, bool on)
{
	return set_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}
