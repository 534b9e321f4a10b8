// Validation of containers, init containers and ephemeral containers. Rule: pkg/apis/core/validation.
#include "apiserver/kinds/valid.h"

// --- Environment ---

static void object_field(struct pod_check *c, const struct fpath *p, const struct core_v1_ObjectFieldSelector *f)
{
	static const char *const known[] = { "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP",
		"status.hostIPs", "status.podIP", "status.podIPs", NULL };
	struct fpath version = fp(p, "apiVersion"), path = fp(p, "fieldPath");
	str base = f->fieldPath, sub;
	if (!f->apiVersion.n) {
		fe_required(c->e, &version, "");
		return;
	}
	if (!f->fieldPath.n) {
		fe_required(c->e, &path, "");
		return;
	}
	if (!str_eq(f->apiVersion, S("v1"))) {
		fe_invalid(c->e, &path, f->fieldPath, "error converting fieldPath: unsupported pod version: " STR_FMT, STR_ARG(f->apiVersion));
		return;
	}
	ptrdiff_t open = str_find(base, S("['"));
	if (open > 0 && str_has_suffix(base, S("']"))) {
		sub = str_sub(base, (size_t)open + 2, base.n - 2);
		base = str_sub(base, 0, (size_t)open);
		if (str_eq(base, S("metadata.annotations")) || str_eq(base, S("metadata.labels")))
			v_qualified(c->e, p, sub);
		else if (v_one_of(base, known))
			fe_invalid(c->e, p, base, "does not support subscript");
		else
			fe_invalid(c->e, &path, f->fieldPath, "error converting fieldPath: field label does not support subscript");
		return;
	}
	bool convertible = v_one_of(base, known) || v_one_of(base, LIST("metadata.annotations", "metadata.labels", "spec.restartPolicy", "spec.schedulerName",
	                                                                "status.phase", "spec.host"));
	if (!convertible)
		fe_invalid(c->e, &path, f->fieldPath, "error converting fieldPath: field label not supported: " STR_FMT, STR_ARG(base));
	else
		v_enum(c->e, &path, base, known);
}

static void resource_field(struct pod_check *c, const struct fpath *p, const struct core_v1_ResourceFieldSelector *f)
{
	static const char *const known[] = { "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory", NULL };
	struct fpath resource = fp(p, "resource"), divisor = fp(p, "divisor");
	if (!f->resource.n)
		fe_required(c->e, &resource, "");
	else if (!str_has_prefix(f->resource, S("limits.hugepages-")) && !str_has_prefix(f->resource, S("requests.hugepages-")))
		v_enum(c->e, &resource, f->resource, known);
	if (!f->divisor.s.n || quantity_is_zero(f->divisor))
		return;
	if (str_has_suffix(f->resource, S(".cpu"))) {
		if (!v_one_of(f->divisor.s, LIST("1m", "1")))
			fe_invalid(c->e, &divisor, f->resource, "only divisor's values 1m and 1 are supported with the cpu resource");
	} else if (!v_one_of(f->divisor.s, LIST("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"))) {
		fe_invalid(c->e, &divisor, f->resource, "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the %s resource",
		           str_has_suffix(f->resource, S(".memory")) ? "memory" : str_has_suffix(f->resource, S("storage")) ? "local ephemeral storage" : "hugepages");
	}
}

static void key_of(struct pod_check *c, const struct fpath *p, str name, str key)
{
	struct fpath n = fp(p, "name"), k = fp(p, "key");
	v_dns_subdomain(c->e, &n, name);
	if (!key.n)
		fe_required(c->e, &k, "");
	else
		v_name(c->e, &k, key, name_is_config_key);
}

static void file_key(struct pod_check *c, const struct fpath *p, const struct core_v1_FileKeySelector *f)
{
	struct fpath key = fp(p, "key"), volume = fp(p, "volumeName"), path = fp(p, "path");
	struct str_list why = { 0 };
	if (!f->key.n)
		fe_required(c->e, &key, "");
	else
		name_is_env_var(c->a, f->key, true, &why);
	EACH (w, why)
		fe_invalid(c->e, &key, f->key, STR_FMT, STR_ARG(*w));
	if (!f->volumeName.n)
		fe_required(c->e, &volume, "");
	else
		v_dns_label(c->e, &volume, f->volumeName);
	if (!f->path.n)
		fe_required(c->e, &path, "");
	else
		v_no_backsteps(c->e, &path, f->path);
}

