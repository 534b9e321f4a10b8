#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/log.h"
#include "base/proc.h"
#include "json/json.h"
#include "runtime/server.h"

enum { OCI_TIMEOUT_MS = 120 * 1000, OCI_OUTPUT_MAX = 1 << 20 };

size_t oci_argv(struct runtime *rt, struct arena *a, const char **argv)
{
	size_t n = 0;
	argv[n++] = rt->opts.oci_runtime;
	argv[n++] = arena_printf(a, "--root=%s/oci", rt->opts.state).p;
	argv[n++] = "--cgroup-manager=cgroupfs";
	return n;
}

// The message of the OCI runtime: its last line, without the time that crun puts before it.
static str last_line(str text)
{
	text = str_trim(text);
	ptrdiff_t nl = str_rfind_char(text, '\n');
	str line = nl >= 0 ? str_from(text, (size_t)nl + 1) : text;
	if (line.n > 20 && line.p[4] == '-' && line.p[10] == 'T') {
		ptrdiff_t at = str_find(line, S("Z: "));
		if (at > 0)
			line = str_from(line, (size_t)at + 3);
	}
	return line;
}

bool oci_run(struct runtime *rt, struct arena *a, const char *const *argv, struct error *err)
{
	(void)rt;
	struct proc_result r;
	if (!proc_run(a, argv, NULL, (str){ 0 }, OCI_OUTPUT_MAX, OCI_TIMEOUT_MS, &r, err))
		return false;
	return r.status == 0 || error_set(err, STR_FMT, STR_ARG(last_line(r.err.n ? r.err : S("OCI runtime failed without a message"))));
}

str oci_status(struct runtime *rt, struct arena *a, const char *id)
{
	const char *argv[8];
	size_t n = oci_argv(rt, a, argv);
	argv[n++] = "state";
	argv[n++] = id;
	argv[n] = NULL;
	struct proc_result r;
	struct error err = { 0 };
	if (!proc_run(a, argv, NULL, (str){ 0 }, OCI_OUTPUT_MAX, OCI_TIMEOUT_MS, &r, &err) || r.status != 0)
		return (str){ 0 };
	return value_get_str(json_parse(a, r.out, NULL, &err), S("status"));
}

// `crun start` opens the container's start pipe, takes it away and writes one byte. Doing so here saves a process at each start
// (a fifth of the time). Anything unexpected is left to the OCI runtime itself.
static bool start_by_pipe(struct runtime *rt, struct arena *a, const char *id)
{
	const char *slash = strrchr(rt->opts.oci_runtime, '/');
	if (strcmp(slash ? slash + 1 : rt->opts.oci_runtime, "crun") != 0)
		return false;
	const char *fifo = arena_printf(a, "%s/oci/%s/exec.fifo", rt->opts.state, id).p;
	_cleanup_close_ int fd = open(fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode) || unlink(fifo) < 0)
		return false;
	return write(fd, "", 1) == 1;
}

bool oci_start(struct runtime *rt, struct arena *a, const char *id, struct error *err)
{
	if (start_by_pipe(rt, a, id))
		return true;
	const char *argv[8];
	size_t n = oci_argv(rt, a, argv);
	argv[n++] = "start";
	argv[n++] = id;
	argv[n] = NULL;
	return oci_run(rt, a, argv, err);
}

bool oci_delete(struct runtime *rt, struct arena *a, const char *id, struct error *err)
{
	const char *argv[8];
	// Without its directory the OCI runtime has nothing of it, and asking costs a process.
	if (!io_exists(arena_printf(a, "%s/oci/%s", rt->opts.state, id).p))
		return true;
	size_t n = oci_argv(rt, a, argv);
	argv[n++] = "delete";
	argv[n++] = "--force";
	argv[n++] = id;
	argv[n] = NULL;
	return oci_run(rt, a, argv, err);
}

bool oci_kill_all(struct runtime *rt, struct arena *a, const char *id, struct error *err)
{
	const char *argv[10];
	size_t n = oci_argv(rt, a, argv);
	argv[n++] = "kill";
	argv[n++] = "--all";
	argv[n++] = id;
	argv[n++] = "KILL";
	argv[n] = NULL;
	return oci_run(rt, a, argv, err);
}

