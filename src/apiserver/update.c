// PUT and everything else that changes an object: the new state is made from the current one, checked against it, and committed on
// condition that the current one still is. When another write came between, it begins again; a resourceVersion in the new
// state that is not the current one is the client's conflict. Rule: apiserver pkg/registry/rest/update.go.
#include "apiserver/alloc.h"

#include "object/meta.h"
#include "object/names.h"

enum { ATTEMPTS = 20 };

struct change { struct commit commit; struct update u; struct kind *k; struct buf json; struct cache_entry *entry; struct alloc_change alloc; };

static void change_free(void *ctx)
{
	struct change *x = ctx;
	buf_free(&x->json);
	cache_entry_unref(x->entry);
}

static bool equal_field(const struct field_desc *f, const void *a, const void *b)
{
	const struct message_desc *m = schema_field_message(f);
	const char *x = (const char *)a + f->offset, *y = (const char *)b + f->offset;
	if (!m)
		return true;
	if (f->flags & FF_POINTER) {
		const void *p = *(void *const *)(const void *)x, *q = *(void *const *)(const void *)y;
		return p && q ? schema_equal(m, p, q) : p == q;
	}
	return schema_equal(m, x, y);
}

static void copy_field(const struct field_desc *f, void *to, const void *from)
{
	const struct message_desc *m = schema_field_message(f);
	memcpy((char *)to + f->offset, (const char *)from + f->offset, f->flags & FF_POINTER ? sizeof(void *) : m ? m->size : 0);
}

// What the general part of every strategy's PrepareForUpdate does.
static void prepare_general(struct kind *k, enum update_target t, void *obj, const void *old)
{
	const struct strategy *st = k->strategy;
	struct meta_v1_ObjectMeta *m = meta_of(k, obj), *o = meta_of(k, old);
	if (t == UPDATE_STATUS && k->status) {
		// Only the status (and metadata) changes: the rest is the old one's.
		char *keep = (char *)obj;
		struct meta_v1_ObjectMeta meta = *m;
		const struct message_desc *sm = schema_field_message(k->status);
		size_t n = k->status->flags & FF_POINTER ? sizeof(void *) : sm->size;
		_cleanup_arena_ struct arena *a = arena_new(n + 64);
		void *status = arena_alloc(a, n);
		memcpy(status, keep + k->status->offset, n);
		memcpy(obj, old, k->storage_message->size);
		memcpy(keep + k->status->offset, status, n);
		*m = meta;
		m->deletionTimestamp = o->deletionTimestamp;
		m->ownerReferences = o->ownerReferences;
		// Some kinds take nothing but the status (ResetObjectMetaForStatus).
		static const char *const strict[] = { "apiregistration.k8s.io/apiservices", "flowcontrol.apiserver.k8s.io/flowschemas",
			                              "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations", "resource.k8s.io/resourceclaims",
			                              "admissionregistration.k8s.io/validatingadmissionpolicies", "storage.k8s.io/volumeattachments",
			                              "apiextensions.k8s.io/customresourcedefinitions", "networking.k8s.io/servicecidrs" };
		for (size_t i = 0; i < ARRAY_LEN(strict); i++) {
			if (!str_eqc(k->key_prefix, strict[i]))
				continue;
			m->labels = o->labels;
			m->annotations = o->annotations;
			m->finalizers = o->finalizers;
		}
		return;
	}
	if (t != UPDATE_SPEC)
		return;
	if (st->has_status && k->status)
		copy_field(k->status, obj, old);
}

static bool goes_away(struct kind *k, const void *obj)
{
	const struct meta_v1_ObjectMeta *m = meta_of(k, obj);
	if (!m->deletionTimestamp || m->finalizers.n || (m->deletionGracePeriodSeconds && *m->deletionGracePeriodSeconds > 0))
		return false;
	if (str_eq(k->key_prefix, S("core/namespaces")))
		return ((const struct core_v1_Namespace *)obj)->spec.finalizers.n == 0;
	return true;
}

static void attempt(struct change *x);

static void again(struct call *c)
{
	struct change *x = c->data;
	alloc_done(c, &x->alloc, false);
	if (++x->u.attempts < ATTEMPTS) {
		attempt(x);
		return;
	}
	struct api_status s;
	status_conflict(c->r.arena, &s, x->k->stored->group, x->k->resource, x->u.name, S("the object has been modified; please apply your changes to the latest version and try again"));
	reply_status(c, &s);
}

