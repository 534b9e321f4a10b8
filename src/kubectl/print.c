#include <stdlib.h>

#include "base/heap.h"
#include "kubectl/cmd.h"

// --- Columns ---

enum { MAX_COLUMNS = 64 };

struct cell {
	const char *p;
	size_t n;
	int width; // in characters
};

struct line {
	size_t first, n; // cells
};

struct layout {
	struct table *t;
	const struct line *lines;
	const struct cell *cells;
	int widths[MAX_COLUMNS];
	int nwidths;
	FILE *to;
};

void kc_table_init(struct table *t)
{
	*t = (struct table){ .min_width = 6, .padding = 3, .remember = true };
}

void kc_table_free(struct table *t)
{
	buf_free(&t->text);
}

void kc_table_row(struct table *t)
{
	if (t->text.n)
		buf_add_char(&t->text, '\n');
	t->in_row = false;
}

void kc_table_cell(struct table *t, str text)
{
	if (t->in_row)
		buf_add_char(&t->text, '\t');
	t->in_row = true;
	buf_add(&t->text, text);
}

static int characters(const char *p, size_t n)
{
	int w = 0;
	for (size_t i = 0; i < n; i++)
		w += ((unsigned char)p[i] & 0xc0) != 0x80;
	return w;
}

static void write_lines(struct layout *l, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		const struct line *line = &l->lines[i];
		for (size_t j = 0; j < line->n; j++) {
			const struct cell *c = &l->cells[line->first + j];
			fwrite(c->p, 1, c->n, l->to);
			if (j + 1 < line->n && (int)j < l->nwidths)
				fprintf(l->to, "%*s", MAX(l->widths[j] - c->width, 0), "");
		}
		fputc('\n', l->to);
	}
}

// A column block is a run of lines that have a cell in this column; the columns to the right of it are laid out within.
static void lay_out(struct layout *l, size_t from, size_t to)
{
	int column = l->nwidths;
	for (size_t i = from; i < to; i++) {
		if (column >= MAX_COLUMNS || (size_t)column + 1 >= l->lines[i].n)
			continue;
		write_lines(l, from, i);
		from = i;
		int width = l->t->min_width;
		for (; i < to && (size_t)column + 1 < l->lines[i].n; i++)
			width = MAX(width, l->cells[l->lines[i].first + (size_t)column].width + l->t->padding);
		if (l->t->remember)
			width = l->t->widths[column] = MAX(width, l->t->widths[column]);
		l->widths[l->nwidths++] = width;
		lay_out(l, from, i);
		l->nwidths--;
		from = i;
	}
	write_lines(l, from, to);
}

void kc_table_flush(struct table *t, FILE *to)
{
	struct {
		struct line *v;
		size_t n;
	} lines = { 0 };
	struct {
		struct cell *v;
		size_t n;
	} cells = { 0 };
	_cleanup_arena_ struct arena *a = arena_new(0);
	str rest = buf_str(&t->text), text, cell;
	str_cut_suffix(&rest, S("\n"));
	if (t->text.n) {
		while (str_next(&rest, '\n', &text)) {
			struct line *line = LIST_ADD(a, &lines);
			line->first = cells.n;
			while (str_next(&text, '\t', &cell)) {
				*LIST_ADD(a, &cells) = (struct cell){ cell.p, cell.n, characters(cell.p, cell.n) };
				line->n++;
			}
		}
		struct layout l = { .t = t, .lines = lines.v, .cells = cells.v, .to = to };
		lay_out(&l, 0, lines.n);
	}
	buf_clear(&t->text);
	t->in_row = false;
	fflush(to);
}

// --- Whole objects ---

void kc_print_yaml(FILE *to, const struct value *v)
{
	_cleanup_buf_ struct buf b = { 0 };
	yaml_write(&b, v);
	fwrite(b.p, 1, b.n, to);
}

void kc_print_json(FILE *to, const struct value *v)
{
	_cleanup_buf_ struct buf b = { 0 };
	json_write(&b, v, JSON_INDENT4 | JSON_SORT | JSON_ESCAPE_HTML);
	fwrite(b.p, 1, b.n, to);
	fputc('\n', to);
}

void kc_strip_managed_fields(struct value *obj)
{
	struct value *meta = value_get(obj, S("metadata")), *items = value_get(obj, S("items"));
	if (value_is(meta, V_OBJECT))
		value_del(meta, S("managedFields"));
	for (size_t i = 0; value_is(items, V_ARRAY) && i < items->a.n; i++)
		kc_strip_managed_fields(items->a.v[i]);
}

bool is_object_format(str format)
{
	static const char *const names[] = { "yaml", "json", "name" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eqc(format, names[i]))
			return true;
	return str_has_prefix(format, S("jsonpath")) || str_has_prefix(format, S("go-template")) ||
	       str_has_prefix(format, S("custom-columns"));
}

