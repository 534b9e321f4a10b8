// The store over LMDB: one committing thread, groups of commits, one flush each.
//
// A commit goes through three hands. The caller copies its operations into a job and queues it. The committing thread takes all
// jobs that wait (the group), checks and applies them in LMDB's open transaction, makes them durable with one append to the
// write-ahead log, tells the watchers, then the callers. The transaction itself is committed (two flushes) only now and then;
// after a crash the log is played into LMDB again. Readers of the past ask for that commit first when they need it.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/file.h>

#include "base/heap.h"
#include "base/io.h"
#include "base/log.h"
#include "store/mvcc.h"
#include "store/wal.h"

enum { GROUP_MAX = 512, GROUP_BYTES = 8 << 20, COMPACT_STEPS = 500, EXPIRE_BATCH = 200 };
#define TAKE_OVER_NS (200 * NS_PER_MS)   // LMDB takes over from the log this long after the first commit
#define SAMPLE_NS (20 * NS_PER_SEC)      // how often revision and time are noted for compaction
#define EXPIRE_NS (5 * NS_PER_SEC)       // expired keys go at most this late

enum job_kind { JOB_COMMIT, JOB_WATCH, JOB_UNWATCH, JOB_COMPACT, JOB_TAKE_OVER };

struct job {
	struct job *next;
	enum job_kind kind;
	void (*done)(const struct store_result *r, void *ctx);
	void *ctx;
	struct store_result result;
	// JOB_COMMIT
	size_t n;
	struct store_op *ops;
	size_t bytes;
	// the others
	struct store_watch *watch;
	int64_t revision;
};

struct store_watch {
	struct store_watch *next;
	struct store *store;
	void (*on_events)(const struct store_event *events, size_t n, int64_t revision, void *ctx);
	void *ctx;
};

struct sample { int64_t when, revision; };

struct store {
	const struct clock *clock;
	struct mvcc m;
	struct wal *wal;
	int lock_fd;
	int64_t retention_ns;
	_Atomic int64_t revision, compacted, taken_over;

	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t work;
	struct job *first, **last;
	bool stop, idle;

	// Only the committing thread, from here on.
	MDB_txn *txn;
	int64_t applied;          // revision within the transaction
	int64_t first_dirty;      // when the log got its first record since the last take-over; 0: nothing to take over
	struct error broken;      // code != 0: the transaction was lost and must be built again from the log
	struct store_watch *watches;
	struct buf payload;
	int64_t position;         // of compaction
	struct sample samples[64];
	size_t nsamples;
	int64_t next_sample, next_expiry;
};

static bool ensure_txn(struct store *s, struct error *err)
{
	return s->txn || mvcc_begin(&s->m, false, &s->txn, err);
}

// --- The log into LMDB --------------------------------------------------------------------------------------------------

static bool replay_record(int64_t first, int64_t last, str payload, void *ctx, struct error *err)
{
	struct store *s = ctx;
	struct version v;
	while (payload.n) {
		if (!version_decode(&payload, &v))
			return error_set(err, "write-ahead log: record %lld is damaged", (long long)first);
		if (v.h.revision <= s->applied)
			continue;
		if (!mvcc_put(&s->m, s->txn, &v, err))
			return false;
	}
	s->applied = last;
	return true;
}

static bool rebuild(struct store *s, struct error *err)
{
	if (s->txn)
		mdb_txn_abort(s->txn);
	s->txn = NULL;
	if (!ensure_txn(s, err) || !mvcc_meta_get(&s->m, s->txn, "revision", &s->applied, err) ||
	    !mvcc_meta_get(&s->m, s->txn, "position", &s->position, err))
		return false;
	int64_t base = s->applied;
	if (!wal_replay(s->wal, s->applied, replay_record, s, err))
		return false;
	if (s->applied > base && !s->first_dirty)
		s->first_dirty = clock_mono(s->clock);
	return true;
}

static bool take_over(struct store *s, struct error *err)
{
	if (!s->first_dirty)
		return true;
	if (s->broken.code) {
		*err = s->broken;
		return false;
	}
	if (!mvcc_meta_put(&s->m, s->txn, "revision", s->applied, err)) {
		s->broken = *err;
		return false;
	}
	int rc = mdb_txn_commit(s->txn);
	s->txn = NULL;
	if (rc) {
		error_set(err, "store: commit: %s", mdb_strerror(rc));
		s->broken = *err;
		return false;
	}
	wal_reset(s->wal);
	s->first_dirty = 0;
	atomic_store(&s->taken_over, s->applied);
	return true;
}

