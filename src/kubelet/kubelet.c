#include "kubelet/kubelet.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "kubelet/cgroups.h"
#include "kubelet/gc.h"
#include "kubelet/log_rotate.h"
#include "kubelet/node.h"
#include "kubelet/objects.h"
#include "kubelet/pleg.h"
#include "kubelet/server.h"
#include "kubelet/worker.h"

#define MAX_THREADS 512
#define RUNTIME_WAIT_MS 50

static bool connect_runtime(struct kubelet *k, struct error *err)
{
	const char *path = cri_socket_path(k->cfg.runtime_endpoint), *images = path;
	if (k->cfg.image_endpoint && k->cfg.image_endpoint[0])
		images = cri_socket_path(k->cfg.image_endpoint);
	if (!path || !images)
		return error_set(err, "--container-runtime-endpoint: only unix:// sockets are supported");
	k->cri.runtime = grpc_client_new(path);
	k->cri.image = strcmp(path, images) == 0 ? k->cri.runtime : grpc_client_new(images);
	k->events = grpc_client_new(path);
	// The runtime may start at the same time as we do.
	for (;;) {
		_cleanup_arena_ struct arena *a = arena_new(0);
		struct error why = { 0 };
		struct cri_v1_VersionRequest r = { .version = S("0.1.0") };
		struct cri_v1_VersionResponse *v = CRI(&k->cri, a, Version, &r, 2000, &why);
		if (v) {
			k->runtime_name = arena_dup(k->arena, v->runtime_name);
			k->runtime_version = arena_dup(k->arena, v->runtime_version);
			log_info("runtime: " STR_FMT " " STR_FMT, STR_ARG(v->runtime_name), STR_ARG(v->runtime_version));
			return true;
		}
		int64_t waited = clock_mono(k->clock) - k->started_mono;
		if (waited > 60 * NS_PER_SEC)
			return error_set(err, "the container runtime at %s does not answer: %s", path, why.text);
		clock_sleep(k->clock, RUNTIME_WAIT_MS * NS_PER_MS);
	}
}

static bool find_resources(struct kubelet *k, struct error *err)
{
	k->r_pods = schema_resource(S(""), S("v1"), S("pods"));
	k->r_nodes = schema_resource(S(""), S("v1"), S("nodes"));
	k->r_configmaps = schema_resource(S(""), S("v1"), S("configmaps"));
	k->r_secrets = schema_resource(S(""), S("v1"), S("secrets"));
	k->r_leases = schema_resource(S("coordination.k8s.io"), S("v1"), S("leases"));
	k->r_tokens = schema_resource(S(""), S("v1"), S("serviceaccounts/token"));
	k->r_sar = schema_resource(S("authorization.k8s.io"), S("v1"), S("subjectaccessreviews"));
	k->r_token_reviews = schema_resource(S("authentication.k8s.io"), S("v1"), S("tokenreviews"));
	return (k->r_pods && k->r_nodes && k->r_configmaps && k->r_secrets && k->r_leases && k->r_tokens && k->r_sar && k->r_token_reviews) ||
	       error_set(err, "the schema lacks a resource that the kubelet needs");
}

static void make_informers(struct kubelet *k)
{
	struct list_opts mine = { .field_selector = arena_concat(k->arena, S("spec.nodeName="), k->node_name) };
	struct list_opts me = { .field_selector = arena_concat(k->arena, S("metadata.name="), k->node_name) };
	struct list_opts all = { 0 };
	struct informer_handler h = { worker_pod_changed, k };
	k->services = informer_new(k->client, schema_resource(S(""), S("v1"), S("services")), &all);
	k->node = informer_new(k->client, k->r_nodes, &me);
	k->pods = informer_new(k->client, k->r_pods, &mine);
	informer_add_handler(k->pods, &h);
}

static bool make_directories(struct kubelet *k, struct error *err)
{
	const char *pods = arena_cstr(k->arena, arena_concat(k->arena, str_c(k->cfg.root_dir), S("/pods")));
	return io_mkdirs(k->cfg.root_dir, 0750, err) && io_mkdirs(pods, 0750, err) && io_mkdirs(k->cfg.log_dir, 0755, err);
}

static bool set_name(struct kubelet *k, struct error *err)
{
	char name[256];
	if (gethostname(name, sizeof(name)) < 0)
		return error_errno(err, "gethostname");
	name[sizeof(name) - 1] = '\0';
	char *own = arena_cstr(k->arena, str_trim(str_c(k->cfg.hostname ? k->cfg.hostname : name)));
	for (char *p = own; *p; p++)
		*p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
	k->node_name = str_c(own);
	return k->node_name.n > 0 || error_set(err, "empty hostname is invalid");
}

static bool run(struct kubelet *k, const sigset_t *signals, struct error *err)
{
	int sig;
	if (!set_name(k, err) || !find_resources(k, err) || !make_directories(k, err) || !node_probe(k, err))
		return false;
	k->client = client_from_kubeconfig(k->cfg.kubeconfig, "kubelet", k->clock, k->rng, err);
	if (!k->client)
		return false;
	k->recorder = recorder_new(k->client, S("kubelet"), k->node_name);
	k->objects = object_cache_new(k);
	struct error why = { 0 };
	if (!cgroups_init(k, &why))
		log_warn("pods run without cgroups of their own: %s", why.text);
	if (!connect_runtime(k, err))
		return false;
	runtime_check(k);
	k->tasks = tasks_new(k->clock, MAX_THREADS);
	make_informers(k);
	node_start(k);
	if (!server_start(k, err) || !informer_start(k->services, err) || !informer_start(k->node, err) || !informer_start(k->pods, err) ||
	    !pleg_start(k, err))
		return false;
	gc_start(k);
	log_rotate_start(k);
	while (!informer_wait_synced(k->pods, 100))
		if (sigtimedwait(signals, NULL, &(struct timespec){ 0 }) > 0)
			return true;
	atomic_store(&k->ready, true);
	pleg_relist(k);
	while (sigwait(signals, &sig) != 0)
		;
	log_info("signal %d, stopping; containers go on running", sig);
	return true;
}

int kubelet_main(int argc, char **argv)
{
	struct error err = { 0 };
	struct arena *a = arena_new(0);
	struct kubelet *k = ARENA_NEW(a, struct kubelet);
	sigset_t signals;
	k->arena = a;
	log_start("kubelet", LOG_INFO);
	if (!kubelet_config_load(a, argc, argv, &k->cfg, &err)) {
		fprintf(stderr, "kubelet: %s\n", err.text);
		arena_free(a);
		return 2;
	}
	log_start("kubelet", (enum log_level)k->cfg.log_level);
	// Many short-lived arenas on many threads: one heap that gives memory back costs less than one for each thread.
	mallopt(M_ARENA_MAX, 2);
	mallopt(M_TRIM_THRESHOLD, 256 * 1024);
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	// Before any thread is made, so that all of them have these blocked and sigwait gets them.
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	k->started_mono = clock_mono(NULL);
	k->started_wall = clock_wall(NULL);
	pthread_mutex_init(&k->lock, NULL);
	atomic_init(&k->stop, false);
	atomic_init(&k->ready, false);
	bool ok = run(k, &signals, &err);
	if (!ok)
		log_error("%s", err.text);
	atomic_store(&k->stop, true);
	if (k->recorder)
		recorder_free(k->recorder);
	// Other threads may still use everything: the process ends instead of taking it apart.
	fflush(NULL);
	_exit(ok ? 0 : 1);
}
