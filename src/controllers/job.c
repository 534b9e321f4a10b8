// Jobs: pods that run to their end. Rule: upstream pkg/controller/job.
//
// No pod is counted twice and none is lost: each has a finalizer. A pod that has ended is first written into
// status.uncountedTerminatedPods, then loses its finalizer, and then moves from that list into the counters.
#include "controllers/job_policy.h"

#include <stdlib.h>

#include "base/heap.h"
#include "base/log.h"

#define COMPONENT "job-controller"

enum { BURST = 500, MAX_UNCOUNTED = 500, BACKOFF_S = 10, BACKOFF_MAX_S = 600 };

struct job {
	struct manager *m;
	struct informer *jobs, *pods;
	struct workqueue *queue;
	struct expectations *expectations;
	pthread_mutex_t lock;
	struct map removed;  // UIDs of pods whose finalizer was taken away, until the cache shows it
	struct map failures; // job -> struct failures
};

// Consecutive failures of a Job's pods: new ones wait the longer the more there are.
struct failures { int32_t n; int64_t last; };

// --- Handlers ---

static void job_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct job *c = ctx;
	queue_object(c->queue, changed_object(old, obj));
}

static void pod_changed(struct object_ref *old_ref, struct object_ref *new_ref, void *ctx)
{
	struct job *c = ctx;
	const struct core_v1_Pod *old = old_ref ? object_of(old_ref) : NULL, *p = new_ref ? object_of(new_ref) : NULL;
	if (!p && !old)
		return;
	const struct meta_v1_ObjectMeta *meta = p ? &p->metadata : &old->metadata;
	if (!p || !meta_has_finalizer(&p->metadata, JOB_FINALIZER)) {
		pthread_mutex_lock(&c->lock);
		map_del(&c->removed, meta->uid);
		pthread_mutex_unlock(&c->lock);
	}
	const struct meta_v1_OwnerReference *r = meta_controller(meta);
	if (!r || !str_eq(r->kind, S("Job")))
		return;
	_cleanup_arena_ struct arena *a = arena_new(1024);
	str key = key_of(a, meta->namespace, r->name);
	const any_object *job = held_get(a, c->jobs, meta->namespace, r->name);
	if (!job || !str_eq(job->metadata.uid, r->uid)) {
		// Its Job is gone: nobody counts it any more.
		if (p && meta_has_finalizer(&p->metadata, JOB_FINALIZER))
			workqueue_add(c->queue, arena_concat(a, S("orphan:"), key_of(a, meta->namespace, meta->name)));
		return;
	}
	if (p && !old)
		creation_observed(c->expectations, key);
	if (!p || p->metadata.deletionTimestamp)
		deletion_observed(c->expectations, key, meta);
	workqueue_add(c->queue, key);
}

// --- One round ---

struct pods { const struct core_v1_Pod **v; size_t n; };

struct round {
	struct job *c;
	struct batch_v1_Job *job; // a copy; its status is worked on
	struct batch_v1_JobStatus before;
	struct owner owner;
	str key;
	struct pods pods, active, failed_now, succeeded_now;
	bool indexed, per_index;
	struct index_set succeeded_indexes, failed_indexes;
	struct map waiting; // index -> pod: the last failed pod of an index waits for its successor
	int32_t succeeded, failed, ready, terminating;
	struct batch_v1_JobCondition finished; // type empty: it is not
	bool flush;
	struct api_time now;
	struct error err;
	pthread_mutex_t lock;
};

static struct batch_v1_JobCondition condition(const struct round *r, const char *type, str reason, str message)
{
	return (struct batch_v1_JobCondition){ .type = str_c(type), .status = S("True"), .reason = reason, .message = message, .lastProbeTime = r->now, .lastTransitionTime = r->now };
}

static const struct batch_v1_JobCondition *find_condition(const struct batch_v1_JobStatus *s, const char *type)
{
	for (size_t i = 0; i < s->conditions.n; i++)
		if (str_eqc(s->conditions.v[i].type, type))
			return &s->conditions.v[i];
	return NULL;
}

static bool is_true(const struct batch_v1_JobCondition *c) { return c && str_eq(c->status, S("True")); }

bool job_finished(const struct batch_v1_Job *j)
{
	return is_true(find_condition(&j->status, "Complete")) || is_true(find_condition(&j->status, "Failed"));
}

static bool suspended(const struct batch_v1_Job *j) { return j->spec.suspend && *j->spec.suspend; }

static bool in_list(const struct str_list *l, str s)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->v[i], s))
			return true;
	return false;
}

