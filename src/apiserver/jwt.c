#include "apiserver/jwt.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/encode.h"
#include "base/heap.h"
#include "json/json.h"

enum { MAX_TOKEN = 64 * 1024, MAX_KEYS = 32 };

struct jwt_key {
	EVP_PKEY *key;
	const char *alg;       // "RS256"
	const EVP_MD *digest;
	size_t part;           // bytes of r and of s; 0: RSA
	char id[44];           // SHA-256 of the public key in DER, base64url
};

struct jwt_keys {
	struct jwt_key v[MAX_KEYS];
	size_t n;
	const struct jwt_key *signer;
};

struct jwt_keys *jwt_keys_new(void)
{
	return HEAP_NEW(struct jwt_keys);
}

void jwt_keys_free(struct jwt_keys *k)
{
	if (!k)
		return;
	for (size_t i = 0; i < k->n; i++)
		EVP_PKEY_free(k->v[i].key);
	free(k);
}

bool jwt_can_sign(const struct jwt_keys *k) { return k->signer != NULL; }
size_t jwt_keys_count(const struct jwt_keys *k) { return k->n; }

static bool choose_algorithm(struct jwt_key *k, struct error *err)
{
	switch (EVP_PKEY_get_base_id(k->key)) {
	case EVP_PKEY_RSA:
		k->alg = "RS256";
		k->digest = EVP_sha256();
		return EVP_PKEY_get_bits(k->key) >= 1024 || error_set(err, "RSA key too small");
	case EVP_PKEY_EC:
		switch (EVP_PKEY_get_bits(k->key)) {
		case 256: k->alg = "ES256", k->digest = EVP_sha256(), k->part = 32; return true;
		case 384: k->alg = "ES384", k->digest = EVP_sha384(), k->part = 48; return true;
		case 521: k->alg = "ES512", k->digest = EVP_sha512(), k->part = 66; return true;
		}
		return error_set(err, "unknown private key curve, must be 256, 384, or 521");
	}
	return error_set(err, "a key must be RSA or ECDSA");
}

static bool key_id(struct jwt_key *k, struct error *err)
{
	unsigned char *der = NULL, digest[EVP_MAX_MD_SIZE];
	int n = i2d_PUBKEY(k->key, &der);
	if (n <= 0)
		return error_set(err, "cannot encode the public key");
	unsigned digest_len = 0;
	bool ok = EVP_Digest(der, (size_t)n, digest, &digest_len, EVP_sha256(), NULL) == 1;
	OPENSSL_free(der);
	if (!ok)
		return error_set(err, "cannot hash the public key");
	_cleanup_arena_ struct arena *a = arena_new(256);
	str text = base64url_encode(a, str_n((char *)digest, digest_len));
	size_t len = MIN(text.n, sizeof(k->id) - 1);
	memcpy(k->id, text.p, len);
	k->id[len] = 0;
	return true;
}

static bool add_key(struct jwt_keys *k, EVP_PKEY *key, bool sign, struct error *err)
{
	struct jwt_key new_key = { .key = key };
	bool ok = k->n < MAX_KEYS || error_set(err, "more than %d keys", MAX_KEYS);
	if (!ok || !choose_algorithm(&new_key, err) || !key_id(&new_key, err)) {
		EVP_PKEY_free(key);
		return false;
	}
	for (size_t i = 0; i < k->n; i++)
		if (strcmp(k->v[i].id, new_key.id) == 0 && !sign) { // a public key of a pair that is there already
			EVP_PKEY_free(key);
			return true;
		}
	k->v[k->n] = new_key;
	if (sign && !k->signer)
		k->signer = &k->v[k->n];
	k->n++;
	return true;
}

