#include "cni/nat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/proc.h"

static str table_name(struct arena *a, const struct nat *n)
{
	char *name = arena_cstr(a, arena_concat(a, S("coracle_cni_"), n->bridge));
	for (char *p = name; *p; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9')))
			*p = '_';
	return str_c(name);
}

static bool run_nft(struct arena *a, str script, struct error *err)
{
	const char *argv[] = { "nft", "-f", "-", NULL };
	struct proc_result r;
	if (!proc_run(a, argv, NULL, script, 1 << 20, 30000, &r, err))
		return false;
	return r.status == 0 || error_set(err, "nft: " STR_FMT, STR_ARG(str_trim(r.err)));
}

struct seen {
	str comment;
	bool found;
};

static int on_table(const struct nlmsghdr *h, void *ctx)
{
	struct seen *s = ctx;
	const struct nlattr *attr;
	mnl_attr_for_each(attr, h, sizeof(struct nfgenmsg))
		if (mnl_attr_get_type(attr) == NFTA_TABLE_USERDATA)
			s->found = str_contains(str_n(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr)), s->comment);
	return MNL_CB_OK;
}

// Whether the kernel has the table with this comment, which names its contents.
static bool table_is(str name, str comment)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!s)
		return false;
	struct seen seen = { .comment = comment };
	char buf[8192];
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	h->nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETTABLE;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	h->nlmsg_seq = 1;
	struct nfgenmsg *g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	g->nfgen_family = NFPROTO_INET;
	char text[128];
	snprintf(text, sizeof(text), STR_FMT, STR_ARG(name));
	mnl_attr_put_strz(h, NFTA_TABLE_NAME, text);
	if (mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) == 0 && mnl_socket_sendto(s, h, h->nlmsg_len) >= 0) {
		ssize_t n;
		while ((n = mnl_socket_recvfrom(s, buf, sizeof(buf))) > 0)
			if (mnl_cb_run(buf, (size_t)n, 1, mnl_socket_get_portid(s), on_table, &seen) <= MNL_CB_STOP)
				break;
	}
	mnl_socket_close(s);
	return seen.found;
}

static bool family_set(struct arena *a, struct buf *b, int family, const struct ip_net *v, size_t n, const struct ip_net *w, size_t m)
{
	size_t count = 0;
	for (size_t i = 0; i < n + m; i++) {
		const struct ip_net *p = i < n ? &v[i] : &w[i - n];
		if (p->ip.family != family)
			continue;
		struct ip_net clean = { ip_net_first(p), p->len };
		buf_add(b, count++ ? S(", ") : S("{ "));
		buf_add(b, ip_net_text(a, &clean));
	}
	if (count)
		buf_add(b, S(" }"));
	return count > 0;
}

static void write_rules(struct arena *a, const struct nat *n, struct buf *b)
{
	static const struct { int family; const char *ip, *type; } families[] = { { AF_INET, "ip", "ipv4_addr" }, { AF_INET6, "ip6", "ipv6_addr" } };
	struct buf post = { 0 }, ports = { 0 };
	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		const char *ip = families[f].ip, *type = families[f].type;
		struct buf own = { 0 }, inside = { 0 };
		if (family_set(a, &own, families[f].family, n->subnets, n->nsubnets, NULL, 0)) {
			family_set(a, &inside, families[f].family, n->cluster, n->ncluster, n->ncluster ? NULL : n->subnets, n->ncluster ? 0 : n->nsubnets);
			buf_printf(b, "\tmap hostport_%s { type inet_proto . inet_service : %s . inet_service; }\n", ip, type);
			buf_printf(b, "\tmap hostport_addr_%s { type %s . inet_proto . inet_service : %s . inet_service; }\n", ip, type, type);
			// Sources that must not see their own address as the peer: a pod that comes back to itself through a host port.
			buf_printf(b, "\tset hairpin_%s { type %s . %s; }\n", ip, type, type);
			buf_printf(&ports, "\t\tmeta nfproto %s dnat %s to %s daddr . meta l4proto . th dport map @hostport_addr_%s\n",
			           families[f].family == AF_INET ? "ipv4" : "ipv6", ip, ip, ip);
			buf_printf(&ports, "\t\tmeta nfproto %s dnat %s to meta l4proto . th dport map @hostport_%s\n",
			           families[f].family == AF_INET ? "ipv4" : "ipv6", ip, ip);
			buf_printf(&post, "\t\tct status dnat %s saddr . %s daddr @hairpin_%s masquerade\n", ip, ip, ip);
			if (families[f].family == AF_INET)
				buf_printf(&post, "\t\tct status dnat ip saddr 127.0.0.0/8 ip daddr " STR_FMT " masquerade\n", STR_ARG(buf_str(&own)));
			if (n->masquerade)
				buf_printf(&post, "\t\t%s saddr " STR_FMT " %s daddr != " STR_FMT " %s daddr != %s fib daddr type != local masquerade\n", ip,
				           STR_ARG(buf_str(&own)), ip, STR_ARG(buf_str(inside.n ? &inside : &own)), ip,
				           families[f].family == AF_INET ? "224.0.0.0/4" : "ff00::/8");
		}
		buf_free(&own);
		buf_free(&inside);
	}
	buf_printf(b, "\tchain hostports {\n" STR_FMT "\t}\n", STR_ARG(buf_str(&ports)));
	buf_add(b, S("\tchain prerouting {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n\t\tfib daddr type local jump hostports\n\t}\n"
	             "\tchain output {\n\t\ttype nat hook output priority -100; policy accept;\n\t\tfib daddr type local jump hostports\n\t}\n"));
	buf_printf(b, "\tchain postrouting {\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n" STR_FMT "\t}\n", STR_ARG(buf_str(&post)));
	buf_free(&post);
	buf_free(&ports);
}

