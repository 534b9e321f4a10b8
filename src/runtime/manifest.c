#include "runtime/manifest.h"

#include "json/json.h"
#include "runtime/digest.h"

static bool bad(struct error *err, const char *what)
{
	return error_api(err, 400, "BadRequest", "invalid manifest: %s", what);
}

static void read_map(struct arena *a, const struct value *v, struct str_map *out)
{
	if (!value_is(v, V_OBJECT))
		return;
	for (size_t i = 0; i < v->o.n && i < MANIFEST_MAX_ENTRIES; i++)
		if (value_is(v->o.v[i].value, V_STRING))
			str_map_set(a, out, v->o.v[i].key, v->o.v[i].value->s);
}

static bool read_descriptor(struct arena *a, const struct value *v, struct descriptor *d, struct error *err)
{
	if (!value_is(v, V_OBJECT))
		return bad(err, "a descriptor is missing");
	*d = (struct descriptor){
		.media_type = value_get_str(v, S("mediaType")),
		.digest = value_get_str(v, S("digest")),
	};
	if (!digest_valid(d->digest))
		return bad(err, "a descriptor has no valid sha256 digest");
	if (!value_to_i64(value_get(v, S("size")), &d->size) || d->size < 0)
		return bad(err, "a descriptor has no valid size");
	const struct value *platform = value_get(v, S("platform"));
	d->os = value_get_str(platform, S("os"));
	d->arch = value_get_str(platform, S("architecture"));
	d->variant = value_get_str(platform, S("variant"));
	read_map(a, value_get(v, S("annotations")), &d->annotations);
	return true;
}

static bool read_descriptors(struct arena *a, const struct value *v, size_t limit, struct descriptor_list *out, struct error *err)
{
	if (!v || v->kind == V_NULL)
		return true;
	if (v->kind != V_ARRAY || v->a.n > limit)
		return bad(err, "too many descriptors");
	for (size_t i = 0; i < v->a.n; i++)
		if (!read_descriptor(a, v->a.v[i], LIST_ADD(a, out), err))
			return false;
	return true;
}

bool manifest_parse(struct arena *a, str json, struct manifest *out, struct error *err)
{
	*out = (struct manifest){ 0 };
	if (json.n > MANIFEST_MAX_BYTES)
		return error_api(err, 413, "RequestEntityTooLarge", "manifest has more than %d bytes", MANIFEST_MAX_BYTES);
	struct json_opts o = { .max_depth = 64 };
	struct value *v = json_parse(a, json, &o, err);
	if (!v)
		return error_wrap(err, "manifest");
	if (v->kind != V_OBJECT)
		return bad(err, "not an object");
	int64_t version = 0;
	value_to_i64(value_get(v, S("schemaVersion")), &version);
	if (version != 2)
		return bad(err, "only schema version 2 is supported");
	if (value_get(v, S("manifests"))) {
		out->is_index = true;
		return read_descriptors(a, value_get(v, S("manifests")), MANIFEST_MAX_ENTRIES, &out->manifests, err);
	}
	if (!read_descriptor(a, value_get(v, S("config")), &out->config, err) ||
	    !read_descriptors(a, value_get(v, S("layers")), MANIFEST_MAX_LAYERS, &out->layers, err))
		return false;
	for (size_t i = 0; i < out->layers.n; i++)
		if (str_contains(out->layers.v[i].media_type, S("encrypted")))
			return bad(err, "encrypted layers are not supported");
	return true;
}

const char *manifest_host_arch(void)
{
#if defined(__x86_64__)
	return "amd64";
#elif defined(__aarch64__)
	return "arm64";
#elif defined(__riscv)
	return "riscv64";
#elif defined(__powerpc64__)
	return "ppc64le";
#elif defined(__s390x__)
	return "s390x";
#elif defined(__i386__)
	return "386";
#else
	return "arm";
#endif
}

const struct descriptor *manifest_select(const struct manifest *index)
{
	const struct descriptor *only = NULL;
	for (size_t i = 0; i < index->manifests.n; i++) {
		const struct descriptor *d = &index->manifests.v[i];
		if (str_eqc(d->os, "linux") && str_eqc(d->arch, manifest_host_arch()))
			return d;
		if (d->os.n == 0)
			only = d;
	}
	return only; // an entry without a platform fits any (image layouts are often written so)
}

static void read_strings(struct arena *a, const struct value *v, struct str_list *out)
{
	if (!value_is(v, V_ARRAY))
		return;
	for (size_t i = 0; i < v->a.n && i < MANIFEST_MAX_ENTRIES; i++)
		if (value_is(v->a.v[i], V_STRING))
			*LIST_ADD(a, out) = v->a.v[i]->s;
}

bool image_config_parse(struct arena *a, str json, struct image_config *out, struct error *err)
{
	*out = (struct image_config){ 0 };
	if (json.n > MANIFEST_MAX_BYTES)
		return error_api(err, 413, "RequestEntityTooLarge", "image configuration has more than %d bytes", MANIFEST_MAX_BYTES);
	struct json_opts o = { .max_depth = 64 };
	struct value *v = json_parse(a, json, &o, err);
	if (!v)
		return error_wrap(err, "image configuration");
	if (v->kind != V_OBJECT)
		return error_api(err, 400, "BadRequest", "image configuration: not an object");
	out->os = value_get_str(v, S("os"));
	out->arch = value_get_str(v, S("architecture"));
	const struct value *c = value_get(v, S("config"));
	out->user = value_get_str(c, S("User"));
	out->working_dir = value_get_str(c, S("WorkingDir"));
	out->stop_signal = value_get_str(c, S("StopSignal"));
	read_strings(a, value_get(c, S("Entrypoint")), &out->entrypoint);
	read_strings(a, value_get(c, S("Cmd")), &out->cmd);
	read_strings(a, value_get(c, S("Env")), &out->env);
	read_map(a, value_get(c, S("Labels")), &out->labels);
	const struct value *volumes = value_get(c, S("Volumes"));
	if (value_is(volumes, V_OBJECT))
		for (size_t i = 0; i < volumes->o.n && i < MANIFEST_MAX_ENTRIES; i++)
			*LIST_ADD(a, &out->volumes) = volumes->o.v[i].key;
	read_strings(a, value_path(v, S("rootfs"), S("diff_ids")), &out->diff_ids);
	for (size_t i = 0; i < out->diff_ids.n; i++)
		if (!digest_valid(out->diff_ids.v[i]))
			return error_api(err, 400, "BadRequest", "image configuration: invalid diff ID");
	return true;
}
