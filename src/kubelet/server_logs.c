// GET /containerLogs/NAMESPACE/POD/CONTAINER: rule: upstream getContainerLogs, validateContainerLogStatus.
#include <errno.h>
#include <poll.h>
#include <sys/inotify.h>

#include "base/io.h"
#include "kubelet/logs.h"
#include "kubelet/server.h"
#include "kubelet/worker.h"

#define LOOK_MS 1000 // whether a followed container still runs

static void refuse(struct call *c, int status, str text)
{
	call_reply(c, status, S("text/plain; charset=utf-8"), text);
}

static str raw_id(str id)
{
	ptrdiff_t at = str_find(id, S("://"));
	return at >= 0 ? str_from(id, (size_t)at + 3) : id;
}

// The container whose log is meant; empty: *why says why there is none.
static str choose(struct arena *a, const struct core_v1_PodStatus *s, str pod, str container, bool previous, str *why)
{
	const struct core_v1_ContainerStatus *c = find_status(&s->containerStatuses, container);
	str head = arena_printf(a, "container \"" STR_FMT "\" in pod \"" STR_FMT "\" ", STR_ARG(container), STR_ARG(pod));
	if (!c)
		c = find_status(&s->initContainerStatuses, container);
	if (!c)
		c = find_status(&s->ephemeralContainerStatuses, container);
	*why = S("");
	if (!c) {
		*why = arena_concat(a, head, S("is not available"));
		return S("");
	}
	const struct core_v1_ContainerStateTerminated *last = c->lastState.terminated, *end = c->state.terminated;
	bool last_known = last && last->containerID.n;
	if (previous) {
		if (!last_known)
			*why = arena_printf(a, "previous terminated container \"" STR_FMT "\" in pod \"" STR_FMT "\" not found", STR_ARG(container),
			                    STR_ARG(pod));
		return last_known ? raw_id(last->containerID) : S("");
	}
	if (c->state.running)
		return raw_id(c->containerID);
	if (end && end->containerID.n)
		return raw_id(end->containerID);
	if (last_known && (end || last))
		return raw_id(last->containerID);
	if (end || last)
		*why = arena_concat(a, head, S("is terminated"));
	else if (c->state.waiting && str_eqc(c->state.waiting->reason, "ErrImagePull"))
		*why = arena_concat(a, head, S("is waiting to start: image can't be pulled"));
	else if (c->state.waiting && str_eqc(c->state.waiting->reason, "ImagePullBackOff"))
		*why = arena_concat(a, head, S("is waiting to start: trying and failing to pull image"));
	else if (c->state.waiting)
		*why = arena_concat(a, head, S("is waiting to start: "), c->state.waiting->reason);
	else
		*why = arena_concat(a, head, S("is waiting to start - no logs yet"));
	return S("");
}

static bool options(struct call *c, struct log_opts *o, str *why)
{
	str tail = call_param(c, "tailLines"), since = call_param(c, "sinceSeconds"), time = call_param(c, "sinceTime");
	str limit = call_param(c, "limitBytes"), stream = call_param(c, "stream");
	int64_t n, sec;
	int32_t nsec;
	*o = (struct log_opts){ .tail = -1, .limit = -1, .timestamps = call_param_true(c, "timestamps") };
	if (tail.n && !str_eqc(tail, "all")) {
		if (!str_to_i64(tail, &o->tail) || o->tail < 0)
			return *why = S("tailLines must be greater than or equal to 0"), false;
	}
	if (limit.n && (!str_to_i64(limit, &o->limit) || o->limit < 1))
		return *why = S("limitBytes must be greater than 0"), false;
	if (since.n) {
		if (!str_to_i64(since, &n) || n < 1)
			return *why = S("sinceSeconds must be greater than 0"), false;
		o->since_ns = clock_wall(c->k->clock) - n * NS_PER_SEC;
	} else if (time.n) {
		if (!time_parse(time, &sec, &nsec))
			return *why = S("sinceTime is no RFC 3339 time"), false;
		o->since_ns = sec * NS_PER_SEC + nsec;
	}
	o->only_stdout = str_eqc(stream, "Stdout");
	o->only_stderr = str_eqc(stream, "Stderr");
	return true;
}

