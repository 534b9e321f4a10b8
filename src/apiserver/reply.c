// Answers: which form the client accepts, and the bytes in that form.
#include "apiserver/apiserver.h"

#include "json/json.h"
#include "json/yaml.h"

str media_type(enum media m)
{
	switch (m) {
	case MEDIA_YAML: return S("application/yaml");
	case MEDIA_PROTOBUF: return S("application/vnd.kubernetes.protobuf");
	default: return S("application/json");
	}
}

static bool clause(struct call *c, str text, bool convertible, struct accept *out)
{
	str rest = text, part;
	str_next(&rest, ';', &part);
	str type = str_trim(part), as = { 0 }, v = S("v1"), g = S("meta.k8s.io");
	if (str_eq(type, S("application/json")) || str_eq(type, S("*/*")))
		out->media = MEDIA_JSON;
	else if (str_eq(type, S("application/yaml")))
		out->media = MEDIA_YAML;
	else if (str_eq(type, S("application/vnd.kubernetes.protobuf")))
		out->media = MEDIA_PROTOBUF;
	else
		return false;
	while (rest.p && str_next(&rest, ';', &part)) {
		str key, value;
		str_split(str_trim(part), '=', &key, &value);
		if (str_eq(key, S("as")))
			as = value;
		else if (str_eq(key, S("v")))
			v = value;
		else if (str_eq(key, S("g")))
			g = value;
		else if (str_eq(key, S("pretty")))
			out->pretty = str_eq(value, S("1"));
	}
	out->as = AS_OBJECT;
	if (as.n) {
		if (!convertible || !str_eq(g, S("meta.k8s.io")) || !(str_eq(v, S("v1")) || str_eq(v, S("v1beta1"))))
			return false;
		out->v1beta1 = str_eq(v, S("v1beta1"));
		if (str_eq(as, S("Table")))
			out->as = AS_TABLE;
		else if (str_eq(as, S("PartialObjectMetadata")) || str_eq(as, S("PartialObjectMetadataList")))
			out->as = AS_PARTIAL;
		else
			return false;
	}
	(void)c;
	return true;
}

static int quality(str text)
{
	// q as thousandths; 1000 when it is not there.
	for (str rest = text, part; str_next(&rest, ';', &part);) {
		part = str_trim(part);
		if (!str_cut_prefix(&part, S("q=")))
			continue;
		int q = part.n && part.p[0] == '1' ? 1000 : 0;
		for (size_t i = 2, w = 100; i < part.n && w; i++, w /= 10)
			q += (int)w * (part.p[i] - '0');
		return MIN(q, 1000);
	}
	return 1000;
}

bool negotiate(struct call *c, bool convertible, struct api_status *s)
{
	str accept = http_header(&c->r.in->headers, S("accept"));
	c->accept = (struct accept){ 0 };
	if (accept.n == 0 || str_eq(accept, S("application/json")) || str_eq(accept, S("*/*")))
		return true;
	// The best by quality, the earlier one among equals.
	int best = -1;
	for (str rest = accept, part; str_next(&rest, ',', &part);) {
		struct accept a = { 0 };
		int q = quality(part);
		if (q > best && clause(c, part, convertible, &a)) {
			best = q;
			c->accept = a;
		}
	}
	if (best >= 0)
		return true;
	*s = (struct api_status){ .code = 406, .reason = S("NotAcceptable"), .message = S("406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf") };
	if (str_find(accept, S("as=")) >= 0)
		s->message = S("only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf");
	return false;
}

struct http_headers reply_headers(struct call *c, str content_type)
{
	struct http_headers h = { 0 };
	struct arena *a = c->r.arena;
	http_header_add(a, &h, S("cache-control"), S("no-cache, private"));
	if (content_type.n)
		http_header_add(a, &h, S("content-type"), content_type);
	for (size_t i = 0; i < c->r.warnings.n; i++) {
		// RFC 7234: 299 - "text", with quotes and backslashes escaped.
		struct buf b = { 0 };
		buf_add(&b, S("299 - \""));
		str w = c->r.warnings.v[i];
		for (size_t k = 0; k < w.n; k++) {
			if (w.p[k] == '"' || w.p[k] == '\\')
				buf_add_char(&b, '\\');
			buf_add_char(&b, (unsigned char)w.p[k] < 0x20 ? ' ' : w.p[k]);
		}
		buf_add_char(&b, '"');
		http_header_add(a, &h, S("warning"), arena_dup(a, buf_str(&b)));
		buf_free(&b);
	}
	return h;
}

void reply_text(struct call *c, int code, str content_type, str body)
{
	c->status = code;
	if (c->over)
		return;
	struct http_headers h = reply_headers(c, content_type);
	http_reply(c->r.x, code, &h, body);
}

