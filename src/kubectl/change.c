// Commands that change a part of an object: label, annotate, set image, patch, scale.
#include <stdlib.h>

#include "base/clock.h"
#include "base/io.h"
#include "kubectl/cmd.h"

enum { MAX_FILE = 3 << 20 };

static struct value *send_patch(struct kctl *k, const struct target *t, str subresource, str type, str patch,
                                struct error *err)
{
	str path =
	        arena_concat(k->a, target_path(k, t), subresource.n ? S("/") : S(""), subresource, kc_write_query(k));
	return api_json(k, k->a, "PATCH", path, type, patch, err);
}

// Arguments from the first that looks like a change (a=b, a-) on are changes.
static size_t split_args(const struct kctl *k)
{
	for (size_t i = 0; i < k->args.n; i++) {
		str arg = k->args.v[i];
		if (str_find_char(arg, '=') > 0 || (i > 0 && str_has_suffix(arg, S("-"))))
			return i;
	}
	return k->args.n;
}

// --- label and annotate ---

struct changes {
	struct value *set; // key: text
	struct str_list remove;
};

static bool parse_changes(struct kctl *k, const char *what, size_t from, struct changes *c, struct error *err)
{
	c->set = value_object(k->a);
	for (size_t i = from; i < k->args.n; i++) {
		str arg = k->args.v[i], key, value;
		if (str_split(arg, '=', &key, &value) && key.n)
			value_set(k->a, c->set, key, value_string(k->a, value));
		else if (str_cut_suffix(&arg, S("-")) && arg.n)
			*LIST_ADD(k->a, &c->remove) = arg;
		else
			return error_set(err, "unknown %s spec: " STR_FMT, what, STR_ARG(k->args.v[i]));
	}
	for (size_t i = 0; i < c->remove.n; i++)
		if (value_get(c->set, c->remove.v[i]))
			return error_set(err, "can not both modify and remove %s in the same command", what);
	return true;
}

static bool change_one(struct kctl *k, const struct target *t, const char *field, const struct changes *c,
                       const char *const done[4], struct error *err)
{
	bool labels = strcmp(field, "labels") == 0, added = false, removed = false;
	const struct value *now = value_path(t->obj, S("metadata"), str_c(field));
	if (flag_bool(k, "list")) {
		for (size_t i = 0; value_is(now, V_OBJECT) && i < now->o.n; i++)
			printf(STR_FMT "=" STR_FMT "\n", STR_ARG(now->o.v[i].key),
			       STR_ARG(value_str(now->o.v[i].value)));
		return true;
	}
	struct value *delta = value_object(k->a), *meta = value_object(k->a), *patch = value_object(k->a);
	for (size_t i = 0; i < c->set->o.n; i++) {
		str key = c->set->o.v[i].key, text = value_str(c->set->o.v[i].value), old = value_get_str(now, key);
		bool there = value_get(now, key);
		if (there && !flag_bool(k, "overwrite") && (!labels || !str_eq(old, text))) {
			if (labels)
				return error_set(err,
				                 "'" STR_FMT "' already has a value (" STR_FMT
				                 "), and --overwrite is false",
				                 STR_ARG(key), STR_ARG(old));
			return error_set(
			        err,
			        "--overwrite is false but found the following declared annotation(s): '" STR_FMT
			        "' already has a value (" STR_FMT ")",
			        STR_ARG(key), STR_ARG(old));
		}
		if (there && str_eq(old, text))
			continue;
		value_set(k->a, delta, key, c->set->o.v[i].value);
		added = true;
	}
	for (size_t i = 0; i < c->remove.n; i++) {
		if (value_get(now, c->remove.v[i])) {
			value_set(k->a, delta, c->remove.v[i], value_null(k->a));
			removed = true;
		} else if (labels) {
			printf("label \"" STR_FMT "\" not found.\n", STR_ARG(c->remove.v[i]));
		}
	}
	str version = flag_text(k, "resource-version");
	value_set(k->a, meta, str_c(field), delta);
	if (version.n)
		value_set(k->a, meta, S("resourceVersion"), value_string(k->a, version));
	value_set(k->a, patch, S("metadata"), meta);
	struct value *obj = t->obj;
	if ((added || removed || !labels) && !str_eqc(flag_text(k, "dry-run"), "client")) {
		obj = send_patch(k, t, (str){ 0 }, S("application/merge-patch+json"),
		                 json_text(k->a, patch, JSON_COMPACT), err);
		if (!obj)
			return false;
	}
	return kc_print_done(k, t, obj, done[(added ? 1 : 0) + (removed ? 2 : 0)], err);
}

