#include "runtime/image.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/encode.h"
#include "base/io.h"
#include "base/log.h"
#include "base/map.h"
#include "base/random.h"
#include "json/json.h"
#include "runtime/digest.h"
#include "runtime/ref.h"
#include "runtime/unpack.h"

enum { INDEX_MAX_BYTES = 64 << 20, LAYER_NAME = 32 };

bool image_store_open(struct image_store *s, const char *dir, struct error *err)
{
	static const char *const parts[] = { "", "/blobs", "/layers", "/ingest", "/empty" };
	s->dir = dir;
	_cleanup_arena_ struct arena *a = arena_new(0);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		// Layers must be reachable for processes inside containers, whoever they are.
		if (!io_mkdirs(arena_printf(a, "%s%s", dir, parts[i]).p, i == 4 ? 0755 : 0711, err))
			return false;
	return true;
}

static int lock_file(const struct image_store *s, const char *name, int how, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	const char *path = arena_printf(a, "%s/%s", s->dir, name).p;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		error_errno(err, "open %s", path);
		return -1;
	}
	while (flock(fd, how) < 0) {
		if (errno == EINTR)
			continue;
		error_errno(err, "lock %s", path);
		close(fd);
		return -1;
	}
	return fd;
}

int image_hold(const struct image_store *s, struct error *err)
{
	return lock_file(s, "gc.lock", LOCK_SH, err);
}

// --- The index ---

static void read_list(struct arena *a, const struct value *v, struct str_list *out)
{
	for (size_t i = 0; value_is(v, V_ARRAY) && i < v->a.n; i++)
		if (value_is(v->a.v[i], V_STRING))
			*LIST_ADD(a, out) = v->a.v[i]->s;
}

static struct value *write_list(struct arena *a, const struct str_list *l)
{
	struct value *v = value_array(a);
	for (size_t i = 0; i < l->n; i++)
		value_append(a, v, value_string(a, l->v[i]));
	return v;
}

bool image_list(const struct image_store *s, struct arena *a, struct image_list *out, struct error *err)
{
	*out = (struct image_list){ 0 };
	const char *path = arena_printf(a, "%s/index.json", s->dir).p;
	if (!io_exists(path))
		return true;
	str text;
	if (!io_read_file(a, path, INDEX_MAX_BYTES, &text, err))
		return false;
	struct value *v = json_parse(a, text, NULL, err);
	if (!v)
		return error_wrap(err, "%s", path);
	const struct value *images = value_get(v, S("images"));
	for (size_t i = 0; value_is(images, V_ARRAY) && i < images->a.n; i++) {
		const struct value *e = images->a.v[i];
		struct image m = {
			.id = value_get_str(e, S("id")), .manifest = value_get_str(e, S("manifest")), .user = value_get_str(e, S("user")),
		};
		value_to_i64(value_get(e, S("size")), &m.size);
		read_list(a, value_get(e, S("names")), &m.names);
		read_list(a, value_get(e, S("digests")), &m.digests);
		read_list(a, value_get(e, S("chains")), &m.chains);
		if (digest_valid(m.id) && digest_valid(m.manifest))
			*LIST_ADD(a, out) = m;
	}
	return true;
}

static bool write_index(const struct image_store *s, struct arena *a, const struct image_list *l, struct error *err)
{
	struct value *images = value_array(a);
	for (size_t i = 0; i < l->n; i++) {
		const struct image *m = &l->v[i];
		struct value *e = value_object(a);
		value_set(a, e, S("id"), value_string(a, m->id));
		value_set(a, e, S("manifest"), value_string(a, m->manifest));
		value_set(a, e, S("names"), write_list(a, &m->names));
		value_set(a, e, S("digests"), write_list(a, &m->digests));
		value_set(a, e, S("chains"), write_list(a, &m->chains));
		value_set(a, e, S("size"), value_int(a, m->size));
		value_set(a, e, S("user"), value_string(a, m->user));
		value_append(a, images, e);
	}
	struct value *v = value_object(a);
	value_set(a, v, S("images"), images);
	return io_write_file(arena_printf(a, "%s/index.json", s->dir).p, json_text(a, v, JSON_COMPACT), 0600, err);
}

