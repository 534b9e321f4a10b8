// Validation of the kinds that run pods by a template: apps/v1. Rule: pkg/apis/apps/validation.
#include "apiserver/kinds/valid.h"
#include "apiserver/kinds/validation.h"


enum matches { SELECTS, SELECTS_NOT, SELECTOR_EMPTY, SELECTOR_BAD };

// How a selector fits labels; the absent one fits none.
static enum matches fits(struct arena *a, const struct meta_v1_LabelSelector *s, const struct str_map *labels)
{
	struct selector made;
	struct error err = { 0 };
	if (!s)
		return SELECTS_NOT;
	if (!s->matchLabels.n && !s->matchExpressions.n)
		return SELECTOR_EMPTY;
	if (!selector_from_label_selector(a, s, &made, &err))
		return SELECTOR_BAD;
	return selector_matches(&made, labels) ? SELECTS : SELECTS_NOT;
}

static void selector_json_error(struct field_errors *e, const struct fpath *p, const struct meta_v1_LabelSelector *s, const char *why)
{
	fe_invalid_raw(e, p, json_of(e->arena, meta_v1_LabelSelector_desc, s), "%s", why);
}

static void labels_do_not_match(struct field_errors *e, const struct fpath *template, const struct str_map *labels)
{
	struct fpath meta = fp(template, "metadata"), p = fp(&meta, "labels");
	fe_invalid_raw(e, &p, json_of_map(e->arena, labels), "`selector` does not match template `labels`");
}

// What the selector of a Deployment, ReplicaSet or StatefulSet must be.
static void required_selector(struct field_errors *e, const struct fpath *p, const struct meta_v1_LabelSelector *s, const char *when_empty)
{
	if (!s) {
		fe_required(e, p, "");
		return;
	}
	v_label_selector(e, p, s);
	if (!s->matchLabels.n && !s->matchExpressions.n)
		selector_json_error(e, p, s, when_empty);
}

static void always_runs(struct field_errors *e, const struct fpath *template, const struct core_v1_PodTemplateSpec *t, const char *kind)
{
	struct fpath spec = fp(template, "spec"), restart = fp(&spec, "restartPolicy"), deadline = fp(&spec, "activeDeadlineSeconds");
	v_enum(e, &restart, t->spec.restartPolicy, LIST("Always"));
	if (t->spec.activeDeadlineSeconds)
		fe_forbidden(e, &deadline, "activeDeadlineSeconds in %s is not Supported", kind);
}

static void replicaset_template(struct field_errors *e, const struct fpath *spec, const struct meta_v1_LabelSelector *s, const struct core_v1_PodTemplateSpec *t,
                                const struct core_v1_PodSpec *old)
{
	struct fpath selector = fp(spec, "selector"), template = fp(spec, "template");
	struct pod_options opts = { .old = old };
	enum matches m = fits(e->arena, s, &t->metadata.labels);
	if (m == SELECTOR_BAD) {
		selector_json_error(e, &selector, s, "invalid label selector");
		return;
	}
	if (m == SELECTS_NOT)
		labels_do_not_match(e, &template, &t->metadata.labels);
	v_pod_template(e, &template, t, &opts);
	always_runs(e, &template, t, "ReplicaSet");
}

static void immutable_selector(struct field_errors *e, const struct meta_v1_LabelSelector *now, const struct meta_v1_LabelSelector *was)
{
	struct fpath spec = fp(NULL, "spec"), p = fp(&spec, "selector");
	v_immutable(e, &p, meta_v1_LabelSelector_desc, now, was);
}

static void not_decremented(struct field_errors *e, const int32_t *now, const int32_t *was)
{
	struct fpath status = fp(NULL, "status"), p = fp(&status, "collisionCount");
	if (was && (!now || *now < *was))
		fe_invalid_int(e, &p, now ? *now : 0, "cannot be decremented");
}

struct count { const char *field; int64_t value; };

