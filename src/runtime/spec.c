#include "runtime/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/io.h"
#include "json/json.h"
#include "runtime/caps.h"
#include "runtime/seccomp_profile.h"
#include "runtime/spec_internal.h"

static struct value *strings(struct arena *a, const struct str_list *l)
{
	struct value *v = value_array(a);
	for (size_t i = 0; i < l->n; i++)
		value_append(a, v, value_string(a, l->v[i]));
	return v;
}

static void set_str(struct arena *a, struct value *o, str key, str s)
{
	value_set(a, o, key, value_string(a, s));
}

bool spec_args(struct arena *a, const struct cri_v1_ContainerConfig *c, const struct image_config *image, struct str_list *out, struct error *err)
{
	*out = (struct str_list){ 0 };
	const struct str_list *entry = c->command.n ? &c->command : &image->entrypoint;
	const struct str_list *args = c->args.n || c->command.n ? &c->args : &image->cmd;
	for (size_t i = 0; i < entry->n; i++)
		*LIST_ADD(a, out) = entry->v[i];
	for (size_t i = 0; i < args->n; i++)
		*LIST_ADD(a, out) = args->v[i];
	if (out->n == 0 || out->v[0].n == 0)
		return error_api(err, 400, "BadRequest", "no command specified");
	return true;
}

// --- Process ---

static void env_set(struct arena *a, struct str_list *env, str name, str value)
{
	str line = arena_concat(a, name, S("="), value);
	for (size_t i = 0; i < env->n; i++)
		if (env->v[i].n > name.n && memcmp(env->v[i].p, name.p, name.n) == 0 && env->v[i].p[name.n] == '=') {
			env->v[i] = line;
			return;
		}
	*LIST_ADD(a, env) = line;
}

static bool env_has(const struct str_list *env, str name)
{
	for (size_t i = 0; i < env->n; i++)
		if (env->v[i].n > name.n && memcmp(env->v[i].p, name.p, name.n) == 0 && env->v[i].p[name.n] == '=')
			return true;
	return false;
}

