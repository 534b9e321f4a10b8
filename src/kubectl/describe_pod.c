// Pods and pod templates.
#include <stdlib.h>

#include "kubectl/describe.h"

static void ports(struct describer *d, const struct value *c, const char *field, const char *title)
{
	const struct value *list = value_get(c, S("ports"));
	_cleanup_buf_ struct buf b = { 0 };
	for (size_t i = 0; i < d_count(list); i++) {
		str name = d_member(list->a.v[i], "name");
		buf_printf(&b, "%s%lld/" STR_FMT, i ? ", " : "", d_number(list->a.v[i], field),
		           STR_ARG(d_member(list->a.v[i], "protocol")));
		if (name.n)
			buf_printf(&b, " (" STR_FMT ")", STR_ARG(name));
	}
	d_line(d, 2, "%s%s:\t" STR_FMT "\n", title, d_count(list) > 1 ? "s" : "",
	       STR_ARG(b.n ? buf_str(&b) : S("<none>")));
}

static void words(struct describer *d, const struct value *list, const char *title)
{
	if (d_count(list))
		d_line(d, 2, "%s:\n", title);
	for (size_t i = 0; i < d_count(list); i++)
		for (str rest = value_str(list->a.v[i]), line; str_next(&rest, '\n', &line);)
			d_line(d, 3, STR_FMT "\n", STR_ARG(line));
}

static void state(struct describer *d, const char *title, const struct value *s)
{
	const struct value *running = value_get(s, S("running")), *ended = value_get(s, S("terminated")),
	                   *waiting = value_get(s, S("waiting"));
	if (running) {
		d_line(d, 2, "%s:\tRunning\n", title);
		d_line(d, 3, "Started:\t" STR_FMT "\n", STR_ARG(d_time(d, d_member(running, "startedAt"))));
	} else if (ended && !waiting) {
		str reason = d_member(ended, "reason"), message = d_member(ended, "message");
		d_line(d, 2, "%s:\tTerminated\n", title);
		if (reason.n)
			d_line(d, 3, "Reason:\t" STR_FMT "\n", STR_ARG(reason));
		if (message.n)
			d_line(d, 3, "Message:\t" STR_FMT "\n", STR_ARG(message));
		d_line(d, 3, "Exit Code:\t%lld\n", d_number(ended, "exitCode"));
		if (d_number(ended, "signal") > 0)
			d_line(d, 3, "Signal:\t%lld\n", d_number(ended, "signal"));
		d_line(d, 3, "Started:\t" STR_FMT "\n", STR_ARG(d_time(d, d_member(ended, "startedAt"))));
		d_line(d, 3, "Finished:\t" STR_FMT "\n", STR_ARG(d_time(d, d_member(ended, "finishedAt"))));
	} else {
		str reason = d_member(waiting, "reason");
		d_line(d, 2, "%s:\tWaiting\n", title);
		if (reason.n)
			d_line(d, 3, "Reason:\t" STR_FMT "\n", STR_ARG(reason));
	}
}

static void resources(struct describer *d, const struct value *r, int level)
{
	static const char *const fields[][2] = { { "limits", "Limits" }, { "requests", "Requests" } };
	for (size_t f = 0; f < ARRAY_LEN(fields); f++) {
		size_t n;
		struct member *m = d_sorted(d, value_get(r, str_c(fields[f][0])), &n);
		if (n)
			d_line(d, level, "%s:\n", fields[f][1]);
		for (size_t i = 0; i < n; i++)
			d_line(d, level + 1, STR_FMT ":\t" STR_FMT "\n", STR_ARG(m[i].key),
			       STR_ARG(value_str(m[i].value)));
	}
}

static str plain(struct describer *d, const struct value *v)
{
	_cleanup_buf_ struct buf b = { 0 };
	if (v)
		kc_write_plain(&b, v);
	return arena_dup(d->k->a, buf_str(&b));
}