static void answer(struct commit *m, const struct store_result *r)
{
	struct call *c = m->call;
	struct change *x = c->data;
	alloc_done(c, &x->alloc, !c->r.dry_run);
	if (m->kind->strategy->after_delete && m->nops && m->ops[0].kind == STORE_DELETE)
		m->kind->strategy->after_delete(&c->r, m->obj);
	if (!x->u.reply || c->over) {
		commit_finish(m);
		return;
	}
	if (r->revision)
		meta_of(m->kind, m->obj)->resourceVersion = arena_printf(c->r.arena, "%lld", (long long)r->revision);
	x->u.reply(c, m->code, m->kind, m->obj);
}

// Where upstream keeps a kind in etcd: it shows in one message.
static str upstream_prefix(const struct kind *k)
{
	static const struct { const char *prefix; str key; } others[] = {
		{ "core/endpoints", S_INIT("services/endpoints") }, { "core/services", S_INIT("services/specs") }, { "core/nodes", S_INIT("minions") },
		{ "core/replicationcontrollers", S_INIT("controllers") }, { "networking.k8s.io/ingresses", S_INIT("ingress") },
	};
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (str_eqc(k->key_prefix, others[i].prefix))
			return others[i].key;
	if (str_has_prefix(k->key_prefix, S("api")))
		return k->key_prefix;
	return k->resource;
}

static bool check_update(struct change *x, void *obj, void *old, struct api_status *s)
{
	struct call *c = x->commit.call;
	struct request *r = &c->r;
	struct arena *a = r->arena;
	struct kind *k = x->k;
	const struct strategy *st = k->strategy;
	struct meta_v1_ObjectMeta *m = meta_of(k, obj), *o = meta_of(k, old);
	str current = arena_printf(a, "%lld", (long long)x->entry->revision);
	if (!str_eq(m->name, x->u.name)) {
		if (!m->name.n)
			return status_bad_request(a, s, "the name of the object (" STR_FMT " based on URL) was undeterminable: name must be provided", STR_ARG(x->u.name));
		return status_bad_request(a, s, "the name of the object (" STR_FMT ") does not match the name on the URL (" STR_FMT ")", STR_ARG(m->name), STR_ARG(x->u.name));
	}
	if (k->namespaced) {
		if (m->namespace.n && !str_eq(m->namespace, x->u.ns))
			return status_bad_request(a, s, "the namespace of the provided object does not match the namespace sent on the request");
		m->namespace = x->u.ns;
	}
	if (x->u.from_body && m->uid.n && !str_eq(m->uid, o->uid))
		return status_conflict(a, s, k->stored->group, k->resource, x->u.name,
		                       arena_concat(a, S("StorageError: invalid object, Code: 4, Key: /registry/"), upstream_prefix(k), S("/"), k->namespaced ? x->u.ns : S(""),
		                                    k->namespaced ? S("/") : S(""), x->u.name,
		                                    S(", ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: "), m->uid, S(", UID in object meta: "), o->uid));
	int64_t version = 0;
	if (m->resourceVersion.n && (!str_to_i64(m->resourceVersion, &version) || version < 0)) {
		struct field_errors e = { .arena = a };
		struct fpath meta = fp(NULL, "metadata"), p = fp(&meta, "resourceVersion");
		fe_invalid(&e, &p, m->resourceVersion, "must be specified for an update");
		return status_invalid(a, s, k->stored->group, schema_text(k->storage->kind), x->u.name, &e);
	}
	if (version == 0 && st->conditional_update) {
		struct field_errors e = { .arena = a };
		struct fpath meta = fp(NULL, "metadata"), p = fp(&meta, "resourceVersion");
		fe_invalid_raw(&e, &p, S("0"), "must be specified for an update");
		// Upstream names the resource here, not the kind.
		return status_invalid(a, s, k->stored->group, k->resource, x->u.name, &e);
	}
	if (version && !str_eq(m->resourceVersion, current))
		return status_conflict(a, s, k->stored->group, k->resource, x->u.name, S("the object has been modified; please apply your changes to the latest version and try again"));
	if (x->u.internal) {
		m->resourceVersion = current;
		managed_update(r, k, obj, old, r->info.subresource);
		return true;
	}
	managed_update(r, k, obj, old, r->info.subresource);
	struct admission ad = { r, ADMIT_UPDATE, k->stored->desc, k->storage_message, obj, old };
	if (!admission_mutate(&ad, s))
		return false;
	if (st->begin_update && !st->begin_update(r, obj, old, s))
		return false;
	x->commit.undo = true;
	if (alloc_concerns(k) && x->u.target == UPDATE_SPEC)
		alloc_keep(obj, old);
	m->generation = o->generation;
	m->selfLink = S("");
	prepare_general(k, x->u.target, obj, old);
	if (st->prepare_update)
		st->prepare_update(r, x->u.target, obj, old);
	if (alloc_concerns(k) && x->u.target == UPDATE_SPEC && !alloc_service(c, obj, old, &x->alloc, s))
		return false;
	if (st->generation && x->u.target == UPDATE_SPEC && k->spec && !equal_field(k->spec, obj, old) && m->generation == o->generation)
		m->generation = o->generation + 1;
	if (!m->uid.n)
		m->uid = o->uid;
	m->creationTimestamp = o->creationTimestamp;
	if (o->deletionTimestamp)
		m->deletionTimestamp = o->deletionTimestamp;
	if (o->deletionGracePeriodSeconds && !m->deletionGracePeriodSeconds)
		m->deletionGracePeriodSeconds = o->deletionGracePeriodSeconds;
	m->resourceVersion = current;
	struct field_errors e = { .arena = a };
	object_meta_validate(r, k, &e, obj, old);
	// Upstream's machinery and each kind's rules both look at this; clients see both causes.
	if (x->u.target == UPDATE_SPEC)
		object_meta_validate_update(r, k, &e, obj, old);
	if (st->validate_update)
		st->validate_update(r, x->u.target, &e, obj, old);
	else if (st->validate && x->u.target == UPDATE_SPEC)
		st->validate(r, &e, obj);
	if (e.n)
		return status_invalid(a, s, k->stored->group, schema_text(k->storage->kind), m->name, &e);
	if (str_eq(k->group, S("rbac.authorization.k8s.io")) && !rbac_check_escalation(r, k->resource, obj, old, s))
		return false;
	if (!admission_validate(&ad, s))
		return false;
	if (st->warnings)
		st->warnings(r, obj, old);
	return true;
}

