#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/io.h"
#include "base/log.h"
#include "runtime/cgroup.h"
#include "runtime/server.h"

// conmon leaves a file with the exit code, named after the container; should conmon itself be killed, the end of the
// container's first process is all there is to see. Both wake the one thread here.

struct watch {
	int fd;
	char id[65];
};

static bool read_exit(struct runtime *rt, struct container *c, int *code, int64_t *when)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	const char *path = arena_printf(a, "%s/exits/%s", rt->opts.state, c->id).p;
	struct stat st;
	str text;
	int64_t n;
	struct error gone = { 0 };
	if (stat(path, &st) < 0 || !io_read_file(a, path, 64, &text, &gone) || !str_to_i64(str_trim(text), &n))
		return false;
	*code = (int)n;
	*when = (int64_t)st.st_mtim.tv_sec * NS_PER_SEC + st.st_mtim.tv_nsec;
	return true;
}

static bool killed_for_memory(struct runtime *rt, struct container *c)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	return io_exists(arena_printf(a, "%s/oom", c->bundle).p) || cgroup_oom_kills(a, rt->cgroup_v2, c->cgroup) > 0;
}

struct cleanup {
	struct runtime *rt;
	struct container *c;
};

// What a container that has ended no longer needs: its control groups and its mount. Its files stay for the logs and for
// whoever wants to look.
static void *clean_up(void *arg)
{
	struct cleanup *w = arg;
	struct runtime *rt = w->rt;
	struct container *c = w->c;
	_cleanup_arena_ struct arena *a = arena_new(0);
	pthread_mutex_lock(&c->op);
	lock(rt);
	bool removed = c->removed;
	unlock(rt);
	struct error err = { 0 };
	if (!removed) {
		if (!oci_delete(rt, a, c->id, &err))
			log_warn("container %s: %s", c->id, err.text);
		umount2(arena_printf(a, "%s/rootfs", c->bundle).p, MNT_DETACH | UMOUNT_NOFOLLOW);
		unlink(arena_printf(a, "%s/exits/%s", rt->opts.state, c->id).p);
	}
	pthread_mutex_unlock(&c->op);
	container_put(rt, c);
	free(w);
	return NULL;
}

static void start_clean_up(struct runtime *rt, struct container *c)
{
	struct cleanup *w = HEAP_NEW(struct cleanup);
	*w = (struct cleanup){ rt, c };
	lock(rt);
	c->refs++;
	unlock(rt);
	pthread_attr_t attr;
	pthread_t t;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	if (pthread_create(&t, &attr, clean_up, w) != 0)
		clean_up(w);
	pthread_attr_destroy(&attr);
}

bool monitor_check(struct runtime *rt, struct container *c)
{
	lock(rt);
	bool ended = c->state == cri_v1_ContainerState_CONTAINER_EXITED || c->removed;
	bool waiting = c->starting || c->state != cri_v1_ContainerState_CONTAINER_RUNNING;
	struct process process = c->process, monitor = c->monitor;
	unlock(rt);
	if (ended || waiting)
		return ended;
	int code = 255;
	int64_t when = now();
	const char *reason = NULL;
	if (!read_exit(rt, c, &code, &when)) {
		if (process_alive(&monitor) || process_alive(&process))
			return false;
		// Both gone; the file may have come between the two looks.
		if (!read_exit(rt, c, &code, &when))
			reason = "Unknown";
	}
	bool oom = killed_for_memory(rt, c);
	if (!reason)
		reason = oom && code != 0 ? "OOMKilled" : code == 0 ? "Completed" : "Error";
	lock(rt);
	bool first = c->state == cri_v1_ContainerState_CONTAINER_RUNNING && !c->removed;
	if (first) {
		c->state = cri_v1_ContainerState_CONTAINER_EXITED;
		c->exit_code = code;
		c->finished = MAX(when, c->started);
		c->reason = reason;
		c->process = c->monitor = (struct process){ 0 };
		pthread_cond_broadcast(&rt->changed);
	}
	unlock(rt);
	if (first) {
		struct error err = { 0 };
		if (!container_save(rt, c, true, &err))
			log_warn("container %s: %s", c->id, err.text);
		event_container(rt, c, cri_v1_ContainerEventType_CONTAINER_STOPPED_EVENT);
		start_clean_up(rt, c);
	}
	return true;
}

