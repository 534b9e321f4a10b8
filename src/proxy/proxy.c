// The proxy's process: informers note what changed, one thread brings the kernel in line, a change set at a time.

#include "proxy/proxy.h"

#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/heap.h"
#include "base/log.h"
#include "client/workqueue.h"
#include "proxy/conntrack.h"
#include "proxy/nft.h"
#include "proxy/routes.h"
#include "proxy/rules.h"

enum { GATHER_MS = 5, RETRY_MS = 1000 };

// What has been applied for one Service.
struct applied {
	struct arena *arena;
	struct rule_objects objects;
};

struct proxy {
	struct client *client;
	struct informer *services, *slices, *nodes;
	struct rules_opts rules;
	const char *service_cidr;
	struct routes *routes;
	struct nft *nft;
	struct map applied;      // ns/name -> struct applied
	struct map shared;       // users of set elements
	pthread_mutex_t lock;    // what the informers' threads note
	pthread_cond_t changed;
	struct map dirty;        // ns/name of Services to look at
	bool nodes_dirty;
};

static void note(struct proxy *p, str ns, str name)
{
	_cleanup_arena_ struct arena *a = arena_new(512);
	pthread_mutex_lock(&p->lock);
	map_put(&p->dirty, key_of(a, ns, name), NULL);
	pthread_cond_signal(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

static void service_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	const struct meta_v1_ObjectMeta *m = object_ref_meta(obj ? obj : old);
	note(ctx, m->namespace, m->name);
}

static str service_of(const struct meta_v1_ObjectMeta *slice)
{
	return str_map_get(&slice->labels, S("kubernetes.io/service-name"));
}

static void slice_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct object_ref *both[2] = { old, obj };
	for (int i = 0; i < 2; i++)
		if (both[i] && service_of(object_ref_meta(both[i])).n)
			note(ctx, object_ref_meta(both[i])->namespace, service_of(object_ref_meta(both[i])));
}

static void node_changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct proxy *p = ctx;
	if (old && obj) { // heartbeats change nothing here
		const struct core_v1_Node *x = object_of(old), *y = object_of(obj);
		bool same = x->spec.podCIDRs.n == y->spec.podCIDRs.n && str_eq(x->spec.podCIDR, y->spec.podCIDR) &&
		            x->status.addresses.n == y->status.addresses.n;
		for (size_t i = 0; same && i < x->status.addresses.n; i++)
			same = str_eq(x->status.addresses.v[i].address, y->status.addresses.v[i].address);
		if (same)
			return;
	}
	pthread_mutex_lock(&p->lock);
	p->nodes_dirty = true;
	pthread_cond_signal(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

static void index_by_service(const void *obj, struct arena *a, struct str_list *keys)
{
	const struct discovery_v1_EndpointSlice *s = obj;
	str name = service_of(&s->metadata);
	if (name.n)
		*LIST_ADD(a, keys) = key_of(a, s->metadata.namespace, name);
}

static void applied_free(struct applied *x)
{
	if (x) {
		arena_free(x->arena);
		free(x);
	}
}

// What a Service wants now, copied out of the informers' objects.
static struct applied *desired(struct proxy *p, str key)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	str ns, name;
	key_split(key, &ns, &name);
	struct applied *x = HEAP_NEW(struct applied);
	x->arena = arena_new(512);
	_cleanup_object_ struct object_ref *ref = informer_get(p->services, ns, name);
	if (!ref)
		return x;
	_cleanup_list_ struct object_list list = informer_by_index(p->slices, "service", key);
	const struct discovery_v1_EndpointSlice **slices = ARENA_ARRAY(a, const struct discovery_v1_EndpointSlice *, list.n);
	for (size_t i = 0; i < list.n; i++)
		slices[i] = object_of(list.v[i]);
	struct rule_objects o = { 0 };
	rules_of_service(a, &p->rules, object_of(ref), slices, list.n, &o);
	for (size_t i = 0; i < o.n; i++)
		*LIST_ADD(x->arena, &x->objects) = (struct rule_object){ .kind = o.v[i].kind, .name = arena_dup(x->arena, o.v[i].name),
			.key = arena_dup(x->arena, o.v[i].key), .body = arena_dup(x->arena, o.v[i].body) };
	return x;
}

