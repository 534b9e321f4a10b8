// Validation of the core group but pods, services and storage. Rule: pkg/apis/core/validation.
#include "apiserver/kinds/valid.h"
#include "apiserver/kinds/validation.h"
#include "json/json.h"

enum { MAX_SECRET = 1024 * 1024 };
#define WHEN_IMMUTABLE "field is immutable when `immutable` is set"

static bool same_map(const struct str_map *x, const struct str_map *y)
{
	if (x->n != y->n)
		return false;
	for (size_t i = 0; i < x->n; i++)
		if (!str_eq(x->v[i].key, y->v[i].key) || !str_eq(x->v[i].value, y->v[i].value))
			return false;
	return true;
}

static void data_keys(struct field_errors *e, const char *field, const struct str_map *m, size_t *total)
{
	struct fpath p = fp(NULL, field);
	EACH (d, *m) {
		struct fpath at = fp_key(e->arena, &p, d->key);
		v_name(e, &at, d->key, name_is_config_key);
		*total += d->value.n;
	}
}

void configmap_validate(struct request *r, struct field_errors *e, const void *obj)
{
	const struct core_v1_ConfigMap *o = obj;
	struct fpath data = fp(NULL, "data"), root = fp(NULL, "");
	size_t total = 0;
	str ignored;
	(void)r;
	data_keys(e, "data", &o->data, &total);
	EACH (d, o->data) {
		struct fpath at = fp_key(e->arena, &data, d->key);
		if (str_map_find(&o->binaryData, d->key, &ignored))
			fe_invalid(e, &at, d->key, "duplicate of key present in binaryData");
	}
	data_keys(e, "binaryData", &o->binaryData, &total);
	if (total > MAX_SECRET) {
		fe_too_long(e, &root, MAX_SECRET);
		e->v[e->n - 1].field = S("[]"); // upstream names an empty path this way
	}
}

static bool is_immutable(const bool *b) { return b && *b; }

void configmap_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	const struct core_v1_ConfigMap *o = obj, *old = was;
	struct fpath immutable = fp(NULL, "immutable"), data = fp(NULL, "data"), binary = fp(NULL, "binaryData");
	(void)t;
	if (is_immutable(old->immutable)) {
		if (!is_immutable(o->immutable))
			fe_forbidden(e, &immutable, WHEN_IMMUTABLE);
		if (!same_map(&o->data, &old->data))
			fe_forbidden(e, &data, WHEN_IMMUTABLE);
		if (!same_map(&o->binaryData, &old->binaryData))
			fe_forbidden(e, &binary, WHEN_IMMUTABLE);
	}
	configmap_validate(r, e, obj);
}

static void need_key(struct field_errors *e, const struct core_v1_Secret *o, const char *key, bool not_empty)
{
	struct fpath data = fp(NULL, "data"), at = fp_key(e->arena, &data, str_c(key));
	str value;
	if (!str_map_find(&o->data, str_c(key), &value) || (not_empty && !value.n))
		fe_required(e, &at, "");
}

static void docker_config(struct field_errors *e, const struct core_v1_Secret *o, const char *key)
{
	struct fpath data = fp(NULL, "data"), at = fp_key(e->arena, &data, str_c(key));
	struct error err = { 0 };
	str value;
	need_key(e, o, key, false);
	if (!str_map_find(&o->data, str_c(key), &value))
		return;
	const struct value *v = json_parse(e->arena, value, NULL, &err);
	if (!v)
		fe_invalid(e, &at, S("<secret contents redacted>"), "%s", err.text);
	else if (!value_is(v, V_OBJECT) && !value_is(v, V_NULL))
		fe_invalid(e, &at, S("<secret contents redacted>"), "json: cannot unmarshal %s into Go value of type map[string]interface {}", value_kind_name(v->kind));
}