void encode_message(struct call *c, struct buf *to, const struct message_desc *m, void *obj)
{
	struct core_v1_Pod *head = obj; // every top-level kind begins with apiVersion and kind
	switch (c->accept.media) {
	case MEDIA_PROTOBUF: {
		struct buf raw = { 0 };
		schema_to_pb(&raw, m, obj);
		schema_wrap_pb(to, head->apiVersion, head->kind, buf_str(&raw));
		buf_free(&raw);
		break;
	}
	case MEDIA_YAML:
		yaml_write(to, schema_to_value(c->r.arena, m, obj));
		break;
	default:
		schema_to_json(to, m, obj);
	}
}

void reply_message(struct call *c, int code, const struct message_desc *m, void *obj)
{
	struct buf b = { 0 };
	encode_message(c, &b, m, obj);
	if (c->accept.media == MEDIA_JSON)
		buf_add_char(&b, '\n');
	reply_text(c, code, media_type(c->accept.media), buf_str(&b));
	buf_free(&b);
}

struct meta_v1_Status *status_message(struct arena *a, const struct api_status *s)
{
	struct meta_v1_Status *m = ARENA_NEW(a, struct meta_v1_Status);
	m->apiVersion = S("v1");
	m->kind = S("Status");
	m->status = s->code < 300 ? S("Success") : S("Failure");
	m->message = s->message;
	m->reason = s->reason;
	m->code = s->code;
	static const char *const with_details[] = { "NotFound", "MethodNotAllowed", "Forbidden", "Conflict", "AlreadyExists", "Invalid", "Timeout",
		                                    "TooManyRequests", "ServerTimeout" };
	bool plain = str_has_prefix(s->message, S("415: ")) || str_has_prefix(s->message, S("406: ")); // said by the router, not by a handler
	bool details = plain || s->group.n || s->kind.n || s->name.n || s->uid.n || s->causes.n || s->retry_after;
	for (size_t i = 0; i < ARRAY_LEN(with_details); i++)
		details |= str_eqc(s->reason, with_details[i]);
	if (details) {
		m->details = ARENA_NEW(a, struct meta_v1_StatusDetails);
		m->details->name = s->name;
		m->details->group = s->group;
		m->details->kind = s->kind;
		m->details->uid = s->uid;
		m->details->retryAfterSeconds = s->retry_after;
		for (size_t i = 0; i < s->causes.n; i++) {
			struct meta_v1_StatusCause *cause = LIST_ADD(a, &m->details->causes);
			cause->reason = s->causes.v[i].reason;
			cause->message = s->causes.v[i].message;
			cause->field = s->causes.v[i].field;
		}
	}
	return m;
}

void reply_status(struct call *c, const struct api_status *s)
{
	if (c->over)
		return;
	if (c->accept.as != AS_OBJECT)
		c->accept.as = AS_OBJECT;
	struct buf b = { 0 };
	encode_message(c, &b, meta_v1_Status_desc, status_message(c->r.arena, s));
	if (c->accept.media == MEDIA_JSON)
		buf_add_char(&b, '\n');
	c->status = s->code;
	struct http_headers h = reply_headers(c, media_type(c->accept.media));
	if (s->retry_after)
		http_header_add(c->r.arena, &h, S("retry-after"), arena_printf(c->r.arena, "%d", s->retry_after));
	http_reply(c->r.x, s->code, &h, buf_str(&b));
	buf_free(&b);
}

void reply_success(struct call *c, const struct api_status *details)
{
	struct api_status s = *details;
	s.code = 200;
	struct meta_v1_Status *m = status_message(c->r.arena, &s);
	m->code = 0;
	reply_message(c, 200, meta_v1_Status_desc, m);
}

static void table_of_one(struct call *c, struct buf *b, struct kind *k, struct cache_entry *e, void *obj)
{
	enum include_object include = INCLUDE_METADATA;
	struct api_status ignored;
	include_object_of(c, &include, &ignored);
	table_head(b, k, meta_of(k, obj)->resourceVersion, S(""), 0, true);
	table_row(c->r.arena, b, k, e, obj, include, clock_wall(c->r.clock), c->accept.v1beta1 ? S("v1beta1") : S("v1"));
	buf_add(b, S("]}"));
}

static void finish(struct call *c, int code, struct buf *b)
{
	if (c->accept.media == MEDIA_YAML) {
		struct error err = { 0 };
		struct value *v = json_parse(c->r.arena, arena_dup(c->r.arena, buf_str(b)), NULL, &err);
		buf_clear(b);
		if (v)
			yaml_write(b, v);
	} else {
		buf_add_char(b, '\n');
	}
	reply_text(c, code, media_type(c->accept.media), buf_str(b));
}

