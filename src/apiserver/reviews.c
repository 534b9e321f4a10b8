// The resources that are asked and never stored: access reviews, token reviews, token requests.
#include "apiserver/kinds/kinds.h"
#include "apiserver/policy_internal.h"

#include "json/json.h"

static struct authentication_v1_UserInfo user_message(struct arena *a, const struct user_info *u)
{
	struct authentication_v1_UserInfo m = { .username = u->name, .uid = u->uid, .groups = u->groups };
	for (size_t i = 0; i < u->extra.n; i++) {
		__typeof__(m.extra.v) e = LIST_ADD(a, &m.extra);
		e->key = u->extra.v[i].key;
		e->value = u->extra.v[i].values;
	}
	// Maps are written in the order of their keys.
	for (size_t i = 1; i < m.extra.n; i++)
		for (size_t j = i; j > 0 && str_cmp(m.extra.v[j - 1].key, m.extra.v[j].key) > 0; j--) {
			__typeof__(*m.extra.v) t = m.extra.v[j];
			m.extra.v[j] = m.extra.v[j - 1];
			m.extra.v[j - 1] = t;
		}
	return m;
}

static bool self_subject_review(struct request *r, struct authentication_v1_SelfSubjectReview *o)
{
	str api_version = o->apiVersion, kind = o->kind;
	*o = (struct authentication_v1_SelfSubjectReview){ .apiVersion = api_version, .kind = kind };
	o->metadata.creationTimestamp = api_time_now(clock_wall(r->clock));
	o->status.userInfo = user_message(r->arena, &r->user);
	return true;
}

static bool token_review(struct request *r, struct authentication_v1_TokenReview *o, struct api_status *s)
{
	struct policy *p = apiserver_policy(r->server);
	if (!o->spec.token.n)
		return status_bad_request(r->arena, s, "token is required for TokenReview in authentication");
	struct user_info u = { 0 };
	struct str_list granted = { 0 };
	struct error err = { 0 };
	const struct str_list *audiences = o->spec.audiences.n ? &o->spec.audiences : &p->audiences;
	int found = authenticate_token(r, o->spec.token, audiences, &u, &granted, &err);
	o->status = (struct authentication_v1_TokenReviewStatus){ .authenticated = found == 1 };
	if (found == 1) {
		if (!user_in_group(&u, S("system:authenticated")))
			*LIST_ADD(r->arena, &u.groups) = S("system:authenticated");
		o->status.user = user_message(r->arena, &u);
		o->status.audiences = granted;
	} else {
		o->status.error = found < 0 ? arena_concat(r->arena, S("[invalid bearer token, "), arena_dup(r->arena, error_str(&err)), S("]"))
		                            : S("invalid bearer token");
	}
	return true;
}

// --- Access reviews ---

static void selector_attributes(struct field_errors *e, const struct fpath *p, str raw, size_t requirements)
{
	struct fpath raw_path = fp(p, "rawSelector"), req_path = fp(p, "requirements");
	if (raw.n && requirements)
		fe_invalid(e, &raw_path, raw, "may not specified at the same time as requirements");
	if (!raw.n && !requirements) {
		str path = fp_text(e->arena, p);
		fe_required(e, &req_path, arena_cstr(e->arena, arena_concat(e->arena, S("when "), path, S(" is specified, requirements or rawSelector is required"))));
	}
}

static str json_of(struct arena *a, const struct message_desc *m, const void *obj)
{
	if (!obj)
		return S("null");
	struct buf b = { 0 };
	schema_to_json(&b, m, obj);
	str text = arena_dup(a, buf_str(&b));
	buf_free(&b);
	return text;
}