static void env_name(struct pod_check *c, const struct fpath *p, str name)
{
	struct str_list why = { 0 };
	name_is_env_var(c->a, name, true, &why);
	EACH (w, why)
		fe_invalid(c->e, p, name, STR_FMT, STR_ARG(*w));
}

static void env(struct pod_check *c, const struct fpath *p, const struct core_v1_EnvVar_list *list)
{
	EACH (v, *list) {
		struct fpath at = fp_index(c->a, p, INDEX(v, *list)), name = fp(&at, "name"), from = fp(&at, "valueFrom");
		struct fpath field = fp(&from, "fieldRef"), resource = fp(&from, "resourceFieldRef"), map = fp(&from, "configMapKeyRef"),
			secret = fp(&from, "secretKeyRef"), file = fp(&from, "fileKeyRef");
		const struct core_v1_EnvVarSource *s = v->valueFrom;
		if (!v->name.n)
			fe_required(c->e, &name, "");
		else
			env_name(c, &name, v->name);
		if (!s)
			continue;
		int n = !!s->fieldRef + !!s->resourceFieldRef + !!s->configMapKeyRef + !!s->secretKeyRef + !!s->fileKeyRef;
		if (s->fieldRef)
			object_field(c, &field, s->fieldRef);
		if (s->resourceFieldRef)
			resource_field(c, &resource, s->resourceFieldRef);
		if (s->configMapKeyRef)
			key_of(c, &map, s->configMapKeyRef->localObjectReference.name, s->configMapKeyRef->key);
		if (s->secretKeyRef)
			key_of(c, &secret, s->secretKeyRef->localObjectReference.name, s->secretKeyRef->key);
		if (s->fileKeyRef)
			file_key(c, &file, s->fileKeyRef);
		if (!n)
			fe_invalid(c->e, &from, S(""), "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`");
		else if (v->value.n)
			fe_invalid(c->e, &from, S(""), "may not be specified when `value` is not empty");
		else if (n > 1)
			fe_invalid(c->e, &from, S(""), "may not have more than one field specified at a time");
	}
}

static void env_source(struct pod_check *c, const struct fpath *p, str name)
{
	struct fpath n = fp(p, "name");
	if (!name.n)
		fe_required(c->e, &n, "");
	else
		v_dns_subdomain(c->e, &n, name);
}

static void env_from(struct pod_check *c, const struct fpath *p, const struct core_v1_EnvFromSource_list *list)
{
	EACH (v, *list) {
		struct fpath at = fp_index(c->a, p, INDEX(v, *list)), prefix = fp(&at, "prefix"), map = fp(&at, "configMapRef"), secret = fp(&at, "secretRef");
		if (v->prefix.n)
			env_name(c, &prefix, v->prefix);
		if (v->configMapRef)
			env_source(c, &map, v->configMapRef->localObjectReference.name);
		if (v->secretRef)
			env_source(c, &secret, v->secretRef->localObjectReference.name);
		if (!v->configMapRef && !v->secretRef)
			fe_invalid(c->e, p, S(""), "must specify one of: `configMapRef` or `secretRef`");
		else if (v->configMapRef && v->secretRef)
			fe_invalid(c->e, p, S(""), "may not have more than one field specified at a time");
	}
}

// --- Ports, mounts, devices ---

