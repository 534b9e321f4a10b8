// JSON web tokens as ServiceAccounts carry them: compact JWS (RFC 7515) with RS256, ES256, ES384 or ES512 (RFC 7518).
#ifndef CORACLE_APISERVER_JWT_H
#define CORACLE_APISERVER_JWT_H

#include "base/arena.h"
#include "base/error.h"

struct jwt_keys;
struct jwt_keys *jwt_keys_new(void);
void jwt_keys_free(struct jwt_keys *k);
// Adds the keys of a PEM file's text (public keys, private keys, certificates). `sign`: its first private key signs from now on.
bool jwt_keys_add(struct jwt_keys *k, str pem, bool sign, struct error *err);
bool jwt_can_sign(const struct jwt_keys *k);
size_t jwt_keys_count(const struct jwt_keys *k);

// The token for a payload (JSON text).
bool jwt_sign(struct arena *a, const struct jwt_keys *k, str payload, str *token, struct error *err);
// The payload of a token whose signature one of the keys made; at most 64 KiB. Claims are not looked at. Any thread.
bool jwt_verify(struct arena *a, const struct jwt_keys *k, str token, str *payload, struct error *err);
// The payload without a look at the signature, to tell whose token it is.
bool jwt_peek(struct arena *a, str token, str *payload);

// The public keys as a JWK set, and the algorithms among them ("ES256","RS256"), both JSON text.
str jwt_jwks(struct arena *a, const struct jwt_keys *k);
str jwt_algorithms(struct arena *a, const struct jwt_keys *k);

#endif
