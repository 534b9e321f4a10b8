#include "base/clock.h"
#include "kubectl/cmd.h"

struct deleted {
	struct target target;
	str uid;
};

static bool gone(void *ctx, struct value *obj, struct error *err)
{
	const struct deleted *d = ctx;
	return !obj || (d->uid.n && !str_eq(value_str(value_path(obj, S("metadata"), S("uid"))), d->uid));
}

bool kc_wait_deleted(struct kctl *k, const struct target *t, str uid, int64_t until, struct error *err)
{
	struct deleted d = { *t, uid };
	if (kc_watch_object(k, t->type, t->ns, t->name, until, gone, &d, err))
		return true;
	if (error_is(err, "Timeout") && !kc_from_server(err))
		return error_api(err, 504, "Timeout", "timed out waiting for the condition on " STR_FMT "/" STR_FMT,
		                 STR_ARG(t->type->resource), STR_ARG(t->name));
	return false;
}

static bool options_body(struct kctl *k, int64_t *grace, str *body, struct error *err)
{
	bool force = flag_bool(k, "force"), given = flag_set(k, "grace-period");
	if (!flag_int(k, "grace-period", grace, err))
		return false;
	if (flag_bool(k, "now")) {
		if (*grace != -1)
			return error_set(err, "--now and --grace-period cannot be specified together");
		*grace = 1;
	}
	if (given && *grace == 0 && !force)
		*grace = 1; // 0 without --force is taken for a slip
	if (force && *grace < 0)
		*grace = 0;
	if (force && *grace > 0)
		return error_set(err, "--force and --grace-period greater than 0 cannot be specified together");
	str cascade = flag_text(k, "cascade");
	static const struct {
		const char *flag, *policy;
	} policies[] = {
		{ "background", "Background" }, { "true", "Background" }, { "foreground", "Foreground" },
		{ "orphan", "Orphan" },         { "false", "Orphan" },
	};
	const char *policy = NULL;
	for (size_t i = 0; i < ARRAY_LEN(policies) && !policy; i++)
		if (str_eqc(cascade, policies[i].flag))
			policy = policies[i].policy;
	if (!policy)
		return error_set(err,
		                 "invalid cascade value (" STR_FMT
		                 "). Must be \"background\", \"foreground\", or \"orphan\"",
		                 STR_ARG(cascade));
	str seconds = *grace >= 0 ? arena_printf(k->a, "\"gracePeriodSeconds\":%lld,", (long long)*grace) : S("");
	*body = arena_printf(
	        k->a, "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\"," STR_FMT "\"propagationPolicy\":\"%s\"}",
	        STR_ARG(seconds), policy);
	return true;
}

static void print_deleted(struct kctl *k, const struct target *t, bool forced)
{
	if (str_eqc(flag_text(k, "output"), "name")) {
		printf(STR_FMT "\n", STR_ARG(target_label(k, t)));
		return;
	}
	str dry = flag_text(k, "dry-run");
	printf(STR_FMT " \"" STR_FMT "\" %sdeleted", STR_ARG(kc_type_name(k, t->type)), STR_ARG(t->name),
	       forced ? "force " : "");
	if (t->type->namespaced)
		printf(" from " STR_FMT " namespace", STR_ARG(t->ns));
	printf("%s\n", str_eqc(dry, "client") ? " (dry run)" : str_eqc(dry, "server") ? " (server dry run)" : "");
	fflush(stdout);
}

bool run_delete(struct kctl *k, struct error *err)
{
	struct targets list = { 0 };
	struct {
		struct deleted *v;
		size_t n;
	} done = { 0 };
	str body = { 0 }, format = flag_text(k, "output"), dry = flag_text(k, "dry-run");
	int64_t grace = -1, timeout = 0;
	bool many = flag_bool(k, "all") || flag_text(k, "selector").n || flag_text(k, "field-selector").n,
	     warned = false;
	bool ignore = flag_bool(k, "ignore-not-found") || (many && !flag_set(k, "ignore-not-found"));
	if (format.n && !str_eqc(format, "name"))
		return error_set(err, "unexpected -o output mode: " STR_FMT ". We only support '-o name'",
		                 STR_ARG(format));
	if (flag_bool(k, "all") && flag_text(k, "selector").n)
		return error_set(err, "cannot set --all and --selector at the same time");
	if (flag_bool(k, "all") && flag_text(k, "field-selector").n)
		return error_set(err, "cannot set --all and --field-selector at the same time");
	if (!kc_check_dry_run(k, err) || !options_body(k, &grace, &body, err) ||
	    !flag_duration(k, "timeout", &timeout, err))
		return false;
	if (!targets_read(k, k->args.v, k->args.n, TARGETS_NAMED, &list, err))
		return false;
	if (grace == 0 && flag_bool(k, "force"))
		kc_warn(k, "Immediate deletion does not wait for confirmation that the running resource has been "
		           "terminated. "
		           "The resource may continue to run on the cluster indefinitely.");
	for (size_t i = 0; i < list.n; i++) {
		struct target *t = &list.v[i];
		struct error why = { 0 };
		if (k->ns_given && !flag_bool(k, "all-namespaces") && !t->type->namespaced && !warned) {
			kc_warn(k, "deleting cluster-scoped resources, not scoped to the provided namespace");
			warned = true;
		}
		str uid = { 0 };
		if (!str_eqc(dry, "client")) {
			str path = arena_concat(k->a, target_path(k, t),
			                        str_eqc(dry, "server") ? S("?dryRun=All") : S(""));
			struct value *answer = api_json(k, k->a, "DELETE", path, S(JSON_TYPE), body, &why);
			if (!answer) {
				if (error_is(&why, "NotFound") && ignore)
					continue;
				if (kc_from_server(&why))
					kc_add_source(&why, "deleting", t->source);
				kc_report(k, &why);
				continue;
			}
			uid = value_str(value_path(answer, S("metadata"), S("uid")));
			if (str_eqc(value_get_str(answer, S("kind")), "Status"))
				uid = value_str(value_path(answer, S("details"), S("uid")));
		}
		print_deleted(k, t, grace == 0);
		*LIST_ADD(k->a, &done) = (struct deleted){ *t, uid };
	}
	if (done.n == 0 && !k->failed) {
		if (!(ignore && !many))
			printf("No resources found\n");
		return true;
	}
	if (!flag_bool(k, "wait") || (dry.n && !str_eqc(dry, "none")))
		return true;
	int64_t until = timeout > 0 ? clock_mono(NULL) + timeout : 0;
	for (size_t i = 0; i < done.n; i++) {
		struct error why = { 0 };
		if (!kc_wait_deleted(k, &done.v[i].target, done.v[i].uid, until, &why) &&
		    !error_is(&why, "Forbidden") && !error_is(&why, "MethodNotAllowed"))
			kc_report(k, &why);
	}
	return true;
}
