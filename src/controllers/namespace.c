// Namespaces that are being deleted: all that is in them goes first, pods before the rest, then the namespace itself.
// Rule: upstream pkg/controller/namespace/deletion.
#include <stdlib.h>

#include "base/log.h"
#include "controllers/common.h"
#include "controllers/discovery.h"

#define FINALIZER S("kubernetes")

enum { FINALIZER_ESTIMATE_S = 15, LOOK_AGAIN_S = 2, BEGIN_MS = 200 };

struct namespace
{
	struct manager *m;
	struct informer *namespaces, *pods;
	struct workqueue *queue;
};

// What is left of a namespace's content.
struct remaining {
	struct str_list resources; // "pods. has 2 resource instances"
	struct {
		struct left {
			str finalizer;
			int64_t n;
		} * v;
		size_t n;
	} finalizers;
	struct str_list errors;
	int64_t estimate_s; // 0: nothing is left
	size_t objects;
};

static void namespace_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct namespace *c = ctx;
	// Calls that were let in just before the deletion shall have ended.
	if (obj && object_ref_meta(obj)->deletionTimestamp)
		queue_object_after(c->queue, object_of(obj),
		                   old && object_ref_meta(old)->deletionTimestamp ? 0 : BEGIN_MS);
}

// The last pod is what a namespace mostly waits for.
static void pod_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct namespace *c = ctx;
	if (obj)
		return;
	_cleanup_object_ struct object_ref *ns = informer_get(c->namespaces, S(""), object_ref_meta(old)->namespace);
	if (ns && object_ref_meta(ns)->deletionTimestamp)
		workqueue_add(c->queue, object_ref_meta(ns)->name);
}

static void count_finalizer(struct arena *a, struct remaining *r, str finalizer)
{
	for (size_t i = 0; i < r->finalizers.n; i++)
		if (str_eq(r->finalizers.v[i].finalizer, finalizer)) {
			r->finalizers.v[i].n++;
			return;
		}
	*LIST_ADD(a, &r->finalizers) = (struct left){ finalizer, 1 };
}

static const struct value *list_items(struct manager *m, struct arena *a, const struct discovered *d, str ns,
                                      struct error *err)
{
	const struct value *list = client_raw(m->client, a, "GET", discovered_path(a, d, ns, S("")), S(""), S(""), err);
	const struct value *items = value_get(list, S("items"));
	return list ? value_is(items, V_ARRAY) ? items : value_array(a) : NULL;
}

// The longest grace period that a pod of these still has.
static int64_t pods_estimate(const struct value *items)
{
	int64_t longest = 0;
	for (size_t i = 0; i < items->a.n; i++) {
		int64_t s;
		str phase = value_str(value_path(items->a.v[i], S("status"), S("phase")));
		if (str_eq(phase, S("Succeeded")) || str_eq(phase, S("Failed")))
			continue;
		if (value_to_i64(value_path(items->a.v[i], S("spec"), S("terminationGracePeriodSeconds")), &s))
			longest = MAX(longest, s);
	}
	return longest;
}

static bool delete_items(struct manager *m, struct arena *a, const struct discovered *d, str ns,
                         const struct value *items, struct error *err)
{
	str options = S("{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"propagationPolicy\":\"Background\"}");
	if (discovered_verb(d, S("deletecollection")))
		return client_raw(m->client, a, "DELETE", discovered_path(a, d, ns, S("")), S("application/json"),
		                  options, err) ||
		       err->code == 404 || err->code == 405;
	for (size_t i = 0; i < items->a.n; i++) {
		str name = value_str(value_path(items->a.v[i], S("metadata"), S("name")));
		if (!client_raw(m->client, a, "DELETE", discovered_path(a, d, ns, name), S("application/json"), options,
		                err) &&
		    err->code != 404 && err->code != 405)
			return false;
	}
	return true;
}

static void add_error(struct arena *a, struct remaining *r, const struct error *err)
{
	*LIST_ADD(a, &r->errors) = arena_dup(a, error_str(err));
}

