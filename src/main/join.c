// `coracle token` and `coracle join`: how another machine becomes a node.
//
// A token is a bootstrap token (API reference: Secret type bootstrap.kubernetes.io/token), valid for a day. It lets its holder ask
// for one thing: a node's client certificate, by a CertificateSigningRequest that the controller manager approves and signs. With
// that the node asks for its serving certificate. The authority is fetched from the cluster and checked against the pin that
// the token's maker printed (kubeadm's discovery-token-ca-cert-hash).

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/io.h"
#include "base/random.h"
#include "client/client.h"
#include "json/yaml.h"
#include "main/node.h"
#include "main/pki.h"
#include "schema_gen.h"

enum { TOKEN_HOURS = 24, SIGNED_MS = 60000, CA_LIMIT = 1 << 20 };

static int complain(const struct error *err)
{
	fprintf(stderr, "error: %s\n", err->text);
	return 1;
}

// --- token ------------------------------------------------------------------------------------------------------------------------

// What the holders of tokens, and nodes, must be allowed to do besides the bootstrap roles. As kubeadm names them.
static const char RBAC[] =
	"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: 'kubeadm:kubelet-bootstrap'}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: 'system:node-bootstrapper'}, subjects: [{kind: Group, apiGroup: rbac.authorization.k8s.io, name: 'system:bootstrappers'}]}\n---\n"
	"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: 'kubeadm:node-autoapprove-bootstrap'}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: 'system:certificates.k8s.io:certificatesigningrequests:nodeclient'}, subjects: [{kind: Group, apiGroup: rbac.authorization.k8s.io, name: 'system:bootstrappers'}]}\n---\n"
	"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: 'kubeadm:node-autoapprove-certificate-rotation'}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: 'system:certificates.k8s.io:certificatesigningrequests:selfnodeclient'}, subjects: [{kind: Group, apiGroup: rbac.authorization.k8s.io, name: 'system:nodes'}]}\n---\n"
	"{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: 'kubeadm:node-proxier'}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: 'system:node-proxier'}, subjects: [{kind: Group, apiGroup: rbac.authorization.k8s.io, name: 'system:nodes'}]}\n---\n"
	"{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: 'kubeadm:bootstrap-signer-clusterinfo', namespace: kube-public}, rules: [{apiGroups: [''], resources: [configmaps], resourceNames: [cluster-info], verbs: [get]}]}\n---\n"
	"{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: 'kubeadm:bootstrap-signer-clusterinfo', namespace: kube-public}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: 'kubeadm:bootstrap-signer-clusterinfo'}, subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: 'system:anonymous'}]}\n";

static bool create(struct client *c, struct arena *a, str path, str body, struct error *err)
{
	return client_raw(c, a, "POST", path, S("application/json"), body, err) || error_is(err, "AlreadyExists");
}

static bool make_rbac(struct client *c, struct arena *a, struct error *err)
{
	struct value **docs;
	size_t n;
	if (!yaml_parse_all(a, str_c(RBAC), NULL, &docs, &n, err))
		return false;
	for (size_t i = 0; i < n; i++) {
		str kind = value_get_str(docs[i], S("kind")), ns = value_get_str(value_get(docs[i], S("metadata")), S("namespace"));
		const struct resource_desc *r = schema_resource_of_kind(S("rbac.authorization.k8s.io"), S("v1"), kind);
		str path = arena_printf(a, "/apis/rbac.authorization.k8s.io/v1/%s" STR_FMT "%s" STR_FMT, ns.n ? "namespaces/" : "", STR_ARG(ns), ns.n ? "/" : "",
		                        STR_ARG(schema_text(r->resource)));
		if (!create(c, a, path, json_text(a, docs[i], JSON_COMPACT), err))
			return false;
	}
	return true;
}

