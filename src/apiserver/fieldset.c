#include "apiserver/fieldset.h"

static int rank(str pe)
{
	switch (pe.n ? pe.p[0] : 0) {
	case 'f': return 0;
	case 'k': return 1;
	case 'v': return 2;
	default: return 3;
	}
}

static int order(str x, str y)
{
	int rx = rank(x), ry = rank(y);
	return rx != ry ? rx - ry : str_cmp(x, y);
}

static size_t place(const struct fieldset *s, str pe, bool *found)
{
	size_t low = 0, high = s->n;
	*found = false;
	while (low < high) {
		size_t mid = (low + high) / 2;
		int c = order(pe, s->v[mid].pe);
		if (c == 0) {
			*found = true;
			return mid;
		}
		if (c < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static struct fieldset_entry *entry(struct arena *a, struct fieldset *s, str pe)
{
	bool found;
	size_t at = place(s, pe, &found);
	if (found)
		return &s->v[at];
	LIST_ADD(a, s);
	memmove(&s->v[at + 1], &s->v[at], (s->n - 1 - at) * sizeof(s->v[0]));
	s->v[at] = (struct fieldset_entry){ .pe = pe };
	return &s->v[at];
}

void fieldset_add(struct arena *a, struct fieldset *s, str pe) { entry(a, s, pe)->member = true; }

void fieldset_put(struct arena *a, struct fieldset *s, str pe, const struct fieldset *child)
{
	struct fieldset_entry *e = entry(a, s, pe);
	if (e->child.n)
		fieldset_merge(a, &e->child, child);
	else
		e->child = *child;
}

void fieldset_remove(struct fieldset *s, str pe)
{
	bool found;
	size_t at = place(s, pe, &found);
	if (!found)
		return;
	memmove(&s->v[at], &s->v[at + 1], (s->n - at - 1) * sizeof(s->v[0]));
	s->n--;
}

void fieldset_unmember(struct fieldset *s, str pe)
{
	bool found;
	size_t at = place(s, pe, &found);
	if (found)
		s->v[at].member = false;
}

struct fieldset *fieldset_child(struct fieldset *s, str pe)
{
	bool found;
	size_t at = place(s, pe, &found);
	return found ? &s->v[at].child : NULL;
}

bool fieldset_has(const struct fieldset *s, str pe)
{
	bool found;
	place(s, pe, &found);
	return found;
}

static void copy(struct arena *a, struct fieldset *to, const struct fieldset *from)
{
	for (size_t i = 0; i < from->n; i++) {
		struct fieldset_entry *e = LIST_ADD(a, to);
		*e = (struct fieldset_entry){ .pe = from->v[i].pe, .member = from->v[i].member };
		copy(a, &e->child, &from->v[i].child);
	}
}

void fieldset_merge(struct arena *a, struct fieldset *to, const struct fieldset *from)
{
	if (to->n == 0) {
		*to = (struct fieldset){ 0 };
		copy(a, to, from);
		return;
	}
	for (size_t i = 0; i < from->n; i++) {
		struct fieldset_entry *e = entry(a, to, from->v[i].pe);
		e->member |= from->v[i].member;
		fieldset_merge(a, &e->child, &from->v[i].child);
	}
}

void fieldset_subtract(struct fieldset *s, const struct fieldset *less, bool below)
{
	size_t n = 0;
	for (size_t i = 0; i < s->n; i++) {
		struct fieldset_entry e = s->v[i];
		bool found;
		size_t at = place(less, e.pe, &found);
		if (found) {
			if (less->v[at].member) {
				e.member = false;
				if (below)
					e.child.n = 0;
			}
			fieldset_subtract(&e.child, &less->v[at].child, below);
		}
		if (e.member || e.child.n)
			s->v[n++] = e;
	}
	s->n = n;
}

bool fieldset_intersects(const struct fieldset *x, const struct fieldset *y)
{
	for (size_t i = 0; i < x->n; i++) {
		bool found;
		size_t at = place(y, x->v[i].pe, &found);
		if (found && ((x->v[i].member && y->v[at].member) || fieldset_intersects(&x->v[i].child, &y->v[at].child)))
			return true;
	}
	return false;
}

static void read_set(struct arena *a, const struct value *v, struct fieldset *out, int depth)
{
	if (!value_is(v, V_OBJECT) || depth > 100)
		return;
	for (size_t i = 0; i < v->o.n; i++) {
		str key = v->o.v[i].key;
		if (str_eq(key, S(".")) || key.n < 2 || key.p[1] != ':')
			continue;
		const struct value *child = v->o.v[i].value;
		struct fieldset_entry *e = entry(a, out, key);
		e->member = !value_is(child, V_OBJECT) || child->o.n == 0 || value_get(child, S("."));
		read_set(a, child, &e->child, depth + 1);
	}
}

bool fieldset_read(struct arena *a, str json, struct fieldset *out)
{
	struct error err = { 0 };
	struct value *v = json_parse(a, json, NULL, &err);
	*out = (struct fieldset){ 0 };
	read_set(a, v, out, 0);
	return v != NULL;
}

static void write_children(struct buf *to, const struct fieldset *s, bool comma)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct fieldset_entry *e = &s->v[i];
		if (comma || i)
			buf_add_char(to, ',');
		json_write_string(to, e->pe, false);
		buf_add(to, S(":{"));
		if (e->child.n) {
			if (e->member)
				buf_add(to, S("\".\":{}"));
			write_children(to, &e->child, e->member);
		}
		buf_add_char(to, '}');
	}
}

void fieldset_write(struct buf *to, const struct fieldset *s)
{
	buf_add_char(to, '{');
	write_children(to, s, false);
	buf_add_char(to, '}');
}

// --- The schema -----------------------------------------------------------------------------------------------------------------

struct fieldtype fieldtype_root(const struct message_desc *m) { return (struct fieldtype){ .message = m }; }

static struct fieldtype of_field(const struct field_desc *f)
{
	struct fieldtype t = { .field = f, .message = schema_field_message(f) };
	switch (f->label) {
	case FL_LIST:
		t.list = f->flags & (FF_SET | FF_MAP_LIST);
		t.atomic = !t.list;
		break;
	case FL_MAP:
		t.map = true;
		t.atomic = f->flags & FF_ATOMIC;
		break;
	default:
		t.atomic = !t.message || f->type != FT_MESSAGE || (f->flags & FF_ATOMIC) || (t.message->flags & MF_ATOMIC);
	}
	return t;
}

struct fieldtype fieldtype_member(const struct fieldtype *t, str name)
{
	if (t->map || !t->message)
		return fieldtype_element(t);
	const struct field_desc *f = schema_field_named(t->message, name);
	// Something that the schema does not know has no structure.
	return f ? of_field(f) : (struct fieldtype){ .atomic = true };
}

struct fieldtype fieldtype_element(const struct fieldtype *t)
{
	bool message = t->field && t->field->type == FT_MESSAGE && t->message;
	return (struct fieldtype){ .message = message ? t->message : NULL, .atomic = !message || (t->message->flags & MF_ATOMIC) };
}

str fieldset_name(struct arena *a, str name) { return arena_concat(a, S("f:"), name); }

str fieldset_element(struct arena *a, const struct fieldtype *t, const struct value *item)
{
	if (!(t->field->flags & FF_MAP_LIST))
		return arena_concat(a, S("v:"), json_text(a, item, JSON_SORT));
	// The keys, sorted by name; one that is left out has its default.
	struct value *keys = value_object(a);
	for (str rest = schema_text(t->field->list_keys), key; str_next(&rest, ',', &key);) {
		struct value *v = value_get(item, key);
		if (!v && t->message) {
			const struct field_desc *f = schema_field_named(t->message, key);
			struct error err = { 0 };
			if (f && f->default_)
				v = json_parse(a, schema_text(f->default_), NULL, &err);
		}
		if (v)
			value_set(a, keys, key, v);
	}
	return arena_concat(a, S("k:"), json_text(a, keys, JSON_SORT));
}
