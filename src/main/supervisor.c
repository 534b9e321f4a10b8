// The supervisor: starts the components, starts again what ends (at once the first time, with doubling delays when it goes
// on ending), collects orphans when it is the first process of a PID namespace, keeps the logs small, and stops all in order.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/proc.h"
#include "main/node.h"
#include "main/teardown.h"

enum {
	FIRST_DELAY_MS = 50, MAX_DELAY_MS = 10000, STEADY_MS = 30000, // a component that ran this long starts afresh at once
	STOP_MS = 5000, PORT_POLL_MS = 4, LOG_CHECK_MS = 60000, LOG_LIMIT = 16 << 20,
};

struct child {
	enum component which;
	pid_t pid;          // 0: not running
	int64_t started;    // monotonic ns
	int64_t start_at;   // when it may start (monotonic ns)
	int64_t delay_ms;
	bool wanted;
};

struct supervisor {
	const struct node_config *c;
	struct child children[C_COUNT];
	pid_t importer;     // brings in image archives; the kubelet waits for it, so that a Ready node has its images
	bool api_seen;      // the apiserver has accepted a connection once: its clients may start
	int ready_fd;
};

static int open_log(struct supervisor *s, const char *name)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/logs/%s.log", s->c->data_dir, name);
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
}

static void start(struct supervisor *s, struct child *ch)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	uid_t user;
	const char *const *argv = node_component_argv(a, s->c, ch->which, &user);
	_cleanup_close_ int log = open_log(s, component_names[ch->which]);
	struct proc_opts o = { .argv = argv, .in = -1, .out = log, .err = log, .die_with_parent = true, .uid = user, .gid = user };
	if (ch->which == C_APISERVER) {
		o.pass = s->c->listen_fds;
		o.npass = s->c->nlisten_fds;
	}
	ch->started = clock_mono(NULL);
	if (!proc_start(&o, &ch->pid, &err)) {
		log_error("start %s: %s", component_names[ch->which], err.text);
		ch->pid = 0;
		ch->start_at = ch->started + MAX_DELAY_MS * NS_PER_MS;
		return;
	}
	log_info("started %s, process %d", component_names[ch->which], (int)ch->pid);
}

static void ended(struct child *ch, int status)
{
	int64_t now = clock_mono(NULL);
	if (WIFSIGNALED(status))
		log_warn("%s was ended by signal %d", component_names[ch->which], WTERMSIG(status));
	else
		log_warn("%s ended with status %d", component_names[ch->which], WEXITSTATUS(status));
	bool steady = now - ch->started > STEADY_MS * NS_PER_MS;
	ch->delay_ms = steady || ch->delay_ms == 0 ? FIRST_DELAY_MS : MIN(ch->delay_ms * 2, (int64_t)MAX_DELAY_MS);
	ch->pid = 0;
	ch->start_at = now + ch->delay_ms * NS_PER_MS;
}

static void start_import(struct supervisor *s)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	const char *const *argv = s->c->run[C_RUNTIME] ? node_import_argv(a, s->c) : NULL;
	if (!argv)
		return;
	_cleanup_close_ int log = open_log(s, "import");
	struct proc_opts o = { .argv = argv, .in = -1, .out = log, .err = log, .die_with_parent = true };
	if (!proc_start(&o, &s->importer, &err))
		log_error("import images: %s", err.text);
}

static void import_ended(struct supervisor *s, int status)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	s->importer = 0;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		log_error("images could not be imported; see logs/import.log");
	else if (!io_write_file(arena_printf(a, "%s/runtime/imported", s->c->data_dir).p, S(""), 0644, &err))
		log_warn("%s", err.text);
}

// Collects every ended child, also those that are not ours (orphans come to a PID namespace's first process).
static void reap(struct supervisor *s)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == s->importer)
			import_ended(s, status);
		for (int i = 0; i < C_COUNT; i++)
			if (s->children[i].pid == pid)
				ended(&s->children[i], status);
	}
}

// Whether the API's port accepts connections. Clients that start earlier would only meet refusals and back off.
static bool port_open(int port)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	return fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0;
}

static bool needs_api(enum component which)
{
	return which != C_APISERVER && which != C_RUNTIME;
}

