// ServiceAccount: every pod runs as one and gets its token. NodeRestriction: a kubelet changes its node and its pods only.
// Rule: plugin/pkg/admission/serviceaccount, plugin/pkg/admission/noderestriction.
#include "apiserver/admission_internal.h"

#include <stdlib.h>

#define TOKEN_PATH S("/var/run/secrets/kubernetes.io/serviceaccount")

static bool is_mirror(const struct core_v1_Pod *p)
{
	str ignored;
	return str_map_find(&p->metadata.annotations, S("kubernetes.io/config.mirror"), &ignored);
}

static const struct core_v1_ServiceAccount *account_of(const struct admission *ad, const struct core_v1_Pod *p, struct api_status *s)
{
	const struct core_v1_ServiceAccount *sa = registry_get(ad->r, S(""), S("serviceaccounts"), admission_ns(ad), p->spec.serviceAccountName);
	if (!sa)
		admission_forbid(ad, s, "error looking up service account " STR_FMT "/" STR_FMT ": serviceaccount %s not found", STR_ARG(admission_ns(ad)),
		                 STR_ARG(p->spec.serviceAccountName), arena_cstr(ad->r->arena, go_quote(ad->r->arena, p->spec.serviceAccountName)));
	return sa;
}

static struct core_v1_Volume token_volume(struct arena *a, str name)
{
	struct core_v1_ProjectedVolumeSource *p = ARENA_NEW(a, struct core_v1_ProjectedVolumeSource);
	p->defaultMode = NEW_VALUE(a, int32_t, 0644);
	struct core_v1_VolumeProjection *token = LIST_ADD(a, &p->sources);
	token->serviceAccountToken = ARENA_NEW(a, struct core_v1_ServiceAccountTokenProjection);
	token->serviceAccountToken->path = S("token");
	token->serviceAccountToken->expirationSeconds = NEW_VALUE(a, int64_t, 3607);
	struct core_v1_VolumeProjection *ca = LIST_ADD(a, &p->sources);
	ca->configMap = ARENA_NEW(a, struct core_v1_ConfigMapProjection);
	ca->configMap->localObjectReference.name = S("kube-root-ca.crt");
	*LIST_ADD(a, &ca->configMap->items) = (struct core_v1_KeyToPath){ .key = S("ca.crt"), .path = S("ca.crt") };
	struct core_v1_VolumeProjection *ns = LIST_ADD(a, &p->sources);
	ns->downwardAPI = ARENA_NEW(a, struct core_v1_DownwardAPIProjection);
	struct core_v1_DownwardAPIVolumeFile *f = LIST_ADD(a, &ns->downwardAPI->items);
	f->path = S("namespace");
	f->fieldRef = ARENA_NEW(a, struct core_v1_ObjectFieldSelector);
	f->fieldRef->apiVersion = S("v1");
	f->fieldRef->fieldPath = S("metadata.namespace");
	return (struct core_v1_Volume){ .name = name, .volumeSource.projected = p };
}

static bool mount_token(struct arena *a, struct core_v1_Container_list *containers, str volume)
{
	bool used = false;
	EACH (c, *containers) {
		bool mounted = false;
		EACH (m, c->volumeMounts)
			mounted = mounted || str_eq(m->mountPath, TOKEN_PATH);
		if (mounted)
			continue;
		*LIST_ADD(a, &c->volumeMounts) = (struct core_v1_VolumeMount){ .name = volume, .readOnly = true, .mountPath = TOKEN_PATH };
		used = true;
	}
	return used;
}

bool service_account_mutate(const struct admission *ad, struct api_status *s)
{
	if (ad->op != ADMIT_CREATE || !admission_is(ad, "", "pods"))
		return true;
	struct core_v1_Pod *p = ad->obj;
	struct arena *a = ad->r->arena;
	if (is_mirror(p))
		return true;
	default_str(&p->spec.serviceAccountName, "default");
	p->spec.serviceAccount = p->spec.serviceAccountName;
	const struct core_v1_ServiceAccount *sa = account_of(ad, p, s);
	if (!sa)
		return false;
	const bool *automount = p->spec.automountServiceAccountToken ? p->spec.automountServiceAccountToken : sa->automountServiceAccountToken;
	if (!automount || *automount) {
		str volume = S("");
		EACH (v, p->spec.volumes)
			if (str_has_prefix(v->name, S("kube-api-access-")))
				volume = v->name;
		bool there = volume.n > 0;
		if (!there)
			volume = arena_concat(a, S("kube-api-access-"), rng_name_suffix(ad->r->rng, a, 5));
		bool init = mount_token(a, &p->spec.initContainers, volume), main_ones = mount_token(a, &p->spec.containers, volume);
		if (!there && (init || main_ones))
			*LIST_ADD(a, &p->spec.volumes) = token_volume(a, volume);
	}
	if (!p->spec.imagePullSecrets.n)
		EACH (secret, sa->imagePullSecrets)
			LIST_ADD(a, &p->spec.imagePullSecrets)->name = secret->name;
	return true;
}