static void counts(struct field_errors *e, const struct count *c)
{
	struct fpath status = fp(NULL, "status");
	for (; c->field; c++)
		v_not_negative(e, &status, c->field, c->value);
}

static void not_greater(struct field_errors *e, const char *field, int64_t value, int64_t limit, const char *than)
{
	struct fpath status = fp(NULL, "status"), p = fp(&status, field);
	if (value > limit)
		fe_invalid_int(e, &p, value, "cannot be greater than %s", than);
}

// --- Deployments ---

static void rolling_deployment(struct field_errors *e, const struct fpath *p, const struct apps_v1_RollingUpdateDeployment *u)
{
	struct fpath unavailable = fp(p, "maxUnavailable"), surge = fp(p, "maxSurge");
	struct int_or_string zero = { 0 };
	const struct int_or_string *down = u->maxUnavailable ? u->maxUnavailable : &zero, *up = u->maxSurge ? u->maxSurge : &zero;
	v_int_or_percent(e, &unavailable, down);
	v_int_or_percent(e, &surge, up);
	if (int_or_percent_value(down) == 0 && int_or_percent_value(up) == 0)
		fe_invalid_raw(e, &unavailable, int_or_string_json(e->arena, down), "may not be 0 when `maxSurge` is 0");
	v_not_over_100(e, &unavailable, down);
}

static void deployment_spec(struct field_errors *e, const struct apps_v1_DeploymentSpec *s, const struct apps_v1_DeploymentSpec *old)
{
	struct fpath p = fp(NULL, "spec"), selector = fp(&p, "selector"), strategy = fp(&p, "strategy"), rolling = fp(&strategy, "rollingUpdate"),
		progress = fp(&p, "progressDeadlineSeconds");
	v_not_negative(e, &p, "replicas", s->replicas ? *s->replicas : 1);
	required_selector(e, &selector, s->selector, "empty selector is invalid for deployment");
	replicaset_template(e, &p, s->selector, &s->template, old ? &old->template.spec : NULL);
	if (str_eq(s->strategy.type, S("Recreate"))) {
		if (s->strategy.rollingUpdate)
			fe_forbidden(e, &rolling, "may not be specified when strategy `type` is 'Recreate'");
	} else if (str_eq(s->strategy.type, S("RollingUpdate"))) {
		if (!s->strategy.rollingUpdate)
			fe_required(e, &rolling, "this should be defaulted and never be nil");
		else
			rolling_deployment(e, &rolling, s->strategy.rollingUpdate);
	} else {
		v_not_supported_raw(e, &strategy, json_of(e->arena, apps_v1_DeploymentStrategy_desc, &s->strategy), LIST("Recreate", "RollingUpdate"));
	}
	v_not_negative(e, &p, "minReadySeconds", s->minReadySeconds);
	if (s->revisionHistoryLimit)
		v_not_negative(e, &p, "revisionHistoryLimit", *s->revisionHistoryLimit);
	if (s->progressDeadlineSeconds) {
		v_not_negative(e, &p, "progressDeadlineSeconds", *s->progressDeadlineSeconds);
		if (*s->progressDeadlineSeconds <= s->minReadySeconds)
			fe_invalid_int(e, &progress, *s->progressDeadlineSeconds, "must be greater than minReadySeconds");
	}
}

void deployment_validate(struct request *r, struct field_errors *e, const void *obj)
{
	(void)r;
	deployment_spec(e, &((const struct apps_v1_Deployment *)obj)->spec, NULL);
}

