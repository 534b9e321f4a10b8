#include "kubelet/start.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/io.h"
#include "kubelet/cgroups.h"
#include "kubelet/dns.h"
#include "kubelet/images.h"
#include "kubelet/kill.h"
#include "kubelet/lifecycle.h"
#include "kubelet/objects.h"
#include "kubelet/volumes.h"
#include "object/meta.h"
#include "schema/quantity.h"

#define SANDBOX_MS (4 * 60 * 1000)
#define CALL_MS (2 * 60 * 1000)

// --- The sandbox -------------------------------------------------------------------------------------------------------

static void port_mappings(struct arena *a, const struct core_v1_Pod *pod, struct cri_v1_PortMapping_list *out)
{
	for (size_t i = 0; i < pod->spec.containers.n + pod->spec.initContainers.n; i++) {
		const struct core_v1_Container *c = i < pod->spec.containers.n ? &pod->spec.containers.v[i]
		                                                               : &pod->spec.initContainers.v[i - pod->spec.containers.n];
		if (i >= pod->spec.containers.n && !is_sidecar(c))
			continue;
		for (size_t p = 0; p < c->ports.n; p++) {
			const struct core_v1_ContainerPort *port = &c->ports.v[p];
			*LIST_ADD(a, out) = (struct cri_v1_PortMapping){
				.host_ip = port->hostIP,
				.host_port = port->hostPort,
				.container_port = port->containerPort,
				.protocol = str_eqc(port->protocol, "UDP") ? cri_v1_Protocol_UDP
				          : str_eqc(port->protocol, "SCTP") ? cri_v1_Protocol_SCTP : cri_v1_Protocol_TCP,
			};
		}
	}
}

static int64_t quantity_of_key(const struct quantity_map *m, const char *key, bool milli)
{
	struct quantity q;
	if (!quantity_map_get(m, str_c(key), &q))
		return 0;
	return milli ? quantity_milli(q) : quantity_value(q);
}

struct cri_v1_PodSandboxConfig *sandbox_config(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod, uint32_t attempt)
{
	struct cri_v1_PodSandboxConfig *c = ARENA_NEW(a, struct cri_v1_PodSandboxConfig);
	const struct meta_v1_ObjectMeta *m = &pod->metadata;
	struct quantity_map requests = { 0 }, limits = { 0 };
	str domain;
	c->metadata = ARENA_NEW(a, struct cri_v1_PodSandboxMetadata);
	*c->metadata = (struct cri_v1_PodSandboxMetadata){ .name = m->name, .uid = m->uid, .namespace = m->namespace, .attempt = attempt };
	for (size_t i = 0; i < m->labels.n; i++)
		str_map_set(a, &c->labels, m->labels.v[i].key, m->labels.v[i].value);
	str_map_set(a, &c->labels, S(LABEL_POD_NAME), m->name);
	str_map_set(a, &c->labels, S(LABEL_POD_NAMESPACE), m->namespace);
	str_map_set(a, &c->labels, S(LABEL_POD_UID), m->uid);
	c->annotations = m->annotations;
	c->dns_config = pod_dns(k, a, pod);
	if (!host_network(pod)) {
		pod_host_name(k, a, pod, &c->hostname, &domain);
		if (domain.n && pod->spec.setHostnameAsFQDN && *pod->spec.setHostnameAsFQDN)
			c->hostname = arena_concat(a, c->hostname, S("."), domain);
	}
	c->log_directory = str_c(pod_log_dir(k, a, m, S("")));
	port_mappings(a, pod, &c->port_mappings);
	c->linux_ = ARENA_NEW(a, struct cri_v1_LinuxPodSandboxConfig);
	c->linux_->cgroup_parent = cgroup_pod_path(k, a, pod);
	c->linux_->security_context = sandbox_security(k, a, pod);
	for (size_t i = 0; pod->spec.securityContext && i < pod->spec.securityContext->sysctls.n; i++) {
		const struct core_v1_Sysctl *s = &pod->spec.securityContext->sysctls.v[i];
		char *name = arena_cstr(a, s->name);
		for (char *p = name; *p; p++) // "net/ipv4/x" is another way to write "net.ipv4.x"
			*p = *p == '/' ? '.' : *p;
		str_map_set(a, &c->linux_->sysctls, str_c(name), s->value);
	}
	pod_requests(a, pod, &requests);
	pod_limits(a, pod, &limits);
	struct quantity q;
	c->linux_->resources = linux_resources(k, a, quantity_map_get(&requests, S("cpu"), &q), quantity_of_key(&requests, "cpu", true),
	                                       quantity_of_key(&limits, "cpu", true), quantity_of_key(&limits, "memory", false));
	c->linux_->overhead = ARENA_NEW(a, struct cri_v1_LinuxContainerResources);
	return c;
}

