/* SPDX-License-Identifier: MIT */
#pragma once
/* The change feed in the worklist's terms, for those who follow it from a saved position of their
 * own (notifications, the cast, links to stored instances). Numbers are shared with the archive's
 * changes, whose reader passes over ours as ours passes over theirs. Thread-safe; a cursor belongs
 * to one thread. */

#include "worklist/objects.h"

enum object_action { OBJECT_CREATED, OBJECT_UPDATED, OBJECT_DELETED, OBJECT_TOLD /* turn_tell */ };

struct object_change {
    uint64_t sequence;
    int64_t at_ms; /* Unix time */
    enum object_kind kind;
    enum object_action action;
    uint8_t state_before; /* 0 of a new one */
    uint8_t state;
    uint8_t event; /* as it was given to turn_put */
    char key[OBJECT_KEY_SIZE];
};

uint64_t object_changes_latest(struct worklist *worklist);                 /* 0: none yet */
uint64_t object_changes_behind(struct worklist *worklist, uint64_t after); /* about */

struct object_changes;
bool object_changes_open(struct worklist *worklist, uint64_t after, struct object_changes **out,
                         struct error *err);
bool object_changes_next(struct object_changes *changes, struct object_change *change, bool *found,
                         struct error *err);
void object_changes_close(struct object_changes *changes);
/* Waits until there is a change after `after`; false after timeout_ms or when all who wait are
 * woken for a stop (changes_wake of the archive, or this one's). */
bool object_changes_wait(struct worklist *worklist, uint64_t after, int64_t timeout_ms);
void object_changes_wake(struct worklist *worklist);

/* A follower's saved position, by name; 0 at first. Durable when save returns. */
bool object_changes_position(struct worklist *worklist, const char *follower, uint64_t *position,
                             struct error *err);
bool object_changes_save(struct worklist *worklist, const char *follower, uint64_t position,
                         struct error *err);
/* The same in a turn, with what else changes in it. Forgotten, it is 0 again. */
void object_changes_put(struct turn *turn, const char *follower, uint64_t position);
void object_changes_forget(struct turn *turn, const char *follower);
