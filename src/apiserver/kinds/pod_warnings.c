// Things in pods and templates that are allowed but surprise: Warning headers. Rule: pkg/api/pod/warnings.go.
#include "apiserver/kinds/valid.h"
#include "apiserver/kinds/validation.h"

struct warn {
	struct request *r;
	struct arena *a;
	const struct core_v1_PodSpec *spec;
	const struct meta_v1_ObjectMeta *meta;
	const struct fpath *root; // NULL: the pod itself
};

static void warn(struct warn *w, const struct fpath *p, str what)
{
	request_warn(w->r, STR_FMT "%s" STR_FMT, STR_ARG(fp_text(w->a, p)), ": ", STR_ARG(what));
}

static str deprecated_label(str key)
{
	static const struct { const char *old, *text; } labels[] = {
		{ "beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead" },
		{ "beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead" },
		{ "failure-domain.beta.kubernetes.io/region", "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead" },
		{ "failure-domain.beta.kubernetes.io/zone", "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead" },
		{ "beta.kubernetes.io/instance-type", "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead" },
	};
	for (size_t i = 0; i < ARRAY_LEN(labels); i++)
		if (str_eq(key, str_c(labels[i].old)))
			return str_c(labels[i].text);
	return S("");
}

static void label_at(struct warn *w, const struct fpath *p, str key)
{
	str text = deprecated_label(key);
	if (text.n)
		warn(w, p, arena_concat(w->a, key, S(" is "), text));
}

static void selector_term(struct warn *w, const struct fpath *p, const struct core_v1_NodeSelectorTerm *t)
{
	struct fpath list = fp(p, "matchExpressions");
	EACH (x, t->matchExpressions) {
		struct fpath at = fp_index(w->a, &list, INDEX(x, t->matchExpressions)), key = fp(&at, "key");
		label_at(w, &key, x->key);
	}
}

static void null_selectors(struct warn *w, const struct fpath *p, const struct core_v1_PodAffinityTerm_list *required, const struct core_v1_WeightedPodAffinityTerm_list *preferred)
{
	const str text = S("a null labelSelector results in matching no pod");
	struct fpath hard = fp(p, "requiredDuringSchedulingIgnoredDuringExecution"), soft = fp(p, "preferredDuringSchedulingIgnoredDuringExecution");
	EACH (t, *required) {
		struct fpath at = fp_index(w->a, &hard, INDEX(t, *required)), s = fp(&at, "labelSelector");
		if (!t->labelSelector)
			warn(w, &s, text);
	}
	EACH (t, *preferred) {
		struct fpath at = fp_index(w->a, &soft, INDEX(t, *preferred)), term = fp(&at, "podAffinityTerm"), s = fp(&term, "labelSelector");
		if (!t->podAffinityTerm.labelSelector)
			warn(w, &s, text);
	}
}

static void placement(struct warn *w, const struct fpath *spec)
{
	struct fpath selector = fp(spec, "nodeSelector"), affinity = fp(spec, "affinity"), node = fp(&affinity, "nodeAffinity"),
		required = fp(&node, "requiredDuringSchedulingIgnoredDuringExecution"), terms = fp(&required, "nodeSelectorTerms"),
		preferred = fp(&node, "preferredDuringSchedulingIgnoredDuringExecution"), spread = fp(spec, "topologySpreadConstraints");
	EACH (x, w->spec->nodeSelector) {
		struct fpath at = fp_key(w->a, &selector, x->key);
		str text = deprecated_label(x->key);
		if (text.n)
			warn(w, &at, text);
	}
	const struct core_v1_NodeAffinity *n = w->spec->affinity ? w->spec->affinity->nodeAffinity : NULL;
	for (size_t i = 0; n && n->requiredDuringSchedulingIgnoredDuringExecution && i < n->requiredDuringSchedulingIgnoredDuringExecution->nodeSelectorTerms.n; i++) {
		struct fpath at = fp_index(w->a, &terms, i);
		selector_term(w, &at, &n->requiredDuringSchedulingIgnoredDuringExecution->nodeSelectorTerms.v[i]);
	}
	for (size_t i = 0; n && i < n->preferredDuringSchedulingIgnoredDuringExecution.n; i++) {
		struct fpath at = fp_index(w->a, &preferred, i), term = fp(&at, "preference");
		selector_term(w, &term, &n->preferredDuringSchedulingIgnoredDuringExecution.v[i].preference);
	}
	EACH (t, w->spec->topologySpreadConstraints) {
		struct fpath at = fp_index(w->a, &spread, INDEX(t, w->spec->topologySpreadConstraints)), key = fp(&at, "topologyKey"), s = fp(&at, "labelSelector");
		label_at(w, &key, t->topologyKey);
		if (!t->labelSelector)
			warn(w, &s, S("a null labelSelector results in matching no pod"));
	}
}

