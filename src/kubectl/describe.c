#include "kubectl/describe.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

enum { LONGEST_ANNOTATION = 140 };

void d_raw(struct describer *d, str text)
{
	buf_add(&d->out.text, text);
}

void d_line(struct describer *d, int level, const char *fmt, ...)
{
	buf_printf(&d->out.text, "%*s", level * 2, "");
	va_list ap;
	va_start(ap, fmt);
	buf_vprintf(&d->out.text, fmt, ap);
	va_end(ap);
}

str d_member(const struct value *v, const char *name)
{
	return value_get_str(v, str_c(name));
}

str d_text(const struct value *v, const char *outer, const char *inner)
{
	return value_str(value_path(v, str_c(outer), str_c(inner)));
}

long long d_number(const struct value *v, const char *name)
{
	return kc_value_i64(value_get(v, str_c(name)), 0);
}

size_t d_count(const struct value *list)
{
	return value_is(list, V_ARRAY) ? list->a.n : 0;
}

str d_joined(struct describer *d, const struct value *list)
{
	struct str_list parts = { 0 };
	for (size_t i = 0; i < d_count(list); i++)
		*LIST_ADD(d->k->a, &parts) = value_str(list->a.v[i]);
	return parts.n ? kc_join(d->k->a, parts.v, parts.n, S(",")) : S("<none>");
}

str d_time(struct describer *d, str text)
{
	int64_t sec;
	int32_t nsec;
	struct tm tm;
	char out[64];
	if (!time_parse(text, &sec, &nsec))
		sec = -62135596800; // Go's zero time
	time_t t = (time_t)sec;
	if (!localtime_r(&t, &tm) || strftime(out, sizeof(out), "%a, %d %b %Y %H:%M:%S %z", &tm) == 0)
		return S("<unknown>");
	return arena_dup(d->k->a, str_c(out));
}

static int by_key(const void *x, const void *y)
{
	return str_cmp(((const struct member *)x)->key, ((const struct member *)y)->key);
}

struct member *d_sorted(struct describer *d, const struct value *object, size_t *n)
{
	*n = value_is(object, V_OBJECT) ? object->o.n : 0;
	struct member *m = ARENA_ARRAY(d->k->a, struct member, *n);
	if (*n) {
		memcpy(m, object->o.v, *n * sizeof(*m));
		qsort(m, *n, sizeof(*m), by_key);
	}
	return m;
}

str d_controller(struct describer *d)
{
	const struct value *owners = value_path(d->obj, S("metadata"), S("ownerReferences"));
	for (size_t i = 0; i < d_count(owners); i++)
		if (kc_value_true(value_get(owners->a.v[i], S("controller"))))
			return arena_concat(d->k->a, d_member(owners->a.v[i], "kind"), S("/"),
			                    d_member(owners->a.v[i], "name"));
	return (str){ 0 };
}

void d_labels(struct describer *d, const char *title, const struct value *labels)
{
	size_t n;
	struct member *m = d_sorted(d, labels, &n);
	d_line(d, 0, "%s:\t%s", title, n ? "" : "<none>\n");
	for (size_t i = 0; i < n; i++)
		d_line(d, 0, "%s" STR_FMT "=" STR_FMT "\n", i ? "\t" : "", STR_ARG(m[i].key),
		       STR_ARG(value_str(m[i].value)));
}

void d_annotations(struct describer *d, const char *title, const struct value *annotations)
{
	size_t n, shown = 0;
	struct member *m = d_sorted(d, annotations, &n);
	d_line(d, 0, "%s:\t", title);
	for (size_t i = 0; i < n; i++) {
		str key = m[i].key, value = value_str(m[i].value), line;
		if (str_eqc(key, "kubectl.kubernetes.io/last-applied-configuration"))
			continue;
		if (shown++)
			d_raw(d, S("\t"));
		str_cut_suffix(&value, S("\n"));
		if (value.n + key.n + 2 <= LONGEST_ANNOTATION && str_find_char(value, '\n') < 0) {
			d_line(d, 0, STR_FMT ": " STR_FMT "\n", STR_ARG(key), STR_ARG(value));
			continue;
		}
		d_line(d, 0, STR_FMT ":\n", STR_ARG(key));
		while (str_next(&value, '\n', &line)) {
			bool cut = line.n > LONGEST_ANNOTATION - 2;
			d_line(d, 0, "\t  " STR_FMT "%s\n", STR_ARG(str_sub(line, 0, LONGEST_ANNOTATION - 2)),
			       cut ? "..." : "");
		}
	}
	if (!shown)
		d_raw(d, S("<none>\n"));
}

