#include "proxy/nft.h"

#include <dlfcn.h>
#include <nftables/libnftables.h>

#include "base/heap.h"

struct nft {
	void *library;
	struct nft_ctx *ctx;
	__typeof__(nft_ctx_free) *ctx_free;
	__typeof__(nft_run_cmd_from_buffer) *run;
	__typeof__(nft_ctx_get_error_buffer) *get_error;
};

struct nft *nft_open(struct error *err)
{
	struct nft *n = HEAP_NEW(struct nft);
	n->library = dlopen("libnftables.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!n->library) {
		error_set(err, "libnftables: %s", dlerror());
		nft_close(n);
		return NULL;
	}
	__typeof__(nft_ctx_new) *ctx_new = (__typeof__(nft_ctx_new) *)dlsym(n->library, "nft_ctx_new");
	__typeof__(nft_ctx_buffer_error) *buffer_error = (__typeof__(nft_ctx_buffer_error) *)dlsym(n->library, "nft_ctx_buffer_error");
	__typeof__(nft_ctx_buffer_output) *buffer_output = (__typeof__(nft_ctx_buffer_output) *)dlsym(n->library, "nft_ctx_buffer_output");
	n->ctx_free = (__typeof__(nft_ctx_free) *)dlsym(n->library, "nft_ctx_free");
	n->run = (__typeof__(nft_run_cmd_from_buffer) *)dlsym(n->library, "nft_run_cmd_from_buffer");
	n->get_error = (__typeof__(nft_ctx_get_error_buffer) *)dlsym(n->library, "nft_ctx_get_error_buffer");
	if (ctx_new && buffer_error && buffer_output && n->ctx_free && n->run && n->get_error)
		n->ctx = ctx_new(NFT_CTX_DEFAULT);
	if (!n->ctx || buffer_error(n->ctx) != 0 || buffer_output(n->ctx) != 0) {
		error_set(err, "libnftables does not work");
		nft_close(n);
		return NULL;
	}
	return n;
}

void nft_close(struct nft *n)
{
	if (!n)
		return;
	if (n->ctx)
		n->ctx_free(n->ctx);
	if (n->library)
		dlclose(n->library);
	free(n);
}

bool nft_run(struct nft *n, const char *commands, struct error *err)
{
	if (n->run(n->ctx, commands) == 0)
		return true;
	const char *why = n->get_error(n->ctx);
	return error_set(err, "nftables: %.700s", why ? why : "refused");
}
