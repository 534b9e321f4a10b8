// StatefulSets: pods with names, each with its own claims, made and removed in order. Rule: upstream pkg/controller/statefulset.
#include <stdlib.h>

#include "base/log.h"
#include "controllers/history.h"

#define COMPONENT "statefulset-controller"
#define POD_NAME_LABEL S("statefulset.kubernetes.io/pod-name")
#define POD_INDEX_LABEL S("apps.kubernetes.io/pod-index")

struct statefulset {
	struct manager *m;
	struct informer *sets, *pods, *claims, *revisions;
	struct workqueue *queue;
};

// --- Handlers ---

static void set_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct statefulset *c = ctx;
	queue_object(c->queue, changed_object(old, obj));
}

static str controller_key(struct statefulset *c, struct arena *a, const struct meta_v1_ObjectMeta *m)
{
	const struct meta_v1_OwnerReference *r = meta_controller(m);
	if (!r || !str_eq(r->kind, S("StatefulSet")))
		return S("");
	const any_object *set = held_get(a, c->sets, m->namespace, r->name);
	return set && str_eq(set->metadata.uid, r->uid) ? key_of(a, m->namespace, r->name) : S("");
}

static void pod_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct statefulset *c = ctx;
	_cleanup_arena_ struct arena *a = arena_new(1024);
	str before = old ? controller_key(c, a, object_ref_meta(old)) : S(""),
	    now = obj ? controller_key(c, a, object_ref_meta(obj)) : S("");
	if (before.n)
		workqueue_add(c->queue, before);
	if (now.n && !str_eq(now, before))
		workqueue_add(c->queue, now);
	if (obj && !old && !meta_controller(object_ref_meta(obj))) {
		struct held all = held_by_index(a, c->sets, INDEX_NAMESPACE, object_ref_meta(obj)->namespace);
		for (size_t i = 0; i < all.n; i++)
			queue_object(c->queue, all.v[i]);
	}
}

// --- Names ---

static int32_t replicas_of(const struct apps_v1_StatefulSet *s)
{
	return s->spec.replicas ? *s->spec.replicas : 1;
}
static int32_t start_of(const struct apps_v1_StatefulSet *s)
{
	return s->spec.ordinals ? s->spec.ordinals->start : 0;
}

// The ordinal in "set-12"; -1: it is none of the set's names.
static int32_t ordinal_of(str set, str pod)
{
	int64_t n;
	if (!str_cut_prefix(&pod, set) || !str_cut_prefix(&pod, S("-")) || !str_to_i64(pod, &n) || n < 0 ||
	    n > INT32_MAX || (pod.n > 1 && pod.p[0] == '0'))
		return -1;
	return (int32_t)n;
}

static str claim_name(struct arena *a, const struct core_v1_PersistentVolumeClaim *template,
                      const struct apps_v1_StatefulSet *s, int32_t ordinal)
{
	return arena_printf(a, STR_FMT "-" STR_FMT "-%d", STR_ARG(template->metadata.name), STR_ARG(s->metadata.name),
	                    ordinal);
}

// --- One round ---

struct round {
	struct statefulset *c;
	const struct apps_v1_StatefulSet *set;
	struct owner owner;
	str key;
	struct apps_v1_StatefulSetStatus status;
	const struct apps_v1_ControllerRevision *current, *update;
	int64_t now;
	bool monotonic;
};

static str revision_of(const struct core_v1_Pod *p)
{
	return str_map_get(&p->metadata.labels, REVISION_HASH_LABEL);
}
static bool ready(const struct core_v1_Pod *p)
{
	return str_eq(p->status.phase, S("Running")) && pod_is_ready(p);
}
static bool available(const struct round *r, const struct core_v1_Pod *p)
{
	return ready(p) && pod_is_available(p, r->set->spec.minReadySeconds, r->now);
}
static bool healthy(const struct core_v1_Pod *p)
{
	return ready(p) && !p->metadata.deletionTimestamp;
}

