// /pods, /stats/summary and /metrics.
#include <stdlib.h>
#include <sys/statvfs.h>

#include "kubelet/cgroups.h"
#include "kubelet/server.h"
#include "kubelet/worker.h"
#include "object/meta.h"

void serve_pods(struct call *c)
{
	struct arena *a = c->arena;
	struct core_v1_PodList list = { .apiVersion = S("v1"), .kind = S("PodList") };
	struct worker **workers = workers_list(c->k, a);
	for (size_t i = 0; workers[i]; i++) {
		struct object_ref *ref = worker_pod(workers[i]);
		struct core_v1_Pod *pod = schema_clone(a, core_v1_Pod_desc, object_of(ref));
		pod->status = *status_current(workers[i], a, pod);
		*LIST_ADD(a, &list.items) = *pod;
		object_unref(ref);
		worker_unref(workers[i]);
	}
	_cleanup_buf_ struct buf b = { 0 };
	schema_to_json(&b, core_v1_PodList_desc, &list);
	call_reply(c, 200, S("application/json"), buf_str(&b));
}

static struct value *number(struct arena *a, uint64_t n)
{
	return value_int(a, (int64_t)MIN(n, (uint64_t)INT64_MAX));
}

static struct value *text(struct arena *a, str s)
{
	return value_string(a, s);
}

static void cpu_and_memory(struct arena *a, struct value *o, str time, uint64_t cpu_ns, uint64_t cores, uint64_t memory, uint64_t working,
                           uint64_t rss)
{
	struct value *cpu = value_object(a), *mem = value_object(a);
	value_set(a, cpu, S("time"), text(a, time));
	value_set(a, cpu, S("usageNanoCores"), number(a, cores));
	value_set(a, cpu, S("usageCoreNanoSeconds"), number(a, cpu_ns));
	value_set(a, mem, S("time"), text(a, time));
	value_set(a, mem, S("usageBytes"), number(a, memory));
	value_set(a, mem, S("workingSetBytes"), number(a, working));
	value_set(a, mem, S("rssBytes"), number(a, rss));
	value_set(a, o, S("cpu"), cpu);
	value_set(a, o, S("memory"), mem);
}

static struct value *file_system(struct arena *a, str time, const char *path)
{
	struct statvfs fs;
	struct value *o = value_object(a);
	if (statvfs(path, &fs) < 0)
		return o;
	uint64_t size = fs.f_frsize;
	value_set(a, o, S("time"), text(a, time));
	value_set(a, o, S("availableBytes"), number(a, fs.f_bavail * size));
	value_set(a, o, S("capacityBytes"), number(a, fs.f_blocks * size));
	value_set(a, o, S("usedBytes"), number(a, (fs.f_blocks - fs.f_bfree) * size));
	value_set(a, o, S("inodesFree"), number(a, fs.f_ffree));
	value_set(a, o, S("inodes"), number(a, fs.f_files));
	value_set(a, o, S("inodesUsed"), number(a, fs.f_files - fs.f_ffree));
	return o;
}

static uint64_t u64(const struct cri_v1_UInt64Value *v)
{
	return v ? v->value : 0;
}

static struct value *pod_stats(struct call *c, const struct core_v1_Pod *pod, str time, const struct cri_v1_ListContainerStatsResponse *all)
{
	struct arena *a = c->arena;
	struct value *o = value_object(a), *ref = value_object(a), *list = value_array(a);
	struct cgroup_usage u;
	value_set(a, ref, S("name"), text(a, arena_dup(a, pod->metadata.name)));
	value_set(a, ref, S("namespace"), text(a, arena_dup(a, pod->metadata.namespace)));
	value_set(a, ref, S("uid"), text(a, arena_dup(a, pod->metadata.uid)));
	value_set(a, o, S("podRef"), ref);
	value_set(a, o, S("startTime"), text(a, time_format(a, pod->metadata.creationTimestamp.sec, 0, 0)));
	for (size_t i = 0; all && i < all->stats.n; i++) {
		const struct cri_v1_ContainerStats *s = &all->stats.v[i];
		if (!s->attributes || !str_eq(str_map_get(&s->attributes->labels, S(LABEL_POD_UID)), pod->metadata.uid))
			continue;
		struct value *one = value_object(a);
		value_set(a, one, S("name"), text(a, str_map_get(&s->attributes->labels, S(LABEL_CONTAINER_NAME))));
		cpu_and_memory(a, one, time, s->cpu ? u64(s->cpu->usage_core_nano_seconds) : 0, s->cpu ? u64(s->cpu->usage_nano_cores) : 0,
		               s->memory ? u64(s->memory->usage_bytes) : 0, s->memory ? u64(s->memory->working_set_bytes) : 0,
		               s->memory ? u64(s->memory->rss_bytes) : 0);
		value_append(a, list, one);
	}
	value_set(a, o, S("containers"), list);
	if (cgroup_usage(c->k, a, cgroup_pod_path(c->k, a, pod), &u))
		cpu_and_memory(a, o, time, u.cpu_ns, 0, u.memory, u.working_set, u.rss);
	return o;
}