// A pod that is to be counted still.
static bool tracked(struct round *r, const struct core_v1_Pod *p)
{
	if (!meta_has_finalizer(&p->metadata, JOB_FINALIZER))
		return false;
	pthread_mutex_lock(&r->c->lock);
	bool removed = map_has(&r->c->removed, p->metadata.uid);
	pthread_mutex_unlock(&r->c->lock);
	return !removed;
}

static bool only_failed_are_replaced(const struct batch_v1_Job *j)
{
	return j->spec.podReplacementPolicy ? str_eq(*j->spec.podReplacementPolicy, S("Failed")) : j->spec.podFailurePolicy != NULL;
}

static bool pod_failed(const struct round *r, const struct core_v1_Pod *p)
{
	if (str_eq(p->status.phase, S("Failed")))
		return true;
	return !only_failed_are_replaced(r->job) && p->metadata.deletionTimestamp && !str_eq(p->status.phase, S("Succeeded"));
}

static bool pod_valid_index(const struct round *r, const struct core_v1_Pod *p)
{
	int32_t i = job_pod_index(p);
	return !r->indexed || (i >= 0 && i < r->succeeded_indexes.size);
}

static int64_t annotation_number(const struct core_v1_Pod *p, str key)
{
	int64_t n;
	return str_to_i64(str_map_get(&p->metadata.annotations, key), &n) ? n : 0;
}

// --- Counting ---

static void sort_pods(struct round *r, struct arena *a, struct held mine)
{
	const struct batch_v1_UncountedTerminatedPods *u = r->job->status.uncountedTerminatedPods;
	for (size_t i = 0; i < mine.n; i++) {
		const struct core_v1_Pod *p = mine.v[i];
		*LIST_ADD(a, &r->pods) = p;
		if (pod_active(p)) {
			*LIST_ADD(a, &r->active) = p;
			r->ready += pod_is_ready(p);
		}
		r->terminating += pod_terminating(p);
		if (!tracked(r, p) || !pod_valid_index(r, p))
			continue;
		if (str_eq(p->status.phase, S("Succeeded")) && !in_list(&u->succeeded, p->metadata.uid) && !in_list(&u->failed, p->metadata.uid))
			*LIST_ADD(a, &r->succeeded_now) = p;
		else if (pod_failed(r, p) && !in_list(&u->failed, p->metadata.uid))
			*LIST_ADD(a, &r->failed_now) = p;
	}
	str why;
	int32_t counted = 0;
	for (size_t i = 0; i < r->failed_now.n; i++)
		counted += job_failure_action(a, r->job->spec.podFailurePolicy, r->failed_now.v[i], &why) != FAILURE_IGNORED;
	r->succeeded = r->job->status.succeeded + (int32_t)r->succeeded_now.n + (int32_t)u->succeeded.n;
	r->failed = r->job->status.failed + counted + (int32_t)u->failed.n;
}

static void sort_indexes(struct round *r, struct arena *a)
{
	if (!r->indexed)
		return;
	index_set_parse(&r->succeeded_indexes, r->job->status.completedIndexes);
	if (r->per_index && r->job->status.failedIndexes)
		index_set_parse(&r->failed_indexes, *r->job->status.failedIndexes);
	for (size_t i = 0; i < r->pods.n; i++)
		if (str_eq(r->pods.v[i]->status.phase, S("Succeeded")) && tracked(r, r->pods.v[i]))
			index_set_add(&r->succeeded_indexes, job_pod_index(r->pods.v[i]));
	r->succeeded = r->succeeded_indexes.total;
	if (!r->per_index)
		return;
	for (size_t i = 0; i < r->pods.n; i++) {
		const struct core_v1_Pod *p = r->pods.v[i];
		int32_t index = job_pod_index(p);
		if (!pod_failed(r, p) || !tracked(r, p) || index < 0)
			continue;
		str why;
		enum failure_action action = job_failure_action(a, r->job->spec.podFailurePolicy, p, &why);
		int64_t failures = annotation_number(p, JOB_INDEX_FAILURES) + (action != FAILURE_IGNORED);
		if (action == FAILURE_FAILS_INDEX || failures > *r->job->spec.backoffLimitPerIndex) {
			index_set_add(&r->failed_indexes, index);
			continue;
		}
		// The pod of an index with the most failures hands its count on to the next one.
		str k = arena_printf(a, "%d", index);
		const struct core_v1_Pod *last = map_get(&r->waiting, k);
		if (!last || annotation_number(last, JOB_INDEX_FAILURES) < annotation_number(p, JOB_INDEX_FAILURES))
			map_put(&r->waiting, k, (void *)(uintptr_t)p);
	}
	for (size_t i = 0; i < r->active.n; i++) // an index that runs again waits for nobody
		map_del(&r->waiting, arena_printf(a, "%d", job_pod_index(r->active.v[i])));
}

