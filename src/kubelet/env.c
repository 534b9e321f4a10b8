#include "kubelet/env.h"

#include "kubelet/util.h"
#include "schema/quantity.h"

static bool expand(struct arena *a, str text, const struct str_map *vars, str *out, str *missing)
{
	_cleanup_buf_ struct buf b = { 0 };
	*missing = S("");
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] != '$' || i + 1 >= text.n) {
			buf_add_char(&b, text.p[i]);
			continue;
		}
		if (text.p[i + 1] == '$') {
			buf_add_char(&b, '$');
			i++;
			continue;
		}
		ptrdiff_t end = text.p[i + 1] == '(' ? str_find_char(str_from(text, i + 2), ')') : -1;
		if (end < 0) {
			// Neither an escape nor a reference: kept, with the character behind it.
			buf_add_char(&b, '$');
			buf_add_char(&b, text.p[++i]);
			continue;
		}
		str name = str_sub(text, i + 2, i + 2 + (size_t)end), value;
		if (str_map_find(vars, name, &value)) {
			buf_add(&b, value);
		} else {
			buf_add(&b, str_sub(text, i, i + 3 + (size_t)end));
			if (!missing->n)
				*missing = name;
		}
		i += 2 + (size_t)end;
	}
	*out = arena_dup(a, buf_str(&b));
	return !missing->n;
}

str env_expand(struct arena *a, str text, const struct str_map *vars)
{
	str out, missing;
	expand(a, text, vars, &out, &missing);
	return out;
}

bool env_expand_strict(struct arena *a, str text, const struct str_map *vars, str *out, struct error *err)
{
	str missing;
	if (!expand(a, text, vars, out, &missing))
		return error_set(err, "missing value for \"" STR_FMT "\"", STR_ARG(missing));
	return true;
}

static str upper(struct arena *a, str s)
{
	char *p = arena_cstr(a, s);
	for (size_t i = 0; i < s.n; i++)
		p[i] = p[i] == '-' ? '_' : p[i] >= 'a' && p[i] <= 'z' ? (char)(p[i] - 'a' + 'A') : p[i];
	return str_n(p, s.n);
}

static str lower(struct arena *a, str s)
{
	char *p = arena_cstr(a, s);
	for (size_t i = 0; i < s.n; i++)
		p[i] = p[i] >= 'A' && p[i] <= 'Z' ? (char)(p[i] - 'A' + 'a') : p[i];
	return str_n(p, s.n);
}

void env_of_service(struct arena *a, const struct core_v1_Service *svc, struct str_map *out)
{
	str ip = svc->spec.clusterIP, name = upper(a, svc->metadata.name);
	if (str_empty(ip) || str_eqc(ip, "None") || svc->spec.ports.n == 0)
		return;
	str host = ip_is_v6(ip) ? arena_concat(a, S("["), ip, S("]")) : ip;
	str_map_set(a, out, arena_concat(a, name, S("_SERVICE_HOST")), ip);
	str_map_set(a, out, arena_concat(a, name, S("_SERVICE_PORT")), arena_printf(a, "%d", svc->spec.ports.v[0].port));
	for (size_t i = 0; i < svc->spec.ports.n; i++) {
		const struct core_v1_ServicePort *p = &svc->spec.ports.v[i];
		str proto = p->protocol.n ? p->protocol : S("TCP"), number = arena_printf(a, "%d", p->port);
		str url = arena_concat(a, lower(a, proto), S("://"), host, S(":"), number);
		str prefix = arena_concat(a, name, S("_PORT_"), number, S("_"), upper(a, proto));
		if (p->name.n)
			str_map_set(a, out, arena_concat(a, name, S("_SERVICE_PORT_"), upper(a, p->name)), number);
		if (i == 0)
			str_map_set(a, out, arena_concat(a, name, S("_PORT")), url);
		str_map_set(a, out, prefix, url);
		str_map_set(a, out, arena_concat(a, prefix, S("_PROTO")), lower(a, proto));
		str_map_set(a, out, arena_concat(a, prefix, S("_PORT")), number);
		str_map_set(a, out, arena_concat(a, prefix, S("_ADDR")), ip);
	}
}

