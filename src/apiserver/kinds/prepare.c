// Before validation: what the server sets, keeps and drops.
#include "apiserver/kinds/prepare.h"

#include <stdlib.h>

// --- Pods ---

static void add_label_keys(struct arena *a, struct meta_v1_LabelSelector *s, const struct str_list *keys, const char *op, const struct str_map *labels)
{
	str value;
	EACH (key, *keys)
		if (str_map_find(labels, *key, &value)) {
			struct meta_v1_LabelSelectorRequirement *q = LIST_ADD(a, &s->matchExpressions);
			q->key = *key;
			q->operator = str_c(op);
			*LIST_ADD(a, &q->values) = value;
		}
}

static void apply_term(struct arena *a, struct core_v1_PodAffinityTerm *t, const struct str_map *labels)
{
	if (!t->labelSelector)
		return;
	add_label_keys(a, t->labelSelector, &t->matchLabelKeys, "In", labels);
	add_label_keys(a, t->labelSelector, &t->mismatchLabelKeys, "NotIn", labels);
}

static void drop_stop_signals(struct core_v1_Container_list *l)
{
	EACH (c, *l)
		if (c->lifecycle) {
			c->lifecycle->stopSignal = NULL;
			if (!c->lifecycle->postStart && !c->lifecycle->preStop)
				c->lifecycle = NULL;
		}
}

PREPARE_CREATE(pod)
{
	struct core_v1_Pod *p = obj;
	struct arena *a = r->arena;
	drop_stop_signals(&p->spec.containers); // an alpha feature
	drop_stop_signals(&p->spec.initContainers);
	if (p->spec.terminationGracePeriodSeconds && *p->spec.terminationGracePeriodSeconds < 0)
		*p->spec.terminationGracePeriodSeconds = 1;
	p->metadata.generation = 1;
	p->status = (struct core_v1_PodStatus){ .phase = S("Pending") };
	p->status.qosClass = pod_qos_class(a, p);
	if (p->spec.schedulingGates.n) {
		struct core_v1_PodCondition *c = LIST_ADD(a, &p->status.conditions);
		c->type = S("PodScheduled");
		c->status = S("False");
		c->reason = S("SchedulingGated");
		c->message = S("Scheduling is blocked due to non-empty scheduling gates");
		c->lastTransitionTime = api_time_now(clock_wall(r->clock));
	}
	const struct str_map *labels = &p->metadata.labels;
	struct core_v1_Affinity *af = p->spec.affinity;
	if (af && af->podAffinity) {
		EACH (t, af->podAffinity->preferredDuringSchedulingIgnoredDuringExecution)
			apply_term(a, &t->podAffinityTerm, labels);
		EACH (t, af->podAffinity->requiredDuringSchedulingIgnoredDuringExecution)
			apply_term(a, t, labels);
	}
	if (af && af->podAntiAffinity) {
		EACH (t, af->podAntiAffinity->preferredDuringSchedulingIgnoredDuringExecution)
			apply_term(a, &t->podAffinityTerm, labels);
		EACH (t, af->podAntiAffinity->requiredDuringSchedulingIgnoredDuringExecution)
			apply_term(a, t, labels);
	}
	EACH (c, p->spec.topologySpreadConstraints)
		if (c->labelSelector)
			add_label_keys(a, c->labelSelector, &c->matchLabelKeys, "In", labels);
}

static void keep_generations(struct core_v1_Pod *p, const struct core_v1_Pod *old)
{
	if (!p->status.observedGeneration)
		p->status.observedGeneration = old->status.observedGeneration;
	EACH (c, p->status.conditions) {
		const struct core_v1_PodCondition *before = pod_condition(old, c->type);
		if (!c->observedGeneration && before)
			c->observedGeneration = before->observedGeneration;
	}
}

