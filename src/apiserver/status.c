// The words of refusals. Rule: apimachinery api/errors.
#include "apiserver/request.h"

#include "object/names.h"

void request_warn(struct request *r, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	str text = arena_vprintf(r->arena, fmt, ap);
	va_end(ap);
	// Clients see each warning once, however many rules found it.
	if (!str_list_has(&r->warnings, text))
		*LIST_ADD(r->arena, &r->warnings) = text;
}

static bool set(struct api_status *s, int code, const char *reason, str group, str kind, str name, str message)
{
	*s = (struct api_status){ .code = code, .reason = str_c(reason), .message = message, .group = group, .kind = kind, .name = name };
	return false;
}

// "deployments.apps", "pods"
static str qualified(struct arena *a, str group, str resource)
{
	return group.n ? arena_concat(a, resource, S("."), group) : resource;
}

bool status_not_found(struct arena *a, struct api_status *s, str group, str resource, str name)
{
	return set(s, 404, "NotFound", group, resource, name, arena_concat(a, qualified(a, group, resource), S(" "), go_quote(a, name), S(" not found")));
}

bool status_already_exists(struct arena *a, struct api_status *s, str group, str resource, str name)
{
	return set(s, 409, "AlreadyExists", group, resource, name,
	           arena_concat(a, qualified(a, group, resource), S(" "), go_quote(a, name), S(" already exists")));
}

bool status_conflict(struct arena *a, struct api_status *s, str group, str resource, str name, str why)
{
	return set(s, 409, "Conflict", group, resource, name,
	           arena_concat(a, S("Operation cannot be fulfilled on "), qualified(a, group, resource), S(" "), go_quote(a, name), S(": "), why));
}

bool status_forbidden(struct arena *a, struct api_status *s, str group, str resource, str name, str why)
{
	str message;
	if (resource.n == 0 && group.n == 0)
		message = arena_concat(a, S("forbidden: "), why);
	else if (name.n == 0)
		message = arena_concat(a, qualified(a, group, resource), S(" is forbidden: "), why);
	else
		message = arena_concat(a, qualified(a, group, resource), S(" "), go_quote(a, name), S(" is forbidden: "), why);
	return set(s, 403, "Forbidden", group, resource, name, message);
}

bool status_bad_request(struct arena *a, struct api_status *s, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	set(s, 400, "BadRequest", S(""), S(""), S(""), arena_vprintf(a, fmt, ap));
	va_end(ap);
	return false;
}

bool status_unauthorized(struct arena *a, struct api_status *s)
{
	return set(s, 401, "Unauthorized", S(""), S(""), S(""), S("Unauthorized"));
}

bool status_gone(struct arena *a, struct api_status *s, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	set(s, 410, "Expired", S(""), S(""), S(""), arena_vprintf(a, fmt, ap));
	va_end(ap);
	return false;
}

bool status_method_not_supported(struct arena *a, struct api_status *s, str group, str resource, str action)
{
	return set(s, 405, "MethodNotAllowed", group, resource, S(""),
	           arena_concat(a, action, S(" is not supported on resources of kind "), go_quote(a, qualified(a, group, resource))));
}

bool status_internal(struct arena *a, struct api_status *s, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	str text = arena_vprintf(a, fmt, ap);
	va_end(ap);
	set(s, 500, "InternalError", S(""), S(""), S(""), arena_concat(a, S("Internal error occurred: "), text));
	*LIST_ADD(a, &s->causes) = (struct status_cause){ .message = text };
	return false;
}

bool status_from_error(struct arena *a, struct api_status *s, const struct error *err)
{
	str text = arena_dup(a, error_str(err));
	if (err->code == 0 || err->code == 500)
		return status_internal(a, s, STR_FMT, STR_ARG(text));
	return set(s, err->code, err->reason ? err->reason : "", S(""), S(""), S(""), text);
}