static bool past_backoff_on_failure(const struct round *r)
{
	if (!str_eq(r->job->spec.template.spec.restartPolicy, S("OnFailure")) || !r->job->spec.backoffLimit)
		return false;
	int64_t restarts = 0;
	for (size_t i = 0; i < r->pods.n; i++) {
		const struct core_v1_Pod *p = r->pods.v[i];
		if (!str_eq(p->status.phase, S("Running")) && !str_eq(p->status.phase, S("Pending")))
			continue;
		for (size_t k = 0; k < p->status.initContainerStatuses.n; k++)
			restarts += p->status.initContainerStatuses.v[k].restartCount;
		for (size_t k = 0; k < p->status.containerStatuses.n; k++)
			restarts += p->status.containerStatuses.v[k].restartCount;
	}
	return *r->job->spec.backoffLimit == 0 ? restarts > 0 : restarts >= *r->job->spec.backoffLimit;
}

// Whether the Job has come to an end, and to which.
static void judge(struct round *r, struct arena *a)
{
	const struct batch_v1_JobSpec *s = &r->job->spec;
	const struct batch_v1_JobCondition *met = find_condition(&r->job->status, "SuccessCriteriaMet"), *target = find_condition(&r->job->status, "FailureTarget");
	str message;
	if (is_true(met)) {
		r->finished = *met;
		return;
	}
	if (is_true(target)) {
		r->finished = condition(r, "Failed", target->reason, target->message);
		return;
	}
	for (size_t i = 0; s->podFailurePolicy && i < r->pods.n; i++)
		if (pod_failed(r, r->pods.v[i]) && job_failure_action(a, s->podFailurePolicy, r->pods.v[i], &message) == FAILURE_FAILS_JOB) {
			r->finished = condition(r, "FailureTarget", S("PodFailurePolicy"), message);
			return;
		}
	if (r->failed > (s->backoffLimit ? *s->backoffLimit : 6) || past_backoff_on_failure(r)) {
		r->finished = condition(r, "FailureTarget", S("BackoffLimitExceeded"), S("Job has reached the specified backoff limit"));
		return;
	}
	if (s->activeDeadlineSeconds && !suspended(r->job) && r->job->status.startTime) {
		int64_t left = r->job->status.startTime->sec + *s->activeDeadlineSeconds - r->now.sec;
		if (left <= 0) {
			r->finished = condition(r, "FailureTarget", S("DeadlineExceeded"), S("Job was active longer than specified deadline"));
			return;
		}
		workqueue_add_after(r->c->queue, r->key, left * 1000);
	}
	if (r->per_index && s->maxFailedIndexes && r->failed_indexes.total > *s->maxFailedIndexes)
		r->finished = condition(r, "FailureTarget", S("MaxFailedIndexesExceeded"), S("Job has exceeded the specified maximal number of failed indexes"));
	else if (r->per_index && r->failed_indexes.total > 0 && r->failed_indexes.total + r->succeeded_indexes.total >= r->succeeded_indexes.size)
		r->finished = condition(r, "FailureTarget", S("FailedIndexes"), S("Job has failed indexes"));
	else if (r->indexed && job_success_met(a, s->successPolicy, &r->succeeded_indexes, &message))
		r->finished = condition(r, "SuccessCriteriaMet", S("SuccessPolicy"), message);
}

// --- Pods made and deleted ---

static bool take_finalizer(struct round *r, const struct core_v1_Pod *p, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(1024);
	struct job *c = r->c;
	pthread_mutex_lock(&c->lock);
	map_put(&c->removed, p->metadata.uid, NULL);
	pthread_mutex_unlock(&c->lock);
	str patch = arena_printf(a, "{\"metadata\":{\"uid\":\"" STR_FMT "\",\"$deleteFromPrimitiveList/finalizers\":[\"" STR_FMT "\"]}}", STR_ARG(p->metadata.uid),
	                         STR_ARG(JOB_FINALIZER));
	if (client_patch(c->m->client, a, c->m->r.pods, NULL, p->metadata.namespace, p->metadata.name, PATCH_STRATEGIC, patch, err) || err->code == 404) {
		*err = (struct error){ 0 };
		return true;
	}
	pthread_mutex_lock(&c->lock);
	map_del(&c->removed, p->metadata.uid);
	pthread_mutex_unlock(&c->lock);
	return false;
}

