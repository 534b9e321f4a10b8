// kubectl rollout: status of Deployments, DaemonSets and StatefulSets; history, undo, restart, pause and resume.
#include <stdlib.h>

#include "base/clock.h"
#include "json/patch.h"
#include "kubectl/cmd.h"

#define REVISION "deployment.kubernetes.io/revision"
#define HASH_LABEL "pod-template-hash"

// Reads what the command names; each must be one of the kinds (by resource name).
static bool read_workloads(struct kctl *k, struct targets *list, struct error *err)
{
	if (k->args.n == 0 && flag_list(k, "filename")->n == 0)
		return error_set(err, "required resource not specified");
	return targets_read(k, k->args.v, k->args.n, TARGETS_OBJECTS, list, err);
}

static int64_t number(const struct value *obj, const char *part, const char *name, int64_t otherwise)
{
	return kc_value_i64(value_path(obj, str_c(part), str_c(name)), otherwise);
}

static int64_t revision_of(const struct value *obj)
{
	int64_t r;
	return str_to_i64(value_str(value_path(obj, S("metadata"), S("annotations"), S(REVISION))), &r) ? r : -1;
}

// --- status ---

struct rollout {
	struct kctl *k;
	const struct rtype *type;
	int64_t revision;
	bool watch;
};

static bool deployment_status(struct rollout *r, const struct value *d, str name, bool *done, struct error *err)
{
	long long want = number(d, "spec", "replicas", 1), updated = number(d, "status", "updatedReplicas", 0),
	          all = number(d, "status", "replicas", 0);
	long long available = number(d, "status", "availableReplicas", 0);
	if (r->revision > 0 && r->revision != revision_of(d))
		return error_set(err, "desired revision (%lld) is different from the running revision (%lld)",
		                 (long long)r->revision, (long long)revision_of(d));
	const struct value *conditions = value_path(d, S("status"), S("conditions"));
	if (number(d, "metadata", "generation", 0) > number(d, "status", "observedGeneration", 0)) {
		printf("Waiting for deployment spec update to be observed...\n");
		return true;
	}
	for (size_t i = 0; value_is(conditions, V_ARRAY) && i < conditions->a.n; i++)
		if (str_eqc(value_get_str(conditions->a.v[i], S("type")), "Progressing") &&
		    str_eqc(value_get_str(conditions->a.v[i], S("reason")), "ProgressDeadlineExceeded"))
			return error_set(err, "deployment \"" STR_FMT "\" exceeded its progress deadline",
			                 STR_ARG(name));
	if (updated < want) {
		printf("Waiting for deployment \"" STR_FMT
		       "\" rollout to finish: %lld out of %lld new replicas have been updated...\n",
		       STR_ARG(name), updated, want);
	} else if (all > updated) {
		printf("Waiting for deployment \"" STR_FMT
		       "\" rollout to finish: %lld old replicas are pending termination...\n",
		       STR_ARG(name), all - updated);
	} else if (available < updated) {
		printf("Waiting for deployment \"" STR_FMT
		       "\" rollout to finish: %lld of %lld updated replicas are available...\n",
		       STR_ARG(name), available, updated);
	} else {
		printf("deployment \"" STR_FMT "\" successfully rolled out\n", STR_ARG(name));
		*done = true;
	}
	return true;
}

static bool is_rolling(const struct value *obj, struct error *err)
{
	if (str_eqc(value_str(value_path(obj, S("spec"), S("updateStrategy"), S("type"))), "RollingUpdate"))
		return true;
	return error_set(err, "rollout status is only available for RollingUpdate strategy type");
}

static bool daemonset_status(const struct value *d, str name, bool *done, struct error *err)
{
	long long want = number(d, "status", "desiredNumberScheduled", 0),
	          updated = number(d, "status", "updatedNumberScheduled", 0);
	long long available = number(d, "status", "numberAvailable", 0);
	if (!is_rolling(d, err))
		return false;
	if (number(d, "metadata", "generation", 0) > number(d, "status", "observedGeneration", 0)) {
		printf("Waiting for daemon set spec update to be observed...\n");
	} else if (updated < want) {
		printf("Waiting for daemon set \"" STR_FMT
		       "\" rollout to finish: %lld out of %lld new pods have been updated...\n",
		       STR_ARG(name), updated, want);
	} else if (available < want) {
		printf("Waiting for daemon set \"" STR_FMT
		       "\" rollout to finish: %lld of %lld updated pods are available...\n",
		       STR_ARG(name), available, want);
	} else {
		printf("daemon set \"" STR_FMT "\" successfully rolled out\n", STR_ARG(name));
		*done = true;
	}
	return true;
}

