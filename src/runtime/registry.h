// A registry, as OCI distribution-spec 1.1 and Docker's token authentication describe it: manifests and blobs of one
// repository, verified while they arrive.
#ifndef CORACLE_RUNTIME_REGISTRY_H
#define CORACLE_RUNTIME_REGISTRY_H

#include "runtime/image.h"
#include "runtime/ref.h"

struct registry_auth {
	str username, password;  // Basic, and for asking for tokens
	str identity_token;      // an OAuth2 refresh token
	str registry_token;      // a bearer token as it is
};
struct registry_opts {
	str url;                 // "https://registry-1.docker.io"; "http://..." speaks plain HTTP
	str ca_pem;              // trusted certificates; empty: none (HTTPS fails)
	const struct registry_auth *auth;
};

struct registry;             // may be shared by threads
struct registry *registry_new(const struct registry_opts *o, const struct image_ref *ref, struct error *err);
void registry_free(struct registry *r);
// Fetches a manifest by tag or digest (checked then). *digest is that of the bytes. 404 when there is none.
bool registry_manifest(struct registry *r, struct arena *a, str tag_or_digest, str *bytes, str *digest, struct error *err);
// Fetches a blob into the store, unless it is there; goes on where an earlier attempt was cut.
bool registry_blob(struct registry *r, struct arena *a, const struct image_store *s, const struct descriptor *d, struct error *err);

// WWW-Authenticate: Bearer realm="...",service="...",scope="...". Exposed for tests and fuzzing.
struct challenge { bool basic, bearer; str realm, service, scope; };
bool challenge_parse(struct arena *a, str header, struct challenge *out);

#endif
