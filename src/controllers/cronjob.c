// CronJobs: a Job whenever the schedule says so. Rule: upstream pkg/controller/cronjob. Schedules are in UTC; another spec.timeZone
// is refused with upstream's event for a zone that cannot be loaded.
#include <stdlib.h>

#include "base/log.h"
#include "controllers/cron.h"
#include "controllers/job_policy.h"

#define COMPONENT "cronjob-controller"
#define SCHEDULED_ANNOTATION S("batch.kubernetes.io/cronjob-scheduled-timestamp")

enum { MANY_MISSED = 100, MAX_WALK = 1000000, MAX_NAME = 52 };

struct cronjob {
	struct manager *m;
	struct informer *crons, *jobs;
	struct workqueue *queue;
};

static void cron_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct cronjob *c = ctx;
	queue_object(c->queue, changed_object(old, obj));
}

static void job_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct cronjob *c = ctx;
	const any_object *j = changed_object(old, obj);
	const struct meta_v1_OwnerReference *r = meta_controller(&j->metadata);
	if (!r || !str_eq(r->kind, S("CronJob")))
		return;
	_cleanup_arena_ struct arena *a = arena_new(512);
	workqueue_add(c->queue, key_of(a, j->metadata.namespace, r->name));
}

struct round {
	struct cronjob *c;
	struct batch_v1_CronJob *cron; // a copy
	struct held jobs;              // its own, from the cache
	int64_t now;
	bool changed;
};

#define NOTE(r, type, reason, ...) \
	EVENT((r)->c->m, COMPONENT, (r)->c->m->r.cronjobs, &(r)->cron->metadata, type, reason, __VA_ARGS__)

static const struct batch_v1_Job *job_of(const struct round *r, str uid)
{
	for (size_t i = 0; i < r->jobs.n; i++)
		if (str_eq(((const any_object *)r->jobs.v[i])->metadata.uid, uid))
			return r->jobs.v[i];
	return NULL;
}

static bool succeeded(const struct batch_v1_Job *j)
{
	for (size_t i = 0; i < j->status.conditions.n; i++)
		if (str_eq(j->status.conditions.v[i].type, S("Complete")) &&
		    str_eq(j->status.conditions.v[i].status, S("True")))
			return true;
	return false;
}

// Takes out of status.active what has ended or is gone.
static bool update_active(struct round *r, struct arena *a, struct error *err)
{
	struct batch_v1_CronJobStatus *s = &r->cron->status;
	struct core_v1_ObjectReference_list active = { 0 };
	for (size_t i = 0; i < s->active.n; i++) {
		const struct batch_v1_Job *j = job_of(r, s->active.v[i].uid);
		if (!j) {
			// The cache may be behind: only the server knows that it is gone.
			struct error e = { 0 };
			const struct batch_v1_Job *live =
			        client_get(r->c->m->client, a, r->c->m->r.jobs, r->cron->metadata.namespace,
			                   s->active.v[i].name, &e);
			if (!live && e.code != 404) {
				*err = e;
				return false;
			}
			if (!live || !str_eq(live->metadata.uid, s->active.v[i].uid)) {
				NOTE(r, "Normal", "MissingJob", "Active job went missing: " STR_FMT,
				     STR_ARG(s->active.v[i].name));
				r->changed = true;
				continue;
			}
		} else if (job_finished(j)) {
			NOTE(r, "Normal", "SawCompletedJob", "Saw completed job: " STR_FMT ", condition: %s",
			     STR_ARG(j->metadata.name), succeeded(j) ? "Complete" : "Failed");
			r->changed = true;
			continue;
		}
		*LIST_ADD(a, &active) = s->active.v[i];
	}
	s->active = active;
	for (size_t i = 0; i < r->jobs.n; i++) {
		const struct batch_v1_Job *j = r->jobs.v[i];
		if (succeeded(j) && j->status.completionTime &&
		    (!s->lastSuccessfulTime || s->lastSuccessfulTime->sec < j->status.completionTime->sec)) {
			s->lastSuccessfulTime = ARENA_NEW(a, struct api_time);
			*s->lastSuccessfulTime = *j->status.completionTime;
			r->changed = true;
		}
	}
	return true;
}

static int by_start(const void *x, const void *y)
{
	const struct batch_v1_Job *a = *(const struct batch_v1_Job *const *)x,
	                          *b = *(const struct batch_v1_Job *const *)y;
	int64_t ta = a->status.startTime ? a->status.startTime->sec : INT64_MAX,
	        tb = b->status.startTime ? b->status.startTime->sec : INT64_MAX;
	return ta != tb ? (ta < tb ? -1 : 1) : str_cmp(a->metadata.name, b->metadata.name);
}

