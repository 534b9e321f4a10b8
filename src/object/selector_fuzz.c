// Selectors from the URL: whatever comes, the parsers end, and what they accept prints to text that parses to the same text.
#include "object/selector.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	str text = str_n((const char *)data, size);
	struct selector s, again;
	if (selector_parse(a, text, &s, &err)) {
		struct str_map none = { 0 };
		selector_matches(&s, &none);
		str printed = selector_text(a, &s);
		if (!selector_parse(a, printed, &again, &err) || !str_eq(printed, selector_text(a, &again)))
			abort();
	}
	struct field_selector f;
	field_selector_parse(a, text, &f, &err);
	return 0;
}