static void ports(struct pod_check *c, const struct fpath *p, const struct core_v1_ContainerPort_list *list)
{
	struct str_list names = { 0 };
	EACH (v, *list) {
		struct fpath at = fp_index(c->a, p, INDEX(v, *list)), name = fp(&at, "name"), port = fp(&at, "containerPort"), host = fp(&at, "hostPort"),
			protocol = fp(&at, "protocol");
		if (v->name.n) {
			size_t before = c->e->n;
			v_name(c->e, &name, v->name, name_is_port_name);
			if (c->e->n == before && str_list_has(&names, v->name))
				fe_duplicate(c->e, &name, v->name);
			*LIST_ADD(c->a, &names) = v->name;
		}
		if (!v->containerPort)
			fe_required(c->e, &port, "");
		else
			v_port(c->e, &port, v->containerPort);
		if (v->hostPort)
			v_port(c->e, &host, v->hostPort);
		v_enum_required(c->e, &protocol, v->protocol, LIST("SCTP", "TCP", "UDP"));
	}
}

static void mounts(struct pod_check *c, const struct fpath *p, const struct core_v1_Container *ctr)
{
	EACH (m, ctr->volumeMounts) {
		struct fpath at = fp_index(c->a, p, INDEX(m, ctr->volumeMounts)), name = fp(&at, "name"), path = fp(&at, "mountPath"), sub = fp(p, "subPath"),
			expr = fp(&at, "subPathExpr"), expr_all = fp(p, "subPathExpr"), propagation = fp(p, "mountPropagation"), rro = fp(p, "recursiveReadOnly");
		if (!m->name.n)
			fe_required(c->e, &name, "");
		if (!v_volume_known(c, m->name, NULL))
			fe_not_found(c->e, &name, m->name);
		if (!m->mountPath.n)
			fe_required(c->e, &path, "");
		for (size_t i = 0; i < INDEX(m, ctr->volumeMounts); i++)
			if (str_eq(ctr->volumeMounts.v[i].mountPath, m->mountPath)) {
				fe_invalid(c->e, &path, m->mountPath, "must be unique");
				break;
			}
		EACH (d, ctr->volumeDevices) {
			if (str_eq(d->name, m->name))
				fe_invalid(c->e, &name, m->name, "must not already exist in volumeDevices");
			if (str_eq(d->devicePath, m->mountPath))
				fe_invalid(c->e, &path, m->mountPath, "must not already exist as a path in volumeDevices");
		}
		if (m->subPath.n)
			v_relative_path(c->e, &sub, m->subPath);
		if (m->subPathExpr.n) {
			if (m->subPath.n)
				fe_invalid(c->e, &expr, m->subPathExpr, "subPathExpr and subPath are mutually exclusive");
			v_relative_path(c->e, &expr_all, m->subPathExpr);
		}
		if (m->mountPropagation) {
			bool privileged = ctr->securityContext && ctr->securityContext->privileged && *ctr->securityContext->privileged;
			v_enum(c->e, &propagation, *m->mountPropagation, LIST("Bidirectional", "HostToContainer", "None"));
			if (str_eq(*m->mountPropagation, S("Bidirectional")) && !privileged)
				fe_forbidden(c->e, &propagation, "Bidirectional mount propagation is available only to privileged containers");
		}
		if (m->recursiveReadOnly && v_one_of(*m->recursiveReadOnly, LIST("Enabled", "IfPossible"))) {
			if (!m->readOnly)
				fe_forbidden(c->e, &rro, "may only be specified when readOnly is true");
			if (m->mountPropagation && !str_eq(*m->mountPropagation, S("None")))
				fe_forbidden(c->e, &rro, "may only be specified when mountPropagation is None or not specified");
		} else if (m->recursiveReadOnly) {
			v_enum(c->e, &rro, *m->recursiveReadOnly, LIST("Disabled", "Enabled", "IfPossible"));
		}
	}
}

