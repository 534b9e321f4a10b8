// Between the versions of HorizontalPodAutoscaler, and between the two groups of Event. What autoscaling/v1 has no fields for travels in
// annotations, as upstream keeps it (pkg/apis/autoscaling/v1/conversion.go).
#include "apiserver/apiserver.h"

#include "json/json.h"

// --- Events -----------------------------------------------------------------------------------------------------------------

static void *event_to_core(struct arena *a, const struct events_v1_Event *in)
{
	struct core_v1_Event *out = ARENA_NEW(a, struct core_v1_Event);
	*out = (struct core_v1_Event){
		.metadata = in->metadata, .involvedObject = in->regarding, .reason = in->reason, .message = in->note, .source = in->deprecatedSource,
		.firstTimestamp = in->deprecatedFirstTimestamp, .lastTimestamp = in->deprecatedLastTimestamp, .count = in->deprecatedCount, .type = in->type,
		.eventTime = in->eventTime, .action = in->action, .related = in->related, .reportingComponent = in->reportingController,
		.reportingInstance = in->reportingInstance,
	};
	if (in->series) {
		out->series = ARENA_NEW(a, struct core_v1_EventSeries);
		*out->series = (struct core_v1_EventSeries){ .count = in->series->count, .lastObservedTime = in->series->lastObservedTime };
	}
	return out;
}

static void *event_from_core(struct arena *a, const struct core_v1_Event *in)
{
	struct events_v1_Event *out = ARENA_NEW(a, struct events_v1_Event);
	*out = (struct events_v1_Event){
		.metadata = in->metadata, .regarding = in->involvedObject, .reason = in->reason, .note = in->message, .deprecatedSource = in->source,
		.deprecatedFirstTimestamp = in->firstTimestamp, .deprecatedLastTimestamp = in->lastTimestamp, .deprecatedCount = in->count, .type = in->type,
		.eventTime = in->eventTime, .action = in->action, .related = in->related, .reportingController = in->reportingComponent,
		.reportingInstance = in->reportingInstance,
	};
	if (in->series) {
		out->series = ARENA_NEW(a, struct events_v1_EventSeries);
		*out->series = (struct events_v1_EventSeries){ .count = in->series->count, .lastObservedTime = in->series->lastObservedTime };
	}
	return out;
}

// --- Metrics, as value trees: the two versions say the same with other names -------------------------------------------------------

static const char metrics_key[] = "autoscaling.alpha.kubernetes.io/metrics", current_key[] = "autoscaling.alpha.kubernetes.io/current-metrics",
                  conditions_key[] = "autoscaling.alpha.kubernetes.io/conditions", behavior_key[] = "autoscaling.alpha.kubernetes.io/behavior";

struct rename { const char *v1, *v2; }; // paths within a metric's source; "a.b"

static struct value *at(const struct value *v, str path)
{
	for (str part; v && str_next(&path, '.', &part);)
		v = value_get(v, part);
	return (struct value *)(uintptr_t)v;
}

static void put(struct arena *a, struct value *v, str path, struct value *x)
{
	str first, rest;
	while (str_split(path, '.', &first, &rest)) {
		struct value *next = value_get(v, first);
		if (!next) {
			next = value_object(a);
			value_set(a, v, first, next);
		}
		v = next;
		path = rest;
	}
	value_set(a, v, path, x);
}

static const struct { const char *source; struct rename spec[7], status[7]; } sources[] = {
	{ "resource",
	  { { "name", "name" }, { "targetAverageUtilization", "target.averageUtilization" }, { "targetAverageValue", "target.averageValue" } },
	  { { "name", "name" }, { "currentAverageUtilization", "current.averageUtilization" }, { "currentAverageValue", "current.averageValue" } } },
	{ "containerResource",
	  { { "name", "name" }, { "targetAverageUtilization", "target.averageUtilization" }, { "targetAverageValue", "target.averageValue" }, { "container", "container" } },
	  { { "name", "name" }, { "currentAverageUtilization", "current.averageUtilization" }, { "currentAverageValue", "current.averageValue" }, { "container", "container" } } },
	{ "pods",
	  { { "metricName", "metric.name" }, { "targetAverageValue", "target.averageValue" }, { "selector", "metric.selector" } },
	  { { "metricName", "metric.name" }, { "currentAverageValue", "current.averageValue" }, { "selector", "metric.selector" } } },
	{ "object",
	  { { "target", "describedObject" }, { "metricName", "metric.name" }, { "targetValue", "target.value" }, { "selector", "metric.selector" }, { "averageValue", "target.averageValue" } },
	  { { "target", "describedObject" }, { "metricName", "metric.name" }, { "currentValue", "current.value" }, { "selector", "metric.selector" }, { "averageValue", "current.averageValue" } } },
	{ "external",
	  { { "metricName", "metric.name" }, { "metricSelector", "metric.selector" }, { "targetValue", "target.value" }, { "targetAverageValue", "target.averageValue" } },
	  { { "metricName", "metric.name" }, { "metricSelector", "metric.selector" }, { "currentValue", "current.value" }, { "currentAverageValue", "current.averageValue" } } },
};

