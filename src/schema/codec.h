// What the codecs share. Internal to this folder.
#ifndef CORACLE_SCHEMA_CODEC_H
#define CORACLE_SCHEMA_CODEC_H

#include "schema/tables.h"

// Deepest nesting of typed messages that any codec follows. Only recursive types (JSONSchemaProps, TxnRequest) get near it.
#define SCHEMA_MAX_DEPTH 1000

// The shape of every list and map of the generated structs.
struct any_list {
	char *v;
	size_t n;
};

// How many items to make room for, so that LIST_ADD can go on: it takes the capacity to be the next power of two.
static inline size_t list_capacity(size_t n)
{
	size_t c = 1;
	while (c < n)
		c *= 2;
	return c;
}

// The C forms of the apiextensions types JSONSchemaPropsOrX: their messages are generated with these members in this order.
struct or_bool {
	bool allows;
	void *schema;
};
struct or_array {
	void *schema;
	struct any_list items;
};
struct or_strings {
	void *schema;
	struct str_list property;
};

// Bytes that one value of the field takes in C: an item of a list, a value of a map, what a pointer points to.
size_t schema_field_value_size(const struct field_desc *f);
// Bytes of a map entry, and where in it the value stands.
size_t schema_field_entry_size(const struct field_desc *f);
size_t schema_field_entry_value(const struct field_desc *f);
// Sorts the entries of a map by key; of equal keys the last one stays.
void schema_map_settle(struct arena *a, struct any_list *map, size_t step);
// Whether the C value of the field is one text slice (string, bytes, quantity, raw JSON).
bool schema_field_is_text(const struct field_desc *f);

// --- Scanning JSON text; all of these leave *p anywhere when they return false ---

// Takes the word (true, false, null) of n bytes.
bool scan_word(const char **p, const char *end, const char *w, size_t n);
bool scan_number(const char **p, const char *end);
// *p is at the opening quote.
bool scan_string(const char **p, const char *end);
// The inside of a string that json_skip_string has passed, with escapes undone and bad UTF-8 replaced by U+FFFD.
str scan_unescape(struct arena *a, const char *p, const char *end);
// Whether the text is one JSON value (RFC 8259) with nothing after it.
bool scan_is_json(str text);
// Skips one JSON value; false when it is malformed.
bool scan_value(const char **p, const char *end);
// Appends JSON text without white space and, if wanted, with HTML escaped as Go's encoder does.
void scan_compact(struct buf *to, str text, bool escape_html);

#endif