bool jwt_keys_add(struct jwt_keys *k, str pem, bool sign, struct error *err)
{
	size_t all = 0;
	BIO *in = BIO_new_mem_buf(pem.p, (int)MIN(pem.n, (size_t)1 << 20));
	char *name = NULL, *header = NULL;
	unsigned char *data = NULL;
	long len = 0;
	bool ok = in || error_set(err, "cannot read keys");
	while (ok && PEM_read_bio(in, &name, &header, &data, &len)) {
		const unsigned char *p = data;
		EVP_PKEY *key = NULL;
		bool is_private = strstr(name, "PRIVATE KEY") != NULL;
		if (is_private) {
			key = d2i_AutoPrivateKey(NULL, &p, len);
		} else if (strcmp(name, "PUBLIC KEY") == 0) {
			key = d2i_PUBKEY(NULL, &p, len);
		} else if (strcmp(name, "RSA PUBLIC KEY") == 0) {
			key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &p, len);
		} else if (strcmp(name, "CERTIFICATE") == 0) {
			X509 *cert = d2i_X509(NULL, &p, len);
			if (cert) {
				key = X509_get_pubkey(cert);
				X509_free(cert);
			}
		}
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_clear_free(data, (size_t)len);
		if (key) {
			all++;
			ok = add_key(k, key, sign && is_private, err);
		}
	}
	BIO_free(in);
	ERR_clear_error();
	if (!ok)
		return false;
	if (all == 0)
		return error_set(err, "data does not contain any valid RSA or ECDSA keys");
	if (sign && !k->signer)
		return error_set(err, "no private key");
	return true;
}

// --- Signing ---

// OpenSSL makes and wants a DER sequence of two integers; JWS has them one after the other, each of the curve's size.
static bool der_to_raw(struct arena *a, const unsigned char *der, size_t n, size_t part, str *raw)
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
	if (!sig)
		return false;
	unsigned char *to = arena_alloc(a, 2 * part);
	bool ok = BN_bn2binpad(ECDSA_SIG_get0_r(sig), to, (int)part) > 0 && BN_bn2binpad(ECDSA_SIG_get0_s(sig), to + part, (int)part) > 0;
	ECDSA_SIG_free(sig);
	*raw = str_n((char *)to, 2 * part);
	return ok;
}

static bool raw_to_der(struct arena *a, str raw, size_t part, str *der)
{
	if (raw.n != 2 * part)
		return false;
	const unsigned char *p = (const unsigned char *)raw.p;
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(p, (int)part, NULL), *s = BN_bin2bn(p + part, (int)part, NULL);
	bool ok = sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1;
	if (!ok) {
		BN_free(r);
		BN_free(s);
	}
	unsigned char *out = NULL;
	int n = ok ? i2d_ECDSA_SIG(sig, &out) : -1;
	if (n > 0)
		*der = arena_dup(a, str_n((char *)out, (size_t)n));
	OPENSSL_free(out);
	ECDSA_SIG_free(sig);
	return n > 0;
}

bool jwt_sign(struct arena *a, const struct jwt_keys *k, str payload, str *token, struct error *err)
{
	const struct jwt_key *key = k->signer;
	if (!key)
		return error_set(err, "no key to sign with");
	str header = arena_printf(a, "{\"alg\":\"%s\",\"kid\":\"%s\"}", key->alg, key->id);
	str text = arena_concat(a, base64url_encode(a, header), S("."), base64url_encode(a, payload));
	unsigned char sig[1024];
	size_t n = sizeof(sig);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestSignInit(ctx, NULL, key->digest, NULL, key->key) == 1 &&
	          EVP_DigestSign(ctx, sig, &n, (const unsigned char *)text.p, text.n) == 1;
	EVP_MD_CTX_free(ctx);
	str raw = str_n((char *)sig, n);
	if (!ok || (key->part && !der_to_raw(a, sig, n, key->part, &raw))) {
		ERR_clear_error();
		return error_set(err, "cannot sign the token");
	}
	*token = arena_concat(a, text, S("."), base64url_encode(a, raw));
	return true;
}

// --- Verification ---

struct parts {
	str header, payload, signature, signed_text;
};

static bool split(str token, struct parts *p)
{
	str rest, last;
	if (token.n > MAX_TOKEN || !str_split(token, '.', &p->header, &rest) || !str_split(rest, '.', &p->payload, &last))
		return false;
	if (str_find_char(last, '.') >= 0)
		return false;
	p->signature = last;
	p->signed_text = str_sub(token, 0, p->header.n + 1 + p->payload.n);
	return true;
}

bool jwt_peek(struct arena *a, str token, str *payload)
{
	struct parts p;
	return split(token, &p) && base64url_decode(a, p.payload, payload);
}

static bool verify_with(struct arena *a, const struct jwt_key *key, const struct parts *p, str signature)
{
	if (key->part && !raw_to_der(a, signature, key->part, &signature))
		return false;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, key->digest, NULL, key->key) == 1 &&
	          EVP_DigestVerify(ctx, (const unsigned char *)signature.p, signature.n, (const unsigned char *)p->signed_text.p,
	                           p->signed_text.n) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return ok;
}

