// ControllerRevisions: the versions of a pod template that DaemonSets and StatefulSets remember (upstream: pkg/controller/history).
#ifndef CORACLE_CONTROLLERS_HISTORY_H
#define CORACLE_CONTROLLERS_HISTORY_H

#include "controllers/common.h"

#define REVISION_HASH_LABEL S("controller-revision-hash")

struct revisions {
	const struct apps_v1_ControllerRevision **v;
	size_t n;
};

// The owner's revisions, oldest first (orphans that match are adopted).
bool history_of(struct manager *m, struct arena *a, const struct owner *o, const struct selector *s,
                struct informer *informer, struct revisions *out, struct error *err);
// The one that holds this template; NULL: none.
const struct apps_v1_ControllerRevision *history_find(struct arena *a, struct revisions r,
                                                      const struct core_v1_PodTemplateSpec *t);
// Writes a revision of the template with that number. *collisions is raised (and an error Conflict returned) when another template
// has the name. hash_is_name: the label has the revision's name, not its hash (StatefulSets).
const struct apps_v1_ControllerRevision *history_create(struct manager *m, struct arena *a, const struct owner *o,
                                                        const struct str_map *labels,
                                                        const struct core_v1_PodTemplateSpec *t, int64_t revision,
                                                        int32_t **collisions, bool hash_is_name, struct error *err);
// The same revision under a higher number.
const struct apps_v1_ControllerRevision *history_renumber(struct manager *m, struct arena *a,
                                                          const struct apps_v1_ControllerRevision *r, int64_t revision,
                                                          struct error *err);
// The template that a revision holds.
struct core_v1_PodTemplateSpec *history_template(struct arena *a, const struct apps_v1_ControllerRevision *r,
                                                 struct error *err);
// Deletes the oldest beyond `limit` that `live` does not name.
bool history_truncate(struct manager *m, struct revisions old, int32_t limit,
                      bool (*live)(const struct apps_v1_ControllerRevision *r, void *ctx), void *ctx,
                      struct error *err);

#endif
