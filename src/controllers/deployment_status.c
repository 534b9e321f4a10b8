// What a Deployment says about itself (upstream: deployment/progress.go and the status part of sync.go).
#include "controllers/deployment.h"

bool deployment_has_deadline(const struct apps_v1_Deployment *d)
{
	return d->spec.progressDeadlineSeconds && *d->spec.progressDeadlineSeconds != INT32_MAX;
}

const struct apps_v1_DeploymentCondition *deployment_condition(const struct apps_v1_DeploymentStatus *s, str type)
{
	for (size_t i = 0; i < s->conditions.n; i++)
		if (str_eq(s->conditions.v[i].type, type))
			return &s->conditions.v[i];
	return NULL;
}

static void remove_condition(struct arena *a, struct apps_v1_DeploymentStatus *s, str type)
{
	struct apps_v1_DeploymentCondition_list kept = { 0 };
	for (size_t i = 0; i < s->conditions.n; i++)
		if (!str_eq(s->conditions.v[i].type, type))
			*LIST_ADD(a, &kept) = s->conditions.v[i];
	s->conditions = kept;
}

static void set_condition(struct arena *a, struct apps_v1_DeploymentStatus *s, struct apps_v1_DeploymentCondition c)
{
	const struct apps_v1_DeploymentCondition *have = deployment_condition(s, c.type);
	if (have && str_eq(have->status, c.status)) {
		if (str_eq(have->reason, c.reason))
			return;
		c.lastTransitionTime = have->lastTransitionTime;
	}
	remove_condition(a, s, c.type);
	*LIST_ADD(a, &s->conditions) = c;
}

static struct apps_v1_DeploymentCondition condition(const struct deployment *c, str type, str status, str reason,
                                                    str message)
{
	struct api_time now = now_time(c->m);
	return (struct apps_v1_DeploymentCondition){ .type = type,
		                                     .status = status,
		                                     .reason = reason,
		                                     .message = message,
		                                     .lastUpdateTime = now,
		                                     .lastTransitionTime = now };
}

void deployment_set_condition(const struct deployment *c, struct arena *a, struct apps_v1_DeploymentStatus *s, str type,
                              str status, str reason, str message)
{
	set_condition(a, s, condition(c, type, status, reason, message));
}

bool deployment_check_paused(struct deployment *c, struct arena *a, struct apps_v1_Deployment *d, struct error *err)
{
	if (!deployment_has_deadline(d))
		return true;
	const struct apps_v1_DeploymentCondition *p = deployment_condition(&d->status, S("Progressing"));
	if (p && str_eq(p->reason, S("ProgressDeadlineExceeded")))
		return true; // that stays said
	bool said = p && str_eq(p->reason, S("DeploymentPaused"));
	if (d->spec.paused == said)
		return true;
	deployment_set_condition(c, a, &d->status, S("Progressing"), S("Unknown"),
	                         d->spec.paused ? S("DeploymentPaused") : S("DeploymentResumed"),
	                         d->spec.paused ? S("Deployment is paused") : S("Deployment is resumed"));
	return deployment_write_status(c, a, d, err);
}

static struct apps_v1_DeploymentStatus status_of(const struct deployment *c, struct arena *a,
                                                 const struct apps_v1_Deployment *d, struct sets all,
                                                 const struct apps_v1_ReplicaSet *new_set)
{
	struct apps_v1_DeploymentStatus s = { .observedGeneration = d->metadata.generation,
		                              .replicas = sets_actual(all),
		                              .updatedReplicas = new_set ? new_set->status.replicas : 0,
		                              .readyReplicas = sets_ready(all),
		                              .availableReplicas = sets_available(all),
		                              .collisionCount = d->status.collisionCount };
	s.unavailableReplicas = MAX(sets_wanted(all) - s.availableReplicas, 0);
	int32_t terminating;
	if (sets_terminating(all, &terminating)) {
		s.terminatingReplicas = ARENA_NEW(a, int32_t);
		*s.terminatingReplicas = terminating;
	}
	for (size_t i = 0; i < d->status.conditions.n; i++)
		*LIST_ADD(a, &s.conditions) = d->status.conditions.v[i];
	if (s.availableReplicas >= deployment_replicas(d) - deployment_max_unavailable(d))
		deployment_set_condition(c, a, &s, S("Available"), S("True"), S("MinimumReplicasAvailable"),
		                         S("Deployment has minimum availability."));
	else
		deployment_set_condition(c, a, &s, S("Available"), S("False"), S("MinimumReplicasUnavailable"),
		                         S("Deployment does not have minimum availability."));
	return s;
}

bool deployment_sync_status(struct deployment *c, struct arena *a, struct apps_v1_Deployment *d, struct sets all,
                            const struct apps_v1_ReplicaSet *new_set, struct error *err)
{
	struct apps_v1_DeploymentStatus s = status_of(c, a, d, all, new_set);
	if (schema_equal(apps_v1_DeploymentStatus_desc, &d->status, &s))
		return true;
	d->status = s;
	return deployment_write_status(c, a, d, err);
}

