#include "kubelet/cgroups.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "base/io.h"
#include "object/meta.h"
#include "schema/quantity.h"

#define MIN_SHARES 2
#define MAX_SHARES 262144
#define MIN_QUOTA_US 1000

static const char *const levels[] = { "", "/burstable", "/besteffort" };

int64_t cpu_shares(int64_t milli)
{
	if (milli == 0)
		return MIN_SHARES;
	return MIN(MAX(milli * 1024 / 1000, MIN_SHARES), MAX_SHARES);
}

int64_t cpu_quota(int64_t milli, int64_t period_us)
{
	if (milli == 0)
		return 0;
	return MAX(milli * period_us / 1000, MIN_QUOTA_US);
}

int64_t cpu_weight(int64_t shares)
{
	if (shares == 0)
		return 0;
	shares = MIN(MAX(shares, MIN_SHARES), MAX_SHARES);
	return 1 + ((shares - 2) * 9999) / 262142;
}

static bool declared(const struct quantity_map *m, const char *key)
{
	struct quantity q;
	return quantity_map_get(m, str_c(key), &q) && !quantity_is_zero(q);
}

static int64_t milli_of(const struct quantity_map *m)
{
	struct quantity q;
	return quantity_map_get(m, S("cpu"), &q) ? quantity_milli(q) : 0;
}

static int64_t bytes_of(const struct quantity_map *m)
{
	struct quantity q;
	return quantity_map_get(m, S("memory"), &q) ? quantity_value(q) : 0;
}

int oom_score_adj(struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Container *c, int64_t capacity)
{
	str qos = pod_qos_class(a, pod);
	if (str_eqc(pod->spec.priorityClassName, "system-node-critical") || str_eqc(qos, "Guaranteed"))
		return -997;
	if (str_eqc(qos, "BestEffort") || capacity <= 0)
		return 1000;
	int64_t request = bytes_of(&c->resources.requests), least = INT64_MAX;
	if (is_init_container(pod, c->name) && is_sidecar(c)) {
		for (size_t i = 0; i < pod->spec.containers.n; i++)
			least = MIN(least, bytes_of(&pod->spec.containers.v[i].resources.requests));
		request = MAX(request, least == INT64_MAX ? 0 : least);
	}
	int64_t adj = 1000 - (int64_t)((__int128)1000 * request / capacity);
	return (int)(adj < 3 ? 3 : adj == 1000 ? 999 : adj);
}

struct cri_v1_LinuxContainerResources *linux_resources(struct kubelet *k, struct arena *a, bool has_request, int64_t cpu_request,
                                                       int64_t cpu_limit, int64_t memory_limit)
{
	struct cri_v1_LinuxContainerResources *r = ARENA_NEW(a, struct cri_v1_LinuxContainerResources);
	r->cpu_shares = cpu_shares(has_request ? cpu_request : cpu_limit);
	r->memory_limit_in_bytes = memory_limit;
	if (k->cfg.cfs_quota) {
		r->cpu_period = CPU_PERIOD_US;
		r->cpu_quota = cpu_quota(cpu_limit, CPU_PERIOD_US);
	}
	// All processes of a container share the fate of the one that ran out of memory.
	if (k->cgroups == CGROUP_V2)
		str_map_set(a, &r->unified, S("memory.oom.group"), S("1"));
	return r;
}

struct cri_v1_LinuxContainerResources *container_resources(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod,
                                                           const struct core_v1_Container *c)
{
	struct quantity q;
	int64_t cpu = milli_of(&c->resources.limits), memory = bytes_of(&c->resources.limits);
	if (pod->spec.resources) {
		cpu = cpu ? cpu : milli_of(&pod->spec.resources->limits);
		memory = memory ? memory : bytes_of(&pod->spec.resources->limits);
	}
	struct cri_v1_LinuxContainerResources *r =
		linux_resources(k, a, quantity_map_get(&c->resources.requests, S("cpu"), &q), milli_of(&c->resources.requests), cpu, memory);
	r->oom_score_adj = oom_score_adj(a, pod, c, k->capacity_memory);
	return r;
}

// --- The tree ----------------------------------------------------------------------------------------------------------

static str base_path(struct kubelet *k, struct arena *a)
{
	str root = str_c(k->cfg.cgroup_root);
	while (root.n && root.p[root.n - 1] == '/')
		root.n--;
	return k->cfg.cgroups_per_qos ? arena_concat(a, root, S("/kubepods")) : root.n ? root : S("/");
}