static void probe(struct describer *d, const struct value *c, const char *field, const char *title)
{
	const struct value *p = value_get(c, str_c(field)), *how;
	if (!p)
		return;
	str attributes = arena_printf(d->k->a, "delay=%llds timeout=%llds period=%llds #success=%lld #failure=%lld",
	                              d_number(p, "initialDelaySeconds"), d_number(p, "timeoutSeconds"),
	                              d_number(p, "periodSeconds"), d_number(p, "successThreshold"),
	                              d_number(p, "failureThreshold"));
	str what = S("unknown");
	if ((how = value_get(p, S("exec")))) {
		what = arena_concat(d->k->a, S("exec "), plain(d, value_get(how, S("command"))));
	} else if ((how = value_get(p, S("httpGet")))) {
		what = arena_concat(d->k->a, S("http-get "), kc_lower(d->k->a, d_member(how, "scheme")), S("://"),
		                    d_member(how, "host"), S(":"), plain(d, value_get(how, S("port"))),
		                    d_member(how, "path"));
	} else if ((how = value_get(p, S("tcpSocket")))) {
		what = arena_concat(d->k->a, S("tcp-socket "), d_member(how, "host"), S(":"),
		                    plain(d, value_get(how, S("port"))));
	} else if ((how = value_get(p, S("grpc")))) {
		what = arena_concat(d->k->a, S("grpc <pod>:"), plain(d, value_get(how, S("port"))), S(" "),
		                    d_member(how, "service"));
	}
	d_line(d, 2, "%s:\t" STR_FMT " " STR_FMT "\n", title, STR_ARG(what), STR_ARG(attributes));
}

// What a fieldRef of this pod is: metadata.name, metadata.labels['x']; the status is not looked into, as upstream.
static str field_value(struct describer *d, str path)
{
	struct error ignored;
	struct value *v =
	        !d->in_template && str_has_prefix(path, S("metadata.")) ? jsonpath_first(d->k, path, d->obj, &ignored) : NULL;
	return v && v->kind != V_OBJECT && v->kind != V_ARRAY ? plain(d, v) : (str){ 0 };
}

static str resource_value(struct describer *d, const struct value *c, str path)
{
	str list, name;
	if (!str_split(path, '.', &list, &name))
		return (str){ 0 };
	const struct value *v = value_path(c, S("resources"), list, name);
	if (v)
		return value_str(v);
	return str_eqc(path, "limits.cpu") || str_eqc(path, "limits.memory") ? S("node allocatable") : S("0");
}

static void environment(struct describer *d, const struct value *c)
{
	const struct value *from = value_get(c, S("envFrom")), *env = value_get(c, S("env"));
	if (d_count(from))
		d_raw(d, S("    Environment Variables from:\n"));
	for (size_t i = 0; i < d_count(from); i++) {
		const struct value *e = from->a.v[i], *map = value_get(e, S("configMapRef")),
		                   *ref = map ? map : value_get(e, S("secretRef"));
		str prefix = d_member(e, "prefix");
		d_line(d, 3, STR_FMT "\t%s", STR_ARG(d_member(ref, "name")), map ? "ConfigMap" : "Secret");
		if (prefix.n)
			d_line(d, 0, " with prefix '" STR_FMT "'", STR_ARG(prefix));
		d_line(d, 0, "\tOptional: %s\n", kc_value_true(value_get(ref, S("optional"))) ? "true" : "false");
	}
	d_line(d, 2, "Environment:%s\n", d_count(env) ? "" : "\t<none>");
	for (size_t i = 0; i < d_count(env); i++) {
		const struct value *e = env->a.v[i], *source = value_get(e, S("valueFrom")), *ref;
		str name = d_member(e, "name");
		if (!source) {
			bool first = true;
			str rest = d_member(e, "value"), line;
			if (!rest.p)
				rest = S("");
			for (; str_next(&rest, '\n', &line); first = false)
				d_line(d, 3, STR_FMT "%s\t" STR_FMT "\n", STR_ARG(first ? name : S("")),
				       first ? ":" : "", STR_ARG(line));
		} else if ((ref = value_get(source, S("fieldRef")))) {
			str path = d_member(ref, "fieldPath");
			d_line(d, 3, STR_FMT ":\t" STR_FMT " (" STR_FMT ":" STR_FMT ")\n", STR_ARG(name),
			       STR_ARG(field_value(d, path)), STR_ARG(d_member(ref, "apiVersion")), STR_ARG(path));
		} else if ((ref = value_get(source, S("resourceFieldRef")))) {
			str path = d_member(ref, "resource");
			d_line(d, 3, STR_FMT ":\t" STR_FMT " (" STR_FMT ")\n", STR_ARG(name),
			       STR_ARG(resource_value(d, c, path)), STR_ARG(path));
		} else if ((ref = value_get(source, S("secretKeyRef")))) {
			d_line(d, 3,
			       STR_FMT ":\t<set to the key '" STR_FMT "' in secret '" STR_FMT "'>\tOptional: %s\n",
			       STR_ARG(name), STR_ARG(d_member(ref, "key")), STR_ARG(d_member(ref, "name")),
			       kc_value_true(value_get(ref, S("optional"))) ? "true" : "false");
		} else if ((ref = value_get(source, S("configMapKeyRef")))) {
			d_line(d, 3,
			       STR_FMT ":\t<set to the key '" STR_FMT "' of config map '" STR_FMT "'>\tOptional: %s\n",
			       STR_ARG(name), STR_ARG(d_member(ref, "key")), STR_ARG(d_member(ref, "name")),
			       kc_value_true(value_get(ref, S("optional"))) ? "true" : "false");
		}
	}
}

