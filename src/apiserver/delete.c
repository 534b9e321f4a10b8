// DELETE of one object and of a collection: preconditions, graceful deletion, finalizers and propagation policies. An object that must
// wait gets its deletionTimestamp and stays; one that need not goes. Rule: apiserver generic/registry/store.go and rest/delete.go.
#include "apiserver/alloc.h"

#include "object/meta.h"
#include "object/names.h"

enum { ATTEMPTS = 20 };

struct deletion {
	struct call *c;
	struct kind *k;
	str ns, name;
	const struct meta_v1_DeleteOptions *o;
	struct cache_entry *entry;
	void *obj;                      // what is answered with
	void (*change)(struct call *c, void *obj); // what is said about the object before it goes
	bool gone;                      // it was removed, not only marked
	struct api_status status;       // code != 0: refused
	struct buf json;
	struct store_result result;
	int attempts;
	struct alloc_change alloc;
	void (*done)(struct deletion *d);
	void *ctx;
};

static void deletion_free(void *ctx)
{
	struct deletion *d = ctx;
	buf_free(&d->json);
	cache_entry_unref(d->entry);
}

static bool read_options(struct call *c, struct meta_v1_DeleteOptions **out, struct api_status *s)
{
	struct arena *a = c->r.arena;
	struct meta_v1_DeleteOptions *o = ARENA_NEW(a, struct meta_v1_DeleteOptions);
	str v;
	struct error err = { 0 };
	if (c->r.in->body.n) {
		str body = arena_dup(a, c->r.in->body), type = http_header(&c->r.in->headers, S("content-type")), rest, api_version = { 0 }, kind = { 0 }, raw;
		str_split(type, ';', &type, &rest);
		if (str_eq(str_trim(type), S("application/vnd.kubernetes.protobuf"))) {
			o = schema_unwrap_pb(body, &api_version, &kind, &raw, &err) ? schema_from_pb(a, meta_v1_DeleteOptions_desc, raw, &err) : NULL;
			if (o)
				o->apiVersion = api_version, o->kind = kind;
		} else {
			o = schema_from_json(a, meta_v1_DeleteOptions_desc, body, NULL, &err);
		}
		if (!o)
			return status_bad_request(a, s, "%s", err.text);
		if (o->kind.n && !str_eq(o->kind, S("DeleteOptions")))
			return status_bad_request(a, s, "no kind \"" STR_FMT "\" is registered for version \"" STR_FMT "\" in scheme \"pkg/api/legacyscheme/scheme.go:30\"", STR_ARG(o->kind), STR_ARG(o->apiVersion));
	} else {
		if (http_param_get(&c->r.params, S("gracePeriodSeconds"), &v)) {
			o->gracePeriodSeconds = ARENA_NEW(a, int64_t);
			if (!str_to_i64(v, o->gracePeriodSeconds))
				return status_bad_request(a, s, "strconv.ParseInt: parsing \"" STR_FMT "\": invalid syntax", STR_ARG(v));
		}
		if (http_param_get(&c->r.params, S("propagationPolicy"), &v)) {
			o->propagationPolicy = ARENA_NEW(a, str);
			*o->propagationPolicy = v;
		}
		if (http_param_get(&c->r.params, S("orphanDependents"), &v)) {
			o->orphanDependents = ARENA_NEW(a, bool);
			query_bool(c, S("orphanDependents"), o->orphanDependents, s);
		}
		for (size_t i = 0; i < c->r.params.n; i++)
			if (str_eq(c->r.params.v[i].key, S("dryRun")))
				*LIST_ADD(a, &o->dryRun) = c->r.params.v[i].value;
	}
	struct field_errors e = { .arena = a };
	struct fpath policy = fp(NULL, "propagationPolicy"), dry = fp(NULL, "dryRun");
	static const str policies[] = { S_INIT("Foreground"), S_INIT("Background"), S_INIT("Orphan"), S_INIT("nil") }, all[] = { S_INIT("All") };
	if (o->propagationPolicy && o->orphanDependents)
		fe_invalid(&e, &policy, *o->propagationPolicy, "orphanDependents and deletionPropagation cannot be both set");
	else if (o->propagationPolicy && !str_eq(*o->propagationPolicy, policies[0]) && !str_eq(*o->propagationPolicy, policies[1]) && !str_eq(*o->propagationPolicy, policies[2]))
		fe_not_supported(&e, &policy, *o->propagationPolicy, policies, 4);
	for (size_t i = 0; i < o->dryRun.n; i++) {
		if (str_eq(o->dryRun.v[i], all[0]))
			c->r.dry_run = true;
		else
			fe_not_supported(&e, &dry, o->dryRun.v[i], all, 1);
	}
	if (e.n)
		return status_invalid(a, s, S("meta.k8s.io"), S("DeleteOptions"), S(""), &e);
	*out = o;
	return true;
}

