// Jobs: pods that run to their end. Rule: upstream pkg/controller/job.
//
// No pod is counted twice and none is lost: each has a finalizer. A pod that has ended is first written into
// status.uncountedTerminatedPods, then loses its finalizer, and then moves from that list into the counters.
#include "controllers/job.h"

#include <stdlib.h>

#include "base/heap.h"
#include "base/log.h"

enum { MAX_UNCOUNTED = 500 };

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

static struct batch_v1_JobCondition condition(const struct job_round *r, const char *type, str reason, str message)
{
	return (struct batch_v1_JobCondition){ .type = str_c(type),
		                               .status = S("True"),
		                               .reason = reason,
		                               .message = message,
		                               .lastProbeTime = r->now,
		                               .lastTransitionTime = r->now };
}

static const struct batch_v1_JobCondition *find_condition(const struct batch_v1_JobStatus *s, const char *type)
{
	for (size_t i = 0; i < s->conditions.n; i++)
		if (str_eqc(s->conditions.v[i].type, type))
			return &s->conditions.v[i];
	return NULL;
}

static bool is_true(const struct batch_v1_JobCondition *c)
{
	return c && str_eq(c->status, S("True"));
}

bool job_finished(const struct batch_v1_Job *j)
{
	return is_true(find_condition(&j->status, "Complete")) || is_true(find_condition(&j->status, "Failed"));
}

bool job_suspended(const struct batch_v1_Job *j)
{
	return j->spec.suspend && *j->spec.suspend;
}

static bool in_list(const struct str_list *l, str s)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->v[i], s))
			return true;
	return false;
}

// A pod that is to be counted still.
static bool tracked(struct job_round *r, const struct core_v1_Pod *p)
{
	if (!meta_has_finalizer(&p->metadata, JOB_FINALIZER))
		return false;
	pthread_mutex_lock(&r->c->lock);
	bool removed = map_has(&r->c->removed, p->metadata.uid);
	pthread_mutex_unlock(&r->c->lock);
	return !removed;
}

bool job_replaces_failed_only(const struct batch_v1_Job *j)
{
	return j->spec.podReplacementPolicy ? str_eq(*j->spec.podReplacementPolicy, S("Failed"))
	                                    : j->spec.podFailurePolicy != NULL;
}

static bool pod_failed(const struct job_round *r, const struct core_v1_Pod *p)
{
	if (str_eq(p->status.phase, S("Failed")))
		return true;
	return !job_replaces_failed_only(r->job) && p->metadata.deletionTimestamp &&
	       !str_eq(p->status.phase, S("Succeeded"));
}

static bool pod_valid_index(const struct job_round *r, const struct core_v1_Pod *p)
{
	int32_t i = job_pod_index(p);
	return !r->indexed || (i >= 0 && i < r->succeeded_indexes.size);
}

int64_t job_pod_number(const struct core_v1_Pod *p, str key)
{
	int64_t n;
	return str_to_i64(str_map_get(&p->metadata.annotations, key), &n) ? n : 0;
}

// --- Counting ---

static void sort_pods(struct job_round *r, struct arena *a, struct held mine)
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
		if (str_eq(p->status.phase, S("Succeeded")) && !in_list(&u->succeeded, p->metadata.uid) &&
		    !in_list(&u->failed, p->metadata.uid))
			*LIST_ADD(a, &r->succeeded_now) = p;
		else if (pod_failed(r, p) && !in_list(&u->failed, p->metadata.uid))
			*LIST_ADD(a, &r->failed_now) = p;
	}
	str why;
	int32_t counted = 0;
	for (size_t i = 0; i < r->failed_now.n; i++)
		counted += job_failure_action(a, r->job->spec.podFailurePolicy, r->failed_now.v[i], &why) !=
		           FAILURE_IGNORED;
	r->succeeded = r->job->status.succeeded + (int32_t)r->succeeded_now.n + (int32_t)u->succeeded.n;
	r->failed = r->job->status.failed + counted + (int32_t)u->failed.n;
}

static void sort_indexes(struct job_round *r, struct arena *a)
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
		int64_t failures = job_pod_number(p, JOB_INDEX_FAILURES) + (action != FAILURE_IGNORED);
		if (action == FAILURE_FAILS_INDEX || failures > *r->job->spec.backoffLimitPerIndex) {
			index_set_add(&r->failed_indexes, index);
			continue;
		}
		// The pod of an index with the most failures hands its count on to the next one.
		str k = arena_printf(a, "%d", index);
		const struct core_v1_Pod *last = map_get(&r->waiting, k);
		if (!last || job_pod_number(last, JOB_INDEX_FAILURES) < job_pod_number(p, JOB_INDEX_FAILURES))
			map_put(&r->waiting, k, (void *)(uintptr_t)p);
	}
	for (size_t i = 0; i < r->active.n; i++) // an index that runs again waits for nobody
		map_del(&r->waiting, arena_printf(a, "%d", job_pod_index(r->active.v[i])));
}