static void delete_resource(struct manager *m, struct arena *a, const struct discovered *d, str ns, struct remaining *r)
{
	struct error err = { 0 };
	if (!discovered_verb(d, S("list")))
		return;
	const struct value *items = list_items(m, a, d, ns, &err);
	if (!items) {
		if (err.code != 404 && err.code != 405)
			add_error(a, r, &err);
		return;
	}
	if (items->a.n == 0)
		return;
	int64_t estimate = str_empty(d->group) && str_eq(d->resource, S("pods")) ? pods_estimate(items) : 0;
	err = (struct error){ 0 };
	if (!delete_items(m, a, d, ns, items, &err)) {
		add_error(a, r, &err);
		return;
	}
	err = (struct error){ 0 };
	items = list_items(m, a, d, ns, &err);
	if (!items) {
		add_error(a, r, &err);
		return;
	}
	if (items->a.n == 0)
		return;
	r->objects += items->a.n;
	*LIST_ADD(a, &r->resources) = arena_printf(a, STR_FMT "." STR_FMT " has %zu resource instances",
	                                           STR_ARG(d->resource), STR_ARG(d->group), items->a.n);
	bool finalizers = false;
	for (size_t i = 0; i < items->a.n; i++) {
		const struct value *f = value_path(items->a.v[i], S("metadata"), S("finalizers"));
		for (size_t k = 0; value_is(f, V_ARRAY) && k < f->a.n; k++) {
			count_finalizer(a, r, value_str(f->a.v[k]));
			finalizers = true;
		}
	}
	if (estimate == 0 && finalizers)
		estimate = FINALIZER_ESTIMATE_S;
	if (estimate == 0) {
		error_set(&err,
		          "unexpected items still remain in namespace: " STR_FMT " for gvr: " STR_FMT "/" STR_FMT
		          ", Resource=" STR_FMT,
		          STR_ARG(ns), STR_ARG(d->group), STR_ARG(d->version), STR_ARG(d->resource));
		add_error(a, r, &err);
		estimate = 1;
	}
	r->estimate_s = MAX(r->estimate_s, estimate);
}

// --- Conditions ---

static str joined(struct arena *a, struct str_list *l)
{
	str all = S("");
	sort_items(l->v, l->n, sizeof(str), str_cmp_qsort);
	for (size_t i = 0; i < l->n; i++)
		all = i ? arena_concat(a, all, S(", "), l->v[i]) : l->v[i];
	return all;
}

// Sets a condition; an empty message means that all is well, and then the good words are said.
static bool set_condition(struct manager *m, struct arena *a, struct core_v1_NamespaceStatus *s, const char *type,
                          const char *bad_reason, str bad_message, const char *good_reason, const char *good_message)
{
	bool bad = bad_message.n > 0;
	struct core_v1_NamespaceCondition want = { .type = str_c(type),
		                                   .status = bad ? S("True") : S("False"),
		                                   .lastTransitionTime = now_time(m),
		                                   .reason = str_c(bad ? bad_reason : good_reason),
		                                   .message = bad ? bad_message : str_c(good_message) };
	for (size_t i = 0; i < s->conditions.n; i++) {
		struct core_v1_NamespaceCondition *have = &s->conditions.v[i];
		if (!str_eq(have->type, want.type))
			continue;
		if (str_eq(have->status, want.status) && str_eq(have->reason, want.reason) &&
		    str_eq(have->message, want.message))
			return false;
		if (str_eq(have->status, want.status))
			want.lastTransitionTime = have->lastTransitionTime;
		*have = want;
		return true;
	}
	*LIST_ADD(a, &s->conditions) = want;
	return true;
}

static void report(struct namespace *c, struct arena *a, struct core_v1_Namespace *ns, struct remaining *r,
                   const struct error *discovery)
{
	str finalizers = S(""), content = S(""), failed = S("");
	if (r->finalizers.n) {
		struct str_list l = { 0 };
		for (size_t i = 0; i < r->finalizers.n; i++)
			*LIST_ADD(a, &l) =
			        arena_printf(a, STR_FMT " in %lld resource instances",
			                     STR_ARG(r->finalizers.v[i].finalizer), (long long)r->finalizers.v[i].n);
		finalizers =
		        arena_concat(a, S("Some content in the namespace has finalizers remaining: "), joined(a, &l));
	}
	if (r->resources.n)
		content = arena_concat(a, S("Some resources are remaining: "), joined(a, &r->resources));
	if (r->errors.n)
		failed = arena_printf(a, "Failed to delete all resource types, %zu remaining: " STR_FMT, r->errors.n,
		                      STR_ARG(joined(a, &r->errors)));
	struct core_v1_NamespaceStatus *s = &ns->status;
	bool changed =
	        set_condition(c->m, a, s, "NamespaceDeletionDiscoveryFailure", "DiscoveryFailed", error_str(discovery),
	                      "ResourcesDiscovered", "All resources successfully discovered");
	changed |= set_condition(c->m, a, s, "NamespaceDeletionGroupVersionParsingFailure", "", S(""),
	                         "ParsedGroupVersions", "All legacy kube types successfully parsed");
	changed |= set_condition(c->m, a, s, "NamespaceDeletionContentFailure", "ContentDeletionFailed", failed,
	                         "ContentDeleted", "All content successfully deleted, may be waiting on finalization");
	changed |= set_condition(c->m, a, s, "NamespaceContentRemaining", "SomeResourcesRemain", content,
	                         "ContentRemoved", "All content successfully removed");
	changed |= set_condition(c->m, a, s, "NamespaceFinalizersRemaining", "SomeFinalizersRemain", finalizers,
	                         "ContentHasNoFinalizers", "All content-preserving finalizers finished");
	struct error err = { 0 };
	const struct core_v1_Namespace *now =
	        changed ? client_update(c->m->client, a, c->m->r.namespaces, "status", ns, &err) : NULL;
	if (now)
		ns->metadata.resourceVersion = now->metadata.resourceVersion;
	else if (changed && err.code != 404 && err.code != 409)
		log_warn("namespace " STR_FMT ": status: %s", STR_ARG(ns->metadata.name), err.text);
}