static bool has(const struct str_list *l, str s)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->v[i], s))
			return true;
	return false;
}

static void drop(struct str_list *l, str s)
{
	size_t n = 0;
	for (size_t i = 0; i < l->n; i++)
		if (!str_eq(l->v[i], s))
			l->v[n++] = l->v[i];
	l->n = n;
}

static struct image *find_in(struct arena *a, const struct image_list *l, str ref)
{
	str id = ref.n == 64 && str_find_char(ref, '/') < 0 ? arena_concat(a, S("sha256:"), ref) : ref;
	if (digest_valid(id)) {
		for (size_t i = 0; i < l->n; i++)
			if (str_eq(l->v[i].id, id))
				return &l->v[i];
		if (str_has_prefix(ref, S("sha256:")))
			return NULL;
	}
	struct image_ref r;
	struct error ignored = { 0 };
	if (!image_ref_parse(a, ref, &r, &ignored))
		return NULL;
	str name = r.digest.n ? image_ref_digested(a, &r, r.digest) : image_ref_tagged(a, &r);
	for (size_t i = 0; i < l->n; i++)
		if (has(r.digest.n ? &l->v[i].digests : &l->v[i].names, name))
			return &l->v[i];
	return NULL;
}

bool image_find(const struct image_store *s, struct arena *a, str ref, struct image **out, struct error *err)
{
	struct image_list l;
	*out = NULL;
	if (!image_list(s, a, &l, err))
		return false;
	*out = find_in(a, &l, ref);
	return true;
}

bool image_read_config(const struct image_store *s, struct arena *a, str id, struct image_config *out, struct error *err)
{
	str text;
	return blob_read(s, a, id, &text, err) && image_config_parse(a, text, out, err);
}

bool image_remove(const struct image_store *s, struct arena *a, str ref, struct error *err)
{
	_cleanup_close_ int lock = lock_file(s, "lock", LOCK_EX, err);
	struct image_list l;
	if (lock < 0 || !image_list(s, a, &l, err))
		return false;
	struct image *m = find_in(a, &l, ref);
	if (!m)
		return true;
	size_t at = (size_t)(m - l.v);
	memmove(l.v + at, l.v + at + 1, (l.n - at - 1) * sizeof(*l.v));
	l.n--;
	return write_index(s, a, &l, err);
}

// Names point at one image only. What loses its last name stays reachable by its id, as in containerd's dangling images,
// until it is removed.
static bool add_to_index(const struct image_store *s, struct arena *a, const struct image *m, struct error *err)
{
	_cleanup_close_ int lock = lock_file(s, "lock", LOCK_EX, err);
	struct image_list l;
	if (lock < 0 || !image_list(s, a, &l, err))
		return false;
	struct image *same = NULL;
	for (size_t i = 0; i < l.n; i++) {
		for (size_t k = 0; k < m->names.n; k++)
			drop(&l.v[i].names, m->names.v[k]);
		for (size_t k = 0; k < m->digests.n; k++)
			drop(&l.v[i].digests, m->digests.v[k]);
		if (str_eq(l.v[i].id, m->id))
			same = &l.v[i];
	}
	if (same) {
		struct image merged = *m;
		merged.names = same->names;
		merged.digests = same->digests;
		for (size_t k = 0; k < m->names.n; k++)
			*LIST_ADD(a, &merged.names) = m->names.v[k];
		for (size_t k = 0; k < m->digests.n; k++)
			*LIST_ADD(a, &merged.digests) = m->digests.v[k];
		*same = merged;
	} else {
		*LIST_ADD(a, &l) = *m;
	}
	return write_index(s, a, &l, err);
}

// --- Layers ---

