#include "main/node.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/io.h"
#include "main/pki.h"

const char *const component_names[C_COUNT] = { "apiserver", "controller-manager", "scheduler", "runtime", "kubelet", "proxy" };

enum component component_of(const char *name)
{
	str s = str_c(name);
	str_cut_prefix(&s, S("kube-"));
	for (int i = 0; i < C_COUNT; i++)
		if (str_eqc(s, component_names[i]))
			return (enum component)i;
	return C_COUNT;
}

// The first address of an interface that is up and no loopback; IPv4 before IPv6.
static const char *first_address(struct arena *a)
{
	struct ifaddrs *all;
	char text[INET6_ADDRSTRLEN];
	const char *found = NULL;
	if (getifaddrs(&all) < 0)
		return "127.0.0.1";
	for (int pass = 0; pass < 2 && !found; pass++) {
		for (struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
			int family = pass == 0 ? AF_INET : AF_INET6;
			if (!i->ifa_addr || i->ifa_addr->sa_family != family || (i->ifa_flags & IFF_LOOPBACK) || !(i->ifa_flags & IFF_UP))
				continue;
			const void *addr = family == AF_INET ? (void *)&((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr
			                                     : (void *)&((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_addr;
			if (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL((const struct in6_addr *)addr))
				continue;
			if (inet_ntop(family, addr, text, sizeof(text)))
				found = arena_cstr(a, str_c(text));
		}
	}
	freeifaddrs(all);
	return found ? found : "127.0.0.1";
}

void node_config_default(struct arena *a, struct node_config *c)
{
	struct utsname u;
	uname(&u);
	char *name = arena_cstr(a, str_c(u.nodename));
	for (char *p = name; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	*c = (struct node_config){
		.data_dir = "/var/lib/coracle",
		.run_dir = "/run/coracle",
		.kubelet_dir = "/var/lib/kubelet",
		.name = name,
		.ip = first_address(a),
		.service_cidr = "10.96.0.0/16",
		.cluster_cidr = "10.244.0.0/16",
		.cluster_domain = "cluster.local",
		.port = 6443,
	};
	for (int i = 0; i < C_COUNT; i++)
		c->run[i] = true;
}

#define P(...) arena_printf(a, __VA_ARGS__).p

// The first address of the service range belongs to the service `kubernetes` (API reference: Service clusterIP allocation).
static const char *first_service_ip(struct arena *a, const char *cidr)
{
	str ip, bits;
	struct in_addr v4;
	str_split(str_c(cidr), '/', &ip, &bits);
	const char *text = arena_cstr(a, ip);
	if (inet_pton(AF_INET, text, &v4) != 1)
		return P("%s1", text); // IPv6: fd00::/112 -> fd00::1
	v4.s_addr = htonl(ntohl(v4.s_addr) + 1);
	char out[INET_ADDRSTRLEN];
	inet_ntop(AF_INET, &v4, out, sizeof(out));
	return P("%s", out);
}

static bool own_dir(const char *path, mode_t mode, uid_t owner, struct error *err)
{
	if (!io_mkdirs(path, 0755, err))
		return false;
	if (chmod(path, mode) < 0 || chown(path, owner, owner) < 0)
		return error_errno(err, "%s", path);
	return true;
}

static bool kubeconfig_for(struct arena *a, const struct pki_authority *ca, const char *path, uid_t owner, const char *server, const char *cn,
                           const char *o, struct error *err)
{
	if (io_exists(path))
		return true;
	str cert, key;
	struct pki_request r = { .common_name = cn, .organization = o, .client = true };
	return pki_issue(ca, a, &r, &cert, &key, err) &&
	       pki_kubeconfig(path, owner, server, pki_authority_pem(ca, a), cert, key, cn, err);
}

static const char *api_url(struct arena *a, const struct node_config *c)
{
	return c->server ? c->server : P("https://127.0.0.1:%d", c->port);
}

bool node_issue_worker(struct arena *a, const char *pki_dir, const struct node_config *w, const char *prefix, struct error *err)
{
	struct pki_authority *ca = pki_authority_open(pki_dir, err);
	if (!ca)
		return false;
	const char *dir = P("%s%s", prefix, w->data_dir), *pki = P("%s/pki", dir), *url = api_url(a, w);
	const char *user = P("system:node:%s", w->name);
	const char *const dns[] = { w->name, NULL }, *const ips[] = { w->ip, "127.0.0.1", NULL };
	struct pki_request serving = { .common_name = user, .organization = "system:nodes", .dns = dns, .ips = ips, .server = true };
	bool ok = io_mkdirs(pki, 0755, err) && pki_issue_files(ca, P("%s/kubelet", pki), 0, &serving, err) &&
	          kubeconfig_for(a, ca, P("%s/kubelet.conf", dir), 0, url, user, "system:nodes", err) &&
	          kubeconfig_for(a, ca, P("%s/proxy.conf", dir), 0, url, "system:kube-proxy", NULL, err) &&
	          (io_exists(P("%s/ca.crt", pki)) || io_write_file(P("%s/ca.crt", pki), pki_authority_pem(ca, a), 0644, err));
	pki_authority_free(ca);
	return ok;
}

static bool prepare_control_plane(struct arena *a, const struct node_config *c, struct error *err)
{
	const char *pki = P("%s/pki", c->data_dir), *url = api_url(a, c);
	struct pki_authority *ca = pki_authority_open(pki, err);
	if (!ca)
		return false;
	const char *const dns[] = { "localhost", c->name, "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		                    P("kubernetes.default.svc.%s", c->cluster_domain), NULL };
	const char *const ips[] = { "127.0.0.1", "::1", c->ip, first_service_ip(a, c->service_cidr), NULL };
	struct pki_request serving = { .common_name = "kube-apiserver", .dns = dns, .ips = ips, .server = true };
	struct pki_request kubelet_client = { .common_name = "kube-apiserver-kubelet-client", .organization = "system:masters", .client = true };
	bool ok = own_dir(P("%s/store", c->data_dir), 0700, UID_APISERVER, err) &&
	          pki_issue_files(ca, P("%s/apiserver", pki), UID_APISERVER, &serving, err) &&
	          pki_issue_files(ca, P("%s/apiserver-kubelet-client", pki), UID_APISERVER, &kubelet_client, err) &&
	          pki_signing_key(P("%s/sa", pki), UID_APISERVER, err) &&
	          pki_authority_key(ca, P("%s/signing.key", pki), UID_CONTROLLER_MANAGER, err) &&
	          kubeconfig_for(a, ca, P("%s/admin.conf", c->data_dir), 0, url, "kubernetes-admin", "system:masters", err) &&
	          kubeconfig_for(a, ca, P("%s/controller-manager.conf", c->data_dir), UID_CONTROLLER_MANAGER, url, "system:kube-controller-manager", "system:masters", err) &&
	          kubeconfig_for(a, ca, P("%s/scheduler.conf", c->data_dir), UID_SCHEDULER, url, "system:kube-scheduler", NULL, err);
	pki_authority_free(ca);
	return ok;
}

// The CNI plugin of type "coracle" is this program by another way.
static bool link_plugin(struct arena *a, const struct node_config *c, struct error *err)
{
	const char *dir = P("%s/cni-bin", c->data_dir), *path = P("%s/coracle", dir);
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n < 0 || !io_mkdirs(dir, 0755, err))
		return error_errno(err, "CNI plugin");
	self[n] = 0;
	unlink(path); // the program may have moved
	return symlink(self, path) == 0 ? true : error_errno(err, "symlink %s", path);
}

bool node_prepare(struct arena *a, const struct node_config *c, struct error *err)
{
	if (!own_dir(c->data_dir, 0755, 0, err) || !own_dir(c->run_dir, 0755, 0, err) || !own_dir(P("%s/pki", c->data_dir), 0755, 0, err) ||
	    !own_dir(P("%s/logs", c->data_dir), 0755, 0, err))
		return false;
	if (c->run[C_APISERVER] && !prepare_control_plane(a, c, err))
		return false;
	if (c->run[C_RUNTIME] && !link_plugin(a, c, err))
		return false;
	if (!c->run[C_KUBELET] && !c->run[C_PROXY])
		return true;
	if (!c->server)
		return node_issue_worker(a, P("%s/pki", c->data_dir), c, "", err);
	const char *const wanted[] = { "kubelet.conf", "proxy.conf", "pki/ca.crt", "pki/kubelet.crt", "pki/kubelet.key" };
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
		if (!io_exists(P("%s/%s", c->data_dir, wanted[i])))
			return error_set(err, "%s/%s is missing: this machine has not joined a cluster (coracle join)", c->data_dir, wanted[i]);
	return true;
}

struct args {
	struct arena *a;
	struct { const char **v; size_t n; } list;
};

static void add(struct args *to, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct args *to, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	*LIST_ADD(to->a, &to->list) = arena_vprintf(to->a, fmt, ap).p;
	va_end(ap);
}

// This program by its name, so that ps shows it.
static void add_self(struct args *to)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self));
	add(to, "%.*s", (int)MAX(n, 0), self);
}

static void apiserver_args(struct args *l, const struct node_config *c)
{
	const char *d = c->data_dir;
	add(l, "--bind-address=0.0.0.0");
	add(l, "--secure-port=%d", c->port);
	add(l, "--advertise-address=%s", c->ip);
	add(l, "--store=lmdb:%s/store", d);
	add(l, "--client-ca-file=%s/pki/ca.crt", d);
	add(l, "--tls-cert-file=%s/pki/apiserver.crt", d);
	add(l, "--tls-private-key-file=%s/pki/apiserver.key", d);
	add(l, "--kubelet-client-certificate=%s/pki/apiserver-kubelet-client.crt", d);
	add(l, "--kubelet-client-key=%s/pki/apiserver-kubelet-client.key", d);
	add(l, "--kubelet-certificate-authority=%s/pki/ca.crt", d);
	add(l, "--service-account-key-file=%s/pki/sa.pub", d);
	add(l, "--service-account-signing-key-file=%s/pki/sa.key", d);
	add(l, "--service-account-issuer=https://kubernetes.default.svc.%s", c->cluster_domain);
	add(l, "--service-cluster-ip-range=%s", c->service_cidr);
	add(l, "--authorization-mode=Node,RBAC");
	add(l, "--allow-privileged=true");
	if (c->token_auth_file)
		add(l, "--token-auth-file=%s", c->token_auth_file);
	for (size_t i = 0; i < c->nlisten_fds; i++)
		add(l, "--listen-fd=%d", c->listen_fds[i]);
}

const char *const *node_import_argv(struct arena *a, const struct node_config *c)
{
	struct args l = { .a = a };
	const char *images = P("%s/images", c->data_dir);
	_cleanup_closedir_ DIR *d = opendir(images);
	struct stat done, st;
	bool before = stat(P("%s/runtime/imported", c->data_dir), &done) == 0;
	add_self(&l);
	add(&l, "runtime");
	add(&l, "--root=%s/runtime", c->data_dir);
	add(&l, "import");
	size_t fixed = l.list.n;
	for (struct dirent *e; d && (e = readdir(d));) {
		const char *path = P("%s/%s", images, e->d_name);
		if (e->d_name[0] != '.' && stat(path, &st) == 0 && (!before || st.st_ctime >= done.st_mtime))
			add(&l, "%s", path);
	}
	bool any = l.list.n > fixed;
	*LIST_ADD(a, &l.list) = NULL;
	return any ? l.list.v : NULL;
}

const char *const *node_component_argv(struct arena *a, const struct node_config *c, enum component which, uid_t *user)
{
	struct args l = { .a = a };
	const char *d = c->data_dir;
	add_self(&l);
	add(&l, "%s", component_names[which]);
	*user = 0;
	switch (which) {
	case C_APISERVER:
		*user = UID_APISERVER;
		apiserver_args(&l, c);
		break;
	case C_CONTROLLER_MANAGER:
		*user = UID_CONTROLLER_MANAGER;
		add(&l, "--kubeconfig=%s/controller-manager.conf", d);
		add(&l, "--root-ca-file=%s/pki/ca.crt", d);
		add(&l, "--cluster-signing-cert-file=%s/pki/ca.crt", d);
		add(&l, "--cluster-signing-key-file=%s/pki/signing.key", d);
		add(&l, "--cluster-cidr=%s", c->cluster_cidr);
		add(&l, "--allocate-node-cidrs=true");
		if (c->node_monitor_grace)
			add(&l, "--node-monitor-grace-period=%s", c->node_monitor_grace);
		break;
	case C_SCHEDULER:
		*user = UID_SCHEDULER;
		add(&l, "--kubeconfig=%s/scheduler.conf", d);
		break;
	case C_RUNTIME:
		add(&l, "--root=%s/runtime", d);
		add(&l, "--state=%s/runtime", c->run_dir);
		add(&l, "--socket=%s/runtime.sock", c->run_dir);
		add(&l, "--cni-bin-dir=%s/cni-bin:/opt/cni/bin:/usr/lib/cni", d);
		if (c->insecure_registry)
			add(&l, "--insecure-registry=%s", c->insecure_registry);
		break;
	case C_KUBELET:
		add(&l, "--kubeconfig=%s/kubelet.conf", d);
		add(&l, "--hostname-override=%s", c->name);
		add(&l, "--node-ip=%s", c->ip);
		add(&l, "--container-runtime-endpoint=unix://%s/runtime.sock", c->run_dir);
		add(&l, "--root-dir=%s", c->kubelet_dir);
		add(&l, "--client-ca-file=%s/pki/ca.crt", d);
		add(&l, "--tls-cert-file=%s/pki/kubelet.crt", d);
		add(&l, "--tls-private-key-file=%s/pki/kubelet.key", d);
		add(&l, "--cluster-domain=%s", c->cluster_domain);
		if (c->node_labels)
			add(&l, "--node-labels=%s", c->node_labels);
		break;
	case C_PROXY:
		add(&l, "--kubeconfig=%s/proxy.conf", d);
		add(&l, "--hostname-override=%s", c->name);
		add(&l, "--cluster-cidr=%s", c->cluster_cidr);
		add(&l, "--service-cidr=%s", c->service_cidr);
		add(&l, "--cni-conf-dir=/etc/cni/net.d");
		break;
	case C_COUNT:
		break;
	}
	*LIST_ADD(a, &l.list) = NULL;
	return l.list.v;
}
