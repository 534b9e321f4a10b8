#include "kubelet/gc.h"

#include <dirent.h>
#include <stdlib.h>

#include "base/io.h"
#include "kubelet/cgroups.h"
#include "kubelet/images.h"
#include "kubelet/objects.h"
#include "kubelet/volumes.h"
#include "kubelet/worker.h"

#define PERIOD_MS (60 * 1000)
#define IMAGES_EVERY 5
#define CALL_MS (2 * 60 * 1000)
#define YOUNG_NS (60 * NS_PER_SEC) // what is newer may be in the making

struct gc {
	struct kubelet *k;
	struct task *task;
	int round;
};

static bool known(struct kubelet *k, str uid)
{
	struct worker *w = worker_find(k, uid);
	worker_unref(w);
	return w != NULL;
}

static int newest_first(const void *x, const void *y)
{
	const struct cri_v1_Container *c = x, *d = y;
	return c->created_at < d->created_at ? 1 : c->created_at > d->created_at ? -1 : str_cmp(c->id, d->id);
}

static int newest_sandbox_first(const void *x, const void *y)
{
	const struct cri_v1_PodSandbox *c = x, *d = y;
	return c->created_at < d->created_at ? 1 : c->created_at > d->created_at ? -1 : str_cmp(c->id, d->id);
}

// Of each container of a pod two stay: the one that counts and the dead one before it (logs --previous, lastState).
static void containers(struct kubelet *k, struct arena *a, const struct cri_v1_ListContainersResponse *l)
{
	_cleanup_map_ struct map seen = { 0 };
	for (size_t i = 0; i < l->containers.n; i++) {
		const struct cri_v1_Container *c = &l->containers.v[i];
		str uid = str_map_get(&c->labels, S(LABEL_POD_UID));
		str key = arena_concat(a, uid, S("/"), str_map_get(&c->labels, S(LABEL_CONTAINER_NAME)));
		uintptr_t n = (uintptr_t)map_get(&seen, key) + 1;
		map_put(&seen, key, (void *)n);
		bool dead = c->state == cri_v1_ContainerState_CONTAINER_EXITED || c->state == cri_v1_ContainerState_CONTAINER_UNKNOWN;
		if (!dead || !uid.n || clock_wall(k->clock) - c->created_at < YOUNG_NS || (n <= 2 && known(k, uid)))
			continue;
		struct cri_v1_RemoveContainerRequest r = { .container_id = c->id };
		struct error err = { 0 };
		if (!CRI(&k->cri, a, RemoveContainer, &r, CALL_MS, &err) && !cri_not_found(&err))
			log_warn("remove dead container " STR_FMT ": %s", STR_ARG(c->id), err.text);
	}
}

// Sandboxes that are not ready: the newest of a pod stays as long as the pod does; none that still has containers goes.
static void sandboxes(struct kubelet *k, struct arena *a, const struct cri_v1_ListPodSandboxResponse *l,
                      const struct cri_v1_ListContainersResponse *cl)
{
	_cleanup_map_ struct map seen = { 0 }, used = { 0 };
	for (size_t i = 0; i < cl->containers.n; i++)
		map_put(&used, cl->containers.v[i].pod_sandbox_id, k);
	for (size_t i = 0; i < l->items.n; i++) {
		const struct cri_v1_PodSandbox *b = &l->items.v[i];
		str uid = str_map_get(&b->labels, S(LABEL_POD_UID));
		bool newest = !map_has(&seen, uid);
		map_put(&seen, uid, k);
		if (!uid.n || b->state == cri_v1_PodSandboxState_SANDBOX_READY || map_has(&used, b->id) ||
		    clock_wall(k->clock) - b->created_at < YOUNG_NS || (newest && known(k, uid)))
			continue;
		struct cri_v1_RemovePodSandboxRequest r = { .pod_sandbox_id = b->id };
		struct error err = { 0 };
		if (!CRI(&k->cri, a, RemovePodSandbox, &r, CALL_MS, &err) && !cri_not_found(&err))
			log_warn("remove dead sandbox " STR_FMT ": %s", STR_ARG(b->id), err.text);
	}
}