void secret_validate(struct request *r, struct field_errors *e, const void *obj)
{
	const struct core_v1_Secret *o = obj;
	struct fpath data = fp(NULL, "data"), meta = fp(NULL, "metadata"), annotations = fp(&meta, "annotations");
	size_t total = 0;
	str ignored;
	(void)r;
	data_keys(e, "data", &o->data, &total);
	if (total > MAX_SECRET)
		fe_too_long(e, &data, MAX_SECRET);
	if (str_eq(o->type, S("kubernetes.io/service-account-token"))) {
		struct fpath at = fp_key(e->arena, &annotations, S("kubernetes.io/service-account.name"));
		if (!str_map_get(&o->metadata.annotations, S("kubernetes.io/service-account.name")).n)
			fe_required(e, &at, "");
	} else if (str_eq(o->type, S("kubernetes.io/dockercfg"))) {
		docker_config(e, o, ".dockercfg");
	} else if (str_eq(o->type, S("kubernetes.io/dockerconfigjson"))) {
		docker_config(e, o, ".dockerconfigjson");
	} else if (str_eq(o->type, S("kubernetes.io/basic-auth"))) {
		if (!str_map_find(&o->data, S("username"), &ignored) && !str_map_find(&o->data, S("password"), &ignored)) {
			need_key(e, o, "username", false);
			need_key(e, o, "password", false);
		}
	} else if (str_eq(o->type, S("kubernetes.io/ssh-auth"))) {
		need_key(e, o, "ssh-privatekey", true);
	} else if (str_eq(o->type, S("kubernetes.io/tls"))) {
		need_key(e, o, "tls.crt", false);
		need_key(e, o, "tls.key", false);
	}
}

void secret_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	const struct core_v1_Secret *o = obj, *old = was;
	struct fpath immutable = fp(NULL, "immutable"), data = fp(NULL, "data"), type = fp(NULL, "type");
	(void)t;
	v_immutable_str(e, &type, o->type, old->type);
	if (is_immutable(old->immutable)) {
		if (!is_immutable(o->immutable))
			fe_forbidden(e, &immutable, WHEN_IMMUTABLE);
		if (!same_map(&o->data, &old->data))
			fe_forbidden(e, &data, WHEN_IMMUTABLE);
	}
	secret_validate(r, e, obj);
}

// --- Namespaces ---

static void finalizers(struct field_errors *e, const struct str_list *l, bool indexed)
{
	struct fpath spec = fp(NULL, "spec"), p = fp(&spec, "finalizers");
	EACH (f, *l) {
		struct fpath one = fp_index(e->arena, &p, INDEX(f, *l));
		const struct fpath *at = indexed ? &one : &p;
		v_qualified(e, at, *f);
		if (str_find_char(*f, '/') < 0 && !v_one_of(*f, LIST("kubernetes", "orphan", "foregroundDeletion")))
			fe_invalid(e, at, *f, "name is neither a standard finalizer name nor is it fully qualified");
	}
}

void namespace_validate(struct request *r, struct field_errors *e, const void *obj)
{
	(void)r;
	finalizers(e, &((const struct core_v1_Namespace *)obj)->spec.finalizers, false);
}

void namespace_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	const struct core_v1_Namespace *o = obj;
	struct fpath status = fp(NULL, "status"), phase = fp(&status, "Phase");
	(void)was;
	if (t == UPDATE_SPEC)
		namespace_validate(r, e, obj);
	else if (t == UPDATE_SUBRESOURCE)
		finalizers(e, &o->spec.finalizers, true);
	else if (!o->metadata.deletionTimestamp && !str_eq(o->status.phase, S("Active")))
		fe_invalid(e, &phase, o->status.phase, "may only be 'Active' if `deletionTimestamp` is empty");
	else if (o->metadata.deletionTimestamp && !str_eq(o->status.phase, S("Terminating")))
		fe_invalid(e, &phase, o->status.phase, "may only be 'Terminating' if `deletionTimestamp` is not empty");
}

// --- Nodes ---

