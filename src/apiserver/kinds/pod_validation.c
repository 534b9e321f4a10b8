// Validation of pods and pod templates (volumes, containers, placement: the files beside). Rule: pkg/apis/core/validation.
#include "apiserver/kinds/valid.h"
#include "apiserver/kinds/validation.h"
#include "json/json.h"

void v_each_container(const struct core_v1_PodSpec *s, const struct fpath *spec, struct arena *a,
                      void (*each)(const struct core_v1_Container *c, const struct fpath *p, void *ctx), void *ctx)
{
	struct fpath init = fp(spec, "initContainers"), main_ones = fp(spec, "containers"), ephemeral = fp(spec, "ephemeralContainers");
	EACH (c, s->initContainers) {
		struct fpath at = fp_index(a, &init, INDEX(c, s->initContainers));
		each(c, &at, ctx);
	}
	EACH (c, s->containers) {
		struct fpath at = fp_index(a, &main_ones, INDEX(c, s->containers));
		each(c, &at, ctx);
	}
	EACH (c, s->ephemeralContainers) {
		struct fpath at = fp_index(a, &ephemeral, INDEX(c, s->ephemeralContainers));
		each((const struct core_v1_Container *)&c->ephemeralContainerCommon, &at, ctx);
	}
}

// --- Security ---

static void seccomp(struct pod_check *c, const struct fpath *parent, const struct core_v1_SeccompProfile *s)
{
	if (!s)
		return;
	struct fpath p = fp(parent, "seccompProfile"), type = fp(&p, "type"), local = fp(&p, "localhostProfile");
	if (!s->type.n)
		fe_required(c->e, &type, "type is required when seccompProfile is set");
	else
		v_enum(c->e, &type, s->type, LIST("Localhost", "RuntimeDefault", "Unconfined"));
	if (str_eq(s->type, S("Localhost"))) {
		if (!s->localhostProfile)
			fe_required(c->e, &local, "must be set when seccomp type is Localhost");
		else
			v_relative_path(c->e, &local, *s->localhostProfile);
	} else if (s->localhostProfile) {
		fe_invalid_raw(c->e, &local, json_of(c->a, core_v1_SeccompProfile_desc, s), "can only be set when seccomp type is Localhost");
	}
}

static void apparmor(struct pod_check *c, const struct fpath *parent, const struct core_v1_AppArmorProfile *s)
{
	if (!s)
		return;
	struct fpath p = fp(parent, "appArmorProfile"), type = fp(&p, "type"), local = fp(&p, "localhostProfile");
	if (str_eq(s->type, S("Localhost"))) {
		str name = s->localhostProfile ? *s->localhostProfile : S("");
		if (s->localhostProfile && str_trim(name).n != name.n)
			fe_invalid(c->e, &local, name, "must not be padded with whitespace");
		else if (!name.n)
			fe_required(c->e, &local, "must be set when AppArmor type is Localhost");
		if (name.n > 4095)
			fe_too_long(c->e, &local, 4095);
	} else if (v_one_of(s->type, LIST("RuntimeDefault", "Unconfined"))) {
		if (s->localhostProfile)
			fe_invalid(c->e, &local, *s->localhostProfile, "can only be set when AppArmor type is Localhost");
	} else if (!s->type.n) {
		fe_required(c->e, &type, "type is required when appArmorProfile is set");
	} else {
		v_enum(c->e, &type, s->type, LIST("Localhost", "RuntimeDefault", "Unconfined"));
	}
}

static void id(struct pod_check *c, const struct fpath *parent, const char *name, const int64_t *value)
{
	struct fpath p = fp(parent, name);
	if (value)
		v_range(c->e, &p, *value, 0, INT32_MAX);
}

void v_container_security(struct pod_check *c, const struct fpath *p, const struct core_v1_SecurityContext *s)
{
	if (!s)
		return;
	struct fpath proc = fp(p, "procMount");
	id(c, p, "runAsUser", s->runAsUser);
	id(c, p, "runAsGroup", s->runAsGroup);
	if (s->procMount) {
		v_enum(c->e, &proc, *s->procMount, LIST("Default", "Unmasked"));
		if (c->host_users && str_eq(*s->procMount, S("Unmasked")))
			fe_invalid(c->e, &proc, *s->procMount, "`hostUsers` must be false to use `Unmasked`");
	}
	seccomp(c, p, s->seccompProfile);
	if (s->allowPrivilegeEscalation && !*s->allowPrivilegeEscalation) {
		if (s->privileged && *s->privileged)
			fe_invalid_raw(c->e, p, json_of(c->a, core_v1_SecurityContext_desc, s), "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
		if (s->capabilities && str_list_has(&s->capabilities->add, S("CAP_SYS_ADMIN")))
			fe_invalid_raw(c->e, p, json_of(c->a, core_v1_SecurityContext_desc, s), "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN");
	}
	apparmor(c, p, s->appArmorProfile);
}

static bool sysctl_name(str s)
{
	bool edge = true; // at the beginning of a segment
	if (!s.n || s.n > 253)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char x = s.p[i];
		bool alnum = (x >= 'a' && x <= 'z') || (x >= '0' && x <= '9'), sep = x == '.' || x == '/', last = i + 1 == s.n || s.p[i + 1] == '.' || s.p[i + 1] == '/';
		if (!alnum && (edge || last || (x != '-' && x != '_')))
			if (!sep || edge || i + 1 == s.n)
				return false;
		edge = sep;
	}
	return !edge;
}

