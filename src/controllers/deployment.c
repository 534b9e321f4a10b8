// Deployments: a ReplicaSet per version of the pod template, and the way from one to the next.
// Rule: upstream pkg/controller/deployment (deployment_controller.go, sync.go, rolling.go, recreate.go). The rollout's status
// and conditions are in deployment_status.c, its arithmetic in rollout.c.
#include "controllers/deployment.h"

#include "base/log.h"

enum { MAX_HISTORY_CHARS = 2000 };

// --- Handlers ---

static void deployment_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct deployment *c = ctx;
	queue_object(c->queue, changed_object(old, obj));
}

static const struct apps_v1_Deployment *owner_of(struct deployment *c, struct arena *a,
                                                 const struct meta_v1_ObjectMeta *m)
{
	const struct meta_v1_OwnerReference *r = meta_controller(m);
	if (!r || !str_eq(r->kind, S("Deployment")))
		return NULL;
	const struct apps_v1_Deployment *d = held_get(a, c->deployments, m->namespace, r->name);
	return d && str_eq(d->metadata.uid, r->uid) ? d : NULL;
}

static void set_changed(struct object_ref *old_ref, struct object_ref *new_ref, void *ctx)
{
	struct deployment *c = ctx;
	_cleanup_arena_ struct arena *a = arena_new(1024);
	const any_object *old = old_ref ? object_of(old_ref) : NULL, *rs = new_ref ? object_of(new_ref) : NULL;
	const struct apps_v1_Deployment *before = old ? owner_of(c, a, &old->metadata) : NULL,
	                                *d = rs ? owner_of(c, a, &rs->metadata) : NULL;
	if (before && before != d)
		queue_object(c->queue, before);
	if (d)
		queue_object(c->queue, d);
	if (!rs || meta_controller(&rs->metadata) || rs->metadata.labels.n == 0 || rs->metadata.deletionTimestamp)
		return;
	struct held all = held_by_index(a, c->deployments, INDEX_NAMESPACE, rs->metadata.namespace);
	for (size_t i = 0; i < all.n; i++) {
		const struct apps_v1_Deployment *candidate = all.v[i];
		struct selector s;
		struct error ignored = { 0 };
		if (label_selector(a, candidate->spec.selector, &s, &ignored) && !selector_empty(&s) &&
		    selector_matches(&s, &rs->metadata.labels))
			queue_object(c->queue, candidate);
	}
}

// Recreate goes on when the last old pod is gone.
static void pod_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct deployment *c = ctx;
	if (obj)
		return;
	_cleanup_arena_ struct arena *a = arena_new(1024);
	const struct core_v1_Pod *p = object_of(old);
	const struct meta_v1_OwnerReference *r = meta_controller(&p->metadata);
	const any_object *rs =
	        r && str_eq(r->kind, S("ReplicaSet")) ? held_get(a, c->sets, p->metadata.namespace, r->name) : NULL;
	const struct apps_v1_Deployment *d = rs ? owner_of(c, a, &rs->metadata) : NULL;
	if (d && str_eq(d->spec.strategy.type, S("Recreate")))
		queue_object(c->queue, d);
}

// --- Revisions ---

static bool skipped_annotation(str key)
{
	return str_eq(key, S("kubectl.kubernetes.io/last-applied-configuration")) || str_eq(key, REVISION_ANNOTATION) ||
	       str_eq(key, REVISION_HISTORY_ANNOTATION) || str_eq(key, DESIRED_ANNOTATION) ||
	       str_eq(key, MAX_ANNOTATION) || str_eq(key, ROLLBACK_ANNOTATION);
}

static bool annotate(struct arena *a, struct str_map *m, str key, str value)
{
	str have;
	if (str_map_find(m, key, &have) && str_eq(have, value))
		return false;
	str_map_set(a, m, key, value);
	return true;
}

static bool annotate_sizes(struct arena *a, struct apps_v1_ReplicaSet *rs, const struct apps_v1_Deployment *d)
{
	int32_t want = deployment_replicas(d);
	bool changed = annotate(a, &rs->metadata.annotations, DESIRED_ANNOTATION, arena_printf(a, "%d", want));
	return annotate(a, &rs->metadata.annotations, MAX_ANNOTATION,
	                arena_printf(a, "%d", want + deployment_max_surge(d))) ||
	       changed;
}

