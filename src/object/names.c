#include "object/names.h"

#include <arpa/inet.h>
#include <stdio.h>

#define LABEL_FMT "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
#define LABEL_FMT_UNDERSCORE "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
#define SUBDOMAIN_FMT LABEL_FMT "(\\." LABEL_FMT ")*"
#define KEY_FMT "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"

static bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_alpha(char c) { return is_lower(c) || (c >= 'A' && c <= 'Z'); }
static bool is_alnum(char c) { return is_alpha(c) || is_digit(c); }
static bool is_lower_num(char c) { return is_lower(c) || is_digit(c); }

static void add(struct arena *a, struct str_list *why, const char *text)
{
	*LIST_ADD(a, why) = str_c(text);
}

static void add_str(struct arena *a, struct str_list *why, str text)
{
	*LIST_ADD(a, why) = text;
}

// A label without regard to its length.
static bool label_chars(str s)
{
	if (s.n == 0 || !is_lower_num(s.p[0]) || !is_lower_num(s.p[s.n - 1]))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_lower_num(s.p[i]) && s.p[i] != '-')
			return false;
	return true;
}

static bool label_chars_underscore(str s)
{
	str_cut_prefix(&s, S("_"));
	if (s.n == 0 || !is_lower_num(s.p[0]) || !is_lower_num(s.p[s.n - 1]))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_lower_num(s.p[i]) && s.p[i] != '-' && s.p[i] != '_')
			return false;
	return true;
}

static bool dotted(str s, bool (*part_ok)(str))
{
	if (s.n == 0)
		return false;
	str rest = s, part;
	while (str_next(&rest, '.', &part))
		if (!part_ok(part))
			return false;
	return true;
}

static bool key_chars(str s)
{
	if (s.n == 0 || !is_alnum(s.p[0]) || !is_alnum(s.p[s.n - 1]))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '_' && s.p[i] != '.')
			return false;
	return true;
}

bool is_dns1123_label(str s) { return s.n <= 63 && label_chars(s); }
bool is_dns1123_subdomain(str s) { return s.n <= 253 && dotted(s, label_chars); }
bool is_dns1035_label(str s) { return s.n <= 63 && label_chars(s) && is_lower(s.p[0]); }
bool is_label_value(str s) { return s.n == 0 || (s.n <= 63 && key_chars(s)); }

bool is_qualified_name(str s)
{
	str prefix, name;
	if (!str_split(s, '/', &prefix, &name))
		name = s;
	else if (!is_dns1123_subdomain(prefix))
		return false;
	return name.n <= 63 && key_chars(name);
}

void name_is_dns1123_label(struct arena *a, str s, struct str_list *why)
{
	if (s.n > 63)
		add(a, why, "must be no more than 63 characters");
	if (label_chars(s))
		return;
	if (dotted(s, label_chars))
		add(a, why, "must not contain dots");
	else
		add(a, why, "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
		            "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '" LABEL_FMT "')");
}

static void subdomain(struct arena *a, str s, const char *unit, struct str_list *why)
{
	if (s.n > 253)
		add_str(a, why, arena_printf(a, "must be no more than 253 %s", unit));
	if (!dotted(s, label_chars))
		add(a, why, "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
		            "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '" SUBDOMAIN_FMT "')");
}

void name_is_dns1123_subdomain(struct arena *a, str s, struct str_list *why)
{
	subdomain(a, s, "characters", why);
}

void name_is_subdomain_with_underscore(struct arena *a, str s, struct str_list *why)
{
	if (s.n > 253)
		add(a, why, "must be no more than 253 characters");
	if (!dotted(s, label_chars_underscore))
		add(a, why, "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must "
		            "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '"
		            LABEL_FMT_UNDERSCORE "(\\." LABEL_FMT_UNDERSCORE ")*')");
}

void name_is_wildcard_subdomain(struct arena *a, str s, struct str_list *why)
{
	if (s.n > 253)
		add(a, why, "must be no more than 253 characters");
	str rest = s;
	if (!str_cut_prefix(&rest, S("*.")) || !dotted(rest, label_chars))
		add(a, why, "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower "
		            "case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used "
		            "for validation is '\\*\\." SUBDOMAIN_FMT "')");
}

void name_is_dns1035_label(struct arena *a, str s, struct str_list *why)
{
	if (s.n > 63)
		add(a, why, "must be no more than 63 characters");
	if (!label_chars(s) || !is_lower(s.p[0]))
		add(a, why, "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and "
		            "end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
		            "'[a-z]([-a-z0-9]*[a-z0-9])?')");
}