static void taints(struct field_errors *e, const struct core_v1_Node *o)
{
	struct fpath meta = fp(NULL, "metadata"), p = fp(&meta, "taints");
	EACH (t, o->spec.taints) {
		struct fpath at = fp_index(e->arena, &p, INDEX(t, o->spec.taints)), key = fp(&at, "key"), value = fp(&at, "value"), effect = fp(&at, "effect");
		struct str_list why = { 0 };
		v_label_name(e, &key, t->key);
		name_is_label_value(e->arena, t->value, &why);
		if (why.n)
			fe_invalid(e, &value, t->value, "%s", arena_cstr(e->arena, str_list_join(e->arena, &why, ";")));
		v_taint_effect(e, &effect, t->effect, false);
		for (size_t i = 0; i < INDEX(t, o->spec.taints); i++)
			if (str_eq(o->spec.taints.v[i].key, t->key) && str_eq(o->spec.taints.v[i].effect, t->effect)) {
				fe_duplicate(e, &at, S(""));
				e->v[e->n - 1].bad_value = json_of(e->arena, core_v1_Taint_desc, t);
				e->v[e->n - 1].detail = S("taints must be unique by key and effect pair");
			}
	}
}

static void node_resources(struct field_errors *e, const char *name, const struct quantity_map *m)
{
	struct fpath status = fp(NULL, "status"), p = fp(&status, name);
	EACH (q, *m) {
		struct fpath at = { &p, q->key, false };
		v_resource_quantity(e, &at, q->key, q->value);
	}
}

void node_validate(struct request *r, struct field_errors *e, const void *obj)
{
	const struct core_v1_Node *o = obj;
	struct fpath spec = fp(NULL, "spec"), cidrs = fp(&spec, "podCIDRs");
	(void)r;
	taints(e, o);
	node_resources(e, "capacity", &o->status.capacity);
	node_resources(e, "allocatable", &o->status.allocatable);
	EACH (c, o->spec.podCIDRs) {
		struct fpath at = fp_index(e->arena, &cidrs, INDEX(c, o->spec.podCIDRs));
		v_cidr_legacy(e, &at, *c, NULL);
	}
	bool dual = o->spec.podCIDRs.n == 2 && (str_find_char(o->spec.podCIDRs.v[0], ':') >= 0) != (str_find_char(o->spec.podCIDRs.v[1], ':') >= 0);
	if (o->spec.podCIDRs.n > 1 && !dual)
		fe_invalid_raw(e, &cidrs, json_of_list(e->arena, &o->spec.podCIDRs), "may specify no more than one CIDR for each IP family");
}

void node_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	const struct core_v1_Node *o = obj, *old = was;
	struct fpath spec = fp(NULL, "spec"), cidrs = fp(&spec, "podCIDRs"), provider = fp(&spec, "providerID"), status = fp(NULL, "status"), addresses = fp(&status, "addresses");
	if (t == UPDATE_SPEC) {
		node_validate(r, e, obj);
	} else {
		node_resources(e, "capacity", &o->status.capacity);
		node_resources(e, "allocatable", &o->status.allocatable);
	}
	EACH (a, o->status.addresses)
		for (size_t i = 0; i < INDEX(a, o->status.addresses); i++)
			if (str_eq(o->status.addresses.v[i].type, a->type) && str_eq(o->status.addresses.v[i].address, a->address)) {
				struct fpath at = fp_index(e->arena, &addresses, INDEX(a, o->status.addresses));
				fe_duplicate(e, &at, S(""));
				e->v[e->n - 1].bad_value = json_of(e->arena, core_v1_NodeAddress_desc, a);
				break;
			}
	if (old->spec.podCIDRs.n) {
		bool same = old->spec.podCIDRs.n == o->spec.podCIDRs.n;
		for (size_t i = 0; same && i < o->spec.podCIDRs.n; i++)
			same = str_eq(old->spec.podCIDRs.v[i], o->spec.podCIDRs.v[i]);
		if (!same)
			fe_forbidden(e, &cidrs, "node updates may not change podCIDR except from \"\" to valid");
	}
	if (old->spec.providerID.n && !str_eq(old->spec.providerID, o->spec.providerID))
		fe_forbidden(e, &provider, "node updates may not change providerID except from \"\" to valid");
}

// --- Events (also of events.k8s.io, which demands more) ---

static void at_most(struct field_errors *e, const char *field, str value, size_t most)
{
	struct fpath p = fp(NULL, field);
	if (value.n > most)
		fe_invalid(e, &p, S(""), "can have at most %zu characters", most);
}

static void needed(struct field_errors *e, const char *field, str value)
{
	struct fpath p = fp(NULL, field);
	if (!value.n)
		fe_required(e, &p, "");
}