static void pod_event(struct round *r, bool ok, const char *verb, str pod, const struct error *err)
{
	const char *reason = strcmp(verb, "create") == 0   ? ok ? "SuccessfulCreate" : "FailedCreate"
	                     : strcmp(verb, "delete") == 0 ? ok ? "SuccessfulDelete" : "FailedDelete"
	                     : ok                          ? "SuccessfulUpdate"
	                                                   : "FailedUpdate";
	if (ok)
		EVENT(r->c->m, COMPONENT, r->c->m->r.statefulsets, &r->set->metadata, "Normal", reason,
		      "%s Pod " STR_FMT " in StatefulSet " STR_FMT " successful", verb, STR_ARG(pod),
		      STR_ARG(r->set->metadata.name));
	else
		EVENT(r->c->m, COMPONENT, r->c->m->r.statefulsets, &r->set->metadata, "Warning", reason,
		      "%s Pod " STR_FMT " in StatefulSet " STR_FMT " failed error: %s", verb, STR_ARG(pod),
		      STR_ARG(r->set->metadata.name), err->text);
}

static bool ensure_claims(struct round *r, struct arena *a, int32_t ordinal, str pod, struct error *err)
{
	struct statefulset *c = r->c;
	for (size_t i = 0; i < r->set->spec.volumeClaimTemplates.n; i++) {
		const struct core_v1_PersistentVolumeClaim *t = &r->set->spec.volumeClaimTemplates.v[i];
		str name = claim_name(a, t, r->set, ordinal);
		const struct core_v1_PersistentVolumeClaim *have =
		        held_get(a, c->claims, r->set->metadata.namespace, name);
		if (have && have->metadata.deletionTimestamp)
			return error_set(err, "pvc " STR_FMT " is being deleted", STR_ARG(name));
		if (have)
			continue;
		struct core_v1_PersistentVolumeClaim *claim = schema_clone(a, core_v1_PersistentVolumeClaim_desc, t);
		claim->metadata.name = name;
		claim->metadata.namespace = r->set->metadata.namespace;
		for (size_t k = 0; r->set->spec.selector && k < r->set->spec.selector->matchLabels.n; k++)
			str_map_set(a, &claim->metadata.labels, r->set->spec.selector->matchLabels.v[k].key,
			            r->set->spec.selector->matchLabels.v[k].value);
		const struct apps_v1_StatefulSetPersistentVolumeClaimRetentionPolicy *p =
		        r->set->spec.persistentVolumeClaimRetentionPolicy;
		if (p && str_eq(p->whenDeleted, S("Delete")))
			*LIST_ADD(a, &claim->metadata.ownerReferences) = owner_reference(a, &r->owner);
		if (client_create(c->m->client, a, c->m->r.persistentvolumeclaims, claim->metadata.namespace, claim,
		                  err)) {
			EVENT(c->m, COMPONENT, c->m->r.statefulsets, &r->set->metadata, "Normal", "SuccessfulCreate",
			      "create Claim " STR_FMT " Pod " STR_FMT " in StatefulSet " STR_FMT " success",
			      STR_ARG(name), STR_ARG(pod), STR_ARG(r->set->metadata.name));
		} else if (error_is(err, "AlreadyExists")) {
			*err = (struct error){ 0 };
		} else {
			EVENT(c->m, COMPONENT, c->m->r.statefulsets, &r->set->metadata, "Warning", "FailedCreate",
			      "create Claim " STR_FMT " for Pod " STR_FMT " in StatefulSet " STR_FMT
			      " failed error: %s",
			      STR_ARG(name), STR_ARG(pod), STR_ARG(r->set->metadata.name), err->text);
			return false;
		}
	}
	return true;
}

