// Deletion ranking, slice packing, the garbage collector's graph, subnets, tolerations.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/map.h"
#include "controllers/cidr.h"
#include "controllers/cron.h"
#include "controllers/gc_graph.h"
#include "controllers/job_policy.h"
#include "controllers/node_util.h"
#include "controllers/slices.h"

// --- Ranking ---

static struct core_v1_Pod *pod(struct arena *a, const char *name, const char *node, const char *phase,
                               int64_t ready_since, int64_t created)
{
	struct core_v1_Pod *p = ARENA_NEW(a, struct core_v1_Pod);
	p->metadata.name = p->metadata.uid = str_c(name);
	p->metadata.creationTimestamp = (struct api_time){ .sec = created, .set = true };
	p->spec.nodeName = str_c(node);
	p->status.phase = str_c(phase);
	if (ready_since)
		*LIST_ADD(a, &p->status.conditions) =
		        (struct core_v1_PodCondition){ .type = S("Ready"),
			                               .status = S("True"),
			                               .lastTransitionTime = { .sec = ready_since, .set = true } };
	return p;
}

static void expect_order(struct arena *a, const struct core_v1_Pod **pods, size_t n, const int *ranks,
                         const char *const *names)
{
	pods_rank_for_deletion(a, pods, n, ranks, 0);
	for (size_t i = 0; i < n; i++)
		assert_true(str_eqc(pods[i]->metadata.name, names[i]));
}

static void the_least_useful_goes_first(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	const struct core_v1_Pod *pods[] = {
		pod(a, "old-ready", "n1", "Running", 100, 50), pod(a, "new-ready", "n1", "Running", 200, 50),
		pod(a, "not-ready", "n1", "Running", 0, 50),   pod(a, "pending", "n1", "Pending", 0, 50),
		pod(a, "unassigned", "", "Pending", 0, 50),
	};
	expect_order(a, pods, 5, NULL,
	             (const char *[]){ "unassigned", "pending", "not-ready", "new-ready", "old-ready" });
	struct core_v1_Pod *dear = pod(a, "dear", "n1", "Running", 500, 50),
	                   *cheap = pod(a, "cheap", "n1", "Running", 100, 50),
	                   *odd = pod(a, "odd", "n1", "Running", 900, 50);
	str_map_set(a, &dear->metadata.annotations, S("controller.kubernetes.io/pod-deletion-cost"), S("10"));
	str_map_set(a, &cheap->metadata.annotations, S("controller.kubernetes.io/pod-deletion-cost"), S("-5"));
	str_map_set(a, &odd->metadata.annotations, S("controller.kubernetes.io/pod-deletion-cost"),
	            S("+20")); // no number: 0
	const struct core_v1_Pod *costs[] = { dear, odd, cheap };
	expect_order(a, costs, 3, NULL, (const char *[]){ "cheap", "odd", "dear" });
	const struct core_v1_Pod *crowd[] = { pod(a, "alone", "n1", "Running", 300, 50),
		                              pod(a, "crowded", "n2", "Running", 100, 50) };
	expect_order(a, crowd, 2, (const int[]){ 1, 3 }, (const char *[]){ "crowded", "alone" });
	struct core_v1_Pod *restarted = pod(a, "restarted", "n1", "Running", 100, 50);
	LIST_ADD(a, &restarted->status.containerStatuses)->restartCount = 4;
	const struct core_v1_Pod *restarts[] = { pod(a, "steady", "n1", "Running", 100, 90), restarted };
	expect_order(a, restarts, 2, NULL, (const char *[]){ "restarted", "steady" });
	const struct core_v1_Pod *ages[] = { pod(a, "elder", "n1", "Running", 100, 10),
		                             pod(a, "younger", "n1", "Running", 100, 20) };
	expect_order(a, ages, 2, NULL, (const char *[]){ "younger", "elder" });
}

// --- Slices ---

static struct discovery_v1_EndpointPort_list port(struct arena *a, int32_t n)
{
	struct discovery_v1_EndpointPort_list l = { 0 };
	struct discovery_v1_EndpointPort *p = LIST_ADD(a, &l);
	p->port = ARENA_NEW(a, int32_t);
	*p->port = n;
	return l;
}

