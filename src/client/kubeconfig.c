// kubeconfig files (client-go tools/clientcmd): the current context's cluster and user. Credential plug-ins and basic
// authentication are refused: no server that Coracle talks to wants them.
#include "client/client_internal.h"
#include "base/encode.h"
#include "json/yaml.h"

enum { MAX_FILE = 4 << 20 };

// The entry of that name in the list `list`, and in it the member `inner`.
static const struct value *named(const struct value *doc, str list, str name, str inner)
{
	const struct value *l = value_get(doc, list);
	if (!value_is(l, V_ARRAY))
		return NULL;
	for (size_t i = 0; i < l->a.n; i++)
		if (str_eq(value_get_str(l->a.v[i], S("name")), name))
			return value_get(l->a.v[i], inner);
	return NULL;
}

static str resolve(struct arena *a, str dir, str file)
{
	if (str_empty(file) || file.p[0] == '/' || str_empty(dir))
		return arena_dup(a, file);
	return arena_concat(a, dir, S("/"), file);
}

// Data (base64) comes before the file, as upstream has it.
static bool pem(struct arena *a, const struct value *from, str data_key, str file_key, str dir, str *out,
                struct error *err)
{
	str data = value_get_str(from, data_key), file = value_get_str(from, file_key);
	if (!str_empty(data)) {
		if (!base64_decode(a, data, out))
			return error_set(err, STR_FMT ": not base64", STR_ARG(data_key));
		return true;
	}
	if (str_empty(file))
		return true;
	if (!io_read_file(a, resolve(a, dir, file).p, MAX_FILE, out, err))
		return error_wrap(err, STR_FMT, STR_ARG(file_key));
	return true;
}

bool kubeconfig_parse(struct arena *a, str text, str dir, struct kubeconfig *out, struct error *err)
{
	struct value *doc = yaml_parse(a, text, NULL, err);
	if (!doc)
		return false;
	*out = (struct kubeconfig){ 0 };
	str current = value_get_str(doc, S("current-context"));
	if (str_empty(current))
		return error_set(err, "current-context is not set");
	const struct value *context = named(doc, S("contexts"), current, S("context"));
	if (!context)
		return error_set(err, "context \"" STR_FMT "\" does not exist", STR_ARG(current));
	str cluster_name = value_get_str(context, S("cluster")), user_name = value_get_str(context, S("user"));
	const struct value *cluster = named(doc, S("clusters"), cluster_name, S("cluster"));
	if (!cluster)
		return error_set(err, "cluster \"" STR_FMT "\" does not exist", STR_ARG(cluster_name));
	out->server = value_get_str(cluster, S("server"));
	if (str_empty(out->server))
		return error_set(err, "cluster \"" STR_FMT "\" has no server", STR_ARG(cluster_name));
	while (str_cut_suffix(&out->server, S("/")))
		;
	const struct value *insecure = value_get(cluster, S("insecure-skip-tls-verify"));
	out->insecure = value_is(insecure, V_BOOL) && insecure->b;
	str server_name = value_get_str(cluster, S("tls-server-name"));
	if (!str_empty(server_name))
		out->server_name = arena_cstr(a, server_name);
	out->ns = value_get_str(context, S("namespace"));
	if (!pem(a, cluster, S("certificate-authority-data"), S("certificate-authority"), dir, &out->ca_pem, err))
		return false;
	if (str_empty(user_name))
		return true;
	const struct value *user = named(doc, S("users"), user_name, S("user"));
	if (!user)
		return error_set(err, "user \"" STR_FMT "\" does not exist", STR_ARG(user_name));
	if (value_get(user, S("exec")) || value_get(user, S("auth-provider")))
		return error_set(err, "user \"" STR_FMT "\": credential plug-ins are not supported",
		                 STR_ARG(user_name));
	if (value_get(user, S("username")) || value_get(user, S("password")))
		return error_set(err, "user \"" STR_FMT "\": basic authentication is not supported",
		                 STR_ARG(user_name));
	out->token = value_get_str(user, S("token"));
	out->token_file = resolve(a, dir, value_get_str(user, S("tokenFile")));
	return pem(a, user, S("client-certificate-data"), S("client-certificate"), dir, &out->cert_pem, err) &&
	       pem(a, user, S("client-key-data"), S("client-key"), dir, &out->key_pem, err);
}

bool kubeconfig_read(struct arena *a, const char *path, struct kubeconfig *out, struct error *err)
{
	str text, dir = str_c(path);
	if (!io_read_file(a, path, MAX_FILE, &text, err))
		return false;
	ptrdiff_t slash = str_rfind_char(dir, '/');
	dir = slash < 0 ? S("") : str_sub(dir, 0, (size_t)slash);
	if (!kubeconfig_parse(a, text, dir, out, err))
		return error_wrap(err, "%s", path);
	return true;
}