str cgroup_pod_path(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod)
{
	str qos = pod_qos_class(a, pod);
	if (k->cgroups == CGROUP_NONE || !k->cfg.cgroups_per_qos)
		return S("");
	str level = str_eqc(qos, "Burstable") ? S("/burstable") : str_eqc(qos, "BestEffort") ? S("/besteffort") : S("");
	return arena_concat(a, base_path(k, a), level, S("/pod"), pod->metadata.uid);
}

static bool mode_of_host(struct kubelet *k, struct error *err)
{
	struct statfs fs;
	str text;
	if (statfs("/sys/fs/cgroup", &fs) == 0 && (unsigned long)fs.f_type == CGROUP2_SUPER_MAGIC) {
		*LIST_ADD(k->arena, &k->cgroup_mounts) = S("/sys/fs/cgroup");
		k->cgroups = CGROUP_V2;
		return true;
	}
	if (!io_read_file(k->arena, "/proc/self/mounts", 1 << 20, &text, err))
		return false;
	for (str rest = text, line; str_next(&rest, '\n', &line);) {
		str device, dir, type, options, tail;
		str_split(line, ' ', &device, &tail);
		str_split(tail, ' ', &dir, &tail);
		str_split(tail, ' ', &type, &tail);
		str_split(tail, ' ', &options, &tail);
		if (!str_eqc(type, "cgroup"))
			continue;
		char *path = arena_cstr(k->arena, dir);
		bool controller = false;
		for (str o = options, one; str_next(&o, ',', &one);) {
			if (str_eqc(one, "cpu"))
				k->cgroup_v1_cpu = path;
			else if (str_eqc(one, "memory"))
				k->cgroup_v1_memory = path;
			else if (str_eqc(one, "cpuacct"))
				k->cgroup_v1_cpuacct = path;
			controller |= !str_has_prefix(one, S("name="));
		}
		if (controller || str_contains(options, S("name=systemd")))
			*LIST_ADD(k->arena, &k->cgroup_mounts) = str_c(path);
	}
	k->cgroups = k->cgroup_v1_cpu && k->cgroup_v1_memory ? CGROUP_V1 : CGROUP_NONE;
	return k->cgroups != CGROUP_NONE || error_set(err, "no cgroup hierarchy with the cpu and memory controllers");
}

static void write_value(const char *dir, const char *file, str value)
{
	char path[4096];
	struct error err = { 0 };
	snprintf(path, sizeof(path), "%s/%s", dir, file);
	if (!io_write_existing(path, value, &err) && err.sys != ENOENT)
		log_debug("cgroup: %s", err.text);
}

// Each by itself: one that the host has not must not keep the others off.
static void give_controllers(const char *dir)
{
	static const char *const controllers[] = { "+cpu", "+memory", "+pids", "+cpuset", "+io" };
	for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
		write_value(dir, "cgroup.subtree_control", str_c(controllers[i]));
}

// mkdir -p below a mount; on v2 each ancestor gives its controllers on.
static bool make(struct kubelet *k, struct arena *a, str mount, str path, char **out, struct error *err)
{
	str done = mount;
	for (str rest = path, part; str_next(&rest, '/', &part);) {
		if (!part.n)
			continue;
		if (k->cgroups == CGROUP_V2)
			give_controllers(arena_cstr(a, done));
		done = arena_concat(a, done, S("/"), part);
		if (mkdir(arena_cstr(a, done), 0755) < 0 && errno != EEXIST) {
			error_errno(err, "mkdir " STR_FMT, STR_ARG(done));
			return false;
		}
	}
	*out = arena_cstr(a, done);
	if (k->cgroups == CGROUP_V2)
		give_controllers(*out);
	return true;
}

// quota_us 0: as it is; memory 0: as it is.
static bool apply(struct kubelet *k, struct arena *a, str path, int64_t shares, int64_t quota_us, int64_t memory, struct error *err)
{
	char *dir;
	if (k->cgroups == CGROUP_V2) {
		if (!make(k, a, k->cgroup_mounts.v[0], path, &dir, err))
			return false;
		write_value(dir, "cpu.weight", arena_printf(a, "%lld", (long long)cpu_weight(shares)));
		if (quota_us)
			write_value(dir, "cpu.max", arena_printf(a, "%lld %d", (long long)quota_us, CPU_PERIOD_US));
		if (memory)
			write_value(dir, "memory.max", arena_printf(a, "%lld", (long long)memory));
		return true;
	}
	if (!make(k, a, str_c(k->cgroup_v1_cpu), path, &dir, err))
		return false;
	write_value(dir, "cpu.shares", arena_printf(a, "%lld", (long long)shares));
	if (quota_us) {
		write_value(dir, "cpu.cfs_period_us", arena_printf(a, "%d", CPU_PERIOD_US));
		write_value(dir, "cpu.cfs_quota_us", arena_printf(a, "%lld", (long long)quota_us));
	}
	if (!make(k, a, str_c(k->cgroup_v1_memory), path, &dir, err))
		return false;
	if (memory)
		write_value(dir, "memory.limit_in_bytes", arena_printf(a, "%lld", (long long)memory));
	return true;
}