static bool running(struct call *c, str id)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct cri_v1_ContainerStatusRequest r = { .container_id = id };
	struct error err = { 0 };
	struct cri_v1_ContainerStatusResponse *s = CRI(&c->k->cri, a, ContainerStatus, &r, 10000, &err);
	return s && s->status && (s->status->state == cri_v1_ContainerState_CONTAINER_RUNNING ||
	                          s->status->state == cri_v1_ContainerState_CONTAINER_CREATED);
}

static void copy_log(struct call *c, struct log_reader *r, const char *path, str id, bool follow)
{
	_cleanup_close_ int watch = follow ? inotify_init1(IN_CLOEXEC | IN_NONBLOCK) : -1;
	_cleanup_buf_ struct buf text = { 0 };
	struct error err = { 0 };
	bool ended = !follow;
	char drain[4096];
	if (watch >= 0)
		inotify_add_watch(watch, path, IN_MODIFY | IN_MOVE_SELF | IN_DELETE_SELF);
	for (;;) {
		int more = log_read(r, &text, &err);
		if (text.n && !call_stream_write(c, buf_str(&text)))
			return;
		buf_clear(&text);
		if (more < 0 || call_gone(c))
			break;
		if (more > 0)
			continue;
		if (ended)
			break;
		if (log_reopen(r)) {
			inotify_add_watch(watch, path, IN_MODIFY | IN_MOVE_SELF | IN_DELETE_SELF);
			continue;
		}
		struct pollfd p = { .fd = watch, .events = POLLIN };
		if (poll(&p, 1, LOOK_MS) > 0)
			while (read(watch, drain, sizeof(drain)) > 0)
				;
		else
			ended = !running(c, id); // once more to the end of the file
	}
	call_stream_end(c);
}

void serve_logs(struct call *c, str rest)
{
	struct arena *a = c->arena;
	struct error err = { 0 };
	struct log_opts o;
	str ns, name, container, id, why;
	if (!str_split(rest, '/', &ns, &rest) || !str_split(rest, '/', &name, &container) || !container.n)
		return refuse(c, 400, S("{\"message\": \"Missing container name.\"}"));
	if (!options(c, &o, &why))
		return refuse(c, 422, why);
	struct worker *w = worker_find_name(c->k, ns, name);
	if (!w)
		return refuse(c, 404, arena_printf(a, "pod \"" STR_FMT "\" does not exist", STR_ARG(name)));
	struct object_ref *ref = worker_pod(w);
	const struct core_v1_Pod *pod = object_of(ref);
	bool there = find_container(pod, container) != NULL;
	struct core_v1_PodStatus *s = status_current(w, a, pod);
	object_unref(ref);
	worker_unref(w);
	if (!there && !find_status(&s->ephemeralContainerStatuses, container))
		return refuse(c, 404, arena_printf(a, "container \"" STR_FMT "\" not found in pod \"" STR_FMT "\"", STR_ARG(container), STR_ARG(name)));
	id = choose(a, s, name, container, call_param_true(c, "previous"), &why);
	if (!id.n)
		return refuse(c, 400, why);
	struct cri_v1_ContainerStatusRequest r = { .container_id = id };
	struct cri_v1_ContainerStatusResponse *cs = CRI(&c->k->cri, a, ContainerStatus, &r, 10000, &err);
	if (!cs || !cs->status)
		return refuse(c, 400, arena_printf(a, "unable to retrieve container logs for " STR_FMT "://" STR_FMT, STR_ARG(c->k->runtime_name),
		                                   STR_ARG(id)));
	const char *path = arena_cstr(a, cs->status->log_path);
	struct log_reader *reader = log_open(path, &o, &err);
	if (!reader)
		return refuse(c, 400, arena_dup(a, error_str(&err)));
	call_stream_start(c, 200, S("text/plain"));
	copy_log(c, reader, path, id, call_param_true(c, "follow") && !call_param_true(c, "previous"));
	log_close(reader);
}
