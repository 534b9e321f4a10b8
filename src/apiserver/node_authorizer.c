// The Node authorizer: a kubelet reads what the pods bound to its node refer to, and nothing else of that kind.
// Rule: plugin/pkg/auth/authorizer/node. The graph is not kept: the pods of the namespace are looked through when a node asks.
#include "apiserver/kinds/kinds.h"
#include "apiserver/policy_internal.h"

struct look {
	str node, kind, name; // kind: "secrets", "configmaps", "serviceaccounts", "persistentvolumeclaims", "resourceclaims"
	bool found;
};

static bool container_refers(const struct look *l, const struct core_v1_EnvVar_list *env, const struct core_v1_EnvFromSource_list *from)
{
	bool secrets = str_eq(l->kind, S("secrets")), maps = str_eq(l->kind, S("configmaps"));
	EACH (e, *env) {
		if (secrets && e->valueFrom && e->valueFrom->secretKeyRef && str_eq(e->valueFrom->secretKeyRef->localObjectReference.name, l->name))
			return true;
		if (maps && e->valueFrom && e->valueFrom->configMapKeyRef && str_eq(e->valueFrom->configMapKeyRef->localObjectReference.name, l->name))
			return true;
	}
	EACH (f, *from) {
		if (secrets && f->secretRef && str_eq(f->secretRef->localObjectReference.name, l->name))
			return true;
		if (maps && f->configMapRef && str_eq(f->configMapRef->localObjectReference.name, l->name))
			return true;
	}
	return false;
}

static bool volume_refers(const struct look *l, const struct core_v1_Pod *p, const struct core_v1_Volume *vol)
{
	const struct core_v1_VolumeSource *v = &vol->volumeSource;
	if (str_eq(l->kind, S("persistentvolumeclaims"))) {
		if (v->persistentVolumeClaim && str_eq(v->persistentVolumeClaim->claimName, l->name))
			return true;
		str base = l->name; // an ephemeral volume's claim is POD-VOLUME
		return v->ephemeral && str_cut_prefix(&base, p->metadata.name) && str_cut_prefix(&base, S("-")) && str_eq(base, vol->name);
	}
	if (str_eq(l->kind, S("configmaps"))) {
		if (v->configMap && str_eq(v->configMap->localObjectReference.name, l->name))
			return true;
		for (size_t i = 0; v->projected && i < v->projected->sources.n; i++) {
			const struct core_v1_ConfigMapProjection *c = v->projected->sources.v[i].configMap;
			if (c && str_eq(c->localObjectReference.name, l->name))
				return true;
		}
		return false;
	}
	if (!str_eq(l->kind, S("secrets")))
		return false;
	if (v->secret && str_eq(v->secret->secretName, l->name))
		return true;
	for (size_t i = 0; v->projected && i < v->projected->sources.n; i++) {
		const struct core_v1_SecretProjection *c = v->projected->sources.v[i].secret;
		if (c && str_eq(c->localObjectReference.name, l->name))
			return true;
	}
	if (v->csi && v->csi->nodePublishSecretRef && str_eq(v->csi->nodePublishSecretRef->name, l->name))
		return true;
	return (v->flexVolume && v->flexVolume->secretRef && str_eq(v->flexVolume->secretRef->name, l->name)) ||
	       (v->iscsi && v->iscsi->secretRef && str_eq(v->iscsi->secretRef->name, l->name)) ||
	       (v->azureFile && str_eq(v->azureFile->secretName, l->name));
}

static bool pod_refers(const struct look *l, const struct core_v1_Pod *p)
{
	if (str_eq(l->kind, S("serviceaccounts")))
		return str_eq(p->spec.serviceAccountName, l->name);
	if (str_eq(l->kind, S("pods")))
		return str_eq(p->metadata.name, l->name);
	if (str_eq(l->kind, S("resourceclaims"))) {
		EACH (c, p->spec.resourceClaims)
			if (c->resourceClaimName && str_eq(*c->resourceClaimName, l->name))
				return true;
		EACH (c, p->status.resourceClaimStatuses)
			if (c->resourceClaimName && str_eq(*c->resourceClaimName, l->name))
				return true;
		return false;
	}
	if (str_eq(l->kind, S("secrets"))) {
		EACH (s, p->spec.imagePullSecrets)
			if (str_eq(s->name, l->name))
				return true;
	}
	EACH (c, p->spec.containers)
		if (container_refers(l, &c->env, &c->envFrom))
			return true;
	EACH (c, p->spec.initContainers)
		if (container_refers(l, &c->env, &c->envFrom))
			return true;
	EACH (c, p->spec.ephemeralContainers)
		if (container_refers(l, &c->ephemeralContainerCommon.env, &c->ephemeralContainerCommon.envFrom))
			return true;
	EACH (v, p->spec.volumes)
		if (volume_refers(l, p, v))
			return true;
	return false;
}

static bool look_at(const void *obj, void *ctx)
{
	struct look *l = ctx;
	const struct core_v1_Pod *p = obj;
	if (str_eq(p->spec.nodeName, l->node) && pod_refers(l, p))
		l->found = true;
	return !l->found;
}