static int by_mount_path(const void *x, const void *y)
{
	return str_cmp(value_get_str(*(struct value *const *)x, S("mountPath")),
	               value_get_str(*(struct value *const *)y, S("mountPath")));
}

static void mounts(struct describer *d, const struct value *c)
{
	const struct value *list = value_get(c, S("volumeMounts"));
	size_t n = d_count(list);
	d_line(d, 2, "Mounts:%s\n", n ? "" : "\t<none>");
	const struct value **v = ARENA_ARRAY(d->k->a, const struct value *, n);
	for (size_t i = 0; i < n; i++)
		v[i] = list->a.v[i];
	if (n)
		qsort(v, n, sizeof(*v), by_mount_path);
	for (size_t i = 0; i < n; i++) {
		str sub = d_member(v[i], "subPath");
		d_line(d, 3, STR_FMT " from " STR_FMT " (%s", STR_ARG(d_member(v[i], "mountPath")),
		       STR_ARG(d_member(v[i], "name")), kc_value_true(value_get(v[i], S("readOnly"))) ? "ro" : "rw");
		if (sub.n)
			d_line(d, 0, ",path=" STR_FMT, STR_ARG(kc_quoted(d->k->a, sub)));
		d_raw(d, S(")\n"));
	}
	const struct value *devices = value_get(c, S("volumeDevices"));
	if (d_count(devices))
		d_line(d, 2, "Devices:%s\n", n ? "" : "\t<none>");
	for (size_t i = 0; i < d_count(devices); i++)
		d_line(d, 3, STR_FMT " from " STR_FMT "\n", STR_ARG(d_member(devices->a.v[i], "devicePath")),
		       STR_ARG(d_member(devices->a.v[i], "name")));
}

static void containers(struct describer *d, const char *title, const struct value *list, const struct value *statuses,
                       bool in_template)
{
	d->in_template = in_template;
	d_line(d, in_template, "%s:%s\n", title, d_count(list) ? "" : " <none>");
	for (size_t i = 0; i < d_count(list); i++) {
		const struct value *c = list->a.v[i], *status = NULL,
		                   *seccomp = value_path(c, S("securityContext"), S("seccompProfile"));
		for (size_t j = 0; j < d_count(statuses); j++)
			if (str_eq(d_member(statuses->a.v[j], "name"), d_member(c, "name")))
				status = statuses->a.v[j];
		d_line(d, 1, "%s" STR_FMT ":\n", in_template ? " " : "", STR_ARG(d_member(c, "name")));
		if (status)
			d_line(d, 2, "Container ID:\t" STR_FMT "\n", STR_ARG(d_member(status, "containerID")));
		d_line(d, 2, "Image:\t" STR_FMT "\n", STR_ARG(d_member(c, "image")));
		if (status)
			d_line(d, 2, "Image ID:\t" STR_FMT "\n", STR_ARG(d_member(status, "imageID")));
		ports(d, c, "containerPort", "Port");
		ports(d, c, "hostPort", "Host Port");
		if (seccomp)
			d_line(d, 2, "SeccompProfile:\t" STR_FMT "\n", STR_ARG(d_member(seccomp, "type")));
		words(d, value_get(c, S("command")), "Command");
		words(d, value_get(c, S("args")), "Args");
		if (status) {
			const struct value *last = value_get(status, S("lastState"));
			state(d, "State", value_get(status, S("state")));
			if (value_get(last, S("terminated")))
				state(d, "Last State", last);
			d_line(d, 2, "Ready:\t%s\n", kc_value_true(value_get(status, S("ready"))) ? "True" : "False");
			d_line(d, 2, "Restart Count:\t%lld\n", d_number(status, "restartCount"));
		}
		resources(d, value_get(c, S("resources")), 2);
		probe(d, c, "livenessProbe", "Liveness");
		probe(d, c, "readinessProbe", "Readiness");
		probe(d, c, "startupProbe", "Startup");
		environment(d, c);
		mounts(d, c);
	}
}

