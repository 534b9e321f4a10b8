#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/io.h"
#include "base/proc.h"
#include "json/json.h"
#include "runtime/server.h"
#include "runtime/spec.h"

enum { EXEC_OUTPUT_MAX = 16 << 20, EXEC_DRAIN_MS = 2000 };

const char *exec_process_file(struct runtime *rt, struct arena *a, struct container *c, const struct str_list *cmd, bool tty, struct error *err)
{
	lock(rt);
	bool running = c->state == cri_v1_ContainerState_CONTAINER_RUNNING;
	unlock(rt);
	if (!running) {
		static const char *const states[] = { "CONTAINER_CREATED", "CONTAINER_RUNNING", "CONTAINER_EXITED", "CONTAINER_UNKNOWN" };
		rpc_error(err, GRPC_UNKNOWN, "container is in %s state", states[c->state & 3]);
		return NULL;
	}
	if (cmd->n == 0) {
		rpc_error(err, GRPC_INVALID_ARGUMENT, "no command to execute");
		return NULL;
	}
	str text;
	if (!io_read_file(a, arena_printf(a, "%s/config.json", c->bundle).p, 64 << 20, &text, err))
		return NULL;
	struct value *spec = json_parse(a, text, NULL, err);
	if (!spec)
		return NULL;
	uint64_t n = rng_u64(NULL);
	const char *path = arena_printf(a, "%s/exec-" STR_FMT ".json", c->bundle, STR_ARG(hex_encode(a, str_n((char *)&n, sizeof(n))))).p;
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		error_errno(err, "create %s", path);
		return NULL;
	}
	return io_write_all(fd, json_text(a, spec_exec_process(a, spec, cmd, tty), JSON_COMPACT), err) ? path : NULL;
}

struct capture {
	struct buf out, err;
};

// Reads both streams until they end and the process is gone. False when the time is up.
static bool capture(int out, int err_fd, int exit_fd, int64_t until, struct capture *to)
{
	struct pollfd fds[3] = { { .fd = out, .events = POLLIN }, { .fd = err_fd, .events = POLLIN }, { .fd = exit_fd, .events = POLLIN } };
	struct buf *bufs[2] = { &to->out, &to->err };
	int64_t drain = 0;
	while (fds[0].fd >= 0 || fds[1].fd >= 0 || fds[2].fd >= 0) {
		int64_t end = until && drain ? MIN(until, drain) : until ? until : drain;
		int wait = -1;
		if (end) {
			int64_t left = (end - clock_mono(NULL) + NS_PER_MS - 1) / NS_PER_MS;
			if (left <= 0)
				return drain != 0; // the process is gone, something it left behind holds its output
			wait = (int)MIN(left, (int64_t)INT32_MAX);
		}
		if (poll(fds, 3, wait) < 0 && errno != EINTR)
			return false;
		for (int i = 0; i < 2; i++) {
			if (fds[i].fd < 0 || !fds[i].revents)
				continue;
			char block[64 * 1024];
			ssize_t n = read(fds[i].fd, block, sizeof(block));
			if (n > 0)
				buf_add(bufs[i], str_n(block, MIN((size_t)n, EXEC_OUTPUT_MAX - MIN(bufs[i]->n, (size_t)EXEC_OUTPUT_MAX)))); // the rest is dropped
			else if (n == 0 || (errno != EINTR && errno != EAGAIN))
				fds[i].fd = -1;
		}
		if (fds[2].fd >= 0 && fds[2].revents) {
			fds[2].fd = -1;
			drain = clock_mono(NULL) + EXEC_DRAIN_MS * NS_PER_MS;
		}
	}
	return true;
}

static void kill_inside(struct arena *a, const char *pid_file, pid_t outside)
{
	str text;
	struct error gone = { 0 };
	int64_t pid = 0;
	if (io_read_file(a, pid_file, 64, &text, &gone) && str_to_i64(str_trim(text), &pid) && pid > 0)
		kill((pid_t)pid, SIGKILL);
	kill(outside, SIGKILL);
}

static bool run(struct runtime *rt, struct arena *a, struct container *c, const struct cri_v1_ExecSyncRequest *req, struct cri_v1_ExecSyncResponse *res,
                struct error *err)
{
	const char *process = exec_process_file(rt, a, c, &req->cmd, false, err);
	if (!process)
		return false;
	const char *argv[16], *pid_file = arena_printf(a, "%s.pid", process).p;
	size_t n = oci_argv(rt, a, argv);
	argv[n++] = "exec";
	argv[n++] = "--process";
	argv[n++] = process;
	argv[n++] = "--pid-file";
	argv[n++] = pid_file;
	argv[n++] = c->id;
	argv[n] = NULL;
	int out[2] = { -1, -1 }, errp[2] = { -1, -1 };
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(errp, O_CLOEXEC) < 0)
		return error_errno(err, "pipe");
	struct proc_opts o = { .argv = argv, .dir = "/", .in = -1, .out = out[1], .err = errp[1], .new_session = true };
	pid_t pid;
	bool ok = proc_start(&o, &pid, err), in_time = true;
	close(out[1]);
	close(errp[1]);
	struct capture got = { 0 };
	int status = 0;
	if (ok) {
		_cleanup_close_ int exit_fd = (int)syscall(SYS_pidfd_open, pid, 0);
		int64_t until = req->timeout > 0 ? clock_mono(NULL) + MIN(req->timeout, (int64_t)1 << 32) * NS_PER_SEC : 0;
		in_time = capture(out[0], errp[0], exit_fd, until, &got);
		if (!in_time)
			kill_inside(a, pid_file, pid);
		ok = proc_wait(pid, &status, err);
	}
	close(out[0]);
	close(errp[0]);
	unlink(process);
	bool began = io_exists(pid_file);
	unlink(pid_file);
	if (ok && !in_time)
		ok = rpc_error(err, GRPC_DEADLINE_EXCEEDED, "failed to exec in container: timeout %" PRId64 "s exceeded: context deadline exceeded", req->timeout);
	else if (ok && !began && status != 0)
		// The OCI runtime itself failed; what it says is no output of the command.
		ok = rpc_error(err, GRPC_UNKNOWN, "failed to exec in container: failed to start exec: OCI runtime exec failed: " STR_FMT,
		               STR_ARG(str_trim(buf_str(&got.err))));
	if (ok) {
		res->stdout = arena_dup(a, buf_str(&got.out));
		res->stderr = arena_dup(a, buf_str(&got.err));
		res->exit_code = status;
	}
	buf_free(&got.out);
	buf_free(&got.err);
	return ok;
}

bool exec_sync(struct runtime *rt, struct arena *a, const struct cri_v1_ExecSyncRequest *req, struct cri_v1_ExecSyncResponse *out, struct error *err)
{
	struct container *c = container_get(rt, req->container_id, err);
	if (!c)
		return false;
	bool ok = run(rt, a, c, req, out, err);
	container_put(rt, c);
	return ok;
}