bool cgroups_init(struct kubelet *k, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	if (!k->cfg.cgroups_per_qos || !mode_of_host(k, err))
		return !k->cfg.cgroups_per_qos;
	// kubepods gets the shares of the node's allocatable CPUs, so that pods and the system divide it fairly.
	struct quantity q;
	int64_t milli = quantity_map_get(&k->allocatable, S("cpu"), &q) ? quantity_milli(q) : 1000;
	for (size_t i = 0; i < ARRAY_LEN(levels); i++)
		if (!apply(k, a, arena_concat(a, base_path(k, a), str_c(levels[i])), i == 0 ? cpu_shares(milli) : MIN_SHARES, 0, 0, err)) {
			k->cgroups = CGROUP_NONE;
			return error_wrap(err, "cgroups");
		}
	return true;
}

// The burstable level has the shares of all its pods together; without that its pods would starve beside one guaranteed pod.
static void update_burstable(struct kubelet *k, struct arena *a)
{
	int64_t milli = 0;
	pthread_mutex_lock(&k->lock);
	for (struct map_slot *s = NULL; (s = map_each(&k->workers, s));) {
		struct worker *w = s->value;
		if (!w->pod || w->phase >= PHASE_TERMINATED)
			continue;
		const struct core_v1_Pod *pod = object_of(w->pod);
		struct quantity_map requests = { 0 };
		if (!str_eqc(pod_qos_class(a, pod), "Burstable"))
			continue;
		pod_requests(a, pod, &requests);
		milli += milli_of(&requests);
	}
	pthread_mutex_unlock(&k->lock);
	struct error err = { 0 };
	apply(k, a, arena_concat(a, base_path(k, a), S("/burstable")), cpu_shares(milli), 0, 0, &err);
}

bool cgroup_pod_ensure(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod, struct error *err)
{
	if (k->cgroups == CGROUP_NONE || !k->cfg.cgroups_per_qos)
		return true;
	str qos = pod_qos_class(a, pod);
	struct quantity_map requests = { 0 }, limits = { 0 };
	bool cpu_limited = true, memory_limited = true;
	pod_requests(a, pod, &requests);
	pod_limits(a, pod, &limits);
	for (int init = 0; init < 2; init++) {
		const struct core_v1_Container_list *l = init ? &pod->spec.initContainers : &pod->spec.containers;
		for (size_t i = 0; i < l->n; i++) {
			cpu_limited &= declared(&l->v[i].resources.limits, "cpu");
			memory_limited &= declared(&l->v[i].resources.limits, "memory");
		}
	}
	if (pod->spec.resources) {
		cpu_limited |= declared(&pod->spec.resources->limits, "cpu");
		memory_limited |= declared(&pod->spec.resources->limits, "memory");
	}
	int64_t shares = cpu_shares(milli_of(&requests)), quota = 0, memory = 0;
	if (str_eqc(qos, "BestEffort"))
		shares = MIN_SHARES;
	else {
		if (cpu_limited && k->cfg.cfs_quota)
			quota = cpu_quota(milli_of(&limits), CPU_PERIOD_US);
		if (memory_limited)
			memory = bytes_of(&limits);
	}
	if (str_eqc(qos, "Burstable"))
		update_burstable(k, a);
	return apply(k, a, cgroup_pod_path(k, a, pod), shares, quota, memory, err);
}

static void kill_in(const char *dir, struct arena *a)
{
	struct error err = { 0 };
	str text;
	if (!io_read_file(a, arena_cstr(a, arena_printf(a, "%s/cgroup.procs", dir)), 1 << 20, &text, &err))
		return;
	for (str rest = text, line; str_next(&rest, '\n', &line);) {
		int64_t pid;
		if (str_to_i64(line, &pid) && pid > 1)
			kill((pid_t)pid, SIGKILL);
	}
}