static bool make_cluster_info(struct client *c, struct arena *a, str ca_pem, struct error *err)
{
	struct value *v = value_object(a), *m = value_object(a), *data = value_object(a);
	str config = arena_printf(a, "apiVersion: v1\nkind: Config\nclusters:\n- name: \"\"\n  cluster:\n    certificate-authority-data: " STR_FMT "\n", STR_ARG(base64_encode(a, ca_pem)));
	value_set(a, m, S("name"), value_string(a, S("cluster-info")));
	value_set(a, v, S("metadata"), m);
	value_set(a, data, S("kubeconfig"), value_string(a, config));
	value_set(a, v, S("data"), data);
	return create(c, a, S("/api/v1/namespaces/kube-public/configmaps"), json_text(a, v, JSON_COMPACT), err);
}

static str random_text(struct arena *a, size_t n)
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	char *p = arena_alloc(a, n + 1);
	for (size_t i = 0; i < n; i++)
		p[i] = alphabet[rng_below(NULL, sizeof(alphabet) - 1)];
	return str_n(p, n);
}

int token_main(int argc, char **argv)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct node_config config;
	node_config_default(a, &config);
	static const struct option options[] = { { "data-dir", required_argument, NULL, 'd' }, { 0 } };
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o != 'd') {
			fputs("usage: coracle token create [--data-dir DIR]\n", stderr);
			return 2;
		}
		config.data_dir = optarg;
	}
	if (optind + 1 != argc || strcmp(argv[optind], "create") != 0) {
		fputs("usage: coracle token create [--data-dir DIR]\nPrints the command with which another machine joins; it is good for a day.\n", stderr);
		return 2;
	}
	str ca;
	const char *admin = arena_printf(a, "%s/admin.conf", config.data_dir).p;
	struct client *c = client_from_kubeconfig(admin, "coracle-token", NULL, NULL, &err);
	if (!c || !io_read_file(a, arena_printf(a, "%s/pki/ca.crt", config.data_dir).p, CA_LIMIT, &ca, &err))
		return complain(&err);
	str id = random_text(a, 6), secret = random_text(a, 16);
	str expires = time_format(a, clock_wall(NULL) / NS_PER_SEC + TOKEN_HOURS * 3600, 0, 0);
	str body = arena_printf(a,
	                        "{\"metadata\":{\"name\":\"bootstrap-token-" STR_FMT "\"},\"type\":\"bootstrap.kubernetes.io/token\",\"stringData\":{\"token-id\":\"" STR_FMT
	                        "\",\"token-secret\":\"" STR_FMT "\",\"expiration\":\"" STR_FMT "\",\"usage-bootstrap-authentication\":\"true\",\"description\":\"coracle token create\"}}",
	                        STR_ARG(id), STR_ARG(id), STR_ARG(secret), STR_ARG(expires));
	if (!make_rbac(c, a, &err) || !make_cluster_info(c, a, ca, &err) ||
	    !client_raw(c, a, "POST", S("/api/v1/namespaces/kube-system/secrets"), S("application/json"), body, &err))
		return complain(&err);
	struct pki_authority *authority = pki_authority_open(arena_printf(a, "%s/pki", config.data_dir).p, &err);
	if (!authority)
		return complain(&err);
	printf("coracle join https://%s:%d --token " STR_FMT "." STR_FMT " --ca-cert-hash " STR_FMT "\n", config.ip, config.port, STR_ARG(id), STR_ARG(secret),
	       STR_ARG(pki_authority_hash(authority, a)));
	pki_authority_free(authority);
	client_free(c);
	return 0;
}

// --- join ---------------------------------------------------------------------------------------------------------------------------

