// metadata.managedFields: who set which field. Rule: structured-merge-diff and apimachinery managedfields.
#include "apiserver/apiserver.h"

str field_manager_of(struct call *c)
{
	if (c->r.field_manager.n)
		return c->r.field_manager;
	// The part of the user agent before the first slash.
	str agent = { 0 }, rest;
	if (c->r.in)
		agent = http_header(&c->r.in->headers, S("user-agent"));
	str_split(agent, '/', &agent, &rest);
	return agent.n ? str_sub(agent, 0, 128) : S("unknown");
}

void managed_update(struct request *r, const struct kind *k, void *obj, const void *old, str subresource)
{
	(void)r, (void)k, (void)obj, (void)old, (void)subresource;
}
