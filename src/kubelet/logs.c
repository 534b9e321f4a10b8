#include "kubelet/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/heap.h"
#include "base/io.h"

#define CHUNK (64 * 1024)
#define LINE_MAX_BYTES (1024 * 1024) // runtimes cut at 16 KiB; a longer line is passed over

struct log_reader {
	char *path;
	int fd;
	struct log_opts o;
	struct buf pending; // bytes that are no whole line yet
	int64_t written;
	bool in_line[2];    // the stream's last record was partial
	bool skipping;      // within a line that is too long
	bool moved;         // another file stands at the path; this one is read to its end first
};

bool log_parse(str line, struct log_record *out)
{
	str time, rest, stream, tags, content;
	int64_t sec;
	int32_t nsec;
	if (!str_split(line, ' ', &time, &rest) || !str_split(rest, ' ', &stream, &rest))
		return false;
	if (!time_parse(time, &sec, &nsec))
		return false;
	if (!str_eqc(stream, "stdout") && !str_eqc(stream, "stderr"))
		return false;
	if (!str_split(rest, ' ', &tags, &content))
		return false;
	// Tags are separated by colons, the first says whether the record is whole. Old records have no tag field.
	str first, others;
	str_split(tags, ':', &first, &others);
	*out = (struct log_record){ .time_text = time, .stderr_ = str_eqc(stream, "stderr"), .content = content };
	if (sec > INT64_MAX / NS_PER_SEC - 1 || sec < 0)
		return false;
	out->time_ns = sec * NS_PER_SEC + nsec;
	if (str_eqc(first, "P"))
		out->partial = true;
	else if (!str_eqc(first, "F"))
		return false;
	return true;
}

// Where the last `lines` lines begin.
static off_t tail_offset(int fd, off_t size, int64_t lines)
{
	char block[4096];
	off_t end = size;
	int64_t seen = 0;
	if (lines <= 0)
		return size;
	while (end > 0) {
		off_t from = end > (off_t)sizeof(block) ? end - (off_t)sizeof(block) : 0;
		ssize_t n = pread(fd, block, (size_t)(end - from), from);
		if (n <= 0)
			return 0;
		for (ssize_t i = n - 1; i >= 0; i--) {
			// The newline at the very end closes the last line.
			if (block[i] == '\n' && from + i != size - 1 && ++seen == lines)
				return from + i + 1;
		}
		end = from;
	}
	return 0;
}

struct log_reader *log_open(const char *path, const struct log_opts *o, struct error *err)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		error_errno(err, "failed to open log file \"%s\": open %s", path, path);
		return NULL;
	}
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		error_set(err, "log file \"%s\" is no file", path);
		close(fd);
		return NULL;
	}
	struct log_reader *r = HEAP_NEW(struct log_reader);
	r->fd = fd;
	r->o = *o;
	r->path = heap_cstr(str_c(path));
	if (o->tail >= 0)
		lseek(fd, tail_offset(fd, st.st_size, o->tail), SEEK_SET);
	return r;
}

void log_close(struct log_reader *r)
{
	if (!r)
		return;
	close(r->fd);
	buf_free(&r->pending);
	free(r->path);
	free(r);
}

// Returns false when the limit is reached.
static bool put(struct log_reader *r, struct buf *to, str text)
{
	if (r->o.limit >= 0 && r->written + (int64_t)text.n > r->o.limit) {
		buf_add(to, str_sub(text, 0, (size_t)(r->o.limit - r->written)));
		r->written = r->o.limit;
		return false;
	}
	buf_add(to, text);
	r->written += (int64_t)text.n;
	return true;
}

// As upstream prints times: nine digits of fraction, Z for UTC.
static bool put_time(struct log_reader *r, struct buf *to, str time)
{
	char out[64];
	size_t n = MIN(time.n, 19), digits = 0, i = n;
	memcpy(out, time.p, n);
	out[n++] = '.';
	if (i < time.n && time.p[i] == '.')
		for (i++; i < time.n && time.p[i] >= '0' && time.p[i] <= '9'; i++)
			if (digits < 9)
				out[n + digits++] = time.p[i];
	while (digits < 9)
		out[n + digits++] = '0';
	n += digits;
	str zone = str_from(time, i);
	if (str_eqc(zone, "+00:00"))
		zone = S("Z");
	zone = str_sub(zone, 0, 8);
	memcpy(out + n, zone.p, zone.n);
	n += zone.n;
	out[n++] = ' ';
	return put(r, to, str_n(out, n));
}

static bool put_record(struct log_reader *r, struct buf *to, const struct log_record *l)
{
	if (r->o.since_ns && l->time_ns < r->o.since_ns)
		return true;
	if ((l->stderr_ && r->o.only_stdout) || (!l->stderr_ && r->o.only_stderr))
		return true;
	bool *in_line = &r->in_line[l->stderr_];
	if (r->o.timestamps && !*in_line && !put_time(r, to, l->time_text))
		return false;
	*in_line = l->partial;
	return put(r, to, l->content) && (l->partial || put(r, to, S("\n")));
}

int log_read(struct log_reader *r, struct buf *to, struct error *err)
{
	char *p = buf_reserve(&r->pending, CHUNK);
	ssize_t n;
	if (r->o.limit == 0)
		return -1;
	do
		n = read(r->fd, p, CHUNK);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		error_errno(err, "read %s", r->path);
		return 0;
	}
	r->pending.n += (size_t)n;
	str rest = buf_str(&r->pending);
	size_t used = 0;
	ptrdiff_t at;
	bool more = true;
	while (more && (at = str_find_char(str_from(rest, used), '\n')) >= 0) {
		struct log_record l;
		str line = str_sub(rest, used, used + (size_t)at);
		if (!r->skipping && log_parse(line, &l))
			more = put_record(r, to, &l);
		r->skipping = false;
		used += (size_t)at + 1;
	}
	buf_consume(&r->pending, used);
	if (r->pending.n > LINE_MAX_BYTES) {
		r->skipping = true;
		buf_clear(&r->pending);
	}
	if (n == 0 && r->pending.cap > 4096 && r->pending.n == 0) // a follower waits long
		buf_free(&r->pending), r->pending = (struct buf){ 0 };
	return !more ? -1 : n > 0;
}

bool log_reopen(struct log_reader *r)
{
	struct stat here, there;
	if (fstat(r->fd, &here) < 0 || stat(r->path, &there) < 0)
		return false;
	if (here.st_dev == there.st_dev && here.st_ino == there.st_ino)
		return false;
	if (!r->moved)
		return r->moved = true;
	int fd = open(r->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	close(r->fd);
	r->fd = fd;
	r->moved = false;
	buf_clear(&r->pending);
	return true;
}

str log_last_lines(struct arena *a, const char *path, int lines, size_t max)
{
	struct error err = { 0 };
	_cleanup_buf_ struct buf text = { 0 };
	struct log_reader *r = log_open(path, &(struct log_opts){ .tail = lines, .limit = -1 }, &err);
	if (!r)
		return S("");
	while (log_read(r, &text, &err) == 1)
		if (text.n > 4 * max)
			buf_consume(&text, text.n - max);
	log_close(r);
	str all = buf_str(&text);
	return arena_dup(a, all.n > max ? str_from(all, all.n - max) : all);
}