// A set that comes back into use remembers the revisions that it had.
static void remember_revision(struct arena *a, struct apps_v1_ReplicaSet *rs, str old)
{
	str history = str_map_get(&rs->metadata.annotations, REVISION_HISTORY_ANNOTATION);
	if (str_empty(history)) {
		str_map_set(a, &rs->metadata.annotations, REVISION_HISTORY_ANNOTATION, old);
		return;
	}
	while (history.n && history.n + old.n + 1 > MAX_HISTORY_CHARS) {
		str first, rest;
		history = str_split(history, ',', &first, &rest) ? rest : S("");
	}
	if (old.n <= MAX_HISTORY_CHARS)
		str_map_set(a, &rs->metadata.annotations, REVISION_HISTORY_ANNOTATION,
		            history.n ? arena_concat(a, history, S(","), old) : old);
}

// The new set takes over the Deployment's annotations and, if its own is smaller, the revision. True: something changed.
static bool annotate_new_set(struct arena *a, const struct apps_v1_Deployment *d, struct apps_v1_ReplicaSet *rs,
                             int64_t revision, bool exists)
{
	bool changed = false;
	for (size_t i = 0; i < d->metadata.annotations.n; i++)
		if (!skipped_annotation(d->metadata.annotations.v[i].key))
			changed |= annotate(a, &rs->metadata.annotations, d->metadata.annotations.v[i].key,
			                    d->metadata.annotations.v[i].value);
	str old = S("");
	bool had = str_map_find(&rs->metadata.annotations, REVISION_ANNOTATION, &old);
	int64_t old_number = 0;
	if (!str_empty(old) && !str_to_i64(old, &old_number))
		return false;
	if (old_number < revision) {
		str_map_set(a, &rs->metadata.annotations, REVISION_ANNOTATION,
		            arena_printf(a, "%lld", (long long)revision));
		changed = true;
		if (had)
			remember_revision(a, rs, old);
	}
	if (!exists)
		changed |= annotate_sizes(a, rs, d);
	return changed;
}

static struct sets old_sets(struct arena *a, struct sets all, const struct apps_v1_ReplicaSet *new_set)
{
	struct sets out = { .v = arena_calloc(a, all.n + 1, sizeof(*all.v)) };
	for (size_t i = 0; i < all.n; i++)
		if (!new_set || !str_eq(all.v[i]->metadata.uid, new_set->metadata.uid))
			out.v[out.n++] = all.v[i];
	return out;
}

// --- The new ReplicaSet ---

bool deployment_write_status(struct deployment *c, struct arena *a, struct apps_v1_Deployment *d, struct error *err)
{
	const struct apps_v1_Deployment *now = client_update(c->m->client, a, c->m->r.deployments, "status", d, err);
	if (!now)
		return false;
	d->metadata.resourceVersion = now->metadata.resourceVersion; // the next write of this round builds on it
	return true;
}

static bool add_to_selector(struct arena *a, struct apps_v1_ReplicaSet *rs, const struct apps_v1_Deployment *d,
                            str hash)
{
	if (!d->spec.selector)
		return false;
	rs->spec.selector = schema_clone(a, meta_v1_LabelSelector_desc, d->spec.selector);
	str_map_set(a, &rs->spec.selector->matchLabels, HASH_LABEL, hash);
	return true;
}

// The name is taken. By the set that we look for (the cache was late): fine. By another: the hash collides, and the count that
// goes into it is raised for the next round.
static const struct apps_v1_ReplicaSet *resolve_collision(struct deployment *c, struct arena *a,
                                                          struct apps_v1_Deployment *d, str name, struct error *err)
{
	struct error conflict = *err;
	*err = (struct error){ 0 };
	const struct apps_v1_ReplicaSet *there =
	        client_get(c->m->client, a, c->m->r.replicasets, d->metadata.namespace, name, err);
	if (!there)
		return NULL;
	if (meta_controlled_by(&there->metadata, d->metadata.uid) &&
	    template_equal(&there->spec.template, &d->spec.template))
		return there;
	int32_t count = d->status.collisionCount ? *d->status.collisionCount : 0;
	d->status.collisionCount = ARENA_NEW(a, int32_t);
	*d->status.collisionCount = count + 1;
	if (deployment_write_status(c, a, d, err))
		log_debug("deployment " STR_FMT ": hash collision, count is now %d", STR_ARG(d->metadata.name),
		          count + 1);
	*err = conflict;
	return NULL;
}

