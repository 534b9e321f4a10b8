// Container logs in the format of the CRI: "2016-10-06T00:17:09.669794202Z stdout F text\n". A tag P marks a piece of a line
// whose end follows in a later record of the same stream. Rule: CRI "logging" design, upstream pkg/kubelet/kuberuntime/logs.
#ifndef CORACLE_KUBELET_LOGS_H
#define CORACLE_KUBELET_LOGS_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"

struct log_record {
	str time_text;
	int64_t time_ns;
	bool stderr_; // else standard output
	bool partial; // no end of line belongs to it
	str content;  // without the end of line
};
// One line, without its newline. False when it is no record.
bool log_parse(str line, struct log_record *out);

struct log_opts {
	int64_t tail;        // lines; < 0: all
	int64_t since_ns;    // records before it are left out; 0: none are
	int64_t limit;       // bytes; < 0: none
	bool timestamps;
	bool only_stdout, only_stderr;
};
struct log_reader;
// NULL and err (404) when there is no such file.
struct log_reader *log_open(const char *path, const struct log_opts *o, struct error *err);
void log_close(struct log_reader *r);
// Appends text to `to`, about 64 KiB at most per call. 1: there may be more; 0: at the end of the file for now (a follower tries
// again later); -1: the limit of bytes is reached.
int log_read(struct log_reader *r, struct buf *to, struct error *err);
// Whether another file stands at the path now (rotated). The first call that finds one only says so: what was written to the old
// file meanwhile is to be read first. The next call goes on with the new file, from its beginning.
bool log_reopen(struct log_reader *r);

// The end of a log as text, at most `max` bytes of at most `lines` lines. Empty when it cannot be read.
str log_last_lines(struct arena *a, const char *path, int lines, size_t max);

#endif