static const char *optional(const struct value *v)
{
	return kc_value_true(value_get(v, S("optional"))) ? "true" : "false";
}

static void projected(struct describer *d, const struct value *v)
{
	const struct value *sources = value_get(v, S("sources")), *s;
	d_line(d, 2, "Type:\tProjected (a volume that contains injected data from multiple sources)\n");
	for (size_t i = 0; i < d_count(sources); i++) {
		const struct value *from = sources->a.v[i];
		if ((s = value_get(from, S("secret"))))
			d_line(d, 2, "SecretName:\t" STR_FMT "\n    Optional:\t%s\n", STR_ARG(d_member(s, "name")),
			       optional(s));
		else if (value_get(from, S("downwardAPI")))
			d_line(d, 2, "DownwardAPI:\ttrue\n");
		else if ((s = value_get(from, S("configMap"))))
			d_line(d, 2, "ConfigMapName:\t" STR_FMT "\n    Optional:\t%s\n", STR_ARG(d_member(s, "name")),
			       optional(s));
		else if ((s = value_get(from, S("serviceAccountToken"))))
			d_line(d, 2, "TokenExpirationSeconds:\t%lld\n", d_number(s, "expirationSeconds"));
	}
}

static void volume(struct describer *d, const struct value *v)
{
	const struct value *s;
	if ((s = value_get(v, S("hostPath")))) {
		d_line(d, 2,
		       "Type:\tHostPath (bare host directory volume)\n    Path:\t" STR_FMT
		       "\n    HostPathType:\t" STR_FMT "\n",
		       STR_ARG(d_member(s, "path")),
		       STR_ARG(value_get(s, S("type")) ? d_member(s, "type") : S("<none>")));
	} else if ((s = value_get(v, S("emptyDir")))) {
		str limit = d_member(s, "sizeLimit");
		d_line(d, 2,
		       "Type:\tEmptyDir (a temporary directory that shares a pod's lifetime)\n    Medium:\t" STR_FMT
		       "\n    SizeLimit:\t" STR_FMT "\n",
		       STR_ARG(d_member(s, "medium")), STR_ARG(limit.n && !str_eqc(limit, "0") ? limit : S("<unset>")));
	} else if ((s = value_get(v, S("secret")))) {
		d_line(d, 2,
		       "Type:\tSecret (a volume populated by a Secret)\n    SecretName:\t" STR_FMT
		       "\n    Optional:\t%s\n",
		       STR_ARG(d_member(s, "secretName")), optional(s));
	} else if ((s = value_get(v, S("configMap")))) {
		d_line(d, 2,
		       "Type:\tConfigMap (a volume populated by a ConfigMap)\n    Name:\t" STR_FMT
		       "\n    Optional:\t%s\n",
		       STR_ARG(d_member(s, "name")), optional(s));
	} else if ((s = value_get(v, S("persistentVolumeClaim")))) {
		d_line(d, 2,
		       "Type:\tPersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)\n  "
		       "  ClaimName:\t" STR_FMT "\n    ReadOnly:\t%s\n",
		       STR_ARG(d_member(s, "claimName")),
		       kc_value_true(value_get(s, S("readOnly"))) ? "true" : "false");
	} else if ((s = value_get(v, S("downwardAPI")))) {
		const struct value *items = value_get(s, S("items"));
		d_line(d, 2, "Type:\tDownwardAPI (a volume populated by information about the pod)\n    Items:\n");
		for (size_t i = 0; i < d_count(items); i++) {
			const struct value *field = value_get(items->a.v[i], S("fieldRef"));
			str what = field ? d_member(field, "fieldPath")
			                 : d_text(items->a.v[i], "resourceFieldRef", "resource");
			d_line(d, 3, STR_FMT " -> " STR_FMT "\n", STR_ARG(what),
			       STR_ARG(d_member(items->a.v[i], "path")));
		}
	} else if ((s = value_get(v, S("projected")))) {
		projected(d, s);
	} else {
		// The other sources are rare; their type is the name of the field.
		for (size_t i = 0; value_is(v, V_OBJECT) && i < v->o.n; i++)
			if (!str_eqc(v->o.v[i].key, "name"))
				d_line(d, 2, "Type:\t" STR_FMT "\n", STR_ARG(v->o.v[i].key));
	}
}

