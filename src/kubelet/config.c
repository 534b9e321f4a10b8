#include "kubelet/config.h"

#include <stddef.h>

#include "base/io.h"
#include "base/log.h"
#include "json/yaml.h"
#include "schema/quantity.h"

static void defaults(struct kubelet_config *c)
{
	*c = (struct kubelet_config){
		.runtime_endpoint = "unix:///run/coracle/runtime.sock",
		.root_dir = "/var/lib/kubelet",
		.log_dir = "/var/log/pods",
		.cgroup_root = "/",
		.address = "0.0.0.0",
		.cert_dir = "/var/lib/kubelet/pki",
		.cluster_domain = "cluster.local",
		.resolv_conf = "/etc/resolv.conf",
		.port = 10250,
		.healthz_port = 0,
		.max_pods = 110,
		.status_ms = 10000,
		.status_report_ms = 5 * 60 * 1000,
		.lease_seconds = 40,
		.sync_ms = 60 * 1000,
		.volume_refresh_ms = 60 * 1000,
		.relist_ms = 10 * 1000,
		.image_gc_high = 85,
		.image_gc_low = 80,
		.image_min_age_ms = 2 * 60 * 1000,
		.log_max_size = 10 * 1024 * 1024,
		.log_max_files = 5,
		.log_level = LOG_INFO,
		.register_node = true,
		.webhook_authn = true,
		.cgroups_per_qos = true,
		.cfs_quota = true,
	};
}

enum kind { K_TEXT, K_INT, K_BOOL, K_LIST, K_MAP, K_TAINTS, K_DURATION, K_RESERVED, K_LEVEL, K_SIZE };
struct option {
	const char *flag;  // without dashes; NULL: only in the file
	const char *field; // path in KubeletConfiguration; NULL: only a flag
	enum kind kind;
	size_t offset;
};
#define OPT(flag, field, kind, member) { flag, field, kind, offsetof(struct kubelet_config, member) }

static const struct option options[] = {
	OPT("kubeconfig", NULL, K_TEXT, kubeconfig),
	OPT("hostname-override", NULL, K_TEXT, hostname),
	OPT("node-ip", NULL, K_TEXT, node_ip),
	OPT("container-runtime-endpoint", "containerRuntimeEndpoint", K_TEXT, runtime_endpoint),
	OPT("image-service-endpoint", "imageServiceEndpoint", K_TEXT, image_endpoint),
	OPT("root-dir", NULL, K_TEXT, root_dir),
	OPT("pod-logs-dir", "podLogsDir", K_TEXT, log_dir),
	OPT("cgroup-root", "cgroupRoot", K_TEXT, cgroup_root),
	OPT("address", "address", K_TEXT, address),
	OPT("port", "port", K_INT, port),
	OPT("healthz-port", "healthzPort", K_INT, healthz_port),
	OPT("tls-cert-file", "tlsCertFile", K_TEXT, tls_cert),
	OPT("tls-private-key-file", "tlsPrivateKeyFile", K_TEXT, tls_key),
	OPT("cert-dir", NULL, K_TEXT, cert_dir),
	OPT("client-ca-file", "authentication.x509.clientCAFile", K_TEXT, client_ca),
	OPT("anonymous-auth", "authentication.anonymous.enabled", K_BOOL, anonymous),
	OPT("authentication-token-webhook", "authentication.webhook.enabled", K_BOOL, webhook_authn),
	OPT("pod-cidr", "podCIDR", K_TEXT, pod_cidr),
	OPT("cluster-dns", "clusterDNS", K_LIST, cluster_dns),
	OPT("cluster-domain", "clusterDomain", K_TEXT, cluster_domain),
	OPT("resolv-conf", "resolvConf", K_TEXT, resolv_conf),
	OPT("node-labels", NULL, K_MAP, node_labels),
	OPT("register-with-taints", "registerWithTaints", K_TAINTS, taints),
	OPT("register-node", "registerNode", K_BOOL, register_node),
	OPT("system-reserved", "systemReserved", K_RESERVED, reserved),
	OPT("kube-reserved", "kubeReserved", K_RESERVED, reserved),
	OPT("max-pods", "maxPods", K_INT, max_pods),
	OPT("node-status-update-frequency", "nodeStatusUpdateFrequency", K_DURATION, status_ms),
	OPT(NULL, "nodeStatusReportFrequency", K_DURATION, status_report_ms),
	OPT(NULL, "nodeLeaseDurationSeconds", K_INT, lease_seconds),
	OPT("sync-frequency", "syncFrequency", K_DURATION, sync_ms),
	OPT("image-gc-high-threshold", "imageGCHighThresholdPercent", K_INT, image_gc_high),
	OPT("image-gc-low-threshold", "imageGCLowThresholdPercent", K_INT, image_gc_low),
	OPT("minimum-image-ttl-duration", "imageMinimumGCAge", K_DURATION, image_min_age_ms),
	OPT("container-log-max-size", "containerLogMaxSize", K_SIZE, log_max_size),
	OPT("container-log-max-files", "containerLogMaxFiles", K_INT, log_max_files),
	OPT("seccomp-default", "seccompDefault", K_BOOL, seccomp_default),
	OPT("cgroups-per-qos", "cgroupsPerQOS", K_BOOL, cgroups_per_qos),
	OPT("cpu-cfs-quota", "cpuCFSQuota", K_BOOL, cfs_quota),
	OPT("v", NULL, K_LEVEL, log_level),
};

