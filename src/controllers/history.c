#include "controllers/history.h"

#include <stdlib.h>

static int by_revision(const void *x, const void *y)
{
	const struct apps_v1_ControllerRevision *a = *(const struct apps_v1_ControllerRevision *const *)x,
	                                        *b = *(const struct apps_v1_ControllerRevision *const *)y;
	if (a->revision != b->revision)
		return a->revision < b->revision ? -1 : 1;
	int64_t ta = a->metadata.creationTimestamp.sec, tb = b->metadata.creationTimestamp.sec;
	return ta != tb ? (ta < tb ? -1 : 1) : str_cmp(a->metadata.name, b->metadata.name);
}

bool history_of(struct manager *m, struct arena *a, const struct owner *o, const struct selector *s,
                struct informer *informer, struct revisions *out, struct error *err)
{
	struct held claimed;
	if (!claim(m, a, o, s, m->r.controllerrevisions, held_candidates(a, informer, o->meta->namespace, o->meta->uid),
	           NULL, &claimed, err))
		return false;
	sort_items(claimed.v, claimed.n, sizeof(*claimed.v), by_revision);
	*out = (struct revisions){ (const struct apps_v1_ControllerRevision **)claimed.v, claimed.n };
	return true;
}

// {"spec":{"template":{...,"$patch":"replace"}}} with keys in order: what kubectl rollout undo applies.
static str template_data(struct arena *a, const struct core_v1_PodTemplateSpec *t)
{
	struct value *template = schema_to_value(a, core_v1_PodTemplateSpec_desc, t), *spec = value_object(a),
	             *root = value_object(a);
	value_set(a, template, S("$patch"), value_string(a, S("replace")));
	value_set(a, spec, S("template"), template);
	value_set(a, root, S("spec"), spec);
	return json_text(a, root, JSON_COMPACT | JSON_SORT);
}

struct core_v1_PodTemplateSpec *history_template(struct arena *a, const struct apps_v1_ControllerRevision *r,
                                                 struct error *err)
{
	const struct value *v = json_parse(a, r->data.s, NULL, err);
	if (!v)
		return NULL;
	struct value *template = value_path(v, S("spec"), S("template"));
	if (!template) {
		error_set(err, "revision " STR_FMT " holds no template", STR_ARG(r->metadata.name));
		return NULL;
	}
	value_del(template, S("$patch"));
	return schema_from_value(a, core_v1_PodTemplateSpec_desc, template, NULL, err);
}

const struct apps_v1_ControllerRevision *history_find(struct arena *a, struct revisions r,
                                                      const struct core_v1_PodTemplateSpec *t)
{
	for (size_t i = r.n; i > 0; i--) {
		struct error ignored = { 0 };
		const struct core_v1_PodTemplateSpec *one = history_template(a, r.v[i - 1], &ignored);
		if (one && schema_equal(core_v1_PodTemplateSpec_desc, one, t))
			return r.v[i - 1];
	}
	return NULL;
}

const struct apps_v1_ControllerRevision *history_create(struct manager *m, struct arena *a, const struct owner *o,
                                                        const struct str_map *labels,
                                                        const struct core_v1_PodTemplateSpec *t, int64_t revision,
                                                        int32_t **collisions, bool hash_is_name, struct error *err)
{
	str hash = pod_template_hash(a, t, *collisions);
	struct apps_v1_ControllerRevision r = { .revision = revision, .data = { template_data(a, t) } };
	r.metadata.name = arena_concat(a, str_sub(o->meta->name, 0, 253 - 1 - hash.n), S("-"), hash);
	r.metadata.namespace = o->meta->namespace;
	for (size_t i = 0; i < labels->n; i++)
		str_map_set(a, &r.metadata.labels, labels->v[i].key, labels->v[i].value);
	str_map_set(a, &r.metadata.labels, REVISION_HASH_LABEL, hash_is_name ? r.metadata.name : hash);
	*LIST_ADD(a, &r.metadata.ownerReferences) = owner_reference(a, o);
	const struct apps_v1_ControllerRevision *made =
	        client_create(m->client, a, m->r.controllerrevisions, r.metadata.namespace, &r, err);
	if (made || !error_is(err, "AlreadyExists"))
		return made;
	struct error conflict = *err;
	*err = (struct error){ 0 };
	const struct apps_v1_ControllerRevision *there =
	        client_get(m->client, a, m->r.controllerrevisions, r.metadata.namespace, r.metadata.name, err);
	if (!there)
		return NULL;
	struct revisions one = { &there, 1 };
	if (history_find(a, one, t))
		return there;
	int32_t *count = ARENA_NEW(a, int32_t);
	*count = (*collisions ? **collisions : 0) + 1;
	*collisions = count;
	*err = conflict;
	return NULL;
}

const struct apps_v1_ControllerRevision *history_renumber(struct manager *m, struct arena *a,
                                                          const struct apps_v1_ControllerRevision *r, int64_t revision,
                                                          struct error *err)
{
	struct apps_v1_ControllerRevision copy = *r;
	copy.revision = revision;
	return client_update(m->client, a, m->r.controllerrevisions, NULL, &copy, err);
}

bool history_truncate(struct manager *m, struct revisions old, int32_t limit,
                      bool (*live)(const struct apps_v1_ControllerRevision *r, void *ctx), void *ctx, struct error *err)
{
	int64_t surplus = (int64_t)old.n - limit;
	for (size_t i = 0; i < old.n && surplus > 0; i++) {
		if (live(old.v[i], ctx))
			continue;
		if (!client_delete(m->client, m->r.controllerrevisions, old.v[i]->metadata.namespace,
		                   old.v[i]->metadata.name, NULL, err) &&
		    err->code != 404)
			return false;
		*err = (struct error){ 0 };
		surplus--;
	}
	return true;
}
