#include "controllers/service_util.h"

#include <stdlib.h>

bool service_selects(const struct core_v1_Service *s)
{
	return s->spec.selector.n > 0 && !str_eq(s->spec.type, S("ExternalName"));
}

bool service_headless(const struct core_v1_Service *s)
{
	return str_empty(s->spec.clusterIP) || str_eq(s->spec.clusterIP, S("None"));
}

static bool selects(const struct core_v1_Service *s, const struct str_map *labels)
{
	for (size_t i = 0; i < s->spec.selector.n; i++) {
		str v;
		if (!str_map_find(labels, s->spec.selector.v[i].key, &v) || !str_eq(v, s->spec.selector.v[i].value))
			return false;
	}
	return true;
}

static bool labels_equal(const struct str_map *x, const struct str_map *y)
{
	if (x->n != y->n)
		return false;
	for (size_t i = 0; i < x->n; i++)
		if (!str_eq(x->v[i].key, y->v[i].key) || !str_eq(x->v[i].value, y->v[i].value))
			return false;
	return true;
}

static bool looks_the_same(const struct core_v1_Pod *x, const struct core_v1_Pod *y)
{
	if (pod_is_ready(x) != pod_is_ready(y) || pod_is_terminal(x) != pod_is_terminal(y) ||
	    !x->metadata.deletionTimestamp != !y->metadata.deletionTimestamp ||
	    !str_eq(x->spec.nodeName, y->spec.nodeName) || !str_eq(x->status.podIP, y->status.podIP) ||
	    x->status.podIPs.n != y->status.podIPs.n || !str_eq(x->spec.hostname, y->spec.hostname) ||
	    !str_eq(x->spec.subdomain, y->spec.subdomain) || !str_eq(x->metadata.uid, y->metadata.uid))
		return false;
	for (size_t i = 0; i < x->status.podIPs.n; i++)
		if (!str_eq(x->status.podIPs.v[i].ip, y->status.podIPs.v[i].ip))
			return false;
	return labels_equal(&x->metadata.labels, &y->metadata.labels);
}

void service_pod_changed(struct informer *services, struct workqueue *q, struct object_ref *old_ref,
                         struct object_ref *new_ref)
{
	const struct core_v1_Pod *old = old_ref ? object_of(old_ref) : NULL, *p = new_ref ? object_of(new_ref) : NULL;
	if ((!old && !p) || (old && p && looks_the_same(old, p)))
		return;
	_cleanup_arena_ struct arena *a = arena_new(1024);
	struct held all =
	        held_by_index(a, services, INDEX_NAMESPACE, object_ref_meta(new_ref ? new_ref : old_ref)->namespace);
	for (size_t i = 0; i < all.n; i++) {
		const struct core_v1_Service *s = all.v[i];
		if (service_selects(s) &&
		    ((p && selects(s, &p->metadata.labels)) || (old && selects(s, &old->metadata.labels))))
			queue_object(q, s);
	}
}

static int by_name(const void *x, const void *y)
{
	return str_cmp((*(const any_object *const *)x)->metadata.name, (*(const any_object *const *)y)->metadata.name);
}

struct held service_pods(struct arena *a, struct informer *pods, const struct core_v1_Service *s)
{
	struct held all = held_by_index(a, pods, INDEX_NAMESPACE, s->metadata.namespace);
	size_t n = 0;
	for (size_t i = 0; i < all.n; i++)
		if (selects(s, &((const any_object *)all.v[i])->metadata.labels))
			all.v[n++] = all.v[i];
	all.n = n;
	sort_items(all.v, all.n, sizeof(*all.v), by_name);
	return all;
}

bool pod_has_endpoint(const struct core_v1_Pod *p, bool terminating)
{
	return !pod_is_terminal(p) && (p->status.podIP.n || p->status.podIPs.n) &&
	       (terminating || !p->metadata.deletionTimestamp);
}

bool address_is_ipv6(str s)
{
	return str_find_char(s, ':') >= 0;
}

str pod_address(const struct core_v1_Pod *p, bool ipv6)
{
	for (size_t i = 0; i < p->status.podIPs.n; i++)
		if (address_is_ipv6(p->status.podIPs.v[i].ip) == ipv6)
			return p->status.podIPs.v[i].ip;
	return p->status.podIP.n && address_is_ipv6(p->status.podIP) == ipv6 ? p->status.podIP : S("");
}

static bool named_port(const struct core_v1_Container_list *containers, bool init, str name, str protocol, int32_t *out)
{
	for (size_t c = 0; c < containers->n; c++) {
		const struct core_v1_Container *k = &containers->v[c];
		if (init && !(k->restartPolicy && str_eq(*k->restartPolicy, S("Always"))))
			continue; // only sidecars serve
		for (size_t i = 0; i < k->ports.n; i++)
			if (str_eq(k->ports.v[i].name, name) &&
			    str_eq(k->ports.v[i].protocol.n ? k->ports.v[i].protocol : S("TCP"), protocol)) {
				*out = k->ports.v[i].containerPort;
				return true;
			}
	}
	return false;
}

bool pod_port(const struct core_v1_Pod *p, const struct core_v1_ServicePort *port, int32_t *out)
{
	if (!port->targetPort.is_string) {
		*out = port->targetPort.i ? port->targetPort.i : port->port;
		return true;
	}
	str protocol = port->protocol.n ? port->protocol : S("TCP");
	return named_port(&p->spec.containers, false, port->targetPort.s, protocol, out) ||
	       named_port(&p->spec.initContainers, true, port->targetPort.s, protocol, out);
}

bool pod_has_own_name(const struct core_v1_Pod *p, const struct core_v1_Service *s)
{
	return p->spec.hostname.n && str_eq(p->spec.subdomain, s->metadata.name) &&
	       str_eq(p->metadata.namespace, s->metadata.namespace);
}

struct core_v1_ObjectReference *pod_reference(struct arena *a, const struct core_v1_Pod *p)
{
	struct core_v1_ObjectReference *r = ARENA_NEW(a, struct core_v1_ObjectReference);
	*r = (struct core_v1_ObjectReference){
		.kind = S("Pod"), .namespace = p->metadata.namespace, .name = p->metadata.name, .uid = p->metadata.uid
	};
	return r;
}

str trigger_time(struct arena *a, const struct core_v1_Service *s, struct held pods)
{
	int64_t newest = s->metadata.creationTimestamp.sec;
	for (size_t i = 0; i < pods.n; i++) {
		const struct core_v1_PodCondition *c = pod_condition(pods.v[i], S("Ready"));
		if (c && c->lastTransitionTime.set)
			newest = MAX(newest, c->lastTransitionTime.sec);
	}
	return time_format(a, newest, 0, 0);
}
