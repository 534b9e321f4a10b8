// What all writes share: bodies, options of the query, and the commit with its answer.
#include "apiserver/apiserver.h"

#include "base/encode.h"
#include "base/heap.h"
#include "json/json.h"
#include "json/yaml.h"

bool field_validation_of(struct call *c, enum field_validation *out, struct api_status *s)
{
	str v = { 0 };
	http_param_get(&c->r.params, S("fieldValidation"), &v);
	*out = FV_WARN;
	if (v.n == 0 || str_eq(v, S("Warn")))
		return true;
	if (str_eq(v, S("Ignore")))
		*out = FV_IGNORE;
	else if (str_eq(v, S("Strict")))
		*out = FV_STRICT;
	else {
		struct field_errors e = { .arena = c->r.arena };
		struct fpath p = fp(NULL, "fieldValidation");
		static const str known[] = { S_INIT("Ignore"), S_INIT("Warn"), S_INIT("Strict"), S_INIT("") };
		fe_not_supported(&e, &p, v, known, ARRAY_LEN(known));
		const char *kind = str_eq(c->r.in->method, S("POST")) ? "CreateOptions" : str_eq(c->r.in->method, S("PUT")) ? "UpdateOptions" : "PatchOptions";
		return status_invalid(c->r.arena, s, S("meta.k8s.io"), str_c(kind), S(""), &e);
	}
	return true;
}

static bool printable(str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return str_utf8_valid(s);
}

bool write_options(struct call *c, struct api_status *s)
{
	struct field_errors e = { .arena = c->r.arena };
	str v;
	const char *kind = str_eq(c->r.in->method, S("POST")) ? "CreateOptions" : str_eq(c->r.in->method, S("PUT")) ? "UpdateOptions" : "PatchOptions";
	struct fpath dry = fp(NULL, "dryRun");
	for (size_t i = 0; i < c->r.params.n; i++) {
		struct http_param *p = &c->r.params.v[i];
		if (!str_eq(p->key, S("dryRun")))
			continue;
		static const str known[] = { S_INIT("All") };
		if (str_eq(p->value, known[0]))
			c->r.dry_run = true;
		else
			fe_not_supported(&e, &dry, p->value, known, 1);
	}
	if (http_param_get(&c->r.params, S("fieldManager"), &v)) {
		struct fpath p = fp(NULL, "fieldManager");
		if (v.n > 128)
			fe_too_long(&e, &p, 128);
		if (!printable(v))
			fe_invalid(&e, &p, v, "should only contain printable characters");
		c->r.field_manager = v;
	}
	if (e.n)
		return status_invalid(c->r.arena, s, S("meta.k8s.io"), str_c(kind), S(""), &e);
	enum field_validation fv;
	return field_validation_of(c, &fv, s);
}

bool field_problems(struct call *c, enum field_validation fv, const struct str_list *problems, struct api_status *s)
{
	(void)s;
	if (fv == FV_WARN)
		for (size_t i = 0; i < problems->n; i++)
			request_warn(&c->r, STR_FMT, STR_ARG(problems->v[i]));
	return fv != FV_STRICT || problems->n == 0;
}

static str summary(struct arena *a, str body)
{
	if (body.n == 0)
		return S("<empty>");
	str cut = str_sub(body, 0, 30);
	if (body.p[0] == '{')
		return body.n > 30 ? arena_concat(a, cut, S(" ...")) : body;
	return body.n > 30 ? arena_concat(a, hex_encode(a, cut), S(" ...")) : hex_encode(a, body);
}

