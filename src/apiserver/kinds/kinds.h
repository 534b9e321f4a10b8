// What the files of kinds/ share: iteration, pointers to scalars, the usual checks, table cells.
#ifndef CORACLE_APISERVER_KINDS_H
#define CORACLE_APISERVER_KINDS_H

#include "apiserver/strategy.h"
#include "object/names.h"
#include "object/selector.h"
#include "schema/quantity.h"

// EACH (c, pod->spec.containers): c is a pointer to each item.
#define EACH(item, list) for (__typeof__(&*(list).v) item = (list).v; item && item < (list).v + (list).n; item++)
#define INDEX(item, list) ((size_t)((item) - (list).v))

// Defaults.
static inline void default_str(str *to, const char *value)
{
	if (!to->n)
		*to = str_c(value);
}
#define NEW_VALUE(a, T, value) \
	({ T *new_value_ = ARENA_NEW((a), T); *new_value_ = (value); new_value_; })
#define DEFAULT_PTR(a, to, T, value) \
	do { if (!(to)) (to) = NEW_VALUE((a), T, (value)); } while (0)

#endif
