// Validation of Jobs and CronJobs. Rule: pkg/apis/batch/validation, robfig/cron.
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "apiserver/kinds/valid.h"
#include "apiserver/kinds/validation.h"

enum {
	MOST_RULES = 20, MOST_EXIT_CODES = 255, MOST_CONDITIONS = 20, MOST_INDEX_TEXT = 64 * 1024, INDEXED_PARALLELISM = 100000, MOST_FAILED_INDEXES = 100000,
	SOFT_COMPLETIONS = 100000, HIGH_PARALLELISM = 10000, HIGH_FAILED = 10000
};

static bool indexed(const struct batch_v1_JobSpec *s)
{
	return s->completionMode && str_eq(*s->completionMode, S("Indexed"));
}

static bool atoi_ok(str s, int64_t *out)
{
	return s.n && s.n < 19 && str_to_i64(s, out);
}

// "1,3-5": the number of indexes, or why the text is wrong.
static bool index_list(struct arena *a, str text, int64_t completions, int64_t *total, str *why)
{
	int64_t last = -1;
	*total = 0;
	if (!text.n)
		return true;
	for (bool more = true; more;) {
		str part, rest, low, high;
		more = str_split(text, ',', &part, &rest);
		text = rest;
		bool range = str_split(part, '-', &low, &high);
		int64_t x, y;
		if (range && str_find_char(high, '-') >= 0)
			return *why = arena_concat(a, S("the fragment "), go_quote(a, part), S(" violates the requirement that an index interval can have at most two parts separated by '-'")), false;
		if (!atoi_ok(low, &x))
			return *why = arena_concat(a, S("cannot convert string to integer for index: "), go_quote(a, low)), false;
		if (x >= completions)
			return *why = arena_concat(a, S("too large index: "), go_quote(a, low)), false;
		y = x;
		if (range) {
			if (!atoi_ok(high, &y))
				return *why = arena_concat(a, S("cannot convert string to integer for index: "), go_quote(a, high)), false;
			if (y >= completions)
				return *why = arena_concat(a, S("too large index: "), go_quote(a, high)), false;
			if (x >= y)
				return *why = arena_printf(a, "non-increasing order, previous: %lld, current: %lld", (long long)x, (long long)y), false;
		}
		if (last >= 0 && x <= last)
			return *why = arena_printf(a, "non-increasing order, previous: %lld, current: %lld", (long long)last, (long long)x), false;
		*total += y - x + 1;
		last = y;
	}
	return true;
}

static void exit_codes(struct field_errors *e, const struct fpath *p, const struct batch_v1_PodFailurePolicyOnExitCodesRequirement *c, const struct core_v1_PodSpec *pod)
{
	struct fpath op = fp(p, "operator"), name = fp(p, "containerName"), values = fp(p, "values");
	bool ordered = true, found = false;
	if (!c->operator.n)
		fe_required(e, &op, "valid values: [\"In\" \"NotIn\"]");
	else
		v_enum(e, &op, c->operator, LIST("In", "NotIn"));
	if (c->containerName) {
		EACH (x, pod->containers)
			found = found || str_eq(x->name, *c->containerName);
		EACH (x, pod->initContainers)
			found = found || str_eq(x->name, *c->containerName);
		if (!found)
			fe_invalid(e, &name, *c->containerName, "must be one of the container or initContainer names in the pod template");
	}
	str all = S("[");
	EACH (v, c->values)
		all = arena_concat(e->arena, all, v == c->values.v ? S("") : S(","), arena_printf(e->arena, "%d", *v));
	all = c->values.v ? arena_concat(e->arena, all, S("]")) : S("null");
	if (!c->values.n)
		fe_invalid_raw(e, &values, all, "at least one value is required");
	else if (c->values.n > MOST_EXIT_CODES)
		fe_too_many(e, &values, c->values.n, MOST_EXIT_CODES);
	EACH (v, c->values) {
		struct fpath at = fp_index(e->arena, &values, INDEX(v, c->values));
		if (str_eq(c->operator, S("In")) && *v == 0)
			fe_invalid_int(e, &at, 0, "must not be 0 for the In operator");
		for (size_t i = 0; i < INDEX(v, c->values) && INDEX(v, c->values) <= MOST_EXIT_CODES; i++)
			if (c->values.v[i] == *v) {
				fe_duplicate(e, &at, S(""));
				e->v[e->n - 1].bad_value = arena_printf(e->arena, "%d", *v);
				break;
			}
		if (v > c->values.v && v[-1] > *v)
			ordered = false;
	}
	if (!ordered)
		fe_invalid_raw(e, &values, all, "must be ordered");
}