bool body_check_kind(struct call *c, str api_version, str kind, str want_version, str want_kind, struct api_status *s)
{
	struct arena *a = c->r.arena;
	if (!api_version.n)
		api_version = want_version;
	if (!kind.n)
		kind = want_kind;
	if (str_eq(api_version, want_version) && str_eq(kind, want_kind))
		return true;
	str group = { 0 }, version = api_version;
	ptrdiff_t slash = str_find_char(api_version, '/');
	if (slash >= 0) {
		group = str_sub(api_version, 0, (size_t)slash);
		version = str_from(api_version, (size_t)slash + 1);
	}
	const struct message_desc *m = schema_kind(group, version, kind);
	// Versions that are gone are still known by name.
	if (str_eq(kind, want_kind) && (m || str_contains(version, S("beta")) || str_contains(version, S("alpha"))))
		return status_bad_request(a, s, "the API version in the data (" STR_FMT ") does not match the expected API version (" STR_FMT ")", STR_ARG(api_version), STR_ARG(want_version));
	if (!m && !(str_eq(kind, S("List")) && str_eq(api_version, S("v1"))))
		return status_bad_request(a, s, STR_FMT " in version \"" STR_FMT "\" cannot be handled as a " STR_FMT ": no kind \"" STR_FMT "\" is registered for version \"" STR_FMT "\" in scheme \"pkg/api/legacyscheme/scheme.go:30\"",
		                          STR_ARG(kind), STR_ARG(version), STR_ARG(want_kind), STR_ARG(kind), STR_ARG(api_version));
	// Upstream names the internal package of the wanted kind: "core", "apps", ...
	str package = S("core");
	slash = str_find_char(want_version, '/');
	if (slash >= 0) {
		package = str_sub(want_version, 0, (size_t)slash);
		ptrdiff_t dot = str_find_char(package, '.');
		if (dot >= 0)
			package = str_sub(package, 0, (size_t)dot);
	}
	return status_bad_request(a, s, STR_FMT " in version \"" STR_FMT "\" cannot be handled as a " STR_FMT ": converting (" STR_FMT "." STR_FMT ") to (" STR_FMT "." STR_FMT "): unknown conversion",
	                          STR_ARG(kind), STR_ARG(version), STR_ARG(want_kind), STR_ARG(version), STR_ARG(kind), STR_ARG(package), STR_ARG(want_kind));
}

static void sort_deep(struct value *v)
{
	if (v->kind == V_ARRAY)
		for (size_t i = 0; i < v->a.n; i++)
			sort_deep(v->a.v[i]);
	if (v->kind != V_OBJECT)
		return;
	value_sort(v);
	for (size_t i = 0; i < v->o.n; i++)
		sort_deep(v->o.v[i].value);
}

bool body_decode(struct call *c, const struct message_desc *m, str want_version, str want_kind, void **out, struct api_status *s)
{
	struct arena *a = c->r.arena;
	enum field_validation fv;
	if (!field_validation_of(c, &fv, s))
		return false;
	// The exchange may end before the write does: the text moves to the request's own arena.
	str body = arena_dup(a, c->r.in->body);
	str type = http_header(&c->r.in->headers, S("content-type")), params;
	str_split(type, ';', &type, &params);
	type = str_trim(type);
	struct error err = { 0 };
	struct str_list problems = { 0 };
	struct decode_opts opts = { .strict = fv == FV_IGNORE ? NULL : &problems };
	void *obj = NULL;
	if (type.n == 0 || str_eq(type, S("application/json"))) {
		obj = schema_from_json(a, m, body, &opts, &err);
		if (!obj && !str_has_prefix(error_str(&err), S("json: cannot unmarshal"))) {
			struct error bad = { 0 };
			if (!json_parse(a, body, NULL, &bad))
				return status_bad_request(a, s, "the object provided is unrecognized (must be of type " STR_FMT "): couldn't get version/kind; json parse error: %s (" STR_FMT ")",
				                          STR_ARG(want_kind), bad.text, STR_ARG(summary(a, body)));
		}
		if (!obj) {
			struct error ignored = { 0 };
			struct value *v = json_parse(a, body, NULL, &ignored);
			if (v && value_is(v, V_OBJECT) && !body_check_kind(c, value_get_str(v, S("apiVersion")), value_get_str(v, S("kind")), want_version, want_kind, s))
				return false;
		}
	} else if (str_eq(type, S("application/yaml"))) {
		struct json_duplicates dups = { 0 };
		struct json_opts yopts = { .duplicates = &dups };
		struct value *v = yaml_parse(a, body, &yopts, &err);
		if (!v)
			return status_bad_request(a, s, "the object provided is unrecognized (must be of type " STR_FMT "): couldn't get version/kind; json parse error: %s (" STR_FMT ")",
			                          STR_ARG(want_kind), err.text, STR_ARG(summary(a, body)));
		if (value_is(v, V_OBJECT) && !body_check_kind(c, value_get_str(v, S("apiVersion")), value_get_str(v, S("kind")), want_version, want_kind, s))
			return false;
		if (opts.strict)
			for (size_t i = 0; i < dups.n; i++)
				*LIST_ADD(a, &problems) = dups.v[i];
		sort_deep(v); // as upstream's way over JSON text does
		obj = schema_from_value(a, m, v, &opts, &err);
	} else if (str_eq(type, S("application/vnd.kubernetes.protobuf"))) {
		str api_version, kind, raw;
		if (!schema_unwrap_pb(body, &api_version, &kind, &raw, &err))
			return status_bad_request(a, s, "the object provided is unrecognized (must be of type " STR_FMT "): %s (" STR_FMT ")", STR_ARG(want_kind), err.text, STR_ARG(summary(a, body)));
		if (!body_check_kind(c, api_version, kind, want_version, want_kind, s))
			return false;
		obj = schema_from_pb(a, m, raw, &err);
		if (obj) {
			struct core_v1_Pod *head = obj;
			head->kind = want_kind;
			head->apiVersion = want_version;
		}
	} else {
		*s = (struct api_status){ .code = 415, .reason = S("UnsupportedMediaType"),
			                  .message = S("the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf") };
		return false;
	}
	str version = want_version, group;
	if (str_find_char(want_version, '/') >= 0)
		str_split(want_version, '/', &group, &version);
	if (!obj)
		return status_bad_request(a, s, STR_FMT " in version \"" STR_FMT "\" cannot be handled as a " STR_FMT ": %s", STR_ARG(want_kind), STR_ARG(version), STR_ARG(want_kind), err.text);
	struct core_v1_Pod *head = obj;
	if (!body_check_kind(c, head->apiVersion, head->kind, want_version, want_kind, s))
		return false;
	if (!field_problems(c, fv, &problems, s)) {
		struct buf b = { 0 };
		for (size_t i = 0; i < problems.n; i++) {
			if (i)
				buf_add(&b, S(", "));
			buf_add(&b, problems.v[i]);
		}
		status_bad_request(a, s, STR_FMT " in version \"" STR_FMT "\" cannot be handled as a " STR_FMT ": strict decoding error: " STR_FMT, STR_ARG(want_kind), STR_ARG(version),
		                   STR_ARG(want_kind), STR_ARG(buf_str(&b)));
		buf_free(&b);
		return false;
	}
	*out = obj;
	return true;
}

