// What a command works on: objects from files, or named on the command line.
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/encode.h"
#include "base/io.h"
#include "kubectl/cmd.h"

enum { MAX_FILE = 64 << 20, PAGE = 500 };

str target_path(struct kctl *k, const struct target *t)
{
	return kc_type_path(k, t->type, t->ns, t->name);
}

str target_label(struct kctl *k, const struct target *t)
{
	return arena_concat(k->a, kc_type_name(k, t->type), S("/"), t->name);
}

static str object_name(const struct value *obj)
{
	return value_str(value_path(obj, S("metadata"), S("name")));
}

// --- Files ---

static bool add_object(struct kctl *k, struct targets *out, struct value *obj, str source, struct error *err)
{
	str gv = value_get_str(obj, S("apiVersion")), kind = value_get_str(obj, S("kind"));
	struct value *items = value_get(obj, S("items"));
	if (!kind.n || !gv.n) {
		str text = json_text(k->a, obj, JSON_SORT | JSON_ESCAPE_HTML);
		return error_set(err, "unable to decode \"" STR_FMT "\": Object '%s' is missing in '" STR_FMT "'",
		                 STR_ARG(source), kind.n ? "apiVersion" : "Kind", STR_ARG(text));
	}
	if (str_has_suffix(kind, S("List")) && value_is(items, V_ARRAY)) {
		for (size_t i = 0; i < items->a.n; i++)
			if (!add_object(k, out, items->a.v[i], source, err))
				return false;
		return true;
	}
	str ns = value_str(value_path(obj, S("metadata"), S("namespace"))), name = object_name(obj);
	const struct rtype *t = kc_type_of_kind(k, gv, kind, err);
	if (!t) {
		if (!kc_from_server(err) && str_has_prefix(error_str(err), S("no matches"))) {
			char copy[sizeof(err->text)];
			memcpy(copy, err->text, sizeof(copy));
			error_set(err,
			          "resource mapping not found for name: \"" STR_FMT "\" namespace: \"" STR_FMT
			          "\" from \"" STR_FMT "\": %s\nensure CRDs are installed first",
			          STR_ARG(name), STR_ARG(ns), STR_ARG(source), copy);
		}
		return false;
	}
	if (!t->namespaced)
		ns = (str){ 0 };
	else if (ns.n == 0)
		ns = k->ns;
	else if (k->ns_given && !str_eq(ns, k->ns))
		return error_set(err,
		                 "the namespace from the provided object \"" STR_FMT
		                 "\" does not match the namespace \"" STR_FMT "\". You must pass '--namespace=" STR_FMT
		                 "' to perform this operation.",
		                 STR_ARG(ns), STR_ARG(k->ns), STR_ARG(ns));
	struct value *meta = value_get(obj, S("metadata"));
	if (ns.n && value_is(meta, V_OBJECT) && value_get_str(meta, S("namespace")).n == 0)
		value_set(k->a, meta, S("namespace"), value_string(k->a, ns));
	*LIST_ADD(k->a, out) = (struct target){ .type = t, .ns = ns, .name = name, .obj = obj, .source = source };
	return true;
}

static bool read_text(struct kctl *k, struct targets *out, str text, str source, struct error *err)
{
	struct value **docs;
	size_t n;
	struct error why = { 0 };
	if (!yaml_parse_all(k->a, text, NULL, &docs, &n, &why))
		return error_set(err, "error parsing " STR_FMT ": %s", STR_ARG(source), why.text);
	for (size_t i = 0; i < n; i++) {
		if (docs[i]->kind != V_OBJECT)
			return error_set(err,
			                 "error parsing " STR_FMT
			                 ": json: cannot unmarshal %s into Go value of type map[string]interface {}",
			                 STR_ARG(source), value_kind_name(docs[i]->kind));
		if (!add_object(k, out, docs[i], source, err))
			return false;
	}
	return true;
}

static int by_name(const struct dirent **x, const struct dirent **y)
{
	return strcmp((*x)->d_name, (*y)->d_name);
}

