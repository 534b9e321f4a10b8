#include "object/meta.h"

#include "base/clock.h"
#include "object/names.h"
#include "schema/quantity.h"

const struct meta_v1_OwnerReference *meta_controller(const struct meta_v1_ObjectMeta *m)
{
	for (size_t i = 0; i < m->ownerReferences.n; i++) {
		const struct meta_v1_OwnerReference *r = &m->ownerReferences.v[i];
		if (r->controller && *r->controller)
			return r;
	}
	return NULL;
}

bool meta_controlled_by(const struct meta_v1_ObjectMeta *m, str uid)
{
	const struct meta_v1_OwnerReference *r = meta_controller(m);
	return r && str_eq(r->uid, uid);
}

struct meta_v1_OwnerReference meta_owner_ref(struct arena *a, str api_version, str kind, str name, str uid)
{
	struct meta_v1_OwnerReference r = { .apiVersion = api_version, .kind = kind, .name = name, .uid = uid };
	r.controller = ARENA_NEW(a, bool);
	r.blockOwnerDeletion = ARENA_NEW(a, bool);
	*r.controller = *r.blockOwnerDeletion = true;
	return r;
}

bool meta_has_finalizer(const struct meta_v1_ObjectMeta *m, str finalizer)
{
	return str_list_has(&m->finalizers, finalizer);
}

// --- Pods ---

const struct core_v1_PodCondition *pod_condition(const struct core_v1_Pod *p, str type)
{
	for (size_t i = 0; i < p->status.conditions.n; i++)
		if (str_eq(p->status.conditions.v[i].type, type))
			return &p->status.conditions.v[i];
	return NULL;
}

bool pod_is_ready(const struct core_v1_Pod *p)
{
	const struct core_v1_PodCondition *c = pod_condition(p, S("Ready"));
	return c && str_eq(c->status, S("True"));
}

bool pod_is_available(const struct core_v1_Pod *p, int32_t min_ready_seconds, int64_t now_sec)
{
	const struct core_v1_PodCondition *c = pod_condition(p, S("Ready"));
	if (!c || !str_eq(c->status, S("True")))
		return false;
	if (min_ready_seconds == 0)
		return true;
	return c->lastTransitionTime.set && c->lastTransitionTime.sec + min_ready_seconds <= now_sec;
}

bool pod_is_terminal(const struct core_v1_Pod *p)
{
	return str_eq(p->status.phase, S("Succeeded")) || str_eq(p->status.phase, S("Failed"));
}

static void add_all(struct arena *a, struct quantity_map *to, const struct quantity_map *from)
{
	for (size_t i = 0; i < from->n; i++) {
		struct quantity have;
		if (quantity_map_get(to, from->v[i].key, &have))
			quantity_map_set(a, to, from->v[i].key, quantity_add(a, have, from->v[i].value));
		else
			quantity_map_set(a, to, from->v[i].key, from->v[i].value);
	}
}

static void max_all(struct arena *a, struct quantity_map *to, const struct quantity_map *from)
{
	for (size_t i = 0; i < from->n; i++) {
		struct quantity have;
		if (!quantity_map_get(to, from->v[i].key, &have) || quantity_cmp(from->v[i].value, have) > 0)
			quantity_map_set(a, to, from->v[i].key, from->v[i].value);
	}
}

static bool pod_level(str resource)
{
	return str_eq(resource, S("cpu")) || str_eq(resource, S("memory")) || str_has_prefix(resource, S("hugepages-"));
}

static bool is_sidecar(const struct core_v1_Container *c)
{
	return c->restartPolicy && str_eq(*c->restartPolicy, S("Always"));
}

// What all containers need together: those that run side by side (sidecars too), or, where that is more, the greediest
// moment of the start, when one init container runs beside the sidecars before it. Rule: KEP-753, KEP-2837.
static void pod_sum(struct arena *a, const struct core_v1_Pod *p, bool limits, struct quantity_map *out)
{
	struct quantity_map sum = { 0 }, sidecars = { 0 }, start = { 0 };
	for (size_t i = 0; i < p->spec.containers.n; i++) {
		const struct core_v1_ResourceRequirements *r = &p->spec.containers.v[i].resources;
		add_all(a, &sum, limits ? &r->limits : &r->requests);
	}
	for (size_t i = 0; i < p->spec.initContainers.n; i++) {
		const struct core_v1_Container *c = &p->spec.initContainers.v[i];
		const struct quantity_map *own = limits ? &c->resources.limits : &c->resources.requests;
		struct quantity_map moment = { 0 };
		if (is_sidecar(c)) {
			add_all(a, &sum, own);
			add_all(a, &sidecars, own);
			add_all(a, &moment, &sidecars);
		} else {
			add_all(a, &moment, own);
			add_all(a, &moment, &sidecars);
		}
		max_all(a, &start, &moment);
	}
	max_all(a, &sum, &start);
	if (p->spec.resources) {
		const struct quantity_map *whole = limits ? &p->spec.resources->limits : &p->spec.resources->requests;
		for (size_t i = 0; i < whole->n; i++)
			if (pod_level(whole->v[i].key))
				quantity_map_set(a, &sum, whole->v[i].key, whole->v[i].value);
	}
	for (size_t i = 0; i < p->spec.overhead.n; i++) {
		const struct quantity_entry *e = &p->spec.overhead.v[i];
		struct quantity have;
		bool there = quantity_map_get(&sum, e->key, &have);
		if (limits && (!there || quantity_is_zero(have)))
			continue; // no limit stays no limit
		quantity_map_set(a, &sum, e->key, there ? quantity_add(a, have, e->value) : e->value);
	}
	*out = sum;
}