// Directories and logs of pods that neither the API nor the runtime knows.
static void directories(struct kubelet *k, struct arena *a, const struct map *in_runtime)
{
	struct error err = { 0 };
	struct dirent *e;
	const char *pods = arena_cstr(a, arena_concat(a, str_c(k->cfg.root_dir), S("/pods")));
	_cleanup_closedir_ DIR *d = opendir(pods);
	while (d && (e = readdir(d))) {
		str uid = str_c(e->d_name);
		if (e->d_name[0] == '.' || map_has(in_runtime, uid) || known(k, uid))
			continue;
		if (!volumes_teardown(k, a, arena_dup(a, uid), &err))
			log_warn("directory of pod %s: %s", e->d_name, err.text);
	}
	_cleanup_closedir_ DIR *logs = opendir(k->cfg.log_dir);
	while (logs && (e = readdir(logs))) {
		ptrdiff_t at = str_rfind_char(str_c(e->d_name), '_');
		str uid = at > 0 ? str_from(str_c(e->d_name), (size_t)at + 1) : S("");
		if (!uid.n || map_has(in_runtime, uid) || known(k, uid))
			continue;
		io_remove_tree(arena_cstr(a, arena_printf(a, "%s/%s", k->cfg.log_dir, e->d_name)), &err);
	}
	struct str_list cgroups = { 0 };
	cgroup_pods(k, a, &cgroups);
	for (size_t i = 0; i < cgroups.n; i++)
		if (!map_has(in_runtime, cgroups.v[i]) && !known(k, cgroups.v[i]))
			cgroup_pod_remove(k, a, cgroups.v[i]);
}

static void gc_run(void *ctx)
{
	struct gc *g = ctx;
	struct kubelet *k = g->k;
	struct error err = { 0 };
	if (atomic_load(&k->ready)) {
		_cleanup_arena_ struct arena *a = arena_new(0);
		_cleanup_map_ struct map in_runtime = { 0 };
		struct cri_v1_ListContainersRequest cr = { 0 };
		struct cri_v1_ListPodSandboxRequest sr = { 0 };
		struct cri_v1_ListContainersResponse *cl = CRI(&k->cri, a, ListContainers, &cr, CALL_MS, &err);
		struct cri_v1_ListPodSandboxResponse *sl = cl ? CRI(&k->cri, a, ListPodSandbox, &sr, CALL_MS, &err) : NULL;
		if (cl && sl) {
			if (cl->containers.n)
				qsort(cl->containers.v, cl->containers.n, sizeof(*cl->containers.v), newest_first);
			if (sl->items.n)
				qsort(sl->items.v, sl->items.n, sizeof(*sl->items.v), newest_sandbox_first);
			for (size_t i = 0; i < cl->containers.n; i++)
				map_put(&in_runtime, str_map_get(&cl->containers.v[i].labels, S(LABEL_POD_UID)), k);
			for (size_t i = 0; i < sl->items.n; i++)
				map_put(&in_runtime, str_map_get(&sl->items.v[i].labels, S(LABEL_POD_UID)), k);
			containers(k, a, cl);
			sandboxes(k, a, sl, cl);
			directories(k, a, &in_runtime);
		}
		object_cache_trim(k);
		if (g->round++ % IMAGES_EVERY == IMAGES_EVERY - 1)
			unused_images_remove(k);
	}
	task_after(g->task, PERIOD_MS);
}

void gc_start(struct kubelet *k)
{
	struct gc *g = ARENA_NEW(k->arena, struct gc);
	g->k = k;
	g->task = task_new(k->tasks, gc_run, g);
	task_after(g->task, PERIOD_MS);
}
