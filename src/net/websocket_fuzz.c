// Frames of WebSocket.
#include "net/fuzz_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	// The path is one that the server's handlers upgrade at once.
	fuzz_server_feed(S("GET /w0 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: "
	                   "websocket\r\nSec-WebSocket-Version: 13\r\n"
	                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"),
	                 str_n((const char *)data, size));
	return 0;
}