// Starts what is due. Returns how long to sleep until the next thing is due (ms, -1: for ever).
static int64_t start_due(struct supervisor *s)
{
	int64_t now = clock_mono(NULL), wait = -1;
	if (!s->api_seen)
		s->api_seen = !s->c->run[C_APISERVER] || port_open(s->c->port);
	bool all = true;
	for (int i = 0; i < C_COUNT; i++) {
		struct child *ch = &s->children[i];
		if (!ch->wanted || ch->pid)
			continue;
		bool wait_api = !s->api_seen && needs_api(ch->which), wait_images = s->importer && ch->which == C_KUBELET;
		if (wait_api || wait_images) {
			wait = wait_api ? PORT_POLL_MS : wait; // the importer's end is told by a signal
			all = false;
			continue;
		}
		if (ch->start_at <= now)
			start(s, ch);
		if (!ch->pid) {
			int64_t left = MAX((ch->start_at - now) / NS_PER_MS, (int64_t)1);
			wait = wait < 0 ? left : MIN(wait, left);
		}
	}
	if (all && s->ready_fd >= 0) {
		(void)!write(s->ready_fd, "+", 1);
		close(s->ready_fd);
		s->ready_fd = -1;
	}
	return wait;
}

// A log that has grown too long is kept once as .1 and begun again; the component goes on appending to the same file.
static void trim_logs(struct supervisor *s)
{
	for (int i = 0; i < C_COUNT; i++) {
		struct stat st;
		struct error err = { 0 };
		_cleanup_arena_ struct arena *a = arena_new(0);
		const char *path = arena_printf(a, "%s/logs/%s.log", s->c->data_dir, component_names[i]).p;
		str text;
		if (stat(path, &st) < 0 || st.st_size < LOG_LIMIT)
			continue;
		if (!io_read_file(a, path, (size_t)LOG_LIMIT * 4, &text, &err) ||
		    !io_write_file(arena_printf(a, "%s.1", path).p, text, 0640, &err) || truncate(path, 0) < 0)
			log_warn("rotate %s: %s", path, err.text);
	}
}

// Ends one component: SIGTERM, and SIGKILL when it does not obey.
static void stop(struct supervisor *s, enum component which)
{
	struct child *ch = &s->children[which];
	ch->wanted = false;
	if (!ch->pid)
		return;
	kill(ch->pid, SIGTERM);
	int64_t until = clock_mono(NULL) + STOP_MS * NS_PER_MS;
	while (waitpid(ch->pid, NULL, WNOHANG) == 0) {
		if (clock_mono(NULL) > until) {
			log_warn("%s does not stop, killing it", component_names[which]);
			kill(ch->pid, SIGKILL);
			waitpid(ch->pid, NULL, 0);
			break;
		}
		clock_sleep(NULL, 2 * NS_PER_MS);
	}
	ch->pid = 0;
}

static void stop_all(struct supervisor *s)
{
	// Who decides first, who acts last: nothing is told to replace what the stop takes away.
	static const enum component order[] = { C_KUBELET, C_SCHEDULER, C_CONTROLLER_MANAGER, C_PROXY };
	struct error err = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		stop(s, order[i]);
	if (s->children[C_RUNTIME].pid && !teardown_pods(s->c, &err))
		log_error("stop pods: %s", err.text);
	stop(s, C_RUNTIME);
	stop(s, C_APISERVER);
	if (s->c->run[C_KUBELET] || s->c->run[C_PROXY])
		teardown_host(s->c);
}

int supervise(const struct node_config *c, int ready_fd)
{
	struct supervisor s = { .c = c, .ready_fd = ready_fd };
	log_start("supervisor", LOG_INFO);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	_cleanup_close_ int sig = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sig < 0) {
		log_error("signalfd: %m");
		return 1;
	}
	for (int i = 0; i < C_COUNT; i++)
		s.children[i] = (struct child){ .which = (enum component)i, .wanted = c->run[i] };
	start_import(&s);
	int64_t next_trim = clock_mono(NULL) + LOG_CHECK_MS * NS_PER_MS;
	for (;;) {
		int64_t wait = start_due(&s), trim = MAX((next_trim - clock_mono(NULL)) / NS_PER_MS, (int64_t)1);
		struct pollfd p = { .fd = sig, .events = POLLIN };
		poll(&p, 1, (int)(wait < 0 ? trim : MIN(wait, trim)));
		struct signalfd_siginfo info;
		while (read(sig, &info, sizeof(info)) == sizeof(info)) {
			if (info.ssi_signo == SIGCHLD)
				continue;
			log_info("stopping");
			stop_all(&s);
			log_info("stopped");
			return 0;
		}
		reap(&s);
		if (clock_mono(NULL) >= next_trim) {
			trim_logs(&s);
			next_trim = clock_mono(NULL) + LOG_CHECK_MS * NS_PER_MS;
		}
	}
}