// Upstream leaves the value out of these.
static void without_value(struct field_errors *e, const struct fpath *p, const char *text)
{
	fe_invalid_raw(e, p, S(""), "%s", text);
}

static void failure_policy(struct field_errors *e, const struct fpath *p, const struct batch_v1_JobSpec *s)
{
	struct fpath rules = fp(p, "rules");
	if (s->podFailurePolicy->rules.n > MOST_RULES)
		fe_too_many(e, &rules, s->podFailurePolicy->rules.n, MOST_RULES);
	EACH (x, s->podFailurePolicy->rules) {
		struct fpath at = fp_index(e->arena, &rules, INDEX(x, s->podFailurePolicy->rules)), action = fp(&at, "action"), codes = fp(&at, "onExitCodes"),
			conditions = fp(&at, "onPodConditions");
		if (!x->action.n)
			fe_required(e, &action, "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]");
		else if (str_eq(x->action, S("FailIndex"))) {
			if (!s->backoffLimitPerIndex)
				fe_invalid(e, &action, x->action, "requires the backoffLimitPerIndex to be set");
		} else {
			v_enum(e, &action, x->action, LIST("Count", "FailIndex", "FailJob", "Ignore"));
		}
		if (x->onExitCodes)
			exit_codes(e, &codes, x->onExitCodes, &s->template.spec);
		if (x->onPodConditions.n > MOST_CONDITIONS)
			fe_too_many(e, &conditions, x->onPodConditions.n, MOST_CONDITIONS);
		EACH (c, x->onPodConditions) {
			struct fpath each = fp_index(e->arena, &conditions, INDEX(c, x->onPodConditions)), type = fp(&each, "type"), status = fp(&each, "status");
			v_qualified(e, &type, c->type);
			if (!c->status.n)
				fe_required(e, &status, "valid values: [\"False\" \"True\" \"Unknown\"]");
			else
				v_enum(e, &status, c->status, LIST("False", "True", "Unknown"));
		}
		if (x->onExitCodes && x->onPodConditions.n)
			without_value(e, &at, "specifying both OnExitCodes and OnPodConditions is not supported");
		if (!x->onExitCodes && !x->onPodConditions.n)
			without_value(e, &at, "specifying one of OnExitCodes and OnPodConditions is required");
	}
}

static void success_policy(struct field_errors *e, const struct fpath *p, const struct batch_v1_JobSpec *s)
{
	struct fpath rules = fp(p, "rules");
	const struct batch_v1_SuccessPolicyRule_list *list = &s->successPolicy->rules;
	int64_t completions = s->completions ? *s->completions : 0;
	if (!list->n)
		fe_required(e, &rules, "at least one rules must be specified when the successPolicy is specified");
	if (list->n > MOST_RULES)
		fe_too_many(e, &rules, list->n, MOST_RULES);
	EACH (x, *list) {
		struct fpath at = fp_index(e->arena, &rules, INDEX(x, *list)), indexes = fp(&at, "succeededIndexes"), count = fp(&at, "succeededCount");
		int64_t total = 0;
		str why;
		if (!x->succeededCount && !x->succeededIndexes)
			fe_required(e, &at, "at least one of succeededCount or succeededIndexes must be specified");
		if (x->succeededIndexes) {
			if (x->succeededIndexes->n > MOST_INDEX_TEXT)
				fe_too_long(e, &indexes, MOST_INDEX_TEXT);
			else if (!index_list(e->arena, *x->succeededIndexes, completions, &total, &why))
				fe_invalid(e, &indexes, *x->succeededIndexes, "error parsing succeededIndexes: " STR_FMT, STR_ARG(why));
		}
		if (x->succeededCount) {
			v_not_negative(e, &at, "succeededCount", *x->succeededCount);
			if (*x->succeededCount > completions)
				fe_invalid_int(e, &count, *x->succeededCount, "must be less than or equal to %lld (the number of specified completions)", (long long)completions);
			if (x->succeededIndexes && *x->succeededCount > total)
				fe_invalid_int(e, &count, *x->succeededCount, "must be less than or equal to %lld (the number of indexes in the specified succeededIndexes field)", (long long)total);
		}
	}
}

