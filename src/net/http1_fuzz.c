// Whatever a client sends to the plain-text port (HTTP/1.1, or HTTP/2 when it begins so).
#include "net/fuzz_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_server_feed((str){ 0 }, str_n((const char *)data, size));
	return 0;
}
