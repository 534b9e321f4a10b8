#include "net/http1.h"

// http-parser's own limit is 80 KiB and belongs to the process; ours are per message, checked here. Set before main, so
// that no thread reads it meanwhile.
__attribute__((constructor)) static void raise_parser_limit(void)
{
	http_parser_set_max_header_size(2 * HTTP1_MAX_HEAD);
}

static bool add(struct http1_head *h, const char *p, size_t n)
{
	if (h->text.n + n > HTTP1_MAX_HEAD)
		return false;
	buf_add(&h->text, str_n(p, n));
	return true;
}

static struct http1_mark *last(struct http1_head *h)
{
	return (struct http1_mark *)(void *)(h->marks.p + h->marks.n) - 1;
}

bool http1_target(struct http1_head *h, const char *p, size_t n)
{
	h->target += n;
	return add(h, p, n);
}

bool http1_name(struct http1_head *h, const char *p, size_t n)
{
	if (h->marks.n == 0 || h->in_value) {
		if (h->marks.n / sizeof(struct http1_mark) == HTTP1_MAX_HEADERS)
			return false;
		struct http1_mark fresh = { 0 };
		buf_add(&h->marks, str_n((const char *)&fresh, sizeof(fresh)));
		h->in_value = false;
	}
	last(h)->name += (uint32_t)n;
	return add(h, p, n);
}

bool http1_value(struct http1_head *h, const char *p, size_t n)
{
	if (h->marks.n == 0)
		return false;
	h->in_value = true;
	last(h)->value += (uint32_t)n;
	return add(h, p, n);
}

void http1_finish(struct http1_head *h, struct arena *a, str *target, struct http_headers *headers)
{
	char *p = arena_cstr(a, buf_str(&h->text));
	size_t n = h->marks.n / sizeof(struct http1_mark);
	const struct http1_mark *m = (const struct http1_mark *)(const void *)h->marks.p;
	*target = str_n(p, h->target);
	headers->v = ARENA_ARRAY(a, struct http_header, n);
	headers->n = n;
	p += h->target;
	for (size_t i = 0; i < n; i++) {
		for (uint32_t k = 0; k < m[i].name; k++)
			if (p[k] >= 'A' && p[k] <= 'Z')
				p[k] |= 0x20;
		headers->v[i].name = str_n(p, m[i].name);
		p += m[i].name;
		headers->v[i].value = str_trim(str_n(p, m[i].value));
		p += m[i].value;
	}
	http1_clear(h);
}

void http1_clear(struct http1_head *h)
{
	if (h->text.cap > 4096)
		buf_free(&h->text);
	if (h->marks.cap > 1024)
		buf_free(&h->marks);
	buf_clear(&h->text);
	buf_clear(&h->marks);
	h->target = 0;
	h->in_value = false;
}

void http1_free(struct http1_head *h)
{
	buf_free(&h->text);
	buf_free(&h->marks);
}

bool http1_has_token(str value, str token)
{
	for (str rest = value, part; str_next(&rest, ',', &part);)
		if (str_eq_nocase(str_trim(part), token))
			return true;
	return false;
}

bool http1_token_ok(str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!letter && (c == 0 || !strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return name.n > 0;
}

bool http1_value_ok(str value)
{
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] == '\r' || value.p[i] == '\n' || value.p[i] == 0)
			return false;
	return true;
}