static const struct apps_v1_ReplicaSet *create_set(struct deployment *c, struct arena *a, struct apps_v1_Deployment *d,
                                                   struct sets old, int64_t revision, struct error *err)
{
	str hash = pod_template_hash(a, &d->spec.template, d->status.collisionCount);
	struct apps_v1_ReplicaSet *rs = ARENA_NEW(a, struct apps_v1_ReplicaSet);
	struct core_v1_PodTemplateSpec *template = schema_clone(a, core_v1_PodTemplateSpec_desc, &d->spec.template);
	str_map_set(a, &template->metadata.labels, HASH_LABEL, hash);
	size_t room = 253 - 1 - hash.n;
	rs->metadata.name = arena_concat(a, str_sub(d->metadata.name, 0, room), S("-"), hash);
	rs->metadata.namespace = d->metadata.namespace;
	rs->metadata.labels = template->metadata.labels;
	struct owner o = deployment_owner(c, d);
	*LIST_ADD(a, &rs->metadata.ownerReferences) = owner_reference(a, &o);
	rs->spec.minReadySeconds = d->spec.minReadySeconds;
	rs->spec.template = *template;
	rs->spec.replicas = ARENA_NEW(a, int32_t);
	if (!add_to_selector(a, rs, d, hash)) {
		error_set(err, "deployment has no selector");
		return NULL;
	}
	if (!rollout_new_replicas(d, sets_with(a, old, rs), rs, rs->spec.replicas, err))
		return NULL;
	int32_t replicas = *rs->spec.replicas;
	annotate_new_set(a, d, rs, revision, false);
	const struct apps_v1_ReplicaSet *made =
	        client_create(c->m->client, a, c->m->r.replicasets, d->metadata.namespace, rs, err);
	bool existed = false;
	if (!made && error_is(err, "AlreadyExists")) {
		made = resolve_collision(c, a, d, rs->metadata.name, err);
		existed = true;
		if (!made)
			return NULL;
	}
	if (!made) {
		if (error_namespace_terminating(err))
			return NULL;
		str message = arena_printf(a, "Failed to create new replica set \"" STR_FMT "\": %s",
		                           STR_ARG(rs->metadata.name), err->text);
		struct error ignored = { 0 };
		if (deployment_has_deadline(d)) {
			deployment_set_condition(c, a, &d->status, S("Progressing"), S("False"),
			                         S("ReplicaSetCreateError"), message);
			deployment_write_status(c, a, d, &ignored);
		}
		EVENT(c->m, COMPONENT, c->m->r.deployments, &d->metadata, "Warning", "ReplicaSetCreateError", STR_FMT,
		      STR_ARG(message));
		return NULL;
	}
	if (!existed && replicas > 0)
		EVENT(c->m, COMPONENT, c->m->r.deployments, &d->metadata, "Normal", "ScalingReplicaSet",
		      "Scaled up replica set " STR_FMT " from 0 to %d", STR_ARG(made->metadata.name), replicas);
	bool changed = annotate(a, &d->metadata.annotations, REVISION_ANNOTATION,
	                        arena_printf(a, "%lld", (long long)revision));
	if (!existed && deployment_has_deadline(d)) {
		deployment_set_condition(
		        c, a, &d->status, S("Progressing"), S("True"), S("NewReplicaSetCreated"),
		        arena_printf(a, "Created new replica set \"" STR_FMT "\"", STR_ARG(made->metadata.name)));
		changed = true;
	}
	return changed && !deployment_write_status(c, a, d, err) ? NULL : made;
}

// What a round works with. new_set is NULL when there is none and none was to be made.
struct round {
	const struct apps_v1_ReplicaSet *new_set;
	struct sets old;
};