const char *image_layer_dir(const struct image_store *s, struct arena *a, str chain)
{
	return arena_printf(a, "%s/layers/" STR_FMT, s->dir, STR_ARG(str_sub(digest_hex(chain), 0, LAYER_NAME))).p;
}

bool image_layer_exists(const struct image_store *s, struct arena *a, str chain)
{
	return io_exists(image_layer_dir(s, a, chain));
}

const char **image_lower_dirs(const struct image_store *s, struct arena *a, const struct str_list *chains, size_t *n)
{
	const char **dirs = ARENA_ARRAY(a, const char *, chains->n + 1);
	for (size_t i = 0; i < chains->n; i++)
		dirs[i] = image_layer_dir(s, a, chains->v[chains->n - 1 - i]);
	*n = chains->n;
	if (*n == 0)
		dirs[(*n)++] = arena_printf(a, "%s/empty", s->dir).p;
	return dirs;
}

static bool install_layer(const struct image_store *s, struct arena *a, const struct descriptor *d, str diff_id,
                          const struct str_list *below, str chain, struct error *err)
{
	if (image_layer_exists(s, a, chain))
		return true;
	uint64_t id = rng_u64(NULL);
	const char *work = arena_printf(a, "%s/ingest/layer-" STR_FMT, s->dir, STR_ARG(hex_encode(a, str_n((char *)&id, sizeof(id))))).p;
	if (mkdir(work, 0700) < 0)
		return error_errno(err, "mkdir %s", work);
	size_t nlower = 0;
	const char **lower = below->n ? image_lower_dirs(s, a, below, &nlower) : NULL;
	bool ok = unpack_layer(a, blob_path(s, a, d->digest), work, diff_id, lower, nlower, err);
	if (ok && rename(arena_printf(a, "%s/diff", work).p, image_layer_dir(s, a, chain)) < 0 &&
	    errno != EEXIST && errno != ENOTEMPTY) // another process was quicker: the same contents
		ok = error_errno(err, "rename %s", work);
	struct error ignored = { 0 };
	io_remove_tree(work, &ignored);
	return ok;
}

bool image_install(const struct image_store *s, struct arena *a, str manifest_digest, const struct str_list *names,
                   const struct str_list *digests, str *id, struct error *err)
{
	str text;
	struct manifest m;
	if (!blob_read(s, a, manifest_digest, &text, err) || !manifest_parse(a, text, &m, err))
		return false;
	if (m.is_index)
		return error_api(err, 400, "BadRequest", "an index is not an image");
	struct image_config c;
	if (!image_read_config(s, a, m.config.digest, &c, err))
		return false;
	if (c.os.n && !str_eqc(c.os, "linux"))
		return error_api(err, 400, "BadRequest", "image is for " STR_FMT "/" STR_FMT, STR_ARG(c.os), STR_ARG(c.arch));
	if (c.diff_ids.n != m.layers.n)
		return error_api(err, 400, "BadRequest", "image has %zu layers, its configuration names %zu", m.layers.n, c.diff_ids.n);
	struct image image = {
		.id = m.config.digest, .manifest = manifest_digest, .names = *names, .digests = *digests, .user = c.user,
		.size = (int64_t)text.n + m.config.size,
	};
	str chain = { 0 };
	for (size_t i = 0; i < m.layers.n; i++) {
		chain = digest_chain(a, chain, c.diff_ids.v[i]);
		if (!install_layer(s, a, &m.layers.v[i], c.diff_ids.v[i], &image.chains, chain, err))
			return error_wrap(err, "layer " STR_FMT, STR_ARG(m.layers.v[i].digest));
		*LIST_ADD(a, &image.chains) = chain;
		if (__builtin_add_overflow(image.size, m.layers.v[i].size, &image.size))
			image.size = INT64_MAX;
	}
	// Everything is on disk before the index says so.
	_cleanup_close_ int dir = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || syncfs(dir) < 0)
		return error_errno(err, "sync %s", s->dir);
	*id = image.id;
	return add_to_index(s, a, &image, err);
}