static bool preconditions(struct deletion *d, const struct meta_v1_ObjectMeta *m)
{
	struct arena *a = d->c->r.arena;
	const struct meta_v1_Preconditions *p = d->o->preconditions;
	str kind = schema_text(d->k->storage->kind);
	if (p && p->uid && !str_eq(*p->uid, m->uid)) {
		return status_conflict(a, &d->status, d->k->stored->group, kind, d->name,
		                       arena_concat(a, S("the UID in the precondition ("), *p->uid, S(") does not match the UID in record ("), m->uid,
		                                    S("). The object might have been deleted and then recreated")));
	}
	str current = arena_printf(a, "%lld", (long long)d->entry->revision);
	if (p && p->resourceVersion && !str_eq(*p->resourceVersion, current))
		return status_conflict(a, &d->status, d->k->stored->group, kind, d->name,
		                       arena_concat(a, S("the ResourceVersion in the precondition ("), *p->resourceVersion, S(") does not match the ResourceVersion in record ("),
		                                    current, S("). The object might have been modified")));
	return true;
}

// Which of the garbage collector's finalizers the object shall have: as asked, else as it has them.
static void propagation(struct arena *a, const struct meta_v1_DeleteOptions *o, struct meta_v1_ObjectMeta *m, bool orphan_by_default)
{
	bool orphan = str_list_has(&m->finalizers, S("orphan")), foreground = str_list_has(&m->finalizers, S("foregroundDeletion"));
	if (o->orphanDependents) {
		orphan = *o->orphanDependents;
		foreground = false;
	} else if (o->propagationPolicy) {
		orphan = str_eq(*o->propagationPolicy, S("Orphan"));
		foreground = str_eq(*o->propagationPolicy, S("Foreground"));
	} else if (orphan) {
		foreground = false;
	} else if (!foreground) {
		orphan = orphan_by_default;
	}
	struct str_list kept = { 0 };
	for (size_t i = 0; i < m->finalizers.n; i++)
		if (!str_eq(m->finalizers.v[i], S("orphan")) && !str_eq(m->finalizers.v[i], S("foregroundDeletion")))
			*LIST_ADD(a, &kept) = m->finalizers.v[i];
	if (orphan)
		*LIST_ADD(a, &kept) = S("orphan");
	if (foreground)
		*LIST_ADD(a, &kept) = S("foregroundDeletion");
	m->finalizers = kept;
}

static void mark(struct request *r, struct meta_v1_ObjectMeta *m, int64_t grace)
{
	struct arena *a = r->arena;
	m->deletionTimestamp = ARENA_NEW(a, struct api_time);
	*m->deletionTimestamp = api_time_now(clock_wall(r->clock) + grace * NS_PER_SEC);
	m->deletionGracePeriodSeconds = ARENA_NEW(a, int64_t);
	*m->deletionGracePeriodSeconds = grace;
	if (m->generation > 0)
		m->generation++;
}

static void warn_about_jobs(struct request *r, const struct meta_v1_DeleteOptions *o)
{
	if (!o->propagationPolicy && !o->orphanDependents)
		request_warn(r, "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
		                "propagationPolicy=Orphan to suppress this warning");
}

