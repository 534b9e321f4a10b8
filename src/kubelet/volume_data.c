#include "kubelet/objects.h"
#include "kubelet/volumes.h"
#include "schema/quantity.h"

#define TOKEN_SECONDS 3600
#define TOKEN_OLD_NS (24 * 3600 * NS_PER_SEC)

struct token_entry {
	str audience;
	int64_t seconds;
	char *token;
	int64_t refresh_wall;
	struct token_entry *next;
};

static void add_file(struct arena *a, struct volume_payload *p, str path, str data, uint32_t mode, int64_t owner)
{
	for (size_t i = 0; i < p->n; i++)
		if (str_eq(p->v[i].path, path)) {
			p->v[i] = (struct volume_file){ path, data, mode, owner };
			return;
		}
	*LIST_ADD(a, p) = (struct volume_file){ path, data, mode, owner };
}

// The keys of a ConfigMap or Secret: all of them, or those that are listed under other names.
static bool add_keys(struct arena *a, const struct str_map *text, const struct str_map *binary, const struct core_v1_KeyToPath_list *items,
                     uint32_t mode, bool optional, const char *what, struct volume_payload *out, struct error *err)
{
	const struct str_map *maps[] = { text, binary };
	for (size_t m = 0; items->n == 0 && m < 2; m++)
		for (size_t i = 0; maps[m] && i < maps[m]->n; i++)
			add_file(a, out, maps[m]->v[i].key, maps[m]->v[i].value, mode, -1);
	for (size_t i = 0; i < items->n; i++) {
		const struct core_v1_KeyToPath *k = &items->v[i];
		str data;
		if ((text && str_map_find(text, k->key, &data)) || (binary && str_map_find(binary, k->key, &data)))
			add_file(a, out, k->path, data, k->mode ? (uint32_t)*k->mode : mode, -1);
		else if (!optional)
			return error_set(err, "references non-existent %s key: " STR_FMT, what, STR_ARG(k->key));
	}
	return true;
}

static bool config_map_data(struct worker *w, struct arena *a, str ns, str name, const struct core_v1_KeyToPath_list *items, uint32_t mode,
                            bool optional, int64_t not_before, struct volume_payload *out, struct error *err)
{
	const struct core_v1_ConfigMap *m = config_map_get(w->k, a, ns, name, not_before, err);
	if (!m)
		return optional && err->code == 404;
	return add_keys(a, &m->data, &m->binaryData, items, mode, optional, "config", out, err);
}

static bool secret_data(struct worker *w, struct arena *a, str ns, str name, const struct core_v1_KeyToPath_list *items, uint32_t mode,
                        bool optional, int64_t not_before, struct volume_payload *out, struct error *err)
{
	const struct core_v1_Secret *s = secret_get(w->k, a, ns, name, not_before, err);
	if (!s)
		return optional && err->code == 404;
	return add_keys(a, &s->data, NULL, items, mode, optional, "secret", out, err);
}

static bool downward_data(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_DownwardAPIVolumeFile_list *l,
                          uint32_t mode, struct volume_payload *out, struct error *err)
{
	struct str_list ips = { 0 };
	struct env_source s = pod_env_source(w, a, pod, NULL, &ips);
	for (size_t i = 0; i < l->n; i++) {
		const struct core_v1_DownwardAPIVolumeFile *f = &l->v[i];
		str data = S("");
		if (f->fieldRef && !field_value(a, &s, f->fieldRef->fieldPath, &data, err))
			return false;
		if (!f->fieldRef && f->resourceFieldRef && !resource_value(a, &s, f->resourceFieldRef, &data, err))
			return false;
		add_file(a, out, f->path, data, f->mode ? (uint32_t)*f->mode : mode, -1);
	}
	return true;
}

// The user all containers run as; -1: they differ, or it is not said.
static int64_t common_user(const struct core_v1_Pod *pod)
{
	int64_t user = -2;
	for (int init = 0; init < 2; init++) {
		const struct core_v1_Container_list *l = init ? &pod->spec.initContainers : &pod->spec.containers;
		for (size_t i = 0; i < l->n; i++) {
			const int64_t *u = l->v[i].securityContext ? l->v[i].securityContext->runAsUser : NULL;
			if (!u && pod->spec.securityContext)
				u = pod->spec.securityContext->runAsUser;
			if (!u || (user != -2 && *u != user))
				return -1;
			user = *u;
		}
	}
	return user < 0 ? -1 : user;
}