static struct port_groups group(struct arena *a, int from, int to, bool ready)
{
	struct port_groups g = { 0 };
	struct port_group *one = LIST_ADD(a, &g);
	one->ports = port(a, 80);
	for (int i = from; i < to; i++) {
		struct discovery_v1_Endpoint *e = LIST_ADD(a, &one->endpoints);
		*LIST_ADD(a, &e->addresses) = arena_printf(a, "10.0.%d.%d", i / 250, i % 250);
		e->targetRef = ARENA_NEW(a, struct core_v1_ObjectReference);
		e->targetRef->name = e->targetRef->uid = arena_printf(a, "pod-%d", i);
		e->conditions.ready = ARENA_NEW(a, bool);
		*e->conditions.ready = ready;
	}
	return g;
}

static slice *fresh(struct arena *a, void *ctx)
{
	return ARENA_NEW(a, slice);
}

static void few_slices_change(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct slice_plan p;
	struct slice_list have = { 0 };
	slices_plan(a, (struct port_groups){ 0 }, have, fresh, NULL, &p);
	assert_int_equal(p.create.n, 1); // an empty one
	assert_int_equal(p.create.v[0]->endpoints.n, 0);
	have = p.create;
	slices_plan(a, (struct port_groups){ 0 }, have, fresh, NULL, &p);
	assert_int_equal(p.create.n + p.update.n + p.remove.n, 0);
	// The empty one is filled, not replaced.
	slices_plan(a, group(a, 0, 3, true), have, fresh, NULL, &p);
	assert_int_equal(p.update.n, 1);
	assert_int_equal(p.create.n + p.remove.n, 0);
	assert_int_equal(p.update.v[0]->endpoints.n, 3);
	// 250 endpoints: 100, 100 and 50.
	have = (struct slice_list){ 0 };
	slices_plan(a, group(a, 0, 250, true), have, fresh, NULL, &p);
	assert_int_equal(p.create.n, 3);
	assert_int_equal(p.create.v[2]->endpoints.n, 50);
	have = p.create;
	// One more fits into the last; nothing else is touched.
	slices_plan(a, group(a, 0, 251, true), have, fresh, NULL, &p);
	assert_int_equal(p.create.n + p.remove.n, 0);
	assert_int_equal(p.update.n, 1);
	assert_int_equal(p.update.v[0]->endpoints.n, 51);
	// The first hundred go: their slice goes.
	slices_plan(a, group(a, 100, 251, true), have, fresh, NULL, &p);
	assert_int_equal(p.remove.n, 1);
	assert_int_equal(p.create.n + p.update.n, 0);
}

static void a_state_that_changes_is_written(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct slice_plan p;
	slices_plan(a, group(a, 0, 2, true), (struct slice_list){ 0 }, fresh, NULL, &p);
	struct slice_list have = p.create;
	slices_plan(a, group(a, 0, 2, true), have, fresh, NULL, &p);
	assert_int_equal(p.create.n + p.update.n + p.remove.n, 0);
	slices_plan(a, group(a, 0, 2, false), have, fresh, NULL, &p);
	assert_int_equal(p.update.n, 1);
	assert_false(*p.update.v[0]->endpoints.v[0].conditions.ready);
	// Nobody is left: the slice stays, empty.
	slices_plan(a, (struct port_groups){ 0 }, have, fresh, NULL, &p);
	assert_int_equal(p.update.n, 1);
	assert_int_equal(p.remove.n, 0);
	assert_int_equal(p.update.v[0]->endpoints.n, 0);
}

// Mirrored endpoints name no pod: their addresses tell them apart.
static void endpoints_without_a_pod_stay_where_they_are(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct slice_plan p;
	struct port_groups want = group(a, 0, 3, true);
	for (size_t i = 0; i < 3; i++)
		want.v[0].endpoints.v[i].targetRef = NULL;
	slices_plan(a, want, (struct slice_list){ 0 }, fresh, NULL, &p);
	struct slice_list have = p.create;
	slices_plan(a, want, have, fresh, NULL, &p);
	assert_int_equal(p.create.n + p.update.n + p.remove.n, 0);
}

// --- The graph ---

struct notes {
	struct arena *a;
	struct str_list look, orphan;
};
static void note_look(void *ctx, str uid)
{
	struct notes *n = ctx;
	*LIST_ADD(n->a, &n->look) = arena_dup(n->a, uid);
}
static void note_orphan(void *ctx, str uid)
{
	struct notes *n = ctx;
	*LIST_ADD(n->a, &n->orphan) = arena_dup(n->a, uid);
}

static bool noted(struct notes *n, const char *uid)
{
	for (size_t i = 0; i < n->look.n; i++)
		if (str_eqc(n->look.v[i], uid))
			return true;
	return false;
}