static bool find_sets(struct deployment *c, struct arena *a, struct apps_v1_Deployment *d, struct sets all, bool create,
                      struct round *r, struct error *err)
{
	const struct apps_v1_ReplicaSet *found = rollout_new_set(d, all);
	r->new_set = NULL;
	r->old = old_sets(a, all, found);
	int64_t revision = 0;
	for (size_t i = 0; i < r->old.n; i++)
		revision = MAX(revision, set_revision(r->old.v[i]));
	revision++;
	if (!found) {
		if (create)
			r->new_set = create_set(c, a, d, r->old, revision, err);
		return !create || r->new_set;
	}
	struct apps_v1_ReplicaSet *rs = schema_clone(a, apps_v1_ReplicaSet_desc, found);
	if (annotate_new_set(a, d, rs, revision, true) || rs->spec.minReadySeconds != d->spec.minReadySeconds) {
		rs->spec.minReadySeconds = d->spec.minReadySeconds;
		r->new_set = client_update(c->m->client, a, c->m->r.replicasets, NULL, rs, err);
		return r->new_set != NULL;
	}
	r->new_set = rs;
	bool changed = annotate(a, &d->metadata.annotations, REVISION_ANNOTATION,
	                        str_map_get(&rs->metadata.annotations, REVISION_ANNOTATION));
	if (deployment_has_deadline(d) && !deployment_condition(&d->status, S("Progressing"))) {
		deployment_set_condition(
		        c, a, &d->status, S("Progressing"), S("True"), S("FoundNewReplicaSet"),
		        arena_printf(a, "Found new replica set \"" STR_FMT "\"", STR_ARG(rs->metadata.name)));
		changed = true;
	}
	return !changed || deployment_write_status(c, a, d, err);
}

// --- Scaling ---

// Brings one set to a size; *rs becomes what the server answered. *scaled (may be NULL): its size was changed.
static bool scale_set(struct deployment *c, struct arena *a, const struct apps_v1_Deployment *d,
                      const struct apps_v1_ReplicaSet **rs, int32_t size, bool force, bool *scaled, struct error *err)
{
	int32_t before = set_replicas(*rs);
	if (scaled)
		*scaled = false;
	if (!force && before == size)
		return true;
	struct apps_v1_ReplicaSet *copy = schema_clone(a, apps_v1_ReplicaSet_desc, *rs);
	bool annotations = annotate_sizes(a, copy, d);
	if (before == size && !annotations)
		return true;
	copy->spec.replicas = ARENA_NEW(a, int32_t);
	*copy->spec.replicas = size;
	const struct apps_v1_ReplicaSet *now = client_update(c->m->client, a, c->m->r.replicasets, NULL, copy, err);
	if (!now)
		return false;
	*rs = now;
	if (before != size) {
		if (scaled)
			*scaled = true;
		EVENT(c->m, COMPONENT, c->m->r.deployments, &d->metadata, "Normal", "ScalingReplicaSet",
		      "Scaled %s replica set " STR_FMT " from %d to %d", before < size ? "up" : "down",
		      STR_ARG(now->metadata.name), before, size);
	}
	return true;
}

// The only set that wants pods, or the newest where none does; NULL: there are several.
static const struct apps_v1_ReplicaSet **active_or_latest(struct arena *a, struct round *r)
{
	sets_by_age(r->old, true);
	struct sets active = sets_active(a, sets_with(a, r->old, r->new_set));
	if (active.n > 1)
		return NULL;
	if (r->new_set && (active.n == 0 || active.v[0] == r->new_set))
		return &r->new_set;
	for (size_t i = 0; i < r->old.n; i++)
		if (active.n == 0 || r->old.v[i] == active.v[0])
			return &r->old.v[i];
	return NULL;
}

static void replace(struct round *r, const struct apps_v1_ReplicaSet *old, const struct apps_v1_ReplicaSet *now)
{
	if (r->new_set == old)
		r->new_set = now;
	for (size_t i = 0; i < r->old.n; i++)
		if (r->old.v[i] == old)
			r->old.v[i] = now;
}

