// Whatever the reader accepts, the writer writes in a form that reads back, and from then on nothing changes. (The first text may
// read back as another tree, in Go, too: that of a double beyond 2^53 may be an integer's, and -0 is the integer 0.)
#include <stdlib.h>

#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	_cleanup_buf_ struct buf b = { 0 }, c = { 0 };
	struct error err = { 0 };
	struct json_duplicates found = { 0 };
	struct json_opts opts = { .max_depth = 200, .duplicates = &found };
	struct value *v = json_parse(a, str_n((const char *)data, size), &opts, &err);
	if (!v) {
		if (err.code != 400 || !str_utf8_valid(error_str(&err)))
			abort();
		return 0;
	}
	static const unsigned styles[] = { JSON_COMPACT, JSON_ESCAPE_HTML | JSON_SORT, JSON_INDENT4 };
	for (size_t i = 0; i < ARRAY_LEN(styles); i++) {
		buf_clear(&b);
		json_write(&b, v, styles[i]);
		struct value *again = json_parse(a, buf_str(&b), NULL, &err);
		if (!again || !value_equal(v, value_clone(a, v)))
			abort();
		buf_clear(&c);
		json_write(&c, again, styles[i]);
		struct value *third = json_parse(a, buf_str(&c), NULL, &err);
		if (!third || !value_equal(again, third))
			abort();
	}
	return 0;
}