static void validate_attributes(struct field_errors *e, const struct authorization_v1_ResourceAttributes *res,
                                const struct authorization_v1_NonResourceAttributes *non, bool need_user, const struct authorization_v1_SubjectAccessReviewSpec *spec)
{
	struct fpath root = fp(NULL, "spec"), non_path = fp(&root, "nonResourceAttributes"), res_path = fp(&root, "resourceAttributes"), user_path = fp(&root, "user");
	if (res && non)
		fe_invalid_raw(e, &non_path, json_of(e->arena, authorization_v1_NonResourceAttributes_desc, non), "cannot be specified in combination with resourceAttributes");
	if (!res && !non)
		fe_invalid_raw(e, &res_path, S("null"), "exactly one of nonResourceAttributes or resourceAttributes must be specified");
	if (need_user && !spec->user.n && !spec->groups.n)
		fe_invalid(e, &user_path, spec->user, "at least one of user or group must be specified");
	if (!res)
		return;
	struct fpath fields = fp(&res_path, "fieldSelector"), labels = fp(&res_path, "labelSelector");
	if (res->fieldSelector)
		selector_attributes(e, &fields, res->fieldSelector->rawSelector, res->fieldSelector->requirements.n);
	if (res->labelSelector)
		selector_attributes(e, &labels, res->labelSelector->rawSelector, res->labelSelector->requirements.n);
}

static bool meta_is_empty(struct meta_v1_ObjectMeta m, bool ns_too)
{
	m.managedFields = (__typeof__(m.managedFields)){ 0 };
	if (!ns_too)
		m.namespace = S("");
	struct meta_v1_ObjectMeta none = { 0 };
	return schema_equal(meta_v1_ObjectMeta_desc, &m, &none);
}

// Field requirements as selector terms; *bad: some are not understood.
static void field_requirements(struct arena *a, const struct authorization_v1_FieldSelectorAttributes *f, struct field_selector *out, bool *bad)
{
	struct error ignored = { 0 };
	if (f->rawSelector.n) {
		*bad = !field_selector_parse(a, f->rawSelector, out, &ignored);
		if (*bad)
			out->n = 0;
		return;
	}
	EACH (q, f->requirements) {
		bool in = str_eq(q->operator, S("In")), not_in = str_eq(q->operator, S("NotIn"));
		if ((!in && !not_in) || q->values.n != 1) {
			*bad = true;
			continue;
		}
		*LIST_ADD(a, out) = (struct field_term){ q->key, q->values.v[0], not_in };
	}
}

static void label_requirements(struct arena *a, const struct authorization_v1_LabelSelectorAttributes *l, size_t *good, bool *bad)
{
	struct error ignored = { 0 };
	struct selector sel;
	if (l->rawSelector.n) {
		*bad = !selector_parse(a, l->rawSelector, &sel, &ignored);
		*good = *bad ? 0 : sel.n;
		return;
	}
	EACH (q, l->requirements) {
		struct meta_v1_LabelSelector one = { .matchExpressions = { q, 1 } };
		if (selector_from_label_selector(a, &one, &sel, &ignored))
			++*good;
		else
			*bad = true;
	}
}

static struct authorization_v1_SubjectAccessReviewStatus answer(struct request *r, const struct user_info *u,
                                                                const struct authorization_v1_ResourceAttributes *res,
                                                                const struct authorization_v1_NonResourceAttributes *non)
{
	struct attributes at = { .user = u };
	bool bad_fields = false, bad_labels = false;
	size_t good_labels = 0;
	if (res) {
		at.is_resource = true;
		at.verb = res->verb;
		at.ns = res->namespace;
		at.group = res->group;
		at.version = res->version.n ? res->version : S("*");
		at.resource = res->resource;
		at.subresource = res->subresource;
		at.name = res->name;
		if (res->fieldSelector)
			field_requirements(r->arena, res->fieldSelector, &at.fields, &bad_fields);
		if (res->labelSelector)
			label_requirements(r->arena, res->labelSelector, &good_labels, &bad_labels);
	} else {
		at.verb = non->verb;
		at.path = non->path;
	}
	struct authorization_v1_SubjectAccessReviewStatus status = { 0 };
	status.allowed = decide(r, &at, &status.reason) == ALLOW;
	struct str_list errors = { 0 };
	if (bad_fields)
		*LIST_ADD(r->arena, &errors) = at.fields.n ? S("spec.resourceAttributes.fieldSelector partially ignored due to parse error")
		                                            : S("spec.resourceAttributes.fieldSelector ignored due to parse error");
	if (bad_labels)
		*LIST_ADD(r->arena, &errors) = good_labels ? S("spec.resourceAttributes.labelSelector partially ignored due to parse error")
		                                            : S("spec.resourceAttributes.labelSelector ignored due to parse error");
	status.evaluationError = str_list_join(r->arena, &errors, "; ");
	return status;
}