void pod_requests(struct arena *a, const struct core_v1_Pod *p, struct quantity_map *out)
{
	pod_sum(a, p, false, out);
}

void pod_limits(struct arena *a, const struct core_v1_Pod *p, struct quantity_map *out)
{
	pod_sum(a, p, true, out);
}

struct qos_sum {
	struct quantity_map requests, limits;
	bool guaranteed;
};

static bool counts_for_qos(const struct quantity_entry *e)
{
	return (str_eq(e->key, S("cpu")) || str_eq(e->key, S("memory"))) && quantity_sign(e->value) > 0;
}

static void qos_add(struct arena *a, struct qos_sum *sum, const struct core_v1_ResourceRequirements *r)
{
	size_t limited = 0;
	for (size_t i = 0; i < r->requests.n; i++)
		if (counts_for_qos(&r->requests.v[i]))
			add_all(a, &sum->requests, &(struct quantity_map){ &r->requests.v[i], 1 });
	for (size_t i = 0; i < r->limits.n; i++)
		if (counts_for_qos(&r->limits.v[i])) {
			add_all(a, &sum->limits, &(struct quantity_map){ &r->limits.v[i], 1 });
			limited++;
		}
	if (limited < 2)
		sum->guaranteed = false;
}

str pod_qos_class(struct arena *a, const struct core_v1_Pod *p)
{
	struct qos_sum sum = { .guaranteed = true };
	if (p->spec.resources) {
		// Without pod-level limits the pod may still be guaranteed when it asks for nothing; that is BestEffort below.
		bool had = p->spec.resources->limits.n > 0;
		qos_add(a, &sum, p->spec.resources);
		if (!had)
			sum.guaranteed = true;
	} else {
		for (size_t i = 0; i < p->spec.containers.n; i++)
			qos_add(a, &sum, &p->spec.containers.v[i].resources);
		for (size_t i = 0; i < p->spec.initContainers.n; i++)
			qos_add(a, &sum, &p->spec.initContainers.v[i].resources);
	}
	if (sum.requests.n == 0 && sum.limits.n == 0)
		return S("BestEffort");
	for (size_t i = 0; i < sum.requests.n; i++) {
		struct quantity limit;
		if (!quantity_map_get(&sum.limits, sum.requests.v[i].key, &limit) || quantity_cmp(limit, sum.requests.v[i].value) != 0)
			sum.guaranteed = false;
	}
	return sum.guaranteed && sum.requests.n == sum.limits.n ? S("Guaranteed") : S("Burstable");
}

bool toleration_tolerates(const struct core_v1_Toleration *t, const struct core_v1_Taint *taint)
{
	if (t->effect.n && !str_eq(t->effect, taint->effect))
		return false;
	if (t->key.n && !str_eq(t->key, taint->key))
		return false;
	if (t->operator.n == 0 || str_eq(t->operator, S("Equal")))
		return str_eq(t->value, taint->value);
	return str_eq(t->operator, S("Exists"));
}

str pod_template_hash(struct arena *a, const struct core_v1_PodTemplateSpec *t, const int32_t *collision_count)
{
	struct buf json = { 0 };
	schema_to_json(&json, core_v1_PodTemplateSpec_desc, t);
	uint32_t h = 2166136261u; // FNV-1a
	for (size_t i = 0; i < json.n; i++)
		h = (h ^ (unsigned char)json.p[i]) * 16777619u;
	for (int i = 0; collision_count && i < 4; i++)
		h = (h ^ (((uint32_t)*collision_count >> (8 * i)) & 0xff)) * 16777619u;
	buf_free(&json);
	// Decimal digits spelled in the alphabet of generated names, so that the hash never spells a word.
	static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
	str digits = arena_printf(a, "%u", h);
	char *to = arena_alloc(a, digits.n + 1);
	for (size_t i = 0; i < digits.n; i++)
		to[i] = alphabet[(unsigned char)digits.p[i] % (sizeof(alphabet) - 1)];
	return str_n(to, digits.n);
}

// --- Times ---

struct api_time api_time_now(int64_t wall_ns)
{
	return (struct api_time){ .sec = wall_ns / NS_PER_SEC, .set = true };
}

struct api_time api_microtime_now(int64_t wall_ns)
{
	return (struct api_time){ .sec = wall_ns / NS_PER_SEC, .nsec = (int32_t)(wall_ns % NS_PER_SEC / 1000 * 1000), .set = true };
}

int64_t api_time_ns(struct api_time t)
{
	return t.set ? t.sec * NS_PER_SEC + t.nsec : 0;
}
