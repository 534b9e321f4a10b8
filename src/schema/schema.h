// The schema: descriptors of every message of the API and of the gRPC contracts, and the codecs that walk them.
//
// tools/schemac.py compiles api/*.api and proto/*.api into schema_gen.h (C structs) and schema_gen.c (tables). The tables are
// constant, hold offsets instead of pointers and are shared by all processes of the binary. docs/schema.md describes
// the language; this header describes the tables and what is done with them.
//
// How a message becomes a C struct (`struct core_v1_Pod`; package k8s.io.api.core.v1 -> core_v1, ...meta.v1 -> meta_v1,
// runtime.v1 of CRI -> cri_v1):
//   - field names are the JSON names (gRPC: the proto names); C keywords and macros get a trailing underscore (default_, bool_, linux_);
//   - objects of resources.tsv, lists and options begin with `str apiVersion, kind` (TypeMeta);
//   - string -> str; bytes -> str (raw bytes); bool, int32_t, int64_t, uint32_t, uint64_t, double; gRPC enums -> int32_t;
//   - "pointer" presence -> a pointer into the arena, NULL when absent (int32_t *replicas; str *storageClassName);
//   - message -> embedded, or a pointer when it has pointer presence (or would contain itself); in gRPC always a pointer;
//   - "(inline)" message -> embedded under its proto name (volume.volumeSource.configMap);
//   - repeated T -> struct { T *v; size_t n; } of a named type: struct str_list, struct core_v1_Container_list.
//     v == NULL is nil, v != NULL with n == 0 is empty (they differ in JSON: null or [] where not omitempty);
//   - map<string, T> -> struct { struct { str key; T value; } *v; size_t n; } of a named type: struct str_map (value str),
//     struct quantity_map, struct core_v1_Foo_map. Entries are kept sorted by key by the decoders;
//   - types with a form of their own in JSON are the structs below.
#ifndef CORACLE_SCHEMA_SCHEMA_H
#define CORACLE_SCHEMA_SCHEMA_H

#include "base/buf.h"
#include "base/error.h"
#include "json/json.h"

// meta/v1 Time and MicroTime. set == false is Go's zero time: null in JSON.
struct api_time {
	int64_t sec;
	int32_t nsec;
	bool set;
};
struct api_duration {
	int64_t ns;
}; // meta/v1 Duration: "1m30s"
struct quantity {
	str s;
}; // canonical text, as upstream prints it; empty text is zero ("0")
struct int_or_string {
	bool is_string;
	int32_t i;
	str s;
};
struct raw_json {
	str s;
}; // RawExtension, FieldsV1, apiextensions JSON: the JSON text; empty is nil

struct str_list {
	str *v;
	size_t n;
};
struct str_entry {
	str key;
	str value;
};
struct str_map {
	struct str_entry *v;
	size_t n;
};
struct quantity_entry {
	str key;
	struct quantity value;
};
struct quantity_map {
	struct quantity_entry *v;
	size_t n;
};

enum field_type {
	FT_BOOL,
	FT_INT32,
	FT_INT64,
	FT_UINT32,
	FT_UINT64,
	FT_DOUBLE,
	FT_STRING,
	FT_BYTES,
	FT_ENUM,
	FT_MESSAGE,
	FT_TIME,
	FT_MICROTIME,
	FT_DURATION,
	FT_QUANTITY,
	FT_INTORSTRING,
	FT_RAW,
	FT_FIELDSV1,
	FT_JSON,
	FT_SCHEMA_OR_BOOL,
	FT_SCHEMA_OR_ARRAY,
	FT_SCHEMA_OR_STRINGS, // apiextensions JSONSchemaPropsOr*
	FT_STRINGS, // ExtraValue, Verbs: a message in protobuf, a list of text in JSON; in C a struct str_list
};
enum field_label { FL_ONE, FL_LIST, FL_MAP };
enum field_flag {
	FF_POINTER = 1,
	FF_OMITEMPTY = 2,
	FF_OMITZERO = 4,
	FF_INLINE = 8,
	FF_REQUIRED = 16,
	FF_NOT_IN_OPENAPI = 32,
	FF_ATOMIC = 64,       // list-type=atomic or map-type=atomic
	FF_SET = 128,         // list-type=set
	FF_MAP_LIST = 256,    // list-type=map; keys in field_list_keys
	FF_PATCH_MERGE = 512, // patch-strategy=merge
	FF_PATCH_REPLACE = 1024,
	FF_PATCH_RETAIN_KEYS = 2048,
	FF_GRANULAR = 4096, // map-type=granular, where the type alone would be atomic
};

