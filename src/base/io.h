// Files and descriptors.
#ifndef CORACLE_BASE_IO_H
#define CORACLE_BASE_IO_H

#include <dirent.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/error.h"

static inline void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
static inline void closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}
static inline void fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}
#define _cleanup_close_ __attribute__((cleanup(closep)))
#define _cleanup_closedir_ __attribute__((cleanup(closedirp)))
#define _cleanup_fclose_ __attribute__((cleanup(fclosep)))

// The whole file, at most `limit` bytes (more is an error, code 413). The text is in the arena, terminated.
bool io_read_file(struct arena *a, const char *path, size_t limit, str *out, struct error *err);
// Everything up to the end of the descriptor, at most `limit` bytes.
bool io_read_fd(struct arena *a, int fd, size_t limit, str *out, struct error *err);
// Replaces the file atomically (temporary file beside it, fsync, rename). Mode as given, whatever the umask.
bool io_write_file(const char *path, str data, mode_t mode, struct error *err);
// Writes into an existing file (as in /proc and /sys): one open, one write.
bool io_write_existing(const char *path, str data, struct error *err);
// Writes everything, through short writes and EINTR.
bool io_write_all(int fd, str data, struct error *err);
// mkdir -p. Existing directories are left as they are.
bool io_mkdirs(const char *path, mode_t mode, struct error *err);
// rm -rf, never across a mount point and never through a symbolic link. A missing path is fine.
bool io_remove_tree(const char *path, struct error *err);
bool io_exists(const char *path);
bool io_set_cloexec(int fd, bool on);
bool io_set_nonblock(int fd, bool on);

#endif
