#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <malloc.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "base/io.h"
#include "base/log.h"
#include "base/proc.h"
#include "json/json.h"
#include "runtime/cgroup.h"
#include "runtime/server.h"

// --- Namespaces: made by a thread that lives just long enough to pin them ---

struct pin {
	const struct sandbox *s;
	struct error *err;
	bool ok;
};

static bool pin_one(const char *path, const char *ns, struct error *err)
{
	char source[64];
	snprintf(source, sizeof(source), "/proc/thread-self/ns/%s", ns);
	int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0444);
	if (fd < 0)
		return error_errno(err, "create %s", path);
	close(fd);
	return mount(source, path, NULL, MS_BIND, NULL) == 0 || error_errno(err, "mount namespace on %s", path);
}

static bool loopback_up(struct error *err)
{
	_cleanup_close_ int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = { .ifr_name = "lo" };
	if (s < 0 || ioctl(s, SIOCGIFFLAGS, &r) < 0)
		return error_errno(err, "loopback");
	r.ifr_flags = (short)(r.ifr_flags | IFF_UP);
	return ioctl(s, SIOCSIFFLAGS, &r) == 0 || error_errno(err, "loopback up");
}

static bool sysctl_set(str name, str value, struct error *err)
{
	char path[512] = "/proc/sys/";
	size_t n = strlen(path);
	if (name.n == 0 || name.n > 256 || str_contains(name, S("..")) || name.p[0] == '/')
		return error_api(err, 400, "BadRequest", "invalid sysctl \"" STR_FMT "\"", STR_ARG(name));
	bool slashes = str_find_char(name, '/') >= 0;
	for (size_t i = 0; i < name.n; i++)
		path[n++] = !slashes && name.p[i] == '.' ? '/' : name.p[i];
	path[n] = 0;
	return io_write_existing(path, value, err) || error_wrap(err, "sysctl " STR_FMT, STR_ARG(name));
}

static bool apply_sysctls(const struct sandbox *s, struct error *err)
{
	const struct cri_v1_LinuxPodSandboxConfig *l = s->config->linux_;
	static const struct str_map none;
	const struct str_map *m = l ? &l->sysctls : &none;
	if (s->net_ns) {
		// A network namespace is the pod's alone: low ports and ping need no privilege in it.
		static const struct { const char *name, *value; } usual[] = {
			{ "net.ipv4.ip_unprivileged_port_start", "0" }, { "net.ipv4.ping_group_range", "0 2147483647" },
		};
		struct error ignored = { 0 };
		str asked;
		for (size_t i = 0; i < ARRAY_LEN(usual); i++)
			if (!str_map_find(m, str_c(usual[i].name), &asked))
				sysctl_set(str_c(usual[i].name), str_c(usual[i].value), &ignored);
	}
	for (size_t i = 0; i < m->n; i++)
		if (!sysctl_set(m->v[i].key, m->v[i].value, err))
			return false;
	return true;
}

static void *pin_thread(void *arg)
{
	struct pin *p = arg;
	const struct sandbox *s = p->s;
	int flags = (s->net_ns ? CLONE_NEWNET : 0) | (s->uts_ns ? CLONE_NEWUTS : 0) | (s->ipc_ns ? CLONE_NEWIPC : 0);
	if (flags && unshare(flags) < 0) {
		error_errno(p->err, "new namespaces");
		return NULL;
	}
	if (s->uts_ns && sethostname(s->hostname.p, s->hostname.n) < 0) {
		error_errno(p->err, "set hostname");
		return NULL;
	}
	p->ok = (!s->net_ns || (loopback_up(p->err) && pin_one(s->net_ns, "net", p->err))) && (!s->uts_ns || pin_one(s->uts_ns, "uts", p->err)) &&
	        (!s->ipc_ns || pin_one(s->ipc_ns, "ipc", p->err)) && apply_sysctls(s, p->err);
	return NULL;
}

static bool make_namespaces(const struct sandbox *s, struct error *err)
{
	struct pin p = { s, err, false };
	pthread_t t;
	int rc = pthread_create(&t, NULL, pin_thread, &p);
	if (rc != 0) {
		errno = rc;
		return error_errno(err, "thread");
	}
	pthread_join(t, NULL);
	return p.ok;
}

static bool is_namespace(const char *path)
{
	struct statfs st;
	return statfs(path, &st) == 0 && (uint64_t)st.f_type == NSFS_MAGIC;
}