static void numbers(struct field_errors *e, const struct fpath *p, const struct batch_v1_JobSpec *s)
{
	struct fpath per_index = fp(p, "backoffLimitPerIndex");
	if (s->parallelism)
		v_not_negative(e, p, "parallelism", *s->parallelism);
	if (s->completions)
		v_not_negative(e, p, "completions", *s->completions);
	if (s->activeDeadlineSeconds)
		v_not_negative(e, p, "activeDeadlineSeconds", *s->activeDeadlineSeconds);
	if (s->backoffLimit)
		v_not_negative(e, p, "backoffLimit", *s->backoffLimit);
	if (s->ttlSecondsAfterFinished)
		v_not_negative(e, p, "ttlSecondsAfterFinished", *s->ttlSecondsAfterFinished);
	if (s->backoffLimitPerIndex)
		v_not_negative(e, p, "backoffLimitPerIndex", *s->backoffLimitPerIndex);
	if (s->maxFailedIndexes) {
		v_not_negative(e, p, "maxFailedIndexes", *s->maxFailedIndexes);
		if (!s->backoffLimitPerIndex)
			fe_required(e, &per_index, "when maxFailedIndexes is specified");
	}
}

static void completion_mode(struct field_errors *e, const struct fpath *p, const struct batch_v1_JobSpec *s)
{
	struct fpath mode = fp(p, "completionMode"), completions = fp(p, "completions"), parallelism = fp(p, "parallelism"), failed = fp(p, "maxFailedIndexes"),
		per_index = fp(p, "backoffLimitPerIndex");
	if (s->completionMode)
		v_enum(e, &mode, *s->completionMode, LIST("NonIndexed", "Indexed"));
	if (indexed(s)) {
		if (!s->completions)
			fe_required(e, &completions, "when completion mode is Indexed");
		if (s->parallelism && *s->parallelism > INDEXED_PARALLELISM)
			fe_invalid_int(e, &parallelism, *s->parallelism, "must be less than or equal to %d when completion mode is Indexed", INDEXED_PARALLELISM);
		if (s->completions && s->maxFailedIndexes && *s->maxFailedIndexes > *s->completions)
			fe_invalid_int(e, &failed, *s->maxFailedIndexes, "must be less than or equal to completions");
		if (s->maxFailedIndexes && *s->maxFailedIndexes > MOST_FAILED_INDEXES)
			fe_invalid_int(e, &failed, *s->maxFailedIndexes, "must be less than or equal to %d", MOST_FAILED_INDEXES);
		if (s->completions && *s->completions > SOFT_COMPLETIONS && s->backoffLimitPerIndex) {
			if (!s->maxFailedIndexes)
				fe_required(e, &failed, "must be specified when completions is above 100000");
			if (s->parallelism && *s->parallelism > HIGH_PARALLELISM)
				fe_invalid_int(e, &parallelism, *s->parallelism, "must be less than or equal to %d when completions are above %d and used with backoff limit per index",
				               HIGH_PARALLELISM, SOFT_COMPLETIONS);
			if (s->maxFailedIndexes && *s->maxFailedIndexes > HIGH_FAILED)
				fe_invalid_int(e, &failed, *s->maxFailedIndexes, "must be less than or equal to %d when completions are above %d and used with backoff limit per index",
				               HIGH_FAILED, SOFT_COMPLETIONS);
		}
	} else if (!s->completionMode || str_eq(*s->completionMode, S("NonIndexed"))) {
		if (s->backoffLimitPerIndex)
			fe_invalid_int(e, &per_index, *s->backoffLimitPerIndex, "requires indexed completion mode");
		if (s->maxFailedIndexes)
			fe_invalid_int(e, &failed, *s->maxFailedIndexes, "requires indexed completion mode");
	}
}