void deployment_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	const struct apps_v1_Deployment *o = obj, *old = was;
	(void)r;
	if (t != UPDATE_STATUS) {
		deployment_spec(e, &o->spec, &old->spec);
		immutable_selector(e, o->spec.selector, old->spec.selector);
		return;
	}
	const struct apps_v1_DeploymentStatus *s = &o->status;
	counts(e, (struct count[]){ { "observedGeneration", s->observedGeneration }, { "replicas", s->replicas }, { "updatedReplicas", s->updatedReplicas },
	                            { "readyReplicas", s->readyReplicas }, { "availableReplicas", s->availableReplicas }, { "unavailableReplicas", s->unavailableReplicas },
	                            { "terminatingReplicas", s->terminatingReplicas ? *s->terminatingReplicas : 0 }, { "collisionCount", s->collisionCount ? *s->collisionCount : 0 }, { 0 } });
	not_greater(e, "updatedReplicas", s->updatedReplicas, s->replicas, "status.replicas");
	not_greater(e, "readyReplicas", s->readyReplicas, s->replicas, "status.replicas");
	not_greater(e, "availableReplicas", s->availableReplicas, s->replicas, "status.replicas");
	not_greater(e, "availableReplicas", s->availableReplicas, s->readyReplicas, "readyReplicas");
	not_decremented(e, s->collisionCount, old->status.collisionCount);
}

// --- ReplicaSets ---

static void replicaset_spec(struct field_errors *e, const struct apps_v1_ReplicaSetSpec *s, const struct apps_v1_ReplicaSetSpec *old)
{
	struct fpath p = fp(NULL, "spec"), selector = fp(&p, "selector");
	v_not_negative(e, &p, "replicas", s->replicas ? *s->replicas : 1);
	v_not_negative(e, &p, "minReadySeconds", s->minReadySeconds);
	required_selector(e, &selector, s->selector, "empty selector is invalid for deployment");
	replicaset_template(e, &p, s->selector, &s->template, old ? &old->template.spec : NULL);
}

void replicaset_validate(struct request *r, struct field_errors *e, const void *obj)
{
	(void)r;
	replicaset_spec(e, &((const struct apps_v1_ReplicaSet *)obj)->spec, NULL);
}

void replicaset_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	const struct apps_v1_ReplicaSet *o = obj, *old = was;
	(void)r;
	if (t != UPDATE_STATUS) {
		replicaset_spec(e, &o->spec, &old->spec);
		immutable_selector(e, o->spec.selector, old->spec.selector);
		return;
	}
	const struct apps_v1_ReplicaSetStatus *s = &o->status;
	counts(e, (struct count[]){ { "replicas", s->replicas }, { "fullyLabeledReplicas", s->fullyLabeledReplicas }, { "readyReplicas", s->readyReplicas },
	                            { "availableReplicas", s->availableReplicas }, { "observedGeneration", s->observedGeneration },
	                            { "terminatingReplicas", s->terminatingReplicas ? *s->terminatingReplicas : 0 }, { 0 } });
	not_greater(e, "fullyLabeledReplicas", s->fullyLabeledReplicas, s->replicas, "status.replicas");
	not_greater(e, "readyReplicas", s->readyReplicas, s->replicas, "status.replicas");
	not_greater(e, "availableReplicas", s->availableReplicas, s->replicas, "status.replicas");
	not_greater(e, "availableReplicas", s->availableReplicas, s->readyReplicas, "readyReplicas");
}

// --- DaemonSets ---

static void rolling_daemonset(struct field_errors *e, const struct fpath *p, const struct apps_v1_RollingUpdateDaemonSet *u)
{
	struct fpath unavailable = fp(p, "maxUnavailable"), surge = fp(p, "maxSurge");
	struct int_or_string zero = { 0 };
	const struct int_or_string *down = u->maxUnavailable ? u->maxUnavailable : &zero, *up = u->maxSurge ? u->maxSurge : &zero;
	v_int_or_percent(e, &unavailable, down);
	v_int_or_percent(e, &surge, up);
	v_not_over_100(e, &unavailable, down);
	v_not_over_100(e, &surge, up);
	bool has_down = int_or_percent_value(down) != 0, has_up = int_or_percent_value(up) != 0;
	if (has_down && has_up)
		fe_invalid_raw(e, &surge, int_or_string_json(e->arena, up), "may not be set when maxUnavailable is non-zero");
	else if (!has_down && !has_up)
		fe_required(e, &unavailable, "cannot be 0 when maxSurge is 0");
}

