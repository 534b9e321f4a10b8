// metadata.managedFields: who set which field. After each write the old and the new state are compared as value trees along the schema;
// what was added or changed belongs to the writer from then on, and to nobody else; what was removed belongs to nobody.
// Rule: structured-merge-diff v6 (typed/compare.go, merge/update.go), apimachinery managedfields.
#include "apiserver/apiserver.h"
#include "apiserver/fieldset.h"

#include "json/json.h"
#include "object/meta.h"

enum { UPDATE_MANAGERS = 10 };

str field_manager_of(struct call *c)
{
	if (c->r.field_manager.n)
		return c->r.field_manager;
	// The part of the user agent before the first slash.
	str agent = { 0 }, rest;
	if (c->r.in)
		agent = http_header(&c->r.in->headers, S("user-agent"));
	str_split(agent, '/', &agent, &rest);
	return agent.n ? str_sub(agent, 0, 128) : S("unknown");
}

// --- Comparing ----------------------------------------------------------------------------------------------------------------

struct compare { struct arena *a; struct fieldset changed, removed; };

static bool empty_or_null(const struct value *v)
{
	return !v || v->kind == V_NULL || (v->kind == V_OBJECT && v->o.n == 0) || (v->kind == V_ARRAY && v->a.n == 0);
}

static void leaf(struct compare *c, struct fieldset *changed, struct fieldset *removed, str pe, const struct value *l, const struct value *r)
{
	if (!r)
		fieldset_add(c->a, removed, pe);
	else if (!l || !value_equal(l, r))
		fieldset_add(c->a, changed, pe);
}

static void item(struct compare *c, const struct fieldtype *t, struct fieldset *changed, struct fieldset *removed, str pe, const struct value *l, const struct value *r);

static void members(struct compare *c, const struct fieldtype *t, struct fieldset *changed, struct fieldset *removed, const struct value *l, const struct value *r)
{
	for (size_t i = 0; l && l->kind == V_OBJECT && i < l->o.n; i++) {
		struct fieldtype ct = fieldtype_member(t, l->o.v[i].key);
		item(c, &ct, changed, removed, fieldset_name(c->a, l->o.v[i].key), l->o.v[i].value, value_get(r, l->o.v[i].key));
	}
	for (size_t i = 0; r && r->kind == V_OBJECT && i < r->o.n; i++) {
		if (value_get(l, r->o.v[i].key))
			continue;
		struct fieldtype ct = fieldtype_member(t, r->o.v[i].key);
		item(c, &ct, changed, removed, fieldset_name(c->a, r->o.v[i].key), NULL, r->o.v[i].value);
	}
}

static void elements(struct compare *c, const struct fieldtype *t, struct fieldset *changed, struct fieldset *removed, const struct value *l, const struct value *r)
{
	struct fieldtype ct = fieldtype_element(t);
	struct keyed { str pe; const struct value *v; };
	struct { struct keyed *v; size_t n; } ls = { 0 }, rs = { 0 };
	for (size_t i = 0; l && l->kind == V_ARRAY && i < l->a.n; i++)
		*LIST_ADD(c->a, &ls) = (struct keyed){ fieldset_element(c->a, t, l->a.v[i]), l->a.v[i] };
	for (size_t i = 0; r && r->kind == V_ARRAY && i < r->a.n; i++)
		*LIST_ADD(c->a, &rs) = (struct keyed){ fieldset_element(c->a, t, r->a.v[i]), r->a.v[i] };
	for (size_t i = 0; i < ls.n; i++) {
		const struct value *other = NULL;
		for (size_t k = 0; k < rs.n && !other; k++)
			if (str_eq(ls.v[i].pe, rs.v[k].pe))
				other = rs.v[k].v;
		item(c, &ct, changed, removed, ls.v[i].pe, ls.v[i].v, other);
	}
	for (size_t i = 0; i < rs.n; i++) {
		bool known = false;
		for (size_t k = 0; k < ls.n && !known; k++)
			known = str_eq(ls.v[k].pe, rs.v[i].pe);
		if (!known)
			item(c, &ct, changed, removed, rs.v[i].pe, NULL, rs.v[i].v);
	}
}

