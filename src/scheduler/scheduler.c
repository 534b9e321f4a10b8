// The scheduler's process: informers keep cache and queue up to date, one thread decides, a few threads bind.

#include "scheduler/scheduler.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/heap.h"
#include "base/log.h"
#include "client/leader.h"
#include "client/recorder.h"
#include "client/workqueue.h"
#include "scheduler/queue.h"
#include "scheduler/schedule.h"

enum { BINDERS = 4, BIND_QUEUE = 1024, STACK = 256 << 10, ASSUMED_FOR_S = 120 };

struct bind_job {
	struct object_ref *pod;
	str node; // of the heap
};

struct scheduler {
	struct client *client;
	struct recorder *recorder;
	const char *name; // schedulerName of the pods that are ours
	const struct resource_desc *pods, *nodes, *binding, *services, *replicasets;
	struct informer *pod_informer, *node_informer, *service_informer, *replicaset_informer;
	pthread_mutex_t lock;   // everything below
	pthread_cond_t work;    // the queue has changed
	struct node_cache cache;
	struct queue queue;
	struct map known;       // ns/name -> struct pod_info, of all pods that are not finished
	pthread_mutex_t bind_lock;
	pthread_cond_t bind_more, bind_room;
	struct bind_job jobs[BIND_QUEUE];
	size_t job_first, njobs;
};

static int64_t now_ns(const struct scheduler *s)
{
	return clock_mono(client_clock(s->client));
}

// --- What the informers tell --------------------------------------------------------------------------------------------

static bool ours(const struct scheduler *s, const struct core_v1_Pod *p)
{
	return str_eqc(p->spec.schedulerName, s->name) && p->spec.schedulingGates.n == 0 && !p->metadata.deletionTimestamp;
}

// Forgets a pod; says whether it stood on a node. (Deciding happens under the lock, so nobody holds it.)
static bool forget(struct scheduler *s, str key)
{
	struct pod_info *p = map_del(&s->known, key);
	if (!p)
		return false;
	bool placed = p->node != NULL;
	node_cache_unplace(&s->cache, p);
	queue_remove(&s->queue, p);
	pod_info_free(p);
	return placed;
}

// Whether what we know of a pod still holds: it waits and nothing that matters for placing it has changed (a status update of
// our own, say), or it is assumed and its binding is on its way.
static bool unchanged(const struct scheduler *s, const struct pod_info *have, const struct core_v1_Pod *pod)
{
	if (!have || !pod || pod->spec.nodeName.n || !str_eq(have->pod->metadata.uid, pod->metadata.uid) || !ours(s, pod) || pod_is_terminal(pod))
		return false;
	return have->assumed || (schema_equal(core_v1_PodSpec_desc, &have->pod->spec, &pod->spec) &&
	                         have->pod->metadata.labels.n == pod->metadata.labels.n);
}

static void pod_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct scheduler *s = ctx;
	_cleanup_arena_ struct arena *a = arena_new(512);
	const struct meta_v1_ObjectMeta *m = object_ref_meta(obj ? obj : old);
	str key = key_of(a, m->namespace, m->name);
	const struct core_v1_Pod *pod = obj ? object_of(obj) : NULL;
	uint32_t events = 0;
	pthread_mutex_lock(&s->lock);
	if (!unchanged(s, map_get(&s->known, key), pod)) {
		bool was_placed = forget(s, key), finished = !pod || pod_is_terminal(pod);
		if (was_placed && finished)
			events |= EV_POD_DELETE;
		if (!finished && (pod->spec.nodeName.n || ours(s, pod))) {
			struct pod_info *p = pod_info_new(obj);
			map_put(&s->known, p->key, p);
			if (pod->spec.nodeName.n) {
				node_cache_place(&s->cache, p, pod->spec.nodeName);
				events |= was_placed ? 0 : EV_POD_ADD;
			} else {
				queue_add(&s->queue, p, now_ns(s));
				pthread_cond_signal(&s->work);
			}
		}
		if (events && queue_move(&s->queue, events, now_ns(s)))
			pthread_cond_signal(&s->work);
	}
	pthread_mutex_unlock(&s->lock);
}

