// The store: what must last. Small on purpose: get, range, compare-and-swap batch, watch from a revision, compact.
//
// Keys are bytes ("/registry/pods/default/web-0"), ordered by memcmp. Every committed batch gets the next revision;
// a key remembers the revision that made it and the one that changed it last. Revisions stay readable until they are
// compacted. A commit is acknowledged only after fsync (group commit: batches that wait together share one).
// The engine behind is LMDB (store_lmdb.c); store_open takes "lmdb:PATH". etcd follows behind the same face.
#ifndef CORACLE_STORE_STORE_H
#define CORACLE_STORE_STORE_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"

struct store;

struct store_entry {
	str key, value;
	int64_t create_revision, mod_revision;
	int64_t expires; // wall clock seconds; 0: never
};

struct store_opts {
	str location;                 // "lmdb:/var/lib/coracle/store"
	const struct clock *clock;
	int64_t map_size;             // 0: 64 GiB of address space (sparse)
	int64_t retention_s;          // revisions younger than this are never compacted by the store itself; 0: 300
};
// Opens (makes) a store. Recovers by itself after a crash; a damaged file is an error that says so.
struct store *store_open(const struct store_opts *o, struct error *err);
// Waits for commits in flight and closes.
void store_close(struct store *s);

int64_t store_revision(struct store *s);   // the last committed
int64_t store_compacted(struct store *s);  // everything up to here may be gone

// One key at a revision (0: now). False with NotFound (404), or Expired (410, "The resourceVersion for the provided ... is too old").
bool store_get(struct store *s, struct arena *a, str key, int64_t revision, struct store_entry *out, struct error *err);
// Keys in [from, to) at a revision, ascending, at most `limit` (0: all); calls `each` (false: stop). *more: there are further.
bool store_range(struct store *s, str from, str to, int64_t revision, size_t limit, bool (*each)(const struct store_entry *e, void *ctx),
                 void *ctx, bool *more, struct error *err);

enum store_op_kind { STORE_PUT, STORE_DELETE, STORE_CHECK };
struct store_op {
	enum store_op_kind kind;
	str key, value;               // copied
	int64_t if_mod_revision;      // the key's last change must be this; 0: the key must not exist; -1: whatever
	int64_t ttl_s;                // 0: lives for ever
};
struct store_result {
	bool ok;                      // false: some condition did not hold; nothing was written
	size_t failed;                // index of the first such op
	int64_t revision;             // of this batch
	struct error err;             // code != 0: the batch failed (disk full, ...): nothing was written
};
// Queues a batch; `done` is called once from the committing thread, after fsync, in revision order. It must be quick
// (post to your own loop).
void store_commit(struct store *s, const struct store_op *ops, size_t n, void (*done)(const struct store_result *r, void *ctx), void *ctx);
// The same, blocking.
struct store_result store_commit_wait(struct store *s, const struct store_op *ops, size_t n);

struct store_event {
	bool deleted;
	bool created;                 // the key did not exist before
	struct store_entry entry;     // for a deletion: the last value, mod_revision that of the deletion
	str previous;                 // the value before (empty when created)
	int64_t previous_revision;
};
// Every event after `revision`, in order, without a gap: first what is in the history, then live. Called from the committing
// thread (after fsync, before the commits' `done`), batch by batch; `revision` is the batch's. Must be quick.
// False with Expired (410) when the revision is compacted.
struct store_watch;
struct store_watch *store_watch(struct store *s, int64_t revision, void (*on_events)(const struct store_event *events, size_t n, int64_t revision, void *ctx),
                                void *ctx, struct error *err);
void store_watch_stop(struct store_watch *w); // after it returned no more calls come
// Gives memory back that holds what was read from the file (after loading everything from it, say). The store does so by itself now and then.
void store_trim(struct store *s);
// Forgets history up to a revision (kept: the newest value of each key).
bool store_compact(struct store *s, int64_t revision, struct error *err);

#endif
