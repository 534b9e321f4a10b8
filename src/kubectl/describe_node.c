// Nodes: what they have, and what the pods on them ask for.
#include <stdlib.h>

#include "kubectl/describe.h"
#include "schema/quantity.h"

struct amounts {
	struct quantity cpu, memory, storage;
};

static struct quantity quantity_in(struct describer *d, const struct value *list, const char *name)
{
	struct quantity q = { 0 };
	struct error ignored;
	str text = d_member(list, name);
	if (text.n)
		quantity_canonical(d->k->a, text, &q, &ignored);
	return q;
}

static void add_amounts(struct describer *d, struct amounts *to, const struct value *list)
{
	to->cpu = quantity_add(d->k->a, to->cpu, quantity_in(d, list, "cpu"));
	to->memory = quantity_add(d->k->a, to->memory, quantity_in(d, list, "memory"));
	to->storage = quantity_add(d->k->a, to->storage, quantity_in(d, list, "ephemeral-storage"));
}

static void at_least(struct amounts *to, const struct amounts *other)
{
	if (quantity_cmp(to->cpu, other->cpu) < 0)
		to->cpu = other->cpu;
	if (quantity_cmp(to->memory, other->memory) < 0)
		to->memory = other->memory;
	if (quantity_cmp(to->storage, other->storage) < 0)
		to->storage = other->storage;
}

// What a pod as a whole asks for ("requests" or "limits"): its containers together, or the largest init container with
// the sidecars that run beside it.
static struct amounts pod_amounts(struct describer *d, const struct value *pod, const char *field)
{
	const struct value *spec = value_get(pod, S("spec")), *containers = value_get(spec, S("containers")),
	                   *init = value_get(spec, S("initContainers"));
	struct amounts sum = { 0 }, sidecars = { 0 }, peak = { 0 };
	for (size_t i = 0; i < d_count(init); i++) {
		const struct value *list = value_path(init->a.v[i], S("resources"), str_c(field));
		struct amounts now = sidecars;
		add_amounts(d, &now, list);
		at_least(&peak, &now);
		if (str_eqc(d_member(init->a.v[i], "restartPolicy"), "Always"))
			sidecars = now;
	}
	sum = sidecars;
	for (size_t i = 0; i < d_count(containers); i++)
		add_amounts(d, &sum, value_path(containers->a.v[i], S("resources"), str_c(field)));
	at_least(&sum, &peak);
	const struct value *whole = value_path(spec, S("resources"), str_c(field));
	if (value_get(whole, S("cpu")))
		sum.cpu = quantity_in(d, whole, "cpu");
	if (value_get(whole, S("memory")))
		sum.memory = quantity_in(d, whole, "memory");
	add_amounts(d, &sum, value_get(spec, S("overhead")));
	return sum;
}

static str shown(struct quantity q)
{
	return q.s.n ? q.s : S("0");
}

static long long percent(double part, double all)
{
	return all > 0 ? (long long)(part / all * 100) : 0;
}

static str with_percent(struct describer *d, struct quantity q, struct quantity all, bool milli)
{
	long long share = milli ? percent((double)quantity_milli(q), (double)quantity_milli(all))
	                        : percent((double)quantity_value(q), (double)quantity_value(all));
	return arena_printf(d->k->a, STR_FMT " (%lld%%)", STR_ARG(shown(q)), share);
}

static void total_line(struct describer *d, const char *name, struct quantity requests, struct quantity limits,
                       struct quantity all, bool milli)
{
	d_line(d, 1, "%s\t" STR_FMT "\t" STR_FMT "\n", name, STR_ARG(with_percent(d, requests, all, milli)),
	       STR_ARG(with_percent(d, limits, all, milli)));
}

static void add_all(struct describer *d, struct amounts *to, const struct amounts *more)
{
	to->cpu = quantity_add(d->k->a, to->cpu, more->cpu);
	to->memory = quantity_add(d->k->a, to->memory, more->memory);
	to->storage = quantity_add(d->k->a, to->storage, more->storage);
}

