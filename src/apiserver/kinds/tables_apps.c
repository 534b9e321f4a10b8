// Table rows of apps, batch, autoscaling, policy, discovery and networking. Rule: pkg/printers/internalversion.
#include "apiserver/kinds/kinds.h"

#include <stdlib.h>

static int32_t or_zero(const int32_t *p) { return p ? *p : 0; }

CELLS(deployment, apps_v1_Deployment)
{
	row_text(r, o->metadata.name);
	row_text(r, arena_printf(r->a, "%d/%d", o->status.readyReplicas, or_zero(o->spec.replicas)));
	row_int(r, o->status.updatedReplicas);
	row_int(r, o->status.availableReplicas);
	row_since(r, o->metadata.creationTimestamp);
	row_containers(r, &o->spec.template.spec.containers);
	struct selector sel;
	struct error err = { 0 };
	bool ok = selector_from_label_selector(r->a, o->spec.selector, &sel, &err);
	row_text(r, ok ? selector_text(r->a, &sel) : S("<invalid>"));
}

CELLS(replicaset, apps_v1_ReplicaSet)
{
	row_text(r, o->metadata.name);
	row_int(r, or_zero(o->spec.replicas));
	row_int(r, o->status.replicas);
	row_int(r, o->status.readyReplicas);
	row_since(r, o->metadata.creationTimestamp);
	row_containers(r, &o->spec.template.spec.containers);
	row_text(r, label_selector_text(r->a, o->spec.selector));
}

CELLS(statefulset, apps_v1_StatefulSet)
{
	row_text(r, o->metadata.name);
	row_text(r, arena_printf(r->a, "%d/%d", o->status.readyReplicas, or_zero(o->spec.replicas)));
	row_since(r, o->metadata.creationTimestamp);
	row_containers(r, &o->spec.template.spec.containers);
}

CELLS(daemonset, apps_v1_DaemonSet)
{
	row_text(r, o->metadata.name);
	row_int(r, o->status.desiredNumberScheduled);
	row_int(r, o->status.currentNumberScheduled);
	row_int(r, o->status.numberReady);
	row_int(r, o->status.updatedNumberScheduled);
	row_int(r, o->status.numberAvailable);
	row_text(r, labels_text(r->a, &o->spec.template.spec.nodeSelector));
	row_since(r, o->metadata.creationTimestamp);
	row_containers(r, &o->spec.template.spec.containers);
	row_text(r, label_selector_text(r->a, o->spec.selector));
}

CELLS(controllerrevision, apps_v1_ControllerRevision)
{
	const struct meta_v1_OwnerReference *owner = meta_controller(&o->metadata);
	str name = S("<none>");
	if (owner) {
		str group, version, kind = owner->kind;
		if (str_split(owner->apiVersion, '/', &group, &version))
			kind = arena_concat(r->a, kind, S("."), group);
		char *low = arena_cstr(r->a, kind);
		for (char *p = low; *p; p++)
			*p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
		name = arena_concat(r->a, str_c(low), S("/"), owner->name);
	}
	row_text(r, o->metadata.name);
	row_text(r, name);
	row_int(r, o->revision);
	row_since(r, o->metadata.creationTimestamp);
}

static bool job_has(const struct batch_v1_Job *j, const char *type)
{
	EACH (c, j->status.conditions)
		if (str_eqc(c->type, type))
			return str_eq(c->status, S("True"));
	return false;
}

CELLS(job, batch_v1_Job)
{
	const struct batch_v1_JobStatus *s = &o->status;
	str completions, duration = S("");
	if (o->spec.completions)
		completions = arena_printf(r->a, "%d/%d", s->succeeded, *o->spec.completions);
	else if (or_zero(o->spec.parallelism) > 1)
		completions = arena_printf(r->a, "%d/1 of %d", s->succeeded, *o->spec.parallelism);
	else
		completions = arena_printf(r->a, "%d/1", s->succeeded);
	if (s->startTime && !s->completionTime)
		duration = since_text(r->a, *s->startTime, r->now);
	else if (s->startTime)
		duration = human_duration(r->a, s->completionTime->sec - s->startTime->sec);
	row_text(r, o->metadata.name);
	row_text(r, job_has(o, "Complete") ? S("Complete") : job_has(o, "Failed") ? S("Failed") : o->metadata.deletionTimestamp ? S("Terminating")
	          : job_has(o, "Suspended") ? S("Suspended") : job_has(o, "FailureTarget") ? S("FailureTarget")
	          : job_has(o, "SuccessCriteriaMet") ? S("SuccessCriteriaMet") : S("Running"));
	row_text(r, completions);
	row_text(r, duration);
	row_since(r, o->metadata.creationTimestamp);
	row_containers(r, &o->spec.template.spec.containers);
	row_text(r, label_selector_text(r->a, o->spec.selector));
}

