// Environment variables of containers. Rule: upstream makeEnvironmentVariables, envvars.FromServices, third_party expansion.
#ifndef CORACLE_KUBELET_ENV_H
#define CORACLE_KUBELET_ENV_H

#include "base/error.h"
#include "schema/schema.h"
#include "schema_gen.h"

// What values may come from. Objects that are not there make `err` NotFound in the API's words.
struct env_source {
	const struct core_v1_Pod *pod;
	const struct core_v1_Container *container;
	str pod_ip, host_ip, node_name;
	struct str_list pod_ips, host_ips;
	const struct quantity_map *allocatable;       // limits that a container leaves open; NULL: left empty
	const struct core_v1_Service *const *services; // NULL-terminated; those that the pod shall see
	const struct core_v1_ConfigMap *(*config_map)(void *ctx, struct arena *a, str name, struct error *err);
	const struct core_v1_Secret *(*secret)(void *ctx, struct arena *a, str name, struct error *err);
	void *ctx;
};
// All variables, sorted by name.
bool env_make(struct arena *a, const struct env_source *s, struct str_map *out, struct error *err);
// "$(NAME)" -> its value, "$$" -> "$"; an unknown name stays as it is.
str env_expand(struct arena *a, str text, const struct str_map *vars);
// The same where an unknown name is an error (subPathExpr).
bool env_expand_strict(struct arena *a, str text, const struct str_map *vars, str *out, struct error *err);
void env_of_service(struct arena *a, const struct core_v1_Service *svc, struct str_map *out);

// "metadata.labels['app']", "spec.nodeName", "status.podIP", ...
bool field_value(struct arena *a, const struct env_source *s, str path, str *out, struct error *err);
// "limits.cpu" divided by the divisor, rounded up.
bool resource_value(struct arena *a, const struct env_source *s, const struct core_v1_ResourceFieldSelector *f, str *out,
                    struct error *err);

#endif
