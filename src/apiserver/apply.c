// Server-side apply (PATCH application/apply-patch+yaml): the body says which fields its manager wants and how; it is merged over the
// object along the schema, what the manager wanted before and no longer wants goes when nobody else wants it, and a field that
// another manager set otherwise is a conflict unless it is forced. Rule: KEP 555, structured-merge-diff merge/update.go.
#include "apiserver/apiserver.h"
#include "apiserver/fieldset.h"

#include "json/json.h"
#include "json/yaml.h"
#include "object/meta.h"

// --- Reading the configuration ------------------------------------------------------------------------------------------------------

static bool empty_map(const struct value *v) { return v->kind == V_OBJECT && v->o.n == 0; }

struct typed { struct arena *a; struct error *err; };

// The fields that a value sets (typed.ToFieldSet), and whether the schema knows them all.
static bool set_of(struct typed *x, const struct fieldtype *t, const struct value *v, const char *path, struct fieldset *out)
{
	struct arena *a = x->a;
	if (v->kind == V_ARRAY) {
		for (size_t i = 0; i < v->a.n; i++) {
			const struct value *item = v->a.v[i];
			struct fieldtype ct = fieldtype_element(t);
			str pe = fieldset_element(a, t, item);
			bool keyed = t->field && (t->field->flags & FF_MAP_LIST);
			if (keyed && !value_is(item, V_OBJECT))
				return error_set(x->err, "%s: associative list with keys has an element that isn't a map type", path);
			if (keyed && str_eq(pe, S("k:{}")))
				return error_set(x->err, "%s: element %zu: associative list with keys has an element that omits key field \"" STR_FMT "\" (and doesn't have default value)", path, i,
				                 STR_ARG(schema_text(t->field->list_keys)));
			if (fieldset_has(out, pe) && keyed)
				return error_set(x->err, "%s: duplicate entries for key " STR_FMT, path, STR_ARG(str_from(pe, 2)));
			fieldset_add(a, out, pe);
			if (!ct.atomic && item->kind == V_OBJECT) {
				struct fieldset child = { 0 };
				if (!set_of(x, &ct, item, path, &child))
					return false;
				fieldset_put(a, out, pe, &child);
			}
		}
		return true;
	}
	for (size_t i = 0; v->kind == V_OBJECT && i < v->o.n; i++) {
		str name = v->o.v[i].key;
		const struct value *child = v->o.v[i].value;
		struct fieldtype ct = fieldtype_member(t, name);
		const char *at = arena_printf(a, "%s." STR_FMT, path, STR_ARG(name)).p;
		if (t->message && !t->map && !schema_field_named(t->message, name) && !(t->field == NULL && (str_eq(name, S("apiVersion")) || str_eq(name, S("kind")))))
			return error_set(x->err, "%s: field not declared in schema", at);
		str pe = fieldset_name(a, name);
		if (ct.atomic || child->kind == V_NULL || empty_map(child) || (child->kind != V_OBJECT && child->kind != V_ARRAY)) {
			fieldset_add(a, out, pe);
			continue;
		}
		struct fieldset below = { 0 };
		if (!set_of(x, &ct, child, at, &below))
			return false;
		if (t->map)
			fieldset_add(a, out, pe);
		if (below.n)
			fieldset_put(a, out, pe, &below);
	}
	return true;
}

// --- Merging and pruning ----------------------------------------------------------------------------------------------------------------

static struct value *merge(struct arena *a, const struct fieldtype *t, struct value *l, struct value *r);

static struct value *merge_lists(struct arena *a, const struct fieldtype *t, const struct value *l, const struct value *r)
{
	struct fieldtype ct = fieldtype_element(t);
	struct value *out = value_array(a);
	str *lk = ARENA_ARRAY(a, str, l->a.n), *rk = ARENA_ARRAY(a, str, r->a.n);
	bool *placed = ARENA_ARRAY(a, bool, r->a.n);
	for (size_t i = 0; i < l->a.n; i++)
		lk[i] = fieldset_element(a, t, l->a.v[i]);
	for (size_t i = 0; i < r->a.n; i++)
		rk[i] = fieldset_element(a, t, r->a.v[i]);
	// Items of the object stay where they are between those of the configuration, whose order wins.
	size_t i = 0, k = 0;
	while (i < l->a.n || k < r->a.n) {
		size_t in_right = r->a.n;
		for (size_t n = 0; i < l->a.n && n < r->a.n && in_right == r->a.n; n++)
			if (str_eq(lk[i], rk[n]))
				in_right = n;
		if (i < l->a.n && in_right == r->a.n) {
			value_append(a, out, l->a.v[i++]);
		} else if (i < l->a.n && placed[in_right]) {
			i++;
		} else if (k < r->a.n) {
			struct value *left = NULL;
			for (size_t n = 0; n < l->a.n && !left; n++)
				if (str_eq(lk[n], rk[k]))
					left = l->a.v[n];
			if (i < l->a.n && in_right == k)
				i++;
			placed[k] = true;
			value_append(a, out, left ? merge(a, &ct, left, r->a.v[k]) : r->a.v[k]);
			k++;
		} else {
			i++;
		}
	}
	return out;
}

