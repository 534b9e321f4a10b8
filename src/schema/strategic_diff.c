// Making strategic merge patches. Rule: apimachinery pkg/util/strategicpatch (patch.go, diffMaps and what it calls).
#include <stdlib.h>

#include "schema/strategic_util.h"

struct diff_opts {
	bool ignore_changes; // IgnoreChangesAndAdditions: deletions only
	bool ignore_deletions;
	bool retain_keys; // BuildRetainKeysDirective, for this level
};

static struct value *diff_objects(struct arena *a, struct value *original, struct value *modified, struct patch_type t,
                                  struct diff_opts o, int depth, struct error *err);

struct keyed {
	str text; // what %v prints of the scalar or of the merge key
	struct value *v;
	size_t at;
};

static int keyed_cmp(const void *x, const void *y)
{
	const struct keyed *p = x, *q = y;
	int c = str_cmp(p->text, q->text);
	return c ? c : p->at < q->at ? -1 : p->at > q->at;
}

// The items sorted by text; NULL (and an error) when one of them lacks the merge key.
static struct keyed *keyed_sorted(struct arena *a, const struct value *list, str merge_key, struct error *err)
{
	struct keyed *out = ARENA_ARRAY(a, struct keyed, list->a.n + 1);
	for (size_t i = 0; i < list->a.n; i++) {
		struct value *v = list->a.v[i], *key = merge_key.n ? value_get(v, merge_key) : v;
		if (!key) {
			smp_no_merge_key(err, v, merge_key);
			return NULL;
		}
		out[i] = (struct keyed){ smp_text(a, key), v, i };
	}
	qsort(out, list->a.n, sizeof(*out), keyed_cmp);
	return out;
}

static bool diff_items(struct arena *a, const struct value *original, const struct value *modified,
                       const struct patch_meta *meta, struct diff_opts o, int depth, struct value *changes,
                       struct value *deletions, struct error *err)
{
	str key = meta->merge_key;
	struct keyed *x = keyed_sorted(a, original, key, err), *y = x ? keyed_sorted(a, modified, key, err) : NULL;
	if (!y)
		return false;
	size_t i = 0, k = 0;
	while (i < original->a.n || k < modified->a.n) {
		int c = i == original->a.n ? 1 : k == modified->a.n ? -1 : str_cmp(x[i].text, y[k].text);
		if (c == 0) {
			struct value *change = diff_objects(a, x[i++].v, y[k].v, meta->type, o, depth + 1, err);
			if (!change)
				return false;
			if (change->o.n) {
				value_set(a, change, key, value_get(y[k].v, key));
				value_append(a, changes, change);
			}
			k++;
		} else if (c > 0) {
			if (!o.ignore_changes)
				value_append(a, changes, y[k].v);
			k++;
		} else {
			if (!o.ignore_deletions) {
				struct value *gone = value_object(a);
				value_set(a, gone, key, value_get(x[i].v, key));
				value_set(a, gone, DIRECTIVE, value_string(a, S("delete")));
				value_append(a, deletions, gone);
			}
			i++;
		}
	}
	return true;
}

static void diff_scalars(struct arena *a, const struct value *original, const struct value *modified,
                         struct diff_opts o, struct value *changes, struct value *deletions)
{
	struct error never;
	struct keyed *x = keyed_sorted(a, original, S(""), &never), *y = keyed_sorted(a, modified, S(""), &never);
	size_t i = 0, k = 0;
	while (i < original->a.n || k < modified->a.n) {
		int c = i == original->a.n ? 1 : k == modified->a.n ? -1 : str_cmp(x[i].text, y[k].text);
		if (c > 0 && !o.ignore_changes)
			value_append(a, changes, y[k].v);
		// Sorted, so equal ones are neighbours: each deletion is named once.
		if (c < 0 && !o.ignore_deletions &&
		    (!deletions->a.n || !smp_scalar_equal(deletions->a.v[deletions->a.n - 1], x[i].v)))
			value_append(a, deletions, x[i].v);
		i += c <= 0;
		k += c >= 0;
	}
}

