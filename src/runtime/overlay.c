#include "runtime/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"

// <sys/mount.h> and <linux/mount.h> cannot be included together in older C libraries.
int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data);

static bool set(int fs, const char *key, const char *value)
{
	return syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0) == 0;
}

// The new mount calls take layers one by one (Linux 6.8), so their number and their paths are not bounded by a page.
static bool mount_new(const char *const *lower, size_t nlower, const char *upper, const char *work, const char *target, bool is_volatile)
{
	_cleanup_close_ int fs = (int)syscall(SYS_fsopen, "overlay", FSOPEN_CLOEXEC);
	if (fs < 0)
		return false;
	if (!set(fs, "source", "overlay"))
		return false;
	for (size_t i = 0; i < nlower; i++)
		if (!set(fs, "lowerdir+", lower[i]))
			return false;
	if (upper && (!set(fs, "upperdir", upper) || !set(fs, "workdir", work)))
		return false;
	if (upper && is_volatile && syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, "volatile", NULL, 0) != 0)
		return false;
	if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
		return false;
	_cleanup_close_ int mnt = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	return mnt >= 0 && syscall(SYS_move_mount, mnt, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) == 0;
}

struct old_mount {
	const char *const *lower;
	size_t nlower;
	const char *upper, *work, *target;
	struct error *err;
	bool ok;
};

static void add_escaped(struct buf *b, const char *path)
{
	for (; *path; path++) {
		if (*path == ':' || *path == ',' || *path == '\\')
			buf_add_char(b, '\\');
		buf_add_char(b, *path);
	}
}

// The old call takes all options in one page: names relative to the directory that all layers share keep them short.
// The working directory belongs to this thread alone after unshare.
static void *mount_old(void *arg)
{
	struct old_mount *m = arg;
	_cleanup_buf_ struct buf o = { 0 };
	size_t common = strlen(m->lower[0]);
	for (size_t i = 0; i < m->nlower; i++) {
		size_t j = 0;
		while (j < common && m->lower[i][j] == m->lower[0][j])
			j++;
		common = j;
	}
	while (common > 0 && m->lower[0][common - 1] != '/')
		common--;
	char dir[4096];
	if (common >= sizeof(dir)) {
		error_set(m->err, "path too long");
		return NULL;
	}
	memcpy(dir, m->lower[0], common);
	dir[common] = 0;
	if (common > 1 && (unshare(CLONE_FS) < 0 || chdir(dir) < 0)) {
		error_errno(m->err, "%s", dir);
		return NULL;
	}
	buf_add(&o, S("lowerdir="));
	for (size_t i = 0; i < m->nlower; i++) {
		if (i)
			buf_add_char(&o, ':');
		add_escaped(&o, m->lower[i] + (common > 1 ? common : 0));
	}
	if (m->upper) {
		buf_add(&o, S(",upperdir="));
		add_escaped(&o, m->upper);
		buf_add(&o, S(",workdir="));
		add_escaped(&o, m->work);
	}
	size_t plain = o.n;
	if (m->upper)
		buf_add(&o, S(",volatile"));
	buf_add_char(&o, 0);
	if (o.n > (size_t)sysconf(_SC_PAGESIZE)) {
		error_set(m->err, "overlay of %zu layers: too many for this kernel", m->nlower);
		return NULL;
	}
	m->ok = mount("overlay", m->target, "overlay", 0, o.p) == 0;
	if (!m->ok && errno == EINVAL && m->upper) {
		o.p[plain] = 0; // kernels before 5.10 do not know "volatile"
		m->ok = mount("overlay", m->target, "overlay", 0, o.p) == 0;
	}
	if (!m->ok)
		error_errno(m->err, "mount overlay on %s", m->target);
	return NULL;
}

bool overlay_mount(struct arena *a, const char *const *lower, size_t nlower, const char *upper, const char *work,
                   const char *target, struct error *err)
{
	(void)a;
	if (mount_new(lower, nlower, upper, work, target, true))
		return true;
	struct old_mount m = { lower, nlower, upper, work, target, err, false };
	pthread_t t;
	int rc = pthread_create(&t, NULL, mount_old, &m);
	if (rc != 0) {
		errno = rc;
		return error_errno(err, "thread");
	}
	pthread_join(t, NULL);
	return m.ok;
}
