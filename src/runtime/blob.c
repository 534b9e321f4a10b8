#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/encode.h"
#include "base/io.h"
#include "base/random.h"
#include "runtime/digest.h"
#include "runtime/image.h"

const char *blob_path(const struct image_store *s, struct arena *a, str digest)
{
	return arena_printf(a, "%s/blobs/" STR_FMT, s->dir, STR_ARG(digest_hex(digest))).p;
}

bool blob_exists(const struct image_store *s, struct arena *a, str digest)
{
	return io_exists(blob_path(s, a, digest));
}

bool blob_read(const struct image_store *s, struct arena *a, str digest, str *out, struct error *err)
{
	return io_read_file(a, blob_path(s, a, digest), MANIFEST_MAX_BYTES, out, err);
}

static bool read_back(struct blob_writer *w, struct error *err)
{
	char block[64 * 1024];
	ssize_t n;
	while ((n = pread(w->fd, block, sizeof(block), w->n)) > 0) {
		digest_add(w->digest, block, (size_t)n);
		w->n += n;
	}
	return n == 0 || error_errno(err, "read %s", w->path);
}

bool blob_begin(const struct image_store *s, struct arena *a, str digest, struct blob_writer *w, bool *have, struct error *err)
{
	*have = false;
	*w = (struct blob_writer){ .fd = -1 };
	if (digest.n == 0) {
		uint64_t id[2] = { rng_u64(NULL), rng_u64(NULL) };
		w->path = arena_printf(a, "%s/ingest/new-" STR_FMT, s->dir, STR_ARG(hex_encode(a, str_n((char *)id, sizeof(id))))).p;
	} else {
		w->path = arena_printf(a, "%s/ingest/" STR_FMT, s->dir, STR_ARG(digest_hex(digest))).p;
	}
	for (;;) {
		w->fd = open(w->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (w->fd < 0)
			return error_errno(err, "create %s", w->path);
		while (flock(w->fd, LOCK_EX) < 0)
			if (errno != EINTR) {
				error_errno(err, "lock %s", w->path);
				close(w->fd);
				return false;
			}
		// Whoever had the lock before may have put the file in its place, or away.
		struct stat mine, there;
		if (fstat(w->fd, &mine) == 0 && stat(w->path, &there) == 0 && mine.st_ino == there.st_ino)
			break;
		close(w->fd);
	}
	if (digest.n && blob_exists(s, a, digest)) {
		unlink(w->path);
		close(w->fd);
		w->fd = -1;
		*have = true;
		return true;
	}
	w->digest = digest_new();
	if (!read_back(w, err)) {
		blob_abort(w, true);
		return false;
	}
	return true;
}

bool blob_write(struct blob_writer *w, const void *p, size_t n, struct error *err)
{
	digest_add(w->digest, p, n);
	for (size_t done = 0; done < n;) {
		ssize_t k = pwrite(w->fd, (const char *)p + done, n - done, w->n + (off_t)done);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return error_errno(err, "write %s", w->path);
		done += (size_t)k;
	}
	w->n += (int64_t)n;
	return true;
}

bool blob_restart(struct blob_writer *w, struct error *err)
{
	digest_free(w->digest);
	w->digest = digest_new();
	w->n = 0;
	return ftruncate(w->fd, 0) == 0 || error_errno(err, "truncate %s", w->path);
}

bool blob_commit(const struct image_store *s, struct arena *a, struct blob_writer *w, str expect, int64_t size, str *digest, struct error *err)
{
	str got = digest_end(w->digest, a);
	bool ok = true;
	if (size >= 0 && w->n != size)
		ok = error_api(err, 400, "BadRequest", "blob has %" PRId64 " bytes, its descriptor says %" PRId64, w->n, size);
	else if (expect.n && !str_eq(expect, got))
		ok = error_api(err, 400, "BadRequest", "blob has digest " STR_FMT ", expected " STR_FMT, STR_ARG(got), STR_ARG(expect));
	else if (rename(w->path, blob_path(s, a, got)) < 0)
		ok = error_errno(err, "rename %s", w->path);
	if (ok && digest)
		*digest = got;
	blob_abort(w, ok);
	return ok;
}

void blob_abort(struct blob_writer *w, bool keep)
{
	if (w->fd >= 0) {
		if (!keep)
			unlink(w->path);
		close(w->fd);
	}
	digest_free(w->digest);
	*w = (struct blob_writer){ .fd = -1 };
}

bool blob_put(const struct image_store *s, struct arena *a, str bytes, str *digest, struct error *err)
{
	str d = digest_of(a, bytes);
	struct blob_writer w;
	bool have;
	if (!blob_begin(s, a, d, &w, &have, err))
		return false;
	if (digest)
		*digest = d;
	if (have)
		return true;
	if (!blob_restart(&w, err) || !blob_write(&w, bytes.p, bytes.n, err)) {
		blob_abort(&w, false);
		return false;
	}
	return blob_commit(s, a, &w, d, (int64_t)bytes.n, NULL, err);
}
