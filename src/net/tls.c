#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/encode.h"
#include "base/heap.h"
#include "net/tls_internal.h"

struct tls_context {
	atomic_int refs;
	SSL_CTX *ctx;
	BIO_METHOD *method;
	bool server, insecure;
	char *server_name;
	// The last session of a client, for one host: a context serves one server nearly always.
	pthread_mutex_t lock;
	SSL_SESSION *session;
	char session_host[300];
};

// The texts that users of Go's TLS know; others are OpenSSL's own.
static const char *verify_text(long result)
{
	switch (result) {
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		return "x509: certificate signed by unknown authority";
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return "x509: certificate has expired or is not yet valid";
	default:
		return NULL;
	}
}

void tls_reason(SSL *ssl, char *to, size_t n)
{
	unsigned long e = ERR_peek_last_error();
	long verify = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;
	if (verify != X509_V_OK && ssl && !SSL_is_server(ssl)) {
		const char *known = verify_text(verify);
		snprintf(to, n, "tls: failed to verify certificate: %s",
		         known ? known : X509_verify_cert_error_string(verify));
	} else if (e) {
		const char *reason = ERR_reason_error_string(e);
		snprintf(to, n, "tls: %s", reason ? reason : "unknown error");
	} else {
		snprintf(to, n, "tls: connection closed by the peer");
	}
	ERR_clear_error();
}

static bool fail(struct error *err, const char *what)
{
	char why[300];
	tls_reason(NULL, why, sizeof(why));
	return error_set(err, "%s: %s", what, why);
}

// A source and sink of our own instead of OpenSSL's for sockets, which writes without MSG_NOSIGNAL, so that the process
// would have to ignore SIGPIPE; and a server's reads from a buffer that is filled by one system call for many records.
static int io_read(BIO *b, char *to, int n)
{
	struct tls_io *io = BIO_get_data(b);
	BIO_clear_retry_flags(b);
	ssize_t r = n > 0 ? io->recv(io, to, (size_t)n) : 0;
	if (r < 0)
		BIO_set_retry_read(b);
	return (int)r;
}

static int io_write(BIO *b, const char *from, int n)
{
	struct tls_io *io = BIO_get_data(b);
	BIO_clear_retry_flags(b);
	ssize_t r = n > 0 ? io->send(io, from, (size_t)n) : 0;
	if (r < 0)
		BIO_set_retry_write(b);
	return (int)r;
}

static long io_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	(void)b;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP;
}

void tls_attach(struct tls_context *t, SSL *ssl, struct tls_io *io)
{
	BIO *b = BIO_new(t->method);
	if (!b)
		heap_exhausted(sizeof(*io));
	BIO_set_data(b, io);
	BIO_set_init(b, 1);
	SSL_set_bio(ssl, b, b);
}