static int by_toleration_key(const void *x, const void *y)
{
	return str_cmp(value_get_str(*(struct value *const *)x, S("key")),
	               value_get_str(*(struct value *const *)y, S("key")));
}

void d_tolerations(struct describer *d, const char *title, const struct value *list)
{
	size_t n = d_count(list);
	d_line(d, 0, "%s:\t%s", title, n ? "" : "<none>\n");
	const struct value **v = ARENA_ARRAY(d->k->a, const struct value *, n);
	for (size_t i = 0; i < n; i++)
		v[i] = list->a.v[i];
	if (n)
		qsort(v, n, sizeof(*v), by_toleration_key);
	for (size_t i = 0; i < n; i++) {
		str key = d_member(v[i], "key"), value = d_member(v[i], "value"), effect = d_member(v[i], "effect");
		d_line(d, 0, "%s" STR_FMT, i ? "\t" : "", STR_ARG(key));
		if (value.n)
			d_line(d, 0, "=" STR_FMT, STR_ARG(value));
		if (effect.n)
			d_line(d, 0, ":" STR_FMT, STR_ARG(effect));
		if (str_eqc(d_member(v[i], "operator"), "Exists") && value.n == 0)
			d_raw(d, key.n || effect.n ? S(" op=Exists") : S("op=Exists"));
		if (value_get(v[i], S("tolerationSeconds")))
			d_line(d, 0, " for %llds", d_number(v[i], "tolerationSeconds"));
		d_raw(d, S("\n"));
	}
}

// --- Events ---

static str event_time(const struct value *e)
{
	static const char *const fields[] = { "lastTimestamp", "eventTime", "firstTimestamp" };
	str t = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(fields) && !t.n; i++)
		t = d_member(e, fields[i]);
	return t;
}

static int by_event_time(const void *x, const void *y)
{
	int64_t s[2] = { 0 };
	int32_t n;
	time_parse(event_time(*(struct value *const *)x), &s[0], &n);
	time_parse(event_time(*(struct value *const *)y), &s[1], &n);
	return s[0] < s[1] ? -1 : s[0] > s[1];
}

static bool find_events(struct describer *d, str uid, struct value *all)
{
	struct kctl *k = d->k;
	struct error ignored = { 0 };
	struct value *list;
	const struct rtype *events = kc_type_of_kind(k, S("v1"), S("Event"), &ignored);
	str ns = d_text(d->obj, "metadata", "namespace");
	_cleanup_buf_ struct buf b = { 0 };
	buf_printf(&b, "involvedObject.name=" STR_FMT, STR_ARG(d_text(d->obj, "metadata", "name")));
	if (ns.n)
		buf_printf(&b, ",involvedObject.namespace=" STR_FMT, STR_ARG(ns));
	buf_printf(&b, ",involvedObject.kind=" STR_FMT ",involvedObject.uid=" STR_FMT, STR_ARG(d->type->kind),
	           STR_ARG(uid));
	if (!events || !kc_list_all(k, events, ns, (str){ 0 }, buf_str(&b), &list, &ignored))
		return false;
	struct value *items = value_get(list, S("items"));
	for (size_t i = 0; i < d_count(items); i++)
		value_append(k->a, all, items->a.v[i]);
	return true;
}

