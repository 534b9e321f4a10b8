#include "controllers/common.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/heap.h"
#include "base/log.h"
#include "client/thread.h"

// --- Cached objects ---

static void unref_hook(void *ctx)
{
	object_unref(ctx);
}
static void list_hook(void *ctx)
{
	informer_list_free(ctx);
}

const void *held_get(struct arena *a, struct informer *i, str ns, str name)
{
	struct object_ref *o = informer_get(i, ns, name);
	if (!o)
		return NULL;
	arena_on_free(a, unref_hook, o);
	return object_of(o);
}

static struct held hold(struct arena *a, struct object_list l)
{
	struct object_list *kept = ARENA_NEW(a, struct object_list);
	*kept = l;
	arena_on_free(a, list_hook, kept);
	struct held h = { .v = arena_calloc(a, l.n + 1, sizeof(void *)), .n = l.n };
	for (size_t n = 0; n < l.n; n++)
		h.v[n] = object_of(l.v[n]);
	return h;
}

struct held held_list(struct arena *a, struct informer *i)
{
	return hold(a, informer_list(i));
}

struct held held_by_index(struct arena *a, struct informer *i, const char *index, str key)
{
	return hold(a, informer_by_index(i, index, key));
}

void index_namespace(const void *obj, struct arena *a, struct str_list *keys)
{
	*LIST_ADD(a, keys) = ((const any_object *)obj)->metadata.namespace;
}

void index_controller(const void *obj, struct arena *a, struct str_list *keys)
{
	const any_object *o = obj;
	const struct meta_v1_OwnerReference *c = meta_controller(&o->metadata);
	*LIST_ADD(a, keys) = c ? c->uid : arena_concat(a, S("orphan/"), o->metadata.namespace);
}

void index_node(const void *obj, struct arena *a, struct str_list *keys)
{
	const struct core_v1_Pod *p = obj;
	*LIST_ADD(a, keys) = p->spec.nodeName;
}

struct held held_candidates(struct arena *a, struct informer *i, str ns, str uid)
{
	struct held own = held_by_index(a, i, INDEX_CONTROLLER, uid);
	struct held orphans = held_by_index(a, i, INDEX_CONTROLLER, arena_concat(a, S("orphan/"), ns));
	struct held all = { .v = arena_calloc(a, own.n + orphans.n + 1, sizeof(void *)), .n = own.n + orphans.n };
	if (own.n)
		memcpy(all.v, own.v, own.n * sizeof(void *));
	if (orphans.n)
		memcpy(all.v + own.n, orphans.v, orphans.n * sizeof(void *));
	return all;
}

void queue_object_after(struct workqueue *q, const void *obj, int64_t ms)
{
	const struct meta_v1_ObjectMeta *m = &((const any_object *)obj)->metadata;
	char key[320];
	int n = m->namespace.n
	                ? snprintf(key, sizeof(key), STR_FMT "/" STR_FMT, STR_ARG(m->namespace), STR_ARG(m->name))
	                : snprintf(key, sizeof(key), STR_FMT, STR_ARG(m->name));
	workqueue_add_after(q, str_n(key, MIN((size_t)n, sizeof(key) - 1)), ms);
}

void queue_object(struct workqueue *q, const void *obj)
{
	queue_object_after(q, obj, 0);
}

// --- Pods ---

bool pod_active(const struct core_v1_Pod *p)
{
	return !pod_is_terminal(p) && !p->metadata.deletionTimestamp;
}

bool pod_terminating(const struct core_v1_Pod *p)
{
	return !pod_is_terminal(p) && p->metadata.deletionTimestamp;
}

struct meta_v1_OwnerReference owner_reference(struct arena *a, const struct owner *o)
{
	return meta_owner_ref(a, o->api_version, o->kind, o->meta->name, o->meta->uid);
}

struct core_v1_Pod *pod_from_template(struct arena *a, const struct core_v1_PodTemplateSpec *t, const struct owner *o)
{
	struct core_v1_Pod *p = ARENA_NEW(a, struct core_v1_Pod);
	p->metadata.labels = t->metadata.labels;
	p->metadata.annotations = t->metadata.annotations;
	p->metadata.finalizers = t->metadata.finalizers;
	// Names end in a dash before the five random characters; a pod's name has at most 253.
	p->metadata.generateName = o->meta->name.n < 253 ? arena_concat(a, o->meta->name, S("-")) : o->meta->name;
	*LIST_ADD(a, &p->metadata.ownerReferences) = owner_reference(a, o);
	p->spec = t->spec;
	return p;
}

