// Images of containers: pull policies, back-off, credentials, and the removal of those that nobody uses.
#ifndef CORACLE_KUBELET_IMAGES_H
#define CORACLE_KUBELET_IMAGES_H

#include "kubelet/state.h"

struct image_info {
	str id;      // what a container is made from
	int64_t uid; // of the image's user; -1: it has a name, or is not known
	str user;
};
// Makes sure that the image is there. On failure *reason and *message are what the
// container's status shows (ErrImagePull, ImagePullBackOff, ErrImageNeverPull, InvalidImageName, ...).
bool image_ensure(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Container *c,
                  struct cri_v1_PodSandboxConfig *sandbox, struct image_info *out, str *reason, str *message);
// With the tag "latest" when there is neither tag nor digest. False and upstream's words when it is no image name.
bool image_name(struct arena *a, str image, str *out, struct error *err);
// Credentials for an image out of one docker configuration ({"auths": {...}}, or the old form without "auths").
struct auth_list { struct cri_v1_AuthConfig *v; size_t n; };
void image_auth(struct arena *a, str docker_config, str image, struct auth_list *out);
// Removes unused images, oldest first, when their file system is fuller than the high threshold.
void unused_images_remove(struct kubelet *k);

#endif
