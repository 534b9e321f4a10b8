#include "controllers/csr_x509.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "base/heap.h"
#include "base/io.h"

enum { MAX_PEM = 1 << 20, BACKDATE_S = 300 };

struct csr_authority {
	X509 *cert;
	EVP_PKEY *key;
};

static void reqp(X509_REQ **r) { X509_REQ_free(*r); }
static void certp(X509 **x) { X509_free(*x); }
static void biop(BIO **b) { BIO_free(*b); }
#define _cleanup_req_ __attribute__((cleanup(reqp)))
#define _cleanup_cert_ __attribute__((cleanup(certp)))
#define _cleanup_bio_ __attribute__((cleanup(biop)))

static bool failed(struct error *err, const char *what)
{
	char text[256];
	ERR_error_string_n(ERR_get_error(), text, sizeof(text));
	ERR_clear_error();
	return error_set(err, "%s: %s", what, text);
}

static X509_REQ *read_request(str pem, struct error *err)
{
	if (pem.n > MAX_PEM) {
		error_set(err, "the request is too large");
		return NULL;
	}
	_cleanup_bio_ BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
	X509_REQ *r = PEM_read_bio_X509_REQ(b, NULL, NULL, NULL);
	EVP_PKEY *key = r ? X509_REQ_get0_pubkey(r) : NULL;
	if (key && X509_REQ_verify(r, key) == 1)
		return r;
	failed(err, "PEM block type must be CERTIFICATE REQUEST");
	X509_REQ_free(r);
	return NULL;
}

static str asn1_text(struct arena *a, const ASN1_STRING *s)
{
	unsigned char *utf8 = NULL;
	int n = ASN1_STRING_to_UTF8(&utf8, s);
	str out = n > 0 ? arena_dup(a, str_n((char *)utf8, (size_t)n)) : S("");
	OPENSSL_free(utf8);
	return out;
}

static void read_names(struct arena *a, const GENERAL_NAMES *names, struct csr_request *out)
{
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		int type;
		void *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
		char text[INET6_ADDRSTRLEN];
		if (type == GEN_DNS) {
			*LIST_ADD(a, &out->dns) = asn1_text(a, value);
		} else if (type == GEN_EMAIL) {
			*LIST_ADD(a, &out->emails) = asn1_text(a, value);
		} else if (type == GEN_URI) {
			*LIST_ADD(a, &out->uris) = asn1_text(a, value);
		} else if (type == GEN_IPADD) {
			int n = ASN1_STRING_length(value);
			if ((n == 4 || n == 16) && inet_ntop(n == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(value), text, sizeof(text)))
				*LIST_ADD(a, &out->ips) = arena_dup(a, str_c(text));
		}
	}
}

bool csr_parse(struct arena *a, str pem, struct csr_request *out, struct error *err)
{
	_cleanup_req_ X509_REQ *r = read_request(pem, err);
	if (!r)
		return false;
	*out = (struct csr_request){ 0 };
	X509_NAME *subject = X509_REQ_get_subject_name(r);
	for (int i = 0; i < X509_NAME_entry_count(subject); i++) {
		const X509_NAME_ENTRY *e = X509_NAME_get_entry(subject, i);
		int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(e));
		str value = asn1_text(a, X509_NAME_ENTRY_get_data(e));
		if (nid == NID_commonName)
			out->common_name = value;
		else if (nid == NID_organizationName)
			*LIST_ADD(a, &out->organizations) = value;
	}
	STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(r);
	GENERAL_NAMES *names = extensions ? X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL) : NULL;
	if (names)
		read_names(a, names, out);
	GENERAL_NAMES_free(names);
	sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
	return true;
}

struct csr_authority *csr_authority_open(const char *cert_file, const char *key_file, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	str cert, key;
	if (!io_read_file(a, cert_file, MAX_PEM, &cert, err) || !io_read_file(a, key_file, MAX_PEM, &key, err))
		return NULL;
	struct csr_authority *ca = HEAP_NEW(struct csr_authority);
	_cleanup_bio_ BIO *c = BIO_new_mem_buf(cert.p, (int)cert.n);
	_cleanup_bio_ BIO *k = BIO_new_mem_buf(key.p, (int)key.n);
	ca->cert = PEM_read_bio_X509(c, NULL, NULL, NULL);
	ca->key = PEM_read_bio_PrivateKey(k, NULL, NULL, NULL);
	if (ca->cert && ca->key && X509_check_private_key(ca->cert, ca->key) == 1)
		return ca;
	failed(err, cert_file);
	X509_free(ca->cert);
	EVP_PKEY_free(ca->key);
	free(ca);
	return NULL;
}

static bool extend(X509 *x, X509 *issuer, int nid, const char *value, struct error *err)
{
	X509V3_CTX ctx;
	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool ok = e && X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
	return ok ? true : failed(err, "certificate extension");
}

