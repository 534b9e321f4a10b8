// Removes what nobody needs any more: dead containers and sandboxes, directories and logs of pods that are gone, images.
#ifndef CORACLE_KUBELET_GC_H
#define CORACLE_KUBELET_GC_H

#include "kubelet/state.h"

// Starts the task that does it every minute (images every five).
void gc_start(struct kubelet *k);

#endif