static void volumes(struct describer *d, const struct value *list, bool in_template)
{
	d_line(d, in_template, "Volumes:%s\n", d_count(list) ? "" : "\t<none>");
	for (size_t i = 0; i < d_count(list); i++) {
		d_line(d, 1, "%s" STR_FMT ":\n", in_template ? " " : "", STR_ARG(d_member(list->a.v[i], "name")));
		volume(d, list->a.v[i]);
	}
}

static void spread(struct describer *d, const struct value *list, bool in_template)
{
	for (size_t i = 0; i < d_count(list); i++) {
		const struct value *s = list->a.v[i], *selector = value_get(s, S("labelSelector"));
		if (i)
			d_line(d, in_template, "\t");
		else
			d_line(d, in_template, "Topology Spread Constraints:\t");
		d_line(d, 0, STR_FMT ":" STR_FMT " when max skew %lld is exceeded", STR_ARG(d_member(s, "topologyKey")),
		       STR_ARG(d_member(s, "whenUnsatisfiable")), d_number(s, "maxSkew"));
		if (selector)
			d_line(d, 0, " for selector " STR_FMT, STR_ARG(kc_selector_text(d->k->a, selector)));
		d_raw(d, S("\n"));
	}
}

void describe_template(struct describer *d, const struct value *t)
{
	const struct value *spec = value_get(t, S("spec")), *notes = value_path(t, S("metadata"), S("annotations"));
	str account = d_member(spec, "serviceAccountName"), class = d_member(spec, "priorityClassName");
	d_raw(d, S("Pod Template:\n"));
	d_labels(d, "  Labels", value_path(t, S("metadata"), S("labels")));
	if (value_is(notes, V_OBJECT) && notes->o.n)
		d_annotations(d, "  Annotations", notes);
	if (account.n)
		d_line(d, 1, "Service Account:\t" STR_FMT "\n", STR_ARG(account));
	if (d_count(value_get(spec, S("initContainers"))))
		containers(d, "Init Containers", value_get(spec, S("initContainers")), NULL, true);
	containers(d, "Containers", value_get(spec, S("containers")), NULL, true);
	volumes(d, value_get(spec, S("volumes")), true);
	spread(d, value_get(spec, S("topologySpreadConstraints")), true);
	if (class.n)
		d_line(d, 1, "Priority Class Name:\t" STR_FMT "\n", STR_ARG(class));
	d_labels(d, "  Node-Selectors", value_get(spec, S("nodeSelector")));
	d_tolerations(d, "  Tolerations", value_get(spec, S("tolerations")));
}

static void pod_head(struct describer *d, const struct value *meta, const struct value *spec,
                     const struct value *status)
{
	static const struct {
		const char *field, *title;
	} texts[] = {
		{ "priorityClassName", "Priority Class Name" },
		{ "runtimeClassName", "Runtime Class Name" },
		{ "serviceAccountName", "Service Account" },
	};
	str node = d_member(spec, "nodeName"), phase = d_member(status, "phase"),
	    deleted = d_member(meta, "deletionTimestamp");
	d_line(d, 0, "Name:\t" STR_FMT "\nNamespace:\t" STR_FMT "\n", STR_ARG(d_member(meta, "name")),
	       STR_ARG(d_member(meta, "namespace")));
	if (value_get(spec, S("priority")))
		d_line(d, 0, "Priority:\t%lld\n", d_number(spec, "priority"));
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (d_member(spec, texts[i].field).n)
			d_line(d, 0, "%s:\t" STR_FMT "\n", texts[i].title, STR_ARG(d_member(spec, texts[i].field)));
	if (node.n)
		d_line(d, 0, "Node:\t" STR_FMT "/" STR_FMT "\n", STR_ARG(node), STR_ARG(d_member(status, "hostIP")));
	else
		d_raw(d, S("Node:\t<none>\n"));
	if (d_member(status, "startTime").n)
		d_line(d, 0, "Start Time:\t" STR_FMT "\n", STR_ARG(d_time(d, d_member(status, "startTime"))));
	d_labels(d, "Labels", value_get(meta, S("labels")));
	d_annotations(d, "Annotations", value_get(meta, S("annotations")));
	if (deleted.n && !str_eqc(phase, "Failed") && !str_eqc(phase, "Succeeded")) {
		d_line(d, 0, "Status:\tTerminating (lasts " STR_FMT ")\n", STR_ARG(kc_age_of(d->k->a, deleted)));
		d_line(d, 0, "Termination Grace Period:\t%llds\n", d_number(meta, "deletionGracePeriodSeconds"));
	} else {
		d_line(d, 0, "Status:\t" STR_FMT "\n", STR_ARG(phase));
	}
	if (d_member(status, "reason").n)
		d_line(d, 0, "Reason:\t" STR_FMT "\n", STR_ARG(d_member(status, "reason")));
	if (d_member(status, "message").n)
		d_line(d, 0, "Message:\t" STR_FMT "\n", STR_ARG(d_member(status, "message")));
	str seccomp = value_str(value_path(spec, S("securityContext"), S("seccompProfile"), S("type")));
	if (seccomp.n)
		d_line(d, 0, "SeccompProfile:\t" STR_FMT "\n", STR_ARG(seccomp));
}