static struct tls_context *context_new(const SSL_METHOD *method)
{
	struct tls_context *t = HEAP_NEW(struct tls_context);
	atomic_init(&t->refs, 1);
	pthread_mutex_init(&t->lock, NULL);
	t->ctx = SSL_CTX_new(method);
	if (!t->ctx)
		heap_exhausted(sizeof(*t));
	SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
	// Buffers are given back while a connection is idle; writes may be cut and repeated from another address.
	SSL_CTX_set_mode(t->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
	                                 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_options(t->ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	t->method = BIO_meth_new(127 | BIO_TYPE_SOURCE_SINK, "coracle");
	if (!t->method)
		heap_exhausted(sizeof(*t));
	BIO_meth_set_read(t->method, io_read);
	BIO_meth_set_write(t->method, io_write);
	BIO_meth_set_ctrl(t->method, io_ctrl);
	return t;
}

struct tls_context *tls_ref(struct tls_context *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void tls_unref(struct tls_context *t)
{
	if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	SSL_SESSION_free(t->session);
	SSL_CTX_free(t->ctx);
	BIO_meth_free(t->method);
	pthread_mutex_destroy(&t->lock);
	free(t->server_name);
	free(t);
}

// A client certificate that does not verify is no reason to break the connection: it is a client without a name, whom
// the server answers 401 in API words (upstream asks for certificates without verifying them in the handshake, too).
static int verify_later(int ok, X509_STORE_CTX *ctx)
{
	(void)ok;
	(void)ctx;
	return 1;
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
                           unsigned int inlen, void *arg)
{
	const unsigned char *offer =
	        arg ? (const unsigned char *)"\x02h2\x08http/1.1" : (const unsigned char *)"\x08http/1.1";
	unsigned char *chosen;
	(void)ssl;
	if (SSL_select_next_proto(&chosen, outlen, offer, arg ? 12 : 9, in, inlen) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

struct tls_context *tls_server_new(const struct tls_server_opts *o, struct error *err)
{
	struct tls_context *t = context_new(TLS_server_method());
	t->server = true;
	if (SSL_CTX_use_certificate_chain_file(t->ctx, o->cert_file) != 1) {
		fail(err, o->cert_file);
		goto failed;
	}
	if (SSL_CTX_use_PrivateKey_file(t->ctx, o->key_file, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_check_private_key(t->ctx) != 1) {
		fail(err, o->key_file);
		goto failed;
	}
	if (o->client_ca_file) {
		STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(o->client_ca_file);
		if (!names || SSL_CTX_load_verify_locations(t->ctx, o->client_ca_file, NULL) != 1) {
			sk_X509_NAME_pop_free(names, X509_NAME_free);
			fail(err, o->client_ca_file);
			goto failed;
		}
		SSL_CTX_set_client_CA_list(t->ctx, names);
		if (o->require_client_cert)
			SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
		else
			SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, verify_later);
	}
	SSL_CTX_set_alpn_select_cb(t->ctx, choose_protocol, o->http2 ? t : NULL);
	// Sessions are resumed from tickets that the client keeps (one per handshake); the server remembers none. The
	// lifetime bounds for how long a certificate that has been revoked meanwhile goes on working.
	static const unsigned char id[] = "coracle";
	SSL_CTX_set_session_id_context(t->ctx, id, sizeof(id) - 1);
	SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(t->ctx, 1);
	SSL_CTX_set_timeout(t->ctx, 600);
	SSL_CTX_set_options(t->ctx,
	                    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
	// Forward secrecy and authenticated encryption only; TLS 1.3 suites are all of that kind.
	SSL_CTX_set_cipher_list(t->ctx, "ECDHE+AESGCM:ECDHE+CHACHA20");
	return t;
failed:
	tls_unref(t);
	return NULL;
}

static bool add_authorities(SSL_CTX *ctx, str pem, struct error *err)
{
	BIO *b = BIO_new_mem_buf(pem.p, (int)MIN(pem.n, (size_t)INT32_MAX));
	if (!b)
		heap_exhausted(pem.n);
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	size_t n = 0;
	for (X509 *x; (x = PEM_read_bio_X509(b, NULL, NULL, NULL)); n++) {
		X509_STORE_add_cert(store, x);
		X509_free(x);
	}
	BIO_free(b);
	ERR_clear_error(); // the end of the text is reported as an error
	return n > 0 || error_set(err, "no certificate in the CA data");
}

static bool use_certificate(SSL_CTX *ctx, str cert, str key, struct error *err)
{
	BIO *b = BIO_new_mem_buf(cert.p, (int)MIN(cert.n, (size_t)INT32_MAX));
	X509 *x = PEM_read_bio_X509_AUX(b, NULL, NULL, NULL);
	bool ok = x && SSL_CTX_use_certificate(ctx, x) == 1;
	X509_free(x);
	for (X509 *ca; ok && (ca = PEM_read_bio_X509(b, NULL, NULL, NULL));) {
		ok = SSL_CTX_add0_chain_cert(ctx, ca) == 1;
		if (!ok)
			X509_free(ca);
	}
	BIO_free(b);
	if (!ok)
		return fail(err, "client certificate");
	ERR_clear_error();
	b = BIO_new_mem_buf(key.p, (int)MIN(key.n, (size_t)INT32_MAX));
	EVP_PKEY *k =
	        PEM_read_bio_PrivateKey(b, NULL, NULL, (void *)(uintptr_t) ""); // an encrypted key fails, asks nobody
	ok = k && SSL_CTX_use_PrivateKey(ctx, k) == 1 && SSL_CTX_check_private_key(ctx) == 1;
	EVP_PKEY_free(k);
	BIO_free(b);
	return ok || fail(err, "client key");
}

struct tls_context *tls_client_new(const struct tls_client_opts *o, struct error *err)
{
	struct tls_context *t = context_new(TLS_client_method());
	t->insecure = o->insecure;
	if (o->server_name && *o->server_name)
		t->server_name = heap_cstr(str_c(o->server_name));
	if (!o->insecure) {
		SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
		if (o->ca_pem.n ? !add_authorities(t->ctx, o->ca_pem, err)
		                : SSL_CTX_set_default_verify_paths(t->ctx) != 1)
			goto failed;
	}
	if (o->cert_pem.n && !use_certificate(t->ctx, o->cert_pem, o->key_pem, err))
		goto failed;
	SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_OFF);
	return t;
failed:
	tls_unref(t);
	return NULL;
}

SSL *tls_client_session(struct tls_context *t, str host, int port, struct error *err)
{
	SSL *ssl = SSL_new(t->ctx);
	if (!ssl)
		heap_exhausted(sizeof(void *));
	char name[256];
	snprintf(name, sizeof(name), STR_FMT, STR_ARG(host));
	const char *verify = t->server_name ? t->server_name : name;
	ASN1_OCTET_STRING *ip = a2i_IPADDRESS(verify);
	if (!ip)
		SSL_set_tlsext_host_name(ssl, verify);
	if (!t->insecure) {
		X509_VERIFY_PARAM *p = SSL_get0_param(ssl);
		X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
		                                           X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
		if (!(ip ? X509_VERIFY_PARAM_set1_ip(p, ASN1_STRING_get0_data(ip), (size_t)ASN1_STRING_length(ip))
		         : X509_VERIFY_PARAM_set1_host(p, verify, 0))) {
			ASN1_OCTET_STRING_free(ip);
			SSL_free(ssl);
			fail(err, verify);
			return NULL;
		}
	}
	ASN1_OCTET_STRING_free(ip);
	SSL_set_alpn_protos(ssl, (const unsigned char *)"\x08http/1.1", 9);
	char key[sizeof(t->session_host)];
	snprintf(key, sizeof(key), "%s:%d", name, port);
	pthread_mutex_lock(&t->lock);
	if (t->session && strcmp(key, t->session_host) == 0 && SSL_SESSION_is_resumable(t->session))
		SSL_set_session(ssl, t->session);
	pthread_mutex_unlock(&t->lock);
	SSL_set_read_ahead(ssl, 1); // one recv for a record's head and body
	SSL_set_connect_state(ssl);
	return ssl;
}

void tls_client_remember(struct tls_context *t, SSL *ssl, str host, int port)
{
	SSL_SESSION *s = SSL_get1_session(ssl);
	if (!s)
		return;
	if (!SSL_SESSION_is_resumable(s)) {
		SSL_SESSION_free(s);
		return;
	}
	pthread_mutex_lock(&t->lock);
	SSL_SESSION_free(t->session);
	t->session = s;
	snprintf(t->session_host, sizeof(t->session_host), STR_FMT ":%d", STR_ARG(host), port);
	pthread_mutex_unlock(&t->lock);
}

SSL *tls_server_session(struct tls_context *t)
{
	SSL *ssl = SSL_new(t->ctx);
	if (!ssl)
		heap_exhausted(sizeof(void *));
	SSL_set_accept_state(ssl);
	return ssl;
}

bool tls_is_http2(const SSL *ssl)
{
	const unsigned char *p;
	unsigned int n;
	SSL_get0_alpn_selected(ssl, &p, &n);
	return n == 2 && memcmp(p, "h2", 2) == 0;
}

static str entry_text(struct arena *a, const X509_NAME *name, int at)
{
	unsigned char *utf8 = NULL;
	int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	if (n < 0)
		return (str){ 0 };
	str s = arena_dup(a, str_n((const char *)utf8, (size_t)n));
	OPENSSL_free(utf8);
	return s;
}

struct tls_peer *tls_peer_of(SSL *ssl, struct arena *a)
{
	X509 *x = SSL_get0_peer_certificate(ssl);
	if (!x)
		return NULL;
	struct tls_peer *p = ARENA_NEW(a, struct tls_peer);
	p->verified = SSL_get_verify_result(ssl) == X509_V_OK;
	const X509_NAME *name = X509_get_subject_name(x);
	// Go takes the last CN where there are several; all O in order.
	for (int i = -1; (i = X509_NAME_get_index_by_NID(name, NID_commonName, i)) >= 0;)
		p->common_name = entry_text(a, name, i);
	struct {
		str *v;
		size_t n;
	} orgs = { 0 };
	for (int i = -1; (i = X509_NAME_get_index_by_NID(name, NID_organizationName, i)) >= 0;)
		*LIST_ADD(a, &orgs) = entry_text(a, name, i);
	p->organizations = orgs.v;
	p->norganizations = orgs.n;
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int n = 0;
	if (X509_digest(x, EVP_sha256(), digest, &n) == 1)
		p->fingerprint = hex_encode(a, str_n((const char *)digest, n));
	BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
	char *text = serial ? BN_bn2dec(serial) : NULL;
	p->serial = arena_dup(a, str_c(text ? text : ""));
	OPENSSL_free(text);
	BN_free(serial);
	return p;
}