// --- Reconcile ---

static bool finalize(struct namespace *c, struct arena *a, struct core_v1_Namespace *ns, struct error *err)
{
	for (int try = 0; try < 5; try++) {
		struct str_list kept = { 0 };
		for (size_t i = 0; i < ns->spec.finalizers.n; i++)
			if (!str_eq(ns->spec.finalizers.v[i], FINALIZER))
				*LIST_ADD(a, &kept) = ns->spec.finalizers.v[i];
		ns->spec.finalizers = kept;
		*err = (struct error){ 0 };
		if (client_update(c->m->client, a, c->m->r.namespaces, "finalize", ns, err) || err->code == 404)
			return true;
		if (err->code != 409)
			return false;
		str uid = ns->metadata.uid;
		ns = client_get(c->m->client, a, c->m->r.namespaces, S(""), ns->metadata.name, err);
		if (!ns || !str_eq(ns->metadata.uid, uid))
			return err->code == 404 || ns;
	}
	return false;
}

static bool delete_content(struct namespace *c, struct arena *a, struct core_v1_Namespace *ns, struct remaining *r)
{
	struct discovered_list all;
	struct error discovery = { 0 };
	discover(c->m, a, &all, &discovery);
	if (discovery.code)
		add_error(a, r, &discovery);
	// Pods first: what they use must not go away under them.
	for (int pods = 1; pods >= 0 && r->objects == 0 && r->errors.n == 0; pods--)
		for (size_t i = 0; i < all.n; i++) {
			const struct discovered *d = &all.v[i];
			bool is_pods = str_empty(d->group) && str_eq(d->resource, S("pods"));
			if (d->namespaced && d->preferred && discovered_verb(d, S("delete")) && is_pods == (pods == 1))
				delete_resource(c->m, a, d, ns->metadata.name, r);
		}
	report(c, a, ns, r, &discovery);
	return r->objects == 0 && r->errors.n == 0;
}

static bool reconcile(void *ctx, struct arena *a, str key, struct error *err)
{
	struct namespace *c = ctx;
	if (!held_get(a, c->namespaces, S(""), key))
		return true;
	struct core_v1_Namespace *ns = client_get(c->m->client, a, c->m->r.namespaces, S(""), key, err);
	if (!ns)
		return err->code == 404;
	if (!ns->metadata.deletionTimestamp)
		return true;
	if (!str_eq(ns->status.phase, S("Terminating"))) {
		ns->status.phase = S("Terminating");
		ns = client_update(c->m->client, a, c->m->r.namespaces, "status", ns, err);
		if (!ns)
			return err->code == 404;
	}
	if (ns->spec.finalizers.n == 0)
		return true;
	struct remaining r = { 0 };
	if (delete_content(c, a, ns, &r))
		return finalize(c, a, ns, err);
	if (r.errors.n) {
		error_set(err, STR_FMT, STR_ARG(r.errors.v[0]));
		return false;
	}
	workqueue_add_after(c->queue, key, MIN(r.estimate_s / 2 + 1, (int64_t)LOOK_AGAIN_S) * 1000);
	return true;
}

void *namespace_setup(struct manager *m)
{
	struct namespace *c = ARENA_NEW(m->arena, struct namespace);
	*c = (struct namespace){ .m = m,
		                 .namespaces = manager_informer(m, m->r.namespaces),
		                 .pods = manager_informer(m, m->r.pods),
		                 .queue = manager_queue(m) };
	informer_add_handler(c->namespaces, &(struct informer_handler){ namespace_changed, c });
	informer_add_handler(c->pods, &(struct informer_handler){ pod_changed, c });
	return c;
}

void namespace_run(void *self)
{
	struct namespace *c = self;
	workqueue_run(c->queue, "namespace", (int)c->m->options->concurrent_syncs, reconcile, c);
}