// key="value" lines, values quoted as Go does.
static str map_text(struct arena *a, const struct str_map *m)
{
	_cleanup_buf_ struct buf b = { 0 };
	for (size_t i = 0; i < m->n; i++) {
		if (i)
			buf_add_char(&b, '\n');
		buf_add(&b, m->v[i].key);
		buf_add_char(&b, '=');
		buf_add(&b, quoted(a, m->v[i].value));
	}
	return arena_dup(a, buf_str(&b));
}

static str join_ips(struct arena *a, const struct str_list *l)
{
	str out = S("");
	for (size_t i = 0; i < l->n; i++)
		out = i ? arena_concat(a, out, S(","), l->v[i]) : l->v[i];
	return out;
}

bool field_value(struct arena *a, const struct env_source *s, str path, str *out, struct error *err)
{
	const struct meta_v1_ObjectMeta *m = &s->pod->metadata;
	str rest = path;
	if (str_has_suffix(path, S("']"))) {
		bool labels = str_cut_prefix(&rest, S("metadata.labels['"));
		if (!labels && !str_cut_prefix(&rest, S("metadata.annotations['")))
			return error_set(err, "fieldPath \"" STR_FMT "\" does not support subscript", STR_ARG(path));
		str_cut_suffix(&rest, S("']"));
		*out = str_map_get(labels ? &m->labels : &m->annotations, rest);
		return true;
	}
	if (str_eqc(path, "metadata.name"))
		*out = m->name;
	else if (str_eqc(path, "metadata.namespace"))
		*out = m->namespace;
	else if (str_eqc(path, "metadata.uid"))
		*out = m->uid;
	else if (str_eqc(path, "metadata.labels"))
		*out = map_text(a, &m->labels);
	else if (str_eqc(path, "metadata.annotations"))
		*out = map_text(a, &m->annotations);
	else if (str_eqc(path, "spec.nodeName"))
		*out = s->pod->spec.nodeName.n ? s->pod->spec.nodeName : s->node_name;
	else if (str_eqc(path, "spec.serviceAccountName"))
		*out = s->pod->spec.serviceAccountName;
	else if (str_eqc(path, "status.hostIP"))
		*out = s->host_ip;
	else if (str_eqc(path, "status.hostIPs"))
		*out = join_ips(a, &s->host_ips);
	else if (str_eqc(path, "status.podIP"))
		*out = s->pod_ip;
	else if (str_eqc(path, "status.podIPs"))
		*out = join_ips(a, &s->pod_ips);
	else
		return error_set(err, "unsupported fieldPath: " STR_FMT, STR_ARG(path));
	return true;
}

bool resource_value(struct arena *a, const struct env_source *s, const struct core_v1_ResourceFieldSelector *f, str *out,
                    struct error *err)
{
	const struct core_v1_Container *c = s->container;
	str what = f->resource;
	struct quantity q = { 0 };
	if (f->containerName.n) {
		c = find_container(s->pod, f->containerName);
		if (!c)
			return error_set(err, "container " STR_FMT " not found", STR_ARG(f->containerName));
	}
	if (!c)
		return error_set(err, "container is not named");
	bool limits = str_cut_prefix(&what, S("limits."));
	if (!limits && !str_cut_prefix(&what, S("requests.")))
		return error_set(err, "unsupported container resource : " STR_FMT, STR_ARG(f->resource));
	bool cpu = str_eqc(what, "cpu");
	if (!cpu && !str_eqc(what, "memory") && !str_eqc(what, "ephemeral-storage") && !str_has_prefix(what, S("hugepages-")))
		return error_set(err, "unsupported container resource : " STR_FMT, STR_ARG(f->resource));
	bool there = quantity_map_get(limits ? &c->resources.limits : &c->resources.requests, what, &q) && !quantity_is_zero(q);
	if (!there && limits && s->allocatable)
		quantity_map_get(s->allocatable, what, &q);
	struct quantity divisor = quantity_is_zero(f->divisor) ? (struct quantity){ S("1") } : f->divisor;
	int64_t x = cpu ? quantity_milli(q) : quantity_value(q), y = cpu ? quantity_milli(divisor) : quantity_value(divisor);
	*out = arena_printf(a, "%lld", (long long)(y > 0 ? (x + y - 1) / y : 0));
	return true;
}