static void print_name(struct kctl *k, FILE *to, const struct value *obj)
{
	str group, version, gv = value_get_str(obj, S("apiVersion"));
	str kind = kc_lower(k->a, value_get_str(obj, S("kind")));
	const struct value *items = value_get(obj, S("items"));
	if (value_is(items, V_ARRAY)) {
		for (size_t i = 0; i < items->a.n; i++)
			print_name(k, to, items->a.v[i]);
		return;
	}
	str name = value_str(value_path(obj, S("metadata"), S("name")));
	if (str_split(gv, '/', &group, &version))
		fprintf(to, STR_FMT "." STR_FMT "/" STR_FMT "\n", STR_ARG(kind), STR_ARG(group), STR_ARG(name));
	else
		fprintf(to, STR_FMT "/" STR_FMT "\n", STR_ARG(kind), STR_ARG(name));
}

// NAME:.metadata.name,IMAGE:.spec.containers[*].image
static bool print_custom_columns(struct kctl *k, FILE *to, str spec, const struct value *obj, struct error *err)
{
	struct table t;
	kc_table_init(&t);
	t.padding = 3;
	const struct value *items = value_get(obj, S("items"));
	if (!flag_bool(k, "no-headers")) {
		kc_table_row(&t);
		for (str rest = spec, part, head, path; str_next(&rest, ',', &part);) {
			str_split(part, ':', &head, &path);
			kc_table_cell(&t, head);
		}
	}
	size_t n = value_is(items, V_ARRAY) ? items->a.n : 1;
	bool ok = true;
	for (size_t i = 0; i < n && ok; i++) {
		const struct value *item = value_is(items, V_ARRAY) ? items->a.v[i] : obj;
		kc_table_row(&t);
		for (str rest = spec, part, head, path; ok && str_next(&rest, ',', &part);) {
			if (!str_split(part, ':', &head, &path)) {
				ok = error_set(err,
				               "unexpected custom-columns spec: " STR_FMT
				               ", expected <header>:<json-path-expr>",
				               STR_ARG(part));
				break;
			}
			char *text = NULL;
			size_t size = 0;
			FILE *mem = open_memstream(&text, &size);
			if (path.n && path.p[0] != '{')
				path = arena_concat(k->a, S("{"), path.p[0] == '.' ? S("") : S("."), path, S("}"));
			ok = jsonpath_print(k, mem, path, item, err);
			fclose(mem);
			str cell = arena_dup(k->a, str_n(text, size));
			free(text);
			for (size_t c = 0; c < cell.n; c++)
				if (cell.p[c] == ' ')
					((char *)cell.p)[c] = ',';
			kc_table_cell(&t, cell.n ? cell : S("<none>"));
		}
	}
	if (ok)
		kc_table_flush(&t, to);
	kc_table_free(&t);
	return ok;
}

bool kc_print_object(struct kctl *k, FILE *to, str format, const struct value *obj, struct error *err)
{
	str rest = format;
	if (str_eqc(format, "yaml"))
		kc_print_yaml(to, obj);
	else if (str_eqc(format, "json"))
		kc_print_json(to, obj);
	else if (str_eqc(format, "name"))
		print_name(k, to, obj);
	else if (str_cut_prefix(&rest, S("jsonpath=")))
		return jsonpath_print(k, to, rest, obj, err);
	else if (str_cut_prefix(&rest, S("custom-columns=")))
		return print_custom_columns(k, to, rest, obj, err);
	else if (str_has_prefix(format, S("go-template")) || str_has_prefix(format, S("jsonpath")) ||
	         str_has_prefix(format, S("custom-columns")))
		return error_set(err, "output format \"" STR_FMT "\" is not supported by this client", STR_ARG(format));
	else
		return error_set(err,
		                 "unable to match a printer suitable for the output format \"" STR_FMT
		                 "\", allowed formats are: custom-columns,json,jsonpath,name,wide,yaml",
		                 STR_ARG(format));
	return true;
}

bool kc_print_done(struct kctl *k, const struct target *t, const struct value *obj, const char *done, struct error *err)
{
	str format = flag_text(k, "output");
	if (str_eqc(format, "name")) {
		printf(STR_FMT "\n", STR_ARG(target_label(k, t)));
	} else if (format.n) {
		struct value *copy = obj ? value_clone(k->a, obj) : value_object(k->a);
		if (!flag_bool(k, "show-managed-fields"))
			kc_strip_managed_fields(copy);
		return kc_print_object(k, stdout, format, copy, err);
	} else {
		str dry = flag_text(k, "dry-run");
		const char *how = str_eqc(dry, "server")   ? " (server dry run)"
		                  : str_eqc(dry, "client") ? " (dry run)"
		                                           : "";
		printf(STR_FMT " %s%s\n", STR_ARG(target_label(k, t)), done, how);
	}
	return true;
}