// Gives the pod its name, labels, host name and claims; true when something was not so.
static bool set_identity(struct round *r, struct arena *a, struct core_v1_Pod *p, int32_t ordinal)
{
	str name = arena_printf(a, STR_FMT "-%d", STR_ARG(r->set->metadata.name), ordinal),
	    index = arena_printf(a, "%d", ordinal);
	bool changed = !str_eq(str_map_get(&p->metadata.labels, POD_NAME_LABEL), name) ||
	               !str_eq(str_map_get(&p->metadata.labels, POD_INDEX_LABEL), index);
	p->metadata.name = name;
	p->metadata.generateName = S("");
	p->metadata.namespace = r->set->metadata.namespace;
	str_map_set(a, &p->metadata.labels, POD_NAME_LABEL, name);
	str_map_set(a, &p->metadata.labels, POD_INDEX_LABEL, index);
	return changed;
}

static struct core_v1_Pod *new_pod(struct round *r, struct arena *a, int32_t ordinal, struct error *err)
{
	// Below the partition, and while an update goes on, pods come back as they were.
	const struct apps_v1_RollingUpdateStatefulSetStrategy *u = r->set->spec.updateStrategy.rollingUpdate;
	bool rolling = str_eq(r->set->spec.updateStrategy.type, S("RollingUpdate"));
	bool old = rolling && ((u && u->partition) ? ordinal - start_of(r->set) < *u->partition
	                                           : ordinal - start_of(r->set) < r->set->status.currentReplicas);
	const struct apps_v1_ControllerRevision *rev = old ? r->current : r->update;
	struct core_v1_PodTemplateSpec *t = history_template(a, rev, err);
	if (!t)
		return NULL;
	struct core_v1_Pod *p = schema_clone(a, core_v1_Pod_desc, pod_from_template(a, t, &r->owner));
	set_identity(r, a, p, ordinal);
	p->spec.hostname = p->metadata.name;
	p->spec.subdomain = r->set->spec.serviceName;
	str_map_set(a, &p->metadata.labels, REVISION_HASH_LABEL, rev->metadata.name);
	for (size_t i = 0; i < r->set->spec.volumeClaimTemplates.n; i++) {
		const struct core_v1_PersistentVolumeClaim *c = &r->set->spec.volumeClaimTemplates.v[i];
		struct core_v1_Volume *v = NULL;
		for (size_t k = 0; k < p->spec.volumes.n && !v; k++)
			if (str_eq(p->spec.volumes.v[k].name, c->metadata.name))
				v = &p->spec.volumes.v[k];
		if (!v)
			v = LIST_ADD(a, &p->spec.volumes);
		*v = (struct core_v1_Volume){ .name = c->metadata.name };
		v->volumeSource.persistentVolumeClaim = ARENA_NEW(a, struct core_v1_PersistentVolumeClaimVolumeSource);
		v->volumeSource.persistentVolumeClaim->claimName = claim_name(a, c, r->set, ordinal);
	}
	return p;
}

static void count_revision(struct round *r, const struct core_v1_Pod *p, int32_t by)
{
	if (str_eq(revision_of(p), r->current->metadata.name))
		r->status.currentReplicas += by;
	if (str_eq(revision_of(p), r->update->metadata.name))
		r->status.updatedReplicas += by;
}

static bool create_pod(struct round *r, struct arena *a, int32_t ordinal, struct error *err)
{
	struct statefulset *c = r->c;
	struct core_v1_Pod *p = new_pod(r, a, ordinal, err);
	if (!p)
		return false;
	if (!ensure_claims(r, a, ordinal, p->metadata.name, err)) {
		pod_event(r, false, "create", p->metadata.name, err);
		return false;
	}
	const struct core_v1_Pod *made = client_create(c->m->client, a, c->m->r.pods, p->metadata.namespace, p, err);
	if (!made && error_is(err, "AlreadyExists")) {
		*err = (struct error){ 0 }; // the cache is behind: its event comes
		return true;
	}
	if (!made) {
		if (!error_namespace_terminating(err))
			pod_event(r, false, "create", p->metadata.name, err);
		return false;
	}
	pod_event(r, true, "create", p->metadata.name, NULL);
	r->status.replicas++;
	count_revision(r, p, 1);
	return true;
}