static bool statefulset_status(const struct value *s, bool *done, struct error *err)
{
	long long want = number(s, "spec", "replicas", 1), ready = number(s, "status", "readyReplicas", 0),
	          updated = number(s, "status", "updatedReplicas", 0);
	const struct value *rolling = value_path(s, S("spec"), S("updateStrategy"), S("rollingUpdate"));
	long long partition = kc_value_i64(value_get(rolling, S("partition")), 0);
	str current = value_str(value_path(s, S("status"), S("currentRevision"))),
	    next = value_str(value_path(s, S("status"), S("updateRevision")));
	int64_t seen = number(s, "status", "observedGeneration", 0);
	if (!is_rolling(s, err))
		return false;
	if (seen == 0 || number(s, "metadata", "generation", 0) > seen) {
		printf("Waiting for statefulset spec update to be observed...\n");
	} else if (ready < want) {
		printf("Waiting for %lld pods to be ready...\n", want - ready);
	} else if (rolling && value_get(rolling, S("partition")) && updated < want - partition) {
		printf("Waiting for partitioned roll out to finish: %lld out of %lld new pods have been updated...\n",
		       updated, want - partition);
	} else if (rolling) {
		printf("partitioned roll out complete: %lld new pods have been updated...\n", updated);
		*done = true;
	} else if (!str_eq(current, next)) {
		printf("waiting for statefulset rolling update to complete %lld pods at revision " STR_FMT "...\n",
		       updated, STR_ARG(next));
	} else {
		printf("statefulset rolling update complete %lld pods at revision " STR_FMT "...\n",
		       (long long)number(s, "status", "currentReplicas", 0), STR_ARG(current));
		*done = true;
	}
	return true;
}

static bool on_rollout(void *ctx, struct value *obj, struct error *err)
{
	struct rollout *r = ctx;
	bool done = false, ok;
	if (!obj) {
		error_set(err, "object has been deleted");
		return true;
	}
	str name = value_str(value_path(obj, S("metadata"), S("name")));
	if (str_eqc(r->type->resource, "deployments"))
		ok = deployment_status(r, obj, name, &done, err);
	else if (str_eqc(r->type->resource, "daemonsets"))
		ok = daemonset_status(obj, name, &done, err);
	else
		ok = statefulset_status(obj, &done, err);
	fflush(stdout);
	return !ok || done || !r->watch;
}

bool run_rollout_status(struct kctl *k, struct error *err)
{
	struct targets list = { 0 };
	int64_t timeout = 0, revision = 0;
	if (!flag_duration(k, "timeout", &timeout, err) || !flag_int(k, "revision", &revision, err) ||
	    !read_workloads(k, &list, err))
		return false;
	if (list.n == 0 && !k->failed)
		fprintf(stderr, "No resources found in " STR_FMT " namespace.\n", STR_ARG(k->ns));
	int64_t until = timeout > 0 ? clock_mono(NULL) + timeout : 0;
	for (size_t i = 0; i < list.n; i++) {
		const struct target *t = &list.v[i];
		if (!str_eqc(t->type->group, "apps") || str_eqc(t->type->resource, "replicasets") ||
		    str_eqc(t->type->resource, "controllerrevisions"))
			return error_set(err, "no status viewer has been implemented for " STR_FMT,
			                 STR_ARG(t->type->kind));
		struct rollout r = { .k = k, .type = t->type, .revision = revision, .watch = flag_bool(k, "watch") };
		if (!kc_watch_object(k, t->type, t->ns, t->name, until, on_rollout, &r, err))
			return false;
	}
	return true;
}

// --- history and undo ---

static int by_revision(const void *x, const void *y)
{
	int64_t r = revision_of(*(struct value *const *)x), s = revision_of(*(struct value *const *)y);
	return r < s ? -1 : r > s;
}

// The ReplicaSets of a Deployment that have a revision, oldest first.
static bool replica_sets(struct kctl *k, const struct target *t, struct value ***sets, size_t *n, struct error *err)
{
	const struct rtype *rs = kc_type_of_kind(k, S("apps/v1"), S("ReplicaSet"), err);
	struct value *list;
	if (!str_eqc(t->type->resource, "deployments"))
		return error_set(err, "the history of " STR_FMT " is not supported by this client",
		                 STR_ARG(t->type->resource));
	if (!rs || !kc_list_all(k, rs, t->ns, kc_selector_text(k->a, value_path(t->obj, S("spec"), S("selector"))),
	                        (str){ 0 }, &list, err))
		return false;
	str uid = value_str(value_path(t->obj, S("metadata"), S("uid")));
	struct {
		struct value **v;
		size_t n;
	} owned = { 0 };
	const struct value *items = value_get(list, S("items"));
	for (size_t i = 0; value_is(items, V_ARRAY) && i < items->a.n; i++) {
		const struct value *owners = value_path(items->a.v[i], S("metadata"), S("ownerReferences"));
		bool mine = false;
		for (size_t j = 0; value_is(owners, V_ARRAY) && j < owners->a.n; j++)
			mine = mine || str_eq(value_get_str(owners->a.v[j], S("uid")), uid);
		if (mine && revision_of(items->a.v[i]) >= 0)
			*LIST_ADD(k->a, &owned) = items->a.v[i];
	}
	if (owned.n)
		qsort(owned.v, owned.n, sizeof(*owned.v), by_revision);
	*sets = owned.v;
	*n = owned.n;
	return true;
}

