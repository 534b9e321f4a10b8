// Defaults of the other groups.
#include "apiserver/kinds/defaults.h"

#include "base/clock.h"

static struct int_or_string *percent(struct arena *a, const char *text)
{
	return NEW_VALUE(a, struct int_or_string, ((struct int_or_string){ .is_string = true, .s = str_c(text) }));
}

static struct int_or_string *number(struct arena *a, int32_t i)
{
	return NEW_VALUE(a, struct int_or_string, ((struct int_or_string){ .i = i }));
}

DEFAULTS(deployment, apps_v1_Deployment)
{
	struct apps_v1_DeploymentSpec *s = &o->spec;
	DEFAULT_PTR(a, s->replicas, int32_t, 1);
	default_str(&s->strategy.type, "RollingUpdate");
	if (str_eq(s->strategy.type, S("RollingUpdate"))) {
		if (!s->strategy.rollingUpdate)
			s->strategy.rollingUpdate = ARENA_NEW(a, struct apps_v1_RollingUpdateDeployment);
		if (!s->strategy.rollingUpdate->maxUnavailable)
			s->strategy.rollingUpdate->maxUnavailable = percent(a, "25%");
		if (!s->strategy.rollingUpdate->maxSurge)
			s->strategy.rollingUpdate->maxSurge = percent(a, "25%");
	}
	DEFAULT_PTR(a, s->revisionHistoryLimit, int32_t, 10);
	DEFAULT_PTR(a, s->progressDeadlineSeconds, int32_t, 600);
	pod_spec_defaults(a, &s->template.spec);
}

DEFAULTS(replicaset, apps_v1_ReplicaSet)
{
	DEFAULT_PTR(a, o->spec.replicas, int32_t, 1);
	pod_spec_defaults(a, &o->spec.template.spec);
}

DEFAULTS(daemonset, apps_v1_DaemonSet)
{
	struct apps_v1_DaemonSetUpdateStrategy *u = &o->spec.updateStrategy;
	default_str(&u->type, "RollingUpdate");
	if (str_eq(u->type, S("RollingUpdate"))) {
		if (!u->rollingUpdate)
			u->rollingUpdate = ARENA_NEW(a, struct apps_v1_RollingUpdateDaemonSet);
		if (!u->rollingUpdate->maxUnavailable)
			u->rollingUpdate->maxUnavailable = number(a, 1);
		if (!u->rollingUpdate->maxSurge)
			u->rollingUpdate->maxSurge = number(a, 0);
	}
	DEFAULT_PTR(a, o->spec.revisionHistoryLimit, int32_t, 10);
	pod_spec_defaults(a, &o->spec.template.spec);
}

DEFAULTS(statefulset, apps_v1_StatefulSet)
{
	struct apps_v1_StatefulSetSpec *s = &o->spec;
	default_str(&s->podManagementPolicy, "OrderedReady");
	if (!s->updateStrategy.type.n) {
		s->updateStrategy.type = S("RollingUpdate");
		if (!s->updateStrategy.rollingUpdate)
			s->updateStrategy.rollingUpdate = ARENA_NEW(a, struct apps_v1_RollingUpdateStatefulSetStrategy);
	}
	if (str_eq(s->updateStrategy.type, S("RollingUpdate")) && s->updateStrategy.rollingUpdate)
		DEFAULT_PTR(a, s->updateStrategy.rollingUpdate->partition, int32_t, 0);
	if (!s->persistentVolumeClaimRetentionPolicy)
		s->persistentVolumeClaimRetentionPolicy = ARENA_NEW(a, struct apps_v1_StatefulSetPersistentVolumeClaimRetentionPolicy);
	default_str(&s->persistentVolumeClaimRetentionPolicy->whenDeleted, "Retain");
	default_str(&s->persistentVolumeClaimRetentionPolicy->whenScaled, "Retain");
	DEFAULT_PTR(a, s->replicas, int32_t, 1);
	DEFAULT_PTR(a, s->revisionHistoryLimit, int32_t, 10);
	pod_spec_defaults(a, &s->template.spec);
	EACH (c, s->volumeClaimTemplates) {
		if (!c->apiVersion.n && !c->kind.n) {
			c->apiVersion = S("v1");
			c->kind = S("PersistentVolumeClaim");
		}
		default_str(&c->status.phase, "Pending");
		claim_spec_defaults(a, &c->spec);
	}
}

void job_spec_defaults(struct arena *a, struct batch_v1_JobSpec *s)
{
	pod_spec_defaults(a, &s->template.spec);
	if (s->podFailurePolicy)
		EACH (rule, s->podFailurePolicy->rules)
			EACH (p, rule->onPodConditions)
				default_str(&p->status, "True");
}

