// The image store: blobs by digest, unpacked layers by chain, and one index that names images.
//
//     ROOT/images/index.json      images: id (digest of the configuration), names, manifest, layers
//     ROOT/images/blobs/HEX       manifests and configurations; layers only until they are unpacked
//     ROOT/images/layers/HEX      one directory per chain of layers (the first 32 digits of the chain ID)
//     ROOT/images/ingest/         downloads and layers under way; a download goes on where it was cut
//     ROOT/images/lock, gc.lock   the index (exclusive while it changes); the contents (shared while images are added,
//                                 exclusive while what no image names is deleted)
//
// Several processes may use one store at a time: a server, and imports. Threads may share a `struct image_store`.
#ifndef CORACLE_RUNTIME_IMAGE_H
#define CORACLE_RUNTIME_IMAGE_H

#include "base/arena.h"
#include "base/error.h"
#include "runtime/manifest.h"

struct image_store { const char *dir; }; // ROOT/images

struct image {
	str id;                    // "sha256:...", of the configuration
	str manifest;              // digest
	struct str_list names;     // "docker.io/library/nginx:1.29"
	struct str_list digests;   // "docker.io/library/nginx@sha256:..."
	struct str_list chains;    // chain ID of each layer, the lowest first
	int64_t size;              // of the blobs, as registries count
	str user;                  // of the configuration
};
struct image_list { struct image *v; size_t n; };

// Makes the directories. `dir` must outlive the store.
bool image_store_open(struct image_store *s, const char *dir, struct error *err);
bool image_list(const struct image_store *s, struct arena *a, struct image_list *out, struct error *err);
// By name (normalised here), by "repo@digest", by id with or without "sha256:". *out NULL: there is none.
bool image_find(const struct image_store *s, struct arena *a, str ref, struct image **out, struct error *err);
bool image_read_config(const struct image_store *s, struct arena *a, str id, struct image_config *out, struct error *err);
// Takes the image out of the index, with all its names. Absent is fine.
bool image_remove(const struct image_store *s, struct arena *a, str ref, struct error *err);
// The directory of a chain's top layer.
const char *image_layer_dir(const struct image_store *s, struct arena *a, str chain);
// The directories for an overlay mount of the image, top first; an empty directory when it has no layers.
const char **image_lower_dirs(const struct image_store *s, struct arena *a, const struct str_list *chains, size_t *n);

// While images are added: keeps what is not yet named from being deleted. Close the descriptor to end it.
int image_hold(const struct image_store *s, struct error *err);
// Deletes blobs that no image names, and layers, too, unless layer_used is NULL; layer_used says of a directory's name whether
// a container needs it. Does nothing (successfully) while another process or thread adds images.
bool image_gc(const struct image_store *s, struct arena *a, bool (*layer_used)(str name, void *ctx), void *ctx, struct error *err);

// Unpacks the layers of a manifest that is in the store with all its blobs, and names the image. A name moves here from
// the image that had it. Call with image_hold.
bool image_install(const struct image_store *s, struct arena *a, str manifest_digest, const struct str_list *names,
                   const struct str_list *digests, str *id, struct error *err);
bool image_layer_exists(const struct image_store *s, struct arena *a, str chain);
// Bytes and inodes that the store uses on disk.
bool image_usage(const struct image_store *s, uint64_t *bytes, uint64_t *inodes, struct error *err);

// --- Blobs ---
const char *blob_path(const struct image_store *s, struct arena *a, str digest);
bool blob_exists(const struct image_store *s, struct arena *a, str digest);
bool blob_read(const struct image_store *s, struct arena *a, str digest, str *out, struct error *err);

struct blob_writer {
	int fd;
	const char *path;
	struct digest *digest;
	int64_t n;        // bytes so far
};
// digest empty: a new file. Else waits for others who write the same blob and goes on behind what is there already
// (w->n); *have is true when the blob is complete (then there is nothing to write or commit).
bool blob_begin(const struct image_store *s, struct arena *a, str digest, struct blob_writer *w, bool *have, struct error *err);
bool blob_write(struct blob_writer *w, const void *p, size_t n, struct error *err);
// Forgets what was written (a server that sends everything again).
bool blob_restart(struct blob_writer *w, struct error *err);
// Checks digest (when not empty) and size (when not negative) and puts the blob in its place. Ends the writer either way; a
// blob that fails is deleted.
bool blob_commit(const struct image_store *s, struct arena *a, struct blob_writer *w, str expect, int64_t size, str *digest, struct error *err);
// Ends the writer; `keep` leaves the part for a later blob_begin.
void blob_abort(struct blob_writer *w, bool keep);
bool blob_put(const struct image_store *s, struct arena *a, str bytes, str *digest, struct error *err);

#endif
