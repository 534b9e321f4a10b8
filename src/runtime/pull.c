#include <pthread.h>
#include <stdlib.h>

#include "base/encode.h"
#include "base/heap.h"
#include "base/io.h"
#include "base/log.h"
#include "runtime/digest.h"
#include "runtime/registry.h"
#include "runtime/server.h"

enum { PULL_DOWNLOADS = 3, PULL_DEPTH = 4 };

// A pull under way; whoever asks for the same image with the same credentials waits for it.
struct pull {
	int refs;
	bool done, ok;
	struct error err;
	char id[80];
};

static bool is_local(str domain)
{
	str host, port;
	if (str_has_prefix(domain, S("[::1]")))
		return true;
	str_split(domain, ':', &host, &port);
	return str_eqc(host, "localhost") || str_has_prefix(host, S("127."));
}

static str trusted_pem(struct runtime *rt, struct arena *a)
{
	static const char *const bundles[] = { "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem" };
	str pem = { 0 }, more = { 0 };
	struct error ignored = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(bundles) && pem.n == 0; i++)
		if (!io_read_file(a, bundles[i], 8 << 20, &pem, &ignored))
			pem = (str){ 0 };
	if (rt->opts.registry_ca && io_read_file(a, rt->opts.registry_ca, 8 << 20, &more, &ignored))
		pem = arena_concat(a, pem, S("\n"), more);
	return pem;
}

// The addresses to ask, in order: mirrors, then the registry itself.
static void endpoints(struct runtime *rt, struct arena *a, str domain, struct str_list *out)
{
	for (size_t i = 0; i < rt->opts.mirrors.n; i++) {
		str host, url;
		if (str_split(rt->opts.mirrors.v[i], '=', &host, &url) && str_eq(host, domain))
			*LIST_ADD(a, out) = url;
	}
	bool plain = is_local(domain);
	for (size_t i = 0; i < rt->opts.insecure.n; i++)
		plain |= str_eq(rt->opts.insecure.v[i], domain);
	str host = str_eqc(domain, "docker.io") ? S("registry-1.docker.io") : domain;
	*LIST_ADD(a, out) = arena_concat(a, plain ? S("http://") : S("https://"), host);
}

static bool credentials(struct arena *a, const struct cri_v1_AuthConfig *auth, struct registry_auth *out, struct error *err)
{
	*out = (struct registry_auth){ 0 };
	if (!auth)
		return true;
	out->username = auth->username;
	out->password = auth->password;
	out->identity_token = auth->identity_token;
	out->registry_token = auth->registry_token;
	if (auth->username.n == 0 && auth->auth.n) {
		str text;
		if (!base64_decode(a, auth->auth, &text) || !str_split(text, ':', &out->username, &out->password))
			return rpc_error(err, GRPC_INVALID_ARGUMENT, "invalid auth config");
		while (out->password.n && out->password.p[out->password.n - 1] == 0)
			out->password.n--;
	}
	return true;
}

// --- Downloads: a few threads take one blob after the other ---

struct downloads {
	struct registry *registry;
	const struct image_store *store;
	const struct descriptor *blobs;
	size_t n, next;
	pthread_mutex_t lock;
	struct error err;  // the first
	bool failed;
};

static void *download(void *arg)
{
	struct downloads *d = arg;
	for (;;) {
		pthread_mutex_lock(&d->lock);
		size_t i = d->failed ? d->n : d->next++;
		pthread_mutex_unlock(&d->lock);
		if (i >= d->n)
			return NULL;
		_cleanup_arena_ struct arena *a = arena_new(0);
		struct error err = { 0 };
		if (registry_blob(d->registry, a, d->store, &d->blobs[i], &err))
			continue;
		pthread_mutex_lock(&d->lock);
		if (!d->failed)
			d->err = err;
		d->failed = true;
		pthread_mutex_unlock(&d->lock);
	}
}

static bool download_all(struct registry *r, const struct image_store *s, const struct descriptor *blobs, size_t n, struct error *err)
{
	struct downloads d = { .registry = r, .store = s, .blobs = blobs, .n = n };
	pthread_mutex_init(&d.lock, NULL);
	pthread_t threads[PULL_DOWNLOADS];
	size_t started = 0;
	while (started + 1 < MIN(n, (size_t)PULL_DOWNLOADS) && pthread_create(&threads[started], NULL, download, &d) == 0)
		started++;
	download(&d);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	pthread_mutex_destroy(&d.lock);
	if (d.failed)
		*err = d.err;
	return !d.failed;
}

// --- One image from one registry ---

static bool fetch_manifest(struct registry *r, struct arena *a, const struct image_store *s, str from, str *digest, str *top, struct manifest *m,
                           int depth, struct error *err)
{
	str bytes;
	if (!registry_manifest(r, a, from, &bytes, digest, err))
		return false;
	if (depth == 0)
		*top = *digest;
	if (!manifest_parse(a, bytes, m, err))
		return false;
	if (!m->is_index)
		return blob_put(s, a, bytes, NULL, err);
	const struct descriptor *d = manifest_select(m);
	if (!d || depth >= PULL_DEPTH)
		return error_api(err, 404, "NotFound", "no match for platform in manifest: not found");
	return fetch_manifest(r, a, s, d->digest, digest, top, m, depth + 1, err);
}

