#include "cni/ipam.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "base/io.h"

static bool bad(struct error *err, const char *what, str text)
{
	return error_set(err, "ipam: invalid %s \"" STR_FMT "\"", what, STR_ARG(text));
}

static bool parse_range(const struct value *v, struct ipam_range *r, struct error *err)
{
	str subnet = value_get_str(v, S("subnet")), first = value_get_str(v, S("rangeStart")), last = value_get_str(v, S("rangeEnd")),
	    gateway = value_get_str(v, S("gateway"));
	if (!ip_net_parse(subnet, &r->subnet))
		return bad(err, "subnet", subnet);
	if (r->subnet.len > ip_bits(&r->subnet.ip) - 2)
		return error_set(err, "ipam: subnet " STR_FMT " is too small", STR_ARG(subnet));
	// The first address names the network, the last of IPv4 is the broadcast; the gateway is the first host.
	r->gateway = ip_net_first(&r->subnet);
	ip_next(&r->gateway);
	r->first = r->gateway;
	r->last = ip_net_last(&r->subnet);
	if (r->subnet.ip.family == AF_INET)
		ip_prev(&r->last);
	if (gateway.n && (!ip_read(gateway, &r->gateway) || !ip_net_has(&r->subnet, &r->gateway)))
		return bad(err, "gateway", gateway);
	if (first.n && (!ip_read(first, &r->first) || !ip_net_has(&r->subnet, &r->first)))
		return bad(err, "rangeStart", first);
	if (last.n && (!ip_read(last, &r->last) || !ip_net_has(&r->subnet, &r->last)))
		return bad(err, "rangeEnd", last);
	if (ip_cmp(&r->first, &r->last) > 0)
		return error_set(err, "ipam: range of " STR_FMT " ends before it begins", STR_ARG(subnet));
	return true;
}

bool ipam_parse(struct arena *a, const struct value *conf, str network, struct ipam *out, struct error *err)
{
	*out = (struct ipam){ 0 };
	str type = value_get_str(conf, S("type"));
	if (type.n && !str_eqc(type, "coracle") && !str_eqc(type, "host-local"))
		return error_set(err, "ipam: type \"" STR_FMT "\" is not supported", STR_ARG(type));
	str dir = value_get_str(conf, S("dataDir"));
	out->dir = arena_concat(a, dir.n ? dir : S("/var/lib/coracle/cni"), S("/"), network);
	const struct value *ranges = value_get(conf, S("ranges"));
	if (value_is(ranges, V_ARRAY)) {
		if (ranges->a.n > 8)
			return error_set(err, "ipam: too many ranges");
		for (size_t i = 0; i < ranges->a.n; i++) {
			const struct value *set = ranges->a.v[i];
			if (!value_is(set, V_ARRAY) || set->a.n == 0 || set->a.n > 64)
				return error_set(err, "ipam: ranges must be a list of lists");
			struct ipam_set *s = LIST_ADD(a, &out->sets);
			for (size_t k = 0; k < set->a.n; k++)
				if (!parse_range(set->a.v[k], LIST_ADD(a, s), err))
					return false;
		}
	} else if (value_get_str(conf, S("subnet")).n) {
		struct ipam_set *s = LIST_ADD(a, &out->sets);
		return parse_range(conf, LIST_ADD(a, s), err);
	}
	return out->sets.n > 0 || error_set(err, "ipam: no ranges");
}

int ipam_lock(struct arena *a, const struct ipam *m, struct error *err)
{
	const char *path = arena_printf(a, STR_FMT "/lock", STR_ARG(m->dir)).p;
	if (!io_mkdirs(arena_cstr(a, m->dir), 0755, err))
		return -1;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		error_errno(err, "open %s", path);
		return -1;
	}
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR) {
			error_errno(err, "lock %s", path);
			close(fd);
			return -1;
		}
	return fd;
}

struct held {
	str file;
	struct ip ip;
	str container, ifname;
};
struct helds { struct held *v; size_t n; };

static bool read_all(struct arena *a, const struct ipam *m, struct helds *out, struct error *err)
{
	const char *dir = arena_cstr(a, m->dir);
	_cleanup_closedir_ DIR *d = opendir(dir);
	if (!d)
		return errno == ENOENT || error_errno(err, "%s", dir);
	for (struct dirent *e; (e = readdir(d));) {
		struct held h = { 0 };
		str text;
		struct error gone = { 0 };
		if (!ip_read(str_c(e->d_name), &h.ip) || !io_read_file(a, arena_printf(a, "%s/%s", dir, e->d_name).p, 4096, &text, &gone))
			continue;
		h.file = arena_dup(a, str_c(e->d_name));
		str_split(text, '\n', &h.container, &h.ifname);
		h.container = str_trim(h.container);
		h.ifname = str_trim(h.ifname);
		*LIST_ADD(a, out) = h;
	}
	return true;
}

