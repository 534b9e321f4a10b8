// resource.Quantity: exact decimal and binary quantities ("100m", "1Gi", "1e3"), as apimachinery's.
// Range: what upstream holds in int64 with scale; larger ones are kept to inf.Dec precision by 128-bit arithmetic or
// are refused with upstream's error. Numbers keep 36 significant digits (upstream: any number of them); text is at most 256 bytes.
#ifndef CORACLE_SCHEMA_QUANTITY_H
#define CORACLE_SCHEMA_QUANTITY_H

#include "schema/schema.h"

// Any text -> canonical text in the arena. Upstream's errors: "quantities must match the regular expression
// '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'", ...
bool quantity_canonical(struct arena *a, str text, struct quantity *out, struct error *err);
// As Quantity.Value(): rounded up to a whole number, clamped to int64. As MilliValue(): thousandths, rounded up.
int64_t quantity_value(struct quantity q);
int64_t quantity_milli(struct quantity q);
int quantity_cmp(struct quantity x, struct quantity y);
double quantity_double(struct quantity q); // AsApproximateFloat64
bool quantity_is_zero(struct quantity q);
int quantity_sign(struct quantity q);
// Sum and difference; the format is the first one's (upstream: the receiver's; a zero receiver takes the other's).
struct quantity quantity_add(struct arena *a, struct quantity x, struct quantity y);
struct quantity quantity_sub(struct arena *a, struct quantity x, struct quantity y);
struct quantity quantity_of(struct arena *a, int64_t value, bool binary); // DecimalSI or BinarySI
struct quantity quantity_of_milli(struct arena *a, int64_t milli);        // DecimalSI
bool quantity_map_get(const struct quantity_map *m, str key, struct quantity *out);
void quantity_map_set(struct arena *a, struct quantity_map *m, str key, struct quantity q);

#endif