// --- One group ----------------------------------------------------------------------------------------------------------

struct change { struct store_event event; struct job *job; };
struct changes { struct change *v; size_t n; };

static bool holds(const struct store_op *op, bool found, const struct version *now)
{
	bool live = found && !(now->h.flags & VERSION_DELETED);
	if (op->if_mod_revision == 0)
		return !live;
	if (op->if_mod_revision > 0)
		return live && now->h.revision == op->if_mod_revision;
	return true;
}

// Checks all conditions, then applies. False only when LMDB failed; a condition that does not hold is in the result.
static bool apply_job(struct store *s, struct arena *a, struct job *j, struct changes *changes, struct error *err)
{
	struct version now;
	bool found;
	for (size_t i = 0; i < j->n; i++) {
		if (j->ops[i].if_mod_revision < 0)
			continue;
		if (!mvcc_newest(&s->m, s->txn, j->ops[i].key, &now, &found, err))
			return false;
		if (!holds(&j->ops[i], found, &now)) {
			j->result.failed = i;
			return true;
		}
	}
	int64_t revision = s->applied + 1;
	uint32_t sub = 0;
	for (size_t i = 0; i < j->n; i++) {
		const struct store_op *op = &j->ops[i];
		if (op->kind == STORE_CHECK)
			continue;
		if (!mvcc_newest(&s->m, s->txn, op->key, &now, &found, err))
			return false;
		bool live = found && !(now.h.flags & VERSION_DELETED);
		if (op->kind == STORE_DELETE && !live)
			continue;
		struct version v = { .h = { .revision = revision, .sub = sub++, .create_revision = live ? now.h.create_revision : revision,
			                    .previous_revision = found ? now.h.revision : 0, .previous_sub = found ? now.h.sub : 0 },
			             .key = op->key };
		struct change *c = LIST_ADD(a, changes);
		c->job = j;
		if (live) {
			c->event.previous = arena_dup(a, now.value);
			c->event.previous_revision = now.h.revision;
		} else {
			c->event.created = true;
			v.h.flags = VERSION_CREATED;
		}
		if (op->kind == STORE_DELETE) {
			v.h.flags = VERSION_DELETED;
			c->event.deleted = true;
			c->event.created = false;
		} else {
			v.value = op->value;
			if (op->ttl_s > 0)
				v.h.expires = clock_wall(s->clock) / NS_PER_SEC + op->ttl_s;
			if (v.h.expires && (!s->next_expiry || v.h.expires < s->next_expiry))
				s->next_expiry = v.h.expires;
		}
		c->event.entry = (struct store_entry){ .key = op->key, .value = v.value, .create_revision = v.h.create_revision,
			                               .mod_revision = revision, .expires = v.h.expires };
		if (c->event.deleted)
			c->event.entry.value = c->event.previous;
		if (!mvcc_put(&s->m, s->txn, &v, err))
			return false;
		version_encode(&s->payload, &v);
	}
	j->result.ok = true;
	if (sub)
		s->applied = revision;
	j->result.revision = s->applied;
	return true;
}

static void tell_watchers(struct store *s, const struct changes *changes)
{
	// Events of one batch are delivered together; they stand next to each other.
	struct arena *a = arena_new(0);
	for (size_t i = 0, k; i < changes->n; i = k) {
		struct { struct store_event *v; size_t n; } batch = { 0 };
		for (k = i; k < changes->n && changes->v[k].job == changes->v[i].job; k++)
			*LIST_ADD(a, &batch) = changes->v[k].event;
		for (struct store_watch *w = s->watches; w; w = w->next)
			w->on_events(batch.v, batch.n, batch.v[0].entry.mod_revision, w->ctx);
	}
	arena_free(a);
}

static void fail_group(struct job *jobs, const struct error *err)
{
	for (struct job *j = jobs; j; j = j->next)
		j->result = (struct store_result){ .err = *err };
}

