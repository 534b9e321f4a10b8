#include "runtime/import.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/heap.h"
#include "base/io.h"
#include "base/map.h"
#include "json/json.h"
#include "runtime/tar.h"
#include "runtime/digest.h"
#include "runtime/ref.h"

enum { IMPORT_MAX_FILES = 100 * 1000, IMPORT_MAX_DEPTH = 4 };

// Where the parts of an archive are: packed ones are all in the store by now, an unpacked layout is read when needed.
struct source {
	const struct image_store *s;
	struct arena *a;
	const char *dir;         // unpacked layout, or NULL
	struct map files;        // path in the archive -> digest (char *)
	struct map links;        // path -> target path (char *), docker archives share layers so
	str name;
	struct imported_list *out;
};

static bool resolve_link(struct arena *a, str from, const char *target, str *out)
{
	ptrdiff_t slash = str_rfind_char(from, '/');
	str dir = slash > 0 ? str_sub(from, 0, (size_t)slash) : (str){ 0 };
	str rest = str_c(target);
	while (str_cut_prefix(&rest, S("../"))) {
		if (dir.n == 0)
			return false;
		slash = str_rfind_char(dir, '/');
		dir = slash > 0 ? str_sub(dir, 0, (size_t)slash) : (str){ 0 };
	}
	str joined = dir.n ? arena_concat(a, dir, S("/"), rest) : rest;
	return tar_path_clean(a, arena_cstr(a, joined), out);
}

static bool store_entry(struct source *src, const struct archive_lib *l, struct tar_stream *t, str path, struct error *err)
{
	struct blob_writer w;
	bool have;
	if (!blob_begin(src->s, src->a, (str){ 0 }, &w, &have, err))
		return false;
	_cleanup_free_ char *block = heap_alloc(256 * 1024);
	la_ssize_t n;
	while ((n = l->archive_read_data(tar_archive(t), block, 256 * 1024)) > 0)
		if (!blob_write(&w, block, (size_t)n, err)) {
			blob_abort(&w, false);
			return false;
		}
	if (n < 0) {
		blob_abort(&w, false);
		return error_api(err, 400, "BadRequest", STR_FMT ": %s", STR_ARG(path), l->archive_error_string(tar_archive(t)));
	}
	str expect = { 0 }, hex = path, digest;
	if (str_cut_prefix(&hex, S("blobs/sha256/")))
		expect = arena_concat(src->a, S("sha256:"), hex);
	if (!blob_commit(src->s, src->a, &w, expect, -1, &digest, err))
		return error_wrap(err, STR_FMT, STR_ARG(path));
	map_put(&src->files, path, arena_cstr(src->a, digest));
	return true;
}

static bool store_archive(struct source *src, int fd, struct error *err)
{
	struct archive_lib l;
	if (!archive_lib_load(&l, err))
		return false;
	struct tar_stream *t = tar_open(&l, fd, err);
	if (!t)
		return false;
	bool ok = true, end = false;
	size_t count = 0;
	for (struct archive_entry *e; ok && (e = tar_next(t, &end, err));) {
		str path, target;
		const char *raw = l.archive_entry_pathname(e), *link = l.archive_entry_hardlink(e);
		if (++count > IMPORT_MAX_FILES)
			ok = error_api(err, 413, "RequestEntityTooLarge", "archive has more than %d entries", IMPORT_MAX_FILES);
		else if (!tar_path_clean(src->a, raw, &path))
			ok = error_api(err, 400, "BadRequest", "invalid path \"%.200s\" in archive", raw ? raw : "");
		else if (link && tar_path_clean(src->a, link, &target))
			map_put(&src->links, path, arena_cstr(src->a, target));
		else if (l.archive_entry_filetype(e) == AE_IFLNK && resolve_link(src->a, path, l.archive_entry_symlink(e), &target))
			map_put(&src->links, path, arena_cstr(src->a, target));
		else if (!link && l.archive_entry_filetype(e) == AE_IFREG)
			ok = store_entry(src, &l, t, path, err);
	}
	ok = ok && end;
	tar_close(t);
	return ok;
}

// The digest of a file of the archive; empty when there is none.
static str file_digest(struct source *src, str path)
{
	for (int i = 0; i < 8; i++) {
		const char *d = map_get(&src->files, path);
		if (d)
			return str_c(d);
		const char *to = map_get(&src->links, path);
		if (!to)
			break;
		path = str_c(to);
	}
	return (str){ 0 };
}