static struct value *environment(struct arena *a, const struct spec_input *in)
{
	struct str_list env = { 0 };
	const struct cri_v1_ContainerConfig *c = in->config;
	env_set(a, &env, S("PATH"), S("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
	if (c->tty)
		env_set(a, &env, S("TERM"), S("xterm"));
	env_set(a, &env, S("HOSTNAME"), in->hostname_text);
	for (size_t i = 0; i < in->image->env.n; i++) {
		str name, value;
		if (str_split(in->image->env.v[i], '=', &name, &value) && name.n)
			env_set(a, &env, name, value);
	}
	for (size_t i = 0; i < c->envs.n; i++)
		if (c->envs.v[i].key.n)
			env_set(a, &env, c->envs.v[i].key, c->envs.v[i].value);
	if (!env_has(&env, S("HOME")))
		env_set(a, &env, S("HOME"), in->user->home.n ? in->user->home : S("/"));
	return strings(a, &env);
}

static struct value *process(struct arena *a, const struct spec_input *in, uint64_t caps, struct error *err)
{
	const struct cri_v1_ContainerConfig *c = in->config;
	const struct cri_v1_LinuxContainerSecurityContext *sc = c->linux_ ? c->linux_->security_context : NULL;
	struct str_list args;
	if (!spec_args(a, c, in->image, &args, err))
		return NULL;
	struct value *p = value_object(a), *user = value_object(a), *groups = value_array(a);
	value_set(a, p, S("terminal"), value_bool(a, c->tty));
	value_set(a, user, S("uid"), value_int(a, in->user->uid));
	value_set(a, user, S("gid"), value_int(a, in->user->gid));
	for (size_t i = 0; i < in->user->groups.n; i++)
		value_append(a, groups, value_int(a, in->user->groups.v[i]));
	value_set(a, user, S("additionalGids"), groups);
	value_set(a, p, S("user"), user);
	value_set(a, p, S("args"), strings(a, &args));
	value_set(a, p, S("env"), environment(a, in));
	str cwd = c->working_dir.n ? c->working_dir : in->image->working_dir.n ? in->image->working_dir : S("/");
	if (cwd.p[0] != '/')
		cwd = arena_concat(a, S("/"), cwd);
	set_str(a, p, S("cwd"), cwd);

	struct value *sets = value_object(a), *list = caps_value(a, caps & in->caps_available);
	value_set(a, sets, S("bounding"), list);
	value_set(a, sets, S("effective"), list);
	value_set(a, sets, S("permitted"), list);
	if (sc && sc->capabilities && sc->capabilities->add_ambient_capabilities.n) {
		uint64_t ambient;
		if (!caps_apply(0, &sc->capabilities->add_ambient_capabilities, &(struct str_list){ 0 }, &ambient, err))
			return NULL;
		value_set(a, sets, S("inheritable"), caps_value(a, ambient & caps & in->caps_available));
		value_set(a, sets, S("ambient"), caps_value(a, ambient & caps & in->caps_available));
	}
	value_set(a, p, S("capabilities"), sets);
	value_set(a, p, S("noNewPrivileges"), value_bool(a, sc && sc->no_new_privs));
	const struct cri_v1_LinuxContainerResources *r = c->linux_ ? c->linux_->resources : NULL;
	int64_t adj = r ? r->oom_score_adj : 0;
	value_set(a, p, S("oomScoreAdj"), value_int(a, MAX(adj, (int64_t)in->oom_score_adj_min)));
	return p;
}

struct value *spec_exec_process(struct arena *a, const struct value *spec, const struct str_list *cmd, bool tty)
{
	struct value *p = value_clone(a, value_get(spec, S("process")));
	value_set(a, p, S("args"), strings(a, cmd));
	value_set(a, p, S("terminal"), value_bool(a, tty));
	if (tty) {
		struct value *env = value_get(p, S("env"));
		bool found = false;
		for (size_t i = 0; value_is(env, V_ARRAY) && i < env->a.n; i++)
			found |= str_has_prefix(value_str(env->a.v[i]), S("TERM="));
		if (!found && env)
			value_append(a, env, value_string(a, S("TERM=xterm")));
	}
	return p;
}

// --- Resources ---

struct value *spec_resources(struct arena *a, const struct cri_v1_LinuxContainerResources *r, bool v2, bool has_swap, bool has_hugetlb)
{
	struct value *out = value_object(a), *cpu = value_object(a), *memory = value_object(a);
	if (!r)
		return out;
	if (r->cpu_shares > 0)
		value_set(a, cpu, S("shares"), value_int(a, r->cpu_shares));
	if (r->cpu_quota != 0)
		value_set(a, cpu, S("quota"), value_int(a, r->cpu_quota));
	if (r->cpu_period > 0)
		value_set(a, cpu, S("period"), value_int(a, r->cpu_period));
	if (r->cpuset_cpus.n)
		set_str(a, cpu, S("cpus"), r->cpuset_cpus);
	if (r->cpuset_mems.n)
		set_str(a, cpu, S("mems"), r->cpuset_mems);
	if (r->memory_limit_in_bytes != 0) {
		value_set(a, memory, S("limit"), value_int(a, r->memory_limit_in_bytes));
		// Without a word about swap a container gets none beyond its limit.
		if (has_swap)
			value_set(a, memory, S("swap"), value_int(a, r->memory_swap_limit_in_bytes ? r->memory_swap_limit_in_bytes : r->memory_limit_in_bytes));
	}
	if (cpu->o.n)
		value_set(a, out, S("cpu"), cpu);
	if (memory->o.n)
		value_set(a, out, S("memory"), memory);
	if (has_hugetlb && r->hugepage_limits.n) {
		struct value *l = value_array(a);
		for (size_t i = 0; i < r->hugepage_limits.n; i++) {
			struct value *h = value_object(a);
			set_str(a, h, S("pageSize"), r->hugepage_limits.v[i].page_size);
			value_set(a, h, S("limit"), value_int(a, (int64_t)MIN(r->hugepage_limits.v[i].limit, (uint64_t)INT64_MAX)));
			value_append(a, l, h);
		}
		value_set(a, out, S("hugepageLimits"), l);
	}
	if (v2 && r->unified.n) {
		struct value *u = value_object(a);
		for (size_t i = 0; i < r->unified.n; i++)
			set_str(a, u, r->unified.v[i].key, r->unified.v[i].value);
		value_set(a, out, S("unified"), u);
	}
	return out;
}

// --- Namespaces ---

static void namespace(struct arena *a, struct value *list, str type, const char *path)
{
	struct value *v = value_object(a);
	set_str(a, v, S("type"), type);
	if (path)
		set_str(a, v, S("path"), str_c(path));
	value_append(a, list, v);
}

static struct value *namespaces(struct arena *a, const struct spec_input *in)
{
	struct value *l = value_array(a);
	namespace(a, l, S("mount"), NULL);
	if (!in->host_pid)
		namespace(a, l, S("pid"), in->pid_ns);
	if (in->net_ns)
		namespace(a, l, S("network"), in->net_ns);
	if (in->uts_ns)
		namespace(a, l, S("uts"), in->uts_ns);
	if (in->ipc_ns)
		namespace(a, l, S("ipc"), in->ipc_ns);
	if (in->cgroup_v2)
		namespace(a, l, S("cgroup"), NULL);
	return l;
}

// --- Security ---

static bool seccomp(struct arena *a, const struct cri_v1_LinuxContainerSecurityContext *sc, uint64_t caps, struct value *linux_value, struct error *err)
{
	const struct cri_v1_SecurityProfile *p = sc ? sc->seccomp : NULL;
	if (!p || sc->privileged || p->profile_type == cri_v1_SecurityProfile_ProfileType_Unconfined)
		return true;
	if (p->profile_type == cri_v1_SecurityProfile_ProfileType_RuntimeDefault) {
		value_set(a, linux_value, S("seccomp"), seccomp_default(a, caps));
		return true;
	}
	str text;
	const char *path = arena_cstr(a, p->localhost_ref);
	if (p->localhost_ref.n == 0 || path[0] != '/')
		return error_api(err, 400, "BadRequest", "seccomp profile \"%s\" is no absolute path", path);
	if (!io_read_file(a, path, 4 << 20, &text, err))
		return error_wrap(err, "cannot load seccomp profile");
	struct value *v = json_parse(a, text, NULL, err);
	if (!v)
		return error_wrap(err, "decoding seccomp profile %s", path);
	if (v->kind != V_OBJECT || !value_get_str(v, S("defaultAction")).n)
		return error_api(err, 400, "BadRequest", "seccomp profile %s has no defaultAction", path);
	value_set(a, linux_value, S("seccomp"), v);
	return true;
}

static bool refuse_apparmor(const struct cri_v1_LinuxContainerSecurityContext *sc, struct error *err)
{
	if (!sc)
		return true;
	bool demanded = sc->apparmor ? sc->apparmor->profile_type == cri_v1_SecurityProfile_ProfileType_Localhost
	                             : str_has_prefix(sc->apparmor_profile, S("localhost/"));
	return !demanded || error_api(err, 400, "BadRequest", "apparmor is not supported");
}

bool spec_capabilities(const struct cri_v1_LinuxContainerSecurityContext *sc, uint64_t available, uint64_t *out, struct error *err)
{
	if (sc && sc->privileged) {
		*out = available;
		return true;
	}
	static const struct str_list none;
	const struct cri_v1_Capability *c = sc ? sc->capabilities : NULL;
	return caps_apply(caps_default(), c ? &c->add_capabilities : &none, c ? &c->drop_capabilities : &none, out, err);
}

struct value *spec_build(struct arena *a, const struct spec_input *in, struct error *err)
{
	const struct cri_v1_ContainerConfig *c = in->config;
	const struct cri_v1_LinuxContainerSecurityContext *sc = c->linux_ ? c->linux_->security_context : NULL;
	if (!refuse_apparmor(sc, err))
		return NULL;
	if (c->CDI_devices.n) {
		error_api(err, 400, "BadRequest", "CDI devices are not supported");
		return NULL;
	}
	uint64_t caps;
	if (!spec_capabilities(sc, in->caps_available, &caps, err))
		return NULL;
	struct value *spec = value_object(a), *root = value_object(a), *l = value_object(a), *annotations = value_object(a);
	set_str(a, spec, S("ociVersion"), S("1.0.2"));
	struct value *p = process(a, in, caps, err);
	if (!p)
		return NULL;
	value_set(a, spec, S("process"), p);
	set_str(a, root, S("path"), str_c(in->rootfs));
	value_set(a, root, S("readonly"), value_bool(a, sc && sc->readonly_rootfs));
	value_set(a, spec, S("root"), root);
	struct value *resources = spec_resources(a, c->linux_ ? c->linux_->resources : NULL, in->cgroup_v2, in->has_swap, in->has_hugetlb);
	if (!spec_mounts(a, in, spec, l, err) || !spec_devices(a, in, l, resources, err))
		return NULL;
	value_set(a, l, S("namespaces"), namespaces(a, in));
	if (in->cgroup.n)
		set_str(a, l, S("cgroupsPath"), in->cgroup);
	value_set(a, l, S("resources"), resources);
	if (!(sc && sc->privileged)) {
		if (sc && sc->masked_paths.n)
			value_set(a, l, S("maskedPaths"), strings(a, &sc->masked_paths));
		if (sc && sc->readonly_paths.n)
			value_set(a, l, S("readonlyPaths"), strings(a, &sc->readonly_paths));
	}
	if (!seccomp(a, sc, caps, l, err))
		return NULL;
	value_set(a, spec, S("linux"), l);
	if (in->sandbox && in->sandbox->metadata) {
		set_str(a, annotations, S("io.kubernetes.cri.sandbox-name"), in->sandbox->metadata->name);
		set_str(a, annotations, S("io.kubernetes.cri.sandbox-namespace"), in->sandbox->metadata->namespace);
	}
	if (c->metadata)
		set_str(a, annotations, S("io.kubernetes.cri.container-name"), c->metadata->name);
	value_set(a, spec, S("annotations"), annotations);
	return spec;
}
