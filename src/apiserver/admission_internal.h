// The built-in admission plug-ins. Each looks at what concerns it and returns true for all else; false: *s says why not.
#ifndef CORACLE_APISERVER_ADMISSION_INTERNAL_H
#define CORACLE_APISERVER_ADMISSION_INTERNAL_H

#include "apiserver/kinds/kinds.h"
#include "apiserver/policy_internal.h"

// `pods "web" is forbidden: ...`
bool admission_forbid(const struct admission *ad, struct api_status *s, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool admission_is(const struct admission *ad, const char *group, const char *resource); // and no subresource
bool admission_is_sub(const struct admission *ad, const char *group, const char *resource, const char *subresource);
str admission_ns(const struct admission *ad);
static inline struct meta_v1_ObjectMeta *object_meta(const void *obj) // all kinds begin with TypeMeta and metadata
{
	return &((struct core_v1_ConfigMap *)(uintptr_t)obj)->metadata;
}
// The pod spec of an object that has one (pods and templated kinds); NULL: none.
struct core_v1_PodSpec *admission_pod_spec(const struct admission *ad, struct meta_v1_ObjectMeta **meta);

// In upstream's order; _mutate and _validate where a plug-in has two parts.
bool namespace_lifecycle(const struct admission *ad, struct api_status *s);
bool limit_ranger_mutate(const struct admission *ad, struct api_status *s);
bool limit_ranger_validate(const struct admission *ad, struct api_status *s);
bool service_account_mutate(const struct admission *ad, struct api_status *s);
bool service_account_validate(const struct admission *ad, struct api_status *s);
bool node_restriction(const struct admission *ad, struct api_status *s);
bool pod_security(const struct admission *ad, struct api_status *s);
bool priority_mutate(const struct admission *ad, struct api_status *s);
bool priority_validate(const struct admission *ad, struct api_status *s);
bool resource_quota(const struct admission *ad, struct api_status *s);

#endif
