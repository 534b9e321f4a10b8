#include "apiserver/kinds/valid.h"

#include "json/json.h"

void v_name(struct field_errors *e, const struct fpath *p, str value, name_rule rule)
{
	struct str_list why = { 0 };
	rule(e->arena, value, &why);
	EACH (w, why)
		fe_invalid(e, p, value, STR_FMT, STR_ARG(*w));
}

void v_dns_label(struct field_errors *e, const struct fpath *p, str value) { v_name(e, p, value, name_is_dns1123_label); }
void v_dns_subdomain(struct field_errors *e, const struct fpath *p, str value) { v_name(e, p, value, name_is_dns1123_subdomain); }
void v_qualified(struct field_errors *e, const struct fpath *p, str value) { v_name(e, p, value, name_is_qualified); }
void v_label_name(struct field_errors *e, const struct fpath *p, str value) { v_name(e, p, value, name_is_qualified); }

void v_labels(struct field_errors *e, const struct fpath *p, const struct str_map *labels)
{
	EACH (l, *labels) {
		v_label_name(e, p, l->key);
		v_name(e, p, l->value, name_is_label_value);
	}
}

void v_annotations(struct field_errors *e, const struct fpath *p, const struct str_map *annotations)
{
	enum { MOST = 256 * 1024 };
	size_t total = 0;
	EACH (l, *annotations) {
		char *low = arena_cstr(e->arena, l->key);
		for (char *c = low; *c; c++)
			*c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
		struct str_list why = { 0 };
		name_is_qualified(e->arena, str_c(low), &why);
		EACH (w, why)
			fe_invalid(e, p, l->key, STR_FMT, STR_ARG(*w));
		total += l->key.n + l->value.n;
	}
	if (total > MOST)
		fe_too_long(e, p, MOST);
}

void v_not_negative(struct field_errors *e, const struct fpath *parent, const char *field, int64_t value)
{
	struct fpath p = fp(parent, field);
	if (value < 0)
		fe_invalid_int(e, &p, value, NOT_NEGATIVE);
}

void v_positive(struct field_errors *e, const struct fpath *parent, const char *field, int64_t value)
{
	struct fpath p = fp(parent, field);
	if (value <= 0)
		fe_invalid_int(e, &p, value, "must be greater than zero");
}

void v_range(struct field_errors *e, const struct fpath *p, int64_t value, int64_t low, int64_t high)
{
	if (value < low || value > high)
		fe_invalid_int(e, p, value, "must be between %lld and %lld, inclusive", (long long)low, (long long)high);
}

void v_port(struct field_errors *e, const struct fpath *p, int64_t port)
{
	v_range(e, p, port, 1, 65535);
}

void v_port_or_name(struct field_errors *e, const struct fpath *p, const struct int_or_string *port)
{
	if (port->is_string)
		v_name(e, p, port->s, name_is_port_name);
	else
		v_port(e, p, port->i);
}

void v_mode(struct field_errors *e, const struct fpath *parent, const char *field, const int32_t *mode)
{
	struct fpath p = fp(parent, field);
	if (mode && (*mode < 0 || *mode > 0777))
		fe_invalid_int(e, &p, *mode, "must be a number between 0 and 0777 (octal), both inclusive");
}

bool v_one_of(str value, const char *const *list)
{
	for (; *list; list++)
		if (str_eqc(value, *list))
			return true;
	return false;
}

void v_enum(struct field_errors *e, const struct fpath *p, str value, const char *const *list)
{
	str all[64];
	size_t n = 0;
	if (v_one_of(value, list))
		return;
	for (; list[n] && n < ARRAY_LEN(all); n++)
		all[n] = str_c(list[n]);
	fe_not_supported(e, p, value, all, n);
}

void v_enum_required(struct field_errors *e, const struct fpath *p, str value, const char *const *list)
{
	if (value.n)
		v_enum(e, p, value, list);
	else
		fe_required(e, p, "");
}

