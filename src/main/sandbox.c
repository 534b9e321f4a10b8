// `coracle sandbox`: whole clusters on one machine, for tests, demos and laptops.
//
// A node is a set of namespaces (network, mount, PID, UTS, IPC, cgroup) whose first process is `coracle up --foreground`; inside, all
// paths are those of a real host, because the sandbox's directories are mounted over them. The nodes hang on a bridge that lives in
// the first node's network namespace and has no other port: no packet can leave. The API is reached from everywhere, the host
// too, at https://127.0.0.1:PORT: a listening socket belongs to the network namespace that it was made in, so one is made in
// each and all are handed to the apiserver.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/proc.h"
#include "json/json.h"
#include "main/cgroup_view.h"
#include "main/node.h"

#define SANDBOXES "/var/lib/coracle-sandboxes" // beside, not below, what is mounted over in a node
enum { MAX_NODES = 50, READY_MS = 120000, FIRST_PORT = 6443, STATE_LIMIT = 1 << 20, GONE_MS = 10000 };

static const char USAGE[] =
	"usage: coracle sandbox up [--name NAME] [--nodes N] [--without COMPONENT]... [--image ARCHIVE]... [--port PORT]\n"
	"                          [--node-monitor-grace-period DURATION] [--token-auth-file FILE] [--insecure-registry HOST:PORT] [--join]\n"
	"       coracle sandbox exec [--name NAME] [--node I] -- COMMAND [ARGUMENT]...\n"
	"       coracle sandbox list\n"
	"       coracle sandbox down [--name NAME]\n"
	"--join: the nodes after the first join with a token, as machines of their own would.\n"
	"Nodes are counted from 1; the control plane lives in node 1 (0 means the same one).\n";

struct sandbox {
	struct arena *arena;
	const char *name;
	const char *dir;                  // SANDBOXES/name
	int nodes;                        // as asked for; 0: a control plane alone, in the namespaces of node 1
	int port;
	const char *images[64];
	size_t nimages;
	struct node_config node;          // options that all nodes share
	bool join;                        // workers join with a token
	const char *token, *pin;          // then
	int netns[MAX_NODES + 1];         // [i]: of node i, open
	int listen[MAX_NODES + 1];        // [0]: of the host
	pid_t pid[MAX_NODES + 1];         // first processes, as the host numbers them
	int pidfd[MAX_NODES + 1];
	struct path_list cgroups;
};

#define P(...) arena_printf(s->arena, __VA_ARGS__).p

static int places(const struct sandbox *s) // how many sets of namespaces
{
	return MAX(s->nodes, 1);
}

static const char *node_ip(const struct sandbox *s, int i)
{
	return P("10.89.0.%d", 10 + i);
}

static const char *node_name(const struct sandbox *s, int i)
{
	return P("node-%d", i);
}

// --- State on disk ----------------------------------------------------------------------------------------------------------

// When a process started (clock ticks after boot): together with its number this names it for good.
static int64_t start_time(struct arena *a, pid_t pid)
{
	struct error err = { 0 };
	str text, field = { 0 };
	if (!io_read_file(a, arena_printf(a, "/proc/%d/stat", (int)pid).p, 4096, &text, &err))
		return -1;
	ptrdiff_t paren = str_rfind_char(text, ')'); // the name before it may hold anything
	if (paren < 0)
		return -1;
	str rest = str_from(text, (size_t)paren + 2);
	for (int i = 3; i <= 22 && str_next(&rest, ' ', &field); i++)
		;
	int64_t v;
	return str_to_i64(field, &v) ? v : -1;
}

static bool state_write(struct sandbox *s, struct error *err)
{
	struct value *v = value_object(s->arena), *nodes = value_array(s->arena), *cgroups = value_array(s->arena);
	value_set(s->arena, v, S("nodes"), nodes);
	value_set(s->arena, v, S("cgroups"), cgroups);
	for (int i = 1; i <= places(s) && s->pid[i]; i++) {
		struct value *n = value_object(s->arena);
		value_set(s->arena, n, S("pid"), value_int(s->arena, s->pid[i]));
		value_set(s->arena, n, S("start"), value_int(s->arena, start_time(s->arena, s->pid[i])));
		value_append(s->arena, nodes, n);
	}
	for (size_t i = 0; i < s->cgroups.n; i++)
		value_append(s->arena, cgroups, value_string(s->arena, str_c(s->cgroups.v[i])));
	return io_write_file(P("%s/state.json", s->dir), json_text(s->arena, v, JSON_COMPACT), 0600, err);
}

