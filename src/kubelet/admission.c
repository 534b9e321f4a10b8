// What a node checks itself before it runs a pod: the scheduler may have been wrong, or not asked. Rule: upstream
// lifecycle/predicate.go; the reasons are part of the API.
#include "base/io.h"
#include "kubelet/worker.h"
#include "object/meta.h"
#include "schema/quantity.h"

static bool reject(str *reason, str *message, const char *why, str text)
{
	*reason = str_c(why);
	*message = text;
	return false;
}

static bool matches(const struct core_v1_NodeSelectorRequirement *r, const struct str_map *labels)
{
	str value = S("");
	bool has = str_map_find(labels, r->key, &value), in = false;
	int64_t x, y;
	for (size_t i = 0; i < r->values.n; i++)
		in |= has && str_eq(r->values.v[i], value);
	if (str_eqc(r->operator, "In"))
		return in;
	if (str_eqc(r->operator, "NotIn"))
		return !in;
	if (str_eqc(r->operator, "Exists"))
		return has;
	if (str_eqc(r->operator, "DoesNotExist"))
		return !has;
	if (!has || r->values.n != 1 || !str_to_i64(value, &x) || !str_to_i64(r->values.v[0], &y))
		return false;
	return str_eqc(r->operator, "Gt") ? x > y : str_eqc(r->operator, "Lt") && x < y;
}

static bool node_fits(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Node *node)
{
	const struct str_map *labels = &node->metadata.labels;
	for (size_t i = 0; i < pod->spec.nodeSelector.n; i++) {
		str value;
		if (!str_map_find(labels, pod->spec.nodeSelector.v[i].key, &value) || !str_eq(value, pod->spec.nodeSelector.v[i].value))
			return false;
	}
	if (!pod->spec.affinity || !pod->spec.affinity->nodeAffinity ||
	    !pod->spec.affinity->nodeAffinity->requiredDuringSchedulingIgnoredDuringExecution)
		return true;
	const struct core_v1_NodeSelector *s = pod->spec.affinity->nodeAffinity->requiredDuringSchedulingIgnoredDuringExecution;
	struct str_map fields = { 0 };
	str_map_set(a, &fields, S("metadata.name"), node->metadata.name);
	for (size_t i = 0; i < s->nodeSelectorTerms.n; i++) {
		const struct core_v1_NodeSelectorTerm *t = &s->nodeSelectorTerms.v[i];
		bool all = t->matchExpressions.n + t->matchFields.n > 0;
		for (size_t e = 0; e < t->matchExpressions.n; e++)
			all &= matches(&t->matchExpressions.v[e], labels);
		for (size_t e = 0; e < t->matchFields.n; e++)
			all &= matches(&t->matchFields.v[e], &fields);
		if (all)
			return true;
	}
	return false;
}

static bool port_clash(const struct core_v1_Pod *x, const struct core_v1_Pod *y)
{
	for (size_t i = 0; i < x->spec.containers.n; i++)
		for (size_t p = 0; p < x->spec.containers.v[i].ports.n; p++) {
			const struct core_v1_ContainerPort *m = &x->spec.containers.v[i].ports.v[p];
			for (size_t j = 0; m->hostPort && j < y->spec.containers.n; j++)
				for (size_t q = 0; q < y->spec.containers.v[j].ports.n; q++) {
					const struct core_v1_ContainerPort *n = &y->spec.containers.v[j].ports.v[q];
					bool any = !m->hostIP.n || !n->hostIP.n || str_eqc(m->hostIP, "0.0.0.0") || str_eqc(n->hostIP, "0.0.0.0") ||
					           str_eq(m->hostIP, n->hostIP);
					if (m->hostPort == n->hostPort && any && str_eq(m->protocol.n ? m->protocol : S("TCP"), n->protocol.n ? n->protocol : S("TCP")))
						return true;
				}
		}
	return false;
}

// Settings of the kernel that stay within a pod's namespaces and cannot hurt others.
static bool sysctl_admit(struct arena *a, const struct core_v1_Pod *pod, str *message)
{
	static const char *const safe[] = {
		"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
		"net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout",
		"net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
	};
	for (size_t i = 0; pod->spec.securityContext && i < pod->spec.securityContext->sysctls.n; i++) {
		str name = pod->spec.securityContext->sysctls.v[i].name;
		char *dotted = arena_cstr(a, name);
		bool listed = false;
		for (char *p = dotted; *p; p++)
			*p = *p == '/' ? '.' : *p;
		for (size_t j = 0; j < ARRAY_LEN(safe) && !listed; j++)
			listed = strcmp(dotted, safe[j]) == 0;
		bool net = strncmp(dotted, "net.", 4) == 0;
		const char *why = !listed ? "not allowlisted" : net && host_network(pod) ? "not allowed with host net enabled"
		                : !net && pod->spec.hostIPC ? "not allowed with host ipc enabled" : NULL;
		if (why) {
			*message = arena_printf(a, "forbidden sysctl: \"" STR_FMT "\" %s", STR_ARG(name), why);
			return false;
		}
	}
	return true;
}

