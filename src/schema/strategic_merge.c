// Applying strategic merge patches. Rule: apimachinery pkg/util/strategicpatch (patch.go, mergeMap and what it calls).
#include "schema/strategic_util.h"

static struct value *merge_lists(struct arena *a, struct value *original, struct value *patch,
                                 const struct patch_meta *meta, bool deletions, struct merge_opts o, int depth,
                                 struct error *err);

// What stays of a patch value that has nothing to merge with: NULL when it is a directive itself.
static struct value *without_directives(struct value *v)
{
	if (v->kind == V_OBJECT) {
		if (value_get(v, DIRECTIVE))
			return NULL;
		size_t n = 0;
		for (size_t i = 0; i < v->o.n; i++) {
			struct value *kept = without_directives(v->o.v[i].value);
			if (kept)
				v->o.v[n++] = (struct member){ v->o.v[i].key, kept };
		}
		v->o.n = n;
	} else if (v->kind == V_ARRAY) {
		size_t n = 0;
		for (size_t i = 0; i < v->a.n; i++) {
			struct value *kept = without_directives(v->a.v[i]);
			if (kept)
				v->a.v[n++] = kept;
		}
		v->a.n = n;
	}
	return v;
}

static void drop_nulls(struct value *v)
{
	if (v->kind == V_OBJECT) {
		size_t n = 0;
		for (size_t i = 0; i < v->o.n; i++) {
			if (v->o.v[i].value->kind == V_NULL)
				continue;
			drop_nulls(v->o.v[i].value);
			v->o.v[n++] = v->o.v[i];
		}
		v->o.n = n;
	} else if (v->kind == V_ARRAY) {
		for (size_t i = 0; i < v->a.n; i++)
			drop_nulls(v->a.v[i]);
	}
}

// Splits items by whether they stand in `by`.
static bool partition(struct arena *a, const struct value *list, const struct value *by, str merge_key,
                      struct value **in, struct value **out, struct error *err)
{
	*in = value_array(a);
	*out = value_array(a);
	for (size_t i = 0; merge_key.n && by && i < by->a.n && list->a.n; i++)
		if (by->a.v[i]->kind != V_OBJECT)
			return smp_error(err, "value for key %zu is not a map", i);
	struct places places;
	smp_places_open(&places, by, merge_key);
	bool ok = true;
	for (size_t i = 0; ok && i < list->a.n; i++) {
		struct value *v = list->a.v[i];
		if (merge_key.n && v->kind != V_OBJECT)
			ok = smp_bad_arg(err, "map[string]interface {}", v);
		else if (merge_key.n && !value_get(v, merge_key))
			ok = smp_no_merge_key(err, v, merge_key);
		else
			value_append(a, smp_places_find(&places, v) >= 0 ? *in : *out, v);
	}
	smp_places_close(&places);
	return ok;
}

// Items of the patch in their order, those only the server has in theirs, interleaved by the server's order as far as it says.
static struct value *enforce_order(struct arena *a, const struct value *merged, const struct value *patch_order,
                                   const struct value *server_order, str merge_key, enum value_kind kind,
                                   struct error *err)
{
	struct value *right, *left;
	if (!partition(a, merged, patch_order, merge_key, &right, &left, err) ||
	    !smp_order_items(a, right, patch_order, merge_key, kind, err) ||
	    !smp_order_items(a, left, server_order, merge_key, kind, err))
		return NULL;
	struct places places;
	smp_places_open(&places, server_order, kind == V_OBJECT ? merge_key : S(""));
	struct value *all = value_array(a);
	size_t i = 0, k = 0;
	while (i < left->a.n || k < right->a.n) {
		bool take_left = k == right->a.n;
		if (!take_left && i < left->a.n) {
			ptrdiff_t li = smp_places_find(&places, left->a.v[i]),
			          ri = smp_places_find(&places, right->a.v[k]);
			take_left = li >= 0 && ri >= 0 && li < ri;
		}
		value_append(a, all, take_left ? left->a.v[i++] : right->a.v[k++]);
	}
	smp_places_close(&places);
	return all;
}

static bool same_merge_key(const struct value *x, const struct value *y, str key, bool *same, struct error *err)
{
	if (!key.n) {
		*same = smp_scalar_equal(x, y);
		return true;
	}
	if (x->kind != V_OBJECT || y->kind != V_OBJECT)
		return smp_bad_arg(err, "map[string]interface {}", x->kind != V_OBJECT ? x : y);
	const struct value *p = value_get(x, key), *q = value_get(y, key);
	if (!p || !q)
		return smp_no_merge_key(err, p ? y : x, key);
	*same = smp_scalar_equal(p, q);
	return true;
}

