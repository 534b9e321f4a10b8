#include "kubelet/rt.h"

#include <stdlib.h>

#include "base/map.h"
#include "kubelet/logs.h"
#include "kubelet/util.h"

#define LIST_MS (2 * 60 * 1000)
#define MESSAGE_MAX 4096      // of a termination message file
#define MESSAGE_LOG_MAX 2048  // of one taken from the log
#define MESSAGE_LOG_LINES 80

static int newest_container(const void *x, const void *y)
{
	const struct rt_container *c = x, *d = y;
	return c->created_at != d->created_at ? (c->created_at < d->created_at ? 1 : -1) : -str_cmp(c->id, d->id);
}

static int newest_sandbox(const void *x, const void *y)
{
	const struct rt_sandbox *c = x, *d = y;
	return c->created_at != d->created_at ? (c->created_at < d->created_at ? 1 : -1) : -str_cmp(c->id, d->id);
}

static int64_t note_int(const struct str_map *m, const char *key, int64_t otherwise)
{
	int64_t v;
	return str_to_i64(str_map_get(m, str_c(key)), &v) ? v : otherwise;
}

// The application's last words: the file that was mounted for it, or the end of its log.
static str termination_message(struct arena *a, const struct cri_v1_ContainerStatus *s)
{
	str path = str_map_get(&s->annotations, S(NOTE_MESSAGE_PATH)), text = S("");
	bool from_log = str_eqc(str_map_get(&s->annotations, S(NOTE_MESSAGE_POLICY)), "FallbackToLogsOnError") && s->exit_code != 0 &&
	                !str_eqc(s->reason, "ContainerCannotRun");
	for (size_t i = 0; path.n && i < s->mounts.n; i++) {
		const struct cri_v1_Mount *m = &s->mounts.v[i];
		if (!str_eq(m->container_path, path))
			continue;
		text = file_tail(a, arena_cstr(a, m->host_path), MESSAGE_MAX);
		break;
	}
	if (from_log && str_empty(text))
		text = log_last_lines(a, arena_cstr(a, s->log_path), MESSAGE_LOG_LINES, MESSAGE_LOG_MAX);
	return utf8_clean(a, text);
}

struct rt_container rt_container_of(struct arena *a, const struct cri_v1_ContainerStatus *s)
{
	struct rt_container c = {
		.id = s->id,
		.name = str_map_get(&s->labels, S(LABEL_CONTAINER_NAME)),
		.image = s->image ? s->image->image : S(""),
		.image_ref = s->image_ref,
		.hash = str_map_get(&s->annotations, S(NOTE_HASH)),
		.restart_count = (int)note_int(&s->annotations, NOTE_RESTARTS, 0),
		.created_at = s->created_at,
		.started_at = s->state == cri_v1_ContainerState_CONTAINER_CREATED ? 0 : s->started_at,
		.log_path = s->log_path,
		.user = s->user,
		.pod_grace = note_int(&s->annotations, NOTE_POD_GRACE, -1),
		.pre_stop = str_map_get(&s->annotations, S(NOTE_PRE_STOP)),
	};
	switch (s->state) {
	case cri_v1_ContainerState_CONTAINER_CREATED:
		c.state = RT_CREATED;
		break;
	case cri_v1_ContainerState_CONTAINER_RUNNING:
		c.state = RT_RUNNING;
		break;
	case cri_v1_ContainerState_CONTAINER_EXITED:
		c.state = RT_EXITED;
		c.finished_at = s->finished_at;
		c.exit_code = s->exit_code;
		c.reason = s->reason;
		c.message = s->message;
		str last = termination_message(a, s);
		if (last.n)
			c.message = c.message.n ? arena_concat(a, c.message, S(": "), last) : last;
		break;
	default:
		c.state = RT_UNKNOWN;
	}
	return c;
}

struct rt_sandbox rt_sandbox_of(struct arena *a, const struct cri_v1_PodSandboxStatus *s)
{
	struct rt_sandbox b = {
		.id = s->id,
		.ready = s->state == cri_v1_PodSandboxState_SANDBOX_READY,
		.created_at = s->created_at,
		.attempt = s->metadata ? s->metadata->attempt : 0,
	};
	if (s->linux_ && s->linux_->namespaces && s->linux_->namespaces->options)
		b.host_network = s->linux_->namespaces->options->network == cri_v1_NamespaceMode_NODE;
	if (s->network && s->network->ip.n) {
		*LIST_ADD(a, &b.ips) = s->network->ip;
		for (size_t i = 0; i < s->network->additional_ips.n; i++)
			*LIST_ADD(a, &b.ips) = s->network->additional_ips.v[i].ip;
	}
	return b;
}