// --- Garbage ---

// A layer goes in one step (by a rename) and is deleted then: half a layer must never look like a whole one.
static bool sweep(struct arena *a, const char *dir, const char *trash, const struct map *keep, bool (*used)(str, void *), void *ctx, struct error *err)
{
	_cleanup_closedir_ DIR *d = opendir(dir);
	if (!d)
		return error_errno(err, "%s", dir);
	bool ok = true;
	for (struct dirent *e; (e = readdir(d));) {
		str name = str_c(e->d_name);
		if (name.p[0] == '.' || map_has(keep, name) || (used && used(name, ctx)))
			continue;
		const char *path = arena_printf(a, "%s/%s", dir, e->d_name).p;
		const char *aside = arena_printf(a, "%s/trash-%s", trash, e->d_name).p;
		struct error ignored = { 0 };
		io_remove_tree(aside, &ignored);
		if (rename(path, aside) < 0)
			ok = error_errno(err, "rename %s", path);
		else
			ok &= io_remove_tree(aside, err);
	}
	return ok;
}

// Of the ingest directory only what nobody can go on with; parts of downloads stay for a day.
static bool sweep_ingest(struct arena *a, const char *dir, struct error *err)
{
	_cleanup_closedir_ DIR *d = opendir(dir);
	if (!d)
		return error_errno(err, "%s", dir);
	bool ok = true;
	for (struct dirent *e; (e = readdir(d));) {
		struct stat st;
		if (e->d_name[0] == '.' || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		bool part = S_ISREG(st.st_mode) && strncmp(e->d_name, "new-", 4) != 0 && strncmp(e->d_name, "trash-", 6) != 0;
		if (part && time(NULL) - st.st_mtime < 24 * 3600)
			continue;
		ok &= io_remove_tree(arena_printf(a, "%s/%s", dir, e->d_name).p, err);
	}
	return ok;
}

bool image_gc(const struct image_store *s, struct arena *a, bool (*layer_used)(str name, void *ctx), void *ctx, struct error *err)
{
	_cleanup_close_ int gc = -1;
	struct error busy = { 0 };
	gc = lock_file(s, "gc.lock", LOCK_EX | LOCK_NB, &busy);
	if (gc < 0)
		return busy.sys == EWOULDBLOCK ? true : error_set(err, "%s", busy.text);
	struct image_list l;
	if (!image_list(s, a, &l, err))
		return false;
	_cleanup_map_ struct map blobs = { 0 }, layers = { 0 };
	for (size_t i = 0; i < l.n; i++) {
		map_put(&blobs, digest_hex(l.v[i].manifest), NULL);
		map_put(&blobs, digest_hex(l.v[i].id), NULL);
		for (size_t k = 0; k < l.v[i].chains.n; k++)
			map_put(&layers, str_sub(digest_hex(l.v[i].chains.v[k]), 0, LAYER_NAME), NULL);
	}
	const char *ingest = arena_printf(a, "%s/ingest", s->dir).p;
	bool ok = sweep_ingest(a, ingest, err);
	ok &= sweep(a, arena_printf(a, "%s/blobs", s->dir).p, ingest, &blobs, NULL, NULL, err);
	if (layer_used)
		ok &= sweep(a, arena_printf(a, "%s/layers", s->dir).p, ingest, &layers, layer_used, ctx, err);
	return ok;
}

bool image_usage(const struct image_store *s, uint64_t *bytes, uint64_t *inodes, struct error *err)
{
	*bytes = *inodes = 0;
	char *const paths[] = { (char *)(uintptr_t)s->dir, NULL };
	FTS *f = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	if (!f)
		return error_errno(err, "%s", s->dir);
	for (FTSENT *e; (e = fts_read(f));) {
		if (e->fts_info == FTS_DP || !e->fts_statp)
			continue;
		*bytes += (uint64_t)e->fts_statp->st_blocks * 512;
		++*inodes;
	}
	fts_close(f);
	return true;
}