static enum decision unrelated(struct request *r, str node, str *reason)
{
	*reason = arena_concat(r->arena, S("no relationship found between node '"), node, S("' and this object"));
	return NO_OPINION;
}

static enum decision related(struct request *r, str node, const struct attributes *at, str *reason)
{
	if (!at->name.n) {
		*reason = S("No Object name found");
		return NO_OPINION;
	}
	_cleanup_arena_ struct arena *a = arena_new(16 * 1024);
	struct request tmp = *r; // the pods that are looked through need not stay
	tmp.arena = a;
	struct look l = { .node = node, .kind = at->resource, .name = at->name };
	if (str_eq(at->resource, S("persistentvolumes"))) {
		const struct core_v1_PersistentVolume *pv = registry_get(&tmp, S(""), S("persistentvolumes"), S(""), at->name);
		if (!pv || !pv->spec.claimRef)
			return unrelated(r, node, reason);
		l.kind = S("persistentvolumeclaims");
		l.name = pv->spec.claimRef->name;
		registry_each(&tmp, S(""), S("pods"), pv->spec.claimRef->namespace, look_at, &l);
	} else if (str_eq(at->resource, S("volumeattachments"))) {
		const struct storage_v1_VolumeAttachment *va = registry_get(&tmp, at->group, at->resource, S(""), at->name);
		l.found = va && str_eq(va->spec.nodeName, node);
	} else if (str_eq(at->resource, S("resourceslices"))) {
		const struct resource_v1_ResourceSlice *slice = registry_get(&tmp, at->group, at->resource, S(""), at->name);
		l.found = slice && slice->spec.nodeName && str_eq(*slice->spec.nodeName, node);
	} else {
		registry_each(&tmp, S(""), S("pods"), at->ns, look_at, &l);
	}
	return l.found ? ALLOW : unrelated(r, node, reason);
}

static bool verb_in(const struct attributes *at, const char *const *verbs)
{
	for (; *verbs; verbs++)
		if (str_eqc(at->verb, *verbs))
			return true;
	return false;
}
#define VERB_IN(at, ...) verb_in((at), (const char *const[]){ __VA_ARGS__, NULL })

static enum decision deny(str *reason, const char *why)
{
	*reason = str_c(why);
	return NO_OPINION;
}

static enum decision get_only(struct request *r, str node, const struct attributes *at, str *reason)
{
	if (!VERB_IN(at, "get"))
		return deny(reason, "can only get individual resources of this type");
	if (at->subresource.n)
		return deny(reason, "cannot get subresource");
	return related(r, node, at, reason);
}

static enum decision read_namespaced(struct request *r, str node, const struct attributes *at, str *reason)
{
	if (!VERB_IN(at, "get", "list", "watch"))
		return deny(reason, "can only read resources of this type");
	if (at->subresource.n)
		return deny(reason, "cannot read subresource");
	if (!at->ns.n)
		return deny(reason, "can only read namespaced object of this type");
	return related(r, node, at, reason);
}

static bool selects_node(const struct attributes *at, const char *path, str node)
{
	for (size_t i = 0; i < at->fields.n; i++)
		if (str_eqc(at->fields.v[i].path, path) && !at->fields.v[i].not_equal && str_eq(at->fields.v[i].value, node))
			return true;
	return false;
}

static enum decision on_nodes(struct request *r, str node, const struct attributes *at, str *reason)
{
	if (!at->subresource.n) {
		if (VERB_IN(at, "create", "update", "patch"))
			return ALLOW;
		if (VERB_IN(at, "get", "list", "watch")) {
			if (str_eq(at->name, node))
				return ALLOW;
			*reason = at->name.n ? arena_concat(r->arena, S("node '"), node, S("' cannot read '"), at->name, S("', only its own Node object"))
			                     : arena_concat(r->arena, S("node '"), node, S("' cannot read all nodes, only its own Node object"));
		}
	} else if (str_eq(at->subresource, S("status")) && VERB_IN(at, "update", "patch")) {
		return ALLOW;
	}
	return NO_OPINION;
}

static enum decision on_pods(struct request *r, str node, const struct attributes *at, str *reason)
{
	if (!at->subresource.n) {
		if (VERB_IN(at, "get"))
			return get_only(r, node, at, reason);
		if (VERB_IN(at, "list", "watch")) {
			if (selects_node(at, "spec.nodeName", node))
				return ALLOW;
			if (at->name.n)
				return related(r, node, at, reason);
			return deny(reason, "can only list/watch pods with spec.nodeName field selector");
		}
		if (VERB_IN(at, "create", "delete"))
			return ALLOW;
	} else if (str_eq(at->subresource, S("status")) && VERB_IN(at, "update", "patch")) {
		return ALLOW;
	} else if (str_eq(at->subresource, S("eviction")) && VERB_IN(at, "create")) {
		return ALLOW;
	}
	return NO_OPINION;
}

