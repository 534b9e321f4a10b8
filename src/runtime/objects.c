#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/heap.h"
#include "base/io.h"
#include "base/log.h"
#include "json/json.h"
#include "runtime/server.h"

enum { STATE_FILE_MAX = 16 << 20 };

static const char rpc_reason[] = "RPC";

bool rpc_error(struct error *err, enum grpc_code code, const char *fmt, ...)
{
	char text[sizeof(err->text)];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	error_set(err, "%s", text);
	err->sys = (int)code;
	err->reason = rpc_reason;
	return false;
}

bool rpc_end(struct error *err)
{
	if (err->reason == rpc_reason)
		return false;
	// sys is an errno here.
	err->sys = err->code == 404 ? GRPC_NOT_FOUND : err->code == 504 ? GRPC_DEADLINE_EXCEEDED : err->code == 503 ? GRPC_UNAVAILABLE : GRPC_UNKNOWN;
	return false;
}

int64_t now(void)
{
	return clock_wall(NULL);
}

const char *new_id(struct arena *a)
{
	unsigned char bytes[32];
	rng_fill(NULL, bytes, sizeof(bytes));
	return hex_encode(a, str_n((char *)bytes, sizeof(bytes))).p;
}

struct process process_of(pid_t pid)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error gone = { 0 };
	str text;
	if (pid <= 0 || !io_read_file(a, arena_printf(a, "/proc/%d/stat", (int)pid).p, 8192, &text, &gone))
		return (struct process){ 0 };
	// The name in parentheses may hold anything; what follows the last one is numbers. Field 22 is the start time, 3 the state.
	ptrdiff_t end = str_rfind_char(text, ')');
	str rest = end >= 0 ? str_from(text, (size_t)end + 2) : (str){ 0 }, part;
	uint64_t start = 0;
	for (int field = 3; str_next(&rest, ' ', &part); field++) {
		if (field == 3 && (str_eqc(part, "Z") || str_eqc(part, "X")))
			return (struct process){ 0 };
		if (field == 22 && str_to_u64(part, &start))
			return (struct process){ pid, start };
	}
	return (struct process){ 0 };
}

bool process_alive(const struct process *p)
{
	return p->pid > 0 && process_of(p->pid).start == p->start && p->start != 0;
}

// --- Objects and tables ---

struct sandbox *sandbox_new(struct runtime *rt, struct arena *arena, const char *id)
{
	struct sandbox *s = HEAP_NEW(struct sandbox);
	s->refs = 1;
	pthread_mutex_init(&s->op, NULL);
	s->arena = arena;
	s->id = id;
	s->dir = arena_printf(arena, "%s/sandboxes/%s", rt->opts.state, id).p;
	return s;
}

struct container *container_new(struct runtime *rt, struct arena *arena, const char *id)
{
	struct container *c = HEAP_NEW(struct container);
	c->refs = 1;
	pthread_mutex_init(&c->op, NULL);
	c->arena = arena;
	c->id = id;
	c->bundle = arena_printf(arena, "%s/containers/%s", rt->opts.state, id).p;
	c->dir = arena_printf(arena, "%s/containers/%s", rt->opts.root, id).p;
	c->reason = "";
	return c;
}

void sandbox_put(struct runtime *rt, struct sandbox *s)
{
	lock(rt);
	bool last = --s->refs == 0;
	unlock(rt);
	if (!last)
		return;
	pthread_mutex_destroy(&s->op);
	arena_free(s->arena);
	free(s);
}

void container_put(struct runtime *rt, struct container *c)
{
	lock(rt);
	bool last = --c->refs == 0;
	unlock(rt);
	if (!last)
		return;
	pthread_mutex_destroy(&c->op);
	arena_free(c->arena);
	free(c);
}

struct held { struct runtime *rt; struct container *c; };

static void put_held(void *ctx)
{
	struct held *h = ctx;
	container_put(h->rt, h->c);
}

void container_put_later(struct runtime *rt, struct arena *a, struct container *c)
{
	struct held *h = ARENA_NEW(a, struct held);
	*h = (struct held){ rt, c };
	arena_on_free(a, put_held, h);
}

static void *find(const struct map *m, str id)
{
	void *found = map_get(m, id);
	if (found || id.n < 4)
		return found;
	for (struct map_slot *s = NULL; (s = map_each(m, s));)
		if (str_has_prefix(s->key, id)) {
			if (found)
				return NULL;
			found = s->value;
		}
	return found;
}

