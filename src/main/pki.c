#include "main/pki.h"

#include <arpa/inet.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "base/buf.h"
#include "base/encode.h"
#include "base/heap.h"
#include "base/io.h"

enum { CA_DAYS = 3650, LEAF_DAYS = 365, KEEP_DAYS = 30, PEM_LIMIT = 1 << 20 };

struct pki_authority {
	X509 *cert;
	EVP_PKEY *key;
};

static void x509p(X509 **x) { X509_free(*x); }
static void pkeyp(EVP_PKEY **k) { EVP_PKEY_free(*k); }
static void biop(BIO **b) { BIO_free(*b); }
#define _cleanup_x509_ __attribute__((cleanup(x509p)))
#define _cleanup_pkey_ __attribute__((cleanup(pkeyp)))
#define _cleanup_bio_ __attribute__((cleanup(biop)))

static bool ssl_error(struct error *err, const char *what)
{
	char text[256];
	ERR_error_string_n(ERR_get_error(), text, sizeof(text));
	return error_set(err, "%s: %s", what, text);
}

static str bio_text(struct arena *a, BIO *b)
{
	char *p;
	long n = BIO_get_mem_data(b, &p);
	return arena_dup(a, str_n(p, (size_t)n));
}

static str cert_pem(struct arena *a, X509 *x)
{
	_cleanup_bio_ BIO *b = BIO_new(BIO_s_mem());
	PEM_write_bio_X509(b, x);
	return bio_text(a, b);
}

static str key_pem(struct arena *a, EVP_PKEY *k)
{
	_cleanup_bio_ BIO *b = BIO_new(BIO_s_mem());
	PEM_write_bio_PrivateKey(b, k, NULL, NULL, 0, NULL, NULL);
	return bio_text(a, b);
}

static X509 *read_cert(struct arena *a, const char *path, struct error *err)
{
	str text;
	if (!io_read_file(a, path, PEM_LIMIT, &text, err))
		return NULL;
	_cleanup_bio_ BIO *b = BIO_new_mem_buf(text.p, (int)text.n);
	X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
	if (!x)
		ssl_error(err, path);
	return x;
}

static EVP_PKEY *read_key(struct arena *a, const char *path, struct error *err)
{
	str text;
	if (!io_read_file(a, path, PEM_LIMIT, &text, err))
		return NULL;
	_cleanup_bio_ BIO *b = BIO_new_mem_buf(text.p, (int)text.n);
	EVP_PKEY *k = PEM_read_bio_PrivateKey(b, NULL, NULL, NULL);
	if (!k)
		ssl_error(err, path);
	return k;
}

// Writes a file for one user. The content never stands on the disk with wider rights.
static bool write_owned(const char *path, str data, uid_t owner, mode_t mode, struct error *err)
{
	if (!io_write_file(path, data, mode, err))
		return false;
	if (owner != geteuid() && chown(path, owner, owner) < 0)
		return error_errno(err, "chown %s", path);
	return true;
}

static bool add_extension(X509 *x, X509 *issuer, int nid, const char *value, struct error *err)
{
	X509V3_CTX ctx;
	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool ok = e && X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
	return ok ? true : ssl_error(err, "certificate extension");
}

// An unsigned certificate with a random serial, valid from an hour ago (clocks differ) for `days`.
static X509 *blank_cert(EVP_PKEY *key, int days, const char *cn, const char *o, struct error *err)
{
	X509 *x = X509_new();
	unsigned char serial[16];
	if (!x || RAND_bytes(serial, sizeof(serial)) != 1) {
		X509_free(x);
		ssl_error(err, "certificate");
		return NULL;
	}
	serial[0] &= 0x7f;
	BIGNUM *n = BN_bin2bn(serial, sizeof(serial), NULL);
	BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
	BN_free(n);
	X509_set_version(x, X509_VERSION_3);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_time_adj_ex(X509_getm_notAfter(x), days, 0, NULL);
	X509_set_pubkey(x, key);
	X509_NAME *name = X509_get_subject_name(x);
	if (o)
		X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)o, -1, -1, 0);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
	return x;
}

