#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/test.h"

static int make_dir(void **state)
{
	char *dir = strdup("/tmp/coracle-io-XXXXXX");
	*state = dir;
	return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
	struct error err;
	bool ok = io_remove_tree(*state, &err) && !io_exists(*state);
	free(*state);
	return ok ? 0 : -1;
}

static const char *in(struct arena *a, void **state, const char *name)
{
	return arena_printf(a, "%s/%s", (char *)*state, name).p;
}

static void writes_and_reads(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	const char *path = in(a, state, "f");
	str text;
	struct stat st;
	assert_true(io_write_file(path, S("one"), 0640, &err));
	assert_true(io_write_file(path, S("two!"), 0600, &err));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(io_read_file(a, path, 4, &text, &err));
	assert_text(text, "two!");
	assert_false(io_read_file(a, path, 3, &text, &err));
	assert_int_equal(err.code, 413);
	assert_false(io_read_file(a, in(a, state, "none"), 10, &text, &err));
	assert_int_equal(err.code, 404);
	assert_int_equal(err.sys, ENOENT);
	assert_true(io_write_existing(path, S("TW"), &err));
	assert_true(io_read_file(a, path, 4, &text, &err));
	assert_text(text, "TWo!");
	assert_false(io_write_existing(in(a, state, "none"), S("x"), &err));
	assert_false(io_write_file(in(a, state, "no/dir"), S("x"), 0600, &err));
}

static void trees(void **state)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	assert_true(io_mkdirs(in(a, state, "t/u/v"), 0755, &err));
	assert_true(io_mkdirs(in(a, state, "t/u/v"), 0755, &err));
	assert_true(io_write_file(in(a, state, "keep"), S("k"), 0600, &err));
	assert_true(io_write_file(in(a, state, "t/u/f"), S("x"), 0600, &err));
	assert_int_equal(symlink(*state, in(a, state, "t/up")), 0); // must not be followed
	assert_true(io_remove_tree(in(a, state, "t"), &err));
	assert_false(io_exists(in(a, state, "t")));
	assert_true(io_exists(in(a, state, "keep")));
	assert_true(io_remove_tree(in(a, state, "t"), &err));
	assert_false(io_mkdirs(in(a, state, "keep/x"), 0755, &err));
}

static void flags(void **state)
{
	_cleanup_close_ int fd = open("/dev/null", O_RDONLY);
	assert_true(io_set_cloexec(fd, true));
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_true(io_set_cloexec(fd, false));
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	assert_true(io_set_nonblock(fd, true));
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	assert_false(io_set_cloexec(-1, true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(writes_and_reads, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(trees, make_dir, drop_dir),
		cmocka_unit_test(flags),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