// Changes d->obj as the deletion wants it; d->gone tells whether it goes at once. False: refused.
static bool plan(struct deletion *d)
{
	struct call *c = d->c;
	struct request *r = &c->r;
	struct kind *k = d->k;
	struct meta_v1_ObjectMeta *m = meta_of(k, d->obj);
	const struct meta_v1_DeleteOptions *o = d->o;
	if (str_eq(k->key_prefix, S("batch/jobs")))
		warn_about_jobs(r, o);
	if (!preconditions(d, m))
		return false;
	if (d->change)
		d->change(d->c, d->obj);
	struct admission ad = { r, ADMIT_DELETE, k->stored->desc, k->storage_message, NULL, d->obj };
	if (!admission_mutate(&ad, &d->status) || !admission_validate(&ad, &d->status))
		return false;
	if (str_eq(k->key_prefix, S("core/namespaces"))) {
		// A namespace terminates until its spec.finalizers are gone (namespace controller, /finalize).
		struct core_v1_Namespace *ns = d->obj;
		propagation(r->arena, o, m, false);
		if (!m->deletionTimestamp) {
			mark(r, m, 0);
			m->deletionGracePeriodSeconds = NULL;
			ns->status.phase = S("Terminating");
		}
		d->gone = ns->spec.finalizers.n == 0 && m->finalizers.n == 0;
		return true;
	}
	bool graceful = false, wait = false;
	if (k->strategy->graceful) {
		int64_t grace = o->gracePeriodSeconds ? *o->gracePeriodSeconds : -1;
		if (o->gracePeriodSeconds && grace < 0)
			grace = 1;
		if (m->deletionTimestamp) {
			// A second deletion can only shorten what is left.
			int64_t left = m->deletionGracePeriodSeconds ? *m->deletionGracePeriodSeconds : 0;
			if (left > 0) {
				int64_t asked = grace;
				if (asked < 0 || asked >= left) {
					wait = true;
				} else if (k->strategy->graceful(r, d->obj, &asked) && asked > 0 && asked < left) {
					int64_t since = m->deletionTimestamp->sec - left;
					m->deletionTimestamp->sec = since + asked;
					*m->deletionGracePeriodSeconds = asked;
					graceful = true;
				} else {
					*m->deletionGracePeriodSeconds = 0;
				}
			}
		} else {
			int64_t asked = grace;
			if (k->strategy->graceful(r, d->obj, &asked) && asked > 0) {
				mark(r, m, asked);
				graceful = true;
			}
		}
	}
	// Two kinds keep their dependents unless told otherwise, as they always did.
	propagation(r->arena, o, m, str_eq(k->key_prefix, S("batch/jobs")) || str_eq(k->key_prefix, S("core/replicationcontrollers")));
	if (graceful || wait) {
		d->gone = false;
		return true;
	}
	d->gone = m->finalizers.n == 0;
	if (!m->deletionTimestamp && (!d->gone || k->strategy->graceful))
		mark(r, m, 0);
	else if (!d->gone && m->deletionGracePeriodSeconds && *m->deletionGracePeriodSeconds > 0)
		*m->deletionGracePeriodSeconds = 0;
	return true;
}

static void try_delete(struct deletion *d);

static void deleted(void *ctx)
{
	struct deletion *d = ctx;
	struct call *c = d->c;
	if (alloc_concerns(d->k) && d->gone)
		alloc_done(c, &d->alloc, d->result.ok);
	if (d->result.err.code) {
		status_from_error(c->r.arena, &d->status, &d->result.err);
	} else if (!d->result.ok) {
		if (++d->attempts < ATTEMPTS) {
			try_delete(d);
			call_release(c);
			return;
		}
		status_conflict(c->r.arena, &d->status, d->k->stored->group, d->k->resource, d->name, S("the object has been modified; please apply your changes to the latest version and try again"));
	} else {
		if (!d->gone)
			meta_of(d->k, d->obj)->resourceVersion = arena_printf(c->r.arena, "%lld", (long long)d->result.revision);
		else if (d->k->strategy->after_delete)
			d->k->strategy->after_delete(&c->r, d->obj);
	}
	d->done(d);
	call_release(c);
}

static void store_done(const struct store_result *r, void *ctx)
{
	struct deletion *d = ctx;
	d->result = *r;
	http_loop_post(d->c->loop, deleted, d);
}

static void try_delete(struct deletion *d)
{
	struct call *c = d->c;
	struct arena *a = c->r.arena;
	struct kind *k = d->k;
	struct error err = { 0 };
	if (d->entry)
		arena_on_free(a, (void (*)(void *))(void *)cache_entry_unref, d->entry);
	d->entry = cache_get(k->cache, k->namespaced ? d->ns : S(""), d->name);
	d->gone = false;
	d->obj = NULL;
	if (!d->entry) {
		status_not_found(a, &d->status, k->stored->group, k->resource, d->name);
		d->done(d);
		return;
	}
	d->obj = entry_decode(a, k, d->entry, &err);
	if (!d->obj) {
		status_from_error(a, &d->status, &err);
		d->done(d);
		return;
	}
	if (!plan(d)) {
		d->done(d);
		return;
	}
	buf_clear(&d->json);
	struct store_op ops[4];
	size_t nops = 1;
	struct store_op op = { .kind = d->gone ? STORE_DELETE : STORE_PUT, .key = storage_key(a, k, d->ns, d->name), .if_mod_revision = d->entry->revision };
	if (!d->gone) {
		encode_stored(&d->json, k, d->obj);
		op.value = buf_str(&d->json);
		struct buf spliced = { 0 };
		bool same = cache_splice(&spliced, op.value, d->entry->revision, NULL, NULL, NULL) && str_eq(buf_str(&spliced), d->entry->json);
		buf_free(&spliced);
		if (same) {
			d->done(d);
			return;
		}
	}
	if (c->r.dry_run) {
		d->done(d);
		return;
	}
	ops[0] = op;
	if (d->gone && alloc_concerns(k)) {
		alloc_release(c, d->obj, &d->alloc);
		nops += alloc_ops(c, d->obj, &d->alloc, ops + 1, ARRAY_LEN(ops) - 1);
	}
	call_hold(c);
	store_commit(c->s->store, ops, nops, store_done, d);
}

