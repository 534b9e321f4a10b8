// What table cells are made of.
#include "apiserver/kinds/kinds.h"

#include "base/clock.h"

void row_text(struct row *r, str s)
{
	*r->next++ = (struct cell){ .kind = CELL_TEXT, .text = s };
}

void row_int(struct row *r, int64_t i)
{
	*r->next++ = (struct cell){ .kind = CELL_INT, .i = i };
}

void row_bool(struct row *r, bool b)
{
	*r->next++ = (struct cell){ .kind = CELL_RAW, .text = b ? S("true") : S("false") };
}

// Rule: apimachinery util/duration: three digits at most, the second unit only while it matters.
str human_duration(struct arena *a, int64_t sec)
{
	if (sec < -1)
		return S("<invalid>");
	if (sec < 0)
		return S("0s");
	if (sec < 120)
		return arena_printf(a, "%llds", (long long)sec);
	int64_t min = sec / 60, hours = sec / 3600;
	if (min < 10)
		return sec % 60 ? arena_printf(a, "%lldm%llds", (long long)min, (long long)(sec % 60)) : arena_printf(a, "%lldm", (long long)min);
	if (min < 180)
		return arena_printf(a, "%lldm", (long long)min);
	if (hours < 8)
		return min % 60 ? arena_printf(a, "%lldh%lldm", (long long)hours, (long long)(min % 60)) : arena_printf(a, "%lldh", (long long)hours);
	if (hours < 48)
		return arena_printf(a, "%lldh", (long long)hours);
	int64_t days = hours / 24;
	if (hours < 24 * 8)
		return hours % 24 ? arena_printf(a, "%lldd%lldh", (long long)days, (long long)(hours % 24)) : arena_printf(a, "%lldd", (long long)days);
	if (hours < 24 * 365 * 2)
		return arena_printf(a, "%lldd", (long long)days);
	if (hours < 24 * 365 * 8 && days % 365)
		return arena_printf(a, "%lldy%lldd", (long long)(days / 365), (long long)(days % 365));
	return arena_printf(a, "%lldy", (long long)(days / 365));
}

str since_text(struct arena *a, struct api_time t, int64_t now_ns)
{
	if (!t.set)
		return S("<unknown>");
	int64_t ns;
	if (__builtin_mul_overflow(t.sec, NS_PER_SEC, &ns) || __builtin_sub_overflow(now_ns, ns + t.nsec, &ns))
		return S("<invalid>");
	return human_duration(a, ns / NS_PER_SEC);
}

void row_since(struct row *r, struct api_time t)
{
	row_text(r, since_text(r->a, t, r->now));
}

str labels_text(struct arena *a, const struct str_map *labels)
{
	struct str_list l = { 0 };
	for (size_t i = 0; i < labels->n; i++)
		*LIST_ADD(a, &l) = arena_concat(a, labels->v[i].key, S("="), labels->v[i].value);
	return or_none(str_list_join(a, &l, ","));
}

str label_selector_text(struct arena *a, const struct meta_v1_LabelSelector *s)
{
	struct selector sel;
	struct error err = { 0 };
	if (!selector_from_label_selector(a, s, &sel, &err))
		return S("<error>");
	return or_none(selector_text(a, &sel));
}

void row_containers(struct row *r, const struct core_v1_Container_list *containers)
{
	struct str_list names = { 0 }, images = { 0 };
	EACH (c, *containers) {
		*LIST_ADD(r->a, &names) = c->name;
		*LIST_ADD(r->a, &images) = c->image;
	}
	row_text(r, str_list_join(r->a, &names, ","));
	row_text(r, str_list_join(r->a, &images, ","));
}

str int_or_string_text(struct arena *a, const struct int_or_string *v)
{
	return v->is_string ? v->s : arena_printf(a, "%d", v->i);
}

str quantity_text(struct quantity q)
{
	return q.s.n ? q.s : S("0");
}

str list_text(struct arena *a, const struct str_list *l, size_t most, size_t count)
{
	str text = str_list_join(a, l, ",");
	return count > most ? arena_printf(a, STR_FMT " + %zu more...", STR_ARG(text), count - most) : text;
}
