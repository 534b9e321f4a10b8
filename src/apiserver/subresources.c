// Subresources that are not a part of the object itself: binding, scale, eviction, token. Those that lead to a kubelet are in kubelet.c.
#include "apiserver/apiserver.h"

#include "json/patch.h"
#include "object/meta.h"
#include "object/names.h"
#include "schema/strategic.h"

static void refuse(struct call *c, const char *what)
{
	struct api_status s = { .code = 501, .reason = S("NotImplemented"), .message = arena_printf(c->r.arena, "%s is not available in this version", what) };
	reply_status(c, &s);
}

static void reply_created(struct call *c, int code, struct kind *k, void *obj)
{
	(void)code, (void)k, (void)obj;
	struct api_status s = { .code = 201 };
	struct meta_v1_Status *m = status_message(c->r.arena, &s);
	m->status = S("Success");
	m->code = 201;
	c->accept.as = AS_OBJECT;
	reply_message(c, 201, meta_v1_Status_desc, m);
}

// --- Binding: the scheduler says which node ---------------------------------------------------------------------------------

static void *bind(struct call *c, struct kind *k, void *current, struct cache_entry *entry, struct api_status *s)
{
	struct arena *a = c->r.arena;
	struct core_v1_Pod *pod = current;
	const struct core_v1_Binding *b = update_ctx(c);
	(void)entry;
	if (b->metadata.uid.n && !str_eq(b->metadata.uid, pod->metadata.uid)) {
		status_conflict(a, s, S(""), S("pods/binding"), pod->metadata.name,
		                arena_concat(a, S("Precondition failed: UID in precondition: "), b->metadata.uid, S(", UID in object meta: "), pod->metadata.uid));
		return NULL;
	}
	if (pod->metadata.deletionTimestamp) {
		status_conflict(a, s, S(""), S("pods/binding"), pod->metadata.name,
		                arena_concat(a, S("pod "), pod->metadata.name, S(" is being deleted, cannot be assigned to a host")));
		return NULL;
	}
	if (pod->spec.nodeName.n) {
		status_conflict(a, s, S(""), S("pods/binding"), pod->metadata.name,
		                arena_concat(a, S("pod "), pod->metadata.name, S(" is already assigned to node \""), pod->spec.nodeName, S("\"")));
		return NULL;
	}
	if (pod->spec.schedulingGates.n) {
		status_conflict(a, s, S(""), S("pods/binding"), pod->metadata.name,
		                arena_concat(a, S("pod "), pod->metadata.name, S(" has non-empty .spec.schedulingGates")));
		return NULL;
	}
	pod->spec.nodeName = b->target.name;
	for (size_t i = 0; i < b->metadata.annotations.n; i++)
		str_map_set(a, &pod->metadata.annotations, b->metadata.annotations.v[i].key, b->metadata.annotations.v[i].value);
	for (size_t i = 0; i < b->metadata.labels.n; i++)
		str_map_set(a, &pod->metadata.labels, b->metadata.labels.v[i].key, b->metadata.labels.v[i].value);
	struct core_v1_PodCondition *cond = NULL;
	for (size_t i = 0; i < pod->status.conditions.n; i++)
		if (str_eq(pod->status.conditions.v[i].type, S("PodScheduled")))
			cond = &pod->status.conditions.v[i];
	if (!cond)
		cond = LIST_ADD(a, &pod->status.conditions);
	if (!str_eq(cond->status, S("True")))
		cond->lastTransitionTime = api_time_now(clock_wall(c->r.clock));
	cond->type = S("PodScheduled");
	cond->status = S("True");
	cond->reason = cond->message = S("");
	(void)k;
	return pod;
}