static void item(struct compare *c, const struct fieldtype *t, struct fieldset *changed, struct fieldset *removed, str pe, const struct value *l, const struct value *r)
{
	if (l && r && value_equal(l, r))
		return;
	if (t->atomic || (empty_or_null(l) && empty_or_null(r))) {
		leaf(c, changed, removed, pe, l, r);
		return;
	}
	if (!r)
		fieldset_add(c->a, removed, pe);
	else if (!l)
		fieldset_add(c->a, changed, pe);
	struct fieldset more = { 0 }, gone = { 0 };
	if (t->list)
		elements(c, t, &more, &gone, l, r);
	else
		members(c, t, &more, &gone, l, r);
	if (more.n)
		fieldset_put(c->a, changed, pe, &more);
	if (gone.n)
		fieldset_put(c->a, removed, pe, &gone);
}

void managed_strip(struct fieldset *s)
{
	static const str meta[] = { S_INIT("f:name"), S_INIT("f:namespace"), S_INIT("f:creationTimestamp"), S_INIT("f:selfLink"), S_INIT("f:uid"), S_INIT("f:clusterName"),
		                    S_INIT("f:generation"), S_INIT("f:managedFields"), S_INIT("f:resourceVersion") };
	fieldset_remove(s, S("f:apiVersion"));
	fieldset_remove(s, S("f:kind"));
	struct fieldset *m = fieldset_child(s, S("f:metadata"));
	if (!m)
		return;
	for (size_t i = 0; i < ARRAY_LEN(meta); i++)
		fieldset_remove(m, meta[i]);
	fieldset_unmember(s, S("f:metadata"));
	if (m->n == 0)
		fieldset_remove(s, S("f:metadata"));
}

void managed_compare(struct arena *a, const struct message_desc *m, const struct value *before, const struct value *after, struct fieldset *changed,
                     struct fieldset *removed)
{
	struct compare c = { .a = a };
	struct fieldtype root = fieldtype_root(m);
	members(&c, &root, &c.changed, &c.removed, before, after);
	managed_strip(&c.changed);
	managed_strip(&c.removed);
	*changed = c.changed;
	*removed = c.removed;
}

// --- Keeping the entries ----------------------------------------------------------------------------------------------------------

static bool is_status(const struct kind *k, str subresource)
{
	(void)k;
	return str_eq(subresource, S("status"));
}

// Fields that a strategy puts back do not belong to the one who sent them. Rule: GetResetFields.
void managed_reset(const struct kind *k, str subresource, struct fieldset *s)
{
	if (str_eq(k->key_prefix, S("certificates.k8s.io/certificatesigningrequests")))
		fieldset_remove(s, S("f:spec"));
	if (is_status(k, subresource)) {
		if (k->spec)
			fieldset_remove(s, S("f:spec"));
	} else if (!subresource.n && k->strategy->has_status) {
		fieldset_remove(s, S("f:status"));
	}
}

