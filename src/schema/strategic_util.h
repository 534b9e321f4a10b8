// What applying and making strategic merge patches share. Internal to this folder.
#ifndef CORACLE_SCHEMA_STRATEGIC_UTIL_H
#define CORACLE_SCHEMA_STRATEGIC_UTIL_H

#include "base/map.h"
#include "schema/strategic.h"

// The Go type that a part of a document has: what merge keys and strategies are looked up in.
struct patch_type {
	enum { PT_MESSAGE, PT_LIST, PT_MAP, PT_OTHER } kind;
	const struct message_desc *message; // PT_MESSAGE
	const struct field_desc *field;     // PT_LIST, PT_MAP: whose items or values it holds
};
struct patch_meta {
	struct patch_type type;
	bool replace, merge, retain_keys; // patchStrategy
	str merge_key;                    // patchMergeKey
};

struct patch_type smp_type_of(const struct message_desc *m);
// The type and strategy of a member (LookupPatchMetadataForStruct, ...ForSlice: type is that of the items).
bool smp_lookup_struct(struct patch_type t, str key, struct patch_meta *out, struct error *err);
bool smp_lookup_slice(struct patch_type t, str key, struct patch_meta *out, struct error *err);

#define DIRECTIVE S("$patch")
#define RETAIN_KEYS S("$retainKeys")
#define DELETE_FROM S("$deleteFromPrimitiveList")
#define SET_ORDER S("$setElementOrder")

// Errors of kinds that the apiserver answers alike: unexpected ones are 500 without a reason.
bool smp_error(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool smp_bad_request(struct error *err, const char *text);
bool smp_unprocessable(struct error *err);
bool smp_bad_arg(struct error *err, const char *expected, const struct value *got);
bool smp_no_merge_key(struct error *err, const struct value *item, str key);

// A value as Go's %v prints it (the text of scalars is what lists are sorted by).
void smp_print(struct buf *to, const struct value *v);
str smp_text(struct arena *a, const struct value *v);
// Same kind and same scalar (Go's == on interface values).
bool smp_scalar_equal(const struct value *x, const struct value *y);
// Same kinds and values all the way down (reflect.DeepEqual).
bool smp_deep_equal(const struct value *x, const struct value *y);

// An object with an index by key, so that merging large maps does not take quadratic time. Removed members leave a hole until
// dict_close.
struct dict {
	struct arena *a;
	struct value *v;
	struct map index; // key -> 1 + place; used from 32 members on
	bool indexed;
	bool holes;
};
void smp_dict_open(struct dict *d, struct arena *a, struct value *object);
struct value *smp_dict_get(struct dict *d, str key);
void smp_dict_set(struct dict *d, str key, struct value *v);
void smp_dict_del(struct dict *d, str key);
void smp_dict_close(struct dict *d); // gives the index back

// A table from scalars (or the merge keys of objects) to the place of their first occurrence in a list.
struct places {
	struct map index;
	str merge_key; // empty: the items themselves
};
void smp_places_open(struct places *p, const struct value *list, str merge_key);
// Adds one more item, at place `at`.
void smp_places_add(struct places *p, const struct value *item, size_t at);
ptrdiff_t smp_places_find(const struct places *p, const struct value *item); // -1: not there
ptrdiff_t smp_places_find_key(const struct places *p, const struct value *key);
void smp_places_close(struct places *p);

// The kind of the items of up to two lists; NULL lists are fine. Fails when they differ, are lists, or there are none.
bool smp_element_kind(const struct value *x, const struct value *y, enum value_kind *kind, struct error *err);
// Sorts stably so that items stand in the order of `order` (by merge key for objects); deletions go to the end.
bool smp_order_items(struct arena *a, struct value *list, const struct value *order, str merge_key,
                     enum value_kind kind, struct error *err);

struct merge_opts {
	bool merge_lists; // MergeParallelList: apply directives; false: keep them, the original is a patch, too
	bool drop_nulls;  // IgnoreUnmatchedNulls
};
// Merges the patch into the object; both are changed. Returns what to put in its place.
struct value *smp_merge(struct arena *a, struct value *original, struct value *patch, struct patch_type t,
                        struct merge_opts o, int depth, struct error *err);

#define PATCH_MAX_DEPTH 2000

#endif
