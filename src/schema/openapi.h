// OpenAPI documents made from the descriptors: /openapi/v2 and /openapi/v3. Without descriptions of types and fields; those of
// responses, which OpenAPI demands, are there. Rule: kube-openapi, as a default v1.36 server answers.
//
// Documents are built on demand (v2: about 1.5 MB of JSON); the caller keeps what it has encoded.
#ifndef CORACLE_SCHEMA_OPENAPI_H
#define CORACLE_SCHEMA_OPENAPI_H

#include "schema/schema.h"

// The whole v2 document.
struct value *openapi_v2(struct arena *a);

// The same document in the protobuf form that older clients ask for (gnostic's openapi.v2.Document; asked for as
// "application/com.github.proto-openapi.spec.v2@v1.0+protobuf", answered as "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"). `doc` is what openapi_v2 returns, or one with more in it.
void openapi_v2_to_pb(struct buf *to, const struct value *doc);

// The paths below /openapi/v3/ that have a document: ".well-known/openid-configuration", "api", "api/v1", "apis", "apis/apps",
// "apis/apps/v1", ..., "logs", "openid/v1/jwks", "version".
struct str_list openapi_v3_paths(struct arena *a);
// The v3 document of one of them; NULL: there is none.
struct value *openapi_v3(struct arena *a, str path);

// A schema (v3, `v3` true, or v2 definition) of one message, with references to others by name ("io.k8s.api.core.v1.Pod"); for
// documents of custom resources, which embed ObjectMeta, and for explain.
struct value *openapi_schema(struct arena *a, const struct message_desc *m, bool v3);
// "k8s.io.api.core.v1" and "Pod" -> "io.k8s.api.core.v1.Pod"
str openapi_name(struct arena *a, const struct message_desc *m);

#endif