static void run_commits(struct store *s, struct job *jobs)
{
	struct arena *a = arena_new(16384);
	struct changes changes = { 0 };
	struct error err = { 0 };
	bool ok = true;
	if (s->broken.code) {
		// Something failed before (a full disk, say). What was acknowledged is in the log; try to stand up from it.
		s->broken = (struct error){ 0 };
		ok = rebuild(s, &err);
		if (!ok)
			s->broken = err;
	}
	int64_t first = s->applied + 1;
	buf_clear(&s->payload);
	ok = ok && ensure_txn(s, &err);
	for (struct job *j = jobs; ok && j; j = j->next)
		ok = apply_job(s, a, j, &changes, &err);
	if (ok && s->payload.n) {
		if (wal_used(s->wal) > 0 && wal_used(s->wal) + s->payload.n + 64 > wal_size(s->wal)) {
			// No room in the log: this group is made durable by LMDB itself.
			if (!s->first_dirty)
				s->first_dirty = clock_mono(s->clock);
			ok = take_over(s, &err);
		} else {
			ok = wal_append(s->wal, first, s->applied, buf_str(&s->payload), &err);
			if (ok && !s->first_dirty)
				s->first_dirty = clock_mono(s->clock);
		}
	}
	if (!ok) {
		log_error("store: %s", err.text);
		fail_group(jobs, &err);
		if (!s->broken.code)
			s->broken = err;
	} else if (changes.n) {
		atomic_store(&s->revision, s->applied);
		tell_watchers(s, &changes);
	}
	for (struct job *j = jobs, *next; j; j = next) {
		next = j->next;
		if (j->done)
			j->done(&j->result, j->ctx);
		free(j);
	}
	arena_free(a);
}

// --- Watches, compaction, expiry ------------------------------------------------------------------------------------------

struct history {
	struct arena *a;
	struct store *s;
	struct store_watch *w;
	struct { struct store_event *v; size_t n; } batch;
	struct error *err;
	bool failed;
};

static void deliver(struct history *h)
{
	if (h->batch.n)
		h->w->on_events(h->batch.v, h->batch.n, h->batch.v[0].entry.mod_revision, h->w->ctx);
	h->batch.v = NULL;
	h->batch.n = 0;
}

static bool past_event(const struct version *v, void *ctx)
{
	struct history *h = ctx;
	if (h->batch.n && h->batch.v[0].entry.mod_revision != v->h.revision) {
		deliver(h);
		arena_reset(h->a);
	}
	struct store_event e = { .deleted = v->h.flags & VERSION_DELETED, .created = v->h.flags & VERSION_CREATED };
	e.entry = (struct store_entry){ .key = arena_dup(h->a, v->key), .value = arena_dup(h->a, v->value), .create_revision = v->h.create_revision,
		                        .mod_revision = v->h.revision, .expires = v->h.expires };
	if (!e.created && v->h.previous_revision) {
		struct version before;
		bool found;
		if (!mvcc_version(&h->s->m, h->s->txn, v->h.previous_revision, v->h.previous_sub, &before, &found, h->err)) {
			h->failed = true;
			return false;
		}
		// The previous version may be compacted when this is the first event after the compacted revision.
		if (found) {
			e.previous = arena_dup(h->a, before.value);
			e.previous_revision = before.h.revision;
		}
	}
	if (e.deleted)
		e.entry.value = e.previous;
	*LIST_ADD(h->a, &h->batch) = e;
	return true;
}

static bool expired_error(struct error *err, int64_t revision, int64_t compacted)
{
	return error_api(err, 410, "Expired", "too old resource version: %lld (%lld)", (long long)revision, (long long)compacted);
}

static void add_watch(struct store *s, struct job *j)
{
	struct error err = { 0 };
	if (j->revision < atomic_load(&s->compacted)) {
		expired_error(&err, j->revision, atomic_load(&s->compacted));
	} else if (ensure_txn(s, &err)) {
		struct history h = { .a = arena_new(0), .s = s, .w = j->watch, .err = &err };
		bool ok = j->revision >= s->applied || mvcc_since(&s->m, s->txn, j->revision, past_event, &h, &err);
		if (ok && !h.failed) {
			deliver(&h);
			j->watch->next = s->watches;
			s->watches = j->watch;
			j->result.ok = true;
		}
		arena_free(h.a);
	}
	j->result.err = err;
}

