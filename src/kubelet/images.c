#include "kubelet/images.h"

#include <stdlib.h>
#include <time.h>
#include <sys/statvfs.h>

#include "kubelet/objects.h"

#define PULL_MS (60 * 60 * 1000)
#define CALL_MS (2 * 60 * 1000)
#define LOOK_MS 200 // whether the pod is still wanted

static bool fail(str *reason, str *message, const char *why, str text)
{
	*reason = str_c(why);
	*message = text;
	return false;
}

// Credentials of the pod's pull secrets for this image.
static void credentials(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, str image, struct auth_list *out)
{
	for (size_t i = 0; i < pod->spec.imagePullSecrets.n; i++) {
		struct error err = { 0 };
		str name = pod->spec.imagePullSecrets.v[i].name, config;
		const struct core_v1_Secret *s = secret_get(w->k, a, pod->metadata.namespace, name, 0, &err);
		if (!s) {
			pod_event(w->k, pod, "Warning", "FailedToRetrieveImagePullSecret",
			          "Unable to retrieve some image pull secrets (" STR_FMT "); attempting to pull the image may not succeed.", STR_ARG(name));
			continue;
		}
		if (str_map_find(&s->data, S(".dockerconfigjson"), &config) || str_map_find(&s->data, S(".dockercfg"), &config))
			image_auth(a, config, image, out);
	}
}

static const struct cri_v1_Image *image_status(struct kubelet *k, struct arena *a, str image, struct error *err)
{
	struct cri_v1_ImageSpec spec = { .image = image, .user_specified_image = image };
	struct cri_v1_ImageStatusRequest r = { .image = &spec };
	struct cri_v1_ImageStatusResponse *s = CRI_IMAGE(&k->cri, a, ImageStatus, &r, CALL_MS, err);
	if (!s)
		return NULL;
	static const struct cri_v1_Image absent;
	return s->image ? s->image : &absent;
}

static struct image_info info_of(const struct cri_v1_Image *m)
{
	struct image_info i = { .id = m ? m->id : S("") };
	if (m && m->uid)
		i.uid = m->uid->value;
	else if (m && m->username.n)
		i = (struct image_info){ .id = m->id, .uid = -1, .user = m->username };
	return i;
}

// A pull goes on for as long as it takes, but a pod that is deleted does not wait for it: then it ends by itself.
struct pull_job {
	struct kubelet *k;
	struct arena *arena; // of the request and the answer
	struct cri_v1_PullImageRequest *request;
	struct cri_v1_PullImageResponse *answer;
	struct error err;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done, left;     // the caller has gone
};

static void pull_free(struct pull_job *j)
{
	pthread_mutex_destroy(&j->lock);
	pthread_cond_destroy(&j->changed);
	arena_free(j->arena);
	free(j);
}

static void pull_run(void *ctx)
{
	struct pull_job *j = ctx;
	struct cri_v1_PullImageResponse *answer = CRI_IMAGE(&j->k->cri, j->arena, PullImage, j->request, PULL_MS, &j->err);
	pthread_mutex_lock(&j->lock);
	j->answer = answer;
	j->done = true;
	bool left = j->left;
	pthread_cond_signal(&j->changed);
	pthread_mutex_unlock(&j->lock);
	if (left)
		pull_free(j);
}

// The image's reference (in the arena); empty: err says why not.
static str pull_once(struct worker *w, struct arena *a, const struct cri_v1_PullImageRequest *r, struct error *err)
{
	struct kubelet *k = w->k;
	struct pull_job *j = HEAP_NEW(struct pull_job);
	pthread_condattr_t attr;
	str ref = S("");
	j->k = k;
	j->arena = arena_new(0);
	j->request = schema_clone(j->arena, cri_v1_PullImageRequest_desc, r);
	pthread_mutex_init(&j->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&j->changed, &attr);
	pthread_condattr_destroy(&attr);
	task_run(k->tasks, pull_run, j);
	pthread_mutex_lock(&j->lock);
	while (!j->done && !j->left) {
		int64_t at = clock_mono(k->clock) + LOOK_MS * NS_PER_MS;
		struct timespec ts = { at / NS_PER_SEC, at % NS_PER_SEC };
		pthread_cond_timedwait(&j->changed, &j->lock, &ts);
		j->left = !j->done && worker_must_end(w);
	}
	bool left = j->left;
	pthread_mutex_unlock(&j->lock);
	if (left) {
		grpc_error(err, GRPC_CANCELLED, "the pod is being deleted");
		return ref;
	}
	if (j->answer)
		ref = arena_dup(a, j->answer->image_ref.n ? j->answer->image_ref : j->request->image->image);
	else
		*err = j->err;
	pull_free(j);
	return ref;
}