static void volumes(struct warn *w, const struct fpath *spec)
{
	struct fpath list = fp(spec, "volumes");
	EACH (v, w->spec->volumes) {
		const struct core_v1_VolumeSource *s = &v->volumeSource;
		struct fpath at = fp_index(w->a, &list, INDEX(v, w->spec->volumes));
		struct { bool used; const char *field, *text; } old[] = {
			{ s->photonPersistentDisk, "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+" },
			{ s->gitRepo, "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+" },
			{ s->scaleIO, "scaleIO", "deprecated in v1.16, non-functional in v1.22+" },
			{ s->flocker, "flocker", "deprecated in v1.22, non-functional in v1.25+" },
			{ s->storageos, "storageOS", "deprecated in v1.22, non-functional in v1.25+" },
			{ s->quobyte, "quobyte", "deprecated in v1.22, non-functional in v1.25+" },
			{ s->glusterfs, "glusterfs", "deprecated in v1.25, non-functional in v1.26+" },
			{ s->cephfs, "cephfs", "deprecated in v1.28, non-functional in v1.31+" },
			{ s->rbd, "rbd", "deprecated in v1.28, non-functional in v1.31+" },
		};
		for (size_t i = 0; i < ARRAY_LEN(old); i++) {
			struct fpath p = fp(&at, old[i].field);
			if (old[i].used)
				warn(w, &p, str_c(old[i].text));
		}
	}
	EACH (v, w->spec->volumes)
		for (size_t i = 0; v->volumeSource.projected && i < v->volumeSource.projected->sources.n; i++) {
			const struct core_v1_VolumeProjection *s = &v->volumeSource.projected->sources.v[i];
			if (schema_is_zero(core_v1_VolumeProjection_desc, s) || (!s->secret && !s->configMap && !s->downwardAPI && !s->serviceAccountToken && !s->podCertificate))
				request_warn(w->r, "volume " STR_FMT " (Projected) has no sources provided", STR_ARG(go_quote(w->a, v->name)));
		}
}

static void whole_bytes(struct warn *w, const struct fpath *p, const struct quantity_map *m, const char *name)
{
	struct quantity q;
	struct fpath at = fp_key(w->a, p, str_c(name));
	if (quantity_map_get(m, str_c(name), &q) && quantity_milli(q) % 1000)
		warn(w, &at, arena_concat(w->a, S("fractional byte value "), go_quote(w->a, quantity_text(q)), S(" is invalid, must be an integer")));
}

static void lists(struct warn *w, const struct fpath *spec)
{
	struct fpath aliases = fp(spec, "hostAliases"), secrets = fp(spec, "imagePullSecrets"), overhead = fp(spec, "overhead");
	EACH (x, w->spec->hostAliases) {
		struct fpath at = fp_index(w->a, &aliases, INDEX(x, w->spec->hostAliases)), ip = fp(&at, "ip");
		for (size_t i = 0; i < INDEX(x, w->spec->hostAliases); i++)
			if (str_eq(w->spec->hostAliases.v[i].ip, x->ip)) {
				warn(w, &ip, arena_concat(w->a, S("duplicate ip "), go_quote(w->a, x->ip)));
				break;
			}
	}
	EACH (x, w->spec->imagePullSecrets) {
		struct fpath at = fp_index(w->a, &secrets, INDEX(x, w->spec->imagePullSecrets)), name = fp(&at, "name");
		for (size_t i = 0; i < INDEX(x, w->spec->imagePullSecrets); i++)
			if (str_eq(w->spec->imagePullSecrets.v[i].name, x->name)) {
				warn(w, &name, arena_concat(w->a, S("duplicate name "), go_quote(w->a, x->name)));
				break;
			}
	}
	EACH (x, w->spec->imagePullSecrets) {
		struct fpath at = fp_index(w->a, &secrets, INDEX(x, w->spec->imagePullSecrets)), name = fp(&at, "name");
		if (!x->name.n)
			warn(w, &name, S("invalid empty name \"\""));
	}
	whole_bytes(w, &overhead, &w->spec->overhead, "memory");
	whole_bytes(w, &overhead, &w->spec->overhead, "ephemeral-storage");
}