CELLS(cronjob, batch_v1_CronJob)
{
	row_text(r, o->metadata.name);
	row_text(r, o->spec.schedule);
	row_text(r, o->spec.timeZone ? *o->spec.timeZone : S("<none>"));
	row_text(r, !o->spec.suspend ? S("<unset>") : *o->spec.suspend ? S("True") : S("False"));
	row_int(r, (int64_t)o->status.active.n);
	row_text(r, o->status.lastScheduleTime ? since_text(r->a, *o->status.lastScheduleTime, r->now) : S("<none>"));
	row_since(r, o->metadata.creationTimestamp);
	row_containers(r, &o->spec.jobTemplate.spec.template.spec.containers);
	row_text(r, label_selector_text(r->a, o->spec.jobTemplate.spec.selector));
}

// "current/target": an average, a value or a share.
static str metric(struct arena *a, const struct autoscaling_v2_MetricTarget *want, const struct autoscaling_v2_MetricValueStatus *have, bool mark_average)
{
	str unknown = S("<unknown>");
	if (want->averageValue) {
		str now = have && have->averageValue ? quantity_text(*have->averageValue) : unknown;
		return arena_concat(a, now, S("/"), quantity_text(*want->averageValue), mark_average ? S(" (avg)") : S(""));
	}
	str now = have && have->value ? quantity_text(*have->value) : unknown;
	return arena_concat(a, now, S("/"), want->value ? quantity_text(*want->value) : S("<nil>"));
}

static str resource_metric(struct arena *a, str name, const struct autoscaling_v2_MetricTarget *want, const struct autoscaling_v2_MetricValueStatus *have)
{
	if (want->averageValue)
		return arena_concat(a, name, S(": "), metric(a, want, have, false));
	str now = have && have->averageUtilization ? arena_printf(a, "%d%%", *have->averageUtilization) : S("<unknown>");
	str target = want->averageUtilization ? arena_printf(a, "%d%%", *want->averageUtilization) : S("<auto>");
	return arena_concat(a, name, S(": "), now, S("/"), target);
}

static str one_metric(struct arena *a, const struct autoscaling_v2_MetricSpec *m, const struct autoscaling_v2_MetricStatus *s)
{
	if (str_eq(m->type, S("External")) && m->external)
		return metric(a, &m->external->target, s && s->external ? &s->external->current : NULL, true);
	if (str_eq(m->type, S("Pods")) && m->pods)
		return metric(a, &m->pods->target, s && s->pods ? &s->pods->current : NULL, false);
	if (str_eq(m->type, S("Object")) && m->object)
		return metric(a, &m->object->target, s && s->object ? &s->object->current : NULL, true);
	if (str_eq(m->type, S("Resource")) && m->resource)
		return resource_metric(a, m->resource->name, &m->resource->target, s && s->resource ? &s->resource->current : NULL);
	if (str_eq(m->type, S("ContainerResource")) && m->containerResource)
		return resource_metric(a, m->containerResource->name, &m->containerResource->target, s && s->containerResource ? &s->containerResource->current : NULL);
	return S("<unknown type>");
}

