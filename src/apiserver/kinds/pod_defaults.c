// Defaults of pods and pod templates.
#include "apiserver/kinds/defaults.h"

void quantities_default(struct arena *a, struct quantity_map *m)
{
	EACH (e, *m) {
		str s = e->value.s;
		if (s.n && (s.p[s.n - 1] == 'n' || s.p[s.n - 1] == 'u'))
			e->value = quantity_of_milli(a, quantity_milli(e->value));
	}
}

// Whether an image without a pull policy is always pulled: its tag is, or would be, "latest".
static bool is_latest(str image)
{
	str name = image, digest = { 0 }, tag = { 0 };
	ptrdiff_t at = str_find_char(image, '@');
	if (at >= 0) {
		name = str_sub(image, 0, (size_t)at);
		digest = str_from(image, (size_t)at + 1);
	}
	ptrdiff_t colon = str_rfind_char(name, ':'), slash = str_rfind_char(name, '/');
	if (colon >= 0 && colon > slash) {
		tag = str_from(name, (size_t)colon + 1);
		name = str_sub(name, 0, (size_t)colon);
	}
	// What is no image name at all has no tag.
	slash = str_find_char(name, '/');
	str path = slash >= 0 ? str_from(name, (size_t)slash + 1) : name, host = slash >= 0 ? str_sub(name, 0, (size_t)slash) : S("");
	bool is_host = str_find_char(host, '.') >= 0 || str_find_char(host, ':') >= 0 || str_eq(host, S("localhost"));
	if (!is_host)
		path = name;
	for (size_t i = 0; i < path.n; i++) {
		char c = path.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr("._-/", c)))
			return false;
	}
	if (path.n == 0)
		return false;
	return tag.n ? str_eq(tag, S("latest")) : digest.n == 0;
}

static void http_defaults(struct core_v1_HTTPGetAction *g)
{
	default_str(&g->path, "/");
	default_str(&g->scheme, "HTTP");
}

static void probe_defaults(struct arena *a, struct core_v1_Probe *p)
{
	if (!p)
		return;
	if (!p->timeoutSeconds)
		p->timeoutSeconds = 1;
	if (!p->periodSeconds)
		p->periodSeconds = 10;
	if (!p->successThreshold)
		p->successThreshold = 1;
	if (!p->failureThreshold)
		p->failureThreshold = 3;
	if (p->handler.httpGet)
		http_defaults(p->handler.httpGet);
	if (p->handler.grpc)
		DEFAULT_PTR(a, p->handler.grpc->service, str, S(""));
}

static void container_defaults(struct arena *a, struct core_v1_Container *c)
{
	if (!c->imagePullPolicy.n)
		c->imagePullPolicy = is_latest(c->image) ? S("Always") : S("IfNotPresent");
	default_str(&c->terminationMessagePath, "/dev/termination-log");
	default_str(&c->terminationMessagePolicy, "File");
	EACH (p, c->ports)
		default_str(&p->protocol, "TCP");
	EACH (e, c->env) {
		if (e->valueFrom && e->valueFrom->fieldRef)
			default_str(&e->valueFrom->fieldRef->apiVersion, "v1");
		if (e->valueFrom && e->valueFrom->fileKeyRef)
			DEFAULT_PTR(a, e->valueFrom->fileKeyRef->optional, bool, false);
	}
	quantities_default(a, &c->resources.limits);
	quantities_default(a, &c->resources.requests);
	probe_defaults(a, c->livenessProbe);
	probe_defaults(a, c->readinessProbe);
	probe_defaults(a, c->startupProbe);
	if (c->lifecycle && c->lifecycle->postStart && c->lifecycle->postStart->httpGet)
		http_defaults(c->lifecycle->postStart->httpGet);
	if (c->lifecycle && c->lifecycle->preStop && c->lifecycle->preStop->httpGet)
		http_defaults(c->lifecycle->preStop->httpGet);
}

static void downward_defaults(struct core_v1_DownwardAPIVolumeFile_list *items)
{
	EACH (f, *items)
		if (f->fieldRef)
			default_str(&f->fieldRef->apiVersion, "v1");
}

static bool no_source(const struct core_v1_VolumeSource *v)
{
	static const struct core_v1_VolumeSource none;
	return memcmp(v, &none, sizeof(none)) == 0; // pointers only
}

void claim_spec_defaults(struct arena *a, struct core_v1_PersistentVolumeClaimSpec *s)
{
	DEFAULT_PTR(a, s->volumeMode, str, S("Filesystem"));
	quantities_default(a, &s->resources.limits);
	quantities_default(a, &s->resources.requests);
}

