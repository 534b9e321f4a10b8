#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kubelet/actions.h"

struct fixture {
	struct arena *a;
	struct core_v1_Pod pod;
	struct rt_pod rt;
	struct pod_actions out;
};

static int setup(void **state)
{
	struct arena *a = arena_new(0);
	struct fixture *f = ARENA_NEW(a, struct fixture);
	f->a = a;
	f->pod.spec.restartPolicy = S("Always");
	f->pod.metadata.name = S("p");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	arena_free(((struct fixture *)*state)->a);
	return 0;
}

static struct core_v1_Container *add(struct fixture *f, const char *name, bool init)
{
	struct core_v1_Container *c = LIST_ADD(f->a, init ? &f->pod.spec.initContainers : &f->pod.spec.containers);
	c->name = str_c(name);
	c->image = S("busybox");
	return c;
}

static void sandbox(struct fixture *f, bool ready)
{
	struct rt_sandbox *s = LIST_ADD(f->a, &f->rt.sandboxes);
	*s = (struct rt_sandbox){ .id = S("sb"), .ready = ready };
	*LIST_ADD(f->a, &s->ips) = S("10.0.0.2");
}

static struct rt_container *runs(struct fixture *f, const struct core_v1_Container *c, enum rt_state state, int code)
{
	struct rt_container *r = LIST_ADD(f->a, &f->rt.containers);
	*r = (struct rt_container){ .id = c->name, .name = c->name, .sandbox_id = S("sb"), .state = state, .exit_code = code,
	                            .hash = container_hash(f->a, c) };
	return r;
}

static void compute(struct fixture *f)
{
	pod_actions_compute(f->a, &f->pod, &f->rt, NULL, &f->out);
}

static void new_pod_gets_a_sandbox_and_its_containers(void **state)
{
	struct fixture *f = *state;
	add(f, "a", false);
	add(f, "b", false);
	compute(f);
	assert_true(f->out.create_sandbox);
	assert_int_equal(f->out.attempt, 0);
	assert_int_equal(f->out.start.n, 2);
}

static void init_containers_come_first_one_by_one(void **state)
{
	struct fixture *f = *state;
	struct core_v1_Container *i0 = add(f, "i0", true);
	add(f, "i1", true);
	add(f, "a", false);
	compute(f);
	assert_int_equal(f->out.init_start.n, 1);
	assert_int_equal(f->out.init_start.v[0], 0);
	assert_int_equal(f->out.start.n, 0);
	sandbox(f, true);
	runs(f, i0, RT_RUNNING, 0);
	compute(f);
	assert_false(f->out.create_sandbox);
	assert_int_equal(f->out.init_start.n, 0);
	assert_int_equal(f->out.start.n, 0);
	f->rt.containers.v[0].state = RT_EXITED;
	compute(f);
	assert_int_equal(f->out.init_start.n, 1);
	assert_int_equal(f->out.init_start.v[0], 1);
}

static void all_init_containers_done_starts_the_rest(void **state)
{
	struct fixture *f = *state;
	struct core_v1_Container *i = add(f, "i", true);
	add(f, "a", false);
	sandbox(f, true);
	runs(f, i, RT_EXITED, 0);
	compute(f);
	assert_int_equal(f->out.init_start.n, 0);
	assert_int_equal(f->out.start.n, 1);
}

static void failed_init_container_ends_a_pod_that_never_restarts(void **state)
{
	struct fixture *f = *state;
	struct core_v1_Container *i = add(f, "i", true);
	add(f, "a", false);
	sandbox(f, true);
	runs(f, i, RT_EXITED, 3);
	f->pod.spec.restartPolicy = S("Never");
	compute(f);
	assert_true(f->out.kill_pod);
	f->pod.spec.restartPolicy = S("OnFailure");
	compute(f);
	assert_false(f->out.kill_pod);
	assert_int_equal(f->out.init_start.n, 1);
}

static void sidecar_lets_the_rest_start_and_is_kept_running(void **state)
{
	struct fixture *f = *state;
	str always = S("Always");
	struct core_v1_Container *s = add(f, "side", true);
	s->restartPolicy = &always;
	struct core_v1_Container *a = add(f, "a", false);
	sandbox(f, true);
	struct rt_container *r = runs(f, s, RT_RUNNING, 0);
	compute(f);
	assert_int_equal(f->out.start.n, 1);
	assert_int_equal(f->out.init_start.n, 0);
	r->state = RT_EXITED;
	runs(f, a, RT_RUNNING, 0);
	compute(f);
	assert_int_equal(f->out.init_start.n, 1);
	assert_int_equal(f->out.start.n, 0);
}