bool error_namespace_terminating(const struct error *err)
{
	return err->code == 403 && str_contains(error_str(err), S("because it is being terminated"));
}

const struct core_v1_Pod *pod_create(struct manager *m, struct arena *a, const struct owner *o,
                                     const struct core_v1_Pod *pod, struct error *err)
{
	if (pod->metadata.labels.n == 0) {
		error_set(err, "unable to create pods, no labels");
		return NULL;
	}
	const struct core_v1_Pod *made = client_create(m->client, a, m->r.pods, o->meta->namespace, pod, err);
	if (made)
		EVENT(m, o->component, o->resource, o->meta, "Normal", "SuccessfulCreate", "Created pod: " STR_FMT,
		      STR_ARG(made->metadata.name));
	else if (!error_namespace_terminating(err))
		EVENT(m, o->component, o->resource, o->meta, "Warning", "FailedCreate", "Error creating: %s",
		      err->text);
	return made;
}

bool pod_delete(struct manager *m, const struct owner *o, const struct core_v1_Pod *pod, struct error *err)
{
	struct delete_opts d = { .grace_seconds = -1 };
	if (!client_delete(m->client, m->r.pods, pod->metadata.namespace, pod->metadata.name, &d, err)) {
		if (err->code == 404)
			return false;
		EVENT(m, o->component, o->resource, o->meta, "Warning", "FailedDelete", "Error deleting: %s",
		      err->text);
		return error_wrap(err, "unable to delete pods");
	}
	EVENT(m, o->component, o->resource, o->meta, "Normal", "SuccessfulDelete", "Deleted pod: " STR_FMT,
	      STR_ARG(pod->metadata.name));
	return true;
}

// --- Adoption and release ---

static bool patch_meta(struct manager *m, struct arena *a, const struct resource_desc *r,
                       const struct meta_v1_ObjectMeta *o, str patch, struct error *err)
{
	return client_patch(m->client, a, r, NULL, o->namespace, o->name, PATCH_STRATEGIC, patch, err) != NULL;
}

// The owner may have been deleted since the informer saw it: only one that lives adopts.
static bool may_adopt(struct manager *m, struct arena *a, const struct owner *o, struct error *err)
{
	const any_object *fresh = client_get(m->client, a, o->resource, o->meta->namespace, o->meta->name, err);
	if (!fresh)
		return false;
	if (!str_eq(fresh->metadata.uid, o->meta->uid))
		return error_set(err,
		                 "original " STR_FMT " " STR_FMT "/" STR_FMT " is gone: got uid " STR_FMT
		                 ", wanted " STR_FMT,
		                 STR_ARG(o->kind), STR_ARG(o->meta->namespace), STR_ARG(o->meta->name),
		                 STR_ARG(fresh->metadata.uid), STR_ARG(o->meta->uid));
	if (fresh->metadata.deletionTimestamp)
		return error_set(err, STR_FMT "/" STR_FMT " has just been deleted", STR_ARG(o->meta->namespace),
		                 STR_ARG(o->meta->name));
	return true;
}