static void managed_by(struct field_errors *e, const struct fpath *p, str s)
{
	str host, path;
	bool split = str_split(s, '/', &host, &path);
	if (!split || !host.n || !path.n)
		fe_invalid(e, p, s, "must be a domain-prefixed path (such as \"acme.io/foo\")");
	else
		v_dns_subdomain(e, p, host);
	if (s.n > 63)
		fe_too_long(e, p, 63);
}

// What a Job's spec and a CronJob's template share.
static void job_spec(struct field_errors *e, const struct fpath *p, const struct batch_v1_JobSpec *s, const struct core_v1_PodSpec *old)
{
	struct fpath failure = fp(p, "podFailurePolicy"), success = fp(p, "successPolicy"), replacement = fp(p, "podReplacementPolicy"), managed = fp(p, "managedBy"),
		template = fp(p, "template"), ts = fp(&template, "spec"), restart = fp(&ts, "restartPolicy");
	struct pod_options opts = { .old = old };
	numbers(e, p, s);
	if (s->managedBy)
		managed_by(e, &managed, *s->managedBy);
	completion_mode(e, p, s);
	if (s->podFailurePolicy)
		failure_policy(e, &failure, s);
	if (s->successPolicy && !indexed(s))
		fe_invalid_raw(e, &success, json_of(e->arena, batch_v1_SuccessPolicy_desc, s->successPolicy), "requires indexed completion mode");
	else if (s->successPolicy)
		success_policy(e, &success, s);
	if (s->podReplacementPolicy) {
		if (s->podFailurePolicy)
			v_enum(e, &replacement, *s->podReplacementPolicy, LIST("Failed"));
		else
			v_enum(e, &replacement, *s->podReplacementPolicy, LIST("Failed", "TerminatingOrFailed"));
	}
	v_pod_template(e, &template, &s->template, &opts);
	str policy = s->template.spec.restartPolicy;
	if (!policy.n || str_eq(policy, S("Always")))
		fe_required(e, &restart, "valid values: \"OnFailure\", \"Never\"");
	else if (!v_one_of(policy, LIST("OnFailure", "Never")))
		v_enum(e, &restart, policy, LIST("OnFailure", "Never"));
	else if (s->podFailurePolicy && !str_eq(policy, S("Never")))
		fe_invalid(e, &restart, policy, "only \"Never\" is supported when podFailurePolicy is specified");
}

// --- Jobs ---

static bool selects(struct arena *a, const struct meta_v1_LabelSelector *s, const struct str_map *labels, bool *ok)
{
	struct selector made;
	struct error err = { 0 };
	*ok = true;
	if (!s)
		return false;
	if (!selector_from_label_selector(a, s, &made, &err))
		return *ok = false;
	return selector_matches(&made, labels);
}

static void has_label(struct field_errors *e, const struct meta_v1_ObjectMeta *m, const char *key, str want)
{
	struct fpath p = fp(NULL, "spec.template.metadata"), labels = fp(&p, "labels"), at = fp_key(e->arena, &labels, str_c(key));
	str have;
	if (!str_map_find(&m->labels, str_c(key), &have))
		fe_required(e, &labels, arena_cstr(e->arena, arena_concat(e->arena, S("must be '"), want, S("'"))));
	else if (!str_eq(have, want))
		fe_invalid_raw(e, &at, json_of_map(e->arena, &m->labels), "must be '" STR_FMT "'", STR_ARG(want));
}

static void generated_selector(struct field_errors *e, const struct batch_v1_Job *j)
{
	struct fpath spec = fp(NULL, "spec"), selector = fp(&spec, "selector");
	if ((j->spec.manualSelector && *j->spec.manualSelector) || !j->spec.selector)
		return;
	const struct meta_v1_ObjectMeta *m = &j->spec.template.metadata;
	static const struct { const char *key; bool uid; } keys[] = {
		{ "controller-uid", true }, { "job-name", false }, { "batch.kubernetes.io/controller-uid", true }, { "batch.kubernetes.io/job-name", false } };
	struct str_map want = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		str value = keys[i].uid ? j->metadata.uid : j->metadata.name;
		has_label(e, m, keys[i].key, value);
		str_map_set(e->arena, &want, str_c(keys[i].key), value);
	}
	bool ok;
	if (!selects(e->arena, j->spec.selector, &want, &ok) && ok)
		fe_invalid_raw(e, &selector, json_of(e->arena, meta_v1_LabelSelector_desc, j->spec.selector), "`selector` not auto-generated");
}