void d_events(struct describer *d)
{
	struct value *all = value_array(d->k->a);
	if (!d->events || !find_events(d, d_text(d->obj, "metadata", "uid"), all))
		return;
	if (str_eqc(d->type->kind, "Node")) // a kubelet reports with the node's name for a UID
		find_events(d, d_text(d->obj, "metadata", "name"), all);
	if (all->a.n == 0) {
		d_raw(d, S("Events:\t<none>\n"));
		return;
	}
	qsort(all->a.v, all->a.n, sizeof(*all->a.v), by_event_time);
	kc_table_flush(&d->out, stdout);
	d_raw(d, S("Events:\n  Type\tReason\tAge\tFrom\tMessage\n  ----\t------\t----\t----\t-------\n"));
	for (size_t i = 0; i < all->a.n; i++) {
		const struct value *e = all->a.v[i], *series = value_get(e, S("series"));
		struct arena *a = d->k->a;
		str first = d_member(e, "eventTime"), source = d_text(e, "source", "component"),
		    message = str_trim(d_member(e, "message"));
		str field = d_text(e, "involvedObject", "fieldPath");
		str age = kc_age_of(a, first.n ? first : d_member(e, "firstTimestamp"));
		long long count = d_number(value_is(series, V_OBJECT) ? series : e, "count");
		if (value_is(series, V_OBJECT))
			age = arena_printf(a, STR_FMT " (x%lld over " STR_FMT ")",
			                   STR_ARG(kc_age_of(a, d_member(series, "lastObservedTime"))), count,
			                   STR_ARG(age));
		else if (count > 1)
			age = arena_printf(a, STR_FMT " (x%lld over " STR_FMT ")",
			                   STR_ARG(kc_age_of(a, d_member(e, "lastTimestamp"))), count, STR_ARG(age));
		if (!source.n)
			source = d_member(e, "reportingComponent");
		d_line(d, 1, STR_FMT "\t" STR_FMT "\t" STR_FMT "\t" STR_FMT "\t" STR_FMT "%s" STR_FMT "\n",
		       STR_ARG(d_member(e, "type")), STR_ARG(d_member(e, "reason")), STR_ARG(age), STR_ARG(source),
		       STR_ARG(field), field.n ? ": " : "", STR_ARG(message));
	}
}

// --- Any kind ---

// "creationTimestamp" -> "Creation Timestamp", "podCIDR" -> "Pod CIDR"; names with other characters stay.
static str heading(struct arena *a, str field)
{
	static const char *const acronyms[] = { "API", "URL", "UID", "GUID" };
	_cleanup_buf_ struct buf b = { 0 };
	for (size_t i = 0; i < field.n; i++) {
		char c = field.p[i] | 0x20;
		if ((c < 'a' || c > 'z') && field.p[i] != '-')
			return field;
	}
	for (size_t i = 0; i < field.n;) {
		size_t end = i + 1;
		bool upper = field.p[i] >= 'A' && field.p[i] <= 'Z';
		if (upper && end < field.n && field.p[end] >= 'A' && field.p[end] <= 'Z') {
			while (end < field.n && field.p[end] >= 'A' && field.p[end] <= 'Z')
				end++;
			if (end < field.n && end - i > 1) // the last capital begins the next word
				end--;
		} else {
			while (end < field.n && field.p[end] >= 'a' && field.p[end] <= 'z')
				end++;
		}
		str part = str_sub(field, i, end), big = kc_upper(a, part);
		bool acronym = false;
		for (size_t k = 0; k < ARRAY_LEN(acronyms); k++)
			acronym = acronym || str_eqc(big, acronyms[k]);
		if (b.n)
			buf_add_char(&b, ' ');
		if (acronym) {
			buf_add(&b, big);
		} else {
			buf_add_char(&b, upper ? part.p[0] : big.p[0]);
			buf_add(&b, str_from(part, 1));
		}
		i = end;
	}
	return arena_dup(a, buf_str(&b));
}

static void content(struct describer *d, int level, const struct value *v, bool top, bool metadata)
{
	static const char *const skipped[] = { "managedFields", "name", "namespace", "labels", "annotations" };
	size_t n;
	struct member *m = d_sorted(d, v, &n);
	for (size_t i = 0; i < n; i++) {
		str name = heading(d->k->a, m[i].key);
		const struct value *child = m[i].value;
		bool skip = false;
		for (size_t s = 0; metadata && s < ARRAY_LEN(skipped); s++)
			skip = skip || str_eqc(m[i].key, skipped[s]);
		if (skip)
			continue;
		if (child->kind == V_OBJECT) {
			d_line(d, level, STR_FMT ":\n", STR_ARG(name));
			content(d, level + 1, child, false, top && str_eqc(m[i].key, "metadata"));
			continue;
		}
		_cleanup_buf_ struct buf b = { 0 };
		if (child->kind != V_ARRAY) {
			kc_write_plain(&b, child);
			d_line(d, level, STR_FMT ":\t" STR_FMT "\n", STR_ARG(name), STR_ARG(buf_str(&b)));
			continue;
		}
		d_line(d, level, STR_FMT ":\n", STR_ARG(name));
		for (size_t j = 0; j < child->a.n; j++) {
			if (child->a.v[j]->kind == V_OBJECT) {
				content(d, level + 1, child->a.v[j], false, false);
				continue;
			}
			buf_clear(&b);
			kc_write_plain(&b, child->a.v[j]);
			d_line(d, level + 1, STR_FMT "\n", STR_ARG(buf_str(&b)));
		}
	}
}

