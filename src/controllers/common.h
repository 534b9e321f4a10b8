// What controllers share: objects held for the time of a reconcile, pods made and deleted with events, expectations,
// adoption and release.
#ifndef CORACLE_CONTROLLERS_COMMON_H
#define CORACLE_CONTROLLERS_COMMON_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "controllers/manager.h"
#include "object/meta.h"
#include "object/selector.h"

// Every object of the API begins like this.
typedef struct meta_v1_PartialObjectMetadata any_object;

// --- Cached objects, held until the arena is freed or reset ---
struct held {
	const void **v;
	size_t n;
};
const void *held_get(struct arena *a, struct informer *i, str ns, str name); // NULL: not there
struct held held_list(struct arena *a, struct informer *i);
struct held held_by_index(struct arena *a, struct informer *i, const char *index, str key);

// Indexes: by namespace; by the UID of the controller, or "orphan/<namespace>" where there is none; pods by node.
#define INDEX_NAMESPACE "namespace"
#define INDEX_CONTROLLER "controller"
#define INDEX_NODE "node"
void index_namespace(const void *obj, struct arena *a, struct str_list *keys);
void index_controller(const void *obj, struct arena *a, struct str_list *keys);
void index_node(const void *pod, struct arena *a, struct str_list *keys);
// Objects of the controller and orphans of the namespace.
struct held held_candidates(struct arena *a, struct informer *i, str ns, str uid);

// --- Keys from handlers ---
// The object that changed: the new one, or the old one of a deletion.
static inline const void *changed_object(const struct object_ref *old, const struct object_ref *obj)
{
	return object_of(obj ? obj : old);
}
void queue_object(struct workqueue *q, const void *obj);
void queue_object_after(struct workqueue *q, const void *obj, int64_t ms);

// --- Pods ---
bool pod_active(const struct core_v1_Pod *p);      // not terminal and not being deleted
bool pod_terminating(const struct core_v1_Pod *p); // being deleted and not terminal
// Sorts pods so that those that should go first stand first (upstream: ActivePodsWithRanks). ranks: as many as pods, moved
// along; NULL: none. now_ns == 0: times are compared exactly.
void pods_rank_for_deletion(struct arena *a, const struct core_v1_Pod **pods, size_t n, const int *ranks,
                            int64_t now_ns);

// An owner as references and events name it.
struct owner {
	const struct resource_desc *resource;
	str api_version, kind;
	const struct meta_v1_ObjectMeta *meta;
	const char *component; // source of its events: "replicaset-controller"
};
struct meta_v1_OwnerReference owner_reference(struct arena *a, const struct owner *o);
// Makes a pod of the template, controlled by the owner; name empty: generated from the owner's. Writes the events
// SuccessfulCreate and FailedCreate (none while the namespace goes away).
struct core_v1_Pod *pod_from_template(struct arena *a, const struct core_v1_PodTemplateSpec *t, const struct owner *o);
const struct core_v1_Pod *pod_create(struct manager *m, struct arena *a, const struct owner *o,
                                     const struct core_v1_Pod *pod, struct error *err);
// NotFound is an error without an event.
bool pod_delete(struct manager *m, const struct owner *o, const struct core_v1_Pod *pod, struct error *err);
bool error_namespace_terminating(const struct error *err);

#define EVENT(m, component, resource, meta, type, reason, ...) \
	recorder_event_as((m)->recorder, (component), (resource), (meta), S(""), (type), (reason), __VA_ARGS__)

// --- Adoption and release (upstream: controller_ref_manager.go) ---
// Of the candidates, those that the owner controls and its selector matches; orphans that match are adopted, own ones that do not
// match any more are released. `wanted` may leave objects out before adoption (NULL: none). False when a patch failed.
bool claim(struct manager *m, struct arena *a, const struct owner *o, const struct selector *s,
           const struct resource_desc *r, struct held candidates, bool (*wanted)(const void *obj), struct held *out,
           struct error *err);

// --- Expectations: what a controller did and its informer has not shown yet (upstream: UIDTrackingControllerExpectations) ---
struct expectations;
struct expectations *expectations_new(struct manager *m);
// What is expected from now on, instead of what was before.
void expect(struct expectations *e, str key, int creations, const struct core_v1_Pod **deletions, size_t n);
void expect_creations(struct expectations *e, str key, int n);
void expect_deletions(struct expectations *e, str key, const struct core_v1_Pod **pods, size_t n);
void creation_observed(struct expectations *e, str key);
void deletion_observed(struct expectations *e, str key, const struct meta_v1_ObjectMeta *pod);
bool expectations_met(struct expectations *e, str key); // or none, or older than five minutes
void expectations_forget(struct expectations *e, str key);

// Runs fn(ctx, 0..n-1) on up to eight threads and waits for all.
void in_parallel(size_t n, void (*fn)(void *ctx, size_t i), void *ctx);

// --- Small things ---
// qsort, also of lists that are empty and NULL.
static inline void sort_items(void *v, size_t n, size_t size, int (*compare)(const void *, const void *))
{
	if (n > 1)
		qsort(v, n, size, compare);
}
// "25%" of total or a plain number; false: neither.
bool int_or_percent(const struct int_or_string *v, int32_t total, bool round_up, int32_t *out);
int64_t now_sec(const struct manager *m);
struct api_time now_time(const struct manager *m);
// A JSON merge patch or the like: appends quoted JSON text.
str json_quote(struct arena *a, str s);
bool label_selector(struct arena *a, const struct meta_v1_LabelSelector *l, struct selector *out, struct error *err);

#endif
