// What happens in the runtime: its stream of container events, and a look at everything now and then in case that one fell silent.
#ifndef CORACLE_KUBELET_PLEG_H
#define CORACLE_KUBELET_PLEG_H

#include "kubelet/state.h"

// Starts the event thread and the relist task. Call after the first runtime_check.
bool pleg_start(struct kubelet *k, struct error *err);
// Looks at everything now: once the API's pods are known, what the runtime has of others is removed.
void pleg_relist(struct kubelet *k);
// Asks the runtime how it is and keeps the answer for the node's status. Returns whether anything changed.
bool runtime_check(struct kubelet *k);

#endif
