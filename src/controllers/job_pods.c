// How a Job's pods are made and deleted.
#include "base/heap.h"
#include "controllers/job.h"

enum { BURST = 500, BACKOFF_S = 10, BACKOFF_MAX_S = 600 };

bool job_take_finalizer(struct job_round *r, const struct core_v1_Pod *p, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(1024);
	struct job *c = r->c;
	pthread_mutex_lock(&c->lock);
	map_put(&c->removed, p->metadata.uid, NULL);
	pthread_mutex_unlock(&c->lock);
	str patch = arena_printf(
	        a, "{\"metadata\":{\"uid\":\"" STR_FMT "\",\"$deleteFromPrimitiveList/finalizers\":[\"" STR_FMT "\"]}}",
	        STR_ARG(p->metadata.uid), STR_ARG(JOB_FINALIZER));
	if (client_patch(c->m->client, a, c->m->r.pods, NULL, p->metadata.namespace, p->metadata.name, PATCH_STRATEGIC,
	                 patch, err) ||
	    err->code == 404) {
		*err = (struct error){ 0 };
		return true;
	}
	pthread_mutex_lock(&c->lock);
	map_del(&c->removed, p->metadata.uid);
	pthread_mutex_unlock(&c->lock);
	return false;
}

struct deletion {
	struct job_round *r;
	struct job_pods pods;
	bool finalizer;
	int32_t done, ready;
};

static void delete_one(void *ctx, size_t i)
{
	struct deletion *d = ctx;
	struct job_round *r = d->r;
	const struct core_v1_Pod *p = d->pods.v[i];
	struct error err = { 0 };
	bool ok =
	        (!d->finalizer || !meta_has_finalizer(&p->metadata, JOB_FINALIZER) || job_take_finalizer(r, p, &err)) &&
	        (pod_delete(r->c->m, &r->owner, p, &err) || err.code == 404);
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

int32_t job_delete_pods(struct job_round *r, struct job_pods pods, bool with_finalizer)
{
	struct deletion d = { .r = r, .pods = pods, .finalizer = with_finalizer };
	in_parallel(pods.n, delete_one, &d);
	r->terminating += d.done;
	r->ready -= d.ready;
	return d.done;
}

struct creation {
	struct job_round *r;
	struct core_v1_Pod **pods;
	int32_t made;
};

static void create_one(void *ctx, size_t i)
{
	struct creation *b = ctx;
	struct job_round *r = b->r;
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

static struct core_v1_Pod *new_pod(struct job_round *r, struct arena *a, int32_t index)
{
	struct core_v1_Pod *p =
	        schema_clone(a, core_v1_Pod_desc, pod_from_template(a, &r->job->spec.template, &r->owner));
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
		bool ignored =
		        last && job_failure_action(a, r->job->spec.podFailurePolicy, last, &why) == FAILURE_IGNORED;
		int64_t failures = last ? job_pod_number(last, JOB_INDEX_FAILURES) + !ignored : 0;
		str_map_set(a, &p->metadata.annotations, JOB_INDEX_FAILURES,
		            arena_printf(a, "%lld", (long long)failures));
		if (last && (ignored || job_pod_number(last, JOB_INDEX_IGNORED)))
			str_map_set(
			        a, &p->metadata.annotations, JOB_INDEX_IGNORED,
			        arena_printf(a, "%lld", (long long)job_pod_number(last, JOB_INDEX_IGNORED) + ignored));
	}
	return p;
}

static int32_t create_pods(struct job_round *r, struct arena *a, int32_t n)
{
	n = MIN(n, (int32_t)BURST);
	struct core_v1_Pod **pods = arena_calloc(a, (size_t)n + 1, sizeof(*pods));
	int32_t made = 0;
	if (r->indexed) {
		struct index_set busy = index_set_new(a, r->succeeded_indexes.size);
		for (size_t i = 0; i < r->active.n; i++)
			index_set_add(&busy, job_pod_index(r->active.v[i]));
		for (size_t i = 0; job_replaces_failed_only(r->job) && i < r->pods.n; i++)
			if (pod_terminating(r->pods.v[i]))
				index_set_add(&busy, job_pod_index(r->pods.v[i]));
		for (int32_t i = 0; i < busy.size && made < n; i++)
			if (!index_set_has(&busy, i) && !index_set_has(&r->succeeded_indexes, i) &&
			    !(r->per_index && index_set_has(&r->failed_indexes, i)))
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
static int64_t backoff_left(struct job_round *r)
{
	pthread_mutex_lock(&r->c->lock);
	const struct job_failures *f = map_get(&r->c->failures, r->key);
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

void job_note_outcomes(struct job_round *r)
{
	if (r->failed_now.n == 0 && r->succeeded_now.n == 0)
		return;
	pthread_mutex_lock(&r->c->lock);
	struct job_failures *f = map_get(&r->c->failures, r->key);
	if (!f)
		map_put(&r->c->failures, r->key, f = HEAP_NEW(struct job_failures));
	if (r->succeeded_now.n)
		f->n = 0;
	if (r->failed_now.n) {
		f->n += (int32_t)r->failed_now.n;
		f->last = clock_mono(r->c->m->clock);
	}
	pthread_mutex_unlock(&r->c->lock);
}

// Brings the number of active pods to what is wanted; returns how many there are then.
int32_t job_manage(struct job_round *r, struct arena *a)
{
	const struct batch_v1_JobSpec *s = &r->job->spec;
	int32_t active = (int32_t)r->active.n, parallelism = s->parallelism ? *s->parallelism : 1, want;
	if (job_suspended(r->job)) {
		expect_deletions(r->c->expectations, r->key, r->active.v, r->active.n);
		return active - job_delete_pods(r, r->active, true);
	}
	if (!s->completions)
		want = r->succeeded > 0 ? active : parallelism;
	else
		want = MAX(0, MIN(*s->completions - r->succeeded - (r->per_index ? r->failed_indexes.total : 0),
		                  parallelism));
	if (active > want) {
		pods_rank_for_deletion(a, r->active.v, r->active.n, NULL, 0);
		struct job_pods surplus = { r->active.v, (size_t)MIN(active - want, (int32_t)BURST) };
		expect_deletions(r->c->expectations, r->key, surplus.v, surplus.n);
		return active - job_delete_pods(r, surplus, true);
	}
	int32_t missing = want - active - (job_replaces_failed_only(r->job) ? r->terminating : 0);
	if (missing <= 0)
		return active;
	int64_t wait = r->per_index ? 0 : backoff_left(r);
	if (wait > 0) {
		workqueue_add_after(r->c->queue, r->key, wait);
		return active;
	}
	return active + create_pods(r, a, missing);
}
