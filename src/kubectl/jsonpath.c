// JSONPath templates as kubectl has them (client-go util/jsonpath): text outside braces, {.path}, {range .items[*]}...{end},
// {"text"}, and within paths .name, ['name'], [n], [a:b], [*], .*, ..name and filters [?(@.x == "y")].
#include <stdlib.h>

#include "base/heap.h"
#include "kubectl/cmd.h"

enum { MAX_NESTING = 20, MAX_FOUND = 1000000 };

struct found {
	const struct value **v;
	size_t n;
};

struct path_ctx {
	struct kctl *k;
	const struct value *root;
	struct error *err;
	bool allow_missing;
};

static bool eval(struct path_ctx *c, str path, const struct value *at, struct found *out);

static void add(struct path_ctx *c, struct found *f, const struct value *v)
{
	*LIST_ADD(c->k->a, f) = v;
}

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("_-/\\@$+", c);
}

// ..name: the member at any depth.
static void descend(struct path_ctx *c, const struct value *v, str name, struct found *out)
{
	if (v->kind == V_OBJECT) {
		for (size_t i = 0; i < v->o.n; i++) {
			if (name.n == 0 || str_eq(v->o.v[i].key, name))
				add(c, out, v->o.v[i].value);
			descend(c, v->o.v[i].value, name, out);
		}
	} else if (v->kind == V_ARRAY) {
		for (size_t i = 0; i < v->a.n; i++)
			descend(c, v->a.v[i], name, out);
	}
}

// One side of a comparison: a path from the item or the root, or a constant.
static bool operand(struct path_ctx *c, str text, const struct value *item, const struct value **out)
{
	struct found f = { 0 };
	text = str_trim(text);
	*out = NULL;
	if (text.n && (text.p[0] == '@' || text.p[0] == '$')) {
		bool ok = eval(c, str_from(text, 1), text.p[0] == '@' ? item : c->root, &f);
		*out = ok && f.n ? f.v[0] : NULL;
		return ok;
	}
	if (text.n >= 2 && (text.p[0] == '\'' || text.p[0] == '"')) {
		*out = value_string(c->k->a, str_sub(text, 1, text.n - 1));
		return true;
	}
	struct error why = { 0 };
	*out = json_parse(c->k->a, text, NULL, &why);
	return *out ? true : error_set(c->err, "unrecognized character in filter: " STR_FMT, STR_ARG(text));
}

static int compare(const struct value *x, const struct value *y, bool *comparable)
{
	*comparable = true;
	if (x->kind == V_STRING && y->kind == V_STRING)
		return str_cmp(x->s, y->s);
	double d[2];
	const struct value *v[2] = { x, y };
	for (int i = 0; i < 2; i++) {
		if (v[i]->kind != V_INT && v[i]->kind != V_DOUBLE) {
			*comparable = false;
			return 0;
		}
		d[i] = v[i]->kind == V_INT ? (double)v[i]->i : v[i]->d;
	}
	return d[0] < d[1] ? -1 : d[0] > d[1];
}

static bool filter_matches(struct path_ctx *c, str filter, const struct value *item, bool *match)
{
	static const char *const operators[] = { "==", "!=", "<=", ">=", "<", ">" };
	const struct value *x, *y;
	for (size_t i = 0; i < ARRAY_LEN(operators); i++) {
		ptrdiff_t at = str_find(filter, str_c(operators[i]));
		if (at < 0)
			continue;
		if (!operand(c, str_sub(filter, 0, (size_t)at), item, &x) ||
		    !operand(c, str_from(filter, (size_t)at + strlen(operators[i])), item, &y))
			return false;
		*match = false;
		if (!x || !y)
			return true;
		bool comparable;
		int order = compare(x, y, &comparable);
		switch (i) {
		case 0:
			*match = value_equal(x, y);
			break;
		case 1:
			*match = !value_equal(x, y);
			break;
		case 2:
			*match = comparable && order <= 0;
			break;
		case 3:
			*match = comparable && order >= 0;
			break;
		case 4:
			*match = comparable && order < 0;
			break;
		default:
			*match = comparable && order > 0;
		}
		return true;
	}
	if (!operand(c, filter, item, &x))
		return false;
	*match = x != NULL;
	return true;
}