static void remove_watch(struct store *s, struct job *j)
{
	for (struct store_watch **w = &s->watches; *w; w = &(*w)->next) {
		if (*w == j->watch) {
			*w = j->watch->next;
			break;
		}
	}
	j->result.ok = true;
}

static bool compact_to(struct store *s, int64_t revision, struct error *err)
{
	if (revision > atomic_load(&s->revision))
		return error_api(err, 400, "BadRequest", "compaction of a future revision");
	if (revision <= atomic_load(&s->compacted))
		return true;
	if (!ensure_txn(s, err) || !mvcc_meta_put(&s->m, s->txn, "compacted", revision, err))
		return false;
	atomic_store(&s->compacted, revision);
	if (!s->first_dirty)
		s->first_dirty = clock_mono(s->clock);
	return true;
}

static void compact_some(struct store *s)
{
	struct error err = { 0 };
	bool done;
	if (s->broken.code || !ensure_txn(s, &err))
		return;
	if (!mvcc_compact(&s->m, s->txn, atomic_load(&s->compacted), &s->position, COMPACT_STEPS, &done, &err)) {
		log_error("store: compaction: %s", err.text);
		s->broken = err;
	}
	if (!s->first_dirty)
		s->first_dirty = clock_mono(s->clock);
}

static void sample(struct store *s, int64_t now)
{
	s->next_sample = 0;
	mvcc_release_pages(&s->m);
	int64_t revision = atomic_load(&s->revision);
	if (s->nsamples && now - s->samples[0].when > s->retention_ns) {
		struct error err = { 0 };
		if (!compact_to(s, s->samples[0].revision, &err))
			log_error("store: compaction: %s", err.text);
		s->nsamples--;
		memmove(s->samples, s->samples + 1, s->nsamples * sizeof(s->samples[0]));
	}
	int64_t known = s->nsamples ? s->samples[s->nsamples - 1].revision : atomic_load(&s->compacted);
	if (revision > known) {
		if (s->nsamples == ARRAY_LEN(s->samples)) {
			s->nsamples--;
			memmove(s->samples + 1, s->samples + 2, (s->nsamples - 1) * sizeof(s->samples[0]));
		}
		s->samples[s->nsamples++] = (struct sample){ now, revision };
	}
	if (s->nsamples)
		s->next_sample = now + SAMPLE_NS;
}

static void expire(struct store *s)
{
	struct error err = { 0 };
	struct arena *a = arena_new(0);
	struct store_entry *keys;
	size_t n;
	if (!s->broken.code && ensure_txn(s, &err)) {
		if (mvcc_expired(&s->m, s->txn, a, clock_wall(s->clock) / NS_PER_SEC, EXPIRE_BATCH, &keys, &n, &s->next_expiry, &err)) {
			struct job *first = NULL, **last = &first;
			for (size_t i = 0; i < n; i++) {
				struct job *j = HEAP_NEW(struct job);
				j->n = 1;
				j->ops = ARENA_NEW(a, struct store_op);
				j->ops[0] = (struct store_op){ .kind = STORE_DELETE, .key = keys[i].key, .if_mod_revision = keys[i].mod_revision };
				*last = j;
				last = &j->next;
			}
			if (first)
				run_commits(s, first);
			else if (!s->first_dirty)
				s->first_dirty = clock_mono(s->clock);
		} else {
			log_error("store: expiry: %s", err.text);
			s->broken = err;
		}
	}
	arena_free(a);
}

// --- The committing thread ------------------------------------------------------------------------------------------------

static void run_other(struct store *s, struct job *j)
{
	switch (j->kind) {
	case JOB_WATCH: add_watch(s, j); break;
	case JOB_UNWATCH: remove_watch(s, j); break;
	case JOB_COMPACT: j->result.ok = compact_to(s, j->revision, &j->result.err); break;
	case JOB_TAKE_OVER: j->result.ok = take_over(s, &j->result.err); break;
	case JOB_COMMIT: break;
	}
	j->done(&j->result, j->ctx);
	free(j);
}

