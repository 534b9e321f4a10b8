// Subresources that are not a part of the object itself: binding, eviction, scale, token, log, exec, ...
#include "apiserver/apiserver.h"

static void refuse(struct call *c, const char *what)
{
	struct api_status s = { .code = 501, .reason = S("NotImplemented"), .message = arena_printf(c->r.arena, "%s is not available in this version", what) };
	reply_status(c, &s);
}

bool do_subresource(struct call *c)
{
	str sub = c->r.info.subresource;
	if (str_eq(sub, S("status")) || str_eq(sub, S("approval")) || str_eq(sub, S("finalize")) || str_eq(sub, S("ephemeralcontainers")) || str_eq(sub, S("resize")))
		return false;
	refuse(c, arena_cstr(c->r.arena, sub));
	return true;
}