static void keep_meta(struct meta_v1_ObjectMeta *m, const struct meta_v1_ObjectMeta *old)
{
	struct meta_v1_ManagedFieldsEntry_list managed = m->managedFields;
	str version = m->resourceVersion;
	*m = *old;
	m->managedFields = managed;
	m->resourceVersion = version;
}

// Of a resize only resources and resize policies count.
static void keep_containers(struct arena *a, struct core_v1_Container_list *l, const struct core_v1_Container_list *old)
{
	struct core_v1_Container_list out = { 0 };
	for (size_t i = 0; i < old->n; i++) {
		struct core_v1_Container *c = LIST_ADD(a, &out);
		*c = old->v[i];
		for (size_t j = 0; j < l->n; j++)
			if (str_eq(l->v[j].name, c->name)) {
				c->resources = l->v[j].resources;
				c->resizePolicy = l->v[j].resizePolicy;
			}
	}
	*l = out;
}

PREPARE_UPDATE(pod)
{
	struct core_v1_Pod *p = obj;
	const struct core_v1_Pod *o = old;
	if (t == UPDATE_STATUS) {
		p->spec = o->spec;
		p->metadata.deletionTimestamp = NULL;
		p->metadata.ownerReferences = o->metadata.ownerReferences;
		if (!p->status.qosClass.n)
			p->status.qosClass = o->status.qosClass;
		keep_generations(p, o);
		return;
	}
	if (t == UPDATE_SUBRESOURCE && str_eq(r->info.subresource, S("ephemeralcontainers"))) {
		struct core_v1_EphemeralContainer_list given = p->spec.ephemeralContainers;
		p->spec = o->spec;
		p->spec.ephemeralContainers = given;
		keep_meta(&p->metadata, &o->metadata);
	} else if (t == UPDATE_SUBRESOURCE && str_eq(r->info.subresource, S("resize")) && p->spec.containers.n == o->spec.containers.n &&
	           p->spec.initContainers.n == o->spec.initContainers.n) {
		struct core_v1_Container_list containers = p->spec.containers, init = p->spec.initContainers;
		struct core_v1_ResourceRequirements *whole = p->spec.resources;
		keep_containers(r->arena, &containers, &o->spec.containers);
		keep_containers(r->arena, &init, &o->spec.initContainers);
		p->spec = o->spec;
		p->spec.containers = containers;
		p->spec.initContainers = init;
		p->spec.resources = whole;
		keep_meta(&p->metadata, &o->metadata);
	}
	p->status = o->status;
	p->metadata.generation = o->metadata.generation;
	if (!schema_equal(core_v1_PodSpec_desc, &p->spec, &o->spec))
		p->metadata.generation++;
}

// The grace that a pod gets: asked for, or its own; none when it never ran or has ended.
bool pod_graceful(struct request *r, void *obj, int64_t *grace)
{
	const struct core_v1_Pod *p = obj;
	int64_t period = *grace;
	(void)r;
	if (period < 0) // not asked for
		period = p->spec.terminationGracePeriodSeconds ? *p->spec.terminationGracePeriodSeconds : 0;
	if (!p->spec.nodeName.n || pod_is_terminal(p))
		period = 0;
	*grace = period < 0 ? 1 : period; // upstream: never less than nothing
	return true;
}

// --- Namespaces, nodes ---

PREPARE_CREATE(namespace)
{
	struct core_v1_Namespace *n = obj;
	n->status = (struct core_v1_NamespaceStatus){ .phase = S("Active") };
	if (!str_list_has(&n->spec.finalizers, S("kubernetes")))
		*LIST_ADD(r->arena, &n->spec.finalizers) = S("kubernetes");
	str_map_set(r->arena, &n->metadata.labels, S("kubernetes.io/metadata.name"), n->metadata.name);
}

PREPARE_UPDATE(namespace)
{
	struct core_v1_Namespace *n = obj;
	const struct core_v1_Namespace *o = old;
	if (t == UPDATE_STATUS)
		n->spec = o->spec;
	else
		n->status = o->status;
	if (t == UPDATE_SPEC)
		n->spec.finalizers = o->spec.finalizers;
	str_map_set(r->arena, &n->metadata.labels, S("kubernetes.io/metadata.name"), n->metadata.name);
}