static struct meta_v1_ObjectMeta meta(struct arena *a, const char *ns, const char *uid, const char *owner)
{
	struct meta_v1_ObjectMeta m = { .name = str_c(uid), .namespace = str_c(ns), .uid = str_c(uid) };
	if (owner) {
		struct meta_v1_OwnerReference *r = LIST_ADD(a, &m.ownerReferences);
		*r = (struct meta_v1_OwnerReference){
			.apiVersion = S("apps/v1"), .kind = S("ReplicaSet"), .name = str_c(owner), .uid = str_c(owner)
		};
		r->blockOwnerDeletion = ARENA_NEW(a, bool);
		*r->blockOwnerDeletion = true;
	}
	return m;
}

static void the_graph_follows(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct notes n = { .a = a };
	struct gc_graph *g = gc_graph_new(&(struct gc_hooks){ note_look, note_orphan, &n });
	struct gc_view v;
	struct meta_v1_ObjectMeta p = meta(a, "d", "pod", "rs"), rs = meta(a, "d", "rs", NULL);
	// The dependent is seen first: its owner is asked for.
	gc_graph_observe(g, S("v1"), S("Pod"), &p);
	assert_true(noted(&n, "rs"));
	assert_true(gc_graph_view(g, a, S("rs"), &v) && v.is_virtual && v.dependents.n == 1);
	assert_true(gc_graph_view(g, a, S("pod"), &v) && !v.owners_present);
	gc_graph_observe(g, S("apps/v1"), S("ReplicaSet"), &rs);
	assert_true(gc_graph_view(g, a, S("rs"), &v) && !v.is_virtual);
	assert_true(gc_graph_view(g, a, S("pod"), &v) && v.owners_present);
	// The owner goes: the dependent is looked at.
	n.look.n = 0;
	gc_graph_gone(g, S("rs"));
	assert_true(noted(&n, "pod"));
	assert_true(gc_graph_view(g, a, S("pod"), &v) && !v.owners_present);
	gc_graph_gone(g, S("pod"));
	assert_int_equal(gc_graph_size(g), 0);
	gc_graph_free(g);
}

static void foreground_waits_for_those_who_block(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct notes n = { .a = a };
	struct gc_graph *g = gc_graph_new(&(struct gc_hooks){ note_look, note_orphan, &n });
	struct gc_view v;
	struct meta_v1_ObjectMeta p = meta(a, "d", "pod", "rs"), rs = meta(a, "d", "rs", NULL);
	gc_graph_observe(g, S("apps/v1"), S("ReplicaSet"), &rs);
	gc_graph_observe(g, S("v1"), S("Pod"), &p);
	n.look.n = 0;
	rs.deletionTimestamp = ARENA_NEW(a, struct api_time);
	*LIST_ADD(a, &rs.finalizers) = S("foregroundDeletion");
	gc_graph_observe(g, S("apps/v1"), S("ReplicaSet"), &rs);
	assert_true(noted(&n, "pod") && noted(&n, "rs"));
	assert_true(gc_graph_view(g, a, S("rs"), &v) && v.deleting_dependents && v.dependents.n == 1 &&
	            v.dependents.v[0].blocks);
	n.look.n = 0;
	gc_graph_observe(g, S("apps/v1"), S("ReplicaSet"), &rs); // said once is enough
	assert_int_equal(n.look.n, 0);
	// The last that blocks goes: the owner looks again.
	gc_graph_gone(g, S("pod"));
	assert_true(noted(&n, "rs"));
	assert_true(gc_graph_view(g, a, S("rs"), &v) && v.dependents.n == 0);
	gc_graph_free(g);
}

static void orphans_and_strangers(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct notes n = { .a = a };
	struct gc_graph *g = gc_graph_new(&(struct gc_hooks){ note_look, note_orphan, &n });
	struct gc_view v;
	struct meta_v1_ObjectMeta rs = meta(a, "d", "rs", NULL), far = meta(a, "elsewhere", "far", "rs");
	gc_graph_observe(g, S("apps/v1"), S("ReplicaSet"), &rs);
	gc_graph_observe(g, S("v1"), S("Pod"), &far); // its owner is in another namespace: none of its own
	assert_true(noted(&n, "far"));
	assert_true(gc_graph_view(g, a, S("far"), &v) && !v.owners_present);
	rs.deletionTimestamp = ARENA_NEW(a, struct api_time);
	*LIST_ADD(a, &rs.finalizers) = S("orphan");
	gc_graph_observe(g, S("apps/v1"), S("ReplicaSet"), &rs);
	assert_int_equal(n.orphan.n, 1);
	// A reference that is taken away.
	far.ownerReferences.n = 0;
	gc_graph_observe(g, S("v1"), S("Pod"), &far);
	assert_true(gc_graph_view(g, a, S("rs"), &v) && v.dependents.n == 0);
	gc_graph_free(g);
}

