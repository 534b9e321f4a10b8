#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <linux/capability.h>
#include <linux/mount.h>

#include "base/io.h"
#include "base/log.h"
#include "runtime/caps.h"
#include "runtime/cgroup.h"
#include "runtime/import.h"
#include "runtime/runtime.h"
#include "runtime/server.h"
#include "runtime/unpack.h"

static const char usage[] =
	"usage: coracle runtime [FLAG]...                       serve CRI v1\n"
	"       coracle runtime [--root DIR] import [--name REF] ARCHIVE...\n"
	"       coracle runtime [--root DIR] images\n"
	"\n"
	"  --root DIR               images, layers, containers' files (/var/lib/coracle/runtime)\n"
	"  --state DIR              what does not outlive the machine's run: mounts, namespaces (/run/coracle/runtime)\n"
	"  --socket PATH            where to serve (/run/coracle/runtime.sock)\n"
	"  --cni-conf-dir DIR       network configuration lists (/etc/cni/net.d)\n"
	"  --cni-bin-dir DIR[:DIR]  network plugins (/opt/cni/bin:/usr/lib/cni)\n"
	"  --oci-runtime PATH       crun, or another with its command line (crun)\n"
	"  --conmon PATH            conmon\n"
	"  --insecure-registry HOST[:PORT]     speak plain HTTP to it; may be repeated\n"
	"  --registry-mirror HOST=URL          ask URL first for images of HOST; may be repeated\n"
	"  --registry-ca FILE       further certificate authorities (PEM)\n"
	"  --log-level LEVEL        debug, info, warn, error (info)\n";

enum { OPT_ROOT = 256, OPT_STATE, OPT_SOCKET, OPT_CNI_CONF, OPT_CNI_BIN, OPT_OCI, OPT_CONMON, OPT_INSECURE, OPT_MIRROR, OPT_CA, OPT_LEVEL, OPT_NAME };

static const struct option options[] = {
	{ "root", required_argument, NULL, OPT_ROOT },
	{ "state", required_argument, NULL, OPT_STATE },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "cni-conf-dir", required_argument, NULL, OPT_CNI_CONF },
	{ "cni-bin-dir", required_argument, NULL, OPT_CNI_BIN },
	{ "oci-runtime", required_argument, NULL, OPT_OCI },
	{ "conmon", required_argument, NULL, OPT_CONMON },
	{ "insecure-registry", required_argument, NULL, OPT_INSECURE },
	{ "registry-mirror", required_argument, NULL, OPT_MIRROR },
	{ "registry-ca", required_argument, NULL, OPT_CA },
	{ "log-level", required_argument, NULL, OPT_LEVEL },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

// A program as an absolute path: conmon runs the OCI runtime by it, without a search.
static const char *find_program(struct arena *a, const char *name, struct error *err)
{
	if (strchr(name, '/'))
		return name;
	const char *path = getenv("PATH");
	for (str rest = str_c(path ? path : "/usr/sbin:/usr/bin:/sbin:/bin"), dir; str_next(&rest, ':', &dir);) {
		const char *full = arena_printf(a, STR_FMT "/%s", STR_ARG(dir), name).p;
		if (dir.n && access(full, X_OK) == 0)
			return full;
	}
	error_set(err, "%s: not found in PATH", name);
	return NULL;
}

static int fail(const struct error *err)
{
	fprintf(stderr, "coracle runtime: %s\n", err->text);
	return 1;
}

static int import(struct arena *a, const char *root, const char *name, int n, char **archives)
{
	struct error err = { 0 };
	struct image_store store;
	if (n == 0) {
		fprintf(stderr, "coracle runtime import: no archive given\n");
		return 2;
	}
	if (!image_store_open(&store, arena_printf(a, "%s/images", root).p, &err))
		return fail(&err);
	for (int i = 0; i < n; i++) {
		struct imported_list l = { 0 };
		if (!image_import(&store, a, archives[i], str_c(name), &l, &err))
			return fail(&err);
		for (size_t k = 0; k < l.n; k++) {
			printf("imported " STR_FMT, STR_ARG(l.v[k].id));
			for (size_t j = 0; j < l.v[k].names.n; j++)
				printf(" " STR_FMT, STR_ARG(l.v[k].names.v[j]));
			printf("\n");
		}
	}
	// The packed layers are no longer needed; unpacked ones are the server's to judge.
	if (!image_gc(&store, a, NULL, NULL, &err))
		return fail(&err);
	return 0;
}

