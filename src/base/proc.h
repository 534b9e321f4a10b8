// Child processes, without a shell.
#ifndef CORACLE_BASE_PROC_H
#define CORACLE_BASE_PROC_H

#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"

struct proc_opts {
	const char *const *argv; // NULL-terminated; argv[0] is looked up in PATH when it has no slash
	const char *const *env;  // NULL-terminated, NULL: this process's
	const char *dir;         // working directory, NULL: this one
	int in, out, err;        // descriptors for 0, 1, 2; -1: /dev/null
	const int *pass;         // further descriptors that stay open under the same number (close-on-exec is cleared)
	size_t npass;
	bool new_session;        // setsid
	bool die_with_parent;    // SIGKILL when the thread that started it ends (PR_SET_PDEATHSIG)
	uid_t uid;               // not 0: becomes this user and group (no supplementary groups, no capabilities), with
	gid_t gid;               // no_new_privs set, so that nothing it executes gains more
};

// Starts a process. A program that cannot be executed is an error here, not an exit status. The caller waits.
bool proc_start(const struct proc_opts *o, pid_t *pid, struct error *err);
// Waits for it. *status is the exit code, or 128 + signal.
bool proc_wait(pid_t pid, int *status, struct error *err);
// Runs to the end with `input` on standard input; output (both streams, at most `limit` bytes each) in the arena.
// True when it ran, whatever its status. timeout_ms <= 0: none; on time-out it is killed and the error says so.
struct proc_result {
	int status;
	str out, err;
};
bool proc_run(struct arena *a, const char *const *argv, const char *const *env, str input, size_t limit, int timeout_ms,
              struct proc_result *result, struct error *err);

#endif
