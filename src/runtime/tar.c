#include "runtime/tar.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>

#include "base/heap.h"
#include "runtime/digest.h"

bool archive_lib_load(struct archive_lib *l, struct error *err)
{
	*l = (struct archive_lib){ .handle = dlopen("libarchive.so.13", RTLD_NOW | RTLD_LOCAL) };
	if (!l->handle)
		return error_set(err, "libarchive: %s", dlerror());
#define X(f) \
	if (!(l->f = (__typeof__(&f))(uintptr_t)dlsym(l->handle, #f))) \
		return error_set(err, "libarchive has no %s", #f);
	ARCHIVE_FUNCTIONS(X)
#undef X
	return true;
}

// Two readers in a row: `raw` undoes the compression, `tar` reads what it gives; the digest is taken between them.
struct tar_stream {
	const struct archive_lib *l;
	struct archive *raw, *tar;
	struct digest *digest;
	bool empty; // no bytes at all: libarchive has no raw entry for it
	char block[64 * 1024];
};

static bool failed(const struct archive_lib *l, struct archive *a, struct error *err, const char *what)
{
	const char *why = l->archive_error_string(a);
	return error_api(err, 400, "BadRequest", "%s: %s", what, why ? why : "damaged archive");
}

static la_ssize_t read_block(struct archive *tar, void *ctx, const void **out)
{
	struct tar_stream *t = ctx;
	*out = t->block;
	if (t->empty)
		return 0;
	la_ssize_t n = t->l->archive_read_data(t->raw, t->block, sizeof(t->block));
	if (n < 0) {
		const char *why = t->l->archive_error_string(t->raw);
		t->l->archive_set_error(tar, EINVAL, "%s", why ? why : "damaged compression");
		return -1;
	}
	digest_add(t->digest, t->block, (size_t)n);
	return n;
}

struct tar_stream *tar_open(const struct archive_lib *l, int fd, struct error *err)
{
	struct tar_stream *t = heap_calloc(1, sizeof(*t));
	t->l = l;
	t->digest = digest_new();
	t->raw = l->archive_read_new();
	t->tar = l->archive_read_new();
	if (!t->raw || !t->tar)
		heap_exhausted(sizeof(*t));
	l->archive_read_support_filter_gzip(t->raw);
	l->archive_read_support_filter_zstd(t->raw);
	l->archive_read_support_format_raw(t->raw);
	l->archive_read_support_format_empty(t->raw);
	l->archive_read_support_format_tar(t->tar);
	l->archive_read_support_format_empty(t->tar);
	// Names are bytes, whatever the locale of this process.
	l->archive_read_set_options(t->tar, "hdrcharset=BINARY");
	if (l->archive_read_open_fd(t->raw, fd, sizeof(t->block)) != ARCHIVE_OK) {
		failed(l, t->raw, err, "open archive");
		goto fail;
	}
	struct archive_entry *e;
	int rc = l->archive_read_next_header(t->raw, &e);
	if (rc == ARCHIVE_EOF) {
		t->empty = true;
	} else if (rc != ARCHIVE_OK) {
		failed(l, t->raw, err, "read archive");
		goto fail;
	}
	if (l->archive_read_open2(t->tar, t, NULL, read_block, NULL, NULL) != ARCHIVE_OK) {
		failed(l, t->tar, err, "read archive");
		goto fail;
	}
	return t;
fail:
	tar_close(t);
	return NULL;
}

struct archive *tar_archive(struct tar_stream *t)
{
	return t->tar;
}

struct archive_entry *tar_next(struct tar_stream *t, bool *end, struct error *err)
{
	struct archive_entry *e;
	int rc = t->l->archive_read_next_header(t->tar, &e);
	*end = rc == ARCHIVE_EOF;
	if (*end)
		return NULL;
	if (rc == ARCHIVE_OK || rc == ARCHIVE_WARN)
		return e;
	failed(t->l, t->tar, err, "read archive");
	return NULL;
}

bool tar_finish(struct tar_stream *t, struct arena *a, str *digest, struct error *err)
{
	const void *p;
	la_ssize_t n;
	while ((n = read_block(t->tar, t, &p)) > 0)
		;
	if (n < 0)
		return failed(t->l, t->tar, err, "read archive");
	*digest = digest_end(t->digest, a);
	return true;
}

void tar_close(struct tar_stream *t)
{
	if (!t)
		return;
	if (t->tar)
		t->l->archive_read_free(t->tar);
	if (t->raw)
		t->l->archive_read_free(t->raw);
	digest_free(t->digest);
	free(t);
}

bool tar_path_clean(struct arena *a, const char *path, str *out)
{
	str in = str_c(path);
	if (!path || in.n >= PATH_MAX)
		return false;
	char *to = arena_alloc(a, in.n + 1);
	size_t n = 0;
	for (str rest = in, part; str_next(&rest, '/', &part);) {
		if (part.n == 0 || str_eqc(part, "."))
			continue;
		if (str_eqc(part, "..") || part.n > NAME_MAX)
			return false;
		if (n)
			to[n++] = '/';
		memcpy(to + n, part.p, part.n);
		n += part.n;
	}
	to[n] = 0;
	*out = str_n(to, n);
	return true;
}