static bool from_objects(struct arena *a, const struct env_source *s, struct str_map *vars, struct error *err)
{
	for (size_t i = 0; i < s->container->envFrom.n; i++) {
		const struct core_v1_EnvFromSource *f = &s->container->envFrom.v[i];
		const struct str_map *data = NULL;
		bool optional = false;
		if (f->configMapRef) {
			const struct core_v1_ConfigMap *m = s->config_map(s->ctx, a, f->configMapRef->localObjectReference.name, err);
			optional = f->configMapRef->optional && *f->configMapRef->optional;
			data = m ? &m->data : NULL;
		} else if (f->secretRef) {
			const struct core_v1_Secret *m = s->secret(s->ctx, a, f->secretRef->localObjectReference.name, err);
			optional = f->secretRef->optional && *f->secretRef->optional;
			data = m ? &m->data : NULL;
		} else {
			continue;
		}
		if (!data && optional && err->code == 404)
			continue;
		if (!data)
			return false;
		for (size_t k = 0; k < data->n; k++)
			str_map_set(a, vars, f->prefix.n ? arena_concat(a, f->prefix, data->v[k].key) : data->v[k].key, data->v[k].value);
	}
	return true;
}

// *skip: an optional source is not there, so the variable is not set.
static bool from_source(struct arena *a, const struct env_source *s, const struct core_v1_EnvVarSource *f, str *out, bool *skip,
                        struct error *err)
{
	const struct str_map *data = NULL;
	str name, key;
	bool optional;
	const char *kind;
	if (f->fieldRef)
		return field_value(a, s, f->fieldRef->fieldPath, out, err);
	if (f->resourceFieldRef)
		return resource_value(a, s, f->resourceFieldRef, out, err);
	if (f->configMapKeyRef) {
		name = f->configMapKeyRef->localObjectReference.name;
		key = f->configMapKeyRef->key;
		optional = f->configMapKeyRef->optional && *f->configMapKeyRef->optional;
		kind = "ConfigMap";
		const struct core_v1_ConfigMap *m = s->config_map(s->ctx, a, name, err);
		data = m ? &m->data : NULL;
	} else if (f->secretKeyRef) {
		name = f->secretKeyRef->localObjectReference.name;
		key = f->secretKeyRef->key;
		optional = f->secretKeyRef->optional && *f->secretKeyRef->optional;
		kind = "Secret";
		const struct core_v1_Secret *m = s->secret(s->ctx, a, name, err);
		data = m ? &m->data : NULL;
	} else {
		return error_set(err, "environment variables from files are not supported");
	}
	if (!data) {
		*skip = optional && err->code == 404;
		return *skip;
	}
	if (str_map_find(data, key, out))
		return true;
	*skip = optional;
	return optional || error_set(err, "couldn't find key " STR_FMT " in %s " STR_FMT "/" STR_FMT, STR_ARG(key), kind,
	                             STR_ARG(s->pod->metadata.namespace), STR_ARG(name));
}

bool env_make(struct arena *a, const struct env_source *s, struct str_map *out, struct error *err)
{
	struct str_map services = { 0 }, vars = { 0 };
	for (size_t i = 0; s->services && s->services[i]; i++)
		env_of_service(a, s->services[i], &services);
	if (!from_objects(a, s, &vars, err))
		return false;
	for (size_t i = 0; i < s->container->env.n; i++) {
		const struct core_v1_EnvVar *e = &s->container->env.v[i];
		str value = e->value, missing;
		bool skip = false;
		if (value.n) {
			// Variables of the container first, then those of services.
			struct str_map both = { 0 };
			if (str_find_char(value, '$') >= 0) {
				for (size_t k = 0; k < services.n; k++)
					str_map_set(a, &both, services.v[k].key, services.v[k].value);
				for (size_t k = 0; k < vars.n; k++)
					str_map_set(a, &both, vars.v[k].key, vars.v[k].value);
				expand(a, value, &both, &value, &missing);
			}
		} else if (e->valueFrom && !from_source(a, s, e->valueFrom, &value, &skip, err)) {
			return false;
		}
		if (!skip)
			str_map_set(a, &vars, e->name, value);
	}
	*out = vars;
	for (size_t i = 0; i < services.n; i++)
		if (!str_map_find(&vars, services.v[i].key, &(str){ 0 }))
			str_map_set(a, out, services.v[i].key, services.v[i].value);
	return true;
}
