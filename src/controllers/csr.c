// CertificateSigningRequests: approves those by which nodes join and serve, signs what is approved. Rule: upstream
// pkg/controller/certificates (approver, signer). One thing upstream leaves to others is done here, because `coracle join` needs
// it: a node's serving certificate is approved when the node asks for its own name and for addresses that no other node has.
#include "base/log.h"
#include "controllers/common.h"
#include "controllers/csr_x509.h"

#define KUBELET_CLIENT "kubernetes.io/kube-apiserver-client-kubelet"
#define KUBELET_SERVING "kubernetes.io/kubelet-serving"
#define APISERVER_CLIENT "kubernetes.io/kube-apiserver-client"
enum { DAY_S = 86400, YEAR_S = 365 * DAY_S, LEAST_S = 600 };

struct csr {
	struct manager *m;
	struct informer *requests, *nodes;
	struct workqueue *queue;
	struct csr_authority *authority;
	const struct resource_desc *resource, *review;
};

static void changed(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct csr *c = ctx;
	if (obj)
		workqueue_add(c->queue, object_ref_meta(obj)->name);
}

static bool has_condition(const struct certificates_v1_CertificateSigningRequest *r, const char *type)
{
	for (size_t i = 0; i < r->status.conditions.n; i++)
		if (str_eqc(r->status.conditions.v[i].type, type))
			return true;
	return false;
}

static void add_condition(struct csr *c, struct arena *a, struct certificates_v1_CertificateSigningRequest *r, const char *type, const char *reason, str message)
{
	struct api_time now = api_time_now(clock_wall(c->m->clock));
	*LIST_ADD(a, &r->status.conditions) = (struct certificates_v1_CertificateSigningRequestCondition){
		.type = str_c(type), .status = S("True"), .reason = str_c(reason), .message = message, .lastUpdateTime = now, .lastTransitionTime = now };
}

static struct certificates_v1_CertificateSigningRequest *copy(struct arena *a, const struct certificates_v1_CertificateSigningRequest *r)
{
	struct certificates_v1_CertificateSigningRequest *x = schema_clone(a, certificates_v1_CertificateSigningRequest_desc, r);
	// Lists grow by doubling; a cloned list may have any capacity, so it is built up again.
	__typeof__(x->status.conditions) conditions = { 0 };
	for (size_t i = 0; i < x->status.conditions.n; i++)
		*LIST_ADD(a, &conditions) = x->status.conditions.v[i];
	x->status.conditions = conditions;
	return x;
}

// Whether the one who asks may create certificatesigningrequests/SUBRESOURCE.
static bool allowed(struct csr *c, struct arena *a, const struct certificates_v1_CertificateSigningRequest *r, const char *subresource, bool *yes, struct error *err)
{
	struct authorization_v1_ResourceAttributes attributes = { .group = S("certificates.k8s.io"), .resource = S("certificatesigningrequests"),
		.verb = S("create"), .subresource = str_c(subresource), .version = S("*") };
	struct authorization_v1_SubjectAccessReview sar = { .apiVersion = S("authorization.k8s.io/v1"), .kind = S("SubjectAccessReview"),
		.spec = { .user = r->spec.username, .uid = r->spec.uid, .groups = r->spec.groups, .resourceAttributes = &attributes } };
	const struct authorization_v1_SubjectAccessReview *answer = client_create(c->m->client, a, c->review, S(""), &sar, err);
	if (!answer)
		return false;
	*yes = answer->status.allowed;
	return true;
}

// Whether no other node has one of the addresses that are asked for.
static bool addresses_free(struct csr *c, struct arena *a, const struct csr_request *x, str node)
{
	struct held nodes = held_list(a, c->nodes);
	for (size_t i = 0; i < nodes.n; i++) {
		const struct core_v1_Node *n = nodes.v[i];
		if (str_eq(n->metadata.name, node))
			continue;
		for (size_t k = 0; k < n->status.addresses.n; k++)
			for (size_t m = 0; m < x->ips.n; m++)
				if (str_eq(n->status.addresses.v[k].address, x->ips.v[m]) && !str_has_prefix(x->ips.v[m], S("127.")))
					return false;
	}
	return true;
}

static bool own_serving(struct csr *c, struct arena *a, const struct certificates_v1_CertificateSigningRequest *r, const struct csr_request *x)
{
	struct error ignored = { 0 };
	str node = x->common_name;
	if (!str_eq(r->spec.username, x->common_name) || !csr_is_kubelet_serving(x, &r->spec.usages, &ignored) || !str_cut_prefix(&node, S("system:node:")))
		return false;
	for (size_t i = 0; i < x->dns.n; i++)
		if (!str_eq(x->dns.v[i], node))
			return false;
	return addresses_free(c, a, x, node);
}