static bool same_order(const struct value *x, const struct value *y, str merge_key)
{
	if (x->a.n != y->a.n)
		return false;
	for (size_t i = 0; i < x->a.n; i++)
		if (!smp_scalar_equal(value_get(x->a.v[i], merge_key), value_get(y->a.v[i], merge_key)))
			return false;
	return true;
}

static str directive_key(struct arena *a, str directive, str key)
{
	return arena_concat(a, directive, S("/"), key);
}

// A list with the merge strategy.
static bool diff_merge_list(struct arena *a, str key, const struct value *original, struct value *modified,
                            const struct patch_meta *meta, struct diff_opts o, int depth, struct value *patch,
                            struct error *err)
{
	if (!original->a.n) {
		if (modified->a.n && !o.ignore_changes)
			value_set(a, patch, key, modified);
		return true;
	}
	enum value_kind kind;
	if (!smp_element_kind(original, modified, &kind, err))
		return false;
	struct value *changes = value_array(a), *deletions = value_array(a), *order = NULL;
	if (kind == V_OBJECT) {
		if (!meta->merge_key.n)
			return smp_error(err, "cannot merge lists without merge key for struct");
		if (!diff_items(a, original, modified, meta, o, depth, changes, deletions, err) ||
		    !smp_order_items(a, changes, modified, meta->merge_key, kind, err))
			return false;
		bool same = same_order(original, modified, meta->merge_key);
		for (size_t i = 0; i < deletions->a.n; i++)
			value_append(a, changes, deletions->a.v[i]);
		deletions = value_array(a);
		if ((!o.ignore_changes && (changes->a.n || !same)) || (!o.ignore_deletions && changes->a.n)) {
			order = value_array(a);
			for (size_t i = 0; i < modified->a.n; i++) {
				struct value *item = value_object(a);
				value_set(a, item, meta->merge_key, value_get(modified->a.v[i], meta->merge_key));
				value_append(a, order, item);
			}
		}
	} else {
		diff_scalars(a, original, modified, o, changes, deletions);
		if (!smp_order_items(a, changes, modified, S(""), kind, err))
			return false;
		if ((!o.ignore_deletions && deletions->a.n) ||
		    (!o.ignore_changes && !smp_deep_equal(original, modified)))
			order = modified;
	}
	if (changes->a.n)
		value_set(a, patch, key, changes);
	if (deletions->a.n)
		value_set(a, patch, directive_key(a, DELETE_FROM, key), deletions);
	if (order && order->a.n)
		value_set(a, patch, directive_key(a, SET_ORDER, key), order);
	return true;
}

static bool diff_member(struct arena *a, str key, struct value *original, struct value *modified, struct patch_type t,
                        struct diff_opts o, int depth, struct value *patch, struct error *err)
{
	if (str_eq(key, DIRECTIVE)) {
		if (original->kind != V_STRING || modified->kind != V_STRING)
			return smp_error(err, "invalid value for special key: $patch");
		if (!smp_scalar_equal(original, modified))
			value_set(a, patch, key, modified);
		return true;
	}
	struct patch_meta meta;
	if (original->kind == modified->kind && original->kind == V_OBJECT) {
		if (!smp_lookup_struct(t, key, &meta, err))
			return smp_deep_equal(original, modified);
		if (meta.replace) {
			if (!o.ignore_changes)
				value_set(a, patch, key, modified);
			return true;
		}
		o.retain_keys = meta.retain_keys;
		struct value *change = diff_objects(a, original, modified, meta.type, o, depth + 1, err);
		if (change && change->o.n)
			value_set(a, patch, key, change);
		return change != NULL;
	}
	if (original->kind == modified->kind && original->kind == V_ARRAY) {
		if (!smp_lookup_slice(t, key, &meta, err))
			return smp_deep_equal(original, modified);
		if (meta.merge) {
			o.retain_keys = meta.retain_keys;
			return diff_merge_list(a, key, original, modified, &meta, o, depth, patch, err);
		}
	}
	if (!o.ignore_changes && !smp_deep_equal(original, modified))
		value_set(a, patch, key, modified);
	return true;
}