// The authority that the server presents in kube-public, if it is the pinned one. The connection is not trusted yet: what comes over it
// counts only because the pin says so.
static bool fetch_authority(struct arena *a, const char *server, const char *pin, str *pem, struct error *err)
{
	struct tls_context *tls = tls_client_new(&(struct tls_client_opts){ .insecure = true }, err);
	struct http_client *http = tls ? http_client_new(&(struct http_client_opts){ .base_url = str_c(server), .tls = tls, .user_agent = S("coracle-join") }, err) : NULL;
	struct http_answer answer;
	bool ok = http && http_client_do(http, a, &(struct http_call){ .method = "GET", .path = S("/api/v1/namespaces/kube-public/configmaps/cluster-info") }, &answer, err);
	if (ok && answer.status != 200)
		ok = error_set(err, "%s has no public cluster-info (status %d): make a token there first", server, answer.status);
	struct value *v = ok ? json_parse(a, answer.body, NULL, err) : NULL;
	struct value *config = v ? yaml_parse(a, value_get_str(value_get(v, S("data")), S("kubeconfig")), NULL, err) : NULL;
	struct value *clusters = value_get(config, S("clusters"));
	struct value *cluster = value_is(clusters, V_ARRAY) && clusters->a.n ? value_get(clusters->a.v[0], S("cluster")) : NULL;
	if (v && config && !base64_decode(a, value_get_str(cluster, S("certificate-authority-data")), pem))
		ok = error_set(err, "cluster-info holds no certificate authority");
	ok = ok && v && config;
	if (ok && !pki_pin_matches(*pem, str_c(pin)))
		ok = error_set(err, "the cluster's certificate authority is not %s: this is not the cluster that the token is for", pin);
	http_client_free(http);
	tls_unref(tls);
	return ok;
}

static bool write_config(const char *path, const char *server, str ca, str user, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	_cleanup_buf_ struct buf b = { 0 };
	buf_printf(&b,
	           "apiVersion: v1\nkind: Config\nclusters:\n- name: coracle\n  cluster:\n    server: %s\n    certificate-authority-data: " STR_FMT
	           "\nusers:\n- name: node\n  user:\n" STR_FMT "contexts:\n- name: node\n  context:\n    cluster: coracle\n    user: node\ncurrent-context: node\n",
	           server, STR_ARG(base64_encode(a, ca)), STR_ARG(user));
	return io_write_file(path, buf_str(&b), 0600, err);
}

// Asks for a certificate and waits until it is signed.
static bool request_certificate(struct client *c, struct arena *a, const char *signer, const char *usage, const struct pki_request *r, str *cert, str *key, struct error *err)
{
	const struct resource_desc *res = schema_resource(S("certificates.k8s.io"), S("v1"), S("certificatesigningrequests"));
	str csr, usages[2] = { S("digital signature"), str_c(usage) };
	if (!pki_csr(a, r, &csr, key, err))
		return false;
	struct certificates_v1_CertificateSigningRequest q = { .metadata = { .generateName = S("node-csr-") },
		.spec = { .request = csr, .signerName = str_c(signer), .usages = { usages, 2 } } };
	const struct certificates_v1_CertificateSigningRequest *have = client_create(c, a, res, S(""), &q, err);
	int64_t until = clock_mono(NULL) + SIGNED_MS * NS_PER_MS;
	while (have && have->status.certificate.n == 0) {
		for (size_t i = 0; i < have->status.conditions.n; i++)
			if (str_eqc(have->status.conditions.v[i].type, "Denied") || str_eqc(have->status.conditions.v[i].type, "Failed"))
				return error_set(err, "the certificate was refused: " STR_FMT, STR_ARG(have->status.conditions.v[i].message));
		if (clock_mono(NULL) > until)
			return error_set(err, "request " STR_FMT " was not approved and signed within %d s", STR_ARG(have->metadata.name), SIGNED_MS / 1000);
		clock_sleep(NULL, 100 * NS_PER_MS);
		have = client_get(c, a, res, S(""), have->metadata.name, err);
	}
	if (!have)
		return error_wrap(err, "ask for a certificate");
	*cert = have->status.certificate;
	return true;
}

static str certificate_user(struct arena *a, str cert, str key)
{
	return arena_printf(a, "    client-certificate-data: " STR_FMT "\n    client-key-data: " STR_FMT "\n", STR_ARG(base64_encode(a, cert)), STR_ARG(base64_encode(a, key)));
}

