#include <stdlib.h>

#include "base/clock.h"
#include "kubectl/cmd.h"

// k8s.io/apimachinery/pkg/util/duration HumanDuration: two units at most, the smaller the shorter.
str kc_human_duration(struct arena *a, int64_t s)
{
	if (s < -1)
		return S("<invalid>");
	if (s < 0)
		return S("0s");
	if (s < 120)
		return arena_printf(a, "%llds", (long long)s);
	long long minutes = s / 60, hours = s / 3600, days = hours / 24, rest = 0;
	if (minutes < 10 && (rest = s % 60) != 0)
		return arena_printf(a, "%lldm%llds", minutes, rest);
	if (minutes < 180)
		return arena_printf(a, "%lldm", minutes);
	if (hours < 8 && (rest = minutes % 60) != 0)
		return arena_printf(a, "%lldh%lldm", hours, rest);
	if (hours < 48)
		return arena_printf(a, "%lldh", hours);
	if (hours < 192)
		return (rest = hours % 24) == 0 ? arena_printf(a, "%lldd", days)
		                                : arena_printf(a, "%lldd%lldh", days, rest);
	if (days < 365 * 2)
		return arena_printf(a, "%lldd", days);
	if (days < 365 * 8)
		return (rest = days % 365) == 0 ? arena_printf(a, "%lldy", days / 365)
		                                : arena_printf(a, "%lldy%lldd", days / 365, rest);
	return arena_printf(a, "%lldy", days / 365);
}

str kc_age_of(struct arena *a, str time)
{
	int64_t sec;
	int32_t nsec;
	if (!time_parse(time, &sec, &nsec))
		return S("<unknown>");
	return kc_human_duration(a, (clock_wall(NULL) - sec * NS_PER_SEC - nsec) / NS_PER_SEC);
}

static str change_case(struct arena *a, str s, char from, char to)
{
	char *p = arena_cstr(a, s);
	for (size_t i = 0; i < s.n; i++)
		if (p[i] >= from && p[i] <= from + 25)
			p[i] = (char)(p[i] - from + to);
	return str_n(p, s.n);
}

str kc_lower(struct arena *a, str s)
{
	return change_case(a, s, 'A', 'a');
}

str kc_upper(struct arena *a, str s)
{
	return change_case(a, s, 'a', 'A');
}

str kc_quoted(struct arena *a, str s)
{
	_cleanup_buf_ struct buf b = { 0 };
	json_write_string(&b, s, false);
	return arena_dup(a, buf_str(&b));
}

str kc_join(struct arena *a, const str *v, size_t n, str separator)
{
	_cleanup_buf_ struct buf b = { 0 };
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_add(&b, separator);
		buf_add(&b, v[i]);
	}
	return arena_dup(a, buf_str(&b));
}

int64_t kc_value_i64(const struct value *v, int64_t otherwise)
{
	int64_t i;
	return value_to_i64(v, &i) ? i : otherwise;
}

bool kc_value_true(const struct value *v)
{
	return value_is(v, V_BOOL) && v->b;
}

static int by_key(const void *x, const void *y)
{
	return str_cmp(((const struct member *)x)->key, ((const struct member *)y)->key);
}

static struct member *sorted(struct arena *a, const struct value *labels, size_t *n)
{
	*n = value_is(labels, V_OBJECT) ? labels->o.n : 0;
	struct member *m = ARENA_ARRAY(a, struct member, *n);
	if (*n) {
		memcpy(m, labels->o.v, *n * sizeof(*m));
		qsort(m, *n, sizeof(*m), by_key);
	}
	return m;
}

str kc_labels_text(struct arena *a, const struct value *labels)
{
	size_t n;
	struct member *m = sorted(a, labels, &n);
	if (n == 0)
		return S("<none>");
	_cleanup_buf_ struct buf b = { 0 };
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s" STR_FMT "=" STR_FMT, i ? "," : "", STR_ARG(m[i].key),
		           STR_ARG(value_str(m[i].value)));
	return arena_dup(a, buf_str(&b));
}

str kc_selector_text(struct arena *a, const struct value *selector)
{
	_cleanup_buf_ struct buf b = { 0 };
	size_t n;
	struct member *m = sorted(a, value_get(selector, S("matchLabels")), &n);
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s" STR_FMT "=" STR_FMT, b.n ? "," : "", STR_ARG(m[i].key),
		           STR_ARG(value_str(m[i].value)));
	const struct value *list = value_get(selector, S("matchExpressions"));
	for (size_t i = 0; value_is(list, V_ARRAY) && i < list->a.n; i++) {
		str key = value_get_str(list->a.v[i], S("key")), op = value_get_str(list->a.v[i], S("operator"));
		if (b.n)
			buf_add_char(&b, ',');
		if (str_eqc(op, "DoesNotExist")) {
			buf_printf(&b, "!" STR_FMT, STR_ARG(key));
			continue;
		}
		buf_add(&b, key);
		if (str_eqc(op, "Exists"))
			continue;
		buf_add(&b, str_eqc(op, "NotIn") ? S(" notin (") : S(" in ("));
		const struct value *values = value_get(list->a.v[i], S("values"));
		for (size_t j = 0; value_is(values, V_ARRAY) && j < values->a.n; j++)
			buf_printf(&b, "%s" STR_FMT, j ? "," : "", STR_ARG(value_str(values->a.v[j])));
		buf_add_char(&b, ')');
	}
	return b.n ? arena_dup(a, buf_str(&b)) : S("<none>");
}

void kc_write_plain(struct buf *to, const struct value *v)
{
	size_t n;
	_cleanup_arena_ struct arena *a = NULL;
	switch (v->kind) {
	case V_NULL:
		buf_add(to, S("<nil>"));
		break;
	case V_STRING:
		buf_add(to, v->s);
		break;
	case V_ARRAY:
		buf_add_char(to, '[');
		for (size_t i = 0; i < v->a.n; i++) {
			if (i)
				buf_add_char(to, ' ');
			kc_write_plain(to, v->a.v[i]);
		}
		buf_add_char(to, ']');
		break;
	case V_OBJECT:
		a = arena_new(0);
		buf_add(to, S("map["));
		for (struct member *m = sorted(a, v, &n), *first = m, *end = m + n; m < end; m++) {
			if (m > first)
				buf_add_char(to, ' ');
			buf_add(to, m->key);
			buf_add_char(to, ':');
			kc_write_plain(to, m->value);
		}
		buf_add_char(to, ']');
		break;
	default:
		json_write(to, v, JSON_COMPACT);
	}
}
