// What happens to an object before it is validated, per kind (prepare_*.c). Rule: PrepareForCreate and PrepareForUpdate of pkg/registry.
#ifndef CORACLE_APISERVER_KINDS_PREPARE_H
#define CORACLE_APISERVER_KINDS_PREPARE_H

#include "apiserver/kinds/kinds.h"

#define PREPARE_CREATE(kind) void kind##_prepare_create(struct request *r, void *obj)
#define PREPARE_UPDATE(kind) void kind##_prepare_update(struct request *r, enum update_target t, void *obj, const void *old)

PREPARE_CREATE(pod);
PREPARE_UPDATE(pod);
bool pod_graceful(struct request *r, void *obj, int64_t *grace);
PREPARE_CREATE(namespace);
PREPARE_UPDATE(namespace);
PREPARE_CREATE(node);
PREPARE_UPDATE(node);
PREPARE_UPDATE(service);
PREPARE_CREATE(serviceaccount);
PREPARE_UPDATE(serviceaccount);
PREPARE_UPDATE(deployment);
PREPARE_CREATE(daemonset);
PREPARE_UPDATE(daemonset);
PREPARE_UPDATE(podtemplate);
PREPARE_CREATE(job);
PREPARE_UPDATE(cronjob);
PREPARE_CREATE(persistentvolume);
PREPARE_CREATE(persistentvolumeclaim);
PREPARE_CREATE(endpointslice);
PREPARE_UPDATE(endpointslice);
PREPARE_CREATE(endpoints);
PREPARE_UPDATE(endpoints);
PREPARE_CREATE(certificatesigningrequest);
PREPARE_UPDATE(certificatesigningrequest);
PREPARE_CREATE(apiservice);
PREPARE_CREATE(customresourcedefinition);

#endif
