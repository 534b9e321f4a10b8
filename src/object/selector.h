// Label selectors and field selectors. Rule: apimachinery labels and fields packages (grammar, errors, matching).
#ifndef CORACLE_OBJECT_SELECTOR_H
#define CORACLE_OBJECT_SELECTOR_H

#include "schema/schema.h"
#include "schema_gen.h"

enum selector_op { SEL_IN, SEL_NOT_IN, SEL_EXISTS, SEL_NOT_EXISTS, SEL_EQ, SEL_NE, SEL_GT, SEL_LT };
struct requirement { str key; enum selector_op op; struct str_list values; };
struct selector { struct requirement *v; size_t n; bool nothing; }; // no requirement: everything; nothing: matches nothing

// "a=b,c!=d,e in (f,g),!h,i>5". Errors in upstream's words (400 BadRequest).
bool selector_parse(struct arena *a, str text, struct selector *out, struct error *err);
// meta/v1 LabelSelector: NULL matches nothing, an empty one everything.
bool selector_from_label_selector(struct arena *a, const struct meta_v1_LabelSelector *s, struct selector *out, struct error *err);
struct selector selector_from_map(struct arena *a, const struct str_map *m);
bool selector_matches(const struct selector *s, const struct str_map *labels);
str selector_text(struct arena *a, const struct selector *s);
bool selector_empty(const struct selector *s);

// Field selectors: "metadata.name=x,status.phase!=Running"; values may be escaped with backslashes.
struct field_term { str path, value; bool not_equal; };
struct field_selector { struct field_term *v; size_t n; };
bool field_selector_parse(struct arena *a, str text, struct field_selector *out, struct error *err);

#endif