struct field_desc {
	uint32_t json_name; // offsets into the string pool: schema_text(offset)
	uint32_t proto_name;
	uint32_t number; // protobuf
	uint32_t offset; // in the C struct
	uint8_t type;    // enum field_type (of the item, for lists and maps)
	uint8_t label;
	uint16_t flags;
	uint32_t message;   // index of the message for FT_MESSAGE
	uint32_t list_keys; // pool offset: "name" or "topologyKey,whenUnsatisfiable"; 0: none
	uint32_t merge_key; // pool offset, for strategic merge; 0: none
	uint32_t default_;  // pool offset of the default as JSON; 0: none
	uint32_t
	        go_type; // pool offset of the type's name in upstream's error messages ("v1.PullPolicy"); 0: follows from the type
	uint32_t oneof; // pool offset of the name of the oneof (gRPC); 0: none
};

struct message_desc {
	uint32_t package;            // pool offset: "k8s.io.api.core.v1"
	uint32_t name;               // pool offset: "Pod"
	uint32_t first, n;           // fields in schema_fields, in the order of the C struct
	uint32_t size;               // of the C struct
	uint32_t flags;              // MF_TYPEMETA: begins with apiVersion and kind; MF_GRPC: proto3 presence
	uint32_t first_name, nnames; // index by JSON name (tables.h)
	uint32_t first_pb, npb;      // order by protobuf number (tables.h)
	uint32_t prefix;             // pool offset: "core_v1"
	uint32_t unions;             // pool offset: x-kubernetes-unions as JSON; 0: none
};
// MF_ATOMIC: map-type=atomic, the whole object has one owner in server-side apply. MF_HIDDEN: not in OpenAPI.
enum { MF_TYPEMETA = 1, MF_GRPC = 2, MF_ATOMIC = 4, MF_HIDDEN = 8 };

str schema_text(uint32_t offset);
const struct field_desc *schema_field(const struct message_desc *m, size_t i);
// The message that a field holds; NULL for a scalar.
const struct message_desc *schema_field_message(const struct field_desc *f);
const struct field_desc *schema_field_named(const struct message_desc *m, str json_name); // looks into inline ones, too
// By full name ("k8s.io.api.core.v1.Pod"); NULL: unknown.
const struct message_desc *schema_message(str full_name);
// Each message also has a constant: schema_gen.h declares `extern const struct message_desc *const core_v1_Pod_desc`
// or a macro of that name.

// --- Resources (resources.tsv, columns.tsv) ---------------------------------------------------------------------------

struct column_desc {
	uint32_t name, type, format;
	int32_t priority;
};
struct resource_desc {
	uint32_t group; // "" for core (resources.tsv writes "core")
	uint32_t version;
	uint32_t resource; // "pods" or "pods/status"
	uint32_t kind, singular;
	uint32_t body_group_version; // GVK of the body where it is another one: "autoscaling/v1"; 0: same
	uint32_t verbs;              // pool offsets of comma-separated text
	uint32_t short_names, categories;
	uint32_t message;      // of the body
	uint32_t list_message; // of the list; UINT32_MAX: none
	uint32_t first_column, ncolumns;
	bool namespaced, preferred;
	bool returns_deleted; // DELETE answers with the object instead of a Status
};
size_t schema_resource_count(void);
const struct resource_desc *schema_resource_at(size_t i);
const struct resource_desc *schema_resource(str group, str version, str resource);
const struct resource_desc *schema_resource_of_kind(str group, str version, str kind);
const struct column_desc *schema_column(const struct resource_desc *r, size_t i);
const struct message_desc *schema_message_at(uint32_t index);
// Group versions that are served, in the order of discovery; resources of one stand together in schema_resource_at.
struct group_desc {
	uint32_t group, version, first, n;
	bool preferred;
};
size_t schema_group_count(void);
const struct group_desc *schema_group_at(size_t i);
// The message of a kind that need not be a resource: ("", "v1", "PodList"), ("meta.k8s.io", "v1", "DeleteOptions"). Any group
// version also knows the kinds of meta/v1 that upstream registers everywhere (ListOptions, DeleteOptions, Status, ...).
struct package_desc {
	uint32_t group, version, package;
};
const struct message_desc *schema_kind(str group, str version, str kind);