bool sandbox_usable(const struct sandbox *s)
{
	return (!s->net_ns || is_namespace(s->net_ns)) && (!s->uts_ns || is_namespace(s->uts_ns)) && (!s->ipc_ns || is_namespace(s->ipc_ns));
}

// --- Files ---

static bool write_resolv_conf(const struct sandbox *s, struct arena *a, struct error *err)
{
	const struct cri_v1_DNSConfig *d = s->config->dns_config;
	_cleanup_buf_ struct buf b = { 0 };
	if (d && d->searches.n) {
		buf_add(&b, S("search"));
		for (size_t i = 0; i < d->searches.n; i++)
			buf_printf(&b, " " STR_FMT, STR_ARG(d->searches.v[i]));
		buf_add_char(&b, '\n');
	}
	for (size_t i = 0; d && i < d->servers.n; i++)
		buf_printf(&b, "nameserver " STR_FMT "\n", STR_ARG(d->servers.v[i]));
	if (d && d->options.n) {
		buf_add(&b, S("options"));
		for (size_t i = 0; i < d->options.n; i++)
			buf_printf(&b, " " STR_FMT, STR_ARG(d->options.v[i]));
		buf_add_char(&b, '\n');
	}
	str text = buf_str(&b);
	struct error ignored = { 0 };
	if (text.n == 0 && !io_read_file(a, "/etc/resolv.conf", 1 << 20, &text, &ignored))
		text = S("");
	return io_write_file(arena_printf(a, "%s/resolv.conf", s->dir).p, text, 0644, err);
}

static bool make_files(const struct sandbox *s, struct arena *a, struct error *err)
{
	const char *shm = arena_printf(a, "%s/shm", s->dir).p;
	if (!io_mkdirs(arena_printf(a, "%s/ns", s->dir).p, 0711, err) || !write_resolv_conf(s, a, err) ||
	    !io_write_file(arena_printf(a, "%s/hostname", s->dir).p, arena_concat(a, s->hostname, S("\n")), 0644, err))
		return false;
	if (s->host_ipc)
		return true;
	if (mkdir(shm, 01777) < 0 && errno != EEXIST)
		return error_errno(err, "mkdir %s", shm);
	return mount("shm", shm, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=67108864") == 0 || error_errno(err, "mount %s", shm);
}

// --- Network ---

void sandbox_attachment(struct arena *a, const struct sandbox *s, struct cni_attachment *out)
{
	const struct cri_v1_PodSandboxMetadata *m = s->config->metadata;
	*out = (struct cni_attachment){
		.id = s->id, .netns = s->net_ns && is_namespace(s->net_ns) ? s->net_ns : NULL, .ifname = "eth0",
		.pod_name = m->name, .pod_namespace = m->namespace, .pod_uid = m->uid,
	};
	struct value *ports = value_array(a);
	for (size_t i = 0; i < s->config->port_mappings.n; i++) {
		const struct cri_v1_PortMapping *p = &s->config->port_mappings.v[i];
		if (p->host_port <= 0)
			continue;
		static const char *const protocols[] = { "tcp", "udp", "sctp" };
		struct value *v = value_object(a);
		value_set(a, v, S("hostPort"), value_int(a, p->host_port));
		value_set(a, v, S("containerPort"), value_int(a, p->container_port));
		value_set(a, v, S("protocol"), value_string(a, str_c(protocols[p->protocol >= 0 && p->protocol < 3 ? p->protocol : 0])));
		if (p->host_ip.n)
			value_set(a, v, S("hostIP"), value_string(a, p->host_ip));
		value_append(a, ports, v);
	}
	if (ports->a.n)
		out->port_mappings = ports;
	static const struct { const char *annotation, *rate, *burst; } ways[] = {
		{ "kubernetes.io/ingress-bandwidth", "ingressRate", "ingressBurst" }, { "kubernetes.io/egress-bandwidth", "egressRate", "egressBurst" },
	};
	struct value *bandwidth = value_object(a);
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		str text;
		if (!str_map_find(&s->config->annotations, str_c(ways[i].annotation), &text))
			continue;
		// A quantity of bits per second: digits with a decimal suffix.
		static const struct { const char *suffix; int64_t factor; } suffixes[] = {
			{ "Ki", 1 << 10 }, { "Mi", 1 << 20 }, { "Gi", 1 << 30 }, { "k", 1000 }, { "M", 1000 * 1000 }, { "G", 1000 * 1000 * 1000 }, { "", 1 },
		};
		int64_t n;
		for (size_t k = 0; k < ARRAY_LEN(suffixes); k++) {
			str digits = text;
			if (str_cut_suffix(&digits, str_c(suffixes[k].suffix)) && str_to_i64(digits, &n) && n > 0 && n < INT64_MAX / suffixes[k].factor) {
				value_set(a, bandwidth, str_c(ways[i].rate), value_int(a, n * suffixes[k].factor));
				value_set(a, bandwidth, str_c(ways[i].burst), value_int(a, INT32_MAX));
				break;
			}
		}
	}
	if (bandwidth->o.n)
		out->bandwidth = bandwidth;
}