// The handler of the pod's RuntimeClass; empty: the default one.
static bool runtime_handler(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod, str *out, struct error *err)
{
	*out = S("");
	if (!pod->spec.runtimeClassName || !pod->spec.runtimeClassName->n)
		return true;
	const struct resource_desc *r = schema_resource(S("node.k8s.io"), S("v1"), S("runtimeclasses"));
	struct node_v1_RuntimeClass *c = r ? client_get(k->client, a, r, S(""), *pod->spec.runtimeClassName, err) : NULL;
	if (!c)
		return error_set(err, "RuntimeClass.node.k8s.io \"" STR_FMT "\" not found", STR_ARG(*pod->spec.runtimeClassName));
	*out = c->handler;
	return true;
}

bool sandbox_start(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod, struct cri_v1_PodSandboxConfig *config, str *id,
                   struct error *err)
{
	struct cri_v1_RunPodSandboxRequest r = { .config = config };
	struct error why = { 0 };
	if (pod->spec.hostUsers && !*pod->spec.hostUsers)
		return error_set(err, "user namespaces (hostUsers: false) are not supported");
	if (pod->spec.resourceClaims.n)
		return error_set(err, "resource claims are not supported");
	if (!io_mkdirs(arena_cstr(a, config->log_directory), 0755, err))
		return false;
	if (!runtime_handler(k, a, pod, &r.runtime_handler, err))
		return false;
	dns_warn(k, a, pod);
	k->counters[COUNT_SANDBOXES]++;
	int64_t from = clock_mono(k->clock);
	struct cri_v1_RunPodSandboxResponse *s = CRI(&k->cri, a, RunPodSandbox, &r, SANDBOX_MS, &why);
	log_debug("pod " STR_FMT ": sandbox took %lld us", STR_ARG(pod->metadata.name), (long long)(clock_mono(k->clock) - from) / 1000);
	if (!s)
		return error_set(err, STR_FMT, STR_ARG(cri_error_text(a, &why)));
	*id = s->pod_sandbox_id;
	return true;
}

// --- The container's configuration ---------------------------------------------------------------------------------------

// Continues the numbers of the logs that are there: a runtime that lost its state must not make them start over.
static int restarts_by_logs(const char *dir)
{
	_cleanup_closedir_ DIR *d = opendir(dir);
	struct dirent *e;
	int64_t most = 0;
	while (d && (e = readdir(d))) {
		str number, rest;
		int64_t n;
		if (str_split(str_c(e->d_name), '.', &number, &rest) && str_has_prefix(rest, S("log")) && str_to_i64(number, &n) && n >= 0 &&
		    n < INT32_MAX)
			most = MAX(most, n + 1);
	}
	return (int)most;
}

static int32_t propagation_of(const struct core_v1_VolumeMount *m)
{
	if (m->mountPropagation && str_eqc(*m->mountPropagation, "HostToContainer"))
		return cri_v1_MountPropagation_PROPAGATION_HOST_TO_CONTAINER;
	if (m->mountPropagation && str_eqc(*m->mountPropagation, "Bidirectional"))
		return cri_v1_MountPropagation_PROPAGATION_BIDIRECTIONAL;
	return cri_v1_MountPropagation_PROPAGATION_PRIVATE;
}

