// Admission: the built-in plug-ins in upstream's order (pkg/kubeapiserver/options/plugins.go), and the small ones themselves.
#include "apiserver/admission_internal.h"

bool admission_forbid(const struct admission *ad, struct api_status *s, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	str why = arena_vprintf(ad->r->arena, fmt, ap);
	va_end(ap);
	str name = ad->r->info.name;
	if (!name.n) {
		const struct meta_v1_ObjectMeta *m = ad->obj ? object_meta(ad->obj) : NULL;
		name = m && m->name.n ? m->name : m && m->generateName.n ? m->generateName : S("Unknown");
	}
	return status_forbidden(ad->r->arena, s, schema_text(ad->resource->group), schema_text(ad->resource->resource), name, why);
}

bool admission_is_sub(const struct admission *ad, const char *group, const char *resource, const char *subresource)
{
	return str_eqc(schema_text(ad->resource->resource), resource) && str_eqc(schema_text(ad->resource->group), group) &&
	       str_eqc(ad->r->info.subresource, subresource);
}

bool admission_is(const struct admission *ad, const char *group, const char *resource)
{
	return admission_is_sub(ad, group, resource, "");
}

str admission_ns(const struct admission *ad)
{
	return ad->r->info.ns;
}

struct core_v1_PodSpec *admission_pod_spec(const struct admission *ad, struct meta_v1_ObjectMeta **meta)
{
	struct core_v1_PodTemplateSpec *t = NULL;
	if (!ad->obj)
		return NULL;
	if (ad->message == core_v1_Pod_desc) {
		struct core_v1_Pod *p = ad->obj;
		*meta = &p->metadata;
		return &p->spec;
	}
	if (ad->message == apps_v1_Deployment_desc)
		t = &((struct apps_v1_Deployment *)ad->obj)->spec.template;
	else if (ad->message == apps_v1_ReplicaSet_desc)
		t = &((struct apps_v1_ReplicaSet *)ad->obj)->spec.template;
	else if (ad->message == apps_v1_StatefulSet_desc)
		t = &((struct apps_v1_StatefulSet *)ad->obj)->spec.template;
	else if (ad->message == apps_v1_DaemonSet_desc)
		t = &((struct apps_v1_DaemonSet *)ad->obj)->spec.template;
	else if (ad->message == batch_v1_Job_desc)
		t = &((struct batch_v1_Job *)ad->obj)->spec.template;
	else if (ad->message == batch_v1_CronJob_desc)
		t = &((struct batch_v1_CronJob *)ad->obj)->spec.jobTemplate.spec.template;
	else if (ad->message == core_v1_ReplicationController_desc)
		t = ((struct core_v1_ReplicationController *)ad->obj)->spec.template;
	else if (ad->message == core_v1_PodTemplate_desc)
		t = &((struct core_v1_PodTemplate *)ad->obj)->template;
	if (!t)
		return NULL;
	*meta = &t->metadata;
	return &t->spec;
}

// --- NamespaceLifecycle ---

bool namespace_lifecycle(const struct admission *ad, struct api_status *s)
{
	struct request *r = ad->r;
	bool is_namespace = str_eqc(schema_text(ad->resource->resource), "namespaces") && !schema_text(ad->resource->group).n;
	if (is_namespace) {
		str name = r->info.name;
		bool immortal = str_eq(name, S("default")) || str_eq(name, S("kube-system")) || str_eq(name, S("kube-public"));
		if (ad->op == ADMIT_DELETE && immortal && !r->info.subresource.n)
			return status_forbidden(r->arena, s, S(""), S("namespaces"), name, S("this namespace may not be deleted"));
		return true;
	}
	str ns = admission_ns(ad);
	if (!ns.n || ad->op == ADMIT_DELETE || str_eqc(schema_text(ad->resource->resource), "localsubjectaccessreviews"))
		return true;
	const struct core_v1_Namespace *n = registry_get(r, S(""), S("namespaces"), S(""), ns);
	if (!n)
		return status_not_found(r->arena, s, S(""), S("namespaces"), ns);
	if (ad->op != ADMIT_CREATE || !str_eq(n->status.phase, S("Terminating")))
		return true;
	admission_forbid(ad, s, "unable to create new content in namespace " STR_FMT " because it is being terminated", STR_ARG(ns));
	*LIST_ADD(r->arena, &s->causes) = (struct status_cause){ S("NamespaceTerminating"),
		arena_concat(r->arena, S("namespace "), ns, S(" is being terminated")), S("metadata.namespace") };
	return false;
}

