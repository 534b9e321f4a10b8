#include "proxy/conntrack.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <time.h>

void conntrack_stale(struct arena *a, const struct rule_objects *had, const struct rule_objects *want, struct udp_flows *out)
{
	for (size_t i = 0; i < had->n; i++) {
		const struct rule_object *x = &had->v[i];
		int64_t port;
		bool still = x->kind != RULE_UDP_ENDPOINT;
		for (size_t k = 0; !still && k < want->n; k++)
			still = want->v[k].kind == RULE_UDP_ENDPOINT && str_eq(want->v[k].key, x->key) && str_eq(want->v[k].body, x->body);
		if (!still && str_to_i64(x->body, &port))
			*LIST_ADD(a, out) = (struct udp_flow){ x->key, (uint16_t)port };
	}
}

struct tuple {
	struct in_addr src;
	uint16_t sport;
	uint8_t protocol;
};

static int read_ip(const struct nlattr *at, void *ctx)
{
	if (mnl_attr_get_type(at) == CTA_IP_V4_SRC && mnl_attr_get_payload_len(at) == 4)
		((struct tuple *)ctx)->src.s_addr = mnl_attr_get_u32(at);
	return MNL_CB_OK;
}

static int read_proto(const struct nlattr *at, void *ctx)
{
	struct tuple *t = ctx;
	if (mnl_attr_get_type(at) == CTA_PROTO_NUM)
		t->protocol = mnl_attr_get_u8(at);
	else if (mnl_attr_get_type(at) == CTA_PROTO_SRC_PORT)
		t->sport = ntohs(mnl_attr_get_u16(at));
	return MNL_CB_OK;
}

static int read_tuple(const struct nlattr *at, void *ctx)
{
	if (mnl_attr_get_type(at) == CTA_TUPLE_IP)
		return mnl_attr_parse_nested(at, read_ip, ctx);
	if (mnl_attr_get_type(at) == CTA_TUPLE_PROTO)
		return mnl_attr_parse_nested(at, read_proto, ctx);
	return MNL_CB_OK;
}

struct dump {
	const struct udp_flows *flows;
	struct arena *arena;
	struct { const struct nlattr **v; size_t n; } doomed; // the original tuples, copied
};

static int read_flow(const struct nlmsghdr *h, void *ctx)
{
	struct dump *d = ctx;
	const struct nlattr *at, *orig = NULL;
	struct tuple reply = { 0 };
	mnl_attr_for_each(at, h, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(at) == CTA_TUPLE_ORIG)
			orig = at;
		else if (mnl_attr_get_type(at) == CTA_TUPLE_REPLY && mnl_attr_parse_nested(at, read_tuple, &reply) < 0)
			return MNL_CB_ERROR;
	}
	if (!orig || reply.protocol != IPPROTO_UDP)
		return MNL_CB_OK;
	for (size_t i = 0; i < d->flows->n; i++) {
		struct in_addr address;
		if (reply.sport != d->flows->v[i].port || inet_pton(AF_INET, arena_cstr(d->arena, d->flows->v[i].address), &address) != 1 ||
		    address.s_addr != reply.src.s_addr)
			continue;
		struct nlattr *copy = arena_alloc(d->arena, mnl_attr_get_len(orig));
		memcpy(copy, orig, mnl_attr_get_len(orig));
		*LIST_ADD(d->arena, &d->doomed) = copy;
		break;
	}
	return MNL_CB_OK;
}

static struct nlmsghdr *request(char *buf, int type, int flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	h->nlmsg_type = (uint16_t)((NFNL_SUBSYS_CTNETLINK << 8) | type);
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	h->nlmsg_seq = (uint32_t)time(NULL);
	struct nfgenmsg *g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	*g = (struct nfgenmsg){ .nfgen_family = AF_INET, .version = NFNETLINK_V0 };
	return h;
}

static bool exchange(struct mnl_socket *s, const struct nlmsghdr *h, mnl_cb_t cb, void *ctx)
{
	char buf[65536];
	if (mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
		return false;
	for (;;) {
		ssize_t n = mnl_socket_recvfrom(s, buf, sizeof(buf));
		if (n < 0)
			return false;
		int r = mnl_cb_run(buf, (size_t)n, h->nlmsg_seq, mnl_socket_get_portid(s), cb, ctx);
		if (r <= MNL_CB_STOP)
			return r == MNL_CB_STOP;
	}
}

static void close_socket(struct mnl_socket **s)
{
	if (*s)
		mnl_socket_close(*s);
}

bool conntrack_forget(const struct udp_flows *flows, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	__attribute__((cleanup(close_socket))) struct mnl_socket *s = mnl_socket_open(NETLINK_NETFILTER);
	_Alignas(8) char buf[8192];
	struct dump d = { .flows = flows, .arena = a };
	if (!s || mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0)
		return error_errno(err, "netlink");
	if (!exchange(s, request(buf, IPCTNL_MSG_CT_GET, NLM_F_DUMP), read_flow, &d))
		return error_errno(err, "list flows");
	for (size_t i = 0; i < d.doomed.n; i++) {
		struct nlmsghdr *h = request(buf, IPCTNL_MSG_CT_DELETE, NLM_F_ACK);
		const struct nlattr *at = d.doomed.v[i];
		if (!mnl_attr_put_check(h, sizeof(buf), mnl_attr_get_type(at) | NLA_F_NESTED, mnl_attr_get_payload_len(at), mnl_attr_get_payload(at)))
			continue;
		exchange(s, h, NULL, NULL); // one that has ended meanwhile is as good
	}
	return true;
}
