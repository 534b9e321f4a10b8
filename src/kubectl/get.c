// kubectl get: rows come from the server as Tables; only whole-object formats fetch objects.
#include <stdlib.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/heap.h"
#include "kubectl/cmd.h"

struct view {
	struct kctl *k;
	struct table table;
	bool wide, with_namespace, with_kind, headers;
	const struct rtype *type;
	struct value *columns; // of the table being printed
	bool header_done, wrote;
};

static str cell_text(struct arena *a, const struct value *v)
{
	_cleanup_buf_ struct buf raw = { 0 }, b = { 0 };
	kc_write_plain(&raw, v);
	str s = buf_str(&raw);
	size_t end = 0;
	while (end < s.n && !strchr("\f\n\r", s.p[end]))
		end++;
	for (size_t i = 0; i < end; i++) {
		// Control characters could move the cursor or forge lines.
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			buf_add(&b, s.p[i] == 0x1b ? S("^[") : S(" "));
		else
			buf_add_char(&b, s.p[i]);
	}
	if (end < s.n)
		buf_add(&b, S("..."));
	return arena_dup(a, buf_str(&b));
}

static bool column_shown(const struct view *v, size_t i)
{
	return v->wide || kc_value_i64(value_get(v->columns->a.v[i], S("priority")), 0) == 0;
}

static str label_heading(struct arena *a, str label)
{
	ptrdiff_t slash = str_rfind_char(label, '/');
	return kc_upper(a, str_from(label, (size_t)(slash + 1)));
}

static void print_header(struct view *v)
{
	struct kctl *k = v->k;
	if (v->header_done)
		return;
	v->header_done = true;
	if (!v->headers)
		return;
	kc_table_row(&v->table);
	if (flag_bool(k, "output-watch-events"))
		kc_table_cell(&v->table, S("EVENT"));
	if (v->with_namespace)
		kc_table_cell(&v->table, S("NAMESPACE"));
	for (size_t i = 0; i < v->columns->a.n; i++)
		if (column_shown(v, i))
			kc_table_cell(&v->table, kc_upper(k->a, value_get_str(v->columns->a.v[i], S("name"))));
	const struct str_list *labels = flag_list(k, "label-columns");
	for (size_t i = 0; i < labels->n; i++)
		kc_table_cell(&v->table, label_heading(k->a, labels->v[i]));
	if (flag_bool(k, "show-labels"))
		kc_table_cell(&v->table, S("LABELS"));
}

static void print_row(struct view *v, struct arena *a, const struct value *row, str event)
{
	struct kctl *k = v->k;
	const struct value *cells = value_get(row, S("cells")), *meta = value_path(row, S("object"), S("metadata"));
	const struct value *labels = value_get(meta, S("labels"));
	if (!value_is(cells, V_ARRAY))
		return;
	print_header(v);
	v->wrote = true;
	kc_table_row(&v->table);
	if (event.n)
		kc_table_cell(&v->table, event);
	if (v->with_namespace)
		kc_table_cell(&v->table, value_get_str(meta, S("namespace")));
	for (size_t i = 0; i < cells->a.n && i < v->columns->a.n; i++) {
		if (!column_shown(v, i))
			continue;
		str text = cell_text(a, cells->a.v[i]);
		const struct value *column = v->columns->a.v[i];
		if (v->with_kind && str_eqc(value_get_str(column, S("format")), "name"))
			text = arena_concat(a, kc_type_name(k, v->type), S("/"), text);
		kc_table_cell(&v->table, text);
	}
	const struct str_list *wanted = flag_list(k, "label-columns");
	for (size_t i = 0; i < wanted->n; i++)
		kc_table_cell(&v->table, value_get_str(labels, wanted->v[i]));
	if (flag_bool(k, "show-labels"))
		kc_table_cell(&v->table, kc_labels_text(a, labels));
}