static void do_binding(struct call *c, bool of_pod)
{
	struct api_status s = { 0 };
	void *body;
	struct kind *pods = kind_find(c->s, S(""), S("v1"), S("pods"));
	if (!negotiate(c, false, &s) || !write_options(c, &s) || !body_decode(c, core_v1_Binding_desc, S("v1"), S("Binding"), &body, &s)) {
		reply_status(c, &s);
		return;
	}
	struct core_v1_Binding *b = body;
	str name = of_pod ? c->r.info.name : b->metadata.name;
	struct field_errors e = { .arena = c->r.arena };
	struct fpath target = fp(NULL, "target"), kind = fp(&target, "kind"), target_name = fp(&target, "name");
	static const str kinds[] = { S_INIT("Node"), S_INIT("<empty>") };
	if (b->target.kind.n && !str_eq(b->target.kind, kinds[0]))
		fe_not_supported(&e, &kind, b->target.kind, kinds, 2);
	if (!b->target.name.n)
		fe_required(&e, &target_name, "");
	if (of_pod && b->metadata.name.n && !str_eq(b->metadata.name, name))
		status_bad_request(c->r.arena, &s, "name in URL does not match name in Binding object");
	else if (b->metadata.namespace.n && !str_eq(b->metadata.namespace, c->r.info.ns))
		status_bad_request(c->r.arena, &s, "the namespace of the provided object does not match the namespace sent on the request");
	else if (e.n)
		status_invalid(c->r.arena, &s, S(""), S("Binding"), S(""), &e);
	if (s.code) {
		reply_status(c, &s);
		return;
	}
	struct update u = { .transform = bind, .ns = c->r.info.ns, .name = name, .target = UPDATE_SUBRESOURCE, .reply = reply_created, .ctx = b, .internal = true };
	update_object(c, pods, &u);
}

void do_pod_binding(struct call *c) { do_binding(c, false); }

// --- Scale ----------------------------------------------------------------------------------------------------------------

struct scalable { int32_t **replicas; int32_t now; str selector; };

static bool scalable_of(struct arena *a, const struct kind *k, void *obj, struct scalable *out)
{
	struct selector sel;
	struct error err = { 0 };
	if (str_eq(k->key_prefix, S("apps/deployments"))) {
		struct apps_v1_Deployment *o = obj;
		*out = (struct scalable){ &o->spec.replicas, o->status.replicas, S("") };
		if (o->spec.selector && selector_from_label_selector(a, o->spec.selector, &sel, &err))
			out->selector = selector_text(a, &sel);
	} else if (str_eq(k->key_prefix, S("apps/replicasets"))) {
		struct apps_v1_ReplicaSet *o = obj;
		*out = (struct scalable){ &o->spec.replicas, o->status.replicas, S("") };
		if (o->spec.selector && selector_from_label_selector(a, o->spec.selector, &sel, &err))
			out->selector = selector_text(a, &sel);
	} else if (str_eq(k->key_prefix, S("apps/statefulsets"))) {
		struct apps_v1_StatefulSet *o = obj;
		*out = (struct scalable){ &o->spec.replicas, o->status.replicas, S("") };
		if (o->spec.selector && selector_from_label_selector(a, o->spec.selector, &sel, &err))
			out->selector = selector_text(a, &sel);
	} else if (str_eq(k->key_prefix, S("core/replicationcontrollers"))) {
		struct core_v1_ReplicationController *o = obj;
		*out = (struct scalable){ &o->spec.replicas, o->status.replicas, S("") };
		sel = selector_from_map(a, &o->spec.selector);
		out->selector = selector_text(a, &sel);
	} else {
		return false;
	}
	return true;
}

static struct autoscaling_v1_Scale *scale_of(struct arena *a, const struct kind *k, void *obj)
{
	struct scalable x;
	if (!scalable_of(a, k, obj, &x))
		return NULL;
	const struct meta_v1_ObjectMeta *m = meta_of(k, obj);
	struct autoscaling_v1_Scale *s = ARENA_NEW(a, struct autoscaling_v1_Scale);
	s->apiVersion = S("autoscaling/v1");
	s->kind = S("Scale");
	s->metadata = (struct meta_v1_ObjectMeta){ .name = m->name, .namespace = m->namespace, .uid = m->uid, .resourceVersion = m->resourceVersion,
		                                   .creationTimestamp = m->creationTimestamp };
	s->spec.replicas = *x.replicas ? **x.replicas : 0;
	s->status.replicas = x.now;
	s->status.selector = x.selector;
	return s;
}