static bool read_path(struct kctl *k, struct targets *out, str path, bool top, struct error *err)
{
	struct stat st;
	const char *name = arena_cstr(k->a, path);
	str text;
	if (stat(name, &st) < 0)
		return error_set(err, "the path \"%s\" does not exist", name);
	if (!S_ISDIR(st.st_mode)) {
		if (!top && !str_has_suffix(path, S(".json")) && !str_has_suffix(path, S(".yaml")) &&
		    !str_has_suffix(path, S(".yml")))
			return true;
		return io_read_file(k->a, name, MAX_FILE, &text, err) && read_text(k, out, text, path, err);
	}
	struct dirent **entries;
	int n = scandir(name, &entries, NULL, by_name);
	if (n < 0)
		return error_errno(err, "open %s", name);
	bool ok = true;
	for (int i = 0; i < n; i++) {
		str entry = str_c(entries[i]->d_name), child = arena_concat(k->a, path, S("/"), entry);
		bool skip = entry.p[0] == '.' && (entry.n == 1 || (entry.n == 2 && entry.p[1] == '.'));
		if (ok && !skip && stat(child.p, &st) == 0 && (!S_ISDIR(st.st_mode) || flag_bool(k, "recursive")))
			ok = read_path(k, out, child, false, err);
		free(entries[i]);
	}
	free(entries);
	return ok;
}

bool targets_from_files(struct kctl *k, struct targets *out, struct error *err)
{
	const struct str_list *files = flag_list(k, "filename");
	for (size_t i = 0; i < files->n; i++) {
		str path = files->v[i], text;
		if (str_eqc(path, "-")) {
			if (!io_read_fd(k->a, STDIN_FILENO, MAX_FILE, &text, err) ||
			    !read_text(k, out, text, S("STDIN"), err))
				return false;
		} else if (str_has_prefix(path, S("http://")) || str_has_prefix(path, S("https://"))) {
			return error_set(err, "reading \"" STR_FMT "\" is not supported by this client: fetch it first",
			                 STR_ARG(path));
		} else if (!read_path(k, out, path, true, err)) {
			return false;
		}
	}
	return true;
}

// --- Lists ---

str kc_selector_query(struct kctl *k, str label_selector, str field_selector)
{
	_cleanup_buf_ struct buf b = { 0 };
	if (label_selector.n)
		buf_printf(&b, "labelSelector=" STR_FMT, STR_ARG(percent_encode(k->a, label_selector)));
	if (field_selector.n)
		buf_printf(&b, "%sfieldSelector=" STR_FMT, b.n ? "&" : "",
		           STR_ARG(percent_encode(k->a, field_selector)));
	return arena_dup(k->a, buf_str(&b));
}

bool kc_list_all(struct kctl *k, const struct rtype *t, str ns, str label_selector, str field_selector,
                 struct value **list, struct error *err)
{
	str query = kc_selector_query(k, label_selector, field_selector), next = { 0 };
	struct value *all = NULL;
	do {
		str path =
		        arena_concat(k->a, kc_type_path(k, t, ns, (str){ 0 }), S("?"), query, query.n ? S("&") : S(""),
		                     S("limit=500"), next.n ? S("&continue=") : S(""), percent_encode(k->a, next));
		struct value *page = api_get(k, path, err), *items = value_get(page, S("items"));
		if (!page)
			return false;
		next = value_str(value_path(page, S("metadata"), S("continue")));
		if (!all)
			all = page;
		else
			for (size_t i = 0; value_is(items, V_ARRAY) && i < items->a.n; i++)
				value_append(k->a, value_get(all, S("items")), items->a.v[i]);
	} while (next.n);
	// Items of a typed list do not say what they are.
	struct value *items = value_get(all, S("items"));
	for (size_t i = 0; value_is(items, V_ARRAY) && i < items->a.n; i++) {
		struct value *item = items->a.v[i];
		if (value_get(item, S("kind")))
			continue;
		value_set(k->a, item, S("kind"), value_string(k->a, t->kind));
		value_set(k->a, item, S("apiVersion"), value_string(k->a, kc_api_version(k, t)));
	}
	*list = all;
	return true;
}

static bool add_listed(struct kctl *k, const struct target *collection, struct targets *out, struct error *err)
{
	struct value *list;
	if (!kc_list_all(k, collection->type, collection->ns, flag_text(k, "selector"), flag_text(k, "field-selector"),
	                 &list, err))
		return false;
	struct value *items = value_get(list, S("items"));
	for (size_t i = 0; value_is(items, V_ARRAY) && i < items->a.n; i++) {
		struct value *obj = items->a.v[i];
		*LIST_ADD(k->a, out) = (struct target){
			.type = collection->type,
			.ns = value_str(value_path(obj, S("metadata"), S("namespace"))),
			.name = object_name(obj),
			.obj = obj,
		};
	}
	return true;
}

// --- Arguments ---