void describe_pod(struct describer *d)
{
	const struct value *meta = value_get(d->obj, S("metadata")), *spec = value_get(d->obj, S("spec")),
	                   *status = value_get(d->obj, S("status"));
	const struct value *ips = value_get(status, S("podIPs")), *conditions = value_get(status, S("conditions")),
	                   *gates = value_get(spec, S("readinessGates"));
	str owner = d_controller(d), nominated = d_member(status, "nominatedNodeName"),
	    qos = d_member(status, "qosClass");
	pod_head(d, meta, spec, status);
	d_line(d, 0, "IP:\t" STR_FMT "\n", STR_ARG(d_member(status, "podIP")));
	d_raw(d, d_count(ips) ? S("IPs:\n") : S("IPs:\t<none>\n"));
	for (size_t i = 0; i < d_count(ips); i++)
		d_line(d, 1, "IP:\t" STR_FMT "\n", STR_ARG(d_member(ips->a.v[i], "ip")));
	if (owner.n)
		d_line(d, 0, "Controlled By:\t" STR_FMT "\n", STR_ARG(owner));
	if (nominated.n)
		d_line(d, 0, "NominatedNodeName:\t" STR_FMT "\n", STR_ARG(nominated));
	if (value_get(spec, S("resources"))) {
		d_raw(d, S("Resources:\n"));
		resources(d, value_get(spec, S("resources")), 1);
	}
	if (d_count(value_get(spec, S("initContainers"))))
		containers(d, "Init Containers", value_get(spec, S("initContainers")),
		           value_get(status, S("initContainerStatuses")), false);
	containers(d, "Containers", value_get(spec, S("containers")), value_get(status, S("containerStatuses")), false);
	if (d_count(value_get(spec, S("ephemeralContainers"))))
		containers(d, "Ephemeral Containers", value_get(spec, S("ephemeralContainers")),
		           value_get(status, S("ephemeralContainerStatuses")), false);
	if (d_count(gates))
		d_raw(d, S("Readiness Gates:\n  Type\tStatus\n"));
	for (size_t i = 0; i < d_count(gates); i++) {
		str type = d_member(gates->a.v[i], "conditionType"), is = S("<none>");
		for (size_t j = 0; j < d_count(conditions); j++)
			if (str_eq(d_member(conditions->a.v[j], "type"), type))
				is = d_member(conditions->a.v[j], "status");
		d_line(d, 1, STR_FMT " \t" STR_FMT " \n", STR_ARG(type), STR_ARG(is));
	}
	if (d_count(conditions))
		d_raw(d, S("Conditions:\n  Type\tStatus\n"));
	for (size_t i = 0; i < d_count(conditions); i++)
		d_line(d, 1, STR_FMT " \t" STR_FMT " \n", STR_ARG(d_member(conditions->a.v[i], "type")),
		       STR_ARG(d_member(conditions->a.v[i], "status")));
	volumes(d, value_get(spec, S("volumes")), false);
	d_line(d, 0, "QoS Class:\t" STR_FMT "\n", STR_ARG(qos.n ? qos : S("BestEffort")));
	d_labels(d, "Node-Selectors", value_get(spec, S("nodeSelector")));
	d_tolerations(d, "Tolerations", value_get(spec, S("tolerations")));
	spread(d, value_get(spec, S("topologySpreadConstraints")), false);
	d_events(d);
}