static bool timed_out(const struct deployment *c, const struct apps_v1_Deployment *d,
                      const struct apps_v1_DeploymentStatus *s)
{
	const struct apps_v1_DeploymentCondition *p = deployment_condition(s, S("Progressing"));
	if (!p || str_eq(p->reason, S("NewReplicaSetAvailable")))
		return false;
	return str_eq(p->reason, S("ProgressDeadlineExceeded")) ||
	       p->lastUpdateTime.sec + *d->spec.progressDeadlineSeconds < now_sec(c->m);
}

// A rollout that stands still is looked at again when its deadline is over: no event would say so.
static void look_again(struct deployment *c, struct arena *a, const struct apps_v1_Deployment *d,
                       const struct apps_v1_DeploymentStatus *s)
{
	const struct apps_v1_DeploymentCondition *p = deployment_condition(&d->status, S("Progressing"));
	if (!deployment_has_deadline(d) || !p || rollout_complete(d, s) ||
	    str_eq(p->reason, S("ProgressDeadlineExceeded")))
		return;
	int64_t left = p->lastUpdateTime.sec + *d->spec.progressDeadlineSeconds - now_sec(c->m);
	str key = key_of(a, d->metadata.namespace, d->metadata.name);
	workqueue_add_after(c->queue, key, (MAX(left, 0) + 1) * 1000);
}

static void judge(struct deployment *c, struct arena *a, const struct apps_v1_Deployment *d,
                  const struct apps_v1_ReplicaSet *new_set, struct apps_v1_DeploymentStatus *s)
{
	const struct apps_v1_DeploymentCondition *now = deployment_condition(&d->status, S("Progressing"));
	const char *what = new_set ? "ReplicaSet" : "Deployment";
	str name = new_set ? new_set->metadata.name : d->metadata.name;
	if (rollout_complete(d, s)) {
		deployment_set_condition(
		        c, a, s, S("Progressing"), S("True"), S("NewReplicaSetAvailable"),
		        arena_printf(a, "%s \"" STR_FMT "\" has successfully progressed.", what, STR_ARG(name)));
	} else if (rollout_progressing(d, s)) {
		// Here the time of the update counts, so the condition is renewed even if nothing else in it changes.
		struct apps_v1_DeploymentCondition p =
		        condition(c, S("Progressing"), S("True"), S("ReplicaSetUpdated"),
		                  arena_printf(a, "%s \"" STR_FMT "\" is progressing.", what, STR_ARG(name)));
		if (now && str_eq(now->status, S("True")))
			p.lastTransitionTime = now->lastTransitionTime;
		remove_condition(a, s, S("Progressing"));
		set_condition(a, s, p);
	} else if (timed_out(c, d, s)) {
		deployment_set_condition(
		        c, a, s, S("Progressing"), S("False"), S("ProgressDeadlineExceeded"),
		        arena_printf(a, "%s \"" STR_FMT "\" has timed out progressing.", what, STR_ARG(name)));
	}
}

static const struct apps_v1_ReplicaSetCondition *failure_of(const struct apps_v1_ReplicaSet *rs)
{
	for (size_t i = 0; rs && i < rs->status.conditions.n; i++)
		if (str_eq(rs->status.conditions.v[i].type, S("ReplicaFailure")))
			return &rs->status.conditions.v[i];
	return NULL;
}

bool deployment_sync_rollout(struct deployment *c, struct arena *a, struct apps_v1_Deployment *d, struct sets all,
                             const struct apps_v1_ReplicaSet *new_set, struct error *err)
{
	struct apps_v1_DeploymentStatus s = status_of(c, a, d, all, new_set);
	if (!deployment_has_deadline(d))
		remove_condition(a, &s, S("Progressing"));
	const struct apps_v1_DeploymentCondition *now = deployment_condition(&d->status, S("Progressing"));
	bool complete = s.replicas == s.updatedReplicas && now && str_eq(now->reason, S("NewReplicaSetAvailable"));
	if (deployment_has_deadline(d) && !complete)
		judge(c, a, d, new_set, &s);
	const struct apps_v1_ReplicaSetCondition *f = failure_of(new_set);
	for (size_t i = 0; i < all.n && !f; i++)
		f = failure_of(all.v[i]);
	if (f)
		set_condition(a, &s,
		              (struct apps_v1_DeploymentCondition){ .type = f->type,
		                                                    .status = f->status,
		                                                    .lastTransitionTime = f->lastTransitionTime,
		                                                    .lastUpdateTime = f->lastTransitionTime,
		                                                    .reason = f->reason,
		                                                    .message = f->message });
	else
		remove_condition(a, &s, S("ReplicaFailure"));
	if (schema_equal(apps_v1_DeploymentStatus_desc, &d->status, &s)) {
		look_again(c, a, d, &s);
		return true;
	}
	d->status = s;
	return deployment_write_status(c, a, d, err);
}