// The inside of brackets, applied to one value.
static bool subscript(struct path_ctx *c, str inside, const struct value *at, struct found *out)
{
	inside = str_trim(inside);
	if (str_eqc(inside, "*")) {
		if (at->kind == V_ARRAY)
			for (size_t i = 0; i < at->a.n; i++)
				add(c, out, at->a.v[i]);
		else if (at->kind == V_OBJECT)
			for (size_t i = 0; i < at->o.n; i++)
				add(c, out, at->o.v[i].value);
		return true;
	}
	if (inside.n >= 2 && (inside.p[0] == '\'' || inside.p[0] == '"')) {
		const struct value *v = value_get(at, str_sub(inside, 1, inside.n - 1));
		if (v)
			add(c, out, v);
		return true;
	}
	if (str_cut_prefix(&inside, S("?(")) && str_cut_suffix(&inside, S(")"))) {
		for (size_t i = 0; at->kind == V_ARRAY && i < at->a.n; i++) {
			bool match = false;
			if (!filter_matches(c, inside, at->a.v[i], &match))
				return false;
			if (match)
				add(c, out, at->a.v[i]);
		}
		return true;
	}
	if (at->kind != V_ARRAY)
		return at->kind == V_NULL ? true
		                          : error_set(c->err, "%s is not array or slice", value_kind_name(at->kind));
	for (str rest = inside, part; str_next(&rest, ',', &part);) {
		str first, last;
		int64_t from = 0, to = (int64_t)at->a.n, size = (int64_t)at->a.n;
		bool range = str_split(str_trim(part), ':', &first, &last);
		if ((first.n || !range) && !str_to_i64(first, &from))
			return error_set(c->err, "invalid array index " STR_FMT, STR_ARG(part));
		if (from < 0)
			from += size;
		if (!range) {
			if (from < 0 || from >= size)
				return c->allow_missing
				               ? true
				               : error_set(c->err, "array index out of bounds: index %lld, length %lld",
				                           (long long)from, (long long)size);
			add(c, out, at->a.v[from]);
			continue;
		}
		if (last.n && !str_to_i64(last, &to))
			return error_set(c->err, "invalid array index " STR_FMT, STR_ARG(part));
		if (to < 0)
			to += size;
		for (int64_t i = MAX(from, INT64_C(0)); i < MIN(to, size); i++)
			add(c, out, at->a.v[i]);
	}
	return true;
}

static ptrdiff_t closing(str s, char open, char close)
{
	int depth = 0;
	char quote = 0;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (quote) {
			if (c == quote)
				quote = 0;
		} else if (c == '\'' || c == '"') {
			quote = c;
		} else if (c == open) {
			depth++;
		} else if (c == close && --depth == 0) {
			return (ptrdiff_t)i;
		}
	}
	return -1;
}

static bool eval(struct path_ctx *c, str path, const struct value *start, struct found *out)
{
	struct found at = { 0 };
	add(c, &at, start);
	while (path.n) {
		struct found next = { 0 };
		if (path.p[0] == '[') {
			ptrdiff_t end = closing(path, '[', ']');
			if (end < 0)
				return error_set(c->err, "unterminated array");
			for (size_t i = 0; i < at.n; i++)
				if (!subscript(c, str_sub(path, 1, (size_t)end), at.v[i], &next))
					return false;
			path = str_from(path, (size_t)end + 1);
			at = next;
			continue;
		}
		if (path.p[0] == '$' || path.p[0] == '@') {
			path = str_from(path, 1);
			continue;
		}
		if (path.p[0] != '.')
			return error_set(c->err, "unrecognized character in action: U+%04X '%c'",
			                 (unsigned char)path.p[0], path.p[0]);
		bool deep = path.n > 1 && path.p[1] == '.';
		path = str_from(path, deep ? 2 : 1);
		size_t n = 0;
		_cleanup_buf_ struct buf name = { 0 };
		while (n < path.n && name_char(path.p[n])) {
			if (path.p[n] == '\\' && n + 1 < path.n) // \. stands for a dot in a name
				n++;
			buf_add_char(&name, path.p[n++]);
		}
		bool star = n == 0 && path.n && path.p[0] == '*';
		str key = arena_dup(c->k->a, buf_str(&name));
		path = str_from(path, star ? 1 : n);
		if (n == 0 && !star) // "." alone is the value itself
			continue;
		for (size_t i = 0; i < at.n; i++) {
			if (next.n > MAX_FOUND)
				return error_set(c->err, "the path leads to more than %d values", MAX_FOUND);
			if (deep) {
				descend(c, at.v[i], key, &next);
			} else if (star) {
				subscript(c, S("*"), at.v[i], &next);
			} else {
				const struct value *v = value_get(at.v[i], key);
				if (v)
					add(c, &next, v);
				else if (!c->allow_missing)
					return error_set(c->err, STR_FMT " is not found", STR_ARG(key));
			}
		}
		at = next;
	}
	for (size_t i = 0; i < at.n; i++)
		add(c, out, at.v[i]);
	return true;
}

