#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/io.h"
#include "kubelet/volumes.h"

#define DATA "..data"
#define DATA_NEW "..data_tmp"

static str first_part(str path)
{
	str head, rest;
	str_split(path, '/', &head, &rest);
	return head;
}

static bool sane(str path)
{
	if (str_empty(path) || path.p[0] == '/')
		return false;
	for (str rest = path, part; str_next(&rest, '/', &part);)
		if (str_eqc(part, "..") || str_eqc(part, ""))
			return false;
	return !str_has_prefix(path, S(".."));
}

static void free_entries(struct dirent **v, int n)
{
	for (int i = 0; i < n; i++)
		free(v[i]);
	free(v);
}

static int file_count(struct arena *a, const char *dir, int depth)
{
	struct dirent **v;
	int count = 0, n = depth < 16 ? scandir(dir, &v, NULL, NULL) : -1;
	for (int i = 0; i < n; i++) {
		if (strcmp(v[i]->d_name, ".") == 0 || strcmp(v[i]->d_name, "..") == 0)
			continue;
		if (v[i]->d_type == DT_DIR)
			count += file_count(a, arena_cstr(a, arena_printf(a, "%s/%s", dir, v[i]->d_name)), depth + 1);
		else
			count++;
	}
	if (n >= 0)
		free_entries(v, n);
	return count;
}

static bool unchanged(struct arena *a, const char *dir, const struct volume_payload *p)
{
	struct error err = { 0 };
	const char *data = arena_cstr(a, arena_printf(a, "%s/" DATA "/", dir));
	if (!io_exists(data) || file_count(a, data, 0) != (int)p->n)
		return false;
	for (size_t i = 0; i < p->n; i++) {
		struct stat st;
		str now;
		const char *path = arena_cstr(a, arena_concat(a, str_c(data), p->v[i].path));
		if (!io_read_file(a, path, 8 << 20, &now, &err) || !str_eq(now, p->v[i].data))
			return false;
		if (stat(path, &st) < 0)
			return false;
	}
	return true;
}

static bool write_file(struct arena *a, const char *base, const struct volume_file *f, int64_t group, struct error *err)
{
	const char *path = arena_cstr(a, arena_printf(a, "%s/" STR_FMT, base, STR_ARG(f->path)));
	ptrdiff_t slash = str_rfind_char(f->path, '/');
	if (slash > 0 && !io_mkdirs(arena_cstr(a, arena_printf(a, "%s/" STR_FMT, base, STR_ARG(str_sub(f->path, 0, (size_t)slash)))), 0755, err))
		return false;
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_errno(err, "create %s", path);
	if (!io_write_all(fd, f->data, err))
		return false;
	if ((f->owner >= 0 || group >= 0) && fchown(fd, f->owner >= 0 ? (uid_t)f->owner : (uid_t)-1, group >= 0 ? (gid_t)group : (gid_t)-1) < 0)
		return error_errno(err, "chown %s", path);
	// The umask must not take away what the pod asks for. A group that owns the volume may read it.
	if (fchmod(fd, (mode_t)(f->mode & 0777) | (group >= 0 ? 0440 : 0)) < 0)
		return error_errno(err, "chmod %s", path);
	return true;
}

bool volume_write(const char *dir, const struct volume_payload *p, int64_t fs_group, const struct clock *clock, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	char old[PATH_MAX] = "", stamp[64];
	struct dirent **v;
	struct tm tm;
	for (size_t i = 0; i < p->n; i++)
		if (!sane(p->v[i].path))
			return error_set(err, "invalid path: must not contain '..': " STR_FMT, STR_ARG(p->v[i].path));
	if (unchanged(a, dir, p))
		return true;
	int64_t now = clock_wall(clock);
	time_t sec = (time_t)(now / NS_PER_SEC);
	gmtime_r(&sec, &tm);
	strftime(stamp, sizeof(stamp), "..%Y_%m_%d_%H_%M_%S", &tm);
	const char *name = arena_cstr(a, arena_printf(a, "%s.%09lld", stamp, (long long)(now % NS_PER_SEC)));
	const char *fresh = arena_cstr(a, arena_printf(a, "%s/%s", dir, name));
	const char *link = arena_cstr(a, arena_printf(a, "%s/" DATA, dir)), *link_new = arena_cstr(a, arena_printf(a, "%s/" DATA_NEW, dir));
	ssize_t n = readlink(link, old, sizeof(old) - 1);
	old[n > 0 ? n : 0] = '\0';

	if (mkdir(fresh, 0755) < 0 || chmod(fresh, 0755) < 0)
		return error_errno(err, "mkdir %s", fresh);
	if (fs_group >= 0 && (chown(fresh, (uid_t)-1, (gid_t)fs_group) < 0 || chmod(fresh, 02755) < 0))
		return error_errno(err, "chown %s", fresh);
	for (size_t i = 0; i < p->n; i++)
		if (!write_file(a, fresh, &p->v[i], fs_group, err))
			return false;
	unlink(link_new);
	if (symlink(name, link_new) < 0 || rename(link_new, link) < 0)
		return error_errno(err, "symlink %s", link);
	for (size_t i = 0; i < p->n; i++) {
		str part = first_part(p->v[i].path);
		const char *from = arena_cstr(a, arena_printf(a, "%s/" STR_FMT, dir, STR_ARG(part)));
		if (symlink(arena_cstr(a, arena_concat(a, S(DATA "/"), part)), from) < 0 && errno != EEXIST)
			return error_errno(err, "symlink %s", from);
	}
	// What is no longer there: names, and the directory of the last time.
	int count = scandir(dir, &v, NULL, NULL);
	for (int i = 0; i < count; i++) {
		str entry = str_c(v[i]->d_name);
		bool keep = str_has_prefix(entry, S(".."));
		for (size_t f = 0; f < p->n && !keep; f++)
			keep = str_eq(first_part(p->v[f].path), entry);
		if (!keep && !str_eqc(entry, "."))
			unlink(arena_cstr(a, arena_printf(a, "%s/%s", dir, v[i]->d_name)));
	}
	if (count >= 0)
		free_entries(v, count);
	struct error ignored = { 0 };
	if (old[0] && !strchr(old, '/') && strcmp(old, name) != 0)
		io_remove_tree(arena_cstr(a, arena_printf(a, "%s/%s", dir, old)), &ignored);
	return true;
}
