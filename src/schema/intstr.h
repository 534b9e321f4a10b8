// IntOrString as a number or a share of a total. Rule: apimachinery pkg/util/intstr.
#ifndef CORACLE_SCHEMA_INTSTR_H
#define CORACLE_SCHEMA_INTSTR_H

#include "schema/schema.h"

// GetScaledValueFromIntOrPercent: 3 -> 3; "25%" of total, rounded up or down. Errors: invalid value for IntOrString: ...
// NULL: nil value for IntOrString.
bool int_or_percent(const struct int_or_string *v, int64_t total, bool round_up, int64_t *out, struct error *err);
// IntValue: the number, also of numeric text; 0 for other text.
int32_t int_or_string_value(const struct int_or_string *v);
// "8080" or "http".
str int_or_string_text(struct arena *a, const struct int_or_string *v);
static inline struct int_or_string int_or_string_int(int32_t i)
{
	return (struct int_or_string){ .i = i };
}
static inline struct int_or_string int_or_string_str(str s)
{
	return (struct int_or_string){ .is_string = true, .s = s };
}

#endif