static bool run_change(struct kctl *k, const char *field, const char *what, const char *const done[4],
                       struct error *err)
{
	size_t from = split_args(k);
	struct changes c = { 0 };
	struct targets list = { 0 };
	if (!kc_check_dry_run(k, err) || !parse_changes(k, what, from, &c, err))
		return false;
	if (from == 0 && flag_list(k, "filename")->n == 0)
		return error_set(err,
		                 "one or more resources must be specified as <resource> <name> or <resource>/<name>");
	if (c.set->o.n == 0 && c.remove.n == 0 && !flag_bool(k, "list"))
		return error_set(err, "at least one %s update is required", what);
	if (!targets_read(k, k->args.v, from, TARGETS_OBJECTS | TARGETS_NAMED, &list, err))
		return false;
	for (size_t i = 0; i < list.n; i++) {
		struct error why = { 0 };
		if (!change_one(k, &list.v[i], field, &c, done, &why))
			kc_report(k, &why);
	}
	return true;
}

bool run_label(struct kctl *k, struct error *err)
{
	static const char *const done[] = { "not labeled", "labeled", "unlabeled", "modified" };
	return run_change(k, "labels", "label", done, err);
}

bool run_annotate(struct kctl *k, struct error *err)
{
	static const char *const done[] = { "annotated", "annotated", "annotated", "annotated" };
	return run_change(k, "annotations", "annotation", done, err);
}

// --- set image ---

static struct value *pod_spec(const struct value *obj)
{
	struct value *spec = value_get(obj, S("spec"));
	if (str_eqc(value_get_str(obj, S("kind")), "Pod"))
		return spec;
	if (str_eqc(value_get_str(obj, S("kind")), "CronJob"))
		spec = value_path(spec, S("jobTemplate"), S("spec"));
	return value_path(spec, S("template"), S("spec"));
}

// Entries {"name":...,"image":...} for the containers of that name whose image is another one.
static void image_entries(struct kctl *k, const struct value *spec, const char *list, str name, str image,
                          struct value *patch, bool *found, bool *changed)
{
	const struct value *containers = value_get(spec, str_c(list));
	for (size_t i = 0; value_is(containers, V_ARRAY) && i < containers->a.n; i++) {
		str own = value_get_str(containers->a.v[i], S("name"));
		if (!str_eqc(name, "*") && !str_eq(own, name))
			continue;
		*found = true;
		if (str_eq(value_get_str(containers->a.v[i], S("image")), image))
			continue;
		*changed = true;
		struct value *entry = value_object(k->a), *entries = value_get(patch, str_c(list));
		if (!entries) {
			entries = value_array(k->a);
			value_set(k->a, patch, str_c(list), entries);
		}
		value_set(k->a, entry, S("name"), value_string(k->a, own));
		value_set(k->a, entry, S("image"), value_string(k->a, image));
		value_append(k->a, entries, entry);
	}
}

static struct value *nested(struct kctl *k, struct value *v, const char *key)
{
	struct value *outer = value_object(k->a);
	value_set(k->a, outer, str_c(key), v);
	return outer;
}

