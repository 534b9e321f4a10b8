// `coracle up`, `coracle down`: a node of a cluster on this machine.

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "client/client.h"
#include "main/cgroup_view.h"
#include "main/node.h"
#include "schema_gen.h"

enum { READY_MS = 120000, POLL_MS = 5, DOWN_MS = 60000 };

// --- Waiting for a cluster ---------------------------------------------------------------------------------------------

static size_t ready_nodes(struct client *c, struct arena *a)
{
	struct error err = { 0 };
	size_t n = 0;
	struct core_v1_NodeList *list = client_list(c, a, schema_resource(S(""), S("v1"), S("nodes")), &(struct list_opts){ 0 }, &err);
	for (size_t i = 0; list && i < list->items.n; i++) {
		const struct core_v1_NodeStatus *s = &list->items.v[i].status;
		for (size_t k = 0; k < s->conditions.n; k++)
			n += str_eqc(s->conditions.v[k].type, "Ready") && str_eqc(s->conditions.v[k].status, "True");
	}
	return n;
}

bool wait_ready(const char *kubeconfig, int nodes, int timeout_ms, bool (*alive)(void *ctx, struct error *err), void *ctx, struct error *err)
{
	int64_t until = clock_mono(NULL) + timeout_ms * NS_PER_MS;
	struct client *c = NULL;
	bool up = false, done = false;
	while (!done) {
		_cleanup_arena_ struct arena *a = arena_new(0);
		struct error e = { 0 };
		struct http_answer answer = { 0 };
		if (!c)
			c = client_from_kubeconfig(kubeconfig, "coracle", NULL, NULL, &e);
		if (c && !up)
			up = http_client_do(client_http(c), a, &(struct http_call){ .method = "GET", .path = S("/readyz"), .timeout_ms = 2000 }, &answer, &e) &&
			     answer.status == 200;
		done = up && (nodes == 0 || ready_nodes(c, a) >= (size_t)nodes);
		if (done)
			break;
		if (alive && !alive(ctx, err))
			break;
		if (clock_mono(NULL) > until) {
			error_set(err, "not ready after %d s: %s", timeout_ms / 1000, up ? "the API answers, but not all nodes are Ready" : e.text[0] ? e.text : "the API is not ready");
			break;
		}
		clock_sleep(NULL, POLL_MS * NS_PER_MS);
	}
	client_free(c);
	return done;
}

// --- The lock that a running supervisor holds; its file names the process ---------------------------------------------------

static int lock_open(struct arena *a, const struct node_config *c, bool *held, struct error *err)
{
	const char *path = arena_printf(a, "%s/supervisor.lock", c->run_dir).p;
	if (!io_mkdirs(c->run_dir, 0755, err))
		return -1;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0) {
		error_errno(err, "open %s", path);
		return -1;
	}
	*held = flock(fd, LOCK_EX | LOCK_NB) < 0;
	return fd;
}

static void lock_sign(int fd)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
		log_warn("write lock file: %m");
}

// --- up -------------------------------------------------------------------------------------------------------------------

static const char UP_USAGE[] =
	"usage: coracle up [options]\n"
	"Starts a cluster (or this machine's part of one) and returns when the node is Ready.\n"
	"  --node-name NAME         default: the host's name\n"
	"  --node-ip IP             default: the first address of the first interface\n"
	"  --port PORT              of the API (6443)\n"
	"  --service-cidr CIDR      10.96.0.0/16\n"
	"  --cluster-cidr CIDR      pods; 10.244.0.0/16\n"
	"  --without COMPONENT      leave out apiserver, controller-manager, scheduler, runtime, kubelet or proxy; may stand more than once\n"
	"  --server URL             join the cluster there (see coracle join)\n"
	"  --data-dir DIR           /var/lib/coracle\n"
	"  --run-dir DIR            /run/coracle\n"
	"  --node-labels K=V,...    labels that the node registers with\n"
	"  --node-monitor-grace-period DURATION  after which a silent node is unknown (50s)\n"
	"  --insecure-registry HOST:PORT         image registry without TLS\n"
	"  --token-auth-file FILE   static tokens (token,user,uid,\"group,...\")\n"
	"  --foreground             stay the supervisor, for service managers\n";