static void run_jobs(struct store *s, struct job *jobs)
{
	while (jobs) {
		if (jobs->kind != JOB_COMMIT) {
			struct job *j = jobs;
			jobs = j->next;
			run_other(s, j);
			continue;
		}
		struct job *group = jobs, *last = jobs;
		size_t n = 1, bytes = jobs->bytes;
		while (last->next && last->next->kind == JOB_COMMIT && n < GROUP_MAX && bytes + last->next->bytes < GROUP_BYTES) {
			last = last->next;
			n++;
			bytes += last->bytes;
		}
		jobs = last->next;
		last->next = NULL;
		run_commits(s, group);
	}
}

// When the thread has to wake up by itself, on the monotonic clock; 0: never.
static int64_t next_deadline(struct store *s)
{
	int64_t at = s->first_dirty ? s->first_dirty + TAKE_OVER_NS : 0;
	if (s->next_sample && (!at || s->next_sample < at))
		at = s->next_sample;
	if (s->next_expiry) {
		int64_t in = MAX(s->next_expiry * NS_PER_SEC - clock_wall(s->clock), 0);
		// Rounded, so that keys that expire near each other go together.
		int64_t when = clock_mono(s->clock) + in;
		when += EXPIRE_NS - when % EXPIRE_NS;
		if (!at || when < at)
			at = when;
	}
	return at;
}

static void *committing_thread(void *ctx)
{
	struct store *s = ctx;
	int64_t expire_at = 0;
	for (;;) {
		int64_t now = clock_mono(s->clock);
		if (s->first_dirty && (now - s->first_dirty >= TAKE_OVER_NS || wal_used(s->wal) > wal_size(s->wal) / 2)) {
			struct error err = { 0 };
			if (s->broken.code) {
				s->broken = (struct error){ 0 };
				if (!rebuild(s, &err))
					s->broken = err;
			}
			if (!take_over(s, &err)) {
				log_error("store: %s", err.text);
				s->first_dirty = now;
			}
		}
		if (s->next_expiry && clock_wall(s->clock) / NS_PER_SEC >= s->next_expiry && now >= expire_at) {
			expire(s);
			expire_at = now + EXPIRE_NS;
		}
		if (s->next_sample ? now >= s->next_sample : atomic_load(&s->revision) > atomic_load(&s->compacted))
			sample(s, now);
		bool compacting = s->position < atomic_load(&s->compacted) && !s->broken.code;
		if (compacting)
			compact_some(s);
		pthread_mutex_lock(&s->mutex);
		if (!s->first && !s->stop && !compacting) {
			int64_t at = next_deadline(s);
			if (!at) {
				pthread_cond_wait(&s->work, &s->mutex);
			} else {
				at = MAX(at, s->broken.code ? now + NS_PER_SEC : 0);
				struct timespec ts = { .tv_sec = at / NS_PER_SEC, .tv_nsec = at % NS_PER_SEC };
				pthread_cond_timedwait(&s->work, &s->mutex, &ts);
			}
		}
		struct job *jobs = s->first;
		s->first = NULL;
		s->last = &s->first;
		bool stop = s->stop;
		pthread_mutex_unlock(&s->mutex);
		run_jobs(s, jobs);
		if (stop && !jobs)
			break;
	}
	struct error err = { 0 };
	if (!take_over(s, &err))
		log_error("store: %s", err.text);
	if (s->txn)
		mdb_txn_abort(s->txn);
	s->txn = NULL;
	return NULL;
}

// --- The face -------------------------------------------------------------------------------------------------------------