// A server that does not make Tables of a kind gives objects: name and age are all that is known of them.
static struct value *table_of_objects(struct kctl *k, struct value *answer)
{
	struct value *table = value_object(k->a), *columns = value_array(k->a), *rows = value_array(k->a),
	             *items = value_get(answer, S("items"));
	static const char *const names[] = { "Name", "Age" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct value *c = value_object(k->a);
		value_set(k->a, c, S("name"), value_string(k->a, str_c(names[i])));
		if (i == 0)
			value_set(k->a, c, S("format"), value_string(k->a, S("name")));
		value_append(k->a, columns, c);
	}
	size_t n = value_is(items, V_ARRAY) ? items->a.n : items ? 0 : 1;
	for (size_t i = 0; i < n; i++) {
		struct value *obj = items ? items->a.v[i] : answer, *row = value_object(k->a),
		             *cells = value_array(k->a);
		value_append(k->a, cells, value_string(k->a, value_str(value_path(obj, S("metadata"), S("name")))));
		value_append(k->a, cells,
		             value_string(k->a, kc_age_of(k->a, value_str(value_path(obj, S("metadata"),
		                                                                     S("creationTimestamp"))))));
		value_set(k->a, row, S("cells"), cells);
		value_set(k->a, row, S("object"), obj);
		value_append(k->a, rows, row);
	}
	value_set(k->a, table, S("kind"), value_string(k->a, S("Table")));
	value_set(k->a, table, S("columnDefinitions"), columns);
	value_set(k->a, table, S("rows"), rows);
	if (value_get(answer, S("metadata")))
		value_set(k->a, table, S("metadata"), value_get(answer, S("metadata")));
	return table;
}

// The Table of a collection or of one object, all pages of it.
static struct value *fetch_table(struct kctl *k, const struct target *t, struct error *err)
{
	bool one = t->name.n > 0;
	struct value *all = NULL;
	str next = { 0 };
	int64_t chunk = 500;
	str_to_i64(flag_text(k, "chunk-size"), &chunk);
	bool whole = flag_text(k, "sort-by").n > 0;
	do {
		_cleanup_buf_ struct buf path = { 0 };
		buf_add(&path, target_path(k, t));
		char separator = '?';
		str query = one ? (str){ 0 }
		                : kc_selector_query(k, flag_text(k, "selector"), flag_text(k, "field-selector"));
		if (query.n) {
			buf_printf(&path, "%c" STR_FMT, separator, STR_ARG(query));
			separator = '&';
		}
		if (whole) {
			buf_printf(&path, "%cincludeObject=Object", separator);
			separator = '&';
		}
		if (!one && chunk > 0 && !whole)
			buf_printf(&path, "%climit=%lld%s" STR_FMT, separator, (long long)chunk,
			           next.n ? "&continue=" : "", STR_ARG(percent_encode(k->a, next)));
		str text;
		if (!api_call(k, k->a, "GET", arena_dup(k->a, buf_str(&path)), (str){ 0 }, (str){ 0 }, S(TABLE_TYPE),
		              &text, err))
			return NULL;
		struct value *page = json_parse(k->a, text, NULL, err);
		if (!page)
			return NULL;
		next = value_str(value_path(page, S("metadata"), S("continue")));
		if (!str_eqc(value_get_str(page, S("kind")), "Table"))
			page = table_of_objects(k, page);
		struct value *rows = value_get(page, S("rows"));
		if (!all)
			all = page;
		else
			for (size_t i = 0; value_is(rows, V_ARRAY) && i < rows->a.n; i++)
				value_append(k->a, value_get(all, S("rows")), rows->a.v[i]);
	} while (next.n);
	if (!value_is(value_get(all, S("columnDefinitions")), V_ARRAY))
		value_set(k->a, all, S("columnDefinitions"), value_array(k->a));
	if (!value_is(value_get(all, S("rows")), V_ARRAY))
		value_set(k->a, all, S("rows"), value_array(k->a));
	return all;
}

struct sort_row {
	struct value *row;
	const struct value *key;
	size_t place;
};

