// The ImageService of CRI v1.
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "runtime/server.h"

#define REQUEST(T) \
	struct cri_v1_##T *req = schema_from_pb(a, cri_v1_##T##_desc, request, err); \
	if (!req) \
	return rpc_error(err, GRPC_INTERNAL, "grpc: failed to unmarshal the received message: %s", err->text)
#define RESPONSE(T, r) schema_to_pb(response, cri_v1_##T##_desc, (r))
#define HANDLER(name) \
	static bool name(struct grpc_server_call *call, struct arena *a, str request, struct buf *response, void *ctx, struct error *err)
#define UNUSED (void)call, (void)a, (void)request, (void)response, (void)ctx, (void)err

enum { USAGE_FRESH_S = 60 };

static void describe(struct arena *a, const struct image *m, struct cri_v1_Image *out)
{
	*out = (struct cri_v1_Image){ .id = m->id, .repo_tags = m->names, .repo_digests = m->digests, .size = (uint64_t)MAX(m->size, 0) };
	str user, group;
	int64_t uid;
	str_split(m->user, ':', &user, &group);
	if (user.n && str_to_i64(user, &uid)) {
		out->uid = ARENA_NEW(a, struct cri_v1_Int64Value);
		out->uid->value = uid;
	} else if (user.n) {
		out->username = user;
	} else {
		out->uid = ARENA_NEW(a, struct cri_v1_Int64Value); // nobody said: root
	}
}

HANDLER(list_images)
{
	UNUSED;
	struct runtime *rt = ctx;
	REQUEST(ListImagesRequest);
	struct cri_v1_ListImagesResponse r = { 0 };
	str want = req->filter && req->filter->image ? req->filter->image->image : (str){ 0 };
	if (want.n) {
		struct image *m;
		if (!image_find(&rt->images, a, want, &m, err))
			return rpc_end(err);
		if (m)
			describe(a, m, LIST_ADD(a, &r.images));
	} else {
		struct image_list l;
		if (!image_list(&rt->images, a, &l, err))
			return rpc_end(err);
		for (size_t i = 0; i < l.n; i++)
			describe(a, &l.v[i], LIST_ADD(a, &r.images));
	}
	RESPONSE(ListImagesResponse, &r);
	return true;
}

HANDLER(image_status)
{
	UNUSED;
	struct runtime *rt = ctx;
	REQUEST(ImageStatusRequest);
	struct cri_v1_ImageStatusResponse r = { 0 };
	struct image *m;
	if (!image_find(&rt->images, a, req->image ? req->image->image : (str){ 0 }, &m, err))
		return rpc_end(err);
	if (m) {
		r.image = ARENA_NEW(a, struct cri_v1_Image);
		describe(a, m, r.image);
		str config;
		struct error gone = { 0 };
		if (req->verbose && blob_read(&rt->images, a, m->id, &config, &gone))
			str_map_set(a, &r.info, S("info"), arena_concat(a, S("{\"imageSpec\":"), config, S("}")));
	}
	RESPONSE(ImageStatusResponse, &r);
	return true;
}

HANDLER(pull_image)
{
	UNUSED;
	REQUEST(PullImageRequest);
	struct cri_v1_PullImageResponse r = { 0 };
	if (!image_pull(ctx, a, req->image ? req->image->image : (str){ 0 }, req->auth, &r.image_ref, err))
		return rpc_end(err);
	RESPONSE(PullImageResponse, &r);
	return true;
}

HANDLER(remove_image)
{
	UNUSED;
	struct runtime *rt = ctx;
	REQUEST(RemoveImageRequest);
	if (!image_remove(&rt->images, a, req->image ? req->image->image : (str){ 0 }, err))
		return rpc_end(err);
	struct error gc = { 0 };
	if (!image_gc(&rt->images, a, layer_used, rt, &gc))
		log_warn("images: %s", gc.text);
	lock(rt);
	rt->usage_at = 0;
	unlock(rt);
	struct cri_v1_RemoveImageResponse r = { 0 };
	RESPONSE(RemoveImageResponse, &r);
	return true;
}

HANDLER(image_fs_info)
{
	UNUSED;
	struct runtime *rt = ctx;
	// Counting walks the whole store: what was counted a moment ago will do.
	lock(rt);
	bool fresh = rt->usage_at && now() - rt->usage_at < USAGE_FRESH_S * NS_PER_SEC;
	uint64_t bytes = rt->usage_bytes, inodes = rt->usage_inodes;
	int64_t at = rt->usage_at;
	unlock(rt);
	if (!fresh) {
		if (!image_usage(&rt->images, &bytes, &inodes, err))
			return rpc_end(err);
		at = now();
		lock(rt);
		rt->usage_bytes = bytes;
		rt->usage_inodes = inodes;
		rt->usage_at = at;
		unlock(rt);
	}
	struct cri_v1_FilesystemIdentifier id = { str_c(rt->images.dir) };
	struct cri_v1_UInt64Value b = { bytes }, i = { inodes };
	struct cri_v1_ImageFsInfoResponse r = { 0 };
	struct cri_v1_FilesystemUsage u = { .timestamp = at, .fs_id = &id, .used_bytes = &b, .inodes_used = &i };
	*LIST_ADD(a, &r.image_filesystems) = u;
	*LIST_ADD(a, &r.container_filesystems) = u;
	RESPONSE(ImageFsInfoResponse, &r);
	return true;
}

#define IMAGE(name, fn) { "/runtime.v1.ImageService/" name, fn, NULL }
static const struct grpc_method methods[] = {
	IMAGE("ListImages", list_images), IMAGE("ImageStatus", image_status), IMAGE("PullImage", pull_image),
	IMAGE("RemoveImage", remove_image), IMAGE("ImageFsInfo", image_fs_info),
};
const struct grpc_method *const cri_image_methods = methods;
const size_t cri_image_method_count = ARRAY_LEN(methods);