static void whole_job_spec(struct field_errors *e, const struct batch_v1_JobSpec *s, const struct core_v1_PodSpec *old)
{
	struct fpath spec = fp(NULL, "spec"), selector = fp(&spec, "selector"), labels = fp(&spec, "template.metadata.labels");
	bool ok;
	job_spec(e, &spec, s, old);
	if (!s->selector)
		fe_required(e, &selector, "");
	else
		v_label_selector(e, &selector, s->selector);
	if (!selects(e->arena, s->selector, &s->template.metadata.labels, &ok) && ok)
		fe_invalid_raw(e, &labels, json_of_map(e->arena, &s->template.metadata.labels), "`selector` does not match template `labels`");
}

void job_validate(struct request *r, struct field_errors *e, const void *obj)
{
	const struct batch_v1_Job *o = obj;
	struct fpath meta = fp(NULL, "metadata"), name = fp(&meta, "name");
	(void)r;
	generated_selector(e, o);
	whole_job_spec(e, &o->spec, NULL);
	if (indexed(&o->spec) && o->spec.completions && *o->spec.completions > 0) {
		str host = arena_printf(e->arena, STR_FMT "-%d", STR_ARG(o->metadata.name), *o->spec.completions - 1);
		if (!is_dns1123_label(host))
			fe_invalid(e, &name, o->metadata.name, "will not able to create pod with invalid DNS label: " STR_FMT, STR_ARG(host));
	}
}

static bool has_condition(const struct batch_v1_Job *j, const char *type)
{
	EACH (c, j->status.conditions)
		if (str_eq(c->type, str_c(type)) && str_eq(c->status, S("True")))
			return true;
	return false;
}

static void job_status(struct field_errors *e, const struct batch_v1_Job *j, const struct batch_v1_Job *old)
{
	struct fpath status = fp(NULL, "status"), conditions = fp(&status, "conditions"), failed = fp(&status, "failed"), succeeded = fp(&status, "succeeded");
	const struct batch_v1_JobStatus *s = &j->status;
	v_not_negative(e, &status, "active", s->active);
	v_not_negative(e, &status, "succeeded", s->succeeded);
	v_not_negative(e, &status, "failed", s->failed);
	if (s->ready)
		v_not_negative(e, &status, "ready", *s->ready);
	if (s->terminating)
		v_not_negative(e, &status, "terminating", *s->terminating);
	static const char *const terminal[] = { "Failed", "Complete", "FailureTarget" };
	for (size_t i = 0; i < ARRAY_LEN(terminal); i++)
		if (has_condition(old, terminal[i]) && !has_condition(j, terminal[i]))
			fe_invalid_raw(e, &conditions, S(""), "cannot disable the terminal %s=True condition", terminal[i]);
	if (has_condition(j, "Failed") && has_condition(j, "Complete"))
		fe_invalid_raw(e, &conditions, S(""), "cannot set Complete=True and Failed=true conditions");
	if (s->failed < old->status.failed)
		fe_invalid_int(e, &failed, s->failed, "cannot decrease the failed counter");
	if (s->succeeded < old->status.succeeded && !has_condition(j, "Suspended") && !(indexed(&j->spec) && j->spec.completions && old->spec.completions))
		fe_invalid_int(e, &succeeded, s->succeeded, "cannot decrease the succeeded counter");
}

