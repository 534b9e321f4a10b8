// What authn*.c, authz.c, rbac.c and the reviews share.
#ifndef CORACLE_APISERVER_POLICY_INTERNAL_H
#define CORACLE_APISERVER_POLICY_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "apiserver/jwt.h"
#include "apiserver/policy.h"
#include "base/map.h"
#include "object/names.h"
#include "object/selector.h"

struct rbac;
enum { MAX_LOOPS = 64 };

struct policy {
	struct arena *arena;             // configuration; constant after policy_new
	struct map tokens;               // static token -> struct user_info *
	struct jwt_keys *keys;
	str issuer;
	struct str_list audiences;
	bool anonymous;
	str openid_configuration, jwks;
	struct rbac *rbac;
	struct rbac_v1_PolicyRule_list node_rules; // of the bootstrap role system:node
	struct token_cache *caches[MAX_LOOPS]; // verified tokens, one cache per loop: no lock
};

// --- authn.c ---
// Who a bearer token names. 1: user filled (without system:authenticated); 0: the token is none of ours; -1: refused, why in err.
// `audiences` are those that the token must be for (some of); those it is for and that were asked for are put in *granted.
int authenticate_token(struct request *r, str token, const struct str_list *audiences, struct user_info *user, struct str_list *granted,
                       struct error *err);
void user_add_extra(struct arena *a, struct user_info *u, str key, str value);
// "system:serviceaccount:NS:NAME". False: another kind of name.
bool service_account_split(str username, str *ns, str *name);
str service_account_username(struct arena *a, str ns, str name);

// --- authz.c ---
enum decision { NO_OPINION, ALLOW };
struct attributes {
	const struct user_info *user;
	bool is_resource;
	str verb, ns, group, version, resource, subresource, name, path;
	struct field_selector fields; // what a list or watch is limited to
};
enum decision decide(struct request *r, const struct attributes *at, str *reason);
bool forbid(struct request *r, const struct attributes *at, str reason, struct api_status *s);

// --- rbac.c ---
struct rbac *rbac_new(void);
void rbac_free(struct rbac *b);
void rbac_changed(struct rbac *b);
enum decision rbac_decide(struct request *r, const struct attributes *at, str *reason);
bool rule_allows(const struct rbac_v1_PolicyRule *rule, const struct attributes *at);
// All rules that a user has in a namespace (empty: cluster-wide ones only), copied into r->arena; *errors: roles that are missing.
void rbac_rules_for(struct request *r, const struct user_info *u, str ns, struct rbac_v1_PolicyRule_list *rules, str *errors);

// --- node_authorizer.c ---
enum decision node_decide(struct request *r, const struct attributes *at, str *reason);

#endif