static void refuse(struct change *x, const struct api_status *s)
{
	struct call *c = x->commit.call;
	alloc_done(c, &x->alloc, false);
	if (x->commit.undo && x->k->strategy->undo && x->commit.obj)
		x->k->strategy->undo(&c->r, x->commit.obj, x->commit.old);
	x->commit.undo = false;
	reply_status(c, s);
}

static void attempt(struct change *x)
{
	struct call *c = x->commit.call;
	struct arena *a = c->r.arena;
	struct kind *k = x->k;
	struct api_status s = { 0 };
	struct error err = { 0 };
	if (x->entry)
		arena_on_free(a, (void (*)(void *))(void *)cache_entry_unref, x->entry); // decoded text points into it
	x->entry = cache_get(k->cache, k->namespaced ? x->u.ns : S(""), x->u.name);
	x->commit = (struct commit){ .call = c, .kind = k, .code = 200, .again = again, .done = answer };
	if (!x->entry) {
		void *obj = NULL;
		if (x->u.allow_create) {
			obj = x->u.transform(c, k, NULL, NULL, &s);
			if (obj)
				obj = convert_to_stored(a, k, obj, &err);
			if (obj) {
				struct meta_v1_ObjectMeta *m = meta_of(k, obj);
				// A version of what is not there says nothing; a uid does.
				m->resourceVersion = S("");
				if (m->uid.n) {
					status_conflict(a, &s, k->stored->group, k->resource, x->u.name, arena_concat(a, S("Precondition failed: UID in precondition: "), m->uid, S(", UID in object meta: ")));
					obj = NULL;
				} else if (!str_eq(m->name, x->u.name)) {
					status_bad_request(a, &s, "the name of the object (" STR_FMT ") does not match the name on the URL (" STR_FMT ")", STR_ARG(m->name), STR_ARG(x->u.name));
					obj = NULL;
				}
			}
			if (obj) {
				if (k->strategy->defaults)
					k->strategy->defaults(a, obj);
				create_object(c, k, obj, x->u.ns);
				return;
			}
		}
		if (!s.code)
			status_not_found(a, &s, k->stored->group, k->resource, x->u.name);
		reply_status(c, &s);
		return;
	}
	void *old = entry_decode(a, k, x->entry, &err);
	void *current = old ? entry_decode(a, k, x->entry, &err) : NULL;
	void *served = current ? convert_from_stored(a, k, current, &err) : NULL;
	void *obj = served ? x->u.transform(c, k, served, x->entry, &s) : NULL;
	if (obj)
		obj = convert_to_stored(a, k, obj, &err);
	if (!obj) {
		if (!s.code)
			status_from_error(a, &s, &err);
		reply_status(c, &s);
		return;
	}
	if (k->strategy->defaults)
		k->strategy->defaults(a, obj);
	x->commit.obj = obj;
	x->commit.old = old;
	if (!check_update(x, obj, old, &s)) {
		refuse(x, &s);
		return;
	}
	buf_clear(&x->json);
	encode_stored(&x->json, k, obj);
	struct buf spliced = { 0 };
	bool same = cache_splice(&spliced, buf_str(&x->json), x->entry->revision, NULL, NULL, NULL) && str_eq(buf_str(&spliced), x->entry->json);
	buf_free(&spliced);
	bool gone = goes_away(k, obj);
	x->commit.ops[0] = (struct store_op){ .kind = gone ? STORE_DELETE : STORE_PUT, .key = storage_key(a, k, x->u.ns, x->u.name), .value = buf_str(&x->json),
		                              .if_mod_revision = x->entry->revision };
	if (str_eq(k->key_prefix, S("core/events")))
		x->commit.ops[0].ttl_s = c->s->config->event_ttl_s;
	x->commit.nops = 1;
	if (alloc_concerns(k)) {
		if (gone)
			alloc_release(c, old, &x->alloc);
		x->commit.nops += alloc_ops(c, obj, &x->alloc, x->commit.ops + 1, ARRAY_LEN(x->commit.ops) - 1);
	}
	if (c->r.dry_run || (same && !gone)) {
		if (x->commit.undo && k->strategy->undo && c->r.dry_run)
			k->strategy->undo(&c->r, obj, old);
		x->commit.result = (struct store_result){ .ok = true, .revision = x->entry->revision };
		answer(&x->commit, &x->commit.result);
		return;
	}
	commit_start(&x->commit);
}