static void devices(struct pod_check *c, const struct fpath *p, const struct core_v1_Container *ctr)
{
	EACH (d, ctr->volumeDevices) {
		struct fpath at = fp_index(c->a, p, INDEX(d, ctr->volumeDevices)), name = fp(&at, "name"), path = fp(&at, "devicePath");
		const struct core_v1_VolumeSource *v = NULL;
		bool known = v_volume_known(c, d->name, &v);
		if (!d->name.n)
			fe_required(c->e, &name, "");
		for (size_t i = 0; i < INDEX(d, ctr->volumeDevices); i++)
			if (d->name.n && str_eq(ctr->volumeDevices.v[i].name, d->name))
				fe_invalid(c->e, &name, d->name, "must be unique");
		if (known && !v->persistentVolumeClaim && !v->ephemeral)
			fe_invalid(c->e, &name, d->name, "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode");
		if (!known)
			fe_not_found(c->e, &name, d->name);
		if (!d->devicePath.n)
			fe_required(c->e, &path, "");
		for (size_t i = 0; i < INDEX(d, ctr->volumeDevices); i++)
			if (str_eq(ctr->volumeDevices.v[i].devicePath, d->devicePath))
				fe_invalid(c->e, &path, d->devicePath, "must be unique");
		if (str_contains(d->devicePath, S("..")))
			fe_invalid(c->e, &path, d->devicePath, "can not contain backsteps ('..')");
		EACH (m, ctr->volumeMounts) {
			if (str_eq(m->name, d->name))
				fe_invalid(c->e, &name, d->name, "must not already exist in volumeMounts");
			if (str_eq(m->mountPath, d->devicePath))
				fe_invalid(c->e, &path, d->devicePath, "must not already exist as a path in volumeMounts");
		}
	}
}

// --- Probes and hooks ---

struct handler {
	const struct core_v1_ExecAction *exec;
	const struct core_v1_HTTPGetAction *http;
	const struct core_v1_TCPSocketAction *tcp;
	const struct core_v1_GRPCAction *grpc;
	const struct core_v1_SleepAction *sleep;
};

static void http_get(struct pod_check *c, const struct fpath *p, const struct core_v1_HTTPGetAction *h)
{
	struct fpath path = fp(p, "path"), port = fp(p, "port"), scheme = fp(p, "scheme"), headers = fp(p, "httpHeaders");
	if (!h->path.n)
		fe_required(c->e, &path, "");
	v_port_or_name(c->e, &port, &h->port);
	v_enum(c->e, &scheme, h->scheme, LIST("HTTP", "HTTPS"));
	EACH (x, h->httpHeaders)
		v_name(c->e, &headers, x->name, name_is_http_header);
}

static bool another(struct pod_check *c, const struct fpath *p, int *n)
{
	if ((*n)++ == 0)
		return true;
	fe_forbidden(c->e, p, "may not specify more than 1 handler type");
	return false;
}

static void handler(struct pod_check *c, const struct fpath *p, struct handler h)
{
	struct fpath exec = fp(p, "exec"), command = fp(&exec, "command"), http = fp(p, "httpGet"), tcp = fp(p, "tcpSocket"), tcp_port = fp(&tcp, "port"),
		grpc = fp(p, "grpc"), grpc_port = fp(&grpc, "port"), sleep = fp(p, "sleep");
	int n = 0;
	if (h.exec && another(c, &exec, &n) && !h.exec->command.n)
		fe_required(c->e, &command, "");
	if (h.http && another(c, &http, &n))
		http_get(c, &http, h.http);
	if (h.tcp && another(c, &tcp, &n))
		v_port_or_name(c->e, &tcp_port, &h.tcp->port);
	if (h.grpc && another(c, &grpc, &n))
		v_port(c->e, &grpc_port, h.grpc->port);
	const int64_t *grace = c->spec->terminationGracePeriodSeconds;
	if (h.sleep && another(c, &sleep, &n) && grace && (h.sleep->seconds < 0 || h.sleep->seconds > *grace))
		fe_invalid_int(c->e, &sleep, h.sleep->seconds, "must be non-negative and less than terminationGracePeriodSeconds (%lld)", (long long)*grace);
	if (!n)
		fe_required(c->e, p, "must specify a handler type");
}