// Opens the first processes that still run, as pidfds.
static bool state_read(struct sandbox *s, struct error *err)
{
	str text;
	if (!io_read_file(s->arena, P("%s/state.json", s->dir), STATE_LIMIT, &text, err))
		return false;
	struct value *v = json_parse(s->arena, text, NULL, err);
	if (!v)
		return error_wrap(err, "%s/state.json", s->dir);
	struct value *nodes = value_get(v, S("nodes")), *cgroups = value_get(v, S("cgroups"));
	for (size_t i = 0; value_is(cgroups, V_ARRAY) && i < cgroups->a.n; i++)
		*LIST_ADD(s->arena, &s->cgroups) = arena_cstr(s->arena, value_str(cgroups->a.v[i]));
	for (size_t i = 0; value_is(nodes, V_ARRAY) && i < MIN(nodes->a.n, (size_t)MAX_NODES); i++) {
		int64_t pid, start;
		s->pidfd[i + 1] = -1;
		s->nodes = (int)i + 1;
		if (!value_to_i64(value_get(nodes->a.v[i], S("pid")), &pid) || !value_to_i64(value_get(nodes->a.v[i], S("start")), &start) || pid <= 1)
			continue;
		int fd = pidfd_open((pid_t)pid, 0); // first the handle, then the check: the number cannot change hands in between
		if (fd >= 0 && start_time(s->arena, (pid_t)pid) != start) {
			close(fd);
			fd = -1;
		}
		s->pid[i + 1] = (pid_t)pid;
		s->pidfd[i + 1] = fd;
	}
	return true;
}

// --- Network ------------------------------------------------------------------------------------------------------------------

static bool enter_netns(int fd, struct error *err)
{
	return setns(fd, CLONE_NEWNET) == 0 ? true : error_errno(err, "enter network namespace");
}

static int listen_loopback(int port, struct error *err)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
	    listen(fd, 4096) == 0)
		return fd;
	error_errno(err, "listen on 127.0.0.1:%d", port);
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool loopback_up(struct error *err)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	return fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &r) == 0 ? true : error_errno(err, "bring lo up");
}

// Runs `ip -batch` in the current network namespace.
static bool ip_batch(struct sandbox *s, str commands, struct error *err)
{
	const char *const argv[] = { "ip", "-batch", "-", NULL };
	struct proc_result r;
	if (!proc_run(s->arena, argv, NULL, commands, 1 << 20, 10000, &r, err))
		return false;
	return r.status == 0 ? true : error_set(err, "ip: " STR_FMT, STR_ARG(str_trim(r.err)));
}

// One network namespace per node; the first holds the bridge, whose own address is the first node's.
static bool make_networks(struct sandbox *s, struct error *err)
{
	_cleanup_close_ int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	bool ok = true;
	for (int i = 1; ok && i <= places(s); i++) {
		ok = unshare(CLONE_NEWNET) == 0 ? true : error_errno(err, "network namespace");
		s->netns[i] = ok ? open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC) : -1;
		ok = ok && loopback_up(err);
		if (ok && i > 1) // the first node's apiserver listens there by itself
			ok = (s->listen[i] = listen_loopback(s->port, err)) >= 0;
	}
	ok = ok && enter_netns(s->netns[1], err);
	if (ok) {
		_cleanup_buf_ struct buf b = { 0 };
		buf_printf(&b, "link add eth0 type bridge\naddr add %s/24 dev eth0\nlink set eth0 up\n", node_ip(s, 1));
		for (int i = 2; i <= places(s); i++)
			buf_printf(&b, "link add node-%d type veth peer name eth0 netns /proc/%d/fd/%d\nlink set node-%d master eth0 up\n", i, (int)getpid(),
			           s->netns[i], i);
		ok = ip_batch(s, buf_str(&b), err);
	}
	for (int i = 2; ok && i <= places(s); i++)
		ok = enter_netns(s->netns[i], err) && ip_batch(s, str_c(P("addr add %s/24 dev eth0\nlink set eth0 up\n", node_ip(s, i))), err);
	if (home >= 0 && setns(home, CLONE_NEWNET) < 0)
		ok = error_errno(err, "return to the host's network");
	return ok;
}