static struct deletion *deletion_new(struct call *c, struct kind *k, str ns, str name, const struct meta_v1_DeleteOptions *o)
{
	struct deletion *d = ARENA_NEW(c->r.arena, struct deletion);
	arena_on_free(c->r.arena, deletion_free, d);
	d->c = c;
	d->k = k;
	d->ns = ns;
	d->name = name;
	d->o = o;
	return d;
}

// --- One object -------------------------------------------------------------------------------------------------------------

static bool answers_with_object(const struct kind *k)
{
	static const str kinds[] = {
		S_INIT("core/pods"), S_INIT("core/services"), S_INIT("core/namespaces"), S_INIT("core/persistentvolumeclaims"), S_INIT("core/persistentvolumes"),
		S_INIT("core/podtemplates"), S_INIT("core/resourcequotas"), S_INIT("core/serviceaccounts"), S_INIT("storage.k8s.io/csidrivers"),
		S_INIT("storage.k8s.io/csinodes"), S_INIT("storage.k8s.io/storageclasses"), S_INIT("storage.k8s.io/volumeattachments"),
		S_INIT("storage.k8s.io/volumeattributesclasses"), S_INIT("resource.k8s.io/deviceclasses"), S_INIT("resource.k8s.io/resourceclaims"),
		S_INIT("resource.k8s.io/resourceclaimtemplates"), S_INIT("resource.k8s.io/resourceslices"),
	};
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (str_eq(k->key_prefix, kinds[i]))
			return true;
	return false;
}

static void answer_one(struct deletion *d)
{
	struct call *c = d->c;
	struct kind *k = d->k;
	if (c->over)
		return;
	if (d->status.code) {
		reply_status(c, &d->status);
		return;
	}
	struct meta_v1_ObjectMeta *m = meta_of(k, d->obj);
	if (d->gone && !answers_with_object(k)) {
		struct api_status s = { .group = k->stored->group, .kind = k->resource, .name = d->name, .uid = m->uid };
		c->accept.as = AS_OBJECT;
		reply_success(c, &s);
		return;
	}
	struct error err = { 0 };
	void *obj = d->obj;
	if (!m->resourceVersion.n)
		m->resourceVersion = arena_printf(c->r.arena, "%lld", (long long)d->entry->revision);
	obj = convert_from_stored(c->r.arena, k, obj, &err);
	int code = 200;
	if (!d->gone && d->o->orphanDependents && !*d->o->orphanDependents)
		code = 202;
	if (obj)
		reply_object(c, code, k, obj);
}

void do_delete(struct call *c)
{
	struct api_status s = { 0 };
	struct meta_v1_DeleteOptions *o;
	if (!negotiate(c, true, &s) || !read_options(c, &o, &s)) {
		reply_status(c, &s);
		return;
	}
	struct deletion *d = deletion_new(c, c->kind, c->r.info.ns, c->r.info.name, o);
	d->done = answer_one;
	try_delete(d);
}

static void told(struct deletion *d)
{
	void (*done)(struct call *, const struct api_status *) = (void (*)(struct call *, const struct api_status *))d->ctx;
	done(d->c, &d->status);
}

void delete_object(struct call *c, struct kind *k, str ns, str name, const struct meta_v1_DeleteOptions *o,
                   void (*change)(struct call *c, void *obj), void (*done)(struct call *c, const struct api_status *s))
{
	struct deletion *d = deletion_new(c, k, ns, name, o);
	d->change = change;
	d->done = told;
	d->ctx = (void *)done;
	try_delete(d);
}

// --- A collection -------------------------------------------------------------------------------------------------------------

struct collection {
	struct call *c;
	struct kind *k;
	struct matcher m;
	struct { struct deletion **v; size_t n; } items;
	struct { struct cache_entry **v; size_t n; } listed; // what is answered: the objects as they were found
	size_t open;
	int64_t limit, revision;
	str prefix;
	const struct meta_v1_DeleteOptions *o;
};

