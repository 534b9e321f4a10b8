// Selectors against entries of the cache, without parsing them as a whole: labels and selectable fields are found by one pass
// over the compact JSON on first demand and kept with the entry.
#include "apiserver/apiserver.h"

#include "json/json.h"

static const char *skip_text(const char *p, const char *end)
{
	for (p++;; p++) {
		p = memchr(p, '"', (size_t)(end - p));
		if (!p)
			return end;
		size_t slashes = 0;
		while (p[-1 - (ptrdiff_t)slashes] == '\\')
			slashes++;
		if (slashes % 2 == 0)
			return p + 1;
	}
}

// The JSON comes from our own encoder: compact and well-formed.
static const char *skip_value(const char *p, const char *end)
{
	size_t depth = 0;
	while (p < end) {
		switch (*p) {
		case '"':
			p = skip_text(p, end);
			if (!depth)
				return p;
			continue;
		case '{':
		case '[':
			depth++;
			break;
		case '}':
		case ']':
			if (!depth)
				return p;
			if (--depth == 0)
				return p + 1;
			break;
		case ',':
			if (!depth)
				return p;
			break;
		default:
			break;
		}
		p++;
	}
	return end;
}

str scan_path(str json, const str *path, size_t n)
{
	const char *p = json.p, *end = json.p + json.n;
	for (size_t i = 0; i < n; i++) {
		if (p >= end || *p != '{')
			return (str){ 0 };
		p++;
		for (;;) {
			if (p >= end || *p != '"')
				return (str){ 0 };
			const char *q = skip_text(p, end);
			str name = str_n(p + 1, (size_t)(q - p) - 2);
			p = q + 1; // behind the colon
			if (str_eq(name, path[i]))
				break;
			p = skip_value(p, end);
			if (p < end && *p == ',')
				p++;
		}
	}
	return str_n(p, (size_t)(skip_value(p, end) - p));
}

static const char labels_tag, fields_tag, pod_tag;

// One block: the map, then its entries. The pointer within can only be set once the block has its final place; every thread that
// finds it unset writes the same value.
struct label_block { struct str_map map; struct str_entry v[]; };

static const struct str_map *labels_of(const struct cache_side *side)
{
	struct label_block *b = (struct label_block *)(void *)(uintptr_t)side->bytes.p;
	if (!__atomic_load_n(&b->map.v, __ATOMIC_ACQUIRE))
		__atomic_store_n(&b->map.v, b->v, __ATOMIC_RELEASE);
	return &b->map;
}

const struct str_map *entry_labels(struct cache_entry *e)
{
	const struct cache_side *side = cache_side_find(&e->sides, &labels_tag, 0);
	if (side)
		return labels_of(side);
	// Label keys and values are plain ASCII: their JSON text is their value.
	str rest = scan(str_n(e->json.p, e->json.n), S("metadata"), S("labels"));
	size_t count = 0;
	for (const char *p = rest.p, *end = rest.p + rest.n; rest.n > 2 && p < end && *p != '}';) {
		p = skip_text(p + 1, end);
		p = skip_text(p + 1, end);
		count++;
	}
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct label_block *b = arena_alloc(a, sizeof(*b) + count * sizeof(struct str_entry));
	b->map.n = count;
	const char *p = rest.p, *end = rest.p + rest.n;
	for (size_t i = 0; i < count; i++) {
		const char *k = p + 1, *q = skip_text(k, end);
		b->v[i].key = str_n(k + 1, (size_t)(q - k) - 2);
		const char *v = q + 1;
		p = skip_text(v, end);
		b->v[i].value = str_n(v + 1, (size_t)(p - v) - 2);
	}
	side = cache_side_add(&e->sides, &labels_tag, 0, str_n((char *)b, sizeof(*b) + count * sizeof(struct str_entry)));
	return labels_of(side);
}

static bool scanned_text(struct cache_entry *e, str a, str b, str *value)
{
	str raw = b.n ? scan(e->json, a, b) : scan(e->json, a);
	*value = raw.n >= 2 && raw.p[0] == '"' ? str_n(raw.p + 1, raw.n - 2) : raw;
	return memchr(value->p ? value->p : "", '\\', value->n) == NULL;
}