// --- Secrets that the account does not list (annotation kubernetes.io/enforce-mountable-secrets) ---

static bool lists_secret(const struct core_v1_ServiceAccount *sa, str name)
{
	EACH (r, sa->secrets)
		if (str_eq(r->name, name))
			return true;
	return false;
}

static bool container_secrets(const struct admission *ad, const struct core_v1_ServiceAccount *sa, const char *what, str name,
                              const struct core_v1_EnvVar_list *env, const struct core_v1_EnvFromSource_list *from, struct api_status *s)
{
	EACH (e, *env) {
		const struct core_v1_SecretKeySelector *k = e->valueFrom ? e->valueFrom->secretKeyRef : NULL;
		if (k && !lists_secret(sa, k->localObjectReference.name))
			return admission_forbid(ad, s, "%s " STR_FMT " with envVar " STR_FMT " referencing secret.secretName=\"" STR_FMT "\" is not allowed because service "
			                        "account " STR_FMT " does not reference that secret", what, STR_ARG(name), STR_ARG(e->name),
			                        STR_ARG(k->localObjectReference.name), STR_ARG(sa->metadata.name));
	}
	EACH (f, *from)
		if (f->secretRef && !lists_secret(sa, f->secretRef->localObjectReference.name))
			return admission_forbid(ad, s, "%s " STR_FMT " with envFrom referencing secret.secretName=\"" STR_FMT "\" is not allowed because service account "
			                        STR_FMT " does not reference that secret", what, STR_ARG(name), STR_ARG(f->secretRef->localObjectReference.name),
			                        STR_ARG(sa->metadata.name));
	return true;
}

static bool mountable_secrets(const struct admission *ad, const struct core_v1_ServiceAccount *sa, const struct core_v1_Pod *p, struct api_status *s)
{
	str enforce = str_map_get(&sa->metadata.annotations, S("kubernetes.io/enforce-mountable-secrets"));
	if (!str_eq_nocase(enforce, S("true")) && !str_eq(enforce, S("1")) && !str_eq_nocase(enforce, S("t")))
		return true;
	if (ad->op == ADMIT_UPDATE) {
		EACH (c, p->spec.ephemeralContainers)
			if (!container_secrets(ad, sa, "ephemeral container", c->ephemeralContainerCommon.name, &c->ephemeralContainerCommon.env,
			                       &c->ephemeralContainerCommon.envFrom, s))
				return false;
		return true;
	}
	EACH (v, p->spec.volumes)
		if (v->volumeSource.secret && !lists_secret(sa, v->volumeSource.secret->secretName))
			return admission_forbid(ad, s, "volume with secret.secretName=\"" STR_FMT "\" is not allowed because service account " STR_FMT
			                        " does not reference that secret", STR_ARG(v->volumeSource.secret->secretName), STR_ARG(sa->metadata.name));
	EACH (c, p->spec.initContainers)
		if (!container_secrets(ad, sa, "init container", c->name, &c->env, &c->envFrom, s))
			return false;
	EACH (c, p->spec.containers)
		if (!container_secrets(ad, sa, "container", c->name, &c->env, &c->envFrom, s))
			return false;
	EACH (pull, p->spec.imagePullSecrets) {
		bool listed = false;
		EACH (own, sa->imagePullSecrets)
			listed = listed || str_eq(own->name, pull->name);
		if (!listed)
			return admission_forbid(ad, s, "imagePullSecrets[%zu].name=\"" STR_FMT "\" is not allowed because service account " STR_FMT
			                        " does not reference that imagePullSecret", INDEX(pull, p->spec.imagePullSecrets), STR_ARG(pull->name), STR_ARG(sa->metadata.name));
	}
	return true;
}