// --- A node's first process -------------------------------------------------------------------------------------------------------

static bool bind_over(struct sandbox *s, int i, const char *what, const char *where, struct error *err)
{
	const char *from = P("%s/node-%d%s", s->dir, i, what);
	if (!io_mkdirs(from, 0755, err) || !io_mkdirs(where, 0755, err))
		return false;
	return mount(from, where, NULL, MS_BIND, NULL) == 0 ? true : error_errno(err, "mount %s at %s", from, where);
}

static bool bind_file(struct sandbox *s, int i, const char *path, const char *text, struct error *err)
{
	const char *from = P("%s/node-%d%s", s->dir, i, path);
	if (!io_mkdirs(P("%s/node-%d/etc", s->dir, i), 0755, err) || !io_write_file(from, str_c(text), 0644, err))
		return false;
	if (!io_exists(path))
		return true; // nothing to cover
	return mount(from, path, NULL, MS_BIND, NULL) == 0 ? true : error_errno(err, "mount %s", path);
}

// All that a node writes is its own; what it only reads (programs, libraries) is the host's.
static bool make_mounts(struct sandbox *s, int i, struct error *err)
{
	static const char *const own[] = { "/var/lib/kubelet", "/var/lib/cni", "/var/log/pods", "/var/log/containers", "/etc/cni/net.d", "/run" };
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_errno(err, "make mounts private");
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return error_errno(err, "mount /proc");
	for (size_t k = 0; k < ARRAY_LEN(own); k++)
		if (!bind_over(s, i, own[k], own[k], err))
			return false;
	const char *lib = P("%s/node-%d/lib", s->dir, i);
	if (!bind_file(s, i, "/etc/hostname", P("%s\n", node_name(s, i)), err) ||
	    !bind_file(s, i, "/etc/hosts", P("127.0.0.1 localhost\n%s %s\n", node_ip(s, i), node_name(s, i)), err) ||
	    !bind_file(s, i, "/etc/resolv.conf", "", err) || !io_mkdirs(lib, 0755, err) || !io_mkdirs("/var/lib/coracle", 0755, err))
		return false;
	if (mount(lib, "/var/lib/coracle", NULL, MS_BIND, NULL) < 0)
		return error_errno(err, "mount /var/lib/coracle");
	// A sysfs of this network namespace. Its cgroup directory is empty and gets the node's own view.
	if (mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return error_errno(err, "mount /sys");
	return true;
}

static const char *const *node_argv(struct sandbox *s, int i)
{
	struct { const char **v; size_t n; } l = { 0 };
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self));
#define ADD(...) (*LIST_ADD(s->arena, &l) = P(__VA_ARGS__))
	ADD("%.*s", (int)MAX(n, 0), self);
	if (i > 1 && s->join) {
		ADD("join");
		ADD("https://127.0.0.1:%d", s->port);
		ADD("--token=%s", s->token);
		ADD("--ca-cert-hash=%s", s->pin);
		ADD("--node-name=%s", node_name(s, i));
		ADD("--node-ip=%s", node_ip(s, i));
		ADD("--foreground");
		*LIST_ADD(s->arena, &l) = NULL;
		return l.v;
	}
	ADD("up");
	ADD("--foreground");
	ADD("--node-name=%s", node_name(s, i));
	ADD("--node-ip=%s", node_ip(s, i));
	ADD("--port=%d", s->port);
	if (i > 1)
		ADD("--server=https://127.0.0.1:%d", s->port);
	for (int c = 0; c < C_COUNT; c++)
		if (!s->node.run[c])
			ADD("--without=%s", component_names[c]);
	if (i == 1)
		for (int k = 0; k <= places(s); k++)
			if (k != 1)
				ADD("--listen-fd=%d", s->listen[k]);
	if (s->node.node_monitor_grace)
		ADD("--node-monitor-grace-period=%s", s->node.node_monitor_grace);
	if (s->node.insecure_registry)
		ADD("--insecure-registry=%s", s->node.insecure_registry);
	if (s->node.token_auth_file)
		ADD("--token-auth-file=%s", s->node.token_auth_file);
#undef ADD
	*LIST_ADD(s->arena, &l) = NULL;
	return l.v;
}

