// Image references: "nginx", "quay.io/team/app:v1", "repo@sha256:...", as github.com/distribution/reference reads them.
#ifndef CORACLE_RUNTIME_REF_H
#define CORACLE_RUNTIME_REF_H

#include "base/arena.h"
#include "base/error.h"

struct image_ref {
	str domain; // "docker.io", "localhost:5000"
	str path;   // "library/nginx"
	str tag;    // "latest" when the text has neither tag nor digest; empty when it has only a digest
	str digest; // "sha256:..." or empty
};

// Normalises as Docker does: no domain means docker.io, no slash there means library/. Fails with code 400 and
// "invalid reference format" (or upstream's words for upper case and over-long names).
bool image_ref_parse(struct arena *a, str text, struct image_ref *out, struct error *err);
// "docker.io/library/nginx"
str image_ref_name(struct arena *a, const struct image_ref *r);
// "docker.io/library/nginx:latest"; empty without a tag.
str image_ref_tagged(struct arena *a, const struct image_ref *r);
// "docker.io/library/nginx@sha256:..." with the digest given.
str image_ref_digested(struct arena *a, const struct image_ref *r, str digest);

#endif
