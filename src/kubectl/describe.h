// kubectl describe: text in columns about one object. One function per kind that has a form of its own.
#ifndef CORACLE_KUBECTL_DESCRIBE_H
#define CORACLE_KUBECTL_DESCRIBE_H

#include "kubectl/cmd.h"

struct describer {
	struct kctl *k;
	struct table out;
	const struct value *obj;
	const struct rtype *type;
	bool events;
	bool in_template; // what is described is a template, which has no fields to refer to
};

// Text with tabs between columns; `level` steps of two spaces before it.
void d_line(struct describer *d, int level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void d_raw(struct describer *d, str text);
// "Labels:   a=b" with further ones below.
void d_labels(struct describer *d, const char *title, const struct value *labels);
void d_annotations(struct describer *d, const char *title, const struct value *annotations);
void d_tolerations(struct describer *d, const char *title, const struct value *list);
void d_events(struct describer *d);
// Members by path, as text; `or` when it is not there or empty.
str d_text(const struct value *v, const char *outer, const char *inner);
str d_member(const struct value *v, const char *name);
long long d_number(const struct value *v, const char *name);
// "Mon, 02 Jan 2006 15:04:05 +0000" in local time.
str d_time(struct describer *d, str rfc3339);
str d_controller(struct describer *d);
// Items of a list, none where there is no list.
size_t d_count(const struct value *list);
str d_joined(struct describer *d, const struct value *list);
// Keys in order.
struct member *d_sorted(struct describer *d, const struct value *object, size_t *n);

void describe_pod(struct describer *d);
void describe_template(struct describer *d, const struct value *template);
bool describe_deployment(struct describer *d);
bool describe_replicaset(struct describer *d);
bool describe_service(struct describer *d);
bool describe_node(struct describer *d);
bool describe_configmap(struct describer *d);
bool describe_secret(struct describer *d);
bool describe_namespace(struct describer *d);
void describe_generic(struct describer *d);

#endif
