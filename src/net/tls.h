// TLS (OpenSSL): contexts for servers and clients, and what a peer's certificate says. TLS 1.2 is the lowest version
// accepted (kubectl and Go clients offer 1.3), 1.3 preferred.
#ifndef CORACLE_NET_TLS_H
#define CORACLE_NET_TLS_H

#include "base/arena.h"
#include "base/error.h"

struct tls_context; // reference-counted; may be shared by threads

struct tls_server_opts {
	const char *cert_file, *key_file; // PEM chain and key
	const char *client_ca_file;       // NULL: client certificates are not asked for
	bool require_client_cert;         // false: asked for, not required (the apiserver)
	bool http2;                       // offer h2 by ALPN, besides http/1.1
};
struct tls_context *tls_server_new(const struct tls_server_opts *o, struct error *err);
// CA, certificate and key as PEM text (empty: none). insecure: the server's certificate is not verified.
struct tls_client_opts {
	str ca_pem, cert_pem, key_pem;
	bool insecure;
	const char *server_name; // NULL: the host that is connected to
};
struct tls_context *tls_client_new(const struct tls_client_opts *o, struct error *err);
struct tls_context *tls_ref(struct tls_context *t);
void tls_unref(struct tls_context *t);

// Who a verified client certificate names: CN is the user, each O a group (upstream: x509 request authenticator).
struct tls_peer {
	bool verified;
	str common_name;
	str *organizations;
	size_t norganizations;
	str fingerprint; // SHA-256 of the certificate, hex (credential-id X509SHA256=...)
	str serial;
};

#endif
