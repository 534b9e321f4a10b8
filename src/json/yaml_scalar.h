// What a plain YAML scalar means, by the rules of go-yaml v2 (YAML 1.1 with some of 1.2). Shared by the reader, which
// needs the value, and the writer, which must quote text that would be read as something else.
#ifndef CORACLE_JSON_YAML_SCALAR_H
#define CORACLE_JSON_YAML_SCALAR_H

#include "json/value.h"

enum yaml_type { YAML_STR, YAML_BOOL, YAML_INT, YAML_FLOAT, YAML_NULL, YAML_TIMESTAMP };

struct yaml_scalar {
	enum yaml_type type;
	bool b;
	bool is_unsigned; // the number is in u (it does not fit i)
	int64_t i;
	uint64_t u;
	double d;
};

// `implicit`: no tag says what it is, so it may be a timestamp.
struct yaml_scalar yaml_resolve(str text, bool implicit);
// 1:30 and the like: a base-60 number to other readers.
bool yaml_is_base60(str text);
// Go's strconv.FormatFloat(d, 'g', -1, 64) and the names that YAML has for infinities and NaN. With `single` the
// digits are the fewest that tell the number from other 32-bit ones.
str yaml_float_text(struct arena *a, double d, bool single);

#endif