static bool delete_pod(struct round *r, const struct core_v1_Pod *p, struct error *err)
{
	struct statefulset *c = r->c;
	if (!client_delete(c->m->client, c->m->r.pods, p->metadata.namespace, p->metadata.name,
	                   &(struct delete_opts){ .grace_seconds = -1, .uid = p->metadata.uid }, err)) {
		if (err->code == 404) {
			*err = (struct error){ 0 };
			return true;
		}
		pod_event(r, false, "delete", p->metadata.name, err);
		return false;
	}
	pod_event(r, true, "delete", p->metadata.name, NULL);
	return true;
}

// One replica that should be there. *stop: nothing further in this round.
static bool tend_replica(struct round *r, struct arena *a, const struct core_v1_Pod *p, int32_t ordinal, bool *stop,
                         struct error *err)
{
	struct statefulset *c = r->c;
	if (p && pod_is_terminal(p)) {
		if (!p->metadata.deletionTimestamp) {
			if (str_eq(p->status.phase, S("Failed")))
				EVENT(c->m, COMPONENT, c->m->r.statefulsets, &r->set->metadata, "Warning",
				      "RecreatingFailedPod",
				      "StatefulSet " STR_FMT "/" STR_FMT " is recreating failed Pod " STR_FMT,
				      STR_ARG(r->set->metadata.namespace), STR_ARG(r->set->metadata.name),
				      STR_ARG(p->metadata.name));
			else
				EVENT(c->m, COMPONENT, c->m->r.statefulsets, &r->set->metadata, "Normal",
				      "RecreatingTerminatedPod",
				      "StatefulSet " STR_FMT "/" STR_FMT " is recreating terminated Pod " STR_FMT,
				      STR_ARG(r->set->metadata.namespace), STR_ARG(r->set->metadata.name),
				      STR_ARG(p->metadata.name));
			if (!delete_pod(r, p, err))
				return false;
		}
		*stop = true; // its name is free when it is gone
		return true;
	}
	if (!p) {
		if (!create_pod(r, a, ordinal, err))
			return false;
		*stop = r->monotonic;
		return true;
	}
	if (str_eq(p->status.phase, S("Pending")) && !ensure_claims(r, a, ordinal, p->metadata.name, err))
		return false;
	if (r->monotonic && (p->metadata.deletionTimestamp || !available(r, p))) {
		*stop = true;
		if (ready(p))
			workqueue_add_after(c->queue, r->key, MAX(r->set->spec.minReadySeconds, 1) * INT64_C(1000));
		return true;
	}
	struct core_v1_Pod *copy = schema_clone(a, core_v1_Pod_desc, p);
	if (!set_identity(r, a, copy, ordinal) || p->metadata.deletionTimestamp)
		return true;
	bool ok = client_update(c->m->client, a, c->m->r.pods, NULL, copy, err) != NULL;
	if (ok || err->code != 409)
		pod_event(r, ok, "update", p->metadata.name, err);
	return ok;
}