static bool read_file(struct source *src, const char *name, str *out, bool *found, struct error *err)
{
	*found = true;
	if (src->dir) {
		const char *path = arena_printf(src->a, "%s/%s", src->dir, name).p;
		if (io_exists(path))
			return io_read_file(src->a, path, MANIFEST_MAX_BYTES, out, err);
	} else {
		str d = file_digest(src, str_c(name));
		if (d.n)
			return blob_read(src->s, src->a, d, out, err);
	}
	*found = false;
	return true;
}

// Makes sure that the store has the blob; a packed archive has put all of its own there already.
static bool need_blob(struct source *src, str digest, int64_t size, struct error *err)
{
	if (blob_exists(src->s, src->a, digest))
		return true;
	if (!src->dir)
		return error_api(err, 400, "BadRequest", "archive has no blob " STR_FMT, STR_ARG(digest));
	const char *path = arena_printf(src->a, "%s/blobs/sha256/" STR_FMT, src->dir, STR_ARG(digest_hex(digest))).p;
	_cleanup_close_ int in = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (in < 0)
		return error_errno(err, "open %s", path);
	struct blob_writer w;
	bool have;
	if (!blob_begin(src->s, src->a, digest, &w, &have, err))
		return false;
	if (have)
		return true;
	bool ok = blob_restart(&w, err);
	_cleanup_free_ char *block = heap_alloc(256 * 1024);
	ssize_t n = 0;
	while (ok && (n = read(in, block, 256 * 1024)) > 0)
		ok = blob_write(&w, block, (size_t)n, err);
	if (ok && n < 0)
		ok = error_errno(err, "read %s", path);
	if (!ok) {
		blob_abort(&w, false);
		return false;
	}
	return blob_commit(src->s, src->a, &w, digest, size, NULL, err);
}

static bool install(struct source *src, str manifest_digest, const struct str_list *names, struct error *err)
{
	struct arena *a = src->a;
	struct str_list tags = { 0 }, digests = { 0 };
	for (size_t i = 0; i < names->n; i++) {
		struct image_ref r;
		if (!image_ref_parse(a, names->v[i], &r, err))
			return error_wrap(err, "name \"" STR_FMT "\"", STR_ARG(names->v[i]));
		if (r.tag.n)
			*LIST_ADD(a, &tags) = image_ref_tagged(a, &r);
		str d = image_ref_digested(a, &r, manifest_digest);
		bool known = false;
		for (size_t k = 0; k < digests.n; k++)
			known |= str_eq(digests.v[k], d);
		if (!known)
			*LIST_ADD(a, &digests) = d;
	}
	if (tags.n + digests.n == 0)
		return error_api(err, 400, "BadRequest", "the archive gives its image no name: use --name");
	struct imported *i = LIST_ADD(a, src->out);
	i->names = tags;
	return image_install(src->s, a, manifest_digest, &tags, &digests, &i->id, err);
}

static bool install_manifest(struct source *src, str digest, int64_t size, const struct str_list *names, int depth, struct error *err)
{
	str text;
	struct manifest m;
	if (!need_blob(src, digest, size, err) || !blob_read(src->s, src->a, digest, &text, err) || !manifest_parse(src->a, text, &m, err))
		return false;
	if (m.is_index) {
		const struct descriptor *d = manifest_select(&m);
		if (!d || depth >= IMPORT_MAX_DEPTH)
			return error_api(err, 404, "NotFound", "no image for linux/%s in the archive", manifest_host_arch());
		return install_manifest(src, d->digest, d->size, names, depth + 1, err);
	}
	if (!need_blob(src, m.config.digest, m.config.size, err))
		return false;
	for (size_t i = 0; i < m.layers.n; i++)
		if (!need_blob(src, m.layers.v[i].digest, m.layers.v[i].size, err))
			return false;
	return install(src, digest, names, err);
}

static bool import_layout(struct source *src, str index, struct error *err)
{
	struct arena *a = src->a;
	struct manifest m;
	if (!manifest_parse(a, index, &m, err))
		return error_wrap(err, "index.json");
	if (!m.is_index)
		return error_api(err, 400, "BadRequest", "index.json: not an index");
	for (size_t i = 0; i < m.manifests.n; i++) {
		const struct descriptor *d = &m.manifests.v[i];
		if ((d->os.n && !str_eqc(d->os, "linux")) || (d->arch.n && !str_eqc(d->arch, manifest_host_arch())))
			continue;
		struct str_list names = { 0 };
		str full = str_map_get(&d->annotations, S("io.containerd.image.name"));
		str ref = str_map_get(&d->annotations, S("org.opencontainers.image.ref.name"));
		if (src->name.n)
			*LIST_ADD(a, &names) = src->name;
		else if (full.n)
			*LIST_ADD(a, &names) = full;
		else if (str_find_char(ref, '/') >= 0 || str_find_char(ref, ':') >= 0)
			*LIST_ADD(a, &names) = ref; // a bare tag names no repository
		if (!install_manifest(src, d->digest, d->size, &names, 0, err))
			return false;
	}
	return true;
}