static bool wants_apparmor(const struct core_v1_AppArmorProfile *p)
{
	return p && !str_eqc(p->type, "Unconfined");
}

static bool apparmor_admit(struct arena *a, const struct core_v1_Pod *pod)
{
	struct error err = { 0 };
	str enabled;
	bool wanted = pod->spec.securityContext && wants_apparmor(pod->spec.securityContext->appArmorProfile);
	for (size_t i = 0; i < pod->spec.containers.n; i++)
		wanted |= pod->spec.containers.v[i].securityContext && wants_apparmor(pod->spec.containers.v[i].securityContext->appArmorProfile);
	return !wanted || (io_read_file(a, "/sys/module/apparmor/parameters/enabled", 16, &enabled, &err) && str_has_prefix(enabled, S("Y")));
}

bool pod_admit(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod, str *reason, str *message)
{
	struct quantity_map wanted = { 0 }, used = { 0 };
	int64_t pods = 0;
	bool clash = false;
	if (pod->spec.os && pod->spec.os->name.n && !str_eqc(pod->spec.os->name, "linux"))
		return reject(reason, message, "PodOSNotSupported", S("Failed to admit pod as the OS field doesn't match node OS"));
	if (!sysctl_admit(a, pod, message))
		return reject(reason, message, "SysctlForbidden", *message);
	if (!apparmor_admit(a, pod))
		return reject(reason, message, "AppArmor", S("Cannot enforce AppArmor: AppArmor is not enabled on the host"));
	for (struct map_slot *s = NULL; (s = map_each(&k->workers, s));) {
		struct worker *w = s->value;
		const struct core_v1_Pod *other = object_of(w->pod);
		struct quantity_map one = { 0 };
		if (w->phase >= PHASE_TERMINATED || !w->admitted || str_eq(other->metadata.uid, pod->metadata.uid))
			continue;
		pods++;
		clash |= port_clash(pod, other);
		pod_requests(a, other, &one);
		for (size_t i = 0; i < one.n; i++) {
			struct quantity sum;
			if (quantity_map_get(&used, one.v[i].key, &sum))
				quantity_map_set(a, &used, one.v[i].key, quantity_add(a, sum, one.v[i].value));
			else
				quantity_map_set(a, &used, one.v[i].key, one.v[i].value);
		}
	}
	if (pods + 1 > k->cfg.max_pods)
		return reject(reason, message, "OutOfpods",
		              arena_printf(a, "Node didn't have enough resource: pods, requested: 1, used: %lld, capacity: %d", (long long)pods, k->cfg.max_pods));
	pod_requests(a, pod, &wanted);
	for (size_t i = 0; i < wanted.n; i++) {
		struct quantity capacity = { 0 }, have = { 0 };
		str key = wanted.v[i].key;
		bool cpu = str_eqc(key, "cpu");
		if (quantity_is_zero(wanted.v[i].value))
			continue;
		if (!quantity_map_get(&k->allocatable, key, &capacity) && !cpu && !str_eqc(key, "memory") && !str_eqc(key, "ephemeral-storage"))
			continue; // what the node does not count it cannot be short of
		quantity_map_get(&used, key, &have);
		int64_t want = cpu ? quantity_milli(wanted.v[i].value) : quantity_value(wanted.v[i].value);
		int64_t taken = cpu ? quantity_milli(have) : quantity_value(have), most = cpu ? quantity_milli(capacity) : quantity_value(capacity);
		if (want > most - taken)
			return reject(reason, message, arena_cstr(a, arena_concat(a, S("OutOf"), key)),
			              arena_printf(a, "Node didn't have enough resource: " STR_FMT ", requested: %lld, used: %lld, capacity: %lld", STR_ARG(key),
			                           (long long)want, (long long)taken, (long long)most));
	}
	_cleanup_object_ struct object_ref *ref = k->node ? informer_get(k->node, S(""), k->node_name) : NULL;
	if (ref) {
		const struct core_v1_Node *node = object_of(ref);
		if (!node_fits(k, a, pod, node))
			return reject(reason, message, "NodeAffinity",
			              S("Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"));
		for (size_t i = 0; i < node->spec.taints.n; i++) {
			const struct core_v1_Taint *t = &node->spec.taints.v[i];
			bool fine = !str_eqc(t->effect, "NoExecute");
			for (size_t j = 0; j < pod->spec.tolerations.n && !fine; j++)
				fine = toleration_tolerates(&pod->spec.tolerations.v[j], t);
			if (!fine)
				return reject(reason, message, "TaintToleration",
				              S("Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"));
		}
	}
	if (clash)
		return reject(reason, message, "NodePorts", S("Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"));
	return true;
}