// --- TaintNodesByCondition: a new node takes nothing until it says that it is ready ---

static bool taint_nodes(const struct admission *ad, struct api_status *s)
{
	(void)s;
	if (ad->op != ADMIT_CREATE || !admission_is(ad, "", "nodes"))
		return true;
	struct core_v1_Node *n = ad->obj;
	EACH (t, n->spec.taints)
		if (str_eq(t->key, S("node.kubernetes.io/not-ready")) && str_eq(t->effect, S("NoSchedule")))
			return true;
	*LIST_ADD(ad->r->arena, &n->spec.taints) = (struct core_v1_Taint){ .key = S("node.kubernetes.io/not-ready"), .effect = S("NoSchedule") };
	return true;
}

// --- Priority ---

static bool find_default_class(const void *obj, void *ctx)
{
	const struct scheduling_v1_PriorityClass *c = obj, **best = ctx;
	if (c->globalDefault && (!*best || (*best)->value > c->value))
		*best = c;
	return true;
}

static const struct scheduling_v1_PriorityClass *default_class(struct request *r)
{
	const struct scheduling_v1_PriorityClass *best = NULL;
	registry_each(r, S("scheduling.k8s.io"), S("priorityclasses"), S(""), find_default_class, &best);
	return best;
}

bool priority_mutate(const struct admission *ad, struct api_status *s)
{
	if (!admission_is(ad, "", "pods") || (ad->op != ADMIT_CREATE && ad->op != ADMIT_UPDATE))
		return true;
	struct core_v1_Pod *p = ad->obj;
	if (ad->op == ADMIT_UPDATE) {
		const struct core_v1_Pod *old = ad->old;
		if (!p->spec.priority)
			p->spec.priority = old->spec.priority;
		if (!p->spec.preemptionPolicy)
			p->spec.preemptionPolicy = old->spec.preemptionPolicy;
		return true;
	}
	const struct scheduling_v1_PriorityClass *c;
	str policy = S("PreemptLowerPriority");
	if (p->spec.priorityClassName.n) {
		c = registry_get(ad->r, S("scheduling.k8s.io"), S("priorityclasses"), S(""), p->spec.priorityClassName);
		if (!c)
			return admission_forbid(ad, s, "no PriorityClass with name " STR_FMT " was found", STR_ARG(p->spec.priorityClassName));
	} else {
		c = default_class(ad->r);
		p->spec.priorityClassName = c ? c->metadata.name : S("");
	}
	int32_t value = c ? c->value : 0;
	if (p->spec.priority && *p->spec.priority != value)
		return admission_forbid(ad, s, "the integer value of priority (%d) must not be provided in pod spec; priority admission controller computed %d "
		                        "from the given PriorityClass name", *p->spec.priority, value);
	p->spec.priority = NEW_VALUE(ad->r->arena, int32_t, value);
	if (c && c->preemptionPolicy)
		policy = *c->preemptionPolicy;
	if (p->spec.preemptionPolicy && !str_eq(*p->spec.preemptionPolicy, policy))
		return admission_forbid(ad, s, "the string value of PreemptionPolicy (" STR_FMT ") must not be provided in pod spec; priority admission controller "
		                        "computed " STR_FMT " from the given PriorityClass name", STR_ARG(*p->spec.preemptionPolicy), STR_ARG(policy));
	p->spec.preemptionPolicy = NEW_VALUE(ad->r->arena, str, policy);
	return true;
}

