// Validation of volumes. Rule: pkg/apis/core/validation, ValidateVolumes.
#include "apiserver/kinds/valid.h"

#define REQUIRE(parent, name, value) \
	do { \
		struct fpath require_ = fp(&(parent), name); \
		if (!(value).n) \
			fe_required(c->e, &require_, ""); \
	} while (0)

static void key_to_path(struct pod_check *c, const struct fpath *p, const struct core_v1_KeyToPath *k)
{
	struct fpath path = fp(p, "path");
	REQUIRE(*p, "key", k->key);
	REQUIRE(*p, "path", k->path);
	v_unreserved_path(c->e, &path, k->path);
	v_mode(c->e, p, "mode", k->mode);
}

static void items(struct pod_check *c, const struct fpath *p, const struct core_v1_KeyToPath_list *l)
{
	struct fpath at = fp(p, "items");
	EACH (k, *l) {
		struct fpath one = fp_index(c->a, &at, INDEX(k, *l));
		key_to_path(c, &one, k);
	}
}

static void object_field(struct pod_check *c, const struct fpath *p, const struct core_v1_ObjectFieldSelector *f)
{
	static const char *const known[] = { "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid", NULL };
	struct fpath path = fp(p, "fieldPath");
	str base = f->fieldPath, sub = { 0 };
	REQUIRE(*p, "apiVersion", f->apiVersion);
	if (!f->apiVersion.n)
		return;
	if (!f->fieldPath.n) {
		fe_required(c->e, &path, "");
		return;
	}
	ptrdiff_t open = str_find(base, S("['"));
	bool subscript = open > 0 && str_has_suffix(base, S("']"));
	if (subscript) {
		sub = str_sub(base, (size_t)open + 2, base.n - 2);
		base = str_sub(base, 0, (size_t)open);
	}
	bool downward = v_one_of(base, LIST("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
	                                    "spec.restartPolicy", "spec.serviceAccountName", "spec.schedulerName", "status.phase", "status.hostIP",
	                                    "status.hostIPs", "status.podIP", "status.podIPs", "spec.host"));
	if (!downward) {
		fe_invalid(c->e, &path, f->fieldPath, "error converting fieldPath: field label not supported: " STR_FMT, STR_ARG(base));
	} else if (subscript) {
		if (str_eq(base, S("metadata.annotations")) || str_eq(base, S("metadata.labels")))
			v_qualified(c->e, p, sub);
		else
			fe_invalid(c->e, p, base, "does not support subscript");
	} else {
		v_enum(c->e, &path, base, known);
	}
}

static void resource_field(struct pod_check *c, const struct fpath *p, const struct core_v1_ResourceFieldSelector *f)
{
	static const char *const known[] = { "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory", NULL };
	struct fpath container = fp(p, "containerName"), resource = fp(p, "resource");
	if (!f->containerName.n)
		fe_required(c->e, &container, "");
	else if (!f->resource.n)
		fe_required(c->e, &resource, "");
	else if (!str_has_prefix(f->resource, S("limits.hugepages-")) && !str_has_prefix(f->resource, S("requests.hugepages-")))
		v_enum(c->e, &resource, f->resource, known);
}

static void downward_file(struct pod_check *c, const struct fpath *p, const struct core_v1_DownwardAPIVolumeFile *f)
{
	struct fpath path = fp(p, "path"), field = fp(p, "fieldRef"), resource = fp(p, "resourceFieldRef");
	REQUIRE(*p, "path", f->path);
	v_unreserved_path(c->e, &path, f->path);
	if (f->fieldRef) {
		object_field(c, &field, f->fieldRef);
		if (f->resourceFieldRef)
			fe_invalid(c->e, p, S("resource"), "fieldRef and resourceFieldRef can not be specified simultaneously");
	} else if (f->resourceFieldRef) {
		resource_field(c, &resource, f->resourceFieldRef);
	} else {
		fe_required(c->e, p, "one of fieldRef and resourceFieldRef is required");
	}
	v_mode(c->e, p, "mode", f->mode);
}

// Each path may be projected once.
static void projected_path(struct pod_check *c, const struct fpath *p, struct str_list *seen, str path, str blame)
{
	if (!path.n)
		return;
	if (str_list_has(seen, path))
		fe_invalid(c->e, p, blame, "conflicting duplicate paths");
	else
		*LIST_ADD(c->a, seen) = path;
}

