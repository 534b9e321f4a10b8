// Deployments, ReplicaSets, Services, ConfigMaps, Secrets and Namespaces.
#include <stdlib.h>

#include "base/encode.h"
#include "kubectl/describe.h"

static void head(struct describer *d, bool created, bool labels)
{
	const struct value *meta = value_get(d->obj, S("metadata"));
	d_line(d, 0, "Name:\t" STR_FMT "\n", STR_ARG(d_member(meta, "name")));
	if (d->type->namespaced)
		d_line(d, 0, "Namespace:\t" STR_FMT "\n", STR_ARG(d_member(meta, "namespace")));
	if (created)
		d_line(d, 0, "CreationTimestamp:\t" STR_FMT "\n",
		       STR_ARG(d_time(d, d_member(meta, "creationTimestamp"))));
	if (!labels)
		return;
	d_labels(d, "Labels", value_get(meta, S("labels")));
	d_annotations(d, "Annotations", value_get(meta, S("annotations")));
}

static void conditions(struct describer *d)
{
	const struct value *list = value_path(d->obj, S("status"), S("conditions"));
	if (d_count(list))
		d_raw(d, S("Conditions:\n  Type\tStatus\tReason\n  ----\t------\t------\n"));
	for (size_t i = 0; i < d_count(list); i++)
		d_line(d, 1, STR_FMT " \t" STR_FMT "\t" STR_FMT "\n", STR_ARG(d_member(list->a.v[i], "type")),
		       STR_ARG(d_member(list->a.v[i], "status")), STR_ARG(d_member(list->a.v[i], "reason")));
}

static str number_or_text(struct describer *d, const struct value *v)
{
	_cleanup_buf_ struct buf b = { 0 };
	if (v)
		kc_write_plain(&b, v);
	return arena_dup(d->k->a, buf_str(&b));
}

static bool owned(const struct value *obj, str uid)
{
	const struct value *owners = value_path(obj, S("metadata"), S("ownerReferences"));
	for (size_t i = 0; i < d_count(owners); i++)
		if (kc_value_true(value_get(owners->a.v[i], S("controller"))) &&
		    str_eq(d_member(owners->a.v[i], "uid"), uid))
			return true;
	return false;
}

// The same template, but for the label that tells ReplicaSets apart.
static bool same_template(struct arena *a, const struct value *x, const struct value *y)
{
	struct value *copy = value_clone(a, x);
	value_del(value_path(copy, S("metadata"), S("labels")), S("pod-template-hash"));
	return value_equal(copy, y);
}

static void replica_sets(struct describer *d)
{
	struct error ignored = { 0 };
	struct value *list;
	const struct rtype *t = kc_type_of_kind(d->k, S("apps/v1"), S("ReplicaSet"), &ignored);
	str selector = kc_selector_text(d->k->a, value_path(d->obj, S("spec"), S("selector"))),
	    uid = d_text(d->obj, "metadata", "uid");
	if (!t || !kc_list_all(d->k, t, d_text(d->obj, "metadata", "namespace"), selector, (str){ 0 }, &list, &ignored))
		return;
	const struct value *items = value_get(list, S("items")),
	                   *template = value_path(d->obj, S("spec"), S("template")), *newest = NULL;
	struct str_list old = { 0 };
	for (size_t i = 0; i < d_count(items); i++)
		if (!newest && owned(items->a.v[i], uid) &&
		    same_template(d->k->a, value_path(items->a.v[i], S("spec"), S("template")), template))
			newest = items->a.v[i];
	str text = S("<none>");
	bool any = newest != NULL;
	for (size_t i = 0; i < d_count(items); i++) {
		const struct value *rs = items->a.v[i];
		if (!owned(rs, uid))
			continue;
		str line = arena_printf(d->k->a, STR_FMT " (%lld/%lld replicas created)",
		                        STR_ARG(d_text(rs, "metadata", "name")),
		                        d_number(value_get(rs, S("status")), "replicas"),
		                        d_number(value_get(rs, S("spec")), "replicas"));
		any = true;
		if (rs == newest)
			text = line;
		else
			*LIST_ADD(d->k->a, &old) = line;
	}
	if (!any)
		return;
	d_line(d, 0, "OldReplicaSets:\t" STR_FMT "\n",
	       STR_ARG(old.n ? kc_join(d->k->a, old.v, old.n, S(", ")) : S("<none>")));
	d_line(d, 0, "NewReplicaSet:\t" STR_FMT "\n", STR_ARG(text));
}