static bool volume_mounts(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Container *c,
                          const struct str_map *env, struct cri_v1_Mount_list *out, bool *own_hosts, struct error *err)
{
	*own_hosts = false;
	if (c->volumeDevices.n)
		return error_set(err, "block devices as volumes are not supported");
	for (size_t i = 0; i < c->volumeMounts.n; i++) {
		const struct core_v1_VolumeMount *m = &c->volumeMounts.v[i];
		bool read_only;
		str path = volume_host_path(k, a, pod, m->name, &read_only), sub = m->subPath;
		*own_hosts |= str_eqc(m->mountPath, "/etc/hosts");
		if (!path.n)
			return error_set(err, "cannot find volume \"" STR_FMT "\" to mount into container \"" STR_FMT "\"", STR_ARG(m->name), STR_ARG(c->name));
		if (m->subPathExpr.n && !env_expand_strict(a, m->subPathExpr, env, &sub, err))
			return false;
		if (sub.n && !subpath_prepare(k, a, pod->metadata.uid, m->name, c->name, i, path, sub, &path, err))
			return false;
		*LIST_ADD(a, out) = (struct cri_v1_Mount){
			.container_path = m->mountPath.n && m->mountPath.p[0] == '/' ? m->mountPath : arena_concat(a, S("/"), m->mountPath),
			.host_path = path,
			.readonly = m->readOnly || read_only,
			.propagation = propagation_of(m),
			.recursive_read_only = m->readOnly && m->recursiveReadOnly && str_eqc(*m->recursiveReadOnly, "Enabled"),
		};
	}
	return true;
}

static bool termination_file(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Container *c,
                             struct cri_v1_Mount_list *out, struct error *err)
{
	if (!c->terminationMessagePath.n)
		return true;
	char *dir = pod_dir(k, a, pod->metadata.uid, arena_cstr(a, arena_concat(a, S("containers/"), c->name)));
	char *path = arena_cstr(a, arena_printf(a, "%s/%08x", dir, (unsigned)rng_u64(k->rng)));
	if (!io_mkdirs(dir, 0750, err))
		return false;
	_cleanup_close_ int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
	if (fd < 0 || fchmod(fd, 0666) < 0)
		return error_errno(err, "create %s", path);
	*LIST_ADD(a, out) = (struct cri_v1_Mount){ .container_path = c->terminationMessagePath, .host_path = str_c(path) };
	return true;
}

static void annotations_of(struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Container *c, int restarts, struct str_map *out)
{
	str_map_set(a, out, S(NOTE_HASH), container_hash(a, c));
	str_map_set(a, out, S(NOTE_RESTARTS), arena_printf(a, "%d", restarts));
	str_map_set(a, out, S(NOTE_MESSAGE_PATH), c->terminationMessagePath);
	str_map_set(a, out, S(NOTE_MESSAGE_POLICY), c->terminationMessagePolicy);
	if (pod->metadata.deletionGracePeriodSeconds)
		str_map_set(a, out, S(NOTE_POD_DELETION_GRACE), arena_printf(a, "%lld", (long long)*pod->metadata.deletionGracePeriodSeconds));
	if (pod->spec.terminationGracePeriodSeconds)
		str_map_set(a, out, S(NOTE_POD_GRACE), arena_printf(a, "%lld", (long long)*pod->spec.terminationGracePeriodSeconds));
	if (c->lifecycle && c->lifecycle->preStop) {
		_cleanup_buf_ struct buf b = { 0 };
		schema_to_json(&b, core_v1_LifecycleHandler_desc, c->lifecycle->preStop);
		str_map_set(a, out, S(NOTE_PRE_STOP), arena_dup(a, buf_str(&b)));
	}
	if (c->ports.n) {
		_cleanup_buf_ struct buf b = { 0 };
		buf_add_char(&b, '[');
		for (size_t i = 0; i < c->ports.n; i++) {
			if (i)
				buf_add_char(&b, ',');
			schema_to_json(&b, core_v1_ContainerPort_desc, &c->ports.v[i]);
		}
		buf_add_char(&b, ']');
		str_map_set(a, out, S(NOTE_PORTS), arena_dup(a, buf_str(&b)));
	}
}

