/* SPDX-License-Identifier: MIT */
#pragma once
/* What each kind of object is indexed by. A new kind, or an attribute that queries match, is a row
 * of the tables in kinds.c; objects that stand in the index already must then be put anew, so a row
 * that is in use never changes. Immutable, thread-safe. */

#include "worklist/objects.h"

enum { INDEX_DEPTH = 3 };

/* An attribute, by its path from the top of the data set; all items of the sequences count. */
struct attribute_path {
    uint32_t tags[INDEX_DEPTH];
    size_t depth; /* 0: none */
};

struct object_index {
    char id; /* a capital: the small letters are those of object_link */
    uint16_t vr;
    struct attribute_path path;
};

struct object_kind_row {
    enum object_kind kind;
    const char *name;
    struct attribute_path date; /* DA, or DT when there is no `time` */
    struct attribute_path time; /* TM */
    const struct object_index *indexes;
    size_t index_count;
};

const struct object_kind_row *object_kind_row(enum object_kind kind); /* NULL: no such kind */
const struct object_kind_row *object_kind_next(size_t number); /* by number from 0; NULL: no more */
/* The index of an attribute; NULL when the kind has none. */
const struct object_index *object_index_find(const struct object_kind_row *row,
                                             const uint32_t *tags, size_t depth);