static struct value *merge(struct arena *a, const struct fieldtype *t, struct value *l, struct value *r)
{
	if (!l || l->kind == V_NULL || t->atomic || l->kind != r->kind)
		return r;
	if (r->kind == V_ARRAY)
		return t->list ? merge_lists(a, t, l, r) : r;
	if (r->kind != V_OBJECT)
		return r;
	struct value *out = value_object(a);
	for (size_t i = 0; i < l->o.n; i++)
		value_set(a, out, l->o.v[i].key, l->o.v[i].value);
	for (size_t i = 0; i < r->o.n; i++) {
		struct fieldtype ct = fieldtype_member(t, r->o.v[i].key);
		value_set(a, out, r->o.v[i].key, merge(a, &ct, value_get(l, r->o.v[i].key), r->o.v[i].value));
	}
	return out;
}

struct others { const struct fieldset **v; size_t n; };

static struct others below(struct arena *a, const struct others *o, str pe)
{
	struct others out = { ARENA_ARRAY(a, const struct fieldset *, o->n ? o->n : 1), 0 };
	for (size_t i = 0; i < o->n; i++) {
		const struct fieldset *child = fieldset_child((struct fieldset *)(uintptr_t)o->v[i], pe);
		if (child)
			out.v[out.n++] = child;
	}
	return out;
}

static bool wanted_elsewhere(const struct others *o, str pe)
{
	for (size_t i = 0; i < o->n; i++)
		if (fieldset_has(o->v[i], pe))
			return true;
	return false;
}

static struct value *prune(struct arena *a, const struct fieldtype *t, struct value *v, const struct fieldset *last, const struct fieldset *now, const struct others *o)
{
	if (v->kind != V_OBJECT && v->kind != V_ARRAY)
		return v;
	struct value *out = v->kind == V_OBJECT ? value_object(a) : value_array(a);
	size_t n = v->kind == V_OBJECT ? v->o.n : v->a.n;
	for (size_t i = 0; i < n; i++) {
		struct value *child = v->kind == V_OBJECT ? v->o.v[i].value : v->a.v[i];
		struct fieldtype ct = v->kind == V_OBJECT ? fieldtype_member(t, v->o.v[i].key) : fieldtype_element(t);
		str pe = v->kind == V_OBJECT ? fieldset_name(a, v->o.v[i].key) : fieldset_element(a, t, child);
		struct fieldset *was = fieldset_child((struct fieldset *)(uintptr_t)last, pe);
		if (was) {
			bool member = false;
			for (size_t k = 0; k < last->n; k++)
				if (str_eq(last->v[k].pe, pe))
					member = last->v[k].member;
			bool kept = fieldset_has(now, pe) || wanted_elsewhere(o, pe);
			if (!kept && (member || v->kind == V_ARRAY))
				continue;
			struct fieldset *cn = fieldset_child((struct fieldset *)(uintptr_t)now, pe), none = { 0 };
			struct others co = below(a, o, pe);
			if (was->n && !ct.atomic) {
				struct value *pruned = prune(a, &ct, child, was, cn ? cn : &none, &co);
				bool emptied = (pruned->kind == V_OBJECT && pruned->o.n == 0 && child->kind == V_OBJECT && child->o.n) || (pruned->kind == V_ARRAY && pruned->a.n == 0 && child->a.n);
				child = pruned;
				if (emptied && !kept)
					continue;
			}
		}
		if (v->kind == V_OBJECT)
			value_set(a, out, v->o.v[i].key, child);
		else
			value_append(a, out, child);
	}
	return out;
}

// --- Conflicts ----------------------------------------------------------------------------------------------------------------------------

