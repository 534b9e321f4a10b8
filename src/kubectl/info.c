// What there is: version, api-resources, api-versions, cluster-info.
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "kubectl/cmd.h"

#define API_VERSION "v1.36.2" // as the apiserver says

static struct value *client_version(struct kctl *k)
{
	struct utsname u;
	struct value *v = value_object(k->a);
	const char *machine = uname(&u) == 0 && strcmp(u.machine, "aarch64") == 0 ? "linux/arm64" : "linux/amd64";
	const char *const fields[][2] = { { "major", "1" },
		                          { "minor", "36" },
		                          { "gitVersion", API_VERSION "+coracle." CORACLE_VERSION },
		                          { "compiler", "gcc" },
		                          { "platform", machine } };
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		value_set(k->a, v, str_c(fields[i][0]), value_string(k->a, arena_dup(k->a, str_c(fields[i][1]))));
	return v;
}

// This one command indents by two.
static void print_indented(const struct value *v)
{
	_cleanup_buf_ struct buf b = { 0 };
	json_write(&b, v, JSON_INDENT4);
	for (str rest = buf_str(&b), line; str_next(&rest, '\n', &line);) {
		size_t spaces = 0;
		while (spaces < line.n && line.p[spaces] == ' ')
			spaces++;
		printf("%*s" STR_FMT "\n", (int)spaces / 2, "", STR_ARG(str_from(line, spaces)));
	}
}

bool run_version(struct kctl *k, struct error *err)
{
	str format = flag_text(k, "output");
	struct value *all = value_object(k->a), *client = client_version(k), *server = NULL;
	if (format.n && !str_eqc(format, "json") && !str_eqc(format, "yaml"))
		return error_set(err, "--output must be 'yaml' or 'json'");
	value_set(k->a, all, S("clientVersion"), client);
	bool ok = true;
	if (!flag_bool(k, "client")) {
		ok = config_load(k, err) && config_connect(k, err) && (server = api_get(k, S("/version"), err));
		if (server)
			value_set(k->a, all, S("serverVersion"), server);
	}
	if (str_eqc(format, "json")) {
		print_indented(all);
	} else if (format.n) {
		if (!kc_print_object(k, stdout, format, all, err))
			return false;
		putchar('\n');
	} else {
		printf("Client Version: " STR_FMT "\n", STR_ARG(value_get_str(client, S("gitVersion"))));
		if (server)
			printf("Server Version: " STR_FMT "\n", STR_ARG(value_get_str(server, S("gitVersion"))));
	}
	return ok;
}

static int by_name(const void *x, const void *y)
{
	const struct rtype *t = *(struct rtype *const *)x, *u = *(struct rtype *const *)y;
	int c = str_cmp(t->group, u->group);
	return c ? c : str_cmp(t->resource, u->resource);
}

static bool has_all(str list, const struct str_list *wanted)
{
	for (size_t i = 0; i < wanted->n; i++) {
		bool there = false;
		for (str rest = list, part; str_next(&rest, ',', &part);)
			there = there || str_eq(part, wanted->v[i]);
		if (!there)
			return false;
	}
	return true;
}