void serve_stats(struct call *c)
{
	struct arena *a = c->arena;
	struct kubelet *k = c->k;
	struct error err = { 0 };
	struct cgroup_usage u;
	struct value *doc = value_object(a), *node = value_object(a), *pods = value_array(a);
	str time = time_format(a, clock_wall(k->clock) / NS_PER_SEC, 0, 0);
	value_set(a, node, S("nodeName"), text(a, k->node_name));
	value_set(a, node, S("startTime"), text(a, time_format(a, k->started_wall / NS_PER_SEC, 0, 0)));
	if (cgroup_usage(k, a, S(""), &u))
		cpu_and_memory(a, node, time, u.cpu_ns, 0, u.memory, u.working_set, u.rss);
	value_set(a, node, S("fs"), file_system(a, time, k->cfg.root_dir));
	struct cri_v1_ListContainerStatsRequest r = { 0 };
	struct cri_v1_ListContainerStatsResponse *all = CRI(&k->cri, a, ListContainerStats, &r, 10000, &err);
	struct worker **workers = workers_list(k, a);
	for (size_t i = 0; workers[i]; i++) {
		struct object_ref *ref = worker_pod(workers[i]);
		value_append(a, pods, pod_stats(c, object_of(ref), time, all));
		object_unref(ref);
		worker_unref(workers[i]);
	}
	value_set(a, doc, S("node"), node);
	value_set(a, doc, S("pods"), pods);
	_cleanup_buf_ struct buf b = { 0 };
	json_write(&b, doc, JSON_COMPACT);
	call_reply(c, 200, S("application/json"), buf_str(&b));
}

void serve_metrics(struct call *c)
{
	static const struct { const char *name, *help; } counters[] = {
		[COUNT_SYNCS] = { "coracle_kubelet_pod_syncs_total", "Steps that pod workers took" },
		[COUNT_SYNC_ERRORS] = { "coracle_kubelet_pod_sync_errors_total", "Steps after which something was left to be tried again" },
		[COUNT_SANDBOXES] = { "kubelet_started_pods_total", "Cumulative number of pods started" },
		[COUNT_CONTAINERS] = { "kubelet_started_containers_total", "Cumulative number of containers started" },
		[COUNT_PULLS] = { "coracle_kubelet_image_pulls_total", "Images pulled" },
		[COUNT_PATCHES] = { "coracle_kubelet_status_patches_total", "Pod statuses sent to the API" },
		[COUNT_PROBES] = { "coracle_kubelet_probes_total", "Probes run" },
		[COUNT_EVENTS] = { "coracle_kubelet_runtime_events_total", "Container events from the runtime" },
	};
	struct kubelet *k = c->k;
	_cleanup_buf_ struct buf b = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(counters); i++)
		buf_printf(&b, "# HELP %s %s\n# TYPE %s counter\n%s %llu\n", counters[i].name, counters[i].help, counters[i].name, counters[i].name,
		           (unsigned long long)k->counters[i]);
	pthread_mutex_lock(&k->lock);
	size_t pods = k->workers.n;
	pthread_mutex_unlock(&k->lock);
	buf_printf(&b, "# HELP kubelet_active_pods Pods that this kubelet works on\n# TYPE kubelet_active_pods gauge\nkubelet_active_pods %zu\n", pods);
	buf_printf(&b, "# HELP coracle_kubelet_threads Threads of the task pool\n# TYPE coracle_kubelet_threads gauge\ncoracle_kubelet_threads %d\n",
	           tasks_threads(k->tasks));
	buf_printf(&b, "# HELP kubelet_node_name The node's name. The count is always 1.\n# TYPE kubelet_node_name gauge\nkubelet_node_name{node=\"" STR_FMT "\"} 1\n",
	           STR_ARG(k->node_name));
	call_reply(c, 200, S("text/plain; version=0.0.4; charset=utf-8"), buf_str(&b));
}