static void pods_of(struct describer *d, const struct value *status)
{
	struct error err = { 0 };
	struct value *list;
	const struct rtype *t = kc_type_of_kind(d->k, S("v1"), S("Pod"), &err);
	str where = arena_concat(d->k->a, S("spec.nodeName="), d_text(d->obj, "metadata", "name"),
	                         S(",status.phase!=Failed,status.phase!=Succeeded"));
	if (!t || !kc_list_all(d->k, t, (str){ 0 }, (str){ 0 }, where, &list, &err)) {
		d_raw(d, S("Pods:\tnot authorized\n"));
		return;
	}
	const struct value *items = value_get(list, S("items")), *have = value_get(status, S("allocatable"));
	if (!value_is(have, V_OBJECT) || have->o.n == 0)
		have = value_get(status, S("capacity"));
	struct quantity cpu = quantity_in(d, have, "cpu"), memory = quantity_in(d, have, "memory"),
	                storage = quantity_in(d, have, "ephemeral-storage");
	struct amounts requests = { 0 }, limits = { 0 };
	d_line(d, 0, "Non-terminated Pods:\t(%zu in total)\n", d_count(items));
	d_raw(d, S("  Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge\n"
	           "  ---------\t----\t\t------------\t----------\t---------------\t-------------\t---\n"));
	for (size_t i = 0; i < d_count(items); i++) {
		const struct value *meta = value_get(items->a.v[i], S("metadata"));
		struct amounts r = pod_amounts(d, items->a.v[i], "requests"),
		               l = pod_amounts(d, items->a.v[i], "limits");
		add_all(d, &requests, &r);
		add_all(d, &limits, &l);
		d_line(d, 1,
		       STR_FMT "\t" STR_FMT "\t\t" STR_FMT "\t" STR_FMT "\t" STR_FMT "\t" STR_FMT "\t" STR_FMT "\n",
		       STR_ARG(d_member(meta, "namespace")), STR_ARG(d_member(meta, "name")),
		       STR_ARG(with_percent(d, r.cpu, cpu, true)), STR_ARG(with_percent(d, l.cpu, cpu, true)),
		       STR_ARG(with_percent(d, r.memory, memory, false)),
		       STR_ARG(with_percent(d, l.memory, memory, false)),
		       STR_ARG(kc_age_of(d->k->a, d_member(meta, "creationTimestamp"))));
	}
	d_raw(d, S("Allocated resources:\n  (Total limits may be over 100 percent, i.e., overcommitted.)\n"
	           "  Resource\tRequests\tLimits\n  --------\t--------\t------\n"));
	total_line(d, "cpu", requests.cpu, limits.cpu, cpu, true);
	total_line(d, "memory", requests.memory, limits.memory, memory, false);
	total_line(d, "ephemeral-storage", requests.storage, limits.storage, storage, false);
	size_t n;
	struct member *m = d_sorted(d, have, &n);
	for (size_t i = 0; i < n; i++)
		if (str_has_prefix(m[i].key, S("hugepages-")))
			d_line(d, 1, STR_FMT "\t0 (0%%)\t0 (0%%)\n", STR_ARG(m[i].key));
}

static void roles(struct describer *d, const struct value *labels)
{
	struct str_list found = { 0 };
	size_t n;
	struct member *m = d_sorted(d, labels, &n);
	for (size_t i = 0; i < n; i++) {
		str role = m[i].key;
		if (str_cut_prefix(&role, S("node-role.kubernetes.io/")) && role.n)
			*LIST_ADD(d->k->a, &found) = role;
		else if (str_eqc(m[i].key, "kubernetes.io/role") && value_str(m[i].value).n)
			*LIST_ADD(d->k->a, &found) = value_str(m[i].value);
	}
	if (found.n)
		qsort(found.v, found.n, sizeof(*found.v), str_cmp_qsort);
	d_line(d, 0, "Roles:\t" STR_FMT "\n",
	       STR_ARG(found.n ? kc_join(d->k->a, found.v, found.n, S(",")) : S("<none>")));
}

static void taints(struct describer *d, const struct value *list)
{
	struct str_list texts = { 0 };
	d_raw(d, d_count(list) ? S("Taints:\t") : S("Taints:\t<none>\n"));
	for (size_t i = 0; i < d_count(list); i++) {
		const struct value *t = list->a.v[i];
		str value = d_member(t, "value");
		// Sorted by effect, then key.
		*LIST_ADD(d->k->a, &texts) = arena_concat(d->k->a, d_member(t, "effect"), S(","), d_member(t, "key"),
		                                          value.n ? S("=") : S(""), value);
	}
	if (texts.n)
		qsort(texts.v, texts.n, sizeof(*texts.v), str_cmp_qsort);
	for (size_t i = 0; i < texts.n; i++) {
		str effect, rest;
		str_split(texts.v[i], ',', &effect, &rest);
		d_line(d, 0, "%s" STR_FMT ":" STR_FMT "\n", i ? "\t" : "", STR_ARG(rest), STR_ARG(effect));
	}
}