static void print_found(FILE *to, const struct found *f)
{
	for (size_t i = 0; i < f->n; i++) {
		_cleanup_buf_ struct buf b = { 0 };
		const struct value *v = f->v[i];
		if (v->kind == V_ARRAY || v->kind == V_OBJECT)
			json_write(&b, v, JSON_SORT | JSON_ESCAPE_HTML);
		else
			kc_write_plain(&b, v);
		if (i)
			fputc(' ', to);
		fwrite(b.p, 1, b.n, to);
	}
}

// {"text\n"}: escapes as in Go.
static void print_literal(FILE *to, str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '\\' || i + 1 == s.n) {
			fputc(s.p[i], to);
			continue;
		}
		char e = s.p[++i];
		fputc(e == 'n' ? '\n' : e == 't' ? '\t' : e == 'r' ? '\r' : e, to);
	}
}

// Finds the {end} of the range that begins before `s`; *after is what follows it.
static bool range_body(str s, str *body, str *after)
{
	int depth = 1;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '{')
			continue;
		ptrdiff_t end = closing(str_from(s, i), '{', '}');
		if (end < 0)
			return false;
		str inside = str_trim(str_sub(s, i + 1, i + (size_t)end));
		if (str_has_prefix(inside, S("range ")))
			depth++;
		if (str_eqc(inside, "end") && --depth == 0) {
			*body = str_sub(s, 0, i);
			*after = str_from(s, i + (size_t)end + 1);
			return true;
		}
		i += (size_t)end;
	}
	return false;
}

static bool run_template(struct path_ctx *c, FILE *to, str t, const struct value *at, int depth)
{
	if (depth > MAX_NESTING)
		return error_set(c->err, "ranges are nested too deeply");
	while (t.n) {
		ptrdiff_t open = str_find_char(t, '{');
		if (open < 0) {
			fwrite(t.p, 1, t.n, to);
			return true;
		}
		fwrite(t.p, 1, (size_t)open, to);
		t = str_from(t, (size_t)open);
		ptrdiff_t end = closing(t, '{', '}');
		if (end < 0)
			return error_set(c->err, "unclosed action");
		str inside = str_trim(str_sub(t, 1, (size_t)end));
		t = str_from(t, (size_t)end + 1);
		struct found f = { 0 };
		if (str_cut_prefix(&inside, S("range "))) {
			str body, after;
			if (!range_body(t, &body, &after))
				return error_set(c->err, "not in range, nothing to end");
			if (!eval(c, str_trim(inside), at, &f))
				return false;
			for (size_t i = 0; i < f.n; i++)
				if (!run_template(c, to, body, f.v[i], depth + 1))
					return false;
			t = after;
		} else if (inside.n >= 2 && (inside.p[0] == '"' || inside.p[0] == '\'')) {
			print_literal(to, str_sub(inside, 1, inside.n - 1));
		} else if (inside.n && inside.p[0] == '$') {
			if (!eval(c, str_from(inside, 1), c->root, &f))
				return false;
			print_found(to, &f);
		} else {
			if (!eval(c, inside, at, &f))
				return false;
			print_found(to, &f);
		}
	}
	return true;
}

bool jsonpath_print(struct kctl *k, FILE *to, str template, const struct value *obj, struct error *err)
{
	struct path_ctx c = { .k = k, .root = obj, .err = err, .allow_missing = true };
	if (template.n && str_find_char(template, '{') < 0) // a bare path
		template = arena_concat(k->a, S("{"), template.p[0] == '.' ? S("") : S("."), template, S("}"));
	if (!run_template(&c, to, template, obj, 0))
		return error_wrap(err, "error parsing jsonpath " STR_FMT, STR_ARG(template));
	return true;
}

struct value *jsonpath_first(struct kctl *k, str path, const struct value *obj, struct error *err)
{
	struct path_ctx c = { .k = k, .root = obj, .err = err, .allow_missing = true };
	struct found f = { 0 };
	str_cut_prefix(&path, S("{"));
	str_cut_suffix(&path, S("}"));
	if (path.n && path.p[0] != '.' && path.p[0] != '[')
		path = arena_concat(k->a, S("."), path);
	if (!eval(&c, path, obj, &f) || f.n == 0)
		return NULL;
	return (struct value *)f.v[0];
}
