#include "kubelet/dns.h"

#include <fcntl.h>

#include "base/io.h"

#define NAME_MAX_KERNEL 63
#define SEARCHES_MAX 32
#define SERVERS_MAX 3

void pod_host_name(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod, str *name, str *domain)
{
	*domain = S("");
	*name = pod->spec.hostname.n ? pod->spec.hostname : pod->metadata.name;
	if (pod->spec.hostnameOverride && pod->spec.hostnameOverride->n)
		*name = *pod->spec.hostnameOverride;
	if (name->n > NAME_MAX_KERNEL) {
		name->n = NAME_MAX_KERNEL;
		while (name->n && (name->p[name->n - 1] == '-' || name->p[name->n - 1] == '.'))
			name->n--;
	}
	if (pod->spec.subdomain.n && !pod->spec.hostnameOverride)
		*domain = arena_concat(a, pod->spec.subdomain, S("."), pod->metadata.namespace, S(".svc."), str_c(k->cfg.cluster_domain));
}

static void add_unique(struct arena *a, struct str_list *l, str s)
{
	for (size_t i = 0; i < l->n; i++)
		if (str_eq(l->v[i], s))
			return;
	*LIST_ADD(a, l) = s;
}

// The host's own resolver configuration.
static void host_dns(struct kubelet *k, struct arena *a, struct cri_v1_DNSConfig *d)
{
	struct error err = { 0 };
	str text;
	if (!k->cfg.resolv_conf[0] || !io_read_file(a, k->cfg.resolv_conf, 1 << 20, &text, &err))
		return;
	for (str rest = text, line; str_next(&rest, '\n', &line);) {
		struct str_list words = { 0 };
		ptrdiff_t comment = str_find_char(line, '#');
		if (comment >= 0)
			line = str_sub(line, 0, (size_t)comment);
		for (size_t i = 0; i < line.n;) {
			size_t from = i;
			while (i < line.n && line.p[i] != ' ' && line.p[i] != '\t' && line.p[i] != '\r')
				i++;
			if (i > from)
				*LIST_ADD(a, &words) = str_sub(line, from, i);
			i += i == from;
		}
		if (words.n < 2)
			continue;
		if (str_eqc(words.v[0], "nameserver")) {
			*LIST_ADD(a, &d->servers) = words.v[1];
		} else if (str_eqc(words.v[0], "search")) {
			d->searches = (struct str_list){ 0 };
			for (size_t i = 1; i < words.n; i++)
				*LIST_ADD(a, &d->searches) = words.v[i];
		} else if (str_eqc(words.v[0], "options")) {
			for (size_t i = 1; i < words.n; i++)
				*LIST_ADD(a, &d->options) = words.v[i];
		}
	}
}

static void set_option(struct arena *a, struct str_list *l, const struct core_v1_PodDNSConfigOption *o)
{
	str text = o->value && o->value->n ? arena_concat(a, o->name, S(":"), *o->value) : o->name, name, rest;
	for (size_t i = 0; i < l->n; i++) {
		str_split(l->v[i], ':', &name, &rest);
		if (str_eq(name, o->name)) {
			l->v[i] = text;
			return;
		}
	}
	*LIST_ADD(a, l) = text;
}

static bool wants_cluster_dns(const struct core_v1_Pod *pod)
{
	str policy = pod->spec.dnsPolicy;
	return str_eqc(policy, "ClusterFirstWithHostNet") || (!host_network(pod) && !str_eqc(policy, "None") && !str_eqc(policy, "Default"));
}

void dns_warn(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod)
{
	if (wants_cluster_dns(pod) && k->cfg.cluster_dns.n == 0)
		pod_event(k, pod, "Warning", "MissingClusterDNS",
		          "pod: \"" STR_FMT "\". kubelet does not have ClusterDNS IP configured and cannot create Pod using \"ClusterFirst\" policy. "
		          "Falling back to \"Default\" policy.", STR_ARG(pod_text(a, &pod->metadata)));
}

