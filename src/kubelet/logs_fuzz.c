// The CRI log parser on any bytes.
#include "kubelet/logs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	str rest = str_n((const char *)data, size), line;
	while (str_next(&rest, '\n', &line)) {
		struct log_record l;
		if (log_parse(line, &l) && l.content.n > line.n)
			__builtin_trap();
	}
	return 0;
}