static void token_projection(struct pod_check *c, const struct fpath *volume, const struct fpath *p, const struct core_v1_ServiceAccountTokenProjection *t)
{
	struct fpath exp = fp(p, "expirationSeconds"), path = fp(volume, "path");
	int64_t seconds = t->expirationSeconds ? *t->expirationSeconds : 0;
	if (seconds < 600)
		fe_invalid_int(c->e, &exp, seconds, "may not specify a duration less than 10 minutes");
	if (seconds > INT64_C(1) << 32)
		fe_invalid_int(c->e, &exp, seconds, "may not specify a duration larger than 2^32 seconds");
	if (!t->path.n)
		fe_required(c->e, &path, "");
	else
		v_unreserved_path(c->e, &path, t->path);
}

static void projected(struct pod_check *c, const struct fpath *p, const struct core_v1_ProjectedVolumeSource *v)
{
	struct fpath sources = fp(p, "sources");
	struct str_list seen = { 0 };
	v_mode(c->e, p, "defaultMode", v->defaultMode);
	EACH (s, v->sources) {
		struct fpath at = fp_index(c->a, &sources, INDEX(s, v->sources));
		struct fpath secret = fp(&at, "secret"), map = fp(&at, "configMap"), down = fp(&at, "downwardAPI"), token = fp(&at, "serviceAccountToken"),
			bundle = fp(&at, "clusterTrustBundle");
		int n = !!s->secret + !!s->configMap + !!s->downwardAPI + !!s->serviceAccountToken + !!s->clusterTrustBundle + !!s->podCertificate;
		if (s->secret) {
			REQUIRE(secret, "name", s->secret->localObjectReference.name);
			items(c, &secret, &s->secret->items);
			EACH (k, s->secret->items)
				projected_path(c, p, &seen, k->path, s->secret->localObjectReference.name);
		}
		if (s->configMap) {
			REQUIRE(map, "name", s->configMap->localObjectReference.name);
			items(c, &map, &s->configMap->items);
			EACH (k, s->configMap->items)
				projected_path(c, p, &seen, k->path, s->configMap->localObjectReference.name);
		}
		if (s->downwardAPI)
			EACH (f, s->downwardAPI->items) {
				downward_file(c, &down, f);
				projected_path(c, p, &seen, f->path, f->path);
			}
		if (s->serviceAccountToken)
			token_projection(c, p, &token, s->serviceAccountToken);
		if (s->clusterTrustBundle) {
			struct fpath path = fp(&bundle, "path");
			REQUIRE(bundle, "path", s->clusterTrustBundle->path);
			v_unreserved_path(c->e, &path, s->clusterTrustBundle->path);
			projected_path(c, p, &seen, s->clusterTrustBundle->path, s->clusterTrustBundle->path);
			if (!s->clusterTrustBundle->name && !s->clusterTrustBundle->signerName)
				fe_required(c->e, &bundle, "either name or signerName must be specified");
		}
		if (n > 1)
			fe_forbidden(c->e, &at, "may not specify more than 1 volume type per source");
	}
}

void v_persistent_hostpath(struct field_errors *e, const struct fpath *p, const struct core_v1_HostPathVolumeSource *h)
{
	struct fpath path = fp(p, "path"), type = fp(p, "type");
	if (!h->path.n) {
		fe_required(e, &path, "");
		return;
	}
	v_no_backsteps(e, &path, h->path);
	if (h->type)
		v_enum(e, &type, *h->type, LIST("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"));
}

static void ephemeral(struct pod_check *c, const struct fpath *p, const struct fpath *volume, str name, const struct core_v1_EphemeralVolumeSource *v)
{
	struct fpath t = fp(p, "volumeClaimTemplate"), spec = fp(&t, "spec"), meta = fp(&t, "metadata"), labels = fp(&meta, "labels"),
		annotations = fp(&meta, "annotations"), vname = fp(volume, "name");
	if (!v->volumeClaimTemplate) {
		fe_required(c->e, &t, "");
	} else {
		v_annotations(c->e, &annotations, &v->volumeClaimTemplate->metadata.annotations);
		v_labels(c->e, &labels, &v->volumeClaimTemplate->metadata.labels);
		v_claim_spec(c->e, &spec, &v->volumeClaimTemplate->spec);
	}
	if (!c->meta || !c->meta->name.n || !name.n)
		return;
	str claim = arena_concat(c->a, c->meta->name, S("-"), name);
	struct str_list why = { 0 };
	name_is_dns1123_subdomain(c->a, claim, &why);
	EACH (w, why)
		fe_invalid(c->e, &vname, name, "PVC name %s: " STR_FMT, arena_cstr(c->a, go_quote(c->a, claim)), STR_ARG(*w));
}