bool run_api_resources(struct kctl *k, struct error *err)
{
	str format = flag_text(k, "output"), group = flag_text(k, "api-group");
	bool wide = str_eqc(format, "wide"), names = str_eqc(format, "name");
	if (format.n && !wide && !names)
		return error_set(err, "--output " STR_FMT " is not available", STR_ARG(format));
	if (!kc_types_discover(k, err))
		return false;
	struct {
		struct rtype **v;
		size_t n;
	} shown = { 0 };
	for (size_t i = 0; i < k->types.n; i++) {
		struct rtype *t = k->types.v[i];
		bool older = false; // the preferred version of a group stands first
		for (size_t j = 0; j < i; j++)
			older = older || (str_eq(k->types.v[j]->group, t->group) &&
			                  str_eq(k->types.v[j]->resource, t->resource));
		if (older || (flag_set(k, "api-group") && !str_eq(t->group, group)) ||
		    !has_all(t->verbs, flag_list(k, "verbs")) || !has_all(t->categories, flag_list(k, "categories")) ||
		    (flag_set(k, "namespaced") && flag_bool(k, "namespaced") != t->namespaced))
			continue;
		*LIST_ADD(k->a, &shown) = t;
	}
	if (shown.n)
		qsort(shown.v, shown.n, sizeof(*shown.v), by_name);
	struct table table;
	kc_table_init(&table);
	if (!flag_bool(k, "no-headers") && !names) {
		kc_table_row(&table);
		static const char *const heads[] = { "NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED",
			                             "KIND", "VERBS",      "CATEGORIES" };
		for (size_t i = 0; i < (wide ? 7 : 5); i++)
			kc_table_cell(&table, str_c(heads[i]));
	}
	for (size_t i = 0; i < shown.n; i++) {
		const struct rtype *t = shown.v[i];
		kc_table_row(&table);
		if (names) {
			kc_table_cell(&table,
			              t->group.n ? arena_concat(k->a, t->resource, S("."), t->group) : t->resource);
			continue;
		}
		kc_table_cell(&table, t->resource);
		kc_table_cell(&table, t->short_names);
		kc_table_cell(&table, kc_api_version(k, t));
		kc_table_cell(&table, t->namespaced ? S("true") : S("false"));
		kc_table_cell(&table, t->kind);
		if (wide) {
			kc_table_cell(&table, t->verbs);
			kc_table_cell(&table, t->categories);
		}
	}
	kc_table_flush(&table, stdout);
	kc_table_free(&table);
	return true;
}

bool run_api_versions(struct kctl *k, struct error *err)
{
	struct value *groups = api_get(k, S("/apis"), err);
	if (!groups)
		return false;
	struct str_list all = { 0 };
	const struct value *list = value_get(groups, S("groups"));
	for (size_t i = 0; value_is(list, V_ARRAY) && i < list->a.n; i++) {
		const struct value *versions = value_get(list->a.v[i], S("versions"));
		for (size_t j = 0; value_is(versions, V_ARRAY) && j < versions->a.n; j++)
			*LIST_ADD(k->a, &all) = value_get_str(versions->a.v[j], S("groupVersion"));
	}
	*LIST_ADD(k->a, &all) = S("v1");
	qsort(all.v, all.n, sizeof(*all.v), str_cmp_qsort);
	for (size_t i = 0; i < all.n; i++)
		printf(STR_FMT "\n", STR_ARG(all.v[i]));
	return true;
}

bool run_cluster_info(struct kctl *k, struct error *err)
{
	const struct rtype *services = kc_type_of_kind(k, S("v1"), S("Service"), err);
	struct value *list;
	bool color = getenv("TERM") && isatty(1);
	const char *green = color ? "\033[0;32m" : "", *yellow = color ? "\033[0;33m" : "",
	           *plain = color ? "\033[0m" : "";
	if (!services || !kc_list_all(k, services, S("kube-system"), S("kubernetes.io/cluster-service=true"),
	                              (str){ 0 }, &list, err))
		return false;
	printf("%sKubernetes control plane%s is running at %s" STR_FMT "%s\n", green, plain, yellow, STR_ARG(k->server),
	       plain);
	const struct value *items = value_get(list, S("items"));
	for (size_t i = 0; value_is(items, V_ARRAY) && i < items->a.n; i++) {
		const struct value *meta = value_get(items->a.v[i], S("metadata"));
		str name = value_get_str(value_get(meta, S("labels")), S("kubernetes.io/name"));
		if (!name.n)
			name = value_get_str(meta, S("name"));
		printf("%s" STR_FMT "%s is running at %s" STR_FMT "/api/v1/namespaces/kube-system/services/" STR_FMT
		       "/proxy%s\n",
		       green, STR_ARG(name), plain, yellow, STR_ARG(k->server), STR_ARG(value_get_str(meta, S("name"))),
		       plain);
	}
	printf("\nTo further debug and diagnose cluster problems, use '%s cluster-info dump'.\n", k->program);
	return true;
}
