// The reader: events of libyaml become a tree of nodes, then values. The tree is needed because an alias may stand
// for any node and because what a mapping means (merge keys, duplicates) is decided from its whole.
#include "json/yaml.h"

#include <math.h>
#include <stdio.h>
#include <yaml.h>

#include "base/encode.h"
#include "base/map.h"
#include "json/yaml_scalar.h"

enum { MAX_DEPTH = 1000, MAX_DUPLICATES = 100 };

#define TAG_PREFIX "tag:yaml.org,2002:"

enum node_kind { NODE_SCALAR, NODE_SEQUENCE, NODE_MAPPING, NODE_ALIAS };

struct node {
	enum node_kind kind;
	bool implicit; // a plain scalar without a tag
	bool open;     // of an alias: it is being expanded
	size_t line;   // from 0
	str tag, text; // text of a scalar, name of an alias
	struct node *target;
	struct {
		struct node **v;
		size_t n;
	} children; // of a mapping: key, value, key, value ...
};

struct anchor {
	str name;
	struct node *node;
};

struct reader {
	struct arena *a;       // values
	struct arena *scratch; // nodes
	struct error *err;
	yaml_parser_t parser;
	yaml_event_t event;
	bool have_event;
	struct {
		struct anchor *v;
		size_t n;
	} anchors;
	struct json_duplicates *duplicates;
	size_t max_depth;
	uint64_t decoded, from_aliases; // nodes turned into values so far; those of them below an alias
	int alias_depth;
	size_t depth; // of the recursion over values, aliases included
};

