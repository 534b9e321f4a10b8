// Claims that a pod uses, and volumes that a claim is bound to, are not deleted under their users: a finalizer holds them.
// Rule: upstream pkg/controller/volume/pvcprotection and pvprotection.
#include "controllers/common.h"

#define PVC_FINALIZER S("kubernetes.io/pvc-protection")
#define PV_FINALIZER S("kubernetes.io/pv-protection")
#define INDEX_CLAIM "claim"

struct protection {
	struct manager *m;
	struct informer *objects, *pods; // claims, or volumes (and then no pods)
	struct workqueue *queue;
};

static void object_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct protection *c = ctx;
	if (obj)
		queue_object(c->queue, object_of(obj));
}

static void index_claim(const void *obj, struct arena *a, struct str_list *keys)
{
	const struct core_v1_Pod *p = obj;
	for (size_t i = 0; i < p->spec.volumes.n; i++) {
		const struct core_v1_VolumeSource *v = &p->spec.volumes.v[i].volumeSource;
		if (v->persistentVolumeClaim)
			*LIST_ADD(a, keys) = key_of(a, p->metadata.namespace, v->persistentVolumeClaim->claimName);
		else if (v->ephemeral)
			*LIST_ADD(a, keys) =
			        key_of(a, p->metadata.namespace,
			               arena_concat(a, p->metadata.name, S("-"), p->spec.volumes.v[i].name));
	}
}

static void pod_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct protection *c = ctx;
	const struct core_v1_Pod *p = changed_object(old, obj);
	if (obj && old && pod_is_terminal(object_of(old)) == pod_is_terminal(p))
		return;
	_cleanup_arena_ struct arena *a = arena_new(512);
	struct str_list keys = { 0 };
	index_claim(p, a, &keys);
	for (size_t i = 0; i < keys.n; i++)
		workqueue_add(c->queue, keys.v[i]);
}

// Whether a pod uses the claim: by the cache, and by the server before the last protection goes.
static bool in_use(struct protection *c, struct arena *a, const struct core_v1_PersistentVolumeClaim *claim, bool *used,
                   struct error *err)
{
	str key = key_of(a, claim->metadata.namespace, claim->metadata.name);
	struct held pods = held_by_index(a, c->pods, INDEX_CLAIM, key);
	*used = true;
	for (size_t i = 0; i < pods.n; i++)
		if (((const struct core_v1_Pod *)pods.v[i])->spec.nodeName.n && !pod_is_terminal(pods.v[i]))
			return true;
	const struct core_v1_PodList *live =
	        client_list(c->m->client, a, c->m->r.pods, &(struct list_opts){ .ns = claim->metadata.namespace }, err);
	if (!live)
		return false;
	for (size_t i = 0; i < live->items.n; i++) {
		struct str_list keys = { 0 };
		if (!live->items.v[i].spec.nodeName.n || pod_is_terminal(&live->items.v[i]))
			continue;
		index_claim(&live->items.v[i], a, &keys);
		for (size_t k = 0; k < keys.n; k++)
			if (str_eq(keys.v[k], key))
				return true;
	}
	*used = false;
	return true;
}

static bool write_finalizers(struct protection *c, struct arena *a, const struct resource_desc *r,
                             const struct message_desc *m, const void *obj, str finalizer, bool add, struct error *err)
{
	void *copy = schema_clone(a, m, obj);
	struct meta_v1_ObjectMeta *meta = object_meta(m, copy);
	struct str_list kept = { 0 };
	for (size_t i = 0; i < meta->finalizers.n; i++)
		if (!str_eq(meta->finalizers.v[i], finalizer))
			*LIST_ADD(a, &kept) = meta->finalizers.v[i];
	if (add)
		*LIST_ADD(a, &kept) = finalizer;
	meta->finalizers = kept;
	return client_update(c->m->client, a, r, NULL, copy, err) || err->code == 404;
}

static bool reconcile_claim(void *ctx, struct arena *a, str key, struct error *err)
{
	struct protection *c = ctx;
	str ns, name;
	key_split(key, &ns, &name);
	const struct core_v1_PersistentVolumeClaim *claim = held_get(a, c->objects, ns, name);
	if (!claim)
		return true;
	bool has = meta_has_finalizer(&claim->metadata, PVC_FINALIZER), used;
	if (!claim->metadata.deletionTimestamp)
		return has || write_finalizers(c, a, c->m->r.persistentvolumeclaims, core_v1_PersistentVolumeClaim_desc,
		                               claim, PVC_FINALIZER, true, err);
	if (!has)
		return true;
	if (!in_use(c, a, claim, &used, err))
		return false;
	return used || write_finalizers(c, a, c->m->r.persistentvolumeclaims, core_v1_PersistentVolumeClaim_desc, claim,
	                                PVC_FINALIZER, false, err);
}

static bool reconcile_volume(void *ctx, struct arena *a, str key, struct error *err)
{
	struct protection *c = ctx;
	const struct core_v1_PersistentVolume *v = held_get(a, c->objects, S(""), key);
	if (!v)
		return true;
	bool has = meta_has_finalizer(&v->metadata, PV_FINALIZER);
	if (!v->metadata.deletionTimestamp)
		return has || write_finalizers(c, a, c->m->r.persistentvolumes, core_v1_PersistentVolume_desc, v,
		                               PV_FINALIZER, true, err);
	if (!has || str_eq(v->status.phase, S("Bound")))
		return true;
	return write_finalizers(c, a, c->m->r.persistentvolumes, core_v1_PersistentVolume_desc, v, PV_FINALIZER, false,
	                        err);
}

void *pvc_protection_setup(struct manager *m)
{
	struct protection *c = ARENA_NEW(m->arena, struct protection);
	*c = (struct protection){ .m = m,
		                  .objects = manager_informer(m, m->r.persistentvolumeclaims),
		                  .pods = manager_informer(m, m->r.pods),
		                  .queue = manager_queue(m) };
	informer_add_index(c->pods, INDEX_CLAIM, index_claim);
	informer_add_handler(c->objects, &(struct informer_handler){ object_changed, c });
	informer_add_handler(c->pods, &(struct informer_handler){ pod_changed, c });
	return c;
}

void *pv_protection_setup(struct manager *m)
{
	struct protection *c = ARENA_NEW(m->arena, struct protection);
	*c = (struct protection){ .m = m,
		                  .objects = manager_informer(m, m->r.persistentvolumes),
		                  .queue = manager_queue(m) };
	informer_add_handler(c->objects, &(struct informer_handler){ object_changed, c });
	return c;
}

void pvc_protection_run(void *self)
{
	struct protection *c = self;
	workqueue_run(c->queue, "pvc-protection", 1, reconcile_claim, c);
}

void pv_protection_run(void *self)
{
	struct protection *c = self;
	workqueue_run(c->queue, "pv-protection", 1, reconcile_volume, c);
}