static bool join_network(struct runtime *rt, struct sandbox *s, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(16 * 1024);
	struct cni_network n;
	if (!cni_load(a, rt->opts.cni_conf_dir, &n, err))
		return false;
	s->network = arena_dup(s->arena, n.text);
	lock(rt);
	s->network_up = true;
	unlock(rt);
	// Before anything is made: a server that starts after this one knows what to take down.
	if (!sandbox_save(rt, s, false, err))
		return false;
	struct cni_attachment t;
	sandbox_attachment(a, s, &t);
	str result;
	struct str_list ips;
	if (!cni_add(a, &n, rt->opts.cni_bin_dirs, &t, &result, err) || !cni_result_ips(a, result, &ips, err))
		return error_wrap(err, "failed to setup network for sandbox \"%s\"", s->id);
	lock(rt);
	s->result = arena_dup(s->arena, result);
	for (size_t i = 0; i < ips.n; i++)
		*LIST_ADD(s->arena, &s->ips) = arena_dup(s->arena, ips.v[i]);
	unlock(rt);
	return true;
}

static bool leave_network(struct runtime *rt, struct sandbox *s, struct error *err)
{
	lock(rt);
	bool owed = s->network_up;
	str result = s->result;
	unlock(rt);
	if (!owed)
		return true;
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct cni_network n;
	struct cni_attachment t;
	if (!cni_parse(a, s->network, true, &n, err))
		return error_wrap(err, "network configuration of sandbox %s", s->id);
	sandbox_attachment(a, s, &t);
	if (!cni_del(a, &n, rt->opts.cni_bin_dirs, &t, result, err))
		return error_wrap(err, "failed to destroy network for sandbox \"%s\"", s->id);
	lock(rt);
	s->network_up = false;
	unlock(rt);
	return true;
}

// --- The first process of a shared PID namespace ---

static const char *pause_cgroup(struct arena *a, const struct sandbox *s)
{
	const struct cri_v1_LinuxPodSandboxConfig *l = s->config->linux_;
	return l && l->cgroup_parent.n ? arena_printf(a, STR_FMT "/pause-%.12s", STR_ARG(l->cgroup_parent), s->id).p : NULL;
}

static bool start_pause(struct runtime *rt, struct sandbox *s, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	int out[2];
	if (pipe2(out, O_CLOEXEC) < 0)
		return error_errno(err, "pipe");
	const char *argv[] = { "/proc/self/exe", "pause", "--in-new-namespace", arena_printf(a, "%s/pause", s->dir).p, s->net_ns ? s->net_ns : "-",
		               s->uts_ns ? s->uts_ns : "-", s->ipc_ns ? s->ipc_ns : "-", NULL };
	const char *env[] = { NULL };
	struct proc_opts o = { .argv = argv, .env = env, .dir = "/", .in = -1, .out = out[1], .err = -1, .new_session = true };
	pid_t pid;
	bool ok = mkdir(argv[3], 0700) == 0 || errno == EEXIST || error_errno(err, "mkdir %s", argv[3]);
	ok = ok && proc_start(&o, &pid, err);
	close(out[1]);
	str text = { 0 };
	int status;
	int64_t n = 0;
	if (ok) {
		ok = io_read_fd(a, out[0], 64, &text, err);
		struct error ignored = { 0 };
		proc_wait(pid, &status, &ignored);
	}
	close(out[0]);
	if (ok && !str_to_i64(str_trim(text), &n))
		ok = error_set(err, "the pod's first process did not start");
	if (!ok)
		return false;
	lock(rt);
	s->pause = process_of((pid_t)n);
	unlock(rt);
	const char *group = pause_cgroup(a, s);
	if (group)
		cgroup_join(a, rt->cgroup_v2, group, (pid_t)n);
	return true;
}

