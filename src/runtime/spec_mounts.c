#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/io.h"
#include "runtime/spec_internal.h"

enum { MOUNTS_MAX = 2000, DEVICES_MAX = 4000, DEVICE_DEPTH = 8 };

static void add_mount(struct arena *a, struct value *list, const char *dest, const char *type, const char *source, const char *options)
{
	struct value *m = value_object(a), *o = value_array(a);
	value_set(a, m, S("destination"), value_string(a, str_c(dest)));
	value_set(a, m, S("type"), value_string(a, str_c(type)));
	value_set(a, m, S("source"), value_string(a, str_c(source)));
	for (str rest = str_c(options), part; str_next(&rest, ',', &part);)
		value_append(a, o, value_string(a, part));
	value_set(a, m, S("options"), o);
	value_append(a, list, m);
}

// "/a//b/" -> "/a/b"
static str clean(struct arena *a, str path)
{
	str out = { 0 };
	for (str rest = path, part; str_next(&rest, '/', &part);)
		if (part.n && !str_eqc(part, "."))
			out = arena_concat(a, out, S("/"), part);
	return out.n ? out : S("/");
}

static bool mounted_by_config(struct arena *a, const struct cri_v1_ContainerConfig *c, const char *dest)
{
	for (size_t i = 0; i < c->mounts.n; i++)
		if (str_eqc(clean(a, c->mounts.v[i].container_path), dest))
			return true;
	return false;
}

static bool bind_mount(struct arena *a, const struct spec_input *in, const struct cri_v1_Mount *m, struct value *list, int *propagation, struct error *err)
{
	str dest = clean(a, m->container_path), source = m->host_path;
	if (m->container_path.n == 0 || m->container_path.p[0] != '/')
		return error_api(err, 400, "BadRequest", "mount: container path \"" STR_FMT "\" is not absolute", STR_ARG(m->container_path));
	if (m->uidMappings.n || m->gidMappings.n)
		return error_api(err, 400, "BadRequest", "mount " STR_FMT ": ID-mapped mounts are not supported", STR_ARG(dest));
	bool image = m->image && m->image->image.n;
	if (image)
		source = str_map_get(&in->image_mounts, m->container_path);
	if (source.n == 0)
		return error_api(err, 400, "BadRequest", "mount " STR_FMT ": no host path", STR_ARG(dest));
	const char *from = arena_cstr(a, source);
	struct stat st;
	if (stat(from, &st) < 0) {
		if (errno != ENOENT)
			return error_errno(err, "failed to stat \"%s\"", from);
		if (!io_mkdirs(from, 0755, err))
			return error_wrap(err, "failed to mkdir \"%s\"", from);
	}
	if (m->recursive_read_only && !m->readonly)
		return error_api(err, 400, "BadRequest", "recursive_read_only requires readonly");
	if (m->recursive_read_only && m->propagation != cri_v1_MountPropagation_PROPAGATION_PRIVATE)
		return error_api(err, 400, "BadRequest", "recursive_read_only requires private propagation");
	if (m->recursive_read_only && !in->recursive_read_only)
		return error_api(err, 400, "BadRequest", "recursive_read_only is not supported");
	const char *how = "rprivate";
	if (m->propagation == cri_v1_MountPropagation_PROPAGATION_BIDIRECTIONAL)
		how = "rshared";
	else if (m->propagation == cri_v1_MountPropagation_PROPAGATION_HOST_TO_CONTAINER)
		how = "rslave";
	else if (m->propagation != cri_v1_MountPropagation_PROPAGATION_PRIVATE)
		return error_api(err, 400, "BadRequest", "mount " STR_FMT ": unknown propagation", STR_ARG(dest));
	*propagation = MAX(*propagation, how[1] == 's' ? (how[2] == 'h' ? 2 : 1) : 0);
	const char *mode = m->recursive_read_only ? "rro" : m->readonly || image ? "ro" : "rw";
	add_mount(a, list, dest.p, "bind", from, arena_printf(a, "rbind,%s,%s", how, mode).p);
	return true;
}

