// POST: an object comes into being. Rule: apiserver pkg/registry/rest/create.go and generic/registry/store.go.
#include "apiserver/alloc.h"

#include "object/meta.h"

enum { NAME_ATTEMPTS = 8 };

struct creation { struct commit commit; struct buf json; bool generated; str prefix; struct kind *k; struct alloc_change alloc; };

static void creation_free(void *ctx) { buf_free(&((struct creation *)ctx)->json); }

static void clear_field(const struct field_desc *f, const struct message_desc *m, void *obj)
{
	if (!f)
		return;
	// The status of every kind is an embedded message or a pointer to one.
	const struct message_desc *fm = schema_field_message(f);
	size_t n = f->flags & FF_POINTER ? sizeof(void *) : fm ? fm->size : 0;
	(void)m;
	memset((char *)obj + f->offset, 0, n);
}

static str generated_name(struct call *c, str prefix)
{
	return arena_concat(c->r.arena, str_sub(prefix, 0, 58), rng_name_suffix(c->r.rng, c->r.arena, 5));
}

static void commit_creation(struct creation *x);

static void name_taken(struct call *c)
{
	struct creation *x = c->data;
	struct kind *k = x->k;
	struct meta_v1_ObjectMeta *meta = meta_of(k, x->commit.obj);
	if (x->generated && ++x->commit.attempts < NAME_ATTEMPTS) {
		meta->name = generated_name(c, x->prefix);
		commit_creation(x);
		return;
	}
	struct api_status s;
	alloc_done(c, &x->alloc, false);
	status_already_exists(c->r.arena, &s, k->stored->group, k->resource, meta->name);
	reply_status(c, &s);
}

static void created(struct commit *m, const struct store_result *r)
{
	struct creation *x = m->call->data;
	(void)r;
	x->alloc = (struct alloc_change){ 0 };
	commit_finish(m);
}

static void commit_creation(struct creation *x)
{
	struct commit *m = &x->commit;
	struct kind *k = x->k;
	struct meta_v1_ObjectMeta *meta = meta_of(k, m->obj);
	buf_clear(&x->json);
	encode_stored(&x->json, k, m->obj);
	m->ops[0] = (struct store_op){ .kind = STORE_PUT, .key = storage_key(m->call->r.arena, k, meta->namespace, meta->name), .value = buf_str(&x->json) };
	if (str_eq(k->key_prefix, S("core/events")))
		m->ops[0].ttl_s = m->call->s->config->event_ttl_s;
	m->nops = 1;
	if (alloc_concerns(k))
		m->nops += alloc_ops(m->call, m->obj, &x->alloc, m->ops + 1, ARRAY_LEN(m->ops) - 1);
	commit_start(m);
}

static bool is_rbac(const struct kind *k) { return str_eq(k->group, S("rbac.authorization.k8s.io")); }

static bool prepare(struct call *c, struct kind *k, void *obj, str ns, struct creation *x, struct api_status *s)
{
	struct request *r = &c->r;
	struct arena *a = r->arena;
	const struct strategy *st = k->strategy;
	struct meta_v1_ObjectMeta *meta = meta_of(k, obj);
	if (k->namespaced) {
		if (meta->namespace.n && !str_eq(meta->namespace, ns))
			return status_bad_request(a, s, "the namespace of the provided object does not match the namespace sent on the request");
		meta->namespace = ns;
	} else if (meta->namespace.n) {
		return status_bad_request(a, s, "namespace is not allowed on this type");
	}
	int64_t version;
	if (meta->resourceVersion.n && !(str_to_i64(meta->resourceVersion, &version) && version == 0)) {
		*s = (struct api_status){ .code = 500, .message = S("resourceVersion should not be set on objects to be created") };
		return false;
	}
	meta->resourceVersion = S("");
	managed_update(r, k, obj, NULL, S(""));
	struct admission ad = { r, ADMIT_CREATE, k->stored->desc, k->storage_message, obj, NULL };
	if (!admission_mutate(&ad, s))
		return false;
	// What only the server says.
	meta->deletionTimestamp = NULL;
	meta->deletionGracePeriodSeconds = NULL;
	meta->selfLink = S("");
	meta->creationTimestamp = api_time_now(clock_wall(r->clock));
	meta->uid = rng_uuid(r->rng, a);
	if (!meta->name.n && meta->generateName.n) {
		x->generated = true;
		x->prefix = meta->generateName;
		meta->name = generated_name(c, x->prefix);
	}
	if (st->begin_create && !st->begin_create(r, obj, s))
		return false;
	x->commit.undo = true;
	meta->generation = st->generation ? 1 : meta->generation;
	if (st->has_status)
		clear_field(k->status, k->storage_message, obj);
	if (st->prepare_create)
		st->prepare_create(r, obj);
	if (alloc_concerns(k) && !alloc_service(c, obj, NULL, &x->alloc, s))
		return false;
	struct field_errors e = { .arena = a };
	object_meta_validate(r, k, &e, obj, NULL);
	if (st->validate)
		st->validate(r, &e, obj);
	if (e.n)
		return status_invalid(a, s, k->stored->group, schema_text(k->storage->kind), meta->name, &e);
	if (is_rbac(k) && !rbac_check_escalation(r, k->resource, obj, NULL, s))
		return false;
	if (!admission_validate(&ad, s))
		return false;
	if (st->warnings)
		st->warnings(r, obj, NULL);
	return true;
}