struct store *store_open(const struct store_opts *o, struct error *err)
{
	str path = o->location;
	if (!str_cut_prefix(&path, S("lmdb:")) || !path.n) {
		error_set(err, "store \"" STR_FMT "\" is not known (lmdb:PATH)", STR_ARG(o->location));
		return NULL;
	}
	_cleanup_arena_ struct arena *a = arena_new(0);
	_cleanup_close_ int dir_fd = -1;
	char *dir = arena_cstr(a, path);
	if (!io_mkdirs(dir, 0700, err))
		return NULL;
	struct store *s = HEAP_NEW(struct store);
	s->clock = o->clock;
	s->retention_ns = (o->retention_s > 0 ? o->retention_s : 300) * NS_PER_SEC;
	s->last = &s->first;
	s->lock_fd = open(arena_printf(a, "%s/owner", dir).p, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0 || flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EWOULDBLOCK)
			error_set(err, "%s: another process has this store open", dir);
		else
			error_errno(err, "%s", dir);
		goto failed;
	}
	if (!mvcc_open(&s->m, dir, o->map_size > 0 ? o->map_size : INT64_C(64) << 30, err))
		goto failed;
	s->wal = wal_open(arena_printf(a, "%s/wal", dir).p, err);
	// The files' names must last, too.
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->wal && (dir_fd < 0 || fsync(dir_fd) != 0)) {
		error_errno(err, "%s", dir);
		goto failed;
	}
	int64_t compacted, next;
	struct store_entry *none;
	size_t n;
	if (!s->wal || !rebuild(s, err) || !mvcc_meta_get(&s->m, s->txn, "compacted", &compacted, err) ||
	    !mvcc_expired(&s->m, s->txn, a, 0, 1, &none, &n, &next, err))
		goto failed;
	if (s->applied == 0) {
		// Revision 0 means "now" in the API, so a fresh store stands at 1, as etcd does.
		s->applied = 1;
		s->first_dirty = clock_mono(s->clock);
	}
	s->next_expiry = next;
	atomic_store(&s->compacted, compacted);
	if (!take_over(s, err))
		goto failed;
	if (s->txn)
		mdb_txn_abort(s->txn);
	s->txn = NULL;
	atomic_store(&s->revision, s->applied);
	atomic_store(&s->taken_over, s->applied);
	pthread_mutex_init(&s->mutex, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->work, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&s->thread, NULL, committing_thread, s) != 0) {
		error_errno(err, "thread");
		goto failed;
	}
	return s;
failed:
	if (s->txn)
		mdb_txn_abort(s->txn);
	mvcc_close(&s->m);
	wal_close(s->wal);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	free(s);
	return NULL;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->mutex);
	s->stop = true;
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->mutex);
	pthread_join(s->thread, NULL);
	for (struct store_watch *w = s->watches, *next; w; w = next) {
		next = w->next;
		free(w);
	}
	mvcc_close(&s->m);
	wal_close(s->wal);
	close(s->lock_fd);
	buf_free(&s->payload);
	pthread_mutex_destroy(&s->mutex);
	pthread_cond_destroy(&s->work);
	free(s);
}

int64_t store_revision(struct store *s) { return atomic_load(&s->revision); }
int64_t store_compacted(struct store *s) { return atomic_load(&s->compacted); }

static void enqueue(struct store *s, struct job *j)
{
	pthread_mutex_lock(&s->mutex);
	bool wake = !s->first;
	*s->last = j;
	s->last = &j->next;
	pthread_mutex_unlock(&s->mutex);
	if (wake)
		pthread_cond_signal(&s->work);
}

void store_commit(struct store *s, const struct store_op *ops, size_t n, void (*done)(const struct store_result *r, void *ctx), void *ctx)
{
	size_t bytes = 0;
	struct error err = { 0 };
	for (size_t i = 0; i < n; i++) {
		bytes += ops[i].key.n + (ops[i].kind == STORE_PUT ? ops[i].value.n : 0);
		if (ops[i].key.n == 0 || ops[i].key.n > MVCC_KEY_MAX)
			error_api(&err, 400, "BadRequest", "key of %zu bytes: the store takes 1 to %d", ops[i].key.n, MVCC_KEY_MAX);
		if (ops[i].value.n > (size_t)64 << 20)
			error_api(&err, 413, "RequestEntityTooLarge", "value of %zu bytes is too large for the store", ops[i].value.n);
	}
	if (err.code) {
		struct store_result r = { .err = err };
		if (done)
			done(&r, ctx);
		return;
	}
	struct job *j = heap_alloc(sizeof(*j) + n * sizeof(struct store_op) + bytes);
	*j = (struct job){ .kind = JOB_COMMIT, .done = done, .ctx = ctx, .n = n, .ops = (struct store_op *)(void *)(j + 1), .bytes = bytes };
	char *to = (char *)(j->ops + n);
	for (size_t i = 0; i < n; i++) {
		j->ops[i] = ops[i];
		memcpy(to, ops[i].key.p, ops[i].key.n);
		j->ops[i].key.p = to;
		to += ops[i].key.n;
		if (ops[i].kind == STORE_PUT && ops[i].value.n) {
			memcpy(to, ops[i].value.p, ops[i].value.n);
			j->ops[i].value.p = to;
			to += ops[i].value.n;
		} else {
			j->ops[i].value = (str){ 0 };
		}
	}
	enqueue(s, j);
}

