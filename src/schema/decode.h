// What the JSON decoder's files share. Internal to this folder.
#ifndef CORACLE_SCHEMA_DECODE_H
#define CORACLE_SCHEMA_DECODE_H

#include "schema/codec.h"

// As many strict complaints are kept.
#define MAX_STRICT 100

// Where the reader is: a chain of fields, items and keys from the inside out.
struct place {
	const struct place *up;
	const struct message_desc *owner; // of the field
	const struct field_desc *field;   // a field, or NULL
	str key;                          // key of a map, when field is NULL
	size_t index;                     // of an item, when field is NULL and key.p too
};

struct reader {
	struct arena *a;
	const char *p, *end;
	struct str_list *strict;        // NULL: complaints are not wanted
	const struct place *type_place; // inside a form of its own: the place that its errors carry; else NULL
	bool fixed;                     // type_place counts
	bool malformed;                 // not JSON
	bool saved;                     // *err holds the first type error
	int depth;
	struct error *err;
};

// Notes an unknown or duplicate field at this place, if it is wanted and new.
void decode_complain(struct reader *r, const char *what, const struct place *at);
// "json: cannot unmarshal X into Go struct field Pod.spec.containers of type []v1.Container". The first one counts.
void decode_wrong_type(struct reader *r, str got, const char *type, const struct place *at);
// What Go calls the type of the field (whole) or of its items and values; and a message.
void decode_go_type(const struct field_desc *f, bool whole, char *to, size_t size);
void decode_go_message(const struct message_desc *m, char *to, size_t size);

#endif
