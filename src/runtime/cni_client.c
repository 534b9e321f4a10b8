#include "runtime/cni_client.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#include "base/io.h"
#include "base/log.h"
#include "base/proc.h"
#include "json/json.h"

enum { CNI_TIMEOUT_MS = 120 * 1000, CNI_OUTPUT_MAX = 4 << 20 };

static bool plugin_type_valid(str t)
{
	return t.n > 0 && t.n < 256 && !memchr(t.p, '/', t.n) && !memchr(t.p, 0, t.n) && t.p[0] != '.';
}

bool cni_parse(struct arena *a, str text, bool is_list, struct cni_network *out, struct error *err)
{
	*out = (struct cni_network){ 0 };
	struct value *v = json_parse(a, text, &(struct json_opts){ .max_depth = 64 }, err);
	if (!v)
		return false;
	if (v->kind != V_OBJECT)
		return error_api(err, 400, "BadRequest", "not an object");
	if (!is_list || (!value_get(v, S("plugins")) && value_get_str(v, S("type")).n)) { // one plugin alone
		struct value *list = value_object(a), *plugins = value_array(a);
		value_set(a, list, S("cniVersion"), value_string(a, value_get_str(v, S("cniVersion"))));
		value_set(a, list, S("name"), value_string(a, value_get_str(v, S("name"))));
		value_append(a, plugins, v);
		value_set(a, list, S("plugins"), plugins);
		v = list;
	}
	const struct value *plugins = value_get(v, S("plugins"));
	if (!value_is(plugins, V_ARRAY) || plugins->a.n == 0 || plugins->a.n > 64)
		return error_api(err, 400, "BadRequest", "no plugins");
	for (size_t i = 0; i < plugins->a.n; i++)
		if (!plugin_type_valid(value_get_str(plugins->a.v[i], S("type"))))
			return error_api(err, 400, "BadRequest", "plugin %zu has no valid type", i);
	out->name = value_get_str(v, S("name"));
	out->version = value_get_str(v, S("cniVersion"));
	if (out->name.n == 0)
		return error_api(err, 400, "BadRequest", "no name");
	if (out->version.n == 0)
		out->version = S("0.2.0");
	out->list = v;
	out->text = json_text(a, v, JSON_COMPACT);
	return true;
}

bool cni_load(struct arena *a, const char *dir, struct cni_network *out, struct error *err)
{
	struct { str *v; size_t n; } names = { 0 };
	_cleanup_closedir_ DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		str name = str_c(e->d_name);
		if (name.p[0] != '.' && (str_has_suffix(name, S(".conflist")) || str_has_suffix(name, S(".conf")) || str_has_suffix(name, S(".json"))))
			*LIST_ADD(a, &names) = arena_dup(a, name);
	}
	if (names.n)
		qsort(names.v, names.n, sizeof(*names.v), str_cmp_qsort);
	for (size_t i = 0; i < names.n; i++) {
		const char *path = arena_printf(a, "%s/" STR_FMT, dir, STR_ARG(names.v[i])).p;
		str text;
		struct error bad = { 0 };
		if (io_read_file(a, path, 1 << 20, &text, &bad) && cni_parse(a, text, str_has_suffix(names.v[i], S(".conflist")), out, &bad))
			return true;
		log_warn("%s: %s", path, bad.text);
	}
	return error_api(err, 503, "ServiceUnavailable", "cni plugin not initialized");
}

static const char *find_plugin(struct arena *a, const char *dirs, str type)
{
	for (str rest = str_c(dirs), dir; str_next(&rest, ':', &dir);) {
		const char *path = arena_printf(a, STR_FMT "/" STR_FMT, STR_ARG(dir), STR_ARG(type)).p;
		if (dir.n && access(path, X_OK) == 0)
			return path;
	}
	return NULL;
}

