/* SPDX-License-Identifier: MIT */
#pragma once
/* Body Part Examined (0018,0015) as SNOMED CT (PS3.16 Annex L). Immutable, thread-safe. */

#include <stddef.h>

struct body_part {
    const char *term;
    const char *code;
    const char *meaning;
};

/* In any case, with or without spaces, `-` and `_`. NULL for a term that is not in the table. */
const struct body_part *body_part_find(const char *term);
const struct body_part *body_part_all(size_t *count); /* ascending by term */
