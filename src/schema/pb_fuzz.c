// Any bytes as protobuf of any message: what is accepted encodes to bytes that read back as an equal object.
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
	str bytes = str_n((const char *)data + 2, size - 2), api_version, kind, raw;
	struct arena *a = arena_new(0);
	struct error err = { 0 };
	if (schema_unwrap_pb(bytes, &api_version, &kind, &raw, &err))
		bytes = raw;
	void *obj = schema_from_pb(a, m, bytes, &err);
	if (obj) {
		struct buf out = { 0 }, json = { 0 };
		schema_to_pb(&out, m, obj);
		void *again = schema_from_pb(a, m, buf_str(&out), &err);
		if (!again)
			abort();
		struct buf twice = { 0 };
		schema_to_pb(&twice, m, again);
		if (!str_eq(buf_str(&out), buf_str(&twice)))
			abort();
		schema_to_json(&json, m, obj);
		if (!json_parse(a, buf_str(&json), NULL, &err))
			abort();
		buf_free(&twice);
		buf_free(&out);
		buf_free(&json);
	}
	arena_free(a);
	return 0;
}
