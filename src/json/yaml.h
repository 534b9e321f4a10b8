// YAML: the JSON subset that Kubernetes uses (sigs.k8s.io/yaml over go-yaml v2 rules: YAML 1.1 booleans are only
// true/false and their upper-case forms plus yes/no/on/off as go-yaml reads them into interface{}; keys become text).
#ifndef CORACLE_JSON_YAML_H
#define CORACLE_JSON_YAML_H

#include "json/json.h"

// One document. Anchors and merge keys are resolved, with a bound on expansion (no billion laughs).
// Error text as upstream's: "error converting YAML to JSON: yaml: line 2: ...", code 400. opts->duplicates lists
// upstream's lines (`line 3: key "x" already set in map`), of which a strict reader makes its error
// ("yaml: unmarshal errors:\n  line 3: ...", one indented line each); without it the last of equal keys wins in silence.
// Depth is bounded at 1000.
struct value *yaml_parse(struct arena *a, str text, const struct json_opts *opts, struct error *err);
// A stream of documents separated by "---". Empty documents are left out. JSON documents one after the other are
// read, too (a YAML stream that begins with '{'). Lines in messages count from the start of the document, as kubectl's.
bool yaml_parse_all(struct arena *a, str text, const struct json_opts *opts, struct value ***docs, size_t *n, struct error *err);
// Writes as sigs.k8s.io/yaml does (keys sorted, two spaces, sequences not indented, strings quoted where needed,
// multi-line text as a literal block).
void yaml_write(struct buf *to, const struct value *v);

#endif
