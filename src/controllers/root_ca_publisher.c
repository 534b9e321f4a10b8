// Every namespace has the ConfigMap kube-root-ca.crt with the certificate that clients in pods trust.
// Rule: upstream pkg/controller/certificates/rootcacertpublisher.
#include "base/io.h"
#include "base/log.h"
#include "controllers/common.h"

#define NAME S("kube-root-ca.crt")
#define FILE_KEY S("ca.crt")
#define DESCRIPTION_KEY S("kubernetes.io/description")
#define DESCRIPTION \
	S("Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as " \
	  "the internal service IP or kubernetes.default.svc. " \
	  "No other usage is guaranteed across distributions of Kubernetes clusters.")

enum { MAX_FILE = 1 << 20 };

struct root_ca {
	struct manager *m;
	struct informer *namespaces, *configmaps;
	struct workqueue *queue;
	str pem;
};

static void namespace_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct root_ca *c = ctx;
	if (obj)
		queue_object(c->queue, object_of(obj));
}

static void configmap_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct root_ca *c = ctx;
	const any_object *o = changed_object(old, obj);
	if (str_eq(o->metadata.name, NAME))
		workqueue_add(c->queue, o->metadata.namespace);
}

static bool reconcile(void *ctx, struct arena *a, str key, struct error *err)
{
	struct root_ca *c = ctx;
	const struct core_v1_Namespace *ns = held_get(a, c->namespaces, S(""), key);
	if (!ns || !str_eq(ns->status.phase, S("Active")) || ns->metadata.deletionTimestamp)
		return true;
	const struct core_v1_ConfigMap *have = held_get(a, c->configmaps, key, NAME);
	if (!have) {
		struct core_v1_ConfigMap cm = { .metadata = { .name = NAME, .namespace = key } };
		str_map_set(a, &cm.metadata.annotations, DESCRIPTION_KEY, DESCRIPTION);
		str_map_set(a, &cm.data, FILE_KEY, c->pem);
		return client_create(c->m->client, a, c->m->r.configmaps, key, &cm, err) ||
		       error_is(err, "AlreadyExists") || error_namespace_terminating(err) || err->code == 404;
	}
	if (have->data.n == 1 && str_eq(str_map_get(&have->data, FILE_KEY), c->pem) && have->metadata.annotations.n &&
	    str_eq(str_map_get(&have->metadata.annotations, DESCRIPTION_KEY), DESCRIPTION))
		return true;
	struct core_v1_ConfigMap *cm = schema_clone(a, core_v1_ConfigMap_desc, have);
	cm->data = (struct str_map){ 0 };
	str_map_set(a, &cm->data, FILE_KEY, c->pem);
	str_map_set(a, &cm->metadata.annotations, DESCRIPTION_KEY, DESCRIPTION);
	return client_update(c->m->client, a, c->m->r.configmaps, NULL, cm, err) || err->code == 404;
}

void *root_ca_setup(struct manager *m)
{
	if (!m->options->root_ca_file)
		return NULL;
	struct root_ca *c = ARENA_NEW(m->arena, struct root_ca);
	*c = (struct root_ca){ .m = m, .queue = manager_queue(m) };
	struct error err = { 0 };
	if (!io_read_file(m->arena, m->options->root_ca_file, MAX_FILE, &c->pem, &err)) {
		log_error("root-ca-certificate-publisher-controller does not run: %s", err.text);
		return NULL;
	}
	c->namespaces = manager_informer(m, m->r.namespaces);
	// Only the one name is of interest: the other ConfigMaps stay where they are.
	c->configmaps = informer_new(m->root->client, m->r.configmaps,
	                             &(struct list_opts){ .field_selector = S("metadata.name=kube-root-ca.crt") });
	manager_adopt_informer(m, c->configmaps);
	informer_add_handler(c->namespaces, &(struct informer_handler){ namespace_changed, c });
	informer_add_handler(c->configmaps, &(struct informer_handler){ configmap_changed, c });
	return c;
}

void root_ca_run(void *self)
{
	struct root_ca *c = self;
	workqueue_run(c->queue, "root-ca", 1, reconcile, c);
}
