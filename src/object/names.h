// Name and value rules beyond those of meta.h. Each adds upstream's text for what is wrong to `why`, nothing when all is well.
// Rule: apimachinery util/validation and api/validate/content.
#ifndef CORACLE_OBJECT_NAMES_H
#define CORACLE_OBJECT_NAMES_H

#include "object/meta.h"

void name_is_subdomain_with_underscore(struct arena *a, str s, struct str_list *why);
void name_is_wildcard_subdomain(struct arena *a, str s, struct str_list *why); // "*.example.com"
void name_is_path_segment(struct arena *a, str s, bool prefix, struct str_list *why); // what RBAC kinds and others without a stricter rule take
void name_is_c_identifier(struct arena *a, str s, struct str_list *why);
void name_is_env_var(struct arena *a, str s, bool relaxed, struct str_list *why);
void name_is_config_key(struct arena *a, str s, struct str_list *why);
void name_is_port_name(struct arena *a, str s, struct str_list *why);
void name_is_http_header(struct arena *a, str s, struct str_list *why);
void name_is_percent(struct arena *a, str s, struct str_list *why);
void port_in_range(struct arena *a, int64_t port, struct str_list *why);
// As above, as a question.
bool is_dns1123_label(str s);
bool is_dns1123_subdomain(str s);
bool is_dns1035_label(str s);
bool is_qualified_name(str s);
bool is_label_value(str s);

// Addresses as upstream's ParseIPSloppy reads them (IPv4 parts may have leading zeros). `v6` tells the family. False: none.
bool ip_parse(str s, unsigned char bytes[16], bool *v6);
// The canonical text (RFC 5952).
str ip_text(struct arena *a, const unsigned char bytes[16], bool v6);
// "10.0.0.0/8"; bytes as written, host bits kept.
bool cidr_parse(str s, unsigned char bytes[16], bool *v6, int *bits);
// "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)" and the warnings' rule for what is not canonical.
bool ip_is_canonical(struct arena *a, str s);

// Joins with a separator.
str str_list_join(struct arena *a, const struct str_list *l, const char *sep);
bool str_list_has(const struct str_list *l, str s);
// Go's %q.
str go_quote(struct arena *a, str s);

#endif