static int images(struct arena *a, const char *root)
{
	struct error err = { 0 };
	struct image_store store;
	struct image_list l;
	if (!image_store_open(&store, arena_printf(a, "%s/images", root).p, &err) || !image_list(&store, a, &l, &err))
		return fail(&err);
	for (size_t i = 0; i < l.n; i++) {
		printf(STR_FMT "\t%" PRId64, STR_ARG(l.v[i].id), l.v[i].size);
		for (size_t k = 0; k < l.v[i].names.n; k++)
			printf("\t" STR_FMT, STR_ARG(l.v[i].names.v[k]));
		printf("\n");
	}
	return 0;
}

static bool kernel_has_recursive_read_only(void)
{
	// mount_setattr on a bad descriptor: EBADF where it exists (Linux 5.12), ENOSYS where it does not.
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	return syscall(SYS_mount_setattr, -1, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0 && errno != ENOSYS;
}

static bool make_dirs(struct runtime *rt, struct arena *a, struct error *err)
{
	const char *root = rt->opts.root, *state = rt->opts.state;
	const char *dirs[] = {
		root, arena_printf(a, "%s/containers", root).p, arena_printf(a, "%s/sandboxes", root).p, state,
		arena_printf(a, "%s/containers", state).p, arena_printf(a, "%s/sandboxes", state).p, arena_printf(a, "%s/exits", state).p,
		arena_printf(a, "%s/attach", state).p, arena_printf(a, "%s/oci", state).p,
	};
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		if (!io_mkdirs(dirs[i], 0711, err))
			return false;
	char *socket_dir = arena_cstr(a, str_c(rt->opts.socket)), *slash = strrchr(socket_dir, '/');
	if (slash && slash != socket_dir) {
		*slash = 0;
		return io_mkdirs(socket_dir, 0755, err);
	}
	return true;
}

static const char *absolute(struct arena *a, const char *path)
{
	if (path[0] == '/')
		return path;
	char cwd[4096];
	return getcwd(cwd, sizeof(cwd)) ? arena_printf(a, "%s/%s", cwd, path).p : path;
}

static int serve(struct arena *a, struct runtime *rt)
{
	struct error err = { 0 };
	rt->opts.root = absolute(a, rt->opts.root);
	rt->opts.state = absolute(a, rt->opts.state);
	if (!(rt->opts.oci_runtime = find_program(a, rt->opts.oci_runtime, &err)) || !(rt->opts.conmon = find_program(a, rt->opts.conmon, &err)) ||
	    !make_dirs(rt, a, &err))
		return fail(&err);
	// One server for one state: a second would take the first one's unfinished work for garbage.
	int lock_fd = open(arena_printf(a, "%s/lock", rt->opts.state).p, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock_fd < 0 || flock(lock_fd, LOCK_EX | LOCK_NB) < 0) {
		fprintf(stderr, "coracle runtime: %s is in use by another runtime\n", rt->opts.state);
		return 1;
	}
	// Signals are taken by this thread alone; all others are started with them blocked.
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	umask(022);
	// Calls run on many threads, one after the other mostly: a heap for each would only keep memory apart.
	mallopt(M_ARENA_MAX, 2);
	rt->cgroup_v2 = cgroup_is_v2();
	rt->has_swap = cgroup_has_swap(rt->cgroup_v2);
	rt->has_hugetlb = cgroup_has_hugetlb(rt->cgroup_v2);
	rt->recursive_read_only = kernel_has_recursive_read_only();
	rt->caps = caps_available();
	rt->oom_score_adj_min = INT32_MIN;
	if (!caps_has(rt->caps, CAP_SYS_RESOURCE)) {
		str text;
		int64_t own = 0;
		struct error ignored = { 0 };
		if (io_read_file(a, "/proc/self/oom_score_adj", 64, &text, &ignored) && str_to_i64(str_trim(text), &own))
			rt->oom_score_adj_min = (int)own;
	}
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&rt->changed, &attr);
	pthread_mutex_init(&rt->lock, NULL);
	if (!image_store_open(&rt->images, arena_printf(a, "%s/images", rt->opts.root).p, &err) || !monitor_start(rt, &err) || !objects_load(rt, &err))
		return fail(&err);
	struct error gc = { 0 };
	if (!image_gc(&rt->images, a, layer_used, rt, &gc))
		log_warn("images: %s", gc.text);
	rt->streaming = streaming_start(rt, &err);
	if (!rt->streaming)
		return fail(&err);
	size_t n = cri_runtime_method_count + cri_image_method_count;
	struct grpc_method *methods = ARENA_ARRAY(a, struct grpc_method, n);
	memcpy(methods, cri_runtime_methods, cri_runtime_method_count * sizeof(*methods));
	memcpy(methods + cri_runtime_method_count, cri_image_methods, cri_image_method_count * sizeof(*methods));
	struct grpc_server_opts o = { .unix_path = rt->opts.socket, .methods = methods, .nmethods = n, .ctx = rt, .max_threads = 128 };
	struct grpc_server *server = grpc_server_start(&o, &err);
	if (!server)
		return fail(&err);
	log_info("serving CRI v1 on %s (cgroup %s)", rt->opts.socket, rt->cgroup_v2 ? "v2" : "v1");
	int sig;
	while (sigwait(&signals, &sig) != 0)
		;
	log_info("stopping: %s; containers go on", strsignal(sig));
	grpc_server_stop(server);
	streaming_stop(rt->streaming);
	// Threads that clean up may still be at work; what they leave is finished by the next server.
	_exit(0);
}

