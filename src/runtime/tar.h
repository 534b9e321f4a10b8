// libarchive, loaded when the first archive is read and only in processes that read archives: it brings libxml2 and ICU
// with it, which a server that waits for calls has no use for.
#ifndef CORACLE_RUNTIME_TAR_H
#define CORACLE_RUNTIME_TAR_H

#include <archive.h>
#include <archive_entry.h>

#include "base/arena.h"
#include "base/error.h"

#define ARCHIVE_FUNCTIONS(X) \
	X(archive_read_new) X(archive_read_free) X(archive_read_support_filter_gzip) X(archive_read_support_filter_zstd) \
	X(archive_read_support_format_raw) X(archive_read_support_format_empty) X(archive_read_support_format_tar) \
	X(archive_read_set_options) X(archive_read_open_fd) X(archive_read_open2) X(archive_read_next_header) \
	X(archive_read_data) X(archive_read_data_block) X(archive_error_string) X(archive_errno) X(archive_set_error) \
	X(archive_entry_pathname) X(archive_entry_hardlink) X(archive_entry_symlink) X(archive_entry_filetype) \
	X(archive_entry_perm) X(archive_entry_uid) X(archive_entry_gid) X(archive_entry_size) X(archive_entry_size_is_set) \
	X(archive_entry_mtime) X(archive_entry_mtime_nsec) X(archive_entry_mtime_is_set) \
	X(archive_entry_rdevmajor) X(archive_entry_rdevminor) X(archive_entry_xattr_reset) X(archive_entry_xattr_next)

struct archive_lib {
	void *handle;
#define X(f) __typeof__(&f) f;
	ARCHIVE_FUNCTIONS(X)
#undef X
};

bool archive_lib_load(struct archive_lib *l, struct error *err);

// A tar stream inside what may be gzip or zstd; the digest of the uncompressed bytes comes with it.
struct tar_stream;
// Reads from fd (not closed). The descriptor is at the beginning of the data.
struct tar_stream *tar_open(const struct archive_lib *l, int fd, struct error *err);
struct archive *tar_archive(struct tar_stream *t);
// The next entry; NULL at the end (err untouched, *end true) or on failure.
struct archive_entry *tar_next(struct tar_stream *t, bool *end, struct error *err);
// After the last entry: reads what follows the end-of-archive mark and returns the digest of all uncompressed bytes.
bool tar_finish(struct tar_stream *t, struct arena *a, str *digest, struct error *err);
void tar_close(struct tar_stream *t);

// A path of an archive without leading slashes, "." and empty parts. False for one with ".." or longer than PATH_MAX.
// The root itself becomes the empty slice.
bool tar_path_clean(struct arena *a, const char *path, str *out);

#endif
