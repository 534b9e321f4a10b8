#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#include "base/io.h"
#include "kubelet/node.h"
#include "schema/quantity.h"

#define IMAGES_MAX 50
#define NAMES_MAX 5
#define MEMORY_RESERVE (100LL << 20) // what upstream's default eviction threshold keeps free
#define MI (1LL << 20)

static str first_line(struct arena *a, const char *path)
{
	struct error err = { 0 };
	str text, line, rest;
	if (!io_read_file(a, path, 65536, &text, &err))
		return S("");
	str_split(text, '\n', &line, &rest);
	return str_trim(line);
}

static str os_image(struct arena *a)
{
	struct error err = { 0 };
	str text;
	if (io_read_file(a, "/etc/os-release", 65536, &text, &err))
		for (str rest = text, line; str_next(&rest, '\n', &line);) {
			if (!str_cut_prefix(&line, S("PRETTY_NAME=")))
				continue;
			str_cut_prefix(&line, S("\""));
			str_cut_suffix(&line, S("\""));
			return line;
		}
	return S("Linux");
}

void node_system_info(struct kubelet *k, struct arena *a, struct core_v1_NodeSystemInfo *out)
{
	struct utsname u;
	uname(&u);
	*out = (struct core_v1_NodeSystemInfo){
		.machineID = first_line(a, "/etc/machine-id"),
		.systemUUID = first_line(a, "/sys/class/dmi/id/product_uuid"),
		.bootID = first_line(a, "/proc/sys/kernel/random/boot_id"),
		.kernelVersion = arena_dup(a, str_c(u.release)),
		.osImage = os_image(a),
		.containerRuntimeVersion = arena_concat(a, k->runtime_name, S("://"), k->runtime_version),
		.kubeletVersion = S(KUBELET_VERSION),
		.operatingSystem = S("linux"),
#if defined(__aarch64__)
		.architecture = S("arm64"),
#else
		.architecture = S("amd64"),
#endif
	};
	if (!out->systemUUID.n)
		out->systemUUID = out->machineID;
}

static int64_t memory_total(struct arena *a)
{
	struct error err = { 0 };
	str text;
	int64_t kib = 0;
	if (io_read_file(a, "/proc/meminfo", 65536, &text, &err))
		for (str rest = text, line; str_next(&rest, '\n', &line);)
			if (str_cut_prefix(&line, S("MemTotal:"))) {
				line = str_trim(line);
				str_cut_suffix(&line, S(" kB"));
				str_to_i64(str_trim(line), &kib);
			}
	return kib * 1024;
}

static struct quantity ki(struct arena *a, int64_t bytes)
{
	return quantity_of(a, bytes / 1024 * 1024, true);
}

bool node_capacity(struct kubelet *k, struct arena *a, struct quantity_map *capacity, struct quantity_map *allocatable, struct error *err)
{
	struct statvfs fs;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int64_t memory = memory_total(a), disk = 0;
	if (cpus < 1 || memory <= 0)
		return error_set(err, "cannot find out how many CPUs and how much memory there is");
	if (statvfs(k->cfg.root_dir, &fs) == 0)
		disk = (int64_t)fs.f_blocks * (int64_t)fs.f_frsize;
	*capacity = *allocatable = (struct quantity_map){ 0 };
	quantity_map_set(a, capacity, S("cpu"), quantity_of(a, cpus, false));
	quantity_map_set(a, capacity, S("memory"), ki(a, memory));
	quantity_map_set(a, capacity, S("ephemeral-storage"), ki(a, disk));
	quantity_map_set(a, capacity, S("pods"), quantity_of(a, k->cfg.max_pods, false));
	quantity_map_set(a, capacity, S("hugepages-1Gi"), quantity_of(a, 0, false));
	quantity_map_set(a, capacity, S("hugepages-2Mi"), quantity_of(a, 0, false));
	for (size_t i = 0; i < capacity->n; i++) {
		str key = capacity->v[i].key;
		struct quantity q = capacity->v[i].value, r;
		if (str_eqc(key, "memory") && memory > 2 * MEMORY_RESERVE)
			q = ki(a, memory - MEMORY_RESERVE);
		if (str_eqc(key, "ephemeral-storage"))
			q = quantity_of(a, disk / 10 * 9, false);
		if (quantity_map_get(&k->cfg.reserved, key, &r)) {
			q = quantity_sub(a, q, r);
			if (quantity_sign(q) < 0)
				q = quantity_of(a, 0, false);
		}
		quantity_map_set(a, allocatable, key, q);
	}
	k->capacity_memory = memory;
	k->capacity_cpu_milli = cpus * 1000;
	return true;
}