static int by_sort_key(const void *x, const void *y)
{
	const struct sort_row *r = x, *s = y;
	int c = 0;
	if (!r->key || !s->key)
		c = (r->key != NULL) - (s->key != NULL);
	else if (r->key->kind == V_STRING && s->key->kind == V_STRING)
		c = str_cmp(r->key->s, s->key->s);
	else
		c = kc_value_i64(r->key, 0) < kc_value_i64(s->key, 0)
		            ? -1
		            : kc_value_i64(r->key, 0) > kc_value_i64(s->key, 0);
	return c ? c : r->place < s->place ? -1 : 1;
}

static void sort_rows(struct kctl *k, struct value *rows)
{
	str path = flag_text(k, "sort-by");
	if (!path.n || rows->a.n < 2)
		return;
	struct error ignored;
	struct sort_row *v = ARENA_ARRAY(k->a, struct sort_row, rows->a.n);
	for (size_t i = 0; i < rows->a.n; i++) {
		struct value *obj = value_get(rows->a.v[i], S("object"));
		v[i] = (struct sort_row){ rows->a.v[i], jsonpath_first(k, path, obj ? obj : rows->a.v[i], &ignored),
			                  i };
	}
	qsort(v, rows->a.n, sizeof(*v), by_sort_key);
	for (size_t i = 0; i < rows->a.n; i++)
		rows->a.v[i] = v[i].row;
}

static void begin_view(struct view *v, const struct rtype *t, bool with_kind)
{
	v->type = t;
	v->with_kind = with_kind;
	v->with_namespace = flag_bool(v->k, "all-namespaces") && t->namespaced;
	v->header_done = false;
}

static bool same_type(const struct rtype *x, const struct rtype *y)
{
	return str_eq(x->resource, y->resource) && str_eq(x->group, y->group) && str_eq(x->version, y->version);
}

static bool print_tables(struct kctl *k, const struct targets *list, struct error *err)
{
	struct view v = { .k = k,
		          .wide = str_eqc(flag_text(k, "output"), "wide"),
		          .headers = !flag_bool(k, "no-headers") };
	kc_table_init(&v.table);
	bool kinds = flag_bool(k, "show-kind"), namespaced = !flag_bool(k, "all-namespaces"), any = false;
	for (size_t i = 1; i < list->n; i++)
		kinds = kinds || !same_type(list->v[0].type, list->v[i].type);
	const struct rtype *last = NULL;
	for (size_t i = 0; i < list->n; i++) {
		const struct target *t = &list->v[i];
		struct error why = { 0 };
		namespaced = namespaced && t->type->namespaced;
		struct value *table = fetch_table(k, t, &why);
		if (!table) {
			if (!(error_is(&why, "NotFound") && flag_bool(k, "ignore-not-found")))
				kc_report(k, &why);
			continue;
		}
		struct value *rows = value_get(table, S("rows"));
		if (rows->a.n == 0)
			continue;
		if (!last || !same_type(last, t->type)) {
			kc_table_flush(&v.table, stdout);
			memset(v.table.widths, 0, sizeof(v.table.widths));
			if (any && v.headers)
				putchar('\n');
			begin_view(&v, t->type, kinds);
			last = t->type;
		}
		sort_rows(k, rows);
		v.columns = value_get(table, S("columnDefinitions"));
		for (size_t j = 0; j < rows->a.n; j++)
			print_row(&v, k->a, rows->a.v[j], (str){ 0 });
		any = true;
	}
	kc_table_flush(&v.table, stdout);
	kc_table_free(&v.table);
	if (!any && !k->failed && !flag_bool(k, "ignore-not-found")) {
		if (namespaced)
			fprintf(stderr, "No resources found in " STR_FMT " namespace.\n", STR_ARG(k->ns));
		else
			fprintf(stderr, "No resources found\n");
	}
	return true;
}