struct deletion { struct round *r; struct pods pods; bool finalizer; int32_t done, ready; };

static void delete_one(void *ctx, size_t i)
{
	struct deletion *d = ctx;
	struct round *r = d->r;
	const struct core_v1_Pod *p = d->pods.v[i];
	struct error err = { 0 };
	bool ok = (!d->finalizer || !meta_has_finalizer(&p->metadata, JOB_FINALIZER) || take_finalizer(r, p, &err)) && (pod_delete(r->c->m, &r->owner, p, &err) || err.code == 404);
	pthread_mutex_lock(&r->lock);
	if (ok) {
		d->done++;
		d->ready += pod_is_ready(p);
	} else {
		r->err = err;
	}
	pthread_mutex_unlock(&r->lock);
	if (!ok || err.code == 404)
		deletion_observed(r->c->expectations, r->key, &p->metadata);
}

static int32_t delete_pods(struct round *r, struct pods pods, bool with_finalizer)
{
	struct deletion d = { .r = r, .pods = pods, .finalizer = with_finalizer };
	in_parallel(pods.n, delete_one, &d);
	r->terminating += d.done;
	r->ready -= d.ready;
	return d.done;
}

struct creation { struct round *r; struct core_v1_Pod **pods; int32_t made; };

static void create_one(void *ctx, size_t i)
{
	struct creation *b = ctx;
	struct round *r = b->r;
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	bool ok = pod_create(r->c->m, a, &r->owner, b->pods[i], &err) != NULL;
	pthread_mutex_lock(&r->lock);
	if (ok)
		b->made++;
	else if (!error_namespace_terminating(&err))
		r->err = err;
	pthread_mutex_unlock(&r->lock);
	if (!ok)
		creation_observed(r->c->expectations, r->key);
}

static void add_index_env(struct arena *a, struct core_v1_Container_list *containers)
{
	for (size_t i = 0; i < containers->n; i++) {
		bool there = false;
		for (size_t k = 0; k < containers->v[i].env.n; k++)
			there |= str_eq(containers->v[i].env.v[k].name, S("JOB_COMPLETION_INDEX"));
		if (there)
			continue;
		struct core_v1_EnvVar *e = LIST_ADD(a, &containers->v[i].env);
		e->name = S("JOB_COMPLETION_INDEX");
		e->valueFrom = ARENA_NEW(a, struct core_v1_EnvVarSource);
		e->valueFrom->fieldRef = ARENA_NEW(a, struct core_v1_ObjectFieldSelector);
		e->valueFrom->fieldRef->fieldPath = S("metadata.labels['batch.kubernetes.io/job-completion-index']");
	}
}

static struct core_v1_Pod *new_pod(struct round *r, struct arena *a, int32_t index)
{
	struct core_v1_Pod *p = schema_clone(a, core_v1_Pod_desc, pod_from_template(a, &r->job->spec.template, &r->owner));
	if (!meta_has_finalizer(&p->metadata, JOB_FINALIZER))
		*LIST_ADD(a, &p->metadata.finalizers) = JOB_FINALIZER;
	if (!r->indexed)
		return p;
	str n = arena_printf(a, "%d", index);
	str_map_set(a, &p->metadata.annotations, JOB_INDEX, n);
	str_map_set(a, &p->metadata.labels, JOB_INDEX, n);
	p->metadata.generateName = arena_concat(a, str_sub(r->job->metadata.name, 0, 240), S("-"), n, S("-"));
	str host = arena_concat(a, r->job->metadata.name, S("-"), n);
	if (host.n <= 63)
		p->spec.hostname = host;
	add_index_env(a, &p->spec.containers);
	add_index_env(a, &p->spec.initContainers);
	if (r->per_index) {
		const struct core_v1_Pod *last = map_get(&r->waiting, n);
		str why;
		bool ignored = last && job_failure_action(a, r->job->spec.podFailurePolicy, last, &why) == FAILURE_IGNORED;
		int64_t failures = last ? annotation_number(last, JOB_INDEX_FAILURES) + !ignored : 0;
		str_map_set(a, &p->metadata.annotations, JOB_INDEX_FAILURES, arena_printf(a, "%lld", (long long)failures));
		if (last && (ignored || annotation_number(last, JOB_INDEX_IGNORED)))
			str_map_set(a, &p->metadata.annotations, JOB_INDEX_IGNORED, arena_printf(a, "%lld", (long long)annotation_number(last, JOB_INDEX_IGNORED) + ignored));
	}
	return p;
}

