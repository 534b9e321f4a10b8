// What the commands of kubectl share: flags, the connection, kinds of resources, what the user names, and printers.
#ifndef CORACLE_KUBECTL_CMD_H
#define CORACLE_KUBECTL_CMD_H

#include <stdio.h>

#include "json/yaml.h"
#include "net/http_client.h"
#include "schema/schema.h"

// --- Flags (flags.c) ---------------------------------------------------------------------------------------------------

struct flag {
	const char *name;
	char letter;       // 0: none
	const char *value; // without the flag
	const char *bare;  // of the flag without "=value"; NULL: it takes the next argument
	bool list;         // may be repeated; commas separate, too
};
#define FLAG_BOOL(name_, letter_) \
	{ \
		.name = name_, .letter = letter_, .value = "false", .bare = "true" \
	}
#define FLAG_TRUE(name_) \
	{ \
		.name = name_, .value = "true", .bare = "true" \
	}
#define FLAG_TEXT(name_, letter_, value_) \
	{ \
		.name = name_, .letter = letter_, .value = value_ \
	}
#define FLAG_LIST(name_, letter_) \
	{ \
		.name = name_, .letter = letter_, .value = "", .list = true \
	}
// What all commands that read files have.
#define FLAGS_FILES FLAG_LIST("filename", 'f'), FLAG_BOOL("recursive", 'R')
#define FLAGS_SELECT \
	FLAG_TEXT("selector", 'l', ""), FLAG_TEXT("field-selector", 0, ""), FLAG_BOOL("all-namespaces", 'A')

struct flag_value {
	const struct flag *def;
	str text;
	struct str_list list;
	bool set;
};

struct kctl;
struct command {
	const char *name;
	const char *alias; // another name, or NULL
	const char *usage; // behind the name: "TYPE NAME [flags]"
	const char *about;
	bool (*run)(struct kctl *k, struct error *err);
	const struct flag *flags;
	size_t nflags;
	const struct command *sub; // commands below it; NULL: none
	size_t nsub;
	bool offline; // needs no server
};
#define COMMAND_FLAGS(array) .flags = (array), .nflags = ARRAY_LEN(array)

// --- The session --------------------------------------------------------------------------------------------------------

struct rtype;
struct kctl {
	struct arena *a;
	const char *program; // "kubectl"
	str command;         // "rollout status"
	const struct command *cmd;
	struct {
		struct flag_value *v;
		size_t n;
	} flags;
	struct str_list args; // what is left
	ptrdiff_t dash;       // how many of them stand before "--"; -1: there is none
	// The connection, from kubeconfig and flags.
	struct http_client *http;
	str server; // "https://127.0.0.1:6443"
	str ns;
	bool ns_given; // by --namespace: it must match the objects'
	str token, token_file;
	str as, context;
	struct str_list as_groups;
	struct value *config; // the merged kubeconfig
	struct value *status; // of the last answer that was a failure
	struct {
		struct rtype **v;
		size_t n;
	} types; // that discovery told
	bool discovered;
	bool failed;   // something was reported: the exit status is 1
	int exit_code; // another exit status, set by exec
};

