// The table of what is served: every resource in every version, and where it is stored.
#include "apiserver/apiserver.h"

static unsigned verbs_of(str text)
{
	static const struct { str name; unsigned verb; } names[] = {
		{ S_INIT("get"), V_GET }, { S_INIT("list"), V_LIST }, { S_INIT("watch"), V_WATCH }, { S_INIT("create"), V_CREATE },
		{ S_INIT("update"), V_UPDATE }, { S_INIT("patch"), V_PATCH }, { S_INIT("delete"), V_DELETE }, { S_INIT("deletecollection"), V_DELETECOLLECTION },
	};
	unsigned verbs = 0;
	for (str rest = text, part; str_next(&rest, ',', &part);)
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			if (str_eq(part, names[i].name))
				verbs |= names[i].verb;
	return verbs;
}

// Where resources of several versions, or of several groups, are kept. All others are stored as they are served.
static void storage_of(str group, str version, str resource, str *sgroup, str *sversion)
{
	*sgroup = group;
	*sversion = version;
	if (str_eq(resource, S("events")) && str_eq(group, S("events.k8s.io"))) {
		*sgroup = S("");
		*sversion = S("v1");
	} else if (str_eq(group, S("autoscaling"))) {
		*sversion = S("v2");
	}
}

static const struct strategy general;

bool kinds_load(struct apiserver *s, struct error *err)
{
	size_t n = schema_resource_count();
	s->kinds = ARENA_ARRAY(s->arena, struct kind, n);
	for (size_t i = 0; i < n; i++) {
		const struct resource_desc *d = schema_resource_at(i);
		str resource = schema_text(d->resource);
		if (str_find_char(resource, '/') >= 0)
			continue;
		struct kind *k = &s->kinds[s->nkinds];
		k->index = s->nkinds++;
		k->desc = d;
		k->group = schema_text(d->group);
		k->version = schema_text(d->version);
		k->resource = resource;
		k->name = schema_text(d->kind);
		k->namespaced = d->namespaced;
		k->verbs = verbs_of(schema_text(d->verbs));
		k->message = schema_message_at(d->message);
		k->list_message = d->list_message == UINT32_MAX ? NULL : schema_message_at(d->list_message);
		k->list_name = arena_concat(s->arena, k->name, S("List"));
		k->api_version = k->group.n ? arena_concat(s->arena, k->group, S("/"), k->version) : k->version;
		str sgroup, sversion;
		storage_of(k->group, k->version, resource, &sgroup, &sversion);
		k->storage = schema_resource(sgroup, sversion, resource);
		if (!k->storage)
			return error_set(err, "resource " STR_FMT " has no stored version", STR_ARG(resource));
		k->storage_message = schema_message_at(k->storage->message);
		k->storage_api_version = sgroup.n ? arena_concat(s->arena, sgroup, S("/"), sversion) : sversion;
		k->strategy = strategy_of(sgroup, resource);
		if (!k->strategy)
			k->strategy = &general;
		k->key_prefix = arena_concat(s->arena, sgroup.n ? sgroup : S("core"), S("/"), resource);
		k->spec = schema_field_named(k->storage_message, S("spec"));
		k->status = schema_field_named(k->storage_message, S("status"));
		map_put(&s->by_path, arena_concat(s->arena, k->group, S("/"), k->version, S("/"), resource), k);
		if (k->storage == d && (k->verbs & (V_GET | V_LIST)) && (k->verbs & V_CREATE)) {
			k->cache = cache_add(s->cache, k->key_prefix, k->namespaced, k);
			map_put(&s->by_resource, arena_concat(s->arena, k->group, S("/"), resource), k);
		}
	}
	for (size_t i = 0; i < s->nkinds; i++) {
		struct kind *k = &s->kinds[i];
		str sgroup = schema_text(k->storage->group);
		k->stored = map_get(&s->by_resource, arena_concat(s->arena, sgroup, S("/"), k->resource));
		if (!k->stored)
			k->stored = k;
		k->cache = k->stored->cache;
		if (k->cache && k->group.n && !map_has(&s->by_resource, arena_concat(s->arena, k->group, S("/"), k->resource)))
			map_put(&s->by_resource, arena_concat(s->arena, k->group, S("/"), k->resource), k->stored);
		if (!k->cache)
			continue;
		const struct field_desc *f = schema_field_named(k->message, S("metadata"));
		if (!f || schema_field_message(f) != meta_v1_ObjectMeta_desc)
			return error_set(err, "kind " STR_FMT " has no metadata", STR_ARG(k->name));
	}
	return true;
}