static void sysctls(struct pod_check *c, const struct fpath *security)
{
	struct fpath p = fp(security, "sysctls");
	__typeof__(&c->spec->securityContext->sysctls) l = &c->spec->securityContext->sysctls;
	EACH (s, *l) {
		struct fpath at = fp_index(c->a, &p, INDEX(s, *l)), name = fp(&at, "name");
		bool taken = false;
		for (size_t i = 0; i < INDEX(s, *l); i++)
			taken = taken || str_eq(l->v[i].name, s->name);
		if (!s->name.n)
			fe_required(c->e, &name, "");
		else if (!sysctl_name(s->name))
			fe_invalid(c->e, &name, s->name, "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$");
		else if (taken)
			fe_duplicate(c->e, &name, s->name);
		bool net = str_has_prefix(s->name, S("net.")) || str_has_prefix(s->name, S("net/"));
		bool ipc = v_one_of(s->name, LIST("kernel.sem")) || str_has_prefix(s->name, S("kernel.shm")) || str_has_prefix(s->name, S("kernel.msg")) ||
		           str_has_prefix(s->name, S("fs.mqueue."));
		if (net && c->spec->hostNetwork)
			fe_invalid(c->e, &name, s->name, "may not be specified when 'hostNetwork' is true");
		if (ipc && c->spec->hostIPC)
			fe_invalid(c->e, &name, s->name, "may not be specified when 'hostIPC' is true");
	}
}

void v_pod_security(struct pod_check *c, const struct fpath *spec)
{
	const struct core_v1_PodSecurityContext *s = c->spec->securityContext;
	struct fpath p = fp(spec, "securityContext"), groups = fp(&p, "supplementalGroups"), share = fp(&p, "shareProcessNamespace"),
		change = fp(&p, "fsGroupChangePolicy"), policy = fp(&p, "supplementalGroupsPolicy"), selinux = fp(&p, "seLinuxChangePolicy");
	if (s) {
		id(c, &p, "fsGroup", s->fsGroup);
		id(c, &p, "runAsUser", s->runAsUser);
		id(c, &p, "runAsGroup", s->runAsGroup);
		EACH (g, s->supplementalGroups) {
			struct fpath at = fp_index(c->a, &groups, INDEX(g, s->supplementalGroups));
			v_range(c->e, &at, *g, 0, INT32_MAX);
		}
	}
	if (c->spec->shareProcessNamespace && c->spec->hostPID && *c->spec->shareProcessNamespace)
		fe_invalid_raw(c->e, &share, S("true"), "ShareProcessNamespace and HostPID cannot both be enabled");
	if (!s)
		return;
	sysctls(c, &p);
	if (s->fsGroupChangePolicy)
		v_enum(c->e, &change, *s->fsGroupChangePolicy, LIST("Always", "OnRootMismatch"));
	seccomp(c, &p, s->seccompProfile);
	apparmor(c, &p, s->appArmorProfile);
	if (s->supplementalGroupsPolicy)
		v_enum(c->e, &policy, *s->supplementalGroupsPolicy, LIST("Merge", "Strict"));
	if (s->seLinuxChangePolicy)
		v_enum(c->e, &selinux, *s->seLinuxChangePolicy, LIST("Recursive"));
}

// --- The rest of the spec ---