PREPARE_CREATE(node)
{
	struct core_v1_Node *n = obj;
	(void)r;
	n->spec.configSource = NULL;
	n->status.config = NULL;
}

PREPARE_UPDATE(node)
{
	struct core_v1_Node *n = obj;
	const struct core_v1_Node *o = old;
	(void)r;
	if (t == UPDATE_STATUS) {
		n->spec = o->spec;
		if (!o->status.config)
			n->status.config = NULL;
		return;
	}
	n->status = o->status;
	if (!o->spec.configSource)
		n->spec.configSource = NULL;
}

// --- Services: fields that belong to the type that was are dropped with it, unless they were set anew ---

static bool service_is(const struct core_v1_Service *s, const char *type) { return str_eqc(s->spec.type, type); }

static bool same_list(const struct str_list *x, const struct str_list *y)
{
	if (x->n != y->n)
		return false;
	for (size_t i = 0; i < x->n; i++)
		if (!str_eq(x->v[i], y->v[i]))
			return false;
	return true;
}

static bool same_ptr(const str *x, const str *y)
{
	return !x || !y ? x == y : str_eq(*x, *y);
}

static bool needs_node_port(const struct core_v1_Service *s) { return service_is(s, "NodePort") || service_is(s, "LoadBalancer"); }
static bool needs_health_port(const struct core_v1_Service *s)
{
	return service_is(s, "LoadBalancer") && str_eq(s->spec.externalTrafficPolicy, S("Local"));
}
static bool is_external(const struct core_v1_Service *s) { return needs_node_port(s) || (service_is(s, "ClusterIP") && s->spec.externalIPs.n); }

static bool node_ports_kept(const struct core_v1_Service *n, const struct core_v1_Service *o)
{
	EACH (p, n->spec.ports) {
		bool found = !p->nodePort;
		EACH (q, o->spec.ports)
			found = found || q->nodePort == p->nodePort;
		if (!found)
			return false;
	}
	return true;
}

PREPARE_UPDATE(service)
{
	struct core_v1_Service *n = obj;
	const struct core_v1_Service *o = old;
	struct core_v1_ServiceSpec *s = &n->spec;
	const struct core_v1_ServiceSpec *was = &o->spec;
	(void)r;
	if (t == UPDATE_STATUS) {
		n->spec = o->spec;
		return;
	}
	n->status = o->status;
	if (!service_is(o, "ExternalName") && service_is(n, "ExternalName")) {
		if (str_eq(s->clusterIP, was->clusterIP) && same_list(&s->clusterIPs, &was->clusterIPs)) {
			s->clusterIP = S("");
			s->clusterIPs = (struct str_list){ 0 };
		}
		if (same_list(&s->ipFamilies, &was->ipFamilies))
			s->ipFamilies = (struct str_list){ 0 };
		if (same_ptr(s->ipFamilyPolicy, was->ipFamilyPolicy))
			s->ipFamilyPolicy = NULL;
	}
	if (needs_node_port(o) && !needs_node_port(n) && node_ports_kept(n, o))
		EACH (p, s->ports)
			p->nodePort = 0;
	if (needs_health_port(o) && !needs_health_port(n) && s->healthCheckNodePort == was->healthCheckNodePort)
		s->healthCheckNodePort = 0;
	if (service_is(o, "LoadBalancer") && !service_is(n, "LoadBalancer")) {
		if (s->allocateLoadBalancerNodePorts && was->allocateLoadBalancerNodePorts &&
		    *s->allocateLoadBalancerNodePorts == *was->allocateLoadBalancerNodePorts)
			s->allocateLoadBalancerNodePorts = NULL;
		if (same_ptr(s->loadBalancerClass, was->loadBalancerClass))
			s->loadBalancerClass = NULL;
	}
	if (is_external(o) && !is_external(n) && str_eq(s->externalTrafficPolicy, was->externalTrafficPolicy))
		s->externalTrafficPolicy = S("");
	if (!service_is(n, "LoadBalancer"))
		n->status.loadBalancer = (struct core_v1_LoadBalancerStatus){ 0 };
}