void v_label_selector(struct field_errors *e, const struct fpath *p, const struct meta_v1_LabelSelector *s)
{
	if (!s)
		return;
	struct fpath labels = fp(p, "matchLabels"), expressions = fp(p, "matchExpressions");
	v_labels(e, &labels, &s->matchLabels);
	EACH (q, s->matchExpressions) {
		struct fpath at = fp_index(e->arena, &expressions, INDEX(q, s->matchExpressions)), values = fp(&at, "values"), op = fp(&at, "operator"), key = fp(&at, "key");
		if (v_one_of(q->operator, LIST("In", "NotIn"))) {
			if (!q->values.n)
				fe_required(e, &values, "must be specified when `operator` is 'In' or 'NotIn'");
		} else if (v_one_of(q->operator, LIST("Exists", "DoesNotExist"))) {
			if (q->values.n)
				fe_forbidden(e, &values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
		} else {
			fe_invalid(e, &op, q->operator, "not a valid selector operator");
		}
		v_label_name(e, &key, q->key);
		EACH (v, q->values) {
			struct fpath vp = fp_index(e->arena, &values, INDEX(v, q->values));
			v_name(e, &vp, *v, name_is_label_value);
		}
	}
}

str int_or_string_json(struct arena *a, const struct int_or_string *v)
{
	return v->is_string ? go_quote(a, v->s) : arena_printf(a, "%d", v->i);
}

void v_int_or_percent(struct field_errors *e, const struct fpath *p, const struct int_or_string *v)
{
	struct str_list why = { 0 };
	if (!v->is_string) {
		if (v->i < 0)
			fe_invalid_int(e, p, v->i, NOT_NEGATIVE);
		return;
	}
	name_is_percent(e->arena, v->s, &why);
	EACH (w, why)
		fe_invalid(e, p, v->s, STR_FMT, STR_ARG(*w));
}

static bool percent_of(const struct int_or_string *v, int64_t *out)
{
	str s = v->s;
	return v->is_string && str_cut_suffix(&s, S("%")) && s.n && s.p[0] != '-' && s.p[0] != '+' && str_to_i64(s, out);
}

int64_t int_or_percent_value(const struct int_or_string *v)
{
	int64_t n = 0;
	if (percent_of(v, &n))
		return n;
	if (v->is_string)
		return str_to_i64(v->s, &n) ? n : 0;
	return v->i;
}

void v_not_over_100(struct field_errors *e, const struct fpath *p, const struct int_or_string *v)
{
	int64_t n;
	if (percent_of(v, &n) && n > 100)
		fe_invalid(e, p, v->s, "must not be greater than 100%%");
}

bool same_str_ptr(const str *x, const str *y)
{
	return !x || !y ? x == y : str_eq(*x, *y);
}

// --- Paths and addresses ---

void v_no_backsteps(struct field_errors *e, const struct fpath *p, str path)
{
	str rest = path, part;
	while (str_next(&rest, '/', &part))
		if (str_eq(part, S(".."))) {
			fe_invalid(e, p, path, "must not contain '..'");
			return;
		}
}

void v_relative_path(struct field_errors *e, const struct fpath *p, str path)
{
	if (str_has_prefix(path, S("/")))
		fe_invalid(e, p, path, "must be a relative path");
	v_no_backsteps(e, p, path);
}

void v_unreserved_path(struct field_errors *e, const struct fpath *p, str path)
{
	v_relative_path(e, p, path);
	if (str_has_prefix(path, S("..")) && !str_has_prefix(path, S("../")))
		fe_invalid(e, p, path, "must not start with '..'");
}

#define BAD_IP "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
#define BAD_CIDR "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"

static bool leading_zero(str s)
{
	for (size_t i = 0; i + 1 < s.n; i++)
		if (s.p[i] == '0' && (i == 0 || s.p[i - 1] == '.') && s.p[i + 1] >= '0' && s.p[i + 1] <= '9')
			return true;
	return false;
}

static void v_ip_rules(struct field_errors *e, const struct fpath *p, str ip, bool canonical)
{
	unsigned char b[16];
	bool v6;
	if (!ip_parse(ip, b, &v6)) {
		fe_invalid(e, p, ip, BAD_IP);
		return;
	}
	bool mapped = !v6 && str_find_char(ip, ':') >= 0;
	if (mapped)
		fe_invalid(e, p, ip, "must not be an IPv4-mapped IPv6 address");
	else if (!v6 && leading_zero(ip))
		fe_invalid(e, p, ip, "must not have leading 0s");
	else if (canonical && !str_eq(ip_text(e->arena, b, v6), ip))
		fe_invalid(e, p, ip, "must be in canonical form (%s)", arena_cstr(e->arena, go_quote(e->arena, ip_text(e->arena, b, v6))));
}

void v_ip(struct field_errors *e, const struct fpath *p, str ip) { v_ip_rules(e, p, ip, true); }

void v_ip_legacy(struct field_errors *e, const struct fpath *p, str ip, const struct str_list *old)
{
	if (old && str_list_has(old, ip))
		return;
	v_ip_rules(e, p, ip, false);
}

void v_cidr_legacy(struct field_errors *e, const struct fpath *p, str cidr, const struct str_list *old)
{
	unsigned char b[16];
	bool v6;
	int bits;
	if (old && str_list_has(old, cidr))
		return;
	if (!cidr_parse(cidr, b, &v6, &bits)) {
		fe_invalid(e, p, cidr, BAD_CIDR);
		return;
	}
	if (!v6 && str_find_char(cidr, ':') >= 0)
		fe_invalid(e, p, cidr, "must not have an IPv4-mapped IPv6 address");
	str len = str_from(cidr, (size_t)str_find_char(cidr, '/') + 1);
	if ((!v6 && leading_zero(cidr)) || (len.n > 1 && len.p[0] == '0'))
		fe_invalid(e, p, cidr, "must not have leading 0s in IP or prefix length");
	for (int i = bits; i < (v6 ? 128 : 32); i++)
		if (b[i / 8] & (0x80 >> (i % 8))) {
			fe_invalid(e, p, cidr, "must not have bits set beyond the prefix length");
			break;
		}
}

// --- JSON of values ---

// Upstream shows its own structs here, whose fields have Go's names: {"Privileged":true}.
static str with_go_names(str text)
{
	char *p = (char *)text.p;
	for (size_t i = 0; i < text.n; i++) {
		if (p[i] != '"')
			continue;
		size_t begin = i + 1;
		for (i++; i < text.n && p[i] != '"'; i++)
			i += p[i] == '\\';
		if (i + 1 < text.n && p[i + 1] == ':' && begin < i && p[begin] >= 'a' && p[begin] <= 'z')
			p[begin] = (char)(p[begin] - 'a' + 'A');
	}
	return text;
}

str json_of(struct arena *a, const struct message_desc *m, const void *obj)
{
	if (!obj)
		return S("null");
	struct buf b = { 0 };
	schema_to_json(&b, m, obj);
	str text = arena_dup(a, buf_str(&b));
	buf_free(&b);
	return str_eq(schema_text(m->prefix), S("meta_v1")) ? text : with_go_names(text);
}

str json_of_map(struct arena *a, const struct str_map *m)
{
	struct buf b = { 0 };
	if (!m->v)
		return S("null");
	buf_add_char(&b, '{');
	EACH (entry, *m) {
		if (entry != m->v)
			buf_add_char(&b, ',');
		json_write_string(&b, entry->key, true);
		buf_add_char(&b, ':');
		json_write_string(&b, entry->value, true);
	}
	buf_add_char(&b, '}');
	str text = arena_dup(a, buf_str(&b));
	buf_free(&b);
	return text;
}

str json_of_list(struct arena *a, const struct str_list *l)
{
	struct str_list q = { 0 };
	if (!l->v)
		return S("null");
	EACH (s, *l)
		*LIST_ADD(a, &q) = go_quote(a, *s);
	return arena_concat(a, S("["), str_list_join(a, &q, ","), S("]"));
}

void v_immutable_str(struct field_errors *e, const struct fpath *p, str now, str was)
{
	if (!str_eq(now, was))
		fe_invalid(e, p, now, IMMUTABLE);
}

void v_immutable(struct field_errors *e, const struct fpath *p, const struct message_desc *m, const void *now, const void *was)
{
	bool same = !now || !was ? now == was : schema_equal(m, now, was);
	if (!same)
		fe_invalid_raw(e, p, json_of(e->arena, m, now), IMMUTABLE);
}

// --- Resource names ---

bool resource_is_hugepages(str name) { return str_has_prefix(name, S("hugepages-")); }

bool resource_is_standard_container(str name)
{
	return v_one_of(name, LIST("cpu", "memory", "ephemeral-storage")) || resource_is_hugepages(name);
}

bool resource_is_standard(str name)
{
	return resource_is_hugepages(name) || str_has_prefix(name, S("requests.hugepages-")) ||
	       v_one_of(name, LIST("cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage", "limits.cpu",
	                           "limits.memory", "limits.ephemeral-storage", "pods", "resourcequotas", "services", "replicationcontrollers", "secrets",
	                           "persistentvolumeclaims", "configmaps", "services.nodeports", "services.loadbalancers", "storage", "requests.storage",
	                           "count/pods"));
}

bool resource_is_native(str name)
{
	return str_find_char(name, '/') < 0 || str_contains(name, S("kubernetes.io/"));
}

bool resource_is_extended(str name)
{
	if (resource_is_native(name) || str_has_prefix(name, S("requests.")))
		return false;
	char text[400];
	if (name.n + 10 > sizeof(text))
		return false;
	memcpy(text, "requests.", 9);
	memcpy(text + 9, name.p, name.n);
	return is_qualified_name(str_n(text, name.n + 9));
}

bool resource_overcommits(str name) { return resource_is_native(name) && !resource_is_hugepages(name); }

void v_resource_name(struct field_errors *e, const struct fpath *p, str name)
{
	size_t before = e->n;
	v_qualified(e, p, name);
	if (e->n == before && str_find_char(name, '/') < 0 && !resource_is_standard(name))
		fe_invalid(e, p, name, "must be a standard resource type or fully qualified");
}

void v_container_resource_name(struct field_errors *e, const struct fpath *p, str name)
{
	v_resource_name(e, p, name);
	if (str_find_char(name, '/') < 0) {
		if (!resource_is_standard_container(name))
			fe_invalid(e, p, name, "must be a standard resource for containers");
	} else if (!resource_is_native(name) && !resource_is_extended(name)) {
		fe_invalid(e, p, name, "doesn't follow extended resource name standard");
	}
}

void v_resource_quantity(struct field_errors *e, const struct fpath *p, str resource, struct quantity q)
{
	if (quantity_sign(q) < 0)
		fe_invalid(e, p, quantity_text(q), NOT_NEGATIVE);
	bool whole = v_one_of(resource, LIST("pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps",
	                                     "persistentvolumeclaims", "services.nodeports", "services.loadbalancers")) || resource_is_extended(resource);
	if (whole && quantity_milli(q) % 1000 != 0)
		fe_invalid(e, p, quantity_text(q), "must be an integer");
}

void v_not_supported_raw(struct field_errors *e, const struct fpath *p, str value, const char *const *list)
{
	struct str_list all = { 0 };
	for (; *list; list++)
		*LIST_ADD(e->arena, &all) = str_c(*list);
	fe_not_supported(e, p, value, all.v, all.n);
	e->v[e->n - 1].bad_value = value;
}

str json_of_quantities(struct arena *a, const struct quantity_map *m)
{
	str text = S("{");
	EACH (q, *m)
		text = arena_concat(a, text, q == m->v ? S("") : S(","), go_quote(a, q->key), S(":"), go_quote(a, quantity_text(q->value)));
	return arena_concat(a, text, S("}"));
}