static bool fail(struct reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool fail(struct reader *r, const char *fmt, ...)
{
	char text[sizeof(r->err->text)];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return error_api(r->err, 400, "BadRequest", "error converting YAML to JSON: %s", text);
}

// --- events to nodes ---

// The line in the message is chosen as go-yaml chooses it.
static bool fail_parser(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	size_t line = 0;
	if (p->error == YAML_MEMORY_ERROR)
		return fail(r, "yaml: out of memory");
	if (p->problem_mark.line != 0)
		line = p->problem_mark.line + (p->error == YAML_SCANNER_ERROR ? 1 : 0);
	else if (p->context_mark.line != 0)
		line = p->context_mark.line;
	const char *problem = p->problem ? p->problem : "unknown problem parsing YAML content";
	return line ? fail(r, "yaml: line %zu: %s", line, problem) : fail(r, "yaml: %s", problem);
}

static bool next_event(struct reader *r)
{
	if (r->have_event)
		yaml_event_delete(&r->event);
	r->have_event = false;
	if (!yaml_parser_parse(&r->parser, &r->event))
		return fail_parser(r);
	r->have_event = true;
	return true;
}

static str event_text(struct arena *a, const yaml_char_t *text)
{
	return text ? arena_dup(a, str_c((const char *)text)) : (str){ NULL, 0 };
}

static struct node *find_anchor(const struct reader *r, str name)
{
	for (size_t i = r->anchors.n; i > 0; i--) // the latest of a name counts
		if (str_eq(r->anchors.v[i - 1].name, name))
			return r->anchors.v[i - 1].node;
	return NULL;
}

static void set_anchor(struct reader *r, struct node *n, const yaml_char_t *name)
{
	if (!name)
		return;
	str text = str_c((const char *)name);
	for (size_t i = 0; i < r->anchors.n; i++)
		if (str_eq(r->anchors.v[i].name, text)) {
			r->anchors.v[i].node = n;
			return;
		}
	*LIST_ADD(r->scratch, &r->anchors) = (struct anchor){ event_text(r->scratch, name), n };
}

// The node that begins with the current event; afterwards the current event is its last one.
static struct node *read_node(struct reader *r, size_t depth)
{
	struct node *n = ARENA_NEW(r->scratch, struct node);
	const yaml_event_t *e = &r->event;
	n->line = e->start_mark.line;
	if (depth > r->max_depth) {
		fail(r, "yaml: line %zu: exceeded max depth of %zu", n->line + 1, r->max_depth);
		return NULL;
	}
	yaml_event_type_t end = YAML_NO_EVENT;
	switch (e->type) {
	case YAML_ALIAS_EVENT:
		n->kind = NODE_ALIAS;
		n->text = event_text(r->scratch, e->data.alias.anchor);
		n->target = find_anchor(r, n->text);
		if (!n->target) {
			fail(r, "yaml: unknown anchor '" STR_FMT "' referenced", STR_ARG(n->text));
			return NULL;
		}
		return n;
	case YAML_SCALAR_EVENT:
		n->kind = NODE_SCALAR;
		n->text = arena_dup(r->a, str_n((const char *)e->data.scalar.value, e->data.scalar.length));
		n->tag = event_text(r->scratch, e->data.scalar.tag);
		n->implicit = e->data.scalar.plain_implicit;
		set_anchor(r, n, e->data.scalar.anchor);
		return n;
	case YAML_SEQUENCE_START_EVENT:
		n->kind = NODE_SEQUENCE;
		end = YAML_SEQUENCE_END_EVENT;
		set_anchor(r, n, e->data.sequence_start.anchor);
		break;
	case YAML_MAPPING_START_EVENT:
		n->kind = NODE_MAPPING;
		end = YAML_MAPPING_END_EVENT;
		set_anchor(r, n, e->data.mapping_start.anchor);
		break;
	default:
		fail(r, "yaml: unexpected event in a node");
		return NULL;
	}
	for (;;) {
		if (!next_event(r))
			return NULL;
		if (e->type == end)
			return n;
		struct node *child = read_node(r, depth + 1);
		if (!child)
			return NULL;
		*LIST_ADD(r->scratch, &n->children) = child;
	}
}

// --- nodes to values ---

static struct value *decode(struct reader *r, struct node *n);

// How a decoded key or value looks as a Go literal (%#v); it appears in messages about keys.
static void write_go(struct buf *to, const struct value *v)
{
	switch (v->kind) {
	case V_NULL:
		buf_add(to, S("interface {}(nil)"));
		break;
	case V_ARRAY:
		buf_add(to, S("[]interface {}{"));
		for (size_t i = 0; i < v->a.n; i++) {
			buf_add(to, i ? S(", ") : S(""));
			write_go(to, v->a.v[i]);
		}
		buf_add_char(to, '}');
		break;
	case V_OBJECT:
		buf_add(to, S("map[interface {}]interface {}{"));
		for (size_t i = 0; i < v->o.n; i++) {
			buf_add(to, i ? S(", ") : S(""));
			json_write_string(to, v->o.v[i].key, false);
			buf_add_char(to, ':');
			write_go(to, v->o.v[i].value);
		}
		buf_add_char(to, '}');
		break;
	default:
		json_write(to, v, JSON_COMPACT);
	}
}

static bool tag_is(const struct node *n, const char *name)
{
	str tag = n->tag;
	return str_cut_prefix(&tag, S(TAG_PREFIX)) && str_eqc(tag, name);
}

// !!str for tag:yaml.org,2002:str.
static str short_tag(struct arena *a, str tag)
{
	str_cut_prefix(&tag, S(TAG_PREFIX));
	return arena_concat(a, S("!!"), tag);
}

static const char *const type_tags[] = { "str", "bool", "int", "float", "null", "timestamp" };

// What a scalar is, by its tag and its look.
static bool resolve(struct reader *r, const struct node *n, struct yaml_scalar *out)
{
	*out = (struct yaml_scalar){ .type = YAML_STR };
	if (n->tag.n == 0) {
		if (n->implicit)
			*out = yaml_resolve(n->text, true);
		return true;
	}
	bool known = false;
	for (size_t i = 0; i < ARRAY_LEN(type_tags); i++)
		known = known || tag_is(n, type_tags[i]);
	if (!known || tag_is(n, "str"))
		return true;
	*out = yaml_resolve(n->text, tag_is(n, "timestamp"));
	if (tag_is(n, type_tags[out->type]))
		return true;
	if (out->type == YAML_INT && tag_is(n, "float") && !out->is_unsigned) {
		out->type = YAML_FLOAT;
		out->d = (double)out->i;
		return true;
	}
	str tag = short_tag(r->scratch, n->tag);
	return fail(r, "yaml: cannot decode !!%s `" STR_FMT "` as a " STR_FMT, type_tags[out->type], STR_ARG(n->text),
	            STR_ARG(tag));
}

static bool decode_binary(struct reader *r, struct node *n)
{
	if (!tag_is(n, "binary"))
		return true;
	str bytes;
	if (!base64_decode(r->a, n->text, &bytes))
		return fail(r, "yaml: !!binary value contains invalid base64 data");
	n->text = bytes;
	n->tag = S("!");
	return true;
}

// A float passes through JSON text upstream, so one without a fraction becomes an integer.
static struct value *number_value(struct arena *a, double d)
{
	int64_t i;
	struct value *v = value_double(a, d);
	return fabs(d) < 1e21 && value_to_i64(v, &i) ? value_int(a, i) : v;
}

static struct value *decode_scalar(struct reader *r, struct node *n)
{
	struct yaml_scalar s;
	if (!decode_binary(r, n) || !resolve(r, n, &s))
		return NULL;
	switch (s.type) {
	case YAML_NULL:
		return value_null(r->a);
	case YAML_BOOL:
		return value_bool(r->a, s.b);
	case YAML_INT:
		return s.is_unsigned ? value_double(r->a, (double)s.u) : value_int(r->a, s.i);
	case YAML_FLOAT:
		if (!isfinite(s.d)) {
			fail(r, "json: unsupported value: %s", isnan(s.d) ? "NaN" : s.d > 0 ? "+Inf" : "-Inf");
			return NULL;
		}
		return number_value(r->a, s.d);
	default:
		return value_string(r->a, n->text);
	}
}

// Keys become text. *shown is the key as messages show it.
static bool decode_key(struct reader *r, struct node *n, str *key, str *shown)
{
	while (n->kind == NODE_ALIAS)
		n = n->target;
	struct yaml_scalar s;
	if (n->kind != NODE_SCALAR) {
		struct value *v = decode(r, n);
		if (!v)
			return false;
		_cleanup_buf_ struct buf text = { 0 };
		write_go(&text, v);
		return fail(r, "yaml: invalid map key: " STR_FMT, STR_ARG(buf_str(&text)));
	}
	if (!decode_binary(r, n) || !resolve(r, n, &s))
		return false;
	switch (s.type) {
	case YAML_NULL:
		return fail(r, "unsupported map key of type: %%!s(<nil>), key: <nil>");
	case YAML_BOOL:
		*key = s.b ? S("true") : S("false");
		break;
	case YAML_INT:
		if (s.is_unsigned)
			return fail(r, "unsupported map key of type: uint64, key: 0x%llx", (unsigned long long)s.u);
		*key = arena_printf(r->a, "%lld", (long long)s.i);
		break;
	case YAML_FLOAT:
		*key = yaml_float_text(r->a, s.d, true);
		break;
	default:
		*key = n->text;
		*shown = json_text(r->scratch, value_string(r->scratch, *key), JSON_COMPACT);
		return true;
	}
	*shown = *key;
	return true;
}

static void note_duplicate(struct reader *r, const struct node *value, str shown)
{
	if (r->duplicates && r->duplicates->n < MAX_DUPLICATES)
		*LIST_ADD(r->a, r->duplicates) = arena_printf(r->a, "line %zu: key " STR_FMT " already set in map",
		                                              value->line + 1, STR_ARG(shown));
}

static bool is_merge(const struct node *n)
{
	return n->kind == NODE_SCALAR && str_eqc(n->text, "<<") && (n->implicit || tag_is(n, "merge"));
}

static bool fill_object(struct reader *r, const struct node *n, struct value *object, struct map *seen);

static bool count_node(struct reader *r)
{
	// The share of all nodes that may come from aliases: nearly all in small documents, a tenth in very large ones.
	const double low = 400000, high = 4000000;
	r->decoded++;
	if (r->alias_depth > 0)
		r->from_aliases++;
	if (r->from_aliases <= 100 || r->decoded <= 1000)
		return true;
	double all = (double)r->decoded, allowed = 0.99;
	if (all >= high)
		allowed = 0.10;
	else if (all > low)
		allowed = 0.99 - 0.89 * ((all - low) / (high - low));
	return (double)r->from_aliases / all <= allowed || fail(r, "yaml: document contains excessive aliasing");
}

// Chains of aliases can lead deeper than the text is nested.
static bool enter(struct reader *r)
{
	if (r->depth == 2 * r->max_depth)
		return fail(r, "yaml: exceeded max depth of %zu", r->max_depth);
	r->depth++;
	return true;
}

static bool open_alias(struct reader *r, struct node *n)
{
	if (n->open)
		return fail(r, "yaml: anchor '" STR_FMT "' value contains itself", STR_ARG(n->text));
	n->open = true;
	r->alias_depth++;
	return true;
}

static void close_alias(struct reader *r, struct node *n)
{
	n->open = false;
	r->alias_depth--;
}

static bool merge_map(struct reader *r, struct node *n, struct value *object, struct map *seen)
{
	if (n->kind == NODE_MAPPING)
		return count_node(r) && fill_object(r, n, object, seen);
	if (n->kind != NODE_ALIAS || n->target->kind != NODE_MAPPING)
		return fail(r, "yaml: map merge requires map or sequence of maps as the value");
	if (!count_node(r) || !enter(r) || !open_alias(r, n))
		return false;
	bool ok = count_node(r) && fill_object(r, n->target, object, seen);
	close_alias(r, n);
	r->depth--;
	return ok;
}

static bool merge(struct reader *r, struct node *n, struct value *object, struct map *seen)
{
	if (n->kind != NODE_SEQUENCE)
		return merge_map(r, n, object, seen);
	for (size_t i = n->children.n; i > 0; i--) // earlier ones win
		if (!merge_map(r, n->children.v[i - 1], object, seen))
			return false;
	return true;
}

// Adds the members of a mapping. `seen` maps keys to their value pointers, so that large mappings stay cheap.
static bool fill_object(struct reader *r, const struct node *n, struct value *object, struct map *seen)
{
	for (size_t i = 0; i + 1 < n->children.n; i += 2) {
		struct node *key_node = n->children.v[i], *value_node = n->children.v[i + 1];
		if (is_merge(key_node)) {
			if (!merge(r, value_node, object, seen))
				return false;
			continue;
		}
		str key = { 0 }, shown = { 0 };
		if (!count_node(r) || !decode_key(r, key_node, &key, &shown))
			return false;
		struct value *v = decode(r, value_node);
		if (!v)
			return false;
		struct value *old = map_get(seen, key);
		if (old) {
			note_duplicate(r, value_node, shown);
			*old = *v; // the last wins
			continue;
		}
		map_put(seen, key, v);
		*LIST_ADD(r->a, &object->o) = (struct member){ key, v };
	}
	return true;
}

static struct value *decode_node(struct reader *r, struct node *n)
{
	struct value *v = NULL;
	switch (n->kind) {
	case NODE_SCALAR:
		return decode_scalar(r, n);
	case NODE_ALIAS:
		if (!open_alias(r, n))
			return NULL;
		v = decode(r, n->target);
		close_alias(r, n);
		return v;
	case NODE_SEQUENCE:
		v = value_array(r->a);
		for (size_t i = 0; i < n->children.n; i++) {
			struct value *item = decode(r, n->children.v[i]);
			if (!item)
				return NULL;
			value_append(r->a, v, item);
		}
		return v;
	case NODE_MAPPING: {
		_cleanup_map_ struct map seen = { 0 };
		v = value_object(r->a);
		return fill_object(r, n, v, &seen) ? v : NULL;
	}
	}
	return NULL;
}

static struct value *decode(struct reader *r, struct node *n)
{
	if (!count_node(r) || !enter(r))
		return NULL;
	struct value *v = decode_node(r, n);
	r->depth--;
	return v;
}

static struct value *read_document(struct reader *r)
{
	for (int i = 0; i < 2; i++) // stream start; document start, or the end
		if (!next_event(r))
			return NULL;
	if (r->event.type == YAML_STREAM_END_EVENT)
		return value_null(r->a);
	if (!next_event(r))
		return NULL;
	struct node *root = read_node(r, 1);
	if (!root || !next_event(r)) // the document end: what stands before it must be well-formed
		return NULL;
	return decode(r, root);
}

struct value *yaml_parse(struct arena *a, str text, const struct json_opts *opts, struct error *err)
{
	_cleanup_arena_ struct arena *scratch = arena_new(0);
	struct reader r = {
		.a = a,
		.scratch = scratch,
		.err = err,
		.duplicates = opts ? opts->duplicates : NULL,
		.max_depth = opts && opts->max_depth > 0 ? (size_t)MIN(opts->max_depth, (int)MAX_DEPTH) : MAX_DEPTH,
	};
	if (!yaml_parser_initialize(&r.parser)) {
		fail(&r, "yaml: out of memory");
		return NULL;
	}
	yaml_parser_set_encoding(&r.parser, YAML_ANY_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.n ? text.p : "\n"), text.n ? text.n : 1);
	struct value *v = read_document(&r);
	if (r.have_event)
		yaml_event_delete(&r.event);
	yaml_parser_delete(&r.parser);
	return v;
}