static const struct core_v1_ConfigMap *env_config_map(void *ctx, struct arena *a, str name, struct error *err)
{
	struct env_source *s = ctx;
	return config_map_get(s->ctx, a, s->pod->metadata.namespace, name, 0, err);
}

static const struct core_v1_Secret *env_secret(void *ctx, struct arena *a, str name, struct error *err)
{
	struct env_source *s = ctx;
	return secret_get(s->ctx, a, s->pod->metadata.namespace, name, 0, err);
}

struct env_source pod_env_source(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Container *c,
                                 const struct str_list *ips)
{
	struct kubelet *k = w->k;
	struct env_source s = { .pod = pod, .container = c, .node_name = k->node_name, .host_ips = k->host_ips, .pod_ips = *ips,
	                        .allocatable = &k->allocatable };
	s.host_ip = k->host_ips.n ? k->host_ips.v[0] : S("");
	s.pod_ip = ips->n ? ips->v[0] : S("");
	return s;
}

static bool environment(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Container *c,
                        const struct str_list *ips, struct str_map *out, struct error *err)
{
	struct kubelet *k = w->k;
	struct env_source s = pod_env_source(w, a, pod, c, ips);
	// The object that answers for ConfigMaps needs both the kubelet and the namespace: the source itself knows them.
	struct env_source lookup = { .pod = pod, .ctx = k };
	s.config_map = env_config_map;
	s.secret = env_secret;
	s.ctx = &lookup;
	if (!k->services || !informer_synced(k->services))
		return error_set(err, "services have not yet been read at least once, cannot construct envvars");
	bool links = !pod->spec.enableServiceLinks || *pod->spec.enableServiceLinks;
	_cleanup_list_ struct object_list list = { 0 };
	const struct core_v1_Service **services = NULL;
	_cleanup_object_ struct object_ref *api = NULL;
	if (links) {
		list = informer_list(k->services);
		services = ARENA_ARRAY(a, const struct core_v1_Service *, list.n + 1);
		size_t n = 0;
		for (size_t i = 0; i < list.n; i++) {
			const struct core_v1_Service *svc = object_of(list.v[i]);
			bool master = str_eqc(svc->metadata.namespace, "default") && str_eqc(svc->metadata.name, "kubernetes");
			if (master || str_eq(svc->metadata.namespace, pod->metadata.namespace))
				services[n++] = svc;
		}
	} else {
		services = ARENA_ARRAY(a, const struct core_v1_Service *, 2);
		api = informer_get(k->services, S("default"), S("kubernetes"));
		services[0] = api ? object_of(api) : NULL;
	}
	s.services = services;
	if (!env_make(a, &s, out, err))
		return false;
	// Values of services point into objects that are let go here.
	for (size_t i = 0; i < out->n; i++) {
		out->v[i].key = arena_dup(a, out->v[i].key);
		out->v[i].value = arena_dup(a, out->v[i].value);
	}
	return true;
}