bool describe_deployment(struct describer *d)
{
	const struct value *spec = value_get(d->obj, S("spec")), *status = value_get(d->obj, S("status")),
	                   *rolling = value_path(spec, S("strategy"), S("rollingUpdate"));
	head(d, true, true);
	d_line(d, 0, "Selector:\t" STR_FMT "\n", STR_ARG(kc_selector_text(d->k->a, value_get(spec, S("selector")))));
	d_line(d, 0, "Replicas:\t%lld desired | %lld updated | %lld total | %lld available | %lld unavailable\n",
	       d_number(spec, "replicas"), d_number(status, "updatedReplicas"), d_number(status, "replicas"),
	       d_number(status, "availableReplicas"), d_number(status, "unavailableReplicas"));
	d_line(d, 0, "StrategyType:\t" STR_FMT "\nMinReadySeconds:\t%lld\n", STR_ARG(d_text(spec, "strategy", "type")),
	       d_number(spec, "minReadySeconds"));
	if (rolling)
		d_line(d, 0, "RollingUpdateStrategy:\t" STR_FMT " max unavailable, " STR_FMT " max surge\n",
		       STR_ARG(number_or_text(d, value_get(rolling, S("maxUnavailable")))),
		       STR_ARG(number_or_text(d, value_get(rolling, S("maxSurge")))));
	describe_template(d, value_get(spec, S("template")));
	conditions(d);
	replica_sets(d);
	d_events(d);
	return true;
}

bool describe_replicaset(struct describer *d)
{
	const struct value *spec = value_get(d->obj, S("spec")), *status = value_get(d->obj, S("status"));
	const struct value *meta = value_get(d->obj, S("metadata"));
	str owner = d_controller(d), selector = kc_selector_text(d->k->a, value_get(spec, S("selector")));
	static const char *const phases[] = { "Running", "Pending", "Succeeded", "Failed" };
	size_t counts[ARRAY_LEN(phases)] = { 0 };
	struct error err = { 0 };
	struct value *list;
	head(d, false, false);
	d_line(d, 0, "Selector:\t" STR_FMT "\n", STR_ARG(selector));
	d_labels(d, "Labels", value_get(meta, S("labels")));
	d_annotations(d, "Annotations", value_get(meta, S("annotations")));
	if (owner.n)
		d_line(d, 0, "Controlled By:\t" STR_FMT "\n", STR_ARG(owner));
	d_line(d, 0, "Replicas:\t%lld current / %lld desired\nPods Status:\t", d_number(status, "replicas"),
	       d_number(spec, "replicas"));
	const struct rtype *pods = kc_type_of_kind(d->k, S("v1"), S("Pod"), &err);
	if (!pods || !kc_list_all(d->k, pods, d_member(meta, "namespace"), selector, (str){ 0 }, &list, &err)) {
		d_line(d, 0, "error in fetching pods: %s\n", err.text);
	} else {
		const struct value *items = value_get(list, S("items"));
		for (size_t i = 0; i < d_count(items); i++)
			for (size_t p = 0; p < ARRAY_LEN(phases); p++)
				if (owned(items->a.v[i], d_member(meta, "uid")) &&
				    str_eqc(d_text(items->a.v[i], "status", "phase"), phases[p]))
					counts[p]++;
		d_line(d, 0, "%zu Running / %zu Waiting / %zu Succeeded / %zu Failed\n", counts[0], counts[1],
		       counts[2], counts[3]);
	}
	describe_template(d, value_get(spec, S("template")));
	conditions(d);
	d_events(d);
	return true;
}

// --- Services ---

static bool ready(const struct value *endpoint)
{
	const struct value *v = value_path(endpoint, S("conditions"), S("ready"));
	return !v || v->kind != V_BOOL || v->b;
}

// The first three addresses behind a port.
static str endpoints(struct describer *d, const struct value *slices, str port_name)
{
	enum { SHOWN = 3 };
	struct str_list shown = { 0 };
	size_t count = 0;
	bool more = false;
	if (d_count(slices) == 0)
		return S("<none>");
	for (size_t i = 0; i < d_count(slices); i++) {
		const struct value *list = value_get(slices->a.v[i], S("endpoints")),
		                   *ports = value_get(slices->a.v[i], S("ports"));
		size_t rounds = MAX(d_count(ports), (size_t)1);
		for (size_t p = 0; p < rounds; p++) {
			const struct value *port = d_count(ports) ? ports->a.v[p] : NULL;
			if (port && !str_eq(d_member(port, "name"), port_name))
				continue;
			for (size_t e = 0; e < d_count(list); e++) {
				const struct value *addresses = value_get(list->a.v[e], S("addresses"));
				more = more || shown.n == SHOWN;
				if (!ready(list->a.v[e]) || d_count(addresses) == 0)
					continue;
				str address = value_str(addresses->a.v[0]);
				bool v6 = str_find_char(address, ':') >= 0;
				if (!more)
					*LIST_ADD(d->k->a, &shown) =
					        port ? arena_printf(d->k->a,
					                            v6 ? "[" STR_FMT "]:%lld" : STR_FMT ":%lld",
					                            STR_ARG(address), d_number(port, "port"))
					             : address;
				count++;
			}
		}
	}
	str text = shown.n ? kc_join(d->k->a, shown.v, shown.n, S(",")) : S("");
	return more ? arena_printf(d->k->a, STR_FMT " + %zu more...", STR_ARG(text), count - SHOWN) : text;
}