static bool scale(struct deployment *c, struct arena *a, struct apps_v1_Deployment *d, struct round *r,
                  struct error *err)
{
	const struct apps_v1_ReplicaSet **one = active_or_latest(a, r);
	if (one)
		return scale_set(c, a, d, one, deployment_replicas(d), false, NULL, err);
	if (rollout_saturated(d, r->new_set)) {
		for (size_t i = 0; i < r->old.n; i++)
			if (set_replicas(r->old.v[i]) > 0 && !scale_set(c, a, d, &r->old.v[i], 0, false, NULL, err))
				return false;
		return true;
	}
	if (!deployment_rolling(d))
		return true;
	struct sets active = sets_active(a, sets_with(a, r->old, r->new_set));
	const int32_t *sizes = rollout_scale(a, d, active);
	for (size_t i = 0; i < active.n; i++) {
		const struct apps_v1_ReplicaSet *rs = active.v[i];
		if (!scale_set(c, a, d, &rs, sizes[i], true, NULL, err))
			return false;
		replace(r, active.v[i], rs);
	}
	return true;
}

// Old sets beyond the history limit go, oldest revisions first, when nothing of them is left.
static bool clean_up(struct deployment *c, struct arena *a, const struct apps_v1_Deployment *d, struct sets old,
                     struct error *err)
{
	if (!d->spec.revisionHistoryLimit || *d->spec.revisionHistoryLimit == INT32_MAX)
		return true;
	struct sets alive = { .v = arena_calloc(a, old.n + 1, sizeof(*old.v)) };
	for (size_t i = 0; i < old.n; i++)
		if (!old.v[i]->metadata.deletionTimestamp)
			alive.v[alive.n++] = old.v[i];
	int64_t surplus = (int64_t)alive.n - *d->spec.revisionHistoryLimit;
	sets_by_revision(alive);
	for (int64_t i = 0; i < surplus; i++) {
		const struct apps_v1_ReplicaSet *rs = alive.v[i];
		if (rs->status.replicas != 0 || set_replicas(rs) != 0 ||
		    rs->metadata.generation > rs->status.observedGeneration)
			continue;
		if (!client_delete(c->m->client, c->m->r.replicasets, rs->metadata.namespace, rs->metadata.name, NULL,
		                   err)) {
			if (err->code != 404)
				return false;
			*err = (struct error){ 0 };
		}
	}
	return true;
}

// Scaling, or a paused Deployment.
static bool sync(struct deployment *c, struct arena *a, struct apps_v1_Deployment *d, struct sets all,
                 struct error *err)
{
	struct round r;
	if (!find_sets(c, a, d, all, false, &r, err) || !scale(c, a, d, &r, err))
		return false;
	if (d->spec.paused && !str_map_find(&d->metadata.annotations, ROLLBACK_ANNOTATION, &(str){ 0 }) &&
	    !clean_up(c, a, d, r.old, err))
		return false;
	return deployment_sync_status(c, a, d, sets_with(a, r.old, r.new_set), r.new_set, err);
}

static bool scaling_event(struct deployment *c, struct arena *a, struct apps_v1_Deployment *d, struct sets all,
                          bool *is, struct error *err)
{
	struct round r;
	if (!find_sets(c, a, d, all, false, &r, err))
		return false;
	struct sets active = sets_active(a, sets_with(a, r.old, r.new_set));
	*is = false;
	for (size_t i = 0; i < active.n; i++) {
		int32_t desired;
		if (annotation_count(&active.v[i]->metadata, DESIRED_ANNOTATION, &desired) &&
		    desired != deployment_replicas(d))
			*is = true;
	}
	return true;
}

// --- Rolling update ---