static bool show_history(struct kctl *k, const struct target *t, int64_t revision, struct error *err)
{
	struct value **sets = NULL;
	size_t n = 0;
	if (!replica_sets(k, t, &sets, &n, err))
		return false;
	if (revision == 0) {
		printf(STR_FMT " \n", STR_ARG(target_label(k, t)));
		if (n == 0) {
			printf("No rollout history found.\n");
			return true;
		}
		struct table table;
		kc_table_init(&table);
		table.min_width = 0;
		table.padding = 2;
		kc_table_row(&table);
		kc_table_cell(&table, S("REVISION"));
		kc_table_cell(&table, S("CHANGE-CAUSE"));
		for (size_t i = 0; i < n; i++) {
			str cause = value_str(
			        value_path(sets[i], S("metadata"), S("annotations"), S("kubernetes.io/change-cause")));
			kc_table_row(&table);
			kc_table_cell(&table, arena_printf(k->a, "%lld", (long long)revision_of(sets[i])));
			kc_table_cell(&table, cause.n ? cause : S("<none>"));
		}
		kc_table_flush(&table, stdout);
		kc_table_free(&table);
		putchar('\n');
		return true;
	}
	for (size_t i = 0; i < n; i++) {
		if (revision_of(sets[i]) != revision)
			continue;
		printf(STR_FMT " with revision #%lld\n", STR_ARG(target_label(k, t)), (long long)revision);
		describe_pod_template(k, value_path(sets[i], S("spec"), S("template")));
		putchar('\n');
		return true;
	}
	return error_set(err, "unable to find the specified revision");
}

bool run_rollout_history(struct kctl *k, struct error *err)
{
	struct targets list = { 0 };
	int64_t revision = 0;
	if (!flag_int(k, "revision", &revision, err) || !read_workloads(k, &list, err))
		return false;
	if (revision < 0)
		return error_set(err, "revision must be a positive integer: %lld", (long long)revision);
	for (size_t i = 0; i < list.n; i++) {
		struct error why = { 0 };
		if (!show_history(k, &list.v[i], revision, &why))
			kc_report(k, &why);
	}
	return true;
}

static struct value *without_hash(struct kctl *k, const struct value *template)
{
	struct value *copy = value_clone(k->a, template);
	value_del(value_path(copy, S("metadata"), S("labels")), S(HASH_LABEL));
	return copy;
}

// Annotations that belong to the Deployment itself and not to a revision of it.
static bool annotation_stays(str key)
{
	static const char *const keys[] = {
		"kubectl.kubernetes.io/last-applied-configuration",
		REVISION,
		"deployment.kubernetes.io/revision-history",
		"deployment.kubernetes.io/desired-replicas",
		"deployment.kubernetes.io/max-replicas",
		"deprecated.deployment.rollback.to",
	};
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (str_eqc(key, keys[i]))
			return true;
	return false;
}

static void copy_annotations(struct kctl *k, struct value *to, const struct value *from, bool staying)
{
	const struct value *notes = value_path(from, S("metadata"), S("annotations"));
	for (size_t i = 0; value_is(notes, V_OBJECT) && i < notes->o.n; i++)
		if (annotation_stays(notes->o.v[i].key) == staying)
			value_set(k->a, to, notes->o.v[i].key, notes->o.v[i].value);
}

static struct value *patch_operation(struct kctl *k, const char *path, struct value *v)
{
	struct value *op = value_object(k->a);
	value_set(k->a, op, S("op"), value_string(k->a, S("replace")));
	value_set(k->a, op, S("path"), value_string(k->a, str_c(path)));
	value_set(k->a, op, S("value"), v);
	return op;
}

