#include "json/value.h"

#include <math.h>
#include <stdlib.h>

static struct value *make(struct arena *a, enum value_kind kind)
{
	struct value *v = ARENA_NEW(a, struct value);
	v->kind = kind;
	return v;
}

struct value *value_null(struct arena *a)
{
	return make(a, V_NULL);
}

struct value *value_bool(struct arena *a, bool b)
{
	struct value *v = make(a, V_BOOL);
	v->b = b;
	return v;
}

struct value *value_int(struct arena *a, int64_t i)
{
	struct value *v = make(a, V_INT);
	v->i = i;
	return v;
}

struct value *value_double(struct arena *a, double d)
{
	struct value *v = make(a, V_DOUBLE);
	v->d = d;
	return v;
}

struct value *value_string(struct arena *a, str s)
{
	struct value *v = make(a, V_STRING);
	v->s = s;
	return v;
}

struct value *value_array(struct arena *a)
{
	return make(a, V_ARRAY);
}

struct value *value_object(struct arena *a)
{
	return make(a, V_OBJECT);
}

const char *value_kind_name(enum value_kind kind)
{
	switch (kind) {
	case V_NULL:
		return "null";
	case V_BOOL:
		return "bool";
	case V_INT:
	case V_DOUBLE:
		return "number";
	case V_STRING:
		return "string";
	case V_ARRAY:
		return "array";
	case V_OBJECT:
		return "object";
	}
	return "unknown";
}

static struct member *find(const struct value *v, str key)
{
	for (size_t i = 0; i < v->o.n; i++)
		if (str_eq(v->o.v[i].key, key))
			return &v->o.v[i];
	return NULL;
}

struct value *value_get(const struct value *v, str key)
{
	if (!v || v->kind != V_OBJECT)
		return NULL;
	struct member *m = find(v, key);
	return m ? m->value : NULL;
}

struct value *value_path_n(const struct value *v, const str *keys, size_t n)
{
	for (size_t i = 0; i < n && v; i++)
		v = value_get(v, keys[i]);
	return (struct value *)v;
}

str value_str(const struct value *v)
{
	return v && v->kind == V_STRING ? v->s : (str){ NULL, 0 };
}

str value_get_str(const struct value *v, str key)
{
	return value_str(value_get(v, key));
}

bool value_is(const struct value *v, enum value_kind kind)
{
	return v && v->kind == kind;
}

bool value_to_i64(const struct value *v, int64_t *out)
{
	if (value_is(v, V_INT)) {
		*out = v->i;
		return true;
	}
	// 2^63 as a double is exact, and the first one that does not fit; the negated comparison keeps NaN out.
	if (!value_is(v, V_DOUBLE) || !(v->d >= -0x1p63 && v->d < 0x1p63) || v->d != floor(v->d))
		return false;
	*out = (int64_t)v->d;
	return true;
}

void value_set(struct arena *a, struct value *v, str key, struct value *member)
{
	struct member *m = find(v, key);
	if (!m) {
		m = LIST_ADD(a, &v->o);
		m->key = key;
	}
	m->value = member;
}

bool value_del(struct value *v, str key)
{
	if (!value_is(v, V_OBJECT))
		return false;
	struct member *m = find(v, key);
	if (!m)
		return false;
	size_t at = (size_t)(m - v->o.v);
	memmove(m, m + 1, (v->o.n - at - 1) * sizeof(*m));
	v->o.n--;
	return true;
}

void value_append(struct arena *a, struct value *v, struct value *item)
{
	*LIST_ADD(a, &v->a) = item;
}

void value_insert(struct arena *a, struct value *v, size_t at, struct value *item)
{
	at = MIN(at, v->a.n);
	(void)LIST_ADD(a, &v->a);
	memmove(&v->a.v[at + 1], &v->a.v[at], (v->a.n - 1 - at) * sizeof(*v->a.v));
	v->a.v[at] = item;
}

void value_remove_at(struct value *v, size_t at)
{
	if (at >= v->a.n)
		return;
	memmove(&v->a.v[at], &v->a.v[at + 1], (v->a.n - at - 1) * sizeof(*v->a.v));
	v->a.n--;
}

