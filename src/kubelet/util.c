#include "kubelet/util.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/io.h"

str file_tail(struct arena *a, const char *path, size_t max)
{
	struct stat st;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return S("");
	off_t from = st.st_size > (off_t)max ? st.st_size - (off_t)max : 0;
	char *p = arena_alloc(a, max);
	ssize_t n = pread(fd, p, max, from);
	return n > 0 ? str_n(p, (size_t)n) : S("");
}

// Length of the well-formed UTF-8 sequence at the beginning, 0: none.
static size_t utf8_len(const unsigned char *p, size_t n)
{
	for (size_t len = 1; len <= 4 && len <= n; len++)
		if (str_utf8_valid(str_n((const char *)p, len)))
			return len;
	return 0;
}

str utf8_clean(struct arena *a, str s)
{
	if (str_utf8_valid(s))
		return s;
	char *out = arena_alloc(a, 3 * s.n);
	size_t n = 0;
	for (size_t i = 0; i < s.n;) {
		size_t len = utf8_len((const unsigned char *)s.p + i, s.n - i);
		memcpy(out + n, len ? s.p + i : "\xef\xbf\xbd", len ? len : 3);
		n += len ? len : 3;
		i += len ? len : 1;
	}
	return str_n(out, n);
}

str names_text(struct arena *a, const struct str_list *l)
{
	str out = S("[");
	for (size_t i = 0; i < l->n; i++)
		out = arena_concat(a, out, i ? S(" ") : S(""), l->v[i]);
	return arena_concat(a, out, S("]"));
}

str quoted(struct arena *a, str s)
{
	_cleanup_buf_ struct buf b = { 0 };
	json_write_string(&b, s, false);
	return arena_dup(a, buf_str(&b));
}

str duration_text(struct arena *a, int64_t ns)
{
	char fraction[32];
	if (ns == 0)
		return S("0s");
	if (ns < NS_PER_SEC) {
		const char *unit = ns < 1000 ? "ns" : ns < 1000000 ? "µs" : "ms";
		double v = ns < 1000 ? (double)ns : ns < 1000000 ? (double)ns / 1e3 : (double)ns / 1e6;
		return arena_printf(a, "%.10g%s", v, unit);
	}
	int64_t h = ns / (3600 * NS_PER_SEC), m = ns / (60 * NS_PER_SEC) % 60, rest = ns % (60 * NS_PER_SEC);
	int64_t f = rest % NS_PER_SEC;
	int len = f ? snprintf(fraction, sizeof(fraction), ".%09lld", (long long)f) : 0;
	while (len > 0 && fraction[len - 1] == '0')
		len--;
	fraction[len] = '\0';
	str seconds = arena_printf(a, "%lld%ss", (long long)(rest / NS_PER_SEC), fraction);
	if (h)
		return arena_printf(a, "%lldh%lldm" STR_FMT, (long long)h, (long long)m, STR_ARG(seconds));
	if (m)
		return arena_printf(a, "%lldm" STR_FMT, (long long)m, STR_ARG(seconds));
	return seconds;
}

str pod_text(struct arena *a, const struct meta_v1_ObjectMeta *m)
{
	return arena_concat(a, m->name, S("_"), m->namespace, S("("), m->uid, S(")"));
}

bool ip_is_v6(str s)
{
	char text[INET6_ADDRSTRLEN + 1];
	struct in6_addr six;
	if (s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(AF_INET6, text, &six) == 1;
}

bool ip_valid(str s)
{
	char text[INET6_ADDRSTRLEN + 1];
	struct in_addr four;
	if (s.n == 0 || s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(AF_INET, text, &four) == 1 || ip_is_v6(s);
}

const struct core_v1_Container *find_container(const struct core_v1_Pod *p, str name)
{
	for (size_t i = 0; i < p->spec.containers.n; i++)
		if (str_eq(p->spec.containers.v[i].name, name))
			return &p->spec.containers.v[i];
	for (size_t i = 0; i < p->spec.initContainers.n; i++)
		if (str_eq(p->spec.initContainers.v[i].name, name))
			return &p->spec.initContainers.v[i];
	return NULL;
}

bool is_init_container(const struct core_v1_Pod *p, str name)
{
	for (size_t i = 0; i < p->spec.initContainers.n; i++)
		if (str_eq(p->spec.initContainers.v[i].name, name))
			return true;
	return false;
}

str container_field_path(struct arena *a, const struct core_v1_Pod *p, str name)
{
	if (str_empty(name))
		return S("");
	return arena_concat(a, is_init_container(p, name) ? S("spec.initContainers{") : S("spec.containers{"), name, S("}"));
}

const struct core_v1_ContainerStatus *find_status(const struct core_v1_ContainerStatus_list *l, str name)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->v[i].name, name))
			return &l->v[i];
	return NULL;
}

int container_port(const struct core_v1_Container *c, struct int_or_string port)
{
	int64_t n;
	if (!port.is_string)
		return port.i > 0 && port.i < 65536 ? port.i : -1;
	for (size_t i = 0; i < c->ports.n; i++)
		if (str_eq(c->ports.v[i].name, port.s))
			return c->ports.v[i].containerPort;
	return str_to_i64(port.s, &n) && n > 0 && n < 65536 ? (int)n : -1;
}