// --- Others ---

static void clean_secrets(struct core_v1_ServiceAccount *s)
{
	EACH (ref, s->secrets)
		*ref = (struct core_v1_ObjectReference){ .name = ref->name };
}

PREPARE_CREATE(serviceaccount)
{
	(void)r;
	clean_secrets(obj);
}

PREPARE_UPDATE(serviceaccount)
{
	(void)r, (void)t, (void)old;
	clean_secrets(obj);
}

// A Deployment's generation also counts its annotations.
PREPARE_UPDATE(deployment)
{
	struct apps_v1_Deployment *d = obj;
	const struct apps_v1_Deployment *o = old;
	(void)r;
	if (t == UPDATE_STATUS) {
		d->spec = o->spec;
		d->metadata.labels = o->metadata.labels;
		return;
	}
	d->status = o->status;
	d->metadata.generation = o->metadata.generation;
	struct meta_v1_ObjectMeta now = { .annotations = d->metadata.annotations }, was = { .annotations = o->metadata.annotations };
	if (!schema_equal(apps_v1_DeploymentSpec_desc, &d->spec, &o->spec) || !schema_equal(meta_v1_ObjectMeta_desc, &now, &was))
		d->metadata.generation++;
}

#define TEMPLATE_GENERATION S("deprecated.daemonset.template.generation")

PREPARE_CREATE(daemonset)
{
	struct apps_v1_DaemonSet *d = obj;
	d->metadata.generation = 1;
	d->status = (struct apps_v1_DaemonSetStatus){ 0 };
	int64_t n;
	if (!str_to_i64(str_map_get(&d->metadata.annotations, TEMPLATE_GENERATION), &n) || n < 1)
		str_map_set(r->arena, &d->metadata.annotations, TEMPLATE_GENERATION, S("1"));
}

PREPARE_UPDATE(daemonset)
{
	struct apps_v1_DaemonSet *d = obj;
	const struct apps_v1_DaemonSet *o = old;
	int64_t n;
	if (!str_to_i64(str_map_get(&o->metadata.annotations, TEMPLATE_GENERATION), &n) || n < 1)
		n = 1;
	if (t == UPDATE_STATUS) {
		d->spec = o->spec;
	} else {
		d->status = o->status;
		d->metadata.generation = o->metadata.generation;
		n += !schema_equal(core_v1_PodTemplateSpec_desc, &d->spec.template, &o->spec.template);
		d->metadata.generation += !schema_equal(apps_v1_DaemonSetSpec_desc, &d->spec, &o->spec);
	}
	str_map_set(r->arena, &d->metadata.annotations, TEMPLATE_GENERATION, arena_printf(r->arena, "%lld", (long long)n));
}

PREPARE_UPDATE(podtemplate)
{
	struct core_v1_PodTemplate *d = obj;
	const struct core_v1_PodTemplate *o = old;
	(void)r, (void)t;
	d->metadata.generation = o->metadata.generation + !schema_equal(core_v1_PodTemplateSpec_desc, &d->template, &o->template);
}