static bool delete_job(struct round *r, const struct meta_v1_ObjectMeta *j, struct error *err)
{
	if (!client_delete(r->c->m->client, r->c->m->r.jobs, j->namespace, j->name,
	                   &(struct delete_opts){ .grace_seconds = -1, .propagation = "Background" }, err)) {
		if (err->code == 404) {
			*err = (struct error){ 0 };
			return true;
		}
		NOTE(r, "Warning", "FailedDelete", "Deleted job: %s", err->text);
		return false;
	}
	NOTE(r, "Normal", "SuccessfulDelete", "Deleted job " STR_FMT, STR_ARG(j->name));
	return true;
}

static bool clean_history(struct round *r, struct arena *a, bool good, const int32_t *limit, struct error *err)
{
	if (!limit)
		return true;
	struct {
		const void **v;
		size_t n;
	} done = { 0 };
	for (size_t i = 0; i < r->jobs.n; i++) {
		const struct batch_v1_Job *j = r->jobs.v[i];
		if (job_finished(j) && succeeded(j) == good && !j->metadata.deletionTimestamp)
			*LIST_ADD(a, &done) = j;
	}
	sort_items(done.v, done.n, sizeof(*done.v), by_start);
	for (size_t i = 0; i < done.n && (int64_t)(done.n - i) > *limit; i++)
		if (!delete_job(r, &((const any_object *)done.v[i])->metadata, err))
			return false;
	return true;
}

// The last time up to now at which it should have run; 0: there is none since it last did.
static int64_t last_missed(struct round *r, const struct cron *schedule)
{
	const struct batch_v1_CronJob *j = r->cron;
	int64_t from = j->status.lastScheduleTime ? j->status.lastScheduleTime->sec : j->metadata.creationTimestamp.sec,
	        missed = 0, n = 0;
	if (j->spec.startingDeadlineSeconds)
		from = MAX(from, r->now - *j->spec.startingDeadlineSeconds);
	for (int64_t t = cron_next(schedule, from); t && t <= r->now && n < MAX_WALK; t = cron_next(schedule, t), n++)
		missed = t;
	if (n > MANY_MISSED)
		NOTE(r, "Warning", "TooManyMissedTimes",
		     "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew");
	return missed;
}

static bool create_job(struct round *r, struct arena *a, int64_t at, struct error *err)
{
	const struct batch_v1_CronJob *cron = r->cron;
	struct owner o = { r->c->m->r.cronjobs, S("batch/v1"), S("CronJob"), &cron->metadata, COMPONENT };
	struct batch_v1_Job j = { .spec = cron->spec.jobTemplate.spec };
	j.metadata.labels = cron->spec.jobTemplate.metadata.labels;
	struct str_map annotations = { 0 };
	for (size_t i = 0; i < cron->spec.jobTemplate.metadata.annotations.n; i++)
		str_map_set(a, &annotations, cron->spec.jobTemplate.metadata.annotations.v[i].key,
		            cron->spec.jobTemplate.metadata.annotations.v[i].value);
	str_map_set(a, &annotations, SCHEDULED_ANNOTATION, time_format(a, at, 0, 0));
	j.metadata.annotations = annotations;
	j.metadata.name = arena_printf(a, STR_FMT "-%lld", STR_ARG(str_sub(cron->metadata.name, 0, MAX_NAME)),
	                               (long long)(at / 60));
	j.metadata.namespace = cron->metadata.namespace;
	*LIST_ADD(a, &j.metadata.ownerReferences) = owner_reference(a, &o);
	const struct batch_v1_Job *made =
	        client_create(r->c->m->client, a, r->c->m->r.jobs, cron->metadata.namespace, &j, err);
	if (!made && error_is(err, "AlreadyExists")) {
		*err = (struct error){ 0 };
		made = client_get(r->c->m->client, a, r->c->m->r.jobs, cron->metadata.namespace, j.metadata.name, err);
		if (made && !meta_controlled_by(&made->metadata, cron->metadata.uid)) {
			NOTE(r, "Warning", "FailedCreate",
			     "Error creating job: jobs.batch \"" STR_FMT "\" already exists", STR_ARG(j.metadata.name));
			return true;
		}
	} else if (made) {
		NOTE(r, "Normal", "SuccessfulCreate", "Created job " STR_FMT, STR_ARG(made->metadata.name));
	}
	if (!made) {
		if (error_namespace_terminating(err))
			return true;
		NOTE(r, "Warning", "FailedCreate", "Error creating job: %s", err->text);
		return false;
	}
	bool listed = false;
	for (size_t i = 0; i < r->cron->status.active.n; i++)
		listed |= str_eq(r->cron->status.active.v[i].uid, made->metadata.uid);
	if (!listed && !job_finished(made))
		*LIST_ADD(a, &r->cron->status.active) =
		        (struct core_v1_ObjectReference){ .kind = S("Job"),
			                                  .apiVersion = S("batch/v1"),
			                                  .name = made->metadata.name,
			                                  .namespace = made->metadata.namespace,
			                                  .uid = made->metadata.uid,
			                                  .resourceVersion = made->metadata.resourceVersion };
	r->cron->status.lastScheduleTime = ARENA_NEW(a, struct api_time);
	*r->cron->status.lastScheduleTime = (struct api_time){ .sec = at, .set = true };
	r->changed = true;
	return true;
}

