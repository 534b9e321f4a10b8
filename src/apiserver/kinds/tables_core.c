// Table rows of the core group (pods: pod_table.c). Rule: pkg/printers/internalversion.
#include "apiserver/kinds/kinds.h"

#include <stdlib.h>

CELLS(namespace, core_v1_Namespace)
{
	row_text(r, o->metadata.name);
	row_text(r, o->status.phase);
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(configmap, core_v1_ConfigMap)
{
	row_text(r, o->metadata.name);
	row_int(r, (int64_t)(o->data.n + o->binaryData.n));
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(secret, core_v1_Secret)
{
	row_text(r, o->metadata.name);
	row_text(r, o->type);
	row_int(r, (int64_t)o->data.n);
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(serviceaccount, core_v1_ServiceAccount)
{
	row_text(r, o->metadata.name);
	row_since(r, o->metadata.creationTimestamp);
}

static str node_address(const struct core_v1_Node *n, const char *type)
{
	EACH (a, n->status.addresses)
		if (str_eqc(a->type, type))
			return a->address;
	return S("<none>");
}

static str node_roles(struct arena *a, const struct core_v1_Node *n)
{
	struct str_list roles = { 0 };
	EACH (l, n->metadata.labels) {
		str role = l->key;
		if (str_cut_prefix(&role, S("node-role.kubernetes.io/"))) {
			if (role.n && !str_list_has(&roles, role))
				*LIST_ADD(a, &roles) = role;
		} else if (str_eq(l->key, S("kubernetes.io/role")) && l->value.n && !str_list_has(&roles, l->value)) {
			*LIST_ADD(a, &roles) = l->value;
		}
	}
	if (roles.n > 1)
		qsort(roles.v, roles.n, sizeof(*roles.v), str_cmp_qsort);
	return or_none(str_list_join(a, &roles, ","));
}

static str or_unknown(str s) { return s.n ? s : S("<unknown>"); }

CELLS(node, core_v1_Node)
{
	str status = S("Unknown");
	EACH (c, o->status.conditions)
		if (str_eq(c->type, S("Ready")))
			status = str_eq(c->status, S("True")) ? S("Ready") : S("NotReady");
	if (o->spec.unschedulable)
		status = arena_concat(r->a, status, S(",SchedulingDisabled"));
	const struct core_v1_NodeSystemInfo *info = &o->status.nodeInfo;
	row_text(r, o->metadata.name);
	row_text(r, status);
	row_text(r, node_roles(r->a, o));
	row_since(r, o->metadata.creationTimestamp);
	row_text(r, info->kubeletVersion);
	row_text(r, node_address(o, "InternalIP"));
	row_text(r, node_address(o, "ExternalIP"));
	row_text(r, or_unknown(info->osImage));
	str kernel = or_unknown(info->kernelVersion);
	if (info->architecture.n)
		kernel = arena_concat(r->a, kernel, S(" ("), info->architecture, S(")"));
	row_text(r, kernel);
	row_text(r, or_unknown(info->containerRuntimeVersion));
}

static void lb_addresses(struct arena *a, const struct core_v1_Service *s, struct str_list *out)
{
	EACH (i, s->status.loadBalancer.ingress) {
		str at = i->ip.n ? i->ip : i->hostname;
		if (at.n && !str_list_has(out, at))
			*LIST_ADD(a, out) = at;
	}
	if (out->n > 1)
		qsort(out->v, out->n, sizeof(*out->v), str_cmp_qsort);
}

static str external_ip(struct arena *a, const struct core_v1_Service *s)
{
	if (str_eq(s->spec.type, S("ExternalName")))
		return s->spec.externalName;
	if (str_eq(s->spec.type, S("LoadBalancer"))) {
		struct str_list all = { 0 };
		lb_addresses(a, s, &all);
		EACH (ip, s->spec.externalIPs)
			*LIST_ADD(a, &all) = *ip;
		return all.n ? str_list_join(a, &all, ",") : S("<pending>");
	}
	if (str_eq(s->spec.type, S("ClusterIP")) || str_eq(s->spec.type, S("NodePort")))
		return or_none(str_list_join(a, &s->spec.externalIPs, ","));
	return S("<unknown>");
}

CELLS(service, core_v1_Service)
{
	struct str_list ports = { 0 };
	EACH (p, o->spec.ports)
		*LIST_ADD(r->a, &ports) = p->nodePort > 0 ? arena_printf(r->a, "%d:%d/" STR_FMT, p->port, p->nodePort, STR_ARG(p->protocol))
		                                          : arena_printf(r->a, "%d/" STR_FMT, p->port, STR_ARG(p->protocol));
	row_text(r, o->metadata.name);
	row_text(r, o->spec.type);
	row_text(r, o->spec.clusterIPs.n ? o->spec.clusterIPs.v[0] : S("<none>"));
	row_text(r, external_ip(r->a, o));
	row_text(r, or_none(str_list_join(r->a, &ports, ",")));
	row_since(r, o->metadata.creationTimestamp);
	row_text(r, labels_text(r->a, &o->spec.selector));
}

static str host_port(struct arena *a, str ip, int32_t port)
{
	bool v6 = str_find_char(ip, ':') >= 0;
	return arena_printf(a, "%s" STR_FMT "%s:%d", v6 ? "[" : "", STR_ARG(ip), v6 ? "]" : "", port);
}

CELLS(endpoints, core_v1_Endpoints)
{
	enum { MOST = 3 };
	struct str_list all = { 0 };
	size_t count = 0;
	EACH (s, o->subsets) {
		for (size_t p = 0; p < MAX(s->ports.n, (size_t)1); p++)
			EACH (at, s->addresses) {
				if (count++ < MOST)
					*LIST_ADD(r->a, &all) = s->ports.n ? host_port(r->a, at->ip, s->ports.v[p].port) : at->ip;
			}
	}
	row_text(r, o->metadata.name);
	row_text(r, o->subsets.n ? list_text(r->a, &all, MOST, count) : S("<none>"));
	row_since(r, o->metadata.creationTimestamp);
}

static str lower_case(struct arena *a, str s)
{
	char *to = arena_alloc(a, s.n + 1);
	for (size_t i = 0; i < s.n; i++)
		to[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] - 'A' + 'a') : s.p[i];
	return str_n(to, s.n);
}

CELLS(event, core_v1_Event)
{
	str first = since_text(r->a, o->firstTimestamp.set ? o->firstTimestamp : o->eventTime, r->now);
	str last = o->lastTimestamp.set ? since_text(r->a, o->lastTimestamp, r->now) : first;
	int64_t count = o->count ? o->count : 1;
	if (o->series) {
		last = since_text(r->a, o->series->lastObservedTime, r->now);
		count = o->series->count;
	}
	str kind = lower_case(r->a, o->involvedObject.kind);
	str source = o->source.component.n ? o->source.component : o->reportingComponent;
	str host = o->source.host.n ? o->source.host : o->reportingInstance;
	row_text(r, last);
	row_text(r, o->type);
	row_text(r, o->reason);
	row_text(r, o->involvedObject.name.n ? arena_concat(r->a, kind, S("/"), o->involvedObject.name) : kind);
	row_text(r, o->involvedObject.fieldPath);
	row_text(r, host.n ? arena_concat(r->a, source, S(", "), host) : source);
	row_text(r, str_trim(o->message));
	row_text(r, first);
	row_int(r, count);
	row_text(r, o->metadata.name);
}

static str access_modes(struct arena *a, const struct str_list *modes)
{
	static const char *const names[][2] = { { "ReadWriteOnce", "RWO" }, { "ReadOnlyMany", "ROX" }, { "ReadWriteMany", "RWX" }, { "ReadWriteOncePod", "RWOP" } };
	struct str_list out = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_list_has(modes, str_c(names[i][0])))
			*LIST_ADD(a, &out) = str_c(names[i][1]);
	return str_list_join(a, &out, ",");
}

static str storage_of(const struct quantity_map *m)
{
	struct quantity q;
	return quantity_map_get(m, S("storage"), &q) ? quantity_text(q) : S("0");
}

CELLS(persistentvolume, core_v1_PersistentVolume)
{
	const struct core_v1_PersistentVolumeSpec *s = &o->spec;
	str class = str_map_get(&o->metadata.annotations, S("volume.beta.kubernetes.io/storage-class"));
	row_text(r, o->metadata.name);
	row_text(r, storage_of(&s->capacity));
	row_text(r, access_modes(r->a, &s->accessModes));
	row_text(r, s->persistentVolumeReclaimPolicy);
	row_text(r, o->metadata.deletionTimestamp ? S("Terminating") : o->status.phase);
	row_text(r, s->claimRef ? arena_concat(r->a, s->claimRef->namespace, S("/"), s->claimRef->name) : S(""));
	row_text(r, class.n ? class : s->storageClassName);
	row_text(r, s->volumeAttributesClassName ? *s->volumeAttributesClassName : S("<unset>"));
	row_text(r, o->status.reason);
	row_since(r, o->metadata.creationTimestamp);
	row_text(r, s->volumeMode ? *s->volumeMode : S("<unset>"));
}

CELLS(persistentvolumeclaim, core_v1_PersistentVolumeClaim)
{
	const struct core_v1_PersistentVolumeClaimSpec *s = &o->spec;
	str class = str_map_get(&o->metadata.annotations, S("volume.beta.kubernetes.io/storage-class"));
	bool bound = s->volumeName.n > 0;
	row_text(r, o->metadata.name);
	row_text(r, o->metadata.deletionTimestamp ? S("Terminating") : o->status.phase);
	row_text(r, s->volumeName);
	row_text(r, bound ? storage_of(&o->status.capacity) : S(""));
	row_text(r, bound ? access_modes(r->a, &o->status.accessModes) : S(""));
	row_text(r, class.n ? class : s->storageClassName ? *s->storageClassName : S(""));
	row_text(r, s->volumeAttributesClassName ? *s->volumeAttributesClassName : S("<unset>"));
	row_since(r, o->metadata.creationTimestamp);
	row_text(r, s->volumeMode ? *s->volumeMode : S("<unset>"));
}

CELLS(podtemplate, core_v1_PodTemplate)
{
	row_text(r, o->metadata.name);
	row_containers(r, &o->template.spec.containers);
	row_text(r, labels_text(r->a, &o->template.metadata.labels));
}

CELLS(replicationcontroller, core_v1_ReplicationController)
{
	row_text(r, o->metadata.name);
	row_int(r, o->spec.replicas ? *o->spec.replicas : 0);
	row_int(r, o->status.replicas);
	row_int(r, o->status.readyReplicas);
	row_since(r, o->metadata.creationTimestamp);
	struct core_v1_Container_list none = { 0 };
	row_containers(r, o->spec.template ? &o->spec.template->spec.containers : &none);
	row_text(r, labels_text(r->a, &o->spec.selector));
}

CELLS(resourcequota, core_v1_ResourceQuota)
{
	struct str_list requests = { 0 }, limits = { 0 };
	EACH (h, o->status.hard) {
		struct quantity used = { 0 };
		quantity_map_get(&o->status.used, h->key, &used);
		str text = arena_concat(r->a, h->key, S(": "), quantity_text(used), S("/"), quantity_text(h->value));
		*LIST_ADD(r->a, str_has_prefix(h->key, S("limits.")) ? &limits : &requests) = text;
	}
	row_text(r, o->metadata.name);
	row_text(r, str_list_join(r->a, &requests, ", "));
	row_text(r, str_list_join(r->a, &limits, ", "));
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(componentstatus, core_v1_ComponentStatus)
{
	str status = S("Unknown"), message = S(""), error = S("");
	EACH (c, o->conditions)
		if (str_eq(c->type, S("Healthy"))) {
			status = str_eq(c->status, S("True")) ? S("Healthy") : S("Unhealthy");
			message = c->message;
			error = c->error;
			break;
		}
	row_text(r, o->metadata.name);
	row_text(r, status);
	row_text(r, message);
	row_text(r, error);
}
