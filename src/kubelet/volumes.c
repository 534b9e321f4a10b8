#include "kubelet/volumes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/io.h"
#include "schema/quantity.h"

bool is_mount(const char *path)
{
	struct statx st;
	return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &st) == 0 && (st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) &&
	       (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

// The directory name of a kind of volume; NULL: it has none of its own.
static const char *plugin_of(const struct core_v1_VolumeSource *s)
{
	if (s->configMap)
		return "kubernetes.io~configmap";
	if (s->secret)
		return "kubernetes.io~secret";
	if (s->projected)
		return "kubernetes.io~projected";
	if (s->downwardAPI)
		return "kubernetes.io~downward-api";
	if (s->emptyDir)
		return "kubernetes.io~empty-dir";
	return NULL;
}

str volume_unsupported(struct arena *a, const struct core_v1_Volume *v)
{
	if (plugin_of(&v->volumeSource) || v->volumeSource.hostPath)
		return S("");
	struct value *set = schema_to_value(a, core_v1_VolumeSource_desc, &v->volumeSource);
	return set->o.n ? set->o.v[0].key : S("unknown");
}

static const struct core_v1_Volume *find_volume(const struct core_v1_Pod *pod, str name)
{
	for (size_t i = 0; i < pod->spec.volumes.n; i++)
		if (str_eq(pod->spec.volumes.v[i].name, name))
			return &pod->spec.volumes.v[i];
	return NULL;
}

static char *dir_of(struct kubelet *k, struct arena *a, str uid, const struct core_v1_Volume *v)
{
	return pod_dir(k, a, uid, arena_cstr(a, arena_printf(a, "volumes/%s/" STR_FMT, plugin_of(&v->volumeSource), STR_ARG(v->name))));
}

str volume_host_path(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod, str name, bool *read_only)
{
	const struct core_v1_Volume *v = find_volume(pod, name);
	*read_only = false;
	if (!v)
		return S("");
	if (v->volumeSource.hostPath)
		return v->volumeSource.hostPath->path;
	if (!plugin_of(&v->volumeSource))
		return S("");
	*read_only = !v->volumeSource.emptyDir;
	return str_c(dir_of(k, a, pod->metadata.uid, v));
}

static bool mount_tmpfs(struct arena *a, const char *dir, int64_t size, struct error *err)
{
	str options = size > 0 ? arena_printf(a, "size=%lld,mode=0777", (long long)size) : S("mode=0777");
	if (is_mount(dir))
		return true;
	// Secrets must not reach the swap; kernels before 6.4 do not know the option.
	if (mount("tmpfs", dir, "tmpfs", 0, arena_cstr(a, arena_concat(a, options, S(",noswap")))) == 0)
		return true;
	if (mount("tmpfs", dir, "tmpfs", 0, arena_cstr(a, options)) == 0)
		return true;
	return error_errno(err, "mount tmpfs on %s", dir);
}

static int64_t fs_group_of(const struct core_v1_Pod *pod)
{
	return pod->spec.securityContext && pod->spec.securityContext->fsGroup ? *pod->spec.securityContext->fsGroup : -1;
}

static bool setup_empty_dir(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Volume *v, const char *dir,
                            struct error *err)
{
	const struct core_v1_EmptyDirVolumeSource *e = v->volumeSource.emptyDir;
	int64_t group = fs_group_of(pod);
	bool there = io_exists(dir);
	if (!io_mkdirs(dir, 0777, err))
		return false;
	if (str_eqc(e->medium, "Memory")) {
		struct quantity q;
		int64_t size = e->sizeLimit && !quantity_is_zero(*e->sizeLimit) ? quantity_value(*e->sizeLimit) : 0;
		int64_t most = quantity_map_get(&k->allocatable, S("memory"), &q) ? quantity_value(q) : 0;
		if (!mount_tmpfs(a, dir, size && (!most || size < most) ? size : most, err))
			return false;
	} else if (e->medium.n) {
		return error_set(err, "emptyDir medium " STR_FMT " is not supported", STR_ARG(e->medium));
	}
	if (there && !str_eqc(e->medium, "Memory"))
		return true;
	if (chmod(dir, group >= 0 ? 02777 : 0777) < 0 || (group >= 0 && (chown(dir, (uid_t)-1, (gid_t)group) < 0 || chmod(dir, 02777) < 0)))
		return error_errno(err, "set the mode of %s", dir);
	return true;
}

static bool setup_host_path(struct arena *a, const struct core_v1_HostPathVolumeSource *h, struct error *err)
{
	const char *path = arena_cstr(a, h->path);
	str type = h->type ? *h->type : S("");
	struct stat st;
	static const struct { const char *type; mode_t mode; const char *what; } checks[] = {
		{ "Directory", S_IFDIR, "a directory" }, { "DirectoryOrCreate", S_IFDIR, "a directory" },
		{ "File", S_IFREG, "a file" },           { "FileOrCreate", S_IFREG, "a file" },
		{ "Socket", S_IFSOCK, "a socket file" }, { "CharDevice", S_IFCHR, "a character device" },
		{ "BlockDevice", S_IFBLK, "a block device" },
	};
	if (str_empty(type))
		return true;
	if (str_eqc(type, "DirectoryOrCreate") && !io_exists(path) && !io_mkdirs(path, 0755, err))
		return false;
	if (str_eqc(type, "FileOrCreate") && !io_exists(path)) {
		_cleanup_close_ int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
		if (fd < 0)
			return error_errno(err, "open %s", path);
	}
	for (size_t i = 0; i < ARRAY_LEN(checks); i++)
		if (str_eqc(type, checks[i].type)) {
			if (stat(path, &st) < 0 || (st.st_mode & S_IFMT) != checks[i].mode)
				return error_set(err, "hostPath type check failed: %s is not %s", path, checks[i].what);
			return true;
		}
	return error_set(err, "hostPath type " STR_FMT " is not supported", STR_ARG(type));
}

static bool setup_one(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Volume *v, int64_t not_before,
                      struct error *err)
{
	struct volume_payload payload = { 0 };
	str unsupported = volume_unsupported(a, v);
	if (unsupported.n)
		return error_set(err, "volume type " STR_FMT " is not supported", STR_ARG(unsupported));
	if (v->volumeSource.hostPath)
		return setup_host_path(a, v->volumeSource.hostPath, err);
	char *dir = dir_of(w->k, a, pod->metadata.uid, v);
	if (v->volumeSource.emptyDir)
		return setup_empty_dir(w->k, a, pod, v, dir, err);
	if (!volume_data(w, a, pod, v, not_before, &payload, err))
		return false;
	if (!io_mkdirs(dir, 0777, err) || chmod(dir, 0777) < 0)
		return err->code ? false : error_errno(err, "chmod %s", dir);
	if ((v->volumeSource.secret || v->volumeSource.projected) && !mount_tmpfs(a, dir, 0, err))
		return false;
	if (fs_group_of(pod) >= 0 && (chown(dir, (uid_t)-1, (gid_t)fs_group_of(pod)) < 0 || chmod(dir, 02777) < 0))
		return error_errno(err, "chown %s", dir);
	return volume_write(dir, &payload, fs_group_of(pod), w->k->clock, err);
}

bool volumes_setup(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, bool fresh, struct error *err)
{
	int64_t not_before = fresh ? clock_mono(w->k->clock) : 0;
	bool ok = true;
	for (size_t i = 0; i < pod->spec.volumes.n; i++) {
		const struct core_v1_Volume *v = &pod->spec.volumes.v[i];
		struct error one = { 0 };
		if (setup_one(w, a, pod, v, not_before, &one))
			continue;
		pod_event(w->k, pod, "Warning", "FailedMount", "MountVolume.SetUp failed for volume \"" STR_FMT "\" : %s", STR_ARG(v->name), one.text);
		if (ok)
			error_set(err, "failed to mount volume \"" STR_FMT "\": %s", STR_ARG(v->name), one.text);
		ok = false;
	}
	return ok;
}

// Unmounts what is mounted somewhere below, deepest first.
static void unmount_below(struct arena *a, const char *dir, int depth)
{
	_cleanup_closedir_ DIR *d = depth < 6 ? opendir(dir) : NULL;
	struct dirent *e;
	while (d && (e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		const char *path = arena_cstr(a, arena_printf(a, "%s/%s", dir, e->d_name));
		while (is_mount(path) && umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
			;
		if (e->d_type == DT_DIR && !is_mount(path))
			unmount_below(a, path, depth + 1);
	}
}

bool volumes_teardown(struct kubelet *k, struct arena *a, str uid, struct error *err)
{
	subpath_cleanup(k, a, uid);
	char *volumes = pod_dir(k, a, uid, "volumes");
	// volumes/<kind>/<name>
	unmount_below(a, volumes, 4);
	return io_remove_tree(pod_dir(k, a, uid, NULL), err);
}