struct sandbox *sandbox_get(struct runtime *rt, str id, struct error *err)
{
	lock(rt);
	struct sandbox *s = find(&rt->sandboxes, id);
	if (s)
		s->refs++;
	unlock(rt);
	if (!s)
		rpc_error(err, GRPC_NOT_FOUND, "an error occurred when try to find sandbox: not found: \"" STR_FMT "\"", STR_ARG(id));
	return s;
}

struct container *container_get(struct runtime *rt, str id, struct error *err)
{
	lock(rt);
	struct container *c = find(&rt->containers, id);
	if (c)
		c->refs++;
	unlock(rt);
	if (!c)
		rpc_error(err, GRPC_NOT_FOUND, "an error occurred when try to find container \"" STR_FMT "\": not found", STR_ARG(id));
	return c;
}

static str sandbox_name(struct arena *a, const struct sandbox *s)
{
	const struct cri_v1_PodSandboxMetadata *m = s->config->metadata;
	return arena_printf(a, "s:" STR_FMT "_" STR_FMT "_" STR_FMT "_%" PRIu32, STR_ARG(m->name), STR_ARG(m->namespace), STR_ARG(m->uid), m->attempt);
}

static str container_name(struct arena *a, const struct container *c)
{
	const struct cri_v1_ContainerMetadata *m = c->config->metadata;
	return arena_printf(a, "c:%s_" STR_FMT "_%" PRIu32, c->sandbox_id, STR_ARG(m->name), m->attempt);
}

bool sandbox_insert(struct runtime *rt, struct sandbox *s, struct error *err)
{
	str name = sandbox_name(s->arena, s);
	lock(rt);
	const char *holder = map_get(&rt->reserved, name);
	if (!holder) {
		map_put(&rt->reserved, name, (void *)(uintptr_t)s->id);
		map_put(&rt->sandboxes, str_c(s->id), s);
		s->refs++;
	}
	unlock(rt);
	return !holder || rpc_error(err, GRPC_UNKNOWN, "failed to reserve sandbox name \"" STR_FMT "\": name \"" STR_FMT "\" is reserved for \"%s\"",
	                             STR_ARG(str_from(name, 2)), STR_ARG(str_from(name, 2)), holder);
}

bool container_insert(struct runtime *rt, struct container *c, struct error *err)
{
	str name = container_name(c->arena, c);
	lock(rt);
	const char *holder = map_get(&rt->reserved, name);
	if (!holder) {
		map_put(&rt->reserved, name, (void *)(uintptr_t)c->id);
		map_put(&rt->containers, str_c(c->id), c);
		c->refs++;
	}
	unlock(rt);
	return !holder || rpc_error(err, GRPC_UNKNOWN, "failed to reserve container name \"" STR_FMT "\": name \"" STR_FMT "\" is reserved for \"%s\"",
	                             STR_ARG(str_from(name, 2)), STR_ARG(str_from(name, 2)), holder);
}

void sandbox_forget(struct runtime *rt, struct sandbox *s)
{
	str name = sandbox_name(s->arena, s);
	lock(rt);
	bool had = map_del(&rt->sandboxes, str_c(s->id)) != NULL;
	if (had)
		map_del(&rt->reserved, name);
	s->removed = true;
	unlock(rt);
	if (had)
		sandbox_put(rt, s);
}

void container_forget(struct runtime *rt, struct container *c)
{
	str name = container_name(c->arena, c);
	lock(rt);
	bool had = map_del(&rt->containers, str_c(c->id)) != NULL;
	if (had)
		map_del(&rt->reserved, name);
	c->removed = true;
	pthread_cond_broadcast(&rt->changed);
	unlock(rt);
	if (had)
		container_put(rt, c);
}

struct container **sandbox_containers(struct runtime *rt, struct arena *a, const char *sandbox_id, size_t *n)
{
	struct { struct container **v; size_t n; } l = { 0 };
	lock(rt);
	for (struct map_slot *s = NULL; (s = map_each(&rt->containers, s));) {
		struct container *c = s->value;
		if (strcmp(c->sandbox_id, sandbox_id) == 0) {
			c->refs++;
			*LIST_ADD(a, &l) = c;
		}
	}
	unlock(rt);
	*n = l.n;
	return l.v;
}

