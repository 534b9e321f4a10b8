#include "runtime/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "base/encode.h"
#include "base/heap.h"

struct digest {
	EVP_MD_CTX *ctx;
};

struct digest *digest_new(void)
{
	struct digest *d = HEAP_NEW(struct digest);
	d->ctx = EVP_MD_CTX_new();
	if (!d->ctx || EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) != 1)
		heap_exhausted(sizeof(*d));
	return d;
}

void digest_add(struct digest *d, const void *p, size_t n)
{
	EVP_DigestUpdate(d->ctx, p, n);
}

str digest_end(struct digest *d, struct arena *a)
{
	unsigned char out[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	EVP_DigestFinal_ex(d->ctx, out, &n);
	return arena_concat(a, S("sha256:"), hex_encode(a, str_n((char *)out, n)));
}

void digest_free(struct digest *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->ctx);
	free(d);
}

str digest_of(struct arena *a, str bytes)
{
	_cleanup_digest_ struct digest *d = digest_new();
	digest_add(d, bytes.p, bytes.n);
	return digest_end(d, a);
}

bool digest_valid(str text)
{
	if (!str_cut_prefix(&text, S("sha256:")) || text.n != 64)
		return false;
	for (size_t i = 0; i < text.n; i++)
		if (!(text.p[i] >= '0' && text.p[i] <= '9') && !(text.p[i] >= 'a' && text.p[i] <= 'f'))
			return false;
	return true;
}

str digest_chain(struct arena *a, str parent, str diff_id)
{
	return parent.n ? digest_of(a, arena_concat(a, parent, S(" "), diff_id)) : diff_id;
}
