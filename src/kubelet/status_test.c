#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "kubelet/status.h"

struct fixture {
	struct arena *a;
	struct core_v1_Pod pod;
	struct rt_pod rt;
	struct status_input in;
	str fail_reason, fail_message;
};

static bool failure(void *ctx, str container, str *reason, str *message)
{
	struct fixture *f = ctx;
	*reason = f->fail_reason;
	*message = f->fail_message;
	return f->fail_reason.n > 0;
}

static int setup(void **state)
{
	struct arena *a = arena_new(0);
	struct fixture *f = ARENA_NEW(a, struct fixture);
	f->a = a;
	f->pod.metadata.name = S("web");
	f->pod.metadata.generation = 3;
	f->pod.spec.restartPolicy = S("Always");
	struct core_v1_Container *c = LIST_ADD(a, &f->pod.spec.containers);
	c->name = S("nginx");
	c->image = S("nginx:1");
	f->in = (struct status_input){ .pod = &f->pod, .old = &f->pod.status, .rt = &f->rt, .failure = failure, .failure_ctx = f,
	                               .runtime_name = S("coracle"), .now_ns = 1000 * NS_PER_SEC };
	*LIST_ADD(a, &f->in.host_ips) = S("192.0.2.1");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	arena_free(((struct fixture *)*state)->a);
	return 0;
}

static struct rt_container *container(struct fixture *f, enum rt_state state, int code)
{
	if (!f->rt.sandboxes.n) {
		struct rt_sandbox *s = LIST_ADD(f->a, &f->rt.sandboxes);
		*s = (struct rt_sandbox){ .id = S("sb"), .ready = true };
		*LIST_ADD(f->a, &s->ips) = S("10.0.0.9");
	}
	struct rt_container *c = LIST_ADD(f->a, &f->rt.containers);
	*c = (struct rt_container){ .id = S("abc"), .name = S("nginx"), .sandbox_id = S("sb"), .state = state, .exit_code = code,
	                            .image = S("nginx:1"), .started_at = 900 * NS_PER_SEC, .finished_at = 950 * NS_PER_SEC };
	return c;
}

static const struct core_v1_PodCondition *condition(const struct core_v1_PodStatus *s, const char *type)
{
	for (size_t i = 0; i < s->conditions.n; i++)
		if (str_eqc(s->conditions.v[i].type, type))
			return &s->conditions.v[i];
	fail_msg("no condition %s", type);
	return NULL;
}

static void pending_while_nothing_is_there(void **state)
{
	struct fixture *f = *state;
	struct core_v1_PodStatus *s = status_make(f->a, &f->in);
	assert_true(str_eqc(s->phase, "Pending"));
	assert_true(str_eqc(s->containerStatuses.v[0].state.waiting->reason, "ContainerCreating"));
	assert_true(str_eqc(condition(s, "PodReadyToStartContainers")->status, "False"));
	assert_true(str_eqc(condition(s, "Ready")->message, "containers with unready status: [nginx]"));
	assert_true(str_eqc(condition(s, "Ready")->reason, "ContainersNotReady"));
	assert_int_equal(condition(s, "Ready")->observedGeneration, 3);
	assert_true(str_eqc(condition(s, "PodScheduled")->status, "True"));
	assert_true(str_eqc(s->hostIP, "192.0.2.1"));
	assert_true(str_eqc(s->qosClass, "BestEffort"));
}

static void running_and_ready(void **state)
{
	struct fixture *f = *state;
	container(f, RT_RUNNING, 0);
	struct core_v1_PodStatus *s = status_make(f->a, &f->in);
	assert_true(str_eqc(s->phase, "Running"));
	assert_true(s->containerStatuses.v[0].ready);
	assert_true(*s->containerStatuses.v[0].started);
	assert_true(str_eqc(s->containerStatuses.v[0].containerID, "coracle://abc"));
	assert_int_equal(s->containerStatuses.v[0].state.running->startedAt.sec, 900);
	assert_true(str_eqc(condition(s, "Ready")->status, "True"));
	assert_true(str_eqc(s->podIP, "10.0.0.9"));
}