bool rt_pod_fetch(const struct cri *c, struct arena *a, str uid, struct rt_pod *out, struct error *err)
{
	struct str_map only = { 0 };
	str_map_set(a, &only, S(LABEL_POD_UID), uid);
	*out = (struct rt_pod){ .uid = uid };
	struct cri_v1_ListPodSandboxRequest sr = { .filter = &(struct cri_v1_PodSandboxFilter){ .label_selector = only } };
	struct cri_v1_ListPodSandboxResponse *sandboxes = CRI(c, a, ListPodSandbox, &sr, LIST_MS, err);
	if (!sandboxes)
		return error_wrap(err, "list sandboxes");
	for (size_t i = 0; i < sandboxes->items.n; i++) {
		struct cri_v1_PodSandboxStatusRequest r = { .pod_sandbox_id = sandboxes->items.v[i].id };
		struct cri_v1_PodSandboxStatusResponse *s = CRI(c, a, PodSandboxStatus, &r, LIST_MS, err);
		if (!s && cri_not_found(err))
			continue;
		if (!s || !s->status)
			return error_wrap(err, "sandbox status");
		*LIST_ADD(a, &out->sandboxes) = rt_sandbox_of(a, s->status);
		if (s->status->metadata) {
			out->name = s->status->metadata->name;
			out->ns = s->status->metadata->namespace;
		}
	}
	struct cri_v1_ListContainersRequest cr = { .filter = &(struct cri_v1_ContainerFilter){ .label_selector = only } };
	struct cri_v1_ListContainersResponse *containers = CRI(c, a, ListContainers, &cr, LIST_MS, err);
	if (!containers)
		return error_wrap(err, "list containers");
	for (size_t i = 0; i < containers->containers.n; i++) {
		struct cri_v1_ContainerStatusRequest r = { .container_id = containers->containers.v[i].id };
		struct cri_v1_ContainerStatusResponse *s = CRI(c, a, ContainerStatus, &r, LIST_MS, err);
		if (!s && cri_not_found(err))
			continue;
		if (!s || !s->status)
			return error_wrap(err, "container status");
		struct rt_container *k = LIST_ADD(a, &out->containers);
		*k = rt_container_of(a, s->status);
		k->sandbox_id = containers->containers.v[i].pod_sandbox_id;
		out->name = str_map_get(&s->status->labels, S(LABEL_POD_NAME));
		out->ns = str_map_get(&s->status->labels, S(LABEL_POD_NAMESPACE));
	}
	if (out->sandboxes.n)
		qsort(out->sandboxes.v, out->sandboxes.n, sizeof(*out->sandboxes.v), newest_sandbox);
	if (out->containers.n)
		qsort(out->containers.v, out->containers.n, sizeof(*out->containers.v), newest_container);
	return true;
}

const struct rt_container *rt_find(const struct rt_pod *p, str name)
{
	for (size_t i = 0; i < p->containers.n; i++)
		if (str_eq(p->containers.v[i].name, name))
			return &p->containers.v[i];
	return NULL;
}

struct str_list rt_pod_ips(const struct rt_pod *p)
{
	if (p->sandboxes.n && p->sandboxes.v[0].ready)
		return p->sandboxes.v[0].ips;
	return (struct str_list){ 0 };
}

static struct rt_summary *summary_of(struct arena *a, struct map *index, struct rt_summary_list *out, const struct str_map *labels)
{
	str uid = str_map_get(labels, S(LABEL_POD_UID));
	uintptr_t at = (uintptr_t)map_get(index, uid);
	if (str_empty(uid))
		return NULL;
	if (at)
		return &out->v[at - 1];
	struct rt_summary *s = LIST_ADD(a, out);
	*s = (struct rt_summary){ .uid = uid, .name = str_map_get(labels, S(LABEL_POD_NAME)), .ns = str_map_get(labels, S(LABEL_POD_NAMESPACE)) };
	map_put(index, uid, (void *)(uintptr_t)out->n);
	return s;
}

bool rt_list(const struct cri *c, struct arena *a, struct rt_summary_list *out, struct error *err)
{
	_cleanup_map_ struct map index = { 0 };
	*out = (struct rt_summary_list){ 0 };
	struct cri_v1_ListPodSandboxRequest sr = { 0 };
	struct cri_v1_ListPodSandboxResponse *sandboxes = CRI(c, a, ListPodSandbox, &sr, LIST_MS, err);
	if (!sandboxes)
		return error_wrap(err, "list sandboxes");
	struct cri_v1_ListContainersRequest cr = { 0 };
	struct cri_v1_ListContainersResponse *containers = CRI(c, a, ListContainers, &cr, LIST_MS, err);
	if (!containers)
		return error_wrap(err, "list containers");
	// Sums of hashes, so that the order of the answers does not matter.
	for (size_t i = 0; i < sandboxes->items.n; i++) {
		const struct cri_v1_PodSandbox *b = &sandboxes->items.v[i];
		struct rt_summary *s = summary_of(a, &index, out, &b->labels);
		if (!s)
			continue;
		s->print += str_hash(b->id) * (uint64_t)(b->state + 3);
		s->ready |= b->state == cri_v1_PodSandboxState_SANDBOX_READY;
	}
	for (size_t i = 0; i < containers->containers.n; i++) {
		const struct cri_v1_Container *k = &containers->containers.v[i];
		struct rt_summary *s = summary_of(a, &index, out, &k->labels);
		if (!s)
			continue;
		s->print += str_hash(k->id) * (uint64_t)(k->state + 11);
		s->running += k->state == cri_v1_ContainerState_CONTAINER_RUNNING;
	}
	return true;
}
