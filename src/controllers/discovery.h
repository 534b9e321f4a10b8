// What the server offers, for controllers that work on any resource.
#ifndef CORACLE_CONTROLLERS_DISCOVERY_H
#define CORACLE_CONTROLLERS_DISCOVERY_H

#include "controllers/manager.h"

struct discovered {
	str group, version, resource, kind;
	struct str_list verbs;
	bool namespaced;
	bool preferred; // no better version of the group has the resource
};
struct discovered_list {
	struct discovered *v;
	size_t n;
};

// All resources (no subresources) in all versions. False when a group could not be read: *out has the others.
bool discover(struct manager *m, struct arena *a, struct discovered_list *out, struct error *err);
bool discovered_verb(const struct discovered *d, str verb);
// Path of the collection, or of an object where name is not empty.
str discovered_path(struct arena *a, const struct discovered *d, str ns, str name);

#endif
