// Who asks and what they may: the state behind authenticate(), authorize() and the review resources. One per apiserver.
#ifndef CORACLE_APISERVER_POLICY_H
#define CORACLE_APISERVER_POLICY_H

#include "apiserver/strategy.h"

struct policy;
struct policy_opts {
	const char *token_file;             // static tokens, CSV: token,user,uid,"group1,group2" (NULL: none)
	const char *issuer;                 // of ServiceAccount tokens; NULL: https://kubernetes.default.svc.cluster.local
	const char *signing_key_file;       // PEM private key (RSA or P-256) that signs them; NULL: tokens are not issued
	const char *const *verify_key_files;// further PEM keys (public or private) whose tokens are accepted
	size_t nverify_key_files;
	const char *const *audiences;       // of this API; none: the issuer
	size_t naudiences;
	const char *external_address;       // "10.0.0.1:6443", for jwks_uri; NULL: the host of the issuer
	bool no_anonymous;                  // requests without credentials are refused instead of being system:anonymous
};
struct policy *policy_new(const struct policy_opts *o, struct error *err);
void policy_free(struct policy *p);

// The apiserver's own; defined where struct apiserver is.
struct policy *apiserver_policy(struct apiserver *s);

// To be called by the registry when an object of the resource has changed, after its cache shows the change. Cheap, any thread.
void policy_changed(struct policy *p, str group, str resource);

// The resources that are asked and never stored: tokenreviews, selfsubjectreviews, subjectaccessreviews, localsubjectaccessreviews,
// selfsubjectaccessreviews, selfsubjectrulesreviews. `obj` is the typed body; the answer (201) is the same object with its status.
bool review_create(struct request *r, str group, str resource, void *obj, struct api_status *s);
// POST serviceaccounts/NAME/token: fills the token and its expiry into the same object.
bool token_request_create(struct request *r, struct authentication_v1_TokenRequest *t, struct api_status *s);

// /.well-known/openid-configuration (application/json) and /openid/v1/jwks (application/jwk-set+json). Empty: no keys.
str policy_openid_configuration(const struct policy *p);
str policy_jwks(const struct policy *p);

// RBAC writes: whoever grants must hold (or have the verbs escalate or bind). obj and old are typed; old NULL on create.
bool rbac_check_escalation(struct request *r, str resource, const void *obj, const void *old, struct api_status *s);

bool user_in_group(const struct user_info *u, str group);
// "system:node:NAME" in group system:nodes. False: no node.
bool user_is_node(const struct user_info *u, str *node);

#endif
