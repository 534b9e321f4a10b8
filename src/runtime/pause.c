// The first process of a PID namespace that the containers of a pod share. It is no container of the OCI runtime: it confines
// itself, because it needs nothing: no files, no capabilities, no user, and a root directory that is empty.
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/runtime.h"

enum { PAUSE_UID = 65535 };

static _Noreturn void reap(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (;;) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		int sig = sigwaitinfo(&set, NULL);
		if (sig == SIGTERM || sig == SIGINT)
			_exit(0);
	}
}

static int join(const char *path, int type)
{
	if (strcmp(path, "-") == 0)
		return 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	int rc = setns(fd, type);
	close(fd);
	return rc;
}

// An empty, read-only root, and nothing of the host's mounts left.
static int empty_root(const char *dir)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("pause", dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,mode=555") < 0 || chdir(dir) < 0 ||
	    syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -1;
	return mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

static int drop_all(void)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_setgroups, 0, NULL) < 0 ||
	    syscall(SYS_setresgid, PAUSE_UID, PAUSE_UID, PAUSE_UID) < 0 || syscall(SYS_setresuid, PAUSE_UID, PAUSE_UID, PAUSE_UID) < 0)
		return -1;
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct none[2];
	memset(none, 0, sizeof(none));
	// Its memory is the server's program: nobody in the pod may look at it.
	return syscall(SYS_capset, &head, none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -1 : 0;
}

static int fail(const char *what)
{
	fprintf(stderr, "pause: %s: %s\n", what, strerror(errno));
	return 1;
}

int pause_main(int argc, char **argv)
{
	if (argc < 2)
		reap();
	if (argc != 6 || strcmp(argv[1], "--in-new-namespace") != 0) {
		fprintf(stderr, "usage: coracle pause [--in-new-namespace DIR NET UTS IPC]\n");
		return 2;
	}
	if (join(argv[3], CLONE_NEWNET) < 0 || join(argv[4], CLONE_NEWUTS) < 0 || join(argv[5], CLONE_NEWIPC) < 0)
		return fail("join namespaces");
	if (unshare(CLONE_NEWPID) < 0)
		return fail("new PID namespace");
	int ready[2];
	if (pipe2(ready, O_CLOEXEC) < 0)
		return fail("pipe");
	pid_t pid = fork();
	if (pid < 0)
		return fail("fork");
	if (pid == 0) {
		prctl(PR_SET_NAME, "pause", 0, 0, 0);
		if (empty_root(argv[2]) < 0 || drop_all() < 0)
			_exit(1);
		(void)!write(ready[1], "", 1);
		close(ready[0]);
		close(ready[1]);
		close(0);
		close(1);
		close(2);
		reap();
	}
	close(ready[1]);
	char byte;
	if (read(ready[0], &byte, 1) != 1)
		return fail("confine");
	// Without what libraries do at exit: this process can start no threads any more.
	_exit(dprintf(1, "%d\n", (int)pid) > 0 ? 0 : 1);
}