static void stop_pause(struct runtime *rt, struct sandbox *s)
{
	lock(rt);
	struct process p = s->pause;
	s->pause = (struct process){ 0 };
	unlock(rt);
	_cleanup_close_ int fd = p.pid > 0 ? (int)syscall(SYS_pidfd_open, p.pid, 0) : -1;
	if (fd >= 0 && process_alive(&p)) {
		syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
		// Its group can be removed only when it is gone.
		poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 2000);
	}
	_cleanup_arena_ struct arena *a = arena_new(0);
	const char *group = s->config && p.pid ? pause_cgroup(a, s) : NULL;
	if (group)
		cgroup_remove(a, rt->cgroup_v2, group);
}

// --- Life ---

static bool check_request(const struct cri_v1_RunPodSandboxRequest *req, struct error *err)
{
	const struct cri_v1_PodSandboxConfig *c = req->config;
	if (!c || !c->metadata)
		return rpc_error(err, GRPC_INVALID_ARGUMENT, "sandbox config must include metadata");
	if (c->metadata->name.n == 0 || c->metadata->uid.n == 0)
		return rpc_error(err, GRPC_INVALID_ARGUMENT, "sandbox config must include name and uid");
	if (req->runtime_handler.n && !str_eqc(req->runtime_handler, "crun") && !str_eqc(req->runtime_handler, "default"))
		return rpc_error(err, GRPC_INVALID_ARGUMENT, "no runtime for \"" STR_FMT "\" is configured", STR_ARG(req->runtime_handler));
	const struct cri_v1_LinuxSandboxSecurityContext *sc = c->linux_ ? c->linux_->security_context : NULL;
	const struct cri_v1_NamespaceOption *ns = sc ? sc->namespace_options : NULL;
	if (ns && ns->userns_options && ns->userns_options->mode == cri_v1_NamespaceMode_POD)
		return rpc_error(err, GRPC_UNIMPLEMENTED, "user namespaces are not supported");
	if (c->hostname.n > 64)
		return rpc_error(err, GRPC_INVALID_ARGUMENT, "hostname is longer than 64 characters");
	return true;
}

static struct sandbox *from_request(struct runtime *rt, const struct cri_v1_RunPodSandboxRequest *req)
{
	struct arena *a = arena_new(4096);
	struct sandbox *s = sandbox_new(rt, a, new_id(a));
	s->config = schema_clone(a, cri_v1_PodSandboxConfig_desc, req->config);
	s->handler = arena_dup(a, req->runtime_handler);
	s->created = now();
	const struct cri_v1_LinuxPodSandboxConfig *l = s->config->linux_;
	const struct cri_v1_NamespaceOption *ns = l && l->security_context ? l->security_context->namespace_options : NULL;
	s->host_network = ns && ns->network == cri_v1_NamespaceMode_NODE;
	s->host_ipc = ns && ns->ipc == cri_v1_NamespaceMode_NODE;
	s->host_pid = ns && ns->pid == cri_v1_NamespaceMode_NODE;
	s->pod_pid = ns && ns->pid == cri_v1_NamespaceMode_POD;
	if (!s->host_network) {
		s->net_ns = arena_printf(a, "%s/ns/net", s->dir).p;
		s->uts_ns = arena_printf(a, "%s/ns/uts", s->dir).p;
	}
	if (!s->host_ipc)
		s->ipc_ns = arena_printf(a, "%s/ns/ipc", s->dir).p;
	if (l) {
		s->resources = l->resources;
		s->overhead = l->overhead;
	}
	char name[65] = "";
	gethostname(name, sizeof(name) - 1);
	s->hostname = s->config->hostname.n ? s->config->hostname : arena_dup(a, str_c(name));
	return s;
}