static void readiness_probe_decides(void **state)
{
	struct fixture *f = *state;
	struct core_v1_Probe p = { 0 };
	f->pod.spec.containers.v[0].readinessProbe = &p;
	container(f, RT_RUNNING, 0);
	struct core_v1_PodStatus *s = status_make(f->a, &f->in);
	assert_false(s->containerStatuses.v[0].ready);
	assert_true(*s->containerStatuses.v[0].started);
}

static void crash_loop(void **state)
{
	struct fixture *f = *state;
	container(f, RT_EXITED, 7)->reason = S("Error");
	f->fail_reason = S("CrashLoopBackOff");
	f->fail_message = S("back-off 10s restarting failed container=nginx pod=web");
	struct core_v1_PodStatus *s = status_make(f->a, &f->in);
	assert_true(str_eqc(s->phase, "Running"));
	assert_true(str_eqc(s->containerStatuses.v[0].state.waiting->reason, "CrashLoopBackOff"));
	assert_int_equal(s->containerStatuses.v[0].lastState.terminated->exitCode, 7);
	assert_true(str_eqc(s->containerStatuses.v[0].lastState.terminated->reason, "Error"));
}

static void image_failure_keeps_the_pod_pending(void **state)
{
	struct fixture *f = *state;
	f->fail_reason = S("ImagePullBackOff");
	struct core_v1_PodStatus *s = status_make(f->a, &f->in);
	assert_true(str_eqc(s->phase, "Pending"));
	assert_true(str_eqc(s->containerStatuses.v[0].state.waiting->reason, "ImagePullBackOff"));
}

static void ended_pods(void **state)
{
	struct fixture *f = *state;
	f->pod.spec.restartPolicy = S("Never");
	struct rt_container *c = container(f, RT_EXITED, 0);
	struct core_v1_PodStatus *s = status_make(f->a, &f->in);
	assert_true(str_eqc(s->phase, "Succeeded"));
	assert_true(str_eqc(condition(s, "Ready")->reason, "PodCompleted"));
	assert_true(str_eqc(condition(s, "Initialized")->reason, "PodCompleted"));
	c->exit_code = 1;
	s = status_make(f->a, &f->in);
	assert_true(str_eqc(s->phase, "Failed"));
	assert_true(str_eqc(condition(s, "ContainersReady")->reason, "PodFailed"));
}

static void deleted_while_running_ends_terminal(void **state)
{
	struct fixture *f = *state;
	struct api_time t = { .sec = 1, .set = true };
	f->pod.metadata.deletionTimestamp = &t;
	container(f, RT_EXITED, 0);
	f->in.terminal = true;
	assert_true(str_eqc(status_make(f->a, &f->in)->phase, "Succeeded"));
	f->rt.containers.v[0].exit_code = 137;
	assert_true(str_eqc(status_make(f->a, &f->in)->phase, "Failed"));
}

static void a_second_container_has_the_first_as_last_state(void **state)
{
	struct fixture *f = *state;
	struct rt_container *now = container(f, RT_RUNNING, 0);
	now->id = S("new");
	now->restart_count = 1;
	container(f, RT_EXITED, 2)->id = S("old");
	struct core_v1_PodStatus *s = status_make(f->a, &f->in);
	assert_int_equal(s->containerStatuses.v[0].restartCount, 1);
	assert_true(str_eqc(s->containerStatuses.v[0].lastState.terminated->containerID, "coracle://old"));
}