static struct user_info spec_user(struct arena *a, const struct authorization_v1_SubjectAccessReviewSpec *spec)
{
	struct user_info u = { .name = spec->user, .uid = spec->uid, .groups = spec->groups };
	EACH (e, spec->extra)
		EACH (v, e->value)
			user_add_extra(a, &u, e->key, *v);
	return u;
}

static bool subject_access_review(struct request *r, struct authorization_v1_SubjectAccessReview *o, bool local, struct api_status *s)
{
	struct field_errors e = { .arena = r->arena };
	const struct authorization_v1_ResourceAttributes *res = o->spec.resourceAttributes;
	validate_attributes(&e, res, o->spec.nonResourceAttributes, true, &o->spec);
	struct fpath meta = fp(NULL, "metadata");
	if (!meta_is_empty(o->metadata, !local))
		fe_invalid_raw(&e, &meta, json_of(r->arena, meta_v1_ObjectMeta_desc, &o->metadata), local ? "must be empty except for namespace" : "must be empty");
	if (local) {
		struct fpath ns = fp(NULL, "spec.resourceAttributes.namespace"), non = fp(NULL, "spec.nonResourceAttributes");
		if (res && !str_eq(res->namespace, o->metadata.namespace))
			fe_invalid(&e, &ns, res->namespace, "must match metadata.namespace");
		if (o->spec.nonResourceAttributes)
			fe_invalid_raw(&e, &non, json_of(r->arena, authorization_v1_NonResourceAttributes_desc, o->spec.nonResourceAttributes), "disallowed on this kind of request");
	}
	if (e.n)
		return status_invalid(r->arena, s, S("authorization.k8s.io"), S(""), S(""), &e);
	if (local && !str_eq(r->info.ns, o->metadata.namespace))
		return status_bad_request(r->arena, s, "spec.resourceAttributes.namespace must match namespace: " STR_FMT, STR_ARG(r->info.ns));
	struct user_info u = spec_user(r->arena, &o->spec);
	o->status = answer(r, &u, res, o->spec.nonResourceAttributes);
	return true;
}

static bool self_subject_access_review(struct request *r, struct authorization_v1_SelfSubjectAccessReview *o, struct api_status *s)
{
	struct field_errors e = { .arena = r->arena };
	validate_attributes(&e, o->spec.resourceAttributes, o->spec.nonResourceAttributes, false, NULL);
	struct fpath meta = fp(NULL, "metadata");
	if (!meta_is_empty(o->metadata, true))
		fe_invalid_raw(&e, &meta, json_of(r->arena, meta_v1_ObjectMeta_desc, &o->metadata), "must be empty");
	if (e.n)
		return status_invalid(r->arena, s, S("authorization.k8s.io"), S(""), S(""), &e);
	o->status = answer(r, &r->user, o->spec.resourceAttributes, o->spec.nonResourceAttributes);
	return true;
}

