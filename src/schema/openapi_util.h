// Internal to openapi*.c.
#ifndef CORACLE_SCHEMA_OPENAPI_UTIL_H
#define CORACLE_SCHEMA_OPENAPI_UTIL_H

#include "base/map.h"
#include "schema/openapi.h"

// A document in the making: schemas are added when they are first referred to.
struct openapi {
	struct arena *a;
	bool v3;
	str group, version;     // of a v3 document; DeleteOptions and WatchEvent name it as theirs
	struct value *paths;
	struct value *schemas;
	struct map seen;        // names that are or will be in `schemas`
	struct pending {
		str name;
		const struct message_desc *message; // NULL: a type with a form of its own
	} *v;                   // those that still have to be written: LIST_ADD over v and n
	size_t n;
};

// {"$ref": "#/definitions/NAME"}; the schema will be there when openapi_close is called. message: NULL for own forms.
struct value *openapi_ref(struct openapi *o, str name, const struct message_desc *message);
struct value *openapi_ref_message(struct openapi *o, const struct message_desc *m);
// Writes all schemas that are referred to, directly or not.
void openapi_close(struct openapi *o);

// Adds a member without looking for one of the same key.
void put(struct arena *a, struct value *object, str key, struct value *v);
void put_str(struct arena *a, struct value *object, str key, str v);

// The paths of a group version, and those outside of groups ("api", "apis", "version", ...). False: unknown.
void openapi_add_group_version(struct openapi *o, const struct group_desc *g);
bool openapi_add_other(struct openapi *o, str which);
// Shared parameters of v2, all of them.
struct value *openapi_v2_parameters(struct arena *a);

#endif