static void volume_defaults(struct arena *a, struct core_v1_VolumeSource *v)
{
	if (no_source(v))
		v->emptyDir = ARENA_NEW(a, struct core_v1_EmptyDirVolumeSource);
	if (v->image && !v->image->pullPolicy.n)
		v->image->pullPolicy = is_latest(v->image->reference) ? S("Always") : S("IfNotPresent");
	if (v->hostPath)
		DEFAULT_PTR(a, v->hostPath->type, str, S(""));
	if (v->secret)
		DEFAULT_PTR(a, v->secret->defaultMode, int32_t, 0644);
	if (v->configMap)
		DEFAULT_PTR(a, v->configMap->defaultMode, int32_t, 0644);
	if (v->iscsi)
		default_str(&v->iscsi->iscsiInterface, "default");
	if (v->rbd) {
		default_str(&v->rbd->pool, "rbd");
		default_str(&v->rbd->user, "admin");
		default_str(&v->rbd->keyring, "/etc/ceph/keyring");
	}
	if (v->downwardAPI) {
		DEFAULT_PTR(a, v->downwardAPI->defaultMode, int32_t, 0644);
		downward_defaults(&v->downwardAPI->items);
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
	if (v->projected) {
		DEFAULT_PTR(a, v->projected->defaultMode, int32_t, 0644);
		EACH (p, v->projected->sources) {
			if (p->downwardAPI)
				downward_defaults(&p->downwardAPI->items);
			if (p->serviceAccountToken)
				DEFAULT_PTR(a, p->serviceAccountToken->expirationSeconds, int64_t, 3600);
		}
	}
	if (v->ephemeral && v->ephemeral->volumeClaimTemplate)
		claim_spec_defaults(a, &v->ephemeral->volumeClaimTemplate->spec);
}

void pod_spec_defaults(struct arena *a, struct core_v1_PodSpec *s)
{
	_Static_assert(sizeof(struct core_v1_Container) == sizeof(struct core_v1_EphemeralContainerCommon), "the same fields");
	default_str(&s->dnsPolicy, "ClusterFirst");
	default_str(&s->restartPolicy, "Always");
	if (!s->securityContext)
		s->securityContext = ARENA_NEW(a, struct core_v1_PodSecurityContext);
	DEFAULT_PTR(a, s->terminationGracePeriodSeconds, int64_t, 30);
	default_str(&s->schedulerName, "default-scheduler");
	// The old name and the new one of the same field always agree.
	if (!s->serviceAccountName.n)
		s->serviceAccountName = s->serviceAccount;
	s->serviceAccount = s->serviceAccountName;
	EACH (v, s->volumes)
		volume_defaults(a, &v->volumeSource);
	EACH (c, s->initContainers)
		container_defaults(a, c);
	EACH (c, s->containers)
		container_defaults(a, c);
	EACH (c, s->ephemeralContainers)
		container_defaults(a, (struct core_v1_Container *)&c->ephemeralContainerCommon);
	quantities_default(a, &s->overhead);
	if (s->resources) {
		quantities_default(a, &s->resources->limits);
		quantities_default(a, &s->resources->requests);
	}
	if (!s->hostNetwork)
		return;
	EACH (c, s->containers)
		EACH (p, c->ports)
			if (!p->hostPort)
				p->hostPort = p->containerPort;
	EACH (c, s->initContainers)
		EACH (p, c->ports)
			if (!p->hostPort)
				p->hostPort = p->containerPort;
}

static void requests_from_limits(struct arena *a, struct core_v1_Container_list *l)
{
	EACH (c, *l)
		EACH (limit, c->resources.limits) {
			struct quantity have;
			if (!quantity_map_get(&c->resources.requests, limit->key, &have))
				quantity_map_set(a, &c->resources.requests, limit->key, limit->value);
		}
}

static bool pod_level(str name)
{
	return str_eq(name, S("cpu")) || str_eq(name, S("memory")) || str_has_prefix(name, S("hugepages-"));
}

static void pod_level_defaults(struct arena *a, struct core_v1_Pod *o)
{
	struct core_v1_ResourceRequirements *r = o->spec.resources;
	if (!r)
		return;
	// Sums over containers, without what the pod itself asks for.
	struct core_v1_Pod bare = *o;
	bare.spec.resources = NULL;
	bare.spec.overhead = (struct quantity_map){ 0 };
	struct quantity_map sum = { 0 };
	struct quantity q;
	if (r->limits.n || r->requests.n) {
		pod_limits(a, &bare, &sum);
		EACH (e, sum)
			if (str_has_prefix(e->key, S("hugepages-")) && !quantity_map_get(&r->requests, e->key, &q) && !quantity_map_get(&r->limits, e->key, &q))
				quantity_map_set(a, &r->limits, e->key, e->value);
	}
	if (!r->limits.n)
		return;
	pod_requests(a, &bare, &sum);
	EACH (e, sum)
		if (pod_level(e->key) && !str_has_prefix(e->key, S("hugepages-")) && !quantity_map_get(&r->requests, e->key, &q))
			quantity_map_set(a, &r->requests, e->key, e->value);
	EACH (e, r->limits)
		if (pod_level(e->key) && !quantity_map_get(&r->requests, e->key, &q))
			quantity_map_set(a, &r->requests, e->key, e->value);
}

DEFAULTS(pod, core_v1_Pod)
{
	requests_from_limits(a, &o->spec.containers);
	requests_from_limits(a, &o->spec.initContainers);
	pod_level_defaults(a, o);
	DEFAULT_PTR(a, o->spec.enableServiceLinks, bool, true);
	pod_spec_defaults(a, &o->spec);
}