void create_object(struct call *c, struct kind *k, void *obj, str ns)
{
	struct api_status s = { 0 };
	struct creation *x = ARENA_NEW(c->r.arena, struct creation);
	arena_on_free(c->r.arena, creation_free, x);
	x->k = k;
	x->commit = (struct commit){ .call = c, .kind = k, .obj = obj, .code = 201, .again = name_taken, .done = created };
	c->data = x;
	if (!prepare(c, k, obj, ns, x, &s)) {
		alloc_done(c, &x->alloc, false);
		if (x->commit.undo && k->strategy->undo)
			k->strategy->undo(&c->r, obj, NULL);
		reply_status(c, &s);
		return;
	}
	if (c->r.dry_run) {
		struct meta_v1_ObjectMeta *meta = meta_of(k, obj);
		struct cache_entry *e = cache_get(k->cache, meta->namespace, meta->name);
		alloc_done(c, &x->alloc, false);
		if (k->strategy->undo)
			k->strategy->undo(&c->r, obj, NULL);
		if (e) {
			cache_entry_unref(e);
			status_already_exists(c->r.arena, &s, k->stored->group, k->resource, meta->name);
			reply_status(c, &s);
			return;
		}
		commit_finish(&x->commit);
		return;
	}
	commit_creation(x);
}

void do_create(struct call *c)
{
	struct api_status s = { 0 };
	struct kind *k = c->kind;
	void *obj;
	if (!negotiate(c, true, &s) || !write_options(c, &s) || !body_decode(c, k->message, k->api_version, k->name, &obj, &s)) {
		reply_status(c, &s);
		return;
	}
	if (!k->cache && !k->group.n && str_eq(k->resource, S("bindings"))) {
		do_pod_binding(c);
		return;
	}
	if (!k->cache) {
		// Asked and answered, never stored.
		if (k->namespaced && c->r.info.ns.n && schema_field_named(k->message, S("metadata"))) {
			struct meta_v1_ObjectMeta *meta = meta_of(k, obj);
			if (meta->namespace.n && !str_eq(meta->namespace, c->r.info.ns)) {
				status_bad_request(c->r.arena, &s, "the namespace of the provided object does not match the namespace sent on the request");
				reply_status(c, &s);
				return;
			}
			meta->namespace = c->r.info.ns;
		}
		if (schema_field_named(k->message, S("metadata")))
			managed_update(&c->r, k, obj, NULL, S(""));
		if (review_create(&c->r, k->group, k->resource, obj, &s)) {
			struct core_v1_Pod *head = obj;
			head->kind = k->name;
			head->apiVersion = k->api_version;
			reply_message(c, 201, k->message, obj);
		} else {
			reply_status(c, &s);
		}
		return;
	}
	struct error err = { 0 };
	obj = convert_to_stored(c->r.arena, k, obj, &err);
	if (!obj) {
		status_from_error(c->r.arena, &s, &err);
		reply_status(c, &s);
		return;
	}
	if (k->strategy->defaults)
		k->strategy->defaults(c->r.arena, obj);
	create_object(c, k, obj, c->r.info.ns);
}