// A suspended job's pods may be sent elsewhere before they start.
static void template_update(struct field_errors *e, const struct batch_v1_Job *o, const struct batch_v1_Job *old)
{
	struct fpath spec = fp(NULL, "spec"), template = fp(&spec, "template");
	struct core_v1_PodTemplateSpec was = old->spec.template;
	const struct core_v1_PodTemplateSpec *now = &o->spec.template;
	bool suspended = old->spec.suspend && *old->spec.suspend;
	if (suspended && !old->status.startTime) {
		struct core_v1_Affinity *mixed = ARENA_NEW(e->arena, struct core_v1_Affinity);
		if (was.spec.affinity)
			*mixed = *was.spec.affinity;
		mixed->nodeAffinity = now->spec.affinity ? now->spec.affinity->nodeAffinity : NULL;
		was.spec.affinity = mixed->nodeAffinity || mixed->podAffinity || mixed->podAntiAffinity || now->spec.affinity ? mixed : NULL;
		was.spec.nodeSelector = now->spec.nodeSelector;
		was.spec.tolerations = now->spec.tolerations;
		was.spec.schedulingGates = now->spec.schedulingGates;
		was.metadata.annotations = now->metadata.annotations;
		was.metadata.labels = now->metadata.labels;
	}
	v_immutable(e, &template, core_v1_PodTemplateSpec_desc, now, &was);
}

static bool same_int(const int32_t *x, const int32_t *y) { return x && y ? *x == *y : x == y; }
static str int_text(struct arena *a, const int32_t *x) { return x ? arena_printf(a, "%d", *x) : S("null"); }

static void str_ptr_immutable(struct field_errors *e, const struct fpath *p, const str *now, const str *was)
{
	if (!same_str_ptr(now, was))
		fe_invalid_raw(e, p, now ? go_quote(e->arena, *now) : S("null"), IMMUTABLE);
}

void job_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	const struct batch_v1_Job *o = obj, *old = was;
	struct fpath spec = fp(NULL, "spec"), completions = fp(&spec, "completions"), selector = fp(&spec, "selector"), mode = fp(&spec, "completionMode"),
		failure = fp(&spec, "podFailurePolicy"), per_index = fp(&spec, "backoffLimitPerIndex"), managed = fp(&spec, "managedBy"), success = fp(&spec, "successPolicy");
	(void)r;
	if (t == UPDATE_STATUS) {
		job_status(e, o, old);
		return;
	}
	whole_job_spec(e, &o->spec, &old->spec.template.spec);
	if (!same_int(o->spec.completions, old->spec.completions)) {
		if (!indexed(&o->spec))
			fe_invalid_raw(e, &completions, int_text(e->arena, o->spec.completions), IMMUTABLE);
		else if (o->spec.completions && (!o->spec.parallelism || *o->spec.completions != *o->spec.parallelism))
			fe_invalid_int(e, &completions, *o->spec.completions, "can only be modified in tandem with spec.parallelism");
	}
	v_immutable(e, &selector, meta_v1_LabelSelector_desc, o->spec.selector, old->spec.selector);
	template_update(e, o, old);
	str_ptr_immutable(e, &mode, o->spec.completionMode, old->spec.completionMode);
	v_immutable(e, &failure, batch_v1_PodFailurePolicy_desc, o->spec.podFailurePolicy, old->spec.podFailurePolicy);
	if (!same_int(o->spec.backoffLimitPerIndex, old->spec.backoffLimitPerIndex))
		fe_invalid_raw(e, &per_index, int_text(e->arena, o->spec.backoffLimitPerIndex), IMMUTABLE);
	str_ptr_immutable(e, &managed, o->spec.managedBy, old->spec.managedBy);
	v_immutable(e, &success, batch_v1_SuccessPolicy_desc, o->spec.successPolicy, old->spec.successPolicy);
}

// --- CronJobs ---

struct cron_field { int low, high; const char *names; };

static bool cron_number(struct arena *a, str s, const struct cron_field *f, int64_t *out, str *why)
{
	if (f->names && s.n == 3)
		for (int i = 0; f->names[3 * i]; i++)
			if (str_eq_nocase(s, (str){ f->names + 3 * i, 3 }))
				return *out = f->low + i, true;
	str digits = s;
	bool sign = digits.n && (digits.p[0] == '-' || digits.p[0] == '+');
	if (sign)
		digits = str_sub(digits, 1, digits.n - 1);
	if (!atoi_ok(digits, out) || digits.p[0] < '0' || digits.p[0] > '9')
		return *why = arena_concat(a, S("failed to parse int from "), s, S(": strconv.Atoi: parsing "), go_quote(a, s), S(": invalid syntax")), false;
	if (sign && s.p[0] == '-' && *out)
		return *why = arena_printf(a, "negative number (-%lld) not allowed: " STR_FMT, (long long)*out, STR_ARG(s)), false;
	return true;
}

