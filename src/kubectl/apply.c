// kubectl apply, client side: the last applied configuration is kept in an annotation, and a three-way comparison of it,
// the file and the live object makes the patch. With --server-side the server does all that.
#include "json/patch.h"
#include "kubectl/cmd.h"
#include "schema/strategic.h"

#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"

struct value *kc_apply_annotated(struct kctl *k, const struct value *obj, str *text)
{
	struct value *copy = value_clone(k->a, obj), *meta = value_get(copy, S("metadata"));
	if (!value_is(meta, V_OBJECT)) {
		meta = value_object(k->a);
		value_set(k->a, copy, S("metadata"), meta);
	}
	struct value *notes = value_get(meta, S("annotations"));
	if (!value_is(notes, V_OBJECT)) {
		notes = value_object(k->a);
		value_set(k->a, meta, S("annotations"), notes);
	}
	value_del(notes, S(LAST_APPLIED));
	str applied = arena_concat(k->a, json_text(k->a, copy, JSON_SORT | JSON_ESCAPE_HTML), S("\n"));
	value_set(k->a, notes, S(LAST_APPLIED), value_string(k->a, applied));
	if (text)
		*text = applied;
	return copy;
}

// The patch without (or with nothing but) its nulls.
static struct value *nulls(struct arena *a, const struct value *v, bool keep)
{
	if (v->kind != V_OBJECT)
		return (struct value *)v;
	struct value *out = value_object(a);
	for (size_t i = 0; i < v->o.n; i++) {
		struct value *m = v->o.v[i].value;
		if (m->kind == V_OBJECT) {
			m = nulls(a, m, keep);
			if (m->o.n || (!keep && v->o.v[i].value->o.n == 0))
				value_set(a, out, v->o.v[i].key, m);
		} else if ((m->kind == V_NULL) == keep) {
			value_set(a, out, v->o.v[i].key, m);
		}
	}
	return out;
}

static struct value *unite(struct arena *a, struct value *x, const struct value *y)
{
	for (size_t i = 0; i < y->o.n; i++) {
		struct value *mine = value_get(x, y->o.v[i].key);
		if (value_is(mine, V_OBJECT) && value_is(y->o.v[i].value, V_OBJECT))
			unite(a, mine, y->o.v[i].value);
		else
			value_set(a, x, y->o.v[i].key, y->o.v[i].value);
	}
	return x;
}

static struct value *three_way(struct kctl *k, const struct rtype *t, const struct value *original,
                               const struct value *modified, const struct value *current, str *content_type,
                               struct error *err)
{
	if (t->message) {
		*content_type = S("application/strategic-merge-patch+json");
		return strategic_make_three_way(k->a, t->message, original ? original : value_object(k->a), modified,
		                                current, err);
	}
	*content_type = S("application/merge-patch+json");
	struct value *change = nulls(k->a, merge_patch_make(k->a, current, modified), false);
	if (original)
		unite(k->a, change, nulls(k->a, merge_patch_make(k->a, original, modified), true));
	return change;
}

static bool create_it(struct kctl *k, struct target *t, const struct value *modified, struct error *err)
{
	struct value *obj = value_clone(k->a, modified);
	if (!str_eqc(flag_text(k, "dry-run"), "client")) {
		str path = arena_concat(k->a, kc_type_path(k, t->type, t->ns, (str){ 0 }), kc_write_query(k));
		obj = api_json(k, k->a, "POST", path, S(JSON_TYPE), json_text(k->a, modified, JSON_COMPACT), err);
		if (!obj)
			return kc_add_source(err, "creating", t->source);
	}
	return kc_print_done(k, t, obj, "created", err);
}

