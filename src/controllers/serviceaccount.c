// Every namespace that is not going away has the ServiceAccount "default". Rule: upstream pkg/controller/serviceaccount.
#include "controllers/common.h"

struct serviceaccount {
	struct manager *m;
	struct informer *namespaces, *accounts;
	struct workqueue *queue;
};

static void namespace_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct serviceaccount *c = ctx;
	if (obj)
		queue_object(c->queue, object_of(obj));
}

static void account_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct serviceaccount *c = ctx;
	if (!obj)
		workqueue_add(c->queue, object_ref_meta(old)->namespace);
}

static bool reconcile(void *ctx, struct arena *a, str key, struct error *err)
{
	struct serviceaccount *c = ctx;
	const struct core_v1_Namespace *ns = held_get(a, c->namespaces, S(""), key);
	if (!ns || !str_eq(ns->status.phase, S("Active")) || ns->metadata.deletionTimestamp ||
	    held_get(a, c->accounts, key, S("default")))
		return true;
	struct core_v1_ServiceAccount sa = { .metadata = { .name = S("default"), .namespace = key } };
	return client_create(c->m->client, a, c->m->r.serviceaccounts, key, &sa, err) ||
	       error_is(err, "AlreadyExists") || error_namespace_terminating(err) || err->code == 404;
}

void *serviceaccount_setup(struct manager *m)
{
	struct serviceaccount *c = ARENA_NEW(m->arena, struct serviceaccount);
	*c = (struct serviceaccount){ .m = m,
		                      .namespaces = manager_informer(m, m->r.namespaces),
		                      .accounts = manager_informer(m, m->r.serviceaccounts),
		                      .queue = manager_queue(m) };
	informer_add_handler(c->namespaces, &(struct informer_handler){ namespace_changed, c });
	informer_add_handler(c->accounts, &(struct informer_handler){ account_changed, c });
	return c;
}

void serviceaccount_run(void *self)
{
	struct serviceaccount *c = self;
	workqueue_run(c->queue, "serviceaccount", 1, reconcile, c);
}
