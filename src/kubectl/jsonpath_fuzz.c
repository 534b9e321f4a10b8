// The first line is a template, the rest a document: any template ends in text or an error.
#include <stdlib.h>

#include "kubectl/cmd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct json_opts opts = { .max_depth = 50 };
	struct kctl k = { .a = a };
	str template, text;
	if (size > 2000)
		return 0;
	str_split(str_n((const char *)data, size), '\n', &template, &text);
	struct value *obj = json_parse(a, text, &opts, &err);
	if (!obj)
		return 0;
	char *out = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&out, &n);
	if (!f)
		return 0;
	jsonpath_print(&k, f, template, obj, &err);
	jsonpath_first(&k, template, obj, &err);
	fclose(f);
	free(out);
	return 0;
}