static bool apply_one(struct kctl *k, struct target *t, struct error *err)
{
	struct value *modified = kc_apply_annotated(k, t->obj, NULL);
	if (!t->name.n)
		return error_set(err,
		                 "error when retrieving current configuration of:\nfrom server for: \"" STR_FMT
		                 "\": resource name may not be empty",
		                 STR_ARG(t->source));
	struct value *current = api_get(k, target_path(k, t), err);
	if (!current) {
		if (error_is(err, "NotFound") && kc_from_server(err))
			return create_it(k, t, modified, err);
		return kc_from_server(err) ? kc_add_source(err, "retrieving current configuration of", t->source)
		                           : false;
	}
	str last = value_str(value_path(current, S("metadata"), S("annotations"), S(LAST_APPLIED)));
	struct value *original = NULL;
	if (last.n)
		original = json_parse(k->a, last, NULL, err);
	else
		kc_warn(k,
		        "resource " STR_FMT " is missing the " LAST_APPLIED
		        " annotation which is required by %s apply. %s apply should only be used on resources "
		        "created declaratively by either %s create --save-config or %s apply. The missing annotation "
		        "will be patched automatically.",
		        STR_ARG(arena_concat(k->a, t->type->resource, S("/"), t->name)), k->program, k->program,
		        k->program, k->program);
	str type;
	struct value *patch = three_way(k, t->type, original, modified, current, &type, err);
	if (!patch)
		return kc_add_source(err, "creating patch with", t->source);
	if (patch->kind == V_OBJECT && patch->o.n == 0)
		return kc_print_done(k, t, current, "unchanged", err);
	if (!str_eqc(flag_text(k, "dry-run"), "client")) {
		str path = arena_concat(k->a, target_path(k, t), kc_write_query(k));
		current = api_json(k, k->a, "PATCH", path, type, json_text(k->a, patch, JSON_COMPACT), err);
		if (!current) {
			if (kc_from_server(err) && !error_is(err, "Invalid"))
				error_wrap(err,
				           "error when applying patch:\n" STR_FMT "\nto:\nResource: \"" STR_FMT
				           ", Resource=" STR_FMT "\", GroupVersionKind: \"" STR_FMT ", Kind=" STR_FMT
				           "\"\nName: \"" STR_FMT "\", Namespace: \"" STR_FMT "\"\nfor: \"" STR_FMT
				           "\"",
				           STR_ARG(json_text(k->a, patch, JSON_SORT | JSON_ESCAPE_HTML)),
				           STR_ARG(kc_api_version(k, t->type)), STR_ARG(t->type->resource),
				           STR_ARG(kc_api_version(k, t->type)), STR_ARG(t->type->kind),
				           STR_ARG(t->name), STR_ARG(t->ns), STR_ARG(t->source));
			return false;
		}
	}
	return kc_print_done(k, t, current, "configured", err);
}

static bool apply_server_side(struct kctl *k, struct target *t, struct error *err)
{
	str manager = flag_set(k, "field-manager") ? flag_text(k, "field-manager") : S("kubectl");
	str path =
	        arena_concat(k->a, target_path(k, t), S("?fieldManager="), manager, S("&fieldValidation=Strict&force="),
	                     flag_bool(k, "force-conflicts") ? S("true") : S("false"),
	                     str_eqc(flag_text(k, "dry-run"), "server") ? S("&dryRun=All") : S(""));
	struct value *obj = api_json(k, k->a, "PATCH", path, S("application/apply-patch+yaml"),
	                             json_text(k->a, t->obj, JSON_COMPACT), err);
	return obj && kc_print_done(k, t, obj, "serverside-applied", err);
}

bool run_apply(struct kctl *k, struct error *err)
{
	struct targets list = { 0 };
	if (k->args.n)
		return kc_usage_error(k, err, "Unexpected args: [" STR_FMT "]",
		                      STR_ARG(kc_join(k->a, k->args.v, k->args.n, S(" "))));
	if (flag_list(k, "filename")->n == 0)
		return error_set(err, "must specify one of -f and -k");
	if (flag_bool(k, "prune"))
		return error_set(err, "--prune is not supported by this client");
	if (!kc_check_dry_run(k, err) || !targets_from_files(k, &list, err))
		return false;
	if (list.n == 0)
		return error_set(err, "no objects passed to apply");
	for (size_t i = 0; i < list.n; i++) {
		struct error why = { 0 };
		if (!(flag_bool(k, "server-side") ? apply_server_side(k, &list.v[i], &why)
		                                  : apply_one(k, &list.v[i], &why)))
			kc_report(k, &why);
	}
	return true;
}