void update_object(struct call *c, struct kind *k, const struct update *u)
{
	struct change *x = ARENA_NEW(c->r.arena, struct change);
	arena_on_free(c->r.arena, change_free, x);
	x->u = *u;
	x->k = k;
	x->commit.call = c;
	c->data = x;
	attempt(x);
}

void *update_ctx(struct call *c) { return ((struct change *)c->data)->u.ctx; }

// --- PUT ------------------------------------------------------------------------------------------------------------------

static void *put_body(struct call *c, struct kind *k, void *current, struct cache_entry *entry, struct api_status *s)
{
	(void)current;
	(void)entry;
	struct change *x = c->data;
	void *obj = x->u.ctx;
	// Decoded anew for further attempts, since admission and preparation change it in place.
	x->u.ctx = NULL;
	if (!obj && !body_decode(c, k->message, k->api_version, k->name, &obj, s))
		return NULL;
	return obj;
}

void do_update(struct call *c)
{
	struct api_status s = { 0 };
	struct kind *k = c->kind;
	void *obj;
	if (!negotiate(c, true, &s) || !write_options(c, &s) || !body_decode(c, k->message, k->api_version, k->name, &obj, &s)) {
		reply_status(c, &s);
		return;
	}
	// Name and namespace are wrong before anything is looked up.
	struct meta_v1_ObjectMeta *m = meta_of(k, obj);
	if (!m->name.n)
		status_bad_request(c->r.arena, &s, "the name of the object (" STR_FMT " based on URL) was undeterminable: name must be provided", STR_ARG(c->r.info.name));
	else if (!str_eq(m->name, c->r.info.name))
		status_bad_request(c->r.arena, &s, "the name of the object (" STR_FMT ") does not match the name on the URL (" STR_FMT ")", STR_ARG(m->name), STR_ARG(c->r.info.name));
	else if (k->namespaced && m->namespace.n && !str_eq(m->namespace, c->r.info.ns))
		status_bad_request(c->r.arena, &s, "the namespace of the provided object does not match the namespace sent on the request");
	else if (!k->namespaced && m->namespace.n)
		status_bad_request(c->r.arena, &s, "namespace is not allowed on this type");
	if (s.code) {
		reply_status(c, &s);
		return;
	}
	struct update u = { .transform = put_body, .ns = c->r.info.ns, .name = c->r.info.name, .target = UPDATE_SPEC, .from_body = true, .ctx = obj };
	if (c->sub)
		u.target = str_eq(c->r.info.subresource, S("status")) ? UPDATE_STATUS : UPDATE_SUBRESOURCE;
	else
		u.allow_create = k->strategy->create_on_update;
	update_object(c, k, &u);
}
