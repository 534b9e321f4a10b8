#include <openssl/sha.h>

#include "base/encode.h"
#include "net/ws_internal.h"

str ws_accept_key(struct arena *a, str key)
{
	unsigned char digest[SHA_DIGEST_LENGTH];
	str text = arena_concat(a, key, S("258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
	SHA1((const unsigned char *)text.p, text.n, digest);
	return base64_encode(a, str_n((const char *)digest, sizeof(digest)));
}
