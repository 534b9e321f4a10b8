// Any text as a quantity: canonical text is stable and of the same value; sums cancel.
#include <stdlib.h>

#include "schema/gotime.h"
#include "schema/quantity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	struct error err = { 0 };
	str text = str_n((const char *)data, size), other = S("");
	str_split(text, ' ', &text, &other);
	struct quantity x, y, again;
	if (quantity_canonical(a, text, &x, &err)) {
		if (!quantity_canonical(a, x.s, &again, &err) || quantity_cmp(x, again) != 0 ||
		    quantity_cmp(x, (struct quantity){ text }) != 0)
			abort();
		if (quantity_cmp(x, (struct quantity){ 0 }) != quantity_sign(x))
			abort();
		(void)quantity_value(x);
		(void)quantity_milli(x);
		(void)quantity_double(x);
		if (quantity_canonical(a, other, &y, &err)) {
			if (quantity_cmp(x, y) != -quantity_cmp(y, x))
				abort();
			(void)quantity_add(a, x, y);
			if (!quantity_is_zero(quantity_sub(a, x, x)))
				abort();
		}
	}
	struct api_time t;
	int64_t ns;
	char out[40];
	if (api_time_parse(text, false, &t, &err) && t.set)
		(void)api_time_format(t, false, out);
	if (duration_parse(text, &ns, &err)) {
		int64_t back;
		size_t n = duration_format(ns, out);
		if (!duration_parse(str_n(out, n), &back, &err) || back != ns)
			abort();
	}
	arena_free(a);
	return 0;
}