bool priority_validate(const struct admission *ad, struct api_status *s)
{
	if (!admission_is(ad, "scheduling.k8s.io", "priorityclasses") || (ad->op != ADMIT_CREATE && ad->op != ADMIT_UPDATE))
		return true;
	const struct scheduling_v1_PriorityClass *c = ad->obj;
	const struct scheduling_v1_PriorityClass *d = c->globalDefault ? default_class(ad->r) : NULL;
	if (d && (ad->op == ADMIT_CREATE || !str_eq(d->metadata.name, c->metadata.name)))
		return admission_forbid(ad, s, "PriorityClass " STR_FMT " is already marked as default. Only one default can exist", STR_ARG(d->metadata.name));
	return true;
}

// --- DefaultTolerationSeconds: pods outlive a short absence of their node ---

static bool default_tolerations(const struct admission *ad, struct api_status *s)
{
	static const str keys[] = { S_INIT("node.kubernetes.io/not-ready"), S_INIT("node.kubernetes.io/unreachable") };
	(void)s;
	if (!admission_is(ad, "", "pods") || (ad->op != ADMIT_CREATE && ad->op != ADMIT_UPDATE))
		return true;
	struct core_v1_Pod *p = ad->obj;
	bool tolerates[2] = { false, false };
	EACH (t, p->spec.tolerations)
		for (int i = 0; i < 2; i++)
			if ((!t->key.n || str_eq(t->key, keys[i])) && (!t->effect.n || str_eq(t->effect, S("NoExecute"))))
				tolerates[i] = true;
	for (int i = 0; i < 2; i++)
		if (!tolerates[i])
			*LIST_ADD(ad->r->arena, &p->spec.tolerations) = (struct core_v1_Toleration){ .key = keys[i], .operator = S("Exists"), .effect = S("NoExecute"),
				.tolerationSeconds = NEW_VALUE(ad->r->arena, int64_t, 300) };
	return true;
}

// --- DefaultStorageClass, StorageObjectInUseProtection, PersistentVolumeClaimResize ---

struct newest {
	const char *annotation, *beta;
	const struct meta_v1_ObjectMeta *best;
};

static bool find_newest(const void *obj, void *ctx)
{
	struct newest *n = ctx;
	const struct meta_v1_ObjectMeta *m = object_meta(obj);
	if (!str_eq(str_map_get(&m->annotations, str_c(n->annotation)), S("true")) &&
	    !(n->beta && str_eq(str_map_get(&m->annotations, str_c(n->beta)), S("true"))))
		return true;
	if (!n->best || m->creationTimestamp.sec > n->best->creationTimestamp.sec ||
	    (m->creationTimestamp.sec == n->best->creationTimestamp.sec && str_cmp(m->name, n->best->name) < 0))
		n->best = m;
	return true;
}

static bool default_storage_class(const struct admission *ad, struct api_status *s)
{
	(void)s;
	if (ad->op != ADMIT_CREATE || !admission_is(ad, "", "persistentvolumeclaims"))
		return true;
	struct core_v1_PersistentVolumeClaim *c = ad->obj;
	str ignored;
	if (c->spec.storageClassName || str_map_find(&c->metadata.annotations, S("volume.beta.kubernetes.io/storage-class"), &ignored))
		return true;
	struct newest n = { "storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class", NULL };
	registry_each(ad->r, S("storage.k8s.io"), S("storageclasses"), S(""), find_newest, &n);
	if (n.best)
		c->spec.storageClassName = NEW_VALUE(ad->r->arena, str, n.best->name);
	return true;
}

static bool storage_in_use(const struct admission *ad, struct api_status *s)
{
	const char *finalizer = NULL;
	(void)s;
	if (ad->op != ADMIT_CREATE)
		return true;
	if (admission_is(ad, "", "persistentvolumes"))
		finalizer = "kubernetes.io/pv-protection";
	else if (admission_is(ad, "", "persistentvolumeclaims"))
		finalizer = "kubernetes.io/pvc-protection";
	else if (admission_is(ad, "storage.k8s.io", "volumeattributesclasses"))
		finalizer = "kubernetes.io/vac-protection";
	if (!finalizer)
		return true;
	struct meta_v1_ObjectMeta *m = object_meta(ad->obj);
	if (!meta_has_finalizer(m, str_c(finalizer)))
		*LIST_ADD(ad->r->arena, &m->finalizers) = str_c(finalizer);
	return true;
}