static bool self_subject_rules_review(struct request *r, struct authorization_v1_SelfSubjectRulesReview *o, struct api_status *s)
{
	str ns = o->spec.namespace, node;
	if (!ns.n)
		return status_bad_request(r->arena, s, "no namespace on request");
	struct rbac_v1_PolicyRule_list rules = { 0 };
	struct authorization_v1_SubjectRulesReviewStatus *to = &o->status;
	o->metadata = (struct meta_v1_ObjectMeta){ 0 };
	o->spec.namespace = S("");
	*to = (struct authorization_v1_SubjectRulesReviewStatus){ 0 };
	to->resourceRules.v = ARENA_ARRAY(r->arena, struct authorization_v1_ResourceRule, 1); // empty lists, not null
	to->nonResourceRules.v = ARENA_ARRAY(r->arena, struct authorization_v1_NonResourceRule, 1);
	struct authorization_v1_ResourceRule_list res = { 0 };
	struct authorization_v1_NonResourceRule_list non = { 0 };
	struct str_list errors = { 0 };
	if (user_is_node(&r->user, &node)) {
		to->incomplete = true;
		*LIST_ADD(r->arena, &errors) = S("node authorizer does not support user rule resolution");
	}
	str missing;
	rbac_rules_for(r, &r->user, ns, &rules, &missing);
	if (missing.n)
		*LIST_ADD(r->arena, &errors) = missing;
	EACH (rule, rules) {
		if (rule->resources.n)
			*LIST_ADD(r->arena, &res) = (struct authorization_v1_ResourceRule){ rule->verbs, rule->apiGroups, rule->resources, rule->resourceNames };
		if (rule->nonResourceURLs.n)
			*LIST_ADD(r->arena, &non) = (struct authorization_v1_NonResourceRule){ rule->verbs, rule->nonResourceURLs };
	}
	if (res.n)
		to->resourceRules = res;
	if (non.n)
		to->nonResourceRules = non;
	to->evaluationError = errors.n > 1 ? arena_concat(r->arena, S("["), str_list_join(r->arena, &errors, ", "), S("]")) : str_list_join(r->arena, &errors, ", ");
	return true;
}

bool review_create(struct request *r, str group, str resource, void *obj, struct api_status *s)
{
	if (str_eq(resource, S("tokenreviews")))
		return token_review(r, obj, s);
	if (str_eq(resource, S("selfsubjectreviews")))
		return self_subject_review(r, obj);
	if (str_eq(resource, S("subjectaccessreviews")))
		return subject_access_review(r, obj, false, s);
	if (str_eq(resource, S("localsubjectaccessreviews"))) {
		// The struct is another type with the same fields.
		_Static_assert(sizeof(struct authorization_v1_LocalSubjectAccessReview) == sizeof(struct authorization_v1_SubjectAccessReview), "the same fields");
		return subject_access_review(r, obj, true, s);
	}
	if (str_eq(resource, S("selfsubjectaccessreviews")))
		return self_subject_access_review(r, obj, s);
	if (str_eq(resource, S("selfsubjectrulesreviews")))
		return self_subject_rules_review(r, obj, s);
	return status_not_found(r->arena, s, group, resource, S(""));
}

// --- Token requests ---

struct bound {
	const struct core_v1_Pod *pod;
	const struct core_v1_Secret *secret;
	str node_name, node_uid;
};

