// Small things that several files of the kubelet need.
#ifndef CORACLE_KUBELET_UTIL_H
#define CORACLE_KUBELET_UTIL_H

#include <pthread.h>

#include "base/arena.h"
#include "schema/schema.h"
#include "schema_gen.h"

static inline void unlockp(pthread_mutex_t **m)
{
	pthread_mutex_unlock(*m);
}
// Holds the mutex to the end of the block.
#define LOCKED(m) __attribute__((cleanup(unlockp), unused)) pthread_mutex_t *locked_ = (pthread_mutex_lock(m), (m))

// The last `max` bytes of a file; empty when it cannot be read or is no regular file.
str file_tail(struct arena *a, const char *path, size_t max);
// Invalid UTF-8 becomes U+FFFD.
str utf8_clean(struct arena *a, str s);
// "[a b c]", as Go prints a list.
str names_text(struct arena *a, const struct str_list *l);
// With double quotes, as Go's %q for plain text.
str quoted(struct arena *a, str s);
// "1m30s", "2.5s", "300ms": as Go prints a duration.
str duration_text(struct arena *a, int64_t ns);
// "name_namespace(uid)", as upstream names a pod in messages.
str pod_text(struct arena *a, const struct meta_v1_ObjectMeta *m);
// Pod names, addresses.
bool ip_valid(str s);
bool ip_is_v6(str s);

static inline bool host_network(const struct core_v1_Pod *p) { return p->spec.hostNetwork; }
static inline bool is_sidecar(const struct core_v1_Container *c)
{
	return c->restartPolicy && str_eqc(*c->restartPolicy, "Always");
}
const struct core_v1_Container *find_container(const struct core_v1_Pod *p, str name);
bool is_init_container(const struct core_v1_Pod *p, str name);
// "spec.containers{web}"
str container_field_path(struct arena *a, const struct core_v1_Pod *p, str name);
const struct core_v1_ContainerStatus *find_status(const struct core_v1_ContainerStatus_list *l, str name);
// Number or name of a container port; -1 when there is no such port.
int container_port(const struct core_v1_Container *c, struct int_or_string port);

#endif
