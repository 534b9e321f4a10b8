// From what the user names to pods and their containers: for logs and exec.
#ifndef CORACLE_KUBECTL_PODS_H
#define CORACLE_KUBECTL_PODS_H

#include "kubectl/cmd.h"

// A pod, or a pod of what TYPE/NAME names (a ready one, if there is any; unless quiet with a note
// when there are several).
struct value *pod_of(struct kctl *k, str word, bool quiet, struct error *err);
bool pods_selected(struct kctl *k, str ns, str selector, struct value **items, struct error *err);
const struct value *pod_container(const struct value *pod, str name);
// The container that is meant: the one wanted, the annotated default, or the first (with a note).
bool pod_choose_container(struct kctl *k, const struct value *pod, str wanted, bool quiet, str *name,
                          struct error *err);

#endif