bool jwt_verify(struct arena *a, const struct jwt_keys *k, str token, str *payload, struct error *err)
{
	struct parts p;
	str header_text, signature;
	if (!split(token, &p) || !base64url_decode(a, p.header, &header_text) || !base64url_decode(a, p.signature, &signature) ||
	    !base64url_decode(a, p.payload, payload))
		return error_api(err, 401, "Unauthorized", "malformed token");
	struct json_opts opts = { .max_depth = 8 };
	struct error ignored = { 0 };
	struct value *header = json_parse(a, header_text, &opts, &ignored);
	if (!value_is(header, V_OBJECT))
		return error_api(err, 401, "Unauthorized", "malformed token header");
	// "crit" demands what is not understood here (RFC 7515 section 4.1.11).
	if (value_get(header, S("crit")))
		return error_api(err, 401, "Unauthorized", "unsupported critical header");
	str alg = value_get_str(header, S("alg")), kid = value_get_str(header, S("kid"));
	bool known = false;
	for (size_t i = 0; i < k->n; i++)
		known = known || (kid.n && str_eqc(kid, k->v[i].id));
	for (size_t i = 0; i < k->n; i++) {
		const struct jwt_key *key = &k->v[i];
		// The key says which algorithm is right; a token that names another one is wrong whatever it carries.
		if (!str_eqc(alg, key->alg) || (known && !str_eqc(kid, key->id)))
			continue;
		if (verify_with(a, key, &p, signature))
			return true;
	}
	return error_api(err, 401, "Unauthorized", "invalid signature");
}

// --- Publication ---

static str big_number(struct arena *a, EVP_PKEY *key, const char *param, size_t width)
{
	BIGNUM *n = NULL;
	if (EVP_PKEY_get_bn_param(key, param, &n) != 1)
		return S("");
	size_t len = width ? width : (size_t)BN_num_bytes(n);
	unsigned char *to = arena_alloc(a, len + 1);
	int wrote = BN_bn2binpad(n, to, (int)len);
	BN_free(n);
	return wrote > 0 ? base64url_encode(a, str_n((char *)to, len)) : S("");
}

str jwt_jwks(struct arena *a, const struct jwt_keys *k)
{
	str out = S("{\"keys\":[");
	for (size_t i = 0; i < k->n; i++) {
		const struct jwt_key *key = &k->v[i];
		str one;
		if (key->part) {
			str x = big_number(a, key->key, OSSL_PKEY_PARAM_EC_PUB_X, key->part), y = big_number(a, key->key, OSSL_PKEY_PARAM_EC_PUB_Y, key->part);
			one = arena_printf(a, "{\"use\":\"sig\",\"kty\":\"EC\",\"kid\":\"%s\",\"crv\":\"P-%zu\",\"alg\":\"%s\",\"x\":\"" STR_FMT "\",\"y\":\"" STR_FMT "\"}",
			                   key->id, key->part == 66 ? (size_t)521 : key->part * 8, key->alg, STR_ARG(x), STR_ARG(y));
		} else {
			str n = big_number(a, key->key, OSSL_PKEY_PARAM_RSA_N, 0), e = big_number(a, key->key, OSSL_PKEY_PARAM_RSA_E, 0);
			one = arena_printf(a, "{\"use\":\"sig\",\"kty\":\"RSA\",\"kid\":\"%s\",\"alg\":\"%s\",\"n\":\"" STR_FMT "\",\"e\":\"" STR_FMT "\"}",
			                   key->id, key->alg, STR_ARG(n), STR_ARG(e));
		}
		out = arena_concat(a, out, i ? S(",") : S(""), one);
	}
	return arena_concat(a, out, S("]}"));
}

str jwt_algorithms(struct arena *a, const struct jwt_keys *k)
{
	static const char *const order[] = { "ES256", "ES384", "ES512", "RS256" };
	str out = S("");
	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		for (size_t j = 0; j < k->n; j++)
			if (strcmp(k->v[j].alg, order[i]) == 0) {
				out = arena_printf(a, STR_FMT "%s\"%s\"", STR_ARG(out), out.n ? "," : "", order[i]);
				break;
			}
	return out;
}