static bool join(struct arena *a, const struct node_config *n, const char *token, const char *pin, struct error *err)
{
	str ca, cert, key, serving, serving_key;
	const char *pki = arena_printf(a, "%s/pki", n->data_dir).p, *first = arena_printf(a, "%s/bootstrap.conf", n->data_dir).p;
	const char *kubelet = arena_printf(a, "%s/kubelet.conf", n->data_dir).p, *proxy = arena_printf(a, "%s/proxy.conf", n->data_dir).p;
	const char *user = arena_printf(a, "system:node:%s", n->name).p;
	if (!io_mkdirs(pki, 0755, err) || !fetch_authority(a, n->server, pin, &ca, err) ||
	    !write_config(first, n->server, ca, arena_printf(a, "    token: %s\n", token), err))
		return false;
	struct client *c = client_from_kubeconfig(first, "coracle-join", NULL, NULL, err);
	bool ok = c && request_certificate(c, a, "kubernetes.io/kube-apiserver-client-kubelet", "client auth",
	                                   &(struct pki_request){ .common_name = user, .organization = "system:nodes" }, &cert, &key, err);
	client_free(c);
	unlink(first);
	if (!ok || !write_config(kubelet, n->server, ca, certificate_user(a, cert, key), err) || !write_config(proxy, n->server, ca, certificate_user(a, cert, key), err))
		return false;
	const char *const dns[] = { n->name, NULL }, *const ips[] = { n->ip, "127.0.0.1", NULL };
	c = client_from_kubeconfig(kubelet, "coracle-join", NULL, NULL, err);
	ok = c && request_certificate(c, a, "kubernetes.io/kubelet-serving", "server auth",
	                              &(struct pki_request){ .common_name = user, .organization = "system:nodes", .dns = dns, .ips = ips }, &serving, &serving_key, err);
	client_free(c);
	return ok && io_write_file(arena_printf(a, "%s/ca.crt", pki).p, ca, 0644, err) && io_write_file(arena_printf(a, "%s/kubelet.crt", pki).p, serving, 0644, err) &&
	       io_write_file(arena_printf(a, "%s/kubelet.key", pki).p, serving_key, 0600, err);
}

static const char USAGE[] =
	"usage: coracle join https://HOST:PORT --token TOKEN --ca-cert-hash sha256:HASH [--node-name NAME] [--node-ip IP] [--foreground]\n"
	"Makes this machine a node of the cluster; `coracle token create` on the control node prints the command.\n";

int join_main(int argc, char **argv)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct node_config n;
	const char *token = NULL, *pin = NULL;
	bool foreground = false;
	node_config_default(a, &n);
	enum { O_TOKEN = 256, O_PIN, O_NAME, O_IP, O_FOREGROUND };
	static const struct option options[] = {
		{ "token", required_argument, NULL, O_TOKEN },     { "ca-cert-hash", required_argument, NULL, O_PIN },
		{ "node-name", required_argument, NULL, O_NAME },  { "node-ip", required_argument, NULL, O_IP },
		{ "foreground", no_argument, NULL, O_FOREGROUND }, { 0 },
	};
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case O_TOKEN: token = optarg; break;
		case O_PIN: pin = optarg; break;
		case O_NAME: n.name = optarg; break;
		case O_IP: n.ip = optarg; break;
		case O_FOREGROUND: foreground = true; break;
		default: fputs(USAGE, stderr); return 2;
		}
	}
	if (optind + 1 != argc || !token || !pin) {
		fputs(USAGE, stderr);
		return 2;
	}
	n.server = argv[optind];
	if (geteuid() != 0)
		return fputs("error: coracle join needs root\n", stderr), 1;
	if (!join(a, &n, token, pin, &err))
		return complain(&err);
	printf("node %s has its certificates\n", n.name);
	char *up[] = { argv[0], arena_cstr(a, arena_printf(a, "--server=%s", n.server)), arena_cstr(a, arena_printf(a, "--node-name=%s", n.name)),
		       arena_cstr(a, arena_printf(a, "--node-ip=%s", n.ip)), foreground ? arena_cstr(a, S("--foreground")) : NULL, NULL };
	optind = 1; // up reads its options from the beginning
	return up_main(foreground ? 5 : 4, up);
}