// "1m30s", "10s", "500ms", "4h": Go's durations.
static bool duration_ms(str s, int64_t *out)
{
	int64_t total = 0;
	if (str_empty(s))
		return false;
	while (s.n) {
		int64_t v = 0;
		size_t i = 0;
		for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++) {
			if (v > INT64_MAX / 100000000)
				return false;
			v = v * 10 + (s.p[i] - '0');
		}
		if (i == 0)
			return false;
		s = str_from(s, i);
		if (str_cut_prefix(&s, S("ms")))
			total += v;
		else if (str_cut_prefix(&s, S("s")))
			total += v * 1000;
		else if (str_cut_prefix(&s, S("m")))
			total += v * 60000;
		else if (str_cut_prefix(&s, S("h")))
			total += v * 3600000;
		else
			return false;
	}
	*out = total;
	return true;
}

static bool add_reserved(struct arena *a, struct quantity_map *m, str key, str text, struct error *err)
{
	struct quantity q, have;
	if (!quantity_canonical(a, text, &q, err))
		return error_wrap(err, "reserved " STR_FMT, STR_ARG(key));
	if (quantity_map_get(m, key, &have))
		q = quantity_add(a, have, q);
	quantity_map_set(a, m, arena_dup(a, key), q);
	return true;
}

// "key=value:Effect" or "key:Effect"
static bool add_taint(struct arena *a, struct core_v1_Taint_list *list, str text, struct error *err)
{
	str head, effect, key, value;
	if (!str_split(text, ':', &head, &effect) || str_empty(head) ||
	    !(str_eqc(effect, "NoSchedule") || str_eqc(effect, "PreferNoSchedule") || str_eqc(effect, "NoExecute")))
		return error_set(err, "invalid taint spec: " STR_FMT, STR_ARG(text));
	str_split(head, '=', &key, &value);
	*LIST_ADD(a, list) = (struct core_v1_Taint){ .key = key, .value = value, .effect = effect };
	return true;
}