static struct value *metric(struct arena *a, const struct value *in, bool status, bool to_v1)
{
	struct value *out = value_object(a);
	struct value *type = value_get(in, S("type"));
	if (type)
		value_set(a, out, S("type"), type);
	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		const struct value *from = value_get(in, str_c(sources[i].source));
		if (!value_is(from, V_OBJECT))
			continue;
		struct value *to = value_object(a);
		const struct rename *r = status ? sources[i].status : sources[i].spec;
		for (; r->v1; r++) {
			struct value *x = at(from, str_c(to_v1 ? r->v2 : r->v1));
			if (x)
				put(a, to, str_c(to_v1 ? r->v1 : r->v2), x);
		}
		if (!to_v1 && !status) {
			// v1 leaves the kind of target to what is set.
			const char *kind = at(to, S("target.averageUtilization")) ? "Utilization" : at(to, S("target.averageValue")) ? "AverageValue" : "Value";
			put(a, to, S("target.type"), value_string(a, str_c(kind)));
		}
		value_set(a, out, str_c(sources[i].source), to);
	}
	return out;
}

static void annotate(struct arena *a, struct str_map *m, const char *key, const struct value *v)
{
	str_map_set(a, m, str_c(key), json_text(a, v, JSON_COMPACT | JSON_ESCAPE_HTML));
}

static struct str_map without_round_trip(struct arena *a, const struct str_map *m)
{
	struct str_map out = { 0 };
	for (size_t i = 0; i < m->n; i++)
		if (!str_eqc(m->v[i].key, metrics_key) && !str_eqc(m->v[i].key, current_key) && !str_eqc(m->v[i].key, conditions_key) && !str_eqc(m->v[i].key, behavior_key))
			str_map_set(a, &out, m->v[i].key, m->v[i].value);
	return out;
}

static bool is_cpu(const struct autoscaling_v2_MetricSpec *m)
{
	return str_eq(m->type, S("Resource")) && m->resource && str_eq(m->resource->name, S("cpu")) && m->resource->target.averageUtilization;
}

static void *hpa_from_v2(struct arena *a, const struct autoscaling_v2_HorizontalPodAutoscaler *in)
{
	struct autoscaling_v1_HorizontalPodAutoscaler *out = ARENA_NEW(a, struct autoscaling_v1_HorizontalPodAutoscaler);
	out->metadata = in->metadata;
	out->metadata.annotations = without_round_trip(a, &in->metadata.annotations);
	out->spec.scaleTargetRef = (struct autoscaling_v1_CrossVersionObjectReference){ .kind = in->spec.scaleTargetRef.kind, .name = in->spec.scaleTargetRef.name,
		                                                                        .apiVersion = in->spec.scaleTargetRef.apiVersion };
	out->spec.minReplicas = in->spec.minReplicas;
	out->spec.maxReplicas = in->spec.maxReplicas;
	struct value *others = value_array(a);
	for (size_t i = 0; i < in->spec.metrics.n; i++) {
		const struct autoscaling_v2_MetricSpec *m = &in->spec.metrics.v[i];
		if (is_cpu(m))
			out->spec.targetCPUUtilizationPercentage = m->resource->target.averageUtilization;
		else
			value_append(a, others, metric(a, schema_to_value(a, autoscaling_v2_MetricSpec_desc, m), false, true));
	}
	if (others->a.n)
		annotate(a, &out->metadata.annotations, metrics_key, others);
	struct value *current = value_array(a);
	for (size_t i = 0; i < in->status.currentMetrics.n; i++) {
		const struct autoscaling_v2_MetricStatus *m = &in->status.currentMetrics.v[i];
		if (str_eq(m->type, S("Resource")) && m->resource && str_eq(m->resource->name, S("cpu")))
			out->status.currentCPUUtilizationPercentage = m->resource->current.averageUtilization;
		value_append(a, current, metric(a, schema_to_value(a, autoscaling_v2_MetricStatus_desc, m), true, true));
	}
	if (current->a.n)
		annotate(a, &out->metadata.annotations, current_key, current);
	struct value *conditions = value_array(a);
	for (size_t i = 0; i < in->status.conditions.n; i++)
		value_append(a, conditions, schema_to_value(a, autoscaling_v2_HorizontalPodAutoscalerCondition_desc, &in->status.conditions.v[i]));
	if (conditions->a.n)
		annotate(a, &out->metadata.annotations, conditions_key, conditions);
	if (in->spec.behavior)
		annotate(a, &out->metadata.annotations, behavior_key, schema_to_value(a, autoscaling_v2_HorizontalPodAutoscalerBehavior_desc, in->spec.behavior));
	out->status.observedGeneration = in->status.observedGeneration;
	out->status.lastScaleTime = in->status.lastScaleTime;
	out->status.currentReplicas = in->status.currentReplicas;
	out->status.desiredReplicas = in->status.desiredReplicas;
	return out;
}