static void reply_scale(struct call *c, int code, struct kind *k, void *obj)
{
	c->accept.as = AS_OBJECT;
	reply_message(c, code, autoscaling_v1_Scale_desc, scale_of(c->r.arena, k, obj));
}

static void *rescale(struct call *c, struct kind *k, void *current, struct cache_entry *entry, struct api_status *s)
{
	struct arena *a = c->r.arena;
	struct error err = { 0 };
	struct meta_v1_ObjectMeta *m = meta_of(k, current);
	m->resourceVersion = arena_printf(a, "%lld", (long long)entry->revision);
	struct autoscaling_v1_Scale *now = scale_of(a, k, current), *want = NULL;
	if (str_eq(c->r.info.verb, S("update"))) {
		void *body;
		if (!body_decode(c, autoscaling_v1_Scale_desc, S("autoscaling/v1"), S("Scale"), &body, s))
			return NULL;
		want = body;
	} else {
		str type = http_header(&c->r.in->headers, S("content-type")), rest;
		str_split(type, ';', &type, &rest);
		struct value *patch = json_parse(a, arena_dup(a, c->r.in->body), NULL, &err);
		if (!patch) {
			status_bad_request(a, s, "error decoding patch: %s", err.text);
			return NULL;
		}
		struct value *doc = schema_to_value(a, autoscaling_v1_Scale_desc, now), *result;
		if (str_eq(type, S("application/json-patch+json")))
			result = json_patch_apply(a, doc, patch, &err);
		else if (str_eq(type, S("application/merge-patch+json")))
			result = merge_patch_apply(a, doc, patch);
		else
			result = strategic_apply(a, autoscaling_v1_Scale_desc, doc, patch, &err);
		want = result ? schema_from_value(a, autoscaling_v1_Scale_desc, result, NULL, &err) : NULL;
		if (!want) {
			status_from_error(a, s, &err);
			return NULL;
		}
	}
	struct field_errors e = { .arena = a };
	struct fpath spec = fp(NULL, "spec"), replicas = fp(&spec, "replicas");
	if (want->spec.replicas < 0)
		fe_invalid_int(&e, &replicas, want->spec.replicas, "must be greater than or equal to 0");
	if (e.n) {
		status_invalid(a, s, S("autoscaling"), S("Scale"), m->name, &e);
		return NULL;
	}
	if (!str_eq(want->metadata.name, m->name)) {
		status_bad_request(a, s, "the name of the object (" STR_FMT ") does not match the name on the URL (" STR_FMT ")", STR_ARG(want->metadata.name), STR_ARG(m->name));
		return NULL;
	}
	struct scalable x;
	scalable_of(a, k, current, &x);
	*x.replicas = ARENA_NEW(a, int32_t);
	**x.replicas = want->spec.replicas;
	m->resourceVersion = want->metadata.resourceVersion;
	if (want->metadata.uid.n && !str_eq(want->metadata.uid, m->uid)) {
		status_conflict(a, s, k->group, k->resource, m->name, arena_concat(a, S("Precondition failed: UID in precondition: "), want->metadata.uid, S(", UID in object meta: "), m->uid));
		return NULL;
	}
	return current;
}

static void do_scale(struct call *c)
{
	struct api_status s = { 0 };
	struct kind *k = c->kind;
	if (!negotiate(c, false, &s)) {
		reply_status(c, &s);
		return;
	}
	if (str_eq(c->r.info.verb, S("get"))) {
		struct error err = { 0 };
		struct cache_entry *e = cache_get(k->cache, c->r.info.ns, c->r.info.name);
		if (!e) {
			status_not_found(c->r.arena, &s, k->group, k->resource, c->r.info.name);
			reply_status(c, &s);
			return;
		}
		void *obj = entry_decode(c->r.arena, k, e, &err);
		if (obj)
			reply_scale(c, 200, k, obj);
		cache_entry_unref(e);
		return;
	}
	if (!write_options(c, &s)) {
		reply_status(c, &s);
		return;
	}
	struct update u = { .transform = rescale, .ns = c->r.info.ns, .name = c->r.info.name, .target = UPDATE_SPEC, .reply = reply_scale };
	update_object(c, k, &u);
}