static bool collect(struct cache_entry *e, void *ctx)
{
	struct collection *x = ctx;
	if (x->prefix.n && !str_has_prefix(e->key, x->prefix))
		return false;
	if (x->limit && (int64_t)x->items.n == x->limit)
		return false;
	if (matcher_matches(&x->m, e)) {
		struct arena *a = x->c->r.arena;
		struct deletion *d = deletion_new(x->c, x->k, arena_dup(a, cache_entry_ns(e)), arena_dup(a, cache_entry_name(e)), x->o);
		d->ctx = x;
		*LIST_ADD(a, &x->items) = d;
		*LIST_ADD(a, &x->listed) = cache_entry_ref(e);
		arena_on_free(a, (void (*)(void *))(void *)cache_entry_unref, e);
	}
	return true;
}

static void answer_collection(struct collection *x)
{
	struct call *c = x->c;
	struct arena *a = c->r.arena;
	if (c->over)
		return;
	struct buf b = { 0 };
	buf_printf(&b, "{\"kind\":\"" STR_FMT "\",\"apiVersion\":\"" STR_FMT "\",\"metadata\":{\"resourceVersion\":\"%lld\"},\"items\":[", STR_ARG(x->k->list_name),
	           STR_ARG(x->k->api_version), (long long)x->revision);
	size_t n = 0;
	for (size_t i = 0; i < x->items.n; i++) {
		struct deletion *d = x->items.v[i];
		if (d->status.code && !str_eq(d->status.reason, S("NotFound"))) {
			reply_status(c, &d->status);
			buf_free(&b);
			return;
		}
		struct cache_entry *e = x->listed.v[i];
		if (x->k->stored == x->k && !x->k->strategy->decorate) {
			buf_add(&b, n++ ? S(",{") : S("{"));
			buf_add(&b, str_from(e->json, e->rest));
			continue;
		}
		struct error err = { 0 };
		void *obj = entry_decode(a, x->k, e, &err);
		obj = obj ? convert_from_stored(a, x->k, obj, &err) : NULL;
		if (!obj)
			continue;
		struct core_v1_Pod *head = obj;
		head->kind = head->apiVersion = S("");
		if (n++)
			buf_add_char(&b, ',');
		schema_to_json(&b, x->k->message, obj);
	}
	buf_add(&b, S("]}"));
	if (c->accept.media == MEDIA_JSON) {
		buf_add_char(&b, '\n');
		reply_text(c, 200, S("application/json"), buf_str(&b));
	} else {
		struct error err = { 0 };
		void *obj = schema_from_json(a, x->k->list_message, arena_dup(a, buf_str(&b)), NULL, &err);
		if (obj)
			reply_message(c, 200, x->k->list_message, obj);
	}
	buf_free(&b);
}

static void one_of_many(struct deletion *d)
{
	struct collection *x = d->ctx;
	if (--x->open == 0)
		answer_collection(x);
}

void do_delete_collection(struct call *c)
{
	struct api_status s = { 0 };
	struct kind *k = c->kind;
	struct arena *a = c->r.arena;
	struct collection *x = ARENA_NEW(a, struct collection);
	struct meta_v1_DeleteOptions *o;
	str v;
	x->c = c;
	x->k = k;
	if (!negotiate(c, false, &s) || !matcher_read(c, k, &x->m, &s) || !read_options(c, &o, &s)) {
		reply_status(c, &s);
		return;
	}
	if (http_param_get(&c->r.params, S("limit"), &v) && !str_to_i64(v, &x->limit)) {
		status_bad_request(a, &s, "strconv.ParseInt: parsing \"" STR_FMT "\": invalid syntax", STR_ARG(v));
		reply_status(c, &s);
		return;
	}
	x->o = o;
	if (str_eq(k->key_prefix, S("batch/jobs")))
		warn_about_jobs(&c->r, o);
	if (k->namespaced)
		x->prefix = arena_concat(a, c->r.info.ns, S("/"));
	struct cache_view view = cache_view_take(k->cache);
	x->revision = view.revision;
	cache_view_each(&view, x->prefix, false, collect, x);
	cache_view_done(&view);
	// One more, so that the answer is not given before all have begun.
	x->open = x->items.n + 1;
	for (size_t i = 0; i < x->items.n; i++) {
		x->items.v[i]->done = one_of_many;
		try_delete(x->items.v[i]);
	}
	if (--x->open == 0)
		answer_collection(x);
}
