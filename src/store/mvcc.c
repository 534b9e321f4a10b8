#include "store/mvcc.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/heap.h"

struct place {
	int64_t revision, create_revision, expires;
	uint32_t sub, flags;
};

struct log_key { uint64_t revision; uint32_t sub; } __attribute__((packed));

static bool failed(struct error *err, int rc, const char *what)
{
	error_set(err, "store: %s: %s", what, mdb_strerror(rc));
	if (rc > 0)
		err->sys = rc;
	return false;
}

static struct log_key log_key(int64_t revision, uint32_t sub)
{
	return (struct log_key){ htobe64((uint64_t)revision), htobe32(sub) };
}

#define VAL(ptr, len) ((MDB_val){ .mv_size = (len), .mv_data = (void *)(uintptr_t)(ptr) })

// LMDB does not say where its map is; the kernel does.
static char *find_map(int fd)
{
	struct stat st;
	FILE *f = fopen("/proc/self/maps", "re");
	char line[4500];
	char *found = NULL;
	if (!f)
		return NULL;
	while (fstat(fd, &st) == 0 && !found && fgets(line, sizeof(line), f)) {
		unsigned long start, end, inode;
		if (sscanf(line, "%lx-%lx %*s %*s %*s %lu", &start, &end, &inode) == 3 && inode == st.st_ino)
			found = (char *)start; // NOLINT: an address in text
	}
	fclose(f);
	return found;
}

bool mvcc_open(struct mvcc *m, const char *dir, int64_t map_size, struct error *err)
{
	*m = (struct mvcc){ 0 };
	int rc = mdb_env_create(&m->env);
	if (rc)
		return failed(err, rc, "create");
	mdb_env_set_maxdbs(m->env, 8);
	mdb_env_set_maxreaders(m->env, 512);
	mdb_env_set_mapsize(m->env, (size_t)map_size);
	rc = mdb_env_open(m->env, dir, MDB_NOTLS | MDB_NORDAHEAD, 0600);
	MDB_txn *t = NULL;
	int dead;
	if (!rc)
		rc = mdb_reader_check(m->env, &dead); // slots of a process that was killed would keep old pages alive
	if (!rc)
		rc = mdb_txn_begin(m->env, NULL, 0, &t);
	if (!rc)
		rc = mdb_dbi_open(t, "log", MDB_CREATE, &m->log);
	if (!rc)
		rc = mdb_dbi_open(t, "head", MDB_CREATE, &m->head);
	if (!rc)
		rc = mdb_dbi_open(t, "ttl", MDB_CREATE, &m->ttl);
	if (!rc)
		rc = mdb_dbi_open(t, "meta", MDB_CREATE, &m->meta);
	if (rc && t)
		mdb_txn_abort(t);
	else if (t)
		rc = mdb_txn_commit(t);
	if (!rc && mdb_env_get_fd(m->env, &m->fd) == 0)
		m->map = find_map(m->fd);
	if (rc) {
		mvcc_close(m);
		failed(err, rc, dir);
		if (rc == MDB_INVALID || rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_VERSION_MISMATCH)
			error_wrap(err, "the store's file is damaged");
		return false;
	}
	return true;
}

void mvcc_release_pages(struct mvcc *m)
{
	struct stat st;
	if (m->map && fstat(m->fd, &st) == 0)
		madvise(m->map, (size_t)st.st_size, MADV_DONTNEED);
}

void mvcc_close(struct mvcc *m)
{
	if (m->env)
		mdb_env_close(m->env);
	m->env = NULL;
}

bool mvcc_begin(struct mvcc *m, bool read_only, MDB_txn **txn, struct error *err)
{
	int rc = mdb_txn_begin(m->env, NULL, read_only ? MDB_RDONLY : 0, txn);
	return rc ? failed(err, rc, "begin") : true;
}

