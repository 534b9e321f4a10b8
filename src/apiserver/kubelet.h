// How the apiserver reaches kubelets: one TLS identity, one pool of connections.
#ifndef CORACLE_APISERVER_KUBELET_H
#define CORACLE_APISERVER_KUBELET_H

#include "apiserver/apiserver.h"

struct kubelets *kubelets_new(const struct config *c, struct error *err);
void kubelets_free(struct kubelets *k);

#endif