// A claim of a replica that is scaled away goes with its pod, where the policy says so.
static bool release_claims(struct round *r, struct arena *a, const struct core_v1_Pod *p, struct error *err)
{
	struct statefulset *c = r->c;
	const struct apps_v1_StatefulSetPersistentVolumeClaimRetentionPolicy *policy =
	        r->set->spec.persistentVolumeClaimRetentionPolicy;
	if (!policy || !str_eq(policy->whenScaled, S("Delete")))
		return true;
	for (size_t i = 0; i < r->set->spec.volumeClaimTemplates.n; i++) {
		str name = claim_name(a, &r->set->spec.volumeClaimTemplates.v[i], r->set,
		                      ordinal_of(r->set->metadata.name, p->metadata.name));
		const struct core_v1_PersistentVolumeClaim *have = held_get(a, c->claims, p->metadata.namespace, name);
		if (!have)
			continue;
		struct core_v1_PersistentVolumeClaim *copy = schema_clone(a, core_v1_PersistentVolumeClaim_desc, have);
		bool owned = false;
		for (size_t k = 0; k < copy->metadata.ownerReferences.n; k++)
			owned |= str_eq(copy->metadata.ownerReferences.v[k].uid, p->metadata.uid);
		if (owned)
			continue;
		struct meta_v1_OwnerReference ref =
		        meta_owner_ref(a, S("v1"), S("Pod"), p->metadata.name, p->metadata.uid);
		ref.controller = ref.blockOwnerDeletion = NULL;
		*LIST_ADD(a, &copy->metadata.ownerReferences) = ref;
		if (!client_update(c->m->client, a, c->m->r.persistentvolumeclaims, NULL, copy, err))
			return false;
	}
	return true;
}

struct pods {
	const struct core_v1_Pod **v;
	size_t n;
};

// Replicas that are too many, from the highest ordinal down.
static bool tend_condemned(struct round *r, struct arena *a, struct pods condemned,
                           const struct core_v1_Pod *first_unhealthy, bool *stop, struct error *err)
{
	for (size_t i = condemned.n; i > 0; i--) {
		const struct core_v1_Pod *p = condemned.v[i - 1];
		if (p->metadata.deletionTimestamp) {
			if (r->monotonic) {
				*stop = true;
				return true;
			}
			continue;
		}
		if (r->monotonic && p != first_unhealthy && (!ready(p) || !available(r, p))) {
			*stop = true;
			return true;
		}
		if (!release_claims(r, a, p, err) || !delete_pod(r, p, err))
			return false;
		count_revision(r, p, -1);
		if (r->monotonic) {
			*stop = true;
			return true;
		}
	}
	return true;
}

// From the highest ordinal down to the partition, no more at once than may be unavailable.
static bool roll(struct round *r, struct pods replicas, struct error *err)
{
	const struct apps_v1_RollingUpdateStatefulSetStrategy *u = r->set->spec.updateStrategy.rollingUpdate;
	int32_t partition = u && u->partition ? *u->partition : 0, unavailable = 1;
	if (u && u->maxUnavailable)
		int_or_percent(u->maxUnavailable, replicas_of(r->set), true, &unavailable);
	unavailable = MAX(unavailable, 1);
	int32_t down = 0;
	for (size_t i = 0; i < replicas.n; i++)
		down += unavailable > 1 && replicas.v[i] && !healthy(replicas.v[i]);
	for (int32_t i = (int32_t)replicas.n - 1; i >= partition; i--) {
		const struct core_v1_Pod *p = replicas.v[i];
		if (!p)
			return true;
		if (!str_eq(revision_of(p), r->update->metadata.name) && !p->metadata.deletionTimestamp) {
			bool was_healthy = healthy(p);
			if (unavailable > 1 && was_healthy && down >= unavailable)
				return true;
			if (!delete_pod(r, p, err))
				return false;
			r->status.currentReplicas--;
			down += was_healthy;
			if (unavailable == 1)
				return true;
			continue;
		}
		if (unavailable == 1 && !healthy(p))
			return true; // it is waited for
	}
	return true;
}

static int by_ordinal(const void *x, const void *y, void *ctx)
{
	const struct round *r = ctx;
	int32_t a = ordinal_of(r->set->metadata.name, (*(const any_object *const *)x)->metadata.name),
	        b = ordinal_of(r->set->metadata.name, (*(const any_object *const *)y)->metadata.name);
	return a < b ? -1 : a > b;
}