// --- Eviction ---------------------------------------------------------------------------------------------------------------

struct eviction { struct call *c; const struct meta_v1_DeleteOptions *o; struct kind *pods, *budgets; str budget; int64_t revision; struct store_result result; struct buf json; int attempts; };

static void evicted(struct call *c, const struct api_status *s)
{
	if (c->over)
		return;
	if (s->code)
		reply_status(c, s);
	else
		reply_created(c, 201, NULL, NULL);
}

struct budget_search { struct call *c; const struct core_v1_Pod *pod; struct policy_v1_PodDisruptionBudget *found; size_t n; };

static bool match_budget(const void *obj, void *ctx)
{
	struct budget_search *x = ctx;
	const struct policy_v1_PodDisruptionBudget *b = obj;
	struct selector sel;
	struct error err = { 0 };
	if (!b->spec.selector || !selector_from_label_selector(x->c->r.arena, b->spec.selector, &sel, &err) || !selector_matches(&sel, &x->pod->metadata.labels))
		return true;
	x->found = (struct policy_v1_PodDisruptionBudget *)(uintptr_t)b;
	x->n++;
	return true;
}

static void note_eviction(struct call *c, void *obj)
{
	struct core_v1_Pod *pod = obj;
	struct core_v1_PodCondition *cond = NULL;
	for (size_t i = 0; i < pod->status.conditions.n; i++)
		if (str_eq(pod->status.conditions.v[i].type, S("DisruptionTarget")))
			cond = &pod->status.conditions.v[i];
	if (!cond)
		cond = LIST_ADD(c->r.arena, &pod->status.conditions);
	if (!str_eq(cond->status, S("True")))
		cond->lastTransitionTime = api_time_now(clock_wall(c->r.clock));
	cond->type = S("DisruptionTarget");
	cond->status = S("True");
	cond->reason = S("EvictionByEvictionAPI");
	cond->message = S("Eviction API: evicting");
}

static void try_evict(struct eviction *x);

static void budget_written(void *ctx)
{
	struct eviction *x = ctx;
	struct call *c = x->c;
	struct api_status s = { 0 };
	if (x->result.ok) {
		delete_object(c, x->pods, c->r.info.ns, c->r.info.name, x->o, note_eviction, evicted);
	} else if (x->result.err.code) {
		status_from_error(c->r.arena, &s, &x->result.err);
		evicted(c, &s);
	} else if (++x->attempts < 20) {
		try_evict(x);
	} else {
		s = (struct api_status){ .code = 429, .reason = S("TooManyRequests"), .message = S("couldn't update the disruption budget due to too many conflicts"), .retry_after = 10 };
		evicted(c, &s);
	}
	call_release(c);
}

static void budget_done(const struct store_result *r, void *ctx)
{
	struct eviction *x = ctx;
	x->result = *r;
	http_loop_post(x->c->loop, budget_written, x);
}

static void eviction_free(void *ctx) { buf_free(&((struct eviction *)ctx)->json); }

