// All strategies: one line per kind says what is particular to it.
#include "apiserver/strategy.h"

#include "apiserver/kinds/defaults.h"
#include "apiserver/kinds/fields.h"
#include "apiserver/kinds/prepare.h"
#include "apiserver/kinds/validation.h"
#include "apiserver/policy.h"

// --- Names ---

static void path_segment(struct arena *a, str name, bool prefix, struct str_list *why)
{
	name_is_path_segment(a, name, prefix, why);
}

// The end of a generated name comes later; until then a dash may stand last.
static str mask_dash(struct arena *a, str name, bool prefix)
{
	if (!prefix || name.n < 2 || name.p[name.n - 1] != '-')
		return name;
	return arena_concat(a, str_sub(name, 0, name.n - 2), S("a"));
}

static void dns_label(struct arena *a, str name, bool prefix, struct str_list *why)
{
	name_is_dns1123_label(a, mask_dash(a, name, prefix), why);
}

static void dns_subdomain(struct arena *a, str name, bool prefix, struct str_list *why)
{
	name_is_dns1123_subdomain(a, mask_dash(a, name, prefix), why);
}

static void ip_name(struct arena *a, str name, bool prefix, struct str_list *why)
{
	(void)prefix;
	if (!ip_is_canonical(a, name))
		*LIST_ADD(a, why) = S("must be a canonical format IP address");
}

#define EACH_KIND(X) \
	X(namespace) X(configmap) X(secret) X(serviceaccount) X(node) X(service) X(endpoints) X(event) X(persistentvolume) X(persistentvolumeclaim) \
	X(podtemplate) X(replicationcontroller) X(resourcequota) X(componentstatus) X(deployment) X(replicaset) X(statefulset) X(daemonset) \
	X(controllerrevision) X(job) X(cronjob) X(horizontalpodautoscaler) X(poddisruptionbudget) X(endpointslice) X(ingress) X(ingressclass) \
	X(networkpolicy) X(servicecidr) X(ipaddress) X(rolebinding) X(clusterrolebinding) X(lease) X(storageclass) X(volumeattributesclass) \
	X(volumeattachment) X(csinode) X(csidriver) X(priorityclass) X(runtimeclass) X(certificatesigningrequest) X(flowschema) \
	X(prioritylevelconfiguration) X(apiservice) X(mutatingwebhookconfiguration) X(validatingwebhookconfiguration) X(validatingadmissionpolicy) \
	X(validatingadmissionpolicybinding) X(mutatingadmissionpolicy) X(mutatingadmissionpolicybinding) X(deviceclass) X(resourceclaim) \
	X(resourceclaimtemplate) X(resourceslice) X(pod)
#define DECLARE_CELLS(kind) void kind##_cells(struct arena *a, const void *obj, struct cell *cells, int64_t now_ns);
EACH_KIND(DECLARE_CELLS)

#define DECLARE_DEFAULTS(kind) void kind##_defaults(struct arena *a, void *obj);
DECLARE_DEFAULTS(pod) DECLARE_DEFAULTS(podtemplate) DECLARE_DEFAULTS(replicationcontroller) DECLARE_DEFAULTS(service) DECLARE_DEFAULTS(secret)
DECLARE_DEFAULTS(persistentvolume) DECLARE_DEFAULTS(persistentvolumeclaim) DECLARE_DEFAULTS(endpoints) DECLARE_DEFAULTS(namespace) DECLARE_DEFAULTS(node)
DECLARE_DEFAULTS(limitrange) DECLARE_DEFAULTS(resourcequota) DECLARE_DEFAULTS(deployment) DECLARE_DEFAULTS(replicaset) DECLARE_DEFAULTS(daemonset)
DECLARE_DEFAULTS(statefulset) DECLARE_DEFAULTS(job) DECLARE_DEFAULTS(cronjob) DECLARE_DEFAULTS(horizontalpodautoscaler) DECLARE_DEFAULTS(networkpolicy)
DECLARE_DEFAULTS(ingressclass) DECLARE_DEFAULTS(storageclass) DECLARE_DEFAULTS(csidriver) DECLARE_DEFAULTS(flowschema)
DECLARE_DEFAULTS(prioritylevelconfiguration) DECLARE_DEFAULTS(rolebinding) DECLARE_DEFAULTS(clusterrolebinding) DECLARE_DEFAULTS(priorityclass)
DECLARE_DEFAULTS(endpointslice) DECLARE_DEFAULTS(apiservice) DECLARE_DEFAULTS(certificatesigningrequest) DECLARE_DEFAULTS(resourceclaim)
DECLARE_DEFAULTS(resourceclaimtemplate) DECLARE_DEFAULTS(resourceslice) DECLARE_DEFAULTS(validatingwebhookconfiguration)
DECLARE_DEFAULTS(mutatingwebhookconfiguration) DECLARE_DEFAULTS(validatingadmissionpolicy) DECLARE_DEFAULTS(mutatingadmissionpolicy)
DECLARE_DEFAULTS(validatingadmissionpolicybinding) DECLARE_DEFAULTS(mutatingadmissionpolicybinding) DECLARE_DEFAULTS(customresourcedefinition)