bool mvcc_meta_get(struct mvcc *m, MDB_txn *t, const char *name, int64_t *out, struct error *err)
{
	MDB_val k = VAL(name, strlen(name)), v;
	int rc = mdb_get(t, m->meta, &k, &v);
	*out = 0;
	if (rc == MDB_NOTFOUND)
		return true;
	if (rc || v.mv_size != sizeof(*out))
		return failed(err, rc ? rc : MDB_CORRUPTED, name);
	memcpy(out, v.mv_data, sizeof(*out));
	return true;
}

bool mvcc_meta_put(struct mvcc *m, MDB_txn *t, const char *name, int64_t value, struct error *err)
{
	MDB_val k = VAL(name, strlen(name)), v = VAL(&value, sizeof(value));
	int rc = mdb_put(t, m->meta, &k, &v, 0);
	return rc ? failed(err, rc, name) : true;
}

void version_encode(struct buf *to, const struct version *v)
{
	struct version_head h = v->h;
	h.key_len = (uint32_t)v->key.n;
	h.value_len = (uint32_t)v->value.n;
	buf_add(to, str_n((const char *)&h, sizeof(h)));
	buf_add(to, v->key);
	buf_add(to, v->value);
}

bool version_decode(str *from, struct version *out)
{
	if (from->n < sizeof(out->h))
		return false;
	memcpy(&out->h, from->p, sizeof(out->h));
	size_t n = sizeof(out->h) + (size_t)out->h.key_len + out->h.value_len;
	if (from->n < n)
		return false;
	out->key = str_n(from->p + sizeof(out->h), out->h.key_len);
	out->value = str_n(out->key.p + out->key.n, out->h.value_len);
	*from = str_from(*from, n);
	return true;
}

static bool version_of(MDB_val v, struct version *out)
{
	str s = str_n(v.mv_data, v.mv_size);
	return version_decode(&s, out) && s.n == 0;
}

bool mvcc_version(struct mvcc *m, MDB_txn *t, int64_t revision, uint32_t sub, struct version *out, bool *found, struct error *err)
{
	struct log_key lk = log_key(revision, sub);
	MDB_val k = VAL(&lk, sizeof(lk)), v;
	int rc = mdb_get(t, m->log, &k, &v);
	*found = rc == 0;
	if (rc == MDB_NOTFOUND)
		return true;
	if (rc || !version_of(v, out))
		return failed(err, rc ? rc : MDB_CORRUPTED, "log");
	return true;
}

static bool head_get(struct mvcc *m, MDB_txn *t, str key, struct place *p, bool *found, struct error *err)
{
	MDB_val k = VAL(key.p, key.n), v;
	int rc = mdb_get(t, m->head, &k, &v);
	*found = rc == 0;
	if (rc == MDB_NOTFOUND)
		return true;
	if (rc || v.mv_size != sizeof(*p))
		return failed(err, rc ? rc : MDB_CORRUPTED, "head");
	memcpy(p, v.mv_data, sizeof(*p));
	return true;
}

bool mvcc_newest(struct mvcc *m, MDB_txn *t, str key, struct version *out, bool *found, struct error *err)
{
	struct place p;
	if (!head_get(m, t, key, &p, found, err))
		return false;
	return !*found || mvcc_version(m, t, p.revision, p.sub, out, found, err);
}

static bool walk_back(struct mvcc *m, MDB_txn *t, int64_t at, uint32_t sub, int64_t revision, struct version *out, bool *found, struct error *err)
{
	for (;;) {
		if (!at) {
			*found = false;
			return true;
		}
		if (!mvcc_version(m, t, at, sub, out, found, err) || !*found)
			return *found ? false : err->code == 0;
		if (revision == 0 || out->h.revision <= revision) {
			*found = !(out->h.flags & VERSION_DELETED);
			return true;
		}
		at = out->h.previous_revision;
		sub = out->h.previous_sub;
	}
}

bool mvcc_at(struct mvcc *m, MDB_txn *t, str key, int64_t revision, struct version *out, bool *found, struct error *err)
{
	struct place p;
	err->code = 0;
	if (!head_get(m, t, key, &p, found, err))
		return false;
	return !*found || walk_back(m, t, p.revision, p.sub, revision, out, found, err);
}