// Removes a cgroup and those below it. False when something in it still lives.
static bool remove_dir(const char *dir, struct arena *a, int depth)
{
	_cleanup_closedir_ DIR *d = opendir(dir);
	struct dirent *e;
	if (!d || depth > 8)
		return !d;
	while ((e = readdir(d)))
		if (e->d_type == DT_DIR && strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			remove_dir(arena_cstr(a, arena_printf(a, "%s/%s", dir, e->d_name)), a, depth + 1);
	if (rmdir(dir) == 0 || errno == ENOENT)
		return true;
	kill_in(dir, a);
	return false;
}

void cgroup_pod_remove(struct kubelet *k, struct arena *a, str uid)
{
	if (k->cgroups == CGROUP_NONE || !k->cfg.cgroups_per_qos)
		return;
	// Exiting processes hold a cgroup for a moment after they were reaped.
	for (int tries = 0; tries < 50; tries++) {
		bool gone = true;
		for (size_t m = 0; m < k->cgroup_mounts.n; m++)
			for (size_t l = 0; l < ARRAY_LEN(levels); l++)
				gone &= remove_dir(arena_cstr(a, arena_concat(a, k->cgroup_mounts.v[m], base_path(k, a), str_c(levels[l]), S("/pod"), uid)),
				                   a, 0);
		if (gone)
			return;
		clock_sleep(k->clock, 20 * NS_PER_MS);
	}
	log_warn("cgroup of pod " STR_FMT " cannot be removed yet", STR_ARG(uid));
}

void cgroup_pods(struct kubelet *k, struct arena *a, struct str_list *uids)
{
	for (size_t m = 0; k->cfg.cgroups_per_qos && m < k->cgroup_mounts.n; m++)
		for (size_t l = 0; l < ARRAY_LEN(levels); l++) {
			_cleanup_closedir_ DIR *d =
				opendir(arena_cstr(a, arena_concat(a, k->cgroup_mounts.v[m], base_path(k, a), str_c(levels[l]))));
			struct dirent *e;
			while (d && (e = readdir(d))) {
				str name = str_c(e->d_name);
				bool seen = false;
				if (e->d_type != DT_DIR || !str_cut_prefix(&name, S("pod")))
					continue;
				for (size_t i = 0; i < uids->n; i++)
					seen |= str_eq(uids->v[i], name);
				if (!seen)
					*LIST_ADD(a, uids) = arena_dup(a, name);
			}
		}
}

static uint64_t read_number(struct arena *a, str path, str key)
{
	struct error err = { 0 };
	uint64_t v = 0;
	str text;
	if (!io_read_file(a, arena_cstr(a, path), 1 << 20, &text, &err))
		return 0;
	if (!key.n) {
		str_to_u64(str_trim(text), &v);
		return v;
	}
	for (str rest = text, line; str_next(&rest, '\n', &line);) {
		str name, value;
		if (str_split(line, ' ', &name, &value) && str_eq(name, key))
			str_to_u64(str_trim(value), &v);
	}
	return v;
}

bool cgroup_usage(struct kubelet *k, struct arena *a, str path, struct cgroup_usage *out)
{
	uint64_t inactive;
	*out = (struct cgroup_usage){ 0 };
	if (k->cgroups == CGROUP_V2) {
		str dir = arena_concat(a, k->cgroup_mounts.v[0], path);
		out->cpu_ns = read_number(a, arena_concat(a, dir, S("/cpu.stat")), S("usage_usec")) * 1000;
		out->memory = read_number(a, arena_concat(a, dir, S("/memory.current")), S(""));
		out->rss = read_number(a, arena_concat(a, dir, S("/memory.stat")), S("anon"));
		inactive = read_number(a, arena_concat(a, dir, S("/memory.stat")), S("inactive_file"));
	} else if (k->cgroups == CGROUP_V1) {
		str memory = arena_concat(a, str_c(k->cgroup_v1_memory), path);
		out->cpu_ns = k->cgroup_v1_cpuacct
			? read_number(a, arena_concat(a, str_c(k->cgroup_v1_cpuacct), path, S("/cpuacct.usage")), S("")) : 0;
		out->memory = read_number(a, arena_concat(a, memory, S("/memory.usage_in_bytes")), S(""));
		out->rss = read_number(a, arena_concat(a, memory, S("/memory.stat")), S("total_rss"));
		inactive = read_number(a, arena_concat(a, memory, S("/memory.stat")), S("total_inactive_file"));
	} else {
		return false;
	}
	out->working_set = out->memory > inactive ? out->memory - inactive : 0;
	return true;
}
