#include "runtime/ref.h"

#include "runtime/digest.h"

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_word(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z') || c == '_';
}

// path-component: alpha-numeric parts joined by one '.', one or two '_', or any number of '-'.
static bool component_valid(str c)
{
	if (c.n == 0 || !is_lower_alnum(c.p[0]) || !is_lower_alnum(c.p[c.n - 1]))
		return false;
	for (size_t i = 0; i < c.n;) {
		if (is_lower_alnum(c.p[i])) {
			i++;
			continue;
		}
		size_t j = i;
		while (j < c.n && c.p[j] == c.p[i])
			j++;
		if (c.p[i] == '.' ? j - i > 1 : c.p[i] == '_' ? j - i > 2 : c.p[i] != '-')
			return false;
		if (!is_lower_alnum(c.p[j]))
			return false;
		i = j;
	}
	return true;
}

static bool port_valid(str p)
{
	for (size_t i = 0; i < p.n; i++)
		if (p.p[i] < '0' || p.p[i] > '9')
			return false;
	return p.n > 0 && p.n <= 5;
}

static bool domain_valid(str d)
{
	if (d.n && d.p[0] == '[') { // IPv6
		ptrdiff_t end = str_find_char(d, ']');
		if (end < 2)
			return false;
		for (ptrdiff_t i = 1; i < end; i++)
			if (!strchr("0123456789abcdefABCDEF:", d.p[i]))
				return false;
		str rest = str_from(d, (size_t)end + 1);
		return rest.n == 0 || (rest.p[0] == ':' && port_valid(str_from(rest, 1)));
	}
	str host, port;
	if (str_split(d, ':', &host, &port) && !port_valid(port))
		return false;
	for (str rest = host, part; str_next(&rest, '.', &part);) {
		if (part.n == 0 || part.p[0] == '-' || part.p[part.n - 1] == '-')
			return false;
		for (size_t i = 0; i < part.n; i++)
			if ((!is_word(part.p[i]) || part.p[i] == '_') && part.p[i] != '-')
				return false;
	}
	return host.n > 0;
}

static bool tag_valid(str t)
{
	if (t.n == 0 || t.n > 128 || !is_word(t.p[0]))
		return false;
	for (size_t i = 1; i < t.n; i++)
		if (!is_word(t.p[i]) && t.p[i] != '.' && t.p[i] != '-')
			return false;
	return true;
}

static bool has_upper(str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] >= 'A' && s.p[i] <= 'Z')
			return true;
	return false;
}

static bool bad(struct error *err, const char *why)
{
	return error_api(err, 400, "BadRequest", "%s", why);
}

bool image_ref_parse(struct arena *a, str text, struct image_ref *out, struct error *err)
{
	struct image_ref r = { 0 };
	if (text.n > 4096)
		return bad(err, "invalid reference format");
	str rest, after;
	if (str_split(text, '@', &rest, &after)) {
		if (!digest_valid(after))
			return bad(err, "invalid reference format");
		r.digest = after;
	}
	// A first part is a domain when it could not be a path: it has a dot, a port or upper case, or is "localhost".
	str first, path;
	if (str_split(rest, '/', &first, &path) &&
	    (str_find_char(first, '.') >= 0 || str_find_char(first, ':') >= 0 || str_eqc(first, "localhost") || has_upper(first))) {
		r.domain = first;
	} else {
		r.domain = S("docker.io");
		path = rest;
	}
	if (str_eqc(r.domain, "index.docker.io"))
		r.domain = S("docker.io");
	ptrdiff_t colon = str_rfind_char(path, ':');
	if (colon >= 0 && colon > str_rfind_char(path, '/')) {
		r.tag = str_from(path, (size_t)colon + 1);
		path = str_sub(path, 0, (size_t)colon);
		if (!tag_valid(r.tag))
			return bad(err, "invalid reference format");
	}
	if (has_upper(path))
		return bad(err, "invalid reference format: repository name must be lowercase");
	if (path.n == 0 || !domain_valid(r.domain))
		return bad(err, "invalid reference format");
	for (str left = path, part; str_next(&left, '/', &part);)
		if (!component_valid(part))
			return bad(err, "invalid reference format");
	if (str_eqc(r.domain, "docker.io") && str_find_char(path, '/') < 0)
		path = arena_concat(a, S("library/"), path);
	if (path.n > 255)
		return bad(err, "repository name must not be more than 255 characters");
	if (r.tag.n == 0 && r.digest.n == 0)
		r.tag = S("latest");
	r.path = path;
	*out = r;
	return true;
}

str image_ref_name(struct arena *a, const struct image_ref *r)
{
	return arena_concat(a, r->domain, S("/"), r->path);
}

str image_ref_tagged(struct arena *a, const struct image_ref *r)
{
	return r->tag.n ? arena_concat(a, r->domain, S("/"), r->path, S(":"), r->tag) : (str){ 0 };
}

str image_ref_digested(struct arena *a, const struct image_ref *r, str digest)
{
	return arena_concat(a, r->domain, S("/"), r->path, S("@"), digest);
}