PREPARE_CREATE(job)
{
	struct batch_v1_Job *j = obj;
	struct batch_v1_JobSpec *s = &j->spec;
	j->metadata.generation = 1;
	j->status = (struct batch_v1_JobStatus){ 0 };
	if (s->manualSelector && *s->manualSelector)
		return;
	// The selector is the job's own uid, so that nobody else's pods fit.
	str_map_set(r->arena, &j->metadata.labels, S("job-name"), j->metadata.name);
	str_map_set(r->arena, &j->metadata.labels, S("batch.kubernetes.io/job-name"), j->metadata.name);
	str_map_set(r->arena, &j->metadata.labels, S("controller-uid"), j->metadata.uid);
	str_map_set(r->arena, &j->metadata.labels, S("batch.kubernetes.io/controller-uid"), j->metadata.uid);
	str_map_set(r->arena, &s->template.metadata.labels, S("job-name"), j->metadata.name);
	str_map_set(r->arena, &s->template.metadata.labels, S("batch.kubernetes.io/job-name"), j->metadata.name);
	str_map_set(r->arena, &s->template.metadata.labels, S("controller-uid"), j->metadata.uid);
	str_map_set(r->arena, &s->template.metadata.labels, S("batch.kubernetes.io/controller-uid"), j->metadata.uid);
	if (!s->selector)
		s->selector = ARENA_NEW(r->arena, struct meta_v1_LabelSelector);
	if (!str_map_get(&s->selector->matchLabels, S("batch.kubernetes.io/controller-uid")).n)
		str_map_set(r->arena, &s->selector->matchLabels, S("batch.kubernetes.io/controller-uid"), j->metadata.uid);
}

PREPARE_UPDATE(cronjob)
{
	struct batch_v1_CronJob *c = obj;
	const struct batch_v1_CronJob *o = old;
	(void)r;
	if (t == UPDATE_STATUS) {
		c->spec = o->spec;
		return;
	}
	c->status = o->status;
	c->metadata.generation = o->metadata.generation;
	if (!schema_equal(batch_v1_CronJobSpec_desc, &c->spec, &o->spec))
		c->metadata.generation++;
}

PREPARE_CREATE(persistentvolume)
{
	struct core_v1_PersistentVolume *p = obj;
	p->status = (struct core_v1_PersistentVolumeStatus){ .phase = S("Pending") };
	p->status.lastPhaseTransitionTime = NEW_VALUE(r->arena, struct api_time, api_time_now(clock_wall(r->clock)));
}

PREPARE_CREATE(persistentvolumeclaim)
{
	struct core_v1_PersistentVolumeClaim *c = obj;
	struct arena *a = r->arena;
	c->status = (struct core_v1_PersistentVolumeClaimStatus){ .phase = S("Pending") };
	// The old and the new way to name a data source agree.
	struct core_v1_TypedLocalObjectReference *d = c->spec.dataSource;
	struct core_v1_TypedObjectReference *f = c->spec.dataSourceRef;
	if (d && !(str_eq(d->kind, S("PersistentVolumeClaim")) && (!d->apiGroup || !d->apiGroup->n)) &&
	    !(str_eq(d->kind, S("VolumeSnapshot")) && d->apiGroup && str_eq(*d->apiGroup, S("snapshot.storage.k8s.io"))))
		d = c->spec.dataSource = NULL;
	if (d && !f) {
		f = c->spec.dataSourceRef = ARENA_NEW(a, struct core_v1_TypedObjectReference);
		f->apiGroup = d->apiGroup;
		f->kind = d->kind;
		f->name = d->name;
	} else if (f && !d && !(f->namespace && f->namespace->n)) {
		d = c->spec.dataSource = ARENA_NEW(a, struct core_v1_TypedLocalObjectReference);
		d->apiGroup = f->apiGroup;
		d->kind = f->kind;
		d->name = f->name;
	}
}

// A service headless for nobody in particular: the label says who manages the object.
PREPARE_CREATE(endpointslice)
{
	(void)r;
	((struct discovery_v1_EndpointSlice *)obj)->metadata.generation = 1;
}

