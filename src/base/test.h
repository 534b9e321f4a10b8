// What unit tests share: cmocka with the headers that it wants, and assertions for slices.
#ifndef CORACLE_BASE_TEST_H
#define CORACLE_BASE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/error.h"

// The slice is exactly this text.
static inline void assert_text_at(str got, str want, const char *file, int line)
{
	if (str_eq(got, want))
		return;
	print_error("got  \"" STR_FMT "\"\nwant \"" STR_FMT "\"\n", STR_ARG(got), STR_ARG(want));
	_fail(file, line);
}
#define assert_text(got, want) assert_text_at((got), str_c(want), __FILE__, __LINE__)
#define assert_str_equal(got, want) assert_text_at((got), (want), __FILE__, __LINE__)

#endif