// In the child that becomes the first process. `log` is its standard error from now on.
static _Noreturn void first_process(struct sandbox *s, int i, int go)
{
	struct error err = { 0 };
	char byte;
	const char *log_path = P("%s/node-%d/first.log", s->dir, i);
	int log = open(log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640), null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	const char *const *argv = node_argv(s, i);
	dup2(null, 0);
	dup2(log, 1);
	dup2(log, 2);
	setsid();
	if (read(go, &byte, 1) != 1) // the parent writes down who we are first; if it fails it just closes the pipe
		_exit(1);
	for (int k = 0; i == 1 && k <= places(s); k++)
		if (k != 1 && !io_set_cloexec(s->listen[k], false))
			_exit(1);
	if (!make_mounts(s, i, &err) || !cgroup_mount_view(&err)) {
		log_error("%s", err.text);
		_exit(1);
	}
	if (sethostname(node_name(s, i), strlen(node_name(s, i))) < 0 || chdir("/") < 0)
		_exit(1);
	execv(argv[0], (char *const *)argv);
	log_error("exec %s: %m", argv[0]);
	_exit(1);
}

// Makes the namespaces of a node. The cgroup comes before its namespace, so that this cgroup is the root that the node sees.
static bool start_node(struct sandbox *s, int i, struct error *err)
{
	int report[2], go[2];
	if (pipe2(report, O_CLOEXEC) < 0 || pipe2(go, O_CLOEXEC) < 0)
		return error_errno(err, "pipe");
	pid_t middle = fork(); // enters the namespaces; its child is the first process of the new PID namespace
	if (middle < 0)
		return error_errno(err, "fork");
	if (middle == 0) {
		struct { pid_t pid; struct error err; } r = { 0 };
		if (cgroup_enter_new(P("coracle-%s-%d", s->name, i), &r.err) && enter_netns(s->netns[i], &r.err)) {
			if (unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWCGROUP) < 0)
				error_errno(&r.err, "namespaces");
			else if ((r.pid = fork()) < 0)
				error_errno(&r.err, "fork");
			else if (r.pid == 0)
				first_process(s, i, go[0]);
		}
		(void)!write(report[1], &r, sizeof(r));
		_exit(0);
	}
	struct { pid_t pid; struct error err; } r = { 0 };
	close(report[1]);
	close(go[0]);
	bool told = read(report[0], &r, sizeof(r)) == sizeof(r);
	close(report[0]);
	waitpid(middle, NULL, 0);
	if (!told)
		error_set(&r.err, "node %d did not start", i);
	if (r.err.code) {
		close(go[1]);
		*err = r.err;
		return false;
	}
	s->pid[i] = r.pid;
	s->pidfd[i] = pidfd_open(r.pid, 0);
	bool ok = s->pidfd[i] >= 0 && state_write(s, err) && write(go[1], "+", 1) == 1;
	close(go[1]);
	return ok;
}

// --- up -----------------------------------------------------------------------------------------------------------------------------

static bool nodes_alive(void *ctx, struct error *err)
{
	struct sandbox *s = ctx;
	for (int i = 1; i <= places(s); i++) {
		struct pollfd p = { .fd = s->pidfd[i], .events = POLLIN };
		if (poll(&p, 1, 0) == 0)
			continue;
		struct error ignored = { 0 };
		str text = S("");
		io_read_file(s->arena, P("%s/node-%d/first.log", s->dir, i), 1 << 20, &text, &ignored);
		return error_set(err, "node %d has ended: " STR_FMT, i, STR_ARG(str_trim(str_from(text, text.n > 600 ? text.n - 600 : 0))));
	}
	return true;
}

// Ends all processes of the sandbox (the kernel ends a PID namespace with its first process) and removes what it left.
static bool remove_sandbox(struct sandbox *s, struct error *err)
{
	for (int i = 1; i <= MAX_NODES; i++)
		if (s->pidfd[i] > 0)
			pidfd_send_signal(s->pidfd[i], SIGKILL, NULL, 0);
	for (int i = 1; i <= MAX_NODES; i++) {
		struct pollfd p = { .fd = s->pidfd[i], .events = POLLIN };
		if (s->pidfd[i] > 0 && poll(&p, 1, GONE_MS) != 1)
			return error_set(err, "process %d does not end", (int)s->pid[i]);
	}
	for (size_t i = 0; i < s->cgroups.n; i++)
		cgroup_view_remove(s->cgroups.v[i]);
	// Detached overlay mounts go a moment after their namespace: until then their directories may be busy.
	for (int64_t until = clock_mono(NULL) + GONE_MS * NS_PER_MS; !io_remove_tree(s->dir, err);) {
		if (clock_mono(NULL) > until)
			return false;
		clock_sleep(NULL, 20 * NS_PER_MS);
	}
	rmdir(SANDBOXES); // if this was the last one
	return true;
}

