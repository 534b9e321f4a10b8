// kubectl create: from files, and a few kinds from arguments.
#include "base/encode.h"
#include "base/io.h"
#include "kubectl/cmd.h"

enum { MAX_FILE = 3 << 20 };

// "?fieldManager=...&fieldValidation=..." for a write.
str kc_write_query(struct kctl *k)
{
	_cleanup_buf_ struct buf b = { 0 };
	str manager = flag_text(k, "field-manager"), validate = flag_text(k, "validate"), dry = flag_text(k, "dry-run");
	if (manager.n)
		buf_printf(&b, "&fieldManager=" STR_FMT, STR_ARG(percent_encode(k->a, manager)));
	if (validate.n)
		buf_printf(&b, "&fieldValidation=%s",
		           str_eqc(validate, "true") || str_eqc(validate, "strict") ? "Strict"
		           : str_eqc(validate, "warn")                              ? "Warn"
		                                                                    : "Ignore");
	if (str_eqc(dry, "server"))
		buf_add(&b, S("&dryRun=All"));
	if (b.n)
		b.p[0] = '?';
	return arena_dup(k->a, buf_str(&b));
}

bool kc_check_dry_run(struct kctl *k, struct error *err)
{
	str dry = flag_text(k, "dry-run");
	if (!dry.n || str_eqc(dry, "none") || str_eqc(dry, "client") || str_eqc(dry, "server"))
		return true;
	if (str_eqc(dry, "unchanged"))
		return error_set(err, "a value must be given with --dry-run: \"none\", \"server\" or \"client\"");
	return error_set(err, "Invalid dry-run value (" STR_FMT "). Must be \"none\", \"server\", or \"client\".",
	                 STR_ARG(dry));
}

bool kc_add_source(struct error *err, const char *verb, str source)
{
	if (!source.n)
		return false;
	if (error_is(err, "Connection")) // then it is one of this command's errors
		err->reason = "InternalError";
	return error_wrap(err, "error when %s \"" STR_FMT "\"", verb, STR_ARG(source));
}

static bool create_one(struct kctl *k, struct target *t, struct error *err)
{
	struct value *obj = t->obj;
	if (flag_bool(k, "save-config"))
		obj = kc_apply_annotated(k, obj, NULL);
	if (!str_eqc(flag_text(k, "dry-run"), "client")) {
		str path = arena_concat(k->a, kc_type_path(k, t->type, t->ns, (str){ 0 }), kc_write_query(k));
		obj = api_json(k, k->a, "POST", path, S(JSON_TYPE), json_text(k->a, obj, JSON_COMPACT), err);
		if (!obj)
			return kc_add_source(err, "creating", t->source);
		t->name = value_str(value_path(obj, S("metadata"), S("name")));
	}
	return kc_print_done(k, t, obj, "created", err);
}

bool run_create(struct kctl *k, struct error *err)
{
	if (flag_list(k, "filename")->n == 0) {
		if (k->args.n)
			return error_set(err, "unknown command \"" STR_FMT "\" for \"%s create\"",
			                 STR_ARG(k->args.v[0]), k->program);
		return error_set(err, "must specify one of -f and -k");
	}
	if (k->args.n)
		return kc_usage_error(k, err, "Unexpected args: [" STR_FMT "]",
		                      STR_ARG(kc_join(k->a, k->args.v, k->args.n, S(" "))));
	struct targets list = { 0 };
	if (!kc_check_dry_run(k, err) || !targets_from_files(k, &list, err))
		return false;
	if (list.n == 0)
		return error_set(err, "no objects passed to create");
	for (size_t i = 0; i < list.n; i++) {
		struct error why = { 0 };
		if (!create_one(k, &list.v[i], &why))
			kc_report(k, &why);
	}
	return true;
}

// --- Objects from arguments ---

static struct value *text_value(struct kctl *k, str s)
{
	return value_string(k->a, s);
}

static struct value *child(struct kctl *k, struct value *obj, const char *name)
{
	struct value *v = value_object(k->a);
	value_set(k->a, obj, str_c(name), v);
	return v;
}

// key=value pairs and files into `data`; bytes become base64 for a secret.
static bool fill_data(struct kctl *k, struct value *obj, bool secret, struct error *err)
{
	const struct str_list *literals = flag_list(k, "from-literal"), *files = flag_list(k, "from-file");
	struct value *data = value_object(k->a), *binary = value_object(k->a);
	for (size_t i = 0; i < literals->n; i++) {
		str key, value;
		if (!str_split(literals->v[i], '=', &key, &value) || !key.n)
			return error_set(err, "invalid literal source " STR_FMT ", expected key=value",
			                 STR_ARG(literals->v[i]));
		value_set(k->a, data, key, text_value(k, secret ? base64_encode(k->a, value) : value));
	}
	for (size_t i = 0; i < files->n; i++) {
		str key, path, text;
		if (!str_split(files->v[i], '=', &key, &path)) {
			path = files->v[i];
			key = str_from(path, (size_t)(str_rfind_char(path, '/') + 1));
		}
		if (!io_read_file(k->a, arena_cstr(k->a, path), MAX_FILE, &text, err))
			return error_wrap(err, "error reading " STR_FMT, STR_ARG(path));
		bool bytes = !secret && !str_utf8_valid(text);
		value_set(k->a, bytes ? binary : data, key,
		          text_value(k, secret || bytes ? base64_encode(k->a, text) : text));
	}
	if (data->o.n)
		value_set(k->a, obj, S("data"), data);
	if (binary->o.n)
		value_set(k->a, obj, S("binaryData"), binary);
	return true;
}

