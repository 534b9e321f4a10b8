// Image manifests, indexes and configurations (image-spec v1, and Docker's schema 2 of the same shape).
#ifndef CORACLE_RUNTIME_MANIFEST_H
#define CORACLE_RUNTIME_MANIFEST_H

#include "base/arena.h"
#include "base/error.h"
#include "schema/schema.h"

enum { MANIFEST_MAX_BYTES = 4 << 20, MANIFEST_MAX_LAYERS = 500, MANIFEST_MAX_ENTRIES = 2000 };

struct descriptor {
	str media_type, digest;
	int64_t size;
	str os, arch, variant;    // platform, where the descriptor has one
	struct str_map annotations;
};
struct descriptor_list { struct descriptor *v; size_t n; };

struct manifest {
	bool is_index;
	struct descriptor_list manifests; // of an index
	struct descriptor config;         // of a manifest
	struct descriptor_list layers;
};

// Every digest in the result is valid, every size not negative. Schema 1 and encrypted layers are refused.
bool manifest_parse(struct arena *a, str json, struct manifest *out, struct error *err);

// The architecture of this machine in OCI's words.
const char *manifest_host_arch(void);
// The entry of an index for linux on this machine; NULL: none.
const struct descriptor *manifest_select(const struct manifest *index);

struct image_config {
	str os, arch;
	str user, working_dir, stop_signal;
	struct str_list entrypoint, cmd, env, volumes;
	struct str_map labels;
	struct str_list diff_ids;
};
bool image_config_parse(struct arena *a, str json, struct image_config *out, struct error *err);

#endif