static const char *ports_file(struct arena *a, const struct nat *n, str container, str ifname)
{
	return arena_printf(a, STR_FMT "/ports/" STR_FMT "-" STR_FMT, STR_ARG(n->dir), STR_ARG(container), STR_ARG(ifname)).p;
}

// One line per element, as nft reads it: "NAME ELEMENT" or "NAME KEY : VALUE".
static void element(struct buf *b, const char *verb, str table, str line)
{
	str name, rest;
	str_split(line, ' ', &name, &rest);
	if (strcmp(verb, "delete") == 0)
		str_split(rest, ':', &rest, &(str){ 0 });
	buf_printf(b, "%s element inet " STR_FMT " " STR_FMT " { " STR_FMT " }\n", verb, STR_ARG(table), STR_ARG(name), STR_ARG(rest));
}

static void add_remembered(struct arena *a, const struct nat *n, str table, struct buf *b)
{
	const char *dir = arena_printf(a, STR_FMT "/ports", STR_ARG(n->dir)).p;
	_cleanup_closedir_ DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		str text;
		struct error ignored = { 0 };
		if (e->d_name[0] == '.' || !io_read_file(a, arena_printf(a, "%s/%s", dir, e->d_name).p, 1 << 20, &text, &ignored))
			continue;
		for (str rest = text, line; str_next(&rest, '\n', &line);)
			if (line.n)
				element(b, "add", table, line);
	}
}

bool nat_ensure(struct arena *a, const struct nat *n, struct error *err)
{
	str table = table_name(a, n);
	_cleanup_buf_ struct buf rules = { 0 }, script = { 0 };
	write_rules(a, n, &rules);
	str comment = arena_printf(a, "%016" PRIx64, str_hash(buf_str(&rules)));
	if (table_is(table, comment))
		return true;
	// One transaction: never a moment without rules.
	buf_printf(&script, "table inet " STR_FMT "\ndelete table inet " STR_FMT "\ntable inet " STR_FMT " {\n\tcomment \"" STR_FMT "\"\n" STR_FMT "}\n",
	           STR_ARG(table), STR_ARG(table), STR_ARG(table), STR_ARG(comment), STR_ARG(buf_str(&rules)));
	add_remembered(a, n, table, &script);
	return run_nft(a, buf_str(&script), err);
}

bool nat_ports_add(struct arena *a, const struct nat *n, str container, str ifname, const struct port_mapping *ports, size_t nports,
                   const struct ip_net *ips, size_t nips, struct error *err)
{
	_cleanup_buf_ struct buf lines = { 0 }, script = { 0 };
	for (size_t k = 0; k < nips; k++) {
		const char *ip = ips[k].ip.family == AF_INET ? "ip" : "ip6";
		str addr = ip_write(a, &ips[k].ip);
		for (size_t i = 0; i < nports; i++) {
			const struct port_mapping *p = &ports[i];
			if (p->host_ip.family && p->host_ip.family != ips[k].ip.family)
				continue;
			if (p->host_ip.family)
				buf_printf(&lines, "hostport_addr_%s " STR_FMT " . " STR_FMT " . %d : " STR_FMT " . %d\n", ip, STR_ARG(ip_write(a, &p->host_ip)),
				           STR_ARG(p->protocol), p->host_port, STR_ARG(addr), p->container_port);
			else
				buf_printf(&lines, "hostport_%s " STR_FMT " . %d : " STR_FMT " . %d\n", ip, STR_ARG(p->protocol), p->host_port, STR_ARG(addr), p->container_port);
		}
		if (lines.n)
			buf_printf(&lines, "hairpin_%s " STR_FMT " . " STR_FMT "\n", ip, STR_ARG(addr), STR_ARG(addr));
	}
	if (lines.n == 0)
		return true;
	if (!io_mkdirs(arena_printf(a, STR_FMT "/ports", STR_ARG(n->dir)).p, 0700, err))
		return false;
	str table = table_name(a, n);
	for (str rest = buf_str(&lines), line; str_next(&rest, '\n', &line);)
		if (line.n)
			element(&script, "add", table, line);
	// The file first: what is in the table must be known to a later delete.
	const char *file = ports_file(a, n, container, ifname);
	if (!io_write_file(file, buf_str(&lines), 0600, err))
		return false;
	if (run_nft(a, buf_str(&script), err))
		return true;
	unlink(file);
	return error_wrap(err, "host ports");
}

bool nat_ports_del(struct arena *a, const struct nat *n, str container, str ifname, struct error *err)
{
	const char *file = ports_file(a, n, container, ifname);
	if (!io_exists(file))
		return true;
	str text;
	if (!io_read_file(a, file, 1 << 20, &text, err))
		return false;
	str table = table_name(a, n);
	struct buf all = { 0 };
	for (str rest = text, line; str_next(&rest, '\n', &line);)
		if (line.n)
			element(&all, "delete", table, line);
	struct error first = { 0 };
	bool ok = run_nft(a, buf_str(&all), &first);
	buf_free(&all);
	// An element may be gone already (a table that was made anew): then each on its own, and what is not there is fine.
	for (str rest = text, line; !ok && str_next(&rest, '\n', &line);) {
		struct buf one = { 0 };
		struct error ignored = { 0 };
		if (line.n) {
			element(&one, "delete", table, line);
			run_nft(a, buf_str(&one), &ignored);
		}
		buf_free(&one);
	}
	return unlink(file) == 0 || errno == ENOENT || error_errno(err, "remove %s", file);
}