// --- Subnets ---

static void subnets_are_handed_out_once(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct cidr_pool p;
	assert_true(cidr_pool_init(a, S("10.244.7.9/22"), 24, &p, &err));
	assert_true(cidr_pool_take(&p, S("10.244.5.0/24")));
	assert_false(cidr_pool_take(&p, S("10.245.0.0/24")));
	assert_true(str_eq(cidr_pool_next(a, &p), S("10.244.4.0/24")));
	assert_true(str_eq(cidr_pool_next(a, &p), S("10.244.6.0/24")));
	assert_true(str_eq(cidr_pool_next(a, &p), S("10.244.7.0/24")));
	assert_true(str_empty(cidr_pool_next(a, &p)));
	cidr_pool_release(&p, S("10.244.5.0/24"));
	assert_true(str_eq(cidr_pool_next(a, &p), S("10.244.5.0/24")));
	assert_true(cidr_pool_init(a, S("fd00:1::/48"), 64, &p, &err));
	assert_true(str_eq(cidr_pool_next(a, &p), S("fd00:1::/64")));
	assert_true(str_eq(cidr_pool_next(a, &p), S("fd00:1:0:1::/64")));
	assert_false(cidr_pool_init(a, S("fd00::/16"), 64, &p, &err));
	assert_false(cidr_pool_init(a, S("10.0.0.0"), 24, &p, &err));
	assert_false(cidr_pool_init(a, S("10.0.0.0/28"), 24, &p, &err));
}

// --- Tolerations ---

static void tolerations_have_an_end(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct core_v1_Taint_list taints = { 0 };
	struct core_v1_Pod *p = pod(a, "p", "n", "Running", 1, 1);
	assert_int_equal(toleration_seconds(&taints, p), -1);
	*LIST_ADD(a, &taints) = (struct core_v1_Taint){ .key = TAINT_UNREACHABLE, .effect = S("NoExecute") };
	assert_int_equal(toleration_seconds(&taints, p), 0);
	int64_t seconds = 300;
	*LIST_ADD(a, &p->spec.tolerations) = (struct core_v1_Toleration){ .key = TAINT_UNREACHABLE,
		                                                          .operator= S("Exists"),
		                                                          .effect = S("NoExecute"),
		                                                          .tolerationSeconds = &seconds };
	assert_int_equal(toleration_seconds(&taints, p), 300);
	p->spec.tolerations.v[0].tolerationSeconds = NULL;
	assert_int_equal(toleration_seconds(&taints, p), -1);
	*LIST_ADD(a, &taints) = (struct core_v1_Taint){ .key = S("x"), .effect = S("NoSchedule") };
	assert_int_equal(toleration_seconds(&taints, p), -1);
	*LIST_ADD(a, &taints) = (struct core_v1_Taint){ .key = S("x"), .effect = S("NoExecute") };
	assert_int_equal(toleration_seconds(&taints, p), 0);
}

// --- Schedules ---

static void schedules_come_due(void **state)
{
	// 2026-11-23 is a Monday.
	const struct {
		const char *spec;
		const char *after, *next;
	} cases[] = {
		{ "* * * * *", "2026-11-23T10:00:00Z", "2026-11-23T10:01:00Z" },
		{ "*/15 * * * *", "2026-11-23T10:07:31Z", "2026-11-23T10:15:00Z" },
		{ "0 9-17/4 * * mon-fri", "2026-11-23T14:00:00Z", "2026-11-23T17:00:00Z" },
		{ "0 9-17/4 * * 1-5", "2026-11-27T17:00:00Z", "2026-11-30T09:00:00Z" },
		{ "30 2 29 feb *", "2026-11-23T10:00:00Z", "2028-02-29T02:30:00Z" },
		{ "0 0 13 * 5", "2026-11-23T10:00:00Z", "2026-11-27T00:00:00Z" }, // one of both days is enough
		{ "0 0 1 * ?", "2026-12-31T23:59:00Z", "2027-01-01T00:00:00Z" },
		{ "@hourly", "2026-11-23T10:00:00Z", "2026-11-23T11:00:00Z" },
		{ "@every 1m30s", "2026-11-23T10:00:00Z", "2026-11-23T10:01:30Z" },
		{ "0 0 31 2 *", "2026-11-23T10:00:00Z", NULL },
	};
	_cleanup_arena_ struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cron c;
		struct error err = { 0 };
		int64_t sec;
		int32_t nsec;
		assert_true(cron_parse(str_c(cases[i].spec), &c, &err));
		assert_true(time_parse(str_c(cases[i].after), &sec, &nsec));
		int64_t next = cron_next(&c, sec);
		if (!cases[i].next)
			assert_int_equal(next, 0);
		else
			assert_string_equal(arena_cstr(a, time_format(a, next, 0, 0)), cases[i].next);
	}
}