static void probe(struct pod_check *c, const struct fpath *ctr, const char *name, const struct core_v1_Probe *v)
{
	if (!v)
		return;
	struct fpath p = fp(ctr, name), success = fp(&p, "successThreshold"), grace = fp(&p, "terminationGracePeriodSeconds");
	bool readiness = strcmp(name, "readinessProbe") == 0;
	handler(c, &p, (struct handler){ v->handler.exec, v->handler.httpGet, v->handler.tcpSocket, v->handler.grpc, NULL });
	v_not_negative(c->e, &p, "initialDelaySeconds", v->initialDelaySeconds);
	v_not_negative(c->e, &p, "timeoutSeconds", v->timeoutSeconds);
	v_not_negative(c->e, &p, "periodSeconds", v->periodSeconds);
	v_not_negative(c->e, &p, "successThreshold", v->successThreshold);
	v_not_negative(c->e, &p, "failureThreshold", v->failureThreshold);
	if (v->terminationGracePeriodSeconds && *v->terminationGracePeriodSeconds <= 0)
		fe_invalid_int(c->e, &grace, *v->terminationGracePeriodSeconds, "must be greater than 0");
	if (!readiness && v->successThreshold != 1)
		fe_invalid_int(c->e, &success, v->successThreshold, "must be 1");
	if (readiness && v->terminationGracePeriodSeconds)
		fe_invalid_int(c->e, &grace, *v->terminationGracePeriodSeconds, "must not be set for readinessProbes");
}

static void lifecycle(struct pod_check *c, const struct fpath *ctr, const struct core_v1_Lifecycle *l)
{
	if (!l)
		return;
	struct fpath p = fp(ctr, "lifecycle"), start = fp(&p, "postStart"), stop = fp(&p, "preStop");
	if (l->postStart)
		handler(c, &start, (struct handler){ l->postStart->exec, l->postStart->httpGet, l->postStart->tcpSocket, NULL, l->postStart->sleep });
	if (l->preStop)
		handler(c, &stop, (struct handler){ l->preStop->exec, l->preStop->httpGet, l->preStop->tcpSocket, NULL, l->preStop->sleep });
}

// --- Resources ---

static void claim_names(struct field_errors *e, const struct fpath *p, const struct core_v1_ResourceClaim_list *list, const struct core_v1_PodResourceClaim_list *known)
{
	struct str_list names = { 0 };
	EACH (k, *list) {
		struct fpath at = fp_index(e->arena, p, INDEX(k, *list)), request = fp(&at, "request");
		if (!k->name.n) {
			fe_required(e, &at, "");
			continue;
		}
		str key = k->request.n ? arena_concat(e->arena, k->name, S("/"), k->request) : k->name;
		if (str_list_has(&names, k->name)) {
			fe_duplicate(e, &at, k->name);
		} else {
			if (k->request.n)
				v_dns_label(e, &request, k->request);
			if (str_list_has(&names, key))
				fe_duplicate(e, &at, key);
		}
		*LIST_ADD(e->arena, &names) = key;
		bool found = false;
		struct str_list all = { 0 };
		for (size_t i = 0; known && i < known->n; i++) {
			found = found || str_eq(known->v[i].name, k->name);
			*LIST_ADD(e->arena, &all) = known->v[i].name;
		}
		if (!found) {
			fe_not_found(e, &at, k->name);
			e->v[e->n - 1].detail = all.n ? arena_concat(e->arena, S("must be one of the names in pod.spec.resourceClaims: "), str_list_join(e->arena, &all, ", "))
			                              : S("must be one of the names in pod.spec.resourceClaims which is empty");
		}
	}
}

static void resource_of(struct field_errors *e, const struct fpath *p, const struct quantity_entry *q, bool pod_level)
{
	v_container_resource_name(e, p, q->key);
	if (pod_level && !v_one_of(q->key, LIST("cpu", "memory")) && !resource_is_hugepages(q->key))
		fe_invalid(e, p, q->key, "must be a standard resource for pods");
	v_resource_quantity(e, p, q->key, q->value);
}

// hugepages-2Mi comes in pages of 2Mi.
static void whole_pages(struct field_errors *e, const struct fpath *p, const struct quantity_entry *q)
{
	str size = q->key;
	struct quantity page;
	struct error ignored = { 0 };
	if (!str_cut_prefix(&size, S("hugepages-")) || !quantity_canonical(e->arena, size, &page, &ignored))
		return;
	int64_t bytes = quantity_value(page), value = quantity_value(q->value);
	if (bytes <= 0 || value % bytes != 0)
		fe_invalid(e, p, quantity_text(q->value), STR_FMT " is not positive integer multiple of " STR_FMT, STR_ARG(quantity_text(q->value)), STR_ARG(q->key));
}