static void event_common(struct request *r, struct field_errors *e, const struct core_v1_Event *o)
{
	struct fpath involved = fp(NULL, "involvedObject"), ns = fp(&involved, "namespace"), own = fp(NULL, "namespace");
	bool core = !r->info.group.n;
	const char *controller = core ? "reportingComponent" : "reportingController";
	str at = o->involvedObject.namespace, here = o->metadata.namespace;
	if (!o->eventTime.set) {
		bool ok = at.n ? str_eq(here, at) : !here.n || str_eq(here, S("default"));
		if (!ok)
			fe_invalid(e, &ns, at, "does not match event.namespace");
	} else {
		struct fpath c = fp(NULL, controller);
		if (!at.n && !str_eq(here, S("default")) && !str_eq(here, S("kube-system")))
			fe_invalid(e, &ns, at, "does not match event.namespace");
		needed(e, controller, o->reportingComponent);
		v_qualified(e, &c, o->reportingComponent);
		needed(e, "reportingInstance", o->reportingInstance);
		at_most(e, "reportingInstance", o->reportingInstance, 128);
		needed(e, "action", o->action);
		at_most(e, "action", o->action, 128);
		needed(e, "reason", o->reason);
		at_most(e, "reason", o->reason, 128);
		at_most(e, "message", o->message, 1024);
	}
	v_dns_subdomain(e, &own, here);
}

static void unset(struct field_errors *e, const char *field, bool set)
{
	struct fpath p = fp(NULL, field);
	if (set)
		fe_invalid(e, &p, S(""), "needs to be unset");
}

static void event_series(struct field_errors *e, const struct core_v1_Event *o)
{
	struct fpath count = fp(NULL, "series.count"), last = fp(NULL, "series.lastObservedTime");
	if (o->series && o->series->count < 2)
		fe_invalid(e, &count, S(""), "should be at least 2");
	if (o->series && !o->series->lastObservedTime.set)
		fe_required(e, &last, "");
}

void event_validate(struct request *r, struct field_errors *e, const void *obj)
{
	const struct core_v1_Event *o = obj;
	struct fpath time = fp(NULL, "eventTime"), type = fp(NULL, "type");
	event_common(r, e, o);
	if (!r->info.group.n)
		return;
	event_series(e, o);
	if (!o->eventTime.set)
		fe_required(e, &time, "");
	if (!v_one_of(o->type, LIST("Normal", "Warning")))
		fe_invalid(e, &type, S(""), "has invalid value: " STR_FMT, STR_ARG(o->type));
	unset(e, "firstTimestamp", o->firstTimestamp.set);
	unset(e, "lastTimestamp", o->lastTimestamp.set);
	unset(e, "count", o->count != 0);
	unset(e, "source", o->source.component.n || o->source.host.n);
}

void event_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	const struct core_v1_Event *o = obj, *old = was;
	(void)t;
	event_common(r, e, o);
	if (!r->info.group.n)
		return;
	event_series(e, o);
	struct fpath involved = fp(NULL, "involvedObject"), reason = fp(NULL, "reason"), message = fp(NULL, "message"), type = fp(NULL, "type"),
		action = fp(NULL, "action"), controller = fp(NULL, "reportingController"), instance = fp(NULL, "reportingInstance"), related = fp(NULL, "related");
	v_immutable(e, &involved, core_v1_ObjectReference_desc, &o->involvedObject, &old->involvedObject);
	v_immutable_str(e, &reason, o->reason, old->reason);
	v_immutable_str(e, &message, o->message, old->message);
	v_immutable_str(e, &type, o->type, old->type);
	v_immutable_str(e, &action, o->action, old->action);
	v_immutable(e, &related, core_v1_ObjectReference_desc, o->related, old->related);
	v_immutable_str(e, &controller, o->reportingComponent, old->reportingComponent);
	v_immutable_str(e, &instance, o->reportingInstance, old->reportingInstance);
}

// --- Limit ranges, quotas ---