// Names the cgroups that the nodes will enter, before any exists, so that `down` finds them whatever happens.
static bool plan_cgroups(struct sandbox *s, struct error *err)
{
	for (int i = 1; i <= places(s); i++)
		if (!cgroup_paths(s->arena, P("coracle-%s-%d", s->name, i), &s->cgroups, err))
			return false;
	return true;
}

static bool copy_images(struct sandbox *s, struct error *err)
{
	for (int i = 1; s->nodes > 0 && i <= places(s); i++) {
		const char *dir = P("%s/node-%d/lib/images", s->dir, i);
		if (!io_mkdirs(dir, 0755, err))
			return false;
		for (size_t k = 0; k < s->nimages; k++) {
			char real[PATH_MAX];
			if (!realpath(s->images[k], real))
				return error_errno(err, "%s", s->images[k]);
			const char *base = strrchr(real, '/') + 1, *to = P("%s/%s", dir, base);
			if (link(real, to) == 0)
				continue;
			str data; // another file system: a copy
			_cleanup_arena_ struct arena *a = arena_new(0);
			if (!io_read_file(a, real, (size_t)4 << 30, &data, err) || !io_write_file(to, data, 0644, err))
				return false;
		}
	}
	return true;
}

// A token for the workers, when the first node's API answers.
static bool make_token(struct sandbox *s, const char *data_dir, const char *kubeconfig, struct error *err)
{
	const char *const argv[] = { "/proc/self/exe", "token", "create", "--data-dir", data_dir, NULL };
	struct proc_result r;
	if (!wait_ready(kubeconfig, 0, READY_MS, NULL, NULL, err) || !proc_run(s->arena, argv, NULL, S(""), 4096, 10000, &r, err))
		return false;
	if (r.status != 0)
		return error_set(err, "token create: " STR_FMT, STR_ARG(str_trim(r.err)));
	for (str rest = str_trim(r.out), word, before = S(""); str_next(&rest, ' ', &word); before = word) {
		if (str_eqc(before, "--token"))
			s->token = arena_cstr(s->arena, word);
		else if (str_eqc(before, "--ca-cert-hash"))
			s->pin = arena_cstr(s->arena, word);
	}
	return s->token && s->pin ? true : error_set(err, "token create printed no command");
}

static bool bring_up(struct sandbox *s, struct error *err)
{
	for (;; s->port++) { // the first free port, unless one was asked for
		s->listen[0] = listen_loopback(s->port, err);
		if (s->listen[0] >= 0)
			break;
		if (s->node.port || err->sys != EADDRINUSE || s->port >= FIRST_PORT + 1000)
			return false;
	}
	if (!plan_cgroups(s, err) || !state_write(s, err) || !make_networks(s, err) || !copy_images(s, err))
		return false;

	// The authority and what workers need are made here, before the nodes start: they then find everything in place.
	struct node_config c = s->node;
	node_config_default(s->arena, &c);
	memcpy(c.run, s->node.run, sizeof(c.run));
	c.data_dir = P("%s/node-1/lib", s->dir);
	c.run_dir = P("%s/node-1/run/coracle", s->dir);
	c.name = node_name(s, 1);
	c.ip = node_ip(s, 1);
	c.port = s->port;
	if (!node_prepare(s->arena, &c, err))
		return false;
	for (int i = 2; !s->join && i <= s->nodes; i++) {
		struct node_config w = c;
		w.data_dir = P("%s/node-%d/lib", s->dir, i);
		w.name = node_name(s, i);
		w.ip = node_ip(s, i);
		if (!io_mkdirs(w.data_dir, 0755, err) || !node_issue_worker(s->arena, P("%s/pki", c.data_dir), &w, "", err))
			return false;
	}
	const char *admin = P("%s/admin.conf", c.data_dir), *kubeconfig = P("%s/kubeconfig", s->dir);
	str text;
	if (!io_read_file(s->arena, admin, 1 << 20, &text, err) || !io_write_file(kubeconfig, text, 0600, err))
		return false;
	for (int i = 1; i <= places(s); i++)
		if ((i == 2 && s->join && !make_token(s, c.data_dir, kubeconfig, err)) || !start_node(s, i, err))
			return error_wrap(err, "node %d", i);
	int ready = s->node.run[C_KUBELET] && s->node.run[C_RUNTIME] ? s->nodes : 0;
	return !s->node.run[C_APISERVER] || wait_ready(kubeconfig, ready, READY_MS, nodes_alive, s, err);
}

