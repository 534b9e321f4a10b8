// Where the server is and who asks: kubeconfig files (merged as upstream merges them), flags, or a pod's own account.
#include <limits.h>
#include <stdlib.h>

#include "base/encode.h"
#include "base/io.h"
#include "kubectl/cmd.h"

enum { MAX_FILE = 4 << 20 };

#define POD_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount/"

// Entries of clusters, contexts and users whose name is not there yet.
static void merge_list(struct arena *a, struct value *to, struct value *from, str list)
{
	struct value *mine = value_get(to, list), *theirs = value_get(from, list);
	if (!value_is(theirs, V_ARRAY))
		return;
	if (!value_is(mine, V_ARRAY)) {
		value_set(a, to, list, theirs);
		return;
	}
	for (size_t i = 0; i < theirs->a.n; i++) {
		bool there = false;
		for (size_t j = 0; j < mine->a.n; j++)
			there = there || str_eq(value_get_str(mine->a.v[j], S("name")),
			                        value_get_str(theirs->a.v[i], S("name")));
		if (!there)
			value_append(a, mine, theirs->a.v[i]);
	}
}

// Paths in a kubeconfig are relative to it.
static void anchor_paths(struct arena *a, struct value *config, str dir)
{
	static const struct {
		const char *list, *inner, *field;
	} paths[] = {
		{ "clusters", "cluster", "certificate-authority" },
		{ "users", "user", "client-certificate" },
		{ "users", "user", "client-key" },
		{ "users", "user", "tokenFile" },
	};
	for (size_t p = 0; p < ARRAY_LEN(paths); p++) {
		struct value *list = value_get(config, str_c(paths[p].list));
		for (size_t i = 0; value_is(list, V_ARRAY) && i < list->a.n; i++) {
			struct value *inner = value_get(list->a.v[i], str_c(paths[p].inner));
			str path = value_get_str(inner, str_c(paths[p].field));
			if (path.n && path.p[0] != '/')
				value_set(a, inner, str_c(paths[p].field),
				          value_string(a, arena_concat(a, dir, S("/"), path)));
		}
	}
}

static bool load_file(struct kctl *k, str path, bool must_exist, struct error *err)
{
	str text;
	const char *name = arena_cstr(k->a, path);
	if (!must_exist && !io_exists(name))
		return true;
	struct error why = { 0 };
	if (!io_read_file(k->a, name, MAX_FILE, &text, &why)) {
		if (why.code == 404)
			return error_set(err, "stat %s: no such file or directory", name);
		*err = why;
		return false;
	}
	struct value *v = yaml_parse(k->a, text, NULL, &why);
	if (!v || (v->kind != V_OBJECT && v->kind != V_NULL))
		return error_set(err, "error loading config file \"%s\": %s", name, v ? "it is no object" : why.text);
	if (v->kind == V_NULL)
		return true;
	char full[PATH_MAX];
	str dir = str_c(realpath(name, full) ? full : name);
	ptrdiff_t slash = str_rfind_char(dir, '/');
	anchor_paths(k->a, v, slash < 0 ? S(".") : arena_dup(k->a, str_sub(dir, 0, (size_t)slash)));
	merge_list(k->a, k->config, v, S("clusters"));
	merge_list(k->a, k->config, v, S("contexts"));
	merge_list(k->a, k->config, v, S("users"));
	if (value_get_str(k->config, S("current-context")).n == 0 && value_get_str(v, S("current-context")).n)
		value_set(k->a, k->config, S("current-context"), value_get(v, S("current-context")));
	return true;
}

bool config_load(struct kctl *k, struct error *err)
{
	k->config = value_object(k->a);
	str given = flag_text(k, "kubeconfig");
	if (given.n)
		return load_file(k, given, true, err);
	str list = str_c(getenv("KUBECONFIG")), path;
	if (list.n) {
		while (str_next(&list, ':', &path))
			if (path.n && !load_file(k, path, false, err))
				return false;
		return true;
	}
	const char *home = getenv("HOME");
	return !home || load_file(k, arena_printf(k->a, "%s/.kube/config", home), false, err);
}

static struct value *named(struct kctl *k, const char *list, str name, const char *inner)
{
	struct value *l = value_get(k->config, str_c(list));
	for (size_t i = 0; value_is(l, V_ARRAY) && i < l->a.n; i++)
		if (str_eq(value_get_str(l->a.v[i], S("name")), name))
			return value_get(l->a.v[i], str_c(inner));
	return NULL;
}

// PEM text from a flag's file, base64 data or a file of the kubeconfig, in this order.
static bool pem(struct kctl *k, const char *flag, const struct value *from, str data_key, str file_key, str *out,
                struct error *err)
{
	str file = flag_text(k, flag), data = file.n ? (str){ 0 } : value_get_str(from, data_key);
	if (data.n)
		return base64_decode(k->a, data, out) ||
		       error_set(err, STR_FMT ": illegal base64 data", STR_ARG(data_key));
	if (!file.n)
		file = value_get_str(from, file_key);
	if (file.n && !io_read_file(k->a, arena_cstr(k->a, file), MAX_FILE, out, err))
		return error_wrap(err, "unable to read " STR_FMT, STR_ARG(file_key));
	return true;
}

