/* SPDX-License-Identifier: MIT */
#pragma once
/* Attribute names in a query (PS3.18 8.3.4.1): a keyword, eight hexadecimal digits, or several of
 * them with dots. */

#include <stdbool.h>

#include "archive/query.h"

struct attribute_path {
    uint32_t tags[QUERY_MAX_DEPTH];
    size_t depth;
};

/* False for a name that is no attribute we know: unknown keyword, not hexadecimal, too deep. */
bool attribute_path_parse(const char *name, struct attribute_path *path);
bool attribute_path_equal(const struct attribute_path *a, const struct attribute_path *b);
