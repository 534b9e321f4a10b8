// The input is [document, patch, other document]: any patch ends in a tree or an error, and a made merge patch leads
// from one document to the other.
#include <stdlib.h>

#include "json/patch.h"

static bool has_null(const struct value *v)
{
	if (v->kind == V_NULL)
		return true;
	bool found = false;
	if (v->kind == V_ARRAY)
		for (size_t i = 0; i < v->a.n; i++)
			found = found || has_null(v->a.v[i]);
	if (v->kind == V_OBJECT)
		for (size_t i = 0; i < v->o.n; i++)
			found = found || has_null(v->o.v[i].value);
	return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct json_opts opts = { .max_depth = 200 };
	struct value *v = json_parse(a, str_n((const char *)data, size), &opts, &err);
	if (!value_is(v, V_ARRAY) || v->a.n < 3)
		return 0;
	struct value *doc = v->a.v[0], *before = value_clone(a, doc), *other = v->a.v[2];
	struct value *out = json_patch_apply(a, doc, v->a.v[1], &err);
	if (!out && err.code != 400 && err.code != 413 && err.code != 422)
		abort();
	(void)merge_patch_apply(a, doc, v->a.v[1]);
	if (!value_equal(doc, before))
		abort();
	if (doc->kind != V_OBJECT || other->kind != V_OBJECT || has_null(other))
		return 0;
	if (!value_equal(merge_patch_apply(a, doc, merge_patch_make(a, doc, other)), other))
		abort();
	return 0;
}
