// Whatever bytes the store holds: finding the place of resourceVersion stays within them, and what comes out is what went in with
// the version put in.
#include <assert.h>
#include <stdlib.h>

#include "store/cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *copy = malloc(n ? n : 1);
	if (n)
		memcpy(copy, data, n);
	struct buf b = { 0 };
	size_t rest, at, digits;
	if (cache_splice(&b, str_n(copy, n), 12345, &rest, &at, &digits)) {
		assert(rest < n && at + digits < b.n && digits == 5);
		assert(b.n == n + sizeof("\"resourceVersion\":\"12345\"") - 1 || b.n == n + sizeof("\"resourceVersion\":\"12345\""));
	}
	buf_free(&b);
	free(copy);
	return 0;
}