static bool pull(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Container *c, str image,
                 struct cri_v1_PodSandboxConfig *sandbox, struct image_info *out, str *reason, str *message)
{
	struct kubelet *k = w->k;
	struct note *n = worker_note(w, c->name);
	int64_t now = clock_mono(k->clock);
	struct auth_list auths = { 0 };
	struct error err = { 0 };
	if (backoff_since_update(&n->pull, now)) {
		str text = arena_concat(a, S("Back-off pulling image "), quoted(a, c->image));
		container_event(k, a, pod, c->name, "Normal", "BackOff", STR_FMT, STR_ARG(text));
		if (n->pull_error)
			text = arena_concat(a, text, S(": "), str_c(n->pull_error));
		return fail(reason, message, "ImagePullBackOff", text);
	}
	container_event(k, a, pod, c->name, "Normal", "Pulling", "Pulling image \"" STR_FMT "\"", STR_ARG(c->image));
	credentials(w, a, pod, image, &auths);
	struct cri_v1_ImageSpec spec = { .image = image, .annotations = pod->metadata.annotations, .user_specified_image = c->image };
	str ref = S("");
	k->counters[COUNT_PULLS]++;
	for (size_t i = 0; !ref.n && i < MAX(auths.n, 1); i++) {
		struct cri_v1_PullImageRequest r = { .image = &spec, .auth = auths.n ? &auths.v[i] : NULL, .sandbox_config = sandbox };
		ref = pull_once(w, a, &r, &err);
	}
	if (!ref.n) {
		str text = cri_error_text(a, &err);
		container_event(k, a, pod, c->name, "Warning", "Failed", "Failed to pull image \"" STR_FMT "\": " STR_FMT, STR_ARG(c->image),
		                STR_ARG(text));
		backoff_next(&n->pull, now, clock_mono(k->clock));
		free(n->pull_error);
		n->pull_error = heap_cstr(arena_concat(a, S("ErrImagePull: "), text));
		return fail(reason, message, "ErrImagePull", text);
	}
	free(n->pull_error);
	n->pull_error = NULL;
	int64_t took = (clock_mono(k->clock) - now) / NS_PER_MS * NS_PER_MS;
	const struct cri_v1_Image *there = image_status(k, a, ref, &err);
	container_event(k, a, pod, c->name, "Normal", "Pulled",
	                "Successfully pulled image \"" STR_FMT "\" in " STR_FMT " (" STR_FMT " including waiting). Image size: %llu bytes.",
	                STR_ARG(c->image), STR_ARG(duration_text(a, took)), STR_ARG(duration_text(a, took)),
	                (unsigned long long)(there ? there->size : 0));
	*out = info_of(there);
	if (!out->id.n)
		out->id = ref;
	return true;
}

