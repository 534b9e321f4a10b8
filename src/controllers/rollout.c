#include "controllers/rollout.h"

#include <math.h>
#include <stdlib.h>

int32_t deployment_replicas(const struct apps_v1_Deployment *d)
{
	return d->spec.replicas ? *d->spec.replicas : 1;
}
int32_t set_replicas(const struct apps_v1_ReplicaSet *rs)
{
	return rs->spec.replicas ? *rs->spec.replicas : 1;
}
bool deployment_rolling(const struct apps_v1_Deployment *d)
{
	return str_eq(d->spec.strategy.type, S("RollingUpdate"));
}

// Both limits at once: surge is rounded up, unavailability down, and both zero would never move.
static void fenceposts(const struct apps_v1_Deployment *d, int32_t *surge, int32_t *unavailable)
{
	const struct apps_v1_RollingUpdateDeployment *r = d->spec.strategy.rollingUpdate;
	*surge = *unavailable = 0;
	if (r && r->maxSurge)
		int_or_percent(r->maxSurge, deployment_replicas(d), true, surge);
	if (r && r->maxUnavailable)
		int_or_percent(r->maxUnavailable, deployment_replicas(d), false, unavailable);
	if (*surge == 0 && *unavailable == 0)
		*unavailable = 1;
}

int32_t deployment_max_surge(const struct apps_v1_Deployment *d)
{
	int32_t surge, unavailable;
	if (!deployment_rolling(d))
		return 0;
	fenceposts(d, &surge, &unavailable);
	return surge;
}

int32_t deployment_max_unavailable(const struct apps_v1_Deployment *d)
{
	int32_t surge, unavailable;
	if (!deployment_rolling(d) || deployment_replicas(d) == 0)
		return 0;
	fenceposts(d, &surge, &unavailable);
	return MIN(unavailable, deployment_replicas(d));
}

#define SUM(name, expr) \
	int32_t name(struct sets s) \
	{ \
		int32_t sum = 0; \
		for (size_t i = 0; i < s.n; i++) \
			if (s.v[i]) \
				sum += (expr); \
		return sum; \
	}
SUM(sets_wanted, set_replicas(s.v[i]))
SUM(sets_actual, s.v[i]->status.replicas)
SUM(sets_ready, s.v[i]->status.readyReplicas)
SUM(sets_available, s.v[i]->status.availableReplicas)
#undef SUM

bool sets_terminating(struct sets s, int32_t *out)
{
	*out = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (!s.v[i])
			continue;
		const struct apps_v1_ReplicaSetStatus *st = &s.v[i]->status;
		if (st->terminatingReplicas)
			*out += *st->terminatingReplicas;
		else if (st->observedGeneration != 0)
			return false; // synced by a controller that does not count them
	}
	return true;
}

struct sets sets_active(struct arena *a, struct sets s)
{
	struct sets out = { .v = arena_calloc(a, s.n + 1, sizeof(*s.v)) };
	for (size_t i = 0; i < s.n; i++)
		if (s.v[i] && set_replicas(s.v[i]) > 0)
			out.v[out.n++] = s.v[i];
	return out;
}

struct sets sets_with(struct arena *a, struct sets s, const struct apps_v1_ReplicaSet *one)
{
	struct sets out = { .v = arena_calloc(a, s.n + 1, sizeof(*s.v)), .n = s.n };
	if (s.n)
		memcpy(out.v, s.v, s.n * sizeof(*s.v));
	if (one)
		out.v[out.n++] = one;
	return out;
}

enum order { OLDEST, NEWEST, LARGEST_NEWER, LARGEST_OLDER, REVISION };

static int by_age(const struct apps_v1_ReplicaSet *x, const struct apps_v1_ReplicaSet *y)
{
	int64_t tx = x->metadata.creationTimestamp.sec, ty = y->metadata.creationTimestamp.sec;
	return tx != ty ? (tx < ty ? -1 : 1) : str_cmp(x->metadata.name, y->metadata.name);
}

