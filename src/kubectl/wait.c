#include "base/clock.h"
#include "kubectl/cmd.h"

enum wait_kind { WAIT_CONDITION, WAIT_DELETE, WAIT_CREATE, WAIT_JSONPATH };

struct waiting {
	struct kctl *k;
	enum wait_kind kind;
	str name, value; // of the condition; path and value (empty: any)
	str uid;
};

static bool parse_for(struct kctl *k, str text, struct waiting *w, struct error *err)
{
	str rest = text;
	w->k = k;
	if (str_eq_nocase(text, S("delete"))) {
		w->kind = WAIT_DELETE;
		return true;
	}
	if (str_eq_nocase(text, S("create"))) {
		w->kind = WAIT_CREATE;
		return true;
	}
	if (str_cut_prefix(&rest, S("condition="))) {
		w->kind = WAIT_CONDITION;
		if (!str_split(rest, '=', &w->name, &w->value))
			w->value = S("true");
		return true;
	}
	if (str_cut_prefix(&rest, S("jsonpath="))) {
		w->kind = WAIT_JSONPATH;
		// The path ends with its brace; what follows "=" is the value.
		ptrdiff_t end = str_rfind_char(rest, '}');
		w->name = end < 0 ? rest : str_sub(rest, 0, (size_t)end + 1);
		str after = end < 0 ? (str){ 0 } : str_from(rest, (size_t)end + 1);
		for (int i = 0; i < 2; i++) {
			str *part = i ? &w->value : &w->name;
			if (i) {
				str_cut_prefix(&after, S("="));
				*part = after;
			}
			if (part->n >= 2 && (part->p[0] == '\'' || part->p[0] == '"') &&
			    part->p[part->n - 1] == part->p[0])
				*part = str_sub(*part, 1, part->n - 1);
		}
		if (w->name.n == 0)
			return error_set(err, "jsonpath expression cannot be empty");
		return true;
	}
	return error_set(err, "unrecognized condition: \"" STR_FMT "\"", STR_ARG(text));
}

static bool is_met(void *ctx, struct value *obj, struct error *err)
{
	struct waiting *w = ctx;
	switch (w->kind) {
	case WAIT_DELETE:
		return !obj || !str_eq(value_str(value_path(obj, S("metadata"), S("uid"))), w->uid);
	case WAIT_CREATE:
		return obj != NULL;
	case WAIT_CONDITION: {
		const struct value *list = value_path(obj, S("status"), S("conditions"));
		int64_t generation = kc_value_i64(value_path(obj, S("metadata"), S("generation")), 0);
		for (size_t i = 0; value_is(list, V_ARRAY) && i < list->a.n; i++) {
			const struct value *c = list->a.v[i];
			if (!str_eq_nocase(value_get_str(c, S("type")), w->name))
				continue;
			// A condition that was seen on an older generation says nothing about this one.
			int64_t seen =
			        kc_value_i64(value_get(c, S("observedGeneration")),
			                     kc_value_i64(value_path(obj, S("status"), S("observedGeneration")), 0));
			if (seen && seen < generation)
				return false;
			return str_eq_nocase(value_get_str(c, S("status")), w->value);
		}
		return false;
	}
	case WAIT_JSONPATH: {
		struct error ignored;
		const struct value *v = obj ? jsonpath_first(w->k, w->name, obj, &ignored) : NULL;
		if (!v || w->value.n == 0)
			return v != NULL;
		_cleanup_buf_ struct buf b = { 0 };
		kc_write_plain(&b, v);
		return str_eq(str_trim(buf_str(&b)), str_trim(w->value));
	}
	}
	return false;
}

bool run_wait(struct kctl *k, struct error *err)
{
	const struct str_list *conditions = flag_list(k, "for");
	struct waiting w = { 0 };
	struct targets list = { 0 };
	int64_t timeout;
	str text = flag_text(k, "for");
	if (conditions->n == 0)
		return error_set(err, "unrecognized condition: \"\"");
	if (!flag_duration(k, "timeout", &timeout, err) || !parse_for(k, text, &w, err))
		return false;
	unsigned how = TARGETS_NAMED | (w.kind == WAIT_CREATE ? 0 : TARGETS_OBJECTS) |
	               (w.kind == WAIT_DELETE ? TARGETS_SKIP_MISSING : 0);
	if (!targets_read(k, k->args.v, k->args.n, how, &list, err))
		return false;
	if (list.n == 0 && !k->failed && w.kind != WAIT_DELETE)
		return error_set(err, "no matching resources found");
	int64_t until = clock_mono(NULL) + (timeout < 0 ? 7 * 86400 * NS_PER_SEC : timeout);
	for (size_t i = 0; i < list.n; i++) {
		struct target *t = &list.v[i];
		struct error why = { 0 };
		w.uid = value_str(value_path(t->obj, S("metadata"), S("uid")));
		if (kc_watch_object(k, t->type, t->ns, t->name, until, is_met, &w, &why)) {
			kc_print_done(k, t, t->obj, "condition met", &why);
			fflush(stdout);
			continue;
		}
		if (error_is(&why, "Timeout") && !kc_from_server(&why))
			error_set(&why, "timed out waiting for the condition on " STR_FMT "/" STR_FMT,
			          STR_ARG(t->type->resource), STR_ARG(t->name));
		kc_report(k, &why);
	}
	return true;
}