void v_resources(struct field_errors *e, const struct fpath *p, const struct core_v1_ResourceRequirements *r, const struct core_v1_PodResourceClaim_list *claims, bool pod_level)
{
	struct fpath limits = fp(p, "limits"), requests = fp(p, "requests"), claims_path = fp(p, "claims");
	bool basic = false, huge = false;
	EACH (q, r->limits) {
		struct fpath at = fp_key(e->arena, &limits, q->key);
		resource_of(e, &at, q, pod_level);
		whole_pages(e, &at, q);
		huge = huge || resource_is_hugepages(q->key);
		basic = basic || v_one_of(q->key, LIST("cpu", "memory"));
	}
	EACH (q, r->requests) {
		struct fpath at = fp_key(e->arena, &requests, q->key);
		struct quantity limit;
		resource_of(e, &at, q, pod_level);
		if (quantity_map_get(&r->limits, q->key, &limit)) {
			int order = quantity_cmp(q->value, limit);
			if (order && !resource_overcommits(q->key))
				fe_invalid(e, &requests, quantity_text(q->value), "must be equal to " STR_FMT " limit of " STR_FMT, STR_ARG(q->key), STR_ARG(quantity_text(limit)));
			else if (order > 0)
				fe_invalid(e, &requests, quantity_text(q->value), "must be less than or equal to " STR_FMT " limit of " STR_FMT, STR_ARG(q->key),
				           STR_ARG(quantity_text(limit)));
		} else if (!resource_overcommits(q->key)) {
			fe_required(e, &limits, "Limit must be set for non overcommitable resources");
		}
		whole_pages(e, &at, q);
		huge = huge || resource_is_hugepages(q->key);
		basic = basic || v_one_of(q->key, LIST("cpu", "memory"));
	}
	if (huge && !basic)
		fe_forbidden(e, p, "HugePages require cpu or memory");
	claim_names(e, &claims_path, &r->claims, claims);
}

static void resize_policies(struct pod_check *c, const struct fpath *p, const struct core_v1_ContainerResizePolicy_list *list)
{
	EACH (r, *list) {
		struct fpath at = fp_index(c->a, p, INDEX(r, *list));
		for (size_t i = 0; i < INDEX(r, *list); i++)
			if (str_eq(list->v[i].resourceName, r->resourceName))
				fe_duplicate(c->e, &at, r->resourceName);
		v_enum_required(c->e, p, r->resourceName, LIST("cpu", "memory"));
		v_enum_required(c->e, p, r->restartPolicy, LIST("NotRequired", "RestartContainer"));
		if (str_eq(c->spec->restartPolicy, S("Never")) && !str_eq(r->restartPolicy, S("NotRequired")))
			fe_invalid(c->e, p, r->restartPolicy, "must be 'NotRequired' when pod `restartPolicy` is 'Never'");
	}
}

// --- Containers ---

static void common(struct pod_check *c, const struct fpath *p, const struct core_v1_Container *v)
{
	struct fpath name = fp(p, "name"), image = fp(p, "image"), policy = fp(p, "terminationMessagePolicy"), ports_p = fp(p, "ports"), env_p = fp(p, "env"),
		from = fp(p, "envFrom"), mounts_p = fp(p, "volumeMounts"), devices_p = fp(p, "volumeDevices"), pull = fp(p, "imagePullPolicy"),
		resources = fp(p, "resources"), resize = fp(p, "resizePolicy"), security = fp(p, "securityContext");
	if (!v->name.n)
		fe_required(c->e, &name, "");
	else
		v_dns_label(c->e, &name, v->name);
	if (!v->image.n)
		fe_required(c->e, &image, "");
	v_enum_required(c->e, &policy, v->terminationMessagePolicy, LIST("File", "FallbackToLogsOnError"));
	ports(c, &ports_p, &v->ports);
	env(c, &env_p, &v->env);
	env_from(c, &from, &v->envFrom);
	mounts(c, &mounts_p, v);
	devices(c, &devices_p, v);
	v_enum_required(c->e, &pull, v->imagePullPolicy, LIST("Always", "IfNotPresent", "Never"));
	v_resources(c->e, &resources, &v->resources, &c->spec->resourceClaims, false);
	resize_policies(c, &resize, &v->resizePolicy);
	v_container_security(c, &security, v->securityContext);
}

