#include "controllers/rollout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct int_or_string plain(int32_t i)
{
	return (struct int_or_string){ .i = i };
}
static struct int_or_string percent(const char *s)
{
	return (struct int_or_string){ .is_string = true, .s = str_c(s) };
}

static struct apps_v1_Deployment *deployment(struct arena *a, int32_t replicas, struct int_or_string surge,
                                             struct int_or_string unavailable)
{
	struct apps_v1_Deployment *d = ARENA_NEW(a, struct apps_v1_Deployment);
	d->spec.replicas = ARENA_NEW(a, int32_t);
	*d->spec.replicas = replicas;
	d->spec.strategy.type = S("RollingUpdate");
	d->spec.strategy.rollingUpdate = ARENA_NEW(a, struct apps_v1_RollingUpdateDeployment);
	d->spec.strategy.rollingUpdate->maxSurge = ARENA_NEW(a, struct int_or_string);
	d->spec.strategy.rollingUpdate->maxUnavailable = ARENA_NEW(a, struct int_or_string);
	*d->spec.strategy.rollingUpdate->maxSurge = surge;
	*d->spec.strategy.rollingUpdate->maxUnavailable = unavailable;
	return d;
}

static struct apps_v1_ReplicaSet *set(struct arena *a, const char *name, int32_t replicas, int32_t available,
                                      int64_t created)
{
	struct apps_v1_ReplicaSet *rs = ARENA_NEW(a, struct apps_v1_ReplicaSet);
	rs->metadata.name = str_c(name);
	rs->metadata.uid = str_c(name);
	rs->metadata.creationTimestamp = (struct api_time){ .sec = created, .set = true };
	rs->spec.replicas = ARENA_NEW(a, int32_t);
	*rs->spec.replicas = replicas;
	rs->status.availableReplicas = available;
	return rs;
}

#define SETS(...) \
	((struct sets){ (const struct apps_v1_ReplicaSet *[]){ __VA_ARGS__ }, \
	                sizeof((const struct apps_v1_ReplicaSet *[]){ __VA_ARGS__ }) / sizeof(void *) })

