#include "runtime/user.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/io.h"

enum { USER_FILE_MAX = 1 << 20 };

int root_open(int root_fd, const char *path, int flags, unsigned mode)
{
	struct open_how how = { .flags = (unsigned)flags | O_CLOEXEC, .mode = flags & (O_CREAT | O_TMPFILE) ? mode : 0,
	                        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	int fd;
	do
		fd = (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
	while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return fd;
}

bool root_mkdirs(struct arena *a, int root_fd, str path, struct error *err)
{
	str done = { 0 };
	for (str rest = path, part; str_next(&rest, '/', &part);) {
		if (part.n == 0 || str_eqc(part, "."))
			continue;
		if (str_eqc(part, ".."))
			return error_api(err, 400, "BadRequest", "invalid path \"" STR_FMT "\"", STR_ARG(path));
		_cleanup_close_ int parent = root_open(root_fd, done.n ? done.p : "/", O_PATH | O_DIRECTORY, 0);
		if (parent < 0)
			return error_errno(err, STR_FMT, STR_ARG(done));
		if (mkdirat(parent, arena_cstr(a, part), 0755) < 0 && errno != EEXIST)
			return error_errno(err, "mkdir " STR_FMT, STR_ARG(path));
		done = arena_concat(a, done, S("/"), part);
	}
	_cleanup_close_ int fd = root_open(root_fd, done.n ? done.p : "/", O_PATH | O_DIRECTORY, 0);
	return fd >= 0 || error_errno(err, STR_FMT, STR_ARG(path));
}

static bool read_in_root(struct arena *a, int root_fd, const char *path, str *out, struct error *err)
{
	*out = S("");
	_cleanup_close_ int fd = root_open(root_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return true;
	return io_read_fd(a, fd, USER_FILE_MAX, out, err) || error_wrap(err, "%s of the image", path);
}

// The fields of a line "a:b:c"; returns how many there are.
static size_t fields(str line, str *out, size_t max)
{
	size_t n = 0;
	for (str rest = line, f; n < max && str_next(&rest, ':', &f);)
		out[n++] = f;
	return n;
}

struct passwd_line { str name; int64_t uid, gid; str home; bool found; };

static void find_passwd(str text, str name, const int64_t *uid, struct passwd_line *out)
{
	for (str rest = text, line; str_next(&rest, '\n', &line);) {
		str f[7] = { 0 };
		int64_t u, g;
		if (fields(line, f, 7) < 4 || !str_to_i64(f[2], &u) || !str_to_i64(f[3], &g) || (uid ? u != *uid : !str_eq(f[0], name)))
			continue;
		*out = (struct passwd_line){ f[0], u, g, f[5], true };
		return;
	}
}

static bool find_group(str text, str name, int64_t *gid)
{
	for (str rest = text, line; str_next(&rest, '\n', &line);) {
		str f[4] = { 0 };
		if (fields(line, f, 4) >= 3 && str_eq(f[0], name) && str_to_i64(f[2], gid))
			return true;
	}
	return false;
}

static bool id_valid(int64_t id)
{
	return id >= 0 && id <= INT32_MAX;
}

static void add_group(struct arena *a, struct user *u, int64_t gid)
{
	for (size_t i = 0; i < u->groups.n; i++)
		if (u->groups.v[i] == gid)
			return;
	*LIST_ADD(a, &u->groups) = gid;
}

bool user_resolve(struct arena *a, int root_fd, const struct user_request *r, struct user *out, struct error *err)
{
	*out = (struct user){ 0 };
	str passwd, group;
	if (!read_in_root(a, root_fd, "/etc/passwd", &passwd, err) || !read_in_root(a, root_fd, "/etc/group", &group, err))
		return false;
	// The security context's user comes before the image's, with its own group or the one that the passwd file gives it.
	str user = { 0 }, primary = { 0 };
	int64_t uid = 0;
	bool numeric = false;
	if (r->uid) {
		uid = *r->uid;
		numeric = true;
	} else if (r->name.n) {
		user = r->name;
	} else {
		str_split(r->image_user, ':', &user, &primary);
		// A group that is asked for without a user would be a surprise for either.
		if (user.n == 0 && r->gid)
			return error_api(err, 400, "BadRequest", "user group \"%" PRId64 "\" is specified without user", *r->gid);
	}
	if (!numeric && user.n == 0)
		numeric = true;
	else if (!numeric)
		numeric = str_to_i64(user, &uid);
	struct passwd_line p = { 0 };
	find_passwd(passwd, user, numeric ? &uid : NULL, &p);
	if (!numeric && !p.found)
		return error_api(err, 400, "BadRequest", "unable to find user " STR_FMT ": no matching entries in passwd file", STR_ARG(user));
	out->uid = numeric ? uid : p.uid;
	out->gid = p.found ? p.gid : 0;
	out->home = p.found ? p.home : (str){ 0 };
	if (r->gid)
		out->gid = *r->gid;
	else if (primary.n && !str_to_i64(primary, &out->gid) && !find_group(group, primary, &out->gid))
		return error_api(err, 400, "BadRequest", "unable to find group " STR_FMT ": no matching entries in group file", STR_ARG(primary));
	if (!id_valid(out->uid) || !id_valid(out->gid))
		return error_api(err, 400, "BadRequest", "uids and gids must be in range 0-%d", INT32_MAX);
	// runc and crun set these with setgroups alone: the primary group belongs to them.
	add_group(a, out, out->gid);
	if (!r->strict && p.found) {
		for (str rest = group, line; str_next(&rest, '\n', &line);) {
			str f[4] = { 0 };
			int64_t gid;
			if (fields(line, f, 4) < 4 || !str_to_i64(f[2], &gid) || !id_valid(gid))
				continue;
			for (str members = f[3], m; str_next(&members, ',', &m);)
				if (str_eq(m, p.name))
					add_group(a, out, gid);
		}
	}
	for (size_t i = 0; i < r->ngroups; i++) {
		if (!id_valid(r->groups[i]))
			return error_api(err, 400, "BadRequest", "uids and gids must be in range 0-%d", INT32_MAX);
		add_group(a, out, r->groups[i]);
	}
	return true;
}
