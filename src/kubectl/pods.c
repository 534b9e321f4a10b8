// From what the user names to pods and their containers: for logs and exec.
#include "kubectl/cmd.h"
#include "kubectl/pods.h"

#define DEFAULT_CONTAINER "kubectl.kubernetes.io/default-container"

const struct value *pod_container(const struct value *pod, str name)
{
	static const char *const lists[] = { "containers", "initContainers", "ephemeralContainers" };
	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		const struct value *v = value_path(pod, S("spec"), str_c(lists[l]));
		for (size_t i = 0; value_is(v, V_ARRAY) && i < v->a.n; i++)
			if (str_eq(value_get_str(v->a.v[i], S("name")), name))
				return v->a.v[i];
	}
	return NULL;
}

// "a, b, c (init)"; *n is how many.
static str container_names(struct arena *a, const struct value *pod, size_t *n)
{
	static const struct {
		const char *list, *mark;
	} all[] = { { "containers", "" }, { "ephemeralContainers", " (ephem)" }, { "initContainers", " (init)" } };
	_cleanup_buf_ struct buf b = { 0 };
	*n = 0;
	for (size_t l = 0; l < ARRAY_LEN(all); l++) {
		const struct value *v = value_path(pod, S("spec"), str_c(all[l].list));
		for (size_t i = 0; value_is(v, V_ARRAY) && i < v->a.n; i++)
			buf_printf(&b, "%s" STR_FMT "%s", (*n)++ ? ", " : "",
			           STR_ARG(value_get_str(v->a.v[i], S("name"))), all[l].mark);
	}
	return arena_dup(a, buf_str(&b));
}

bool pod_choose_container(struct kctl *k, const struct value *pod, str wanted, bool quiet, str *name, struct error *err)
{
	str pod_name = value_str(value_path(pod, S("metadata"), S("name")));
	size_t total;
	str all = container_names(k->a, pod, &total);
	if (wanted.n) {
		*name = wanted;
		if (pod_container(pod, wanted))
			return true;
		return error_set(err, "container " STR_FMT " is not valid for pod " STR_FMT " out of: " STR_FMT,
		                 STR_ARG(wanted), STR_ARG(pod_name), STR_ARG(all));
	}
	const struct value *containers = value_path(pod, S("spec"), S("containers"));
	if (!value_is(containers, V_ARRAY) || containers->a.n == 0)
		return error_set(err, "pod " STR_FMT " does not have any containers", STR_ARG(pod_name));
	str annotated = value_str(value_path(pod, S("metadata"), S("annotations"), S(DEFAULT_CONTAINER)));
	if (annotated.n && pod_container(pod, annotated)) {
		*name = annotated;
		return true;
	}
	*name = value_get_str(containers->a.v[0], S("name"));
	if (total > 1 && !quiet)
		fprintf(stderr, "Defaulted container \"" STR_FMT "\" out of: " STR_FMT "\n", STR_ARG(*name),
		        STR_ARG(all));
	return true;
}

static int rank(const struct value *pod)
{
	const struct value *list = value_path(pod, S("status"), S("conditions"));
	str phase = value_str(value_path(pod, S("status"), S("phase")));
	int r = str_eqc(phase, "Running") ? 2 : str_eqc(phase, "Pending") ? 0 : 1;
	for (size_t i = 0; value_is(list, V_ARRAY) && i < list->a.n; i++)
		if (str_eqc(value_get_str(list->a.v[i], S("type")), "Ready") &&
		    str_eqc(value_get_str(list->a.v[i], S("status")), "True"))
			r += 4;
	return r;
}

bool pods_selected(struct kctl *k, str ns, str selector, struct value **items, struct error *err)
{
	struct value *list;
	const struct rtype *t = kc_type_of_kind(k, S("v1"), S("Pod"), err);
	if (!t || !kc_list_all(k, t, ns, selector, (str){ 0 }, &list, err))
		return false;
	*items = value_get(list, S("items"));
	if (!value_is(*items, V_ARRAY))
		*items = value_array(k->a);
	return true;
}

struct value *pod_of(struct kctl *k, str word, bool quiet, struct error *err)
{
	str type = S("pod"), name = word, rest;
	if (str_split(word, '/', &type, &rest))
		name = rest;
	else
		type = S("pod");
	if (!name.n || str_find_char(name, '/') >= 0) {
		error_set(err, "arguments in resource/name form must have a single resource and name");
		return NULL;
	}
	const struct rtype *t = kc_type_find(k, type, err);
	struct value *obj = t ? api_get(k, kc_type_path(k, t, k->ns, name), err) : NULL;
	if (!obj || str_eqc(t->resource, "pods"))
		return obj;
	const struct value *selector = value_path(obj, S("spec"), S("selector"));
	struct value *items;
	str text = str_eqc(t->resource, "services") || str_eqc(t->resource, "replicationcontrollers")
	                   ? kc_labels_text(k->a, selector)
	                   : kc_selector_text(k->a, selector);
	if (!value_is(selector, V_OBJECT) || str_eqc(text, "<none>")) {
		error_set(err, "cannot get the logs from " STR_FMT ": it selects no pods", STR_ARG(kc_type_name(k, t)));
		return NULL;
	}
	if (!pods_selected(k, k->ns, text, &items, err))
		return NULL;
	if (items->a.n == 0) {
		error_set(err, "timed out waiting for the condition");
		return NULL;
	}
	struct value *best = items->a.v[0];
	for (size_t i = 1; i < items->a.n; i++)
		if (rank(items->a.v[i]) > rank(best))
			best = items->a.v[i];
	if (items->a.n > 1 && !quiet)
		fprintf(stderr, "Found %zu pods, using pod/" STR_FMT "\n", items->a.n,
		        STR_ARG(value_str(value_path(best, S("metadata"), S("name")))));
	return best;
}
