// Events (core/v1 Event), aggregated and rate-limited as client-go's recorder; sent by a thread of its own, never blocking.
#ifndef CORACLE_CLIENT_RECORDER_H
#define CORACLE_CLIENT_RECORDER_H

#include "client/client.h"
#include "schema_gen.h"

struct recorder;
struct recorder *recorder_new(struct client *c, str component, str host); // host: empty for cluster components
void recorder_free(struct recorder *r);                                   // sends what waits, at most 2 s
// About an object: descriptor and struct. type: "Normal" or "Warning". field_path: "spec.containers{nginx}" or empty.
void recorder_event(struct recorder *r, const struct resource_desc *resource, const struct meta_v1_ObjectMeta *about,
                    str field_path, const char *type, const char *reason, const char *fmt, ...)
        __attribute__((format(printf, 7, 8)));
// The same under another component's name (the controllers of one process share a recorder). NULL: the recorder's own.
void recorder_event_as(struct recorder *r, const char *component, const struct resource_desc *resource,
                       const struct meta_v1_ObjectMeta *about, str field_path, const char *type, const char *reason,
                       const char *fmt, ...) __attribute__((format(printf, 8, 9)));

#endif