static void daemonset_spec(struct field_errors *e, const struct apps_v1_DaemonSetSpec *s, const struct apps_v1_DaemonSetSpec *old)
{
	struct fpath p = fp(NULL, "spec"), selector = fp(&p, "selector"), template = fp(&p, "template"), strategy = fp(&p, "updateStrategy"), rolling = fp(&strategy, "rollingUpdate");
	struct pod_options opts = { .old = old ? &old->template.spec : NULL };
	v_label_selector(e, &selector, s->selector);
	if (fits(e->arena, s->selector, &s->template.metadata.labels) == SELECTS_NOT)
		labels_do_not_match(e, &template, &s->template.metadata.labels);
	if (s->selector && !s->selector->matchLabels.n && !s->selector->matchExpressions.n)
		selector_json_error(e, &selector, s->selector, "empty selector is invalid for daemonset");
	v_pod_template(e, &template, &s->template, &opts);
	always_runs(e, &template, &s->template, "DaemonSet");
	v_not_negative(e, &p, "minReadySeconds", s->minReadySeconds);
	if (str_eq(s->updateStrategy.type, S("RollingUpdate"))) {
		if (!s->updateStrategy.rollingUpdate)
			fe_required(e, &rolling, "");
		else
			rolling_daemonset(e, &rolling, s->updateStrategy.rollingUpdate);
	} else if (!str_eq(s->updateStrategy.type, S("OnDelete"))) {
		v_not_supported_raw(e, &strategy, json_of(e->arena, apps_v1_DaemonSetUpdateStrategy_desc, &s->updateStrategy), LIST("RollingUpdate", "OnDelete"));
	}
	if (s->revisionHistoryLimit)
		v_not_negative(e, &p, "revisionHistoryLimit", *s->revisionHistoryLimit);
}

void daemonset_validate(struct request *r, struct field_errors *e, const void *obj)
{
	(void)r;
	daemonset_spec(e, &((const struct apps_v1_DaemonSet *)obj)->spec, NULL);
}

void daemonset_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	const struct apps_v1_DaemonSet *o = obj, *old = was;
	(void)r;
	if (t != UPDATE_STATUS) {
		immutable_selector(e, o->spec.selector, old->spec.selector);
		daemonset_spec(e, &o->spec, &old->spec);
		return;
	}
	const struct apps_v1_DaemonSetStatus *s = &o->status;
	counts(e, (struct count[]){ { "currentNumberScheduled", s->currentNumberScheduled }, { "numberMisscheduled", s->numberMisscheduled },
	                            { "desiredNumberScheduled", s->desiredNumberScheduled }, { "numberReady", s->numberReady }, { "observedGeneration", s->observedGeneration },
	                            { "updatedNumberScheduled", s->updatedNumberScheduled }, { "numberAvailable", s->numberAvailable },
	                            { "numberUnavailable", s->numberUnavailable }, { "collisionCount", s->collisionCount ? *s->collisionCount : 0 }, { 0 } });
	not_decremented(e, s->collisionCount, old->status.collisionCount);
}

// --- StatefulSets ---

static void statefulset_template(struct field_errors *e, const struct fpath *p, const struct apps_v1_StatefulSetSpec *s, const struct core_v1_PodSpec *old)
{
	struct arena *a = e->arena;
	struct pod_options opts = { .old = old };
	struct fpath labels = fp(p, "labels"), annotations = fp(p, "annotations");
	// Pods get the claims of their templates as volumes, and names from the set.
	struct core_v1_PodTemplateSpec t = s->template;
	t.spec.subdomain = t.spec.hostname = S("");
	struct core_v1_Volume_list volumes = { 0 };
	EACH (c, s->volumeClaimTemplates) {
		struct core_v1_Volume *v = LIST_ADD(a, &volumes);
		v->name = c->metadata.name;
		v->volumeSource.persistentVolumeClaim = ARENA_NEW(a, struct core_v1_PersistentVolumeClaimVolumeSource);
		v->volumeSource.persistentVolumeClaim->claimName = c->metadata.name;
	}
	EACH (v, t.spec.volumes) {
		bool claimed = false;
		EACH (c, s->volumeClaimTemplates)
			claimed = claimed || str_eq(c->metadata.name, v->name);
		if (!claimed)
			*LIST_ADD(a, &volumes) = *v;
	}
	if (s->volumeClaimTemplates.n)
		t.spec.volumes = volumes;
	v_pod_template(e, p, &t, &opts);
	v_labels(e, &labels, &t.metadata.labels);
	v_annotations(e, &annotations, &t.metadata.annotations);
	v_pod_annotations(e, &annotations, &t.metadata, &t.spec);
}

