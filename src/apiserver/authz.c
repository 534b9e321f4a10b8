// Authorization: system:masters, the Node authorizer, RBAC, in this order; the first that says yes decides.
#include "apiserver/policy_internal.h"

void policy_changed(struct policy *p, str group, str resource)
{
	if (str_eq(group, S("rbac.authorization.k8s.io")))
		rbac_changed(p->rbac);
}

enum decision decide(struct request *r, const struct attributes *at, str *reason)
{
	*reason = S("");
	if (user_in_group(at->user, S("system:masters")))
		return ALLOW;
	str node_reason = S(""), rbac_reason = S("");
	if (node_decide(r, at, &node_reason) == ALLOW) {
		*reason = node_reason;
		return ALLOW;
	}
	if (rbac_decide(r, at, &rbac_reason) == ALLOW) {
		*reason = rbac_reason;
		return ALLOW;
	}
	*reason = node_reason.n && rbac_reason.n ? arena_concat(r->arena, node_reason, S("\n"), rbac_reason) : node_reason.n ? node_reason : rbac_reason;
	return NO_OPINION;
}

static str html_escaped(struct arena *a, str s)
{
	struct buf b = { 0 };
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '&')
			buf_add(&b, S("&amp;"));
		else if (s.p[i] == '<')
			buf_add(&b, S("&lt;"));
		else if (s.p[i] == '>')
			buf_add(&b, S("&gt;"));
		else
			buf_add_char(&b, s.p[i]);
	}
	str out = arena_dup(a, buf_str(&b));
	buf_free(&b);
	return out;
}

bool forbid(struct request *r, const struct attributes *at, str reason, struct api_status *s)
{
	struct arena *a = r->arena;
	str text = arena_concat(a, S("User "), go_quote(a, at->user->name), S(" cannot "), at->verb);
	if (!at->is_resource) {
		text = arena_concat(a, text, S(" path "), go_quote(a, at->path));
	} else {
		str resource = at->subresource.n ? arena_concat(a, at->resource, S("/"), at->subresource) : at->resource;
		text = arena_concat(a, text, S(" resource "), go_quote(a, resource), S(" in API group "), go_quote(a, at->group));
		text = at->ns.n ? arena_concat(a, text, S(" in the namespace "), go_quote(a, at->ns)) : arena_concat(a, text, S(" at the cluster scope"));
	}
	text = html_escaped(a, text);
	if (reason.n)
		text = arena_concat(a, text, S(": "), reason);
	return status_forbidden(a, s, at->group, at->resource, at->name, text);
}

static struct attributes attributes_of(const struct user_info *u, const struct request_info *what)
{
	return (struct attributes){
		.user = u, .is_resource = what->is_resource, .verb = what->verb, .ns = what->ns, .group = what->group, .version = what->version,
		.resource = what->resource, .subresource = what->subresource, .name = what->name.n ? what->name : what->field_selector_name,
		.path = what->path,
	};
}

bool authorize(struct request *r, struct api_status *s)
{
	struct attributes at = attributes_of(&r->user, &r->info);
	str selector, reason, node;
	// Only the Node authorizer looks at field selectors.
	if (at.is_resource && user_is_node(&r->user, &node) && http_param_get(&r->params, S("fieldSelector"), &selector)) {
		struct error ignored = { 0 };
		if (!field_selector_parse(r->arena, selector, &at.fields, &ignored))
			at.fields.n = 0;
	}
	if (decide(r, &at, &reason) == ALLOW)
		return true;
	return forbid(r, &at, reason, s);
}

bool authorized(struct request *r, const struct user_info *u, const struct request_info *what, str *reason)
{
	struct attributes at = attributes_of(u, what);
	return decide(r, &at, reason) == ALLOW;
}
