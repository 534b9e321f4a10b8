// The tables behind the store: every version of every key, in LMDB.
//
//   log   revision, index in its batch -> the version: what changed, when the key was made, where its previous version stands, value
//   head  key -> where its newest version stands (deleted keys too, until they are compacted)
//   ttl   expiry time, key -> nothing
//   meta  "revision", "compacted", "position" (how far compaction came)
//
// A version knows the one before it, so a read of the past walks from the head back. Only the committing thread writes, in one
// transaction that it keeps open over many commits: what makes those durable is the write-ahead log (wal.h).
#ifndef CORACLE_STORE_MVCC_H
#define CORACLE_STORE_MVCC_H

#include <lmdb.h>

#include "base/buf.h"
#include "store/store.h"

enum { VERSION_DELETED = 1, VERSION_CREATED = 2 };
enum { MVCC_KEY_MAX = 500 };

// A version as it stands in the log table and in the write-ahead log: this head, the key, the value.
struct version_head {
	int64_t revision, create_revision, previous_revision, expires;
	uint32_t sub, previous_sub, key_len, value_len, flags, zero;
};
struct version {
	struct version_head h;
	str key, value; // within LMDB's map: valid until the next write of the transaction
};

struct mvcc {
	MDB_env *env;
	MDB_dbi log, head, ttl, meta;
	char *map;      // where the file is mapped
	int fd;         // of the file
};

bool mvcc_open(struct mvcc *m, const char *dir, int64_t map_size, struct error *err);
void mvcc_close(struct mvcc *m);
// Takes the file's pages out of this process's memory (they stay in the page cache and come back when they are touched): what was read
// once, at the start or for a reader of the past, would otherwise count as resident for ever.
void mvcc_release_pages(struct mvcc *m);
bool mvcc_begin(struct mvcc *m, bool read_only, MDB_txn **txn, struct error *err);
bool mvcc_meta_get(struct mvcc *m, MDB_txn *t, const char *name, int64_t *out, struct error *err); // 0 when it is not there
bool mvcc_meta_put(struct mvcc *m, MDB_txn *t, const char *name, int64_t v, struct error *err);

// The newest version of a key (a deletion too). *found false: no such key.
bool mvcc_newest(struct mvcc *m, MDB_txn *t, str key, struct version *out, bool *found, struct error *err);
// The version that was current at a revision; *found false when there was none or it was a deletion.
bool mvcc_at(struct mvcc *m, MDB_txn *t, str key, int64_t revision, struct version *out, bool *found, struct error *err);
bool mvcc_put(struct mvcc *m, MDB_txn *t, const struct version *v, struct error *err);
// Versions after a revision, in order.
bool mvcc_since(struct mvcc *m, MDB_txn *t, int64_t revision, bool (*each)(const struct version *v, void *ctx), void *ctx, struct error *err);
// A version by its place.
bool mvcc_version(struct mvcc *m, MDB_txn *t, int64_t revision, uint32_t sub, struct version *out, bool *found, struct error *err);
bool mvcc_range(struct mvcc *m, MDB_txn *t, str from, str to, int64_t revision, size_t limit, bool (*each)(const struct store_entry *e, void *ctx),
                void *ctx, bool *more, struct error *err);
// Takes up to `budget` steps of compaction up to `target`, beginning behind *position, which moves; *done when it got there.
bool mvcc_compact(struct mvcc *m, MDB_txn *t, int64_t target, int64_t *position, size_t budget, bool *done, struct error *err);
// Up to `max` keys that expired before `now` (their rows of the ttl table are removed); *next is the time of the first row that
// stays, 0: none.
bool mvcc_expired(struct mvcc *m, MDB_txn *t, struct arena *a, int64_t now, size_t max, struct store_entry **out, size_t *n, int64_t *next,
                  struct error *err);

void version_encode(struct buf *to, const struct version *v);
// The next version of a run of encoded ones; false at the end or when the bytes are broken.
bool version_decode(str *from, struct version *out);

#endif