static void statefulset_spec(struct field_errors *e, const struct apps_v1_StatefulSetSpec *s, const struct apps_v1_StatefulSetSpec *old)
{
	struct fpath p = fp(NULL, "spec"), management = fp(&p, "podManagementPolicy"), strategy = fp(&p, "updateStrategy"), rolling = fp(&strategy, "rollingUpdate"),
		unavailable = fp(&rolling, "maxUnavailable"), retention = fp(&p, "persistentVolumeClaimRetentionPolicy"), deleted = fp(&retention, "whenDeleted"),
		scaled = fp(&retention, "whenScaled"), claims = fp(&p, "volumeClaimTemplates"), service = fp(&p, "serviceName"), selector = fp(&p, "selector"), template = fp(&p, "template");
	if (!s->podManagementPolicy.n)
		fe_required(e, &management, "");
	else if (!v_one_of(s->podManagementPolicy, LIST("OrderedReady", "Parallel")))
		fe_invalid(e, &management, s->podManagementPolicy, "must be 'OrderedReady' or 'Parallel'");
	const struct apps_v1_RollingUpdateStatefulSetStrategy *u = s->updateStrategy.rollingUpdate;
	if (!s->updateStrategy.type.n) {
		fe_required(e, &strategy, "");
	} else if (str_eq(s->updateStrategy.type, S("OnDelete"))) {
		if (u)
			fe_invalid_raw(e, &rolling, json_of(e->arena, apps_v1_RollingUpdateStatefulSetStrategy_desc, u), "only allowed for updateStrategy 'RollingUpdate'");
	} else if (str_eq(s->updateStrategy.type, S("RollingUpdate"))) {
		if (u)
			v_not_negative(e, &rolling, "partition", u->partition ? *u->partition : 0);
		if (u && u->maxUnavailable) {
			v_int_or_percent(e, &unavailable, u->maxUnavailable);
			if (int_or_percent_value(u->maxUnavailable) == 0)
				fe_invalid_raw(e, &unavailable, int_or_string_json(e->arena, u->maxUnavailable), "cannot be 0");
			v_not_over_100(e, &unavailable, u->maxUnavailable);
		}
	} else {
		fe_invalid_raw(e, &strategy, json_of(e->arena, apps_v1_StatefulSetUpdateStrategy_desc, &s->updateStrategy), "must be 'RollingUpdate' or 'OnDelete'");
	}
	if (s->persistentVolumeClaimRetentionPolicy) {
		v_enum(e, &deleted, s->persistentVolumeClaimRetentionPolicy->whenDeleted, LIST("Retain", "Delete"));
		v_enum(e, &scaled, s->persistentVolumeClaimRetentionPolicy->whenScaled, LIST("Retain", "Delete"));
	}
	for (size_t i = 0; !old && i < s->volumeClaimTemplates.n; i++) {
		struct fpath at = fp_index(e->arena, &claims, i), spec = fp(&at, "spec");
		v_claim_spec(e, &spec, &s->volumeClaimTemplates.v[i].spec);
	}
	v_not_negative(e, &p, "replicas", s->replicas ? *s->replicas : 1);
	v_not_negative(e, &p, "minReadySeconds", s->minReadySeconds);
	if (s->ordinals)
		v_not_negative(e, &p, "ordinals.start", s->ordinals->start);
	if (!old && s->serviceName.n)
		v_dns_label(e, &service, s->serviceName);
	required_selector(e, &selector, s->selector, "empty selector is invalid for statefulset");
	enum matches m = fits(e->arena, s->selector, &s->template.metadata.labels);
	if (m == SELECTOR_BAD) {
		selector_json_error(e, &selector, s->selector, "");
	} else {
		if (m == SELECTS_NOT)
			labels_do_not_match(e, &template, &s->template.metadata.labels);
		statefulset_template(e, &template, s, old ? &old->template.spec : NULL);
	}
	always_runs(e, &template, &s->template, "StatefulSet");
}

