#include "kubelet/objects.h"

#define KEEP_NS (20 * NS_PER_SEC)
#define DROP_NS (120 * NS_PER_SEC)

struct entry {
	struct arena *arena;
	void *object;
	int64_t fetched, used;
};

struct object_cache {
	pthread_mutex_t lock;
	struct map entries; // "c/ns/name", "s/ns/name"
};

struct object_cache *object_cache_new(struct kubelet *k)
{
	struct object_cache *c = HEAP_NEW(struct object_cache);
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

static void drop(struct entry *e)
{
	arena_free(e->arena);
	free(e);
}

void object_cache_free(struct object_cache *c)
{
	if (!c)
		return;
	for (struct map_slot *s = NULL; (s = map_each(&c->entries, s));)
		drop(s->value);
	map_free(&c->entries);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static const void *get(struct kubelet *k, struct arena *a, const struct resource_desc *r, const char *kind, str ns, str name,
                       int64_t not_before, struct error *err)
{
	struct object_cache *c = k->objects;
	const struct message_desc *m = schema_message_at(r->message);
	str key = arena_concat(a, str_c(kind), S("/"), ns, S("/"), name);
	int64_t now = clock_mono(k->clock);
	void *found = NULL;
	pthread_mutex_lock(&c->lock);
	struct entry *e = map_get(&c->entries, key);
	if (e && now - e->fetched < KEEP_NS && e->fetched >= not_before) {
		e->used = now;
		found = schema_clone(a, m, e->object);
	}
	pthread_mutex_unlock(&c->lock);
	if (found)
		return found;
	if (str_empty(name)) {
		error_api(err, 404, "NotFound", "%s without a name", kind);
		return NULL;
	}
	struct entry *fresh = HEAP_NEW(struct entry);
	fresh->arena = arena_new(1024);
	fresh->fetched = fresh->used = now;
	void *answer = client_get(k->client, a, r, ns, name, err);
	if (!answer) {
		drop(fresh);
		if (err->code == 404) // in the words of upstream's kubelet, not in the server's
			error_api(err, 404, "NotFound", "%s \"" STR_FMT "\" not found", kind, STR_ARG(name));
		return NULL;
	}
	fresh->object = schema_clone(fresh->arena, m, answer);
	pthread_mutex_lock(&c->lock);
	struct entry *old = map_put(&c->entries, key, fresh);
	if (old)
		drop(old);
	pthread_mutex_unlock(&c->lock);
	return answer;
}

const struct core_v1_ConfigMap *config_map_get(struct kubelet *k, struct arena *a, str ns, str name, int64_t not_before, struct error *err)
{
	return get(k, a, k->r_configmaps, "configmap", ns, name, not_before, err);
}

const struct core_v1_Secret *secret_get(struct kubelet *k, struct arena *a, str ns, str name, int64_t not_before, struct error *err)
{
	return get(k, a, k->r_secrets, "secret", ns, name, not_before, err);
}

void object_cache_trim(struct kubelet *k)
{
	struct object_cache *c = k->objects;
	int64_t now = clock_mono(k->clock);
	bool again = true;
	pthread_mutex_lock(&c->lock);
	while (again) {
		again = false;
		for (struct map_slot *s = NULL; (s = map_each(&c->entries, s));) {
			struct entry *e = s->value;
			if (now - e->used < DROP_NS)
				continue;
			_cleanup_free_ char *key = heap_cstr(s->key);
			map_del(&c->entries, str_c(key));
			drop(e);
			again = true;
			break;
		}
	}
	pthread_mutex_unlock(&c->lock);
}