static bool mirror_pod(const struct admission *ad, const struct core_v1_Pod *p, struct api_status *s)
{
	if (p->spec.serviceAccountName.n)
		return admission_forbid(ad, s, "a mirror pod may not reference service accounts");
	bool secrets = p->spec.imagePullSecrets.n > 0;
	EACH (v, p->spec.volumes) {
		secrets = secrets || v->volumeSource.secret;
		if (v->volumeSource.projected)
			EACH (src, v->volumeSource.projected->sources) {
				secrets = secrets || src->secret;
				if (src->serviceAccountToken)
					return admission_forbid(ad, s, "a mirror pod may not use ServiceAccountToken volume projections");
			}
	}
	EACH (c, p->spec.containers) {
		EACH (e, c->env)
			secrets = secrets || (e->valueFrom && e->valueFrom->secretKeyRef);
		EACH (f, c->envFrom)
			secrets = secrets || f->secretRef;
	}
	if (secrets)
		return admission_forbid(ad, s, "a mirror pod may not reference secrets");
	return true;
}

bool service_account_validate(const struct admission *ad, struct api_status *s)
{
	bool create = ad->op == ADMIT_CREATE && admission_is(ad, "", "pods");
	bool ephemeral = ad->op == ADMIT_UPDATE && admission_is_sub(ad, "", "pods", "ephemeralcontainers");
	if (!create && !ephemeral)
		return true;
	const struct core_v1_Pod *p = ad->obj;
	if (create && is_mirror(p))
		return mirror_pod(ad, p, s);
	if (!p->spec.serviceAccountName.n)
		return admission_forbid(ad, s, "no service account specified for pod " STR_FMT "/" STR_FMT, STR_ARG(admission_ns(ad)), STR_ARG(p->metadata.name));
	const struct core_v1_ServiceAccount *sa = account_of(ad, p, s);
	return sa && mountable_secrets(ad, sa, p, s);
}

// --- NodeRestriction ---

static bool own_label(str key)
{
	static const char *const names[] = {
		"kubernetes.io/hostname", "topology.kubernetes.io/zone", "topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/zone",
		"failure-domain.beta.kubernetes.io/region", "beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type", "kubernetes.io/os",
		"kubernetes.io/arch", "node.kubernetes.io/windows-build", "beta.kubernetes.io/os", "beta.kubernetes.io/arch",
	};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eqc(key, names[i]))
			return true;
	str ns, rest;
	str_split(key, '/', &ns, &rest);
	return str_eq(ns, S("kubelet.kubernetes.io")) || str_has_suffix(ns, S(".kubelet.kubernetes.io")) || str_eq(ns, S("node.kubernetes.io")) ||
	       str_has_suffix(ns, S(".node.kubernetes.io"));
}

static bool reserved_label(str key)
{
	str ns, rest;
	if (!str_split(key, '/', &ns, &rest))
		return false;
	if (str_eq(ns, S("node-restriction.kubernetes.io")) || str_has_suffix(ns, S(".node-restriction.kubernetes.io")))
		return true;
	bool ours = str_eq(ns, S("kubernetes.io")) || str_has_suffix(ns, S(".kubernetes.io")) || str_eq(ns, S("k8s.io")) || str_has_suffix(ns, S(".k8s.io"));
	return ours && !own_label(key);
}

static str forbidden_labels(struct arena *a, const struct str_map *now, const struct str_map *was)
{
	struct str_list l = { 0 };
	str other;
	EACH (e, *now)
		if ((!str_map_find(was, e->key, &other) || !str_eq(other, e->value)) && reserved_label(e->key))
			*LIST_ADD(a, &l) = e->key;
	EACH (e, *was)
		if (!str_map_find(now, e->key, &other) && reserved_label(e->key))
			*LIST_ADD(a, &l) = e->key;
	if (l.n > 1)
		qsort(l.v, l.n, sizeof(*l.v), str_cmp_qsort);
	return str_list_join(a, &l, ", ");
}

struct restricted {
	const struct admission *ad;
	str node;
	const char *quoted; // the node's name as %q
	struct api_status *s;
};

