// Cluster addresses and node ports.
#include "apiserver/apiserver.h"

bool alloc_load(struct apiserver *s, struct error *err)
{
	(void)s, (void)err;
	return true;
}