static bool set_image_one(struct kctl *k, const struct target *t, size_t from, struct error *err)
{
	const struct value *spec = pod_spec(t->obj);
	struct value *patch = value_object(k->a);
	bool changed = false;
	if (!spec)
		return error_set(err, STR_FMT " " STR_FMT " the object is not a pod or does not have a pod template",
		                 STR_ARG(t->type->resource), STR_ARG(t->name));
	for (size_t i = from; i < k->args.n; i++) {
		str name, image;
		bool found = false;
		str_split(k->args.v[i], '=', &name, &image);
		image_entries(k, spec, "initContainers", name, image, patch, &found, &changed);
		image_entries(k, spec, "containers", name, image, patch, &found, &changed);
		if (!found)
			return error_set(err, "unable to find container named \"" STR_FMT "\"", STR_ARG(name));
	}
	if (!changed)
		return true;
	str kind = value_get_str(t->obj, S("kind"));
	patch = nested(k, patch, "spec");
	if (!str_eqc(kind, "Pod"))
		patch = nested(k, nested(k, patch, "template"), "spec");
	if (str_eqc(kind, "CronJob"))
		patch = nested(k, nested(k, patch, "jobTemplate"), "spec");
	struct value *obj = t->obj;
	if (!str_eqc(flag_text(k, "dry-run"), "client"))
		obj = send_patch(k, t, (str){ 0 }, S("application/strategic-merge-patch+json"),
		                 json_text(k->a, patch, JSON_COMPACT), err);
	if (!obj)
		return kc_from_server(err) && error_is(err, "Invalid")
		               ? false
		               : error_wrap(err, "failed to patch image update to pod template");
	return kc_print_done(k, t, obj, "image updated", err);
}

bool run_set_image(struct kctl *k, struct error *err)
{
	size_t from = split_args(k);
	struct targets list = { 0 };
	if (from == 0 && flag_list(k, "filename")->n == 0)
		return error_set(err,
		                 "one or more resources must be specified as <resource> <name> or <resource>/<name>");
	if (from == k->args.n)
		return error_set(err, "at least one image update is required");
	for (size_t i = from; i < k->args.n; i++)
		if (str_find_char(k->args.v[i], '=') <= 0)
			return error_set(err, "all resources must be specified before image changes: " STR_FMT,
			                 STR_ARG(k->args.v[i]));
	if (!kc_check_dry_run(k, err) || !targets_read(k, k->args.v, from, TARGETS_OBJECTS | TARGETS_NAMED, &list, err))
		return false;
	for (size_t i = 0; i < list.n; i++) {
		struct error why = { 0 };
		if (!set_image_one(k, &list.v[i], from, &why))
			kc_report(k, &why);
	}
	return true;
}

// --- patch ---

bool run_patch(struct kctl *k, struct error *err)
{
	static const struct {
		const char *name, *content_type;
	} types[] = {
		{ "json", "application/json-patch+json" },
		{ "merge", "application/merge-patch+json" },
		{ "strategic", "application/strategic-merge-patch+json" },
	};
	str name = kc_lower(k->a, flag_text(k, "type")), text = flag_text(k, "patch"),
	    file = flag_text(k, "patch-file");
	size_t type = 0;
	while (type < ARRAY_LEN(types) && !str_eqc(name, types[type].name))
		type++;
	if (type == ARRAY_LEN(types))
		return error_set(err, "--type must be one of [json merge strategic], not \"" STR_FMT "\"",
		                 STR_ARG(name));
	if (!text.n == !file.n)
		return error_set(err,
		                 text.n ? "cannot specify --patch and --patch-file together"
		                        : "must specify --patch or --patch-file containing the contents of the patch");
	if (file.n && !io_read_file(k->a, arena_cstr(k->a, file), MAX_FILE, &text, err))
		return error_wrap(err, "unable to read patch file");
	struct error why = { 0 };
	struct value *patch = yaml_parse(k->a, text, NULL, &why);
	if (!patch)
		return error_set(err, "unable to parse \"" STR_FMT "\": %s", STR_ARG(text), why.text);
	struct targets list = { 0 };
	if (!kc_check_dry_run(k, err) ||
	    !targets_read(k, k->args.v, k->args.n, TARGETS_OBJECTS | TARGETS_NAMED, &list, err))
		return false;
	for (size_t i = 0; i < list.n; i++) {
		struct target *t = &list.v[i];
		why = (struct error){ 0 };
		if (str_eqc(flag_text(k, "dry-run"), "client")) {
			kc_print_done(k, t, t->obj, "patched", &why);
			continue;
		}
		struct value *obj = send_patch(k, t, flag_text(k, "subresource"), str_c(types[type].content_type),
		                               json_text(k->a, patch, JSON_COMPACT), &why);
		if (!obj) {
			kc_report(k, &why);
			continue;
		}
		bool same = str_eq(value_str(value_path(obj, S("metadata"), S("resourceVersion"))),
		                   value_str(value_path(t->obj, S("metadata"), S("resourceVersion"))));
		if (!kc_print_done(k, t, obj, same ? "patched (no change)" : "patched", &why))
			kc_report(k, &why);
	}
	return true;
}

