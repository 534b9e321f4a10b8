// The queue, the cache and one scheduling decision, without a cluster.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "client/informer_internal.h"
#include "scheduler/queue.h"
#include "scheduler/schedule.h"

// The plugins ask the running scheduler for Services; here a pod belongs to none.
bool scheduler_owner_selector(struct cycle *c, struct selector *out)
{
	return false;
}

static struct object_ref *ref_of(const struct message_desc *m, const char *json)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	void *obj = schema_from_json(a, m, str_c(json), NULL, &err);
	if (!obj)
		fail_msg("%s", err.text);
	return object_ref_new(m, obj);
}

static struct pod_info *pod(const char *json)
{
	_cleanup_object_ struct object_ref *r = ref_of(core_v1_Pod_desc, json);
	return pod_info_new(r);
}

static void add_node(struct node_cache *c, const char *json)
{
	_cleanup_object_ struct object_ref *r = ref_of(core_v1_Node_desc, json);
	node_cache_set(c, r);
}

static void add_plain_node(struct node_cache *c, const char *name, const char *cpu)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	add_node(c, arena_printf(a, "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"kubernetes.io/hostname\":\"%s\"}},\"status\":{\"allocatable\":{\"cpu\":\"%s\",\"memory\":\"4Gi\",\"pods\":\"3\"}}}", name, name, cpu).p);
}

#define POD(name, cpu, more) \
	"{\"metadata\":{\"namespace\":\"d\",\"name\":\"" name "\",\"uid\":\"" name "\"},\"spec\":{" more "\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{\"cpu\":\"" cpu "\"}}}]}}"

static void place(struct node_cache *c, const char *json, const char *node)
{
	node_cache_place(c, pod(json), str_c(node));
}

static void free_all(struct node_cache *c)
{
	for (size_t i = 0; i < c->list.n; i++)
		for (struct node_info *n = c->list.v[i]; n->pods.n;) {
			struct pod_info *p = n->pods.v[0];
			n->pods.v[0] = n->pods.v[--n->pods.n];
			pod_info_free(p);
		}
	node_cache_free(c);
}

static void says_why_nothing_fits(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct node_cache c = { 0 };
	add_plain_node(&c, "a", "1");
	add_plain_node(&c, "b", "1");
	add_node(&c, "{\"metadata\":{\"name\":\"t\"},\"spec\":{\"taints\":[{\"key\":\"k\",\"effect\":\"NoSchedule\"}]},\"status\":{\"allocatable\":{\"cpu\":\"8\",\"pods\":\"9\"}}}");
	place(&c, POD("x", "800m", ""), "a");
	struct pod_info *p = pod(POD("p", "900m", "\"nodeSelector\":{\"kubernetes.io/hostname\":\"a\"},"));
	struct placement to = schedule_pod(NULL, a, &c, p, NULL, 0);
	assert_null(to.node);
	assert_string_equal(arena_cstr(a, to.message),
	                    "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint(s). "
	                    "no new claims to deallocate, preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, "
	                    "2 Preemption is not helpful for scheduling.");
	pod_info_free(p);
	free_all(&c);
}

static void no_nodes(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct node_cache c = { 0 };
	struct pod_info *p = pod(POD("p", "1", ""));
	struct placement to = schedule_pod(NULL, a, &c, p, NULL, 0);
	assert_string_equal(arena_cstr(a, to.message), "no nodes available to schedule pods");
	pod_info_free(p);
	node_cache_free(&c);
}

static void the_emptier_node_wins(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct node_cache c = { 0 };
	add_plain_node(&c, "full", "4");
	add_plain_node(&c, "free", "4");
	place(&c, POD("x", "2", ""), "full");
	struct pod_info *p = pod(POD("p", "500m", ""));
	for (int i = 0; i < 20; i++) {
		struct placement to = schedule_pod(NULL, a, &c, p, NULL, 0);
		assert_non_null(to.node);
		assert_true(str_eqc(to.node->name, "free"));
	}
	pod_info_free(p);
	free_all(&c);
}

static void host_ports_collide(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct node_cache c = { 0 };
	static const char json[] = "{\"metadata\":{\"namespace\":\"d\",\"name\":\"h\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"ports\":[{\"containerPort\":80,\"hostPort\":80}]}]}}";
	add_plain_node(&c, "a", "1");
	place(&c, json, "a");
	struct pod_info *p = pod(json);
	struct placement to = schedule_pod(NULL, a, &c, p, NULL, 0);
	assert_null(to.node);
	assert_true(str_has_prefix(to.message, S("0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.")));
	pod_info_free(p);
	free_all(&c);
}

static void spreads_by_hard_constraint(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct node_cache c = { 0 };
	static const char json[] =
		"{\"metadata\":{\"namespace\":\"d\",\"name\":\"s\",\"labels\":{\"app\":\"s\"}},\"spec\":{\"containers\":[{\"name\":\"c\"}],\"topologySpreadConstraints\":[{\"maxSkew\":1,"
		"\"topologyKey\":\"kubernetes.io/hostname\",\"whenUnsatisfiable\":\"DoNotSchedule\",\"labelSelector\":{\"matchLabels\":{\"app\":\"s\"}}}]}}";
	add_plain_node(&c, "a", "1");
	add_plain_node(&c, "b", "1");
	place(&c, json, "a");
	struct pod_info *p = pod(json);
	for (int i = 0; i < 10; i++) {
		struct placement to = schedule_pod(NULL, a, &c, p, NULL, 0);
		assert_non_null(to.node);
		assert_true(str_eqc(to.node->name, "b"));
	}
	pod_info_free(p);
	free_all(&c);
}