static void resource_claims(struct pod_check *c, const struct fpath *p)
{
	__typeof__(&c->spec->resourceClaims) l = &c->spec->resourceClaims;
	EACH (k, *l) {
		struct fpath at = fp_index(c->a, p, INDEX(k, *l)), name = fp(&at, "name"), claim = fp(&at, "resourceClaimName"), template = fp(&at, "resourceClaimTemplateName");
		bool taken = false;
		for (size_t i = 0; i < INDEX(k, *l); i++)
			taken = taken || str_eq(l->v[i].name, k->name);
		if (!k->name.n)
			fe_required(c->e, &name, "");
		else if (taken)
			fe_duplicate(c->e, &name, k->name);
		else
			v_dns_label(c->e, &name, k->name);
		if (k->resourceClaimName && k->resourceClaimTemplateName)
			fe_invalid_raw(c->e, &at, json_of(c->a, core_v1_PodResourceClaim_desc, k), "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified");
		if (!k->resourceClaimName && !k->resourceClaimTemplateName)
			fe_invalid_raw(c->e, &at, json_of(c->a, core_v1_PodResourceClaim_desc, k), "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
		if (k->resourceClaimName)
			v_dns_subdomain(c->e, &claim, *k->resourceClaimName);
		if (k->resourceClaimTemplateName)
			v_dns_subdomain(c->e, &template, *k->resourceClaimTemplateName);
	}
}

static void dns(struct pod_check *c, const struct fpath *spec)
{
	const struct core_v1_PodDNSConfig *d = c->spec->dnsConfig;
	struct fpath p = fp(spec, "dnsConfig"), servers = fp(&p, "nameservers"), searches = fp(&p, "searches"), options = fp(&p, "options");
	if (str_eq(c->spec->dnsPolicy, S("None"))) {
		if (!d) {
			fe_required(c->e, &p, "must provide `dnsConfig` when `dnsPolicy` is None");
			return;
		}
		if (!d->nameservers.n) {
			fe_required(c->e, &servers, "must provide at least one DNS nameserver when `dnsPolicy` is None");
			return;
		}
	}
	if (!d)
		return;
	if (d->nameservers.n > 3)
		fe_invalid_raw(c->e, &servers, json_of_list(c->a, &d->nameservers), "must not have more than 3 nameservers");
	EACH (s, d->nameservers) {
		struct fpath at = fp_index(c->a, &servers, INDEX(s, d->nameservers));
		v_ip_legacy(c->e, &at, *s, NULL);
	}
	if (d->searches.n > 32)
		fe_invalid_raw(c->e, &searches, json_of_list(c->a, &d->searches), "must not have more than 32 search paths");
	size_t total = d->searches.n ? d->searches.n - 1 : 0;
	EACH (s, d->searches)
		total += s->n;
	if (total > 2048)
		fe_invalid_raw(c->e, &searches, json_of_list(c->a, &d->searches), "must not have more than 2048 characters (including spaces) in the search list");
	EACH (s, d->searches) {
		struct fpath at = fp_index(c->a, &searches, INDEX(s, d->searches));
		str name = *s;
		if (str_eq(name, S(".")))
			continue;
		str_cut_suffix(&name, S("."));
		v_name(c->e, &at, name, name_is_subdomain_with_underscore);
	}
	EACH (o, d->options) {
		struct fpath at = fp_index(c->a, &options, INDEX(o, d->options));
		if (!o->name.n)
			fe_required(c->e, &at, "must not be empty");
	}
}

static void host_network(struct pod_check *c, const struct fpath *spec)
{
	if (!c->spec->hostNetwork)
		return;
	struct fpath p = fp(spec, "containers");
	EACH (v, c->spec->containers)
		EACH (port, v->ports) {
			struct fpath at = fp_index(c->a, &p, INDEX(v, c->spec->containers)), ports = fp(&at, "ports"), one = fp_index(c->a, &ports, INDEX(port, v->ports)), host = fp(&one, "hostPort");
			if ((c->o->is_pod || port->hostPort) && port->hostPort != port->containerPort)
				fe_invalid_int(c->e, &host, port->hostPort, "must match `containerPort` when `hostNetwork` is true");
		}
}

static void forbid_devices(const struct core_v1_Container *v, const struct fpath *p, void *ctx)
{
	struct fpath at = fp(p, "volumeDevices");
	if (v->volumeDevices.n)
		fe_forbidden(ctx, &at, "when `hostUsers` is false");
}

static void host_users(struct pod_check *c, const struct fpath *spec)
{
	if (c->host_users)
		return;
	struct fpath net = fp(spec, "hostNetwork"), pid = fp(spec, "HostPID"), ipc = fp(spec, "HostIPC");
	if (c->spec->hostNetwork)
		fe_forbidden(c->e, &net, "when `hostUsers` is false");
	if (c->spec->hostPID)
		fe_forbidden(c->e, &pid, "when `hostUsers` is false");
	if (c->spec->hostIPC)
		fe_forbidden(c->e, &ipc, "when `hostUsers` is false");
	v_each_container(c->spec, spec, c->a, forbid_devices, c->e);
}

static void pod_level_resources(struct pod_check *c, const struct fpath *spec)
{
	const struct core_v1_ResourceRequirements *r = c->spec->resources;
	if (!r)
		return;
	struct fpath p = fp(spec, "resources"), claims = fp(&p, "claims"), requests = fp(&p, "requests"), limits = fp(&p, "limits"), containers = fp(&p, "containers");
	struct core_v1_ResourceRequirements without_claims = *r;
	without_claims.claims = (__typeof__(r->claims)){ 0 };
	if (r->claims.v)
		fe_forbidden(c->e, &claims, "claims may not be set for Resources at pod-level");
	v_resources(c->e, &p, &without_claims, &c->spec->resourceClaims, true);
	struct core_v1_Pod bare = { .spec = *c->spec };
	struct quantity_map sum = { 0 };
	struct quantity q;
	bare.spec.resources = NULL;
	bare.spec.overhead = (struct quantity_map){ 0 };
	pod_requests(c->a, &bare, &sum);
	EACH (x, sum) {
		struct fpath at = fp_key(c->a, &requests, x->key);
		if (quantity_map_get(&r->requests, x->key, &q) && quantity_cmp(x->value, q) > 0)
			fe_invalid(c->e, &at, quantity_text(q), "must be greater than or equal to aggregate container requests of " STR_FMT, STR_ARG(quantity_text(x->value)));
	}
	pod_limits(c->a, &bare, &sum);
	EACH (x, sum) {
		struct fpath at = fp_key(c->a, &limits, x->key);
		if (resource_is_hugepages(x->key) && quantity_map_get(&r->limits, x->key, &q) && quantity_cmp(x->value, q) > 0)
			fe_invalid(c->e, &at, quantity_text(q), "must be greater than or equal to aggregate container limits of " STR_FMT, STR_ARG(quantity_text(x->value)));
	}
	EACH (v, c->spec->containers)
		EACH (x, v->resources.limits) {
			struct fpath at = fp_index(c->a, &containers, INDEX(v, c->spec->containers)), key = fp_key(c->a, &at, x->key), lim = fp(&key, "limits");
			if (quantity_map_get(&r->limits, x->key, &q) && quantity_cmp(x->value, q) > 0)
				fe_invalid(c->e, &lim, quantity_text(x->value), "must be less than or equal to pod limits of " STR_FMT, STR_ARG(quantity_text(q)));
		}
}

static void hostname_override(struct pod_check *c, const struct fpath *spec)
{
	const str *h = c->spec->hostnameOverride;
	struct fpath p = fp(spec, "hostnameOverride");
	if (!h)
		return;
	if (c->spec->setHostnameAsFQDN && *c->spec->setHostnameAsFQDN)
		fe_forbidden(c->e, &p, "may not be specified when setHostnameAsFQDN is true");
	if (c->spec->hostNetwork)
		fe_forbidden(c->e, &p, "may not be specified when hostNetwork is true");
	if (h->n > 64)
		fe_too_long(c->e, &p, 64);
	v_dns_subdomain(c->e, &p, *h);
}

static void no_windows_options(const struct core_v1_Container *v, const struct fpath *p, void *ctx)
{
	struct pod_check *c = ctx;
	struct fpath security = fp(p, "securityContext"), options = fp(&security, "windowsOptions");
	if (v->securityContext && v->securityContext->windowsOptions)
		fe_forbidden(c->e, &options, "windows options cannot be set for a linux pod");
}

static void only_linux(struct pod_check *c, const struct fpath *spec)
{
	struct fpath security = fp(spec, "securityContext"), options = fp(&security, "windowsOptions");
	if (c->spec->securityContext && c->spec->securityContext->windowsOptions)
		fe_forbidden(c->e, &options, "windows options cannot be set for a linux pod");
	v_each_container(c->spec, spec, c->a, no_windows_options, c);
}

static void operating_system(struct pod_check *c, const struct fpath *spec)
{
	struct fpath p = fp(spec, "os"), name = fp(&p, "name");
	if (!c->spec->os)
		return;
	if (!c->spec->os->name.n)
		fe_required(c->e, &name, "");
	else
		v_enum(c->e, &p, c->spec->os->name, LIST("linux", "windows"));
	if (str_eq(c->spec->os->name, S("linux")))
		only_linux(c, spec);
}

static void gates(struct pod_check *c, const struct fpath *spec)
{
	struct fpath ready = fp(spec, "readinessGates"), sched = fp(spec, "schedulingGates");
	EACH (g, c->spec->readinessGates) {
		struct fpath at = fp_index(c->a, &ready, INDEX(g, c->spec->readinessGates)), type = fp(&at, "conditionType");
		v_qualified(c->e, &type, g->conditionType);
	}
	EACH (g, c->spec->schedulingGates) {
		struct fpath at = fp_index(c->a, &sched, INDEX(g, c->spec->schedulingGates));
		v_qualified(c->e, &at, g->name);
		for (size_t i = 0; i < INDEX(g, c->spec->schedulingGates); i++)
			if (str_eq(c->spec->schedulingGates.v[i].name, g->name))
				fe_duplicate(c->e, &at, g->name);
	}
}

struct file_refs { struct pod_check *c; };
static void check_file_refs(const struct core_v1_Container *v, const struct fpath *p, void *ctx)
{
	struct pod_check *c = ((struct file_refs *)ctx)->c;
	struct fpath env = fp(p, "env");
	EACH (x, v->env) {
		const struct core_v1_FileKeySelector *f = x->valueFrom ? x->valueFrom->fileKeyRef : NULL;
		if (!f)
			continue;
		struct fpath at = fp_index(c->a, &env, INDEX(x, v->env)), from = fp(&at, "valueFrom"), ref = fp(&from, "fileKeyRef"), name = fp(&ref, "volumeName");
		const struct core_v1_VolumeSource *found = NULL;
		EACH (vol, c->spec->volumes)
			if (str_eq(vol->name, f->volumeName))
				found = &vol->volumeSource;
		if (!found)
			fe_not_found(c->e, &name, f->volumeName);
		else if (!found->emptyDir)
			fe_invalid(c->e, &name, f->volumeName, "referenced volume must be of type emptyDir");
	}
}

void v_pod_spec(struct field_errors *e, const struct fpath *p, const struct core_v1_PodSpec *s, const struct meta_v1_ObjectMeta *meta, const struct pod_options *o)
{
	struct pod_check c = { .e = e, .a = e->arena, .spec = s, .meta = meta, .o = o, .host_users = !s->hostUsers || *s->hostUsers };
	struct fpath grace = fp(p, "terminationGracePeriodSeconds"), volumes = fp(p, "volumes"), claims = fp(p, "resourceClaims"), containers = fp(p, "containers"),
		init = fp(p, "initContainers"), ephemeral = fp(p, "ephemeralContainers"), restart = fp(p, "restartPolicy"), dns_policy = fp(p, "dnsPolicy"),
		node_selector = fp(p, "nodeSelector"), affinity = fp(p, "affinity"), spread = fp(p, "topologySpreadConstraints"), account = fp(p, "serviceAccountName"),
		node = fp(p, "nodeName"), deadline = fp(p, "activeDeadlineSeconds"), host = fp(p, "hostname"), sub = fp(p, "subdomain"), tolerations = fp(p, "tolerations"),
		aliases = fp(p, "hostAliases"), priority = fp(p, "priorityClassName"), runtime = fp(p, "runtimeClassName"), preemption = fp(p, "preemptionPolicy"),
		overhead = fp(p, "overhead");
	if (!s->terminationGracePeriodSeconds)
		fe_required(e, &grace, "");
	v_volumes(&c, &volumes);
	resource_claims(&c, &claims);
	v_containers(&c, &containers);
	v_init_containers(&c, &init);
	v_ephemeral_containers(&c, &ephemeral);
	pod_level_resources(&c, p);
	host_network(&c, p);
	v_enum_required(e, &restart, s->restartPolicy, LIST("Always", "OnFailure", "Never"));
	v_enum_required(e, &dns_policy, s->dnsPolicy, LIST("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"));
	v_labels(e, &node_selector, &s->nodeSelector);
	v_pod_security(&c, p);
	v_affinity(&c, &affinity);
	dns(&c, p);
	gates(&c, p);
	v_topology_spread(&c, &spread);
	host_users(&c, p);
	hostname_override(&c, p);
	if (s->serviceAccountName.n)
		v_dns_subdomain(e, &account, s->serviceAccountName);
	if (s->nodeName.n)
		v_dns_subdomain(e, &node, s->nodeName);
	if (s->activeDeadlineSeconds)
		v_range(e, &deadline, *s->activeDeadlineSeconds, 1, INT32_MAX);
	if (s->hostname.n)
		v_dns_label(e, &host, s->hostname);
	if (s->subdomain.n)
		v_dns_label(e, &sub, s->subdomain);
	v_tolerations(e, &tolerations, &s->tolerations);
	EACH (a, s->hostAliases) {
		struct fpath at = fp_index(e->arena, &aliases, INDEX(a, s->hostAliases)), ip = fp(&at, "ip"), names = fp(&at, "hostnames");
		v_ip_legacy(e, &ip, a->ip, NULL);
		EACH (n, a->hostnames) {
			struct fpath one = fp_index(e->arena, &names, INDEX(n, a->hostnames));
			v_dns_subdomain(e, &one, *n);
		}
	}
	if (s->priorityClassName.n)
		v_dns_subdomain(e, &priority, s->priorityClassName);
	if (s->runtimeClassName)
		v_dns_subdomain(e, &runtime, *s->runtimeClassName);
	if (s->preemptionPolicy)
		v_enum_required(e, &preemption, *s->preemptionPolicy, LIST("PreemptLowerPriority", "Never"));
	if (s->overhead.v) {
		struct core_v1_ResourceRequirements r = { .limits = s->overhead };
		v_resources(e, &overhead, &r, NULL, false);
	}
	operating_system(&c, p);
	v_each_container(s, p, e->arena, check_file_refs, &(struct file_refs){ &c });
}

static bool is_seccomp(str s)
{
	return v_one_of(s, LIST("runtime/default", "docker/default", "unconfined")) || str_has_prefix(s, S("localhost/"));
}

void v_pod_annotations(struct field_errors *e, const struct fpath *p, const struct meta_v1_ObjectMeta *m, const struct core_v1_PodSpec *s)
{
	EACH (a, m->annotations) {
		struct fpath key = fp_key(e->arena, p, a->key), child = { p, a->key, false };
		int64_t cost;
		if (str_eq(a->key, S("kubernetes.io/config.mirror")) && !s->nodeName.n)
			fe_invalid(e, &key, a->value, "must set spec.nodeName if mirror pod annotation is set");
		if (str_eq(a->key, S("controller.kubernetes.io/pod-deletion-cost"))) {
			bool plain = a->value.n && a->value.p[0] != '+' && !(a->value.n > 1 && a->value.p[0] == '0');
			if (!plain || !str_to_i64(a->value, &cost) || cost < INT32_MIN || cost > INT32_MAX)
				fe_invalid(e, &key, a->value, "must be a 32bit integer");
		}
		bool seccomp_key = str_eq(a->key, S("seccomp.security.alpha.kubernetes.io/pod")) || str_has_prefix(a->key, S("container.seccomp.security.alpha.kubernetes.io/"));
		if (seccomp_key && !is_seccomp(a->value))
			fe_invalid(e, &child, a->value, "must be a valid seccomp profile");
		str container = a->key;
		if (str_cut_prefix(&container, S("container.apparmor.security.beta.kubernetes.io/"))) {
			bool found = false;
			EACH (c, s->containers)
				found = found || str_eq(c->name, container);
			EACH (c, s->initContainers)
				found = found || str_eq(c->name, container);
			if (!found)
				fe_invalid(e, &key, container, "container not found");
			if (a->value.n && !v_one_of(a->value, LIST("runtime/default", "unconfined")) && !str_has_prefix(a->value, S("localhost/")))
				fe_invalid(e, &key, a->value, "invalid AppArmor profile name: %s", arena_cstr(e->arena, go_quote(e->arena, a->value)));
		}
	}
}

void v_pod_template(struct field_errors *e, const struct fpath *p, const struct core_v1_PodTemplateSpec *t, const struct pod_options *o)
{
	struct fpath labels = fp(p, "labels"), annotations = fp(p, "annotations"), spec = fp(p, "spec"), ephemeral = fp(&spec, "ephemeralContainers");
	v_labels(e, &labels, &t->metadata.labels);
	v_annotations(e, &annotations, &t->metadata.annotations);
	v_pod_annotations(e, &annotations, &t->metadata, &t->spec);
	v_pod_spec(e, &spec, &t->spec, NULL, o);
	if (t->spec.ephemeralContainers.n)
		fe_forbidden(e, &ephemeral, "ephemeral containers not allowed in pod template");
}

// --- Pods ---

static void image_space(struct field_errors *e, const struct fpath *spec, const char *name, const struct core_v1_Container_list *l)
{
	struct fpath p = fp(spec, name);
	EACH (c, *l) {
		struct fpath at = fp_index(e->arena, &p, INDEX(c, *l)), image = fp(&at, "image");
		if (str_trim(c->image).n != c->image.n)
			fe_invalid(e, &image, c->image, "must not have leading or trailing whitespace");
	}
}

static void pod_all(struct field_errors *e, const struct core_v1_Pod *o, const struct core_v1_Pod *old)
{
	struct fpath meta = fp(NULL, "metadata"), annotations = fp(&meta, "annotations"), spec = fp(NULL, "spec"), volumes = fp(&spec, "volumes");
	struct pod_options opts = { .is_pod = true, .old = old ? &old->spec : NULL, .old_meta = old ? &old->metadata : NULL };
	v_pod_annotations(e, &annotations, &o->metadata, &o->spec);
	v_pod_spec(e, &spec, &o->spec, &o->metadata, &opts);
	if (!o->spec.serviceAccountName.n)
		EACH (v, o->spec.volumes) {
			const struct core_v1_ProjectedVolumeSource *proj = v->volumeSource.projected;
			struct fpath at = fp_index(e->arena, &volumes, INDEX(v, o->spec.volumes)), pp = fp(&at, "projected"), sources = fp(&pp, "sources");
			for (size_t i = 0; proj && i < proj->sources.n; i++) {
				struct fpath one = fp_index(e->arena, &sources, i), token = fp(&one, "serviceAccountToken");
				if (proj->sources.v[i].serviceAccountToken)
					fe_forbidden(e, &token, "must not be specified when serviceAccountName is not set");
			}
		}
	image_space(e, &spec, "containers", &o->spec.containers);
	image_space(e, &spec, "initContainers", &o->spec.initContainers);
}

void pod_validate(struct request *r, struct field_errors *e, const void *obj)
{
	const struct core_v1_Pod *o = obj;
	struct fpath spec = fp(NULL, "spec"), ephemeral = fp(&spec, "ephemeralContainers"), node = fp(&spec, "nodeName");
	(void)r;
	pod_all(e, o, NULL);
	if (o->spec.ephemeralContainers.n)
		fe_forbidden(e, &ephemeral, "cannot be set on create");
	if (o->spec.nodeName.n && o->spec.schedulingGates.n)
		fe_forbidden(e, &node, "cannot be set until all schedulingGates have been cleared");
}

// --- Updates ---

static void annotation_updates(struct field_errors *e, const struct core_v1_Pod *o, const struct core_v1_Pod *old)
{
	struct fpath meta = fp(NULL, "metadata"), p = fp(&meta, "annotations");
	str v;
	EACH (a, old->metadata.annotations) {
		struct fpath key = fp_key(e->arena, &p, a->key);
		if (str_map_find(&o->metadata.annotations, a->key, &v) && str_eq(v, a->value))
			continue;
		if (str_has_prefix(a->key, S("container.apparmor.security.beta.kubernetes.io/")))
			fe_forbidden(e, &key, "may not remove or update AppArmor annotations");
		if (str_eq(a->key, S("kubernetes.io/config.mirror")))
			fe_forbidden(e, &key, "may not remove or update mirror pod annotation");
	}
	EACH (a, o->metadata.annotations) {
		struct fpath key = fp_key(e->arena, &p, a->key);
		if (str_map_find(&old->metadata.annotations, a->key, &v))
			continue;
		if (str_has_prefix(a->key, S("container.apparmor.security.beta.kubernetes.io/")))
			fe_forbidden(e, &key, "may not add AppArmor annotations");
		if (str_eq(a->key, S("kubernetes.io/config.mirror")))
			fe_forbidden(e, &key, "may not add mirror pod annotation");
	}
	v_pod_annotations(e, &p, &o->metadata, &o->spec);
}

static bool container_updates(struct field_errors *e, const char *name, const struct core_v1_Container_list *now, const struct core_v1_Container_list *was)
{
	struct fpath spec = fp(NULL, "spec"), p = fp(&spec, name);
	if (now->n != was->n) {
		fe_forbidden(e, &p, "pod updates may not add or remove containers");
		return false;
	}
	EACH (c, *now) {
		struct fpath at = fp_index(e->arena, &p, INDEX(c, *now)), image = fp(&at, "image");
		if (!c->image.n)
			fe_required(e, &image, "");
		if (str_trim(c->image).n != c->image.n)
			fe_invalid(e, &image, c->image, "must not have leading or trailing whitespace");
	}
	return true;
}

static bool deadline_update(struct field_errors *e, const struct core_v1_Pod *o, const struct core_v1_Pod *old)
{
	struct fpath spec = fp(NULL, "spec"), p = fp(&spec, "activeDeadlineSeconds");
	const int64_t *now = o->spec.activeDeadlineSeconds, *was = old->spec.activeDeadlineSeconds;
	if (now) {
		if (*now < 0 || *now > INT32_MAX) {
			v_range(e, &p, *now, 0, INT32_MAX);
			return false;
		}
		if (was && *was < *now) {
			fe_invalid_int(e, &p, *now, "must be less than or equal to previous value");
			return false;
		}
	} else if (was) {
		fe_invalid_raw(e, &p, S("null"), "must not update from a positive integer to nil value");
	}
	return true;
}

static void toleration_updates(struct field_errors *e, const struct core_v1_Pod *o, const struct core_v1_Pod *old)
{
	struct fpath spec = fp(NULL, "spec"), p = fp(&spec, "tolerations");
	EACH (t, old->spec.tolerations) {
		bool found = false;
		EACH (n, o->spec.tolerations) {
			struct core_v1_Toleration copy = *t;
			copy.tolerationSeconds = n->tolerationSeconds;
			found = found || schema_equal(core_v1_Toleration_desc, &copy, n);
		}
		if (!found) {
			fe_forbidden(e, &p, "existing toleration can not be modified except its tolerationSeconds");
			return;
		}
	}
	v_tolerations(e, &p, &o->spec.tolerations);
}

static void gate_updates(struct field_errors *e, const struct core_v1_Pod *o, const struct core_v1_Pod *old)
{
	struct fpath spec = fp(NULL, "spec"), p = fp(&spec, "schedulingGates");
	EACH (g, o->spec.schedulingGates) {
		bool was = false;
		EACH (q, old->spec.schedulingGates)
			was = was || str_eq(q->name, g->name);
		struct fpath at = fp_index(e->arena, &p, INDEX(g, o->spec.schedulingGates)), name = fp(&at, "name");
		if (!was)
			fe_forbidden(e, &name, "only deletion is allowed, but found new scheduling gate '" STR_FMT "'", STR_ARG(g->name));
	}
}

static struct core_v1_Container_list with_images_of(struct arena *a, const struct core_v1_Container_list *l, const struct core_v1_Container_list *old)
{
	struct core_v1_Container_list out = { ARENA_ARRAY(a, struct core_v1_Container, l->n + 1), l->n };
	for (size_t i = 0; i < l->n; i++) {
		out.v[i] = l->v[i];
		out.v[i].image = old->v[i].image;
	}
	return out;
}

// Where a gated pod may go can still be narrowed.
static void gated(struct field_errors *e, struct core_v1_PodSpec *m, const struct core_v1_Pod *old)
{
	struct fpath spec = fp(NULL, "spec"), selector = fp(&spec, "nodeSelector");
	str v;
	EACH (l, old->spec.nodeSelector)
		if (!str_map_find(&m->nodeSelector, l->key, &v) || !str_eq(v, l->value)) {
			fe_invalid_raw(e, &selector, json_of_map(e->arena, &m->nodeSelector), "only additions to spec.nodeSelector are allowed (no mutations or deletions)");
			break;
		}
	m->nodeSelector = old->spec.nodeSelector;
	m->affinity = old->spec.affinity;
}

// What changed, field by field, in the form of a unified diff.
static str spec_diff(struct arena *a, const struct core_v1_PodSpec *was, const struct core_v1_PodSpec *now)
{
	const struct value *x = schema_to_value(a, core_v1_PodSpec_desc, was), *y = schema_to_value(a, core_v1_PodSpec_desc, now);
	struct str_list lines = { 0 };
	size_t minus = 0, plus = 0;
	for (size_t i = 0; i < x->o.n; i++) {
		const struct value *other = value_get(y, x->o.v[i].key);
		if (other && value_equal(other, x->o.v[i].value))
			continue;
		*LIST_ADD(a, &lines) = arena_concat(a, S("-  "), x->o.v[i].key, S(": "), json_text(a, x->o.v[i].value, JSON_COMPACT));
		minus++;
	}
	for (size_t i = 0; i < y->o.n; i++) {
		const struct value *other = value_get(x, y->o.v[i].key);
		if (other && value_equal(other, y->o.v[i].value))
			continue;
		*LIST_ADD(a, &lines) = arena_concat(a, S("+  "), y->o.v[i].key, S(": "), json_text(a, y->o.v[i].value, JSON_COMPACT));
		plus++;
	}
	str text = str_list_join(a, &lines, "\n");
	return arena_printf(a, "@@ -1,%zu +1,%zu @@\n" STR_FMT "\n", minus, plus, STR_ARG(text));
}

void pod_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	const struct core_v1_Pod *o = obj, *old = was;
	struct arena *a = e->arena;
	struct fpath spec = fp(NULL, "spec"), status = fp(NULL, "status"), ephemeral = fp(&spec, "ephemeralContainers"), nominated = fp(&status, "nominatedNodeName"),
		qos = fp(&status, "qosClass"), generation = fp(&status, "observedGeneration"), ips = fp(&status, "podIPs");
	if (t == UPDATE_STATUS) {
		annotation_updates(e, o, old);
		if (o->status.nominatedNodeName.n && !str_eq(o->status.nominatedNodeName, old->status.nominatedNodeName)) {
			v_dns_subdomain(e, &nominated, o->status.nominatedNodeName);
			if (old->spec.nodeName.n)
				fe_forbidden(e, &nominated, "may not be set on pods that are already bound to a node");
		}
		if (o->status.observedGeneration < 0)
			fe_invalid_int(e, &generation, o->status.observedGeneration, "must be a non-negative integer");
		v_immutable_str(e, &qos, o->status.qosClass, old->status.qosClass);
		EACH (ip, o->status.podIPs) {
			struct fpath at = fp_index(a, &ips, INDEX(ip, o->status.podIPs));
			v_ip_legacy(e, &at, ip->ip, NULL);
		}
		return;
	}
	if (t == UPDATE_SUBRESOURCE && str_eq(r->info.subresource, S("ephemeralcontainers"))) {
		pod_all(e, o, old);
		EACH (x, old->spec.ephemeralContainers) {
			const struct core_v1_EphemeralContainer *now = NULL;
			EACH (y, o->spec.ephemeralContainers)
				if (str_eq(y->ephemeralContainerCommon.name, x->ephemeralContainerCommon.name))
					now = y;
			char *name = arena_cstr(a, go_quote(a, x->ephemeralContainerCommon.name));
			if (!now)
				fe_forbidden(e, &ephemeral, "existing ephemeral containers %s may not be removed\n", name);
			else if (!schema_equal(core_v1_EphemeralContainer_desc, x, now))
				fe_forbidden(e, &ephemeral, "existing ephemeral containers %s may not be changed\n", name);
		}
		return;
	}
	pod_all(e, o, old);
	if (t == UPDATE_SUBRESOURCE && str_eq(r->info.subresource, S("resize"))) {
		struct fpath containers = fp(&spec, "containers");
		if (o->spec.containers.n != old->spec.containers.n)
			fe_forbidden(e, &containers, "containers may not be added or removed on resize");
		if (!str_eq(pod_qos_class(a, o), pod_qos_class(a, old)))
			fe_invalid(e, &spec, o->status.qosClass, "Pod QOS Class may not change as a result of resizing");
		return;
	}
	annotation_updates(e, o, old);
	if (!container_updates(e, "containers", &o->spec.containers, &old->spec.containers) ||
	    !container_updates(e, "initContainers", &o->spec.initContainers, &old->spec.initContainers) || !deadline_update(e, o, old))
		return;
	toleration_updates(e, o, old);
	gate_updates(e, o, old);
	if (schema_equal(core_v1_PodSpec_desc, &o->spec, &old->spec))
		return;
	struct core_v1_PodSpec m = o->spec;
	m.containers = with_images_of(a, &m.containers, &old->spec.containers);
	m.initContainers = with_images_of(a, &m.initContainers, &old->spec.initContainers);
	m.activeDeadlineSeconds = old->spec.activeDeadlineSeconds;
	m.schedulingGates = old->spec.schedulingGates;
	m.tolerations = old->spec.tolerations;
	if (old->spec.terminationGracePeriodSeconds && *old->spec.terminationGracePeriodSeconds < 0 && m.terminationGracePeriodSeconds && *m.terminationGracePeriodSeconds == 1)
		m.terminationGracePeriodSeconds = old->spec.terminationGracePeriodSeconds;
	if (old->spec.schedulingGates.n)
		gated(e, &m, old);
	if (!schema_equal(core_v1_PodSpec_desc, &m, &old->spec))
		fe_forbidden(e, &spec, "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
		             "`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n" STR_FMT,
		             STR_ARG(spec_diff(a, &old->spec, &m)));
}