// --- Files ---

// As io_write_file, without waiting for the disk.
static bool write_state(struct arena *a, const char *path, str text, struct error *err)
{
	const char *tmp = arena_printf(a, "%s.%016" PRIx64, path, rng_u64(NULL)).p;
	_cleanup_close_ int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(err, "create %s", tmp);
	if (io_write_all(fd, text, err)) {
		if (rename(tmp, path) == 0)
			return true;
		error_errno(err, "rename %s", tmp);
	}
	unlink(tmp);
	return false;
}

static str boot_id(struct arena *a)
{
	str text;
	struct error ignored = { 0 };
	return io_read_file(a, "/proc/sys/kernel/random/boot_id", 256, &text, &ignored) ? str_trim(text) : (str){ 0 };
}

static void put_str(struct arena *a, struct value *v, str key, str s)
{
	if (s.n)
		value_set(a, v, key, value_string(a, s));
}

static void put_int(struct arena *a, struct value *v, str key, int64_t i)
{
	if (i)
		value_set(a, v, key, value_int(a, i));
}

static void put_bool(struct arena *a, struct value *v, str key, bool b)
{
	if (b)
		value_set(a, v, key, value_bool(a, true));
}

static void put_list(struct arena *a, struct value *v, str key, const struct str_list *l)
{
	struct value *list = value_array(a);
	for (size_t i = 0; i < l->n; i++)
		value_append(a, list, value_string(a, l->v[i]));
	if (l->n)
		value_set(a, v, key, list);
}

static void put_process(struct arena *a, struct value *v, str key, const struct process *p)
{
	if (!p->pid)
		return;
	struct value *o = value_object(a);
	value_set(a, o, S("pid"), value_int(a, p->pid));
	value_set(a, o, S("start"), value_int(a, (int64_t)p->start));
	value_set(a, v, key, o);
}

static void put_message(struct arena *a, struct value *v, str key, const struct message_desc *m, const void *obj)
{
	if (obj)
		value_set(a, v, key, schema_to_value(a, m, obj));
}

static int64_t get_int(const struct value *v, str key)
{
	int64_t i = 0;
	value_to_i64(value_get(v, key), &i);
	return i;
}

static bool get_bool(const struct value *v, str key)
{
	const struct value *b = value_get(v, key);
	return value_is(b, V_BOOL) && b->b;
}

static void get_list(struct arena *a, const struct value *v, str key, struct str_list *out)
{
	const struct value *l = value_get(v, key);
	for (size_t i = 0; value_is(l, V_ARRAY) && i < l->a.n; i++)
		*LIST_ADD(a, out) = value_str(l->a.v[i]);
}

static struct process get_process(const struct value *v, str key)
{
	const struct value *p = value_get(v, key);
	return (struct process){ (pid_t)get_int(p, S("pid")), (uint64_t)get_int(p, S("start")) };
}

static void *get_message(struct arena *a, const struct value *v, str key, const struct message_desc *m, struct error *err)
{
	const struct value *o = value_get(v, key);
	return o ? schema_from_value(a, m, o, NULL, err) : NULL;
}

static const char *get_path(struct arena *a, const struct value *v, str key)
{
	str s = value_get_str(v, key);
	return s.n ? arena_cstr(a, s) : NULL;
}

bool sandbox_save(struct runtime *rt, struct sandbox *s, bool complete, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(8192);
	struct value *v = value_object(a);
	value_set(a, v, S("id"), value_string(a, str_c(s->id)));
	put_bool(a, v, S("complete"), complete);
	put_str(a, v, S("boot"), boot_id(a));
	put_str(a, v, S("handler"), s->handler);
	put_int(a, v, S("created"), s->created);
	put_str(a, v, S("netNS"), str_c(s->net_ns));
	put_str(a, v, S("utsNS"), str_c(s->uts_ns));
	put_str(a, v, S("ipcNS"), str_c(s->ipc_ns));
	put_str(a, v, S("hostname"), s->hostname);
	put_str(a, v, S("network"), s->network);
	put_message(a, v, S("config"), cri_v1_PodSandboxConfig_desc, s->config);
	lock(rt);
	put_bool(a, v, S("ready"), s->ready);
	put_bool(a, v, S("networkUp"), s->network_up);
	put_str(a, v, S("result"), s->result);
	put_list(a, v, S("ips"), &s->ips);
	put_process(a, v, S("pause"), &s->pause);
	put_message(a, v, S("resources"), cri_v1_LinuxContainerResources_desc, s->resources);
	put_message(a, v, S("overhead"), cri_v1_LinuxContainerResources_desc, s->overhead);
	unlock(rt);
	return write_state(a, arena_printf(a, "%s/sandboxes/%s.json", rt->opts.root, s->id).p, json_text(a, v, JSON_COMPACT), err);
}

