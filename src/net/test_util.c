#include "net/test_util.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"

static X509 *make_cert(EVP_PKEY *key, const char *cn, const char *const *orgs, X509 *ca, EVP_PKEY *ca_key,
                       const char *san, long serial)
{
	X509 *x = X509_new();
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_NAME *name = X509_get_subject_name(x);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	for (; orgs && *orgs; orgs++)
		X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)*orgs, -1, -1, 0);
	X509_set_issuer_name(x, ca ? X509_get_subject_name(ca) : name);
	X509_set_pubkey(x, key);
	X509V3_CTX ctx;
	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, ca ? ca : x, x, NULL, NULL, 0);
	X509_EXTENSION *e =
	        X509V3_EXT_conf_nid(NULL, &ctx, NID_basic_constraints, ca ? "CA:FALSE" : "critical,CA:TRUE");
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
	if (san) {
		e = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, san);
		X509_add_ext(x, e, -1);
		X509_EXTENSION_free(e);
	}
	X509_sign(x, ca_key, EVP_sha256());
	return x;
}

static str pem_cert(struct arena *a, X509 *x)
{
	BIO *b = BIO_new(BIO_s_mem());
	PEM_write_bio_X509(b, x);
	char *p;
	long n = BIO_get_mem_data(b, &p);
	str s = arena_dup(a, str_n(p, (size_t)n));
	BIO_free(b);
	return s;
}

static str pem_key(struct arena *a, EVP_PKEY *k)
{
	BIO *b = BIO_new(BIO_s_mem());
	PEM_write_bio_PrivateKey(b, k, NULL, NULL, 0, NULL, NULL);
	char *p;
	long n = BIO_get_mem_data(b, &p);
	str s = arena_dup(a, str_n(p, (size_t)n));
	BIO_free(b);
	return s;
}

void test_pki_make(struct arena *a, struct test_pki *p)
{
	struct error err = { 0 };
	snprintf(p->dir, sizeof(p->dir), "/tmp/coracle-net-test-XXXXXX");
	if (!mkdtemp(p->dir))
		abort();
	snprintf(p->ca, sizeof(p->ca), "%s/ca.crt", p->dir);
	snprintf(p->cert, sizeof(p->cert), "%s/server.crt", p->dir);
	snprintf(p->key, sizeof(p->key), "%s/server.key", p->dir);
	EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256"), *client = EVP_EC_gen("P-256"),
	         *other_ca_key = EVP_EC_gen("P-256");
	X509 *ca = make_cert(ca_key, "test-ca", NULL, NULL, ca_key, NULL, 1);
	X509 *other_ca = make_cert(other_ca_key, "other-ca", NULL, NULL, other_ca_key, NULL, 1);
	X509 *server = make_cert(key, "server", NULL, ca, ca_key, "IP:127.0.0.1,DNS:localhost", 2);
	X509 *user = make_cert(client, "alice", (const char *const[]){ "admins", "devs", NULL }, ca, ca_key, NULL, 3);
	X509 *stranger = make_cert(client, "mallory", (const char *const[]){ "system:masters", NULL }, other_ca,
	                           other_ca_key, NULL, 3);
	p->ca_pem = pem_cert(a, ca);
	p->client_cert_pem = pem_cert(a, user);
	p->client_key_pem = p->other_key_pem = pem_key(a, client);
	p->other_cert_pem = pem_cert(a, stranger);
	bool ok = io_write_file(p->ca, p->ca_pem, 0600, &err) &&
	          io_write_file(p->cert, pem_cert(a, server), 0600, &err) &&
	          io_write_file(p->key, pem_key(a, key), 0600, &err);
	if (!ok)
		abort();
	X509_free(ca), X509_free(other_ca), X509_free(server), X509_free(user), X509_free(stranger);
	EVP_PKEY_free(ca_key), EVP_PKEY_free(key), EVP_PKEY_free(client), EVP_PKEY_free(other_ca_key);
}

void test_pki_remove(struct test_pki *p)
{
	struct error err = { 0 };
	io_remove_tree(p->dir, &err);
}

int test_listen(int *port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(in);
	if (fd < 0 || bind(fd, (struct sockaddr *)&in, n) < 0 || listen(fd, 64) < 0 ||
	    getsockname(fd, (struct sockaddr *)&in, &n) < 0)
		abort();
	*port = ntohs(in.sin_port);
	return fd;
}

int test_dial(int port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in in = { .sin_family = AF_INET,
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		                  .sin_port = htons((uint16_t)port) };
	if (fd < 0 || connect(fd, (struct sockaddr *)&in, sizeof(in)) < 0)
		abort();
	return fd;
}

void test_send(int fd, str s)
{
	while (s.n) {
		ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		s = str_from(s, (size_t)n);
	}
}

str test_recv(struct arena *a, int fd, const char *until)
{
	return test_recv_until(a, fd, str_c(until));
}

str test_recv_until(struct arena *a, int fd, str until)
{
	_cleanup_buf_ struct buf b = { 0 };
	int64_t end = clock_mono(NULL) + 20 * NS_PER_SEC;
	while (clock_mono(NULL) < end) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		if (poll(&p, 1, 100) <= 0)
			continue;
		ssize_t n = recv(fd, buf_reserve(&b, 4096), 4096, 0);
		if (n <= 0)
			break;
		b.n += (size_t)n;
		if (until.n && str_find(buf_str(&b), until) >= 0)
			break;
	}
	return arena_dup(a, buf_str(&b));
}

static void *script_run(void *arg)
{
	struct test_script *s = arg;
	for (size_t k = 0; k < s->n; k++) {
		int fd = accept(s->fd, NULL, NULL);
		_cleanup_buf_ struct buf b = { 0 };
		for (size_t n = 0; s->connections[k][n]; n++) {
			for (;;) {
				ptrdiff_t end = str_find(buf_str(&b), S("\r\n\r\n"));
				size_t want = SIZE_MAX;
				if (end >= 0 && b.p) {
					ptrdiff_t cl =
					        str_find(str_sub(buf_str(&b), 0, (size_t)end), S("Content-Length: "));
					want = (size_t)end + 4 + (cl >= 0 ? strtoul(b.p + cl + 16, NULL, 10) : 0);
				}
				if (b.n >= want) {
					s->requests[s->nrequests++] =
					        arena_dup(s->arena, str_sub(buf_str(&b), 0, want));
					buf_consume(&b, want);
					break;
				}
				ssize_t r = recv(fd, buf_reserve(&b, 4096), 4096, 0);
				if (r <= 0)
					goto next;
				b.n += (size_t)r;
			}
			test_send(fd, str_c(s->connections[k][n]));
		}
	next:
		shutdown(fd, SHUT_WR);
		close(fd);
	}
	close(s->fd);
	return NULL;
}

void test_script_start(struct test_script *s)
{
	s->fd = test_listen(&s->port);
	s->arena = arena_new(0);
	if (pthread_create(&s->thread, NULL, script_run, s) != 0)
		abort();
}

void test_script_join(struct test_script *s)
{
	pthread_join(s->thread, NULL);
	arena_free(s->arena);
}
