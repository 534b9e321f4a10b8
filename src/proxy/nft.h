// libnftables, loaded when it is first used: of all the processes of the binary only this one pays for it.
#ifndef CORACLE_PROXY_NFT_H
#define CORACLE_PROXY_NFT_H

#include "base/error.h"

struct nft;
struct nft *nft_open(struct error *err);
void nft_close(struct nft *n);
// Runs commands as one transaction: all of them take effect, or none.
bool nft_run(struct nft *n, const char *commands, struct error *err);

#endif