static bool past_backoff_on_failure(const struct job_round *r)
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
static void judge(struct job_round *r, struct arena *a)
{
	const struct batch_v1_JobSpec *s = &r->job->spec;
	const struct batch_v1_JobCondition *met = find_condition(&r->job->status, "SuccessCriteriaMet"),
	                                   *target = find_condition(&r->job->status, "FailureTarget");
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
		if (pod_failed(r, r->pods.v[i]) &&
		    job_failure_action(a, s->podFailurePolicy, r->pods.v[i], &message) == FAILURE_FAILS_JOB) {
			r->finished = condition(r, "FailureTarget", S("PodFailurePolicy"), message);
			return;
		}
	if (r->failed > (s->backoffLimit ? *s->backoffLimit : 6) || past_backoff_on_failure(r)) {
		r->finished = condition(r, "FailureTarget", S("BackoffLimitExceeded"),
		                        S("Job has reached the specified backoff limit"));
		return;
	}
	if (s->activeDeadlineSeconds && !job_suspended(r->job) && r->job->status.startTime) {
		int64_t left = r->job->status.startTime->sec + *s->activeDeadlineSeconds - r->now.sec;
		if (left <= 0) {
			r->finished = condition(r, "FailureTarget", S("DeadlineExceeded"),
			                        S("Job was active longer than specified deadline"));
			return;
		}
		workqueue_add_after(r->c->queue, r->key, left * 1000);
	}
	if (r->per_index && s->maxFailedIndexes && r->failed_indexes.total > *s->maxFailedIndexes)
		r->finished = condition(r, "FailureTarget", S("MaxFailedIndexesExceeded"),
		                        S("Job has exceeded the specified maximal number of failed indexes"));
	else if (r->per_index && r->failed_indexes.total > 0 &&
	         r->failed_indexes.total + r->succeeded_indexes.total >= r->succeeded_indexes.size)
		r->finished = condition(r, "FailureTarget", S("FailedIndexes"), S("Job has failed indexes"));
	else if (r->indexed && job_success_met(a, s->successPolicy, &r->succeeded_indexes, &message))
		r->finished = condition(r, "SuccessCriteriaMet", S("SuccessPolicy"), message);
}

// --- Status ---

static bool set_suspended(struct job_round *r, struct arena *a, bool now)
{
	struct batch_v1_JobCondition *c = (struct batch_v1_JobCondition *)find_condition(&r->job->status, "Suspended");
	struct batch_v1_JobCondition want = condition(r, "Suspended", now ? S("JobSuspended") : S("JobResumed"),
	                                              now ? S("Job suspended") : S("Job resumed"));
	want.status = now ? S("True") : S("False");
	if (c ? str_eq(c->status, want.status) : !now)
		return false; // what never was suspended need not be said to be resumed
	if (c)
		*c = want;
	else
		*LIST_ADD(a, &r->job->status.conditions) = want;
	EVENT(r->c->m, COMPONENT, r->c->m->r.jobs, &r->job->metadata, "Normal", now ? "Suspended" : "Resumed",
	      now ? "Job suspended" : "Job resumed");
	r->job->status.startTime = NULL;
	if (!now) {
		r->job->status.startTime = ARENA_NEW(a, struct api_time);
		*r->job->status.startTime = r->now;
	}
	return true;
}

static bool write_status(struct job_round *r, struct arena *a, struct error *err)
{
	const struct batch_v1_Job *now = client_update(r->c->m->client, a, r->c->m->r.jobs, "status", r->job, err);
	if (!now)
		return false;
	r->job->metadata.resourceVersion = now->metadata.resourceVersion;
	return true;
}

// Moves those without a finalizer from the list into the counter.
static int32_t settle(struct job_round *r, struct arena *a, struct str_list *uncounted)
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

struct stripping {
	struct job_round *r;
	struct job_pods pods;
};

static void strip_one(void *ctx, size_t i)
{
	struct stripping *s = ctx;
	struct error err = { 0 };
	if (job_take_finalizer(s->r, s->pods.v[i], &err))
		return;
	pthread_mutex_lock(&s->r->lock);
	s->r->err = err;
	pthread_mutex_unlock(&s->r->lock);
}