enum { O_NAME = 256, O_IP, O_PORT, O_SERVICE, O_CLUSTER, O_WITHOUT, O_SERVER, O_DATA, O_RUN, O_LABELS, O_GRACE, O_REGISTRY, O_TOKENS, O_FOREGROUND, O_LISTEN, O_HELP };

static const struct option UP_OPTIONS[] = {
	{ "node-name", required_argument, NULL, O_NAME },
	{ "node-ip", required_argument, NULL, O_IP },
	{ "port", required_argument, NULL, O_PORT },
	{ "service-cidr", required_argument, NULL, O_SERVICE },
	{ "cluster-cidr", required_argument, NULL, O_CLUSTER },
	{ "without", required_argument, NULL, O_WITHOUT },
	{ "server", required_argument, NULL, O_SERVER },
	{ "data-dir", required_argument, NULL, O_DATA },
	{ "run-dir", required_argument, NULL, O_RUN },
	{ "node-labels", required_argument, NULL, O_LABELS },
	{ "node-monitor-grace-period", required_argument, NULL, O_GRACE },
	{ "insecure-registry", required_argument, NULL, O_REGISTRY },
	{ "token-auth-file", required_argument, NULL, O_TOKENS },
	{ "foreground", no_argument, NULL, O_FOREGROUND },
	{ "listen-fd", required_argument, NULL, O_LISTEN },
	{ "help", no_argument, NULL, O_HELP },
	{ 0 },
};

static bool number(const char *text, int64_t min, int64_t max, int *out)
{
	int64_t v;
	if (!str_to_i64(str_c(text), &v) || v < min || v > max) {
		fprintf(stderr, "error: %s is no number from %lld to %lld\n", text, (long long)min, (long long)max);
		return false;
	}
	*out = (int)v;
	return true;
}

static bool up_options(int argc, char **argv, struct node_config *c, bool *foreground)
{
	int o, fd;
	while ((o = getopt_long(argc, argv, "h", UP_OPTIONS, NULL)) != -1) {
		switch (o) {
		case O_NAME: c->name = optarg; break;
		case O_IP: c->ip = optarg; break;
		case O_PORT:
			if (!number(optarg, 1, 65535, &c->port))
				return false;
			break;
		case O_SERVICE: c->service_cidr = optarg; break;
		case O_CLUSTER: c->cluster_cidr = optarg; break;
		case O_WITHOUT: {
			enum component which = component_of(optarg);
			if (which == C_COUNT) {
				fprintf(stderr, "error: unknown component %s\n", optarg);
				return false;
			}
			c->run[which] = false;
			break;
		}
		case O_SERVER: c->server = optarg; break;
		case O_DATA: c->data_dir = optarg; break;
		case O_RUN: c->run_dir = optarg; break;
		case O_LABELS: c->node_labels = optarg; break;
		case O_GRACE: c->node_monitor_grace = optarg; break;
		case O_REGISTRY: c->insecure_registry = optarg; break;
		case O_TOKENS: c->token_auth_file = optarg; break;
		case O_FOREGROUND: *foreground = true; break;
		case O_LISTEN:
			if (c->nlisten_fds == ARRAY_LEN(c->listen_fds) || !number(optarg, 3, 1 << 20, &fd))
				return false;
			c->listen_fds[c->nlisten_fds++] = fd;
			break;
		case O_HELP:
		case 'h':
			fputs(UP_USAGE, stdout);
			exit(0);
		default:
			fputs(UP_USAGE, stderr);
			return false;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "error: unexpected argument %s\n%s", argv[optind], UP_USAGE);
		return false;
	}
	if (c->server)
		c->run[C_APISERVER] = c->run[C_CONTROLLER_MANAGER] = c->run[C_SCHEDULER] = false;
	return true;
}

// A hybrid cgroup host gets a plain view, in a mount namespace that the supervisor and everything below it share.
static bool plain_cgroups(struct error *err)
{
	if (cgroup_mode() != CGROUP_HYBRID)
		return true;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return error_errno(err, "mount namespace");
	return cgroup_mount_view(err);
}