static bool on_node(const struct restricted *n)
{
	const struct admission *ad = n->ad;
	str name = ad->r->info.name;
	if (!name.n && ad->obj)
		name = object_meta(ad->obj)->name;
	if (!str_eq(name, n->node))
		return admission_forbid(ad, n->s, "node %s is not allowed to modify node %s", n->quoted, arena_cstr(ad->r->arena, go_quote(ad->r->arena, name)));
	const struct core_v1_Node *now = ad->obj, *was = ad->old;
	static const struct str_map none;
	if (ad->op == ADMIT_CREATE) {
		if (now->spec.configSource)
			return admission_forbid(ad, n->s, "node %s is not allowed to create pods with a non-nil configSource", n->quoted);
		str labels = forbidden_labels(ad->r->arena, &now->metadata.labels, &none);
		if (labels.n)
			return admission_forbid(ad, n->s, "node %s is not allowed to set the following labels: " STR_FMT, n->quoted, STR_ARG(labels));
	}
	if (ad->op == ADMIT_UPDATE) {
		struct core_v1_NodeSpec x = { .taints = now->spec.taints }, y = { .taints = was->spec.taints };
		if (!schema_equal(core_v1_NodeSpec_desc, &x, &y))
			return admission_forbid(ad, n->s, "node %s is not allowed to modify taints", n->quoted);
		struct meta_v1_ObjectMeta p = { .ownerReferences = now->metadata.ownerReferences }, q = { .ownerReferences = was->metadata.ownerReferences };
		if (!schema_equal(meta_v1_ObjectMeta_desc, &p, &q))
			return admission_forbid(ad, n->s, "node %s is not allowed to modify ownerReferences", n->quoted);
		str labels = forbidden_labels(ad->r->arena, &now->metadata.labels, &was->metadata.labels);
		if (labels.n)
			return admission_forbid(ad, n->s, "is not allowed to modify labels: " STR_FMT, STR_ARG(labels));
	}
	return true;
}

static bool on_new_pod(const struct restricted *n)
{
	const struct admission *ad = n->ad;
	const struct core_v1_Pod *p = ad->obj;
	if (!is_mirror(p))
		return admission_forbid(ad, n->s, "pod does not have \"kubernetes.io/config.mirror\" annotation, node %s can only create mirror pods", n->quoted);
	if (!str_eq(p->spec.nodeName, n->node))
		return admission_forbid(ad, n->s, "node %s can only create pods with spec.nodeName set to itself", n->quoted);
	if (p->metadata.ownerReferences.n > 1)
		return admission_forbid(ad, n->s, "node %s can only create pods with a single owner reference set to itself", n->quoted);
	const struct meta_v1_OwnerReference *o = p->metadata.ownerReferences.v;
	if (!p->metadata.ownerReferences.n || !str_eq(o->apiVersion, S("v1")) || !str_eq(o->kind, S("Node")) || !str_eq(o->name, n->node))
		return admission_forbid(ad, n->s, "node %s can only create pods with an owner reference set to itself", n->quoted);
	if (!o->controller || !*o->controller)
		return admission_forbid(ad, n->s, "node %s can only create pods with a controller owner reference set to itself", n->quoted);
	if (o->blockOwnerDeletion && *o->blockOwnerDeletion)
		return admission_forbid(ad, n->s, "node %s must not set blockOwnerDeletion on an owner reference", n->quoted);
	const struct core_v1_Node *node = registry_get(ad->r, S(""), S("nodes"), S(""), n->node);
	if (!node)
		return status_not_found(ad->r->arena, n->s, S(""), S("nodes"), n->node);
	if (!str_eq(o->uid, node->metadata.uid))
		return admission_forbid(ad, n->s, "node " STR_FMT " UID mismatch: expected " STR_FMT " got " STR_FMT, STR_ARG(n->node), STR_ARG(o->uid), STR_ARG(node->metadata.uid));
	return true;
}

static bool same_labels(const struct str_map *x, const struct str_map *y)
{
	if (x->n != y->n)
		return false;
	EACH (e, *x) {
		str v;
		if (!str_map_find(y, e->key, &v) || !str_eq(v, e->value))
			return false;
	}
	return true;
}

static bool on_pods(const struct restricted *n)
{
	const struct admission *ad = n->ad;
	str sub = ad->r->info.subresource;
	if (!sub.n && ad->op == ADMIT_CREATE)
		return on_new_pod(n);
	if (!sub.n && ad->op == ADMIT_DELETE) {
		const struct core_v1_Pod *p = ad->old ? ad->old : registry_get(ad->r, S(""), S("pods"), admission_ns(ad), ad->r->info.name);
		if (p && !str_eq(p->spec.nodeName, n->node))
			return admission_forbid(ad, n->s, "node %s can only delete pods with spec.nodeName set to itself", n->quoted);
		return true;
	}
	if (str_eq(sub, S("status")) && ad->op == ADMIT_UPDATE) {
		const struct core_v1_Pod *now = ad->obj, *was = ad->old;
		if (!str_eq(was->spec.nodeName, n->node))
			return admission_forbid(ad, n->s, "node %s can only update pod status for pods with spec.nodeName set to itself", n->quoted);
		if (!same_labels(&now->metadata.labels, &was->metadata.labels))
			return admission_forbid(ad, n->s, "node %s cannot update labels through pod status", n->quoted);
		return true;
	}
	if (str_eq(sub, S("eviction")) && ad->op == ADMIT_CREATE) {
		const struct core_v1_Pod *p = registry_get(ad->r, S(""), S("pods"), admission_ns(ad), ad->r->info.name);
		if (p && !str_eq(p->spec.nodeName, n->node))
			return admission_forbid(ad, n->s, "node " STR_FMT " can only evict pods with spec.nodeName set to itself", STR_ARG(n->node));
		return true;
	}
	return admission_forbid(ad, n->s, "unexpected pod subresource %s, only 'status' and 'eviction' are allowed", arena_cstr(ad->r->arena, go_quote(ad->r->arena, sub)));
}