struct cri_v1_DNSConfig *pod_dns(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod)
{
	struct cri_v1_DNSConfig *d = ARENA_NEW(a, struct cri_v1_DNSConfig);
	str policy = pod->spec.dnsPolicy;
	bool cluster = wants_cluster_dns(pod);
	if (!str_eqc(policy, "None"))
		host_dns(k, a, d);
	if (cluster && k->cfg.cluster_dns.n > 0) {
		struct str_list host = d->searches;
		str domain = str_c(k->cfg.cluster_domain);
		*d = (struct cri_v1_DNSConfig){ 0 };
		for (size_t i = 0; i < k->cfg.cluster_dns.n; i++)
			*LIST_ADD(a, &d->servers) = k->cfg.cluster_dns.v[i];
		if (domain.n) {
			add_unique(a, &d->searches, arena_concat(a, pod->metadata.namespace, S(".svc."), domain));
			add_unique(a, &d->searches, arena_concat(a, S("svc."), domain));
			add_unique(a, &d->searches, domain);
		}
		for (size_t i = 0; i < host.n; i++)
			add_unique(a, &d->searches, host.v[i]);
		*LIST_ADD(a, &d->options) = S("ndots:5");
	}
	const struct core_v1_PodDNSConfig *own = pod->spec.dnsConfig;
	for (size_t i = 0; own && i < own->nameservers.n; i++)
		add_unique(a, &d->servers, own->nameservers.v[i]);
	for (size_t i = 0; own && i < own->searches.n; i++)
		add_unique(a, &d->searches, own->searches.v[i]);
	for (size_t i = 0; own && i < own->options.n; i++)
		set_option(a, &d->options, &own->options.v[i]);
	if (d->servers.n > SERVERS_MAX)
		d->servers.n = SERVERS_MAX;
	if (d->searches.n > SEARCHES_MAX)
		d->searches.n = SEARCHES_MAX;
	return d;
}

str hosts_text(struct arena *a, const struct core_v1_Pod *pod, const struct str_list *ips, str name, str domain)
{
	_cleanup_buf_ struct buf b = { 0 };
	struct error err = { 0 };
	str host;
	if (host_network(pod)) {
		buf_add(&b, S("# Kubernetes-managed hosts file (host network).\n"));
		if (io_read_file(a, "/etc/hosts", 1 << 20, &host, &err))
			buf_add(&b, host);
	} else {
		buf_add(&b, S("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
		              "fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"));
		for (size_t i = 0; i < ips->n; i++) {
			buf_printf(&b, STR_FMT "\t", STR_ARG(ips->v[i]));
			if (domain.n)
				buf_printf(&b, STR_FMT "." STR_FMT "\t", STR_ARG(name), STR_ARG(domain));
			buf_printf(&b, STR_FMT "\n", STR_ARG(name));
		}
	}
	if (pod->spec.hostAliases.n)
		buf_add(&b, S("\n# Entries added by HostAliases.\n"));
	for (size_t i = 0; i < pod->spec.hostAliases.n; i++) {
		const struct core_v1_HostAlias *h = &pod->spec.hostAliases.v[i];
		buf_add(&b, h->ip);
		for (size_t n = 0; n < h->hostnames.n; n++)
			buf_printf(&b, "\t" STR_FMT, STR_ARG(h->hostnames.v[n]));
		buf_add_char(&b, '\n');
	}
	return arena_dup(a, buf_str(&b));
}

const char *hosts_file(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod, const struct str_list *ips, struct error *err)
{
	str name, domain;
	char *path = pod_dir(k, a, pod->metadata.uid, "etc-hosts");
	pod_host_name(k, a, pod, &name, &domain);
	// Written in place: containers that run have the file itself mounted, not its name.
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0) {
		error_errno(err, "open %s", path);
		return NULL;
	}
	if (!io_write_all(fd, hosts_text(a, pod, ips, name, domain), err))
		return NULL;
	return path;
}
