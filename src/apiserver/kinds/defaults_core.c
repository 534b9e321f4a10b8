// Defaults of the core group (pods: pod_defaults.c).
#include "apiserver/kinds/defaults.h"

DEFAULTS(podtemplate, core_v1_PodTemplate)
{
	pod_spec_defaults(a, &o->template.spec);
}

DEFAULTS(replicationcontroller, core_v1_ReplicationController)
{
	if (o->spec.template) {
		const struct str_map *labels = &o->spec.template->metadata.labels;
		if (labels->v && !o->spec.selector.n)
			o->spec.selector = *labels;
		if (labels->v && !o->metadata.labels.n)
			o->metadata.labels = *labels;
		pod_spec_defaults(a, &o->spec.template->spec);
	}
	DEFAULT_PTR(a, o->spec.replicas, int32_t, 1);
}

static bool externally_accessible(const struct core_v1_Service *o)
{
	return str_eq(o->spec.type, S("LoadBalancer")) || str_eq(o->spec.type, S("NodePort")) ||
	       (str_eq(o->spec.type, S("ClusterIP")) && o->spec.externalIPs.n);
}

DEFAULTS(service, core_v1_Service)
{
	struct core_v1_ServiceSpec *s = &o->spec;
	default_str(&s->sessionAffinity, "None");
	if (str_eq(s->sessionAffinity, S("None")))
		s->sessionAffinityConfig = NULL;
	if (str_eq(s->sessionAffinity, S("ClientIP"))) {
		struct core_v1_SessionAffinityConfig *c = s->sessionAffinityConfig;
		if (!c || !c->clientIP || !c->clientIP->timeoutSeconds) {
			c = s->sessionAffinityConfig = ARENA_NEW(a, struct core_v1_SessionAffinityConfig);
			c->clientIP = ARENA_NEW(a, struct core_v1_ClientIPConfig);
			c->clientIP->timeoutSeconds = NEW_VALUE(a, int32_t, 10800);
		}
	}
	default_str(&s->type, "ClusterIP");
	EACH (p, s->ports) {
		default_str(&p->protocol, "TCP");
		if (p->targetPort.is_string ? p->targetPort.s.n == 0 : p->targetPort.i == 0)
			p->targetPort = (struct int_or_string){ .i = p->port };
	}
	if (externally_accessible(o))
		default_str(&s->externalTrafficPolicy, "Cluster");
	bool balancer = str_eq(s->type, S("LoadBalancer"));
	if (balancer || str_eq(s->type, S("NodePort")) || str_eq(s->type, S("ClusterIP")))
		DEFAULT_PTR(a, s->internalTrafficPolicy, str, S("Cluster"));
	if (balancer) {
		DEFAULT_PTR(a, s->allocateLoadBalancerNodePorts, bool, true);
		EACH (i, o->status.loadBalancer.ingress)
			if (i->ip.n)
				DEFAULT_PTR(a, i->ipMode, str, S("VIP"));
	}
}

DEFAULTS(secret, core_v1_Secret)
{
	default_str(&o->type, "Opaque");
	// Write-only text becomes data as soon as it is seen.
	EACH (e, o->stringData) {
		bool found = false;
		EACH (d, o->data)
			if (str_eq(d->key, e->key)) {
				d->value = e->value;
				found = true;
			}
		if (!found)
			str_map_set(a, (struct str_map *)&o->data, e->key, e->value);
	}
	o->stringData = (__typeof__(o->stringData)){ 0 };
}

DEFAULTS(configmap, core_v1_ConfigMap)
{
	(void)a;
	(void)o;
}

DEFAULTS(persistentvolume, core_v1_PersistentVolume)
{
	struct core_v1_PersistentVolumeSource *v = &o->spec.persistentVolumeSource;
	default_str(&o->status.phase, "Pending");
	default_str(&o->spec.persistentVolumeReclaimPolicy, "Retain");
	DEFAULT_PTR(a, o->spec.volumeMode, str, S("Filesystem"));
	quantities_default(a, &o->spec.capacity);
	if (v->hostPath)
		DEFAULT_PTR(a, v->hostPath->type, str, S(""));
	if (v->iscsi)
		default_str(&v->iscsi->iscsiInterface, "default");
	if (v->rbd) {
		default_str(&v->rbd->pool, "rbd");
		default_str(&v->rbd->user, "admin");
		default_str(&v->rbd->keyring, "/etc/ceph/keyring");
	}
	if (v->azureDisk) {
		DEFAULT_PTR(a, v->azureDisk->cachingMode, str, S("ReadWrite"));
		DEFAULT_PTR(a, v->azureDisk->fsType, str, S("ext4"));
		DEFAULT_PTR(a, v->azureDisk->readOnly, bool, false);
		DEFAULT_PTR(a, v->azureDisk->kind, str, S("Shared"));
	}
	if (v->scaleIO) {
		default_str(&v->scaleIO->storageMode, "ThinProvisioned");
		default_str(&v->scaleIO->fsType, "xfs");
	}
}

DEFAULTS(persistentvolumeclaim, core_v1_PersistentVolumeClaim)
{
	default_str(&o->status.phase, "Pending");
	claim_spec_defaults(a, &o->spec);
	quantities_default(a, &o->status.capacity);
}

DEFAULTS(endpoints, core_v1_Endpoints)
{
	EACH (s, o->subsets)
		EACH (p, s->ports)
			default_str(&p->protocol, "TCP");
}

DEFAULTS(namespace, core_v1_Namespace)
{
	if (o->metadata.name.n)
		str_map_set(a, &o->metadata.labels, S("kubernetes.io/metadata.name"), o->metadata.name);
	default_str(&o->status.phase, "Active");
}

DEFAULTS(node, core_v1_Node)
{
	if (!o->status.allocatable.v && o->status.capacity.v)
		o->status.allocatable = o->status.capacity;
	quantities_default(a, &o->status.capacity);
	quantities_default(a, &o->status.allocatable);
	// The old single field and the first of the list are the same.
	if (!o->spec.podCIDRs.n && o->spec.podCIDR.n)
		*LIST_ADD(a, &o->spec.podCIDRs) = o->spec.podCIDR;
	else if (o->spec.podCIDRs.n)
		o->spec.podCIDR = o->spec.podCIDRs.v[0];
}

static void fill(struct arena *a, struct quantity_map *to, const struct quantity_map *from)
{
	struct quantity have;
	EACH (e, *from)
		if (!quantity_map_get(to, e->key, &have))
			quantity_map_set(a, to, e->key, e->value);
}

DEFAULTS(limitrange, core_v1_LimitRange)
{
	EACH (i, o->spec.limits) {
		if (str_eq(i->type, S("Container"))) {
			fill(a, &i->default_, &i->max);
			fill(a, &i->defaultRequest, &i->default_);
			fill(a, &i->defaultRequest, &i->min);
		}
		quantities_default(a, &i->max);
		quantities_default(a, &i->min);
		quantities_default(a, &i->default_);
		quantities_default(a, &i->defaultRequest);
		quantities_default(a, &i->maxLimitRequestRatio);
	}
}

DEFAULTS(resourcequota, core_v1_ResourceQuota)
{
	quantities_default(a, &o->spec.hard);
	quantities_default(a, &o->status.hard);
	quantities_default(a, &o->status.used);
}
