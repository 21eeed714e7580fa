/* SPDX-License-Identifier: MIT */
#pragma once
/* Where walks over ranges of the index have been: a client that pages by offset asks for the next
 * page with a new request, which goes on from there instead of stepping over all pages before. A
 * point holds for one change number only: after every store and delete it is another walk.
 * Bounded; the point used least recently goes first. Thread-safe. */

#include "archive/keys.h"
#include "storage/table.h"

struct resume;

/* A range of keys as of a change. */
struct walk_range {
    enum table table;
    struct key lower;
    struct key upper;
    uint64_t change;
};

struct resume *resume_new(void);
void resume_free(struct resume *resume);

/* The furthest point at or before `wanted` keys of the range: how many keys were passed there, and
 * the last of them. *passed 0 when there is none. */
void resume_find(struct resume *resume, const struct walk_range *range, uint64_t wanted,
                 struct key *last, uint64_t *passed);
/* `passed` keys were passed, the last of them is `last`. */
void resume_note(struct resume *resume, const struct walk_range *range, uint64_t passed,
                 const struct key *last);