static bool print_objects(struct kctl *k, const struct targets *list, str format, struct error *err)
{
	struct value *out = NULL;
	if (list->single && list->n == 1) {
		out = list->v[0].obj;
	} else if (!list->single) {
		struct value *items = value_array(k->a), *meta = value_object(k->a);
		for (size_t i = 0; i < list->n; i++)
			value_append(k->a, items, list->v[i].obj);
		out = value_object(k->a);
		value_set(k->a, out, S("apiVersion"), value_string(k->a, S("v1")));
		value_set(k->a, out, S("items"), items);
		value_set(k->a, out, S("kind"), value_string(k->a, S("List")));
		value_set(k->a, meta, S("resourceVersion"), value_string(k->a, S("")));
		value_set(k->a, out, S("metadata"), meta);
	}
	if (!out)
		return true;
	if (!flag_bool(k, "show-managed-fields"))
		kc_strip_managed_fields(out);
	return kc_print_object(k, stdout, format, out, err);
}

// --- Watching ---

struct watch {
	struct view view;
	str format, version;
	struct error *err;
	bool failed;
};

static void print_watched_object(struct watch *w, struct arena *a, struct value *obj, str type)
{
	struct kctl *k = w->view.k;
	if (!flag_bool(k, "show-managed-fields"))
		kc_strip_managed_fields(obj);
	if (flag_bool(k, "output-watch-events")) {
		struct value *event = value_object(a);
		value_set(a, event, S("type"), value_string(a, type));
		value_set(a, event, S("object"), obj);
		obj = event;
	}
	if (str_eqc(w->format, "yaml"))
		puts("---");
	if (!kc_print_object(k, stdout, w->format, obj, w->err))
		w->failed = true;
	fflush(stdout);
}

static bool on_line(void *ctx, str text)
{
	struct watch *w = ctx;
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error why = { 0 };
	struct value *event = json_parse(a, text, NULL, &why), *obj = value_get(event, S("object"));
	str type = value_get_str(event, S("type"));
	if (!obj || str_eqc(type, "BOOKMARK"))
		return true;
	if (str_eqc(type, "ERROR")) {
		_cleanup_buf_ struct buf b = { 0 };
		json_write(&b, obj, JSON_COMPACT);
		w->failed =
		        !api_fail(w->view.k, a, (int)kc_value_i64(value_get(obj, S("code")), 500), buf_str(&b), w->err);
		return false;
	}
	if (w->format.n) {
		print_watched_object(w, a, obj, type);
		return !w->failed;
	}
	struct value *rows = value_get(obj, S("rows"));
	for (size_t i = 0; value_is(rows, V_ARRAY) && i < rows->a.n; i++)
		print_row(&w->view, a, rows->a.v[i], flag_bool(w->view.k, "output-watch-events") ? type : (str){ 0 });
	kc_table_flush(&w->view.table, stdout);
	return true;
}

