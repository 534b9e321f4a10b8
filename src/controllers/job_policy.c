#include "controllers/job_policy.h"

struct index_set index_set_new(struct arena *a, int32_t size)
{
	size = MAX(size, 0);
	return (struct index_set){ arena_alloc(a, (size_t)size / 8 + 1), size, 0 };
}

bool index_set_has(const struct index_set *s, int32_t i)
{
	return i >= 0 && i < s->size && s->bits[i / 8] & (1 << i % 8);
}

void index_set_add(struct index_set *s, int32_t i)
{
	if (i < 0 || i >= s->size || index_set_has(s, i))
		return;
	s->bits[i / 8] |= (uint8_t)(1 << i % 8);
	s->total++;
}

void index_set_parse(struct index_set *s, str text)
{
	if (str_empty(text))
		return;
	for (str rest = text, one; str_next(&rest, ',', &one);) {
		str first, last;
		int64_t from, to;
		bool range = str_split(one, '-', &first, &last);
		if (!str_to_i64(first, &from) || from < 0)
			continue;
		to = from;
		if (range && !str_to_i64(last, &to))
			continue;
		for (int64_t i = from; i <= to && i < s->size; i++)
			index_set_add(s, (int32_t)i);
	}
}

str index_set_text(struct arena *a, const struct index_set *s)
{
	_cleanup_buf_ struct buf b = { 0 };
	for (int32_t i = 0; i < s->size; i++) {
		if (!index_set_has(s, i))
			continue;
		int32_t last = i;
		while (index_set_has(s, last + 1))
			last++;
		buf_printf(&b, "%s%d", b.n ? "," : "", i);
		if (last > i) // two in a row stand by themselves, more as a range
			buf_printf(&b, "%c%d", last == i + 1 ? ',' : '-', last);
		i = last;
	}
	return arena_dup(a, buf_str(&b));
}

int32_t index_set_common(const struct index_set *x, const struct index_set *y)
{
	int32_t n = 0;
	for (int32_t i = 0; i < MIN(x->size, y->size); i++)
		n += index_set_has(x, i) && index_set_has(y, i);
	return n;
}

int32_t job_pod_index(const struct core_v1_Pod *p)
{
	str v;
	int64_t n;
	if (!str_map_find(&p->metadata.annotations, JOB_INDEX, &v) || !str_to_i64(v, &n) || n < 0 || n > INT32_MAX)
		return -1;
	return (int32_t)n;
}

static const struct core_v1_ContainerStatus *
matching_container(const struct core_v1_ContainerStatus_list *l,
                   const struct batch_v1_PodFailurePolicyOnExitCodesRequirement *r)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct core_v1_ContainerStateTerminated *t = l->v[i].state.terminated;
		if (!t || t->exitCode == 0 || (r->containerName && !str_eq(*r->containerName, l->v[i].name)))
			continue;
		bool in = false;
		for (size_t k = 0; k < r->values.n; k++)
			in |= r->values.v[k] == t->exitCode;
		if (str_eq(r->operator, S("In")) ? in : str_eq(r->operator, S("NotIn")) && !in)
			return &l->v[i];
	}
	return NULL;
}

static bool matches(struct arena *a, const struct batch_v1_PodFailurePolicyRule *r, const struct core_v1_Pod *p,
                    size_t index, str *message)
{
	if (r->onExitCodes) {
		const struct core_v1_ContainerStatus *c =
		        matching_container(&p->status.containerStatuses, r->onExitCodes);
		if (!c)
			c = matching_container(&p->status.initContainerStatuses, r->onExitCodes);
		if (c)
			*message = arena_printf(a,
			                        "Container " STR_FMT " for pod " STR_FMT "/" STR_FMT
			                        " failed with exit code %d matching " STR_FMT " rule at index %zu",
			                        STR_ARG(c->name), STR_ARG(p->metadata.namespace),
			                        STR_ARG(p->metadata.name), c->state.terminated->exitCode,
			                        STR_ARG(r->action), index);
		return c != NULL;
	}
	for (size_t i = 0; i < p->status.conditions.n; i++)
		for (size_t k = 0; k < r->onPodConditions.n; k++)
			if (str_eq(p->status.conditions.v[i].type, r->onPodConditions.v[k].type) &&
			    str_eq(p->status.conditions.v[i].status, r->onPodConditions.v[k].status)) {
				*message = arena_printf(a,
				                        "Pod " STR_FMT "/" STR_FMT " has condition " STR_FMT
				                        " matching " STR_FMT " rule at index %zu",
				                        STR_ARG(p->metadata.namespace), STR_ARG(p->metadata.name),
				                        STR_ARG(p->status.conditions.v[i].type), STR_ARG(r->action),
				                        index);
				return true;
			}
	return false;
}

enum failure_action job_failure_action(struct arena *a, const struct batch_v1_PodFailurePolicy *policy,
                                       const struct core_v1_Pod *p, str *message)
{
	for (size_t i = 0; policy && i < policy->rules.n; i++) {
		str action = policy->rules.v[i].action;
		if (!matches(a, &policy->rules.v[i], p, i, message))
			continue;
		return str_eq(action, S("Ignore"))      ? FAILURE_IGNORED
		       : str_eq(action, S("FailJob"))   ? FAILURE_FAILS_JOB
		       : str_eq(action, S("FailIndex")) ? FAILURE_FAILS_INDEX
		                                        : FAILURE_COUNTS;
	}
	return FAILURE_COUNTS;
}

bool job_success_met(struct arena *a, const struct batch_v1_SuccessPolicy *policy, const struct index_set *succeeded,
                     str *message)
{
	if (!policy || succeeded->total == 0)
		return false;
	for (size_t i = 0; i < policy->rules.n; i++) {
		const struct batch_v1_SuccessPolicyRule *r = &policy->rules.v[i];
		int32_t have = succeeded->total, want = r->succeededCount ? *r->succeededCount : INT32_MAX;
		if (r->succeededIndexes) {
			struct index_set required = index_set_new(a, succeeded->size);
			index_set_parse(&required, *r->succeededIndexes);
			if (required.total == 0)
				continue;
			have = index_set_common(&required, succeeded);
			want = MIN(want, required.total);
		}
		if (have >= want) {
			*message = arena_printf(a, "Matched rules at index %zu", i);
			return true;
		}
	}
	return false;
}
