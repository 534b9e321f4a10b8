// Refuses pods that demand what no plugin here looks at yet: a demand is never silently ignored (docs/STATUS.md).
#include "scheduler/framework.h"

static bool pre_filter(struct cycle *c, size_t self, struct verdict *v)
{
	const struct core_v1_PodSpec *s = &c->pod->pod->spec;
	const struct core_v1_Affinity *a = s->affinity;
	if (a && a->podAffinity && a->podAffinity->requiredDuringSchedulingIgnoredDuringExecution.n)
		return reject(v, S("required pod affinity is not supported by this scheduler"), true);
	if (a && a->podAntiAffinity && a->podAntiAffinity->requiredDuringSchedulingIgnoredDuringExecution.n)
		return reject(v, S("required pod anti-affinity is not supported by this scheduler"), true);
	if (s->resourceClaims.n)
		return reject(v, S("resource claims are not supported by this scheduler"), true);
	if (s->schedulingGroup)
		return reject(v, S("scheduling groups are not supported by this scheduler"), true);
	for (size_t i = 0; i < s->volumes.n; i++)
		if (s->volumes.v[i].volumeSource.persistentVolumeClaim || s->volumes.v[i].volumeSource.ephemeral)
			return reject(v, arena_printf(c->arena, "volume \"" STR_FMT "\": persistent volume claims are not supported by this scheduler",
			                              STR_ARG(s->volumes.v[i].name)), true);
	return true;
}

const struct plugin plugin_unsupported = { .name = "Unsupported", .events = EV_POD_UPDATE, .pre_filter = pre_filter };