static void restart_policy(struct pod_check *c, const struct fpath *p, const struct core_v1_Container *v)
{
	struct fpath policy = fp(p, "restartPolicy"), rules = fp(p, "restartPolicyRules");
	if (!v->restartPolicy && !v->restartPolicyRules.n)
		return;
	if (!v->restartPolicy)
		fe_required(c->e, &policy, "must specify restartPolicy when restart rules are used");
	else
		v_enum(c->e, &policy, *v->restartPolicy, LIST("Always", "Never", "OnFailure"));
	if (v->restartPolicyRules.n > 20)
		fe_too_many(c->e, &rules, v->restartPolicyRules.n, 20);
	EACH (r, v->restartPolicyRules) {
		struct fpath at = fp_index(c->a, &rules, INDEX(r, v->restartPolicyRules)), action = fp(&at, "action"), codes = fp(&at, "exitCodes"),
			op = fp(&codes, "operator"), values = fp(&codes, "values");
		v_enum(c->e, &action, r->action, LIST("Restart", "RestartAllContainers"));
		if (!r->exitCodes) {
			fe_required(c->e, &codes, "must be specified");
			continue;
		}
		v_enum(c->e, &op, r->exitCodes->operator, LIST("In", "NotIn"));
		if (r->exitCodes->values.n > 255)
			fe_too_many(c->e, &values, r->exitCodes->values.n, 255);
	}
}

static void host_ports(struct pod_check *c, const struct fpath *p, const struct core_v1_Container_list *list)
{
	struct str_list seen = { 0 };
	EACH (v, *list)
		EACH (port, v->ports) {
			if (!port->hostPort)
				continue;
			str key = arena_printf(c->a, STR_FMT "/" STR_FMT "/%d", STR_ARG(port->protocol), STR_ARG(port->hostIP), port->hostPort);
			struct fpath at = fp_index(c->a, p, INDEX(v, *list)), ports_p = fp(&at, "ports"), one = fp_index(c->a, &ports_p, INDEX(port, v->ports)), host = fp(&one, "hostPort");
			if (str_list_has(&seen, key))
				fe_duplicate(c->e, &host, key);
			else
				*LIST_ADD(c->a, &seen) = key;
		}
}

void v_containers(struct pod_check *c, const struct fpath *p)
{
	const struct core_v1_Container_list *l = &c->spec->containers;
	if (!l->n)
		fe_required(c->e, p, "");
	EACH (v, *l) {
		struct fpath at = fp_index(c->a, p, INDEX(v, *l)), name = fp(&at, "name");
		common(c, &at, v);
		for (size_t i = 0; i < INDEX(v, *l); i++)
			if (str_eq(l->v[i].name, v->name)) {
				fe_duplicate(c->e, &name, v->name);
				break;
			}
		lifecycle(c, &at, v->lifecycle);
		probe(c, &at, "livenessProbe", v->livenessProbe);
		probe(c, &at, "readinessProbe", v->readinessProbe);
		probe(c, &at, "startupProbe", v->startupProbe);
		restart_policy(c, &at, v);
	}
	host_ports(c, p, l);
}

