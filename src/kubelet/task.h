// Tasks: pieces of work that run on demand or at a time, each never twice at once, on a few threads that come and go.
//
// A pod worker, a probe, the node status: each is a task. It holds a thread only while it runs, so a node with many idle pods
// has one or two threads. Threads are made when all others are busy, and end after a few idle seconds.
#ifndef CORACLE_KUBELET_TASK_H
#define CORACLE_KUBELET_TASK_H

#include "base/clock.h"

struct tasks;
struct task;
typedef void (*task_fn)(void *ctx);

struct tasks *tasks_new(const struct clock *clock, int max_threads);
// Starts nothing more, waits until what runs has returned, frees everything.
void tasks_stop(struct tasks *t);

struct task *task_new(struct tasks *t, task_fn fn, void *ctx);
// Runs it at that time of clock_mono, or earlier when that was asked for already. While it runs: once more afterwards.
void task_at(struct task *k, int64_t mono_ns);
void task_after(struct task *k, int64_t ms);
void task_now(struct task *k);
// Forgets a time that was asked for.
void task_cancel(struct task *k);
// Frees it, after its run where it runs now (also from within its own function). It must not be touched again.
void task_free(struct task *k);
// Runs fn(ctx) once, soon.
void task_run(struct tasks *t, task_fn fn, void *ctx);
// Threads that exist now (for metrics).
int tasks_threads(struct tasks *t);

#endif