static bool set_text(struct arena *a, struct kubelet_config *c, const struct option *o, str text, struct error *err)
{
	void *to = (char *)c + o->offset;
	int64_t n;
	switch (o->kind) {
	case K_TEXT:
		*(const char **)to = arena_cstr(a, text);
		return true;
	case K_INT:
		if (!str_to_i64(text, &n) || n < 0 || n > INT32_MAX)
			return error_set(err, "not a number: " STR_FMT, STR_ARG(text));
		*(int *)to = (int)n;
		return true;
	case K_BOOL:
		if (!str_eqc(text, "true") && !str_eqc(text, "false"))
			return error_set(err, "neither true nor false: " STR_FMT, STR_ARG(text));
		*(bool *)to = str_eqc(text, "true");
		return true;
	case K_DURATION:
		if (!duration_ms(text, &n))
			return error_set(err, "not a duration: " STR_FMT, STR_ARG(text));
		if (n > 0)
			*(int64_t *)to = n;
		return true;
	case K_LEVEL:
		if (!str_to_i64(text, &n))
			return error_set(err, "not a number: " STR_FMT, STR_ARG(text));
		c->log_level = n >= 4 ? LOG_DEBUG : LOG_INFO;
		return true;
	case K_LIST:
		for (str rest = text, part; str_next(&rest, ',', &part);)
			if (part.n)
				*LIST_ADD(a, (struct str_list *)to) = arena_dup(a, part);
		return true;
	case K_MAP:
	case K_RESERVED:
	case K_TAINTS:
		for (str rest = text, part; str_next(&rest, ',', &part);) {
			str key, value;
			if (!part.n)
				continue;
			part = arena_dup(a, part);
			if (o->kind == K_TAINTS) {
				if (!add_taint(a, to, part, err))
					return false;
				continue;
			}
			if (!str_split(part, '=', &key, &value) && o->kind == K_RESERVED)
				return error_set(err, "not key=value: " STR_FMT, STR_ARG(part));
			if (o->kind == K_MAP)
				str_map_set(a, to, key, value);
			else if (!add_reserved(a, to, key, value, err))
				return false;
		}
		return true;
	case K_SIZE: {
		struct quantity q;
		if (!quantity_canonical(a, text, &q, err))
			return false;
		*(int64_t *)to = quantity_value(q);
		return true;
	}
	}
	return true;
}

static bool set_value(struct arena *a, struct kubelet_config *c, const struct option *o, const struct value *v, struct error *err)
{
	void *to = (char *)c + o->offset;
	int64_t n;
	if (v->kind == V_NULL)
		return true;
	if (o->kind == K_LIST && v->kind == V_ARRAY) {
		for (size_t i = 0; i < v->a.n; i++)
			*LIST_ADD(a, (struct str_list *)to) = value_str(v->a.v[i]);
		return true;
	}
	if (o->kind == K_RESERVED && v->kind == V_OBJECT) {
		for (size_t i = 0; i < v->o.n; i++) {
			str text = value_str(v->o.v[i].value);
			if (value_to_i64(v->o.v[i].value, &n))
				text = arena_printf(a, "%lld", (long long)n);
			if (!add_reserved(a, to, v->o.v[i].key, text, err))
				return false;
		}
		return true;
	}
	if (o->kind == K_TAINTS && v->kind == V_ARRAY) {
		for (size_t i = 0; i < v->a.n; i++)
			*LIST_ADD(a, (struct core_v1_Taint_list *)to) =
				(struct core_v1_Taint){ .key = value_get_str(v->a.v[i], S("key")),
				                        .value = value_get_str(v->a.v[i], S("value")),
				                        .effect = value_get_str(v->a.v[i], S("effect")) };
		return true;
	}
	if (v->kind == V_BOOL)
		return set_text(a, c, o, v->b ? S("true") : S("false"), err);
	if (value_to_i64(v, &n))
		return set_text(a, c, o, arena_printf(a, "%lld", (long long)n), err);
	if (v->kind == V_STRING)
		return set_text(a, c, o, v->s, err);
	return error_set(err, "unexpected %s", value_kind_name(v->kind));
}

// Fields that say how upstream's own defaults are; they are accepted because nothing changes by them.
static const char *const tolerated[] = {
	"apiVersion", "kind", "authorization", "authentication", "cgroupDriver", "failSwapOn", "staticPodPath", "rotateCertificates",
	"serverTLSBootstrap", "logging", "memorySwap", "streamingConnectionIdleTimeout", "healthzBindAddress", "readOnlyPort",
	"fileCheckFrequency", "httpCheckFrequency", "volumeStatsAggPeriod", "runtimeRequestTimeout", "cpuManagerReconcilePeriod",
	"evictionPressureTransitionPeriod", "evictionHard", "imageMaximumGCAge", "hairpinMode",
	"serializeImagePulls", "enableServer", "enforceNodeAllocatable", "featureGates", "shutdownGracePeriod",
	"shutdownGracePeriodCriticalPods", "crashLoopBackOff", "nodeStatusMaxImages", "eventRecordQPS", "eventBurst",
	"kubeAPIQPS", "kubeAPIBurst",
};

