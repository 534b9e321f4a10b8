// A generic value tree: what JSON, YAML and patches are made of. All of it lives in one arena and is mutable there.
//
// Numbers keep what Kubernetes keeps: an integer that fits 64 bits is V_INT, any other number V_DOUBLE.
// Objects keep their members in the order of the input; encoders sort only where a caller asks.
#ifndef CORACLE_JSON_VALUE_H
#define CORACLE_JSON_VALUE_H

#include "base/arena.h"

enum value_kind { V_NULL, V_BOOL, V_INT, V_DOUBLE, V_STRING, V_ARRAY, V_OBJECT };

struct value;
struct member {
	str key;
	struct value *value; // never NULL
};

struct value {
	enum value_kind kind;
	union {
		bool b;
		int64_t i;
		double d;
		str s;
		struct { struct value **v; size_t n; } a;  // items never NULL; grow with value_append
		struct { struct member *v; size_t n; } o;  // grow with value_set
	};
};

struct value *value_null(struct arena *a);
struct value *value_bool(struct arena *a, bool b);
struct value *value_int(struct arena *a, int64_t i);
struct value *value_double(struct arena *a, double d);
struct value *value_string(struct arena *a, str s); // does not copy the bytes
struct value *value_array(struct arena *a);
struct value *value_object(struct arena *a);
// "null", "bool", "number", "string", "array", "object"
const char *value_kind_name(enum value_kind kind);

// Member of an object; NULL when there is none or v is NULL or no object.
struct value *value_get(const struct value *v, str key);
// Path of members: value_path(v, S("metadata"), S("labels")).
#define value_path(v, ...) value_path_n((v), (str[]){ __VA_ARGS__ }, sizeof((str[]){ __VA_ARGS__ }) / sizeof(str))
struct value *value_path_n(const struct value *v, const str *keys, size_t n);
// The text of a string, else the empty slice (also for NULL).
str value_str(const struct value *v);
// The member's text, else the empty slice.
str value_get_str(const struct value *v, str key);
bool value_is(const struct value *v, enum value_kind kind); // false for NULL
// An integer (V_INT, or V_DOUBLE with no fraction); false otherwise.
bool value_to_i64(const struct value *v, int64_t *out);

// Sets a member (replaces one of the same key in its place). v must be an object. The key is not copied.
void value_set(struct arena *a, struct value *v, str key, struct value *member);
// Removes a member; false when it was not there. Order of the rest stays.
bool value_del(struct value *v, str key);
void value_append(struct arena *a, struct value *v, struct value *item);
void value_insert(struct arena *a, struct value *v, size_t at, struct value *item);
void value_remove_at(struct value *v, size_t at);
struct value *value_clone(struct arena *a, const struct value *v); // deep, text too
// Deep equality; order of members does not matter, 1 and 1.0 are equal (as Go's DeepEqual after decoding never is,
// but as JSON Patch "test" wants, RFC 6902 section 4.6).
bool value_equal(const struct value *x, const struct value *y);
// Sorts the members of this object (not of nested ones) by key.
void value_sort(struct value *v);

#endif