bool pod_token(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, str audience, int64_t seconds, str *token,
               struct error *err)
{
	struct kubelet *k = w->k;
	int64_t now = clock_wall(k->clock);
	struct token_entry **at = (struct token_entry **)&w->own.tokens, *e;
	while ((e = *at) && !(str_eq(e->audience, audience) && e->seconds == seconds))
		at = &e->next;
	if (e && now < e->refresh_wall) {
		*token = arena_dup(a, str_c(e->token));
		return true;
	}
	struct authentication_v1_BoundObjectReference bound = { .kind = S("Pod"), .apiVersion = S("v1"), .name = pod->metadata.name,
	                                                        .uid = pod->metadata.uid };
	struct authentication_v1_TokenRequest r = { .spec = { .expirationSeconds = &seconds, .boundObjectRef = &bound } };
	if (audience.n)
		*LIST_ADD(a, &r.spec.audiences) = audience;
	str account = pod->spec.serviceAccountName.n ? pod->spec.serviceAccountName : S("default");
	struct authentication_v1_TokenRequest *answer =
		client_create_sub(k->client, a, k->r_tokens, pod->metadata.namespace, account, &r, err);
	if (!answer) {
		// An old one that is still good is better than none.
		if (e && now < e->refresh_wall + seconds * NS_PER_SEC / 10) {
			*token = arena_dup(a, str_c(e->token));
			return true;
		}
		return error_wrap(err, "failed to fetch token");
	}
	int64_t end = answer->status.expirationTimestamp.sec * NS_PER_SEC;
	// A fifth of its life before its end, and after a day at the latest.
	int64_t refresh = now + MIN((end - now) / 5 * 4, TOKEN_OLD_NS);
	if (!e) {
		e = ARENA_NEW(w->own.arena, struct token_entry);
		e->audience = arena_dup(w->own.arena, audience);
		e->seconds = seconds;
		*at = e;
	}
	free(e->token);
	e->token = heap_cstr(answer->status.token);
	e->refresh_wall = refresh;
	*token = answer->status.token;
	return true;
}

void pod_tokens_free(struct worker *w)
{
	for (struct token_entry *e = w->own.tokens; e; e = e->next)
		free(e->token);
	w->own.tokens = NULL;
}

static bool projected_data(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_ProjectedVolumeSource *p,
                           int64_t not_before, struct volume_payload *out, struct error *err)
{
	uint32_t mode = p->defaultMode ? (uint32_t)*p->defaultMode : 0644;
	str ns = pod->metadata.namespace;
	for (size_t i = 0; i < p->sources.n; i++) {
		const struct core_v1_VolumeProjection *s = &p->sources.v[i];
		if (s->secret) {
			if (!secret_data(w, a, ns, s->secret->localObjectReference.name, &s->secret->items, mode,
			                 s->secret->optional && *s->secret->optional, not_before, out, err))
				return false;
		} else if (s->configMap) {
			if (!config_map_data(w, a, ns, s->configMap->localObjectReference.name, &s->configMap->items, mode,
			                     s->configMap->optional && *s->configMap->optional, not_before, out, err))
				return false;
		} else if (s->downwardAPI) {
			if (!downward_data(w, a, pod, &s->downwardAPI->items, mode, out, err))
				return false;
		} else if (s->serviceAccountToken) {
			const struct core_v1_ServiceAccountTokenProjection *t = s->serviceAccountToken;
			int64_t owner = common_user(pod);
			bool group = pod->spec.securityContext && pod->spec.securityContext->fsGroup;
			str token;
			if (!pod_token(w, a, pod, t->audience, t->expirationSeconds ? *t->expirationSeconds : TOKEN_SECONDS, &token, err))
				return false;
			add_file(a, out, t->path, token, owner >= 0 || group ? 0600 : mode, owner);
		} else {
			return error_set(err, "projection of %s is not supported",
			                 s->clusterTrustBundle ? "clusterTrustBundle" : s->podCertificate ? "podCertificate" : "this source");
		}
	}
	return true;
}

bool volume_data(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Volume *v, int64_t not_before,
                 struct volume_payload *out, struct error *err)
{
	const struct core_v1_VolumeSource *s = &v->volumeSource;
	str ns = pod->metadata.namespace;
	if (s->configMap)
		return config_map_data(w, a, ns, s->configMap->localObjectReference.name, &s->configMap->items,
		                       s->configMap->defaultMode ? (uint32_t)*s->configMap->defaultMode : 0644,
		                       s->configMap->optional && *s->configMap->optional, not_before, out, err);
	if (s->secret)
		return secret_data(w, a, ns, s->secret->secretName, &s->secret->items,
		                   s->secret->defaultMode ? (uint32_t)*s->secret->defaultMode : 0644,
		                   s->secret->optional && *s->secret->optional, not_before, out, err);
	if (s->downwardAPI)
		return downward_data(w, a, pod, &s->downwardAPI->items,
		                     s->downwardAPI->defaultMode ? (uint32_t)*s->downwardAPI->defaultMode : 0644, out, err);
	if (s->projected)
		return projected_data(w, a, pod, s->projected, not_before, out, err);
	return error_set(err, "not a volume of files");
}
