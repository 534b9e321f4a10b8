// Selectable fields, per kind (fields.c).
#ifndef CORACLE_APISERVER_KINDS_FIELDS_H
#define CORACLE_APISERVER_KINDS_FIELDS_H

#include "apiserver/kinds/kinds.h"

#define FIELD_FUNCTION(kind) bool kind##_field(struct arena *a, const void *obj, str path, str *value)
FIELD_FUNCTION(pod);
FIELD_FUNCTION(node);
FIELD_FUNCTION(namespace);
FIELD_FUNCTION(secret);
FIELD_FUNCTION(service);
FIELD_FUNCTION(replicationcontroller);
FIELD_FUNCTION(replicaset);
FIELD_FUNCTION(job);
FIELD_FUNCTION(event);
FIELD_FUNCTION(certificatesigningrequest);
FIELD_FUNCTION(resourceslice);
FIELD_FUNCTION(ipaddress);
extern const char *const pod_field_paths[], *const node_field_paths[], *const namespace_field_paths[], *const secret_field_paths[], *const service_field_paths[],
	*const replicas_field_paths[], *const job_field_paths[], *const event_field_paths[], *const certificatesigningrequest_field_paths[],
	*const resourceslice_field_paths[], *const ipaddress_field_paths[];

#endif
