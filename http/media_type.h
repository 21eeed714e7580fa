/* SPDX-License-Identifier: MIT */
#pragma once
/* Media types with parameters (RFC 9110 8.3.1), read as leniently as clients write them: names in
 * any case, values quoted or not, spaces around ; and =, any order. By value. */

#include <stdbool.h>

#include "base/slice.h"

enum { MEDIA_TYPE_PARAMETERS = 8, MEDIA_TYPE_TEXT = 128 };

struct media_type {
    char type[MEDIA_TYPE_TEXT]; /* "multipart/related", lower case; wildcards stay as they are */
    size_t parameter_count;     /* further ones, and longer ones, are left out */
    struct {
        char name[32]; /* lower case */
        char value[MEDIA_TYPE_TEXT];
    } parameters[MEDIA_TYPE_PARAMETERS];
};

/* False when the text is no media type. */
bool media_type_parse(struct slice text, struct media_type *type);
/* NULL when absent. Borrowed. */
const char *media_type_parameter(const struct media_type *type, const char *name);
/* Takes the next member off a comma-separated list (commas in quotes do not count): false at the
 * end. */
bool media_type_next_member(struct slice *list, struct slice *member);
