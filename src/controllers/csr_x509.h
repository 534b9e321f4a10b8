// What the CSR controllers read out of a certificate request, and the signing of one.
#ifndef CORACLE_CONTROLLERS_CSR_X509_H
#define CORACLE_CONTROLLERS_CSR_X509_H

#include "base/arena.h"
#include "base/error.h"
#include "schema_gen.h"

struct csr_request {
	str common_name;
	struct str_list organizations, dns, ips, emails, uris; // ips as text
};
// `pem` is spec.request: one CERTIFICATE REQUEST block whose signature holds.
bool csr_parse(struct arena *a, str pem, struct csr_request *out, struct error *err);

struct csr_authority; // certificate and key that sign
struct csr_authority *csr_authority_open(const char *cert_file, const char *key_file, struct error *err);
// A certificate (PEM) for the request's subject, names and key, with these usages ("client auth", "digital signature", ...), valid
// from 5 minutes ago for `seconds`, but not longer than the authority itself.
bool csr_sign(struct arena *a, const struct csr_authority *ca, str pem, const struct str_list *usages, int64_t seconds, int64_t now_sec, str *out, struct error *err);

// The signers' own rules (upstream: pkg/apis/certificates/helpers.go). False and the reason when a request breaks them.
bool csr_is_kubelet_client(const struct csr_request *r, const struct str_list *usages, struct error *err);
bool csr_is_kubelet_serving(const struct csr_request *r, const struct str_list *usages, struct error *err);
bool csr_is_apiserver_client(const struct str_list *usages, struct error *err);

#endif