static int32_t create_pods(struct round *r, struct arena *a, int32_t n)
{
	n = MIN(n, (int32_t)BURST);
	struct core_v1_Pod **pods = arena_calloc(a, (size_t)n + 1, sizeof(*pods));
	int32_t made = 0;
	if (r->indexed) {
		struct index_set busy = index_set_new(a, r->succeeded_indexes.size);
		for (size_t i = 0; i < r->active.n; i++)
			index_set_add(&busy, job_pod_index(r->active.v[i]));
		for (size_t i = 0; only_failed_are_replaced(r->job) && i < r->pods.n; i++)
			if (pod_terminating(r->pods.v[i]))
				index_set_add(&busy, job_pod_index(r->pods.v[i]));
		for (int32_t i = 0; i < busy.size && made < n; i++)
			if (!index_set_has(&busy, i) && !index_set_has(&r->succeeded_indexes, i) && !(r->per_index && index_set_has(&r->failed_indexes, i)))
				pods[made++] = new_pod(r, a, i);
		n = made;
	} else {
		for (int32_t i = 0; i < n; i++)
			pods[i] = new_pod(r, a, 0);
	}
	expect_creations(r->c->expectations, r->key, n);
	struct creation b = { .r = r, .pods = pods };
	int32_t tried = 0;
	for (int32_t batch = MIN(n, 1); batch > 0 && !r->err.code; batch = MIN(2 * batch, n - tried)) {
		b.pods = pods + tried;
		in_parallel((size_t)batch, create_one, &b);
		tried += batch;
	}
	for (int32_t i = tried; i < n; i++)
		creation_observed(r->c->expectations, r->key);
	return b.made;
}

// Milliseconds that new pods have to wait because of earlier failures.
static int64_t backoff_left(struct round *r)
{
	pthread_mutex_lock(&r->c->lock);
	const struct failures *f = map_get(&r->c->failures, r->key);
	int64_t wait = 0;
	if (f && f->n > 0) {
		int64_t s = BACKOFF_S;
		for (int32_t i = 1; i < f->n && s < BACKOFF_MAX_S; i++)
			s *= 2;
		wait = f->last + MIN(s, (int64_t)BACKOFF_MAX_S) * NS_PER_SEC - clock_mono(r->c->m->clock);
	}
	pthread_mutex_unlock(&r->c->lock);
	return wait > 0 ? wait / NS_PER_MS + 1 : 0;
}

static void note_outcomes(struct round *r)
{
	if (r->failed_now.n == 0 && r->succeeded_now.n == 0)
		return;
	pthread_mutex_lock(&r->c->lock);
	struct failures *f = map_get(&r->c->failures, r->key);
	if (!f)
		map_put(&r->c->failures, r->key, f = HEAP_NEW(struct failures));
	if (r->succeeded_now.n)
		f->n = 0;
	if (r->failed_now.n) {
		f->n += (int32_t)r->failed_now.n;
		f->last = clock_mono(r->c->m->clock);
	}
	pthread_mutex_unlock(&r->c->lock);
}

// Brings the number of active pods to what is wanted; returns how many there are then.
static int32_t manage(struct round *r, struct arena *a)
{
	const struct batch_v1_JobSpec *s = &r->job->spec;
	int32_t active = (int32_t)r->active.n, parallelism = s->parallelism ? *s->parallelism : 1, want;
	if (suspended(r->job)) {
		expect_deletions(r->c->expectations, r->key, r->active.v, r->active.n);
		return active - delete_pods(r, r->active, true);
	}
	if (!s->completions)
		want = r->succeeded > 0 ? active : parallelism;
	else
		want = MAX(0, MIN(*s->completions - r->succeeded - (r->per_index ? r->failed_indexes.total : 0), parallelism));
	if (active > want) {
		pods_rank_for_deletion(a, r->active.v, r->active.n, NULL, 0);
		struct pods surplus = { r->active.v, (size_t)MIN(active - want, (int32_t)BURST) };
		expect_deletions(r->c->expectations, r->key, surplus.v, surplus.n);
		return active - delete_pods(r, surplus, true);
	}
	int32_t missing = want - active - (only_failed_are_replaced(r->job) ? r->terminating : 0);
	if (missing <= 0)
		return active;
	int64_t wait = r->per_index ? 0 : backoff_left(r);
	if (wait > 0) {
		workqueue_add_after(r->c->queue, r->key, wait);
		return active;
	}
	return active + create_pods(r, a, missing);
}

