// Who may ask the kubelet: certificates of the cluster's CA and tokens (TokenReview), judged by the API server
// (SubjectAccessReview), except for system:masters, who may do everything anyway.
#include "kubelet/server.h"


bool call_authenticate(struct call *c, str bearer)
{
	struct kubelet *k = c->k;
	if (c->user.n) {
		*LIST_ADD(c->arena, &c->groups) = S("system:authenticated");
		return true;
	}
	if (bearer.n && k->cfg.webhook_authn) {
		struct error err = { 0 };
		struct authentication_v1_TokenReview r = { .spec = { .token = bearer } };
		struct authentication_v1_TokenReview *answer = client_create(k->client, c->arena, k->r_token_reviews, S(""), &r, &err);
		if (answer && answer->status.authenticated) {
			c->user = answer->status.user.username;
			c->groups = answer->status.user.groups;
			return true;
		}
	} else if (!bearer.n && k->cfg.anonymous) {
		c->user = S("system:anonymous");
		*LIST_ADD(c->arena, &c->groups) = S("system:unauthenticated");
		return true;
	}
	call_reply(c, 401, S("text/plain; charset=utf-8"), S("Unauthorized"));
	return false;
}

static const char *verb_of(str method)
{
	static const struct { const char *method, *verb; } verbs[] = {
		{ "POST", "create" }, { "GET", "get" }, { "HEAD", "get" }, { "PUT", "update" }, { "PATCH", "patch" }, { "DELETE", "delete" },
	};
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (str_eqc(method, verbs[i].method))
			return verbs[i].verb;
	return "";
}

// The subresources of nodes that stand for a path, the finest first.
static size_t subresources(str path, const char *out[2])
{
	size_t n = 0;
	if (str_has_prefix(path, S("/stats")))
		out[n++] = "stats";
	else if (str_has_prefix(path, S("/metrics")))
		out[n++] = "metrics";
	else if (str_has_prefix(path, S("/logs")))
		out[n++] = "log";
	else if (str_has_prefix(path, S("/healthz"))) {
		out[n++] = "healthz";
		out[n++] = "proxy";
	} else if (str_has_prefix(path, S("/pods")) || str_has_prefix(path, S("/runningpods"))) {
		out[n++] = "pods";
		out[n++] = "proxy";
	} else
		out[n++] = "proxy";
	return n;
}

// 1: allowed, 0: not, -1: it could not be asked.
static int ask(struct call *c, const char *verb, const char *sub)
{
	struct kubelet *k = c->k;
	struct error err = { 0 };
	struct authorization_v1_ResourceAttributes attributes = { .verb = str_c(verb), .version = S("v1"), .resource = S("nodes"),
	                                                          .subresource = str_c(sub), .name = k->node_name };
	struct authorization_v1_SubjectAccessReview r = { .spec = { .resourceAttributes = &attributes, .user = c->user, .groups = c->groups } };
	struct authorization_v1_SubjectAccessReview *answer = client_create(k->client, c->arena, k->r_sar, S(""), &r, &err);
	if (!answer) {
		log_warn("authorization of " STR_FMT ": %s", STR_ARG(c->user), err.text);
		return -1;
	}
	return answer->status.allowed;
}

bool call_authorize(struct call *c)
{
	const char *subs[2], *verb = verb_of(c->method);
	size_t n = subresources(c->path, subs);
	bool failed = false;
	if (c->k->cfg.always_allow)
		return true;
	for (size_t i = 0; i < c->groups.n; i++)
		if (str_eqc(c->groups.v[i], "system:masters"))
			return true;
	for (size_t i = 0; i < n; i++) {
		int r = ask(c, verb, subs[i]);
		if (r == 1)
			return true;
		failed |= r < 0;
	}
	str text = failed ? arena_printf(c->arena, "Authorization error (user=" STR_FMT ", verb=%s, resource=nodes, subresource(s)=[%s%s%s])",
	                                 STR_ARG(c->user), verb, subs[0], n > 1 ? " " : "", n > 1 ? subs[1] : "")
	                  : arena_printf(c->arena, "Forbidden (user=" STR_FMT ", verb=%s, resource=nodes, subresource(s)=[%s%s%s])", STR_ARG(c->user),
	                                 verb, subs[0], n > 1 ? " " : "", n > 1 ? subs[1] : "");
	call_reply(c, failed ? 500 : 403, S("text/plain; charset=utf-8"), text);
	return false;
}
