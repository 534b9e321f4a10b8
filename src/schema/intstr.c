#include "schema/intstr.h"

bool int_or_percent(const struct int_or_string *v, int64_t total, bool round_up, int64_t *out, struct error *err)
{
	if (!v)
		return error_set(err, "nil value for IntOrString");
	if (!v->is_string) {
		*out = v->i;
		return true;
	}
	str digits = v->s;
	if (!str_cut_suffix(&digits, S("%")))
		return error_set(err, "invalid value for IntOrString: invalid type: string is not a percentage");
	int64_t percent;
	if (!str_to_i64(digits, &percent) || percent > INT32_MAX || percent < INT32_MIN)
		return error_set(err,
		                 "invalid value for IntOrString: invalid value \"" STR_FMT
		                 "\": strconv.Atoi: parsing \"" STR_FMT "\": invalid syntax",
		                 STR_ARG(v->s), STR_ARG(digits));
	__int128 product = (__int128)percent * total, whole = product / 100;
	if (product % 100 != 0) {
		// Division cuts towards zero.
		if (round_up && product > 0)
			whole++;
		if (!round_up && product < 0)
			whole--;
	}
	*out = (int64_t)whole;
	return true;
}

int32_t int_or_string_value(const struct int_or_string *v)
{
	int64_t n;
	if (!v->is_string)
		return v->i;
	return str_to_i64(v->s, &n) && n >= INT32_MIN && n <= INT32_MAX ? (int32_t)n : 0;
}

str int_or_string_text(struct arena *a, const struct int_or_string *v)
{
	return v->is_string ? v->s : arena_printf(a, "%d", v->i);
}