static str path_text(struct arena *a, str pe)
{
	str rest = str_from(pe, 2);
	if (pe.p[0] == 'f')
		return arena_concat(a, S("."), rest);
	if (pe.p[0] == 'v')
		return arena_concat(a, S("[="), rest, S("]"));
	struct error err = { 0 };
	struct value *keys = json_parse(a, rest, NULL, &err);
	str out = S("[");
	for (size_t i = 0; keys && keys->kind == V_OBJECT && i < keys->o.n; i++)
		out = arena_concat(a, out, i ? S(",") : S(""), keys->o.v[i].key, S("="), json_text(a, keys->o.v[i].value, JSON_COMPACT));
	return arena_concat(a, out, S("]"));
}

static void paths_of(struct arena *a, const struct fieldset *x, const struct fieldset *y, str prefix, struct str_list *out)
{
	// The members of a level before what is below it, as upstream walks its sets.
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < x->n; i++) {
			for (size_t k = 0; k < y->n; k++) {
				if (!str_eq(x->v[i].pe, y->v[k].pe))
					continue;
				str path = arena_concat(a, prefix, path_text(a, x->v[i].pe));
				if (pass == 0 && x->v[i].member && y->v[k].member)
					*LIST_ADD(a, out) = path;
				if (pass == 1)
					paths_of(a, &x->v[i].child, &y->v[k].child, path, out);
			}
		}
	}
}

static str manager_text(struct arena *a, const struct meta_v1_ManagedFieldsEntry *e)
{
	str out = arena_concat(a, S("\""), e->manager, S("\""));
	if (e->subresource.n)
		out = arena_concat(a, out, S(" with subresource \""), e->subresource, S("\""));
	if (str_eq(e->operation, S("Update")))
		out = arena_concat(a, out, S(" using "), e->apiVersion);
	return out;
}

struct conflicts { struct { struct str_list *v; size_t n; } paths; struct str_list managers; size_t total; };

static bool refuse(struct call *c, const struct conflicts *x, struct api_status *s)
{
	struct arena *a = c->r.arena;
	*s = (struct api_status){ .code = 409, .reason = S("Conflict") };
	struct buf b = { 0 };
	buf_printf(&b, "Apply failed with %zu conflict%s: ", x->total, x->total > 1 ? "s" : "");
	for (size_t i = 0; i < x->managers.n; i++) {
		const struct str_list *paths = &x->paths.v[i];
		if (x->total == 1) {
			buf_printf(&b, "conflict with " STR_FMT ": " STR_FMT, STR_ARG(x->managers.v[i]), STR_ARG(paths->v[0]));
		} else {
			buf_printf(&b, "%sconflicts with " STR_FMT ":", i ? "\n" : "", STR_ARG(x->managers.v[i]));
			for (size_t k = 0; k < paths->n; k++)
				buf_printf(&b, "\n- " STR_FMT, STR_ARG(paths->v[k]));
		}
		for (size_t k = 0; k < paths->n; k++)
			*LIST_ADD(a, &s->causes) = (struct status_cause){ .reason = S("FieldManagerConflict"), .message = arena_concat(a, S("conflict with "), x->managers.v[i]), .field = paths->v[k] };
	}
	s->message = arena_dup(a, buf_str(&b));
	buf_free(&b);
	return false;
}

// --- The whole ----------------------------------------------------------------------------------------------------------------------------

static bool read_body(struct call *c, struct kind *k, struct value **out, struct api_status *s)
{
	struct arena *a = c->r.arena;
	struct error err = { 0 };
	struct json_duplicates dups = { 0 };
	struct json_opts opts = { .duplicates = &dups };
	enum field_validation fv;
	if (!field_validation_of(c, &fv, s))
		return false;
	struct value *v = yaml_parse(a, arena_dup(a, c->r.in->body), &opts, &err);
	if (!v)
		return status_bad_request(a, s, "error decoding YAML: %s", err.text);
	if (!value_is(v, V_OBJECT))
		return status_bad_request(a, s, "error decoding YAML: json: cannot unmarshal %s into Go value of type map[string]interface {}", value_kind_name(v->kind));
	if (dups.n && fv == FV_STRICT) {
		struct buf b = { 0 };
		for (size_t i = 0; i < dups.n; i++)
			buf_printf(&b, "\n  " STR_FMT, STR_ARG(dups.v[i]));
		status_bad_request(a, s, "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:" STR_FMT, STR_ARG(buf_str(&b)));
		buf_free(&b);
		return false;
	}
	str api_version = value_get_str(v, S("apiVersion")), kind = value_get_str(v, S("kind"));
	if (!str_eq(api_version, k->api_version) || !str_eq(kind, k->name)) {
		str group = { 0 }, version = api_version;
		if (str_find_char(api_version, '/') >= 0)
			str_split(api_version, '/', &group, &version);
		return status_bad_request(a, s, "invalid object type: " STR_FMT "/" STR_FMT ", Kind=" STR_FMT, STR_ARG(group), STR_ARG(version), STR_ARG(kind));
	}
	struct value *meta = value_get(v, S("metadata"));
	if (value_get(meta, S("managedFields")))
		return status_bad_request(a, s, "metadata.managedFields must be nil");
	str name = value_get_str(meta, S("name")), ns = value_get_str(meta, S("namespace"));
	if (ns.n && !str_eq(ns, c->r.info.ns))
		return status_bad_request(a, s, "the namespace of the provided object does not match the namespace sent on the request");
	if (!name.n)
		return status_bad_request(a, s, "the name of the object (" STR_FMT " based on URL) was undeterminable: name must be provided", STR_ARG(c->r.info.name));
	if (!str_eq(name, c->r.info.name))
		return status_bad_request(a, s, "the name of the object (" STR_FMT ") does not match the name on the URL (" STR_FMT ")", STR_ARG(name), STR_ARG(c->r.info.name));
	for (size_t i = 0; fv == FV_WARN && i < dups.n; i++)
		request_warn(&c->r, STR_FMT, STR_ARG(dups.v[i]));
	*out = v;
	return true;
}