static bool authority_make(struct arena *a, const char *crt, const char *key_path, struct error *err)
{
	_cleanup_pkey_ EVP_PKEY *key = EVP_EC_gen("P-256");
	if (!key)
		return ssl_error(err, "key");
	_cleanup_x509_ X509 *x = blank_cert(key, CA_DAYS, "coracle-ca", NULL, err);
	if (!x)
		return false;
	X509_set_issuer_name(x, X509_get_subject_name(x));
	if (!add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE", err) ||
	    !add_extension(x, x, NID_key_usage, "critical,digitalSignature,keyCertSign,cRLSign", err) ||
	    !add_extension(x, x, NID_subject_key_identifier, "hash", err))
		return false;
	if (!X509_sign(x, key, EVP_sha256()))
		return ssl_error(err, "sign");
	return write_owned(key_path, key_pem(a, key), 0, 0600, err) && write_owned(crt, cert_pem(a, x), 0, 0644, err);
}

struct pki_authority *pki_authority_open(const char *dir, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	const char *crt = arena_printf(a, "%s/ca.crt", dir).p, *key = arena_printf(a, "%s/ca.key", dir).p;
	if ((!io_exists(crt) || !io_exists(key)) && !authority_make(a, crt, key, err))
		return NULL;
	struct pki_authority *ca = HEAP_NEW(struct pki_authority);
	ca->cert = read_cert(a, crt, err);
	ca->key = ca->cert ? read_key(a, key, err) : NULL;
	if (ca->key)
		return ca;
	pki_authority_free(ca);
	return NULL;
}

void pki_authority_free(struct pki_authority *ca)
{
	if (!ca)
		return;
	X509_free(ca->cert);
	EVP_PKEY_free(ca->key);
	free(ca);
}

str pki_authority_pem(const struct pki_authority *ca, struct arena *a)
{
	return cert_pem(a, ca->cert);
}

static str key_hash(X509 *x, struct arena *a)
{
	unsigned char *der = NULL, digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
	EVP_Digest(der, (size_t)MAX(n, 0), digest, &len, EVP_sha256(), NULL);
	OPENSSL_free(der);
	return arena_concat(a, S("sha256:"), hex_encode(a, str_n((char *)digest, len)));
}

str pki_authority_hash(const struct pki_authority *ca, struct arena *a)
{
	return key_hash(ca->cert, a);
}

bool pki_pin_matches(str pem, str pin)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	_cleanup_bio_ BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
	_cleanup_x509_ X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
	return x && str_eq_nocase(key_hash(x, a), pin);
}

// "DNS:a,IP:b", terminated; empty when no names are asked for.
static void alternative_names(struct buf *san, const struct pki_request *r)
{
	for (const char *const *d = r->dns; d && *d; d++)
		buf_printf(san, "%sDNS:%s", san->n ? "," : "", *d);
	for (const char *const *i = r->ips; i && *i; i++)
		buf_printf(san, "%sIP:%s", san->n ? "," : "", *i);
	buf_add_char(san, 0);
}

bool pki_csr(struct arena *a, const struct pki_request *r, str *csr, str *key, struct error *err)
{
	_cleanup_pkey_ EVP_PKEY *k = EVP_EC_gen("P-256");
	_cleanup_buf_ struct buf san = { 0 };
	X509_REQ *q = X509_REQ_new();
	X509_NAME *name = q ? X509_REQ_get_subject_name(q) : NULL;
	alternative_names(&san, r);
	bool ok = k && name && X509_REQ_set_version(q, X509_REQ_VERSION_1) &&
	          (!r->organization || X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)r->organization, -1, -1, 0)) &&
	          X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)r->common_name, -1, -1, 0) && X509_REQ_set_pubkey(q, k);
	if (ok && san.n > 1) {
		X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san.p);
		STACK_OF(X509_EXTENSION) *list = e ? sk_X509_EXTENSION_new_null() : NULL;
		ok = list && sk_X509_EXTENSION_push(list, e) && X509_REQ_add_extensions(q, list);
		sk_X509_EXTENSION_free(list);
		X509_EXTENSION_free(e);
	}
	if (ok && X509_REQ_sign(q, k, EVP_sha256())) {
		_cleanup_bio_ BIO *b = BIO_new(BIO_s_mem());
		PEM_write_bio_X509_REQ(b, q);
		*csr = bio_text(a, b);
		*key = key_pem(a, k);
	} else {
		ok = ssl_error(err, "certificate request");
	}
	X509_REQ_free(q);
	return ok;
}