// --- scale ---

static bool scale_one(struct kctl *k, const struct target *t, int64_t replicas, int64_t current, str version,
                      struct error *err)
{
	struct value *scale = NULL;
	str path = arena_concat(k->a, target_path(k, t), S("/scale"));
	if (current >= 0 || version.n) {
		if (!(scale = api_get(k, path, err)))
			return false;
		int64_t now = kc_value_i64(value_path(scale, S("spec"), S("replicas")), 0);
		str now_version = value_str(value_path(scale, S("metadata"), S("resourceVersion")));
		if (current >= 0 && now != current)
			return error_set(err, "Expected replicas to be %lld, was %lld", (long long)current,
			                 (long long)now);
		if (version.n && !str_eq(version, now_version))
			return error_set(err, "Expected resource version to be " STR_FMT ", was " STR_FMT,
			                 STR_ARG(version), STR_ARG(now_version));
	}
	if (str_eqc(flag_text(k, "dry-run"), "client"))
		return kc_print_done(k, t, t->obj, "scaled", err);
	str patch = arena_printf(k->a, "{\"spec\":{\"replicas\":%lld}}", (long long)replicas);
	if (!send_patch(k, t, S("scale"), S("application/merge-patch+json"), patch, err))
		return false;
	return kc_print_done(k, t, flag_text(k, "output").n ? api_get(k, target_path(k, t), err) : t->obj, "scaled",
	                     err);
}

struct scaling {
	int64_t replicas;
};

static bool is_scaled(void *ctx, struct value *obj, struct error *err)
{
	const struct scaling *s = ctx;
	return !obj || (kc_value_i64(value_path(obj, S("status"), S("replicas")), 0) == s->replicas &&
	                kc_value_i64(value_path(obj, S("status"), S("observedGeneration")), 0) >=
	                        kc_value_i64(value_path(obj, S("metadata"), S("generation")), 0));
}

bool run_scale(struct kctl *k, struct error *err)
{
	struct targets list = { 0 };
	int64_t replicas, current, timeout;
	if (!flag_int(k, "replicas", &replicas, err) || !flag_int(k, "current-replicas", &current, err) ||
	    !flag_duration(k, "timeout", &timeout, err))
		return false;
	if (!flag_set(k, "replicas"))
		return error_set(err, "required flag(s) \"replicas\" not set");
	if (replicas < 0)
		return error_set(err,
		                 "The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0");
	if (flag_bool(k, "all") && flag_text(k, "selector").n)
		return error_set(err, "cannot set --all and --selector at the same time");
	if (!kc_check_dry_run(k, err) || !targets_read(k, k->args.v, k->args.n, TARGETS_NAMED, &list, err))
		return false;
	if (list.n == 0 && !k->failed)
		return error_set(err, "no objects passed to scale");
	for (size_t i = 0; i < list.n; i++) {
		struct error why = { 0 };
		struct scaling s = { replicas };
		bool ok = scale_one(k, &list.v[i], replicas, current, flag_text(k, "resource-version"), &why);
		if (ok && timeout > 0 && str_eqc(flag_text(k, "dry-run"), "none"))
			ok = kc_watch_object(k, list.v[i].type, list.v[i].ns, list.v[i].name,
			                     clock_mono(NULL) + timeout, is_scaled, &s, &why);
		if (!ok)
			kc_report(k, &why);
	}
	return true;
}