DEFAULTS(job, batch_v1_Job)
{
	struct batch_v1_JobSpec *s = &o->spec;
	if (!s->completions && !s->parallelism)
		s->completions = NEW_VALUE(a, int32_t, 1);
	DEFAULT_PTR(a, s->parallelism, int32_t, 1);
	DEFAULT_PTR(a, s->backoffLimit, int32_t, s->backoffLimitPerIndex ? INT32_MAX : 6);
	if (s->template.metadata.labels.v && !o->metadata.labels.n)
		o->metadata.labels = s->template.metadata.labels;
	DEFAULT_PTR(a, s->completionMode, str, S("NonIndexed"));
	DEFAULT_PTR(a, s->suspend, bool, false);
	DEFAULT_PTR(a, s->podReplacementPolicy, str, s->podFailurePolicy ? S("Failed") : S("TerminatingOrFailed"));
	DEFAULT_PTR(a, s->manualSelector, bool, false);
	job_spec_defaults(a, s);
}

DEFAULTS(cronjob, batch_v1_CronJob)
{
	default_str(&o->spec.concurrencyPolicy, "Allow");
	DEFAULT_PTR(a, o->spec.suspend, bool, false);
	DEFAULT_PTR(a, o->spec.successfulJobsHistoryLimit, int32_t, 3);
	DEFAULT_PTR(a, o->spec.failedJobsHistoryLimit, int32_t, 1);
	job_spec_defaults(a, &o->spec.jobTemplate.spec);
}

static struct autoscaling_v2_HPAScalingRules *scaling_rules(struct arena *a, const struct autoscaling_v2_HPAScalingRules *from, bool up)
{
	struct autoscaling_v2_HPAScalingRules *to = ARENA_NEW(a, struct autoscaling_v2_HPAScalingRules);
	if (up)
		to->stabilizationWindowSeconds = NEW_VALUE(a, int32_t, 0);
	to->selectPolicy = NEW_VALUE(a, str, S("Max"));
	if (up)
		*LIST_ADD(a, &to->policies) = (struct autoscaling_v2_HPAScalingPolicy){ S("Pods"), 4, 15 };
	*LIST_ADD(a, &to->policies) = (struct autoscaling_v2_HPAScalingPolicy){ S("Percent"), 100, 15 };
	if (!from)
		return to;
	if (from->selectPolicy)
		to->selectPolicy = from->selectPolicy;
	if (from->stabilizationWindowSeconds)
		to->stabilizationWindowSeconds = from->stabilizationWindowSeconds;
	if (from->policies.v)
		to->policies = from->policies;
	if (from->tolerance)
		to->tolerance = from->tolerance;
	return to;
}

DEFAULTS(horizontalpodautoscaler, autoscaling_v2_HorizontalPodAutoscaler)
{
	DEFAULT_PTR(a, o->spec.minReplicas, int32_t, 1);
	if (!o->spec.metrics.n) {
		struct autoscaling_v2_MetricSpec *m = LIST_ADD(a, &o->spec.metrics);
		m->type = S("Resource");
		m->resource = ARENA_NEW(a, struct autoscaling_v2_ResourceMetricSource);
		m->resource->name = S("cpu");
		m->resource->target.type = S("Utilization");
		m->resource->target.averageUtilization = NEW_VALUE(a, int32_t, 80);
	}
	if (o->spec.behavior) {
		o->spec.behavior->scaleUp = scaling_rules(a, o->spec.behavior->scaleUp, true);
		o->spec.behavior->scaleDown = scaling_rules(a, o->spec.behavior->scaleDown, false);
	}
}

DEFAULTS(networkpolicy, networking_v1_NetworkPolicy)
{
	EACH (rule, o->spec.ingress)
		EACH (p, rule->ports)
			DEFAULT_PTR(a, p->protocol, str, S("TCP"));
	EACH (rule, o->spec.egress)
		EACH (p, rule->ports)
			DEFAULT_PTR(a, p->protocol, str, S("TCP"));
	if (!o->spec.policyTypes.n) {
		*LIST_ADD(a, &o->spec.policyTypes) = S("Ingress");
		if (o->spec.egress.n)
			*LIST_ADD(a, &o->spec.policyTypes) = S("Egress");
	}
}

DEFAULTS(ingressclass, networking_v1_IngressClass)
{
	if (o->spec.parameters)
		DEFAULT_PTR(a, o->spec.parameters->scope, str, S("Cluster"));
}

DEFAULTS(storageclass, storage_v1_StorageClass)
{
	DEFAULT_PTR(a, o->reclaimPolicy, str, S("Delete"));
	DEFAULT_PTR(a, o->volumeBindingMode, str, S("Immediate"));
}

