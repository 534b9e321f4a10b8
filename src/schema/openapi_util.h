// Internal to openapi*.c.
#ifndef CORACLE_SCHEMA_OPENAPI_UTIL_H
#define CORACLE_SCHEMA_OPENAPI_UTIL_H

#include "base/map.h"
#include "schema/openapi.h"

// A document in the making: schemas are added when they are first referred to.
struct openapi {
	struct arena *a;
	bool v3;
	str group, version; // of a v3 document; DeleteOptions and WatchEvent name it as theirs
	struct value *paths;
	struct value *schemas;
	struct map seen; // names that are or will be in `schemas`
	struct pending {
		str name;
		const struct message_desc *message; // NULL: a type with a form of its own
	} * v;                                      // those that still have to be written: LIST_ADD over v and n
	size_t n;
};

// {"$ref": "#/definitions/NAME"}; the schema will be there when openapi_close is called. message: NULL for own forms.
struct value *openapi_ref(struct openapi *o, str name, const struct message_desc *message);
struct value *openapi_ref_message(struct openapi *o, const struct message_desc *m);
// Writes all schemas that are referred to, directly or not.
void openapi_close(struct openapi *o);

// Adds a member without looking for one of the same key.
void oa_put(struct arena *a, struct value *object, str key, struct value *v);
void oa_put_str(struct arena *a, struct value *object, str key, str v);

// The paths of a group version, and those outside of groups ("api", "apis", "version", ...). False: unknown.
void openapi_add_group_version(struct openapi *o, const struct group_desc *g);
bool openapi_add_other(struct openapi *o, str which);
// Shared parameters of v2, all of them.
struct value *openapi_v2_parameters(struct arena *a);

// --- One path (openapi_path.c) ---

struct parameter;
struct operation {
	const char *method;
	struct value *v;
	const struct parameter *p[24]; // sorted by name; without the body
	size_t n;
	struct value *body; // v2: the parameter
};

struct path_item {
	struct openapi *o;
	str path;
	struct operation ops[8];
	size_t n;
};

struct shape {
	const char *method, *action; // action NULL: none
	str id, tag;
	const char *const *consumes, *const *produces;
	struct value *(*result)(struct path_item *item, const void *ctx); // NULL: no 200
	const void *ctx;
	bool created, accepted;
};

// Takes a parameter by name; `shared` picks one of several of that name.
void oa_take(struct operation *op, const char *name, const char *shared);
void oa_take_all(struct operation *op, const char *const *names); // up to NULL
struct operation *oa_operation(struct path_item *item, const struct shape *s);
// The body: a reference to a schema; in v2 `shared` names a shared parameter.
void oa_set_body(struct path_item *item, struct operation *op, struct value *ref, const char *shared, bool required,
                 const char *const *consumes);
// Adds the path to the document. Parameters that all operations have stand at the path itself.
void oa_finish_path(struct path_item *item);
// Results: text, and the message that ctx is.
struct value *oa_string_result(struct path_item *item, const void *ctx);
struct value *oa_message_result(struct path_item *item, const void *ctx);
const struct message_desc *oa_meta_message(const char *name); // of meta/v1
#define BODY_DELETE "body-2Y1dVQaQ"
#define BODY_PATCH "body-78PwaGsr"

// Media types, each list up to NULL.
extern const char *const oa_media_plain[],
        *const oa_media_cbor[], *const oa_media_watch[], *const oa_media_log[], *const oa_media_patch[];
extern const char *const oa_media_any[], *const oa_media_json[], *const oa_media_jwks[];

#endif
