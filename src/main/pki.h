// The cluster's own certificate authority: EC P-256 keys, X.509 v3 certificates, the ServiceAccount signing key, and
// kubeconfig files that carry them. Names follow kubeadm's rules (User = CN, groups = O).
#ifndef CORACLE_MAIN_PKI_H
#define CORACLE_MAIN_PKI_H

#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"

struct pki_authority; // certificate and key in memory

// Reads dir/ca.crt and dir/ca.key, or makes them (ten years).
struct pki_authority *pki_authority_open(const char *dir, struct error *err);
void pki_authority_free(struct pki_authority *ca);
str pki_authority_pem(const struct pki_authority *ca, struct arena *a);

struct pki_request {
	const char *common_name;
	const char *organization;  // NULL: none
	const char *const *dns;    // NULL-terminated subject alternative names; NULL: none
	const char *const *ips;
	bool server, client;       // extended key usages
};
// A new key and a certificate signed by the authority (one year), both PEM, in the arena.
bool pki_issue(const struct pki_authority *ca, struct arena *a, const struct pki_request *r, str *cert, str *key, struct error *err);
// The same into path.crt and path.key, readable by `owner` alone. Existing files that are still valid for 30 days, were signed
// by this authority and name all that is asked for are kept.
bool pki_issue_files(const struct pki_authority *ca, const char *path, uid_t owner, const struct pki_request *r, struct error *err);
// A key pair for ServiceAccount tokens (RS256, as every client knows): path.key for the signer, path.pub for whoever checks. Kept when there.
bool pki_signing_key(const char *path, uid_t owner, struct error *err);
// The authority's key for the one component that signs (the controller manager), readable by it alone. Kept when there.
bool pki_authority_key(const struct pki_authority *ca, const char *path, uid_t owner, struct error *err);
// A new key and a request for a certificate with these names (PKCS #10), both PEM.
bool pki_csr(struct arena *a, const struct pki_request *r, str *csr, str *key, struct error *err);
// Whether the SHA-256 of the certificate's public key is this ("sha256:<hex>").
bool pki_pin_matches(str cert_pem, str pin);
// SHA-256 of the authority's public key as kubeadm prints it: "sha256:<hex>".
str pki_authority_hash(const struct pki_authority *ca, struct arena *a);

// A kubeconfig with everything inside, mode 0600, owned by `owner`.
bool pki_kubeconfig(const char *path, uid_t owner, const char *server, str ca_pem, str cert_pem, str key_pem, const char *user, struct error *err);

#endif