static void try_evict(struct eviction *x)
{
	struct call *c = x->c;
	struct arena *a = c->r.arena;
	struct api_status s = { 0 };
	const struct core_v1_Pod *pod = registry_get(&c->r, S(""), S("pods"), c->r.info.ns, c->r.info.name);
	if (!pod) {
		status_not_found(a, &s, S(""), S("pods"), c->r.info.name);
		reply_status(c, &s);
		return;
	}
	struct budget_search f = { .c = c, .pod = pod };
	bool free_to_go = pod_is_terminal(pod) || str_eq(pod->status.phase, S("Pending")) || pod->metadata.deletionTimestamp;
	if (!free_to_go)
		registry_each(&c->r, S("policy"), S("poddisruptionbudgets"), c->r.info.ns, match_budget, &f);
	if (f.n > 1) {
		s = (struct api_status){ .code = 500, .message = S("This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.") };
		reply_status(c, &s);
		return;
	}
	if (f.n == 0) {
		delete_object(c, x->pods, c->r.info.ns, c->r.info.name, x->o, note_eviction, evicted);
		return;
	}
	struct policy_v1_PodDisruptionBudget *b = f.found;
	bool always = b->spec.unhealthyPodEvictionPolicy && str_eq(*b->spec.unhealthyPodEvictionPolicy, S("AlwaysAllow"));
	if (!pod_is_ready(pod) && (always || (b->status.currentHealthy >= b->status.desiredHealthy && b->status.desiredHealthy > 0))) {
		delete_object(c, x->pods, c->r.info.ns, c->r.info.name, x->o, note_eviction, evicted);
		return;
	}
	if (b->status.observedGeneration < b->metadata.generation) {
		s = (struct api_status){ .code = 429, .reason = S("TooManyRequests"), .message = S("Cannot evict pod as it would violate the pod's disruption budget."), .retry_after = 10 };
		*LIST_ADD(a, &s.causes) = (struct status_cause){ .reason = S("DisruptionBudget"), .message = arena_printf(a, "The disruption budget " STR_FMT " is still being processed by the server.", STR_ARG(b->metadata.name)) };
		reply_status(c, &s);
		return;
	}
	if (b->status.disruptionsAllowed <= 0) {
		s = (struct api_status){ .code = 429, .reason = S("TooManyRequests"), .message = S("Cannot evict pod as it would violate the pod's disruption budget.") };
		*LIST_ADD(a, &s.causes) = (struct status_cause){ .reason = S("DisruptionBudget"),
			                                         .message = arena_printf(a, "The disruption budget " STR_FMT " needs %d healthy pods and has %d currently", STR_ARG(b->metadata.name),
			                                                                 b->status.desiredHealthy, b->status.currentHealthy) };
		reply_status(c, &s);
		return;
	}
	if (c->r.dry_run) {
		delete_object(c, x->pods, c->r.info.ns, c->r.info.name, x->o, note_eviction, evicted);
		return;
	}
	// The budget is charged before the pod goes; its controller settles it later.
	struct cache_entry *e = cache_get(x->budgets->cache, c->r.info.ns, b->metadata.name);
	if (!e) {
		delete_object(c, x->pods, c->r.info.ns, c->r.info.name, x->o, note_eviction, evicted);
		return;
	}
	b->status.disruptionsAllowed--;
	__typeof__(b->status.disruptedPods.v[0]) *d = LIST_ADD(a, &b->status.disruptedPods);
	d->key = pod->metadata.name;
	d->value = api_time_now(clock_wall(c->r.clock));
	buf_clear(&x->json);
	encode_stored(&x->json, x->budgets, b);
	struct store_op op = { .kind = STORE_PUT, .key = storage_key(a, x->budgets, c->r.info.ns, b->metadata.name), .value = buf_str(&x->json), .if_mod_revision = e->revision };
	cache_entry_unref(e);
	call_hold(c);
	store_commit(c->s->store, &op, 1, budget_done, x);
}

