// /healthz, /livez, /readyz: what works, check by check.
#include "apiserver/apiserver.h"

struct check { const char *name; bool ready_only; };
static const struct check checks[] = {
	{ "ping", false }, { "log", false }, { "etcd", false }, { "informer-sync", true }, { "poststarthook/start-apiserver-admission-initializer", false },
	{ "poststarthook/bootstrap-controller", false }, { "poststarthook/rbac/bootstrap-roles", false },
	{ "poststarthook/scheduling/bootstrap-system-priority-classes", false }, { "poststarthook/priority-and-fairness-config-producer", false },
	{ "poststarthook/start-service-ip-repair-controllers", false }, { "poststarthook/kube-apiserver-autoregistration", false }, { "shutdown", true },
};

static bool passes(struct apiserver *s, const char *name)
{
	if (strcmp(name, "shutdown") == 0)
		return !atomic_load(&s->stopping);
	if (strncmp(name, "poststarthook/", 14) == 0 || strcmp(name, "informer-sync") == 0)
		return atomic_load(&s->ready);
	return true;
}

bool health(struct call *c)
{
	str path = c->r.info.path, rest;
	bool ready = false;
	if (str_has_prefix(path, S("/healthz")))
		rest = str_from(path, 8);
	else if (str_has_prefix(path, S("/livez")))
		rest = str_from(path, 6);
	else if (str_has_prefix(path, S("/readyz"))) {
		rest = str_from(path, 7);
		ready = true;
	} else {
		return false;
	}
	if (rest.n && rest.p[0] != '/')
		return false;
	str_cut_prefix(&rest, S("/"));
	struct buf b = { 0 };
	bool ok = true, found = rest.n == 0;
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		if (checks[i].ready_only && !ready)
			continue;
		str name = str_c(checks[i].name);
		if (rest.n && !str_eq(rest, name))
			continue;
		// Upstream's readyz has no check of that name on its own path.
		if (rest.n && ready && str_eq(name, S("etcd")))
			continue;
		found = true;
		bool excluded = false;
		for (size_t p = 0; p < c->r.params.n; p++)
			excluded |= str_eq(c->r.params.v[p].key, S("exclude")) && str_eq(c->r.params.v[p].value, name);
		if (excluded) {
			buf_printf(&b, "[+]%s excluded: ok\n", checks[i].name);
		} else if (passes(c->s, checks[i].name)) {
			buf_printf(&b, "[+]%s ok\n", checks[i].name);
		} else {
			buf_printf(&b, "[-]%s failed: reason withheld\n", checks[i].name);
			ok = false;
		}
	}
	if (!found) {
		buf_free(&b);
		return false;
	}
	const char *which = ready ? "readyz" : str_has_prefix(path, S("/livez")) ? "livez" : "healthz";
	bool verbose = false;
	for (size_t p = 0; p < c->r.params.n; p++)
		verbose |= str_eq(c->r.params.v[p].key, S("verbose"));
	if (!ok) {
		buf_printf(&b, "%s check failed\n", which);
		reply_text(c, 500, S("text/plain; charset=utf-8"), buf_str(&b));
	} else if (verbose && !rest.n) {
		buf_printf(&b, "%s check passed\n", which);
		reply_text(c, 200, S("text/plain; charset=utf-8"), buf_str(&b));
	} else {
		reply_text(c, 200, S("text/plain; charset=utf-8"), S("ok"));
	}
	buf_free(&b);
	return true;
}
