// The write-ahead log: what makes a commit durable with one flush. A file of fixed, already written size (so that a flush
// touches no metadata of the file system) that begins again at its start whenever the engine has taken everything over.
//
// A record is one group of commits: its revisions [first, last] and opaque bytes, guarded by a hash. After a crash the records
// whose revisions follow each other without a gap are what was acknowledged; the first one that does not fit ends the log.
#ifndef CORACLE_STORE_WAL_H
#define CORACLE_STORE_WAL_H

#include "base/buf.h"
#include "base/error.h"

struct wal;

struct wal *wal_open(const char *path, struct error *err);
void wal_close(struct wal *w);
// Bytes in use since the last reset, and how many one may reach before the engine should take over.
size_t wal_used(const struct wal *w);
size_t wal_size(const struct wal *w);
// Appends a record and flushes it. After a failure nothing of the record counts (the next append overwrites it).
bool wal_append(struct wal *w, int64_t first, int64_t last, str payload, struct error *err);
// Begins at the start again. Only when everything in it lasts elsewhere.
void wal_reset(struct wal *w);
// Calls each record in order (false: stop with *err filled); afterwards appends go behind the last good one. `applied` is the
// last revision that the engine has: records up to it are passed over, a gap behind it is an error.
bool wal_replay(struct wal *w, int64_t applied, bool (*each)(int64_t first, int64_t last, str payload, void *ctx, struct error *err), void *ctx,
                struct error *err);

#endif