static void limit_names(struct field_errors *e, const struct fpath *p, const char *field, str type, const struct quantity_map *m)
{
	struct fpath at = fp(p, field);
	EACH (q, *m) {
		struct fpath key = fp_key(e->arena, &at, q->key);
		if (v_one_of(type, LIST("Pod", "Container")))
			v_container_resource_name(e, &key, q->key);
		else
			v_resource_name(e, &key, q->key);
	}
}

struct limit_pair { const char *field; const struct quantity_map *low, *high; bool blame_high; const char *low_text, *high_text; };

static void limit_order(struct field_errors *e, const struct fpath *p, struct limit_pair l, const struct quantity_map *value)
{
	struct fpath at = fp(p, l.field);
	EACH (q, *l.low) {
		struct quantity high, shown;
		if (!quantity_map_get(l.high, q->key, &high) || quantity_cmp(q->value, high) <= 0)
			continue;
		struct fpath key = fp_key(e->arena, &at, q->key);
		quantity_map_get(value, q->key, &shown);
		fe_invalid(e, &key, quantity_text(shown), "%s " STR_FMT " is greater than %s " STR_FMT, l.low_text, STR_ARG(quantity_text(q->value)), l.high_text,
		           STR_ARG(quantity_text(high)));
	}
}

static void limit_ratio(struct field_errors *e, const struct fpath *p, const struct core_v1_LimitRangeItem *i)
{
	struct fpath ratio = fp(p, "maxLimitRequestRatio");
	EACH (q, i->maxLimitRequestRatio) {
		struct fpath key = fp_key(e->arena, &ratio, q->key);
		struct quantity min, max;
		if (quantity_milli(q->value) < 1000)
			fe_invalid(e, &key, quantity_text(q->value), "ratio " STR_FMT " is less than 1", STR_ARG(quantity_text(q->value)));
		if (!quantity_map_get(&i->min, q->key, &min) || !quantity_map_get(&i->max, q->key, &max) || quantity_milli(min) == 0)
			continue;
		double limit = (double)quantity_milli(max) / (double)quantity_milli(min);
		if ((double)quantity_milli(q->value) / 1000 > limit)
			fe_invalid(e, &key, quantity_text(q->value), "ratio " STR_FMT " is greater than max/min = %f", STR_ARG(quantity_text(q->value)), limit);
	}
}

void limitrange_validate(struct request *r, struct field_errors *e, const void *obj)
{
	const struct core_v1_LimitRange *o = obj;
	struct fpath spec = fp(NULL, "spec"), limits = fp(&spec, "limits");
	(void)r;
	EACH (i, o->spec.limits) {
		struct fpath p = fp_index(e->arena, &limits, INDEX(i, o->spec.limits)), type = fp(&p, "type"), def = fp(&p, "default"), req = fp(&p, "defaultRequest"), own = fp(&p, "limits");
		bool pod = str_eq(i->type, S("Pod"));
		size_t before = e->n;
		v_qualified(e, &type, i->type);
		if (e->n == before && str_find_char(i->type, '/') < 0 && !v_one_of(i->type, LIST("Pod", "Container", "PersistentVolumeClaim")))
			fe_invalid(e, &type, i->type, "must be a standard limit type or fully qualified");
		for (size_t j = 0; j < INDEX(i, o->spec.limits); j++)
			if (str_eq(o->spec.limits.v[j].type, i->type))
				fe_duplicate(e, &type, i->type);
		limit_names(e, &p, "max", i->type, &i->max);
		limit_names(e, &p, "min", i->type, &i->min);
		if (pod && i->default_.n)
			fe_forbidden(e, &def, "may not be specified when `type` is 'Pod'");
		if (pod && i->defaultRequest.n)
			fe_forbidden(e, &req, "may not be specified when `type` is 'Pod'");
		if (!pod) {
			limit_names(e, &p, "default", i->type, &i->default_);
			limit_names(e, &p, "defaultRequest", i->type, &i->defaultRequest);
		}
		struct quantity q;
		if (str_eq(i->type, S("PersistentVolumeClaim")) && !quantity_map_get(&i->min, S("storage"), &q) && !quantity_map_get(&i->max, S("storage"), &q))
			fe_required(e, &own, "either minimum or maximum storage value is required, but neither was provided");
		limit_names(e, &p, "maxLimitRequestRatio", i->type, &i->maxLimitRequestRatio);
		limit_order(e, &p, (struct limit_pair){ "min", &i->min, &i->max, false, "min value", "max value" }, &i->min);
		if (!pod) {
			limit_order(e, &p, (struct limit_pair){ "defaultRequest", &i->min, &i->defaultRequest, true, "min value", "default request value" }, &i->defaultRequest);
			limit_order(e, &p, (struct limit_pair){ "defaultRequest", &i->defaultRequest, &i->max, false, "default request value", "max value" }, &i->defaultRequest);
			limit_order(e, &p, (struct limit_pair){ "defaultRequest", &i->defaultRequest, &i->default_, false, "default request value", "default limit value" }, &i->defaultRequest);
			limit_order(e, &p, (struct limit_pair){ "default", &i->min, &i->default_, false, "min value", "default value" }, &i->min);
			limit_order(e, &p, (struct limit_pair){ "default", &i->default_, &i->max, true, "default value", "max value" }, &i->max);
		}
		limit_ratio(e, &p, i);
	}
}

