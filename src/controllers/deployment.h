// Between deployment.c (what is done) and deployment_status.c (what is said about it).
#ifndef CORACLE_CONTROLLERS_DEPLOYMENT_H
#define CORACLE_CONTROLLERS_DEPLOYMENT_H

#include "controllers/rollout.h"

#define COMPONENT "deployment-controller"

struct deployment {
	struct manager *m;
	struct informer *deployments, *sets, *pods;
	struct workqueue *queue;
};

static inline struct owner deployment_owner(const struct deployment *c, const struct apps_v1_Deployment *d)
{
	return (struct owner){ c->m->r.deployments, S("apps/v1"), S("Deployment"), &d->metadata, COMPONENT };
}

bool deployment_has_deadline(const struct apps_v1_Deployment *d);
const struct apps_v1_DeploymentCondition *deployment_condition(const struct apps_v1_DeploymentStatus *s, str type);
// Sets a condition; one with the same status and reason stays as it is, one with the same status keeps its transition time.
void deployment_set_condition(const struct deployment *c, struct arena *a, struct apps_v1_DeploymentStatus *s, str type,
                              str status, str reason, str message);
// Writes d->status (and annotations); d gets the new resourceVersion.
bool deployment_write_status(struct deployment *c, struct arena *a, struct apps_v1_Deployment *d, struct error *err);
// Says that the Deployment is paused or resumed, where a deadline is kept.
bool deployment_check_paused(struct deployment *c, struct arena *a, struct apps_v1_Deployment *d, struct error *err);
// Writes the counts and Available; the second one also judges progress.
bool deployment_sync_status(struct deployment *c, struct arena *a, struct apps_v1_Deployment *d, struct sets all,
                            const struct apps_v1_ReplicaSet *new_set, struct error *err);
bool deployment_sync_rollout(struct deployment *c, struct arena *a, struct apps_v1_Deployment *d, struct sets all,
                             const struct apps_v1_ReplicaSet *new_set, struct error *err);

#endif