static bool pull_from(struct runtime *rt, struct arena *a, struct registry *r, const struct image_ref *ref, str *id, struct error *err)
{
	const struct image_store *s = &rt->images;
	struct manifest m;
	str digest, top;
	if (!fetch_manifest(r, a, s, ref->digest.n ? ref->digest : ref->tag, &digest, &top, &m, 0, err))
		return false;
	struct image_config c;
	if (m.config.size > MANIFEST_MAX_BYTES)
		return error_api(err, 413, "RequestEntityTooLarge", "image configuration has more than %d bytes", MANIFEST_MAX_BYTES);
	if (!registry_blob(r, a, s, &m.config, err) || !image_read_config(s, a, m.config.digest, &c, err))
		return false;
	// Only layers that are not unpacked yet, each once.
	struct descriptor_list missing = { 0 };
	str chain = { 0 };
	for (size_t i = 0; i < m.layers.n && i < c.diff_ids.n; i++) {
		chain = digest_chain(a, chain, c.diff_ids.v[i]);
		bool listed = image_layer_exists(s, a, chain);
		for (size_t k = 0; k < missing.n && !listed; k++)
			listed = str_eq(missing.v[k].digest, m.layers.v[i].digest);
		if (!listed)
			*LIST_ADD(a, &missing) = m.layers.v[i];
	}
	if (missing.n && !download_all(r, s, missing.v, missing.n, err))
		return false;
	struct str_list names = { 0 }, digests = { 0 };
	// With a digest in the reference the tag beside it says nothing that was checked.
	if (ref->tag.n && !ref->digest.n)
		*LIST_ADD(a, &names) = image_ref_tagged(a, ref);
	*LIST_ADD(a, &digests) = image_ref_digested(a, ref, top);
	return image_install(s, a, digest, &names, &digests, id, err);
}

static bool pull(struct runtime *rt, struct arena *a, const struct image_ref *ref, const struct registry_auth *auth, str *id, struct error *err)
{
	str name = ref->digest.n ? image_ref_digested(a, ref, ref->digest) : image_ref_tagged(a, ref);
	_cleanup_close_ int hold = image_hold(&rt->images, err);
	if (hold < 0)
		return false;
	struct str_list urls = { 0 };
	endpoints(rt, a, ref->domain, &urls);
	str pem = trusted_pem(rt, a);
	bool ok = false;
	for (size_t i = 0; i < urls.n && !ok; i++) {
		*err = (struct error){ 0 };
		// Credentials are for the registry, not for whoever mirrors it.
		struct registry_opts o = { .url = urls.v[i], .ca_pem = pem, .auth = i + 1 == urls.n ? auth : NULL };
		struct registry *r = registry_new(&o, ref, err);
		ok = r && pull_from(rt, a, r, ref, id, err);
		registry_free(r);
		if (!ok && i + 1 < urls.n)
			log_warn("image " STR_FMT ": " STR_FMT ": %s", STR_ARG(name), STR_ARG(urls.v[i]), err->text);
	}
	if (ok)
		return true;
	if (err->code == 404)
		error_wrap(err, STR_FMT, STR_ARG(name));
	return error_wrap(err, "failed to pull and unpack image \"" STR_FMT "\": failed to resolve reference \"" STR_FMT "\"", STR_ARG(name), STR_ARG(name));
}

bool image_pull(struct runtime *rt, struct arena *a, str text, const struct cri_v1_AuthConfig *auth, str *id, struct error *err)
{
	struct image_ref ref;
	struct registry_auth creds;
	if (!image_ref_parse(a, text, &ref, err))
		return rpc_error(err, GRPC_INVALID_ARGUMENT, "failed to parse image reference \"" STR_FMT "\": %s", STR_ARG(text), err->text);
	if (!credentials(a, auth, &creds, err))
		return false;
	// The key has the credentials in it: nobody gets an image through another one's password.
	str key = digest_of(a, arena_concat(a, text, S("\n"), creds.username, S("\n"), creds.password, S("\n"), creds.identity_token, S("\n"), creds.registry_token));
	lock(rt);
	struct pull *p = map_get(&rt->pulls, key);
	bool mine = !p;
	if (mine) {
		p = HEAP_NEW(struct pull);
		map_put(&rt->pulls, key, p);
	}
	p->refs++;
	while (!mine && !p->done)
		pthread_cond_wait(&rt->changed, &rt->lock);
	unlock(rt);
	if (mine) {
		str got = { 0 };
		struct error e = { 0 };
		bool ok = pull(rt, a, &ref, &creds, &got, &e);
		lock(rt);
		p->ok = ok;
		p->err = e;
		snprintf(p->id, sizeof(p->id), STR_FMT, STR_ARG(got));
		p->done = true;
		map_del(&rt->pulls, key);
		rt->usage_at = 0;
		pthread_cond_broadcast(&rt->changed);
		unlock(rt);
		struct error gc = { 0 };
		if (!image_gc(&rt->images, a, layer_used, rt, &gc)) // the packed layers
			log_warn("images: %s", gc.text);
	}
	bool ok = p->ok;
	if (ok)
		*id = arena_dup(a, str_c(p->id));
	else
		*err = p->err;
	lock(rt);
	bool last = --p->refs == 0;
	unlock(rt);
	if (last)
		free(p);
	return ok;
}