DEFAULTS(csidriver, storage_v1_CSIDriver)
{
	struct storage_v1_CSIDriverSpec *s = &o->spec;
	DEFAULT_PTR(a, s->attachRequired, bool, true);
	DEFAULT_PTR(a, s->podInfoOnMount, bool, false);
	DEFAULT_PTR(a, s->storageCapacity, bool, false);
	DEFAULT_PTR(a, s->fsGroupPolicy, str, S("ReadWriteOnceWithFSType"));
	if (!s->volumeLifecycleModes.n)
		*LIST_ADD(a, &s->volumeLifecycleModes) = S("Persistent");
	DEFAULT_PTR(a, s->requiresRepublish, bool, false);
	DEFAULT_PTR(a, s->seLinuxMount, bool, false);
}

DEFAULTS(flowschema, flowcontrol_v1_FlowSchema)
{
	(void)a;
	if (!o->spec.matchingPrecedence)
		o->spec.matchingPrecedence = 1000;
}

DEFAULTS(prioritylevelconfiguration, flowcontrol_v1_PriorityLevelConfiguration)
{
	if (o->spec.exempt) {
		DEFAULT_PTR(a, o->spec.exempt->nominalConcurrencyShares, int32_t, 0);
		DEFAULT_PTR(a, o->spec.exempt->lendablePercent, int32_t, 0);
	}
	if (o->spec.limited) {
		DEFAULT_PTR(a, o->spec.limited->nominalConcurrencyShares, int32_t, 30);
		DEFAULT_PTR(a, o->spec.limited->lendablePercent, int32_t, 0);
		struct flowcontrol_v1_QueuingConfiguration *q = o->spec.limited->limitResponse.queuing;
		if (q) {
			q->handSize = q->handSize ? q->handSize : 8;
			q->queues = q->queues ? q->queues : 64;
			q->queueLengthLimit = q->queueLengthLimit ? q->queueLengthLimit : 50;
		}
	}
}

static void binding_defaults(struct rbac_v1_RoleRef *ref, struct rbac_v1_Subject_list *subjects)
{
	default_str(&ref->apiGroup, "rbac.authorization.k8s.io");
	EACH (s, *subjects)
		if (str_eq(s->kind, S("User")) || str_eq(s->kind, S("Group")))
			default_str(&s->apiGroup, "rbac.authorization.k8s.io");
}

DEFAULTS(rolebinding, rbac_v1_RoleBinding)
{
	(void)a;
	binding_defaults(&o->roleRef, &o->subjects);
}

DEFAULTS(clusterrolebinding, rbac_v1_ClusterRoleBinding)
{
	(void)a;
	binding_defaults(&o->roleRef, &o->subjects);
}

DEFAULTS(priorityclass, scheduling_v1_PriorityClass)
{
	DEFAULT_PTR(a, o->preemptionPolicy, str, S("PreemptLowerPriority"));
}

DEFAULTS(endpointslice, discovery_v1_EndpointSlice)
{
	EACH (p, o->ports) {
		DEFAULT_PTR(a, p->name, str, S(""));
		DEFAULT_PTR(a, p->protocol, str, S("TCP"));
	}
}

DEFAULTS(apiservice, apiregistration_v1_APIService)
{
	if (o->spec.service)
		DEFAULT_PTR(a, o->spec.service->port, int32_t, 443);
}

DEFAULTS(certificatesigningrequest, certificates_v1_CertificateSigningRequest)
{
	EACH (c, o->status.conditions)
		default_str(&c->status, "True");
}

static void claim_devices(struct resource_v1_DeviceClaim *c)
{
	EACH (q, c->requests) {
		if (q->exactly) {
			default_str(&q->exactly->allocationMode, "ExactCount");
			if (str_eq(q->exactly->allocationMode, S("ExactCount")) && !q->exactly->count)
				q->exactly->count = 1;
		}
		EACH (sub, q->firstAvailable) {
			default_str(&sub->allocationMode, "ExactCount");
			if (str_eq(sub->allocationMode, S("ExactCount")) && !sub->count)
				sub->count = 1;
		}
	}
}

DEFAULTS(resourceclaim, resource_v1_ResourceClaim)
{
	(void)a;
	claim_devices(&o->spec.devices);
}

DEFAULTS(resourceclaimtemplate, resource_v1_ResourceClaimTemplate)
{
	(void)a;
	claim_devices(&o->spec.spec.devices);
}