static void schedules_that_are_none(void **state)
{
	const char *const specs[] = { "",          "* * * *",     "* * * * * *",   "60 * * * *", "* 24 * * *",
		                      "* * 0 * *", "5-1 * * * *", "*/0 * * * *",   "x * * * *",  "@sometimes",
		                      "@every 5",  "@every",      "1-2-3 * * * *", "-1 * * * *", "* * * * 7" };
	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		struct cron c;
		struct error err = { 0 };
		assert_false(cron_parse(str_c(specs[i]), &c, &err));
		assert_true(err.text[0]);
	}
}

// --- Jobs ---

static void indexes_are_written_as_ranges(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct index_set s = index_set_new(a, 20), x = index_set_new(a, 20);
	index_set_parse(&s, S("0-3,5,7,8,19,25,9-7,b"));
	assert_int_equal(s.total, 8);
	assert_string_equal(arena_cstr(a, index_set_text(a, &s)), "0-3,5,7,8,19");
	index_set_parse(&x, S("3-7"));
	assert_int_equal(index_set_common(&s, &x), 3);
	assert_int_equal(index_set_text(a, &(struct index_set){ 0 }).n, 0);
}

static void failure_rules_are_read_in_order(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct core_v1_Pod *p = pod(a, "p", "n", "Failed", 0, 1);
	p->metadata.namespace = S("d");
	struct core_v1_ContainerStatus *c = LIST_ADD(a, &p->status.containerStatuses);
	c->name = S("main");
	c->state.terminated = ARENA_NEW(a, struct core_v1_ContainerStateTerminated);
	c->state.terminated->exitCode = 42;
	struct batch_v1_PodFailurePolicy policy = { 0 };
	struct batch_v1_PodFailurePolicyRule *r = LIST_ADD(a, &policy.rules);
	r->action = S("Ignore");
	struct batch_v1_PodFailurePolicyOnPodConditionsPattern *pattern = LIST_ADD(a, &r->onPodConditions);
	pattern->type = S("DisruptionTarget");
	pattern->status = S("True");
	r = LIST_ADD(a, &policy.rules);
	r->action = S("FailJob");
	r->onExitCodes = ARENA_NEW(a, struct batch_v1_PodFailurePolicyOnExitCodesRequirement);
	r->onExitCodes->operator= S("In");
	*LIST_ADD(a, &r->onExitCodes->values) = 42;
	str message;
	assert_int_equal(job_failure_action(a, &policy, p, &message), FAILURE_FAILS_JOB);
	assert_string_equal(arena_cstr(a, message),
	                    "Container main for pod d/p failed with exit code 42 matching FailJob rule at index 1");
	*LIST_ADD(a, &p->status.conditions) =
	        (struct core_v1_PodCondition){ .type = S("DisruptionTarget"), .status = S("True") };
	assert_int_equal(job_failure_action(a, &policy, p, &message), FAILURE_IGNORED);
	assert_int_equal(job_failure_action(a, NULL, p, &message), FAILURE_COUNTS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_least_useful_goes_first),
		cmocka_unit_test(few_slices_change),
		cmocka_unit_test(a_state_that_changes_is_written),
		cmocka_unit_test(endpoints_without_a_pod_stay_where_they_are),
		cmocka_unit_test(the_graph_follows),
		cmocka_unit_test(foreground_waits_for_those_who_block),
		cmocka_unit_test(orphans_and_strangers),
		cmocka_unit_test(subnets_are_handed_out_once),
		cmocka_unit_test(tolerations_have_an_end),
		cmocka_unit_test(schedules_come_due),
		cmocka_unit_test(schedules_that_are_none),
		cmocka_unit_test(indexes_are_written_as_ranges),
		cmocka_unit_test(failure_rules_are_read_in_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