// LIST_ADD takes an array to be full exactly at powers of two, so a copy needs room up to the next one.
static size_t room(size_t n)
{
	size_t cap = 1;
	while (cap < n)
		cap *= 2;
	return cap;
}

struct value *value_clone(struct arena *a, const struct value *v)
{
	struct value *c = make(a, v->kind);
	switch (v->kind) {
	case V_STRING:
		c->s = arena_dup(a, v->s);
		break;
	case V_ARRAY:
		c->a.n = v->a.n;
		c->a.v = v->a.n ? ARENA_ARRAY(a, struct value *, room(v->a.n)) : NULL;
		for (size_t i = 0; i < v->a.n; i++)
			c->a.v[i] = value_clone(a, v->a.v[i]);
		break;
	case V_OBJECT:
		c->o.n = v->o.n;
		c->o.v = v->o.n ? ARENA_ARRAY(a, struct member, room(v->o.n)) : NULL;
		for (size_t i = 0; i < v->o.n; i++)
			c->o.v[i] = (struct member){ arena_dup(a, v->o.v[i].key), value_clone(a, v->o.v[i].value) };
		break;
	default:
		*c = *v;
	}
	return c;
}

static bool number_equal(const struct value *x, const struct value *y)
{
	if (x->kind == V_INT && y->kind == V_INT)
		return x->i == y->i;
	if (x->kind == V_DOUBLE && y->kind == V_DOUBLE)
		return x->d == y->d;
	int64_t i = x->kind == V_INT ? x->i : y->i, other;
	return value_to_i64(x->kind == V_INT ? y : x, &other) && i == other;
}

static int member_cmp(const void *x, const void *y)
{
	return str_cmp(((const struct member *)x)->key, ((const struct member *)y)->key);
}

// Members in another order: small objects are searched, large ones compared through sorted copies.
static bool object_equal(const struct value *x, const struct value *y)
{
	enum { SMALL = 32 };
	if (x->o.n != y->o.n)
		return false;
	size_t n = x->o.n, i = 0;
	while (i < n && str_eq(x->o.v[i].key, y->o.v[i].key)) {
		if (!value_equal(x->o.v[i].value, y->o.v[i].value))
			return false;
		i++;
	}
	if (n - i <= SMALL) {
		for (; i < n; i++) {
			struct value *other = value_get(y, x->o.v[i].key);
			if (!other || !value_equal(x->o.v[i].value, other))
				return false;
		}
		return true;
	}
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct member *xs = ARENA_ARRAY(a, struct member, n), *ys = ARENA_ARRAY(a, struct member, n);
	memcpy(xs, x->o.v, n * sizeof(*xs));
	memcpy(ys, y->o.v, n * sizeof(*ys));
	qsort(xs, n, sizeof(*xs), member_cmp);
	qsort(ys, n, sizeof(*ys), member_cmp);
	for (i = 0; i < n; i++)
		if (!str_eq(xs[i].key, ys[i].key) || !value_equal(xs[i].value, ys[i].value))
			return false;
	return true;
}

bool value_equal(const struct value *x, const struct value *y)
{
	bool x_number = x->kind == V_INT || x->kind == V_DOUBLE, y_number = y->kind == V_INT || y->kind == V_DOUBLE;
	if (x_number && y_number)
		return number_equal(x, y);
	if (x->kind != y->kind)
		return false;
	switch (x->kind) {
	case V_BOOL:
		return x->b == y->b;
	case V_STRING:
		return str_eq(x->s, y->s);
	case V_ARRAY:
		if (x->a.n != y->a.n)
			return false;
		for (size_t i = 0; i < x->a.n; i++)
			if (!value_equal(x->a.v[i], y->a.v[i]))
				return false;
		return true;
	case V_OBJECT:
		return object_equal(x, y);
	default:
		return true;
	}
}

void value_sort(struct value *v)
{
	if (value_is(v, V_OBJECT) && v->o.n > 1)
		qsort(v->o.v, v->o.n, sizeof(*v->o.v), member_cmp);
}