static void node_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct scheduler *s = ctx;
	pthread_mutex_lock(&s->lock);
	if (obj) {
		uint32_t events = node_cache_set(&s->cache, obj);
		if (events && queue_move(&s->queue, events, now_ns(s)))
			pthread_cond_signal(&s->work);
	} else {
		node_cache_remove(&s->cache, object_ref_meta(old)->name);
	}
	pthread_mutex_unlock(&s->lock);
}

bool scheduler_owner_selector(struct cycle *c, struct selector *out)
{
	struct scheduler *s = c->scheduler;
	const struct core_v1_Pod *pod = c->pod->pod;
	*out = (struct selector){ 0 };
	_cleanup_list_ struct object_list services = informer_by_index(s->service_informer, "namespace", pod->metadata.namespace);
	for (size_t i = 0; i < services.n; i++) {
		const struct core_v1_Service *svc = object_of(services.v[i]);
		struct selector one = selector_from_map(c->arena, &svc->spec.selector);
		if (svc->spec.selector.n == 0 || !selector_matches(&one, &pod->metadata.labels))
			continue;
		for (size_t k = 0; k < one.n; k++) { // the service goes away with the list, the arena stays
			struct requirement *r = LIST_ADD(c->arena, out);
			*r = (struct requirement){ .key = arena_dup(c->arena, one.v[k].key), .op = one.v[k].op };
			for (size_t m = 0; m < one.v[k].values.n; m++)
				*LIST_ADD(c->arena, &r->values) = arena_dup(c->arena, one.v[k].values.v[m]);
		}
	}
	const struct meta_v1_OwnerReference *owner = meta_controller(&pod->metadata);
	if (owner && str_eqc(owner->kind, "ReplicaSet")) {
		_cleanup_object_ struct object_ref *ref = informer_get(s->replicaset_informer, pod->metadata.namespace, owner->name);
		const struct apps_v1_ReplicaSet *rs = ref ? object_of(ref) : NULL;
		if (rs && str_eq(rs->metadata.uid, owner->uid) && rs->spec.selector) {
			const struct meta_v1_LabelSelector *copy = schema_clone(c->arena, meta_v1_LabelSelector_desc, rs->spec.selector);
			struct selector sel;
			struct error err = { 0 };
			if (selector_from_label_selector(c->arena, copy, &sel, &err))
				for (size_t k = 0; k < sel.n; k++)
					*LIST_ADD(c->arena, out) = sel.v[k];
		}
	}
	return out->n > 0;
}

// --- Binding ------------------------------------------------------------------------------------------------------------------

// Takes back a placement that the API refused, and lets the pod wait for another try.
static void unassume(struct scheduler *s, str key, str uid)
{
	pthread_mutex_lock(&s->lock);
	struct pod_info *p = map_get(&s->known, key);
	if (p && p->assumed && str_eq(p->pod->metadata.uid, uid)) {
		node_cache_unplace(&s->cache, p);
		p->assumed = false;
		queue_put_back(&s->queue, p, false, now_ns(s));
		queue_move(&s->queue, EV_POD_DELETE, now_ns(s));
		pthread_cond_signal(&s->work);
	}
	pthread_mutex_unlock(&s->lock);
}

static void bind_one(struct scheduler *s, const struct bind_job *job)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	const struct core_v1_Pod *pod = object_of(job->pod);
	struct core_v1_Binding b = {
		.apiVersion = S("v1"), .kind = S("Binding"),
		.metadata = { .name = pod->metadata.name, .namespace = pod->metadata.namespace, .uid = pod->metadata.uid },
		.target = { .kind = S("Node"), .name = job->node },
	};
	if (client_create_sub(s->client, a, s->binding, pod->metadata.namespace, pod->metadata.name, &b, &err)) {
		recorder_event(s->recorder, s->pods, &pod->metadata, S(""), "Normal", "Scheduled", "Successfully assigned " STR_FMT "/" STR_FMT " to " STR_FMT,
		               STR_ARG(pod->metadata.namespace), STR_ARG(pod->metadata.name), STR_ARG(job->node));
		return;
	}
	if (err.code == 404 || err.code == 409)
		log_info("bind " STR_FMT "/" STR_FMT ": %s", STR_ARG(pod->metadata.namespace), STR_ARG(pod->metadata.name), err.text);
	else
		log_warn("bind " STR_FMT "/" STR_FMT ": %s", STR_ARG(pod->metadata.namespace), STR_ARG(pod->metadata.name), err.text);
	unassume(s, key_of(a, pod->metadata.namespace, pod->metadata.name), pod->metadata.uid);
}

