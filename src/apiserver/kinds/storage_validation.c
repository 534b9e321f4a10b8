// Validation of claims, volumes and storage.k8s.io. Rule: pkg/apis/core/validation, pkg/apis/storage/validation.
#include "apiserver/kinds/valid.h"
#include "apiserver/kinds/validation.h"

static void access_modes(struct field_errors *e, const struct fpath *spec, const struct str_list *modes)
{
	struct fpath p = fp(spec, "accessModes");
	bool pod = false, other = false;
	EACH (m, *modes) {
		v_enum(e, &p, *m, LIST("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"));
		pod = pod || str_eq(*m, S("ReadWriteOncePod"));
		other = other || v_one_of(*m, LIST("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce"));
	}
	if (pod && other)
		fe_forbidden(e, &p, "may not use ReadWriteOncePod with other access modes");
}

static void data_source(struct field_errors *e, const struct fpath *p, const str *group, str kind, str name)
{
	struct fpath n = fp(p, "name"), k = fp(p, "kind"), g = fp(p, "apiGroup");
	if (!name.n)
		fe_required(e, &n, "");
	if (!kind.n)
		fe_required(e, &k, "");
	if ((!group || !group->n) && !str_eq(kind, S("PersistentVolumeClaim")))
		fe_invalid(e, p, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
	if (group && group->n)
		v_dns_subdomain(e, &g, *group);
}

void v_claim_spec(struct field_errors *e, const struct fpath *p, const struct core_v1_PersistentVolumeClaimSpec *s)
{
	struct fpath modes = fp(p, "accessModes"), selector = fp(p, "selector"), resources = fp(p, "resources"), storage = fp_key(e->arena, &resources, S("storage")),
		class = fp(p, "storageClassName"), mode = fp(p, "volumeMode"), source = fp(p, "dataSource"), ref = fp(p, "dataSourceRef"), ns = fp(&ref, "namespace"),
		attributes = fp(p, "volumeAttributesClassName");
	struct quantity q;
	if (!s->accessModes.n)
		fe_required(e, &modes, "at least 1 access mode is required");
	v_label_selector(e, &selector, s->selector);
	access_modes(e, p, &s->accessModes);
	if (!quantity_map_get(&s->resources.requests, S("storage"), &q))
		fe_required(e, &storage, "");
	else if (quantity_sign(q) <= 0)
		fe_invalid(e, &storage, quantity_text(q), "must be greater than zero");
	if (s->storageClassName && s->storageClassName->n)
		v_dns_subdomain(e, &class, *s->storageClassName);
	if (s->volumeMode)
		v_enum(e, &mode, *s->volumeMode, LIST("Block", "Filesystem"));
	if (s->dataSource)
		data_source(e, &source, s->dataSource->apiGroup, s->dataSource->kind, s->dataSource->name);
	if (s->dataSourceRef) {
		data_source(e, &ref, s->dataSourceRef->apiGroup, s->dataSourceRef->kind, s->dataSourceRef->name);
		if (s->dataSourceRef->namespace && s->dataSourceRef->namespace->n)
			v_dns_label(e, &ns, *s->dataSourceRef->namespace);
	}
	if (s->dataSource && s->dataSourceRef && !(s->dataSourceRef->namespace && s->dataSourceRef->namespace->n) &&
	    (!str_eq(s->dataSource->kind, s->dataSourceRef->kind) || !str_eq(s->dataSource->name, s->dataSourceRef->name) ||
	     !same_str_ptr(s->dataSource->apiGroup, s->dataSourceRef->apiGroup)))
		fe_invalid_raw(e, p, S("{}"), "must match dataSourceRef");
	if (s->volumeAttributesClassName && s->volumeAttributesClassName->n)
		v_dns_subdomain(e, &attributes, *s->volumeAttributesClassName);
}

void persistentvolumeclaim_validate(struct request *r, struct field_errors *e, const void *obj)
{
	struct fpath spec = fp(NULL, "spec");
	(void)r;
	v_claim_spec(e, &spec, &((const struct core_v1_PersistentVolumeClaim *)obj)->spec);
}

void persistentvolumeclaim_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	const struct core_v1_PersistentVolumeClaim *o = obj, *old = was;
	struct fpath spec = fp(NULL, "spec"), resources = fp(&spec, "resources"), requests = fp(&resources, "requests"), storage = fp(&requests, "storage"), mode = fp(NULL, "volumeMode");
	if (t == UPDATE_STATUS)
		return;
	persistentvolumeclaim_validate(r, e, obj);
	struct core_v1_PersistentVolumeClaimSpec now = o->spec, before = old->spec;
	struct quantity size = { 0 }, old_size = { 0 }, capacity = { 0 };
	quantity_map_get(&o->spec.resources.requests, S("storage"), &size);
	quantity_map_get(&old->spec.resources.requests, S("storage"), &old_size);
	quantity_map_get(&old->status.capacity, S("storage"), &capacity);
	if (!before.volumeName.n)
		before.volumeName = now.volumeName;
	if (!before.storageClassName)
		before.storageClassName = now.storageClassName; // a class may be given later
	if (str_eq(o->status.phase, S("Bound"))) {
		now.resources = before.resources;
		now.volumeAttributesClassName = before.volumeAttributesClassName;
	}
	if (!schema_equal(core_v1_PersistentVolumeClaimSpec_desc, &now, &before))
		fe_forbidden(e, &spec, "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n@@ -1 +1 @@\n-  " STR_FMT "\n+  " STR_FMT "\n",
		             STR_ARG(json_of(e->arena, core_v1_PersistentVolumeClaimSpec_desc, &before)), STR_ARG(json_of(e->arena, core_v1_PersistentVolumeClaimSpec_desc, &now)));
	if (quantity_cmp(size, old_size) < 0 && quantity_cmp(size, capacity) <= 0)
		fe_forbidden(e, &storage, "field can not be less than status.capacity");
	if (!same_str_ptr(o->spec.volumeMode, old->spec.volumeMode))
		fe_invalid_raw(e, &mode, o->spec.volumeMode ? go_quote(e->arena, *o->spec.volumeMode) : S("null"), IMMUTABLE);
}