static struct cri_v1_ContainerConfig *container_config(struct worker *w, struct arena *a, const struct core_v1_Pod *pod,
                                                       const struct core_v1_Container *c, int restarts, const struct image_info *image,
                                                       const struct str_list *ips, struct error *err)
{
	struct kubelet *k = w->k;
	struct cri_v1_ContainerConfig *o = ARENA_NEW(a, struct cri_v1_ContainerConfig);
	struct str_map env = { 0 };
	bool own_hosts;
	if (!environment(w, a, pod, c, ips, &env, err) || !volume_mounts(k, a, pod, c, &env, &o->mounts, &own_hosts, err))
		return NULL;
	if (!own_hosts && (ips->n || host_network(pod))) {
		const char *hosts = hosts_file(k, a, pod, ips, err);
		if (!hosts)
			return NULL;
		*LIST_ADD(a, &o->mounts) = (struct cri_v1_Mount){ .container_path = S("/etc/hosts"), .host_path = str_c(hosts) };
	}
	if (!check_non_root(a, pod, c, image->uid, image->user, err))
		return NULL;
	str log_dir = str_c(pod_log_dir(k, a, &pod->metadata, c->name));
	if (!io_mkdirs(arena_cstr(a, log_dir), 0755, err) || !termination_file(k, a, pod, c, &o->mounts, err))
		return NULL;
	o->metadata = ARENA_NEW(a, struct cri_v1_ContainerMetadata);
	*o->metadata = (struct cri_v1_ContainerMetadata){ .name = c->name, .attempt = (uint32_t)restarts };
	o->image = ARENA_NEW(a, struct cri_v1_ImageSpec);
	*o->image = (struct cri_v1_ImageSpec){ .image = image->id, .user_specified_image = c->image };
	for (size_t i = 0; i < c->command.n; i++)
		*LIST_ADD(a, &o->command) = env_expand(a, c->command.v[i], &env);
	for (size_t i = 0; i < c->args.n; i++)
		*LIST_ADD(a, &o->args) = env_expand(a, c->args.v[i], &env);
	o->working_dir = c->workingDir;
	for (size_t i = 0; i < env.n; i++)
		*LIST_ADD(a, &o->envs) = (struct cri_v1_KeyValue){ env.v[i].key, env.v[i].value };
	str_map_set(a, &o->labels, S(LABEL_POD_NAME), pod->metadata.name);
	str_map_set(a, &o->labels, S(LABEL_POD_NAMESPACE), pod->metadata.namespace);
	str_map_set(a, &o->labels, S(LABEL_POD_UID), pod->metadata.uid);
	str_map_set(a, &o->labels, S(LABEL_CONTAINER_NAME), c->name);
	annotations_of(a, pod, c, restarts, &o->annotations);
	o->log_path = arena_printf(a, STR_FMT "/%d.log", STR_ARG(c->name), restarts);
	o->stdin = c->stdin;
	o->stdin_once = c->stdinOnce;
	o->tty = c->tty;
	o->linux_ = ARENA_NEW(a, struct cri_v1_LinuxContainerConfig);
	o->linux_->resources = container_resources(k, a, pod, c);
	o->linux_->security_context = container_security(k, a, pod, c, image->uid, image->user);
	return o;
}

// --- The start -----------------------------------------------------------------------------------------------------------

// Notes the failure and tells it in an event; the container's id does not appear there, or each event would be another one.
static bool failed(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Container *c, const char *reason,
                   str text)
{
	worker_fail(w, c->name, str_c(reason), text);
	container_event(w->k, a, pod, c->name, "Warning", "Failed", "Error: " STR_FMT, STR_ARG(text));
	return false;
}

static bool in_back_off(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Container *c,
                        const struct rt_pod *rt)
{
	struct kubelet *k = w->k;
	struct note *n = worker_note(w, c->name);
	const struct rt_container *last = NULL;
	for (size_t i = 0; i < rt->containers.n && !last; i++)
		if (str_eq(rt->containers.v[i].name, c->name) && rt->containers.v[i].state == RT_EXITED)
			last = &rt->containers.v[i];
	int64_t now = clock_wall(k->clock);
	if (!last)
		return false;
	if (!backoff_since(&n->restart, last->finished_at, now)) {
		backoff_next(&n->restart, last->finished_at, now);
		return false;
	}
	str which = pod_text(a, &pod->metadata);
	container_event(k, a, pod, c->name, "Warning", "BackOff", "Back-off restarting failed container " STR_FMT " in pod " STR_FMT,
	                STR_ARG(c->name), STR_ARG(which));
	worker_fail(w, c->name, S("CrashLoopBackOff"),
	            arena_concat(a, S("back-off "), duration_text(a, n->restart.delay_ns), S(" restarting failed container="), c->name, S(" pod="), which));
	// Looked at again the moment it may start.
	task_after(w->task, (last->finished_at + n->restart.delay_ns - now) / NS_PER_MS + 1);
	return true;
}