static const char *args_value(struct arena *a, str s)
{
	char *c = arena_cstr(a, s);
	for (char *p = c; *p; p++)
		if (*p == ';' || *p == '=')
			*p = '_';
	return c;
}

// What a plugin gets on standard input: its own object with the list's name and version, what it may know and the result so far.
static str plugin_config(struct arena *a, const struct cni_network *n, const struct value *plugin, const struct cni_attachment *t, str prev)
{
	struct value *v = value_object(a);
	for (size_t i = 0; i < plugin->o.n; i++)
		if (!str_eqc(plugin->o.v[i].key, "capabilities"))
			value_set(a, v, plugin->o.v[i].key, plugin->o.v[i].value);
	value_set(a, v, S("name"), value_string(a, n->name));
	value_set(a, v, S("cniVersion"), value_string(a, n->version));
	const struct value *caps = value_get(plugin, S("capabilities"));
	struct value *runtime = value_object(a), *want;
	if (t->port_mappings && value_is(want = value_get(caps, S("portMappings")), V_BOOL) && want->b)
		value_set(a, runtime, S("portMappings"), t->port_mappings);
	if (t->bandwidth && value_is(want = value_get(caps, S("bandwidth")), V_BOOL) && want->b)
		value_set(a, runtime, S("bandwidth"), t->bandwidth);
	if (runtime->o.n)
		value_set(a, v, S("runtimeConfig"), runtime);
	struct error ignored = { 0 };
	struct value *result = prev.n ? json_parse(a, prev, NULL, &ignored) : NULL;
	if (result)
		value_set(a, v, S("prevResult"), result);
	return json_text(a, v, JSON_COMPACT);
}

static bool run_plugin(struct arena *a, const struct cni_network *n, const char *bin_dirs, const struct value *plugin,
                       const struct cni_attachment *t, const char *command, str prev, str *out, struct error *err)
{
	str type = value_get_str(plugin, S("type"));
	const char *path = find_plugin(a, bin_dirs, type);
	char verb[16];
	snprintf(verb, sizeof(verb), "%s", command);
	for (char *p = verb; *p; p++)
		*p = (char)(*p | 0x20);
	if (!path)
		return error_set(err, "plugin type=\"" STR_FMT "\" failed (%s): failed to find plugin \"" STR_FMT "\" in path [%s]", STR_ARG(type), verb, STR_ARG(type), bin_dirs);
	const char *search = getenv("PATH");
	const char *env[] = {
		arena_printf(a, "PATH=%s", search ? search : "/usr/sbin:/usr/bin:/sbin:/bin").p,
		arena_printf(a, "CNI_COMMAND=%s", command).p,
		arena_printf(a, "CNI_CONTAINERID=%s", t->id).p,
		arena_printf(a, "CNI_NETNS=%s", t->netns ? t->netns : "").p,
		arena_printf(a, "CNI_IFNAME=%s", t->ifname).p,
		arena_printf(a, "CNI_PATH=%s", bin_dirs).p,
		arena_printf(a, "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=%s;K8S_POD_NAME=%s;K8S_POD_INFRA_CONTAINER_ID=%s;K8S_POD_UID=%s",
		             args_value(a, t->pod_namespace), args_value(a, t->pod_name), t->id, args_value(a, t->pod_uid)).p,
		NULL,
	};
	struct proc_result r;
	if (!proc_run(a, (const char *const[]){ path, NULL }, env, plugin_config(a, n, plugin, t, prev), CNI_OUTPUT_MAX, CNI_TIMEOUT_MS, &r, err))
		return error_wrap(err, "plugin type=\"" STR_FMT "\" failed (%s)", STR_ARG(type), verb);
	if (r.status == 0) {
		*out = r.out;
		return true;
	}
	struct error ignored = { 0 };
	struct value *e = json_parse(a, r.out, NULL, &ignored);
	str msg = value_get_str(e, S("msg")), details = value_get_str(e, S("details"));
	if (msg.n == 0)
		msg = r.err.n ? str_trim(r.err) : S("netplugin failed with no error message");
	return error_set(err, "plugin type=\"" STR_FMT "\" failed (%s): " STR_FMT "%s" STR_FMT, STR_ARG(type), verb, STR_ARG(msg), details.n ? "; " : "", STR_ARG(details));
}