bool container_save(struct runtime *rt, struct container *c, bool complete, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(8192);
	struct value *v = value_object(a), *groups = value_array(a);
	value_set(a, v, S("id"), value_string(a, str_c(c->id)));
	put_bool(a, v, S("complete"), complete);
	put_str(a, v, S("boot"), boot_id(a));
	put_str(a, v, S("sandbox"), str_c(c->sandbox_id));
	put_str(a, v, S("imageID"), c->image_id);
	put_str(a, v, S("imageRef"), c->image_ref);
	put_str(a, v, S("imageName"), c->image_name);
	put_list(a, v, S("chains"), &c->chains);
	put_list(a, v, S("volumeChains"), &c->volumes_images);
	put_str(a, v, S("logPath"), str_c(c->log_path));
	put_str(a, v, S("cgroup"), c->cgroup);
	put_int(a, v, S("stopSignal"), c->stop_signal);
	put_int(a, v, S("uid"), c->uid);
	put_int(a, v, S("gid"), c->gid);
	for (size_t i = 0; i < c->groups.n; i++)
		value_append(a, groups, value_int(a, c->groups.v[i]));
	value_set(a, v, S("groups"), groups);
	put_int(a, v, S("created"), c->created);
	put_message(a, v, S("config"), cri_v1_ContainerConfig_desc, c->config);
	lock(rt);
	put_int(a, v, S("state"), c->state);
	put_int(a, v, S("started"), c->started);
	put_int(a, v, S("finished"), c->finished);
	put_int(a, v, S("exitCode"), c->exit_code);
	put_str(a, v, S("reason"), str_c(c->reason));
	put_str(a, v, S("message"), c->message);
	put_process(a, v, S("process"), &c->process);
	put_process(a, v, S("monitor"), &c->monitor);
	put_int(a, v, S("oomKills"), (int64_t)c->oom_kills);
	put_message(a, v, S("resources"), cri_v1_LinuxContainerResources_desc, c->resources);
	bool removed = c->removed;
	unlock(rt);
	// One that ends while it is being removed must not leave a new file behind.
	return removed || write_state(a, arena_printf(a, "%s/container.json", c->dir).p, json_text(a, v, JSON_COMPACT), err);
}

static struct sandbox *read_sandbox(struct runtime *rt, const char *path, const char *id, bool *complete, bool *same_boot)
{
	struct arena *a = arena_new(8192);
	struct error err = { 0 };
	str text;
	struct value *v = io_read_file(a, path, STATE_FILE_MAX, &text, &err) ? json_parse(a, text, NULL, &err) : NULL;
	struct cri_v1_PodSandboxConfig *config = v ? get_message(a, v, S("config"), cri_v1_PodSandboxConfig_desc, &err) : NULL;
	if (!config || !config->metadata || !str_eqc(value_get_str(v, S("id")), id)) {
		log_warn("%s: %s", path, err.text[0] ? err.text : "not a sandbox");
		arena_free(a);
		return NULL;
	}
	struct sandbox *s = sandbox_new(rt, a, arena_cstr(a, str_c(id)));
	s->config = config;
	s->handler = value_get_str(v, S("handler"));
	s->created = get_int(v, S("created"));
	s->net_ns = get_path(a, v, S("netNS"));
	s->uts_ns = get_path(a, v, S("utsNS"));
	s->ipc_ns = get_path(a, v, S("ipcNS"));
	s->hostname = value_get_str(v, S("hostname"));
	s->network = value_get_str(v, S("network"));
	const struct cri_v1_LinuxSandboxSecurityContext *sc = config->linux_ ? config->linux_->security_context : NULL;
	const struct cri_v1_NamespaceOption *ns = sc ? sc->namespace_options : NULL;
	s->host_network = ns && ns->network == cri_v1_NamespaceMode_NODE;
	s->host_ipc = ns && ns->ipc == cri_v1_NamespaceMode_NODE;
	s->host_pid = ns && ns->pid == cri_v1_NamespaceMode_NODE;
	s->pod_pid = ns && ns->pid == cri_v1_NamespaceMode_POD;
	s->ready = get_bool(v, S("ready"));
	s->network_up = get_bool(v, S("networkUp"));
	s->result = value_get_str(v, S("result"));
	get_list(a, v, S("ips"), &s->ips);
	s->pause = get_process(v, S("pause"));
	s->resources = get_message(a, v, S("resources"), cri_v1_LinuxContainerResources_desc, &err);
	s->overhead = get_message(a, v, S("overhead"), cri_v1_LinuxContainerResources_desc, &err);
	*complete = s->complete = get_bool(v, S("complete"));
	*same_boot = str_eq(value_get_str(v, S("boot")), boot_id(a));
	return s;
}