static bool find_bound(struct request *r, const struct authentication_v1_BoundObjectReference *ref, str ns, str account, struct bound *b, struct api_status *s)
{
	bool core = str_eq(ref->apiVersion, S("v1")) || !ref->apiVersion.n;
	str uid = S("");
	if (core && str_eq(ref->kind, S("Pod"))) {
		b->pod = registry_get(r, S(""), S("pods"), ns, ref->name);
		if (!b->pod)
			return status_not_found(r->arena, s, S(""), S("pods"), ref->name);
		if (!str_eq(b->pod->spec.serviceAccountName, account))
			return status_bad_request(r->arena, s, "cannot bind token for serviceaccount %s to pod running with different serviceaccount name.",
			                          arena_cstr(r->arena, go_quote(r->arena, account)));
		uid = b->pod->metadata.uid;
		if (b->pod->spec.nodeName.n) {
			const struct core_v1_Node *node = registry_get(r, S(""), S("nodes"), S(""), b->pod->spec.nodeName);
			b->node_name = b->pod->spec.nodeName;
			b->node_uid = node ? node->metadata.uid : S("");
		}
	} else if (core && str_eq(ref->kind, S("Node"))) {
		const struct core_v1_Node *node = registry_get(r, S(""), S("nodes"), S(""), ref->name);
		if (!node)
			return status_not_found(r->arena, s, S(""), S("nodes"), ref->name);
		b->node_name = ref->name;
		uid = b->node_uid = node->metadata.uid;
	} else if (core && str_eq(ref->kind, S("Secret"))) {
		b->secret = registry_get(r, S(""), S("secrets"), ns, ref->name);
		if (!b->secret)
			return status_not_found(r->arena, s, S(""), S("secrets"), ref->name);
		uid = b->secret->metadata.uid;
	} else {
		str group = S(""), version = ref->apiVersion;
		str_split(ref->apiVersion, '/', &group, &version);
		if (str_find_char(ref->apiVersion, '/') < 0)
			version = ref->apiVersion, group = S("");
		return status_bad_request(r->arena, s, "cannot bind token to object of type " STR_FMT "/" STR_FMT ", Kind=" STR_FMT, STR_ARG(group), STR_ARG(version), STR_ARG(ref->kind));
	}
	if (ref->uid.n && !str_eq(ref->uid, uid))
		return status_conflict(r->arena, s, S(""), ref->kind, ref->name,
		                       arena_concat(r->arena, S("the UID in the bound object reference ("), ref->uid,
		                                    S(") does not match the UID in record. The object might have been deleted and then recreated")));
	return true;
}

static void write_ref(struct buf *b, const char *key, str name, str uid)
{
	buf_printf(b, "\"%s\":{\"name\":", key);
	json_write_string(b, name, true);
	if (uid.n) {
		buf_add(b, S(",\"uid\":"));
		json_write_string(b, uid, true);
	}
	buf_add(b, S("},"));
}

// Claims in the order of their names, as upstream writes them.
static str claims_text(struct request *r, const struct policy *p, const struct core_v1_ServiceAccount *sa, const struct bound *b,
                       const struct str_list *audiences, int64_t now, int64_t lifetime, int64_t warn_after)
{
	struct buf t = { 0 };
	buf_add(&t, S("{\"aud\":["));
	for (size_t i = 0; i < audiences->n; i++) {
		if (i)
			buf_add_char(&t, ',');
		json_write_string(&t, audiences->v[i], true);
	}
	buf_printf(&t, "],\"exp\":%lld,\"iat\":%lld,\"iss\":", (long long)(now + lifetime), (long long)now);
	json_write_string(&t, p->issuer, true);
	str jti = rng_uuid(r->rng, r->arena);
	buf_printf(&t, ",\"jti\":\"" STR_FMT "\",\"kubernetes.io\":{\"namespace\":", STR_ARG(jti));
	json_write_string(&t, sa->metadata.namespace, true);
	buf_add_char(&t, ',');
	if (b->node_name.n)
		write_ref(&t, "node", b->node_name, b->node_uid);
	if (b->pod)
		write_ref(&t, "pod", b->pod->metadata.name, b->pod->metadata.uid);
	if (b->secret)
		write_ref(&t, "secret", b->secret->metadata.name, b->secret->metadata.uid);
	write_ref(&t, "serviceaccount", sa->metadata.name, sa->metadata.uid);
	if (warn_after)
		buf_printf(&t, "\"warnafter\":%lld,", (long long)(now + warn_after));
	t.n--; // the last comma
	buf_printf(&t, "},\"nbf\":%lld,\"sub\":", (long long)now);
	json_write_string(&t, service_account_username(r->arena, sa->metadata.namespace, sa->metadata.name), true);
	buf_add_char(&t, '}');
	str text = arena_dup(r->arena, buf_str(&t));
	buf_free(&t);
	return text;
}