bool mvcc_put(struct mvcc *m, MDB_txn *t, const struct version *v, struct error *err)
{
	struct log_key lk = log_key(v->h.revision, v->h.sub);
	MDB_val k = VAL(&lk, sizeof(lk)), val = { .mv_size = sizeof(v->h) + v->key.n + v->value.n };
	int rc = mdb_put(t, m->log, &k, &val, MDB_RESERVE | MDB_APPEND);
	if (rc)
		return failed(err, rc, "log");
	struct version_head h = v->h;
	h.key_len = (uint32_t)v->key.n;
	h.value_len = (uint32_t)v->value.n;
	char *to = val.mv_data;
	memcpy(to, &h, sizeof(h));
	memcpy(to + sizeof(h), v->key.p, v->key.n);
	if (v->value.n)
		memcpy(to + sizeof(h) + v->key.n, v->value.p, v->value.n);
	struct place p = { .revision = h.revision, .create_revision = h.create_revision, .expires = h.expires, .sub = h.sub, .flags = h.flags };
	k = VAL(v->key.p, v->key.n);
	val = VAL(&p, sizeof(p));
	rc = mdb_put(t, m->head, &k, &val, 0);
	if (rc)
		return failed(err, rc, "head");
	if (h.expires) {
		char row[8 + MVCC_KEY_MAX];
		uint64_t be = htobe64((uint64_t)h.expires);
		memcpy(row, &be, 8);
		memcpy(row + 8, v->key.p, v->key.n);
		k = VAL(row, 8 + v->key.n);
		val = VAL("", 0);
		rc = mdb_put(t, m->ttl, &k, &val, 0);
		if (rc)
			return failed(err, rc, "ttl");
	}
	return true;
}

bool mvcc_since(struct mvcc *m, MDB_txn *t, int64_t revision, bool (*each)(const struct version *v, void *ctx), void *ctx, struct error *err)
{
	MDB_cursor *c;
	int rc = mdb_cursor_open(t, m->log, &c);
	if (rc)
		return failed(err, rc, "log");
	struct log_key lk = log_key(revision + 1, 0);
	MDB_val k = VAL(&lk, sizeof(lk)), v;
	bool ok = true;
	for (rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE); rc == 0; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
		struct version ver;
		if (!version_of(v, &ver)) {
			ok = failed(err, MDB_CORRUPTED, "log");
			break;
		}
		if (!each(&ver, ctx))
			break;
	}
	if (rc && rc != MDB_NOTFOUND)
		ok = failed(err, rc, "log");
	mdb_cursor_close(c);
	return ok;
}

static struct store_entry entry_of(const struct version *v)
{
	return (struct store_entry){ .key = v->key, .value = v->value, .create_revision = v->h.create_revision, .mod_revision = v->h.revision,
		                     .expires = v->h.expires };
}

bool mvcc_range(struct mvcc *m, MDB_txn *t, str from, str to, int64_t revision, size_t limit, bool (*each)(const struct store_entry *e, void *ctx),
                void *ctx, bool *more, struct error *err)
{
	MDB_cursor *c;
	int rc = mdb_cursor_open(t, m->head, &c);
	if (rc)
		return failed(err, rc, "head");
	MDB_val k = VAL(from.p, from.n), v;
	size_t n = 0;
	bool ok = true, any = false;
	err->code = 0;
	for (rc = mdb_cursor_get(c, &k, &v, from.n ? MDB_SET_RANGE : MDB_FIRST); rc == 0; rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) {
		str key = str_n(k.mv_data, k.mv_size);
		if (to.n && str_cmp(key, to) >= 0)
			break;
		struct place p;
		if (v.mv_size != sizeof(p)) {
			ok = failed(err, MDB_CORRUPTED, "head");
			break;
		}
		memcpy(&p, v.mv_data, sizeof(p));
		if ((p.flags & VERSION_DELETED) && (revision == 0 || p.revision <= revision))
			continue;
		struct version ver;
		bool found;
		if (!walk_back(m, t, p.revision, p.sub, revision, &ver, &found, err)) {
			ok = false;
			break;
		}
		if (!found)
			continue;
		if (limit && n == limit) {
			any = true;
			break;
		}
		struct store_entry e = entry_of(&ver);
		n++;
		if (!each(&e, ctx))
			break;
	}
	if (ok && rc && rc != MDB_NOTFOUND)
		ok = failed(err, rc, "head");
	mdb_cursor_close(c);
	if (more)
		*more = any;
	return ok;
}