static size_t depth(const struct value *m)
{
	str d = value_get_str(m, S("destination"));
	size_t n = 0;
	for (size_t i = 0; i + 1 < d.n; i++)
		n += d.p[i] == '/';
	return n;
}

bool spec_mounts(struct arena *a, const struct spec_input *in, struct value *spec, struct value *linux_value, struct error *err)
{
	const struct cri_v1_ContainerConfig *c = in->config;
	const struct cri_v1_LinuxContainerSecurityContext *sc = c->linux_ ? c->linux_->security_context : NULL;
	bool privileged = sc && sc->privileged;
	struct value *list = value_array(a), *own = value_array(a);
	if (c->mounts.n > MOUNTS_MAX)
		return error_api(err, 400, "BadRequest", "more than %d mounts", MOUNTS_MAX);
	const char *rw = privileged ? "rw" : "ro";
	add_mount(a, list, "/proc", "proc", "proc", "nosuid,noexec,nodev");
	add_mount(a, list, "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k");
	add_mount(a, list, "/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5");
	if (!mounted_by_config(a, c, "/dev/mqueue"))
		add_mount(a, list, "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev");
	add_mount(a, list, "/sys", "sysfs", "sysfs", arena_printf(a, "nosuid,noexec,nodev,%s", rw).p);
	if (!mounted_by_config(a, c, "/sys/fs/cgroup"))
		add_mount(a, list, "/sys/fs/cgroup", "cgroup", "cgroup", arena_printf(a, "nosuid,noexec,nodev,relatime,%s", rw).p);
	if (in->shm && !mounted_by_config(a, c, "/dev/shm"))
		add_mount(a, list, "/dev/shm", "bind", in->shm, "rbind,rprivate,rw");
	const char *files = sc && sc->readonly_rootfs ? "rbind,rprivate,ro" : "rbind,rprivate,rw";
	if (in->hostname && !mounted_by_config(a, c, "/etc/hostname"))
		add_mount(a, list, "/etc/hostname", "bind", in->hostname, files);
	if (in->resolv_conf && !mounted_by_config(a, c, "/etc/resolv.conf"))
		add_mount(a, list, "/etc/resolv.conf", "bind", in->resolv_conf, files);
	int propagation = 0;
	for (size_t i = 0; i < c->mounts.n; i++)
		if (!bind_mount(a, in, &c->mounts.v[i], own, &propagation, err))
			return false;
	// Outer before inner, whatever order they come in; otherwise as given.
	for (size_t d = 0, left = own->a.n; left; d++)
		for (size_t i = 0; i < own->a.n; i++)
			if (depth(own->a.v[i]) == d) {
				value_append(a, list, own->a.v[i]);
				left--;
			}
	value_set(a, spec, S("mounts"), list);
	if (propagation)
		value_set(a, linux_value, S("rootfsPropagation"), value_string(a, propagation == 2 ? S("rshared") : S("rslave")));
	return true;
}

// --- Devices ---

struct devices {
	struct arena *a;
	struct value *list, *rules;
	size_t count;
};

static void rule(struct devices *d, const char *type, int64_t major, int64_t minor, str access)
{
	struct arena *a = d->a;
	struct value *r = value_object(a);
	value_set(a, r, S("allow"), value_bool(a, true));
	if (type)
		value_set(a, r, S("type"), value_string(a, str_c(type)));
	if (major >= 0)
		value_set(a, r, S("major"), value_int(a, major));
	if (minor >= 0)
		value_set(a, r, S("minor"), value_int(a, minor));
	value_set(a, r, S("access"), value_string(a, access));
	value_append(a, d->rules, r);
}

static bool add_device(struct devices *d, const struct stat *st, str path, str permissions, struct error *err)
{
	if (++d->count > DEVICES_MAX)
		return error_api(err, 400, "BadRequest", "more than %d devices", DEVICES_MAX);
	struct arena *a = d->a;
	const char *type = S_ISBLK(st->st_mode) ? "b" : "c";
	struct value *v = value_object(a);
	value_set(a, v, S("path"), value_string(a, path));
	value_set(a, v, S("type"), value_string(a, str_c(type)));
	value_set(a, v, S("major"), value_int(a, major(st->st_rdev)));
	value_set(a, v, S("minor"), value_int(a, minor(st->st_rdev)));
	value_set(a, v, S("fileMode"), value_int(a, st->st_mode & 07777));
	value_set(a, v, S("uid"), value_int(a, st->st_uid));
	value_set(a, v, S("gid"), value_int(a, st->st_gid));
	value_append(a, d->list, v);
	if (permissions.n)
		rule(d, type, major(st->st_rdev), minor(st->st_rdev), permissions);
	return true;
}