static struct container *read_container(struct runtime *rt, const char *path, const char *id, bool *complete, bool *same_boot)
{
	struct arena *a = arena_new(8192);
	struct error err = { 0 };
	str text;
	struct value *v = io_read_file(a, path, STATE_FILE_MAX, &text, &err) ? json_parse(a, text, NULL, &err) : NULL;
	struct cri_v1_ContainerConfig *config = v ? get_message(a, v, S("config"), cri_v1_ContainerConfig_desc, &err) : NULL;
	if (!config || !config->metadata || !str_eqc(value_get_str(v, S("id")), id)) {
		log_warn("%s: %s", path, err.text[0] ? err.text : "not a container");
		arena_free(a);
		return NULL;
	}
	struct container *c = container_new(rt, a, arena_cstr(a, str_c(id)));
	c->config = config;
	c->sandbox_id = arena_cstr(a, value_get_str(v, S("sandbox")));
	c->image_id = value_get_str(v, S("imageID"));
	c->image_ref = value_get_str(v, S("imageRef"));
	c->image_name = value_get_str(v, S("imageName"));
	get_list(a, v, S("chains"), &c->chains);
	get_list(a, v, S("volumeChains"), &c->volumes_images);
	c->log_path = get_path(a, v, S("logPath"));
	c->cgroup = value_get_str(v, S("cgroup"));
	c->stop_signal = (int)get_int(v, S("stopSignal"));
	c->uid = get_int(v, S("uid"));
	c->gid = get_int(v, S("gid"));
	const struct value *groups = value_get(v, S("groups"));
	for (size_t i = 0; value_is(groups, V_ARRAY) && i < groups->a.n; i++)
		value_to_i64(groups->a.v[i], LIST_ADD(a, &c->groups));
	c->created = get_int(v, S("created"));
	c->state = (int)get_int(v, S("state"));
	c->started = get_int(v, S("started"));
	c->finished = get_int(v, S("finished"));
	c->exit_code = (int)get_int(v, S("exitCode"));
	c->reason = arena_cstr(a, value_get_str(v, S("reason")));
	c->message = value_get_str(v, S("message"));
	c->process = get_process(v, S("process"));
	c->monitor = get_process(v, S("monitor"));
	c->oom_kills = (uint64_t)get_int(v, S("oomKills"));
	c->resources = get_message(a, v, S("resources"), cri_v1_LinuxContainerResources_desc, &err);
	*complete = get_bool(v, S("complete"));
	*same_boot = str_eq(value_get_str(v, S("boot")), boot_id(a));
	return c;
}

struct names { str *v; size_t n; };

static bool list_dir(struct arena *a, const char *dir, struct names *out, struct error *err)
{
	_cleanup_closedir_ DIR *d = opendir(dir);
	if (!d)
		return error_errno(err, "%s", dir);
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] != '.')
			*LIST_ADD(a, out) = arena_dup(a, str_c(e->d_name));
	return true;
}

static bool id_valid(str id)
{
	if (id.n != 64)
		return false;
	for (size_t i = 0; i < id.n; i++)
		if (!strchr("0123456789abcdef", id.p[i]))
			return false;
	return true;
}