static bool undo(struct kctl *k, const struct target *t, int64_t to, struct error *err)
{
	struct value **sets = NULL, *chosen = NULL;
	size_t n = 0;
	if (!replica_sets(k, t, &sets, &n, err))
		return false;
	if (to == 0)
		chosen = n > 1 ? sets[n - 2] : NULL;
	for (size_t i = 0; to > 0 && i < n; i++)
		if (revision_of(sets[i]) == to)
			chosen = sets[i];
	if (!chosen && to > 0)
		return error_set(err, "unable to find specified revision %lld in history", (long long)to);
	if (!chosen)
		return error_set(err, "no rollout history found for deployment \"" STR_FMT "\"", STR_ARG(t->name));
	if (kc_value_true(value_path(t->obj, S("spec"), S("paused"))))
		return error_set(err, "you cannot rollback a paused deployment; resume it first with 'kubectl rollout "
		                      "resume' and try again");
	struct value *template = without_hash(k, value_path(chosen, S("spec"), S("template")));
	if (value_equal(template, without_hash(k, value_path(t->obj, S("spec"), S("template")))))
		return kc_print_done(k, t, t->obj,
		                     arena_printf(k->a,
		                                  "skipped rollback (current template already matches revision %lld)",
		                                  (long long)to)
		                             .p,
		                     err);
	struct value *notes = value_object(k->a), *patch = value_array(k->a);
	copy_annotations(k, notes, t->obj, true);
	copy_annotations(k, notes, chosen, false);
	value_append(k->a, patch, patch_operation(k, "/spec/template", template));
	value_append(k->a, patch, patch_operation(k, "/metadata/annotations", notes));
	str path = arena_concat(k->a, target_path(k, t),
	                        str_eqc(flag_text(k, "dry-run"), "server") ? S("?dryRun=All") : S(""));
	struct value *obj = api_json(k, k->a, "PATCH", path, S("application/json-patch+json"),
	                             json_text(k->a, patch, JSON_COMPACT), err);
	return obj ? kc_print_done(k, t, obj, "rolled back", err)
	           : error_wrap(err, "failed restoring revision %lld", (long long)to);
}

bool run_rollout_undo(struct kctl *k, struct error *err)
{
	struct targets list = { 0 };
	int64_t revision = 0;
	if (!flag_int(k, "to-revision", &revision, err) || !kc_check_dry_run(k, err) || !read_workloads(k, &list, err))
		return false;
	for (size_t i = 0; i < list.n; i++) {
		struct error why = { 0 };
		if (!undo(k, &list.v[i], revision, &why))
			kc_report(k, &why);
	}
	return true;
}

// --- restart, pause, resume ---

// "deployments.apps"
static str plural(struct kctl *k, const struct rtype *t)
{
	return t->group.n ? arena_concat(k->a, t->resource, S("."), t->group) : t->resource;
}

static bool patch_all(struct kctl *k, str patch, bool deployments_only, const char *verb, const char *done,
                      bool *paused, struct error *err)
{
	struct targets list = { 0 };
	if (!read_workloads(k, &list, err))
		return false;
	for (size_t i = 0; i < list.n; i++) {
		struct target *t = &list.v[i];
		struct error why = { 0 };
		bool is_paused = kc_value_true(value_path(t->obj, S("spec"), S("paused"))), ok = true;
		if (deployments_only && !str_eqc(t->type->resource, "deployments"))
			ok = error_set(&why, STR_FMT " \"" STR_FMT "\" %s is not supported", STR_ARG(t->type->resource),
			               STR_ARG(t->name), verb);
		else if (paused && is_paused == *paused)
			ok = error_set(&why, STR_FMT " \"" STR_FMT "\" is %s", STR_ARG(plural(k, t->type)),
			               STR_ARG(t->name), *paused ? "already paused" : "not paused");
		else if (!paused && is_paused)
			ok = error_set(&why, "can't restart paused deployment (run rollout resume first)");
		if (ok) {
			str path = arena_concat(k->a, target_path(k, t), kc_write_query(k));
			struct value *obj = api_json(k, k->a, "PATCH", path,
			                             S("application/strategic-merge-patch+json"), patch, &why);
			ok = obj && kc_print_done(k, t, obj, done, &why);
		}
		if (!ok)
			kc_report(k, &why);
	}
	return true;
}

bool run_rollout_restart(struct kctl *k, struct error *err)
{
	str now = time_format(k->a, clock_wall(NULL) / NS_PER_SEC, 0, 0);
	str patch = arena_printf(k->a,
	                         "{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"kubectl.kubernetes.io/"
	                         "restartedAt\":\"" STR_FMT "\"}}}}}",
	                         STR_ARG(now));
	return patch_all(k, patch, false, "restarting", "restarted", NULL, err);
}

bool run_rollout_pause(struct kctl *k, struct error *err)
{
	bool paused = true;
	return patch_all(k, S("{\"spec\":{\"paused\":true}}"), true, "pausing", "paused", &paused, err);
}

bool run_rollout_resume(struct kctl *k, struct error *err)
{
	bool paused = false;
	return patch_all(k, S("{\"spec\":{\"paused\":null}}"), true, "resuming", "resumed", &paused, err);
}