// A directory stands for the devices in it.
static bool add_tree(struct devices *d, const char *host, str inside, str permissions, int level, bool all, struct error *err)
{
	struct stat st;
	if (stat(host, &st) < 0)
		return all || error_errno(err, "device %s", host);
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		return add_device(d, &st, inside, permissions, err);
	if (!S_ISDIR(st.st_mode) || level >= DEVICE_DEPTH)
		return all || level > 0 || error_api(err, 400, "BadRequest", "%s is not a device node", host);
	_cleanup_closedir_ DIR *dir = opendir(host);
	for (struct dirent *e; dir && (e = readdir(dir));) {
		static const char *const skipped[] = { ".", "..", "pts", "shm", "fd", "mqueue", "console", "ptmx", "stdin", "stdout", "stderr", "core" };
		bool skip = e->d_type == DT_LNK;
		for (size_t i = 0; i < (all && level == 0 ? ARRAY_LEN(skipped) : 2); i++)
			skip |= strcmp(e->d_name, skipped[i]) == 0;
		if (!skip && !add_tree(d, arena_printf(d->a, "%s/%s", host, e->d_name).p,
		                       arena_concat(d->a, inside, S("/"), arena_dup(d->a, str_c(e->d_name))), permissions, level + 1, all, err))
			return false;
	}
	return true;
}

static bool permissions_valid(str p)
{
	for (size_t i = 0; i < p.n; i++)
		if (!strchr("rwm", p.p[i]))
			return false;
	return p.n > 0;
}

bool spec_devices(struct arena *a, const struct spec_input *in, struct value *linux_value, struct value *resources, struct error *err)
{
	const struct cri_v1_ContainerConfig *c = in->config;
	const struct cri_v1_LinuxContainerSecurityContext *sc = c->linux_ ? c->linux_->security_context : NULL;
	struct devices d = { .a = a, .list = value_array(a), .rules = value_array(a) };
	if (sc && sc->privileged) {
		if (!add_tree(&d, "/dev", S("/dev"), (str){ 0 }, 0, true, err))
			return false;
		rule(&d, NULL, -1, -1, S("rwm"));
	} else {
		struct value *deny = value_object(a);
		value_set(a, deny, S("allow"), value_bool(a, false));
		value_set(a, deny, S("access"), value_string(a, S("rwm")));
		value_append(a, d.rules, deny);
		rule(&d, "c", -1, -1, S("m")); // nodes may be made, not used
		rule(&d, "b", -1, -1, S("m"));
		static const struct { int major, minor; } usual[] = {
			{ 1, 3 }, { 1, 5 }, { 1, 7 }, { 1, 8 }, { 1, 9 }, { 5, 0 }, { 5, 1 }, { 5, 2 }, { 136, -1 }, // null zero full random urandom tty console ptmx pts
		};
		for (size_t i = 0; i < ARRAY_LEN(usual); i++)
			rule(&d, "c", usual[i].major, usual[i].minor, S("rwm"));
	}
	for (size_t i = 0; i < c->devices.n; i++) {
		const struct cri_v1_Device *dev = &c->devices.v[i];
		if (!permissions_valid(dev->permissions) || dev->container_path.n == 0 || dev->container_path.p[0] != '/')
			return error_api(err, 400, "BadRequest", "invalid device \"" STR_FMT "\"", STR_ARG(dev->container_path));
		if (!add_tree(&d, arena_cstr(a, dev->host_path), dev->container_path, dev->permissions, 0, false, err))
			return false;
	}
	value_set(a, linux_value, S("devices"), d.list);
	value_set(a, resources, S("devices"), d.rules);
	return true;
}