bool pki_issue(const struct pki_authority *ca, struct arena *a, const struct pki_request *r, str *cert, str *key, struct error *err)
{
	_cleanup_pkey_ EVP_PKEY *k = EVP_EC_gen("P-256");
	if (!k)
		return ssl_error(err, "key");
	_cleanup_x509_ X509 *x = blank_cert(k, LEAF_DAYS, r->common_name, r->organization, err);
	if (!x)
		return false;
	X509_set_issuer_name(x, X509_get_subject_name(ca->cert));
	_cleanup_buf_ struct buf san = { 0 };
	alternative_names(&san, r);
	const char *usage = r->server && r->client ? "serverAuth,clientAuth" : r->server ? "serverAuth" : "clientAuth";
	if (!add_extension(x, ca->cert, NID_basic_constraints, "critical,CA:FALSE", err) ||
	    !add_extension(x, ca->cert, NID_key_usage, "critical,digitalSignature", err) ||
	    !add_extension(x, ca->cert, NID_ext_key_usage, usage, err) ||
	    !add_extension(x, ca->cert, NID_authority_key_identifier, "keyid", err) ||
	    (san.n > 1 && !add_extension(x, ca->cert, NID_subject_alt_name, san.p, err)))
		return false;
	if (!X509_sign(x, ca->key, EVP_sha256()))
		return ssl_error(err, "sign");
	*cert = cert_pem(a, x);
	*key = key_pem(a, k);
	return true;
}

static bool names_all(X509 *x, const struct pki_request *r)
{
	for (const char *const *d = r->dns; d && *d; d++)
		if (X509_check_host(x, *d, 0, 0, NULL) != 1)
			return false;
	for (const char *const *i = r->ips; i && *i; i++)
		if (X509_check_ip_asc(x, *i, 0) != 1)
			return false;
	char cn[256];
	return X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, cn, sizeof(cn)) >= 0 && strcmp(cn, r->common_name) == 0;
}

bool pki_issue_files(const struct pki_authority *ca, const char *path, uid_t owner, const struct pki_request *r, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	const char *crt = arena_printf(a, "%s.crt", path).p, *key = arena_printf(a, "%s.key", path).p;
	if (io_exists(crt) && io_exists(key)) {
		struct error ignored = { 0 };
		_cleanup_x509_ X509 *have = read_cert(a, crt, &ignored);
		time_t soon = time(NULL) + KEEP_DAYS * 86400;
		if (have && X509_cmp_time(X509_get0_notAfter(have), &soon) > 0 && X509_verify(have, ca->key) == 1 && names_all(have, r))
			return true;
		ERR_clear_error();
	}
	str c, k;
	return pki_issue(ca, a, r, &c, &k, err) && write_owned(key, k, owner, 0600, err) && write_owned(crt, c, owner, 0644, err);
}

bool pki_signing_key(const char *path, uid_t owner, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	const char *key = arena_printf(a, "%s.key", path).p, *pub = arena_printf(a, "%s.pub", path).p;
	if (io_exists(key) && io_exists(pub))
		return true;
	_cleanup_pkey_ EVP_PKEY *k = EVP_RSA_gen(2048);
	if (!k)
		return ssl_error(err, "key");
	_cleanup_bio_ BIO *b = BIO_new(BIO_s_mem());
	PEM_write_bio_PUBKEY(b, k);
	return write_owned(key, key_pem(a, k), owner, 0600, err) && write_owned(pub, bio_text(a, b), owner, 0644, err);
}

bool pki_authority_key(const struct pki_authority *ca, const char *path, uid_t owner, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	return io_exists(path) || write_owned(path, key_pem(a, ca->key), owner, 0600, err);
}

bool pki_kubeconfig(const char *path, uid_t owner, const char *server, str ca_pem, str cert, str key, const char *user, struct error *err)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	_cleanup_buf_ struct buf b = { 0 };
	buf_printf(&b,
	           "apiVersion: v1\nkind: Config\nclusters:\n- name: coracle\n  cluster:\n    server: %s\n    certificate-authority-data: " STR_FMT
	           "\nusers:\n- name: %s\n  user:\n    client-certificate-data: " STR_FMT "\n    client-key-data: " STR_FMT
	           "\ncontexts:\n- name: %s@coracle\n  context:\n    cluster: coracle\n    user: %s\ncurrent-context: %s@coracle\n",
	           server, STR_ARG(base64_encode(a, ca_pem)), user, STR_ARG(base64_encode(a, cert)), STR_ARG(base64_encode(a, key)), user,
	           user, user);
	return write_owned(path, buf_str(&b), owner, 0600, err);
}