bool token_request_create(struct request *r, struct authentication_v1_TokenRequest *t, struct api_status *s)
{
	enum { MINIMUM = 600, WARN_ONLY = 3607, EXTENDED = 365 * 24 * 3600 };
	struct policy *p = apiserver_policy(r->server);
	struct arena *a = r->arena;
	str ns = r->info.ns, name = r->info.name;
	struct field_errors e = { .arena = a };
	struct fpath meta = fp(NULL, "metadata"), meta_name = fp(&meta, "name"), meta_ns = fp(&meta, "namespace");
	if (t->metadata.name.n && !str_eq(t->metadata.name, name))
		fe_invalid(&e, &meta_name, t->metadata.name, "must match the service account name if specified");
	else if (t->metadata.namespace.n && !str_eq(t->metadata.namespace, ns))
		fe_invalid(&e, &meta_ns, t->metadata.namespace, "must match the service account namespace if specified");
	if (e.n)
		return status_invalid(a, s, S("authentication.k8s.io"), S("TokenRequest"), name, &e);
	const struct core_v1_ServiceAccount *sa = registry_get(r, S(""), S("serviceaccounts"), ns, name);
	if (!sa)
		return status_not_found(a, s, S(""), S("serviceaccounts"), name);
	if (t->metadata.uid.n && !str_eq(t->metadata.uid, sa->metadata.uid))
		return status_conflict(a, s, S("authentication.k8s.io"), S("TokenRequest"), name,
		                       arena_concat(a, S("the UID in the token request ("), t->metadata.uid, S(") does not match the UID of the service account ("), sa->metadata.uid, S(")")));
	if (!t->spec.audiences.n)
		t->spec.audiences = p->audiences;
	t->metadata.name = sa->metadata.name;
	t->metadata.namespace = sa->metadata.namespace;
	t->metadata.uid = sa->metadata.uid;
	int64_t now = clock_wall(r->clock) / NS_PER_SEC;
	t->metadata.creationTimestamp = (struct api_time){ .sec = now, .set = true };
	t->status = (struct authentication_v1_TokenRequestStatus){ 0 };
	DEFAULT_PTR(a, t->spec.expirationSeconds, int64_t, 3600);
	struct fpath spec = fp(NULL, "spec"), exp = fp(&spec, "expirationSeconds");
	if (*t->spec.expirationSeconds < MINIMUM)
		fe_invalid_int(&e, &exp, *t->spec.expirationSeconds, "may not specify a duration less than 10 minutes");
	else if (*t->spec.expirationSeconds > INT64_C(1) << 32)
		fe_invalid_int(&e, &exp, *t->spec.expirationSeconds, "may not specify a duration larger than 2^32 seconds");
	if (e.n)
		return status_invalid(a, s, S("authentication.k8s.io"), S("TokenRequest"), S(""), &e);
	struct bound b = { 0 };
	if (t->spec.boundObjectRef && !find_bound(r, t->spec.boundObjectRef, ns, name, &b, s))
		return false;
	// Clients that ask for an hour and seven seconds are kubelets of pods: those get a year, so that a client library which never
	// reads its token again goes on working; its use after the hour is warned of.
	int64_t lifetime = *t->spec.expirationSeconds, warn_after = 0;
	bool own_audience = true;
	EACH (aud, t->spec.audiences)
		own_audience = own_audience && str_list_has(&p->audiences, *aud);
	if (b.pod && lifetime == WARN_ONLY && own_audience) {
		warn_after = lifetime;
		lifetime = EXTENDED;
	}
	str claims = claims_text(r, p, sa, &b, &t->spec.audiences, now, lifetime, warn_after);
	struct error err = { 0 };
	if (!jwt_sign(a, p->keys, claims, &t->status.token, &err))
		return status_internal(a, s, "failed to generate token: %s", err.text);
	t->status.expirationTimestamp = (struct api_time){ .sec = now + *t->spec.expirationSeconds, .set = true };
	return true;
}