static void annotation(struct warn *w, str key, const char *text)
{
	struct fpath meta = fp(w->root, "metadata"), list = fp(&meta, "annotations"), at = fp_key(w->a, &list, key);
	str value;
	if (str_map_find(&w->meta->annotations, key, &value))
		warn(w, &at, str_c(text));
}

static void container(const struct core_v1_Container *c, const struct fpath *p, void *ctx)
{
	struct warn *w = ctx;
	struct fpath res = fp(p, "resources"), limits = fp(&res, "limits"), requests = fp(&res, "requests"), env = fp(p, "env");
	if (!c->securityContext || !c->securityContext->seccompProfile)
		annotation(w, arena_concat(w->a, S("container.seccomp.security.alpha.kubernetes.io/"), c->name), "non-functional in v1.27+; use the \"seccompProfile\" field instead");
	if (w->root && (!c->securityContext || !c->securityContext->appArmorProfile))
		annotation(w, arena_concat(w->a, S("container.apparmor.security.beta.kubernetes.io/"), c->name), "deprecated since v1.30; use the \"appArmorProfile\" field instead");
	whole_bytes(w, &limits, &c->resources.limits, "memory");
	whole_bytes(w, &requests, &c->resources.requests, "memory");
	whole_bytes(w, &limits, &c->resources.limits, "ephemeral-storage");
	whole_bytes(w, &requests, &c->resources.requests, "ephemeral-storage");
	EACH (x, c->env) {
		bool seen = false;
		for (size_t i = 0; i < INDEX(x, c->env) && !seen; i++)
			seen = str_eq(c->env.v[i].name, x->name);
		if (!seen)
			continue;
		str ref = arena_concat(w->a, S("$("), x->name, S(")"));
		struct fpath at = fp_index(w->a, &env, INDEX(x, c->env));
		if (x->valueFrom || str_eq(x->value, ref) || str_find(x->value, ref) < 0)
			warn(w, &at, arena_concat(w->a, S("hides previous definition of "), go_quote(w->a, x->name), S(", which may be dropped when using apply")));
	}
}

struct seen_port { const struct core_v1_ContainerPort *port; str path; };
struct port_walk {
	struct warn *w;
	struct { struct seen_port *v; size_t n; } seen;
	bool names;
};

static void ports(const struct core_v1_Container *c, const struct fpath *p, void *ctx)
{
	struct port_walk *walk = ctx;
	struct warn *w = walk->w;
	struct fpath list = fp(p, "ports");
	EACH (x, c->ports) {
		struct fpath at = fp_index(w->a, &list, INDEX(x, c->ports));
		bool known = false;
		if (!walk->names && x->hostIP.n && !x->hostPort)
			warn(w, &at, arena_printf(w->a, "hostIP set without hostPort: {Name:" STR_FMT " HostPort:0 ContainerPort:%d Protocol:" STR_FMT " HostIP:" STR_FMT "}",
			                          STR_ARG(x->name), x->containerPort, STR_ARG(x->protocol), STR_ARG(x->hostIP)));
		for (size_t i = 0; i < walk->seen.n; i++) {
			const struct seen_port *s = &walk->seen.v[i];
			const struct core_v1_ContainerPort *o = s->port;
			if (walk->names) {
				if (!x->name.n || !str_eq(o->name, x->name))
					continue;
				known = true;
				warn(w, &at, arena_concat(w->a, S("duplicate port name "), go_quote(w->a, x->name), S(" with "), s->path,
				                          S(", services and probes that select ports by name will use "), s->path));
				break;
			}
			if (o->containerPort != x->containerPort || !str_eq(o->protocol, x->protocol))
				continue;
			if (str_eq(o->hostIP, x->hostIP) && o->hostPort == x->hostPort)
				warn(w, &at, arena_concat(w->a, S("duplicate port definition with "), s->path));
			else if (!x->hostPort || !o->hostPort)
				warn(w, &at, arena_concat(w->a, S("overlapping port definition with "), s->path));
			else if (x->hostPort == o->hostPort && (!x->hostIP.n != !o->hostIP.n))
				warn(w, &at, arena_concat(w->a, S("dangerously ambiguous port definition with "), s->path));
		}
		if (!known)
			*LIST_ADD(w->a, &walk->seen) = (struct seen_port){ x, fp_text(w->a, &at) };
	}
}