static bool run_watch(struct kctl *k, const struct targets *list, str format, struct error *err)
{
	for (size_t i = 1; i < list->n; i++)
		if (!same_type(list->v[0].type, list->v[i].type) || list->v[0].name.n)
			return error_set(err, "you may only specify a single resource type");
	struct target t = list->v[0];
	struct watch w = { .format = format, .err = err };
	w.view = (struct view){ .k = k,
		                .wide = str_eqc(flag_text(k, "output"), "wide"),
		                .headers = !flag_bool(k, "no-headers") };
	kc_table_init(&w.view.table);
	begin_view(&w.view, t.type, flag_bool(k, "show-kind"));
	str fields = flag_text(k, "field-selector"), name = t.name;
	if (name.n) {
		// One object is watched as a collection of one; that it exists is asked first.
		if (!api_get(k, target_path(k, &t), err))
			return error_is(err, "NotFound") && flag_bool(k, "ignore-not-found");
		fields = arena_concat(k->a, S("metadata.name="), name);
		t.name = (str){ 0 };
	}
	str query = kc_selector_query(k, flag_text(k, "selector"), fields);
	str path = arena_concat(k->a, target_path(k, &t), S("?"), query, query.n ? S("&") : S(""));
	str text, accept = format.n ? S(JSON_TYPE) : S(TABLE_TYPE);
	if (!api_call(k, k->a, "GET", path, (str){ 0 }, (str){ 0 }, accept, &text, err))
		return false;
	struct value *now = json_parse(k->a, text, NULL, err);
	if (!now)
		return false;
	w.version = value_str(value_path(now, S("metadata"), S("resourceVersion")));
	if (!format.n && !str_eqc(value_get_str(now, S("kind")), "Table"))
		now = table_of_objects(k, now);
	bool print_now = !flag_bool(k, "watch-only");
	if (format.n) {
		struct value *items = value_get(now, S("items"));
		for (size_t i = 0; print_now && value_is(items, V_ARRAY) && i < items->a.n && !w.failed; i++) {
			value_set(k->a, items->a.v[i], S("kind"), value_string(k->a, t.type->kind));
			value_set(k->a, items->a.v[i], S("apiVersion"), value_string(k->a, kc_api_version(k, t.type)));
			print_watched_object(&w, k->a, items->a.v[i], S("ADDED"));
		}
	} else {
		w.view.columns = value_get(now, S("columnDefinitions"));
		struct value *rows = value_get(now, S("rows"));
		if (!value_is(w.view.columns, V_ARRAY))
			return error_set(err, "the server sent a Table without columns");
		for (size_t i = 0; print_now && value_is(rows, V_ARRAY) && i < rows->a.n; i++)
			print_row(&w.view, k->a, rows->a.v[i],
			          flag_bool(k, "output-watch-events") ? S("ADDED") : (str){ 0 });
		kc_table_flush(&w.view.table, stdout);
	}
	path = arena_concat(k->a, path, S("watch=true&resourceVersion="), w.version);
	bool ok = w.failed ? false : api_lines(k, k->a, path, accept, 0, on_line, &w, err);
	kc_table_free(&w.view.table);
	return ok && !w.failed;
}

bool run_get(struct kctl *k, struct error *err)
{
	str raw = flag_text(k, "raw"), format = flag_text(k, "output"), text;
	if (raw.n) {
		if (!api_call(k, k->a, "GET", raw, (str){ 0 }, (str){ 0 }, S(JSON_TYPE), &text, err))
			return false;
		fwrite(text.p, 1, text.n, stdout);
		return true;
	}
	bool human = format.n == 0 || str_eqc(format, "wide");
	if (!human && !is_object_format(format))
		return kc_print_object(k, stdout, format, value_null(k->a), err);
	if (flag_bool(k, "show-labels") && !human)
		return error_set(err, "--show-labels option cannot be used with " STR_FMT " printer", STR_ARG(format));
	bool watch = flag_bool(k, "watch") || flag_bool(k, "watch-only");
	if (flag_bool(k, "output-watch-events") && !watch)
		return error_set(err, "--output-watch-events option can only be used with --watch or --watch-only");
	if (k->args.n == 0 && flag_list(k, "filename")->n == 0) {
		fprintf(stderr,
		        "You must specify the type of resource to get. Use \"%s api-resources\" for a complete list of "
		        "supported resources.\n\n",
		        k->program);
		return kc_usage_error(k, err, "Required resource not specified.");
	}
	struct targets list = { 0 };
	unsigned how = TARGETS_ALLOW_EMPTY | (human || watch ? TARGETS_COLLECTIONS : TARGETS_OBJECTS) |
	               (flag_bool(k, "ignore-not-found") ? TARGETS_SKIP_MISSING : 0);
	if (!targets_read(k, k->args.v, k->args.n, how, &list, err))
		return false;
	if (watch && list.n)
		return run_watch(k, &list, human ? (str){ 0 } : format, err);
	return human ? print_tables(k, &list, err) : print_objects(k, &list, format, err);
}