// Old pods that do not work go first: that costs no availability.
static bool drop_unhealthy(struct deployment *c, struct arena *a, struct apps_v1_Deployment *d, struct sets old,
                           int32_t most, int32_t *done, struct error *err)
{
	sets_by_age(old, false);
	*done = 0;
	for (size_t i = 0; i < old.n && *done < most; i++) {
		int32_t size = set_replicas(old.v[i]), unhealthy = size - old.v[i]->status.availableReplicas;
		if (size == 0 || unhealthy == 0)
			continue;
		int32_t drop = MIN(most - *done, unhealthy);
		if (drop < 0)
			return error_set(
			        err,
			        "when cleaning up unhealthy replicas, got invalid request to scale down " STR_FMT
			        "/" STR_FMT " %d -> %d",
			        STR_ARG(old.v[i]->metadata.namespace), STR_ARG(old.v[i]->metadata.name), size,
			        size - drop);
		if (!scale_set(c, a, d, &old.v[i], size - drop, false, NULL, err))
			return false;
		*done += drop;
	}
	return true;
}

static bool drop_old(struct deployment *c, struct arena *a, struct apps_v1_Deployment *d, struct sets all,
                     struct sets old, int32_t *done, struct error *err)
{
	int32_t most = sets_available(all) - (deployment_replicas(d) - deployment_max_unavailable(d));
	*done = 0;
	sets_by_age(old, false);
	for (size_t i = 0; i < old.n && *done < most; i++) {
		int32_t size = set_replicas(old.v[i]), drop = MIN(size, most - *done);
		if (size == 0)
			continue;
		if (!scale_set(c, a, d, &old.v[i], size - drop, false, NULL, err))
			return false;
		*done += drop;
	}
	return true;
}

static bool shrink_old(struct deployment *c, struct arena *a, struct apps_v1_Deployment *d, struct round *r,
                       bool *scaled, struct error *err)
{
	*scaled = false;
	struct sets old = sets_active(a, r->old);
	if (old.n == 0)
		return true;
	int32_t most = rollout_max_scale_down(d, sets_with(a, r->old, r->new_set), r->new_set);
	if (most <= 0)
		return true;
	int32_t unhealthy, surplus;
	if (!drop_unhealthy(c, a, d, old, most, &unhealthy, err) ||
	    !drop_old(c, a, d, sets_with(a, old, r->new_set), old, &surplus, err))
		return false;
	*scaled = unhealthy + surplus > 0;
	return true;
}

static bool grow_new(struct deployment *c, struct arena *a, struct apps_v1_Deployment *d, struct round *r, bool *scaled,
                     struct error *err)
{
	int32_t want = deployment_replicas(d), size = want;
	*scaled = false;
	if (set_replicas(r->new_set) == want)
		return true;
	if (set_replicas(r->new_set) < want &&
	    !rollout_new_replicas(d, sets_with(a, r->old, r->new_set), r->new_set, &size, err))
		return false;
	return scale_set(c, a, d, &r->new_set, size, false, scaled, err);
}

static bool roll(struct deployment *c, struct arena *a, struct apps_v1_Deployment *d, struct sets all,
                 struct error *err)
{
	struct round r;
	bool scaled;
	if (!find_sets(c, a, d, all, true, &r, err) || !grow_new(c, a, d, &r, &scaled, err))
		return false;
	if (!scaled && !shrink_old(c, a, d, &r, &scaled, err))
		return false;
	if (!scaled && rollout_complete(d, &d->status) && !clean_up(c, a, d, r.old, err))
		return false;
	return deployment_sync_rollout(c, a, d, sets_with(a, r.old, r.new_set), r.new_set, err);
}

// --- Recreate ---

static bool old_pods_run(struct deployment *c, struct arena *a, const struct round *r, struct sets all)
{
	if (sets_actual(r->old) > 0)
		return true;
	for (size_t i = 0; i < all.n; i++) {
		if (r->new_set && str_eq(all.v[i]->metadata.uid, r->new_set->metadata.uid))
			continue;
		struct held pods = held_by_index(a, c->pods, INDEX_CONTROLLER, all.v[i]->metadata.uid);
		for (size_t p = 0; p < pods.n; p++)
			if (!pod_is_terminal(pods.v[p]))
				return true;
	}
	return false;
}

