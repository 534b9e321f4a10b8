// What the files of kinds/ share: iteration, pointers to scalars, the usual checks, table cells.
#ifndef CORACLE_APISERVER_KINDS_H
#define CORACLE_APISERVER_KINDS_H

#include "apiserver/strategy.h"
#include "object/names.h"
#include "object/selector.h"
#include "schema/quantity.h"

// EACH (c, pod->spec.containers): c is a pointer to each item.
#define EACH(item, list) for (__typeof__(&*(list).v) item = (list).v; item && item < (list).v + (list).n; item++)
#define INDEX(item, list) ((size_t)((item) - (list).v))

// Defaults.
static inline void default_str(str *to, const char *value)
{
	if (!to->n)
		*to = str_c(value);
}
#define NEW_VALUE(a, T, value) \
	({ T *new_value_ = ARENA_NEW((a), T); *new_value_ = (value); new_value_; })
#define DEFAULT_PTR(a, to, T, value) \
	do { if (!(to)) (to) = NEW_VALUE((a), T, (value)); } while (0)

// --- Table cells: each call fills the next cell ---
struct row { struct arena *a; struct cell *next; int64_t now; };
void row_text(struct row *r, str s);
void row_int(struct row *r, int64_t i);
void row_bool(struct row *r, bool b);
// "5m", "<unknown>" for the zero time.
void row_since(struct row *r, struct api_time t);
str since_text(struct arena *a, struct api_time t, int64_t now_ns);
str human_duration(struct arena *a, int64_t seconds);
static inline str or_none(str s) { return s.n ? s : S("<none>"); }
str labels_text(struct arena *a, const struct str_map *labels);                          // "a=b,c=d" or "<none>"
str label_selector_text(struct arena *a, const struct meta_v1_LabelSelector *s);         // the same, or "<error>"
void row_containers(struct row *r, const struct core_v1_Container_list *containers);     // two cells: names, images
str int_or_string_text(struct arena *a, const struct int_or_string *v);
str quantity_text(struct quantity q); // "0" for the empty one
// "a,b + 2 more..."
str list_text(struct arena *a, const struct str_list *l, size_t most, size_t count);
#define CELLS(kind, T) \
	void kind##_cells(struct arena *a, const void *obj, struct cell *cells, int64_t now_ns); \
	static void kind##_row(struct row *r, const struct T *o); \
	void kind##_cells(struct arena *a, const void *obj, struct cell *cells, int64_t now_ns) \
	{ \
		struct row row = { a, cells, now_ns }; \
		kind##_row(&row, obj); \
	} \
	static void kind##_row(struct row *r, const struct T *o)

#endif