void limitrange_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	(void)t, (void)was;
	limitrange_validate(r, e, obj);
}

static bool quota_resource(str name)
{
	str rest = name;
	return str_has_prefix(name, S("count/")) || resource_is_hugepages(name) || (str_cut_prefix(&rest, S("requests.")) && resource_is_hugepages(rest)) ||
	       v_one_of(name, LIST("cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.storage", "requests.ephemeral-storage", "limits.cpu",
	                           "limits.memory", "limits.ephemeral-storage", "pods", "resourcequotas", "services", "replicationcontrollers", "secrets",
	                           "persistentvolumeclaims", "configmaps", "services.nodeports", "services.loadbalancers"));
}

static void quota_map(struct field_errors *e, const struct fpath *parent, const char *field, const struct quantity_map *m)
{
	struct fpath p = fp(parent, field);
	EACH (q, *m) {
		struct fpath key = fp_key(e->arena, &p, q->key);
		v_resource_name(e, &key, q->key);
		if (str_find_char(q->key, '/') < 0 && !quota_resource(q->key))
			fe_invalid(e, &key, q->key, "must be a standard resource for quota");
		v_resource_quantity(e, &key, q->key, q->value);
	}
}

static const char *const quota_scopes[] = { "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating",
	"VolumeAttributesClass", NULL };

void resourcequota_validate(struct request *r, struct field_errors *e, const void *obj)
{
	const struct core_v1_ResourceQuota *o = obj;
	struct fpath spec = fp(NULL, "spec"), scopes = fp(&spec, "scopes"), selector = fp(&spec, "scopeSelector"), expressions = fp(&selector, "matchExpressions");
	(void)r;
	quota_map(e, &spec, "hard", &o->spec.hard);
	EACH (s, o->spec.scopes)
		if (!v_one_of(*s, quota_scopes))
			fe_invalid_raw(e, &scopes, json_of_list(e->arena, &o->spec.scopes), "unsupported scope");
	bool best = str_list_has(&o->spec.scopes, S("BestEffort")), not_best = str_list_has(&o->spec.scopes, S("NotBestEffort"));
	bool term = str_list_has(&o->spec.scopes, S("Terminating")), not_term = str_list_has(&o->spec.scopes, S("NotTerminating"));
	if ((best && not_best) || (term && not_term))
		fe_invalid_raw(e, &scopes, json_of_list(e->arena, &o->spec.scopes), "conflicting scopes");
	if (best || term || not_term)
		EACH (q, o->spec.hard) {
			bool only_pods = best && !str_eq(q->key, S("pods")) && !str_eq(q->key, S("count/pods"));
			if (only_pods)
				fe_invalid_raw(e, &scopes, json_of_list(e->arena, &o->spec.scopes), "unsupported scope applied to resource");
		}
	for (size_t i = 0; o->spec.scopeSelector && i < o->spec.scopeSelector->matchExpressions.n; i++) {
		const struct core_v1_ScopedResourceSelectorRequirement *q = &o->spec.scopeSelector->matchExpressions.v[i];
		struct fpath at = fp_index(e->arena, &expressions, i), name = fp(&at, "scopeName"), op = fp(&at, "operator"), values = fp(&at, "values");
		struct fpath values_of_all = fp(&expressions, "values");
		if (!v_one_of(q->scopeName, quota_scopes))
			fe_invalid(e, &name, q->scopeName, "unsupported scope");
		if (v_one_of(q->operator, LIST("In", "NotIn"))) {
			if (!q->values.n)
				fe_required(e, &values_of_all, "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector");
		} else if (v_one_of(q->operator, LIST("Exists", "DoesNotExist"))) {
			if (q->values.n)
				fe_invalid_raw(e, &values, json_of_list(e->arena, &q->values), "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector");
		} else {
			fe_invalid(e, &op, q->operator, "not a valid selector operator");
		}
	}
}