int runtime_main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "unpack-layer") == 0)
		return unpack_main(argc - 1, argv + 1);
	_cleanup_arena_ struct arena *a = arena_new(64 * 1024);
	struct runtime *rt = ARENA_NEW(a, struct runtime);
	rt->opts = (struct runtime_opts){
		.root = "/var/lib/coracle/runtime", .state = "/run/coracle/runtime", .socket = "/run/coracle/runtime.sock", .cni_conf_dir = "/etc/cni/net.d",
		.cni_bin_dirs = "/opt/cni/bin:/usr/lib/cni", .oci_runtime = "crun", .conmon = "conmon", .streaming_address = "127.0.0.1",
	};
	enum log_level level = LOG_INFO;
	const char *name = NULL;
	int opt;
	optind = 1;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (opt) {
		case OPT_ROOT:
			rt->opts.root = optarg;
			break;
		case OPT_STATE:
			rt->opts.state = optarg;
			break;
		case OPT_SOCKET:
			rt->opts.socket = optarg;
			break;
		case OPT_CNI_CONF:
			rt->opts.cni_conf_dir = optarg;
			break;
		case OPT_CNI_BIN:
			rt->opts.cni_bin_dirs = optarg;
			break;
		case OPT_OCI:
			rt->opts.oci_runtime = optarg;
			break;
		case OPT_CONMON:
			rt->opts.conmon = optarg;
			break;
		case OPT_INSECURE:
			*LIST_ADD(a, &rt->opts.insecure) = str_c(optarg);
			break;
		case OPT_MIRROR:
			*LIST_ADD(a, &rt->opts.mirrors) = str_c(optarg);
			break;
		case OPT_CA:
			rt->opts.registry_ca = optarg;
			break;
		case OPT_NAME:
			name = optarg;
			break;
		case OPT_LEVEL:
			level = strcmp(optarg, "debug") == 0 ? LOG_DEBUG : strcmp(optarg, "warn") == 0 ? LOG_WARN : strcmp(optarg, "error") == 0 ? LOG_ERROR : LOG_INFO;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	log_start("runtime", level);
	if (optind == argc)
		return serve(a, rt);
	const char *command = argv[optind];
	if (strcmp(command, "import") == 0)
		return import(a, rt->opts.root, name, argc - optind - 1, argv + optind + 1);
	if (strcmp(command, "images") == 0)
		return images(a, rt->opts.root);
	fprintf(stderr, "coracle runtime: unknown command \"%s\"\n%s", command, usage);
	return 2;
}