static bool forwarding(struct error *err)
{
	return io_write_existing("/proc/sys/net/ipv4/ip_forward", S("1"), err);
}

static bool supervisor_alive(void *ctx, struct error *err)
{
	struct pollfd p = { .fd = *(int *)ctx, .events = POLLIN };
	return poll(&p, 1, 0) == 0 ? true : error_set(err, "the supervisor has ended");
}

static int fail(const struct error *err)
{
	fprintf(stderr, "error: %s\n", err->text);
	return 1;
}

int up_main(int argc, char **argv)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct node_config c;
	bool foreground = false, held;
	int64_t begin = clock_mono(NULL);
	node_config_default(a, &c);
	if (!up_options(argc, argv, &c, &foreground))
		return 2;
	bool node = c.run[C_KUBELET] || c.run[C_PROXY] || c.run[C_RUNTIME];
	if (geteuid() != 0)
		return error_set(&err, "coracle up needs root"), fail(&err);
	_cleanup_close_ int lock = lock_open(a, &c, &held, &err);
	if (lock < 0)
		return fail(&err);
	if (held)
		return error_set(&err, "already running (coracle down stops it)"), fail(&err);
	if (!node_prepare(a, &c, &err) || (node && (!plain_cgroups(&err) || !forwarding(&err))))
		return fail(&err);
	if (foreground) {
		lock_sign(lock);
		return supervise(&c, -1);
	}

	pid_t pid = fork();
	if (pid < 0)
		return error_errno(&err, "fork"), fail(&err);
	if (pid == 0) {
		const char *path = arena_printf(a, "%s/logs/supervisor.log", c.data_dir).p;
		int log = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640), null = open("/dev/null", O_RDWR | O_CLOEXEC);
		setsid();
		dup2(null, 0);
		dup2(log, 1);
		dup2(log, 2);
		lock_sign(lock);
		_exit(supervise(&c, -1));
	}
	_cleanup_close_ int pidfd = pidfd_open(pid, 0);
	// A worker has no admin's kubeconfig; what its kubelet says of itself is told by its own.
	const char *kubeconfig = arena_printf(a, c.server ? "%s/kubelet.conf" : "%s/admin.conf", c.data_dir).p;
	if (c.server) {
		printf("node %s has been started\n", c.name);
		return 0;
	}
	if (!wait_ready(kubeconfig, c.run[C_KUBELET] ? 1 : 0, READY_MS, supervisor_alive, &pidfd, &err)) {
		fprintf(stderr, "error: %s; see %s/logs\n", err.text, c.data_dir);
		return 1;
	}
	printf("%s is Ready after %.2f s\nkubeconfig: %s\n", c.run[C_KUBELET] ? "the node" : "the control plane",
	       (double)(clock_mono(NULL) - begin) / NS_PER_SEC, kubeconfig);
	return 0;
}

// --- down -----------------------------------------------------------------------------------------------------------------

int down_main(int argc, char **argv)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct node_config c;
	bool held, foreground;
	node_config_default(a, &c);
	if (!up_options(argc, argv, &c, &foreground))
		return 2;
	_cleanup_close_ int lock = lock_open(a, &c, &held, &err);
	if (lock < 0)
		return fail(&err);
	if (!held) {
		puts("nothing is running");
		return 0;
	}
	str text;
	int64_t pid;
	if (!io_read_fd(a, lock, 64, &text, &err) || !str_to_i64(str_trim(text), &pid) || pid <= 1)
		return error_set(&err, "%s/supervisor.lock names no process", c.run_dir), fail(&err);
	_cleanup_close_ int pidfd = pidfd_open((pid_t)pid, 0);
	if (pidfd < 0 || pidfd_send_signal(pidfd, SIGTERM, NULL, 0) < 0)
		return error_errno(&err, "signal process %lld", (long long)pid), fail(&err);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	if (poll(&p, 1, DOWN_MS) != 1)
		return error_set(&err, "the supervisor (process %lld) does not stop", (long long)pid), fail(&err);
	puts("stopped");
	return 0;
}