// --- Persistent volumes ---

static void volume_source(struct field_errors *e, const struct fpath *p, const struct core_v1_PersistentVolume *o)
{
	const struct core_v1_PersistentVolumeSource *v = &o->spec.persistentVolumeSource;
	struct fpath host = fp(p, "hostPath"), nfs = fp(p, "nfs"), server = fp(&nfs, "server"), path = fp(&nfs, "path"), csi = fp(p, "csi"), driver = fp(&csi, "driver"),
		handle = fp(&csi, "volumeHandle"), local = fp(p, "local"), local_path = fp(&local, "path"), affinity = fp(NULL, "spec.nodeAffinity");
	const void *const all[] = { v->gcePersistentDisk, v->awsElasticBlockStore, v->hostPath, v->glusterfs, v->nfs, v->rbd, v->iscsi, v->cinder, v->cephfs, v->fc, v->flocker,
		v->flexVolume, v->azureFile, v->vsphereVolume, v->quobyte, v->azureDisk, v->photonPersistentDisk, v->portworxVolume, v->scaleIO, v->local, v->storageos, v->csi };
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		n += all[i] != NULL;
	if (v->hostPath)
		v_persistent_hostpath(e, &host, v->hostPath);
	if (v->nfs) {
		if (!v->nfs->server.n)
			fe_required(e, &server, "");
		if (!v->nfs->path.n)
			fe_required(e, &path, "");
		if (!str_has_prefix(v->nfs->path, S("/")))
			fe_invalid(e, &path, v->nfs->path, "must be an absolute path");
	}
	if (v->local) {
		if (!v->local->path.n)
			fe_required(e, &local_path, "");
		v_no_backsteps(e, &local_path, v->local->path);
		if (!o->spec.nodeAffinity)
			fe_required(e, &affinity, "Local volume requires node affinity");
	}
	if (v->csi) {
		if (!v->csi->driver.n)
			fe_required(e, &driver, "");
		else
			v_dns_subdomain(e, &driver, v->csi->driver);
		if (!v->csi->volumeHandle.n)
			fe_required(e, &handle, "");
	}
	if (n > 1) {
		struct fpath second = v->csi ? csi : v->local ? local : v->nfs ? nfs : host;
		fe_forbidden(e, &second, "may not specify more than 1 volume type");
	}
	if (!n)
		fe_required(e, p, "must specify a volume type");
}

