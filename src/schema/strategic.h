// Strategic merge patch over descriptors (merge keys, $patch, $retainKeys, $setElementOrder, $deleteFromPrimitiveList).
// Rule: apimachinery strategicpatch. Used by the apiserver (PATCH) and by kubectl (apply makes such patches).
#ifndef CORACLE_SCHEMA_STRATEGIC_H
#define CORACLE_SCHEMA_STRATEGIC_H

#include "schema/schema.h"

// The merged tree; neither input is changed. Errors: 400/422 in upstream's words.
struct value *strategic_apply(struct arena *a, const struct message_desc *m, const struct value *doc,
                              const struct value *patch, struct error *err);
// Three-way: the patch that brings `current` to `modified`, deleting what `original` had and `modified` has not.
struct value *strategic_make_three_way(struct arena *a, const struct message_desc *m, const struct value *original,
                                       const struct value *modified, const struct value *current, struct error *err);
// Two-way: the patch that leads from `original` to `modified` (kubectl edit, label, set image, ...; an empty object: no change).
struct value *strategic_make(struct arena *a, const struct message_desc *m, const struct value *original,
                             const struct value *modified, struct error *err);

#endif