#define KEY_TEXT "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character " \
	"(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '" KEY_FMT "')"

void name_is_qualified(struct arena *a, str s, struct str_list *why)
{
	str prefix, name;
	if (!str_split(s, '/', &prefix, &name)) {
		name = s;
	} else if (str_find_char(name, '/') >= 0) {
		add(a, why, "a valid label key " KEY_TEXT " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')");
		return;
	} else if (prefix.n == 0) {
		add(a, why, "prefix part must be non-empty");
	} else {
		struct str_list l = { 0 };
		subdomain(a, prefix, "bytes", &l); // upstream counts in bytes here and in characters there
		for (size_t i = 0; i < l.n; i++)
			add_str(a, why, arena_concat(a, S("prefix part "), l.v[i]));
	}
	if (name.n == 0)
		add(a, why, "name part must be non-empty");
	else if (name.n > 63)
		add(a, why, "name part must be no more than 63 bytes");
	if (!key_chars(name))
		add(a, why, "name part " KEY_TEXT);
}

void name_is_label_value(struct arena *a, str s, struct str_list *why)
{
	if (s.n > 63)
		add(a, why, "must be no more than 63 bytes");
	if (s.n && !key_chars(s))
		add(a, why, "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end "
		            "with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(" KEY_FMT ")?')");
}

void name_is_path_segment(struct arena *a, str s, bool prefix, struct str_list *why)
{
	if (!prefix && (str_eq(s, S(".")) || str_eq(s, S("..")))) {
		add_str(a, why, arena_concat(a, S("may not be '"), s, S("'")));
		return;
	}
	if (str_find_char(s, '/') >= 0)
		add(a, why, "may not contain '/'");
	if (str_find_char(s, '%') >= 0)
		add(a, why, "may not contain '%'");
}

void name_is_c_identifier(struct arena *a, str s, struct str_list *why)
{
	bool ok = s.n && (is_alpha(s.p[0]) || s.p[0] == '_');
	for (size_t i = 0; i < s.n; i++)
		ok = ok && (is_alnum(s.p[i]) || s.p[i] == '_');
	if (!ok)
		add(a, why, "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' "
		            "(e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')");
}

static void no_dot_dot(struct arena *a, str s, struct str_list *why)
{
	if (str_eq(s, S(".")))
		add(a, why, "must not be '.'");
	else if (str_eq(s, S("..")))
		add(a, why, "must not be '..'");
	else if (str_has_prefix(s, S("..")))
		add(a, why, "must not start with '..'");
}

void name_is_env_var(struct arena *a, str s, bool relaxed, struct str_list *why)
{
	if (relaxed) {
		if (s.n == 0)
			add(a, why, "environment variable name must be non-empty");
		for (size_t i = 0; i < s.n; i++)
			if (s.p[i] < 0x20 || s.p[i] > 0x7e || s.p[i] == '=') {
				add(a, why, "a valid environment variable name must consist only of printable ASCII characters other than '='");
				break;
			}
		return;
	}
	bool ok = s.n && !is_digit(s.p[0]);
	for (size_t i = 0; i < s.n; i++)
		ok = ok && (is_alnum(s.p[i]) || s.p[i] == '-' || s.p[i] == '.' || s.p[i] == '_');
	if (!ok)
		add(a, why, "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with "
		            "a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for validation is '[-._a-zA-Z][-._a-zA-Z0-9]*')");
	no_dot_dot(a, s, why);
}

void name_is_config_key(struct arena *a, str s, struct str_list *why)
{
	if (s.n > 253)
		add(a, why, "must be no more than 253 characters");
	bool ok = s.n > 0;
	for (size_t i = 0; i < s.n; i++)
		ok = ok && (is_alnum(s.p[i]) || s.p[i] == '-' || s.p[i] == '.' || s.p[i] == '_');
	if (!ok)
		add(a, why, "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
		            "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')");
	no_dot_dot(a, s, why);
}