static bool recreate(struct deployment *c, struct arena *a, struct apps_v1_Deployment *d, struct sets all,
                     struct error *err)
{
	struct round r;
	if (!find_sets(c, a, d, all, false, &r, err))
		return false;
	bool scaled = false;
	for (size_t i = 0; i < r.old.n; i++) {
		bool one;
		if (set_replicas(r.old.v[i]) == 0)
			continue;
		if (!scale_set(c, a, d, &r.old.v[i], 0, false, &one, err))
			return false;
		scaled |= one;
	}
	if (scaled || old_pods_run(c, a, &r, all))
		return deployment_sync_rollout(c, a, d, sets_with(a, r.old, r.new_set), r.new_set, err);
	if (!r.new_set && !find_sets(c, a, d, all, true, &r, err))
		return false;
	if (!scale_set(c, a, d, &r.new_set, deployment_replicas(d), false, NULL, err))
		return false;
	if (rollout_complete(d, &d->status) && !clean_up(c, a, d, r.old, err))
		return false;
	return deployment_sync_rollout(c, a, d, sets_with(a, r.old, r.new_set), r.new_set, err);
}

// --- Rollback (the deprecated annotation; kubectl rollout undo patches the template itself) ---

static bool end_rollback(struct deployment *c, struct arena *a, struct apps_v1_Deployment *d, struct error *err)
{
	str_map_del(&d->metadata.annotations, ROLLBACK_ANNOTATION);
	return client_update(c->m->client, a, c->m->r.deployments, NULL, d, err) != NULL;
}

static void take_template(struct arena *a, struct apps_v1_Deployment *d, const struct apps_v1_ReplicaSet *rs)
{
	struct core_v1_PodTemplateSpec *t = schema_clone(a, core_v1_PodTemplateSpec_desc, &rs->spec.template);
	str_map_del(&t->metadata.labels, HASH_LABEL);
	d->spec.template = *t;
	struct str_map kept = { 0 };
	for (size_t i = 0; i < d->metadata.annotations.n; i++)
		if (skipped_annotation(d->metadata.annotations.v[i].key))
			str_map_set(a, &kept, d->metadata.annotations.v[i].key, d->metadata.annotations.v[i].value);
	for (size_t i = 0; i < rs->metadata.annotations.n; i++)
		if (!skipped_annotation(rs->metadata.annotations.v[i].key))
			str_map_set(a, &kept, rs->metadata.annotations.v[i].key, rs->metadata.annotations.v[i].value);
	d->metadata.annotations = kept;
}

static bool rollback(struct deployment *c, struct arena *a, struct apps_v1_Deployment *d, struct sets all, int64_t to,
                     struct error *err)
{
	struct round r;
	if (!find_sets(c, a, d, all, true, &r, err))
		return false;
	struct sets sets = sets_with(a, r.old, r.new_set);
	if (to == 0) { // the last but one
		int64_t max = 0;
		for (size_t i = 0; i < sets.n; i++) {
			int64_t v = set_revision(sets.v[i]);
			if (v >= max) {
				to = max;
				max = v;
			} else if (v > to) {
				to = v;
			}
		}
		if (to == 0) {
			EVENT(c->m, COMPONENT, c->m->r.deployments, &d->metadata, "Warning",
			      "DeploymentRollbackRevisionNotFound", "Unable to find last revision.");
			return end_rollback(c, a, d, err);
		}
	}
	for (size_t i = 0; i < sets.n; i++) {
		if (set_revision(sets.v[i]) != to)
			continue;
		if (template_equal(&d->spec.template, &sets.v[i]->spec.template)) {
			EVENT(c->m, COMPONENT, c->m->r.deployments, &d->metadata, "Warning",
			      "DeploymentRollbackTemplateUnchanged",
			      "The rollback revision contains the same template as current deployment \"" STR_FMT "\"",
			      STR_ARG(d->metadata.name));
			return end_rollback(c, a, d, err);
		}
		take_template(a, d, sets.v[i]);
		if (!end_rollback(c, a, d, err))
			return false;
		EVENT(c->m, COMPONENT, c->m->r.deployments, &d->metadata, "Normal", "DeploymentRollback",
		      "Rolled back deployment \"" STR_FMT "\" to revision %lld", STR_ARG(d->metadata.name),
		      (long long)to);
		return true;
	}
	EVENT(c->m, COMPONENT, c->m->r.deployments, &d->metadata, "Warning", "DeploymentRollbackRevisionNotFound",
	      "Unable to find the revision to rollback to.");
	return end_rollback(c, a, d, err);
}

