#include "object/selector.h"

#include <stdlib.h>

#include "object/names.h"

// The lexer and the parser of label selectors follow upstream's token by token, so that a wrong selector gets the same words.
enum token { T_ERROR, T_END, T_CLOSE, T_COMMA, T_NOT, T_DOUBLE_EQ, T_EQ, T_GT, T_WORD, T_IN, T_LT, T_NE, T_NOT_IN, T_OPEN };

struct lexed {
	enum token token;
	str text;
};
struct parser {
	struct arena *arena;
	str s;
	size_t at;
	struct lexed_list { struct lexed *v; size_t n; } tokens;
	size_t next;
	struct error *err;
};

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
static bool is_special(char c) { return c && strchr("=!(),><", c) != NULL; }

// 0 at the end; a NUL in the text ends the word there, too.
static char next_char(struct parser *p)
{
	return p->at < p->s.n ? p->s.p[p->at++] : 0;
}

static enum token special_token(str s)
{
	static const struct { str text; enum token token; } table[] = {
		{ S_INIT(")"), T_CLOSE }, { S_INIT(","), T_COMMA }, { S_INIT("!"), T_NOT }, { S_INIT("=="), T_DOUBLE_EQ }, { S_INIT("="), T_EQ },
		{ S_INIT(">"), T_GT }, { S_INIT("<"), T_LT }, { S_INIT("!="), T_NE }, { S_INIT("("), T_OPEN },
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (str_eq(table[i].text, s))
			return table[i].token;
	return T_ERROR;
}

static struct lexed lex_special(struct parser *p)
{
	size_t start = p->at;
	struct lexed last = { T_ERROR, { NULL, 0 } };
	for (;;) {
		char c = next_char(p);
		if (!c)
			break;
		if (!is_special(c)) {
			p->at--;
			break;
		}
		str so_far = str_sub(p->s, start, p->at);
		enum token t = special_token(so_far);
		if (t != T_ERROR) {
			last = (struct lexed){ t, so_far };
		} else if (last.token != T_ERROR) {
			p->at--;
			break;
		}
	}
	if (last.token == T_ERROR)
		last.text = arena_printf(p->arena, "error expected: keyword found '" STR_FMT "'", STR_ARG(str_sub(p->s, start, p->at)));
	return last;
}

static struct lexed lex(struct parser *p)
{
	char c;
	do
		c = next_char(p);
	while (is_blank(c));
	if (!c)
		return (struct lexed){ T_END, S("") };
	p->at--;
	if (is_special(c))
		return lex_special(p);
	size_t start = p->at, end = p->s.n;
	while (p->at < p->s.n) {
		c = p->s.p[p->at];
		if (!c || is_special(c) || is_blank(c)) {
			end = p->at;
			p->at += !c; // a NUL is eaten, as upstream's lexer does
			break;
		}
		p->at++;
	}
	str word = str_sub(p->s, start, end);
	return (struct lexed){ str_eq(word, S("in")) ? T_IN : str_eq(word, S("notin")) ? T_NOT_IN : T_WORD, word };
}

// In the place of a value `in` and `notin` are words like any other.
static struct lexed peek(struct parser *p, bool value)
{
	struct lexed t = p->tokens.v[MIN(p->next, p->tokens.n - 1)];
	if (value && (t.token == T_IN || t.token == T_NOT_IN))
		t.token = T_WORD;
	return t;
}

static struct lexed take(struct parser *p, bool value)
{
	struct lexed t = peek(p, value);
	p->next++;
	return t;
}

static bool expected(struct parser *p, str found, const char *what)
{
	return error_api(p->err, 400, "BadRequest", "found '" STR_FMT "'%s", STR_ARG(found), what);
}

static void word_add(struct parser *p, struct str_list *l, str s)
{
	*LIST_ADD(p->arena, l) = s;
}

static bool parse_words(struct parser *p, struct str_list *out)
{
	for (;;) {
		struct lexed t = take(p, true);
		if (t.token == T_WORD) {
			word_add(p, out, t.text);
			struct lexed t2 = peek(p, true);
			if (t2.token == T_CLOSE)
				return true;
			if (t2.token != T_COMMA)
				return expected(p, t2.text, ", expected: ',' or ')'");
		} else if (t.token == T_COMMA) {
			if (out->n == 0)
				word_add(p, out, S(""));
			struct lexed t2 = peek(p, true);
			if (t2.token == T_CLOSE || t2.token == T_COMMA)
				word_add(p, out, S(""));
			if (t2.token == T_CLOSE)
				return true;
		} else {
			return expected(p, t.text, ", expected: ',', or identifier");
		}
	}
}

static bool parse_values(struct parser *p, struct str_list *out)
{
	struct lexed t = take(p, true);
	if (t.token != T_OPEN)
		return expected(p, t.text, " expected: '('");
	t = peek(p, true);
	if (t.token == T_WORD || t.token == T_COMMA) {
		if (!parse_words(p, out))
			return false;
		if (take(p, true).token != T_CLOSE)
			return expected(p, t.text, ", expected: ')'");
		return true;
	}
	if (t.token == T_CLOSE) {
		take(p, true);
		word_add(p, out, S(""));
		return true;
	}
	return expected(p, t.text, ", expected: ',', ')' or identifier");
}

static bool parse_exact(struct parser *p, struct str_list *out)
{
	struct lexed t = peek(p, true);
	if (t.token == T_END || t.token == T_COMMA) {
		word_add(p, out, S(""));
		return true;
	}
	take(p, true);
	if (t.token != T_WORD)
		return expected(p, t.text, ", expected: identifier");
	word_add(p, out, t.text);
	return true;
}

// Sorted, without repetition.
static void make_set(struct str_list *l)
{
	if (l->n < 2)
		return;
	qsort(l->v, l->n, sizeof(*l->v), str_cmp_qsort);
	size_t n = 1;
	for (size_t i = 1; i < l->n; i++)
		if (!str_eq(l->v[i], l->v[n - 1]))
			l->v[n++] = l->v[i];
	l->n = n;
}

// An aggregate prints one error as it is and several in brackets.
static bool aggregate(struct arena *a, struct error *err, struct str_list *all)
{
	if (all->n == 1)
		return error_api(err, 400, "BadRequest", STR_FMT, STR_ARG(all->v[0]));
	str joined = str_list_join(a, all, ", ");
	return error_api(err, 400, "BadRequest", "[" STR_FMT "]", STR_ARG(joined));
}

static str invalid(struct arena *a, str field, str value, str detail)
{
	return arena_concat(a, field, S(": Invalid value: "), go_quote(a, value), S(": "), detail);
}

// Whether the requirement may be (upstream: NewRequirement).
static bool check_requirement(struct arena *a, const struct requirement *r, struct error *err)
{
	struct str_list all = { 0 }, why = { 0 };
	name_is_qualified(a, r->key, &why);
	if (why.n)
		*LIST_ADD(a, &all) = invalid(a, S("key"), r->key, str_list_join(a, &why, "; "));
	if ((r->op == SEL_IN || r->op == SEL_NOT_IN) && r->values.n == 0)
		*LIST_ADD(a, &all) = S("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty");
	if ((r->op == SEL_EXISTS || r->op == SEL_NOT_EXISTS) && r->values.n) {
		str v = str_list_join(a, &r->values, "\",\"");
		*LIST_ADD(a, &all) = arena_concat(a, S("values: Invalid value: [\""), v, S("\"]: values set must be empty for exists and does not exist"));
	}
	for (size_t i = 0; (r->op == SEL_GT || r->op == SEL_LT) && i < r->values.n; i++) {
		int64_t n;
		if (!str_to_i64(r->values.v[i], &n))
			*LIST_ADD(a, &all) = invalid(a, arena_printf(a, "values[%zu]", i), r->values.v[i],
			                             S("for 'Gt', 'Lt' operators, the value must be an integer"));
	}
	for (size_t i = 0; i < r->values.n; i++) {
		why = (struct str_list){ 0 };
		name_is_label_value(a, r->values.v[i], &why);
		if (why.n)
			*LIST_ADD(a, &all) = invalid(a, arena_printf(a, "values[%zu][" STR_FMT "]", i, STR_ARG(r->key)), r->values.v[i],
			                             str_list_join(a, &why, "; "));
	}
	return all.n == 0 || aggregate(a, err, &all);
}

static bool parse_requirement(struct parser *p, struct requirement *r)
{
	struct lexed t = take(p, true);
	bool negated = t.token == T_NOT;
	if (negated)
		t = take(p, true);
	if (t.token != T_WORD)
		return expected(p, t.text, ", expected: identifier");
	struct str_list why = { 0 };
	name_is_qualified(p->arena, t.text, &why);
	if (why.n) {
		str detail = invalid(p->arena, S("<nil>"), t.text, str_list_join(p->arena, &why, "; "));
		return error_api(p->err, 400, "BadRequest", STR_FMT, STR_ARG(detail));
	}
	r->key = t.text;
	struct lexed after = peek(p, true);
	if (negated) {
		r->op = SEL_NOT_EXISTS;
		return check_requirement(p->arena, r, p->err);
	}
	if (after.token == T_END || after.token == T_COMMA) {
		r->op = SEL_EXISTS;
		return check_requirement(p->arena, r, p->err);
	}
	t = take(p, false);
	switch (t.token) {
	case T_IN: r->op = SEL_IN; break;
	case T_NOT_IN: r->op = SEL_NOT_IN; break;
	case T_EQ:
	case T_DOUBLE_EQ: r->op = SEL_EQ; break;
	case T_NE: r->op = SEL_NE; break;
	case T_GT: r->op = SEL_GT; break;
	case T_LT: r->op = SEL_LT; break;
	default: return expected(p, t.text, ", expected: in, notin, =, ==, !=, gt, lt");
	}
	bool ok = r->op == SEL_IN || r->op == SEL_NOT_IN ? parse_values(p, &r->values) : parse_exact(p, &r->values);
	if (!ok)
		return false;
	make_set(&r->values);
	return check_requirement(p->arena, r, p->err);
}

// Requirements stand by key; equal keys keep their order.
static void sort_requirements(struct selector *s)
{
	for (size_t i = 1; i < s->n; i++) {
		struct requirement r = s->v[i];
		size_t j = i;
		for (; j > 0 && str_cmp(s->v[j - 1].key, r.key) > 0; j--)
			s->v[j] = s->v[j - 1];
		s->v[j] = r;
	}
}

bool selector_parse(struct arena *a, str text, struct selector *out, struct error *err)
{
	// Sorting below is quadratic; nobody needs that many requirements.
	enum { MOST = 1000 };
	struct parser p = { .arena = a, .s = text, .err = err };
	*out = (struct selector){ 0 };
	struct lexed t;
	do {
		t = lex(&p);
		*LIST_ADD(a, &p.tokens) = t;
	} while (t.token != T_END);
	for (;;) {
		t = peek(&p, true);
		if (t.token == T_END)
			break;
		if (t.token != T_WORD && t.token != T_NOT)
			return expected(&p, t.text, ", expected: !, identifier, or 'end of string'");
		struct requirement r = { 0 };
		if (!parse_requirement(&p, &r))
			return error_wrap(err, "unable to parse requirement");
		if (out->n == MOST)
			return error_api(err, 400, "BadRequest", "more than %d requirements in a selector", MOST);
		*LIST_ADD(a, out) = r;
		t = take(&p, true);
		if (t.token == T_END)
			break;
		if (t.token != T_COMMA)
			return expected(&p, t.text, ", expected: ',' or 'end of string'");
		t = peek(&p, true);
		if (t.token != T_WORD && t.token != T_NOT)
			return expected(&p, t.text, ", expected: identifier after ','");
	}
	sort_requirements(out);
	return true;
}

bool selector_from_label_selector(struct arena *a, const struct meta_v1_LabelSelector *s, struct selector *out, struct error *err)
{
	*out = (struct selector){ .nothing = s == NULL };
	if (!s)
		return true;
	for (size_t i = 0; i < s->matchLabels.n; i++) {
		struct requirement r = { .key = s->matchLabels.v[i].key, .op = SEL_EQ };
		*LIST_ADD(a, &r.values) = s->matchLabels.v[i].value;
		if (!check_requirement(a, &r, err))
			return false;
		*LIST_ADD(a, out) = r;
	}
	for (size_t i = 0; i < s->matchExpressions.n; i++) {
		const struct meta_v1_LabelSelectorRequirement *e = &s->matchExpressions.v[i];
		struct requirement r = { .key = e->key, .values = e->values };
		if (str_eq(e->operator, S("In")))
			r.op = SEL_IN;
		else if (str_eq(e->operator, S("NotIn")))
			r.op = SEL_NOT_IN;
		else if (str_eq(e->operator, S("Exists")))
			r.op = SEL_EXISTS;
		else if (str_eq(e->operator, S("DoesNotExist")))
			r.op = SEL_NOT_EXISTS;
		else
			return error_api(err, 400, "BadRequest", STR_FMT " is not a valid label selector operator", STR_ARG(go_quote(a, e->operator)));
		if (!check_requirement(a, &r, err))
			return false;
		*LIST_ADD(a, out) = r;
	}
	sort_requirements(out);
	return true;
}

struct selector selector_from_map(struct arena *a, const struct str_map *m)
{
	struct selector s = { 0 };
	for (size_t i = 0; m && i < m->n; i++) {
		struct requirement *r = LIST_ADD(a, &s);
		r->key = m->v[i].key;
		r->op = SEL_EQ;
		*LIST_ADD(a, &r->values) = m->v[i].value;
	}
	sort_requirements(&s);
	return s;
}

static bool requirement_matches(const struct requirement *r, const struct str_map *labels)
{
	str value;
	bool there = labels && str_map_find(labels, r->key, &value);
	switch (r->op) {
	case SEL_EXISTS: return there;
	case SEL_NOT_EXISTS: return !there;
	case SEL_IN:
	case SEL_EQ: return there && str_list_has(&r->values, value);
	case SEL_NOT_IN:
	case SEL_NE: return !there || !str_list_has(&r->values, value);
	case SEL_GT:
	case SEL_LT: {
		int64_t have, want;
		if (!there || r->values.n != 1 || !str_to_i64(value, &have) || !str_to_i64(r->values.v[0], &want))
			return false;
		return r->op == SEL_GT ? have > want : have < want;
	}
	}
	return false;
}

bool selector_matches(const struct selector *s, const struct str_map *labels)
{
	if (s->nothing)
		return false;
	for (size_t i = 0; i < s->n; i++)
		if (!requirement_matches(&s->v[i], labels))
			return false;
	return true;
}

str selector_text(struct arena *a, const struct selector *s)
{
	struct str_list parts = { 0 };
	static const char *const op_text[] = {
		[SEL_IN] = " in (", [SEL_NOT_IN] = " notin (", [SEL_EXISTS] = "", [SEL_NOT_EXISTS] = "", [SEL_EQ] = "=", [SEL_NE] = "!=",
		[SEL_GT] = ">", [SEL_LT] = "<",
	};
	for (size_t i = 0; i < s->n; i++) {
		const struct requirement *r = &s->v[i];
		struct str_list values = { 0 };
		for (size_t j = 0; j < r->values.n; j++)
			*LIST_ADD(a, &values) = r->values.v[j];
		if (values.n > 1)
			qsort(values.v, values.n, sizeof(*values.v), str_cmp_qsort);
		*LIST_ADD(a, &parts) = arena_concat(a, r->op == SEL_NOT_EXISTS ? S("!") : S(""), r->key, str_c(op_text[r->op]),
		                                    str_list_join(a, &values, ","), r->op <= SEL_NOT_IN ? S(")") : S(""));
	}
	return str_list_join(a, &parts, ",");
}

bool selector_empty(const struct selector *s)
{
	return !s->nothing && s->n == 0;
}

// --- Field selectors ---

static bool unescape(struct arena *a, str s, str *out, struct error *err)
{
	char *to = arena_alloc(a, s.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c == ',' || c == '=')
			return error_api(err, 400, "BadRequest", "invalid field selector: unescaped character in value: %d", c);
		if (c != '\\') {
			to[n++] = c;
			continue;
		}
		if (++i == s.n)
			return error_api(err, 400, "BadRequest", "invalid field selector: invalid escape sequence: \\");
		c = s.p[i];
		if (c != '\\' && c != ',' && c != '=')
			return error_api(err, 400, "BadRequest", "invalid field selector: invalid escape sequence: \\%c", c);
		to[n++] = c;
	}
	*out = str_n(to, n);
	return true;
}