void reply_object(struct call *c, int code, struct kind *k, void *obj)
{
	if (c->over)
		return;
	struct core_v1_Pod *head = obj;
	struct error err = { 0 };
	if (c->accept.as != AS_OBJECT) {
		// Both are made from an entry's bytes; this object becomes one.
		struct buf b = { 0 }, json = { 0 };
		void *stored = convert_to_stored(c->r.arena, k, obj, &err);
		if (stored) {
			int64_t rv = 0;
			str_to_i64(meta_of(k, obj)->resourceVersion, &rv);
			struct meta_v1_ObjectMeta *meta = meta_of(k, stored);
			encode_stored(&json, k, stored);
			str key = k->namespaced ? arena_concat(c->r.arena, meta->namespace, S("/"), meta->name) : meta->name;
			struct cache_entry *e = cache_entry_new(k->cache, key, buf_str(&json), rv, rv);
			meta->resourceVersion = arena_printf(c->r.arena, "%lld", (long long)rv);
			if (c->accept.as == AS_TABLE)
				table_of_one(c, &b, k, e, stored);
			else
				partial_object(&b, e, true, c->accept.v1beta1 ? S("v1beta1") : S("v1"));
			finish(c, code, &b);
			cache_entry_unref(e);
			buf_free(&b);
			buf_free(&json);
			return;
		}
		buf_free(&json);
	}
	head->kind = k->name;
	head->apiVersion = k->api_version;
	reply_message(c, code, k->message, obj);
}

static void unref_entry(void *e) { cache_entry_unref(e); }

void reply_entry(struct call *c, int code, struct kind *k, struct cache_entry *e)
{
	if (c->over)
		return;
	if (c->accept.media == MEDIA_JSON && c->accept.as == AS_OBJECT && k->stored == k && !k->strategy->decorate) {
		// The bytes as they lie in the cache, the newline behind them included.
		c->status = code;
		struct http_headers h = reply_headers(c, S("application/json"));
		http_reply_ref(c->r.x, code, &h, str_n(e->json.p, e->json.n + 1), unref_entry, cache_entry_ref(e));
		return;
	}
	if (c->accept.media == MEDIA_PROTOBUF && c->accept.as == AS_OBJECT) {
		struct buf b = { 0 };
		schema_wrap_pb(&b, k->api_version, k->name, entry_protobuf(k, e));
		reply_text(c, code, media_type(MEDIA_PROTOBUF), buf_str(&b));
		buf_free(&b);
		return;
	}
	struct error err = { 0 };
	if (c->accept.as == AS_PARTIAL && c->accept.media != MEDIA_PROTOBUF) {
		struct buf b = { 0 };
		partial_object(&b, e, true, c->accept.v1beta1 ? S("v1beta1") : S("v1"));
		finish(c, code, &b);
		buf_free(&b);
		return;
	}
	void *obj = entry_decode(c->r.arena, k, e, &err);
	if (obj && c->accept.as == AS_TABLE) {
		struct buf b = { 0 };
		table_of_one(c, &b, k, e, obj);
		finish(c, code, &b);
		buf_free(&b);
		return;
	}
	if (obj && c->accept.as == AS_PARTIAL) {
		struct meta_v1_PartialObjectMetadata *p = ARENA_NEW(c->r.arena, struct meta_v1_PartialObjectMetadata);
		p->kind = S("PartialObjectMetadata");
		p->apiVersion = c->accept.v1beta1 ? S("meta.k8s.io/v1beta1") : S("meta.k8s.io/v1");
		p->metadata = *meta_of(k, obj);
		reply_message(c, code, meta_v1_PartialObjectMetadata_desc, p);
		return;
	}
	if (obj)
		obj = convert_from_stored(c->r.arena, k, obj, &err);
	if (!obj) {
		struct api_status s;
		status_from_error(c->r.arena, &s, &err);
		reply_status(c, &s);
		return;
	}
	c->accept.as = AS_OBJECT;
	struct core_v1_Pod *head = obj;
	head->kind = k->name;
	head->apiVersion = k->api_version;
	reply_message(c, code, k->message, obj);
}

bool query_bool(struct call *c, str key, bool *out, struct api_status *s)
{
	str v;
	*out = false;
	// As upstream's conversion of query parameters: anything but "false" and "0" is true, also a key without a value.
	if (http_param_get(&c->r.params, key, &v))
		*out = !(str_eq_nocase(v, S("false")) || str_eq(v, S("0")));
	(void)s;
	return true;
}
