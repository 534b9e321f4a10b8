// Small steps that validators are made of.
#ifndef CORACLE_APISERVER_KINDS_VALID_H
#define CORACLE_APISERVER_KINDS_VALID_H

#include "apiserver/kinds/kinds.h"

typedef void (*name_rule)(struct arena *a, str s, struct str_list *why);

#define IMMUTABLE "field is immutable"
#define NOT_NEGATIVE "must be greater than or equal to 0"

// One Invalid per complaint of the rule.
void v_name(struct field_errors *e, const struct fpath *p, str value, name_rule rule);
void v_dns_label(struct field_errors *e, const struct fpath *p, str value);
void v_dns_subdomain(struct field_errors *e, const struct fpath *p, str value);
void v_qualified(struct field_errors *e, const struct fpath *p, str value);      // label keys, condition types
void v_label_name(struct field_errors *e, const struct fpath *p, str value);
void v_labels(struct field_errors *e, const struct fpath *p, const struct str_map *labels);
void v_annotations(struct field_errors *e, const struct fpath *p, const struct str_map *annotations);
void v_not_negative(struct field_errors *e, const struct fpath *parent, const char *field, int64_t value);
void v_positive(struct field_errors *e, const struct fpath *parent, const char *field, int64_t value);
void v_port(struct field_errors *e, const struct fpath *p, int64_t port);
void v_port_or_name(struct field_errors *e, const struct fpath *p, const struct int_or_string *port);
void v_range(struct field_errors *e, const struct fpath *p, int64_t value, int64_t low, int64_t high);
void v_mode(struct field_errors *e, const struct fpath *parent, const char *field, const int32_t *mode);
bool v_one_of(str value, const char *const *list);
// NotSupported unless the value is one of the NULL-terminated list (listed as given).
void v_enum(struct field_errors *e, const struct fpath *p, str value, const char *const *list);
void v_enum_required(struct field_errors *e, const struct fpath *p, str value, const char *const *list);
#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })
void v_label_selector(struct field_errors *e, const struct fpath *p, const struct meta_v1_LabelSelector *s);
void v_int_or_percent(struct field_errors *e, const struct fpath *p, const struct int_or_string *v);
void v_not_over_100(struct field_errors *e, const struct fpath *p, const struct int_or_string *v);
int64_t int_or_percent_value(const struct int_or_string *v);
str int_or_string_json(struct arena *a, const struct int_or_string *v);
// A quantity under a resource name: not negative, whole where it must be.
void v_resource_quantity(struct field_errors *e, const struct fpath *p, str resource, struct quantity q);
void v_relative_path(struct field_errors *e, const struct fpath *p, str path);    // upstream: validateLocalDescendingPath
void v_no_backsteps(struct field_errors *e, const struct fpath *p, str path);
void v_unreserved_path(struct field_errors *e, const struct fpath *p, str path);  // upstream: ValidateLocalNonReservedPath
void v_ip(struct field_errors *e, const struct fpath *p, str ip);
void v_ip_legacy(struct field_errors *e, const struct fpath *p, str ip, const struct str_list *old); // as old objects may have it
void v_cidr_legacy(struct field_errors *e, const struct fpath *p, str cidr, const struct str_list *old);
void v_immutable_str(struct field_errors *e, const struct fpath *p, str now, str was);
// Any message: Invalid with its JSON.
void v_immutable(struct field_errors *e, const struct fpath *p, const struct message_desc *m, const void *now, const void *was);
str json_of(struct arena *a, const struct message_desc *m, const void *obj);      // "null" for NULL
str json_of_map(struct arena *a, const struct str_map *m);
str json_of_list(struct arena *a, const struct str_list *l);
// NotSupported with a value that is shown as it is (JSON).
void v_not_supported_raw(struct field_errors *e, const struct fpath *p, str value, const char *const *list);
str json_of_quantities(struct arena *a, const struct quantity_map *m);
bool same_str_ptr(const str *x, const str *y);

// Resource names. Rule: pkg/apis/core/helper.
bool resource_is_standard(str name);
bool resource_is_standard_container(str name);
bool resource_is_native(str name);      // without a domain, or kubernetes.io/
bool resource_is_extended(str name);
bool resource_is_hugepages(str name);
bool resource_overcommits(str name);
void v_resource_name(struct field_errors *e, const struct fpath *p, str name);
void v_container_resource_name(struct field_errors *e, const struct fpath *p, str name);

// Pods and templates (pod_validation.c).
struct pod_options {
	bool is_pod;                              // not a template
	const struct core_v1_PodSpec *old;        // of an update: what was there may stay
	const struct meta_v1_ObjectMeta *old_meta;
};
void v_pod_spec(struct field_errors *e, const struct fpath *p, const struct core_v1_PodSpec *s, const struct meta_v1_ObjectMeta *meta, const struct pod_options *o);
void v_pod_annotations(struct field_errors *e, const struct fpath *p, const struct meta_v1_ObjectMeta *m, const struct core_v1_PodSpec *s);
void v_pod_template(struct field_errors *e, const struct fpath *p, const struct core_v1_PodTemplateSpec *t, const struct pod_options *o);
void v_pod_warnings(struct request *r, const char *path, const struct core_v1_PodSpec *s, const struct meta_v1_ObjectMeta *meta);
void v_resources(struct field_errors *e, const struct fpath *p, const struct core_v1_ResourceRequirements *r, const struct core_v1_PodResourceClaim_list *claims, bool pod_level);
void v_node_selector(struct field_errors *e, const struct fpath *p, const struct core_v1_NodeSelector *s);
void v_tolerations(struct field_errors *e, const struct fpath *p, const struct core_v1_Toleration_list *t);
void v_taint_effect(struct field_errors *e, const struct fpath *p, str effect, bool may_be_empty);
void v_claim_spec(struct field_errors *e, const struct fpath *p, const struct core_v1_PersistentVolumeClaimSpec *s);
void v_persistent_hostpath(struct field_errors *e, const struct fpath *p, const struct core_v1_HostPathVolumeSource *h);

// The parts of v_pod_spec.
struct pod_check {
	struct field_errors *e;
	struct arena *a;
	const struct core_v1_PodSpec *spec;
	const struct meta_v1_ObjectMeta *meta;    // NULL: a template in a place without
	const struct pod_options *o;
	bool *volume_ok;                          // per volume: no error
	bool host_users;
};
void v_volumes(struct pod_check *c, const struct fpath *p);
bool v_volume_known(const struct pod_check *c, str name, const struct core_v1_VolumeSource **source);
void v_containers(struct pod_check *c, const struct fpath *p);
void v_init_containers(struct pod_check *c, const struct fpath *p);
void v_ephemeral_containers(struct pod_check *c, const struct fpath *p);
void v_pod_security(struct pod_check *c, const struct fpath *spec);
void v_container_security(struct pod_check *c, const struct fpath *p, const struct core_v1_SecurityContext *s);
void v_affinity(struct pod_check *c, const struct fpath *p);
void v_topology_spread(struct pod_check *c, const struct fpath *p);
// Each container of all three lists with its path.
void v_each_container(const struct core_v1_PodSpec *s, const struct fpath *spec, struct arena *a,
                      void (*each)(const struct core_v1_Container *c, const struct fpath *p, void *ctx), void *ctx);

#endif