static void do_eviction(struct call *c)
{
	struct api_status s = { 0 };
	struct arena *a = c->r.arena;
	void *body;
	if (!negotiate(c, false, &s) || !write_options(c, &s) || !body_decode(c, policy_v1_Eviction_desc, S("policy/v1"), S("Eviction"), &body, &s)) {
		reply_status(c, &s);
		return;
	}
	struct policy_v1_Eviction *ev = body;
	if (ev->metadata.name.n && !str_eq(ev->metadata.name, c->r.info.name)) {
		status_bad_request(a, &s, "name in URL does not match name in Eviction object");
		reply_status(c, &s);
		return;
	}
	struct admission ad = { &c->r, ADMIT_CREATE, c->kind->desc, policy_v1_Eviction_desc, ev, NULL };
	if (!admission_mutate(&ad, &s) || !admission_validate(&ad, &s)) {
		reply_status(c, &s);
		return;
	}
	struct eviction *x = ARENA_NEW(a, struct eviction);
	arena_on_free(a, eviction_free, x);
	x->c = c;
	x->o = ev->deleteOptions ? ev->deleteOptions : ARENA_NEW(a, struct meta_v1_DeleteOptions);
	for (size_t i = 0; i < x->o->dryRun.n; i++)
		c->r.dry_run |= str_eq(x->o->dryRun.v[i], S("All"));
	x->pods = kind_stored(c->s, S(""), S("pods"));
	x->budgets = kind_stored(c->s, S("policy"), S("poddisruptionbudgets"));
	try_evict(x);
}

// --- Tokens -----------------------------------------------------------------------------------------------------------------

static void do_token(struct call *c)
{
	struct api_status s = { 0 };
	void *body;
	if (!negotiate(c, false, &s) || !write_options(c, &s) ||
	    !body_decode(c, authentication_v1_TokenRequest_desc, S("authentication.k8s.io/v1"), S("TokenRequest"), &body, &s)) {
		reply_status(c, &s);
		return;
	}
	struct authentication_v1_TokenRequest *t = body;
	struct kind k = { .message = authentication_v1_TokenRequest_desc, .storage_message = authentication_v1_TokenRequest_desc, .api_version = S("authentication.k8s.io/v1"),
		          .strategy = c->kind->strategy };
	if (!t->spec.expirationSeconds) {
		t->spec.expirationSeconds = ARENA_NEW(c->r.arena, int64_t);
		*t->spec.expirationSeconds = 3600;
	}
	managed_update(&c->r, &k, t, NULL, S("token"));
	struct admission ad = { &c->r, ADMIT_CREATE, c->kind->desc, authentication_v1_TokenRequest_desc, t, NULL };
	if (!admission_mutate(&ad, &s) || !admission_validate(&ad, &s) || !token_request_create(&c->r, t, &s)) {
		reply_status(c, &s);
		return;
	}
	t->kind = S("TokenRequest");
	t->apiVersion = S("authentication.k8s.io/v1");
	reply_message(c, 201, authentication_v1_TokenRequest_desc, t);
}

bool do_subresource(struct call *c)
{
	str sub = c->r.info.subresource;
	bool pods = str_eq(c->kind->key_prefix, S("core/pods"));
	if (str_eq(sub, S("status")) || str_eq(sub, S("approval")) || str_eq(sub, S("finalize")) || str_eq(sub, S("ephemeralcontainers")) || str_eq(sub, S("resize")))
		return false;
	if (pods && str_eq(sub, S("binding")))
		do_binding(c, true);
	else if (str_eq(sub, S("scale")))
		do_scale(c);
	else if (pods && str_eq(sub, S("eviction")))
		do_eviction(c);
	else if (str_eq(sub, S("token")))
		do_token(c);
	else if (pods && str_eq(sub, S("log")))
		do_pod_log(c);
	else if (pods && (str_eq(sub, S("exec")) || str_eq(sub, S("attach")) || str_eq(sub, S("portforward"))))
		do_pod_stream(c);
	else if (str_eq(sub, S("proxy"))) {
		struct cache_entry *e = cache_get(c->kind->cache, c->r.info.ns, c->r.info.name);
		struct api_status s;
		if (e) {
			cache_entry_unref(e);
			refuse(c, "proxying to pods, services and nodes");
		} else {
			status_not_found(c->r.arena, &s, c->kind->group, c->kind->resource, c->r.info.name);
			reply_status(c, &s);
		}
	} else {
		refuse(c, arena_cstr(c->r.arena, sub));
	}
	return true;
}