// --- streams ---

static str next_line(str *rest)
{
	ptrdiff_t end = str_find_char(*rest, '\n');
	size_t n = end < 0 ? rest->n : (size_t)end + 1;
	str line = str_sub(*rest, 0, n);
	*rest = str_from(*rest, n);
	return line;
}

typedef struct value *parse_fn(struct arena *a, str text, const struct json_opts *opts, struct error *err);

struct documents {
	struct value **v;
	size_t n;
};

static bool add_document(struct arena *a, str text, parse_fn *parse, const struct json_opts *opts,
                         struct documents *docs, struct error *err)
{
	struct value *v = parse(a, text, opts, err);
	if (!v)
		return false;
	if (v->kind != V_NULL)
		*LIST_ADD(a, docs) = v;
	return true;
}

// The end of the JSON value that begins at the start of the text: where its brackets balance.
static size_t json_end(str s)
{
	int depth = 0;
	bool in_string = false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
			continue;
		}
		if (c == '"')
			in_string = true;
		else if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && --depth <= 0)
			return i + 1;
	}
	return s.n;
}

static bool parse_yaml_stream(struct arena *a, str text, const struct json_opts *opts, struct documents *docs,
                              struct error *err)
{
	// As kubectl cuts a stream: at lines that begin with "---", each part read on its own (so lines in messages count
	// from there; the separator counts when nothing stood before it).
	str rest = text, part = { text.p, 0 };
	while (rest.n) {
		str line = next_line(&rest);
		if (str_has_prefix(line, S("---"))) {
			str after = str_trim(str_from(line, 3));
			if (after.n && after.p[0] != '#')
				return error_api(err, 400, "BadRequest", "invalid Yaml document separator: " STR_FMT,
				                 STR_ARG(after));
			if (part.n) {
				if (!add_document(a, part, yaml_parse, opts, docs, err))
					return false;
				part = (str){ rest.p, 0 };
				continue;
			}
		}
		part.n += line.n;
	}
	return part.n == 0 || add_document(a, part, yaml_parse, opts, docs, err);
}