static void *apply_configuration(struct call *c, struct kind *k, void *current, struct cache_entry *entry, struct api_status *s)
{
	struct arena *a = c->r.arena;
	struct error err = { 0 };
	struct value *config = NULL;
	if (!read_body(c, k, &config, s))
		return NULL;
	struct fieldtype root = fieldtype_root(k->message);
	struct fieldset now = { 0 };
	struct typed typed = { a, &err };
	if (!set_of(&typed, &root, config, "", &now)) {
		*s = (struct api_status){ .code = 500, .message = arena_printf(a, "failed to create typed patch object (" STR_FMT "/" STR_FMT "; " STR_FMT ", Kind=" STR_FMT "): %s",
			                                                       STR_ARG(value_get_str(value_get(config, S("metadata")), S("namespace"))), STR_ARG(c->r.info.name),
			                                                       STR_ARG(k->group.n ? k->api_version : arena_concat(a, S("/"), k->api_version)), STR_ARG(k->name), err.text) };
		return NULL;
	}
	managed_strip(&now);
	managed_reset(k, c->r.info.subresource, &now);
	struct meta_v1_ManagedFieldsEntry_list had = { 0 };
	struct value *live = NULL;
	if (current) {
		struct core_v1_Pod *head = current;
		head->kind = k->name;
		head->apiVersion = k->api_version;
		struct meta_v1_ObjectMeta *m = meta_of(k, current);
		had = m->managedFields;
		m->managedFields = (struct meta_v1_ManagedFieldsEntry_list){ 0 };
		m->resourceVersion = arena_printf(a, "%lld", (long long)entry->revision);
		live = schema_to_value(a, k->message, current);
	}
	str manager = c->r.field_manager, sub = c->r.info.subresource;
	bool force;
	query_bool(c, S("force"), &force, s);
	// An object that nobody tracked so far: what it has belongs to "before-first-apply".
	if (current && had.n == 0) {
		struct fieldset all = { 0 };
		struct error ignored = { 0 };
		struct typed t = { a, &ignored };
		set_of(&t, &root, live, "", &all);
		managed_strip(&all);
		struct meta_v1_ManagedFieldsEntry *e = LIST_ADD(a, &had);
		*e = (struct meta_v1_ManagedFieldsEntry){ .manager = S("before-first-apply"), .operation = S("Update"), .apiVersion = k->api_version, .fieldsType = S("FieldsV1") };
		struct buf b = { 0 };
		fieldset_write(&b, &all);
		e->fieldsV1 = ARENA_NEW(a, struct raw_json);
		e->fieldsV1->s = arena_dup(a, buf_str(&b));
		buf_free(&b);
	}
	struct fieldset *sets = ARENA_ARRAY(a, struct fieldset, had.n ? had.n : 1), *mine = NULL;
	struct others others = { ARENA_ARRAY(a, const struct fieldset *, had.n ? had.n : 1), 0 };
	size_t my_index = had.n;
	for (size_t i = 0; i < had.n; i++) {
		const struct meta_v1_ManagedFieldsEntry *e = &had.v[i];
		if (e->fieldsV1)
			fieldset_read(a, e->fieldsV1->s, &sets[i]);
		if (str_eq(e->manager, manager) && str_eq(e->operation, S("Apply")) && str_eq(e->subresource, sub)) {
			// What it wanted in another version is not compared with what it wants in this one.
			if (str_eq(e->apiVersion, k->api_version))
				mine = &sets[i];
			my_index = i;
		} else {
			others.v[others.n++] = &sets[i];
		}
	}
	struct value *result = live ? merge(a, &root, live, config) : config;
	if (live && mine)
		result = prune(a, &root, result, mine, &now, &others);
	struct fieldset changed = { 0 }, removed = { 0 };
	if (live)
		managed_compare(a, k->message, live, result, &changed, &removed);
	struct conflicts x = { 0 };
	struct meta_v1_ManagedFieldsEntry_list out = { 0 };
	struct api_time t = api_time_now(clock_wall(c->r.clock));
	for (size_t i = 0; i <= had.n; i++) {
		struct meta_v1_ManagedFieldsEntry e;
		struct fieldset set = { 0 };
		str was = S("");
		bool is_mine = i == my_index;
		if (i < had.n) {
			e = had.v[i];
			was = e.fieldsV1 ? e.fieldsV1->s : S("");
			if (!is_mine && fieldset_intersects(&sets[i], &changed)) {
				struct str_list *paths = LIST_ADD(a, &x.paths);
				*LIST_ADD(a, &x.managers) = manager_text(a, &e);
				paths_of(a, &sets[i], &changed, S(""), paths);
				x.total += paths->n;
			}
			set = sets[i];
			if (is_mine) {
				set = now;
			} else {
				fieldset_subtract(&set, &changed, false);
				fieldset_subtract(&set, &removed, true);
			}
		} else {
			if (my_index < had.n)
				break;
			e = (struct meta_v1_ManagedFieldsEntry){ .manager = manager, .operation = S("Apply"), .fieldsType = S("FieldsV1"), .subresource = sub };
			set = now;
			is_mine = true;
		}
		if (set.n == 0 && !is_mine)
			continue;
		struct buf b = { 0 };
		fieldset_write(&b, &set);
		if (is_mine)
			e.apiVersion = k->api_version;
		if (!str_eq(buf_str(&b), was)) {
			e.fieldsV1 = ARENA_NEW(a, struct raw_json);
			e.fieldsV1->s = arena_dup(a, buf_str(&b));
			// An apply that changes nothing but ownership leaves the time alone.
			if (is_mine && (!live || changed.n || removed.n)) {
				e.time = ARENA_NEW(a, struct api_time);
				*e.time = t;
			}
		}
		buf_free(&b);
		if (set.n == 0)
			continue;
		*LIST_ADD(a, &out) = e;
	}
	if (x.total && !force) {
		refuse(c, &x, s);
		return NULL;
	}
	void *obj = schema_from_value(a, k->message, result, NULL, &err);
	if (!obj) {
		*s = (struct api_status){ .code = 500, .message = arena_printf(a, "failed to convert new object (" STR_FMT "/" STR_FMT "; " STR_FMT ", Kind=" STR_FMT ") to proper version: %s",
			                                                       STR_ARG(c->r.info.ns), STR_ARG(c->r.info.name), STR_ARG(k->api_version), STR_ARG(k->name), err.text) };
		return NULL;
	}
	// Applied entries stand first, then by name, so that the same managers always look the same.
	struct meta_v1_ManagedFieldsEntry_list sorted = { 0 };
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < out.n; i++)
			if (str_eq(out.v[i].operation, S("Apply")) == (pass == 0))
				*LIST_ADD(a, &sorted) = out.v[i];
	meta_of(k, obj)->managedFields = sorted;
	c->applied = true;
	return obj;
}

void do_apply(struct call *c)
{
	struct api_status s = { 0 };
	if (!write_options(c, &s)) {
		reply_status(c, &s);
		return;
	}
	if (!c->r.field_manager.n) {
		struct field_errors e = { .arena = c->r.arena };
		struct fpath p = fp(NULL, "fieldManager");
		fe_required(&e, &p, "is required for apply patch");
		status_invalid(c->r.arena, &s, S("meta.k8s.io"), S("PatchOptions"), S(""), &e);
		reply_status(c, &s);
		return;
	}
	struct update u = { .transform = apply_configuration, .ns = c->r.info.ns, .name = c->r.info.name, .target = UPDATE_SPEC, .allow_create = !c->sub };
	if (c->sub)
		u.target = str_eq(c->r.info.subresource, S("status")) ? UPDATE_STATUS : UPDATE_SUBRESOURCE;
	update_object(c, c->kind, &u);
}
