// Validation, per kind: what is wrong with an object, in upstream's words. Rule: pkg/apis/*/validation.
#ifndef CORACLE_APISERVER_KINDS_VALIDATION_H
#define CORACLE_APISERVER_KINDS_VALIDATION_H

#include "apiserver/kinds/kinds.h"

#define VALIDATION(kind) \
	void kind##_validate(struct request *r, struct field_errors *e, const void *obj); \
	void kind##_validate_update(struct request *r, enum update_target t, struct field_errors *e, const void *obj, const void *old)
#define WARNINGS(kind) void kind##_warnings(struct request *r, const void *obj, const void *old)

VALIDATION(pod);
VALIDATION(configmap);
VALIDATION(secret);
VALIDATION(namespace);
VALIDATION(node);
VALIDATION(event);
VALIDATION(limitrange);
VALIDATION(resourcequota);
VALIDATION(podtemplate);
VALIDATION(replicationcontroller);
VALIDATION(service);
WARNINGS(service);
VALIDATION(endpoints);
WARNINGS(endpoints);
VALIDATION(endpointslice);
VALIDATION(role);
VALIDATION(clusterrole);
VALIDATION(rolebinding);
VALIDATION(clusterrolebinding);
VALIDATION(lease);
VALIDATION(persistentvolumeclaim);
VALIDATION(persistentvolume);
WARNINGS(endpointslice);
VALIDATION(deployment);
WARNINGS(deployment);
VALIDATION(replicaset);
WARNINGS(replicaset);
VALIDATION(daemonset);
VALIDATION(statefulset);
VALIDATION(controllerrevision);
WARNINGS(pod);
WARNINGS(daemonset);
WARNINGS(statefulset);
WARNINGS(job);
WARNINGS(cronjob);
WARNINGS(podtemplate);
WARNINGS(replicationcontroller);
VALIDATION(job);
VALIDATION(cronjob);
#endif