static bool in_use(const struct helds *l, const struct ip *i)
{
	for (size_t k = 0; k < l->n; k++)
		if (ip_eq(&l->v[k].ip, i))
			return true;
	return false;
}

static bool range_has(const struct ipam_range *r, const struct ip *i)
{
	return i->family == r->first.family && ip_cmp(i, &r->first) >= 0 && ip_cmp(i, &r->last) <= 0;
}

// The next free address behind the last one given out, round and round: an address rests as long as it can, so that
// packets for a pod that is gone do not reach a new one.
static bool next_free(struct arena *a, const struct ipam *m, size_t set, const struct helds *used, struct ipam_address *out, struct error *err)
{
	const struct ipam_set *s = &m->sets.v[set];
	if (s->n == 0)
		return error_set(err, "ipam: range set %zu is empty", set);
	const char *file = arena_printf(a, STR_FMT "/last.%zu", STR_ARG(m->dir), set).p;
	str text;
	struct ip last;
	struct error none = { 0 };
	size_t at = 0;
	struct ip ip = s->v[0].first;
	if (io_read_file(a, file, 256, &text, &none) && ip_read(str_trim(text), &last))
		for (size_t k = 0; k < s->n; k++)
			if (range_has(&s->v[k], &last)) {
				at = k;
				ip = last;
				if (ip_eq(&ip, &s->v[k].last)) {
					at = (k + 1) % s->n;
					ip = s->v[at].first;
				} else {
					ip_next(&ip);
				}
			}
	// used->n + 1 gateways per range are the most that can be in the way.
	for (size_t tries = 0; tries <= used->n + 2 * s->n + 1; tries++) {
		const struct ipam_range *r = &s->v[at];
		if (!ip_eq(&ip, &r->gateway) && !in_use(used, &ip)) {
			*out = (struct ipam_address){ { ip, r->subnet.len }, r->gateway };
			return io_write_file(file, ip_write(a, &ip), 0600, err);
		}
		if (ip_eq(&ip, &r->last)) {
			at = (at + 1) % s->n;
			ip = s->v[at].first;
		} else {
			ip_next(&ip);
		}
	}
	return error_api(err, 503, "ServiceUnavailable", "no IP addresses available in range set %zu", set);
}

bool ipam_take(struct arena *a, const struct ipam *m, str container, str ifname, struct ipam_address **out, size_t *n, struct error *err)
{
	struct helds used = { 0 };
	if (!read_all(a, m, &used, err))
		return false;
	struct ipam_address *got = ARENA_ARRAY(a, struct ipam_address, m->sets.n);
	for (size_t i = 0; i < m->sets.n; i++) {
		bool found = false;
		for (size_t k = 0; k < used.n && !found; k++)
			for (size_t r = 0; r < m->sets.v[i].n && !found; r++) {
				const struct ipam_range *range = &m->sets.v[i].v[r];
				if (str_eq(used.v[k].container, container) && str_eq(used.v[k].ifname, ifname) && ip_net_has(&range->subnet, &used.v[k].ip)) {
					got[i] = (struct ipam_address){ { used.v[k].ip, range->subnet.len }, range->gateway };
					found = true;
				}
			}
		if (found)
			continue;
		if (!next_free(a, m, i, &used, &got[i], err) ||
		    !io_write_file(arena_printf(a, STR_FMT "/" STR_FMT, STR_ARG(m->dir), STR_ARG(ip_write(a, &got[i].ip.ip))).p,
		                   arena_concat(a, container, S("\n"), ifname), 0600, err)) {
			struct error ignored = { 0 };
			ipam_release(a, m, container, ifname, &ignored);
			return false;
		}
	}
	*out = got;
	*n = m->sets.n;
	return true;
}

bool ipam_release(struct arena *a, const struct ipam *m, str container, str ifname, struct error *err)
{
	struct helds used = { 0 };
	if (!read_all(a, m, &used, err))
		return false;
	for (size_t i = 0; i < used.n; i++) {
		if (!str_eq(used.v[i].container, container) || (ifname.n && !str_eq(used.v[i].ifname, ifname)))
			continue;
		const char *path = arena_printf(a, STR_FMT "/" STR_FMT, STR_ARG(m->dir), STR_ARG(used.v[i].file)).p;
		if (unlink(path) < 0 && errno != ENOENT)
			return error_errno(err, "remove %s", path);
	}
	return true;
}

bool ipam_each(struct arena *a, const struct ipam *m, bool (*fn)(str container, str ifname, void *ctx, struct error *err), void *ctx,
               struct error *err)
{
	struct helds used = { 0 };
	if (!read_all(a, m, &used, err))
		return false;
	for (size_t i = 0; i < used.n; i++)
		if (!fn(used.v[i].container, used.v[i].ifname, ctx, err))
			return false;
	return true;
}