static struct value *annotation(struct arena *a, const struct str_map *m, const char *key)
{
	str text = str_map_get(m, str_c(key));
	struct error err = { 0 };
	return text.n ? json_parse(a, text, NULL, &err) : NULL;
}

static void *hpa_to_v2(struct arena *a, const struct autoscaling_v1_HorizontalPodAutoscaler *in, struct error *err)
{
	struct autoscaling_v2_HorizontalPodAutoscaler *out = ARENA_NEW(a, struct autoscaling_v2_HorizontalPodAutoscaler);
	const struct str_map *notes = &in->metadata.annotations;
	out->metadata = in->metadata;
	out->metadata.annotations = without_round_trip(a, notes);
	out->spec.scaleTargetRef = (struct autoscaling_v2_CrossVersionObjectReference){ .kind = in->spec.scaleTargetRef.kind, .name = in->spec.scaleTargetRef.name,
		                                                                        .apiVersion = in->spec.scaleTargetRef.apiVersion };
	out->spec.minReplicas = in->spec.minReplicas;
	out->spec.maxReplicas = in->spec.maxReplicas;
	if (in->spec.targetCPUUtilizationPercentage) {
		struct autoscaling_v2_MetricSpec *m = LIST_ADD(a, &out->spec.metrics);
		m->type = S("Resource");
		m->resource = ARENA_NEW(a, struct autoscaling_v2_ResourceMetricSource);
		m->resource->name = S("cpu");
		m->resource->target.type = S("Utilization");
		m->resource->target.averageUtilization = in->spec.targetCPUUtilizationPercentage;
	}
	struct value *v = annotation(a, notes, metrics_key);
	for (size_t i = 0; value_is(v, V_ARRAY) && i < v->a.n; i++) {
		const struct autoscaling_v2_MetricSpec *m = schema_from_value(a, autoscaling_v2_MetricSpec_desc, metric(a, v->a.v[i], false, false), NULL, err);
		if (!m)
			return NULL;
		*LIST_ADD(a, &out->spec.metrics) = *m;
	}
	v = annotation(a, notes, current_key);
	for (size_t i = 0; value_is(v, V_ARRAY) && i < v->a.n; i++) {
		const struct autoscaling_v2_MetricStatus *m = schema_from_value(a, autoscaling_v2_MetricStatus_desc, metric(a, v->a.v[i], true, false), NULL, err);
		if (!m)
			return NULL;
		*LIST_ADD(a, &out->status.currentMetrics) = *m;
	}
	v = annotation(a, notes, conditions_key);
	for (size_t i = 0; value_is(v, V_ARRAY) && i < v->a.n; i++) {
		const struct autoscaling_v2_HorizontalPodAutoscalerCondition *c = schema_from_value(a, autoscaling_v2_HorizontalPodAutoscalerCondition_desc, v->a.v[i], NULL, err);
		if (!c)
			return NULL;
		*LIST_ADD(a, &out->status.conditions) = *c;
	}
	v = annotation(a, notes, behavior_key);
	if (v && !(out->spec.behavior = schema_from_value(a, autoscaling_v2_HorizontalPodAutoscalerBehavior_desc, v, NULL, err)))
		return NULL;
	out->status.observedGeneration = in->status.observedGeneration;
	out->status.lastScaleTime = in->status.lastScaleTime;
	out->status.currentReplicas = in->status.currentReplicas;
	out->status.desiredReplicas = in->status.desiredReplicas;
	return out;
}

// --- The face -----------------------------------------------------------------------------------------------------------------

void *convert_to_stored(struct arena *a, const struct kind *k, void *obj, struct error *err)
{
	if (k->message == k->storage_message)
		return obj;
	if (k->message == events_v1_Event_desc)
		return event_to_core(a, obj);
	if (k->message == autoscaling_v1_HorizontalPodAutoscaler_desc)
		return hpa_to_v2(a, obj, err);
	error_api(err, 501, "NotImplemented", "there is no conversion from " STR_FMT, STR_ARG(k->api_version));
	return NULL;
}

void *convert_from_stored(struct arena *a, const struct kind *k, void *obj, struct error *err)
{
	if (k->message == k->storage_message)
		return obj;
	if (k->message == events_v1_Event_desc)
		return event_from_core(a, obj);
	if (k->message == autoscaling_v1_HorizontalPodAutoscaler_desc)
		return hpa_from_v2(a, obj);
	error_api(err, 501, "NotImplemented", "there is no conversion to " STR_FMT, STR_ARG(k->api_version));
	return NULL;
}