struct kind *kind_find(struct apiserver *s, str group, str version, str resource)
{
	char key[600];
	if (group.n + version.n + resource.n + 2 > sizeof(key))
		return NULL;
	size_t n = 0;
	if (group.n)
		memcpy(key, group.p, group.n);
	n += group.n;
	key[n++] = '/';
	memcpy(key + n, version.p, version.n);
	n += version.n;
	key[n++] = '/';
	memcpy(key + n, resource.p, resource.n);
	return map_get(&s->by_path, str_n(key, n + resource.n));
}

struct kind *kind_stored(struct apiserver *s, str group, str resource)
{
	char key[400];
	if (group.n + resource.n + 1 > sizeof(key))
		return NULL;
	if (group.n)
		memcpy(key, group.p, group.n);
	key[group.n] = '/';
	memcpy(key + group.n + 1, resource.p, resource.n);
	return map_get(&s->by_resource, str_n(key, group.n + 1 + resource.n));
}

struct meta_v1_ObjectMeta *meta_of(const struct kind *k, const void *obj)
{
	// apiVersion, kind and then metadata begin every stored kind.
	return (struct meta_v1_ObjectMeta *)((char *)(uintptr_t)obj + offsetof(struct core_v1_Pod, metadata));
}

str storage_key(struct arena *a, const struct kind *k, str ns, str name)
{
	if (k->namespaced)
		return arena_concat(a, S("/registry/"), k->key_prefix, S("/"), ns, S("/"), name);
	return arena_concat(a, S("/registry/"), k->key_prefix, S("/"), name);
}

void *entry_decode(struct arena *a, const struct kind *k, const struct cache_entry *e, struct error *err)
{
	void *obj = schema_from_json(a, k->storage_message, e->json, NULL, err);
	if (!obj)
		return NULL;
	if (k->strategy->defaults)
		k->strategy->defaults(a, obj);
	if (k->strategy->decorate)
		k->strategy->decorate(a, obj);
	return obj;
}

str entry_protobuf(const struct kind *k, struct cache_entry *e)
{
	enum { PROTOBUF = 1 };
	const struct cache_side *side = cache_side_find(&e->sides, k, PROTOBUF);
	if (!side) {
		_cleanup_arena_ struct arena *a = arena_new(0);
		struct error err = { 0 };
		void *obj = entry_decode(a, k, e, &err);
		obj = obj ? convert_from_stored(a, k, obj, &err) : NULL;
		if (!obj)
			return (str){ 0 };
		struct buf b = { 0 };
		schema_to_pb(&b, k->message, obj);
		side = cache_side_add(&e->sides, k, PROTOBUF, buf_str(&b));
		buf_free(&b);
	}
	return side->bytes;
}

str qualified_resource(struct arena *a, const struct kind *k)
{
	return k->group.n ? arena_concat(a, k->resource, S("."), k->group) : k->resource;
}

// --- What strategies and admission ask for ------------------------------------------------------------------------------

const void *registry_get(struct request *r, str group, str resource, str ns, str name)
{
	struct kind *k = kind_stored(r->server, group, resource);
	if (!k)
		return NULL;
	struct cache_entry *e = cache_get(k->cache, k->namespaced ? ns : S(""), name);
	if (!e)
		return NULL;
	// The struct's text points into the entry, which lives as long as the request.
	arena_on_free(r->arena, (void (*)(void *))(void *)cache_entry_unref, e);
	struct error err = { 0 };
	return entry_decode(r->arena, k, e, &err);
}

struct each { struct request *r; struct kind *k; str ns; bool (*each)(const void *obj, void *ctx); void *ctx; };

static bool each_entry(struct cache_entry *e, void *ctx)
{
	struct each *x = ctx;
	if (x->ns.n && !str_eq(cache_entry_ns(e), x->ns))
		return false;
	struct error err = { 0 };
	void *obj = entry_decode(x->r->arena, x->k, e, &err);
	return !obj || x->each(obj, x->ctx);
}

static void view_free(void *ctx) { cache_view_done(ctx); }

void registry_each(struct request *r, str group, str resource, str ns, bool (*each)(const void *obj, void *ctx), void *ctx)
{
	struct kind *k = kind_stored(r->server, group, resource);
	if (!k)
		return;
	struct cache_view *v = ARENA_NEW(r->arena, struct cache_view);
	*v = cache_view_take(k->cache);
	arena_on_free(r->arena, view_free, v);
	struct each x = { r, k, k->namespaced ? ns : S(""), each, ctx };
	cache_view_each(v, x.ns.n ? arena_concat(r->arena, ns, S("/")) : S(""), false, each_entry, &x);
}

struct policy *apiserver_policy(struct apiserver *s) { return s->policy; }