static bool approve(void *ctx, struct arena *a, str key, struct error *err)
{
	struct csr *c = ctx;
	struct csr_request x;
	struct error ignored = { 0 };
	const struct certificates_v1_CertificateSigningRequest *r = held_get(a, c->requests, S(""), key);
	if (!r || r->status.certificate.n || has_condition(r, "Approved") || has_condition(r, "Denied"))
		return true;
	if (!csr_parse(a, r->spec.request, &x, &ignored))
		return true; // nobody's business here; whoever approves it by hand will see
	const char *message = NULL;
	bool yes = false;
	if (str_eqc(r->spec.signerName, KUBELET_CLIENT) && csr_is_kubelet_client(&x, &r->spec.usages, &ignored)) {
		if (str_eq(r->spec.username, x.common_name)) {
			if (!allowed(c, a, r, "selfnodeclient", &yes, err))
				return false;
			message = yes ? "Auto approving self kubelet client certificate after SubjectAccessReview." : NULL;
		}
		if (!yes) {
			if (!allowed(c, a, r, "nodeclient", &yes, err))
				return false;
			message = yes ? "Auto approving kubelet client certificate after SubjectAccessReview." : NULL;
		}
	} else if (str_eqc(r->spec.signerName, KUBELET_SERVING) && own_serving(c, a, r, &x)) {
		message = "Auto approving the serving certificate that a node asked for itself.";
	}
	if (!message)
		return true;
	struct certificates_v1_CertificateSigningRequest *to = copy(a, r);
	add_condition(c, a, to, "Approved", "AutoApproved", str_c(message));
	return client_update(c->m->client, a, c->resource, "approval", to, err) || err->code == 409 || err->code == 404;
}

static bool sign(void *ctx, struct arena *a, str key, struct error *err)
{
	struct csr *c = ctx;
	struct csr_request x;
	struct error why = { 0 };
	const struct certificates_v1_CertificateSigningRequest *r = held_get(a, c->requests, S(""), key);
	if (!r || r->status.certificate.n || !has_condition(r, "Approved") || has_condition(r, "Denied") || has_condition(r, "Failed"))
		return true;
	bool client_of_kubelet = str_eqc(r->spec.signerName, KUBELET_CLIENT), serving = str_eqc(r->spec.signerName, KUBELET_SERVING);
	if (!client_of_kubelet && !serving && !str_eqc(r->spec.signerName, APISERVER_CLIENT))
		return true; // another signer's
	struct certificates_v1_CertificateSigningRequest *to = copy(a, r);
	bool fits = csr_parse(a, r->spec.request, &x, &why) && (client_of_kubelet ? csr_is_kubelet_client(&x, &r->spec.usages, &why)
	                                                         : serving        ? csr_is_kubelet_serving(&x, &r->spec.usages, &why)
	                                                                          : csr_is_apiserver_client(&r->spec.usages, &why));
	int64_t seconds = YEAR_S;
	if (r->spec.expirationSeconds)
		seconds = MAX(MIN((int64_t)*r->spec.expirationSeconds, (int64_t)YEAR_S), (int64_t)LEAST_S);
	if (!fits)
		add_condition(c, a, to, "Failed", "SignerValidationFailure", arena_dup(a, error_str(&why)));
	else if (!csr_sign(a, c->authority, r->spec.request, &r->spec.usages, seconds, clock_wall(c->m->clock) / NS_PER_SEC, &to->status.certificate, err))
		return error_wrap(err, "sign " STR_FMT, STR_ARG(key));
	return client_update(c->m->client, a, c->resource, "status", to, err) || err->code == 409 || err->code == 404;
}

static struct csr *set_up(struct manager *m)
{
	struct csr *c = ARENA_NEW(m->arena, struct csr);
	*c = (struct csr){ .m = m,
		.resource = schema_resource(S("certificates.k8s.io"), S("v1"), S("certificatesigningrequests")),
		.review = schema_resource(S("authorization.k8s.io"), S("v1"), S("subjectaccessreviews")) };
	c->requests = manager_informer(m, c->resource);
	c->nodes = manager_informer(m, m->r.nodes);
	c->queue = manager_queue(m);
	informer_add_handler(c->requests, &(struct informer_handler){ changed, c });
	return c;
}

void *csr_approving_setup(struct manager *m)
{
	return set_up(m);
}

void csr_approving_run(void *self)
{
	struct csr *c = self;
	workqueue_run(c->queue, "csr-approving", 1, approve, c);
}

void *csr_signing_setup(struct manager *m)
{
	if (!m->options->signing_cert_file || !m->options->signing_key_file)
		return NULL;
	struct error err = { 0 };
	struct csr *c = set_up(m);
	c->authority = csr_authority_open(m->options->signing_cert_file, m->options->signing_key_file, &err);
	if (!c->authority) {
		log_error("the signing authority cannot be used, no certificate will be signed: %s", err.text);
		return NULL;
	}
	return c;
}

void csr_signing_run(void *self)
{
	struct csr *c = self;
	workqueue_run(c->queue, "csr-signing", 1, sign, c);
}