#define TABLE(kind) .cells = kind##_cells
#define DEF(kind) .defaults = kind##_defaults
#define FIELDS(kind) .field = kind##_field, .field_paths = kind##_field_paths
#define VALID(kind) .validate = kind##_validate, .validate_update = kind##_validate_update
#define STATUS .has_status = true
#define GENERATION .generation = true
#define LABEL .validate_name = dns_label
#define SUBDOMAIN .validate_name = dns_subdomain
#define SEGMENT .validate_name = path_segment

#define RBAC "rbac.authorization.k8s.io"
#define ADMISSION "admissionregistration.k8s.io"

static const struct strategy strategies[] = {
	{ .group = "", .resource = "pods", TABLE(pod), DEF(pod), FIELDS(pod), STATUS, SUBDOMAIN, .prepare_create = pod_prepare_create,
	  .prepare_update = pod_prepare_update, .graceful = pod_graceful, VALID(pod), .warnings = pod_warnings },
	{ .group = "", .resource = "podtemplates", TABLE(podtemplate), DEF(podtemplate), SUBDOMAIN, GENERATION, .prepare_update = podtemplate_prepare_update, VALID(podtemplate), .warnings = podtemplate_warnings },
	{ .group = "", .resource = "replicationcontrollers", TABLE(replicationcontroller), DEF(replicationcontroller), STATUS, GENERATION, SUBDOMAIN,
	  .field = replicationcontroller_field, .field_paths = replicas_field_paths, VALID(replicationcontroller), .warnings = replicationcontroller_warnings },
	{ .group = "", .resource = "services", TABLE(service), DEF(service), FIELDS(service), STATUS, LABEL, .create_on_update = true,
	  .prepare_update = service_prepare_update, VALID(service), .warnings = service_warnings },
	{ .group = "", .resource = "endpoints", TABLE(endpoints), DEF(endpoints), SUBDOMAIN, .create_on_update = true, .prepare_create = endpoints_prepare_create,
	  .prepare_update = endpoints_prepare_update, VALID(endpoints), .warnings = endpoints_warnings },
	{ .group = "", .resource = "namespaces", TABLE(namespace), DEF(namespace), FIELDS(namespace), STATUS, LABEL, .prepare_create = namespace_prepare_create,
	  .prepare_update = namespace_prepare_update, VALID(namespace) },
	{ .group = "", .resource = "nodes", TABLE(node), DEF(node), FIELDS(node), SUBDOMAIN, .prepare_create = node_prepare_create,
	  .prepare_update = node_prepare_update, VALID(node) },
	{ .group = "", .resource = "configmaps", TABLE(configmap), SUBDOMAIN, VALID(configmap) },
	{ .group = "", .resource = "secrets", TABLE(secret), DEF(secret), FIELDS(secret), SUBDOMAIN, VALID(secret) },
	{ .group = "", .resource = "serviceaccounts", TABLE(serviceaccount), SUBDOMAIN, .prepare_create = serviceaccount_prepare_create,
	  .prepare_update = serviceaccount_prepare_update },
	{ .group = "", .resource = "events", TABLE(event), FIELDS(event), SUBDOMAIN, .create_on_update = true, VALID(event) },
	{ .group = "", .resource = "persistentvolumes", TABLE(persistentvolume), DEF(persistentvolume), STATUS, SUBDOMAIN,
	  .prepare_create = persistentvolume_prepare_create, VALID(persistentvolume) },
	{ .group = "", .resource = "persistentvolumeclaims", TABLE(persistentvolumeclaim), DEF(persistentvolumeclaim), STATUS, SUBDOMAIN,
	  .prepare_create = persistentvolumeclaim_prepare_create, VALID(persistentvolumeclaim) },
	{ .group = "", .resource = "limitranges", DEF(limitrange), SUBDOMAIN, .create_on_update = true, VALID(limitrange) },
	{ .group = "", .resource = "resourcequotas", TABLE(resourcequota), DEF(resourcequota), STATUS, SUBDOMAIN, VALID(resourcequota) },
	{ .group = "", .resource = "componentstatuses", TABLE(componentstatus) },
	{ .group = "apps", .resource = "deployments", TABLE(deployment), DEF(deployment), STATUS, GENERATION, SUBDOMAIN,
	  .prepare_update = deployment_prepare_update, VALID(deployment), .warnings = deployment_warnings },
	{ .group = "apps", .resource = "replicasets", TABLE(replicaset), DEF(replicaset), STATUS, GENERATION, SUBDOMAIN, .field = replicaset_field,
	  .field_paths = replicas_field_paths, VALID(replicaset), .warnings = replicaset_warnings },
	{ .group = "apps", .resource = "statefulsets", TABLE(statefulset), DEF(statefulset), STATUS, GENERATION, SUBDOMAIN, VALID(statefulset), .warnings = statefulset_warnings },
	{ .group = "apps", .resource = "daemonsets", TABLE(daemonset), DEF(daemonset), STATUS, GENERATION, SUBDOMAIN, .prepare_create = daemonset_prepare_create,
	  .prepare_update = daemonset_prepare_update, VALID(daemonset), .warnings = daemonset_warnings },
	{ .group = "apps", .resource = "controllerrevisions", TABLE(controllerrevision), SUBDOMAIN, VALID(controllerrevision) },
	{ .group = "batch", .resource = "jobs", TABLE(job), DEF(job), FIELDS(job), STATUS, GENERATION, SUBDOMAIN, .prepare_create = job_prepare_create, VALID(job), .warnings = job_warnings },
	{ .group = "batch", .resource = "cronjobs", TABLE(cronjob), DEF(cronjob), STATUS, GENERATION, SUBDOMAIN, .prepare_update = cronjob_prepare_update, VALID(cronjob), .warnings = cronjob_warnings },
	{ .group = "autoscaling", .resource = "horizontalpodautoscalers", TABLE(horizontalpodautoscaler), DEF(horizontalpodautoscaler), STATUS, SUBDOMAIN },
	{ .group = "policy", .resource = "poddisruptionbudgets", TABLE(poddisruptionbudget), STATUS, GENERATION, SUBDOMAIN, .conditional_update = true },
	{ .group = "discovery.k8s.io", .resource = "endpointslices", TABLE(endpointslice), DEF(endpointslice), SUBDOMAIN,
	  .prepare_create = endpointslice_prepare_create, .prepare_update = endpointslice_prepare_update, VALID(endpointslice), .warnings = endpointslice_warnings },
	{ .group = "networking.k8s.io", .resource = "ingresses", TABLE(ingress), STATUS, GENERATION, SUBDOMAIN },
	{ .group = "networking.k8s.io", .resource = "ingressclasses", TABLE(ingressclass), DEF(ingressclass), GENERATION, SUBDOMAIN },
	{ .group = "networking.k8s.io", .resource = "networkpolicies", TABLE(networkpolicy), DEF(networkpolicy), GENERATION, SUBDOMAIN },
	{ .group = "networking.k8s.io", .resource = "servicecidrs", TABLE(servicecidr), STATUS, SUBDOMAIN },
	{ .group = "networking.k8s.io", .resource = "ipaddresses", TABLE(ipaddress), FIELDS(ipaddress), .validate_name = ip_name },
	{ .group = RBAC, .resource = "roles", SEGMENT, .create_on_update = true,  VALID(role) },
	{ .group = RBAC, .resource = "clusterroles", SEGMENT, .create_on_update = true,  VALID(clusterrole) },
	{ .group = RBAC, .resource = "rolebindings", TABLE(rolebinding), DEF(rolebinding), SEGMENT, .create_on_update = true,  VALID(rolebinding) },
	{ .group = RBAC, .resource = "clusterrolebindings", TABLE(clusterrolebinding), DEF(clusterrolebinding), SEGMENT, .create_on_update = true,  VALID(clusterrolebinding) },
	{ .group = "coordination.k8s.io", .resource = "leases", TABLE(lease), SUBDOMAIN, .create_on_update = true, .conditional_update = true, VALID(lease) },
	{ .group = "storage.k8s.io", .resource = "storageclasses", TABLE(storageclass), DEF(storageclass), SUBDOMAIN },
	{ .group = "storage.k8s.io", .resource = "volumeattributesclasses", TABLE(volumeattributesclass), SUBDOMAIN },
	{ .group = "storage.k8s.io", .resource = "volumeattachments", TABLE(volumeattachment), STATUS, SUBDOMAIN, .conditional_update = true },
	{ .group = "storage.k8s.io", .resource = "csinodes", TABLE(csinode), SUBDOMAIN, .conditional_update = true },
	{ .group = "storage.k8s.io", .resource = "csidrivers", TABLE(csidriver), DEF(csidriver), SUBDOMAIN, .conditional_update = true },
	{ .group = "storage.k8s.io", .resource = "csistoragecapacities", SUBDOMAIN, .conditional_update = true },
	{ .group = "scheduling.k8s.io", .resource = "priorityclasses", TABLE(priorityclass), DEF(priorityclass), GENERATION, SUBDOMAIN },
	{ .group = "node.k8s.io", .resource = "runtimeclasses", TABLE(runtimeclass), SUBDOMAIN, .create_on_update = true, .conditional_update = true },
	{ .group = "certificates.k8s.io", .resource = "certificatesigningrequests", TABLE(certificatesigningrequest), DEF(certificatesigningrequest),
	  FIELDS(certificatesigningrequest), STATUS, SUBDOMAIN, .prepare_create = certificatesigningrequest_prepare_create,
	  .prepare_update = certificatesigningrequest_prepare_update },
	{ .group = "flowcontrol.apiserver.k8s.io", .resource = "flowschemas", TABLE(flowschema), DEF(flowschema), STATUS, GENERATION, SUBDOMAIN },
	{ .group = "flowcontrol.apiserver.k8s.io", .resource = "prioritylevelconfigurations", TABLE(prioritylevelconfiguration), DEF(prioritylevelconfiguration),
	  STATUS, GENERATION, SUBDOMAIN },
	{ .group = "apiregistration.k8s.io", .resource = "apiservices", TABLE(apiservice), DEF(apiservice), STATUS, SEGMENT, .prepare_create = apiservice_prepare_create },
	{ .group = "apiextensions.k8s.io", .resource = "customresourcedefinitions", DEF(customresourcedefinition), STATUS, GENERATION, SUBDOMAIN,
	  .prepare_create = customresourcedefinition_prepare_create },
	{ .group = ADMISSION, .resource = "mutatingwebhookconfigurations", TABLE(mutatingwebhookconfiguration), DEF(mutatingwebhookconfiguration), GENERATION,
	  SUBDOMAIN, .conditional_update = true },
	{ .group = ADMISSION, .resource = "validatingwebhookconfigurations", TABLE(validatingwebhookconfiguration), DEF(validatingwebhookconfiguration), GENERATION,
	  SUBDOMAIN, .conditional_update = true },
	{ .group = ADMISSION, .resource = "validatingadmissionpolicies", TABLE(validatingadmissionpolicy), DEF(validatingadmissionpolicy), STATUS, GENERATION,
	  SUBDOMAIN, .conditional_update = true },
	{ .group = ADMISSION, .resource = "validatingadmissionpolicybindings", TABLE(validatingadmissionpolicybinding), DEF(validatingadmissionpolicybinding),
	  GENERATION, SUBDOMAIN, .conditional_update = true },
	{ .group = ADMISSION, .resource = "mutatingadmissionpolicies", TABLE(mutatingadmissionpolicy), DEF(mutatingadmissionpolicy), GENERATION, SUBDOMAIN,
	  .conditional_update = true },
	{ .group = ADMISSION, .resource = "mutatingadmissionpolicybindings", TABLE(mutatingadmissionpolicybinding), DEF(mutatingadmissionpolicybinding), GENERATION,
	  SUBDOMAIN, .conditional_update = true },
	{ .group = "resource.k8s.io", .resource = "deviceclasses", TABLE(deviceclass), GENERATION, SUBDOMAIN },
	{ .group = "resource.k8s.io", .resource = "resourceclaims", TABLE(resourceclaim), DEF(resourceclaim), STATUS, SUBDOMAIN },
	{ .group = "resource.k8s.io", .resource = "resourceclaimtemplates", TABLE(resourceclaimtemplate), DEF(resourceclaimtemplate), SUBDOMAIN },
	{ .group = "resource.k8s.io", .resource = "resourceslices", TABLE(resourceslice), DEF(resourceslice), FIELDS(resourceslice), GENERATION, SUBDOMAIN },
};

const struct strategy *strategy_of(str group, str resource)
{
	for (size_t i = 0; i < ARRAY_LEN(strategies); i++)
		if (str_eqc(resource, strategies[i].resource) && str_eqc(group, strategies[i].group))
			return &strategies[i];
	return NULL;
}
