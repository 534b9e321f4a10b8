// Layers as an attacker, and as an image builder, writes them. Needs root (skipped without): the work is done by the confined
// process, which is this program again.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/buf.h"
#include "base/io.h"
#include "runtime/digest.h"
#include "runtime/image.h"
#include "runtime/import.h"
#include "runtime/runtime.h"
#include "runtime/unpack.h"

struct fixture {
	struct arena *a;
	char dir[64];
	int n;
};

// One ustar entry.
static void entry(struct buf *b, const char *path, char type, mode_t mode, const char *link, const char *data)
{
	char h[512] = { 0 };
	size_t n = data ? strlen(data) : 0;
	snprintf(h, 100, "%s", path);
	snprintf(h + 100, 8, "%07o", mode);
	snprintf(h + 108, 8, "%07o", 0);
	snprintf(h + 116, 8, "%07o", 0);
	snprintf(h + 124, 12, "%011o", (unsigned)n);
	snprintf(h + 136, 12, "%011o", 1000000000);
	memset(h + 148, ' ', 8);
	h[156] = type;
	if (link)
		snprintf(h + 157, 100, "%s", link);
	memcpy(h + 257, "ustar\00000", 8);
	unsigned sum = 0;
	for (size_t i = 0; i < sizeof(h); i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", sum);
	buf_add(b, str_n(h, sizeof(h)));
	if (n) {
		buf_add(b, str_c(data));
		static const char zeros[512];
		buf_add(b, str_n(zeros, (512 - n % 512) % 512));
	}
}

static void end(struct buf *b)
{
	static const char zeros[1024];
	buf_add(b, str_n(zeros, sizeof(zeros)));
}

static int set_up(void **state)
{
	static struct fixture f;
	f = (struct fixture){ .a = arena_new(0), .dir = "/var/tmp/coracle-unpack.XXXXXX" };
	*state = &f;
	return mkdtemp(f.dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	io_remove_tree(f->dir, &err);
	arena_free(f->a);
	return 0;
}

// Unpacks over the layers; the directory, or NULL.
static const char *unpack(struct fixture *f, struct buf *tar, const char *const *lower, size_t nlower, struct error *err)
{
	const char *work = arena_printf(f->a, "%s/work%d", f->dir, ++f->n).p, *blob = arena_printf(f->a, "%s/blob%d", f->dir, f->n).p;
	end(tar);
	assert_int_equal(mkdir(work, 0755), 0);
	assert_true(io_write_file(blob, buf_str(tar), 0600, err));
	bool ok = unpack_layer(f->a, blob, work, digest_of(f->a, buf_str(tar)), lower, nlower, err);
	buf_free(tar);
	*tar = (struct buf){ 0 };
	return ok ? arena_printf(f->a, "%s/diff", work).p : NULL;
}

static const char *at(struct fixture *f, const char *dir, const char *name)
{
	return arena_printf(f->a, "%s/%s", dir, name).p;
}

#define NEED_ROOT() if (geteuid() != 0) skip()

static void plain(void **state)
{
	NEED_ROOT();
	struct fixture *f = *state;
	struct error err = { 0 };
	struct buf t = { 0 };
	entry(&t, "./", '5', 0755, NULL, NULL);
	entry(&t, "bin/tool", '0', 04755, NULL, "tool");
	entry(&t, "bin/same", '1', 0755, "bin/tool", NULL);
	entry(&t, "link", '2', 0777, "/etc/passwd", NULL);
	entry(&t, "tmp/", '5', 01777, NULL, NULL);
	const char *d = unpack(f, &t, NULL, 0, &err);
	if (!d)
		fail_msg("%s", err.text);
	struct stat st, other;
	assert_int_equal(lstat(at(f, d, "bin/tool"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 04755);
	assert_int_equal(st.st_mtime, 1000000000);
	assert_int_equal(lstat(at(f, d, "bin/same"), &other), 0);
	assert_int_equal(st.st_ino, other.st_ino);
	assert_int_equal(lstat(at(f, d, "tmp"), &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 01777);
	char target[64] = "";
	assert_int_equal(readlink(at(f, d, "link"), target, sizeof(target) - 1), 11);
}

static void attacks(void **state)
{
	NEED_ROOT();
	struct fixture *f = *state;
	static const char *const names[] = { "../evil", "a/../../evil", "a/../evil" };
	struct stat st;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct error err = { 0 };
		struct buf t = { 0 };
		entry(&t, names[i], '0', 0644, NULL, "evil");
		assert_null(unpack(f, &t, NULL, 0, &err));
		assert_non_null(strstr(err.text, "invalid path"));
	}
	// Through links that lead out: they lead around inside instead.
	char outside[64];
	snprintf(outside, sizeof(outside), "%s/outside", f->dir);
	assert_int_equal(mkdir(outside, 0755), 0);
	struct error err = { 0 };
	struct buf t = { 0 };
	entry(&t, "d", '2', 0777, outside, NULL);
	entry(&t, "d/evil", '0', 0644, NULL, "evil");
	unpack(f, &t, NULL, 0, &err);
	assert_int_not_equal(lstat(at(f, outside, "evil"), &st), 0);
	entry(&t, "d", '2', 0777, "../../../../../../../../../tmp", NULL);
	entry(&t, "tmp/", '5', 0755, NULL, NULL);
	entry(&t, "d/coracle-evil", '0', 0644, NULL, "evil");
	const char *d = unpack(f, &t, NULL, 0, &err);
	assert_non_null(d);
	assert_int_equal(lstat(at(f, d, "tmp/coracle-evil"), &st), 0);
	assert_int_not_equal(lstat("/tmp/coracle-evil", &st), 0);
	// A hard link to what is outside, a device that would be a whiteout, a whiteout of the parent directory.
	static const struct { const char *path; char type; const char *link; } bad[] = {
		{ "l", '1', "../../../etc/passwd" }, { "l", '1', "/etc/shadow" }, { "w", '3', NULL }, { ".wh...", '0', NULL }, { ".wh.", '0', NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		entry(&t, bad[i].path, bad[i].type, 0644, bad[i].link, NULL);
		assert_null(unpack(f, &t, NULL, 0, &err));
	}
	// Bytes that are not those of the image.
	entry(&t, "a", '0', 0644, NULL, "x");
	end(&t);
	const char *blob = arena_printf(f->a, "%s/other", f->dir).p, *work = arena_printf(f->a, "%s/otherwork", f->dir).p;
	assert_true(io_write_file(blob, buf_str(&t), 0600, &err));
	assert_int_equal(mkdir(work, 0755), 0);
	assert_false(unpack_layer(f->a, blob, work, digest_of(f->a, S("something else")), NULL, 0, &err));
	assert_non_null(strstr(err.text, "diff ID"));
	buf_free(&t);
}

static void whiteouts(void **state)
{
	NEED_ROOT();
	struct fixture *f = *state;
	struct error err = { 0 };
	struct buf t = { 0 };
	entry(&t, "a/gone", '0', 0644, NULL, "1");
	entry(&t, "a/kept", '0', 0644, NULL, "2");
	entry(&t, "o/old", '0', 0644, NULL, "3");
	entry(&t, "dir/x/y", '0', 0644, NULL, "4");
	entry(&t, "private/", '5', 0700, NULL, NULL);
	entry(&t, "lib", '2', 0777, "usr/lib", NULL);
	entry(&t, "usr/lib/", '5', 0755, NULL, NULL);
	const char *low = unpack(f, &t, NULL, 0, &err);
	assert_non_null(low);
	entry(&t, "a/.wh.gone", '0', 0644, NULL, NULL);
	entry(&t, "o/new", '0', 0644, NULL, "5");
	entry(&t, "o/.wh..wh..opq", '0', 0644, NULL, NULL); // after what it must not hide
	entry(&t, ".wh.dir", '0', 0644, NULL, NULL);
	entry(&t, ".wh..wh.plnk", '0', 0644, NULL, NULL);
	entry(&t, "private/inside", '0', 0644, NULL, "6");
	entry(&t, "lib/so", '0', 0644, NULL, "7");
	entry(&t, "a/again", '1', 0644, "a/kept", NULL);
	const char *up = unpack(f, &t, &low, 1, &err);
	if (!up)
		fail_msg("%s", err.text);
	struct stat st;
	assert_int_equal(lstat(at(f, up, "a/gone"), &st), 0);
	assert_true(S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0));
	assert_int_equal(lstat(at(f, up, "dir"), &st), 0);
	assert_true(S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0));
	assert_int_equal(lstat(at(f, up, "o/old"), &st), 0);
	assert_true(S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0));
	assert_int_equal(lstat(at(f, up, "o/new"), &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(lstat(at(f, up, "private"), &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0700); // a parent that only the layer below names keeps its mode
	assert_int_equal(lstat(at(f, up, "usr/lib/so"), &st), 0);
	assert_int_equal(lstat(at(f, up, "a/again"), &st), 0);
	assert_int_equal(st.st_size, 1);
	assert_int_not_equal(lstat(at(f, up, "a/.wh.gone"), &st), 0);
	assert_int_not_equal(lstat(at(f, up, ".wh..wh.plnk"), &st), 0);
	// A file where a directory was, and a directory that comes back empty.
	entry(&t, ".wh.a", '0', 0644, NULL, NULL);
	entry(&t, "a/", '5', 0755, NULL, NULL);
	entry(&t, "o", '0', 0644, NULL, "file");
	const char *both[] = { up, low };
	const char *top = unpack(f, &t, both, 2, &err);
	assert_non_null(top);
	char opaque[8] = "";
	assert_int_equal(lgetxattr(at(f, top, "a"), "trusted.overlay.opaque", opaque, sizeof(opaque)), 1);
	assert_int_equal(opaque[0], 'y');
	assert_int_equal(lstat(at(f, top, "o"), &st), 0);
	assert_true(S_ISREG(st.st_mode));
}

static void damaged(void **state)
{
	NEED_ROOT();
	struct fixture *f = *state;
	static const char *const texts[] = { "not an archive at all", "\x1f\x8b\x08 broken", "\x28\xb5\x2f\xfd broken" };
	struct image_store s;
	struct error err = { 0 };
	assert_true(image_store_open(&s, arena_printf(f->a, "%s/images", f->dir).p, &err));
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		const char *path = arena_printf(f->a, "%s/bad%zu", f->dir, i).p;
		struct imported_list l = { 0 };
		assert_true(io_write_file(path, str_c(texts[i]), 0600, &err));
		assert_false(image_import(&s, f->a, path, (str){ 0 }, &l, &err));
		assert_int_equal(l.n, 0);
	}
	// Nothing of it stays.
	assert_true(image_gc(&s, f->a, NULL, NULL, &err));
	_cleanup_closedir_ DIR *d = opendir(arena_printf(f->a, "%s/images/blobs", f->dir).p);
	int n = 0;
	while (readdir(d))
		n++;
	assert_int_equal(n, 2);
}

static void blobs(void **state)
{
	struct fixture *f = *state;
	struct image_store s;
	struct error err = { 0 };
	assert_true(image_store_open(&s, arena_printf(f->a, "%s/images", f->dir).p, &err));
	str digest = digest_of(f->a, S("hello world")), got;
	struct blob_writer w;
	bool have;
	assert_true(blob_begin(&s, f->a, digest, &w, &have, &err));
	assert_true(blob_write(&w, "hello", 5, &err));
	blob_abort(&w, true);
	// Goes on where it was cut.
	assert_true(blob_begin(&s, f->a, digest, &w, &have, &err));
	assert_int_equal(w.n, 5);
	assert_true(blob_write(&w, " world", 6, &err));
	assert_true(blob_commit(&s, f->a, &w, digest, 11, &got, &err));
	assert_true(blob_exists(&s, f->a, digest));
	// Other bytes than promised are not kept, not even as a beginning.
	digest = digest_of(f->a, S("something"));
	assert_true(blob_begin(&s, f->a, digest, &w, &have, &err));
	assert_true(blob_write(&w, "anything", 8, &err));
	assert_false(blob_commit(&s, f->a, &w, digest, -1, &got, &err));
	assert_true(blob_begin(&s, f->a, digest, &w, &have, &err));
	assert_int_equal(w.n, 0);
	blob_abort(&w, false);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "runtime") == 0)
		return runtime_main(argc - 1, argv + 1);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(plain, set_up, tear_down), cmocka_unit_test_setup_teardown(attacks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(whiteouts, set_up, tear_down), cmocka_unit_test_setup_teardown(damaged, set_up, tear_down),
		cmocka_unit_test_setup_teardown(blobs, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