// The order of the patch's items must be that of its $setElementOrder.
static bool check_set_order(const struct value *patch, const struct value *order, str merge_key, struct error *err)
{
	if (!patch || !patch->a.n || !order->a.n)
		return true;
	size_t p = 0, s = 0;
	for (size_t i = 0; merge_key.n && i < patch->a.n; i++)
		if (patch->a.v[i]->kind != V_OBJECT)
			return smp_bad_arg(err, "map[string]interface {}", patch->a.v[i]);
	while (p < patch->a.n && s < order->a.n) {
		if (value_get(patch->a.v[p], DIRECTIVE)) {
			p++;
			continue;
		}
		bool same = false;
		if (!same_merge_key(patch->a.v[p], order->a.v[s], merge_key, &same, err))
			return false;
		p += same;
		s++;
	}
	while (p < patch->a.n && value_get(patch->a.v[p], DIRECTIVE) &&
	       str_eq(value_get_str(patch->a.v[p], DIRECTIVE), S("delete")))
		p++;
	if (p == patch->a.n)
		return true;
	_cleanup_buf_ struct buf b = { 0 };
	smp_print(&b, patch);
	buf_add(&b, S("\n doesn't match $setElementOrder list:\n"));
	smp_print(&b, order);
	return smp_error(err, "The order in patch list:\n" STR_FMT "\n", STR_ARG(buf_str(&b)));
}

// $retainKeys: members of the original that it does not name go away.
static bool retain_keys(struct dict *original, struct dict *patch, struct merge_opts o, struct error *err)
{
	struct value *list = smp_dict_get(patch, RETAIN_KEYS);
	if (!list)
		return true;
	smp_dict_del(patch, RETAIN_KEYS);
	if (!o.merge_lists) {
		struct value *other = smp_dict_get(original, RETAIN_KEYS);
		if (!other) {
			smp_dict_set(original, RETAIN_KEYS, list);
			return true;
		}
		if (smp_deep_equal(other, list))
			return true;
		_cleanup_buf_ struct buf b = { 0 };
		smp_print(&b, other);
		buf_add(&b, S(" and "));
		smp_print(&b, list);
		return smp_error(err,
		                 STR_FMT " are not deep equal: this may happen when calculating the 3-way diff patch",
		                 STR_ARG(buf_str(&b)));
	}
	if (list->kind != V_ARRAY)
		return smp_bad_request(err, "invalid patch format of retainKeys");
	struct map names = { 0 };
	for (size_t i = 0; i < list->a.n; i++)
		if (list->a.v[i]->kind == V_STRING)
			map_put(&names, list->a.v[i]->s, NULL);
	bool ok = true;
	for (size_t i = 0; ok && i < patch->v->o.n; i++) {
		const struct member *m = &patch->v->o.v[i];
		if (!m->value || m->value->kind == V_NULL || str_has_prefix(m->key, DELETE_FROM) ||
		    str_has_prefix(m->key, SET_ORDER))
			continue;
		if (!map_has(&names, m->key))
			ok = smp_bad_request(err, "invalid patch format of retainKeys");
	}
	for (size_t i = 0; ok && i < original->v->o.n; i++)
		if (original->v->o.v[i].value && !map_has(&names, original->v->o.v[i].key))
			smp_dict_del(original, original->v->o.v[i].key);
	map_free(&names);
	return ok;
}

static bool original_key(str key, str prefix, const char *problem, str *out, struct error *err)
{
	str before;
	if (!str_split(key, '/', &before, out) || !str_eq(before, prefix))
		return smp_bad_request(err, problem);
	return true;
}

// One $setElementOrder/x: merges list x and brings it into order.
static bool set_order(struct dict *original, struct dict *patch, str key, struct value *order, struct patch_type t,
                      struct merge_opts o, int depth, struct error *err)
{
	static const char problem[] = "invalid patch format of setElementOrder list";
	struct arena *a = original->a;
	if (!o.merge_lists) {
		struct value *other = smp_dict_get(original, key);
		if (other && !smp_deep_equal(other, order))
			return smp_bad_request(err, problem);
		if (!other)
			smp_dict_set(original, key, order);
	}
	smp_dict_del(patch, key);
	str name;
	if (order->kind != V_ARRAY)
		return smp_bad_arg(err, "[]interface {}", order);
	if (!original_key(key, SET_ORDER, problem, &name, err))
		return false;
	struct value *ours = smp_dict_get(original, name), *theirs = smp_dict_get(patch, name);
	if (ours && ours->kind != V_ARRAY)
		return smp_bad_arg(err, "[]interface {}", ours);
	if (theirs && theirs->kind != V_ARRAY)
		return smp_bad_arg(err, "[]interface {}", theirs);
	struct patch_meta meta;
	if (!smp_lookup_slice(t, name, &meta, err) || !check_set_order(theirs, order, meta.merge_key, err))
		return false;
	if (!ours && !theirs)
		return true;
	// Merging moves items about in place, so the order that was is kept aside.
	struct value *before = value_array(a);
	for (size_t i = 0; ours && i < ours->a.n; i++)
		value_append(a, before, ours->a.v[i]);
	enum value_kind kind;
	if (!smp_element_kind(ours, theirs, &kind, err))
		return false;
	struct value *merged = !theirs ? ours
	                       : !ours ? without_directives(theirs)
	                               : merge_lists(a, ours, theirs, &meta, false, o, depth, err);
	struct value *both = merged ? enforce_order(a, merged, order, before, meta.merge_key, kind, err) : NULL;
	if (!both)
		return false;
	smp_dict_set(original, name, both);
	smp_dict_del(patch, name);
	return true;
}

