// Jobs that have ended go when their time is over. Rule: upstream pkg/controller/ttlafterfinished.
#include "controllers/job_policy.h"

struct ttl {
	struct manager *m;
	struct informer *jobs;
	struct workqueue *queue;
};

static void job_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct ttl *c = ctx;
	const struct batch_v1_Job *j = obj ? object_of(obj) : NULL;
	if (j && j->spec.ttlSecondsAfterFinished && !j->metadata.deletionTimestamp && job_finished(j))
		queue_object(c->queue, j);
}

static int64_t finished_at(const struct batch_v1_Job *j)
{
	for (size_t i = 0; i < j->status.conditions.n; i++) {
		const struct batch_v1_JobCondition *c = &j->status.conditions.v[i];
		if ((str_eq(c->type, S("Complete")) || str_eq(c->type, S("Failed"))) && str_eq(c->status, S("True")))
			return c->lastTransitionTime.sec;
	}
	return 0;
}

static bool reconcile(void *ctx, struct arena *a, str key, struct error *err)
{
	struct ttl *c = ctx;
	str ns, name;
	key_split(key, &ns, &name);
	const struct batch_v1_Job *j = held_get(a, c->jobs, ns, name);
	if (!j || !j->spec.ttlSecondsAfterFinished || j->metadata.deletionTimestamp || !job_finished(j))
		return true;
	int64_t left = finished_at(j) + *j->spec.ttlSecondsAfterFinished - now_sec(c->m);
	if (left > 0) {
		workqueue_add_after(c->queue, key, left * 1000);
		return true;
	}
	// The cache may not know of a longer life that was given to it.
	j = client_get(c->m->client, a, c->m->r.jobs, ns, name, err);
	if (!j)
		return err->code == 404;
	if (!j->spec.ttlSecondsAfterFinished || finished_at(j) + *j->spec.ttlSecondsAfterFinished > now_sec(c->m))
		return true;
	return client_delete(c->m->client, c->m->r.jobs, ns, name,
	                     &(struct delete_opts){
	                             .grace_seconds = -1, .propagation = "Foreground", .uid = j->metadata.uid },
	                     err) ||
	       err->code == 404 || err->code == 409;
}

void *ttl_after_finished_setup(struct manager *m)
{
	struct ttl *c = ARENA_NEW(m->arena, struct ttl);
	*c = (struct ttl){ .m = m, .jobs = manager_informer(m, m->r.jobs), .queue = manager_queue(m) };
	informer_add_handler(c->jobs, &(struct informer_handler){ job_changed, c });
	return c;
}

void ttl_after_finished_run(void *self)
{
	struct ttl *c = self;
	workqueue_run(c->queue, "ttl-after-finished", 1, reconcile, c);
}