static struct value *descriptor_value(struct arena *a, str type, str digest, int64_t size)
{
	struct value *v = value_object(a);
	value_set(a, v, S("mediaType"), value_string(a, type));
	value_set(a, v, S("digest"), value_string(a, digest));
	value_set(a, v, S("size"), value_int(a, size));
	return v;
}

static int64_t blob_size(struct source *src, str digest)
{
	struct stat st;
	return stat(blob_path(src->s, src->a, digest), &st) == 0 ? st.st_size : 0;
}

// `docker save` before OCI layouts: files named in manifest.json. A manifest is made for each image.
static bool import_docker(struct source *src, str text, struct error *err)
{
	struct arena *a = src->a;
	struct value *list = json_parse(a, text, NULL, err);
	if (!list)
		return error_wrap(err, "manifest.json");
	if (list->kind != V_ARRAY || list->a.n > 1000)
		return error_api(err, 400, "BadRequest", "manifest.json: not a list of images");
	for (size_t i = 0; list->a.v && i < list->a.n; i++) {
		const struct value *e = list->a.v[i], *layers = value_get(e, S("Layers")), *tags = value_get(e, S("RepoTags"));
		str config = file_digest(src, value_get_str(e, S("Config")));
		if (config.n == 0 || (layers && layers->kind != V_NULL && layers->kind != V_ARRAY))
			return error_api(err, 400, "BadRequest", "manifest.json: the configuration of an image is missing");
		struct value *m = value_object(a), *ls = value_array(a);
		for (size_t k = 0; value_is(layers, V_ARRAY) && k < layers->a.n; k++) {
			str d = file_digest(src, value_str(layers->a.v[k]));
			if (d.n == 0)
				return error_api(err, 400, "BadRequest", "archive has no layer " STR_FMT, STR_ARG(value_str(layers->a.v[k])));
			value_append(a, ls, descriptor_value(a, S("application/vnd.oci.image.layer.v1.tar"), d, blob_size(src, d)));
		}
		value_set(a, m, S("schemaVersion"), value_int(a, 2));
		value_set(a, m, S("mediaType"), value_string(a, S("application/vnd.oci.image.manifest.v1+json")));
		value_set(a, m, S("config"), descriptor_value(a, S("application/vnd.oci.image.config.v1+json"), config, blob_size(src, config)));
		value_set(a, m, S("layers"), ls);
		struct str_list names = { 0 };
		if (src->name.n)
			*LIST_ADD(a, &names) = src->name;
		else
			for (size_t k = 0; value_is(tags, V_ARRAY) && k < tags->a.n; k++)
				*LIST_ADD(a, &names) = value_str(tags->a.v[k]);
		str digest;
		if (!blob_put(src->s, a, json_text(a, m, JSON_COMPACT), &digest, err) || !install(src, digest, &names, err))
			return false;
	}
	return true;
}

static bool import_source(struct source *src, struct error *err)
{
	str text;
	bool found;
	if (!read_file(src, "index.json", &text, &found, err))
		return false;
	if (found)
		return import_layout(src, text, err);
	if (!src->dir && !read_file(src, "manifest.json", &text, &found, err))
		return false;
	if (found)
		return import_docker(src, text, err);
	return error_api(err, 400, "BadRequest", "neither an OCI image layout nor a docker archive");
}

static bool import_from(struct source *src, int fd, struct error *err)
{
	_cleanup_close_ int hold = image_hold(src->s, err);
	if (hold < 0)
		return false;
	bool ok = (src->dir || store_archive(src, fd, err)) && import_source(src, err);
	map_free(&src->files);
	map_free(&src->links);
	return ok;
}

bool image_import_fd(const struct image_store *s, struct arena *a, int fd, str name, struct imported_list *out, struct error *err)
{
	struct source src = { .s = s, .a = a, .name = name, .out = out };
	return import_from(&src, fd, err);
}

bool image_import(const struct image_store *s, struct arena *a, const char *path, str name, struct imported_list *out, struct error *err)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return error_errno(err, "%s", path);
	if (S_ISDIR(st.st_mode)) {
		struct source src = { .s = s, .a = a, .dir = path, .name = name, .out = out };
		return import_from(&src, -1, err) || error_wrap(err, "%s", path);
	}
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, "%s", path);
	return image_import_fd(s, a, fd, name, out, err) || error_wrap(err, "%s", path);
}