bool describe_service(struct describer *d)
{
	const struct value *spec = value_get(d->obj, S("spec")), *ports = value_get(spec, S("ports")),
	                   *ingress = value_path(d->obj, S("status"), S("loadBalancer"), S("ingress"));
	struct error ignored = { 0 };
	struct value *list = NULL;
	const struct rtype *slices = kc_type_of_kind(d->k, S("discovery.k8s.io/v1"), S("EndpointSlice"), &ignored);
	str label = arena_concat(d->k->a, S("kubernetes.io/service-name="), d_text(d->obj, "metadata", "name"));
	if (slices)
		kc_list_all(d->k, slices, d_text(d->obj, "metadata", "namespace"), label, (str){ 0 }, &list, &ignored);
	head(d, false, true);
	d_line(d, 0, "Selector:\t" STR_FMT "\nType:\t" STR_FMT "\n",
	       STR_ARG(kc_labels_text(d->k->a, value_get(spec, S("selector")))), STR_ARG(d_member(spec, "type")));
	if (d_member(spec, "ipFamilyPolicy").n)
		d_line(d, 0, "IP Family Policy:\t" STR_FMT "\n", STR_ARG(d_member(spec, "ipFamilyPolicy")));
	d_line(d, 0, "IP Families:\t" STR_FMT "\n", STR_ARG(d_joined(d, value_get(spec, S("ipFamilies")))));
	d_line(d, 0, "IP:\t" STR_FMT "\nIPs:\t" STR_FMT "\n", STR_ARG(d_member(spec, "clusterIP")),
	       STR_ARG(d_joined(d, value_get(spec, S("clusterIPs")))));
	if (d_count(value_get(spec, S("externalIPs"))))
		d_line(d, 0, "External IPs:\t" STR_FMT "\n", STR_ARG(d_joined(d, value_get(spec, S("externalIPs")))));
	if (d_member(spec, "loadBalancerIP").n)
		d_line(d, 0, "Desired LoadBalancer IP:\t" STR_FMT "\n", STR_ARG(d_member(spec, "loadBalancerIP")));
	if (d_member(spec, "externalName").n)
		d_line(d, 0, "External Name:\t" STR_FMT "\n", STR_ARG(d_member(spec, "externalName")));
	for (size_t i = 0; i < d_count(ingress); i++) {
		str ip = d_member(ingress->a.v[i], "ip"), mode = d_member(ingress->a.v[i], "ipMode");
		d_line(d, 0, "%s" STR_FMT, i ? ", " : "LoadBalancer Ingress:\t",
		       STR_ARG(ip.n ? ip : d_member(ingress->a.v[i], "hostname")));
		if (ip.n && mode.n)
			d_line(d, 0, " (" STR_FMT ")", STR_ARG(mode));
	}
	if (d_count(ingress))
		d_raw(d, S("\n"));
	for (size_t i = 0; i < d_count(ports); i++) {
		const struct value *p = ports->a.v[i];
		str name = d_member(p, "name"), protocol = d_member(p, "protocol"),
		    shown = name.n ? name : S("<unset>");
		d_line(d, 0, "Port:\t" STR_FMT "\t%lld/" STR_FMT "\n", STR_ARG(shown), d_number(p, "port"),
		       STR_ARG(protocol));
		d_line(d, 0, "TargetPort:\t" STR_FMT "/" STR_FMT "\n",
		       STR_ARG(number_or_text(d, value_get(p, S("targetPort")))), STR_ARG(protocol));
		if (d_member(p, "appProtocol").n)
			d_line(d, 0, "AppProtocol:\t" STR_FMT "\n", STR_ARG(d_member(p, "appProtocol")));
		if (d_number(p, "nodePort"))
			d_line(d, 0, "NodePort:\t" STR_FMT "\t%lld/" STR_FMT "\n", STR_ARG(shown),
			       d_number(p, "nodePort"), STR_ARG(protocol));
		d_line(d, 0, "Endpoints:\t" STR_FMT "\n", STR_ARG(endpoints(d, value_get(list, S("items")), name)));
	}
	d_line(d, 0, "Session Affinity:\t" STR_FMT "\n", STR_ARG(d_member(spec, "sessionAffinity")));
	static const struct {
		const char *field, *title;
	} texts[] = { { "externalTrafficPolicy", "External Traffic Policy" },
		      { "internalTrafficPolicy", "Internal Traffic Policy" } };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (d_member(spec, texts[i].field).n)
			d_line(d, 0, "%s:\t" STR_FMT "\n", texts[i].title, STR_ARG(d_member(spec, texts[i].field)));
	if (d_number(spec, "healthCheckNodePort"))
		d_line(d, 0, "HealthCheck NodePort:\t%lld\n", d_number(spec, "healthCheckNodePort"));
	if (d_count(value_get(spec, S("loadBalancerSourceRanges"))))
		d_line(d, 0, "LoadBalancer Source Ranges:\t" STR_FMT "\n",
		       STR_ARG(d_joined(d, value_get(spec, S("loadBalancerSourceRanges")))));
	if (d_member(spec, "trafficDistribution").n)
		d_line(d, 0, "Traffic Distribution:\t" STR_FMT "\n", STR_ARG(d_member(spec, "trafficDistribution")));
	d_events(d);
	return true;
}