static bool merge_member(struct dict *original, str key, struct value *patch, struct patch_type t, struct merge_opts o,
                         int depth, struct error *err)
{
	bool deletions = false;
	if (str_has_prefix(key, DELETE_FROM)) {
		if (!o.merge_lists) {
			smp_dict_set(original, key, patch);
			return true;
		}
		str name;
		if (!original_key(key, DELETE_FROM, "invalid patch format of primitive list", &name, err))
			return false;
		deletions = true;
		key = name;
	}
	if (patch->kind == V_NULL) {
		smp_dict_del(original, key);
		if (o.drop_nulls)
			return true;
	}
	struct value *ours = smp_dict_get(original, key), *merged;
	struct patch_meta meta;
	if (!ours || ours->kind != patch->kind) {
		if (deletions)
			return true;
		if (o.drop_nulls)
			drop_nulls(patch);
		merged = without_directives(patch);
	} else if (ours->kind == V_OBJECT) {
		if (!smp_lookup_struct(t, key, &meta, err))
			return false;
		merged = meta.replace ? patch : smp_merge(original->a, ours, patch, meta.type, o, depth + 1, err);
		if (!merged)
			return false;
	} else if (ours->kind == V_ARRAY) {
		if (!smp_lookup_slice(t, key, &meta, err))
			return false;
		merged = meta.merge || deletions
		                 ? merge_lists(original->a, ours, patch, &meta, deletions, o, depth + 1, err)
		                 : patch;
		if (!merged)
			return false;
	} else {
		merged = patch;
	}
	if (merged)
		smp_dict_set(original, key, merged);
	else
		smp_dict_del(original, key);
	return true;
}

static bool merge_members(struct dict *original, struct dict *patch, struct patch_type t, struct merge_opts o,
                          int depth, struct error *err)
{
	if (!retain_keys(original, patch, o, err))
		return false;
	for (size_t i = 0; i < patch->v->o.n; i++) {
		struct member m = patch->v->o.v[i];
		if (m.value && str_has_prefix(m.key, SET_ORDER) &&
		    !set_order(original, patch, m.key, m.value, t, o, depth, err))
			return false;
	}
	for (size_t i = 0; i < patch->v->o.n; i++) {
		struct member m = patch->v->o.v[i];
		if (m.value && !merge_member(original, m.key, m.value, t, o, depth, err))
			return false;
	}
	return true;
}

struct value *smp_merge(struct arena *a, struct value *original, struct value *patch, struct patch_type t,
                        struct merge_opts o, int depth, struct error *err)
{
	struct value *directive = value_get(patch, DIRECTIVE);
	if (directive) {
		if (str_eq(value_str(directive), S("replace"))) {
			value_del(patch, DIRECTIVE);
			return patch;
		}
		if (str_eq(value_str(directive), S("delete")))
			return value_object(a);
		_cleanup_buf_ struct buf b = { 0 };
		smp_print(&b, directive);
		buf_add(&b, S(" in map: "));
		smp_print(&b, patch);
		smp_error(err, "unknown patch type: " STR_FMT, STR_ARG(buf_str(&b)));
		return NULL;
	}
	if (depth > PATCH_MAX_DEPTH) {
		smp_bad_request(err, "exceeded max depth");
		return NULL;
	}
	struct dict ours, theirs;
	smp_dict_open(&ours, a, original);
	smp_dict_open(&theirs, a, patch);
	bool ok = merge_members(&ours, &theirs, t, o, depth, err);
	smp_dict_close(&ours);
	smp_dict_close(&theirs);
	return ok ? original : NULL;
}