static str claim_class(const struct core_v1_PersistentVolumeClaim *c)
{
	str class = str_map_get(&c->metadata.annotations, S("volume.beta.kubernetes.io/storage-class"));
	return class.n ? class : c->spec.storageClassName ? *c->spec.storageClassName : S("");
}

static bool claim_resize(const struct admission *ad, struct api_status *s)
{
	if (ad->op != ADMIT_UPDATE || !admission_is(ad, "", "persistentvolumeclaims"))
		return true;
	const struct core_v1_PersistentVolumeClaim *c = ad->obj, *old = ad->old;
	struct quantity now = { 0 }, was = { 0 };
	quantity_map_get(&c->spec.resources.requests, S("storage"), &now);
	quantity_map_get(&old->spec.resources.requests, S("storage"), &was);
	if (quantity_cmp(now, was) <= 0)
		return true;
	if (!str_eq(old->status.phase, S("Bound")))
		return admission_forbid(ad, s, "Only bound persistent volume claims can be expanded");
	str class = claim_class(c);
	const struct storage_v1_StorageClass *sc = class.n && str_eq(class, claim_class(old))
		? registry_get(ad->r, S("storage.k8s.io"), S("storageclasses"), S(""), class) : NULL;
	if (!sc || !sc->allowVolumeExpansion || !*sc->allowVolumeExpansion)
		return admission_forbid(ad, s, "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize");
	return true;
}

// --- DefaultIngressClass ---

static bool default_ingress_class(const struct admission *ad, struct api_status *s)
{
	(void)s;
	if (ad->op != ADMIT_CREATE || !admission_is(ad, "networking.k8s.io", "ingresses"))
		return true;
	struct networking_v1_Ingress *i = ad->obj;
	str ignored;
	if (i->spec.ingressClassName || str_map_find(&i->metadata.annotations, S("kubernetes.io/ingress.class"), &ignored))
		return true;
	struct newest n = { "ingressclass.kubernetes.io/is-default-class", NULL, NULL };
	registry_each(ad->r, S("networking.k8s.io"), S("ingressclasses"), S(""), find_newest, &n);
	if (n.best)
		i->spec.ingressClassName = NEW_VALUE(ad->r->arena, str, n.best->name);
	return true;
}

// --- RuntimeClass ---

static bool same_quantities(struct arena *a, const struct quantity_map *x, const struct quantity_map *y)
{
	(void)a;
	if (x->n != y->n)
		return false;
	for (size_t i = 0; i < x->n; i++) {
		struct quantity q;
		if (!quantity_map_get(y, x->v[i].key, &q) || quantity_cmp(q, x->v[i].value) != 0)
			return false;
	}
	return true;
}

static bool same_toleration(const struct core_v1_Toleration *x, const struct core_v1_Toleration *y)
{
	return schema_equal(core_v1_Toleration_desc, x, y);
}