static int compare(const void *a, const void *b, void *ctx)
{
	const struct apps_v1_ReplicaSet *x = *(const struct apps_v1_ReplicaSet *const *)a,
	                                *y = *(const struct apps_v1_ReplicaSet *const *)b;
	enum order o = *(enum order *)ctx;
	switch (o) {
	case OLDEST:
		return by_age(x, y);
	case NEWEST:
		return by_age(y, x);
	case LARGEST_NEWER:
	case LARGEST_OLDER:
		if (set_replicas(x) != set_replicas(y))
			return set_replicas(x) > set_replicas(y) ? -1 : 1;
		return o == LARGEST_OLDER ? by_age(x, y) : by_age(y, x);
	case REVISION: {
		int64_t rx = set_revision(x), ry = set_revision(y);
		return rx < 0 || ry < 0 || rx == ry ? by_age(x, y) : rx < ry ? -1 : 1;
	}
	}
	return 0;
}

static void sort(struct sets s, enum order o)
{
	if (s.n > 1)
		qsort_r(s.v, s.n, sizeof(*s.v), compare, &o);
}

void sets_by_age(struct sets s, bool newest_first)
{
	sort(s, newest_first ? NEWEST : OLDEST);
}
void sets_by_size(struct sets s, bool newer_first)
{
	sort(s, newer_first ? LARGEST_NEWER : LARGEST_OLDER);
}
void sets_by_revision(struct sets s)
{
	sort(s, REVISION);
}

bool rollout_new_replicas(const struct apps_v1_Deployment *d, struct sets all, const struct apps_v1_ReplicaSet *new_set,
                          int32_t *out, struct error *err)
{
	int32_t want = deployment_replicas(d), have = set_replicas(new_set);
	if (str_eq(d->spec.strategy.type, S("Recreate"))) {
		*out = want;
		return true;
	}
	if (!deployment_rolling(d))
		return error_set(err, "deployment type " STR_FMT " isn't supported", STR_ARG(d->spec.strategy.type));
	int32_t surge = 0;
	if (d->spec.strategy.rollingUpdate && d->spec.strategy.rollingUpdate->maxSurge)
		int_or_percent(d->spec.strategy.rollingUpdate->maxSurge, want, true, &surge);
	int32_t most = want + surge, now = sets_wanted(all);
	*out = now >= most ? have : have + MIN(most - now, want - have);
	return true;
}

static int32_t fraction(const struct apps_v1_ReplicaSet *rs, const struct apps_v1_Deployment *d)
{
	int32_t want = deployment_replicas(d), have = set_replicas(rs), before;
	if (want == 0)
		return -have;
	if (!annotation_count(&rs->metadata, MAX_ANNOTATION, &before) || before == 0) {
		before = d->status.replicas; // somebody took the annotation away: about right is better than nothing
		if (before == 0)
			return 0;
	}
	double size = (double)have * (double)(want + deployment_max_surge(d)) / (double)before;
	return (int32_t)(size < 0 ? ceil(size - 0.5) : floor(size + 0.5)) - have;
}

int32_t rollout_proportion(const struct apps_v1_ReplicaSet *rs, const struct apps_v1_Deployment *d, int32_t to_add,
                           int32_t added)
{
	if (!rs || set_replicas(rs) == 0 || to_add == 0 || to_add == added)
		return 0;
	int32_t part = fraction(rs, d), allowed = to_add - added;
	return to_add > 0 ? MIN(part, allowed) : MAX(part, allowed);
}