static str bearer(struct arena *a, void *ctx)
{
	struct kctl *k = ctx;
	if (k->token.n)
		return k->token;
	str text;
	struct error ignored;
	if (!k->token_file.n || !io_read_file(a, arena_cstr(a, k->token_file), 65536, &text, &ignored))
		return (str){ 0 };
	return str_trim(text);
}

// What a pod finds in its own file system; used where no kubeconfig says anything.
static void pod_account(struct kctl *k, struct tls_client_opts *tls)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
	struct error ignored;
	str ns;
	if (!host || !port || !io_exists(POD_ACCOUNT "token"))
		return;
	k->server = arena_printf(k->a, strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host, port);
	k->token_file = S(POD_ACCOUNT "token");
	io_read_file(k->a, POD_ACCOUNT "ca.crt", MAX_FILE, &tls->ca_pem, &ignored);
	if (!k->ns.n && io_read_file(k->a, POD_ACCOUNT "namespace", 4096, &ns, &ignored))
		k->ns = str_trim(ns);
}

bool config_connect(struct kctl *k, struct error *err)
{
	struct tls_client_opts tls = { 0 };
	k->context = flag_text(k, "context");
	if (!k->context.n)
		k->context = value_get_str(k->config, S("current-context"));
	struct value *context = named(k, "contexts", k->context, "context"), *cluster = NULL, *user = NULL;
	if (!context && flag_text(k, "context").n)
		return error_api(err, 500, "Connection",
		                 "Error in configuration: context was not found for specified context: " STR_FMT,
		                 STR_ARG(k->context));
	str cluster_name = flag_text(k, "cluster"), user_name = flag_text(k, "user");
	bool cluster_given = cluster_name.n > 0, user_given = user_name.n > 0;
	if (!cluster_given)
		cluster_name = value_get_str(context, S("cluster"));
	if (!user_given)
		user_name = value_get_str(context, S("user"));
	cluster = named(k, "clusters", cluster_name, "cluster");
	user = named(k, "users", user_name, "user");
	if (!cluster && cluster_given)
		return error_set(err, "cluster \"" STR_FMT "\" does not exist", STR_ARG(cluster_name));
	if (!user && user_given)
		return error_set(err, "auth info \"" STR_FMT "\" does not exist", STR_ARG(user_name));
	if (value_get(user, S("exec")) || value_get(user, S("auth-provider")))
		return error_set(err, "user \"" STR_FMT "\": credential plug-ins are not supported",
		                 STR_ARG(user_name));
	k->ns = flag_text(k, "namespace");
	k->ns_given = k->ns.n > 0;
	if (!k->ns.n)
		k->ns = value_get_str(context, S("namespace"));
	k->server = flag_text(k, "server");
	if (!k->server.n)
		k->server = value_get_str(cluster, S("server"));
	k->token = flag_text(k, "token");
	if (!k->token.n)
		k->token = value_get_str(user, S("token"));
	if (!k->token.n)
		k->token_file = value_get_str(user, S("tokenFile"));
	if (!k->server.n)
		pod_account(k, &tls);
	if (!k->server.n)
		k->server = S("http://localhost:8080");
	if (!str_contains(k->server, S("://")))
		k->server = arena_concat(k->a, S("https://"), k->server);
	if (!k->ns.n)
		k->ns = S("default");
	while (str_cut_suffix(&k->server, S("/")))
		;
	tls.insecure = flag_bool(k, "insecure-skip-tls-verify") ||
	               kc_value_true(value_get(cluster, S("insecure-skip-tls-verify")));
	str server_name = flag_text(k, "tls-server-name");
	if (!server_name.n)
		server_name = value_get_str(cluster, S("tls-server-name"));
	tls.server_name = server_name.n ? arena_cstr(k->a, server_name) : NULL;
	if (!pem(k, "certificate-authority", cluster, S("certificate-authority-data"), S("certificate-authority"),
	         &tls.ca_pem, err) ||
	    !pem(k, "client-certificate", user, S("client-certificate-data"), S("client-certificate"), &tls.cert_pem,
	         err) ||
	    !pem(k, "client-key", user, S("client-key-data"), S("client-key"), &tls.key_pem, err))
		return false;
	k->as = flag_text(k, "as");
	k->as_groups = *flag_list(k, "as-group");
	int64_t timeout = 0;
	str timeout_text = flag_text(k, "request-timeout");
	if (!kc_duration_parse(timeout_text, &timeout)) {
		int64_t seconds;
		if (!str_to_i64(timeout_text, &seconds))
			return error_set(err, "Invalid timeout value. Timeout must be a single integer in seconds, or "
			                      "an integer followed by a corresponding time unit (e.g. 1s | 2m | 3h)");
		timeout = seconds * 1000000000;
	}
	struct tls_context *context_tls = NULL;
	if (str_has_prefix(k->server, S("https://")) && !(context_tls = tls_client_new(&tls, err)))
		return false;
	struct http_client_opts o = {
		.base_url = k->server,
		.tls = context_tls,
		.timeout_ms = timeout > 0 ? (int)MIN(timeout / 1000000, INT64_C(86400000)) : 0,
		.user_agent = S("kubectl/v" CORACLE_VERSION " (coracle)"),
		.token = bearer,
		.token_ctx = k,
	};
	k->http = http_client_new(&o, err);
	tls_unref(context_tls);
	return k->http != NULL;
}

