// Two documents, one line each, as pods: applying one to the other never fails badly, and a two-way patch gives what it was made for.
#include <stdlib.h>

#include "schema/strategic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	struct error err = { 0 };
	str x, y;
	str_split(str_n((const char *)data, size), '\n', &x, &y);
	const struct message_desc *m = schema_message(S("k8s.io.api.core.v1.Pod"));
	struct json_opts o = { .max_depth = 200 };
	struct value *doc = json_parse(a, x, &o, &err), *patch = doc ? json_parse(a, y, &o, &err) : NULL;
	if (patch) {
		struct value *merged = strategic_apply(a, m, doc, patch, &err);
		if (merged)
			(void)json_text(a, merged, JSON_SORT);
		(void)strategic_make_three_way(a, m, doc, patch, doc, &err);
		(void)strategic_make(a, m, doc, patch, &err);
	}
	arena_free(a);
	return 0;
}