// Where the text stands in the entry's JSON is kept with it.
static bool pod_text(struct cache_entry *e, int which, str a, str b, str *value)
{
	const struct cache_side *side = cache_side_find(&e->sides, &pod_tag, which);
	if (!side) {
		if (!scanned_text(e, a, b, value))
			return false;
		side = cache_side_add(&e->sides, &pod_tag, which, str_n((const char *)value, sizeof(*value)));
	}
	memcpy(value, side->bytes.p, sizeof(*value));
	return true;
}

// All fields that the kind can be selected by, evaluated once: for each path of strategy->field_paths its length and text.
static str entry_field(struct kind *k, struct cache_entry *e, str path)
{
	if (k->strategy->field_paths == NULL || !k->strategy->field)
		return (str){ 0 };
	str value;
	if (str_eq(k->key_prefix, S("core/pods"))) {
		// What kubelets and the scheduler ask for needs no decoding.
		if (str_eq(path, S("spec.nodeName")) && pod_text(e, 0, S("spec"), S("nodeName"), &value))
			return value;
		if (str_eq(path, S("status.phase")) && pod_text(e, 1, S("status"), S("phase"), &value))
			return value;
	}
	const struct cache_side *side = cache_side_find(&e->sides, &fields_tag, 0);
	if (!side) {
		_cleanup_arena_ struct arena *a = arena_new(0);
		struct error err = { 0 };
		struct buf b = { 0 };
		void *obj = entry_decode(a, k, e, &err);
		for (const char *const *p = k->strategy->field_paths; *p; p++) {
			str v = { 0 };
			if (obj)
				k->strategy->field(a, obj, str_c(*p), &v);
			uint32_t n = (uint32_t)v.n;
			buf_add(&b, str_n((const char *)&n, sizeof(n)));
			buf_add(&b, v);
		}
		side = cache_side_add(&e->sides, &fields_tag, 0, buf_str(&b));
		buf_free(&b);
	}
	const char *at = side->bytes.p;
	for (const char *const *p = k->strategy->field_paths; *p; p++) {
		uint32_t n;
		memcpy(&n, at, sizeof(n));
		if (str_eq(path, str_c(*p)))
			return str_n(at + sizeof(n), n);
		at += sizeof(n) + n;
	}
	return (str){ 0 };
}

static bool known_field(const struct kind *k, str path)
{
	if (str_eq(path, S("metadata.name")) || (str_eq(path, S("metadata.namespace")) && k->namespaced))
		return true;
	for (const char *const *p = k->strategy->field_paths; p && *p; p++)
		if (str_eqc(path, *p))
			return true;
	return false;
}

bool matcher_read(struct call *c, struct kind *k, struct matcher *m, struct api_status *s)
{
	struct arena *a = c->r.arena;
	struct error err = { 0 };
	str text;
	*m = (struct matcher){ .kind = k->stored };
	if (http_param_get(&c->r.params, S("labelSelector"), &text) && !selector_parse(a, text, &m->labels, &err))
		return status_bad_request(a, s, "%s", err.text);
	if (http_param_get(&c->r.params, S("fieldSelector"), &text)) {
		if (!field_selector_parse(a, text, &m->fields, &err))
			return status_bad_request(a, s, "%s", err.text);
		for (size_t i = 0; i < m->fields.n; i++) {
			struct field_term *t = &m->fields.v[i];
			if (!known_field(k->stored, t->path))
				return status_bad_request(a, s, "field label not supported: " STR_FMT, STR_ARG(t->path));
			if (t->not_equal)
				continue;
			if (str_eq(t->path, S("metadata.name")))
				m->name = t->value;
			else if (str_eq(t->path, S("metadata.namespace")))
				m->ns = t->value;
			else if (str_eq(t->path, S("spec.nodeName")))
				m->node = t->value;
		}
	}
	m->all = selector_empty(&m->labels) && !m->labels.nothing && m->fields.n == 0;
	return true;
}

bool matcher_matches(const struct matcher *m, struct cache_entry *e)
{
	if (m->all)
		return true;
	for (size_t i = 0; i < m->fields.n; i++) {
		const struct field_term *t = &m->fields.v[i];
		str v = str_eq(t->path, S("metadata.name"))        ? cache_entry_name(e)
		        : str_eq(t->path, S("metadata.namespace")) ? cache_entry_ns(e)
		                                                   : entry_field(m->kind, e, t->path);
		if (str_eq(v, t->value) == t->not_equal)
			return false;
	}
	return (m->labels.n == 0 && !m->labels.nothing) || selector_matches(&m->labels, entry_labels(e));
}
