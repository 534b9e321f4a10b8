// Counters of requests: one set per kind and verb, added to without a lock.
#ifndef CORACLE_APISERVER_METRICS_H
#define CORACLE_APISERVER_METRICS_H

#include "apiserver/apiserver.h"

struct metrics *metrics_new(struct apiserver *s); // after kinds_load
void metrics_free(struct metrics *m);

#endif