static bool run_round(struct round *r, struct arena *a, struct held mine, struct error *err)
{
	int32_t want = replicas_of(r->set), start = start_of(r->set);
	struct pods replicas = { arena_calloc(a, (size_t)want + 1, sizeof(void *)), (size_t)want }, condemned = { 0 };
	const struct core_v1_Pod *first_unhealthy = NULL;
	for (size_t i = 0; i < mine.n; i++) {
		const struct core_v1_Pod *p = mine.v[i];
		int32_t n = ordinal_of(r->set->metadata.name, p->metadata.name);
		r->status.replicas++;
		r->status.readyReplicas += ready(p);
		r->status.availableReplicas += available(r, p);
		if (!p->metadata.deletionTimestamp && !pod_is_terminal(p))
			count_revision(r, p, 1);
		if (n >= start && n - start < want)
			replicas.v[n - start] = p;
		else if (n >= 0)
			*LIST_ADD(a, &condemned) = p;
	}
	if (condemned.n > 1)
		qsort_r(condemned.v, condemned.n, sizeof(*condemned.v), by_ordinal, r);
	for (size_t i = 0; i < replicas.n && !first_unhealthy; i++)
		if (replicas.v[i] && !healthy(replicas.v[i]))
			first_unhealthy = replicas.v[i];
	for (size_t i = condemned.n; i > 0 && !first_unhealthy; i--)
		if (!healthy(condemned.v[i - 1]))
			first_unhealthy = condemned.v[i - 1];
	if (r->set->metadata.deletionTimestamp)
		return true;
	bool stop = false, waiting = false;
	for (size_t i = 0; i < replicas.n && !stop; i++) {
		bool one = false;
		if (!tend_replica(r, a, replicas.v[i], start + (int32_t)i, &one, err))
			return false;
		waiting |= one;
		stop = one && r->monotonic;
	}
	if (stop || !tend_condemned(r, a, condemned, first_unhealthy, &stop, err))
		return stop;
	if (stop || waiting || str_eq(r->set->spec.updateStrategy.type, S("OnDelete")))
		return true;
	return roll(r, replicas, err);
}

// --- Revisions and status ---

static bool find_revisions(struct round *r, struct arena *a, const struct selector *s, struct revisions *all,
                           struct error *err)
{
	struct statefulset *c = r->c;
	if (!history_of(c->m, a, &r->owner, s, c->revisions, all, err))
		return false;
	int64_t latest = all->n ? all->v[all->n - 1]->revision : 0;
	r->status.collisionCount = r->set->status.collisionCount;
	r->update = history_find(a, *all, &r->set->spec.template);
	if (!r->update)
		r->update = history_create(c->m, a, &r->owner, &r->set->spec.template.metadata.labels,
		                           &r->set->spec.template, latest + 1, &r->status.collisionCount, true, err);
	else if (r->update->revision < latest)
		r->update = history_renumber(c->m, a, r->update, latest + 1, err);
	if (!r->update)
		return false;
	for (size_t i = 0; i < all->n; i++)
		if (str_eq(all->v[i]->metadata.name, r->set->status.currentRevision))
			r->current = all->v[i];
	if (!r->current)
		r->current = r->update;
	return true;
}

static bool write_status(struct round *r, struct arena *a, struct error *err)
{
	struct apps_v1_StatefulSetStatus *s = &r->status;
	s->replicas = MAX(s->replicas, 0);
	s->currentReplicas = MAX(s->currentReplicas, 0);
	s->updatedReplicas = MAX(s->updatedReplicas, 0);
	s->conditions = r->set->status.conditions;
	// The update is complete when all that is there is new and ready.
	if (str_eq(r->set->spec.updateStrategy.type, S("RollingUpdate")) && s->updatedReplicas == s->replicas &&
	    s->readyReplicas == s->replicas && s->replicas == replicas_of(r->set)) {
		s->currentReplicas = s->updatedReplicas;
		s->currentRevision = s->updateRevision;
	}
	if (schema_equal(apps_v1_StatefulSetStatus_desc, s, &r->set->status))
		return true;
	struct apps_v1_StatefulSet *copy = schema_clone(a, apps_v1_StatefulSet_desc, r->set);
	copy->status = *s;
	return client_update(r->c->m->client, a, r->c->m->r.statefulsets, "status", copy, err) || err->code == 404;
}

