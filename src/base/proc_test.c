#include "base/proc.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/test.h"

static void runs(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct proc_result r;
	const char *const cat[] = { "cat", NULL };
	assert_true(proc_run(a, cat, NULL, S("through"), 100, 5000, &r, &err));
	assert_int_equal(r.status, 0);
	assert_text(r.out, "through");
	const char *const sh[] = { "/bin/sh", "-c", "echo out; echo err >&2; echo $V; exit 3", NULL }, *const env[] = {
		"V=value", NULL
	};
	assert_true(proc_run(a, sh, env, S(""), 100, 5000, &r, &err));
	assert_int_equal(r.status, 3);
	assert_text(r.out, "out\nvalue\n");
	assert_text(r.err, "err\n");
	const char *const killed[] = { "/bin/sh", "-c", "kill -9 $$", NULL };
	assert_true(proc_run(a, killed, NULL, S(""), 100, 5000, &r, &err));
	assert_int_equal(r.status, 128 + 9);
}

static void fails_clearly(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct proc_result r;
	const char *const none[] = { "/no/such/program", NULL };
	assert_false(proc_run(a, none, NULL, S(""), 100, 0, &r, &err));
	assert_int_equal(err.sys, ENOENT);
	const char *const slow[] = { "sleep", "30", NULL };
	int64_t before = clock_mono(NULL);
	assert_false(proc_run(a, slow, NULL, S(""), 100, 100, &r, &err));
	assert_true(error_is(&err, "Timeout"));
	assert_true(clock_mono(NULL) - before < 5 * NS_PER_SEC);
	const char *const loud[] = { "/bin/sh", "-c", "while :; do echo yes; done", NULL };
	assert_false(proc_run(a, loud, NULL, S(""), 1000, 5000, &r, &err));
	assert_int_equal(err.code, 413);
}

// A child that does not read its input ends the write, not this process.
static void survives_a_closed_pipe(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct proc_result r;
	const char *const deaf[] = { "/bin/sh", "-c", "exec 0<&-; echo done", NULL };
	str much = str_n(arena_alloc(a, 1 << 20), 1 << 20);
	assert_true(proc_run(a, deaf, NULL, much, 100, 5000, &r, &err));
	assert_text(r.out, "done\n");
}

static void passes_descriptors(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	int pipes[2], status;
	assert_int_equal(pipe(pipes), 0);
	io_set_cloexec(pipes[0], true);
	io_set_cloexec(pipes[1], true);
	const char *script = arena_printf(a, "echo hello >&%d; pwd", pipes[1]).p;
	const char *const argv[] = { "/bin/bash", "-c", script, NULL };
	struct proc_opts o = { .argv = argv,
		               .dir = "/usr",
		               .in = -1,
		               .out = -1,
		               .err = -1,
		               .pass = &pipes[1],
		               .npass = 1,
		               .new_session = true };
	pid_t pid;
	assert_true(proc_start(&o, &pid, &err));
	assert_true(proc_wait(pid, &status, &err));
	close(pipes[1]);
	assert_int_equal(status, 0);
	str out;
	assert_true(io_read_fd(a, pipes[0], 100, &out, &err));
	close(pipes[0]);
	assert_text(out, "hello\n");
	assert_false(proc_wait(pid, &status, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs),
		cmocka_unit_test(fails_clearly),
		cmocka_unit_test(survives_a_closed_pipe),
		cmocka_unit_test(passes_descriptors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