// --- Status ---

static bool set_suspended(struct round *r, struct arena *a, bool now)
{
	struct batch_v1_JobCondition *c = (struct batch_v1_JobCondition *)find_condition(&r->job->status, "Suspended");
	struct batch_v1_JobCondition want = condition(r, "Suspended", now ? S("JobSuspended") : S("JobResumed"), now ? S("Job suspended") : S("Job resumed"));
	want.status = now ? S("True") : S("False");
	if (c ? str_eq(c->status, want.status) : !now)
		return false; // what never was suspended need not be said to be resumed
	if (c)
		*c = want;
	else
		*LIST_ADD(a, &r->job->status.conditions) = want;
	EVENT(r->c->m, COMPONENT, r->c->m->r.jobs, &r->job->metadata, "Normal", now ? "Suspended" : "Resumed", now ? "Job suspended" : "Job resumed");
	r->job->status.startTime = NULL;
	if (!now) {
		r->job->status.startTime = ARENA_NEW(a, struct api_time);
		*r->job->status.startTime = r->now;
	}
	return true;
}

static bool write_status(struct round *r, struct arena *a, struct error *err)
{
	const struct batch_v1_Job *now = client_update(r->c->m->client, a, r->c->m->r.jobs, "status", r->job, err);
	if (!now)
		return false;
	r->job->metadata.resourceVersion = now->metadata.resourceVersion;
	return true;
}

// Moves those without a finalizer from the list into the counter.
static int32_t settle(struct round *r, struct arena *a, struct str_list *uncounted)
{
	struct str_list left = { 0 };
	for (size_t i = 0; i < uncounted->n; i++) {
		bool still = false;
		for (size_t k = 0; k < r->pods.n && !still; k++)
			still = str_eq(r->pods.v[k]->metadata.uid, uncounted->v[i]) && tracked(r, r->pods.v[k]);
		if (still)
			*LIST_ADD(a, &left) = uncounted->v[i];
	}
	int32_t settled = (int32_t)(uncounted->n - left.n);
	*uncounted = left;
	r->flush |= settled > 0;
	return settled;
}

struct stripping { struct round *r; struct pods pods; };

static void strip_one(void *ctx, size_t i)
{
	struct stripping *s = ctx;
	struct error err = { 0 };
	if (take_finalizer(s->r, s->pods.v[i], &err))
		return;
	pthread_mutex_lock(&s->r->lock);
	s->r->err = err;
	pthread_mutex_unlock(&s->r->lock);
}

static void settle_all(struct round *r, struct arena *a)
{
	struct batch_v1_JobStatus *s = &r->job->status;
	int32_t n = settle(r, a, &s->uncountedTerminatedPods->succeeded);
	if (!r->indexed)
		s->succeeded += n;
	s->failed += settle(r, a, &s->uncountedTerminatedPods->failed);
}

// Notes who has ended. Returns the pods that may lose their finalizers, *more: not all were noted.
static struct pods note_ended(struct round *r, struct arena *a, bool *more)
{
	struct batch_v1_UncountedTerminatedPods *u = r->job->status.uncountedTerminatedPods;
	struct pods strip = { 0 };
	size_t noted = 0;
	*more = false;
	for (size_t i = 0; i < r->pods.n; i++) {
		const struct core_v1_Pod *p = r->pods.v[i];
		bool failed = pod_failed(r, p), succeeded = str_eq(p->status.phase, S("Succeeded"));
		if (!tracked(r, p))
			continue;
		if (!r->job->metadata.deletionTimestamp && !r->finished.type.n && !succeeded) {
			if (!failed)
				continue;
			if (r->per_index && map_get(&r->waiting, arena_printf(a, "%d", job_pod_index(p))) == p)
				continue;
		}
		if (u->succeeded.n + u->failed.n + noted >= MAX_UNCOUNTED) {
			*more = true;
			break;
		}
		*LIST_ADD(a, &strip) = p;
		if (!pod_valid_index(r, p))
			continue;
		if (succeeded && !in_list(&u->failed, p->metadata.uid)) {
			if (!r->indexed && !in_list(&u->succeeded, p->metadata.uid)) {
				*LIST_ADD(a, &u->succeeded) = arena_dup(a, p->metadata.uid);
				r->flush = true;
			}
			noted += r->indexed;
		} else if ((failed || (r->finished.type.n && !str_eq(r->finished.type, S("SuccessCriteriaMet")))) && !in_list(&u->failed, p->metadata.uid)) {
			str why;
			if (job_failure_action(a, r->job->spec.podFailurePolicy, p, &why) == FAILURE_IGNORED)
				continue;
			*LIST_ADD(a, &u->failed) = arena_dup(a, p->metadata.uid);
			r->flush = true;
		}
	}
	return strip;
}