// $patch: delete and $patch: replace items of a list of objects. *patch becomes the rest.
static bool special_items(struct arena *a, struct value **original, struct value **patch, str merge_key,
                          struct error *err)
{
	struct value *rest = value_array(a), *gone = value_array(a);
	bool replace = false;
	for (size_t i = 0; i < (*patch)->a.n; i++) {
		struct value *item = (*patch)->a.v[i], *directive = value_get(item, DIRECTIVE);
		if (!directive) {
			value_append(a, rest, item);
		} else if (str_eq(value_str(directive), S("delete"))) {
			if (!value_get(item, merge_key))
				return smp_no_merge_key(err, item, merge_key);
			value_append(a, gone, item);
		} else if (str_eq(value_str(directive), S("replace"))) {
			replace = true;
		} else if (str_eq(value_str(directive), S("merge"))) {
			return smp_error(err, "merging lists cannot yet be specified in the patch");
		} else {
			_cleanup_buf_ struct buf b = { 0 };
			smp_print(&b, directive);
			buf_add(&b, S(" in map: "));
			smp_print(&b, item);
			return smp_error(err, "unknown patch type: " STR_FMT, STR_ARG(buf_str(&b)));
		}
	}
	if (replace) {
		*original = rest;
		*patch = value_array(a);
		return true;
	}
	if (gone->a.n) {
		struct places places;
		smp_places_open(&places, gone, merge_key);
		struct value *kept = value_array(a);
		for (size_t i = 0; i < (*original)->a.n; i++)
			if (smp_places_find(&places, (*original)->a.v[i]) < 0)
				value_append(a, kept, (*original)->a.v[i]);
		smp_places_close(&places);
		*original = kept;
	}
	*patch = rest;
	return true;
}

static struct value *merge_scalars(struct arena *a, const struct value *original, const struct value *patch,
                                   bool deletions, struct merge_opts o)
{
	struct value *merged = value_array(a);
	struct places places;
	bool remove = deletions && o.merge_lists;
	smp_places_open(&places, remove ? patch : NULL, S(""));
	for (size_t i = 0; i < original->a.n; i++) {
		if (smp_places_find(&places, original->a.v[i]) >= 0)
			continue;
		if (!remove)
			smp_places_add(&places, original->a.v[i], i);
		value_append(a, merged, original->a.v[i]);
	}
	for (size_t i = 0; !remove && i < patch->a.n; i++) {
		if (smp_places_find(&places, patch->a.v[i]) >= 0)
			continue;
		smp_places_add(&places, patch->a.v[i], i);
		value_append(a, merged, patch->a.v[i]);
	}
	smp_places_close(&places);
	return merged;
}

static bool merge_items(struct arena *a, struct value *original, const struct value *patch,
                        const struct patch_meta *meta, struct merge_opts o, int depth, struct error *err)
{
	struct places places;
	smp_places_open(&places, original, meta->merge_key);
	bool ok = true;
	for (size_t i = 0; ok && i < patch->a.n; i++) {
		struct value *item = patch->a.v[i];
		if (!value_get(item, meta->merge_key)) {
			ok = smp_no_merge_key(err, item, meta->merge_key);
			break;
		}
		ptrdiff_t at = smp_places_find(&places, item);
		if (at < 0) {
			smp_places_add(&places, item, original->a.n);
			value_append(a, original, item);
			continue;
		}
		struct value *merged = smp_merge(a, original->a.v[at], item, meta->type, o, depth + 1, err);
		ok = merged != NULL;
		if (ok)
			original->a.v[at] = merged;
	}
	smp_places_close(&places);
	return ok;
}

static struct value *merge_lists(struct arena *a, struct value *original, struct value *patch,
                                 const struct patch_meta *meta, bool deletions, struct merge_opts o, int depth,
                                 struct error *err)
{
	// A list without the merge strategy is replaced, unless items are to be deleted from it.
	if (!meta->merge && !deletions)
		return patch;
	if (!original->a.n && !patch->a.n)
		return original;
	enum value_kind kind;
	if (!smp_element_kind(original, patch, &kind, err))
		return NULL;
	if (kind != V_OBJECT) {
		struct value *merged = merge_scalars(a, original, patch, deletions, o);
		if (deletions && o.merge_lists)
			return merged;
		return enforce_order(a, merged, patch, original, S(""), kind, err);
	}
	if (!meta->merge_key.n) {
		smp_error(err, "cannot merge lists without merge key for struct");
		return NULL;
	}
	if (!special_items(a, &original, &patch, meta->merge_key, err))
		return NULL;
	struct value *before = value_array(a); // the order of the live list
	for (size_t i = 0; i < original->a.n; i++)
		value_append(a, before, original->a.v[i]);
	if (!merge_items(a, original, patch, meta, o, depth, err))
		return NULL;
	return enforce_order(a, original, patch, before, meta->merge_key, kind, err);
}

struct value *strategic_apply(struct arena *a, const struct message_desc *m, const struct value *doc,
                              const struct value *patch, struct error *err)
{
	if (!value_is(doc, V_OBJECT) || !value_is(patch, V_OBJECT)) {
		smp_bad_request(err, "invalid JSON document");
		return NULL;
	}
	struct merge_opts o = { .merge_lists = true, .drop_nulls = true };
	return smp_merge(a, value_clone(a, doc), value_clone(a, patch), smp_type_of(m), o, 0, err);
}