void managed_update(struct request *r, const struct kind *k, void *obj, const void *old, str subresource)
{
	struct arena *a = r->arena;
	struct meta_v1_ObjectMeta *m = meta_of(k, obj);
	struct call *call = call_of(r);
	if (call->applied)
		return;
	struct meta_v1_ManagedFieldsEntry_list had = old ? meta_of(k, old)->managedFields : m->managedFields;
	if (old) {
		// An explicit empty list (or one empty entry) forgets everything; a list of the client's own is taken as it is.
		bool reset = m->managedFields.v && (m->managedFields.n == 0 || (m->managedFields.n == 1 && !m->managedFields.v[0].manager.n && !m->managedFields.v[0].operation.n));
		if (reset && had.n) {
			m->managedFields = (struct meta_v1_ManagedFieldsEntry_list){ 0 };
			return;
		}
		if (m->managedFields.n)
			had = m->managedFields;
		if (had.n == 0)
			return; // never tracked: stays so
	}
	str manager = field_manager_of(call);
	m->managedFields = (struct meta_v1_ManagedFieldsEntry_list){ 0 };
	// Fields are those of the version that the client speaks.
	const struct message_desc *desc = k->message;
	struct error err = { 0 };
	void *served = convert_from_stored(a, k, obj, &err);
	if (!served)
		return;
	struct value *before, *after = schema_to_value(a, desc, served);
	if (old) {
		struct meta_v1_ObjectMeta *om = meta_of(k, old);
		struct meta_v1_ManagedFieldsEntry_list keep = om->managedFields;
		om->managedFields = (struct meta_v1_ManagedFieldsEntry_list){ 0 };
		void *was = convert_from_stored(a, k, (void *)(uintptr_t)old, &err);
		before = was ? schema_to_value(a, desc, was) : value_object(a);
		om->managedFields = keep;
	} else {
		before = schema_to_value(a, desc, schema_new(a, desc));
	}
	struct compare c = { .a = a };
	struct fieldtype root = fieldtype_root(desc);
	members(&c, &root, &c.changed, &c.removed, before, after);
	managed_strip(&c.changed);
	managed_strip(&c.removed);
	managed_reset(k, subresource, &c.changed);
	struct meta_v1_ManagedFieldsEntry_list out = { 0 };
	// A Scale leaves out replicas that are zero, so nobody owns that; upstream has it so, too.
	bool unseen = false;
	if (str_eq(subresource, S("scale"))) {
		const struct value *replicas = value_path(after, S("spec"), S("replicas"));
		int64_t n = 1;
		unseen = replicas && value_to_i64(replicas, &n) && n == 0;
	}
	bool mine_done = unseen;
	struct api_time now = api_time_now(clock_wall(r->clock));
	for (size_t i = 0; i <= had.n; i++) {
		struct meta_v1_ManagedFieldsEntry e;
		bool mine;
		if (i < had.n) {
			e = had.v[i];
			// The two groups of events name fields differently: entries of the other one say nothing here.
			if (str_eq(k->key_prefix, S("core/events")) && !str_eq(e.apiVersion, k->api_version))
				continue;
			mine = str_eq(e.manager, manager) && str_eq(e.operation, S("Update")) && str_eq(e.apiVersion, k->api_version) && str_eq(e.subresource, subresource);
		} else {
			if (mine_done || c.changed.n == 0)
				break;
			e = (struct meta_v1_ManagedFieldsEntry){ .manager = manager, .operation = S("Update"), .apiVersion = k->api_version, .fieldsType = S("FieldsV1"), .subresource = subresource };
			mine = true;
		}
		if (!mine && c.changed.n == 0 && c.removed.n == 0) {
			*LIST_ADD(a, &out) = e;
			continue;
		}
		struct fieldset set = { 0 };
		if (e.fieldsV1)
			fieldset_read(a, e.fieldsV1->s, &set);
		str was = e.fieldsV1 ? e.fieldsV1->s : S("");
		fieldset_subtract(&set, &c.removed, true);
		if (mine) {
			if (!unseen)
				fieldset_merge(a, &set, &c.changed);
			mine_done = true;
		} else {
			fieldset_subtract(&set, &c.changed, false);
		}
		if (set.n == 0)
			continue;
		struct buf b = { 0 };
		fieldset_write(&b, &set);
		if (!str_eq(buf_str(&b), was)) {
			e.fieldsV1 = ARENA_NEW(a, struct raw_json);
			e.fieldsV1->s = arena_dup(a, buf_str(&b));
			if (mine) {
				e.time = ARENA_NEW(a, struct api_time);
				*e.time = now;
			}
		}
		buf_free(&b);
		*LIST_ADD(a, &out) = e;
	}
	// Apply entries first, then by time; the list of updaters is bounded, the oldest ones are dropped into one.
	size_t updates = 0;
	for (size_t i = 0; i < out.n; i++)
		updates += str_eq(out.v[i].operation, S("Update"));
	while (updates > UPDATE_MANAGERS) {
		size_t first = 0, second = 0;
		for (size_t i = 0; i < out.n && !second; i++) {
			if (!str_eq(out.v[i].operation, S("Update")))
				continue;
			if (!first)
				first = i + 1;
			else
				second = i + 1;
		}
		struct fieldset set = { 0 }, more = { 0 };
		if (out.v[first - 1].fieldsV1)
			fieldset_read(a, out.v[first - 1].fieldsV1->s, &set);
		if (out.v[second - 1].fieldsV1)
			fieldset_read(a, out.v[second - 1].fieldsV1->s, &more);
		fieldset_merge(a, &set, &more);
		struct buf b = { 0 };
		fieldset_write(&b, &set);
		out.v[second - 1].manager = S("ancient-changes");
		out.v[second - 1].fieldsV1 = ARENA_NEW(a, struct raw_json);
		out.v[second - 1].fieldsV1->s = arena_dup(a, buf_str(&b));
		buf_free(&b);
		memmove(&out.v[first - 1], &out.v[first], (out.n - first) * sizeof(out.v[0]));
		out.n--;
		updates--;
	}
	m->managedFields = out;
}
