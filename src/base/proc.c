#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"

// In the child, between fork and exec: only async-signal-safe calls. Failure is told through the pipe as errno.
static _Noreturn void child(const struct proc_opts *o, int report, pid_t parent)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	int null = open("/dev/null", O_RDWR);
	int want[3] = { o->in >= 0 ? o->in : null, o->out >= 0 ? o->out : null, o->err >= 0 ? o->err : null };
	// First out of the way of 0..2, then into place: a wanted descriptor may itself be one of them.
	for (int i = 0; i < 3; i++)
		if ((want[i] = fcntl(want[i], F_DUPFD_CLOEXEC, 10)) < 0)
			goto fail;
	for (int i = 0; i < 3; i++)
		if (dup2(want[i], i) < 0)
			goto fail;
	for (size_t i = 0; i < o->npass; i++)
		if (fcntl(o->pass[i], F_SETFD, 0) < 0)
			goto fail;
	if (o->new_session && setsid() < 0)
		goto fail;
	if (o->uid && (setgroups(0, NULL) < 0 || setresgid(o->gid, o->gid, o->gid) < 0 || setresuid(o->uid, o->uid, o->uid) < 0 ||
	               prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0))
		goto fail;
	// After the change of user, which clears it.
	if (o->die_with_parent && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
		goto fail;
	if (o->dir && chdir(o->dir) < 0)
		goto fail;
	extern char **environ;
	execvpe(o->argv[0], (char *const *)o->argv, o->env ? (char *const *)o->env : environ);
fail:;
	int code = errno ? errno : ECHILD;
	(void)!write(report, &code, sizeof(code));
	_exit(127);
}

bool proc_start(const struct proc_opts *o, pid_t *pid, struct error *err)
{
	int report[2];
	if (pipe2(report, O_CLOEXEC) < 0)
		return error_errno(err, "pipe");
	pid_t parent = getpid(), p = fork();
	if (p < 0) {
		error_errno(err, "fork");
		close(report[0]);
		close(report[1]);
		return false;
	}
	if (p == 0)
		child(o, report[1], parent);
	close(report[1]);
	int code = 0;
	ssize_t n;
	do
		n = read(report[0], &code, sizeof(code));
	while (n < 0 && errno == EINTR);
	close(report[0]);
	if (n > 0) {
		waitpid(p, NULL, 0);
		errno = code;
		return error_errno(err, "exec %s", o->argv[0]);
	}
	*pid = p;
	return true;
}

bool proc_wait(pid_t pid, int *status, struct error *err)
{
	int s;
	pid_t p;
	do
		p = waitpid(pid, &s, 0);
	while (p < 0 && errno == EINTR);
	if (p < 0)
		return error_errno(err, "wait for process %d", (int)pid);
	*status = WIFEXITED(s) ? WEXITSTATUS(s) : 128 + WTERMSIG(s);
	return true;
}

// A write that does not raise SIGPIPE, whatever the process does with that signal: held back while writing, and taken
// away again when this write caused it.
static ssize_t quiet_write(int fd, str data)
{
	sigset_t pipe_only, before, waiting;
	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	sigpending(&waiting);
	pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
	ssize_t n = write(fd, data.p, data.n);
	int sys = errno;
	if (n < 0 && sys == EPIPE && !sigismember(&waiting, SIGPIPE))
		while (sigtimedwait(&pipe_only, NULL, &(struct timespec){ 0 }) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = sys;
	return n;
}

// Feeds input and collects output until both streams end. False on time-out or when a limit is passed.
static bool exchange(int in, int out, int errfd, str input, size_t limit, int timeout_ms, struct buf *o, struct buf *e,
                     struct error *err)
{
	int64_t until = clock_mono(NULL) + (int64_t)timeout_ms * NS_PER_MS;
	struct pollfd fds[3] = { { .fd = in, .events = POLLOUT }, { .fd = out, .events = POLLIN }, { .fd = errfd, .events = POLLIN } };
	struct buf *bufs[3] = { NULL, o, e };
	if (input.n == 0) {
		close(in);
		fds[0].fd = -1;
	}
	bool ok = true;
	while (ok && (fds[1].fd >= 0 || fds[2].fd >= 0)) {
		int wait = -1;
		if (timeout_ms > 0) {
			int64_t left = (until - clock_mono(NULL)) / NS_PER_MS;
			if (left <= 0) {
				ok = error_api(err, 504, "Timeout", "timed out after %d ms", timeout_ms);
				break;
			}
			wait = (int)left;
		}
		if (poll(fds, 3, wait) < 0) {
			if (errno == EINTR)
				continue;
			ok = error_errno(err, "poll");
			break;
		}
		if (fds[0].fd >= 0 && fds[0].revents) {
			ssize_t n = quiet_write(in, input);
			if (n > 0)
				input = str_from(input, (size_t)n);
			if ((n < 0 && errno != EINTR && errno != EAGAIN) || input.n == 0) {
				close(in);
				fds[0].fd = -1;
			}
		}
		for (int i = 1; ok && i < 3; i++) {
			if (fds[i].fd < 0 || !fds[i].revents)
				continue;
			ssize_t n = read(fds[i].fd, buf_reserve(bufs[i], 8192), 8192);
			if (n > 0)
				bufs[i]->n += (size_t)n;
			else if (n == 0 || (errno != EINTR && errno != EAGAIN))
				fds[i].fd = -1;
			if (bufs[i]->n > limit)
				ok = error_api(err, 413, "RequestEntityTooLarge", "more than %zu bytes of output", limit);
		}
	}
	if (fds[0].fd >= 0)
		close(in);
	return ok;
}

bool proc_run(struct arena *a, const char *const *argv, const char *const *env, str input, size_t limit, int timeout_ms,
              struct proc_result *result, struct error *err)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, er[2] = { -1, -1 };
	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(er, O_CLOEXEC) < 0) {
		error_errno(err, "pipe");
		for (int i = 0; i < 2; i++)
			closep(&in[i]), closep(&out[i]), closep(&er[i]);
		return false;
	}
	io_set_nonblock(in[1], true);
	pid_t pid = 0;
	struct proc_opts o = { .argv = argv, .env = env, .in = in[0], .out = out[1], .err = er[1] };
	bool started = proc_start(&o, &pid, err);
	close(in[0]);
	close(out[1]);
	close(er[1]);
	if (!started) {
		close(in[1]);
		close(out[0]);
		close(er[0]);
		return false;
	}
	_cleanup_buf_ struct buf ob = { 0 }, eb = { 0 };
	bool ok = exchange(in[1], out[0], er[0], input, limit, timeout_ms, &ob, &eb, err);
	close(out[0]);
	close(er[0]);
	if (!ok)
		kill(pid, SIGKILL);
	struct error ignored = { 0 };
	int status = 0;
	bool waited = proc_wait(pid, &status, ok ? err : &ignored);
	if (!ok)
		return error_wrap(err, "%s", argv[0]);
	*result = (struct proc_result){ .status = status, .out = arena_dup(a, buf_str(&ob)), .err = arena_dup(a, buf_str(&eb)) };
	return waited;
}