static void csi(struct pod_check *c, const struct fpath *p, const struct core_v1_CSIVolumeSource *v)
{
	struct fpath driver = fp(p, "driver"), ref = fp(p, "nodePublishSecretRef");
	if (!v->driver.n)
		fe_required(c->e, &driver, "");
	else if (v->driver.n > 63)
		fe_too_long(c->e, &driver, 63);
	if (v->driver.n)
		v_dns_subdomain(c->e, &driver, v->driver);
	if (v->nodePublishSecretRef)
		REQUIRE(ref, "name", v->nodePublishSecretRef->name);
}

// One source of a volume: its name, what is set, and the rule for it. Upstream refuses every source after the first.
static void source(struct pod_check *c, const struct fpath *p, const struct core_v1_Volume *vol)
{
	const struct core_v1_VolumeSource *v = &vol->volumeSource;
	int n = 0;
#define SOURCE(name, set) \
	struct fpath at_##set = fp(p, name); \
	if (v->set && n++) \
		fe_forbidden(c->e, &at_##set, "may not specify more than 1 volume type"); \
	else if (v->set)
	if (v->emptyDir) {
		struct fpath at = fp(p, "emptyDir"), limit = fp(&at, "sizeLimit");
		n++;
		if (v->emptyDir->sizeLimit && quantity_sign(*v->emptyDir->sizeLimit) < 0)
			fe_forbidden(c->e, &limit, "SizeLimit field must be a valid resource quantity");
	}
	SOURCE("hostPath", hostPath)
		v_persistent_hostpath(c->e, &at_hostPath, v->hostPath);
	SOURCE("gitRepo", gitRepo) {
		struct fpath dir = fp(&at_gitRepo, "directory");
		REQUIRE(at_gitRepo, "repository", v->gitRepo->repository);
		v_relative_path(c->e, &dir, v->gitRepo->directory);
	}
	SOURCE("gcePersistentDisk", gcePersistentDisk) {
		struct fpath disk = fp(p, "persistentDisk");
		REQUIRE(disk, "pdName", v->gcePersistentDisk->pdName);
	}
	SOURCE("awsElasticBlockStore", awsElasticBlockStore)
		REQUIRE(at_awsElasticBlockStore, "volumeID", v->awsElasticBlockStore->volumeID);
	SOURCE("secret", secret) {
		REQUIRE(at_secret, "secretName", v->secret->secretName);
		v_mode(c->e, &at_secret, "defaultMode", v->secret->defaultMode);
		items(c, &at_secret, &v->secret->items);
	}
	SOURCE("nfs", nfs) {
		struct fpath path = fp(&at_nfs, "path");
		REQUIRE(at_nfs, "server", v->nfs->server);
		REQUIRE(at_nfs, "path", v->nfs->path);
		if (!str_has_prefix(v->nfs->path, S("/")))
			fe_invalid(c->e, &path, v->nfs->path, "must be an absolute path");
	}
	SOURCE("iscsi", iscsi) {
		REQUIRE(at_iscsi, "targetPortal", v->iscsi->targetPortal);
		struct fpath lun = fp(&at_iscsi, "lun"), iqn = fp(&at_iscsi, "iqn");
		REQUIRE(at_iscsi, "iqn", v->iscsi->iqn);
		if (v->iscsi->iqn.n && !str_has_prefix(v->iscsi->iqn, S("iqn")) && !str_has_prefix(v->iscsi->iqn, S("eui")) && !str_has_prefix(v->iscsi->iqn, S("naa")))
			fe_invalid(c->e, &iqn, v->iscsi->iqn, "must be valid format");
		v_range(c->e, &lun, v->iscsi->lun, 0, 255);
	}
	SOURCE("glusterfs", glusterfs) {
		REQUIRE(at_glusterfs, "endpoints", v->glusterfs->endpoints);
		REQUIRE(at_glusterfs, "path", v->glusterfs->path);
	}
	SOURCE("flocker", flocker)
		if (!v->flocker->datasetName.n && !v->flocker->datasetUUID.n)
			fe_required(c->e, &at_flocker, "one of datasetName and datasetUUID is required");
	SOURCE("persistentVolumeClaim", persistentVolumeClaim)
		REQUIRE(at_persistentVolumeClaim, "claimName", v->persistentVolumeClaim->claimName);
	SOURCE("rbd", rbd) {
		REQUIRE(at_rbd, "monitors", v->rbd->monitors);
		REQUIRE(at_rbd, "image", v->rbd->image);
	}
	SOURCE("cinder", cinder)
		REQUIRE(at_cinder, "volumeID", v->cinder->volumeID);
	SOURCE("cephFS", cephfs) {
		struct fpath ceph = fp(p, "cephfs");
		REQUIRE(ceph, "monitors", v->cephfs->monitors);
	}
	SOURCE("quobyte", quobyte)
		REQUIRE(at_quobyte, "volume", v->quobyte->volume);
	SOURCE("downwarAPI", downwardAPI) {
		struct fpath down = fp(p, "downwardAPI");
		v_mode(c->e, &down, "defaultMode", v->downwardAPI->defaultMode);
		EACH (f, v->downwardAPI->items)
			downward_file(c, &down, f);
	}
	SOURCE("fc", fc)
		if (!v->fc->targetWWNs.n && !v->fc->wwids.n)
			fe_required(c->e, &at_fc, "must specify either targetWWNs or wwids, but not both");
	SOURCE("flexVolume", flexVolume)
		REQUIRE(at_flexVolume, "driver", v->flexVolume->driver);
	SOURCE("configMap", configMap) {
		REQUIRE(at_configMap, "name", v->configMap->localObjectReference.name);
		v_mode(c->e, &at_configMap, "defaultMode", v->configMap->defaultMode);
		items(c, &at_configMap, &v->configMap->items);
	}
	SOURCE("azureFile", azureFile) {
		REQUIRE(at_azureFile, "secretName", v->azureFile->secretName);
		REQUIRE(at_azureFile, "shareName", v->azureFile->shareName);
	}
	SOURCE("vsphereVolume", vsphereVolume)
		REQUIRE(at_vsphereVolume, "volumePath", v->vsphereVolume->volumePath);
	SOURCE("photonPersistentDisk", photonPersistentDisk)
		REQUIRE(at_photonPersistentDisk, "pdID", v->photonPersistentDisk->pdID);
	SOURCE("portworxVolume", portworxVolume)
		REQUIRE(at_portworxVolume, "volumeID", v->portworxVolume->volumeID);
	SOURCE("azureDisk", azureDisk) {
		REQUIRE(at_azureDisk, "diskName", v->azureDisk->diskName);
		REQUIRE(at_azureDisk, "diskURI", v->azureDisk->diskURI);
	}
	SOURCE("storageos", storageos)
		REQUIRE(at_storageos, "volumeName", v->storageos->volumeName);
	SOURCE("projected", projected)
		projected(c, &at_projected, v->projected);
	SOURCE("scaleIO", scaleIO)
		REQUIRE(at_scaleIO, "gateway", v->scaleIO->gateway);
	SOURCE("csi", csi)
		csi(c, &at_csi, v->csi);
	SOURCE("ephemeral", ephemeral)
		ephemeral(c, &at_ephemeral, p, vol->name, v->ephemeral);
	SOURCE("image", image) {
		struct fpath policy = fp(&at_image, "pullPolicy");
		if (c->o->is_pod)
			REQUIRE(at_image, "reference", v->image->reference);
		v_enum_required(c->e, &policy, v->image->pullPolicy, LIST("Always", "IfNotPresent", "Never"));
	}
	if (!n)
		fe_required(c->e, p, "must specify a volume type");
}

void v_volumes(struct pod_check *c, const struct fpath *p)
{
	struct str_list names = { 0 };
	c->volume_ok = ARENA_ARRAY(c->a, bool, c->spec->volumes.n + 1);
	EACH (v, c->spec->volumes) {
		struct fpath at = fp_index(c->a, p, INDEX(v, c->spec->volumes)), name = fp(&at, "name");
		size_t before = c->e->n;
		source(c, &at, v);
		if (!v->name.n)
			fe_required(c->e, &name, "");
		else
			v_dns_label(c->e, &name, v->name);
		if (str_list_has(&names, v->name))
			fe_duplicate(c->e, &name, v->name);
		if (c->e->n == before) {
			*LIST_ADD(c->a, &names) = v->name;
			c->volume_ok[INDEX(v, c->spec->volumes)] = true;
		}
		const struct core_v1_PersistentVolumeClaimVolumeSource *claim = v->volumeSource.persistentVolumeClaim;
		if (!claim || !c->meta || !c->meta->name.n)
			continue;
		EACH (other, c->spec->volumes)
			if (other->volumeSource.ephemeral && str_eq(claim->claimName, arena_concat(c->a, c->meta->name, S("-"), other->name))) {
				struct fpath source_path = fp(&at, "persistentVolumeClaim"), claim_path = fp(&source_path, "claimName");
				fe_invalid(c->e, &claim_path, claim->claimName, "must not reference a PVC that gets created for an ephemeral volume");
			}
	}
}

bool v_volume_known(const struct pod_check *c, str name, const struct core_v1_VolumeSource **src)
{
	EACH (v, c->spec->volumes)
		if (c->volume_ok[INDEX(v, c->spec->volumes)] && str_eq(v->name, name)) {
			if (src)
				*src = &v->volumeSource;
			return true;
		}
	return false;
}
