// The rules for metadata of all kinds. Rule: apimachinery pkg/api/validation/objectmeta.go.
#include "apiserver/apiserver.h"

#include "object/names.h"

enum { ANNOTATIONS_MAX = 256 << 10 };

static void add_all(struct field_errors *e, const struct fpath *p, str value, const struct str_list *why)
{
	for (size_t i = 0; i < why->n; i++)
		fe_invalid(e, p, value, STR_FMT, STR_ARG(why->v[i]));
}

static void labels(struct field_errors *e, const struct fpath *p, const struct str_map *m)
{
	struct arena *a = e->arena;
	for (size_t i = 0; i < m->n; i++) {
		struct str_list why = { 0 };
		name_is_qualified(a, m->v[i].key, &why);
		add_all(e, p, m->v[i].key, &why);
		why = (struct str_list){ 0 };
		name_is_label_value(a, m->v[i].value, &why);
		add_all(e, p, m->v[i].value, &why);
	}
}

static void annotations(struct field_errors *e, const struct fpath *p, const struct str_map *m)
{
	struct arena *a = e->arena;
	size_t total = 0;
	for (size_t i = 0; i < m->n; i++) {
		struct str_list why = { 0 };
		char *lower = arena_cstr(a, m->v[i].key);
		for (char *c = lower; *c; c++)
			if (*c >= 'A' && *c <= 'Z')
				*c = (char)(*c + 32);
		name_is_qualified(a, str_c(lower), &why);
		add_all(e, p, m->v[i].key, &why);
		total += m->v[i].key.n + m->v[i].value.n;
	}
	if (total > ANNOTATIONS_MAX)
		fe_too_long(e, p, ANNOTATIONS_MAX);
}

static void finalizers(struct field_errors *e, const struct fpath *p, const struct str_list *l)
{
	struct arena *a = e->arena;
	bool orphan = false, foreground = false;
	for (size_t i = 0; i < l->n; i++) {
		struct fpath at = fp_index(a, p, i);
		struct str_list why = { 0 };
		name_is_qualified(a, l->v[i], &why);
		add_all(e, p, l->v[i], &why);
		if (why.n == 0 && str_find_char(l->v[i], '/') < 0 && !str_eq(l->v[i], S("orphan")) && !str_eq(l->v[i], S("foregroundDeletion")) && !str_eq(l->v[i], S("kubernetes")))
			fe_invalid(e, &at, l->v[i], "name is neither a standard finalizer name nor is it fully qualified");
		orphan |= str_eq(l->v[i], S("orphan"));
		foreground |= str_eq(l->v[i], S("foregroundDeletion"));
	}
	if (orphan && foreground)
		fe_invalid_raw(e, p, arena_concat(a, S("["), str_list_join(a, l, " "), S("]")), "finalizer orphan and foregroundDeletion cannot be both set");
}

static str owners_text(struct arena *a, const struct meta_v1_OwnerReference_list *l)
{
	struct buf b = { 0 };
	buf_add_char(&b, '[');
	for (size_t i = 0; i < l->n; i++) {
		if (i)
			buf_add_char(&b, ',');
		schema_to_json(&b, meta_v1_OwnerReference_desc, &l->v[i]);
	}
	buf_add_char(&b, ']');
	str out = arena_dup(a, buf_str(&b));
	buf_free(&b);
	return out;
}

static void owners(struct field_errors *e, const struct fpath *p, const struct meta_v1_OwnerReference_list *l)
{
	struct arena *a = e->arena;
	str controller = { 0 };
	for (size_t i = 0; i < l->n; i++) {
		const struct meta_v1_OwnerReference *o = &l->v[i];
		struct fpath apiv = fp(p, "apiVersion"), kind = fp(p, "kind"), name = fp(p, "name"), uid = fp(p, "uid");
		str group = { 0 }, version = o->apiVersion;
		if (str_find_char(o->apiVersion, '/') >= 0)
			str_split(o->apiVersion, '/', &group, &version);
		if (!version.n)
			fe_invalid(e, &apiv, o->apiVersion, "version must not be empty");
		if (!o->kind.n)
			fe_invalid(e, &kind, o->kind, "must not be empty");
		if (!o->name.n)
			fe_invalid(e, &name, o->name, "must not be empty");
		if (!o->uid.n)
			fe_invalid(e, &uid, o->uid, "must not be empty");
		if (str_eq(o->apiVersion, S("v1")) && str_eq(o->kind, S("Event")))
			fe_invalid_raw(e, p, S("null"), "/v1, Kind=Event is disallowed from being an owner");
		if (o->controller && *o->controller) {
			str me = arena_concat(a, o->kind, S("/"), o->name);
			if (controller.n)
				fe_invalid_raw(e, p, owners_text(a, l), "Only one reference can have Controller set to true. Found \"true\" in references for " STR_FMT " and " STR_FMT, STR_ARG(controller), STR_ARG(me));
			controller = me;
		}
	}
}