static void *binder(void *ctx)
{
	struct scheduler *s = ctx;
	for (;;) {
		pthread_mutex_lock(&s->bind_lock);
		while (s->njobs == 0)
			pthread_cond_wait(&s->bind_more, &s->bind_lock);
		struct bind_job job = s->jobs[s->job_first];
		s->job_first = (s->job_first + 1) % BIND_QUEUE;
		s->njobs--;
		pthread_cond_signal(&s->bind_room);
		pthread_mutex_unlock(&s->bind_lock);
		bind_one(s, &job);
		object_unref(job.pod);
		free((char *)job.node.p);
	}
	return NULL;
}

static void bind_later(struct scheduler *s, struct object_ref *pod, str node)
{
	pthread_mutex_lock(&s->bind_lock);
	while (s->njobs == BIND_QUEUE)
		pthread_cond_wait(&s->bind_room, &s->bind_lock);
	s->jobs[(s->job_first + s->njobs++) % BIND_QUEUE] = (struct bind_job){ object_ref(pod), str_n(heap_cstr(node), node.n) };
	pthread_cond_signal(&s->bind_more);
	pthread_mutex_unlock(&s->bind_lock);
}

// --- Saying why a pod waits ---------------------------------------------------------------------------------------------------

static void patch_condition(struct scheduler *s, struct arena *a, const struct core_v1_Pod *pod, str message, str nominated)
{
	const struct core_v1_PodCondition *have = pod_condition(pod, S("PodScheduled"));
	bool same = have && str_eqc(have->status, "False") && str_eqc(have->reason, "Unschedulable") && str_eq(have->message, message);
	if (same && str_eq(pod->status.nominatedNodeName, nominated))
		return;
	_cleanup_buf_ struct buf b = { 0 };
	struct error err = { 0 };
	int64_t wall = clock_wall(client_clock(s->client));
	str since = have && str_eqc(have->status, "False") && have->lastTransitionTime.set
	                    ? time_format(a, have->lastTransitionTime.sec, 0, 0)
	                    : time_format(a, wall / NS_PER_SEC, 0, 0);
	buf_printf(&b, "{\"status\":{");
	if (nominated.n)
		buf_printf(&b, "\"nominatedNodeName\":\"" STR_FMT "\",", STR_ARG(nominated));
	buf_printf(&b, "\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"False\",\"observedGeneration\":%lld,\"reason\":\"Unschedulable\",\"lastProbeTime\":null,\"lastTransitionTime\":\"" STR_FMT "\",\"message\":",
	           (long long)pod->metadata.generation, STR_ARG(since));
	json_write_string(&b, message, false);
	buf_printf(&b, "}]}}");
	if (!client_patch(s->client, a, s->pods, "status", pod->metadata.namespace, pod->metadata.name, PATCH_STRATEGIC, buf_str(&b), &err) && err.code != 404)
		log_warn("status of " STR_FMT "/" STR_FMT ": %s", STR_ARG(pod->metadata.namespace), STR_ARG(pod->metadata.name), err.text);
}

struct victim { struct object_ref *ref; };
struct victim_list { struct victim *v; size_t n; };