struct live {
	const struct round *r;
	struct held pods;
};

static bool is_live(const struct apps_v1_ControllerRevision *rev, void *ctx)
{
	const struct live *l = ctx;
	str name = rev->metadata.name;
	if (str_eq(name, l->r->current->metadata.name) || str_eq(name, l->r->update->metadata.name))
		return true;
	for (size_t i = 0; i < l->pods.n; i++)
		if (str_eq(revision_of(l->pods.v[i]), name))
			return true;
	return false;
}

static bool reconcile(void *ctx, struct arena *a, str key, struct error *err)
{
	struct statefulset *c = ctx;
	str ns, name;
	key_split(key, &ns, &name);
	const struct apps_v1_StatefulSet *set = held_get(a, c->sets, ns, name);
	if (!set)
		return true;
	struct selector selector;
	if (!label_selector(a, set->spec.selector, &selector, err))
		return false;
	struct round r = { .c = c,
		           .set = set,
		           .key = key,
		           .now = now_sec(c->m),
		           .monotonic = !str_eq(set->spec.podManagementPolicy, S("Parallel")),
		           .owner = { c->m->r.statefulsets, S("apps/v1"), S("StatefulSet"), &set->metadata,
		                      COMPONENT } };
	struct held candidates = held_candidates(a, c->pods, ns, set->metadata.uid), mine;
	size_t n = 0;
	for (size_t i = 0; i < candidates.n;
	     i++) // others' pods are not adopted by labels alone: the name must fit, too
		if (ordinal_of(name, ((const any_object *)candidates.v[i])->metadata.name) >= 0)
			candidates.v[n++] = candidates.v[i];
	candidates.n = n;
	if (!claim(c->m, a, &r.owner, &selector, c->m->r.pods, candidates, NULL, &mine, err))
		return false;
	struct revisions all;
	if (!find_revisions(&r, a, &selector, &all, err))
		return error_namespace_terminating(err);
	r.status.observedGeneration = set->metadata.generation;
	r.status.currentRevision = r.current->metadata.name;
	r.status.updateRevision = r.update->metadata.name;
	struct error failed = { 0 };
	run_round(&r, a, mine, &failed);
	if (!write_status(&r, a, err))
		return false;
	if (failed.code && !error_namespace_terminating(&failed)) {
		*err = failed;
		return false;
	}
	if (set->spec.minReadySeconds > 0 && r.status.readyReplicas != r.status.availableReplicas)
		workqueue_add_after(c->queue, key, (int64_t)set->spec.minReadySeconds * 1000);
	struct live live = { &r, mine };
	return history_truncate(c->m, all, (set->spec.revisionHistoryLimit ? *set->spec.revisionHistoryLimit : 10) + 2,
	                        is_live, &live, err);
}

void *statefulset_setup(struct manager *m)
{
	struct statefulset *c = ARENA_NEW(m->arena, struct statefulset);
	*c = (struct statefulset){ .m = m,
		                   .sets = manager_informer(m, m->r.statefulsets),
		                   .pods = manager_informer(m, m->r.pods),
		                   .claims = manager_informer(m, m->r.persistentvolumeclaims),
		                   .revisions = manager_informer(m, m->r.controllerrevisions),
		                   .queue = manager_queue(m) };
	informer_add_index(c->sets, INDEX_NAMESPACE, index_namespace);
	informer_add_index(c->pods, INDEX_CONTROLLER, index_controller);
	informer_add_index(c->revisions, INDEX_CONTROLLER, index_controller);
	informer_add_handler(c->sets, &(struct informer_handler){ set_changed, c });
	informer_add_handler(c->pods, &(struct informer_handler){ pod_changed, c });
	return c;
}

void statefulset_run(void *self)
{
	struct statefulset *c = self;
	workqueue_run(c->queue, "statefulset", (int)c->m->options->concurrent_syncs, reconcile, c);
}