void v_pod_warnings(struct request *r, const char *path, const struct core_v1_PodSpec *s, const struct meta_v1_ObjectMeta *meta)
{
	struct fpath root = fp(NULL, path ? path : ""), spec = fp(path ? &root : NULL, "spec"), affinity = fp(&spec, "affinity"), near = fp(&affinity, "podAffinity"),
		far = fp(&affinity, "podAntiAffinity"), grace = fp(&spec, "terminationGracePeriodSeconds");
	struct warn w = { r, r->arena, s, meta, path ? &root : NULL };
	placement(&w, &spec);
	annotation(&w, S("scheduler.alpha.kubernetes.io/critical-pod"), "non-functional in v1.16+; use the \"priorityClassName\" field instead");
	annotation(&w, S("security.alpha.kubernetes.io/sysctls"), "non-functional in v1.11+; use the \"sysctls\" field instead");
	annotation(&w, S("security.alpha.kubernetes.io/unsafe-sysctls"), "non-functional in v1.11+; use the \"sysctls\" field instead");
	volumes(&w, &spec);
	lists(&w, &spec);
	if (!s->securityContext || !s->securityContext->seccompProfile)
		annotation(&w, S("seccomp.security.alpha.kubernetes.io/pod"), "non-functional in v1.27+; use the \"seccompProfile\" field instead");
	v_each_container(s, &spec, r->arena, container, &w);
	struct port_walk walk = { .w = &w };
	v_each_container(s, &spec, r->arena, ports, &walk);
	walk = (struct port_walk){ .w = &w, .names = true };
	v_each_container(s, &spec, r->arena, ports, &walk);
	if (s->terminationGracePeriodSeconds && *s->terminationGracePeriodSeconds < 0)
		warn(&w, &grace, S("must be >= 0; negative values are invalid and will be treated as 1"));
	if (s->affinity && s->affinity->podAffinity)
		null_selectors(&w, &near, &s->affinity->podAffinity->requiredDuringSchedulingIgnoredDuringExecution,
		               &s->affinity->podAffinity->preferredDuringSchedulingIgnoredDuringExecution);
	if (s->affinity && s->affinity->podAntiAffinity)
		null_selectors(&w, &far, &s->affinity->podAntiAffinity->requiredDuringSchedulingIgnoredDuringExecution,
		               &s->affinity->podAntiAffinity->preferredDuringSchedulingIgnoredDuringExecution);
}

static void name_warning(struct request *r, str name, const char *used)
{
	struct str_list why = { 0 };
	name_is_dns1123_label(r->arena, name, &why);
	if (why.n)
		request_warn(r, "metadata.name: this is used in %s, which can result in surprising behavior; a DNS label is recommended: [" STR_FMT "]", used,
		             STR_ARG(str_list_join(r->arena, &why, " ")));
}

void pod_warnings(struct request *r, const void *obj, const void *old)
{
	const struct core_v1_Pod *p = obj;
	if (old)
		return;
	name_warning(r, p->metadata.name, "the Pod's hostname");
	v_pod_warnings(r, NULL, &p->spec, &p->metadata);
}

// Kinds with a template: its warnings, when it is new or the object's generation changed.
#define TEMPLATE_WARNINGS(kind, T, names_pods, path, where) \
	void kind##_warnings(struct request *r, const void *obj, const void *was) \
	{ \
		const struct T *o = obj, *old = was; \
		if (!old && names_pods) \
			name_warning(r, o->metadata.name, "Pod names and hostnames"); \
		if (!old || o->metadata.generation != old->metadata.generation) \
			v_pod_warnings(r, path, &o->where.spec, &o->where.metadata); \
	}
TEMPLATE_WARNINGS(deployment, apps_v1_Deployment, true, "spec.template", spec.template)
TEMPLATE_WARNINGS(replicaset, apps_v1_ReplicaSet, true, "spec.template", spec.template)
TEMPLATE_WARNINGS(daemonset, apps_v1_DaemonSet, false, "spec.template", spec.template)
TEMPLATE_WARNINGS(statefulset, apps_v1_StatefulSet, false, "spec.template", spec.template)
TEMPLATE_WARNINGS(job, batch_v1_Job, true, "spec.template", spec.template)
TEMPLATE_WARNINGS(cronjob, batch_v1_CronJob, true, "spec.jobTemplate.spec.template", spec.jobTemplate.spec.template)
TEMPLATE_WARNINGS(podtemplate, core_v1_PodTemplate, false, "template", template)

void replicationcontroller_warnings(struct request *r, const void *obj, const void *was)
{
	const struct core_v1_ReplicationController *o = obj, *old = was;
	if (!old)
		name_warning(r, o->metadata.name, "Pod names and hostnames");
	if (o->spec.template && (!old || o->metadata.generation != old->metadata.generation))
		v_pod_warnings(r, "spec.template", &o->spec.template->spec, &o->spec.template->metadata);
}