str flag_text(const struct kctl *k, const char *name);
bool flag_bool(const struct kctl *k, const char *name);
bool flag_set(const struct kctl *k, const char *name); // the user gave it
const struct str_list *flag_list(const struct kctl *k, const char *name);
bool flag_int(const struct kctl *k, const char *name, int64_t *out, struct error *err);
// "5s", "1m30s", "0"; in nanoseconds. -1 for negative ones.
bool flag_duration(const struct kctl *k, const char *name, int64_t *out, struct error *err);
bool kc_duration_parse(str s, int64_t *ns);
// Reads the arguments behind the command's name. Errors as upstream's.
bool flags_parse(struct kctl *k, int argc, char **argv, struct error *err);
extern const struct flag global_flags[];
extern const size_t global_flags_n;
// "error: TEXT\nSee 'kubectl get -h' for help and examples"
bool kc_usage_error(struct kctl *k, struct error *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
// Asks the same of a sentence with one placeholder where it is used twice: prints `error` or the server's refusal.
void kc_report(struct kctl *k, const struct error *err);
// A warning on standard error.
void kc_warn(struct kctl *k, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// --- kubeconfig (config.c) ----------------------------------------------------------------------------------------------

bool config_load(struct kctl *k, struct error *err);    // files into k->config
bool config_connect(struct kctl *k, struct error *err); // k->http and k->ns
bool run_config_view(struct kctl *k, struct error *err);
bool run_config_current(struct kctl *k, struct error *err);
bool run_config_contexts(struct kctl *k, struct error *err);

// --- The API (api.c) ----------------------------------------------------------------------------------------------------

#define JSON_TYPE "application/json"
#define TABLE_TYPE \
	"application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/" \
	"json"

// One exchange. The answer's body is in the arena; a status of 400 and more is an error with the text of the Status object.
bool api_call(struct kctl *k, struct arena *a, const char *method, str path, str content_type, str body, str accept,
              str *answer, struct error *err);
// The same with the answer parsed.
struct value *api_json(struct kctl *k, struct arena *a, const char *method, str path, str content_type, str body,
                       struct error *err);
struct value *api_get(struct kctl *k, str path, struct error *err);
// Fills the headers that every request has.
void api_headers(struct kctl *k, struct arena *a, struct http_headers *h);
bool api_fail(struct kctl *k, struct arena *a, int status, str body, struct error *err);
// An error that came as a Status from the server (and not from this side).
bool kc_from_server(const struct error *err);
// Lines of a streamed answer: calls `line` for each until the stream ends or it returns false.
// until (monotonic nanoseconds, 0: never) ends it with the error "timed out waiting for the condition", reason Timeout.
bool api_lines(struct kctl *k, struct arena *a, str path, str accept, int64_t until, bool (*line)(void *ctx, str text),
               void *ctx, struct error *err);
// Calls `seen` with the object as it is (NULL: there is none) and again after each change, until it returns true: then
// the result is whether it left err alone. Broken watches are begun anew.
bool kc_watch_object(struct kctl *k, const struct rtype *t, str ns, str name, int64_t until,
                     bool (*seen)(void *ctx, struct value *obj, struct error *err), void *ctx, struct error *err);
bool http_connect_error(struct kctl *k, struct error *err);

// --- Kinds of resources (types.c) ---------------------------------------------------------------------------------------

struct rtype {
	str group, version, resource, singular, kind;
	str short_names, categories, verbs; // separated by commas
	bool namespaced;
	const struct message_desc *message; // of a built-in kind, for strategic merge; NULL: unknown
};
// By what a user types: plural, singular, short name or kind, with ".group" or ".version.group". NULL and upstream's error.
const struct rtype *kc_type_find(struct kctl *k, str word, struct error *err);
const struct rtype *kc_type_of_kind(struct kctl *k, str api_version, str kind, struct error *err);
// The types of a category ("all").
bool kc_types_of_category(struct kctl *k, str category, const struct rtype ***types, size_t *n);
// All that the server offers, subresources left out.
bool kc_types_discover(struct kctl *k, struct error *err);
// "deployment.apps", "pod"
str kc_type_name(struct kctl *k, const struct rtype *t);
str kc_api_version(struct kctl *k, const struct rtype *t);
// Path of one object (name not empty) or of the collection; ns empty: all namespaces.
str kc_type_path(struct kctl *k, const struct rtype *t, str ns, str name);

// --- What the user names (targets.c) ------------------------------------------------------------------------------------

struct target {
	const struct rtype *type;
	str ns, name;      // name empty: the collection
	struct value *obj; // from a file or the server; NULL: not read
	str source;        // the file
};
struct targets {
	struct target *v;
	size_t n;
	bool single; // one object was named (no list)
};
enum {
	TARGETS_OBJECTS = 1,
	TARGETS_FILES_ONLY = 2,
	TARGETS_ALLOW_EMPTY = 4,
	TARGETS_COLLECTIONS = 8,
	TARGETS_SKIP_MISSING = 16,
	TARGETS_NAMED = 32
};
// From -f, TYPE NAME..., TYPE/NAME..., TYPE -l SELECTOR, --all. Collections are expanded into their objects, unless
// TARGETS_COLLECTIONS. With TARGETS_OBJECTS the objects are read from the server. With TARGETS_NAMED a name, a selector or
// --all must be there. `args` is the part of k->args that names things. Objects that cannot be read are reported.
bool targets_read(struct kctl *k, str *args, size_t nargs, unsigned how, struct targets *out, struct error *err);
// Only the -f part.
bool targets_from_files(struct kctl *k, struct targets *out, struct error *err);
str target_path(struct kctl *k, const struct target *t);
// "pod/web-0", "deployment.apps/web"
str target_label(struct kctl *k, const struct target *t);
bool kc_list_all(struct kctl *k, const struct rtype *t, str ns, str label_selector, str field_selector,
                 struct value **list, struct error *err);
str kc_selector_query(struct kctl *k, str label_selector,
                      str field_selector); // "labelSelector=...&fieldSelector=..." or empty

// --- Printers (print.c, jsonpath.c) --------------------------------------------------------------------------------------

// Text in columns: cells end with a tab, rows with a line feed; a column is as wide as its widest cell in consecutive rows
// that have it (Go's text/tabwriter). The last cell of a row is not padded.
struct table {
	struct buf text;
	int min_width, padding;
	bool remember; // columns never get narrower from flush to flush
	bool in_row;
	int widths[64];
};
void kc_table_init(struct table *t);           // as kubectl get prints
void kc_table_cell(struct table *t, str text); // into the last row
void kc_table_row(struct table *t);            // begins a new one
void kc_table_flush(struct table *t, FILE *to);
void kc_table_free(struct table *t);

// For -o yaml, json, name, jsonpath=..., jsonpath-as-json is refused. False: the format is none of these (error set).
bool is_object_format(str format);
bool kc_print_object(struct kctl *k, FILE *to, str format, const struct value *obj, struct error *err);
// "pod/web created" with -o name and the like obeyed.
bool kc_print_done(struct kctl *k, const struct target *t, const struct value *obj, const char *done,
                   struct error *err);
void kc_print_yaml(FILE *to, const struct value *v);
void kc_print_json(FILE *to, const struct value *v);
// Without managedFields, which nobody wants to read.
void kc_strip_managed_fields(struct value *obj);
bool jsonpath_print(struct kctl *k, FILE *to, str template, const struct value *obj, struct error *err);
// Evaluates one path ("{.spec.replicas}" or ".spec.replicas"); at most one result. NULL: nothing there.
struct value *jsonpath_first(struct kctl *k, str path, const struct value *obj, struct error *err);
// Go's %v of a value: text bare, maps as map[k:v].
void kc_write_plain(struct buf *to, const struct value *v);

// --- Texts (text.c) -----------------------------------------------------------------------------------------------------

str kc_human_duration(struct arena *a, int64_t seconds); // "5m30s", "3d4h"
str kc_age_of(struct arena *a, str time);                // since an RFC 3339 time; "<unknown>"
str kc_lower(struct arena *a, str s);
str kc_upper(struct arena *a, str s);
str kc_quoted(struct arena *a, str s); // as Go's %q
str kc_join(struct arena *a, const str *v, size_t n, str separator);
int64_t kc_value_i64(const struct value *v, int64_t otherwise);
bool kc_value_true(const struct value *v);
// "a=b,c=d" of an object with text members, sorted; "<none>" when empty.
str kc_labels_text(struct arena *a, const struct value *labels);
// A selector in text form from matchLabels and matchExpressions.
str kc_selector_text(struct arena *a, const struct value *selector);

// --- Writes (create.c) ---------------------------------------------------------------------------------------------------

// "?fieldManager=...&fieldValidation=...&dryRun=All", as the flags say; empty when they say nothing.
str kc_write_query(struct kctl *k);
bool kc_check_dry_run(struct kctl *k, struct error *err);
// Puts "error when creating "FILE": " before the message, where the object came from a file. Returns false.
bool kc_add_source(struct error *err, const char *verb, str source);

// --- Commands that call each other ---------------------------------------------------------------------------------------

struct value *kc_apply_annotated(struct kctl *k, const struct value *obj, str *text); // with last-applied-configuration
void describe_pod_template(struct kctl *k, const struct value *template);
bool kc_wait_deleted(struct kctl *k, const struct target *t, str uid, int64_t until, struct error *err);

bool run_get(struct kctl *k, struct error *err);
bool run_describe(struct kctl *k, struct error *err);
bool run_create(struct kctl *k, struct error *err);
bool run_create_object(struct kctl *k, struct error *err);
bool run_apply(struct kctl *k, struct error *err);
bool run_delete(struct kctl *k, struct error *err);
bool run_logs(struct kctl *k, struct error *err);
bool run_exec(struct kctl *k, struct error *err);
bool run_scale(struct kctl *k, struct error *err);
bool run_rollout_status(struct kctl *k, struct error *err);
bool run_rollout_history(struct kctl *k, struct error *err);
bool run_rollout_undo(struct kctl *k, struct error *err);
bool run_rollout_restart(struct kctl *k, struct error *err);
bool run_rollout_pause(struct kctl *k, struct error *err);
bool run_rollout_resume(struct kctl *k, struct error *err);
bool run_set_image(struct kctl *k, struct error *err);
bool run_label(struct kctl *k, struct error *err);
bool run_annotate(struct kctl *k, struct error *err);
bool run_patch(struct kctl *k, struct error *err);
bool run_wait(struct kctl *k, struct error *err);
bool run_version(struct kctl *k, struct error *err);
bool run_api_resources(struct kctl *k, struct error *err);
bool run_api_versions(struct kctl *k, struct error *err);
bool run_cluster_info(struct kctl *k, struct error *err);

#endif