static void evict(struct scheduler *s, struct arena *a, const struct core_v1_Pod *preemptor, const struct victim_list *victims, str node)
{
	for (size_t i = 0; i < victims->n; i++) {
		const struct core_v1_Pod *v = object_of(victims->v[i].ref);
		struct error err = { 0 };
		if (v->metadata.deletionTimestamp)
			continue;
		str patch = arena_printf(a, "{\"status\":{\"conditions\":[{\"type\":\"DisruptionTarget\",\"status\":\"True\",\"reason\":\"PreemptionByScheduler\",\"message\":\"" STR_FMT
		                         ": preempting to accommodate a higher priority pod\",\"lastTransitionTime\":\"" STR_FMT "\"}]}}",
		                         STR_ARG(preemptor->spec.schedulerName), STR_ARG(time_format(a, clock_wall(client_clock(s->client)) / NS_PER_SEC, 0, 0)));
		client_patch(s->client, a, s->pods, "status", v->metadata.namespace, v->metadata.name, PATCH_STRATEGIC, patch, &err);
		struct delete_opts o = { .grace_seconds = -1, .uid = v->metadata.uid };
		if (!client_delete(s->client, s->pods, v->metadata.namespace, v->metadata.name, &o, &err) && err.code != 404) {
			log_warn("preempt " STR_FMT "/" STR_FMT ": %s", STR_ARG(v->metadata.namespace), STR_ARG(v->metadata.name), err.text);
			continue;
		}
		recorder_event(s->recorder, s->pods, &v->metadata, S(""), "Normal", "Preempted", "Preempted by pod " STR_FMT " on node " STR_FMT,
		               STR_ARG(preemptor->metadata.uid), STR_ARG(node));
	}
}

// --- The loop --------------------------------------------------------------------------------------------------------------------

// Waits for a pod to decide on. Called and returns with the lock held.
static struct pod_info *next_pod(struct scheduler *s)
{
	for (;;) {
		int64_t wait, now = now_ns(s);
		struct pod_info *p = queue_pop(&s->queue, now, &wait);
		if (p)
			return p;
		if (wait < 0) {
			pthread_cond_wait(&s->work, &s->lock);
			continue;
		}
		struct timespec until = { .tv_sec = wait / NS_PER_SEC, .tv_nsec = wait % NS_PER_SEC };
		pthread_cond_timedwait(&s->work, &s->lock, &until); // the condition counts on the monotonic clock
	}
}

static void schedule_next(struct scheduler *s)
{
	_cleanup_arena_ struct arena *a = arena_new(16384);
	pthread_mutex_lock(&s->lock);
	struct pod_info *p = next_pod(s);
	struct placement to = schedule_pod(s, a, &s->cache, p, client_rng(s->client), now_ns(s));
	_cleanup_object_ struct object_ref *pod = object_ref(p->ref);
	if (to.node) {
		p->place = POD_NOWHERE;
		p->assumed = true;
		str node = arena_dup(a, to.node->name);
		node_cache_place(&s->cache, p, node);
		pthread_mutex_unlock(&s->lock);
		bind_later(s, pod, node);
		return;
	}
	p->rejected_by = to.rejected_by == UINT32_MAX ? 0 : to.rejected_by;
	queue_put_back(&s->queue, p, to.rejected_by != UINT32_MAX || to.message.n, now_ns(s));
	struct victim_list victims = { 0 };
	for (size_t i = 0; i < to.victims.n; i++)
		*LIST_ADD(a, &victims) = (struct victim){ object_ref(to.victims.v[i]->ref) };
	str nominated = to.nominated ? arena_dup(a, to.nominated->name) : S("");
	pthread_mutex_unlock(&s->lock);

	const struct core_v1_Pod *about = object_of(pod);
	recorder_event(s->recorder, s->pods, &about->metadata, S(""), "Warning", "FailedScheduling", STR_FMT, STR_ARG(to.message));
	patch_condition(s, a, about, to.message, nominated);
	evict(s, a, about, &victims, nominated);
	for (size_t i = 0; i < victims.n; i++)
		object_unref(victims.v[i].ref);
}

static void lost(void *ctx)
{
	log_error("leader election lost");
	_exit(1); // the supervisor starts it again as a follower; two schedulers must not decide
}

static void namespace_index(const void *obj, struct arena *a, struct str_list *keys)
{
	*LIST_ADD(a, keys) = ((const struct core_v1_Service *)obj)->metadata.namespace;
}