bool oci_update(struct runtime *rt, struct arena *a, const char *id, str resources, struct error *err)
{
	const char *argv[10];
	const char *file = arena_printf(a, "%s/containers/%s/update.json", rt->opts.state, id).p;
	if (!io_write_file(file, resources, 0600, err))
		return false;
	size_t n = oci_argv(rt, a, argv);
	argv[n++] = "update";
	argv[n++] = "--resources";
	argv[n++] = file;
	argv[n++] = id;
	argv[n] = NULL;
	bool ok = oci_run(rt, a, argv, err);
	unlink(file);
	return ok;
}

// conmon's answer on the sync pipe: {"pid": N} or {"pid": -1, "message": "..."}.
static bool read_answer(struct arena *a, int fd, int64_t *pid, struct error *err)
{
	// One line; the pipe itself stays open as long as conmon lives.
	_cleanup_buf_ struct buf b = { 0 };
	ssize_t n;
	do {
		n = read(fd, buf_reserve(&b, 4096), 4096);
		if (n > 0)
			b.n += (size_t)n;
	} while ((n > 0 && !memchr(b.p, '\n', b.n) && b.n < (1 << 20)) || (n < 0 && errno == EINTR));
	if (n < 0)
		return error_errno(err, "conmon");
	str text = arena_dup(a, buf_str(&b));
	if (text.n == 0)
		return error_set(err, "conmon ended without a word");
	struct value *v = json_parse(a, text, NULL, err);
	if (!v)
		return error_wrap(err, "conmon");
	if (value_to_i64(value_get(v, S("pid")), pid) && *pid > 0)
		return true;
	str message = value_get_str(v, S("message"));
	return error_set(err, "OCI runtime create failed: " STR_FMT, STR_ARG(last_line(message.n ? message : S("container create failed"))));
}

bool oci_create(struct runtime *rt, struct arena *a, struct container *c, struct error *err)
{
	const char *id = c->id;
	int sync[2];
	if (pipe2(sync, O_CLOEXEC) < 0)
		return error_errno(err, "pipe");
	const char *argv[64], *conmon_pid = arena_printf(a, "%s/conmon.pid", c->bundle).p;
	size_t n = 0;
	argv[n++] = rt->opts.conmon;
	argv[n++] = "-c";
	argv[n++] = id;
	argv[n++] = "-n";
	argv[n++] = id;
	argv[n++] = "-u"; // names the attach socket, whose path has a narrow bound
	argv[n++] = arena_printf(a, "%.16s", id).p;
	argv[n++] = "-r";
	argv[n++] = rt->opts.oci_runtime;
	argv[n++] = "-b";
	argv[n++] = c->bundle;
	argv[n++] = "-p";
	argv[n++] = arena_printf(a, "%s/pidfile", c->bundle).p;
	argv[n++] = "-P";
	argv[n++] = conmon_pid;
	argv[n++] = "--exit-dir";
	argv[n++] = arena_printf(a, "%s/exits", rt->opts.state).p;
	argv[n++] = "--socket-dir-path";
	argv[n++] = arena_printf(a, "%s/attach", rt->opts.state).p;
	argv[n++] = "--log-level";
	argv[n++] = "error";
	argv[n++] = "-l";
	argv[n++] = c->log_path ? arena_printf(a, "k8s-file:%s", c->log_path).p : "null:";
	argv[n++] = "--runtime-arg";
	argv[n++] = arena_printf(a, "--root=%s/oci", rt->opts.state).p;
	argv[n++] = "--runtime-arg";
	argv[n++] = "--cgroup-manager=cgroupfs";
	if (c->config->tty)
		argv[n++] = "-t";
	if (c->config->stdin) {
		argv[n++] = "-i";
		if (!c->config->stdin_once)
			argv[n++] = "--leave-stdin-open";
	}
	argv[n] = NULL;
	const char *env[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", arena_printf(a, "_OCI_SYNCPIPE=%d", sync[1]).p, "LC_ALL=C.UTF-8", NULL,
	};
	struct proc_opts o = { .argv = argv, .env = env, .dir = c->bundle, .in = -1, .out = -1, .err = -1, .pass = &sync[1], .npass = 1, .new_session = true };
	pid_t pid;
	bool ok = proc_start(&o, &pid, err);
	close(sync[1]);
	int status;
	struct error ignored = { 0 };
	// The process that was started only makes the one that stays.
	if (ok)
		proc_wait(pid, &status, &ignored);
	int64_t init = 0;
	ok = ok && read_answer(a, sync[0], &init, err);
	close(sync[0]);
	if (!ok)
		return false;
	str text;
	int64_t monitor = 0;
	if (!io_read_file(a, conmon_pid, 64, &text, err) || !str_to_i64(str_trim(text), &monitor))
		return error_set(err, "conmon left no pid file");
	lock(rt);
	c->process = process_of((pid_t)init);
	c->monitor = process_of((pid_t)monitor);
	unlock(rt);
	return true;
}