static bool track(struct round *r, struct arena *a, struct error *err)
{
	struct batch_v1_JobStatus *s = &r->job->status;
	bool more;
	settle_all(r, a);
	struct pods strip = note_ended(r, a, &more);
	if (r->indexed) {
		str text = index_set_text(a, &r->succeeded_indexes);
		r->flush |= !str_eq(text, s->completedIndexes) || s->succeeded != r->succeeded_indexes.total;
		s->succeeded = r->succeeded_indexes.total;
		s->completedIndexes = text;
	}
	if (r->per_index) {
		str text = index_set_text(a, &r->failed_indexes);
		r->flush |= !s->failedIndexes || !str_eq(*s->failedIndexes, text);
		s->failedIndexes = ARENA_NEW(a, str);
		*s->failedIndexes = text;
	}
	// What it ends with is written before the last finalizer goes.
	if (str_eq(r->finished.type, S("FailureTarget"))) {
		*LIST_ADD(a, &s->conditions) = r->finished;
		r->finished = condition(r, "Failed", r->finished.reason, r->finished.message);
		r->flush = true;
	} else if (str_eq(r->finished.type, S("SuccessCriteriaMet"))) {
		if (!find_condition(s, "SuccessCriteriaMet")) {
			*LIST_ADD(a, &s->conditions) = r->finished;
			r->flush = true;
		}
		r->finished = condition(r, "Complete", r->finished.reason, r->finished.message);
	}
	if (r->flush && !write_status(r, a, err))
		return false;
	if (r->flush)
		note_outcomes(r);
	r->flush = false;
	struct stripping st = { r, strip };
	in_parallel(strip.n, strip_one, &st);
	settle_all(r, a);
	bool done = r->finished.type.n && !more && s->uncountedTerminatedPods->succeeded.n == 0 && s->uncountedTerminatedPods->failed.n == 0 && r->terminating == 0;
	if (done) {
		*LIST_ADD(a, &s->conditions) = r->finished;
		if (str_eq(r->finished.type, S("Complete"))) {
			s->completionTime = ARENA_NEW(a, struct api_time);
			*s->completionTime = r->now;
		}
		r->flush = true;
	}
	if (r->flush && !write_status(r, a, err))
		return false;
	if (done) {
		bool complete = str_eq(r->finished.type, S("Complete"));
		if (complete && r->job->spec.completions && s->succeeded > *r->job->spec.completions)
			EVENT(r->c->m, COMPONENT, r->c->m->r.jobs, &r->job->metadata, "Warning", "TooManySucceededPods", "Too many succeeded pods running after completion count reached");
		EVENT(r->c->m, COMPONENT, r->c->m->r.jobs, &r->job->metadata, complete ? "Normal" : "Warning", complete ? "Completed" : arena_cstr(a, r->finished.reason), "%s",
		      complete ? "Job completed" : arena_cstr(a, r->finished.message));
	}
	return true;
}

// --- Reconcile ---

static void forget(struct job *c, str key)
{
	expectations_forget(c->expectations, key);
	pthread_mutex_lock(&c->lock);
	free(map_del(&c->failures, key));
	pthread_mutex_unlock(&c->lock);
}

// Pods whose Job is finished or gone are let go.
static bool release_orphan(struct job *c, struct arena *a, str key, struct error *err)
{
	str ns, name;
	key_split(key, &ns, &name);
	const struct core_v1_Pod *p = held_get(a, c->pods, ns, name);
	const struct meta_v1_OwnerReference *ref = p ? meta_controller(&p->metadata) : NULL;
	const struct batch_v1_Job *j = ref ? held_get(a, c->jobs, ns, ref->name) : NULL;
	if (!p || !meta_has_finalizer(&p->metadata, JOB_FINALIZER) || (j && str_eq(j->metadata.uid, ref->uid) && !job_finished(j)))
		return true;
	struct round r = { .c = c };
	return take_finalizer(&r, p, err);
}