DEFAULTS(resourceslice, resource_v1_ResourceSlice)
{
	EACH (d, o->spec.devices)
		EACH (t, d->taints)
			if (!t->timeAdded)
				t->timeAdded = NEW_VALUE(a, struct api_time, api_time_now(clock_wall(NULL)));
}

// --- admissionregistration, apiextensions ---

static void rule_defaults(struct arena *a, struct admissionregistration_v1_Rule *r)
{
	DEFAULT_PTR(a, r->scope, str, S("*"));
}

static void hook_selectors(struct arena *a, struct meta_v1_LabelSelector **ns, struct meta_v1_LabelSelector **object)
{
	if (!*ns)
		*ns = ARENA_NEW(a, struct meta_v1_LabelSelector);
	if (!*object)
		*object = ARENA_NEW(a, struct meta_v1_LabelSelector);
}

#define HOOK_DEFAULTS(a, w) \
	do { \
		DEFAULT_PTR(a, (w)->failurePolicy, str, S("Fail")); \
		DEFAULT_PTR(a, (w)->matchPolicy, str, S("Equivalent")); \
		hook_selectors(a, &(w)->namespaceSelector, &(w)->objectSelector); \
		DEFAULT_PTR(a, (w)->timeoutSeconds, int32_t, 10); \
		if ((w)->clientConfig.service) \
			DEFAULT_PTR(a, (w)->clientConfig.service->port, int32_t, 443); \
		EACH (rule, (w)->rules) \
			rule_defaults(a, &rule->rule); \
	} while (0)

DEFAULTS(validatingwebhookconfiguration, admissionregistration_v1_ValidatingWebhookConfiguration)
{
	EACH (w, o->webhooks)
		HOOK_DEFAULTS(a, w);
}

DEFAULTS(mutatingwebhookconfiguration, admissionregistration_v1_MutatingWebhookConfiguration)
{
	EACH (w, o->webhooks) {
		HOOK_DEFAULTS(a, w);
		DEFAULT_PTR(a, w->reinvocationPolicy, str, S("Never"));
	}
}

static void match_defaults(struct arena *a, struct admissionregistration_v1_MatchResources *m)
{
	if (!m)
		return;
	DEFAULT_PTR(a, m->matchPolicy, str, S("Equivalent"));
	hook_selectors(a, &m->namespaceSelector, &m->objectSelector);
	EACH (rule, m->resourceRules)
		rule_defaults(a, &rule->ruleWithOperations.rule);
	EACH (rule, m->excludeResourceRules)
		rule_defaults(a, &rule->ruleWithOperations.rule);
}

DEFAULTS(validatingadmissionpolicy, admissionregistration_v1_ValidatingAdmissionPolicy)
{
	DEFAULT_PTR(a, o->spec.failurePolicy, str, S("Fail"));
	match_defaults(a, o->spec.matchConstraints);
}

DEFAULTS(mutatingadmissionpolicy, admissionregistration_v1_MutatingAdmissionPolicy)
{
	DEFAULT_PTR(a, o->spec.failurePolicy, str, S("Fail"));
	match_defaults(a, o->spec.matchConstraints);
}

DEFAULTS(validatingadmissionpolicybinding, admissionregistration_v1_ValidatingAdmissionPolicyBinding)
{
	match_defaults(a, o->spec.matchResources);
}

DEFAULTS(mutatingadmissionpolicybinding, admissionregistration_v1_MutatingAdmissionPolicyBinding)
{
	match_defaults(a, o->spec.matchResources);
}

static str lower_case(struct arena *a, str s)
{
	char *to = arena_alloc(a, s.n + 1);
	for (size_t i = 0; i < s.n; i++)
		to[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] - 'A' + 'a') : s.p[i];
	return str_n(to, s.n);
}

DEFAULTS(customresourcedefinition, apiextensions_v1_CustomResourceDefinition)
{
	struct apiextensions_v1_CustomResourceDefinitionNames *n = &o->spec.names;
	if (!n->singular.n)
		n->singular = lower_case(a, n->kind);
	if (!n->listKind.n && n->kind.n)
		n->listKind = arena_concat(a, n->kind, S("List"));
	if (!o->spec.conversion) {
		o->spec.conversion = ARENA_NEW(a, struct apiextensions_v1_CustomResourceConversion);
		o->spec.conversion->strategy = S("None");
	}
	struct apiextensions_v1_WebhookConversion *w = o->spec.conversion->webhook;
	if (w && w->clientConfig && w->clientConfig->service)
		DEFAULT_PTR(a, w->clientConfig->service->port, int32_t, 443);
	if (!o->status.storedVersions.n)
		EACH (v, o->spec.versions)
			if (v->storage) {
				*LIST_ADD(a, &o->status.storedVersions) = v->name;
				break;
			}
}
