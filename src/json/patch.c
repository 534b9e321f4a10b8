#include "json/patch.h"

#include <stdio.h>

// Where the paths of an operation lead is decided as by the JSON Patch library that the apiserver uses: it knows
// negative indices, and "replace" of a member that is not there adds it. Clients rely on both.

enum { MAX_OPERATIONS = 10000 };
static const int64_t max_copied = 3 * 1024 * 1024; // bytes that all "copy" operations of a patch may add

static bool failed(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool failed(struct error *err, const char *fmt, ...)
{
	char text[sizeof(err->text)];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return error_api(err, 422, "Invalid", "%s", text);
}

struct patching {
	struct arena *a;
	struct value *root;
	struct error *err;
	int64_t copied;
};

// Text in double quotes as Go's %q has it, for the ASCII that can stand there.
static str quote(struct arena *a, str s)
{
	return json_text(a, value_string(a, s), JSON_COMPACT);
}

static bool atoi_go(struct patching *p, str key, int64_t *index)
{
	if (str_to_i64(key, index))
		return true;
	str digits = key;
	if (!str_cut_prefix(&digits, S("-")))
		str_cut_prefix(&digits, S("+"));
	bool number = digits.n > 0;
	for (size_t i = 0; i < digits.n; i++)
		number = number && digits.p[i] >= '0' && digits.p[i] <= '9';
	str q = quote(p->a, key);
	return failed(p->err, "strconv.Atoi: parsing " STR_FMT ": %s", STR_ARG(q),
	              number ? "value out of range" : "invalid syntax");
}

// Turns an index that may count from the end into one from the start. `size` is the number of valid ones.
static bool check_index(struct patching *p, int64_t index, size_t size, size_t *out)
{
	int64_t n = (int64_t)size;
	if (index >= n || index < -n)
		return failed(p->err, "Unable to access invalid index: %lld: invalid index referenced",
		              (long long)index);
	*out = (size_t)(index < 0 ? index + n : index);
	return true;
}

static bool array_index(struct patching *p, const struct value *array, str key, size_t *out)
{
	int64_t index;
	return atoi_go(p, key, &index) && check_index(p, index, array->a.n, out);
}

// The item or member; *out is NULL when an object has none of this name.
static bool get(struct patching *p, struct value *in, str key, struct value **out)
{
	if (in->kind == V_OBJECT) {
		*out = value_get(in, key);
		return true;
	}
	size_t i = 0;
	if (!array_index(p, in, key, &i))
		return false;
	*out = in->a.v[i];
	return true;
}

static bool add_to(struct patching *p, struct value *in, str key, struct value *v)
{
	if (in->kind == V_OBJECT) {
		value_set(p->a, in, key, v);
		return true;
	}
	if (str_eqc(key, "-")) {
		value_append(p->a, in, v);
		return true;
	}
	int64_t index;
	size_t at = 0;
	if (!atoi_go(p, key, &index))
		return error_wrap(p->err, "value was not a proper array index: '" STR_FMT "'", STR_ARG(key));
	if (!check_index(p, index, in->a.n + 1, &at))
		return false;
	value_insert(p->a, in, at, v);
	return true;
}

static bool remove_from(struct patching *p, struct value *in, str key)
{
	if (in->kind == V_OBJECT) {
		if (value_del(in, key))
			return true;
		return failed(p->err, "Unable to remove nonexistent key: " STR_FMT ": missing value", STR_ARG(key));
	}
	size_t i = 0;
	if (!array_index(p, in, key, &i))
		return false;
	value_remove_at(in, i);
	return true;
}

// Undoes ~1 and ~0 (RFC 6901, section 4).
static str decode_key(struct arena *a, str key)
{
	if (str_find_char(key, '~') < 0)
		return key;
	char *out = arena_alloc(a, key.n + 1), *to = out;
	for (size_t i = 0; i < key.n; i++) {
		bool escape = key.p[i] == '~' && i + 1 < key.n && (key.p[i + 1] == '0' || key.p[i + 1] == '1');
		*to++ = escape ? (key.p[++i] == '0' ? '~' : '/') : key.p[i];
	}
	return str_n(out, (size_t)(to - out));
}

// The container that holds what the path names, and the last part of the path. NULL when there is no such container;
// the document as a whole (the empty path) has none.
static struct value *find_container(struct patching *p, str path, str *key)
{
	str rest = path, part;
	if (str_find_char(path, '/') < 0)
		return NULL;
	struct value *at = p->root;
	str_next(&rest, '/', &part); // before the first slash
	struct error ignored;
	struct patching quiet = { .a = p->a, .root = p->root, .err = &ignored };
	while (str_next(&rest, '/', &part)) {
		*key = decode_key(p->a, part);
		if (!rest.p)
			return at;
		if (!get(&quiet, at, *key, &at) || !at || (at->kind != V_OBJECT && at->kind != V_ARRAY))
			return NULL;
	}
	return NULL;
}

static bool text_member(const struct value *op, const char *name, str *out)
{
	const struct value *v = value_get(op, str_c(name));
	*out = value_str(v);
	return value_is(v, V_STRING);
}

static struct value *operand(struct patching *p, const struct value *op)
{
	const struct value *v = value_get(op, S("value"));
	return v ? value_clone(p->a, v) : value_null(p->a);
}

static bool op_add(struct patching *p, const struct value *op)
{
	str path, key;
	if (!text_member(op, "path", &path))
		return failed(p->err, "add operation failed to decode path: missing value");
	struct value *in = find_container(p, path, &key);
	if (!in)
		return failed(p->err,
		              "add operation does not apply: doc is missing path: \"" STR_FMT "\": missing value",
		              STR_ARG(path));
	return add_to(p, in, key, operand(p, op)) ||
	       error_wrap(p->err, "error in add for path: '" STR_FMT "'", STR_ARG(path));
}

static bool op_remove(struct patching *p, const struct value *op)
{
	str path, key;
	if (!text_member(op, "path", &path))
		return failed(p->err, "remove operation failed to decode path: missing value");
	struct value *in = find_container(p, path, &key);
	if (!in)
		return failed(p->err,
		              "remove operation does not apply: doc is missing path: \"" STR_FMT "\": missing value",
		              STR_ARG(path));
	return remove_from(p, in, key) || error_wrap(p->err, "error in remove for path: '" STR_FMT "'", STR_ARG(path));
}

static bool op_replace(struct patching *p, const struct value *op)
{
	str path, key;
	if (!text_member(op, "path", &path))
		return failed(p->err,
		              "replace operation failed to decode path: operation missing path field: missing value");
	if (path.n == 0) {
		struct value *v = operand(p, op);
		if (v->kind == V_OBJECT ||
		    v->kind == V_ARRAY) // anything else is passed over without a word, as upstream
			p->root = v;
		return true;
	}
	struct value *in = find_container(p, path, &key), *old;
	if (!in)
		return failed(p->err,
		              "replace operation does not apply: doc is missing path: " STR_FMT ": missing value",
		              STR_ARG(path));
	if (!get(p, in, key, &old))
		return failed(p->err,
		              "replace operation does not apply: doc is missing key: " STR_FMT ": missing value",
		              STR_ARG(path));
	struct value *v = operand(p, op);
	size_t i = 0;
	if (in->kind == V_OBJECT)
		value_set(p->a, in, key, v);
	else if (array_index(p, in, key, &i))
		in->a.v[i] = v;
	return true;
}

static bool op_move(struct patching *p, const struct value *op)
{
	str from, path, key;
	struct value *v;
	if (!text_member(op, "from", &from))
		return failed(p->err,
		              "move operation failed to decode from: operation, missing from field: missing value");
	struct value *in = find_container(p, from, &key);
	if (!in)
		return failed(p->err,
		              "move operation does not apply: doc is missing from path: " STR_FMT ": missing value",
		              STR_ARG(from));
	if (!get(p, in, key, &v) || !remove_from(p, in, key))
		return error_wrap(p->err, "error in move for path: '" STR_FMT "'", STR_ARG(key));
	if (!text_member(op, "path", &path))
		return failed(p->err,
		              "move operation failed to decode path: operation missing path field: missing value");
	in = find_container(p, path, &key);
	if (!in)
		return failed(p->err,
		              "move operation does not apply: doc is missing destination path: " STR_FMT
		              ": missing value",
		              STR_ARG(path));
	return add_to(p, in, key, v) || error_wrap(p->err, "error in move for path: '" STR_FMT "'", STR_ARG(path));
}

static bool op_copy(struct patching *p, const struct value *op)
{
	str from, path, key;
	struct value *v;
	if (!text_member(op, "from", &from))
		return failed(p->err,
		              "copy operation failed to decode from: operation, missing from field: missing value");
	struct value *in = find_container(p, from, &key);
	if (!in)
		return failed(p->err,
		              "copy operation does not apply: doc is missing from path: " STR_FMT ": missing value",
		              STR_ARG(from));
	if (!get(p, in, key, &v))
		return error_wrap(p->err, "error in copy for from: '" STR_FMT "'", STR_ARG(from));
	if (!text_member(op, "path", &path))
		return failed(p->err, "copy operation failed to decode path: missing value");
	in = find_container(p, path, &key);
	if (!in)
		return failed(p->err,
		              "copy operation does not apply: doc is missing destination path: " STR_FMT
		              ": missing value",
		              STR_ARG(path));
	if (v) {
		_cleanup_buf_ struct buf text = { 0 };
		json_write(&text, v, JSON_ESCAPE_HTML);
		p->copied += (int64_t)text.n;
	}
	if (p->copied > max_copied)
		return failed(p->err,
		              "Unable to complete the copy, the accumulated size increase of copy is %lld, exceeding "
		              "the limit %lld",
		              (long long)p->copied, (long long)max_copied);
	v = v ? value_clone(p->a, v) : value_null(p->a);
	return add_to(p, in, key, v) || error_wrap(p->err, "error while adding value during copy");
}

static bool op_test(struct patching *p, const struct value *op)
{
	str path, key;
	struct value *v, *want = value_get(op, S("value"));
	if (!text_member(op, "path", &path))
		return failed(p->err,
		              "test operation failed to decode path: operation missing path field: missing value");
	if (path.n == 0) {
		v = p->root;
	} else {
		struct value *in = find_container(p, path, &key);
		if (!in)
			return failed(p->err,
			              "test operation does not apply: is missing path: " STR_FMT ": missing value",
			              STR_ARG(path));
		if (!get(p, in, key, &v))
			return error_wrap(p->err, "error in test for path: '" STR_FMT "'", STR_ARG(path));
	}
	// A member that is not there counts as null.
	bool v_null = !v || v->kind == V_NULL, want_null = !want || want->kind == V_NULL;
	if (v_null || want_null ? v_null && want_null : value_equal(v, want))
		return true;
	return failed(p->err, "testing value " STR_FMT " failed: test failed", STR_ARG(path));
}

static const struct {
	const char *name;
	bool (*run)(struct patching *p, const struct value *op);
} operations[] = {
	{ "add", op_add },   { "remove", op_remove }, { "replace", op_replace },
	{ "move", op_move }, { "copy", op_copy },     { "test", op_test },
};

static const char *go_kind(const struct value *v)
{
	return value_kind_name(v->kind); // encoding/json names them as we do
}

// The shape of the patch, as the decoder of the apiserver checks it.
static bool check_shape(const struct value *patch, struct error *err)
{
	static const char *const texts[] = { "op", "path", "from" };
	if (patch->kind != V_ARRAY)
		return error_api(
		        err, 400, "BadRequest",
		        "error decoding patch: json: cannot unmarshal %s into Go value of type []handlers.jsonPatchOp",
		        go_kind(patch));
	for (size_t i = 0; i < patch->a.n; i++) {
		const struct value *op = patch->a.v[i];
		if (op->kind != V_OBJECT && op->kind != V_NULL)
			return error_api(err, 400, "BadRequest",
			                 "error decoding patch: json: cannot unmarshal %s into Go value of type "
			                 "handlers.jsonPatchOp",
			                 go_kind(op));
		for (size_t j = 0; j < ARRAY_LEN(texts); j++) {
			const struct value *v = value_get(op, str_c(texts[j]));
			if (v && v->kind != V_STRING && v->kind != V_NULL)
				return error_api(err, 400, "BadRequest",
				                 "error decoding patch: json: cannot unmarshal %s into Go struct field "
				                 "jsonPatchOp.%s of type string",
				                 go_kind(v), texts[j]);
		}
	}
	if (patch->a.n > MAX_OPERATIONS)
		return error_api(
		        err, 413, "RequestEntityTooLarge",
		        "Request entity too large: The allowed maximum operations in a JSON patch is %d, got %zu",
		        MAX_OPERATIONS, patch->a.n);
	return true;
}

struct value *json_patch_apply(struct arena *a, const struct value *doc, const struct value *patch, struct error *err)
{
	if (patch->kind == V_NULL)
		return value_clone(a, doc);
	if (!check_shape(patch, err))
		return NULL;
	struct patching p = { .a = a, .root = value_clone(a, doc), .err = err };
	if (p.root->kind != V_OBJECT && p.root->kind != V_ARRAY) {
		failed(err, "json: cannot unmarshal %s into Go value of type jsonpatch.partialDoc", go_kind(doc));
		return NULL;
	}
	for (size_t i = 0; i < patch->a.n; i++) {
		const struct value *op = patch->a.v[i];
		str name = value_get_str(op, S("op"));
		size_t j = 0;
		while (j < ARRAY_LEN(operations) && !str_eqc(name, operations[j].name))
			j++;
		if (j == ARRAY_LEN(operations)) {
			if (!value_is(value_get(op, S("op")), V_STRING))
				name = S("unknown");
			failed(err, "Unexpected kind: " STR_FMT, STR_ARG(name));
			return NULL;
		}
		if (!operations[j].run(&p, op))
			return NULL;
	}
	return p.root;
}

// --- merge patch ---

static struct value *copy_shallow(struct arena *a, const struct value *v)
{
	struct value *c = value_object(a);
	for (size_t i = 0; i < v->o.n; i++)
		*LIST_ADD(a, &c->o) = v->o.v[i];
	return c;
}

// The value without members that are null, at any depth (also below arrays; null items stay).
static struct value *without_nulls(struct arena *a, const struct value *v)
{
	struct value *c;
	switch (v->kind) {
	case V_OBJECT:
		c = value_object(a);
		for (size_t i = 0; i < v->o.n; i++)
			if (v->o.v[i].value->kind != V_NULL)
				*LIST_ADD(a, &c->o) =
				        (struct member){ v->o.v[i].key, without_nulls(a, v->o.v[i].value) };
		return c;
	case V_ARRAY:
		c = value_array(a);
		for (size_t i = 0; i < v->a.n; i++)
			value_append(a, c, without_nulls(a, v->a.v[i]));
		return c;
	default:
		return (struct value *)v;
	}
}

struct value *merge_patch_apply(struct arena *a, const struct value *doc, const struct value *patch)
{
	if (!value_is(doc, V_OBJECT))
		return without_nulls(a, patch);
	if (patch->kind != V_OBJECT)
		return (struct value *)patch;
	struct value *out = copy_shallow(a, doc);
	for (size_t i = 0; i < patch->o.n; i++) {
		const struct member *m = &patch->o.v[i];
		if (m->value->kind == V_NULL) {
			value_del(out, m->key);
			continue;
		}
		const struct value *old = value_get(out, m->key);
		bool replace = !old || old->kind == V_NULL;
		value_set(a, out, m->key, replace ? without_nulls(a, m->value) : merge_patch_apply(a, old, m->value));
	}
	return out;
}

struct value *merge_patch_make(struct arena *a, const struct value *from, const struct value *to)
{
	if (from->kind != V_OBJECT || to->kind != V_OBJECT)
		return (struct value *)to;
	struct value *patch = value_object(a);
	for (size_t i = 0; i < to->o.n; i++) {
		const struct member *m = &to->o.v[i];
		const struct value *old = value_get(from, m->key);
		if (!old)
			value_set(a, patch, m->key, m->value);
		else if (!value_equal(old, m->value))
			value_set(a, patch, m->key, merge_patch_make(a, old, m->value));
	}
	for (size_t i = 0; i < from->o.n; i++)
		if (!value_get(to, from->o.v[i].key))
			value_set(a, patch, from->o.v[i].key, value_null(a));
	return patch;
}