static bool run_round(struct round *r, struct arena *a, bool may_act, struct error *err)
{
	struct batch_v1_Job *j = r->job;
	sort_indexes(r, a);
	if (!j->status.startTime && !suspended(j)) {
		j->status.startTime = ARENA_NEW(a, struct api_time);
		*j->status.startTime = r->now;
		r->flush = true;
	}
	judge(r, a);
	int32_t active = (int32_t)r->active.n;
	if (r->finished.type.n) {
		int32_t deleted = delete_pods(r, r->active, false);
		if (deleted != active || !may_act)
			r->finished = (struct batch_v1_JobCondition){ 0 };
		active -= deleted;
	} else {
		bool managed = may_act && !j->metadata.deletionTimestamp;
		if (managed)
			active = manage(r, a);
		bool complete = active == 0 && (j->spec.completions ? r->succeeded >= *j->spec.completions : r->succeeded > 0);
		if (complete)
			r->finished = condition(r, "SuccessCriteriaMet", S("CompletionsReached"), S("Reached expected number of succeeded pods"));
		else if (managed)
			r->flush |= set_suspended(r, a, suspended(j));
	}
	r->flush |= active != j->status.active || !j->status.ready || *j->status.ready != r->ready || !j->status.terminating || *j->status.terminating != r->terminating;
	j->status.active = active;
	j->status.ready = ARENA_NEW(a, int32_t);
	*j->status.ready = r->ready;
	j->status.terminating = ARENA_NEW(a, int32_t);
	*j->status.terminating = r->terminating;
	if (!track(r, a, err))
		return false;
	if (r->err.code)
		*err = r->err;
	return !r->err.code;
}

static bool reconcile(void *ctx, struct arena *a, str key, struct error *err)
{
	struct job *c = ctx;
	str ns, name, orphan = key;
	if (str_cut_prefix(&orphan, S("orphan:")))
		return release_orphan(c, a, orphan, err);
	key_split(key, &ns, &name);
	const struct batch_v1_Job *cached = held_get(a, c->jobs, ns, name);
	if (!cached) {
		forget(c, key);
		return true;
	}
	if (cached->spec.managedBy && !str_eq(*cached->spec.managedBy, S("kubernetes.io/job-controller")))
		return true;
	struct round r = { .c = c, .key = key, .now = now_time(c->m), .job = schema_clone(a, batch_v1_Job_desc, cached) };
	if (job_finished(cached)) {
		forget(c, key);
		struct held left = held_by_index(a, c->pods, INDEX_CONTROLLER, cached->metadata.uid);
		for (size_t i = 0; i < left.n; i++)
			if (tracked(&r, left.v[i]) && !take_finalizer(&r, left.v[i], err))
				return false;
		return true;
	}
	r.owner = (struct owner){ c->m->r.jobs, S("batch/v1"), S("Job"), &r.job->metadata, COMPONENT };
	r.indexed = r.job->spec.completionMode && str_eq(*r.job->spec.completionMode, S("Indexed"));
	r.per_index = r.indexed && r.job->spec.backoffLimitPerIndex;
	r.succeeded_indexes = index_set_new(a, r.indexed && r.job->spec.completions ? *r.job->spec.completions : 0);
	r.failed_indexes = index_set_new(a, r.succeeded_indexes.size);
	if (!r.job->status.uncountedTerminatedPods)
		r.job->status.uncountedTerminatedPods = ARENA_NEW(a, struct batch_v1_UncountedTerminatedPods);
	bool may_act = expectations_met(c->expectations, key);
	struct selector selector;
	struct held mine;
	if (!label_selector(a, r.job->spec.selector, &selector, err) ||
	    !claim(c->m, a, &r.owner, &selector, c->m->r.pods, held_candidates(a, c->pods, ns, r.job->metadata.uid), NULL, &mine, err))
		return false;
	pthread_mutex_init(&r.lock, NULL);
	sort_pods(&r, a, mine);
	bool ok = run_round(&r, a, may_act, err);
	map_free(&r.waiting);
	pthread_mutex_destroy(&r.lock);
	return ok || err->code == 404;
}

void *job_setup(struct manager *m)
{
	struct job *c = ARENA_NEW(m->arena, struct job);
	*c = (struct job){ .m = m, .jobs = manager_informer(m, m->r.jobs), .pods = manager_informer(m, m->r.pods), .queue = manager_queue(m),
		.expectations = expectations_new(m) };
	pthread_mutex_init(&c->lock, NULL);
	informer_add_index(c->pods, INDEX_CONTROLLER, index_controller);
	informer_add_handler(c->jobs, &(struct informer_handler){ job_changed, c });
	informer_add_handler(c->pods, &(struct informer_handler){ pod_changed, c });
	return c;
}

void job_run(void *self)
{
	struct job *c = self;
	workqueue_run(c->queue, "job", (int)c->m->options->concurrent_syncs, reconcile, c);
}