static bool fill_deployment(struct kctl *k, struct value *obj, str name, struct error *err)
{
	const struct str_list *images = flag_list(k, "image");
	int64_t replicas, port;
	if (images->n == 0)
		return error_set(err, "required flag(s) \"image\" not set");
	if (!flag_int(k, "replicas", &replicas, err) || !flag_int(k, "port", &port, err))
		return false;
	struct value *labels = value_object(k->a), *spec = child(k, obj, "spec"), *containers = value_array(k->a);
	value_set(k->a, labels, S("app"), text_value(k, name));
	value_set(k->a, value_get(obj, S("metadata")), S("labels"), labels);
	value_set(k->a, spec, S("replicas"), value_int(k->a, replicas));
	value_set(k->a, child(k, spec, "selector"), S("matchLabels"), labels);
	child(k, spec, "strategy");
	struct value *template = child(k, spec, "template");
	value_set(k->a, child(k, template, "metadata"), S("labels"), labels);
	value_set(k->a, child(k, template, "spec"), S("containers"), containers);
	for (size_t i = 0; i < images->n; i++) {
		// The container is called as the image, without registry, tag and digest.
		str image = images->v[i], container = str_from(image, (size_t)(str_rfind_char(image, '/') + 1)), rest;
		str_split(container, '@', &container, &rest);
		str_split(container, ':', &container, &rest);
		struct value *c = value_object(k->a);
		value_set(k->a, c, S("image"), text_value(k, image));
		value_set(k->a, c, S("name"), text_value(k, container));
		if (port >= 0 && images->n == 1) {
			struct value *ports = value_array(k->a), *p = value_object(k->a);
			value_set(k->a, p, S("containerPort"), value_int(k->a, port));
			value_append(k->a, ports, p);
			value_set(k->a, c, S("ports"), ports);
		}
		child(k, c, "resources");
		value_append(k->a, containers, c);
	}
	child(k, obj, "status");
	return true;
}

bool run_create_object(struct kctl *k, struct error *err)
{
	static const struct {
		const char *command, *api_version, *kind;
	} kinds[] = {
		{ "namespace", "v1", "Namespace" },           { "deployment", "apps/v1", "Deployment" },
		{ "configmap", "v1", "ConfigMap" },           { "secret", "v1", "Secret" },
		{ "serviceaccount", "v1", "ServiceAccount" },
	};
	size_t i = 0, skip = 0;
	while (strcmp(kinds[i].command, k->cmd->name) != 0)
		i++;
	bool secret = strcmp(k->cmd->name, "secret") == 0;
	if (secret) {
		if (k->args.n == 0 || !str_eqc(k->args.v[0], "generic"))
			return kc_usage_error(k, err, "only \"create secret generic\" is supported by this client");
		skip = 1;
	}
	if (k->args.n != skip + 1)
		return kc_usage_error(k, err, "exactly one NAME is required, got %zu", k->args.n - skip);
	if (!kc_check_dry_run(k, err))
		return false;
	struct target t = { .name = k->args.v[skip] };
	t.type = kc_type_of_kind(k, str_c(kinds[i].api_version), str_c(kinds[i].kind), err);
	if (!t.type)
		return false;
	t.ns = t.type->namespaced ? k->ns : (str){ 0 };
	t.obj = value_object(k->a);
	value_set(k->a, t.obj, S("apiVersion"), text_value(k, str_c(kinds[i].api_version)));
	value_set(k->a, t.obj, S("kind"), text_value(k, str_c(kinds[i].kind)));
	struct value *meta = child(k, t.obj, "metadata");
	value_set(k->a, meta, S("name"), text_value(k, t.name));
	if (k->ns_given && t.type->namespaced)
		value_set(k->a, meta, S("namespace"), text_value(k, k->ns));
	if (secret && flag_text(k, "type").n)
		value_set(k->a, t.obj, S("type"), text_value(k, flag_text(k, "type")));
	if ((secret || strcmp(k->cmd->name, "configmap") == 0) && !fill_data(k, t.obj, secret, err))
		return false;
	if (strcmp(k->cmd->name, "namespace") == 0) {
		child(k, t.obj, "spec");
		child(k, t.obj, "status");
	}
	if (strcmp(k->cmd->name, "deployment") == 0 && !fill_deployment(k, t.obj, t.name, err))
		return false;
	struct error why = { 0 };
	if (create_one(k, &t, &why))
		return true;
	if (kc_from_server(&why))
		error_set(err, "failed to create %s: %s", k->cmd->name, why.text);
	else
		*err = why;
	return false;
}