// --- Data ---

static size_t decoded_size(struct describer *d, const struct value *v)
{
	str bytes = { 0 };
	base64_decode(d->k->a, value_str(v), &bytes);
	return bytes.n;
}

bool describe_configmap(struct describer *d)
{
	size_t n;
	struct member *m = d_sorted(d, value_get(d->obj, S("data")), &n);
	head(d, false, true);
	d_raw(d, S("\nData\n====\n"));
	for (size_t i = 0; i < n; i++)
		d_line(d, 0, STR_FMT ":\n----\n" STR_FMT "\n\n", STR_ARG(m[i].key), STR_ARG(value_str(m[i].value)));
	d_raw(d, S("\nBinaryData\n====\n"));
	m = d_sorted(d, value_get(d->obj, S("binaryData")), &n);
	for (size_t i = 0; i < n; i++)
		d_line(d, 0, STR_FMT ": %zu bytes\n", STR_ARG(m[i].key), decoded_size(d, m[i].value));
	d_raw(d, S("\n"));
	d_events(d);
	return true;
}

bool describe_secret(struct describer *d)
{
	size_t n;
	struct member *m = d_sorted(d, value_get(d->obj, S("data")), &n);
	str type = d_member(d->obj, "type");
	head(d, false, true);
	d_line(d, 0, "\nType:\t" STR_FMT "\n\nData\n====\n", STR_ARG(type));
	for (size_t i = 0; i < n; i++) {
		str token;
		if (str_eqc(m[i].key, "token") && str_eqc(type, "kubernetes.io/service-account-token") &&
		    base64_decode(d->k->a, value_str(m[i].value), &token))
			d_line(d, 0, "token:\t" STR_FMT "\n", STR_ARG(token));
		else
			d_line(d, 0, STR_FMT ":\t%zu bytes\n", STR_ARG(m[i].key), decoded_size(d, m[i].value));
	}
	return true;
}

bool describe_namespace(struct describer *d)
{
	const struct value *list = value_path(d->obj, S("status"), S("conditions"));
	head(d, false, true);
	d_line(d, 0, "Status:\t" STR_FMT "\n", STR_ARG(d_text(d->obj, "status", "phase")));
	if (d_count(list))
		d_raw(d, S("Conditions:\n  Type\tStatus\tLastTransitionTime\tReason\tMessage\n  "
		           "----\t------\t------------------\t------\t-------\n"));
	for (size_t i = 0; i < d_count(list); i++) {
		const struct value *c = list->a.v[i];
		d_line(d, 1, STR_FMT "\t" STR_FMT "\t" STR_FMT "\t" STR_FMT "\t" STR_FMT "\n",
		       STR_ARG(d_member(c, "type")), STR_ARG(d_member(c, "status")),
		       STR_ARG(d_time(d, d_member(c, "lastTransitionTime"))), STR_ARG(d_member(c, "reason")),
		       STR_ARG(d_member(c, "message")));
	}
	static const struct {
		const char *kind, *none;
	} limits[] = { { "ResourceQuota", "No resource quota." }, { "LimitRange", "No LimitRange resource." } };
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		struct error ignored = { 0 };
		struct value *found;
		const struct rtype *t = kc_type_of_kind(d->k, S("v1"), str_c(limits[i].kind), &ignored);
		if (!t ||
		    !kc_list_all(d->k, t, d_text(d->obj, "metadata", "name"), (str){ 0 }, (str){ 0 }, &found, &ignored))
			continue;
		const struct value *items = value_get(found, S("items"));
		if (d_count(items) == 0)
			d_line(d, 0, "\n%s\n", limits[i].none);
		for (size_t j = 0; j < d_count(items); j++)
			d_line(d, 0, "%s%s:\t" STR_FMT "\n", j ? "" : "\n", limits[i].kind,
			       STR_ARG(d_text(items->a.v[j], "metadata", "name")));
	}
	return true;
}