// The address that leads out by the default route; otherwise the first one that is no loopback.
static bool find_address(struct arena *a, str *out)
{
	struct ifaddrs *list;
	char route_if[IF_NAMESIZE] = "", text[INET_ADDRSTRLEN];
	struct error err = { 0 };
	str routes;
	bool found = false;
	if (io_read_file(a, "/proc/net/route", 1 << 20, &routes, &err))
		for (str rest = routes, line; str_next(&rest, '\n', &line);) {
			str name, tail, destination;
			str_split(line, '\t', &name, &tail);
			str_split(tail, '\t', &destination, &tail);
			if (str_eqc(destination, "00000000") && name.n < sizeof(route_if))
				snprintf(route_if, sizeof(route_if), STR_FMT, STR_ARG(name));
		}
	if (getifaddrs(&list) < 0)
		return false;
	for (int pass = 0; pass < 2 && !found; pass++)
		for (struct ifaddrs *i = list; i && !found; i = i->ifa_next) {
			if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || (i->ifa_flags & IFF_LOOPBACK) || !(i->ifa_flags & IFF_UP))
				continue;
			if (pass == 0 && strcmp(i->ifa_name, route_if) != 0)
				continue;
			inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr, text, sizeof(text));
			*out = arena_dup(a, str_c(text));
			found = true;
		}
	freeifaddrs(list);
	return found;
}

bool node_addresses(struct kubelet *k, struct arena *a, struct str_list *ips, struct error *err)
{
	str found;
	if (k->cfg.node_ip) {
		for (str rest = str_c(k->cfg.node_ip), part; str_next(&rest, ',', &part);) {
			if (!ip_valid(part))
				return error_set(err, "--node-ip: not an address: " STR_FMT, STR_ARG(part));
			*LIST_ADD(a, ips) = arena_dup(a, part);
		}
		return ips->n > 0 || error_set(err, "--node-ip: no address");
	}
	if (ip_valid(k->node_name)) {
		*LIST_ADD(a, ips) = k->node_name;
		return true;
	}
	if (!find_address(a, &found))
		return error_set(err, "can't get ip address of node " STR_FMT ". Pass --node-ip", STR_ARG(k->node_name));
	*LIST_ADD(a, ips) = found;
	return true;
}

static int greatest_first(const void *x, const void *y)
{
	const struct cri_v1_Image *m = x, *n = y;
	return m->size < n->size ? 1 : m->size > n->size ? -1 : str_cmp(m->id, n->id);
}

void node_images(struct kubelet *k, struct arena *a, struct core_v1_ContainerImage_list *out)
{
	struct error err = { 0 };
	struct cri_v1_ListImagesRequest r = { 0 };
	struct cri_v1_ListImagesResponse *l = CRI_IMAGE(&k->cri, a, ListImages, &r, 5000, &err);
	if (!l)
		return;
	if (l->images.n)
		qsort(l->images.v, l->images.n, sizeof(*l->images.v), greatest_first);
	for (size_t i = 0; i < l->images.n && out->n < IMAGES_MAX; i++) {
		const struct cri_v1_Image *m = &l->images.v[i];
		struct core_v1_ContainerImage *o = LIST_ADD(a, out);
		o->sizeBytes = (int64_t)m->size;
		for (size_t n = 0; n < m->repo_digests.n && o->names.n < NAMES_MAX; n++)
			*LIST_ADD(a, &o->names) = m->repo_digests.v[n];
		for (size_t n = 0; n < m->repo_tags.n && o->names.n < NAMES_MAX; n++)
			*LIST_ADD(a, &o->names) = m->repo_tags.v[n];
	}
}

static int64_t meminfo_available(struct arena *a)
{
	struct error err = { 0 };
	str text;
	int64_t kib = INT64_MAX / 1024;
	if (io_read_file(a, "/proc/meminfo", 65536, &text, &err))
		for (str rest = text, line; str_next(&rest, '\n', &line);)
			if (str_cut_prefix(&line, S("MemAvailable:"))) {
				line = str_trim(line);
				str_cut_suffix(&line, S(" kB"));
				str_to_i64(str_trim(line), &kib);
			}
	return kib * 1024;
}

void node_pressure(struct kubelet *k, bool *memory, bool *disk, bool *pids)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct statvfs fs;
	*memory = meminfo_available(a) < 100 * MI;
	*disk = statvfs(k->cfg.root_dir, &fs) == 0 && fs.f_blocks > 0 &&
	        ((uint64_t)fs.f_bavail * 10 < fs.f_blocks || (fs.f_files > 0 && (uint64_t)fs.f_favail * 20 < fs.f_files));
	*pids = false;
	// "0.00 0.01 0.05 2/300 12345": existing tasks over the greatest number of them.
	str load = first_line(a, "/proc/loadavg"), part = S(""), running, total;
	int64_t n, most;
	str rest = load;
	for (int i = 0; i < 4; i++)
		if (!str_next(&rest, ' ', &part))
			part = S("");
	if (str_split(part, '/', &running, &total) && str_to_i64(total, &n) && str_to_i64(first_line(a, "/proc/sys/kernel/pid_max"), &most))
		*pids = n * 20 > most * 19;
}