static bool load_file(struct arena *a, const char *path, struct kubelet_config *c, struct error *err)
{
	str text;
	if (!io_read_file(a, path, 1 << 20, &text, err))
		return error_wrap(err, "--config");
	struct value *doc = yaml_parse(a, text, NULL, err);
	if (!doc)
		return error_wrap(err, "--config %s", path);
	if (!value_is(doc, V_OBJECT) || !str_eqc(value_get_str(doc, S("kind")), "KubeletConfiguration"))
		return error_set(err, "--config %s: not a KubeletConfiguration", path);
	if (value_get_str(doc, S("staticPodPath")).n)
		return error_set(err, "--config %s: staticPodPath: static pods are not supported", path);
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		const struct value *v = doc;
		if (!options[i].field)
			continue;
		for (str rest = str_c(options[i].field), part; v && str_next(&rest, '.', &part);)
			v = value_get(v, part);
		if (v && !set_value(a, c, &options[i], v, err))
			return error_wrap(err, "--config %s: %s", path, options[i].field);
	}
	if (str_eqc(value_str(value_path(doc, S("authorization"), S("mode"))), "AlwaysAllow"))
		c->always_allow = true;
	for (size_t i = 0; i < doc->o.n; i++) {
		bool known = false;
		for (size_t k = 0; k < ARRAY_LEN(options) && !known; k++)
			known = options[k].field && str_eqc(doc->o.v[i].key, options[k].field);
		for (size_t k = 0; k < ARRAY_LEN(tolerated) && !known; k++)
			known = str_eqc(doc->o.v[i].key, tolerated[k]);
		if (!known)
			return error_set(err, "--config %s: field %.*s is not supported", path, STR_ARG(doc->o.v[i].key));
	}
	return true;
}

bool kubelet_config_load(struct arena *a, int argc, char **argv, struct kubelet_config *out, struct error *err)
{
	defaults(out);
	// The file first, wherever it stands: flags win over it.
	for (int pass = 0; pass < 2; pass++) {
		for (int i = 1; i < argc; i++) {
			str arg = str_c(argv[i]), name, value;
			if (!str_cut_prefix(&arg, S("--")) && !str_cut_prefix(&arg, S("-")))
				return error_set(err, "unknown command %s", argv[i]);
			bool has_value = str_split(arg, '=', &name, &value);
			const struct option *o = NULL;
			for (size_t k = 0; k < ARRAY_LEN(options) && !o; k++)
				if (options[k].flag && str_eqc(name, options[k].flag))
					o = &options[k];
			bool mode = str_eqc(name, "authorization-mode"), file = str_eqc(name, "config");
			if (str_eqc(name, "pod-manifest-path"))
				return error_set(err, "--pod-manifest-path: static pods are not supported");
			if (!o && !file && !mode)
				return error_set(err, "unknown flag: --" STR_FMT, STR_ARG(name));
			if (!has_value && o && o->kind == K_BOOL) {
				value = S("true");
			} else if (!has_value) {
				if (i + 1 >= argc)
					return error_set(err, "flag needs an argument: --" STR_FMT, STR_ARG(name));
				value = str_c(argv[++i]);
			}
			if (file && pass == 0 && !load_file(a, arena_cstr(a, value), out, err))
				return false;
			if (mode && pass == 1) {
				if (!str_eqc(value, "Webhook") && !str_eqc(value, "AlwaysAllow"))
					return error_set(err, "--authorization-mode: " STR_FMT " is neither Webhook nor AlwaysAllow", STR_ARG(value));
				out->always_allow = str_eqc(value, "AlwaysAllow");
			}
			if (o && pass == 1) {
				if (o->kind == K_LIST)
					*(struct str_list *)((char *)out + o->offset) = (struct str_list){ 0 };
				if (!set_text(a, out, o, value, err))
					return error_wrap(err, "--" STR_FMT, STR_ARG(name));
			}
		}
	}
	if (!out->kubeconfig)
		return error_set(err, "--kubeconfig is needed");
	if (out->image_gc_high < out->image_gc_low)
		return error_set(err, "--image-gc-high-threshold must not be below --image-gc-low-threshold");
	return true;
}