static bool runtime_class(const struct admission *ad, struct api_status *s)
{
	if (ad->op != ADMIT_CREATE || !admission_is(ad, "", "pods"))
		return true;
	struct core_v1_Pod *p = ad->obj;
	const struct node_v1_RuntimeClass *c = NULL;
	if (p->spec.runtimeClassName) {
		c = registry_get(ad->r, S("node.k8s.io"), S("runtimeclasses"), S(""), *p->spec.runtimeClassName);
		if (!c)
			return admission_forbid(ad, s, "pod rejected: RuntimeClass %s not found", arena_cstr(ad->r->arena, go_quote(ad->r->arena, *p->spec.runtimeClassName)));
	}
	if (c && c->overhead) {
		if (p->spec.overhead.n && !same_quantities(ad->r->arena, &c->overhead->podFixed, &p->spec.overhead))
			return admission_forbid(ad, s, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
		p->spec.overhead = c->overhead->podFixed;
	} else if (p->spec.overhead.v) {
		return admission_forbid(ad, s, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead");
	}
	if (!c || !c->scheduling)
		return true;
	EACH (l, c->scheduling->nodeSelector) {
		str have;
		if (str_map_find(&p->spec.nodeSelector, l->key, &have) && !str_eq(have, l->value))
			return admission_forbid(ad, s, "conflict: runtimeClass.scheduling.nodeSelector[" STR_FMT "] = " STR_FMT "; pod.spec.nodeSelector[" STR_FMT "] = " STR_FMT,
			                        STR_ARG(l->key), STR_ARG(l->value), STR_ARG(l->key), STR_ARG(have));
		str_map_set(ad->r->arena, &p->spec.nodeSelector, l->key, l->value);
	}
	EACH (t, c->scheduling->tolerations) {
		bool have = false;
		EACH (mine, p->spec.tolerations)
			have = have || same_toleration(mine, t);
		if (!have)
			*LIST_ADD(ad->r->arena, &p->spec.tolerations) = *t;
	}
	return true;
}

// --- PodTopologyLabels: a pod learns on binding where its node stands ---

static bool pod_topology(const struct admission *ad, struct api_status *s)
{
	static const str keys[] = { S_INIT("topology.kubernetes.io/zone"), S_INIT("topology.kubernetes.io/region") };
	(void)s;
	if (ad->op != ADMIT_CREATE || !admission_is(ad, "", "pods"))
		return true;
	struct core_v1_Pod *p = ad->obj;
	const struct core_v1_Node *n = p->spec.nodeName.n ? registry_get(ad->r, S(""), S("nodes"), S(""), p->spec.nodeName) : NULL;
	for (size_t i = 0; n && i < ARRAY_LEN(keys); i++) {
		str value;
		if (str_map_find(&n->metadata.labels, keys[i], &value))
			str_map_set(ad->r->arena, &p->metadata.labels, keys[i], value);
	}
	return true;
}

// --- Certificates ---

static bool signer_allowed(const struct admission *ad, const char *verb, str signer)
{
	struct attributes at = { .user = &ad->r->user, .is_resource = true, .verb = str_c(verb), .group = S("certificates.k8s.io"), .version = S("*"),
		.resource = S("signers"), .name = signer };
	str reason, domain, rest;
	if (decide(ad->r, &at, &reason) == ALLOW)
		return true;
	if (!str_split(signer, '/', &domain, &rest))
		return false;
	at.name = arena_concat(ad->r->arena, domain, S("/*"));
	return decide(ad->r, &at, &reason) == ALLOW;
}

static bool certificates(const struct admission *ad, struct api_status *s)
{
	const char *group = "certificates.k8s.io", *csr = "certificatesigningrequests";
	if (ad->op == ADMIT_UPDATE && admission_is_sub(ad, group, csr, "approval")) {
		const struct certificates_v1_CertificateSigningRequest *old = ad->old;
		if (!signer_allowed(ad, "approve", old->spec.signerName))
			return admission_forbid(ad, s, "user not permitted to approve requests with signerName %s", arena_cstr(ad->r->arena, go_quote(ad->r->arena, old->spec.signerName)));
	}
	if (ad->op == ADMIT_UPDATE && admission_is_sub(ad, group, csr, "status")) {
		const struct certificates_v1_CertificateSigningRequest *old = ad->old, *now = ad->obj;
		if (!str_eq(old->status.certificate, now->status.certificate) && !signer_allowed(ad, "sign", old->spec.signerName))
			return admission_forbid(ad, s, "user not permitted to sign requests with signerName %s", arena_cstr(ad->r->arena, go_quote(ad->r->arena, old->spec.signerName)));
	}
	return true;
}

// --- The chains ---

typedef bool (*plugin)(const struct admission *ad, struct api_status *s);

static bool run(const struct admission *ad, struct api_status *s, const plugin *chain, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!chain[i](ad, s))
			return false;
	return true;
}

bool admission_mutate(const struct admission *ad, struct api_status *s)
{
	static const plugin chain[] = {
		namespace_lifecycle, service_account_mutate, node_restriction, taint_nodes, priority_mutate, default_tolerations,
		default_storage_class, storage_in_use, runtime_class, default_ingress_class, pod_topology,
	};
	return run(ad, s, chain, ARRAY_LEN(chain));
}

bool admission_validate(const struct admission *ad, struct api_status *s)
{
	static const plugin chain[] = {
		service_account_validate, priority_validate, claim_resize, certificates,
	};
	return run(ad, s, chain, ARRAY_LEN(chain));
}
