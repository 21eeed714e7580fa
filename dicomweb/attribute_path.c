/* SPDX-License-Identifier: MIT */
#include "dicomweb/attribute_path.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "dicom/tag.h"

enum { MAX_NAME = 64 };

static bool parse_one(const char *name, uint32_t *tag)
{
    size_t digits = 0;
    while (digits < 9 && isxdigit((unsigned char)name[digits]))
        digits++;
    if (digits == 8 && !name[8]) {
        *tag = (uint32_t)strtoul(name, NULL, 16);
        return true;
    }
    const struct dictionary_entry *entry = dictionary_find_keyword(name);
    if (!entry)
        return false;
    *tag = entry->tag;
    return true;
}

bool attribute_path_parse(const char *name, struct attribute_path *path)
{
    path->depth = 0;
    for (;;) {
        char part[MAX_NAME + 1];
        size_t size = strcspn(name, ".");
        if (!size || size > MAX_NAME || path->depth == QUERY_MAX_DEPTH)
            return false;
        memcpy(part, name, size);
        part[size] = '\0';
        if (!parse_one(part, &path->tags[path->depth++]))
            return false;
        if (!name[size])
            return true;
        name += size + 1;
    }
}

bool attribute_path_equal(const struct attribute_path *a, const struct attribute_path *b)
{
    return a->depth == b->depth && !memcmp(a->tags, b->tags, a->depth * sizeof(a->tags[0]));
}
