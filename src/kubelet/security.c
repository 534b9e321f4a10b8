#include "kubelet/start.h"

// What hides the host from a container's /proc and /sys.
static const char *const masked[] = { "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                                      "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
                                      "/sys/devices/virtual/powercap" };
static const char *const read_only[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger" };


static struct cri_v1_NamespaceOption *namespaces(struct arena *a, const struct core_v1_Pod *pod)
{
	struct cri_v1_NamespaceOption *o = ARENA_NEW(a, struct cri_v1_NamespaceOption);
	o->network = host_network(pod) ? cri_v1_NamespaceMode_NODE : cri_v1_NamespaceMode_POD;
	o->ipc = pod->spec.hostIPC ? cri_v1_NamespaceMode_NODE : cri_v1_NamespaceMode_POD;
	if (pod->spec.hostPID)
		o->pid = cri_v1_NamespaceMode_NODE;
	else if (pod->spec.shareProcessNamespace && *pod->spec.shareProcessNamespace)
		o->pid = cri_v1_NamespaceMode_POD;
	else
		o->pid = cri_v1_NamespaceMode_CONTAINER;
	return o;
}

static struct cri_v1_Int64Value *int_value(struct arena *a, int64_t v)
{
	struct cri_v1_Int64Value *p = ARENA_NEW(a, struct cri_v1_Int64Value);
	p->value = v;
	return p;
}

static void groups(struct arena *a, const struct core_v1_PodSecurityContext *p, struct int64_list *out, int32_t *policy)
{
	if (!p)
		return;
	if (p->fsGroup)
		*LIST_ADD(a, out) = *p->fsGroup;
	for (size_t i = 0; i < p->supplementalGroups.n; i++)
		*LIST_ADD(a, out) = p->supplementalGroups.v[i];
	if (p->supplementalGroupsPolicy && str_eqc(*p->supplementalGroupsPolicy, "Strict"))
		*policy = cri_v1_SupplementalGroupsPolicy_Strict;
}

static struct cri_v1_SELinuxOption *selinux(struct arena *a, const struct core_v1_SELinuxOptions *s)
{
	if (!s)
		return NULL;
	struct cri_v1_SELinuxOption *o = ARENA_NEW(a, struct cri_v1_SELinuxOption);
	*o = (struct cri_v1_SELinuxOption){ .user = s->user, .role = s->role, .type = s->type, .level = s->level };
	return o;
}

static struct cri_v1_SecurityProfile *seccomp(struct kubelet *k, struct arena *a, const struct core_v1_SeccompProfile *p)
{
	struct cri_v1_SecurityProfile *o = ARENA_NEW(a, struct cri_v1_SecurityProfile);
	o->profile_type = cri_v1_SecurityProfile_ProfileType_Unconfined;
	if (p ? str_eqc(p->type, "RuntimeDefault") : k->cfg.seccomp_default)
		o->profile_type = cri_v1_SecurityProfile_ProfileType_RuntimeDefault;
	if (p && str_eqc(p->type, "Localhost") && p->localhostProfile) {
		o->profile_type = cri_v1_SecurityProfile_ProfileType_Localhost;
		o->localhost_ref = arena_concat(a, str_c(k->cfg.root_dir), S("/seccomp/"), *p->localhostProfile);
	}
	return o;
}

static struct cri_v1_SecurityProfile *apparmor(struct arena *a, const struct core_v1_AppArmorProfile *p)
{
	if (!p)
		return NULL;
	struct cri_v1_SecurityProfile *o = ARENA_NEW(a, struct cri_v1_SecurityProfile);
	o->profile_type = str_eqc(p->type, "Unconfined") ? cri_v1_SecurityProfile_ProfileType_Unconfined
		: str_eqc(p->type, "Localhost") ? cri_v1_SecurityProfile_ProfileType_Localhost : cri_v1_SecurityProfile_ProfileType_RuntimeDefault;
	if (p->localhostProfile)
		o->localhost_ref = *p->localhostProfile;
	return o;
}

struct cri_v1_LinuxContainerSecurityContext *container_security(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod,
                                                                const struct core_v1_Container *c, int64_t uid, str user)
{
	const struct core_v1_PodSecurityContext *p = pod->spec.securityContext;
	const struct core_v1_SecurityContext *s = c->securityContext;
	struct cri_v1_LinuxContainerSecurityContext *o = ARENA_NEW(a, struct cri_v1_LinuxContainerSecurityContext);
	const int64_t *run_as = s && s->runAsUser ? s->runAsUser : p ? p->runAsUser : NULL;
	const int64_t *group = s && s->runAsGroup ? s->runAsGroup : p ? p->runAsGroup : NULL;
	o->namespace_options = namespaces(a, pod);
	o->seccomp = seccomp(k, a, s && s->seccompProfile ? s->seccompProfile : p ? p->seccompProfile : NULL);
	o->apparmor = apparmor(a, s && s->appArmorProfile ? s->appArmorProfile : p ? p->appArmorProfile : NULL);
	o->selinux_options = selinux(a, s && s->seLinuxOptions ? s->seLinuxOptions : p ? p->seLinuxOptions : NULL);
	if (run_as)
		o->run_as_user = int_value(a, *run_as);
	else if (uid >= 0)
		o->run_as_user = int_value(a, uid);
	else
		o->run_as_username = user;
	if (group)
		o->run_as_group = int_value(a, *group);
	groups(a, p, &o->supplemental_groups, &o->supplemental_groups_policy);
	if (s && s->capabilities) {
		o->capabilities = ARENA_NEW(a, struct cri_v1_Capability);
		o->capabilities->add_capabilities = s->capabilities->add;
		o->capabilities->drop_capabilities = s->capabilities->drop;
	}
	o->privileged = s && s->privileged && *s->privileged;
	o->readonly_rootfs = s && s->readOnlyRootFilesystem && *s->readOnlyRootFilesystem;
	o->no_new_privs = s && s->allowPrivilegeEscalation && !*s->allowPrivilegeEscalation;
	if (!(s && s->procMount && str_eqc(*s->procMount, "Unmasked"))) {
		for (size_t i = 0; i < ARRAY_LEN(masked); i++)
			*LIST_ADD(a, &o->masked_paths) = str_c(masked[i]);
		for (size_t i = 0; i < ARRAY_LEN(read_only); i++)
			*LIST_ADD(a, &o->readonly_paths) = str_c(read_only[i]);
	}
	return o;
}

struct cri_v1_LinuxSandboxSecurityContext *sandbox_security(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod)
{
	const struct core_v1_PodSecurityContext *p = pod->spec.securityContext;
	struct cri_v1_LinuxSandboxSecurityContext *o = ARENA_NEW(a, struct cri_v1_LinuxSandboxSecurityContext);
	o->namespace_options = namespaces(a, pod);
	o->seccomp = ARENA_NEW(a, struct cri_v1_SecurityProfile); // the least privileged one: RuntimeDefault
	for (size_t i = 0; i < pod->spec.containers.n + pod->spec.initContainers.n; i++) {
		const struct core_v1_Container *c = i < pod->spec.containers.n ? &pod->spec.containers.v[i]
		                                                               : &pod->spec.initContainers.v[i - pod->spec.containers.n];
		o->privileged |= c->securityContext && c->securityContext->privileged && *c->securityContext->privileged;
	}
	groups(a, p, &o->supplemental_groups, &o->supplemental_groups_policy);
	if (p && p->runAsUser)
		o->run_as_user = int_value(a, *p->runAsUser);
	if (p && p->runAsGroup)
		o->run_as_group = int_value(a, *p->runAsGroup);
	if (p)
		o->selinux_options = selinux(a, p->seLinuxOptions);
	return o;
}

bool check_non_root(struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Container *c, int64_t uid, str user,
                    struct error *err)
{
	const struct core_v1_PodSecurityContext *p = pod->spec.securityContext;
	const struct core_v1_SecurityContext *s = c->securityContext;
	const bool *wanted = s && s->runAsNonRoot ? s->runAsNonRoot : p ? p->runAsNonRoot : NULL;
	const int64_t *run_as = s && s->runAsUser ? s->runAsUser : p ? p->runAsUser : NULL;
	str which = pod_text(a, &pod->metadata);
	if (!wanted || !*wanted)
		return true;
	if (run_as && *run_as == 0)
		return error_set(err, "container's runAsUser breaks non-root policy (pod: \"" STR_FMT "\", container: " STR_FMT ")", STR_ARG(which),
		                 STR_ARG(c->name));
	if (run_as)
		return true;
	if (uid == 0)
		return error_set(err, "container has runAsNonRoot and image will run as root (pod: \"" STR_FMT "\", container: " STR_FMT ")",
		                 STR_ARG(which), STR_ARG(c->name));
	if (uid < 0 && user.n)
		return error_set(err, "container has runAsNonRoot and image has non-numeric user (" STR_FMT "), cannot verify user is non-root "
		                 "(pod: \"" STR_FMT "\", container: " STR_FMT ")", STR_ARG(user), STR_ARG(which), STR_ARG(c->name));
	return true;
}