void persistentvolume_validate(struct request *r, struct field_errors *e, const void *obj)
{
	const struct core_v1_PersistentVolume *o = obj;
	struct fpath spec = fp(NULL, "spec"), modes = fp(&spec, "accessModes"), capacity = fp(&spec, "capacity"), reclaim = fp(&spec, "persistentVolumeReclaimPolicy"),
		class = fp(&spec, "storageClassName"), mode = fp(&spec, "volumeMode"), affinity = fp(&spec, "nodeAffinity"), required = fp(&affinity, "required");
	(void)r;
	if (!o->spec.accessModes.n)
		fe_required(e, &modes, "");
	access_modes(e, &spec, &o->spec.accessModes);
	struct quantity q;
	if (!o->spec.capacity.n)
		fe_required(e, &capacity, "");
	if (o->spec.capacity.n && (!quantity_map_get(&o->spec.capacity, S("storage"), &q) || o->spec.capacity.n > 1))
		v_not_supported_raw(e, &capacity, json_of_quantities(e->arena, &o->spec.capacity), LIST("storage"));
	EACH (c, o->spec.capacity) {
		struct fpath key = fp_key(e->arena, &capacity, c->key);
		if (quantity_sign(c->value) <= 0)
			fe_invalid(e, &key, quantity_text(c->value), "must be greater than zero");
	}
	if (o->spec.persistentVolumeReclaimPolicy.n)
		v_enum(e, &reclaim, o->spec.persistentVolumeReclaimPolicy, LIST("Delete", "Recycle", "Retain"));
	if (o->spec.nodeAffinity) {
		if (!o->spec.nodeAffinity->required)
			fe_required(e, &required, "must specify required node constraints");
		else
			v_node_selector(e, &required, o->spec.nodeAffinity->required);
	}
	volume_source(e, &spec, o);
	if (o->spec.storageClassName.n)
		v_dns_subdomain(e, &class, o->spec.storageClassName);
	if (o->spec.volumeMode)
		v_enum(e, &mode, *o->spec.volumeMode, LIST("Block", "Filesystem"));
}

void persistentvolume_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	const struct core_v1_PersistentVolume *o = obj, *old = was;
	struct fpath spec = fp(NULL, "spec"), source = fp(&spec, "persistentvolumesource"), mode = fp(NULL, "volumeMode"), affinity = fp(NULL, "nodeAffinity");
	if (t == UPDATE_STATUS)
		return;
	persistentvolume_validate(r, e, obj);
	if (!schema_equal(core_v1_PersistentVolumeSource_desc, &o->spec.persistentVolumeSource, &old->spec.persistentVolumeSource))
		fe_forbidden(e, &source, "spec.persistentvolumesource is immutable after creation\n@@ -1 +1 @@\n-  " STR_FMT "\n+  " STR_FMT "\n",
		             STR_ARG(json_of(e->arena, core_v1_PersistentVolumeSource_desc, &old->spec.persistentVolumeSource)),
		             STR_ARG(json_of(e->arena, core_v1_PersistentVolumeSource_desc, &o->spec.persistentVolumeSource)));
	if (!same_str_ptr(o->spec.volumeMode, old->spec.volumeMode))
		fe_invalid_raw(e, &mode, o->spec.volumeMode ? go_quote(e->arena, *o->spec.volumeMode) : S("null"), IMMUTABLE);
	if (old->spec.nodeAffinity)
		v_immutable(e, &affinity, core_v1_VolumeNodeAffinity_desc, o->spec.nodeAffinity, old->spec.nodeAffinity);
}
