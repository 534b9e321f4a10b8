#include "controllers/manager.h"

#include <inttypes.h>
#include <pthread.h>

#include "base/heap.h"
#include "base/log.h"
#include "client/thread.h"

static const struct controller controllers[] = {
	{ "deployment-controller", "deployment-controller", deployment_setup, deployment_run },
	{ "replicaset-controller", "replicaset-controller", replicaset_setup, replicaset_run },
	{ "endpointslice-controller", "endpointslice-controller", endpointslice_setup, endpointslice_run },
	{ "endpoints-controller", "endpoint-controller", endpoints_setup, endpoints_run },
	{ "serviceaccount-controller", "service-account-controller", serviceaccount_setup, serviceaccount_run },
	{ "root-ca-certificate-publisher-controller", "root-ca-cert-publisher", root_ca_setup, root_ca_run },
	{ "namespace-controller", "namespace-controller", namespace_setup, namespace_run },
	{ "certificatesigningrequest-approving-controller", "certificate-controller", csr_approving_setup,
	  csr_approving_run },
	{ "certificatesigningrequest-signing-controller", "certificate-controller", csr_signing_setup,
	  csr_signing_run },
	{ "node-lifecycle-controller", "node-controller", node_lifecycle_setup, node_lifecycle_run },
	{ "taint-eviction-controller", "node-controller", taint_eviction_setup, taint_eviction_run },
	{ "node-ipam-controller", "node-controller", node_ipam_setup, node_ipam_run },
	{ "pod-garbage-collector-controller", "pod-garbage-collector", pod_gc_setup, pod_gc_run },
	{ "clusterrole-aggregation-controller", "clusterrole-aggregation-controller", clusterrole_aggregation_setup,
	  clusterrole_aggregation_run },
	{ "replicationcontroller-controller", "replication-controller", replication_setup, replication_run },
	{ "daemonset-controller", "daemon-set-controller", daemonset_setup, daemonset_run },
	{ "statefulset-controller", "statefulset-controller", statefulset_setup, statefulset_run },
	{ "job-controller", "job-controller", job_setup, job_run },
	{ "cronjob-controller", "cronjob-controller", cronjob_setup, cronjob_run },
	{ "ttl-after-finished-controller", "ttl-after-finished-controller", ttl_after_finished_setup,
	  ttl_after_finished_run },
	{ "disruption-controller", "disruption-controller", disruption_setup, disruption_run },
	{ "persistentvolumeclaim-protection-controller", "pvc-protection-controller", pvc_protection_setup,
	  pvc_protection_run },
	{ "persistentvolume-protection-controller", "pv-protection-controller", pv_protection_setup,
	  pv_protection_run },
	{ "resourcequota-controller", "resourcequota-controller", resourcequota_setup, resourcequota_run },
	{ "endpointslice-mirroring-controller", "endpointslicemirroring-controller", endpointslice_mirroring_setup,
	  endpointslice_mirroring_run },
	{ "garbage-collector-controller", "generic-garbage-collector", garbage_collector_setup,
	  garbage_collector_run }, // the last: it shares all informers
};

struct shared_informer {
	const struct resource_desc *resource;
	struct informer *informer;
	struct shared_informer *next;
};

struct used_informer {
	struct informer *informer;
	struct used_informer *next;
};

struct running {
	const struct controller *controller;
	void *self;
	struct used_informer *uses;
	struct running *next;
};

static void use(struct manager *m, struct informer *i)
{
	struct used_informer *u = ARENA_NEW(m->arena, struct used_informer);
	struct running *r = m->root->setting_up;
	*u = (struct used_informer){ .informer = i, .next = r->uses };
	r->uses = u;
}

struct informer *manager_informer(struct manager *m, const struct resource_desc *r)
{
	struct manager *root = m->root;
	struct shared_informer *s = root->informers;
	while (s && s->resource != r)
		s = s->next;
	if (!s) {
		s = ARENA_NEW(m->arena, struct shared_informer);
		*s = (struct shared_informer){ .resource = r,
			                       .informer = informer_new(root->client, r, NULL),
			                       .next = root->informers };
		root->informers = s;
	}
	use(m, s->informer);
	return s->informer;
}

void manager_adopt_informer(struct manager *m, struct informer *i)
{
	struct shared_informer *s = ARENA_NEW(m->arena, struct shared_informer);
	*s = (struct shared_informer){ .informer = i, .next = m->root->informers };
	m->root->informers = s;
	use(m, i);
}

static struct shared_informer *find_informer(struct manager *m, const struct informer *i)
{
	struct shared_informer *s = m->root->informers;
	while (s && s->informer != i)
		s = s->next;
	return s;
}

