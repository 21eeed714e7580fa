/* SPDX-License-Identifier: MIT */
#pragma once
/* A row written as a data set: which attributes, and how. Explicit VR Little Endian and UTF-8, tags
 * ascending. One thread at a time. */

#include "archive/query_key.h"
#include "archive/row.h"

struct answer_tag {
    uint32_t tag;
    bool whole; /* a sequence with all that is in it, not only what keys name */
};

struct answer {
    struct answer_tag *tags; /* ascending, each once */
    size_t count;
    size_t capacity;
    bool all;    /* and everything of the table that is known, from the level `from` down */
    bool header; /* and, of an instance, everything in its header */
    enum level from;
    struct buffer bytes;
    struct dataset *dataset; /* borrows bytes */
};

enum { ANSWER_SIZE = 64 << 20, ANSWER_MAX_TAGS = 4096 };

struct answer answer_init(void);
void answer_release(struct answer *answer);

bool answer_add(struct answer *answer, uint32_t tag, bool whole, struct error *err);
/* The unique keys of the level, and what goes with private attributes. Before the first write. */
void answer_prepare(struct answer *answer, enum level level);
/* Gives away what was written last. */
struct answer_dataset {
    struct buffer bytes;
    struct dataset *dataset;
};
struct answer_dataset answer_take(struct answer *answer);
void answer_dataset_release(struct answer_dataset *dataset);
/* Sequences that are not whole hold the attributes that the keys below them name. */
bool answer_write(struct answer *answer, struct row *row, enum level level,
                  const struct query_keys *keys, struct error *err);