static bool cron_range(struct arena *a, str text, const struct cron_field *f, str *why)
{
	str range, step_text, low, high, extra;
	int64_t start = f->low, end = f->high, step = 1;
	bool has_step = str_split(text, '/', &range, &step_text), has_high = str_split(range, '-', &low, &high);
	if (!str_eq(low, S("*")) && !str_eq(low, S("?"))) {
		if (!cron_number(a, low, f, &start, why))
			return false;
		end = start;
		if (has_high) {
			if (str_split(high, '-', &low, &extra))
				return *why = arena_concat(a, S("too many hyphens: "), text), false;
			if (!cron_number(a, high, f, &end, why))
				return false;
		}
	}
	if (has_step) {
		if (str_split(step_text, '/', &low, &extra))
			return *why = arena_concat(a, S("too many slashes: "), text), false;
		if (!cron_number(a, step_text, &(struct cron_field){ 0 }, &step, why))
			return false;
		if (!has_high)
			end = f->high;
	}
	if (start < f->low)
		return *why = arena_printf(a, "beginning of range (%lld) below minimum (%d): " STR_FMT, (long long)start, f->low, STR_ARG(text)), false;
	if (end > f->high)
		return *why = arena_printf(a, "end of range (%lld) above maximum (%d): " STR_FMT, (long long)end, f->high, STR_ARG(text)), false;
	if (start > end)
		return *why = arena_printf(a, "beginning of range (%lld) beyond end of range (%lld): " STR_FMT, (long long)start, (long long)end, STR_ARG(text)), false;
	if (!step)
		return *why = arena_concat(a, S("step of range should be a positive number: "), text), false;
	return true;
}