void statefulset_validate(struct request *r, struct field_errors *e, const void *obj)
{
	(void)r;
	statefulset_spec(e, &((const struct apps_v1_StatefulSet *)obj)->spec, NULL);
}

static void statefulset_status(struct field_errors *e, const struct apps_v1_StatefulSetStatus *s, const struct apps_v1_StatefulSetStatus *old)
{
	counts(e, (struct count[]){ { "replicas", s->replicas }, { "readyReplicas", s->readyReplicas }, { "currentReplicas", s->currentReplicas },
	                            { "updatedReplicas", s->updatedReplicas }, { "availableReplicas", s->availableReplicas }, { "observedGeneration", s->observedGeneration },
	                            { "collisionCount", s->collisionCount ? *s->collisionCount : 0 }, { 0 } });
	not_greater(e, "readyReplicas", s->readyReplicas, s->replicas, "status.replicas");
	not_greater(e, "currentReplicas", s->currentReplicas, s->replicas, "status.replicas");
	not_greater(e, "updatedReplicas", s->updatedReplicas, s->replicas, "status.replicas");
	not_greater(e, "availableReplicas", s->availableReplicas, s->replicas, "status.replicas");
	not_greater(e, "availableReplicas", s->availableReplicas, s->readyReplicas, "status.readyReplicas");
	not_decremented(e, s->collisionCount, old->collisionCount);
}

void statefulset_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	const struct apps_v1_StatefulSet *o = obj, *old = was;
	struct fpath spec = fp(NULL, "spec");
	(void)r;
	if (t == UPDATE_STATUS) {
		statefulset_status(e, &o->status, &old->status);
		return;
	}
	statefulset_spec(e, &o->spec, &old->spec);
	struct apps_v1_StatefulSetSpec now = o->spec;
	now.replicas = old->spec.replicas;
	now.template = old->spec.template;
	now.updateStrategy = old->spec.updateStrategy;
	now.minReadySeconds = old->spec.minReadySeconds;
	now.ordinals = old->spec.ordinals;
	now.revisionHistoryLimit = old->spec.revisionHistoryLimit;
	now.persistentVolumeClaimRetentionPolicy = old->spec.persistentVolumeClaimRetentionPolicy;
	if (!schema_equal(apps_v1_StatefulSetSpec_desc, &now, &old->spec))
		fe_forbidden(e, &spec, "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', "
		             "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden");
}

// --- ControllerRevisions ---

void controllerrevision_validate(struct request *r, struct field_errors *e, const void *obj)
{
	const struct apps_v1_ControllerRevision *o = obj;
	struct fpath data = fp(NULL, "data");
	(void)r;
	v_not_negative(e, NULL, "revision", o->revision);
	str text = str_trim(o->data.s);
	if (!text.n || str_eq(text, S("null")))
		fe_required(e, &data, "data is mandatory");
	else if (text.p[0] != '{')
		fe_required(e, &data, "data must be a valid JSON object");
}

void controllerrevision_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	const struct apps_v1_ControllerRevision *o = obj, *old = was;
	struct fpath data = fp(NULL, "data");
	(void)r, (void)t;
	v_not_negative(e, NULL, "revision", o->revision);
	if (!str_eq(str_trim(o->data.s), str_trim(old->data.s)))
		fe_invalid_raw(e, &data, o->data.s.n ? o->data.s : S("null"), IMMUTABLE);
}