// Usages as the API names them (API reference: KeyUsage) to those of X.509.
static bool add_usages(X509 *x, X509 *issuer, const struct str_list *usages, struct error *err)
{
	static const struct { const char *api, *x509; bool extended; } known[] = {
		{ "signing", "digitalSignature", false }, { "digital signature", "digitalSignature", false },
		{ "content commitment", "nonRepudiation", false }, { "key encipherment", "keyEncipherment", false },
		{ "key agreement", "keyAgreement", false }, { "data encipherment", "dataEncipherment", false },
		{ "encipher only", "encipherOnly", false }, { "decipher only", "decipherOnly", false },
		{ "server auth", "serverAuth", true }, { "client auth", "clientAuth", true },
		{ "code signing", "codeSigning", true }, { "email protection", "emailProtection", true },
		{ "timestamping", "timeStamping", true }, { "ocsp signing", "OCSPSigning", true },
	};
	_cleanup_buf_ struct buf plain = { 0 }, extended = { 0 };
	buf_printf(&plain, "critical");
	for (size_t i = 0; i < usages->n; i++) {
		size_t k = 0;
		while (k < ARRAY_LEN(known) && !str_eqc(usages->v[i], known[k].api))
			k++;
		if (k == ARRAY_LEN(known))
			return error_set(err, "unrecognized usage \"" STR_FMT "\"", STR_ARG(usages->v[i]));
		struct buf *to = known[k].extended ? &extended : &plain;
		if (!str_contains(buf_str(to), str_c(known[k].x509)))
			buf_printf(to, "%s%s", to->n ? "," : "", known[k].x509);
	}
	bool any_plain = str_find_char(buf_str(&plain), ',') >= 0;
	buf_add_char(&plain, 0);
	buf_add_char(&extended, 0);
	return (!any_plain || extend(x, issuer, NID_key_usage, plain.p, err)) && (extended.n == 1 || extend(x, issuer, NID_ext_key_usage, extended.p, err));
}

bool csr_sign(struct arena *a, const struct csr_authority *ca, str pem, const struct str_list *usages, int64_t seconds, int64_t now_sec, str *out, struct error *err)
{
	_cleanup_req_ X509_REQ *r = read_request(pem, err);
	unsigned char serial[16];
	if (!r)
		return false;
	_cleanup_cert_ X509 *x = X509_new();
	if (!x || RAND_bytes(serial, sizeof(serial)) != 1)
		return failed(err, "certificate");
	serial[0] &= 0x7f;
	BIGNUM *n = BN_bin2bn(serial, sizeof(serial), NULL);
	BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
	BN_free(n);
	time_t from = (time_t)(now_sec - BACKDATE_S), to = (time_t)(now_sec + seconds);
	X509_set_version(x, X509_VERSION_3);
	ASN1_TIME_set(X509_getm_notBefore(x), from);
	ASN1_TIME_set(X509_getm_notAfter(x), to);
	if (ASN1_TIME_compare(X509_get0_notAfter(ca->cert), X509_get0_notAfter(x)) < 0)
		X509_set1_notAfter(x, X509_get0_notAfter(ca->cert));
	X509_set_subject_name(x, X509_REQ_get_subject_name(r));
	X509_set_issuer_name(x, X509_get_subject_name(ca->cert));
	X509_set_pubkey(x, X509_REQ_get0_pubkey(r));
	if (!extend(x, ca->cert, NID_basic_constraints, "critical,CA:FALSE", err) || !add_usages(x, ca->cert, usages, err))
		return false;
	STACK_OF(X509_EXTENSION) *asked = X509_REQ_get_extensions(r);
	int at = asked ? X509v3_get_ext_by_NID(asked, NID_subject_alt_name, -1) : -1;
	bool ok = at < 0 || X509_add_ext(x, sk_X509_EXTENSION_value(asked, at), -1);
	sk_X509_EXTENSION_pop_free(asked, X509_EXTENSION_free);
	if (!ok || !X509_sign(x, ca->key, EVP_PKEY_is_a(ca->key, "ED25519") ? NULL : EVP_sha256()))
		return failed(err, "sign");
	_cleanup_bio_ BIO *b = BIO_new(BIO_s_mem());
	char *text;
	PEM_write_bio_X509(b, x);
	long size = BIO_get_mem_data(b, &text);
	*out = arena_dup(a, str_n(text, (size_t)size));
	return true;
}

static bool usages_are(const struct str_list *have, const char *must, struct error *err)
{
	bool found = false;
	for (size_t i = 0; i < have->n; i++) {
		found = found || str_eqc(have->v[i], must);
		if (!str_eqc(have->v[i], must) && !str_eqc(have->v[i], "digital signature") && !str_eqc(have->v[i], "key encipherment"))
			return error_set(err, "usages did not match [digital signature, %s] or [digital signature, key encipherment, %s]", must, must);
	}
	return found ? true : error_set(err, "usages did not match [digital signature, %s]", must);
}

static bool of_a_node(const struct csr_request *r, struct error *err)
{
	if (r->organizations.n != 1 || !str_eqc(r->organizations.v[0], "system:nodes"))
		return error_set(err, "subject organization is not system:nodes");
	if (!str_has_prefix(r->common_name, S("system:node:")))
		return error_set(err, "subject common name does not begin with system:node:");
	return true;
}

bool csr_is_kubelet_client(const struct csr_request *r, const struct str_list *usages, struct error *err)
{
	if (!of_a_node(r, err))
		return false;
	if (r->dns.n || r->ips.n || r->emails.n || r->uris.n)
		return error_set(err, "DNS, IP, email and URI subjectAltNames are not allowed");
	return usages_are(usages, "client auth", err);
}

bool csr_is_kubelet_serving(const struct csr_request *r, const struct str_list *usages, struct error *err)
{
	if (!of_a_node(r, err))
		return false;
	if (r->dns.n + r->ips.n == 0)
		return error_set(err, "DNS or IP subjectAltName is required");
	if (r->emails.n || r->uris.n)
		return error_set(err, "email and URI subjectAltNames are not allowed");
	return usages_are(usages, "server auth", err);
}

bool csr_is_apiserver_client(const struct str_list *usages, struct error *err)
{
	return usages_are(usages, "client auth", err);
}
