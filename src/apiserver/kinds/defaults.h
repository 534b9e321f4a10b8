// Default values, per kind. Rule: pkg/apis/*/v1/defaults.go. All are idempotent: objects from the store pass here, too.
#ifndef CORACLE_APISERVER_KINDS_DEFAULTS_H
#define CORACLE_APISERVER_KINDS_DEFAULTS_H

#include "apiserver/kinds/kinds.h"

void quantities_default(struct arena *a, struct quantity_map *m); // rounded up to thousandths
void pod_spec_defaults(struct arena *a, struct core_v1_PodSpec *s);
void claim_spec_defaults(struct arena *a, struct core_v1_PersistentVolumeClaimSpec *s);
void job_spec_defaults(struct arena *a, struct batch_v1_JobSpec *s);

#define DEFAULTS(kind, T) \
	void kind##_defaults(struct arena *a, void *obj); \
	static void kind##_defaults_typed(struct arena *a, struct T *o); \
	void kind##_defaults(struct arena *a, void *obj) { kind##_defaults_typed(a, obj); } \
	static void kind##_defaults_typed(struct arena *a, struct T *o)

#endif