int signal_parse(str name)
{
	int64_t n;
	if (str_to_i64(name, &n))
		return n > 0 && n < SIGRTMAX ? (int)n : 0;
	char text[32] = "";
	if (name.n == 0 || name.n >= sizeof(text))
		return 0;
	for (size_t i = 0; i < name.n; i++)
		text[i] = (char)toupper((unsigned char)name.p[i]);
	text[name.n] = 0;
	const char *s = strncmp(text, "SIG", 3) == 0 ? text + 3 : text;
	if (strncmp(s, "RTMIN", 5) == 0 || strncmp(s, "RTMAX", 5) == 0) {
		bool max = s[3] == 'A';
		str rest = str_c(s + 5);
		// CRI spells the sign, OCI images write it.
		if (rest.n == 0)
			return max ? SIGRTMAX : SIGRTMIN;
		bool sign = max ? str_cut_prefix(&rest, S("MINUS")) || str_cut_prefix(&rest, S("-")) : str_cut_prefix(&rest, S("PLUS")) || str_cut_prefix(&rest, S("+"));
		if (!sign || !str_to_i64(rest, &n) || n < 0 || n > 30)
			return 0;
		return max ? SIGRTMAX - (int)n : SIGRTMIN + (int)n;
	}
	static const struct { const char *name; int n; } old[] = { { "CLD", SIGCHLD }, { "IOT", SIGABRT }, { "POLL", SIGIO } };
	for (size_t i = 0; i < ARRAY_LEN(old); i++)
		if (strcmp(s, old[i].name) == 0)
			return old[i].n;
	for (int i = 1; i < 32; i++) {
		const char *abbrev = sigabbrev_np(i);
		if (abbrev && strcmp(abbrev, s) == 0)
			return i;
	}
	return 0;
}

// enum Signal of CRI, from 1 (SIGABRT) on; the real-time signals follow by arithmetic.
static const int cri_signals[] = {
	SIGABRT, SIGALRM, SIGBUS, SIGCHLD, SIGCHLD, SIGCONT, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGIO, SIGABRT, SIGKILL, SIGPIPE, SIGIO, SIGPROF,
	SIGPWR, SIGQUIT, SIGSEGV, SIGSTKFLT, SIGSTOP, SIGSYS, SIGTERM, SIGTRAP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGUSR1, SIGUSR2, SIGVTALRM,
	SIGWINCH, SIGXCPU, SIGXFSZ,
};

int signal_from_cri(int value)
{
	if (value >= 1 && value <= (int)ARRAY_LEN(cri_signals))
		return cri_signals[value - 1];
	if (value >= cri_v1_Signal_SIGRTMIN && value <= cri_v1_Signal_SIGRTMINPLUS15)
		return SIGRTMIN + (value - cri_v1_Signal_SIGRTMIN);
	if (value >= cri_v1_Signal_SIGRTMAXMINUS14 && value <= cri_v1_Signal_SIGRTMAX)
		return SIGRTMAX - (cri_v1_Signal_SIGRTMAX - value);
	return 0;
}

int signal_to_cri(int sig)
{
	for (int value = 1; value <= cri_v1_Signal_SIGRTMAX; value++)
		if (signal_from_cri(value) == sig)
			return value;
	return cri_v1_Signal_RUNTIME_DEFAULT;
}