bool claim(struct manager *m, struct arena *a, const struct owner *o, const struct selector *s,
           const struct resource_desc *r, struct held candidates, bool (*wanted)(const void *obj), struct held *out,
           struct error *err)
{
	*out = (struct held){ .v = arena_calloc(a, candidates.n + 1, sizeof(void *)) };
	int adopt_checked = 0; // 1: may, -1: may not
	struct error first = { 0 };
	for (size_t n = 0; n < candidates.n; n++) {
		const struct meta_v1_ObjectMeta *meta = &((const any_object *)candidates.v[n])->metadata;
		const struct meta_v1_OwnerReference *c = meta_controller(meta);
		bool matches = selector_matches(s, &meta->labels) && (!wanted || wanted(candidates.v[n]));
		struct error e = { 0 };
		if (c) {
			if (!str_eq(c->uid, o->meta->uid))
				continue;
			if (matches) {
				out->v[out->n++] = candidates.v[n];
				continue;
			}
			if (o->meta->deletionTimestamp || (wanted && !wanted(candidates.v[n])))
				continue;
			str patch = arena_printf(
			        a,
			        "{\"metadata\":{\"ownerReferences\":[{\"$patch\":\"delete\",\"uid\":\"" STR_FMT
			        "\"}],\"uid\":\"" STR_FMT "\"}}",
			        STR_ARG(o->meta->uid), STR_ARG(meta->uid));
			// Gone, or owned differently by now: released all the same.
			if (!patch_meta(m, a, r, meta, patch, &e) && e.code != 404 && e.code != 422 && !first.code)
				first = e;
			continue;
		}
		if (o->meta->deletionTimestamp || !matches || meta->deletionTimestamp ||
		    !str_eq(meta->namespace, o->meta->namespace))
			continue;
		if (!adopt_checked)
			adopt_checked = may_adopt(m, a, o, &e) ? 1 : -1;
		if (adopt_checked < 0) {
			if (e.code && !first.code)
				first = e;
			continue;
		}
		str patch =
		        arena_printf(a,
		                     "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"" STR_FMT
		                     "\",\"kind\":\"" STR_FMT "\",\"name\":\"" STR_FMT "\",\"uid\":\"" STR_FMT
		                     "\",\"controller\":true,\"blockOwnerDeletion\":true}],\"uid\":\"" STR_FMT "\"}}",
		                     STR_ARG(o->api_version), STR_ARG(o->kind), STR_ARG(o->meta->name),
		                     STR_ARG(o->meta->uid), STR_ARG(meta->uid));
		if (patch_meta(m, a, r, meta, patch, &e))
			out->v[out->n++] = candidates.v[n];
		else if (e.code != 404 && !first.code)
			first = e;
	}
	if (!first.code)
		return true;
	*err = first;
	return false;
}

// --- Parallel calls ---

struct batch {
	size_t n;
	atomic_size_t next;
	void (*fn)(void *ctx, size_t i);
	void *ctx;
};

static void *batch_main(void *ctx)
{
	struct batch *b = ctx;
	for (size_t i; (i = atomic_fetch_add(&b->next, 1)) < b->n;)
		b->fn(b->ctx, i);
	return NULL;
}

void in_parallel(size_t n, void (*fn)(void *ctx, size_t i), void *ctx)
{
	enum { MOST = 8 };
	struct batch b = { .n = n, .fn = fn, .ctx = ctx };
	pthread_t t[MOST];
	size_t started = 0;
	struct error ignored = { 0 };
	while (started + 1 < MIN(n, (size_t)MOST) && thread_start(&t[started], "batch", batch_main, &b, &ignored))
		started++;
	batch_main(&b); // this thread works, too: also when no other could be started
	for (size_t i = 0; i < started; i++)
		pthread_join(t[i], NULL);
}

// --- Small things ---

bool int_or_percent(const struct int_or_string *v, int32_t total, bool round_up, int32_t *out)
{
	if (!v->is_string) {
		*out = v->i;
		return true;
	}
	str s = v->s;
	int64_t p;
	if (!str_cut_suffix(&s, S("%")) || !str_to_i64(s, &p) || p < INT32_MIN || p > INT32_MAX)
		return false;
	int64_t product = p * total, whole = product / 100;
	if (round_up && product % 100 > 0)
		whole++;
	else if (!round_up && product % 100 < 0)
		whole--;
	*out = (int32_t)whole;
	return true;
}

int64_t now_sec(const struct manager *m)
{
	return clock_wall(m->clock) / NS_PER_SEC;
}

struct api_time now_time(const struct manager *m)
{
	return (struct api_time){ .sec = now_sec(m), .set = true };
}

str json_quote(struct arena *a, str s)
{
	_cleanup_buf_ struct buf b = { 0 };
	json_write_string(&b, s, false);
	return arena_dup(a, buf_str(&b));
}

bool label_selector(struct arena *a, const struct meta_v1_LabelSelector *l, struct selector *out, struct error *err)
{
	return selector_from_label_selector(a, l, out, err);
}