static void add_named(struct kctl *k, struct targets *out, const struct rtype *t, str name)
{
	*LIST_ADD(k->a, out) = (struct target){
		.type = t, .ns = t->namespaced && !flag_bool(k, "all-namespaces") ? k->ns : (str){ 0 }, .name = name
	};
}

static bool add_types(struct kctl *k, str words, struct targets *out, struct error *err)
{
	for (str rest = words, word; str_next(&rest, ',', &word);) {
		const struct rtype **types, *t;
		size_t n;
		if (kc_types_of_category(k, word, &types, &n)) {
			for (size_t i = 0; i < n; i++)
				add_named(k, out, types[i], (str){ 0 });
			continue;
		}
		if (!(t = kc_type_find(k, word, err)))
			return false;
		add_named(k, out, t, (str){ 0 });
	}
	return true;
}

static bool add_args(struct kctl *k, str *args, size_t n, struct targets *out, struct error *err)
{
	bool selects = flag_text(k, "selector").n || flag_text(k, "field-selector").n || flag_bool(k, "all");
	bool slashes = false, plain = false;
	for (size_t i = 0; i < n; i++)
		*(str_find_char(args[i], '/') >= 0 ? &slashes : &plain) = true;
	if (slashes && plain)
		return error_set(
		        err,
		        "there is no need to specify a resource type as a separate argument when passing arguments in "
		        "resource/name form "
		        "(e.g. '%s get resource/<resource_name>' instead of '%s get resource resource/<resource_name>'",
		        k->program, k->program);
	if (slashes) {
		for (size_t i = 0; i < n; i++) {
			str type, name;
			str_split(args[i], '/', &type, &name);
			if (!type.n || !name.n || str_find_char(name, '/') >= 0)
				return error_set(err,
				                 "arguments in resource/name form may not have more than one slash");
			const struct rtype *t = kc_type_find(k, type, err);
			if (!t)
				return false;
			add_named(k, out, t, name);
		}
		return true;
	}
	struct targets types = { 0 };
	if (!add_types(k, args[0], &types, err))
		return false;
	if (n == 1) {
		for (size_t i = 0; i < types.n; i++)
			*LIST_ADD(k->a, out) = types.v[i];
		return true;
	}
	if (selects)
		return error_set(err, flag_bool(k, "all") ? "setting 'all' parameter but found a non empty selector. "
		                                          : "name cannot be provided when a selector is specified");
	if (flag_bool(k, "all-namespaces"))
		return error_set(err, "a resource cannot be retrieved by name across all namespaces");
	for (size_t j = 0; j < types.n; j++)
		for (size_t i = 1; i < n; i++)
			add_named(k, out, types.v[j].type, args[i]);
	return true;
}

bool targets_read(struct kctl *k, str *args, size_t nargs, unsigned how, struct targets *out, struct error *err)
{
	struct targets found = { 0 };
	bool files = flag_list(k, "filename")->n > 0;
	bool selects = flag_text(k, "selector").n || flag_text(k, "field-selector").n || flag_bool(k, "all");
	if (files && nargs)
		return kc_usage_error(k, err,
		                      "when paths, URLs, or stdin is provided as input, you may not specify resource "
		                      "arguments as well");
	if (files && !targets_from_files(k, &found, err))
		return false;
	if (!files && nargs == 0)
		return error_set(
		        err, "You must provide one or more resources by argument or filename.\nExample resource "
		             "specifications include:\n"
		             "   '-f rsrc.yaml'\n   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'");
	if (!files && !add_args(k, args, nargs, &found, err))
		return false;
	out->single = found.n == 1 && found.v[0].name.n > 0;
	for (size_t i = 0; i < found.n; i++) {
		struct target *t = &found.v[i];
		struct error why = { 0 };
		if (!files && t->name.n == 0) {
			if ((how & TARGETS_NAMED) && !selects)
				return error_set(err, "resource(s) were provided, but no name was specified");
			if (how & TARGETS_COLLECTIONS) {
				*LIST_ADD(k->a, out) = *t;
			} else if (!add_listed(k, t, out, &why)) {
				kc_report(k, &why);
			}
			continue;
		}
		if (how & TARGETS_OBJECTS) {
			struct value *obj = api_get(k, target_path(k, t), &why);
			if (!obj) {
				if (!(error_is(&why, "NotFound") && (how & TARGETS_SKIP_MISSING)))
					kc_report(k, &why);
				continue;
			}
			t->obj = obj;
		}
		*LIST_ADD(k->a, out) = *t;
	}
	return true;
}