static void lost_container_counts_as_ended(void **state)
{
	struct fixture *f = *state;
	struct core_v1_PodStatus old = { .phase = S("Running") };
	struct core_v1_ContainerStatus was = { .name = S("nginx"), .containerID = S("coracle://x") };
	was.state.running = ARENA_NEW(f->a, struct core_v1_ContainerStateRunning);
	*LIST_ADD(f->a, &old.containerStatuses) = was;
	f->in.old = &old;
	struct core_v1_PodStatus *s = status_make(f->a, &f->in);
	assert_true(str_eqc(s->containerStatuses.v[0].lastState.terminated->reason, "ContainerStatusUnknown"));
	assert_int_equal(s->containerStatuses.v[0].restartCount, 1);
}

static void times_stay_as_long_as_the_condition_does(void **state)
{
	struct fixture *f = *state;
	container(f, RT_RUNNING, 0);
	struct core_v1_PodStatus *first = status_make(f->a, &f->in), empty = { 0 };
	status_settle(f->a, &f->pod, &empty, first, 1000 * NS_PER_SEC);
	assert_int_equal(first->startTime->sec, 1000);
	struct core_v1_PodStatus *again = status_make(f->a, &f->in);
	status_settle(f->a, &f->pod, first, again, 2000 * NS_PER_SEC);
	assert_int_equal(again->startTime->sec, 1000);
	assert_int_equal(condition(again, "Ready")->lastTransitionTime.sec, 1000);
	assert_true(schema_equal(core_v1_PodStatus_desc, first, again));
}

static void phase_is_held_back_while_containers_may_run(void **state)
{
	struct fixture *f = *state;
	struct core_v1_PodStatus api = { .phase = S("Running") }, mine = { .phase = S("Failed"), .reason = S("DeadlineExceeded") };
	*LIST_ADD(f->a, &api.conditions) = (struct core_v1_PodCondition){ .type = S("example.com/gate"), .status = S("True") };
	struct core_v1_PodStatus *s = status_merge(f->a, &api, &mine, true);
	assert_true(str_eqc(s->phase, "Running"));
	assert_int_equal(s->conditions.n, 1);
	s = status_merge(f->a, &api, &mine, false);
	assert_true(str_eqc(s->phase, "Failed"));
	assert_true(str_eqc(s->reason, "DeadlineExceeded"));
}

static void patch_has_only_what_changed(void **state)
{
	struct fixture *f = *state;
	struct core_v1_PodStatus from = { .phase = S("Pending"), .hostIP = S("192.0.2.1") }, to = from;
	assert_int_equal(status_patch(f->a, S("u"), &from, &to).n, 0);
	to.phase = S("Running");
	to.hostIP = S("");
	*LIST_ADD(f->a, &to.conditions) = (struct core_v1_PodCondition){ .type = S("Ready"), .status = S("True") };
	str p = status_patch(f->a, S("u"), &from, &to);
	struct error err = { 0 };
	struct value *v = json_parse(f->a, p, NULL, &err);
	assert_non_null(v);
	assert_true(str_eqc(value_str(value_path(v, S("metadata"), S("uid"))), "u"));
	assert_true(str_eqc(value_str(value_path(v, S("status"), S("phase"))), "Running"));
	assert_int_equal(value_path(v, S("status"), S("hostIP"))->kind, V_NULL);
	assert_int_equal(value_path(v, S("status"), S("conditions"))->a.n, 1);
	struct core_v1_PodStatus back = to;
	*LIST_ADD(f->a, &to.conditions) = (struct core_v1_PodCondition){ .type = S("Gone"), .status = S("True") };
	p = status_patch(f->a, S("u"), &to, &back);
	assert_true(str_contains(p, S("\"$patch\":\"delete\"")));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(pending_while_nothing_is_there), T(running_and_ready), T(readiness_probe_decides), T(crash_loop),
		T(image_failure_keeps_the_pod_pending), T(ended_pods), T(deleted_while_running_ends_terminal),
		T(a_second_container_has_the_first_as_last_state), T(lost_container_counts_as_ended),
		T(times_stay_as_long_as_the_condition_does), T(phase_is_held_back_while_containers_may_run), T(patch_has_only_what_changed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