static int log_del(struct mvcc *m, MDB_txn *t, int64_t revision, uint32_t sub)
{
	struct log_key lk = log_key(revision, sub);
	MDB_val k = VAL(&lk, sizeof(lk));
	int rc = mdb_del(t, m->log, &k, NULL);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

struct step { int64_t revision, previous_revision; uint32_t sub, previous_sub, flags; str key; };
struct steps { struct arena *a; struct step *v; size_t n, max; int64_t target; bool end; };

static bool take_step(const struct version *v, void *ctx)
{
	struct steps *s = ctx;
	if (v->h.revision > s->target) {
		s->end = true;
		return false;
	}
	// A batch is taken whole, since the position is a revision.
	if (s->n >= s->max && s->v[s->n - 1].revision != v->h.revision)
		return false;
	*LIST_ADD(s->a, s) = (struct step){ v->h.revision, v->h.previous_revision, v->h.sub, v->h.previous_sub, v->h.flags, arena_dup(s->a, v->key) };
	return true;
}

bool mvcc_compact(struct mvcc *m, MDB_txn *t, int64_t target, int64_t *position, size_t budget, bool *done, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct steps s = { .a = a, .max = budget, .target = target };
	if (!mvcc_since(m, t, *position, take_step, &s, err))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		struct step *x = &s.v[i];
		int rc = x->previous_revision ? log_del(m, t, x->previous_revision, x->previous_sub) : 0;
		if (!rc && (x->flags & VERSION_DELETED)) {
			rc = log_del(m, t, x->revision, x->sub);
			struct place p;
			bool found;
			if (!rc && !head_get(m, t, x->key, &p, &found, err))
				return false;
			if (!rc && found && p.revision == x->revision && p.sub == x->sub) {
				MDB_val k = VAL(x->key.p, x->key.n);
				rc = mdb_del(t, m->head, &k, NULL);
			}
		}
		if (rc)
			return failed(err, rc, "compact");
		*position = x->revision;
	}
	*done = s.end || s.n < s.max;
	if (*done)
		*position = target;
	return mvcc_meta_put(m, t, "position", *position, err);
}

bool mvcc_expired(struct mvcc *m, MDB_txn *t, struct arena *a, int64_t now, size_t max, struct store_entry **out, size_t *n, int64_t *next,
                  struct error *err)
{
	MDB_cursor *c;
	int rc = mdb_cursor_open(t, m->ttl, &c);
	if (rc)
		return failed(err, rc, "ttl");
	struct { struct store_entry *v; size_t n; } list = { 0 };
	MDB_val k, v;
	*next = 0;
	bool ok = true;
	while ((rc = mdb_cursor_get(c, &k, &v, MDB_FIRST)) == 0) {
		uint64_t be;
		memcpy(&be, k.mv_data, 8);
		int64_t when = (int64_t)be64toh(be);
		if (when > now || list.n >= max) {
			*next = when;
			break;
		}
		str key = arena_dup(a, str_n((char *)k.mv_data + 8, k.mv_size - 8));
		rc = mdb_cursor_del(c, 0);
		if (rc)
			break;
		struct place p;
		bool found;
		if (!head_get(m, t, key, &p, &found, err)) {
			ok = false;
			break;
		}
		if (found && !(p.flags & VERSION_DELETED) && p.expires && p.expires <= now)
			*LIST_ADD(a, &list) = (struct store_entry){ .key = key, .mod_revision = p.revision };
	}
	mdb_cursor_close(c);
	if (ok && rc && rc != MDB_NOTFOUND)
		return failed(err, rc, "ttl");
	*out = list.v;
	*n = list.n;
	return ok;
}