static bool cron_ok(struct arena *a, str s, str *why)
{
	static const struct cron_field fields[] = { { 0, 59, NULL }, { 0, 23, NULL }, { 1, 31, NULL }, { 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec" }, { 0, 6, "sunmontuewedthufrisat" } };
	str rest;
	if (str_has_prefix(s, S("TZ=")) || str_has_prefix(s, S("CRON_TZ="))) {
		if (!str_split(s, ' ', &rest, &s))
			return *why = S("provided bad location"), false;
		s = str_trim(s);
	}
	if (str_has_prefix(s, S("@"))) {
		if (v_one_of(s, LIST("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")) || str_has_prefix(s, S("@every ")))
			return true;
		return *why = arena_concat(a, S("unrecognized descriptor: "), s), false;
	}
	struct str_list words = { 0 };
	while ((s = str_trim(s)).n) {
		size_t n = 0;
		while (n < s.n && s.p[n] != ' ' && s.p[n] != '\t' && s.p[n] != '\n' && s.p[n] != '\r')
			n++;
		*LIST_ADD(a, &words) = str_sub(s, 0, n);
		s = str_from(s, n);
	}
	if (words.n != ARRAY_LEN(fields))
		return *why = arena_printf(a, "expected exactly 5 fields, found %zu: [" STR_FMT "]", words.n, STR_ARG(str_list_join(a, &words, " "))), false;
	for (size_t i = 0; i < words.n; i++) {
		str list = words.v[i], part;
		for (bool more = true; more;) {
			more = str_split(list, ',', &part, &rest);
			list = rest;
			if (part.n && !cron_range(a, part, &fields[i], why))
				return false;
		}
	}
	return true;
}

static void schedule(struct field_errors *e, const struct fpath *p, str s, bool may_have_tz, bool has_zone)
{
	str why;
	bool tz = str_find(s, S("TZ")) >= 0;
	if (!cron_ok(e->arena, s, &why))
		fe_invalid(e, p, s, STR_FMT, STR_ARG(why));
	if (may_have_tz && tz && has_zone)
		fe_invalid(e, p, s, "cannot use both timeZone field and TZ or CRON_TZ in schedule");
	else if (!may_have_tz && tz)
		fe_invalid(e, p, s, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
}

static bool zone_exists(struct arena *a, str zone)
{
	struct stat st;
	if (v_one_of(zone, LIST("UTC", "Local")))
		return true;
	if (stat("/usr/share/zoneinfo", &st) != 0)
		return true; // nothing to compare with
	return stat(arena_cstr(a, arena_concat(a, S("/usr/share/zoneinfo/"), zone)), &st) == 0 && S_ISREG(st.st_mode);
}

static void time_zone(struct field_errors *e, const struct fpath *p, str zone)
{
	if (!zone.n) {
		fe_invalid(e, p, zone, "timeZone must be nil or non-empty string");
		return;
	}
	str text = zone, part, rest;
	for (bool more = true; more;) {
		more = str_split(text, '/', &part, &rest);
		text = rest;
		bool ok = part.n && part.n <= 14 && part.p[0] != '-' && !v_one_of(part, LIST(".", ".."));
		for (size_t i = 0; i < part.n; i++) {
			char c = part.p[i];
			ok = ok && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_' || c == '+');
		}
		if (!ok) {
			fe_invalid(e, p, zone, "unknown time zone " STR_FMT, STR_ARG(zone));
			return;
		}
	}
	if (str_eq_nocase(zone, S("Local")))
		fe_invalid(e, p, zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
	if (!zone_exists(e->arena, zone))
		fe_invalid(e, p, zone, "unknown time zone " STR_FMT, STR_ARG(zone));
}

static void cronjob_spec(struct field_errors *e, const struct batch_v1_CronJobSpec *s, const struct batch_v1_CronJobSpec *old)
{
	struct fpath p = fp(NULL, "spec"), when = fp(&p, "schedule"), zone = fp(&p, "timeZone"), policy = fp(&p, "concurrencyPolicy"), template = fp(&p, "jobTemplate"),
		ts = fp(&template, "spec"), selector = fp(&ts, "selector"), manual = fp(&ts, "manualSelector");
	if (!s->schedule.n)
		fe_required(e, &when, "");
	else
		schedule(e, &when, s->schedule, old && str_find(old->schedule, S("TZ")) >= 0, s->timeZone != NULL);
	if (s->startingDeadlineSeconds)
		v_not_negative(e, &p, "startingDeadlineSeconds", *s->startingDeadlineSeconds);
	if (s->timeZone && (!old || !same_str_ptr(s->timeZone, old->timeZone)))
		time_zone(e, &zone, *s->timeZone);
	v_enum_required(e, &policy, s->concurrencyPolicy, LIST("Allow", "Forbid", "Replace"));
	job_spec(e, &ts, &s->jobTemplate.spec, old ? &old->jobTemplate.spec.template.spec : NULL);
	if (s->jobTemplate.spec.selector)
		fe_invalid_raw(e, &selector, json_of(e->arena, meta_v1_LabelSelector_desc, s->jobTemplate.spec.selector), "`selector` will be auto-generated");
	if (s->jobTemplate.spec.manualSelector && *s->jobTemplate.spec.manualSelector)
		v_not_supported_raw(e, &manual, S("true"), LIST("nil", "false"));
	if (s->successfulJobsHistoryLimit)
		v_not_negative(e, &p, "successfulJobsHistoryLimit", *s->successfulJobsHistoryLimit);
	if (s->failedJobsHistoryLimit)
		v_not_negative(e, &p, "failedJobsHistoryLimit", *s->failedJobsHistoryLimit);
}

void cronjob_validate(struct request *r, struct field_errors *e, const void *obj)
{
	const struct batch_v1_CronJob *o = obj;
	struct fpath meta = fp(NULL, "metadata"), name = fp(&meta, "name");
	(void)r;
	cronjob_spec(e, &o->spec, NULL);
	if (o->metadata.name.n > 52)
		fe_invalid(e, &name, o->metadata.name, "must be no more than 52 characters");
}

void cronjob_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *was)
{
	(void)r;
	if (t != UPDATE_STATUS)
		cronjob_spec(e, &((const struct batch_v1_CronJob *)obj)->spec, &((const struct batch_v1_CronJob *)was)->spec);
}