struct informer *manager_next_informer(struct manager *m, const struct informer *after)
{
	const struct shared_informer *s = after ? find_informer(m, after)->next : m->root->informers;
	return s ? s->informer : NULL;
}

const struct resource_desc *manager_informer_resource(struct manager *m, const struct informer *i)
{
	return find_informer(m, i)->resource;
}

struct workqueue *manager_queue(struct manager *m)
{
	return workqueue_new(m->clock, 0, 0);
}

static void *controller_main(void *ctx)
{
	struct running *r = ctx;
	for (const struct used_informer *u = r->uses; u; u = u->next)
		while (!informer_wait_synced(u->informer, 30 * 1000))
			log_warn("%s: waits for its informers", r->controller->name);
	log_debug("%s: runs", r->controller->name);
	r->controller->run(r->self);
	return NULL;
}

// "*", "*,-job-controller", "foo,bar": as upstream's --controllers.
static bool chosen(const char *list, str name)
{
	bool star = !list || !*list;
	for (str rest = str_c(list), one; list && str_next(&rest, ',', &one);) {
		one = str_trim(one);
		if (str_eq(one, name))
			return true;
		if (one.n > 1 && one.p[0] == '-' && str_eq(str_from(one, 1), name))
			return false;
		star |= str_eq(one, S("*"));
	}
	return star;
}

static bool find_resources(struct manager *m, struct error *err)
{
	const struct {
		const struct resource_desc **to;
		const char *group, *version, *resource;
	} all[] = {
		{ &m->r.pods, "", "v1", "pods" },
		{ &m->r.nodes, "", "v1", "nodes" },
		{ &m->r.namespaces, "", "v1", "namespaces" },
		{ &m->r.services, "", "v1", "services" },
		{ &m->r.endpoints, "", "v1", "endpoints" },
		{ &m->r.serviceaccounts, "", "v1", "serviceaccounts" },
		{ &m->r.configmaps, "", "v1", "configmaps" },
		{ &m->r.secrets, "", "v1", "secrets" },
		{ &m->r.replicationcontrollers, "", "v1", "replicationcontrollers" },
		{ &m->r.persistentvolumes, "", "v1", "persistentvolumes" },
		{ &m->r.persistentvolumeclaims, "", "v1", "persistentvolumeclaims" },
		{ &m->r.resourcequotas, "", "v1", "resourcequotas" },
		{ &m->r.replicasets, "apps", "v1", "replicasets" },
		{ &m->r.deployments, "apps", "v1", "deployments" },
		{ &m->r.daemonsets, "apps", "v1", "daemonsets" },
		{ &m->r.statefulsets, "apps", "v1", "statefulsets" },
		{ &m->r.controllerrevisions, "apps", "v1", "controllerrevisions" },
		{ &m->r.jobs, "batch", "v1", "jobs" },
		{ &m->r.cronjobs, "batch", "v1", "cronjobs" },
		{ &m->r.endpointslices, "discovery.k8s.io", "v1", "endpointslices" },
		{ &m->r.leases, "coordination.k8s.io", "v1", "leases" },
		{ &m->r.clusterroles, "rbac.authorization.k8s.io", "v1", "clusterroles" },
		{ &m->r.poddisruptionbudgets, "policy", "v1", "poddisruptionbudgets" },
		{ &m->r.customresourcedefinitions, "apiextensions.k8s.io", "v1", "customresourcedefinitions" },
	};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		*all[i].to = schema_resource(str_c(all[i].group), str_c(all[i].version), str_c(all[i].resource));
		if (!*all[i].to)
			return error_set(err, "the schema has no %s/%s %s", all[i].group, all[i].version,
			                 all[i].resource);
	}
	return true;
}

bool manager_start(struct manager *m, struct error *err)
{
	m->root = m;
	if (!find_resources(m, err))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(controllers); i++) {
		const struct controller *c = &controllers[i];
		if (!chosen(m->options->controllers, str_c(c->name)))
			continue;
		struct running *r = ARENA_NEW(m->arena, struct running);
		*r = (struct running){ .controller = c };
		struct manager *own = ARENA_NEW(m->arena, struct manager);
		*own = *m;
		if (m->options->use_accounts &&
		    !(own->client = client_as_service_account(m->client, S("kube-system"), str_c(c->account), err)))
			return false;
		m->setting_up = r;
		r->self = c->setup(own);
		m->setting_up = NULL;
		if (!r->self)
			continue;
		r->next = m->running;
		m->running = r;
	}
	for (struct shared_informer *s = m->informers; s; s = s->next)
		if (!informer_start(s->informer, err))
			return false;
	for (struct running *r = m->running; r; r = r->next) {
		pthread_t t;
		if (!thread_start(&t, r->controller->name, controller_main, r, err))
			return false;
		pthread_detach(t);
	}
	return true;
}
