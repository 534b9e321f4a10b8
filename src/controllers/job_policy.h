// Sets of completion indexes, and the rules by which a Job's pods count (upstream: indexed_job_utils.go, pod_failure_policy.go,
// success_policy.go).
#ifndef CORACLE_CONTROLLERS_JOB_POLICY_H
#define CORACLE_CONTROLLERS_JOB_POLICY_H

#include "controllers/common.h"

#define JOB_FINALIZER S("batch.kubernetes.io/job-tracking")
#define JOB_INDEX S("batch.kubernetes.io/job-completion-index")
#define JOB_INDEX_FAILURES S("batch.kubernetes.io/job-index-failure-count")
#define JOB_INDEX_IGNORED S("batch.kubernetes.io/job-index-ignored-failure-count")

// Indexes from 0 to size-1, one bit each.
struct index_set {
	uint8_t *bits;
	int32_t size, total;
};
struct index_set index_set_new(struct arena *a, int32_t size);
bool index_set_has(const struct index_set *s, int32_t i);
void index_set_add(struct index_set *s, int32_t i);  // others than 0..size-1 are left out
void index_set_parse(struct index_set *s, str text); // "0-3,5,7-9"; what is malformed is left out
str index_set_text(struct arena *a, const struct index_set *s);
int32_t index_set_common(const struct index_set *x, const struct index_set *y);

// Complete or Failed (job.c).
bool job_finished(const struct batch_v1_Job *j);
// The index of a pod; -1: none.
int32_t job_pod_index(const struct core_v1_Pod *p);

enum failure_action { FAILURE_COUNTS, FAILURE_IGNORED, FAILURE_FAILS_INDEX, FAILURE_FAILS_JOB };
// What the Job's pod failure policy says to a failed pod; *message (FAILURE_FAILS_JOB) why.
enum failure_action job_failure_action(struct arena *a, const struct batch_v1_PodFailurePolicy *policy,
                                       const struct core_v1_Pod *p, str *message);
// Whether a rule of the success policy is met; *message says which.
bool job_success_met(struct arena *a, const struct batch_v1_SuccessPolicy *policy, const struct index_set *succeeded,
                     str *message);

#endif