PREPARE_UPDATE(endpointslice)
{
	struct discovery_v1_EndpointSlice *n = obj;
	const struct discovery_v1_EndpointSlice *o = old;
	(void)r, (void)t;
	struct discovery_v1_EndpointSlice x = *n, y = *o;
	x.metadata = (struct meta_v1_ObjectMeta){ .labels = n->metadata.labels, .annotations = n->metadata.annotations };
	y.metadata = (struct meta_v1_ObjectMeta){ .labels = o->metadata.labels, .annotations = o->metadata.annotations };
	x.apiVersion = y.apiVersion;
	x.kind = y.kind;
	n->metadata.generation = o->metadata.generation + !schema_equal(discovery_v1_EndpointSlice_desc, &x, &y);
}

// Addresses that are no pods of a Service are marked by hand; the label tells controllers to keep off.
static void repack(struct arena *a, struct core_v1_Endpoints *e)
{
	(void)a;
	EACH (s, e->subsets) {
		for (size_t i = 1; i < s->addresses.n; i++)
			for (size_t j = i; j > 0 && str_cmp(s->addresses.v[j - 1].ip, s->addresses.v[j].ip) > 0; j--) {
				struct core_v1_EndpointAddress x = s->addresses.v[j];
				s->addresses.v[j] = s->addresses.v[j - 1];
				s->addresses.v[j - 1] = x;
			}
	}
}

PREPARE_CREATE(endpoints)
{
	repack(r->arena, obj);
}

PREPARE_UPDATE(endpoints)
{
	(void)t, (void)old;
	repack(r->arena, obj);
}

PREPARE_CREATE(certificatesigningrequest)
{
	struct certificates_v1_CertificateSigningRequest *c = obj;
	c->spec.username = r->user.name;
	c->spec.uid = r->user.uid;
	c->spec.groups = r->user.groups;
	c->spec.extra = (__typeof__(c->spec.extra)){ 0 };
	for (size_t i = 0; i < r->user.extra.n; i++) {
		__typeof__(c->spec.extra.v) e = LIST_ADD(r->arena, &c->spec.extra);
		e->key = r->user.extra.v[i].key;
		e->value = r->user.extra.v[i].values;
	}
	c->status = (struct certificates_v1_CertificateSigningRequestStatus){ 0 };
}

PREPARE_UPDATE(certificatesigningrequest)
{
	struct certificates_v1_CertificateSigningRequest *c = obj;
	const struct certificates_v1_CertificateSigningRequest *o = old;
	c->spec = o->spec; // what was asked for never changes
	if (t == UPDATE_SPEC) {
		c->status = o->status;
	} else if (t == UPDATE_SUBRESOURCE) { // approval: only conditions
		__typeof__(c->status.conditions) given = c->status.conditions;
		c->status = o->status;
		c->status.conditions = given;
	}
	struct api_time now = api_time_now(clock_wall(r->clock));
	EACH (cond, c->status.conditions) {
		if (!cond->lastUpdateTime.set)
			cond->lastUpdateTime = now;
		if (!cond->lastTransitionTime.set)
			cond->lastTransitionTime = now;
	}
}

PREPARE_CREATE(apiservice)
{
	struct apiregistration_v1_APIService *s = obj;
	s->status = (struct apiregistration_v1_APIServiceStatus){ 0 };
	if (s->spec.service)
		return;
	struct apiregistration_v1_APIServiceCondition *c = LIST_ADD(r->arena, &s->status.conditions);
	c->type = S("Available");
	c->status = S("True");
	c->reason = S("Local");
	c->message = S("Local APIServices are always available");
	c->lastTransitionTime = api_time_now(clock_wall(r->clock));
}

PREPARE_CREATE(customresourcedefinition)
{
	struct apiextensions_v1_CustomResourceDefinition *c = obj;
	struct str_list *stored = &c->status.storedVersions;
	*stored = (struct str_list){ 0 };
	c->metadata.generation = 1;
	c->status = (struct apiextensions_v1_CustomResourceDefinitionStatus){ 0 };
	EACH (v, c->spec.versions)
		if (v->storage && !str_list_has(&c->status.storedVersions, v->name))
			*LIST_ADD(r->arena, &c->status.storedVersions) = v->name;
}
