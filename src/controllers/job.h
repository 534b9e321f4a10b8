// Between job.c (what a Job has come to) and job_pods.c (the pods that it makes and deletes).
#ifndef CORACLE_CONTROLLERS_JOB_H
#define CORACLE_CONTROLLERS_JOB_H

#include "controllers/job_policy.h"

#define COMPONENT "job-controller"

struct job {
	struct manager *m;
	struct informer *jobs, *pods;
	struct workqueue *queue;
	struct expectations *expectations;
	pthread_mutex_t lock;
	struct map removed;  // UIDs of pods whose finalizer was taken away, until the cache shows it
	struct map failures; // job -> struct job_failures
};

// Consecutive failures of a Job's pods: new ones wait the longer the more there are.
struct job_failures {
	int32_t n;
	int64_t last;
};

struct job_pods {
	const struct core_v1_Pod **v;
	size_t n;
};

struct job_round {
	struct job *c;
	struct batch_v1_Job *job; // a copy; its status is worked on
	struct owner owner;
	str key;
	struct job_pods pods, active, failed_now, succeeded_now;
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

bool job_suspended(const struct batch_v1_Job *j);
// Whether only pods that have failed for good are replaced, not those that are being deleted.
bool job_replaces_failed_only(const struct batch_v1_Job *j);
// A pod's annotation as a number; 0: none.
int64_t job_pod_number(const struct core_v1_Pod *p, str key);

// Takes the tracking finalizer off a pod (a pod that is gone is fine).
bool job_take_finalizer(struct job_round *r, const struct core_v1_Pod *p, struct error *err);
// Deletes the pods; with_finalizer: their finalizers go first, they are not counted. Returns how many were deleted; errors in r->err.
int32_t job_delete_pods(struct job_round *r, struct job_pods pods, bool with_finalizer);
// Remembers failures and successes of this round for the back-off of new pods.
void job_note_outcomes(struct job_round *r);
// Brings the number of active pods to what is wanted; returns how many there are then.
int32_t job_manage(struct job_round *r, struct arena *a);

#endif
