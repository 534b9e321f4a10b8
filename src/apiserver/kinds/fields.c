// Selectable fields, per kind. Rule: the SelectableFields functions of pkg/registry and the field label conversions of pkg/apis.
#include "apiserver/kinds/fields.h"

#define IS(text) str_eq(path, S(text))
#define GIVE(expression) return *value = (expression), true

const char *const pod_field_paths[] = { "spec.nodeName", "spec.host", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
	"status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName", NULL };
bool pod_field(struct arena *a, const void *obj, str path, str *value)
{
	const struct core_v1_Pod *o = obj;
	(void)a;
	if (IS("spec.nodeName") || IS("spec.host")) GIVE(o->spec.nodeName);
	if (IS("spec.restartPolicy")) GIVE(o->spec.restartPolicy);
	if (IS("spec.schedulerName")) GIVE(o->spec.schedulerName);
	if (IS("spec.serviceAccountName")) GIVE(o->spec.serviceAccountName);
	if (IS("spec.hostNetwork")) GIVE(o->spec.hostNetwork ? S("true") : S("false"));
	if (IS("status.phase")) GIVE(o->status.phase);
	if (IS("status.podIP") || IS("status.podIPs")) GIVE(o->status.podIPs.n ? o->status.podIPs.v[0].ip : S(""));
	if (IS("status.nominatedNodeName")) GIVE(o->status.nominatedNodeName);
	return false;
}

const char *const node_field_paths[] = { "spec.unschedulable", NULL };
bool node_field(struct arena *a, const void *obj, str path, str *value)
{
	(void)a;
	if (IS("spec.unschedulable")) GIVE(((const struct core_v1_Node *)obj)->spec.unschedulable ? S("true") : S("false"));
	return false;
}

const char *const namespace_field_paths[] = { "status.phase", "name", NULL };
bool namespace_field(struct arena *a, const void *obj, str path, str *value)
{
	const struct core_v1_Namespace *o = obj;
	(void)a;
	if (IS("status.phase")) GIVE(o->status.phase);
	if (IS("name")) GIVE(o->metadata.name);
	return false;
}

const char *const secret_field_paths[] = { "type", NULL };
bool secret_field(struct arena *a, const void *obj, str path, str *value)
{
	(void)a;
	if (IS("type")) GIVE(((const struct core_v1_Secret *)obj)->type);
	return false;
}

const char *const service_field_paths[] = { "spec.clusterIP", "spec.type", NULL };
bool service_field(struct arena *a, const void *obj, str path, str *value)
{
	const struct core_v1_Service *o = obj;
	(void)a;
	if (IS("spec.clusterIP")) GIVE(o->spec.clusterIP);
	if (IS("spec.type")) GIVE(o->spec.type);
	return false;
}

const char *const replicas_field_paths[] = { "status.replicas", NULL };
bool replicationcontroller_field(struct arena *a, const void *obj, str path, str *value)
{
	if (IS("status.replicas")) GIVE(arena_printf(a, "%d", ((const struct core_v1_ReplicationController *)obj)->status.replicas));
	return false;
}
bool replicaset_field(struct arena *a, const void *obj, str path, str *value)
{
	if (IS("status.replicas")) GIVE(arena_printf(a, "%d", ((const struct apps_v1_ReplicaSet *)obj)->status.replicas));
	return false;
}

const char *const job_field_paths[] = { "status.successful", NULL };
bool job_field(struct arena *a, const void *obj, str path, str *value)
{
	if (IS("status.successful")) GIVE(arena_printf(a, "%d", ((const struct batch_v1_Job *)obj)->status.succeeded));
	return false;
}

const char *const event_field_paths[] = { "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
	"involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason", "reportingComponent", "source", "type",
	"regarding.kind", "regarding.namespace", "regarding.name", "regarding.uid", "regarding.apiVersion", "regarding.resourceVersion", "regarding.fieldPath",
	"reportingController", NULL };
bool event_field(struct arena *a, const void *obj, str path, str *value)
{
	const struct core_v1_Event *o = obj;
	(void)a;
	str of = path; // the same fields under the names of both groups
	if (str_cut_prefix(&of, S("involvedObject.")) || str_cut_prefix(&of, S("regarding."))) {
		const struct core_v1_ObjectReference *r = &o->involvedObject;
		static const struct { str name; size_t at; } parts[] = {
			{ S_INIT("kind"), offsetof(struct core_v1_ObjectReference, kind) }, { S_INIT("namespace"), offsetof(struct core_v1_ObjectReference, namespace) },
			{ S_INIT("name"), offsetof(struct core_v1_ObjectReference, name) }, { S_INIT("uid"), offsetof(struct core_v1_ObjectReference, uid) },
			{ S_INIT("apiVersion"), offsetof(struct core_v1_ObjectReference, apiVersion) },
			{ S_INIT("resourceVersion"), offsetof(struct core_v1_ObjectReference, resourceVersion) },
			{ S_INIT("fieldPath"), offsetof(struct core_v1_ObjectReference, fieldPath) },
		};
		for (size_t i = 0; i < ARRAY_LEN(parts); i++)
			if (str_eq(of, parts[i].name)) GIVE(*(const str *)(const void *)((const char *)r + parts[i].at));
		return false;
	}
	if (IS("reason")) GIVE(o->reason);
	if (IS("reportingComponent") || IS("reportingController")) GIVE(o->reportingComponent);
	if (IS("source")) GIVE(o->source.component.n ? o->source.component : o->reportingComponent);
	if (IS("type")) GIVE(o->type);
	return false;
}

const char *const certificatesigningrequest_field_paths[] = { "spec.signerName", NULL };
bool certificatesigningrequest_field(struct arena *a, const void *obj, str path, str *value)
{
	(void)a;
	if (IS("spec.signerName")) GIVE(((const struct certificates_v1_CertificateSigningRequest *)obj)->spec.signerName);
	return false;
}

const char *const resourceslice_field_paths[] = { "spec.nodeName", "spec.driver", NULL };
bool resourceslice_field(struct arena *a, const void *obj, str path, str *value)
{
	const struct resource_v1_ResourceSlice *o = obj;
	(void)a;
	if (IS("spec.nodeName")) GIVE(o->spec.nodeName ? *o->spec.nodeName : S(""));
	if (IS("spec.driver")) GIVE(o->spec.driver);
	return false;
}

const char *const ipaddress_field_paths[] = { "spec.parentRef.group", "spec.parentRef.resource", "spec.parentRef.namespace", "spec.parentRef.name", NULL };
bool ipaddress_field(struct arena *a, const void *obj, str path, str *value)
{
	static const struct networking_v1_ParentReference none;
	const struct networking_v1_ParentReference *p = ((const struct networking_v1_IPAddress *)obj)->spec.parentRef;
	(void)a;
	if (!p)
		p = &none;
	if (IS("spec.parentRef.group")) GIVE(p->group);
	if (IS("spec.parentRef.resource")) GIVE(p->resource);
	if (IS("spec.parentRef.namespace")) GIVE(p->namespace);
	if (IS("spec.parentRef.name")) GIVE(p->name);
	return false;
}