static bool valid_name(const char *name)
{
	size_t n = strlen(name);
	if (n == 0 || n > 32)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!(name[i] >= 'a' && name[i] <= 'z') && !(name[i] >= '0' && name[i] <= '9') && !(name[i] == '-' && i > 0))
			return false;
	return true;
}

enum { O_NAME = 256, O_NODES, O_NODE, O_WITHOUT, O_IMAGE, O_PORT, O_GRACE, O_TOKENS, O_REGISTRY, O_JOIN };
static const struct option OPTIONS[] = {
	{ "join", no_argument, NULL, O_JOIN },
	{ "name", required_argument, NULL, O_NAME },       { "nodes", required_argument, NULL, O_NODES },
	{ "node", required_argument, NULL, O_NODE },       { "without", required_argument, NULL, O_WITHOUT },
	{ "image", required_argument, NULL, O_IMAGE },     { "port", required_argument, NULL, O_PORT },
	{ "node-monitor-grace-period", required_argument, NULL, O_GRACE },
	{ "token-auth-file", required_argument, NULL, O_TOKENS },
	{ "insecure-registry", required_argument, NULL, O_REGISTRY },
	{ "help", no_argument, NULL, 'h' },                { 0 },
};

static bool whole(const char *text, int64_t max, int *out)
{
	int64_t v;
	if (!str_to_i64(str_c(text), &v) || v < 0 || v > max) {
		fprintf(stderr, "error: %s is no number from 0 to %lld\n", text, (long long)max);
		return false;
	}
	*out = (int)v;
	return true;
}

// Returns -1 to go on, else an exit status.
static int options(struct sandbox *s, int argc, char **argv, int *node)
{
	int o;
	// "+": what follows the first plain argument belongs to the command of exec.
	while ((o = getopt_long(argc, argv, "+h", OPTIONS, NULL)) != -1) {
		switch (o) {
		case O_NAME: s->name = optarg; break;
		case O_NODES:
			if (!whole(optarg, MAX_NODES, &s->nodes))
				return 2;
			break;
		case O_NODE:
			if (!whole(optarg, MAX_NODES, node))
				return 2;
			break;
		case O_WITHOUT: {
			enum component c = component_of(optarg);
			if (c == C_COUNT)
				return fprintf(stderr, "error: unknown component %s\n", optarg), 2;
			s->node.run[c] = false;
			break;
		}
		case O_IMAGE:
			if (s->nimages == ARRAY_LEN(s->images))
				return fprintf(stderr, "error: too many images\n"), 2;
			s->images[s->nimages++] = optarg;
			break;
		case O_PORT:
			if (!whole(optarg, 65535, &s->node.port))
				return 2;
			s->port = s->node.port;
			break;
		case O_JOIN: s->join = true; break;
		case O_GRACE: s->node.node_monitor_grace = optarg; break;
		case O_TOKENS: s->node.token_auth_file = optarg; break;
		case O_REGISTRY: s->node.insecure_registry = optarg; break;
		case 'h': fputs(USAGE, stdout); return 0;
		default: fputs(USAGE, stderr); return 2;
		}
	}
	if (!valid_name(s->name))
		return fprintf(stderr, "error: a sandbox's name has up to 32 lower-case letters, digits and dashes\n"), 2;
	s->dir = P("%s/%s", SANDBOXES, s->name);
	return -1;
}

static int fail(const struct error *err)
{
	fprintf(stderr, "error: %s\n", err->text);
	return 1;
}