struct waiter {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool done;
	struct store_result result;
};

static void wake(const struct store_result *r, void *ctx)
{
	struct waiter *w = ctx;
	pthread_mutex_lock(&w->mutex);
	w->result = *r;
	w->done = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->mutex);
}

static struct store_result wait_for(struct waiter *w)
{
	pthread_mutex_lock(&w->mutex);
	while (!w->done)
		pthread_cond_wait(&w->cond, &w->mutex);
	pthread_mutex_unlock(&w->mutex);
	pthread_mutex_destroy(&w->mutex);
	pthread_cond_destroy(&w->cond);
	return w->result;
}

#define WAITER { .mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER }

struct store_result store_commit_wait(struct store *s, const struct store_op *ops, size_t n)
{
	struct waiter w = WAITER;
	store_commit(s, ops, n, wake, &w);
	return wait_for(&w);
}

static struct store_result ask(struct store *s, enum job_kind kind, struct store_watch *watch, int64_t revision)
{
	struct waiter w = WAITER;
	struct job *j = HEAP_NEW(struct job);
	j->kind = kind;
	j->done = wake;
	j->ctx = &w;
	j->watch = watch;
	j->revision = revision;
	enqueue(s, j);
	return wait_for(&w);
}

struct store_watch *store_watch(struct store *s, int64_t revision, void (*on_events)(const struct store_event *events, size_t n, int64_t revision, void *ctx),
                                void *ctx, struct error *err)
{
	struct store_watch *w = HEAP_NEW(struct store_watch);
	*w = (struct store_watch){ .store = s, .on_events = on_events, .ctx = ctx };
	struct store_result r = ask(s, JOB_WATCH, w, revision);
	if (r.ok)
		return w;
	*err = r.err;
	free(w);
	return NULL;
}

void store_watch_stop(struct store_watch *w)
{
	ask(w->store, JOB_UNWATCH, w, 0);
	free(w);
}

bool store_compact(struct store *s, int64_t revision, struct error *err)
{
	struct store_result r = ask(s, JOB_COMPACT, NULL, revision);
	if (!r.ok)
		*err = r.err;
	return r.ok;
}

void store_trim(struct store *s) { mvcc_release_pages(&s->m); }

// A transaction that sees everything acknowledged so far.
static bool begin_read(struct store *s, int64_t revision, MDB_txn **t, struct error *err)
{
	if (revision && revision < atomic_load(&s->compacted))
		return error_api(err, 410, "Expired", "The resourceVersion for the provided list is too old.");
	int64_t need = revision ? MIN(revision, atomic_load(&s->revision)) : atomic_load(&s->revision);
	if (atomic_load(&s->taken_over) < need) {
		struct store_result r = ask(s, JOB_TAKE_OVER, NULL, 0);
		if (!r.ok) {
			*err = r.err;
			return false;
		}
	}
	return mvcc_begin(&s->m, true, t, err);
}

bool store_get(struct store *s, struct arena *a, str key, int64_t revision, struct store_entry *out, struct error *err)
{
	MDB_txn *t;
	if (key.n == 0 || key.n > MVCC_KEY_MAX)
		return error_api(err, 404, "NotFound", "key not found");
	if (!begin_read(s, revision, &t, err))
		return false;
	struct version v;
	bool found;
	bool ok = mvcc_at(&s->m, t, key, revision, &v, &found, err);
	if (ok && found)
		*out = (struct store_entry){ .key = arena_dup(a, v.key), .value = arena_dup(a, v.value), .create_revision = v.h.create_revision,
			                     .mod_revision = v.h.revision, .expires = v.h.expires };
	mdb_txn_abort(t);
	if (ok && !found)
		return error_api(err, 404, "NotFound", "key not found");
	return ok;
}

bool store_range(struct store *s, str from, str to, int64_t revision, size_t limit, bool (*each)(const struct store_entry *e, void *ctx),
                 void *ctx, bool *more, struct error *err)
{
	MDB_txn *t;
	if (!begin_read(s, revision, &t, err))
		return false;
	bool ok = mvcc_range(&s->m, t, from, to, revision, limit, each, ctx, more, err);
	mdb_txn_abort(t);
	return ok;
}