void name_is_port_name(struct arena *a, str s, struct str_list *why)
{
	if (s.n > 15)
		add(a, why, "must be no more than 15 characters");
	bool chars = s.n > 0, letter = false;
	for (size_t i = 0; i < s.n; i++) {
		chars = chars && (is_lower_num(s.p[i]) || s.p[i] == '-');
		letter = letter || is_lower(s.p[i]);
	}
	if (!chars)
		add(a, why, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
	if (!letter)
		add(a, why, "must contain at least one letter (a-z)");
	if (str_contains(s, S("--")))
		add(a, why, "must not contain consecutive hyphens");
	if (s.n && (s.p[0] == '-' || s.p[s.n - 1] == '-'))
		add(a, why, "must not begin or end with a hyphen");
}

void name_is_http_header(struct arena *a, str s, struct str_list *why)
{
	bool ok = s.n > 0;
	for (size_t i = 0; i < s.n; i++)
		ok = ok && (is_alnum(s.p[i]) || s.p[i] == '-');
	if (!ok)
		add(a, why, "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is "
		            "'[-A-Za-z0-9]+')");
}

void name_is_percent(struct arena *a, str s, struct str_list *why)
{
	bool ok = s.n > 1 && s.p[s.n - 1] == '%';
	for (size_t i = 0; i + 1 < s.n; i++)
		ok = ok && is_digit(s.p[i]);
	if (!ok)
		add(a, why, "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
		            "validation is '[0-9]+%')");
}

void port_in_range(struct arena *a, int64_t port, struct str_list *why)
{
	if (port < 1 || port > 65535)
		add(a, why, "must be between 1 and 65535, inclusive");
}

// --- Addresses ---

bool ip_parse(str s, unsigned char bytes[16], bool *v6)
{
	char text[64];
	if (s.n == 0 || s.n >= sizeof(text))
		return false;
	memset(bytes, 0, 16);
	if (str_find_char(s, ':') >= 0) {
		memcpy(text, s.p, s.n);
		text[s.n] = 0;
		if (strlen(text) != s.n || inet_pton(AF_INET6, text, bytes) != 1)
			return false;
		*v6 = true;
		// ::ffff:1.2.3.4 is an IPv4 address to Go, whatever it looks like.
		if (memcmp(bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0) {
			memmove(bytes, bytes + 12, 4);
			memset(bytes + 4, 0, 12);
			*v6 = false;
		}
		return true;
	}
	str rest = s, part;
	size_t n = 0;
	while (str_next(&rest, '.', &part)) {
		uint64_t v;
		if (n == 4 || !str_to_u64(part, &v) || v > 255)
			return false;
		bytes[n++] = (unsigned char)v;
	}
	*v6 = false;
	return n == 4;
}

str ip_text(struct arena *a, const unsigned char bytes[16], bool v6)
{
	char text[64];
	if (!inet_ntop(v6 ? AF_INET6 : AF_INET, bytes, text, sizeof(text)))
		return S("");
	return arena_dup(a, str_c(text));
}

bool cidr_parse(str s, unsigned char bytes[16], bool *v6, int *bits)
{
	str ip, len;
	uint64_t n;
	if (!str_split(s, '/', &ip, &len) || !ip_parse(ip, bytes, v6) || len.n > 3 || !str_to_u64(len, &n))
		return false;
	if (n > (*v6 ? 128 : 32))
		return false;
	*bits = (int)n;
	return true;
}

bool ip_is_canonical(struct arena *a, str s)
{
	unsigned char bytes[16];
	bool v6;
	return ip_parse(s, bytes, &v6) && str_eq(ip_text(a, bytes, v6), s);
}

// --- Text ---

str str_list_join(struct arena *a, const struct str_list *l, const char *sep)
{
	size_t n = 0, each = strlen(sep);
	for (size_t i = 0; i < l->n; i++)
		n += l->v[i].n + each;
	char *to = arena_alloc(a, n + 1), *p = to;
	for (size_t i = 0; i < l->n; i++) {
		if (i) {
			memcpy(p, sep, each);
			p += each;
		}
		if (l->v[i].n)
			memcpy(p, l->v[i].p, l->v[i].n);
		p += l->v[i].n;
	}
	return str_n(to, (size_t)(p - to));
}

bool str_list_has(const struct str_list *l, str s)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->v[i], s))
			return true;
	return false;
}

str go_quote(struct arena *a, str s)
{
	char *to = arena_alloc(a, s.n * 4 + 3), *p = to;
	*p++ = '"';
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		const char *short_form = c == '\n' ? "\\n" : c == '\t' ? "\\t" : c == '\r' ? "\\r" : c == '\a' ? "\\a" : c == '\b' ? "\\b"
		                       : c == '\f' ? "\\f" : c == '\v' ? "\\v" : c == '"' ? "\\\"" : c == '\\' ? "\\\\" : NULL;
		if (short_form) {
			*p++ = short_form[0];
			*p++ = short_form[1];
		} else if (c < 0x20 || c == 0x7f) {
			static const char hex[] = "0123456789abcdef";
			*p++ = '\\', *p++ = 'x', *p++ = hex[c >> 4], *p++ = hex[c & 15];
		} else {
			*p++ = (char)c;
		}
	}
	*p++ = '"';
	return str_n(to, (size_t)(p - to));
}