static int string_value_cmp(const void *x, const void *y)
{
	return str_cmp((*(struct value *const *)x)->s, (*(struct value *const *)y)->s);
}

static bool diff_members(struct arena *a, struct dict *original, struct dict *modified, struct patch_type t,
                         struct diff_opts o, int depth, struct value *patch, struct error *err)
{
	struct value *retained = value_array(a);
	for (size_t i = 0; i < modified->v->o.n; i++) {
		struct member m = modified->v->o.v[i];
		if (o.retain_keys && m.value->kind != V_NULL)
			value_append(a, retained, value_string(a, m.key));
		struct value *before = smp_dict_get(original, m.key);
		if (before) {
			if (!diff_member(a, m.key, before, m.value, t, o, depth, patch, err))
				return false;
		} else if (!o.ignore_changes) {
			struct member *added = LIST_ADD(
			        a, &patch->o); // keys of modified are unique, and directives cannot clash with them
			*added = m;
		}
	}
	bool more = false;
	for (size_t i = 0; i < original->v->o.n; i++) {
		str key = original->v->o.v[i].key;
		if (smp_dict_get(modified, key))
			continue;
		more = true;
		if (!o.ignore_deletions) {
			struct member *gone = LIST_ADD(a, &patch->o);
			*gone = (struct member){ key, value_null(a) };
		}
	}
	if (retained->a.n && (patch->o.n || more)) {
		qsort(retained->a.v, retained->a.n, sizeof(*retained->a.v), string_value_cmp);
		value_set(a, patch, RETAIN_KEYS, retained);
	}
	return true;
}

static struct value *diff_objects(struct arena *a, struct value *original, struct value *modified, struct patch_type t,
                                  struct diff_opts o, int depth, struct error *err)
{
	if (depth > PATCH_MAX_DEPTH) {
		smp_bad_request(err, "exceeded max depth");
		return NULL;
	}
	struct value *patch = value_object(a);
	struct dict x, y;
	smp_dict_open(&x, a, original);
	smp_dict_open(&y, a, modified);
	bool ok = diff_members(a, &x, &y, t, o, depth, patch, err);
	smp_dict_close(&x);
	smp_dict_close(&y);
	return ok ? patch : NULL;
}

static struct value *own_copy(struct arena *a, const struct value *v)
{
	return v ? value_clone(a, v) : value_object(a);
}

static bool all_objects(const struct value *x, const struct value *y, const struct value *z, struct error *err)
{
	const struct value *v[] = { x, y, z };
	for (size_t i = 0; i < 3; i++)
		if (v[i] && v[i]->kind != V_OBJECT)
			return smp_bad_request(err, "invalid JSON document");
	return true;
}

struct value *strategic_make(struct arena *a, const struct message_desc *m, const struct value *original,
                             const struct value *modified, struct error *err)
{
	if (!all_objects(original, modified, NULL, err))
		return NULL;
	return diff_objects(a, own_copy(a, original), own_copy(a, modified), smp_type_of(m), (struct diff_opts){ 0 }, 0,
	                    err);
}

struct value *strategic_make_three_way(struct arena *a, const struct message_desc *m, const struct value *original,
                                       const struct value *modified, const struct value *current, struct error *err)
{
	if (!all_objects(original, modified, current, err))
		return NULL;
	struct patch_type t = smp_type_of(m);
	// What changes from the live object, without deletions; and the deletions since the last time.
	struct value *delta = diff_objects(a, own_copy(a, current), own_copy(a, modified), t,
	                                   (struct diff_opts){ .ignore_deletions = true }, 0, err);
	if (!delta)
		return NULL;
	struct value *deletions = diff_objects(a, own_copy(a, original), own_copy(a, modified), t,
	                                       (struct diff_opts){ .ignore_changes = true }, 0, err);
	if (!deletions)
		return NULL;
	// The two share parts of nothing: each was made from copies of its own.
	return smp_merge(a, deletions, delta, t, (struct merge_opts){ 0 }, 0, err);
}
