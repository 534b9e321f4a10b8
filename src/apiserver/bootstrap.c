// The objects that every cluster has: made when the server starts and they are not there; RBAC roles are brought up to date.
#include "apiserver/apiserver.h"

#include "base/log.h"
#include "json/json.h"
#include "object/meta.h"

// The bootstrap objects know no clock and no chance: uid and creation time are added here.
static bool put_new(struct apiserver *s, struct arena *a, struct kind *k, void *obj, struct error *err)
{
	struct meta_v1_ObjectMeta *m = meta_of(k, obj);
	struct cache_entry *e = cache_get(k->cache, m->namespace, m->name);
	if (e) {
		cache_entry_unref(e);
		return true;
	}
	m->uid = rng_uuid(s->rng, a);
	m->creationTimestamp = api_time_now(clock_wall(s->clock));
	m->resourceVersion = S("");
	if (k->strategy->generation && !m->generation)
		m->generation = 1;
	if (k->strategy->defaults)
		k->strategy->defaults(a, obj);
	struct buf b = { 0 };
	encode_stored(&b, k, obj);
	struct store_op op = { .kind = STORE_PUT, .key = storage_key(a, k, m->namespace, m->name), .value = buf_str(&b) };
	struct store_result r = store_commit_wait(s->store, &op, 1);
	buf_free(&b);
	if (r.err.code) {
		*err = r.err;
		return false;
	}
	return true;
}

static bool put_all(struct apiserver *s, const char *name, const char *group, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	str text = schema_bootstrap(str_c(name));
	struct kind *k = kind_stored(s, str_c(group), str_c(name));
	if (!text.n || !k)
		return true;
	struct value *list = json_parse(a, text, NULL, err);
	if (!list)
		return error_wrap(err, "bootstrap %s", name);
	struct value *items = value_is(list, V_ARRAY) ? list : value_get(list, S("items"));
	for (size_t i = 0; items && i < items->a.n; i++) {
		void *obj = schema_from_value(a, k->storage_message, items->a.v[i], NULL, err);
		if (!obj)
			return error_wrap(err, "bootstrap %s[%zu]", name, i);
		if (!put_new(s, a, k, obj, err))
			return error_wrap(err, "bootstrap %s[%zu]", name, i);
	}
	return true;
}

bool bootstrap(struct apiserver *s, struct error *err)
{
	static const struct { const char *name, *group; } all[] = {
		{ "namespaces", "" }, { "priorityclasses", "scheduling.k8s.io" }, { "prioritylevelconfigurations", "flowcontrol.apiserver.k8s.io" },
		{ "flowschemas", "flowcontrol.apiserver.k8s.io" }, { "clusterroles", "rbac.authorization.k8s.io" },
		{ "clusterrolebindings", "rbac.authorization.k8s.io" }, { "roles", "rbac.authorization.k8s.io" }, { "rolebindings", "rbac.authorization.k8s.io" },
		{ "apiservices", "apiregistration.k8s.io" },
	};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (!put_all(s, all[i].name, all[i].group, err))
			return false;
	return true;
}