static void preempts_the_least_important(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct node_cache c = { 0 };
	add_plain_node(&c, "a", "1");
	add_plain_node(&c, "b", "1");
	place(&c, POD("low", "1", "\"priority\":1,"), "a");
	place(&c, POD("mid", "1", "\"priority\":5,"), "b");
	struct pod_info *p = pod(POD("high", "1", "\"priority\":10,"));
	struct placement to = schedule_pod(NULL, a, &c, p, NULL, 0);
	assert_null(to.node);
	assert_non_null(to.nominated);
	assert_true(str_eqc(to.nominated->name, "a"));
	assert_int_equal(to.victims.n, 1);
	assert_true(str_eqc(to.victims.v[0]->key, "d/low"));
	assert_int_equal(to.nominated->requested.cpu, 1000); // everybody is back in place
	struct pod_info *never = pod(POD("n", "1", "\"priority\":10,\"preemptionPolicy\":\"Never\","));
	to = schedule_pod(NULL, a, &c, never, NULL, 0);
	assert_null(to.nominated);
	assert_true(str_has_suffix(to.message, S("preemption: not eligible due to preemptionPolicy=Never.")));
	pod_info_free(p);
	pod_info_free(never);
	free_all(&c);
}

static void refuses_what_it_does_not_know(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct node_cache c = { 0 };
	add_plain_node(&c, "a", "1");
	struct pod_info *p = pod(POD("p", "1", "\"volumes\":[{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"x\"}}],"));
	struct placement to = schedule_pod(NULL, a, &c, p, NULL, 0);
	assert_null(to.node);
	assert_true(str_contains(to.message, S("persistent volume claims are not supported")));
	pod_info_free(p);
	node_cache_free(&c);
}

static void queue_orders_and_waits(void **state)
{
	struct queue q;
	queue_init(&q);
	struct pod_info *first = pod(POD("a", "1", "")), *urgent = pod(POD("b", "1", "\"priority\":7,"));
	int64_t wait;
	queue_add(&q, first, 10);
	queue_add(&q, urgent, 20);
	assert_ptr_equal(queue_pop(&q, 30, &wait), urgent);
	assert_ptr_equal(queue_pop(&q, 30, &wait), first);
	assert_null(queue_pop(&q, 30, &wait));
	assert_int_equal(wait, -1);

	first->rejected_by = 1u << 6; // NodeResourcesFit
	assert_string_equal(plugins[6]->name, "NodeResourcesFit");
	queue_put_back(&q, first, true, 100);
	assert_int_equal(first->place, POD_UNSCHEDULABLE);
	assert_false(queue_move(&q, EV_NODE_TAINT, 200)); // does not help
	assert_true(queue_move(&q, EV_POD_DELETE, 200));
	assert_int_equal(first->place, POD_BACKOFF); // it has not waited its second yet
	assert_null(queue_pop(&q, 300, &wait));
	assert_int_equal(wait, 100 + NS_PER_SEC);
	assert_ptr_equal(queue_pop(&q, 100 + NS_PER_SEC, &wait), first);
	assert_int_equal(first->attempts, 2);
	queue_put_back(&q, first, false, 0);
	assert_int_equal(first->backoff_until_ns, 2 * NS_PER_SEC); // doubled
	queue_remove(&q, first);
	assert_null(queue_pop(&q, 100 * NS_PER_SEC, &wait));
	pod_info_free(first);
	pod_info_free(urgent);
	queue_free(&q);
}

static void cache_counts(void **state)
{
	struct node_cache c = { 0 };
	add_plain_node(&c, "a", "2");
	struct pod_info *p = pod(POD("p", "300m", ""));
	node_cache_place(&c, p, S("a"));
	struct node_info *n = map_get(&c.nodes, S("a"));
	assert_int_equal(n->requested.cpu, 300);
	assert_int_equal(n->score_memory, 200 << 20);
	add_plain_node(&c, "a", "3"); // changes
	assert_int_equal(n->requested.cpu, 300);
	assert_int_equal(n->allocatable.cpu, 3000);
	node_cache_remove(&c, S("a"));
	assert_int_equal(c.list.n, 1); // the pod still stands there
	node_cache_unplace(&c, p);
	assert_int_equal(c.list.n, 0);
	pod_info_free(p);
	node_cache_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_why_nothing_fits), cmocka_unit_test(no_nodes), cmocka_unit_test(the_emptier_node_wins),
		cmocka_unit_test(host_ports_collide), cmocka_unit_test(spreads_by_hard_constraint), cmocka_unit_test(preempts_the_least_important),
		cmocka_unit_test(refuses_what_it_does_not_know), cmocka_unit_test(queue_orders_and_waits), cmocka_unit_test(cache_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
