// Table rows of the other groups. Rule: pkg/printers/internalversion.
#include "apiserver/kinds/kinds.h"

static bool is_true(const bool *b) { return b && *b; }
static str or_text(const str *s, const char *otherwise) { return s ? *s : str_c(otherwise); }

static void subjects(struct row *r, const struct rbac_v1_Subject_list *list)
{
	struct str_list users = { 0 }, groups = { 0 }, accounts = { 0 };
	EACH (s, *list) {
		if (str_eq(s->kind, S("User")))
			*LIST_ADD(r->a, &users) = s->name;
		else if (str_eq(s->kind, S("Group")))
			*LIST_ADD(r->a, &groups) = s->name;
		else if (str_eq(s->kind, S("ServiceAccount")))
			*LIST_ADD(r->a, &accounts) = arena_concat(r->a, s->namespace, S("/"), s->name);
	}
	row_text(r, str_list_join(r->a, &users, ", "));
	row_text(r, str_list_join(r->a, &groups, ", "));
	row_text(r, str_list_join(r->a, &accounts, ", "));
}

CELLS(rolebinding, rbac_v1_RoleBinding)
{
	row_text(r, o->metadata.name);
	row_text(r, arena_concat(r->a, o->roleRef.kind, S("/"), o->roleRef.name));
	row_since(r, o->metadata.creationTimestamp);
	subjects(r, &o->subjects);
}

CELLS(clusterrolebinding, rbac_v1_ClusterRoleBinding)
{
	row_text(r, o->metadata.name);
	row_text(r, arena_concat(r->a, o->roleRef.kind, S("/"), o->roleRef.name));
	row_since(r, o->metadata.creationTimestamp);
	subjects(r, &o->subjects);
}