bool yaml_parse_all(struct arena *a, str text, const struct json_opts *opts, struct value ***out, size_t *n,
                    struct error *err)
{
	struct documents docs = { 0 };
	str rest = str_trim(text);
	bool json = rest.n && rest.p[0] == '{', ok = true;
	size_t count = 0;
	while (ok && json && rest.n) {
		size_t end = json_end(rest), offset = 0;
		struct json_opts with_offset = opts ? *opts : (struct json_opts){ 0 };
		with_offset.error_offset = &offset;
		ok = add_document(a, str_sub(rest, 0, end), json_parse, &with_offset, &docs, err);
		if (ok) {
			rest = str_trim(str_from(rest, end));
			count++;
			continue;
		}
		if (count > 1)
			break;
		// It may be YAML that begins with a flow mapping. If that fails, too, the first error is the one to show.
		struct error second = { 0 };
		ok = parse_yaml_stream(a, rest, opts, &docs, &second);
		if (!ok && offset == end)
			error_api(err, 400, "BadRequest", "unexpected EOF");
		else if (!ok && offset)
			error_wrap(err, "json: offset %zu", offset + (size_t)(rest.p - text.p));
		break;
	}
	if (!json)
		ok = parse_yaml_stream(a, text, opts, &docs, err);
	*out = docs.v;
	*n = docs.n;
	return ok;
}