static void lease(struct describer *d)
{
	struct error err = { 0 };
	str path = arena_concat(d->k->a, S("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/"),
	                        d_text(d->obj, "metadata", "name"));
	const struct value *l = api_get(d->k, path, &err), *spec = value_get(l, S("spec"));
	if (!l) {
		d_line(d, 0, "Lease:\tFailed to get lease: %s\n", err.text);
		return;
	}
	str holder = d_member(spec, "holderIdentity"), acquired = d_member(spec, "acquireTime"),
	    renewed = d_member(spec, "renewTime");
	d_line(d, 0, "Lease:\n  HolderIdentity:\t" STR_FMT "\n  AcquireTime:\t" STR_FMT "\n  RenewTime:\t" STR_FMT "\n",
	       STR_ARG(holder.n ? holder : S("<unset>")), STR_ARG(acquired.n ? d_time(d, acquired) : S("<unset>")),
	       STR_ARG(renewed.n ? d_time(d, renewed) : S("<unset>")));
}

static void resource_list(struct describer *d, const struct value *list, const char *title)
{
	size_t n;
	struct member *m = d_sorted(d, list, &n);
	if (n)
		d_line(d, 0, "%s:\n", title);
	for (size_t i = 0; i < n; i++)
		d_line(d, 1, STR_FMT ":\t" STR_FMT "\n", STR_ARG(m[i].key), STR_ARG(value_str(m[i].value)));
}

bool describe_node(struct describer *d)
{
	const struct value *meta = value_get(d->obj, S("metadata")), *spec = value_get(d->obj, S("spec")),
	                   *status = value_get(d->obj, S("status"));
	const struct value *conditions = value_get(status, S("conditions")),
	                   *addresses = value_get(status, S("addresses")), *info = value_get(status, S("nodeInfo"));
	static const struct {
		const char *field, *title;
	} infos[] = {
		{ "machineID", "Machine ID" },
		{ "systemUUID", "System UUID" },
		{ "bootID", "Boot ID" },
		{ "kernelVersion", "Kernel Version" },
		{ "osImage", "OS Image" },
		{ "operatingSystem", "Operating System" },
		{ "architecture", "Architecture" },
		{ "containerRuntimeVersion", "Container Runtime Version" },
		{ "kubeletVersion", "Kubelet Version" },
	};
	d_line(d, 0, "Name:\t" STR_FMT "\n", STR_ARG(d_member(meta, "name")));
	roles(d, value_get(meta, S("labels")));
	d_labels(d, "Labels", value_get(meta, S("labels")));
	d_annotations(d, "Annotations", value_get(meta, S("annotations")));
	d_line(d, 0, "CreationTimestamp:\t" STR_FMT "\n", STR_ARG(d_time(d, d_member(meta, "creationTimestamp"))));
	taints(d, value_get(spec, S("taints")));
	d_line(d, 0, "Unschedulable:\t%s\n", kc_value_true(value_get(spec, S("unschedulable"))) ? "true" : "false");
	lease(d);
	if (d_count(conditions))
		d_raw(d, S("Conditions:\n  Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage\n"
		           "  ----\t------\t-----------------\t------------------\t------\t-------\n"));
	for (size_t i = 0; i < d_count(conditions); i++) {
		const struct value *c = conditions->a.v[i];
		d_line(d, 1, STR_FMT " \t" STR_FMT " \t" STR_FMT " \t" STR_FMT " \t" STR_FMT " \t" STR_FMT "\n",
		       STR_ARG(d_member(c, "type")), STR_ARG(d_member(c, "status")),
		       STR_ARG(d_time(d, d_member(c, "lastHeartbeatTime"))),
		       STR_ARG(d_time(d, d_member(c, "lastTransitionTime"))), STR_ARG(d_member(c, "reason")),
		       STR_ARG(d_member(c, "message")));
	}
	d_raw(d, S("Addresses:\n"));
	for (size_t i = 0; i < d_count(addresses); i++)
		d_line(d, 1, STR_FMT ":\t" STR_FMT "\n", STR_ARG(d_member(addresses->a.v[i], "type")),
		       STR_ARG(d_member(addresses->a.v[i], "address")));
	resource_list(d, value_get(status, S("capacity")), "Capacity");
	resource_list(d, value_get(status, S("allocatable")), "Allocatable");
	d_raw(d, S("System Info:\n"));
	for (size_t i = 0; i < ARRAY_LEN(infos); i++)
		d_line(d, 1, "%s:\t" STR_FMT "\n", infos[i].title, STR_ARG(d_member(info, infos[i].field)));
	if (d_member(spec, "podCIDR").n)
		d_line(d, 0, "PodCIDR:\t" STR_FMT "\n", STR_ARG(d_member(spec, "podCIDR")));
	if (d_count(value_get(spec, S("podCIDRs"))))
		d_line(d, 0, "PodCIDRs:\t" STR_FMT "\n", STR_ARG(d_joined(d, value_get(spec, S("podCIDRs")))));
	if (d_member(spec, "providerID").n)
		d_line(d, 0, "ProviderID:\t" STR_FMT "\n", STR_ARG(d_member(spec, "providerID")));
	pods_of(d, status);
	d_events(d);
	return true;
}