void encode_stored(struct buf *to, const struct kind *k, void *obj)
{
	struct core_v1_Pod *head = obj;
	head->kind = schema_text(k->storage->kind);
	head->apiVersion = k->storage_api_version;
	struct meta_v1_ObjectMeta *meta = meta_of(k, obj);
	str version = meta->resourceVersion;
	meta->resourceVersion = S("");
	schema_to_json(to, k->storage_message, obj);
	meta->resourceVersion = version;
}

// --- The commit -----------------------------------------------------------------------------------------------------------

static void undo(struct commit *m)
{
	const struct strategy *st = m->kind->strategy;
	if (m->undo && st->undo && m->obj)
		st->undo(&m->call->r, m->obj, m->old);
	m->undo = false;
}

void commit_finish(struct commit *m)
{
	struct call *c = m->call;
	struct kind *k = m->kind;
	if (c->over || !m->obj)
		return;
	struct error err = { 0 };
	if (m->result.revision)
		meta_of(k, m->obj)->resourceVersion = arena_printf(c->r.arena, "%lld", (long long)m->result.revision);
	if (c->accept.media == MEDIA_JSON && c->accept.as == AS_OBJECT && k->stored == k && !k->strategy->decorate && m->nops && m->ops[0].kind == STORE_PUT) {
		struct buf b = { 0 };
		if (cache_splice(&b, m->ops[0].value, m->result.revision, NULL, NULL, NULL)) {
			buf_add_char(&b, '\n');
			reply_text(c, m->code, S("application/json"), buf_str(&b));
			buf_free(&b);
			return;
		}
		buf_free(&b);
	}
	void *obj = m->obj;
	if (k->strategy->decorate)
		k->strategy->decorate(c->r.arena, obj);
	obj = convert_from_stored(c->r.arena, k, obj, &err);
	if (obj) {
		reply_object(c, m->code, k, obj);
		return;
	}
	struct api_status s;
	status_from_error(c->r.arena, &s, &err);
	reply_status(c, &s);
}

static void committed(void *ctx)
{
	struct commit *m = ctx;
	struct call *c = m->call;
	struct api_status s = { 0 };
	if (m->result.err.code) {
		undo(m);
		if (!c->over) {
			status_from_error(c->r.arena, &s, &m->result.err);
			reply_status(c, &s);
		}
	} else if (!m->result.ok) {
		undo(m);
		if (m->again && !c->over) {
			m->again(c);
		} else if (!c->over) {
			status_conflict(c->r.arena, &s, m->kind->group, m->kind->resource, meta_of(m->kind, m->obj)->name,
			                S("the object has been modified; please apply your changes to the latest version and try again"));
			reply_status(c, &s);
		}
	} else if (m->done) {
		m->done(m, &m->result);
	} else {
		commit_finish(m);
	}
	call_release(c);
}

// On the committing thread: bring it home.
static void store_done(const struct store_result *r, void *ctx)
{
	struct commit *m = ctx;
	m->result = *r;
	http_loop_post(m->call->loop, committed, m);
}

void commit_start(struct commit *m)
{
	call_hold(m->call);
	store_commit(m->call->s->store, m->ops, m->nops, store_done, m);
}