CELLS(horizontalpodautoscaler, autoscaling_v2_HorizontalPodAutoscaler)
{
	enum { MOST = 2 };
	struct str_list metrics = { 0 };
	for (size_t i = 0; i < MIN(o->spec.metrics.n, (size_t)MOST); i++)
		*LIST_ADD(r->a, &metrics) = one_metric(r->a, &o->spec.metrics.v[i], i < o->status.currentMetrics.n ? &o->status.currentMetrics.v[i] : NULL);
	str text = str_list_join(r->a, &metrics, ", ");
	if (o->spec.metrics.n > MOST)
		text = arena_printf(r->a, STR_FMT " + %zu more...", STR_ARG(text), o->spec.metrics.n - MOST);
	row_text(r, o->metadata.name);
	row_text(r, arena_concat(r->a, o->spec.scaleTargetRef.kind, S("/"), o->spec.scaleTargetRef.name));
	row_text(r, or_none(text));
	row_text(r, o->spec.minReplicas ? arena_printf(r->a, "%d", *o->spec.minReplicas) : S("<unset>"));
	row_int(r, o->spec.maxReplicas);
	row_int(r, o->status.currentReplicas);
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(poddisruptionbudget, policy_v1_PodDisruptionBudget)
{
	row_text(r, o->metadata.name);
	row_text(r, o->spec.minAvailable ? int_or_string_text(r->a, o->spec.minAvailable) : S("N/A"));
	row_text(r, o->spec.maxUnavailable ? int_or_string_text(r->a, o->spec.maxUnavailable) : S("N/A"));
	row_int(r, o->status.disruptionsAllowed);
	row_since(r, o->metadata.creationTimestamp);
}

static str or_unset(str s) { return s.n ? s : S("<unset>"); }

CELLS(endpointslice, discovery_v1_EndpointSlice)
{
	enum { MOST = 3 };
	struct str_list ports = { 0 }, addresses = { 0 };
	size_t count = 0;
	EACH (p, o->ports)
		if (ports.n < MOST)
			*LIST_ADD(r->a, &ports) = p->port ? arena_printf(r->a, "%d", *p->port) : p->name ? *p->name : S("*");
	EACH (e, o->endpoints)
		EACH (at, e->addresses)
			if (count++ < MOST)
				*LIST_ADD(r->a, &addresses) = *at;
	row_text(r, o->metadata.name);
	row_text(r, o->addressType);
	row_text(r, or_unset(list_text(r->a, &ports, MOST, o->ports.n)));
	row_text(r, or_unset(list_text(r->a, &addresses, MOST, count)));
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(ingress, networking_v1_Ingress)
{
	enum { MOST = 3 };
	struct str_list hosts = { 0 }, at = { 0 };
	bool more = false;
	EACH (rule, o->spec.rules) {
		more = more || hosts.n == MOST;
		if (!more && rule->host.n)
			*LIST_ADD(r->a, &hosts) = rule->host;
	}
	EACH (i, o->status.loadBalancer.ingress) {
		str where = i->ip.n ? i->ip : i->hostname;
		if (where.n && !str_list_has(&at, where))
			*LIST_ADD(r->a, &at) = where;
	}
	if (at.n > 1)
		qsort(at.v, at.n, sizeof(*at.v), str_cmp_qsort);
	row_text(r, o->metadata.name);
	row_text(r, o->spec.ingressClassName ? *o->spec.ingressClassName : S("<none>"));
	row_text(r, hosts.n ? list_text(r->a, &hosts, MOST, more ? o->spec.rules.n : 0) : S("*"));
	row_text(r, str_list_join(r->a, &at, ","));
	row_text(r, o->spec.tls.n ? S("80, 443") : S("80"));
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(ingressclass, networking_v1_IngressClass)
{
	const struct networking_v1_IngressClassParametersReference *p = o->spec.parameters;
	bool is_default = str_eq(str_map_get(&o->metadata.annotations, S("ingressclass.kubernetes.io/is-default-class")), S("true"));
	row_text(r, is_default ? arena_concat(r->a, o->metadata.name, S(" (default)")) : o->metadata.name);
	row_text(r, o->spec.controller);
	row_text(r, !p ? S("<none>") : p->apiGroup ? arena_concat(r->a, p->kind, S("."), *p->apiGroup, S("/"), p->name) : arena_concat(r->a, p->kind, S("/"), p->name));
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(networkpolicy, networking_v1_NetworkPolicy)
{
	row_text(r, o->metadata.name);
	row_text(r, label_selector_text(r->a, &o->spec.podSelector));
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(servicecidr, networking_v1_ServiceCIDR)
{
	row_text(r, o->metadata.name);
	row_text(r, str_list_join(r->a, &o->spec.cidrs, ","));
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(ipaddress, networking_v1_IPAddress)
{
	const struct networking_v1_ParentReference *p = o->spec.parentRef;
	str name = S("<none>");
	if (p)
		name = arena_concat(r->a, p->resource, p->group.n ? S(".") : S(""), p->group, p->namespace.n ? S("/") : S(""), p->namespace, S("/"), p->name);
	row_text(r, o->metadata.name);
	row_text(r, name);
}
