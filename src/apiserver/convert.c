// Between the versions of a resource, and between the two groups of events.
#include "apiserver/apiserver.h"

void *convert_to_stored(struct arena *a, const struct kind *k, void *obj, struct error *err)
{
	if (k->stored == k)
		return obj;
	(void)a;
	error_api(err, 501, "NotImplemented", "conversion of " STR_FMT " is not built", STR_ARG(k->name));
	return NULL;
}

void *convert_from_stored(struct arena *a, const struct kind *k, void *obj, struct error *err)
{
	return convert_to_stored(a, k, obj, err);
}
