// The tables that tools/schemac.py writes, as the walks of this folder see them. Others use schema.h.
#ifndef CORACLE_SCHEMA_TABLES_H
#define CORACLE_SCHEMA_TABLES_H

#include "schema/schema.h"

// One JSON name of a message, those of inlined messages included. Sorted by hash (32-bit FNV-1a) within a message.
struct name_entry {
	uint32_t hash;
	uint32_t field; // index into schema_fields
	uint32_t base;  // offset of the (inlined) struct that holds the field within the outer struct
};

// The entry of a JSON name; NULL: unknown.
const struct name_entry *schema_name(const struct message_desc *m, str json_name);

extern const struct field_desc schema_fields[];
extern const struct message_desc schema_messages[]; // sorted by full name
extern const struct name_entry schema_names[];
extern const struct resource_desc schema_resources[];
extern const struct column_desc schema_columns[];
extern const struct group_desc schema_groups[];
extern const struct method_desc schema_methods[]; // sorted by path
extern const struct package_desc schema_packages[];
extern const uint16_t schema_pb_order[]; // field indexes within a message, by protobuf number
extern const char schema_pool[];         // two bytes of length, text, NUL; offsets point at the text
extern const size_t schema_n_messages, schema_n_resources, schema_n_groups, schema_n_methods, schema_n_packages;

#endif