struct change { str key; struct applied *want; };
struct changes { struct change *v; size_t n; };

// One transaction for all that changed. When the kernel refuses it, everything is built anew the next time.
static bool apply(struct proxy *p, struct arena *a, struct changes *c, bool anew, struct error *err)
{
	static const struct rule_objects nothing = { 0 };
	_cleanup_buf_ struct buf b = { 0 };
	if (anew) {
		map_free(&p->shared);
		rules_base(&b, &p->rules, str_c(p->service_cidr ? p->service_cidr : ""));
	}
	for (size_t i = 0; i < c->n; i++) {
		struct applied *had = anew ? NULL : map_get(&p->applied, c->v[i].key);
		rules_diff(&b, had ? &had->objects : &nothing, &c->v[i].want->objects, &p->shared, &p->rules);
	}
	bool ok = true;
	if (b.n) {
		buf_add_char(&b, 0);
		ok = nft_run(p->nft, b.p, err);
	}
	for (size_t i = 0; ok && i < c->n; i++) {
		struct applied *want = c->v[i].want, *had = want->objects.n ? map_put(&p->applied, c->v[i].key, want) : map_del(&p->applied, c->v[i].key);
		if (want->objects.n == 0)
			applied_free(want);
		applied_free(had);
	}
	for (size_t i = 0; !ok && i < c->n; i++)
		applied_free(c->v[i].want);
	return ok;
}

static void forget_all(struct proxy *p)
{
	for (struct map_slot *s = NULL; (s = map_each(&p->applied, s));)
		applied_free(s->value);
	map_free(&p->applied);
}

// Takes the notes. Returns whether nodes changed.
static bool take(struct proxy *p, struct arena *a, struct str_list *keys, bool everything)
{
	pthread_mutex_lock(&p->lock);
	bool nodes = p->nodes_dirty;
	p->nodes_dirty = false;
	for (struct map_slot *s = NULL; (s = map_each(&p->dirty, s));)
		*LIST_ADD(a, keys) = arena_dup(a, s->key);
	map_free(&p->dirty);
	pthread_mutex_unlock(&p->lock);
	if (everything) {
		_cleanup_list_ struct object_list list = informer_list(p->services);
		keys->n = 0;
		keys->v = NULL;
		for (size_t i = 0; i < list.n; i++)
			*LIST_ADD(a, keys) = key_of(a, object_ref_meta(list.v[i])->namespace, object_ref_meta(list.v[i])->name);
	}
	return nodes || everything;
}

static void wait_for_change(struct proxy *p, int64_t limit_ms)
{
	pthread_mutex_lock(&p->lock);
	if (limit_ms < 0) {
		while (p->dirty.n == 0 && !p->nodes_dirty)
			pthread_cond_wait(&p->changed, &p->lock);
	} else {
		struct timespec until;
		int64_t at = clock_mono(NULL) + limit_ms * NS_PER_MS;
		until = (struct timespec){ .tv_sec = at / NS_PER_SEC, .tv_nsec = at % NS_PER_SEC };
		while (p->dirty.n == 0 && !p->nodes_dirty && pthread_cond_timedwait(&p->changed, &p->lock, &until) == 0)
			;
	}
	pthread_mutex_unlock(&p->lock);
}

static void sync_loop(struct proxy *p)
{
	bool anew = true, nodes_again = true;
	for (;;) {
		_cleanup_arena_ struct arena *a = arena_new(0);
		struct error err = { 0 };
		struct str_list keys = { 0 };
		struct changes changes = { 0 };
		bool nodes = take(p, a, &keys, anew) || nodes_again;
		nodes_again = nodes && !routes_sync(p->routes, p->nodes, &err);
		if (nodes_again)
			log_warn("%s", err.text);
		for (size_t i = 0; i < keys.n; i++)
			*LIST_ADD(a, &changes) = (struct change){ keys.v[i], desired(p, keys.v[i]) };
		struct udp_flows stale = { 0 };
		for (size_t i = 0; !anew && i < changes.n; i++) {
			const struct applied *had = map_get(&p->applied, changes.v[i].key);
			if (had)
				conntrack_stale(a, &had->objects, &changes.v[i].want->objects, &stale);
		}
		if (anew)
			forget_all(p);
		if (!apply(p, a, &changes, anew, &err)) {
			log_error("%s", err.text);
			anew = true;
		} else {
			anew = false;
			if (stale.n && !conntrack_forget(&stale, &err))
				log_warn("forget UDP flows: %s", err.text);
		}
		wait_for_change(p, anew || nodes_again ? RETRY_MS : -1);
		clock_sleep(NULL, GATHER_MS * NS_PER_MS); // changes come in groups
	}
}

