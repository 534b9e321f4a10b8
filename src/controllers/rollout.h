// The arithmetic of rollouts, apart from the controller that carries it out (upstream: deployment/util/deployment_util.go).
#ifndef CORACLE_CONTROLLERS_ROLLOUT_H
#define CORACLE_CONTROLLERS_ROLLOUT_H

#include "controllers/common.h"

#define REVISION_ANNOTATION S("deployment.kubernetes.io/revision")
#define REVISION_HISTORY_ANNOTATION S("deployment.kubernetes.io/revision-history")
#define DESIRED_ANNOTATION S("deployment.kubernetes.io/desired-replicas")
#define MAX_ANNOTATION S("deployment.kubernetes.io/max-replicas")
#define ROLLBACK_ANNOTATION S("deprecated.deployment.rollback.to")
#define HASH_LABEL S("pod-template-hash")

// ReplicaSets of a Deployment; an entry may be NULL (no new one yet).
struct sets {
	const struct apps_v1_ReplicaSet **v;
	size_t n;
};

int32_t deployment_replicas(const struct apps_v1_Deployment *d);
int32_t set_replicas(const struct apps_v1_ReplicaSet *rs); // wanted
bool deployment_rolling(const struct apps_v1_Deployment *d);
int32_t deployment_max_surge(const struct apps_v1_Deployment *d);
int32_t deployment_max_unavailable(const struct apps_v1_Deployment *d);

int32_t sets_wanted(struct sets s); // sum of spec.replicas
int32_t sets_actual(struct sets s);
int32_t sets_ready(struct sets s);
int32_t sets_available(struct sets s);
bool sets_terminating(struct sets s, int32_t *out);      // false: not known
struct sets sets_active(struct arena *a, struct sets s); // those that want pods
struct sets sets_with(struct arena *a, struct sets s, const struct apps_v1_ReplicaSet *one);
void sets_by_age(struct sets s, bool newest_first);
void sets_by_size(struct sets s, bool newer_first); // largest first; of equals the newer (older) first
void sets_by_revision(struct sets s);

// How many replicas the new set may have now.
bool rollout_new_replicas(const struct apps_v1_Deployment *d, struct sets all, const struct apps_v1_ReplicaSet *new_set,
                          int32_t *out, struct error *err);
// The part of `to_add` replicas (may be negative) that this set gets, when `added` were given to others before.
int32_t rollout_proportion(const struct apps_v1_ReplicaSet *rs, const struct apps_v1_Deployment *d, int32_t to_add,
                           int32_t added);
// New sizes of the active sets (sorted as they come out) when the Deployment is scaled in the middle of a rollout.
int32_t *rollout_scale(struct arena *a, const struct apps_v1_Deployment *d, struct sets active);
// How many pods of old sets may go without breaking availability; 0 or less: none.
int32_t rollout_max_scale_down(const struct apps_v1_Deployment *d, struct sets all,
                               const struct apps_v1_ReplicaSet *new_set);

bool rollout_saturated(const struct apps_v1_Deployment *d, const struct apps_v1_ReplicaSet *rs);
bool rollout_complete(const struct apps_v1_Deployment *d, const struct apps_v1_DeploymentStatus *s);
bool rollout_progressing(const struct apps_v1_Deployment *d, const struct apps_v1_DeploymentStatus *now);

// The revision of a set: 0 when it has none, -1 when it is no number.
int64_t set_revision(const struct apps_v1_ReplicaSet *rs);
// The annotation as a number from 0 to 2^31-1; false: absent or none.
bool annotation_count(const struct meta_v1_ObjectMeta *m, str key, int32_t *out);
// Equal templates, whatever their pod-template-hash.
bool template_equal(const struct core_v1_PodTemplateSpec *x, const struct core_v1_PodTemplateSpec *y);
// The (oldest) set with the Deployment's template; NULL: there is none yet.
const struct apps_v1_ReplicaSet *rollout_new_set(const struct apps_v1_Deployment *d, struct sets s);

#endif
