// The controller manager as its controllers see it: one client, one event recorder, and informers that all share.
//
// A controller is one file and one row of the table in manager.c. `setup` asks for the informers it wants, adds indexes and
// handlers to them and returns its own state; nothing runs yet. `run` is called on a thread of its own when those informers
// are in sync, and blocks until the queue is shut down. Handlers run on the informers' threads: they only put keys in queues.
#ifndef CORACLE_CONTROLLERS_MANAGER_H
#define CORACLE_CONTROLLERS_MANAGER_H

#include "client/client.h"
#include "client/informer.h"
#include "client/recorder.h"
#include "client/workqueue.h"
#include "schema_gen.h"

struct manager_options {
	const char *kubeconfig, *root_ca_file, *cluster_cidr, *controllers, *identity;
	const char *signing_cert_file, *signing_key_file; // NULL: certificates are not signed
	bool leader_elect, allocate_node_cidrs, use_accounts;
	int lease_s, renew_s, retry_s;
	int64_t node_mask_v4, node_mask_v6;
	int64_t node_monitor_grace_s, node_monitor_period_s;
	int64_t terminated_pod_threshold;
	int64_t concurrent_syncs; // the most workers of a controller
};

// Descriptors of the resources that controllers name.
struct manager_resources {
	const struct resource_desc *pods, *nodes, *namespaces, *services, *endpoints, *endpointslices, *serviceaccounts,
	        *configmaps, *secrets, *replicasets, *deployments, *daemonsets, *statefulsets, *controllerrevisions,
	        *replicationcontrollers, *jobs, *cronjobs, *leases, *clusterroles, *persistentvolumes,
	        *persistentvolumeclaims, *resourcequotas, *poddisruptionbudgets, *customresourcedefinitions;
};

struct shared_informer;
// Each controller has one of its own: all the same but for the client, which writes in the name of the controller's
// ServiceAccount (where --use-service-account-credentials is on). Informers read in the manager's own name.
struct manager {
	struct manager *root; // the one that all share
	struct client *client;
	struct recorder *recorder;
	const struct clock *clock;
	const struct rng *rng;
	const struct manager_options *options;
	struct manager_resources r;
	struct arena *arena; // for what lives as long as the manager
	struct shared_informer *informers;
	struct running *running, *setting_up; // controllers
};

struct controller {
	const char *name;                  // upstream's ("deployment-controller")
	const char *account;               // its ServiceAccount in kube-system, as the bootstrap roles know it
	void *(*setup)(struct manager *m); // NULL: the options leave it out
	void (*run)(void *self);
};

// The shared informer of a resource, made on first use; only within setup.
struct informer *manager_informer(struct manager *m, const struct resource_desc *r);
// Starts an informer of the controller's own with the shared ones; only within setup.
void manager_adopt_informer(struct manager *m, struct informer *i);
// The shared informers, one after the other (NULL begins and ends), and what each watches; NULL: one of a controller's own.
struct informer *manager_next_informer(struct manager *m, const struct informer *after);
const struct resource_desc *manager_informer_resource(struct manager *m, const struct informer *i);
// A queue that is shut down with the manager.
struct workqueue *manager_queue(struct manager *m);

// Starts what `options` choose, returns at once.
bool manager_start(struct manager *m, struct error *err);

// The controllers (setup and run of each are in the file of that name).
#define CONTROLLER(name) \
	void *name##_setup(struct manager *m); \
	void name##_run(void *self)
CONTROLLER(deployment);
CONTROLLER(replicaset);
CONTROLLER(replication);
CONTROLLER(endpoints);
CONTROLLER(endpointslice);
CONTROLLER(endpointslice_mirroring);
CONTROLLER(namespace);
CONTROLLER(serviceaccount);
CONTROLLER(root_ca);
CONTROLLER(node_lifecycle);
CONTROLLER(taint_eviction);
CONTROLLER(node_ipam);
CONTROLLER(garbage_collector);
CONTROLLER(pod_gc);
CONTROLLER(clusterrole_aggregation);
CONTROLLER(daemonset);
CONTROLLER(statefulset);
CONTROLLER(job);
CONTROLLER(cronjob);
CONTROLLER(ttl_after_finished);
CONTROLLER(resourcequota);
CONTROLLER(disruption);
CONTROLLER(pv_protection);
CONTROLLER(pvc_protection);
CONTROLLER(csr_approving);
CONTROLLER(csr_signing);
#undef CONTROLLER

#endif