struct sandbox *sandbox_run(struct runtime *rt, const struct cri_v1_RunPodSandboxRequest *req, struct error *err)
{
	if (!check_request(req, err))
		return NULL;
	struct sandbox *s = from_request(rt, req);
	_cleanup_arena_ struct arena *scratch = arena_new(0);
	pthread_mutex_lock(&s->op);
	if (!sandbox_insert(rt, s, err)) {
		pthread_mutex_unlock(&s->op);
		sandbox_put(rt, s);
		return NULL;
	}
	bool ok = io_mkdirs(s->dir, 0711, err) && sandbox_save(rt, s, false, err) && make_files(s, scratch, err) && make_namespaces(s, err) &&
	          (s->host_network || join_network(rt, s, err)) && (!s->pod_pid || start_pause(rt, s, err));
	if (ok) {
		lock(rt);
		s->ready = s->complete = true;
		unlock(rt);
		ok = sandbox_save(rt, s, true, err);
	}
	if (!ok) {
		struct error cleaning = { 0 };
		if (sandbox_clean(rt, s, &cleaning)) {
			sandbox_forget(rt, s);
		} else {
			// It stays, not ready, until somebody stops and removes it: a network that could not be left must not be forgotten.
			log_warn("sandbox %s: %s", s->id, cleaning.text);
			lock(rt);
			s->ready = false;
			s->complete = true;
			unlock(rt);
			sandbox_save(rt, s, true, &cleaning);
		}
		pthread_mutex_unlock(&s->op);
		sandbox_put(rt, s);
		return NULL;
	}
	pthread_mutex_unlock(&s->op);
	event_sandbox(rt, s, cri_v1_ContainerEventType_CONTAINER_CREATED_EVENT);
	event_sandbox(rt, s, cri_v1_ContainerEventType_CONTAINER_STARTED_EVENT);
	return s;
}

static bool unmount(const char *path, struct error *err)
{
	// Detached: a process that still looks at it keeps it for itself.
	while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	return errno == EINVAL || errno == ENOENT || error_errno(err, "unmount %s", path);
}

static bool remove_namespaces(const struct sandbox *s, struct arena *a, struct error *err)
{
	static const char *const mounts[] = { "ns/net", "ns/uts", "ns/ipc", "shm" };
	for (size_t i = 0; i < ARRAY_LEN(mounts); i++)
		if (!unmount(arena_printf(a, "%s/%s", s->dir, mounts[i]).p, err))
			return false;
	return true;
}

bool sandbox_stop(struct runtime *rt, struct sandbox *s, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	pthread_mutex_lock(&s->op);
	size_t n;
	struct container **l = sandbox_containers(rt, a, s->id, &n);
	bool ok = true;
	for (size_t i = 0; i < n; i++) {
		ok = ok && container_stop(rt, l[i], 0, err);
		container_put(rt, l[i]);
	}
	lock(rt);
	bool was_ready = s->ready, owed = s->network_up;
	unlock(rt);
	if (ok && (was_ready || owed)) {
		stop_pause(rt, s);
		ok = leave_network(rt, s, err) && remove_namespaces(s, a, err);
		lock(rt);
		s->ready = s->ready && !ok;
		unlock(rt);
		struct error save = { 0 };
		if (!sandbox_save(rt, s, true, &save) && ok) {
			*err = save;
			ok = false;
		}
	}
	pthread_mutex_unlock(&s->op);
	if (ok && was_ready)
		event_sandbox(rt, s, cri_v1_ContainerEventType_CONTAINER_STOPPED_EVENT);
	return ok;
}

bool sandbox_clean(struct runtime *rt, struct sandbox *s, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	stop_pause(rt, s);
	const char *file = arena_printf(a, "%s/sandboxes/%s.json", rt->opts.root, s->id).p;
	if (!leave_network(rt, s, err) || !remove_namespaces(s, a, err) || !io_remove_tree(s->dir, err))
		return false;
	return unlink(file) == 0 || errno == ENOENT || error_errno(err, "remove %s", file);
}

bool sandbox_remove(struct runtime *rt, struct sandbox *s, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	if (!sandbox_stop(rt, s, err))
		return false;
	pthread_mutex_lock(&s->op);
	size_t n;
	struct container **l = sandbox_containers(rt, a, s->id, &n);
	bool ok = true;
	for (size_t i = 0; i < n; i++) {
		ok = ok && container_remove(rt, l[i], err);
		container_put(rt, l[i]);
	}
	ok = ok && sandbox_clean(rt, s, err);
	lock(rt);
	bool first = ok && !s->removed;
	unlock(rt);
	if (ok)
		sandbox_forget(rt, s);
	pthread_mutex_unlock(&s->op);
	if (first)
		event_sandbox(rt, s, cri_v1_ContainerEventType_CONTAINER_DELETED_EVENT);
	malloc_trim(0); // pods come and go; what they took goes back to the system
	return ok;
}
