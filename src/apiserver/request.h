// One API request on its way through the apiserver: who asks, what for, and the words for saying no.
#ifndef CORACLE_APISERVER_REQUEST_H
#define CORACLE_APISERVER_REQUEST_H

#include "base/clock.h"
#include "base/random.h"
#include "net/http_server.h"
#include "schema/schema.h"
#include "schema_gen.h"

struct apiserver;

struct user_info {
	str name, uid;
	struct str_list groups;
	struct { struct extra_entry { str key; struct str_list values; } *v; size_t n; } extra;
};

// What the URL means (upstream: RequestInfo).
struct request_info {
	bool is_resource;
	str verb;             // get list watch create update patch delete deletecollection; lower-case method for other paths
	str path;             // decoded
	str api_prefix;       // "api" or "apis"
	str group, version, ns, resource, subresource, name;
	str field_selector_name; // metadata.name= of a list or watch, which authorization sees as the name
};

struct request {
	struct apiserver *server;
	struct http_exchange *x;
	struct http_request_in *in;
	struct arena *arena;
	struct request_info info;
	struct http_params params;
	struct user_info user;
	size_t loop;                // of this request, unique among all loops of the apiserver (which may listen on several sockets)
	const struct clock *clock;
	const struct rng *rng;
	bool dry_run;
	str field_manager;
	struct str_list warnings;   // Warning headers of the answer: text only
	struct str_map audit;       // audit annotations
};
void request_warn(struct request *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// --- Saying no: a meta/v1 Status with details and causes ---
struct status_cause { str reason, message, field; };
struct api_status {
	int code;                 // 0: all is well
	str reason, message;
	str group, kind, name, uid; // details
	struct { struct status_cause *v; size_t n; } causes;
	int32_t retry_after;
};
// Each fills *s in upstream's words (apimachinery api/errors) and returns false.
bool status_not_found(struct arena *a, struct api_status *s, str group, str resource, str name);
bool status_already_exists(struct arena *a, struct api_status *s, str group, str resource, str name);
bool status_conflict(struct arena *a, struct api_status *s, str group, str resource, str name, str why);
bool status_forbidden(struct arena *a, struct api_status *s, str group, str resource, str name, str why);
bool status_bad_request(struct arena *a, struct api_status *s, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool status_unauthorized(struct arena *a, struct api_status *s);
bool status_gone(struct arena *a, struct api_status *s, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool status_method_not_supported(struct arena *a, struct api_status *s, str group, str resource, str action);
bool status_internal(struct arena *a, struct api_status *s, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool status_from_error(struct arena *a, struct api_status *s, const struct error *err);

// --- Field errors (upstream: util/validation/field) ---
enum field_error_type { FE_NOT_FOUND, FE_REQUIRED, FE_DUPLICATE, FE_INVALID, FE_NOT_SUPPORTED, FE_FORBIDDEN, FE_TOO_LONG, FE_TOO_MANY, FE_INTERNAL, FE_TYPE_INVALID, FE_TOO_FEW };
// A path is a chain on the stack: struct fpath p = fp(&parent, "spec"); struct fpath c = fp_index(&containers, 0); fp_key(&labels, key).
struct fpath { const struct fpath *parent; str name; bool index; };
static inline struct fpath fp(const struct fpath *parent, const char *name) { return (struct fpath){ parent, str_c(name), false }; }
struct fpath fp_index(struct arena *a, const struct fpath *parent, size_t i);   // parent[i]
struct fpath fp_key(struct arena *a, const struct fpath *parent, str key);      // parent[key]
str fp_text(struct arena *a, const struct fpath *p);

struct field_error { enum field_error_type type; str field; str bad_value; str detail; };
struct field_errors { struct arena *arena; struct field_error *v; size_t n; };
// bad_value is upstream's %v/%q rendering: fe_invalid quotes text ("web_0"), fe_invalid_raw takes it as it is (numbers, JSON of structs).
void fe_required(struct field_errors *e, const struct fpath *p, const char *detail);
void fe_invalid(struct field_errors *e, const struct fpath *p, str value, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void fe_invalid_int(struct field_errors *e, const struct fpath *p, int64_t value, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void fe_invalid_raw(struct field_errors *e, const struct fpath *p, str value, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void fe_duplicate(struct field_errors *e, const struct fpath *p, str value);
void fe_not_supported(struct field_errors *e, const struct fpath *p, str value, const str *supported, size_t n); // listed as given
void fe_forbidden(struct field_errors *e, const struct fpath *p, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void fe_too_long(struct field_errors *e, const struct fpath *p, size_t max);
void fe_too_many(struct field_errors *e, const struct fpath *p, size_t actual, size_t max);
void fe_not_found(struct field_errors *e, const struct fpath *p, str value);
// The 422 Status: `Deployment.apps "web" is invalid: spec.replicas: Invalid value: -1: must be ...`.
bool status_invalid(struct arena *a, struct api_status *s, str group, str kind, str name, const struct field_errors *e);

#endif