static int sandbox_up(struct sandbox *s)
{
	struct error err = { 0 }, later = { 0 };
	int64_t begin = clock_mono(NULL);
	if (s->nodes == 0)
		s->node.run[C_KUBELET] = s->node.run[C_RUNTIME] = s->node.run[C_PROXY] = false;
	if (!io_mkdirs(SANDBOXES, 0755, &err))
		return fail(&err);
	if (mkdir(s->dir, 0755) < 0) {
		error_errno(&err, "sandbox %s", s->name);
		return err.sys == EEXIST ? (error_set(&err, "sandbox %s exists (coracle sandbox down --name %s removes it)", s->name, s->name), fail(&err))
		                         : fail(&err);
	}
	if (!bring_up(s, &err)) {
		const char *keep = getenv("CORACLE_SANDBOX_KEEP"); // leaves a failed one for inspection
		if (!keep && !remove_sandbox(s, &later))
			fprintf(stderr, "error: %s\n", later.text);
		return fail(&err);
	}
	printf("sandbox %s: %d node%s Ready after %.2f s\nkubeconfig: %s/kubeconfig\n", s->name, s->nodes, s->nodes == 1 ? "" : "s",
	       (double)(clock_mono(NULL) - begin) / NS_PER_SEC, s->dir);
	return 0;
}

// --- exec, list, down -------------------------------------------------------------------------------------------------------------------

static int sandbox_exec(struct sandbox *s, int node, char **argv)
{
	struct error err = { 0 };
	int status;
	if (!argv[0])
		return fputs(USAGE, stderr), 2;
	if (!state_read(s, &err))
		return error_is(&err, "NotFound") ? (fprintf(stderr, "error: there is no sandbox %s\n", s->name), 1) : fail(&err);
	node = MAX(node, 1);
	if (node > s->nodes || s->pidfd[node] < 0)
		return fprintf(stderr, "error: sandbox %s has no running node %d\n", s->name, node), 1;
	char dir[PATH_MAX];
	bool known = getcwd(dir, sizeof(dir)) != NULL;
	if (setns(s->pidfd[node], CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWCGROUP) < 0) {
		error_errno(&err, "enter node %d", node);
		return fail(&err);
	}
	if (!known || chdir(dir) < 0)
		(void)!chdir("/");
	setenv("KUBECONFIG", P("%s/kubeconfig", s->dir), 1); // the same address serves it inside and outside
	pid_t pid = fork(); // only a child is in the PID namespace
	if (pid < 0)
		return error_errno(&err, "fork"), fail(&err);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execvp(argv[0], argv);
		fprintf(stderr, "error: exec %s: %m\n", argv[0]);
		_exit(errno == ENOENT ? 127 : 126);
	}
	signal(SIGINT, SIG_IGN); // the terminal sends them to both; the command decides
	signal(SIGQUIT, SIG_IGN);
	return proc_wait(pid, &status, &err) ? status : fail(&err);
}

static int sandbox_list(void)
{
	_cleanup_closedir_ DIR *d = opendir(SANDBOXES);
	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.')
			printf("%s\t%s/%s/kubeconfig\n", e->d_name, SANDBOXES, e->d_name);
	return 0;
}

static int sandbox_down(struct sandbox *s)
{
	struct error err = { 0 };
	if (!io_exists(s->dir))
		return fprintf(stderr, "error: there is no sandbox %s\n", s->name), 1;
	if (!state_read(s, &err) && !error_is(&err, "NotFound"))
		return fail(&err);
	return remove_sandbox(s, &err) ? 0 : fail(&err);
}

int sandbox_main(int argc, char **argv)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct sandbox s = { .arena = a, .name = "default", .nodes = 1, .port = FIRST_PORT };
	int node = 1;
	for (int i = 0; i < C_COUNT; i++)
		s.node.run[i] = true;
	if (argc < 2)
		return fputs(USAGE, stderr), 2;
	const char *verb = argv[1];
	int status = options(&s, argc - 1, argv + 1, &node);
	if (status >= 0)
		return status;
	char **rest = argv + 1 + optind;
	if (strcmp(verb, "exec") != 0 && *rest)
		return fprintf(stderr, "error: unexpected argument %s\n%s", *rest, USAGE), 2;
	if (geteuid() != 0)
		return fputs("error: coracle sandbox needs root\n", stderr), 1;
	if (strcmp(verb, "up") == 0)
		return sandbox_up(&s);
	if (strcmp(verb, "exec") == 0)
		return sandbox_exec(&s, node, rest);
	if (strcmp(verb, "list") == 0)
		return sandbox_list();
	if (strcmp(verb, "down") == 0)
		return sandbox_down(&s);
	return fprintf(stderr, "error: unknown command %s\n%s", verb, USAGE), 2;
}
