// Names of images and the credentials that belong to them: no state, no calls.
#include "base/encode.h"
#include "kubelet/images.h"

static bool lower_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

// [a-z0-9]+ joined by one '.', one or two '_', or any number of '-'.
static bool component(str s)
{
	if (!s.n || !lower_or_digit(s.p[0]) || !lower_or_digit(s.p[s.n - 1]))
		return false;
	for (size_t i = 1; i < s.n; i++) {
		char c = s.p[i], p = s.p[i - 1];
		if (lower_or_digit(c) || (c == '-' && (p == '-' || lower_or_digit(p))))
			continue;
		if (c == '.' && lower_or_digit(p))
			continue;
		if (c == '_' && (lower_or_digit(p) || (p == '_' && i >= 2 && lower_or_digit(s.p[i - 2]))))
			continue;
		return false;
	}
	return true;
}

static bool domain(str s)
{
	if (!s.n)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!lower_or_digit(c) && !(c >= 'A' && c <= 'Z') && c != '.' && c != '-' && c != ':' && c != '[' && c != ']')
			return false;
	}
	return true;
}

static bool is_tag(str s)
{
	if (!s.n || s.n > 128 || s.p[0] == '.' || s.p[0] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!lower_or_digit(c) && !(c >= 'A' && c <= 'Z') && c != '_' && c != '.' && c != '-')
			return false;
	}
	return true;
}

// Splits off the registry; empty when the name has none.
static str registry_of(str name, str *path)
{
	str head, rest;
	if (str_split(name, '/', &head, &rest) &&
	    (str_find_char(head, '.') >= 0 || str_find_char(head, ':') >= 0 || str_eqc(head, "localhost"))) {
		*path = rest;
		return head;
	}
	*path = name;
	return S("");
}

static bool upper_in(str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] >= 'A' && s.p[i] <= 'Z')
			return true;
	return false;
}

bool image_name(struct arena *a, str image, str *out, struct error *err)
{
	str name = image, digest = S(""), tag = S(""), path;
	ptrdiff_t at = str_find_char(image, '@'), colon, slash;
	bool ok = true;
	if (at >= 0) {
		digest = str_from(image, (size_t)at + 1);
		name = str_sub(image, 0, (size_t)at);
		ptrdiff_t c = str_find_char(digest, ':');
		ok = c > 0 && digest.n - (size_t)c - 1 >= 32;
	}
	colon = str_rfind_char(name, ':');
	slash = str_rfind_char(name, '/');
	if (colon >= 0 && colon > slash) {
		tag = str_from(name, (size_t)colon + 1);
		name = str_sub(name, 0, (size_t)colon);
		ok &= is_tag(tag);
	}
	str registry = registry_of(name, &path);
	ok &= name.n <= 255 && (!registry.n || domain(registry));
	bool upper = ok && upper_in(path);
	for (str rest = path, part; ok && str_next(&rest, '/', &part);)
		ok = component(part);
	if (upper)
		return error_set(err, "couldn't parse image name \"" STR_FMT "\": invalid reference format: repository name (%s" STR_FMT
		                 ") must be lowercase", STR_ARG(image), str_find_char(path, '/') < 0 && !registry.n ? "library/" : "", STR_ARG(path));
	if (!ok || !path.n)
		return error_set(err, "couldn't parse image name \"" STR_FMT "\": invalid reference format", STR_ARG(image));
	*out = digest.n || tag.n ? image : arena_concat(a, image, S(":latest"));
	return true;
}

// A key of a docker configuration: "https://index.docker.io/v1/", "registry.example.com:5000/team", "*.example.com".
static size_t match(str key, str registry, str path)
{
	str host, rest;
	if (!str_cut_prefix(&key, S("https://")))
		str_cut_prefix(&key, S("http://"));
	str_cut_suffix(&key, S("/"));
	if (!str_cut_suffix(&key, S("/v1")))
		str_cut_suffix(&key, S("/v2"));
	str_split(key, '/', &host, &rest);
	if (str_eqc(registry, "docker.io") || !registry.n)
		registry = S("index.docker.io");
	if (str_eqc(host, "docker.io"))
		host = S("index.docker.io");
	str kh = host, rh = registry, kp, rp;
	for (;;) {
		bool more_k = str_split(kh, '.', &kp, &kh), more_r = str_split(rh, '.', &rp, &rh);
		if (!str_eqc(kp, "*") && !str_eq(kp, rp))
			return 0;
		if (more_k != more_r)
			return 0;
		if (!more_k)
			break;
	}
	if (rest.n && !(str_has_prefix(path, rest) && (path.n == rest.n || path.p[rest.n] == '/')))
		return 0;
	return 1 + rest.n;
}

void image_auth(struct arena *a, str docker_config, str image, struct auth_list *out)
{
	struct error err = { 0 };
	str path, registry = registry_of(image, &path);
	struct value *doc = json_parse(a, docker_config, NULL, &err);
	struct value *auths = value_get(doc, S("auths"));
	size_t best = 0;
	if (!auths)
		auths = doc;
	for (size_t i = 0; value_is(auths, V_OBJECT) && i < auths->o.n; i++) {
		const struct value *v = auths->o.v[i].value;
		size_t fit = match(auths->o.v[i].key, registry, path);
		struct cri_v1_AuthConfig c = { .username = value_get_str(v, S("username")), .password = value_get_str(v, S("password")),
		                               .identity_token = value_get_str(v, S("identitytoken")) };
		str both;
		if (!fit || !value_is(v, V_OBJECT))
			continue;
		if (!c.username.n && base64_decode(a, value_get_str(v, S("auth")), &both))
			str_split(both, ':', &c.username, &c.password);
		*LIST_ADD(a, out) = c;
		// The closest match is tried first.
		if (fit > best && out->n > 1) {
			struct cri_v1_AuthConfig first = out->v[0];
			out->v[0] = c;
			out->v[out->n - 1] = first;
		}
		best = MAX(best, fit);
	}
}