static bool on_token(const struct restricted *n)
{
	const struct admission *ad = n->ad;
	const struct authentication_v1_TokenRequest *t = ad->obj;
	const struct authentication_v1_BoundObjectReference *ref = t->spec.boundObjectRef;
	if (!ref || !str_eq(ref->apiVersion, S("v1")) || !str_eq(ref->kind, S("Pod")) || !ref->name.n)
		return admission_forbid(ad, n->s, "node requested token not bound to a pod");
	if (!ref->uid.n)
		return admission_forbid(ad, n->s, "node requested token with a pod binding without a uid");
	const struct core_v1_Pod *p = registry_get(ad->r, S(""), S("pods"), admission_ns(ad), ref->name);
	if (!p)
		return status_not_found(ad->r->arena, n->s, S(""), S("pod"), ref->name);
	if (!str_eq(ref->uid, p->metadata.uid))
		return admission_forbid(ad, n->s, "the UID in the bound object reference (" STR_FMT ") does not match the UID in record. The object might have been "
		                        "deleted and then recreated", STR_ARG(ref->uid));
	if (!str_eq(p->spec.nodeName, n->node))
		return admission_forbid(ad, n->s, "node requested token bound to a pod scheduled on a different node");
	return true;
}

bool node_restriction(const struct admission *ad, struct api_status *s)
{
	str node;
	if (!user_in_group(&ad->r->user, S("system:nodes")) || !user_is_node(&ad->r->user, &node))
		return true;
	struct restricted n = { ad, node, arena_cstr(ad->r->arena, go_quote(ad->r->arena, node)), s };
	str group = schema_text(ad->resource->group), resource = schema_text(ad->resource->resource), sub = ad->r->info.subresource;
	if (!node.n)
		return admission_forbid(ad, s, "could not determine node from user %s", arena_cstr(ad->r->arena, go_quote(ad->r->arena, ad->r->user.name)));
	if (!group.n && str_eq(resource, S("nodes")) && ad->op != ADMIT_CONNECT)
		return on_node(&n);
	if (!group.n && str_eq(resource, S("pods")) && ad->op != ADMIT_CONNECT)
		return on_pods(&n);
	if (!group.n && str_eq(resource, S("serviceaccounts")) && ad->op == ADMIT_CREATE && str_eq(sub, S("token")))
		return on_token(&n);
	if (str_eq(group, S("coordination.k8s.io")) && ad->op == ADMIT_CREATE && str_eq(resource, S("leases"))) {
		const struct meta_v1_ObjectMeta *m = object_meta(ad->obj);
		if (!str_eq(admission_ns(ad), S("kube-node-lease")))
			return admission_forbid(ad, s, "can only access leases in the \"kube-node-lease\" system namespace");
		if (!str_eq(m->name, node))
			return admission_forbid(ad, s, "can only access node lease with the same name as the requesting node");
	}
	if (str_eq(group, S("storage.k8s.io")) && ad->op == ADMIT_CREATE && str_eq(resource, S("csinodes")) && !str_eq(object_meta(ad->obj)->name, node))
		return admission_forbid(ad, s, "can only access CSINode with the same name as the requesting node");
	if (str_eq(group, S("resource.k8s.io")) && ad->op == ADMIT_CREATE && str_eq(resource, S("resourceslices"))) {
		const struct resource_v1_ResourceSlice *o = ad->obj;
		if (!o->spec.nodeName || !str_eq(*o->spec.nodeName, node))
			return admission_forbid(ad, s, "can only create ResourceSlice with the same NodeName as the requesting node");
	}
	return true;
}