static bool post_start(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Container *c, str id,
                       const struct str_list *ips)
{
	str message;
	struct error err = { 0 };
	if (!c->lifecycle || !c->lifecycle->postStart)
		return true;
	if (hook_run(w->k, a, pod, c, c->lifecycle->postStart, id, ips->n ? ips->v[0] : S(""), 0, &message))
		return true;
	container_event(w->k, a, pod, c->name, "Warning", "FailedPostStartHook", "PostStartHook failed");
	struct rt_container victim = { .id = id, .name = c->name, .state = RT_RUNNING, .pod_grace = -1 };
	container_kill(w->k, a, pod, &victim, S("FailedPostStartHook"), KILL_POST_START, -1, &err);
	worker_fail(w, c->name, S("PostStartHookError"), message);
	return false;
}

bool pod_container_start(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Container *c,
                     const struct rt_pod *rt, str sandbox_id, struct cri_v1_PodSandboxConfig *sandbox, const struct str_list *ips)
{
	struct kubelet *k = w->k;
	struct error err = { 0 };
	str reason, message;
	struct image_info image;
	int64_t from = clock_mono(k->clock), configured, done;
	if (in_back_off(w, a, pod, c, rt))
		return false;
	k->counters[COUNT_CONTAINERS]++;
	if (!image_ensure(w, a, pod, c, sandbox, &image, &reason, &message)) {
		worker_fail(w, c->name, reason, message);
		container_event(k, a, pod, c->name, "Warning", "Failed", "Error: " STR_FMT, STR_ARG(reason));
		return false;
	}
	const struct rt_container *last = rt_find(rt, c->name);
	int restarts = last ? last->restart_count + 1 : restarts_by_logs(pod_log_dir(k, a, &pod->metadata, c->name));
	struct cri_v1_ContainerConfig *config = container_config(w, a, pod, c, restarts, &image, ips, &err);
	if (!config)
		return failed(w, a, pod, c, "CreateContainerConfigError", arena_dup(a, error_str(&err)));
	configured = clock_mono(k->clock);
	struct cri_v1_CreateContainerRequest cr = { .pod_sandbox_id = sandbox_id, .config = config, .sandbox_config = sandbox };
	struct cri_v1_CreateContainerResponse *created = CRI(&k->cri, a, CreateContainer, &cr, CALL_MS, &err);
	if (!created)
		return failed(w, a, pod, c, "CreateContainerError", arena_dup(a, error_str(&err)));
	container_event(k, a, pod, c->name, "Normal", "Created", "Container created");
	done = clock_mono(k->clock);
	struct cri_v1_StartContainerRequest sr = { .container_id = created->container_id };
	if (!CRI(&k->cri, a, StartContainer, &sr, CALL_MS, &err))
		return failed(w, a, pod, c, "RunContainerError", arena_dup(a, error_str(&err)));
	container_event(k, a, pod, c->name, "Normal", "Started", "Container started");
	log_debug("pod " STR_FMT ": container " STR_FMT ": configured in %lld us, created in %lld us, started in %lld us", STR_ARG(pod->metadata.name),
	          STR_ARG(c->name), (long long)(configured - from) / 1000, (long long)(done - configured) / 1000,
	          (long long)(clock_mono(k->clock) - done) / 1000);
	if (!post_start(w, a, pod, c, created->container_id, ips))
		return false;
	worker_clear_failure(w, c->name);
	return true;
}
