#include <fts.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "base/io.h"
#include "runtime/cgroup.h"
#include "runtime/server.h"

static struct cri_v1_UInt64Value *u64(struct arena *a, uint64_t v)
{
	struct cri_v1_UInt64Value *p = ARENA_NEW(a, struct cri_v1_UInt64Value);
	p->value = v;
	return p;
}

static struct cri_v1_CpuUsage *cpu_usage(struct arena *a, const struct cgroup_stats *s)
{
	struct cri_v1_CpuUsage *c = ARENA_NEW(a, struct cri_v1_CpuUsage);
	c->timestamp = now();
	c->usage_core_nano_seconds = u64(a, s->cpu_ns);
	return c;
}

static struct cri_v1_MemoryUsage *memory_usage(struct arena *a, const struct cgroup_stats *s)
{
	struct cri_v1_MemoryUsage *m = ARENA_NEW(a, struct cri_v1_MemoryUsage);
	m->timestamp = now();
	m->working_set_bytes = u64(a, s->working_set);
	m->usage_bytes = u64(a, s->memory);
	m->rss_bytes = u64(a, s->rss);
	m->page_faults = u64(a, s->page_faults);
	m->major_page_faults = u64(a, s->major_faults);
	if (s->memory_limit)
		m->available_bytes = u64(a, s->memory_limit > s->working_set ? s->memory_limit - s->working_set : 0);
	return m;
}

// What the container wrote into its own layer.
static struct cri_v1_FilesystemUsage *layer_usage(struct runtime *rt, struct arena *a, const struct container *c)
{
	uint64_t bytes = 0, inodes = 0;
	char *const paths[] = { arena_cstr(a, arena_printf(a, "%s/upper", c->dir)), NULL };
	FTS *f = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	for (FTSENT *e; f && (e = fts_read(f));)
		if (e->fts_info != FTS_DP && e->fts_statp) {
			bytes += (uint64_t)e->fts_statp->st_blocks * 512;
			inodes++;
		}
	if (f)
		fts_close(f);
	struct cri_v1_FilesystemUsage *u = ARENA_NEW(a, struct cri_v1_FilesystemUsage);
	u->timestamp = now();
	u->fs_id = ARENA_NEW(a, struct cri_v1_FilesystemIdentifier);
	u->fs_id->mountpoint = str_c(rt->opts.root);
	u->used_bytes = u64(a, bytes);
	u->inodes_used = u64(a, inodes);
	return u;
}

void container_stats(struct runtime *rt, struct arena *a, struct container *c, struct cri_v1_ContainerStats *out)
{
	struct cgroup_stats s;
	cgroup_read(a, rt->cgroup_v2, c->cgroup, &s);
	out->attributes = ARENA_NEW(a, struct cri_v1_ContainerAttributes);
	out->attributes->id = arena_dup(a, str_c(c->id));
	out->attributes->metadata = c->config->metadata;
	out->attributes->labels = c->config->labels;
	out->attributes->annotations = c->config->annotations;
	if (s.found) {
		out->cpu = cpu_usage(a, &s);
		out->memory = memory_usage(a, &s);
		if (s.has_swap) {
			out->swap = ARENA_NEW(a, struct cri_v1_SwapUsage);
			out->swap->timestamp = now();
			out->swap->swap_usage_bytes = u64(a, s.swap);
		}
	}
	out->writable_layer = layer_usage(rt, a, c);
}

// /proc/PID/net/dev of a process in the pod: "eth0: rx_bytes packets errs drop ... tx_bytes packets errs ...".
static struct cri_v1_NetworkUsage *network_usage(struct arena *a, pid_t pid)
{
	str text;
	struct error gone = { 0 };
	if (!io_read_file(a, arena_printf(a, "/proc/%d/net/dev", (int)pid).p, 64 * 1024, &text, &gone))
		return NULL;
	struct cri_v1_NetworkUsage *net = ARENA_NEW(a, struct cri_v1_NetworkUsage);
	net->timestamp = now();
	for (str rest = text, line; str_next(&rest, '\n', &line);) {
		str name, values;
		if (!str_split(line, ':', &name, &values) || str_eqc(str_trim(name), "lo"))
			continue;
		uint64_t n[16] = { 0 };
		size_t count = 0;
		for (str left = values, word; count < ARRAY_LEN(n) && str_next(&left, ' ', &word);)
			if (word.n && str_to_u64(word, &n[count]))
				count++;
		struct cri_v1_NetworkInterfaceUsage *u = LIST_ADD(a, &net->interfaces);
		*u = (struct cri_v1_NetworkInterfaceUsage){ str_trim(name), u64(a, n[0]), u64(a, n[2]), u64(a, n[8]), u64(a, n[10]) };
	}
	for (size_t i = 0; i < net->interfaces.n; i++)
		if (str_eqc(net->interfaces.v[i].name, "eth0")) {
			net->default_interface = ARENA_NEW(a, struct cri_v1_NetworkInterfaceUsage);
			*net->default_interface = net->interfaces.v[i];
		}
	return net;
}

void sandbox_stats(struct runtime *rt, struct arena *a, struct sandbox *s, struct cri_v1_PodSandboxStats *out)
{
	out->attributes = ARENA_NEW(a, struct cri_v1_PodSandboxAttributes);
	out->attributes->id = arena_dup(a, str_c(s->id));
	out->attributes->metadata = s->config->metadata;
	out->attributes->labels = s->config->labels;
	out->attributes->annotations = s->config->annotations;
	struct cri_v1_LinuxPodSandboxStats *l = out->linux_ = ARENA_NEW(a, struct cri_v1_LinuxPodSandboxStats);
	str parent = s->config->linux_ ? s->config->linux_->cgroup_parent : (str){ 0 };
	struct cgroup_stats pod = { 0 };
	if (parent.n)
		cgroup_read(a, rt->cgroup_v2, parent, &pod);
	pid_t someone = 0;
	size_t n;
	struct container **containers = sandbox_containers(rt, a, s->id, &n);
	for (size_t i = 0; i < n; i++) {
		container_put_later(rt, a, containers[i]);
		lock(rt);
		bool running = containers[i]->state == cri_v1_ContainerState_CONTAINER_RUNNING;
		if (running)
			someone = containers[i]->process.pid;
		unlock(rt);
		if (running)
			container_stats(rt, a, containers[i], LIST_ADD(a, &l->containers));
	}
	if (pod.found) {
		l->cpu = cpu_usage(a, &pod);
		l->memory = memory_usage(a, &pod);
		l->process = ARENA_NEW(a, struct cri_v1_ProcessUsage);
		l->process->timestamp = now();
		l->process->process_count = u64(a, pod.pids);
	}
	if (someone && !s->host_network)
		l->network = network_usage(a, someone);
}