static void limits(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	const struct {
		int32_t replicas;
		const char *surge, *unavailable;
		int32_t want_surge, want_unavailable;
	} cases[] = {
		{ 10, "25%", "25%", 3, 2 }, { 1, "25%", "25%", 1, 0 }, { 4, "25%", "25%", 1, 1 },
		{ 2, "0%", "1%", 0, 1 },    { 2, "1%", "0%", 1, 0 },   { 3, "0%", "100%", 0, 3 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct apps_v1_Deployment *d =
		        deployment(a, cases[i].replicas, percent(cases[i].surge), percent(cases[i].unavailable));
		assert_int_equal(deployment_max_surge(d), cases[i].want_surge);
		assert_int_equal(deployment_max_unavailable(d), cases[i].want_unavailable);
	}
	struct apps_v1_Deployment *d = deployment(a, 2, plain(3), plain(5));
	assert_int_equal(deployment_max_unavailable(d), 2); // never more than there are
	d->spec.strategy.type = S("Recreate");
	assert_int_equal(deployment_max_surge(d), 0);
	assert_int_equal(deployment_max_unavailable(d), 0);
}

static void the_new_set_grows_within_the_surge(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	int32_t n;
	struct apps_v1_Deployment *d = deployment(a, 10, plain(3), plain(2));
	struct apps_v1_ReplicaSet *old = set(a, "old", 10, 10, 1), *new_set = set(a, "new", 0, 0, 2);
	assert_true(rollout_new_replicas(d, SETS(old, new_set), new_set, &n, &err));
	assert_int_equal(n, 3);
	*old->spec.replicas = 8;
	*new_set->spec.replicas = 3;
	assert_true(rollout_new_replicas(d, SETS(old, new_set), new_set, &n, &err));
	assert_int_equal(n, 5);
	*old->spec.replicas = 0;
	assert_true(rollout_new_replicas(d, SETS(old, new_set), new_set, &n, &err));
	assert_int_equal(n, 10); // not more than wanted
	*old->spec.replicas = 20;
	assert_true(rollout_new_replicas(d, SETS(old, new_set), new_set, &n, &err));
	assert_int_equal(n, 3); // not less than there are
	d->spec.strategy.type = S("Odd");
	assert_false(rollout_new_replicas(d, SETS(old, new_set), new_set, &n, &err));
	assert_string_equal(err.text, "deployment type Odd isn't supported");
}

// The two stories that upstream's reconcileOldReplicaSets tells.
static void old_sets_shrink_without_harm(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct apps_v1_Deployment *d = deployment(a, 10, plain(3), plain(2));
	assert_int_equal(
	        rollout_max_scale_down(d, SETS(set(a, "old", 8, 8, 1), set(a, "new", 5, 0, 2)), set(a, "new", 5, 0, 2)),
	        0);
	assert_int_equal(rollout_max_scale_down(d, SETS(set(a, "bad", 5, 0, 2), set(a, "good", 8, 7, 1)),
	                                        set(a, "good", 8, 7, 1)),
	                 4);
	assert_int_equal(rollout_max_scale_down(d, SETS(set(a, "old", 10, 10, 1), set(a, "new", 3, 3, 2)),
	                                        set(a, "new", 3, 3, 2)),
	                 5);
}

static void annotate(struct arena *a, struct apps_v1_ReplicaSet *rs, const char *most)
{
	str_map_set(a, &rs->metadata.annotations, MAX_ANNOTATION, str_c(most));
}

static void scaling_keeps_proportions(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	// 10 replicas and 3 more, 5 of the new set: scaled to 15.
	struct apps_v1_Deployment *d = deployment(a, 15, plain(3), plain(2));
	struct apps_v1_ReplicaSet *old = set(a, "old", 8, 8, 1), *new_set = set(a, "new", 5, 0, 2);
	annotate(a, old, "13");
	annotate(a, new_set, "13");
	struct sets s = SETS(new_set, old);
	const int32_t *sizes = rollout_scale(a, d, s);
	assert_ptr_equal(s.v[0], old); // the largest first
	assert_int_equal(sizes[0], 11);
	assert_int_equal(sizes[1], 7);
	// Down to zero everything goes.
	d = deployment(a, 0, plain(3), plain(2));
	s = SETS(new_set, old);
	sizes = rollout_scale(a, d, s);
	assert_int_equal(sizes[0] + sizes[1], 0);
	// Nothing to do: sizes stay.
	d = deployment(a, 10, plain(3), plain(2));
	s = SETS(new_set, old);
	sizes = rollout_scale(a, d, s);
	assert_int_equal(sizes[0] + sizes[1], 13);
	// What rounding leaves over goes to the largest (three equals of 1, one more wanted: the newest is the first).
	d = deployment(a, 4, plain(0), plain(1));
	struct apps_v1_ReplicaSet *x = set(a, "x", 1, 1, 1), *y = set(a, "y", 1, 1, 2), *z = set(a, "z", 1, 1, 3);
	annotate(a, x, "3");
	annotate(a, y, "3");
	annotate(a, z, "3");
	s = SETS(x, y, z);
	sizes = rollout_scale(a, d, s);
	assert_ptr_equal(s.v[0], z);
	assert_int_equal(sizes[0] + sizes[1] + sizes[2], 4);
	assert_int_equal(sizes[0], 2);
}

static void templates_are_equal_but_for_the_hash(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct core_v1_PodTemplateSpec x = { 0 }, y = { 0 };
	str_map_set(a, &x.metadata.labels, S("app"), S("web"));
	str_map_set(a, &y.metadata.labels, S("app"), S("web"));
	str_map_set(a, &y.metadata.labels, HASH_LABEL, S("abc"));
	assert_true(template_equal(&x, &y));
	assert_int_equal(y.metadata.labels.n, 2); // and nothing was changed
	y.spec.nodeName = S("n");
	assert_false(template_equal(&x, &y));
	struct apps_v1_Deployment *d = deployment(a, 1, plain(1), plain(0));
	d->spec.template = x;
	struct apps_v1_ReplicaSet *later = set(a, "later", 1, 1, 9), *first = set(a, "first", 1, 1, 3),
	                          *other = set(a, "other", 1, 1, 1);
	later->spec.template = first->spec.template = x;
	other->spec.template = y;
	struct sets s = SETS(later, other, first);
	assert_ptr_equal(rollout_new_set(d, s), first);
}

static void progress_is_seen(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct apps_v1_Deployment *d = deployment(a, 3, plain(1), plain(0));
	d->metadata.generation = 4;
	struct apps_v1_DeploymentStatus s = {
		.replicas = 3, .updatedReplicas = 3, .availableReplicas = 3, .observedGeneration = 4
	};
	assert_true(rollout_complete(d, &s));
	assert_true(rollout_progressing(d, &s));
	d->status = s;
	assert_false(rollout_progressing(d, &s));
	s.observedGeneration = 3;
	assert_false(rollout_complete(d, &s));
	s.replicas = 4; // an old one more
	assert_false(rollout_progressing(d, &s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits),
		cmocka_unit_test(the_new_set_grows_within_the_surge),
		cmocka_unit_test(old_sets_shrink_without_harm),
		cmocka_unit_test(scaling_keeps_proportions),
		cmocka_unit_test(templates_are_equal_but_for_the_hash),
		cmocka_unit_test(progress_is_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
