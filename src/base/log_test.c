#include "base/log.h"

#include <unistd.h>

#include "base/io.h"
#include "base/test.h"

static void writes_one_line_per_event(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	int pipes[2];
	assert_int_equal(pipe(pipes), 0);
	int saved = dup(2);
	dup2(pipes[1], 2);
	log_start("tester", LOG_INFO);
	log_debug("hidden");
	log_info("number %d", 7);
	log_error("bad");
	dup2(saved, 2);
	close(saved);
	close(pipes[1]);
	str out;
	assert_true(io_read_fd(a, pipes[0], 4096, &out, &err));
	close(pipes[0]);
	assert_false(log_enabled(LOG_DEBUG));
	assert_true(log_enabled(LOG_INFO));
	assert_true(str_contains(out, S("tester")));
	assert_true(str_contains(out, S("number 7\n")));
	assert_true(str_contains(out, S("bad\n")));
	assert_false(str_contains(out, S("hidden")));
	size_t lines = 0;
	for (size_t i = 0; i < out.n; i++)
		lines += out.p[i] == '\n';
	assert_int_equal(lines, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(writes_one_line_per_event) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
