// JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7396) over value trees. Strategic merge needs the schema and lives
// in schema/strategic.h.
#ifndef CORACLE_JSON_PATCH_H
#define CORACLE_JSON_PATCH_H

#include "json/json.h"

// Applies the operations to a copy and returns it. NULL and an error (422 Invalid as the apiserver answers for a
// failed operation, 400 BadRequest for a malformed patch; upstream's words, evanphx/json-patch v4) otherwise.
// At most 10,000 operations (413 beyond). The result refers to the text of both arguments. The apiserver does not show
// the text of a 422 to clients: upstream answers "the server rejected our request due to an error in our request".
struct value *json_patch_apply(struct arena *a, const struct value *doc, const struct value *patch, struct error *err);
// Returns the merged tree; `doc` is not changed (parts may be shared).
struct value *merge_patch_apply(struct arena *a, const struct value *doc, const struct value *patch);
// The merge patch that leads from one tree to the other.
struct value *merge_patch_make(struct arena *a, const struct value *from, const struct value *to);

#endif