static void immutable(struct field_errors *e, const struct fpath *p, str value)
{
	fe_invalid_raw(e, p, value, "field is immutable");
}

void object_meta_validate(struct request *r, const struct kind *k, struct field_errors *e, const void *obj, const void *old)
{
	struct arena *a = r->arena;
	const struct meta_v1_ObjectMeta *m = meta_of(k, obj);
	struct fpath meta = fp(NULL, "metadata"), name = fp(&meta, "name"), generate = fp(&meta, "generateName"), ns = fp(&meta, "namespace"),
	             generation = fp(&meta, "generation"), l = fp(&meta, "labels"), an = fp(&meta, "annotations"), fin = fp(&meta, "finalizers"),
	             own = fp(&meta, "ownerReferences");
	void (*check)(struct arena *, str, bool, struct str_list *) = k->strategy->validate_name;
	if (m->generateName.n) {
		struct str_list why = { 0 };
		if (check)
			check(a, m->generateName, true, &why);
		else {
			str s = m->generateName;
			if (s.p[s.n - 1] == '-')
				s = arena_concat(a, str_sub(s, 0, s.n - 1), S("a"));
			name_is_dns1123_subdomain(a, s, &why);
		}
		add_all(e, &generate, m->generateName, &why);
	}
	if (!m->name.n) {
		fe_required(e, &name, "name or generateName is required");
	} else {
		struct str_list why = { 0 };
		if (check)
			check(a, m->name, false, &why);
		else
			name_is_dns1123_subdomain(a, m->name, &why);
		add_all(e, &name, m->name, &why);
	}
	if (k->namespaced) {
		struct str_list why = { 0 };
		if (!m->namespace.n)
			fe_required(e, &ns, "");
		else
			name_is_dns1123_label(a, m->namespace, &why);
		add_all(e, &ns, m->namespace, &why);
	} else if (m->namespace.n) {
		fe_forbidden(e, &ns, "not allowed on this type");
	}
	if (m->generation < 0)
		fe_invalid_int(e, &generation, m->generation, "must be greater than or equal to 0");
	labels(e, &l, &m->labels);
	annotations(e, &an, &m->annotations);
	owners(e, &own, &m->ownerReferences);
	finalizers(e, &fin, &m->finalizers);
	if (old)
		object_meta_validate_update(r, k, e, obj, old);
}

void object_meta_validate_update(struct request *r, const struct kind *k, struct field_errors *e, const void *obj, const void *old)
{
	struct arena *a = r->arena;
	const struct meta_v1_ObjectMeta *m = meta_of(k, obj), *o = meta_of(k, old);
	struct fpath meta = fp(NULL, "metadata"), name = fp(&meta, "name"), ns = fp(&meta, "namespace"), generation = fp(&meta, "generation"), fin = fp(&meta, "finalizers");
	struct fpath uid = fp(&meta, "uid"), ts = fp(&meta, "deletionTimestamp"), grace = fp(&meta, "deletionGracePeriodSeconds");
	if (o->deletionTimestamp) {
		struct str_list added = { 0 };
		for (size_t i = 0; i < m->finalizers.n; i++)
			if (!str_list_has(&o->finalizers, m->finalizers.v[i]))
				*LIST_ADD(a, &added) = m->finalizers.v[i];
		if (added.n) {
			struct buf b = { 0 };
			for (size_t i = 0; i < added.n; i++)
				buf_printf(&b, "%s\"" STR_FMT "\"", i ? ", " : "", STR_ARG(added.v[i]));
			fe_forbidden(e, &fin, "no new finalizers can be added if the object is being deleted, found new finalizers []string{" STR_FMT "}", STR_ARG(buf_str(&b)));
			buf_free(&b);
		}
	}
	if (m->deletionTimestamp && !o->deletionTimestamp)
		immutable(e, &ts, arena_concat(a, S("\""), time_format(a, m->deletionTimestamp->sec, 0, 0), S("\"")));
	if (m->deletionGracePeriodSeconds && (!o->deletionGracePeriodSeconds || *m->deletionGracePeriodSeconds != *o->deletionGracePeriodSeconds))
		immutable(e, &grace, arena_printf(a, "%lld", (long long)*m->deletionGracePeriodSeconds));
	if (!str_eq(m->uid, o->uid))
		immutable(e, &uid, arena_concat(a, S("\""), m->uid, S("\"")));
	if (!str_eq(m->name, o->name))
		immutable(e, &name, arena_concat(a, S("\""), m->name, S("\"")));
	if (!str_eq(m->namespace, o->namespace))
		immutable(e, &ns, arena_concat(a, S("\""), m->namespace, S("\"")));
	if (m->generation < o->generation)
		fe_invalid_int(e, &generation, m->generation, "must not be decremented");
}