static enum decision on_service_accounts(struct request *r, str node, const struct attributes *at, str *reason)
{
	if (VERB_IN(at, "get") && !at->subresource.n)
		return read_namespaced(r, node, at, reason);
	if (!VERB_IN(at, "create") || !at->name.n)
		return deny(reason, "can only create tokens for individual service accounts");
	if (!str_eq(at->subresource, S("token")))
		return deny(reason, "can only create token subresource of serviceaccount");
	return related(r, node, at, reason);
}

static enum decision on_leases(str node, const struct attributes *at, str *reason)
{
	if (!VERB_IN(at, "get", "create", "update", "patch", "delete"))
		return deny(reason, "can only get, create, update, patch, or delete a node lease");
	if (!str_eq(at->ns, S("kube-node-lease")))
		return deny(reason, "can only access leases in the \"kube-node-lease\" system namespace");
	if (!VERB_IN(at, "create") && !str_eq(at->name, node))
		return deny(reason, "can only access node lease with the same name as the requesting node");
	return ALLOW;
}

static enum decision on_csi_nodes(str node, const struct attributes *at, str *reason)
{
	if (!VERB_IN(at, "get", "create", "update", "patch", "delete"))
		return deny(reason, "can only get, create, update, patch, or delete a CSINode");
	if (at->subresource.n)
		return deny(reason, "cannot authorize CSINode subresources");
	if (!VERB_IN(at, "create") && !str_eq(at->name, node))
		return deny(reason, "can only access CSINode with the same name as the requesting node");
	return ALLOW;
}

static enum decision on_resource_slices(struct request *r, str node, const struct attributes *at, str *reason)
{
	if (at->subresource.n)
		return deny(reason, "cannot authorize ResourceSlice subresources");
	if (VERB_IN(at, "create"))
		return ALLOW;
	if (VERB_IN(at, "get", "update", "patch", "delete"))
		return related(r, node, at, reason);
	if (!VERB_IN(at, "watch", "list", "deletecollection"))
		return deny(reason, "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection");
	if (selects_node(at, "spec.nodeName", node))
		return ALLOW;
	return deny(reason, "can only list/watch/deletecollection resourceslices with nodeName field selector");
}

static enum decision on_certificate_requests(str node, const struct attributes *at, str *reason)
{
	if (at->subresource.n)
		return deny(reason, "nodes may not access the status subresource of PodCertificateRequests");
	if (VERB_IN(at, "create"))
		return ALLOW;
	if (VERB_IN(at, "list", "watch")) {
		if (selects_node(at, "spec.nodeName", node))
			return ALLOW;
		return deny(reason, "can only list/watch podcertificaterequests with nodeName field selector");
	}
	return NO_OPINION;
}

enum decision node_decide(struct request *r, const struct attributes *at, str *reason)
{
	str node;
	if (!user_in_group(at->user, S("system:nodes")) || !user_is_node(at->user, &node))
		return NO_OPINION;
	if (!node.n) {
		*reason = arena_concat(r->arena, S("unknown node for user "), go_quote(r->arena, at->user->name));
		return NO_OPINION;
	}
	if (at->is_resource && !at->group.n) {
		if (str_eq(at->resource, S("secrets")) || str_eq(at->resource, S("configmaps")))
			return read_namespaced(r, node, at, reason);
		if (str_eq(at->resource, S("persistentvolumeclaims"))) {
			if (!str_eq(at->subresource, S("status")))
				return get_only(r, node, at, reason);
			return VERB_IN(at, "update", "patch") ? related(r, node, at, reason) : deny(reason, "can only get/update/patch this type");
		}
		if (str_eq(at->resource, S("persistentvolumes")))
			return get_only(r, node, at, reason);
		if (str_eq(at->resource, S("serviceaccounts")))
			return on_service_accounts(r, node, at, reason);
		if (str_eq(at->resource, S("nodes")))
			return on_nodes(r, node, at, reason);
		if (str_eq(at->resource, S("pods")))
			return on_pods(r, node, at, reason);
	} else if (at->is_resource) {
		if (str_eq(at->group, S("resource.k8s.io")) && str_eq(at->resource, S("resourceclaims")))
			return get_only(r, node, at, reason);
		if (str_eq(at->group, S("resource.k8s.io")) && str_eq(at->resource, S("resourceslices")))
			return on_resource_slices(r, node, at, reason);
		if (str_eq(at->group, S("storage.k8s.io")) && str_eq(at->resource, S("volumeattachments")))
			return get_only(r, node, at, reason);
		if (str_eq(at->group, S("storage.k8s.io")) && str_eq(at->resource, S("csinodes")))
			return on_csi_nodes(node, at, reason);
		if (str_eq(at->group, S("coordination.k8s.io")) && str_eq(at->resource, S("leases")))
			return on_leases(node, at, reason);
		if (str_eq(at->group, S("certificates.k8s.io")) && str_eq(at->resource, S("podcertificaterequests")))
			return on_certificate_requests(node, at, reason);
	}
	// For all else a node has what the bootstrap role system:node grants.
	EACH (rule, apiserver_policy(r->server)->node_rules)
		if (rule_allows(rule, at))
			return ALLOW;
	return NO_OPINION;
}