bool cni_add(struct arena *a, const struct cni_network *n, const char *bin_dirs, const struct cni_attachment *t, str *result, struct error *err)
{
	const struct value *plugins = value_get(n->list, S("plugins"));
	*result = (str){ 0 };
	for (size_t i = 0; i < plugins->a.n; i++)
		if (!run_plugin(a, n, bin_dirs, plugins->a.v[i], t, "ADD", *result, result, err))
			return false;
	return true;
}

bool cni_del(struct arena *a, const struct cni_network *n, const char *bin_dirs, const struct cni_attachment *t, str result, struct error *err)
{
	const struct value *plugins = value_get(n->list, S("plugins"));
	// Before 0.4.0 DEL got no result.
	str prev = str_cmp(n->version, S("0.4.0")) >= 0 ? result : (str){ 0 };
	bool ok = true;
	for (size_t i = plugins->a.n; i-- > 0;) {
		str ignored;
		struct error one = { 0 };
		if (!run_plugin(a, n, bin_dirs, plugins->a.v[i], t, "DEL", prev, &ignored, &one)) {
			*err = one;
			ok = false; // the rest is still removed
		}
	}
	return ok;
}

bool cni_check(struct arena *a, const struct cni_network *n, const char *bin_dirs, const struct cni_attachment *t, str result, struct error *err)
{
	const struct value *plugins = value_get(n->list, S("plugins")), *off = value_get(n->list, S("disableCheck"));
	if (str_cmp(n->version, S("0.4.0")) < 0 || (value_is(off, V_BOOL) && off->b))
		return true;
	for (size_t i = 0; i < plugins->a.n; i++) {
		str ignored;
		if (!run_plugin(a, n, bin_dirs, plugins->a.v[i], t, "CHECK", result, &ignored, err))
			return false;
	}
	return true;
}

static bool ip_family(str ip, int *family)
{
	char text[INET6_ADDRSTRLEN];
	unsigned char bytes[16];
	if (ip.n == 0 || ip.n >= sizeof(text))
		return false;
	memcpy(text, ip.p, ip.n);
	text[ip.n] = 0;
	*family = strchr(text, ':') ? AF_INET6 : AF_INET;
	return inet_pton(*family, text, bytes) == 1;
}

bool cni_result_ips(struct arena *a, str result, struct str_list *out, struct error *err)
{
	*out = (struct str_list){ 0 };
	struct value *v = json_parse(a, result, &(struct json_opts){ .max_depth = 64 }, err);
	if (!v)
		return error_wrap(err, "CNI result");
	struct str_list all = { 0 };
	const struct value *ips = value_get(v, S("ips"));
	for (size_t i = 0; value_is(ips, V_ARRAY) && i < ips->a.n; i++)
		*LIST_ADD(a, &all) = value_get_str(ips->a.v[i], S("address"));
	// 0.1.0 and 0.2.0 name one address of each family.
	str four = value_get_str(value_get(v, S("ip4")), S("ip")), six = value_get_str(value_get(v, S("ip6")), S("ip"));
	if (four.n)
		*LIST_ADD(a, &all) = four;
	if (six.n)
		*LIST_ADD(a, &all) = six;
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < all.n; i++) {
			str ip, len;
			int family;
			str_split(all.v[i], '/', &ip, &len);
			if (!ip_family(ip, &family))
				return error_set(err, "CNI result: invalid address \"" STR_FMT "\"", STR_ARG(all.v[i]));
			if ((family == AF_INET) == (pass == 0))
				*LIST_ADD(a, out) = ip;
		}
	return out->n > 0 || error_set(err, "CNI result has no address");
}