void describe_generic(struct describer *d)
{
	d_line(d, 0, "Name:\t" STR_FMT "\nNamespace:\t" STR_FMT "\n", STR_ARG(d_text(d->obj, "metadata", "name")),
	       STR_ARG(d_text(d->obj, "metadata", "namespace")));
	d_labels(d, "Labels", value_path(d->obj, S("metadata"), S("labels")));
	d_annotations(d, "Annotations", value_path(d->obj, S("metadata"), S("annotations")));
	content(d, 0, d->obj, true, false);
	d_events(d);
}

// --- The command ---

static bool pod_all(struct describer *d)
{
	describe_pod(d);
	return true;
}

static const struct {
	const char *group, *kind;
	bool (*describe)(struct describer *d);
} kinds[] = {
	{ "", "Pod", pod_all },
	{ "apps", "Deployment", describe_deployment },
	{ "apps", "ReplicaSet", describe_replicaset },
	{ "", "Service", describe_service },
	{ "", "Node", describe_node },
	{ "", "ConfigMap", describe_configmap },
	{ "", "Secret", describe_secret },
	{ "", "Namespace", describe_namespace },
};

static void describe_one(struct kctl *k, const struct target *t, bool events, size_t place)
{
	struct describer d = { .k = k, .obj = t->obj, .type = t->type, .events = events };
	kc_table_init(&d.out);
	d.out.min_width = 0;
	d.out.padding = 2;
	d.out.remember = false;
	size_t i = 0;
	while (i < ARRAY_LEN(kinds) &&
	       !(str_eqc(t->type->group, kinds[i].group) && str_eqc(t->type->kind, kinds[i].kind)))
		i++;
	if (place)
		printf("\n\n");
	if (i == ARRAY_LEN(kinds))
		describe_generic(&d);
	else
		kinds[i].describe(&d);
	kc_table_flush(&d.out, stdout);
	kc_table_free(&d.out);
}

void describe_pod_template(struct kctl *k, const struct value *template)
{
	struct describer d = { .k = k, .obj = template };
	kc_table_init(&d.out);
	d.out.min_width = 0;
	d.out.padding = 2;
	d.out.remember = false;
	describe_template(&d, template);
	fwrite(d.out.text.p, 1, d.out.text.n, stdout); // upstream leaves the tabs in
	kc_table_free(&d.out);
}

// "describe pod web" means all pods whose names begin with it, when there is none of that name.
static bool describe_matching(struct kctl *k, struct error *err)
{
	struct targets all = { 0 };
	size_t shown = 0;
	str prefix = k->args.v[1];
	if (!targets_read(k, k->args.v, 1, 0, &all, err))
		return false;
	for (size_t i = 0; i < all.n; i++)
		if (str_has_prefix(all.v[i].name, prefix)) {
			describe_one(k, &all.v[i], flag_bool(k, "show-events"), 0);
			putchar('\n');
			shown++;
		}
	if (shown)
		return true;
	const struct target t = { .type = kc_type_find(k, k->args.v[0], err), .ns = k->ns, .name = prefix };
	if (t.type)
		api_get(k, target_path(k, &t), err); // for its message
	return false;
}

bool run_describe(struct kctl *k, struct error *err)
{
	struct targets list = { 0 };
	if (k->args.n == 0 && flag_list(k, "filename")->n == 0) {
		fprintf(stderr,
		        "You must specify the type of resource to describe. Use \"%s api-resources\" for a complete "
		        "list of supported resources.\n\n",
		        k->program);
		return kc_usage_error(k, err, "Required resource not specified.");
	}
	bool prefix = k->args.n == 2 && str_find_char(k->args.v[0], '/') < 0 && str_find_char(k->args.v[0], ',') < 0;
	if (!targets_read(k, k->args.v, k->args.n, TARGETS_OBJECTS | (prefix ? TARGETS_SKIP_MISSING : 0), &list, err))
		return false;
	if (list.n == 0 && !k->failed && prefix)
		return describe_matching(k, err);
	bool events = flag_bool(k, "show-events") && (list.n <= 1 || flag_set(k, "show-events"));
	for (size_t i = 0; i < list.n; i++)
		describe_one(k, &list.v[i], events, i);
	if (list.n == 0 && !k->failed) {
		if (flag_bool(k, "all-namespaces"))
			fprintf(stderr, "No resources found\n");
		else
			fprintf(stderr, "No resources found in " STR_FMT " namespace.\n", STR_ARG(k->ns));
	}
	return true;
}