int32_t *rollout_scale(struct arena *a, const struct apps_v1_Deployment *d, struct sets active)
{
	int32_t *sizes = arena_calloc(a, active.n + 1, sizeof(int32_t));
	int32_t want = deployment_replicas(d), allowed = want > 0 ? want + deployment_max_surge(d) : 0;
	int32_t to_add = allowed - sets_wanted(active), added = 0;
	// Growing, the newer of equals grows first; shrinking, the older shrinks first.
	if (to_add > 0)
		sets_by_size(active, true);
	else if (to_add < 0)
		sets_by_size(active, false);
	for (size_t i = 0; i < active.n; i++) {
		int32_t part = rollout_proportion(active.v[i], d, to_add, added);
		sizes[i] = set_replicas(active.v[i]) + part;
		added += part;
	}
	if (active.n > 0 && to_add != 0)
		sizes[0] = MAX(sizes[0] + to_add - added, 0); // what is left over goes to the largest
	return sizes;
}

int32_t rollout_max_scale_down(const struct apps_v1_Deployment *d, struct sets all,
                               const struct apps_v1_ReplicaSet *new_set)
{
	int32_t least = deployment_replicas(d) - deployment_max_unavailable(d);
	return sets_wanted(all) - least - (set_replicas(new_set) - new_set->status.availableReplicas);
}

bool rollout_saturated(const struct apps_v1_Deployment *d, const struct apps_v1_ReplicaSet *rs)
{
	int32_t desired, want = deployment_replicas(d);
	return rs && annotation_count(&rs->metadata, DESIRED_ANNOTATION, &desired) && set_replicas(rs) == want &&
	       desired == want && rs->status.availableReplicas == want;
}

bool rollout_complete(const struct apps_v1_Deployment *d, const struct apps_v1_DeploymentStatus *s)
{
	int32_t want = deployment_replicas(d);
	return s->updatedReplicas == want && s->replicas == want && s->availableReplicas == want &&
	       s->observedGeneration >= d->metadata.generation;
}

bool rollout_progressing(const struct apps_v1_Deployment *d, const struct apps_v1_DeploymentStatus *now)
{
	const struct apps_v1_DeploymentStatus *old = &d->status;
	return now->updatedReplicas > old->updatedReplicas ||
	       now->replicas - now->updatedReplicas < old->replicas - old->updatedReplicas ||
	       now->readyReplicas > old->readyReplicas || now->availableReplicas > old->availableReplicas;
}

int64_t set_revision(const struct apps_v1_ReplicaSet *rs)
{
	str v;
	int64_t n;
	if (!str_map_find(&rs->metadata.annotations, REVISION_ANNOTATION, &v))
		return 0;
	return str_to_i64(v, &n) ? n : -1;
}

bool annotation_count(const struct meta_v1_ObjectMeta *m, str key, int32_t *out)
{
	str v;
	int64_t n;
	if (!str_map_find(&m->annotations, key, &v) || !str_to_i64(v, &n) || n < 0 || n > INT32_MAX)
		return false;
	*out = (int32_t)n;
	return true;
}

bool template_equal(const struct core_v1_PodTemplateSpec *x, const struct core_v1_PodTemplateSpec *y)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct core_v1_PodTemplateSpec tx = *x, ty = *y;
	// The labels are copied before the hash is taken out; the rest is only read.
	struct str_map *maps[] = { &tx.metadata.labels, &ty.metadata.labels };
	for (size_t m = 0; m < ARRAY_LEN(maps); m++) {
		struct str_map copy = { 0 };
		for (size_t i = 0; i < maps[m]->n; i++)
			if (!str_eq(maps[m]->v[i].key, HASH_LABEL))
				*LIST_ADD(a, &copy) = maps[m]->v[i];
		*maps[m] = copy;
	}
	return schema_equal(core_v1_PodTemplateSpec_desc, &tx, &ty);
}

const struct apps_v1_ReplicaSet *rollout_new_set(const struct apps_v1_Deployment *d, struct sets s)
{
	sets_by_age(s, false);
	for (size_t i = 0; i < s.n; i++)
		if (template_equal(&s.v[i]->spec.template, &d->spec.template))
			return s.v[i];
	return NULL;
}
