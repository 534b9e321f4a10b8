#include "store/wal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/io.h"

#define WAL_SIZE ((size_t)4 << 20)
#define WAL_MAGIC UINT32_C(0x4c415743) // "CWAL"

struct wal {
	int fd;
	size_t used, size;
	struct buf scratch;
};

struct head {
	uint32_t magic;
	uint32_t zero;
	uint64_t length;
	int64_t first, last;
	uint64_t hash; // of the header up to here, then of the payload
};

// Eight bytes a step: payloads are kilobytes and this runs for every commit.
static uint64_t hash_bytes(uint64_t h, const char *p, size_t n)
{
	for (; n >= 8; p += 8, n -= 8) {
		uint64_t w;
		memcpy(&w, p, 8);
		h = (h ^ w) * UINT64_C(0x9fb21c651e98df25);
		h ^= h >> 32;
	}
	uint64_t w = 0;
	memcpy(&w, p, n);
	h = (h ^ w ^ ((uint64_t)n << 56)) * UINT64_C(0x9fb21c651e98df25);
	return h ^ h >> 29;
}

static uint64_t record_hash(const struct head *h, str payload)
{
	return hash_bytes(hash_bytes(1, (const char *)h, offsetof(struct head, hash)), payload.p, payload.n);
}

struct wal *wal_open(const char *path, struct error *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_DSYNC, 0600);
	if (fd < 0) {
		error_errno(err, "%s", path);
		return NULL;
	}
	struct stat st;
	if (fstat(fd, &st) != 0) {
		error_errno(err, "%s", path);
		close(fd);
		return NULL;
	}
	size_t size = (size_t)st.st_size;
	if (size < WAL_SIZE) {
		// Written, not only allocated: an unwritten extent would cost a journal commit on its first write.
		struct buf zero = { 0 };
		memset(buf_reserve(&zero, WAL_SIZE - size), 0, WAL_SIZE - size);
		ssize_t n = pwrite(fd, zero.p, WAL_SIZE - size, (off_t)size);
		buf_free(&zero);
		if (n != (ssize_t)(WAL_SIZE - size) || fsync(fd) != 0) {
			if (n >= 0)
				errno = ENOSPC;
			error_errno(err, "%s", path);
			close(fd);
			return NULL;
		}
		size = WAL_SIZE;
	}
	struct wal *w = HEAP_NEW(struct wal);
	w->fd = fd;
	w->size = size;
	return w;
}

void wal_close(struct wal *w)
{
	if (!w)
		return;
	close(w->fd);
	buf_free(&w->scratch);
	free(w);
}

size_t wal_used(const struct wal *w) { return w->used; }
size_t wal_size(const struct wal *w) { return w->size; }
void wal_reset(struct wal *w) { w->used = 0; }

bool wal_append(struct wal *w, int64_t first, int64_t last, str payload, struct error *err)
{
	struct head h = { .magic = WAL_MAGIC, .length = payload.n, .first = first, .last = last };
	h.hash = record_hash(&h, payload);
	buf_clear(&w->scratch);
	buf_add(&w->scratch, str_n((const char *)&h, sizeof(h)));
	buf_add(&w->scratch, payload);
	// Records begin at multiples of eight bytes.
	while (w->scratch.n % 8)
		buf_add_char(&w->scratch, 0);
	size_t done = 0;
	while (done < w->scratch.n) {
		ssize_t n = pwrite(w->fd, w->scratch.p + done, w->scratch.n - done, (off_t)(w->used + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_errno(err, "write-ahead log");
		done += (size_t)n;
	}
	w->used += done;
	w->size = MAX(w->size, w->used);
	return true;
}

bool wal_replay(struct wal *w, int64_t applied, bool (*each)(int64_t first, int64_t last, str payload, void *ctx, struct error *err), void *ctx,
                struct error *err)
{
	struct buf text = { 0 };
	int64_t next = -1;
	bool ok = true;
	w->used = 0;
	for (;;) {
		struct head h;
		if (pread(w->fd, &h, sizeof(h), (off_t)w->used) != (ssize_t)sizeof(h))
			break;
		if (h.magic != WAL_MAGIC || h.length > (UINT64_C(1) << 31) || h.last < h.first || (next >= 0 && h.first != next))
			break;
		buf_clear(&text);
		char *p = buf_reserve(&text, h.length + 1);
		if (pread(w->fd, p, h.length, (off_t)(w->used + sizeof(h))) != (ssize_t)h.length)
			break;
		if (record_hash(&h, str_n(p, h.length)) != h.hash)
			break;
		if (next < 0 && h.first > applied + 1) {
			// Left over from before the last reset would be older, never newer.
			ok = error_set(err, "write-ahead log begins at revision %lld, the store ends at %lld: the store is damaged", (long long)h.first,
			               (long long)applied);
			break;
		}
		if (h.last > applied && !each(h.first, h.last, str_n(p, h.length), ctx, err)) {
			ok = false;
			break;
		}
		next = h.last + 1;
		w->used += (sizeof(h) + h.length + 7) / 8 * 8;
	}
	buf_free(&text);
	return ok;
}