static bool start(struct scheduler *s, struct error *err)
{
	const struct list_opts all = { 0 };
	s->pods = schema_resource(S(""), S("v1"), S("pods"));
	s->nodes = schema_resource(S(""), S("v1"), S("nodes"));
	s->binding = schema_resource(S(""), S("v1"), S("pods/binding"));
	s->services = schema_resource(S(""), S("v1"), S("services"));
	s->replicasets = schema_resource(S("apps"), S("v1"), S("replicasets"));
	s->pod_informer = informer_new(s->client, s->pods, &(struct list_opts){ .field_selector = S("status.phase!=Succeeded,status.phase!=Failed") });
	s->node_informer = informer_new(s->client, s->nodes, &all);
	s->service_informer = informer_new(s->client, s->services, &all);
	s->replicaset_informer = informer_new(s->client, s->replicasets, &all);
	informer_add_index(s->service_informer, "namespace", namespace_index);
	informer_add_handler(s->pod_informer, &(struct informer_handler){ pod_changed, s });
	informer_add_handler(s->node_informer, &(struct informer_handler){ node_changed, s });
	struct informer *list[] = { s->node_informer, s->service_informer, s->replicaset_informer, s->pod_informer };
	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		if (!informer_start(list[i], err))
			return false;
	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		while (!informer_wait_synced(list[i], 60000))
			log_warn("still waiting for the first lists");
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	for (int i = 0; i < BINDERS; i++) {
		pthread_t t;
		int code = pthread_create(&t, &attr, binder, s);
		if (code) {
			errno = code;
			return error_errno(err, "start a thread");
		}
		pthread_detach(t);
	}
	pthread_attr_destroy(&attr);
	return true;
}

static const char USAGE[] = "usage: coracle scheduler --kubeconfig FILE [--leader-elect=true|false] [--scheduler-name NAME]\n";

int scheduler_main(int argc, char **argv)
{
	enum { O_KUBECONFIG = 256, O_LEADER, O_NAME };
	static const struct option options[] = {
		{ "kubeconfig", required_argument, NULL, O_KUBECONFIG },
		{ "leader-elect", optional_argument, NULL, O_LEADER },
		{ "scheduler-name", required_argument, NULL, O_NAME },
		{ 0 },
	};
	const char *kubeconfig = NULL;
	bool elect = true;
	struct scheduler s = { .name = "default-scheduler" };
	struct error err = { 0 };
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case O_KUBECONFIG: kubeconfig = optarg; break;
		case O_LEADER: elect = !optarg || strcmp(optarg, "true") == 0; break;
		case O_NAME: s.name = optarg; break;
		default: fputs(USAGE, stderr); return 2;
		}
	}
	if (!kubeconfig || optind < argc) {
		fputs(USAGE, stderr);
		return 2;
	}
	log_start("scheduler", LOG_INFO);
	_cleanup_arena_ struct arena *a = arena_new(0);
	pthread_condattr_t mono;
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&s.work, &mono);
	pthread_mutex_init(&s.lock, NULL);
	pthread_mutex_init(&s.bind_lock, NULL);
	pthread_cond_init(&s.bind_more, NULL);
	pthread_cond_init(&s.bind_room, NULL);
	queue_init(&s.queue);
	s.client = client_from_kubeconfig(kubeconfig, "kube-scheduler", NULL, NULL, &err);
	if (!s.client) {
		log_error("%s", err.text);
		return 1;
	}
	char host[256] = "";
	gethostname(host, sizeof(host) - 1);
	struct leader_opts lease = { .ns = S("kube-system"), .name = S("kube-scheduler"),
		                     .identity = arena_printf(a, "%s_" STR_FMT, host, STR_ARG(rng_uuid(NULL, a))) };
	if (elect && !leader_run(s.client, &lease, lost, NULL, &err)) {
		log_error("leader election: %s", err.text);
		return 1;
	}
	s.recorder = recorder_new(s.client, S("default-scheduler"), S(""));
	if (!start(&s, &err)) {
		log_error("%s", err.text);
		return 1;
	}
	log_info("scheduling");
	for (;;)
		schedule_next(&s);
}