void v_init_containers(struct pod_check *c, const struct fpath *p)
{
	const struct core_v1_Container_list *l = &c->spec->initContainers;
	static const char why[] = "may not be set for init containers without restartPolicy=Always";
	EACH (v, *l) {
		struct fpath at = fp_index(c->a, p, INDEX(v, *l)), name = fp(&at, "name"), life = fp(&at, "lifecycle"), live = fp(&at, "livenessProbe"),
			ready = fp(&at, "readinessProbe"), start = fp(&at, "startupProbe"), resize = fp(&at, "resizePolicy");
		bool always = v->restartPolicy && str_eq(*v->restartPolicy, S("Always")), taken = false;
		common(c, &at, v);
		restart_policy(c, &at, v);
		for (size_t i = 0; i < INDEX(v, *l); i++)
			taken = taken || (v->name.n && str_eq(l->v[i].name, v->name));
		EACH (other, c->spec->containers)
			taken = taken || str_eq(other->name, v->name);
		if (taken)
			fe_duplicate(c->e, &name, v->name);
		host_ports(c, p, &(struct core_v1_Container_list){ v, 1 });
		if (always) {
			lifecycle(c, &at, v->lifecycle);
			probe(c, &at, "livenessProbe", v->livenessProbe);
			probe(c, &at, "readinessProbe", v->readinessProbe);
			probe(c, &at, "startupProbe", v->startupProbe);
			continue;
		}
		if (v->lifecycle)
			fe_forbidden(c->e, &life, why);
		if (v->livenessProbe)
			fe_forbidden(c->e, &live, why);
		if (v->readinessProbe)
			fe_forbidden(c->e, &ready, why);
		if (v->startupProbe)
			fe_forbidden(c->e, &start, why);
		EACH (r, v->resizePolicy)
			if (str_eq(r->restartPolicy, S("RestartContainer"))) {
				struct fpath one = fp_index(c->a, &resize, INDEX(r, v->resizePolicy)), rp = fp(&one, "restartPolicy");
				fe_invalid(c->e, &rp, r->restartPolicy, "must not be set to 'RestartContainer' for non-sidecar initContainers");
			}
	}
}

void v_ephemeral_containers(struct pod_check *c, const struct fpath *p)
{
	static const char why[] = "cannot be set for an Ephemeral Container";
	__typeof__(&c->spec->ephemeralContainers) l = &c->spec->ephemeralContainers;
	EACH (x, *l) {
		const struct core_v1_Container *v = (const struct core_v1_Container *)&x->ephemeralContainerCommon;
		struct fpath at = fp_index(c->a, p, INDEX(x, *l)), name = fp(&at, "name"), target = fp(&at, "targetContainerName"), image = fp(&at, "image"), mounts_p = fp(&at, "volumeMounts");
		bool taken = false, known = false;
		common(c, &at, v);
		if (str_trim(v->image).n != v->image.n)
			fe_invalid(c->e, &image, v->image, "must not have leading or trailing whitespace");
		for (size_t i = 0; i < INDEX(x, *l); i++)
			taken = taken || str_eq(l->v[i].ephemeralContainerCommon.name, v->name);
		EACH (other, c->spec->containers) {
			taken = taken || str_eq(other->name, v->name);
			known = known || str_eq(other->name, x->targetContainerName);
		}
		EACH (other, c->spec->initContainers) {
			taken = taken || str_eq(other->name, v->name);
			known = known || str_eq(other->name, x->targetContainerName);
		}
		if (taken)
			fe_duplicate(c->e, &name, v->name);
		if (x->targetContainerName.n && !known)
			fe_not_found(c->e, &target, x->targetContainerName);
		const struct { const char *field; bool set; } forbidden[] = {
			{ "ports", v->ports.v }, { "resources", v->resources.limits.v || v->resources.requests.v || v->resources.claims.v }, { "resizePolicy", v->resizePolicy.v },
			{ "livenessProbe", v->livenessProbe }, { "readinessProbe", v->readinessProbe }, { "startupProbe", v->startupProbe }, { "lifecycle", v->lifecycle },
			{ "restartPolicy", v->restartPolicy }, { "restartPolicyRules", v->restartPolicyRules.v },
		};
		for (size_t i = 0; i < ARRAY_LEN(forbidden); i++) {
			struct fpath field = fp(&at, forbidden[i].field);
			if (forbidden[i].set)
				fe_forbidden(c->e, &field, why);
		}
		EACH (m, v->volumeMounts) {
			struct fpath one = fp_index(c->a, &mounts_p, INDEX(m, v->volumeMounts)), sub = fp(&one, "subPath"), expr = fp(&one, "subPathExpr");
			if (m->subPath.n)
				fe_forbidden(c->e, &sub, why);
			if (m->subPathExpr.n)
				fe_forbidden(c->e, &expr, why);
		}
	}
}