// --- Reconcile ---

static bool reconcile(void *ctx, struct arena *a, str key, struct error *err)
{
	struct deployment *c = ctx;
	str ns, name;
	key_split(key, &ns, &name);
	const struct apps_v1_Deployment *cached = held_get(a, c->deployments, ns, name);
	if (!cached)
		return true;
	struct apps_v1_Deployment *d = schema_clone(a, apps_v1_Deployment_desc, cached);
	if (d->spec.selector && d->spec.selector->matchLabels.n == 0 && d->spec.selector->matchExpressions.n == 0) {
		EVENT(c->m, COMPONENT, c->m->r.deployments, &d->metadata, "Warning", "SelectingAll",
		      "This deployment is selecting all pods. A non-empty selector is required.");
		if (d->status.observedGeneration >= d->metadata.generation)
			return true;
		d->status.observedGeneration = d->metadata.generation;
		return deployment_write_status(c, a, d, err);
	}
	struct selector selector;
	if (!label_selector(a, d->spec.selector, &selector, err))
		return error_wrap(err, "deployment " STR_FMT " has invalid label selector", STR_ARG(key));
	struct owner o = deployment_owner(c, d);
	struct held claimed;
	if (!claim(c->m, a, &o, &selector, c->m->r.replicasets, held_candidates(a, c->sets, ns, d->metadata.uid), NULL,
	           &claimed, err))
		return false;
	struct sets all = { (const struct apps_v1_ReplicaSet **)claimed.v, claimed.n };
	if (d->metadata.deletionTimestamp) {
		struct round r;
		return find_sets(c, a, d, all, false, &r, err) &&
		       deployment_sync_status(c, a, d, sets_with(a, r.old, r.new_set), r.new_set, err);
	}
	if (!deployment_check_paused(c, a, d, err))
		return false;
	if (d->spec.paused)
		return sync(c, a, d, all, err);
	str to;
	int64_t revision;
	if (str_map_find(&d->metadata.annotations, ROLLBACK_ANNOTATION, &to) && str_to_i64(to, &revision))
		return rollback(c, a, d, all, revision, err);
	bool scaling;
	if (!scaling_event(c, a, d, all, &scaling, err))
		return false;
	if (scaling)
		return sync(c, a, d, all, err);
	if (str_eq(d->spec.strategy.type, S("Recreate")))
		return recreate(c, a, d, all, err);
	if (deployment_rolling(d))
		return roll(c, a, d, all, err);
	return error_set(err, "unexpected deployment strategy type: " STR_FMT, STR_ARG(d->spec.strategy.type));
}

static bool reconcile_or_stop(void *ctx, struct arena *a, str key, struct error *err)
{
	// Nothing can be created in a namespace that goes away; a deleted object has nothing left to be reconciled.
	return reconcile(ctx, a, key, err) || error_namespace_terminating(err) ||
	       (err->code == 404 && str_contains(error_str(err), S("deployments.apps")));
}

void *deployment_setup(struct manager *m)
{
	struct deployment *c = ARENA_NEW(m->arena, struct deployment);
	*c = (struct deployment){ .m = m,
		                  .deployments = manager_informer(m, m->r.deployments),
		                  .sets = manager_informer(m, m->r.replicasets),
		                  .pods = manager_informer(m, m->r.pods),
		                  .queue = manager_queue(m) };
	informer_add_index(c->deployments, INDEX_NAMESPACE, index_namespace);
	informer_add_index(c->sets, INDEX_CONTROLLER, index_controller);
	informer_add_index(c->pods, INDEX_CONTROLLER, index_controller);
	informer_add_handler(c->deployments, &(struct informer_handler){ deployment_changed, c });
	informer_add_handler(c->sets, &(struct informer_handler){ set_changed, c });
	informer_add_handler(c->pods, &(struct informer_handler){ pod_changed, c });
	return c;
}

void deployment_run(void *self)
{
	struct deployment *c = self;
	workqueue_run(c->queue, "deployment", (int)c->m->options->concurrent_syncs, reconcile_or_stop, c);
}