bool image_ensure(struct worker *w, struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Container *c,
                  struct cri_v1_PodSandboxConfig *sandbox, struct image_info *out, str *reason, str *message)
{
	struct kubelet *k = w->k;
	struct error err = { 0 };
	str image;
	if (!image_name(a, c->image, &image, &err)) {
		str text = arena_printf(a, "Failed to apply default image tag \"" STR_FMT "\": %s", STR_ARG(c->image), err.text);
		container_event(k, a, pod, c->name, "Warning", "InspectFailed", STR_FMT, STR_ARG(text));
		return fail(reason, message, "InvalidImageName", text);
	}
	if (!str_eqc(c->imagePullPolicy, "Always")) {
		const struct cri_v1_Image *there = image_status(k, a, image, &err);
		if (!there) {
			str text = arena_concat(a, S("Failed to inspect image \"\": "), cri_error_text(a, &err));
			container_event(k, a, pod, c->name, "Warning", "InspectFailed", STR_FMT, STR_ARG(text));
			return fail(reason, message, "ImageInspectError", text);
		}
		if (there->id.n) {
			container_event(k, a, pod, c->name, "Normal", "Pulled",
			                "Container image \"" STR_FMT "\" already present on machine and can be accessed by the pod", STR_ARG(c->image));
			*out = info_of(there);
			return true;
		}
		if (str_eqc(c->imagePullPolicy, "Never")) {
			str text = arena_concat(a, S("Container image "), quoted(a, c->image), S(" is not present with pull policy of Never"));
			container_event(k, a, pod, c->name, "Warning", "ErrImageNeverPull", STR_FMT, STR_ARG(text));
			return fail(reason, message, "ErrImageNeverPull", text);
		}
	}
	return pull(w, a, pod, c, image, sandbox, out, reason, message);
}

// --- Garbage -----------------------------------------------------------------------------------------------------------


void unused_images_remove(struct kubelet *k)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	_cleanup_map_ struct map used = { 0 };
	struct error err = { 0 };
	struct statvfs fs;
	struct cri_v1_ImageFsInfoRequest ir = { 0 };
	struct cri_v1_ImageFsInfoResponse *info = CRI_IMAGE(&k->cri, a, ImageFsInfo, &ir, CALL_MS, &err);
	if (!info || !info->image_filesystems.n || !info->image_filesystems.v[0].fs_id)
		return;
	if (statvfs(arena_cstr(a, info->image_filesystems.v[0].fs_id->mountpoint), &fs) < 0 || fs.f_blocks == 0)
		return;
	uint64_t capacity = (uint64_t)fs.f_blocks * fs.f_frsize, available = (uint64_t)fs.f_bavail * fs.f_frsize;
	uint64_t percent = 100 - available * 100 / capacity;
	if (percent < (uint64_t)k->cfg.image_gc_high)
		return;
	uint64_t wanted = capacity * (100 - (uint64_t)k->cfg.image_gc_low) / 100;
	uint64_t to_free = wanted > available ? wanted - available : 0, freed = 0;
	struct cri_v1_ListContainersRequest cr = { 0 };
	struct cri_v1_ListContainersResponse *containers = CRI(&k->cri, a, ListContainers, &cr, CALL_MS, &err);
	struct cri_v1_ListImagesRequest lr = { 0 };
	struct cri_v1_ListImagesResponse *images = containers ? CRI_IMAGE(&k->cri, a, ListImages, &lr, CALL_MS, &err) : NULL;
	if (!images)
		return;
	for (size_t i = 0; i < containers->containers.n; i++) {
		map_put(&used, containers->containers.v[i].image_ref, a);
		map_put(&used, containers->containers.v[i].image_id, a);
	}
	for (size_t i = 0; i < images->images.n && freed < to_free; i++) {
		const struct cri_v1_Image *m = &images->images.v[i];
		bool in_use = m->pinned || map_has(&used, m->id);
		for (size_t d = 0; d < m->repo_digests.n; d++)
			in_use |= map_has(&used, m->repo_digests.v[d]);
		if (in_use)
			continue;
		struct cri_v1_ImageSpec spec = { .image = m->id };
		struct cri_v1_RemoveImageRequest rr = { .image = &spec };
		if (CRI_IMAGE(&k->cri, a, RemoveImage, &rr, CALL_MS, &err)) {
			freed += m->size;
			log_info("removed unused image " STR_FMT, STR_ARG(m->id));
		}
	}
	if (freed < to_free)
		log_warn("image file system is %llu %% full; freed %llu of %llu bytes", (unsigned long long)percent, (unsigned long long)freed,
		         (unsigned long long)to_free);
}