static int cleanup(const struct routes_opts *o)
{
	struct error err = { 0 };
	_cleanup_buf_ struct buf b = { 0 };
	struct nft *n = nft_open(&err);
	rules_delete(&b);
	buf_add_char(&b, 0);
	bool ok = n && nft_run(n, b.p, &err);
	nft_close(n);
	routes_cleanup(o);
	if (!ok)
		log_error("%s", err.text);
	return ok ? 0 : 1;
}

static const char USAGE[] = "usage: coracle proxy --kubeconfig FILE --hostname-override NODE [--cluster-cidr CIDR] [--service-cidr CIDR]\n"
			    "                     [--cni-conf-dir DIR] [--cleanup]\n";

int proxy_main(int argc, char **argv)
{
	enum { O_KUBECONFIG = 256, O_NAME, O_CLUSTER, O_SERVICE, O_CNI, O_CLEANUP };
	static const struct option options[] = {
		{ "kubeconfig", required_argument, NULL, O_KUBECONFIG }, { "hostname-override", required_argument, NULL, O_NAME },
		{ "cluster-cidr", required_argument, NULL, O_CLUSTER },  { "service-cidr", required_argument, NULL, O_SERVICE },
		{ "cni-conf-dir", required_argument, NULL, O_CNI },      { "cleanup", no_argument, NULL, O_CLEANUP },
		{ 0 },
	};
	const char *kubeconfig = NULL, *cluster_cidr = "";
	bool clean = false;
	struct proxy p = { 0 };
	struct routes_opts r = { 0 };
	struct error err = { 0 };
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case O_KUBECONFIG: kubeconfig = optarg; break;
		case O_NAME: r.node_name = optarg; break;
		case O_CLUSTER: r.cluster_cidr = cluster_cidr = optarg; break;
		case O_SERVICE: r.service_cidr = p.service_cidr = optarg; break;
		case O_CNI: r.cni_conf_dir = optarg; break;
		case O_CLEANUP: clean = true; break;
		default: fputs(USAGE, stderr); return 2;
		}
	}
	log_start("proxy", LOG_INFO);
	if (clean)
		return cleanup(&r);
	if (!kubeconfig || !r.node_name || optind < argc) {
		fputs(USAGE, stderr);
		return 2;
	}
	p.rules = (struct rules_opts){ .node_name = str_c(r.node_name), .cluster_cidr = str_c(cluster_cidr), .ipv6 = strchr(cluster_cidr, ':') != NULL };
	pthread_mutex_init(&p.lock, NULL);
	pthread_condattr_t mono;
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&p.changed, &mono);
	p.routes = routes_new(&r);
	p.nft = nft_open(&err);
	p.client = p.nft ? client_from_kubeconfig(kubeconfig, "kube-proxy", NULL, NULL, &err) : NULL;
	if (!p.client) {
		log_error("%s", err.text);
		return 1;
	}
	const struct list_opts all = { 0 };
	p.services = informer_new(p.client, schema_resource(S(""), S("v1"), S("services")), &all);
	p.slices = informer_new(p.client, schema_resource(S("discovery.k8s.io"), S("v1"), S("endpointslices")), &all);
	p.nodes = informer_new(p.client, schema_resource(S(""), S("v1"), S("nodes")), &all);
	informer_add_index(p.slices, "service", index_by_service);
	informer_add_handler(p.services, &(struct informer_handler){ service_changed, &p });
	informer_add_handler(p.slices, &(struct informer_handler){ slice_changed, &p });
	informer_add_handler(p.nodes, &(struct informer_handler){ node_changed, &p });
	struct informer *list[] = { p.nodes, p.services, p.slices };
	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		if (!informer_start(list[i], &err)) {
			log_error("%s", err.text);
			return 1;
		}
	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		while (!informer_wait_synced(list[i], 60000))
			log_warn("still waiting for the first lists");
	log_info("serving");
	sync_loop(&p);
	return 0;
}