static void restart_policies(void **state)
{
	struct fixture *f = *state;
	struct core_v1_Container *a = add(f, "a", false);
	sandbox(f, true);
	struct rt_container *r = runs(f, a, RT_EXITED, 0);
	compute(f);
	assert_int_equal(f->out.start.n, 1);
	f->pod.spec.restartPolicy = S("OnFailure");
	compute(f);
	assert_int_equal(f->out.start.n, 0);
	assert_true(f->out.kill_pod);
	r->exit_code = 1;
	compute(f);
	assert_int_equal(f->out.start.n, 1);
	f->pod.spec.restartPolicy = S("Never");
	compute(f);
	assert_int_equal(f->out.start.n, 0);
	assert_true(f->out.kill_pod);
}

static void container_rules_come_before_the_pods_policy(void **state)
{
	struct fixture *f = *state;
	str never = S("Never");
	int32_t codes[] = { 42 };
	struct core_v1_ContainerRestartRuleOnExitCodes on = { .operator = S("In"), .values = { codes, 1 } };
	struct core_v1_ContainerRestartRule rule = { .action = S("Restart"), .exitCodes = &on };
	struct core_v1_Container *a = add(f, "a", false);
	a->restartPolicy = &never;
	a->restartPolicyRules.v = &rule;
	a->restartPolicyRules.n = 1;
	assert_true(container_restarts(&f->pod, a, 42));
	assert_false(container_restarts(&f->pod, a, 1));
	on.operator = S("NotIn");
	assert_true(container_restarts(&f->pod, a, 1));
}

static void dead_sandbox_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct core_v1_Container *a = add(f, "a", false);
	sandbox(f, false);
	runs(f, a, RT_EXITED, 137);
	compute(f);
	assert_true(f->out.kill_pod);
	assert_true(f->out.create_sandbox);
	assert_int_equal(f->out.attempt, 1);
	f->pod.spec.restartPolicy = S("Never");
	compute(f);
	assert_false(f->out.create_sandbox);
}

static enum probe_result dead(void *ctx, enum probe_kind kind, str id)
{
	return kind == PROBE_LIVENESS ? PROBE_FAILURE : PROBE_SUCCESS;
}

static void failed_liveness_kills_and_restarts(void **state)
{
	struct fixture *f = *state;
	struct probe_view v = { dead, NULL };
	struct core_v1_Container *a = add(f, "a", false);
	sandbox(f, true);
	runs(f, a, RT_RUNNING, 0);
	pod_actions_compute(f->a, &f->pod, &f->rt, &v, &f->out);
	assert_int_equal(f->out.kill.n, 1);
	assert_int_equal(f->out.kill.v[0].reason, KILL_LIVENESS_PROBE);
	assert_true(str_eqc(f->out.kill.v[0].message, "Container a failed liveness probe, will be restarted"));
	assert_int_equal(f->out.start.n, 1);
}

static void changed_image_restarts_whatever_the_policy(void **state)
{
	struct fixture *f = *state;
	struct core_v1_Container *a = add(f, "a", false);
	sandbox(f, true);
	runs(f, a, RT_RUNNING, 0);
	f->pod.spec.restartPolicy = S("Never");
	a->image = S("busybox:2");
	compute(f);
	assert_int_equal(f->out.kill.n, 1);
	assert_int_equal(f->out.start.n, 1);
}

static void deleted_pod_starts_nothing(void **state)
{
	struct fixture *f = *state;
	struct api_time t = { .sec = 1, .set = true };
	struct core_v1_Container *a = add(f, "a", false);
	sandbox(f, true);
	runs(f, a, RT_EXITED, 0);
	f->pod.metadata.deletionTimestamp = &t;
	compute(f);
	assert_int_equal(f->out.start.n, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(new_pod_gets_a_sandbox_and_its_containers), T(init_containers_come_first_one_by_one),
		T(all_init_containers_done_starts_the_rest),  T(failed_init_container_ends_a_pod_that_never_restarts),
		T(sidecar_lets_the_rest_start_and_is_kept_running), T(restart_policies),
		T(container_rules_come_before_the_pods_policy), T(dead_sandbox_is_replaced),
		T(failed_liveness_kills_and_restarts), T(changed_image_restarts_whatever_the_policy), T(deleted_pod_starts_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
