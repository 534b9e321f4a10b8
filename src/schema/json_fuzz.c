// Any bytes as JSON of any message: what is accepted encodes to JSON that json_parse accepts, and is the same object again.
#include <stdlib.h>

#include "schema/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	const struct message_desc *m = schema_message_at((uint32_t)(data[0] << 8 | data[1]));
	if (!m)
		m = schema_message(S("k8s.io.api.core.v1.Pod"));
	str json = str_n((const char *)data + 2, size - 2);
	struct arena *a = arena_new(0);
	struct error err = { 0 }, parse_err = { 0 };
	struct str_list strict = { 0 };
	struct decode_opts o = { .strict = &strict };
	void *obj = schema_from_json(a, m, json, &o, &err);
	if (obj) {
		if (!json_parse(a, json, NULL, &parse_err))
			abort(); // the one-pass reader is laxer than the parser
		struct buf out = { 0 };
		schema_to_json(&out, m, obj);
		if (!json_parse(a, buf_str(&out), NULL, &parse_err))
			abort();
		void *again = schema_from_json(a, m, buf_str(&out), NULL, &err);
		if (!again)
			abort();
		struct buf twice = { 0 };
		schema_to_json(&twice, m, again);
		if (!str_eq(buf_str(&out), buf_str(&twice)))
			abort();
		buf_clear(&twice);
		schema_to_json(&twice, m, schema_clone(a, m, again));
		if (!str_eq(buf_str(&out), buf_str(&twice)))
			abort();
		buf_free(&twice);
		buf_free(&out);
	}
	arena_free(a);
	return 0;
}