void resourcequota_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	const struct core_v1_ResourceQuota *o = obj, *old = was;
	struct fpath spec = fp(NULL, "spec"), status = fp(NULL, "status"), scopes = fp(&spec, "scopes");
	if (t == UPDATE_STATUS) {
		quota_map(e, &status, "hard", &o->status.hard);
		quota_map(e, &status, "used", &o->status.used);
		return;
	}
	resourcequota_validate(r, e, obj);
	bool same = o->spec.scopes.n == old->spec.scopes.n;
	EACH (s, o->spec.scopes)
		same = same && str_list_has(&old->spec.scopes, *s);
	if (!same)
		fe_invalid_raw(e, &scopes, json_of_list(e->arena, &o->spec.scopes), IMMUTABLE);
}

// --- Pod templates, replication controllers ---

void podtemplate_validate(struct request *r, struct field_errors *e, const void *obj)
{
	struct fpath template = fp(NULL, "template");
	struct pod_options o = { .is_pod = false };
	(void)r;
	v_pod_template(e, &template, &((const struct core_v1_PodTemplate *)obj)->template, &o);
}

void podtemplate_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	(void)t, (void)was;
	podtemplate_validate(r, e, obj);
}

void replicationcontroller_validate(struct request *r, struct field_errors *e, const void *obj)
{
	const struct core_v1_ReplicationController *o = obj;
	struct fpath spec = fp(NULL, "spec"), selector = fp(&spec, "selector"), template = fp(&spec, "template"), meta = fp(&template, "metadata"), labels = fp(&meta, "labels"),
		ts = fp(&template, "spec"), restart = fp(&ts, "restartPolicy"), deadline = fp(&ts, "activeDeadlineSeconds"), replicas = fp(&spec, "replicas");
	struct pod_options opts = { .is_pod = false };
	(void)r;
	v_not_negative(e, &spec, "minReadySeconds", o->spec.minReadySeconds);
	if (!o->spec.selector.n)
		fe_required(e, &selector, "");
	if (!o->spec.replicas)
		fe_required(e, &replicas, "");
	else
		v_not_negative(e, &spec, "replicas", *o->spec.replicas);
	if (!o->spec.template) {
		fe_required(e, &template, "");
		return;
	}
	struct selector s = selector_from_map(e->arena, &o->spec.selector);
	if (s.n && !selector_matches(&s, &o->spec.template->metadata.labels))
		fe_invalid_raw(e, &labels, json_of_map(e->arena, &o->spec.template->metadata.labels), "`selector` does not match template `labels`");
	v_pod_template(e, &template, o->spec.template, &opts);
	v_enum(e, &restart, o->spec.template->spec.restartPolicy, LIST("Always"));
	if (o->spec.template->spec.activeDeadlineSeconds)
		fe_forbidden(e, &deadline, "activeDeadlineSeconds in ReplicationController is not Supported");
}

void replicationcontroller_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	const struct core_v1_ReplicationController *o = obj;
	struct fpath status = fp(NULL, "status");
	(void)was;
	if (t != UPDATE_STATUS) {
		replicationcontroller_validate(r, e, obj);
		return;
	}
	v_not_negative(e, &status, "replicas", o->status.replicas);
	v_not_negative(e, &status, "readyReplicas", o->status.readyReplicas);
	v_not_negative(e, &status, "availableReplicas", o->status.availableReplicas);
}
