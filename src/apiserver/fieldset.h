// Sets of field paths, as managedFields keeps them: {"f:metadata":{"f:labels":{".":{},"f:app":{}}}}. Rule: KEP 555, structured-merge-diff fieldpath.
#ifndef CORACLE_APISERVER_FIELDSET_H
#define CORACLE_APISERVER_FIELDSET_H

#include "json/json.h"
#include "schema/schema.h"

struct fieldset_entry;
// Path elements in order: names (f:), keys (k:), values (v:), indexes (i:).
struct fieldset { struct fieldset_entry *v; size_t n; };
struct fieldset_entry { str pe; bool member; struct fieldset child; };

bool fieldset_read(struct arena *a, str json, struct fieldset *out); // broken ones are empty
void fieldset_write(struct buf *to, const struct fieldset *s);
void fieldset_add(struct arena *a, struct fieldset *s, str pe);                                // as a member
void fieldset_put(struct arena *a, struct fieldset *s, str pe, const struct fieldset *child);  // everything of child below pe
void fieldset_remove(struct fieldset *s, str pe);                                              // with all below it
void fieldset_unmember(struct fieldset *s, str pe);
struct fieldset *fieldset_child(struct fieldset *s, str pe);                                   // NULL: not there
bool fieldset_has(const struct fieldset *s, str pe);
void fieldset_merge(struct arena *a, struct fieldset *to, const struct fieldset *from);
// Takes the members of `less` away; `below`: with everything below a member.
void fieldset_subtract(struct fieldset *s, const struct fieldset *less, bool below);
bool fieldset_intersects(const struct fieldset *x, const struct fieldset *y);

// What kind of place a path leads to, for walks over value trees.
struct fieldtype {
	const struct message_desc *message; // of the object, or of a list's or map's items; NULL: scalars
	const struct field_desc *field;     // NULL: the root
	bool atomic;                        // a leaf
	bool list;                          // associative
	bool map;
};
struct fieldtype fieldtype_root(const struct message_desc *m);
struct fieldtype fieldtype_member(const struct fieldtype *t, str name);
struct fieldtype fieldtype_element(const struct fieldtype *t);
str fieldset_name(struct arena *a, str name);                                                   // "f:name"
str fieldset_element(struct arena *a, const struct fieldtype *t, const struct value *item);     // "k:{...}" or "v:..."

#endif