CELLS(lease, coordination_v1_Lease)
{
	row_text(r, o->metadata.name);
	row_text(r, or_text(o->spec.holderIdentity, ""));
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(storageclass, storage_v1_StorageClass)
{
	bool is_default = str_eq(str_map_get(&o->metadata.annotations, S("storageclass.kubernetes.io/is-default-class")), S("true")) ||
	                  str_eq(str_map_get(&o->metadata.annotations, S("storageclass.beta.kubernetes.io/is-default-class")), S("true"));
	row_text(r, is_default ? arena_concat(r->a, o->metadata.name, S(" (default)")) : o->metadata.name);
	row_text(r, o->provisioner);
	row_text(r, or_text(o->reclaimPolicy, "Delete"));
	row_text(r, or_text(o->volumeBindingMode, "Immediate"));
	row_bool(r, is_true(o->allowVolumeExpansion));
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(volumeattributesclass, storage_v1_VolumeAttributesClass)
{
	row_text(r, o->metadata.name);
	row_text(r, o->driverName);
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(volumeattachment, storage_v1_VolumeAttachment)
{
	row_text(r, o->metadata.name);
	row_text(r, o->spec.attacher);
	row_text(r, or_text(o->spec.source.persistentVolumeName, ""));
	row_text(r, o->spec.nodeName);
	row_bool(r, o->status.attached);
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(csinode, storage_v1_CSINode)
{
	row_text(r, o->metadata.name);
	row_int(r, (int64_t)o->spec.drivers.n);
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(csidriver, storage_v1_CSIDriver)
{
	struct str_list audiences = { 0 };
	EACH (t, o->spec.tokenRequests)
		*LIST_ADD(r->a, &audiences) = t->audience;
	row_text(r, o->metadata.name);
	row_bool(r, !o->spec.attachRequired || *o->spec.attachRequired);
	row_bool(r, is_true(o->spec.podInfoOnMount));
	row_bool(r, is_true(o->spec.storageCapacity));
	row_text(r, o->spec.tokenRequests.v ? str_list_join(r->a, &audiences, ",") : S("<unset>"));
	row_bool(r, is_true(o->spec.requiresRepublish));
	row_text(r, or_none(str_list_join(r->a, &o->spec.volumeLifecycleModes, ",")));
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(priorityclass, scheduling_v1_PriorityClass)
{
	row_text(r, o->metadata.name);
	row_int(r, o->value);
	row_bool(r, o->globalDefault);
	row_since(r, o->metadata.creationTimestamp);
	row_text(r, or_text(o->preemptionPolicy, ""));
}

CELLS(runtimeclass, node_v1_RuntimeClass)
{
	row_text(r, o->metadata.name);
	row_text(r, o->handler);
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(certificatesigningrequest, certificates_v1_CertificateSigningRequest)
{
	bool approved = false, denied = false, failed = false;
	EACH (c, o->status.conditions) {
		approved = approved || str_eq(c->type, S("Approved"));
		denied = denied || str_eq(c->type, S("Denied"));
		failed = failed || str_eq(c->type, S("Failed"));
	}
	row_text(r, o->metadata.name);
	row_since(r, o->metadata.creationTimestamp);
	row_text(r, or_none(o->spec.signerName));
	row_text(r, o->spec.username);
	row_text(r, o->spec.expirationSeconds ? human_duration(r->a, *o->spec.expirationSeconds) : S("<none>"));
	row_text(r, arena_concat(r->a, denied ? S("Denied") : approved ? S("Approved") : S("Pending"), failed ? S(",Failed") : S(""),
	                         o->status.certificate.n ? S(",Issued") : S("")));
}

CELLS(flowschema, flowcontrol_v1_FlowSchema)
{
	str missing = S("?");
	EACH (c, o->status.conditions)
		if (str_eq(c->type, S("Dangling"))) {
			missing = c->status;
			break;
		}
	row_text(r, o->metadata.name);
	row_text(r, o->spec.priorityLevelConfiguration.name);
	row_int(r, o->spec.matchingPrecedence);
	row_text(r, o->spec.distinguisherMethod ? o->spec.distinguisherMethod->type : S("<none>"));
	row_since(r, o->metadata.creationTimestamp);
	row_text(r, missing);
}

CELLS(prioritylevelconfiguration, flowcontrol_v1_PriorityLevelConfiguration)
{
	const struct flowcontrol_v1_LimitedPriorityLevelConfiguration *l = o->spec.limited;
	const struct flowcontrol_v1_QueuingConfiguration *q = l ? l->limitResponse.queuing : NULL;
	row_text(r, o->metadata.name);
	row_text(r, o->spec.type);
	if (l)
		row_int(r, l->nominalConcurrencyShares ? *l->nominalConcurrencyShares : 0);
	else
		row_text(r, S("<none>"));
	if (q) {
		row_int(r, q->queues);
		row_int(r, q->handSize);
		row_int(r, q->queueLengthLimit);
	} else {
		row_text(r, S("<none>"));
		row_text(r, S("<none>"));
		row_text(r, S("<none>"));
	}
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(apiservice, apiregistration_v1_APIService)
{
	const struct apiregistration_v1_ServiceReference *s = o->spec.service;
	str available = S("Unknown");
	EACH (c, o->status.conditions)
		if (str_eq(c->type, S("Available")))
			available = str_eq(c->status, S("True")) ? c->status : arena_concat(r->a, c->status, S(" ("), c->reason, S(")"));
	row_text(r, o->metadata.name);
	row_text(r, s ? arena_concat(r->a, s->namespace, S("/"), s->name) : S("Local"));
	row_text(r, available);
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(mutatingwebhookconfiguration, admissionregistration_v1_MutatingWebhookConfiguration)
{
	row_text(r, o->metadata.name);
	row_int(r, (int64_t)o->webhooks.n);
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(validatingwebhookconfiguration, admissionregistration_v1_ValidatingWebhookConfiguration)
{
	row_text(r, o->metadata.name);
	row_int(r, (int64_t)o->webhooks.n);
	row_since(r, o->metadata.creationTimestamp);
}

static str param_kind(struct arena *a, const struct admissionregistration_v1_ParamKind *k)
{
	return k ? arena_concat(a, k->apiVersion, S("/"), k->kind) : S("<unset>");
}

static str param_ref(struct arena *a, const struct admissionregistration_v1_ParamRef *p)
{
	if (!p)
		return S("<unset>");
	if (p->name.n)
		return arena_concat(a, p->namespace.n ? p->namespace : S("*"), S("/"), p->name);
	return p->selector ? label_selector_text(a, p->selector) : S("<unset>");
}

CELLS(validatingadmissionpolicy, admissionregistration_v1_ValidatingAdmissionPolicy)
{
	row_text(r, o->metadata.name);
	row_int(r, (int64_t)o->spec.validations.n);
	row_text(r, param_kind(r->a, o->spec.paramKind));
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(validatingadmissionpolicybinding, admissionregistration_v1_ValidatingAdmissionPolicyBinding)
{
	row_text(r, o->metadata.name);
	row_text(r, o->spec.policyName);
	row_text(r, param_ref(r->a, o->spec.paramRef));
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(mutatingadmissionpolicy, admissionregistration_v1_MutatingAdmissionPolicy)
{
	row_text(r, o->metadata.name);
	row_int(r, (int64_t)o->spec.mutations.n);
	row_text(r, param_kind(r->a, o->spec.paramKind));
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(mutatingadmissionpolicybinding, admissionregistration_v1_MutatingAdmissionPolicyBinding)
{
	row_text(r, o->metadata.name);
	row_text(r, o->spec.policyName);
	row_text(r, param_ref(r->a, o->spec.paramRef));
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(deviceclass, resource_v1_DeviceClass)
{
	row_text(r, o->metadata.name);
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(resourceclaim, resource_v1_ResourceClaim)
{
	struct str_list states = { 0 };
	if (o->metadata.deletionTimestamp)
		*LIST_ADD(r->a, &states) = S("deleted");
	if (o->status.allocation) {
		*LIST_ADD(r->a, &states) = S("allocated");
		if (o->status.reservedFor.n)
			*LIST_ADD(r->a, &states) = S("reserved");
	} else if (!o->metadata.deletionTimestamp) {
		*LIST_ADD(r->a, &states) = S("pending");
	}
	row_text(r, o->metadata.name);
	row_text(r, str_list_join(r->a, &states, ","));
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(resourceclaimtemplate, resource_v1_ResourceClaimTemplate)
{
	row_text(r, o->metadata.name);
	row_since(r, o->metadata.creationTimestamp);
}

CELLS(resourceslice, resource_v1_ResourceSlice)
{
	row_text(r, o->metadata.name);
	row_text(r, or_text(o->spec.nodeName, ""));
	row_text(r, o->spec.driver);
	row_text(r, o->spec.pool.name);
	row_since(r, o->metadata.creationTimestamp);
}