static bool parse_term(struct arena *a, str text, str term, struct field_selector *out, struct error *err)
{
	for (size_t i = 0; i < term.n; i++) {
		str rest = str_from(term, i);
		struct field_term t = { .path = str_sub(term, 0, i) };
		if (str_cut_prefix(&rest, S("!=")))
			t.not_equal = true;
		else if (!str_cut_prefix(&rest, S("==")) && !str_cut_prefix(&rest, S("=")))
			continue;
		if (!unescape(a, rest, &t.value, err))
			return false;
		*LIST_ADD(a, out) = t;
		return true;
	}
	return error_api(err, 400, "BadRequest", "invalid selector: '" STR_FMT "'; can't understand '" STR_FMT "'", STR_ARG(text), STR_ARG(term));
}

bool field_selector_parse(struct arena *a, str text, struct field_selector *out, struct error *err)
{
	*out = (struct field_selector){ 0 };
	struct str_list terms = { 0 };
	size_t start = 0;
	for (size_t i = 0; i <= text.n; i++) {
		if (i < text.n && text.p[i] == '\\') {
			i++; // what follows is data; at the end of the text the loop's test still holds
			if (i < text.n)
				continue;
		}
		if (i >= text.n || text.p[i] == ',') {
			*LIST_ADD(a, &terms) = str_sub(text, start, i);
			start = i + 1;
		}
	}
	if (terms.n > 1)
		qsort(terms.v, terms.n, sizeof(*terms.v), str_cmp_qsort);
	for (size_t i = 0; i < terms.n; i++)
		if (terms.v[i].n && !parse_term(a, text, terms.v[i], out, err))
			return false;
	return true;
}