void monitor_watch(struct runtime *rt, struct container *c)
{
	lock(rt);
	struct process monitor = c->monitor, process = c->process;
	unlock(rt);
	const struct process *p = process_alive(&monitor) ? &monitor : &process;
	int fd = p->pid > 0 ? (int)syscall(SYS_pidfd_open, p->pid, 0) : -1;
	if (fd < 0)
		return; // gone meanwhile: monitor_check sees it
	struct watch *w = HEAP_NEW(struct watch);
	w->fd = fd;
	snprintf(w->id, sizeof(w->id), "%s", c->id);
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = w };
	if (epoll_ctl(rt->epoll, EPOLL_CTL_ADD, fd, &e) < 0) {
		log_warn("container %s: cannot watch: %s", c->id, strerror(errno));
		close(fd);
		free(w);
	}
}

static void look(struct runtime *rt, str id, bool again)
{
	struct error gone = { 0 };
	struct container *c = id.n == 64 ? container_get(rt, id, &gone) : NULL;
	if (!c)
		return;
	if (!monitor_check(rt, c) && again)
		monitor_watch(rt, c); // conmon died before its container
	container_put(rt, c);
}

static void read_exits(struct runtime *rt)
{
	char buf[16 * 1024] __attribute__((aligned(8)));
	ssize_t n;
	while ((n = read(rt->inotify, buf, sizeof(buf))) > 0)
		for (char *p = buf; p < buf + n;) {
			const struct inotify_event *e = (const struct inotify_event *)p;
			if (e->mask & IN_Q_OVERFLOW) {
				// Some names are lost: look at all.
				_cleanup_arena_ struct arena *a = arena_new(0);
				struct { str *v; size_t n; } ids = { 0 };
				lock(rt);
				for (struct map_slot *s = NULL; (s = map_each(&rt->containers, s));)
					*LIST_ADD(a, &ids) = arena_dup(a, s->key);
				unlock(rt);
				for (size_t i = 0; i < ids.n; i++)
					look(rt, ids.v[i], false);
			} else if (e->len) {
				look(rt, str_c(e->name), false);
			}
			p += sizeof(*e) + e->len;
		}
}

static void *monitor_thread(void *arg)
{
	struct runtime *rt = arg;
	for (;;) {
		struct epoll_event events[32];
		int n = epoll_wait(rt->epoll, events, ARRAY_LEN(events), -1);
		for (int i = 0; i < n; i++) {
			struct watch *w = events[i].data.ptr;
			if (!w) {
				read_exits(rt);
				continue;
			}
			epoll_ctl(rt->epoll, EPOLL_CTL_DEL, w->fd, NULL);
			close(w->fd);
			look(rt, str_c(w->id), true);
			free(w);
		}
	}
	return NULL;
}

bool monitor_start(struct runtime *rt, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	rt->epoll = epoll_create1(EPOLL_CLOEXEC);
	rt->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = NULL };
	if (rt->epoll < 0 || rt->inotify < 0 || epoll_ctl(rt->epoll, EPOLL_CTL_ADD, rt->inotify, &e) < 0)
		return error_errno(err, "epoll");
	const char *exits = arena_printf(a, "%s/exits", rt->opts.state).p;
	// conmon writes a temporary file and renames it.
	if (inotify_add_watch(rt->inotify, exits, IN_MOVED_TO | IN_CLOSE_WRITE) < 0)
		return error_errno(err, "watch %s", exits);
	pthread_attr_t attr;
	pthread_t t;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	int rc = pthread_create(&t, &attr, monitor_thread, rt);
	pthread_attr_destroy(&attr);
	errno = rc;
	return rc == 0 || error_errno(err, "thread");
}