static void settle_all(struct job_round *r, struct arena *a)
{
	struct batch_v1_JobStatus *s = &r->job->status;
	int32_t n = settle(r, a, &s->uncountedTerminatedPods->succeeded);
	if (!r->indexed)
		s->succeeded += n;
	s->failed += settle(r, a, &s->uncountedTerminatedPods->failed);
}

// Notes who has ended. Returns the pods that may lose their finalizers, *more: not all were noted.
static struct job_pods note_ended(struct job_round *r, struct arena *a, bool *more)
{
	struct batch_v1_UncountedTerminatedPods *u = r->job->status.uncountedTerminatedPods;
	struct job_pods strip = { 0 };
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
		} else if ((failed || (r->finished.type.n && !str_eq(r->finished.type, S("SuccessCriteriaMet")))) &&
		           !in_list(&u->failed, p->metadata.uid)) {
			str why;
			if (job_failure_action(a, r->job->spec.podFailurePolicy, p, &why) == FAILURE_IGNORED)
				continue;
			*LIST_ADD(a, &u->failed) = arena_dup(a, p->metadata.uid);
			r->flush = true;
		}
	}
	return strip;
}

static bool track(struct job_round *r, struct arena *a, struct error *err)
{
	struct batch_v1_JobStatus *s = &r->job->status;
	bool more;
	settle_all(r, a);
	struct job_pods strip = note_ended(r, a, &more);
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
		job_note_outcomes(r);
	r->flush = false;
	struct stripping st = { r, strip };
	in_parallel(strip.n, strip_one, &st);
	settle_all(r, a);
	bool done = r->finished.type.n && !more && s->uncountedTerminatedPods->succeeded.n == 0 &&
	            s->uncountedTerminatedPods->failed.n == 0 && r->terminating == 0;
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
			EVENT(r->c->m, COMPONENT, r->c->m->r.jobs, &r->job->metadata, "Warning", "TooManySucceededPods",
			      "Too many succeeded pods running after completion count reached");
		EVENT(r->c->m, COMPONENT, r->c->m->r.jobs, &r->job->metadata, complete ? "Normal" : "Warning",
		      complete ? "Completed" : arena_cstr(a, r->finished.reason), "%s",
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
	if (!p || !meta_has_finalizer(&p->metadata, JOB_FINALIZER) ||
	    (j && str_eq(j->metadata.uid, ref->uid) && !job_finished(j)))
		return true;
	struct job_round r = { .c = c };
	return job_take_finalizer(&r, p, err);
}

static bool run_round(struct job_round *r, struct arena *a, bool may_act, struct error *err)
{
	struct batch_v1_Job *j = r->job;
	sort_indexes(r, a);
	if (!j->status.startTime && !job_suspended(j)) {
		j->status.startTime = ARENA_NEW(a, struct api_time);
		*j->status.startTime = r->now;
		r->flush = true;
	}
	judge(r, a);
	int32_t active = (int32_t)r->active.n;
	if (r->finished.type.n) {
		int32_t deleted = job_delete_pods(r, r->active, false);
		if (deleted != active || !may_act)
			r->finished = (struct batch_v1_JobCondition){ 0 };
		active -= deleted;
	} else {
		bool managed = may_act && !j->metadata.deletionTimestamp;
		if (managed)
			active = job_manage(r, a);
		bool complete =
		        active == 0 && (j->spec.completions ? r->succeeded >= *j->spec.completions : r->succeeded > 0);
		if (complete)
			r->finished = condition(r, "SuccessCriteriaMet", S("CompletionsReached"),
			                        S("Reached expected number of succeeded pods"));
		else if (managed)
			r->flush |= set_suspended(r, a, job_suspended(j));
	}
	r->flush |= active != j->status.active || !j->status.ready || *j->status.ready != r->ready ||
	            !j->status.terminating || *j->status.terminating != r->terminating;
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
	struct job_round r = {
		.c = c, .key = key, .now = now_time(c->m), .job = schema_clone(a, batch_v1_Job_desc, cached)
	};
	if (job_finished(cached)) {
		forget(c, key);
		struct held left = held_by_index(a, c->pods, INDEX_CONTROLLER, cached->metadata.uid);
		for (size_t i = 0; i < left.n; i++)
			if (tracked(&r, left.v[i]) && !job_take_finalizer(&r, left.v[i], err))
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
	    !claim(c->m, a, &r.owner, &selector, c->m->r.pods, held_candidates(a, c->pods, ns, r.job->metadata.uid),
	           NULL, &mine, err))
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
	*c = (struct job){ .m = m,
		           .jobs = manager_informer(m, m->r.jobs),
		           .pods = manager_informer(m, m->r.pods),
		           .queue = manager_queue(m),
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
