#include "kubelet/log_rotate.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <zlib.h>

#include "base/io.h"
#include "kubelet/worker.h"

#define PERIOD_MS 10000
#define CALL_MS 30000

struct rotation {
	struct kubelet *k;
	struct task *task;
};

static bool compress_file(const char *from, const char *to)
{
	char chunk[16384];
	ssize_t n;
	_cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC);
	gzFile out = in >= 0 ? gzopen(to, "wbe") : NULL;
	bool ok = out != NULL;
	while (ok && (n = read(in, chunk, sizeof(chunk))) != 0)
		ok = n > 0 && gzwrite(out, chunk, (unsigned)n) == n;
	if (out && gzclose(out) != Z_OK)
		ok = false;
	if (!ok && out)
		unlink(to);
	return ok;
}

static int by_name(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

void log_rotate_tidy(struct arena *a, const char *path, int keep)
{
	const char *slash = strrchr(path, '/');
	str dir = str_n(path, (size_t)(slash - path)), prefix = arena_concat(a, str_c(slash + 1), S("."));
	struct { const char **v; size_t n; } old = { 0 };
	_cleanup_closedir_ DIR *d = opendir(arena_cstr(a, dir));
	struct dirent *e;
	while (d && (e = readdir(d))) {
		if (!str_has_prefix(str_c(e->d_name), prefix))
			continue;
		const char *full = arena_cstr(a, arena_concat(a, dir, S("/"), str_c(e->d_name)));
		if (str_has_suffix(str_c(full), S(".tmp")))
			unlink(full); // of a compression that did not end
		else
			*LIST_ADD(a, &old) = full;
	}
	if (old.n)
		qsort(old.v, old.n, sizeof(*old.v), by_name);
	for (size_t i = 0; i < old.n; i++) {
		if (old.n - i > (size_t)MAX(keep, 0)) {
			unlink(old.v[i]);
			continue;
		}
		if (i + 1 == old.n || str_has_suffix(str_c(old.v[i]), S(".gz")))
			continue;
		const char *tmp = arena_cstr(a, arena_concat(a, str_c(old.v[i]), S(".tmp")));
		const char *gz = arena_cstr(a, arena_concat(a, str_c(old.v[i]), S(".gz")));
		if (compress_file(old.v[i], tmp) && rename(tmp, gz) == 0)
			unlink(old.v[i]);
	}
}

static void rotate(struct kubelet *k, struct arena *a, const char *path, str id)
{
	struct error err = { 0 };
	struct stat st;
	char stamp[32];
	struct tm tm;
	if (stat(path, &st) < 0 || st.st_size < k->cfg.log_max_size)
		return;
	time_t now = (time_t)(clock_wall(k->clock) / NS_PER_SEC);
	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
	log_rotate_tidy(a, path, k->cfg.log_max_files - 2); // one more comes now, and the one that is written
	const char *aside = arena_cstr(a, arena_printf(a, "%s.%s", path, stamp));
	if (rename(path, aside) < 0)
		return;
	struct cri_v1_ReopenContainerLogRequest r = { .container_id = id };
	if (!CRI(&k->cri, a, ReopenContainerLog, &r, CALL_MS, &err)) {
		// The runtime goes on writing into the old file: it gets its name back.
		log_warn("rotate %s: %s", path, err.text);
		rename(aside, path);
	}
}

static void rotate_all(void *ctx)
{
	struct rotation *r = ctx;
	struct kubelet *k = r->k;
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct worker **workers = workers_list(k, a);
	for (size_t i = 0; workers[i]; i++) {
		struct worker *w = workers[i];
		struct object_ref *ref = worker_pod(w);
		const struct core_v1_Pod *pod = object_of(ref);
		struct core_v1_PodStatus *s = status_current(w, a, pod);
		for (size_t c = 0; c < s->containerStatuses.n + s->initContainerStatuses.n; c++) {
			const struct core_v1_ContainerStatus *one = c < s->containerStatuses.n
				? &s->containerStatuses.v[c] : &s->initContainerStatuses.v[c - s->containerStatuses.n];
			ptrdiff_t at = str_find(one->containerID, S("://"));
			if (!one->state.running || at < 0)
				continue;
			str rest = arena_printf(a, STR_FMT "/%d.log", STR_ARG(one->name), one->restartCount);
			rotate(k, a, pod_log_dir(k, a, &pod->metadata, rest), str_from(one->containerID, (size_t)at + 3));
		}
		object_unref(ref);
		worker_unref(w);
	}
	task_after(r->task, PERIOD_MS);
}

void log_rotate_start(struct kubelet *k)
{
	struct rotation *r = ARENA_NEW(k->arena, struct rotation);
	if (k->cfg.log_max_size <= 0 || k->cfg.log_max_files < 2)
		return;
	r->k = k;
	r->task = task_new(k->tasks, rotate_all, r);
	task_after(r->task, PERIOD_MS);
}