// --- kubectl config ---

static void redact(struct kctl *k, struct value *config)
{
	static const struct {
		const char *list, *inner, *field, *shown;
	} secrets[] = {
		{ "clusters", "cluster", "certificate-authority-data", "DATA+OMITTED" },
		{ "users", "user", "client-certificate-data", "DATA+OMITTED" },
		{ "users", "user", "client-key-data", "DATA+OMITTED" },
		{ "users", "user", "token", "REDACTED" },
	};
	for (size_t s = 0; s < ARRAY_LEN(secrets); s++) {
		struct value *list = value_get(config, str_c(secrets[s].list));
		for (size_t i = 0; value_is(list, V_ARRAY) && i < list->a.n; i++) {
			struct value *inner = value_get(list->a.v[i], str_c(secrets[s].inner));
			if (value_get(inner, str_c(secrets[s].field)))
				value_set(k->a, inner, str_c(secrets[s].field),
				          value_string(k->a, str_c(secrets[s].shown)));
		}
	}
}

bool run_config_view(struct kctl *k, struct error *err)
{
	if (!config_load(k, err))
		return false;
	struct value *v = k->config;
	static const char *const lists[] = { "clusters", "contexts", "users" };
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		if (!value_get(v, str_c(lists[i])))
			value_set(k->a, v, str_c(lists[i]), value_null(k->a));
	if (!value_get(v, S("current-context")))
		value_set(k->a, v, S("current-context"), value_string(k->a, S("")));
	value_set(k->a, v, S("apiVersion"), value_string(k->a, S("v1")));
	value_set(k->a, v, S("kind"), value_string(k->a, S("Config")));
	if (!flag_bool(k, "raw"))
		redact(k, v);
	if (flag_bool(k, "minify")) {
		str name = flag_text(k, "context").n ? flag_text(k, "context") : value_get_str(v, S("current-context"));
		struct value *context = named(k, "contexts", name, "context");
		const str keep[] = { value_get_str(context, S("cluster")), name, value_get_str(context, S("user")) };
		for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
			struct value *list = value_get(v, str_c(lists[i]));
			for (size_t j = value_is(list, V_ARRAY) ? list->a.n : 0; j > 0; j--)
				if (!str_eq(value_get_str(list->a.v[j - 1], S("name")), keep[i]))
					value_remove_at(list, j - 1);
		}
	}
	str format = flag_text(k, "output");
	return kc_print_object(k, stdout, format.n ? format : S("yaml"), v, err);
}

bool run_config_current(struct kctl *k, struct error *err)
{
	if (!config_load(k, err))
		return false;
	str name = value_get_str(k->config, S("current-context"));
	if (!name.n)
		return error_set(err, "current-context is not set");
	printf(STR_FMT "\n", STR_ARG(name));
	return true;
}

bool run_config_contexts(struct kctl *k, struct error *err)
{
	if (!config_load(k, err))
		return false;
	struct table t;
	kc_table_init(&t);
	struct value *list = value_get(k->config, S("contexts"));
	str current = value_get_str(k->config, S("current-context"));
	static const char *const heads[] = { "CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE" };
	bool names = str_eqc(flag_text(k, "output"), "name");
	if (!names && !flag_bool(k, "no-headers")) {
		kc_table_row(&t);
		for (size_t i = 0; i < ARRAY_LEN(heads); i++)
			kc_table_cell(&t, str_c(heads[i]));
	}
	for (size_t i = 0; value_is(list, V_ARRAY) && i < list->a.n; i++) {
		str name = value_get_str(list->a.v[i], S("name"));
		const struct value *c = value_get(list->a.v[i], S("context"));
		kc_table_row(&t);
		if (!names)
			kc_table_cell(&t, str_eq(name, current) ? S("*") : S(""));
		kc_table_cell(&t, name);
		if (names)
			continue;
		kc_table_cell(&t, value_get_str(c, S("cluster")));
		kc_table_cell(&t, value_get_str(c, S("user")));
		kc_table_cell(&t, value_get_str(c, S("namespace")));
	}
	kc_table_flush(&t, stdout);
	kc_table_free(&t);
	return true;
}
