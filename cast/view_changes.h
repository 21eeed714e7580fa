/* SPDX-License-Identifier: MIT */
#pragma once
/* The studies that changed, the latest first or the earliest first: each once, at its last change.
 * A walk that is broken off goes on at a number of the feed. One thread at a time. */

#include "archive/changes.h"
#include "cast/view_source.h"

struct view_changes {
    const struct view_source *source;
    struct changes *cursor; /* of a walk to later ones; NULL: to earlier ones */
    uint64_t next;          /* the number that is looked at next; 0: the end */
    int64_t since_ms;       /* changes before are of no interest */
    uint64_t examined;      /* numbers that were looked at */
    /* Changes of a study often follow each other. */
    char study[UID_SIZE];
    uint64_t last; /* its last change; 0: it is gone */
    int64_t gone_ms;
};

struct view_change {
    char study[UID_SIZE];
    uint64_t sequence;
    int64_t at_ms;
    bool is_gone;
};

/* `from`: the number where a walk before this one ended, 0: from the latest change on, or when
 * `ascending` from the first one since then. To be closed if it was opened. */
bool view_changes_open(struct view_changes *changes, const struct view_source *source,
                       uint64_t from, int64_t since_ms, bool ascending, struct error *err);
void view_changes_close(struct view_changes *changes);
/* *found false at the end, or after `at_most` numbers more (then next is not 0). */
bool view_changes_next(struct view_changes *changes, uint64_t at_most, struct view_change *change,
                       bool *found, struct error *err);