static bool is_utc(str zone)
{
	static const str names[] = { S_INIT("UTC"),           S_INIT("Etc/UTC"),  S_INIT("GMT"),  S_INIT("Etc/GMT"),
		                     S_INIT("Etc/Universal"), S_INIT("Etc/Zulu"), S_INIT("Zulu"), S_INIT("Universal") };
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(zone, names[i]))
			return true;
	return false;
}

// Starts what is due. *next: when to look again, 0: only when something changes.
static bool run_schedule(struct round *r, struct arena *a, int64_t *next, struct error *err)
{
	const struct batch_v1_CronJobSpec *s = &r->cron->spec;
	struct cron schedule;
	struct error why = { 0 };
	*next = 0;
	if ((s->suspend && *s->suspend) || r->cron->metadata.deletionTimestamp)
		return true;
	if (s->timeZone && !is_utc(*s->timeZone)) {
		NOTE(r, "Warning", "UnknownTimeZone", "invalid timeZone: \"" STR_FMT "\": only UTC is supported",
		     STR_ARG(*s->timeZone));
		return true;
	}
	if (!cron_parse(s->schedule, &schedule, &why)) {
		NOTE(r, "Warning", "UnparseableCronJobSchedule", "unparseable schedule: \"" STR_FMT "\" : %s",
		     STR_ARG(s->schedule), why.text);
		return true;
	}
	*next = cron_next(&schedule, r->now);
	int64_t at = last_missed(r, &schedule);
	if (!at || (r->cron->status.lastScheduleTime && r->cron->status.lastScheduleTime->sec == at))
		return true;
	if (s->startingDeadlineSeconds && at + *s->startingDeadlineSeconds < r->now) {
		NOTE(r, "Warning", "MissedSchedule", "Missed scheduled time to start a job: " STR_FMT,
		     STR_ARG(time_format(a, at, 0, 0)));
		return true;
	}
	if (r->cron->status.active.n && str_eq(s->concurrencyPolicy, S("Forbid"))) {
		NOTE(r, "Normal", "JobAlreadyActive",
		     "Not starting job because prior execution is running and concurrency policy is Forbid");
		return true;
	}
	if (str_eq(s->concurrencyPolicy, S("Replace"))) {
		for (size_t i = 0; i < r->cron->status.active.n; i++) {
			struct meta_v1_ObjectMeta j = { .name = r->cron->status.active.v[i].name,
				                        .namespace = r->cron->metadata.namespace };
			if (!delete_job(r, &j, err))
				return false;
		}
		r->cron->status.active = (struct core_v1_ObjectReference_list){ 0 };
	}
	return create_job(r, a, at, err);
}

static bool reconcile(void *ctx, struct arena *a, str key, struct error *err)
{
	struct cronjob *c = ctx;
	str ns, name;
	key_split(key, &ns, &name);
	const struct batch_v1_CronJob *cached = held_get(a, c->crons, ns, name);
	if (!cached)
		return true;
	struct round r = { .c = c,
		           .cron = schema_clone(a, batch_v1_CronJob_desc, cached),
		           .now = now_sec(c->m),
		           .jobs = held_by_index(a, c->jobs, INDEX_CONTROLLER, cached->metadata.uid) };
	int64_t next;
	if (!update_active(&r, a, err) || !run_schedule(&r, a, &next, err))
		return false;
	if (r.changed && !client_update(c->m->client, a, c->m->r.cronjobs, "status", r.cron, err))
		return err->code == 404;
	if (!clean_history(&r, a, true, r.cron->spec.successfulJobsHistoryLimit, err) ||
	    !clean_history(&r, a, false, r.cron->spec.failedJobsHistoryLimit, err))
		return false;
	if (next)
		workqueue_add_after(c->queue, key, (next - now_sec(c->m)) * 1000 + 100);
	return true;
}

void *cronjob_setup(struct manager *m)
{
	struct cronjob *c = ARENA_NEW(m->arena, struct cronjob);
	*c = (struct cronjob){ .m = m,
		               .crons = manager_informer(m, m->r.cronjobs),
		               .jobs = manager_informer(m, m->r.jobs),
		               .queue = manager_queue(m) };
	informer_add_index(c->jobs, INDEX_CONTROLLER, index_controller);
	informer_add_handler(c->crons, &(struct informer_handler){ cron_changed, c });
	informer_add_handler(c->jobs, &(struct informer_handler){ job_changed, c });
	return c;
}

void cronjob_run(void *self)
{
	struct cronjob *c = self;
	workqueue_run(c->queue, "cronjob", (int)c->m->options->concurrent_syncs, reconcile, c);
}