static void load_sandbox(struct runtime *rt, const char *path, const char *id)
{
	bool complete, same_boot;
	struct error err = { 0 };
	struct sandbox *s = read_sandbox(rt, path, id, &complete, &same_boot);
	if (!s || !complete || !sandbox_insert(rt, s, &err)) {
		// The kubelet never heard of it, or it cannot be read: what it left on the machine goes.
		log_info("sandbox %s was not finished: removing it", id);
		if (!s) {
			s = sandbox_new(rt, arena_new(0), id);
			s->dir = arena_printf(s->arena, "%s/sandboxes/%s", rt->opts.state, id).p;
		}
		if (!sandbox_clean(rt, s, &err))
			log_warn("sandbox %s: %s", id, err.text);
		else
			unlink(path);
	} else if (s->ready && (!same_boot || !sandbox_usable(s) || (s->pause.pid && !process_alive(&s->pause)))) {
		s->ready = false;
		if (!sandbox_save(rt, s, true, &err))
			log_warn("sandbox %s: %s", id, err.text);
	}
	sandbox_put(rt, s);
}

static void load_container(struct runtime *rt, const char *path, const char *id)
{
	bool complete, same_boot;
	struct error err = { 0 };
	struct container *c = read_container(rt, path, id, &complete, &same_boot);
	if (!c || !complete || !container_insert(rt, c, &err)) {
		log_info("container %s was not finished: removing it", id);
		if (!c)
			c = container_new(rt, arena_new(0), id);
		if (!container_clean(rt, c, &err))
			log_warn("container %s: %s", id, err.text);
		container_put(rt, c);
		return;
	}
	if (c->state == cri_v1_ContainerState_CONTAINER_CREATED)
		container_adopt(rt, c);
	if (c->state == cri_v1_ContainerState_CONTAINER_RUNNING) {
		if (!same_boot)
			c->process = c->monitor = (struct process){ 0 };
		if (!monitor_check(rt, c))
			monitor_watch(rt, c);
	}
	container_put(rt, c);
}

// Directories without a state file: their owner was deleted, or never got that far.
static void sweep(struct runtime *rt, struct arena *a, const char *base, const struct map *known, bool sandboxes)
{
	struct names l = { 0 };
	struct error err = { 0 };
	if (!list_dir(a, base, &l, &err))
		return;
	for (size_t i = 0; i < l.n; i++) {
		if (!id_valid(l.v[i]) || map_has(known, l.v[i]))
			continue;
		struct arena *own = arena_new(0);
		const char *id = arena_cstr(own, l.v[i]);
		struct error e = { 0 };
		bool ok;
		if (sandboxes) {
			struct sandbox *s = sandbox_new(rt, own, id);
			ok = sandbox_clean(rt, s, &e);
			sandbox_put(rt, s);
		} else {
			struct container *c = container_new(rt, own, id);
			ok = container_clean(rt, c, &e);
			container_put(rt, c);
		}
		if (!ok)
			log_warn("%s/" STR_FMT ": %s", base, STR_ARG(l.v[i]), e.text);
	}
}

bool objects_load(struct runtime *rt, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	const char *sandboxes = arena_printf(a, "%s/sandboxes", rt->opts.root).p, *containers = arena_printf(a, "%s/containers", rt->opts.root).p;
	struct names l = { 0 };
	// Containers first: those of a sandbox that goes must be known to be stopped.
	if (!list_dir(a, containers, &l, err))
		return false;
	for (size_t i = 0; i < l.n; i++)
		if (id_valid(l.v[i]))
			load_container(rt, arena_printf(a, "%s/" STR_FMT "/container.json", containers, STR_ARG(l.v[i])).p, l.v[i].p);
	l.n = 0;
	if (!list_dir(a, sandboxes, &l, err))
		return false;
	for (size_t i = 0; i < l.n; i++) {
		str id = l.v[i];
		const char *path = arena_printf(a, "%s/" STR_FMT, sandboxes, STR_ARG(id)).p;
		if (str_cut_suffix(&id, S(".json")) && id_valid(id))
			load_sandbox(rt, path, arena_cstr(a, id));
		else
			unlink(path); // of a write that was cut short
	}
	sweep(rt, a, arena_printf(a, "%s/containers", rt->opts.state).p, &rt->containers, false);
	sweep(rt, a, arena_printf(a, "%s/sandboxes", rt->opts.state).p, &rt->sandboxes, true);
	return true;
}