// gRPC methods by path ("/runtime.v1.RuntimeService/RunPodSandbox"; constants <prefix>_<Service>_<Method>_path).
enum { METHOD_CLIENT_STREAM = 1, METHOD_SERVER_STREAM = 2 };
struct method_desc {
	uint32_t path, request, response, flags;
};
const struct method_desc *schema_method(str path); // NULL: unknown

// The objects that a fresh server creates: "clusterroles", "clusterrolebindings", "roles", "rolebindings", "flowschemas",
// "prioritylevelconfigurations", "priorityclasses", "apiservices", "namespaces", "servicecidrs", "services" as a compact JSON array
// (api/bootstrap/NAME.json). Empty: unknown name.
str schema_bootstrap(str name);

// --- Codecs -------------------------------------------------------------------------------------------------------------

struct decode_opts {
	// When not NULL, unknown and duplicate fields are listed here in upstream's words: `unknown field "spec.foo"`,
	// `duplicate field "spec.replicas"` (metadata as JSON paths: spec.containers[0].foo). Unknown fields are dropped either way.
	struct str_list *strict;
};

// A zeroed struct of the message.
void *schema_new(struct arena *a, const struct message_desc *m);
// Value tree -> struct. Slices point into the tree. Wrong types give upstream's message (400, BadRequest):
// "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container" or the
// "strict decoding error"/"ReplicaSet in version..." forms as upstream's decoder words them.
void *schema_from_value(struct arena *a, const struct message_desc *m, const struct value *v,
                        const struct decode_opts *o, struct error *err);
// Struct -> value tree, members in upstream's order (as Go's encoder: struct order; map keys sorted).
struct value *schema_to_value(struct arena *a, const struct message_desc *m, const void *obj);
// JSON bytes -> struct in one pass (the same checks and words). Slices point into `json`, which must outlive the struct.
void *schema_from_json(struct arena *a, const struct message_desc *m, str json, const struct decode_opts *o,
                       struct error *err);
// Struct -> JSON bytes as Go's encoding/json writes them (HTML escaped), without a newline.
void schema_to_json(struct buf *to, const struct message_desc *m, const void *obj);
// Protobuf message bytes, without the k8s envelope. Unknown fields are skipped. Bounded depth (100) and sizes. Slices point into
// `bytes`. kind and apiVersion are not in the message: the caller sets them.
void *schema_from_pb(struct arena *a, const struct message_desc *m, str bytes, struct error *err);
void schema_to_pb(struct buf *to, const struct message_desc *m, const void *obj);
// The k8s envelope: "k8s\0" and runtime.Unknown. `bytes` of schema_unwrap_pb stay where they are.
bool schema_unwrap_pb(str bytes, str *api_version, str *kind, str *raw, struct error *err);
void schema_wrap_pb(struct buf *to, str api_version, str kind, str raw);
// A deep copy into another arena.
void *schema_clone(struct arena *a, const struct message_desc *m, const void *obj);
// Deep equality as apimachinery's Semantic.DeepEqual: nil and empty lists and maps are equal, quantities by value,
// times to the nanosecond.
bool schema_equal(const struct message_desc *m, const void *x, const void *y);
// A nil/empty message: every field zero (used for omitzero and pruning).
bool schema_is_zero(const struct message_desc *m, const void *obj);

// Map helpers for any {v, n} of entries that begin with `str key`.
str str_map_get(const struct str_map *m, str key); // empty when absent
bool str_map_find(const struct str_map *m, str key, str *value);
void str_map_set(struct arena *a, struct str_map *m, str key, str value); // keeps order by key
bool str_map_del(struct str_map *m, str key);

#endif
