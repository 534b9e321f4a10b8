// Helpers of this folder's tests.
#ifndef CORACLE_SCHEMA_TEST_UTIL_H
#define CORACLE_SCHEMA_TEST_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/io.h"
#include "json/json.h"
#include "schema/schema.h"

// The folder of shared test data.
static inline const char *shared_dir(void)
{
	const char *dir = getenv("CORACLE_SHARED");
	return dir && *dir ? dir : "../shared";
}

// JSON with ' for ".
static inline struct value *parse(struct arena *a, const char *text)
{
	str s = arena_dup(a, str_c(text));
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '\'')
			((char *)s.p)[i] = '"';
	struct error err = { 0 };
	struct value *v = json_parse(a, s, NULL, &err);
	if (!v)
		fail_msg("%s: %s", text, err.text);
	return v;
}

static inline void assert_text(str got, const char *want)
{
	if (!str_eqc(got, want))
		fail_msg("\n got  " STR_FMT "\n want %s", STR_ARG(got), want);
}

#endif
